"""Numerical derivatives: their errors, evaluations, and whether the stated error is one.

Run ``python -m benchmarks.numerical_gradients``. Peers that are not installed are left out.
"""

from __future__ import annotations

import importlib.util
import statistics
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import steepest as sd

__all__ = ["Outcome", "Problem", "problems", "tables"]


@dataclass(frozen=True)
class Problem:
    """A function and its derivatives at a point."""

    name: str
    kind: str
    f: Callable[[Any], Any]
    x: Any
    exact: Any


@dataclass(frozen=True)
class Outcome:
    """What one tool made of one problem.

    Attributes
    ----------
    relative : ndarray
        Error of each entry by its size; by the largest entry where it is zero.
    evaluations : int
    held : ndarray of bool, or None
        Whether each error lies within what the tool stated; None where it states nothing.
    """

    relative: Any
    evaluations: int
    held: Any


class Counted:
    """A function that counts its calls."""

    def __init__(self, f: Callable[[Any], Any]) -> None:
        self.f = f
        self.calls = 0

    def __call__(self, x: Any) -> Any:
        """Call it."""
        self.calls += 1
        return self.f(x)


def problems() -> Iterator[Problem]:
    """List the problems; derivatives are known in closed form."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=8)
    yield Problem("sum of exp", "gradient", lambda x: np.sum(np.exp(x)), normal, np.exp(normal))
    tanh = np.tanh(normal)
    yield Problem(
        "sum of x tanh x",
        "gradient",
        lambda x: np.sum(x * np.tanh(x)),
        normal,
        tanh + normal * (1 - tanh**2),
    )
    left, right = normal[:-1], normal[1:]
    inner = 400 * left * (left**2 - right) + 2 * (left - 1)
    rosenbrock = np.append(inner, 0.0) + np.append(0.0, 200 * (right - left**2))
    yield Problem("Rosenbrock", "gradient", _rosenbrock, normal, rosenbrock)
    for frequency in (100.0, 1e4):
        yield Problem(
            f"sin({frequency:g} x)",
            "gradient",
            partial(_sine, frequency),
            normal,
            frequency * np.cos(frequency * normal),
        )
    yield Problem(
        "cos of a time stamp", "gradient", lambda x: np.sum(np.cos(x)), 1.7e9 + normal[:2],
        -np.sin(1.7e9 + normal[:2]),
    )  # fmt: skip
    scales = np.array([1e-6, 1e-3, 1.0, 1e3, 1e6])
    yield Problem(
        "scales 1e-6 … 1e6", "gradient", lambda x: np.sum(np.sin(x / scales) * scales), scales,
        np.full(5, np.cos(1.0)),
    )  # fmt: skip
    small = np.array([1e-9, 1e-5, 0.1])
    yield Problem("log near 0", "gradient", lambda x: np.sum(np.log(x)), small, 1 / small)
    yield Problem("sqrt near 0", "gradient", lambda x: np.sum(x**0.5), small, 0.5 * small**-0.5)
    near = np.array([1.001, 1.01])
    yield Problem(
        "pole at 1", "gradient", lambda x: np.sum(1 / (x - 1)), near, -1 / (near - 1) ** 2
    )
    yield Problem(
        "large constant", "gradient", lambda x: 1e6 + np.sum(np.sin(x)), normal, np.cos(normal)
    )
    kinked = np.array([1e-4, -1e-6, 0.5])
    yield Problem(
        "|x| beside its kink", "gradient", lambda x: np.sum(np.abs(x)), kinked, np.sign(kinked)
    )
    single = normal.astype(np.float32)
    yield Problem(
        "float32 throughout",
        "gradient",
        lambda x: np.sum(np.sin(x)),
        single,
        np.cos(single.astype(float)),
    )
    yield Problem(
        "float32 inside",
        "gradient",
        lambda x: float(np.sum(np.sin(np.asarray(x).astype(np.float32)))),
        single.astype(float),
        np.cos(single.astype(float)),
    )
    yield Problem(
        "noise of 1e-7",
        "gradient",
        lambda x: np.sum(np.sin(x)) + 1e-7 * rng.normal(),
        normal,
        np.cos(normal),
    )
    matrix = rng.normal(size=(5, 8))
    slope = 1 - np.tanh(matrix @ normal) ** 2
    yield Problem(
        "tanh of a product",
        "Jacobian",
        lambda x: np.tanh(matrix @ x),
        normal,
        slope[:, np.newaxis] * matrix,
    )
    point = np.abs(normal[:4]) + 0.1
    yield Problem(
        "sum of x log x, product",
        "Hessian",
        lambda x: np.sum(x * np.log(x)) + np.prod(x),
        point,
        _product_hessian(point) + np.diag(1 / point),
    )
    yield Problem(
        "Gaussian",
        "Hessian",
        lambda x: np.exp(-np.sum(x * x) / 2),
        point,
        (np.outer(point, point) - np.eye(4)) * np.exp(-np.sum(point * point) / 2),
    )


def _sine(frequency: float, x: Any) -> Any:
    return np.sum(np.sin(frequency * x))


def _rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def _product_hessian(x: Any) -> Any:
    inverse = 1 / x
    return np.prod(x) * (np.outer(inverse, inverse) - np.diag(inverse**2))


def steepest(problem: Problem, f: Counted) -> tuple[Any, Any]:
    """Return derivatives and their bounds."""
    function = {
        "gradient": sd.numerical_gradient,
        "Jacobian": sd.numerical_jacobian,
        "Hessian": sd.numerical_hessian,
    }[problem.kind]
    result = function(f, problem.x)
    return result.value, result.error


def numdifftools(problem: Problem, f: Counted) -> tuple[Any, Any]:
    """Return derivatives and error estimates of numdifftools' defaults."""
    import numdifftools as nd

    kind = {"gradient": nd.Gradient, "Jacobian": nd.Jacobian, "Hessian": nd.Hessian}[problem.kind]
    result = kind(f, full_output=True)(problem.x)
    return result.estimate, result.error_estimate


