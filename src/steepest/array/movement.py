"""NumPy's functions that move entries: shape, order, repetition, joining, splitting."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from steepest.array.arguments import NO_VALUE, memory_order
from steepest.array.array import Array, value_type
from steepest.array.buffers import (
    Memory,
    View,
    as_ndarray,
    duck,
    is_contiguous,
    is_unknown,
    ndarray_of,
    reshaped,
    unknown_layout,
    view,
)
from steepest.array.indexing import read
from steepest.array.plain import plain_arguments
from steepest.errors import UnsupportedError
from steepest.ops import primitive
from steepest.ops.spec import Traced, Value, bind, is_ndarray

__all__ = ["FUNCTIONS", "diagonal_view"]

_broadcast = primitive("broadcast")
_reshape = primitive("reshape")
_slice = primitive("slice")
_transpose = primitive("transpose")
_concatenate = primitive("concatenate")
_stack = primitive("stack")
_pad = primitive("pad")
_scatter_add = primitive("scatter_add")


def _as_array(value: Value) -> Value:
    """Take what NumPy takes for an array: also lists, of traced values too."""
    if isinstance(value, Array):
        # A Python number is an array to NumPy's functions.
        return value.astype(value.dtype) if value_type(value).weak else value
    if isinstance(value, (list, tuple)) and _holds_traced(value):
        return stack(value)
    return np.asarray(value)


def _as_ndarray(value: Value) -> Value:
    value = _as_array(value)
    return as_ndarray(value) if isinstance(value, Array) else value


def _holds_traced(value: Sequence[Any]) -> bool:
    return any(
        isinstance(each, Traced) or (isinstance(each, (list, tuple)) and _holds_traced(each))
        for each in value
    )


def copy(a: Value, order: Any = "K", subok: bool = False) -> Value:
    a, order = _as_array(a), memory_order(order)
    # A new Array over the same recorded value, which nothing writes into. Functions that return
    # new memory begin with it, so that the views they make on the way are not of the user's array.
    if not isinstance(a, Array):
        return np.array(a, order=order)
    a = as_ndarray(a)
    result = Array(a._trace, laid_out(a._value, order), a._node)
    if is_unknown(result) and a._is_ndarray():
        result._alias = Memory(contiguous=order == "C")
    return result


def laid_out(value: Value, order: Any) -> Value:
    """Copy a value if its entries do not lie as NumPy's copy of it would have them."""
    if isinstance(value, Array):
        return Array(value._trace, laid_out(value._value, order), value._node)
    if is_ndarray(value) and (
        (order == "C" and not value.flags.c_contiguous)
        or (order == "F" and not value.flags.f_contiguous)
        or (order == "K" and not (value.flags.c_contiguous or value.flags.f_contiguous))
    ):
        return np.array(value, order=order)
    return value


def _each_copied(arrays: Any) -> list[Value]:
    """List the arrays of a sequence, or along the first axis of an array."""
    return [copy(each) for each in (copy(arrays) if isinstance(arrays, Array) else arrays)]


def _each_whole(arrays: Any) -> list[Value]:
    """List the same, for what makes no views of them."""
    return [
        each if type(each._value if type(each) is Array else each) is ndarray else copy(each)
        for each in (copy(arrays) if isinstance(arrays, Array) else arrays)
    ]


def _plain(value: Value) -> Value:
    """Look one trace deep, which is enough to see most values."""
    return value._value if type(value) is Array else value


def _shape(value: Value) -> tuple[int, ...]:
    plain = value._value if type(value) is Array else value
    return plain.shape if type(plain) is ndarray else value_type(value).shape


def _integers(value: Value) -> Value:
    """Take positions or counts as NumPy does: it rounds numbers down, but not arrays."""
    if isinstance(value, Array):
        if value._trace.active:
            return value
        value = plain_arguments(value, "an index")
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value).astype(np.intp, casting="safe")
    return np.asarray(value, np.intp)


def _stand_in(value: Value) -> np.ndarray[Any, Any]:
    """Make an ndarray of a value's shape, without memory, to ask NumPy about shapes."""
    shape = value_type(value).shape
    return np.ndarray(shape, bool, b"0", 0, (0,) * len(shape))


def _at(axis: int, item: Any) -> tuple[Any, ...]:
    """Key that reads along one axis."""
    return (*[slice(None)] * axis, item)


# Shape


def reshape(a: Value, /, shape: Any, order: Any = "C", *, copy: bool | None = None) -> Value:
    if copy is False:
        result = reshape(a, shape, order)
        if isinstance(result, Array) and result._is_ndarray() and type(result._alias) is not View:
            raise ValueError("Unable to avoid creating a copy while reshaping.")
        return result
    if order == "C" and not copy and type(shape) is tuple and type(_plain(a)) is ndarray:
        for length in shape:
            if type(length) is not int or length < 0:
                break
        else:
            # NumPy compares the number of entries.
            return reshaped(a, shape)
    order = memory_order(order)
    if order in {"A", "K"} and value_type(a).ndim > 1:
        raise UnsupportedError(
            f"order={order!r} depends on how the entries lie in memory",
            instead="order='C' (the default) or order='F'",
        )
    target = _reshaped(a, shape, order)
    if copy:
        a = np.copy(a)
    if order != "F":
        return reshaped(a, target)
    # Fortran's order is C's with the axes reversed.
    return transpose(reshaped(transpose(a), target[::-1]))


