"""A network of dense layers: shapes, scales, forward pass, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from steepest.errors import BadInputError
from steepest.nn import gelu, initialise_network, network_logits, relu, sigmoid, tanh

FUNCTIONS = {"relu": relu, "gelu": gelu, "tanh": tanh, "sigmoid": sigmoid}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize("sizes", [(4, 3), (4, 6, 3), [4, 6, 5, 3]], ids=str)
def test_forward_pass(sizes: tuple[int, ...], activation: str, dtype: Any) -> None:
    weights = initialise_network(sizes, 0, activation, dtype)
    x: Any = np.random.default_rng(1).standard_normal((7, 4)).astype(dtype)
    expected = x
    for number, layer in enumerate(weights):
        if number > 0:
            expected = FUNCTIONS[activation](expected)
        expected = expected @ layer["W"] + layer["b"]
    logits = network_logits(weights, x, activation)
    assert logits.dtype == dtype
    np.testing.assert_array_equal(logits, expected)


def test_layers_of_one_network_are_drawn_differently() -> None:
    first, second = initialise_network((5, 5, 5), rng=0)
    assert (first["W"] != second["W"]).any()
    again, _ = initialise_network((5, 5, 5), rng=np.random.default_rng(0))
    np.testing.assert_array_equal(first["W"], again["W"])


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("relu", np.sqrt(2 / 400)),
        ("gelu", np.sqrt(2 / 400)),
        ("tanh", np.sqrt(2 / 500)),
        ("sigmoid", np.sqrt(2 / 500)),
    ],
)
def test_the_scale_fits_the_activation(activation: str, expected: float) -> None:
    (layer,) = initialise_network((400, 100), 0, activation)
    np.testing.assert_allclose(layer["W"].std(), expected, rtol=0.02)
    np.testing.assert_array_equal(layer["b"], np.zeros(100))


def test_signals_keep_their_size_through_many_layers() -> None:
    weights = initialise_network([200] * 20, 0, "relu")
    x = np.random.default_rng(1).standard_normal((50, 200)).astype(np.float32)
    scale = np.square(network_logits(weights, x)).mean()
    assert 0.2 < scale / 2 < 5  # the last layer has no relu behind it: twice the input's


@pytest.mark.parametrize(
    ("sizes", "activation", "message"),
    [
        ((4,), "relu", r"layer sizes \(4,\) has no layer"),
        ((), "relu", r"layer sizes \(\) has no layer"),
        ((4, 0), "relu", "fan_out .* not 0"),
        ((4, 3), "swish", "no activation is called 'swish'"),
    ],
)
def test_initialise_network_refuses(sizes: tuple[int, ...], activation: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        initialise_network(sizes, 0, activation)


def test_network_logits_refuses() -> None:
    weights = initialise_network((4, 3), 0)
    with pytest.raises(BadInputError, match=r"input of shape \(2, 5\)"):
        network_logits(weights, np.ones((2, 5)))
    with pytest.raises(BadInputError, match="no activation is called 'swish'"):
        network_logits(weights, np.ones((2, 4)), "swish")
    with pytest.raises(BadInputError, match="without layers"):
        network_logits([], np.ones((2, 4)))
