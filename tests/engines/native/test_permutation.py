"""Permutations by native code: NumPy's rows, and NumPy's generator afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest.engines.native import permutation as module
from steepest.engines.native.permutation import FROM, draw_permutation

LENGTHS = (FROM, FROM + 1, 4_097, 5_000, 8_191, 8_192, 8_193, 25_600, 65_537, 100_000)


def permutation(rng: np.random.Generator, length: int) -> np.ndarray[Any, Any]:
    rows = np.empty(length, np.int64)
    draw_permutation(rng, rows)
    return rows


def pairs(seed: int, draws: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Give the same generator twice; after an odd number of draws it keeps 32 bits."""
    ours, theirs = np.random.default_rng(seed), np.random.default_rng(seed)
    for each in (ours, theirs):
        each.integers(2**32, size=draws, dtype=np.uint32)
    return ours, theirs


@pytest.mark.parametrize("draws", [0, 1])
@pytest.mark.parametrize("length", LENGTHS)
def test_rows_and_state_are_those_of_numpy(length: int, draws: int) -> None:
    assert module._is_as_numpy()
    ours, theirs = pairs(length, draws)
    for _ in range(3):
        np.testing.assert_array_equal(permutation(ours, length), theirs.permutation(length))
        assert ours.bit_generator.state == theirs.bit_generator.state
    assert ours.random() == theirs.random()


@pytest.mark.parametrize("length", [*range(1, 40), 127, 128, 129, 1000])
def test_short_ones(length: int) -> None:
    ours, theirs = pairs(length, length % 2)
    bits = ours.bit_generator
    assert isinstance(bits, np.random.PCG64)
    rows = np.empty(length, np.int64)
    module._draw(bits, rows)
    np.testing.assert_array_equal(rows, theirs.permutation(length))
    assert bits.state == theirs.bit_generator.state


@pytest.mark.parametrize("name", ["MT19937", "PCG64DXSM", "Philox", "SFC64"])
def test_other_generators_are_asked_themselves(name: str) -> None:
    ours, theirs = (np.random.Generator(getattr(np.random, name)(3)) for _ in range(2))
    np.testing.assert_array_equal(permutation(ours, 5_000), theirs.permutation(5_000))
    assert ours.random() == theirs.random()


def test_a_generator_of_a_class_of_the_users_is_asked_itself() -> None:
    class Backwards(np.random.Generator):
        def permutation(self, x: Any, axis: int = 0) -> Any:
            return np.arange(x)[::-1]

    rng = Backwards(np.random.PCG64(0))
    np.testing.assert_array_equal(permutation(rng, 5_000), np.arange(5_000)[::-1])


def test_a_numpy_that_draws_otherwise_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_draw", lambda bits, rows: rows.fill(0))
    module._is_as_numpy.cache_clear()
    try:
        ours, theirs = pairs(0, 0)
        np.testing.assert_array_equal(permutation(ours, 5_000), theirs.permutation(5_000))
    finally:
        module._is_as_numpy.cache_clear()


def test_both_engines_train_on_the_same_batches() -> None:
    x = np.random.default_rng(0).normal(size=(6_000, 3))
    results = [
        sd.descend(
            lambda w, rows: np.mean((rows @ w - 1.0) ** 2),
            np.zeros(3),
            x,
            step_size=0.01,
            batch_size=100,
            epochs=3,
            seed=7,
            progress=False,
            engine=engine,
        )
        for engine in ("native", "interpret")
    ]
    np.testing.assert_allclose(results[0].weights, results[1].weights, rtol=1e-12)
