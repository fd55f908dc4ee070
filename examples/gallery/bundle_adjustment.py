"""Bundle adjustment: cameras and points are found from where the points appear in the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import steepest as sd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAMERAS, POINTS = 4, 30
_rng = np.random.default_rng(0)
true_points = _rng.uniform(-1, 1, (POINTS, 3))
true_cameras = np.zeros((CAMERAS, 6))
true_cameras[:, 1] = np.linspace(-0.4, 0.4, CAMERAS)
true_cameras[:, 3] = np.linspace(-1.0, 1.0, CAMERAS)
true_cameras[:, 5] = 5.0


def rotation(vector: Any) -> Any:
    """Rodrigues' formula: the rotation about a vector, by its length."""
    angle = np.sqrt(np.sum(vector**2) + 1e-12)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def project(camera: Any, points: Any) -> Any:
    """Where points appear in a camera's image."""
    seen = points @ rotation(camera[:3]).T + camera[3:]
    return seen[:, :2] / seen[:, 2:]


def project_all(cameras: Any, points: Any) -> Any:
    """Where all points appear in all images."""
    images = np.empty((len(cameras), len(points), 2))
    for number, camera in enumerate(cameras):
        images[number] = project(camera, points)
    return images


images = project_all(true_cameras, true_points)
images += 0.001 * _rng.normal(size=images.shape)
weights = {
    "cameras": true_cameras + 0.05 * _rng.normal(size=true_cameras.shape),
    "points": true_points + 0.2 * _rng.normal(size=true_points.shape),
}


def loss_fn(weights: Any) -> Any:
    """Sum of robust losses (Huber) of the distances in the images."""
    residuals = project_all(weights["cameras"], weights["points"]) - images
    distance = np.sqrt(np.sum(residuals**2, axis=-1) + 1e-12)
    return np.sum(np.where(distance < 0.05, distance**2, 0.1 * distance - 0.0025))


def fit(steps: int = 500) -> Any:
    """Find cameras and points."""
    return sd.descend(
        loss_fn, weights, step_size=0.01, optimizer="adam", steps=steps, progress=False
    )


def draw(result: sd.Descent) -> Figure:
    """Draw the first image before and after, and the descent."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(*images[0].T, "o", color="0.7", markersize=8, label="image")
    for label, each, mark in (("before", weights, "x"), ("after", result.weights, ".")):
        left.plot(*project_all(each["cameras"], each["points"])[0].T, mark, label=label)
    left.legend(frameon=False)
    right.semilogy(result.losses)
    right.set(xlabel="step", ylabel="loss")
    return figure


if __name__ == "__main__":
    from show import show

    show(loss_fn, weights, fit, draw, "bundle_adjustment")
