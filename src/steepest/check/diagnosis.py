"""Say what is wrong with a gradient, if one simple mistake explains it.

An explanation is offered only when it accounts for 99 % of the discrepancy, and of several the
simplest: a looser rule invents patterns. A mistake may be confined to a part of the array; then
the entries outside of it must be right, and more of both kinds are measured to be sure.
"""

from __future__ import annotations

import numpy as np

from steepest.check.evidence import Coordinates, Evidence
from steepest.check.mistakes import MISTAKES, Explanation
from steepest.check.scopes import Mask, scopes

__all__ = ["Evidence", "diagnose"]

EXPLAINED = 0.99
# The numerical errors may make up this part of the discrepancy.
MOST_SLACK = 0.25
SMALL = 64
# Explanations with many numbers of their own give way to a simple one for a part of the array.
COMPLEX = 2.0
# A part of the array is believed in when so many entries in it are wrong, and so many others right.
ENOUGH_WRONG = 2
ENOUGH_RIGHT = 3
CONFIRMED = 6
CONFIRMED_OUTSIDE = 8
# Most entries of a part that is wrong must be so, as far as they are known.
MOSTLY_WRONG = 0.75


def diagnose(evidence: Evidence) -> str:
    """Return what probably happened and what to look at, or an empty string."""
    evidence = evidence.usable()
    if not evidence.here.size or not evidence.wrong.any():
        return ""
    found = _simplest(evidence)
    if found is None and evidence.parameter.size <= SMALL:
        evidence = evidence.extended(np.arange(evidence.parameter.size))
        found = _simplest(evidence)
    if found is not None and found.complexity < COMPLEX:
        return _sentences(found.cause, found.look)
    confined, explained = _confined(evidence)
    if found is None or explained:
        return confined
    return _sentences(found.cause, found.look)


def _sentences(cause: str, look: str) -> str:
    return f"{cause}; {look}" if look else cause


def _simplest(evidence: Evidence) -> Explanation | None:
    """Return the simplest of the mistakes that explain the evidence."""
    best: Explanation | None = None
    for mistake in MISTAKES:
        with np.errstate(all="ignore"):
            for explanation in mistake(evidence):
                if (best is None or explanation.complexity < best.complexity) and _explains(
                    explanation
                ):
                    best = explanation
    return best


def _explains(explanation: Explanation) -> bool:
    evidence = explanation.evidence
    discrepancy = float(np.linalg.norm(evidence.numerical - evidence.here))
    slack = float(np.linalg.norm(evidence.bound))
    left_over = float(np.linalg.norm(np.maximum(np.abs(explanation.gap) - explanation.bound, 0.0)))
    # Small derivatives beside a large gradient are not explained by making it small.
    explained = min(discrepancy, float(np.linalg.norm(evidence.numerical)) or discrepancy)
    return left_over <= (1 - EXPLAINED) * explained and slack <= MOST_SLACK * discrepancy


def _confined(evidence: Evidence) -> tuple[str, bool]:
    """Look for a part of the array to which the mistake is confined; say if one explains it."""
    known = evidence
    for mask, name in scopes(evidence):
        if not _fits(known, mask):
            continue
        known = known.extended(_to_confirm(known, mask))
        inside = mask[known.coordinates]
        if not _fits(known, mask):
            continue
        wrong, right = known.wrong, ~known.wrong & (known.numerical != 0)
        lone = mask.sum() == 1
        if np.count_nonzero(wrong & inside) < (1 if lone else ENOUGH_WRONG):
            continue
        if np.count_nonzero(right & ~inside) < ENOUGH_RIGHT:
            continue
        found = _simplest(known.select(inside))
        if found is not None and found.complexity < COMPLEX:
            return _sentences(f"in {name} alone, {found.cause}", found.look), True
        cause = f"only {name} is wrong" if lone else f"it is wrong in {name}, and right elsewhere"
        look = "look for a boundary, a branch or a loop that treats this part differently"
        return _sentences(cause, look), False
    return _lone_entry(known), False


def _fits(evidence: Evidence, mask: Mask) -> bool:
    """Whether all that is wrong lies inside, and most of what lies inside is wrong."""
    inside = mask[evidence.coordinates]
    moving = (evidence.numerical != 0) | (evidence.here != 0)
    wrong = evidence.wrong
    if (wrong & ~inside).any() or mask.all():
        return False
    return bool(np.mean(wrong[inside & moving]) >= MOSTLY_WRONG)


def _to_confirm(evidence: Evidence, mask: Mask) -> Coordinates:
    """Choose entries in a part and outside of it to measure."""
    generator = np.random.default_rng(0)
    chosen = []
    for where, count in ((mask, CONFIRMED), (~mask, CONFIRMED_OUTSIDE)):
        places = np.flatnonzero(where)
        known = int(np.count_nonzero(where[evidence.coordinates]))
        missing = min(places.size, max(0, count - known))
        chosen.append(generator.choice(places, missing, replace=False))
    return np.concatenate(chosen).astype(np.intp)


def _lone_entry(evidence: Evidence) -> str:
    """Say so when a single entry is wrong, wherever it is."""
    wrong = evidence.wrong
    right = ~wrong & (evidence.numerical != 0)
    if np.count_nonzero(wrong) != 1 or np.count_nonzero(right) < ENOUGH_RIGHT:
        return ""
    index = evidence.parameter.index(int(evidence.coordinates[wrong][0]))
    place = f"{evidence.parameter.name}{list(index) if index else ''}"
    look = "look for an index that is written twice, skipped, or meant for another entry"
    found = _simplest(evidence.select(wrong))
    if found is not None:
        return _sentences(f"of the entries examined {place} alone is wrong: {found.cause}", look)
    return _sentences(f"of the entries examined {place} alone is wrong", look)
