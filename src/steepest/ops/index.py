"""Reading parts of arrays, and its transpose.

The static argument ``key`` is a tuple as NumPy's indexing takes it: integers, slices, None and
Ellipsis. In the place of index arrays stands `INDEX`; they are arguments of the primitive.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from steepest.graph import ArrayType
from steepest.ops.spec import Linearity, Primitive, Sample, Value, bind

__all__ = ["INDEX", "PRIMITIVES"]

INDEX = "index"
"""What stands in a key for an index array."""

Key = tuple[Any, ...]


def _filled(key: Iterable[Any], indices: Iterable[Value]) -> Key:
    """Put index arrays into the places that a key has for them."""
    remaining = iter(indices)
    return tuple(next(remaining) if isinstance(item, str) else item for item in key)


def _entries(ndim: int, key: Key) -> list[tuple[Any, int | None]]:
    """List the entries of a key with the axes that they read, Ellipsis left out."""
    axis = 0
    entries: list[tuple[Any, int | None]] = []
    for item in key:
        if item is None:
            entries.append((item, None))
        elif item is Ellipsis:
            axis += ndim - sum(each is not None and each is not Ellipsis for each in key)
        else:
            entries.append((item, axis))
            axis += 1
    return entries


def _slice_type(x: ArrayType, key: Key) -> ArrayType:
    return ArrayType(np.broadcast_to(0, x.shape)[key].shape, x.dtype)


def _gather_type(x: ArrayType, *indices: ArrayType, key: Key) -> ArrayType:
    """Ask NumPy, on arrays without entries to speak of, where the index arrays' axes go."""
    _slice_type(x, _filled(key, [slice(None)] * len(indices)))  # NumPy's errors about the key.
    lengths = list(x.shape)
    for item, axis in _entries(x.ndim, key):
        if isinstance(item, str) and axis is not None:
            lengths[axis] = 1
    others = np.broadcast_to(0, lengths)[_filled(key, [0] * len(indices))].shape
    smallest = (
        slice(None) if isinstance(item, slice) else 0 if isinstance(item, int) else item
        for item in key
    )
    two = np.zeros(2, np.intp)
    place = np.zeros((1,) * x.ndim)[_filled(smallest, [two] * len(indices))].shape.index(2)
    together = np.broadcast_shapes(*(each.shape for each in indices))
    return ArrayType((*others[:place], *together, *others[place:]), x.dtype)


def _evaluate_slice(x: Value, key: Key) -> Value:
    return x[key]


def _evaluate_gather(x: Value, *indices: Value, key: Key) -> Value:
    return x[_filled(key, indices)]


def _evaluate_scatter_add(x: Value, *indices: Value, key: Key, shape: tuple[int, ...]) -> Value:
    x = np.asarray(x)
    result = np.zeros(shape, x.dtype)
    if not indices:
        result[key] = x
        return result
    indices = tuple(np.asarray(each, np.intp) for each in indices)
    filled = _filled(key, indices)
    if x.ndim == max(each.ndim for each in indices):
        # Single entries: NumPy's loop is fast where there is nothing else.
        np.add.at(result, filled, x)
    elif _are_distinct(indices, shape, key):
        result[filled] = x
    elif len(indices) == 1 and not any(isinstance(item, int) for item in key):
        _add_rows(result, indices[0], x, key)
    else:
        np.add.at(result, filled, x)
    return result


def _are_distinct(indices: Sequence[Value], shape: tuple[int, ...], key: Key) -> bool:
    """Whether index arrays name no place twice."""
    lengths = tuple(
        shape[axis]
        for item, axis in _entries(len(shape), key)
        if isinstance(item, str) and axis is not None
    )
    together = np.broadcast_arrays(*indices)
    if not together[0].size:
        return True
    places = np.ravel_multi_index(together, lengths, mode="wrap")
    named = np.zeros(math.prod(lengths), bool)
    named[places] = True
    return int(np.count_nonzero(named)) == places.size


