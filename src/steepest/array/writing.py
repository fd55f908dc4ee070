"""Writing into Arrays: ``y[k] = v``, ``y += v``, ``out=``, and NumPy's functions that write.

A write makes the Array that owns the memory stand for a new value: the old one with a part
replaced. What was computed from the old one keeps it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from steepest.array.array import Array, is_storing, value_type
from steepest.array.buffers import PLAIN, WRITES, View, is_unknown, location, overwrite, snapshot
from steepest.array.indexing import basic_key, entry_of, known_mask, read, with_axes
from steepest.array.plain import base_array, plain_arguments, plain_value
from steepest.errors import WRITABLE_ARRAY, NeedsValueError, UnsupportedError
from steepest.ops import primitive
from steepest.ops.index import INDEX
from steepest.ops.spec import Primitive, Traced, Value, is_ndarray

__all__ = [
    "FUNCTIONS",
    "FlatIterator",
    "add_at",
    "assign",
    "into",
    "is_written",
    "refuse_ndarray",
    "update",
]

_write = primitive("write")
_add_at = primitive("add_at")

Key = tuple[Any, ...]
_ALL: Key = (Ellipsis,)


def assign(target: Array, key: Any, value: Value) -> None:
    """Write into part of an array, as ``target[key] = value`` does in NumPy.

    Raises
    ------
    IndexError, TypeError, ValueError
        As NumPy does.
    NeedsValueError
        For a boolean array of which only the shape is known, unless a single value is written.
    """
    if not target._is_ndarray() and not is_unknown(target):
        raise TypeError(f"{_scalar_name(target)!r} object does not support item assignment")
    items = tuple(key) if isinstance(key, tuple) else (key,)
    basic = basic_key(items)
    if basic is not None:
        if not _is_part(value, target, basic):
            _refuse_swap(value, target, basic)
            _store(_write, target, basic, (), value)
        return
    entries = [entry_of(item) for item in items]
    masks = [each for each in entries if _is_array(each) and each.dtype.kind == "b"]
    if any(isinstance(each, Array) and is_unknown(each) for each in masks):
        _assign_where(target, entries, value)
        return
    path, indexed, indices = _indexed(target, entries)
    _store(_write, target, indexed, indices, value, path)


def _scalar_name(value: Array) -> str:
    plain = value
    while isinstance(plain, Traced):
        plain = plain._value
    return f"numpy.{value.dtype}" if isinstance(plain, np.generic) else type(plain).__name__


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, Array))


def _is_part(value: Value, target: Array, key: Key) -> bool:
    """Whether a value is a view of the very part that it is written into.

    ``y[1:] += x`` has already written into the view when it writes the view into `y`.
    """
    if not isinstance(value, Array) or type(value._alias) is not View:
        return False
    return _shows(value._alias, target, key)


def _shows(view: View, target: Array, key: Key) -> bool:
    """Whether a view is of a part of an array."""
    link = target._alias
    step = (primitive("slice"), {"key": key})
    if type(link) is View:
        return view.owner is link.owner and view.steps == (*link.steps, step)
    return view.owner is target and view.steps == (step,)


def _refuse_swap(value: Value, target: Array, key: Key) -> None:
    """Refuse ``y[i], y[j] = y[j], y[i]`` of rows by compiled code, which takes them for copies.

    That is how ``shuffle`` of NumPy's generators goes through what is no ndarray. In Python the
    rows are views, of which the second has changed before it is written; that is followed.
    """
    if not isinstance(value, Array) or _owner(value) is not _owner(target):
        return
    if is_storing(sys._getframe(3)):
        return
    views = [each() for each in _owner(target)._alias.views]
    if any(each is not None and _shows(each._alias, target, key) for each in views):
        raise UnsupportedError(
            "compiled code, as np.random.shuffle, exchanged parts of an array, and would have"
            " written one of them twice",
            instead="y = y[rng.permutation(len(y))]",
        )


def _indexed(target: Array, entries: list[Any]) -> tuple[tuple[Any, ...], Key, tuple[Any, ...]]:
    """Split a key with arrays into a path, a key with places for index arrays, and these."""
    first, *rest = entries
    if _is_array(first) and first.dtype.kind == "b" and not first.ndim:
        # One mask for the whole array: an axis of length 1, taken or not.
        path, key, indices = _indexed(target, rest) if rest else ((), (), ())
        if not path:
            chosen = np.flatnonzero(plain_value(first, "indexing with a boolean array"))
            return (("slice", (None,)),), (INDEX, *key), (chosen, *indices)
    indexed: list[Any] = []
    arrays: list[Value] = []
    for entry, lengths, axis in with_axes(target.shape, entries):
        if not _is_array(entry):
            indexed.append(entry)
            continue
        if entry.dtype.kind != "b":
            indexed.append(INDEX)
            arrays.append(entry if is_unknown(entry) else _own_index(entry))
            continue
        if not entry.ndim:
            raise UnsupportedError(
                "writing with a key that combines True or False with other entries",
                instead="if condition: y[key] = value",
            )
        places = known_mask(entry, lengths, axis).nonzero()
        indexed.extend([INDEX] * len(places))
        arrays.extend(places)
    return (), tuple(indexed), tuple(arrays)


def _own_index(index: Value) -> np.ndarray[Any, Any]:
    # In the order of C, in which the last of several values for one place is the one that stays.
    return np.array(plain_value(index, "indexing"), np.intp, order="C")


def _assign_where(target: Array, entries: list[Any], value: Value) -> None:
    """Write where a mask of unknown values is true: for what broadcasts, a choice does it."""
    (mask, *rest) = entries
    written = _as_written(target, value)
    kind = value_type(written)
    if rest or not isinstance(mask, Array) or kind.ndim > len(target.shape) - mask.ndim:
        plain_value(mask, "writing with a boolean array an array of as many values")
    extra = len(target.shape) - mask.ndim
    chosen = np.reshape(np.copy(mask), (*mask.shape, *(1,) * extra))
    _store(_write, target, _ALL, (), np.where(chosen, written, np.copy(target)))


def _as_written(target: Array, value: Value) -> Value:
    """Take what is written as NumPy would: an array or number, of the dtype for truncation."""
    if isinstance(value, (list, tuple)):
        value = np.array(value) if not _holds_traced(value) else np.stack(value)
    if is_ndarray(value):
        return base_array(value)
    if not isinstance(value, Array):
        return value
    if target.dtype.kind not in "fc" and value.dtype != target.dtype:
        # What is left of a number in an integer does not change with the number.
        if value_type(value).weak:
            value = value.astype(value.dtype)
        return value.astype(target.dtype)
    return value


def _holds_traced(value: Any) -> bool:
    return any(
        isinstance(each, Traced) or (isinstance(each, (list, tuple)) and _holds_traced(each))
        for each in value
    )


def _store(
    operation: Primitive,
    target: Array,
    key: Key,
    indices: tuple[Value, ...],
    value: Value,
    path: tuple[tuple[str, Any], ...] = (),
) -> None:
    value = _as_written(target, value)
    with WRITES:
        if isinstance(value, Array):
            value = _apart(value, target)
        owner, steps = location(target)
        static = {"path": (*steps, *path, ("key", key))}
        overwrite(owner, operation, (value, *indices), static)


def _apart(value: Array, target: Array) -> Array:
    """Take what is written apart from the array, whose value is about to change."""
    apart: Array = _copied(value) if _owner(value) is _owner(target) else snapshot(value)
    return apart


def _owner(array: Array) -> Array:
    link = array._alias
    owner: Array = link.owner if type(link) is View else array
    return owner


def _copied(value: Value) -> Value:
    if isinstance(value, Array):
        return Array(value._trace, _copied(value._value), value._node)
    return value.copy() if is_ndarray(value) else value


# Whole arrays


def update(target: Array, result: Value, casting: Any = "same_kind") -> None:
    """Give an array a new value of its shape: what ``y += x`` and ``out=y`` do.

    Raises
    ------
    ValueError
        When the result does not broadcast to the array's shape.
    TypeError
        When it cannot be cast to its dtype.
    """
    kind = value_type(result)
    shape, dtype = target.shape, target.dtype
    if kind.shape != shape and np.broadcast_shapes(kind.shape, shape) != shape:
        raise ValueError(
            f"non-broadcastable output operand with shape {shape} doesn't match the broadcast"
            f" shape {kind.shape}"
        )
    if kind.dtype != dtype:
        if not np.can_cast(kind.dtype, dtype, casting):
            raise TypeError(
                f"Cannot cast ufunc output from {kind.dtype!r} to {dtype!r} with casting rule"
                f" {casting!r}"
            )
    elif kind.shape == shape and type(target._alias) is not View and _lies_alike(result, target):
        with WRITES:
            location(target)
            if isinstance(result, Array):
                target.become(result)
            else:
                target._trace, target._value, target._node = PLAIN, result, None
        return
    if kind.dtype.kind == "c" and dtype.kind != "c":
        result = np.real(result)
    _store(_write, target, _ALL, (), result)


def _lies_alike(result: Value, target: Array) -> bool:
    """Whether a result can take the place of an array's value: an ndarray of the same layout."""
    if isinstance(result, Array) and result._alias is not None:
        return False
    before: Value = target
    while isinstance(before, Array):
        before = before._value
    while isinstance(result, Array):
        result = result._value
    if before is None or result is None:
        return before is result
    return type(result) is np.ndarray and result.strides == before.strides


