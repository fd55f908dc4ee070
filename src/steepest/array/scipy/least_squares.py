"""Least squares with SciPy's optimizers: its values, with the derivatives of the exact minima."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.calculus import calculus
from steepest.array.plain import plain_value
from steepest.array.scipy.followed import always, original_of
from steepest.array.scipy.implicit import (
    GivenPlainly,
    as_row_of_numbers,
    others_of,
    solved_plainly,
    with_value,
)
from steepest.array.scipy.linalg import solve_triangular
from steepest.array.scipy.minima import limits, minimum_of
from steepest.errors import UnsupportedError
from steepest.ops.spec import Traced, Value

__all__ = ["FUNCTIONS"]

Function = Callable[..., Any]

_LOSSES: dict[str, Callable[[Value], Value]] = {
    "linear": lambda z: z,
    "soft_l1": lambda z: 2 * (np.sqrt(1 + z) - 1),
    "huber": lambda z: np.where(z <= 1, z, 2 * np.sqrt(np.where(z <= 1, 1.0, z)) - 1),
    "cauchy": np.log1p,
    "arctan": np.arctan,
}
"""Of the squares of residuals, as SciPy documents them."""


def _cost(residuals: Value, loss: Any, scale: Value, name: str) -> Value:
    if loss not in _LOSSES:
        raise UnsupportedError(
            f"{name} with a function for loss= is not differentiated",
            instead=f"one of {', '.join(_LOSSES)}; scipy.optimize.minimize of the loss",
        )
    return 0.5 * scale**2 * np.sum(_LOSSES[loss]((residuals / scale) ** 2))


def _jacobian(residuals: Callable[[Value], Value], x: Value) -> Value:
    """Differentiate by one parameter after the other: there are few, and many residuals."""
    directions = np.eye(x.shape[0])
    return np.stack([calculus.directional(residuals, (x,), (d,))[1] for d in directions], axis=-1)


@always
def least_squares(*args: Any, **settings: Any) -> Any:
    name = "scipy.optimize.least_squares"
    found, given = solved_plainly("least_squares", args, settings)
    if not given:
        return found
    function, others = given["fun"], given.get("args", ())
    keywords = given.get("kwargs") or {}
    loss, scale = given.get("loss", "linear"), given.get("f_scale", 1.0)

    def residuals(x: Value) -> Value:
        return as_row_of_numbers(function(x, *others, **keywords))

    def objective(x: Value) -> Value:
        return _cost(residuals(x), loss, scale, name)

    x = minimum_of(objective, found.x, name, _limits(given.get("bounds"), found.x.size))
    found.cost = with_value(found.cost, objective(x))
    found.fun = with_value(found.fun, residuals(x))
    found.grad = with_value(found.grad, calculus.gradient(objective)(x))
    if loss == "linear" and type(found.jac) is np.ndarray:
        found.jac = with_value(found.jac, _jacobian(residuals, x))
    found.x = x
    return found


def _limits(bounds: Any, size: int) -> Any:
    if bounds is None or hasattr(bounds, "lb"):
        return limits(bounds, size)
    low, high = (np.broadcast_to(as_array(each), (size,)) for each in bounds)
    return limits(list(zip(low, high, strict=True)), size)


@always
def leastsq(*args: Any, **settings: Any) -> Any:
    name = "scipy.optimize.leastsq"
    found, given = solved_plainly("leastsq", args, settings)
    if not given:
        return found
    function, others = given["func"], others_of(given)

    def residuals(x: Value) -> Value:
        return as_row_of_numbers(function(x, *others))

    point, *rest = found
    x = minimum_of(lambda x: 0.5 * np.sum(residuals(x) ** 2), np.atleast_1d(point), name)
    if given.get("full_output") and rest[0] is not None:
        jacobian = _jacobian(residuals, x)
        rest[0] = with_value(rest[0], np.linalg.inv(jacobian.T @ jacobian))
    return (np.reshape(x, np.shape(point)), *rest)


def _numbers(value: Any) -> Any:
    """Take data as SciPy does; what is no array goes to the function as it is."""
    if isinstance(value, (Traced, list, tuple, np.ndarray)):
        return as_array(value).astype(np.float64)
    return value


@always
def curve_fit(*args: Any, **settings: Any) -> Any:
    name = "scipy.optimize.curve_fit"
    found, given = solved_plainly("curve_fit", args, settings, defaults=True)
    if not given:
        return found
    function, points, values = given["f"], _numbers(given["xdata"]), _numbers(given["ydata"])
    sigma, keywords = given["sigma"], given["kwargs"]
    if given["nan_policy"] == "omit":
        raise UnsupportedError(
            f"{name} with nan_policy='omit' is not differentiated",
            instead="xdata and ydata without the entries that are NaN",
        )
    whiten = _whitening(sigma)

    def residuals(x: Value) -> Value:
        return whiten(as_row_of_numbers(function(points, *x) - values))

    loss, scale = keywords.get("loss", "linear"), keywords.get("f_scale", 1.0)

    def objective(x: Value) -> Value:
        return _cost(residuals(x), loss, scale, name)

    best, covariance, *rest = found
    x = minimum_of(objective, best, name, _limits(given["bounds"], best.size))
    if np.all(np.isfinite(covariance)) and loss == "linear":
        jacobian = _jacobian(residuals, x)
        formula = np.linalg.inv(jacobian.T @ jacobian)
        if not given["absolute_sigma"]:
            freedom = jacobian.shape[0] - best.size
            formula = formula * (np.sum(residuals(x) ** 2) / freedom)
        covariance = with_value(covariance, formula)
    return (x, covariance, *rest)


def _whitening(sigma: Any) -> Callable[[Value], Value]:
    """Make residuals independent, with variance 1."""
    if sigma is None:
        return lambda residuals: residuals
    deviations = as_array(sigma)
    if deviations.ndim < 2:
        return lambda residuals: residuals / deviations
    factor = np.linalg.cholesky(deviations)
    return lambda residuals: solve_triangular(factor, residuals, lower=True)


# Linear ones


def _solved(a: Value, b: Value, x: Any, held: Any, ends: Value) -> Value:
    """Solve for the unknowns that are not held, as far as the other ones leave it open."""
    free, held = np.flatnonzero(~held), np.flatnonzero(held)
    right = b - a[:, held] @ ends[held]
    if not free.size:
        return ends
    columns = a[:, free]
    best = np.linalg.solve(columns.T @ columns, columns.T @ right)
    return np.concatenate([best, ends[held]])[np.argsort(np.concatenate([free, held]))]


def _determined(a: Value, held: Any, forces: Any, name: str) -> None:
    """Check that there is one solution, and that those held are pushed to where they are."""
    if np.linalg.matrix_rank(a[:, ~held]) < np.count_nonzero(~held):
        raise UnsupportedError(
            f"{name} is not differentiated where its solution is not the only one: columns of the"
            " matrix are dependent",
            instead="a penalty on the solution, as rows of the matrix",
        )
    scale = np.max(np.abs(forces), initial=0) + np.linalg.norm(a)
    if np.any(np.abs(forces[held]) <= 1e-13 * scale):
        raise UnsupportedError(
            f"{name} is not differentiated where a limit is met without any force: the derivative"
            " is another one on each side",
            instead="a formula for the side that is meant",
        )


def nnls(A: Value, b: Value, *args: Any, **settings: Any) -> Any:  # noqa: N803  # SciPy's name
    name = "scipy.optimize.nnls"
    a, b = (as_array(each).astype(np.float64) for each in (A, b))
    plain_a, plain_b = (plain_value(each, name) for each in (a, b))
    x, distance = original_of("scipy.optimize", "nnls")(plain_a, plain_b, *args, **settings)
    held = x == 0
    _determined(plain_a, held, plain_a.T @ (plain_b - plain_a @ x), name)
    exact = with_value(x, _solved(a, b, x, held, np.zeros(x.size)))
    return exact, with_value(distance, np.linalg.norm(a @ exact - b))


def lsq_linear(
    A: Value,  # noqa: N803  # SciPy's name
    b: Value,
    bounds: Any = (-np.inf, np.inf),
    *args: Any,
    **settings: Any,
) -> Any:
    name = "scipy.optimize.lsq_linear"
    a, b = (as_array(each).astype(np.float64) for each in (A, b))
    plain_a, plain_b = (plain_value(each, name) for each in (a, b))
    plainly = GivenPlainly(name)
    found = original_of("scipy.optimize", "lsq_linear")(
        plain_a, plain_b, plainly(bounds), *args, **settings
    )
    low, high = (bounds.lb, bounds.ub) if hasattr(bounds, "lb") else bounds
    held = found.active_mask != 0
    size = found.x.size
    ends = np.where(
        found.active_mask < 0,
        np.broadcast_to(as_array(low), (size,)),
        np.broadcast_to(as_array(high), (size,)),
    )
    _determined(plain_a, held, plain_a.T @ (plain_b - plain_a @ found.x), name)
    found.x = with_value(found.x, _solved(a, b, found.x, held, np.where(held, ends, 0.0)))
    found.fun = with_value(found.fun, a @ found.x - b)
    found.cost = with_value(found.cost, 0.5 * np.sum(found.fun**2))
    return found


def isotonic_regression(y: Value, *, weights: Value | None = None, increasing: bool = True) -> Any:
    name = "scipy.optimize.isotonic_regression"
    y = as_array(y)
    weights = np.ones(y.shape) if weights is None else as_array(weights)
    given = [plain_value(each, name) for each in (y, weights)]
    found = original_of("scipy.optimize", "isotonic_regression")(
        given[0], weights=given[1], increasing=increasing
    )
    # Within each block there is one value, the mean.
    starts, lengths = found.blocks[:-1], np.diff(found.blocks)
    total = np.add.reduceat(weights, starts)
    means = np.add.reduceat(weights * y, starts) / total
    found.x = with_value(found.x, np.repeat(means, lengths))
    found.weights = with_value(found.weights, total)
    return found


FUNCTIONS: dict[str, dict[str, Function]] = {
    "scipy.optimize": {
        function.__name__: function
        for function in (
            curve_fit,
            isotonic_regression,
            least_squares,
            leastsq,
            lsq_linear,
            nnls,
        )
    }
}
"""By module and name."""
