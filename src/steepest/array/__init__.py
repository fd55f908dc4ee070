"""Arrays that run NumPy code and record it."""

from steepest.array.array import Array, value_type

__all__ = ["Array", "value_type"]
