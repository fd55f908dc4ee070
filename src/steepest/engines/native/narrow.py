"""Narrow rows: kernels whose vectors take an entry of each of several rows, not one row's entries.

A softmax over few classes would leave most of a vector's entries unused, and add up across the
vector for each row. With rows in the lanes, an exponential is that of as many rows as a vector has
entries, and a sum over a row adds vectors. The nests of such a kernel are *turned*: their last loop
is that over rows. What is stored row by row lies, while some rows are worked on, in a *tile*,
column by column; a value that only the kernel knows is nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from steepest.engines.native.coalesce import with_strides
from steepest.engines.native.nests import (
    Buffer,
    Expression,
    Gathered,
    Kernel,
    Load,
    Nest,
    Reduce,
    Scatter,
    Statement,
    Store,
    loads_of,
)
from steepest.engines.native.processor import Processor

__all__ = ["MOST_COLUMNS", "Narrow", "Tile", "narrow", "parted"]

MOST_COLUMNS = 16
"""Entries of a narrow row at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """Some rows of a value, column by column.

    Attributes
    ----------
    buffer : Buffer
        What stands for it in the turned nests: entry (column, row) at ``column * lanes + row``.
    columns : int
    is_read, is_written : bool
        Whether it begins with what lies in memory, and whether it is needed there afterwards.
    """

    buffer: Buffer
    columns: int
    is_read: bool
    is_written: bool


@dataclass(frozen=True, slots=True, eq=False)
class Narrow:
    """A kernel with rows in the lanes.

    Attributes
    ----------
    lanes : int
        Rows that are worked on at a time.
    nests : list of Nest
        Turned: loops over the columns, if there are some, and over the rows.
    tiles : dict from Buffer to Tile
    """

    lanes: int
    nests: list[Nest]
    tiles: dict[Buffer, Tile]


def parted(kernel: Kernel, shared: Collection[Buffer] = ()) -> list[Kernel]:
    """Part the nests of narrow rows that add up within rows from others that do not meet them.

    Parameters
    ----------
    kernel : Kernel
    shared : collection of Buffer
        Whose memory is that of another buffer too.
    """
    own = [each for each in kernel.nests if _is_narrow(each)]
    others = [each for each in kernel.nests if not _is_narrow(each)]
    if not others or kernel.zeroed or not _adds_within_rows(own):
        return [kernel]
    written = (_written(own), _written(others))
    meet = written[0] & _touched(others) or written[1] & _touched(own)
    if meet or any(each in shared for each in written[0] | written[1]):
        return [kernel]
    return [Kernel(kernel.outer, others), Kernel(kernel.outer, own)]


def _adds_within_rows(nests: list[Nest]) -> bool:
    return any(
        isinstance(each, Reduce) and each.reduced == (False, True)
        for nest in nests
        for each in nest.statements
    )


def _is_narrow(nest: Nest) -> bool:
    return len(nest.extents) == 1 or (len(nest.extents) == 2 and nest.extents[1] <= MOST_COLUMNS)


def _touched(nests: list[Nest]) -> set[Buffer]:
    read = {
        load.buffer
        for nest in nests
        for statement in nest.statements
        for load in loads_of(statement)
    }
    return read | _written(nests)


def _written(nests: list[Nest]) -> set[Buffer]:
    return {statement.buffer for nest in nests for statement in nest.statements}


