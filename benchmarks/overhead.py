"""What recording costs: gradients of small operations, whose time is mostly Python's."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import autograd
import autograd.numpy
import numpy

import steepest as sd

__all__ = ["Kind", "kinds", "table"]

ROUNDS = 50
"""How often a function repeats its operations."""


@dataclass(frozen=True)
class Kind:
    """Functions of one kind: made with NumPy's namespace or autograd's, and what they are given."""

    name: str
    make: Callable[[Any], Callable[[Any], Any]]
    weights: Any
    operations: int
    """How many of NumPy's operations a call applies."""


def operators(np: Any) -> Callable[[Any], Any]:
    """Calculate with three numbers."""

    def function(x: Any) -> Any:
        for _ in range(ROUNDS):
            x = x * 1.01
            x = x + 0.1
            x = x / 2.0
            x = -x
        return np.sum(x)

    return function


def ufuncs(np: Any) -> Callable[[Any], Any]:
    """Apply functions to three numbers."""

    def function(x: Any) -> Any:
        for _ in range(ROUNDS):
            x = np.sin(x)
            x = np.exp(x)
            x = np.sqrt(x)
            x = np.tanh(x)
        return np.sum(x)

    return function


def reductions(np: Any) -> Callable[[Any], Any]:
    """Add up, average and find extrema along the axes of a small matrix."""

    def function(x: Any) -> Any:
        total = 0.0
        for _ in range(ROUNDS):
            total = total + np.sum(x)
            total = total + np.mean(x, axis=0)
            total = total + np.max(x, axis=1)
        return np.sum(total)

    return function


def products(np: Any) -> Callable[[Any], Any]:
    """Multiply a matrix with one that is not differentiated, and with itself."""
    matrix = numpy.eye(3) * 0.9

    def function(x: Any) -> Any:
        for _ in range(ROUNDS):
            x = np.dot(matrix, x)
            x = x @ matrix
            x = np.dot(x, x)
            x = matrix @ x
        return np.sum(x)

    return function


def shapes(np: Any) -> Callable[[Any], Any]:
    """Change the shape, or the order of the axes."""

    def function(x: Any) -> Any:
        for _ in range(ROUNDS):
            x = np.reshape(x, (1, 3))
            x = np.transpose(x)
            x = np.squeeze(x)
            x = np.expand_dims(x, 0)
            x = x.T
            x = np.ravel(x)
        return np.sum(x)

    return function


def indexing(np: Any) -> Callable[[Any], Any]:
    """Read entries, slices, and what index arrays name."""
    order = numpy.array([2, 0, 1])

    def function(x: Any) -> Any:
        total = 0.0
        for i in range(ROUNDS):
            x = x[::-1]
            x = x[order]
            total = total + x[i % 3]
            x = x[:, None][:, 0]
        return total

    return function


def joining(np: Any) -> Callable[[Any], Any]:
    """Put arrays together, and choose between them."""
    mask = numpy.array([True, False, True])

    def function(x: Any) -> Any:
        for _ in range(ROUNDS):
            x = np.where(mask, x, 0.5)
            x = np.concatenate([x, x])[:3]
            x = np.stack([x, x])[0]
            x = np.maximum(x, 0.1)
        return np.sum(x)

    return function


