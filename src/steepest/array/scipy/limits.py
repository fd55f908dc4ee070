"""Formulas of ``scipy.stats`` at shape parameters where SciPy's own have no derivative.

SciPy goes over to another formula where a parameter makes one 0 / 0, as for ``genextreme`` and
``genpareto`` at c = 0. That has the same value, and knows nothing of the parameter: its derivative
would be 0. The formulas here are the same function written so that the limit, and its derivative,
come out of it. They are asked near such parameters alone, and where these are differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.special
import scipy.stats

from steepest.array.plain import is_known
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value, scale

__all__ = ["LIMITS", "Limit"]

sp: Any = scipy.special
st: Any = scipy.stats


class Limit(NamedTuple):
    """What a distribution has at certain shape parameters, in place of SciPy's formulas."""

    near: Callable[..., Value]
    """Of the shape parameters: where they are such."""
    formulas: dict[str, Callable[..., Value]]
    """By the name of the function; of a point and the shape parameters."""


def _is_small(*parameters: Value) -> Value:
    """Whether a division by one of them would lose digits to cancellation."""
    result = np.absolute(parameters[0]) < 0.1
    for each in parameters[1:]:
        result = result | (np.absolute(each) < 0.1)
    return result


def _log1p_quotient(x: Value, c: Value) -> Value:
    """Compute log(1 + c x) / c, which is x at c = 0."""
    u = c * np.where(np.isinf(x), 0, x)
    near = np.absolute(u) < 0.5
    ratio = sp.hyp2f1(1, 1, 2, -np.where(near, u, 0))
    direct = np.log1p(np.where(near, 1, u)) / np.where(near, 1, c)
    return np.where(near, x * ratio, direct)


def _by_logarithms(density: Callable[..., Value], below: Callable[..., Value]) -> dict[str, Any]:
    """Make the functions of a density and a probability that are given by their logarithms."""
    return {
        "logpdf": density,
        "pdf": lambda *args: np.exp(density(*args)),
        "logcdf": below,
        "cdf": lambda *args: np.exp(below(*args)),
        "sf": lambda *args: -np.expm1(below(*args)),
        "logsf": lambda *args: np.log(-np.expm1(below(*args))),
    }


def _with_logarithms(**functions: Callable[..., Value]) -> dict[str, Any]:
    """Add the logarithms of functions."""

    def logarithm(of: Callable[..., Value]) -> Callable[..., Value]:
        return lambda *args: np.log(of(*args))

    return functions | {f"log{name}": logarithm(each) for name, each in functions.items()}


# Extreme values


def _extreme_logpdf(x: Value, c: Value) -> Value:
    power = -_log1p_quotient(x, -c)
    return np.where(np.isposinf(power), -np.inf, scale(power, 1 - c) - np.exp(power))


def _pareto_logpdf(x: Value, c: Value) -> Value:
    return scale(-_log1p_quotient(x, c), 1 + c)


def _kappa_logcdf(x: Value, h: Value, k: Value) -> Value:
    return -_log1p_quotient(np.exp(-_log1p_quotient(x, -k)), -h)


def _kappa_logpdf(x: Value, h: Value, k: Value) -> Value:
    inner = -_log1p_quotient(x, -k)
    return scale(_kappa_logcdf(x, h, k), 1 - h) + scale(inner, 1 - k)


# A noncentral distribution is a mixture of central ones, with the weights of a Poisson distribution


def _mixture(name: str) -> Callable[..., Value]:
    """Expand to the second order, which is exact with its two derivatives at nc = 0."""
    function = getattr(st.chi2, f"_{name}")

    def mixture(x: Value, df: Value, nc: Value) -> Value:
        first, second, third = (function(x, df + 2 * i) for i in range(3))
        slope, curvature = second - first, third - 2 * second + first
        return first + nc / 2 * slope + nc * nc / 8 * curvature

    return mixture