def _reshaped(a: Value, shape: Any, order: Any) -> tuple[int, ...]:
    """Find the lengths of a reshaped array, with the one that -1 stands for."""
    size = math.prod(_shape(a))
    given = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    target = tuple(map(operator.index, given))
    if order in ("C", "F") and math.prod(target) == size and min(target, default=0) >= 0:
        return target
    # The -1, and the words for a shape that does not fit, are NumPy's.
    lengths: tuple[int, ...] = np.reshape(_stand_in(a), target, order).shape
    return lengths


def ravel(a: Value, order: Any = "C") -> Value:
    plain = _plain(a)
    if order == "C" and type(plain) is ndarray and plain.flags.c_contiguous:
        return reshaped(a, (plain.size,))
    order = memory_order(order)
    shape = _shape(a)
    if len(shape) < 2:
        order = "C"  # Along one axis there is no other.
    value = ndarray_of(a) if isinstance(a, Array) else a
    if is_ndarray(value):
        flags = value.flags
        if not (flags.f_contiguous if order == "F" else flags.c_contiguous):
            # A reshape may be a view also of what does not lie in one piece.
            a = np.copy(a)
    elif isinstance(a, Array) and type(a._alias) is View and len(shape) == 1:
        # Unlike a reshape, it copies what does not lie in one piece.
        refusal = None if is_contiguous(a) else unknown_layout()
        return view(a, _reshape, {"shape": shape}, refusal=refusal)
    return reshape(a, (math.prod(shape),), order)


def squeeze(a: Value, axis: Any = None) -> Value:
    plain = _plain(a)
    if axis is None and type(plain) is ndarray:
        shape = plain.squeeze().shape
    elif axis is None:
        shape = tuple([length for length in _shape(a) if length != 1])
    else:
        shape = np.squeeze(_stand_in(a), axis).shape
    return view(a, _reshape, {"shape": shape})


def expand_dims(a: Value, axis: Any) -> Value:
    shape = _shape(a)
    if type(axis) is int and 0 <= axis <= len(shape):
        return view(a, _reshape, {"shape": (*shape[:axis], 1, *shape[axis:])})
    lengths = list(shape)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    for place in sorted(normalize_axis_tuple(axes, len(lengths) + len(axes))):
        lengths.insert(place, 1)
    return view(a, _reshape, {"shape": tuple(lengths)})


def _at_least(minimal: Callable[..., Any]) -> Callable[..., Value]:
    def at_least(*arys: Value) -> Value:
        results = []
        for each in map(_as_array, arys):
            shape = minimal(_stand_in(each)).shape
            results.append(each if shape == value_type(each).shape else reshape(each, shape))
        return results[0] if len(results) == 1 else tuple(results)

    return at_least


# Order of axes


def transpose(a: Value, axes: Any = None) -> Value:
    ndim = len(_shape(a))
    if axes is None:
        return view(a, _transpose, _REVERSED[ndim])
    axes = tuple(normalize_axis_tuple(axes, ndim))
    if len(axes) != ndim:
        raise ValueError("axes don't match array")
    return view(a, _transpose, {"axes": axes})


_REVERSED = [{"axes": tuple(range(ndim))[::-1]} for ndim in range(65)]
"""The axes in their reversed order, for as many as NumPy allows."""


def swapaxes(a: Value, axis1: int, axis2: int) -> Value:
    ndim = len(_shape(a))
    axes = list(range(ndim))
    first, second = normalize_axis_index(axis1, ndim), normalize_axis_index(axis2, ndim)
    axes[first], axes[second] = second, first
    return view(a, _transpose, {"axes": tuple(axes)})


def moveaxis(a: Value, source: Any, destination: Any) -> Value:
    ndim = value_type(a).ndim
    sources = normalize_axis_tuple(source, ndim, "source")
    destinations = normalize_axis_tuple(destination, ndim, "destination")
    if len(sources) != len(destinations):
        raise ValueError(
            "`source` and `destination` arguments must have the same number of elements"
        )
    axes = [axis for axis in range(ndim) if axis not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        axes.insert(place, axis)
    return np.transpose(a, axes)


def rollaxis(a: Value, axis: int, start: int = 0) -> Value:
    ndim = value_type(a).ndim
    axis = normalize_axis_index(axis, ndim)
    start = start + ndim if start < 0 else start
    if not 0 <= start <= ndim:
        raise np.exceptions.AxisError(start, ndim + 1, "start")
    axes = list(range(ndim))
    axes.insert(start - (axis < start), axes.pop(axis))
    return np.transpose(a, axes)


def matrix_transpose(x: Value, /) -> Value:
    if value_type(x).ndim < 2:
        raise ValueError(
            f"Input array must be at least 2-dimensional, but it is {value_type(x).ndim}"
        )
    return np.swapaxes(x, -1, -2)


def flip(m: Value, axis: Any = None) -> Value:
    m = _as_array(m)
    ndim = value_type(m).ndim
    axes = range(ndim) if axis is None else normalize_axis_tuple(axis, ndim)
    return m[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(ndim))]


