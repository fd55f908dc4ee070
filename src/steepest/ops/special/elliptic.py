"""Elliptic integrals and functions.

All derivatives are symmetric integrals in the sense of B. C. Carlson ("Numerical computation of
real or complex elliptic integrals", Numerical Algorithms 10, 1995; DLMF 19.16 and 19.25), which
have no cancellation: ``dK/dm`` is R_D(0, 1, 1 - m) / 6 also at m = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import scipy.special as sp

from steepest.errors import UnsupportedError
from steepest.graph import ArrayType
from steepest.ops.spec import (
    Primitive,
    Sample,
    Value,
    bind,
    broadcast_type,
    elementwise_samples,
    scale,
)
from steepest.ops.special.rules import POSITIVE, entry, is_complex, several

__all__ = ["PRIMITIVES"]

STEP = 0.5
"""Of the trapezoidal rule in log(t), whose error is exp(-2π · π / STEP)."""
MOST_TERMS = 100_000
"""Terms of the sum that are computed at a time."""


def _evaluate_symmetric(*z: Value, exponents: Sequence[int], power: int) -> Value:
    """``∫₀^∞ t^power Π (t + z_j)^(-exponents_j / 2) dt``, for z_j ≥ 0.

    The trapezoidal rule in log(t) converges exponentially (L. N. Trefethen and J. A. C. Weideman,
    "The exponentially convergent trapezoidal rule", SIAM Review 56, 2014): the integrand is
    analytic as far as π on both sides.
    """
    arrays = np.broadcast_arrays(*z)
    dtype = np.result_type(*z)
    doubles = [np.asarray(each, np.float64) for each in arrays]
    positive = [each[(each > 0) & np.isfinite(each)] for each in doubles]
    logarithms = np.log(np.concatenate([each.ravel() for each in positive]))
    low, high = np.min(logarithms, initial=0.0), np.max(logarithms, initial=0.0)
    # What is left out is below rounding: the integrand goes like √t at least on either side.
    nodes = np.arange(low - 76.0, high + 76.0, STEP)
    total = np.zeros(doubles[0].shape)
    # Many nodes at a time, where that takes little memory.
    count = max(1, MOST_TERMS // max(1, total.size))
    with np.errstate(all="ignore"):
        for start in range(0, len(nodes), count):
            some = nodes[start : start + count].reshape(-1, *[1] * total.ndim)
            t = np.exp(some)
            logarithm = (power + 1) * some
            for each, exponent in zip(doubles, exponents, strict=True):
                logarithm = logarithm - exponent / 2 * np.log(t + each)
            total += np.sum(np.exp(logarithm), axis=0)
    wrong = np.any([(each < 0) | np.isnan(each) for each in doubles], axis=0)
    return np.where(wrong, np.nan, STEP * total).astype(dtype)[()]


def _symmetric_type(*z: ArrayType, exponents: Sequence[int], power: int) -> ArrayType:
    # Of Python numbers the types alone count.
    examples: list[Any] = [each.dtype.type(0).item() if each.weak else each.dtype for each in z]
    return ArrayType(broadcast_type(*z), np.result_type(*examples))


def _symmetric_rule(position: int, names: str) -> Callable[..., Value]:
    def lowered(exponents: Sequence[int]) -> tuple[int, ...]:
        return tuple(each + 2 * (i == position) for i, each in enumerate(exponents))

    def of_three(g: Value, x: Value, y: Value, z: Value, exponents: Any, power: int) -> Value:
        local = _symmetric(x, y, z, exponents=lowered(exponents), power=power)
        return scale(g, -exponents[position] / 2 * local)

    def of_four(
        g: Value, x: Value, y: Value, z: Value, p: Value, exponents: Any, power: int
    ) -> Value:
        local = _symmetric(x, y, z, p, exponents=lowered(exponents), power=power)
        return scale(g, -exponents[position] / 2 * local)

    return of_three if names == "x y z" else of_four


def _symmetric_samples(arguments: int, rng: np.random.Generator) -> list[Sample]:
    exponents = (1, 3, 1, 2)[:arguments]
    return [
        Sample(
            (*each.args, *[rng.uniform(0.3, 3)] * (arguments - 3)),
            {"exponents": exponents, "power": power},
        )
        for power in (0, 1)
        for each in elementwise_samples(rng, [POSITIVE] * 3)
        if sum(exponents) / 2 > power + 1
    ]


SYMMETRIC = {
    count: Primitive(
        f"symmetric_integral_{count}",
        _evaluate_symmetric,
        infer=_symmetric_type,
        arguments=names,
        vjps=[_symmetric_rule(position, names) for position in range(count)],
        jvp=[_symmetric_rule(position, names) for position in range(count)],
        broadcasts=True,
        samples=partial(_symmetric_samples, count),
    )
    for count, names in ((3, "x y z"), (4, "x y z p"))
}
"""A family of integrals that is closed under differentiation."""


def _symmetric(*z: Value, exponents: Sequence[int], power: int = 0) -> Value:
    if any(is_complex(each) for each in z):
        raise UnsupportedError(
            "this derivative of an elliptic integral is not taken by complex numbers",
            instead="its real and imaginary parts, or sd.custom_gradient around it",
        )
    static = {"exponents": tuple(exponents), "power": power}
    return bind(SYMMETRIC[len(z)], z, static)


def _rf_by_first(x: Value, y: Value, z: Value) -> Value:
    return -sp.elliprd(y, z, x) / 6


def _rd_by_first(x: Value, y: Value, z: Value) -> Value:
    return -0.75 * _symmetric(x, y, z, exponents=(3, 1, 3))


def _rd_by_last(x: Value, y: Value, z: Value) -> Value:
    return -2.25 * _symmetric(x, y, z, exponents=(1, 1, 5))


def _rg_by_first(x: Value, y: Value, z: Value) -> Value:
    # R_{-1/2}(3/2, 1/2, 1/2) / 6, whose factor 1 / B(1/2, 2) is 3/4.
    return 0.125 * _symmetric(x, y, z, exponents=(3, 1, 1), power=1)


def _positive_only(p: Value, slope: Value) -> Value:
    """NaN where p is negative, for which the integral is a principal value."""
    return np.where(p > 0, slope, np.nan)


def _rj_by_first(x: Value, y: Value, z: Value, p: Value) -> Value:
    away = np.where(p > 0, p, 1)
    return _positive_only(p, -0.75 * _symmetric(x, y, z, away, exponents=(3, 1, 1, 2)))


def _rj_by_last(x: Value, y: Value, z: Value, p: Value) -> Value:
    away = np.where(p > 0, p, 1)
    return _positive_only(p, -1.5 * _symmetric(x, y, z, away, exponents=(1, 1, 1, 4)))


def _rc_by_first(x: Value, y: Value, ans: Value) -> Value:
    if is_complex(x) or is_complex(y):
        return -sp.elliprd(y, y, x) / 6
    negative = y < 0
    mirror = np.where(negative, 1, y)
    direct = (ans - 1 / np.sqrt(x)) / (2 * np.where(negative, y - x, 1))
    return np.where(negative, direct, -sp.elliprd(mirror, mirror, x) / 6)


def _rc_by_last(x: Value, y: Value, ans: Value) -> Value:
    if is_complex(x) or is_complex(y):
        return -sp.elliprd(x, y, y) / 3
    negative = y < 0
    mirror = np.where(negative, 1, y)
    # Homogeneous of degree -1/2.
    slope = (ans - 1 / np.sqrt(x)) / (2 * np.where(negative, y - x, 1))
    direct = (-0.5 * ans - x * slope) / np.where(negative, y, 1)
    return np.where(negative, direct, -sp.elliprd(x, mirror, mirror) / 3)


def _reduced(phi: Value) -> tuple[Value, Value, Value, Value]:
    """Take an angle apart: the number of half turns, sine and cosine of the rest, the rest."""
    turns = np.rint(phi / math.pi)
    rest = phi - turns * math.pi
    return turns, np.sin(rest), np.cos(rest), rest


def _first_by_parameter(phi: Value, m: Value) -> Value:
    """∂F/∂m = ⅙ sin³φ R_D(cos²φ, 1, Δ²), and 2 dK/dm for each half turn."""
    turns, sine, cosine, _ = _reduced(phi)
    delta = 1 - m * sine * sine
    partial_turn = sine * sine * sine * sp.elliprd(cosine * cosine, 1, delta)
    whole = scale(turns, 2 * sp.elliprd(0, 1, np.where(turns == 0, 0.5, 1 - m)))
    return (partial_turn + whole) / 6


def _second_by_parameter(phi: Value, m: Value) -> Value:
    """∂E/∂m = -⅙ sin³φ R_D(cos²φ, Δ², 1), and 2 dE/dm for each half turn."""
    turns, sine, cosine, _ = _reduced(phi)
    delta = 1 - m * sine * sine
    partial_turn = sine * sine * sine * sp.elliprd(cosine * cosine, delta, 1)
    whole = scale(turns, 2 * sp.elliprd(0, np.where(turns == 0, 0.5, 1 - m), 1))
    return -(partial_turn + whole) / 6


def _jacobi_by_parameter(u: Value, m: Value, ans: Sequence[Value]) -> tuple[Value, ...]:
    """By the amplitude: ∂φ/∂m = -dn ∂F/∂m at F(φ, m) = u."""
    sn, cn, dn, phi = ans
    slope = -dn * _first_by_parameter(phi, m)
    return cn * slope, -sn * slope, -(sn * sn + 2 * m * sn * cn * slope) / (2 * dn), slope


def _mean_by_first(a: Value, b: Value, ans: Value) -> Value:
    """M = π / (2 R_F(0, a², b²))."""
    ratio = b / a
    return (ans / a) * (ans / a) * sp.elliprd(0, ratio * ratio, 1) * (2 / (3 * math.pi))


PRIMITIVES: tuple[Primitive, ...] = (
    *SYMMETRIC.values(),
    entry(
        sp.elliprf,
        "x y z",
        [POSITIVE] * 3,
        x=_rf_by_first,
        y=lambda x, y, z: _rf_by_first(y, x, z),
        z=lambda x, y, z: _rf_by_first(z, x, y),
    ),
    entry(
        sp.elliprd,
        "x y z",
        [POSITIVE] * 3,
        x=_rd_by_first,
        y=lambda x, y, z: _rd_by_first(y, x, z),
        z=_rd_by_last,
    ),
    entry(
        sp.elliprg,
        "x y z",
        [POSITIVE] * 3,
        x=_rg_by_first,
        y=lambda x, y, z: _rg_by_first(y, x, z),
        z=lambda x, y, z: _rg_by_first(z, x, y),
    ),
    entry(
        sp.elliprj,
        "x y z p",
        [POSITIVE] * 4,
        x=_rj_by_first,
        y=lambda x, y, z, p: _rj_by_first(y, x, z, p),
        z=lambda x, y, z, p: _rj_by_first(z, x, y, p),
        p=_rj_by_last,
    ),
    entry(sp.elliprc, "x y", [POSITIVE] * 2, x=_rc_by_first, y=_rc_by_last),
    entry(sp.ellipk, "m", [(-0.9, 0.9)], m=lambda m: sp.elliprd(0, 1, 1 - m) / 6),
    entry(sp.ellipkm1, "p", [(0.1, 1.9)], p=lambda p: -sp.elliprd(0, 1, p) / 6),
    entry(sp.ellipe, "m", [(-0.9, 0.9)], m=lambda m: -sp.elliprd(0, 1 - m, 1) / 6),
    entry(
        sp.ellipkinc,
        "phi m",
        [(-2.5, 2.5), (-0.9, 0.9)],
        phi=lambda phi, m: 1 / np.sqrt(1 - m * np.square(np.sin(phi))),
        m=_first_by_parameter,
    ),
    entry(
        sp.ellipeinc,
        "phi m",
        [(-2.5, 2.5), (-0.9, 0.9)],
        phi=lambda phi, m: np.sqrt(1 - m * np.square(np.sin(phi))),
        m=_second_by_parameter,
    ),
    several(
        sp.ellipj,
        "u m",
        [(-2.5, 2.5), (0.1, 0.9)],
        u=lambda m, ans: (ans[1] * ans[2], -ans[0] * ans[2], -m * ans[0] * ans[1], ans[2]),
        m=_jacobi_by_parameter,
    ),
    entry(
        sp.agm,
        "a b",
        [POSITIVE] * 2,
        a=_mean_by_first,
        b=lambda a, b, ans: _mean_by_first(b, a, ans),
    ),
)