def _no_quantile(*_args: Value) -> Value:
    raise UnsupportedError(
        "there is no formula by nc at nc = 0", instead="a noncentrality that is not 0: nc + 1e-8"
    )


# Where the Bessel function i0e, an even function with a kink, is smooth together with the rest


def _rice_pdf(x: Value, b: Value) -> Value:
    return x * np.exp(-(x * x + b * b) / 2) * np.i0(x * b)


def _vonmises_logpdf(x: Value, kappa: Value) -> Value:
    return kappa * np.cos(x) - np.log(2 * np.pi * np.i0(kappa))


def _vonmises_entropy(kappa: Value) -> Value:
    return np.log(2 * np.pi * np.i0(kappa)) - kappa * sp.i1(kappa) / np.i0(kappa)


_vonmises = Limit(
    lambda kappa: kappa == 0,
    {
        "logpdf": _vonmises_logpdf,
        "pdf": lambda x, kappa: np.exp(_vonmises_logpdf(x, kappa)),
        "entropy": _vonmises_entropy,
    },
)


# Others


def _skewed_logpdf(x: Value, a: Value) -> Value:
    return np.log(2) - x * x / 2 - np.log(2 * np.pi) / 2 + sp.log_ndtr(a * x)


def _triangle_pdf(x: Value, c: Value) -> Value:
    falling = 2 * (1 - x) / np.where(c == 0, 1 - c, 1)
    return np.where(c == 0, falling, 2 * x / np.where(c == 0, 1, c))


def _triangle_cdf(x: Value, c: Value) -> Value:
    falling = 1 - np.square(1 - x) / np.where(c == 0, 1 - c, 1)
    return np.where(c == 0, falling, x * x / np.where(c == 0, 1, c))


LIMITS: dict[str, Limit] = {
    "genextreme": Limit(
        # SciPy's own density asks for values.
        lambda c: _is_small(c) if is_known(c) else np.full(np.shape(c), True),
        _by_logarithms(_extreme_logpdf, lambda x, c: -np.exp(-_log1p_quotient(x, -c)))
        | {
            "ppf": lambda q, c: -sp.boxcox(-np.log(q), c),
            "isf": lambda q, c: -sp.boxcox(-np.log1p(-q), c),
        },
    ),
    "genpareto": Limit(
        _is_small,
        {
            "logpdf": _pareto_logpdf,
            "pdf": lambda x, c: np.exp(_pareto_logpdf(x, c)),
            "logsf": lambda x, c: -_log1p_quotient(x, c),
        },
    ),
    "kappa4": Limit(
        _is_small,
        _by_logarithms(_kappa_logpdf, _kappa_logcdf)
        | {
            "ppf": lambda q, h, k: -sp.boxcox(-sp.boxcox(q, h), k),
            "isf": lambda q, h, k: -sp.boxcox(-sp.boxcox(1 - q, h), k),
        },
    ),
    "ncx2": Limit(
        lambda df, nc: np.broadcast_to(nc == 0, np.broadcast_shapes(np.shape(df), np.shape(nc))),
        _with_logarithms(**{name: _mixture(name) for name in ("pdf", "cdf", "sf")})
        | {"ppf": _no_quantile, "isf": _no_quantile},
    ),
    "rice": Limit(lambda b: b == 0, _with_logarithms(pdf=_rice_pdf)),
    "skewnorm": Limit(
        lambda a: a == 0,
        {"logpdf": _skewed_logpdf, "pdf": lambda x, a: np.exp(_skewed_logpdf(x, a))},
    ),
    "triang": Limit(
        lambda c: (c == 0) | (c == 1),
        _with_logarithms(
            pdf=_triangle_pdf, cdf=_triangle_cdf, sf=lambda x, c: 1 - _triangle_cdf(x, c)
        ),
    ),
    "vonmises": _vonmises,
    "vonmises_line": _vonmises,
}
"""By the name of the distribution."""
