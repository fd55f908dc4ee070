"""Reading what was written: the value itself, in place of the memory that it was written to.

A loop that fills an array and reads what it has filled is straight-line code in a graph: a row of
writes, each of a whole new array. A slice of one of them is followed back to the write that put it
there. It becomes what was written; where nobody else reads the array, the array is gone.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from steepest.graph import ArrayType, Constant, Node
from steepest.ops import PRIMITIVES

if TYPE_CHECKING:
    from steepest.engines.native.simplify import Simplifier

__all__ = ["Rows", "is_plain_cast", "read_of_written", "write_everywhere"]

MOST_STEPS = 16
"""Writes that a reading is compared with: those that may have touched what it reads."""
DEEPEST = 6
"""Arrays, each written into the next, through which a reading goes."""
MOST_ENTRIES = 8
"""Entries up to which what several writes have put together is read one by one."""

Ranges: TypeAlias = tuple[range, ...]
"""For each axis of an array the indices that are read or written."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an array to which slices and orders of axes lead.

    Attributes
    ----------
    ranges : tuple of range
    axes : tuple of (int or None)
        For each axis of the part that of the array; None for one that the array lacks.
    """

    ranges: Ranges
    axes: tuple[int | None, ...]

    @staticmethod
    def whole(shape: Sequence[int]) -> Part:
        """Take all of an array."""
        return Part(tuple(map(range, shape)), tuple(range(len(shape))))

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""
        return tuple(1 if axis is None else len(self.ranges[axis]) for axis in self.axes)

    def sliced(self, key: tuple[Any, ...]) -> Part | None:
        """Take a part of the part; None where index arrays say which."""
        ranges, remaining = list(self.ranges), list(self.axes)
        axes: list[int | None] = []
        given = sum(item is not None and item is not Ellipsis for item in key)
        for item in key if Ellipsis in key else (*key, Ellipsis):
            if item is None:
                axes.append(None)
            elif item is Ellipsis:
                count = len(self.axes) - given
                axes += remaining[:count]
                del remaining[:count]
            elif isinstance(item, slice):
                axis = remaining.pop(0)
                if axis is not None:
                    ranges[axis] = ranges[axis][item]
                elif not range(1)[item]:
                    return None
                axes.append(axis)
            elif isinstance(item, str):
                return None
            else:
                axis = remaining.pop(0)
                if axis is not None:
                    index = ranges[axis][item]
                    ranges[axis] = range(index, index + 1)
        return Part(tuple(ranges), tuple(axes))

    def transposed(self, order: Sequence[int]) -> Part:
        """Take its axes in another order."""
        return Part(self.ranges, tuple(self.axes[axis] for axis in order))


def _part_of(writing: Node) -> Part | None:
    """Find the part of an array that is written, or added to; None where that is not so plain."""
    shape = _kind(writing).shape
    path = writing.static.get("path") or (("key", writing.static["key"]),)
    if len(writing.inputs) > (1 if _name(writing) == "scatter_add" else 2):
        return None
    part: Part | None = Part.whole(shape)
    for name, setting in path:
        if part is None:
            return None
        if name in ("key", "slice"):
            part = part.sliced(setting)
        elif name == "transpose":
            part = part.transposed(setting)
        else:
            return None
    return part


def _is_apart(one: range, two: range) -> bool:
    """Whether two ranges are known to have no number in common."""
    if not one or not two:
        return True
    if len(one) == 1:
        return one[0] not in two
    if len(two) == 1:
        return two[0] not in one
    if max(one) < min(two) or max(two) < min(one):
        return True
    return (one[0] - two[0]) % math.gcd(one.step, two.step) != 0


def _is_inside(one: range, two: range) -> bool:
    """Whether all numbers of a range that is not empty are in another."""
    if one[0] not in two or one[-1] not in two:
        return False
    return len(one) == 1 or one.step % two.step == 0


def _key_within(ranges: Ranges, outer: Ranges) -> tuple[slice, ...] | None:
    """Give the key that reads some indices of what has others; None where it reads everything."""
    if ranges == outer:
        return None
    key = []
    for one, two in zip(ranges, outer, strict=True):
        start = two.index(one[0])
        step = one.step // two.step if len(one) > 1 else 1
        stop = start + step * len(one)
        key.append(slice(start, None if stop < 0 else stop, step))
    return tuple(key)


@dataclass(slots=True)
class _Row:
    """Writes into one array, each into what the one before has left.

    Attributes
    ----------
    root : Node
        What the first of them writes into.
    single : dict
        By axis and index the numbers of those that write at this index alone.
    along : dict
        By axis the numbers of all those.
    others : list of int
        The numbers of those that are of no such kind.
    """

    root: Node
    nodes: list[Node] = field(default_factory=list)
    parts: list[Part | None] = field(default_factory=list)
    single: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    along: dict[int, list[int]] = field(default_factory=dict)
    others: list[int] = field(default_factory=list)

    def append(self, node: Node) -> None:
        """Add a write into what the last one has left."""
        number, part = len(self.nodes), _part_of(node)
        self.nodes.append(node)
        self.parts.append(part)
        if part is not None:
            for axis, (indices, length) in enumerate(
                zip(part.ranges, _kind(node).shape, strict=True)
            ):
                if len(indices) == 1 and length > 1:
                    self.single.setdefault(axis, {}).setdefault(indices[0], []).append(number)
                    self.along.setdefault(axis, []).append(number)
                    return
        self.others.append(number)

    def latest(self, number: int, ranges: Ranges) -> int:
        """Find the last write up to one that may have touched some entries; -1 for none."""
        lists: list[Sequence[int]] = [self.others]
        for axis, by_index in self.single.items():
            indices = ranges[axis]
            lists.append(by_index.get(indices[0], ()) if len(indices) == 1 else self.along[axis])
        return max(
            (each[place - 1] for each in lists if (place := bisect.bisect_right(each, number))),
            default=-1,
        )


class Rows:
    """All rows of writes of a graph under construction.

    Attributes
    ----------
    depth : int
        How many readings are under way, each for the one before.
    """

    __slots__ = ("_places", "depth")

    def __init__(self) -> None:
        self.depth = 0
        self._places: dict[Node, tuple[_Row, int]] = {}

    def place(self, node: Node) -> tuple[_Row, int]:
        """Find the row that a write is in, and its number there."""
        pending = []
        while node not in self._places and _name(node) in ("write", "add_at"):
            pending.append(node)
            node = node.inputs[0]
        for each in reversed(pending):
            before = each.inputs[0]
            row, number = self._places.get(before, (None, -1))
            if row is None or number != len(row.nodes) - 1:
                row = _Row(before)
            row.append(each)
            self._places[each] = row, len(row.nodes) - 1
            node = each
        return self._places[node]


def read_of_written(s: Simplifier, node: Node) -> Node | None:
    """Turn a slice of what was written into what was written there."""
    (x,) = node.inputs
    if _name(x) not in ("write", "add_at", "scatter_add"):
        return None
    part = Part.whole(_kind(x).shape).sliced(node.static["key"])
    if part is None or not _kind(node).size or s.rows.depth == DEEPEST:
        return None
    s.rows.depth += 1
    value = _read(s, x, part.ranges, node)
    s.rows.depth -= 1
    return value and s.apply("reshape", value, line=node.line, shape=_kind(node).shape)


def _read(s: Simplifier, version: Node, ranges: Ranges, reader: Node) -> Node | None:
    """Find the entries of an array after a write, with an axis for each of the array's.

    Never are they read out of the array between two writes, which would have to be kept for it.
    """
    added: list[Node] = []
    value: Node | None = None
    steps, start = 0, version
    while value is None:
        if _name(version) not in ("write", "add_at"):
            value = _read_root(s, version, ranges, reader, is_start=version is start)
            if value is None:
                return None
            break
        row, number = s.rows.place(version)
        version = row.root
        while (number := row.latest(number, ranges)) >= 0:
            steps += 1
            writing, part = row.nodes[number], row.parts[number]
            if part is None or steps > MOST_STEPS:
                return None
            if any(map(_is_apart, ranges, part.ranges)):
                number -= 1
                continue
            if not all(map(_is_inside, ranges, part.ranges)):
                value = _read_in_pieces(s, writing, ranges, reader)
                if value is None:
                    return None
                break
            written = _written(s, writing, writing.inputs[1], part, ranges)
            if written is None:
                return None
            if _name(writing) == "write":
                value = written
                break
            added.append(written)
            number -= 1
    for each in reversed(added):
        value = s.apply("add", value, each, line=reader.line)
    return value


def _read_root(
    s: Simplifier, root: Node, ranges: Ranges, reader: Node, *, is_start: bool
) -> Node | None:
    """Read what was there before the first write."""
    kind = _kind(root)
    lengths = tuple(map(len, ranges))
    if root in s.numbers:
        return s.filled(s.numbers[root], ArrayType(lengths, kind.dtype), reader.line)
    if _name(root) == "scatter_add" and len(root.inputs) == 1:
        part = _part_of(root)
        if part is not None:
            if not all(part.shape) or any(map(_is_apart, ranges, part.ranges)):
                return s.filled(0, ArrayType(lengths, kind.dtype), reader.line)
            if all(map(_is_inside, ranges, part.ranges)):
                return _written(s, root, root.inputs[0], part, ranges)
            return _read_in_pieces(s, root, ranges, reader)
    if is_start:
        return None
    key = _key_within(ranges, tuple(map(range, kind.shape)))
    return root if key is None else s.apply("slice", root, line=reader.line, key=key)


def _read_in_pieces(s: Simplifier, version: Node, ranges: Ranges, reader: Node) -> Node | None:
    """Read a few entries of which not all were written at once."""
    if math.prod(map(len, ranges)) > MOST_ENTRIES:
        return None
    axis = max(range(len(ranges)), key=lambda each: len(ranges[each]))
    if len(ranges[axis]) == 1:
        return None
    pieces = []
    for place in range(len(ranges[axis])):
        piece = (*ranges[:axis], ranges[axis][place : place + 1], *ranges[axis + 1 :])
        value = _read(s, version, piece, reader)
        if value is None:
            return None
        pieces.append(value)
    return s.apply("concatenate", *pieces, line=reader.line, axis=axis, lengths=(1,) * len(pieces))


def _written(s: Simplifier, writing: Node, value: Node, part: Part, ranges: Ranges) -> Node | None:
    """Give of what is written into a part some entries, with an axis for each of the array's."""
    kind = _kind(writing)
    if not is_plain_cast(value, kind.dtype):
        return None
    line = writing.line
    s.count(value, 1)
    value = _without_extra_axes(s, value, len(part.axes), line)
    fitted = s.fitted(value, ArrayType(part.shape, kind.dtype), line)
    if fitted is None:
        return None
    order = [axis for axis in part.axes if axis is not None]
    if order != sorted(order):
        lengths = tuple(len(part.ranges[axis]) for axis in order)
        fitted = s.apply("reshape", fitted, line=line, shape=lengths)
        places = tuple(sorted(range(len(order)), key=order.__getitem__))
        fitted = s.apply("transpose", fitted, line=line, axes=places)
    fitted = s.apply("reshape", fitted, line=line, shape=tuple(map(len, part.ranges)))
    key = _key_within(ranges, part.ranges)
    return fitted if key is None else s.apply("slice", fitted, line=line, key=key)


