"""Points where the function is not differentiable: kinks, steps, singularities, edges.

The one-sided slopes differ, or are infinite, or one of them does not exist; whatever lies between
them is a subgradient. So the verdict is "kink" with any gradient that is one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special
from tests.check.corpus.case import Case, WithNoise, draw
from tests.check.corpus.functions import (
    DATA,
    least_squares,
    least_squares_gradient,
    network_weights,
    relu_network,
    relu_network_gradient,
)

__all__ = ["ROUGH"]

TRIANGLE = draw(701, 20)


def kink(name: str, f: Any, x: Any, gradient: Any, **expected: Any) -> Case:
    return Case(name, f, x, gradient, "kink", **expected)


def soft_threshold_loss(x):
    return np.sum(np.sign(x) * np.maximum(np.abs(x) - 1, 0))


def total_variation(x):
    return np.sum(np.abs(np.diff(x)))


def total_variation_gradient(x):
    signs = np.sign(np.diff(x))
    return np.concatenate([[0], signs]) - np.concatenate([signs, [0]])


def largest_eigenvalue(x):
    return np.linalg.eigvalsh((x + x.T) / 2)[-1]


def quantised(x):
    """Weights rounded to multiples of a sixteenth."""
    return np.sum((np.round(16 * x) / 16 - 0.3) ** 2)


def lasso(x):
    return least_squares(x) + 0.3 * np.sum(np.abs(x))


def hinge(p):
    """A support vector machine, one of whose examples lies on its margin."""
    labels = np.where(np.arange(16) % 2 == 0, 1.0, -1.0)
    return np.sum(np.maximum(0, 1 - labels * (DATA @ p["w"] + p["b"])))


def hinge_gradient(p):
    labels = np.where(np.arange(16) % 2 == 0, 1.0, -1.0)
    active = labels * (1 - labels * (DATA @ p["w"] + p["b"]) > 0)
    return {"w": -active @ DATA, "b": -np.sum(active)}


ABS = [
    kink("abs at 0", lambda x: np.sum(np.abs(x)), np.array([1.0, 0.0]), np.sign, index=(1,)),
    kink("abs of a float", abs, 0.0, lambda x: 0.0),
    kink(
        "abs at 0, float32",
        lambda x: np.sum(np.abs(x)),
        np.array([1.0, 0.0], np.float32),
        np.sign,
        index=(1,),
    ),
    kink(
        "abs at 0, float16",
        lambda x: np.sum(np.abs(x)),
        np.array([1.0, 0.0], np.float16),
        np.sign,
        index=(1,),
    ),
    kink(
        "abs at 0, an end of its slopes",
        lambda x: np.sum(np.abs(x)),
        np.array([0.0, -2.0]),
        lambda x: np.where(x >= 0, 1.0, -1.0),
        index=(0,),
    ),
    kink(
        "one of many",
        lambda x: np.sum(np.abs(x)),
        np.r_[draw(702, 4000), 0.0, draw(703, 2000)],
        np.sign,
        index=(4000,),
    ),
    kink("many of many", lambda x: np.sum(np.abs(x)), np.r_[draw(704, 50), np.zeros(50)], np.sign),
    kink(
        "a square root of a square",
        lambda x: np.sum(np.sqrt(x**2)),
        np.array([0.0, 1.0]),
        lambda x: np.array([0.0, 1.0]),
        index=(0,),
    ),
    kink(
        "abs of a complex number at 0",
        lambda z: np.sum(np.abs(z)),
        np.array([0.0, 1.0 + 1.0j]),
        lambda z: np.array([0.0, (1 - 1j) / np.sqrt(2)]),
        index=(0,),
    ),
    kink(
        "a lasso at a zero weight",
        lasso,
        np.array([0.5, 0.0, -1.2, 0.3]),
        lambda x: least_squares_gradient(x) + 0.3 * np.sign(x),
        index=(1,),
    ),
    kink(
        "a small kink on a slope",
        lambda x: np.sum(x**2 + 1e-3 * np.abs(x - 1)),
        np.array([1.0, 2.0]),
        lambda x: 2 * x + 1e-3 * np.sign(x - 1),
        index=(0,),
    ),
    kink(
        "a very small kink",
        lambda x: np.sum(np.sin(x) + 1e-6 * np.abs(x - 1)),
        np.array([1.0, 2.0]),
        lambda x: np.cos(x) + 1e-6 * np.sign(x - 1),
        index=(0,),
    ),
    kink(
        "a kink of a million",
        lambda x: 1e6 * np.sum(np.abs(x)),
        np.array([0.0, 1.0]),
        lambda x: 1e6 * np.sign(x),
        index=(0,),
    ),
    kink("a kink far from zero", lambda x: np.abs(x - 1e6), 1e6, lambda x: 0.0),
    kink(
        "total variation of equal neighbours",
        total_variation,
        np.array([1.0, 3.0, 3.0, 0.5]),
        total_variation_gradient,
    ),
    kink(
        "distance to oneself",
        lambda p: np.linalg.norm(p["a"] - p["b"]),
        {"a": np.array([1.0, 2.0]), "b": np.array([1.0, 2.0])},
        lambda p: {"a": np.zeros(2), "b": np.zeros(2)},
    ),
    kink(
        "a kink in a steep valley",
        lambda x: np.sum(np.abs(x) + 1e6 * x**2),
        np.array([0.0, 1.0]),
        lambda x: np.sign(x) + 2e6 * x,
        index=(0,),
    ),
    kink(
        "a kink under noise of 1e-9",
        WithNoise(707, lambda x, g: np.sum(np.abs(x)) + 1e-9 * g.normal()),
        np.array([0.0, 1.0]),
        np.sign,
        also=("noisy",),
    ),
    kink("a triangle wave at its top", lambda x: np.abs((x % 2) - 1), 3.0, lambda x: 0.0),
]

RELU = [
    kink(
        "relu at 0, 0",
        lambda x: np.sum(np.maximum(x, 0)),
        np.array([0.0, 2.0, -1.0]),
        lambda x: (x > 0) * 1.0,
        index=(0,),
    ),
    kink(
        "relu at 0, ½",
        lambda x: np.sum(np.maximum(x, 0)),
        np.array([0.0, 2.0, -1.0]),
        lambda x: np.heaviside(x, 0.5),
        index=(0,),
    ),
    kink(
        "leaky relu at 0",
        lambda x: np.sum(np.where(x > 0, x, 0.01 * x)),
        np.array([0.0, 2.0, -1.0]),
        lambda x: np.where(x > 0, 1.0, 0.01),
        index=(0,),
    ),
    kink(
        "elu of another slope at 0",
        lambda x: np.sum(np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0)))),
        np.array([0.0, 1.0, -2.0]),
        lambda x: np.where(x > 0, 1.0, 2 * np.exp(np.minimum(x, 0))),
        index=(0,),
    ),
    kink(
        "relu units at 0",
        lambda p: np.sum(np.maximum(0, DATA @ p["W1"] + p["b1"])),
        {"W1": np.zeros((3, 5)), "b1": np.zeros(5)},
        lambda p: {"W1": np.zeros((3, 5)), "b1": np.zeros(5)},
    ),
    kink(
        "a unit at 0 in a network",
        relu_network,
        network_weights(seed=706)
        | {
            "W1": network_weights(seed=706)["W1"] * np.array([1, 1, 0, 1, 1]),
            "b1": network_weights(seed=706)["b1"] * np.array([1, 1, 0, 1, 1]),
        },
        relu_network_gradient,
    ),
    kink(
        "clip at its limit",
        lambda x: np.sum(np.clip(x, -1, 1)),
        np.array([1.0, 0.3]),
        lambda x: np.array([1.0, 1.0]),
        index=(0,),
    ),
    kink(
        "hard sigmoid at its end",
        lambda x: np.sum(np.clip(x / 6 + 0.5, 0, 1)),
        np.array([3.0, 0.3]),
        lambda x: np.array([0.0, 1 / 6]),
        index=(0,),
    ),
    kink(
        "soft threshold at its threshold",
        soft_threshold_loss,
        np.array([1.0, 2.0, 0.2]),
        lambda x: (np.abs(x) > 1) * 1.0,
        index=(0,),
    ),
    kink("hinge at the hinge", lambda x: np.maximum(0, 1 - x), 1.0, lambda x: -0.5),
    kink("a support vector on its margin", hinge, {"w": np.zeros(3), "b": 1.0}, hinge_gradient),
    kink(
        "linear interpolation at a knot",
        lambda x: np.sum(np.interp(x, [0.0, 1.0, 3.0], [0.0, 2.0, -1.0])),
        np.array([1.0, 2.2]),
        lambda x: np.array([2.0, -1.5]),
        index=(0,),
    ),
]

TIES = [
    kink("max at a tie", np.max, np.array([1.0, 3.0, 3.0]), lambda x: np.array([0.0, 0.5, 0.5])),
    kink(
        "max at a tie, the first",
        np.max,
        np.array([1.0, 3.0, 3.0]),
        lambda x: np.array([0.0, 1.0, 0.0]),
    ),
    kink(
        "maximum of equal arrays",
        lambda p: np.sum(np.maximum(p["a"], p["b"])),
        {"a": np.array([1.0, 2.0]), "b": np.array([1.0, 5.0])},
        lambda p: {"a": np.array([0.5, 0.0]), "b": np.array([0.5, 1.0])},
    ),
    kink(
        "the two largest at a tie",
        lambda x: np.sum(np.sort(x)[-2:]),
        np.array([4.0, 2.0, 2.0, 1.0]),
        lambda x: np.array([1.0, 1.0, 0.0, 0.0]),
    ),
    kink(
        "median at a tie",
        lambda x: np.sort(x)[2],
        np.array([4.0, 2.0, 2.0, 1.0, 2.0]),
        lambda x: np.array([0.0, 0.0, 1.0, 0.0, 0.0]),
    ),
    kink(
        "max of equal rows",
        lambda x: np.sum(np.max(x, axis=0)),
        np.ones((3, 2)),
        lambda x: np.full((3, 2), 1 / 3),
    ),
    kink(
        "largest eigenvalue of the identity", largest_eigenvalue, np.eye(3), lambda x: np.eye(3) / 3
    ),
    kink(
        "nuclear norm of a singular matrix",
        lambda x: np.sum(np.linalg.svd(x, compute_uv=False)),
        np.diag([2.0, 1.0, 0.0]),
        lambda x: np.diag([1.0, 1.0, 0.0]),
    ),
]

STEPS = [
    kink("a step", lambda x: np.sum(np.floor(x)), np.array([2.0, 2.5]), np.zeros_like),
    kink("a sign", lambda x: np.sum(np.sign(x) + x), np.array([0.0, 1.0]), np.ones_like),
    kink("a step, large", lambda x: np.where(x >= 1, 5.0, 0.0) + x**2, 1.0, lambda x: 2 * x),
    kink(
        "a step of a thousandth", lambda x: np.where(x >= 1, 1e-3, 0.0) + x**2, 1.0, lambda x: 2 * x
    ),
    kink(
        "a step, float32",
        lambda x: np.sum(np.heaviside(x, 0) + x),
        np.array([0.0, 1.0], "f4"),
        np.ones_like,
        index=(0,),
    ),
    kink(
        "quantised between two levels",
        quantised,
        np.array([0.03125, 0.4, -0.7]),
        np.zeros_like,
        index=(0,),
    ),
    kink(
        "a wrapped angle",
        lambda x: np.sum((x + np.pi) % (2 * np.pi)),
        np.array([-np.pi, 1.0]),
        np.ones_like,
        index=(0,),
    ),
    kink(
        "the index of the largest",
        lambda x: 1.0 * np.argmax(x) + np.sum(x),
        np.array([2.0, 2.0]),
        np.ones_like,
    ),
]

ENDS = [
    kink("norm at 0", np.linalg.norm, np.zeros(3), np.zeros_like),
    kink("norm at 0, NaN", np.linalg.norm, np.zeros(3), lambda x: x * np.nan),
    kink(
        "norms of rows, one of them 0",
        lambda x: np.sum(np.linalg.norm(x, axis=1)),
        np.array([[3.0, 4.0], [0.0, 0.0]]),
        lambda x: np.array([[0.6, 0.8], [0.0, 0.0]]),
    ),
    kink(
        "cbrt at 0",
        lambda x: np.sum(np.cbrt(x)),
        np.array([0.0, 1.0]),
        lambda x: np.array([np.inf, 1 / 3]),
        index=(0,),
    ),
    kink(
        "root of abs at 0",
        lambda x: np.sum(np.sqrt(np.abs(x))),
        np.array([0.0, 1.0]),
        lambda x: np.array([0.0, 0.5]),
        index=(0,),
    ),
    kink(
        "sqrt at 0",
        lambda x: np.sum(np.sqrt(x)),
        np.array([0.0, 1.0]),
        lambda x: np.array([np.inf, 0.5]),
        index=(0,),
    ),
    kink(
        "x log x at 0",
        lambda x: np.sum(
            np.where(x > 0, x * np.log(np.where(x > 0, x, 1)), np.where(x < 0, np.nan, 0))
        ),
        np.array([0.0, 1.0]),
        lambda x: np.array([0.0, 1.0]),
        index=(0,),
    ),
    kink(
        "xlogy at 0",
        lambda x: np.sum(special.xlogy(x, x)),
        np.array([0.0, 1.0]),
        lambda x: np.array([-np.inf, 1.0]),
        index=(0,),
    ),
    kink(
        "a power at its edge",
        lambda x: np.sum(x**1.5),
        np.array([0.0, 1.0]),
        lambda x: 1.5 * np.sqrt(x),
        index=(0,),
    ),
    kink(
        "log of zero",
        lambda x: np.sum(np.log(x)),
        np.array([0.0, 1.0]),
        lambda x: np.array([np.inf, 1.0]),
    ),
    kink(
        "a pole", lambda x: np.sum(1 / x), np.array([0.0, 1.0]), lambda x: np.array([-np.inf, -1.0])
    ),
    kink(
        "arcsine at 1",
        lambda x: np.sum(np.arcsin(x)),
        np.array([1.0, 0.5]),
        lambda x: np.array([np.inf, 1 / np.sqrt(0.75)]),
        index=(0,),
    ),
    kink(
        "arccosh at 1",
        lambda x: np.sum(np.arccosh(x)),
        np.array([1.0, 2.0]),
        lambda x: np.array([np.inf, 1 / np.sqrt(3)]),
        index=(0,),
    ),
    kink(
        "entropy with a probability of 0",
        lambda x: -np.sum(special.xlogy(x, x)),
        np.array([0.0, 0.25, 0.75]),
        lambda x: -np.log(np.maximum(x, 1e-300)) - 1,
        index=(0,),
    ),
    kink(
        "a square with an end",
        lambda x: np.sum(np.where(x >= 0, x**2, np.nan)),
        np.array([0.0, 1.0]),
        lambda x: 2 * x,
        index=(0,),
    ),
    kink(
        "a power of two thirds at 0",
        lambda x: np.sum(np.abs(x) ** (2 / 3)),
        np.array([0.0, 1.0]),
        lambda x: np.array([0.0, 2 / 3]),
        index=(0,),
    ),
]

ROUGH = [*ABS, *RELU, *TIES, *STEPS, *ENDS]
