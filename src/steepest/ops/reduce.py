"""Reductions and cumulative sums: primitives that run along axes.

The static argument ``axis`` is always a tuple of axes counted from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from steepest.graph import ArrayType
from steepest.ops.movement import broadcast, reshaped
from steepest.ops.spec import (
    Linearity,
    Primitive,
    Sample,
    Traced,
    Value,
    bind,
    has_nan,
    scale,
)

__all__ = ["PRIMITIVES"]

Axis = tuple[int, ...]


def _reduced_shape(shape: tuple[int, ...], axis: Axis, keepdims: bool) -> tuple[int, ...]:
    # Lists, for tuples are made of them in half the time that a generator takes.
    if keepdims:
        return tuple([1 if i in axis else length for i, length in enumerate(shape)])
    return tuple([length for i, length in enumerate(shape) if i not in axis])


def _reduction_type(
    result_dtype: Callable[[np.dtype[Any]], np.dtype[Any]],
) -> Callable[..., ArrayType]:
    def infer(x: ArrayType, axis: Axis, keepdims: bool) -> ArrayType:
        return ArrayType(_reduced_shape(x.shape, axis, keepdims), result_dtype(x.dtype))

    return infer


def _sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Small integers are added up in the platform's integer."""
    return np.add.reduce(np.empty(0, dtype)).dtype  # type: ignore[no-any-return]


