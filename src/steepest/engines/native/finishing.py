"""Statements that a product evaluates itself, in registers, where each entry is complete.

After a product comes often a loop over its result, as ``W - step_size * gradient``, and nothing
else reads the result. The loop would take its entries from memory, where the product has just put
them. So the product makes of each vector of a tile what the loop would make of it, and writes that
alone. The operations are the same, one after the other, and so is each bit.

A loop that divides, or takes roots, waits for that more than for memory: it stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from steepest.engines.native.fuse import is_cheap, is_same_entry
from steepest.engines.native.layout import buffers_read, buffers_written
from steepest.engines.native.nests import (
    Apply,
    Buffer,
    Expression,
    Item,
    Kernel,
    Load,
    MatrixProduct,
    Nest,
    Number,
    Origin,
    Program,
    Statement,
    Store,
    all_parts,
    loads_of,
)
from steepest.engines.native.partition import product_of
from steepest.engines.native.processor import Processor
from steepest.engines.native.products import can_finish

__all__ = ["finish_in_products"]

MOST_OPERATIONS = 12
"""Operations for an entry up to which a product evaluates them."""


def finish_in_products(program: Program, processor: Processor) -> None:
    """Move statements from loops into the products whose results they read.

    Parameters
    ----------
    program : Program
        Changed; not yet laid out.
    processor : Processor
    """
    if program.careful:
        # Where there is a NaN, NumPy does the product again: its result must be there.
        return
    uses = _Uses(program.items)
    for product in [item for item in program.items if isinstance(item, MatrixProduct)]:
        if _may_finish(product, processor):
            _finish(product, uses)
    program.items[:] = [item for item in program.items if not _is_empty(item)]


class _Uses:
    """Which items read, write and zero each buffer, and where they are in the program.

    Looked up, as the time to look at all items for each product would grow as their square.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._places = {item: place for place, item in enumerate(items)}
        self._readers: dict[Buffer, dict[Item, None]] = {}
        self._writers: dict[Buffer, dict[Item, None]] = {}
        self._zeroing: dict[Buffer, dict[Item, None]] = {}
        for item in items:
            self.add(item)

    def _entries(self, item: Item) -> Iterator[tuple[dict[Buffer, dict[Item, None]], Buffer]]:
        for buffer in buffers_read(item):
            yield self._readers, buffer
        for buffer in buffers_written(item):
            yield self._writers, buffer
        for buffer in item.zeroed if isinstance(item, Kernel) else ():
            yield self._zeroing, buffer

    def add(self, item: Item) -> None:
        """Note what an item of the program uses."""
        for table, buffer in self._entries(item):
            table.setdefault(buffer, {})[item] = None

    def forget(self, item: Item) -> None:
        """Forget what an item uses that is about to change."""
        for table, buffer in self._entries(item):
            table[buffer].pop(item, None)

    def readers(self, buffer: Buffer) -> list[Item]:
        """Give the items that read a buffer."""
        return [*self._readers.get(buffer, ())]

    def is_used(
        self,
        buffers: Iterable[Buffer],
        kind: Literal["read", "written", "zeroed"],
        after: Item,
        before: Item | None = None,
    ) -> bool:
        """Whether an item behind one, and before another, reads, writes or zeroes a buffer."""
        tables = {"read": self._readers, "written": self._writers, "zeroed": self._zeroing}
        first = self._places[after]
        last = len(self._places) if before is None else self._places[before]
        return any(
            first < self._places[item] < last
            for buffer in buffers
            for item in tables[kind].get(buffer, ())
        )


class _Move(NamedTuple):
    """Statements that leave a kernel, of which the rest stays, for an earlier product."""

    product: MatrixProduct
    statements: Sequence[Statement]
    kernel: Kernel
    rest: Kernel


def _is_empty(item: Item) -> bool:
    return isinstance(item, Kernel) and not item.nests and not item.zeroed


def _may_finish(product: MatrixProduct, processor: Processor) -> bool:
    return (
        not product.batch
        and product.result.origin is Origin.ARENA
        and product.result.dtype.char in "fd"
        and can_finish(product_of(product), processor)
    )


