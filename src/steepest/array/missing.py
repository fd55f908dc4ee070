"""NumPy's functions that pass over NaN."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import NO_VALUE, as_array, given
from steepest.array.array import Array
from steepest.array.plain import holds
from steepest.array.reductions import ddof_and_mean, mean_into, normalized_axes
from steepest.array.writing import into
from steepest.ops import primitive
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS"]


def _replaced(a: Value, value: float) -> tuple[Value, Value]:
    """Put a number in the place of NaN, and say where; nowhere in integers."""
    a = as_array(a)
    if a.dtype.kind not in "fc":
        return a, None
    missing = np.isnan(a)
    if not isinstance(missing, Array) and not np.any(missing):
        return a, missing
    return np.where(missing, a.dtype.type(value), a), missing


def _refuse_integers(dtype: Any, out: Value = None) -> None:
    if dtype is not None and np.dtype(dtype).kind not in "fc":
        raise TypeError("If a is inexact, then dtype must be inexact")
    if out is not None and out.dtype.kind not in "fc":
        raise TypeError("If a is inexact, then out must be inexact")


def nansum(
    a: Value,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: Any = NO_VALUE,
    initial: Any = NO_VALUE,
    where: Any = NO_VALUE,
) -> Value:
    settings = given(keepdims=keepdims, initial=initial, where=where)
    return np.sum(_replaced(a, 0)[0], axis=axis, dtype=dtype, **settings)


def nanprod(
    a: Value,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: Any = NO_VALUE,
    initial: Any = NO_VALUE,
    where: Any = NO_VALUE,
) -> Value:
    settings = given(keepdims=keepdims, initial=initial, where=where)
    return np.prod(_replaced(a, 1)[0], axis=axis, dtype=dtype, **settings)


def nancumsum(a: Value, axis: Any = None, dtype: Any = None, out: None = None) -> Value:
    return np.cumsum(_replaced(a, 0)[0], axis=axis, dtype=dtype)


def nancumprod(a: Value, axis: Any = None, dtype: Any = None, out: None = None) -> Value:
    return np.cumprod(_replaced(a, 1)[0], axis=axis, dtype=dtype)


def _quotient(total: Value, count: Value) -> Value:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.true_divide(total, count).astype(total.dtype)


def nanmean(
    a: Value,
    axis: Any = None,
    dtype: Any = None,
    out: Value = None,
    keepdims: Any = NO_VALUE,
    *,
    where: Any = NO_VALUE,
) -> Value:
    settings = given(keepdims=keepdims, where=where)
    array, missing = _replaced(a, 0)
    if missing is None:
        return np.mean(array, axis=axis, dtype=dtype, out=out, **settings)
    _refuse_integers(dtype, out)
    count = np.sum(np.logical_not(missing), axis=axis, dtype=np.intp, **settings)
    if out is None:
        result = _quotient(np.sum(array, axis=axis, dtype=dtype, **settings), count)
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            result = mean_into(out, array, count, axis=axis, dtype=dtype, **settings)
    if holds(np.equal(count, 0)):
        warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=4)
    return result


def nanvar(
    a: Value,
    axis: Any = None,
    dtype: Any = None,
    out: Value = None,
    ddof: float = 0,
    keepdims: Any = NO_VALUE,
    *,
    where: Any = NO_VALUE,
    mean: Any = NO_VALUE,
    correction: Any = NO_VALUE,
) -> Value:
    array, missing = _replaced(a, 0)
    if missing is None:
        settings = given(keepdims=keepdims, where=where, mean=mean, correction=correction)
        return np.var(array, axis=axis, dtype=dtype, out=out, ddof=ddof, **settings)
    _refuse_integers(dtype, out)
    settings = given(where=where)
    valid = np.logical_not(missing)
    count = np.sum(valid, axis=axis, dtype=np.intp, **settings, **given(keepdims=keepdims))

    def average() -> Value:
        total = np.sum(array, axis=axis, dtype=dtype, keepdims=True, **settings)
        each = np.sum(valid, axis=axis, dtype=np.intp, keepdims=True, **settings)
        return _quotient(total, each)

    ddof, mean = ddof_and_mean(ddof, correction, mean, average)
    deviation = (array - mean).astype(array.dtype)
    deviation = np.where(missing, array.dtype.type(0), deviation)
    square = (
        np.real(deviation * np.conj(deviation))
        if deviation.dtype.kind == "c"
        else deviation * deviation
    )
    degrees = count - ddof
    settings |= given(keepdims=keepdims)
    if out is None:
        result = _quotient(np.sum(square, axis=axis, dtype=dtype, **settings), degrees)
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            result = mean_into(out, square, degrees, axis=axis, dtype=dtype, **settings)
    lacking = np.less_equal(degrees, 0)
    if holds(lacking):
        warnings.warn("Degrees of freedom <= 0 for slice.", RuntimeWarning, stacklevel=4)
    elif not isinstance(lacking, Array):
        return result
    if out is not None:
        return into(out, np.nan, where=lacking)
    return np.where(lacking, result.dtype.type(np.nan), result)[()]


def nanstd(
    a: Value,
    axis: Any = None,
    dtype: Any = None,
    out: Value = None,
    ddof: float = 0,
    keepdims: Any = NO_VALUE,
    *,
    where: Any = NO_VALUE,
    mean: Any = NO_VALUE,
    correction: Any = NO_VALUE,
) -> Value:
    settings = given(keepdims=keepdims, where=where, mean=mean, correction=correction)
    if out is not None:
        return np.sqrt(np.nanvar(a, axis, dtype, out, ddof, **settings), out=out)
    return np.sqrt(np.nanvar(a, axis=axis, dtype=dtype, ddof=ddof, **settings))


def _extremum(extremum: Callable[..., Value], worst: float) -> Callable[..., Value]:
    def nan_extremum(
        a: Value,
        axis: Any = None,
        out: None = None,
        keepdims: Any = NO_VALUE,
        initial: Any = NO_VALUE,
        where: Any = NO_VALUE,
    ) -> Value:
        array, missing = _replaced(a, worst)
        settings = given(keepdims=keepdims, where=where)
        result = extremum(array, axis=axis, **settings, **given(initial=initial))
        if missing is None or initial is not NO_VALUE:
            return result
        nothing = np.all(missing, axis=axis, **settings)
        if holds(nothing):
            warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=4)
        elif not isinstance(nothing, Array):
            return result
        return np.where(nothing, result.dtype.type(np.nan), result)[()]

    return nan_extremum


def _argument(name: str) -> Callable[..., Value]:
    operation = primitive(name)

    def argument(
        a: Value, axis: Any = None, out: None = None, *, keepdims: Any = NO_VALUE
    ) -> Value:
        a = as_array(a)
        if axis is not None:
            # A number has no axis, but takes one.
            axis = (*normalized_axes(int(axis), a.ndim), None)[0]
        static = {"axis": axis, "keepdims": keepdims is not NO_VALUE and bool(keepdims)}
        return bind(operation, (a,), static)

    return argument


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.nansum: nansum,
    np.nanprod: nanprod,
    np.nancumsum: nancumsum,
    np.nancumprod: nancumprod,
    np.nanmean: nanmean,
    np.nanvar: nanvar,
    np.nanstd: nanstd,
    np.nanmax: _extremum(np.max, -np.inf),
    np.nanmin: _extremum(np.min, np.inf),
    np.nanargmax: _argument("nanargmax"),
    np.nanargmin: _argument("nanargmin"),
}
