"""NumPy's reductions with all their arguments, on top of the primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.array import Array, value_type
from steepest.errors import UnsupportedError
from steepest.ops import primitive
from steepest.ops.spec import Primitive, Value, bind

__all__ = ["FUNCTIONS"]

_NO_VALUE: Any = np._NoValue
"""What NumPy itself passes for a keyword that was not given."""


def normalized_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Turn ``axis`` as NumPy takes it into a sorted tuple of axes counted from 0."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if not isinstance(axis, (tuple, list)) else axis
    return tuple(sorted(np.lib.array_utils.normalize_axis_tuple(tuple(axes), ndim)))


def refuse_out(out: Any, name: str) -> None:
    if out is not None and out is not _NO_VALUE:
        raise UnsupportedError(
            f"np.{name} with out= is not supported on a traced value",
            instead=f"use the result: y = np.{name}(x)",
        )


def _reduce(operation: Primitive, a: Value, axis: Any, keepdims: Any) -> Value:
    # A Python number among the arguments is an array of NumPy's to a reduction.
    ndim = value_type(a).ndim
    return bind(
        operation,
        (a,),
        {
            "axis": normalized_axes(axis, ndim),
            "keepdims": bool(keepdims) if keepdims is not _NO_VALUE else False,
        },
    )


def _as_array(a: Value) -> Value:
    """Take a Python number as NumPy's functions do, as an array of its dtype."""
    return a.astype(a.dtype) if isinstance(a, Array) and value_type(a).weak else a


def sum_(
    a: Value,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: Any = _NO_VALUE,
    initial: Any = _NO_VALUE,
    where: Any = _NO_VALUE,
) -> Value:
    refuse_out(out, "sum")
    a = _as_array(a)
    if dtype is not None and np.dtype(dtype) != value_type(a).dtype:
        a = a.astype(dtype)
    if where is not _NO_VALUE and where is not True:
        a = np.where(where, a, np.zeros((), value_type(a).dtype))
    total = _reduce(_sum, a, axis, keepdims)
    return total if initial is _NO_VALUE else total + initial


def prod(
    a: Value,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: Any = _NO_VALUE,
    initial: Any = _NO_VALUE,
    where: Any = _NO_VALUE,
) -> Value:
    refuse_out(out, "prod")
    a = _as_array(a)
    if dtype is not None and np.dtype(dtype) != value_type(a).dtype:
        a = a.astype(dtype)
    if where is not _NO_VALUE and where is not True:
        a = np.where(where, a, np.ones((), value_type(a).dtype))
    product = _reduce(_prod, a, axis, keepdims)
    return product if initial is _NO_VALUE else product * initial


def _extremum(operation: Primitive, combine: np.ufunc, name: str) -> Callable[..., Value]:
    def extremum(
        a: Value,
        axis: Any = None,
        out: None = None,
        keepdims: Any = _NO_VALUE,
        initial: Any = _NO_VALUE,
        where: Any = _NO_VALUE,
    ) -> Value:
        refuse_out(out, name)
        a = _as_array(a)
        if initial is _NO_VALUE:
            if where is not _NO_VALUE and where is not True:
                raise ValueError(
                    f"reduction operation '{combine.__name__}' does not have an identity, so to"
                    " use a where mask one has to specify 'initial'"
                )
            return _reduce(operation, a, axis, keepdims)
        if where is not _NO_VALUE and where is not True:
            a = np.where(where, a, initial)
        kind = value_type(a)
        axes = normalized_axes(axis, kind.ndim)
        if any(kind.shape[each] == 0 for each in axes):
            shape = value_type(np.sum(np.zeros(kind.shape), axis=axes)).shape
            return np.broadcast_to(np.asarray(initial, kind.dtype), shape)
        return combine(_reduce(operation, a, axis, keepdims), initial)

    return extremum


def mean(
    a: Value,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: Any = _NO_VALUE,
    *,
    where: Any = _NO_VALUE,
) -> Value:
    refuse_out(out, "mean")
    kind = value_type(a)
    target = None
    if dtype is None:
        if kind.dtype.kind in "iub":
            dtype = np.float64
        elif kind.dtype == np.float16:
            # NumPy adds half precision up in single precision.
            dtype, target = np.float32, np.float16
    total = np.sum(a, axis=axis, dtype=dtype, keepdims=keepdims, where=where)
    result = total / _count(a, axis, keepdims, where)
    return result if target is None else result.astype(target)


