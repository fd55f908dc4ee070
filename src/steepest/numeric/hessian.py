"""Numerical Hessians, each second derivative with a bound on its error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.errors import UnsupportedError
from steepest.numeric.batches import Batches, Move, of_one_point, value_at
from steepest.numeric.directions import exact_direction, scales_by_entry
from steepest.numeric.evaluate import Function
from steepest.numeric.gradient import (
    NumericalGradient,
    error_with_rounding,
    noise_floor,
    observe_noise,
)
from steepest.numeric.noise import HEADROOM, Noise
from steepest.numeric.progress import Progress
from steepest.numeric.smoothness import curvature_diverges, jump
from steepest.numeric.stencils import RATIO, SlopeEstimate, estimate_curvature
from steepest.tree import Leaf, Tree, unflatten, with_arithmetic

__all__ = ["numerical_hessian"]

Floats: TypeAlias = NDArray[np.float64]

# The exponents k of the steps 8**-k: three that do for what is smooth, then finer and coarser ones.
STAGES = ((1, 2, 3), (4, 0), (5, 6), (-1, -2))
GOOD_RELATIVE = 1e-7
GOOD_NATURAL = 1e-11
# A kink shows on steps as fine as these.
FINE = 4
# How much the slope changes with the step, by the step, shrinks with it where f is smooth.
NON_DECAYING = 0.5


def numerical_hessian(
    f: Callable[[Tree], Any],
    x: Tree,
    *,
    batched: bool = False,
    progress: bool | None = None,
) -> NumericalGradient:
    """Differentiate a scalar function twice, with a bound on the error of each entry.

    Second differences on a ladder of steps are extrapolated like the slopes of
    `numerical_gradient`: 6 evaluations for an entry on the diagonal, 12 for one beside it and its
    mirror image, more where they are needed.

    Parameters
    ----------
    f : callable
        Takes a pytree like x and returns a real scalar.
    x : pytree
        As for `numerical_gradient`, with real leaves.
    batched, progress
        As for `numerical_gradient`.

    Returns
    -------
    NumericalGradient
        ``.value`` and ``.error`` are pytrees like x, in which each leaf is again one like x, whose
        leaves have the shape of the first leaf and then of the second, as of `steepest.hessian`.
        The error is infinite where no second derivative is seen to exist.

    Raises
    ------
    BadInputError
        When f does not return a real scalar.
    UnsupportedError
        When x is complex.
    NotDifferentiableError
        When x has no floating-point leaf.

    Examples
    --------
    >>> import numpy as np
    >>> hessian = numerical_hessian(lambda x: x[0] ** 2 * x[1], np.array([3.0, 1.0]))
    >>> np.round(hessian.value, 5).tolist()
    [[2.0, 6.0], [6.0, 0.0]]
    """
    function = Function(of_one_point(f) if batched and callable(f) else f, x)
    for parameter in function.parameters:
        if parameter.is_complex:
            raise UnsupportedError(
                f"the Hessian by {parameter.name} of dtype {parameter.dtype} is not supported",
                instead="pass the real and the imaginary part as two arrays",
            )
    value, error = _matrix(function, Batches(f, function) if batched else None, progress)
    return NumericalGradient(
        _nested(function, value, np.zeros_like(error), is_error=False),
        _nested(function, value, error, is_error=True),
        function.evaluations,
    )


def _nested(function: Function, value: Floats, error: Floats, *, is_error: bool) -> Tree:
    """Cut the matrix into a pytree of pytrees."""
    ends = np.cumsum([parameter.size for parameter in function.parameters])
    rows: list[Leaf] = list(function.leaves)
    for parameter, end in zip(function.parameters, ends, strict=True):
        columns: list[Leaf] = list(function.leaves)
        for other, other_end in zip(function.parameters, ends, strict=True):
            block = np.s_[end - parameter.size : end, other_end - other.size : other_end]
            shape = (*parameter.shape, *other.shape)
            with np.errstate(all="ignore"):
                rounded = value[block].astype(np.result_type(parameter.dtype, other.dtype))
            part = error_with_rounding(error[block], rounded) if is_error else rounded
            columns[other.position] = part.reshape(shape)
        rows[parameter.position] = with_arithmetic(unflatten(function.structure, columns))
    return with_arithmetic(unflatten(function.structure, rows))


class _SecondDifferences:
    """Second difference quotients by pairs of coordinates, remembered by pair and exponent."""

    def __init__(self, function: Function, batches: Batches | None) -> None:
        self.function = function
        self.batches = batches
        self.precision = function.working
        self.coordinates = [
            (parameter, coordinate)
            for parameter in function.parameters
            for coordinate in range(parameter.size)
        ]
        self.scales = np.concatenate(
            [
                exact_direction(parameter, scales_by_entry(parameter), self.precision)
                for parameter in function.parameters
            ]
        )
        self.values: dict[tuple[int, int, int], tuple[float, ...]] = {}

    def prepare(self, pairs: list[tuple[int, int]], exponents: tuple[int, ...]) -> None:
        """Evaluate the function around x: at two points on the diagonal, at four beside it."""
        keys = [(i, j, k) for i, j in pairs for k in exponents if (i, j, k) not in self.values]
        points = [point for key in keys for point in self._points(*key)]
        if self.batches is None:
            values = [value_at(self.function, moves, self.precision) for moves in points]
        else:
            values = self.batches.values(points, self.precision)
        centre = self.function.centre(self.precision)
        with np.errstate(all="ignore"):
            differences = iter([float(value - centre) for value in values])
        for i, j, k in keys:
            self.values[i, j, k] = tuple(next(differences) for _ in range(2 if i == j else 4))

    def _points(self, i: int, j: int, exponent: int) -> list[list[Move]]:
        step = RATIO**-exponent
        first = [Move(*self.coordinates[i], side * step * self.scales[i]) for side in (1, -1)]
        if i == j:
            return [[move] for move in first]
        second = [Move(*self.coordinates[j], side * step * self.scales[j]) for side in (1, -1)]
        return [[a, b] for a in first for b in second]

    def sides(self, pair: tuple[int, int], exponents: list[int]) -> Floats:
        """Return f - f(x) at the two or four points, of shape (exponents, points)."""
        return np.array([self.values[(*pair, k)] for k in exponents])


def _matrix(
    function: Function, batches: Batches | None, progress: bool | None
) -> tuple[Floats, Floats]:
    noise = Noise(function)
    differences = _SecondDifferences(function, batches)
    count = len(differences.coordinates)
    value, error = np.full((count, count), np.nan), np.full((count, count), np.inf)
    for parameter in function.parameters:
        if parameter.size:
            observe_noise(function, noise, parameter)
    level = float(noise_floor(function, noise, function.working))
    centre = abs(float(function.centre(function.working)))
    open_pairs = [(i, j) for i in range(count) for j in range(i, count)]
    with Progress(len(open_pairs), "numerical Hessian", show=progress) as bar:
        for stage, exponents in enumerate(STAGES):
            differences.prepare(open_pairs, exponents)
            known = sorted((k for s in STAGES[: stage + 1] for k in s), reverse=True)
            still_open = []
            for pair in open_pairs:
                if stage == 0:
                    bar.advance()
                estimate = _estimate(
                    differences.sides(pair, known), known, level, noise.epsilon(function.working)
                )
                i, j = pair
                scale = differences.scales[i] * differences.scales[j]
                bound = float(estimate.bound)
                value[i, j] = value[j, i] = float(estimate.value) / scale
                error[i, j] = error[j, i] = bound / abs(scale)
                good = bound <= max(
                    GOOD_RELATIVE * abs(float(estimate.value)), GOOD_NATURAL * centre
                )
                if not good:
                    still_open.append(pair)
            open_pairs = still_open
            if not open_pairs:
                break
    # Where the slope itself has a kink, its derivatives by other variables do not exist either.
    broken = ~np.isfinite(np.diag(error))
    error[broken, :] = error[:, broken] = np.inf
    unknown = ~np.isfinite(error) | np.isnan(value)
    value[unknown], error[unknown] = np.nan, np.inf
    return value, error


def _estimate(sides: Floats, exponents: list[int], level: float, epsilon: float) -> SlopeEstimate:
    steps = np.array([RATIO**-k for k in exponents])
    with np.errstate(all="ignore"):
        noise = level + HEADROOM * epsilon * np.abs(sides).max(axis=1)
        if sides.shape[1] == 2:
            quotients, errors = sides.sum(axis=1) / steps**2, 4 * noise / steps**2
        else:
            quotients = (sides[:, 0] - sides[:, 1] - sides[:, 2] + sides[:, 3]) / (4 * steps**2)
            errors = noise / steps**2
    errors = np.where(np.isfinite(errors), errors, np.inf)
    estimate = estimate_curvature(steps, quotients, errors)
    if max(exponents) < FINE:
        return estimate
    kinked = bool(curvature_diverges(steps, quotients, errors))
    if sides.shape[1] == 2:
        forward, backward = sides.T
        kinked |= bool(jump(steps, forward, backward, noise))
        kinked |= _slope_has_kink(steps, forward, backward, noise)
    else:
        corners = sides.reshape(-1, 2, 2)
        for axis in (1, 2):
            forward, backward = corners.mean(axis=axis).T
            kinked |= _slope_has_kink(steps, forward, backward, noise)
    bound = np.full_like(estimate.bound, np.inf) if kinked else estimate.bound
    return SlopeEstimate(estimate.value, bound, estimate.step, estimate.one_sided)


def _slope_has_kink(steps: Floats, forward: Floats, backward: Floats, noise: Floats) -> bool:
    """Tell whether the second derivative jumps at x, which second differences average away."""
    with np.errstate(all="ignore"):
        slopes = (forward - backward) / (2 * steps)
        changes = np.abs(np.diff(slopes)) / np.diff(steps)
        errors = 2 * noise[:-1] / steps[:-1] ** 2
        jumps = (changes[:-1] > NON_DECAYING * changes[1:]) & (changes[:-1] > 4 * errors[:-1])
    seen = np.flatnonzero(changes > 4 * errors)
    return bool(seen.size and seen[0] < len(jumps) and jumps[seen[0]])
