"""The functions of ``scipy.special``, each with its local derivatives.

The formulas are those of the NIST Digital Library of Mathematical Functions
(https://dlmf.nist.gov), arranged so that they keep their accuracy in the tails: a difference of
nearly equal numbers is avoided where the result is small.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import numpy as np
import scipy.special
from scipy.special import (
    betaln,
    digamma,
    erfcx,
    expit,
    gammaln,
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
    xlog1py,
    xlogy,
    y0,
    y1,
    yv,
)

from steepest.errors import UnsupportedError
from steepest.ops.spec import (
    Primitive,
    Sample,
    Value,
    elementwise,
    elementwise_samples,
    scale,
    ufunc_type,
)

__all__ = ["PRIMITIVES"]

REAL = (-2.0, 2.0)
POSITIVE = (0.3, 3.0)
UNIT = (0.1, 0.9)

SQRT_PI = math.sqrt(math.pi)
SQRT_2 = math.sqrt(2)
SQRT_TAU = math.sqrt(2 * math.pi)


def _unless_both_zero(x: Value, y: Value) -> Value:
    """Take the denominator y of ``x / y``, where 0 / 0 is to be 0."""
    return np.where((x == 0) & (y == 0), 1, y)


# The logistic function and its relatives

LOGISTIC = (
    # 1 - expit(x) would round to 0 where expit(-x) does not.
    elementwise(expit, lambda x, ans: ans * expit(-x), domain=[REAL]),
    elementwise(scipy.special.logit, lambda x: 1 / x + 1 / (1 - x), domain=[UNIT]),
    elementwise(scipy.special.log_expit, lambda x: expit(-x), domain=[REAL]),
)


# Error functions and the normal distribution


def _erfcx_derivative(x: Value, ans: Value) -> Value:
    """``2 x erfcx(x) - 2 / √π``, by its asymptotic series where the two terms cancel."""
    large = x > 12
    direct = 2 * np.where(large, 1, x) * np.where(large, 1, ans) - 2 / SQRT_PI
    inverse = 1 / np.square(np.where(large, x, 12))
    series: Value = 1.0
    # Σ (-1)^k (2k+1)!! / (2 x²)^k, from the last term that counts.
    for k in range(12, 0, -1):
        series = 1 - (2 * k + 1) / 2 * inverse * series
    return np.where(large, -inverse * series / SQRT_PI, direct)


def _normal_density(x: Value) -> Value:
    return np.exp(-0.5 * x * x) / SQRT_TAU


ERROR = (
    elementwise(scipy.special.erf, lambda x: 2 / SQRT_PI * np.exp(-x * x), domain=[REAL]),
    elementwise(scipy.special.erfc, lambda x: -2 / SQRT_PI * np.exp(-x * x), domain=[REAL]),
    elementwise(scipy.special.erfi, lambda x: 2 / SQRT_PI * np.exp(x * x), domain=[REAL]),
    elementwise(erfcx, _erfcx_derivative, domain=[REAL]),
    elementwise(
        scipy.special.erfinv, lambda ans: SQRT_PI / 2 * np.exp(ans * ans), domain=[(-0.9, 0.9)]
    ),
    elementwise(
        scipy.special.erfcinv, lambda ans: -SQRT_PI / 2 * np.exp(ans * ans), domain=[(0.1, 1.9)]
    ),
    elementwise(scipy.special.ndtr, _normal_density, domain=[REAL]),
    # The density over the distribution function, neither of which need be representable.
    elementwise(
        scipy.special.log_ndtr,
        lambda x: math.sqrt(2 / math.pi) / erfcx(-x / SQRT_2),
        domain=[REAL],
    ),
    elementwise(scipy.special.ndtri, lambda ans: SQRT_TAU * np.exp(0.5 * ans * ans), domain=[UNIT]),
    elementwise(
        scipy.special.ndtri_exp,
        lambda ans: math.sqrt(math.pi / 2) * erfcx(-ans / SQRT_2),
        domain=[(-3.0, -0.1)],
    ),
)


# The gamma function and its relatives


def _evaluate_polygamma(x: Value, n: int) -> Value:
    # SciPy makes double precision of single.
    return np.asarray(scipy.special.polygamma(n, x), digamma(x).dtype)[()]


polygamma: Primitive = Primitive(
    "polygamma",
    _evaluate_polygamma,
    infer=lambda x, n: ufunc_type(scipy.special.gammaln, x),
    vjps=(lambda g, x, n: scale(g, polygamma(x, n=n + 1)),),
    jvp=(lambda t, x, n: scale(t, polygamma(x, n=n + 1)),),
    broadcasts=True,
    samples=lambda rng: (
        Sample(each.args, {"n": n}) for n in (1, 2) for each in elementwise_samples(rng, [POSITIVE])
    ),
)
"""The n-th derivative of digamma."""


def _refuse(name: str, argument: str) -> Callable[[Value], NoReturn]:
    """Make the rule of an argument in which a function is not differentiated."""

    def rule(g: Value) -> NoReturn:
        raise UnsupportedError(
            f"scipy.special.{name} is not differentiated in its argument {argument}",
            instead=f"sd.stop_gradient({argument}) if {argument} is not to be fitted; otherwise"
            " sd.custom_gradient around the function",
        )

    return rule


def _of_real(name: str, derivative: Callable[..., Value]) -> Callable[..., Value]:
    """Make a derivative in x that refuses complex numbers."""

    @functools.wraps(derivative)
    def of_real(*read: Value) -> Value:
        if any(np.iscomplexobj(each) for each in read):
            raise UnsupportedError(
                f"scipy.special.{name} is not differentiated by complex numbers",
                instead="its real and imaginary parts, or sd.custom_gradient around it",
            )
        return derivative(*read)

    return of_real


def _with_parameters(
    ufunc: np.ufunc,
    arguments: str,
    derivative: Callable[..., Value],
    domain: Sequence[tuple[float, float]],
) -> Primitive:
    """Make the entry of a ufunc that is differentiated in its last argument alone.

    The samples of the others are integers, in which nothing is differentiated.
    """
    *parameters, _ = arguments.split()
    entry = elementwise(
        ufunc,
        *(_refuse(ufunc.__name__, each) for each in parameters),
        derivative,
        domain=domain,
        arguments=arguments,
    )

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for sample in elementwise_samples(rng, domain):
            *orders, x = sample.args
            yield Sample((*(np.ceil(each).astype(int) for each in orders), x))

    entry.samples = samples
    return entry


def _of_parameters(function: np.ufunc, *parameters: Value) -> Value:
    """Apply a ufunc so that Python numbers give one, which leaves single precision alone."""
    result = function(*parameters)
    return float(result) if all(isinstance(each, (int, float)) for each in parameters) else result


def _gamma_density(a: Value, x: Value) -> Value:
    return np.exp(scale(a - 1, np.log(x)) - x - _of_parameters(gammaln, a))


def _beta_density(a: Value, b: Value, x: Value) -> Value:
    powers = scale(a - 1, np.log(x)) + scale(b - 1, np.log1p(-x))
    return np.exp(powers - _of_parameters(betaln, a, b))


GAMMA = (
    elementwise(scipy.special.gamma, lambda x, ans: ans * digamma(x), domain=[POSITIVE]),
    elementwise(gammaln, lambda x: digamma(x), domain=[POSITIVE]),
    elementwise(scipy.special.loggamma, lambda x: digamma(x), domain=[POSITIVE]),
    elementwise(scipy.special.gammasgn, None, domain=[POSITIVE]),
    elementwise(digamma, _of_real("digamma", lambda x: polygamma(x, n=1)), domain=[POSITIVE]),
    polygamma,
    elementwise(
        scipy.special.beta,
        lambda x, y, ans: ans * (digamma(x) - digamma(x + y)),
        lambda x, y, ans: ans * (digamma(y) - digamma(x + y)),
        domain=[POSITIVE, POSITIVE],
    ),
    elementwise(
        betaln,
        lambda x, y: digamma(x) - digamma(x + y),
        lambda x, y: digamma(y) - digamma(x + y),
        domain=[POSITIVE, POSITIVE],
    ),
    _with_parameters(
        scipy.special.gammainc, "a x", lambda a, x: _gamma_density(a, x), [POSITIVE, POSITIVE]
    ),
    _with_parameters(
        scipy.special.gammaincc, "a x", lambda a, x: -_gamma_density(a, x), [POSITIVE, POSITIVE]
    ),
    _with_parameters(
        scipy.special.gammaincinv,
        "a y",
        lambda a, ans: 1 / _gamma_density(a, ans),
        [POSITIVE, UNIT],
    ),
    _with_parameters(
        scipy.special.gammainccinv,
        "a y",
        lambda a, ans: -1 / _gamma_density(a, ans),
        [POSITIVE, UNIT],
    ),
    _with_parameters(
        scipy.special.betainc,
        "a b x",
        lambda a, b, x: _beta_density(a, b, x),
        [POSITIVE, POSITIVE, UNIT],
    ),
    _with_parameters(
        scipy.special.betaincinv,
        "a b y",
        lambda a, b, ans: 1 / _beta_density(a, b, ans),
        [POSITIVE, POSITIVE, UNIT],
    ),
)


# Entropies and losses


def _divergence_by_reference(x: Value, y: Value) -> Value:
    # At (0, 0) the slope along y is that of kl_div(0, y) = y.
    both_zero = (x == 0) & (y == 0)
    return np.where(both_zero, 1, (y - x) / np.where(both_zero, 1, y))


def _pseudo_huber_by_delta(x: Value, y: Value) -> Value:
    # δ² (√(1 + u²) - 1) with u = r / δ, without the cancellation of its two terms.
    slope = y / np.where(x == 0, 1, x)
    root = np.hypot(1, slope)
    return x * np.square(np.square(slope) / (1 + root)) / root


ENTROPY = (
    elementwise(
        xlogy,
        lambda y: np.log(y),
        lambda x, y: x / _unless_both_zero(x, y),
        domain=[REAL, POSITIVE],
    ),
    elementwise(
        xlog1py,
        lambda y: np.log1p(y),
        lambda x, y: x / _unless_both_zero(x, 1 + y),
        domain=[REAL, POSITIVE],
    ),
    elementwise(scipy.special.entr, lambda x: -1 - np.log(x), domain=[POSITIVE]),
    elementwise(
        scipy.special.rel_entr,
        lambda x, y: 1 + np.log(x / _unless_both_zero(x, y)),
        lambda x, y: -x / _unless_both_zero(x, y),
        domain=[POSITIVE, POSITIVE],
    ),
    elementwise(
        scipy.special.kl_div,
        lambda x, y: np.log(x / _unless_both_zero(x, y)),
        _divergence_by_reference,
        domain=[POSITIVE, POSITIVE],
    ),
    elementwise(
        scipy.special.huber,
        lambda x, y: np.maximum(np.abs(y) - x, 0),
        lambda x, y: np.clip(y, -x, x),
        domain=[(0.2, 0.5), (0.7, 2.0)],
    ),
    elementwise(
        scipy.special.pseudo_huber,
        _pseudo_huber_by_delta,
        lambda x, y: y / np.hypot(1, y / np.where(x == 0, 1, x)),
        domain=[POSITIVE, REAL],
    ),
)


# Exponentials and integrals of them

EXPONENTIAL = (
    elementwise(scipy.special.exp10, lambda ans: ans * math.log(10), domain=[REAL]),
    elementwise(scipy.special.cosm1, lambda x: -np.sin(x), domain=[REAL]),
    elementwise(scipy.special.expi, lambda x: np.exp(x) / x, domain=[POSITIVE]),
    elementwise(scipy.special.exp1, lambda x: -np.exp(-x) / x, domain=[POSITIVE]),
)


# Bessel functions (DLMF 10.6 and 10.29); those of order 0 and 1 have their own entries


def _half_difference(bessel: np.ufunc) -> Callable[..., Value]:
    return lambda v, x: (bessel(v - 1, x) - bessel(v + 1, x)) / 2


def _half_sum(bessel: np.ufunc) -> Callable[..., Value]:
    return lambda v, x: (bessel(v - 1, x) + bessel(v + 1, x)) / 2


ORDER_AND_POSITIVE = [(0.3, 2.0), POSITIVE]

BESSEL = (
    elementwise(j0, lambda x: -j1(x), domain=[REAL]),
    elementwise(j1, lambda x: (j0(x) - jv(2, x)) / 2, domain=[REAL]),
    _with_parameters(jv, "v x", _half_difference(jv), ORDER_AND_POSITIVE),
    elementwise(y0, lambda x: -y1(x), domain=[POSITIVE]),
    elementwise(y1, lambda x: (y0(x) - yv(2, x)) / 2, domain=[POSITIVE]),
    _with_parameters(yv, "v x", _half_difference(yv), ORDER_AND_POSITIVE),
    elementwise(i0, lambda x: i1(x), domain=[REAL]),
    elementwise(i1, lambda x: (i0(x) + iv(2, x)) / 2, domain=[REAL]),
    elementwise(i0e, lambda x, ans: i1e(x) - np.sign(x) * ans, domain=[(0.3, 2.0)]),
    elementwise(
        i1e, lambda x, ans: (i0e(x) + ive(2, x)) / 2 - np.sign(x) * ans, domain=[(0.3, 2.0)]
    ),
    _with_parameters(iv, "v x", _half_sum(iv), ORDER_AND_POSITIVE),
    _with_parameters(
        ive,
        "v x",
        # By complex numbers it has no derivative: it is scaled by the real part alone.
        _of_real("ive", lambda v, x, ans: (ive(v - 1, x) + ive(v + 1, x)) / 2 - np.sign(x) * ans),
        ORDER_AND_POSITIVE,
    ),
    elementwise(k0, lambda x: -k1(x), domain=[POSITIVE]),
    elementwise(k1, lambda x: -(k0(x) + kv(2, x)) / 2, domain=[POSITIVE]),
    elementwise(k0e, lambda x, ans: ans - k1e(x), domain=[POSITIVE]),
    elementwise(k1e, lambda x, ans: ans - (k0e(x) + kve(2, x)) / 2, domain=[POSITIVE]),
    _with_parameters(
        kv, "v x", lambda v, x: -(kv(v - 1, x) + kv(v + 1, x)) / 2, ORDER_AND_POSITIVE
    ),
    _with_parameters(
        kve,
        "v x",
        lambda v, x, ans: ans - (kve(v - 1, x) + kve(v + 1, x)) / 2,
        ORDER_AND_POSITIVE,
    ),
)


PRIMITIVES: tuple[Primitive, ...] = (
    *LOGISTIC,
    *ERROR,
    *GAMMA,
    *ENTROPY,
    *EXPONENTIAL,
    *BESSEL,
)