def _count(a: Value, axis: Any, keepdims: Any, where: Any) -> Any:
    """Count the entries that a mean runs over: an int, or an array under a mask."""
    kind = value_type(a)
    if where is _NO_VALUE or where is True:
        return int(np.prod([kind.shape[each] for each in normalized_axes(axis, kind.ndim)]))
    mask = np.broadcast_to(where, kind.shape)
    keep = False if keepdims is _NO_VALUE else keepdims
    return np.sum(mask, axis=axis, keepdims=keep)


def var(
    a: Value,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: Any = _NO_VALUE,
    *,
    where: Any = _NO_VALUE,
    mean: Any = _NO_VALUE,
    correction: Any = _NO_VALUE,
) -> Value:
    refuse_out(out, "var")
    if correction is not _NO_VALUE:
        ddof = correction
    kind = value_type(a)
    target = None
    if dtype is None:
        if kind.dtype.kind in "iub":
            dtype = np.float64
        elif kind.dtype == np.float16:
            dtype, target = np.float32, np.float16
    if dtype is not None and isinstance(a, Array):
        a = a.astype(dtype)
    center = np.mean(a, axis=axis, keepdims=True, where=where) if mean is _NO_VALUE else mean
    deviation = a - center
    square = (
        np.real(deviation * np.conj(deviation))
        if value_type(deviation).dtype.kind == "c"
        else deviation * deviation
    )
    total = np.sum(square, axis=axis, keepdims=keepdims, where=where)
    count = _count(a, axis, keepdims, where)
    degrees = max(count - ddof, 0) if isinstance(count, int) else np.maximum(count - ddof, 0)
    result = total / degrees
    return result if target is None else result.astype(target)


def std(a: Value, axis: Any = None, dtype: Any = None, out: None = None, **settings: Any) -> Value:
    refuse_out(out, "std")
    if "keepdims" not in settings and "ddof" not in settings:
        return np.sqrt(np.var(a, axis=axis, dtype=dtype, **settings))
    return np.sqrt(np.var(a, axis=axis, dtype=dtype, **settings))


def cumsum(a: Value, axis: Any = None, dtype: Any = None, out: None = None) -> Value:
    refuse_out(out, "cumsum")
    a = _as_array(a)
    if dtype is not None and np.dtype(dtype) != value_type(a).dtype:
        a = a.astype(dtype)
    if axis is None:
        a, axis = np.ravel(np.copy(a)), 0
    (axis,) = normalized_axes(int(axis), value_type(a).ndim)
    return bind(primitive("cumsum"), (a,), {"axis": axis})


def _truth(name: str) -> Callable[..., Value]:
    operation = primitive(name)

    def truth(
        a: Value,
        axis: Any = None,
        out: None = None,
        keepdims: Any = _NO_VALUE,
        *,
        where: Any = _NO_VALUE,
    ) -> Value:
        refuse_out(out, name)
        if where is not _NO_VALUE and where is not True:
            neutral = name == "all"
            a = np.where(where, np.not_equal(a, 0), neutral)
        return _reduce(operation, a, axis, keepdims)

    return truth


def _argument(name: str) -> Callable[..., Value]:
    operation = primitive(name)

    def argument(
        a: Value, axis: Any = None, out: None = None, *, keepdims: Any = _NO_VALUE
    ) -> Value:
        refuse_out(out, name)
        if axis is not None:
            (axis,) = normalized_axes(int(axis), value_type(a).ndim)
        static = {"axis": axis, "keepdims": keepdims is not _NO_VALUE and bool(keepdims)}
        return bind(operation, (a,), static)

    return argument


def log_sum_exp(
    a: Value,
    axis: Any = 0,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Value:
    refuse_out(out, "logaddexp.reduce")
    if dtype is not None and np.dtype(dtype) != value_type(a).dtype:
        a = a.astype(dtype)
    if where is not True:
        a = np.where(where, a, -np.inf)
    result = _reduce(primitive("log_sum_exp"), a, axis, keepdims)
    return result if initial is None else np.logaddexp(result, initial)


_sum = primitive("sum")
_prod = primitive("prod")
_max = _extremum(primitive("max"), np.maximum, "max")
_min = _extremum(primitive("min"), np.minimum, "min")

FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.sum: sum_,
    np.prod: prod,
    np.max: _max,
    np.amax: _max,
    np.min: _min,
    np.amin: _min,
    np.mean: mean,
    np.var: var,
    np.std: std,
    np.cumsum: cumsum,
    np.any: _truth("any"),
    np.all: _truth("all"),
    np.argmax: _argument("argmax"),
    np.argmin: _argument("argmin"),
    np.logaddexp.reduce: log_sum_exp,
}
