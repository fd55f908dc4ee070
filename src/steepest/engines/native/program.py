"""The native engine: a graph made ready to run as machine code."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from steepest.engines.interpret import Interpreter
from steepest.engines.native import blas
from steepest.engines.native.assembly import Module
from steepest.engines.native.cache import cache_key, default_cache
from steepest.engines.native.emit import CALLBACK, Flags, emit_program, table_of
from steepest.engines.native.formulas import rewrite_formulas
from steepest.engines.native.fuse import fuse
from steepest.engines.native.layout import ALIGNMENT, lay_out
from steepest.engines.native.loading import Loaded, load
from steepest.engines.native.loops import Callback, Number, Origin, Program, Storage
from steepest.engines.native.object_code import machine_code
from steepest.engines.native.processor import Processor, host_processor
from steepest.engines.native.simplify import simplify
from steepest.graph import ArrayType, Constant, Graph, Input
from steepest.ops.spec import Value

__all__ = ["Callbacks", "Native", "aligned_copy", "aligned_empty", "compiled"]

CallbackFunction = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p
)


class Native:
    """A graph made ready to run as machine code, when it is first run.

    Parameters
    ----------
    graph : Graph
    changing : collection of int
        The ids of captured arrays whose contents may change from run to run.
    processor : Processor, optional
        What to make code for; by default, this machine's.
    """

    def __init__(
        self, graph: Graph, changing: Collection[int] = (), processor: Processor | None = None
    ) -> None:
        self._graph = graph
        self._changing = frozenset(changing)
        self._processor = processor
        self._codes: dict[bool, _Code] = {}
        self._lock = threading.Lock()

    def __call__(self, inputs: Sequence[Value]) -> list[Value]:
        """Run the graph.

        Parameters
        ----------
        inputs : sequence of value
            One for each input of the graph, of its shape and dtype.

        Returns
        -------
        list of value
            One for each output.
        """
        flags, outputs = self._code(careful=False).run(inputs)
        if flags & Flags.NAN:
            flags, outputs = self._code(careful=True).run(inputs)
        if flags & (Flags.INDEX | Flags.CALLBACK):
            # NumPy says what is wrong: an exception may come from what follows a bad index, or a
            # NaN that care would have kept away.
            return Interpreter(self._graph)(inputs)
        return outputs

    @property
    def program(self) -> Program:
        """What runs, fused."""
        return self._code(careful=False).program

    def _code(self, *, careful: bool) -> _Code:
        known = self._codes.get(careful)
        if known is None:
            with self._lock:
                known = self._codes.get(careful)
                if known is None:
                    simplified = simplify(rewrite_formulas(self._graph), self._changing)
                    processor = self._processor or host_processor()
                    known = _Code(simplified, self._changing, processor, careful=careful)
                    self._codes[careful] = known
        return known


def compiled(module: Module, symbols: dict[str, int], processor: Processor) -> Loaded:
    """Make a module's functions ready to be called, from the cache where they are there."""
    assembly = str(module)
    cache = default_cache()
    key = cache_key(assembly, processor)
    code = None if cache is None else cache.get(key)
    if code is None:
        code = machine_code(assembly, processor)
        if cache is not None:
            cache.put(key, code)
    if "@steepest_sgemm" in assembly or "@steepest_dgemm" in assembly:
        symbols = {**symbols, **blas.symbols()}
    return load(code, symbols)


class _Code:
    """A program and its machine code."""

    def __init__(
        self, graph: Graph, changing: Collection[int], processor: Processor, *, careful: bool
    ) -> None:
        self.program = fuse(graph, changing, careful=careful)
        self._size = lay_out(self.program)
        module = Module(processor.function_attributes)
        callbacks: list[tuple[Program, Callback]] = []
        emit_program(module, self.program, processor, "run", callbacks=callbacks)
        self._callbacks = Callbacks(callbacks)
        self._loaded = compiled(module, {CALLBACK: self._callbacks.address}, processor)
        self._run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(
            self._loaded.address("run")
        )
        self._dtypes = [_array_type(node.type).dtype for node in graph.inputs]
        self._outputs = [_array_type(node.type) for node in graph.outputs]
        self._arenas: list[np.ndarray[Any, Any]] = []

    def run(self, inputs: Sequence[Value]) -> tuple[int, list[Value]]:
        """Run on inputs; return the flags and the outputs."""
        if len(inputs) != len(self._dtypes):
            raise ValueError(f"{len(self._dtypes)} inputs are needed; there are {len(inputs)}")
        arrays = [
            array if array.flags.aligned else array.copy()
            for array in map(np.ascontiguousarray, inputs, self._dtypes)
        ]
        results = [np.empty(kind.shape, kind.dtype) for kind in self._outputs]
        table = np.array(
            [each.ctypes.data for each in (*arrays, *results, *self.program.constants)], np.uintp
        )
        try:
            arena = self._arenas.pop()
        except IndexError:
            arena = aligned_empty(self._size)
        with self._callbacks.errors() as errors:
            flags = self._run(arena.ctypes.data, table.ctypes.data)
        self._arenas.append(arena)
        if errors and not isinstance(errors[0], Exception):
            raise errors[0]  # the user wants to stop
        outputs = [
            each.item() if kind.weak else each if kind.shape else each[()]
            for each, kind in zip(results, self._outputs, strict=True)
        ]
        return flags, outputs


def _array_type(kind: Any) -> ArrayType:
    assert isinstance(kind, ArrayType)
    return kind


