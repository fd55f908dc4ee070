"""NumPy's reading indexing."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from steepest.array.array import Array, value_type
from steepest.array.plain import plain_value
from steepest.ops import primitive
from steepest.ops.index import INDEX
from steepest.ops.spec import Traced, Value, bind

__all__ = ["read"]

_slice = primitive("slice")
_gather = primitive("gather")


def read(x: Value, key: Any) -> Value:
    """Read part of an array, as ``x[key]`` does in NumPy.

    Parameters
    ----------
    x : Array or ndarray
    key : int, slice, None, Ellipsis, array_like of int or bool, or a tuple of these
        Index arrays may be traced; boolean ones need their values, as the shape of the result
        depends on them.

    Raises
    ------
    IndexError
        As NumPy does.
    NeedsValueError
        For a boolean array of which only the shape is known.
    """
    if type(key) is int:
        return _basic(x, (key,))
    items = key if type(key) is tuple else (key,)
    basic = []
    for item in items:
        kind = type(item)
        if kind is int or item is None or item is Ellipsis:
            basic.append(item)
        elif kind is slice:
            basic.append(_plain_slice(item))
        else:
            return _advanced(x, items)
    return _basic(x, tuple(basic))


def _basic(x: Value, key: tuple[Any, ...]) -> Value:
    if not isinstance(x, Array):
        return x[key]
    shared = x._shared
    result = bind(_slice, (x,), {"key": key})
    if not shared and isinstance(result, Array) and not result._is_ndarray():
        # A single entry is a copy, not a view.
        x._shared = result._shared = False
    return result


_PLAIN = frozenset((int, type(None)))


def _plain_slice(item: slice) -> slice:
    """Replace what stands for an integer in a slice, a traced one too, by the integer."""
    if type(item.start) in _PLAIN and type(item.stop) in _PLAIN and type(item.step) in _PLAIN:
        return item
    return slice(
        *(
            None if each is None else operator.index(each)
            for each in (item.start, item.stop, item.step)
        )
    )


def _advanced(x: Value, items: tuple[Any, ...]) -> Value:
    """Read with index arrays, or with what has first to be told from them."""
    entries = [_entry(item) for item in items]
    arrays = [each for each in entries if isinstance(each, _ARRAYS)]
    if not arrays:
        return _basic(x, tuple(entries))
    if any(each.dtype.kind == "b" for each in arrays):
        x, entries = _counted(x, entries)
        arrays = [each for each in entries if isinstance(each, _ARRAYS)]
    key = tuple(INDEX if isinstance(each, _ARRAYS) else each for each in entries)
    return bind(_gather, (x, *arrays), {"key": key})


_ARRAYS = (np.ndarray, Array)


def _counted(x: Value, entries: list[Any]) -> tuple[Value, list[Any]]:
    """Turn the boolean arrays of a key into positions along a single axis of a reshaped array."""
    if sum(each is Ellipsis for each in entries) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    shape = value_type(x).shape
    unread = len(shape) - sum(_axes_read(each) for each in entries)
    if unread < 0:
        raise IndexError(
            f"too many indices for array: array is {len(shape)}-dimensional, but"
            f" {len(shape) - unread} were indexed"
        )
    counted: list[Any] = []
    lengths: list[int] = []
    axis = 0
    for entry in entries:
        count = unread if entry is Ellipsis else _axes_read(entry)
        read_lengths = shape[axis : axis + count]
        if isinstance(entry, _ARRAYS) and entry.dtype.kind == "b":
            counted.append(_positions(entry, read_lengths, axis))
            lengths.append(math.prod(read_lengths))
        else:
            counted.append(entry)
            lengths.extend(read_lengths)
        axis += count
    lengths.extend(shape[axis:])
    if tuple(lengths) != shape:
        # The name that the reshaped view goes by is not the user's.
        x = np.reshape(np.copy(x), lengths)
    return x, counted


def _entry(item: Any) -> Any:
    """Turn an entry of a key into an int, a slice of ints, None, Ellipsis or an index array."""
    if item is None or item is Ellipsis or type(item) is int:
        return item
    if type(item) is np.ndarray and item.dtype.kind in "iub":
        return item
    if isinstance(item, slice):
        return _plain_slice(item)
    if isinstance(item, Array):
        array: Value = item
    elif isinstance(item, (list, tuple)) and any(isinstance(each, Traced) for each in item):
        array = np.stack(item)
    elif not isinstance(item, (bool, np.bool, np.ndarray)) and hasattr(item, "__index__"):
        return operator.index(item)
    else:
        array = np.asarray(item)
        if not array.size and not isinstance(item, np.ndarray):
            array = array.astype(np.intp)
    if value_type(array).dtype.kind in "iub":
        return array
    if isinstance(item, (np.ndarray, Array)):
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or"
        " boolean arrays are valid indices"
    )


def _axes_read(item: Any) -> int:
    """Count the axes that an entry of a key reads, Ellipsis apart."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, (int, slice)):
        return 1
    return item.ndim if item.dtype.kind == "b" else 1


def _positions(mask: Value, lengths: tuple[int, ...], axis: int) -> Value:
    """Where a boolean array is true, counted along its axes laid end to end."""
    mask = np.asarray(plain_value(mask, "indexing with a boolean array"))
    for position, (given, needed) in enumerate(zip(mask.shape, lengths, strict=True)):
        if given != needed:
            raise IndexError(
                f"boolean index did not match indexed array along axis {axis + position}; size of"
                f" axis is {needed} but size of corresponding boolean axis is {given}"
            )
    return np.flatnonzero(mask)
