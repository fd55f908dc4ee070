"""Difference quotients on a ladder of steps, extrapolated, with an error bound.

The steps are ``8**-k``, relative to a direction scaled like the variables. At each of them the
function is evaluated on both sides. From the quotients, polynomial extrapolation (Richardson [1]_)
makes further estimates. Which one to believe is decided by Lepski's rule [2]_: going from the
finest step, where the rounding error dominates and is known, to coarser ones, an estimate is kept
as long as its interval meets those of all finer ones; the kept one with the least bound wins. So a
coarse step never outvotes a fine one beyond the noise, which is how the minimum over a Richardson
table (Ridders) is deceived.

References
----------
.. [1] L. F. Richardson, "The approximate arithmetical solution by finite differences", Phil.
   Trans. R. Soc. A 210 (1911).
.. [2] O. V. Lepskii, "On a problem of adaptive estimation in Gaussian white noise", Theory Probab.
   Appl. 35 (1990).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BEYOND_STAGE",
    "FINEST_STAGE",
    "FINE_STAGE",
    "RATIO",
    "REFINING_STEPS",
    "SAFETY",
    "Ladder",
    "SlopeEstimate",
    "Stages",
    "estimate_curvature",
    "estimate_slope",
    "is_settled",
    "refined_slope",
    "refining_exponents",
    "stages",
    "step_of",
]

Floats: TypeAlias = NDArray[np.float64]

RATIO = 8.0
HIGHEST_ORDER = 2
# On finer steps than these bits leave, rounding hides all but the strongest variation.
NOISE_BITS = 17
UNSETTLED = 0.2
# The bounds estimate truncation from differences between levels; twice that is stated.
SAFETY = 2.0
BEYOND_VISIBLE = 20.0
# Slopes on steps too large show a function's curvature above their noise, and not yet its waves.
VISIBLE = 4.0
CURVED = 0.1
LARGEST_REFINING = 0.5
REFINING_STEPS = 4


@dataclass(frozen=True, slots=True)
class Stages:
    """The exponents k of the steps 8**-k, in the order in which they are worth their cost.

    Attributes
    ----------
    first : list of int
        Three levels that decide the well-behaved case.
    neighbours : list of int
    fine : list of int
        Show noise and kinks.
    finest : list of int
        For functions that vary on scales far below x, such as sin of a time stamp.
    whole : list of int
        Up to steps as large as x, for estimates that noise limits.
    beyond, far : list of int
        Larger than x.
    """

    first: list[int]
    neighbours: list[int]
    fine: list[int]
    finest: list[int]
    whole: list[int]
    beyond: list[int]
    far: list[int]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(
            (
                self.first,
                self.neighbours,
                self.fine,
                self.finest,
                self.whole,
                self.beyond,
                self.far,
            )
        )


FINE_STAGE, FINEST_STAGE, BEYOND_STAGE = 2, 3, 5


def stages(bits: int, deepest: int) -> Stages:
    """Plan a ladder of steps.

    Parameters
    ----------
    bits : int
        Significand bits of the evaluation.
    deepest : int
        Largest exponent at which steps are exact.

    Examples
    --------
    >>> list(stages(53, 15))
    [[3, 4, 6], [2, 5], [7, 8, 9, 10, 11, 12], [13, 14, 15], [1, 0], [-1, -2, -3], [-4, -5, -6]]
    """
    bits = min(bits, 64)
    coarse = max(1, round(bits / 18))
    fine = min(deepest, max(coarse + 2, round(bits / 9)))
    noise_limited = min(deepest, max(fine, (bits - min(NOISE_BITS, bits // 2)) // 3))
    first = sorted({coarse, min(coarse + 1, deepest), fine})
    neighbours = [k for k in (coarse - 1, coarse + 2) if k not in first and 0 <= k <= deepest]
    taken = {*first, *neighbours}
    return Stages(
        first,
        neighbours,
        [k for k in range(coarse, noise_limited + 1) if k not in taken],
        list(range(noise_limited + 1, deepest + 1)),
        [k for k in range(coarse - 1, -1, -1) if k not in taken],
        [-1, -2, -3],
        [-4, -5, -6],
    )


def step_of(exponent: float) -> float:
    """Return the step 8**-k; k may be a multiple of one third, so that it is a power of two.

    Examples
    --------
    >>> step_of(2), step_of(5 / 3)
    (0.015625, 0.03125)
    """
    return float(2.0 ** -round(3 * exponent))


def refining_exponents(
    steps: Floats, forward: Floats, backward: Floats, noise: Floats, slope: Floats
) -> NDArray[np.intp]:
    """Choose the steps, each twice the one before, that tell most of a smooth function.

    Takes what `estimate_slope` takes, and its estimates. Extrapolated to sixth order from the steps
    h, h / 2 and h / 4, the slope is off by (h / R)**6 / 64, where its series converges up to R, and
    by the rounding of about 6 / h noises. A series that is a geometric one shows R in how the
    slopes of the ladder differ, by (h / R)**2; of another, R is at least of that size.

    Returns
    -------
    ndarray of int, shape (...)
        The largest step h, as a power of two.
    """
    column = steps.reshape(-1, *([1] * (forward.ndim - 1)))
    noise = np.broadcast_to(noise, forward.shape)
    with np.errstate(all="ignore"):
        deviations = np.abs((forward - backward) / (2 * column) - slope)
        visible = (deviations > VISIBLE * noise / column) & (deviations < CURVED * np.abs(slope))
        radii = column * np.sqrt(np.abs(slope) / deviations)
        radius = np.where(visible, radii, np.inf).min(axis=0)
        relative_noise = noise[0] / np.abs(slope)
        # Where both errors are equal.
        largest = (6 * 64 * relative_noise * radius**6) ** (1 / 7)
        exponents = np.floor(np.log2(np.minimum(largest, LARGEST_REFINING)))
    chosen: NDArray[np.intp] = np.where(
        np.isfinite(exponents), exponents, np.log2(LARGEST_REFINING)
    ).astype(np.intp)
    return chosen


def refined_slope(
    steps: Floats, forward: Floats, backward: Floats, noise: Floats
) -> tuple[Floats, Floats]:
    """Estimate derivatives from four steps, each twice the one before, of a smooth function.

    Takes what `estimate_slope` takes. What is extrapolated from the three coarser steps rounds
    least; from the three finer ones, it is nearer by a factor of 64. Their difference tells which
    of both counts.

    Returns
    -------
    value, bound : ndarray, shape (...)

    Examples
    --------
    >>> steps = 2.0 ** np.arange(-7, -3)
    >>> value, bound = refined_slope(steps, np.expm1(steps), np.expm1(-steps), np.array(1e-16))
    >>> bool(abs(value - 1) < bound < 1e-13)
    True
    """
    column = steps.reshape(-1, *([1] * (forward.ndim - 1)))
    with np.errstate(all="ignore"):
        values = (forward - backward) / (2 * column)
        errors = np.broadcast_to(noise, forward.shape) / column
        for order in (1, 2):
            weight = 4.0**order
            errors = (weight * errors[:-1] + errors[1:]) / (weight - 1)
            values = values[:-1] + (values[:-1] - values[1:]) / (weight - 1)
        change = np.abs(values[0] - values[1])
        bounds = errors + np.stack([change / 63, change * 64 / 63])
    finer = bounds[0] < bounds[1]
    bound = SAFETY * np.where(finer, bounds[0], bounds[1])
    return np.where(finer, values[0], values[1]), np.where(np.isfinite(bound), bound, np.inf)


def is_settled(
    steps: Floats, forward: Floats, backward: Floats, noise: Floats
) -> NDArray[np.bool_]:
    """Tell where the slopes on the two finest steps agree roughly, as far as noise lets them.

    Takes what `estimate_slope` takes. Where they do not, the function varies on a scale below the
    finest step, and what coarser steps say means nothing.
    """
    if len(steps) < 2:
        # A bfloat16 has bits for one step.
        return np.zeros(forward.shape[1:], dtype=bool)
    column = steps[:2].reshape(-1, *([1] * (forward.ndim - 1)))
    with np.errstate(all="ignore"):
        slopes = (forward[:2] - backward[:2]) / (2 * column)
        change = np.abs(slopes[0] - slopes[1])
        finest_noise = np.broadcast_to(noise, forward.shape)[0]
        settled = change <= UNSETTLED * np.abs(slopes[0]) + 2 * finest_noise / column[0]
    return np.asarray(settled)


@dataclass(frozen=True, slots=True)
class SlopeEstimate:
    """Derivatives along directions, and what is known of their errors.

    Attributes
    ----------
    value : ndarray
        NaN where no estimate was possible.
    bound : ndarray
        Bound on the error; infinite where there is none.
    step : ndarray
        The largest step that the estimate rests on.
    one_sided : ndarray of bool
        Where the function was defined on one side only.
    """

    value: Floats
    bound: Floats
    step: Floats
    one_sided: NDArray[np.bool_]


class Ladder:
    """Function values at x ± 8**-k d, for several directions d ("rows") at once.

    Parameters
    ----------
    sample : callable
        ``sample(row, step)`` evaluates f at x + step * d.
    centre : ndarray
        f(x).
    rows : int
        Number of directions.
    """

    def __init__(
        self,
        sample: Callable[[int, float], NDArray[np.floating[Any]]],
        centre: NDArray[np.floating[Any]],
        rows: int = 1,
    ) -> None:
        self._sample = sample
        self.centre = centre
        self.rows = np.arange(rows)
        self._forward: dict[float, Floats] = {}
        self._backward: dict[float, Floats] = {}

    def extend(
        self,
        exponents: Iterable[float],
        after_row: Callable[[int], None] | None = None,
        *,
        both_sides: bool = True,
    ) -> None:
        """Evaluate at further steps; `after_row` is called with each row's evaluations."""
        new = [k for k in exponents if k not in self._forward]
        shape = (self.rows.size, *self.centre.shape)
        for k in new:
            self._forward[k] = np.full(shape, np.nan)
            self._backward[k] = np.full(shape, np.nan)
        unfinished = set(new)
        try:
            for place, row in enumerate(self.rows):
                for k in new:
                    step = step_of(k)
                    with np.errstate(all="ignore"):
                        self._forward[k][place] = self._sample(int(row), step) - self.centre
                        if both_sides:
                            self._backward[k][place] = self._sample(int(row), -step) - self.centre
                    if place == self.rows.size - 1:
                        unfinished.discard(k)
                if after_row is not None:
                    after_row((1 + both_sides) * len(new))
        except BaseException:
            # A budget may have ended: what was not evaluated must not look like outside the domain.
            for k in unfinished:
                del self._forward[k], self._backward[k]
            raise

    def select(self, places: NDArray[np.intp]) -> Ladder:
        """Return a ladder of some of the rows, with what was evaluated of them."""
        chosen = Ladder(self._sample, self.centre, 0)
        chosen.rows = self.rows[places]
        chosen._forward = {k: values[places] for k, values in self._forward.items()}
        chosen._backward = {k: values[places] for k, values in self._backward.items()}
        return chosen

    @property
    def exponents(self) -> list[float]:
        """The exponents evaluated so far, finest step first."""
        return sorted(self._forward, reverse=True)

    @property
    def steps(self) -> Floats:
        """The steps evaluated so far, finest first."""
        return np.array([step_of(k) for k in self.exponents])

    @property
    def forward(self) -> Floats:
        """f(x + step d) - f(x), of shape (steps, rows, ...), finest step first."""
        return np.stack([self._forward[k] for k in self.exponents])

    @property
    def backward(self) -> Floats:
        """f(x - step d) - f(x), of shape (steps, rows, ...), finest step first."""
        return np.stack([self._backward[k] for k in self.exponents])


