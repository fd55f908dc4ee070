"""Entropies, losses, transformations and elementary functions of SciPy's own."""

from __future__ import annotations

import math

import numpy as np
import scipy.special as sp
from scipy.special import xlog1py, xlogy

from steepest.ops.spec import Primitive, Value, scale
from steepest.ops.special.rules import POSITIVE, REAL, UNIT, entry

__all__ = ["PRIMITIVES"]


def _unless_both_zero(x: Value, y: Value) -> Value:
    """Take the denominator y of ``x / y``, where 0 / 0 is to be 0."""
    return np.where((x == 0) & (y == 0), 1, y)


def _divergence_by_reference(x: Value, y: Value) -> Value:
    # At (0, 0) the slope along y is that of kl_div(0, y) = y.
    both_zero = (x == 0) & (y == 0)
    return np.where(both_zero, 1, (y - x) / np.where(both_zero, 1, y))


def _pseudo_huber_by_delta(x: Value, y: Value) -> Value:
    # δ² (√(1 + u²) - 1) with u = r / δ, without the cancellation of its two terms.
    slope = y / np.where(x == 0, 1, x)
    root = np.hypot(1, slope)
    return x * np.square(np.square(slope) / (1 + root)) / root


def _relative_exponential_slope(x: Value, ans: Value) -> Value:
    """Differentiate (exp(x) - 1) / x: ½ ₁F₁(2; 3; x) where its terms cancel."""
    near = np.absolute(x) < 1
    away = np.where(near, 1, x)
    direct = (np.exp(away) - np.where(near, 0, ans)) / away
    return np.where(near, 0.5 * sp.hyp1f1(2, 3, np.where(near, x, 0)), direct)


def _power_by_exponent(log: Value, lmbda: Value, ans: Value) -> Value:
    """Differentiate (exp(λ log) - 1) / λ by λ."""
    u = scale(lmbda, log)
    near = np.absolute(u) < 1
    small = np.where(near, u, 0)
    finite_log = np.where(near, log, 0)
    series = finite_log * finite_log * (0.5 * sp.hyp1f1(2, 3, small))
    exponent = np.where(near, 1, lmbda)
    away_log = np.where(near, 0, log)
    direct = (scale(np.exp(exponent * away_log), away_log) - np.where(near, 0, ans)) / exponent
    return np.where(near, series, direct)


def _inverse_power_by_exponent(y: Value, lmbda: Value, power: Value) -> Value:
    """Differentiate (1 + λ y)^(1/λ), which is the power given, by λ."""
    v = lmbda * y
    near = np.absolute(v) < 0.5
    small = np.where(near, v, 0)
    series = -0.5 * y * y * sp.hyp2f1(2, 2, 3, -small)
    exponent = np.where(near, 1, lmbda)
    away = np.where(near, 0, v)
    direct = (away / (1 + away) - np.log1p(away)) / exponent / exponent
    return scale(power, np.where(near, series, direct))


def _tukey_density(ans: Value, lmbda: Value) -> Value:
    """Compute the density, where the quantile function is (p^λ - (1 - p)^λ) / λ; 0 outside."""
    inside = (ans > 0) & (ans < 1)
    p = np.where(inside, ans, 0.5)
    return np.where(inside, 1 / (p ** (lmbda - 1) + (1 - p) ** (lmbda - 1)), 0)


def _tukey_by_shape(lmbda: Value, ans: Value) -> Value:
    inside = (ans > 0) & (ans < 1)
    p = np.where(inside, ans, 0.5)
    quantile_slope = _power_by_exponent(np.log(p), lmbda, sp.boxcox(p, lmbda)) - (
        _power_by_exponent(np.log1p(-p), lmbda, sp.boxcox(1 - p, lmbda))
    )
    return np.where(inside, -quantile_slope * _tukey_density(ans, lmbda), 0)


DEGREE = math.pi / 180

