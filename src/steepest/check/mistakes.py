"""The mistakes that people make in gradients: what each makes of the true derivatives.

Each entry of `MISTAKES` looks at the evidence and, where its mistake is possible at all, says what
the difference would be that it leaves unexplained, what probably happened, and where to look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.check.evidence import Evidence
from steepest.check.factors import meaning_of_factor
from steepest.numeric.precision import limits, significand_bits

__all__ = ["MISTAKES", "Explanation"]

Floats: TypeAlias = NDArray[np.float64]

# With a free constant, fewer entries would be explained by anything.
ENOUGH_ENTRIES = 3
ENOUGH_FOR_PATTERN = 8
NEARLY_ONE = 1.01
# So many entries are measured to see a whole axis, or all of a small parameter.
MOST_MEASURED = 64
SAME = 1e-12
ROUND_NORMS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0)
SIGNIFICANDS = ((24, "float32"), (11, "float16"), (8, "bfloat16"))
# Intermediate results in float32 leave errors of some roundings, and seldom fewer. (Errors of the
# size of coarser roundings may be anything.)
FEWEST_ROUNDINGS, MOST_ROUNDINGS = 1 / 64, 16.0
COUNT_ACCURACY = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """A mistake that may be behind a discrepancy.

    Attributes
    ----------
    evidence : Evidence
        On which it was tried.
    gap : ndarray
        What it leaves unexplained, for each known coordinate.
    bound : ndarray
        What the numerical errors may contribute to the gap.
    complexity : float
        How much it assumes: of two that explain the same, the simpler is believed.
    cause, look : str
        What probably happened, and the next thing to look at.
    """

    evidence: Evidence
    gap: Floats
    bound: Floats
    complexity: float
    cause: str
    look: str


Mistake: TypeAlias = Callable[[Evidence], Iterator[Explanation]]


def _true(
    evidence: Evidence, expected: Floats, complexity: float, cause: str, look: str
) -> Explanation:
    """Explain by what the true derivatives would be, given the gradient."""
    gap = evidence.numerical - expected
    return Explanation(evidence, gap, evidence.bound, complexity, cause, look)


def _made(
    evidence: Evidence,
    predicted: Floats,
    complexity: float,
    cause: str,
    look: str,
    bound: Floats | None = None,
) -> Explanation:
    """Explain by what the mistake makes of the true derivatives."""
    allowed = evidence.bound if bound is None else bound
    return Explanation(evidence, evidence.here - predicted, allowed, complexity, cause, look)


def _fitted(here: Floats, numerical: Floats) -> float:
    """Return the factor that takes one vector to the other, by least squares."""
    largest = float(np.max(np.abs(here), initial=0.0))
    if largest == 0:
        return 0.0
    scaled = here / largest
    return float(scaled @ numerical) / float(scaled @ scaled) / largest


# -- values -----------------------------------------------------------------------------------


def detached(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by a zero where the function has a slope."""
    name = evidence.parameter.name
    if evidence.here.any() or not evidence.numerical.any():
        return
    scope = "everywhere" if not evidence.analytic.any() else "there"
    yield Explanation(
        evidence,
        np.zeros_like(evidence.here),
        evidence.bound,
        0,
        f"the gradient is zero {scope}, but the function depends on {name}: it is detached, or its"
        " part of the gradient is never written",
        f"look for a copy, a detach or stop_gradient, or a conversion between {name} and the loss,"
        " and for the line that should write this part of the gradient",
    )


