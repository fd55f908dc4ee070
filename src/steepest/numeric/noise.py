"""How far one value of a function can be trusted: rounding, lost digits, randomness.

Three witnesses are heard, and the largest counts:

- the same point evaluated again (randomness, or sums in varying order);
- the same point evaluated in a higher precision. Its difference is the rounding error itself,
  where the difference table of Moré and Wild [1]_ sees only its variation. Where the higher
  precision would take too long, that variation has to do;
- second differences on the finest steps, too small for curvature to show.

Of a few samples of a noise follows a bound on further values of it: Student's quantile, for the
confidence that is asked for, times their root mean square.

References
----------
.. [1] J. J. Moré and S. M. Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011).
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.numeric.directions import exact_direction
from steepest.numeric.evaluate import Function, Parameter
from steepest.numeric.precision import Precision, significand_bits

__all__ = ["Noise", "ladder_noise", "noise_by_level", "student_quantile"]

Floats: TypeAlias = NDArray[np.float64]
RealArray: TypeAlias = NDArray[np.floating[Any]]

REPEATS = 18
# So many values of a random function are bounded at once (Bonferroni).
LOOKS = 256
# Second differences of a rounding error have so many times its standard deviation.
SECOND_DIFFERENCE = math.sqrt(6.0)
# Relative displacements so small that curvature does not show in double precision.
TINY_EXPONENTS = (-29, -31, -33)
# Rounding errors at a few points understate those at others.
HEADROOM = 3.0
CALLS = 6
DOUBLE_BITS = 53
# Where calls are cheap, the fine steps of each comparison show the noise better.
EXPENSIVE = 1e-3
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
        self._confidence = confidence
        # Rounding errors seen, in units of the working precision's epsilon: the largest, the root
        # of the sum of squares, and how many.
        self._largest: Floats | None = None
        self._norm: Floats = np.zeros(())
        self._samples = 0
        self.repeatability = self._repeat()

    @property
    def is_random(self) -> bool:
        """Whether the function does not repeat itself."""
        return bool(np.any(self.repeatability > 0))

    @property
    def is_measured(self) -> bool:
        """Whether the rounding error has been seen."""
        return self._largest is not None and bool(np.all(self._largest > 0))

    def observe(self, parameter: Parameter, direction: RealArray, step: float) -> None:
        """Compare the working precision with the higher one at x + step * direction.

        The first time, at a few more points: the rounding error of one may be small by luck.
        """
        function = self._function
        working = function.working
        first = self._largest is None
        # The same point in both precisions: an inexact one would differ by the slope of f.
        direction = exact_direction(parameter, direction.astype(np.float64), working)
        higher = function.affordable_higher(CALLS)
        if higher is None:
            if first and not self.is_random:
                self._record_variation(parameter, direction)
            return
        steps = [step]
        if first:
            self._record(function.centre(working), function.centre(higher))
            steps = [step, -step, step / 2, -step / 2]
        for each in steps:
            rounded, exact = (
                function.near(parameter, direction, each, precision)
                for precision in (working, higher)
            )
            self._record(rounded, exact)

    def _record_variation(self, parameter: Parameter, direction: Floats) -> None:
        """Take for the rounding error how it varies between points that are close together."""
        function = self._function
        working = function.working
        if working.bits(parameter.dtype) < DOUBLE_BITS or function.seconds_a_call < EXPENSIVE:
            return
        centre = function.centre(working)
        for exponent in TINY_EXPONENTS:
            there, back = (
                function.near(parameter, direction, side * 2.0**exponent, working)
                for side in (1.0, -1.0)
            )
            with np.errstate(all="ignore"):
                bend = (there + back - 2 * centre) / SECOND_DIFFERENCE
            self._record(bend, np.zeros_like(bend))

    def _record(self, rounded: RealArray, exact: RealArray) -> None:
        """Keep what was seen of the rounding error."""
        with np.errstate(all="ignore"):
            error = np.abs(rounded - exact).astype(np.float64)
        error = np.where(np.isfinite(error), error, 0.0)
        ratio = error / self.epsilon(self._function.working)
        self._largest = ratio if self._largest is None else np.maximum(ratio, self._largest)
        self._norm = np.hypot(self._norm, ratio)
        self._samples += 1

    def level(self, precision: Precision) -> Floats:
        """Return a bound on the error of one value of f, of the shape of f's result."""
        epsilon = self.epsilon(precision)
        centre = np.abs(self._function.centre(precision)).astype(np.float64)
        noise = epsilon * np.where(np.isfinite(centre), centre, 0.0)
        if self._largest is not None:
            quantile = student_quantile(self._confidence, self._samples)
            typical = self._norm / math.sqrt(self._samples)
            amplification = np.maximum(HEADROOM * self._largest, quantile * typical)
            noise = np.maximum(noise, epsilon * amplification)
        if not self.is_random:
            return noise
        quantile = student_quantile(1 - (1 - self._confidence) / LOOKS, REPEATS + 1)
        return np.maximum(noise, quantile * self.repeatability)

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


def student_quantile(confidence: float, samples: int) -> float:
    """Return what a further value stays below, in units of the root mean square of samples.

    Parameters
    ----------
    confidence : float
        Probability that the absolute value of the next, normally distributed like the others with
        mean zero, stays below.
    samples : int
        Degrees of freedom.

    Examples
    --------
    >>> round(student_quantile(0.999, 1000), 2), round(student_quantile(0.999, 5), 2)
    (3.3, 6.87)
    """
    # Imported here: `import steepest` does not load SciPy.
    from scipy.special import stdtrit

    return float(stdtrit(samples, 0.5 + confidence / 2))


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
