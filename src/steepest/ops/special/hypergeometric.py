"""Hypergeometric functions and orthogonal polynomials, differentiated in their argument.

In the parameters, and in the degree of a polynomial, nothing is differentiated.
"""

from __future__ import annotations

import numpy as np
import scipy.special as sp

from steepest.ops.spec import Primitive, Value
from steepest.ops.special.rules import INTEGER, POSITIVE, REAL, UNIT, entry

__all__ = ["PRIMITIVES"]

OPEN = (-0.9, 0.9)


def _unless_zero(n: Value, slope: Value) -> Value:
    """Take the slope of a polynomial of degree n: 0 for a constant."""
    return np.where(np.equal(n, 0), 0, slope)


def _of_legendre(n: Value, x: Value) -> Value:
    # P_n = P_{-n-1}
    n = np.where(np.less(n, -0.5), -1 - n, n)
    return _unless_zero(n, sp.eval_gegenbauer(n - 1, 1.5, x))


def _associated_legendre(m: Value, v: Value, x: Value, ans: Value) -> Value:
    """DLMF 14.10.5: (1 - x²) dP/dx = (m + v) P_{v-1} - v x P_v; without order, by degree."""
    plain = np.equal(m, 0)
    rest = np.where(plain, 1, (1 - x) * (1 + x))
    slope = ((m + v) * sp.lpmv(m, v - 1, x) - v * x * ans) / rest
    return np.where(plain, _of_legendre(v, x), slope)


HYPERGEOMETRIC = (
    entry(sp.hyp0f1, "v z", [INTEGER, REAL], z=lambda v, z: sp.hyp0f1(v + 1, z) / v),
    entry(
        sp.hyp1f1,
        "a b x",
        [INTEGER, INTEGER, REAL],
        x=lambda a, b, x: a / b * sp.hyp1f1(a + 1, b + 1, x),
    ),
    entry(
        sp.hyp2f1,
        "a b c z",
        [INTEGER, INTEGER, INTEGER, OPEN],
        parameters=[1, 2, 4],
        z=lambda a, b, c, z: a * b / c * sp.hyp2f1(a + 1, b + 1, c + 1, z),
    ),
    entry(
        sp.hyperu,
        "a b x",
        [INTEGER, INTEGER, POSITIVE],
        x=lambda a, b, x: -a * sp.hyperu(a + 1, b + 1, x),
    ),
    entry(
        sp.wright_bessel,
        "a b x",
        [INTEGER, INTEGER, POSITIVE],
        x=lambda a, b, x: sp.wright_bessel(a, a + b, x),
    ),
    *(
        [
            entry(
                sp.log_wright_bessel,
                "a b x",
                [INTEGER, INTEGER, POSITIVE],
                x=lambda a, b, x, ans: np.exp(sp.log_wright_bessel(a, a + b, x) - ans),
            )
        ]
        if hasattr(sp, "log_wright_bessel")
        else []
    ),
)

POLYNOMIALS = (
    entry(sp.eval_legendre, "n x", [INTEGER, OPEN], x=_of_legendre),
    entry(
        sp.eval_sh_legendre,
        "n x",
        [INTEGER, UNIT],
        x=lambda n, x: 2 * _of_legendre(n, 2 * x - 1),
    ),
    entry(
        sp.eval_jacobi,
        "n a b x",
        [INTEGER, INTEGER, INTEGER, OPEN],
        x=lambda n, a, b, x: _unless_zero(
            n, (n + a + b + 1) / 2 * sp.eval_jacobi(n - 1, a + 1, b + 1, x)
        ),
    ),
    # With the leading coefficient 1.
    entry(
        sp.eval_sh_jacobi,
        "n p q x",
        [INTEGER, (3.1, 3.9), INTEGER, UNIT],
        x=lambda n, p, q, x: _unless_zero(n, n * sp.eval_sh_jacobi(n - 1, p + 2, q + 1, x)),
    ),
    entry(
        sp.eval_gegenbauer,
        "n a x",
        [INTEGER, INTEGER, OPEN],
        x=lambda n, a, x: _unless_zero(n, 2 * a * sp.eval_gegenbauer(n - 1, a + 1, x)),
    ),
    entry(
        sp.eval_genlaguerre,
        "n a x",
        [INTEGER, INTEGER, POSITIVE],
        x=lambda n, a, x: _unless_zero(n, -sp.eval_genlaguerre(n - 1, a + 1, x)),
    ),
    entry(
        sp.eval_laguerre,
        "n x",
        [INTEGER, POSITIVE],
        x=lambda n, x: _unless_zero(n, -sp.eval_genlaguerre(n - 1, 1, x)),
    ),
    entry(
        sp.eval_chebyt,
        "n x",
        [INTEGER, OPEN],
        x=lambda n, x: _unless_zero(n, n * sp.eval_chebyu(n - 1, x)),
    ),
    entry(
        sp.eval_chebyu,
        "n x",
        [INTEGER, OPEN],
        x=lambda n, x: _unless_zero(n, 2 * sp.eval_gegenbauer(n - 1, 2, x)),
    ),
    entry(
        sp.eval_chebyc,
        "n x",
        [INTEGER, OPEN],
        x=lambda n, x: _unless_zero(n, n * sp.eval_chebyu(n - 1, x / 2)),
    ),
    entry(
        sp.eval_chebys,
        "n x",
        [INTEGER, OPEN],
        x=lambda n, x: _unless_zero(n, sp.eval_gegenbauer(n - 1, 2, x / 2)),
    ),
    entry(
        sp.eval_sh_chebyt,
        "n x",
        [INTEGER, UNIT],
        x=lambda n, x: _unless_zero(n, 2 * n * sp.eval_chebyu(n - 1, 2 * x - 1)),
    ),
    entry(
        sp.eval_sh_chebyu,
        "n x",
        [INTEGER, UNIT],
        x=lambda n, x: _unless_zero(n, 4 * sp.eval_gegenbauer(n - 1, 2, 2 * x - 1)),
    ),
    entry(
        sp.eval_hermite,
        "n x",
        [INTEGER, REAL],
        x=lambda n, x: _unless_zero(n, 2 * n * sp.eval_hermite(np.maximum(n - 1, 0), x)),
    ),
    entry(
        sp.eval_hermitenorm,
        "n x",
        [INTEGER, REAL],
        x=lambda n, x: _unless_zero(n, n * sp.eval_hermitenorm(np.maximum(n - 1, 0), x)),
    ),
    entry(sp.lpmv, "m v x", [INTEGER, INTEGER, OPEN], parameters=[1, 3], x=_associated_legendre),
)

PRIMITIVES: tuple[Primitive, ...] = (*HYPERGEOMETRIC, *POLYNOMIALS)