def fliplr(m: Value) -> Value:
    if value_type(m).ndim < 2:
        raise ValueError("Input must be >= 2-d.")
    return m[:, ::-1]


def flipud(m: Value) -> Value:
    if value_type(m).ndim < 1:
        raise ValueError("Input must be >= 1-d.")
    return m[::-1]


def rot90(m: Value, k: int = 1, axes: Any = (0, 1)) -> Value:
    # NumPy's checks, on an array without memory.
    np.rot90(_stand_in(m), k, axes)
    k %= 4
    if k == 0:
        return m[:]
    if k == 2:
        return np.flip(m, tuple(axes))
    if k == 1:
        return np.swapaxes(np.flip(m, axes[1]), *axes)
    return np.flip(np.swapaxes(m, *axes), axes[1])


def roll(a: Value, shift: Any, axis: Any = None) -> Value:
    result = copy(a)
    if axis is None:
        flat = reshape(result, (value_type(a).size,))
        return np.copy(reshape(roll(flat, shift, 0), value_type(a).shape))
    shift = plain_arguments(shift, "the shift of np.roll")
    axes = normalize_axis_tuple(axis, value_type(a).ndim, allow_duplicate=True)
    shifts, places = np.broadcast_arrays(shift, axes)
    if shifts.ndim > 1:
        raise ValueError("'shift' and 'axis' should be scalars or 1D sequences")
    for each, place in zip(shifts.ravel().tolist(), places.ravel().tolist(), strict=True):
        length = value_type(a).shape[place]
        cut = -each % max(length, 1)
        if cut:
            parts = [result[_at(place, slice(cut, None))], result[_at(place, slice(cut))]]
            result = np.concatenate(parts, axis=place)
    return result


# Repetition


def broadcast_to(array: Value, shape: Any, subok: bool = False) -> Value:
    lengths = plain_arguments(shape, "a shape")
    shape = np.broadcast_to(_stand_in(array), lengths).shape
    if isinstance(array, Array) and not array._is_ndarray():
        array = copy(array)  # of a number too, the result is read-only
    return view(array, _broadcast, {"shape": shape, "is_view": True}, writeable=False)


def broadcast_arrays(*args: Value, subok: bool = False) -> tuple[Value, ...]:
    arrays = [each if is_ndarray(each) else _as_ndarray(each) for each in args]
    shape = np.broadcast_shapes(*(value_type(each).shape for each in arrays))
    return tuple(
        each if value_type(each).shape == shape else np.broadcast_to(each, shape) for each in arrays
    )


def meshgrid(
    *xi: Value, copy: bool = True, sparse: bool = False, indexing: Any = "xy"
) -> tuple[Value, ...]:
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    count = len(xi)
    places = list(range(count))
    if indexing == "xy" and count > 1:
        places[:2] = 1, 0
    arrays = _each_copied(xi) if copy else [_as_array(each) for each in xi]
    grid: tuple[Value, ...] = tuple(
        np.reshape(each, _at_axis(place, count)) for each, place in zip(arrays, places, strict=True)
    )
    if not sparse:
        grid = np.broadcast_arrays(*grid)
    return tuple(np.copy(each) for each in grid) if copy else grid


def tile(A: Value, reps: Any) -> Value:  # noqa: N803  # NumPy's name
    counts = tuple(map(operator.index, np.atleast_1d(reps).tolist()))
    shape = value_type(A).shape
    ndim = max(len(counts), len(shape))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - len(shape)) + shape
    # Each axis is preceded by one along which it repeats.
    spread = tuple(length for each in zip(counts, shape, strict=True) for length in each)
    apart = tuple(length for each in shape for length in (1, each))
    repeated = broadcast_to(reshape(copy(A), apart), spread)
    together = tuple(count * length for count, length in zip(counts, shape, strict=True))
    return np.copy(reshape(repeated, together))


def repeat(a: Value, repeats: Any, axis: int | None = None) -> Value:
    a = copy(a)
    if axis is None:
        a, axis = ravel(a), 0
    elif not value_type(a).ndim:
        # A number has no axis, but takes the first.
        a = reshape(a, 1)
    shape = value_type(a).shape
    axis = normalize_axis_index(operator.index(axis), len(shape))
    counts = _integers(plain_arguments(repeats, "np.repeat"))
    if counts.size != 1 or counts.item() < 0:
        return read(a, _at(axis, np.repeat(np.arange(shape[axis]), counts)))
    count = counts.item()
    spread = (*shape[: axis + 1], count, *shape[axis + 1 :])
    together = (*shape[:axis], shape[axis] * count, *shape[axis + 1 :])
    return np.copy(reshape(broadcast_to(expand_dims(a, axis + 1), spread), together))


# Joining


def concatenate(
    arrays: Sequence[Value],
    /,
    axis: int | None = 0,
    out: None = None,
    *,
    dtype: Any = None,
    casting: Any = "same_kind",
) -> Value:
    parts = _each_whole(arrays)
    if not parts:
        raise ValueError("need at least one array to concatenate")
    if axis is None:
        parts, axis = [ravel(copy(each)) for each in parts], 0
    shapes = [_shape(each) for each in parts]
    ndim = len(shapes[0])
    if not ndim:
        raise ValueError("zero-dimensional arrays cannot be concatenated")
    axis = normalize_axis_index(operator.index(axis), ndim)
    for position, shape in enumerate(shapes):
        if len(shape) != ndim:
            raise ValueError(
                "all the input arrays must have same number of dimensions, but the array at"
                f" index 0 has {ndim} dimension(s) and the array at index {position} has"
                f" {len(shape)} dimension(s)"
            )
    return _joined(parts, axis, [shape[axis] for shape in shapes], dtype, casting)


