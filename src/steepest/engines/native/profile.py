"""Where the time of a training step goes, by the user's own lines."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steepest.engines.native.assembly import INT64, Module, Type, Value
from steepest.engines.native.layout import buffers_read, buffers_written
from steepest.engines.native.listing import described
from steepest.engines.native.loading import Loaded
from steepest.engines.native.nests import (
    Apply,
    Item,
    Kernel,
    MatrixProduct,
    Nest,
    Program,
    all_parts,
    loads_of,
)
from steepest.engines.native.processor import Processor
from steepest.errors import SourceLine

__all__ = ["Part", "Peaks", "Profile", "make_profile"]


LONGEST_LINE = 70
"""Characters of a source line that are shown."""


@dataclass(frozen=True, slots=True)
class Part:
    """One loop nest, product of matrices or call of NumPy.

    Attributes
    ----------
    what : str
    lines : tuple of SourceLine
        Of the loss, from which it comes.
    seconds : float
        In a step.
    operations : float
        Arithmetic operations in a step; a function such as exp counts as one.
    bytes : float
        What it reads and writes in a step, each array once.
    of_peak : float
        The least time that the machine could take for its arithmetic and its bytes, at the rates
        measured on one thread, by the time taken. NaN for calls of NumPy.
    """

    what: str
    lines: tuple[SourceLine, ...]
    seconds: float
    operations: float
    bytes: float
    of_peak: float


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time of a step went.

    Attributes
    ----------
    parts : tuple of Part
        The longest first.
    steps : int
    seconds : float
        Of an average step.
    threads : int
    peak : float
        Arithmetic operations a second, multiply-adds counted twice, that one thread was measured
        to do in single precision.
    """

    parts: tuple[Part, ...]
    steps: int
    seconds: float
    threads: int
    peak: float

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        rows = [
            (
                f"{_duration(self.seconds)} a step, over {self.steps:,} steps, with {threads};"
                f" the peak of one is {self.peak / 1e9:.0f} GFLOP/s"
            ),
            f"{'share':>6} {'a step':>9} {'GFLOP/s':>8} {'GB/s':>6} {'of peak':>8}",
        ]
        for part in self.parts:
            share = part.seconds / self.seconds if self.seconds else 0.0
            rows.append(
                f"{share:6.1%} {_duration(part.seconds):>9}"
                f" {_rate(part.operations, part.seconds):>8} {_rate(part.bytes, part.seconds):>6}"
                f" {'' if math.isnan(part.of_peak) else format(part.of_peak, '.0%'):>8}"
                f"  {part.what}"
            )
            rows += [f"{'':43}{_shown(line)}" for line in part.lines]
        return "\n".join(rows)


def make_profile(
    programs: Sequence[Program],
    counters: Sequence[NDArray[np.int64]],
    steps: int,
    seconds: float,
    processor: Processor,
    threads: int,
) -> Profile:
    """Make a profile of what was counted.

    Parameters
    ----------
    programs : sequence of Program
        Of a step with a whole batch, and with a smaller one.
    counters : sequence of int64 array
        For each program, ticks for each item, and for the gathering of the batch.
    steps : int
    seconds : float
        In native code altogether.
    processor : Processor
    threads : int
    """
    ticks = sum(int(each.sum()) for each in counters)
    rate = _ticks_per_second(processor)
    peaks = _peaks(processor)
    steps = max(steps, 1)
    parts = []
    for item, count in zip(programs[0].items, counters[0], strict=False):
        what, nodes = described(item)
        lines = dict.fromkeys(node.line for node in nodes if node.line is not None)
        taken = int(count) / rate / steps
        operations, touched = _operations(item), _bytes(item)
        least = max(operations / peaks.arithmetic(_element(item)), touched / peaks.memory(touched))
        parts.append(
            Part(
                what,
                tuple(sorted(lines, key=lambda line: (line.filename, line.number))),
                taken,
                operations,
                touched,
                least / taken if taken and operations else math.nan,
            )
        )
    gathered = int(counters[0][-1]) / rate / steps
    if gathered:
        parts.append(Part("gathering the rows of the batch", (), gathered, 0, 0, math.nan))
    if len(counters) > 1:
        smaller = int(counters[1].sum()) / rate / steps
        parts.append(Part("steps with the smaller last batch", (), smaller, 0, 0, math.nan))
    rest = seconds / steps - ticks / rate / steps
    parts.append(Part("going from step to step", (), max(rest, 0.0), 0, 0, math.nan))
    parts.sort(key=lambda part: -part.seconds)
    return Profile(tuple(parts), steps, seconds / steps, threads, peaks.arithmetic("float"))


def _shown(line: SourceLine) -> str:
    text = line.text if len(line.text) <= LONGEST_LINE else f"{line.text[: LONGEST_LINE - 1]}…"
    return f"{Path(line.filename).name}:{line.number}  {text}"


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _rate(amount: float, seconds: float) -> str:
    return f"{amount / seconds / 1e9:.3g}" if amount and seconds else ""


def _operations(item: Item) -> float:
    """Count arithmetic operations."""
    total = 0.0
    nests: Sequence[Nest] = ()
    if isinstance(item, MatrixProduct):
        total = 2.0 * math.prod(item.extents) * math.prod(item.batch)
        nests = () if item.finish is None else (item.finish,)
    elif isinstance(item, Kernel):
        nests = item.nests
    for nest in nests:
        entries = math.prod(nest.extents)
        applied = all_parts([each.value for each in nest.statements])
        total += entries * sum(isinstance(each, Apply) for each in applied)
        total += entries * sum(hasattr(each, "reduced") for each in nest.statements)
    return total


