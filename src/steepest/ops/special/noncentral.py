"""The noncentral F and t distributions, in all but their degrees of freedom.

Densities and slopes by the noncentrality are Poisson mixtures of those of the central
distributions (N. L. Johnson, S. Kotz and N. Balakrishnan, "Continuous univariate distributions",
vol. 2, 1995, chapters 30 and 31), whose sums are confluent hypergeometric functions. Kummer's
transformation keeps these from overflowing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sp
from scipy.special import betaln, gammaln, hyp1f1, hyperu, xlog1py, xlogy

from steepest.ops.spec import Primitive, Value
from steepest.ops.special.rules import POSITIVE, REAL, entry

__all__ = ["PRIMITIVES"]

_DEGREES = (2.1, 3.9)


def _f_power(dfn: Value, dfd: Value, nc: Value, f: Value, more: int) -> Value:
    """Sum the mixture of ``y**a (1 - y)**b`` by the number of events."""
    a, b = 0.5 * dfn, 0.5 * dfd
    odds = dfn / dfd * f
    y, rest = odds / (1 + odds), 1 / (1 + odds)
    powers = xlogy(a, y) - xlog1py(b, odds) - betaln(a, b) - 0.5 * nc * rest
    return np.exp(powers) * hyp1f1(more - b, a + more, -0.5 * nc * y)


def _f_density(dfn: Value, dfd: Value, nc: Value, f: Value) -> Value:
    return _f_power(dfn, dfd, nc, f, 0) / f


def _f_slope(dfn: Value, dfd: Value, nc: Value, f: Value) -> Value:
    return -_f_power(dfn, dfd, nc, f, 1) / dfn


_NODES = np.arange(-33, 34) * 0.3
"""Where the integrand of many degrees of freedom is evaluated: the rule of trapezoids is exact to
all digits for what is nearly a Gaussian curve."""


def _t_moment(order: Value, df: Value, nc: Value, t: Value) -> Value:
    """Integrate ``s**order exp(-df s²/2 - (t s - nc)²/2)`` over positive s, times its constants.

    That is a parabolic cylinder function of order ``-order - 1``: where t and nc are of one sign a
    sum of two of Kummer's functions, and otherwise one of Tricomi's, which is too small a number
    where there are many degrees of freedom.
    """
    length = df + np.square(t)
    z = nc * t / np.sqrt(length)
    half = 0.5 * (order + 1)
    constant = math.log(2) + xlogy(0.5 * df, 0.5 * df) - gammaln(0.5 * df)
    constant = constant - 0.5 * math.log(2 * math.pi) - half * np.log(length)
    is_against = z < 0
    along = np.where(is_against, 0, z)
    squared = 0.5 * np.square(along)
    # nc² - z², which is not a difference of large numbers.
    decay = constant - 0.5 * np.square(nc) * (df / length)
    even = np.exp(decay + (half - 1) * math.log(2) + gammaln(half))
    odd = np.exp(decay + (half - 0.5) * math.log(2) + gammaln(half + 0.5))
    result = even * hyp1f1(0.5 - half, 0.5, -squared)
    result = result + along * odd * hyp1f1(1 - half, 1.5, -squared)
    # Away from the root of its argument, which has no slope at 0.
    against = np.where(is_against, z, -1)
    decay = constant - 0.5 * np.square(nc)
    apart = np.exp(decay - half * math.log(2) + gammaln(order + 1)) * hyperu(
        half, 0.5, 0.5 * np.square(against)
    )
    is_many = order > 100
    many = _integral_of_many(np.where(is_many, order, 101), against, decay)
    return np.where(is_against, np.where(is_many, many, apart), result)


def _integral_of_many(order: Value, z: Value, log_factor: Value) -> Value:
    """Integrate ``r**order exp(-r²/2 + z r)`` over positive r, where it is nearly a Gaussian."""
    peak = 2 * order / (np.sqrt(np.square(z) + 4 * order) - z)
    width = 1 / np.sqrt(1 + order / np.square(peak))
    r = peak[..., None] + width[..., None] * _NODES.astype(peak.dtype)
    inside = np.where(r > 0, r, 1)
    exponent = order[..., None] * np.log(inside) - 0.5 * np.square(inside) + z[..., None] * inside
    exponent = exponent + log_factor[..., None]
    return 0.3 * width * np.sum(np.where(r > 0, np.exp(exponent), 0), axis=-1)


def _t_density(df: Value, nc: Value, t: Value) -> Value:
    return _t_moment(df, df, nc, t)


def _t_slope(df: Value, nc: Value, t: Value) -> Value:
    return -_t_moment(df - 1, df, nc, t)


_F: list[Any] = [_DEGREES, _DEGREES]

PRIMITIVES: tuple[Primitive, ...] = (
    entry(
        sp.ncfdtr,
        "dfn dfd nc f",
        [*_F, POSITIVE, POSITIVE],
        nc=_f_slope,
        f=_f_density,
    ),
    entry(
        sp.ncfdtri,
        "dfn dfd nc p",
        [*_F, POSITIVE, (0.2, 0.8)],
        nc=lambda dfn, dfd, nc, ans: -_f_slope(dfn, dfd, nc, ans) / _f_density(dfn, dfd, nc, ans),
        p=lambda dfn, dfd, nc, ans: 1 / _f_density(dfn, dfd, nc, ans),
    ),
    entry(
        sp.nctdtr,
        "df nc t",
        [_DEGREES, REAL, REAL],
        nc=_t_slope,
        t=_t_density,
    ),
    entry(
        sp.nctdtrit,
        "df nc p",
        [_DEGREES, REAL, (0.2, 0.8)],
        nc=lambda df, nc, ans: -_t_slope(df, nc, ans) / _t_density(df, nc, ans),
        p=lambda df, nc, ans: 1 / _t_density(df, nc, ans),
    ),
)
