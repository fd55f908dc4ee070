"""NumPy's polynomials, those of np.polynomial included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy.special import roots_legendre
from tests.array.conformity import Case, parameters

import steepest as sd
from steepest.errors import NeedsValueError, UnsupportedError

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


BASES: dict[str, tuple[Any, Any, str]] = {
    "power": (np.polynomial.polynomial, np.polynomial.Polynomial, "poly"),
    "Chebyshev": (np.polynomial.chebyshev, np.polynomial.Chebyshev, "cheb"),
    "Legendre": (np.polynomial.legendre, np.polynomial.Legendre, "leg"),
    "Hermite": (np.polynomial.hermite, np.polynomial.Hermite, "herm"),
    "HermiteE": (np.polynomial.hermite_e, np.polynomial.HermiteE, "herme"),
    "Laguerre": (np.polynomial.laguerre, np.polynomial.Laguerre, "lag"),
}
"""The modules of np.polynomial, their classes, and what the names of their functions begin with."""


def _of_series(module: Any, series: Any, prefix: str) -> Iterator[tuple[str, Case]]:
    def named(suffix: str) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(module, prefix + suffix)
        return function

    x, y, z = np.random.default_rng(8).uniform(-0.9, 0.9, (3, 4))
    series_1d, series_2d = VECTOR[:5], RNG.uniform(-1, 1, (4, 3))
    series_3d = RNG.uniform(-1, 1, (2, 3, 2))
    yield "val", Case(named("val"), (x, series_1d))
    yield "val, many series", Case(named("val"), (x[:3], series_2d))
    yield "val, points in two axes", Case(named("val"), (np.stack([x, y]), series_2d))
    yield "val of a number", Case(named("val"), (np.float64(0.3), series_2d))
    yield "val of an array without axes", Case(named("val"), (np.array(0.3), series_2d))
    yield (
        "val, a series for each point",
        Case(lambda x, c: named("val")(x, c, tensor=False), (x[:3], series_2d)),
    )
    yield "val2d", Case(named("val2d"), (x, y, series_2d))
    yield "val3d", Case(named("val3d"), (x, y, z, series_3d))
    yield "grid2d", Case(named("grid2d"), (x, y[:3], series_2d))
    yield "grid3d", Case(named("grid3d"), (x, y[:3], z[:2], series_3d))
    yield "der", Case(lambda c: named("der")(c, 2, 1.5, axis=1), (series_2d,))
    yield "int", Case(lambda c: named("int")(c, 2, [1, 2], lbnd=0.3, scl=1.5), (series_2d,))
    yield "vander", Case(lambda x: named("vander")(x, 3), (x,))
    yield "fit", Case(lambda x, y: named("fit")(x, y, 2), (x, y), True, special=False)
    yield (
        "fit of weighted points",
        Case(
            lambda x, y, w: named("fit")(x, y, [0, 2], w=w),
            (x, np.stack([y, z], axis=1), z + 2),
            True,
            special=False,
        ),
    )
    for suffix in ("add", "sub", "mul", "div"):
        yield suffix, Case(named(suffix), (series_1d, WEIGHTS[:3]), True, special=False)
    yield "a series of points", Case(series(series_1d, domain=[-2, 2]), (x,))
    yield "a series of coefficients", Case(lambda x, c: series(c)(x), (x, series_1d), special=False)
    yield "deriv", Case(lambda c: series(c).deriv().coef, (series_1d,), special=False)
    yield "integ", Case(lambda c: series(c).integ().coef, (series_1d,), special=False)
    yield (
        "a series that is fitted",
        Case(lambda y: series.fit(x, y, 2).coef, (y,), True, special=False),
    )


@parameters(
    {f"{basis}: {name}": case for basis, each in BASES.items() for name, case in _of_series(*each)}
)
def test_series(case: Case) -> None:
    case.check_values()
    case.check_special_values()
    case.check_derivatives()


def test_series_that_libraries_ask_for_are_ndarrays() -> None:
    def loss(x: Any) -> Any:
        points, weights = roots_legendre(3)
        assert type(points) is np.ndarray
        return np.sum(weights * np.sin(x * points))

    sd.grad(loss)(0.5)
    assert not hasattr(np.polynomial.chebyshev, "isinstance")


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


@pytest.mark.parametrize("kind", [np.polynomial.Polynomial, np.polynomial.Chebyshev])
@pytest.mark.parametrize(
    "program",
    [lambda q: (q * q)(0.2), lambda q: (q + q)(0.2), lambda q: divmod(q, q)[0](0.2)],
    ids=["product", "sum", "quotient"],
)
def test_series_whose_degree_is_not_known_are_a_question_of_values(
    kind: Any, program: Callable[[Any], Any]
) -> None:
    """NumPy leaves out leading coefficients that are 0, and takes any error for a wrong type."""

    def loss(p: Any) -> Any:
        return program(kind(p))

    with pytest.raises(NeedsValueError) as caught:
        sd.compile(loss)(np.array([1.0, 2.0, 3.0]))
    assert caught.value.line is not None
    assert "program" in caught.value.line.text or "q" in caught.value.line.text
    with pytest.raises(TypeError, match="unsupported operand"):
        sd.grad(lambda p: (kind(p) * None)(0.2))(np.array([1.0, 2.0]))
