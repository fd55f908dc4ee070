"""The bounds that the benchmark sets times against."""

from __future__ import annotations

import pytest
from benchmarks.descent_peers import Steepest
from benchmarks.descent_work import Work, works
from benchmarks.machine import Machine
from benchmarks.roofline import Bound, bound, has_large_products, operations

from steepest.engines.native import loop


class FixedRates:
    """A machine of 100 operations a second, and of 10 bytes, or 40 where they are few."""

    def multiply_adds(self, dtype: str) -> float:
        return 100.0 if dtype == "float32" else 50.0

    def bandwidth(self, size: float) -> float:
        return 40.0 if size <= 1000 else 10.0


NETWORK = Work("network", (5, 4, 3), 600, 6, 0.1)
# 5·4 + 4 biases, 4·3 + 3 biases
PARAMETERS = 39


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (NETWORK, 2 * 6 * (2 * 5 * 4 + 3 * 4 * 3)),
        (Work("linear", (5, 3), 60, 6, 0.1), 2 * 6 * 2 * 5 * 3),
        (Work("full batch", (5, 1), 60, None, 0.1), 2 * 60 * 2 * 5),
    ],
    ids=lambda each: each.name if isinstance(each, Work) else "",
)
def test_operations_of_the_products(work: Work, expected: int) -> None:
    assert operations(work) == expected


@pytest.mark.parametrize("sizes", [(40, 30, 20), (32, 24, 16, 8)], ids=str)
def test_the_native_engine_computes_no_fewer_products(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What products make of their results would be counted with them.
    monkeypatch.setattr(loop, "finish_in_products", lambda _program, _processor: None)
    runner = Steepest(Work("counted", sizes, 128, 64, 0.1), "native")
    assert runner.products_rate(4)
    assert runner._result is not None
    profile = runner._result.profile
    assert profile is not None
    counted = sum(p.operations for p in profile.parts if p.what.startswith("product of matrices"))
    assert counted == operations(runner.work)


def test_the_rate_of_products_is_that_of_the_profile() -> None:
    work = Work("rate", (64, 32, 10), 64, 32, 0.1)
    native, reference = (Steepest(work, engine) for engine in ("native", "interpret"))
    rate = native.products_rate(20)
    assert rate is not None
    assert 1e6 < rate < 1e14
    assert reference.products_rate(2) is None


def test_the_bound_is_the_longest_of_three() -> None:
    found = bound(NETWORK, FixedRates())
    # The data, 12 kB, are not among the few bytes; the weights, 156, are.
    assert found.arithmetic == operations(NETWORK) / 100
    assert found.rows == 4 * 6 * 5 / 10
    assert found.weights == 2 * 4 * PARAMETERS / 40
    assert (found.seconds, found.what) == (found.rows, "rows")
    assert (Bound(1, 2, 3).seconds, Bound(1, 2, 3).what) == (3, "weights")
    assert (Bound(5, 2, 3).seconds, Bound(5, 2, 3).what) == (5, "arithmetic")


def test_adam_keeps_two_moments() -> None:
    adam = Work("Adam", NETWORK.sizes, 600, 6, 0.1, "adam")
    assert bound(adam, FixedRates()).weights == 3 * bound(NETWORK, FixedRates()).weights


def test_float64_has_twice_the_bytes_and_its_own_rate() -> None:
    double = Work("float64", NETWORK.sizes, 600, 6, 0.1, dtype="float64")
    ours, theirs = bound(double, FixedRates()), bound(NETWORK, FixedRates())
    assert ours == Bound(2 * theirs.arithmetic, 2 * theirs.rows, 2 * theirs.weights)


def test_which_rows_have_large_products() -> None:
    assert [work.name for work in works() if has_large_products(work)] == [
        "784-128-10 relu, batch 256",
        "784-128-10 relu, batch 256, Adam",
        "784-1024-1024-10 relu, batch 256",
    ]


def test_rates_of_threads_are_multiples(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def bandwidth(size: int) -> float:
        asked.append(size)
        return 3.0

    monkeypatch.setattr("benchmarks.machine._multiply_adds", lambda dtype: 5.0)
    monkeypatch.setattr("benchmarks.machine._bandwidth", bandwidth)
    machine = Machine(4)
    assert machine.multiply_adds("float32") == 20.0
    # Each thread goes through its part, and what was measured once is not measured again.
    assert [machine.bandwidth(size) for size in (1 << 20, (1 << 20) - 5, 10)] == [12.0] * 3
    assert asked == [1 << 18, 4096]


def test_machines_have_rates() -> None:
    machine = Machine(1)
    single, double = machine.multiply_adds("float32"), machine.multiply_adds("float64")
    assert 1e8 < double < 1.5 * single
    assert 1e7 < machine.bandwidth(1 << 16) < 1e14