PRIMITIVES: tuple[Primitive, ...] = (
    entry(
        xlogy,
        "x y",
        [REAL, POSITIVE],
        x=lambda y: np.log(y),
        y=lambda x, y: x / _unless_both_zero(x, y),
    ),
    entry(
        xlog1py,
        "x y",
        [REAL, POSITIVE],
        x=lambda y: np.log1p(y),
        y=lambda x, y: x / _unless_both_zero(x, 1 + y),
    ),
    entry(sp.entr, "x", [POSITIVE], x=lambda x: -1 - np.log(x)),
    entry(
        sp.rel_entr,
        "x y",
        [POSITIVE, POSITIVE],
        x=lambda x, y: 1 + np.log(x / _unless_both_zero(x, y)),
        y=lambda x, y: -x / _unless_both_zero(x, y),
    ),
    entry(
        sp.kl_div,
        "x y",
        [POSITIVE, POSITIVE],
        x=lambda x, y: np.log(x / _unless_both_zero(x, y)),
        y=_divergence_by_reference,
    ),
    entry(
        sp.huber,
        "x y",
        [(0.2, 0.5), (0.7, 2.0)],
        x=lambda x, y: np.maximum(np.abs(y) - x, 0),
        y=lambda x, y: np.clip(y, -x, x),
    ),
    entry(
        sp.pseudo_huber,
        "x y",
        [POSITIVE, REAL],
        x=_pseudo_huber_by_delta,
        y=lambda x, y: y / np.hypot(1, y / np.where(x == 0, 1, x)),
    ),
    entry(
        sp.boxcox,
        "x lmbda",
        [POSITIVE, REAL],
        x=lambda x, lmbda: x ** (lmbda - 1),
        lmbda=lambda x, lmbda, ans: _power_by_exponent(np.log(x), lmbda, ans),
    ),
    entry(
        sp.boxcox1p,
        "x lmbda",
        [POSITIVE, REAL],
        x=lambda x, lmbda: np.exp((lmbda - 1) * np.log1p(x)),
        lmbda=lambda x, lmbda, ans: _power_by_exponent(np.log1p(x), lmbda, ans),
    ),
    entry(
        sp.inv_boxcox,
        "y lmbda",
        [POSITIVE, UNIT],
        y=lambda y, lmbda, ans: ans / (1 + lmbda * y),
        lmbda=lambda y, lmbda, ans: _inverse_power_by_exponent(y, lmbda, ans),
    ),
    entry(
        sp.inv_boxcox1p,
        "y lmbda",
        [POSITIVE, UNIT],
        y=lambda y, lmbda, ans: (ans + 1) / (1 + lmbda * y),
        lmbda=lambda y, lmbda, ans: _inverse_power_by_exponent(y, lmbda, ans + 1),
    ),
    entry(
        sp.tklmbda,
        "x lmbda",
        [(-0.5, 0.5), (0.2, 0.9)],
        x=lambda lmbda, ans: _tukey_density(ans, lmbda),
        lmbda=_tukey_by_shape,
    ),
    entry(sp.exprel, "x", [REAL], x=_relative_exponential_slope),
    entry(sp.exp10, "x", [REAL], x=lambda ans: ans * math.log(10)),
    entry(sp.exp2, "x", [REAL], name="scipy_exp2", x=lambda ans: ans * math.log(2)),
    entry(sp.expm1, "x", [REAL], name="scipy_expm1", x=lambda x: np.exp(x)),
    entry(sp.log1p, "x", [UNIT], name="scipy_log1p", x=lambda x: 1 / (1 + x)),
    entry(sp.cbrt, "x", [POSITIVE], name="scipy_cbrt", x=lambda ans: (1 / 3) / ans / ans),
    entry(sp.round, "x", [POSITIVE], name="scipy_round", steps="x", parameters=[1.3]),
    entry(sp.cosm1, "x", [REAL], x=lambda x: -np.sin(x)),
    entry(
        sp.powm1,
        "x y",
        [POSITIVE, REAL],
        x=lambda x, y: scale(x ** (y - 1), y),
        y=lambda x, ans: scale(np.log(x), ans + 1),
    ),
    entry(sp.sindg, "x", [REAL], x=lambda x: DEGREE * sp.cosdg(x)),
    entry(sp.cosdg, "x", [REAL], x=lambda x: -DEGREE * sp.sindg(x)),
    entry(sp.tandg, "x", [REAL], x=lambda ans: DEGREE * (1 + ans * ans)),
    entry(sp.cotdg, "x", [(20.0, 70.0)], x=lambda ans: -DEGREE * (1 + ans * ans)),
    entry(sp.radian, "d m s", [REAL, REAL, REAL], d=DEGREE, m=DEGREE / 60, s=DEGREE / 3600),
    entry(sp.wrightomega, "z", [REAL], z=lambda ans: ans / (1 + ans)),
)
