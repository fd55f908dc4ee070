"""The comparisons made for one parameter, and what a report says of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from steepest.check.coverage import Coverage
from steepest.check.localise import Search, proportion_between
from steepest.check.plateau import Jump
from steepest.check.report import ParameterCheck
from steepest.check.verdict import NOT_SMOOTH, Comparison, Verdict
from steepest.numeric.evaluate import Parameter

__all__ = [
    "Findings",
    "describe_choice",
    "describe_excluded",
    "describe_plateau",
    "describe_rough",
    "describe_search",
    "describe_size",
    "unresolved",
]

# So many entries are named.
NAMED = 8


class Findings:
    """The comparisons made for one parameter.

    Attributes
    ----------
    all : list of Comparison
    coverage : Coverage
        What they could have seen.
    jump : Jump or None
        A jump beside x of a function that does not move at x.
    """

    def __init__(self, parameter: Parameter, confidence: float) -> None:
        self._parameter = parameter
        self._confidence = confidence
        self.all: list[Comparison] = []
        self.coverage = Coverage(parameter.size)
        self.jump: Jump | None = None

    def add(self, comparison: Comparison) -> None:
        """Keep a comparison."""
        self.all.append(comparison)
        self.coverage.add(comparison.direction, comparison.unseen)

    @property
    def entries(self) -> list[Comparison]:
        """The comparisons of single coordinates."""
        return [c for c in self.all if c.coordinate is not None]

    @property
    def directions(self) -> list[Comparison]:
        """The comparisons of several coordinates, or of the only one."""
        if self._parameter.size == 1:
            return self.all
        return [c for c in self.all if c.coordinate is None] or self.all

    @property
    def suspects(self) -> list[Comparison]:
        """What neither agrees nor is open."""
        return [c for c in self.all if c.finding not in ("agree", "unresolved")]

    @property
    def disagreeing(self) -> list[Comparison]:
        """The single coordinates that are wrong."""
        return [c for c in self.entries if c.finding == "disagree"]

    @property
    def rough(self) -> list[Comparison]:
        """The single coordinates in which the function is not differentiable."""
        return [c for c in self.entries if c.finding in NOT_SMOOTH]

    def report(
        self,
        verdict: Verdict,
        reason: str = "",
        diagnosis: str = "",
        *,
        shown: Comparison | None = None,
    ) -> ParameterCheck:
        """Report a verdict with the comparison behind it; by default the worst one."""
        parameter = self._parameter
        if shown is None and self.all:
            shown = max(self.all, key=lambda c: c.excess)
        wrong = sorted({c.coordinate for c in self.disagreeing if c.coordinate is not None})
        certain = self.coverage.certain
        common: dict[str, Any] = {
            "name": parameter.name,
            "shape": parameter.shape,
            "dtype": str(parameter.dtype),
            "verdict": verdict,
            "reason": reason,
            "diagnosis": diagnosis,
            "entries": len({c.coordinate for c in self.entries}),
            "directions": sum(c.coordinate is None for c in self.all),
            "resolution": float(certain.max()) if certain.size else math.inf,
            "coverage": float(np.mean(self.coverage.covered)) if certain.size else 1.0,
            "confidence": self._confidence,
            "missed": self.coverage.missed(),
            "wrong_entries": tuple(dict.fromkeys(parameter.index(each) for each in wrong)),
        }
        if shown is None:
            return ParameterCheck(**common)
        coordinate = shown.coordinate
        sign = 1.0 if coordinate is None else float(np.sign(shown.direction.moves[0]))
        return ParameterCheck(
            **common,
            error=shown.error,
            bound=shown.resolution,
            worst_index=None if coordinate is None else parameter.index(coordinate),
            analytic=sign * shown.analytic / shown.length,
            numerical=sign * shown.numerical / shown.length,
        )


def describe_size(shown: Comparison) -> str:
    """Say how large an error is, and what to do when the function is itself approximate."""
    relative = abs(shown.analytic - shown.numerical) / shown.scale
    reason = f"it differs from the numerical derivative by {relative:.1e} of its size"
    if 0 < relative < 1e-4:
        tolerance = float(10.0 ** math.ceil(math.log10(relative)))
        reason += (
            f"; it agrees to {math.floor(-math.log10(relative))} digits: if the function is itself"
            f" approximate (an iteration that stops early, an adaptive solver), pass"
            f" tolerance={tolerance:g}"
        )
    return reason


def describe_search(
    parameter: Parameter, work: Findings, search: Search, *, others_agree: bool, confidence: float
) -> str:
    """Say how many entries are wrong, of how many."""
    wrong = sorted({c.coordinate for c in work.disagreeing if c.coordinate is not None})
    examined = len({c.coordinate for c in work.entries})
    total = parameter.size
    noun = "coordinates" if parameter.is_complex else "entries"
    if examined == total:
        return f"{len(wrong)} of {total} {noun} are wrong" if total > 1 else ""
    if search.is_dense:
        low, high = proportion_between(search.sampled_bad, search.sampled, confidence)
        return (
            f"{search.sampled_bad} of {search.sampled} {noun} drawn at random are wrong, so that"
            f" between {low:.0%} and {high:.0%} of all {total:,} are"
        )
    if not wrong:
        return "no single entry could be found that does not agree"
    names = ", ".join(
        f"{parameter.name}[{', '.join(map(str, parameter.index(each)))}]" for each in wrong[:NAMED]
    )
    more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    what = f"{len(wrong)} of {total:,} {noun} {'is' if len(wrong) == 1 else 'are'}"
    if others_agree:
        return f"{what} wrong, and the others agree: {names}{more}"
    return f"{what} found wrong, and there may be more: {names}{more}"


def describe_rough(parameter: Parameter, rough: list[Comparison]) -> str:
    """Say how a function is not differentiable."""
    first = rough[0]
    where = "at x"
    if first.coordinate is not None:
        index = parameter.index(first.coordinate)
        where = f"at {parameter.name}{list(index) if index else ''}"
        if len(rough) > 1:
            where += f" and {len(rough) - 1} more"
    length = first.length
    if first.finding == "kink":
        lies = "lies between" if _lies_between(first) else "does not lie between"
        return (
            f"the function has a kink {where}: its slope is {first.left / length:.6g} on the left"
            f" and {first.right / length:.6g} on the right; the gradient says"
            f" {first.analytic / length:.6g}, which {lies}"
        )
    if first.finding == "step":
        return f"the function jumps {where}"
    if first.finding == "singularity":
        return f"the function has a singularity {where}: its slope grows without limit"
    slope = first.right if math.isfinite(first.right) else first.left
    return (
        f"the function ends {where}: it is defined on one side only, with slope"
        f" {slope / length:.6g}; the gradient says {first.analytic / length:.6g}"
    )


def _lies_between(comparison: Comparison) -> bool:
    low, high = sorted((comparison.left, comparison.right))
    room = comparison.rounding + 1e-6 * (high - low)
    return low - room <= comparison.analytic <= high + room


def describe_plateau(jump: Jump) -> str:
    """Say that a function is constant piece by piece."""
    return (
        "the function is piecewise constant: its gradient is zero almost everywhere (rounding, a"
        f" comparison, argmax?). It does not change near x, and jumps by {jump.height:.3g} where x"
        f" has moved by {jump.distance:.3g} of its size"
    )


def describe_choice(jump: Jump) -> str:
    """Say that some entries choose between pieces of a function, and do nothing else."""
    return (
        "some of its entries only choose what the function is (an index, a comparison): it does not"
        f" change with them near x, and jumps by {jump.height:.3g} where they have moved by"
        f" {jump.distance:.3g} of their size"
    )


def describe_excluded(open_ones: list[Comparison]) -> str:
    """Say which errors are excluded all the same where comparisons agree without power.

    A function that computes in half precision shows no more than that.
    """
    shares = [each.unseen / scale if (scale := each.scale) > 0 else math.inf for each in open_ones]
    share = max(shares, default=math.inf)
    if not share < 1 or any(each.excess > 1 for each in open_ones):
        return ""
    # Rounded up to a digit that the comparisons allow for.
    digit = 10.0 ** math.floor(math.log10(share))
    tolerance = math.ceil(share / digit) * digit
    return (
        "the derivatives agree as far as these numbers tell, and a relative error above"
        f" {share:.1%} is excluded; tolerance={tolerance:g} accepts that"
    )


def unresolved(comparison: Comparison) -> str:
    """Say why a comparison did not decide."""
    if not math.isfinite(comparison.bound):
        return "no numerical derivative with a bound on its error could be found"
    return (
        f"an error below {comparison.resolution:.1e} would not be seen: the function is too noisy"
        " or too rough there"
    )
