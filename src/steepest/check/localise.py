"""Find the entries to which a disagreement, or a kink, belongs.

A sample of single entries tells whether many are bad. If few are, they are found by adaptive group
testing: a group whose members include a bad one is halved, as in Hwang's binary splitting [1]_.
Derivatives along parts of one direction add up, so that a look at one half tells of both, and k
bad entries of n take about k log₂(n / k) looks of four evaluations.

References
----------
.. [1] F. K. Hwang, "A method for detecting all defective members in a population by group
   testing", J. Am. Stat. Assoc. 67 (1972).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.check.directions import Direction
from steepest.check.verdict import CERTAIN_EXCESS, Comparison

__all__ = ["Search", "proportion_between"]

Coordinates: TypeAlias = NDArray[np.intp]
Compare: TypeAlias = Callable[[Coordinates], Comparison]
Look: TypeAlias = Callable[[Direction], tuple[float, float]]

ALL_ENTRIES = 24
SAMPLED_ENTRIES = 16
# So many bad entries of a sample mean that many are bad.
DENSE = 3
MOST_FOUND = 32
# A difference known to this part of itself needs no look of its own.
VAGUE = 0.25


@dataclass(slots=True)
class Search:
    """A search for the bad entries of one parameter.

    Attributes
    ----------
    entries : list of Comparison
        Of single coordinates, agreeing ones included.
    sampled, sampled_bad : int
        Entries drawn at random, and how many of them do not agree.
    exhausted : bool
        Whether the search was given up with bad entries left: too many, or hidden by noise.
    """

    compare: Compare
    generator: np.random.Generator
    entries: list[Comparison] = field(default_factory=list)
    sampled: int = 0
    sampled_bad: int = 0
    exhausted: bool = False

    @property
    def found(self) -> int:
        """How many entries do not agree."""
        return sum(map(_stands_out, self.entries))

    @property
    def is_dense(self) -> bool:
        """Whether many entries are bad."""
        return self.sampled_bad >= DENSE

    @property
    def is_full(self) -> bool:
        """Whether enough has been found."""
        return self.is_dense or self.found >= MOST_FOUND

    def sample(self, coordinates: Coordinates) -> Iterator[None]:
        """Compare some of the coordinates one by one; all of them when they are few."""
        chosen = coordinates
        if coordinates.size > ALL_ENTRIES:
            drawn = self.generator.choice(coordinates, SAMPLED_ENTRIES, replace=False)
            chosen = np.sort(drawn)
        for place in range(chosen.size):
            yield
            bad = self._single(int(chosen[place]))
            self.sampled += 1
            self.sampled_bad += bad

    def split(self, suspect: Comparison, look: Look) -> Iterator[None]:
        """Find the single coordinates behind a direction that disagrees."""
        direction = suspect.direction
        places = np.flatnonzero(_unexamined(direction.coordinates, self.entries))
        if not places.size:
            return
        difference, bound = suspect.analytic - suspect.numerical, suspect.bound + suspect.rounding
        if places.size < direction.coordinates.size:
            direction = direction.part(places)
            yield
            difference, bound = look(direction)
        queue = [(-abs(difference), 0, difference, bound, direction)]
        number = 0
        while queue:
            _, _, difference, bound, direction = heapq.heappop(queue)
            if not abs(difference) > CERTAIN_EXCESS * bound:
                self.exhausted = True
                continue
            if self.is_full:
                self.exhausted = True
                return
            size = direction.coordinates.size
            if size == 1:
                yield
                if not self._single(int(direction.coordinates[0])):
                    self.exhausted = True
                continue
            left, right = (direction.part(part) for part in np.array_split(np.arange(size), 2))
            yield
            first, first_bound = look(left)
            second, second_bound = difference - first, bound + first_bound
            # What was not looked at is known by subtraction, as long as that says something.
            if abs(second) > CERTAIN_EXCESS * second_bound and second_bound > VAGUE * abs(second):
                yield
                second, second_bound = look(right)
            halves = ((first, first_bound, left), (second, second_bound, right))
            bad = [half for half in halves if abs(half[0]) > CERTAIN_EXCESS * half[1]]
            if not bad:
                self.exhausted = True
            for value, uncertainty, part in bad:
                number += 1
                heapq.heappush(queue, (-abs(value), number, value, uncertainty, part))

    def halve(self, coordinates: Coordinates) -> Iterator[None]:
        """Find the single coordinates at which a function is not smooth, or a look cannot tell."""
        pending = [coordinates[_unexamined(coordinates, self.entries)]]
        found = self.found
        while pending:
            if self.found - found >= DENSE:
                self.exhausted = True
                return
            for half in np.array_split(pending.pop(), 2):
                if half.size == 0:
                    continue
                yield
                if half.size == 1:
                    self._single(int(half[0]))
                    continue
                comparison = self.compare(half)
                if _stands_out(comparison) or comparison.excess > 1:
                    pending.append(half)

    def _single(self, coordinate: int) -> bool:
        comparison = self.compare(np.array([coordinate]))
        self.entries.append(comparison)
        return _stands_out(comparison)


def proportion_between(bad: int, sampled: int, confidence: float) -> tuple[float, float]:
    """Bound the part of all entries that is bad, from a random sample (Clopper and Pearson [1]_).

    References
    ----------
    .. [1] C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated
       in the case of the binomial", Biometrika 26 (1934).

    Examples
    --------
    >>> low, high = proportion_between(8, 16, 0.95)
    >>> round(low, 2), round(high, 2)
    (0.25, 0.75)
    """
    # Imported here: `import steepest` does not load SciPy.
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if bad == 0 else float(betaincinv(bad, sampled - bad + 1, tail))
    high = 1.0 if bad == sampled else float(betaincinv(bad + 1, sampled - bad, 1 - tail))
    return low, high


def _unexamined(coordinates: Coordinates, entries: list[Comparison]) -> NDArray[np.bool_]:
    unexamined = np.ones(coordinates.size, dtype=bool)
    for entry in entries:
        unexamined &= coordinates != entry.coordinate
    return unexamined


def _stands_out(comparison: Comparison) -> bool:
    return comparison.finding not in ("agree", "unresolved")
