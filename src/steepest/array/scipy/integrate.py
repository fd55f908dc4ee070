"""Integrals of samples, as ``scipy.integrate`` has them, on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


def trapezoid(y: Value, x: Value | None = None, dx: Value = 1.0, axis: int = -1) -> Value:
    from scipy.integrate import trapezoid as original

    y = as_array(y)
    x = None if x is None else as_array(x)
    gaps = dx if x is None else _gaps(x, y, axis)
    # Which dtype has the last word has changed with SciPy's versions.
    points = None if x is None else np.zeros(2, x.dtype)
    dtype = original(np.zeros(2, y.dtype), points).dtype
    y = np.moveaxis(y, axis, -1)
    return np.sum(gaps * (y[..., 1:] + y[..., :-1]) / 2.0, axis=-1, dtype=dtype)


def _gaps(x: Value, y: Value, axis: int) -> Value:
    """Find the distances of samples along the last axis."""
    if x.ndim == 1:
        if x.shape[0] != y.shape[axis]:
            raise ValueError("If given, length of x along axis must be the same as y.")
        return np.diff(x)
    return np.diff(np.moveaxis(x, axis, -1))


def cumulative_trapezoid(
    y: Value,
    x: Value | None = None,
    dx: Value = 1.0,
    axis: int = -1,
    initial: float | None = None,
) -> Value:
    y = as_array(y)
    if y.shape[axis] == 0:
        raise ValueError("At least one point is required along `axis`.")
    if initial not in (None, 0):
        raise ValueError("`initial` must be `None` or `0`.")
    if x is not None:
        x = as_array(x)
        if x.ndim not in (1, y.ndim):
            raise ValueError("If given, shape of x must be 1-D or the same as y.")
    gaps = dx if x is None else _gaps(x, y, axis)
    samples = np.moveaxis(y, axis, -1)
    result = np.cumsum(gaps * (samples[..., 1:] + samples[..., :-1]) / 2.0, axis=-1)
    if initial is not None:
        start = np.zeros((*result.shape[:-1], 1), result.dtype)
        result = np.concatenate([start, result], axis=-1)
    return np.moveaxis(result, -1, axis)


def simpson(y: Value, x: Value | None = None, *, dx: Value = 1.0, axis: int = -1) -> Value:
    y = as_array(y)
    count = y.shape[axis]
    if x is not None:
        x = as_array(x)
        if x.ndim not in (1, y.ndim):
            raise ValueError("If given, shape of x must be 1-D or the same as y.")
        if x.shape[0 if x.ndim == 1 else axis] != count:
            raise ValueError("If given, length of x along axis must be the same as y.")
    gaps = None if x is None else _gaps(x, y, axis)
    y = np.moveaxis(y, axis, -1)
    if count % 2:
        return _parabolas(y, gaps, dx)
    if count == 2:
        return 0.5 * (dx if gaps is None else gaps[..., 0]) * (y[..., 1] + y[..., 0])
    result = _parabolas(y[..., :-1], None if gaps is None else gaps[..., :-1], dx)
    before, last = (dx, dx) if gaps is None else (gaps[..., -2], gaps[..., -1])
    # The last interval, of the parabola through the last three samples (K. Cartwright, "Simpson's
    # rule cumulative integration with MS Excel and irregularly-spaced data", 2017, equation 8).
    alpha = _quotient(2 * last**2 + 3 * before * last, 6 * (last + before))
    beta = _quotient(last**2 + 3.0 * before * last, 6 * before)
    eta = _quotient(1 * last**3, 6 * before * (before + last))
    correction = alpha * y[..., -1] + beta * y[..., -2] - eta * y[..., -3]
    # SciPy adds it in place.
    return result + correction.astype(result.dtype)


def _parabolas(y: Value, gaps: Value | None, dx: Value) -> Value:
    """Integrate the parabolas through each three samples, of which there is an odd number."""
    first, middle, last = y[..., :-2:2], y[..., 1:-1:2], y[..., 2::2]
    if gaps is None:
        return np.sum(first + 4.0 * middle + last, axis=-1) * (dx / 3.0)
    left, right = gaps[..., ::2].astype(np.float64), gaps[..., 1::2].astype(np.float64)
    total, product = left + right, left * right
    ratio = _quotient(left, right)
    terms = (total / 6.0) * (
        first * (2.0 - _quotient(np.ones_like(ratio), ratio))
        + middle * (total * _quotient(total, product))
        + last * (2.0 - ratio)
    )
    return np.sum(terms, axis=-1)


def _quotient(numerator: Value, denominator: Value) -> Value:
    """Divide; what is divided by 0 is 0."""
    divisible = np.not_equal(denominator, 0)
    return np.where(divisible, numerator / np.where(divisible, denominator, 1.0), 0.0)


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.integrate": {
        function.__name__: function for function in (cumulative_trapezoid, simpson, trapezoid)
    }
}
"""By module and name."""
