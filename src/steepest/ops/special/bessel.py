"""Bessel functions, and other solutions of differential equations of second order.

Of the Airy, Kelvin, Mathieu and other functions the second derivative is what the equation says.
Nothing is differentiated in orders and other parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy.special as sp
from scipy.special import (
    _ufuncs,
    i0,
    i0e,
    i1,
    i1e,
    iv,
    ive,
    j0,
    j1,
    jv,
    k0,
    k0e,
    k1,
    k1e,
    kv,
    kve,
    y0,
    y1,
    yv,
)

from steepest.ops.spec import Primitive, Value
from steepest.ops.special.rules import (
    INTEGER,
    POSITIVE,
    REAL,
    Derivative,
    entry,
    of_real,
    several,
)

__all__ = ["PRIMITIVES"]

ORDER = (0.3, 2.0)


def _half_difference(bessel: np.ufunc) -> Derivative:
    return lambda v, x: (bessel(v - 1, x) - bessel(v + 1, x)) / 2


def _half_sum(bessel: np.ufunc) -> Derivative:
    return lambda v, x: (bessel(v - 1, x) + bessel(v + 1, x)) / 2


def _far_or(
    near: Callable[[Value, Value], Value], first: float, second: float
) -> Callable[[Value, Value], Value]:
    """Make the derivative of a scaled function by that of its expansion, far from 0.

    There it is x^-½ (1 + first / x + second / x²) but for a factor (DLMF 10.40), and the terms of
    the derivative that is right ``near`` 0 cancel or are not known to SciPy.
    """

    def derivative(x: Value, ans: Value) -> Value:
        is_far = np.absolute(x) > 1e4
        u = 1 / np.where(is_far, np.absolute(x), 1)
        numerator = 0.5 + u * (1.5 * first + u * (2.5 * second))
        expanded = -ans * numerator / (1 + u * (first + u * second)) / np.where(is_far, x, 1)
        at, value = np.where(is_far, 1, x), np.where(is_far, 0, ans)
        return np.where(is_far, expanded, near(at, value))

    return derivative


# DLMF 10.6 and 10.29; those of order 0 and 1 have their own entries.
BESSEL = (
    entry(j0, "x", [REAL], x=lambda x: -j1(x)),
    entry(j1, "x", [REAL], x=lambda x: (j0(x) - jv(2, x)) / 2),
    entry(jv, "v x", [ORDER, POSITIVE], x=_half_difference(jv)),
    entry(sp.jve, "v x", [ORDER, POSITIVE], x=of_real("jve", _half_difference(sp.jve))),
    entry(y0, "x", [POSITIVE], x=lambda x: -y1(x)),
    entry(y1, "x", [POSITIVE], x=lambda x: (y0(x) - yv(2, x)) / 2),
    entry(
        sp.yn, "n x", [INTEGER, POSITIVE], x=lambda n, x: (sp.yn(n - 1, x) - sp.yn(n + 1, x)) / 2
    ),
    entry(yv, "v x", [ORDER, POSITIVE], x=_half_difference(yv)),
    entry(sp.yve, "v x", [ORDER, POSITIVE], x=of_real("yve", _half_difference(sp.yve))),
    entry(i0, "x", [REAL], name="scipy_i0", x=lambda x: i1(x)),
    entry(i1, "x", [REAL], x=lambda x: (i0(x) + iv(2, x)) / 2),
    entry(
        i0e, "x", [(0.3, 2.0)], x=_far_or(lambda x, ans: i1e(x) - np.sign(x) * ans, 1 / 8, 9 / 128)
    ),
    entry(
        i1e,
        "x",
        [(0.3, 2.0)],
        x=_far_or(lambda x, ans: (i0e(x) + ive(2, x)) / 2 - np.sign(x) * ans, -3 / 8, -15 / 128),
    ),
    entry(iv, "v x", [ORDER, POSITIVE], x=_half_sum(iv)),
    entry(
        ive,
        "v x",
        [ORDER, POSITIVE],
        # By complex numbers it has no derivative: it is scaled by the real part alone.
        x=of_real("ive", lambda v, x, ans: (ive(v - 1, x) + ive(v + 1, x)) / 2 - np.sign(x) * ans),
    ),
    entry(k0, "x", [POSITIVE], x=lambda x: -k1(x)),
    entry(k1, "x", [POSITIVE], x=lambda x: -(k0(x) + kv(2, x)) / 2),
    entry(k0e, "x", [POSITIVE], x=_far_or(lambda x, ans: ans - k1e(x), -1 / 8, 9 / 128)),
    entry(
        k1e,
        "x",
        [POSITIVE],
        x=_far_or(lambda x, ans: ans - (k0e(x) + kve(2, x)) / 2, 3 / 8, -15 / 128),
    ),
    entry(
        sp.kn, "n x", [INTEGER, POSITIVE], x=lambda n, x: -(sp.kn(n - 1, x) + sp.kn(n + 1, x)) / 2
    ),
    entry(kv, "v x", [ORDER, POSITIVE], x=lambda v, x: -(kv(v - 1, x) + kv(v + 1, x)) / 2),
    entry(
        kve,
        "v x",
        [ORDER, POSITIVE],
        x=lambda v, x, ans: ans - (kve(v - 1, x) + kve(v + 1, x)) / 2,
    ),
)

HANKEL = (
    entry(sp.hankel1, "v x", [ORDER, POSITIVE], x=_half_difference(sp.hankel1)),
    entry(sp.hankel2, "v x", [ORDER, POSITIVE], x=_half_difference(sp.hankel2)),
    entry(
        sp.hankel1e,
        "v z",
        [ORDER, POSITIVE],
        z=lambda v, z, ans: (sp.hankel1e(v - 1, z) - sp.hankel1e(v + 1, z)) / 2 - 1j * ans,
    ),
    entry(
        sp.hankel2e,
        "v z",
        [ORDER, POSITIVE],
        z=lambda v, z, ans: (sp.hankel2e(v - 1, z) - sp.hankel2e(v + 1, z)) / 2 + 1j * ans,
    ),
)


def _scaled_airy(z: Value, ans: Sequence[Value]) -> tuple[Value, ...]:
    ai, ai_slope, bi, bi_slope = ans
    # Ai is scaled by exp(⅔ z^(3/2)); Bi by its inverse for positive z, and not for negative z.
    root = np.sqrt(z)
    growth = np.sqrt(np.maximum(z, 0))
    return (
        ai_slope + root * ai,
        z * ai + root * ai_slope,
        bi_slope - growth * bi,
        z * bi - growth * bi_slope,
    )


AIRY = (
    several(
        sp.airy,
        "z",
        [REAL],
        z=lambda z, ans: (ans[1], z * ans[0], ans[3], z * ans[2]),
    ),
    several(sp.airye, "z", [POSITIVE], z=of_real("airye", _scaled_airy)),
)


def _kelvin_series(first: int) -> list[float]:
    """Coefficients of ber' / x³ (first 1) or bei' / x (first 0) in x⁴."""
    sign = 1 - 2 * first
    orders = range(1 + first, 13, 2)
    return [
        sign * (-1) ** k * 2 * n / (2**n * math.factorial(n)) ** 2 for k, n in enumerate(orders)
    ]


BER_SERIES, BEI_SERIES = _kelvin_series(1), _kelvin_series(0)


def _kelvin_quotient(x: Value, slope: Value, series: Sequence[float], power: int) -> Value:
    """Divide the slope of ber or bei by x: its series times x^power where x is small."""
    small = np.absolute(x) < 0.5
    near = np.square(np.where(small, x, 0))
    total: Value = 0.0
    for coefficient in reversed(series):
        total = coefficient + near * near * total
    if power:
        total = near * total
    return np.where(small, total, slope / np.where(small, 1, x))


# w'' = i w - w' / x for ber + i bei and ker + i kei (DLMF 10.61).
KELVIN = (
    entry(sp.ber, "x", [POSITIVE], x=lambda x: sp.berp(x)),
    entry(sp.bei, "x", [POSITIVE], x=lambda x: sp.beip(x)),
    entry(sp.ker, "x", [POSITIVE], x=lambda x: sp.kerp(x)),
    entry(sp.kei, "x", [POSITIVE], x=lambda x: sp.keip(x)),
    entry(
        sp.berp,
        "x",
        [POSITIVE],
        x=lambda x, ans: -sp.bei(x) - _kelvin_quotient(x, ans, BER_SERIES, 2),
    ),
    entry(
        sp.beip,
        "x",
        [POSITIVE],
        x=lambda x, ans: sp.ber(x) - _kelvin_quotient(x, ans, BEI_SERIES, 0),
    ),
    entry(sp.kerp, "x", [POSITIVE], x=lambda x, ans: -sp.kei(x) - ans / x),
    entry(sp.keip, "x", [POSITIVE], x=lambda x, ans: sp.ker(x) - ans / x),
    several(
        sp.kelvin,
        "x",
        [POSITIVE],
        x=lambda x, ans: (
            ans[2],
            ans[3],
            1j * ans[0]
            - _kelvin_quotient(x, np.real(ans[2]), BER_SERIES, 2)
            - 1j * _kelvin_quotient(x, np.imag(ans[2]), BEI_SERIES, 0),
            1j * ans[1] - ans[3] / x,
        ),
    ),
)


def _bessel_quotient(x: Value, sign: int) -> Value:
    """``(1 - J₀(x)) / x`` for sign -1, ``(I₀(x) - 1) / x`` for sign 1."""
    small = np.absolute(x) < 1
    near = np.where(small, x, 0)
    square = sign * near * near / 4
    series: Value = 0.0
    for k in range(12, 0, -1):
        series = 1 / math.factorial(k) ** 2 + square * series
    away = np.where(small, 1, x)
    bessel = i0(away) if sign > 0 else j0(away)
    return np.where(small, near / 4 * series, sign * (bessel - 1) / away)


def _struve_slope(function: np.ufunc, bessel_sign: int) -> Derivative:
    """DLMF 11.4.27 and 11.4.28 with the recurrence of the order."""

    def slope(v: Value, x: Value) -> Value:
        power = np.power(0.5 * x, v) * (sp.rgamma(v + 1.5) / math.sqrt(math.pi))
        below, above = function(v - 1, x), function(v + 1, x)
        return 0.5 * (below + bessel_sign * above + power)

    return slope


STRUVE = (
    entry(sp.struve, "v x", [ORDER, POSITIVE], x=_struve_slope(sp.struve, -1)),
    entry(sp.modstruve, "v x", [ORDER, POSITIVE], x=_struve_slope(sp.modstruve, 1)),
)

INTEGRALS = (
    several(sp.itj0y0, "x", [POSITIVE], x=lambda x: (j0(x), y0(x))),
    several(sp.iti0k0, "x", [POSITIVE], x=lambda x: (i0(x), k0(x))),
    several(sp.it2j0y0, "x", [POSITIVE], x=lambda x: (_bessel_quotient(x, -1), -y0(x) / x)),
    several(sp.it2i0k0, "x", [POSITIVE], x=lambda x: (_bessel_quotient(x, 1), -k0(x) / x)),
    entry(sp.itstruve0, "x", [POSITIVE], x=lambda x: sp.struve(0, x)),
    entry(sp.it2struve0, "x", [POSITIVE], x=lambda x: -sp.struve(0, x) / x),
    entry(sp.itmodstruve0, "x", [POSITIVE], x=lambda x: sp.modstruve(0, x)),
    entry(
        sp.besselpoly,
        "a lmb nu",
        [POSITIVE, INTEGER, INTEGER],
        a=lambda a, lmb, nu: sp.besselpoly(a, lmb + 1, nu - 1) - sp.besselpoly(a, lmb + 1, nu + 1),
    ),
)


def _parabolic(curvature: Derivative) -> Derivative:
    """Differentiate a parabolic cylinder function of order v and its slope (DLMF 12.2)."""

    def slopes(v: Value, x: Value, ans: Sequence[Value]) -> tuple[Value, Value]:
        return ans[1], curvature(v, x) * ans[0]

    return slopes


def _mathieu(characteristic: np.ufunc) -> Derivative:
    """Mathieu's equation: y'' = (2q cos 2x - a) y, in degrees (DLMF 28.2.1)."""

    def slopes(m: Value, q: Value, x: Value, ans: Sequence[Value]) -> tuple[Value, Value]:
        curvature = 2 * q * sp.cosdg(2 * x) - characteristic(m, q)
        return math.pi / 180 * ans[1], math.pi / 180 * curvature * ans[0]

    return slopes


