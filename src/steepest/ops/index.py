"""Reading parts of arrays, its transpose, and writing into parts.

The static argument ``key`` is a tuple as NumPy's indexing takes it: integers, slices, None and
Ellipsis. In the place of index arrays stands `INDEX`; they are arguments of the primitive.

What is written into is said by a ``path``: the views that lead from an array to its part, each
as the name of a primitive with its static argument, and at the end ``("key", key)``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from steepest.graph import ArrayType
from steepest.ops.spec import Linearity, Primitive, Sample, Value, bind, is_ndarray

__all__ = ["INDEX", "PRIMITIVES", "VIEWS", "Path"]

INDEX = "index"
"""What stands in a key for an index array."""

Key = tuple[Any, ...]
Path = tuple[tuple[str, Any], ...]


def _filled(key: Iterable[Any], indices: Iterable[Value]) -> Key:
    """Put index arrays into the places that a key has for them."""
    if type(key) is tuple and type(indices) is tuple and len(key) == len(indices):
        return indices
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
    indices = tuple([np.asarray(each, np.intp) for each in indices])
    filled = _filled(key, indices)
    if x.ndim == max([each.ndim for each in indices]):
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


# Writing

VIEWS: dict[str, Callable[[Value, Any], Value]] = {
    "slice": lambda x, key: x[key],
    "reshape": np.reshape,
    "transpose": np.transpose,
    "broadcast": np.broadcast_to,
    "real": lambda x, _: x.real,
    "imag": lambda x, _: x.imag,
}
"""NumPy's views, by the primitive that stands for them."""


def _put(
    x: np.ndarray[Any, Any],
    v: Value,
    indices: Sequence[Value],
    path: Path,
    write: Callable[[Value, Key, Value], None],
) -> None:
    """Write into the part of an ndarray that a path leads to, in place."""
    *views, (_, key) = path
    parts = [x]
    for name, setting in views:
        parts.append(VIEWS[name](parts[-1], setting))
    write(parts[-1], _filled(key, indices), v)
    for (name, _), whole, part in zip(views[::-1], parts[-2::-1], parts[::-1], strict=False):
        if name == "reshape" and not np.may_share_memory(part, whole):
            # Where the entries lie otherwise than in the array that the path was made for.
            whole[...] = part.reshape(whole.shape)


def _part(x: Value, indices: Sequence[Value], path: Path) -> Value:
    """Read the part of an array that a path leads to; the transpose of writing zeros around it."""
    for name, setting in path:
        if name == "key":
            x = bind(gather if INDEX in setting else slice_, (x, *indices), {"key": setting})
        elif name == "slice":
            x = bind(slice_, (x,), {"key": setting})
        elif name == "reshape":
            x = np.reshape(x, setting)
        elif name == "transpose":
            x = np.transpose(x, setting)
        elif name == "real":
            x = np.real(x)
        else:
            # The cotangent of a + bi is ∂f/∂a − i ∂f/∂b.
            x = -np.imag(x)
    return x


def _write(x: Value, v: Value, *indices: Value, path: Path) -> None:
    _put(x, v, indices, path, operator.setitem)


def _add(x: Value, v: Value, *indices: Value, path: Path) -> None:
    _put(x, v, indices, path, np.add.at)


def _evaluate_write(x: Value, v: Value, *indices: Value, path: Path) -> Value:
    result = np.array(x)
    _write(result, v, *indices, path=path)
    return result


def _evaluate_add_at(x: Value, v: Value, *indices: Value, path: Path) -> Value:
    result = np.array(x)
    _add(result, v, *indices, path=path)
    return result


def _updated_type(x: ArrayType, v: ArrayType, *indices: ArrayType, path: Path) -> ArrayType:
    part = x
    for name, setting in path:
        if name == "key":
            shape = (
                _gather_type(part, *indices, key=setting)
                if INDEX in setting
                else _slice_type(part, setting)
            ).shape
        else:
            part = ArrayType(VIEWS[name](np.broadcast_to(0j, part.shape), setting).shape, x.dtype)
    given = v.shape[max(v.ndim - len(shape), 0) :]
    if math.prod(v.shape) != math.prod(given) or np.broadcast_shapes(given, shape) != shape:
        raise ValueError(f"could not broadcast input array from shape {v.shape} into shape {shape}")
    return ArrayType(x.shape, x.dtype)


