"""Integrals of functions and initial value problems: SciPy's values, and derivatives of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.integrate
from tests.array.scipy_calls import check

import steepest as sd
from steepest.errors import UnsupportedError

ig: Any = scipy.integrate
P = np.array([0.7, 1.3, 0.4])


def hunted(t: Any, y: Any, p: Any) -> Any:
    return np.array([p[0] * y[0] - p[1] * y[0] * y[1], -y[1] + p[2] * y[0] * y[1]])


def decays(t: Any, p: Any) -> Any:
    return np.exp(-p[0] * t) * np.sin(p[1] * t)


CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "solve_ivp by a closure": (
        lambda p: ig.solve_ivp(lambda t, y: -p[0] * y, (0, 1), [1.0, 2.0]).y[:, -1],
        P,
    ),
    "solve_ivp by arguments": (
        lambda p: (
            ig.solve_ivp(hunted, (0, 3), [1.0, 2.0], args=(p,), t_eval=np.linspace(0, 3, 7)).y
        ),
        P,
    ),
    "solve_ivp by the start": (
        lambda y: ig.solve_ivp(hunted, (0, 3), y[:2], "RK23", args=(P,), rtol=1e-5).y[:, -1],
        P,
    ),
    "solve_ivp of high order": (
        lambda p: ig.solve_ivp(
            lambda t, y: hunted(t, y, p), (0, 3), [1.0, p[0]], "DOP853", rtol=1e-8, atol=1e-9
        ).y[:, -1],
        P,
    ),
    "solve_ivp backwards": (
        lambda p: ig.solve_ivp(lambda t, y: -p[0] * y * t, (1, 0), [1.0, 2.0]).y[:, -1],
        P,
    ),
    "solve_ivp in small steps": (
        lambda p: ig.solve_ivp(
            lambda t, y: [-p[0] * y[0]], (0, 1), [1.0], max_step=0.3, first_step=0.01
        ).y[0, -1],
        P,
    ),
    "quad by a closure": (lambda p: ig.quad(lambda t: decays(t, p), 0, 1)[0], P),
    "quad by arguments": (lambda p: ig.quad(decays, 0, 5, args=(p,))[0], P),
    "quad by limits": (lambda p: ig.quad(lambda t: np.exp(-t * p[1]), p[2], p[0])[0], P),
    "quad by limits, constant": (lambda p: ig.quad(np.cos, p[2], p[0])[0], P),
    "quad to infinity": (lambda p: ig.quad(lambda t: np.exp(-t * p[1] ** 2), p[2], np.inf)[0], P),
    "quad from infinity": (lambda p: ig.quad(lambda t: np.exp(t * p[1]), -np.inf, p[0])[0], P),
    "quad over all": (
        lambda p: ig.quad(lambda t: np.exp(-((t - p[0]) ** 2) * p[1]), -np.inf, np.inf)[0],
        P,
    ),
    "quad backwards": (lambda p: ig.quad(lambda t: t**2 * p[1], 3, p[0])[0], P),
    "quad with a kink": (
        lambda p: ig.quad(lambda t: np.abs(t - 0.3) * p[1], 0, 1, points=[0.3])[0],
        P,
    ),
    "dblquad": (
        lambda p: ig.dblquad(
            lambda t, s: p[0] * np.exp(t * s * p[1]), 0, 1, lambda s: 0, lambda s: s
        )[0],
        P,
    ),
    "nquad": (lambda p: ig.nquad(lambda t, s: p[0] * np.exp(t * s), [[0, 1], [0, 2]])[0], P),
    "cumulative_simpson by places": (
        lambda x: ig.cumulative_simpson(np.sin(np.arange(3.0)), x=np.cumsum(x**2 + 0.3)),
        P,
    ),
    "fixed_quad by a limit": (
        lambda p: ig.fixed_quad(lambda t: np.exp(-p[0] * t), 0, p[1])[0],
        P,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    check(*CALLS[name], compiles=False, single=False)


TOLERANCES = {"rtol": 1e-6, "atol": 1e-8}


def reaction(t: Any, y: Any, p: Any) -> Any:
    """Take H. H. Robertson's reaction, of 1966, in which rates differ by nine orders."""
    slow, middle, fast = 0.04 * p[0] * y[0], 1e4 * p[1] * y[1] * y[2], 3e7 * p[2] * y[1] ** 2
    return [middle - slow, slow - middle - fast, fast]


def hunt(method: str, **tolerances: float) -> Callable[[Any], Any]:
    def call(p: Any) -> Any:
        times = [1, 2.5, 3]
        return ig.solve_ivp(hunted, (0, 3), [1, p[0]], method, times, args=(p,), **tolerances).y

    return call


