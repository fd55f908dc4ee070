"""Keyword arguments of ufuncs, element-wise functions that are no ufuncs, and complex slopes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special as sp
from tests.differences import assert_within, gradient_by_differences

import steepest as sd
from steepest.array import Array
from steepest.errors import UnsupportedError

Call = Callable[[Any], Any]
inf, nan = np.inf, np.nan
ODD = np.array([-inf, -2.5, -1.0, -0.0, 0.0, 0.3, 1.5, 2.5, nan, inf])


def value_of(call: Call, x: Any) -> Any:
    """What a function gives on a traced argument."""
    results: list[Any] = []

    def traced(x: Any) -> Any:
        results.append(call(x))
        return np.sum(x) * 0

    sd.vjp(traced, x)
    values = results[0] if isinstance(results[0], tuple) else (results[0],)
    return tuple(each._value if isinstance(each, Array) else each for each in values)


FUNCTIONS: dict[str, Call] = {
    "dtype": lambda x: np.sin(x, dtype=np.float64),
    "signature": lambda x: np.add(x, 1, signature="dd->d"),
    "signature of dtypes": lambda x: np.add(x, 1, signature=(None, None, "g")),
    "casting": lambda x: np.multiply(x, 2, casting="unsafe", dtype=np.float32),
    "order": lambda x: np.exp(x, order="F", subok=False),
    "where": lambda x: np.exp(x, where=True),
    "sign": lambda x: np.sign(x),
    "heaviside": lambda x: np.heaviside(x, 0.5),
    "heaviside of both": lambda x: np.heaviside(x, x),
    "nextafter": lambda x: np.nextafter(x, 1),
    "spacing": lambda x: np.spacing(x),
    "modf": lambda x: np.modf(x),
    "frexp": lambda x: np.frexp(x),
    "divmod": lambda x: np.divmod(x, 0.7),
    "built-in divmod": lambda x: divmod(x, 0.7),
    "float_power": lambda x: np.float_power(x, 3),
    "fix": lambda x: np.fix(x),
    "round": lambda x: np.round(x, 1),
    "around": lambda x: x.round(),
    "clip": lambda x: np.clip(x, -1, 1),
    "clip below": lambda x: x.clip(min=0.0),
    "clip by the method": lambda x: x.clip(-0.5),
    "clip nothing": lambda x: np.clip(x, None, None),
    "clip by keywords": lambda x: np.clip(x, min=-0.5, max=0.25),
    "nan_to_num": lambda x: np.nan_to_num(x),
    "nan_to_num of choice": lambda x: np.nan_to_num(x, nan=1.0, posinf=5.0, neginf=-5.0),
    "sinc": lambda x: np.sinc(x),
    "i0": lambda x: np.i0(x),
    "real_if_close": lambda x: np.real_if_close(x),
    "angle": lambda x: np.angle(x, deg=True),
    "isclose": lambda x: np.isclose(x, 0.3, equal_nan=True),
    "deg2rad": lambda x: np.deg2rad(x) + np.rad2deg(x),
    "outer": lambda x: np.arctan2.outer(x, x),
    "spence": lambda x: sp.spence(x),
    "airy": lambda x: sp.airy(x),
    "cbrt": lambda x: sp.cbrt(x),
    "clip of an ndarray": lambda x: np.arange(10.0).clip(x, 5.0),
}


@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated:DeprecationWarning")
@pytest.mark.parametrize("dtype", ["e", "f", "d", "g"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_dtype_are_numpys(name: str, dtype: str) -> None:
    call = FUNCTIONS[name]
    whole = ODD.astype(dtype)
    with np.errstate(all="ignore"):
        for x in (whole, whole[::-2], whole[:0], whole[:1], whole[5], whole.reshape(5, 2).T):
            if name in {"outer", "clip of an ndarray"} and x.shape != whole.shape:
                continue
            if name == "real_if_close" and not x.shape:  # NumPy makes an array of a scalar
                continue
            try:
                expected = call(x)
            except TypeError:
                with pytest.raises(TypeError):
                    value_of(call, x)
                continue
            expected = expected if isinstance(expected, tuple) else (expected,)
            for one, other in zip(value_of(call, x), expected, strict=True):
                assert type(one) is type(other)
                np.testing.assert_array_equal(one, other, strict=True)
                assert np.array_equal(np.signbit(one), np.signbit(other)) or name == "i0"


@pytest.mark.parametrize(
    "call",
    [
        lambda z: np.abs(z),
        lambda z: np.sign(z) * (1 + 2j),
        lambda z: np.abs(np.sign(z) + 2),
        lambda z: np.arccosh(z),
        lambda z: np.arcsin(z) * np.arccos(z),
        lambda z: np.arctan(z) * np.arctanh(z) * np.arcsinh(z),
        lambda z: np.angle(z) * np.conj(z) * z.real / z.imag,
        lambda z: np.nan_to_num(z) ** 2,
        lambda z: np.sinc(z) * np.log2(z) * np.log10(z),
        lambda z: np.float_power(z, 1.5),
        lambda z: np.var(z) + np.std(z) + np.prod(z) + np.mean(z),
        lambda z: sp.wofz(z) * sp.erfcx(z) * sp.dawsn(z),
        lambda z: sp.spence(z) * sp.wrightomega(z) * sp.lambertw(z),
        lambda z: sp.sici(z)[0] * sp.shichi(z)[1] * sp.fresnel(z)[0],
        lambda z: sp.airy(z)[1] * sp.hyp2f1(0.5, 1.5, 2.5, z / 9),
        lambda z: sp.hankel1(0.5, z) * sp.hankel2e(1.5, z),
        lambda z: sp.elliprf(z, 1.0, 2.0) * sp.elliprc(z, 2.0),
    ],
)
def test_complex_slopes_of_both_orders(call: Call) -> None:
    def loss(z: Any) -> Any:
        return np.sum(np.real(call(z[0])) + 0.5 * np.imag(call(z[0])))

    def squared_slope(z: Any) -> Any:
        return np.sum(np.abs(sd.grad(lambda z: loss((z,)))(z[0])) ** 2)

    z = np.array([1.2 + 0.7j, -1.6 + 0.4j, 0.3 - 2.1j])
    functions = [loss]
    if "elliprf" not in call.__code__.co_names:
        functions.append(squared_slope)
    for function in functions:
        (expected,), (error,) = gradient_by_differences(function, (z,), 2.0**-6)
        actual = sd.grad(lambda z, function=function: function((z,)))(z)
        assert_within(actual, expected, error, rounding=1e-9, worst_error=1e-3)


def test_sign_of_a_complex_number_turns() -> None:
    """Along a number nothing changes, across it the sign turns."""
    z = 3 + 4j
    along, across = (sd.jvp(np.sign, (z,), (d,))[1] for d in (z, 1j * z))
    np.testing.assert_allclose([along, across], [0, 1j * z / 5], atol=1e-15)


def test_heaviside_at_zero_is_its_second_argument() -> None:
    by_second = sd.grad(lambda h: np.sum(np.heaviside(np.array([-1.0, 0.0, 2.0]), h)))
    np.testing.assert_array_equal(by_second(np.full(3, 0.5)), [0, 1, 0])


def test_remainders_at_quotients_that_round() -> None:
    x, y = np.nextafter(3.0, 0), 1.0
    assert sd.grad(np.fmod, argnums=1)(x, y) == -2
    assert sd.grad(lambda x, y: x % y, argnums=1)(x, y) == -2


@pytest.mark.parametrize("make", [lambda x: x**2, lambda x: x**3, lambda x: x**0.5])
def test_powers_of_booleans_have_numpys_dtype(make: Call) -> None:
    for x in (np.array([True, False]), np.array([[True]])):
        actual = sd.compile(make, engine="interpret")(x)
        assert actual.dtype == make(x).dtype
        np.testing.assert_array_equal(actual, make(x))


def test_what_pythons_numbers_do() -> None:
    def loss(x: Any) -> Any:
        assert math.floor(x) == 2
        assert math.ceil(x) == 3
        assert math.trunc(x) == 2
        assert round(x) == 2
        assert round(x, 1) == 2.4
        whole, rest = divmod(x, 1)
        return abs(x) * rest + whole

    assert sd.grad(loss)(2.4) == pytest.approx(2.4 + 0.4)
    with pytest.raises(TypeError):
        sd.grad(lambda x: pow(x, 2, 3))(2.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: np.exp(x, where=x > 0), "np.where"),
        (lambda x: np.frompyfunc(lambda a: a, 1, 1)(x), "np.frompyfunc"),
        (lambda x: x.view(np.int64), "view"),
        (lambda x: x.byteswap(), "byteswap"),
    ],
)
def test_refusals_say_what_to_write(call: Call, words: str) -> None:
    with pytest.raises((UnsupportedError, TypeError), match=words) as caught:
        sd.grad(lambda x: np.sum(call(x)))(np.ones(3))
    assert "Instead:" in str(caught.value)


@pytest.mark.parametrize(
    ("call", "x", "expected"),
    [
        # Near the points where formulas cancel; by closed forms.
        (sp.dawsn, 1e4, -5.00000007500000187e-9),
        (sp.exprel, 1e-9, 0.50000000033333333),
        (sp.ellipk, 1e-12, 0.392699081699282),
        (sp.rgamma, -3.0, -6.0),
        (lambda n: sp.binom(n, 2.0), 1.0, 0.5),
        (lambda z: sp.poch(z, 2.0), -1.0, -1.0),
        (lambda t: sp.boxcox(2.0, t), 1e-9, 0.24022650706937),
        (sp.spence, 1.0, -1.0),
        (np.sinc, 1e-9, -3.28986813369645e-9),
    ],
)
def test_slopes_where_formulas_cancel(call: Call, x: float, expected: float) -> None:
    np.testing.assert_allclose(sd.grad(call)(x), expected, rtol=1e-9)
