"""The functions of ``scipy.special`` that are no ufuncs, on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.array import value_type
from steepest.array.plain import is_known, plain_value
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


def _floating(value: Value) -> Value:
    array = as_array(value)
    return array if array.dtype.kind in "fc" else array.astype(np.float64)


def _shift(a: Value, axis: Any) -> Value:
    """Find the largest entry, as something that is not differentiated, and finite."""
    plain = _stopped(a)
    largest = np.max(plain, axis=axis, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(largest), largest, np.zeros((), a.dtype))


def _stopped(value: Value) -> Value:
    """Take a value without its derivative; ``floor(x / inf)`` has none where only shapes are known.

    What the shift of an exponential is cancels out.
    """
    return plain_value(value, "a shift") if is_known(value) else value


def logsumexp(
    a: Value,
    axis: Any = None,
    b: Value | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
) -> Any:
    a = np.atleast_1d(_floating(a))
    if b is not None:
        is_weak = not isinstance(b, (list, tuple)) and value_type(b).weak
        b = _floating(b).astype(a.dtype) if is_weak else _floating(b)
        a, b = np.broadcast_arrays(a, b)
    if a.dtype.kind == "c" or (b is not None and b.dtype.kind == "c"):
        axes = tuple(range(a.ndim)) if axis is None else axis
        result = _complex_log_sum(a, b, axes)
        sign: Value = np.where(np.isneginf(result.real), 0, np.exp(1j * result.imag))
        sign = sign.astype(result.dtype)
        result = result.real if return_sign else result
    elif b is None:
        axes = tuple(range(a.ndim)) if axis is None else axis
        result = _log_sum(a, axes)
        sign = np.where(np.isneginf(result), 0, np.ones((), a.dtype))
        sign = np.where(np.isnan(result), result, sign)
    else:
        axes = tuple(range(a.ndim)) if axis is None else axis
        dtype = np.result_type(a.dtype, b.dtype)
        # What has no weight adds nothing, whatever it is.
        a = np.where(b == 0, -np.inf, a).astype(dtype)
        shift = _shift(a, axes)
        total = np.sum(b * np.exp(a - shift), axis=axes, keepdims=True)
        sign = np.sign(total)
        with np.errstate(divide="ignore", invalid="ignore"):
            result = np.log(np.abs(total) if return_sign else total) + shift
    if not keepdims:
        result, sign = (np.squeeze(each, axis=axes) for each in (result, sign))
    return (result[()], sign[()]) if return_sign else result[()]


def _log_sum(a: Value, axes: Any) -> Value:
    """Take the logarithm of the sum, whose rule is exact also where entries are infinite."""
    if isinstance(axes, tuple):
        for axis in axes:
            a = np.logaddexp.reduce(a, axis=axis, keepdims=True)
        return a
    return np.logaddexp.reduce(a, axis=axes, keepdims=True)


def _complex_log_sum(a: Value, b: Value | None, axes: Any) -> Value:
    """Take the logarithm of a weighted sum, with the angle between -π and π."""
    if b is not None:
        a = np.where(b == 0, -np.inf, a).astype(np.result_type(a.dtype, b.dtype))
    size = _stopped(a.real)
    # One of the largest stands apart, for the digits of what the others add to it.
    places = np.where(size == np.max(size, axis=axes, keepdims=True), _numbered(size), -1)
    largest = places == np.max(places, axis=axes, keepdims=True)
    first = np.sum(np.where(largest, a, 0), axis=axes, keepdims=True)
    with np.errstate(all="ignore"):
        others = np.exp(np.where(largest, -np.inf, a - first))
        weighted = others if b is None else b * others
        rest = np.sum(weighted, axis=axes, keepdims=True)
        if b is not None:
            weight = np.sum(np.where(largest, b, 0), axis=axes, keepdims=True)
            rest, first = rest / weight, first + np.log(weight.astype(a.dtype))
        result = np.log1p(rest) + first
        direct = np.log(np.sum(np.exp(a) if b is None else b * np.exp(a), axis=axes, keepdims=True))
    result = np.where(np.isfinite(result), result, direct)
    angle = _stopped(result.imag)
    turns = np.where(np.abs(angle) < np.pi, 0, np.ceil((angle - np.pi) / (2 * np.pi)))
    return (result - 2j * np.pi * turns).astype(a.dtype)


def _numbered(like: Value) -> Value:
    return np.arange(np.size(like)).reshape(np.shape(like))


def softmax(x: Value, axis: Any = None) -> Value:
    x = _floating(x)
    with np.errstate(invalid="ignore"):
        raised = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return raised / np.sum(raised, axis=axis, keepdims=True)


def log_softmax(x: Value, axis: Any = None) -> Value:
    x = _floating(x)
    largest = np.max(x, axis=axis, keepdims=True)
    shifted = x - np.where(np.isfinite(largest), largest, np.zeros((), x.dtype))
    with np.errstate(divide="ignore"):
        return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def multigammaln(a: Value, d: Any) -> Value:
    from scipy.special import gammaln

    a = as_array(a)
    if is_known(a) and np.any(plain_value(a, "multigammaln") <= 0.5 * (d - 1)):
        raise ValueError(f"condition a > 0.5 * (d-1) not met, of a = {a} and d = {d}")
    terms = [gammaln(a - (j - 1.0) / 2) for j in range(1, d + 1)]
    return d * (d - 1) * 0.25 * np.log(np.pi) + sum(terms)


def polygamma(n: Any, x: Value) -> Value:
    from scipy.special import digamma, gamma, zeta

    n = np.asarray(plain_value(n, "the order of scipy.special.polygamma"))
    x = as_array(x)
    general = (-1.0) ** (n + 1) * gamma(n + 1.0) * zeta(n + 1, x)
    return np.where(n == 0, digamma(x), general)


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.special": {
        function.__name__: function
        for function in (log_softmax, logsumexp, multigammaln, polygamma, softmax)
    }
}
"""By module and name."""
