"""The training loop as one native function: batches, steps, losses, with no Python between them.

Control returns after as many steps as were asked for, or when a step could not be taken: the
caller then goes back to where the steps began, and decides.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.engines.native.assembly import DOUBLE, INT64, POINTER, Module, Type, Value
from steepest.engines.native.emit import CALLBACK, callbacks_of, emit_program, table_of
from steepest.engines.native.formulas import rewrite_formulas
from steepest.engines.native.fuse import fuse
from steepest.engines.native.in_place import written_in_place
from steepest.engines.native.layout import ALIGNMENT, lay_out
from steepest.engines.native.listing import listing, outline
from steepest.engines.native.loops import Buffer, Callback, Origin, Program
from steepest.engines.native.operations import memory_element
from steepest.engines.native.processor import Processor, host_processor
from steepest.engines.native.program import Callbacks, aligned_copy, aligned_empty, compiled
from steepest.engines.native.simplify import simplify
from steepest.graph import Graph

__all__ = ["NativeLoop", "StepGraph"]

PREFETCHED = 256
"""Bytes of a row from which on the rows after it are asked for ahead."""
ROWS_AHEAD = 2
"""How many rows ahead."""

_RUN = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 6, *[ctypes.c_int64] * 2)


@dataclass(frozen=True, slots=True)
class StepGraph:
    """One step of training as a graph, and what its inputs and outputs are.

    Attributes
    ----------
    graph : Graph
    changing : frozenset of int
        The ids of captured arrays whose contents may change between runs.
    carried : tuple of (int, int)
        For each weight, and each part of the optimizer's state: its positions among the inputs
        and among the outputs; -1 for what stays as it is.
    finite : frozenset of int
        Positions of the outputs that must be finite: the loss and the weights.
    batch : tuple of int
        Positions of the batch's arrays among the inputs.
    step_size, step : int
        Their positions among the inputs.
    loss : int
        Its position among the outputs.
    """

    graph: Graph
    changing: frozenset[int]
    carried: tuple[tuple[int, int], ...]
    finite: frozenset[int]
    batch: tuple[int, ...]
    step_size: int
    step: int
    loss: int


class NativeLoop:
    """Steps of training that run natively.

    Parameters
    ----------
    steps : sequence of StepGraph
        For a whole batch, and for the smaller one at the end of an epoch where there is one.
    carried : sequence of ndarray
        The first weights and state.
    data : sequence of ndarray
        Arrays whose rows batches are made of; or, where each batch is all of them, the batch.
    batch_sizes : sequence of int
        Rows of each kind of batch; none where all rows are taken in order.
    rows_per_epoch : int
        How many places of the order make an epoch.
    """

    def __init__(
        self,
        steps: Sequence[StepGraph],
        carried: Sequence[NDArray[Any]],
        data: Sequence[NDArray[Any]],
        batch_sizes: Sequence[int],
        rows_per_epoch: int,
    ) -> None:
        self._steps = steps
        self._batch_sizes = batch_sizes
        self._rows_per_epoch = rows_per_epoch
        self.carried = [aligned_copy(each) for each in carried]
        self._slots = aligned_empty(32)
        self._slots[:] = 0
        self._numbers = self._slots.view(np.float64)  # step size, step
        self._counts = self._slots.view(np.int64)  # from the third on: steps taken, flags
        self._data = [np.ascontiguousarray(each) for each in data]
        self.is_careful = False
        self._prepare(careful=False)

    def _prepare(self, careful: bool) -> None:
        """Compile the loop."""
        processor = host_processor()
        self._kept: list[NDArray[Any]] = []
        self._tables: list[NDArray[np.uintp]] = []
        kinds = []
        callbacks: list[tuple[Program, Callback]] = []
        size = 0
        for number, step in enumerate(self._steps):
            graph = simplify(rewrite_formulas(step.graph), step.changing)
            program = fuse(graph, step.changing, careful=careful)
            size = max(size, lay_out(program))
            homes = written_in_place(program, step.carried)
            rows = self._batch_sizes[number] if self._batch_sizes else 0
            kind = _StepKind(f"step{number}", step, program, homes, rows, len(callbacks))
            kinds.append(kind)
            callbacks += [(program, each) for each in callbacks_of(program)]
            self._tables.append(self._table(kind))
        self._program = kinds[0].program
        widths = [array.nbytes // len(array) for array in self._data]
        self._callbacks = Callbacks(callbacks)
        self._loaded, self._alone = compiled(
            "\n".join([f"loop over {widths}, {self._rows_per_epoch}", *map(str, kinds)]),
            lambda: _module(kinds, widths, self._rows_per_epoch, processor),
            {CALLBACK: self._callbacks.address},
            processor,
        )
        self._run = _RUN(self._loaded.address("train"))
        self._arena = aligned_empty(size)
        self._addresses = np.array(
            [each.ctypes.data for each in (*self._tables, *self._data)], np.uintp
        )

    def _table(self, kind: _StepKind) -> NDArray[np.uintp]:
        """Make the addresses that a step's program reads and writes at."""
        step, program = kind.step, kind.program
        places = table_of(program)
        table = np.zeros(len(places), np.uintp)

        def put(buffer: Buffer, array: NDArray[Any]) -> None:
            self._kept.append(array)
            table[places[buffer]] = array.ctypes.data

        for buffer in (*program.inputs, *program.outputs):
            put(buffer, aligned_empty(buffer.bytes))
        for array, (before, after) in zip(self.carried, step.carried, strict=True):
            put(program.inputs[before], array)
            if after >= 0 and program.outputs[after] in kind.homes:
                put(program.outputs[after], array)
        if kind.rows < 2:
            for position, array in zip(step.batch, self._data, strict=True):
                put(program.inputs[position], array)
        for buffer in program.buffers:
            if buffer.origin is Origin.CONSTANT:
                put(buffer, program.constants[buffer.position])
        put(program.inputs[step.step_size], self._numbers[:1])
        put(program.inputs[step.step], self._numbers[1:2])
        return table

    @property
    def taken(self) -> int:
        """The number of steps taken; native code counts it up."""
        return int(self._counts[2])

    @property
    def failed(self) -> bool:
        """Whether the last run ended in the middle of a step, so that `carried` is of no use."""
        return bool(self._counts[3])

    def copies(self) -> list[NDArray[Any]]:
        """Copy the weights and the state."""
        return [each.copy() for each in self.carried]

    def put(self, values: Sequence[Any], taken: int) -> None:
        """Go on from other weights and another state."""
        for place, value in zip(self.carried, values, strict=True):
            place[...] = value
        self._counts[2:] = taken, 0

    def __str__(self) -> str:
        return outline(self._program)

    def be_careful(self) -> None:
        """Compute from now on with care for NaN in products with zeros."""
        self.is_careful = True
        self._prepare(careful=True)

    def run(
        self,
        order: NDArray[np.int64] | None,
        first: int,
        sizes: NDArray[np.float64],
        losses: NDArray[np.float64],
    ) -> int:
        """Take as many steps as there are step sizes.

        Parameters
        ----------
        order : ndarray of int64 or None
            Which rows make the batches, one epoch after another.
        first : int
            The first step's place, counted in steps from the beginning of the order.
        sizes : ndarray of float64
            The size of each step.
        losses : ndarray of float64
            The loss of each step is written here.

        Returns
        -------
        int
            0 when all steps were taken, else `Flags` that say why the one after the last was not.
        """
        with self._alone(), self._callbacks.errors() as errors:
            flags: int = self._run(
                self._arena.ctypes.data,
                self._addresses.ctypes.data,
                None if order is None else order.ctypes.data,
                sizes.ctypes.data,
                losses.ctypes.data,
                self._slots.ctypes.data,
                first,
                len(sizes),
            )
        if errors and not isinstance(errors[0], Exception):
            raise errors[0]  # the user wants to stop
        return flags


