"""Word vectors: a step reads, and changes, a few rows of many.

Each example is the mean of a few vectors, which a softmax classifies: a bag of words. PyTorch has
`EmbeddingBag`, with sparse gradients, for it.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import steepest as sd
from benchmarks.cores import current_threads
from benchmarks.descent_peers import default_engine

__all__ = ["PARTICIPANTS", "WordVectors", "rows"]

Weights = dict[str, NDArray[np.float32]]
STEP_SIZE = 0.1


@dataclass(frozen=True)
class WordVectors:
    """Vectors, and examples that are a few words each.

    Attributes
    ----------
    words, width : int
        Shape of the vectors.
    """

    words: int = 100_000
    width: int = 64
    words_each: int = 8
    classes: int = 5
    batch: int = 256
    examples: int = 51_200

    @property
    def name(self) -> str:
        """What the table calls it."""
        return (
            f"word vectors {self.words:,} × {self.width}, means of {self.words_each},"
            f" batch {self.batch}"
        )

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in a pass through the data."""
        return self.examples // self.batch

    def of_one_batch(self) -> WordVectors:
        """Make the same work on examples that fill one batch."""
        return replace(self, examples=self.batch)

    def weights(self) -> Weights:
        """Draw the starting weights."""
        rng = np.random.default_rng(0)
        drawn = {
            "vectors": rng.normal(size=(self.words, self.width)),
            "matrix": rng.normal(size=(self.width, self.classes)) / math.sqrt(self.width),
            "offset": np.zeros(self.classes),
        }
        return {name: value.astype(np.float32) for name, value in drawn.items()}

    def data(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw the words of the examples, and their classes."""
        rng = np.random.default_rng(1)
        words = rng.integers(0, self.words, (self.examples, self.words_each))
        return words, rng.integers(0, self.classes, self.examples)

    def orders(self, steps: int) -> NDArray[np.int64]:
        """Draw the rows of the batches of so many steps."""
        rng = np.random.default_rng(0)
        epochs = [rng.permutation(self.examples) for _ in range(-(-steps // self.steps_per_epoch))]
        return np.concatenate(epochs)[: steps * self.batch].reshape(steps, self.batch)


def rows() -> list[WordVectors]:
    """List the rows of the table."""
    return [WordVectors()]


class Training:
    """Takes steps from the starting weights, in one call."""

    def __init__(self, train: Callable[[int], Weights], label: str = "") -> None:
        self._train = train
        self.label = label
        self.weights: Weights = {}

    def run(self, steps: int) -> int:
        """Take so many steps."""
        self.weights = self._train(steps)
        return steps


def _steepest(work: WordVectors, engine: str | None) -> Training:
    engine = engine or default_engine(sd.descend)
    weights, data = work.weights(), work.data()

    def loss(weights: Any, batch: Any) -> Any:
        words, labels = batch
        mean = np.mean(weights["vectors"][words], axis=1)
        return sd.nn.softmax_cross_entropy(mean @ weights["matrix"] + weights["offset"], labels)

    def train(steps: int) -> Weights:
        result = sd.descend(
            loss,
            weights,
            data,
            step_size=STEP_SIZE,
            batch_size=work.batch,
            steps=steps,
            progress=False,
            engine=engine,
        )
        trained: Weights = result.weights
        return trained

    return Training(train, engine)


def _torch(work: WordVectors, engine: str | None) -> Training:
    torch = importlib.import_module("torch")
    torch.set_num_threads(current_threads())
    functional = torch.nn.functional
    words, labels = map(torch.from_numpy, work.data())

    def train(steps: int) -> Weights:
        leaves = {
            name: torch.tensor(value, requires_grad=True) for name, value in work.weights().items()
        }
        optimizer = torch.optim.SGD(leaves.values(), lr=STEP_SIZE)
        for rows in torch.from_numpy(work.orders(steps)):
            # Measured against each other, on one core: this is the fastest way.
            mean = functional.embedding_bag(
                words[rows], leaves["vectors"], mode="mean", sparse=True
            )
            scores = torch.addmm(leaves["offset"], mean, leaves["matrix"])
            optimizer.zero_grad()
            functional.cross_entropy(scores, labels[rows]).backward()
            optimizer.step()
        return {name: leaf.detach().numpy() for name, leaf in leaves.items()}

    return Training(train)


def _jax(work: WordVectors, engine: str | None) -> Training:
    jax = importlib.import_module("jax")
    jnp = jax.numpy
    words, labels = (jnp.asarray(each.astype(np.int32)) for each in work.data())
    start = jax.tree.map(jnp.asarray, work.weights())

    def loss(weights: Any, words: Any, labels: Any) -> Any:
        mean = jnp.mean(weights["vectors"][words], axis=1)
        scores = jax.nn.log_softmax(mean @ weights["matrix"] + weights["offset"])
        return -jnp.mean(jnp.take_along_axis(scores, labels[:, None], axis=1))

    def descend(weights: Any, orders: Any) -> Any:
        def step(weights: Any, rows: Any) -> Any:
            gradient = jax.grad(loss)(weights, words[rows], labels[rows])
            return jax.tree.map(lambda w, g: w - STEP_SIZE * g, weights, gradient), None

        return jax.lax.scan(step, weights, orders)[0]

    compiled = jax.jit(descend)

    def train(steps: int) -> Weights:
        weights = compiled(start, work.orders(steps).astype(np.int32))
        return {name: np.asarray(value) for name, value in weights.items()}

    return Training(train)


PARTICIPANTS: dict[str, Callable[[WordVectors, str | None], Training]] = {
    "steepest": _steepest,
    "PyTorch eager": _torch,
    "JAX": _jax,
}
"""Who can do it, by the names of the table."""
