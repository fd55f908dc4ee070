"""Elementary and special functions as branch-free code, for scalars and vectors alike.

The largest errors met, in units in the last place of the exact result:

==========  ========  ========
Function    float32   float64
==========  ========  ========
arccos      1.08      1.13
arccosh     1.56      1.51
arcsin      1.10      1.12
arcsinh     1.56      1.52
arctan      1.39      1.39
arctan2     1.51      1.47
arctanh     1.56      1.50
cbrt        0.51      0.51
cos         0.82      0.84
cosh        1.27      1.32
erf         1.05      1.06
erfc        1.78      2.78
exp         0.88      0.89
exp2        0.99      1.05
expit       1.97      1.94
expm1       1.15      1.27
hypot       1.02      1.03
log         0.94      0.85
log10       1.00      0.88
log1p       1.53      1.39
log2        1.10      1.00
log_expit   1.74      1.64
logaddexp   1.69      1.61
logaddexp2  1.67      1.69
power       0.51      0.91
sin         0.83      0.83
sinh        1.60      1.60
sqrt        0.50      0.50
tan         1.10      1.07
tanh        1.65      1.55
==========  ========  ========

tanh was run on every float32 there is, exp, expit, expm1, log and log1p on every fifth, the others
and float64 on millions of numbers each (erf and erfc on 240,000): of random bits, and close
together where a method changes. The whole range counts: results and arguments that are subnormal,
and angles of any size. logaddexp and logaddexp2 are within theirs where no argument is negative or
one is 0; elsewhere the sum cancels as NumPy's does. Infinities, NaN and signed zeros are NumPy's.

A scalar and a lane of a vector give the same bits: nothing is left to a library but the
multiply-add of processors that have none, which rounds once too. So do all instruction sets, but
for expit and tanh in float32, which AVX-512 corrects from an estimate: these differ by a last bit
in some places, and may do so between two makers of AVX-512. The only jump is to where sin, cos and
tan of very large angles are reduced.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from steepest.engines.native.assembly import (
    BOOL,
    DOUBLE,
    INT32,
    INT64,
    Function,
    Module,
    Type,
    Value,
)

__all__ = ["TRANSCENDENTALS"]

_INFINITY = math.inf
_LOG_2 = math.log(2)


# -- formulas ---------------------------------------------------------------------------------


class _Number:
    """A value under formulas' own signs: each operator appends one instruction.

    Comparisons are ordered: they do not hold for NaN.
    """

    __slots__ = ("function", "value")

    def __init__(self, function: Function, value: Value) -> None:
        self.function = function
        self.value = value

    @property
    def kind(self) -> Type:
        return self.value.type

    def like(self, other: _Number | float) -> Value:
        """Make a number of this one's type."""
        if isinstance(other, _Number):
            return other.value
        return self.function.constant(self.kind, other)

    def _apply(self, operation: str, x: _Number | float, y: _Number | float) -> _Number:
        value = self.function.binary(operation, self.like(x), self.like(y))
        return _Number(self.function, value)

    def _arithmetic(self, operation: str, x: _Number | float, y: _Number | float) -> _Number:
        return self._apply(("f" if self.kind.is_floating else "") + operation, x, y)

    def __add__(self, other: _Number | float) -> _Number:
        return self._arithmetic("add", self, other)

    def __radd__(self, other: float) -> _Number:
        return self._arithmetic("add", other, self)

    def __sub__(self, other: _Number | float) -> _Number:
        return self._arithmetic("sub", self, other)

    def __rsub__(self, other: float) -> _Number:
        return self._arithmetic("sub", other, self)

    def __mul__(self, other: _Number | float) -> _Number:
        return self._arithmetic("mul", self, other)

    def __rmul__(self, other: float) -> _Number:
        return self._arithmetic("mul", other, self)

    def __truediv__(self, other: _Number | float) -> _Number:
        return self._apply("fdiv", self, other)

    def __rtruediv__(self, other: float) -> _Number:
        return self._apply("fdiv", other, self)

    def __neg__(self) -> _Number:
        return _Number(self.function, self.function.negate(self.value))

    def __and__(self, other: _Number | int) -> _Number:
        return self._apply("and", self, other)

    def __or__(self, other: _Number | int) -> _Number:
        return self._apply("or", self, other)

    def __xor__(self, other: _Number | int) -> _Number:
        return self._apply("xor", self, other)

    def __lshift__(self, count: _Number | int) -> _Number:
        return self._apply("shl", self, count)

    def __rshift__(self, count: _Number | int) -> _Number:
        """Shift zeros in from above."""
        return self._apply("lshr", self, count)

    def _compare(self, predicate: str, other: _Number | float) -> _Number:
        value = self.function.compare(predicate, self.value, self.like(other))
        return _Number(self.function, value)

    def __lt__(self, other: _Number | float) -> _Number:
        return self._compare("olt", other)

    def __le__(self, other: _Number | float) -> _Number:
        return self._compare("ole", other)

    def __gt__(self, other: _Number | float) -> _Number:
        return self._compare("ogt", other)

    def __ge__(self, other: _Number | float) -> _Number:
        return self._compare("oge", other)

    def equals(self, other: _Number | float) -> _Number:
        return self._compare("oeq" if self.kind.is_floating else "eq", other)

    def is_nan(self) -> _Number:
        return self._compare("uno", self)

    def bits(self) -> _Number:
        """Take the same bits as an integer."""
        return self.cast("bitcast", f"i{self.kind.bits}")

    def floating(self, element: str) -> _Number:
        """Take the same bits as a floating-point number."""
        return self.cast("bitcast", element)

    def cast(self, operation: str, element: str) -> _Number:
        """Convert by fpext, fptrunc, sitofp, zext, trunc or bitcast."""
        return _Number(self.function, self.function.cast(operation, self.value, element))

    def magnitude(self) -> _Number:
        """|x|."""
        return _Number(self.function, self.function.intrinsic("llvm.fabs", self.value))

    def with_sign_of(self, other: _Number) -> _Number:
        """|x| with another number's sign."""
        value = self.function.intrinsic("llvm.copysign", self.value, other.value)
        return _Number(self.function, value)

    def constant(self, value: float) -> _Number:
        """Make a constant of the same type."""
        return _Number(self.function, self.function.constant(self.kind, value))


def _fma(x: _Number, y: _Number | float, z: _Number | float) -> _Number:
    """X · y + z, rounded once."""
    return _Number(x.function, x.function.multiply_add(x.value, x.like(y), x.like(z)))


def _select(condition: _Number, x: _Number | float, y: _Number | float) -> _Number:
    """Take x where the condition holds, y elsewhere; one of them is a `_Number`."""
    like = x if isinstance(x, _Number) else y
    if not isinstance(like, _Number):
        raise TypeError("a choice between two literals has no type")
    function = condition.function
    return _Number(function, function.select(condition.value, like.like(x), like.like(y)))


def _at_most(x: _Number, bound: _Number | float) -> _Number:
    """Take the smaller; NaN where x is NaN."""
    return _select(x > bound, bound, x)


def _at_least(x: _Number, bound: _Number | float) -> _Number:
    """Take the larger; NaN where x is NaN."""
    return _select(x < bound, bound, x)


def _polynomial(x: _Number, coefficients: Sequence[float]) -> _Number:
    """Sum up coefficients[k] · x^k.

    Long ones are split in even and odd powers, which halves the chain of dependent instructions.
    """

    def horner(at: _Number, these: Sequence[float]) -> _Number:
        total = at.constant(these[-1])
        for each in reversed(these[:-1]):
            total = _fma(total, at, each)
        return total

    if len(coefficients) < 7:
        return horner(x, coefficients)
    square = x * x
    return _fma(horner(square, coefficients[1::2]), x, horner(square, coefficients[::2]))