def _write_type(x: ArrayType, v: ArrayType, *indices: ArrayType, path: Path) -> ArrayType:
    if v.weak and v.dtype.kind == "c" and x.dtype.kind in "iuf":
        # Of complex arrays, NumPy drops the imaginary part, with a warning.
        raise TypeError(f"a complex number cannot be written into an array of {x.dtype}")
    return _updated_type(x, v, *indices, path=path)


def _write_vjp(g: Value, indices: Sequence[Value], path: Path) -> Value:
    return bind(write, (g, 0.0, *indices), {"path": path})


def _written_vjp(g: Value, v_type: ArrayType, indices: Sequence[Value], path: Path) -> Value:
    g = _part(g, (), path[:-1])
    lasting = None
    if any(np.size(each) > 1 for each in indices):
        lasting = _lasting(np.shape(g), indices, path[-1][1])
    g = _part(g, indices, path[-1:])
    return _like_written(g if lasting is None else np.where(lasting(g), g, 0.0), v_type)


def _added_vjp(g: Value, v_type: ArrayType, indices: Sequence[Value], path: Path) -> Value:
    return _like_written(_part(g, indices, path), v_type)


def _like_written(g: Value, v_type: ArrayType) -> Value:
    """Give a cotangent the axes of length 1 that NumPy drops from what is written."""
    extra = v_type.ndim - np.ndim(g)
    return np.reshape(g, (1,) * extra + np.shape(g)) if extra > 0 else g


def _lasting(
    shape: tuple[int, ...], indices: Sequence[Value], key: Key
) -> Callable[[Value], Value] | None:
    """Find what nothing later was written over; None where that is everything.

    Returns
    -------
    callable or None
        Takes what the key reads, returns a mask that broadcasts with it.
    """
    lengths = tuple(
        shape[axis]
        for item, axis in _entries(len(shape), key)
        if isinstance(item, str) and axis is not None
    )
    last = bind(last_written, tuple(indices), {"lengths": lengths})
    if is_ndarray(last) and last.all():
        return None

    def mask(read: Value) -> Value:
        after = np.ndim(read) - np.ndim(last) - _place_of_indices(key, read, last)
        return np.reshape(last, (*np.shape(last), *(1,) * after))

    return mask


def _place_of_indices(key: Key, read: Value, together: Value) -> int:
    """Find the first axis of the index arrays in what they read."""
    stands = [isinstance(item, (str, int)) for item in key]
    first, last = stands.index(True), len(stands) - 1 - stands[::-1].index(True)
    if not all(stands[first : last + 1]):
        return 0
    if Ellipsis in key[:first]:
        return int(np.ndim(read)) - int(np.ndim(together)) - len(key[last + 1 :])
    return first


def _evaluate_last_written(*indices: Value, lengths: tuple[int, ...]) -> Value:
    together = np.broadcast_arrays(*indices)
    places = np.ravel_multi_index(together, lengths, mode="wrap")
    _, which = np.unique(places, return_inverse=True)
    which = which.reshape(places.shape)
    order = np.arange(which.size).reshape(which.shape)
    latest = np.empty(which.size, np.intp)
    latest[which] = order
    return latest[which] == order


def _last_written_type(*indices: ArrayType, lengths: tuple[int, ...]) -> ArrayType:
    if any(each.dtype.kind not in "iub" for each in indices):
        raise TypeError("only integers are indices")
    return ArrayType(np.broadcast_shapes(*(each.shape for each in indices)), np.dtype(bool))


def _write_in_place(
    g: np.ndarray[Any, Any], v_type: ArrayType | None, indices: Sequence[Value], path: Path
) -> tuple[Value, Value]:
    """Take the cotangent of what was written out of that of the result, and leave zeros there."""
    g_v = None
    if v_type is not None:
        g_v = np.array(_written_vjp(g, v_type, indices, path))
    _write(g, 0.0, *indices, path=path)
    return g, g_v


