"""The gradient under examination: called, checked for form, its own rounding measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.check.conditioning import run_with_rounding_errors
from steepest.check.directions import Direction
from steepest.check.evaluating import Evaluating
from steepest.check.raised import run_raised
from steepest.differentiate import grad
from steepest.numeric.directions import scales_by_entry, typical_scale
from steepest.numeric.evaluate import BudgetSpentError, Function, Parameter, RealArray
from steepest.numeric.noise import student_quantile
from steepest.numeric.precision import (
    DOUBLE,
    NATIVE,
    Precision,
    is_floating,
    limits,
    significand_bits,
)
from steepest.tree import Leaf, Tree, flatten, leaf_names

__all__ = ["AnalyticGradient", "Fault", "Projection"]

Floats: TypeAlias = NDArray[np.float64]

PERTURBATIONS = 5
PERTURBED_RUNS = 4
PERTURBATION_ULPS = 3
# The gradient's own slope shows over units of a half precision: one is enough.
COARSE = 1e-4
# A formula is allowed so many roundings of its result; what it loses besides is measured.
ROUNDINGS = 16.0
HEADROOM = 4.0
# Relative distances, as powers of two: far above rounding, where curvature does not show yet.
GRAIN_EXPONENTS = (-18, -24)
# Gradients called twice at the same x may differ by so many roundings.
REPEAT_ROUNDINGS = 1e3
ELSEWHERE = 0.25
# Long sums in single precision can lose as much without a mistake.
NATIVE_LOSS = 1e-2


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a gradient is wrong whatever its values are."""

    reason: str
    diagnosis: str = ""


@dataclass(frozen=True, slots=True)
class Projection:
    """The analytic derivative in a direction: value, rounding error, uncancelled size."""

    value: float
    rounding: float
    size: float
    # The part of the rounding that the format of the gradient makes unavoidable.
    inherent: float = 0.0


@dataclass(frozen=True, slots=True)
class NativeLoss:
    """What the user's own precision costs a gradient whose formula is right."""

    description: str
    is_wrong: bool