def not_masked(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by a slope where the function has none."""
    if evidence.numerical.any() or not evidence.here.any():
        return
    name = evidence.parameter.name
    yield Explanation(
        evidence,
        np.zeros_like(evidence.here),
        evidence.bound,
        0,
        f"the gradient is not zero there, but the function does not depend on {name}: what masks or"
        " replaces it is not differentiated",
        "look for a mask, a where, a comparison or a rounding in the function that the gradient"
        " lacks",
    )


def wrong_sign(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by minus the gradient."""
    yield _true(
        evidence,
        -evidence.here,
        0,
        "the sign is flipped",
        "look for a difference taken the wrong way round (target - prediction), or the gradient of"
        " a loss that is maximised",
    )


def lost_sign(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by the absolute value of the gradient."""
    if evidence.here.size < ENOUGH_ENTRIES or not (evidence.numerical < 0).any():
        return
    if (evidence.numerical > 0).any():
        yield _made(
            evidence,
            np.abs(evidence.numerical),
            1,
            "the sign is lost: it is the absolute value of the gradient",
            "look for an abs, a square root of a square, or a norm where a signed number belongs",
        )


def constant_factor(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by a multiple of the gradient."""
    factor = _fitted(evidence.here, evidence.numerical)
    if factor == 0 or not math.isfinite(factor):
        return
    size = float(np.linalg.norm(evidence.numerical))
    uncertainty = float(np.linalg.norm(evidence.bound)) / size if size > 0 else math.inf
    known = meaning_of_factor(factor, uncertainty, evidence.lengths)
    clipped = _round_norm(evidence) if factor > 0 else None
    if known is None and clipped is None and evidence.here.size < ENOUGH_ENTRIES:
        return
    kind = "small" if abs(factor) > 1 else "large"
    flipped = ", and its sign is flipped" if factor < 0 else ""
    amount = max(abs(factor), 1 / abs(factor))
    # The exact number is a better estimate than the fitted one, and may not hide a discrepancy.
    exact = amount if known is None else known[1]
    meaning = "" if known is None else f" ({known[0]})"
    look = "look for a constant that is lost or applied twice: a mean, a step, a unit, an exponent"
    if clipped is not None:
        meaning, exact = (
            f" (its norm is {clipped:g}: the gradient is clipped or normalised)",
            amount,
        )
        look = "compare before the gradient is clipped or normalised"
    elif known is not None:
        look = "compare the loss with its derivative: what is divided or multiplied in one only?"
    digits = 8 if amount < NEARLY_ONE else 5
    signed = math.copysign(exact if abs(factor) > 1 else 1 / exact, factor)
    yield _true(
        evidence,
        signed * evidence.here,
        0.5 if meaning else 1,
        f"it is too {kind} by a constant factor of {exact:.{digits}g}{meaning}{flipped}",
        look,
    )


def _round_norm(evidence: Evidence) -> float | None:
    """Return the norm of the gradient, of this parameter or of all, if it is a round number."""
    here = float(np.linalg.norm(evidence.analytic))
    total = math.hypot(here, *(float(np.linalg.norm(each)) for each in evidence.others.values()))
    epsilon = 16 * float(limits(evidence.parameter.dtype).eps)
    for norm in (here, total):
        for number in ROUND_NORMS:
            if abs(norm - number) <= epsilon * number:
                return number
    return None


def clipped_values(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by a least and a largest value."""
    whole = evidence.analytic
    low, high = float(whole.min()), float(whole.max())
    at_high, at_low = np.count_nonzero(whole == high), np.count_nonzero(whole == low)
    if low == high or max(at_high, at_low) < 2:
        return
    least = low if at_low >= 2 else -math.inf
    largest = high if at_high >= 2 else math.inf
    bounds = " and ".join(f"{each:g}" for each in (least, largest) if math.isfinite(each))
    saturated = (evidence.here <= least) | (evidence.here >= largest)
    if bounds == "0" or np.count_nonzero(~saturated) < 2:
        return
    yield _made(
        evidence,
        np.clip(evidence.numerical, least, largest),
        1,
        f"it is clipped at {bounds}",
        "compare before the gradient is clipped",
    )


def conjugated(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by the complex conjugate, or the real part alone."""
    if not evidence.parameter.is_complex:
        return
    imaginary = evidence.coordinates % 2 == 1
    if imaginary.any():
        yield _true(
            evidence,
            np.where(imaginary, -evidence.here, evidence.here),
            0,
            "it is the complex conjugate of the gradient: the convention is ∂f/∂x - i ∂f/∂y",
            "take np.conj of it (PyTorch's convention is the conjugate of this one)",
        )
        if not evidence.analytic[1::2].any():
            yield _made(
                evidence,
                np.where(imaginary, 0, evidence.numerical),
                0.5,
                "its imaginary part is missing",
                "look for .real, abs, or a cast to a real dtype on the way",
            )


def lower_precision(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by rounding to a lower precision, in the end or on the way."""
    bits = significand_bits(evidence.parameter.dtype)
    here, numerical = evidence.here, evidence.numerical
    nonzero = evidence.analytic[evidence.analytic != 0]
    gap = np.abs(here - numerical)
    for significand, name in SIGNIFICANDS:
        unit = 2.0**-significand
        if significand >= bits or nonzero.size < ENOUGH_ENTRIES:
            continue
        shared = np.ldexp(np.frexp(nonzero)[0], significand)
        look = f"look for a cast to {name}, a buffer of it, or a constant array made in it"
        # float16 has a least number, about which its grain is coarser.
        # Rounded to nearest, or cut off.
        rounding = np.maximum(2 * unit * np.abs(numerical), 2.0**-24 if significand == 11 else 0)
        if np.all(shared == np.round(shared)):
            yield _made(
                evidence,
                here - np.sign(here - numerical) * np.maximum(gap - rounding, 0),
                1,
                f"its entries are rounded to the precision of {name}",
                look,
            )
            continue
        size = np.maximum(np.abs(numerical), math.sqrt(float(np.mean(numerical**2))))
        if here.size < ENOUGH_FOR_PATTERN or not size.all() or name != "float32":
            continue
        relative = (here - numerical) / size / unit
        mixed = min(np.mean(relative > 0), np.mean(relative < 0)) >= 0.25
        typical = float(np.median(np.abs(relative)))
        if mixed and typical >= FEWEST_ROUNDINGS and np.max(np.abs(relative)) <= MOST_ROUNDINGS:
            yield Explanation(
                evidence,
                np.zeros_like(here),
                evidence.bound,
                5,
                f"its errors look like rounding in {name}: an intermediate result has a lower"
                " precision",
                look,
            )


# -- places -----------------------------------------------------------------------------------


def _rearranged(evidence: Evidence) -> Iterator[tuple[Floats, str, str]]:
    """List the gradient put in order again, and the disorder that this would undo."""
    shape = evidence.parameter.shape
    if evidence.parameter.is_complex or not shape:
        return
    gradient = evidence.analytic.reshape(shape)
    if len(shape) >= 2:
        if shape[-1] == shape[-2]:
            yield (
                np.swapaxes(gradient, -1, -2),
                "it is transposed",
                "look for a product of matrices in the wrong order, or a missing .T",
            )
        yield (
            gradient.reshape(shape[::-1]).T,
            "its entries are in the order of the transposed array",
            "look for a reshape of a transposed array, or memory read in Fortran order",
        )
    for axis, length in enumerate(shape):
        if length < ENOUGH_ENTRIES:
            continue
        for shift in (1, -1):
            yield (
                np.roll(gradient, shift, axis=axis),
                f"it is shifted by one along axis {axis}: an index is off by one",
                "compare where ranges and slices begin and end in the function and in the gradient",
            )
        yield (
            np.flip(gradient, axis=axis),
            f"it is in reverse order along axis {axis}",
            "look for a [::-1] or a flip (convolutions have one) in one of the two only",
        )


def rearranged(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by entries in other places, perhaps with a simple factor."""
    if np.count_nonzero(evidence.numerical) < ENOUGH_ENTRIES:
        return
    for ordered, cause, look in _rearranged(evidence):
        expected = ordered.reshape(-1)[evidence.coordinates]
        yield _true(evidence, expected, 0.5, cause, look)
        factor = _fitted(expected, evidence.numerical)
        simple = next((each for each in (-1.0, 2.0, 0.5) if abs(factor - each) < 1e-3), None)
        if simple is not None and evidence.here.size >= ENOUGH_ENTRIES:
            rest = (
                "its sign is flipped" if simple < 0 else f"it is off by a factor of {1 / simple:g}"
            )
            yield _true(evidence, simple * expected, 1.5, f"{cause}, and {rest}", look)


def shifted(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by a shift that does not wrap around: the end is something else."""
    shape = evidence.parameter.shape
    if evidence.parameter.is_complex or not shape or evidence.here.size <= ENOUGH_ENTRIES:
        return
    gradient = evidence.analytic.reshape(shape)
    indices = np.unravel_index(evidence.coordinates, shape)
    for axis, length in enumerate(shape):
        for shift in (1, -1):
            edge = indices[axis] == (0 if shift == 1 else length - 1)
            if length < ENOUGH_ENTRIES or np.count_nonzero(~edge) < ENOUGH_ENTRIES:
                continue
            expected = np.roll(gradient, shift, axis=axis).reshape(-1)[evidence.coordinates]
            yield _true(
                evidence,
                np.where(edge, evidence.numerical, expected),
                1,
                f"it is shifted by one along axis {axis}, but for the end: an index is off by one",
                "compare where ranges and slices begin and end in the function and in the gradient",
            )


def permuted(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by entries in whichever other places: each is looked up."""
    parameter = evidence.parameter
    wrong = np.flatnonzero(evidence.wrong)
    if parameter.is_complex or wrong.size < 2:
        return
    order = np.argsort(evidence.analytic)
    values = evidence.analytic[order]
    sources = []
    for place in wrong:
        value, bound = evidence.numerical[place], 2 * evidence.bound[place]
        bound += 16 * float(limits(parameter.dtype).eps) * abs(value)
        first, last = np.searchsorted(values, [value - bound, value + bound], side="left")
        if last != first + 1:
            return
        sources.append(int(order[first]))
    if len(set(sources)) < len(sources):
        return
    entry = evidence.coordinates[wrong[0]]
    name = parameter.name
    example = (
        f"{name}{_listed(parameter.index(int(entry)))} is where"
        f" {name}{_listed(parameter.index(sources[0]))} should be"
    )
    swapped = set(sources) == set(evidence.coordinates[wrong].tolist())
    pair = swapped and wrong.size == 2
    if not pair and wrong.size < ENOUGH_ENTRIES:
        return
    expected = evidence.here.copy()
    expected[wrong] = evidence.analytic[sources]
    where = _common_axis(evidence, wrong, np.array(sources))
    yield _true(
        evidence,
        expected,
        1.5,
        (
            f"two entries{where} are swapped: what belongs to {example}"
            if pair
            else f"its entries{where} are in another order (permuted): what belongs to {example}"
        ),
        "compare the order in which the parameters are packed, sorted or indexed in the function"
        " and in the gradient",
    )


def _common_axis(evidence: Evidence, wrong: NDArray[Any], sources: NDArray[Any]) -> str:
    """Say along which axis entries have moved, if it is one of several."""
    shape = evidence.parameter.shape
    if len(shape) < 2:
        return ""
    here = np.unravel_index(evidence.coordinates[wrong], shape)
    there = np.unravel_index(sources, shape)
    moved = [axis for axis in range(len(shape)) if np.any(here[axis] != there[axis])]
    return f" along axis {moved[0]}" if len(moved) == 1 else ""


def of_another_parameter(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by the gradient of another parameter; one entry could be anything's."""
    if evidence.here.size < 2:
        return
    for name, other in evidence.others.items():
        if other.size != evidence.analytic.size or not other.any():
            continue
        yield _true(
            evidence,
            other[evidence.coordinates],
            0.75,
            f"it is the gradient of another parameter: the gradients of {evidence.parameter.name}"
            f" and {name} are swapped",
            "compare the order in which gradients are returned with the order of the parameters",
        )


# -- axes -------------------------------------------------------------------------------------


def along_an_axis(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by the mean, the sum or one entry along an axis in place of all."""
    shape = evidence.parameter.shape
    if evidence.parameter.is_complex or not shape or not evidence.analytic.any():
        return
    gradient = evidence.analytic.reshape(shape)
    size = float(np.max(np.abs(gradient)))
    for axis, length in enumerate(shape):
        if not 2 <= length <= MOST_MEASURED or np.max(np.ptp(gradient, axis=axis)) > SAME * size:
            continue
        places = np.arange(gradient.size).reshape(shape)
        worst = int(evidence.coordinates[np.argmax(np.abs(evidence.here - evidence.numerical))])
        index: list[Any] = list(np.unravel_index(worst, shape))
        index[axis] = slice(None)
        row = places[tuple(index)]
        extended = evidence.extended(row)
        inside = np.isin(extended.coordinates, row)
        if np.count_nonzero(inside) < length:
            continue
        known = extended.select(inside)
        order = np.argsort(known.coordinates)
        true = known.numerical[order]
        bound = np.full(known.here.size, float(np.max(known.bound)))
        for predicted, what, look in (
            (
                true.mean(),
                "the mean",
                "look for a mean over an axis where a sum over other axes belongs",
            ),
            (true.sum(), "the sum", "the cotangent is summed over an axis that was not broadcast"),
            (true[0], "the first entry", "look for an index 0 in the place of a whole axis"),
            (true[-1], "the last entry", "a loop writes every entry with its last value"),
        ):
            spread = length if what == "the sum" else 1
            yield _made(
                known,
                np.full(known.here.size, predicted),
                1,
                f"it is the same all along axis {axis}, {what} of what it should be there",
                look,
                bound * spread,
            )


def scaled_by_axis(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by a factor for each index of an axis, where several entries share one."""
    parameter = evidence.parameter
    if parameter.is_complex or len(parameter.shape) < 2:
        return
    indices = np.unravel_index(evidence.coordinates, parameter.shape)
    for axis in range(len(parameter.shape)):
        expected = np.zeros_like(evidence.here)
        surplus = 0
        shares = []
        for index in np.unique(indices[axis]):
            places = indices[axis] == index
            factor = _fitted(evidence.here[places], evidence.numerical[places])
            expected[places] = factor * evidence.here[places]
            shares.append(factor)
            surplus += max(0, int(np.count_nonzero(places & evidence.wrong)) - 1)
        if surplus < ENOUGH_ENTRIES:
            continue
        counts = np.round(shares)
        if (
            len(set(counts)) > 1
            and counts.min() >= 1
            and np.max(np.abs(shares - counts)) < COUNT_ACCURACY
        ):
            yield _true(
                evidence,
                expected,
                1.5,
                f"along axis {axis} it is too small by whole numbers, for each index its own: what"
                " occurs several times is overwritten instead of accumulated",
                "replace gradient[indices] += … by np.add.at(gradient, indices, …)",
            )
        yield _true(
            evidence,
            expected,
            2,
            f"its scale is wrong along axis {axis}, by a factor for each index",
            f"look at what is multiplied or divided along axis {axis}: a mask, weights, a norm",
        )


def offset_by_axis(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by a missing term for each index of an axis."""
    parameter = evidence.parameter
    if parameter.is_complex or len(parameter.shape) < 2:
        return
    indices = np.unravel_index(evidence.coordinates, parameter.shape)
    gap = evidence.numerical - evidence.here
    for axis in range(len(parameter.shape)):
        offsets = np.zeros_like(gap)
        surplus = 0
        for index in np.unique(indices[axis]):
            places = indices[axis] == index
            offsets[places] = gap[places].mean()
            surplus += int(np.count_nonzero(places)) - 1
        if surplus >= ENOUGH_ENTRIES:
            yield _true(
                evidence,
                evidence.here + offsets,
                2.5,
                f"a term that is constant for each index of axis {axis} is missing",
                "look for a sum or mean over the other axes that is not differentiated, as in a"
                " softmax or a normalisation",
            )


# -- terms ------------------------------------------------------------------------------------


def missing_terms(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by a missing constant, or multiple of the parameter or of its sign."""
    if evidence.here.size < ENOUGH_ENTRIES:
        return
    name = evidence.parameter.name
    gap = evidence.numerical - evidence.here
    values = evidence.parameter.coordinates()[evidence.coordinates].astype(np.float64)
    for term, text, guess, look, complexity in (
        (values, f"{name}", "a penalty on its squares?", "weight decay", 1.5),
        (np.sign(values), f"the sign of {name}", "a penalty on absolute values?", "L1", 1.75),
    ):
        factor = _fitted(term, gap)
        if factor != 0 and math.isfinite(factor) and np.ptp(np.abs(values)) > 0:
            yield _true(
                evidence,
                evidence.here + factor * term,
                complexity,
                f"a term proportional to {text} is missing ({factor:.4g} times it): {guess}",
                f"look for a regulariser ({look}) that is in one of the two only",
            )
    offset = float(gap.mean())
    yield _true(
        evidence,
        evidence.here + offset,
        1.25,
        f"a constant of {offset:.4g} is missing from every entry",
        "look for a linear term of the loss, a sum or a mean of the parameter, that the gradient"
        " lacks",
    )


def overwritten(evidence: Evidence) -> Iterator[Explanation]:
    """Explain by what is wrong only where an index occurs several times."""
    parameter = evidence.parameter
    if parameter.is_complex or not parameter.shape:
        return
    for name, array in evidence.arrays.items():
        if array.dtype.kind not in "iu" or array.size < 2:
            continue
        for axis, length in enumerate(parameter.shape):
            places = array.reshape(-1)
            if places.min() < -length or places.max() >= length:
                continue
            counts = np.bincount(places % length, minlength=length)
            if not (counts >= 2).any():
                continue
            if (evidence.wrong & ~_occur(counts, evidence, axis)).any():
                continue
            known = evidence.extended(_along(parameter.shape, axis, counts))
            several = _occur(counts, known, axis)
            wrong = known.wrong
            right = known.numerical.astype(bool) & ~several
            if not wrong.any() or (wrong & ~several).any() or not right.any():
                continue
            if np.mean(wrong[several]) < 0.75:
                continue
            yield Explanation(
                known,
                np.where(several, 0, known.here - known.numerical),
                known.bound,
                0.9,
                f"it is wrong where {name} names an index of axis {axis} several times, and right"
                " elsewhere: repeated entries are overwritten instead of accumulated",
                "replace gradient[indices] += … by np.add.at(gradient, indices, …)",
            )


def _occur(counts: NDArray[np.intp], evidence: Evidence, axis: int) -> NDArray[np.bool_]:
    """Tell of which known coordinates the index along an axis occurs several times."""
    index = np.unravel_index(evidence.coordinates, evidence.parameter.shape)[axis]
    return np.asarray(counts[index] >= 2)


def _along(shape: tuple[int, ...], axis: int, counts: NDArray[Any]) -> NDArray[np.intp]:
    """Choose entries to measure: of indices that occur once, and of some that occur often."""
    chosen = [*np.flatnonzero(counts == 1)[:4], *np.flatnonzero(counts >= 2)[:4]]
    index = [np.zeros(len(chosen), np.intp) for _ in shape]
    index[axis] = np.array(chosen, np.intp)
    return np.asarray(np.ravel_multi_index(tuple(index), shape), np.intp)


def _listed(index: tuple[int, ...]) -> str:
    return str(list(index)) if index else ""


MISTAKES: tuple[Mistake, ...] = (
    detached,
    not_masked,
    wrong_sign,
    conjugated,
    constant_factor,
    rearranged,
    of_another_parameter,
    overwritten,
    lost_sign,
    clipped_values,
    along_an_axis,
    shifted,
    permuted,
    missing_terms,
    scaled_by_axis,
    offset_by_axis,
    lower_precision,
)