def _by_pairs(x: _Number, square: _Number, coefficients: Sequence[float]) -> _Number:
    """Sum up a polynomial in x, whose square is known: the first level of Estrin's scheme."""
    pairs = [
        _fma(x, odd, even) for even, odd in zip(coefficients[::2], coefficients[1::2], strict=False)
    ]
    if len(coefficients) % 2:
        pairs.append(x.constant(coefficients[-1]))
    total = pairs.pop()
    while pairs:
        total = _fma(total, square, pairs.pop())
    return total


def _sqrt(x: _Number) -> _Number:
    return _Number(x.function, x.function.intrinsic("llvm.sqrt", x.value))


class _Format(NamedTuple):
    """The parameters of a floating-point format."""

    element: str
    precision: int  # bits of the significand
    bias: int  # of the exponent
    log_2: tuple[float, float]  # log 2 as the sum of two numbers

    @property
    def fraction(self) -> int:
        """Stored bits of the significand."""
        return self.precision - 1

    @property
    def rounder(self) -> float:
        """A number that is so large that adding it rounds to integers."""
        return 1.5 * 2.0**self.fraction

    @property
    def rounder_bits(self) -> int:
        """The bits of `rounder`."""
        return ((self.bias + self.fraction) << self.fraction) | (1 << (self.fraction - 1))

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)


_FORMATS = {
    "float": _Format("float", 24, 127, (0.693147182464599609375, -1.9046542121259335e-09)),
    "double": _Format("double", 53, 1023, (0.6931471805599453, 2.319046813846299558e-17)),
}


def _format(x: _Number) -> _Format:
    return _FORMATS[x.kind.element]


class _Integer(NamedTuple):
    """An integer n in two forms, of which code has those that are used.

    Attributes
    ----------
    number : floating point
    bits : integer
        Its low bits are those of n; NaN gives any.
    """

    number: _Number
    bits: _Number

    def __sub__(self, other: int) -> _Integer:
        return _Integer(self.number - float(other), self.bits - other)


def _rounded(x: _Number, factor: float) -> _Integer:
    """Round x · factor to the nearest integer."""
    rounder = _format(x).rounder
    shifted = _fma(x, factor, rounder)
    return _Integer(shifted - rounder, shifted.bits())


def _power_of_two(bits: _Number, fmt: _Format, exponent: int = 0) -> _Number:
    """2^(n + exponent), of an integer's low bits: within the range of normal numbers."""
    return ((bits << fmt.fraction) + ((fmt.bias + exponent) << fmt.fraction)).floating(fmt.element)


def _scaled(x: _Number, n: _Integer, fmt: _Format) -> _Number:
    """X · 2^n, rounded once also where the result is subnormal, infinite where it is too large."""
    if x.function.module.has_avx_512:
        return _avx_512("mask.scalef", x, n.number)
    half = n.bits >> 1
    return x * _power_of_two(half, fmt) * _power_of_two(n.bits - half, fmt)


def _has_estimates(x: _Number) -> bool:
    """Whether 1 / x is known within 2^-14 at less than the cost of a division.

    In double precision, it takes steps from there to what a correction needs: little is left.
    """
    return x.function.module.has_avx_512 and x.kind.element == "float"


def _estimate(x: _Number) -> _Number:
    """1 / x within 2^-14, where `_has_estimates`, of a normal number whose inverse is one."""
    return _avx_512("rcp14", x)


def _avx_512(name: str, x: _Number, *others: _Number, code: int | None = None) -> _Number:
    """Apply an instruction of AVX-512 by its own name.

    Parameters
    ----------
    name : str
        As LLVM has it: "mask.scalef", "rcp14".
    code : int, optional
        What the instruction has as a constant.
    """
    function = x.function
    suffix = {"float": "ps", "double": "pd"}[x.kind.element]
    codes = [] if code is None else [Value(str(code), INT32)]

    def apply(*arguments: Value) -> Value:
        kind = arguments[0].type
        width = kind.lanes * kind.bits
        # What entries are where a mask leaves them out, and the mask, which leaves none.
        masked = [function.zero(kind), Value("-1", Type(f"i{max(kind.lanes, 8)}"))]
        # Numbers are rounded as always, which the widest are told, unless they are estimates.
        rounded = [Value("4", INT32)] if width == 512 and name.startswith("mask.") else []
        full = f"llvm.x86.avx512.{name}.{suffix}.{width}"
        return function.call_declared(full, kind, *arguments, *codes, *masked, *rounded)

    return _Number(function, function.by_registers(apply, x.value, *(y.value for y in others)))


# -- exponentials -----------------------------------------------------------------------------

# (exp r − 1 − r) / r² on |r| ≤ log(2)/2, relative to exp r: within 2^-28.2 and 2^-57.6.
_EXP = {
    "float": (
        0.4999999403953552,
        0.16666516661643982,
        0.04166810214519501,
        0.008369166404008865,
        0.001383802155032754,
    ),
    "double": (
        0.5000000000000011,
        0.16666666666666435,
        0.04166666666652574,
        0.008333333333475712,
        0.0013888888944888146,
        0.00019841269557005554,
        2.480149181238758e-05,
        2.7557536319297584e-06,
        2.7630681239475493e-07,
        2.5016470105030155e-08,
    ),
}

# The same, relative to expm1 r: within 2^-28.7 and 2^-61.3.
_EXPM1 = {
    "float": (
        0.5,
        0.1666666567325592,
        0.04166635870933533,
        0.008333390578627586,
        0.0013940664939582348,
        0.00019845162751153111,
    ),
    "double": (
        0.5,
        0.16666666666666677,
        0.041666666666666685,
        0.008333333333321837,
        0.001388888888889591,
        0.000198412698851376,
        2.4801587267678072e-05,
        2.7557245405622315e-06,
        2.7557344482830613e-07,
        2.5108595193935565e-08,
        2.088799164177924e-09,
    ),
}

# (2^r − 1) / r on |r| ≤ 1/2, relative to 2^r: within 2^-32.3 and 2^-56.0.
_EXP2 = {
    "float": (
        0.6931471824645996,
        0.24022650718688965,
        0.055504050105810165,
        0.009618088603019714,
        0.0013338028220459819,
        0.00015451251238118857,
        1.4294599168351851e-05,
    ),
    "double": (
        0.6931471805599453,
        0.24022650695910097,
        0.05550410866482345,
        0.009618129107606888,
        0.0013333558146001363,
        0.0001540353044173605,
        1.5252734209788748e-05,
        1.321544258792169e-06,
        1.0177910464793781e-07,
        7.072585949269223e-09,
        4.477066933021752e-10,
    ),
}

# Where exp(x) is 0 and infinite for certain, of x and of x / log 2.
_EXP_RANGE = {"float": (-104.0, 89.0), "double": (-746.0, 710.0)}
_EXP2_RANGE = {"float": (-151.0, 129.0), "double": (-1076.0, 1025.0)}

# expm1(x) is −1 below, to rounding.
_EXPM1_LEAST = {"float": -20.0, "double": -40.0}


def _reduced(x: _Number) -> tuple[_Number, _Number, _Integer]:
    """Split x = n · log 2 + r, |r| ≤ log(2)/2.

    Returns
    -------
    high, low : floating point
        r is their sum; high is exact.
    n : integer
    """
    high, low = _format(x).log_2
    n = _rounded(x, 1 / _LOG_2)
    # Exact: multiples of the last bit of log 2 or of x, and less than one.
    return _fma(-n.number, high, x), -n.number * low, n


def _exp_within(x: _Number, more: _Number | None = None) -> _Number:
    """Exp of x, or of x + more, for x within `_EXP_RANGE` and more that is small beside it."""
    fmt = _format(x)
    high, low, n = _reduced(x)
    if more is not None:
        low = low + more
    return _scaled(_exp_reduced(high, low) + 1.0, n, fmt)


def _exp_reduced(high: _Number, low: _Number) -> _Number:
    """exp(high + low) − 1 on |x| ≤ log(2)/2, beside 1."""
    r = high + low
    return high + _fma(r * r, _polynomial(r, _EXP[r.kind.element]), low)


