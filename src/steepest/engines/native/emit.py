"""Emitting: from loop nests to LLVM assembly.

A kernel becomes a function of the buffers it touches. Its nests run side by side for a block of
settings of the outer loop; the last loop of each nest runs in vectors, of which the last may be
masked. Kernels that are alike become one function, so that what repeats in a program is compiled
once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from steepest.engines.native.assembly import (
    BOOL,
    INT64,
    POINTER,
    Function,
    Module,
    Type,
    Value,
)
from steepest.engines.native.calling import CALLBACK, Behind, Flags, table_of
from steepest.engines.native.coalesce import with_few_loops
from steepest.engines.native.fuse import is_expensive
from steepest.engines.native.layout import ALIGNMENT, buffers_read, buffers_written, rounded
from steepest.engines.native.listing import anonymous
from steepest.engines.native.narrow import Narrow, Tile, narrow, parted
from steepest.engines.native.nests import (
    Apply,
    Buffer,
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
    Rounds,
    Scatter,
    Statement,
    Store,
    all_parts,
    loads_of,
    parts_of,
)
from steepest.engines.native.noticing import noticed
from steepest.engines.native.operations import (
    emit_operation,
    emit_unchecked_scale,
    from_memory,
    memory_element,
    register_element,
    to_memory,
)
from steepest.engines.native.partition import (
    BLOCK,
    MOST_BLAS_PIECES,
    MOST_PARTIAL,
    MOST_THREADS,
    PRODUCT_PIECES_A_THREAD,
    Pieces,
    piece_of,
    pieces_of_kernel,
    pieces_of_product,
    product_of,
)
from steepest.engines.native.processor import Processor
from steepest.engines.native.products import (
    Product,
    choose,
    prefetch,
    product_function,
    shuffled,
    transposed,
)
from steepest.engines.native.rounds import strides_of
from steepest.engines.native.sharing import TASK_PARAMETERS, emit_share
from steepest.engines.native.steps import BatchRows
from steepest.graph import ArrayType, Constant, Node

__all__ = ["add_ticks", "emit_program", "read_ticks"]

LARGEST_ROW = 4096
"""Entries of a row up to which blocks have several rows."""
MOST_UNROLLED = 4
"""Vectors of a sum that are added up side by side."""
BESIDE = 4
"""Vectors of which a function is computed side by side."""
MOST_SUMS = 8
"""Vectors of sums over rows that are kept in registers."""


MOST_COLUMNS_WRITTEN_OUT = 4
"""Columns of narrow rows up to which the code has no loop over them."""
MOST_SHUFFLED = 4
"""Columns of narrow rows up to which each is picked out of the rows, one after the other."""
MOST_INLINED = 64
"""Items up to which a program is one function."""
MOST_WRITTEN_OUT = 200
"""Statements without loops up to which the operations in them are written out, not called."""
_PROGRAM_PARAMETERS = [("ptr noalias", "arena"), ("ptr", "table")]
# The register of ARM's clock that every program may read, for which LLVM has no function.
_ARM_CLOCK = "cntvct_el0"


def emit_program(
    module: Module,
    program: Program,
    processor: Processor,
    name: str,
    *,
    finite: Collection[Buffer] = (),
    homes: dict[Buffer, Buffer] | None = None,
    first_callback: int = 0,
    moving: Collection[Buffer] = (),
    listed: Mapping[MatrixProduct, tuple[int, BatchRows]] | None = None,
    padded: Collection[Buffer] = (),
    linkage: str = "",
    threads: int = 1,
    is_timed: bool = False,
) -> None:
    """Add a function ``i64 name(ptr arena, ptr table)`` that runs a program.

    Parameters
    ----------
    module : Module
    program : Program
        Laid out.
    processor : Processor
    name : str
    finite : collection of Buffer
        Outputs of which it is reported when they are not finite.
    homes : dict from Buffer to Buffer, optional
        Outputs that are written over inputs.
    first_callback : int
        The number that NumPy is called with for the first of `callbacks_of`; others follow.
    moving : collection of Buffer
        Inputs whose addresses in the table change while the module's functions run.
    listed : mapping from MatrixProduct to (int, BatchRows), optional
        Products that read the rows of a batch where they lie: in an array which is the so-manieth
        of those whose addresses are the last in the table. The address of the rows' numbers is
        before these.
    padded : collection of Buffer
        What lies outside the arena and is followed, as all in it is, by room up to the next
        multiple of `ALIGNMENT` bytes, in which anything may be written.
    linkage : str
        "internal" for a function that only others of the module call.
    threads : int
        How many share large items, which are cut into pieces for them; at most `MOST_THREADS`.
    is_timed : bool
        Whether to add up the ticks that each item takes, in the numbers at the third address
        behind the buffers' in the table.
    """
    emitter = _ProgramEmitter(
        module,
        program,
        processor,
        homes or {},
        frozenset(finite),
        frozenset(moving),
        listed or {},
        frozenset(padded),
        first_callback,
        threads,
        is_timed,
    )
    count = len(program.items)
    if count <= MOST_INLINED:
        emitter.emit(name, 0, count, linkage)
        return
    # A long program in parts, and its kernels apart: the time to compile stays in proportion.
    # What takes turns is not divided.
    spans = program.spans()
    starts = [*sorted({spans[place][0] for place in range(0, count, MOST_INLINED)}), count]
    parts = [f"{name}.{number}" for number in range(len(starts) - 1)]
    for part, first, last in zip(parts, starts[:-1], starts[1:], strict=True):
        emitter.emit(part, first, last, "internal", "noinline")
    function = module.function(name, INT64, _PROGRAM_PARAMETERS, linkage=linkage)
    flags = function.zero(INT64)
    for part in parts:
        found = function.call(part, INT64, *function.parameters)
        flags = function.binary("or", flags, found)
        failed = function.binary("and", found, Value(str(Flags.CALLBACK), INT64))
        with function.when(function.compare("ne", failed, function.zero(INT64)), returns=True):
            function.give(flags)
    function.give(flags)


class _ProgramEmitter:
    """Writes the functions that run the items of a program."""

    def __init__(
        self,
        module: Module,
        program: Program,
        processor: Processor,
        homes: dict[Buffer, Buffer],
        finite: frozenset[Buffer],
        moving: frozenset[Buffer],
        listed: Mapping[MatrixProduct, tuple[int, BatchRows]],
        padded: frozenset[Buffer],
        first_callback: int,
        threads: int,
        is_timed: bool,
    ) -> None:
        self._is_timed = is_timed
        self._module = module
        self._program = program
        self._processor = processor
        self._homes = homes
        self._finite, self._moving, self._padded = finite, moving, padded
        self._listed = listed
        self._next_callback = first_callback
        self._threads = threads
        self._table = table_of(program)
        self._kernel_attributes = "noinline" if len(program.items) > MOST_INLINED else ""
        self._is_long = _statements_without_loops(program) > MOST_WRITTEN_OUT
        self._private = _private(program)
        self._noticed = noticed(program, finite)
        self._shared = frozenset((*self._homes, *self._homes.values()))

    def emit(
        self,
        name: str,
        first: int,
        last: int,
        linkage: str = "",
        attributes: str = "",
    ) -> None:
        """Write a function that runs the items from a first to before a last one."""
        self._function = self._module.function(
            name, INT64, _PROGRAM_PARAMETERS, linkage=linkage, attributes=attributes
        )
        self._pointers: dict[Buffer, Value] = {}
        self._partial: Value | None = None
        function = self._function
        flags: list[Value] = []
        ticks = read_ticks(function, self._processor) if self._is_timed else None
        rounds = {each.first: each for each in self._program.rounds}
        place = first
        while place < last:
            if place in rounds:
                flags += self._in_rounds(rounds[place])
                place = rounds[place].last
                ticks = read_ticks(function, self._processor) if self._is_timed else None
                continue
            item = self._program.items[place]
            if isinstance(item, Kernel):
                for kernel, turned in self._parts_of_kernel(item):
                    flags += self._kernel(kernel, turned)
            elif isinstance(item, MatrixProduct):
                flags += self._product(item)
            else:
                self._callback()
            if ticks is not None:
                counter = function.offset(self._behind(Behind.COUNTERS), "i64", place)
                ticks = add_ticks(function, self._processor, counter, ticks)
            place += 1
        result = Value("0", INT64)
        for flag in flags:
            result = function.binary("or", result, flag)
        function.give(result)

    def _behind(self, place: int) -> Value:
        """Read one of the addresses behind those of the buffers in the table."""
        function = self._function
        slot = function.offset(function.parameters[1], "ptr", len(self._table) + place)
        return function.load(POINTER, slot)

    def _home(self, buffer: Buffer) -> Buffer:
        return self._homes.get(buffer, buffer)

    def _pointer(self, buffer: Buffer) -> Value:
        """Address of a buffer: in the arena, or from the table."""
        home = self._home(buffer)
        known = self._pointers.get(home)
        if known is None:
            function = self._function
            arena, table = function.parameters
            if home.origin is Origin.ARENA:
                known = function.offset(arena, "i8", home.offset)
            else:
                place = function.offset(table, "ptr", self._table[home])
                fixed = "" if home in self._moving else ", !invariant.load !{}"
                known = function.load(POINTER, place, suffix=fixed)
            if function.block == "begin":
                self._pointers[home] = known
        return known

    def _parts_of_kernel(self, kernel: Kernel) -> Iterator[tuple[Kernel, Narrow | None]]:
        """Give a kernel's nests of narrow rows apart, with the loops of the others made few."""
        for part in parted(kernel, self._shared):
            turned = narrow(part, self._processor, self._private)
            yield (with_few_loops(part) if turned is None else part), turned

    def _kernel(self, kernel: Kernel, turned: Narrow | None) -> list[Value]:
        pieces = pieces_of_kernel(kernel, self._processor)
        # Without partial results, the whole gives the same bits.
        if pieces is not None and (self._threads > 1 or pieces.partial):
            return self._kernel_in_pieces(kernel, turned, pieces)
        emitter = self._kernel_emitter(kernel, turned)
        name = self._module.shared(emitter.emit)
        return [self._function.call(name, INT64, *self._kernel_arguments(emitter))]

    def _kernel_emitter(
        self, kernel: Kernel, turned: Narrow | None, piece: _Piece | None = None
    ) -> _KernelEmitter:
        arguments = (
            self._module,
            kernel,
            self._processor,
            self._finite,
            self._homes,
            self._padded,
            self._kernel_attributes,
            piece,
            self._is_long,
        )
        return _KernelEmitter(*arguments) if turned is None else _NarrowEmitter(*arguments, turned)

    def _kernel_arguments(self, emitter: _KernelEmitter) -> list[Value]:
        return [
            self._function.offset(
                self._pointer(each), "i8", emitter.starts[each] * each.dtype.itemsize
            )
            for each in emitter.buffers
        ]

    # What takes turns.

    def _in_rounds(self, rounds: Rounds) -> list[Value]:
        """Run items round by round; threads share the rounds."""
        items = self._program.items[rounds.first : rounds.last]
        buffers: dict[Buffer, None] = {}
        for item in items:
            for buffer in (*buffers_read(item), *buffers_written(item)):
                if buffer not in rounds.private:
                    buffers.setdefault(self._home(buffer))
        arguments = [self._pointer(each) for each in buffers]
        if self._is_timed:
            arguments.append(self._behind(Behind.COUNTERS))
        pieces = Pieces(rounds.count, rounds.size)
        # Functions of the module are written one after the other.
        sizes = dict.fromkeys((pieces.size, pieces.last))
        turns = {size: [self._turn(item, size) for item in items] for size in sizes}

        def task(name: str) -> Function:
            task = Function(self._module, name, INT64, TASK_PARAMETERS, "internal", "noinline")
            table, number = task.parameters
            start = task.multiply(number, Value(str(pieces.size), INT64))
            given = [
                task.load(POINTER, task.offset(table, "ptr", place))
                for place in range(len(arguments))
            ]
            memory = {
                buffer: task.allocate(Type("i8"), size) for buffer, size in rounds.private.items()
            }

            def pointer(buffer: Buffer, stride: int) -> Value:
                if buffer in memory:
                    return memory[buffer]
                base = dict(zip(buffers, given, strict=False))[self._home(buffer)]
                if not stride:
                    return base
                moved = stride * buffer.dtype.itemsize
                return task.offset(base, "i8", task.multiply(start, Value(str(moved), INT64)))

            def write(size: int) -> None:
                flags = task.zero(INT64)
                ticks = read_ticks(task, self._processor) if self._is_timed else None
                for place, turn in enumerate(turns[size]):
                    for found in turn(task, pointer):
                        flags = task.binary("or", flags, found)
                    if ticks is not None:
                        counter = task.offset(given[-1], "i64", rounds.first + place)
                        ticks = _add_shared_ticks(
                            task, self._processor, counter, ticks, self._threads
                        )
                task.give(flags)

            if pieces.last != pieces.size:
                last = Value(str(pieces.count - 1), INT64)
                with task.when(task.compare("eq", number, last), returns=True):
                    write(pieces.last)
            write(pieces.size)
            return task

        flags = [self._share(self._module.shared(task), arguments, pieces.count)]
        for item in items:
            for nest in item.nests if isinstance(item, Kernel) else ():
                for statement in nest.statements:
                    if isinstance(statement, Reduce) and _is_added_up_by_row(statement):
                        flags += self._look_at_sums(statement)
        return flags

    def _turn(
        self, item: Item, size: int
    ) -> Callable[[Function, Callable[[Buffer, int], Value]], Iterator[Value]]:
        """Prepare what an item does for so many matrices.

        Returns
        -------
        callable
            Takes the function to write it in, and what gives the address of a buffer, moved on by
            the stride that it is given; gives flags.
        """
        strides = strides_of(item)
        if isinstance(item, MatrixProduct):
            return partial(self._product_in_turn, item, size, strides)
        assert isinstance(item, Kernel)
        nests = [Nest((size, *nest.extents[1:]), nest.statements) for nest in item.nests]
        written = []
        for kernel, turned in self._parts_of_kernel(Kernel(size, nests)):
            extent = kernel.outer or kernel.nests[0].extents[0]
            emitter = self._kernel_emitter(kernel, turned, _Piece(0, extent, frozenset()))
            written.append((self._module.shared(emitter.emit), emitter))
        homes = {self._home(each): stride for each, stride in strides.items()}

        def turn(function: Function, pointer: Callable[[Buffer, int], Value]) -> Iterator[Value]:
            for name, emitter in written:
                arguments = [
                    function.offset(
                        pointer(each, homes[each]), "i8", emitter.starts[each] * each.dtype.itemsize
                    )
                    for each in emitter.buffers
                ]
                yield function.call(name, INT64, *arguments)

        return turn

    def _product_in_turn(
        self,
        item: MatrixProduct,
        size: int,
        strides: dict[Buffer, int],
        function: Function,
        pointer: Callable[[Buffer, int], Value],
    ) -> Iterator[Value]:
        """Write the products of so many matrices, and the look at them."""
        buffers = (item.left.buffer, item.right.buffer, item.result)
        pointers = [pointer(each, strides[each]) for each in buffers]
        batch = (size, *item.batch[1:])
        self._multiply(function, item, product_of(item), pointers, batch)
        entries = size * strides[item.result]
        some = Buffer(item.result.number, item.result.dtype, entries)
        for what, flag in self._wanted_of_product(item):
            name = self._scanner(some, what, flag)
            yield function.call(name, INT64, pointers[2])

    # What threads share.

    def _kernel_in_pieces(
        self, kernel: Kernel, turned: Narrow | None, pieces: Pieces
    ) -> list[Value]:
        """Run a kernel piece by piece, and combine what the pieces have added up."""
        function, summed = self._function, frozenset(pieces.partial)
        whole = self._kernel_emitter(kernel, turned, _Piece(None, pieces.size, summed))
        begin = pieces.extent - pieces.last
        rest = self._kernel_emitter(kernel, turned, _Piece(begin, pieces.last, summed))
        names = [self._module.shared(each.emit) for each in (whole, rest)]
        offsets: dict[Buffer, int] = {}
        for buffer in pieces.partial:
            offsets[buffer] = sum(pieces.count * rounded(each.bytes) for each in offsets)
        arguments = self._kernel_arguments(whole)
        if summed:
            scratch = self._scratch()
            arguments = [
                function.offset(scratch, "i8", offsets[each]) if each in summed else argument
                for each, argument in zip(whole.buffers, arguments, strict=True)
            ]
        steps = [rounded(each.bytes) if each in summed else 0 for each in whole.buffers]

        def task(name: str) -> Function:
            task = Function(self._module, name, INT64, TASK_PARAMETERS, "internal", "noinline")
            table, number = task.parameters
            pointers = []
            for place, step in enumerate(steps):
                pointer = task.load(POINTER, task.offset(table, "ptr", place))
                if step:
                    own = task.multiply(number, Value(str(step), INT64))
                    pointer = task.offset(pointer, "i8", own)
                pointers.append(pointer)
            is_last = task.compare("eq", number, Value(str(pieces.count - 1), INT64))
            with task.when(is_last, returns=True):
                task.give(task.call(names[1], INT64, *pointers))
            start = task.multiply(number, Value(str(pieces.size), INT64))
            task.give(task.call(names[0], INT64, *pointers, start))
            return task

        flags = [self._share(self._module.shared(task), arguments, pieces.count)]
        for nest in kernel.nests:
            for statement in nest.statements:
                if not isinstance(statement, Reduce):
                    continue
                if statement.buffer in summed:
                    self._combine(statement, offsets[statement.buffer], pieces.count)
                if statement.buffer in summed or _is_added_up_by_row(statement):
                    flags += self._look_at_sums(statement)
        return flags

    def _scratch(self) -> Value:
        """Memory for partial results, of one kernel at a time."""
        if self._partial is None:
            self._partial = self._function.allocate(Type("i8"), MOST_PARTIAL)
        return self._partial

    def _share(self, task: str, arguments: Sequence[Value], count: int) -> Value:
        """Have threads run the pieces of a task."""
        function = self._function
        handing = function.offset(function.parameters[1], "ptr", len(self._table) + Behind.HANDING)
        return emit_share(function, handing, task, arguments, count)

    def _combine(self, statement: Reduce, offset: int, count: int) -> None:
        """Combine partial results in order."""
        function, buffer = self._function, statement.buffer
        name = self._module.shared(partial(_combine_function, self._module, statement, count))
        start = function.offset(self._scratch(), "i8", offset)
        function.do(f"call void @{name}({start}, {self._pointer(buffer)})")

    def _look_at_sums(self, statement: Reduce) -> Iterator[Value]:
        """Look for NaN, and for what is not finite, in what pieces have added up."""
        buffer = statement.buffer
        if buffer.dtype.char in "fd":
            if statement.zero_safe:
                yield self._scan(buffer, "uno", Flags.NAN)
            if buffer in self._finite:
                yield self._scan(buffer, "not finite", Flags.NOT_FINITE)

    # Matrix products.

    def _product(self, item: MatrixProduct) -> list[Value]:
        pieces = None
        product = product_of(item)
        pointers = [self._pointer(each) for each in (item.left.buffer, item.right.buffer)]
        # A result that is finished in registers has no memory.
        is_written = item.finish is None
        pointers.append(self._pointer(item.result) if is_written else Value("null", POINTER))
        if item in self._listed:
            place, rows = self._listed[item]
            product = replace(product, listed=rows.listed, copies=rows.copies)
            copies = pointers[:1] if rows.copies else []
            data = self._behind(Behind.DATA + place)
            pointers = [data, *pointers[1:], self._behind(Behind.ROWS), *copies]
        if item.finish is not None:
            pointers += self._kernel_arguments(self._finish_emitter(item, item.finish, None))
        if choose(product, self._processor) == "blas":
            # Its bits depend on the cut.
            pieces = pieces_of_product(
                item, product, self._processor, MOST_THREADS, MOST_BLAS_PIECES
            )
        elif self._threads > 1:
            most = PRODUCT_PIECES_A_THREAD * self._threads
            pieces = pieces_of_product(item, product, self._processor, self._threads, most)
        if pieces is None:
            flags = self._multiply(self._function, item, product, pointers, item.batch)
        else:

            def task(name: str) -> Function:
                task = Function(self._module, name, INT64, TASK_PARAMETERS, "internal", "noinline")
                table, number = task.parameters
                given = [
                    task.load(POINTER, task.offset(table, "ptr", place))
                    for place in range(len(pointers))
                ]
                cut = pieces.pieces
                is_last = task.compare("eq", number, Value(str(cut.count - 1), INT64))
                with task.when(is_last, returns=True):
                    self._piece_of_product(
                        task, item, product, pieces.axis, given, cut.last, number, cut
                    )
                self._piece_of_product(
                    task, item, product, pieces.axis, given, cut.size, number, cut
                )
                return task

            flags = self._share(self._module.shared(task), pointers, pieces.pieces.count)
        return [flags] if item.finish is not None else self._looked_at(item)

    def _finish_emitter(
        self, item: MatrixProduct, finish: Nest, axis: str | None
    ) -> _FinishEmitter:
        return _FinishEmitter(
            self._module.finished,
            Kernel(finish.extents[0], [finish]),
            self._processor,
            self._finite,
            self._homes,
            self._padded,
            "",
            None,
            False,
            item,
            axis,
            item.result in self._noticed,
        )

    def _piece_of_product(
        self,
        task: Function,
        item: MatrixProduct,
        product: Product,
        axis: str,
        pointers: Sequence[Value],
        size: int,
        number: Value,
        cut: Pieces,
    ) -> None:
        """Multiply a piece and return."""
        first = task.multiply(number, Value(str(cut.size), INT64))
        dims = len(item.batch)
        if axis == "stack":
            product_size = product.rows * product.columns
            steps: tuple[int, ...] = (
                item.left.strides[0],
                item.right.strides[0],
                math.prod(item.batch[1:]) * product_size,
            )
            batch: tuple[int, ...] = (size, *item.batch[1:])
        else:
            steps = (
                (item.left.strides[dims], 0, product.columns)
                if axis == "rows"
                else (0, item.right.strides[dims + 1], 1)
            )
            if product.listed:
                steps = (*steps, 0)
            if product.listed == "rows" and axis == "rows":
                # Some of the numbers; the data are those of all.
                steps = (0, *steps[1:])
                numbers = task.offset(pointers[3], "i64", first)
                pointers = [*pointers[:3], numbers, *pointers[4:]]
            if product.copies:
                steps = (*steps, product.inner)
            product, batch = piece_of(product, axis, size), item.batch
        width = memory_element(item.result.dtype)
        moved = [
            task.offset(pointer, width, task.multiply(first, Value(str(step), INT64)))
            if step
            else pointer
            for pointer, step in zip(pointers, steps, strict=False)
        ]
        # What finishes the product is told where the piece begins.
        others = [] if item.finish is None else [*pointers[len(steps) :], first]
        task.give(self._multiply(task, item, product, [*moved, *others], batch, axis))

    def _multiply(
        self,
        function: Function,
        item: MatrixProduct,
        product: Product,
        pointers: Sequence[Value],
        batch: Sequence[int],
        axis: str | None = None,
    ) -> Value:
        """Multiply each pair of a stack of matrices, or a piece of one pair; give flags."""
        finish = None if item.finish is None else self._finish_emitter(item, item.finish, axis)
        name = product_function(
            self._module.finished, product, self._processor, linkage="", finish=finish
        )
        kinds = ", ".join(str(each.type) for each in pointers)
        result = "void" if finish is None else "i64"
        self._module.declare(name, f"declare {result} @{name}({kinds})")
        width = memory_element(item.result.dtype)
        dims = len(item.batch)
        with ExitStack() as stack:
            indices = [stack.enter_context(function.loop(length)) for length in batch]
            entries = item.extents[0] * item.extents[2]
            result_strides = _row_major((*item.batch, entries))[:-1]
            places = [
                _affine(function, offset, strides, indices)
                for offset, strides in (
                    (item.left.offset, item.left.strides[:dims]),
                    (item.right.offset, item.right.strides[:dims]),
                    (0, result_strides),
                )
            ]
            arguments = [
                function.offset(pointer, width, place)
                for pointer, place in zip(pointers[: len(places)], places, strict=True)
            ]
            arguments += pointers[len(places) :]
            if finish is not None:
                return function.call(name, INT64, *arguments)
            function.do(f"call void @{name}({', '.join(map(str, arguments))})")
        return function.zero(INT64)

    def _looked_at(self, item: MatrixProduct) -> list[Value]:
        """Look for NaN, and for what is not finite, in a product."""
        flags = []
        for what, flag in self._wanted_of_product(item):
            found = self._scan(item.result, what, flag)
            if flag == Flags.NAN and self._program.careful:
                self._with_care(item, found)
            else:
                flags.append(found)
        return flags

    def _wanted_of_product(self, item: MatrixProduct) -> Iterator[tuple[str, int]]:
        """Say what is looked for in a product, and its flag."""
        if item.zero_safe and item.result not in self._noticed:
            yield "uno", Flags.NAN
        if item.result in self._finite:
            yield "not finite", Flags.NOT_FINITE

    def _with_care(self, item: MatrixProduct, found: Value) -> None:
        """Have NumPy do a product again that has a NaN."""
        function = self._function
        with function.when(function.compare("ne", found, function.zero(INT64))):
            self._callback()

    def _scan(self, buffer: Buffer, what: str, flag: int) -> Value:
        """Look for NaN, or for what is not finite, in a buffer."""
        return self._function.call(self._scanner(buffer, what, flag), INT64, self._pointer(buffer))

    def _scanner(self, buffer: Buffer, what: str, flag: int) -> str:
        """Name the function that looks for something in a buffer of that type and size."""
        return self._module.shared(
            partial(scan_function, self._module, buffer, self._processor, what, flag)
        )

    def _callback(self) -> None:
        function = self._function
        number = self._next_callback
        self._next_callback += 1
        self._module.declare(CALLBACK, f"declare i64 @{CALLBACK}(i64, ptr, ptr)")
        arena, table = function.parameters
        failed = function.call(CALLBACK, INT64, Value(str(number), INT64), arena, table)
        with function.when(function.compare("ne", failed, function.zero(INT64)), returns=True):
            function.give(Value(str(Flags.CALLBACK), INT64))