def into(out: Value, result: Value, casting: Any = "same_kind", where: Value = True) -> Value:
    """Write a result into the array given as ``out=``, and return that."""
    if where is not True:
        result = np.where(where, result, np.copy(out))
    if isinstance(out, Array):
        update(out, result, casting)
        return out
    if isinstance(result, Array) and result._trace.active:
        refuse_ndarray("with out=, or an in-place operator like +=")
    np.copyto(out, plain_value(result, "out="), casting)
    return out


def refuse_ndarray(how: str) -> NoReturn:
    """Refuse to write a traced value into an ndarray."""
    raise UnsupportedError(
        f"writing a traced value into an ndarray that the function did not make ({how})",
        instead=f"{WRITABLE_ARRAY}; or write the operation out, as in total = total + x",
    )


# One by one


class FlatIterator:
    """What ``y.flat`` is: the entries in the order of C, to be read, written and iterated over."""

    __slots__ = ("_array", "_next")

    def __init__(self, array: Array) -> None:
        self._array = array
        self._next = 0

    def __iter__(self) -> Iterator[Value]:
        return self

    def __next__(self) -> Value:
        if self._next >= len(self):
            raise StopIteration
        self._next += 1
        return self[self._next - 1]

    def __len__(self) -> int:
        return self._array.size

    def __getitem__(self, key: Any) -> Value:
        if not _is_simple(key) and not _holds_unknown(key):
            # What is a key here, NumPy knows.
            key = np.arange(len(self)).flat[plain_arguments(key, "y.flat[…]")]
        if _is_simple(key) and not isinstance(key, slice):
            position = self._place(key)
            return self._array[tuple(map(int, np.unravel_index(position, self._array.shape)))]
        return np.copy(read(self.copy(), key))

    def _place(self, key: Any) -> int:
        """Count an index from 0."""
        position: int = int(key) + len(self) * (key < 0)
        if not 0 <= position < len(self):
            raise IndexError(f"index {key} is out of bounds for size {len(self)}")
        return position

    def __setitem__(self, key: Any, value: Value) -> None:
        if _is_simple(key):
            # A write costs what it writes.
            entries = range(len(self))
            positions = np.asarray(entries[key] if isinstance(key, slice) else self._place(key))
        else:
            places = np.arange(len(self))
            key = plain_arguments(key, "y.flat[…]")
            positions = places.flat[key]
            places.flat[key] = 0  # NumPy's errors
        if not is_written(self._array) or not value_type(_as_written(self._array, value)).size:
            return
        if positions.size > 1 and isinstance(value, Array) and _owner(value) is _owner(self._array):
            raise UnsupportedError(
                "writing part of an array into itself through flat, where NumPy reads what it has"
                " just written",
                instead="y.flat[key] = np.copy(x)",
            )
        write_flat(self._array, positions, value)

    def __delitem__(self, key: Any) -> NoReturn:
        raise TypeError("Cannot delete iterator elements")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self.copy(), dtype)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Value, **settings: Any
    ) -> Value:
        return getattr(ufunc, method)(*_entries(inputs), **_entries(settings))

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, settings: dict[str, Any]
    ) -> Value:
        return function(*_entries(args), **_entries(settings))

    def __eq__(self, other: Any) -> Any:
        return self.copy() == other

    def __ne__(self, other: Any) -> Any:
        return self.copy() != other

    def __lt__(self, other: Any) -> Any:
        return self.copy() < other

    def __le__(self, other: Any) -> Any:
        return self.copy() <= other

    def __gt__(self, other: Any) -> Any:
        return self.copy() > other

    def __ge__(self, other: Any) -> Any:
        return self.copy() >= other

    __hash__ = None  # type: ignore[assignment]  # as NumPy's

    def copy(self) -> Value:
        """Copy the entries into one axis."""
        return self._array.flatten()

    base = property(lambda self: self._array, doc="The array.")
    coords = property(
        lambda self: tuple(map(int, np.unravel_index(self._next, self._array.shape))),
        doc="The position of the next entry, along each axis.",
    )
    index = property(lambda self: self._next, doc="The position of the next entry.")


