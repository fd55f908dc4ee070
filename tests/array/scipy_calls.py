"""What the tests of SciPy's functions ask of each: SciPy's value, and derivatives that fit it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.differences import assert_within, slope

import steepest as sd
from steepest.errors import NeedsValueError

__all__ = ["check", "check_once", "check_type"]


def check(
    call: Callable[[Any], Any], x: Any, *, compiles: bool = True, single: bool = True
) -> None:
    """Compare with SciPy's value, with differences to second order, and compiled.

    Parameters
    ----------
    call : callable
        One array to one array, by a function of SciPy's that is looked up when it is called.
    x : array
    compiles : bool
        Whether `call` can do with shapes alone; if not, that is a clear error.
    single : bool
        Whether single precision is tried too.
    """
    x = np.asarray(x, float)
    generator = np.random.default_rng(0)
    expected = call(x)
    check_type(call, x, expected)
    if single:
        check_type(call, x.astype(np.float32), call(x.astype(np.float32)), 2e-3)
    weights = generator.uniform(0.5, 1.5, np.shape(expected))

    def loss(x: Any) -> Any:
        result = call(x)
        return np.sum(weights * result * (1 + result / 2))

    direction = generator.uniform(0.5, 1, x.shape) * generator.choice([-1, 1], x.shape)
    precision = np.dtype(np.float64)
    gradient = sd.grad(loss)(x)
    # Along one direction, so that a table of many calls does not take long.
    value, error = slope(lambda t: loss(x + t * direction), precision, 2.0**-6)
    along = np.sum(gradient * direction)
    assert_within(along, value, error, worst_error=1e-4)
    value, error = slope(lambda t: sd.grad(loss)(x + t * direction), precision, 2.0**-6)
    assert_within(sd.hvp(loss, x, direction), value, error, worst_error=1e-3)
    np.testing.assert_allclose(sd.jvp(loss, (x,), (direction,))[1], along, rtol=1e-7, atol=1e-9)
    if compiles:
        total, compiled = sd.compile(sd.value_and_grad(loss))(x)
        np.testing.assert_allclose(total, loss(x), rtol=1e-9)
        np.testing.assert_allclose(compiled, gradient, rtol=1e-6, atol=1e-8)
    else:
        with pytest.raises(NeedsValueError) as caught:
            sd.compile(loss)(x)
        assert caught.value.line is not None
        assert caught.value.instead


def check_once(call: Callable[[Any], Any], x: Any) -> None:
    """Compare with SciPy's value, and the first derivative with differences."""
    x = np.asarray(x, float)
    expected = call(x)
    check_type(call, x, expected)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, np.shape(expected))
    report = sd.check_gradient(lambda x: np.sum(weights * call(x)), x)
    assert report.verdict == "correct", str(report)


def check_type(call: Callable[[Any], Any], x: Any, expected: Any, rtol: float = 1e-9) -> None:
    """Compare value, shape and dtype with what SciPy gives."""
    actual, _ = sd.vjp(call, x)
    assert np.shape(actual) == np.shape(expected)
    if isinstance(expected, (np.ndarray, np.generic)):
        assert type(actual) is type(expected)
        assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol)
