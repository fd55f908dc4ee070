"""The table of NumPy's functions: what implements each on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array import creation, elementwise, linalg, movement, products, reductions
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS", "INSTEAD", "PLAIN_FUNCTIONS"]

FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    **elementwise.FUNCTIONS,
    **reductions.FUNCTIONS,
    **movement.FUNCTIONS,
    **creation.FUNCTIONS,
    **products.FUNCTIONS,
    **linalg.FUNCTIONS,
}
"""Functions with a derivative, by NumPy's function."""

PLAIN_FUNCTIONS: frozenset[Callable[..., Any]] = frozenset(
    {
        np.allclose,
        np.argpartition,
        np.argsort,
        np.argwhere,
        np.array_equal,
        np.array_equiv,
        np.array_repr,
        np.array_str,
        np.array2string,
        np.can_cast,
        np.count_nonzero,
        np.digitize,
        np.flatnonzero,
        np.isclose,
        np.iscomplex,
        np.isin,
        np.isneginf,
        np.isposinf,
        np.isreal,
        np.lexsort,
        np.nonzero,
        np.searchsorted,
        np.shares_memory,
        np.may_share_memory,
    }
)
"""Functions without a derivative: their results are plain values."""

INSTEAD: dict[str, str] = {
    "sort": "x[np.argsort(x)]",
    "cumprod": "np.exp(np.cumsum(np.log(x))) for positive x, or a loop of products",
    "median": "x[np.argsort(x)], and the mean of the middle entries",
    "average": "np.sum(x * weights) / np.sum(weights)",
    "ptp": "np.max(x) - np.min(x)",
    "trapezoid": "np.sum((y[1:] + y[:-1]) * np.diff(x)) / 2",
    "copyto": "np.broadcast_to(value, shape) for np.full; np.where(mask, value, x) for a mask",
    "frexp": "np.log2 for the magnitude",
}
"""What to write for a function that is not differentiated."""