def _entries(arguments: Any) -> Any:
    """Copy the entries of flat iterators among nested arguments."""
    if isinstance(arguments, FlatIterator):
        return arguments.copy()
    if type(arguments) in (tuple, list):
        return type(arguments)(map(_entries, arguments))
    if type(arguments) is dict:
        return {name: _entries(each) for name, each in arguments.items()}
    return arguments


def _is_simple(key: Any) -> bool:
    known = not isinstance(key, (bool, Traced))
    return known and isinstance(key, (int, slice, np.integer))


def _holds_unknown(key: Any) -> bool:
    if isinstance(key, (tuple, list)):
        return any(map(_holds_unknown, key))
    return isinstance(key, Array) and is_unknown(key)


def write_flat(target: Array, positions: Value, values: Value) -> None:
    """Write at positions in the flattened array; too few values are used again."""
    positions = np.atleast_1d(np.asarray(positions, np.intp)).ravel()
    values = _as_written(target, values)
    given = value_type(values)
    if given.size != 1:
        if not positions.size:
            return
        if not given.size:
            raise ValueError("cannot write from an array without entries")
        values = np.ravel(np.copy(values))
        if given.size != positions.size:
            values = values[np.arange(positions.size) % given.size]
    elif given.shape:
        values = np.reshape(np.copy(values), ())
    path = (("reshape", (target.size,)),)
    _store(_write, target, (INDEX,), (positions,), values, path)


