"""The native engine: a graph made ready to run as machine code."""

from __future__ import annotations

import ctypes
import signal
import threading
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from steepest.engines.interpret import Interpreter
from steepest.engines.native import blas
from steepest.engines.native.cache import cache_key, default_cache
from steepest.engines.native.calling import CALLBACK, Flags, callbacks_of, table_of
from steepest.engines.native.finishing import finish_in_products
from steepest.engines.native.formulas import rewrite_formulas
from steepest.engines.native.fuse import fuse
from steepest.engines.native.layout import ALIGNMENT, lay_out
from steepest.engines.native.listing import listing, outline
from steepest.engines.native.loading import Loaded, load
from steepest.engines.native.nests import Buffer, Callback, Number, Origin, Program, Storage
from steepest.engines.native.object_code import machine_code
from steepest.engines.native.partition import MOST_THREADS, work
from steepest.engines.native.processor import Processor, host_processor
from steepest.engines.native.rounds import arrange_rounds
from steepest.engines.native.simplify import simplify
from steepest.engines.native.threads import number_of_threads
from steepest.graph import ArrayType, Constant, Graph, Input, Node
from steepest.ops.spec import Value

if TYPE_CHECKING:
    from steepest.engines.native.assembly import Module

__all__ = ["Callbacks", "Helpers", "Native", "aligned_copy", "aligned_empty", "compiled"]

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

    def __str__(self) -> str:
        return outline(self.program)

    def _code(self, *, careful: bool) -> _Code:
        known = self._codes.get(careful)
        if known is None:
            with self._lock:
                known = self._codes.get(careful)
                if known is None:
                    simplified = simplify(rewrite_formulas(self._graph), self._changing)
                    processor = self._processor or host_processor()
                    known = _Code(
                        simplified,
                        self._changing,
                        processor,
                        careful=careful,
                        forms=[_form(node, self._graph) for node in self._graph.outputs],
                    )
                    self._codes[careful] = known
        return known


def compiled(
    description: str, write: Callable[[], Module], symbols: dict[str, int], processor: Processor
) -> tuple[Loaded, Callable[[], AbstractContextManager[None]]]:
    """Make a module's functions ready to be called, from the cache where they are there.

    Parameters
    ----------
    description : str
        All that the module depends on.
    write : callable
        Writes the module.

    Returns
    -------
    loaded : Loaded
    alone : callable
        Makes the context in which to call them: BLAS, where they call it, is held to one thread.
    """
    cache = default_cache()
    key = cache_key(description, processor)
    code = None if cache is None else cache.get(key)
    if code is None:
        module = write()
        code = machine_code(str(module), processor, str(module.finished))
        if cache is not None:
            cache.put(key, code)
    if b"steepest_sgemm" in code or b"steepest_dgemm" in code:
        return load(code, {**symbols, **blas.symbols()}), blas.single_threaded
    return load(code, symbols), nullcontext


class Helpers:
    """The threads that help to run programs, as far as these have work to share.

    Parameters
    ----------
    programs : sequence of Program
    processor : Processor
    worth : float
        Cycles of work to share from which on threads are woken.
    """

    def __init__(self, programs: Sequence[Program], processor: Processor, worth: float) -> None:
        self._is_worth = sum(work(each, processor) for each in programs) > worth

    def threads(self) -> int:
        """Say how many threads a run is for."""
        return number_of_threads() if self._is_worth else 1

    def threads_of_code(self) -> int:
        """Say how many threads code is cut for: more than some make no difference to it."""
        return min(self.threads(), MOST_THREADS)

    def addresses(self, threads: int) -> tuple[int, int]:
        """Give the addresses that native code hands out work with."""
        if threads == 1:
            return 0, 0
        from steepest.engines.native.sharing import pool, share_address

        return share_address(), pool().address

    def helping(self, threads: int) -> AbstractContextManager[None]:
        """Have threads help while a ``with`` block runs."""
        if threads == 1:
            return nullcontext()
        from steepest.engines.native.sharing import pool

        return pool().helping(threads)


WORTH_WAKING = 1_000_000
"""Cycles of work to share from which on a single run wakes threads: half a millisecond."""