def scipy_differentiate(problem: Problem, f: Counted) -> tuple[Any, Any]:
    """Return derivatives and error estimates of scipy.differentiate's defaults."""
    from scipy import differentiate

    def along_first_axis(x: Any) -> Any:
        return np.apply_along_axis(f, 0, x)

    if problem.kind == "Hessian":
        result = differentiate.hessian(along_first_axis, problem.x)
        return result.ddf, result.error
    result = differentiate.jacobian(along_first_axis, problem.x)
    return result.df, result.error


def approx_fprime(problem: Problem, f: Counted) -> tuple[Any, Any]:
    """Return scipy.optimize's forward differences."""
    from scipy.optimize import approx_fprime as forward

    return forward(problem.x, f), None


TOOLS = {
    "steepest": steepest,
    "numdifftools": numdifftools,
    "scipy.differentiate": scipy_differentiate,
    "approx_fprime": approx_fprime,
}


def measure(problem: Problem, tool: Callable[..., tuple[Any, Any]]) -> Outcome | None:
    """Let a tool differentiate; None if it cannot."""
    f = Counted(problem.f)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            value, stated = tool(problem, f)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return None
    exact = np.asarray(problem.exact, dtype=float)
    error = np.abs(np.reshape(value, exact.shape).astype(float) - exact)
    error = np.where(np.isnan(error), np.inf, error)
    size = np.where(exact == 0, np.max(np.abs(exact)), np.abs(exact))
    # What is exact is given in double precision, and in that of the point.
    given = np.finfo(problem.x.dtype).eps * np.abs(exact) + 4 * np.finfo(float).eps * size
    held = None
    if stated is not None:
        bound = np.reshape(stated, exact.shape)
        held = (error <= bound + given) | np.isinf(bound)
    return Outcome(error / size, f.calls, held)


def tables() -> str:
    """Measure everything: a row for each problem, and a row for each tool."""
    tools = {
        name: tool
        for name, tool in TOOLS.items()
        if name != "numdifftools" or importlib.util.find_spec("numdifftools")
    }
    header = " | ".join(tools)
    lines = [f"| problem | {header} |", "|---" * (len(tools) + 1) + "|"]
    outcomes: dict[str, list[Outcome]] = {name: [] for name in tools}
    for problem in problems():
        cells = []
        for name, tool in tools.items():
            if name == "approx_fprime" and problem.kind == "Hessian":
                cells.append("")
                continue
            outcome = measure(problem, tool)
            if outcome is None:
                cells.append("error")
                continue
            outcomes[name].append(outcome)
            each = outcome.evaluations / problem.x.size
            held = "" if outcome.held is None or outcome.held.all() else ", **not held**"
            cells.append(f"{np.max(outcome.relative):.0e}, {each:.0f}{held}")
        lines.append(f"| {problem.name}, {problem.kind} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| tool | median error | worst error | evaluations | within the stated error |",
        "|---|---|---|---|---|",
    ]
    for name, found in outcomes.items():
        errors = np.concatenate([np.ravel(outcome.relative) for outcome in found])
        judged = [np.ravel(outcome.held) for outcome in found if outcome.held is not None]
        held = f"{np.mean(np.concatenate(judged)):.1%}" if judged else "nothing stated"
        lines.append(
            f"| {name} | {statistics.median(errors.tolist()):.0e} | {np.max(errors):.0e}"
            f" | {sum(outcome.evaluations for outcome in found):,} | {held} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(tables())
