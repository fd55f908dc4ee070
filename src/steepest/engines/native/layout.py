"""Laying out memory: one arena, in which buffers whose lives do not overlap share bytes."""

from __future__ import annotations

from collections.abc import Iterator

from steepest.engines.native.nests import (
    Buffer,
    Callback,
    Item,
    Kernel,
    MatrixProduct,
    Origin,
    Program,
    loads_of,
)

__all__ = ["ALIGNMENT", "buffers_read", "buffers_written", "lay_out", "rounded"]

ALIGNMENT = 64
"""Bytes to which each buffer is aligned: a line of the cache, and the widest vector."""


def lay_out(program: Program) -> int:
    """Give each buffer of the arena its place, and return the arena's size in bytes.

    A buffer lives from the item that first writes it to the last that reads it; of items that take
    turns, from the first to the last of these. Of the free gaps the smallest that is large enough
    is taken.
    """
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    private = {buffer for each in program.rounds for buffer in each.private}
    for item, (begin, end) in zip(program.items, program.spans(), strict=True):
        for buffer in (*buffers_written(item), *buffers_read(item)):
            if buffer.origin is Origin.ARENA and buffer not in private:
                first.setdefault(buffer, begin)
                last[buffer] = end
    ends: dict[int, list[Buffer]] = {}
    for buffer, place in last.items():
        ends.setdefault(place, []).append(buffer)
    begins: dict[int, list[Buffer]] = {}
    for buffer, place in first.items():
        begins.setdefault(place, []).append(buffer)
    gaps = _Gaps()
    for place in range(len(program.items)):
        # The largest first, which leaves fewer useless gaps.
        for buffer in sorted(begins.get(place, ()), key=lambda each: (-each.bytes, each.number)):
            buffer.offset = gaps.take(rounded(buffer.bytes))
        for buffer in ends.get(place, ()):
            gaps.free(buffer.offset, rounded(buffer.bytes))
    return gaps.size


def rounded(count: int) -> int:
    """Round a number of bytes up to where the next buffer may begin."""
    return max(-(-count // ALIGNMENT) * ALIGNMENT, ALIGNMENT)


class _Gaps:
    """The free parts of an arena that grows at its end."""

    def __init__(self) -> None:
        self.size = 0
        self._gaps: list[tuple[int, int]] = []  # (offset, length), by offset

    def take(self, length: int) -> int:
        """Find room, and return its offset."""
        fitting = [gap for gap in self._gaps if gap[1] >= length]
        if not fitting:
            offset = self.size
            self.size += length
            return offset
        chosen = min(fitting, key=lambda gap: (gap[1], gap[0]))
        place = self._gaps.index(chosen)
        rest = chosen[1] - length
        self._gaps[place : place + 1] = [(chosen[0] + length, rest)] if rest else []
        return chosen[0]

    def free(self, offset: int, length: int) -> None:
        """Give room back, and join it with the gaps beside it."""
        merged: list[tuple[int, int]] = []
        for gap in sorted([*self._gaps, (offset, length)]):
            if merged and sum(merged[-1]) == gap[0]:
                merged[-1] = (merged[-1][0], merged[-1][1] + gap[1])
            else:
                merged.append(gap)
        self._gaps = merged


def buffers_read(item: Item) -> Iterator[Buffer]:
    """Give the buffers that an item reads, perhaps repeatedly."""
    if isinstance(item, Kernel):
        for nest in item.nests:
            for statement in nest.statements:
                for load in loads_of(statement):
                    yield load.buffer
    elif isinstance(item, MatrixProduct):
        yield item.left.buffer
        yield item.right.buffer
        for statement in () if item.finish is None else item.finish.statements:
            for load in loads_of(statement):
                if load.buffer is not item.result:
                    yield load.buffer
    else:
        for each in item.inputs:
            if isinstance(each, tuple):
                yield each[0].buffer


def buffers_written(item: Item) -> Iterator[Buffer]:
    """Give the buffers that an item writes, perhaps repeatedly."""
    if isinstance(item, Kernel):
        for nest in item.nests:
            for statement in nest.statements:
                yield statement.buffer
    elif isinstance(item, MatrixProduct):
        if item.finish is None:
            yield item.result
        else:
            yield from (statement.buffer for statement in item.finish.statements)
    else:
        assert isinstance(item, Callback)
        yield from item.results
