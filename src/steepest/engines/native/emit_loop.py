"""Emitting the loop over the steps: batches, steps, losses, with no Python between them."""

from __future__ import annotations

from collections.abc import Sequence

from steepest.engines.native.assembly import (
    DOUBLE,
    INT64,
    POINTER,
    Function,
    Module,
    Type,
    Value,
)
from steepest.engines.native.calling import Behind, table_of
from steepest.engines.native.emit import add_ticks, emit_program, read_ticks
from steepest.engines.native.layout import ALIGNMENT
from steepest.engines.native.nests import Buffer
from steepest.engines.native.operations import memory_element
from steepest.engines.native.partition import Pieces
from steepest.engines.native.processor import Processor
from steepest.engines.native.sharing import TASK_PARAMETERS, emit_share
from steepest.engines.native.steps import StepKind

__all__ = ["emit_loop"]

PREFETCHED = 256
"""Bytes of a row from which on the rows after it are asked for ahead."""
ROWS_AHEAD = 2
"""How many rows ahead."""
SHARED = 128 * 1024
"""Bytes of a batch from which on threads share the gathering of its rows."""
MOST_PIECES = 8


def emit_loop(
    kinds: Sequence[StepKind],
    widths: Sequence[int],
    rows_per_epoch: int,
    processor: Processor,
    *,
    threads: int = 1,
    is_timed: bool = False,
) -> Module:
    """Write the steps and the loop over them.

    The ticks that gathering takes are added up behind those of a program's items, when it is timed.
    """
    module = Module(processor)
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
            listed={
                item: (kind.step.batch.index(rows.buffer.position), rows)
                for item, rows in kind.listed.items()
            },
            padded=[*(program.inputs[before] for before, _ in step.carried), *program.outputs],
            linkage="internal",
            threads=threads,
            is_timed=is_timed,
        )
    timer = processor if is_timed else None
    _LoopEmitter(module, kinds, widths, rows_per_epoch, threads, timer).emit()
    return module


class _LoopEmitter:
    """Writes the function that goes from step to step."""

    def __init__(
        self,
        module: Module,
        kinds: Sequence[StepKind],
        widths: Sequence[int],
        rows_per_epoch: int,
        threads: int,
        timer: Processor | None,
    ) -> None:
        self._shares = threads > 1
        self._timer = timer
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
        self, kind: StepKind, table: Value, order: Value, place: Value, loss_place: Value
    ) -> None:
        """Make the batch, take the step, record the loss."""
        function = self._function
        program, step = kind.program, kind.step
        places = table_of(program)
        if kind.rows and self._timer is not None:
            ticks = read_ticks(function, self._timer)
            self._make_batch(kind, table, order, place, places)
            counters = function.load(
                POINTER, function.offset(table, "ptr", len(places) + Behind.COUNTERS)
            )
            counter = function.offset(counters, "i64", len(program.items))
            add_ticks(function, self._timer, counter, ticks)
        elif kind.rows:
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
            if after >= 0 and new is not old and new not in kind.homes:
                source, target = (
                    function.load(POINTER, function.offset(table, "ptr", places[each]))
                    for each in (new, old)
                )
                _copy(function, target, source, old.bytes)

    def _make_batch(
        self,
        kind: StepKind,
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
        if kind.listed:
            function.store(rows, function.offset(table, "ptr", len(places) + Behind.ROWS))
        read_there = {each.buffer for each in kind.listed.values()}
        for number, (position, width) in enumerate(zip(kind.step.batch, self._widths, strict=True)):
            buffer = kind.program.inputs[position]
            if buffer in read_there:
                continue
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
            if self._shares and kind.rows * width >= SHARED:
                handing = function.offset(table, "ptr", len(places) + Behind.HANDING)
                cut = Pieces(kind.rows, -(-kind.rows // MOST_PIECES))
                name = f"{kind.name}.gather{number}"
                self._write_gather(name, cut, width)
                emit_share(function, handing, name, [target, base, rows], cut.count)
            else:
                self._gather(function, target, base, rows, 0, kind.rows, kind.rows, width)

    def _write_gather(self, name: str, cut: Pieces, width: int) -> None:
        """Write the task of which each piece copies some of the rows."""
        task = self._module.function(name, INT64, TASK_PARAMETERS, linkage="internal")
        table, number = task.parameters
        target, base, rows = (task.load(POINTER, task.offset(table, "ptr", i)) for i in range(3))
        first = task.multiply(number, Value(str(cut.size), INT64))
        end = task.intrinsic(
            "llvm.smin",
            task.add(first, Value(str(cut.size), INT64)),
            Value(str(cut.extent), INT64),
        )
        self._gather(task, target, base, rows, first, end, cut.extent, width)
        task.give(task.zero(INT64))

    def _gather(
        self,
        function: Function,
        target: Value,
        base: Value,
        rows: Value,
        first: Value | int,
        end: Value | int,
        count: int,
        width: int,
    ) -> None:
        """Copy rows, of so many bytes, from where they lie to where the batch is read."""
        with function.loop(end, start=first) as index:
            row = function.load(INT64, function.offset(rows, "i64", index))
            source = function.offset(base, "i8", function.multiply(row, Value(str(width), INT64)))
            room = function.offset(target, "i8", function.multiply(index, Value(str(width), INT64)))
            if width < PREFETCHED:
                _copy(function, room, source, width)
            else:
                ahead = function.add(index, Value(str(ROWS_AHEAD), INT64))
                ahead = function.intrinsic("llvm.smin", ahead, Value(str(count - 1), INT64))
                later = function.load(INT64, function.offset(rows, "i64", ahead))
                place = function.multiply(later, Value(str(width), INT64))
                _copy_ahead(function, room, source, function.offset(base, "i8", place), width)


def _copy_ahead(function: Function, target: Value, source: Value, later: Value, count: int) -> None:
    """Copy a row, and have a later one brought from memory meanwhile."""
    function.module.declare(
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
        _copy(
            function,
            function.offset(target, "i8", whole),
            function.offset(source, "i8", whole),
            count - whole,
        )


def _copy(function: Function, target: Value, source: Value, count: int) -> None:
    """Copy bytes."""
    name = "llvm.memcpy.p0.p0.i64"
    function.module.declare(name, f"declare void @{name}(ptr, ptr, i64, i1)")
    function.do(f"call void @{name}({target}, {source}, i64 {count}, i1 false)")
