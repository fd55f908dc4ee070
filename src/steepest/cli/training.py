"""``steepest train``: an image classifier, from the data to the saved model and figure."""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest import datasets, nn
from steepest.check import check_gradient
from steepest.cli.classifier import ImageClassifier
from steepest.cli.version import installed_version
from steepest.descend import Descent, descend
from steepest.errors import BadInputError
from steepest.model_file import write_atomically
from steepest.report import confusion_matrix, format_confusion_matrix, training_figure
from steepest.tree import flatten

__all__ = ["DATASETS", "LOSSES", "OPTIMIZERS", "TrainingOptions", "train_classifier"]

FAILED = 1
INTERRUPTED = 130
# A network with relu has kinks; random weights and few images are almost surely away from them.
IMAGES_TO_CHECK = 32

LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "softmax": nn.softmax_cross_entropy,
    "hinge": nn.multiclass_hinge,
}
# Step sizes for batches of 32 and the softmax loss; a momentum of 0.9 multiplies steps by ten.
OPTIMIZERS = {"sgd": 0.2, "momentum": 0.02, "nesterov": 0.02, "adam": 0.001, "adamw": 0.001}


@dataclass(frozen=True)
class DatasetDefaults:
    """What fits a data set where the command line does not say.

    Attributes
    ----------
    brightest : int
        The value of a whole-number pixel that becomes 1.
    hidden : tuple of int
        Sizes of the hidden layers.
    batch_size : int
    epochs, epochs_full, epochs_single : int
        For mini-batches, for full batches and for single images.
    """

    brightest: int
    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    epochs_full: int
    epochs_single: int


DATASETS = {
    "digits": DatasetDefaults(16, (128, 64), 32, 60, epochs_full=300, epochs_single=10),
    "mnist": DatasetDefaults(255, (128,), 256, 10, epochs_full=100, epochs_single=2),
}


@dataclass(frozen=True)
class TrainingOptions:
    """The options of ``steepest train``; None stands for what fits the others."""

    dataset: str
    data: Path | None = None
    hidden: tuple[int, ...] | None = None
    activation: str = "relu"
    loss: str = "softmax"
    batch_size: int | str | None = None
    step_size: float | None = None
    epochs: int | None = None
    optimizer: str = "adam"
    seed: int = 0
    out: Path | None = None
    check: bool = True


@dataclass(frozen=True)
class TrainingPlan:
    """The options with nothing left open.

    Attributes
    ----------
    batch_size : int
        From 1 to the number of training images.
    """

    hidden: tuple[int, ...]
    batch_size: int
    step_size: float
    epochs: int
    folder: Path


def train_classifier(options: TrainingOptions) -> int:
    """Train, test and save a classifier of images, with a report on the way.

    Returns
    -------
    int
        The exit status: 0, 1 when the gradient is wrong or the loss did not stay finite, and 130
        when Ctrl-C ended the training.

    Raises
    ------
    BadInputError, FileFormatError
        When the options do not fit each other or the data.
    OSError
        When the results cannot be written.
    """
    dataset = load_dataset(options)
    plan = make_plan(options, len(dataset.train.images))
    prepare_folder(plan.folder)
    layer_sizes = (dataset.train.images.shape[1], *plan.hidden, len(dataset.classes))
    weights = nn.initialise_network(layer_sizes, options.seed, options.activation)
    loss = LOSSES[options.loss]

    def loss_fn(weights: Any, batch: Any) -> Any:
        images, labels = batch
        return loss(nn.network_logits(weights, images, options.activation), labels)

    parameters = sum(leaf.size for leaf in flatten(weights)[0])
    print(
        f"{dataset.name}: {len(dataset.train.images):,} images to train on,"
        f" {len(dataset.test.images):,} to test on\n"
        f"network {'-'.join(map(str, layer_sizes))}, {parameters:,} parameters;"
        f" {options.optimizer}, step size {plan.step_size:.3g}, {plan.epochs} epochs in batches of"
        f" {plan.batch_size}"
    )
    if options.check and not is_gradient_right(loss_fn, weights, dataset.train, options.seed):
        return FAILED
    print(flush=True)
    descent = descend(
        loss_fn,
        weights,
        dataset.train,
        step_size=plan.step_size,
        optimizer=options.optimizer,
        batch_size=plan.batch_size,
        epochs=plan.epochs,
        validate=dataset.test,
        seed=options.seed,
    )
    print(descent)
    if descent.stopped.code == "not_finite":
        print("nothing was saved; a smaller --step-size may help", file=sys.stderr)
        return FAILED
    classifier = ImageClassifier(
        weights=descent.weights,
        activation=options.activation,
        loss=options.loss,
        image_shape=dataset.image_shape,
        brightest=DATASETS[options.dataset].brightest,
        classes=dataset.classes,
    )
    save_results(options, plan, dataset, classifier, descent)
    return INTERRUPTED if descent.stopped.code == "interrupted" else 0