def _finish(product: MatrixProduct, uses: _Uses) -> None:
    """Move the statements that read a product, if no others do and they can be moved."""
    readers = uses.readers(product.result)
    if len(readers) != 1 or not isinstance(readers[0], Kernel):
        return
    kernel = readers[0]
    nests = [
        nest
        for nest in kernel.nests
        if any(_reads(each, product.result) for each in nest.statements)
    ]
    moved = _moved(product, nests[0]) if len(nests) == 1 else []
    if not moved:
        return
    others = [each for nest in kernel.nests for each in nest.statements if each not in moved]
    rest = Kernel(kernel.outer, [Nest((), others)], kernel.zeroed)
    move = _Move(product, moved, kernel, rest)
    if not _may_be_earlier(move, uses) or not _leaves_old(move, uses):
        return
    uses.forget(product)
    uses.forget(kernel)
    product.finish = Nest(nests[0].extents, moved)
    nests[0].statements = [each for each in nests[0].statements if each not in moved]
    kernel.nests = [nest for nest in kernel.nests if nest.statements]
    uses.add(product)
    uses.add(kernel)


def _reads(statement: Statement, buffer: Buffer) -> bool:
    return any(load.buffer is buffer for load in loads_of(statement))


def _moved(product: MatrixProduct, nest: Nest) -> list[Statement]:
    """Choose the statements that a product can evaluate; none if it cannot all that read it."""
    rows, _, columns = product.extents
    if nest.extents != (rows, columns):
        return []
    moved: list[Statement] = []
    for statement in nest.statements:
        reads = _reads(statement, product.result)
        follows = any(_reads(statement, each.buffer) for each in moved)
        if isinstance(statement, Store) and (reads or follows):
            if not _is_simple(statement, product.result, columns, moved):
                return []
            moved.append(statement)
        elif reads:
            return []
    parts = all_parts(each.value for each in moved)
    count = sum(isinstance(each, Apply) for each in parts)
    return moved if count <= MOST_OPERATIONS else []


def _is_simple(store: Store, result: Buffer, columns: int, before: Sequence[Statement]) -> bool:
    """Whether a statement writes rows of what a few instructions make of rows and numbers."""
    return (
        not store.replaces
        and store.strides[1] == 1
        and store.strides[0] >= columns
        and store.buffer.dtype == result.dtype
        and all(_is_simple_part(each, result, columns) for each in all_parts([store.value]))
        and all(
            is_same_entry(each, load)
            for load in loads_of(store)
            for each in before
            if each.buffer is load.buffer
        )
    )


def _is_simple_part(part: Expression, result: Buffer, columns: int) -> bool:
    if isinstance(part, Load):
        if part.buffer is result:
            return (part.offset, part.strides) == (0, (columns, 1))
        # Numbers may be of any kind; of rows, as many entries are to be in a vector.
        is_row = part.strides[1] == 1 and part.buffer.dtype == result.dtype
        return part.strides[0] >= 0 and (is_row or part.strides[1] == 0)
    if isinstance(part, Apply):
        return is_cheap(part.node.operation.name)
    return isinstance(part, Number)


def _may_be_earlier(move: _Move, uses: _Uses) -> bool:
    """Whether nothing on the way writes what statements touch, or reads what they write."""
    written = {each.buffer for each in move.statements}
    touched = written.union(load.buffer for each in move.statements for load in loads_of(each))
    return not (
        touched.intersection(buffers_written(move.rest))
        or written.intersection(move.rest.zeroed)
        or uses.is_used(touched, "written", move.product, move.kernel)
        or uses.is_used(written, "zeroed", move.product, move.kernel)
        # Of those beside them, only what is behind them can read what they write.
        or uses.is_used(written, "read", move.product, move.kernel)
    )


def _leaves_old(move: _Move, uses: _Uses) -> bool:
    """Whether what is written over the values that it replaces may still be, when it is earlier."""
    old = {
        load.buffer
        for each in move.statements
        for load in loads_of(each)
        if each.buffer.origin is Origin.OUTPUT
        and load.buffer.origin is Origin.INPUT
        and is_same_entry(each, load)
    }
    return not (
        old.intersection((move.product.left.buffer, move.product.right.buffer))
        or old.intersection(buffers_read(move.rest))
        or uses.is_used(old, "read", move.product, move.kernel)
        or uses.is_used(old, "read", move.kernel)
    )
