"""The functions of scipy.special: derivatives in the bulk, in the tails and at the edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special as sp
from hypothesis import given
from hypothesis import strategies as st

import steepest as sd
from steepest.errors import TracedConversionError, UnsupportedError
from steepest.ops import primitive_of_ufunc, special

Check = Callable[..., None]
inf, nan = np.inf, np.nan


def second(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return sd.grad(sd.grad(f))


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        pytest.param(entry.evaluate, low, high, id=entry.name)
        for low, high, names in [
            (-4, 4, "expit log_expit erf erfc erfcx erfi ndtr log_ndtr exp10 cosm1 j0 j1 i0 i1"),
            (0.05, 0.95, "logit ndtri erfinv erfcinv entr"),
            (0.3, 5, "gamma gammaln loggamma psi expi exp1 i0e i1e y0 y1 k0 k1 k0e k1e"),
            (-1.9, -1.1, "gamma gammaln psi"),
            (-5, -0.1, "ndtri_exp i0e i1e"),
        ]
        for entry in special.PRIMITIVES
        if entry.name in names.split()
    ],
)
def test_functions_of_one_argument(
    function: Any, low: float, high: float, check_derivatives: Check
) -> None:
    check_derivatives(
        function, np.linspace(low, high, 7), tolerance=1e-6, exact=True, exact_natively=False
    )


@pytest.mark.parametrize("function", [sp.i0e, sp.i1e, sp.k0e, sp.k1e])
def test_scaled_bessel_functions_far_from_zero(function: Any) -> None:
    """Where they are x^-½ but for a factor and terms of 1 / x."""
    x = np.array([5e3, 2e4, 1e12, 1e200])
    order = sd.elementwise_grad(function)(x) * x / function(x)
    step = 1e-2 * x
    slope = (function(x + step) - function(x - step)) / (2 * step)
    np.testing.assert_allclose(order, slope * x / function(x), rtol=1e-4)
    np.testing.assert_allclose(order, -0.5, rtol=1e-3)


@pytest.mark.parametrize(
    ("function", "first", "other"),
    [
        (sp.xlogy, (-2, 2), (0.2, 3)),
        (sp.xlog1py, (-2, 2), (-0.8, 3)),
        (sp.rel_entr, (0.2, 3), (0.2, 3)),
        (sp.kl_div, (0.2, 3), (0.2, 3)),
        (sp.huber, (0.5, 1), (1.5, 3)),
        (sp.huber, (0.5, 1), (-3, -1.5)),
        (sp.huber, (0.5, 1), (-0.3, 0.3)),
        (sp.pseudo_huber, (0.5, 2), (-3, 3)),
        (sp.beta, (0.3, 4), (0.3, 4)),
        (sp.betaln, (0.3, 4), (0.3, 4)),
    ],
)
def test_functions_of_two_arguments(
    function: Any, first: tuple[float, float], other: tuple[float, float], check_derivatives: Check
) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.uniform(*first, size=(2, 1)), generator.uniform(*other, size=4)
    check_derivatives(function, x, y, exact=True, exact_natively=False)


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        *(
            (bessel, (order,))
            for bessel in (sp.jv, sp.yv, sp.iv, sp.ive, sp.kv, sp.kve)
            for order in (0, 1, 3, 0.5, -1.5)
        ),
        *((each, (a,)) for each in (sp.gammainc, sp.gammaincc) for a in (0.5, 1, 3.5, 20)),
        (sp.gammaincinv, (2.5,)),
        (sp.gammainccinv, (2.5,)),
        (sp.betainc, (2, 3)),
        (sp.betainc, (0.5, 0.7)),
        (sp.betaincinv, (2.5, 1.5)),
    ],
)
def test_functions_with_parameters(
    function: Any, parameters: tuple[float, ...], check_derivatives: Check
) -> None:
    check_derivatives(
        lambda x: function(*parameters, x), np.linspace(0.2, 0.8, 5), tolerance=1e-6, exact=True
    )


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda v: sp.jv(v, 1.0), "jv.* v"),
        (lambda a: sp.gammainc(a, 2.0), "gammainc .* a"),
        (lambda a: sp.gammaincinv(a, 0.5), "gammaincinv .* a"),
        (lambda b: sp.betainc(2.0, b, 0.5), "betainc .* b"),
        (lambda v: sp.kve(v, v), "kve .* v"),
    ],
)
def test_parameter_without_derivative_is_an_error(call: Any, name: str) -> None:
    with pytest.raises(UnsupportedError, match=name):
        sd.grad(call)(1.5)


@pytest.mark.parametrize(
    ("function", "x", "first", "second_derivative"),
    [
        # From mpmath, with 400 digits.
        (sp.expit, 40.0, 4.248354255291589e-18, -4.248354255291589e-18),
        (sp.expit, -700.0, 9.859676543759770e-305, 9.859676543759770e-305),
        (sp.expit, 1e4, 0, 0),
        (sp.expit, -1e4, 0, 0),
        (sp.expit, inf, 0, 0),
        (sp.expit, -inf, 0, 0),
        (sp.log_expit, -1e4, 1, 0),
        (sp.log_expit, 40.0, 4.248354255291589e-18, -4.248354255291589e-18),
        (sp.logit, 1e-300, 1e300, -inf),
        (sp.logit, 0.0, inf, -inf),
        (sp.logit, 1.0, inf, inf),
        (sp.erf, 1e4, 0, 0),
        (sp.erf, -inf, 0, 0),
        (sp.erfc, 10.0, -4.1976562313544169e-44, 8.3953124627088338e-43),
        (sp.erfcx, 1e3, -5.6418873726549667e-07, 1.1283757819707055e-09),
        (sp.erfcx, 1e8, -5.641895835477562e-17, 1.1283791670955126e-24),
        (sp.log_ndtr, -100.0, 100.00999800099926, -0.99990005995005174),
        (sp.log_ndtr, -1e4, 10000.000099999998, -0.9999999900000006),
        (sp.log_ndtr, -1e8, 1.0000000000000001e8, -1.0),
        (sp.log_ndtr, 40.0, 0, 0),
        (sp.ndtr, 1e4, 0, 0),
        (sp.gammaln, 1e6, 13.815510057964191, 1.0000005000001667e-06),
        (sp.entr, 0.0, inf, -inf),
        (sp.entr, 1.0, -1, -1),
        (lambda x: sp.xlogy(x, x), 1.0, 1, 1),
        (lambda x: sp.huber(1.0, x), 1e4, 1, 0),
        (lambda x: sp.pseudo_huber(1.0, x), 1e200, 1, 0),
        (lambda x: sp.kl_div(x, 0.3), 0.3, 0, 1 / 0.3),
    ],
)
def test_tails(function: Any, x: float, first: float, second_derivative: float) -> None:
    np.testing.assert_allclose(sd.grad(function)(x), first, rtol=1e-14, atol=0)
    np.testing.assert_allclose(second(function)(x), second_derivative, rtol=1e-9, atol=1e-300)


@given(st.floats(-700, 700))
def test_identities_of_the_logistic_function(x: float) -> None:
    np.testing.assert_allclose(sd.grad(sp.log_expit)(x), sp.expit(-x), rtol=1e-14)
    np.testing.assert_allclose(sd.grad(sp.expit)(x), sp.expit(x) * sp.expit(-x), rtol=1e-14, atol=0)


@given(st.floats(-1e6, 5))
def test_slope_of_log_ndtr_lies_between_its_bounds(x: float) -> None:
    """The inverse of Mills' ratio at t is between t and (t + √(t² + 4)) / 2, for t = -x."""
    slope = sd.grad(sp.log_ndtr)(x)
    rounding = 1e-14 * abs(x)
    assert -x - rounding <= slope <= (-x + np.hypot(x, 2)) / 2 + rounding
    assert slope > 0
    assert -1 <= second(sp.log_ndtr)(x) <= 0


