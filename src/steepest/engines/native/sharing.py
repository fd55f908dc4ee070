"""Sharing work among threads: what native code calls, and the threads that wait for it.

Native code hands out the pieces of a task; which thread takes which one decides nothing but the
time. Each begins with a share of its own, the same in every step, since its cache may still have
what it read and wrote there in the step before; then it takes what others have left. Any thread may
be late or away: the one that hands out takes pieces itself until none is left, and waits only for
those that another has begun. Threads that find nothing to do look again for a tenth of a
millisecond, then sleep, for longer and longer; between runs they wait in Python.
"""

from __future__ import annotations

import ctypes
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import numpy as np
from numpy.typing import NDArray

from steepest.engines.native.assembly import BOOL, INT32, INT64, POINTER, Function, Module, Value
from steepest.engines.native.loading import Loaded
from steepest.engines.native.processor import Processor, host_processor

__all__ = ["MOST_PIECES", "TASK_PARAMETERS", "Pool", "emit_share", "pool", "share_address"]

# Places in the state, in words of 8 bytes, on lines of the cache of their own.
_HANDED = 0  # the task's serial number in the upper half, a bit for each piece taken in the lower
_TASK, _ARGUMENTS, _COUNT = 8, 9, 10
_DONE = 16
_FLAGS = 17
_OWNER = 24
_RUN, _YIELD, _SLEEP = 32, 33, 34
_WORDS = 64

MOST_PIECES = 32
"""Of a task."""
LOOKS_FOR_WORK = 6000
"""How often a thread looks for work before it sleeps: some 100 microseconds."""
LOOKS_FOR_END = 2000
"""How often one looks whether the last pieces are done before it gives way to other threads."""
SHORTEST_SLEEP, LONGEST_SLEEP = 20_000, 200_000
"""Nanoseconds."""


TASK_PARAMETERS = [("ptr", "arguments"), ("i64", "number")]
"""Of a task, which returns flags as an i64: its arguments' addresses, and the piece's number."""


def emit_share(
    function: Function, handing: Value, task: str, arguments: Sequence[Value], count: int
) -> Value:
    """Write the call that has the pieces of a task run, and give their flags.

    Parameters
    ----------
    function : Function
        Where to write it.
    handing : Value
        Address of two pointers: `share_address` and the pool's; the latter is null where no
        threads help.
    task : str
        A function of this module.
    arguments : sequence of Value
        Pointers.
    count : int
        Number of pieces, at most `MOST_PIECES`.
    """
    assert count <= MOST_PIECES
    addresses = function.allocate(POINTER, len(arguments))
    for place, argument in enumerate(arguments):
        function.store(argument, function.offset(addresses, "ptr", place))
    share, pool = (function.load(POINTER, function.offset(handing, "ptr", i)) for i in (0, 1))
    flags = function.allocate(INT64)
    function.store(_number(0), flags)
    nobody = function.emit(BOOL, f"icmp eq {pool}, null")
    alone, together, done = (function.label(each) for each in ("alone", "together", "done"))
    function.branch(nobody, alone, together)
    function.begin_block(alone)
    with function.loop(count) as number:
        found = function.call(task, INT64, addresses, number)
        function.store(function.binary("or", function.load(INT64, flags), found), flags)
    function.jump(done)
    function.begin_block(together)
    shared = function.call_pointer(
        share, INT64, pool, Value(f"@{task}", POINTER), addresses, _number(count)
    )
    assert shared is not None
    function.store(shared, flags)
    function.jump(done)
    function.begin_block(done)
    return function.load(INT64, flags)


