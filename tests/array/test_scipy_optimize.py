"""Roots, minima and fits: SciPy's values, and the derivatives of the exact solutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from tests.array.scipy_calls import check_type

import steepest as sd
from steepest.errors import NeedsValueError, UnsupportedError

op: Any = scipy.optimize
P = np.array([0.7, 1.3, 0.4])
TIMES = np.linspace(0, 2, 9)
NOISE = 0.05 * np.sin(7 * TIMES)
A = np.random.default_rng(0).uniform(-1, 1, (6, 3))


def cubic(x: Any, p: Any) -> Any:
    return x**3 + p[0] * x - p[1]


def pair(x: Any, p: Any) -> Any:
    return [x[0] + 0.3 * np.sin(x[1]) - p[0], x[1] + x[1] ** 3 + x[0] * p[1] - p[2]]


def bowl(x: Any, p: Any) -> Any:
    return (x[0] - p[0]) ** 2 + 0.5 * (x[1] - p[1]) ** 4 + np.exp(x[0] * x[1] * p[2]) + x[1] ** 2


def decay(t: Any, a: Any, b: Any) -> Any:
    return a * np.exp(-b * t)


def residuals(x: Any, p: Any) -> Any:
    return decay(TIMES, x[0], x[1]) - p[0] * np.exp(-p[1] * TIMES) - p[2] * NOISE


def best(p: Any, **settings: Any) -> Any:
    return op.minimize(bowl, [0.1, 0.2], (p,), tol=1e-11, **settings).x


def bracketed(name: str) -> tuple[Callable[[Any], Any], Any]:
    return lambda p: getattr(op, name)(cubic, -1, 3, (p,)), P


CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    **{name: bracketed(name) for name in ("bisect", "brenth", "brentq", "ridder", "toms748")},
    "brentq by a closure": (lambda p: op.brentq(lambda x: cubic(x, p), -1, 3), P),
    "brentq, full": (lambda p: op.brentq(cubic, -1, 3, (p,), full_output=True)[1].root, P),
    "newton": (lambda p: op.newton(cubic, 1.0, args=(p,), tol=1e-13), P),
    "newton by a slope": (
        lambda p: op.newton(lambda x: cubic(x, p), 1.0, lambda x: 3 * x**2 + p[0], tol=1e-13),
        P,
    ),
    "newton of an array": (
        lambda p: op.newton(lambda x: x**3 + p * x - 1, np.ones(3), tol=1e-13),
        P,
    ),
    "root_scalar": (lambda p: op.root_scalar(cubic, args=(p,), bracket=(-1, 3)).root, P),
    "root_scalar with a slope": (
        lambda p: (
            op.root_scalar(
                lambda x: (cubic(x, p), 3 * x**2 + p[0]), x0=1.0, fprime=True, method="newton"
            ).root
        ),
        P,
    ),
    "fsolve": (lambda p: op.fsolve(pair, [0.1, 0.2], args=p, xtol=1e-13), P),
    "fsolve, full": (lambda p: op.fsolve(pair, [0, 1], (p,), full_output=True, xtol=1e-13)[0], P),
    "root": (lambda p: op.root(lambda x: pair(x, p), [0.1, 0.2], tol=1e-13).x, P),
    "root by lm": (lambda p: op.root(pair, [0.1, 0.2], (p,), "lm", tol=1e-13).x, P),
    "fixed_point": (
        lambda p: op.fixed_point(lambda x: np.cos(p * x) / 2, np.ones(3), xtol=1e-13),
        P,
    ),
    "minimize": (best, P),
    "minimize by a closure": (
        lambda p: op.minimize(lambda x: bowl(x, p), [0, 0], tol=1e-11).x,
        P,
    ),
    "minimize, its value": (lambda p: op.minimize(bowl, [0, 0], (p,), tol=1e-9).fun, P),
    "minimize with a slope": (
        lambda p: (
            op.minimize(
                lambda x: (np.sum((x - p) ** 4 + x**2), 4 * (x - p) ** 3 + 2 * x),
                np.zeros(3),
                jac=True,
                method="L-BFGS-B",
                tol=1e-12,
            ).x
        ),
        P,
    ),
    "minimize up to a bound": (
        lambda p: best(p, bounds=[(0.9, None), (None, p[2])], method="L-BFGS-B"),
        P,
    ),
    "minimize with constraints": (
        lambda p: (
            op.minimize(
                lambda x: np.sum((x - p) ** 2 * np.array([1, 2, 3.0])),
                np.ones(3),
                method="SLSQP",
                constraints=[
                    {"type": "eq", "fun": lambda x: np.sum(x**2) - p[1]},
                    {"type": "ineq", "fun": lambda x: x[2] - p[0]},
                    {"type": "ineq", "fun": lambda x: 50 - x[0]},
                ],
                tol=1e-13,
            ).x
        ),
        P,
    ),
    "minimize on a plane": (
        lambda p: (
            op.minimize(
                lambda x: np.sum((x - p) ** 4 + x**2),
                np.ones(3),
                constraints=op.LinearConstraint(np.ones((1, 3)), 1.0, 1.0),
                tol=1e-13,
            ).x
        ),
        P,
    ),
    "minimize_scalar": (
        lambda p: op.minimize_scalar(lambda x: (x - p[0]) ** 4 + p[1] * x**2, tol=1e-10).x,
        P,
    ),
    "minimize_scalar up to a bound": (
        lambda p: op.minimize_scalar(lambda x: (x - 3 * p[0]) ** 2, bounds=(0, 1)).fun,
        P,
    ),
    "fmin_bfgs": (lambda p: op.fmin_bfgs(bowl, [0, 0], args=(p,), disp=0, gtol=1e-9), P),
    "basinhopping": (
        lambda p: (
            op.basinhopping(
                lambda x: np.sum((x - p) ** 2 * (1 + p * x**2)),
                np.ones(3),
                niter=1,
                rng=0,
                minimizer_kwargs={"tol": 1e-10},
            ).x
        ),
        P,
    ),
    "least_squares": (
        lambda p: op.least_squares(residuals, [1, 1], args=(p,), xtol=1e-14, ftol=1e-14).x,
        P,
    ),
    "least_squares, its value": (lambda p: op.least_squares(residuals, [1, 1], args=(p,)).cost, P),
    "least_squares, robust": (
        lambda p: (
            op.least_squares(
                lambda x: residuals(x, p),
                [1, 1],
                loss="soft_l1",
                f_scale=0.1,
                xtol=1e-14,
                ftol=1e-14,
            ).x
        ),
        P,
    ),
    "least_squares up to a bound": (
        lambda p: (
            op.least_squares(
                residuals, [0.3, 1], bounds=([0, 0], [p[2], 9]), args=(p,), xtol=1e-13, ftol=1e-14
            ).x
        ),
        P,
    ),
    "leastsq": (lambda p: op.leastsq(residuals, [1, 1], (p,), xtol=1e-14, ftol=1e-14)[0], P),
    "curve_fit by values": (
        lambda y: op.curve_fit(decay, TIMES, y, [1, 1], xtol=1e-14, ftol=1e-14)[0],
        np.exp(-TIMES) + NOISE,
    ),
    "curve_fit, its covariance": (
        lambda p: (
            op.curve_fit(
                decay, TIMES * p[1], np.exp(-TIMES) + p[2] * NOISE, [1, 1], 0.1 + p[0] * TIMES
            )[1]
            * 100
        ),
        P,
    ),
    "nnls": (lambda p: op.nnls(A * p, np.arange(6.0) - 2)[0], P),
    "nnls, its distance": (lambda p: op.nnls(A, np.concatenate([p, -(p**2)]))[1], P),
    "lsq_linear": (
        lambda p: op.lsq_linear(A * p, np.arange(6.0), bounds=(-p[1], 0.5)).x,
        P,
    ),
    "linprog": (
        lambda p: (
            op.linprog(
                [-1, -2.0], [[1.0, 1.0], [p[0], 2.0]], [2.0, p[1]], bounds=[(0, None), (0, None)]
            ).x
        ),
        P,
    ),
    "linear_sum_assignment": (
        lambda p: np.outer(p, [1.0, 3.0, 2.0])[op.linear_sum_assignment(np.outer(p, [1, 3, 2]))],
        P,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    call, x = CALLS[name]
    expected = call(x)
    check_type(call, x, expected)
    np.testing.assert_array_equal(sd.vjp(call, x)[0], expected)
    generator = np.random.default_rng(0)
    weights = generator.uniform(0.5, 1.5, np.shape(expected))
    direction = generator.uniform(0.5, 1, x.shape) * generator.choice([-1, 1], x.shape)

    def loss(x: Any) -> Any:
        result = call(x)
        return np.sum(weights * result * (1 + result / 2))

    # As exactly as solvers, which stop somewhere near, let differences be.
    gradient = sd.grad(loss)(x)
    along = np.sum(gradient * direction)
    assert_close(along, difference(loss, x, direction))
    assert_close(sd.hvp(loss, x, direction), difference(sd.grad(loss), x, direction))
    np.testing.assert_allclose(sd.jvp(loss, (x,), (direction,))[1], along, rtol=1e-7, atol=1e-9)
    with pytest.raises(NeedsValueError) as caught:
        sd.compile(loss)(x)
    assert caught.value.line is not None
    assert caught.value.instead


def difference(f: Callable[[Any], Any], x: Any, direction: Any) -> Any:
    """Differentiate by four values, whose step is far above what solvers leave."""
    step = 2e-3 * direction
    near = f(x + step) - f(x - step)
    far = f(x + 2 * step) - f(x - 2 * step)
    return (8 * near - far) / (12 * 2e-3)


def assert_close(actual: Any, expected: Any) -> None:
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(actual, expected, rtol=3e-4, atol=3e-4 * scale)


REFUSED: dict[str, Callable[[Any], Any]] = {
    "a root that is not one": lambda p: op.fsolve(lambda x: x**2 + p, np.ones(3)),
    "a root of more than one": lambda p: (
        op.root_scalar(
            lambda x: p[0] * (x - 1) ** 2, x0=1.0, fprime=lambda x: 2 * (x - 1), method="newton"
        ).root
    ),
    "a complex root": lambda p: op.newton(lambda z: z**2 + p[0], 1j),
    "a flat minimum": lambda p: op.minimize(lambda x: (np.sum(x) - p[0]) ** 2, np.ones(2)).x,
    "a minimum not reached": lambda p: (
        op.minimize(lambda x: np.sum((x - 9 * p) ** 4), np.ones(3), options={"maxiter": 1}).x
    ),
    "a bound without force": lambda p: (
        op.minimize(lambda x: np.sum(p * x**2), np.ones(3), bounds=[(0, None)] * 3).x
    ),
    "fmin_slsqp": lambda p: op.fmin_slsqp(lambda x: np.sum((x - p) ** 2), np.ones(3), disp=0),
    "a loss that is a function": lambda p: (
        op.least_squares(
            lambda x: x - p, np.ones(3), loss=lambda z: np.array([z, np.ones(3), np.zeros(3)])
        ).x
    ),
    "nnls of dependent columns": lambda p: op.nnls(np.ones((3, 2)) * p[0], p)[0],
    "lsq_linear of dependent columns": lambda p: op.lsq_linear(np.ones((3, 2)), p).x,
    "linprog with several solutions": lambda p: op.linprog([-1, -1], [[1.0, 1.0]], [p[0]]).x,
    "linprog of whole numbers": lambda p: (
        op.linprog([-1.0], [[1.0]], [p[0]], integrality=[1], bounds=(-3, 3)).x
    ),
    "milp": lambda p: op.milp(p, bounds=op.Bounds(0, 1)).x,
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_refusals(name: str) -> None:
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda p: np.sum(REFUSED[name](p)))(P)
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead


def test_third_derivatives() -> None:
    third = sd.grad(sd.grad(sd.grad(lambda p: op.brentq(lambda x: x**2 - p, 0, 9))))(2.0)
    assert np.isclose(third, 3 / 8 * 2**-2.5)
    fourth = sd.grad(
        sd.grad(
            sd.grad(sd.grad(lambda p: op.minimize_scalar(lambda x: x**3 / 3 - p * x, (1, 2)).x))
        )
    )(2.0)
    assert np.isclose(fourth, -15 / 16 * 2**-3.5)


def test_what_is_constant_is_scipys() -> None:
    def loss(p: Any) -> Any:
        found = op.minimize(lambda x: (x[0] - 2) ** 2, [0.0])
        assert type(found.x) is np.ndarray
        assert type(op.brentq(np.cos, 0, 3)) is float
        from_here = op.minimize(lambda x: (x[0] - 2) ** 4, [p]).x[0]
        return p * found.x[0] + op.brentq(np.cos, 0, 1 + p) * p + from_here * 0.0

    assert sd.vjp(loss, 2.0)[0] == loss(2.0)
    assert np.isclose(sd.grad(loss)(2.0), 2 + np.pi / 2)


def test_training_through_a_solver() -> None:
    inputs = np.linspace(1, 3, 5)

    def loss(w: Any) -> Any:
        found = op.newton(lambda x: x**3 + w["a"] * x - inputs, np.ones(5))
        return np.sum((found - op.newton(lambda x: x**3 + 2 * x - inputs, np.ones(5))) ** 2)

    with pytest.warns(UserWarning, match="one by one"):
        result = sd.descend(loss, {"a": 1.0}, step_size=2.0, steps=60)
    assert abs(result.weights["a"] - 2) < 1e-3