# Zero times infinity


def test_zero_probability_counts_nothing() -> None:
    def cross_entropy(q: Any) -> Any:
        return -np.sum(sp.xlogy(np.array([0.0, 1.0]), q))

    np.testing.assert_array_equal(sd.grad(cross_entropy)(np.array([0.0, 0.5])), [0, -2])
    # One-sided at 0, where there is nothing on the other side.
    gradient = sd.grad(lambda q: np.sum(sp.kl_div(np.array([0.0, 1.0]), q)))
    np.testing.assert_array_equal(gradient(np.array([0.0, 0.5])), [1, -1])


@pytest.mark.parametrize("function", [sp.xlogy, sp.rel_entr, sp.kl_div])
def test_mixed_derivative_where_the_first_argument_is_zero(function: Any) -> None:
    mixed = sd.grad(lambda y: sd.grad(lambda x: function(x, y))(0.0))(2.0)
    other = sd.grad(lambda x: sd.grad(lambda y: function(x, y))(2.0))(0.0)
    assert other == (0.5 if function is sp.xlogy else -0.5)
    # By x first, the slope log(0) is infinite for the entropies, and so has no finite change.
    assert mixed == other or function is not sp.xlogy


@pytest.mark.parametrize(
    ("function", "poisonous"),
    [(sp.logit, 0.0), (sp.entr, 0.0), (sp.gammaln, 0.0), (sp.digamma, -1.0), (sp.erfinv, 1.0)],
)
def test_branch_not_taken_does_not_poison(function: Any, poisonous: float) -> None:
    x = np.array([poisonous, 0.5])
    with np.errstate(all="ignore"):
        gradient = sd.grad(lambda x: np.sum(np.where(x == 0.5, function(x), 0.0)))(x)
    np.testing.assert_array_equal(gradient, [0, sd.grad(function)(0.5)])


