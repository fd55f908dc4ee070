"""Running products, differences, integrals, interpolation, convolution."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.array.conformity import Case, parameters

import steepest as sd

RNG = np.random.default_rng(4)
VECTOR = RNG.uniform(-2, 2, 9)
SINGLE = VECTOR.astype(np.float32)
MATRIX = RNG.uniform(-2, 2, (3, 4))
BLOCK = RNG.uniform(-2, 2, (3, 3, 4))
COMPLEX = RNG.uniform(-2, 2, 5) + 1j * RNG.uniform(-2, 2, 5)
STEPS = RNG.uniform(0.2, 1, 9)
POINTS = np.cumsum(STEPS)
KNOTS = np.sort(RNG.uniform(0, 5, 6))
VALUES = RNG.uniform(-1, 1, 6)
WITHIN = RNG.uniform(-1, 6, (2, 5))
NUMBER = np.float64(0.3)
THREE: Any = 3

RUNNING = {
    **{
        f"cumprod axis={k}": Case(lambda x, k=k: np.cumprod(x, axis=k), (MATRIX,))
        for k in (None, 0, 1)
    },
    "cumprod of zeros": Case(np.cumprod, (np.array([2.0, 0.0, 3.0, 0.0, 4.0]),)),
    "cumprod dtype": Case(lambda x: np.cumprod(x, dtype=np.float64), (SINGLE,)),
    "cumprod method": Case(lambda x: x.cumprod(), (VECTOR,)),
    "cumprod complex": Case(np.cumprod, (COMPLEX,)),
    "cumprod number": Case(np.cumprod, (np.float64(1.5),)),
    **{
        f"{name} {setting}": Case(
            lambda x, name=name, setting=setting: getattr(np, name)(
                x, axis=1, include_initial=setting
            ),
            (MATRIX,),
        )
        for name in ("cumulative_sum", "cumulative_prod")
        for setting in (False, True)
    },
}

DIFFERENCES = {
    "ediff1d": Case(np.ediff1d, (MATRIX,)),
    "ediff1d begin": Case(
        lambda x, y: np.ediff1d(x, to_begin=y, to_end=[1, 2.0]), (MATRIX, VECTOR)
    ),
    "ediff1d end": Case(lambda x, y: np.ediff1d(x, to_end=y), (MATRIX, VECTOR)),
    **{
        f"gradient {name} {order}": Case(
            lambda *args, f=f, order=order: f(*args, edge_order=order), args, special=special
        )
        for order in (1, 2)
        for name, f, args, special in (
            ("all axes", lambda x, **k: np.gradient(x, **k), (BLOCK,), True),
            ("axis", lambda x, **k: np.gradient(x, axis=(1, 2), **k), (BLOCK,), True),
            ("points", np.gradient, (VECTOR, POINTS), True),
            ("spacing", np.gradient, (VECTOR, NUMBER), True),
            (
                "one of each",
                lambda x, y, h, **k: np.gradient(x, h, y, **k),
                (MATRIX, POINTS[:4], NUMBER),
                True,
            ),
            ("complex", lambda x, **k: np.gradient(x, 2, **k), (COMPLEX,), True),
            ("single", np.gradient, (SINGLE, POINTS), True),
            ("integers", lambda y, **k: np.gradient([1, 4, 9, 3], y, **k), (POINTS[:4],), True),
            ("list", lambda x, **k: np.gradient(x, [0, 1, 3], axis=-2, **k), (BLOCK,), True),
            # Evenly spaced points that move are not taken for one spacing.
            ("even points", np.gradient, (VECTOR, np.arange(9.0)), False),
        )
    },
    "trapezoid": Case(np.trapezoid, (VECTOR,)),
    "trapezoid points": Case(np.trapezoid, (VECTOR, POINTS)),
    "trapezoid axis": Case(lambda y, x: np.trapezoid(y, x, axis=1), (BLOCK, POINTS[:3])),
    "trapezoid points of all": Case(
        lambda y, x: np.trapezoid(y, x, axis=0), (MATRIX, MATRIX[::-1].copy())
    ),
    "trapezoid dx": Case(lambda y, dx: np.trapezoid(y, dx=dx, axis=0), (MATRIX, NUMBER)),
    "trapezoid single": Case(lambda y: np.trapezoid(y, dx=0.1), (SINGLE,)),
    "trapezoid complex": Case(np.trapezoid, (COMPLEX,)),
    "unwrap": Case(np.unwrap, (3 * VECTOR,)),
    "unwrap axis": Case(lambda p: np.unwrap(p, discont=1.0, axis=0, period=2), (3 * MATRIX,)),
    "unwrap period": Case(
        lambda p, period: np.unwrap(p, period=period), (3 * VECTOR, np.float64(2))
    ),
    "unwrap single": Case(np.unwrap, (3 * SINGLE,)),
}
INTERPOLATION = {
    "interp": Case(np.interp, (WITHIN, KNOTS, VALUES)),
    "interp ends": Case(
        lambda x, xp, fp, left, right: np.interp(x, xp, fp, left, right),
        (WITHIN, KNOTS, VALUES, np.float64(3), np.float64(4)),
    ),
    "interp period": Case(
        lambda x, xp, fp, period: np.interp(x, xp, fp, period=period),
        (WITHIN, KNOTS, VALUES, np.float64(2.5)),
    ),
    "interp complex": Case(np.interp, (WITHIN[0], KNOTS, VALUES + 1j * KNOTS)),
    "interp single": Case(np.interp, (WITHIN.astype(np.float32), KNOTS, SINGLE[:6])),
    "interp number": Case(np.interp, (np.float64(2.2), KNOTS, VALUES)),
    "interp one knot": Case(np.interp, (WITHIN, KNOTS[:1], VALUES[:1])),
    "interp at knots": Case(np.interp, (KNOTS, KNOTS.copy(), VALUES), differentiable=False),
    "interp infinite": Case(
        lambda x, fp: np.interp(x, [0, 1, 1, 2, 3], fp),
        (np.array([0.5, 1.0, 1.5, 2.5]), np.array([0.0, 1.0, 2.0, np.inf, np.inf])),
        differentiable=False,
    ),
}
CONVOLUTION = {
    **{
        f"{f.__name__} {mode} {long} {short}": Case(
            lambda x, y, f=f, mode=mode: f(x, y, mode), (VECTOR[:long], STEPS[:short])
        )
        for f in (np.convolve, np.correlate)
        for mode in ("full", "same", "valid")
        for long, short in ((9, 3), (3, 9), (8, 4), (4, 9), (4, 4), (1, 3))
    },
    **{
        f"{f.__name__} {mode} complex {name}": Case(
            lambda x, y, f=f, mode=mode: f(x, y, mode), args
        )
        for f in (np.convolve, np.correlate)
        for mode in ("full", "same", "valid")
        for name, args in (("long", (COMPLEX, COMPLEX[:2] * 1j)), ("short", (STEPS[:2], COMPLEX)))
    },
}
ALL = {**RUNNING, **DIFFERENCES, **INTERPOLATION, **CONVOLUTION}


@parameters(ALL)
def test_values_are_numpys(case: Case) -> None:
    case.check_values()


@parameters({**RUNNING, **DIFFERENCES, **INTERPOLATION})
def test_values_are_numpys_for_special_numbers(case: Case) -> None:
    case.check_special_values()


@parameters(ALL)
def test_derivatives(case: Case) -> None:
    case.check_derivatives()


@given(st.lists(st.sampled_from([0.0, 1.5, -2.0, 3.0]), min_size=1, max_size=6))
def test_second_derivatives_of_running_products_are_exact_at_zeros(entries: list[float]) -> None:
    x = np.array(entries)
    weights = 2.0 ** np.arange(len(x))
    expected = np.zeros((len(x), len(x)))
    for first, second in itertools.permutations(range(len(x)), 2):
        expected[first, second] = sum(
            weights[last] * math.prod(x[i] for i in range(last + 1) if i not in (first, second))
            for last in range(max(first, second), len(x))
        )
    hessian = sd.hessian(lambda x: np.cumprod(x) @ weights)(x)
    np.testing.assert_allclose(hessian, expected, rtol=1e-14)


def test_at_a_knot_interpolation_has_the_mean_of_the_slopes_beside_it() -> None:
    xp, fp = np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 5.0])
    by_x = sd.grad(lambda x: np.interp(x, xp, fp))
    assert [by_x(x) for x in (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)] == [0, 0.5, 1, 2.5, 4, 2, 0]
    np.testing.assert_array_equal(sd.grad(lambda xp: np.interp(1.0, xp, fp))(xp), [0, -2.5, 0])
    np.testing.assert_array_equal(sd.grad(lambda fp: np.interp(1.0, xp, fp))(fp), [0, 1, 0])


def test_points_evenly_spaced_have_a_derivative_each() -> None:
    x = np.arange(4.0)
    moving = sd.jacobian(lambda x: np.gradient(np.array([1.0, 4.0, 9.0, 16.0]), x))(x)
    moved = x + np.array([0.0, 0.0, 0.0, 1e-6])
    difference = (
        np.gradient(np.array([1.0, 4, 9, 16]), moved) - np.gradient([1.0, 4, 9, 16])
    ) / 1e-6
    np.testing.assert_allclose(moving[:, 3], difference, atol=1e-4)


def test_what_does_not_flow_does_not_poison_a_convolution() -> None:
    kernel = np.array([1.0, np.inf, 2.0])
    gradient = sd.grad(lambda x: np.convolve(x, kernel)[0])(np.ones(4))
    np.testing.assert_array_equal(gradient, [1, 0, 0, 0])
    gradient = sd.grad(lambda x: np.sum(np.convolve(x, kernel)[:2]))(np.ones(4))
    np.testing.assert_array_equal(gradient, [np.inf, 1, 0, 0])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.interp(x, [0, 1], [1, 2, 3]),
        lambda x: np.interp(x, [], []),
        lambda x: np.interp(x, [0, 1], [1, 2], period=0),
        lambda x: np.interp(x + 0j, [0, 1], [1, 2]),
        lambda x: np.convolve(x, []),
        lambda x: np.convolve(x[:, None], [1.0]),
        lambda x: np.gradient(x[:1]),
        lambda x: np.gradient(x, 1.0, 2.0),
        lambda x: np.gradient(x, [1.0, 2.0]),
        lambda x: np.gradient(x, edge_order=THREE),
        lambda x: np.ediff1d(x, to_end=1j),
        lambda x: np.cumprod(x, axis=1),
    ],
    ids=range(12),
)
def test_what_numpy_refuses_is_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as plain:
        call(VECTOR)
    with pytest.raises(type(plain.value)):
        sd.grad(lambda x: np.sum(np.real(call(x))))(VECTOR)