class _Code:
    """A program and its machine code."""

    def __init__(
        self,
        graph: Graph,
        changing: Collection[int],
        processor: Processor,
        *,
        careful: bool,
        forms: Sequence[bool | int],
    ) -> None:
        self._forms = forms
        self.program = fuse(graph, changing, careful=careful)
        finish_in_products(self.program, processor)
        arrange_rounds(self.program)
        self._size = lay_out(self.program)
        callbacks = callbacks_of(self.program)
        self._callbacks = (
            Callbacks([(self.program, each) for each in callbacks]) if callbacks else None
        )
        self._constants = [*map(_address, self.program.constants)]

        self._helpers = Helpers([self.program], processor, WORTH_WAKING)
        threads = self._helpers.threads_of_code()

        def write() -> Module:
            # Imported here: what the cache has need not be written.
            from steepest.engines.native.assembly import Module
            from steepest.engines.native.emit import emit_program

            module = Module(processor)
            emit_program(module, self.program, processor, "run", threads=threads)
            return module

        symbols = {} if self._callbacks is None else {CALLBACK: self._callbacks.address}
        self._loaded, self._alone = compiled(
            f"{threads=}\n{listing(self.program)}", write, symbols, processor
        )
        self._run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(
            self._loaded.address("run")
        )
        self._dtypes = [_array_type(node.type).dtype for node in graph.inputs]
        self._outputs = [_array_type(node.type) for node in graph.outputs]
        self._arenas: list[tuple[np.ndarray[Any, Any], int]] = []

    def _with_callbacks(self, arena: int, table: int) -> int:
        flags: int
        if self._callbacks is None:
            flags = self._run(arena, table)
            return flags
        with self._callbacks.errors() as errors:
            flags = self._run(arena, table)
        if errors and not isinstance(errors[0], Exception):
            raise errors[0]  # the user wants to stop
        return flags

    def run(self, inputs: Sequence[Value]) -> tuple[int, list[Value]]:
        """Run on inputs; return the flags and the outputs."""
        if len(inputs) != len(self._dtypes):
            raise ValueError(f"{len(self._dtypes)} inputs are needed; there are {len(inputs)}")
        arrays = [*map(_in_order, inputs, self._dtypes)]
        results = [np.empty(kind.shape, kind.dtype) for kind in self._outputs]
        threads = self._helpers.threads()
        table = array(
            "Q",
            [
                *map(_address, arrays),
                *map(_address, results),
                *self._constants,
                *self._helpers.addresses(threads),
            ],
        )
        try:
            arena, place = self._arenas.pop()
        except IndexError:
            arena = aligned_empty(self._size)
            place = _address(arena)
        if self._callbacks is None and self._alone is nullcontext and threads == 1:
            flags = self._run(place, table.buffer_info()[0])
        else:
            with self._alone(), self._helpers.helping(threads):
                flags = self._with_callbacks(place, table.buffer_info()[0])
        self._arenas.append((arena, place))
        outputs = [
            each.item()
            if kind.weak
            else each
            if form is True or (form is not False and isinstance(inputs[form], np.ndarray))
            else each[()]
            for each, kind, form in zip(results, self._outputs, self._forms, strict=True)
        ]
        return flags, outputs


