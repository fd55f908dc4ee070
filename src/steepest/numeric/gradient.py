"""Numerical gradients and Jacobians, each derivative with a bound on its error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from steepest.errors import BadInputError, UnsupportedError
from steepest.numeric.batches import Batches, Move, of_one_point, value_at
from steepest.numeric.directions import exact_direction, scales_by_entry, typical_scale
from steepest.numeric.evaluate import Function, Parameter
from steepest.numeric.noise import HEADROOM, Noise, ladder_noise, noise_by_level
from steepest.numeric.precision import Precision, limits
from steepest.numeric.progress import Progress
from steepest.numeric.smoothness import diverges, jump, step_height
from steepest.numeric.staircase import reads_single_precision, stair_heights
from steepest.numeric.stencils import (
    BEYOND_STAGE,
    FINE_STAGE,
    FINEST_STAGE,
    RATIO,
    REFINING_STEPS,
    SAFETY,
    Ladder,
    SlopeEstimate,
    estimate_slope,
    is_settled,
    refined_slope,
    refining_exponents,
    stages,
    step_of,
)
from steepest.tree import Leaf, Tree, unflatten, with_arithmetic

__all__ = [
    "Method",
    "NumericalGradient",
    "error_with_rounding",
    "numerical_gradient",
    "numerical_jacobian",
]

Floats: TypeAlias = NDArray[np.float64]
Method: TypeAlias = Literal["central", "extrapolated", "complex_step", "forward", "backward"]

# A derivative known to so many digits is not worth more evaluations …
GOOD_RELATIVE = 1e-9
# … nor one whose effect, for a change of x by its own size, is lost in the rounding of f.
GOOD_NATURAL = 1e-13
# One known to so many belongs to a function that varies slowly; larger steps, where rounding is
# less, are tried unless it is known to so many already.
PROMISING = 1e-4
FINE_RELATIVE = 1e-13
# A higher precision is called upon when double leaves a derivative less certain than this.
POOR_RELATIVE = 1e-5
POOR_NATURAL = 1e-16
# Values of f that hold less than this part of what it is say nothing of how it varies.
UNRESOLVED = 0.01
# Steps up to this, of the size of x, may be lost where x is rounded to single precision.
SINGLE_GRAIN = 2.0**-20
COMPLEX_STEP = 1e-30
DISPLACEMENT = 2.0**-9


@dataclass(frozen=True)
class NumericalGradient:
    """A numerical gradient and what is known of its error.

    Attributes
    ----------
    value : pytree
        Like x; leaves that are not floating point are carried along unchanged.
    error : pytree
        Like x, real: a bound on the error of each entry. Infinite where the function has no
        derivative or is not defined; at a kink at least half the jump of the slope.
    evaluations : int
        Points at which the function was evaluated.
    """

    value: Tree
    error: Tree
    evaluations: int


@dataclass
class _Columns:
    """Derivatives by every coordinate of one parameter, of shape (coordinates, *output)."""

    value: Floats
    error: Floats
    parameter: Parameter = field(repr=False)


def numerical_gradient(
    f: Callable[[Tree], Any],
    x: Tree,
    method: Method = "extrapolated",
    *,
    batched: bool = False,
    progress: bool | None = None,
) -> NumericalGradient:
    """Differentiate a scalar function numerically, with a bound on the error of each entry.

    Parameters
    ----------
    f : callable
        Takes a pytree like x and returns a real scalar. It receives fresh arrays at each call.
    x : pytree
        An array of any shape, a float, or nested containers of them, of float16 to longdouble or
        complex dtype. Never modified.
    method : {"extrapolated", "central", "forward", "backward", "complex_step"}
        ``"extrapolated"`` evaluates central differences on a ladder of steps and extrapolates them
        (Richardson); where f is smooth, 6 evaluations an entry and another 8 on larger steps, on
        which rounding is less; more where they are needed. ``"central"`` (4 an entry),
        ``"forward"`` and ``"backward"`` (2 an entry) use one step, and another to estimate the
        error. ``"complex_step"`` (2 an entry, of which one in extended precision) [1]_ is exact to
        rounding, but only for a function that is analytic and accepts complex arrays; it is
        verified against central differences, because it is silently wrong through ``abs``, ``max``
        and ``conj``.
    batched : bool
        Whether f takes many points at once: each floating leaf with a new first axis of length k,
        the others as they are, and returns k results. The points of a stage of the ladder are then
        evaluated in one call, or in several if they would take more than 32 MiB.
    progress : bool, optional
        Show a progress bar; by default if the work takes seconds and stderr is a terminal.

    Returns
    -------
    NumericalGradient
        With ``.value``, ``.error`` and ``.evaluations``. For complex x it is ∂f/∂x - i ∂f/∂y.

    Raises
    ------
    BadInputError
        When f does not return a real scalar, or the method does not exist.
    UnsupportedError
        When the complex step contradicts central differences, or x is complex already.
    NotDifferentiableError
        When x has no floating-point leaf.

    Notes
    -----
    The error of ``"extrapolated"`` lies within its bound in at least 99.9 % of the entries of the
    random functions on which the bound is tested, compositions of smooth functions in float16 to
    longdouble at random points. No function of which finitely many values are known has a bound
    that is certain: what varies between the points evaluated is not seen.

    References
    ----------
    .. [1] W. Squire and G. Trapp, "Using complex variables to estimate derivatives of real
       functions", SIAM Review 40 (1998).

    Examples
    --------
    >>> import numpy as np
    >>> result = numerical_gradient(lambda x: np.sum(x**3), np.array([1.0, 2.0]))
    >>> np.round(result.value, 6).tolist()
    [3.0, 12.0]
    >>> bool(np.all(abs(result.value - [3, 12]) <= result.error))
    True

    Many points in one call:

    >>> result = numerical_gradient(
    ...     lambda x: np.sum(x**3, axis=-1), np.array([1.0, 2.0]), batched=True
    ... )
    >>> np.round(result.value, 6).tolist()
    [3.0, 12.0]
    """
    if method not in get_args(Method):
        raise BadInputError(
            f"there is no method {method!r}",
            instead="use one of " + ", ".join(repr(name) for name in get_args(Method)),
        )
    function = Function(of_one_point(f) if batched and callable(f) else f, x)
    batches = Batches(f, function) if batched else None
    columns = _differentiate(function, method, progress, batches)
    values: list[Leaf] = list(function.leaves)
    errors: list[Leaf] = list(function.leaves)
    for column in columns:
        parameter = column.parameter
        value = values[parameter.position] = parameter.gradient_leaf(column.value)
        error = column.error
        if parameter.is_complex:
            error = np.hypot(error[0::2], error[1::2])
        error = error_with_rounding(error, np.asarray(value).reshape(-1))
        errors[parameter.position] = (
            float(error[0]) if parameter.form == "python number" else error.reshape(parameter.shape)
        )
    return NumericalGradient(
        with_arithmetic(unflatten(function.structure, values)),
        with_arithmetic(unflatten(function.structure, errors)),
        function.evaluations,
    )


def numerical_jacobian(
    f: Callable[[Tree], Any],
    x: Tree,
    method: Method = "extrapolated",
    *,
    batched: bool = False,
    progress: bool | None = None,
) -> NumericalGradient:
    """Differentiate an array-valued function numerically, with a bound on each error.

    Parameters
    ----------
    f : callable
        Takes a pytree like x and returns a real or complex array, always of the same shape.
    x : pytree
        As for `numerical_gradient`.
    method, batched, progress
        As for `numerical_gradient`. A batched f returns an array of shape (k, ...).

    Returns
    -------
    NumericalGradient
        Each leaf of ``.value`` and ``.error`` has shape ``f(x).shape + leaf.shape``. For real x
        it is ∂f/∂x, complex if f is. For complex x = u + iv and real f it is ∂f/∂u - i ∂f/∂v,
        as in `numerical_gradient`; for complex f it is the complex derivative, ∂f/∂u = -i ∂f/∂v,
        of which the Cauchy-Riemann equations are verified.

    Raises
    ------
    BadInputError
        When f does not return an array of numbers, or the method does not exist.
    UnsupportedError
        When f is complex and not holomorphic in a complex x; when the complex step contradicts
        central differences, or x or f is complex already.
    NotDifferentiableError
        When x has no floating-point leaf.

    Examples
    --------
    >>> import numpy as np
    >>> jacobian = numerical_jacobian(lambda x: x**2, np.array([1.0, 2.0]))
    >>> np.round(jacobian.value, 6).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    >>> complex(np.round(numerical_jacobian(lambda z: z**3, 1 + 1j).value, 6))
    6j
    """
    if method not in get_args(Method):
        raise BadInputError(
            f"there is no method {method!r}",
            instead="use one of " + ", ".join(repr(name) for name in get_args(Method)),
        )
    outputs = _RealOutputs(f)
    real = outputs if callable(f) else f
    function = Function(of_one_point(real) if batched else real, x, output="array")
    batches = Batches(real, function) if batched else None
    if outputs.is_complex and method == "complex_step":
        raise UnsupportedError(
            "the complex step needs a real function, but this one returned complex numbers",
            instead="use method='extrapolated'",
        )
    values: list[Leaf] = list(function.leaves)
    errors: list[Leaf] = list(function.leaves)
    for column in _differentiate(function, method, progress, batches):
        parameter = column.parameter
        value, error = (np.moveaxis(table, 0, -1) for table in (column.value, column.error))
        dtype = parameter.dtype
        if outputs.is_complex:
            value, error = value[..., 0, :] + 1j * value[..., 1, :], _modulus(error, -2)
            dtype = np.result_type(dtype, np.complex64)
        if parameter.is_complex and outputs.is_complex:
            value, error = _holomorphic(value, error, parameter)
        elif parameter.is_complex:
            value = value[..., 0::2] - 1j * value[..., 1::2]
            error = np.hypot(error[..., 0::2], error[..., 1::2])
        with np.errstate(all="ignore"):
            value = value.reshape((*value.shape[:-1], *parameter.shape)).astype(dtype)
        values[parameter.position] = value
        errors[parameter.position] = error_with_rounding(error.reshape(value.shape), value)
    return NumericalGradient(
        with_arithmetic(unflatten(function.structure, values)),
        with_arithmetic(unflatten(function.structure, errors)),
        function.evaluations,
    )


class _RealOutputs:
    """A function whose complex results are seen as pairs of real numbers, on a new last axis."""

    def __init__(self, f: Callable[[Tree], Any]) -> None:
        self._f = f
        self._first: bool | None = None

    @property
    def is_complex(self) -> bool:
        """Whether the first result was complex."""
        return bool(self._first)

    def __call__(self, x: Tree) -> Any:
        raw = np.asarray(self._f(x))
        if self._first is None:
            self._first = raw.dtype.kind == "c"
        return np.stack([raw.real, raw.imag], axis=-1) if self._first else raw


def _modulus(error: Floats, axis: int) -> Floats:
    first, second = np.moveaxis(error, axis, 0)
    modulus: Floats = np.hypot(first, second)
    return modulus


def _holomorphic(
    value: NDArray[Any], error: Floats, parameter: Parameter
) -> tuple[NDArray[Any], Floats]:
    """Return the complex derivative from those by real and imaginary part, if they agree."""
    by_real, by_imaginary = value[..., 0::2], -1j * value[..., 1::2]
    real_error, imaginary_error = error[..., 0::2], error[..., 1::2]
    with np.errstate(all="ignore"):
        differ = np.abs(by_real - by_imaginary) > 2 * (real_error + imaginary_error)
    if differ.any():
        first = tuple(np.argwhere(differ)[0])
        raise UnsupportedError(
            f"the function is complex and not holomorphic in {parameter.name}: its derivative along"
            f" the real axis is {by_real[first]:.6g}, along the imaginary axis"
            f" {by_imaginary[first]:.6g}, and a complex derivative does not exist",
            instead="pass the real and the imaginary part as two arrays",
        )
    better = imaginary_error < real_error
    return np.where(better, by_imaginary, by_real), np.where(better, imaginary_error, real_error)


def error_with_rounding(error: Floats, rounded: NDArray[Any]) -> Floats:
    """Add to a bound what rounding to the dtype of the result may change, and double precision.

    Where no bound exists the error stays infinite, even where the value is NaN.
    """
    known = limits(rounded.dtype)
    unit = float(known.eps) + 4 * float(np.finfo(np.float64).eps)
    with np.errstate(all="ignore"):
        size = np.abs(rounded.astype(np.result_type(rounded.dtype, np.float64))).astype(np.float64)
        total = error + unit * size
        if rounded.dtype.itemsize < 8 or rounded.dtype == np.complex64:
            total = total + float(known.smallest_subnormal)
    return np.asarray(np.where(np.isnan(total), np.inf, total))


def _differentiate(
    function: Function, method: Method, progress: bool | None, batches: Batches | None
) -> list[_Columns]:
    noise = Noise(function)
    coordinates = sum(parameter.size for parameter in function.parameters)
    with Progress(coordinates, "numerical gradient", show=progress) as bar:
        if method == "complex_step":
            return [
                _complex_step(function, noise, parameter, bar) for parameter in function.parameters
            ]
        differences = _Differences(function, noise, method, bar, batches)
        return [differences.by(parameter) for parameter in function.parameters]


# -- differences ------------------------------------------------------------------------------


class _Samples:
    """Function values beside x, of some coordinates of a parameter moved one at a time.

    Calling it with a row and a step gives f at x + step * scale, in that row's coordinate.
    """

    def __init__(
        self,
        function: Function,
        parameter: Parameter,
        coordinates: NDArray[np.intp],
        scales: Floats,
        precision: Precision,
        batches: Batches | None,
    ) -> None:
        self._function = function
        self._parameter = parameter
        self._coordinates = coordinates
        self._scales = scales
        self._precision = precision
        self._batches = batches
        self._ready: dict[tuple[int, float], NDArray[np.floating[Any]]] = {}

    def prepare(self, rows: NDArray[np.intp], steps: list[float]) -> None:
        """Evaluate what will be asked for, in few calls, if the function takes batches."""
        if self._batches is None:
            return
        keys = [(int(row), step) for row in rows for step in steps]
        results = self._batches.values([self._moves(*key) for key in keys], self._precision)
        self._ready.update(zip(keys, results, strict=True))

    def __call__(self, row: int, step: float) -> NDArray[np.floating[Any]]:
        if (row, step) in self._ready:
            return self._ready.pop((row, step))
        return value_at(self._function, self._moves(row, step), self._precision)

    def _moves(self, row: int, step: float) -> list[Move]:
        distance = step * float(self._scales[row])
        return [Move(self._parameter, int(self._coordinates[row]), distance)]


class _Differences:
    """Derivatives by differences, of one parameter after the other."""

    def __init__(
        self,
        function: Function,
        noise: Noise,
        method: Method,
        bar: Progress,
        batches: Batches | None,
    ) -> None:
        self.function = function
        self.noise = noise
        self.method = method
        self.bar = bar
        self.batches = batches

    @cached_property
    def reads_single_precision(self) -> bool:
        return reads_single_precision(self.function)

    def by(self, parameter: Parameter) -> _Columns:
        """Differentiate by one parameter, moving one coordinate at a time."""
        function, noise = self.function, self.noise
        steps = exact_direction(parameter, scales_by_entry(parameter), function.working)
        if self.method == "backward":
            steps = -steps
        output = function.centre(function.working).shape
        if parameter.size == 0:
            return _Columns(np.zeros((0, *output)), np.zeros((0, *output)), parameter)
        observe_noise(function, noise, parameter)
        precision = function.working
        every = np.arange(parameter.size)
        estimate, unresolved = self._estimate(parameter, every, steps, precision, self.bar)
        column = steps.reshape(-1, *([1] * len(output)))
        size = np.abs(column)
        with np.errstate(all="ignore"):
            value, error = estimate.value / column, estimate.bound / size
            poor = ~(error <= POOR_RELATIVE * np.abs(value)) & ~(
                error * size <= POOR_NATURAL * np.abs(function.centre(precision))
            )
        rows = np.flatnonzero(poor.reshape(len(steps), -1).any(axis=1))
        higher = function.higher
        if self.method == "extrapolated" and rows.size and higher is not None:
            better, _ = self._estimate(parameter, rows, steps[rows], higher, None)
            with np.errstate(all="ignore"):
                finer_value, finer_error = better.value / column[rows], better.bound / size[rows]
                improved = (finer_error < error[rows]) | np.isnan(finer_error)
            # Noise as large as the function itself is no measure of the noise in that precision.
            improved &= ~unresolved[rows]
            value[rows] = np.where(improved, finer_value, value[rows])
            error[rows] = np.where(improved, finer_error, error[rows])
        unknown = ~np.isfinite(error)
        return _Columns(
            np.where(unknown, np.nan, value), np.where(unknown, np.inf, error), parameter
        )

    def _estimate(
        self,
        parameter: Parameter,
        coordinates: NDArray[np.intp],
        scales: Floats,
        precision: Precision,
        bar: Progress | None,
    ) -> tuple[SlopeEstimate, NDArray[np.bool_]]:
        """Estimate the derivatives by some coordinates, in units of their scales.

        Also tells where the function varies too fast for any step.
        """
        function, noise = self.function, self.noise
        sample = _Samples(function, parameter, coordinates, scales, precision, self.batches)

        def advance(_: int) -> None:
            if bar is not None:
                bar.advance()

        centre = function.centre(precision)
        ladder = Ladder(sample, centre, len(scales))
        shape = (len(scales), *centre.shape)
        floor = np.broadcast_to(noise_floor(function, noise, precision), shape).copy()
        bits = precision.bits(parameter.dtype)
        plan = stages(bits, precision.deepest_exponent(parameter.dtype))
        if self.method != "extrapolated":
            estimate = _single_step(ladder, sample, floor, self.method, bits, advance)
            return estimate, np.zeros(shape, dtype=bool)

        # The result is rounded to the dtype of x: more digits than it holds are of no use.
        resolved = float(limits(parameter.dtype).eps) / 8
        relative = max(GOOD_RELATIVE, resolved)
        unit = 2.0 ** (1 - bits)
        epsilon = max(noise.epsilon(precision), function.result_epsilon)
        nothing = np.full(shape, np.nan)
        result = SlopeEstimate(
            nothing, np.full(shape, np.inf), nothing.copy(), np.zeros(shape, dtype=bool)
        )
        stairs, unresolved = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        refined: _Refined | None = None
        for number, exponents in enumerate(plan):
            if number == FINEST_STAGE and _is_settled(ladder, floor[ladder.rows]):
                continue
            new = [k for k in exponents if k not in ladder.exponents]
            sample.prepare(ladder.rows, [side * step_of(k) for k in new for side in (1, -1)])
            ladder.extend(exponents, advance if number == 0 else None)
            if number >= FINE_STAGE:
                heights, widths = stair_heights(ladder, sample)
                floor[ladder.rows] = np.maximum(floor[ladder.rows], heights)
                if heights.any():
                    grain = SINGLE_GRAIN if self.reads_single_precision else 0.0
                    stairs[ladder.rows] |= widths > grain
            level = _ladder_level(ladder, floor[ladder.rows], unit, fine=number >= FINE_STAGE)
            estimate, suspicious = _with_bound(
                ladder, level, floor[ladder.rows], epsilon, fine=number >= FINE_STAGE
            )
            if number == 0 and noise.is_measured and not noise.is_random:
                refined = self._refined(
                    ladder, sample, estimate, level, epsilon, max(FINE_RELATIVE, resolved)
                )
            if refined is not None:
                estimate = _better(estimate, refined, level, suspicious, ladder.rows)
            for target, source in (
                (result.value, estimate.value),
                (result.bound, estimate.bound),
                (result.step, estimate.step),
                (result.one_sided, estimate.one_sided),
            ):
                target[ladder.rows] = source
            with np.errstate(all="ignore"):
                good = (estimate.bound <= relative * np.abs(estimate.value)) | (
                    estimate.bound <= GOOD_NATURAL * np.abs(centre.astype(np.float64))
                )
                # A function that does not move at all does not depend on this variable.
                still = ~ladder.forward.any(axis=0) & ~ladder.backward.any(axis=0)
            if number < FINE_STAGE:
                # A noise that nothing has measured shows on the fine steps alone.
                good = (good | still) & ~suspicious & noise.is_measured
            if number > FINEST_STAGE:
                # Larger steps serve only estimates that noise limits.
                good |= ~(estimate.step * RATIO**2 >= ladder.steps[-1])
                good |= noise.is_random and number + 1 >= BEYOND_STAGE
            open_rows = np.flatnonzero(~good.reshape(len(ladder.rows), -1).all(axis=1))
            if open_rows.size == 0:
                break
            if not noise.is_random:
                unresolved[ladder.rows] = _is_unresolved(ladder, level)
            ladder = ladder.select(open_rows)
        # Whether stairs are rounding or the function itself, whose slope is zero, nobody knows.
        with np.errstate(all="ignore"):
            result.bound[stairs] = np.maximum(result.bound[stairs], np.abs(result.value[stairs]))
        result.bound[unresolved] = np.inf
        return result, unresolved

    def _refined(
        self,
        ladder: Ladder,
        sample: _Samples,
        estimate: SlopeEstimate,
        level: Floats,
        epsilon: float,
        relative: float,
    ) -> _Refined:
        """Estimate again on steps as large as a smooth function permits, where rounding is less.

        Only where the derivative is not known to `relative` of itself already.
        """
        noise = noise_by_level(ladder.forward, ladder.backward, level, epsilon)
        largest = refining_exponents(
            ladder.steps, ladder.forward, ladder.backward, noise, estimate.value
        )
        with np.errstate(all="ignore"):
            slow = estimate.bound <= PROMISING * np.abs(estimate.value)
            rough = estimate.bound > relative * np.abs(estimate.value)
        each = (len(ladder.rows), -1)
        chosen = slow.reshape(each).all(axis=1) & rough.reshape(each).any(axis=1)
        exponents = np.median(largest.reshape(each), axis=1).astype(np.intp)
        result = _Refined(
            np.full(slow.shape, np.nan), np.full(slow.shape, np.inf), np.zeros(slow.shape), level
        )
        for exponent in np.unique(exponents[chosen]):
            places = np.flatnonzero(chosen & (exponents == exponent))
            # Only these steps: what else is known of the rows decides nothing here.
            finer = Ladder(sample, ladder.centre, 0)
            finer.rows = ladder.rows[places]
            new = [(halvings - exponent) / 3 for halvings in range(REFINING_STEPS)]
            sample.prepare(finer.rows, [side * step_of(k) for k in new for side in (1, -1)])
            finer.extend(new)
            noise = noise_by_level(finer.forward, finer.backward, level[places], epsilon)
            result.value[places], result.bound[places] = refined_slope(
                finer.steps, finer.forward, finer.backward, noise
            )
            result.step[places] = step_of(new[0])
        return result


@dataclass
class _Refined:
    """Estimates on steps close together, of all rows; and the noise that they were made with."""

    value: Floats
    bound: Floats
    step: Floats
    level: Floats


def _better(
    estimate: SlopeEstimate,
    refined: _Refined,
    level: Floats,
    suspicious: NDArray[np.bool_],
    rows: NDArray[np.intp],
) -> SlopeEstimate:
    """Take what is refined where it is better, and the ladder has shown nothing against it."""
    with np.errstate(all="ignore"):
        bound = refined.bound[rows] * np.maximum(1, level / refined.level[rows])
        apart = np.abs(refined.value[rows] - estimate.value)
        better = (bound < estimate.bound) & (apart <= bound + estimate.bound) & ~suspicious
    return SlopeEstimate(
        np.where(better, refined.value[rows], estimate.value),
        np.where(better, bound, estimate.bound),
        np.where(better, refined.step[rows], estimate.step),
        estimate.one_sided,
    )


def observe_noise(function: Function, noise: Noise, parameter: Parameter) -> None:
    """Let the noise be measured at a point beside x, where no value is exact by chance."""
    generator = np.random.default_rng(parameter.position)
    direction = typical_scale(parameter) * generator.uniform(-1, 1, parameter.size)
    scales = np.minimum(np.abs(direction), scales_by_entry(parameter))
    noise.observe(parameter, np.copysign(scales, direction), DISPLACEMENT)


def noise_floor(function: Function, noise: Noise, precision: Precision) -> Floats:
    """Return the noise of one value, as far as it is known before any difference is."""
    centre = np.abs(function.centre(precision)).astype(np.float64)
    level = np.fmax(noise.level(precision), function.result_epsilon * centre)
    # One rounding is the least; where nobody has measured, there may be several.
    return np.maximum(level if noise.is_measured else HEADROOM * level, function.result_quantum)


def _is_unresolved(ladder: Ladder, noise: Floats) -> NDArray[np.bool_]:
    """Tell which rows may vary between neighbouring numbers: noise is a good part of f itself.

    Then the noise may be the variation of f from one number to the next, and no step is too fine.
    """
    near = ladder.steps <= 1 / RATIO
    with np.errstate(all="ignore"):
        moves = np.fmax(np.abs(ladder.forward[near]), np.abs(ladder.backward[near]))
        moves = np.where(np.isfinite(moves), moves, 0.0).max(axis=0, initial=0.0)
        size = np.maximum(np.abs(ladder.centre).astype(np.float64), moves)
        unresolved = (noise > UNRESOLVED * size) & (noise > 10 * UNRESOLVED * moves) & (moves > 0)
    return np.asarray(unresolved)


def _is_settled(ladder: Ladder, floor: Floats) -> bool:
    return bool(np.all(is_settled(ladder.steps, ladder.forward, ladder.backward, floor)))


def _ladder_level(ladder: Ladder, floor: Floats, unit: float, *, fine: bool) -> Floats:
    """Return the noise of one value, with what the fine steps of a ladder show of it."""
    steps, forward, backward = ladder.steps, ladder.forward, ladder.backward
    noise = np.broadcast_to(floor, forward.shape[1:])
    if not fine:
        return noise
    magnitude = np.broadcast_to(np.abs(ladder.centre).astype(np.float64), noise.shape)
    return ladder_noise(steps, forward, backward, noise, magnitude, unit)


def _with_bound(
    ladder: Ladder, level: Floats, floor: Floats, epsilon: float, *, fine: bool
) -> tuple[SlopeEstimate, NDArray[np.bool_]]:
    """Estimate from a ladder, with kinks and singularities in the bound.

    Also tells which estimates deserve a look at finer steps.
    """
    steps, forward, backward = ladder.steps, ladder.forward, ladder.backward
    noise = noise_by_level(forward, backward, level, epsilon)
    estimate = estimate_slope(steps, forward, backward, noise)
    jumps = np.abs(jump(steps, forward, backward, noise))
    singular = diverges(steps, forward, backward, noise)
    if fine:
        singular |= step_height(steps, forward, backward, floor) != 0
    if fine:
        singular |= ~is_settled(steps, forward, backward, noise) & np.isfinite(
            forward[0] - backward[0]
        )
    singular |= _has_holes(forward) | _has_holes(backward)
    bound = np.where(singular, np.inf, np.maximum(estimate.bound, jumps / 2))
    suspicious = (jumps > 0) | singular | estimate.one_sided
    return SlopeEstimate(estimate.value, bound, estimate.step, estimate.one_sided), suspicious


def _has_holes(values: Floats) -> NDArray[np.bool_]:
    """Tell where f is not defined on a finer step than one on which it is: x is on no domain."""
    defined = np.isfinite(values)
    return np.asarray((~defined[:-1] & np.logical_or.accumulate(defined[::-1])[::-1][1:]).any(0))


def _single_step(
    ladder: Ladder,
    sample: _Samples,
    noise: Floats,
    method: Method,
    bits: int,
    advance: Callable[[int], None],
) -> SlopeEstimate:
    """Plain central or one-sided differences: one step, and a coarser one to estimate the error."""
    order = 2 if method == "central" else 1
    # Balances truncation, step**order, with rounding, 2**-bits / step.
    exponent = max(1, round(bits / (3 * (order + 1))))
    exponents = [exponent, exponent - 1]
    steps = np.array([RATIO**-k for k in exponents]).reshape(-1, *([1] * (ladder.centre.ndim + 1)))
    sides = (1, -1) if method == "central" else (1,)
    sample.prepare(ladder.rows, [side * RATIO**-k for k in exponents for side in sides])
    if method == "central":
        ladder.extend(exponents, advance)
        slopes = (ladder.forward - ladder.backward) / (2 * steps)
        rounding = noise / steps[0]
    else:
        ladder.extend(exponents, advance, both_sides=False)
        slopes = ladder.forward / steps
        rounding = 2 * noise / steps[0]
    with np.errstate(all="ignore"):
        truncation = np.abs(slopes[0] - slopes[1]) / (RATIO**order - 1)
        bound = SAFETY * (rounding + truncation)
    return SlopeEstimate(
        slopes[0],
        np.where(np.isfinite(bound), bound, np.inf),
        np.broadcast_to(steps[0], bound.shape),
        np.full(bound.shape, method != "central"),
    )


# -- complex step -----------------------------------------------------------------------------


def _complex_step(
    function: Function, noise: Noise, parameter: Parameter, bar: Progress
) -> _Columns:
    """Differentiate by one parameter with imaginary steps, verified in one random direction."""
    if parameter.is_complex:
        raise UnsupportedError(
            f"the complex step needs real variables, but {parameter.name} has dtype"
            f" {parameter.dtype}",
            instead="use method='extrapolated'",
        )
    working = function.working
    values = _imaginary_slopes(function, parameter, working)
    bar.advance(parameter.size)
    if parameter.size == 0:
        return _Columns(values, values, parameter)
    observe_noise(function, noise, parameter)
    generator = np.random.default_rng(parameter.position)
    signs = generator.choice([-1.0, 1.0], parameter.size)
    size = scales_by_entry(parameter) * generator.uniform(0.5, 1.5, parameter.size)
    direction = exact_direction(parameter, signs * size, working)
    slope = _along(values, direction)
    higher = function.higher
    if higher is None:
        # Nothing but the slope in another direction tells how much rounding there is.
        again = function.imaginary_slope(parameter, direction, COMPLEX_STEP, working)
        lost = np.abs(slope - again) / _along(np.abs(values), np.abs(direction))
        error = HEADROOM**2 * np.nan_to_num(lost) * np.abs(values)
    else:
        finer = _imaginary_slopes(function, parameter, higher)
        error, values = np.abs(values - finer), finer
    error = error + 4 * float(limits(working.real_part(parameter.dtype)).eps) * np.abs(values)
    central, kinked = _central_slope(function, noise, parameter, direction)
    rounding = 8 * float(limits(parameter.dtype).eps) * _along(np.abs(values), np.abs(direction))
    # A kink has a wide bound but is no less wrong for a method that needs an analytic function.
    wrong = kinked | ~(np.abs(slope - central.value[0]) <= central.bound[0] + rounding)
    if wrong.any():
        first = tuple(np.argwhere(wrong)[0])
        raise UnsupportedError(
            f"the complex step is wrong for this function: in a random direction of"
            f" {parameter.name} its slope is {slope[first]:.6g}, but central differences give"
            f" {central.value[0][first]:.6g} ± {central.bound[0][first]:.1g}. The function is not"
            " analytic in its argument (abs, max, conj, comparison or astype do that)",
            instead="use method='extrapolated'",
        )
    return _Columns(values, error, parameter)


def _imaginary_slopes(function: Function, parameter: Parameter, precision: Precision) -> Floats:
    values = np.zeros((parameter.size, *function.centre(precision).shape))
    for coordinate in range(parameter.size):
        direction = np.zeros(parameter.size)
        direction[coordinate] = 1.0
        values[coordinate] = function.imaginary_slope(parameter, direction, COMPLEX_STEP, precision)
    return values


def _along(derivatives: Floats, direction: Floats) -> Floats:
    return np.asarray(np.tensordot(direction, derivatives, axes=1))


def _central_slope(
    function: Function, noise: Noise, parameter: Parameter, direction: Floats
) -> tuple[SlopeEstimate, NDArray[np.bool_]]:
    """Return the slope along a direction by central differences, and where it has a kink."""
    working = function.working

    def sample(_: int, step: float) -> NDArray[np.floating[Any]]:
        return function.near(parameter, direction, step, working)

    ladder = Ladder(sample, function.centre(working))
    plan = stages(working.bits(parameter.dtype), working.deepest_exponent(parameter.dtype))
    ladder.extend([*plan.first, *plan.neighbours, *plan.fine])
    floor, epsilon = noise.level(working), noise.epsilon(working)
    unit = 2.0 ** (1 - working.bits(parameter.dtype))
    level = _ladder_level(ladder, floor, unit, fine=True)
    central, _ = _with_bound(ladder, level, floor, epsilon, fine=True)
    kinked = jump(ladder.steps, ladder.forward, ladder.backward, floor)[0] != 0
    return central, np.asarray(kinked)