def _joined(
    parts: Sequence[Value], axis: int, lengths: Sequence[int], dtype: Any, casting: Any
) -> Value:
    if dtype is not None:
        parts = [each.astype(dtype, casting=casting) for each in parts]
    return bind(_concatenate, tuple(parts), {"axis": axis, "lengths": tuple(lengths)})


def stack(
    arrays: Sequence[Value],
    axis: int = 0,
    out: None = None,
    *,
    dtype: Any = None,
    casting: Any = "same_kind",
) -> Value:
    parts = _each_whole(arrays)
    if not parts:
        raise ValueError("need at least one array to stack")
    shape = _shape(parts[0])
    if {_shape(each) for each in parts} != {shape}:
        shapes = ", ".join(str(value_type(each).shape) for each in parts)
        raise ValueError(f"all input arrays must have the same shape, and they are {shapes}")
    axis = normalize_axis_index(operator.index(axis), len(shape) + 1)
    dtypes = {each.dtype for each in parts}
    if len(shape) < 2 and axis == 0 and dtype is None and len(dtypes) == 1:
        # Of matrices, how the result lies in memory depends on how they do.
        return bind(_stack, tuple(parts), {"dtype": dtypes.pop()})
    static = {"shape": (*shape[:axis], 1, *shape[axis:])}
    expanded = [bind(_reshape, (each,), static) for each in parts]
    return _joined(expanded, axis, [1] * len(parts), dtype, casting)


def _many(at_least: Callable[..., Any], arrays: Sequence[Value]) -> list[Value]:
    parts = at_least(*_each_copied(arrays))
    return list(parts) if isinstance(parts, tuple) else [parts]


def hstack(tup: Sequence[Value], *, dtype: Any = None, casting: Any = "same_kind") -> Value:
    parts = _many(np.atleast_1d, tup)
    axis = 0 if parts and value_type(parts[0]).ndim == 1 else 1
    return np.concatenate(parts, axis, dtype=dtype, casting=casting)


def vstack(tup: Sequence[Value], *, dtype: Any = None, casting: Any = "same_kind") -> Value:
    return np.concatenate(_many(np.atleast_2d, tup), 0, dtype=dtype, casting=casting)


def dstack(tup: Sequence[Value]) -> Value:
    return np.concatenate(_many(np.atleast_3d, tup), 2)


def column_stack(tup: Sequence[Value]) -> Value:
    return np.concatenate(
        [
            each if value_type(each).ndim >= 2 else reshape(each, (-1, 1))
            for each in _each_copied(tup)
        ],
        1,
    )


def append(arr: Value, values: Value, axis: int | None = None) -> Value:
    if axis is None:
        return concatenate([ravel(copy(arr)), ravel(copy(values))])
    return concatenate([arr, values], axis)


def block(arrays: Any) -> Value:
    depth = _block_depth(arrays)
    leaves = list(_block_leaves(arrays))
    ndim = max(depth, *(value_type(each).ndim for each in leaves))
    return np.copy(_joined_block(arrays, depth, ndim))


def _block_depth(arrays: Any) -> int:
    if isinstance(arrays, tuple):
        raise TypeError("block() takes nested lists of arrays, not tuples")
    if not isinstance(arrays, list):
        return 0
    depths = {_block_depth(each) for each in arrays}
    if len(depths) != 1:
        raise ValueError(
            "List depths are mismatched, or a list is empty, in the nested lists of arrays that"
            " block() takes"
        )
    return 1 + depths.pop()


def _block_leaves(arrays: Any) -> Any:
    if not isinstance(arrays, list):
        yield _as_array(arrays)
        return
    for each in arrays:
        yield from _block_leaves(each)


def _joined_block(arrays: Any, depth: int, ndim: int) -> Value:
    if depth == 0:
        leaf = copy(arrays)
        shape = value_type(leaf).shape
        return reshape(leaf, (1,) * (ndim - len(shape)) + shape)
    return np.concatenate([_joined_block(each, depth - 1, ndim) for each in arrays], axis=-depth)


# Splitting


def array_split(ary: Value, indices_or_sections: Any, axis: int = 0) -> list[Value]:
    length = value_type(ary).shape[axis]
    axis = normalize_axis_index(axis, value_type(ary).ndim)
    # NumPy says where the parts begin and end.
    sections = plain_arguments(indices_or_sections, "np.array_split")
    places: list[Any] = np.array_split(list(range(length)), sections)
    parts = []
    for place in places:
        start = int(place[0]) if len(place) else 0
        parts.append(ary[_at(axis, slice(start, start + len(place)))])
    return parts


def split(ary: Value, indices_or_sections: Any, axis: int = 0) -> list[Value]:
    indices_or_sections = plain_arguments(indices_or_sections, "np.split")
    if np.ndim(indices_or_sections) == 0 and value_type(ary).shape[axis] % indices_or_sections:
        raise ValueError("array split does not result in an equal division")
    return np.array_split(ary, indices_or_sections, axis)