def _in_order(value: Value, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Give a value as an array whose entries lie one after another; as it is, if it can be."""
    if type(value) is np.ndarray:
        flags = value.flags
        if flags.c_contiguous and flags.aligned and value.dtype is dtype:
            return value
    array = np.ascontiguousarray(value, dtype)
    return array if array.flags.aligned else array.copy()


def _address(array: np.ndarray[Any, Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


_TO_ARRAY = frozenset(("pad", "scatter_add", "where"))
_AS_ARGUMENT = frozenset(("imag", "real", "reshape", "transpose"))


def _form(node: Node, graph: Graph) -> bool | int:
    """Tell whether NumPy gives a value as an ndarray, and not as a scalar.

    Most operations give a scalar where there is no axis; a few give a 0-d array, always or when
    they are given one.

    Returns
    -------
    bool or int
        For what is as it was given, the position of the input.
    """
    while not isinstance(node.operation, (Constant, Input)):
        name = node.operation.name
        if _array_type(node.type).shape or name in _TO_ARRAY:
            return True
        if name == "slice":
            return Ellipsis in node.static["key"]
        if name not in _AS_ARGUMENT:
            return False
        (node,) = node.inputs
        if _array_type(node.type).weak:
            return True
    if isinstance(node.operation, Constant):
        return isinstance(node.operation.value, np.ndarray)
    return graph.inputs.index(node)


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


_DEFERRED = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name)
)
"""Signals whose handlers raise exceptions, as that of Ctrl-C does."""


class _Errors(list[BaseException]):
    """Exceptions that callbacks of one run have met.

    Python handles a signal as soon as a callback begins, where an exception would be lost between
    native code and it. So the handlers of some signals wait until the run is over.
    """

    def __init__(self, local: threading.local, *, defers: bool) -> None:
        super().__init__()
        self._local = local
        self._defers = defers
        self._handlers: dict[int, Callable[..., Any]] = {}
        self._received: list[tuple[int, FrameType | None]] = []

    def __enter__(self) -> _Errors:
        self._before = getattr(self._local, "errors", None)
        self._local.errors = self
        # Python runs handlers in the main thread alone.
        if self._defers and threading.current_thread() is threading.main_thread():
            for number in _DEFERRED:
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._receive)
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received.append((number, frame))

    def __exit__(self, *exception: object) -> None:
        self._local.errors = self._before
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for number, frame in self._received:
            self._handlers[number](number, frame)


class Callbacks:
    """What native code calls to have NumPy do an operation.

    Parameters
    ----------
    callbacks : sequence of (Program, Callback)
        By number.
    """

    def __init__(self, callbacks: Sequence[tuple[Program, Callback]]) -> None:
        programs = {id(program): program for program, _ in callbacks}
        places = {number: table_of(program) for number, program in programs.items()}
        self._operations = [
            self._operation(program, places[id(program)], each) for program, each in callbacks
        ]
        self._local = threading.local()
        self._function = CallbackFunction(self._call)
        self.address = ctypes.cast(self._function, ctypes.c_void_p).value or 0

    def errors(self) -> _Errors:
        """Collect what the callbacks of a run raise."""
        return _Errors(self._local, defers=bool(self._operations))

    def _call(self, number: int, arena: int, table: int) -> int:
        try:
            with np.errstate(all="ignore"):
                self._operations[number](arena, table)
        except BaseException as error:
            self._local.errors.append(error)
            return 1
        return 0

    def _operation(
        self, program: Program, places: Mapping[Buffer, int], callback: Callback
    ) -> Callable[[int, int], None]:
        node = callback.node
        if isinstance(node.operation, Constant):
            value = node.operation.value
            (copy,) = callback.results
            kind = _array_type(node.type)
            write = _reader(program, places, Storage(copy, 0, _steps(kind.shape)), kind)

            def put(arena: int, table: int) -> None:
                write(arena, table)[...] = value

            return put
        readers = [
            (lambda arena, table, value=each.value: value)
            if isinstance(each, Number)
            else _value_reader(program, places, *each)
            for each in callback.inputs
        ]
        types = node.type if isinstance(node.type, tuple) else (node.type,)
        writers = [
            _reader(program, places, Storage(buffer, 0, _steps(kind.shape)), kind)
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
    program: Program, places: Mapping[Buffer, int], storage: Storage, kind: ArrayType
) -> Callable[[int, int], Value]:
    """Read a value as NumPy knows it: Python numbers and scalars among them."""
    read = _reader(program, places, storage, kind)
    if kind.weak:
        return lambda arena, table: read(arena, table).item()
    if not kind.shape:
        return lambda arena, table: read(arena, table)[()]
    return read


def _reader(
    program: Program, places: Mapping[Buffer, int], storage: Storage, kind: ArrayType
) -> Callable[[int, int], np.ndarray[Any, Any]]:
    """Make an array of what lies in a buffer."""
    buffer, width = storage.buffer, kind.dtype.itemsize
    strides = tuple(stride * width for stride in storage.strides)
    start = storage.offset * width
    if buffer.origin is Origin.CONSTANT:
        constant = program.constants[buffer.position]
        return lambda arena, table: _as_view(constant, kind, start, strides)
    place = -1 if buffer.origin is Origin.ARENA else places[buffer] * ctypes.sizeof(ctypes.c_void_p)

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