def linear_algebra(size: int, np: Any) -> Callable[[Any], Any]:
    """Solve, invert and factor small matrices."""
    unit = numpy.eye(size)

    def function(x: Any) -> Any:
        total = 0.0
        for _ in range(ROUNDS // 5):
            total = total + np.sum(np.linalg.solve(x, unit))
            total = total + np.sum(np.linalg.inv(x))
            total = total + np.linalg.det(x)
            total = total + np.sum(np.linalg.cholesky(x + x.T))
        return total

    return function


def network(np: Any) -> Callable[[Any], Any]:
    """Evaluate two layers and a softmax cross-entropy on a batch of 32."""
    rng = numpy.random.default_rng(0)
    x, labels, rows = rng.normal(size=(32, 20)), rng.integers(0, 10, 32), numpy.arange(32)

    def function(weights: Any) -> Any:
        hidden = np.tanh(np.dot(x, weights[0]) + weights[1])
        logits = np.dot(hidden, weights[2]) + weights[3]
        shifted = logits - np.max(logits, axis=1, keepdims=True)
        log_total = np.log(np.sum(np.exp(shifted), axis=1))
        return np.mean(log_total - shifted[rows, labels])

    return function


def recurrent(np: Any) -> Callable[[Any], Any]:
    """Run a recurrent network over 100 steps."""
    inputs = numpy.random.default_rng(1).normal(size=(100, 4))

    def function(weights: Any) -> Any:
        h = numpy.zeros(8)
        loss = 0.0
        for step in range(100):
            h = np.tanh(weights[0] @ h + weights[1] @ inputs[step] + weights[2])
            loss = loss + np.sum(h**2)
        return loss

    return function


def long_short_term(np: Any) -> Callable[[Any], Any]:
    """Run a cell with gates over 20 steps of a batch of 8."""
    inputs = numpy.random.default_rng(1).normal(size=(20, 8, 4))

    def sigmoid(x: Any) -> Any:
        return 0.5 * (np.tanh(0.5 * x) + 1.0)

    def function(weights: Any) -> Any:
        h = c = numpy.zeros((8, 6))
        for step in range(20):
            gates = np.dot(np.concatenate([inputs[step], h], axis=1), weights[0]) + weights[1]
            write, forget = sigmoid(gates[:, :6]), sigmoid(gates[:, 6:12])
            c = forget * c + write * np.tanh(gates[:, 12:18])
            h = sigmoid(gates[:, 18:]) * np.tanh(c)
        return np.mean(h**2)

    return function


def kinds() -> list[Kind]:
    """List what is measured."""
    rng = numpy.random.default_rng(0)
    x = numpy.full(3, 0.5)
    matrix = rng.normal(size=(3, 3)) * 0.3

    def positive(size: int) -> Any:
        return numpy.eye(size) * size + numpy.full((size, size), 0.5)

    def weights(*shapes: tuple[int, ...]) -> Any:
        return [rng.normal(size=shape) * 0.3 for shape in shapes]

    return [
        Kind("operators", operators, x, 4 * ROUNDS),
        Kind("ufuncs", ufuncs, x, 4 * ROUNDS),
        Kind("reductions", reductions, matrix, 6 * ROUNDS),
        Kind("products", products, matrix, 4 * ROUNDS),
        Kind("shapes", shapes, x, 6 * ROUNDS),
        Kind("indexing", indexing, x, 6 * ROUNDS),
        Kind("joining and choosing", joining, x, 6 * ROUNDS),
        Kind("linear algebra, 3 × 3", partial(linear_algebra, 3), positive(3), 13 * ROUNDS // 5),
        Kind(
            "linear algebra, 10 × 10", partial(linear_algebra, 10), positive(10), 13 * ROUNDS // 5
        ),
        Kind("network 20-16-10, batch 32", network, weights((20, 16), (16,), (16, 10), (10,)), 14),
        Kind("recurrent network, 100 steps", recurrent, weights((8, 8), (8, 4), (8,)), 800),
        Kind("LSTM, 20 steps", long_short_term, weights((10, 24), (24,)), 20 * 25 + 2),
    ]


def processor_seconds(
    candidates: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """Measure the processor's time for a call of each, in turns, so that drift hits all alike."""
    for function in candidates.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, function in candidates.items():
            start = time.process_time()
            function()
            seconds[name].append(time.process_time() - start)
    return seconds


def leaves(tree: Any) -> list[Any]:
    """List the arrays of a list, or the array itself."""
    return list(tree) if isinstance(tree, list) else [tree]


def table(repeats: int = 100, named: str = "") -> str:
    """Measure each kind: time of an operation, forward and backward, beyond that of NumPy alone.

    The ratio is the median over pairs of measurements that follow each other.

    Parameters
    ----------
    named : str
        What the name of a kind must contain to be measured.
    """
    rows = ["| operations | steepest (µs) | autograd (µs) | ratio |", "|---|---|---|---|"]
    for kind in kinds():
        if named not in kind.name:
            continue
        plain = kind.make(numpy)
        ours, theirs = sd.grad(plain), autograd.grad(kind.make(autograd.numpy))
        for a, b in zip(leaves(ours(kind.weights)), leaves(theirs(kind.weights)), strict=True):
            numpy.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        seconds = processor_seconds(
            {
                "plain": partial(plain, kind.weights),
                "steepest": partial(ours, kind.weights),
                "autograd": partial(theirs, kind.weights),
            },
            repeats,
        )
        base = median(seconds["plain"])
        beyond = {name: [each - base for each in values] for name, values in seconds.items()}
        ratio = median(a / b for a, b in zip(beyond["steepest"], beyond["autograd"], strict=True))
        each = {name: median(values) / kind.operations * 1e6 for name, values in beyond.items()}
        rows.append(
            f"| {kind.name} | {each['steepest']:.2f} | {each['autograd']:.2f} | {ratio:.2f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    print(table(named=" ".join(sys.argv[1:])))