def estimate_slope(
    steps: Floats, forward: Floats, backward: Floats, noise: Floats
) -> SlopeEstimate:
    """Estimate derivatives from function differences on a ladder of steps.

    Parameters
    ----------
    steps : ndarray, shape (m,)
        Ascending, positive.
    forward, backward : ndarray, shape (m, ...)
        f(x + step d) - f(x) and f(x - step d) - f(x); not finite outside of the domain.
    noise : ndarray, shape (...) or (m, ...)
        Bound on the error of one value of f.

    Returns
    -------
    SlopeEstimate
        Of shape (...).

    Examples
    --------
    >>> steps = 8.0 ** np.arange(-6, -1)
    >>> estimate = estimate_slope(steps, np.exp(steps) - 1, np.exp(-steps) - 1, np.array(2e-16))
    >>> bool(abs(estimate.value - 1) < estimate.bound < 1e-9)
    True
    """
    column = steps.reshape(-1, *([1] * (forward.ndim - 1)))
    with np.errstate(all="ignore"):
        # Beyond the size of x, a function that does not move shows nothing: it may have saturated.
        shown = (column <= 1) | (np.abs(forward - backward) > BEYOND_VISIBLE * noise)
        forward = np.where(np.isfinite(forward) & shown, forward, np.nan)
        backward = np.where(np.isfinite(backward) & shown, backward, np.nan)
        value, bound, step = _most_credible(
            steps, (forward - backward) / (2 * column), noise / column, power=2
        )
        one_sided = ~np.isfinite(bound)
        if one_sided.any():
            for slopes in (forward / column, -backward / column):
                side = _most_credible(steps, slopes, 2 * noise / column, power=1)
                better = one_sided & (side[1] < bound)
                value = np.where(better, side[0], value)
                bound = np.where(better, side[1], bound)
                step = np.where(better, side[2], step)
            one_sided &= np.isfinite(bound)
    return SlopeEstimate(value, SAFETY * bound, step, one_sided)