@dataclass(frozen=True, slots=True)
class _StepKind:
    """A step for batches of some size, as a program.

    Attributes
    ----------
    rows : int
        Rows of the batch; 0 where it is all rows, in order.
    first_callback : int
    """

    name: str
    step: StepGraph
    program: Program
    homes: dict[Buffer, Buffer]
    rows: int
    first_callback: int

    def __str__(self) -> str:
        step = self.step
        homes = [(new.position, old.position) for new, old in self.homes.items()]
        parts = (
            step.carried,
            sorted(step.finite),
            step.batch,
            step.step_size,
            step.step,
            step.loss,
        )
        return f"{self.name} {self.rows} {self.first_callback} {homes} {parts}\n" + listing(
            self.program
        )


def _module(
    kinds: Sequence[_StepKind], widths: Sequence[int], rows_per_epoch: int, processor: Processor
) -> Module:
    """Write the steps and the loop over them."""
    module = Module(processor.function_attributes)
    for kind in kinds:
        step, program = kind.step, kind.program
        emit_program(
            module,
            program,
            processor,
            kind.name,
            finite=[program.outputs[position] for position in step.finite],
            homes=kind.homes,
            first_callback=kind.first_callback,
            moving=[program.inputs[position] for position in step.batch] if kind.rows == 1 else [],
            padded=[*(program.inputs[before] for before, _ in step.carried), *program.outputs],
            linkage="internal",
        )
    _LoopEmitter(module, kinds, widths, rows_per_epoch).emit()
    return module


