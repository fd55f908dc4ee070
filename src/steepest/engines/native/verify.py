"""Checking a fused program: that nothing is read before it is written, or beyond its buffer.

What fusing promises is checked here entry by entry, by listing every place that a program can
touch. This takes time and memory in proportion to the loops, and is meant for tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.engines.native.layout import buffers_read, buffers_written
from steepest.engines.native.nests import (
    Apply,
    Buffer,
    Callback,
    Count,
    Expression,
    Gathered,
    Item,
    Kernel,
    Load,
    MatrixProduct,
    Nest,
    Number,
    OneHot,
    Origin,
    Program,
    Reduce,
    Scatter,
    Statement,
    Storage,
    Store,
    all_parts,
    loads_of,
)
from steepest.engines.native.rounds import strides_of
from steepest.graph import ArrayType

__all__ = ["verify"]

_LATER = np.iinfo(np.int64).max
_Places = NDArray[np.int64]


def verify(
    program: Program,
    size: int | None = None,
    replaced: Mapping[int, int] = MappingProxyType({}),
) -> None:
    """Check what every fused program promises.

    Parameters
    ----------
    program : Program
    size : int, optional
        Of the arena in bytes, for a program that is laid out.
    replaced : mapping from int to int
        The inputs that may be written to, and the outputs that may lie there; see `fuse`.

    Raises
    ------
    ValueError
        When an entry is read before it is written or written twice, an access leaves its buffer,
        strides do not fit the loops, dtypes do not fit an operation, or two buffers that are
        needed at the same time share memory.
    """
    checker = _Checker(program, replaced)
    for number, item in enumerate(program.items, 1):
        checker.check(number, item)
    checker.check_outputs()
    _check_rounds(program)
    if size is not None:
        _check_layout(_lives_in_arena(program, checker.lives), size)


class _Checker:
    def __init__(self, program: Program, replaced: Mapping[int, int]) -> None:
        self._program = program
        self._replaced = replaced
        self._written = {
            each: _Written(each.size)
            for each in program.buffers
            if each.origin in (Origin.ARENA, Origin.OUTPUT)
        }
        for position in replaced:
            buffer = program.inputs[position]
            self._written[buffer] = _Written(buffer.size, 0)  # by no item
        self.lives: dict[Buffer, tuple[int, int]] = {}
        self._number = 0

    def check(self, number: int, item: Item) -> None:
        self._number = number
        if isinstance(item, Kernel):
            self._kernel(item)
        elif isinstance(item, MatrixProduct):
            self._product(item)
        else:
            self._callback(item)

    def check_outputs(self) -> None:
        self._number += 1
        for position, buffer in enumerate(self._program.outputs):
            of_input = buffer.origin is Origin.INPUT and buffer.position in self._replaced
            _require(
                of_input or buffer.origin is Origin.OUTPUT, "an output is not in its own memory"
            )
            owner = self._replaced[buffer.position] if of_input else buffer.position
            _require(owner == position, "an output is in the memory of another")
            self._read(buffer, np.arange(buffer.size))

    # Items.

    def _kernel(self, kernel: Kernel) -> None:
        for buffer in kernel.zeroed:
            self._write(buffer, np.arange(buffer.size))
        for place, nest in enumerate(kernel.nests):
            first = nest.extents[0] if nest.extents else 0
            _require(kernel.outer == first, "a nest has another outer loop than its kernel")
            for statement in nest.statements:
                self._statement(kernel, place, nest, statement)
                if self._replaces(kernel, statement) and kernel.outer:
                    _check_alone(kernel, statement)

    def _replaces(self, kernel: Kernel, statement: Statement) -> bool:
        """Whether a statement changes what something else has written."""
        if isinstance(statement, Scatter):
            return statement.buffer not in kernel.zeroed
        return isinstance(statement, Store) and statement.replaces

    def _statement(self, kernel: Kernel, place: int, nest: Nest, statement: Statement) -> None:
        extents = nest.extents
        self._touch(statement.buffer)
        roots = [statement.value]
        if isinstance(statement, Scatter):
            roots += [index for index, _, _ in statement.parts]
        runs = 0 not in extents
        for expression in all_parts(roots):
            _check_expression(expression, len(extents))
            if isinstance(expression, (Load, Gathered)):
                self._touch(expression.buffer)
                if runs:
                    parts = expression.parts if isinstance(expression, Gathered) else ()
                    places = _places(expression.offset, expression.strides, extents, parts)
                    rows = _rows(kernel, places)
                    # Without loops, statements run in order.
                    after = place if kernel.outer else place + 1
                    self._read(expression.buffer, places, after, rows, _entry(expression))
        _require(len(statement.strides) == len(extents), "strides do not fit the loops")
        _require(_dtype(statement.value) == statement.buffer.dtype, "a value has another dtype")
        if isinstance(statement, Reduce):
            _require(len(statement.reduced) == len(extents), "strides do not fit the loops")
            for stride, reduced in zip(statement.strides, statement.reduced, strict=True):
                _require(not (stride and reduced), "a reduced loop moves in the result")
            kept = [1 if each else n for n, each in zip(extents, statement.reduced, strict=True)]
            places = _places(statement.offset, statement.strides, kept, ())
            if 0 not in kept:
                _require_distinct(places)
            rows = _rows(kernel, places)
            if extents and statement.reduced[0]:
                rows = np.full_like(rows, _LATER)
            self._write(statement.buffer, places, place, rows, None)
        elif isinstance(statement, Scatter):
            if runs:
                places = _places(statement.offset, statement.strides, extents, statement.parts)
                self._write(
                    statement.buffer, places, place, _rows(kernel, places), None, replaces=True
                )
        elif runs:
            places = _places(statement.offset, statement.strides, extents, ())
            _require_distinct(places)
            rows = _rows(kernel, places)
            again = statement.replaces or statement.buffer in kernel.zeroed
            self._write(statement.buffer, places, place, rows, _entry(statement), replaces=again)

    def _product(self, item: MatrixProduct) -> None:
        rows, inner, columns = item.extents
        for storage, shape in (
            (item.left, (*item.batch, rows, inner)),
            (item.right, (*item.batch, inner, columns)),
            *((storage, kind.shape) for storage, kind in item.operands),
        ):
            self._read_storage(storage, shape)
            _require(min(storage.strides, default=0) >= 0, "a product goes backwards")
            _require(storage.buffer.dtype == item.result.dtype, "a factor has another dtype")
        size = int(np.prod((*item.batch, rows, columns)))
        _require(size == item.result.size, "a product does not fill its result")
        self._touch(item.result)
        if item.finish is None:
            self._write(item.result, np.arange(size))
        else:
            self._finish(item, item.finish)

    def _finish(self, item: MatrixProduct, finish: Nest) -> None:
        """Check what is made of the entries of a product, which are there at their place alone."""
        rows, _, columns = item.extents
        _require(not item.batch, "a stack of products is finished")
        _require(item.result.origin is Origin.ARENA, "an output is not written")
        _require(finish.extents == (rows, columns), "what finishes a product has other loops")
        own: object = (0, (columns, 1))
        self._write(item.result, np.arange(rows * columns), 0, 0, own)
        for statement in finish.statements:
            _require(isinstance(statement, Store), "a product is finished by what is no store")
            factors = (item.left.buffer, item.right.buffer)
            _require(statement.buffer not in factors, "a factor is written over")
            for load in loads_of(statement):
                is_own = load.buffer is not item.result or _entry(load) == own
                _require(is_own, "an entry of a product is read at another place")
            self._statement(Kernel(rows, [finish]), 0, finish, statement)
        self._written[item.result] = _Written(item.result.size)
        del self.lives[item.result]

    def _callback(self, item: Callback) -> None:
        for each in item.inputs:
            if not isinstance(each, Number):
                storage, kind = each
                _require(storage.buffer.dtype == kind.dtype, "an argument has another dtype")
                self._read_storage(storage, kind.shape)
        types = item.node.type if isinstance(item.node.type, tuple) else (item.node.type,)
        for result, kind in zip(item.results, types, strict=True):
            _require(result.dtype == kind.dtype, "a result has another dtype")
            _require(result.size == kind.size, "a result has another size")
            self._touch(result)
            self._write(result, np.arange(result.size))

    # Memory.

    def _touch(self, buffer: Buffer) -> None:
        first, _ = self.lives.get(buffer, (self._number, self._number))
        self.lives[buffer] = (first, self._number)

    def _read_storage(self, storage: Storage, shape: tuple[int, ...]) -> None:
        self._touch(storage.buffer)
        _require(len(storage.strides) == len(shape), "strides do not fit the axes")
        if 0 not in shape:
            self._read(storage.buffer, _places(storage.offset, storage.strides, shape, ()))

    def _read(
        self,
        buffer: Buffer,
        places: _Places,
        nest: int = 0,
        rows: _Places | int = 0,
        entry: object = None,
    ) -> None:
        """Check that each place is there, and is written before: for its row of the outer loop."""
        self._check_bounds(buffer, places)
        written = self._written.get(buffer)
        if written is None:
            return
        flat = places.ravel()
        items = written.item[flat]
        _require(bool(np.all(items >= 0)), f"buffer {buffer.number} is read before it is written")
        here = items == self._number
        if not np.any(here):
            return
        rows = np.broadcast_to(rows, places.shape).ravel()
        before = (written.nest[flat] < nest) & (written.row[flat] <= rows)
        if entry is not None and written.entry == (self._number, nest, entry):
            before |= written.nest[flat] == nest
        _require(
            bool(np.all(before | ~here)),
            f"buffer {buffer.number} is read in a kernel before the kernel writes it",
        )

    def _write(
        self,
        buffer: Buffer,
        places: _Places,
        nest: int = -1,
        rows: _Places | int = -1,
        entry: object = None,
        *,
        replaces: bool = False,
    ) -> None:
        self._check_bounds(buffer, places)
        written = self._written.get(buffer)
        _require(written is not None, "an input or a constant is written")
        assert written is not None
        flat = places.ravel()
        if replaces:
            _require(bool(np.all(written.item[flat] >= 0)), "there is nothing yet to replace")
            written.row[flat] = -1
        else:
            _require(bool(np.all(written.item[flat] < 0)), f"{buffer.number} is written twice")
        written.item[flat] = self._number
        written.nest[flat] = nest
        np.maximum.at(written.row, flat, np.broadcast_to(rows, places.shape).ravel())
        written.entry = (self._number, nest, entry)

    def _check_bounds(self, buffer: Buffer, places: _Places) -> None:
        if not places.size:
            return
        low, high = 0, buffer.size
        if buffer.origin is Origin.CONSTANT:
            low, high = _extent(self._program.constants[buffer.position])
        _require(
            low <= int(places.min()) and int(places.max()) < high,
            f"buffer {buffer.number} of {buffer.size} is left: {places.min()} to {places.max()}",
        )


class _Written:
    """When each entry of a buffer was last written: item, nest and row of the outer loop."""

    def __init__(self, size: int, item: int = -1) -> None:
        self.item = np.full(size, item, np.int64)
        self.nest = np.full(size, -1, np.int64)
        self.row = np.full(size, -1, np.int64)
        self.entry: object = None


def _check_alone(kernel: Kernel, statement: Statement) -> None:
    """Check that in a kernel with loops nothing else meets a buffer that a statement changes."""
    for nest in kernel.nests:
        for other in nest.statements:
            if other is not statement:
                touched = {other.buffer, *(load.buffer for load in loads_of(other))}
                _require(statement.buffer not in touched, "what is replaced is used beside it")
    for load in loads_of(statement):
        same = isinstance(load, Load) and not isinstance(statement, Scatter)
        _require(
            load.buffer is not statement.buffer
            or (same and (load.offset, load.strides) == (statement.offset, statement.strides)),
            "what is replaced is read at another place",
        )


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _require_distinct(places: _Places) -> None:
    _require(np.unique(places).size == places.size, "two entries are written to one place")


def _extent(constant: np.ndarray[Any, Any]) -> tuple[int, int]:
    """Places of an array's entries, from its first entry: the least, and one past the greatest."""
    spans = [
        stride // constant.itemsize * (length - 1)
        for stride, length in zip(constant.strides, constant.shape, strict=True)
    ]
    return sum(min(each, 0) for each in spans), sum(max(each, 0) for each in spans) + 1