def hsplit(ary: Value, indices_or_sections: Any) -> list[Value]:
    ndim = value_type(ary).ndim
    if ndim == 0:
        raise ValueError("hsplit only works on arrays of 1 or more dimensions")
    return np.split(ary, indices_or_sections, 1 if ndim > 1 else 0)


def vsplit(ary: Value, indices_or_sections: Any) -> list[Value]:
    if value_type(ary).ndim < 2:
        raise ValueError("vsplit only works on arrays of 2 or more dimensions")
    return np.split(ary, indices_or_sections, 0)


def dsplit(ary: Value, indices_or_sections: Any) -> list[Value]:
    if value_type(ary).ndim < 3:
        raise ValueError("dsplit only works on arrays of 3 or more dimensions")
    return np.split(ary, indices_or_sections, 2)


def unstack(x: Value, /, *, axis: int = 0) -> tuple[Value, ...]:
    if value_type(x).ndim == 0:
        raise ValueError("Input array must be at least 1-d.")
    axis = normalize_axis_index(axis, value_type(x).ndim)
    return tuple(x[_at(axis, i)] for i in range(value_type(x).shape[axis]))


# Diagonals and triangles


def diagonal(a: Value, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    return diagonal_view(a, offset, axis1, axis2, writeable=False)


def diagonal_view(
    a: Value, offset: int = 0, axis1: int = 0, axis2: int = 1, *, writeable: bool
) -> Value:
    """Make the view of a diagonal, or of the diagonals along two axes."""
    ndim = value_type(a).ndim
    # NumPy's checks, and the length.
    shape = np.diagonal(_stand_in(a), offset, axis1, axis2).shape
    axis1, axis2 = normalize_axis_index(axis1, ndim), normalize_axis_index(axis2, ndim)
    rest = [axis for axis in range(ndim) if axis not in {axis1, axis2}]
    lengths = value_type(a).shape
    flat = (*shape[:-1], lengths[axis1] * lengths[axis2])
    key = (..., _diagonal_of(lengths[axis2], offset, shape[-1]))
    turned = view(a, _transpose, {"axes": (*rest, axis1, axis2)}, writeable=writeable)
    return view(view(turned, _reshape, {"shape": flat}), _slice, {"key": key})


def _diagonal_of(columns: int, offset: int, length: int) -> slice:
    """Find a diagonal in a flattened matrix: each entry is one row and one column further."""
    start = offset if offset >= 0 else -offset * columns
    return slice(start, start + length * (columns + 1), columns + 1) if length else slice(0)


def diag(v: Value, k: int = 0) -> Value:
    shape = value_type(v).shape
    if len(shape) == 2:
        return np.diagonal(v, k)
    if len(shape) != 1:
        raise ValueError("Input must be 1- or 2-d.")
    side = shape[0] + abs(k)
    static = {"key": (_diagonal_of(side, k, shape[0]),), "shape": (side * side,)}
    return np.copy(reshape(bind(_scatter_add, (v,), static), (side, side)))


def diagflat(v: Value, k: int = 0) -> Value:
    return diag(ravel(copy(v)), k)


def trace(
    a: Value, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Value = None
) -> Value:
    return np.sum(diagonal(copy(a), offset, axis1, axis2), axis=-1, dtype=dtype, out=out)


def tril(m: Value, k: int = 0) -> Value:
    return np.where(_triangle(m, k), m, np.zeros(1, value_type(m).dtype))


def triu(m: Value, k: int = 0) -> Value:
    return np.where(_triangle(m, k - 1), np.zeros(1, value_type(m).dtype), m)


def _triangle(m: Value, k: int) -> np.ndarray[Any, Any]:
    """Say which entries are on a diagonal or below it."""
    shape = value_type(m).shape
    # NumPy makes a square matrix of a single axis.
    rows, columns = (*shape[-1:], *shape)[-2:]
    return np.tri(rows, columns, k, bool)


def ix_(*args: Value) -> tuple[Value, ...]:
    meshes = []
    for place, each in enumerate(args):
        values = copy(each)
        if values.ndim != 1:
            raise ValueError("Cross index must be 1 dimensional")
        if values.dtype.kind == "b":
            (values,) = np.nonzero(values)
        meshes.append(reshape(values, _at_axis(place, len(args))))
    return tuple(meshes)


# Padding

_READ = ("edge", "reflect", "symmetric", "wrap")
_STATISTICS: dict[str, Callable[..., Value]] = {
    "maximum": np.max,
    "mean": np.mean,
    "median": np.median,
    "minimum": np.min,
}
_SETTINGS: dict[str, tuple[str, ...]] = {
    "constant": ("constant_values",),
    "empty": (),
    "edge": (),
    "wrap": (),
    "linear_ramp": ("end_values",),
    "reflect": ("reflect_type",),
    "symmetric": ("reflect_type",),
    **dict.fromkeys(_STATISTICS, ("stat_length",)),
}
"""The modes that have a name, and what each may be given."""


def _as_it_lies(function: Callable[..., Value]) -> Callable[..., Value]:
    """Let a result lie in the order of Fortran where the argument does, and in that of C else."""

    @functools.wraps(function)
    def laid_out(arr: Value, *args: Any, **settings: Any) -> Value:
        result = function(arr, *args, **settings)
        given, plain = ndarray_of(arr), ndarray_of(result)
        if given is None or plain is None:
            return result
        order: Any = "F" if given.flags.fnc else "C"
        lies = plain.flags.f_contiguous if order == "F" else plain.flags.c_contiguous
        return result if lies else copy(result, order)

    return laid_out


@_as_it_lies
def pad(array: Value, pad_width: Any, mode: Any = "constant", **settings: Any) -> Value:
    if callable(mode):
        return _pad_by_function(array, pad_width, mode, settings)
    if mode not in _SETTINGS:
        raise ValueError(f"mode '{mode}' is not supported")
    surplus = set(settings) - set(_SETTINGS[mode])
    if surplus:
        raise ValueError(f"unsupported keyword arguments for mode '{mode}': {surplus}")
    array = copy(array)
    shape = value_type(array).shape
    widths = _padding_widths(pad_width, len(shape))
    if mode in ("constant", "empty"):
        return _pad_constant(array, widths, settings.get("constant_values", 0))
    reflect_type = settings.get("reflect_type", "even")
    is_read = mode in _READ and reflect_type == "even"
    if is_read:
        for axis, (before, after) in enumerate(widths):
            # NumPy pads the positions; reading there pads the entries.
            positions = np.pad(np.arange(shape[axis]), (before, after), mode, **settings)
            if before or after:
                array = np.take(array, positions, axis)
        return array
    if math.prod(shape) == 0 and any(any(pair) for pair in widths):
        _refuse_empty_axis(shape, widths, mode)
        return _pad_constant(array, widths, 0)
    for axis, pair in enumerate(widths):
        if mode == "linear_ramp":
            ends = _pairs(settings.get("end_values", 0), len(shape))
            array = _with_ramps(array, axis, pair, ends[axis])
        elif mode in _STATISTICS:
            given = settings.get("stat_length")
            if given is not None:
                given = _padding_widths(np.round(given).astype(np.intp), len(shape))
            lengths = _pairs(given, len(shape))
            array = _with_statistics(array, axis, pair, _STATISTICS[mode], lengths[axis])
        elif reflect_type == "odd":
            array = _with_odd_reflections(array, axis, pair, int(mode == "symmetric"))
        else:
            raise ValueError(f"unsupported reflect_type {reflect_type!r}: 'even' or 'odd'")
    return array


def _pad_by_function(
    array: Value, pad_width: Any, function: Callable[..., Any], settings: dict[str, Any]
) -> Value:
    """Have a function write the borders into each vector, one axis after the other."""
    ndim = value_type(array).ndim
    widths = _padding_widths(pad_width, ndim)
    padded = np.copy(_pad_constant(copy(array), widths, 0))
    if not isinstance(padded, Array):
        padded = duck(padded)
    for axis in range(ndim):
        rows = np.moveaxis(padded, axis, -1)
        for place in np.ndindex(rows.shape[:-1]):
            function(rows[(*place, ...)], widths[axis], axis, settings)
    return padded


def _refuse_empty_axis(
    shape: tuple[int, ...], widths: tuple[tuple[int, int], ...], mode: str
) -> None:
    for axis, (length, pair) in enumerate(zip(shape, widths, strict=True)):
        if length == 0 and any(pair):
            raise ValueError(
                f"can't extend empty axis {axis} using modes other than 'constant' or 'empty'"
            )


def _pairs(setting: Any, ndim: int) -> list[tuple[Any, Any]]:
    """Give what is set before and after each axis."""
    if setting is None:
        return [(None, None)] * ndim
    pairs = np.broadcast_to(_as_array(setting), (ndim, 2))
    return [(pairs[axis, 0], pairs[axis, 1]) for axis in range(ndim)]


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (slice(None),) * axis + (part,)


def _rounded_like(value: Value, dtype: np.dtype[Any]) -> Value:
    """Give what is padded with the dtype of the array; integers are rounded, not cut."""
    if dtype.kind in "iu":
        value = np.round(value)
    return value.astype(dtype)


def _with_ramps(array: Value, axis: int, pair: tuple[int, int], ends: tuple[Any, Any]) -> Value:
    dtype = value_type(array).dtype
    ndim = value_type(array).ndim
    edges = array[_along(axis, slice(None, 1))], array[_along(axis, slice(-1, None))]
    ramps = []
    for width, end, edge in zip(pair, ends, edges, strict=True):
        steps = np.arange(width, dtype=np.result_type(dtype, 1.0))
        steps = steps.reshape((-1,) + (1,) * (ndim - 1 - axis))
        ramps.append(_rounded_like(steps * ((edge - end) / max(width, 1)) + end, dtype))
    return np.concatenate([ramps[0], array, np.flip(ramps[1], axis)], axis)


def _with_statistics(
    array: Value,
    axis: int,
    pair: tuple[int, int],
    statistic: Callable[..., Value],
    lengths: tuple[Any, Any],
) -> Value:
    shape = value_type(array).shape
    length = shape[axis]
    sides = []
    for width, wanted, is_left in zip(pair, lengths, (True, False), strict=True):
        count = length if wanted is None or int(wanted) > length else int(wanted)
        if count == 0 and statistic in (np.max, np.min):
            raise ValueError("stat_length of 0 yields no value for padding")
        part = slice(count) if is_left else slice(length - count, None)
        value = statistic(array[_along(axis, part)], axis=axis, keepdims=True)
        value = _rounded_like(value, value_type(array).dtype)
        sides.append(np.broadcast_to(value, (*shape[:axis], width, *shape[axis + 1 :])))
    return np.concatenate([sides[0], array, sides[1]], axis)


def _with_odd_reflections(array: Value, axis: int, pair: tuple[int, int], with_edge: int) -> Value:
    """Reflect at both ends, with signs changed about the entries there."""
    before, after = pair
    if value_type(array).shape[axis] == 1 and not with_edge:
        # There is nothing to reflect.
        return np.take(array, [0] * (before + 1 + after), axis)
    while before or after:
        length = value_type(array).shape[axis]
        most = length - 1 + with_edge
        left, right = min(before, most), min(after, most)
        inner = 1 - with_edge
        first, last = array[_along(axis, slice(None, 1))], array[_along(axis, slice(-1, None))]
        head = array[_along(axis, slice(inner, inner + left))]
        tail = array[_along(axis, slice(length - inner - right, length - inner))]
        array = np.concatenate(
            [2 * first - np.flip(head, axis), array, 2 * last - np.flip(tail, axis)], axis
        )
        before, after = before - left, after - right
    return array


def _padding_widths(pad_width: Any, ndim: int) -> tuple[tuple[int, int], ...]:
    if isinstance(pad_width, dict):
        by_axis: list[Any] = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            by_axis[axis] = (width, width) if isinstance(width, int) else width
        pad_width = by_axis
    if not ndim:
        np.pad(0, pad_width)  # NumPy's checks
    widths = np.asarray(pad_width)
    if widths.dtype.kind not in "iu":
        raise TypeError("`pad_width` must be of integral type.")
    if (widths < 0).any():
        raise ValueError("index can't contain negative values")
    pairs = np.broadcast_to(widths, (ndim, 2)) if ndim else np.empty((0, 2), int)
    return tuple((int(before), int(after)) for before, after in pairs)


def _pad_constant(array: Value, widths: tuple[tuple[int, int], ...], constants: Any) -> Value:
    kind = value_type(array)
    constants = _as_array(constants)
    if (
        not isinstance(constants, Array)
        and not constants.any()
        and not np.signbit(constants.real).any()
    ):
        return bind(_pad, (array,), {"widths": widths})
    pairs = np.broadcast_to(constants, (kind.ndim, 2)).astype(kind.dtype)
    for axis, (before, after) in enumerate(widths):
        shape = value_type(array).shape
        parts = [
            np.broadcast_to(pairs[axis, 0], (*shape[:axis], before, *shape[axis + 1 :])),
            array,
            np.broadcast_to(pairs[axis, 1], (*shape[:axis], after, *shape[axis + 1 :])),
        ]
        array = np.concatenate(parts, axis)
    return array


# Selection


def take(
    a: Value, indices: Value, axis: int | None = None, out: None = None, mode: Any = "raise"
) -> Value:
    a = copy(a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = normalize_axis_index(operator.index(axis), value_type(a).ndim)
    index = _integers(indices)
    length = value_type(a).shape[axis]
    if mode == "wrap" and length:
        index = index % length
    elif mode == "clip" and length:
        index = np.clip(index, 0, length - 1)
    elif mode not in ("clip", "raise", "wrap"):
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    result = read(a, _at(axis, index))
    if not value_type(result).ndim:
        return result[()]
    return np.copy(result) if isinstance(result, Array) else result


def take_along_axis(arr: Value, indices: Value, axis: int | None = -1) -> Value:
    if axis is None:
        if np.ndim(indices) != 1:
            raise ValueError("when axis=None, `indices` must have a single dimension.")
        arr, axis = ravel(copy(arr)), 0
    shape = value_type(arr).shape
    ndim = len(shape)
    axis = normalize_axis_index(axis, ndim)
    if value_type(indices).dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    if value_type(indices).ndim != ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    key = [np.arange(each).reshape(_at_axis(i, ndim)) for i, each in enumerate(shape)]
    key[axis] = indices
    return read(arr, tuple(key))


def _at_axis(axis: int, ndim: int) -> tuple[int, ...]:
    """Shape of an array that lies along one axis."""
    return tuple(-1 if i == axis else 1 for i in range(ndim))


def compress(condition: Value, a: Value, axis: int | None = None, out: None = None) -> Value:
    mask = np.asarray(plain_arguments(condition, "np.compress"))
    if mask.ndim != 1:
        raise ValueError("condition must be a 1-d array")
    return take(a, np.flatnonzero(mask), axis)


def extract(condition: Value, arr: Value) -> Value:
    return take(arr, np.flatnonzero(plain_arguments(condition, "np.extract")))


def select(condlist: Sequence[Value], choicelist: Sequence[Value], default: Value = 0) -> Value:
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if not condlist:
        raise ValueError("select with an empty condition list is not possible")
    for position, condition in enumerate(condlist):
        if value_type(condition).dtype != bool:
            raise TypeError(f"invalid entry {position} in condlist: should be boolean ndarray")
    dtype = np.result_type(*choicelist, default)
    result = _as_array(default).astype(dtype)
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        result = np.where(condition, _as_array(choice).astype(dtype), result)
    return result


def delete(arr: Value, obj: Any, axis: int | None = None) -> Value:
    arr = copy(arr)
    if axis is None:
        arr, axis = ravel(arr), 0
    length = value_type(arr).shape[axis]
    obj = plain_arguments(obj, "np.delete")
    kept = np.delete(np.arange(length), obj)
    if isinstance(obj, slice) or (np.size(obj) == 1 and np.asarray(obj).dtype != bool):
        return _taken_as_it_lies(arr, kept, axis)
    # By an index array, as NumPy, of which the result lies in memory as it does here.
    axis = normalize_axis_index(axis, value_type(arr).ndim)
    return read(arr, (*(slice(None),) * axis, kept))


@_as_it_lies
def _taken_as_it_lies(arr: Value, kept: np.ndarray[Any, Any], axis: int) -> Value:
    return take(arr, kept, axis)


@_as_it_lies
def insert(arr: Value, obj: Any, values: Value, axis: int | None = None) -> Value:
    arr, values = copy(arr), copy(values)
    if axis is None:
        arr, axis = ravel(arr), 0
    kind, given = value_type(arr), value_type(values)
    axis = normalize_axis_index(axis, kind.ndim)
    length = kind.shape[axis]
    before = _insertion_points(obj, length)
    values = reshape(values, (1,) * (kind.ndim - given.ndim) + given.shape)
    if before.ndim == 0:
        # One place takes all values, which lie along the first axis then.
        values = moveaxis(values, 0, axis)
    count = before.size
    if before.size == 1:
        before, count = before.item(), value_type(values).shape[axis]
    new = broadcast_to(values, (*kind.shape[:axis], count, *kind.shape[axis + 1 :]))
    # NumPy inserts the positions of the new entries among those of the old ones.
    order = np.insert(np.arange(length), before, np.arange(length, length + count))
    return take(concatenate([arr, new.astype(kind.dtype)], axis), order, axis)


def _insertion_points(obj: Any, length: int) -> np.ndarray[Any, Any]:
    if isinstance(obj, slice):
        return np.arange(length)[obj]
    points = np.asarray(plain_arguments(obj, "np.insert"))
    if points.dtype == bool:
        return np.flatnonzero(points)
    if isinstance(obj, (np.ndarray, Array)):
        return points
    return points if points.size else points.astype(np.intp)


def diff(
    a: Value, n: int = 1, axis: int = -1, prepend: Any = NO_VALUE, append: Any = NO_VALUE
) -> Value:
    if n == 0:
        return a
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n!r}")
    a = copy(a)
    shape = value_type(a).shape
    if not shape:
        raise ValueError("diff requires input that is at least one dimensional")
    axis = normalize_axis_index(axis, len(shape))
    parts = []
    for each in (prepend, a, append):
        if each is NO_VALUE:
            continue
        part = _as_array(each)
        if np.ndim(part) == 0:
            part = np.broadcast_to(part, (*shape[:axis], 1, *shape[axis + 1 :]))
        parts.append(part)
    if len(parts) > 1:
        a = np.concatenate(parts, axis)
    after, before = _at(axis, slice(1, None)), _at(axis, slice(None, -1))
    operation = np.not_equal if value_type(a).dtype == bool else np.subtract
    for _ in range(n):
        a = operation(a[after], a[before])
    return a


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.reshape: reshape,
    np.ravel: ravel,
    np.squeeze: squeeze,
    np.expand_dims: expand_dims,
    np.atleast_1d: _at_least(np.atleast_1d),
    np.atleast_2d: _at_least(np.atleast_2d),
    np.atleast_3d: _at_least(np.atleast_3d),
    np.copy: copy,
    np.transpose: transpose,
    np.permute_dims: transpose,
    np.swapaxes: swapaxes,
    np.moveaxis: moveaxis,
    np.rollaxis: rollaxis,
    np.matrix_transpose: matrix_transpose,
    np.flip: flip,
    np.fliplr: fliplr,
    np.flipud: flipud,
    np.rot90: rot90,
    np.roll: roll,
    np.broadcast_to: broadcast_to,
    np.broadcast_arrays: broadcast_arrays,
    np.meshgrid: meshgrid,
    np.tile: tile,
    np.repeat: repeat,
    np.concatenate: concatenate,
    np.concat: concatenate,
    np.stack: stack,
    np.hstack: hstack,
    np.vstack: vstack,
    np.dstack: dstack,
    np.column_stack: column_stack,
    np.append: append,
    np.block: block,
    np.array_split: array_split,
    np.split: split,
    np.hsplit: hsplit,
    np.vsplit: vsplit,
    np.dsplit: dsplit,
    np.diagonal: diagonal,
    np.diag: diag,
    np.diagflat: diagflat,
    np.trace: trace,
    np.tril: tril,
    np.triu: triu,
    np.ix_: ix_,
    np.pad: pad,
    np.take: take,
    np.take_along_axis: take_along_axis,
    np.compress: compress,
    np.extract: extract,
    np.select: select,
    np.delete: delete,
    np.insert: insert,
    np.diff: diff,
    np.unstack: unstack,
}