def _modified_mathieu(characteristic: np.ufunc) -> Derivative:
    """Mathieu's modified equation: y'' = (a - 2q cosh 2x) y (DLMF 28.20.1)."""

    def slopes(m: Value, q: Value, x: Value, ans: Sequence[Value]) -> tuple[Value, Value]:
        return ans[1], (characteristic(m, q) - 2 * q * np.cosh(2 * x)) * ans[0]

    return slopes


WAVES = (
    several(sp.pbdv, "v x", [ORDER, REAL], [1], x=_parabolic(lambda v, x: x * x / 4 - v - 0.5)),
    several(sp.pbvv, "v x", [ORDER, REAL], [1], x=_parabolic(lambda v, x: x * x / 4 - v - 0.5)),
    several(sp.pbwa, "v x", [ORDER, REAL], [1], x=_parabolic(lambda v, x: v - x * x / 4)),
    *(
        several(ufunc, "m q x", [ORDER, ORDER, (10.0, 80.0)], [2, 1], x=_mathieu(value))
        for ufunc, value in ((sp.mathieu_cem, sp.mathieu_a), (sp.mathieu_sem, sp.mathieu_b))
    ),
    *(
        several(ufunc, "m q x", [ORDER, ORDER, (0.3, 1.0)], [2, 1], x=_modified_mathieu(value))
        for ufunc, value in (
            (sp.mathieu_modcem1, sp.mathieu_a),
            (sp.mathieu_modcem2, sp.mathieu_a),
            (sp.mathieu_modsem1, sp.mathieu_b),
            (sp.mathieu_modsem2, sp.mathieu_b),
        )
    ),
)


def _spherical(function: str) -> tuple[Primitive, Primitive]:
    """Make the entries of a spherical Bessel function and of its slope (DLMF 10.47, 10.51)."""
    ufunc, slope = getattr(_ufuncs, function), getattr(_ufuncs, f"{function}_d")
    sign = -1 if function in {"_spherical_in", "_spherical_kn"} else 1

    def curvature(n: Value, x: Value, ans: Value) -> Value:
        return (n * (n + 1) / (x * x) - sign) * ufunc(n, x) - 2 / x * ans

    return (
        entry(ufunc, "n x", [INTEGER, POSITIVE], x=lambda n, x: slope(n, x)),
        entry(slope, "n x", [INTEGER, POSITIVE], x=curvature),
    )


SPHERICAL = tuple(
    each
    for function in ("_spherical_jn", "_spherical_yn", "_spherical_in", "_spherical_kn")
    if hasattr(_ufuncs, function)
    for each in _spherical(function)
)

PRIMITIVES: tuple[Primitive, ...] = (
    *BESSEL,
    *HANKEL,
    *AIRY,
    *KELVIN,
    *STRUVE,
    *INTEGRALS,
    *WAVES,
    *SPHERICAL,
)
