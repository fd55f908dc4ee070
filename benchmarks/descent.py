"""What a step of compiled descent costs, against PyTorch, JAX and scikit-learn.

``python -m benchmarks.descent`` measures on one thread of one core, or on as many as ``--threads``
says: the same models on the same data with the same batches, by each participant in its own
fastest idiom. First, each of them must arrive at the same weights.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import word_vectors
from benchmarks.cores import Cores, add_arguments, chosen_cores, restart_on
from benchmarks.descent_peers import PARTICIPANTS, Participant, Runner, Steepest
from benchmarks.descent_work import Weights, Work, make_data, steepest_loss, works
from benchmarks.environment import environment_line, environment_of
from benchmarks.machine import Machine
from benchmarks.mixture import Mixture, jax_gradient, mixtures, steepest_gradient
from benchmarks.roofline import has_large_products, operations
from benchmarks.startup import Startup, measure_startup
from benchmarks.step_timing import Pace, Steps, StepTimes, step_times

__all__ = ["Row", "check", "main"]

STEPS_CHECKED = 5

TOLERANCE = {"float32": 1e-3, "float64": 1e-9}
"""Of the weights after five steps, in units of how far they have moved.

Adam divides gradients by their own size, and the smallest of float32 are rounding errors.
"""

SCIKIT_LEARN_ADAM_TOLERANCE = 0.05
"""Its Adam adds ε before it corrects the second moment's bias: ε is larger in the first steps."""

FALL_TOLERANCE = 0.1
"""Of the loss after an epoch, whose order everyone draws anew, in units of how far it fell."""

FRAMEWORKS = ("PyTorch eager", "torch.compile", "JAX")


SECONDS_PROFILED = 0.3
"""Of steepest's own profile, from which the rate inside of its products is taken."""


@dataclass
class Row:
    """Times of one work.

    Attributes
    ----------
    name : str
    times : dict
    labels : dict
        What is to be said of a participant.
    failures : dict
        The reason for each participant that has no time.
    operations : float or None
        In the products of a step, where these are large.
    inside : float or None
        Operations a second in steepest's products, without the rest of the step.
    """

    name: str
    times: dict[str, StepTimes]
    labels: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    operations: float | None = None
    inside: float | None = None

    def ratio(self, names: tuple[str, ...]) -> float | None:
        """Divide the fastest time of these by steepest's."""
        seconds = [self.times[name].median for name in names if name in self.times]
        return min(seconds) / self.times["steepest"].median if seconds else None


def check(runner: Runner, participant: Participant, engine: str | None) -> None:
    """Make sure that a participant does the same mathematics as steepest.

    Five steps on one batch must lead to the same weights, and a shuffled epoch to a loss that
    fell as far.

    Parameters
    ----------
    runner : Runner
        Of the work that is to be timed.
    participant : Participant
    engine : str or None
        Of steepest.

    Raises
    ------
    AssertionError
    """
    work = runner.work
    one_batch = participant.prepare(work.of_one_batch())
    one_batch.run_on_one_batch(STEPS_CHECKED)
    reference = _reference(work.of_one_batch(), STEPS_CHECKED, engine)
    difference = max(
        float(np.linalg.norm(ours - theirs) / np.linalg.norm(ours - start))
        for ours, theirs, start in zip(
            _leaves(reference), _leaves(one_batch.weights()), _leaves(one_batch.start), strict=True
        )
    )
    tolerance = TOLERANCE[work.dtype]
    if participant.name == "scikit-learn" and work.optimizer == "adam":
        tolerance = SCIKIT_LEARN_ADAM_TOLERANCE
    assert difference <= tolerance, (
        f"{participant.name}: after {STEPS_CHECKED} steps of {work.name!r} the weights differ by"
        f" {difference:.1e} of the way that they have gone"
    )
    epoch = 20 if work.batch is None else work.steps_per_epoch
    runner.run(epoch)
    loss = partial(_loss, work)
    begun, expected = loss(runner.start), loss(_reference(work, epoch, engine))
    found = loss(runner.weights())
    assert abs(found - expected) <= FALL_TOLERANCE * (begun - expected), (
        f"{participant.name}: an epoch of {work.name!r} took the loss from {begun:.4f} to"
        f" {found:.4f}, and steepest to {expected:.4f}"
    )


@cache
def _reference(work: Work, steps: int, engine: str | None) -> Weights:
    runner = Steepest(work, engine)
    runner.run(steps)
    return runner.weights()


def _loss(work: Work, weights: Weights) -> float:
    return float(steepest_loss(work)(weights, make_data(work)))


def _leaves(weights: Weights) -> list[Any]:
    return [leaf for layer in weights for leaf in layer]


