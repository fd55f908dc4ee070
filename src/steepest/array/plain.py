"""Plain values inside traced ones, for results through which no gradient flows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from steepest.array.array import Array
from steepest.array.buffers import duck, linked, making
from steepest.errors import NeedsValueError, UnsupportedError
from steepest.ops.spec import Traced, Value, is_ndarray

__all__ = [
    "apply_plainly",
    "base_array",
    "check_keeps_numbers",
    "check_meanings",
    "holds",
    "is_known",
    "is_traced",
    "may_hold",
    "means_otherwise",
    "plain_arguments",
    "plain_value",
    "written_through",
]


def means_otherwise(value: object) -> bool:
    """Whether a value is of a subclass of ndarray that means something else by the operators."""
    # Of an ndarray itself this is known without importing numpy.ma.
    return (
        type(value) is not np.ndarray
        and is_ndarray(value)
        and isinstance(value, (np.matrix, np.ma.MaskedArray))
    )


def base_array(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Take an array of a subclass that only adds to ndarray (``np.memmap``) as an ndarray.

    Raises
    ------
    UnsupportedError
        For those that mean something else by the same operators.
    """
    if type(array) is np.ndarray:
        return array
    if means_otherwise(array):
        raise UnsupportedError(
            f"an array of the type {type(array).__name__} meets a traced value",
            instead="np.asarray(matrix) and @ for its products; masked.filled(value), or"
            " np.where(mask, …), for a masked array",
        )
    return array.view(np.ndarray)


def check_meanings(values: Iterable[Any]) -> None:
    """Check that there is no masked array or matrix among values, or in lists among them.

    Raises
    ------
    UnsupportedError
        Where there is one: as an ndarray it would be without its mask.
    """
    for value in values:
        kind = type(value)
        if kind is list or kind is tuple:
            check_meanings(value)
        elif kind is not np.ndarray and not isinstance(value, Traced) and is_ndarray(value):
            base_array(value)


def check_keeps_numbers(dtype: np.dtype[Any]) -> None:
    """Check that an array of a dtype can hold traced values.

    Raises
    ------
    UnsupportedError
        For objects and records: such an array would get the numbers without their gradients.
    """
    if dtype.kind in "OV":
        raise UnsupportedError(
            f"an array of {'objects' if dtype.kind == 'O' else 'records'} would lose the gradients"
            " of traced values",
            instead="a list, a dict or a dataclass of arrays"
            + ("; np.empty(n, dtype=object), written entry by entry" * (dtype.kind == "O")),
        )


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
    if is_ndarray(value):
        # The recorded value must not be written into behind the trace's back.
        value = value.view()
        value.flags.writeable = False
    return value


def is_known(value: Value) -> bool:
    """Whether a value is more than a shape and dtype, as while recording these alone."""
    while isinstance(value, Array):
        if value._value is None:
            return False
        value = value._value
    return True


def holds(condition: Value) -> bool:
    """Whether a condition is known to hold somewhere: what NumPy raises or warns at."""
    return is_known(condition) and bool(np.any(condition))


def may_hold(condition: Value) -> bool:
    """Whether a condition holds somewhere, or may, where its values are not known."""
    return not is_known(condition) or bool(np.any(condition))


def plain_arguments(arguments: Any, asked: str) -> Any:
    """Replace the Arrays in nested tuples, lists and dicts of arguments by their plain values."""
    if isinstance(arguments, Array):
        return plain_value(arguments, asked)
    if type(arguments) in (tuple, list):
        return type(arguments)(plain_arguments(each, asked) for each in arguments)
    if type(arguments) is dict:
        return {key: plain_arguments(each, asked) for key, each in arguments.items()}
    return arguments


def is_traced(value: Any) -> bool:
    """Whether there is an Array in which something is differentiated among nested arguments."""
    if isinstance(value, Traced):
        return value._trace.active
    if isinstance(value, (tuple, list)):
        for each in value:
            if isinstance(each, Traced):
                if each._trace.active:
                    return True
            elif isinstance(each, (tuple, list, dict)) and is_traced(each):
                return True
        return False
    return isinstance(value, dict) and any(map(is_traced, value.values()))


def apply_plainly(function: Callable[..., Any], args: Any, settings: dict[str, Any]) -> Value:
    """Call NumPy with the plain values of Arrays in which nothing is differentiated."""
    plain_args, plain_settings = plain_arguments((args, settings), function.__name__)
    if "overwrite_input" in plain_settings:
        # It may, and need not.
        plain_settings["overwrite_input"] = False
    result = function(*plain_args, **plain_settings)
    if not making.depth:
        return result
    given = [each for each in (*args, *settings.values()) if isinstance(each, Array)]
    return _watched(duck(result), function, given)


def _watched(result: Value, function: Callable[..., Any], given: list[Array]) -> Value:
    """Let no write go unnoticed by a view of what was given that a function has made."""
    if type(result) in (tuple, list):
        return type(result)(_watched(each, function, given) for each in result)
    if isinstance(result, Array) and not result._value.flags.writeable:
        for each in given:
            if np.may_share_memory(result._value, each._value):
                return linked(
                    result, each, writeable=False, refusal=written_through(function.__name__)
                )
    return result


def written_through(name: str) -> UnsupportedError:
    """Make the error for a write that a view by a function that is not followed would have seen."""
    return UnsupportedError(
        f"an array was written into of which np.{name} had made a view",
        instead=f"np.{name} of a copy of the array, or after the last write",
    )
