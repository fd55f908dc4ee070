"""Gradients through the composites: against closed forms and central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest import nn

CLASSES = 4
LABELS = np.array([0, 3, 2, 2, 1])
LOSSES = [nn.softmax_cross_entropy, nn.multiclass_hinge]


def make_logits(dtype: Any = np.float64, scale: float = 1.0) -> Any:
    """Scores of five examples, away from every kink."""
    rng = np.random.default_rng(0)
    return (rng.standard_normal((len(LABELS), CLASSES)) * scale).astype(dtype)


def central_difference(function: Any, x: Any, step: float = 1e-5) -> Any:
    """Differentiate a function of a float64 array, entry by entry."""
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[index] = step
        gradient[index] = (function(x + shift) - function(x - shift)) / (2 * step)
    return gradient


@pytest.mark.parametrize(
    "function", [nn.relu, nn.tanh, nn.sigmoid, nn.gelu, nn.softmax, nn.log_softmax]
)
def test_activations_differentiate_as_their_values_change(function: Any) -> None:
    x = make_logits(scale=2.0)
    coefficients = np.random.default_rng(1).standard_normal(x.shape)

    def weighted(x: Any) -> Any:
        return np.sum(coefficients * function(x))

    np.testing.assert_allclose(
        sd.grad(weighted)(x), central_difference(weighted, x), rtol=1e-7, atol=1e-8
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_differentiate_as_their_values_change(loss: Any) -> None:
    x = make_logits()
    np.testing.assert_allclose(
        sd.grad(loss)(x, LABELS),
        central_difference(lambda x: loss(x, LABELS), x),
        rtol=1e-7,
        atol=1e-8,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_gradients_have_their_closed_form(scale: float, dtype: Any) -> None:
    x = make_logits(dtype, scale)
    one_hot = np.eye(CLASSES, dtype=dtype)[LABELS]
    tolerance = {"rtol": 1e-5 if dtype == np.float32 else 1e-12, "atol": np.finfo(dtype).eps}
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        cross_entropy = sd.grad(nn.softmax_cross_entropy)(x, LABELS)
        hinge = sd.grad(nn.multiclass_hinge)(x, LABELS)
    assert cross_entropy.dtype == hinge.dtype == dtype
    np.testing.assert_allclose(cross_entropy, (nn.softmax(x) - one_hot) / len(LABELS), **tolerance)
    scores = x - x[np.arange(len(LABELS)), LABELS][:, np.newaxis]
    violated = (scores + 1 > 0) & (one_hot == 0)
    expected = (violated - one_hot * violated.sum(axis=1, keepdims=True)) / len(LABELS)
    np.testing.assert_allclose(hinge, expected, **tolerance)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_finite_at_scores_of_ten_thousand(loss: Any) -> None:
    x = np.array([[1e4, 0.0, -1e4], [-1e4, 1e4, 1e4]], np.float32)
    for labels in ([0, 1], [2, 0], [1, 2]):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            gradient = sd.grad(loss)(x, np.array(labels))
        assert np.isfinite(gradient).all()
        np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-6)


def test_cross_entropy_has_its_hessian() -> None:
    x = make_logits()[:1]
    probabilities = nn.softmax(x)[0]
    expected = np.diag(probabilities) - np.outer(probabilities, probabilities)
    hessian = sd.hessian(nn.softmax_cross_entropy)(x, LABELS[:1])
    np.testing.assert_allclose(hessian[0, :, 0, :], expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mean_squared_error_and_l2_penalty(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    predictions, targets = (rng.standard_normal((4, 2)).astype(dtype) for _ in range(2))
    gradient = sd.grad(nn.mean_squared_error)(predictions, targets)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, (predictions - targets) / 4, rtol=1e-6)
    weights = {"W": predictions, "b": targets[0]}
    penalty_gradient = sd.grad(nn.l2_penalty)(weights)
    assert penalty_gradient["W"].dtype == penalty_gradient["b"].dtype == dtype
    np.testing.assert_allclose(penalty_gradient["W"], predictions, rtol=1e-6)
    np.testing.assert_array_equal(penalty_gradient["b"], 0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "sigmoid"])
def test_a_network_differentiates_in_every_weight(activation: str, loss: Any) -> None:
    rng = np.random.default_rng(2)
    weights = nn.initialise_network((3, 6, 5, CLASSES), rng, activation, np.float64)
    x = rng.standard_normal((len(LABELS), 3))

    def evaluate(weights: Any) -> Any:
        logits = nn.network_logits(weights, x, activation)
        return loss(logits, LABELS) + 0.01 * nn.l2_penalty(weights)

    gradient = sd.grad(evaluate)(weights)
    for number, layer in enumerate(weights):
        for name in layer:

            def evaluate_one(values: Any, number: int = number, name: str = name) -> Any:
                changed = [dict(layer) for layer in weights]
                changed[number][name] = values
                return evaluate(changed)

            np.testing.assert_allclose(
                gradient[number][name],
                central_difference(evaluate_one, layer[name]),
                rtol=1e-6,
                atol=1e-9,
            )


def test_a_float32_network_has_float32_gradients() -> None:
    weights = nn.initialise_network((3, 6, CLASSES), 0)
    x = np.ones((len(LABELS), 3), np.float32)

    def evaluate(weights: Any) -> Any:
        logits = nn.network_logits(weights, x)
        return nn.softmax_cross_entropy(logits, LABELS) + 0.01 * nn.l2_penalty(weights)

    value, gradient = sd.value_and_grad(evaluate)(weights)
    assert value.dtype == np.float32
    assert {leaf.dtype for layer in gradient for leaf in layer.values()} == {np.dtype("f4")}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "sigmoid"])
def test_descent_compiles_a_network_from_shapes_alone(activation: str, loss: Any) -> None:
    def loss_fn(weights: Any, batch: Any) -> Any:
        x, labels = batch
        logits = nn.network_logits(weights, x, activation)
        return loss(logits, labels) + 1e-3 * nn.l2_penalty(weights)

    weights = nn.initialise_network((3, 6, CLASSES), 0, activation)
    x = np.random.default_rng(1).standard_normal((len(LABELS), 3)).astype(np.float32)
    # Two examples a step: the last batch is smaller, a shape of its own.
    descent = sd.descend(
        loss_fn,
        weights,
        (x, LABELS),
        step_size=0.05,
        optimizer="adam",
        batch_size=2,
        epochs=30,
    )
    assert descent.engine != "python", descent.notes
    assert descent.losses[-3:].mean() < 0.5 * descent.losses[:3].mean()
    assert {leaf.dtype for layer in descent.weights for leaf in layer.values()} == {np.dtype("f4")}
