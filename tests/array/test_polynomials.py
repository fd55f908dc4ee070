"""NumPy's polynomials, those of np.polynomial included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.array.conformity import Case, parameters

import steepest as sd
from steepest.errors import TracedConversionError, UnsupportedError

RNG = np.random.default_rng(5)
VECTOR = RNG.uniform(-2, 2, 9)
MATRIX = RNG.uniform(-2, 2, (3, 4))
COMPLEX = RNG.uniform(-2, 2, 5) + 1j * RNG.uniform(-2, 2, 5)
WEIGHTS = RNG.uniform(0.2, 1, 9)

CASES = {
    "polyval": Case(np.polyval, (VECTOR[:4], MATRIX)),
    "polyval number": Case(np.polyval, (VECTOR[:4], np.float64(0.3))),
    "polyval constants": Case(lambda p: np.polyval(p, [1, 2]), (VECTOR[:3],)),
    "polyval single": Case(lambda x: np.polyval([1, 2, 3], x), (VECTOR.astype(np.float32),)),
    "polyval complex": Case(np.polyval, (COMPLEX[:3], VECTOR)),
    "polyadd": Case(np.polyadd, (VECTOR[:3], WEIGHTS[:5])),
    "polysub": Case(np.polysub, (VECTOR[:5], WEIGHTS[:3])),
    "polymul": Case(np.polymul, (VECTOR[:3], WEIGHTS[:2]), needs_values=True),
    "polydiv": Case(np.polydiv, (VECTOR[:5], WEIGHTS[:3]), needs_values=True),
    "polydiv short": Case(np.polydiv, (VECTOR[:2], WEIGHTS[:3]), needs_values=True),
    "polyder": Case(lambda p: np.polyder(p, 2), (VECTOR[:5],)),
    "polyder none": Case(lambda p: np.polyder(p, 0), (VECTOR[:5],)),
    "polyint": Case(lambda p, k: np.polyint(p, 2, k), (VECTOR[:4], WEIGHTS[:2]), unseen=(1,)),
    "polyint one constant": Case(lambda p: np.polyint(p, 3, k=1.5), (VECTOR[:4],)),
    "poly": Case(np.poly, (VECTOR[:4],)),
    "poly complex": Case(np.poly, (COMPLEX[:3],), needs_values=True),
    "vander": Case(np.vander, (VECTOR[:3],)),
    "vander increasing": Case(lambda x: np.vander(x, 5, increasing=True), (VECTOR[:3],)),
    "vander 1": Case(lambda x: np.vander(x, 1), (VECTOR[:3],), differentiable=False),
    "vander 0": Case(lambda x: np.vander(x, 0), (VECTOR[:3],), differentiable=False),
    "vander single": Case(lambda x: np.vander(x, 3), (VECTOR[:3].astype(np.float32),)),
    "polyfit": Case(lambda x, y: np.polyfit(x, y, 2), (VECTOR, WEIGHTS), True, special=False),
    "polyfit weights": Case(
        lambda x, y, w: np.polyfit(x, y, 2, w=w),
        (VECTOR, np.stack([WEIGHTS, WEIGHTS**2], 1), WEIGHTS + 1),
        True,
        special=False,
    ),
    "polyfit full": Case(
        lambda x, y: np.polyfit(x, y, 2, full=True), (VECTOR, WEIGHTS), True, special=False
    ),
    "polyfit cov": Case(
        lambda x, y: np.polyfit(x, y, 2, cov=True), (VECTOR, WEIGHTS), True, special=False
    ),
    **{
        f"{name} of x": Case(
            lambda x, name=name, basis=basis: getattr(getattr(np.polynomial, basis), name)(
                x, [0.5, -1.0, 0.3, 2.0]
            ),
            (MATRIX,),
        )
        for basis, name in (
            ("polynomial", "polyval"),
            ("chebyshev", "chebval"),
            ("legendre", "legval"),
            ("hermite", "hermval"),
            ("hermite_e", "hermeval"),
            ("laguerre", "lagval"),
        )
    },
    "a poly1d of x": Case(np.poly1d([1.0, -2.0, 3.0]), (VECTOR,)),
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


def test_a_polynomial_of_conjugate_zeros_is_real() -> None:
    zeros = np.array([1 + 1j, 1 - 1j, 2.0])
    value, _ = sd.vjp(np.poly, zeros)
    np.testing.assert_allclose(value, [1, -4, 6, -4], rtol=1e-14)


def test_a_polynomial_as_a_value_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="poly1d"):
        sd.grad(lambda p: np.polyval(p, np.poly1d([1.0, 2.0]))[0])(VECTOR[:3])


def test_a_series_as_an_object_is_refused_and_as_a_function_is_not() -> None:
    series = np.polynomial.Chebyshev([1.0, -2.0, 3.0])
    with pytest.raises(TracedConversionError):
        sd.grad(lambda x: np.sum(series(x)))(VECTOR)
    gradient = sd.grad(lambda x: np.sum(np.polynomial.chebyshev.chebval(x, series.coef)))(VECTOR)
    np.testing.assert_allclose(gradient, series.deriv()(VECTOR), rtol=1e-13)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.polyfit(x, x, -1),
        lambda x: np.polyfit(x, x[:3], 1),
        lambda x: np.polyder(x, -1),
        lambda x: np.polyint(x, 3, [1.0, 2.0]),
        lambda x: np.vander(x[:, None]),
        lambda x: np.poly(np.stack([x, x])),
    ],
    ids=range(6),
)
def test_what_numpy_refuses_is_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as plain:
        call(VECTOR)
    with pytest.raises(type(plain.value)):
        sd.grad(lambda x: np.sum(call(x)))(VECTOR)
