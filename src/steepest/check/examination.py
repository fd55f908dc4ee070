"""The examination of a gradient: which comparisons are made, in which order, and what follows.

Each parameter has a plan of its own, in stages. A comparison of any parameter is made before those
of a later stage of others: so that what is known when a budget ends is as much as can be, of all
parameters.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.check.analytic import AnalyticGradient
from steepest.check.compare import EARLY_POWER, Comparer
from steepest.check.diagnosis import Evidence, diagnose
from steepest.check.directions import (
    Direction,
    Scales,
    random_direction,
    single_direction,
    without,
)
from steepest.check.evidence import arrays_read_by, lengths_of
from steepest.check.findings import (
    Findings,
    describe_choice,
    describe_excluded,
    describe_plateau,
    describe_rough,
    describe_search,
    describe_size,
    unresolved,
)
from steepest.check.localise import Search
from steepest.check.plateau import Jump
from steepest.check.raised import raise_low_precision
from steepest.check.report import ParameterCheck
from steepest.check.verdict import NOT_SMOOTH, Comparison, Verdict
from steepest.numeric.evaluate import BudgetSpentError, Function, Parameter
from steepest.numeric.noise import Noise
from steepest.numeric.precision import NATIVE
from steepest.numeric.progress import Progress

__all__ = ["Circumstances", "examine"]

Floats: TypeAlias = NDArray[np.float64]
Coordinates: TypeAlias = NDArray[np.intp]

# So few coordinates are examined one by one.
FEW = 3
# Coordinates are examined together whose contributions differ by less than this.
CONTRIBUTION_RANGE = 1e-4
CONTRIBUTION_LEVELS = 3
DISPLACEMENT = 2.0**-9
# Entries found bad are set aside so many times before the rest is given up.
ROUNDS = 3
ENOUGH_EVIDENCE = 16
CONFIRMED_EXCESS = 3.0
# A single comparison that differs by so much more than it may is a proof.
GROSS_EXCESS = 30.0
# Without a budget, so many comparisons are made of a parameter beyond those that it needs at least.
SHARPENING = 24
# Smaller groups serve as long as they are resolved better by this than the group they are of.
IMPROVEMENT = 0.7
PARTS = 8
# More entries that disagree are not looked at for ties.
MOST_TIED = 16
# When entries are looked for, agreement to this part of the error's share in the whole is enough.
TRACED_POWER = 0.1
# Numbers that a formula has in a low precision are off by a rounding or two, which is a part of
# what a gradient is allowed.
LOW_ROUNDINGS = 1 / 4
# Notes that begin alike say the same with other numbers.
NOTE_KIND = 32


class Stage(IntEnum):
    """The order in which comparisons are made, over all parameters."""

    LARGEST = 0
    """One direction through the entries that contribute most."""
    OTHERS = 1
    """One direction through each group of the others."""
    AGAIN = 2
    """Another direction through each group."""
    TRACE = 3
    """What does not agree is traced to its entries."""
    SHARPEN = 4
    """More directions, through smaller groups, where errors could still be missed."""
    EVIDENCE = 5
    """Entries that tell what the mistake is."""


@dataclass(slots=True, eq=False)
class Circumstances:
    """What the examinations of all parameters share.

    Attributes
    ----------
    function : Function
    analytic : AnalyticGradient
    confidence, tolerance : float
    seed : int
    noise, comparer, unit
        Made by `prepare`; the last is the rounding unit of what computes in a low precision.
    """

    function: Function
    analytic: AnalyticGradient
    confidence: float
    tolerance: float
    seed: int
    noise: Noise = field(init=False)
    comparer: Comparer = field(init=False)
    unit: float = field(init=False)

    def prepare(self) -> None:
        """Measure the noise of the function, and look how the gradient behaves."""
        self.noise = Noise(self.function, self.confidence)
        self.unit = 0.0
        if not self.noise.is_random:
            self.unit = LOW_ROUNDINGS * raise_low_precision(self.function)
        if self.unit > 0:
            # Of another precision.
            self.noise = Noise(self.function, self.confidence)
            self.analytic.observe_low_precision()
        self.analytic.look_for_state()
        self.analytic.perturb()
        self.comparer = Comparer(
            self.function, self.analytic, self.noise, self.tolerance, self.confidence
        )


def examine(about: Circumstances, progress: bool | None) -> list[ParameterCheck]:
    """Examine every parameter, as far as the budget goes."""
    examinations = [_Examination(about, parameter) for parameter in about.function.parameters]
    spent = ""
    with Progress(len(examinations), "gradient check", show=progress) as bar:
        try:
            _interleave(about, [each for each in examinations if each.is_open], bar)
        except BudgetSpentError as error:
            spent = str(error)
    return [each.conclude(spent) for each in examinations]


def _interleave(about: Circumstances, examinations: list[_Examination], bar: Progress) -> None:
    if not examinations:
        return
    about.prepare()
    plans = [each.plan() for each in examinations]
    # By stage; within one, each parameter in turn, but tracing one parameter after the other.
    queue: list[tuple[Stage, int, int]] = [
        (Stage.LARGEST, 0, number) for number in range(len(plans))
    ]
    turn = 0
    while queue:
        _, _, number = heapq.heappop(queue)
        stage = next(plans[number], None)
        if stage is None:
            bar.advance()
            continue
        turn += 1
        heapq.heappush(queue, (stage, 0 if stage is Stage.TRACE else turn, number))


class _Examination:
    """The examination of one parameter."""

    def __init__(self, about: Circumstances, parameter: Parameter) -> None:
        self._about = about
        self._parameter = parameter
        self._work = Findings(parameter, about.confidence)
        self._generator = np.random.default_rng([about.seed, parameter.position])
        self._search: Search | None = None
        self._others_agree = False
        self._power = EARLY_POWER
        # The least comparisons that a verdict needs have been made.
        self._is_complete = False

    @property
    def is_open(self) -> bool:
        """Whether comparisons can tell more."""
        return self._at_once() is None

    def _at_once(self) -> ParameterCheck | None:
        """Conclude on what needs no comparison."""
        parameter, work = self._parameter, self._work
        fault = self._about.analytic.faults.get(parameter.position)
        if fault is not None:
            return work.report("wrong", fault.reason, fault.diagnosis)
        if parameter.size == 0:
            return work.report("correct", "it has no entries")
        bad = np.flatnonzero(~np.isfinite(parameter.coordinates()))
        if bad.size:
            value = parameter.values[bad[0] // (2 if parameter.is_complex else 1)]
            return work.report(
                "undecided",
                f"{self._named(int(bad[0]))} is {value}: entries that are not finite have no"
                f" derivative ({bad.size} of {parameter.size} are not)",
            )
        centre = float(self._about.function.centre(NATIVE))
        if not math.isfinite(centre):
            verdict: Verdict = "kink" if math.isinf(centre) else "undecided"
            return work.report(verdict, f"the function is {centre} at x")
        return None

    # -- plan -----------------------------------------------------------------------------------

    def plan(self) -> Iterator[Stage]:
        """Make the comparisons, and say before each what it serves."""
        about, parameter, work = self._about, self._parameter, self._work
        yield Stage.LARGEST
        if parameter.position in about.analytic.faults:
            return
        self._scales = Scales(parameter)
        generator = np.random.default_rng([about.seed, parameter.position, 1])
        displacement = generator.uniform(-1, 1, parameter.size) * self._scales.by_entry
        about.noise.observe(parameter, displacement, DISPLACEMENT)
        about.noise.sample(parameter, displacement)
        about.analytic.hold_to(max(about.noise.unit(), about.unit))
        self._gradient = about.analytic.coordinates(parameter)
        bad = np.flatnonzero(~np.isfinite(self._gradient))
        if bad.size:
            for coordinate in bad[:FEW]:
                yield Stage.TRACE
                self._compare(single_direction(int(coordinate), self._scales))
            self._is_complete = True
            return

        groups = self._groups()
        # Capped first, so that entries near the edge of a domain can be moved without leaving it.
        for scales, stage in (
            (self._scales.typical, Stage.OTHERS),
            (self._scales.by_entry, Stage.AGAIN),
        ):
            for number, group in enumerate(groups):
                if number or stage is Stage.AGAIN:
                    if group.size == 1 and stage is Stage.AGAIN:
                        continue
                    yield stage
                comparison = self._compare(self._direction(group, scales))
                if stage is Stage.AGAIN or group.size == 1:
                    self._look_for_plateau(comparison)
        self._is_complete = True
        if not work.suspects and not any(c.finding == "unresolved" for c in work.all):
            for group in groups:
                yield from self._sharpen(group)
                if work.suspects:
                    break
        if work.suspects:
            yield from self._trace()

    def _groups(self) -> list[Coordinates]:
        """Part the coordinates by the size of their contribution.

        A wrong entry of 1e-8 beside entries of 1 is not seen along a direction through both.
        """
        size = self._parameter.size
        everything = np.arange(size)
        if size <= FEW:
            return [everything[place : place + 1] for place in everything]
        contribution = np.abs(self._gradient) * self._scales.by_entry
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

    def _sharpen(self, group: Coordinates) -> Iterator[Stage]:
        """Compare along more directions, until errors of a typical size are not missed."""
        work = self._work
        target = self._typical_derivative(group)
        if target == 0 or group.size <= FEW or self._about.noise.is_random:
            return
        allowed = 1 - self._about.confidence
        remaining = SHARPENING
        if self._about.function.has_budget:
            remaining = group.size
        pending = [(group, math.inf)]
        while pending and remaining > 0 and not work.suspects:
            block, before = pending.pop(0)
            block = block[work.coverage.probabilities(target)[block] > allowed]
            if not block.size:
                continue
            yield Stage.SHARPEN
            remaining -= 1
            comparison = self._compare(self._direction(block, self._scales.uniform))
            if block.size == 1:
                continue
            threshold = comparison.unseen / float(self._scales.uniform[0])
            if not math.isfinite(threshold):
                comparison = self._compare(self._direction(block, self._scales.by_entry))
                threshold = comparison.unseen / float(np.min(comparison.direction.scales))
            left = block[work.coverage.probabilities(target)[block] > allowed]
            if not left.size or threshold > target * left.size:
                # No smaller group would be resolved well enough.
                continue
            if threshold <= target / 2:
                # Each further direction makes a miss less probable by a factor.
                pending.insert(0, (left, threshold))
            elif threshold <= IMPROVEMENT * before:
                # Entries of similar contributions together: large ones hide small ones.
                order = np.argsort(np.abs(self._gradient[left]), kind="stable")
                parts = np.array_split(left[order], min(PARTS, left.size))
                pending.extend((np.sort(part), threshold) for part in parts)

    def _typical_derivative(self, group: Coordinates) -> float:
        """Return the root mean square of the gradient's entries in a group."""
        values = np.abs(self._gradient[group])
        if not values.any():
            values = np.abs(self._gradient)
        largest = float(values.max())
        return largest * float(np.sqrt(np.mean((values / largest) ** 2))) if largest else 0.0

    def _look_for_plateau(self, comparison: Comparison) -> None:
        """Look further off where neither the function nor its gradient moves at all."""
        still = comparison.numerical == 0 and comparison.analytic == 0 and comparison.size == 0
        if self._work.jump is None and still and not self._about.noise.is_random:
            self._work.jump = self._about.comparer.jump_near(self._parameter, comparison.direction)

    # -- comparisons ----------------------------------------------------------------------------

    def _direction(self, group: Coordinates, scales: Floats) -> Direction:
        if group.size == 1:
            return single_direction(int(group[0]), self._scales)
        return random_direction(group, scales, self._generator)

    def _compare(self, direction: Direction, *, raise_precision: bool = True) -> Comparison:
        comparison = self._about.comparer.compare(
            self._parameter,
            direction,
            self._reference(direction),
            raise_precision=raise_precision,
            power=self._power,
        )
        self._work.add(comparison)
        return comparison

    def _reference(self, direction: Direction) -> float:
        """Return the size of a derivative along a direction of this length, anywhere in x."""
        if self._search is not None:
            return 0.0
        finite = np.where(np.isfinite(self._gradient), self._gradient, 0.0)
        scaled = finite * self._scales.by_entry
        largest = float(np.max(np.abs(scaled), initial=0.0))
        if largest == 0:
            return 0.0
        mean_square = float(np.mean((scaled / largest) ** 2))
        return largest * math.sqrt(mean_square * direction.coordinates.size)

    # -- tracing --------------------------------------------------------------------------------

    def _trace(self) -> Iterator[Stage]:
        """Find the entries behind what does not agree."""
        work, parameter = self._work, self._parameter
        pending = [c for c in work.directions if c.finding not in ("agree", "unresolved")]
        # What showed in the working precision is found in it: the higher one may be much slower.
        raised = all(suspect.raised for suspect in pending)
        # An entry that agrees by far better than the whole is not the one that is looked for.
        shares = [c.share for c in pending if math.isfinite(c.share)]
        self._power = max(EARLY_POWER, TRACED_POWER * min(shares, default=0.0))

        def compare(coordinates: Coordinates) -> Comparison:
            direction = self._direction(coordinates, self._scales.by_entry)
            return self._compare(direction, raise_precision=raised)

        search = self._search = Search(compare, self._generator)
        blocks = {
            (int(c.direction.coordinates[0]), c.direction.coordinates.size): c.direction.coordinates
            for c in pending
        }
        for _ in range(ROUNDS):
            for suspect in pending:
                yield from _at(Stage.TRACE, self._trace_one(search, suspect))
                if search.is_full or work.disagreeing:
                    break
            found = {c.coordinate for c in work.suspects if c.coordinate is not None}
            if not found or search.is_full:
                break
            # What remains once these are set aside may still be wrong.
            pending = []
            for block in blocks.values():
                rest = without(block, found)
                if rest.size:
                    yield Stage.TRACE
                    pending.append(compare(rest))
            pending = [c for c in pending if c.finding not in ("agree", "unresolved")]
            if not pending:
                self._others_agree = True
                break
        if work.disagreeing:
            # A diagnosis from one entry would be a guess.
            examined = {c.coordinate for c in work.entries if c.coordinate is not None}
            others = without(np.arange(parameter.size), examined)
            count = min(others.size, max(0, ENOUGH_EVIDENCE - len(examined)))
            for coordinate in np.sort(self._generator.choice(others, count, replace=False)):
                yield Stage.EVIDENCE
                compare(np.array([coordinate]))

    def _trace_one(self, search: Search, suspect: Comparison) -> Iterator[None]:
        """Find the entries behind one comparison."""
        coordinates = suspect.direction.coordinates
        known = [c.coordinate for c in self._work.entries if c.coordinate is not None]
        block = without(coordinates, known)
        if not block.size:
            return
        if block.size == coordinates.size:
            yield from search.sample(block)
            if search.is_full or search.sampled >= block.size:
                return
        before = search.found
        if suspect.finding == "disagree" and suspect.look is not None:
            look = partial(self._about.comparer.look, self._parameter, suspect)
            yield from search.split(suspect, look)
        if search.found == before:
            yield from search.halve(coordinates)

    # -- conclusions ----------------------------------------------------------------------------

    def conclude(self, spent: str) -> ParameterCheck:
        """Say what the comparisons show; `spent` says which budget ended before all were made."""
        at_once = self._at_once()
        if at_once is not None:
            return at_once
        work, parameter = self._work, self._parameter
        directions = [c for c in work.directions if c.finding == "disagree"]
        sure = [c for c in directions if c.excess > CONFIRMED_EXCESS]
        if work.disagreeing:
            return self._tied() or self._wrong()
        if not np.all(np.isfinite(self._about.analytic.coordinates(parameter))):
            return self._not_finite(spent)
        if work.rough:
            reason = describe_rough(parameter, work.rough)
            return work.report("kink", reason, shown=work.rough[0])
        entries = [] if self._search is None else self._search.entries
        if entries and all(c.finding == "unresolved" for c in entries):
            return work.report("undecided", unresolved(entries[0]), shown=entries[0])
        if len(sure) > 1 or any(c.excess > GROSS_EXCESS for c in sure):
            return self._wrong()
        rough = [c for c in work.directions if c.finding in NOT_SMOOTH]
        if len(rough) > 1 or (rough and spent):
            reason = describe_rough(parameter, rough) + " (not traced to an entry)"
            return work.report("kink", reason)
        if work.suspects:
            return work.report(
                "undecided",
                f"{spent or 'no entry could be found that does not agree'}: a random direction"
                " does not agree",
                shown=max(work.suspects, key=lambda c: c.excess),
            )
        if spent and not self._suffices():
            return work.report("undecided", f"{spent} before it was decided; {self._known()}")
        return self._agreeing(spent)

    def _suffices(self) -> bool:
        """Whether what was compared before the budget ended is enough."""
        work = self._work
        if not self._is_complete or any(c.finding != "agree" for c in work.all):
            return False
        return bool(np.all(work.coverage.covered))

    def _known(self) -> str:
        """Say what an unfinished examination has shown."""
        coverage = self._work.coverage
        covered = coverage.covered
        if not covered.any():
            return "nothing is known of it"
        size = float(coverage.certain[covered].max())
        return (
            f"{np.mean(covered):.0%} of its entries were in a comparison, all agree, and an error"
            f" above {size:.1e} in one of them would have been seen"
        )

    def _agreeing(self, spent: str) -> ParameterCheck:
        """Conclude when nothing disagrees."""
        work, parameter, about = self._work, self._parameter, self._about
        open_ones = [c for c in work.all if c.finding != "agree" and not self._is_minor(c)]
        if not open_ones:
            loss = about.analytic.native_loss(parameter, about.function.working)
            if loss.is_wrong:
                return work.report("wrong", loss.description)
            if work.jump is not None and about.analytic.is_zero:
                return work.report("kink", describe_plateau(work.jump))
            # Of several with the same beginning, the one of the comparison with the widest bound.
            ordered = sorted(work.all, key=lambda c: c.resolution)
            notes = {c.note[:NOTE_KIND]: c.note for c in ordered if c.note}
            if work.jump is not None:
                # What chooses among entries: the function is smooth, and moves by others.
                notes["chooses"] = describe_choice(work.jump)
            elif not self._gradient.any() and all(c.numerical == 0 for c in work.all):
                notes["still"] = "the function does not change with it, near x"
            notes |= {each[:NOTE_KIND]: each for each in (loss.description, self._limits(spent))}
            return work.report("correct", "; ".join(filter(None, notes.values())))
        worst = max(open_ones, key=lambda c: c.resolution)
        if about.noise.is_random or about.analytic.is_random:
            what = "function" if about.noise.is_random else "gradient"
            return work.report(
                "noisy",
                f"the {what} does not repeat itself: called again at the same x it differs, by"
                f" {float(about.noise.repeatability):.1e} (standard deviation), so that an error"
                f" below {worst.resolution:.1e} would not be seen. Fix its random numbers",
                shown=worst,
            )
        reasons = [worst.note or unresolved(worst), describe_excluded(open_ones)]
        return work.report("undecided", "; ".join(filter(None, reasons)), shown=worst)

    def _is_minor(self, comparison: Comparison) -> bool:
        """Whether the entries of a comparison agreed together with others before."""
        places = comparison.direction.coordinates
        return comparison.finding == "unresolved" and any(
            c.finding == "agree" and c.direction.coordinates.size > places.size
            for c in self._work.all
        )

    def _limits(self, spent: str) -> str:
        """Say so where an error of a typical size could have been missed."""
        work = self._work
        target = self._typical_derivative(np.arange(self._parameter.size))
        certain = float(work.coverage.certain.max())
        if target == 0 or certain <= target:
            return ""
        part = float(np.mean(work.coverage.certain > target))
        ended = f" ({spent})" if spent else ""
        return (
            f"in {part:.1%} of the entries an error as large as a typical one, {target:.1e}, would"
            f" not have been seen{ended}"
        )

    def _wrong(self) -> ParameterCheck:
        """Conclude that a parameter is wrong, with what explains it."""
        work, parameter = self._work, self._parameter
        entries = work.disagreeing
        shown = max(
            entries or [c for c in work.directions if c.finding == "disagree"],
            key=lambda c: c.error,
        )
        reasons = [shown.note or describe_size(shown)]
        if self._search is not None and not shown.note:
            reasons.append(
                describe_search(
                    parameter,
                    work,
                    self._search,
                    others_agree=self._others_agree,
                    confidence=self._about.confidence,
                )
            )
        if shown.numerical == 0 and not self._about.noise.is_random:
            jump = self._jump(shown)
            reasons.append("" if jump is None else describe_plateau(jump))
        reason = "; ".join(filter(None, reasons))
        return work.report("wrong", reason, self._diagnosis(), shown=shown)

    def _tied(self) -> ParameterCheck | None:
        """Conclude that entries disagree because they are tied, if that is so of all."""
        entries = self._work.disagreeing
        if self._parameter.size == 1 or len(entries) > MOST_TIED:
            return None
        try:
            if not all(self._about.comparer.is_tied(self._parameter, c) for c in entries):
                return None
        except BudgetSpentError:
            return None
        names = ", ".join(self._named(c.coordinate) for c in entries if c.coordinate is not None)
        return self._work.report(
            "kink",
            f"the function has a kink at x: its slope by {names} is another one beside x, where"
            " other entries change, and the gradient is one of these slopes or lies between",
            shown=entries[0],
        )

    def _jump(self, comparison: Comparison) -> Jump | None:
        try:
            return self._about.comparer.jump_near(self._parameter, comparison.direction)
        except BudgetSpentError:
            return None

    def _diagnosis(self) -> str:
        known = [c for c in self._work.entries if c.finding in ("agree", "disagree")]
        if not known:
            return ""
        coordinates = [c.coordinate for c in known if c.coordinate is not None]
        moves = np.array([c.direction.moves[0] for c in known])
        function, analytic = self._about.function, self._about.analytic
        arrays = arrays_read_by(function.f)
        return diagnose(
            Evidence(
                self._parameter,
                analytic.coordinates(self._parameter),
                np.array(coordinates, dtype=np.intp),
                np.array([c.numerical for c in known]) / moves,
                np.array([c.bound for c in known]) / np.abs(moves),
                lengths_of(function.parameters, arrays),
                self._measure,
                {
                    other.name: analytic.coordinates(other)
                    for other in function.parameters
                    if other is not self._parameter and other.position not in analytic.faults
                },
                arrays,
            )
        )

    def _measure(self, coordinates: Coordinates) -> tuple[Floats, Floats]:
        """Return the numerical derivatives at some coordinates, and their bounds."""
        values = np.full(coordinates.size, np.nan)
        bounds = np.full(coordinates.size, np.inf)
        for place, coordinate in enumerate(coordinates):
            direction = single_direction(int(coordinate), self._scales)
            try:
                found = self._about.comparer.compare(self._parameter, direction, power=self._power)
            except BudgetSpentError:
                break
            values[place] = found.numerical / found.direction.moves[0]
            bounds[place] = found.bound / abs(found.direction.moves[0])
        return values, bounds

    def _not_finite(self, spent: str) -> ParameterCheck:
        """Conclude on a gradient with NaN or infinity: right only where f is singular."""
        work, parameter = self._work, self._parameter
        gradient = self._about.analytic.coordinates(parameter)
        bad = np.flatnonzero(~np.isfinite(gradient))
        where = f"{bad.size} of {gradient.size} entries"
        shown = next((c for c in work.entries if c.finding not in NOT_SMOOTH), None)
        if shown is None and work.rough:
            return work.report(
                "kink",
                f"the gradient is not finite in {where}; " + describe_rough(parameter, work.rough),
                shown=work.rough[0],
            )
        entry = self._named(int(bad[0]))
        what = f"the gradient is {gradient[bad[0]]} at {entry}, and not finite in {where}"
        if shown is None:
            return work.report("undecided", f"{what}; {spent} before f was looked at there")
        if parameter.dtype.kind in "fc" and np.all(np.isinf(gradient[bad])):
            largest = float(np.finfo(parameter.dtype).max)
            if abs(shown.numerical / shown.direction.moves[0]) > largest:
                return work.report(
                    "undecided",
                    f"{what}: the slope there is beyond the largest {parameter.dtype},"
                    f" {largest:.3g}; scale the function, or compute in a wider type",
                    shown=shown,
                )
        return work.report("wrong", f"{what}, where the function has a slope", shown=shown)

    def _named(self, coordinate: int) -> str:
        index = self._parameter.index(coordinate)
        return f"{self._parameter.name}{list(index) if index else ''}"


def _at(stage: Stage, steps: Iterator[None]) -> Iterator[Stage]:
    for _ in steps:
        yield stage