def _exp(x: _Number) -> _Number:
    least, largest = _EXP_RANGE[x.kind.element]
    return _exp_within(_at_most(_at_least(x, least), largest))


def _exp_of_negative(x: _Number) -> _Number:
    """Exp of what is not positive."""
    return _exp_within(_at_least(x, _EXP_RANGE[x.kind.element][0]))


def _exp2(x: _Number) -> _Number:
    fmt = _format(x)
    least, largest = _EXP2_RANGE[fmt.element]
    x = _at_most(_at_least(x, least), largest)
    n = _rounded(x, 1.0)
    r = x - n.number
    return _scaled(_fma(r, _polynomial(r, _EXP2[fmt.element]), 1.0), n, fmt)


def _expm1(x: _Number) -> _Number:
    fmt = _format(x)
    clamped = _at_most(_at_least(x, _EXPM1_LEAST[fmt.element]), _EXP_RANGE[fmt.element][1])
    high, low, n = _reduced(clamped)
    r = high + low
    tail = _fma(r * r, _polynomial(r, _EXPM1[fmt.element]), low)
    # Half of it, since 2^n itself may be too large; not where half of it is subnormal.
    power = _power_of_two(n.bits, fmt, -1)
    half = _fma(power, tail, _fma(power, high, power - 0.5))
    return _select(x.magnitude() < 2.0**-fmt.precision, x, half + half)


# -- logarithms -------------------------------------------------------------------------------

# (log(1 + f) − f + f²/2) / f³ on √½ ≤ 1 + f ≤ √2, relative to log(1 + f): within 2^-27.3.
_LOG_FLOAT = (
    0.3333333134651184,
    -0.2500082552433014,
    0.20001265406608582,
    -0.1662321835756302,
    0.14200712740421295,
    -0.13160516321659088,
    0.12769611179828644,
    -0.07643996179103851,
)

# (2 artanh(s) / s − 2) / s², in s², on |s| ≤ (√2 − 1) / (√2 + 1), relative to 2 artanh s:
# within 2^-59.5.
_LOG_DOUBLE = (
    0.6666666666666735,
    0.3999999999940937,
    0.28571428743681315,
    0.22222198429548629,
    0.18183572327162073,
    0.15313832761378274,
    0.14798254353608709,
)


def _log1p_tail(f: _Number) -> _Number:
    """log(1 + f) − f on √½ ≤ 1 + f ≤ √2."""
    if f.kind.element == "float":
        return f * f * _fma(f, _polynomial(f, _LOG_FLOAT), -0.5)
    # log(1 + f) = 2 artanh(s) = 2 s + s R, and 2 s = f − s f.
    s = f / (f + 2.0)
    square = s * s
    half_square = 0.5 * f * f
    r = square * _polynomial(square, _LOG_DOUBLE)
    return _fma(s, half_square + r, -half_square)


def _log_sum(exponent: _Number, f: _Number) -> _Number:
    """Exponent · log 2 + log(1 + f) on √½ ≤ 1 + f ≤ √2."""
    high, low = _format(f).log_2
    tail = _fma(exponent, low, _log1p_tail(f))
    return _fma(exponent, high, f + tail)


# √½, rounded down: what is below goes with the exponent below.
_ROOT_OF_HALF = {
    "float": float.fromhex("0x1.6a09e6p-1"),
    "double": float.fromhex("0x1.6a09e667f3bccp-1"),
}


def _split(x: _Number) -> tuple[_Number, _Number, _Number]:
    """Split a positive normal number into 2^exponent · m, √½ ≤ m < √2.

    Returns
    -------
    exponent, m : floating point
    exponent_bits : integer
        The exponent in place: exponent · 2^fraction.
    """
    fmt = _format(x)
    bits = x.bits()
    root = x.constant(_ROOT_OF_HALF[fmt.element]).bits()
    # Biased, so that no shift needs to keep a sign.
    biased = (bits + ((fmt.bias << fmt.fraction) - root)) >> fmt.fraction
    exponent_bits = (biased << fmt.fraction) - (fmt.bias << fmt.fraction)
    # An integer below 2^fraction is the fraction of 2^fraction + integer.
    base = 2.0**fmt.fraction
    base_bits = (fmt.bias + fmt.fraction) << fmt.fraction
    exponent = (biased | base_bits).floating(fmt.element) - (base + fmt.bias)
    return exponent, (bits - exponent_bits).floating(fmt.element), exponent_bits


def _split_any(x: _Number) -> tuple[_Number, _Number]:
    """Split a positive number, subnormal or not: exponent and m as of `_split`."""
    fmt = _format(x)
    if x.function.module.has_avx_512:
        # 1 ≤ m < 2 at first.
        exponent, m = _avx_512("mask.getexp", x), _avx_512("mask.getmant", x, code=0)
        above = m >= 2.0 * _ROOT_OF_HALF[fmt.element]
        return _select(above, exponent + 1.0, exponent), _select(above, m * 0.5, m)
    small = x < fmt.smallest_normal
    exponent, m, _ = _split(_select(small, x * 2.0**fmt.precision, x))
    return _select(small, exponent - fmt.precision, exponent), m


def _log_at_edges(x: _Number, result: _Number, zero: float = 0.0) -> _Number:
    """Put in what a logarithm is at infinity, NaN, zero (which is elsewhere for log1p), below."""
    result = _select(x < _INFINITY, result, x)
    below = _select(x.equals(zero), x.constant(-_INFINITY), math.nan)
    return _select(x <= zero, below, result)


def _log(x: _Number) -> _Number:
    exponent, m = _split_any(x)
    return _log_at_edges(x, _log_sum(exponent, m - 1.0))


def _log1p(x: _Number) -> _Number:
    fmt = _format(x)
    exponent, m, exponent_bits = _split(x + 1.0)
    # (1 + x) / 2^exponent − 1, rounded once: x as it is where the exponent is 0.
    inverse = ((fmt.bias << fmt.fraction) - exponent_bits).floating(fmt.element)
    f = _select(x < 2.0 ** (fmt.precision + 1), _fma(x, inverse, inverse - 1.0), m - 1.0)
    result = _log_sum(exponent, f).with_sign_of(x)
    return _log_at_edges(x, result, -1.0)


def _split_fraction(x: _Number) -> tuple[_Number, _Number]:
    """Split 1 + x, 0 ≤ x ≤ 1, into 2^exponent · (1 + f), √½ ≤ 1 + f ≤ √2."""
    above = x > math.sqrt(2) - 1
    return _select(above, x.constant(1.0), 0.0), _select(above, _fma(x, 0.5, -0.5), x)


def _log1p_of_fraction(x: _Number) -> _Number:
    """log1p on 0 ≤ x ≤ 1."""
    return _log_sum(*_split_fraction(x))


def _minus_distance(x: _Number, y: _Number) -> _Number:
    """−|x − y|: 0 also of two equal infinities."""
    return -_select(x.equals(y), 0.0, x - y).magnitude()


def _logaddexp(x: _Number, y: _Number) -> _Number:
    smaller = _exp_of_negative(_minus_distance(x, y))
    return _select(x > y, x, y) + _log1p_of_fraction(smaller)


# 1 / log(base), and the logarithm of 2 to it: each the sum of two numbers. The first one of log 2
# is short, so that 2000 times it is exact.
_BASES = {
    "float": {
        2: (1.4426950216293335, 1.925963033500011e-08, 1.0, 0.0),
        10: (0.4342944920063019, -1.0103049952192578e-08, 0.301025390625, 4.605039066518657e-06),
    },
    "double": {
        2: (1.4426950408889634, 2.0355273740931033e-17, 1.0, 0.0),
        10: (0.4342944819032518, 1.098319650216765e-17, 0.301029995663157, 8.241712586023572e-13),
    },
}


