"""Kinks, steps and singularities, told apart by how differences behave on finer and finer steps.

The difference of the two one-sided slopes shrinks like the step where a function is smooth, stays
constant at a kink, and grows like one over the step where the function itself jumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["curvature_diverges", "diverges", "jump", "one_sided_slopes", "step_height"]

Floats: TypeAlias = NDArray[np.float64]

# A slope difference is seen when it exceeds its noise so many times, and would have been seen on a
# finer step if it exceeded the noise there as much.
EXPECTED = 4.0
NON_DECAYING = 0.9
GRAIN = 1e-5


def jump(steps: Floats, forward: Floats, backward: Floats, noise: Floats) -> Floats:
    """Return the jump of the slope at x; zero where none is seen.

    Parameters
    ----------
    steps : ndarray, shape (m,)
        Ascending.
    forward, backward : ndarray, shape (m, ...)
        f(x ± step d) - f(x).
    noise : ndarray, shape (...) or (m, ...)
        Bound on the error of one value of f.

    Returns
    -------
    ndarray, shape (...)
        Right slope minus left slope, as extrapolated to step 0. A jump that would be visible on
        finer steps and is not there lies beside x, not at x, and is not reported.

    Examples
    --------
    >>> steps = 8.0 ** np.arange(-9, -2)
    >>> no_noise = np.array(1e-16)
    >>> float(jump(steps, abs(steps), abs(-steps), no_noise))
    2.0
    >>> float(jump(steps, np.expm1(steps), np.expm1(-steps), no_noise))
    0.0
    """
    if len(steps) < 3:
        return np.zeros(forward.shape[1:])
    column = steps.reshape(-1, *([1] * (forward.ndim - 1)))
    with np.errstate(all="ignore"):
        differences = (forward + backward) / column
        errors = 4 * noise / column
        visible = np.abs(differences) > EXPECTED * errors
        # Two coarser levels tell a kink from curvature.
        first = np.argmax(visible, axis=0)
        shown = first + 2 < len(steps)
        finest = np.minimum(first, len(steps) - 3)
        here, coarser, coarsest = (_at(differences, finest + i) for i in range(3))
        ratio = steps[finest + 1] / steps[finest]
        jumps = here - (coarser - here) / (ratio - 1)
        next_ratio = steps[finest + 2] / steps[finest + 1]
        next_jumps = coarser - (coarsest - coarser) / (next_ratio - 1)
        uncertainty = EXPECTED * _at(errors, finest)
        convincing = np.abs(jumps) > np.maximum(uncertainty, np.abs(jumps - next_jumps))
        finer = np.maximum(finest - 1, 0)
        contradicted = (finest > 0) & (
            np.abs(jumps - _at(differences, finer)) > EXPECTED * _at(errors, finer)
        )
    seen = visible.any(axis=0) & shown & convincing & ~contradicted
    return np.where(seen, jumps, 0.0)


def diverges(steps: Floats, forward: Floats, backward: Floats, noise: Floats) -> NDArray[np.bool_]:
    """Tell where slopes grow without limit as the steps shrink.

    Takes what `jump` takes. Returns an array of bool, of shape (...).

    Examples
    --------
    >>> steps = 8.0 ** np.arange(-9, -2)
    >>> bool(diverges(steps, np.cbrt(steps), np.cbrt(-steps), np.array(1e-16)))
    True
    """
    column = steps.reshape(-1, *([1] * (forward.ndim - 1)))
    with np.errstate(all="ignore"):
        right, left = forward / column, -backward / column
        result = _grows((right + left) / 2, noise / column)
        result |= _grows(right - left, 4 * noise / column)
        one_sided = ~np.isfinite(right[0]) ^ ~np.isfinite(left[0])
        only = np.where(np.isfinite(right[0]), right, left)
        result |= one_sided & _grows(only, 2 * noise / column)
    return np.asarray(result)


def curvature_diverges(steps: Floats, curvatures: Floats, noise: Floats) -> NDArray[np.bool_]:
    """Tell where second difference quotients grow without limit as the steps shrink.

    Parameters
    ----------
    steps : ndarray, shape (m,)
        Ascending.
    curvatures : ndarray, shape (m, ...)
    noise : ndarray, shape (m, ...)
        Bounds on the errors of the quotients.
    """
    return _grows(curvatures, noise)


def step_height(steps: Floats, forward: Floats, backward: Floats, noise: Floats) -> Floats:
    """Return the height of a jump of the function itself at x; zero where there is none.

    Takes what `jump` takes, at least four fine steps; `noise` must not come from the same
    differences, in which a step looks like noise.
    """
    heights = []
    for side in (forward, backward):
        fine = side[:4]
        with np.errstate(all="ignore"):
            low, high = fine.min(axis=0), fine.max(axis=0)
            constant = (high - low) <= 0.01 * np.abs(fine[0])
            # One grain of float32 looks like a step; see `steepest.numeric.noise`.
            moves = side[steps <= 1]
            moves = np.where(np.isfinite(moves), np.abs(moves), 0.0).max(axis=0, initial=0.0)
            tall = (np.abs(fine[0]) > 100 * noise) & (np.abs(fine[0]) > GRAIN * moves)
        heights.append(np.where(constant & tall, fine[0], 0.0))
    return np.asarray(heights[0] - heights[1])


@dataclass(frozen=True, slots=True)
class OneSidedSlopes:
    """The slopes to the left and to the right of x, and their error."""

    left: float
    right: float
    error: float


def one_sided_slopes(
    steps: Floats, forward: Floats, backward: Floats, noise: Floats
) -> OneSidedSlopes:
    """Estimate both one-sided slopes of one direction, from the step with the least error.

    Takes what `jump` takes, of shape (m,).
    """
    with np.errstate(all="ignore"):
        right, left = forward / steps, -backward / steps
        # Linear extrapolation from each step and the next coarser one.
        ratio = steps[1:] / steps[:-1]
        rights = right[:-1] + (right[:-1] - right[1:]) / (ratio - 1)
        lefts = left[:-1] + (left[:-1] - left[1:]) / (ratio - 1)
        errors = 4 * noise[:-1] / steps[:-1] + np.maximum(
            np.abs(rights - right[:-1]), np.abs(lefts - left[:-1])
        )
    errors = np.where(np.isfinite(errors), errors, np.inf)
    best = int(np.argmin(errors))
    return OneSidedSlopes(float(lefts[best]), float(rights[best]), float(errors[best]))


def _at(levels: Floats, index: NDArray[np.intp]) -> Floats:
    taken: Floats = np.take_along_axis(levels, np.asarray(index)[np.newaxis], axis=0)[0]
    return taken


def _grows(slopes: Floats, errors: Floats) -> NDArray[np.bool_]:
    """Tell where the changes from level to level do not shrink, on the finest steps they show."""
    if len(slopes) < 4:
        return np.zeros(slopes.shape[1:], dtype=bool)
    changes = slopes[:-1] - slopes[1:]
    magnitude = np.where(np.isfinite(changes), np.abs(changes), 0.0)
    visible = magnitude > EXPECTED * np.broadcast_to(errors, slopes.shape)[:-1]
    finest = np.minimum(np.argmax(visible, axis=0), len(changes) - 3)
    first, second, third = (_at(changes, finest + i) for i in range(3))
    alike = (np.sign(first) == np.sign(second)) & (np.sign(second) == np.sign(third))
    growing = (np.abs(first) >= NON_DECAYING * np.abs(second)) & (
        np.abs(second) >= NON_DECAYING * np.abs(third)
    )
    shown = _at(visible.astype(float), finest) * _at(visible.astype(float), finest + 1) > 0
    finer_error = _at(np.broadcast_to(errors, slopes.shape), np.maximum(finest - 1, 0))
    contradicted = (finest > 0) & (NON_DECAYING * np.abs(first) > EXPECTED * finer_error)
    return np.asarray(alike & growing & shown & ~contradicted)
