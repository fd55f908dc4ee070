"""NumPy's reductions with all their arguments, on top of the primitives."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import NO_VALUE
from steepest.array.array import Array, value_type
from steepest.graph import ArrayType
from steepest.ops import primitive
from steepest.ops.spec import Primitive, Value, bind

__all__ = ["FUNCTIONS", "ddof_and_mean", "mean_into", "normalized_axes"]


def normalized_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Turn ``axis`` as NumPy takes it into a sorted tuple of axes counted from 0."""
    if axis is None:
        return tuple(range(ndim))
    if ndim == 0 and not isinstance(axis, (tuple, list)) and axis in (0, -1):
        return ()  # what NumPy lets pass
    if type(axis) is int and -ndim <= axis < ndim:
        return (axis % ndim,)
    axes = (axis,) if not isinstance(axis, (tuple, list)) else axis
    return tuple(sorted(np.lib.array_utils.normalize_axis_tuple(tuple(axes), ndim)))


def _reduce(operation: Primitive, a: Value, axis: Any, keepdims: Any) -> Value:
    # A Python number among the arguments is an array of NumPy's to a reduction.
    ndim = len(a.shape) if isinstance(a, Array) else value_type(a).ndim
    static = {
        "axis": normalized_axes(axis, ndim),
        "keepdims": keepdims is not NO_VALUE and bool(keepdims),
    }
    return bind(operation, (a,), static)


def _as_array(a: Value) -> Value:
    """Take a Python number as NumPy's functions do, as an array of its dtype."""
    if not isinstance(a, Array) or isinstance(a._value, _OF_NUMPY):
        return a
    return a.astype(a.dtype) if value_type(a).weak else a


_OF_NUMPY = (np.ndarray, np.generic)


def _total(name: str, identity: int) -> Callable[..., Value]:
    """Make np.sum or np.prod."""
    plain, general = primitive(name), primitive(f"{name}_where")

    def total(
        a: Value,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        keepdims: Any = NO_VALUE,
        initial: Any = NO_VALUE,
        where: Any = NO_VALUE,
    ) -> Value:
        if where is NO_VALUE:
            where = True
        # An initial value of None is as good as none: there is an identity.
        started = initial is not NO_VALUE and initial is not None
        a = _as_array(a)
        if dtype is None and where is True and not started:
            return _reduce(plain, a, axis, keepdims)
        kind = value_type(a)
        _check_mask(where, kind.shape)
        target = None if dtype is None else np.dtype(dtype)
        if target is not None and kind.dtype.kind in "fc" and target.kind not in "fc":
            # A whole number of each entry, of which none has a derivative.
            a = a.astype(target)
        first = initial if started else identity
        _check_initial(first)
        static = {
            "axis": normalized_axes(axis, kind.ndim),
            "keepdims": keepdims is not NO_VALUE and bool(keepdims),
            "dtype": target,
            "started": started,
        }
        mask = where if isinstance(where, (bool, Array)) else np.asarray(where)
        return bind(general, (a, mask, first), static)

    return total


sum_ = _total("sum", 0)


def _check_mask(where: Any, shape: tuple[int, ...]) -> None:
    """Check that a mask does not make an array larger."""
    mask = np.shape(where)
    if mask and np.broadcast_shapes(mask, shape) != shape:
        raise ValueError(
            f"non-broadcastable operand with shape {mask} does not match the shape {shape} of what"
            " is reduced"
        )


def _check_initial(initial: Value) -> None:
    """Check that an initial value is one number."""
    if value_type(initial).ndim:
        raise ValueError("Input object to a reduction's initial must be a scalar")


