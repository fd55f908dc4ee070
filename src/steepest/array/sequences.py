"""NumPy's functions of sequences: running products, differences, integrals, interpolation."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from steepest.array.arguments import as_array
from steepest.array.array import Array, value_type
from steepest.array.buffers import duck
from steepest.array.indexing import read
from steepest.array.plain import is_known, may_hold, plain_value
from steepest.ops import primitive
from steepest.ops.spec import Value, bind, scale

__all__ = ["FUNCTIONS"]


def _at(axis: int, item: Any) -> tuple[Any, ...]:
    """Key that reads along one axis."""
    return (*[slice(None)] * axis, item)


# Running products and sums


def cumprod(a: Value, axis: Any = None, dtype: Any = None, out: None = None) -> Value:
    a = as_array(a)
    if axis is None or not a.ndim:
        a, axis = np.ravel(a), 0 if axis is None else axis
    if dtype is not None and np.dtype(dtype) != a.dtype:
        a = a.astype(dtype)
    axis = normalize_axis_index(operator.index(axis), a.ndim)
    return bind(primitive("cumprod"), (a,), {"axis": axis})


def _cumulative(run: Callable[..., Value], first: int, name: str) -> Callable[..., Value]:
    def cumulative(
        x: Value,
        /,
        *,
        axis: int | None = None,
        dtype: Any = None,
        out: None = None,
        include_initial: bool = False,
    ) -> Value:
        x = np.atleast_1d(as_array(x))
        if axis is None:
            if x.ndim > 1:
                raise ValueError(
                    "For arrays which have more than one dimension ``axis`` argument is required."
                )
            axis = 0
        result = run(x, axis=axis, dtype=dtype)
        if not include_initial:
            return result
        lengths = list(result.shape)
        lengths[axis] = 1
        return np.concatenate([np.full(lengths, first, result.dtype), result], axis=axis)

    return cumulative


# Differences and integrals


def ediff1d(ary: Value, to_end: Value = None, to_begin: Value = None) -> Value:
    ary = np.ravel(as_array(ary))
    parts = [ary[1:] - ary[:-1]]
    for each, name, place in ((to_begin, "to_begin", 0), (to_end, "to_end", len(parts) + 1)):
        if each is None:
            continue
        extra = as_array(each)
        if not np.can_cast(extra.dtype, ary.dtype, casting="same_kind"):
            raise TypeError(
                f"dtype of `{name}` must be compatible with input `ary` under the `same_kind` rule."
            )
        parts.insert(place, np.ravel(extra).astype(ary.dtype))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def gradient(f: Value, *varargs: Value, axis: Any = None, edge_order: int = 1) -> Any:
    f = as_array(f)
    axes = tuple(range(f.ndim)) if axis is None else normalize_axis_tuple(axis, f.ndim)
    spacings = _spacings(varargs, axes, f.shape)
    if edge_order > 2:
        raise ValueError("'edge_order' greater than 2 not supported")
    if f.dtype.kind in "iu":
        f = f.astype(np.float64)
    results = []
    for each, spacing in zip(axes, spacings, strict=True):
        if f.shape[each] < edge_order + 1:
            raise ValueError(
                "Shape of array too small to calculate a numerical gradient, "
                "at least (edge_order + 1) elements are required."
            )
        results.append(_slopes(f, spacing, each, edge_order))
    return results[0] if len(axes) == 1 else tuple(results)


def _spacings(given: tuple[Value, ...], axes: tuple[int, ...], shape: tuple[int, ...]) -> list[Any]:
    """List for each axis the distance of its points, or their distances."""
    if not given:
        return [1.0] * len(axes)
    if len(given) == 1 and np.ndim(given[0]) == 0:
        return list(given) * len(axes)
    if len(given) != len(axes):
        raise TypeError("invalid number of arguments")
    spacings = []
    for each, axis in zip(given, axes, strict=True):
        if np.ndim(each) == 0:
            spacings.append(each)
            continue
        points = as_array(each)
        if points.ndim != 1:
            raise ValueError("distances must be either scalars or 1d")
        if len(points) != shape[axis]:
            raise ValueError(
                "when 1d, distances must match the length of the corresponding dimension"
            )
        if points.dtype.kind in "iu":
            points = points.astype(np.float64)
        distances = np.diff(points)
        # Points that are evenly spaced and stay so.
        if not isinstance(distances, Array) and (distances == distances[0]).all():
            distances = distances[0]
        spacings.append(distances)
    return spacings


def _slopes(f: Value, spacing: Value, axis: int, edge_order: int) -> Value:
    """Difference along an axis: centrally, and one-sidedly at its ends."""
    uniform = np.ndim(spacing) == 0

    def at(item: Any) -> Value:
        return f[_at(axis, item)]

    def widened(weight: Value) -> Value:
        return np.reshape(weight, (-1, *[1] * (f.ndim - axis - 1)))

    if uniform:
        inner = (at(slice(2, None)) - at(slice(None, -2))) / (2.0 * spacing)
    else:
        one, two = spacing[:-1], spacing[1:]
        a, b, c = -two / (one * (one + two)), (two - one) / (one * two), one / (two * (one + two))
        inner = (
            widened(a) * at(slice(None, -2))
            + widened(b) * at(slice(1, -1))
            + widened(c) * at(slice(2, None))
        )
    if edge_order == 1:
        first = (at(1) - at(0)) / (spacing if uniform else spacing[0])
        last = (at(-1) - at(-2)) / (spacing if uniform else spacing[-1])
    else:
        if uniform:
            one = two = spacing
            before = (-1.5 / spacing, 2.0 / spacing, -0.5 / spacing)
            after = (0.5 / spacing, -2.0 / spacing, 1.5 / spacing)
        else:
            one, two = spacing[0], spacing[1]
            before = (
                -(2.0 * one + two) / (one * (one + two)),
                (one + two) / (one * two),
                -one / (two * (one + two)),
            )
            one, two = spacing[-2], spacing[-1]
            after = (
                two / (one * (one + two)),
                -(two + one) / (one * two),
                (2.0 * two + one) / (two * (one + two)),
            )
        first = before[0] * at(0) + before[1] * at(1) + before[2] * at(2)
        last = after[0] * at(-3) + after[1] * at(-2) + after[2] * at(-1)
    dtype = f.dtype if f.dtype.kind in "fc" else np.dtype(np.float64)
    parts = [np.expand_dims(first, axis), inner, np.expand_dims(last, axis)]
    return np.concatenate([each.astype(dtype) for each in parts], axis=axis)


def trapezoid(y: Value, x: Value = None, dx: Value = 1.0, axis: int = -1) -> Value:
    y = as_array(y)
    axis = normalize_axis_index(axis, y.ndim)
    if x is None:
        distances = dx
    else:
        x = as_array(x)
        if x.ndim == 1:
            distances = np.reshape(np.diff(x), (-1, *[1] * (y.ndim - axis - 1)))
        else:
            distances = np.diff(x, axis=axis - y.ndim)
    both = y[_at(axis, slice(1, None))] + y[_at(axis, slice(None, -1))]
    return np.sum(distances * both / 2.0, axis=axis - y.ndim)


def unwrap(p: Value, discont: Value = None, axis: int = -1, *, period: Value = 2 * np.pi) -> Value:
    p = as_array(p)
    steps = np.diff(p, axis=axis)
    dtype = np.result_type(
        value_type(steps).dtype,
        value_type(period).promotion_type if isinstance(period, Array) else period,
    )
    if discont is None:
        discont = period / 2
    if dtype.kind in "iu":
        high, rest = divmod(period, 2)
        ambiguous = rest == 0
    else:
        high, ambiguous = period / 2, True
    wrapped = np.mod(steps + high, period) - high
    if ambiguous:
        # Half a period up is not half a period down.
        wrapped = np.where(np.equal(wrapped, -high) & (steps > 0), high, wrapped)
    correction = wrapped - steps
    correction = np.where(np.abs(steps) < discont, correction.dtype.type(0), correction)
    axis = normalize_axis_index(axis, p.ndim)
    moved = p[_at(axis, slice(1, None))] + np.cumsum(correction, axis=axis)
    return np.concatenate(
        [p[_at(axis, slice(None, 1))].astype(dtype), moved.astype(dtype)], axis=axis
    )


# Interpolation


def interp(
    x: Value,
    xp: Value,
    fp: Value,
    left: Value = None,
    right: Value = None,
    period: Value = None,
) -> Value:
    x, xp, fp = as_array(x), as_array(xp), as_array(fp)
    for end in (left, right):
        if end is not None and value_type(end).ndim:
            float(np.ones(value_type(end).shape))  # NumPy's error
    # With a period it takes the real parts of complex numbers.
    casting = "safe" if period is None else "unsafe"
    kind = np.complex128 if fp.dtype.kind == "c" else np.float64
    x, xp, fp = (
        each if each.dtype == dtype else each.astype(dtype, casting=casting)
        for each, dtype in ((x, np.float64), (xp, np.float64), (fp, kind))
    )
    if xp.ndim != 1 or fp.ndim != 1:
        raise ValueError("Data points must be 1-D sequences")
    if len(xp) != len(fp):
        raise ValueError("fp and xp are not of the same length.")
    if not len(xp):
        raise ValueError("array of sample points is empty")
    if period is not None:
        if is_known(period) and period == 0:
            raise ValueError("period must be a non-zero value")
        left = right = None
        period = np.abs(period)
        x, xp = x % period, xp % period
        order = np.argsort(xp)
        xp, fp = read(xp, order), read(fp, order)
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
    if fp.dtype.kind != "c":
        result = _interpolate(x, xp, fp, left, right)
    else:
        # As numbers of two parts an infinity in one of them would make both NaN.
        ends = left, right
        result = duck(np.zeros(x.shape, fp.dtype))
        result.real, result.imag = (
            _interpolate(x, xp, part(fp), *(None if each is None else part(each) for each in ends))
            for part in (np.real, np.imag)
        )
        if len(xp) > 1:
            result.imag[np.isnan(x)] = 0
    return result if x.ndim else result[()]


def _interpolate(x: Value, xp: Value, fp: Value, left: Value, right: Value) -> Value:
    """Interpolate linearly; at a knot with the mean of the slopes beside it."""
    count = len(xp)
    after: Value = np.searchsorted(xp, x, side="right")
    if may_hold(np.isnan(xp[0])):
        # Nothing is said to be before a NaN.
        after = np.where(np.less(x, xp[0]), 0, np.maximum(after, 1))
    knot = np.clip(after - 1, 0, count - 1)
    start = read(xp, knot)
    value = read(fp, knot)
    at_knot = np.equal(x, start)
    flat = np.zeros(1, fp.dtype)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slopes = np.concatenate([flat, np.diff(fp) / np.diff(xp), flat])
        slope = read(slopes, after)
        if may_hold(at_knot):
            slope = np.where(at_knot, (read(slopes, np.maximum(after - 1, 0)) + slope) / 2, slope)
        # The products by 0 at a knot and beyond the ends are 0 whatever the slope.
        result = scale(x - start, slope) + value
        lost = np.isnan(result) | (np.isinf(start) & ~at_knot)
        if may_hold(lost):
            # From the other end of an interval whose slope is infinite.
            end = np.minimum(knot + 1, count - 1)
            beyond = read(fp, end)
            again = slope * (x - read(xp, end)) + beyond
            again = np.where(np.isnan(again) & np.equal(beyond, value), value, again)
            result = np.where(lost & (after > 0) & (after < count), again, result)
            result = np.where(at_knot & np.isinf(start), value, result)
    if left is not None:
        result = np.where(x < xp[0], left, result)
    if right is not None:
        result = np.where(x > xp[-1], right, result)
    missing = np.isnan(x)
    if count == 1:
        # A constant, which NumPy returns for NaN too.
        return np.where(missing, value, result) if may_hold(missing) else result
    return np.where(missing, x, result) if may_hold(missing) else result


# Convolution


_MODES = ("valid", "same", "full")
"""The ways of convolving, in the order of the numbers that NumPy has for them."""


def convolve(a: Value, v: Value, mode: str | int = "full") -> Value:
    a, v = np.atleast_1d(as_array(a)), np.atleast_1d(as_array(v))
    if len(v) > len(a):
        a, v = v, a
    return _convolve(a, v, mode)


def correlate(a: Value, v: Value, mode: str | int = "valid") -> Value:
    a, v = as_array(a), as_array(v)
    if not a.ndim or not v.ndim:
        raise ValueError("object of too small depth for desired array")
    if v.dtype.kind == "c":
        v = np.conj(v)
    if len(v) > len(a):
        return np.copy(np.flip(_convolve(v, np.flip(a), mode)))
    return _convolve(a, np.flip(v), mode)


def _convolve(long: Value, short: Value, mode: str | int) -> Value:
    for each, name in ((long, "a"), (short, "v")):
        if each.ndim != 1:
            raise ValueError("object too deep for desired array")
        if not len(each):
            raise ValueError(f"{name} cannot be empty")
    if type(mode) is int and 0 <= mode < len(_MODES):
        mode = _MODES[mode]
    if mode not in _MODES:
        raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")
    result = bind(
        primitive("convolve"), (long, short), {"mode": "valid" if mode == "valid" else "full"}
    )
    if mode != "same":
        return result
    start = len(short) - 1 - len(short) // 2
    return np.copy(result[start : start + len(long)])


# Parts and repetitions


def resize(a: Value, new_shape: Any) -> Value:
    shape = (new_shape,) if isinstance(new_shape, (int, np.integer)) else tuple(new_shape)
    if any(length < 0 for length in shape):
        raise ValueError("all elements of `new_shape` must be non-negative")
    entries = np.ravel(as_array(a))
    size = math.prod(shape)
    if not entries.size or not size:
        return np.zeros_like(entries, shape=shape)
    return np.reshape(np.take(entries, np.arange(size) % entries.size), shape)


def trim_zeros(filt: Value, trim: Any = "fb", axis: Any = None) -> Value:
    plain = plain_value(filt, "np.trim_zeros")
    # NumPy's errors; before 2.2 it took one axis alone.
    np.trim_zeros(plain, trim, **({} if axis is None else {"axis": axis}))
    ndim = np.ndim(plain)
    if not ndim:
        return filt
    axes = range(ndim) if axis is None else normalize_axis_tuple(axis, ndim)
    found = np.argwhere(plain)
    if not len(found):
        return filt[tuple(slice(0, 0) if each in axes else slice(None) for each in range(ndim))]
    first, last = found.min(axis=0), found.max(axis=0) + 1
    front, back = "f" in trim.lower(), "b" in trim.lower()
    return filt[
        tuple(
            slice(first[each] if front else None, last[each] if back else None)
            if each in axes
            else slice(None)
            for each in range(ndim)
        )
    ]


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.cumprod: cumprod,
    np.ediff1d: ediff1d,
    np.resize: resize,
    np.trim_zeros: trim_zeros,
    np.gradient: gradient,
    np.trapezoid: trapezoid,
    np.unwrap: unwrap,
    np.interp: interp,
    np.convolve: convolve,
    np.correlate: correlate,
    np.cumulative_sum: _cumulative(np.cumsum, 0, "cumulative_sum"),
    np.cumulative_prod: _cumulative(np.cumprod, 1, "cumulative_prod"),
}
