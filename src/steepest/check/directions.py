"""Directions in which a gradient is compared: some coordinates of one parameter, each moved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.numeric.directions import (
    direction_spacing,
    exact_direction,
    scales_by_entry,
    typical_scale,
)
from steepest.numeric.evaluate import Parameter
from steepest.numeric.precision import Precision

__all__ = ["Direction", "Scales", "random_direction", "single_direction", "without"]

Floats: TypeAlias = NDArray[np.float64]
Coordinates: TypeAlias = NDArray[np.intp]

# An entry is moved by the typical scale, but by no more than its own size so many times: entries
# near the edge of a domain are moved without leaving it.
SCALE_RANGE = 1e3
LEAST_FACTOR, MOST_FACTOR = 0.5, 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """How the coordinates of one parameter are moved; those not named stay.

    Attributes
    ----------
    coordinates : ndarray of int, shape (m,)
    moves : ndarray, shape (m,)
        Never zero.
    scales : ndarray, shape (m,)
        Each move is ±U(0.5, 1.5) times this. Zero where it is not random.
    grain : ndarray, shape (m,)
        Spacing of the numbers to which the moves are rounded.
    """

    coordinates: Coordinates
    moves: Floats
    scales: Floats = field(repr=False)
    grain: Floats = field(repr=False)

    @property
    def length(self) -> float:
        """Euclidean length: dividing by it gives the units of the gradient."""
        largest = float(np.max(np.abs(self.moves)))
        return largest * float(np.linalg.norm(self.moves / largest))

    @property
    def coordinate(self) -> int | None:
        """The coordinate that moves, when it is a single one."""
        return int(self.coordinates[0]) if self.coordinates.size == 1 else None

    def part(self, places: Coordinates) -> Direction:
        """Return the same moves of some of the coordinates, by their place among them."""
        return Direction(
            self.coordinates[places], self.moves[places], self.scales[places], self.grain[places]
        )

    def exact(self, parameter: Parameter, precision: Precision) -> Direction:
        """Round the moves so that steps along them are exact."""
        places = self.coordinates
        moves = exact_direction(parameter, self.moves, precision, places)
        moved = moves != 0
        if not moved.all():
            # Coordinates that are not finite do not move.
            return self.part(np.flatnonzero(moved)).exact(parameter, precision)
        return replace(
            self, moves=moves, grain=direction_spacing(parameter, self.moves, precision, places)
        )


class Scales:
    """By how much the coordinates of a parameter are moved.

    Attributes
    ----------
    by_entry : ndarray, shape (coordinates,)
        Each by its own size.
    typical : ndarray, shape (coordinates,)
        All by the same amount, but none by far more than its own size.
    uniform : ndarray, shape (coordinates,)
        All by the same amount.
    """

    def __init__(self, parameter: Parameter) -> None:
        self.by_entry = scales_by_entry(parameter)
        typical = typical_scale(parameter)
        self.typical = np.minimum(typical, SCALE_RANGE * self.by_entry)
        self.uniform = np.full(parameter.size, typical)


def single_direction(coordinate: int, scales: Scales) -> Direction:
    """Move one coordinate by its own size."""
    place = np.array([coordinate])
    moves = scales.by_entry[place]
    return Direction(place, moves, np.zeros(1), np.zeros(1))


def random_direction(
    coordinates: Coordinates, scales: Floats, generator: np.random.Generator
) -> Direction:
    """Move some coordinates by random amounts, none of them small, none of them equal.

    The factors are ±U(0.5, 1.5): a single error is seen for certain, and errors in several
    coordinates cancel for few of the factors only.
    """
    signs = np.where(generator.random(coordinates.size) < 0.5, -1.0, 1.0)
    factors = signs * generator.uniform(LEAST_FACTOR, MOST_FACTOR, coordinates.size)
    chosen = scales[coordinates]
    return Direction(coordinates, factors * chosen, chosen, np.zeros(coordinates.size))


def without(coordinates: Coordinates, excluded: Iterable[int]) -> Coordinates:
    """Leave some of the coordinates out; in a time that few of those do not change."""
    kept = np.ones(coordinates.size, dtype=bool)
    for each in excluded:
        kept &= coordinates != each
    return coordinates[kept]
