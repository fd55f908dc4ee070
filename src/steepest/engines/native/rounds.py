"""Stacks of matrices, a few at a time: which items take turns instead of each going through all.

The arrays of a stack may be larger than the caches. One loop fills one, a product reads it, another
loop reads the product: each takes all from memory. Items that go through a stack, and of each
other's results read only what has their own index in it, do all for the first few matrices, then
all for the next. What nobody else reads then lies in little memory that is used again and again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from steepest.engines.native.fuse import is_row_aligned
from steepest.engines.native.layout import buffers_read, buffers_written
from steepest.engines.native.nests import (
    Buffer,
    Callback,
    Count,
    Gathered,
    Item,
    Kernel,
    Load,
    MatrixProduct,
    Nest,
    OneHot,
    Origin,
    Program,
    Rounds,
    Scatter,
    Statement,
    Storage,
    Store,
    all_parts,
    loads_of,
)

__all__ = ["arrange_rounds", "keeps_to_its_own", "strides_of"]

LEAST_HANDED_ON = 512 * 1024
"""Bytes that items hand on to each other, from which on they take turns: less stays in a cache."""
ROUND = 256 * 1024
"""Bytes that a round goes through, about, if it has more than one matrix."""
MOST_OF_ONE = 4 * 1024 * 1024
"""Bytes that a single matrix may take in a round, which else gains nothing."""
MOST_PRIVATE = 192 * 1024
"""Bytes of what a round alone needs, on the stack of a thread, as are the copies of products."""
MOST_TOGETHER = 32
"""Nests and products that take turns, about."""
MOST_POSTPONED = 16
"""Nests and products that wait for the end of rounds, about."""

_Access = Load | Gathered


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    """A nest of a kernel, or an item as a whole."""

    item: Item
    nest: Nest | None = None

    def reads(self) -> Iterator[tuple[_Access, tuple[int, ...]]]:
        """Give what is read, with the extents of its loops."""
        if self.nest is not None:
            for statement in self.nest.statements:
                for load in loads_of(statement):
                    yield load, self.nest.extents
        elif isinstance(self.item, MatrixProduct):
            rows, inner, columns = self.item.extents
            yield _load(self.item.left), (*self.item.batch, rows, inner)
            yield _load(self.item.right), (*self.item.batch, inner, columns)

    def writes(self) -> Iterator[Statement]:
        """Give what is written."""
        if self.nest is not None:
            yield from self.nest.statements
        elif isinstance(self.item, MatrixProduct):
            yield _store(self.item)

    def read(self) -> set[Buffer]:
        """Give the buffers that are read."""
        if self.nest is not None:
            return {load.buffer for load, _ in self.reads()}
        return {*buffers_read(self.item)}

    def written(self) -> set[Buffer]:
        """Give the buffers that are written."""
        if self.nest is not None:
            return {each.buffer for each in self.nest.statements}
        return {*buffers_written(self.item)}


def arrange_rounds(program: Program) -> None:
    """Find the items of a program that take turns, and put them next to each other.

    Kernels are divided for that. A program that computes with care stays as it is.
    """
    counts = {
        item.batch[0]
        for item in program.items
        if isinstance(item, MatrixProduct) and item.batch and item.batch[0] > 1
    }
    if program.careful or not counts:
        return
    arranged: list[list[Item] | Item] = [*program.items]
    for count in sorted(counts):
        arranged = _Arranger(program, count).arranged(arranged)
    program.items.clear()
    spans = []
    for each in arranged:
        first = len(program.items)
        if isinstance(each, list):
            program.items += each
            spans.append((first, len(program.items)))
        else:
            program.items.append(each)
    program.rounds = [_rounds(program, *span) for span in spans]


def keeps_to_its_own(item: Item, buffer: Buffer, written: Statement) -> bool:
    """Whether an item reads of a buffer what has its own index in what a statement writes."""
    return all(
        is_row_aligned(written, load, extents)
        for unit in _units(item)
        for load, extents in unit.reads()
        if load.buffer is buffer
    )


def strides_of(item: Item) -> dict[Buffer, int]:
    """Say how far an item that takes turns moves on in each buffer from one matrix to the next."""
    strides: dict[Buffer, int] = {}
    for unit in _units(item):
        for access in (*unit.writes(), *(load for load, _ in unit.reads())):
            strides[access.buffer] = access.strides[0]
    return strides


def _rounds(program: Program, first: int, last: int) -> Rounds:
    """Describe the rounds of the items from a first to before a last one."""
    items = program.items[first:last]
    count = _count(items[0])
    size = _size(items, count)
    others = (*program.items[:first], *program.items[last:])
    outside = {each for item in others for each in (*buffers_read(item), *buffers_written(item))}
    return Rounds(first, last, count, size, _private(items, size, outside))


def _count(item: Item) -> int:
    assert not isinstance(item, Callback)
    return item.batch[0] if isinstance(item, MatrixProduct) else item.outer


def _bytes_of_one(items: Sequence[Item]) -> int:
    """Count what goes with one matrix of the stack."""
    largest: dict[Buffer, int] = {}
    for item in items:
        for buffer, stride in strides_of(item).items():
            largest[buffer] = max(largest.get(buffer, 0), stride * buffer.dtype.itemsize)
    return sum(largest.values())


def _size(items: Sequence[Item], count: int) -> int:
    """Choose how many matrices a round takes: rounds of one size need less code."""
    size = max(ROUND // max(_bytes_of_one(items), 1), 1)
    if size >= count:
        return count
    for each in range(size, size // 2, -1):
        if count % each == 0:
            return each
    return size


def _private(items: Sequence[Item], size: int, outside: set[Buffer]) -> dict[Buffer, int]:
    """Find what only a round needs, and how many bytes of it."""
    strides: dict[Buffer, set[int]] = {}
    for item in items:
        for buffer, stride in strides_of(item).items():
            strides.setdefault(buffer, set()).add(stride)
    private: dict[Buffer, int] = {}
    written = (unit.writes() for item in items for unit in _units(item))
    for statement in chain.from_iterable(written):
        buffer = statement.buffer
        needed = size * statement.strides[0] * buffer.dtype.itemsize
        if (
            isinstance(statement, Store)
            and buffer.origin is Origin.ARENA
            and buffer not in outside
            and not statement.offset
            and len(strides[buffer]) == 1
            and sum(private.values()) + needed <= MOST_PRIVATE
        ):
            private[buffer] = needed
    return private


class _Arranger:
    """Puts items next to each other that take turns over stacks of one length."""

    def __init__(self, program: Program, count: int) -> None:
        self._count = count
        self._writers: dict[Buffer, int] = {}
        for item in program.items:
            zeroed = item.zeroed if isinstance(item, Kernel) else []
            for buffer in (*buffers_written(item), *zeroed):
                self._writers[buffer] = self._writers.get(buffer, 0) + 1

    def arranged(self, entries: Sequence[list[Item] | Item]) -> list[list[Item] | Item]:
        """Give items in their new order, those that take turns in a list."""
        result: list[list[Item] | Item] = []
        waiting = deque(entries)
        while waiting:
            group = _Group(self)
            taken = 0
            for entry in waiting:
                if isinstance(entry, (list, Callback)) or not group.may_grow:
                    break
                group.take(entry)
                taken += 1
                if not group.turns:
                    break
            items = _items(group.turns, {})
            if not self._is_worth_it(items):
                result.append(waiting.popleft())
                continue
            zeroed: dict[int, list[Buffer]] = {}
            for _ in range(taken):
                entry = waiting.popleft()
                if isinstance(entry, Kernel):
                    zeroed[id(entry)] = [*entry.zeroed]
            result += [*_items(group.before, zeroed), items]
            waiting.extendleft(reversed(_items(group.after, zeroed)))
        return result

    def _is_worth_it(self, items: Sequence[Item]) -> bool:
        return (
            len(items) > 1
            and any(isinstance(each, MatrixProduct) for each in items)
            and _handed_on(items) >= LEAST_HANDED_ON
            and _bytes_of_one(items) <= MOST_OF_ONE
            and _size(items, self._count) < self._count
        )

    def may_go_ahead(self, unit: _Unit) -> bool:
        """Whether nobody needs what was before where a unit writes."""
        return all(
            self._writers[each] == 1 and each.origin is not Origin.INPUT for each in unit.written()
        )

    def takes_turns(self, unit: _Unit) -> bool:
        """Whether what a unit does for one matrix of the stack can be done by itself."""
        item, zeroed = unit.item, set()
        if isinstance(item, Kernel):
            if unit.nest is None or unit.nest.extents[:1] != (self._count,):
                return False
            zeroed = {*item.zeroed}
        elif not isinstance(item, MatrixProduct) or item.batch[:1] != (self._count,):
            return False
        strides: dict[Buffer, set[int]] = {}
        for load, extents in unit.reads():
            if 0 in extents or load.buffer in zeroed:
                return False
            strides.setdefault(load.buffer, set()).add(load.strides[0])
        for statement in unit.writes():
            if isinstance(statement, Scatter) or statement.strides[0] <= 0:
                return False
            strides.setdefault(statement.buffer, set()).add(statement.strides[0])
            # Which matrix it is, the code of a round does not know.
            for part in all_parts([statement.value]):
                count = part.position if isinstance(part, OneHot) else part
                if isinstance(count, Count) and count.strides[0]:
                    return False
        return self.may_go_ahead(unit) and all(
            len(each) == 1 and min(each) >= 0 for each in strides.values()
        )


class _Group:
    """What takes turns from an item on, and what else there is, which goes before it or after."""

    def __init__(self, arranger: _Arranger) -> None:
        self._arranger = arranger
        self.before: list[_Unit] = []
        self.turns: list[_Unit] = []
        self.after: list[_Unit] = []
        self._postponed: set[Buffer] = set()
        self._written: dict[Buffer, Statement] = {}

    @property
    def may_grow(self) -> bool:
        """Whether to look at another item."""
        return len(self.after) <= MOST_POSTPONED and len(self.turns) <= MOST_TOGETHER

    def take(self, item: Item) -> None:
        """Divide another item among the three."""
        for unit in _units(item):
            if self._arranger.takes_turns(unit) and self._may_join(unit):
                self.turns.append(unit)
                self._written |= {each.buffer: each for each in unit.writes()}
            elif not self.turns or self._may_go_ahead(unit):
                self.before.append(unit)
            else:
                self.after.append(unit)
                self._postponed |= unit.written()

    def _may_go_ahead(self, unit: _Unit) -> bool:
        """Whether a unit needs nothing that takes turns or is postponed."""
        needed = unit.read()
        return (
            self._arranger.may_go_ahead(unit)
            and self._postponed.isdisjoint(needed)
            and self._written.keys().isdisjoint(needed)
        )

    def _may_join(self, unit: _Unit) -> bool:
        """Whether a unit reads nothing that is postponed, and of the turns only its own."""
        return all(
            load.buffer not in self._postponed
            and (
                load.buffer not in self._written
                or is_row_aligned(self._written[load.buffer], load, extents)
            )
            for load, extents in unit.reads()
        )


def _handed_on(items: Sequence[Item]) -> int:
    """Count the bytes that one of the items writes and another reads."""
    written: set[Buffer] = set()
    handed: set[Buffer] = set()
    for item in items:
        handed |= written.intersection(buffers_read(item))
        written |= {*buffers_written(item)}
    return sum(each.bytes for each in handed)


def _units(item: Item) -> list[_Unit]:
    if isinstance(item, Kernel) and item.nests:
        return [_Unit(item, nest) for nest in item.nests]
    return [_Unit(item)]


def _items(units: Sequence[_Unit], zeroed: dict[int, list[Buffer]]) -> list[Item]:
    """Put units together to items; a kernel's buffers are zeroed by the first part that needs it.

    Parameters
    ----------
    zeroed : dict from int to list of Buffer
        What each kernel has still to zero, by its id; changed.
    """
    items: list[Item] = []
    last: Item | None = None
    for unit in units:
        if unit.nest is None or not isinstance(unit.item, Kernel):
            items.append(unit.item)
        elif unit.item is last:
            kernel = items[-1]
            assert isinstance(kernel, Kernel)
            kernel.nests.append(unit.nest)
        else:
            items.append(Kernel(unit.item.outer, [unit.nest]))
        last = unit.item
    sources = {id(unit.nest): unit.item for unit in units if unit.nest is not None}
    for item in items:
        if isinstance(item, Kernel) and item.nests and id(item.nests[0]) in sources:
            touched = {*buffers_read(item), *buffers_written(item)}
            waiting = zeroed.get(id(sources[id(item.nests[0])]), [])
            item.zeroed = [each for each in waiting if each in touched]
            waiting[:] = [each for each in waiting if each not in touched]
    return items


def _load(storage: Storage) -> Load:
    return Load(storage.buffer, storage.offset, storage.strides)


def _store(item: MatrixProduct) -> Store:
    rows, _, columns = item.extents
    strides = [
        math.prod(item.batch[place + 1 :]) * rows * columns for place in range(len(item.batch))
    ]
    return Store(item.result, 0, (*strides, columns, 1), _load(item.left))
