"""The functions of the modules math and cmath, of traced numbers."""

from __future__ import annotations

import cmath
import copy
import math
import pickle
from collections.abc import Callable
from math import cos as cosine
from math import sqrt
from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest.array.math_functions import STAND_INS
from steepest.errors import NeedsValueError, TracedConversionError

from .conftest import central_difference

OF_ONE = [
    *("acos", "asin", "asinh", "atan", "atanh", "cbrt", "cos", "cosh", "degrees", "erf", "erfc"),
    *("exp", "exp2", "expm1", "fabs", "gamma", "lgamma", "log", "log10", "log1p", "log2"),
    *("radians", "sin", "sinh", "sqrt", "tan", "tanh"),
]


def _of_one(name: str) -> Callable[[Any], Any]:
    return lambda x: getattr(math, name)(x)


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    **{name: _of_one(name) for name in OF_ONE},
    "acosh": lambda x: math.acosh(1 + x),
    "atan2": lambda x: math.atan2(x, 2) * math.atan2(1.5, x),
    "copysign": lambda x: math.copysign(x, -1) * x,
    "dist": lambda x: math.dist((x, 1.0), [2.0, x * x]),
    "fmod": lambda x: math.fmod(3 * x, 0.5) * x,
    "fsum": lambda x: math.fsum([x, x * x, 1.0]) + math.fsum(x**k for k in range(3)),
    "hypot": lambda x: math.hypot(x, 2) * math.hypot(x, x * x, 1) * math.hypot(x),
    "ldexp": lambda x: math.ldexp(x, 3),
    "log of a base": lambda x: math.log(x, 3) * math.log(3, 1 + x),
    "modf": lambda x: math.modf(3 * x)[0] ** 2 * math.modf(3 * x)[1],
    "pow": lambda x: math.pow(x, 3) * math.pow(2, x),
    "questions": lambda x: x if math.isfinite(x) and not math.isnan(x) else 0.0,
    "names": lambda x: sqrt(x) * cosine(x) * math.pi,
    "of NumPy's scalars": lambda x: math.sin(np.square(x)) + math.floor(3 * x) * x,
    "of complex numbers": lambda x: (
        abs(cmath.exp((1 + 2j) * x) * cmath.sqrt(x)) * cmath.phase(cmath.log(x + 1j))
    ),
    "of polar coordinates": lambda x: (
        cmath.rect(x, 2 * x).imag * cmath.polar((1 + x) * (2 + 1j * x))[1]
    ),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("number", [0.4, np.float64(0.4)], ids=["float", "float64"])
def test_values_types_and_derivatives(program: Callable[[Any], Any], number: Any) -> None:
    kinds = []

    def loss(x: Any) -> Any:
        result = program(x)
        kinds.append(result.__class__)
        return result

    expected = loss(number)
    value, gradient = sd.value_and_grad(loss)(number)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    slope = central_difference(lambda h: program(number + h))
    np.testing.assert_allclose(gradient, slope, rtol=1e-8)
    np.testing.assert_allclose(sd.jvp(program, (number,), (1.0,))[1], slope, rtol=1e-8)
    second = central_difference(lambda h: sd.grad(program)(number + h))
    np.testing.assert_allclose(sd.grad(sd.grad(program))(number), second, rtol=1e-7, atol=1e-9)
    assert len(set(kinds)) == 1


def test_compiled() -> None:
    def loss(x: Any) -> Any:
        return math.sqrt(x) * math.exp(-x) + math.hypot(x, 2.0)

    np.testing.assert_allclose(sd.compile(sd.grad(loss))(0.4), sd.grad(loss)(0.4), rtol=1e-12)
    with pytest.raises(NeedsValueError):
        sd.compile(lambda x: x if math.isnan(x) else 2 * x)(1.0)


@pytest.mark.parametrize(
    ("program", "error"),
    [
        (lambda x: math.sqrt(-x), ValueError),
        (lambda x: math.log(0 * x), ValueError),
        (lambda x: math.exp(1000 * x), OverflowError),
        (lambda x: math.pow(-x, 0.5), ValueError),
        (lambda x: math.sin(x * np.ones(2)), TypeError),
    ],
)
def test_errors_are_those_of_math(program: Callable[[Any], Any], error: type[Exception]) -> None:
    with pytest.raises(error) as plain:
        program(1.0)
    with pytest.raises(error) as traced:
        sd.grad(program)(1.0)
    assert str(traced.value) == str(plain.value)


def test_the_module_is_put_back() -> None:
    sine = math.sin

    def loss(x: Any) -> Any:
        assert math.sin == sine
        assert {sine: 1}[math.sin] == 1
        assert pickle.loads(pickle.dumps(math.sin)) is sine
        assert copy.deepcopy(sqrt)(4.0) == 2.0
        assert math.sin(1.0) == sine(1.0)
        assert type(math.sin(1.0)) is float
        return x

    before = math, sqrt
    sd.grad(loss)(1.0)
    assert (math, sqrt) == before
    assert id(math) in STAND_INS
    assert math.sin is sine


def test_what_has_no_stand_in_is_refused() -> None:
    with pytest.raises(TracedConversionError, match="float"):
        sd.grad(lambda x: math.remainder(x, 2.0))(1.0)
