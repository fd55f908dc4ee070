"""Functions that choose between values: choose, select, piecewise, where, clip, take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.conformity import Case, parameters

import steepest as sd

RNG = np.random.default_rng(6)
VECTOR = RNG.uniform(-2, 2, 9)
MATRIX = RNG.uniform(-2, 2, (3, 4))
COMPLEX = RNG.uniform(-2, 2, 5) + 1j * RNG.uniform(-2, 2, 5)
NUMBER = np.float64(0.3)

CASES = {
    "choose": Case(lambda x, y: np.choose([0, 1, 1, 0], [x, y]), (MATRIX, VECTOR[:4])),
    "choose wrap": Case(
        lambda x, y: np.choose([0, 5, -1, 0], [x, y, 3], mode="wrap"), (MATRIX, VECTOR[:4])
    ),
    "choose clip": Case(
        lambda x, y: np.choose(np.array([0, 5, -1, 0]), (x, y, 3), mode="clip"),
        (MATRIX, VECTOR[:4]),
    ),
    "choose by a comparison": Case(lambda x: np.choose((x > 0).astype(int), [x**2, -x]), (MATRIX,)),
    "piecewise": Case(
        lambda x: np.piecewise(x, [x < 0, x > 1], [lambda v: v**2, 3.0, np.sin]), (MATRIX,), True
    ),
    "piecewise of a number": Case(
        lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: v]),
        (np.float64(-2),),
        True,
    ),
    "piecewise settings": Case(
        lambda x, s: np.piecewise(x, [x < 0], [lambda v, k: -v * k, lambda v, k: v + k], s),
        (VECTOR, np.float64(3)),
        True,
        unseen=(1,),
    ),
    "piecewise of its entries alone": Case(
        lambda x: np.piecewise(x, [x < 0], [lambda v: v - v.mean(), lambda v: v / v.sum()]),
        (VECTOR,),
        True,
    ),
    "piecewise numbers": Case(
        lambda x: np.piecewise(x, [x < 0, x >= 1], [-1, 1]), (VECTOR,), differentiable=False
    ),
    "nan_to_num": Case(np.nan_to_num, (VECTOR,)),
    "nan_to_num numbers": Case(
        lambda x, nan: np.nan_to_num(x, nan=nan, posinf=1.0, neginf=-2),
        (VECTOR, NUMBER),
    ),
    "nan_to_num complex": Case(np.nan_to_num, (COMPLEX,)),
    "nan_to_num single": Case(np.nan_to_num, (VECTOR.astype(np.float32),)),
    "nan_to_num number": Case(np.nan_to_num, (NUMBER,)),
    "select": Case(lambda x, y: np.select([x > 1, x < 0], [x**2, y], 7.0), (MATRIX, VECTOR[:4])),
    "select default": Case(
        lambda x, y: np.select([x > 1, x < 0], [x**2, y], y), (MATRIX, VECTOR[:4])
    ),
    "take": Case(lambda x: np.take(x, [[0, 2], [1, 1]], axis=1), (MATRIX,)),
    "take wrap": Case(lambda x: np.take(x, [17, -1], mode="wrap"), (MATRIX,)),
    "take clip": Case(lambda x: np.take(x, [77, -1], mode="clip"), (MATRIX,)),
    "take_along_axis": Case(lambda x: np.take_along_axis(x, np.argsort(x, 1), 1), (MATRIX,)),
    "take_along_axis flat": Case(
        lambda x: np.take_along_axis(x, np.argsort(x, None), None), (MATRIX,)
    ),
    "take_along_axis one": Case(
        lambda x: np.take_along_axis(x, np.argmax(x, 1, keepdims=True), 1), (MATRIX,)
    ),
    "compress": Case(lambda x: np.compress([True, False, True], x, axis=0), (MATRIX,)),
    "compress method": Case(lambda x: x.compress([1, 0, 1], axis=0), (MATRIX,)),
    "extract": Case(lambda x: np.extract(x > 0, x), (MATRIX,), True),
    "where": Case(lambda x, y: np.where(x > 0, x, y), (MATRIX, VECTOR[:4])),
    "where nonzero": Case(lambda x: x[np.where(x > 0)], (MATRIX,), True),
    "clip": Case(lambda x, low: np.clip(x, low, 1.0), (MATRIX, VECTOR[:4])),
    "clip min": Case(lambda x, low: np.clip(x, min=low), (MATRIX, VECTOR[:4])),
    "clip dtype": Case(lambda x: np.clip(x, 0, 1, dtype=np.float64), (VECTOR.astype("f"),)),
}


@parameters(CASES)
def test_values_are_numpys(case: Case) -> None:
    case.check_values()


@parameters(CASES)
def test_values_are_numpys_for_special_numbers(case: Case) -> None:
    case.check_special_values()


@parameters(CASES)
def test_derivatives(case: Case) -> None:
    case.check_derivatives()


def test_what_is_replaced_has_no_derivative() -> None:
    x = np.array([1.0, np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(sd.grad(lambda x: np.sum(np.nan_to_num(x)))(x), [1, 0, 0, 0])


def test_a_choice_that_there_is_not_is_refused() -> None:
    def call(x: Any) -> Any:
        return np.choose(np.array([0, -1, 0]), [x, x])

    with pytest.raises(ValueError, match="invalid entry"):
        sd.grad(lambda x: np.sum(call(x)))(VECTOR[:3])

    def recorded(x: Any) -> Any:
        return np.choose(np.floor(x).astype(int), [x, -x])

    compiled = sd.compile(recorded)
    inside = np.array([0.5, 1.5])
    np.testing.assert_array_equal(compiled(inside), recorded(inside))
    with pytest.raises((IndexError, ValueError)):
        compiled(np.array([0.5, -0.5]))


def test_nan_is_replaced_in_place() -> None:
    def loss(x: Any) -> Any:
        y = x / x * x
        part = y[1:]
        assert np.nan_to_num(part, copy=False, nan=2.0) is part
        return np.sum(y * VECTOR)

    x = np.arange(len(VECTOR)) - 2.0
    with np.errstate(invalid="ignore"):
        value, gradient = sd.value_and_grad(loss)(x)
        assert value == loss(x)
    np.testing.assert_array_equal(gradient, np.where(x == 0, 0, VECTOR), strict=True)