class Pool:
    """Threads that help with what native code hands out.

    The threads are begun when they are first needed, and wait in Python between runs.
    """

    def __init__(self) -> None:
        raw = np.zeros(_WORDS + 8, np.uint64)
        start = (-raw.ctypes.data % 64) // 8
        self._state: NDArray[np.uint64] = raw[start : start + _WORDS]
        self.address = self._state.ctypes.data
        library = ctypes.CDLL(None)
        for place, name in ((_YIELD, "sched_yield"), (_SLEEP, "nanosleep")):
            address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
            self._state[place] = address or 0
        self._lock = threading.Lock()
        self._runs = 0
        self._serial = 0
        self._calls: list[queue.SimpleQueue[tuple[int, int]]] = []
        self._work = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
            _loaded().address("work")
        )

    @contextmanager
    def helping(self, threads: int) -> Iterator[None]:
        """Have so many threads, this one among them, take pieces while the ``with`` block runs."""
        with self._lock:
            self._runs += 1
            if self._runs == 1:
                self._serial += 1
                self._state[_RUN] = self._serial
            while len(self._calls) < threads - 1:
                self._calls.append(queue.SimpleQueue())
                threading.Thread(
                    target=self._wait,
                    args=(self._calls[-1],),
                    name=f"steepest-{len(self._calls)}",
                    daemon=True,
                ).start()
            for number, call in enumerate(self._calls[: threads - 1], 1):
                call.put((self._serial, (number << 32) // threads))
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1
                if not self._runs:
                    self._state[_RUN] = 0

    def _wait(self, calls: queue.SimpleQueue[tuple[int, int]]) -> None:
        while True:
            self._work(self.address, *calls.get())


_pools: dict[int, Pool] = {}


def pool() -> Pool:
    """Give the threads of this process; a process that was forked off has none of its parent's."""
    found = _pools.get(os.getpid())
    if found is None:
        _pools.clear()
        found = _pools[os.getpid()] = Pool()
    return found


def share_address() -> int:
    """Address of ``i64 (ptr pool, ptr task, ptr arguments, i64 count)``.

    Runs the pieces of a task, an ``i64 (ptr arguments, i64 number)``, and returns their flags; in
    the calling thread alone where the pool has another task under way.
    """
    return _loaded().address("share")


@cache
def _loaded() -> Loaded:
    from steepest.engines.native.program import compiled

    processor = host_processor()
    return compiled("sharing of pieces among threads", lambda: _written(processor), {}, processor)[
        0
    ]


def _written(processor: Processor) -> Module:
    module = Module(processor)
    _write_share(module, processor)
    _write_work(module, processor)
    return module


def _place(function: Function, state: Value, word: int) -> Value:
    return function.offset(state, "i64", word)


def _number(value: int) -> Value:
    return Value(str(value), INT64)


def _load(function: Function, state: Value, word: int) -> Value:
    """Read what other threads write, and all that they wrote before it."""
    pointer = _place(function, state, word)
    return function.emit(INT64, f"load atomic i64, {pointer} acquire, align 8")


def _store(function: Function, value: Value, state: Value, word: int) -> None:
    """Write for other threads, after all that was written before."""
    pointer = _place(function, state, word)
    function.do(f"store atomic {value}, {pointer} release, align 8")


def _update(function: Function, operation: str, state: Value, word: int, value: Value) -> Value:
    pointer = _place(function, state, word)
    return function.emit(INT64, f"atomicrmw {operation} {pointer}, {value} acq_rel, align 8")


def _exchange(function: Function, state: Value, word: int, expected: Value, wanted: Value) -> Value:
    """Write if nobody has written since; tell whether it was done."""
    pointer = _place(function, state, word)
    pair = function.emit(INT64, f"cmpxchg {pointer}, {expected}, {wanted} acq_rel acquire, align 8")
    return function.emit(BOOL, f"extractvalue {{ i64, i1 }} {pair.name}, 1")


def _pause(function: Function, processor: Processor) -> None:
    """Let the processor's other thread have its units for a moment."""
    if processor.is_x86:
        function.module.declare("llvm.x86.sse2.pause", "declare void @llvm.x86.sse2.pause()")
        function.do("call void @llvm.x86.sse2.pause()")
    elif processor.is_arm:
        # A barrier for instructions, as the hint to yield may take no time at all.
        function.module.declare("llvm.aarch64.isb", "declare void @llvm.aarch64.isb(i32)")
        function.do("call void @llvm.aarch64.isb(i32 15)")


def _run_piece(
    function: Function, state: Value, task: Value, arguments: Value, number: Value
) -> None:
    flags = function.call_pointer(task, INT64, arguments, number)
    assert flags is not None
    _update(function, "or", state, _FLAGS, flags)
    _update(function, "add", state, _DONE, _number(1))


def _left(function: Function, handed: Value, count: Value) -> Value:
    """Find the pieces that nobody has taken, a bit for each."""
    none = function.binary("shl", _number(-1), count)
    return function.binary("xor", function.binary("or", handed, none), _number(-1))


def _chosen(function: Function, left: Value, first: Value) -> Value:
    """Choose from the pieces that are left: the next one from the first of a share on."""
    behind = function.binary("and", left, function.binary("shl", _number(-1), first))
    has_some = function.compare("ne", behind, _number(0))
    among = function.select(has_some, behind, left)
    return function.intrinsic("llvm.cttz", among, Value("false", BOOL))


def _take(function: Function, state: Value, handed: Value, number: Value) -> Value:
    """Take a piece, unless another thread has taken one since; tell whether it was done."""
    taken = function.binary("or", handed, function.binary("shl", _number(1), number))
    return _exchange(function, state, _HANDED, handed, taken)


def _write_share(module: Module, processor: Processor) -> None:
    function = module.function(
        "share",
        INT64,
        [("ptr", "state"), ("ptr", "task"), ("ptr", "arguments"), ("i64", "count")],
    )
    state, task, arguments, count = function.parameters
    alone, together = (function.label(each) for each in ("alone", "together"))
    is_mine = _exchange(function, state, _OWNER, _number(0), _number(1))
    function.branch(is_mine, together, alone)

    function.begin_block(alone)
    total = function.allocate(INT64, initial=_number(0))
    with function.loop(count) as number:
        flags = function.call_pointer(task, INT64, arguments, number)
        assert flags is not None
        function.store(function.binary("or", function.load(INT64, total), flags), total)
    function.give(function.load(INT64, total))

    function.begin_block(together)
    # Nobody may take a piece while the task is written: there is none of such a number.
    closed = _update(function, "or", state, _HANDED, _number(2**32 - 1))
    for word, value in ((_TASK, task), (_ARGUMENTS, arguments), (_COUNT, count)):
        function.do(f"store atomic {value}, {_place(function, state, word)} monotonic, align 8")
    _store(function, _number(0), state, _DONE)
    _store(function, _number(0), state, _FLAGS)
    serial = function.binary("and", closed, _number(-(2**32)))
    handed = function.add(serial, _number(2**32))
    _store(function, handed, state, _HANDED)

    find, take, run, wait, look, done, patient = (
        function.label(each) for each in ("find", "take", "run", "wait", "look", "done", "patient")
    )
    function.jump(find)
    function.begin_block(find)
    handed = _load(function, state, _HANDED)
    left = _left(function, handed, count)
    function.branch(function.compare("ne", left, _number(0)), take, wait)
    function.begin_block(take)
    number = _chosen(function, left, _number(0))
    function.branch(_take(function, state, handed, number), run, find)
    function.begin_block(run)
    _run_piece(function, state, task, arguments, number)
    function.jump(find)

    # Another thread is in the middle of a piece, or was stopped there by the operating system.
    function.begin_block(wait)
    looks = function.allocate(INT64)
    function.store(_number(0), looks)
    function.jump(look)
    function.begin_block(look)
    finished = function.compare("sge", _load(function, state, _DONE), count)
    again = function.label("again")
    function.branch(finished, done, again)
    function.begin_block(again)
    _pause(function, processor)
    seen = function.add(function.load(INT64, looks), _number(1))
    function.store(seen, looks)
    function.branch(function.compare("sgt", seen, _number(LOOKS_FOR_END)), patient, look)
    function.begin_block(patient)
    give_way = function.load(POINTER, _place(function, state, _YIELD))
    function.call_pointer(give_way, INT32)
    function.jump(look)

    function.begin_block(done)
    result = _load(function, state, _FLAGS)
    _store(function, _number(0), state, _OWNER)
    function.give(result)


def _write_work(module: Module, processor: Processor) -> None:
    # The share is where it begins in a task's pieces, as a fraction of them, times 2³².
    function = module.function("work", None, [("ptr", "state"), ("i64", "run"), ("i64", "share")])
    state, run, share = function.parameters
    looks = function.allocate(INT64, initial=_number(0))
    interval = function.allocate(INT64, 2, initial=_number(0))  # seconds, nanoseconds
    labels = ("look", "stay", "offered", "taken", "idle", "rest", "leave")
    look, stay, offered, taken, idle, rest, leave = (function.label(each) for each in labels)
    function.jump(look)
    function.begin_block(look)
    current = function.compare("eq", _load(function, state, _RUN), run)
    function.branch(current, stay, leave)

    function.begin_block(stay)
    handed = _load(function, state, _HANDED)
    count, task, arguments = (
        function.emit(kind, f"load atomic {kind}, {_place(function, state, word)} acquire, align 8")
        for kind, word in ((INT64, _COUNT), (POINTER, _TASK), (POINTER, _ARGUMENTS))
    )
    left = _left(function, handed, count)
    function.branch(function.compare("ne", left, _number(0)), offered, idle)

    # The task is what was read above if nothing was handed out since: a new one has a new number.
    function.begin_block(offered)
    first = function.binary("lshr", function.multiply(count, share), _number(32))
    number = _chosen(function, left, first)
    function.branch(_take(function, state, handed, number), taken, look)
    function.begin_block(taken)
    _run_piece(function, state, task, arguments, number)
    function.store(_number(0), looks)
    function.jump(look)

    function.begin_block(idle)
    _pause(function, processor)
    seen = function.add(function.load(INT64, looks), _number(1))
    function.store(seen, looks)
    function.branch(function.compare("sgt", seen, _number(LOOKS_FOR_WORK)), rest, look)
    function.begin_block(rest)
    # The longer there was nothing to do, the longer the sleep.
    over = function.subtract(seen, _number(LOOKS_FOR_WORK))
    longer = function.multiply(over, _number(SHORTEST_SLEEP))
    length = function.intrinsic("llvm.smin", longer, _number(LONGEST_SLEEP))
    function.store(length, function.offset(interval, "i64", 1))
    nanosleep = function.load(POINTER, _place(function, state, _SLEEP))
    function.call_pointer(nanosleep, INT32, interval, Value("null", POINTER))
    function.jump(look)

    function.begin_block(leave)
    function.give()