def _in_line(value: Value, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Value:
    """Give a reduction's result axes of length 1 for those that it lost, to broadcast with them."""
    if keepdims or not axis or type(value) is np.float64:
        return value
    if type(value) is np.ndarray and max(axis) == len(axis) - 1:
        # Leading axes are added by broadcasting.
        return value
    return reshaped(value, _reduced_shape(shape, axis, keepdims=True))


def _spread(value: Value, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Value:
    """Repeat a reduction's result along the axes that it lost."""
    value = _in_line(value, shape, axis, keepdims)
    if isinstance(value, Traced):
        return bind(broadcast, (value,), {"shape": shape})
    return broadcast.evaluate(value, shape)


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((rng.uniform(0.5, 2, (2, 3)),), {"axis": (0, 1), "keepdims": False})
    yield Sample((rng.uniform(0.5, 2, (2, 3)),), {"axis": (1,), "keepdims": True})
    yield Sample((rng.uniform(0.5, 2, (2, 3, 2)),), {"axis": (0, 2), "keepdims": False})
    yield Sample((rng.uniform(0.5, 2, ()),), {"axis": (), "keepdims": False})
    yield Sample((rng.uniform(0.5, 2, (3, 1)),), {"axis": (0,), "keepdims": False})


def _sum_vjp(g: Value, x_type: ArrayType, axis: Axis, keepdims: bool) -> Value:
    return _spread(g, x_type.shape, axis, keepdims)


def _extremum_share(x: Value, ans: Value, axis: Axis, keepdims: bool) -> Value:
    """Local derivative of an extremum: each of n tied entries has 1/n."""
    ans = _in_line(ans, x.shape, axis, keepdims)
    tied = x == ans
    if isinstance(ans, Traced) or has_nan(ans):
        # A NaN is the extremum of what it is in.
        tied = tied | (np.isnan(x) & np.isnan(ans))
    if type(tied) is np.ndarray and np.count_nonzero(tied) == ans.size:
        # Each is found at least once, so that this is once each.
        return tied.astype(x.dtype)
    count = np.add.reduce(tied, axis=axis, keepdims=True)
    return np.divide(tied, count, dtype=x.dtype)


def _extremum_vjp(g: Value, x: Value, ans: Value, axis: Axis, keepdims: bool) -> Value:
    share = _extremum_share(x, ans, axis, keepdims)
    return scale(_in_line(g, x.shape, axis, keepdims), share)


def _extremum_jvp(t: Value, x: Value, ans: Value, axis: Axis, keepdims: bool) -> Value:
    share = _extremum_share(x, ans, axis, keepdims)
    return np.sum(scale(t, share), axis=axis, keepdims=keepdims)


def _product_of_others(x: Value, axis: Axis) -> Value:
    """For each entry the product of all others along the axes, without dividing by it.

    Halves are multiplied pairwise, so that it takes log n steps of plain NumPy, which can be
    differentiated again, and zeros need no care.
    """
    shape = np.shape(x)
    rest = tuple(i for i in range(len(shape)) if i not in axis)
    rows = (
        np.reshape(np.transpose(x, (*rest, *axis)), (*(shape[i] for i in rest), -1))
        if np.size(x)
        else x
    )
    others = _others_along_last(rows)
    moved = np.reshape(others, tuple(shape[i] for i in (*rest, *axis)))
    return np.transpose(moved, np.argsort((*rest, *axis)).tolist())


def _others_along_last(rows: Value) -> Value:
    length = rows.shape[-1]
    if length == 1:
        return np.ones_like(rows)
    half = length // 2
    left, right = rows[..., :half], rows[..., half:]
    return np.concatenate(
        [
            _others_along_last(left) * np.prod(right, axis=-1, keepdims=True),
            _others_along_last(right) * np.prod(left, axis=-1, keepdims=True),
        ],
        axis=-1,
    )


def _prod_vjp(g: Value, x: Value, axis: Axis, keepdims: bool) -> Value:
    g = _spread(g, np.shape(x), axis, keepdims)
    return scale(g, _product_of_others(x, axis)) if np.size(x) else g


def _prod_jvp(t: Value, x: Value, axis: Axis, keepdims: bool) -> Value:
    each = scale(t, _product_of_others(x, axis)) if np.size(x) else t
    return np.sum(each, axis=axis, keepdims=keepdims)


# Sums and products under a mask, in a dtype of their own, or from an initial value on: what NumPy
# adds up together rounds otherwise than the parts one after the other. Where nothing is `started`,
# the initial value is the identity.


def _totalled(ufunc: np.ufunc) -> Callable[..., Value]:
    def total(
        x: Value,
        condition: Value,
        initial: Value,
        axis: Axis,
        keepdims: bool,
        dtype: np.dtype[Any] | None,
        started: bool,
    ) -> Value:
        settings = {"initial": initial} if started else {}
        return ufunc.reduce(
            x, axis=axis, dtype=dtype, keepdims=keepdims, where=condition, **settings
        )

    return total


def _total_type(
    x: ArrayType,
    condition: ArrayType,
    initial: ArrayType,
    axis: Axis,
    keepdims: bool,
    dtype: np.dtype[Any] | None,
    started: bool,
) -> ArrayType:
    return ArrayType(
        _reduced_shape(x.shape, axis, keepdims), _sum_dtype(x.dtype) if dtype is None else dtype
    )


def _sum_where_vjp(
    g: Value, x_type: ArrayType, condition: Value, axis: Axis, keepdims: bool
) -> Value:
    return np.where(condition, _spread(g, x_type.shape, axis, keepdims), 0)


def _sum_where_jvp(t: Value, condition: Value, axis: Axis, keepdims: bool) -> Value:
    return np.sum(np.where(condition, t, 0), axis=axis, keepdims=keepdims)


def _initial_vjp(g: Value) -> Value:
    return np.sum(g)


def _initial_jvp(t: Value, ans: Value) -> Value:
    return broadcast(t, shape=np.shape(ans))


def _prod_where_vjp(
    g: Value, x: Value, condition: Value, initial: Value, axis: Axis, keepdims: bool
) -> Value:
    factors = np.where(condition, x, 1)
    return np.where(condition, _prod_vjp(scale(g, initial), factors, axis, keepdims), 0)


def _prod_where_jvp(
    t: Value, x: Value, condition: Value, initial: Value, axis: Axis, keepdims: bool
) -> Value:
    factors = np.where(condition, x, 1)
    return scale(_prod_jvp(np.where(condition, t, 0), factors, axis, keepdims), initial)


def _prod_initial_vjp(g: Value, x: Value, condition: Value, axis: Axis, keepdims: bool) -> Value:
    return np.sum(scale(g, np.prod(np.where(condition, x, 1), axis=axis, keepdims=keepdims)))


def _prod_initial_jvp(t: Value, x: Value, condition: Value, axis: Axis, keepdims: bool) -> Value:
    return scale(t, np.prod(np.where(condition, x, 1), axis=axis, keepdims=keepdims))


def _total_samples(identity: int, rng: np.random.Generator) -> Iterator[Sample]:
    for sample in _samples(rng):
        (x,) = sample.args
        for started in (True, False):
            mask = rng.random(np.shape(x)) < 0.6
            initial = rng.uniform(0.5, 2) if started else identity
            yield Sample((x, mask, initial), {**sample.static, "dtype": None, "started": started})
    x, row = rng.uniform(0.5, 2, (2, 3)), np.array([True, False, True])
    static = {"axis": (0, 1), "keepdims": False, "dtype": np.dtype(np.longdouble), "started": True}
    yield Sample((x, row, 1.5), static)


def _softmax(x: Value, ans: Value, axis: Axis, keepdims: bool) -> Value:
    ans = _spread(ans, np.shape(x), axis, keepdims)
    # Of equal infinities the difference would be NaN: none counts more than another.
    terms = np.exp(np.where(np.isinf(ans) & np.equal(x, ans), 0, x - ans))
    # Of huge numbers the result has lost the logarithm of how many they are.
    return terms / np.sum(terms, axis=axis, keepdims=True)


def _log_sum_exp_vjp(g: Value, x: Value, ans: Value, axis: Axis, keepdims: bool) -> Value:
    return scale(_spread(g, np.shape(x), axis, keepdims), _softmax(x, ans, axis, keepdims))


def _log_sum_exp_jvp(t: Value, x: Value, ans: Value, axis: Axis, keepdims: bool) -> Value:
    return np.sum(scale(t, _softmax(x, ans, axis, keepdims)), axis=axis, keepdims=keepdims)


def _log_sum_exp_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.logaddexp.resolve_dtypes((dtype, dtype, None))[-1]


def _same_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype


def _bool_dtype(_dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(bool)


def _cumulative_sum_type(x: ArrayType, axis: int) -> ArrayType:
    return ArrayType(x.shape, np.cumsum(np.empty(1, x.dtype)).dtype)


def _cumulative_product_type(x: ArrayType, axis: int) -> ArrayType:
    return ArrayType(x.shape, np.cumprod(np.empty(1, x.dtype)).dtype)


def _at(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, slice(start, stop))


def _linear_recurrence(factors: Value, terms: Value, axis: int) -> Value:
    """Solve h[i] = factors[i] · h[i − 1] + terms[i] from h[−1] = 0, without dividing.

    Each step doubles the distance that is reached, so that it takes log n steps of plain NumPy,
    which can be differentiated again (P. M. Kogge and H. S. Stone, "A Parallel Algorithm for the
    Efficient Solution of a General Class of Recurrence Equations", IEEE Transactions on
    Computers C-22, 1973).
    """
    length, reach = np.shape(terms)[axis], 1
    while reach < length:
        start, behind, ahead = (
            _at(axis, None, reach),
            _at(axis, None, -reach),
            _at(axis, reach, None),
        )
        reached = terms[ahead] + scale(terms[behind], factors[ahead])
        terms = np.concatenate([terms[start], reached], axis=axis)
        factors = np.concatenate([factors[start], factors[ahead] * factors[behind]], axis=axis)
        reach *= 2
    return terms


def _delayed(x: Value, axis: int) -> Value:
    """Shift the entries along an axis by one, with a one in front."""
    return np.concatenate([np.ones_like(x[_at(axis, None, 1)]), x[_at(axis, None, -1)]], axis=axis)


def _cumulative_product_vjp(g: Value, x: Value, ans: Value, axis: int) -> Value:
    reversed_ = _linear_recurrence(_delayed(np.flip(x, axis), axis), np.flip(g, axis), axis)
    return scale(np.flip(reversed_, axis), _delayed(ans, axis))


def _cumulative_product_jvp(t: Value, x: Value, ans: Value, axis: int) -> Value:
    return _linear_recurrence(x, scale(t, _delayed(ans, axis)), axis)


def _segments_type(x: ArrayType, indices: tuple[int, ...], axis: int) -> ArrayType:
    shape = (*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
    return ArrayType(shape, _sum_dtype(x.dtype))


def _segments_vjp(g: Value, x_type: ArrayType, indices: tuple[int, ...], axis: int) -> Value:
    """Repeat each sum's cotangent over its segment; the segments follow each other."""
    length = x_type.shape[axis]
    repeated = np.repeat(g, np.diff((*indices, length)), axis=axis)
    head = (*x_type.shape[:axis], indices[0], *x_type.shape[axis + 1 :])
    return np.concatenate([np.zeros(head, g.dtype), repeated], axis=axis)


def _argument_type(x: ArrayType, axis: int | None, keepdims: bool) -> ArrayType:
    axes = tuple(range(x.ndim)) if axis is None else (axis,)
    return ArrayType(_reduced_shape(x.shape, axes, keepdims), np.dtype(np.intp))


def _argument_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((rng.uniform(0, 1, (2, 3)),), {"axis": None, "keepdims": False})
    yield Sample((rng.uniform(0, 1, (2, 3)),), {"axis": 1, "keepdims": True})


PRIMITIVES = (
    Primitive(
        "sum",
        np.add.reduce,
        infer=_reduction_type(_sum_dtype),
        vjps=(_sum_vjp,),
        jvp=Linearity.JOINT,
        samples=_samples,
    ),
    Primitive(
        "max",
        np.maximum.reduce,
        infer=_reduction_type(_same_dtype),
        vjps=(_extremum_vjp,),
        jvp=(_extremum_jvp,),
        samples=_samples,
    ),
    Primitive(
        "min",
        np.minimum.reduce,
        infer=_reduction_type(_same_dtype),
        vjps=(_extremum_vjp,),
        jvp=(_extremum_jvp,),
        samples=_samples,
    ),
    Primitive(
        "prod",
        np.prod,
        infer=_reduction_type(_sum_dtype),
        vjps=(_prod_vjp,),
        jvp=(_prod_jvp,),
        samples=_samples,
    ),
    Primitive(
        "sum_where",
        _totalled(np.add),
        infer=_total_type,
        arguments="x condition initial",
        vjps=(_sum_where_vjp, None, _initial_vjp),
        jvp=(_sum_where_jvp, None, _initial_jvp),
        samples=partial(_total_samples, 0),
    ),
    Primitive(
        "prod_where",
        _totalled(np.multiply),
        infer=_total_type,
        arguments="x condition initial",
        vjps=(_prod_where_vjp, None, _prod_initial_vjp),
        jvp=(_prod_where_jvp, None, _prod_initial_jvp),
        samples=partial(_total_samples, 1),
    ),
    Primitive(
        "log_sum_exp",
        np.logaddexp.reduce,
        infer=_reduction_type(_log_sum_exp_dtype),
        vjps=(_log_sum_exp_vjp,),
        jvp=(_log_sum_exp_jvp,),
        samples=_samples,
    ),
    Primitive(
        "cumsum",
        np.cumsum,
        infer=_cumulative_sum_type,
        vjps=(lambda g, axis: np.flip(np.cumsum(np.flip(g, axis), axis), axis),),
        jvp=Linearity.JOINT,
        samples=lambda rng: [
            Sample((rng.uniform(-1, 1, (4,)),), {"axis": 0}),
            Sample((rng.uniform(-1, 1, (2, 3)),), {"axis": 1}),
            Sample((rng.uniform(-1, 1, (2, 0)),), {"axis": 1}),
        ],
    ),
    Primitive(
        "cumprod",
        np.cumprod,
        infer=_cumulative_product_type,
        vjps=(_cumulative_product_vjp,),
        jvp=(_cumulative_product_jvp,),
        samples=lambda rng: [
            Sample((rng.uniform(0.5, 2, (5,)),), {"axis": 0}),
            Sample((np.array([2.0, 0.0, 3.0, 0.0, 4.0]),), {"axis": 0}),
            Sample((rng.uniform(0.5, 2, (2, 3)),), {"axis": 1}),
            Sample((rng.uniform(0.5, 2, (1,)),), {"axis": 0}),
            Sample((rng.uniform(0.5, 2, (2, 0)),), {"axis": 1}),
        ],
    ),
    Primitive(
        "add_reduceat",
        lambda x, indices, axis: np.add.reduceat(x, indices, axis),
        infer=_segments_type,
        vjps=(_segments_vjp,),
        jvp=Linearity.JOINT,
        samples=lambda rng: [
            Sample((rng.uniform(-1, 1, (5,)),), {"indices": (0, 2), "axis": 0}),
            Sample((rng.uniform(-1, 1, (2, 4)),), {"indices": (1, 2, 3), "axis": 1}),
        ],
    ),
    Primitive("any", np.any, infer=_reduction_type(_bool_dtype), samples=_samples),
    Primitive("all", np.all, infer=_reduction_type(_bool_dtype), samples=_samples),
    Primitive("argmax", np.argmax, infer=_argument_type, samples=_argument_samples),
    Primitive("argmin", np.argmin, infer=_argument_type, samples=_argument_samples),
    Primitive("nanargmax", np.nanargmax, infer=_argument_type, samples=_argument_samples),
    Primitive("nanargmin", np.nanargmin, infer=_argument_type, samples=_argument_samples),
)