def _bytes(item: Item) -> float:
    """Count the bytes that are read and written, each once."""
    if not isinstance(item, Kernel):
        return float(sum(each.bytes for each in {*buffers_read(item), *buffers_written(item)}))
    touched = {each: each.bytes for each in item.zeroed}
    for nest in item.nests:
        entries = math.prod(nest.extents)
        for statement in nest.statements:
            for buffer in {statement.buffer, *(load.buffer for load in loads_of(statement))}:
                # Indices may select but a few of a buffer's entries.
                more = touched.get(buffer, 0) + entries * buffer.dtype.itemsize
                touched[buffer] = min(more, buffer.bytes)
    return float(sum(touched.values()))


def _element(item: Item) -> str:
    sizes = [each.dtype.itemsize for each in buffers_written(item) if each.dtype.kind == "f"]
    return "double" if max(sizes, default=4) == 8 else "float"


# What the machine can do.


class Peaks:
    """Rates of one thread, measured when they are asked for.

    Parameters
    ----------
    processor : Processor
    """

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._arithmetic: dict[str, float] = {}
        self._memory: dict[int, float] = {}

    def arithmetic(self, element: str) -> float:
        """Operations a second of multiply-adds whose operands are in registers.

        Parameters
        ----------
        element : {"float", "double"}
        """
        if element not in self._arithmetic:
            lanes = self._processor.lanes(64 if element == "double" else 32)
            run = _runner(self._processor, f"arithmetic_{element}")
            rounds = 20_000
            seconds = min(_timed(run, None, None, None, rounds) for _ in range(5))
            self._arithmetic[element] = 2.0 * lanes * _SUMS * rounds / seconds
        return self._arithmetic[element]

    def memory(self, size: float) -> float:
        """Bytes a second that pass when so many are read and written again and again.

        Parameters
        ----------
        size : float
        """
        level = max(12, math.ceil(math.log2(max(size, 1))))
        if level not in self._memory:
            entries = 2**level // 12
            a, b, c = (np.ones(entries + 16, np.float32) for _ in range(3))
            run = _runner(self._processor, "memory")
            rounds = max(2**20 // entries, 1)
            seconds = min(
                _timed(run, a.ctypes.data, b.ctypes.data, c.ctypes.data, entries, rounds)
                for _ in range(3)
            )
            self._memory[level] = 12.0 * entries * rounds / seconds
        return self._memory[level]


_SUMS = 12
"""Independent sums of multiply-adds: more than are under way at once."""


@cache
def _peaks(processor: Processor) -> Peaks:
    return Peaks(processor)


def _timed(run: ctypes._FuncPointer, *args: int | None) -> float:
    began = time.perf_counter()
    run(*args)
    return time.perf_counter() - began


@cache
def _ticks_per_second(processor: Processor) -> float:
    """Compare the processor's clock with Python's over some milliseconds."""
    ticks = _runner(processor, "ticks")
    began, first = time.perf_counter(), ticks()
    while time.perf_counter() - began < 0.01:
        pass
    seconds, last = time.perf_counter() - began, ticks()
    return float(last - first) / seconds


@cache
def _loaded(processor: Processor) -> Loaded:
    from steepest.engines.native.program import compiled

    return compiled("rates of the machine", lambda: _written(processor), {}, processor)[0]


def _runner(processor: Processor, name: str) -> ctypes._FuncPointer:
    kinds: dict[str, list[type]] = {
        "ticks": [],
        "memory": [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 2,
    }
    arithmetic = [ctypes.c_void_p] * 3 + [ctypes.c_int64]
    address = _loaded(processor).address(name)
    return ctypes.CFUNCTYPE(ctypes.c_int64, *kinds.get(name, arithmetic))(address)


def _written(processor: Processor) -> Module:
    from steepest.engines.native.emit import read_ticks

    module = Module(processor)
    ticks = module.function("ticks", INT64, [])
    ticks.give(read_ticks(ticks, processor))
    for element, bits in (("float", 32), ("double", 64)):
        kind = Type(element, processor.lanes(bits))
        function = module.function(
            f"arithmetic_{element}",
            INT64,
            [("ptr", "a"), ("ptr", "b"), ("ptr", "c"), ("i64", "rounds")],
        )
        sums = [
            function.allocate(kind, initial=function.constant(kind, number))
            for number in range(_SUMS)
        ]
        factor = function.constant(kind, 0.5)
        with function.loop(function.parameters[3]):
            for place in sums:
                total = function.load(kind, place)
                function.store(function.multiply_add(total, factor, factor), place)
        total = function.load(kind, sums[0])
        for place in sums[1:]:
            total = function.add(total, function.load(kind, place))
        # What comes out must be used, or it would not be computed.
        positive = function.compare("ogt", function.extract(total, 0), function.zero(kind.scalar))
        function.give(function.cast("zext", positive, "i64"))
    kind = Type("float", processor.lanes(32))
    function = module.function(
        "memory",
        INT64,
        [("ptr", "a"), ("ptr", "b"), ("ptr", "c"), ("i64", "count"), ("i64", "rounds")],
    )
    a, b, c, count, rounds = function.parameters
    with function.loop(rounds), function.loop(count, step=kind.lanes) as index:
        x, y = (function.load(kind, function.offset(each, "float", index), 4) for each in (b, c))
        function.store(function.add(x, y), function.offset(a, "float", index), 4)
    function.give(Value("0", INT64))
    return module
