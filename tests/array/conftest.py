"""What the tests of NumPy's functions share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import steepest as sd

STEP = 1e-3


def central_difference(f: Callable[[float], Any]) -> Any:
    """Differentiate at 0, with three steps extrapolated: an error of the sixth order."""
    first, second, third = ((f(h) - f(-h)) / (2 * h) for h in (STEP, STEP / 2, STEP / 4))
    return (first - 20 * second + 64 * third) / 45


def _check_derivatives(
    function: Callable[..., Any],
    *arrays: Any,
    tolerance: float = 1e-7,
    exact: bool = False,
    exact_natively: bool = True,
) -> None:
    """Check a function of float64 arrays that returns an array or a tuple of arrays.

    Values are compared with NumPy's, ``exact`` to the bit (native code only when
    ``exact_natively``), first derivatives by reverse and forward mode with central differences,
    and second ones with central differences of the first.
    """
    arrays = tuple(np.asarray(each, dtype=np.float64) for each in arrays)
    positions = tuple(range(len(arrays)))

    def results(*args: Any) -> tuple[Any, ...]:
        result = function(*args)
        return tuple(result) if isinstance(result, tuple) else (result,)

    plain = results(*arrays)
    for traced, bits in (
        (sd.vjp(results, *arrays)[0], exact),
        (sd.compile(results, engine="interpret")(*arrays), exact),
        (sd.compile(results)(*arrays), exact and exact_natively),
    ):
        for actual, expected in zip(traced, plain, strict=True):
            assert np.asarray(actual).dtype == np.asarray(expected).dtype
            assert np.shape(actual) == np.shape(expected)
            if bits:
                np.testing.assert_array_equal(actual, expected)
            else:
                np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)

    generator = np.random.default_rng(len(plain))
    weights = [generator.uniform(0.5, 1.5, np.shape(each)) for each in plain]
    along, across = ([generator.uniform(-1, 1, each.shape) for each in arrays] for _ in range(2))

    def loss(*args: Any) -> Any:
        total: Any = 0.0
        for weight, result in zip(weights, results(*args), strict=True):
            total = total + np.sum(weight * result * (1 + 0.2 * result))
        return total

    def moved(t: float) -> list[Any]:
        return [x + t * v for x, v in zip(arrays, along, strict=True)]

    def slope(*args: Any) -> Any:
        gradient = sd.grad(loss, argnums=positions)(*args)
        return sum(np.sum(v * each) for v, each in zip(across, gradient, strict=True))

    def close(actual: Any, expected: Any) -> None:
        assert abs(actual - expected) <= tolerance * (1 + abs(expected))

    gradient = sd.grad(loss, argnums=positions)(*arrays)
    first = sum(np.sum(v * each) for v, each in zip(along, gradient, strict=True))
    close(first, central_difference(lambda t: loss(*moved(t))))
    close(sd.jvp(loss, arrays, tuple(along))[1], first)
    second = central_difference(lambda t: slope(*moved(t)))
    pulled = sd.grad(slope, argnums=positions)(*arrays)
    close(sum(np.sum(v * each) for v, each in zip(along, pulled, strict=True)), second)
    close(sd.jvp(slope, arrays, tuple(along))[1], second)


@pytest.fixture(scope="session")
def check_derivatives() -> Callable[..., None]:
    """Compare values with NumPy's, and derivatives of both orders with central differences."""
    return _check_derivatives
