"""Sorting, and what is found by comparing entries.

The derivative of a sorted array is the permutation that sorted it. Where entries tie, any
permutation that sorts them is as good as another: the derivative is the mean of them all, so
that tied entries share their slopes equally, as under ``max``. An order statistic then has the
same derivative however it is written: ``np.max(x)``, ``np.sort(x)[-1]``,
``np.partition(x, -1)[-1]``. It lies in the generalised Jacobian of F. H. Clarke ("Optimization and
Nonsmooth Analysis", 1983, section 2.6).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from steepest.graph import ArrayType
from steepest.ops.spec import Linearity, Primitive, Sample, Value, bind

__all__ = ["PRIMITIVES", "permute"]


def _positions_like(x: ArrayType, *_others: ArrayType, **_static: Any) -> ArrayType:
    return ArrayType(x.shape, np.dtype(np.intp))


def _same_type(x: ArrayType, *_others: ArrayType, **_static: Any) -> ArrayType:
    return ArrayType(x.shape, x.dtype)


def _evaluate_inverse(order: Value, axis: int) -> Value:
    order = np.asarray(order, np.intp)
    inverse = np.empty_like(order)
    lengths = [-1 if i == axis else 1 for i in range(order.ndim)]
    places = np.arange(order.shape[axis]).reshape(lengths)
    np.put_along_axis(inverse, order, np.broadcast_to(places, order.shape), axis)
    return inverse


def _order_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis in (((4,), 0), ((3, 2), 0), ((2, 3, 2), 1), ((1,), 0), ((0, 2), 1)):
        order = np.argsort(rng.uniform(size=shape), axis=axis)
        yield Sample((order,), {"axis": axis})


invert_order = Primitive(
    "invert_order",
    _evaluate_inverse,
    infer=_positions_like,
    samples=_order_samples,
)
"""The permutation that undoes another, along an axis."""


def _permute_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for sample in _order_samples(rng):
        (order,) = sample.args
        yield Sample((rng.uniform(-1, 1, order.shape), order), sample.static)


def _evaluate_permute(x: Value, order: Value, axis: int) -> Value:
    return np.take_along_axis(np.asarray(x), np.asarray(order, np.intp), axis)


permute = Primitive(
    "permute",
    _evaluate_permute,
    infer=_same_type,
    arguments="x order",
    vjps=(lambda g, order, axis: _permute_back(g, order, axis),),
    jvp=Linearity.SEPARATE,
    samples=_permute_samples,
)
"""``np.take_along_axis``, for positions that name each entry along the axis once."""


def _permute(x: Value, order: Value, axis: int) -> Value:
    return bind(permute, (x, order), {"axis": axis})


def _permute_back(x: Value, order: Value, axis: int) -> Value:
    return _permute(x, bind(invert_order, (order,), {"axis": axis}), axis)


def _argsort(x: Value, axis: int, descending: bool = False) -> Value:
    # In which order ties come does not matter where they share.
    return bind(argsort, (x,), {"axis": axis, "kind": None, "descending": descending})


# Ties


def _evaluate_share(x: Value, y: Value, axis: int) -> Value:
    x, y = np.asarray(x), np.moveaxis(np.asarray(y), axis, -1)
    after, before = y[..., 1:], y[..., :-1]
    same = (after == before) | (np.isnan(after) & np.isnan(before))
    if not same.any():
        return x.copy()
    entries = np.moveaxis(x, axis, -1)
    first = np.ones(y.shape, bool)
    first[..., 1:] = ~same
    first = first.ravel()
    starts = np.flatnonzero(first)
    lengths = np.diff(starts, append=first.size)
    means = np.add.reduceat(entries.ravel(), starts) / lengths
    shared = np.repeat(means.astype(x.dtype), lengths).reshape(y.shape)
    return np.ascontiguousarray(np.moveaxis(shared, -1, axis))


def _share_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for keys, axis in (
        ([1.0, 2.0, 2.0, 2.0, 3.0], 0),
        ([[0.5, 0.5], [1.0, 2.0]], 0),
        ([[0.5, 0.5], [1.0, 2.0]], 1),
        ([1.0, 2.0], 0),
        ([], 0),
    ):
        yield Sample((rng.uniform(-1, 1, np.shape(keys)), np.array(keys)), {"axis": axis})


share_ties = Primitive(
    "share_ties",
    _evaluate_share,
    infer=_same_type,
    arguments="x y",
    vjps=(lambda g, y, axis: _share(g, y, axis),),
    jvp=Linearity.SEPARATE,
    samples=_share_samples,
)
"""Replace the entries of x by their mean over each run of equal entries in the sorted y."""


def _share(x: Value, keys: Value, axis: int) -> Value:
    return bind(share_ties, (x, keys), {"axis": axis})


# Sorting


def _sorting(function: Callable[..., Any]) -> Callable[..., Value]:
    """Evaluate ``np.sort`` or ``np.argsort``, which know ``descending`` from NumPy 2.5 on."""

    def evaluate(x: Value, axis: int, kind: str | None, descending: bool) -> Value:
        if descending:
            # No kind but "stable" is to be had together with it.
            return function(x, axis, stable=kind == "stable", descending=True)
        return function(x, axis, kind)

    return evaluate


def _sort_vjp(g: Value, x: Value, ans: Value, axis: int, descending: bool) -> Value:
    return _permute_back(_share(g, ans, axis), _argsort(x, axis, descending), axis)


def _sort_jvp(t: Value, x: Value, ans: Value, axis: int, descending: bool) -> Value:
    return _share(_permute(t, _argsort(x, axis, descending), axis), ans, axis)


def _partition_vjp(g: Value, x: Value, ans: Value, axis: int) -> Value:
    order = _argsort(ans, axis)
    shared = _share(_permute(g, order, axis), _permute(ans, order, axis), axis)
    return _permute_back(shared, _argsort(x, axis), axis)


def _partition_jvp(t: Value, x: Value, ans: Value, axis: int) -> Value:
    order = _argsort(ans, axis)
    moved = _permute(t, _argsort(x, axis), axis)
    return _permute_back(_share(moved, _permute(ans, order, axis), axis), order, axis)


def _sort_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis in (((4,), 0), ((3, 2), 0), ((2, 3, 2), 1), ((1,), 0), ((0, 2), 1)):
        for descending in (False, True)[: 1 + _KNOWS_DESCENDING]:
            static = {"axis": axis, "kind": None, "descending": descending}
            yield Sample((_distinct(rng, shape),), static)


# NumPy 2.5's.
_KNOWS_DESCENDING = "descending" in inspect.signature(np.sort).parameters


def _partition_samples(rng: np.random.Generator) -> Iterator[Sample]:
    # Where the other entries come to lie is up to NumPy, and differs between dtypes.
    for shape, kth, axis in (
        ((3,), (1,), 0),
        ((5, 2), (1, 3, 2, 0), 0),
        ((2, 4), (-1, 1, 2), 1),
    ):
        yield Sample((_distinct(rng, shape),), {"kth": kth, "axis": axis})


def _distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Draw entries that no small step makes equal."""
    size = int(np.prod(shape))
    return (rng.permutation(size) + rng.uniform(0.3, 0.7, size)).reshape(shape) - size / 3


