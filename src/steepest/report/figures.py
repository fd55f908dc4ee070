"""Figures of a training run, drawn without a display and without touching pyplot's state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from steepest.errors import BadInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

__all__ = ["TrainingRun", "loss_figure", "training_figure"]

# From the palette of Okabe and Ito (2008), told apart with any kind of colour vision.
BLUE, ORANGE, VERMILION, GREY = "#0072B2", "#E69F00", "#D55E00", "#8C8C8C"
# Above this ratio of the largest to the smallest loss, a linear axis hides the end of the run.
LARGEST_LINEAR_RATIO = 20
IMAGE_COLUMNS, IMAGE_ROWS = 8, 4
WEIGHT_COLUMNS, WEIGHT_ROWS = 16, 4


class TrainingRun(Protocol):
    """What a figure needs to know of a run; `steepest.descend` returns it."""

    @property
    def losses(self) -> NDArray[np.float64]:
        """The training loss of each step."""

    @property
    def validation_losses(self) -> NDArray[np.float64]:
        """The losses on validation data; empty without such data."""

    @property
    def validation_steps(self) -> NDArray[np.int64]:
        """After how many steps each of them was computed."""

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps in one pass through the data; None where there are no epochs."""

    @property
    def seconds(self) -> float:
        """How long the run took."""