def _places(
    offset: int,
    strides: Sequence[int],
    extents: Sequence[int],
    parts: Sequence[tuple[Expression, int, int]],
) -> _Places:
    """List the places of an access: along the outer loop, and along all the others together."""
    total: _Places = np.full((1, 1), offset, np.int64)
    for loop, (stride, extent) in enumerate(zip(strides, extents, strict=True)):
        steps = np.arange(extent, dtype=np.int64) * stride
        if not loop:
            total = total + steps[:, None]
        elif stride or not extent:
            total = (total[:, :, None] + steps).reshape(len(total), total.shape[1] * extent)
    for _, stride, length in parts:
        steps = np.arange(length, dtype=np.int64) * stride
        total = (total[:, :, None] + steps).reshape(len(total), total.shape[1] * length)
    return total


def _rows(kernel: Kernel, places: _Places) -> _Places:
    """Give the row of the outer loop of each place; nests of no row run one after the other."""
    if not kernel.outer or len(kernel.nests) == 1:
        return np.zeros((1, 1), np.int64)
    return np.arange(len(places), dtype=np.int64)[:, None]


def _entry(access: Load | Gathered | Store) -> object:
    """Say which entry is read or written, if it is the same in two accesses of one nest."""
    return None if isinstance(access, Gathered) else (access.offset, access.strides)


