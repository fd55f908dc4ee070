"""Layers and activation functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from steepest.differentiate import stop_gradient
from steepest.errors import BadInputError

__all__ = ["dense", "gelu", "log_softmax", "relu", "shape_of", "sigmoid", "softmax", "tanh"]

# An ndarray in a plain run, a traced array while a gradient is computed: NumPy code serves both.
ArrayValue = Any


def shape_of(value: ArrayValue) -> tuple[int, ...]:
    """Get the shape of an array, traced or not, a number or nested lists."""
    shape: tuple[int, ...] | None = getattr(value, "shape", None)
    return np.shape(value) if shape is None else shape


def dense(x: ArrayValue, weights: ArrayValue, bias: ArrayValue) -> ArrayValue:
    """Compute a fully connected layer, ``x @ weights + bias``.

    Parameters
    ----------
    x : array of shape (..., inputs)
        One example for each row.
    weights : array of shape (inputs, outputs)
    bias : array of shape (outputs,)

    Returns
    -------
    array of shape (..., outputs)

    Raises
    ------
    BadInputError
        When the shapes do not fit; a bias that would broadcast the layer to another shape too.

    Examples
    --------
    >>> dense(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([0.5]))
    array([[11.5]])
    """
    x_shape, weights_shape, bias_shape = shape_of(x), shape_of(weights), shape_of(bias)
    if len(weights_shape) != 2 or x_shape[-1:] != weights_shape[:1]:
        raise BadInputError(
            f"a dense layer of weights {weights_shape} cannot take an input of shape {x_shape}",
            instead="give weights of shape (inputs, outputs) and an input of shape (..., inputs)",
        )
    if bias_shape != weights_shape[1:]:
        raise BadInputError(
            f"a dense layer of weights {weights_shape} has {weights_shape[1]} outputs,"
            f" but its bias is of shape {bias_shape}",
            instead=f"give a bias of shape ({weights_shape[1]},)",
        )
    return x @ weights + bias


def relu(x: ArrayValue) -> ArrayValue:
    """Compute the rectified linear unit, max(x, 0), entry by entry.

    The function has a kink at 0, where its derivative is the one that the convention for ties of
    `numpy.maximum` gives.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    array of the shape and dtype of `x`

    References
    ----------
    V. Nair and G. E. Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.

    Examples
    --------
    >>> relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return np.maximum(x, 0)


def tanh(x: ArrayValue) -> ArrayValue:
    """Compute the hyperbolic tangent, entry by entry.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    array of the shape and dtype of `x`
        Values in [-1, 1].

    Examples
    --------
    >>> tanh(np.array([0.0, 1e4]))
    array([0., 1.])
    """
    return np.tanh(x)


def sigmoid(x: ArrayValue) -> ArrayValue:
    """Compute the logistic function, 1 / (1 + exp(-x)), without overflow for any x.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    array of the shape and dtype of `x`
        Values in [0, 1].

    Examples
    --------
    >>> sigmoid(np.array([-1e4, 0.0, 1e4]))
    array([0. , 0.5, 1. ])
    """
    from scipy.special import expit

    return expit(x)


def gelu(x: ArrayValue) -> ArrayValue:
    """Compute the Gaussian error linear unit x Φ(x), exact rather than approximated by a tanh.

    Φ(x) = (1 + erf(x / √2)) / 2 is the distribution function of the standard normal. It is taken
    from `scipy.special.ndtr`, since 1 + erf(x / √2) cancels to 0 in the left tail.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    array of the shape and dtype of `x`

    References
    ----------
    D. Hendrycks and K. Gimpel, "Gaussian error linear units (GELUs)", 2016, section 2.

    Examples
    --------
    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    from scipy.special import ndtr

    return x * ndtr(x)


def softmax(logits: ArrayValue, axis: int = -1) -> ArrayValue:
    """Turn scores into probabilities, exp(logits) / Σ exp(logits), without overflow.

    Parameters
    ----------
    logits : array of any shape but ()
    axis : int
        The axis of the classes, along which the probabilities add up to 1.

    Returns
    -------
    array of the shape and dtype of `logits`

    References
    ----------
    I. Goodfellow, Y. Bengio and A. Courville, "Deep learning", 2016, section 4.1: subtracting the
    largest score changes no probability and keeps every exponential at or below 1.

    Examples
    --------
    >>> softmax(np.array([0.0, 0.0, -1e4]))
    array([0.5, 0.5, 0. ])
    """
    # The shift cancels, so that nothing flows through it.
    exponentials = np.exp(logits - stop_gradient(np.max(logits, axis=axis, keepdims=True)))
    return exponentials / np.sum(exponentials, axis=axis, keepdims=True)


def log_softmax(logits: ArrayValue, axis: int = -1) -> ArrayValue:
    """Compute the logarithm of `softmax`, finite also where a probability underflows to 0.

    Parameters
    ----------
    logits : array of any shape but ()
    axis : int
        The axis of the classes.

    Returns
    -------
    array of the shape and dtype of `logits`

    Examples
    --------
    >>> log_softmax(np.array([0.0, 1e4]))
    array([-10000.,      0.])
    """
    shifted = logits - stop_gradient(np.max(logits, axis=axis, keepdims=True))
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
