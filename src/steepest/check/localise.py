"""Find the entries to which a disagreement, or a kink, belongs: sample, then halve."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.check.verdict import Comparison

__all__ = ["localise"]

Compare: TypeAlias = Callable[[NDArray[np.intp]], Comparison]

ALL_ENTRIES = 24
SAMPLED_ENTRIES = 16
ENOUGH_FOUND = 3


def localise(
    coordinates: NDArray[np.intp], compare: Compare, generator: np.random.Generator
) -> list[Comparison]:
    """Compare single coordinates, looking for those that do not agree.

    Parameters
    ----------
    coordinates : ndarray of int
        Where they are.
    compare : callable
        Compares along a random direction in the given coordinates.
    generator : numpy.random.Generator

    Returns
    -------
    list of Comparison
        Of single coordinates, agreeing ones included. When few are bad, groups are halved, as in
        group testing: one among 10,000 takes about 16 + 28 comparisons.
    """
    if coordinates.size <= ALL_ENTRIES:
        return [compare(coordinates[place : place + 1]) for place in range(coordinates.size)]
    sample = np.sort(generator.choice(coordinates, SAMPLED_ENTRIES, replace=False))
    entries = [compare(sample[place : place + 1]) for place in range(sample.size)]
    found = sum(map(_stands_out, entries))
    if found >= ENOUGH_FOUND:
        return entries
    pending = [np.setdiff1d(coordinates, sample)]
    while pending and found < ENOUGH_FOUND:
        left, right = np.array_split(pending.pop(), 2)
        for half in (left, right):
            if half.size == 0:
                continue
            comparison = compare(half)
            if half.size == 1:
                entries.append(comparison)
                found += _stands_out(comparison)
            elif _stands_out(comparison) or comparison.excess > 1:
                pending.append(half)
    return entries


def _stands_out(comparison: Comparison) -> bool:
    return comparison.finding not in ("agree", "unresolved")
