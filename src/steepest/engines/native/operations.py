"""Element-wise primitives as instructions: one entry of the result from one entry of each argument.

A value is held in registers in the form of its dtype: a bool as an i1, which memory holds as an
i8, and every other dtype as the LLVM type of the same name. Before an operation its arguments are
converted to the dtype that NumPy computes in; float16 is computed in float32 and rounded after
each operation, as NumPy does it.

All that is not transcendental has NumPy's bits. Two things are said here rather than done:

* Python numbers alone follow Python's operators, except that where Python raises
  (``ZeroDivisionError``, and ``OverflowError`` of a power) or turns to complex numbers, the result
  is the one that NumPy gives for float64: an infinity or NaN.
* Floating-point numbers that no entry of an integer dtype is near, NaN included, are converted as
  NumPy does on x86-64; NumPy leaves them undefined.

No instruction branches: what an operation must not be asked is replaced before it and its result
selected away, so that everything may stand in a vector loop under a mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np

from steepest.engines.native import mathematics
from steepest.engines.native.assembly import Function, Type, Value
from steepest.graph import ArrayType, Constant, Node
from steepest.ops import PRIMITIVES
from steepest.ops.spec import SCALE, Primitive, ufunc_type

__all__ = [
    "can_lower",
    "convert",
    "emit_operation",
    "emit_unchecked_scale",
    "from_memory",
    "memory_element",
    "register_element",
    "to_memory",
]

DType: TypeAlias = np.dtype[Any]

_BOOL = np.dtype(bool)
_INT64 = np.dtype(np.int64)
_UINT64 = np.dtype(np.uint64)
_FLOAT16 = np.dtype(np.float16)
_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_FLOATING = {2: "half", 4: "float", 8: "double"}


# What a dtype is in registers and in memory


def register_element(dtype: DType) -> str | None:
    """LLVM's name of an entry in registers; None for a dtype that native code does not know."""
    if not dtype.isnative:
        return None
    if dtype.kind == "b":
        return "i1"
    if dtype.kind in "iu":
        return f"i{8 * dtype.itemsize}"
    return _FLOATING.get(dtype.itemsize) if dtype.kind == "f" else None


def memory_element(dtype: DType) -> str:
    """LLVM's name of an entry in memory.

    Raises
    ------
    ValueError
        For a dtype that native code does not know.
    """
    element = _known_element(dtype)
    return "i8" if element == "i1" else element


def _known_element(dtype: DType) -> str:
    element = register_element(dtype)
    if element is None:
        raise ValueError(f"native code has no {dtype}")
    return element


def from_memory(function: Function, value: Value, dtype: DType) -> Value:
    """Bring what was loaded to the form that it has in registers."""
    if dtype != _BOOL:
        return value
    return function.compare("ne", value, function.zero(value.type))


def to_memory(function: Function, value: Value, dtype: DType) -> Value:
    """Bring a value to the form in which it is stored."""
    return function.cast("zext", value, "i8") if dtype == _BOOL else value


# Conversion


def convert(function: Function, x: Value, source: DType, target: DType) -> Value:
    """Convert from one dtype to another, as ``astype`` does."""
    before, after = _known_element(source), _known_element(target)
    if before == after:
        return x
    if target.kind == "b":
        return _nonzero(function, x)
    if source.kind == "b":
        kind = x.type.of(after)
        return function.select(x, function.constant(kind, 1), function.zero(kind))
    if source.kind == "f":
        if target.kind == "f":
            return _to_floating(function, x, after)
        return _to_integer(function, x, target)
    if target.kind == "f":
        operation = "sitofp" if source.kind == "i" else "uitofp"
        if after == "half":
            return _to_floating(function, function.cast(operation, x, "float"), after)
        return function.cast(operation, x, after)
    if target.itemsize < source.itemsize:
        return function.cast("trunc", x, after)
    return function.cast("sext" if source.kind == "i" else "zext", x, after)


def _to_floating(function: Function, x: Value, element: str) -> Value:
    """Convert between floating-point types, with one rounding."""
    order = ("half", "float", "double")
    if x.type.element == element:
        return x
    if x.type.element == "half" and element == "double":
        x = function.cast("fpext", x, "float")
    if x.type.element == "double" and element == "half":
        # Processors round twice, by way of float. What float would round off is noted in its
        # last bit first, where it decides ties in half, which is far shorter (rounding to odd).
        bits = function.cast("bitcast", x, "i64")
        low = function.binary("and", bits, function.constant(bits.type, (1 << 29) - 1))
        some = function.compare("ne", low, function.zero(bits.type))
        last = function.select(
            some, function.constant(bits.type, 1 << 29), function.zero(bits.type)
        )
        high = function.binary("and", bits, function.constant(bits.type, -1 << 29))
        x = function.cast("bitcast", function.binary("or", high, last), "double")
        x = function.cast("fptrunc", x, "float")
    widens = order.index(element) > order.index(x.type.element)
    return function.cast("fpext" if widens else "fptrunc", x, element)


def _to_integer(function: Function, x: Value, target: DType) -> Value:
    """Truncate, and where no integer is near give what NumPy gives on x86-64."""
    bits = 8 * target.itemsize
    if x.type.element == "half":
        x = function.cast("fpext", x, "float")
        if bits == 32 and target.kind == "u":
            return function.cast("trunc", _truncated(function, x, 64), "i32")
    if bits < 32:
        return function.cast("trunc", _truncated(function, x, 32), f"i{bits}")
    if target.kind == "i":
        return _truncated(function, x, bits)
    limit = function.constant(x.type, 2.0 ** (bits - 1))
    high = function.compare("oge", x, limit)
    shifted = function.select(high, function.subtract(x, limit), x)
    result = _truncated(function, shifted, bits)
    sign = function.constant(result.type, -1 << (bits - 1))
    return function.binary("xor", result, function.select(high, sign, function.zero(result.type)))