def _log_to_base(base: int, exponent: _Number, f: _Number) -> _Number:
    """Exponent · log 2 + log(1 + f) on √½ ≤ 1 + f ≤ √2, to a base."""
    factor, factor_low, two, two_low = _BASES[f.kind.element][base]
    start = exponent * two
    middle = f * factor
    rest = _fma(_log1p_tail(f), factor, _fma(f, factor_low, _fma(f, factor, -middle)))
    if two_low:
        rest = _fma(exponent, two_low, rest)
    total = start + middle
    return total + (((start - total) + middle) + rest)


def _log2(x: _Number) -> _Number:
    exponent, m = _split_any(x)
    return _log_at_edges(x, _log_to_base(2, exponent, m - 1.0))


def _log10(x: _Number) -> _Number:
    exponent, m = _split_any(x)
    return _log_at_edges(x, _log_to_base(10, exponent, m - 1.0))


def _logaddexp2(x: _Number, y: _Number) -> _Number:
    smaller = _exp2(_minus_distance(x, y))
    return _select(x > y, x, y) + _log_to_base(2, *_split_fraction(smaller))


# -- hyperbolic and logistic functions --------------------------------------------------------

# tanh(x) is 1 above, to rounding.
_TANH_ONE = {"float": 10.0, "double": 20.0}


def _tanh(x: _Number) -> _Number:
    fmt = _format(x)
    is_float = fmt.element == "float"
    magnitude = _at_most(x.magnitude(), _TANH_ONE[fmt.element])
    # x = n · log(2)/2 + r. The bias in the number that rounds makes an exponent of the low bits.
    rounder = fmt.rounder + fmt.bias
    shifted = _fma(magnitude, 2 / _LOG_2, rounder)
    n = shifted - rounder
    power = (shifted.bits() << fmt.fraction).floating(fmt.element)
    half_log_2, half_log_2_low = (part / 2 for part in fmt.log_2)
    high = _fma(-n, half_log_2, magnitude)
    low = -n * half_log_2_low
    # What is left of log 2 is too little to be seen in single precision.
    r = high if is_float else high + low
    square = r * r
    # a = (exp(2x) − 1) / 2, of the polynomial for 2r.
    coefficients = [math.ldexp(each, k + 1) for k, each in enumerate(_EXPM1[fmt.element])]
    polynomial = _by_pairs(r, square, coefficients)
    start = _fma(power, 0.5, -0.5)
    if is_float:
        a = _fma(power, _fma(square, polynomial, r), start)
    else:
        a = _fma(power, _fma(square, polynomial, low), _fma(power, high, start))
    # a / (a + 1), and then what its roundings have lost.
    total = a + 1.0
    reciprocal = _estimate(total) if _has_estimates(x) else 1.0 / total
    result = a * reciprocal
    result = _fma(_fma(-result, a, a - result), reciprocal, result)
    return result.with_sign_of(x)


def _expit(x: _Number) -> _Number:
    # exp of what is not positive, so that nothing overflows.
    small = _exp_of_negative(-x.magnitude())
    total = small + 1.0
    numerator = _select(x < 0.0, small, 1.0)
    lost = small - (total - 1.0)
    if _has_estimates(x):
        inverse = _estimate(total)
        result = numerator * inverse
        error = _fma(-result, lost, _fma(-result, total, numerator))
        return _fma(error, inverse, result)
    result = numerator / total
    # What the sum lost, divided by about the sum.
    return _fma(-result, lost * _fma(small, -0.5, 1.0), result)


def _log_expit(x: _Number) -> _Number:
    return -(_at_least(-x, 0.0) + _log1p_of_fraction(_exp_of_negative(-x.magnitude())))


# (sinh x / x − 1) / x², in x², on |x| ≤ 1, relative to sinh x: within 2^-31.6 and 2^-61.8.
_SINH = {
    "float": (
        0.1666666716337204,
        0.00833331048488617,
        0.00019842895562760532,
        2.782211822704994e-06,
    ),
    "double": (
        0.16666666666666669,
        0.008333333333332912,
        0.00019841269841593408,
        2.7557319106758464e-06,
        2.5052130998257776e-08,
        1.6056659220789545e-10,
        7.776597940680809e-13,
    ),
}

# sinh(x) and cosh(x) are infinite above.
_SINH_LARGEST = {"float": 90.0, "double": 711.0}


def _half_exp(x: _Number) -> tuple[_Number, _Number]:
    """exp(x) / 2 and exp(−x) / 2 for x ≥ 0."""
    fmt = _format(x)
    high, low, n = _reduced(_at_most(x, _SINH_LARGEST[fmt.element]))
    half = _scaled(_exp_reduced(high, low) + 1.0, n - 1, fmt)
    return half, 0.25 / half


def _sinh(x: _Number) -> _Number:
    magnitude = x.magnitude()
    up, down = _half_exp(magnitude)
    square = magnitude * magnitude
    polynomial = _polynomial(square, _SINH[x.kind.element])
    small = _fma(magnitude * square, polynomial, magnitude)
    return _select(magnitude < 1.0, small, up - down).with_sign_of(x)


def _cosh(x: _Number) -> _Number:
    up, down = _half_exp(x.magnitude())
    return up + down


def _log_of_two(high: _Number, low: _Number, more: _Number | None = None) -> _Number:
    """log(high + low) + more · log 2, also where that is small; 2^-100 < high < 2^100."""
    fmt = _format(high)
    exponent, m, exponent_bits = _split(high)
    inverse = ((fmt.bias << fmt.fraction) - exponent_bits).floating(fmt.element)
    if more is not None:
        exponent = exponent + more
    return _log_sum(exponent, _fma(low, inverse, m - 1.0))