def narrow(
    kernel: Kernel,
    processor: Processor,
    private: Collection[Buffer] = (),
) -> Narrow | None:
    """Turn the nests of a kernel; None where that is not worth it, or cannot be.

    Parameters
    ----------
    kernel : Kernel
    processor : Processor
    private : collection of Buffer
        What nothing but this kernel reads.
    """
    lanes = _lanes(kernel.nests, processor)
    if kernel.outer < lanes or kernel.zeroed or not all(map(_is_narrow, kernel.nests)):
        return None
    if not _adds_within_rows(kernel.nests):
        return None
    widths: dict[Buffer, int] = {}
    first: dict[Buffer, bool] = {}
    written: set[Buffer] = set()
    for nest in kernel.nests:
        for statement in nest.statements:
            if isinstance(statement, Scatter):
                return None
            for load in loads_of(statement):
                width = _width(load, nest, kernel.outer)
                if width is None or widths.setdefault(load.buffer, width) != width:
                    return None
                first.setdefault(load.buffer, True)
            width = _width(statement, nest, kernel.outer)
            if width is None or widths.setdefault(statement.buffer, width) != width:
                return None
            first.setdefault(statement.buffer, not _is_whole(statement, nest))
            written.add(statement.buffer)
    tiles = {
        buffer: Tile(
            Buffer(-1 - number, buffer.dtype, width * lanes),
            width,
            first[buffer],
            buffer in written and buffer not in private,
        )
        for number, (buffer, width) in enumerate(widths.items())
        if width > 1 or (width == 1 and buffer in private and buffer.dtype.char in "fd")
    }
    if any(each.dtype.char not in "fd" for each in tiles):
        return None
    return Narrow(lanes, [_turned(nest, tiles, lanes) for nest in kernel.nests], tiles)


def _lanes(nests: list[Nest], processor: Processor) -> int:
    """Choose how many rows are worked on at a time."""
    sizes = {each.dtype.itemsize for each in _touched(nests) if each.dtype.kind == "f"}
    return processor.lanes(8 * max(min(sizes, default=8), 4))


def _width(access: Load | Gathered | Statement, nest: Nest, rows: int) -> int | None:
    """Give the entries from row to row: 0 for what all rows have in common, None for what is else.

    What is read and written must be within the row.
    """
    if isinstance(access, Reduce) and access.reduced[0]:
        return 0
    width, *others = access.strides
    if width == 0 and not isinstance(access, (Store, Reduce)):
        return 0
    if width < 1 or any(stride < 0 for stride in others):
        return None
    last = access.offset
    last += sum(s * (length - 1) for s, length in zip(others, nest.extents[1:], strict=True))
    if isinstance(access, Gathered):
        if any(stride < 0 for _, stride, _ in access.parts):
            return None
        last += sum(stride * (length - 1) for _, stride, length in access.parts)
    if last >= width or access.buffer.size != width * rows:
        return None
    if width > (1 if isinstance(access, Reduce) else MOST_COLUMNS):
        return None
    return width


def _is_whole(statement: Statement, nest: Nest) -> bool:
    """Whether a statement writes all of its rows."""
    if isinstance(statement, Reduce):
        return True
    return math.prod(nest.extents) == statement.buffer.size and statement.strides[1:] in ((), (1,))


def _turned(nest: Nest, tiles: dict[Buffer, Tile], lanes: int) -> Nest:
    """Let the loop over the rows be the last, and put tiles in the place of memory."""
    copies: dict[int, Expression] = {}

    def turn(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return values[::-1]

    def copy(expression: Expression) -> Expression:
        known = copies.get(id(expression))
        if known is None:
            known = with_strides(expression, turn, copy)
            if isinstance(known, (Load, Gathered)):
                known = in_tile(known)
            copies[id(expression)] = known
        return known

    def in_tile(access: Any) -> Any:
        tile = tiles.get(access.buffer)
        if tile is None:
            return access
        strides = (*(stride * lanes for stride in access.strides[:-1]), 1)
        changed = replace(access, buffer=tile.buffer, offset=access.offset * lanes, strides=strides)
        if isinstance(changed, Gathered):
            parts = tuple((index, stride * lanes, n) for index, stride, n in changed.parts)
            changed = replace(changed, parts=parts)
        return changed

    statements = []
    for each in nest.statements:
        statement = replace(each, strides=turn(each.strides), value=copy(each.value))
        if isinstance(statement, Reduce):
            statement = replace(statement, reduced=turn(statement.reduced))
        statements.append(in_tile(statement))
    return Nest(turn(nest.extents), statements)
