"""The precisions in which a function can be evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "DOUBLE",
    "EXTENDED",
    "NATIVE",
    "SINGLE",
    "Precision",
    "is_floating",
    "is_half_precision",
    "limits",
    "significand_bits",
]

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
        real: np.dtype[Any] = np.dtype(limits(self.of(dtype)).dtype)
        return real

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


def is_floating(dtype: np.dtype[Any]) -> bool:
    """Whether numbers of a dtype are real or complex floating point.

    The bfloat16 of the package ml_dtypes is, which NumPy takes for a dtype without arithmetic.
    """
    return dtype.kind in "fc" or dtype.name == "bfloat16"


def limits(dtype: np.dtype[Any]) -> Any:
    """Return what `numpy.finfo` says of a dtype; of bfloat16 too."""
    if dtype.kind in "fc":
        return np.finfo(dtype)
    # It is installed: the dtype is its own.
    from ml_dtypes import finfo

    return finfo(dtype)


def significand_bits(dtype: np.dtype[Any]) -> int:
    """Return the significand bits of a real or complex floating dtype."""
    return int(limits(dtype).nmant) + 1


def is_half_precision(dtype: np.dtype[Any]) -> bool:
    """Whether numbers of a dtype are floating point, and coarser than single precision."""
    return is_floating(dtype) and significand_bits(dtype) < significand_bits(np.dtype(np.float32))
