"""Minima of functions: SciPy's, with the derivatives of the exact ones.

A minimum is a stationary point of the Lagrangian, with the constraints that hold it as equations;
`implicit` has its derivative (A. V. Fiacco, "Introduction to Sensitivity and Stability Analysis in
Nonlinear Programming", 1983, chapter 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.calculus import calculus
from steepest.array.plain import plain_value
from steepest.array.scipy.followed import always, followed
from steepest.array.scipy.implicit import (
    as_row_of_numbers,
    others_of,
    solution_of,
    solved_plainly,
    with_value,
)
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS", "Constraint", "limits", "minimum_of"]

Function = Callable[..., Any]

_NEAR = 1e-4
"""How far from a limit SciPy's methods that stay inside of it may stop."""

_WITHOUT_FORCE = 1e-7


@dataclass(frozen=True)
class Constraint:
    """A function whose entries lie between limits.

    Attributes
    ----------
    function : callable
        Takes and returns an array of one axis.
    low, high : array
        Of the length of the result, or numbers; infinite where there is no limit.
    """

    function: Callable[[Value], Value]
    low: Value
    high: Value


def limits(bounds: Any, size: int) -> list[Constraint]:
    """Make constraints of SciPy's bounds: an object with two arrays, or pairs."""
    if bounds is None:
        return []
    if hasattr(bounds, "lb"):
        low, high = (as_array(each) for each in (bounds.lb, bounds.ub))
    else:
        low = as_array([-np.inf if each is None else each for each, _ in bounds])
        high = as_array([np.inf if each is None else each for _, each in bounds])
    return [Constraint(lambda x: x, *(np.broadcast_to(each, (size,)) for each in (low, high)))]


def minimum_of(
    objective: Callable[[Value], Value],
    found: np.ndarray[Any, Any],
    name: str,
    constraints: Sequence[Constraint] = (),
) -> Value:
    """Make a minimum that SciPy has found a function of what the objective depends on.

    Parameters
    ----------
    objective : callable
        Takes an array of one axis, returns a number.
    found : ndarray (n,)
    name : str
        Of SciPy's function.
    constraints : sequence of Constraint

    Raises
    ------
    UnsupportedError
        Where SciPy has not found a stationary point, or one that is not isolated, or where a
        constraint is met without any force, so that the derivative is one-sided.
    """
    slope = calculus.gradient(objective)
    asked = f"the derivative of {name}"
    active = _active(objective, found, constraints, asked, name)
    if not active:
        return solution_of(slope, found, name)
    size = found.size

    def held(x: Value) -> Value:
        return np.concatenate([each.function(x)[places] for each, places, _ in active])

    ends = [
        np.reshape(as_array(end), (-1,)).astype(np.float64)[places]
        if np.ndim(end)
        else np.broadcast_to(as_array(end), (len(places),))
        for (_, places, end) in active
    ]
    end = np.concatenate(ends)

    def residual(z: Value) -> Value:
        x, forces = z[:size], z[size:]
        pulled = calculus.gradient(lambda x: objective(x) - np.sum(forces * held(x)))(x)
        return np.concatenate([pulled, held(x) - end])

    normals = plain_value(calculus.jacobian(held)(found), asked)
    forces = np.linalg.lstsq(normals.T, plain_value(slope(found), asked))[0]
    return solution_of(residual, np.concatenate([found, forces]), name)[:size]


_Active = tuple[Constraint, Any, Value]


def _active(
    objective: Callable[[Value], Value],
    found: np.ndarray[Any, Any],
    constraints: Sequence[Constraint],
    asked: str,
    name: str,
) -> list[_Active]:
    """Find the entries of constraints that hold the minimum where it is, with their limits."""
    candidates: list[_Active] = []
    signs, gaps = [], []
    for each in constraints:
        value = plain_value(each.function(found), asked)
        low, high = (
            np.broadcast_to(plain_value(end, asked), value.shape) for end in (each.low, each.high)
        )
        equal = low == high
        for end, plain, sign in ((each.low, low, 1), (each.high, high, -1)):
            gap = np.abs(value - plain)
            near = np.isfinite(plain) & (gap <= _NEAR * np.maximum(np.abs(plain), 1))
            near = equal & (sign > 0) | near & ~equal
            places = np.flatnonzero(near)
            if places.size:
                candidates += [(each, places[k : k + 1], end) for k in range(places.size)]
                signs += [0 if equal[k] else sign for k in places]
                gaps += [gap[k] for k in places]
    if not candidates:
        return []
    slope = plain_value(calculus.gradient(objective)(found), asked)
    curvature = plain_value(calculus.jacobian(calculus.gradient(objective))(found), asked)
    normals = np.stack(
        [
            plain_value(calculus.jacobian(lambda x, c=c, k=k: c.function(x)[k][0])(found), asked)
            for c, k, _ in candidates
        ]
    )
    least = _WITHOUT_FORCE * np.max(np.abs(curvature), initial=0) * max(np.max(np.abs(found)), 1)
    kept = list(range(len(candidates)))
    while kept:
        forces = np.linalg.lstsq(normals[kept].T, slope)[0]
        pushed = forces * np.linalg.norm(normals[kept], axis=1)
        weak = {
            k: gaps[k] > 0
            for k, push in zip(kept, pushed, strict=True)
            if signs[k] and push * signs[k] <= least
        }
        if not weak:
            break
        if not any(weak.values()):
            raise UnsupportedError(
                f"{name} is not differentiated where a limit is met without any force: the"
                " derivative is another one on each side",
                instead="wider bounds or constraints",
            )
        kept = [k for k in kept if not weak.get(k)]
    return [candidates[k] for k in kept]


