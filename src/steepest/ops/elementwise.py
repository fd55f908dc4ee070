"""Element-wise primitives: one entry a ufunc, with its local derivatives.

At a tie or a kink the derivative is the average of the one-sided ones: ``abs`` has 0 at 0, and
``maximum`` gives each of two equal arguments half. What jumps (``floor``, ``sign``, comparisons)
has derivative 0 wherever it has one, so its result is a plain value.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from steepest.graph import ArrayType, type_of
from steepest.ops.spec import (
    SCALE,
    Primitive,
    Sample,
    Traced,
    Value,
    broadcast_type,
    elementwise,
    elementwise_samples,
    is_ndarray,
    scale,
    ufunc_type,
)

__all__ = ["PRIMITIVES", "cast", "convert", "where"]

REAL = (-2.0, 2.0)
POSITIVE = (0.2, 3.0)
UNIT = (-0.9, 0.9)


def _is_python_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, Traced)


def _power_by_base(x: Value, y: Value) -> Value:
    if _is_python_number(y):
        return y * x ** (y - 1) if y else 0.0
    return scale(x ** (y - 1), y)


def _power_by_exponent(x: Value, ans: Value) -> Value:
    # A negative base has a power where the exponent is complex, and a logarithm.
    return scale(np.log(x + 0j if _is_complex(ans) and not _is_complex(x) else x), ans)


def _nonzero(x: Value) -> Value:
    """Replace zeros by ones, where a zero numerator makes the quotient 0."""
    return np.where(x == 0, 1, x)


def _is_complex(x: Value) -> bool:
    return isinstance(x, complex) or getattr(x, "dtype", np.dtype(float)).kind == "c"


def _phase(x: Value) -> Value:
    """``x / |x|``, and 0 at 0; unlike ``np.sign`` it is differentiated by complex numbers."""
    return x / _nonzero(np.absolute(x)) if _is_complex(x) else np.sign(x)


def _hypotenuse_over_one(x: Value) -> Value:
    """√(1 + x²), by np.hypot where it can: x² may overflow."""
    if not _is_complex(x):
        return np.hypot(1, x)
    root = np.sqrt(1 - 1j * x) * np.sqrt(1 + 1j * x)
    # The products with 1j lose the sign of a real part of zero, which says on which side of a
    # branch cut, ±0 + iy for |y| > 1, the number is.
    real, imaginary = np.real(x), np.imag(x)
    side = np.sign(imaginary) * np.copysign(1, real)
    is_other = (real == 0) & (np.abs(imaginary) > 1) & (np.imag(root) * side < 0)
    return np.where(is_other, -root, root)


def _one_plus(x: Value) -> Value:
    """``1 + x``; the sum with 1 + 0i would lose the sign of an imaginary part of zero."""
    return x - -1 if _is_complex(x) else 1 + x


def _root_of_one_minus_square(x: Value) -> Value:
    """√(1 − x²), on the side of the branch cuts on which an imaginary part of ±0 says x is.

    One root of the product would overflow, and be of the other sign for half the plane.
    """
    return np.sqrt(-(x - 1) if _is_complex(x) else 1 - x) * np.sqrt(_one_plus(x))


def _arctan_slope(x: Value) -> Value:
    if _is_complex(x):
        return 1 / (1 - 1j * x) / (1 + 1j * x)
    # x² may overflow long before its reciprocal underflows.
    inverse = 1 / np.hypot(1, x)
    return inverse * inverse


def _over_square(x: Value, radius: Value) -> Value:
    """``x / radius²`` for ``|x| ≤ radius``, and 0 where the radius is infinite or 0."""
    infinite = np.isinf(radius)
    radius = np.where(infinite, 1, _nonzero(radius))
    return np.where(infinite, 0, x / radius / radius)


def _larger(g: Value, x: Value, y: Value) -> Value:
    # Comparisons with NaN are false, so a NaN that the result shows keeps its gradient.
    return np.where(x < y, 0, np.where(x == y, g * 0.5, g))


def _smaller(g: Value, x: Value, y: Value) -> Value:
    return np.where(x > y, 0, np.where(x == y, g * 0.5, g))


def _larger_number(g: Value, x: Value, y: Value) -> Value:
    return np.where(np.isnan(x), 0, _larger(g, x, y))


def _smaller_number(g: Value, x: Value, y: Value) -> Value:
    return np.where(np.isnan(x), 0, _smaller(g, x, y))


def _share_of_sum(x: Value, other: Value) -> Value:
    """Compute exp(x) / (exp(x) + exp(other)), also where one or both are huge or infinite."""
    from scipy.special import expit

    # Of equal infinities the difference would be NaN.
    return expit(np.where(np.isinf(x) & np.equal(x, other), 0, x - other))


def _share_of_powers(x: Value, other: Value) -> Value:
    """Compute 2^x / (2^x + 2^other), likewise."""
    from scipy.special import expit

    difference = np.where(np.isinf(x) & np.equal(x, other), 0, x - other)
    return expit(difference * math.log(2))


def _slope_of_quotient(y: Value) -> Value:
    if _is_python_number(y) and y == 0:
        # A number of Python's, which raises where NumPy's give infinity.
        return math.copysign(math.inf, y)
    return 1 / y


ARITHMETIC = (
    elementwise(np.add, 1, 1, domain=[REAL, REAL], operator=operator.add),
    elementwise(np.subtract, 1, -1, domain=[REAL, REAL], operator=operator.sub),
    elementwise(
        np.multiply,
        lambda y: y,
        lambda x: x,
        domain=[REAL, REAL],
        operator=operator.mul,
    ),
    elementwise(
        np.divide,
        _slope_of_quotient,
        lambda ans, y: -ans / y,
        domain=[REAL, POSITIVE],
        operator=operator.truediv,
    ),
    elementwise(
        np.power,
        _power_by_base,
        lambda x, ans: _power_by_exponent(x, ans),
        domain=[POSITIVE, REAL],
    ),
    elementwise(
        np.float_power,
        _power_by_base,
        lambda x, ans: _power_by_exponent(x, ans),
        domain=[POSITIVE, REAL],
    ),
    # Python's operator on NumPy scalars rounds otherwise than the ufunc does.
    elementwise(
        np.power,
        _power_by_base,
        lambda x, ans: _power_by_exponent(x, ans),
        domain=[POSITIVE, REAL],
        name="pow",
        operator=operator.pow,
    ),
    elementwise(
        np.remainder,
        1,
        lambda x, y: -np.floor_divide(x, y),
        domain=[(0.1, 0.9), (1.0, 2.0)],
        operator=operator.mod,
    ),
    # The quotient is an integer, and x / y rounds across integers.
    elementwise(
        np.fmod, 1, lambda x, y, ans: -np.rint((x - ans) / y), domain=[(-0.9, -0.1), (1.0, 2.0)]
    ),
    elementwise(np.negative, -1, domain=[REAL], operator=operator.neg),
    elementwise(np.positive, 1, domain=[REAL], operator=operator.pos),
    # The derivative of a complex modulus, g · conj(x) / |x|, holds for the real one too.
    elementwise(np.absolute, lambda x: np.conj(_phase(x)), domain=[POSITIVE], operator=abs),
    elementwise(np.fabs, lambda x: np.sign(x), domain=[POSITIVE]),
    elementwise(np.square, lambda x: 2 * x, domain=[REAL]),
    elementwise(np.reciprocal, lambda ans: -ans * ans, domain=[POSITIVE]),
    elementwise(
        np.copysign,
        lambda x, y: np.copysign(1, x) * np.copysign(1, y),
        None,
        domain=[POSITIVE, POSITIVE],
    ),
    elementwise(np.conjugate, lambda g: np.conj(g), domain=[REAL]),
    # As close to its argument as can be.
    elementwise(np.nextafter, 1, None, domain=[REAL, REAL]),
)

EXPONENTIAL = (
    elementwise(np.exp, lambda ans: ans, domain=[REAL]),
    elementwise(np.exp2, lambda ans: ans * math.log(2), domain=[REAL]),
    elementwise(np.expm1, lambda x: np.exp(x), domain=[REAL]),
    elementwise(np.log, lambda x: 1 / x, domain=[POSITIVE]),
    elementwise(np.log2, lambda x: (1 / math.log(2)) / x, domain=[POSITIVE]),
    elementwise(np.log10, lambda x: (1 / math.log(10)) / x, domain=[POSITIVE]),
    elementwise(np.log1p, lambda x: 1 / (1 + x), domain=[UNIT]),
    elementwise(np.sqrt, lambda ans: 0.5 / ans, domain=[POSITIVE]),
    elementwise(np.cbrt, lambda ans: (1 / 3) / ans / ans, domain=[POSITIVE]),
    elementwise(
        np.logaddexp,
        lambda x, y: _share_of_sum(x, y),
        lambda y, x: _share_of_sum(y, x),
        domain=[REAL, REAL],
    ),
    elementwise(
        np.logaddexp2,
        lambda x, y: _share_of_powers(x, y),
        lambda y, x: _share_of_powers(y, x),
        domain=[REAL, REAL],
    ),
)

TRIGONOMETRIC = (
    elementwise(np.sin, lambda x: np.cos(x), domain=[REAL]),
    elementwise(np.cos, lambda x: -np.sin(x), domain=[REAL]),
    elementwise(np.tan, lambda ans: 1 + ans * ans, domain=[(-1.2, 1.2)]),
    elementwise(np.arcsin, lambda x: 1 / _root_of_one_minus_square(x), domain=[UNIT]),
    elementwise(np.arccos, lambda x: -1 / _root_of_one_minus_square(x), domain=[UNIT]),
    elementwise(np.arctan, _arctan_slope, domain=[REAL]),
    elementwise(
        np.arctan2,
        lambda x, y: _over_square(y, np.hypot(x, y)),
        lambda x, y: -_over_square(x, np.hypot(x, y)),
        domain=[REAL, POSITIVE],
    ),
    elementwise(
        np.hypot,
        lambda x, ans: x / _nonzero(ans),
        lambda y, ans: y / _nonzero(ans),
        domain=[POSITIVE, POSITIVE],
    ),
    elementwise(np.deg2rad, math.pi / 180, domain=[REAL]),
    elementwise(np.radians, math.pi / 180, domain=[REAL]),
    elementwise(np.rad2deg, 180 / math.pi, domain=[REAL]),
    elementwise(np.degrees, 180 / math.pi, domain=[REAL]),
    elementwise(np.sinh, lambda x: np.cosh(x), domain=[REAL]),
    elementwise(np.cosh, lambda x: np.sinh(x), domain=[REAL]),
    # The product (1 - ans) (1 + ans) would be no closer: the rounding of ans itself weighs as much.
    elementwise(np.tanh, lambda ans: 1.0 - ans * ans, domain=[REAL]),
    elementwise(np.arcsinh, lambda x: 1 / _hypotenuse_over_one(x), domain=[REAL]),
    elementwise(
        np.arccosh,
        lambda x: 1 / (np.sqrt(x - 1) * np.sqrt(_one_plus(x))),
        domain=[(1.2, 3.0)],
    ),
    elementwise(np.arctanh, lambda x: 1 / (1 - x) / (1 + x), domain=[UNIT]),
)

EXTREMA = (
    elementwise(
        np.maximum,
        lambda g, x, y: _larger(g, x, y),
        lambda g, y, x: _larger(g, y, x),
        domain=[REAL, REAL],
    ),
    elementwise(
        np.minimum,
        lambda g, x, y: _smaller(g, x, y),
        lambda g, y, x: _smaller(g, y, x),
        domain=[REAL, REAL],
    ),
    elementwise(
        np.fmax,
        lambda g, x, y: _larger_number(g, x, y),
        lambda g, y, x: _larger_number(g, y, x),
        domain=[REAL, REAL],
    ),
    elementwise(
        np.fmin,
        lambda g, x, y: _smaller_number(g, x, y),
        lambda g, y, x: _smaller_number(g, y, x),
        domain=[REAL, REAL],
    ),
)

PIECEWISE_CONSTANT = (
    *(
        elementwise(ufunc, None, domain=[REAL])
        for ufunc in (
            np.sign,
            np.floor,
            np.ceil,
            np.trunc,
            np.rint,
            np.isnan,
            np.isinf,
            np.isfinite,
            np.signbit,
            np.logical_not,
            np.spacing,
        )
    ),
    elementwise(np.less, None, None, domain=[REAL, REAL], operator=operator.lt),
    elementwise(np.less_equal, None, None, domain=[REAL, REAL], operator=operator.le),
    elementwise(np.greater, None, None, domain=[REAL, REAL], operator=operator.gt),
    elementwise(np.greater_equal, None, None, domain=[REAL, REAL], operator=operator.ge),
    elementwise(np.equal, None, None, domain=[REAL, REAL], operator=operator.eq),
    elementwise(np.not_equal, None, None, domain=[REAL, REAL], operator=operator.ne),
    elementwise(np.floor_divide, None, None, domain=[REAL, POSITIVE], operator=operator.floordiv),
    elementwise(np.logical_and, None, None, domain=[REAL, REAL]),
    elementwise(np.logical_or, None, None, domain=[REAL, REAL]),
    elementwise(np.logical_xor, None, None, domain=[REAL, REAL]),
    elementwise(np.heaviside, None, None, domain=[REAL, REAL]),
)


def _turn(direction: Value, x: Value) -> Value:
    """``i Im(direction) / |x|``: only what is across the direction of x turns its sign."""
    if not _is_complex(x):
        return np.zeros_like(direction)
    return scale(np.imag(direction) * 1j, 1 / _nonzero(np.absolute(x)))


complex_sign = Primitive(
    "complex_sign",
    np.sign,
    infer=partial(ufunc_type, np.sign),
    vjps=(lambda g, x, ans: scale(_turn(scale(g, ans), x), np.conj(ans)),),
    jvp=(lambda t, x, ans: scale(_turn(scale(t, np.conj(ans)), x), ans),),
    broadcasts=True,
    samples=lambda rng: elementwise_samples(rng, [POSITIVE]),
)
"""``np.sign`` of complex numbers, x / |x|, which is no step function."""

frexp_exponent = Primitive(
    "frexp_exponent",
    lambda x: np.frexp(x)[1],
    infer=lambda x: ArrayType(x.shape, np.frexp.resolve_dtypes((x.promotion_type, None, None))[2]),
    broadcasts=True,
    samples=lambda rng: elementwise_samples(rng, [REAL]),
)
"""The second result of ``np.frexp``."""

round_ = Primitive(
    "round",
    np.round,
    infer=lambda x, decimals: ArrayType(x.shape, np.round(np.ones(1, x.dtype), decimals).dtype),
    broadcasts=True,
    samples=lambda rng: [
        Sample(each.args, {"decimals": decimals})
        for decimals in (0, 2, -1)
        for each in elementwise_samples(rng, [REAL])
    ],
)


def _sinc_slope(x: Value, ans: Value) -> Value:
    """``(cos(πx) - sinc(x)) / x``, by its series where the two terms cancel."""
    small = np.absolute(x) < 0.3
    away = np.where(small, 1, x)
    angle = math.pi * np.where(small, x, 0)
    squared = angle * angle
    series: Value = 0.0
    # Σ (-1)^k 2k (πx)^(2k-1) / (2k+1)!, from the last term that counts.
    for k in range(10, 0, -1):
        series = (-1) ** k * 2 * k / math.factorial(2 * k + 1) + squared * series
    direct = (np.cos(math.pi * away) - np.where(small, 0, ans)) / away
    return np.where(small, math.pi * angle * series, direct)


def _bessel_i1(x: Value) -> Value:
    from scipy.special import i1

    if np.result_type(x).char != "g":
        return i1(x)
    # SciPy has it in double precision, in which np.i0 is exact too.
    return i1(x.astype(np.float64)).astype(x.dtype)


def _floating_type(function: Callable[[Value], Value]) -> Callable[[ArrayType], ArrayType]:
    return lambda x: ArrayType(x.shape, function(np.ones(1, x.dtype)).dtype)


NOT_UFUNCS = tuple(
    Primitive(
        function.__name__,
        function,
        infer=_floating_type(function),
        vjps=(rule,),
        jvp=(rule,),
        broadcasts=True,
        samples=lambda rng: elementwise_samples(rng, [REAL]),
    )
    for function, rule in (
        (np.sinc, lambda g, x, ans: scale(g, _sinc_slope(x, ans))),
        (np.i0, lambda g, x: scale(g, _bessel_i1(x))),
    )
)


def _integer_samples(rng: np.random.Generator, arguments: int) -> list[Sample]:
    return [Sample(tuple(rng.integers(0, 8, (arguments, 3))))]


INTEGER = tuple(
    Primitive(
        ufunc.__name__,
        function,
        infer=partial(ufunc_type, ufunc, operator=function),
        arguments="x" if ufunc.nin == 1 else "x y",
        broadcasts=True,
        samples=partial(_integer_samples, arguments=ufunc.nin),
    )
    for ufunc, function in (
        (np.bitwise_and, operator.and_),
        (np.bitwise_or, operator.or_),
        (np.bitwise_xor, operator.xor),
        (np.left_shift, operator.lshift),
        (np.right_shift, operator.rshift),
        (np.invert, operator.invert),
        (np.gcd, np.gcd),
        (np.lcm, np.lcm),
        (np.bitwise_count, np.bitwise_count),
    )
)


def _where_type(condition: ArrayType, x: ArrayType, y: ArrayType) -> ArrayType:
    examples = [
        each.promotion_type(0) if each.weak else each.dtype  # type: ignore[operator]
        for each in (x, y)
    ]
    return ArrayType(broadcast_type(condition, x, y), np.result_type(*examples))


where = Primitive(
    "where",
    np.where,
    infer=_where_type,
    arguments="condition x y",
    vjps=(
        None,
        lambda g, condition: np.where(condition, g, 0),
        lambda g, condition: np.where(condition, 0, g),
    ),
    jvp=(
        None,
        lambda t, condition: np.where(condition, t, 0),
        lambda t, condition: np.where(condition, 0, t),
    ),
    broadcasts=True,
    samples=lambda rng: (
        Sample((rng.random(shape) < 0.5, *sample.args))
        for shape, sample in zip(
            [(3,), (), (3,), (2, 1), (0, 2)],
            elementwise_samples(rng, [REAL, REAL]),
            strict=True,
        )
    ),
)


def _evaluate_cast(x: Value, dtype: np.dtype[Any]) -> Value:
    # A scalar stays a scalar, an array without axes an array.
    return x.astype(dtype) if is_ndarray(x) else np.asarray(x).astype(dtype)[()]


cast = Primitive(
    "cast",
    _evaluate_cast,
    infer=lambda x, dtype: ArrayType(x.shape, np.dtype(dtype)),
    vjps=(lambda g: g,),
    jvp=(lambda t: t,),
    broadcasts=True,
    samples=lambda rng: [
        Sample((rng.uniform(-2, 2, (2, 3)),), {"dtype": np.dtype(np.float64)}),
        Sample((rng.uniform(-2, 2, (2, 3)),), {"dtype": np.dtype(np.longdouble)}),
    ],
)
"""Change the dtype to another one that has derivatives."""

convert = Primitive(
    "convert",
    _evaluate_cast,
    infer=lambda x, dtype: ArrayType(x.shape, np.dtype(dtype)),
    samples=lambda rng: [Sample((rng.uniform(-2, 2, (2, 3)),), {"dtype": np.dtype(np.int64)})],
)
"""Change the dtype to one without derivatives: integers, booleans."""

item = Primitive(
    "item",
    lambda x: np.asarray(x).item(),
    # Of Python's numbers none is as long as a longdouble, which stays one.
    infer=lambda x: type_of(np.zeros((), x.dtype).item()),
    vjps=(lambda g: g,),
    jvp=(lambda t: t,),
    samples=lambda rng: [
        Sample((np.asarray(rng.uniform(-2, 2)),)),
    ],
)
"""Take the number of an array without axes as Python's, which gives way to other dtypes."""


