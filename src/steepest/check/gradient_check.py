"""Check a gradient against numerical derivatives, parameter by parameter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.check.analytic import AnalyticGradient
from steepest.check.compare import Comparer
from steepest.check.diagnosis import Evidence, diagnose
from steepest.check.localise import localise
from steepest.check.report import GradientCheck, ParameterCheck
from steepest.check.verdict import NOT_SMOOTH, Comparison, Verdict, overall
from steepest.differentiate import grad
from steepest.errors import BadInputError
from steepest.numeric.directions import scales_by_entry, typical_scale
from steepest.numeric.evaluate import BudgetSpentError, Function, Parameter
from steepest.numeric.noise import Noise
from steepest.numeric.progress import Progress
from steepest.tree import Tree

__all__ = ["check_gradient"]

Floats: TypeAlias = NDArray[np.float64]
Coordinates: TypeAlias = NDArray[np.intp]

# So few coordinates are examined one by one.
FEW = 3
# Coordinates are examined together whose contributions differ by less than this.
CONTRIBUTION_RANGE = 1e-4
CONTRIBUTION_LEVELS = 3
# An entry is moved by the typical scale, but by no more than its own size so many times.
SCALE_RANGE = 1e3
DISPLACEMENT = 2.0**-9
# Entries at kinks are set aside so many times before the rest is given up.
ROUNDS = 3
ENOUGH_EVIDENCE = 16
CONFIRMED_EXCESS = 3.0


def check_gradient(
    f: Callable[[Tree], Any],
    x: Tree,
    gradient: Callable[[Tree], Tree] | None = None,
    *,
    confidence: float = 0.999,
    tolerance: float | None = None,
    evaluations: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> GradientCheck:
    """Check a gradient against numerical derivatives whose error is bounded.

    There is no tolerance to choose: a gradient is wrong when it differs from the numerical one by
    more than the errors of both, and correct only when a relevant difference would have been seen.
    Large parameters are examined along random directions, whose factors are no ±1, so that errors
    cannot cancel; what disagrees is traced to its entries.

    Parameters
    ----------
    f : callable
        Takes a pytree like x and returns a real scalar. It receives fresh arrays at each call.
    x : pytree
        Where to check. Leaves that are not floating point are carried along unchanged.
    gradient : callable, optional
        Takes a pytree like x and returns the gradient, with the same names of leaves; by any means
        (steepest, by hand, PyTorch, JAX). By default, `steepest.grad` of f. For complex leaves it
        is ∂f/∂x - i ∂f/∂y.
    confidence : float
        Probability with which random noise of f stays below what is counted on.
    tolerance : float, optional
        Accepted relative error, for functions that are themselves approximate (the result of an
        iteration that stops early, an adaptive solver).
    evaluations : int, optional
        Most calls of f; what is not decided by then is "undecided".
    seconds : float, optional
        Most time, as for `evaluations`.
    seed : int
        Of the random directions; the same seed gives the same report.
    progress : bool, optional
        Show a progress bar; by default if the work takes seconds and stderr is a terminal.

    Returns
    -------
    GradientCheck
        Its ``.verdict`` is "correct", "wrong", "kink" (f is not differentiable at x), "noisy" (f
        does not repeat itself) or "undecided"; print it to read why.

    Raises
    ------
    BadInputError
        When f does not return a real scalar.
    NotDifferentiableError
        When x has no floating-point leaf.
    ShadowRunError
        When f, traced for steepest's own gradient, has another value than in plain NumPy.

    Notes
    -----
    What f or the gradient raise at x is not caught.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0.5, 1.0, 2.0])
    >>> check_gradient(lambda x: np.sum(x**3), x, lambda x: 3 * x**2).verdict
    'correct'
    >>> report = check_gradient(lambda x: np.sum(x**3), x, lambda x: 2 * x**2)
    >>> report.verdict, report.parameters["x"].diagnosis
    ('wrong', 'it is too small by a constant factor of 1.5')
    """
    if not 0 < confidence < 1:
        raise BadInputError(f"confidence must lie between 0 and 1, but is {confidence!r}")
    if tolerance is not None and not 0 <= tolerance < 1:
        raise BadInputError(f"tolerance must be a relative error below 1, but is {tolerance!r}")
    own = gradient is None
    if gradient is None:
        gradient = grad(f)
    function = Function(f, x, evaluations=evaluations, seconds=seconds)
    analytic = AnalyticGradient(gradient, function)
    examination = _Examination(function, analytic, confidence, tolerance or 0.0, seed)
    with Progress(len(function.parameters), "gradient check", show=progress) as bar:
        checks = []
        for parameter in function.parameters:
            checks.append(examination.check(parameter))
            bar.advance()
    verdict = overall([check.verdict for check in checks])
    parameters = {check.name: check for check in checks}
    for name in analytic.surplus:
        parameters[name] = ParameterCheck(
            name, (), "", "wrong", f"the gradient has a part {name}, which x does not have"
        )
        verdict = "wrong"
    if own and verdict != "noisy":
        # Were the traced and the plain function two, their gradients would not be worth comparing.
        grad(f, shadow_run=True)(x)
    return GradientCheck(verdict, parameters, function.evaluations, analytic.calls)


class _Examination:
    """The examination of one gradient."""

    def __init__(
        self,
        function: Function,
        analytic: AnalyticGradient,
        confidence: float,
        tolerance: float,
        seed: int,
    ) -> None:
        self._function = function
        self._analytic = analytic
        self._confidence = confidence
        self._tolerance = tolerance
        self._seed = seed
        self._comparer: Comparer | None = None
        self._noise: Noise | None = None
        self._lengths = _lengths(function)

    def check(self, parameter: Parameter) -> ParameterCheck:
        """Examine one parameter."""
        work = _Findings(parameter)
        fault = self._analytic.faults.get(parameter.position)
        if fault is not None:
            return work.report("wrong", fault.reason, fault.diagnosis)
        if parameter.size == 0:
            return work.report("correct", "it has no entries")
        if not np.all(np.isfinite(parameter.coordinates())):
            return work.report("undecided", "it has entries that are not finite")
        centre = float(self._function.centre(self._function.working))
        if not math.isfinite(centre):
            verdict: Verdict = "kink" if math.isinf(centre) else "undecided"
            return work.report(verdict, f"the function is {centre} at x")
        try:
            return self._examine(parameter, work)
        except BudgetSpentError as spent:
            disagreeing = [c for c in work.entries if c.finding == "disagree"]
            if disagreeing:
                return self._wrong(parameter, work)
            return work.report("undecided", f"{spent} before it was decided")

    # -- plan -----------------------------------------------------------------------------------

    def _examine(self, parameter: Parameter, work: _Findings) -> ParameterCheck:
        comparer = self._start(parameter)
        fault = self._analytic.faults.get(parameter.position)
        if fault is not None:
            return work.report("wrong", fault.reason, fault.diagnosis)
        generator = np.random.default_rng([self._seed, parameter.position])
        gradient = self._analytic.coordinates(parameter)
        if not np.all(np.isfinite(gradient)):
            return self._not_finite(parameter, work, comparer, gradient)

        for group in self._groups(parameter, gradient):
            for direction in _directions(parameter, group, generator):
                reference = _reference(parameter, gradient, direction)
                work.add(comparer.compare(parameter, direction, reference))
        suspects = [c for c in work.all if c.finding not in ("agree", "unresolved")]
        if suspects:
            return self._trace(parameter, work, comparer, generator)
        return self._conclude(parameter, work)

    def _start(self, parameter: Parameter) -> Comparer:
        """Measure noise and the state of the gradient, once; and the noise beside this x."""
        if self._noise is None or self._comparer is None:
            self._noise = Noise(self._function, self._confidence)
            self._analytic.look_for_state()
            self._analytic.perturb()
            self._comparer = Comparer(self._function, self._analytic, self._noise, self._tolerance)
        generator = np.random.default_rng([self._seed, parameter.position, 1])
        direction = generator.uniform(-1, 1, parameter.size) * scales_by_entry(parameter)
        self._noise.observe(parameter, direction, DISPLACEMENT)
        return self._comparer

    def _groups(self, parameter: Parameter, gradient: Floats) -> list[Coordinates]:
        """Part the coordinates by the size of their contribution.

        A wrong entry of 1e-8 beside entries of 1 is not seen along a direction through both.
        """
        everything = np.arange(parameter.size)
        if parameter.size <= FEW:
            return [everything[place : place + 1] for place in everything]
        contribution = np.abs(gradient) * scales_by_entry(parameter)
        limit = float(contribution.max())
        groups = []
        remaining = contribution > 0
        for level in range(CONTRIBUTION_LEVELS):
            limit *= CONTRIBUTION_RANGE
            last = level == CONTRIBUTION_LEVELS - 1
            chosen = remaining & ((contribution >= limit) | last)
            groups.append(np.flatnonzero(chosen))
            remaining &= ~chosen
        groups.append(np.flatnonzero(contribution == 0))
        return [group for group in groups if group.size]

    # -- conclusions ----------------------------------------------------------------------------

    def _conclude(self, parameter: Parameter, work: _Findings) -> ParameterCheck:
        """Conclude when nothing disagrees."""
        unresolved = [c for c in work.all if c.finding != "agree"]
        if not unresolved:
            loss = self._analytic.native_loss(parameter, self._function.working)
            if loss.is_wrong:
                return work.report("wrong", loss.description)
            notes = {c.note for c in work.all if c.note} | {loss.description}
            return work.report("correct", "; ".join(sorted(notes - {""})))
        assert self._noise is not None
        worst = max(unresolved, key=lambda c: c.resolution)
        if self._noise.is_random or self._analytic.is_random:
            what = "function" if self._noise.is_random else "gradient"
            return work.report(
                "noisy",
                f"the {what} does not repeat itself: called again at the same x it differs, by"
                f" {float(self._noise.repeatability):.1e} (standard deviation), so that an error"
                f" below {worst.resolution:.1e} would not be seen. Fix its random numbers",
                shown=worst,
            )
        return work.report("undecided", worst.note or _unresolved(worst), shown=worst)

    def _trace(
        self,
        parameter: Parameter,
        work: _Findings,
        comparer: Comparer,
        generator: np.random.Generator,
    ) -> ParameterCheck:
        """Find the entries behind what does not agree."""
        excluded = np.zeros(parameter.size, dtype=bool)

        def compare(coordinates: Coordinates) -> Comparison:
            if coordinates.size == 1:
                direction = _single(parameter, int(coordinates[0]))
            else:
                direction = _random(parameter, coordinates, scales_by_entry(parameter), generator)
            comparison = comparer.compare(parameter, direction, raise_precision=raised)
            work.add(comparison)
            return comparison

        pending = [c for c in work.directions if c.finding not in ("agree", "unresolved")]
        # What showed in the working precision is found in it: the higher one may be much slower.
        raised = all(suspect.raised for suspect in pending)
        for _ in range(ROUNDS):
            if any(c.finding == "disagree" for c in work.entries) or not pending:
                break
            for suspect in pending:
                block = np.flatnonzero((suspect.direction != 0) & ~excluded)
                known = {c.coordinate for c in work.entries}
                block = np.array([i for i in block if int(i) not in known], dtype=np.intp)
                if block.size == 0:
                    continue
                localise(block, compare, generator)
                if any(c.finding == "disagree" for c in work.entries):
                    break
            for entry in work.entries:
                if entry.finding in NOT_SMOOTH and entry.coordinate is not None:
                    excluded[entry.coordinate] = True
            # What remains once the entries at kinks are set aside may still be wrong.
            remaining = np.flatnonzero(~excluded)
            if not excluded.any() or remaining.size == 0:
                break
            rest = compare(remaining)
            pending = [rest] if rest.finding not in ("agree", "unresolved") else []

        if any(c.finding == "disagree" for c in work.entries):
            # A diagnosis from one entry would be a guess.
            examined = [c.coordinate for c in work.entries]
            others = np.setdiff1d(np.arange(parameter.size), np.array(examined, dtype=np.intp))
            count = min(others.size, max(0, ENOUGH_EVIDENCE - len(examined)))
            for coordinate in np.sort(generator.choice(others, count, replace=False)):
                compare(np.array([coordinate]))
            return self._wrong(parameter, work)
        rough = [c for c in work.entries if c.finding in NOT_SMOOTH]
        if rough:
            return work.report("kink", _describe_rough(parameter, rough), shown=rough[0])
        disagreeing = [
            c for c in work.directions if c.finding == "disagree" and c.excess > CONFIRMED_EXCESS
        ]
        if len(disagreeing) > 1:
            return self._wrong(parameter, work)
        rough = [c for c in work.directions if c.finding in NOT_SMOOTH]
        if len(rough) > 1:
            return work.report(
                "kink", _describe_rough(parameter, rough) + " (not traced to an entry)"
            )
        return work.report(
            "undecided",
            "a random direction does not agree, but no entry could be found that does not",
        )

    def _wrong(self, parameter: Parameter, work: _Findings) -> ParameterCheck:
        """Conclude that a parameter is wrong, with what explains it."""
        entries = [c for c in work.entries if c.finding == "disagree"]
        shown = max(
            entries or [c for c in work.directions if c.finding == "disagree"],
            key=lambda c: c.error,
        )
        known = [c for c in work.entries if c.finding in ("agree", "disagree")]
        diagnosis = ""
        if known:
            coordinates = [c.coordinate for c in known if c.coordinate is not None]
            lengths = np.array([c.length for c in known])
            signs = np.array([np.sign(c.direction[c.coordinate]) for c in known])
            diagnosis = diagnose(
                Evidence(
                    parameter,
                    self._analytic.coordinates(parameter),
                    np.array(coordinates, dtype=np.intp),
                    np.array([c.numerical for c in known]) / lengths * signs,
                    np.array([c.bound for c in known]) / lengths,
                    self._lengths,
                )
            )
        reason = shown.note
        if not reason:
            scale = max(abs(shown.analytic), abs(shown.numerical), shown.size)
            relative = abs(shown.analytic - shown.numerical) / scale
            reason = f"it differs from the numerical derivative by {relative:.1e} of its size"
            if relative < 1e-4:
                reason += (
                    f"; it agrees to {math.floor(-math.log10(relative))} digits: if the function"
                    f" is itself approximate, pass tolerance={_round_up(relative):g}"
                )
            if len(known) > 1:
                reason += f"; {len(entries)} of {len(known)} entries examined are wrong"
        return work.report("wrong", reason, diagnosis, shown=shown)

    def _not_finite(
        self, parameter: Parameter, work: _Findings, comparer: Comparer, gradient: Floats
    ) -> ParameterCheck:
        """Conclude on a gradient with NaN or infinity: right only where f is singular."""
        bad = np.flatnonzero(~np.isfinite(gradient))
        for coordinate in bad[:FEW]:
            work.add(comparer.compare(parameter, _single(parameter, int(coordinate))))
        rough = [c for c in work.entries if c.finding in NOT_SMOOTH]
        shown = next((c for c in work.entries if c.finding not in NOT_SMOOTH), None)
        where = f"{bad.size} of {gradient.size} entries"
        if shown is None:
            return work.report(
                "kink",
                f"the gradient is not finite in {where}; " + _describe_rough(parameter, rough),
                shown=rough[0],
            )
        index = parameter.index(int(bad[0]))
        return work.report(
            "wrong",
            f"the gradient is {gradient[bad[0]]} at {index}, and not finite in {where},"
            " where the function has a slope",
            shown=shown,
        )


class _Findings:
    """The comparisons made for one parameter."""

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter
        self.all: list[Comparison] = []

    def add(self, comparison: Comparison) -> None:
        self.all.append(comparison)

    @property
    def entries(self) -> list[Comparison]:
        return [c for c in self.all if c.coordinate is not None]

    @property
    def directions(self) -> list[Comparison]:
        return (
            self.all
            if self._parameter.size == 1
            else [c for c in self.all if c.coordinate is None] or self.all
        )

    def report(
        self,
        verdict: Verdict,
        reason: str = "",
        diagnosis: str = "",
        *,
        shown: Comparison | None = None,
    ) -> ParameterCheck:
        parameter = self._parameter
        if shown is None and self.all:
            shown = max(self.all, key=lambda c: c.excess)
        entries = {c.coordinate for c in self.entries}
        common: dict[str, Any] = {
            "name": parameter.name,
            "shape": parameter.shape,
            "dtype": str(parameter.dtype),
            "verdict": verdict,
            "reason": reason,
            "diagnosis": diagnosis,
            "entries": len(entries),
            "directions": sum(c.coordinate is None for c in self.all),
            "resolution": self._resolution(),
        }
        if shown is None:
            return ParameterCheck(**common)
        coordinate = shown.coordinate
        sign = 1.0 if coordinate is None else float(np.sign(shown.direction[coordinate]))
        return ParameterCheck(
            **common,
            error=shown.error,
            bound=shown.resolution,
            worst_index=None if coordinate is None else parameter.index(coordinate),
            analytic=sign * shown.analytic / shown.length,
            numerical=sign * shown.numerical / shown.length,
        )

    def _resolution(self) -> float:
        """Return the least error that would have been seen in whichever coordinate it is."""
        if not self.all:
            return math.inf
        best = np.full(self._parameter.size, np.inf)
        for c in self.all:
            with np.errstate(all="ignore"):
                seen = c.resolution * c.length / np.abs(c.direction)
            best = np.fmin(best, np.where(c.direction != 0, seen, np.inf))
        return float(best.max())


# -- directions -------------------------------------------------------------------------------


def _single(parameter: Parameter, coordinate: int) -> Floats:
    direction = np.zeros(parameter.size)
    direction[coordinate] = scales_by_entry(parameter)[coordinate]
    return direction


def _random(
    parameter: Parameter, coordinates: Coordinates, scales: Floats, generator: np.random.Generator
) -> Floats:
    """Move some coordinates by random amounts, none of them small, none of them equal."""
    direction = np.zeros(parameter.size)
    signs = generator.choice([-1.0, 1.0], coordinates.size)
    direction[coordinates] = (
        scales[coordinates] * signs * generator.uniform(0.5, 1.5, coordinates.size)
    )
    return direction


def _directions(
    parameter: Parameter, group: Coordinates, generator: np.random.Generator
) -> list[Floats]:
    """Two directions: all coordinates by the same scale, and each by its own."""
    if group.size == 1:
        return [_single(parameter, int(group[0]))]
    by_entry = scales_by_entry(parameter)
    # Capped, so that entries near the edge of a domain can be moved without leaving it.
    typical = np.minimum(typical_scale(parameter), SCALE_RANGE * by_entry)
    return [_random(parameter, group, scales, generator) for scales in (typical, by_entry)]


def _reference(parameter: Parameter, gradient: Floats, direction: Floats) -> float:
    """Return the size of a derivative along a direction of this length, anywhere in x."""
    scaled = gradient * scales_by_entry(parameter)
    largest = float(np.max(np.abs(scaled), initial=0.0))
    if largest == 0:
        return 0.0
    mean_square = float(np.mean((scaled / largest) ** 2))
    return largest * math.sqrt(mean_square * np.count_nonzero(direction))


# -- words ------------------------------------------------------------------------------------


def _lengths(function: Function) -> dict[int, str]:
    """Lengths in the problem that a wrong factor may come from."""
    lengths: dict[int, str] = {}
    for parameter in function.parameters:
        for axis, length in enumerate(parameter.shape):
            lengths.setdefault(length, f"the length of axis {axis} of {parameter.name}")
        lengths.setdefault(parameter.values.size, f"the size of {parameter.name}")
    return lengths


def _round_up(relative: float) -> float:
    return float(10.0 ** math.ceil(math.log10(relative)))


def _unresolved(comparison: Comparison) -> str:
    if not math.isfinite(comparison.bound):
        return "no numerical derivative with a bound on its error could be found"
    return (
        f"an error below {comparison.resolution:.1e} would not be seen: the function is too noisy"
        " or too rough there"
    )


def _describe_rough(parameter: Parameter, rough: list[Comparison]) -> str:
    first = rough[0]
    where = "at x"
    if first.coordinate is not None:
        index = parameter.index(first.coordinate)
        where = f"at {parameter.name}{list(index) if index else ''}"
        if len(rough) > 1:
            where += f" and {len(rough) - 1} more"
    length = first.length
    if first.finding == "kink":
        return (
            f"the function has a kink {where}: its slope is {first.left / length:.6g} on the left"
            f" and {first.right / length:.6g} on the right; the gradient says"
            f" {first.analytic / length:.6g}"
        )
    if first.finding == "step":
        return f"the function itself jumps {where}"
    if first.finding == "singularity":
        return f"the function has a singularity {where}: its slope grows without limit"
    slope = first.right if math.isfinite(first.right) else first.left
    return (
        f"the function ends {where}: it is defined on one side only, with slope"
        f" {slope / length:.6g}; the gradient says {first.analytic / length:.6g}"
    )