class _LoopEmitter:
    """Writes the function that goes from step to step."""

    def __init__(
        self,
        module: Module,
        kinds: Sequence[_StepKind],
        widths: Sequence[int],
        rows_per_epoch: int,
    ) -> None:
        self._kinds = kinds
        self._widths = widths
        self._rows_per_epoch = rows_per_epoch
        self._module = module
        names = ("arena", "tables", "order", "sizes", "losses", "slots")
        self._function = module.function(
            "train",
            INT64,
            [
                *(
                    ("ptr noalias" if name in ("arena", "losses") else "ptr", name)
                    for name in names
                ),
                ("i64", "first"),
                ("i64", "count"),
            ],
        )

    def emit(self) -> None:
        """Write the function."""
        function = self._function
        arena, tables, order, sizes, losses, slots, first, count = function.parameters
        del arena
        step_slot, taken_slot = (function.offset(slots, "i64", place) for place in (1, 2))
        each_table = [
            function.load(POINTER, function.offset(tables, "ptr", number))
            for number in range(len(self._kinds))
        ]
        with function.loop(count) as index:
            size = function.load(DOUBLE, function.offset(sizes, "double", index))
            function.store(size, slots)
            taken = function.load(INT64, taken_slot)
            function.store(function.cast("sitofp", taken, "double"), step_slot)
            loss_place = function.offset(losses, "double", index)
            done = function.label("taken")
            place = function.add(first, index)
            if len(self._kinds) == 1:
                self._step(self._kinds[0], each_table[0], order, place, loss_place)
                function.jump(done)
            else:
                whole, partial = self._kinds
                steps = -(-self._rows_per_epoch // whole.rows)
                length = Value(str(steps), INT64)
                within = function.binary("urem", place, length)
                last = function.compare("eq", within, Value(str(steps - 1), INT64))
                labels = [function.label("whole"), function.label("partial")]
                function.branch(last, labels[1], labels[0])
                for kind, table, label in zip((whole, partial), each_table, labels, strict=True):
                    function.begin_block(label)
                    self._step(kind, table, order, place, loss_place)
                    function.jump(done)
            function.begin_block(done)
            function.store(function.add(taken, Value("1", INT64)), taken_slot)
        function.give(function.zero(INT64))

    def _step(
        self, kind: _StepKind, table: Value, order: Value, place: Value, loss_place: Value
    ) -> None:
        """Make the batch, take the step, record the loss."""
        function = self._function
        program, step = kind.program, kind.step
        places = table_of(program)
        if kind.rows:
            self._make_batch(kind, table, order, place, places)
        flags = function.call(kind.name, INT64, function.parameters[0], table)
        loss = program.outputs[step.loss]
        home = function.load(POINTER, function.offset(table, "ptr", places[loss]))
        value = function.load(Type(memory_element(loss.dtype)), home)
        if loss.dtype.itemsize < 8:
            value = function.cast("fpext", value, "double")
        function.store(value, loss_place)
        failed = function.compare("ne", flags, function.zero(INT64))
        with function.when(failed, returns=True):
            function.store(flags, function.offset(function.parameters[5], "i64", 3))
            function.give(flags)
        for before, after in step.carried:
            old, new = program.inputs[before], program.outputs[after]
            if after >= 0 and new not in kind.homes:
                source, target = (
                    function.load(POINTER, function.offset(table, "ptr", places[each]))
                    for each in (new, old)
                )
                self._copy(target, source, old.bytes)

    def _make_batch(
        self,
        kind: _StepKind,
        table: Value,
        order: Value,
        place: Value,
        places: dict[Buffer, int],
    ) -> None:
        """Copy the rows of a batch to where the step reads it; point to a single one."""
        function = self._function
        whole = self._kinds[0].rows
        steps = -(-self._rows_per_epoch // whole)
        length = Value(str(steps), INT64)
        epoch = function.binary("udiv", place, length)
        within = function.binary("urem", place, length)
        start = function.add(
            function.multiply(epoch, Value(str(self._rows_per_epoch), INT64)),
            function.multiply(within, Value(str(whole), INT64)),
        )
        rows = function.offset(order, "i64", start)
        for number, (position, width) in enumerate(zip(kind.step.batch, self._widths, strict=True)):
            buffer = kind.program.inputs[position]
            slot = function.offset(table, "ptr", places[buffer])
            base = function.load(
                POINTER, function.offset(function.parameters[1], "ptr", len(self._kinds) + number)
            )
            if kind.rows == 1:
                row = function.load(INT64, rows)
                offset = function.multiply(row, Value(str(width), INT64))
                function.store(function.offset(base, "i8", offset), slot)
                continue
            target = function.load(POINTER, slot)
            with function.loop(kind.rows) as index:
                row = function.load(INT64, function.offset(rows, "i64", index))
                source = function.offset(
                    base, "i8", function.multiply(row, Value(str(width), INT64))
                )
                room = function.offset(
                    target, "i8", function.multiply(index, Value(str(width), INT64))
                )
                if width < PREFETCHED:
                    self._copy(room, source, width)
                    continue
                ahead = function.add(index, Value(str(ROWS_AHEAD), INT64))
                last = Value(str(kind.rows - 1), INT64)
                ahead = function.intrinsic("llvm.smin", ahead, last)
                later = function.load(INT64, function.offset(rows, "i64", ahead))
                self._copy_ahead(
                    room,
                    source,
                    function.offset(base, "i8", function.multiply(later, Value(str(width), INT64))),
                    width,
                )

    def _copy_ahead(self, target: Value, source: Value, later: Value, count: int) -> None:
        """Copy a row, and have a later one brought from memory meanwhile."""
        function = self._function
        self._module.declare(
            "llvm.prefetch.p0", "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"
        )
        line = Type("i8", ALIGNMENT)
        whole = count - count % ALIGNMENT
        with function.loop(whole, step=ALIGNMENT) as index:
            place = function.offset(later, "i8", index)
            function.do(f"call void @llvm.prefetch.p0({place}, i32 0, i32 3, i32 1)")
            value = function.load(line, function.offset(source, "i8", index))
            function.store(value, function.offset(target, "i8", index))
        if whole < count:
            self._copy(
                function.offset(target, "i8", whole),
                function.offset(source, "i8", whole),
                count - whole,
            )

    def _copy(self, target: Value, source: Value, count: int) -> None:
        """Copy bytes."""
        name = "llvm.memcpy.p0.p0.i64"
        self._module.declare(name, f"declare void @{name}(ptr, ptr, i64, i1)")
        self._function.do(f"call void @{name}({target}, {source}, i64 {count}, i1 false)")