def load_dataset(options: TrainingOptions) -> datasets.ImageDataset:
    """Load what the options name."""
    if options.dataset == "mnist":
        if options.data is None:
            raise BadInputError("mnist does not come with steepest: give its file, --data FILE.npz")
        return datasets.load_mnist(options.data)
    if options.data is not None:
        raise BadInputError("the digits come with steepest and take no --data; mnist does")
    return datasets.load_digits()


def prepare_folder(folder: Path) -> None:
    """Make the folder of the results; refuse one that cannot take them before the training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadInputError(f"{folder} cannot be a folder: there is a file of that name") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInputError(f"the folder {folder} cannot be written to")


def make_plan(options: TrainingOptions, example_count: int) -> TrainingPlan:
    """Fill in what the options leave open.

    Raises
    ------
    BadInputError
        When the batches would be larger than the data set.
    """
    defaults = DATASETS[options.dataset]
    batch_size = options.batch_size or min(defaults.batch_size, example_count)
    if isinstance(batch_size, str):
        batch_size = example_count
    if batch_size > example_count:
        raise BadInputError(
            f"a batch of {batch_size} cannot be drawn from {example_count} images",
            instead=f"--batch-size of {example_count} or less, or full",
        )
    epochs = defaults.epochs
    if batch_size == example_count:
        epochs = defaults.epochs_full
    elif batch_size == 1:
        epochs = defaults.epochs_single
    return TrainingPlan(
        hidden=defaults.hidden if options.hidden is None else options.hidden,
        batch_size=batch_size,
        step_size=options.step_size or _default_step_size(options, batch_size),
        epochs=options.epochs or epochs,
        folder=options.out or Path(f"steepest-{options.dataset}"),
    )


def _default_step_size(options: TrainingOptions, batch_size: int) -> float:
    """Scale a step size with the batch.

    The noise of a gradient falls with the square root of the batch size, and the step may grow
    with it (A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
    2014, section 5), until curvature and no longer noise limits it.
    """
    step_size = OPTIMIZERS[options.optimizer] * math.sqrt(min(batch_size, 256) / 32)
    # A hinge loss of ten classes has larger gradients, which Adam scales away.
    is_scaled = options.optimizer.startswith("adam")
    return step_size / 2 if options.loss == "hinge" and not is_scaled else step_size


def is_gradient_right(
    loss_fn: Callable[[Any, Any], Any], weights: Any, data: datasets.LabelledImages, seed: int
) -> bool:
    """Check the gradient on a few images, print a line a parameter, and say whether to go on."""
    batch = datasets.LabelledImages(data.images[:IMAGES_TO_CHECK], data.labels[:IMAGES_TO_CHECK])
    report = check_gradient(lambda weights: loss_fn(weights, batch), weights, seed=seed)
    print(f"\n{report}\n  on {len(batch.images)} of the images to train on", flush=True)
    if report.verdict == "wrong":
        print("the gradient is wrong: nothing was trained with it", file=sys.stderr)
    return report.verdict != "wrong"


def save_results(
    options: TrainingOptions,
    plan: TrainingPlan,
    dataset: datasets.ImageDataset,
    classifier: ImageClassifier,
    descent: Descent,
) -> None:
    """Test the classifier, print how well it does, and save it with its figure."""
    predictions: NDArray[np.int64] = classifier.scores(dataset.test.images).argmax(axis=1)
    labels = dataset.test.labels
    right = int(np.sum(predictions == labels))
    accuracy = f"{100 * right / len(labels):.1f} %"
    print(f"\ntest accuracy {accuracy} ({right:,} of {len(labels):,} images)\n")
    matrix = confusion_matrix(labels, predictions, len(dataset.classes))
    print(format_confusion_matrix(matrix, dataset.classes))
    model_path = plan.folder / "model.safetensors"
    classifier.save(
        model_path,
        {
            "dataset": dataset.name,
            "optimizer": options.optimizer,
            "step_size": plan.step_size,
            "batch_size": plan.batch_size,
            "epochs": plan.epochs,
            "steps": descent.steps,
            "seed": options.seed,
            "stopped": descent.stopped.code,
            "test_accuracy": right / len(labels),
            "test_images": len(labels),
            "steepest_version": installed_version(),
        },
    )
    figure = training_figure(
        descent,
        images=dataset.test.images,
        labels=labels,
        predictions=predictions,
        image_shape=dataset.image_shape,
        class_names=dataset.classes,
        first_layer=classifier.weights[0]["W"],
        title=f"{dataset.name}: {accuracy} of {len(labels):,} test images recognised",
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    figure_path = plan.folder / "figure.png"
    write_atomically(figure_path, picture.getvalue())
    print(f"\nsaved {model_path} and {figure_path}")
