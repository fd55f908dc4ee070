"""Plain values inside traced ones, for results through which no gradient flows."""

from __future__ import annotations

from typing import Any

import numpy as np

from steepest.array.array import Array
from steepest.errors import NeedsValueError
from steepest.ops.spec import Value

__all__ = ["plain_arguments", "plain_value"]


def plain_value(value: Value, asked: str) -> Value:
    """Take the ndarray or number out of a traced value, through every trace.

    Raises
    ------
    NeedsValueError
        When only its shape and dtype are known.
    """
    while isinstance(value, Array):
        if value._value is None:
            raise NeedsValueError(
                f"{asked} needs the values of its arguments, of which only shapes and dtypes are"
                " known while the function is compiled",
                instead="compute it before the function is called and pass the result in",
            )
        value = value._value
    if isinstance(value, np.ndarray):
        # The recorded value must not be written into behind the trace's back.
        value = value.view()
        value.flags.writeable = False
    return value


def plain_arguments(arguments: Any, asked: str) -> Any:
    """Replace the Arrays in nested tuples, lists and dicts of arguments by their plain values."""
    if isinstance(arguments, Array):
        return plain_value(arguments, asked)
    if type(arguments) in (tuple, list):
        return type(arguments)(plain_arguments(each, asked) for each in arguments)
    if type(arguments) is dict:
        return {key: plain_arguments(each, asked) for key, each in arguments.items()}
    return arguments
