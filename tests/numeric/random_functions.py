"""Random smooth functions with derivatives known exactly, to measure how often bounds hold.

A function is a program of random operations on a vector, ended by a reduction. It is run on
ndarrays of any dtype; its derivatives are found beside it, by forward mode in long double.
Constants are multiples of 1/64, so that every dtype has the same ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["DTYPES", "Draw", "draw"]

DTYPES = ("float64", "float32", "float16", "longdouble", "float32 inside", "complex128")

# name: value, derivative from argument and value
UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "sin": (np.sin, lambda u, v: np.cos(u)),
    "cos": (np.cos, lambda u, v: -np.sin(u)),
    "exp": (np.exp, lambda u, v: v),
    "expm1": (np.expm1, lambda u, v: np.exp(u)),
    "log of a square": (lambda u: np.log(u * u + 0.125), lambda u, v: 2 * u / (u * u + 0.125)),
    "log": (lambda u: np.log(u), lambda u, v: 1 / u),
    "log1p": (lambda u: np.log1p(u * u), lambda u, v: 2 * u / (1 + u * u)),
    "sqrt": (lambda u: np.sqrt(u), lambda u, v: 0.5 / v),
    "tanh": (np.tanh, lambda u, v: 1 / np.cosh(np.minimum(np.abs(u), 5000.0)) ** 2),
    "arctan": (np.arctan, lambda u, v: 1 / (1 + u * u)),
    "sigmoid": (lambda u: 1 / (1 + np.exp(-u)), lambda u, v: v * (1 / (1 + np.exp(u)))),
    "softplus": (lambda u: np.logaddexp(u * 0, u), lambda u, v: 1 / (1 + np.exp(-u))),
    "square": (lambda u: u * u, lambda u, v: 2 * u),
    "cube": (lambda u: u**3, lambda u, v: 3 * u * u),
    "reciprocal": (lambda u: 1 / u, lambda u, v: -v * v),
    "power": (lambda u: u**1.5, lambda u, v: 1.5 * np.sqrt(u)),
    "bell": (lambda u: np.exp(-u * u), lambda u, v: -2 * u * v),
    "cbrt": (np.cbrt, lambda u, v: 1 / (3 * v * v)),
    "absolute": (np.abs, lambda u, v: np.sign(u)),
    "far away": (lambda u: u + 4096, lambda u, v: u * 0 + 1),
}
USUAL = [name for name in UNARY if name not in ("absolute", "cbrt", "far away")]
SPECIAL = [*USUAL, "absolute", "cbrt", "far away"]
LOST = 0.01
REDUCTIONS = ("sum", "mean", "norm", "logsumexp", "product")


@dataclass(frozen=True)
class Step:
    """One operation on the values computed so far."""

    name: str
    first: int
    second: int
    constant: Any


@dataclass(frozen=True)
class Draw:
    """A function, a point and its derivatives.

    Attributes
    ----------
    dtype : str
        One of `DTYPES`.
    exact : ndarray of longdouble, shape (n,)
    doubt : ndarray, shape (n,)
        What the rounding of long double may have made of the derivatives.
    """

    steps: tuple[Step, ...]
    reduction: str
    x: np.ndarray
    dtype: str
    exact: np.ndarray
    doubt: np.ndarray

    def __call__(self, x: Any) -> Any:
        """Evaluate the function."""
        if self.dtype == "complex128":
            x = x.real * 0.75 - x.imag * 0.5
        elif self.dtype == "float32 inside":
            x = x.astype(np.float32)
        values = [x]
        for step in self.steps:
            values.append(_apply(step, values))
        return _reduce(self.reduction, values[-1])

    def gradient_at(self, x: np.ndarray) -> np.ndarray:
        """Return the derivatives at another real point, in long double."""
        with np.errstate(all="ignore"):
            return _gradient(self.steps, self.reduction, x.astype(np.longdouble))

    def __str__(self) -> str:
        lines = [
            f"{n + 1}: {step.name}({step.first}, {step.second}, {step.constant})"
            for n, step in enumerate(self.steps)
        ]
        return "; ".join([*lines, self.reduction, self.dtype, repr(self.x)])


def _apply(step: Step, values: list[Any]) -> Any:
    u = values[step.first]
    if step.name in UNARY:
        return UNARY[step.name][0](u)
    if step.name == "scale":
        return u * step.constant
    if step.name == "shift":
        return u + step.constant
    if step.name == "add":
        return u + values[step.second]
    if step.name == "multiply":
        return u * values[step.second]
    if step.name == "divide":
        w = values[step.second]
        return u / (w * w + 0.5)
    assert step.name == "roll"
    return u * np.roll(u, 1)


def _tangent(step: Step, values: list[Any], tangents: list[Any]) -> Any:
    u, du = values[step.first], tangents[step.first]
    w, dw = values[step.second], tangents[step.second]
    if step.name in UNARY:
        return UNARY[step.name][1](u, values[-1]) * du
    if step.name == "scale":
        return du * step.constant
    if step.name == "shift":
        return du
    if step.name == "add":
        return du + dw
    if step.name == "multiply":
        return u * dw + w * du
    if step.name == "divide":
        below = w * w + 0.5
        return du / below - u * 2 * w * dw / below**2
    return u * np.roll(du, 1, axis=1) + np.roll(u, 1) * du


def _reduce(name: str, u: Any) -> Any:
    if name == "sum":
        return np.sum(u)
    if name == "mean":
        return np.mean(u * u)
    if name == "norm":
        return np.sqrt(np.sum(u * u))
    if name == "logsumexp":
        largest = np.max(u)
        return np.log(np.sum(np.exp(u - largest))) + largest
    return np.prod(u)


def _reduce_tangent(name: str, u: Any, du: Any) -> Any:
    if name == "sum":
        return np.sum(du, axis=1)
    if name == "mean":
        return np.mean(2 * u * du, axis=1)
    if name == "norm":
        return np.sum(u * du, axis=1) / np.sqrt(np.sum(u * u))
    if name == "logsumexp":
        e = np.exp(u - np.max(u))
        return np.sum(e * du, axis=1) / np.sum(e)
    others = np.array([np.prod(np.delete(u, i)) for i in range(len(u))], dtype=u.dtype)
    return np.sum(others * du, axis=1)


def _gradient(steps: tuple[Step, ...], reduction: str, x: np.ndarray) -> np.ndarray:
    values, tangents = [x], [np.eye(x.size, dtype=x.dtype)]
    for step in steps:
        values.append(_apply(step, values))
        # The rule reads the result as values[-1].
        tangents.append(_tangent(step, values, tangents))
    return np.asarray(_reduce_tangent(reduction, values[-1], tangents[-1]))


def _random_steps(generator: np.random.Generator) -> tuple[Step, ...]:
    steps: list[Step] = []
    for n in range(int(generator.integers(1, 8))):
        kind = generator.random()
        first = n if generator.random() < 0.8 else int(generator.integers(0, n + 1))
        second = int(generator.integers(0, n + 1))
        constant: Any = None
        if kind < 0.55:
            names = USUAL if generator.random() < 0.8 else SPECIAL
            name = str(generator.choice(names))
        elif kind < 0.7:
            name = "scale"
            constant = float(generator.integers(-256, 257)) / 64
            if generator.random() < 0.1:
                constant *= 256.0
        elif kind < 0.78:
            name, constant = "shift", float(generator.integers(-256, 257)) / 64
        else:
            name = str(generator.choice(["add", "multiply", "divide", "roll"]))
        steps.append(Step(name, first, second, constant))
    return tuple(steps)


def _random_point(generator: np.random.Generator, dtype: str) -> np.ndarray:
    size = int(generator.integers(1, 4))
    kind = generator.random()
    if kind < 0.5:
        x = generator.normal(size=size)
    elif kind < 0.8:
        span = 2.0 if dtype == "float16" else 4.0
        x = generator.normal(size=size) * 10.0 ** generator.uniform(-span, span, size)
    elif kind < 0.9:
        x = generator.integers(-3, 4, size) / 2.0
    else:
        x = np.abs(generator.normal(size=size)) * 10.0 ** generator.uniform(-3, 3)
    if dtype == "complex128":
        return x + 1j * generator.normal(size=size)
    return x.astype({"float32 inside": "float32"}.get(dtype, dtype))


def draw(seed: int) -> Draw:
    """Draw a function and a point at which it and its derivatives are finite."""
    generator = np.random.default_rng(seed)
    while True:
        dtype = str(generator.choice(DTYPES, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.1]))
        steps, x = _random_steps(generator), _random_point(generator, dtype)
        reduction = str(generator.choice(REDUCTIONS))
        if dtype == "float32 inside":
            x = x.astype(np.float64)
        inner = x.real * 0.75 - x.imag * 0.5 if dtype == "complex128" else x
        with np.errstate(all="ignore"):
            precise = inner.astype(np.longdouble)
            if dtype == "complex128":
                precise = x.real.astype(np.longdouble) * 0.75 - x.imag.astype(np.longdouble) * 0.5
            exact = _gradient(steps, reduction, precise)
            rough = _gradient(steps, reduction, precise.astype(np.float64))
            doubt = np.abs(exact - rough).astype(np.float64) / 2**8
            if dtype == "complex128":
                exact, doubt = exact * (0.75 + 0.5j), doubt * abs(0.75 + 0.5j)
            drawn = Draw(steps, reduction, x, dtype, exact, doubt)
            value = drawn(x.copy())
            # Rounded inside, it must still be the function whose derivatives are known.
            ideal = Draw(steps, reduction, x, "longdouble", exact, doubt)(precise)
            lost = dtype == "float32 inside" and not abs(value - ideal) <= LOST * abs(ideal)
        limit = 1e4 if dtype == "float16" else 1e30
        if (
            not lost
            and np.isfinite(value)
            and np.all(np.abs(exact) < limit)
            and np.all(np.isfinite(doubt))
        ):
            return drawn
