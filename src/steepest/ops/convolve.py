"""Discrete convolution of two sequences, and recursive filters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from steepest.graph import ArrayType
from steepest.ops.contract import zero_safe_matmul
from steepest.ops.spec import Primitive, Sample, Value, bind, needs_care

__all__ = ["PRIMITIVES"]


def _evaluate_convolve(x: Value, y: Value, mode: Any) -> Value:
    return np.convolve(x, y, mode)


def _convolution_type(x: ArrayType, y: ArrayType, mode: str) -> ArrayType:
    shorter, longer = sorted((x.size, y.size))
    length = longer + shorter - 1 if mode == "full" else longer - shorter + 1
    dtype = np.convolve(np.empty(1, x.dtype), np.empty(1, y.dtype)).dtype
    return ArrayType((length,), dtype)


def _evaluate_zero_safe(x: Value, y: Value, mode: str) -> Value:
    result = _evaluate_convolve(x, y, mode)
    if not needs_care(result):
        return result
    longer, shorter = (np.asarray(each) for each in ((x, y) if len(x) >= len(y) else (y, x)))
    if mode == "full":
        longer = np.pad(longer, len(shorter) - 1)
    windows = np.lib.stride_tricks.sliding_window_view(longer, len(shorter))
    return np.ravel(zero_safe_matmul(windows, shorter[::-1, None]))


def _pulled(x: Value, y: Value, mode: str) -> Value:
    return bind(zero_safe_convolve, (x, y), {"mode": mode})


def _convolve_left(g: Value, y: Value, mode: str) -> Value:
    return _pulled(g, np.flip(y), "valid" if mode == "full" else "full")


def _convolve_right(g: Value, x: Value, mode: str) -> Value:
    if mode == "full":
        return _pulled(g, np.flip(x), "valid")
    return np.flip(_pulled(x, np.flip(g), "valid"))


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    for long, short, mode in (
        (5, 3, "full"),
        (5, 3, "valid"),
        (2, 3, "full"),
        (3, 3, "valid"),
        (4, 1, "full"),
    ):
        yield Sample((rng.uniform(-1, 1, long), rng.uniform(-1, 1, short)), {"mode": mode})


def _entry(name: str, evaluate: Any) -> Primitive:
    return Primitive(
        name,
        evaluate,
        infer=_convolution_type,
        arguments="x y",
        vjps=(_convolve_left, _convolve_right),
        jvp=(lambda t, y, mode: _pulled(t, y, mode), lambda t, x, mode: _pulled(x, t, mode)),
        samples=_samples,
    )


convolve = _entry("convolve", _evaluate_convolve)
"""``np.convolve``: mode "full", or "valid" where y is not longer than x."""

zero_safe_convolve = _entry("zero_safe_convolve", _evaluate_zero_safe)
"""The convolution of cotangents, in which a zero factor makes a zero term; see `scale`."""


# Recursive filters


def _evaluate_recursion(a: Value, x: Value) -> Value:
    from scipy.signal import lfilter

    dtype = _filter_dtype(a.dtype, x.dtype)
    return lfilter(np.ones(1, dtype), a.astype(dtype), x.astype(dtype), axis=-1)


def _filter_dtype(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    dtype = np.result_type(*dtypes)
    if dtype.char not in "fdgFDG":
        raise TypeError(f"input type {dtype.name!r} is not supported in recursive filters")
    return dtype


def _recursion_back(g: Value, a: Value) -> Value:
    return np.flip(recursive_filter(a, np.flip(g, -1)), -1)


def _coefficients_back(g: Value, a: Value, ans: Value) -> Value:
    back, length = _recursion_back(g, a), ans.shape[-1]
    lags = range(min(a.shape[0], length))
    entries = [-np.sum(back[..., lag:] * ans[..., : length - lag]) for lag in lags]
    return np.stack([*entries, *[np.zeros((), ans.dtype)] * (a.shape[0] - len(entries))])


def _recursion_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for order, shape in ((2, (5,)), (3, (2, 4)), (4, (2,)), (1, (3,))):
        a = np.concatenate([[1.0], rng.uniform(-0.3, 0.3, order)])
        yield Sample((a, rng.uniform(-1, 1, shape)))


recursive_filter: Primitive = Primitive(
    "recursive_filter",
    _evaluate_recursion,
    infer=lambda a, x: ArrayType(x.shape, _filter_dtype(a.dtype, x.dtype)),
    arguments="a x",
    vjps=(_coefficients_back, _recursion_back),
    samples=_recursion_samples,
)
"""The signal y along the last axis with ``a[0] y[n] + a[1] y[n-1] + … = x[n]``."""

PRIMITIVES = (convolve, zero_safe_convolve, recursive_filter)