class Suite:
    """The participants that are here, and what one run measures of them."""

    def __init__(self, participants: Mapping[str, Participant], engine: str | None) -> None:
        self._participants = participants
        self._engine = engine

    def row(self, work: Work, pace: Pace) -> Row:
        """Check every participant on a work, and time those that can do it."""
        runners: dict[str, Runner] = {}
        failures: dict[str, str] = {}
        for name, participant in self._participants.items():
            try:
                runner = participant.prepare(work)
                check(runner, participant, self._engine)
                runners[name] = runner
            except AssertionError:
                raise
            except Exception as error:
                # A compiler that does not work on this machine.
                if name == "steepest":
                    raise
                failures[name] = _first_line(error)
        row = Row(
            work.name,
            step_times(runners, pace, work.steps_per_epoch),
            {name: runner.label for name, runner in runners.items() if runner.label},
            failures,
        )
        if has_large_products(work):
            row.operations = operations(work)
            steps = max(math.ceil(SECONDS_PROFILED / row.times["steepest"].median), 10)
            row.inside = Steepest(work, self._engine).products_rate(steps)
        return row

    def mixture_row(self, mixture: Mixture, pace: Pace) -> Row:
        """Make the row of a gradient alone."""
        gradients = {"steepest": steepest_gradient(mixture, self._engine)}
        if "JAX" in self._participants:
            gradients["JAX"] = jax_gradient(mixture)
            for each in gradients.values():
                each.run(1)
            ours, theirs = (gradients[name].result for name in ("steepest", "JAX"))
            for name in ours:
                np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-8, atol=1e-8)
        candidates: dict[str, Steps] = dict(gradients)
        labels = {"steepest": gradients["steepest"].label}
        return Row(mixture.name, step_times(candidates, pace), labels)

    def words_row(self, work: word_vectors.WordVectors, pace: Pace) -> Row:
        """Make the row of word vectors."""
        names = [name for name in self._participants if name in word_vectors.PARTICIPANTS]
        makers = {name: word_vectors.PARTICIPANTS[name] for name in names}
        checked = {name: make(work.of_one_batch(), self._engine) for name, make in makers.items()}
        for each in checked.values():
            each.run(STEPS_CHECKED)
            for name, ours in checked["steepest"].weights.items():
                np.testing.assert_allclose(each.weights[name], ours, rtol=1e-4, atol=1e-5)
        runners = {name: make(work, self._engine) for name, make in makers.items()}
        labels = {"steepest": runners["steepest"].label}
        candidates: dict[str, Steps] = dict(runners)
        return Row(work.name, step_times(candidates, pace, work.steps_per_epoch), labels)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0][:120]}"


def _number(value: float | None, digits: int = 3) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.{digits}g}"


def rows_table(rows: list[Row], names: list[str]) -> str:
    """Write the rows as a table, with remarks below."""
    columns = [
        "work",
        *(f"{name} (µs/step)" for name in names),
        "fastest of PyTorch and JAX / steepest",
        "scikit-learn / steepest",
    ]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    remarks: dict[str, None] = {}
    for row in rows:
        cells = []
        for name in names:
            if name in row.times:
                text = _number(row.times[name].median * 1e6)
                cells.append(f"{text} ({row.labels[name]})" if name in row.labels else text)
            else:
                cells.append("failed" if name in row.failures else "")
        ratios = [_number(row.ratio(each)) for each in (FRAMEWORKS, ("scikit-learn",))]
        lines.append(f"| {' | '.join([row.name, *cells, *ratios])} |")
        remarks.update({f"{name} failed: {why}": None for name, why in row.failures.items()})
    return "\n".join([*lines, *(f"\n{remark}" for remark in remarks)])


