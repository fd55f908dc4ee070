"""Compare the analytic with the numerical derivative in one direction.

A few evaluations where all is well; more of them, then a higher precision, before anything but
agreement is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.check.analytic import AnalyticGradient, Projection
from steepest.check.conditioning import run_with_rounding_errors
from steepest.check.directions import Direction
from steepest.check.plateau import Jump, find_jump
from steepest.check.verdict import CERTAIN_EXCESS, Comparison, Finding, Look, judge
from steepest.numeric.directions import scales_by_entry
from steepest.numeric.evaluate import BudgetSpentError, Function, Parameter
from steepest.numeric.noise import Noise, ladder_noise, noise_by_level, student_quantile
from steepest.numeric.precision import NATIVE, Precision
from steepest.numeric.smoothness import diverges, jump, one_sided_slopes, step_height
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
from steepest.tree import Tree

__all__ = ["EARLY_POWER", "Comparer"]

Floats: TypeAlias = NDArray[np.float64]

# Agreement to this part of the gradient needs no further evaluation.
EARLY_POWER = 1e-6
# A slope that is zero is compared with the rest of its parameter, or with f.
EARLY_ZERO = 1e-8
# What small entries may be uncertain by, beside the rest of their parameter.
NEGLIGIBLE = 1e-9
NEGLIGIBLE_AT_LAST = 1e-4
NEGLIGIBLE_UNDER_NOISE = 1e-4
# Disagreement so many times beyond the errors needs no further evaluation.
GROSS_EXCESS = 1e3
# Uncertainty up to so many times the rounding inherent in the gradient's format is agreement.
INHERENT = 4.0
# A function moves when it does so by so many times its noise.
MOVING = 4.0
STRUCTURE = 1e4
STRUCTURE_OF_ALL = 30.0
FULL_MOVE = 0.1
# Noise of this part of a function's size leaves it no digits to move in.
DIGITS_LOST = 0.03
# A one-sided slope outside of both by this part of the jump is no subgradient.
OUTSIDE_JUMP = 1e-3
# Below this relative size, a discrepancy may be grain of the analytic gradient.
GRAIN_RELATIVE = 1e-4
GRAIN_ROUNDINGS = 1e3
LOST_PRECISION = "the gradient is coarsely grained: it is computed in a lower precision"
# Native rounding that leaves less than a digit is no agreement, however right the formula.
HOPELESS = 0.1
# A function that is flat up to such steps is grained; by this part of all its moves, too coarsely.
FINE_GRAIN = RATIO**-5
GRAIN_PART = 1 / 64
# A function that changes by less beside x only rounds.
GRAIN_OF_JUMPS = 1e-9
ENOUGH_LEVELS = 3
# Where ties are broken: so far from x, at so many points, with steps smaller by this factor.
BESIDE = (2.0**-14, 2.0**-20, 2.0**-26)
POINTS_BESIDE = 8
STEP_BESIDE = 2.0**-8
NOT_CURVED = 0.5
DOUBLE_BITS = 53
# Runs with rounding errors of their own, and how far beyond the noise they are ill-conditioned.
PERTURBED_RUNS = 4
ILL_CONDITIONED = 30.0
# A higher precision settles what the working one cannot, unless a comparison takes this long.
SETTLING_CALLS = 22
SETTLING_SECONDS = 5.0


class Comparer:
    """Compares derivatives of one function with one gradient.

    Parameters
    ----------
    function : Function
    gradient : AnalyticGradient
    noise : Noise
    tolerance : float
        Relative error that the user accepts.
    confidence : float
    """

    def __init__(
        self,
        function: Function,
        gradient: AnalyticGradient,
        noise: Noise,
        tolerance: float,
        confidence: float,
    ) -> None:
        self._function = function
        self._gradient = gradient
        self._noise = noise
        self._tolerance = tolerance
        self._confidence = confidence
        self._grain_probed: set[str] = set()
        # What f varies by under rounding errors, by precision; None where that cannot be told.
        self._conditioning: dict[str, float | None] = {}

    def compare(
        self,
        parameter: Parameter,
        direction: Direction,
        reference: float = 0.0,
        *,
        raise_precision: bool = True,
        power: float = EARLY_POWER,
    ) -> Comparison:
        """Compare along a direction in one parameter.

        Parameters
        ----------
        direction : Direction
            Rounded here, so that steps are exact.
        reference : float
            Size of the derivative along such a direction in the rest of the parameter: what a
            derivative of zero is measured by.
        raise_precision : bool
            Evaluate the function in a higher precision where the working one does not decide.
        power : float
            Agreement to this part of the gradient needs no further evaluation.
        """
        working = self._function.working
        direction = direction.exact(parameter, working)
        formula = working
        projection = self._gradient.project(parameter, direction, formula)
        if projection is None:
            formula = NATIVE
            projection = self._native(parameter, direction)
        higher = None
        if raise_precision:
            higher = self._function.affordable_higher(SETTLING_CALLS, SETTLING_SECONDS)
        last = higher is None
        result = self._along(
            parameter,
            direction,
            projection,
            working,
            reference,
            last=last,
            formula=formula,
            power=power,
        )
        if result.finding == "agree":
            return result
        try:
            settled = self._settled(parameter, result, reference, higher, formula)
            if settled.finding in ("agree", "unresolved"):
                return settled
            return self._well_conditioned(parameter, settled, reference)
        except BudgetSpentError:
            return result if self._is_gross(result) else replace(result, finding="unresolved")

    def look(
        self, parameter: Parameter, comparison: Comparison, part: Direction
    ) -> tuple[float, float]:
        """Compare along a part of a direction, by as few evaluations as may do.

        Returns
        -------
        difference, bound : float
            The analytic minus the numerical derivative, and a bound on the error of that. The
            differences of parts add up to that of the whole.
        """
        look = comparison.look
        assert look is not None
        step = RATIO**-look.exponent
        slopes = []
        for each in (step / RATIO, step):
            forward, backward = (
                self._function.near(
                    parameter, part.moves, side * each, look.precision, part.coordinates
                )
                for side in (1.0, -1.0)
            )
            slopes.append(float(forward - backward) / (2 * each))
        fine, coarse = slopes
        correction = (fine - coarse) / (RATIO**2 - 1)
        projection = self._gradient.project(parameter, part, look.formula)
        assert projection is not None
        bound = SAFETY * (abs(correction) + look.noise * RATIO / step + look.error)
        return projection.value - (fine + correction), bound + projection.rounding

    def jump_near(self, parameter: Parameter, direction: Direction) -> Jump | None:
        """Look for a jump of a function that does not move near x."""
        working = self._function.working

        def sample(step: float) -> float:
            moved = self._function.near(
                parameter, direction.moves, step, working, direction.coordinates
            )
            return float(moved)

        centre = float(self._function.centre(working))
        noise = max(float(self._noise.level(working)), GRAIN_OF_JUMPS * abs(centre))
        return find_jump(sample, centre, noise)

    def is_tied(self, parameter: Parameter, comparison: Comparison) -> bool:
        """Tell whether an entry's derivative is none at x alone, and differs beside x.

        Where entries are tied (a median, an argmax of equal values), a function may be smooth along
        each of them and yet not differentiable: beside x, where other entries break the tie, its
        slope is another one. A gradient among these slopes is no error.
        """
        function = self._function
        direction, working = comparison.direction, function.working
        bits = working.bits(parameter.dtype)
        if self._noise.is_random or bits < DOUBLE_BITS:
            return False
        generator = np.random.default_rng(0)
        scales = scales_by_entry(parameter)

        def slope(distance: float) -> float:
            """Return the slope where other entries have been moved by random amounts."""
            away = distance * scales * generator.uniform(-1, 1, parameter.size)
            step = distance * STEP_BESIDE
            values = []
            for side in (step, -step):
                coordinates = parameter.coordinates(working)
                coordinates += away.astype(coordinates.dtype)
                move = (side * direction.moves).astype(coordinates.dtype)
                coordinates[direction.coordinates] += move
                values.append(float(function.value(working, {parameter.position: coordinates})))
            return (values[0] - values[1]) / (2 * step)

        widest = 0.0
        for distance in BESIDE:
            slopes = [slope(distance) for _ in range(POINTS_BESIDE)]
            low, high = min(slopes), max(slopes)
            noise = float(self._noise.level(working)) / (distance * STEP_BESIDE)
            error = SAFETY * (noise + comparison.rounding) + distance * max(abs(low), abs(high))
            # Slopes of different pieces differ as much nearby; those of a curved function do not.
            if not high - low > max(NOT_CURVED * widest, 4 * error):
                return False
            widest = max(widest, high - low)
        return low - error <= comparison.analytic <= high + error

    def _settled(
        self,
        parameter: Parameter,
        result: Comparison,
        reference: float,
        higher: Precision | None,
        formula: Precision,
    ) -> Comparison:
        """Look closer where the working precision did not show agreement."""
        direction = result.direction
        if higher is not None:
            raised = self._gradient.project(parameter, direction, higher)
            if self._is_gross(result):
                # The function's slope is beyond doubt; the rounding of the gradient may not be.
                if raised is not None:
                    result = self._judged_again(result, raised)
            else:
                projection = raised or self._gradient.project(parameter, direction, formula)
                assert projection is not None
                result = self._along(
                    parameter,
                    direction,
                    projection,
                    higher,
                    reference,
                    last=True,
                    formula=formula if raised is None else higher,
                )
                result = replace(result, raised=True)
            if raised is not None and result.finding == "agree":
                return self._with_native_rounding(parameter, result)
        if result.finding == "disagree" and self._is_slight(result):
            return self._with_grain(parameter, result, formula)
        return result

    # -- one precision --------------------------------------------------------------------------

    def _along(
        self,
        parameter: Parameter,
        direction: Direction,
        projection: Projection,
        precision: Precision,
        reference: float,
        *,
        last: bool,
        formula: Precision,
        conditioning: float = 0.0,
        power: float = EARLY_POWER,
    ) -> Comparison:
        """Compare in one precision of the function.

        `conditioning` is what its values are uncertain by, where that is known otherwise.
        """

        def sample(_: int, step: float) -> NDArray[np.floating[Any]]:
            return self._function.near(
                parameter, direction.moves, step, precision, direction.coordinates
            )

        ladder = Ladder(sample, self._function.centre(precision))
        floor = np.maximum(self._noise.level(precision), conditioning)
        plan = stages(precision.bits(parameter.dtype), precision.deepest_exponent(parameter.dtype))
        magnitude = abs(float(ladder.centre))
        working = self._function.working
        result: Comparison | None = None
        settled = False
        for number, exponents in enumerate(plan):
            if number == FINEST_STAGE and settled:
                continue
            if number >= BEYOND_STAGE and self._noise.is_random:
                break
            spent = False
            try:
                ladder.extend(exponents)
            except BudgetSpentError:
                # What has been evaluated may do; the next comparison ends the examination.
                if len(ladder.exponents) < ENOUGH_LEVELS:
                    raise
                spent = True
            steps, forward, backward = ladder.steps, ladder.forward, ladder.backward
            noise = np.broadcast_to(floor, (1,))
            if (
                number >= FINE_STAGE or (spent and not self._noise.is_measured)
            ) and not conditioning:
                noise = ladder_noise(steps, forward, backward, noise, np.array([magnitude]))
            elif number < FINE_STAGE and not self._noise.is_measured and not spent:
                continue
            epsilon = max(self._noise.epsilon(precision), self._noise.unit())
            noise = noise_by_level(forward, backward, noise, epsilon)
            finding: Finding | None = self._roughness(ladder, floor, noise)
            if finding == "kink" and _moves_smoothly_beside(ladder, sample):
                # Flat near x, and no staircase: the kink lies beside x.
                noise = noise_by_level(forward, backward, np.broadcast_to(floor, (1,)), epsilon)
                finding = self._roughness(ladder, floor, noise)
            estimate = estimate_slope(steps, forward, backward, noise)
            settled = self._is_settled(ladder, floor, noise, projection, estimate)
            if finding is None:
                finding = self._judge(projection, estimate, _natural(ladder), reference, last)
            if projection.size == 0 and not forward.any() and not backward.any():
                # The function does not move at all, and the gradient says so.
                finding = "agree"
            if finding in ("disagree", "kink") and not settled:
                finding = "unresolved"
            lost = DIGITS_LOST * _natural(ladder) < float(self._noise.level(working))
            if finding != "agree" and lost and not self._noise.is_random:
                # Where rounding leaves a function no digits, its gradient has none either.
                finding = "unresolved"
            result = self._comparison(
                direction, projection, estimate, finding, ladder, noise, precision, formula
            )
            if spent:
                return result
            if finding == "agree" and self._is_certain(result, reference, magnitude, power):
                return result
            if number > 0 and self._is_gross(result):
                return result
            # Larger steps serve only estimates that noise limits.
            if number > FINEST_STAGE and not float(estimate.step[0]) * RATIO**2 >= steps[-1]:
                break
        assert result is not None
        return result

    def _is_settled(
        self,
        ladder: Ladder,
        floor: Floats,
        noise: Floats,
        projection: Projection,
        estimate: SlopeEstimate,
    ) -> bool:
        """Tell whether the finest steps are fine enough to contradict the gradient."""
        steps, forward, backward = ladder.steps, ladder.forward, ladder.backward
        if _is_grained(steps, forward, backward, float(estimate.value[0])):
            return False
        moves = np.abs(np.concatenate([forward, backward]))
        largest = float(np.max(moves[np.isfinite(moves)], initial=0.0))
        finest = float(np.fmax(np.abs(forward[0, 0]), np.abs(backward[0, 0])))
        # What varies fully on the finest step may do anything between x and there.
        if finest > MOVING * float(floor) and finest >= FULL_MOVE * largest:
            return False
        exactly = [
            bool(is_settled(steps[place:], forward[place:], backward[place:], np.zeros(1))[0])
            for place in (0, 1)
        ]
        if all(exactly):
            return True
        if not is_settled(steps, forward, backward, noise)[0]:
            return False
        # What looks like noise, but is far above the measured noise, is unresolved variation; so it
        # is when it is as good as all that the function does.
        seen = float(noise[0, 0])
        far_above = STRUCTURE if seen < FULL_MOVE * largest else STRUCTURE_OF_ALL
        if self._noise.is_measured and seen > far_above * float(floor):
            return False
        # Otherwise noise hides whether the finest slopes agree. Then the function, if it followed
        # the gradient, must move but little on the finest step, compared with all its moves.
        expected = abs(projection.value) * float(steps[0])
        return largest <= MOVING * float(floor) or expected <= largest / MOVING

    def _roughness(self, ladder: Ladder, floor: Floats, noise: Floats) -> Finding | None:
        """Name what makes the function not differentiable at x, if something does."""
        # What happens beyond the size of x says nothing of x itself.
        near = ladder.steps <= 1
        steps, forward, backward = ladder.steps[near], ladder.forward[near], ladder.backward[near]
        noise = noise[near]
        fine = slice(0, 3)
        defined = [bool(np.isfinite(side[fine]).all()) for side in (forward, backward)]
        if len(steps) >= 4 and np.any(step_height(steps, forward, backward, floor) != 0):
            return "step"
        if np.any(diverges(steps, forward, backward, noise)):
            return "singularity"
        if not any(defined):
            return "singularity"
        if not all(defined):
            return "domain edge"
        if np.any(jump(steps, forward, backward, noise) != 0):
            return "kink"
        return None

    def _judge(
        self,
        projection: Projection,
        estimate: SlopeEstimate,
        natural: float,
        reference: float,
        last: bool,
    ) -> Finding:
        # A higher precision may resolve more: be content with less only when there is none.
        negligible = NEGLIGIBLE_AT_LAST if last else NEGLIGIBLE
        if self._noise.is_random or self._gradient.is_random:
            negligible = NEGLIGIBLE_UNDER_NOISE
        return judge(
            analytic=projection.value,
            numerical=float(estimate.value[0]),
            bound=float(estimate.bound[0]),
            rounding=projection.rounding,
            size=projection.size,
            natural=natural,
            # What the gradient's format cannot hold, no check can see.
            negligible=max(reference * negligible, INHERENT * projection.inherent),
            tolerance=self._tolerance,
        )

    def _comparison(
        self,
        direction: Direction,
        projection: Projection,
        estimate: SlopeEstimate,
        finding: Finding,
        ladder: Ladder,
        noise: Floats,
        precision: Precision,
        formula: Precision,
    ) -> Comparison:
        left = right = math.nan
        note = ""
        if finding in ("kink", "domain edge"):
            near = ladder.steps <= 1
            slopes = one_sided_slopes(
                ladder.steps[near],
                ladder.forward[near, 0],
                ladder.backward[near, 0],
                noise[near, 0],
            )
            left, right = slopes.left, slopes.right
            room = slopes.error + projection.rounding + OUTSIDE_JUMP * abs(right - left)
            low, high = min(left, right) - room, max(left, right) + room
            outside = not low <= projection.value <= high and math.isfinite(projection.value)
            if finding == "kink" and outside and direction.coordinate is not None:
                # Not even a subgradient.
                finding = "disagree"
                length = direction.length
                note = (
                    "the function has a kink here, and the gradient lies outside of both slopes:"
                    f" {left / length:.6g} on the left and {right / length:.6g} on the right"
                )
        bound = float(estimate.bound[0])
        if finding == "kink":
            bound = max(bound, abs(right - left) / 2)
        numerical = float(estimate.value[0])
        scale = max(abs(projection.value), abs(numerical), projection.size)
        return Comparison(
            direction=direction,
            analytic=projection.value,
            numerical=numerical,
            bound=bound,
            rounding=projection.rounding,
            size=projection.size,
            finding=finding,
            left=left,
            right=right,
            note=note,
            accepted=self._tolerance * scale,
            look=_best_look(ladder, numerical, noise, precision, formula),
        )

    def _judged_again(self, result: Comparison, projection: Projection) -> Comparison:
        """Judge another analytic value against the same numerical one."""
        finding = judge(
            analytic=projection.value,
            numerical=result.numerical,
            bound=result.bound,
            rounding=projection.rounding,
            size=projection.size,
            natural=0.0,
            negligible=0.0,
            tolerance=self._tolerance,
        )
        return replace(
            result,
            analytic=projection.value,
            rounding=projection.rounding,
            size=projection.size,
            finding=finding,
        )

    # -- rules ----------------------------------------------------------------------------------

    def _is_certain(
        self, result: Comparison, reference: float, magnitude: float, power: float
    ) -> bool:
        """Whether agreement on few evaluations is enough."""
        scale = max(abs(result.analytic), result.size)
        if result.bound <= max(power * scale, result.rounding / 10):
            return True
        if result.analytic != 0 or result.size != 0:
            return False
        return result.numerical == 0 and result.bound <= EARLY_ZERO * max(reference, magnitude)

    def _is_gross(self, result: Comparison) -> bool:
        if result.finding != "disagree":
            return False
        return result.excess > GROSS_EXCESS and not result.note

    def _is_slight(self, result: Comparison) -> bool:
        scale = max(abs(result.analytic), abs(result.numerical), result.size)
        return abs(result.analytic - result.numerical) <= GRAIN_RELATIVE * scale

    # -- rounding inside of the function --------------------------------------------------------

    def _well_conditioned(
        self, parameter: Parameter, result: Comparison, reference: float
    ) -> Comparison:
        """Make sure that a finding does not come from what rounding may cost the function."""
        look = result.look
        if look is None or not math.isfinite(result.analytic):
            return result
        precision = look.precision
        spread = self._spread(precision)
        if spread is None:
            return result
        # Not the noise seen on fine steps: variation that they do not resolve looks like it. Nor
        # what rounding leaves where the function happens to be zero.
        level = float(self._noise.level(precision, with_sample=False))
        if not spread > ILL_CONDITIONED * max(level, self._noise.epsilon(precision) * look.natural):
            return result
        projection = self._gradient.project(parameter, result.direction, look.formula)
        assert projection is not None
        again = self._along(
            parameter,
            result.direction,
            projection,
            precision,
            reference,
            last=True,
            formula=look.formula,
            conditioning=spread,
        )
        slopes = self._perturbed_slopes(parameter, again)
        if slopes is None:
            return result
        bound = again.bound + slopes
        finding = again.finding
        if finding != "unresolved":
            finding = judge(
                analytic=again.analytic,
                numerical=again.numerical,
                bound=bound,
                rounding=again.rounding,
                size=again.size,
                natural=0.0,
                negligible=reference * NEGLIGIBLE_AT_LAST,
                tolerance=self._tolerance,
            )
        scale = max(abs(again.numerical), again.size)
        cost = slopes / scale if scale > 0 else math.inf
        note = again.note
        if finding != "disagree":
            note = (
                f"the function is ill-conditioned: rounding inside of it may move its slope by"
                f" {cost:.1e} of its size"
            )
        return replace(again, bound=bound, finding=finding, note=note)

    def _spread(self, precision: Precision) -> float | None:
        """Return how far rounding errors inside of it may move the function at x."""
        if precision.name not in self._conditioning:
            values = self._perturbed(precision, self._function.argument(precision, {}))
            centre = float(self._function.centre(precision))
            self._conditioning[precision.name] = (
                None if values is None else self._quantile(values - centre)
            )
        return self._conditioning[precision.name]

    def _perturbed_slopes(self, parameter: Parameter, result: Comparison) -> float | None:
        """Return how far rounding errors, the same on both sides of x, may move the slope."""
        look = result.look
        assert look is not None
        step = RATIO**-look.exponent
        sides = []
        for side in (step, -step):
            coordinates = parameter.coordinates(look.precision)
            places = result.direction.coordinates
            coordinates[places] += (side * result.direction.moves).astype(coordinates.dtype)
            moved = {parameter.position: coordinates}
            plain = float(self._function.value(look.precision, moved))
            values = self._perturbed(look.precision, self._function.argument(look.precision, moved))
            if values is None:
                return None
            sides.append(values - plain)
        return self._quantile((sides[0] - sides[1]) / (2 * step))

    def _perturbed(self, precision: Precision, argument: Tree) -> Floats | None:
        """Return the function's values, one for each set of rounding errors."""
        values = []
        for seed in range(PERTURBED_RUNS):
            self._function.spend(precision)
            value = run_with_rounding_errors(
                self._function.f,
                argument,
                seed,
                precision if self._function.is_raised else NATIVE,
            )
            if value is None or np.shape(value) != () or not np.isfinite(value):
                return None
            values.append(float(value))
        return np.array(values)

    def _quantile(self, changes: Floats) -> float:
        typical = math.sqrt(float(np.mean(changes**2)))
        return student_quantile(self._confidence, changes.size) * typical

    # -- rounding of the analytic gradient ------------------------------------------------------

    def _native(self, parameter: Parameter, direction: Direction) -> Projection:
        projection = self._gradient.project(parameter, direction, NATIVE)
        assert projection is not None
        return projection

    def _with_native_rounding(self, parameter: Parameter, result: Comparison) -> Comparison:
        """Accept a formula that is right in a higher precision, and say what rounding costs."""
        native = self._native(parameter, result.direction)
        loss = abs(native.value - result.analytic)
        scale = max(abs(result.analytic), result.size)
        if loss <= CERTAIN_EXCESS * (native.rounding + result.bound):
            return result
        finding: Finding = "agree" if loss <= HOPELESS * scale else "unresolved"
        lost = loss / scale if scale > 0 else math.inf
        return replace(
            result,
            finding=finding,
            note=(
                f"the formula is right, but rounding in {parameter.dtype} costs it {lost:.1e} of"
                " its size"
            ),
        )

    def _with_grain(
        self, parameter: Parameter, result: Comparison, precision: Precision
    ) -> Comparison:
        """Widen what rounding may do by the grain of the analytic gradient, and judge again."""
        if precision.name not in self._grain_probed:
            self._grain_probed.add(precision.name)
            self._gradient.probe_grain(precision)
        projection = self._gradient.project(parameter, result.direction, precision)
        assert projection is not None
        difference = abs(result.analytic - result.numerical)
        if difference > CERTAIN_EXCESS * (result.bound + projection.rounding):
            return result
        # Grain far above the rounding of f is no rounding: the gradient lost its precision.
        magnitude = abs(float(self._function.centre(NATIVE)))
        epsilon = 2.0 ** (1 - precision.bits(parameter.dtype))
        if projection.rounding > GRAIN_ROUNDINGS * epsilon * magnitude:
            return replace(result, note=LOST_PRECISION)
        scale = max(abs(result.analytic), abs(result.numerical), result.size)
        finding: Finding = (
            "agree" if result.bound + projection.rounding <= EARLY_POWER * scale else "unresolved"
        )
        return replace(
            result,
            finding=finding,
            note="the analytic gradient has a grain of about this size",
            rounding=projection.rounding,
        )