# NumPy's functions that write


def copyto(dst: Value, src: Value, casting: Any = "same_kind", where: Value = True) -> None:
    if not isinstance(dst, Array):
        if isinstance(src, Array) and src._trace.active:
            refuse_ndarray("np.copyto")
        np.copyto(dst, *plain_arguments((src, casting, where), "np.copyto"))
        return
    src = _as_written(dst, src)
    if not np.can_cast(value_type(src).promotion_type, dst.dtype, casting):
        raise TypeError(
            f"Cannot cast array data from {value_type(src).dtype!r} to {dst.dtype!r} according to"
            f" the rule {casting!r}"
        )
    if where is True:
        dst[...] = src
    else:
        dst[...] = np.where(where, src, np.copy(dst))


def is_written(target: Array) -> bool:
    """Whether functions that write reach the entries: a NumPy scalar's are written in a copy.

    Raises
    ------
    NeedsValueError
        When it is not known which of the two it is.
    """
    if target._is_ndarray():
        return True
    if is_unknown(target):
        raise NeedsValueError(
            "whether a value without axes is an ndarray, and can be written into, or a NumPy scalar"
            " is not known while the function is compiled",
            instead="np.array(x), which is an ndarray, or x[...] = value",
        )
    return False


def _target(a: Value, name: str) -> Array:
    if isinstance(a, Array):
        if not is_written(a):
            raise TypeError(f"np.{name}: argument 1 must be numpy.ndarray, not {_scalar_name(a)}")
        return a
    refuse_ndarray(f"np.{name}")


def put(a: Value, ind: Value, v: Value, mode: Any = "raise") -> None:
    if isinstance(a, Array) and not is_written(a):
        return
    target = _target(a, "put")
    size = target.size
    positions = np.asarray(plain_arguments(ind, "np.put"), np.intp).ravel()
    if positions.size and not size:
        raise IndexError("cannot replace elements of an empty array")
    if mode == "wrap":
        positions = positions % max(size, 1)
    elif mode == "clip":
        positions = np.clip(positions, 0, size - 1)
    elif mode != "raise":
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    if value_type(_as_written(target, v)).size:
        write_flat(target, positions, v)


def place(arr: Value, mask: Value, vals: Value) -> None:
    target = _target(arr, "place")
    positions = np.flatnonzero(np.asarray(plain_arguments(mask, "np.place")))
    if positions.size and not value_type(_as_written(target, vals)).size:
        raise ValueError("Cannot insert from an empty array!")
    write_flat(target, positions, vals)


def putmask(a: Value, mask: Value, values: Value) -> None:
    target = _target(a, "putmask")
    mask = np.asarray(plain_arguments(mask, "np.putmask"))
    if mask.size != target.size:
        raise ValueError("putmask: mask and data must be the same size")
    positions = np.flatnonzero(mask)
    values = _as_written(target, values)
    size = value_type(values).size
    if size:
        write_flat(target, positions, np.take(values, positions % size))


