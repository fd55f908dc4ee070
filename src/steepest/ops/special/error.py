"""The logistic function, error functions and their integrals."""

from __future__ import annotations

import math

import numpy as np
import scipy.special as sp
from scipy.special import erfcx, expit

from steepest.ops.spec import Primitive, Value
from steepest.ops.special.rules import (
    INTEGER,
    POSITIVE,
    REAL,
    UNIT,
    entry,
    is_complex,
    several,
)

__all__ = ["PRIMITIVES", "normal_density"]

SQRT_PI = math.sqrt(math.pi)
SQRT_2 = math.sqrt(2)
SQRT_TAU = math.sqrt(2 * math.pi)

TAIL = 12.0
"""From this modulus on the asymptotic series of w(z) has rounding's accuracy."""


def normal_density(x: Value) -> Value:
    """Evaluate the density of the standard normal distribution."""
    return np.exp(-0.5 * x * x) / SQRT_TAU


def _tail_series(inverse_square: Value, sign: int) -> Value:
    """``Σ (2k+1)!! (sign / (2 z²))^k``, from the last term that counts."""
    series: Value = 1.0
    for k in range(12, 0, -1):
        series = 1 + sign * (2 * k + 1) / 2 * inverse_square * series
    return series


def _inverse_square(z: Value, large: Value) -> Value:
    inverse = 1 / np.where(large, z, TAIL)
    return inverse * inverse


def _faddeeva_slope(z: Value, w: Value) -> Value:
    """``w'(z) = 2i/√π - 2 z w(z)``, by the asymptotic series where the two terms cancel."""
    large = np.absolute(z) > TAIL
    direct = 2j / SQRT_PI - 2 * np.where(large, 0, z) * np.where(large, 0, w)
    inverse_square = _inverse_square(z, large)
    tail = -1j / SQRT_PI * inverse_square * _tail_series(inverse_square, 1)
    below = large & (np.imag(z) < 0)
    # w(z) = 2 exp(-z²) - w(-z) in the lower half of the plane.
    under = np.where(below, z, 0)
    return np.where(large, tail, direct) - 4 * under * np.exp(-under * under)


def _erfcx_slope(x: Value, ans: Value) -> Value:
    if is_complex(x):
        return 1j * _faddeeva_slope(1j * x, ans)
    large = x > TAIL
    direct = 2 * np.where(large, 1, x) * np.where(large, 1, ans) - 2 / SQRT_PI
    inverse_square = _inverse_square(x, large)
    series = _tail_series(inverse_square, -1)
    return np.where(large, -inverse_square * series / SQRT_PI, direct)


def _dawsn_slope(x: Value, ans: Value) -> Value:
    """``1 - 2 x D(x)``; D is i √π/2 (exp(-x²) - w(x))."""
    large = np.absolute(x) > TAIL
    direct = 1 - 2 * np.where(large, 0, x) * np.where(large, 0, ans)
    inverse_square = _inverse_square(x, large)
    tail = -0.5 * inverse_square * _tail_series(inverse_square, 1)
    if is_complex(x):
        far = np.where(large, x, 0)
        side = np.where(np.imag(far) < 0, 1j, -1j)
        tail = tail + SQRT_PI * side * far * np.exp(-far * far)
    return np.where(large, tail, direct)


def _voigt_parts(x: Value, sigma: Value, gamma: Value) -> tuple[Value, Value, Value]:
    """Compute w'(z) and z, with z = (x + iγ) / (σ√2), and the factor of the profile."""
    width = sigma * SQRT_2
    z = (x + 1j * gamma) / np.where(sigma == 0, 1, width)
    return _faddeeva_slope(z, sp.wofz(z)), z, 1 / (width * (sigma * SQRT_TAU))


def _cauchy_slopes(x: Value, gamma: Value) -> tuple[Value, Value]:
    radius = np.hypot(x, gamma)
    by_x = -2 * (x / radius) * (gamma / radius) / radius / radius / math.pi
    by_gamma = (x / radius - gamma / radius) * (x / radius + gamma / radius)
    return by_x, by_gamma / radius / radius / math.pi


def _voigt_by_x(x: Value, sigma: Value, gamma: Value) -> Value:
    slope, _, factor = _voigt_parts(x, sigma, gamma)
    return np.where(sigma == 0, _cauchy_slopes(x, gamma)[0], np.real(slope) * factor)


def _voigt_by_gamma(x: Value, sigma: Value, gamma: Value) -> Value:
    slope, _, factor = _voigt_parts(x, sigma, gamma)
    return np.where(sigma == 0, _cauchy_slopes(x, gamma)[1], -np.imag(slope) * factor)


def _voigt_by_sigma(x: Value, sigma: Value, gamma: Value) -> Value:
    """Compute σ times the second derivative by x: the profile spreads as heat does."""
    slope, z, factor = _voigt_parts(x, sigma, gamma)
    large = np.absolute(z) > TAIL
    near = np.where(large, 0, z)
    direct = -2 * (sp.wofz(near) + near * slope)
    inverse = 1 / np.where(large, z, TAIL)
    inverse_square = inverse * inverse
    # The series of w'(z), differentiated: Σ (2k+1)!! (k+1) / (2 z²)^k.
    series: Value = 0.0
    for k in range(12, -1, -1):
        series = (k + 1) + (2 * k + 3) / 2 * inverse_square * series
    tail = 2j / SQRT_PI * inverse_square * inverse * series
    return np.where(sigma == 0, 0, np.real(np.where(large, tail, direct)) * factor / SQRT_2)