def _truncated(function: Function, x: Value, bits: int) -> Value:
    """Truncate to signed integers; the least of them stands for all that are out of range."""
    limit = function.constant(x.type, 2.0 ** (bits - 1))
    inside = function.compare("olt", function.intrinsic("llvm.fabs", x), limit)
    safe = function.select(inside, x, function.zero(x.type))
    result = function.cast("fptosi", safe, f"i{bits}")
    return function.select(inside, result, function.constant(result.type, -1 << (bits - 1)))


def _nonzero(function: Function, x: Value) -> Value:
    if x.type.element == "i1":
        return x
    if x.type.element == "half":
        x = function.cast("fpext", x, "float")
    return function.compare("une" if x.type.is_floating else "ne", x, function.zero(x.type))


# The loops of the ufuncs
#
# Each takes the dtype that NumPy computes in and the arguments in it, float16 as float32 unless
# the loop is among `_ON_HALF`.

Emit: TypeAlias = Callable[..., Value]


def _is_nan(function: Function, x: Value) -> Value:
    return function.compare("uno", x, x)


def _is_infinite(function: Function, x: Value) -> Value:
    infinity = function.constant(x.type, math.inf)
    return function.compare("oeq", function.intrinsic("llvm.fabs", x), infinity)


def _is_finite(function: Function, x: Value) -> Value:
    infinity = function.constant(x.type, math.inf)
    return function.compare("olt", function.intrinsic("llvm.fabs", x), infinity)


def _of_floating(test: Emit, of_integers: bool) -> Emit:
    """Make a test of floating-point numbers that has one answer for all integers."""

    def emit(function: Function, dtype: DType, x: Value) -> Value:
        if dtype.kind == "f":
            return test(function, x)
        return function.constant(x.type.of("i1"), of_integers)

    return emit


def _arithmetic(operation: str, of_bools: str = "") -> Emit:
    def emit(function: Function, dtype: DType, x: Value, y: Value) -> Value:
        if dtype.kind == "f":
            return function.binary("f" + operation, x, y)
        return function.binary(of_bools if dtype.kind == "b" else operation, x, y)

    return emit


def _intrinsic(name: str) -> Emit:
    """Make the loop of an intrinsic, which integers go through unchanged."""

    def emit(function: Function, dtype: DType, x: Value) -> Value:
        return function.intrinsic(name, x) if dtype.kind == "f" else x

    return emit


def _identity(function: Function, dtype: DType, x: Value) -> Value:
    return x


def _zero(function: Function, dtype: DType, x: Value) -> Value:
    return function.zero(x.type)


def _negative(function: Function, dtype: DType, x: Value) -> Value:
    if dtype.kind == "f":
        return function.negate(x)
    return function.subtract(function.zero(x.type), x)


def _absolute(function: Function, dtype: DType, x: Value) -> Value:
    if dtype.kind == "f":
        return function.intrinsic("llvm.fabs", x)
    if dtype.kind != "i":
        return x
    zero = function.zero(x.type)
    negative = function.compare("slt", x, zero)
    return function.select(negative, function.subtract(zero, x), x)


def _square(function: Function, dtype: DType, x: Value) -> Value:
    return function.multiply(x, x)


def _reciprocal(function: Function, dtype: DType, x: Value) -> Value:
    one = function.constant(x.type, 1)
    if dtype.kind == "f":
        return function.divide(one, x)
    zero = function.zero(x.type)
    is_one = function.compare("eq", x, one)
    if dtype.kind == "i":
        is_one = function.binary(
            "or", is_one, function.compare("eq", x, function.constant(x.type, -1))
        )
    # One over zero is converted from infinity.
    of_zero = -1 << (8 * dtype.itemsize - 1) if dtype.kind == "i" and dtype.itemsize >= 4 else 0
    is_zero = function.compare("eq", x, zero)
    return function.select(
        is_zero, function.constant(x.type, of_zero), function.select(is_one, x, zero)
    )


def _divide(function: Function, dtype: DType, x: Value, y: Value) -> Value:
    return function.divide(x, y)


def _floored_division(function: Function, x: Value, y: Value) -> tuple[Value, Value]:
    """Quotient and remainder of floating-point numbers, as Python and NumPy make them.

    From the exact remainder, which is brought to the sign of the divisor; the quotient is then
    near an integer, and is rounded to it.
    """
    zero, one = function.zero(x.type), function.constant(x.type, 1)
    remainder = function.binary("frem", x, y)
    quotient = function.divide(function.subtract(x, remainder), y)
    nonzero = function.compare("une", remainder, zero)
    signs_differ = function.binary(
        "xor", function.compare("olt", y, zero), function.compare("olt", remainder, zero)
    )
    adjusted = function.binary("and", nonzero, signs_differ)
    remainder = function.select(adjusted, function.add(remainder, y), remainder)
    quotient = function.select(adjusted, function.subtract(quotient, one), quotient)
    remainder = function.select(nonzero, remainder, function.intrinsic("llvm.copysign", zero, y))
    below = function.intrinsic("llvm.floor", quotient)
    too_low = function.compare(
        "ogt", function.subtract(quotient, below), function.constant(x.type, 0.5)
    )
    rounded = function.select(too_low, function.add(below, one), below)
    plain = function.divide(x, y)
    signed_zero = function.intrinsic("llvm.copysign", zero, plain)
    result = function.select(function.compare("une", quotient, zero), rounded, signed_zero)
    return function.select(function.compare("oeq", y, zero), plain, result), remainder