def _extremum(operation: Primitive, combine: np.ufunc, name: str) -> Callable[..., Value]:
    def extremum(
        a: Value,
        axis: Any = None,
        out: None = None,
        keepdims: Any = NO_VALUE,
        initial: Any = NO_VALUE,
        where: Any = NO_VALUE,
    ) -> Value:
        a = _as_array(a)
        if initial is NO_VALUE or initial is None:
            if where is not NO_VALUE and where is not True:
                raise ValueError(
                    f"reduction operation '{combine.__name__}' does not have an identity, so to"
                    " use a where mask one has to specify 'initial'"
                )
            return _reduce(operation, a, axis, keepdims)
        kind = value_type(a)
        _check_initial(initial)
        if isinstance(initial, Array):
            initial = initial.astype(kind.dtype, copy=False)
        else:
            initial = kind.dtype.type(initial)
        if where is not NO_VALUE and where is not True:
            _check_mask(where, kind.shape)
            a = np.where(where, a, initial)
        axes = normalized_axes(axis, kind.ndim)
        if any(kind.shape[each] == 0 for each in axes):
            keep = keepdims is not NO_VALUE and bool(keepdims)
            shape = np.sum(np.zeros(kind.shape, bool), axis=axes, keepdims=keep).shape
            filled = np.broadcast_to(initial, shape)
            return np.copy(filled) if shape else filled[()]
        return combine(_reduce(operation, a, axis, keepdims), initial)

    return extremum


def mean(
    a: Value,
    axis: Any = None,
    dtype: Any = None,
    out: Value = None,
    keepdims: Any = NO_VALUE,
    *,
    where: Any = NO_VALUE,
) -> Value:
    kind = value_type(a)
    target = None
    if dtype is None:
        if kind.dtype.kind in "iub":
            dtype = np.float64
        elif kind.dtype == np.float16:
            # NumPy adds half precision up in single precision.
            dtype, target = np.float32, np.dtype(np.float16)
    count = _count(kind, axis, keepdims, where)
    if _is_any(count == 0):
        warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=2)
    if out is not None:
        return mean_into(out, a, count, axis=axis, dtype=dtype, keepdims=keepdims, where=where)
    total = sum_(a, axis, dtype, None, keepdims, NO_VALUE, where)
    return _divide_by_count(total, count, target)


def mean_into(out: Value, a: Value, count: Value, **settings: Any) -> Value:
    """Divide a sum in the array given as out=, and so in its precision, as NumPy does."""
    np.sum(a, out=out, **settings)
    return np.true_divide(out, count, out=out, casting="unsafe")


_DOUBLE = np.dtype(np.float64)


def _divide_by_count(total: Value, count: Any, target: np.dtype[Any] | None = None) -> Value:
    """Divide by a number of entries, rounding once."""
    dtype = value_type(total).dtype
    if dtype is _DOUBLE and target is None and isinstance(count, int):
        return total / count
    target = target or dtype
    if not isinstance(count, Array) and isinstance(count, (int, float)):
        with np.errstate(over="ignore"):
            # NumPy divides in double precision; of real numbers that rounds no otherwise.
            exact = dtype.kind == "f" and float(dtype.type(count)) == count
        quotient = total / (count if exact else np.float64(count))
    else:
        quotient = total / count
    return quotient.astype(target) if value_type(quotient).dtype != target else quotient


def _count(kind: ArrayType, axis: Any, keepdims: Any, where: Any) -> Any:
    """Count the entries that a mean runs over: an int, or an array under a mask."""
    if where is NO_VALUE or where is True:
        if axis is None:
            return math.prod(kind.shape)
        if not kind.ndim:
            np.lib.array_utils.normalize_axis_tuple(axis, 0)
        return math.prod([kind.shape[each] for each in normalized_axes(axis, kind.ndim)])
    mask = np.broadcast_to(where, kind.shape)
    keep = False if keepdims is NO_VALUE else keepdims
    return np.sum(mask, axis=axis, keepdims=keep)


def _is_any(condition: Any) -> bool:
    """Whether a condition holds anywhere; where values are unknown, it is not said to."""
    if isinstance(condition, bool):
        return condition
    return not isinstance(condition, Array) and bool(np.any(condition))


def ddof_and_mean(
    ddof: Any, correction: Any, mean: Any, average: Callable[[], Value]
) -> tuple[Any, Value]:
    """Find the degrees of freedom that a variance has lost, and the mean that it is taken about."""
    if correction is not NO_VALUE:
        if ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    return ddof, average() if mean is NO_VALUE or mean is None else mean