@pytest.mark.parametrize("entry", special.PRIMITIVES, ids=lambda entry: entry.name)
def test_name_is_that_of_the_ufunc(entry: Any) -> None:
    """The entry of a ufunc is found by its name."""
    if isinstance(entry.evaluate, np.ufunc):
        # NumPy's own of the same name comes first.
        assert entry.evaluate.__name__ == entry.name.removeprefix("scipy_")
        assert primitive_of_ufunc(entry.evaluate) is entry


@pytest.mark.parametrize("function", [sp.digamma, sp.gammaln, sp.loggamma])
def test_all_derivatives_of_gammaln(function: Any) -> None:
    # ψ(1) = -γ, ψ'(1) = π²/6, ψ''(1) = -2 ζ(3).
    values = [-np.euler_gamma, np.pi**2 / 6, -2 * 1.2020569031595942]
    if function is not sp.digamma:
        values = [0.0, *values]
    for value in values:
        np.testing.assert_allclose(function(1.0), value, rtol=1e-14, atol=1e-14)
        function = sd.grad(function)


def test_logistic_regression_in_single_precision() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(5, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.float32)
    w = np.zeros(3, np.float32)
    value, gradient = sd.value_and_grad(lambda w: -np.mean(sp.log_expit((2 * y - 1) * (x @ w))))(w)
    assert value.dtype == gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, x.T @ (sp.expit(x @ w) - y) / 5, rtol=1e-5)


def test_holomorphic_functions_of_complex_numbers() -> None:
    z = 0.3 + 0.4j
    for function in (sp.erf, sp.gamma, sp.loggamma, sp.expi, lambda z: sp.jv(2, z)):
        h = 1e-5
        slope = (function(z + h) - function(z - h)) / (2 * h)
        np.testing.assert_allclose(sd.jvp(function, (z,), (1 + 0j,))[1], slope, rtol=1e-8)


@pytest.mark.parametrize("function", [sp.digamma, lambda z: sp.ive(1, z)])
def test_function_without_a_complex_derivative_is_an_error(function: Any) -> None:
    with pytest.raises(UnsupportedError, match="complex"):
        sd.grad(lambda z: np.real(function(z)))(0.3 + 0.4j)


@pytest.mark.parametrize("call", [sp.logsumexp, sp.softmax, sp.log_softmax, sp.polygamma])
def test_plain_python_function_of_scipy_is_found_by_its_name_alone(call: Any) -> None:
    arguments = (1,) if call is sp.polygamma else ()
    kept = [call]
    with pytest.raises(TracedConversionError, match="lambda") as caught:
        sd.jacobian(lambda x: kept[0](*arguments, x))(np.ones(3))
    assert f"scipy.special.{call.__name__}(" in (caught.value.instead or "")


