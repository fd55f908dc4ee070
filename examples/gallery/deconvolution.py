"""Deconvolution of a blurred image by Fourier transforms, with a penalty on total variation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import steepest as sd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = 64
PENALTY = 3e-3


def make_image() -> Any:
    """Draw a disk, a frame and a bar."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    image = np.zeros((SIZE, SIZE))
    image[(x - 0.35) ** 2 + (y - 0.4) ** 2 < 0.04] = 1.0
    image[8:56, 8:12] = 0.7
    image[44:52, 20:56] = 0.5
    return image


def make_blur(width: float = 2.0) -> Any:
    """Make a Gaussian, around the first pixel."""
    distance = np.minimum(np.arange(SIZE), SIZE - np.arange(SIZE))
    blur = np.exp(-0.5 * (distance[:, None] ** 2 + distance[None, :] ** 2) / width**2)
    return blur / blur.sum()


true = make_image()
transfer = np.fft.rfft2(make_blur())
blurred = np.fft.irfft2(np.fft.rfft2(true) * transfer, s=true.shape)
blurred += 0.01 * np.random.default_rng(0).normal(size=true.shape)
weights = blurred.copy()


def loss_fn(image: Any) -> Any:
    """Misfit, and the total variation of the image."""
    again = np.fft.irfft2(np.fft.rfft2(image) * transfer, s=image.shape)
    down, right = np.diff(image, axis=0)[:, :-1], np.diff(image, axis=1)[:-1]
    variation = np.sum(np.sqrt(down**2 + right**2 + 1e-6))
    return 0.5 * np.sum((again - blurred) ** 2) + PENALTY * variation


def fit(steps: int = 300) -> Any:
    """Find the image."""
    return sd.descend(
        loss_fn, weights, step_size=0.02, optimizer="adam", steps=steps, progress=False
    )


def draw(result: sd.Descent) -> Figure:
    """Draw the true, the blurred and the restored image."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    images = {"true": true, "blurred": blurred, "restored": result.weights}
    for axes, (title, image) in zip(figure.subplots(1, 3), images.items(), strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set(title=title, xticks=[], yticks=[])
    return figure


if __name__ == "__main__":
    from show import show

    show(loss_fn, weights, fit, draw, "deconvolution")