def products_table(rows: list[Row], names: list[str], machine: Machine) -> str:
    """Write the rates of rows with large products, above what the machine can do."""
    rows = [row for row in rows if row.operations is not None]
    if not rows:
        return ""
    peak, products = machine.multiply_adds("float32"), machine.products()
    best = max(products.values())
    columns = [
        "GFLOP/s (of peak)",
        *names,
        "steepest, products alone",
        "against the best large product",
    ]
    lines = [
        f"Peak of multiply-adds in registers, float32: {peak / 1e9:.0f} GFLOP/s. Large products: "
        + ", ".join(f"{name} {_rate(rate, peak)}" for name, rate in products.items()),
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for row in rows:
        assert row.operations is not None
        cells = [
            _rate(row.operations / row.times[name].median, peak) if name in row.times else ""
            for name in names
        ]
        cells += (
            ["", ""]
            if row.inside is None
            else [_rate(row.inside, peak), f"{row.inside / best:.2f}"]
        )
        lines.append(f"| {' | '.join([row.name, *cells])} |")
    return "\n".join(lines)


def _rate(rate: float, peak: float) -> str:
    return f"{rate / 1e9:.0f} ({rate / peak:.0%})"


def startup_table(startups: Mapping[str, Startup], failures: Mapping[str, str]) -> str:
    """Write the times to the first step, and the memory, as a table."""
    columns = [
        "participant",
        "imports (s)",
        "call to first step, cold (s)",
        "warm (s)",
        "with imports, cold (s)",
        "warm (s)",
        "memory of imports (MiB)",
        "peak (MiB)",
        "increase (MiB)",
    ]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, each in startups.items():
        seconds = (
            each.imports,
            each.cold,
            each.warm,
            each.imports + each.cold,
            each.imports + each.warm,
        )
        mebibytes = (
            each.memory_of_imports,
            each.peak_memory,
            each.peak_memory - each.memory_of_imports,
        )
        cells = [*(_number(x) for x in seconds), *(f"{x:.0f}" for x in mebibytes)]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join([*lines, *(f"\n{name} failed: {why}" for name, why in failures.items())])


def _measure_startups(
    names: list[str], engine: str | None, repeats: int, report: Callable[[str], None]
) -> tuple[dict[str, Startup], dict[str, str]]:
    startups, failures = {}, {}
    for name in names:
        report(f"fresh processes of {name}")
        try:
            startups[name] = measure_startup(name, repeats, engine)
        except RuntimeError as error:
            failures[name] = _first_line(error)
    return startups, failures


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.descent", description=__doc__)
    parser.add_argument("--engine", help="steepest's engine; by default that of descend")
    add_arguments(parser)
    parser.add_argument("--quick", action="store_true", help="short runs, to see that it works")
    parser.add_argument("--only", default="", help="regular expression for the rows to measure")
    parser.add_argument("--no-torch-compile", action="store_true", help="leave it out")
    parser.add_argument("--no-startup", action="store_true", help="no fresh processes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    return parser.parse_args(argv)


def main(argv: list[str]) -> None:
    """Measure and print the tables."""
    arguments = _arguments(argv)
    cores = chosen_cores(arguments.threads, arguments.cores)
    restart_on("benchmarks.descent", argv, cores)
    with tempfile.TemporaryDirectory() as folder:
        # What earlier runs left is not found, and this one leaves nothing.
        os.environ["STEEPEST_CACHE_DIR"] = folder
        _measure(arguments, cores)


def _measure(arguments: argparse.Namespace, cores: Cores) -> None:
    report: Callable[[str], None] = partial(print, "...", file=sys.stderr, flush=True)
    environment = environment_of(cores)
    print(environment_line(environment))
    participants = {}
    for name, each in PARTICIPANTS.items():
        if not each.is_installed:
            print(f"{name} is left out: {each.package} is not installed")
        elif not (name == "torch.compile" and arguments.no_torch_compile):
            participants[name] = each
    engine = arguments.engine
    participants["steepest"] = replace(
        participants["steepest"], prepare=partial(Steepest, engine=engine)
    )
    names = list(participants)
    suite = Suite(participants, engine)
    pace = Pace(0.05, 3, 5.0) if arguments.quick else Pace()
    rows: list[Row] = []
    for work in works():
        if re.search(arguments.only, work.name):
            report(work.name)
            rows.append(suite.row(work, pace))
    for vectors in word_vectors.rows():
        if re.search(arguments.only, vectors.name):
            report(vectors.name)
            rows.append(suite.words_row(vectors, pace))
    for mixture in mixtures():
        if re.search(arguments.only, mixture.name):
            report(mixture.name)
            rows.append(suite.mixture_row(mixture, pace))
    print(f"\n{rows_table(rows, names)}\n")
    machine = Machine(cores.threads)
    if rates := products_table(rows, names, machine):
        print(f"{rates}\n")
    if "scikit-learn" in names:
        print(
            "Of two classes scikit-learn's networks make one logistic output: 2-16-16-1 and"
            " 2-64-64-1.\n"
        )
    results: dict[str, Any] = {"environment": environment, "rows": [asdict(row) for row in rows]}
    if rates:
        results["peak"], results["products"] = machine.multiply_adds("float32"), machine.products()
    if not arguments.no_startup:
        startups, failures = _measure_startups(names, engine, 1 if arguments.quick else 3, report)
        print("784-128-10, batch 256, in fresh processes")
        print(f"\n{startup_table(startups, failures)}\n")
        results["startup"] = {name: asdict(each) for name, each in startups.items()}
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
