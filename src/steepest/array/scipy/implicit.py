"""Solutions of equations, as functions of what the equations depend on.

SciPy finds a solution with plain values. Its derivative is that of the exact solution, by the
implicit function theorem (A. Griewank and A. Walther, "Evaluating Derivatives", 2nd edition, 2008,
chapter 15): where F(x, p) = 0, ∂x/∂p = −(∂F/∂x)⁻¹ ∂F/∂p, at the point that SciPy returned.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.array import Array
from steepest.array.calculus import calculus
from steepest.array.plain import is_traced, plain_arguments, plain_value
from steepest.array.scipy.followed import original_of
from steepest.errors import UnsupportedError
from steepest.ops.spec import Traced, Value

__all__ = [
    "GivenPlainly",
    "as_column",
    "as_row_of_numbers",
    "invertible",
    "others_of",
    "solution_of",
    "solved_plainly",
    "with_value",
]

Function = Callable[[Value], Value]

_FARTHEST = 1e-2
"""How far from the solution, compared with its size or 1, SciPy may have stopped."""

_WORST_CONDITION = 1e13


class GivenPlainly:
    """Functions and values as SciPy's compiled code can do with them.

    Parameters
    ----------
    name : str
        Of SciPy's function.

    Attributes
    ----------
    seen : bool
        Whether something was traced of what was given, or returned by a function that was.
    """

    def __init__(self, name: str) -> None:
        self.asked = f"{name}, which decides by values what it does next,"
        self.seen = False

    def __call__(self, given: Any) -> Any:
        """Take the traced values out of what is given, and out of what functions return."""
        if isinstance(given, Traced):
            return self._plain(given)
        if type(given) in (tuple, list):
            return type(given)(map(self, given))
        if type(given) is dict:
            return {key: self(each) for key, each in given.items()}
        kind = type(given)
        if kind.__module__.startswith("scipy.optimize") and kind.__name__ in _WITH_PARTS:
            return kind(*(self(getattr(given, each)) for each in _WITH_PARTS[kind.__name__]))
        if inspect.isclass(given) or not callable(given) or kind.__module__.startswith("scipy."):
            return given
        return self._function(given)

    def _function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function, updated=())
        def plainly(*args: Any, **settings: Any) -> Any:
            return self._plain(function(*args, **settings))

        return plainly

    def _plain(self, value: Any) -> Any:
        self.seen = self.seen or is_traced(value)
        return _copied(plain_arguments(value, self.asked))


def solved_plainly(
    name: str, args: tuple[Any, ...], settings: dict[str, Any], *, defaults: bool = False
) -> tuple[Any, dict[str, Any]]:
    """Call a function of scipy.optimize with plain values.

    Parameters
    ----------
    name : str
    defaults : bool
        Whether arguments that were not given are listed too.

    Returns
    -------
    found
        What it returns.
    given : dict
        The arguments by their names; none where nothing was traced.
    """
    original = original_of("scipy.optimize", name)
    plainly = GivenPlainly(f"scipy.optimize.{name}")
    found = original(*plainly(args), **plainly(settings))
    if not plainly.seen:
        return found, {}
    bound = inspect.signature(original).bind(*args, **settings)
    if defaults:
        bound.apply_defaults()
    return found, bound.arguments


def others_of(given: dict[str, Any]) -> tuple[Any, ...]:
    """Take the arguments that a solver hands on to the function."""
    others = given.get("args", ())
    return others if isinstance(others, tuple) else (others,)


def as_row_of_numbers(value: Value) -> Value:
    """Take what a function returns as a vector of real numbers."""
    array = as_array(value)
    return as_column(array, array.size)


_WITH_PARTS = {
    "Bounds": ("lb", "ub", "keep_feasible"),
    "LinearConstraint": ("A", "lb", "ub", "keep_feasible"),
    "NonlinearConstraint": ("fun", "lb", "ub", "jac", "hess", "keep_feasible"),
}


def _copied(value: Any) -> Any:
    """Let compiled code write into arrays: those that are taken out of Arrays are read-only."""
    if type(value) is np.ndarray and not value.flags.writeable:
        return value.copy()
    return type(value)(map(_copied, value)) if type(value) in (tuple, list) else value


def with_value(value: Value, formula: Value) -> Value:
    """Take SciPy's value, and the derivative of a formula for it."""
    if not is_traced(formula):
        return value
    known = plain_value(formula, "a result of SciPy's")
    change = formula - known
    if not np.all(np.isfinite(known)):
        change = np.where(np.isfinite(known), change, 0.0)
    return value + change


def _depth(value: Value) -> int:
    """Count the derivatives that are being taken of a value."""
    depth = 0
    while isinstance(value, Array):
        depth += value._trace.active
        value = value._value
    return depth


def invertible(matrix: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    """Check that a system of equations has one solution, whatever the units of its unknowns.

    Raises
    ------
    UnsupportedError
        Where it has not.
    """
    rows = np.max(np.abs(matrix), axis=1, keepdims=True, initial=0)
    scaled = matrix / np.where(rows == 0, 1, rows)
    columns = np.max(np.abs(scaled), axis=0, keepdims=True, initial=0)
    scaled = scaled / np.where(columns == 0, 1, columns)
    if not np.all(np.isfinite(scaled)) or (
        scaled.size and not np.linalg.cond(scaled) < _WORST_CONDITION
    ):
        raise UnsupportedError(
            f"{name} is not differentiated where its solution is not isolated: the matrix of"
            " derivatives is singular there",
            instead="equations that determine the solution, as by a penalty on what they leave"
            " open; sd.stop_gradient of what the equations depend on, where no gradient is wanted",
        )
    return matrix


def solution_of(
    residual: Function, found: Value, name: str, jacobian: Function | None = None
) -> Value:
    """Make a solution that SciPy has found a function of what its equations depend on.

    Each of Newton's steps on traced values doubles the number of derivatives that are right.

    Parameters
    ----------
    residual : callable
        Takes an array of one axis, and returns one of that length: 0, up to what SciPy left.
    found : ndarray (n,)
    name : str
        Of SciPy's function.
    jacobian : callable, optional
        That of `residual`.

    Raises
    ------
    UnsupportedError
        Where SciPy has not found a solution, or one that is not isolated.
    """
    left = residual(found)
    if not is_traced(left):
        return found
    asked = f"the derivative of {name}"
    held = plain_value(left, asked)
    jacobian = calculus.jacobian(residual) if jacobian is None else jacobian
    matrix: Value = invertible(plain_value(jacobian(found), asked), name)
    away = np.abs(np.linalg.solve(matrix, held))
    if not np.all(away <= _FARTHEST * np.maximum(np.max(np.abs(found), initial=0), 1)):
        raise UnsupportedError(
            f"{name} is not differentiated where it has not converged: its result is not a"
            " solution, whose derivative it would have",
            instead="another start, or more iterations; sd.stop_gradient of what the equations"
            " depend on, where no gradient is wanted",
        )
    x = found - np.linalg.solve(matrix, left - held)
    for _ in range(_depth(left).bit_length() - 1):
        x = x - np.linalg.solve(jacobian(x), residual(x) - held)
    return x


def as_column(value: Value, size: int) -> Value:
    """Take what a function returned, an array or a list, as an array of one axis."""
    array = as_array(value)
    if array.dtype.kind == "c":
        raise UnsupportedError(
            "equations with complex values are not differentiated",
            instead="real and imaginary part as two equations",
        )
    return np.reshape(array.astype(np.float64), (size,))
