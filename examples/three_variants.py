"""Full batch, mini-batches of 256 and single examples, on the same problem.

The three variants of gradient descent train the same network on the same handwritten digits from
the same initial weights. They differ in how many images stand behind each step, and in the step
size that suits that number. The figure shows the loss over all training images, by epoch and by
second; how fast the variants are beside each other depends on the machine.

    python examples/three_variants.py --out three_variants.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import steepest as sd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYER_SIZES = (64, 32, 10)


@dataclass(frozen=True)
class Variant:
    """One variant of gradient descent.

    Attributes
    ----------
    name : str
    batch_size : int or None
        Images behind each step; None for all of them.
    step_size : float
    epochs : int
        Passes through the training images; chosen so that the variants take about equally long.
    """

    name: str
    batch_size: int | None
    step_size: float
    epochs: int


VARIANTS = (
    Variant("full batch", batch_size=None, step_size=0.5, epochs=1000),
    Variant("batches of 256", batch_size=256, step_size=0.5, epochs=500),
    Variant("single images", batch_size=1, step_size=0.02, epochs=8),
)


@dataclass(frozen=True)
class Run:
    """What a variant came to.

    Attributes
    ----------
    variant : Variant
    losses : float64 array, (epochs + 1,)
        Over all training images, before the first epoch and after each one.
    seconds : float64 array, (epochs + 1,)
        When each of these weights was reached. Evaluating the losses is not counted.
    steps : int
    accuracy : float
        Share of the test images that the final weights recognise.
    """

    variant: Variant
    losses: NDArray[np.float64]
    seconds: NDArray[np.float64]
    steps: int
    accuracy: float


def loss_fn(weights: Any, batch: Any) -> Any:
    """Softmax cross-entropy of a network with one hidden layer, averaged over the batch."""
    images, labels = batch
    return sd.nn.softmax_cross_entropy(sd.nn.network_logits(weights, images), labels)


def train(variant: Variant, dataset: sd.datasets.ImageDataset) -> Run:
    """Train with one variant, and evaluate the weights of each epoch afterwards."""
    start = sd.nn.initialise_network(LAYER_SIZES, rng=0)
    weights, seconds = [start], [0.0]

    def remember(info: Any) -> None:
        weights.append(info.weights)
        seconds.append(info.seconds)

    descent = sd.descend(
        loss_fn,
        start,
        dataset.train,
        step_size=variant.step_size,
        batch_size=variant.batch_size,
        epochs=variant.epochs,
        seed=0,
        callback=remember,
    )
    scores = sd.nn.network_logits(descent.weights, dataset.test.images)
    return Run(
        variant,
        losses=np.array([loss_fn(each, dataset.train) for each in weights], np.float64),
        seconds=np.array(seconds),
        steps=descent.steps,
        accuracy=float(np.mean(np.argmax(scores, axis=1) == dataset.test.labels)),
    )


def draw(runs: Sequence[Run]) -> Figure:
    """Draw the losses of all variants, by epoch and by second."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    by_epoch, by_second = figure.subplots(1, 2, sharey=True)
    styles = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."))
    for run, (color, dashes) in zip(runs, styles, strict=True):
        label = f"{run.variant.name}, step size {run.variant.step_size:g}"
        # Epoch 0 has no place on a logarithmic axis.
        epochs = np.arange(1, len(run.losses))
        for axes, x in ((by_epoch, epochs), (by_second, run.seconds[1:])):
            axes.plot(x, run.losses[1:], dashes, color=color, label=label, linewidth=1.8)
            axes.plot(x[-1], run.losses[-1], "o", color=color, markersize=5)
    by_epoch.set(
        xscale="log",
        yscale="log",
        xlabel="epochs (passes through all training images)",
        ylabel="loss over all training images",
        title="by epoch",
    )
    by_epoch.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    by_second.set(xlabel="seconds", title="by second")
    by_second.set_xlim(left=0)
    for axes in (by_epoch, by_second):
        axes.grid(color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    by_epoch.legend(frameon=False, loc="lower left")
    return figure


def describe(runs: Sequence[Run]) -> str:
    """Make a table with a row for each variant."""
    columns = ("variant", "step size", "epochs", "steps", "seconds", "loss", "test accuracy")
    rows = [columns]
    rows += [
        (
            run.variant.name,
            f"{run.variant.step_size:g}",
            f"{run.variant.epochs:,}",
            f"{run.steps:,}",
            f"{run.seconds[-1]:.2f}",
            f"{run.losses[-1]:.4f}",
            f"{run.accuracy:.1%}",
        )
        for run in runs
    ]
    widths = (16, 11, 8, 8, 9, 8, 15)
    return "\n".join(
        row[0].ljust(widths[0])
        + "".join(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )


def main(arguments: Sequence[str] | None = None, variants: Sequence[Variant] = VARIANTS) -> None:
    """Train with each variant, print the table and save the figure."""
    parser = argparse.ArgumentParser(
        description="Train with full batches, batches of 256 and single images, and compare."
    )
    parser.add_argument("--out", type=Path, default=Path("three_variants.png"), metavar="FILE")
    out: Path = parser.parse_args(arguments).out
    dataset = sd.datasets.load_digits()
    runs = [train(variant, dataset) for variant in variants]
    print(describe(runs))
    draw(runs).savefig(out, dpi=110)
    print(f"saved {out}")


if __name__ == "__main__":
    main()