def _safe_divisor(
    function: Function, dtype: DType, x: Value, y: Value
) -> tuple[Value, Value | None]:
    """Replace divisors that processors trap at by 1; also tell where they were 0 or −1 (signed)."""
    zero, one = function.zero(y.type), function.constant(y.type, 1)
    trapped = function.compare("eq", y, zero)
    if dtype.kind == "i":
        minus_one = function.compare("eq", y, function.constant(y.type, -1))
        return function.select(function.binary("or", trapped, minus_one), one, y), minus_one
    return function.select(trapped, one, y), None


def _floor_divide(function: Function, dtype: DType, x: Value, y: Value) -> Value:
    if dtype.kind == "f":
        return _floored_division(function, x, y)[0]
    zero = function.zero(x.type)
    divisor, minus_one = _safe_divisor(function, dtype, x, y)
    if minus_one is None:
        quotient = function.binary("udiv", x, divisor)
    else:
        quotient = function.binary("sdiv", x, divisor)
        remainder = function.subtract(x, function.multiply(quotient, divisor))
        below = function.binary(
            "and",
            function.compare("ne", remainder, zero),
            function.compare("slt", function.binary("xor", x, divisor), zero),
        )
        quotient = function.add(quotient, function.cast("sext", below, x.type.element))
        quotient = function.select(minus_one, function.subtract(zero, x), quotient)
    return function.select(function.compare("eq", y, zero), zero, quotient)


def _remainder(function: Function, dtype: DType, x: Value, y: Value) -> Value:
    if dtype.kind == "f":
        return _floored_division(function, x, y)[1]
    remainder = _fmod(function, dtype, x, y)
    if dtype.kind == "u":
        return remainder
    zero = function.zero(x.type)
    other_sign = function.binary(
        "and",
        function.compare("ne", remainder, zero),
        function.compare("slt", function.binary("xor", remainder, y), zero),
    )
    return function.select(other_sign, function.add(remainder, y), remainder)


def _fmod(function: Function, dtype: DType, x: Value, y: Value) -> Value:
    if dtype.kind == "f":
        return function.binary("frem", x, y)
    # By the divisors 1 that stand for 0 and −1 the remainder is 0, as it is to be.
    divisor, _ = _safe_divisor(function, dtype, x, y)
    return function.binary("srem" if dtype.kind == "i" else "urem", x, divisor)


def _extremum(predicate: str, of_integers: str, of_bools: str, number_wins: bool) -> Emit:
    """Make a maximum or minimum; of a number and NaN it is the number or the NaN."""

    def emit(function: Function, dtype: DType, x: Value, y: Value) -> Value:
        if dtype.kind == "b":
            return function.binary(of_bools, x, y)
        if dtype.kind != "f":
            sign = "s" if dtype.kind == "i" else "u"
            return function.intrinsic(f"llvm.{sign}{of_integers}", x, y)
        nan = _is_nan(function, y if number_wins else x)
        return function.select(
            function.binary("or", function.compare("o" + predicate, x, y), nan), x, y
        )

    return emit


def _comparison(predicate: str) -> Emit:
    def emit(function: Function, dtype: DType, x: Value, y: Value) -> Value:
        if dtype.kind == "f":
            return function.compare(("u" if predicate == "ne" else "o") + predicate, x, y)
        if predicate in ("eq", "ne"):
            return function.compare(predicate, x, y)
        return function.compare(("s" if dtype.kind == "i" else "u") + predicate, x, y)

    return emit


def _logical(operation: str) -> Emit:
    def emit(function: Function, dtype: DType, x: Value, y: Value) -> Value:
        return function.binary(operation, _nonzero(function, x), _nonzero(function, y))

    return emit


def _logical_not(function: Function, dtype: DType, x: Value) -> Value:
    true = function.constant(x.type.of("i1"), 1)
    return function.binary("xor", _nonzero(function, x), true)


def _bitwise(operation: str) -> Emit:
    def emit(function: Function, dtype: DType, x: Value, y: Value) -> Value:
        return function.binary(operation, x, y)

    return emit


def _invert(function: Function, dtype: DType, x: Value) -> Value:
    return function.binary("xor", x, function.constant(x.type, 1 if dtype.kind == "b" else -1))


def _shift(to_left: bool) -> Emit:
    """Make a shift that moves all bits out where it is longer than the integer, or negative."""

    def emit(function: Function, dtype: DType, x: Value, y: Value) -> Value:
        zero = function.zero(x.type)
        bits = 8 * dtype.itemsize
        inside = function.compare("ult", y, function.constant(y.type, bits))
        arithmetic = dtype.kind == "i" and not to_left
        most = function.constant(y.type, bits - 1) if arithmetic else zero
        operation = "shl" if to_left else "ashr" if arithmetic else "lshr"
        shifted = function.binary(operation, x, function.select(inside, y, most))
        return shifted if arithmetic else function.select(inside, shifted, zero)

    return emit


def _sign(function: Function, dtype: DType, x: Value) -> Value:
    zero, one = function.zero(x.type), function.constant(x.type, 1)
    if dtype.kind == "f":
        signed = function.intrinsic("llvm.copysign", one, x)
        signed = function.select(function.compare("oeq", x, zero), zero, signed)
        return function.select(_is_nan(function, x), x, signed)
    if dtype.kind == "u":
        return function.select(function.compare("eq", x, zero), zero, one)
    minus = function.cast("sext", function.compare("slt", x, zero), x.type.element)
    return function.select(function.compare("sgt", x, zero), one, minus)


def _sign_bit(function: Function, dtype: DType, x: Value) -> Value:
    bits = function.cast("bitcast", x, f"i{x.type.bits}")
    return function.compare("slt", bits, function.zero(bits.type))


def _copysign(function: Function, dtype: DType, x: Value, y: Value) -> Value:
    return function.intrinsic("llvm.copysign", x, y)


def _heaviside(function: Function, dtype: DType, x: Value, y: Value) -> Value:
    zero, one = function.zero(x.type), function.constant(x.type, 1)
    step = function.select(function.compare("ogt", x, zero), one, zero)
    step = function.select(function.compare("oeq", x, zero), y, step)
    return function.select(_is_nan(function, x), x, step)


