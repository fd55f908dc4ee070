"""A network of dense layers, weights and forward pass, as the command line trains it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from steepest.errors import BadInputError
from steepest.nn.initialisers import glorot_uniform, he_normal
from steepest.nn.layers import ArrayValue, dense, gelu, relu, sigmoid, tanh

__all__ = ["ACTIVATIONS", "initialise_network", "network_logits"]


class Activation(NamedTuple):
    """An activation function and the initialiser that fits it."""

    function: Callable[[ArrayValue], ArrayValue]
    initialiser: Callable[..., NDArray[Any]]


ACTIVATIONS = {
    "relu": Activation(relu, he_normal),
    "gelu": Activation(gelu, he_normal),
    "tanh": Activation(tanh, glorot_uniform),
    "sigmoid": Activation(sigmoid, glorot_uniform),
}


def initialise_network(
    layer_sizes: Sequence[int],
    rng: np.random.Generator | int,
    activation: str = "relu",
    dtype: DTypeLike = np.float32,
) -> list[dict[str, NDArray[Any]]]:
    """Draw the initial weights of a network of dense layers.

    Parameters
    ----------
    layer_sizes : sequence of int
        Numbers of neurons from the inputs to the outputs, two or more: (784, 128, 10).
    rng : numpy.random.Generator or int
        Generator or seed.
    activation : {"relu", "gelu", "tanh", "sigmoid"}
        Decides the scale: He's normal distribution for relu and gelu, Glorot's uniform one for
        tanh and sigmoid.
    dtype : floating-point dtype

    Returns
    -------
    list of dict
        For each layer "W", of shape (inputs, outputs), and "b", zeros of shape (outputs,).

    Raises
    ------
    BadInputError
        When there are fewer than two sizes, a size is not a positive integer or the activation
        is unknown.

    Examples
    --------
    >>> weights = initialise_network((64, 32, 10), rng=0)
    >>> [(layer["W"].shape, layer["b"].shape) for layer in weights]
    [((64, 32), (32,)), ((32, 10), (10,))]
    """
    if len(layer_sizes) < 2:
        raise BadInputError(
            f"a network of layer sizes {tuple(layer_sizes)} has no layer",
            instead="give the numbers of inputs and outputs at least, such as (784, 10)",
        )
    generator = np.random.default_rng(rng)
    initialiser = _find_activation(activation).initialiser
    return [
        {
            "W": initialiser(generator, inputs, outputs, dtype),
            "b": np.zeros(outputs, dtype),
        }
        for inputs, outputs in pairwise(layer_sizes)
    ]


def network_logits(
    weights: Sequence[dict[str, ArrayValue]], x: ArrayValue, activation: str = "relu"
) -> ArrayValue:
    """Compute the scores that a network of dense layers gives each class.

    The activation stands behind every layer but the last.

    Parameters
    ----------
    weights : list of dict
        As `initialise_network` makes it.
    x : array of shape (examples, inputs)
    activation : {"relu", "gelu", "tanh", "sigmoid"}

    Returns
    -------
    array of shape (examples, outputs)

    Raises
    ------
    BadInputError
        When there is no layer, the shapes do not fit or the activation is unknown.

    Examples
    --------
    >>> network_logits(initialise_network((64, 32, 10), rng=0), np.ones((5, 64))).shape
    (5, 10)
    """
    function = _find_activation(activation).function
    if not weights:
        raise BadInputError("a network without layers has no scores")
    *hidden, last = weights
    for layer in hidden:
        x = function(dense(x, layer["W"], layer["b"]))
    return dense(x, last["W"], last["b"])


def _find_activation(name: str) -> Activation:
    if name not in ACTIVATIONS:
        raise BadInputError(
            f"no activation is called {name!r}", instead=f"one of {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]
