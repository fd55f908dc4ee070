"""What a gradient costs, against its function, autograd and a gradient written by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import autograd
import autograd.numpy
import numpy
from autograd.scipy.special import logsumexp as autograd_logsumexp

import steepest as sd
from benchmarks.timing import interleaved_medians

__all__ = ["Problem", "problems", "table"]


@dataclass(frozen=True)
class Problem:
    """A loss in NumPy, the same with autograd's NumPy, and its gradient by hand."""

    name: str
    weights: Any
    loss: Callable[[Any], Any]
    autograd_loss: Callable[[Any], Any]
    gradient_by_hand: Callable[[Any], Any] | None


def logistic_regression(rows: int, columns: int) -> Problem:
    """Mean negative log-likelihood of labels ±1."""
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(rows, columns))
    y = numpy.where(rng.random(rows) < 0.5, -1.0, 1.0)

    def loss_with(np: Any) -> Callable[[Any], Any]:
        return lambda w: np.mean(np.logaddexp(0.0, -y * np.dot(x, w)))

    def by_hand(w: Any) -> Any:
        margin = y * (x @ w)
        return x.T @ (-y / (1 + numpy.exp(margin))) / rows

    return Problem(
        f"logistic regression {rows:,} × {columns}",
        rng.normal(size=columns) * 0.1,
        loss_with(numpy),
        loss_with(autograd.numpy),
        by_hand,
    )


def network(batch: int, sizes: tuple[int, ...]) -> Problem:
    """Softmax cross-entropy of a network with tanh units, float64."""
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(batch, sizes[0]))
    labels = rng.integers(0, sizes[-1], batch)
    rows = numpy.arange(batch)
    weights = [
        (rng.normal(size=(m, n)) / numpy.sqrt(m), numpy.zeros(n))
        for m, n in itertools.pairwise(sizes)
    ]

    def loss_with(np: Any) -> Callable[[Any], Any]:
        def loss(weights: Any) -> Any:
            h = x
            for w, b in weights[:-1]:
                h = np.tanh(np.dot(h, w) + b)
            w, b = weights[-1]
            logits = np.dot(h, w) + b
            shifted = logits - np.max(logits, axis=1, keepdims=True)
            log_total = np.log(np.sum(np.exp(shifted), axis=1))
            return np.mean(log_total - shifted[rows, labels])

        return loss

    def by_hand(weights: Any) -> Any:
        activations = [x]
        for w, b in weights[:-1]:
            activations.append(numpy.tanh(activations[-1] @ w + b))
        w, b = weights[-1]
        logits = activations[-1] @ w + b
        p = numpy.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[rows, labels] -= 1
        delta = p / batch
        gradient = []
        for (w, _), h in zip(reversed(weights), reversed(activations), strict=True):
            gradient.append((h.T @ delta, delta.sum(axis=0)))
            if h is not x:
                delta = (delta @ w.T) * (1 - h * h)
        return gradient[::-1]

    return Problem(
        f"network {'-'.join(map(str, sizes))}, batch {batch}",
        weights,
        loss_with(numpy),
        loss_with(autograd.numpy),
        by_hand,
    )


def mixture(points: int, dimensions: int, components: int) -> Problem:
    """Log-likelihood of a mixture of Gaussians with diagonal covariances."""
    rng = numpy.random.default_rng(0)
    x = rng.normal(size=(points, dimensions))
    weights = {
        "logits": numpy.zeros(components),
        "means": rng.normal(size=(components, dimensions)),
        "log_scales": rng.normal(size=(components, dimensions)) * 0.1,
    }

    def loss_with(np: Any, logsumexp: Any) -> Callable[[Any], Any]:
        def loss(w: Any) -> Any:
            z = (x[:, None, :] - w["means"]) * np.exp(-w["log_scales"])
            log_density = -0.5 * np.sum(z * z, axis=2) - np.sum(w["log_scales"], axis=1)
            log_prior = w["logits"] - logsumexp(w["logits"], 0)
            return -np.mean(logsumexp(log_density + log_prior, 1))

        return loss

    def stable_logsumexp(a: Any, axis: int) -> Any:
        largest = numpy.max(a, axis=axis, keepdims=True)
        total = numpy.sum(numpy.exp(a - largest), axis=axis)
        return numpy.log(total) + numpy.squeeze(largest, axis=axis)

    return Problem(
        f"mixture of {components} Gaussians, {points:,} × {dimensions}",
        weights,
        loss_with(numpy, stable_logsumexp),
        loss_with(autograd.numpy, autograd_logsumexp),
        None,
    )


def problems() -> list[Problem]:
    """List the problems of the table: large enough for arithmetic to dominate."""
    return [
        logistic_regression(100_000, 30),
        network(256, (784, 128, 10)),
        network(256, (784, 1024, 1024, 10)),
        mixture(1000, 10, 25),
        mixture(1000, 64, 5),
    ]


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in _leaves(value)]
    if isinstance(tree, (list, tuple)):
        return [leaf for value in tree for leaf in _leaves(value)]
    return [tree]


def table() -> str:
    """Measure every problem; a row each, times as multiples of the function's own."""
    rows = [
        (
            "| problem | function (ms) | steepest / function | autograd / function"
            " | by hand / function |"
        ),
        "|---|---|---|---|---|",
    ]
    for problem in problems():
        ours, theirs = sd.grad(problem.loss), autograd.grad(problem.autograd_loss)
        candidates: dict[str, Callable[[], object]] = {
            "function": partial(problem.loss, problem.weights),
            "steepest": partial(ours, problem.weights),
            "autograd": partial(theirs, problem.weights),
        }
        reference = theirs(problem.weights)
        if problem.gradient_by_hand is not None:
            candidates["hand"] = partial(problem.gradient_by_hand, problem.weights)
            reference = problem.gradient_by_hand(problem.weights)
        for a, b in zip(_leaves(ours(problem.weights)), _leaves(reference), strict=True):
            numpy.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12)
        seconds = interleaved_medians(candidates)
        base = seconds["function"]
        hand = f"{seconds['hand'] / base:.2f}" if "hand" in seconds else ""
        rows.append(
            f"| {problem.name} | {base * 1e3:.2f} | {seconds['steepest'] / base:.2f}"
            f" | {seconds['autograd'] / base:.2f} | {hand} |"
        )
    return "\n".join(rows)
