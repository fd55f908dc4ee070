"""Tell a function that is constant piece by piece from one that does not change at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Jump", "find_jump"]

# Where to look for another value, in multiples of a direction scaled like x.
DISTANCES = (1.0, -1.0, 8.0, -8.0, 64.0, -64.0)
BISECTIONS = 40
# What remains of a difference when the interval has shrunk by 2**-40 is a jump.
ABRUPT = 1e-6
# A function is constant beyond a jump when it is so this near to it.
BESIDE = 2.0**-20


@dataclass(frozen=True, slots=True)
class Jump:
    """A jump of a function that does not move near x.

    Attributes
    ----------
    distance : float
        How far from x, in multiples of the direction.
    height : float
    """

    distance: float
    height: float


def find_jump(sample: Callable[[float], float], centre: float, noise: float = 0.0) -> Jump | None:
    """Look for a jump between two pieces on which a function is constant.

    Parameters
    ----------
    sample : callable
        ``sample(step)`` is f(x + step d), which equals f(x) for small steps.
    centre : float
        f(x).
    noise : float
        Smaller jumps are rounding.

    Returns
    -------
    Jump or None
        None where the function does not change, or does so without a jump.

    Examples
    --------
    >>> find_jump(lambda step: float(round(2.3 + step)), 2.0)
    Jump(distance=0.2, height=1.0)
    >>> find_jump(lambda step: max(step - 0.5, 0.0), 0.0)
    """
    for distance in DISTANCES:
        value = sample(distance)
        if not abs(value - centre) > noise or not np.isfinite(value):
            continue
        near, far, beyond = 0.0, distance, value
        for _ in range(BISECTIONS):
            middle = (near + far) / 2
            between = sample(middle)
            if between == centre:
                near = middle
            else:
                far, beyond = middle, between
        height = beyond - centre
        abrupt = abs(height) >= max(ABRUPT * abs(value - centre), noise)
        if abrupt and sample(far + BESIDE * distance) == beyond:
            return Jump(float(np.round(abs(far), 6)), height)
        return None
    return None
