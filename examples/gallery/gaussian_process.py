"""Regression by a Gaussian process, with the loop over jitter that everyone writes.

The Cholesky decomposition of a nearly singular matrix fails; more is added to its diagonal until
it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import steepest as sd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_rng = np.random.default_rng(0)
inputs = np.sort(_rng.uniform(-3, 3, 40))
targets = np.sin(2 * inputs) * np.exp(-0.1 * inputs**2) + 0.15 * _rng.normal(size=40)
weights = {"log_length": 1.0, "log_amplitude": 0.0, "log_noise": 0.0}


def kernel(a: Any, b: Any, weights: Any) -> Any:
    """Squared exponential."""
    apart = (a[:, None] - b[None, :]) / np.exp(weights["log_length"])
    return np.exp(2 * weights["log_amplitude"]) * np.exp(-0.5 * apart**2)


def robust_cholesky(K: Any) -> Any:
    """Decompose, with as little on the diagonal as it takes."""
    jitter = 0.0
    while True:
        try:
            return np.linalg.cholesky(K + jitter * np.eye(len(K)))
        except np.linalg.LinAlgError:
            jitter = max(10 * jitter, 1e-10)


def loss_fn(weights: Any) -> Any:
    """Negative log marginal likelihood."""
    K = kernel(inputs, inputs, weights)
    K[np.diag_indices(len(inputs))] += np.exp(2 * weights["log_noise"])
    L = robust_cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, targets))
    return (
        0.5 * targets @ alpha + np.sum(np.log(np.diag(L))) + 0.5 * len(targets) * np.log(2 * np.pi)
    )


def predict(points: Any, weights: Any) -> Any:
    """Mean and standard deviation at new points."""
    K = kernel(inputs, inputs, weights) + np.exp(2 * weights["log_noise"]) * np.eye(len(inputs))
    across = kernel(points, inputs, weights)
    mean = across @ np.linalg.solve(K, targets)
    covariance = kernel(points, points, weights) - across @ np.linalg.solve(K, across.T)
    return mean, np.sqrt(np.maximum(np.diag(covariance), 0))


def fit(steps: int = 150) -> Any:
    """Fit the three hyperparameters."""
    return sd.descend(
        loss_fn, weights, step_size=0.05, optimizer="adam", steps=steps, progress=False
    )


def draw(result: sd.Descent) -> Figure:
    """Draw the prediction before and after."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    points = np.linspace(-3.5, 3.5, 200)
    cases = (("before", weights), ("after the fit", result.weights))
    for axes, (title, each) in zip(figure.subplots(1, 2, sharey=True), cases, strict=True):
        mean, deviation = predict(points, each)
        axes.fill_between(points, mean - 2 * deviation, mean + 2 * deviation, alpha=0.3)
        axes.plot(points, mean)
        axes.plot(inputs, targets, ".", color="0.3")
        axes.set(title=f"{title}: {float(loss_fn(each)):.1f}")
    return figure


if __name__ == "__main__":
    from show import show

    show(loss_fn, weights, fit, draw, "gaussian_process")