STIFF: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    **{
        method: (hunt(method, **TOLERANCES), hunt("DOP853", rtol=1e-11, atol=1e-12))
        for method in ("BDF", "LSODA", "Radau")
    },
    "odeint backwards, a time twice": (
        lambda p: ig.odeint(lambda y, t: hunted(t, y, p), [1, p[0]], [3.0, 2, 2, 0], **TOLERANCES),
        lambda p: ig.solve_ivp(
            hunted, (3, 0), [1, p[0]], "DOP853", [3, 2, 0], args=(p,), rtol=1e-11, atol=1e-12
        ).y.T[[0, 1, 1, 2]],
    ),
    "odeint of a stiff problem": (
        lambda p: ig.odeint(reaction, [1.0, 0, 0], [0, 4.0], (p,), tfirst=True, **TOLERANCES)[-1],
        lambda p: ig.solve_ivp(
            reaction, (0, 4), [1.0, 0, 0], "Radau", [4.0], args=(p,), rtol=1e-8, atol=1e-11
        ).y[:, -1],
    ),
}


@pytest.mark.parametrize("name", STIFF)
def test_the_derivative_is_that_of_the_solution(name: str) -> None:
    call, exact = STIFF[name]
    value, pullback = sd.vjp(call, P)
    np.testing.assert_array_equal(value, call(P))
    weights = np.random.default_rng(0).uniform(0.5, 1.5, value.shape)
    step = 1e-3 * np.array([0.6, -0.9, 0.7])
    expected = np.sum(weights * (exact(P + step) - exact(P - step))) / 2
    np.testing.assert_allclose(np.sum(pullback(weights)[0] * step), expected, rtol=1e-5)


def test_second_derivatives_of_implicit_steps() -> None:
    def end(p: Any) -> Any:
        return ig.solve_ivp(lambda t, y: -p * y, (0, 2), [3.0], "Radau", **TOLERANCES).y[0, -1]

    assert np.isclose(sd.grad(sd.grad(end))(0.7), 12 * np.exp(-1.4), rtol=1e-6)


def test_derivatives_of_the_solution_itself() -> None:
    def end(p: Any) -> Any:
        return ig.solve_ivp(lambda t, y: -p * y, (0, 2), [3.0], rtol=1e-10, atol=1e-12).y[0, -1]

    assert np.isclose(sd.grad(end)(0.7), -2 * 3 * np.exp(-1.4), rtol=1e-8)
    assert np.isclose(sd.grad(sd.grad(end))(0.7), 4 * 3 * np.exp(-1.4), rtol=1e-7)
    of_quad = sd.grad(lambda p: ig.quad(lambda t: t**p, 0, 2)[0])(2.5)
    expected = 2**3.5 * (np.log(2) / 3.5 - 1 / 3.5**2)
    assert np.isclose(of_quad, expected, rtol=1e-9)


def test_what_is_constant_is_scipys() -> None:
    def call(p: Any) -> Any:
        solution = ig.solve_ivp(lambda t, y: -y, (0, 1), [1.0])
        assert type(solution.y) is np.ndarray
        return (
            p * solution.y[0, -1]
            + p * ig.quad(np.cos, 0, 1)[0]
            + ig.dblquad(lambda t, s: t * s, 0, 1, 0, 1)[0]
        )

    assert sd.vjp(call, 2.0)[0] == call(2.0)


def test_the_empty_range() -> None:
    assert sd.grad(lambda p: ig.quad(lambda t: t * 3.0, 2.0, p)[0])(2.0) == 6.0


def test_it_is_run_anew_at_each_step_of_descent() -> None:
    times = np.linspace(0, 2, 5)

    def loss(p: Any) -> Any:
        curve = ig.solve_ivp(lambda t, y: -p["rate"] * y, (0, 2), [1.0], t_eval=times).y[0]
        return np.sum((curve - np.exp(-0.8 * times)) ** 2)

    with pytest.warns(UserWarning, match="one by one"):
        result = sd.descend(loss, {"rate": 0.3}, step_size=0.5, steps=60)
    assert abs(result.weights["rate"] - 0.8) < 0.01


@pytest.mark.parametrize(
    "call",
    [
        lambda p: ig.solve_ivp(lambda t, y: 1j * p[0] * y, (0, 1), [1j], "BDF").y[0, -1].real,
        lambda p: ig.odeint(lambda y, t: -y, [1.0], [0.0, p[0]])[-1],
        lambda p: ig.solve_ivp(lambda t, y: -y, (0, p[0]), [1.0]).y[0, -1],
        lambda p: ig.solve_ivp(lambda t, y: -p * y, (0, 1), P, events=lambda t, y: y[0] - 0.1).y[
            0, -1
        ],
        lambda p: ig.solve_ivp(lambda t, y: -p * y, (0, 1), P, dense_output=True).sol(0.5)[0],
        lambda p: ig.quad(lambda t: t ** (p[0] - 1.2), 0, 1)[0],
        lambda p: ig.quad(lambda t: np.exp(-p[0] * t), 0, 1, weight="cos", wvar=3.0)[0],
        lambda p: ig.quad_vec(lambda t: np.exp(-p * t), 0, 1)[0],
    ],
)
def test_refusals(call: Callable[[Any], Any]) -> None:
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda x: np.sum(call(x)))(P)
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead
