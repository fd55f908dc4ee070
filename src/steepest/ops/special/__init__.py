"""The ufuncs of ``scipy.special``, each with its local derivatives or with why it has none."""

from __future__ import annotations

import numpy as np
from scipy.special import _ufuncs

from steepest.ops.spec import Primitive
from steepest.ops.special import (
    bessel,
    elliptic,
    entropy,
    error,
    gamma,
    hypergeometric,
    noncentral,
)
from steepest.ops.special.gamma import polygamma
from steepest.ops.special.rules import POSITIVE, entry

__all__ = ["PRIMITIVES", "REFUSED", "polygamma"]

# What SciPy's functions of these names call.
UNDERLYING = (
    entry(
        _ufuncs._lambertw,
        "z k tol",
        [POSITIVE, POSITIVE, POSITIVE],
        steps="k tol",
        parameters=[0, 1e-8],
        # W' = 1 / (exp(W) (1 + W)), which is finite at 0.
        z=lambda ans: 1 / (np.exp(ans) * (1 + ans)),
    ),
    entry(
        _ufuncs._zeta,
        "x q",
        [(1.5, 3.0), POSITIVE],
        parameters=[3],
        q=lambda x, q: -x * _ufuncs._zeta(x + 1, q),
    ),
)

PRIMITIVES: tuple[Primitive, ...] = (
    *error.PRIMITIVES,
    *gamma.PRIMITIVES,
    *entropy.PRIMITIVES,
    *bessel.PRIMITIVES,
    *elliptic.PRIMITIVES,
    *hypergeometric.PRIMITIVES,
    *noncentral.PRIMITIVES,
    *UNDERLYING,
)

_BY_PARAMETERS = (
    "sd.custom_gradient around it; its derivatives are not known in terms of other functions"
)
_BY_ROOT = (
    "a distribution function and a root finder in sd.custom_gradient; the derivative of the"
    " parameter that is found is not known in terms of other functions"
)

REFUSED: dict[str, str] = {
    **dict.fromkeys(
        (
            "mathieu_a",
            "mathieu_b",
            "obl_cv",
            "pro_cv",
            "zetac",
            "_riemann_zeta",
        ),
        _BY_PARAMETERS,
    ),
    **dict.fromkeys(
        (
            "bdtrik",
            "bdtrin",
            "btdtria",
            "btdtrib",
            "chdtriv",
            "chndtridf",
            "fdtridfd",
            "gdtrib",
            "nbdtrik",
            "nbdtrin",
            "ncfdtridfd",
            "ncfdtridfn",
            "nctdtridf",
            "pdtrik",
            "stdtridf",
        ),
        _BY_ROOT,
    ),
    **dict.fromkeys(
        ("smirnov", "smirnovi"),
        "sd.custom_gradient around it, with -scipy.stats.ksone.pdf(d, n) for the slope of smirnov",
    ),
    **dict.fromkeys(
        ("ncfdtrinc", "nctdtrinc"),
        "a root finder of more digits than SciPy's in sd.custom_gradient, with the slopes of ncfdtr"
        " or nctdtr",
    ),
    # SciPy's values have seven digits and fewer, or take for ever beside their domain.
    "itairy": "sd.custom_gradient around a quadrature; its values have too few digits, and its"
    " slopes are those of scipy.special.airy",
    **{
        f"{name}{suffix}": _BY_PARAMETERS
        for name in ("pro_ang1", "pro_rad1", "pro_rad2", "obl_ang1", "obl_rad1", "obl_rad2")
        for suffix in ("", "_cv")
    },
}
"""What to write for the ufuncs that are not differentiated."""