def loss_figure(run: TrainingRun, *, validation_name: str = "validation") -> Figure:
    """Draw the losses of a run by epoch.

    Parameters
    ----------
    run : TrainingRun
        Such as a `Descent`.
    validation_name : str
        What the validation data are called in the legend.

    Returns
    -------
    matplotlib.figure.Figure
        ``figure.savefig("loss.png")`` saves it.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> run = SimpleNamespace(
    ...     losses=1 / np.arange(1.0, 101),
    ...     validation_losses=np.zeros(0),
    ...     validation_steps=np.zeros(0),
    ...     steps_per_epoch=10,
    ...     seconds=0.5,
    ... )
    >>> [axes.get_xlabel() for axes in loss_figure(run).axes]
    ['epoch']
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    _draw_losses(figure.add_subplot(), run, validation_name)
    return figure


def training_figure(
    run: TrainingRun,
    *,
    images: NDArray[Any],
    labels: NDArray[np.integer[Any]],
    predictions: NDArray[np.integer[Any]],
    image_shape: tuple[int, int],
    class_names: Sequence[str],
    first_layer: NDArray[Any],
    title: str = "",
) -> Figure:
    """Draw a trained image classifier: its losses, what it takes test images for, its weights.

    Parameters
    ----------
    run : TrainingRun
        With the losses on the test images as its validation losses.
    images : array of shape (examples, pixels)
        Test images. Up to 32 are drawn: up to 16 that were taken for something else come first,
        marked with a cross and a frame; the others follow in their order.
    labels, predictions : integer arrays of shape (examples,)
        The true and the predicted class.
    image_shape : (rows, columns)
        Of one image; rows x columns = pixels.
    class_names : sequence of str
    first_layer : array of shape (pixels, neurons)
        Up to 64 neurons are drawn, in their order.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    BadInputError
        When the shapes do not fit.
    """
    from matplotlib.figure import Figure

    pixels = image_shape[0] * image_shape[1]
    if images.ndim != 2 or images.shape[1] != pixels or first_layer.shape[:1] != (pixels,):
        raise BadInputError(
            f"images of shape {images.shape} and a first layer of shape {first_layer.shape} do not"
            f" fit {image_shape[0]} x {image_shape[1]} pixels"
        )
    if not labels.shape == predictions.shape == images.shape[:1]:
        raise BadInputError(
            f"labels of shape {labels.shape} and predictions of shape {predictions.shape} do not"
            f" fit {len(images)} images"
        )
    weights = first_layer.T[: WEIGHT_COLUMNS * WEIGHT_ROWS].reshape(-1, *image_shape)
    # In inches; the second part grows with its rows of images.
    heights = (5, 0.6 + 0.72 * -(-len(weights) // WEIGHT_COLUMNS))
    figure = Figure(figsize=(12, sum(heights)), dpi=120, layout="constrained")
    if title:
        figure.suptitle(title)
    parts = figure.add_gridspec(2, 1, height_ratios=heights)
    top = parts[0].subgridspec(1, 2, width_ratios=(1, 1.15))
    _draw_losses(figure.add_subplot(top[0]), run, "test")
    _draw_images(
        figure.add_subplot(top[1]),
        images.reshape(-1, *image_shape),
        labels,
        predictions,
        class_names,
    )
    _draw_weights(figure.add_subplot(parts[1]), weights, first_layer.shape[1])
    return figure


def _draw_losses(axes: Axes, run: TrainingRun, validation_name: str) -> None:
    """Draw the loss of every step, its mean over each epoch, and the validation losses."""
    losses = np.asarray(run.losses, np.float64)
    validation = np.asarray(run.validation_losses, np.float64)
    per_epoch = run.steps_per_epoch or 0
    if per_epoch > 1:
        axes.plot(
            np.arange(1, len(losses) + 1) / per_epoch,
            losses,
            color=BLUE,
            alpha=0.3,
            linewidth=0.7,
            label="training, each step",
        )
        epochs = len(losses) // per_epoch
        means = losses[: epochs * per_epoch].reshape(epochs, per_epoch).mean(axis=1)
        # The mean over an epoch belongs to its middle, not to its end.
        axes.plot(
            np.arange(epochs) + 0.5,
            means,
            color=BLUE,
            linewidth=2,
            marker="o" if epochs == 1 else "",
            label="training, mean of an epoch",
        )
    else:
        marker = "o" if len(losses) == 1 else ""
        steps = np.arange(1, len(losses) + 1)
        axes.plot(steps, losses, color=BLUE, linewidth=2, marker=marker, label="training")
    if len(validation):
        axes.plot(
            np.asarray(run.validation_steps) / max(per_epoch, 1),
            validation,
            color=ORANGE,
            linewidth=2,
            linestyle="--",
            marker="o" if len(validation) == 1 else "",
            label=validation_name,
        )
    axes.set_xlabel("epoch" if per_epoch else "step")
    axes.set_ylabel("loss")
    axes.set_title(f"{len(losses):,} steps in {_format_seconds(run.seconds)}", fontsize="medium")
    everything = np.concatenate([losses, validation])
    finite = everything[np.isfinite(everything)]
    if finite.size and finite.min() > 0 and finite.max() > LARGEST_LINEAR_RATIO * finite.min():
        axes.set_yscale("log")
        axes.set_ylabel("loss (logarithmic)")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(axes.lines) > 1:
        axes.legend(frameon=False)


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:,.0f} s"


def _draw_images(
    axes: Axes,
    images: NDArray[Any],
    labels: NDArray[np.integer[Any]],
    predictions: NDArray[np.integer[Any]],
    class_names: Sequence[str],
) -> None:
    """Draw test images with what they were taken for; the wrong ones first."""
    is_wrong = predictions != labels
    wrong, right = np.flatnonzero(is_wrong), np.flatnonzero(~is_wrong)
    places = IMAGE_COLUMNS * IMAGE_ROWS
    wrong_shown = wrong[: max(places // 2, places - len(right))]
    shown = np.concatenate([wrong_shown, right[: places - len(wrong_shown)]])
    how_many = "all" if len(wrong_shown) == len(wrong) else f"{len(wrong_shown)}"
    marked = f", {how_many} of them first, as ✗ predicted (true)" if len(wrong) else ""
    axes.set_title(
        f"Test images: {len(wrong):,} of {len(images):,} wrong{marked}", fontsize="medium"
    )
    frames = _draw_grid(axes, images[shown], IMAGE_COLUMNS, gap=(0.1, 0.4), cmap="gray_r")
    for frame, index in zip(frames, shown, strict=True):
        predicted, true = class_names[predictions[index]], class_names[labels[index]]
        wrong_here = bool(is_wrong[index])
        frame.set(color=VERMILION if wrong_here else GREY, linewidth=2.5 if wrong_here else 0.5)
        axes.annotate(
            f"✗ {predicted} ({true})" if wrong_here else predicted,
            (frame.get_x() + frame.get_width() / 2, frame.get_y()),
            xytext=(0, 3),
            textcoords="offset points",
            horizontalalignment="center",
            fontsize="small",
            color=VERMILION if wrong_here else "black",
            fontweight="bold" if wrong_here else "normal",
        )


def _draw_weights(axes: Axes, weights: NDArray[Any], neuron_count: int) -> None:
    """Draw what each neuron of the first layer looks for, all on one scale."""
    limit = float(np.abs(weights).max(initial=0)) or 1.0
    how_many = "all" if len(weights) == neuron_count else f"the first {len(weights)} of"
    axes.set_title(
        f"Weights of the first layer, {how_many} {neuron_count} neurons", fontsize="medium"
    )
    columns = min(WEIGHT_COLUMNS, len(weights))
    _draw_grid(axes, weights, columns, gap=(0.1, 0.1), cmap="PuOr", vmin=-limit, vmax=limit)
    axes.figure.colorbar(axes.images[0], ax=axes, pad=0.01, shrink=0.9, label="weight of a pixel")


def _draw_grid(
    axes: Axes, pictures: NDArray[Any], columns: int, gap: tuple[float, float], **style: Any
) -> list[Rectangle]:
    """Draw pictures of one size row by row, in one set of axes: one for each would be slow.

    Returns
    -------
    list of Rectangle
        An invisible frame around each picture.
    """
    from matplotlib.patches import Rectangle

    height, width = pictures.shape[1:]
    step_right, step_down = width * (1 + gap[0]), height * (1 + gap[1])
    frames = []
    for number, picture in enumerate(pictures):
        left, top = number % columns * step_right, number // columns * step_down
        axes.imshow(
            picture,
            extent=(left, left + width, top + height, top),
            interpolation="nearest",
            **style,
        )
        frame = Rectangle((left, top), width, height, fill=False, linewidth=0)
        axes.add_patch(frame)
        frames.append(frame)
    rows = -(-len(pictures) // columns)
    axes.set_xlim(-width * gap[0], columns * step_right)
    axes.set_ylim(rows * step_down, -height * gap[1])
    axes.set_axis_off()
    return frames
