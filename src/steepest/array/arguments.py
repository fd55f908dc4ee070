"""Arguments as NumPy's functions take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from steepest.array import creating
from steepest.array.array import Array, value_type
from steepest.ops.spec import Value

__all__ = ["NO_VALUE", "as_array", "check_taken_into", "given", "memory_order"]

NO_VALUE: Any = np._NoValue
"""What NumPy itself passes for a keyword that was not given."""


def given(**settings: Any) -> dict[str, Any]:
    """Keep the keywords that were given."""
    return {key: value for key, value in settings.items() if value is not NO_VALUE}


def memory_order(order: Any) -> Any:
    """Take the name of an order of entries as NumPy does, which small letters are good for too."""
    if order is None or order in ("C", "F", "A", "K"):
        return order
    np.empty(0).copy(order)  # NumPy's error
    return order.upper()


def check_taken_into(target: np.dtype[Any], dtype: np.dtype[Any]) -> None:
    """Check that an array can be given as out= of what takes entries of another as they are.

    NumPy copies it into one of the entries' dtype first, and back after that.
    """
    if not np.can_cast(target, dtype):
        raise TypeError(
            f"Cannot cast array data from {target!r} to {dtype!r} according to the rule 'safe'"
        )


def as_array(value: Value) -> Value:
    """Take a value as NumPy's functions do: a Python number is an array of its dtype.

    A list that holds traced values is the Array of them. An Array is a new one over the same
    record: what is done to it here makes no view of the user's, which may still be written into.
    """
    if not isinstance(value, Array):
        value = creating.joined(value)
        return value if isinstance(value, Array) else np.asarray(value)
    if not isinstance(value._value, (np.ndarray, np.generic)) and value_type(value).weak:
        return value.astype(value.dtype)
    return Array(value._trace, value._value, value._node)
