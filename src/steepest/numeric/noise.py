"""How far one value of a function can be trusted: rounding, lost digits, randomness.

Three witnesses are heard, and the largest counts:

- the same point evaluated again (randomness, or sums in varying order);
- the same point evaluated in a higher precision. Its difference is the rounding error itself,
  where the difference table of Moré and Wild [1]_ sees only its variation;
- second differences on the finest steps, too small for curvature to show.

References
----------
.. [1] J. J. Moré and S. M. Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.numeric.directions import exact_direction
from steepest.numeric.evaluate import Function, Parameter
from steepest.numeric.precision import Precision, significand_bits

__all__ = ["Noise", "ladder_noise", "noise_by_level"]

Floats: TypeAlias = NDArray[np.float64]
RealArray: TypeAlias = NDArray[np.floating[Any]]

REPEATS = 8
# Rounding errors at a few points understate those at others.
HEADROOM = 3.0
FINEST_LEVELS = 3
# A grain of float32, and the roughness of sums in it, against the values of the function.
GRAIN_LIMIT = 1e-5


class Noise:
    """The noise of a function near x.

    Parameters
    ----------
    function : Function
    confidence : float
        Probability with which random noise stays below what is stated.

    Attributes
    ----------
    repeatability : ndarray
        Standard deviation of f(x) evaluated again and again; zero for a deterministic function.
    """

    def __init__(self, function: Function, confidence: float = 0.999) -> None:
        self._function = function
        self._quantile = NormalDist().inv_cdf(0.5 + confidence / 2)
        # Largest rounding error seen, in units of the working precision's epsilon.
        self._amplification: Floats | None = None
        self.repeatability = self._repeat()

    @property
    def is_random(self) -> bool:
        """Whether the function does not repeat itself."""
        return bool(np.any(self.repeatability > 0))

    @property
    def is_measured(self) -> bool:
        """Whether a higher precision has shown the rounding error."""
        return self._amplification is not None and bool(np.all(self._amplification > 0))

    def observe(self, parameter: Parameter, direction: RealArray, step: float) -> None:
        """Compare the working precision with the higher one at x + step * direction.

        The first time, at a few more points: the rounding error of one may be small by luck.
        """
        function = self._function
        higher = function.higher
        if higher is None:
            return
        working = function.working
        # The same point in both precisions: an inexact one would differ by the slope of f.
        direction = exact_direction(parameter, direction.astype(np.float64), working)
        steps = [step]
        if self._amplification is None:
            self._record(function.centre(working), function.centre(higher))
            steps = [step, -step, step / 2, -step / 2]
        for each in steps:
            self._record(
                function.near(parameter, direction, each, working),
                function.near(parameter, direction, each, higher),
            )

    def _record(self, rounded: RealArray, exact: RealArray) -> None:
        """Keep the largest rounding error seen."""
        with np.errstate(all="ignore"):
            error = np.abs(rounded - exact).astype(np.float64)
        error = np.where(np.isfinite(error), error, 0.0)
        ratio = error / self.epsilon(self._function.working)
        self._amplification = (
            ratio if self._amplification is None else np.maximum(ratio, self._amplification)
        )

    def level(self, precision: Precision) -> Floats:
        """Return a bound on the error of one value of f, of the shape of f's result."""
        epsilon = self.epsilon(precision)
        centre = np.abs(self._function.centre(precision)).astype(np.float64)
        noise = epsilon * np.where(np.isfinite(centre), centre, 0.0)
        if self._amplification is not None:
            noise = np.maximum(noise, HEADROOM * epsilon * self._amplification)
        # From a few repeats, a standard deviation may come out as half of what it is.
        return np.maximum(noise, 2 * self._quantile * self.repeatability)

    def epsilon(self, precision: Precision) -> float:
        """Return the coarsest rounding unit among the inputs, in the given precision."""
        return max(
            float(2.0 ** (1 - significand_bits(precision.of(parameter.dtype))))
            for parameter in self._function.parameters
        )

    def _repeat(self) -> Floats:
        """Evaluate f(x) again, and more often when it differs."""
        function = self._function
        first = function.centre(function.working)
        values = [first, function.value(function.working, {})]
        with np.errstate(all="ignore"):
            if np.array_equal(values[0], values[1], equal_nan=True):
                return np.zeros(first.shape)
            values += [function.value(function.working, {}) for _ in range(REPEATS)]
            spread = np.std(np.stack(values) - first, axis=0, ddof=1).astype(np.float64)
        return np.where(np.isfinite(spread), spread, np.inf)


def noise_by_level(forward: Floats, backward: Floats, noise: Floats, epsilon: float) -> Floats:
    """Add what rounding grows by where the function's values are larger than at x.

    Parameters
    ----------
    forward, backward : ndarray, shape (m, ...)
        f(x ± step d) - f(x).
    noise : ndarray, shape (...)
        Bound on the error of f(x).
    epsilon : float
        Rounding unit.

    Returns
    -------
    ndarray, shape (m, ...)
    """
    moves = np.fmax(np.abs(forward), np.abs(backward))
    return np.asarray(noise + HEADROOM * epsilon * np.where(np.isfinite(moves), moves, 0.0))


def ladder_noise(
    steps: Floats, forward: Floats, backward: Floats, floor: Floats, magnitude: Floats
) -> Floats:
    """Estimate noise from function differences on the finest steps of a ladder.

    Parameters
    ----------
    steps : ndarray, shape (m,)
        Ascending; at least three that are fine indeed.
    forward, backward : ndarray, shape (m, ...)
        f(x ± step d) - f(x).
    floor : ndarray, shape (...)
        What is known to be noise.
    magnitude : ndarray, shape (...)
        |f(x)|.

    Returns
    -------
    ndarray, shape (...)
        At least `floor`. Where the function is flat on the finest steps and first moves by a
        little, that little is the grain of its values, and counts as noise.
    """
    with np.errstate(all="ignore"):
        moves = np.maximum(np.abs(forward), np.abs(backward))
        moves = np.where(np.isfinite(moves), moves, 0.0)
        curvature = np.abs(forward + backward) / 2
        curvature = np.where(np.isfinite(curvature), curvature, 0.0)
    start = np.argmax(moves > 0, axis=0)
    levels = np.minimum(
        start[np.newaxis] + np.arange(FINEST_LEVELS).reshape(-1, *([1] * start.ndim)),
        len(moves) - 1,
    )
    typical = HEADROOM * np.median(np.take_along_axis(curvature, levels, axis=0), axis=0)
    first_move = np.take_along_axis(moves, start[np.newaxis], axis=0)[0]
    grain = np.where(moves[0] == 0, np.maximum(first_move, typical), typical)
    # A flat function that first moves by much has a kink or a step at that distance.
    limit = GRAIN_LIMIT * np.maximum(magnitude, moves[steps <= 1].max(axis=0, initial=0.0))
    grain = np.where((moves[0] == 0) & (grain > limit), 0.0, grain)
    return np.maximum(floor, grain)
