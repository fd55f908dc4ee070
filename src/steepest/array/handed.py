"""Functions of SciPy's that were handed over, rather than found by their names.

`steepest.array.scipy` has what stands for a function of SciPy's found where a name is looked up.
A function that is an argument, as in ``grad(scipy.special.logsumexp)``, or that a closure holds,
was looked up before. Where a function is about to be traced, it is therefore exchanged: by a copy
of the function whose closure or defaults hold what stands for SciPy's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import CellType, FunctionType, MethodType
from typing import Any

from steepest.array.creating import stand_in

__all__ = ["as_handed"]

_CALLABLE = (FunctionType, MethodType, functools.partial)


def as_handed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Exchange SciPy's functions in a function that is to be traced; itself where there are none.

    It is called where `UserCode` has been entered, anew for each trace: a closure may change.
    """
    # Almost every function of the user's is told here: each call of a gradient asks.
    if (
        type(function) is FunctionType
        and not function.__defaults__
        and not _holds(function)
        and (function.__module__ or "")[:6] != "scipy."
    ):
        return function
    result: Callable[..., Any] = _exchanged(function, set())
    return result


def _holds(function: FunctionType) -> bool:
    """Whether a closure holds functions."""
    for cell in function.__closure__ or ():
        try:
            if type(cell.cell_contents) in _CALLABLE:
                return True
        except ValueError:  # It is empty as yet.
            pass
    return False


def _exchanged(value: Any, seen: set[int]) -> Any:
    if type(value) not in _CALLABLE or id(value) in seen:
        return value
    if type(value) is functools.partial:
        function = _exchanged(value.func, seen)
        if function is value.func:
            return value
        return functools.partial(function, *value.args, **value.keywords)
    found = stand_in(value)
    if found is not value or type(value) is not FunctionType:
        return found
    seen.add(id(value))  # A function may hold itself.
    cells = value.__closure__ or ()
    closure = tuple(_exchanged_cell(each, seen) for each in cells)
    given = value.__defaults__ or ()
    defaults = tuple(_exchanged(each, seen) for each in given)
    if all(map(_is, closure, cells)) and all(map(_is, defaults, given)):
        return value
    copy = FunctionType(value.__code__, value.__globals__, value.__name__, defaults, closure)
    copy.__kwdefaults__ = value.__kwdefaults__
    return functools.update_wrapper(copy, value)


def _exchanged_cell(cell: CellType, seen: set[int]) -> CellType:
    try:
        held = cell.cell_contents
    except ValueError:  # It is empty as yet.
        return cell
    exchanged = _exchanged(held, seen)
    return cell if exchanged is held else CellType(exchanged)


def _is(one: object, other: object) -> bool:
    return one is other
