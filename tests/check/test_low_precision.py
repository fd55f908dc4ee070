"""Functions that compute in float16 or float32, whatever they are given."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest.check import check_gradient
from steepest.check.raised import run_raised
from steepest.numeric import numerical_gradient
from steepest.numeric.precision import DOUBLE, EXTENDED

GENERATOR = np.random.default_rng(7)


def draw(*shape: int, scale: float = 1.0) -> Any:
    return (scale * GENERATOR.normal(size=shape)).astype(np.float16)


X, TARGETS, LABELS = draw(32, 8), draw(32), GENERATOR.integers(0, 4, 32)


def half(values: Any) -> Any:
    return values.astype(np.float16)


def cross_entropy(p: Any) -> Any:
    scores = X @ half(p["W"]) + half(p["b"])
    scores = scores - np.max(scores, axis=1, keepdims=True)
    total = np.log(np.sum(np.exp(scores), axis=1))
    return np.mean(total - scores[np.arange(32), LABELS])


def network(p: Any) -> Any:
    hidden = np.maximum(X @ half(p["W"]) + half(p["b"]), np.float16(0))
    return np.mean((np.sum(hidden, axis=1) - TARGETS) ** 2)


def normalised(p: Any) -> Any:
    rows = half(p["W"])
    centred = rows - np.mean(rows, axis=1, keepdims=True)
    deviation = np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + np.float16(1e-3))
    return np.sum(np.tanh(centred / deviation) * half(p["b"]))


def long_sum(p: Any) -> Any:
    return np.sum(np.tanh(np.outer(X[:, 0], half(p["W"]).ravel()))) + np.sum(half(p["b"]) ** 2)


def pooled(p: Any) -> Any:
    return np.mean(np.max(X @ half(p["W"]), axis=0) * half(p["b"]))


def written(p: Any) -> Any:
    values = np.zeros((32, 4), np.float16)
    values[:] = X @ half(p["W"])
    values *= half(p["b"])
    return np.mean(values**2)


def small(p: Any) -> Any:
    return np.float16(1e-4) * np.mean(np.tanh(X @ half(p["W"])) @ half(p["b"])) * np.float16(1e-2)


PROGRAMS = (cross_entropy, network, normalised, long_sum, pooled, written, small)
AT = {"W": draw(8, 4, scale=0.5), "b": draw(4, scale=0.5)}
SQUARE = draw(4, 4)


def taken_in(dtype: type[np.floating[Any]]) -> Any:
    return {name: part.astype(dtype) for name, part in AT.items()}


def changed(gradient: Any, change: Any) -> Any:
    def wrong(p: Any) -> Any:
        result = dict(gradient(p))
        result["W"] = change(result["W"])
        return result

    return wrong


def opaque(gradient: Any) -> Any:
    """Make of a gradient one of another framework, which takes ndarrays alone."""

    def guarded(p: Any) -> Any:
        if any(builtins.type(part) is not np.ndarray for part in p.values()):
            raise TypeError("ndarrays only")
        return gradient(p)

    return guarded


by_dtype = pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
by_program = pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)


@by_dtype
@by_program
@pytest.mark.filterwarnings("ignore")
def test_right_gradients_are_correct(f: Any, dtype: Any) -> None:
    report = check_gradient(f, taken_in(dtype))
    assert report.verdict == "correct", str(report)


@by_dtype
@by_program
@pytest.mark.filterwarnings("ignore")
def test_right_gradients_of_other_means_are_not_wrong(f: Any, dtype: Any) -> None:
    report = check_gradient(f, taken_in(dtype), opaque(sd.grad(f)))
    assert report.verdict in ("correct", "undecided"), str(report)


MISTAKES = {
    "sign": np.negative,
    "10 %": lambda each: each * np.float16(1.1),
    "a row": lambda each: np.concatenate([0 * each[:1], each[1:]]),
    "reversed": lambda each: each[::-1],
}


@pytest.mark.parametrize("dtype", [np.float32])
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("f", [network, normalised], ids=lambda f: f.__name__)
def test_mistakes_are_caught(f: Any, mistake: str, dtype: Any) -> None:
    gradient = changed(sd.grad(f), MISTAKES[mistake])
    report = check_gradient(f, taken_in(dtype), gradient)
    assert report.verdict == "wrong", str(report)


def test_constants_may_be_rounded_in_another_way() -> None:
    def loss_fn(x: Any) -> Any:
        return np.mean(half(x) ** 2) * np.float16(1 / 3)

    def gradient(x: Any) -> Any:
        return half(x) * np.float16(2 / 3 / 40)

    x = draw(40)
    assert check_gradient(loss_fn, x, gradient).ok
    assert check_gradient(loss_fn, x, lambda x: gradient(x) * np.float16(1.05)).verdict == "wrong"


def test_single_precision_inside_double() -> None:
    def loss_fn(x: Any) -> Any:
        return np.mean(np.maximum(X @ x.astype(np.float32), 0) ** 2)

    x = GENERATOR.normal(size=8)
    right = sd.grad(loss_fn)
    assert check_gradient(loss_fn, x).ok
    assert check_gradient(loss_fn, x, lambda x: 1.0001 * right(x)).verdict == "wrong"


def test_what_is_made_of_the_rounding_is_evaluated_as_it_is() -> None:
    """In double precision it is another function, which is zero."""

    def quantised(x: Any) -> Any:
        return np.sum(np.abs(x - half(x).astype(x.dtype)))

    x = GENERATOR.normal(size=3)
    assert check_gradient(quantised, x, np.zeros_like).verdict != "correct"


def test_each_operation_is_raised() -> None:
    def f(x: Any) -> Any:
        values = np.zeros(3, np.float16)
        values[1:] = (x.astype(np.float32) / 3)[1:]
        return np.stack([values, values.astype(np.float16) ** 2])

    x = np.arange(3.0)
    exact: Any = x.astype(np.longdouble) / 3
    for precision in (DOUBLE, EXTENDED):
        result: Any = run_raised(f, x.astype(precision.real), precision)
        assert result.dtype == precision.real
        error = np.abs(result - np.stack([exact, exact**2]))
        assert np.max(error) <= 4 * np.finfo(result.dtype).eps
    assert run_raised(lambda x: builtins.float(x[0]), x, DOUBLE) is None


def test_bfloat16_has_bits_for_one_step() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16

    def f(x: Any) -> Any:
        return np.sum(np.tanh(np.asarray(x).astype(bfloat16).astype(np.float32))).astype(bfloat16)

    x = np.array([0.5, -0.3, 1.2]).astype(bfloat16)
    report = check_gradient(
        f, x, lambda x: (1 - np.tanh(x.astype(np.float32)) ** 2).astype(x.dtype)
    )
    assert report.verdict in ("correct", "undecided")
    assert np.all(np.isinf(numerical_gradient(f, x).error))