def aligned_empty(size: int, alignment: int = ALIGNMENT) -> np.ndarray[Any, Any]:
    """Make an array of bytes that begins at a multiple of the alignment.

    Up to the next multiple after its end, the memory is its own too.
    """
    whole = np.zeros(size + 2 * alignment, np.uint8)
    start = -whole.ctypes.data % alignment
    return whole[start : start + size]


def aligned_copy(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Copy an array to where its entries are contiguous and vectors are aligned."""
    copy: np.ndarray[Any, Any] = np.ndarray(
        array.shape, array.dtype, aligned_empty(array.nbytes).data
    )
    copy[...] = array
    return copy


class _Errors(list[BaseException]):
    """Exceptions that callbacks of one run have met."""

    def __init__(self, local: threading.local) -> None:
        super().__init__()
        self._local = local

    def __enter__(self) -> _Errors:
        self._before = getattr(self._local, "errors", None)
        self._local.errors = self
        return self

    def __exit__(self, *exception: object) -> None:
        self._local.errors = self._before


class Callbacks:
    """What native code calls to have NumPy do an operation.

    Parameters
    ----------
    callbacks : sequence of (Program, Callback)
        By number.
    """

    def __init__(self, callbacks: Sequence[tuple[Program, Callback]]) -> None:
        self._operations = [self._operation(*each) for each in callbacks]
        self._local = threading.local()
        self._function = CallbackFunction(self._call)
        self.address = ctypes.cast(self._function, ctypes.c_void_p).value or 0

    def errors(self) -> _Errors:
        """Collect what the callbacks of a run raise."""
        return _Errors(self._local)

    def _call(self, number: int, arena: int, table: int) -> int:
        try:
            with np.errstate(all="ignore"):
                self._operations[number](arena, table)
        except BaseException as error:
            self._local.errors.append(error)
            return 1
        return 0

    def _operation(self, program: Program, callback: Callback) -> Callable[[int, int], None]:
        node = callback.node
        if isinstance(node.operation, Constant):
            value = node.operation.value
            (copy,) = callback.results
            kind = _array_type(node.type)
            write = _reader(program, Storage(copy, 0, _steps(kind.shape)), kind)

            def put(arena: int, table: int) -> None:
                write(arena, table)[...] = value

            return put
        readers = [
            (lambda arena, table, value=each.value: value)
            if isinstance(each, Number)
            else _value_reader(program, *each)
            for each in callback.inputs
        ]
        types = node.type if isinstance(node.type, tuple) else (node.type,)
        writers = [
            _reader(program, Storage(buffer, 0, _steps(kind.shape)), kind)
            for buffer, kind in zip(callback.results, types, strict=True)
        ]
        assert not isinstance(node.operation, Input)
        evaluate, static = node.operation.evaluate, node.static

        def run(arena: int, table: int) -> None:
            result = evaluate(*(read(arena, table) for read in readers), **static)
            results = result if isinstance(node.type, tuple) else (result,)
            for write, each in zip(writers, results, strict=True):
                write(arena, table)[...] = each

        return run


def _value_reader(
    program: Program, storage: Storage, kind: ArrayType
) -> Callable[[int, int], Value]:
    """Read a value as NumPy knows it: Python numbers and scalars among them."""
    read = _reader(program, storage, kind)
    if kind.weak:
        return lambda arena, table: read(arena, table).item()
    if not kind.shape:
        return lambda arena, table: read(arena, table)[()]
    return read


def _reader(
    program: Program, storage: Storage, kind: ArrayType
) -> Callable[[int, int], np.ndarray[Any, Any]]:
    """Make an array of what lies in a buffer."""
    buffer, width = storage.buffer, kind.dtype.itemsize
    strides = tuple(stride * width for stride in storage.strides)
    start = storage.offset * width
    if buffer.origin is Origin.CONSTANT:
        constant = program.constants[buffer.position]
        return lambda arena, table: _as_view(constant, kind, start, strides)
    place = (
        -1
        if buffer.origin is Origin.ARENA
        else table_of(program)[buffer] * ctypes.sizeof(ctypes.c_void_p)
    )

    def read(arena: int, table: int) -> np.ndarray[Any, Any]:
        if place < 0:
            address = arena + buffer.offset
        else:
            address = ctypes.c_void_p.from_address(table + place).value or 0
        raw = (ctypes.c_char * max(buffer.bytes, 1)).from_address(address)
        return np.ndarray(kind.shape, kind.dtype, memoryview(raw), start, strides)

    return read


def _as_view(
    constant: np.ndarray[Any, Any], kind: ArrayType, start: int, strides: tuple[int, ...]
) -> np.ndarray[Any, Any]:
    """View a captured array, which may lie in any way, as an operation reads it."""
    if not kind.size:
        return np.empty(kind.shape, kind.dtype)
    base = constant.__array_interface__["data"][0] + start
    low = sum(
        min(0, stride * (length - 1)) for stride, length in zip(strides, kind.shape, strict=True)
    )
    high = sum(
        max(0, stride * (length - 1)) for stride, length in zip(strides, kind.shape, strict=True)
    )
    raw = (ctypes.c_char * (high - low + kind.dtype.itemsize)).from_address(base + low)
    return np.ndarray(kind.shape, kind.dtype, memoryview(raw), -low, strides)


def _steps(shape: tuple[int, ...]) -> tuple[int, ...]:
    steps, step = [], 1
    for length in reversed(shape):
        steps.append(step)
        step *= length
    return tuple(reversed(steps))
