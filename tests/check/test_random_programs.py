"""Verdicts on random smooth functions of many scales and dtypes, right and wrong.

The normal run tries a few; ``pytest -m soak tests/check/test_random_programs.py`` tries thousands,
in some minutes, and a network of a million weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest.check import check_gradient

CURVES: tuple[Callable[[Any], Any], ...] = (
    np.sin,
    np.tanh,
    np.arctan,
    np.square,
    lambda z: z**3,
    lambda z: np.exp(-z * z),
    lambda z: np.log1p(z * z),
    lambda z: np.sqrt(1 + z * z),
    lambda z: 1 / (1 + np.exp(-z)),
    lambda z: np.logaddexp(0, z),
)
REDUCTIONS: tuple[Callable[[Any], Any], ...] = (
    np.mean,
    np.sum,
    lambda h: np.sqrt(np.sum(h * h) + 1),
    lambda h: np.log(np.sum(np.exp(h - h.max()))) + h.max(),
)


STEEP = 1e12
"""Beyond such arguments, what a curve does lies within the rounding of x."""


@dataclass(frozen=True)
class Program:
    """A smooth function of one array, and where to check it.

    Its curves are given arguments up to `reach`: tanh of 10**17 z is a step in floating point.
    """

    f: Callable[[Any], Any]
    x: np.ndarray
    reach: float


def random_program(generator: np.random.Generator) -> Program:
    """Two layers of random curves: of any scale of x, of f, of a constant beside it."""
    size = int(generator.choice([1, 2, 5, 17, 60, 300]))
    width = int(generator.choice([1, 3, 8, 32]))
    dtype = np.dtype(generator.choice(["f2", "f4", "f4", "f8", "f8", "f8"]))
    half = dtype == np.float16
    of_f = 1.0 if half else 10.0 ** generator.integers(-8, 9)
    of_x = 10.0 ** generator.integers(-1, 2) if half else 10.0 ** generator.integers(-6, 7)
    constant = 0.0 if half else of_f * float(generator.choice([0, 0, 0, 1, 1e3, 1e6]))
    matrix = generator.normal(size=(width, size)) / np.sqrt(size) / of_x
    if generator.random() < 0.3 and not half:
        matrix = matrix * 10.0 ** generator.uniform(-4, 4, size)
    inner, outer = (CURVES[place] for place in generator.integers(0, len(CURVES), 2))
    frequency = float(generator.choice([1, 1, 1, 0.01, 30]))
    x = generator.normal(size=size) * of_x
    if generator.random() < 0.2:
        x[generator.integers(0, size)] = 0
    if generator.random() < 0.2 and not half:
        x = x * 10.0 ** generator.uniform(-3, 3, size)
    reduce = REDUCTIONS[generator.integers(0, len(REDUCTIONS))]
    matrix = matrix.astype(dtype)

    def arguments(x: Any) -> tuple[Any, Any]:
        first = frequency * (matrix @ x)
        hidden = inner(first)
        return first, hidden + 0.5 * hidden.mean()

    def f(x: Any) -> Any:
        hidden = outer(arguments(x)[1])
        return reduce(hidden) * x.dtype.type(of_f) + x.dtype.type(constant)

    x = x.astype(dtype)
    with np.errstate(all="ignore"):
        reach = max(float(np.max(np.abs(each))) for each in arguments(x))
    return Program(f, x, reach)


def with_error(
    program: Program, generator: np.random.Generator
) -> tuple[Callable[[Any], Any], float, bool] | None:
    """Plant an error into the gradient: in one entry or in all; None where it vanishes."""
    exact = sd.grad(program.f)
    here = np.asarray(exact(program.x), dtype=np.float64)
    share = np.abs(here * np.where(program.x == 0, 1, program.x))
    if not np.all(np.isfinite(here)) or not share.any():
        return None
    place = generator.choice(np.flatnonzero(share >= 0.3 * share.max()))
    relative = 10.0 ** generator.uniform(-5 if program.x.dtype == np.float64 else -2, 0)
    alone = bool(generator.random() < 0.5)

    def gradient(x: Any) -> Any:
        factors = np.ones(x.size)
        factors[place if alone else slice(None)] += relative
        return (exact(x) * factors).astype(x.dtype)

    return gradient, float(np.abs(gradient(program.x) - here).max()), alone


def examine(seeds: range) -> tuple[Counter[str], Counter[str]]:
    """Check right and wrong gradients; return how often there was which verdict."""
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for seed in seeds:
        generator = np.random.default_rng(seed)
        program = random_program(generator)
        with np.errstate(all="ignore"):
            if not np.isfinite(program.f(program.x)):
                continue
            report = check_gradient(program.f, program.x, sd.grad(program.f), seed=seed)
            right[report.verdict] += 1
            is_step = report.verdict == "kink" and program.reach > STEEP
            assert is_step or report.verdict in ("correct", "undecided"), f"{seed}: {report}"
            planted = with_error(program, generator)
            if planted is None:
                continue
            gradient, error, alone = planted
            report = check_gradient(program.f, program.x, gradient, seed=seed)
        wrong[report.verdict] += 1
        check = report.parameters["x"]
        assert report.verdict in ("wrong", "undecided", "correct"), f"{seed}: {report}"
        if report.verdict == "correct":
            # It is said that an error of this size would not have been seen.
            assert error <= (check.resolution if alone else check.detectable), f"{seed}: {report}"
    return right, wrong


def test_random_programs() -> None:
    right, wrong = examine(range(45))
    assert right["correct"] >= 42
    assert wrong["wrong"] >= 35


@pytest.mark.parametrize("seed", [2284, 3194])
def test_a_function_that_no_step_resolves_is_undecided(seed: int) -> None:
    """It varies within the rounding of x; on coarse steps its slope seems to be another."""
    right, _ = examine(range(seed, seed + 1))
    assert right["undecided"] == 1


def test_a_wrong_entry_of_a_steep_function_is_no_tie() -> None:
    """Its slopes beside x differ, but less and less nearer to it."""
    _, wrong = examine(range(3261, 3262))
    assert wrong["wrong"] == 1


def test_a_slope_beyond_the_largest_number_of_a_dtype_is_undecided() -> None:
    def loss(x: Any) -> Any:
        return np.sum(100 * np.sin(1000 * x))

    x = np.array([0.0, 0.0005], np.float16)
    report = check_gradient(loss, x, lambda x: np.array([np.inf, np.inf], np.float16))
    assert report.verdict == "undecided"
    assert "largest float16, 6.55e+04" in str(report)


@pytest.mark.soak
@pytest.mark.parametrize("block", range(10))
def test_many_random_programs(block: int) -> None:
    right, wrong = examine(range(1000 + 300 * block, 1300 + 300 * block))
    assert right["undecided"] <= 0.03 * right.total()
    assert wrong["undecided"] <= 0.03 * wrong.total()


@pytest.mark.soak
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_wrong_entry_in_a_network_of_a_million_weights(dtype: type[np.floating[Any]]) -> None:
    generator = np.random.default_rng(0)
    sizes = (784, 1000, 200, 10)
    weights = {}
    for number, (before, after) in enumerate(pairwise(sizes)):
        matrix = generator.normal(size=(before, after)) / np.sqrt(before)
        weights[f"W{number}"] = matrix.astype(dtype)
        weights[f"b{number}"] = (0.1 * generator.normal(size=after)).astype(dtype)
    images = generator.random((64, 784)).astype(dtype)
    labels = generator.integers(0, 10, 64)

    def loss_fn(p: Any) -> Any:
        hidden = np.tanh(images @ p["W0"] + p["b0"])
        hidden = np.tanh(hidden @ p["W1"] + p["b1"])
        return sd.nn.softmax_cross_entropy(hidden @ p["W2"] + p["b2"], labels)

    exact = sd.grad(loss_fn)

    def gradient(p: Any) -> Any:
        result = exact(p)
        result["W0"][123, 456] += np.sqrt(np.mean(result["W0"] ** 2))
        return result

    assert check_gradient(loss_fn, weights, exact).ok
    report = check_gradient(loss_fn, weights, gradient)
    assert report.parameters["W0"].wrong_entries == ((123, 456),)
    assert report.evaluations < 800
