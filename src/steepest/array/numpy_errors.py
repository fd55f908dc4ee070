"""Errors of the class that NumPy raises, which users' ``except`` clauses are written for."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.array import Array, value_type
from steepest.array.plain import is_known, plain_value
from steepest.errors import SteepestError
from steepest.ops.spec import is_ndarray

__all__ = ["NUMPY_ERRORS", "as_numpy_raises"]

NUMPY_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""The classes of the errors that NumPy's functions raise."""


def as_numpy_raises(
    error: Exception,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    settings: dict[str, Any],
) -> Exception:
    """Find the error that NumPy raises for a call that an implementation has refused.

    NumPy is asked itself, with copies of the arguments, or with ones where values are unknown. An
    error of steepest's own, one that NumPy does not raise, and one of a function of the user's,
    which must not be called again, are returned as they are.
    """
    if isinstance(error, SteepestError) or _calls_back((args, settings)):
        return error
    try:
        plain_args, plain_settings = _copied((args, settings))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            function(*plain_args, **plain_settings)
    except NUMPY_ERRORS as refusal:
        return error if isinstance(error, type(refusal)) else refusal.with_traceback(None)
    return error


def _calls_back(value: Any) -> bool:
    """Whether there is a function among nested arguments."""
    if isinstance(value, (tuple, list)):
        return any(map(_calls_back, value))
    if isinstance(value, dict):
        return any(map(_calls_back, value.values()))
    return callable(value) and not isinstance(value, type)


def _copied(value: Any) -> Any:
    """Copy nested arguments, without traces."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(_copied, value)) if type(value) in (tuple, list) else value
    if type(value) is dict:
        return {name: _copied(each) for name, each in value.items()}
    if isinstance(value, Array):
        value = plain_value(value, "an error") if is_known(value) else _stand_in(value)
    return np.array(value) if is_ndarray(value) else value


def _stand_in(value: Array) -> Any:
    kind = value_type(value)
    if kind.weak:
        return kind.dtype.type(1).item()
    ones = np.ones(kind.shape, kind.dtype)
    return ones if value._is_ndarray() else ones[()]