# What stands for SciPy's functions


def _number(value: Value) -> Value:
    return np.reshape(as_array(value).astype(np.float64), ())


def _minimizer(name: str) -> Function:
    """Make what stands for a function that returns a record with ``x`` and ``fun``."""

    @always
    def minimize(*args: Any, **settings: Any) -> Any:
        found, given = solved_plainly(name, args, settings)
        return _with_minimum(found, given, f"scipy.optimize.{name}") if given else found

    return minimize


def _with_minimum(found: Any, given: dict[str, Any], name: str) -> Any:
    function, *_ = given.values()
    inner = given.get("minimizer_kwargs") or {}
    others = others_of({**inner, **given})
    has_more = (given.get("jac") or inner.get("jac")) is True
    point = np.asarray(found["x"], np.float64)
    bounds = given.get("bounds", inner.get("bounds"))
    if name.endswith("minimize_scalar"):
        bounds = None if bounds is None else [bounds]

    def objective(x: Value) -> Value:
        value = function(np.reshape(x, point.shape), *others)
        return _number(value[0] if has_more else value)

    constraints = [
        *limits(bounds, point.size),
        *_constraints(given.get("constraints", inner.get("constraints", ())), name),
    ]
    x = minimum_of(objective, point.ravel(), name, constraints)
    found["fun"] = with_value(found["fun"], objective(x))
    for each in ("jac", "grad"):
        if np.shape(found.get(each)) == x.shape:
            found[each] = with_value(found[each], calculus.gradient(objective)(x))
    found["x"] = np.reshape(x, point.shape) if point.shape else x[0]
    return found


def _constraints(given: Any, name: str) -> list[Constraint]:
    """Make constraints of SciPy's: dicts and objects, one or several."""
    several = given if isinstance(given, (list, tuple)) else [given]
    return [_constraint(each, name) for each in several]


def _constraint(given: Any, name: str) -> Constraint:
    if isinstance(given, dict):
        function, others = given["fun"], given.get("args", ())
        high = 0.0 if given["type"].lower() == "eq" else np.inf
        return Constraint(lambda x: as_row_of_numbers(function(x, *others)), 0.0, high)
    ends = [as_array(getattr(given, each, 0.0)) for each in ("lb", "ub")]
    if hasattr(given, "A"):
        matrix = given.A
        matrix = matrix.toarray() if hasattr(matrix, "toarray") else as_array(matrix)
        return Constraint(lambda x: np.atleast_2d(matrix) @ x, *ends)
    if hasattr(given, "fun"):
        return Constraint(lambda x: as_row_of_numbers(given.fun(x)), *ends)
    raise UnsupportedError(
        f"{name} with constraints of the type {type(given).__name__} is not differentiated",
        instead="scipy.optimize.LinearConstraint or NonlinearConstraint",
    )


def _of_array(name: str) -> Function:
    """Make what stands for a function that returns a minimum, or a tuple of it and more."""

    @always
    def minimize(*args: Any, **settings: Any) -> Any:
        asked = f"scipy.optimize.{name}"
        found, given = solved_plainly(name, args, settings)
        if not given:
            return found
        if name in ("fmin_cobyla", "fmin_slsqp"):
            raise UnsupportedError(
                f"{asked} is not differentiated",
                instead="scipy.optimize.minimize(…, method=…) with constraints=",
            )
        if name == "brute" and given.get("finish", True) is None:
            return found  # A point of the grid.
        if name in ("fmin_l_bfgs_b", "fmin_tnc") and given.get("fprime") is None:
            given["jac"] = not given.get("approx_grad", 0)
        if name == "fminbound":
            given["bounds"] = [(given["x1"], given["x2"])]
        several = isinstance(found, tuple)
        has_value = several and (given.get("full_output") or name == "fmin_l_bfgs_b")
        point = found[0] if several else found
        value = found[1] if has_value else 0.0
        record = _with_minimum({"x": point, "fun": value}, given, asked)
        if not several:
            return record["x"]
        return (record["x"], record["fun"] if has_value else found[1], *found[2:])

    return minimize


_RECORDS = "basinhopping differential_evolution dual_annealing minimize minimize_scalar shgo"
_ARRAYS = (
    "brent brute fmin fmin_bfgs fmin_cg fmin_cobyla fmin_l_bfgs_b fmin_ncg fmin_powell fmin_slsqp"
    " fmin_tnc fminbound golden"
)
_FORMULAS = "rosen rosen_der rosen_hess rosen_hess_prod"

FUNCTIONS: dict[str, dict[str, Function]] = {
    "scipy.optimize": {
        **{name: _minimizer(name) for name in _RECORDS.split()},
        **{name: _of_array(name) for name in _ARRAYS.split()},
        **followed("scipy.optimize", _FORMULAS, "the formula in NumPy"),
    }
}
"""By module and name."""