@pytest.mark.parametrize(
    ("function", "x", "slope"),
    [
        # From mpmath, by Johnson, Kotz and Balakrishnan's formulas: of either sign, in the tails,
        # of many degrees of freedom.
        (lambda t: sp.nctdtr(3, 0.4, t), 1.3, 0.2210429208263943),
        (lambda nc: sp.nctdtr(3, nc, 1.3), 0.4, -0.28010687722965016),
        (lambda t: sp.nctdtr(3, -2, t), 1.3, 0.002875237559307779),
        (lambda nc: sp.nctdtr(3, nc, 1.3), -2.0, -0.0054153369540421515),
        (lambda t: sp.nctdtr(7.5, 2, t), -3.0, 4.528181720059792e-05),
        (lambda nc: sp.nctdtr(7.5, nc, -3), 2.0, -9.038269376741739e-05),
        (lambda t: sp.nctdtr(7.5, 0, t), 0.5, 0.33570185429763505),
        (lambda nc: sp.nctdtr(7.5, nc, 0.5), 0.0, -0.35278362554148296),
        (lambda t: sp.nctdtr(200, -2, t), 2.0, 0.00014247018720074482),
        (lambda nc: sp.nctdtr(200, nc, 2), -2.0, -0.0001455013297991415),
        (lambda t: sp.nctdtr(900, 3, t), -3.0, 6.591869105707234e-09),
        (lambda nc: sp.nctdtr(900, nc, -3), 3.0, -6.659637386586303e-09),
        (lambda t: sp.nctdtr(30, 12, t), 15.0, 0.06618055814451308),
        (lambda nc: sp.nctdtr(30, nc, 15), 12.0, -0.07863141677757914),
        (lambda f: sp.ncfdtr(3, 5, 0.2, f), 0.3, 0.6300538042280356),
        (lambda nc: sp.ncfdtr(3, 5, nc, 0.3), 0.2, -0.06199919840798585),
        (lambda f: sp.ncfdtr(3, 5, 40, f), 4.0, 0.0173534881020887),
        (lambda nc: sp.ncfdtr(3, 5, nc, 4), 40.0, -0.002058381798738212),
        (lambda f: sp.ncfdtr(0.7, 33, 300, f), 50.0, 1.2019091865412758e-19),
        (lambda nc: sp.ncfdtr(0.7, 33, nc, 50), 300.0, -3.311892523020069e-20),
        (lambda f: sp.ncfdtr(40, 2, 3, f), 0.001, 3.1841692604366617e-31),
        (lambda nc: sp.ncfdtr(40, 2, nc, 0.001), 3.0, -7.948733836626028e-36),
    ],
)
def test_slopes_of_noncentral_distributions(function: Any, x: float, slope: float) -> None:
    np.testing.assert_allclose(sd.grad(function)(x), slope, rtol=1e-10)
    forward = sd.jvp(sd.grad(function), (x,), (1.0,))[1]
    np.testing.assert_allclose(second(function)(x), forward, rtol=1e-12)
    step = 1e-4 * abs(x) if x else 1e-4
    near = sd.grad(function)(x + step) - sd.grad(function)(x - step)
    np.testing.assert_allclose(forward, near / (2 * step), rtol=1e-5, atol=1e-6 * abs(slope))


def test_power_of_a_two_sided_test_of_many_degrees_of_freedom() -> None:
    """Towards the normal distribution, whose slope is known."""

    def power(effect: Any) -> Any:
        return 1 - sp.nctdtr(1e5, effect, 1.96) + sp.nctdtr(1e5, effect, -1.96)

    expected = np.exp(-0.5 * 0.46**2) - np.exp(-0.5 * 3.46**2)
    np.testing.assert_allclose(sd.grad(power)(1.5), expected / np.sqrt(2 * np.pi), rtol=1e-4)


def test_other_ufunc_of_scipy_is_an_error_that_names_it() -> None:
    with pytest.raises(UnsupportedError, match="zetac"):
        sd.grad(lambda x: sp.zetac(x))(1.5)


def ufuncs_of_scipy() -> list[np.ufunc]:
    return [each for each in vars(sp).values() if isinstance(each, np.ufunc)]


def test_every_ufunc_of_scipy_is_differentiated_or_refused_by_name() -> None:
    """None is forgotten; what is refused says what to do."""
    for ufunc in ufuncs_of_scipy():
        entry = primitive_of_ufunc(ufunc)
        name = ufunc.__name__
        assert (entry is None) == (name in special.REFUSED), name
    for name, instead in special.REFUSED.items():
        assert instead, name


@pytest.mark.parametrize("ufunc", ufuncs_of_scipy(), ids=lambda each: each.__name__)
def test_no_ufunc_of_scipy_is_silently_constant(ufunc: np.ufunc) -> None:
    """By each argument there is a slope, an error, or a step function."""
    steps = {"bdtr": 0, "bdtrc": 0, "bdtri": 0, "nbdtr": 0, "nbdtrc": 0, "nbdtri": 0}
    steps |= {"pdtr": 0, "pdtrc": 0, "pdtri": 0, "gammasgn": 0, "round": 0}
    entry = primitive_of_ufunc(ufunc)
    if entry is None:
        with pytest.raises(UnsupportedError, match=ufunc.__name__):
            sd.grad(lambda x: ufunc(x, *[2.0] * (ufunc.nin - 1)))(0.5)
        return
    for position in range(ufunc.nin):
        rule = entry.vjps[position] if position < len(entry.vjps) else None
        assert (rule is None) == (steps.get(ufunc.__name__) == position)


def test_ufunc_of_scipy_takes_a_plain_argument_beside_a_traced_one() -> None:
    np.testing.assert_array_equal(
        sd.grad(lambda y: np.sum(sp.xlogy([1.0, 2.0], y)))(np.array([1.0, 4.0])), [1, 0.5]
    )
