"""The gamma and beta functions, zeta, and the distributions that their incomplete forms are.

In the parameters of the incomplete functions nothing is differentiated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sp
from scipy.special import betaln, digamma, gammaln

from steepest.ops.spec import (
    Primitive,
    Sample,
    Traced,
    Value,
    elementwise_samples,
    scale,
    ufunc_type,
)
from steepest.ops.special.error import normal_density
from steepest.ops.special.rules import (
    INTEGER,
    POSITIVE,
    REAL,
    UNIT,
    entry,
    of_real,
)

__all__ = ["PRIMITIVES", "polygamma"]


def _evaluate_polygamma(x: Value, n: int) -> Value:
    # SciPy makes double precision of single.
    return np.asarray(sp.polygamma(n, x), digamma(x).dtype)[()]


polygamma: Primitive = Primitive(
    "polygamma",
    _evaluate_polygamma,
    infer=lambda x, n: ufunc_type(sp.gammaln, x),
    vjps=(lambda g, x, n: scale(g, polygamma(x, n=n + 1)),),
    jvp=(lambda t, x, n: scale(t, polygamma(x, n=n + 1)),),
    broadcasts=True,
    samples=lambda rng: (
        Sample(each.args, {"n": n}) for n in (1, 2) for each in elementwise_samples(rng, [POSITIVE])
    ),
)
"""The n-th derivative of digamma."""


def _of_parameters(function: np.ufunc, *parameters: Value) -> Value:
    """Apply a ufunc so that Python numbers give one, which leaves single precision alone."""
    result = function(*parameters)
    if isinstance(result, Traced) or not all(isinstance(each, (int, float)) for each in parameters):
        return result
    return float(result)


def _gamma_density(a: Value, x: Value) -> Value:
    return np.exp(scale(a - 1, np.log(x)) - x - _of_parameters(gammaln, a))


def _beta_density(a: Value, b: Value, x: Value) -> Value:
    powers = scale(a - 1, np.log(x)) + scale(b - 1, np.log1p(-x))
    return np.exp(powers - _of_parameters(betaln, a, b))


def _is_pole(x: Value) -> Any:
    """Whether the gamma function has a pole."""
    return (np.real(x) <= 0) & (x == np.floor(np.real(x)))


def _reciprocal_gamma_slope(x: Value) -> Value:
    """Differentiate 1/Γ, which is Γ(1 - x) sin(πx) / π: finite where Γ is not."""
    reflected = np.real(x) < 0.5
    left = np.where(reflected, x, 0)
    right = np.where(reflected, 1, x)
    whole = np.rint(np.real(left))
    sign = 1 - 2 * np.remainder(whole, 2)
    angle = math.pi * (left - whole)
    slope = sign * (np.cos(angle) - digamma(1 - left) * (np.sin(angle) / math.pi))
    return np.where(reflected, sp.gamma(1 - left) * slope, -digamma(right) * sp.rgamma(right))


def _binomial_by_n(n: Value, k: Value, ans: Value) -> Value:
    # 1 / B(…) has a zero wherever one of the lower gamma functions has a pole.
    rest = n - k + 1
    poles = _is_pole(rest) & ~_is_pole(n + 1)
    top = np.where(poles, n + 1, 1)
    bottom = np.where(poles, rest, 1)
    at_pole = sp.gamma(top) * sp.rgamma(k + 1) * _reciprocal_gamma_slope(bottom)
    return np.where(
        poles,
        at_pole,
        ans * (digamma(np.where(poles, 1, n + 1)) - digamma(np.where(poles, 1, rest))),
    )


def _binomial_by_k(n: Value, k: Value, ans: Value) -> Value:
    rest = n - k + 1
    left, right = _is_pole(k + 1), _is_pole(rest)
    poles = (left | right) & ~_is_pole(n + 1)
    top = sp.gamma(np.where(poles, n + 1, 1))
    low, high = np.where(poles, k + 1, 1), np.where(poles, rest, 1)
    at_pole = top * (
        _reciprocal_gamma_slope(low) * sp.rgamma(high)
        - sp.rgamma(low) * _reciprocal_gamma_slope(high)
    )
    away_low, away_high = np.where(poles, 1, k + 1), np.where(poles, 1, rest)
    return np.where(poles, at_pole, ans * (digamma(away_high) - digamma(away_low)))


def _rising_by_z(z: Value, m: Value, ans: Value) -> Value:
    """Differentiate Γ(z + m) / Γ(z) by z."""
    below, above = _is_pole(z), _is_pole(z + m)
    pole = below & ~above
    at = np.where(pole, z, 1)
    upper = np.where(pole, z + m, 1)
    at_pole = sp.gamma(upper) * (_reciprocal_gamma_slope(at) + sp.rgamma(at) * digamma(upper))
    both = below & above
    # Where both have poles, so have both digammas, which reflect to those on the other side.
    start = np.where(both, 1 - z, np.where(pole, 1, z))
    end = np.where(both, 1 - z - m, np.where(pole, 1, z + m))
    return np.where(pole, at_pole, ans * (digamma(end) - digamma(start)))


def _student_density(df: Value, t: Value) -> Value:
    df = df * 1.0
    finite = np.isfinite(df)
    freedom = np.where(finite, df, 1)
    ratio = t / np.sqrt(freedom)
    exponent = -0.5 * (freedom + 1) * np.log1p(ratio * ratio)
    density = np.exp(exponent - betaln(0.5, 0.5 * freedom)) / np.sqrt(freedom)
    return np.where(finite, density, normal_density(t))


def _f_density(dfn: Value, dfd: Value, x: Value) -> Value:
    """Compute the density of d₁x / (d₁x + d₂) under a beta distribution, times its slope."""
    a, b = 0.5 * dfn, 0.5 * dfd
    ratio = dfn * x / dfd
    exponent = scale(a - 1, np.log(ratio)) - (a + b) * np.log1p(ratio)
    return dfn / dfd * np.exp(exponent - betaln(a, b))


def _binomial_density(k: Value, n: Value, p: Value) -> Value:
    """Compute the slope of a binomial distribution function by 1 - p."""
    k = np.floor(k)
    return _beta_density(k + 1, n - k, p)


def _poisson_density(k: Value, m: Value) -> Value:
    return _gamma_density(np.floor(k) + 1, m)


def _noncentral_density(x: Value, df: Value, nc: Value) -> Value:
    """Compute the density of the noncentral chi-squared distribution.

    ``exp(-(√x - √λ)²/2) (x/λ)^(ν/2) I_ν(√(λx)) exp(-√(λx)) / 2`` with ν = df/2 - 1; for small λx
    by the series of I_ν, which has no root of λ.
    """
    order = 0.5 * df - 1
    product = x * nc
    near = product < 1
    series = sp.hyp0f1(order + 1, np.where(near, product, 0) / 4)
    small = _gamma_density(order + 1, 0.5 * np.where(near, x, 1)) * np.exp(-0.5 * nc) * series / 2
    far_x, far_nc = np.where(near, 1, x), np.where(near, 1, nc)
    gap = np.sqrt(far_x) - np.sqrt(far_nc)
    power = 0.5 * order * np.log(far_x / far_nc) - 0.5 * gap * gap
    large = 0.5 * np.exp(power) * sp.ive(order, np.sqrt(far_x * far_nc))
    return np.where(near, small, large)


def _kolmogorov_density(y: Value) -> Value:
    """Compute the density of Kolmogorov's limit, by one of its two theta series.

    A. Kolmogoroff, "Sulla determinazione empirica di una legge di distribuzione", 1933.
    """
    small = y < 1
    low, high = np.where(small, y, 1), np.where(small, 1, y)
    rising: Value = 0.0
    falling: Value = 0.0
    for k in range(1, 8):
        rate = (2 * k - 1) ** 2 * math.pi**2 / 8
        inverse = 1 / np.where(low <= 0.02, 1, low)
        decay = np.exp(-rate * inverse * inverse) * inverse * inverse
        rising = rising + decay * (2 * rate * inverse * inverse - 1)
        falling = falling + (-1) ** (k - 1) * k * k * np.exp(-2 * k * k * high * high)
    # Below the least y the density is less than the smallest number.
    left = np.where(low <= 0.02, 0, math.sqrt(2 * math.pi) * rising)
    return np.where(small, left, 8 * high * falling)


GAMMA = (
    entry(sp.gamma, "x", [POSITIVE], x=lambda x, ans: ans * digamma(x)),
    entry(gammaln, "x", [POSITIVE], x=lambda x: digamma(x)),
    entry(sp.loggamma, "x", [POSITIVE], x=lambda x: digamma(x)),
    entry(sp.rgamma, "x", [POSITIVE], x=_reciprocal_gamma_slope),
    entry(sp.gammasgn, "x", [POSITIVE], steps="x", parameters=[1.5]),
    entry(digamma, "x", [POSITIVE], x=of_real("digamma", lambda x: polygamma(x, n=1))),
    polygamma,
    entry(
        sp.beta,
        "x y",
        [POSITIVE, POSITIVE],
        x=lambda x, y, ans: ans * (digamma(x) - digamma(x + y)),
        y=lambda x, y, ans: ans * (digamma(y) - digamma(x + y)),
    ),
    entry(
        betaln,
        "x y",
        [POSITIVE, POSITIVE],
        x=lambda x, y: digamma(x) - digamma(x + y),
        y=lambda x, y: digamma(y) - digamma(x + y),
    ),
    entry(
        sp.binom,
        "n k",
        [(2.1, 3.9), (0.6, 1.4)],
        n=_binomial_by_n,
        k=_binomial_by_k,
    ),
    entry(
        sp.poch,
        "z m",
        [POSITIVE, POSITIVE],
        z=_rising_by_z,
        m=lambda z, m, ans: ans * digamma(z + m),
    ),
)

INCOMPLETE = (
    entry(sp.gammainc, "a x", [POSITIVE, POSITIVE], x=lambda a, x: _gamma_density(a, x)),
    entry(sp.gammaincc, "a x", [POSITIVE, POSITIVE], x=lambda a, x: -_gamma_density(a, x)),
    entry(sp.gammaincinv, "a y", [POSITIVE, UNIT], y=lambda a, ans: 1 / _gamma_density(a, ans)),
    entry(sp.gammainccinv, "a y", [POSITIVE, UNIT], y=lambda a, ans: -1 / _gamma_density(a, ans)),
    entry(
        sp.betainc,
        "a b x",
        [POSITIVE, POSITIVE, UNIT],
        x=lambda a, b, x: _beta_density(a, b, x),
    ),
    entry(
        sp.betaincc,
        "a b x",
        [POSITIVE, POSITIVE, UNIT],
        x=lambda a, b, x: -_beta_density(a, b, x),
    ),
    entry(
        sp.betaincinv,
        "a b y",
        [POSITIVE, POSITIVE, UNIT],
        y=lambda a, b, ans: 1 / _beta_density(a, b, ans),
    ),
    entry(
        sp.betainccinv,
        "a b y",
        [POSITIVE, POSITIVE, UNIT],
        y=lambda a, b, ans: -1 / _beta_density(a, b, ans),
    ),
)

DISTRIBUTIONS = (
    entry(
        sp.chdtr, "v x", [INTEGER, POSITIVE], x=lambda v, x: _gamma_density(0.5 * v, 0.5 * x) / 2
    ),
    entry(
        sp.chdtrc, "v x", [INTEGER, POSITIVE], x=lambda v, x: -_gamma_density(0.5 * v, 0.5 * x) / 2
    ),
    entry(
        sp.chdtri,
        "v p",
        [INTEGER, UNIT],
        p=lambda v, ans: -2 / _gamma_density(0.5 * v, 0.5 * ans),
    ),
    entry(
        sp.chndtr,
        "x df nc",
        [POSITIVE, (2.1, 3.9), POSITIVE],
        x=_noncentral_density,
        nc=lambda x, df, nc: -_noncentral_density(x, df + 2, nc),
    ),
    entry(
        sp.chndtrix,
        "p df nc",
        [UNIT, (2.1, 3.9), POSITIVE],
        p=lambda df, nc, ans: 1 / _noncentral_density(ans, df, nc),
        nc=lambda df, nc, ans: (
            _noncentral_density(ans, df + 2, nc) / _noncentral_density(ans, df, nc)
        ),
    ),
    entry(
        sp.chndtrinc,
        "x df p",
        [(4.0, 6.0), (2.1, 3.9), (0.2, 0.4)],
        x=lambda x, df, ans: _noncentral_density(x, df, ans) / _noncentral_density(x, df + 2, ans),
        p=lambda x, df, ans: -1 / _noncentral_density(x, df + 2, ans),
    ),
    entry(
        sp.gdtr,
        "a b x",
        [POSITIVE, INTEGER, POSITIVE],
        a=lambda a, b, x: scale(x, _gamma_density(b, a * x)),
        x=lambda a, b, x: scale(a, _gamma_density(b, a * x)),
    ),
    entry(
        sp.gdtrc,
        "a b x",
        [POSITIVE, INTEGER, POSITIVE],
        a=lambda a, b, x: -scale(x, _gamma_density(b, a * x)),
        x=lambda a, b, x: -scale(a, _gamma_density(b, a * x)),
    ),
    entry(
        sp.gdtrix,
        "a b p",
        [POSITIVE, INTEGER, UNIT],
        a=lambda a, ans: -ans / a,
        p=lambda a, b, ans: 1 / (a * _gamma_density(b, a * ans)),
    ),
    entry(
        sp.gdtria,
        "p b x",
        [UNIT, INTEGER, POSITIVE],
        p=lambda b, x, ans: 1 / (x * _gamma_density(b, ans * x)),
        x=lambda x, ans: -ans / x,
    ),
    # Distributions of whole numbers are step functions of these.
    entry(sp.pdtr, "k m", [INTEGER, POSITIVE], steps="k", m=lambda k, m: -_poisson_density(k, m)),
    entry(sp.pdtrc, "k m", [INTEGER, POSITIVE], steps="k", m=lambda k, m: _poisson_density(k, m)),
    entry(
        sp.pdtri, "k y", [INTEGER, UNIT], steps="k", y=lambda k, ans: -1 / _poisson_density(k, ans)
    ),
    entry(
        sp.bdtr,
        "k n p",
        [(0.1, 1.9), (2.1, 4.9), UNIT],
        steps="k",
        p=lambda k, n, p: -_binomial_density(k, n, p),
    ),
    entry(
        sp.bdtrc,
        "k n p",
        [(0.1, 1.9), (2.1, 4.9), UNIT],
        steps="k",
        p=lambda k, n, p: _binomial_density(k, n, p),
    ),
    entry(
        sp.bdtri,
        "k n y",
        [(0.1, 1.9), (2.1, 4.9), UNIT],
        steps="k",
        y=lambda k, n, ans: -1 / _binomial_density(k, n, ans),
    ),
    entry(
        sp.nbdtr,
        "k n p",
        [INTEGER, INTEGER, UNIT],
        steps="k",
        p=lambda k, n, p: _beta_density(n, np.floor(k) + 1, p),
    ),
    entry(
        sp.nbdtrc,
        "k n p",
        [INTEGER, INTEGER, UNIT],
        steps="k",
        p=lambda k, n, p: -_beta_density(n, np.floor(k) + 1, p),
    ),
    entry(
        sp.nbdtri,
        "k n y",
        [INTEGER, INTEGER, UNIT],
        steps="k",
        y=lambda k, n, ans: 1 / _beta_density(n, np.floor(k) + 1, ans),
    ),
    entry(
        sp.fdtr,
        "dfn dfd x",
        [INTEGER, INTEGER, POSITIVE],
        x=lambda dfn, dfd, x: _f_density(dfn, dfd, x),
    ),
    entry(
        sp.fdtrc,
        "dfn dfd x",
        [INTEGER, INTEGER, POSITIVE],
        x=lambda dfn, dfd, x: -_f_density(dfn, dfd, x),
    ),
    entry(
        sp.fdtri,
        "dfn dfd p",
        [INTEGER, INTEGER, UNIT],
        p=lambda dfn, dfd, ans: 1 / _f_density(dfn, dfd, ans),
    ),
    entry(sp.kolmogorov, "y", [POSITIVE], y=lambda y: -_kolmogorov_density(y)),
    entry(sp.kolmogi, "p", [UNIT], p=lambda ans: -1 / _kolmogorov_density(ans)),
    entry(sp.stdtr, "df t", [INTEGER, REAL], t=lambda df, t: _student_density(df, t)),
    entry(sp.stdtrit, "df p", [INTEGER, UNIT], p=lambda df, ans: 1 / _student_density(df, ans)),
    entry(
        sp.nrdtrimn,
        "p std x",
        [UNIT, POSITIVE, REAL],
        p=lambda p, std: -std * math.sqrt(2 * math.pi) * np.exp(0.5 * np.square(sp.ndtri(p))),
        std=lambda p: -sp.ndtri(p),
        x=1,
    ),
    entry(
        sp.nrdtrisd,
        "mn p x",
        [REAL, (0.6, 0.9), (2.5, 4.0)],
        mn=lambda p: -1 / sp.ndtri(p),
        p=lambda p, ans: (
            -ans / sp.ndtri(p) * math.sqrt(2 * math.pi) * np.exp(0.5 * np.square(sp.ndtri(p)))
        ),
        x=lambda p: 1 / sp.ndtri(p),
    ),
)

PRIMITIVES: tuple[Primitive, ...] = (*GAMMA, *INCOMPLETE, *DISTRIBUTIONS)