def _log_of_root(x: _Number, one: float) -> _Number:
    """log(x + √(x² + one)), x ≥ 0, one = ±1, with the sum in two numbers."""
    fmt = _format(x)
    # From here on √(x² ± 1) is x to rounding. Scaled, so that nothing overflows.
    is_large = x >= 2.0 ** (fmt.precision // 2 + 2)
    shift = 64
    square = x * x
    square_low = _fma(x, x, -square)
    inside = square + one
    taken = inside - square
    inside_low = ((square - (inside - taken)) + (one - taken)) + square_low
    root = _sqrt(inside)
    root_low = (_fma(-root, root, inside) + inside_low) * (0.5 / _at_least(root, 2.0**-100))
    total = x + root
    taken = total - x
    total_low = ((x - (total - taken)) + (root - taken)) + root_low
    high = _select(is_large, x * 2.0**-shift, total)
    low = _select(is_large, 0.0, total_low)
    result = _log_of_two(high, low, _select(is_large, x.constant(shift + 1.0), 0.0))
    return _select(x < _INFINITY, result, x)


def _arcsinh(x: _Number) -> _Number:
    return _log_of_root(x.magnitude(), 1.0).with_sign_of(x)


def _arccosh(x: _Number) -> _Number:
    return _select(x < 1.0, math.nan, _log_of_root(x, -1.0))


def _arctanh(x: _Number) -> _Number:
    magnitude = x.magnitude()
    # ½ log(1 + 2x / (1 − x)), the quotient and the sum in two numbers.
    below = 1.0 - magnitude
    below_low = (1.0 - below) - magnitude
    inverse = 1.0 / below
    twice = magnitude + magnitude
    quotient = twice * inverse
    quotient_low = (_fma(-quotient, below, twice) - quotient * below_low) * inverse
    total = quotient + 1.0
    taken = total - 1.0
    total_low = ((1.0 - (total - taken)) + (quotient - taken)) + quotient_low
    result = 0.5 * _log_of_two(total, total_low)
    edge = _select(magnitude.equals(1.0), magnitude.constant(_INFINITY), math.nan)
    return _select(magnitude < 1.0, result, edge).with_sign_of(x)


# -- circular functions -----------------------------------------------------------------------

# (1 − sin x / x) / x² and (cos x − 1 + x²/2) / x⁴, in x², on |x| ≤ π/4, relative to sin x and
# cos x: within 2^-32.5 and 2^-57.9; 2^-33.0 and 2^-63.9.
_SIN = {
    "float": (
        0.1666666716337204,
        -0.008333379402756691,
        0.00019853060075547546,
        -2.832423660947825e-06,
    ),
    "double": (
        0.1666666666666663,
        -0.00833333333332184,
        0.00019841269829358487,
        -2.755731353848004e-06,
        2.5050734380470407e-08,
        -1.5895432581352054e-10,
    ),
}
_COS = {
    "float": (0.04166664555668831, -0.0013887309469282627, 2.4432327336398885e-05),
    "double": (
        0.041666666666666595,
        -0.0013888888888873307,
        2.4801587288965288e-05,
        -2.7557314203113406e-07,
        2.087570314619185e-09,
        -1.1358617434027527e-11,
    ),
}

# π/2 as the sum of three numbers, the second positive so that −0 stays −0.
_HALF_PI = {
    "float": (1.570796251296997, 7.549790126404332e-08, -1.7151245100058819e-15),
    "double": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
}

# Beyond this, three numbers are not enough.
_FAR = {"float": 2.0**17, "double": 2.0**28}

# The first bits of 2/π.
_TWO_OVER_PI = int(
    "A2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163ABDEBBC561B7246E3A"
    "424DD2E006492EEA09D1921CFE1DEB1CB129A73EE88235F52EBB4484E99C7026B45F7E41"
    "3991D639835339F49C845F8BBDF9283B1FF897FFDE05980FEF2F118B5A0A6D1F6D367ECF"
    "27CB09B74F463F669E5FEA2D7527BAC7EBE5F17B3D0739F78A5292EA6BFB5FB11F8D5D08"
    "56033046FC7B6BAB",
    16,
)
_FAR_REDUCTION = "reduce_far_angles"


def _define_far_reduction(module: Module) -> None:
    """Define the function that takes multiples of π/2 from numbers of any size, one at a time.

    It reads numbers, and writes what is left of each as a sum of two, and the multiple modulo 4.
    The product with those bits of 2/π that matter is an integer (Payne and Hanek, "Radian
    reduction for trigonometric functions", SIGNUM Newsletter 18, 1983).
    """
    if module.defines(_FAR_REDUCTION):
        return
    names = ("x", "high", "low", "quadrant")
    parameters = [("i64", "count"), *(("ptr noalias", each) for each in names)]
    function = module.function(
        _FAR_REDUCTION, None, parameters, linkage="internal", attributes="noinline cold"
    )
    # A word of zeros before them, for numbers that are not as large.
    words = [0, *(_TWO_OVER_PI >> place & (2**64 - 1) for place in range(18 * 64, -1, -64))]
    table = module.constant_table("two_over_pi", "i64", [str(word) for word in words])
    count, *pointers = function.parameters

    def shifted_left(high: _Number, low: _Number, places: _Number) -> _Number:
        value = function.intrinsic("llvm.fshl", high.value, low.value, places.value)
        return _Number(function, value)

    with function.loop(count) as index:
        x_at, high_at, low_at, quadrant_at = (
            function.offset(pointer, element, index)
            for pointer, element in zip(
                pointers, ("double", "double", "double", "i64"), strict=True
            )
        )
        x = _Number(function, function.load(DOUBLE, x_at))
        bits = x.bits()
        # |x| = significand · 2^(place − 62), and x · 2/π is wanted modulo 4: bits of 2/π from
        # this place on. (Other lanes of a vector may hold what is small: any result will do.)
        place = (bits >> 52 & 0x7FF) - 1013
        place = _Number(function, function.intrinsic("llvm.smax", place.value, place.like(0)))
        significand = (bits & (2**52 - 1) | 2**52).cast("zext", "i128")
        start = function.offset(table, "i64", (place >> 6).value)
        loaded = [
            _Number(function, function.load(INT64, function.offset(start, "i64", each)))
            for each in range(4)
        ]
        first, second, third = (
            shifted_left(high, low, place & 63).cast("zext", "i128")
            for high, low in itertools.pairwise(loaded)
        )
        # The product's lowest 192 bits, the highest 128 of them: a fixed-point number below 4.
        middle = second * significand + (third * significand >> 64)
        product = ((first * significand << 64) + ((middle >> 64) << 64)) | (middle & (2**64 - 1))
        quadrant = (product + (1 << 125) >> 126).cast("trunc", "i64")
        rest = product << 2
        is_negative = _Number(function, function.compare("slt", rest.value, rest.like(0)))
        rest = _select(is_negative, 0 - rest, rest)
        zeros = _Number(
            function, function.emit(rest.kind, f"call i128 @llvm.ctlz.i128({rest.value}, i1 false)")
        )
        module.declare("llvm.ctlz.i128", "declare i128 @llvm.ctlz.i128(i128, i1)")
        rest = rest << zeros
        exponent = 1023 - zeros.cast("trunc", "i64")
        upper = (rest >> 75).cast("trunc", "i64").cast("sitofp", "double")
        lower = (rest >> 22).cast("trunc", "i64") & (2**53 - 1)
        # Times π/2, in two numbers.
        upper = upper * (exponent - 53 << 52).floating("double")
        lower_part = lower.cast("sitofp", "double") * (exponent - 106 << 52).floating("double")
        half_pi, half_pi_low, _ = _HALF_PI["double"]
        high = upper * half_pi
        low = _fma(upper, half_pi, -high) + _fma(upper, half_pi_low, lower_part * half_pi)
        total = high + low
        low = (high - total) + low
        high = total
        # The signs: of what was left, and of x.
        sign = (bits & (1 << 63)) ^ (is_negative.cast("zext", "i64") << 63)
        x_is_negative = _Number(function, function.compare("slt", bits.value, bits.like(0)))
        function.store((high.bits() ^ sign).floating("double").value, high_at)
        function.store((low.bits() ^ sign).floating("double").value, low_at)
        function.store(_select(x_is_negative, 0 - quadrant, quadrant).value, quadrant_at)
    function.give()


def _reduce_far(x: _Number) -> tuple[_Number, _Number, _Number]:
    """Take multiples of π/2 from numbers of any size; the results as of `_reduced_angle`."""
    function = x.function
    _define_far_reduction(function.module)
    wide, integer = x.kind.of("double"), x.kind.of("i64")
    numbers, high_at, low_at = (function.allocate(wide) for _ in range(3))
    quadrant_at = function.allocate(integer)
    function.store(_widened(x).value, numbers, 8)
    addresses = ", ".join(str(each) for each in (numbers, high_at, low_at, quadrant_at))
    function.do(f"call void @{_FAR_REDUCTION}(i64 {max(x.kind.lanes, 1)}, {addresses})")
    high, low = (_Number(function, function.load(wide, each, 8)) for each in (high_at, low_at))
    quadrant = _Number(function, function.load(integer, quadrant_at, 8))
    if x.kind.element == "double":
        return high, low, quadrant
    narrow = high.cast("fptrunc", "float")
    rest = (high - narrow.cast("fpext", "double") + low).cast("fptrunc", "float")
    return narrow, rest, quadrant.cast("trunc", "i32")


def _widened(x: _Number) -> _Number:
    return x if x.kind.element == "double" else x.cast("fpext", "double")


def _reduced_angle(x: _Number) -> tuple[_Number, _Number, _Number]:
    """Split x = n · π/2 + r, |r| ≤ π/4 and a little.

    Returns
    -------
    high, low : floating point
        r is high − low.
    bits : integer
        Its low bits are those of n.
    """
    function, element = x.function, x.kind.element
    first, second, third = _HALF_PI[element]
    n, bits = _rounded(x, 2 / math.pi)
    start = _fma(-n, first, x)  # exact: multiples of the last bit of π/2 or of x, below one
    # Little may be left of it, so that the rest of the difference is needed, whatever is larger.
    more = n * second
    high = start - more
    taken = start - high
    rest = (more - taken) - (start - (high + taken))
    low = _fma(n, third, _fma(n, second, -more)) + rest
    # Few numbers are so large that this is not enough: they are worth a jump.
    results = (high, low, bits)
    places = [function.allocate(each.kind) for each in results]
    for each, place in zip(results, places, strict=True):
        function.store(each.value, place)
    magnitude = x.magnitude()
    far = (magnitude >= _FAR[element]) & (magnitude < _INFINITY)
    any_far = function.intrinsic(
        "llvm.expect", function.reduce("or", far.value), function.constant(BOOL, 0)
    )
    with function.when(any_far):
        far_high, far_low, far_bits = _reduce_far(x)
        others = (far_high, -far_low, far_bits)
        for other, each, place in zip(others, results, places, strict=True):
            function.store(_select(far, other, each).value, place)
    high, low, bits = (
        _Number(function, function.load(each.kind, place))
        for each, place in zip(results, places, strict=True)
    )
    return high, low, bits


def _sin_parts(high: _Number, low: _Number) -> tuple[_Number, _Number]:
    """sin(high − low) on |x| ≤ π/4, as a difference."""
    square = high * high
    return high, _fma(high * square, _polynomial(square, _SIN[high.kind.element]), low)


def _cos_parts(high: _Number, low: _Number) -> tuple[_Number, _Number]:
    """cos(high − low) on |x| ≤ π/4, as a sum."""
    square = high * high
    half = 0.5 * square
    start = 1.0 - half
    tail = _fma(square * square, _polynomial(square, _COS[high.kind.element]), high * low)
    return start, ((1.0 - start) - half) + tail


def _sin_of_quadrant(x: _Number, ahead: int) -> _Number:
    """sin(x + ahead · π/2)."""
    high, low, bits = _reduced_angle(x)
    sin_start, sin_rest = _sin_parts(high, low)
    cos_start, cos_rest = _cos_parts(high, low)
    if ahead:
        bits = bits + ahead
    is_odd = (bits & 1).equals(1)
    result = _select(is_odd, cos_start + cos_rest, sin_start - sin_rest)
    sign = (bits & 2) << (x.kind.bits - 2)
    return (result.bits() ^ sign).floating(x.kind.element)


def _sin(x: _Number) -> _Number:
    return _sin_of_quadrant(x, 0)


def _cos(x: _Number) -> _Number:
    return _sin_of_quadrant(x, 1)


def _tan(x: _Number) -> _Number:
    high, low, bits = _reduced_angle(x)
    start, rest = _sin_parts(high, low)
    sin = start - rest
    sin_lost = (start - sin) - rest
    start, rest = _cos_parts(high, low)
    cos = start + rest
    cos_lost = (start - cos) + rest
    is_odd = (bits & 1).equals(1)
    above, above_lost = _select(is_odd, -cos, sin), _select(is_odd, -cos_lost, sin_lost)
    below, below_lost = _select(is_odd, sin, cos), _select(is_odd, sin_lost, cos_lost)
    inverse = 1.0 / below
    quotient = above * inverse
    error = _fma(quotient, below_lost, _fma(quotient, below, -above) - above_lost)
    return _fma(-error, inverse, quotient)


# (arctan x / x − 1) / x², in x², on |x| ≤ 1/2, relative to arctan x: within 2^-31.7 and 2^-62.0.
_ARCTAN = {
    "float": (
        -0.333333283662796,
        0.19999553263187408,
        -0.14273063838481903,
        0.10947971045970917,
        -0.08007192611694336,
        0.03901318833231926,
    ),
    "double": (
        -0.33333333333333315,
        0.19999999999993764,
        -0.1428571428499801,
        0.11111111070032473,
        -0.09090907705101428,
        0.07692277634944239,
        -0.0666622491487441,
        0.05877814872155152,
        -0.05230041362503412,
        0.04589514189388141,
        -0.03711958216706511,
        0.023655381108200983,
        -0.008365500906490441,
    ),
}

# (arcsin x / x − 1) / x², in x², on |x| ≤ 1/2, relative to arcsin x: within 2^-31.7 and 2^-59.8.
_ARCSIN = {
    "float": (
        0.16666659712791443,
        0.07500521838665009,
        0.044513385742902756,
        0.03183874487876892,
        0.014317773282527924,
        0.037689462304115295,
    ),
    "double": (
        0.1666666666666676,
        0.07499999999970812,
        0.04464285717464304,
        0.030381942704897833,
        0.022372215098406773,
        0.01735160959909908,
        0.013980853775483623,
        0.011398609895748944,
        0.01078209942852906,
        0.003698912008942765,
        0.02172685568630428,
        -0.02102806850724457,
        0.03264766832727697,
    ),
}


def _half_pi(x: _Number) -> tuple[float, float]:
    """π/2 as the sum of two numbers."""
    if x.kind.element == "float":
        return 1.57079637050628662109375, -4.371139000186241e-08
    return _HALF_PI["double"][:2]


def _arctan_of_quotient(smaller: _Number, larger: _Number) -> _Number:
    """arctan(smaller / larger), 0 ≤ smaller ≤ larger."""
    half_pi, half_pi_low = _half_pi(smaller)
    # Beyond 1/2, π/4 + arctan of (smaller − larger) / (smaller + larger).
    is_large = smaller > 0.5 * larger
    above = _select(is_large, smaller - larger, smaller)
    below = _select(is_large, smaller + larger, larger)
    start = above / below
    square = start * start
    rest = start * square * _polynomial(square, _ARCTAN[smaller.kind.element])
    base = _select(is_large, start.constant(half_pi / 2), 0.0)
    base_low = _select(is_large, start.constant(half_pi_low / 2), 0.0)
    total = base + start
    return total + ((start - (total - base)) + base_low + rest)


def _arctan(x: _Number) -> _Number:
    half_pi, half_pi_low = _half_pi(x)
    magnitude = x.magnitude()
    is_steep = magnitude > 1.0
    smaller, larger = _select(is_steep, 1.0, magnitude), _select(is_steep, magnitude, 1.0)
    angle = _arctan_of_quotient(smaller, larger)
    return _select(is_steep, half_pi - (angle - half_pi_low), angle).with_sign_of(x)


def _arctan2(y: _Number, x: _Number) -> _Number:
    half_pi, half_pi_low = _half_pi(x)
    up, along = y.magnitude(), x.magnitude()
    is_steep = up > along
    smaller, larger = _select(is_steep, along, up), _select(is_steep, up, along)
    # Scaled, so that their sum is finite; two zeros make 0, two infinities π/4.
    scale = _select(larger > 2.0 ** (_format(x).bias - 1), larger.constant(0.25), 1.0)
    is_same = smaller.equals(larger)
    smaller = _select(is_same & (larger > 0.0), 1.0, smaller * scale)
    larger = _select(is_same, 1.0, larger * scale)
    angle = _arctan_of_quotient(smaller, larger)
    # In the first octant the angle itself; else from or towards π/2 or π.
    angle = _select(is_steep, half_pi - (angle - half_pi_low), angle)
    is_back = (x.bits() >> (x.kind.bits - 1)).equals(1)
    return _select(is_back, 2 * half_pi - (angle - 2 * half_pi_low), angle).with_sign_of(y)


def _arcsin_parts(x: _Number) -> tuple[_Number, _Number, _Number]:
    """Arcsin of |x| ≤ 1/2, or for larger |x| of √((1 − |x|)/2), as a sum; and which are larger."""
    magnitude = x.magnitude()
    is_large = magnitude > 0.5
    square = _select(is_large, _fma(magnitude, -0.5, 0.5), magnitude * magnitude)
    start = _select(is_large, _sqrt(square), magnitude)
    return start, start * square * _polynomial(square, _ARCSIN[x.kind.element]), is_large


def _arcsin(x: _Number) -> _Number:
    half_pi, half_pi_low = _half_pi(x)
    start, rest, is_large = _arcsin_parts(x)
    twice = start + start
    large = half_pi - twice
    lost = (half_pi - large) - twice
    large = large - (_fma(rest, 2.0, -half_pi_low) - lost)
    return _select(is_large, large, start + rest).with_sign_of(x)


def _arccos(x: _Number) -> _Number:
    half_pi, half_pi_low = _half_pi(x)
    start, rest, is_large = _arcsin_parts(x)
    angle = start + rest
    twice = angle + angle
    large = _select(x < 0.0, 2 * half_pi - (twice - 2 * half_pi_low), twice)
    small = half_pi - (x - (half_pi_low - rest.with_sign_of(x)))
    return _select(is_large, large, small)


# -- powers and roots -----------------------------------------------------------------------------

# (2 artanh(s) / s − 2) / s² in s², less the 2/3 in front in double precision, on
# |s| ≤ (√2 − 1) / (√2 + 1), relative to 2 artanh s: within 2^-66.3.
_LOG_DOUBLED = (
    0.4000000000000227,
    0.2857142857009122,
    0.22222222521472668,
    0.18181784227096634,
    0.1538676396640469,
    0.13256659250631797,
    0.13197834475005404,
)
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)