def _add_rows(result: Value, index: Value, x: Value, key: Key) -> None:
    """Add up whole rows: several times faster entry by entry, with NumPy's loop for these."""
    view = result[_filled(key, [slice(None)])]
    place = key.index(INDEX)
    if Ellipsis in key[:place]:
        place += view.ndim - len(key)
    rows = np.moveaxis(view, place, 0)
    width = math.prod(rows.shape[1:])
    entries = np.moveaxis(x, range(place, place + index.ndim), range(index.ndim))
    # Negative indices count from the end also here.
    places = np.add.outer(index * width, np.arange(width))
    total = np.zeros(rows.size, x.dtype)
    np.add.at(total, places.ravel(), entries.ravel())
    rows[...] = total.reshape(rows.shape)


def _scatter_add_type(
    x: ArrayType, *_indices: ArrayType, key: Key, shape: tuple[int, ...]
) -> ArrayType:
    return ArrayType(shape, x.dtype)


def _slice_vjp(g: Value, x_type: ArrayType, key: Key) -> Value:
    return bind(scatter_add, (g,), {"key": key, "shape": x_type.shape})


def _gather_vjp(g: Value, x_type: ArrayType, indices: Sequence[Value], key: Key) -> Value:
    return bind(scatter_add, (g, *indices), {"key": key, "shape": x_type.shape})


def _scatter_add_vjp(g: Value, indices: Sequence[Value], key: Key) -> Value:
    return bind(gather if indices else slice_, (g, *indices), {"key": key})


def _slice_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, key in (
        ((4,), (1,)),
        ((4,), (slice(None, None, -2),)),
        ((2, 3), (Ellipsis, -1)),
        ((2, 3), (None, 1, slice(1, 3))),
        ((), (None,)),
        ((), (Ellipsis,)),
        ((3,), (slice(2, 1),)),
        ((0, 2), (slice(None), 1)),
        ((1, 2, 2), (slice(None), Ellipsis, slice(1))),
    ):
        yield Sample((rng.uniform(-1, 1, shape),), {"key": key})


_GATHERED: tuple[tuple[tuple[int, ...], tuple[Any, ...], Key], ...] = (
    ((4,), ([1, 1, -1],), (INDEX,)),
    ((4,), ([[0, 1], [1, 3]],), (INDEX,)),
    ((3, 2), ([2, 0, 2],), (INDEX,)),
    ((2, 3), ([2, 0, 2],), (slice(None), INDEX)),
    ((2, 3), ([1, 0, 1], [2, 2, 2]), (INDEX, INDEX)),
    ((2, 3, 2), ([1, 1], [0]), (INDEX, slice(None, None, -1), INDEX)),
    ((2, 3, 2), ([1, 1],), (0, Ellipsis, INDEX)),
    ((2, 3), (1,), (INDEX,)),
    ((2, 3), ([],), (INDEX,)),
)


def _gather_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, indices, key in _GATHERED:
        arrays = (np.array(each, np.intp) for each in indices)
        yield Sample((rng.uniform(-1, 1, shape), *arrays), {"key": key})


def _scatter_add_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for sample in _slice_samples(rng):
        read = sample.args[0][sample.static["key"]]
        yield Sample((read,), {**sample.static, "shape": sample.args[0].shape})
    for sample in _gather_samples(rng):
        x, *indices = sample.args
        read = x[_filled(sample.static["key"], indices)]
        yield Sample((read, *indices), {**sample.static, "shape": x.shape})


def _add_slice(total: np.ndarray[Any, Any], g: Value, key: Key) -> None:
    total[key] += g


slice_ = Primitive(
    "slice",
    _evaluate_slice,
    infer=_slice_type,
    vjps=(_slice_vjp,),
    add_vjp=_add_slice,
    jvp=Linearity.JOINT,
    aliases=True,
    samples=_slice_samples,
)
"""Basic indexing."""

gather = Primitive(
    "gather",
    _evaluate_gather,
    infer=_gather_type,
    arguments="x *indices",
    vjps=(_gather_vjp,),
    jvp=Linearity.SEPARATE,
    samples=_gather_samples,
)
"""Indexing with integer arrays."""

scatter_add = Primitive(
    "scatter_add",
    _evaluate_scatter_add,
    infer=_scatter_add_type,
    arguments="x *indices",
    vjps=(_scatter_add_vjp,),
    jvp=Linearity.SEPARATE,
    samples=_scatter_add_samples,
)
"""The transpose of reading: add the entries of an array up in zeros of a shape."""

PRIMITIVES: tuple[Primitive, ...] = (slice_, gather, scatter_add)