def _best_look(
    ladder: Ladder, slope: float, noise: Floats, precision: Precision, formula: Precision
) -> Look | None:
    """Find the two steps that alone come nearest to the slope."""
    exponents = ladder.exponents
    steps, forward, backward = ladder.steps, ladder.forward[:, 0], ladder.backward[:, 0]
    best: Look | None = None
    least = math.inf
    with np.errstate(all="ignore"):
        slopes = (forward - backward) / (2 * steps)
    for place, exponent in enumerate(exponents[1:], start=1):
        if exponents[place - 1] != exponent + 1:
            continue
        fine, coarse = float(slopes[place - 1]), float(slopes[place])
        error = abs(fine + (fine - coarse) / (RATIO**2 - 1) - slope)
        level = float(noise[place - 1, 0])
        total = error + level / float(steps[place - 1])
        if total < least:
            least = total
            best = Look(int(exponent), precision, formula, level, error, _natural(ladder))
    return best


def _moves_smoothly_beside(
    ladder: Ladder, sample: Callable[[int, float], NDArray[np.floating[Any]]]
) -> bool:
    """Whether a function that is flat near x moves on a finer step where it has first moved.

    One that is rounded inside does not: it is a staircase there too.
    """
    steps = ladder.steps
    for side, moved in ((1, ladder.forward[:, 0]), (-1, ladder.backward[:, 0])):
        first = int(np.argmax(moved != 0))
        if first == 0:
            continue
        for finer in (-steps[0], steps[0]):
            there = sample(0, side * float(steps[first]) + finer) - ladder.centre
            if not (np.isfinite(there) and there != moved[first]):
                return False
    return not (ladder.forward[0].any() or ladder.backward[0].any())