# log 2 as the sum of two numbers; 2000 times the first is exact.
_LOG_2_SHORT = (0.6931471805598903, 5.497923018708371e-14)

# In double precision, for powers in single precision: (2 artanh(s) / s − 2) / s², within
# 2^-44.9, and (exp r − 1 − r) / r², within 2^-34.2.
_LOG_FOR_FLOAT_POWER = (
    0.6666666667584603,
    0.3999999560476891,
    0.28572111134606615,
    0.22176099637461427,
    0.19585520835502587,
)
_EXP_FOR_FLOAT_POWER = (
    0.5000000067818585,
    0.16666665863942953,
    0.04166629439865755,
    0.008333497949523625,
    0.0013944702529040353,
    0.00019790007140089972,
)


def _log_in_two(x: _Number) -> tuple[_Number, _Number]:
    """Log of a positive number of double precision, as a sum of two, within about 2^-65."""
    exponent, m = _split_any(x)
    f = m - 1.0
    # The quotient of f and m + 1, in two numbers.
    total = m + 1.0
    total_lost = m - (total - 1.0)
    inverse = 1.0 / total
    s = f * inverse
    s_low = _fma(-s, total_lost, _fma(-s, total, f)) * inverse
    square = s * s
    square_low = _fma(s + s, s_low, _fma(s, s, -square))
    # s³ (2/3 + …)
    rest = square * _polynomial(square, _LOG_DOUBLED)
    factor = rest + _TWO_THIRDS[0]
    factor_low = rest - (factor - _TWO_THIRDS[0]) + _TWO_THIRDS[1]
    cube = s * square
    cube_low = _fma(s, square, -cube) + _fma(s, square_low, s_low * square)
    tail = cube * factor
    tail_low = _fma(cube, factor, -tail) + _fma(cube, factor_low, cube_low * factor)
    # exponent · log 2 + 2 s + tail: each is smaller than the one before, or that is zero.
    start = exponent * _LOG_2_SHORT[0]
    middle = s + s
    high = start + middle
    low = (start - high) + middle
    result = high + tail
    low = ((high - result) + tail) + low
    low = low + (tail_low + _fma(exponent, _LOG_2_SHORT[1], s_low + s_low))
    return result, low


