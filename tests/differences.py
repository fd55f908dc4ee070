"""Numerical derivatives that the tests compare with, each with a bound on its error.

They owe nothing to the library: central differences in extended precision where a function runs
in it, extrapolated to step 0 (C. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)",
Advances in Engineering Software 4, 1982).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

__all__ = ["assert_within", "gradient_by_differences", "in_extended_precision", "slope"]

EXTENDED = {"f": np.dtype(np.longdouble), "c": np.dtype(np.clongdouble)}
LEVELS = 7
SAFETY = 10


def slope(function: Callable[[Any], Any], precision: Any, first_step: float) -> tuple[Any, Any]:
    """Differentiate a function of a number at 0, in the entries of its result.

    Parameters
    ----------
    function : callable
        Takes a step, returns an array.
    precision : dtype
        In which the function rounds.
    first_step : float

    Returns
    -------
    value, error : ndarray
    """
    steps = [precision.type(first_step) / 2**level for level in range(LEVELS)]
    sides = [(np.asarray(function(step)), np.asarray(function(-step))) for step in steps]
    # The terms that a function adds up may be larger than their sum.
    size = np.max([np.maximum(np.abs(side), 1) for pair in sides for side in pair], axis=0)
    best = np.full(size.shape, np.nan)
    error = np.full(size.shape, np.inf)
    above: list[Any] = []
    for step, (ahead, behind) in zip(steps, sides, strict=True):
        row = [(ahead - behind) / (2 * step)]
        rounding = np.finfo(precision).eps * size / step
        for order, previous in enumerate(above, start=1):
            extrapolated = row[-1] + (row[-1] - previous) / (4**order - 1)
            change = np.maximum(np.abs(extrapolated - row[-1]), np.abs(extrapolated - previous))
            better = SAFETY * (change + rounding) < error
            best = np.where(better, extrapolated, best)
            error = np.where(better, SAFETY * (change + rounding), error)
            row.append(extrapolated)
        above = row
    return best, error


def in_extended_precision(value: Any) -> Any:
    """Raise a floating-point value; leave others alone."""
    array = np.asarray(value)
    return array.astype(EXTENDED[array.dtype.kind])[()] if array.dtype.kind in EXTENDED else value


def gradient_by_differences(
    function: Callable[[tuple[Any, ...]], Any], x: Sequence[Any], first_step: float = 2.0**-5
) -> tuple[list[Any], list[Any]]:
    """Differentiate a real scalar function by every entry of several arrays.

    Parameters
    ----------
    function : callable
        Takes a tuple of arrays; runs in double precision where it cannot in extended.
    x : sequence of array
        Real, or complex: then the derivatives are ∂f/∂x − i ∂f/∂y.
    first_step : float
        The largest step; the smallest is 64 times smaller.

    Returns
    -------
    values, errors : list of ndarray
        One for each array of x.
    """
    arrays = [np.asarray(in_extended_precision(each)) for each in x]
    try:
        precision = np.asarray(function(tuple(each[()] for each in arrays))).dtype
    except TypeError:  # LAPACK and most of SciPy stop at double precision.
        precision = np.dtype(np.float64)
    if precision != EXTENDED["f"]:
        arrays = [np.asarray(each) for each in x]
    values = [np.zeros(each.shape, each.dtype) for each in arrays]
    errors = [np.zeros(each.shape) for each in arrays]
    for which, array in enumerate(arrays):
        for index in np.ndindex(array.shape):
            for unit in (1, 1j) if array.dtype.kind == "c" else (1,):
                direction = [np.zeros_like(each) for each in arrays]
                direction[which][index] = unit
                along = partial(_along, function, arrays, direction)
                value, error = slope(along, precision, first_step)
                values[which][index] += value / unit
                errors[which][index] += error
    return values, errors


def _along(
    function: Callable[[tuple[Any, ...]], Any],
    x: Sequence[Any],
    direction: Sequence[Any],
    step: Any,
) -> Any:
    return function(tuple((a + step * b)[()] for a, b in zip(x, direction, strict=True)))


def assert_within(
    actual: Any, expected: Any, error: Any, *, rounding: float = 1e-12, worst_error: float = 1e-6
) -> None:
    """Check derivatives against numerical ones and their bounds.

    Parameters
    ----------
    rounding : float
        What the derivatives may be off besides, relative to the largest.
    worst_error : float
        Bounds wider than that, relative to the largest derivative, decide nothing, and fail.
    """
    actual, expected, error = np.asarray(actual), np.asarray(expected), np.asarray(error)
    assert actual.shape == expected.shape
    size = np.max(np.abs(expected), initial=1.0)
    assert np.all(error <= worst_error * size), f"undecided: ± {error}"
    right = np.abs(actual - expected) <= error + rounding * size
    assert np.all(right), f"{actual} instead of {expected} ± {error}"