def read_ticks(function: Function, processor: Processor) -> Value:
    """Read the processor's clock, which ticks evenly."""
    # On other processors the counter of cycles is for the operating system alone.
    if processor.is_arm:
        name = "llvm.read_volatile_register.i64"
        function.module.declare(name, f"declare i64 @{name}(metadata)")
        return function.emit(INT64, f'call i64 @{name}(metadata !{{!"{_ARM_CLOCK}"}})')
    clock = "cycle" if processor.is_x86 else "steady"
    name = f"llvm.read{clock}counter"
    function.module.declare(name, f"declare i64 @{name}()")
    return function.call(name, INT64)


def add_ticks(function: Function, processor: Processor, counter: Value, since: Value) -> Value:
    """Add the ticks since an earlier time to a counter, and give the time."""
    now = read_ticks(function, processor)
    before = function.load(INT64, counter)
    function.store(function.add(before, function.binary("sub", now, since)), counter)
    return now


def _add_shared_ticks(
    function: Function, processor: Processor, counter: Value, since: Value, threads: int
) -> Value:
    """Add a thread's share of the ticks since an earlier time to a counter, and give the time."""
    now = read_ticks(function, processor)
    passed = function.binary("sub", now, since)
    share = function.binary("udiv", passed, Value(str(threads), INT64))
    function.do(f"atomicrmw add {counter}, {share} monotonic")
    return now


