"""``np.emath``, whose functions go over to complex numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest.errors import NeedsValueError

INSIDE = np.array([0.3, 0.8, 0.9])
OUTSIDE = np.array([0.3, -2.5, 1.7])

CALLS: dict[str, Callable[[Any], Any]] = {
    **{
        name: getattr(np.emath, name)
        for name in ("sqrt", "log", "log2", "log10", "arccos", "arcsin", "arctanh")
    },
    "logn by x": lambda x: np.emath.logn(3, x),
    "logn by n": lambda x: np.emath.logn(x, [2.0, 3.0, -4.0]),
    "power": lambda x: np.emath.power(x, 0.7),
    "power by p": lambda x: np.emath.power([2.0, -3.0, 4.0], x),
    "power of integers": lambda x: np.emath.power(x, -2),
    "integers to a negative power": lambda x: x * np.emath.power(np.array([1, 2, 3]), [-1, 2, -3]),
}


@pytest.mark.parametrize("x", [INSIDE, OUTSIDE, INSIDE[0], OUTSIDE[1], -2.5, 0.6])
@pytest.mark.parametrize("name", CALLS)
def test_values_and_derivatives(name: str, x: Any) -> None:
    function = CALLS[name]
    value, _ = sd.vjp(function, x)
    expected = function(x)
    assert type(value) is type(expected)
    assert np.asarray(value).dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(value, expected)

    def loss(x: Any) -> Any:
        result = function(x)
        return np.sum(np.real(result) + 0.7 * np.imag(result))

    assert sd.check_gradient(loss, x).verdict == "correct"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, np.complex64])
@pytest.mark.parametrize("x", [INSIDE, OUTSIDE], ids=["inside", "outside"])
@pytest.mark.parametrize("name", ["sqrt", "log", "arccos", "arctanh"])
def test_dtypes_are_those_of_numpy(name: str, x: Any, dtype: Any) -> None:
    function = CALLS[name]
    value, _ = sd.vjp(function, x.astype(dtype))
    expected = function(x.astype(dtype))
    assert value.dtype == expected.dtype
    np.testing.assert_array_equal(value, expected)


def test_shapes_alone_do_not_say_whether_the_result_is_complex() -> None:
    with pytest.raises(NeedsValueError):
        sd.compile(lambda x: np.sum(np.emath.sqrt(x)))(INSIDE)