def fill_diagonal(a: Value, val: Value, wrap: bool = False) -> None:
    target = _target(a, "fill_diagonal")
    shape = target.shape
    if len(shape) < 2:
        raise ValueError("array must be at least 2-d")
    end = None
    if len(shape) == 2:
        step = shape[1] + 1
        if not wrap:
            end = shape[1] * shape[1]
    else:
        if len(set(shape)) != 1:
            raise ValueError("All dimensions of input must be of equal length")
        step = 1 + sum(math.prod(shape[:axis]) for axis in range(1, len(shape)))
    target.flat[:end:step] = val


def put_along_axis(arr: Value, indices: Value, values: Value, axis: int | None) -> None:
    target = _target(arr, "put_along_axis")
    if axis is None:
        if np.ndim(indices) != 1:
            raise ValueError("when axis=None, `indices` must have a single dimension.")
        write_flat(target, plain_value(indices, "np.put_along_axis"), values)
        return
    ndim = len(target.shape)
    axis = normalize_axis_index(axis, ndim)
    if value_type(indices).ndim != ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    key: list[Value] = [
        np.arange(length).reshape([-1 if i == place else 1 for i in range(ndim)])
        for place, length in enumerate(target.shape)
    ]
    key[axis] = indices
    target[tuple(key)] = values


# ufunc.at


def add_at(ufunc: np.ufunc, target: Value, key: Any, *operand: Value) -> None:
    """Apply a ufunc in place at places that may be named more than once, as ``ufunc.at``."""
    if not isinstance(target, Array):
        refuse_ndarray(f"np.{ufunc.__name__}.at")
    items = tuple(key) if isinstance(key, tuple) else (key,)
    basic = basic_key(items)
    operand = tuple(map(_array_of, operand))
    result = ufunc(*(np.empty(0, value_type(each).dtype) for each in (target, *operand)))
    if basic is not None:
        target[basic] = ufunc(np.copy(target[basic]), *operand)
        return
    entries = [entry_of(item) for item in items]
    if ufunc in (np.add, np.subtract) and result.dtype == target.dtype:
        path, indexed, indices = _indexed(target, entries)
        (v,) = operand
        _store(_add_at, target, indexed, indices, v if ufunc is np.add else -v, path)
        return
    _one_round_each(
        ufunc, target, plain_arguments(tuple(entries), f"np.{ufunc.__name__}.at"), operand
    )


def _array_of(value: Value) -> Value:
    if isinstance(value, (list, tuple)):
        return np.stack(value) if _holds_traced(value) else np.array(value)
    return value if isinstance(value, Array) else np.asarray(value)


def _one_round_each(
    ufunc: np.ufunc, target: Array, key: tuple[Any, ...], operand: tuple[Any, ...]
) -> None:
    """Go through the places so often that in each round none is named twice."""
    places = np.arange(target.size).reshape(target.shape)[key]
    values = [np.reshape(np.copy(np.broadcast_to(each, places.shape)), -1) for each in operand]
    flat = places.ravel()
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])[: flat.size]
    turn = np.empty(flat.size, np.intp)
    turn[order] = np.arange(flat.size) - np.repeat(starts, np.diff(np.r_[starts, flat.size]))
    for each in range(int(turn.max(initial=-1)) + 1):
        now = np.flatnonzero(turn == each)
        chosen = np.unravel_index(flat[now], target.shape)
        target[chosen] = ufunc(target[chosen], *(value[now] for value in values))


# Who sees what is written


def _overlap(name: str) -> Callable[..., bool]:
    """Make the function that tells whether what is written into one array is seen in another."""
    function = getattr(np, name)

    def overlap(a: Value, b: Value, /, *work: Any, **settings: Any) -> bool:
        if isinstance(a, Array) and isinstance(b, Array) and _owner(a) is not _owner(b):
            # A copy has the same bytes until one of the two is written into.
            return False
        shared: bool = function(*plain_arguments((a, b), f"np.{name}"), *work, **settings)
        return shared

    return overlap


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.shares_memory: _overlap("shares_memory"),
    np.may_share_memory: _overlap("may_share_memory"),
    np.copyto: copyto,
    np.put: put,
    np.place: place,
    np.putmask: putmask,
    np.fill_diagonal: fill_diagonal,
    np.put_along_axis: put_along_axis,
}
"""NumPy's functions that write into their first argument, or ask who would see that."""