def scan_function(
    module: Module, buffer: Buffer, processor: Processor, what: str, flag: int, name: str
) -> Function:
    """Write a function that looks for NaN ("uno") or for what is not finite in a buffer."""
    element, size = memory_element(buffer.dtype), buffer.size
    lanes = processor.lanes(64 if element == "double" else 32)
    function = Function(
        module, name, INT64, [("ptr noalias readonly", "x")], "internal", "noinline"
    )
    (pointer,) = function.parameters
    kind = Type(element, lanes)
    bad = function.allocate(kind.of("i1"))
    function.store(function.zero(kind.of("i1")), bad)

    def look(value: Value) -> Value:
        if what == "uno":
            return function.compare("uno", value, value)
        magnitude = function.intrinsic("llvm.fabs", value)
        return function.compare("uge", magnitude, function.constant(value.type, math.inf))

    full = size - size % lanes
    with function.loop(full, step=lanes) as index:
        value = function.load(kind, function.offset(pointer, element, index))
        before = function.load(kind.of("i1"), bad)
        function.store(function.binary("or", before, look(value)), bad)
    result = function.reduce("or", function.load(kind.of("i1"), bad))
    rest = function.allocate(BOOL)
    function.store(result, rest)
    with function.loop(size, start=full) as index:
        value = function.load(kind.scalar, function.offset(pointer, element, index))
        before = function.load(BOOL, rest)
        function.store(function.binary("or", before, look(value)), rest)
    one = Value(str(flag), INT64)
    function.give(function.select(function.load(BOOL, rest), one, function.zero(INT64)))
    return function


def _combine_function(module: Module, statement: Reduce, count: int, name: str) -> Function:
    """Write a function that combines partial results, the first with the second and so on."""
    buffer = statement.buffer
    function = Function(
        module,
        name,
        None,
        [("ptr noalias readonly", "partial"), ("ptr noalias", "result")],
        "internal",
        "noinline",
    )
    parts, result = function.parameters
    element = memory_element(buffer.dtype)
    with function.loop(buffer.size) as index:
        total: Value | None = None
        for number in range(count):
            start = function.offset(parts, "i8", number * rounded(buffer.bytes))
            each = function.load(Type(element), function.offset(start, element, index))
            each = from_memory(function, each, buffer.dtype)
            total = each if total is None else combined(function, statement, total, each)
        assert total is not None
        place = function.offset(result, element, index)
        function.store(to_memory(function, total, buffer.dtype), place)
    function.give()
    return function


def combined(function: Function, statement: Reduce, x: Value, y: Value) -> Value:
    """Combine two values as a reduction does."""
    operation, kind = statement.operation, statement.buffer.dtype.kind
    if operation == "sum":
        return function.add(x, y)
    if operation == "prod":
        return function.multiply(x, y)
    if operation in ("any", "all") or kind == "b":
        return function.binary("or" if operation in ("any", "max") else "and", x, y)
    if kind == "f":
        return function.extremum(operation, x, y)
    name = {
        "i": {"max": "llvm.smax", "min": "llvm.smin"},
        "u": {"max": "llvm.umax", "min": "llvm.umin"},
    }[kind][operation]
    return function.intrinsic(name, x, y)


