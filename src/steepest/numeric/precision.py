"""The precisions in which a function can be evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["DOUBLE", "EXTENDED", "NATIVE", "SINGLE", "Precision", "significand_bits"]

# Left to a direction, so that its coordinates still differ once they are rounded.
RESERVED_BITS = 8


@dataclass(frozen=True, slots=True)
class Precision:
    """A floating-point precision to which the inputs of a function are raised.

    Attributes
    ----------
    name : str
    real : numpy.dtype or None
        The least precision of every input; None leaves each input as it was given.
    """

    name: str
    real: np.dtype[Any] | None

    def of(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the dtype in which an input of the given dtype is evaluated."""
        return dtype if self.real is None else np.promote_types(dtype, self.real)

    def real_part(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the dtype of one real coordinate of an input of the given dtype."""
        return np.dtype(np.finfo(self.of(dtype)).dtype)

    def bits(self, dtype: np.dtype[Any]) -> int:
        """Return the significand bits, the leading one included."""
        return significand_bits(self.of(dtype))

    def deepest_exponent(self, dtype: np.dtype[Any]) -> int:
        """Return the largest k for which x ± 8**-k d is still exact for rounded directions d."""
        bits = self.bits(dtype)
        return (bits - min(RESERVED_BITS, bits // 2)) // 3


NATIVE = Precision("as given", None)
SINGLE = Precision("single", np.dtype(np.float32))
DOUBLE = Precision("double", np.dtype(np.float64))
EXTENDED = Precision("extended", np.dtype(np.longdouble))


def significand_bits(dtype: np.dtype[Any]) -> int:
    """Return the significand bits of a real or complex floating dtype."""
    return int(np.finfo(dtype).nmant) + 1