def _times(factor: Callable[[type[np.floating[Any]]], np.floating[Any]]) -> Emit:
    """Make the loop that multiplies by a constant, rounded as the dtype rounds it."""

    def emit(function: Function, dtype: DType, x: Value) -> Value:
        # float16 is computed in float32.
        number = np.float64 if x.type.element == "double" else np.float32
        return function.multiply(x, function.constant(x.type, float(factor(number))))

    return emit


def _next_after(function: Function, dtype: DType, x: Value, y: Value) -> Value:
    """Step to the neighbour in the direction of y: numbers of one sign are ordered as integers."""
    wide_x, wide_y = (
        function.cast("fpext", each, "float") if dtype == _FLOAT16 else each for each in (x, y)
    )
    zero = function.zero(wide_x.type)
    bits_x, bits_y = (function.cast("bitcast", each, f"i{8 * dtype.itemsize}") for each in (x, y))
    one = function.constant(bits_x.type, 1)
    outward = function.compare(
        "eq",
        function.compare("olt", wide_x, wide_y),
        function.compare("ogt", wide_x, zero),
    )
    step = function.select(outward, one, function.constant(bits_x.type, -1))
    sign = function.constant(bits_y.type, -1 << (8 * dtype.itemsize - 1))
    from_zero = function.binary("or", function.binary("and", bits_y, sign), one)
    bits = function.select(
        function.compare("oeq", wide_x, zero), from_zero, function.add(bits_x, step)
    )
    bits = function.select(function.compare("oeq", wide_x, wide_y), bits_y, bits)
    bits = function.select(_is_nan(function, wide_y), bits_y, bits)
    bits = function.select(_is_nan(function, wide_x), bits_x, bits)
    return function.cast("bitcast", bits, x.type.element)


def _spacing(function: Function, dtype: DType, x: Value) -> Value:
    """Distance to the next number: upwards in float16, and away from zero otherwise."""
    if dtype == _FLOAT16:
        upwards = function.constant(x.type, math.inf)
        wide = function.cast("fpext", x, "float")
        following = function.cast("fpext", _next_after(function, dtype, x, upwards), "float")
        infinite = _is_infinite(function, wide)
        distance = function.subtract(following, wide)
        nan = function.constant(wide.type, math.nan)
        return function.cast("fptrunc", function.select(infinite, nan, distance), "half")
    zero = function.zero(x.type)
    bits = function.cast("bitcast", x, f"i{8 * dtype.itemsize}")
    above = function.cast(
        "bitcast", function.add(bits, function.constant(bits.type, 1)), x.type.element
    )
    distance = function.subtract(above, x)
    least = function.constant(x.type, float(np.finfo(dtype).smallest_subnormal))
    distance = function.select(function.compare("oeq", x, zero), least, distance)
    nan = function.constant(x.type, math.nan)
    return function.select(_is_finite(function, x), distance, nan)


def _power_of_two(function: Function, exponent: Value, element: str) -> Value:
    """2 to an integer for which it is a normal number, put together from its bits."""
    mantissa, bias = (23, 127) if element == "float" else (52, 1023)
    biased = function.add(exponent, function.constant(exponent.type, bias))
    return function.cast(
        "bitcast",
        function.binary("shl", biased, function.constant(exponent.type, mantissa)),
        element,
    )


def _clamp(function: Function, x: Value, low: int, high: int) -> Value:
    x = function.intrinsic("llvm.smax", x, function.constant(x.type, low))
    return function.intrinsic("llvm.smin", x, function.constant(x.type, high))


def _ldexp(function: Function, dtype: DType, x: Value, y: Value) -> Value:
    y = _clamp(function, y, -2200, 2200)
    if dtype != _FLOAT64:
        # In the next wider type nothing but the last step rounds; exponents beyond these bounds
        # give zero or infinity like these.
        wide = "float" if dtype == _FLOAT16 else "double"
        exponent = _clamp(function, y, *((-120, 120) if dtype == _FLOAT16 else (-400, 400)))
        integer = np.dtype(np.int32 if wide == "float" else np.int64)
        exponent = convert(function, exponent, np.dtype(f"i{y.type.bits // 8}"), integer)
        product = function.multiply(
            _to_floating(function, x, wide), _power_of_two(function, exponent, wide)
        )
        return _to_floating(function, product, x.type.element)
    exponent = convert(function, y, np.dtype(f"i{y.type.bits // 8}"), _INT64)
    zero, one = function.zero(exponent.type), function.constant(x.type, 1.0)
    for _ in range(2):
        # Downwards by fewer steps than upwards, so that what is subnormal already is rounded again
        # only to become zero.
        too_high = function.compare("sgt", exponent, function.constant(exponent.type, 1023))
        too_low = function.compare("slt", exponent, function.constant(exponent.type, -1022))
        factor = function.select(
            too_high,
            function.constant(x.type, 2.0**1023),
            function.select(too_low, function.constant(x.type, 2.0**-969), one),
        )
        step = function.select(
            too_high,
            function.constant(exponent.type, 1023),
            function.select(too_low, function.constant(exponent.type, -969), zero),
        )
        x = function.multiply(x, factor)
        exponent = function.subtract(exponent, step)
    exponent = _clamp(function, exponent, -1022, 1023)
    return function.multiply(x, _power_of_two(function, exponent, "double"))


_PREDICATES = {
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "equal": "eq",
    "not_equal": "ne",
}
_PREDICATES_TURNED = _PREDICATES | {
    "less": "gt",
    "less_equal": "ge",
    "greater": "lt",
    "greater_equal": "le",
}

