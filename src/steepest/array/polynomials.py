"""NumPy's polynomials: coefficients from the highest power down, as in ``np.polyval``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.array import Array
from steepest.array.plain import holds, plain_value
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


def polyval(p: Value, x: Value) -> Value:
    p = as_array(p)
    if isinstance(x, np.poly1d):
        raise UnsupportedError(
            "np.polyval of a poly1d, with coefficients that are traced, has a poly1d as its value",
            instead="a loop of p = np.polyadd(np.polymul(p, x.coeffs), coefficient)",
        )
    x = as_array(x)
    result: Value = np.zeros(x.shape, x.dtype)
    for position in range(len(p)):
        result = result * x + p[position]
    return result


def vander(x: Value, N: int | None = None, increasing: bool = False) -> Value:  # noqa: N803
    x = as_array(x)
    if x.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    count = len(x) if N is None else N
    dtype = np.promote_types(x.dtype, int)
    x = x.astype(dtype)
    powers = [np.ones(len(x), dtype), *[x] * max(count - 1, 0)][:count]
    for position in range(2, len(powers)):
        powers[position] = powers[position - 1] * x
    if not powers:
        return np.empty((len(x), 0), dtype)
    return np.stack(powers if increasing else powers[::-1], axis=1)


def _padded(a1: Value, a2: Value) -> tuple[Value, Value]:
    """Give two polynomials the same number of coefficients."""
    first, second = np.atleast_1d(as_array(a1)), np.atleast_1d(as_array(a2))
    missing = len(second) - len(first)
    if missing > 0:
        first = np.concatenate([np.zeros(missing, first.dtype), first])
    elif missing < 0:
        second = np.concatenate([np.zeros(-missing, second.dtype), second])
    return first, second


def polyadd(a1: Value, a2: Value) -> Value:
    first, second = _padded(a1, a2)
    return first + second


def polysub(a1: Value, a2: Value) -> Value:
    first, second = _padded(a1, a2)
    return first - second


def polymul(a1: Value, a2: Value) -> Value:
    return np.convolve(_trimmed(a1), _trimmed(a2))


def _trimmed(a: Value) -> Value:
    """Drop the coefficients in front that are zero, as np.poly1d does."""
    a = np.atleast_1d(as_array(a))
    if a.ndim != 1:
        raise ValueError("Polynomial must be 1d only.")
    present = np.flatnonzero(plain_value(a, "np.polymul"))
    if not len(present):
        return np.zeros(1, a.dtype)
    return a[int(present[0]) :]


def polydiv(u: Value, v: Value) -> tuple[Value, Value]:
    u, v = np.atleast_1d(as_array(u)) + 0.0, np.atleast_1d(as_array(v)) + 0.0
    dtype = (u[0] + v[0]).dtype
    degrees = len(u) - len(v)
    inverse = 1.0 / v[0]
    rest, quotient = u.astype(dtype), []
    for position in range(degrees + 1):
        factor = inverse * rest[position]
        quotient.append(factor)
        end = position + len(v)
        rest = np.concatenate([rest[:position], rest[position:end] - factor * v, rest[end:]])
    plain = plain_value(rest, "np.polydiv")
    first = 0
    while first < len(plain) - 1 and np.allclose(plain[first], 0, rtol=1e-14):
        first += 1
    return (np.stack(quotient).astype(dtype) if quotient else np.zeros(1, dtype)), np.copy(
        rest[first:]
    )


def polyder(p: Value, m: int = 1) -> Value:
    m = int(m)
    if m < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    if not m and isinstance(p, Array):
        # As in NumPy no copy.
        return p
    p = as_array(p)
    for _ in range(m):
        p = p[:-1] * np.arange(len(p) - 1, 0, -1)
    return p


def polyint(p: Value, m: int = 1, k: Value = None) -> Value:
    m = int(m)
    if m < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    if isinstance(k, (list, tuple)):
        k = np.stack([as_array(each) for each in k]) if k else np.zeros(0)
    constants = np.atleast_1d(as_array(np.zeros(m) if k is None else k))
    if len(constants) == 1 and m > 1:
        constants = constants[0] * np.ones(m)
    if len(constants) < m:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    if not m and isinstance(p, Array):
        # As in NumPy no copy.
        return p
    p = as_array(p)
    for order in range(m):
        p = np.concatenate([p / np.arange(len(p), 0, -1), constants[order : order + 1]])
    return p


def poly(seq_of_zeros: Value) -> Value:
    zeros = np.atleast_1d(as_array(seq_of_zeros))
    if zeros.ndim == 2 and zeros.shape[0] == zeros.shape[1] != 0:
        zeros = np.linalg.eigvals(zeros)
    elif zeros.ndim != 1:
        raise ValueError("input must be 1d or non-empty square 2d array.")
    else:
        zeros = zeros.astype(np.mintypecode(zeros.dtype.char))
    if not len(zeros):
        return 1.0
    result: Value = np.ones(1, zeros.dtype)
    one = np.ones(1, zeros.dtype)
    for position in range(len(zeros)):
        result = np.convolve(result, np.concatenate([one, -zeros[position : position + 1]]))
    if zeros.dtype.kind == "c":
        plain = plain_value(zeros, "np.poly of complex zeros")
        if np.all(np.sort(plain) == np.sort(plain.conj())):
            result = np.copy(np.real(result))
    return result


def roots(p: Value) -> Value:
    p = np.atleast_1d(as_array(p))
    if p.ndim != 1:
        raise ValueError("Input must be a rank-1 array.")
    present = np.flatnonzero(plain_value(p, "np.roots"))
    if not len(present):
        return np.array([])
    zeros = len(p) - int(present[-1]) - 1
    p = p[int(present[0]) : int(present[-1]) + 1]
    if len(p) < 2:
        return np.zeros(zeros)
    # The companion matrix has the polynomial's roots for eigenvalues.
    below = np.eye(len(p) - 2, len(p) - 1, dtype=p.dtype)
    companion = np.concatenate([np.reshape(-p[1:] / p[0], (1, -1)), below])
    found = np.linalg.eigvals(companion)
    return np.concatenate([found, np.zeros(zeros, found.dtype)])


def polyfit(
    x: Value,
    y: Value,
    deg: int,
    rcond: float | None = None,
    full: bool = False,
    w: Value = None,
    cov: Any = False,
) -> Any:
    order = int(deg) + 1
    x, y = as_array(x) + 0.0, as_array(y) + 0.0
    if deg < 0:
        raise ValueError("expected deg >= 0")
    if x.ndim != 1:
        raise TypeError("expected 1D vector for x")
    if x.size == 0:
        raise TypeError("expected non-empty vector for x")
    if y.ndim < 1 or y.ndim > 2:
        raise TypeError("expected 1D or 2D array for y")
    if x.shape[0] != y.shape[0]:
        raise TypeError("expected x and y to have same length")
    if rcond is None:
        rcond = len(x) * np.finfo(x.dtype).eps
    left, right = np.vander(x, order), y
    if w is not None:
        w = as_array(w) + 0.0
        if w.ndim != 1:
            raise TypeError("expected a 1-d array for weights")
        if w.shape[0] != y.shape[0]:
            raise TypeError("expected w and y to have the same length")
        left = (left * w[:, None]).astype(left.dtype)
        right = (right * (w[:, None] if y.ndim == 2 else w)).astype(y.dtype)
    # Columns of length one make the system better conditioned.
    scale = np.sqrt(np.sum(left * left, axis=0))
    left = left / scale
    coefficients, residuals, rank, singular = np.linalg.lstsq(left, right, rcond)
    coefficients = np.copy((coefficients.T / scale).T)
    if holds(np.not_equal(rank, order)) and not full:
        warnings.warn("Polyfit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=4)
    if full:
        return coefficients, residuals, rank, singular, rcond
    if not cov:
        return coefficients
    base = np.linalg.inv(left.T @ left) / np.outer(scale, scale)
    factor: Value = 1
    if cov != "unscaled":
        if len(x) <= order:
            raise ValueError(
                "the number of data points must exceed order to scale the covariance matrix"
            )
        factor = residuals / (len(x) - order)
    return coefficients, (base if y.ndim == 1 else base[:, :, None]) * factor


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.polyval: polyval,
    np.polyadd: polyadd,
    np.polysub: polysub,
    np.polymul: polymul,
    np.polydiv: polydiv,
    np.polyder: polyder,
    np.polyint: polyint,
    np.polyfit: polyfit,
    np.poly: poly,
    np.roots: roots,
    np.vander: vander,
}
