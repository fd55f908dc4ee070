"""The rows of the benchmark of compiled descent, its tables, and its comparison of results."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.descent import Row, check, products_table, rows_table
from benchmarks.descent_peers import PARTICIPANTS, Participant, Steepest
from benchmarks.descent_work import Work, make_data, starting_weights, works
from benchmarks.machine import Machine
from benchmarks.step_timing import Pace, StepTimes, step_times

SMALL = Work("small", (4, 3, 2), 64, 8, 0.1, activation="tanh")


def times(microseconds: float) -> StepTimes:
    seconds = microseconds * 1e-6
    return StepTimes(seconds, seconds, seconds, 1, 0.0, 0.0)


def test_names_of_rows_are_unique() -> None:
    names = [work.name for work in works()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("work", works(), ids=lambda work: work.name)
def test_rows_are_what_their_names_say(work: Work) -> None:
    x, y = make_data(work)
    assert x.shape == (work.examples, work.sizes[0])
    assert x.dtype == work.dtype
    assert len(y) == work.examples
    assert work.batch is None or work.examples % work.batch == 0
    if "-" in work.name.split()[0]:
        assert "-".join(map(str, work.sizes)) == work.name.split()[0]
    else:
        assert work.sizes[1:] in {(1,), (10,)}
    assert ("float64" in work.name) == (work.dtype == "float64")
    assert ("Adam" in work.name) == (work.optimizer == "adam")
    hidden = len(work.sizes) > 2
    assert not hidden or work.activation in work.name
    assert ("full batch" in work.name) == (work.batch is None)
    assert work.batch is None or f"batch {work.batch}" in work.name
    assert {leaf.dtype.name for layer in starting_weights(work) for leaf in layer} == {work.dtype}


class Fake(Steepest):
    """Takes steps of another size than it was asked to."""

    def _train(self, steps: int, profile: bool = False) -> int:
        taken = super()._train(steps, profile)
        assert self._result is not None
        for w, _ in self._result.weights:
            np.add(w, np.float32(1e-2), out=w)
        return taken


def test_check_passes_who_does_the_same() -> None:
    check(Steepest(SMALL, "interpret"), PARTICIPANTS["steepest"], None)


def test_check_stops_who_does_not() -> None:
    participant = Participant("another", "steepest", Fake)
    with pytest.raises(
        AssertionError, match="another: after 5 steps of 'small' the weights differ"
    ):
        check(Fake(SMALL), participant, None)


class Counted:
    """Steps that take a second of a clock that is turned by hand, and two seconds for a call."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    def run(self, steps: int) -> int:
        self._clock[0] += 2 + steps * self._seconds
        return steps


def test_runs_are_long_against_what_a_call_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("benchmarks.step_timing.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("benchmarks.step_timing.LONGEST_RUN", 1000.0)
    found = step_times(
        {"fast": Counted(clock, 0.5), "slow": Counted(clock, 1.0)}, Pace(1.0, 3, 20.0)
    )
    for name, seconds in (("fast", 0.5), ("slow", 1.0)):
        assert found[name].one_step_call == 2 + seconds
        assert found[name].steps * seconds >= 0.7 * 20 * (2 + seconds) - 2
        assert found[name].median == pytest.approx(seconds + 2 / found[name].steps)


def test_table_of_rows() -> None:
    row = Row(
        "a work",
        {"steepest": times(2.0), "JAX": times(3.0), "PyTorch eager": times(5000.0)},
        {"steepest": "native"},
        {"torch.compile": "RuntimeError: no compiler"},
    )
    header, _, line, *remarks = rows_table(
        [row], ["steepest", "PyTorch eager", "torch.compile", "JAX"]
    ).splitlines()
    assert header.startswith("| work | steepest (µs/step) | PyTorch eager (µs/step) |")
    assert line == "| a work | 2 (native) | 5,000 | failed | 3 | 1.5 |  |"
    assert remarks == ["", "torch.compile failed: RuntimeError: no compiler"]


def test_table_of_products(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(1)
    monkeypatch.setattr(machine, "multiply_adds", lambda dtype: 200e9)
    monkeypatch.setattr(machine, "products", lambda: {"NumPy's BLAS": 100e9, "PyTorch": 80e9})
    small = Row("small", {"steepest": times(1.0)})
    large = Row("large", {"steepest": times(1.0)}, operations=150_000, inside=160e9)
    assert not products_table([small], ["steepest"], machine)
    rates, _, header, _, line = products_table(
        [small, large], ["steepest", "JAX"], machine
    ).splitlines()
    assert rates == (
        "Peak of multiply-adds in registers, float32: 200 GFLOP/s."
        " Large products: NumPy's BLAS 100 (50%), PyTorch 80 (40%)"
    )
    assert header.count("|") == line.count("|")
    assert line == "| large | 150 (75%) |  | 160 (80%) | 1.60 |"