_LOOPS: dict[str, Emit] = {
    "add": _arithmetic("add", of_bools="or"),
    "subtract": _arithmetic("sub"),
    "multiply": _arithmetic("mul", of_bools="and"),
    "divide": _divide,
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "fmod": _fmod,
    "negative": _negative,
    "positive": _identity,
    "conjugate": _identity,
    "absolute": _absolute,
    "fabs": _absolute,
    "square": _square,
    "sqrt": _intrinsic("llvm.sqrt"),
    "reciprocal": _reciprocal,
    "copysign": _copysign,
    "maximum": _extremum("gt", "max", "or", number_wins=False),
    "minimum": _extremum("lt", "min", "and", number_wins=False),
    "fmax": _extremum("gt", "max", "or", number_wins=True),
    "fmin": _extremum("lt", "min", "and", number_wins=True),
    "sign": _sign,
    "floor": _intrinsic("llvm.floor"),
    "ceil": _intrinsic("llvm.ceil"),
    "trunc": _intrinsic("llvm.trunc"),
    "rint": _intrinsic("llvm.rint"),
    "isnan": _of_floating(_is_nan, of_integers=False),
    "isinf": _of_floating(_is_infinite, of_integers=False),
    "isfinite": _of_floating(_is_finite, of_integers=True),
    "signbit": _sign_bit,
    "spacing": _spacing,
    "nextafter": _next_after,
    "heaviside": _heaviside,
    "ldexp": _ldexp,
    **{name: _comparison(predicate) for name, predicate in _PREDICATES.items()},
    "logical_and": _logical("and"),
    "logical_or": _logical("or"),
    "logical_xor": _logical("xor"),
    "logical_not": _logical_not,
    "bitwise_and": _bitwise("and"),
    "bitwise_or": _bitwise("or"),
    "bitwise_xor": _bitwise("xor"),
    "invert": _invert,
    "left_shift": _shift(to_left=True),
    "right_shift": _shift(to_left=False),
    "deg2rad": _times(lambda number: number(np.pi) / number(180)),
    "radians": _times(lambda number: number(np.pi) / number(180)),
    "rad2deg": _times(lambda number: number(180) / number(np.pi)),
    "degrees": _times(lambda number: number(180) / number(np.pi)),
}

_ON_HALF = frozenset({"nextafter", "spacing"})


# Powers


def _number(node: Node) -> Any:
    """Take the value of a constant that cannot change, which an ndarray can; None otherwise."""
    if isinstance(node.operation, Constant) and not isinstance(node.operation.value, np.ndarray):
        return node.operation.value
    return None


def _integer_power(function: Function, x: Value, exponent: int) -> Value:
    """Multiply by repeated squaring."""
    result = function.constant(x.type, 1) if exponent == 0 else None
    while exponent:
        if exponent & 1:
            result = x if result is None else function.multiply(result, x)
        exponent >>= 1
        if exponent:
            x = function.multiply(x, x)
    assert result is not None
    return result


def _power_by_number(node: Node, dtype: DType) -> Emit | None:
    """Make the loop of a power whose exponent is known, where it needs no logarithm."""
    number = _number(node.inputs[1])
    if number is None:
        return None
    if dtype.kind != "f":
        if number < 0:
            return None  # which NumPy refuses
        return lambda function, dtype, x, y: _integer_power(function, x, int(number))
    exponent = _rounded(number, dtype)
    if exponent in {0, 1, 2, 3, 4}:
        # The cube and the fourth power are within 1.5 units in the last place.
        return lambda function, dtype, x, y: _integer_power(function, x, int(exponent))
    if exponent == -1:
        return lambda function, dtype, x, y: _reciprocal(function, dtype, x)
    if exponent != 0.5:
        return None
    # NumPy takes the square root for arrays, C's pow for its scalars and in float16.
    is_operator = node.operation.name == "pow"
    types = [each.type for each in node.inputs if isinstance(each.type, ArrayType)]
    if dtype == _FLOAT16:
        by_root = is_operator and type(number) is float and types[0].shape != ()
    else:
        by_root = not is_operator or any(each.shape != () for each in types)
    return lambda function, dtype, x, y: _root(function, x, by_root)


def _root(function: Function, x: Value, plain: bool) -> Value:
    """Take the square root, or the power 1/2, which differs from it at −0 and −∞."""
    if plain:
        return function.intrinsic("llvm.sqrt", x)
    root = function.intrinsic("llvm.sqrt", function.add(x, function.zero(x.type)))
    infinity = function.constant(x.type, math.inf)
    return function.select(function.compare("oeq", x, function.negate(infinity)), infinity, root)


# What is put together from transcendental functions


def _apply(name: str, function: Function, *arguments: Value) -> Value:
    return mathematics.TRANSCENDENTALS[name](function, *arguments)


def _transcendental(name: str) -> Emit:
    return lambda function, dtype, *arguments: _apply(name, function, *arguments)


def _times_log(log: str) -> Emit:
    """Make the loop of x · log(y), which is 0 where x is, unless y is NaN."""

    def emit(function: Function, dtype: DType, x: Value, y: Value) -> Value:
        zero = function.zero(x.type)
        nothing = function.binary(
            "and", function.compare("oeq", x, zero), function.compare("ord", y, y)
        )
        product = function.multiply(x, _apply(log, function, y))
        return function.select(nothing, zero, product)

    return emit


def _entropy(function: Function, dtype: DType, x: Value) -> Value:
    zero = function.zero(x.type)
    result = function.negate(function.multiply(x, _apply("log", function, x)))
    result = function.select(function.compare("oeq", x, zero), zero, result)
    minus_infinity = function.constant(x.type, -math.inf)
    return function.select(function.compare("olt", x, zero), minus_infinity, result)


