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
    ranges,
    reductions,
    scimath,
    sequences,
    sets,
    statistics,
    vectorized,
    windows,
    writing,
)
from steepest.ops.spec import Value

__all__ = ["FOLLOWED", "FUNCTIONS", "INSTEAD", "PLAIN_FUNCTIONS"]

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
    **ranges.FUNCTIONS,
    **sets.FUNCTIONS,
    **polynomials.FUNCTIONS,
    **choice.FUNCTIONS,
    **fourier.FUNCTIONS,
    **scimath.FUNCTIONS,
    **vectorized.FUNCTIONS,
    **windows.FUNCTIONS,
    **writing.FUNCTIONS,
}
"""Functions with a derivative, by NumPy's function."""

FOLLOWED: frozenset[Callable[..., Any]] = frozenset(
    {
        *vectorized.FUNCTIONS,
        *writing.FUNCTIONS,
        np.array_split,
        np.atleast_1d,
        np.atleast_2d,
        np.atleast_3d,
        np.broadcast_arrays,
        np.broadcast_to,
        np.copy,
        np.diag,
        np.diagonal,
        np.dsplit,
        np.einsum,
        np.expand_dims,
        np.flip,
        np.fliplr,
        np.flipud,
        np.hsplit,
        np.imag,
        np.linalg.diagonal,
        np.linalg.matrix_transpose,
        np.matrix_transpose,
        np.moveaxis,
        np.nan_to_num,
        np.ravel,
        np.real,
        np.real_if_close,
        np.reshape,
        np.rollaxis,
        np.rot90,
        np.split,
        np.squeeze,
        np.swapaxes,
        np.transpose,
        np.unstack,
        np.vsplit,
        *windows.FUNCTIONS,
    }
)
"""Functions that write, or whose results are views: they are told which memory is whose also where
nothing is differentiated."""

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
        np.isin,
        np.nonzero,
        np.ravel_multi_index,
        np.save,
        np.savetxt,
        np.savez,
        np.savez_compressed,
        np.unravel_index,
    }
)
"""Functions without a derivative: their results, or the files they write, are plain values."""

_OF_ANOTHER_SCALE = "loc + scale * np.random.{0}(size=n) for np.random.{0}(loc, scale, n)"

INSTEAD: dict[str, str] = {
    **{
        name: _OF_ANOTHER_SCALE.format(name) for name in ("gumbel", "laplace", "logistic", "normal")
    },
    "choice": "x[np.random.choice(len(x), n)]",
    "exponential": "scale * np.random.exponential(size=n)",
    "lognormal": "np.exp(mean + sigma * np.random.normal(size=n))",
    "multivariate_normal": "mean + np.linalg.cholesky(covariance) @ np.random.normal(size=n)",
    "permutation": "x[np.random.permutation(len(x))]",
    "rayleigh": "scale * np.random.rayleigh(size=n)",
    "uniform": "low + (high - low) * np.random.uniform(size=n)",
}
"""What to write for a function that is not differentiated."""
