"""What is given as out=, and changed by ufunc.at: of NumPy's values, whatever its dtype."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest.errors import UnsupportedError

REAL = np.array([0.6, -1.7, 3.2, 0.9])
COMPLEX = np.array([1 + 2j, 3 - 1j, 2 + 0.5j, -1j])
ROWS = np.arange(12.0).reshape(3, 4) + 0.5


def at(ufunc: np.ufunc, array: Any, *args: Any) -> Any:
    changed = np.array(array)
    ufunc.at(changed, *args)
    return changed


def out(function: Callable[..., Any], x: Any, dtype: Any, shape: Any = (), **settings: Any) -> Any:
    return function(x, out=np.zeros(shape, dtype), **settings)


def reduced(function: Callable[..., Any], dtype: Any, x: Any) -> Any:
    return out(function, x, dtype)


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "mean": np.mean,
    "prod": np.prod,
    "max": np.max,
    "min": np.amin,
    "nansum": np.nansum,
    "nanmax": np.nanmax,
    "add.reduce": np.add.reduce,
    "multiply.reduce": np.multiply.reduce,
    "maximum.reduce": np.maximum.reduce,
}
CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    **{
        f"{name} of {given.dtype} into {np.dtype(dtype)}": (
            partial(reduced, function, dtype),
            given,
        )
        for name, function in REDUCTIONS.items()
        for given in (REAL, REAL.astype(np.float32), COMPLEX)
        for dtype in (np.float64, np.float32, np.int64, np.complex128)
    },
    "add.accumulate": (lambda x: out(np.add.accumulate, x, float, 4), COMPLEX),
    "add.reduceat": (lambda x: out(np.add.reduceat, x, float, 2, indices=[0, 2]), COMPLEX),
    "cumprod": (lambda x: out(np.cumprod, x, int, 4), REAL),
    "rows of one": (lambda x: out(np.max, x * ROWS[:1], float, 2, axis=1), REAL),
    "rows of one, added": (lambda x: out(np.add.reduce, x * ROWS[:1], float, 2, axis=1), REAL),
    "add.at of integers": (lambda x: at(np.add, np.arange(4), [0, 0, 1, 3], x), REAL),
    "hypot.at of integers": (lambda x: at(np.hypot, np.arange(4), [0, 0, 1, 3], x), REAL),
    "add.at of a slice of integers": (lambda x: at(np.add, np.arange(4), slice(2), x[:2]), REAL),
    "multiply.at of real numbers": (lambda x: at(np.multiply, REAL, [0, 1, 1, 2], x), COMPLEX),
    "a number clipped": (lambda x: out(np.clip, x[0], float, (), min=0, max=1), REAL),
    "chosen": (lambda x: out(partial(np.choose, [0, 1, 0]), [x[:3], 2 * x[:3]], int, 3), REAL),
    "cast by the ufunc": (
        lambda x: out(partial(np.negative, dtype=int), x, int, 4, casting="unsafe"),
        REAL,
    ),
    "taken": (lambda x: out(np.take, x, int, 2, indices=[2, 0]), REAL),
    "compressed": (lambda x: out(partial(np.compress, [1, 0, 1]), x, int, 2), REAL),
    "the variance": (lambda x: out(np.var, 5 * x, int), REAL),
    "the median": (lambda x: out(np.median, x, int), REAL),
    "the trace": (lambda x: out(np.trace, x[0] * ROWS, int), REAL),
    "cumulative sums": (lambda x: out(np.cumulative_sum, x, int, 4), REAL),
    "a number rounded": (lambda x: out(np.round, x[0], float), REAL),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_results_are_numpys(name: str) -> None:
    call, x = CALLS[name]
    kept: list[Any] = []

    def loss(x: Any) -> Any:
        kept.append(call(x))
        return np.sum(np.real(kept[-1])) if kept[-1].dtype.kind in "fc" else np.sum(np.real(x))

    try:
        expected = call(x)
    except ValueError as refusal:
        with pytest.raises(type(refusal)):
            sd.grad(loss)(x)
        return
    gradient = sd.grad(loss)(x)
    found = sd.stop_gradient(kept[-1])
    while isinstance(found, sd.array.Array):
        found = found._value
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype
    rounding = 1e-6 if "32" in name else 1e-14
    np.testing.assert_allclose(found, expected, rtol=rounding, atol=rounding)
    if expected.dtype == np.float64 and x.dtype == np.float64:
        for place in range(4):
            step = np.zeros(4)
            step[place] = 1e-6
            slope = (np.sum(call(x + step)) - np.sum(call(x - step))) / 2e-6
            np.testing.assert_allclose(gradient[place], slope, rtol=1e-6, atol=1e-8)


INEXACT = np.random.default_rng(0).normal(size=(9, 4))
IN_STEPS: dict[str, Callable[..., Any]] = {
    **{
        f"{function.__name__} {settings}": partial(function, **settings)
        for function in (np.mean, np.nanmean, np.var, np.nanvar, np.std, np.nanstd, np.cumsum)
        for settings in ({"axis": 0}, {"axis": 0, "dtype": "f4"}, {"axis": 0, "dtype": "f8"})
    },
    "mean of half precision": lambda x, out: np.mean(a=x.astype("f2"), axis=0, out=out),
    "mean by position": lambda x, out: np.mean(x, 0, None, out),
    "variance under a mask": lambda x, out: np.var(x, 0, out=out, where=x > -1),
    "variance with gaps": lambda x, out: np.nanvar(np.where(x > 1, np.nan, x), 0, out=out),
    "median": lambda x, out: np.median(x[:8], 0, out=out),
    "median with gaps": lambda x, out: np.median(np.where(x > 2, np.nan, x), 0, out=out),
    "median, its axes kept": lambda x, out: np.median(x[:8], 0, out=out[None], keepdims=True),
    "range": lambda x, out: np.ptp(x, 0, out=out),
    "trace": lambda x, out: np.trace(x.reshape(3, 3, 4), out=out),
    "rounded": lambda x, out: np.round(x[0], 2, out=out),
    "rounded to tens": lambda x, out: np.round(100 * x[0], -1, out=out),
    "a third": lambda x, out: np.quantile(x, 1 / 3, axis=0, out=out),
    "70 %": lambda x, out: np.percentile(x, 70, axis=0, out=out),
    "an entry": lambda x, out: np.quantile(x, 0.7, axis=0, method="lower", out=out),
    "weighted": lambda x, out: np.quantile(
        x, 0.7, axis=0, method="inverted_cdf", weights=np.arange(9) + 1.0, out=out
    ),
    "taken": lambda x, out: np.take(x[0], [3, 2, 1, 0], out=out),
    "compressed": lambda x, out: np.compress(np.ones(4, bool), x[0], out=out),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("name", IN_STEPS)
def test_each_step_is_in_the_precision_of_numpys(name: str, dtype: Any) -> None:
    def call(x: Any) -> Any:
        result = np.zeros(INEXACT.shape if "cumsum" in name else 4, dtype)
        IN_STEPS[name](x.astype(np.float32), out=result)
        return result * 1.0

    try:
        expected = call(INEXACT)
    except TypeError as refusal:
        with pytest.raises(type(refusal)):
            sd.vjp(call, INEXACT)
        return
    value, pullback = sd.vjp(call, INEXACT)
    np.testing.assert_array_equal(value, expected)
    if dtype == np.float64 and "rounded" not in name and "half" not in name:
        direction = np.cos(np.arange(36.0)).reshape(9, 4)
        slope = np.sum((call(INEXACT + 1e-2 * direction) - call(INEXACT - 1e-2 * direction)) / 2e-2)
        found = np.sum(pullback(np.ones_like(expected))[0] * direction)
        assert slope == pytest.approx(found, rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("function", [np.prod, np.multiply.reduce])
def test_what_numpy_cuts_piece_by_piece_is_refused(function: Any) -> None:
    x = np.exp(1j * np.arange(20_000.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not np.isclose(out(function, x, float), function(x).real)
    with pytest.raises(UnsupportedError, match="buffer"):
        sd.grad(lambda x: out(function, x, float))(x)