def _logit(function: Function, dtype: DType, x: Value) -> Value:
    one, half = function.constant(x.type, 1), function.constant(x.type, 0.5)
    # Near 1/2, where the result is near 0, as the difference of two logarithms of opposite sign.
    twice = function.multiply(function.subtract(x, half), function.constant(x.type, 2))
    near = function.subtract(
        _apply("log1p", function, twice), _apply("log1p", function, function.negate(twice))
    )
    far = _apply("log", function, function.divide(x, function.subtract(one, x)))
    is_near = function.binary(
        "and",
        function.compare("oge", x, function.constant(x.type, 0.3)),
        function.compare("ole", x, function.constant(x.type, 0.65)),
    )
    return function.select(is_near, near, far)


def _where_defined(function: Function, x: Value, y: Value, result: Value, at_zero: Value) -> Value:
    """Continue a divergence of positive numbers to where x is 0 and where there is none."""
    zero, infinity = function.zero(x.type), function.constant(x.type, math.inf)
    positive = function.binary(
        "and", function.compare("ogt", x, zero), function.compare("ogt", y, zero)
    )
    empty = function.binary(
        "and", function.compare("oeq", x, zero), function.compare("oge", y, zero)
    )
    result = function.select(positive, result, function.select(empty, at_zero, infinity))
    nan = function.compare("uno", x, y)
    return function.select(nan, function.constant(x.type, math.nan), result)


def _relative_entropy(function: Function, dtype: DType, x: Value, y: Value) -> Value:
    ratio = function.divide(x, y)
    close = function.binary(
        "and",
        function.compare("ogt", ratio, function.constant(x.type, 0.5)),
        function.compare("olt", ratio, function.constant(x.type, 2)),
    )
    excess = function.divide(function.subtract(x, y), y)
    # A quotient that is no normal number has lost digits.
    tiny = np.finfo(np.float64 if x.type.element == "double" else np.float32).tiny
    is_normal = function.binary(
        "and",
        function.compare("oge", ratio, function.constant(x.type, float(tiny))),
        function.compare("olt", ratio, function.constant(x.type, math.inf)),
    )
    log = function.select(
        is_normal,
        _apply("log", function, ratio),
        function.subtract(_apply("log", function, x), _apply("log", function, y)),
    )
    log = function.select(close, _apply("log1p", function, excess), log)
    return _where_defined(function, x, y, function.multiply(x, log), function.zero(x.type))


def _divergence(function: Function, dtype: DType, x: Value, y: Value) -> Value:
    log = _apply("log", function, function.divide(x, y))
    result = function.add(function.subtract(function.multiply(x, log), x), y)
    return _where_defined(function, x, y, result, y)


def _huber(function: Function, dtype: DType, delta: Value, r: Value) -> Value:
    half = function.constant(r.type, 0.5)
    size = function.intrinsic("llvm.fabs", r)
    quadratic = function.multiply(function.multiply(half, r), r)
    linear = function.multiply(delta, function.subtract(size, function.multiply(half, delta)))
    result = function.select(function.compare("ole", size, delta), quadratic, linear)
    negative = function.compare("olt", delta, function.zero(delta.type))
    return function.select(negative, function.constant(r.type, math.inf), result)


def _pseudo_huber(function: Function, dtype: DType, delta: Value, r: Value) -> Value:
    slope = function.divide(r, delta)
    log = _apply("log1p", function, function.multiply(slope, slope))
    excess = _apply("expm1", function, function.multiply(function.constant(r.type, 0.5), log))
    result = function.multiply(function.multiply(delta, delta), excess)
    zero = function.zero(r.type)
    nothing = function.binary(
        "or", function.compare("oeq", delta, zero), function.compare("oeq", r, zero)
    )
    result = function.select(nothing, zero, result)
    negative = function.compare("olt", delta, zero)
    return function.select(negative, function.constant(r.type, math.inf), result)


def _in_double(emit: Emit) -> Emit:
    """Make the loop of a function that SciPy computes in double precision alone."""

    def wide(function: Function, dtype: DType, *arguments: Value) -> Value:
        result = emit(
            function, _FLOAT64, *(_to_floating(function, each, "double") for each in arguments)
        )
        return _to_floating(function, result, arguments[0].type.element)

    return wide


_COMPOSITES: dict[str, tuple[Emit, frozenset[str]]] = {
    "xlogy": (_times_log("log"), frozenset({"log"})),
    "xlog1py": (_times_log("log1p"), frozenset({"log1p"})),
    "logit": (_logit, frozenset({"log", "log1p"})),
    "entr": (_entropy, frozenset({"log"})),
    "rel_entr": (_relative_entropy, frozenset({"log", "log1p"})),
    "kl_div": (_in_double(_divergence), frozenset({"log"})),
    "huber": (_in_double(_huber), frozenset()),
    "pseudo_huber": (_in_double(_pseudo_huber), frozenset({"expm1", "log1p"})),
}
"""Loops, and the transcendental functions that each needs."""


# Which loop a node takes


@dataclass(frozen=True, slots=True)
class _Loop:
    """How the entries of a node are computed.

    Attributes
    ----------
    emit : callable
    arguments : tuple of numpy.dtype
        What the arguments are converted to.
    result : numpy.dtype
        Of what `emit` gives.
    widens : bool
        Whether float16 is computed in float32.
    is_ufunc : bool
        Whether Python's integers become floating-point numbers by way of float64, as ufuncs do it.
    """

    emit: Emit
    arguments: tuple[DType, ...]
    result: DType
    widens: bool = True
    is_ufunc: bool = True


def can_lower(node: Node) -> bool:
    """Whether `emit_operation` knows a node: its operation and the dtypes of its arguments."""
    return _loop_of(node) is not None


