"""What is trained: models, losses, data and starting weights, the same for every participant."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

import steepest as sd

__all__ = ["Weights", "Work", "make_data", "starting_weights", "steepest_loss", "works"]

Weights: TypeAlias = list[tuple[NDArray[Any], NDArray[Any]]]
"""For each layer its matrix, or its vector where there is one output, and its biases."""


@dataclass(frozen=True)
class Work:
    """A model, and how it is trained.

    Attributes
    ----------
    name : str
    sizes : tuple of int
        Inputs, hidden layers, outputs. One output is a score of logistic regression; more are
        logits of a softmax. The loss is the mean cross-entropy of a batch.
    examples : int
        A multiple of the batch, so that all batches are of one size.
    batch : int or None
        None for all examples at once.
    """

    name: str
    sizes: tuple[int, ...]
    examples: int
    batch: int | None
    step_size: float
    optimizer: Literal["sgd", "adam"] = "sgd"
    activation: Literal["tanh", "relu"] = "relu"
    dtype: Literal["float32", "float64"] = "float32"

    @property
    def is_logistic(self) -> bool:
        """Whether there is one output."""
        return self.sizes[-1] == 1

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in a pass through the data."""
        return 1 if self.batch is None else self.examples // self.batch

    def of_one_batch(self) -> Work:
        """Make the same work on examples that fill one batch, whose order does not matter."""
        return replace(self, examples=self.batch or self.examples)

    def with_one_output(self) -> Work:
        """Make the work with one logistic output in the place of a softmax over two classes."""
        return replace(self, sizes=(*self.sizes[:-1], 1))


def works() -> list[Work]:
    """List the rows of the table."""
    digits, mnist = 64 * 160, 256 * 234
    return [
        Work("logistic regression 30, batch 1", (30, 1), 10_000, 1, 0.01),
        Work("2-16-16-2 tanh, batch 1", (2, 16, 16, 2), 10_000, 1, 0.01, activation="tanh"),
        Work("64-32-10 relu, batch 32", (64, 32, 10), digits, 32, 0.05),
        Work("64-32-10 relu, batch 32, Adam", (64, 32, 10), digits, 32, 1e-3, "adam"),
        Work("2-64-64-2 tanh, batch 256", (2, 64, 64, 2), 25_600, 256, 0.1, activation="tanh"),
        Work("softmax regression 784-10, batch 256", (784, 10), mnist, 256, 0.01),
        Work("784-128-10 relu, batch 256", (784, 128, 10), mnist, 256, 0.05),
        Work("784-128-10 relu, batch 256, Adam", (784, 128, 10), mnist, 256, 1e-3, "adam"),
        Work("784-1024-1024-10 relu, batch 256", (784, 1024, 1024, 10), 256 * 40, 256, 0.05),
        Work(
            "13-37-29-3 tanh, batch 64, float64",
            (13, 37, 29, 3),
            64 * 160,
            64,
            0.05,
            activation="tanh",
            dtype="float64",
        ),
        Work("100-50-20-5 relu, batch 100", (100, 50, 20, 5), 10_000, 100, 0.05),
        Work(
            "logistic regression 100,000 × 30, full batch, float64",
            (30, 1),
            100_000,
            None,
            0.5,
            dtype="float64",
        ),
    ]


@cache
def _make_data(examples: int, inputs: int, classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw inputs, and labels from a softmax of a linear function of them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((examples, inputs), np.float32)
    teacher = rng.normal(size=(inputs, classes)).astype(np.float32) * np.float32(3 / inputs**0.5)
    y = np.argmax(x @ teacher + rng.gumbel(size=(examples, classes)), axis=1)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def make_data(work: Work) -> tuple[NDArray[Any], NDArray[Any]]:
    """Make the inputs, of shape (examples, inputs), and the labels: class numbers, or 0.0 and 1.0.

    Parameters
    ----------
    work : Work

    Returns
    -------
    tuple of ndarray
    """
    x, y = _make_data(work.examples, work.sizes[0], max(2, work.sizes[-1]))
    return x.astype(work.dtype, copy=False), y.astype(work.dtype) if work.is_logistic else y


@cache
def starting_weights(work: Work) -> Weights:
    """Draw weights of a network with variance 1 / inputs; those of a linear model are zeros."""
    rng = np.random.default_rng(1)
    scale = float(len(work.sizes) > 2)
    layers: Weights = []
    for m, n in itertools.pairwise(work.sizes):
        w = (rng.normal(size=(m, n)) * (scale / m**0.5)).astype(work.dtype)
        layers.append((w, np.zeros(n, work.dtype)))
    if work.is_logistic:
        w, b = layers[-1]
        layers[-1] = (w[:, 0].copy(), b.reshape(()))
    for leaf in itertools.chain.from_iterable(layers):
        leaf.flags.writeable = False
    return layers


def steepest_loss(work: Work) -> Callable[[Any, Any], Any]:
    """Write the loss in NumPy."""
    is_tanh, is_logistic = work.activation == "tanh", work.is_logistic

    def loss(weights: Any, batch: Any) -> Any:
        h, y = batch
        for w, b in weights[:-1]:
            h = np.tanh(h @ w + b) if is_tanh else np.maximum(h @ w + b, 0)
        w, b = weights[-1]
        scores = h @ w + b
        if is_logistic:
            return np.mean(np.logaddexp(0, scores) - y * scores)
        return sd.nn.softmax_cross_entropy(scores, y)

    return loss
