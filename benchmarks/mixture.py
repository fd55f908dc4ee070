"""The gradient of a mixture of Gaussians with full covariances, float64.

The objective is that of ADBench (Šrajer, Kukelova and Fitzgibbon, "A benchmark of selected
algorithmic differentiation tools on some problems in computer vision and machine learning",
Optimization Methods and Software 33, 2018, section 4.2): the log-likelihood of points under a
mixture whose inverse covariances have a triangular root, with the logarithm of its diagonal as
parameters, and a Wishart prior. Constants are left out.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import steepest as sd
from benchmarks.descent_peers import default_engine, jax_precision

__all__ = ["Mixture", "MixtureGradient", "jax_gradient", "mixtures", "steepest_gradient"]

PRIOR_PRECISION, PRIOR_FREEDOM = 1.0, 0.0
"""Of the Wishart prior: γ and m."""


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians, and points."""

    dimensions: int
    components: int
    points: int = 1000

    @property
    def name(self) -> str:
        """What the table calls it."""
        return (
            f"gradient of a mixture of Gaussians, {self.points:,} points,"
            f" d={self.dimensions}, K={self.components}, float64"
        )

    def arguments(self) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
        """Draw parameters and points."""
        rng = np.random.default_rng(0)
        d, k = self.dimensions, self.components
        parameters = {
            "logits": rng.normal(size=k),
            "means": rng.uniform(size=(k, d)),
            "log_diagonal": rng.normal(size=(k, d)) * 0.1,
            "below_diagonal": rng.normal(size=(k, d * (d - 1) // 2)) * 0.1,
        }
        return parameters, rng.normal(size=(self.points, d))

    def objective(self, xp: Any) -> Callable[[Any, Any], Any]:
        """Write the log-likelihood in a namespace: NumPy, or JAX's."""
        d = self.dimensions
        # Where each entry below the diagonal stands in the vector of parameters.
        is_below = np.tril(np.ones((d, d), bool), -1)
        position = np.where(is_below, np.cumsum(is_below).reshape(d, d) - 1, 0)
        is_diagonal = np.eye(d, dtype=bool)

        def log_sum_exp(a: Any) -> Any:
            largest = xp.max(a, axis=-1, keepdims=True)
            return xp.log(xp.sum(xp.exp(a - largest), axis=-1)) + largest[..., 0]

        def log_likelihood(parameters: Any, points: Any) -> Any:
            logits, log_diagonal = parameters["logits"], parameters["log_diagonal"]
            below, diagonal = parameters["below_diagonal"], xp.exp(log_diagonal)
            root = xp.where(is_below, below[:, position], 0.0) + xp.where(
                is_diagonal, diagonal[:, :, None], 0.0
            )
            log_determinants = xp.sum(log_diagonal, axis=1)
            centred = points - parameters["means"][:, None, :]
            z = xp.matmul(centred, xp.swapaxes(root, 1, 2))
            log_densities = (logits + log_determinants)[:, None] - 0.5 * xp.sum(z * z, axis=2)
            prior = 0.5 * PRIOR_PRECISION**2 * (
                xp.sum(diagonal * diagonal) + xp.sum(below * below)
            ) - PRIOR_FREEDOM * xp.sum(log_determinants)
            total = xp.sum(log_sum_exp(log_densities.T))
            return total - len(points) * log_sum_exp(logits) - prior

        return log_likelihood


def mixtures() -> list[Mixture]:
    """List the rows of the table."""
    return [Mixture(10, 25), Mixture(64, 5)]


class MixtureGradient:
    """A compiled gradient, called again and again."""

    def __init__(
        self, call: Callable[[], Any], setting: Callable[[], Any] = nullcontext, label: str = ""
    ) -> None:
        self._call = call
        self._setting = setting
        self.label = label
        self.result: Any = None

    def run(self, steps: int) -> int:
        """Compute the gradient so many times."""
        with self._setting():
            for _ in range(steps):
                self.result = self._call()
        return steps


def steepest_gradient(mixture: Mixture, engine: str | None) -> MixtureGradient:
    """Compile the gradient by steepest."""
    engine = engine or default_engine(sd.compile)
    gradient = sd.compile(sd.grad(mixture.objective(np)), engine=engine)
    parameters, points = mixture.arguments()
    return MixtureGradient(lambda: gradient(parameters, points), label=engine)


def jax_gradient(mixture: Mixture) -> MixtureGradient:
    """Compile the gradient by JAX."""
    with jax_precision("float64") as jax:
        arguments = jax.device_put(mixture.arguments())
        gradient = jax.jit(jax.grad(mixture.objective(importlib.import_module("jax.numpy"))))
    return MixtureGradient(
        lambda: jax.block_until_ready(gradient(*arguments)), partial(jax_precision, "float64")
    )
