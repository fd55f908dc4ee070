"""How far one value of a function can be trusted: rounding, lost digits, randomness.

Four witnesses are heard, and the largest counts:

- the same point evaluated again (randomness, or sums in varying order);
- the same point evaluated in a higher precision. Its difference is the rounding error itself,
  where the difference table of Moré and Wild [1]_ sees only its variation. Where the higher
  precision would take too long, that variation has to do;
- where there is no higher precision, third differences of neighbouring points, at spacings too
  small for the function itself to bend;
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
# Relative displacements so small that curvature does not show in double precision; the second ones
# are for functions that showed no rounding on the first.
TINY_EXPONENTS = (-29, -31, -33)
MORE_TINY_EXPONENTS = (-28, -30, -32, -34, -35)
# Rounding errors at a few points understate those at others.
HEADROOM = 3.0
CALLS = 6
DOUBLE_BITS = 53
# Where calls are cheap, the fine steps of each comparison show the noise better.
EXPENSIVE = 1e-3
# On steps up to this part of x, second differences are noise rather than curvature.
FINE_STEP = 2.0**-5
# Where no higher precision shows the rounding error, so many points in a row sample it.
SAMPLED_POINTS = 6
# Third differences of noise vary by the root of 1 + 9 + 9 + 1 of its own deviation.
THIRD_DIFFERENCE = math.sqrt(20)
# Noise is as large at any spacing beyond the grain; third differences of the function itself grow
# 512-fold from each spacing to the next.
RATIO = 8.0
GROWTH = 30.0
# Rounding that takes more than this part of the values away.
IMPLAUSIBLE = 1e-4
# The coarsest rounding unit that a function may have inside without being noisy, and how much less
# than its errors the unit is.
SINGLE_UNIT = 2.0**-23
FEW_UNITS = 2.0**-7
# Rounding errors below this part of a rounding unit of f are luck.
LUCKY = 1 / 16
FINEST_LEVELS = 3
NOISE_SPREAD = 8.0
SHRINKING = 64.0
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
        # Neighbours of x, all of which have other values than x and hardly any rounding error.
        self._moving_neighbours = 0
        self._sampled: Floats | None = None
        self.repeatability = self._repeat(doubted=False)

    @property
    def is_random(self) -> bool:
        """Whether the function does not repeat itself."""
        return bool(np.any(self.repeatability > 0))

    @property
    def is_measured(self) -> bool:
        """Whether the rounding error has been seen, and not exact values by luck.

        A function whose errors average out (a mean over a batch) rounds by less than a unit of its
        value. It is known by many neighbours of x, at which it moves.
        """
        if self._largest is None:
            return False
        if self._moving_neighbours >= len(TINY_EXPONENTS + MORE_TINY_EXPONENTS):
            return True
        return self._has_seen_rounding

    @property
    def _has_seen_rounding(self) -> bool:
        usual = np.abs(self._function.centre(self._function.working)).astype(np.float64)
        return self._largest is not None and bool(np.all(self._largest > LUCKY * usual))

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
        if first and not self.is_random:
            # What is far more than rounding may be chance, which two equal values did not show.
            assert self._largest is not None
            loss = self._largest * self.epsilon(working)
            if np.any(loss > IMPLAUSIBLE * np.abs(function.centre(working))):
                self.repeatability = self._repeat(doubted=True)

    def _record_variation(self, parameter: Parameter, direction: Floats) -> None:
        """Take for the rounding error how it varies between points that are close together."""
        function = self._function
        working = function.working
        if working.bits(parameter.dtype) < DOUBLE_BITS or function.seconds_a_call < EXPENSIVE:
            return
        centre = function.centre(working)
        for exponents in (TINY_EXPONENTS, MORE_TINY_EXPONENTS):
            for exponent in exponents:
                there, back = (
                    function.near(parameter, direction, side * 2.0**exponent, working)
                    for side in (1.0, -1.0)
                )
                with np.errstate(all="ignore"):
                    bend = (there + back - 2 * centre) / SECOND_DIFFERENCE
                self._record(bend, np.zeros_like(bend))
                self._moving_neighbours += bool(np.all((there != centre) & (back != centre)))
            if self._has_seen_rounding:
                break

    def sample(self, parameter: Parameter, direction: RealArray) -> None:
        """Sample the rounding error along a direction, where there is no higher precision.

        The first time at several spacings: a function that computes in single precision does not
        move at all on the finest. Few evaluations at steps that a ladder takes may differ by little
        where the error is large.
        """
        function = self._function
        if function.higher is not None or self.is_random:
            return
        if function.seconds_a_call >= EXPENSIVE:
            # A few differences have to do: see `_record_variation`.
            return
        working = function.working
        direction = exact_direction(parameter, direction.astype(np.float64), working)
        finest = working.deepest_exponent(parameter.dtype)
        coarsest = round(working.bits(parameter.dtype) / 9)
        known = self._sampled
        exponents = range(finest, coarsest - 1, -1) if known is None else (finest,)
        if known is None:
            known = np.zeros(function.centre(working).shape)
        allowed = np.full(known.shape, np.inf)
        for exponent in exponents:
            deviation, is_grainy = self._deviation(parameter, direction, RATIO**-exponent)
            believed = deviation <= allowed
            known = np.where(believed, np.maximum(known, deviation), known)
            # Below the grain, not all of the error has shown; where the function's own variation
            # has shown, it will show on coarser spacings too.
            allowed = np.where(is_grainy, np.inf, GROWTH * known)
            allowed = np.where(believed, allowed, 0.0)
        self._sampled = known

    def _deviation(
        self, parameter: Parameter, direction: Floats, spacing: float
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Estimate the standard deviation of rounding from third differences on one side of x.

        Also tell where some neighbours have the same value. On one side, so that a kink or a step
        at x is no noise.
        """
        function = self._function
        for side in (spacing, -spacing):
            values = np.stack(
                [
                    function.near(parameter, direction, j * side, function.working)
                    for j in range(1, SAMPLED_POINTS + 1)
                ]
            ).astype(np.float64)
            if np.all(np.isfinite(values)):
                break
        with np.errstate(all="ignore"):
            differences = np.diff(values, n=3, axis=0)
            deviation = np.sqrt(np.mean(differences**2, axis=0)) / THIRD_DIFFERENCE
            is_grainy = np.any(np.diff(values, axis=0) == 0, axis=0)
        return np.where(np.isfinite(deviation), deviation, 0.0), np.asarray(is_grainy)

    def _record(self, rounded: RealArray, exact: RealArray) -> None:
        """Keep what was seen of the rounding error."""
        with np.errstate(all="ignore"):
            error = np.abs(rounded - exact).astype(np.float64)
        error = np.where(np.isfinite(error), error, 0.0)
        ratio = error / self.epsilon(self._function.working)
        self._largest = ratio if self._largest is None else np.maximum(ratio, self._largest)
        self._norm = np.hypot(self._norm, ratio)
        self._samples += 1

    def level(self, precision: Precision, *, with_sample: bool = True) -> Floats:
        """Return a bound on the error of one value of f, of the shape of f's result.

        Without what `sample` saw, where other errors are to be told from rounding.
        """
        epsilon = self.epsilon(precision)
        centre = np.abs(self._function.centre(precision)).astype(np.float64)
        noise = epsilon * np.where(np.isfinite(centre), centre, 0.0)
        if self._largest is not None:
            quantile = student_quantile(self._confidence, self._samples)
            typical = self._norm / math.sqrt(self._samples)
            amplification = np.maximum(HEADROOM * self._largest, quantile * typical)
            noise = np.maximum(noise, epsilon * amplification)
        if self._sampled is not None and with_sample:
            # Looked at as often as randomness.
            quantile = student_quantile(1 - (1 - self._confidence) / LOOKS, REPEATS + 1)
            noise = np.maximum(noise, quantile * self._sampled)
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

    def unit(self) -> float:
        """Return the rounding unit of a function that computes in single precision inside.

        Zero for one that does not.
        """
        if self._sampled is None or self.is_random:
            return 0.0
        size = np.abs(self._function.centre(self._function.working)).astype(np.float64)
        single = np.any(self._sampled > FEW_UNITS * SINGLE_UNIT * size)
        return SINGLE_UNIT if single else 0.0

    def _repeat(self, *, doubted: bool) -> Floats:
        """Evaluate f(x) again, and more often when it differs or its repetition is in doubt."""
        function = self._function
        first = function.centre(function.working)
        values = [first, function.value(function.working, {})]
        with np.errstate(all="ignore"):
            if not doubted and np.array_equal(values[0], values[1], equal_nan=True):
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
    steps: Floats,
    forward: Floats,
    backward: Floats,
    floor: Floats,
    magnitude: Floats,
    epsilon: float = 0.0,
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
    epsilon : float
        Rounding unit: on steps below its square root, curvature does not show beside the noise.

    Returns
    -------
    ndarray, shape (...)
        At least `floor`. Where the function is flat on the finest steps and first moves by a
        little, that little is the grain of its values, and counts as noise.
    """
    with np.errstate(all="ignore"):
        moves = np.maximum(np.abs(forward), np.abs(backward))
        moves = np.where(np.isfinite(moves), moves, 0.0)
        # What is left when the linear part is taken away: even terms, and odd ones, of which each
        # level is compared with the next. Rounding may be odd, as that of a linear function is.
        residual = np.abs(forward + backward) / 2
        odd = (forward - backward) / 2
        column = steps.reshape(-1, *([1] * (forward.ndim - 1)))
        ratio = column[1:] / column[:-1]
        residual[:-1] = np.fmax(residual[:-1], np.abs(odd[1:] / ratio - odd[:-1]))
        residual = np.where(np.isfinite(residual), residual, 0.0)
    start = np.argmax(moves > 0, axis=0)
    levels = np.minimum(
        start[np.newaxis] + np.arange(FINEST_LEVELS).reshape(-1, *([1] * start.ndim)),
        len(moves) - 1,
    )
    # In half precision, few steps are so small that curvature does not show.
    fine = (steps[levels] <= FINE_STEP) | (levels == levels[0])
    finest = np.where(fine, np.take_along_axis(residual, levels, axis=0), np.nan)
    # What shrinks with the step is no noise.
    most = HEADROOM * SHRINKING * np.maximum(finest[0], floor)
    typical = np.minimum(HEADROOM * np.nanmedian(finest, axis=0), most)
    # Three may all be small by chance. The others count as long as they are of their size.
    hidden = HEADROOM * residual[steps**2 <= epsilon]
    alike = hidden <= np.minimum(NOISE_SPREAD * np.maximum(typical, floor), most)
    typical = np.maximum(typical, np.where(alike, hidden, 0.0).max(axis=0, initial=0.0))
    first_move = np.take_along_axis(moves, start[np.newaxis], axis=0)[0]
    grain = np.where(moves[0] == 0, np.maximum(first_move, typical), typical)
    # A flat function that first moves by much has a kink or a step at that distance.
    limit = GRAIN_LIMIT * np.maximum(magnitude, moves[steps <= 1].max(axis=0, initial=0.0))
    grain = np.where((moves[0] == 0) & (grain > limit), 0.0, grain)
    return np.maximum(floor, grain)
