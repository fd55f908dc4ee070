"""Reductions and the methods of ufuncs: to the bit what NumPy gives, and their derivatives."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.exceptions import ComplexWarning

import steepest as sd
from steepest.array import Array
from steepest.errors import UnsupportedError

Call = Callable[[Any], Any]
inf, nan = np.inf, np.nan

MASK = np.array([[True, False, True, True], [False, True, True, False], [True] * 4])
SHAPES: list[Any] = [(3, 4), (4,), (1, 4), (0, 4), (3, 0), (), (2, 3, 4)]


def arrays(dtype: str) -> list[Any]:
    generator = np.random.default_rng(0)
    made = []
    for shape in SHAPES:
        x = generator.standard_normal(shape)
        made.append(
            (x + 1j * generator.standard_normal(shape)).astype(dtype)
            if dtype in "FD"
            else x.astype(dtype)
        )
    odd = np.array([[1.0, nan, 2.0, inf], [0.0, -0.0, -inf, 1.0], [3.0, 1e-4, -2.0, 0.5]])
    return [*made, made[0][::-1, ::2], made[6].T, odd.astype(dtype), made[0][1, 2]]


REDUCTIONS: dict[str, Call] = {
    "sum": lambda x: np.sum(x),
    "sum axis": lambda x: np.sum(x, axis=-1),
    "sum axes": lambda x: np.sum(x, axis=(0, -1), keepdims=True),
    "sum no axes": lambda x: np.sum(x, axis=()),
    "sum dtype": lambda x: np.sum(x, dtype=np.clongdouble),
    "sum single": lambda x: np.sum(x, axis=0, dtype=np.complex64),
    "sum initial": lambda x: np.sum(x, axis=0, initial=0.1),
    "sum where": lambda x: np.sum(x, axis=-1, where=MASK[0]),
    "sum all": lambda x: np.sum(x, where=MASK, initial=0.3, dtype=np.complex128, keepdims=True),
    "sum none": lambda x: np.sum(x, where=False),
    "prod": lambda x: np.prod(x),
    "prod axis": lambda x: x.prod(axis=0, keepdims=True),
    "prod where": lambda x: np.prod(x, axis=-1, where=MASK[0], initial=1.5),
    "max": lambda x: np.max(x),
    "max axis": lambda x: x.max(axis=-1, keepdims=True),
    "max initial": lambda x: np.max(x, axis=0, initial=0.25),
    "max where": lambda x: np.amax(x, axis=-1, initial=-2.0, where=MASK[0]),
    "min": lambda x: np.min(x, axis=0),
    "min where": lambda x: np.amin(x, initial=0.5, where=MASK, keepdims=True),
    "mean": lambda x: np.mean(x),
    "mean axis": lambda x: x.mean(axis=-1),
    "mean axes": lambda x: np.mean(x, axis=(0, 1), keepdims=True),
    "mean dtype": lambda x: np.mean(x, axis=0, dtype=np.complex128),
    "mean half": lambda x: np.mean(x, axis=0, dtype=np.float16),
    "mean where": lambda x: np.mean(x, axis=-1, where=MASK[0]),
    "var": lambda x: np.var(x),
    "var axis": lambda x: x.var(axis=-1, ddof=1),
    "var correction": lambda x: np.var(x, axis=0, correction=0.5, keepdims=True),
    "var where": lambda x: np.var(x, axis=-1, where=MASK[0]),
    "var mean": lambda x: np.var(x, axis=-1, mean=np.mean(x, axis=-1, keepdims=True)),
    "std": lambda x: np.std(x),
    "std axis": lambda x: np.std(x, axis=0, ddof=1, keepdims=True),
    "std where": lambda x: np.std(x, axis=-1, where=MASK[0]),
    "any": lambda x: np.any(x, axis=0),
    "all where": lambda x: np.all(x, axis=-1, where=MASK[0], keepdims=True),
    "argmax": lambda x: np.argmax(x),
    "argmin": lambda x: x.argmin(axis=-1, keepdims=True),
    "count_nonzero": lambda x: np.count_nonzero(x, axis=0),
    "cumsum": lambda x: np.cumsum(x, axis=-1),
    "add.reduce": lambda x: np.add.reduce(x),
    "multiply.reduce": lambda x: np.multiply.reduce(x, axis=None, initial=2.0),
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=-1, initial=0.0),
    "subtract.reduce": lambda x: np.subtract.reduce(x, axis=-1),
    "hypot.reduce": lambda x: np.hypot.reduce(x, axis=0),
    "logaddexp2.reduce": lambda x: np.logaddexp2.reduce(x, axis=-1, keepdims=True),
    "fmax.reduce": lambda x: np.fmax.reduce(x, axis=-1, where=MASK[0], initial=-1.0),
    "multiply.accumulate": lambda x: np.multiply.accumulate(x),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, axis=-1),
    "logaddexp.accumulate": lambda x: np.logaddexp.accumulate(x, axis=0),
    "add.accumulate": lambda x: np.add.accumulate(x, axis=-1),
    "add.reduceat": lambda x: np.add.reduceat(x, [1, 2, 3], axis=-1),
    "maximum.reduceat": lambda x: np.maximum.reduceat(x, [0, 1], axis=0),
    "add.reduceat back": lambda x: np.add.reduceat(x, [1, 0, 2], axis=-1),
    "outer": lambda x: np.divide.outer(x, np.arange(1.0, 3.0)),
}


ROUNDED_OTHERWISE = {
    "subtract.reduce",  # half precision: NumPy carries single precision along
    "hypot.reduce",
    "logaddexp2.reduce",
    "logaddexp.accumulate",
    "add.reduceat back",
}


def outcome(call: Call, x: Any) -> Any:
    """A value with the messages of its warnings, or the type of an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = call(x)
        except (ValueError, TypeError, IndexError):
            return Exception, []
    own = {str(each.message) for each in caught if each.category is not ComplexWarning}
    return value, sorted(each for each in own if "slice" in each)