class AnalyticGradient:
    """The values of a gradient function at x, in the coordinates of `Function`.

    Parameters
    ----------
    gradient : callable
        Takes the pytree, returns one like it.
    function : Function
        What it should be the gradient of.
    confidence : float
        Probability with which its rounding error stays below what is stated.

    Attributes
    ----------
    faults : dict of int to Fault
        By the position of the parameter.
    surplus : list of str
        Names in the gradient that x does not have.
    calls : int
    is_random : bool
        Whether the gradient does not repeat itself.
    """

    def __init__(
        self, gradient: Callable[[Tree], Tree], function: Function, confidence: float
    ) -> None:
        self._gradient = gradient
        self._function = function
        self._confidence = confidence
        self.calls = 0
        self.faults: dict[int, Fault] = {}
        self.is_random = False
        # Whatever the budget: a gradient of another form is wrong without a comparison.
        self.calls += 1
        result = gradient(self._argument())
        known = {parameter.name for parameter in function.parameters}
        carried = set(leaf_names(self._argument())) - known
        self.surplus = sorted(set(_named(result)) - known - carried)
        self._native: dict[int, RealArray] = {}
        self._epsilon: dict[int, float] = {}
        for parameter in function.parameters:
            outcome = self._take(result, parameter)
            if isinstance(outcome, Fault):
                self.faults[parameter.position] = outcome
            else:
                self._native[parameter.position], self._epsilon[parameter.position] = outcome
        # What f itself rounds by, where that is coarser than its arguments.
        self._unit = 0.0
        self._others: dict[str, list[dict[int, RealArray]]] = {}
        self._raised: dict[str, dict[int, tuple[RealArray, float]]] = {}

    def coordinates(self, parameter: Parameter) -> Floats:
        """Return the gradient as the user gets it, by coordinate."""
        return self._native[parameter.position].astype(np.float64)

    @property
    def is_zero(self) -> bool:
        """Whether the function does not move at all, as far as the gradient says."""
        return not any(values.any() for values in self._native.values())

    def look_for_state(self) -> None:
        """Call again after f was evaluated elsewhere: caches of the forward pass go stale."""
        function = self._function
        elsewhere = {}
        for parameter in function.parameters:
            values = parameter.coordinates()
            step = ELSEWHERE * scales_by_entry(parameter)
            elsewhere[parameter.position] = (values + step).astype(values.dtype)
        function.value(NATIVE, elsewhere)
        again = self._taken(self._call(NATIVE, {}))
        changed = self._differing(again)
        if not changed:
            return
        # Evaluated at x once more: a stale cache is refreshed, randomness goes on.
        function.value(NATIVE, {})
        refreshed = self._taken(self._call(NATIVE, {}))
        if self._differing(refreshed):
            self.is_random = True
            self._others.setdefault(NATIVE.name, []).extend([again, refreshed])
            return
        for parameter in changed:
            self.faults[parameter.position] = Fault(
                "the gradient depends on where the function was evaluated before: called a second"
                " time at the same x, after the function was evaluated elsewhere, it differs",
                "a stale cache: the gradient uses values that another evaluation left behind",
            )

    def perturb(self) -> None:
        """Call at points a few ulp beside x: what changes there is rounding."""
        generator = np.random.default_rng(0)
        for _ in range(PERTURBATIONS):
            moved = {}
            for parameter in self._function.parameters:
                values = parameter.coordinates()
                unit = 2.0 ** (1 - significand_bits(values.dtype))
                if unit > self._epsilon.get(parameter.position, unit):
                    # Steps of a coarser argument are no rounding of a finer gradient.
                    continue
                most = PERTURBATION_ULPS if unit < COARSE else 1
                ulps = generator.integers(1, most, values.size, endpoint=True)
                signs = generator.choice([-1.0, 1.0], values.size)
                with np.errstate(all="ignore"):
                    step = np.where(values == 0, 0, np.spacing(np.abs(values)) * ulps * signs)
                moved[parameter.position] = (values + step).astype(values.dtype)
            self._also(NATIVE, moved)

    def observe_low_precision(self) -> None:
        """See what a gradient of this function loses that is computed in a low precision as it is.

        That of backpropagation does: as it is, and with rounding errors of its own.
        """
        function = self._function
        own = grad(function.f)
        self.calls += 2 + PERTURBED_RUNS
        exact = self._taken(run_raised(own, function.argument(DOUBLE, {}), DOUBLE))
        runs = [Evaluating().run(own, self._argument())]
        runs += [
            run_with_rounding_errors(own, self._argument(), seed) for seed in range(PERTURBED_RUNS)
        ]
        for each in map(self._taken, runs):
            lost: dict[int, RealArray] = {
                position: self._native[position] + (each[position] - exact[position])
                for position in self._native
                if position in exact and position in each
            }
            self._others.setdefault(NATIVE.name, []).append(lost)

    def hold_to(self, unit: float) -> None:
        """Hold the gradient to no more digits than the function has.

        A function that computes in single precision inside, whatever it is given, has a gradient
        computed so: its sums lose what is small beside the other entries.
        """
        self._unit = unit

    def probe_grain(self, precision: Precision) -> None:
        """Call at points farther off, in pairs: what is not linear between them is grain.

        Subtraction such as 1 - tanh(x)**2 keeps its error over many ulp.
        """
        generator = np.random.default_rng(1)
        parameters = self._function.parameters
        for exponent in GRAIN_EXPONENTS:
            signs = [generator.choice([-1.0, 1.0], parameter.size) for parameter in parameters]
            pair = []
            for side in (1.0, -1.0):
                moved = {}
                for parameter, sign in zip(parameters, signs, strict=True):
                    values = parameter.coordinates(precision)
                    step = np.abs(values) * 2.0**exponent * side * sign
                    moved[parameter.position] = (values + step).astype(values.dtype)
                pair.append(self._attempt(precision, moved))
            first, second = pair
            if first is None or second is None:
                continue
            bent: dict[int, RealArray] = {}
            for parameter in parameters:
                position = parameter.position
                known = self._values(parameter, precision)
                if known is not None and position in first and position in second:
                    values = known[0]
                    bent[position] = values + (first[position] - 2 * values + second[position])
            self._others.setdefault(precision.name, []).append(bent)

    def project(
        self, parameter: Parameter, direction: Direction, precision: Precision = NATIVE
    ) -> Projection | None:
        """Return the derivative along a direction, as the formula gives it in a precision.

        None when the gradient function does not compute in that precision.
        """
        position = parameter.position
        examined, part = direction.coordinates, direction.moves
        known = self._values(parameter, precision)
        if known is None:
            return None
        values, epsilon = known
        with np.errstate(all="ignore"):
            terms = values[examined].astype(np.longdouble) * part
            value = float(terms.sum())
            largest = float(np.max(np.abs(terms), initial=0.0))
            size = largest * float(np.linalg.norm(terms / largest)) if largest > 0 else 0.0
        if not math.isfinite(value):
            return Projection(math.nan, math.nan, math.nan)
        error = epsilon * (abs(value) + size)
        if self._unit > epsilon:
            typical = self._typical(parameter) * float(np.linalg.norm(part))
            error = max(error, self._unit * max(abs(value), size, typical))
        rounding = inherent = ROUNDINGS * error
        changes = [
            abs(float(np.sum((other[position][examined] - values[examined]) * part)))
            for other in self._others.get(precision.name, [])
            if position in other
        ]
        finite = [change for change in changes if math.isfinite(change)]
        rounding += self._beyond(finite)
        if self.is_random:
            # A few calls may give the same number in one entry by chance, but not in all.
            rounding += HEADROOM * self._scatter(parameter) * float(np.linalg.norm(part))
        return Projection(value, rounding, size, inherent)

    def _typical(self, parameter: Parameter) -> float:
        """Return the root mean square of the entries that are finite."""
        values = self._native[parameter.position]
        values = values[np.isfinite(values)]
        return math.hypot(*values) / math.sqrt(values.size) if values.size else 0.0

    def _beyond(self, changes: list[float]) -> float:
        """Return what a further change will not exceed, with the confidence that is asked for."""
        if not changes:
            return 0.0
        typical = math.hypot(*changes) / math.sqrt(len(changes))
        quantile = student_quantile(self._confidence, len(changes))
        return max(HEADROOM * max(changes), quantile * typical)

    def native_loss(self, parameter: Parameter, precision: Precision) -> NativeLoss:
        """Compare the gradient as the user gets it with the same formula in a higher precision."""
        try:
            raised = (
                None
                if precision is NATIVE
                else self._in_precision(precision).get(parameter.position)
            )
        except BudgetSpentError:
            raised = None
        if raised is None:
            return NativeLoss("", is_wrong=False)
        native = self._native[parameter.position]
        exact = raised[0]
        size = float(np.linalg.norm(exact))
        difference = float(np.linalg.norm(native - exact))
        spread = max(
            (
                float(np.linalg.norm(other[parameter.position] - native))
                for other in self._others.get(NATIVE.name, [])
                if parameter.position in other
            ),
            default=0.0,
        )
        epsilon = self._epsilon[parameter.position]
        if difference <= REPEAT_ROUNDINGS * epsilon * size:
            return NativeLoss("", is_wrong=False)
        relative = difference / size if size > 0 else math.inf
        # What a rounding of the function, or of one that saturates, leaves of a small gradient.
        lost = ROUNDINGS * epsilon * abs(float(self._function.centre(NATIVE)))
        lost = max(lost, float(limits(parameter.dtype).tiny)) * math.sqrt(native.size)
        explained = difference * typical_scale(parameter) <= lost
        if relative > NATIVE_LOSS and difference > HEADROOM * spread and not explained:
            return NativeLoss(
                f"in {parameter.dtype} it differs by {relative:.1e} of its size from what the same"
                f" code gives in {precision.name} precision, and rounding does not explain that",
                is_wrong=True,
            )
        return NativeLoss(
            f"the formula is right, but rounding in {parameter.dtype} costs it {relative:.1e} of"
            " its size",
            is_wrong=False,
        )

    # -- calls ----------------------------------------------------------------------------------

    def _argument(self) -> Tree:
        return self._function.argument(NATIVE, {})

    def _call(self, precision: Precision, moved: dict[int, RealArray]) -> Tree:
        self._function.watch_time()
        self.calls += 1
        return self._gradient(self._function.argument(precision, moved))

    def _attempt(
        self, precision: Precision, moved: dict[int, RealArray]
    ) -> dict[int, RealArray] | None:
        """Call at a point, or in a precision, that the user did not ask for; None when that fails.

        Raises
        ------
        BudgetSpentError
            A call that is not made for want of time says nothing of the gradient.
        """
        result = self._result(precision, moved)
        return None if result is None else self._taken(result)

    def _result(self, precision: Precision, moved: dict[int, RealArray]) -> Tree | None:
        self._function.watch_time()
        self.calls += 1
        try:
            with np.errstate(all="ignore"):
                return self._function.in_precision(
                    self._gradient, precision, self._function.argument(precision, moved)
                )
        except Exception:
            # The user's code, in any framework, with errors of its own. At x, as given, it has
            # returned: what it raises here says that it does not take this point or precision.
            return None

    def _also(self, precision: Precision, moved: dict[int, RealArray]) -> None:
        other = self._attempt(precision, moved)
        if other is not None:
            self._others.setdefault(precision.name, []).append(other)

    def _in_precision(self, precision: Precision) -> dict[int, tuple[RealArray, float]]:
        """Return the coordinates that the formula gives when x has a higher precision."""
        if precision.name not in self._raised:
            raised: dict[int, tuple[RealArray, float]] = {}
            result = self._result(precision, {})
            for parameter in self._function.parameters:
                outcome = self._take(result, parameter)
                if isinstance(outcome, Fault) or parameter.position not in self._native:
                    continue
                values, epsilon = outcome
                needed = 2.0 ** (1 - precision.bits(parameter.dtype))
                if epsilon <= needed and bool(np.all(np.isfinite(values))):
                    raised[parameter.position] = outcome
            self._raised[precision.name] = raised
        return self._raised[precision.name]

    def _values(self, parameter: Parameter, precision: Precision) -> tuple[RealArray, float] | None:
        """Return coordinates and rounding unit in a precision; None when it is not computed in."""
        if precision is NATIVE:
            return self._native[parameter.position], self._epsilon[parameter.position]
        return self._in_precision(precision).get(parameter.position)

    def _scatter(self, parameter: Parameter) -> float:
        """Return the root mean square by which repeated gradients differ, over all entries."""
        position = parameter.position
        squares = [
            float(np.mean((other[position] - self._native[position]) ** 2))
            for other in self._others.get(NATIVE.name, [])
            if position in other
        ]
        return math.sqrt(max(squares, default=0.0))

    def _taken(self, result: Tree) -> dict[int, RealArray]:
        taken = {}
        for parameter in self._function.parameters:
            outcome = self._take(result, parameter)
            if not isinstance(outcome, Fault):
                taken[parameter.position] = outcome[0]
        return taken

    def _differing(self, again: dict[int, RealArray]) -> list[Parameter]:
        """Return the parameters whose gradient is not what it was in the first call."""
        differing = []
        for parameter in self._function.parameters:
            first = self._native.get(parameter.position)
            if first is None:
                continue
            second = again.get(parameter.position)
            if second is None:
                differing.append(parameter)
                continue
            with np.errstate(all="ignore"):
                allowed = (
                    REPEAT_ROUNDINGS
                    * self._epsilon[parameter.position]
                    * np.max(np.abs(first), initial=0.0)
                )
                same = (np.abs(first - second) <= allowed) | (first == second)
                same |= np.isnan(first) & np.isnan(second)
            if not np.all(same):
                differing.append(parameter)
        return differing

    # -- form -----------------------------------------------------------------------------------

    def _take(self, result: Tree, parameter: Parameter) -> tuple[RealArray, float] | Fault:
        """Find a parameter's gradient in the result: coordinates and rounding unit, or a fault."""
        named = _named(result)
        if parameter.name not in named:
            return _missing(result, named, parameter, self._function)
        leaf = named[parameter.name]
        if leaf is None:
            return Fault(
                f"the gradient by {parameter.name} is None",
                "the gradient function returns nothing for it: is a return statement missing?",
            )
        array = np.asarray(leaf)
        if not is_floating(array.dtype) and not isinstance(leaf, int):
            return Fault(
                f"the gradient by {parameter.name} has dtype {array.dtype}, where the parameter"
                f" has {parameter.dtype}",
                "a gradient of that dtype cannot hold the derivatives"
                + (": integers truncate them" if array.dtype.kind in "iub" else ""),
            )
        if array.shape != parameter.shape:
            return _wrong_shape(array.shape, parameter)
        if array.dtype.kind == "c" and not parameter.is_complex:
            return Fault(
                f"the gradient by {parameter.name} is complex ({array.dtype}), where the parameter"
                f" is real ({parameter.dtype})",
                "take the real part",
            )
        if not is_floating(array.dtype):
            array = array.astype(np.float64)
        epsilon = 2.0 ** (1 - significand_bits(array.dtype))
        flat = np.array(array, dtype=np.promote_types(array.dtype, np.float64)).reshape(-1)
        if parameter.is_complex:
            # ∂f/∂x - i ∂f/∂y: the derivative by the imaginary part is minus the imaginary part.
            flat = np.stack([flat.real, -flat.imag], axis=1).reshape(-1)
        return flat, epsilon


