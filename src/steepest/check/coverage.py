"""What a check has covered, and with what probability it would have missed an error.

A comparison along a random direction d finds an error e of the gradient unless |Σ eᵢ dᵢ| ≤ u,
where u is what the comparison cannot see. Each dᵢ is sᵢ ξᵢ with independent ξᵢ of density at most
½. Given all the others, dᵢ must fall into an interval of length 2u / |eᵢ| for the error to be
missed, whatever the others are; that has probability at most u / (|eᵢ| sᵢ), and δ / (2 sᵢ) more
where the moves are rounded to multiples of δ. Directions are independent, so that their
probabilities multiply. (This is the anti-concentration argument behind Freivalds' check of a
matrix product [1]_, for continuous factors.)

An error in a single entry cannot cancel: it is found for certain once |eᵢ dᵢ| > u.

References
----------
.. [1] R. Freivalds, "Probabilistic machines can use less running time", IFIP Congress (1977).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.check.directions import Direction

__all__ = ["Coverage", "MissedErrors"]

Floats: TypeAlias = NDArray[np.float64]

# Thresholds are kept as powers of two, rounded up; these stand for zero and for infinity.
ZERO, INFINITE = -1100, 1100
# Up to so many different keys a table finds faster than sorting does.
TABLE = 2**22
BISECTIONS = 60


@dataclass(frozen=True, slots=True, eq=False)
class MissedErrors:
    """Bounds on the probability of missing an error, for entries alike in how they were covered.

    Attributes
    ----------
    thresholds : ndarray, shape (kinds, directions)
        u / s: an error of this size is missed with any probability. Infinite where a direction
        does not contain the entries.
    rounding : ndarray, shape (kinds, directions)
        Added to each probability.
    certain : float
        Errors larger than this are always seen in the entries that were examined one by one.
    """

    thresholds: Floats
    rounding: Floats
    certain: float

    def probability(self, size: float) -> float:
        """Return a bound on the probability of missing an error this large in some entry."""
        if not size > self.certain:
            return 1.0
        each = _probabilities(self.thresholds, self.rounding, size)
        return float(np.max(np.prod(each, axis=1), initial=0.0))

    def size(self, probability: float) -> float:
        """Return the least size of an error that is missed with no more than a probability."""
        known = self.thresholds[np.isfinite(self.thresholds) & (self.thresholds > 0)]
        least = max(self.certain, float(known.min(initial=np.inf)) / 16)
        if not np.isfinite(least):
            least = max(self.certain, 0.0)
        low = np.log2(max(least, np.finfo(float).tiny))
        high = np.log2(max(least, float(known.max(initial=0.0)), np.finfo(float).tiny)) + 60
        if not self.probability(2.0**high) <= probability:
            return np.inf
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            if self.probability(2.0**middle) <= probability:
                high = middle
            else:
                low = middle
        return float(2.0**high)


class Coverage:
    """The comparisons made of one parameter, and what they could have seen.

    Parameters
    ----------
    size : int
        Number of coordinates.
    """

    def __init__(self, size: int) -> None:
        self._kinds: NDArray[np.intp] = np.zeros(size, dtype=np.intp)
        self._thresholds: Floats = np.zeros((1, 0))
        self._rounding: Floats = np.zeros((1, 0))
        # The least error of each coordinate, alone, that would have been seen.
        self.certain = np.full(size, np.inf)
        # The same for those that were examined one by one, where nothing cancels.
        self._one_by_one: dict[int, float] = {}

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Which coordinates were in a comparison that has a bound."""
        return np.asarray(np.isfinite(self.certain))

    def add(self, direction: Direction, unseen: float) -> None:
        """Add a comparison that would have seen |Σ eᵢ dᵢ| above a size."""
        if not np.isfinite(unseen):
            return
        places = direction.coordinates
        with np.errstate(all="ignore"):
            self.certain[places] = np.fmin(self.certain[places], unseen / np.abs(direction.moves))
        coordinate = direction.coordinate
        if coordinate is not None:
            self._one_by_one[coordinate] = float(self.certain[coordinate])
            return
        thresholds = np.full(self.certain.size, INFINITE)
        rounding = np.full(self.certain.size, ZERO)
        with np.errstate(all="ignore"):
            thresholds[places] = _exponents(unseen / direction.scales)
            rounding[places] = _exponents(direction.grain / (2 * direction.scales))
        self._refine(thresholds, rounding)

    def missed(self) -> MissedErrors:
        """Return what is known of errors, those included that several entries have and cancel."""
        examined = np.array(list(self._one_by_one), dtype=np.intp)
        present = np.flatnonzero(np.bincount(np.delete(self._kinds, examined)))
        certain = max(self._one_by_one.values(), default=0.0)
        return MissedErrors(self._thresholds[present], self._rounding[present], certain)

    def probabilities(self, size: float) -> Floats:
        """Return for each coordinate a bound on missing an error this large in it."""
        kinds = np.prod(_probabilities(self._thresholds, self._rounding, size), axis=1)
        result: Floats = kinds[self._kinds]
        for coordinate, certain in self._one_by_one.items():
            if size > certain:
                result[coordinate] = 0.0
        return result

    def _refine(self, thresholds: NDArray[np.int64], rounding: NDArray[np.int64]) -> None:
        """Part the kinds of coordinates by how one more direction covers them."""
        keys, number = _distinct(thresholds, rounding)
        pairs = self._kinds * len(keys) + number
        present, self._kinds = _renumbered(pairs)
        before, last = present // len(keys), keys[present % len(keys)]
        self._thresholds = np.column_stack([self._thresholds[before], _power(last[:, 0])])
        self._rounding = np.column_stack([self._rounding[before], _power(last[:, 1])])


def _probabilities(thresholds: Floats, rounding: Floats, size: float) -> Floats:
    with np.errstate(all="ignore"):
        each = np.minimum(1.0, thresholds / size + rounding)
    # An error of no size, seen by a comparison without error: not known to be seen.
    return np.where(np.isnan(each), 1.0, each)


def _exponents(values: Floats) -> NDArray[np.int64]:
    """Return the exponent of the next power of two above."""
    exponents = np.frexp(np.where(np.isfinite(values), values, 0.0))[1].astype(np.int64)
    exponents = np.where(values == 0, ZERO, exponents)
    return np.where(np.isfinite(values), exponents, INFINITE)


def _power(exponents: NDArray[np.int64]) -> Floats:
    values = np.ldexp(1.0, np.clip(exponents, -1074, 1023).astype(np.int32))
    values = np.where(exponents == ZERO, 0.0, values)
    return np.where(exponents == INFINITE, np.inf, values)


def _distinct(
    first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Return the distinct pairs, of shape (pairs, 2), and which one is at each place."""
    (firsts, first_number), (seconds, second_number) = _renumbered(first), _renumbered(second)
    present, number = _renumbered(first_number * len(seconds) + second_number)
    pairs = np.stack([firsts[present // len(seconds)], seconds[present % len(seconds)]], axis=1)
    return pairs, number


def _renumbered(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Return the distinct keys, and the number of the one at each place."""
    if not keys.size or int(keys.max()) - int(keys.min()) >= max(TABLE, keys.size):
        present, number = np.unique(keys, return_inverse=True)
        return present, number
    shift = int(keys.min())
    shifted = keys - shift
    present = np.flatnonzero(np.bincount(shifted))
    table = np.zeros(int(present[-1]) + 1, dtype=np.intp)
    table[present] = np.arange(present.size)
    return present + shift, table[shifted]
