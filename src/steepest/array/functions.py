"""The table of NumPy's functions: what implements each on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array import (
    choice,
    creation,
    elementwise,
    fourier,
    linalg,
    missing,
    movement,
    ordering,
    polynomials,
    products,
    reductions,
    sequences,
    statistics,
)
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS", "INSTEAD", "PLAIN_FUNCTIONS"]

FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    **elementwise.FUNCTIONS,
    **reductions.FUNCTIONS,
    **movement.FUNCTIONS,
    **creation.FUNCTIONS,
    **products.FUNCTIONS,
    **linalg.FUNCTIONS,
    **ordering.FUNCTIONS,
    **statistics.FUNCTIONS,
    **missing.FUNCTIONS,
    **sequences.FUNCTIONS,
    **polynomials.FUNCTIONS,
    **choice.FUNCTIONS,
    **fourier.FUNCTIONS,
}
"""Functions with a derivative, by NumPy's function."""

PLAIN_FUNCTIONS: frozenset[Callable[..., Any]] = frozenset(
    {
        np.allclose,
        np.argwhere,
        np.array_equal,
        np.array_equiv,
        np.array_repr,
        np.array_str,
        np.array2string,
        np.can_cast,
        np.flatnonzero,
        np.isclose,
        np.iscomplex,
        np.isin,
        np.isneginf,
        np.isposinf,
        np.isreal,
        np.nonzero,
        np.shares_memory,
        np.may_share_memory,
    }
)
"""Functions without a derivative: their results are plain values."""

INSTEAD: dict[str, str] = {
    "copyto": "np.broadcast_to(value, shape) for np.full; np.where(mask, value, x) for a mask",
}
"""What to write for a function that is not differentiated."""