def _named(tree: Tree) -> dict[str, Leaf]:
    """Return the leaves by name, so that the order of keys and list or tuple do not matter."""
    return dict(zip(leaf_names(tree), flatten(tree)[0], strict=True))


def _missing(
    result: Tree, named: dict[str, Leaf], parameter: Parameter, function: Function
) -> Fault:
    if result is None:
        return Fault(
            "the gradient function returned None",
            "is a return statement missing?",
        )
    names = [other.name for other in function.parameters]
    return Fault(
        f"the gradient has no part named {parameter.name}: it is a {type(result).__name__} of"
        f" {_listed(list(named))}, where x has {_listed(names)}",
        "the gradient must have the structure of x",
    )


def _listed(names: list[str], limit: int = 6) -> str:
    shown = ", ".join(names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _wrong_shape(shape: tuple[int, ...], parameter: Parameter) -> Fault:
    reason = (
        f"the gradient by {parameter.name} has shape {shape}, where the parameter has"
        f" {parameter.shape}"
    )
    expected = parameter.shape
    if len(expected) > 1 and shape == expected[::-1]:
        return Fault(reason, "it is transposed")
    if math.prod(shape) == math.prod(expected):
        return Fault(reason, "the entries are as many, but in another arrangement: reshape it")
    added = len(shape) - len(expected)
    axes = tuple(range(added)) + tuple(
        added + axis
        for axis, length in enumerate(expected)
        if added >= 0 and length == 1 and shape[added + axis] != 1
    )
    remaining = shape[added:] if added >= 0 else ()
    fits = len(remaining) == len(expected) and all(
        length in (other, 1) for length, other in zip(expected, remaining, strict=True)
    )
    if fits and axes:
        kept = [length for axis, length in enumerate(shape) if axis not in axes]
        keep = "" if kept == list(expected) else ", keepdims=True"
        return Fault(
            reason,
            f"the axes along which the parameter was broadcast are not summed: use"
            f" .sum(axis={axes if len(axes) > 1 else axes[0]}{keep})",
        )
    if len(shape) < len(expected) or math.prod(shape) < math.prod(expected):
        return Fault(reason, "an axis too many is summed, or the gradient relies on broadcasting")
    return Fault(reason)