def _check_expression(expression: Expression, loops: int) -> None:
    if isinstance(expression, OneHot):
        _require(len(expression.position.strides) == loops, "strides do not fit the loops")
        _require(_dtype(expression.index).kind in "iu", "an index is not an integer")
        _require(_dtype(expression.value) == expression.dtype, "a value has another dtype")
    elif isinstance(expression, (Load, Gathered, Count)):
        _require(len(expression.strides) == loops, "strides do not fit the loops")
    if isinstance(expression, Gathered):
        for index, _, length in expression.parts:
            _require(_dtype(index).kind in "iu", "an index is not an integer")
            _require(length > 0, "an axis without entries is indexed")
    if isinstance(expression, Apply):
        for argument, node in zip(expression.args, expression.node.inputs, strict=True):
            assert isinstance(node.type, ArrayType)
            _require(_dtype(argument) == node.type.dtype, "an argument has another dtype")


def _dtype(expression: Expression) -> np.dtype[Any]:
    if isinstance(expression, Apply):
        assert isinstance(expression.node.type, ArrayType)
        return expression.node.type.dtype
    if isinstance(expression, (Load, Gathered)):
        return expression.buffer.dtype
    return expression.dtype


def _check_rounds(program: Program) -> None:
    """Check that items that take turns hand on to each other what goes with one matrix alone."""
    for rounds in program.rounds:
        paces: dict[Buffer, int] = {}  # of what is written, entries for each matrix
        for item in program.items[rounds.first : rounds.last]:
            _require(not isinstance(item, Callback), "NumPy takes turns")
            strides = strides_of(item)
            for buffer in paces.keys() & {*buffers_read(item)}:
                _require(strides[buffer] == paces[buffer], "a matrix's part is read as another's")
            for buffer in {*buffers_written(item)}:
                paces[buffer] = strides[buffer]
                _require(strides[buffer] * rounds.count <= buffer.size, "rounds leave a buffer")
        for item in (*program.items[: rounds.first], *program.items[rounds.last :]):
            used = {*buffers_read(item), *buffers_written(item)}
            _require(used.isdisjoint(rounds.private), "what a round alone needs is used elsewhere")