def _row_major(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def _affine(
    function: Function, offset: int, strides: Sequence[int], indices: Sequence[Value | int]
) -> Value | int:
    """Compute ``offset + Σ stride · index``."""
    total: Value | None = None
    for stride, index in zip(strides, indices, strict=True):
        if not stride:
            continue
        if isinstance(index, int):
            offset += stride * index
            continue
        term = index if stride == 1 else function.emit(INT64, f"mul i64 {index.name}, {stride}")
        total = term if total is None else function.binary("add", total, term)
    if total is None:
        return offset
    return function.emit(INT64, f"add i64 {total.name}, {offset}") if offset else total


@dataclass(slots=True)
class _Context:
    """Where an expression is computed: the loops' indices, and the lanes of the last one.

    Attributes
    ----------
    indices : list of Value or int
    lanes : int
        0 for a single entry.
    mask : Value or None
        Which lanes count; None for all.
    values : dict
        What has been computed here.
    stored : dict
        What has been written here.
    single : _Context or None
        For what is the same in all lanes.
    found : dict
        Indices that were looked at here, by their expression and the length of the axis.
    last : int
        Length of the last loop, where it is run to its end.
    """

    indices: list[Value | int]
    lanes: int
    mask: Value | None = None
    values: dict[int, Value] = field(default_factory=dict)
    stored: dict[tuple[Buffer, int, tuple[int, ...]], Value] = field(default_factory=dict)
    single: _Context | None = None
    found: dict[tuple[int, int], Value] = field(default_factory=dict)
    last: int = 0


@dataclass(frozen=True, slots=True)
class _Piece:
    """A range of a kernel's outer loop.

    Attributes
    ----------
    start : int or None
        None for a parameter of the function.
    count : int
    partial : frozenset of Buffer
        What only this range is added up in.
    """

    start: int | None
    count: int
    partial: frozenset[Buffer]


class _KernelEmitter:
    """Writes the function of a kernel, or of a piece of it."""

    def __init__(
        self,
        module: Module,
        kernel: Kernel,
        processor: Processor,
        finite: Collection[Buffer],
        homes: dict[Buffer, Buffer],
        padded: Collection[Buffer],
        attributes: str,
        piece: _Piece | None,
        is_long: bool,
    ) -> None:
        self._module = module
        self._kernel = kernel
        self._piece = piece
        self._partial = frozenset() if piece is None else piece.partial
        self._attributes = attributes
        self._calls_operations = is_long and not kernel.outer
        self._processor = processor
        self._finite = finite
        self._padded = padded
        self._nests = kernel.nests
        self._names: dict[Buffer, int] = {}
        written = set()
        self._homes = homes
        for nest in self._nests:
            for statement in nest.statements:
                for buffer in (statement.buffer, *(each.buffer for each in loads_of(statement))):
                    self._names.setdefault(homes.get(buffer, buffer), len(self._names))
                written.add(homes.get(statement.buffer, statement.buffer))
        self.buffers = list(self._names)
        # What is not filled as a whole is given from where its use begins, so that kernels that
        # do the same to different parts of an array are alike.
        self.starts = dict.fromkeys(self.buffers, 0)
        offsets: dict[Buffer, list[int]] = {}
        filled = {homes.get(each, each) for each in kernel.zeroed}
        for nest in self._nests:
            for statement in nest.statements:
                for access in (statement, *loads_of(statement)):
                    home = homes.get(access.buffer, access.buffer)
                    offsets.setdefault(home, []).append(access.offset)
                if isinstance(statement, Reduce):
                    filled.add(homes.get(statement.buffer, statement.buffer))
        self.starts |= {each: min(places) for each, places in offsets.items() if each not in filled}
        self._parameters = [
            (f"ptr noalias{'' if each in written else ' readonly'}", f"b{number}")
            for each, number in self._names.items()
        ]
        self._flags: dict[tuple[int, int], Value] = {}
        self._sums: dict[Reduce, list[Value]] = {}
        self._kinds: dict[Reduce, Type] = {}
        self._rows: dict[Reduce, Value] = {}
        self._varying: dict[int, bool] = {}

    def emit(self, name: str) -> Function:
        """Write the function under a name."""
        parameters = list(self._parameters)
        piece = self._piece
        if piece is not None and piece.start is None:
            parameters.append(("i64", "start"))
        function = self._function = Function(
            self._module, name, INT64, parameters, "internal", self._attributes
        )
        self._begin()
        outer = self._kernel.outer
        first: Value | int = 0
        if piece is not None:
            outer = piece.count
            first = function.parameters[-1] if piece.start is None else piece.start
        block = self._block_size(outer)
        if not block:
            for nest in self._nests:
                length = nest.extents[0] if nest.extents else 0
                self._nest(nest, first, length if piece is None else outer)
        else:
            full = outer - outer % block
            if full == block:
                self._block(first, block)
            elif full:
                with function.loop(
                    self._plus(first, full), start=first, step=block, is_run=True
                ) as start:
                    self._block(start, block)
            if full != outer:
                self._block(self._plus(first, full), outer - full)
        self._end()
        return function

    def _block_size(self, outer: int) -> int:
        """Count the settings of a block; 0 where the nests run one after the other."""
        if len(self._nests) == 1 or not outer:
            return 0
        row = max(math.prod(nest.extents[1:]) for nest in self._nests)
        return min(BLOCK, outer) if row <= LARGEST_ROW else 1

    def _pointer(self, buffer: Buffer) -> Value:
        return self._function.parameters[self._names[self._homes.get(buffer, buffer)]]

    def _start(self, access: Load | Gathered | Store | Reduce | Scatter) -> int:
        """Offset of an access from where its buffer is given."""
        return access.offset - self.starts[self._homes.get(access.buffer, access.buffer)]

    def _block(self, start: Value | int, count: int) -> None:
        for nest in self._nests:
            self._nest(nest, start, count)

    def _reductions(self) -> Iterator[tuple[Nest, Reduce]]:
        for nest in self._nests:
            for statement in nest.statements:
                if isinstance(statement, Reduce):
                    yield nest, statement

    def _begin(self) -> None:
        """Prepare what the whole kernel adds to."""
        for buffer in self._kernel.zeroed:
            self._fill(buffer, 0)
        for nest, statement in self._reductions():
            if _span(statement) == 0:
                self._open(nest, statement)
            elif self._sums_one_vector(nest, statement):
                kind = Type(_element(statement.buffer.dtype), self._lanes(nest))
                identity = self._function.constant(kind, _identity(statement))
                self._rows[statement] = self._function.allocate(kind, initial=identity)
            elif _is_in_memory(statement) and statement.reduced[0]:
                self._fill(statement.buffer, _identity(statement))

    def _end(self) -> None:
        """Finish what the whole kernel added to, and return the flags."""
        function = self._function
        found: list[Value] = []
        for nest, statement in self._reductions():
            found += self._finished(nest, statement)
        function.give(self._all_flags(found))

    def _all_flags(self, found: Sequence[Value]) -> Value:
        """Combine what was found in vectors with other flags."""
        function = self._function
        result = function.zero(INT64)
        for (flag, lanes), seen in self._flags.items():
            any_lane = function.reduce("or", function.load(Type("i1", lanes), seen))
            bit = function.select(any_lane, Value(str(flag), INT64), function.zero(INT64))
            result = function.binary("or", result, bit)
        for flag_bits in found:
            result = function.binary("or", result, flag_bits)
        return result

    def _finished(self, nest: Nest, statement: Reduce) -> Iterator[Value]:
        """Finish a sum that the whole kernel added to; give flags."""
        if _span(statement) == 0:
            self._close(statement, _Context([0] * len(nest.extents), 0))
        elif _is_in_memory(statement):
            if statement in self._rows:
                self._write_row(nest, statement)
            yield from self._look_at_memory(statement)

    def _sums_one_vector(self, nest: Nest, statement: Reduce) -> bool:
        """Whether rows of a vector's length or less are added up beside other work.

        Their sum stays in a register: a masked load cannot take what a masked store has just
        written without waiting.
        """
        return (
            not _sums_columns(nest)
            and statement.reduced == (True, False)
            and statement.strides == (0, 1)
            and nest.extents[-1] <= self._lanes(nest)
            and (nest.extents[-1] == self._lanes(nest) or self._processor.has_masks)
        )

    def _write_row(self, nest: Nest, statement: Reduce) -> None:
        """Write the sum of rows that were added up in a register."""
        place = self._rows[statement]
        lanes = self._lanes(nest)
        row = self._function.load(Type(_element(statement.buffer.dtype), lanes), place)
        self._write(row, statement, _Context([0, 0], lanes, _first_lanes(lanes, nest.extents[-1])))

    def _fill(
        self, buffer: Buffer, number: float, start: Value | int = 0, size: int | None = None
    ) -> None:
        """Write a number into a buffer, or a part of it."""
        function = self._function
        size = buffer.size if size is None else size
        element = memory_element(buffer.dtype)
        pointer = function.offset(self._pointer(buffer), element, start)
        if not number:
            self._module.declare(
                "llvm.memset.p0.i64", "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)"
            )
            count = size * buffer.dtype.itemsize
            function.do(f"call void @llvm.memset.p0.i64({pointer}, i8 0, i64 {count}, i1 false)")
            return
        with function.loop(size) as index:
            value = function.constant(Type(element), number)
            function.store(value, function.offset(pointer, element, index))

    def _fill_rows(self, nest: Nest, statement: Reduce, start: Value | int, count: int) -> None:
        """Write what changes nothing to the rows that a part of the outer loop adds up.

        Other parts may be under way, in other threads.
        """
        extents = [count, *nest.extents[1:]]
        kept = [loop for loop, reduced in enumerate(statement.reduced) if not reduced]

        def fill(indices: dict[int, Value | int]) -> None:
            rest = kept[len(indices) :]
            if not rest or (len(rest) == 1 and indices and statement.strides[rest[0]] == 1):
                each = [indices.get(loop, 0) for loop in range(len(extents))]
                place = _affine(self._function, self._start(statement), statement.strides, each)
                size = extents[rest[0]] if rest else 1
                self._fill(statement.buffer, _identity(statement), place, size)
                return
            first = 0 if indices else start
            end = self._plus(first, extents[rest[0]])
            with self._function.loop(end, start=first, is_run=True) as index:
                fill({**indices, rest[0]: index})

        if 0 not in extents:
            fill({})

    def _look_at_memory(self, statement: Reduce) -> Iterator[Value]:
        """Look for NaN, and for what is not finite, in sums that lie in memory."""
        buffer = statement.buffer
        if self._piece is not None or buffer.dtype.char not in "fd":
            return  # what pieces have added up is looked at when all are done
        wanted = []
        if statement.zero_safe:
            wanted.append(("uno", Flags.NAN))
        if buffer in self._finite:
            wanted.append(("not finite", Flags.NOT_FINITE))
        for what, flag in wanted:
            name = self._module.shared(
                partial(scan_function, self._module, buffer, self._processor, what, flag)
            )
            yield self._function.call(name, INT64, self._pointer(buffer))

    # Loops.

    def _nest(self, nest: Nest, start: Value | int, count: int) -> None:
        for statement in nest.statements:
            if isinstance(statement, Reduce) and _is_added_up_by_row(statement):
                self._fill_rows(nest, statement, start, count)
        if _sums_columns(nest) and len(nest.extents) == 2 and count > 1:
            self._column_sums(nest, [], start, count)
            return
        if nest.extents:
            self._level(nest, [], start, count)
            return
        context = _Context([], 0)
        for statement in nest.statements:
            self._statement(statement, context, 0)

    def _level(
        self, nest: Nest, indices: list[Value | int], start: Value | int, count: int
    ) -> None:
        """Write a loop of a nest and all within it."""
        level = len(indices)
        inside = [
            each
            for each in nest.statements
            if level and isinstance(each, Reduce) and _span(each) == level
        ]
        for statement in inside:
            self._open(nest, statement)
        if level == len(nest.extents) - 1:
            self._last_loop(nest, indices, start, count)
        elif level and level == len(nest.extents) - 2 and _sums_columns(nest) and count > 1:
            self._column_sums(nest, indices, 0, count)
        else:
            end = self._plus(start, count)
            with self._function.loop(end, start=start, is_run=count > 0) as index:
                self._level(nest, [*indices, index], 0, nest.extents[level + 1])
        rest: list[Value | int] = [0] * (len(nest.extents) - level)
        for statement in inside:
            self._close(statement, _Context([*indices, *rest], 0))

    def _last_loop(
        self, nest: Nest, indices: list[Value | int], start: Value | int, count: int
    ) -> None:
        """Write the last loop: whole vectors, and what is left."""
        function = self._function
        lanes = self._lanes(nest)
        step = max(lanes, 1)
        whole = count - count % step
        beside = self._beside(nest, whole // step)
        unrolled = beside or self._unrolled(nest, whole // step)
        groups = whole - whole % (step * unrolled)
        # The last vector may go beyond the end where it is the buffer's last, at its place.
        length = nest.extents[-1]
        ends = isinstance(start, int) and start + count == length and not (start + whole) % step
        last = length if ends else 0
        shared = self._shared_by_lanes(nest, [*indices, 0]) if lanes else {}

        def body(place: Value | int, lanes: int, part: int = 0, mask: Value | None = None) -> None:
            context = _Context([*indices, place], lanes, mask, last=last)
            if lanes:
                context.single = _Context(context.indices, 0, values=dict(shared))
            else:
                context.values.update(shared)
            for statement in nest.statements:
                self._statement(statement, context, part)

        def group(place: Value | int) -> None:
            if beside:
                body(place, lanes * beside)
            else:
                for part in range(unrolled):
                    body(self._plus(place, part * step), lanes, part)

        if groups == step * unrolled:
            group(start)
        elif groups:
            with function.loop(
                self._plus(start, groups), start=start, step=step * unrolled, is_run=True
            ) as index:
                group(index)
        for part, place in enumerate(range(groups, whole, step)):
            body(self._plus(start, place), lanes, part)
        left = count - whole
        if not left:
            return
        if self._processor.has_masks:
            body(self._plus(start, whole), lanes, mask=_first_lanes(lanes, left))
            return
        end = self._plus(start, count)
        with function.loop(end, start=self._plus(start, whole), is_run=True) as index:
            body(index, 0)

    def _column_sums(
        self, nest: Nest, outer: list[Value | int], start: Value | int, count: int
    ) -> None:
        """Add up rows with the sums in registers: some columns at a time, over all the rows."""
        step = max(self._lanes(nest), 1)
        columns = nest.extents[-1]
        each = max(MOST_SUMS // _number_of_sums(nest), 1)
        full = columns - columns % (step * each)
        if full == step * each:
            self._some_columns(nest, outer, 0, full, start, count)
        elif full:
            with self._function.loop(full, step=step * each) as place:
                self._some_columns(nest, outer, place, step * each, start, count)
        if full < columns:
            self._some_columns(nest, outer, full, columns - full, start, count)

    def _some_columns(
        self,
        nest: Nest,
        outer: list[Value | int],
        first: Value | int,
        width: int,
        start: Value | int,
        count: int,
    ) -> None:
        """Add up the rows of so many columns."""
        function, step = self._function, max(self._lanes(nest), 1)
        places = range(0, width, step)
        # Several sums of the same columns, where a single one would wait for itself.
        several = MOST_SUMS // (len(places) * _number_of_sums(nest))
        parts = min(max(several, 1), MOST_UNROLLED, count)
        reductions = [each for each in nest.statements if isinstance(each, Reduce)]
        sums: dict[tuple[Reduce, int, int], Value] = {}

        def contexts(row: Value | int) -> Iterator[tuple[int, _Context]]:
            shared = self._shared_by_lanes(nest, [*outer, row, first])
            for place in places:
                left = width - place
                lanes = step if left >= step or self._processor.has_masks else 0
                for lane in range(left if not lanes else 1):
                    mask = _first_lanes(lanes, left) if lanes > left else None
                    index = self._plus(first, place + lane)
                    context = _Context([*outer, row, index], lanes if step > 1 else 0, mask)
                    if context.lanes:
                        context.single = _Context(context.indices, 0, values=dict(shared))
                    else:
                        context.values.update(shared)
                    yield place + lane, context

        def add(row: Value | int, part: int) -> None:
            for place, context in contexts(row):
                for statement in nest.statements:
                    if not isinstance(statement, Reduce):
                        self._statement(statement, context, part)
                        continue
                    at = sums[statement, place, part]
                    kind = Type(_element(statement.buffer.dtype), context.lanes)
                    total = function.load(kind, at)
                    factors = _factors(statement)
                    if factors is not None:
                        left, right = (self._value(each, context) for each in factors)
                        total = function.multiply_add(left, right, total)
                    else:
                        value = self._value(statement.value, context)
                        total = self._combined(statement, total, value)
                    function.store(total, at)

        for place, context in contexts(0):
            for statement in reductions:
                kind = Type(_element(statement.buffer.dtype), context.lanes)
                known = Load(statement.buffer, statement.offset, statement.strides)
                for part in range(parts):
                    at = sums[statement, place, part] = function.allocate(kind)
                    before = (
                        function.constant(kind, _identity(statement))
                        if part
                        else self._loaded(known, context)
                    )
                    function.store(before, at)
        whole = count - count % parts
        if whole == parts:
            for part in range(parts):
                add(self._plus(start, part), part)
        else:
            with function.loop(
                self._plus(start, whole), start=start, step=parts, is_run=True
            ) as row:
                for part in range(parts):
                    add(self._plus(row, part), part)
        for part in range(count - whole):
            add(self._plus(start, whole + part), part)
        for place, context in contexts(0):
            for statement in reductions:
                kind = Type(_element(statement.buffer.dtype), context.lanes)
                totals = [function.load(kind, sums[statement, place, i]) for i in range(parts)]
                while len(totals) > 1:
                    pairs = zip(totals[::2], totals[1::2], strict=False)
                    odd = totals[-1:] if len(totals) % 2 else []
                    totals = [*(self._combined(statement, *pair) for pair in pairs), *odd]
                self._write(totals[0], statement, context)

    def _shared_by_lanes(self, nest: Nest, indices: list[Value | int]) -> dict[int, Value]:
        """Compute ahead of the last loop of a nest what is the same in all of it."""
        context = _Context(indices, 0)
        for expression in all_parts([each.value for each in nest.statements], self._varies):
            if not self._varies(expression) and not isinstance(expression, Number):
                self._value(expression, context)
        return context.values

    def _plus(self, index: Value | int, number: int) -> Value | int:
        if isinstance(index, int):
            return index + number
        return self._function.emit(INT64, f"add i64 {index.name}, {number}") if number else index

    def _lanes(self, nest: Nest) -> int:
        """Entries that the last loop of a nest takes at a time; 0 for single ones."""
        if not nest.extents or nest.extents[-1] < 2:
            return 0
        sizes = set()
        for statement in nest.statements:
            if isinstance(statement, Scatter) and not self._is_apart(nest, statement):
                return 0
            loads = [each.buffer for each in loads_of(statement) if each.strides[-1]]
            sizes |= {
                each.dtype.itemsize for each in (*loads, statement.buffer) if each.dtype.kind == "f"
            }
        lanes = self._processor.lanes(8 * max(min(sizes, default=8), 4))
        longest = nest.extents[-1].bit_length()
        if self._processor.has_masks:
            longest = (nest.extents[-1] - 1).bit_length()
            return min(lanes, 1 << longest)
        return min(lanes, 1 << (longest - 1))

    def _is_apart(self, nest: Nest, statement: Scatter) -> bool:
        """Whether what the last loop of a nest scatters comes to lie in order, and all apart."""
        return self._goes_along_rows(statement) and all(
            other is statement or other.buffer is not statement.buffer for other in nest.statements
        )

    def _unrolled(self, nest: Nest, vectors: int) -> int:
        """How many vectors are taken at a time, so that nothing waits for sums and jumps."""
        waits = any(isinstance(each, Reduce) and each.reduced[-1] for each in nest.statements)
        size = sum(_size(each.value) for each in nest.statements)
        if waits and vectors > 1:
            return min(4 if size <= 24 else 2, vectors) if size <= 80 else 1
        return 4 if size <= 16 and vectors >= 8 else 1

    def _beside(self, nest: Nest, vectors: int) -> int:
        """How many vectors are computed side by side, instruction by instruction; 0 for one.

        The instructions of a function wait for each other, and a processor holds only so many
        that wait: those of a few vectors, one after the other. LLVM makes of a vector that is too
        long for a register several that go side by side.
        """
        if vectors < BESIDE or not all(isinstance(each, Store) for each in nest.statements):
            return 0
        parts = all_parts(each.value for each in nest.statements)
        applied = (each.node.operation.name for each in parts if isinstance(each, Apply))
        return BESIDE if any(map(is_expensive, applied)) else 0

    # Statements.

    def _statement(self, statement: Statement, context: _Context, part: int) -> None:
        if isinstance(statement, Store):
            value = self._value(statement.value, context)
            context.stored[statement.buffer, statement.offset, statement.strides] = value
            if self._is_looked_at(statement.buffer):
                self._check_finite(value, context)
            self._write(value, statement, context)
        elif isinstance(statement, Scatter):
            self._scatter(statement, context)
        else:
            self._accumulate(statement, context, part)

    def _scatter(self, statement: Scatter, context: _Context) -> None:
        """Add to entries, or write them, at a place that is computed."""
        function, buffer = self._function, statement.buffer
        total = self._value(statement.value, context)
        pointer = self._selected(statement, context)
        if statement.adds:
            before = self._read(pointer, buffer, context)
            total = (
                function.binary("or", before, total)
                if buffer.dtype.kind == "b"
                else function.add(before, total)
            )
        if self._is_looked_at(buffer):
            self._check_finite(total, context)
        total = to_memory(function, total, buffer.dtype)
        if context.mask is not None:
            function.masked_store(total, pointer, context.mask)
        else:
            function.store(total, pointer)

    def _open(self, nest: Nest, statement: Reduce) -> None:
        """Set the accumulators of a reduction to what changes nothing."""
        function = self._function
        kind = Type(_element(statement.buffer.dtype), self._lanes(nest))
        if statement not in self._sums:
            self._sums[statement] = [
                *(function.allocate(kind) for _ in range(MOST_UNROLLED)),
                function.allocate(kind.scalar),
            ]
        *vectors, single = self._sums[statement]
        for place in vectors:
            function.store(function.constant(kind, _identity(statement)), place)
        function.store(function.constant(kind.scalar, _identity(statement)), single)
        self._kinds[statement] = kind

    def _is_looked_at(self, buffer: Buffer) -> bool:
        """Whether it is reported when what is stored there is not finite."""
        return buffer in self._finite

    def _accumulate(self, statement: Reduce, context: _Context, part: int) -> None:
        function = self._function
        in_registers = _span(statement) < len(statement.reduced)
        lanes = context.lanes if statement.strides else 0
        kind = Type(_element(statement.buffer.dtype), lanes)
        factors = _factors(statement) if in_registers else None
        if factors is not None:
            left, right = (
                self._only_where(context.mask, self._value(each, context), 0) for each in factors
            )
            place = self._sums[statement][part if lanes else -1]
            total = function.load(kind, place)
            function.store(function.multiply_add(left, right, total), place)
            return
        value = self._value(statement.value, context)
        if statement in self._rows:
            place = self._rows[statement]
            total = function.load(value.type, place)
            function.store(self._combined(statement, total, value), place)
            return
        if in_registers:
            value = self._only_where(context.mask, value, _identity(statement))
            place = self._sums[statement][part if lanes else -1]
            total = function.load(kind, place)
            function.store(self._combined(statement, total, value), place)
            return
        known = Load(statement.buffer, statement.offset, statement.strides)
        total = self._loaded(known, context)
        self._write(self._combined(statement, total, value), statement, context)

    def _close(self, statement: Reduce, context: _Context) -> None:
        """Combine the accumulators of a reduction and write the result."""
        function = self._function
        kind = self._kinds[statement]
        *vectors, single = self._sums[statement]
        totals = [function.load(kind, place) for place in vectors]
        while len(totals) > 1:
            totals = [
                self._combined(statement, *pair)
                for pair in zip(totals[::2], totals[1::2], strict=True)
            ]
        (result,) = totals
        if kind.lanes:
            result = function.reduce(_across(statement), result)
            result = self._combined(statement, result, function.load(kind.scalar, single))
        else:
            result = self._combined(statement, result, function.load(kind.scalar, single))
        if any(statement.reduced[: _span(statement)]):
            known = Load(statement.buffer, statement.offset, statement.strides)
            result = self._combined(statement, self._loaded(known, context), result)
        elif statement.buffer.dtype.char in "fd" and statement.buffer not in self._partial:
            if statement.zero_safe:
                self._flag(Flags.NAN, function.compare("uno", result, result), context)
            if statement.buffer in self._finite:
                self._check_finite(result, context)
        self._write(result, statement, context)

    def _combined(self, statement: Reduce, x: Value, y: Value) -> Value:
        return combined(self._function, statement, x, y)

    def _only_where(self, mask: Value | None, value: Value, other: float) -> Value:
        if mask is None:
            return value
        return self._function.select(mask, value, self._function.constant(value.type, other))

    def _check_finite(self, value: Value, context: _Context) -> None:
        if not value.type.is_floating:
            return
        function = self._function
        size = function.intrinsic("llvm.fabs", value)
        infinite = function.compare("uge", size, function.constant(value.type, math.inf))
        self._flag(Flags.NOT_FINITE, infinite, context)

    def _flag(self, flag: int, found: Value, context: _Context) -> None:
        """Remember that something was found in a lane that counts."""
        function = self._function
        if context.mask is not None and found.type.lanes:
            found = function.binary("and", found, context.mask)
        key = (flag, found.type.lanes)
        if key not in self._flags:
            self._flags[key] = function.allocate(found.type, initial=function.zero(found.type))
        before = function.load(found.type, self._flags[key])
        function.store(function.binary("or", before, found), self._flags[key])

    # Expressions.

    def _value(self, expression: Expression, context: _Context) -> Value:
        """Compute an expression, once for each context; what is the same in all lanes once."""
        if context.lanes and not self._varies(expression):
            if context.single is None:
                context.single = _Context(context.indices, 0)
            value = self._value(expression, context.single)
            return self._function.splat(value, context.lanes)
        known = context.values.get(id(expression))
        if known is None:
            known = context.values[id(expression)] = self._computed(expression, context)
        return known

    def _computed(self, expression: Expression, context: _Context) -> Value:
        function = self._function
        if isinstance(expression, Apply):
            args = [self._value(each, context) for each in expression.args]
            if not expression.zero_safe:
                calls = self._calls_operations and not context.lanes
                if calls and _depends_on_types(expression.node):
                    return self._called(expression.node, args)
                return emit_operation(function, expression.node, args)
            value = emit_unchecked_scale(function, expression.node, args)
            if value.type.is_floating:
                self._flag(Flags.NAN, function.compare("uno", value, value), context)
            return value
        if isinstance(expression, Number):
            element = _element(expression.dtype)
            return function.constant(Type(element, context.lanes), expression.value)
        if isinstance(expression, Load):
            return self._loaded(expression, context)
        if isinstance(expression, Count):
            return self._counted(expression, context, _element(expression.dtype))
        if isinstance(expression, OneHot):
            position = self._counted(expression.position, context, "i64")
            index = self._index(expression.index, expression.length, context)
            value = self._value(expression.value, context)
            here = function.compare("eq", position, index)
            return function.select(here, value, function.zero(value.type))
        return self._read(self._selected(expression, context), expression.buffer, context)

    def _called(self, node: Node, args: Sequence[Value]) -> Value:
        """Call an operation, whose instructions are many, as a function."""
        types = [_dtype_of(each) for each in (node, *node.inputs)]
        kind = Type(_element(types[0]))
        parameters = [(str(each.type), f"x{number}") for number, each in enumerate(args)]

        def write(name: str) -> Function:
            operation = Function(self._module, name, kind, parameters, "internal", "noinline")
            operation.give(emit_operation(operation, node, operation.parameters))
            return operation

        key = (node.operation.name, *map(str, types))
        return self._function.call(self._module.shared(write, key), kind, *args)

    def _loaded(self, load: Load, context: _Context) -> Value:
        """Read a buffer, or take what was just written."""
        stored = context.stored.get((load.buffer, load.offset, load.strides))
        if stored is not None:
            return stored
        if not context.lanes or load.strides[-1] == 1:
            pointer = self._first_address(load, context)
            return self._read(pointer, load.buffer, context, self._has_room(load, context))
        place = self._place(load, context, ())
        element = memory_element(load.buffer.dtype)
        pointer = self._function.offset(self._pointer(load.buffer), element, place)
        return self._read(pointer, load.buffer, context)

    def _first_address(self, access: Load | Store | Reduce, context: _Context) -> Value:
        """Compute where the first of all lanes is read or written."""
        place = _affine(
            self._function, self._start(access), access.strides, self._indices(access, context)
        )
        element = memory_element(access.buffer.dtype)
        return self._function.offset(self._pointer(access.buffer), element, place)

    def _indices(
        self, at: Load | Gathered | Store | Reduce | Scatter, context: _Context
    ) -> Sequence[Value | int]:
        """Give the indices of the loops, as an access counts them."""
        return context.indices

    def _has_room(self, access: Load | Store | Reduce, context: _Context) -> bool:
        """Whether the last vector may go beyond the end: a whole buffer that is padded.

        A masked load cannot take what a masked store has just written without waiting.
        """
        buffer = access.buffer
        home = buffer if buffer in self._partial else self._homes.get(buffer, buffer)
        return (
            context.mask is not None
            and access.strides == (1,)
            and not access.offset
            and context.last == buffer.size
            and not ALIGNMENT % (context.lanes * buffer.dtype.itemsize)
            and (home.origin is Origin.ARENA or home in self._padded)
        )

    def _read(
        self, pointer: Value, buffer: Buffer, context: _Context, has_room: bool = False
    ) -> Value:
        """Read at an address, or at several."""
        function = self._function
        kind = Type(memory_element(buffer.dtype), context.lanes)
        if pointer.type.lanes:
            mask = context.mask or function.constant(kind.of("i1"), 1)
            value = function.gather(kind, pointer, mask)
        elif context.mask is not None and not has_room:
            value = function.masked_load(kind, pointer, context.mask)
        else:
            value = function.load(kind, pointer)
        return from_memory(function, value, buffer.dtype)

    def _write(self, value: Value, statement: Store | Reduce, context: _Context) -> None:
        function = self._function
        buffer = statement.buffer
        element = memory_element(buffer.dtype)
        value = to_memory(function, value, buffer.dtype)
        if context.lanes and statement.strides[-1] != 1:
            place = self._place(statement, context, ())
            mask = context.mask or function.constant(value.type.of("i1"), 1)
            pointers = function.offset(self._pointer(buffer), element, place)
            function.scatter(value, pointers, mask)
            return
        pointer = self._first_address(statement, context)
        if context.mask is not None and not self._has_room(statement, context):
            function.masked_store(value, pointer, context.mask)
        else:
            function.store(value, pointer)

    def _place(
        self,
        at: Load | Gathered | Store | Reduce | Scatter,
        context: _Context,
        parts: Sequence[tuple[Expression, int, int]],
    ) -> Value | int:
        """Compute places in a buffer, one for each lane."""
        function = self._function
        place: Value | int = _affine(
            function, self._start(at), at.strides, self._indices(at, context)
        )
        if context.lanes:
            base = place if isinstance(place, Value) else Value(str(place), INT64)
            place = function.splat(base, context.lanes)
            if at.strides[-1]:
                counts = function.iota("i64", context.lanes)
                steps = function.constant(counts.type, at.strides[-1])
                place = function.binary("add", place, function.binary("mul", counts, steps))
        for expression, stride, length in parts:
            index = self._index(expression, length, context)
            term = function.binary("mul", index, function.constant(index.type, stride))
            if isinstance(place, int):
                place = function.constant(index.type, place)
            place = function.binary("add", place, term)
        return place

    def _selected(self, at: Gathered | Scatter, context: _Context) -> Value:
        """Compute where the entries of all lanes lie in order, or, of those that do not, each."""
        if context.lanes and self._goes_along_rows(at):
            if context.single is None:
                context.single = _Context(context.indices, 0)
            context = context.single
        place = self._place(at, context, at.parts)
        element = memory_element(at.buffer.dtype)
        return self._function.offset(self._pointer(at.buffer), element, place)

    def _goes_along_rows(self, at: Gathered | Scatter) -> bool:
        """Whether the last loop goes in order through what indices select."""
        return at.strides[-1] == 1 and not any(self._varies(index) for index, _, _ in at.parts)

    def _index(self, expression: Expression, length: int, context: _Context) -> Value:
        """Compute an index that is within an axis; report one that is not, and read entry 0."""
        function = self._function
        known = context.found.get((id(expression), length))
        if known is not None:
            return known
        dtype = _dtype(expression)
        index = self._value(expression, context)
        if dtype.itemsize < 8:
            index = function.cast("sext" if dtype.kind == "i" else "zext", index, "i64")
        size = function.constant(index.type, length)
        zero = function.zero(index.type)
        if dtype.kind == "i":
            from_end = function.compare("slt", index, zero)
            index = function.select(from_end, function.binary("add", index, size), index)
        outside = function.compare("uge", index, size)
        self._flag(Flags.INDEX, outside, context)
        index = context.found[id(expression), length] = function.select(outside, zero, index)
        return index

    def _counted(self, count: Count, context: _Context, element: str) -> Value:
        function = self._function
        place = _affine(function, count.offset, count.strides, context.indices)
        value = place if isinstance(place, Value) else Value(str(place), INT64)
        if context.lanes:
            value = function.splat(value, context.lanes)
            counts = function.iota("i64", context.lanes)
            steps = function.constant(counts.type, count.strides[-1])
            value = function.binary("add", value, function.binary("mul", counts, steps))
        return value if element == "i64" else function.cast("trunc", value, element)

    def _varies(self, expression: Expression) -> bool:
        """Whether an expression differs from lane to lane."""
        known = self._varying.get(id(expression))
        if known is None:
            own = isinstance(expression, (Load, Gathered, Count)) and expression.strides[-1] != 0
            if isinstance(expression, OneHot):
                own = expression.position.strides[-1] != 0
            known = own or any(self._varies(each) for each in parts_of(expression))
            self._varying[id(expression)] = known
        return known


class _NarrowEmitter(_KernelEmitter):
    """Writes the function of a kernel with rows in the lanes."""

    def __init__(self, *arguments: Any) -> None:
        *others, turned = arguments
        super().__init__(*others)
        self._turned: Narrow = turned
        self._nests = turned.nests
        self._memory: dict[Buffer, Value] = {}
        for buffer, tile in turned.tiles.items():
            self.starts |= {self._homes.get(buffer, buffer): 0, tile.buffer: 0}
        self._by_column: dict[int, bool] = {}

    def _lanes(self, nest: Nest) -> int:
        return self._turned.lanes

    def _block_size(self, outer: int) -> int:
        return self._turned.lanes

    def _pointer(self, buffer: Buffer) -> Value:
        return self._memory[buffer] if buffer in self._memory else super()._pointer(buffer)

    def _indices(
        self, at: Load | Gathered | Store | Reduce | Scatter, context: _Context
    ) -> Sequence[Value | int]:
        return [*context.indices[:-1], 0] if at.buffer in self._memory else context.indices

    def _has_room(self, access: Load | Store | Reduce, context: _Context) -> bool:
        return access.buffer in self._memory or super()._has_room(access, context)

    def _vectors(self, buffer: Buffer, count: int) -> Value:
        """Reserve space for vectors, which LLVM keeps in registers where it can."""
        entries = count * self._turned.lanes
        return self._function.allocate(Type(f"[{entries} x {memory_element(buffer.dtype)}]"))

    def _kind(self, buffer: Buffer) -> Type:
        return Type(_element(buffer.dtype), self._turned.lanes)

    # Rows.

    def _block(self, start: Value | int, count: int) -> None:
        """Take as many rows as there are lanes, or the last few."""
        tiles = self._turned.tiles
        self._memory = {
            each.buffer: self._vectors(each.buffer, each.columns) for each in tiles.values()
        }
        for buffer, tile in tiles.items():
            if tile.is_read:
                self._fill_tile(buffer, tile, start, count)
        mask = _first_lanes(self._turned.lanes, count)
        for nest in self._nests:
            if len(nest.extents) == 1:
                self._statements(nest, _Context([start], self._turned.lanes, mask))
            else:
                self._columns(nest, start, mask)
        for buffer, tile in tiles.items():
            if tile.is_written:
                self._write_tile(buffer, tile, start, count)

    def _columns(self, nest: Nest, start: Value | int, mask: Value | None) -> None:
        """Go through the columns of some rows."""
        function, lanes = self._function, self._turned.lanes
        within = [
            each
            for each in nest.statements
            if isinstance(each, Reduce) and each.reduced == (True, False)
        ]
        for statement in within:
            kind = self._kind(statement.buffer)
            place = self._rows[statement] = function.allocate(kind)
            function.store(function.constant(kind, _identity(statement)), place)
        common = self._common_to_columns(nest, _Context([0, start], lanes, mask))

        def body(column: Value | int) -> None:
            context = _Context([column, start], lanes, mask, dict(common.values))
            context.found |= common.found
            if common.single is not None:
                context.single = _Context(context.indices, 0, values=dict(common.single.values))
            self._statements(nest, context)

        columns = nest.extents[0]
        if columns <= MOST_COLUMNS_WRITTEN_OUT:
            for column in range(columns):
                body(column)
        else:
            with function.loop(columns) as index:
                body(index)
        for statement in within:
            context = _Context([0, start], lanes, mask)
            result = function.load(self._kind(statement.buffer), self._rows[statement])
            if statement.buffer.dtype.char in "fd":
                if statement.zero_safe:
                    self._flag(Flags.NAN, function.compare("uno", result, result), context)
                if self._is_looked_at(statement.buffer):
                    self._check_finite(result, context)
            self._write(result, statement, context)

    def _statements(self, nest: Nest, context: _Context) -> None:
        for statement in nest.statements:
            self._statement(statement, context, 0)

    def _common_to_columns(self, nest: Nest, context: _Context) -> _Context:
        """Compute ahead of the columns what they have in common."""
        differs = self._differs_by_column
        for expression in all_parts([each.value for each in nest.statements], differs):
            if not differs(expression):
                if not isinstance(expression, Number):
                    self._value(expression, context)
            elif isinstance(expression, OneHot) and not differs(expression.index):
                self._index(expression.index, expression.length, context)
        return context

    def _differs_by_column(self, expression: Expression) -> bool:
        known = self._by_column.get(id(expression))
        if known is None:
            own = isinstance(expression, (Load, Gathered, Count)) and expression.strides[0] != 0
            if isinstance(expression, OneHot):
                own = expression.position.strides[0] != 0
            known = own or any(self._differs_by_column(each) for each in parts_of(expression))
            self._by_column[id(expression)] = known
        return known

    # Sums: within rows, over the rows, and over everything.

    def _begin(self) -> None:
        function = self._function
        for nest, statement in self._reductions():
            if all(statement.reduced):
                self._open(nest, statement)
            elif not statement.reduced[0]:
                kind, columns = self._kind(statement.buffer), nest.extents[0]
                identity = function.constant(kind, _identity(statement))
                place = self._rows[statement] = self._vectors(statement.buffer, columns)
                for column in range(columns):
                    function.store(identity, function.offset(place, str(kind), column))

    def _accumulate(self, statement: Reduce, context: _Context, part: int) -> None:
        if all(statement.reduced):
            super()._accumulate(statement, context, part)
            return
        function, place = self._function, self._rows[statement]
        mask = None
        if not statement.reduced[0]:
            place = function.offset(place, str(self._kind(statement.buffer)), context.indices[0])
            mask = context.mask
        total = function.load(self._kind(statement.buffer), place)
        factors = _factors(statement)
        if factors is not None:
            left, right = (self._only_where(mask, self._value(x, context), 0) for x in factors)
            total = function.multiply_add(left, right, total)
        else:
            value = self._only_where(
                mask, self._value(statement.value, context), _identity(statement)
            )
            total = self._combined(statement, total, value)
        function.store(total, place)

    def _finished(self, nest: Nest, statement: Reduce) -> Iterator[Value]:
        if all(statement.reduced):
            yield from super()._finished(nest, statement)
        elif not statement.reduced[0]:
            function, kind = self._function, self._kind(statement.buffer)
            for column in range(nest.extents[0]):
                place = function.offset(self._rows[statement], str(kind), column)
                total = function.reduce(_across(statement), function.load(kind, place))
                self._write(total, statement, _Context([column, 0], 0))
            yield from self._look_at_memory(statement)

    def _is_looked_at(self, buffer: Buffer) -> bool:
        tiles = self._turned.tiles
        return super()._is_looked_at(buffer) or any(
            tile.buffer is buffer and each in self._finite for each, tile in tiles.items()
        )

    # Tiles.

    def _fill_tile(self, buffer: Buffer, tile: Tile, start: Value | int, count: int) -> None:
        """Read some rows."""
        function, kind = self._function, self._kind(buffer)
        for column, vector in enumerate(self._read_rows(buffer, tile.columns, start, count)):
            place = function.offset(self._memory[tile.buffer], str(kind), column)
            function.store(vector, place)

    def _address(
        self, buffer: Buffer, entry: Value | int, start: Value | int, columns: int
    ) -> Value:
        """Find an entry after the beginning of a row."""
        function = self._function
        place = _affine(function, 0, [columns, 1], [start, entry])
        return function.offset(self._pointer(buffer), memory_element(buffer.dtype), place)

    def _read_rows(
        self, buffer: Buffer, columns: int, start: Value | int, count: int
    ) -> Sequence[Value]:
        function, kind = self._function, self._kind(buffer)
        lanes = kind.lanes
        if columns <= MOST_SHUFFLED and count == lanes:
            vectors = [
                function.load(kind, self._address(buffer, number * lanes, start, columns))
                for number in range(columns)
            ]
            return [
                _picked(function, vectors, range(column, columns * lanes, columns))
                for column in range(columns)
            ]
        result: list[Value] = []
        for first in range(0, columns, lanes):
            mask = _first_lanes(lanes, min(columns - first, lanes))
            rows = []
            for row in range(count):
                place = self._address(buffer, row * columns + first, start, columns)
                rows.append(
                    function.load(kind, place)
                    if mask is None
                    else function.masked_load(kind, place, mask)
                )
            rows += [function.zero(kind)] * (lanes - count)
            result += transposed(function, rows)
        return result[:columns]

    def _write_tile(self, buffer: Buffer, tile: Tile, start: Value | int, count: int) -> None:
        """Write some rows."""
        function, kind, columns = self._function, self._kind(buffer), tile.columns
        lanes = kind.lanes
        vectors = [
            function.load(kind, function.offset(self._memory[tile.buffer], str(kind), column))
            for column in range(columns)
        ]
        if columns <= MOST_SHUFFLED and count == lanes:
            for number in range(columns):
                entries = range(number * lanes, (number + 1) * lanes)
                order = [entry % columns * lanes + entry // columns for entry in entries]
                place = self._address(buffer, number * lanes, start, columns)
                function.store(_picked(function, vectors, order), place)
            return
        for first in range(0, columns, lanes):
            group = vectors[first : first + lanes]
            group += [function.zero(kind)] * (lanes - len(group))
            mask = _first_lanes(lanes, min(columns - first, lanes))
            for row, vector in enumerate(transposed(function, group)[:count]):
                place = self._address(buffer, row * columns + first, start, columns)
                if mask is None:
                    function.store(vector, place)
                else:
                    function.masked_store(vector, place, mask)


class _FinishEmitter(_KernelEmitter):
    """Writes what is made of the entries of a product, tile by tile, within its function."""

    def __init__(self, *arguments: Any) -> None:
        *others, item, axis, is_noticed = arguments
        super().__init__(*others)
        self._item: MatrixProduct = item
        self._axis: str | None = axis
        self._looks_for_nan = item.zero_safe and not is_noticed
        self.key: Hashable = self._what_is_done()
        self.buffers.remove(item.result)
        own = [
            each
            for each, buffer in zip(self._parameters, self._names, strict=True)
            if buffer is not item.result
        ]
        self.parameters: Sequence[tuple[str, str]] = (
            own if axis is None else [*own, ("i64", "first")]
        )
        self._given: dict[Buffer, Value] = {}
        self._corner: list[Value | int] = [0, 0]
        self._addresses: dict[tuple[Buffer, int, tuple[int, ...]], Value] = {}
        self._common: dict[int, Value] = {}
        self._in_rows: dict[int, _Context] = {}
        self._found: dict[tuple[int, int], Value] = {}

    def _what_is_done(self) -> Hashable:
        """Describe all that the code depends on."""
        text, buffers = anonymous(self._kernel.nests[0])
        homes = [self._homes.get(each, each) for each in buffers]
        places = tuple(
            (homes.index(home), home.origin, home in self._padded, buffer in self._finite)
            for buffer, home in zip(buffers, homes, strict=True)
        )
        own = buffers.index(self._item.result)
        return text, places, own, self._axis, self._looks_for_nan

    def begin(self, function: Function, given: Sequence[Value]) -> None:
        """Begin the function, whose arguments are the buffers, and where a piece begins."""
        self._function = function
        self._given = dict(zip(self.buffers, given, strict=False))
        self._first = given[-1]

    def begin_tile(self, row: Value | int, column: Value | int, extents: tuple[int, int]) -> None:
        """Begin a tile; nothing that was computed for another is of use."""
        function = self._function
        if self._axis == "rows":
            row = function.add(self._first, _as_value(row))
        elif self._axis == "columns":
            column = function.add(self._first, _as_value(column))
        self._corner = [row, column]
        self._addresses, self._common, self._in_rows, self._found = {}, {}, {}, {}
        if self._processor.asks_ahead:
            self._ask_ahead(*extents)

    def _ask_ahead(self, rows: int, columns: int) -> None:
        """Have what a tile reads at its end brought from memory while it is computed."""
        statements = self._kernel.nests[0].statements
        in_registers = {self._item.result, *(each.buffer for each in statements)}
        for load in all_parts(each.value for each in statements):
            if isinstance(load, Load) and load.buffer not in in_registers and all(load.strides):
                line = ALIGNMENT // load.buffer.dtype.itemsize
                for row in range(rows):
                    for column in range(0, columns, line):
                        context = _Context([row, column], 0)
                        prefetch(self._function, self._first_address(load, context))

    def take(self, row: int, column: int, vector: Value, active: int) -> None:
        """Make of the first entries of a vector what is to be made of them."""
        finish = self._kernel.nests[0]
        lanes = vector.type.lanes
        context = _Context([row, column], lanes, _first_lanes(lanes, active) if lanes else None)
        context.single = self._in_row(row)
        if not lanes:
            context.values = dict(context.single.values)
        context.stored[self._item.result, 0, (finish.extents[1], 1)] = vector
        if self._looks_for_nan:
            self._flag(Flags.NAN, self._function.compare("uno", vector, vector), context)
        for statement in finish.statements:
            self._statement(statement, context, 0)

    def end_tile(self) -> None:
        """Remember what was found in a tile."""
        for (flag, lanes), found in self._found.items():
            super()._flag(flag, found, _Context([], lanes))

    def flags(self) -> Value:
        """Compute the flags of all tiles."""
        return self._all_flags([])

    def _flag(self, flag: int, found: Value, context: _Context) -> None:
        function = self._function
        if context.mask is not None and found.type.lanes:
            found = function.binary("and", found, context.mask)
        before = self._found.get((flag, found.type.lanes))
        self._found[flag, found.type.lanes] = (
            found if before is None else function.binary("or", before, found)
        )

    def _in_row(self, row: int) -> _Context:
        """Make what is the same in all lanes of a row, and first in all of the tile, once."""
        if not self._in_rows:
            context = _Context([0, 0], 0)
            for part in all_parts(each.value for each in self._kernel.nests[0].statements):
                if not isinstance(part, Number) and self._is_fixed(part):
                    self._value(part, context)
            self._common = context.values
        if row not in self._in_rows:
            self._in_rows[row] = _Context([row, 0], 0, values=dict(self._common))
        return self._in_rows[row]

    def _is_fixed(self, expression: Expression) -> bool:
        """Whether an expression is the same for all entries."""
        return not any(
            isinstance(each, Load) and any(each.strides) for each in all_parts([expression])
        )

    def _pointer(self, buffer: Buffer) -> Value:
        return self._given[self._homes.get(buffer, buffer)]

    def _first_address(self, access: Load | Store | Reduce, context: _Context) -> Value:
        """Find a place from where the access has the first entry of the tile."""
        function, strides = self._function, access.strides
        element = memory_element(access.buffer.dtype)
        key = (self._homes.get(access.buffer, access.buffer), access.offset, strides)
        corner = self._addresses.get(key)
        if corner is None:
            place = _affine(function, self._start(access), strides, self._corner)
            corner = function.offset(self._pointer(access.buffer), element, place)
            self._addresses[key] = corner
        return function.offset(corner, element, _affine(function, 0, strides, context.indices))


def _as_value(index: Value | int) -> Value:
    return index if isinstance(index, Value) else Value(str(index), INT64)


def _picked(function: Function, vectors: Sequence[Value], entries: Sequence[int]) -> Value:
    """Make a vector of entries of several, counted through all of them."""
    lanes = vectors[0].type.lanes
    result = shuffled(function, vectors[0], None, [each if each < lanes else 0 for each in entries])
    for number, vector in enumerate(vectors[1:], 1):
        order = [
            lanes + each % lanes if each // lanes == number else lane
            for lane, each in enumerate(entries)
        ]
        if order != list(range(lanes)):
            result = shuffled(function, result, vector, order)
    return result


def _private(program: Program) -> frozenset[Buffer]:
    """Find what is read by no item but the kernel that writes it."""
    seen: dict[Buffer, int] = {}
    several: set[Buffer] = set()
    for number, item in enumerate(program.items):
        for buffer in (*buffers_written(item), *buffers_read(item)):
            if seen.setdefault(buffer, number) != number:
                several.add(buffer)
    return frozenset(each for each in seen if each.origin is Origin.ARENA and each not in several)


def _statements_without_loops(program: Program) -> int:
    """Count what is written out statement by statement."""
    return sum(
        len(nest.statements)
        for item in program.items
        if isinstance(item, Kernel) and not item.outer
        for nest in item.nests
    )


def _depends_on_types(node: Node) -> bool:
    """Whether an operation takes many instructions, and its inputs' types alone say which."""
    return (
        is_expensive(node.operation.name)
        and not node.static
        and not any(isinstance(each.operation, Constant) for each in node.inputs)
        and not any(isinstance(each.type, ArrayType) and each.type.weak for each in node.inputs)
    )


def _dtype_of(node: Node) -> np.dtype[Any]:
    assert isinstance(node.type, ArrayType)
    return node.type.dtype


def _element(dtype: np.dtype[Any]) -> str:
    element = register_element(dtype)
    assert element is not None
    return element


def _dtype(expression: Expression) -> np.dtype[Any]:
    """Give the dtype of an expression's value."""
    if isinstance(expression, Apply):
        assert isinstance(expression.node.type, ArrayType)
        return expression.node.type.dtype
    if isinstance(expression, (Load, Gathered)):
        return expression.buffer.dtype
    return expression.dtype


def _first_lanes(lanes: int, count: int) -> Value | None:
    """Make the mask of the first lanes; None for all."""
    if count == lanes:
        return None
    bits = ", ".join(f"i1 {str(lane < count).lower()}" for lane in range(lanes))
    return Value(f"<{bits}>", Type("i1", lanes))


def _sums_columns(nest: Nest) -> bool:
    """Whether the last two loops of a nest add up rows of what they may store as well."""
    reduced = (*[False] * (len(nest.extents) - 2), True, False)
    return (
        len(nest.extents) >= 2
        and _number_of_sums(nest) > 0
        and all(
            each.reduced == reduced and each.strides[-2:] == (0, 1)
            if isinstance(each, Reduce)
            else isinstance(each, Store) and each.strides[-1] == 1
            for each in nest.statements
        )
    )


def _number_of_sums(nest: Nest) -> int:
    return sum(isinstance(each, Reduce) for each in nest.statements)


def _span(statement: Reduce) -> int:
    """Give the outermost loop from which on all loops are reduced."""
    span = len(statement.reduced)
    while span and statement.reduced[span - 1]:
        span -= 1
    return span


def _is_in_memory(statement: Reduce) -> bool:
    """Whether a reduction adds to its result in memory."""
    span = _span(statement)
    return span == len(statement.reduced) or any(statement.reduced[:span])


def _is_added_up_by_row(statement: Reduce) -> bool:
    """Whether a reduction adds to its result in memory, by each setting of the outer loop apart."""
    return bool(statement.reduced) and not statement.reduced[0] and _is_in_memory(statement)


def _identity(statement: Reduce) -> float:
    """Give the number that changes nothing."""
    dtype = statement.buffer.dtype
    if statement.operation in ("sum", "any"):
        return 0
    if statement.operation in ("prod", "all"):
        return 1
    lowest = statement.operation == "max"
    if dtype.kind == "f":
        return -math.inf if lowest else math.inf
    if dtype.kind == "b":
        return 0 if lowest else 1
    limits = np.iinfo(dtype)
    return int(limits.min if lowest else limits.max)


def _across(statement: Reduce) -> str:
    """Name the operation that combines the lanes of a vector."""
    kind = statement.buffer.dtype.kind
    if statement.operation in ("sum", "prod"):
        return "add" if statement.operation == "sum" else "mul"
    if statement.operation in ("any", "all") or kind == "b":
        return "or" if statement.operation in ("any", "max") else "and"
    largest = statement.operation == "max"
    if kind == "f":
        return statement.operation
    return ("s" if kind == "i" else "u") + ("max" if largest else "min")


def _factors(statement: Reduce) -> tuple[Expression, Expression] | None:
    """Give the factors of a sum of products, which are multiplied and added at once."""
    value = statement.value
    if statement.operation != "sum" or not isinstance(value, Apply):
        return None
    name = value.node.operation.name
    if name != "multiply" and not (name == "scale" and value.zero_safe and statement.zero_safe):
        return None
    dtype = statement.buffer.dtype
    if (
        dtype.char not in "fd"
        or _dtype(value) != dtype
        or any(_dtype(each) != dtype for each in value.args)
    ):
        return None
    left, right = value.args
    return left, right


def _size(expression: Expression) -> int:
    """Count what an expression consists of."""
    return 1 + sum(_size(each) for each in parts_of(expression))