def traced_outcome(call: Call, x: Any) -> Any:
    def traced(x: Any) -> Any:
        outcomes.append(outcome(call, x))
        return np.sum(np.real(x)) * 0

    outcomes: list[Any] = []
    sd.vjp(traced, x)
    value, messages = outcomes[0]
    while isinstance(value, Array):
        value = value._value
    return value, messages


@pytest.mark.parametrize("dtype", ["f", "d", "e", "g", "F", "D"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_value_shape_dtype_and_warnings_are_numpys(name: str, dtype: str) -> None:
    call = REDUCTIONS[name]
    with np.errstate(all="ignore"):
        for x in arrays(dtype):
            expected, messages = outcome(call, x)
            actual, own_messages = traced_outcome(call, x)
            described = f"{name} of {np.asarray(x).dtype}{np.shape(x)}"
            if isinstance(expected, type):
                assert isinstance(actual, type), f"{described}: {actual} and no {expected}"
                continue
            assert type(actual) is type(expected), f"{described}: {actual!r} for {expected!r}"
            assert np.asarray(actual).dtype == np.asarray(expected).dtype, described
            if name in ROUNDED_OTHERWISE:
                rounding = float(8 * np.finfo(dtype).eps)
                np.testing.assert_allclose(actual, expected, rtol=rounding, atol=rounding)
            else:
                np.testing.assert_array_equal(actual, expected, described, strict=True)
            assert own_messages == messages, described


@pytest.mark.parametrize("dtype", ["e", "f"])
def test_many_entries_are_added_up_as_numpy_does(dtype: str) -> None:
    x = np.random.default_rng(1).random(70_000).astype(dtype)
    for call in (
        np.sum,
        np.mean,
        np.var,
        np.std,
        lambda x: np.mean(x, dtype=dtype),
        lambda x: np.sum(x, dtype=np.float64),
        lambda x: np.sum(x, where=np.arange(70_000) % 3 > 0),
    ):
        with np.errstate(over="ignore", invalid="ignore"):
            assert traced_outcome(call, x)[0].tobytes() == call(x).tobytes()


SMOOTH = {
    name: call
    for name, call in REDUCTIONS.items()
    if not {"any", "all", "argmax", "argmin", "count_nonzero"} & set(name.split())
    and name not in {"sum single", "mean half", "sum none"}
}


@pytest.mark.parametrize("name", SMOOTH)
def test_first_and_second_derivatives(name: str, check_derivatives: Callable[..., None]) -> None:
    x = np.random.default_rng(2).permutation(np.linspace(0.4, 1.9, 12)).reshape(3, 4)
    call = SMOOTH[name]
    check_derivatives(lambda x: np.real(call(x)).astype(float), x, exact=False)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: np.add.reduce(x, axis=None, initial=y),
        lambda x, y: np.prod(x, axis=0, initial=y, where=MASK),
        lambda x, y: np.max(x, axis=0, initial=y),
        lambda x, y: np.hypot.reduce(x, initial=y),
    ],
)
def test_initial_value_is_differentiated(
    call: Callable[..., Any], check_derivatives: Callable[..., None]
) -> None:
    x = np.random.default_rng(3).uniform(0.5, 1.5, (3, 4))
    check_derivatives(call, x, np.array(1.1))


def test_product_and_running_product_are_differentiated_at_zeros() -> None:
    x = np.array([2.0, 0.0, 3.0, 0.0])
    mask = np.array([True, True, True, False])
    gradient = sd.grad(lambda x: np.prod(x, where=mask, initial=2.0))(x)
    np.testing.assert_array_equal(gradient, [0, 12, 0, 0])
    running = sd.jacobian(np.multiply.accumulate)(x)
    np.testing.assert_array_equal(running, [[1, 0, 0, 0], [0, 2, 0, 0], [0, 6, 0, 0], [0] * 4])


@pytest.mark.parametrize("ddof", [0, 1])
def test_complex_variance_has_the_gradient_of_its_parts(ddof: int) -> None:
    z = np.array([1 + 2j, 3 - 1j, -2 + 0.5j])
    by_z = sd.grad(lambda z: np.var(z, ddof=ddof))(z)
    by_x = sd.grad(lambda x: np.var(x, ddof=ddof))(z.real)
    by_y = sd.grad(lambda y: np.var(y, ddof=ddof))(z.imag)
    np.testing.assert_allclose(by_z, by_x - 1j * by_y, rtol=1e-14)


def test_wrong_arguments_are_numpys_errors() -> None:
    x = np.ones((2, 3))
    calls: list[Call] = [
        lambda x: np.var(x, ddof=1, correction=1),
        lambda x: np.sum(x, where=np.ones((4, 2, 3), bool)),
        lambda x: np.add.reduce(x, initial=np.ones(2)),
        lambda x: np.max(x, where=x > 0),
        lambda x: np.subtract.reduce(x, axis=(0, 1)),
        lambda x: np.add.reduceat(x, [5]),
        lambda x: np.clip(x, 0, 1, min=0),
        lambda x: np.add(x, 1, casting="no", dtype=np.float32),
    ]
    for call, tried in itertools.product(
        calls, (lambda call: call(x), lambda call: sd.grad(lambda x: np.sum(call(x)))(x))
    ):
        with pytest.raises((ValueError, IndexError, TypeError)) as caught:
            tried(call)
        assert not isinstance(caught.value, UnsupportedError)