argsort = Primitive("argsort", _sorting(np.argsort), infer=_positions_like, samples=_sort_samples)


# Searching


def _searchsorted_type(x: ArrayType, y: ArrayType, side: str) -> ArrayType:
    return ArrayType(y.shape, np.dtype(np.intp))


def _digitize_type(x: ArrayType, y: ArrayType, right: bool) -> ArrayType:
    if x.dtype.kind == "c" or not np.can_cast(y.dtype, np.float64):
        raise TypeError(f"digitize: x of {x.dtype} in bins of {y.dtype}")
    return ArrayType(x.shape, np.dtype(np.intp))


PRIMITIVES: tuple[Primitive, ...] = (
    invert_order,
    permute,
    share_ties,
    Primitive(
        "sort",
        _sorting(np.sort),
        infer=_same_type,
        vjps=(_sort_vjp,),
        jvp=(_sort_jvp,),
        samples=_sort_samples,
    ),
    Primitive(
        "partition",
        np.partition,
        infer=_same_type,
        vjps=(_partition_vjp,),
        jvp=(_partition_jvp,),
        samples=_partition_samples,
    ),
    argsort,
    Primitive("argpartition", np.argpartition, infer=_positions_like, samples=_partition_samples),
    Primitive(
        "lexsort",
        lambda *xs, axis: np.lexsort(xs, axis),
        infer=_positions_like,
        arguments="*xs",
        samples=lambda rng: [
            Sample((rng.uniform(size=(2, 3)), rng.uniform(size=(2, 3))), {"axis": 1}),
            Sample((rng.uniform(size=4),), {"axis": 0}),
        ],
    ),
    Primitive(
        "searchsorted",
        np.searchsorted,
        infer=_searchsorted_type,
        arguments="x y",
        samples=lambda rng: [
            Sample((np.array([0.5, 1.5, 4.0]), rng.uniform(0, 5, (2, 3))), {"side": "right"}),
            Sample((np.array([0.5, 1.5, 4.0]), rng.uniform(0, 5, ())), {"side": "left"}),
        ],
    ),
    Primitive(
        "digitize",
        np.digitize,
        infer=_digitize_type,
        arguments="x y",
        samples=lambda rng: [
            Sample((rng.uniform(0, 5, (2, 3)), np.array([0.5, 1.5, 4.0])), {"right": False}),
            Sample((rng.uniform(0, 5, ()), np.array([4.0, 1.5])), {"right": True}),
        ],
    ),
)