def _power_of_magnitude(x: _Number, y: _Number) -> _Number:
    """|x|^y in double precision; NaN or anything where y is 0 or |x| is 1."""
    magnitude = x.magnitude()
    log, log_low = _log_in_two(magnitude)
    log = _log_at_edges(magnitude, log)
    product = y * log
    # What is past the edges is infinite or zero whatever its last bits.
    low = _fma(y, log_low, _fma(y, log, -product))
    low = _select(product.magnitude() < 1000.0, low, 0.0)
    least, largest = _EXP_RANGE["double"]
    return _exp_within(_at_most(_at_least(product, least), largest), low)


def _power_of_magnitude_float(x: _Number, y: _Number) -> _Number:
    """|x|^y of single precision; NaN or anything where y is 0 or |x| is 1."""
    magnitude = x.magnitude()
    wide, exponent_of = magnitude.cast("fpext", "double"), y.cast("fpext", "double")
    exponent, m, _ = _split(wide)  # subnormal numbers are normal in double precision
    f = m - 1.0
    s = f / (m + 1.0)
    square = s * s
    log = _fma(s * square, _polynomial(square, _LOG_FOR_FLOAT_POWER), s + s)
    log = _log_at_edges(wide, _fma(exponent, _LOG_2, log))
    product = _at_most(_at_least(exponent_of * log, -150.0), 150.0)
    high, low, n = _reduced(product)
    r = high + low
    result = _fma(r * r, _polynomial(r, _EXP_FOR_FLOAT_POWER), r) + 1.0
    return (result * _power_of_two(n.bits, _FORMATS["double"])).cast("fptrunc", "float")


def _power(x: _Number, y: _Number) -> _Number:
    fmt = _format(x)
    is_float = fmt.element == "float"
    result = _power_of_magnitude_float(x, y) if is_float else _power_of_magnitude(x, y)
    # Whether y is an integer, and odd: from 2^fraction on, all numbers are integers.
    magnitude = y.magnitude()
    base = 2.0**fmt.fraction
    is_large = magnitude >= base
    shifted = _select(is_large, magnitude, magnitude + base)
    is_integer = is_large | (shifted - base).equals(magnitude)
    parity = _select(
        is_integer & (magnitude < 2.0 * base), shifted.bits(), shifted.bits().constant(0)
    )
    sign = x.bits() & (parity << (x.kind.bits - 1))
    result = (result.bits() ^ sign).floating(fmt.element)
    no_power = (x < 0.0) & (x > -_INFINITY) & (is_integer ^ is_integer.constant(1))
    result = _select(no_power, math.nan, result)
    is_one = y.equals(0.0) | x.equals(1.0) | (x.equals(-1.0) & magnitude.equals(_INFINITY))
    return _select(is_one, 1.0, result)


# m^(-1/3) on √½ ≤ m ≤ √2, relative: within 2^-11.9 and 2^-14.7.
_INVERSE_CUBE_ROOT = {
    "float": (
        1.730736332110061,
        -1.2858001903767284,
        0.7133966848882958,
        -0.1585544972820479,
    ),
    "double": (
        1.8745497738579828,
        -1.8619410528228766,
        1.5614497117949182,
        -0.7024682048501847,
        0.12838633765012752,
    ),
}


def _cbrt(x: _Number) -> _Number:
    fmt = _format(x)
    magnitude = x.magnitude()
    exponent, m = _split_any(magnitude)
    # 2^exponent · m = 8^n · t, with t from about 1/3 to 3.
    n, bits = _rounded(exponent, 1 / 3)
    rest = exponent - 3.0 * n
    t = m * _select(rest < 0.0, m.constant(0.5), _select(rest > 0.0, m.constant(2.0), 1.0))
    third = 2.0 ** (1 / 3)
    factor = _select(rest < 0.0, m.constant(third), _select(rest > 0.0, m.constant(1 / third), 1.0))
    inverse = _polynomial(m, _INVERSE_CUBE_ROOT[fmt.element]) * factor
    for _ in range(1 if fmt.element == "float" else 2):
        error = _fma(-t * inverse, inverse * inverse, 1.0)
        inverse = _fma(inverse * (1 / 3), error, inverse)
    # Once more for the root itself, with its cube in two numbers.
    square_of_inverse = inverse * inverse
    root = t * square_of_inverse
    square = root * root
    square_low = _fma(root, root, -square)
    error = _fma(square_low, root, _fma(square, root, -t))
    root = _fma(error * (-1 / 3), square_of_inverse, root)
    result = (root * _power_of_two(bits, fmt)).with_sign_of(x)
    return _select((magnitude > 0.0) & (magnitude < _INFINITY), result, x)


