"""A leapfrog simulation, whose initial velocities and masses are fitted to observed positions.

Positions and velocities are updated in place, as simulations do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import steepest as sd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS, TIME_STEP, OBSERVED = 60, 0.04, slice(4, None, 5)
START = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.6]])
TRUE = {
    "masses": np.array([1.0, 0.05, 0.1]),
    "velocities": np.array([[0.0, 0], [0, 1.0], [-0.8, 0]]),
}


def accelerations(positions: Any, masses: Any) -> Any:
    """Newton's law, between all pairs."""
    acceleration = np.zeros_like(positions)
    for i in range(len(positions)):
        for j in range(len(positions)):
            if i == j:
                continue
            apart = positions[j] - positions[i]
            acceleration[i] += masses[j] * apart / (np.sum(apart**2) + 1e-4) ** 1.5
    return acceleration


def simulate(velocities: Any, masses: Any) -> Any:
    """Follow the bodies: half a kick, drift, half a kick."""
    positions, velocities = START.copy(), velocities.copy()
    path = np.empty((STEPS, *START.shape))
    acceleration = accelerations(positions, masses)
    for step in range(STEPS):
        velocities += 0.5 * TIME_STEP * acceleration
        positions = positions + TIME_STEP * velocities
        acceleration = accelerations(positions, masses)
        velocities += 0.5 * TIME_STEP * acceleration
        path[step] = positions
    return path


observed = simulate(TRUE["velocities"], TRUE["masses"])[OBSERVED]
weights = {
    "masses": np.array([0.9, 0.1, 0.1]),
    "velocities": np.array([[0.0, 0.1], [0.1, 0.9], [-0.9, 0.1]]),
}


def loss_fn(weights: Any) -> Any:
    """Mean squared distance from the observations."""
    path = simulate(weights["velocities"], weights["masses"])
    return np.mean((path[OBSERVED] - observed) ** 2)


def fit(steps: int = 300) -> Any:
    """Fit velocities and masses."""
    return sd.descend(
        loss_fn, weights, step_size=0.01, optimizer="adam", steps=steps, progress=False
    )


def draw(result: sd.Descent) -> Figure:
    """Draw the paths before and after, with the observations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for parameters, style in ((weights, ":"), (result.weights, "-")):
        path = simulate(parameters["velocities"], parameters["masses"])
        for body in range(3):
            left.plot(*path[:, body].T, style, color=f"C{body}")
    for body in range(3):
        left.plot(*observed[:, body].T, "o", color=f"C{body}", markersize=4)
    left.set(title="before (dotted) and after the fit", aspect="equal")
    right.semilogy(result.losses)
    right.set(xlabel="step", ylabel="mean squared distance")
    return figure


if __name__ == "__main__":
    from show import show

    show(loss_fn, weights, fit, draw, "planets")
