"""What threads do to a step of compiled descent: to its time, under load too, and to its bits.

``python -m benchmarks.threads`` measures all three; ``idle``, ``load`` or ``bits`` some of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cores import Cores, add_arguments, chosen_cores, restart_on, use_threads
from benchmarks.descent_peers import PARTICIPANTS, Steepest
from benchmarks.descent_work import Work, works
from benchmarks.environment import environment_line, environment_of
from benchmarks.mixture import Mixture, mixtures, steepest_gradient
from benchmarks.step_timing import Pace, Steps, StepTimes, step_times

__all__ = ["Bits", "Compared", "WithThreads", "bits_of", "busy", "compared_table", "main"]

COMPARED = ("steepest", "PyTorch eager")

COUNTS = (1, 2, 3, 7)
"""Numbers of threads that must all lead to the same bits, whatever the number of cores."""

TABLES = {
    "idle": "time of a step with one thread and with several",
    "load": "the same, while every core is busy with something else",
    "bits": "whether the weights are the same",
}

BURNING = """
import os, sys
parent = int(sys.argv[1])
if sys.argv[2:]:
    os.sched_setaffinity(0, {int(sys.argv[2])})
print(flush=True)
while os.getppid() == parent:
    for _ in range(100_000):
        pass
"""
"""Program that keeps a core busy as long as its parent lives."""


class WithThreads:
    """Steps with so many threads, whatever the others do.

    Parameters
    ----------
    steps : Steps
    threads : int
    """

    def __init__(self, steps: Steps, threads: int) -> None:
        self._steps = steps
        self._threads = threads

    def run(self, steps: int) -> int:
        """Take steps."""
        use_threads(self._threads)
        return self._steps.run(steps)


@dataclass
class Compared:
    """Times of a work by who took the steps, with one thread and with several.

    Attributes
    ----------
    name : str
    times : dict
        For each participant, those of one thread and of several.
    """

    name: str
    times: dict[str, tuple[StepTimes, StepTimes]]


@dataclass
class Bits:
    """Whether all numbers of threads led to the same bits.

    Attributes
    ----------
    name : str
    steps : int
    differing : list of int
        Numbers of threads whose bits are not those of one.
    """

    name: str
    steps: int
    differing: list[int]


@contextlib.contextmanager
def busy(cores: Cores) -> Iterator[list[subprocess.Popen[str]]]:
    """Keep every core busy with a process of its own while the ``with`` block runs.

    Parameters
    ----------
    cores : Cores
    """
    numbers: Sequence[int | None] = cores.numbers or [None] * cores.threads
    processes: list[subprocess.Popen[str]] = []
    try:
        for number in numbers:
            arguments = [str(os.getpid()), *([] if number is None else [str(number)])]
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", BURNING, *arguments],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        for each in processes:
            assert each.stdout is not None
            each.stdout.readline()
        yield processes
    finally:
        for each in processes:
            each.kill()
            each.communicate()


def compare(work: Work | Mixture, threads: int, pace: Pace, engine: str | None) -> Compared:
    """Measure a work with one thread and with several, in turns.

    Parameters
    ----------
    work : Work or Mixture
    threads : int
    pace : Pace
    engine : str or None
        Of steepest.

    Returns
    -------
    Compared
    """
    candidates: dict[str, Steps] = {}
    names = [name for name in COMPARED if PARTICIPANTS[name].is_installed and _can_do(name, work)]
    for name in names:
        for count in (1, threads):
            candidates[f"{name}, {count}"] = WithThreads(_prepared(name, work, engine), count)
    whole = work.steps_per_epoch if isinstance(work, Work) else 1
    times = step_times(candidates, pace, whole)
    return Compared(
        work.name, {name: (times[f"{name}, 1"], times[f"{name}, {threads}"]) for name in names}
    )


def _can_do(name: str, work: Work | Mixture) -> bool:
    return name == "steepest" or isinstance(work, Work)


def _prepared(name: str, work: Work | Mixture, engine: str | None) -> Steps:
    if isinstance(work, Mixture):
        return steepest_gradient(work, engine)
    return Steepest(work, engine) if name == "steepest" else PARTICIPANTS[name].prepare(work)


def bits_of(
    work: Work | Mixture, steps: int, engine: str | None = None, counts: Sequence[int] = COUNTS
) -> Bits:
    """Compare the bits that numbers of threads lead to, with those of the first.

    Parameters
    ----------
    work : Work or Mixture
        For a mixture, its gradient is compared.
    steps : int
    engine : str or None
    counts : sequence of int

    Returns
    -------
    Bits
    """
    steps = 1 if isinstance(work, Mixture) else steps
    found = []
    for count in counts:
        runner = _prepared("steepest", work, engine)
        WithThreads(runner, count).run(steps)
        found.append(b"".join(leaf.tobytes() for leaf in _leaves(runner)))
    differing = [count for count, bits in zip(counts, found, strict=True) if bits != found[0]]
    return Bits(work.name, steps, differing)


def _leaves(runner: Any) -> list[np.ndarray[Any, Any]]:
    if isinstance(runner, Steepest):
        return [leaf for layer in runner.weights() for leaf in layer]
    return [np.asarray(leaf) for leaf in runner.result.values()]


def compared_table(rows: Sequence[Compared], threads: int) -> str:
    """Write times and their ratios as a table.

    Parameters
    ----------
    rows : sequence of Compared
    threads : int

    Returns
    -------
    str
    """
    names = [name for name in COMPARED if any(name in row.times for row in rows)]
    columns = ["work"]
    for name in names:
        columns += [f"{name}, 1 thread (µs/step)", f"{threads} threads", f"1 / {threads}"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = [row.name]
        for name in names:
            if name not in row.times:
                cells += [""] * 3
                continue
            one, several = (each.median for each in row.times[name])
            cells += [_number(one * 1e6), _number(several * 1e6), f"{one / several:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def bits_table(rows: Sequence[Bits]) -> str:
    """Write what was compared as a table."""
    counts = ", ".join(map(str, COUNTS))
    lines = [f"| work | steps | weights with {counts} threads |", "|---|---|---|"]
    for row in rows:
        found = (
            "differ with " + ", ".join(map(str, row.differing))
            if row.differing
            else "the same bits"
        )
        lines.append(f"| {row.name} | {row.steps} | {found} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.threads", description=__doc__)
    explained = "; ".join(f"{name}: {what}" for name, what in TABLES.items())
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"{explained}; by default all")
    add_arguments(parser)
    parser.set_defaults(threads="all")
    parser.add_argument("--engine", help="steepest's engine; by default that of descend")
    parser.add_argument("--quick", action="store_true", help="short runs, to see that it works")
    parser.add_argument("--only", default="", help="regular expression for the rows to measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    arguments = parser.parse_args(argv)
    for table in arguments.tables:
        if table not in TABLES:
            parser.error(f"{table}: one of {', '.join(TABLES)} is needed")
    return arguments


def main(argv: list[str]) -> int:
    """Measure and print the tables.

    Returns
    -------
    int
        1 when bits differ.
    """
    arguments = _arguments(argv)
    cores = chosen_cores(arguments.threads, arguments.cores)
    restart_on("benchmarks.threads", argv, cores)
    report: Callable[[str], None] = partial(print, "...", file=sys.stderr, flush=True)
    environment = environment_of(cores)
    print(environment_line(environment), flush=True)
    everything: list[Work | Mixture] = [*works(), *mixtures()]
    rows = [each for each in everything if re.search(arguments.only, each.name)]
    results: dict[str, Any] = {"environment": environment}
    tables = [each for each in TABLES if each in (arguments.tables or TABLES)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STEEPEST_CACHE_DIR"] = folder
        for table in tables:
            print(f"\n{table.capitalize()}: {TABLES[table]}\n")
            found: list[Any] = []
            if table == "bits":
                for row in rows:
                    report(f"{table}: {row.name}")
                    found.append(bits_of(row, 5 if arguments.quick else 50, arguments.engine))
                print(bits_table(found), flush=True)
            elif cores.threads == 1:
                print("There is one core: nothing to compare.")
            else:
                pace = Pace(0.05, 3, 5.0) if arguments.quick else Pace()
                with busy(cores) if table == "load" else contextlib.nullcontext():
                    for row in rows:
                        report(f"{table}: {row.name}")
                        found.append(compare(row, cores.threads, pace, arguments.engine))
                print(compared_table(found, cores.threads), flush=True)
            results[table] = [asdict(each) for each in found]
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return int(any(each["differing"] for each in results.get("bits", [])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