ldexp = Primitive(
    "ldexp",
    np.ldexp,
    infer=partial(ufunc_type, np.ldexp),
    arguments="x y",
    vjps=(lambda g, y: np.ldexp(g, y), None),
    jvp=(lambda t, y: np.ldexp(t, y), None),
    broadcasts=True,
    samples=lambda rng: [
        Sample((rng.uniform(-2, 2, x), rng.integers(-3, 4, y)))
        for x, y in [((3,), (3,)), ((), ()), ((2, 1), (3,)), ((), (2,)), ((0, 2), (1, 2))]
    ],
)


def _real_type(x: ArrayType) -> ArrayType:
    return ArrayType(x.shape, np.empty(0, x.dtype).real.dtype, x.weak)


COMPLEX = (
    Primitive(
        "real",
        np.real,
        infer=_real_type,
        vjps=(lambda g: g,),
        jvp=(lambda t: np.real(t),),
        broadcasts=True,
        samples=lambda rng: elementwise_samples(rng, [REAL]),
    ),
    Primitive(
        "imag",
        np.imag,
        infer=_real_type,
        # In this order, for Python's complex times NumPy's float is Python's.
        vjps=(lambda g: g * -1j,),
        jvp=(lambda t: np.imag(t),),
        broadcasts=True,
        samples=lambda rng: elementwise_samples(rng, [REAL]),
    ),
)

PRIMITIVES = (
    *ARITHMETIC,
    *EXPONENTIAL,
    *TRIGONOMETRIC,
    *EXTREMA,
    *PIECEWISE_CONSTANT,
    *INTEGER,
    *COMPLEX,
    *NOT_UFUNCS,
    complex_sign,
    frexp_exponent,
    round_,
    SCALE,
    where,
    cast,
    convert,
    item,
    ldexp,
)