def _hypot(x: _Number, y: _Number) -> _Number:
    fmt = _format(x)
    x, y = x.magnitude(), y.magnitude()
    larger = _select(x > y, x, y)
    half_range = fmt.bias // 2
    # Scaled where squares are too large, or so small that they lose digits.
    down, up = 2.0 ** -(half_range + 8), 2.0 ** (half_range + fmt.precision + 1)
    is_large = larger > 2.0 ** (half_range - 2)
    is_small = larger < 2.0 ** -(half_range - fmt.precision // 2 - 1)

    def choose(if_large: float, if_small: float) -> _Number:
        return _select(is_large, if_large, _select(is_small, x.constant(if_small), 1.0))

    scale = choose(down, up)
    scaled_x, scaled_y = x * scale, y * scale
    # The larger square rounded last.
    first, second = _select(x > y, scaled_x, scaled_y), _select(x > y, scaled_y, scaled_x)
    result = _sqrt(_fma(first, first, second * second)) * choose(1 / down, 1 / up)
    return _select(x.equals(_INFINITY) | y.equals(_INFINITY), _INFINITY, result)


# -- the error function -----------------------------------------------------------------------

# erf(x) / x − 1, in x², on |x| ≤ 1, relative to erf x: within 2^-29.3 and 2^-56.0.
_ERF = {
    "float": (
        0.12837916612625122,
        -0.3761262595653534,
        0.11283578723669052,
        -0.026853347197175026,
        0.005187162198126316,
        -0.0007997852517291903,
        7.806892972439528e-05,
    ),
    "double": (
        0.12837916709551256,
        -0.37612638903183343,
        0.11283791670936955,
        -0.026866170641960584,
        0.005223977596754516,
        -0.0008548325486227838,
        0.00012055280543518717,
        -1.4924466737275193e-05,
        1.6444166495282951e-06,
        -1.6184130931611953e-07,
        1.3617378158256956e-08,
        -7.609212469743883e-10,
    ),
}

# log erfc x from 0.99 to 4 and 6, where erf x is 1 to rounding, so that it gives erf x within
# 2^-29.7 and 2^-56.9.
_LOG_ERFC = {
    "float": (
        -0.00032072587055154145,
        -1.1271710395812988,
        -0.6380132436752319,
        -0.10321725159883499,
        0.021889114752411842,
        -0.002959945471957326,
        0.00018758101214189082,
    ),
    "double": (
        -4.698254141859578e-07,
        -1.12837439752879,
        -0.6366422936833313,
        -0.10270700374591216,
        0.018996752218733804,
        0.0004017465329128128,
        -0.0019068416931534164,
        0.0007634179769090343,
        -0.0001305528467820009,
        -2.247424148906548e-05,
        2.3676878367472905e-05,
        -8.926385566532875e-06,
        2.196577048807551e-06,
        -3.8414871491757687e-07,
        4.783694455238758e-08,
        -4.061444025087486e-09,
        2.115426476124517e-10,
        -5.109695010257705e-12,
    ),
}
_ERF_ONE = {"float": 4.0, "double": 6.0}

# (x + k) exp(x²) erfc x, in (x − k) / (x + k), k = 2 and 3, from 0.48 to where erfc x is 0 to
# rounding, relative: within 2^-29.8 and 2^-57.6. The first number is the sum of two.
_ERFC = {
    "float": (
        1.0215827226638794,
        -1.7406556196419842e-08,
        -0.6871606707572937,
        0.27947208285331726,
        -0.036442629992961884,
        -0.021510442718863487,
        0.006482603028416634,
        0.0030889627523720264,
        -0.0008507954771630466,
        -0.000655947660561651,
        6.359016697388142e-05,
        0.00012537041038740426,
    ),
    "double": (
        1.0740069070883398,
        -8.940271687908163e-17,
        -0.8833944531698836,
        0.5902283571041022,
        -0.31046726190056717,
        0.11952776128726786,
        -0.02682723462449199,
        -0.0012124166265863434,
        0.003034062001259698,
        -0.000548309700527794,
        -0.000276777843382556,
        0.00010756155896362466,
        3.0398115026668538e-05,
        -1.7470939404425634e-05,
        -4.748893733868092e-06,
        2.766623317124256e-06,
        9.97639999978786e-07,
        -4.105548629916602e-07,
        -2.3072517131031595e-07,
        4.940966078795692e-08,
        4.693114591193898e-08,
        -3.4871495771322025e-09,
        -5.748396711943806e-09,
    ),
}
_ERFC_CENTER = {"float": 2.0, "double": 3.0}
_ERFC_ZERO = {"float": 10.1, "double": 27.3}


def _erf(x: _Number) -> _Number:
    element = x.kind.element
    magnitude = _at_most(x.magnitude(), _ERF_ONE[element])
    small = _fma(magnitude, _polynomial(magnitude * magnitude, _ERF[element]), magnitude)
    # The logarithm is less than 0, where it is wanted.
    logarithm = _at_most(_polynomial(magnitude, _LOG_ERFC[element]), 0.0)
    high, low, n = _reduced(logarithm)
    large = 1.0 - (_exp_reduced(high, low) + 1.0) * _power_of_two(n.bits, _format(x))
    return _select(magnitude < 1.0, small, large).with_sign_of(x)


def _erfc(x: _Number) -> _Number:
    fmt = _format(x)
    magnitude = x.magnitude()
    small = _fma(-x, _polynomial(x * x, _ERF[fmt.element]), 1.0 - x)
    bounded = _at_most(magnitude, _ERFC_ZERO[fmt.element])
    # exp(−x²), in two numbers and a power of two.
    square = bounded * bounded
    high, low, n = _reduced(-square)
    rest = _exp_reduced(high, low - _fma(bounded, bounded, -square))
    power = rest + 1.0
    power_low = rest - (power - 1.0)
    # 1 / (x + k), in two numbers.
    center = _ERFC_CENTER[fmt.element]
    below = bounded + center
    taken = below - bounded
    below_low = (bounded - (below - taken)) + (center - taken)
    inverse = 1.0 / below
    inverse_low = (_fma(-below, inverse, 1.0) - below_low * inverse) * inverse
    # The polynomial, in two numbers.
    first, first_low, *others = _ERFC[fmt.element]
    above = bounded - center
    at = above * inverse
    at = _fma(_fma(-at, below, above) - at * below_low, inverse, at)
    tail = at * _polynomial(at, others)
    factor = tail + first
    factor_low = (tail - (factor - first)) + first_low
    # Their product.
    product = power * inverse
    product_low = _fma(power, inverse, -product) + _fma(power, inverse_low, power_low * inverse)
    result = _fma(product, factor, _fma(product, factor_low, product_low * factor))
    result = _scaled(result, n, fmt)
    large = _select(x < 0.0, 2.0 - result, result)
    return _select(magnitude < 0.8, small, large)


# -- the table --------------------------------------------------------------------------------


def _rule(formula: Callable[..., _Number]) -> Callable[..., Value]:
    def emit(function: Function, *arguments: Value) -> Value:
        return formula(*(_Number(function, each) for each in arguments)).value

    return emit


_FORMULAS: dict[str, Callable[..., _Number]] = {
    "arccos": _arccos,
    "arccosh": _arccosh,
    "arcsin": _arcsin,
    "arcsinh": _arcsinh,
    "arctan": _arctan,
    "arctan2": _arctan2,
    "arctanh": _arctanh,
    "cbrt": _cbrt,
    "cos": _cos,
    "cosh": _cosh,
    "erf": _erf,
    "erfc": _erfc,
    "exp": _exp,
    "exp2": _exp2,
    "expit": _expit,
    "expm1": _expm1,
    "hypot": _hypot,
    "log": _log,
    "log10": _log10,
    "log1p": _log1p,
    "log2": _log2,
    "log_expit": _log_expit,
    "logaddexp": _logaddexp,
    "logaddexp2": _logaddexp2,
    "power": _power,
    "sin": _sin,
    "sinh": _sinh,
    "sqrt": _sqrt,
    "tan": _tan,
    "tanh": _tanh,
}

TRANSCENDENTALS: dict[str, Callable[..., Value]] = {
    name: _rule(formula) for name, formula in _FORMULAS.items()
}
"""What is emitted for a ufunc of NumPy or SciPy, by its name: (function, *arguments) → value."""
