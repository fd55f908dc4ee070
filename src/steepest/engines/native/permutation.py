"""NumPy's permutations, drawn by native code: the same rows, and the generator left the same.

A shuffle by Fisher and Yates exchanges each row, from the last on, with one before it, or itself.
To choose that one NumPy draws as many bits as its number may have, again and again until they are
no larger. It calls the generator through a pointer, for 32 bits at a time, and the processor cannot
know which draws will do. Here the generator, PCG64, is written into the loop, and a draw that does
not exchanges a row with itself. (M. E. O'Neill, "PCG: A family of simple fast space-efficient
statistically good algorithms for random number generation", HMC-CS-2014-0905, 2014.)
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.engines.native.assembly import BOOL, INT64, Function, Module, Type, Value
from steepest.engines.native.loading import Loaded
from steepest.engines.native.processor import Processor, host_processor

__all__ = ["draw_permutation", "is_loaded"]

FROM = 4096
"""Rows from which on the calls here and back are worth it."""
_MOST = 2**32 - 1
"""Rows beyond which NumPy draws 64 bits for each."""
_CHECKED = 1000
"""Rows of the permutations that are compared with NumPy's before any is drawn here."""
_MULTIPLIER = (2549297995355413924 << 64) + 4865540595714422341
_WIDE = Type("i128")


def draw_permutation(rng: np.random.Generator, rows: NDArray[np.int64]) -> None:
    """Draw what ``rng.permutation(len(rows))`` would draw.

    Parameters
    ----------
    rng : numpy.random.Generator
    rows : ndarray of int64
        Is overwritten; contiguous.
    """
    generator = rng.bit_generator
    if (
        FROM <= len(rows) <= _MOST
        and type(rng) is np.random.Generator
        and type(generator) is np.random.PCG64
        and _is_as_numpy()
    ):
        _draw(generator, rows)
    else:
        rows[...] = rng.permutation(len(rows))


def is_loaded() -> bool:
    """Whether there is code to draw with already, so that a single permutation is worth it."""
    return _function.cache_info().currsize > 0


def _draw(generator: np.random.PCG64, rows: NDArray[np.int64]) -> None:
    with generator.lock:
        state: dict[str, Any] = generator.state  # type: ignore[assignment]  # a TypedDict
        inner = state["state"]
        words = np.array(
            [
                *_halves(inner["state"]),
                *_halves(inner["inc"]),
                state["has_uint32"],
                state["uinteger"],
            ],
            np.uint64,
        )
        _function()(rows.ctypes.data, len(rows), words.ctypes.data)
        low, high, _, _, has_more, more = words.tolist()
        inner["state"] = high << 64 | low
        state["has_uint32"], state["uinteger"] = has_more, more
        generator.state = state  # type: ignore[assignment]


def _halves(number: int) -> tuple[int, int]:
    return number & (2**64 - 1), number >> 64


@cache
def _is_as_numpy() -> bool:
    """Whether this NumPy draws permutations as it is done here; a later one may do otherwise."""
    for draws in (0, 1):
        ours, theirs = (np.random.Generator(np.random.PCG64(draws)) for _ in range(2))
        for each in (ours, theirs):
            each.integers(2**32, size=draws, dtype=np.uint32)  # one leaves 32 bits for later
        rows = np.empty(_CHECKED, np.int64)
        _draw(ours.bit_generator, rows)  # type: ignore[arg-type]  # known to be a PCG64
        if not np.array_equal(rows, theirs.permutation(_CHECKED)):
            return False
        if ours.bit_generator.state != theirs.bit_generator.state:
            return False
    return True


@cache
def _function() -> Callable[[int, int, int], None]:
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    return kind(_loaded().address("permute"))


@cache
def _loaded() -> Loaded:
    from steepest.engines.native.program import compiled

    processor = host_processor()
    return compiled("permutation of rows", partial(_written, processor), {}, processor)[0]