def _add_in_place(
    g: np.ndarray[Any, Any], v_type: ArrayType | None, indices: Sequence[Value], path: Path
) -> tuple[Value, Value]:
    return g, None if v_type is None else np.array(_added_vjp(g, v_type, indices, path))


_WRITTEN: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[Any, ...], Path], ...] = (
    ((4,), (), (), (("key", (1,)),)),
    ((4,), (2,), (), (("key", (slice(None, None, -2),)),)),
    ((2, 3), (1, 1, 3), (), (("key", (Ellipsis,)),)),
    ((), (), (), (("key", ()),)),
    ((0, 2), (), (), (("key", (slice(None), 1)),)),
    ((3,), (3,), ([2, 0, 2],), (("key", (INDEX,)),)),
    ((3,), (), ([2, 0, 2],), (("key", (INDEX,)),)),
    ((3,), (0,), ([],), (("key", (INDEX,)),)),
    ((2, 3), (2, 2), ([[0, 1], [2, 1]],), (("key", (1, INDEX)),)),
    ((2, 3), (2, 3), ([2, 0, 2],), (("key", (slice(None), INDEX)),)),
    ((2, 3, 2), (2, 3), ([1, 1], [0]), (("key", (INDEX, slice(None, None, -1), INDEX)),)),
    ((2, 3, 2), (2, 3), ([1, 1],), (("key", (0, Ellipsis, INDEX)),)),
    (
        (2, 3),
        (2, 1),
        (),
        (("slice", (slice(1, None),)), ("transpose", (1, 0)), ("key", (slice(2),))),
    ),
    ((2, 3), (), (), (("transpose", (1, 0)), ("reshape", (6,)), ("key", (4,)))),
    ((2, 3), (3,), (), (("reshape", (3, 2)), ("key", (slice(None), 0)))),
)


def _write_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, written, indices, path in _WRITTEN:
        x, v = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, written)
        arrays = (np.array(each, np.intp) for each in indices)
        yield Sample((x, v, *arrays), {"path": path})


slice_ = Primitive(
    "slice",
    _evaluate_slice,
    infer=_slice_type,
    vjps=(_slice_vjp,),
    add_vjp=_add_slice,
    jvp=Linearity.JOINT,
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

write: Primitive = Primitive(
    "write",
    _evaluate_write,
    infer=_write_type,
    arguments="x v *indices",
    vjps=(_write_vjp, _written_vjp),
    jvp=(
        lambda t, indices, path: bind(write, (t, 0.0, *indices), {"path": path}),
        lambda t, x_type, indices, path: bind(
            write, (np.zeros(x_type.shape, x_type.dtype), t, *indices), {"path": path}
        ),
    ),
    # What is written, to the part that it fills.
    broadcasts=True,
    in_place=_write,
    in_place_vjp=_write_in_place,
    samples=_write_samples,
)
"""Write into a part of an array: `x` with `v` in the place that the path leads to."""

add_at: Primitive = Primitive(
    "add_at",
    _evaluate_add_at,
    infer=_updated_type,
    arguments="x v *indices",
    vjps=(lambda g: g, _added_vjp),
    jvp=(
        lambda t: t,
        lambda t, x_type, indices, path: bind(
            add_at, (np.zeros(x_type.shape, x_type.dtype), t, *indices), {"path": path}
        ),
    ),
    broadcasts=True,
    in_place=_add,
    in_place_vjp=_add_in_place,
    # Unlike an assignment, the ufunc drops no axes of length 1.
    samples=lambda rng: (each for each in _write_samples(rng) if np.ndim(each.args[1]) < 3),
)
"""Add to a part of an array, to a place as often as it is named, as ``np.add.at``."""

last_written = Primitive(
    "last_written",
    _evaluate_last_written,
    infer=_last_written_type,
    arguments="*indices",
    samples=lambda rng: [
        Sample((np.array([1, 0, -2]),), {"lengths": (3,)}),
        Sample((np.array([[1], [-1]]), np.array([0, 0, 2])), {"lengths": (2, 3)}),
        Sample((np.array([], np.intp),), {"lengths": (0,)}),
    ],
)
"""Which entries of index arrays name a place that no later one names."""

PRIMITIVES: tuple[Primitive, ...] = (slice_, gather, scatter_add, write, add_at, last_written)