def var(
    a: Value,
    axis: Any = None,
    dtype: Any = None,
    out: Value = None,
    ddof: Any = 0,
    keepdims: Any = NO_VALUE,
    *,
    where: Any = NO_VALUE,
    mean: Any = NO_VALUE,
    correction: Any = NO_VALUE,
) -> Value:
    kind = value_type(a)
    if dtype is None and kind.dtype.kind in "iub":
        dtype = np.dtype(np.float64)
    count = _count(kind, axis, keepdims, where)

    def average() -> Value:
        total = sum_(a, axis, dtype, None, True, NO_VALUE, where)
        each = count if isinstance(count, int) else _count(kind, axis, True, where)
        return _divide_by_count(total, each)

    ddof, mean = ddof_and_mean(ddof, correction, mean, average)
    if _is_any(ddof >= count):
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=2)
    deviation = _as_array(a) - mean
    if value_type(deviation).dtype.kind == "c":
        square = np.square(np.real(deviation)) + np.square(np.imag(deviation))
    else:
        square = np.square(deviation)
    degrees = max(count - ddof, 0) if isinstance(count, int) else np.maximum(count - ddof, 0)
    if out is not None:
        settings = {"axis": axis, "dtype": dtype, "keepdims": keepdims, "where": where}
        return mean_into(out, square, degrees, **settings)
    total = sum_(square, axis, _real_dtype(dtype), None, keepdims, NO_VALUE, where)
    return _divide_by_count(total, degrees)


def _real_dtype(dtype: Any) -> Any:
    return None if dtype is None else np.dtype(dtype)


def std(a: Value, axis: Any = None, dtype: Any = None, out: Value = None, **settings: Any) -> Value:
    if out is not None:
        return np.sqrt(np.var(a, axis, dtype, out, **settings), out=out)
    return np.sqrt(np.var(a, axis=axis, dtype=dtype, **settings))


def cumsum(a: Value, axis: Any = None, dtype: Any = None, out: None = None) -> Value:
    a = _as_array(a)
    if dtype is not None and np.dtype(dtype) != value_type(a).dtype:
        a = a.astype(dtype)
    if axis is None or not value_type(a).ndim:
        normalized_axes(axis, value_type(a).ndim)
        a, axis = np.ravel(np.copy(a)), 0
    (axis,) = normalized_axes(int(axis), value_type(a).ndim)
    return bind(primitive("cumsum"), (a,), {"axis": axis})


def _truth(name: str) -> Callable[..., Value]:
    operation = primitive(name)

    def truth(
        a: Value,
        axis: Any = None,
        out: None = None,
        keepdims: Any = NO_VALUE,
        *,
        where: Any = NO_VALUE,
    ) -> Value:
        if where is not NO_VALUE and where is not True:
            _check_mask(where, value_type(a).shape)
            neutral = name == "all"
            a = np.where(where, np.not_equal(a, 0), neutral)
        return _reduce(operation, a, axis, keepdims)

    return truth


def _argument(name: str) -> Callable[..., Value]:
    operation = primitive(name)

    def argument(
        a: Value, axis: Any = None, out: None = None, *, keepdims: Any = NO_VALUE
    ) -> Value:
        if axis is not None:
            (axis,) = normalized_axes(int(axis), value_type(a).ndim) or (None,)
        static = {"axis": axis, "keepdims": keepdims is not NO_VALUE and bool(keepdims)}
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
    if dtype is not None and np.dtype(dtype) != value_type(a).dtype:
        # For NumPy to say which it has no loop for.
        np.logaddexp.reduce(np.ones(1), dtype=dtype)
        a = a.astype(dtype)
    if where is not True:
        a = np.where(where, a, -np.inf)
    result = _reduce(primitive("log_sum_exp"), a, axis, keepdims)
    return result if initial is None else np.logaddexp(result, initial)


_max = _extremum(primitive("max"), np.maximum, "max")
_min = _extremum(primitive("min"), np.minimum, "min")

FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.sum: sum_,
    np.prod: _total("prod", 1),
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