def _is_grained(steps: Floats, forward: Floats, backward: Floats, slope: float) -> bool:
    """Whether a function is rounded so coarsely that a slope from larger steps means nothing.

    It is flat on the finest steps, and on the first ones on which it moves, either varies fully
    already, or moves otherwise than the slope says.
    """
    with np.errstate(all="ignore"):
        moves = np.fmax(np.abs(forward), np.abs(backward))[:, 0]
        slopes = (forward - backward)[:, 0] / (2 * steps)
    moves = np.where(np.isfinite(moves), moves, 0.0)
    first = int(np.argmax(moves > 0))
    largest = float(moves[steps <= 1].max(initial=0.0))
    if moves[0] > 0 or moves[first] == 0 or float(steps[first]) > FINE_GRAIN:
        return False
    if moves[first] >= GRAIN_PART * largest:
        return True
    next_step = first + 1
    difference = abs(float(slopes[next_step]) - slope)
    allowed = max(abs(float(slopes[next_step])), abs(slope)) / 2
    return bool(difference > allowed + 2 * float(moves[first]) / float(steps[next_step]))


def _natural(ladder: Ladder) -> float:
    """Return the size of the function, and of its changes when x changes by its own size."""
    inside = ladder.steps <= 1
    moves = np.abs(np.concatenate([ladder.forward[inside], ladder.backward[inside]]))
    return max(abs(float(ladder.centre)), float(np.max(moves[np.isfinite(moves)], initial=0.0)))
