"""Numerical gradients and Jacobians, each derivative with a bound on its error."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from steepest.errors import BadInputError, UnsupportedError
from steepest.numeric.directions import exact_direction, scales_by_entry, typical_scale
from steepest.numeric.evaluate import Function, Parameter
from steepest.numeric.noise import Noise, ladder_noise, noise_by_level
from steepest.numeric.precision import Precision, limits
from steepest.numeric.progress import Progress
from steepest.numeric.smoothness import diverges, jump, step_height
from steepest.numeric.stencils import (
    BEYOND_STAGE,
    FINE_STAGE,
    FINEST_STAGE,
    RATIO,
    SAFETY,
    Ladder,
    SlopeEstimate,
    estimate_slope,
    is_settled,
    stages,
)
from steepest.tree import Leaf, Tree, unflatten, with_arithmetic

__all__ = ["Method", "NumericalGradient", "numerical_gradient", "numerical_jacobian"]

Floats: TypeAlias = NDArray[np.float64]
Method: TypeAlias = Literal["central", "extrapolated", "complex_step", "forward"]

# A derivative known to so many digits is not worth more evaluations …
GOOD_RELATIVE = 1e-9
# … nor one whose effect, for a change of x by its own size, is lost in the rounding of f.
GOOD_NATURAL = 1e-13
# A higher precision is called upon when double leaves a derivative less certain than this.
POOR_RELATIVE = 1e-5
POOR_NATURAL = 1e-16
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
        Calls of the function.
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
    method : {"extrapolated", "central", "forward", "complex_step"}
        ``"extrapolated"`` evaluates central differences on a ladder of steps and extrapolates them
        (Richardson); 6 evaluations an entry where f is smooth and of moderate noise, more where
        they are needed. ``"central"`` (4 an entry) and ``"forward"`` (2 an entry) use one step,
        and another to estimate the error. ``"complex_step"`` (1 an entry) [1]_ is exact to
        rounding, but only for a function that is analytic and accepts complex arrays; it is
        verified against central differences, because it is silently wrong through ``abs``,
        ``max`` and ``conj``.
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
    """
    if method not in get_args(Method):
        raise BadInputError(
            f"there is no method {method!r}",
            instead="use one of " + ", ".join(repr(name) for name in get_args(Method)),
        )
    function = Function(f, x)
    columns = _differentiate(function, method, progress)
    values: list[Leaf] = list(function.leaves)
    errors: list[Leaf] = list(function.leaves)
    for column in columns:
        parameter = column.parameter
        values[parameter.position] = parameter.gradient_leaf(column.value)
        errors[parameter.position] = _error_leaf(column)
    return NumericalGradient(
        with_arithmetic(unflatten(function.structure, values)),
        with_arithmetic(unflatten(function.structure, errors)),
        function.evaluations,
    )


