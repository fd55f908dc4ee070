"""Numbers that gradients are wrong by, and what they mean."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

__all__ = ["meaning_of_factor"]

MEAN_OR_SUM = "a mean taken for a sum, or a sum for a mean"
CONSTANTS: tuple[tuple[float, str], ...] = (
    (math.pi, "π"),
    (2 * math.pi, "2π"),
    (math.sqrt(2), "√2"),
    (math.sqrt(math.pi), "√π"),
    (math.sqrt(2 * math.pi), "√(2π)"),
    (math.sqrt(math.pi / 2), "√(π/2)"),
    (2 / math.sqrt(math.pi), "2/√π"),
    (1 / math.log(2), "1/ln 2: a logarithm to base 2"),
    (math.log(10), "ln 10: a logarithm to base 10"),
    (180 / math.pi, "180/π: degrees and radians"),
    (255.0, "255: pixel values that are scaled"),
)
FEW = 2
# The exponents of small powers have such ratios too.
ENOUGH_FOR_RATIO = 6


def meaning_of_factor(
    factor: float, uncertainty: float, lengths: Mapping[int, str]
) -> tuple[str, float] | None:
    """Recognise a factor, whichever way round.

    Parameters
    ----------
    factor : float
        Not 0.
    uncertainty : float
        Its relative error.
    lengths : dict of int to str
        Lengths that occur in the problem, and what they are lengths of.

    Returns
    -------
    meaning : str
    amount : float
        The exact number, above 1.

    Examples
    --------
    >>> meaning_of_factor(-0.5, 1e-9, {})
    ('the 2 of a square, or the ½ before it', 2.0)
    >>> meaning_of_factor(8.0, 1e-9, {64: "the length of axis 0 of data"})[0]
    '√64, the length of axis 0 of data'
    """
    amount = max(abs(factor), 1 / abs(factor))
    allowed = min(1e-3, max(1e-6, 4 * uncertainty))
    for number, meaning in _candidates(amount, lengths):
        if abs(amount - number) <= allowed * number:
            return meaning, number
    return None


def _candidates(amount: float, lengths: Mapping[int, str]) -> Iterator[tuple[float, str]]:
    yield 2.0, "the 2 of a square, or the ½ before it"
    known = [(length, name) for length, name in lengths.items() if length > FEW]
    for length, name in known:
        yield float(length), f"{name}: {MEAN_OR_SUM}?"
    for length, name in known:
        yield float(length) ** 2, f"the square of {length}, {name}: {MEAN_OR_SUM}, twice?"
        yield math.sqrt(length), f"√{length}, {name}"
        if length >= ENOUGH_FOR_RATIO:
            ratio = f"{length}/{length - 1}"
            yield (
                length / (length - 1),
                f"{ratio}, with {name}: a variance divided by n or by n - 1?",
            )
    for place, (first, name) in enumerate(known):
        for second, other in known[place + 1 :]:
            yield (
                float(first * second),
                f"{first}·{second}, {name} and {other}: {MEAN_OR_SUM}?",
            )
    yield from CONSTANTS
    nearest = round(amount)
    if nearest > FEW:
        power = math.log10(nearest)
        if power > 1 and power == round(power):
            yield float(nearest), "a power of ten: two units of the same quantity?"
        yield float(nearest), f"{MEAN_OR_SUM} over {nearest}?"
