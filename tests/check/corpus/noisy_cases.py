"""Functions and gradients that draw random numbers, other ones at each call.

Where the noise hides the slope, the verdict is "noisy". Where it is far below the slope, it must
neither excuse an error nor veto a right gradient.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from tests.check.corpus.case import Case, WithNoise, draw
from tests.check.corpus.functions import DATA, LABELS, softmax, sum_of_sines

__all__ = ["NOISY"]


def noisy(name: str, f: Any, x: Any, gradient: Any, **expected: Any) -> Case:
    return Case(name, f, x, gradient, "noisy", **expected)


def dropout(x, generator):
    return 2 * np.sum(np.sin(x) * (generator.random(x.shape) < 0.5))


def dropout_gradient(x, generator):
    return 2 * np.cos(x) * (generator.random(x.shape) < 0.5)


def batch_loss(p, generator):
    rows = generator.integers(0, 16, 4)
    probabilities = softmax(DATA[rows] @ p["W"])
    return -np.mean(np.log(probabilities[np.arange(4), LABELS[rows]]))


def whole_batch_gradient(p):
    return {"W": DATA.T @ (softmax(DATA @ p["W"]) - np.eye(4)[LABELS]) / 16}


class Drifting:
    """A function that moves on by itself: a counter is a part of its value."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._calls = itertools.count()

    def __call__(self, x: Any) -> Any:
        return np.sum(x**2) + next(self._calls)


HIDING = [
    noisy("dropout", WithNoise(801, dropout), draw(802, 100), np.cos),
    noisy(
        "dropout, its gradient too",
        WithNoise(803, dropout),
        draw(804, 100),
        WithNoise(805, dropout_gradient),
    ),
    noisy(
        "the gradient's dropout alone",
        sum_of_sines,
        draw(806, 100),
        WithNoise(807, dropout_gradient),
    ),
    noisy(
        "dropout of 1 in 100",
        WithNoise(808, lambda x, g: np.sum(np.sin(x) * (g.random(x.shape) < 0.99)) / 0.99),
        draw(809, 100),
        np.cos,
    ),
    noisy("dropout of few", WithNoise(810, dropout), draw(811, 5), np.cos),
    noisy(
        "additive noise",
        WithNoise(812, lambda x, g: np.sum(x**2) + g.normal()),
        draw(813, 4),
        lambda x: 2 * x,
    ),
    noisy(
        "noise of 10 %",
        WithNoise(814, lambda x, g: np.sum(np.cosh(x)) * (1 + 0.1 * g.normal())),
        draw(815, 4),
        np.sinh,
    ),
    noisy(
        "a random batch",
        WithNoise(816, lambda x, g: np.mean((DATA[g.integers(0, 16, 4)] @ x) ** 2)),
        draw(817, 3),
        lambda x: 2 * DATA.T @ DATA @ x / 16,
    ),
    noisy(
        "a random batch of a classifier",
        WithNoise(818, batch_loss),
        {"W": draw(819, 3, 4)},
        whole_batch_gradient,
    ),
    noisy(
        "Monte Carlo",
        WithNoise(820, lambda x, g: np.mean((x + g.normal(size=100)) ** 2)),
        1.5,
        lambda x: 2 * x,
    ),
    noisy(
        "an evidence bound by one sample",
        WithNoise(
            821,
            lambda p, g: (
                np.sum((p["mean"] + np.exp(p["scale"]) * g.normal(size=3)) ** 2) / 2
                - np.sum(p["scale"])
            ),
        ),
        {"mean": draw(822, 3), "scale": draw(823, 3)},
        lambda p: {"mean": p["mean"], "scale": np.exp(2 * p["scale"]) - 1},
    ),
    noisy("a counter", Drifting(), draw(824, 3), lambda x: 2 * x),
]

HARMLESS = [
    Case(
        "noise of 1e-9",
        WithNoise(830, lambda x, g: np.sum(np.sin(x)) + 1e-9 * g.normal()),
        draw(831, 4),
        np.cos,
        "correct",
    ),
    Case(
        "noise of 1e-13",
        WithNoise(832, lambda x, g: np.sum(np.sin(x)) * (1 + 1e-13 * g.normal())),
        draw(833, 4),
        np.cos,
        "correct",
    ),
    Case(
        "300 summands in varying order, float32",
        WithNoise(834, lambda x, g: np.sum(g.permutation(np.sin(x)).astype(np.float32))),
        10 * draw(841, 300),
        np.cos,
        "correct",
    ),
    Case(
        "a gradient that rounds in varying order",
        sum_of_sines,
        draw(835, 50),
        WithNoise(836, lambda x, g: np.cos(x) * (1 + 1e-15 * g.normal(size=50))),
        "correct",
    ),
    Case(
        "10 % too large under noise of 1e-4",
        WithNoise(837, lambda x, g: np.sum(np.sin(x)) + 1e-4 * g.normal()),
        draw(838, 4),
        lambda x: 1.1 * np.cos(x),
        "wrong",
        diagnosis=r"factor of 1\.1",
    ),
    Case(
        "doubled under dropout of 1 in 1,000 units",
        WithNoise(839, lambda x, g: np.sum(np.sin(x) * (g.random(1000) < 0.999)) / 0.999),
        1 + 0.1 * draw(840, 1000),
        lambda x: 2 * np.cos(x),
        "wrong",
        also=("noisy",),
    ),
]

NOISY = [*HIDING, *HARMLESS]
