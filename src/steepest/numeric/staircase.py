"""Functions that are flat between small steps: the grain of a coarser precision, or rounding.

Near x such a function looks constant, and its difference quotients are exactly zero. A kink beside
x looks the same from x. They differ where the function has first moved: there a staircase is flat
again, and a function that has only a kink is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.numeric.evaluate import Function
from steepest.numeric.noise import GRAIN_LIMIT
from steepest.numeric.stencils import RATIO, Ladder

__all__ = ["reads_single_precision", "stair_heights"]

Floats: TypeAlias = NDArray[np.float64]


def stair_heights(
    ladder: Ladder, sample: Callable[[int, float], NDArray[np.floating[Any]]]
) -> tuple[Floats, Floats]:
    """Return how far, and at which step, a function first moves, where it moves in stairs.

    Parameters
    ----------
    ladder : Ladder
        With fine steps.
    sample : callable
        ``sample(row, step)`` evaluates f at x + step * d.

    Returns
    -------
    heights, widths : ndarray, shape (rows, ...)
        Zero where there are no stairs, or such small ones as `steepest.numeric.noise.ladder_noise`
        expects.
    """
    steps, forward, backward = ladder.steps, ladder.forward, ladder.backward
    with np.errstate(all="ignore"):
        moves = np.fmax(np.abs(forward), np.abs(backward))
        moves = np.where(np.isfinite(moves), moves, 0.0)
    start = np.argmax(moves > 0, axis=0)
    first_move = np.take_along_axis(moves, start[np.newaxis], axis=0)[0]
    magnitude = np.abs(ladder.centre).astype(np.float64)
    limit = GRAIN_LIMIT * np.maximum(magnitude, moves[steps <= 1].max(axis=0, initial=0.0))
    doubtful = (moves[0] == 0) & (first_move > limit)
    heights: Floats = np.zeros_like(first_move)
    widths: Floats = np.zeros_like(first_move)
    for place in np.flatnonzero(doubtful.reshape(len(heights), -1).any(axis=1)):
        row = int(ladder.rows[place])
        for level in np.unique(start[place][doubtful[place]]):
            exponent = ladder.exponents[level]
            step, finest = RATIO**-exponent, float(steps[0])
            moved = forward[level, place]
            with np.errstate(all="ignore"):
                beside = [sample(row, step + side * finest) - ladder.centre for side in (1, -1)]
            flat = (beside[0] == moved) | (beside[1] == moved)
            here = doubtful[place] & (start[place] == level) & flat
            heights[place] = np.where(here, first_move[place], heights[place])
            widths[place] = np.where(here, step, widths[place])
    return heights, widths


def reads_single_precision(function: Function) -> bool:
    """Whether a function of double precision rounds its arguments to single precision first."""
    generator = np.random.default_rng(1)
    working = function.working
    random, rounded = {}, {}
    for parameter in function.parameters:
        if working.real_part(parameter.dtype) != np.float64:
            return False
        coordinates = parameter.coordinates(working)
        coordinates *= 1 + generator.uniform(-1, 1, coordinates.shape) * 2.0**-9
        random[parameter.position] = coordinates
        with np.errstate(all="ignore"):
            rounded[parameter.position] = coordinates.astype(np.float32).astype(np.float64)
    values = [function.value(working, moved) for moved in (random, rounded)]
    return bool(np.array_equal(values[0], values[1], equal_nan=True))
