"""Functions that SciPy writes in Python: they are followed like code of the user's.

What they call of compiled code is found as everywhere else: ``lfilter`` in ``filtfilt`` is what
stands for it here.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from steepest.array.creating import following, untouched_numpy
from steepest.array.plain import is_known, is_traced, plain_arguments
from steepest.array.scipy.names import LIBRARIES
from steepest.errors import SteepestError, TracedConversionError, UnsupportedError
from steepest.ops.spec import Traced, Value

__all__ = ["always", "follow", "followed", "followed_with_callbacks", "original_of"]


def always(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that is to be called while tracing whatever its arguments are."""
    function.always = True  # type: ignore[attr-defined]  # read in `names`
    return function


def follow(
    original: Callable[..., Any],
    name: str,
    instead: str,
    modules: tuple[str, ...],
    args: Any,
    settings: dict[str, Any],
) -> Any:
    """Run a function of SciPy's on Arrays.

    Parameters
    ----------
    original : callable
    name, instead : str
        How it is called, and what to write where it cannot be followed.
    modules : tuple of str
        How the names of the modules begin in which it is written.
    args, settings
        Of the call.

    Raises
    ------
    UnsupportedError
        Where code of SciPy's cannot do with Arrays what it does with ndarrays.
    """
    try:
        with following(*modules, *LIBRARIES):
            return original(*args, **settings)
    except SteepestError:
        raise
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        _raise_what_scipy_raises(original, args, settings)
        raise UnsupportedError(
            f"{name} is not differentiated with these arguments ({type(error).__name__} in SciPy:"
            f" {error})",
            instead=instead,
        ) from error


def _raise_what_scipy_raises(
    original: Callable[..., Any], args: Any, settings: dict[str, Any]
) -> None:
    """Raise the error that SciPy's function raises of ndarrays too."""
    if _all_known((args, settings)):
        plain_args, plain_settings = plain_arguments((args, settings), "SciPy")
        with untouched_numpy():
            original(*plain_args, **plain_settings)


def _all_known(value: Value) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_all_known, value))
    if isinstance(value, dict):
        return all(map(_all_known, value.values()))
    return not isinstance(value, Traced) or is_known(value)


def followed(module: str, names: str, instead: str, *others: str) -> dict[str, Callable[..., Any]]:
    """Make a table of functions that are followed.

    Parameters
    ----------
    module : str
        SciPy's public module.
    names : str
        Of its functions, separated by spaces; what SciPy does not have is left out.
    instead : str
        What to write where a function cannot be followed.
    *others : str
        Beginnings of further modules that are followed.
    """
    modules = (f"{module}.", *others)

    def one(name: str) -> Callable[..., Any]:
        def function(*args: Any, **settings: Any) -> Any:
            original = original_of(module, name)
            return follow(original, f"{module}.{name}", instead, modules, args, settings)

        return function

    return {name: one(name) for name in names.split()}


@functools.cache
def original_of(module: str, name: str) -> Any:
    """Find SciPy's own function, whatever stands for it."""
    return vars(importlib.import_module(module))[name]


def followed_with_callbacks(
    module: str, names: str, instead: str, *others: str
) -> dict[str, Callable[..., Any]]:
    """Make a table of functions to which functions are given, that may return traced values.

    What needs no derivative is computed by SciPy's own code.

    Parameters
    ----------
    module, names, instead, *others
        As for `followed`.
    """

    def one(name: str, on_arrays: Callable[..., Any]) -> Callable[..., Any]:
        @always
        def function(*args: Any, **settings: Any) -> Any:
            if not is_traced((args, settings)):
                try:
                    return original_of(module, name)(*args, **settings)
                except (TracedConversionError, UnsupportedError):
                    # A callback has returned a traced value.
                    pass
            return on_arrays(*args, **settings)

        return function

    table = followed(module, names, instead, *others)
    return {name: one(name, function) for name, function in table.items()}