def _lives_in_arena(
    program: Program, lives: dict[Buffer, tuple[int, int]]
) -> dict[Buffer, tuple[int, int]]:
    """Give the first and the last item that needs each buffer of the arena."""
    # Items count from 1; the one after the last is the caller, who reads the outputs.
    spans = [(0, 0), *((first + 1, last + 1) for first, last in program.spans())]
    private = {buffer for each in program.rounds for buffer in each.private}
    return {
        buffer: (spans[first][0], spans[last][1])
        for buffer, (first, last) in lives.items()
        if buffer.origin is Origin.ARENA and buffer not in private
    }


def _check_layout(lives: dict[Buffer, tuple[int, int]], size: int) -> None:
    """Check that buffers lie in the arena, and apart while both are needed."""
    lying = [*lives]
    for buffer in lying:
        end = buffer.offset + buffer.bytes
        _require(buffer.offset >= 0 and end <= size, f"buffer {buffer.number} leaves the arena")
        _require(buffer.offset % 64 == 0, f"buffer {buffer.number} is not aligned")
    first, last = np.array([lives[each] for each in lying], np.int64).reshape(-1, 2).T
    begin = np.array([each.offset for each in lying], np.int64)
    behind = begin + np.array([each.bytes for each in lying], np.int64)
    together = (first[:, None] <= last) & (first <= last[:, None])
    apart = (behind[:, None] <= begin) | (behind <= begin[:, None])
    for one, two in np.argwhere(np.triu(together & ~apart, 1))[:1]:
        numbers = f"{lying[one].number} and {lying[two].number}"
        _require(False, f"buffers {numbers} share memory")