def emit_operation(function: Function, node: Node, arguments: Sequence[Value]) -> Value:
    """Append the instructions of an element-wise operation.

    Parameters
    ----------
    function : Function
    node : Node
        One that `can_lower` accepts.
    arguments : sequence of Value
        One for each input of the node, scalars or vectors, all with the same number of lanes, in
        the form that their dtypes have in registers.

    Returns
    -------
    Value
        In the form that the node's dtype has in registers.

    Raises
    ------
    ValueError
        For a node that `can_lower` refuses.
    """
    loop = _loop_of(node)
    if loop is None:
        raise ValueError(f"native code has no {node.operation.name} of these dtypes")
    return _emit_loop(function, node, loop, arguments)


def emit_unchecked_scale(function: Function, node: Node, arguments: Sequence[Value]) -> Value:
    """Append the product of a ``scale``, in which NaN is not yet looked for.

    Where the product is NaN and either factor is zero, ``scale`` itself is zero; everywhere else
    the two agree.
    """
    loop = _scale_loop(node, checked=False)
    if loop is None:
        raise ValueError(f"native code has no {node.operation.name} of these dtypes")
    return _emit_loop(function, node, loop, arguments)


def _emit_loop(function: Function, node: Node, loop: _Loop, arguments: Sequence[Value]) -> Value:
    converted = [
        _argument(function, parent, value, dtype, loop)
        for parent, value, dtype in zip(node.inputs, arguments, loop.arguments, strict=True)
    ]
    result = loop.emit(function, loop.arguments[0], *converted)
    if loop.result == _FLOAT16:
        result = _to_floating(function, result, "half")
    return convert(function, result, loop.result, _array_type(node).dtype)


def _argument(function: Function, parent: Node, x: Value, dtype: DType, loop: _Loop) -> Value:
    """Bring an argument to the dtype that is computed in, and float16 on to float32."""
    source = _array_type(parent).dtype
    number = _number(parent)
    if type(number) is int and not _fits(number, _INT64):
        x = _large_number(function, x.type, number, dtype)
    else:
        by_float64 = source.kind == "i" and dtype.kind == "f" and _array_type(parent).weak
        if by_float64 and loop.is_ufunc:
            x = convert(function, x, source, _FLOAT64)
            source = _FLOAT64
        x = convert(function, x, source, dtype)
    if x.type.element == "half" and loop.widens:
        x = function.cast("fpext", x, "float")
    return x


def _large_number(function: Function, kind: Type, number: int, dtype: DType) -> Value:
    """Make a Python integer that int64 does not hold."""
    kind = kind.of(_known_element(dtype))
    if dtype.kind == "f":
        return function.constant(kind, _rounded(number, dtype))
    return function.constant(kind, number - 2**64)  # the same bits


def _rounded(number: float, dtype: DType) -> float:
    """Round a Python number as a floating-point dtype does, to infinity where it is too large."""
    try:
        number = float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
    with np.errstate(over="ignore"):
        return float(dtype.type(number))


def _fits(number: int, dtype: DType) -> bool:
    limits = np.iinfo(dtype)
    return int(limits.min) <= number <= int(limits.max)


def _array_type(node: Node) -> ArrayType:
    assert isinstance(node.type, ArrayType)
    return node.type


def _loop_of(node: Node) -> _Loop | None:
    operation = node.operation
    if not isinstance(operation, Primitive):
        return None
    types = [each.type for each in (*node.inputs, node)]
    if not all(
        isinstance(each, ArrayType) and register_element(each.dtype) is not None for each in types
    ):
        return None
    special = _SPECIAL.get(operation.name)
    if special is not None and special[0] is operation:
        return special[1](node)
    if isinstance(operation.infer, partial) and operation.infer.func is ufunc_type:
        return _ufunc_loop(node, operation.infer.args[0])
    return None


def _ufunc_loop(node: Node, ufunc: np.ufunc) -> _Loop | None:
    name = ufunc.__name__
    dtypes = _loop_dtypes(node, ufunc)
    if dtypes is None:
        return None
    *arguments, result = dtypes
    emit = _emit_of(node, name, arguments[0])
    if emit is None:
        return None
    if name in _PREDICATES and {each.kind for each in arguments} == {"i", "u"}:
        emit = _mixed_comparison(name, arguments[0].kind == "i")
    return _Loop(emit, tuple(arguments), result, name not in _ON_HALF)


def _emit_of(node: Node, name: str, dtype: DType) -> Emit | None:
    if name == "power":
        emit = _power_by_number(node, dtype)
        if emit is not None or dtype.kind != "f":
            return emit
    if name in _LOOPS:
        return _LOOPS[name]
    if name in mathematics.TRANSCENDENTALS:
        return _transcendental(name)
    if name in _COMPOSITES:
        emit, needed = _COMPOSITES[name]
        return emit if needed <= mathematics.TRANSCENDENTALS.keys() else None
    return None


def _loop_dtypes(node: Node, ufunc: np.ufunc) -> tuple[DType, ...] | None:
    """Find the dtypes that a ufunc computes in; None where a number does not fit in them."""
    types = [_array_type(each) for each in node.inputs]
    if _array_type(node).weak:
        dtypes = _python_dtypes(node, ufunc.__name__)
    elif ufunc.__name__ in _PREDICATES and all(each.dtype.kind in "biu" for each in types):
        dtypes = _exact_comparison(node)
    else:
        dtypes = _resolved(ufunc, *_promotion_types(types))
    if dtypes is None or any(register_element(each) is None for each in dtypes):
        return None
    for parent, dtype in zip(node.inputs, dtypes[:-1], strict=True):
        number = _number(parent)
        if type(number) is int and not _can_hold(dtype, number):
            return None
    return dtypes


def _promotion_types(types: Sequence[ArrayType]) -> list[DType | type]:
    """Make what stands for the arguments in NumPy's promotion, as in `ufunc_type`."""
    return [
        each.dtype if each.dtype.kind == "b" or len(types) == 1 else each.promotion_type
        for each in types
    ]


