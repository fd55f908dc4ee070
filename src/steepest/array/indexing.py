"""NumPy's reading indexing."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from steepest.array.array import Array, value_type
from steepest.array.buffers import known_as_ndarray, linked
from steepest.array.plain import plain_value
from steepest.ops import primitive
from steepest.ops.index import INDEX
from steepest.ops.spec import Traced, Value, bind, is_ndarray

__all__ = ["basic_key", "entry_of", "known_mask", "read", "with_axes"]

_slice = primitive("slice")
_gather = primitive("gather")
_ONE_INDEX: dict[str, Any] = {"key": (INDEX,)}


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
    if type(key) is ndarray and key.dtype.kind == "i":
        return bind(_gather, (x, key), _ONE_INDEX)
    items = tuple(key) if isinstance(key, tuple) else (key,)
    basic = basic_key(items)
    return _advanced(x, items) if basic is None else _basic(x, basic)


def basic_key(items: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Get the key of a view; None where something has first to be told from the values."""
    basic = []
    for item in items:
        kind = type(item)
        if kind is int or item is None or item is Ellipsis:
            basic.append(item)
        elif kind is slice:
            basic.append(_plain_slice(item))
        else:
            return None
    return tuple(basic)


def _basic(x: Value, key: tuple[Any, ...]) -> Value:
    if not isinstance(x, Array):
        return x[key]
    static = {"key": key}
    result = bind(_slice, (x,), static)
    if type(result) is Array and type(result._value) is ndarray:
        return linked(result, x, (_slice, static))
    # A single entry is a copy, not a view.
    if isinstance(result, Array) and issubclass(type(result._value), np.generic):
        return result
    if len(key) == len(x.shape) and all(type(item) is int for item in key):
        return result
    result = linked(result, x, (_slice, static))
    # Of a number too.
    return known_as_ndarray(result) if Ellipsis in key else result


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
    for item in items:
        if type(item) is not ndarray or item.dtype.kind != "i":
            break
    else:
        return bind(_gather, (x, *items), {"key": (INDEX,) * len(items)})
    entries = [entry_of(item) for item in items]
    arrays = [each for each in entries if isinstance(each, _ARRAYS)]
    if not arrays:
        return _basic(x, tuple(entries))
    if any(each.dtype.kind == "b" for each in arrays):
        x, entries = _counted(x, entries)
        arrays = [each for each in entries if isinstance(each, _ARRAYS)]
    key = tuple(INDEX if isinstance(each, _ARRAYS) else each for each in entries)
    return bind(_gather, (x, *arrays), {"key": key})


_ARRAYS = (np.ndarray, Array)


def with_axes(
    shape: tuple[int, ...], entries: list[Any]
) -> Iterator[tuple[Any, tuple[int, ...], int]]:
    """Go through the entries of a key, with the lengths of the axes that each reads, and the first.

    Raises
    ------
    IndexError
        As NumPy does, when they do not fit the shape.
    """
    if sum(each is Ellipsis for each in entries) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    unread = len(shape) - sum(_axes_read(each) for each in entries)
    if unread < 0:
        raise IndexError(
            f"too many indices for array: array is {len(shape)}-dimensional, but"
            f" {len(shape) - unread} were indexed"
        )
    axis = 0
    for entry in entries:
        count = unread if entry is Ellipsis else _axes_read(entry)
        yield entry, shape[axis : axis + count], axis
        axis += count


def _counted(x: Value, entries: list[Any]) -> tuple[Value, list[Any]]:
    """Turn the boolean arrays of a key into positions along a single axis of a reshaped array."""
    shape = value_type(x).shape
    counted: list[Any] = []
    lengths: list[int] = []
    end = 0
    for entry, read_lengths, axis in with_axes(shape, entries):
        if isinstance(entry, _ARRAYS) and entry.dtype.kind == "b":
            mask = known_mask(entry, read_lengths, axis)
            counted.append(np.flatnonzero(mask))
            lengths.append(math.prod(read_lengths))
        else:
            counted.append(entry)
            lengths.extend(read_lengths)
        end = axis + len(read_lengths)
    lengths.extend(shape[end:])
    if tuple(lengths) != shape:
        # The name that the reshaped view goes by is not the user's.
        x = np.reshape(np.copy(x), lengths)
    return x, counted


def entry_of(item: Any) -> Any:
    """Turn an entry of a key into an int, a slice of ints, None, Ellipsis or an index array."""
    if item is None or item is Ellipsis or type(item) is int:
        return item
    if type(item) is ndarray and item.dtype.kind in "iub":
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
        if not array.size and not is_ndarray(item):
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


def known_mask(mask: Value, lengths: tuple[int, ...], axis: int) -> np.ndarray[Any, Any]:
    """Take the values of a boolean array in a key, and compare its lengths with the axes read."""
    known: np.ndarray[Any, Any] = np.asarray(plain_value(mask, "indexing with a boolean array"))
    for position, (given, needed) in enumerate(zip(known.shape, lengths, strict=True)):
        if given != needed:
            raise IndexError(
                f"boolean index did not match indexed array along axis {axis + position}; size of"
                f" axis is {needed} but size of corresponding boolean axis is {given}"
            )
    return known
