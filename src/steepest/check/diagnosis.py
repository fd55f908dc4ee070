"""Say what is wrong with a gradient, if one simple mistake explains it.

An explanation is offered only when it accounts for 99 % of the discrepancy: a looser rule invents
patterns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.numeric.evaluate import Parameter

__all__ = ["Evidence", "diagnose"]

Floats: TypeAlias = NDArray[np.float64]

EXPLAINED = 0.99
# With a free constant, fewer entries would be explained by anything.
ENOUGH_ENTRIES = 3
CONSTANT_ACCURACY = 1e-4
NEARLY_ONE = 1.01


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Numerical derivatives of some coordinates.

    Attributes
    ----------
    parameter : Parameter
    analytic : ndarray, shape (coordinates,)
        The whole gradient under examination.
    coordinates : ndarray of int, shape (m,)
        Where the numerical derivative is known.
    numerical, bound : ndarray, shape (m,)
    lengths : dict of int to str
        Lengths that occur in the problem, and what they are lengths of.
    """

    parameter: Parameter
    analytic: Floats
    coordinates: NDArray[np.intp]
    numerical: Floats
    bound: Floats
    lengths: dict[int, str]


def diagnose(evidence: Evidence) -> str:
    """Return a sentence that explains the discrepancy, or an empty string."""
    usable = np.isfinite(evidence.numerical) & np.isfinite(evidence.bound)
    usable &= np.isfinite(evidence.analytic[evidence.coordinates])
    if not usable.any():
        return ""
    evidence = Evidence(
        evidence.parameter,
        evidence.analytic,
        evidence.coordinates[usable],
        evidence.numerical[usable],
        evidence.bound[usable],
        evidence.lengths,
    )
    here = evidence.analytic[evidence.coordinates]
    discrepancy = float(np.linalg.norm(evidence.numerical - here))
    slack = float(np.linalg.norm(evidence.bound))
    for prediction, sentence in _hypotheses(evidence, here):
        gap = np.abs(evidence.numerical - prediction)
        left_over = float(np.linalg.norm(np.maximum(gap - evidence.bound, 0.0)))
        # Small derivatives beside a large gradient are not explained by making it small.
        explained = min(discrepancy, float(np.linalg.norm(evidence.numerical)) or discrepancy)
        if left_over <= (1 - EXPLAINED) * explained and slack <= discrepancy / 4:
            return sentence
    return ""


def _hypotheses(evidence: Evidence, here: Floats) -> Iterator[tuple[Floats, str]]:
    """Yield what the numerical derivatives would be, and the mistake that this would show."""
    numerical = evidence.numerical
    parameter = evidence.parameter
    if not here.any():
        scope = "everywhere" if not evidence.analytic.any() else "there"
        yield (
            numerical,
            (
                f"the gradient is zero {scope}, but the function depends on {parameter.name}:"
                " it is detached, or its part of the gradient is never written"
            ),
        )
        return
    yield -here, "the sign is flipped"
    yield from _factors(evidence, here)
    yield from _rearrangements(evidence)
    if parameter.is_complex:
        conjugate = np.where(evidence.coordinates % 2 == 1, -here, here)
        yield (
            conjugate,
            ("it is the complex conjugate of the gradient: the convention is ∂f/∂x - i ∂f/∂y"),
        )
    yield from _scales_by_axis(evidence, here)
    yield from _missing_terms(evidence, here)


def _factors(evidence: Evidence, here: Floats) -> Iterator[tuple[Floats, str]]:
    energy = float(here @ here)
    if energy == 0:
        return
    factor = float(here @ evidence.numerical) / energy
    if factor == 0:
        return
    name = _named_factor(factor, evidence.lengths)
    if not name and here.size < ENOUGH_ENTRIES:
        return
    kind = "small" if abs(factor) > 1 else "large"
    flipped = ", and its sign is flipped" if factor < 0 else ""
    amount = max(abs(factor), 1 / abs(factor))
    if name:
        amount = round(amount)
    digits = 8 if amount < NEARLY_ONE else 5
    sentence = f"it is too {kind} by a constant factor of {amount:.{digits}g}{name}{flipped}"
    yield factor * here, sentence


def _named_factor(factor: float, lengths: dict[int, str]) -> str:
    """Recognise a constant: 2, or a length of the problem, or an integer."""
    amount = max(abs(factor), 1 / abs(factor))
    nearest = round(amount)
    if nearest < 2 or abs(amount - nearest) > min(CONSTANT_ACCURACY * nearest, 0.01):
        return ""
    if nearest == 2:
        return " (the 2 of a square, or the ½ before it)"
    meaning = lengths.get(nearest)
    mean = "a mean taken for a sum, or a sum for a mean"
    return f" ({meaning}: {mean}?)" if meaning else f" ({mean} over {nearest}?)"


def _rearrangements(evidence: Evidence) -> Iterator[tuple[Floats, str]]:
    parameter = evidence.parameter
    if parameter.is_complex or not parameter.shape:
        return
    gradient = evidence.analytic.reshape(parameter.shape)
    shape = parameter.shape
    if len(shape) >= 2:
        if shape[-1] == shape[-2]:
            swapped = np.swapaxes(gradient, -1, -2).reshape(-1)
            yield swapped[evidence.coordinates], "it is transposed"
        reread = gradient.reshape(shape[::-1]).T.reshape(-1)
        yield reread[evidence.coordinates], "its entries are in the order of the transposed array"
    for axis, length in enumerate(shape):
        if length < ENOUGH_ENTRIES:
            continue
        for shift in (1, -1):
            shifted = np.roll(gradient, shift, axis=axis).reshape(-1)
            yield (
                shifted[evidence.coordinates],
                f"it is shifted by one along axis {axis}: an index is off by one",
            )
        reverse = np.flip(gradient, axis=axis).reshape(-1)
        yield reverse[evidence.coordinates], f"it is in reverse order along axis {axis}"


def _scales_by_axis(evidence: Evidence, here: Floats) -> Iterator[tuple[Floats, str]]:
    """Try a factor of its own for each index of an axis, where several entries share one."""
    parameter = evidence.parameter
    if parameter.is_complex or len(parameter.shape) < 2:
        return
    indices = np.unravel_index(evidence.coordinates, parameter.shape)
    for axis in range(len(parameter.shape)):
        prediction = np.zeros_like(here)
        surplus = 0
        for index in np.unique(indices[axis]):
            places = indices[axis] == index
            energy = float(here[places] @ here[places])
            if energy > 0:
                factor = float(here[places] @ evidence.numerical[places]) / energy
                prediction[places] = factor * here[places]
                wrong = np.abs(here - evidence.numerical) > evidence.bound
                surplus += max(0, int(np.count_nonzero(places & wrong)) - 1)
        if surplus >= ENOUGH_ENTRIES:
            yield prediction, f"its scale is wrong along axis {axis}, by a factor for each index"


def _missing_terms(evidence: Evidence, here: Floats) -> Iterator[tuple[Floats, str]]:
    if here.size < ENOUGH_ENTRIES:
        return
    gap = evidence.numerical - here
    values = evidence.parameter.coordinates()[evidence.coordinates].astype(np.float64)
    energy = float(values @ values)
    if energy > 0 and np.ptp(np.abs(values)) > 0:
        factor = float(values @ gap) / energy
        if math.isfinite(factor):
            yield (
                here + factor * values,
                (
                    f"a term proportional to {evidence.parameter.name} is missing"
                    f" ({factor:.4g} times it): a penalty on its squares?"
                ),
            )
    offset = float(gap.mean())
    yield here + offset, f"a constant of {offset:.4g} is missing from every entry"