def estimate_curvature(steps: Floats, quotients: Floats, noise: Floats) -> SlopeEstimate:
    """Estimate second derivatives from second difference quotients on a ladder of steps.

    Parameters
    ----------
    steps : ndarray, shape (m,)
        Ascending, positive.
    quotients : ndarray, shape (m, ...)
        Their errors are even in the step.
    noise : ndarray, shape (m, ...)
        Bounds on what rounding makes of the quotients.

    Returns
    -------
    SlopeEstimate
        Of shape (...).

    Examples
    --------
    >>> steps = 8.0 ** np.arange(-3, 0)
    >>> quotients = (np.exp(steps) + np.exp(-steps) - 2) / steps**2
    >>> estimate = estimate_curvature(steps, quotients, 1e-15 / steps**2)
    >>> bool(abs(estimate.value - 1) < estimate.bound < 1e-6)
    True
    """
    with np.errstate(all="ignore"):
        value, bound, step = _most_credible(steps, quotients, noise, power=2, trusting=False)
    return SlopeEstimate(value, SAFETY * bound, step, np.zeros(value.shape, dtype=bool))


def _most_credible(
    steps: Floats, slopes: Floats, noise: Floats, *, power: int, trusting: bool = True
) -> tuple[Floats, Floats, Floats]:
    """Extrapolate slopes whose error is a series in step**power, and choose by Lepski's rule.

    If not trusting, the finest step's own error is not taken to shrink as the series says.

    Returns the values, the bounds (infinite where there is no estimate) and the steps.
    """
    shape = slopes.shape[1:]
    noise = np.broadcast_to(noise, slopes.shape)
    abscissae = steps**power
    count = len(steps)
    # values[j][i] is the polynomial of degree j through the levels i-j … i, at step 0 (Neville).
    values: list[dict[int, Floats]] = [{i: slopes[i] for i in range(count)}]
    errors: list[dict[int, Floats]] = [{i: noise[i] for i in range(count)}]
    for order in range(1, HIGHEST_ORDER + 1):
        values.append({})
        errors.append({})
        for i in range(order, count):
            weight = abscissae[i] / abscissae[i - order]
            fine, coarse = values[order - 1][i - 1], values[order - 1][i]
            values[order][i] = fine + (fine - coarse) / (weight - 1)
            errors[order][i] = (errors[order - 1][i - 1] + errors[order - 1][i] / weight) / (
                1 - 1 / weight
            )

    best_value = np.full(shape, np.nan)
    best_bound = np.full(shape, np.inf)
    best_step = np.full(shape, np.nan)
    low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
    credible = np.ones(shape, dtype=bool)
    for i in range(count):
        for order in range(min(i, HIGHEST_ORDER) + 1):
            value = values[order][i]
            if i > order:
                truncation = np.abs(value - values[order][i - 1])
            elif order > 0:
                truncation = np.abs(value - values[order - 1][i - 1])
            elif count > 1:
                ratio = abscissae[1] / abscissae[0] if trusting else 2.0
                truncation = np.abs(slopes[1] - slopes[0]) / (ratio - 1)
                # The next level lies outside of the domain: then nothing is known of it.
                truncation = np.where(np.isnan(truncation), np.abs(slopes[0]), truncation)
            else:
                truncation = np.abs(slopes[0])
            if i > 0:
                # The finer estimate may err by the same amount, by the chance of its rounding.
                truncation = np.fmax(truncation, _next_correction(values, abscissae, order, i))
            bound = errors[order][i] + truncation
            usable = np.isfinite(bound) & np.isfinite(value)
            meets = (value - bound <= high) & (value + bound >= low)
            credible &= meets | ~usable
            kept = credible & usable
            low = np.where(kept, np.maximum(low, value - bound), low)
            high = np.where(kept, np.minimum(high, value + bound), high)
            better = kept & (bound < best_bound)
            best_value = np.where(better, value, best_value)
            best_bound = np.where(better, bound, best_bound)
            best_step = np.where(better, steps[i], best_step)
    return best_value, best_bound, best_step


def _next_correction(
    values: list[dict[int, Floats]], abscissae: Floats, order: int, i: int
) -> Floats:
    """Return how much the next order of extrapolation would change an estimate.

    Unlike the difference from a finer estimate, it rests on coarser steps, where rounding is small.
    """
    if i + 1 >= len(abscissae):
        return np.full(values[order][i].shape, np.nan)
    weight = abscissae[i + 1] / abscissae[i - order]
    return np.asarray(np.abs(values[order][i + 1] - values[order][i]) / (weight - 1))
