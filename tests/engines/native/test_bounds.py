"""Nothing beyond an array is touched: every array lies next to memory that cannot be touched.

Touching it ends the process, so each test runs in a process of its own.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from tests.engines.native.programs import Recorded, random_program, recorded

import steepest as sd
from steepest.engines import Interpreter
from steepest.engines.native.program import Native

PROGRAMS = 24
PAGE = mmap.PAGESIZE
LENGTHS = (1, 3, 7, 9, 15, 17, 33, 67)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pages are locked with mprotect")


class Guarded:
    """Memory between two pages that cannot be touched.

    Parameters
    ----------
    at_end : bool
        Whether arrays end where the memory does, rather than begin where it does.
    """

    def __init__(self, at_end: bool) -> None:
        self._at_end = at_end
        self._protect = ctypes.CDLL(None, use_errno=True).mprotect
        self._kept: list[mmap.mmap] = []

    def bytes(self, size: int) -> np.ndarray[Any, Any]:
        """Reserve bytes next to a locked page."""
        inside = -(-size // PAGE) * PAGE
        memory = mmap.mmap(-1, inside + 2 * PAGE)
        self._kept.append(memory)
        whole = np.frombuffer(memory, np.uint8)
        for place in (0, PAGE + inside):
            address = ctypes.c_void_p(whole.ctypes.data + place)
            assert self._protect(address, ctypes.c_size_t(PAGE), 0) == 0
        start = PAGE + (inside - size if self._at_end else 0)
        return whole[start : start + size]

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        size = int(np.prod(shape, dtype=int)) * dtype.itemsize
        return self.bytes(size).view(dtype).reshape(shape)

    def copy(self, array: Any) -> np.ndarray[Any, Any]:
        array = np.asarray(array)
        result = self.empty(array.shape, array.dtype)
        result[...] = array
        return result


def run_guarded(graph: Recorded, at_end: bool) -> None:
    """Run a program on guarded inputs, outputs and arena."""
    code = Native(graph.graph)._code(careful=False)
    guarded = Guarded(at_end)
    inputs = [
        guarded.copy(np.asarray(value, dtype))
        for value, dtype in zip(graph.inputs, code._dtypes, strict=True)
    ]
    outputs = [guarded.empty(kind.shape, kind.dtype) for kind in code._outputs]
    arrays = (*inputs, *outputs, *code.program.constants)
    # No threads help: what would hand out their work is null.
    table = np.array([*(each.ctypes.data for each in arrays), 0, 0], np.uintp)
    arena = guarded.bytes(code._size)
    with nullcontext() if code._callbacks is None else code._callbacks.errors() as errors:
        code._run(arena.ctypes.data, table.ctypes.data)
    assert not errors
    expected = Interpreter(graph.graph)(graph.inputs)
    for one, two in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-2, atol=1e-2)


def graphs() -> Iterator[Recorded]:
    for seed in range(30_000, 30_000 + PROGRAMS):
        program = random_program(seed)
        yield recorded(program, program.inputs)
    yield from chosen_graphs()


def chosen_graphs() -> Iterator[Recorded]:
    """Record what reads and writes in each way, in lengths that fill no vectors."""
    rng = np.random.default_rng(0)

    def captured(guarded: Guarded, *shape: int) -> Any:
        return guarded.copy(rng.normal(size=shape).astype(np.float32))

    functions: list[Callable[..., Any]] = [
        lambda x: x * 2,
        lambda x: np.sum(x, axis=0),
        lambda x: np.sum(x, axis=1),
        lambda x: x[:, ::-1] + x,
        lambda x: x.T * 2,
        lambda x: x[np.array([0, -1, 0])],
        lambda x: x[:, np.array([-1, 0])],
        lambda x: np.concatenate([x, x], axis=1),
        lambda x: np.pad(x, 1),
        lambda x: (x > 0, x.astype(np.float16), x.astype(np.int64)),
        lambda x: x @ x.T,
        lambda x: x.T @ x[:, :3],
        lambda x: x @ x[0],
        sd.grad(lambda x: np.sum(np.tanh(x @ x.T))),
        sd.grad(lambda x: sd.nn.softmax_cross_entropy(x, np.zeros(len(x), int))),
    ]
    for length in LENGTHS:
        for dtype in (np.float32, np.float64):
            x = rng.normal(size=(length, 5)).astype(dtype)
            for function in functions:
                yield recorded(function, [x])
    for at_end in (False, True):
        guarded = Guarded(at_end)
        w = captured(guarded, 5, 7)
        yield recorded(lambda x, w=w: x @ w, [captured(guarded, 3, 5)])
        yield recorded(lambda x, w=w: x * w[:, ::2], [captured(guarded, 5, 4)])


def main(at_end: bool, break_it: bool) -> None:
    np.seterr(all="ignore")
    if break_it:
        # That a locked page ends the process.
        ctypes.memset(Guarded(at_end).bytes(64).ctypes.data + (64 if at_end else -1), 0, 1)
    for graph in graphs():
        run_guarded(graph, at_end)


def outcome(at_end: bool, break_it: bool = False) -> subprocess.CompletedProcess[str]:
    program = f"from tests.engines.native.test_bounds import main; main({at_end}, {break_it})"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("at_end", [False, True], ids=["before", "after"])
def test_nothing_beyond_an_array_is_touched(at_end: bool) -> None:
    result = outcome(at_end)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("at_end", [False, True], ids=["before", "after"])
def test_it_would_be_noticed(at_end: bool) -> None:
    assert outcome(at_end, break_it=True).returncode < 0