def _written(processor: Processor) -> Module:
    module = Module(processor)
    f = module.function(
        "permute", None, [("ptr noalias", "rows"), ("i64", "count"), ("ptr noalias", "generator")]
    )
    rows, count, generator = f.parameters
    pcg = _Pcg64(f, generator)
    with f.loop(count) as index:
        f.store(index, f.offset(rows, "i64", index))
    last = f.allocate(INT64)
    f.store(f.subtract(count, _number(1)), last)
    octave, lower, upper, halved, done = (
        f.label(each) for each in ("octave", "lower", "upper", "halved", "done")
    )
    f.jump(halved)
    # As long as the last row's number has as many bits as before.
    f.begin_block(octave)
    zeros = f.intrinsic("llvm.ctlz", f.load(INT64, last), Value("false", BOOL))
    mask = f.binary("lshr", _number(-1), zeros)
    half = f.binary("lshr", mask, _number(1))
    f.branch(pcg.has_more(), upper, lower)

    def exchange(bits: Value, following: str) -> None:
        index = f.load(INT64, last)
        drawn = f.binary("and", bits, mask)
        fits = f.compare("ule", drawn, index)
        place, other = (
            f.offset(rows, "i64", each) for each in (index, f.select(fits, drawn, index))
        )
        value = f.load(INT64, place)
        f.store(f.load(INT64, other), place)
        f.store(value, other)
        index = f.subtract(index, f.cast("zext", fits, "i64"))
        f.store(index, last)
        f.branch(f.compare("ugt", index, half), following, halved)

    f.begin_block(lower)
    exchange(pcg.lower(), upper)
    f.begin_block(upper)
    exchange(pcg.upper(), lower)
    f.begin_block(halved)
    f.branch(f.compare("sgt", f.load(INT64, last), _number(0)), octave, done)
    f.begin_block(done)
    pcg.put_back()
    f.give()
    return module


class _Pcg64:
    """Writes the draws from a generator, whose state stays in registers meanwhile.

    Parameters
    ----------
    function : Function
    generator : Value
        Address of six words: state and increment, lower half first; whether 32 bits of the last
        word drawn are left, and these.
    """

    def __init__(self, function: Function, generator: Value) -> None:
        self._f = f = function
        self._generator = generator
        self._state, self._word = f.allocate(_WIDE), f.allocate(INT64)
        self._has_more = f.allocate(BOOL)
        self._increment = f.load(_WIDE, f.offset(generator, "i64", 2), align=8)
        f.store(f.load(_WIDE, generator, align=8), self._state)
        has_more, more = (f.load(INT64, f.offset(generator, "i64", place)) for place in (4, 5))
        f.store(f.compare("ne", has_more, _number(0)), self._has_more)
        f.store(f.binary("shl", more, _number(32)), self._word)

    def put_back(self) -> None:
        """Write the state to where it came from."""
        f = self._f
        f.store(f.load(_WIDE, self._state), self._generator, align=8)
        has_more = f.cast("zext", f.load(BOOL, self._has_more), "i64")
        f.store(has_more, f.offset(self._generator, "i64", 4))
        more = f.binary("lshr", f.load(INT64, self._word), _number(32))
        f.store(more, f.offset(self._generator, "i64", 5))

    def has_more(self) -> Value:
        """Whether the upper half of a word comes next."""
        return self._f.load(BOOL, self._has_more)

    def lower(self) -> Value:
        """Draw 32 bits, the lower half of a new word."""
        f = self._f
        state = f.multiply(f.load(_WIDE, self._state), Value(str(_MULTIPLIER), _WIDE))
        state = f.add(state, self._increment)
        f.store(state, self._state)
        low, high, turn = (
            f.cast("trunc", f.binary("lshr", state, Value(str(shift), _WIDE)), "i64")
            for shift in (0, 64, 122)
        )
        mixed = f.binary("xor", low, high)
        word = f.intrinsic("llvm.fshr", mixed, mixed, turn)
        f.store(word, self._word)
        f.store(Value("true", BOOL), self._has_more)
        return f.binary("and", word, _number(2**32 - 1))

    def upper(self) -> Value:
        """Draw 32 bits, the upper half of the word."""
        f = self._f
        f.store(Value("false", BOOL), self._has_more)
        return f.binary("lshr", f.load(INT64, self._word), _number(32))


def _number(value: int) -> Value:
    return Value(str(value), INT64)
