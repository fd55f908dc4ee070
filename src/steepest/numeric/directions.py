"""Directions to move in: scaled like the variables, and exact in floating point."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.numeric.evaluate import Parameter
from steepest.numeric.precision import Precision, limits

__all__ = ["direction_spacing", "exact_direction", "scales_by_entry", "typical_scale"]

RealArray: TypeAlias = NDArray[np.floating[Any]]
Floats: TypeAlias = NDArray[np.float64]


def typical_scale(parameter: Parameter) -> float:
    """Return the root mean square of a parameter's finite coordinates; 1 if they are all zero."""
    values = parameter.coordinates().astype(np.float64)
    values = np.abs(values[np.isfinite(values)])
    largest = float(values.max(initial=0.0))
    if largest == 0.0:
        return 1.0
    # Divided first: the squares of very large or small values are not representable.
    return largest * float(np.sqrt(np.mean((values / largest) ** 2)))


def scales_by_entry(parameter: Parameter) -> Floats:
    """Return |x| for each coordinate; the typical scale for those that are as good as zero."""
    coordinates = parameter.coordinates()
    values = np.abs(coordinates.astype(np.float64))
    known = limits(coordinates.dtype)
    # Steps that are small parts of smaller values would underflow.
    least = float(known.tiny) / float(known.eps)
    return np.where((values > least) & np.isfinite(values), values, typical_scale(parameter))


def exact_direction(
    parameter: Parameter,
    direction: Floats,
    precision: Precision,
    places: NDArray[np.intp] | None = None,
) -> Floats:
    """Round a direction so that x ± 8**-k * direction is exact on the whole ladder.

    So a difference of function values belongs to exactly the step it is divided by (to half an ulp
    for the few coordinates that it takes over a power of two). Coordinates that are zero stay
    zero; others never become zero. Given places, the direction has a value for each of these
    coordinates alone.
    """
    bits = precision.bits(parameter.dtype)
    depth = 3 * precision.deepest_exponent(parameter.dtype)
    values = parameter.coordinates(precision).astype(np.float64)
    if places is not None:
        values = values[places]
    quantum = _quantum(values, direction, depth, bits)
    with np.errstate(all="ignore"):
        rounded = np.rint(direction / quantum) * quantum
    rounded = np.where((rounded == 0) & (direction != 0), np.copysign(quantum, direction), rounded)
    return np.where((direction != 0) & np.isfinite(values), rounded, 0.0)


def _quantum(values: Floats, direction: Floats, depth: int, bits: int) -> Floats:
    """Return the spacing of the numbers to which a direction is rounded."""
    largest = np.maximum(np.abs(values), np.abs(direction))
    _, exponents = np.frexp(np.where(np.isfinite(largest), largest, 0.0))
    with np.errstate(all="ignore"):
        spacing: Floats = np.ldexp(1.0, exponents + 1 + depth - bits)
    return spacing


def direction_spacing(
    parameter: Parameter,
    direction: Floats,
    precision: Precision,
    places: NDArray[np.intp],
) -> Floats:
    """Return how far apart the values are that `exact_direction` rounds to, for each place."""
    values = parameter.coordinates(precision).astype(np.float64)[places]
    depth = 3 * precision.deepest_exponent(parameter.dtype)
    return _quantum(values, direction, depth, precision.bits(parameter.dtype))
