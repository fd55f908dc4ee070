"""What a case of the corpus is, and what cases are made with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.check.verdict import Verdict

__all__ = ["Case", "Stale", "WithNoise", "changed", "draw", "scaled", "with_part"]

Gradient = Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """A function, a point, a gradient, and what a check must find.

    Attributes
    ----------
    name : str
    f, x, gradient
        What is checked.
    verdict : str
        What mathematics says of the gradient.
    also : tuple of str
        Verdicts that the numbers of f leave room for.
    parameter : str
        Where the verdict lies; empty for a lone array, or when it does not matter.
    index : tuple of int or None
        The only entry that is wrong, or at a kink.
    diagnosis : str
        A regular expression for the mistake that the report must name; empty when no pattern
        relates the two gradients.
    source : str
        The public report of the bug that the case mirrors.
    tolerance : float or None
        Passed to the check, for functions that are approximate themselves.
    is_heavy : bool
        Whether it is left to the soak tests.
    """

    name: str
    f: Callable[[Any], Any]
    x: Any
    gradient: Gradient
    verdict: Verdict
    also: tuple[Verdict, ...] = ()
    parameter: str = ""
    index: tuple[int, ...] | None = None
    diagnosis: str = ""
    source: str = ""
    tolerance: float | None = None
    is_heavy: bool = False

    @property
    def accepted(self) -> tuple[Verdict, ...]:
        """The verdicts that are right."""
        return (self.verdict, *self.also)

    def restart(self) -> None:
        """Let random parts begin anew, so that a case is the same each time."""
        for part in (self.f, self.gradient):
            if hasattr(part, "restart"):
                part.restart()


class WithNoise:
    """A function that draws random numbers, other ones at each call."""

    def __init__(self, seed: int, function: Callable[[Any, np.random.Generator], Any]) -> None:
        self._seed = seed
        self._function = function
        self.restart()

    def restart(self) -> None:
        self._generator = np.random.default_rng(self._seed)

    def __call__(self, x: Any) -> Any:
        return self._function(x, self._generator)


class Stale:
    """A layer whose gradient reads what its last forward pass left behind."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._activations: NDArray[np.float64] = np.zeros(())

    def __call__(self, x: Any) -> Any:
        self._activations = np.tanh(x)
        return np.sum(self._activations**2)

    def gradient(self, x: Any) -> Any:
        return 2 * self._activations * (1 - self._activations**2)


def draw(seed: int, *shape: int) -> NDArray[np.float64]:
    """Draw normal numbers that depend on nothing but the arguments."""
    return np.random.default_rng(seed).normal(size=shape)


def scaled(gradient: Gradient, factor: float) -> Gradient:
    """Return the gradient times a factor."""
    return lambda x: factor * gradient(x)


def changed(gradient: Gradient, index: Any, factor: float) -> Gradient:
    """Return the gradient with one entry wrong."""

    def wrong(x: Any) -> Any:
        result = gradient(x)
        result[index] *= factor
        return result

    return wrong


def with_part(gradient: Gradient, name: str, change: Callable[[Any], Any]) -> Gradient:
    """Return the gradient, a dict, with one part changed."""

    def wrong(x: Any) -> Any:
        result = gradient(x)
        return result | {name: change(result[name])}

    return wrong
