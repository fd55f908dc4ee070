"""The points of a curve, measured in this process and printed as JSON for `benchmarks.curves`.

A process of its own for each curve: nobody has compiled anything like it before, and libraries
have their threads from the beginning.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

from benchmarks.cores import current_threads
from benchmarks.descent_peers import PARTICIPANTS, Runner, Steepest
from benchmarks.descent_work import Work, works
from benchmarks.machine import Machine
from benchmarks.roofline import bound
from benchmarks.step_timing import Pace, step_times

__all__ = ["PLANS", "Plan"]

DRAWN = ("steepest", "PyTorch eager", "JAX")
"""torch.compile would take some seconds for each point."""


WARM_UP = Work("warm-up", (3, 2), 8, 4, 0.01)
"""Taken first by everyone: what libraries load when they are first used is not in a first call."""


@dataclass(frozen=True)
class Plan:
    """What a curve goes through.

    Attributes
    ----------
    title : str
    size : str
        What grows.
    sizes : tuple of int
        Empty for numbers of threads, of which the machine says how many there are.
    work : callable
        Makes the work of a size.
    has_first_call : bool
        Whether the time of the first call is drawn too.
    """

    title: str
    size: str
    sizes: tuple[int, ...]
    work: Callable[[int], Work]
    has_first_call: bool = False


def _batch_work(batch: int) -> Work:
    return Work(f"batch {batch}", (64, 32, 10), 1024 * 10, batch, 0.01)


def _width_work(width: int) -> Work:
    return Work(f"width {width}", (64, width, width, 10), 128 * 40, 128, 0.01)


def _depth_work(depth: int) -> Work:
    sizes = (8,) * depth + (10,)
    return Work(f"depth {depth}", sizes, 32 * 100, 32, 0.01, activation="tanh")


def _work_of_row(name: str, _: int) -> Work:
    return next(work for work in works() if work.name == name)


PLANS = {
    "batch": Plan("Network 64-32-10", "batch", (1, 4, 16, 64, 256, 1024), _batch_work),
    "width": Plan(
        "Network 64-w-w-10, batch 128",
        "width w",
        (8, 16, 32, 64, 128, 256, 512, 1024),
        _width_work,
    ),
    "depth": Plan(
        "Network of layers of 8 units, batch 32",
        "layers",
        (2, 5, 10, 20, 50, 100, 200),
        _depth_work,
        has_first_call=True,
    ),
    "threads": Plan(
        "Network 784-128-10, batch 256",
        "threads",
        (),
        partial(_work_of_row, "784-128-10 relu, batch 256"),
    ),
    "threads, wide": Plan(
        "Network 784-1024-1024-10, batch 256",
        "threads",
        (),
        partial(_work_of_row, "784-1024-1024-10 relu, batch 256"),
    ),
}


def _runners(work: Work, engine: str | None) -> dict[str, Runner]:
    return {
        name: Steepest(work, engine) if name == "steepest" else PARTICIPANTS[name].prepare(work)
        for name in DRAWN
        if PARTICIPANTS[name].is_installed
    }


def main(argv: list[str]) -> None:
    """Measure some sizes of a plan, and print them."""
    parser = argparse.ArgumentParser("python -m benchmarks.curve_points", description=__doc__)
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument("sizes", nargs="+", type=int)
    parser.add_argument("--engine")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args(argv)
    plan = PLANS[arguments.plan]
    pace = Pace(0.05, 2, 5.0) if arguments.quick else Pace(0.15, 5, 10.0)
    machine = Machine(current_threads())
    for runner in _runners(WARM_UP, arguments.engine).values():
        runner.run(1)
    points = []
    for size in arguments.sizes:
        print("...", f"{plan.title}, {plan.size} {size}", file=sys.stderr, flush=True)
        work = plan.work(size)
        # From the first call on: this work has not run before.
        times = step_times(_runners(work, arguments.engine), pace, work.steps_per_epoch)
        points.append(
            {
                "size": size,
                "bound": asdict(bound(work, machine)),
                "times": {name: asdict(each) for name, each in times.items()},
            }
        )
    print(json.dumps(points))


if __name__ == "__main__":
    main(sys.argv[1:])