def numerical_jacobian(
    f: Callable[[Tree], Any],
    x: Tree,
    method: Literal["central", "extrapolated", "forward"] = "extrapolated",
    *,
    progress: bool | None = None,
) -> NumericalGradient:
    """Differentiate an array-valued function numerically, with a bound on each error.

    Parameters
    ----------
    f : callable
        Takes a pytree like x and returns a real array, always of the same shape.
    x : pytree
        As for `numerical_gradient`, with real leaves.
    method, progress
        As for `numerical_gradient`.

    Returns
    -------
    NumericalGradient
        Each leaf of ``.value`` and ``.error`` has shape ``f(x).shape + leaf.shape``.

    Raises
    ------
    BadInputError
        When f does not return a real array.
    UnsupportedError
        When x is complex.
    NotDifferentiableError
        When x has no floating-point leaf.

    Examples
    --------
    >>> import numpy as np
    >>> jacobian = numerical_jacobian(lambda x: x**2, np.array([1.0, 2.0]))
    >>> np.round(jacobian.value, 6).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    if method not in ("central", "extrapolated", "forward"):
        raise BadInputError(
            f"there is no method {method!r} for a Jacobian",
            instead="use 'central', 'extrapolated' or 'forward'",
        )
    function = Function(f, x, output="array")
    for parameter in function.parameters:
        if parameter.is_complex:
            raise UnsupportedError(
                f"the Jacobian by {parameter.name} of dtype {parameter.dtype} is not supported",
                instead="pass the real and the imaginary part as two arrays",
            )
    values: list[Leaf] = list(function.leaves)
    errors: list[Leaf] = list(function.leaves)
    for column in _differentiate(function, method, progress):
        parameter = column.parameter
        shape = (*column.value.shape[1:], *parameter.shape)
        value, error = (
            np.moveaxis(table, 0, -1).reshape(shape) for table in (column.value, column.error)
        )
        values[parameter.position] = value.astype(parameter.dtype)
        errors[parameter.position] = error
    return NumericalGradient(
        with_arithmetic(unflatten(function.structure, values)),
        with_arithmetic(unflatten(function.structure, errors)),
        function.evaluations,
    )


def _error_leaf(column: _Columns) -> Leaf:
    parameter = column.parameter
    error = column.error
    if parameter.is_complex:
        error = np.hypot(error[0::2], error[1::2])
    # The gradient is returned in the dtype of x: that rounding is part of its error.
    value = np.abs(parameter.gradient_leaf(column.value)).astype(np.float64).reshape(-1)
    with np.errstate(all="ignore"):
        error = error + float(limits(parameter.dtype).eps) * value
    # An error that no bound exists for stays infinite even where the value is NaN.
    error = np.where(np.isnan(error), np.inf, error)
    return float(error[0]) if parameter.form == "python number" else error.reshape(parameter.shape)


def _differentiate(function: Function, method: Method, progress: bool | None) -> list[_Columns]:
    noise = Noise(function)
    coordinates = sum(parameter.size for parameter in function.parameters)
    with Progress(coordinates, "numerical gradient", show=progress) as bar:
        if method == "complex_step":
            return [
                _complex_step(function, noise, parameter, bar) for parameter in function.parameters
            ]
        return [
            _by_differences(function, noise, parameter, method, bar)
            for parameter in function.parameters
        ]


# -- differences ------------------------------------------------------------------------------


def _by_differences(
    function: Function, noise: Noise, parameter: Parameter, method: Method, bar: Progress
) -> _Columns:
    """Differentiate by one parameter, moving one coordinate at a time."""
    steps = exact_direction(parameter, scales_by_entry(parameter), function.working)
    output = function.centre(function.working).shape
    if parameter.size == 0:
        return _Columns(np.zeros((0, *output)), np.zeros((0, *output)), parameter)
    _observe(function, noise, parameter)
    precision = function.working
    estimate = _ladder_estimate(function, noise, parameter, steps, method, precision, bar)
    column = steps.reshape(-1, *([1] * len(output)))
    with np.errstate(all="ignore"):
        value, error = estimate.value / column, estimate.bound / column
        poor = ~(error <= POOR_RELATIVE * np.abs(value)) & ~(
            error * column <= POOR_NATURAL * np.abs(function.centre(precision))
        )
    rows = np.flatnonzero(poor.reshape(len(steps), -1).any(axis=1))
    higher = function.higher
    if method == "extrapolated" and rows.size and higher is not None:
        better = _ladder_estimate(
            function, noise, parameter, steps[rows], method, higher, None, rows
        )
        with np.errstate(all="ignore"):
            finer_value, finer_error = better.value / column[rows], better.bound / column[rows]
            improved = (finer_error < error[rows]) | np.isnan(finer_error)
        value[rows] = np.where(improved, finer_value, value[rows])
        error[rows] = np.where(improved, finer_error, error[rows])
    unknown = ~np.isfinite(error)
    return _Columns(np.where(unknown, np.nan, value), np.where(unknown, np.inf, error), parameter)


def _observe(function: Function, noise: Noise, parameter: Parameter) -> None:
    """Let the noise be measured at a point beside x, where no value is exact by chance."""
    generator = np.random.default_rng(parameter.position)
    direction = typical_scale(parameter) * generator.uniform(-1, 1, parameter.size)
    scales = np.minimum(np.abs(direction), scales_by_entry(parameter))
    noise.observe(parameter, np.copysign(scales, direction), DISPLACEMENT)


def _ladder_estimate(
    function: Function,
    noise: Noise,
    parameter: Parameter,
    scales: Floats,
    method: Method,
    precision: Precision,
    bar: Progress | None,
    coordinates: NDArray[np.intp] | None = None,
) -> SlopeEstimate:
    """Estimate the derivatives by some coordinates, in units of their scales."""
    if coordinates is None:
        coordinates = np.arange(len(scales))

    def sample(row: int, step: float) -> NDArray[np.floating[Any]]:
        direction = np.zeros(parameter.size)
        direction[coordinates[row]] = scales[row]
        return function.near(parameter, direction, step, precision)

    def advance(_: int) -> None:
        if bar is not None:
            bar.advance()

    centre = function.centre(precision)
    ladder = Ladder(sample, centre, len(scales))
    floor = noise.level(precision)
    bits = precision.bits(parameter.dtype)
    plan = stages(bits, precision.deepest_exponent(parameter.dtype))
    if method != "extrapolated":
        return _single_step(ladder, floor, method, bits, advance)

    # The result is rounded to the dtype of x: to know more digits than it holds is of no use.
    relative = max(GOOD_RELATIVE, float(limits(parameter.dtype).eps) / 8)
    shape = (len(scales), *centre.shape)
    nothing = np.full(shape, np.nan)
    result = SlopeEstimate(
        nothing, np.full(shape, np.inf), nothing.copy(), np.zeros(shape, dtype=bool)
    )
    for number, exponents in enumerate(plan):
        if number == FINEST_STAGE and _is_settled(ladder, floor):
            continue
        ladder.extend(exponents, advance if number == 0 else None)
        estimate, suspicious = _with_bound(
            ladder, floor, noise.epsilon(precision), fine=number >= FINE_STAGE
        )
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
        ladder = ladder.select(open_rows)
    return result


def _is_settled(ladder: Ladder, floor: Floats) -> bool:
    noise = np.broadcast_to(floor, ladder.forward.shape[1:])
    return bool(np.all(is_settled(ladder.steps, ladder.forward, ladder.backward, noise)))


def _with_bound(
    ladder: Ladder, floor: Floats, epsilon: float, *, fine: bool
) -> tuple[SlopeEstimate, NDArray[np.bool_]]:
    """Estimate from a ladder, with kinks and singularities in the bound.

    Also tells which estimates deserve a look at finer steps.
    """
    steps, forward, backward = ladder.steps, ladder.forward, ladder.backward
    noise = np.broadcast_to(floor, forward.shape[1:])
    if fine:
        magnitude = np.abs(ladder.centre).astype(np.float64)
        noise = ladder_noise(
            steps, forward, backward, noise, np.broadcast_to(magnitude, noise.shape)
        )
    noise = noise_by_level(forward, backward, noise, epsilon)
    estimate = estimate_slope(steps, forward, backward, noise)
    jumps = np.abs(jump(steps, forward, backward, noise))
    singular = diverges(steps, forward, backward, noise)
    if fine:
        singular |= step_height(steps, forward, backward, floor) != 0
    if fine:
        singular |= ~is_settled(steps, forward, backward, noise) & np.isfinite(
            forward[0] - backward[0]
        )
    bound = np.where(singular, np.inf, np.maximum(estimate.bound, jumps / 2))
    suspicious = (jumps > 0) | singular | estimate.one_sided
    return SlopeEstimate(estimate.value, bound, estimate.step, estimate.one_sided), suspicious


def _single_step(
    ladder: Ladder,
    noise: Floats,
    method: Method,
    bits: int,
    advance: Callable[[int], None],
) -> SlopeEstimate:
    """Plain central or forward differences: one step, and a coarser one to estimate the error."""
    order = 2 if method == "central" else 1
    # Balances truncation, step**order, with rounding, 2**-bits / step.
    exponent = max(1, round(bits / (3 * (order + 1))))
    exponents = [exponent, exponent - 1]
    steps = np.array([RATIO**-k for k in exponents]).reshape(-1, *([1] * (ladder.centre.ndim + 1)))
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
        np.full(bound.shape, method == "forward"),
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
    scales = scales_by_entry(parameter)
    values = np.empty(parameter.size)
    for coordinate in range(parameter.size):
        values[coordinate] = function.imaginary_slope(parameter, coordinate, COMPLEX_STEP)
        bar.advance()
    error = 4 * float(limits(function.working.real_part(parameter.dtype)).eps) * np.abs(values)
    if parameter.size == 0:
        return _Columns(values, error, parameter)
    generator = np.random.default_rng(parameter.position)
    signs = generator.choice([-1.0, 1.0], parameter.size)
    direction = exact_direction(
        parameter, scales * signs * generator.uniform(0.5, 1.5, parameter.size), function.working
    )
    _observe(function, noise, parameter)

    def sample(_: int, step: float) -> NDArray[np.floating[Any]]:
        return function.near(parameter, direction, step, function.working)

    ladder = Ladder(sample, function.centre(function.working))
    plan = stages(
        function.working.bits(parameter.dtype),
        function.working.deepest_exponent(parameter.dtype),
    )
    ladder.extend([*plan.first, *plan.neighbours, *plan.fine])
    central, _ = _with_bound(
        ladder, noise.level(function.working), noise.epsilon(function.working), fine=True
    )
    slope = math.fsum(values * direction)
    bound = float(central.bound[0]) + 8 * float(limits(parameter.dtype).eps) * math.fsum(
        np.abs(values * direction)
    )
    # A kink has a wide bound but is no less wrong for a method that needs an analytic function.
    steps, forward, backward = ladder.steps, ladder.forward, ladder.backward
    kinked = bool(jump(steps, forward, backward, noise.level(function.working))[0] != 0)
    if kinked or not abs(slope - float(central.value[0])) <= bound:
        raise UnsupportedError(
            f"the complex step is wrong for this function: in a random direction of"
            f" {parameter.name} its slope is {slope:.6g}, but central differences give"
            f" {float(central.value[0]):.6g} ± {float(central.bound[0]):.1g}. The function is not"
            " analytic in its argument (abs, max, conj, comparison or astype do that)",
            instead="use method='extrapolated'",
        )
    return _Columns(values, error, parameter)
