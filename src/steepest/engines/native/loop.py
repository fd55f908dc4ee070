"""The training loop as one native function: batches, steps, losses, with no Python between them.

Control returns after as many steps as were asked for, or when a step could not be taken: the
caller then goes back to where the steps began, and decides.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Hashable, MutableMapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from steepest.engines.native.calling import CALLBACK, Behind, callbacks_of, table_of
from steepest.engines.native.few_rows import update_few_rows
from steepest.engines.native.finishing import finish_in_products
from steepest.engines.native.formulas import rewrite_formulas
from steepest.engines.native.fuse import fuse
from steepest.engines.native.gathering import read_by_products
from steepest.engines.native.in_place import written_in_place
from steepest.engines.native.layout import lay_out
from steepest.engines.native.listing import outline
from steepest.engines.native.nests import Buffer, Callback, Origin, Program
from steepest.engines.native.processor import Processor, host_processor
from steepest.engines.native.profile import Profile, make_profile
from steepest.engines.native.program import (
    Callbacks,
    Helpers,
    aligned_copy,
    aligned_empty,
    compiled,
)
from steepest.engines.native.rounds import arrange_rounds
from steepest.engines.native.simplify import simplify
from steepest.engines.native.steps import StepGraph, StepKind
from steepest.engines.native.threads import number_of_threads

if TYPE_CHECKING:
    from steepest.engines.native.assembly import Module

__all__ = ["LoopCode", "NativeLoop", "StepGraph"]

MOST_CODES = 8
"""Loops over the same step that are kept: for other numbers of rows, of threads."""

_RUN = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 6, *[ctypes.c_int64] * 2)


class LoopCode:
    """A loop over steps of training as machine code, without the arrays that it works on.

    Parameters
    ----------
    steps, batch_sizes, rows_per_epoch, is_timed
        See `NativeLoop`.
    widths : sequence of int
        Bytes of a row of each of the data.
    careful : bool
        Whether to compute with care for NaN in products with zeros.
    """

    def __init__(
        self,
        steps: Sequence[StepGraph],
        batch_sizes: Sequence[int],
        rows_per_epoch: int,
        widths: Sequence[int],
        *,
        careful: bool,
        is_timed: bool,
    ) -> None:
        processor = host_processor()
        self.kinds: list[StepKind] = []
        self.size = 0
        callbacks: list[tuple[Program, Callback]] = []
        for number, step in enumerate(steps):
            simplified = simplify(rewrite_formulas(step.graph), step.changing)
            graph, replaced = update_few_rows(simplified, step)
            program = fuse(graph, step.changing, careful=careful, replaced=replaced)
            finish_in_products(program, processor)
            arrange_rounds(program)
            self.size = max(self.size, lay_out(program))
            homes = written_in_place(program, step.carried)
            rows = batch_sizes[number] if batch_sizes else 0
            listed = read_by_products(program, step, rows, processor)
            self.kinds.append(
                StepKind(f"step{number}", step, program, homes, rows, listed, len(callbacks))
            )
            callbacks += [(program, each) for each in callbacks_of(program)]
        self.programs = [kind.program for kind in self.kinds]
        self.callbacks = Callbacks(callbacks)
        self.helpers = Helpers(self.programs, processor, 0)
        threads = self.helpers.threads_of_code()
        self._loaded, self.alone = compiled(
            "\n".join(
                [
                    f"loop over {[*widths]}, {rows_per_epoch}, {threads=}, {is_timed=}",
                    *map(str, self.kinds),
                ]
            ),
            partial(
                _written,
                self.kinds,
                widths,
                rows_per_epoch,
                processor,
                threads=threads,
                is_timed=is_timed,
            ),
            {CALLBACK: self.callbacks.address},
            processor,
        )
        self.run = _RUN(self._loaded.address("train"))

    @cached_property
    def outline(self) -> str:
        """What runs, for a reader; kept, as every run of the code asks for it."""
        return outline(self.programs[0])


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
    codes : mutable mapping, optional
        `LoopCode` of loops before, by all that it depends on; this one's is put there.
    is_timed : bool
        Whether to find out where the time goes; see `profile`.
    """

    def __init__(
        self,
        steps: Sequence[StepGraph],
        carried: Sequence[NDArray[Any]],
        data: Sequence[NDArray[Any]],
        batch_sizes: Sequence[int],
        rows_per_epoch: int,
        codes: MutableMapping[Hashable, LoopCode] | None = None,
        *,
        is_timed: bool = False,
    ) -> None:
        self._is_timed = is_timed
        self._codes = {} if codes is None else codes
        self._seconds = 0.0
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
        """Find the loop's code, or compile it, and give it what it reads and writes."""
        widths = [array.nbytes // len(array) for array in self._data]
        on = (
            tuple(self._steps),
            tuple(self._batch_sizes),
            self._rows_per_epoch,
            tuple(widths),
            careful,
            self._is_timed,
            number_of_threads(),
        )
        code = self._codes.get(on)
        if code is None:
            if len(self._codes) >= MOST_CODES:
                self._codes.clear()
            code = self._codes[on] = LoopCode(
                self._steps,
                self._batch_sizes,
                self._rows_per_epoch,
                widths,
                careful=careful,
                is_timed=self._is_timed,
            )
        self._code = code
        self._kept: list[NDArray[Any]] = []
        self._counters: list[NDArray[np.int64]] = []
        self._tables = [self._table(kind) for kind in code.kinds]
        self._arena = aligned_empty(code.size)
        self._addresses = np.array(
            [each.ctypes.data for each in (*self._tables, *self._data)], np.uintp
        )

    def _table(self, kind: StepKind) -> NDArray[np.uintp]:
        """Make the addresses that a step's program reads and writes at."""
        step, program = kind.step, kind.program
        places = table_of(program)
        behind = len(places)
        table = np.zeros(behind + Behind.DATA + len(self._data), np.uintp)
        self._counters.append(np.zeros(len(program.items) + 1, np.int64))
        table[behind + Behind.COUNTERS] = self._counters[-1].ctypes.data
        table[behind + Behind.DATA :] = [each.ctypes.data for each in self._data]

        def put(buffer: Buffer, array: NDArray[Any]) -> None:
            self._kept.append(array)
            table[places[buffer]] = array.ctypes.data

        for buffer in (*program.inputs, *program.outputs):
            put(buffer, aligned_empty(buffer.bytes))
        for array, (before, after) in zip(self.carried, step.carried, strict=True):
            put(program.inputs[before], array)
            if after >= 0 and program.outputs[after] in kind.homes:
                put(program.outputs[after], array)
        for position, array in zip(step.batch, self._data, strict=True):
            if kind.rows < 2:
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

    def copies(self, into: Sequence[NDArray[Any]] | None = None) -> Sequence[NDArray[Any]]:
        """Copy the weights and the state, to new arrays or into such as this gave before."""
        if into is None:
            return [each.copy() for each in self.carried]
        for copy, each in zip(into, self.carried, strict=True):
            copy[...] = each
        return into

    def put(self, values: Sequence[Any], taken: int) -> None:
        """Go on from other weights and another state."""
        for place, value in zip(self.carried, values, strict=True):
            place[...] = value
        self._counts[2:] = taken, 0

    def __str__(self) -> str:
        return self._code.outline

    def profile(self) -> Profile:
        """Say where the time of the steps so far went."""
        processor, threads = host_processor(), self._code.helpers.threads()
        return make_profile(
            self._code.programs, self._counters, self.taken, self._seconds, processor, threads
        )

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
        code = self._code
        threads = code.helpers.threads()
        for table, kind in zip(self._tables, code.kinds, strict=True):
            handing = len(table_of(kind.program)) + Behind.HANDING
            table[handing : handing + 2] = code.helpers.addresses(threads)
        began = time.perf_counter()
        with (
            code.alone(),
            code.helpers.helping(threads),
            code.callbacks.errors() as errors,
        ):
            flags: int = code.run(
                self._arena.ctypes.data,
                self._addresses.ctypes.data,
                None if order is None else order.ctypes.data,
                sizes.ctypes.data,
                losses.ctypes.data,
                self._slots.ctypes.data,
                first,
                len(sizes),
            )
        self._seconds += time.perf_counter() - began
        if errors and not isinstance(errors[0], Exception):
            raise errors[0]  # the user wants to stop
        return flags


def _written(
    kinds: Sequence[StepKind],
    widths: Sequence[int],
    rows_per_epoch: int,
    processor: Processor,
    *,
    threads: int,
    is_timed: bool,
) -> Module:
    # Imported here: what the cache has need not be written.
    from steepest.engines.native.emit_loop import emit_loop

    return emit_loop(kinds, widths, rows_per_epoch, processor, threads=threads, is_timed=is_timed)