def _spence_slope(z: Value) -> Value:
    """``log(z) / (1 - z)``, by the series of the logarithm where z is near 1."""
    u = z - 1
    near = np.absolute(u) < 0.5
    series = sp.hyp2f1(1, 1, 2, -np.where(near, u, 0))
    away = np.where(near, 2, z)
    return np.where(near, -series, np.log(away) / (1 - away))


def _sine_quotient(z: Value, sign: int) -> Value:
    """``sin(z) / z`` for sign -1, ``sinh(z) / z`` for sign 1."""
    near = np.absolute(z) < 1
    small = np.where(near, z, 0)
    away = np.where(near, 1, z)
    series = sp.hyp0f1(1.5, sign * small * small / 4)
    return np.where(near, series, (np.sin(away) if sign < 0 else np.sinh(away)) / away)


def _modified_fresnel_slopes(x: Value, sign: int) -> tuple[Value, Value]:
    """Differentiate ∫ₓ^∞ exp(± i t²) dt, and ½ w(direction · x), which goes with it.

    NaN for negative x, where SciPy's integral is not that.
    """
    direction = complex(sign, 1) / SQRT_2
    z = direction * x
    slopes = (-np.exp(sign * 1j * (x * x)), 0.5 * direction * _faddeeva_slope(z, sp.wofz(z)))
    return np.where(x < 0, np.nan, slopes[0]), np.where(x < 0, np.nan, slopes[1])


LOGISTIC = (
    # 1 - expit(x) would round to 0 where expit(-x) does not.
    entry(expit, "x", [REAL], x=lambda x, ans: ans * expit(-x)),
    entry(sp.logit, "x", [UNIT], x=lambda x: 1 / x + 1 / (1 - x)),
    entry(sp.log_expit, "x", [REAL], x=lambda x: expit(-x)),
)

NORMAL = (
    entry(sp.erf, "x", [REAL], x=lambda x: 2 / SQRT_PI * np.exp(-x * x)),
    entry(sp.erfc, "x", [REAL], x=lambda x: -2 / SQRT_PI * np.exp(-x * x)),
    entry(sp.erfi, "x", [REAL], x=lambda x: 2 / SQRT_PI * np.exp(x * x)),
    entry(erfcx, "x", [REAL], x=_erfcx_slope),
    entry(sp.dawsn, "x", [REAL], x=_dawsn_slope),
    entry(sp.wofz, "x", [REAL], x=lambda x, ans: _faddeeva_slope(x + 0j, ans)),
    entry(sp.erfinv, "x", [(-0.9, 0.9)], x=lambda ans: SQRT_PI / 2 * np.exp(ans * ans)),
    entry(sp.erfcinv, "x", [(0.1, 1.9)], x=lambda ans: -SQRT_PI / 2 * np.exp(ans * ans)),
    entry(sp.ndtr, "x", [REAL], x=normal_density),
    # The density over the distribution function, neither of which need be representable.
    entry(sp.log_ndtr, "x", [REAL], x=lambda x: math.sqrt(2 / math.pi) / erfcx(-x / SQRT_2)),
    entry(sp.ndtri, "x", [UNIT], x=lambda ans: SQRT_TAU * np.exp(0.5 * ans * ans)),
    entry(
        sp.ndtri_exp,
        "x",
        [(-3.0, -0.1)],
        x=lambda ans: math.sqrt(math.pi / 2) * erfcx(-ans / SQRT_2),
    ),
    entry(
        sp.voigt_profile,
        "x sigma gamma",
        [REAL, POSITIVE, POSITIVE],
        x=_voigt_by_x,
        sigma=_voigt_by_sigma,
        gamma=_voigt_by_gamma,
    ),
    entry(
        sp.owens_t,
        "h a",
        [REAL, REAL],
        h=lambda h, a: -0.5 * normal_density(h) * sp.erf(a * h / SQRT_2),
        a=lambda h, a: np.exp(-0.5 * h * h * (1 + a * a)) / (1 + a * a) / (2 * math.pi),
    ),
)

INTEGRALS = (
    several(
        sp.fresnel,
        "z",
        [REAL],
        z=lambda z: (np.sin(math.pi / 2 * z * z), np.cos(math.pi / 2 * z * z)),
    ),
    several(sp.modfresnelp, "x", [POSITIVE], x=lambda x: _modified_fresnel_slopes(x, 1)),
    several(sp.modfresnelm, "x", [POSITIVE], x=lambda x: _modified_fresnel_slopes(x, -1)),
    several(
        sp.sici,
        "z",
        [POSITIVE],
        z=lambda z: (_sine_quotient(z, -1), np.cos(z) / z),
    ),
    several(
        sp.shichi,
        "z",
        [POSITIVE],
        z=lambda z: (_sine_quotient(z, 1), np.cosh(z) / z),
    ),
    entry(sp.expi, "x", [POSITIVE], x=lambda x: np.exp(x) / x),
    entry(sp.exp1, "x", [POSITIVE], x=lambda x: -np.exp(-x) / x),
    entry(
        sp.expn,
        "n x",
        [INTEGER, POSITIVE],
        x=lambda n, x: np.where(
            np.less(n, 1), -np.exp(-x) * (1 + 1 / x) / x, -sp.expn(np.maximum(n - 1, 0), x)
        ),
    ),
    entry(sp.spence, "z", [POSITIVE], z=_spence_slope),
)

PRIMITIVES: tuple[Primitive, ...] = (*LOGISTIC, *NORMAL, *INTEGRALS)
