"""Layers and activations: values, stability, dtypes, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import special

from steepest.errors import BadInputError
from steepest.nn import dense, gelu, log_softmax, relu, sigmoid, softmax, tanh

ACTIVATIONS = [relu, tanh, sigmoid, gelu, softmax, log_softmax]
EXTREME = [-1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4]


def finite_arrays(dtype: Any) -> st.SearchStrategy[Any]:
    """Arrays of one to three axes with values to ±1e4."""
    return arrays(
        dtype,
        array_shapes(min_dims=1, max_dims=3, max_side=5),
        elements=st.floats(-1e4, 1e4, width=32),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(4,), (1,), (2, 3), (2, 0, 3)], ids=str)
def test_dtype_and_shape_are_kept(function: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    result = function(np.ones(shape, dtype))
    assert result.dtype == dtype
    assert result.shape == shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", ACTIVATIONS)
def test_extreme_values_are_finite_and_silent(function: Any, dtype: Any) -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(function(np.array(EXTREME, dtype))).all()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (relu, lambda x: x * (x > 0)),
        (tanh, lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))),
        (sigmoid, lambda x: 1 / (1 + np.exp(-x))),
        (gelu, lambda x: 0.5 * x * (1 + special.erf(x / np.sqrt(2)))),
        (softmax, lambda x: np.exp(x) / np.exp(x).sum()),
        (log_softmax, lambda x: x - np.log(np.exp(x).sum())),
    ],
)
def test_values_are_the_textbook_formula(function: Any, expected: Any) -> None:
    x = np.linspace(-3, 3, 41)
    np.testing.assert_allclose(function(x), expected(x), rtol=1e-12, atol=1e-15)


def test_gelu_keeps_its_left_tail() -> None:
    # Φ(-10) = 7.62e-24 (Abramowitz and Stegun, table 26.2); ½ (1 + erf) would be 0.
    np.testing.assert_allclose(gelu(np.array([-10.0])), [-7.61985302416e-23], rtol=1e-10)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(finite_arrays(np.float64), st.floats(-1e4, 1e4))
def test_softmax_is_a_distribution_that_ignores_a_shift(x: Any, shift: float) -> None:
    for axis in range(-x.ndim, x.ndim):
        probabilities = softmax(x, axis=axis)
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(axis=axis), 1, rtol=1e-12)
        np.testing.assert_allclose(softmax(x + shift, axis=axis), probabilities, atol=1e-10)
        np.testing.assert_allclose(
            np.exp(log_softmax(x, axis=axis)), probabilities, rtol=1e-10, atol=1e-300
        )


@settings(derandomize=True, deadline=None, max_examples=60)
@given(finite_arrays(np.float64))
def test_log_softmax_equals_scipy(x: Any) -> None:
    np.testing.assert_allclose(log_softmax(x), special.log_softmax(x, axis=-1), rtol=1e-9)


def test_log_softmax_of_an_impossible_class_is_minus_infinity() -> None:
    np.testing.assert_array_equal(log_softmax(np.array([0.0, -np.inf])), [0.0, -np.inf])
    np.testing.assert_array_equal(softmax(np.array([0.0, -np.inf])), [1.0, 0.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3), (0, 3)], ids=str)
def test_dense_is_an_affine_map(dtype: Any, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, weights, bias = (rng.standard_normal(size).astype(dtype) for size in (shape, (3, 4), (4,)))
    result = dense(x, weights, bias)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, np.matmul(x, weights) + bias)


@pytest.mark.parametrize(
    ("x", "weights", "bias", "message"),
    [
        ((5, 3), (4, 2), (2,), r"weights \(4, 2\) cannot take an input of shape \(5, 3\)"),
        ((), (4, 2), (2,), r"input of shape \(\)"),
        ((5, 3), (3,), (3,), r"weights \(3,\)"),
        ((5, 3), (3, 2), (1,), r"has 2 outputs, but its bias is of shape \(1,\)"),
        ((5, 3), (3, 2), (5, 2), r"bias is of shape \(5, 2\)"),
    ],
)
def test_dense_refuses_shapes_that_do_not_fit(
    x: tuple[int, ...], weights: tuple[int, ...], bias: tuple[int, ...], message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        dense(np.ones(x), np.ones(weights), np.ones(bias))