@cache
def _resolved(ufunc: np.ufunc, *dtypes: Any) -> tuple[DType, ...]:
    resolved: tuple[DType, ...] = ufunc.resolve_dtypes((*dtypes, *[None] * ufunc.nout))
    return resolved


def _can_hold(dtype: DType, number: int) -> bool:
    if dtype.kind in "iu":
        return _fits(number, dtype)
    # NumPy refuses integers that float64 has not, whatever the dtype.
    return dtype.kind == "b" or math.isfinite(_rounded(number, _FLOAT64))


def _exact_comparison(node: Node) -> tuple[DType, ...]:
    """Compare integers by their values, also a Python integer that an array's dtype has not."""
    dtypes = []
    for parent in node.inputs:
        number = _number(parent)
        is_large = type(number) is int and not _fits(number, _INT64)
        dtypes.append(_UINT64 if is_large else _array_type(parent).dtype)
    common = np.result_type(*dtypes)
    if common.kind != "f":
        return (common, common, _BOOL)
    return (*(_INT64 if each.kind == "i" else _UINT64 for each in dtypes), _BOOL)


_EXACT_IN_FLOAT64 = 2**53
_SMALL = 2**31


def _python_dtypes(node: Node, name: str) -> tuple[DType, ...] | None:
    """Find the dtypes that stand for Python numbers among themselves.

    Integers have no bounds there. Those that are not constants come from bools and small
    constants alone, so that none of them is too large.
    """
    kinds = {_array_type(each).dtype.kind for each in node.inputs}
    result = _array_type(node).dtype
    numbers = [_number(each) for each in node.inputs]
    integers = [abs(each) for each in numbers if type(each) is int]
    inputs = len(node.inputs)
    if "f" in kinds or result.kind == "f":
        exact = all(each <= _EXACT_IN_FLOAT64 for each in integers)
        return (*[_FLOAT64] * inputs, result) if exact else None
    if name.startswith("bitwise") or name in _PREDICATES:
        dtype = _BOOL if kinds == {"b"} else _INT64
        return (*[dtype] * inputs, result)
    small = all(
        _array_type(parent).dtype.kind == "b" or (type(number) is int and abs(number) < _SMALL)
        for parent, number in zip(node.inputs, numbers, strict=True)
    )
    is_bounded = name in {"add", "subtract", "multiply", "negative", "positive", "absolute"}
    return (*[_INT64] * inputs, result) if small and is_bounded else None


def _mixed_comparison(name: str, signed_first: bool) -> Emit:
    """Make the comparison of int64 with uint64, which no integer dtype holds both of."""
    predicate = (_PREDICATES if signed_first else _PREDICATES_TURNED)[name]

    def emit(function: Function, dtype: DType, x: Value, y: Value) -> Value:
        signed, unsigned = (x, y) if signed_first else (y, x)
        negative = function.compare("slt", signed, function.zero(signed.type))
        holds = function.compare(
            predicate if predicate in {"eq", "ne"} else "u" + predicate, signed, unsigned
        )
        if predicate in {"lt", "le", "ne"}:
            return function.binary("or", negative, holds)
        true = function.constant(negative.type, 1)
        return function.binary("and", function.binary("xor", negative, true), holds)

    return emit


# The primitives that are no ufuncs


def _scale_loop(node: Node, checked: bool = True) -> _Loop | None:
    g, derivative = (_array_type(each) for each in node.inputs)
    if derivative.dtype == _BOOL and not derivative.weak:
        return _Loop(_kept_where, (g.dtype, _BOOL), g.dtype, widens=False)
    dtypes = _loop_dtypes(node, np.multiply)
    if dtypes is None:
        return None
    is_float = dtypes[0].kind == "f"
    emit = _careful_product if checked and is_float else _LOOPS["multiply"]
    return _Loop(emit, dtypes[:-1], dtypes[-1])


def _kept_where(function: Function, dtype: DType, g: Value, derivative: Value) -> Value:
    return function.select(derivative, g, function.zero(g.type))


def _careful_product(function: Function, dtype: DType, g: Value, derivative: Value) -> Value:
    product = function.multiply(g, derivative)
    zero = function.zero(g.type)
    nothing = function.binary(
        "or", function.compare("oeq", g, zero), function.compare("oeq", derivative, zero)
    )
    wins = function.binary("and", _is_nan(function, product), nothing)
    return function.select(wins, zero, product)


def _where_loop(node: Node) -> _Loop | None:
    dtype = _array_type(node).dtype
    for parent in node.inputs[1:]:
        number = _number(parent)
        if type(number) is int and not (_fits(number, _INT64) and _can_hold(dtype, number)):
            return None
    return _Loop(
        lambda function, _, condition, x, y: function.select(condition, x, y),
        (_BOOL, dtype, dtype),
        dtype,
        widens=False,
        is_ufunc=False,
    )


def _cast_loop(node: Node) -> _Loop | None:
    number = _number(node.inputs[0])
    if type(number) is int and not _fits(number, _INT64):
        return None
    dtype = _array_type(node).dtype
    return _Loop(_identity, (dtype,), dtype, widens=False, is_ufunc=False)


def _part_loop(emit: Emit, node: Node) -> _Loop | None:
    dtype = _array_type(node).dtype
    # Python's bools and integers have integers for parts.
    return None if _array_type(node).weak and dtype != _FLOAT64 else _Loop(emit, (dtype,), dtype)


_SPECIAL: dict[str, tuple[Primitive, Callable[[Node], _Loop | None]]] = {
    "scale": (SCALE, _scale_loop),
    "where": (PRIMITIVES["where"], _where_loop),
    "cast": (PRIMITIVES["cast"], _cast_loop),
    "convert": (PRIMITIVES["convert"], _cast_loop),
    "real": (PRIMITIVES["real"], partial(_part_loop, _identity)),
    "imag": (PRIMITIVES["imag"], partial(_part_loop, _zero)),
}