def _without_extra_axes(s: Simplifier, value: Node, ndim: int, line: Any) -> Node:
    """Drop the axes of length 1 that NumPy drops of what is written."""
    shape = _kind(value).shape
    extra = len(shape) - ndim
    return s.apply("reshape", value, line=line, shape=shape[extra:]) if extra > 0 else value


def is_plain_cast(value: Node, dtype: np.dtype[Any]) -> bool:
    """Whether writing a value into an array of a dtype is a cast, at which NumPy raises nothing."""
    kind = _kind(value)
    if dtype.kind in "iu":
        operation = value.operation
        if isinstance(operation, Constant) and type(operation.value) is int:
            limits = np.iinfo(dtype)
            return bool(limits.min <= operation.value <= limits.max)
        # Of single numbers that do not fit, NumPy says so.
        return kind.dtype == dtype if kind.weak else np.can_cast(kind.dtype, dtype, "safe")
    return dtype.kind == "b" or np.can_cast(kind.dtype, dtype, "same_kind")


def write_everywhere(s: Simplifier, node: Node) -> Node | None:
    """Turn writing all entries, in order, into what is written; writing none into nothing."""
    x, value = node.inputs[:2]
    kind, part = _kind(node), _part_of(node)
    if part is None or len(node.inputs) > 2 or not is_plain_cast(value, kind.dtype):
        return None
    if not all(map(len, part.ranges)):
        return x
    if part.ranges != tuple(map(range, kind.shape)):
        return None
    return _written(s, node, value, part, part.ranges)


def _name(node: Node) -> str:
    operation = node.operation
    return operation.name if PRIMITIVES.get(operation.name) is operation else ""


def _kind(node: Node) -> ArrayType:
    assert isinstance(node.type, ArrayType)
    return node.type
