"""Linear programs and assignments: vertices, which move with the constraints that meet there."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.plain import plain_value
from steepest.array.scipy.followed import original_of
from steepest.array.scipy.implicit import GivenPlainly, invertible, with_value
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]

_NEAR = 1e-8


def linprog(*args: Any, **settings: Any) -> Any:
    original = original_of("scipy.optimize", "linprog")
    name = "scipy.optimize.linprog"
    plainly = GivenPlainly(name)
    found = original(*plainly(args), **plainly(settings))
    if found.x is None:
        return found
    bound = inspect.signature(original).bind(*args, **settings)
    bound.apply_defaults()
    given = bound.arguments
    if np.any(given["integrality"]):
        raise UnsupportedError(
            f"{name} with integrality= is not differentiated",
            instead="the linear program in the other variables",
        )
    x, size = found.x, found.x.size
    cost = as_array(given["c"]).astype(np.float64)
    rows, ends, equal = _constraints(given, size)
    known = [plain_value(each, name) for each in (rows, ends)]
    gaps = np.abs(known[0] @ x - known[1])
    active = equal | (gaps <= _NEAR * np.maximum(np.abs(known[1]), 1))
    places = np.flatnonzero(active)
    if places.size != size:
        what = "more constraints meet than there are unknowns" if places.size > size else ""
        raise UnsupportedError(
            f"{name} is not differentiated where its solution is not a simple vertex: "
            + (what or "the objective does not decide between several solutions"),
            instead="constraints without those that follow from others; scipy.optimize.minimize"
            " with a quadratic term, which makes the solution unique",
        )
    matrix = invertible(known[0][places], name)
    forces = np.linalg.solve(matrix.T, plain_value(cost, name))
    if np.any(np.abs(forces[~equal[places]]) <= 1e-12 * np.max(np.abs(forces), initial=0)):
        raise UnsupportedError(
            f"{name} is not differentiated where the objective does not decide between several"
            " solutions",
            instead="scipy.optimize.minimize with a quadratic term",
        )
    found.x = with_value(x, np.linalg.solve(rows[places], ends[places]))
    found.fun = with_value(found.fun, np.sum(cost * found.x))
    if given["A_ub"] is not None:
        slack = as_array(given["b_ub"]) - as_array(given["A_ub"]) @ found.x
        found.slack = with_value(found.slack, np.ravel(slack))
    return found


def _constraints(given: dict[str, Any], size: int) -> tuple[Value, Value, Any]:
    """List the rows and right sides of all constraints, and which are equations."""
    rows: list[Value] = []
    ends: list[Value] = []
    equal: list[bool] = []
    for matrix, right, is_equation in (
        (given["A_ub"], given["b_ub"], False),
        (given["A_eq"], given["b_eq"], True),
    ):
        if matrix is not None:
            rows.append(np.reshape(as_array(matrix), (-1, size)))
            ends.append(np.reshape(as_array(right), (-1,)))
            equal += [is_equation] * rows[-1].shape[0]
    bounds = given["bounds"]
    if bounds is None:
        bounds = (None, None)
    if len(bounds) == 2 and all(each is None or np.ndim(each) == 0 for each in bounds):
        bounds = [bounds] * size
    if len(bounds) == 1:
        bounds = list(bounds) * size
    asked = "scipy.optimize.linprog"
    for k, (low, high) in enumerate(bounds):
        is_fixed = low is not None and high is not None
        is_fixed = is_fixed and plain_value(low, asked) == plain_value(high, asked)
        for end in (low,) if is_fixed else (low, high):
            if end is not None and np.isfinite(plain_value(end, asked)):
                rows.append(np.eye(size)[k : k + 1])
                ends.append(np.reshape(as_array(end), (1,)))
                equal.append(bool(is_fixed))
    if not rows:
        return np.zeros((0, size)), np.zeros(0), np.zeros(0, bool)
    return np.concatenate(rows), np.concatenate(ends), np.array(equal)


def linear_sum_assignment(*args: Any, **settings: Any) -> Any:
    """Assign, by values alone: the places are a step function of the costs."""
    plainly = GivenPlainly("scipy.optimize.linear_sum_assignment")
    return original_of("scipy.optimize", "linear_sum_assignment")(
        *plainly(args), **plainly(settings)
    )


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.optimize": {function.__name__: function for function in (linear_sum_assignment, linprog)}
}
"""By module and name."""
