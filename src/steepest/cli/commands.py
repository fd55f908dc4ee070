"""The commands, their options and their help."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from steepest.cli.checking import check_file
from steepest.cli.prediction import predict_file
from steepest.cli.training import DATASETS, LOSSES, OPTIMIZERS, TrainingOptions, train_classifier
from steepest.cli.version import installed_version
from steepest.nn.network import ACTIVATIONS

__all__ = ["steepest"]


def read_sizes(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Read "128,64" as (128, 64), and "none" as ()."""
    if value is None:
        return None
    if value == "none":
        return ()
    parts = value.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{value!r} is neither sizes such as 128,64 nor none")
    return tuple(map(int, parts))


def read_batch_size(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> int | str | None:
    """Read "32" as 32, and leave "full" as it is."""
    if value is None or value == "full":
        return value
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither a number of images nor full")
    return int(value)


def read_positive_number(
    _context: click.Context, _parameter: click.Parameter, value: float | None
) -> float | None:
    """Refuse zero, negative numbers, infinity and NaN."""
    if value is not None and not 0 < value < math.inf:
        raise click.BadParameter(f"{value} is not a positive number")
    return value


def examples(*commands: str) -> str:
    """Write the examples below a command's help, where the first line has Click keep the others."""
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
    epilog=examples(
        "steepest train digits",
        "steepest predict steepest-digits/model.safetensors images.npy",
        "steepest check model.py:loss_fn",
    ),
)
@click.version_option(installed_version(), message="%(prog)s %(version)s")
@click.pass_context
def steepest(context: click.Context) -> None:
    """Train, apply and check models whose loss is written in NumPy."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@steepest.command(
    epilog=examples(
        "steepest train digits",
        "steepest train digits --batch-size full --optimizer momentum",
        "steepest train mnist --data mnist.npz --hidden 256,128 --loss hinge",
    )
)
@click.argument("dataset", type=click.Choice(list(DATASETS)))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="MNIST, or a data set in its format: x_train, y_train, x_test, y_test. The digits come"
    " with the package.",
)
@click.option(
    "--hidden",
    callback=read_sizes,
    metavar="SIZES",
    help="Neurons of the hidden layers; none for softmax regression.  [default: 128,64 for digits,"
    " 128 for mnist]",
)
@click.option(
    "--activation",
    type=click.Choice(list(ACTIVATIONS)),
    default="relu",
    show_default=True,
    help="What stands behind each hidden layer.",
)
@click.option(
    "--loss",
    type=click.Choice(list(LOSSES)),
    default="softmax",
    show_default=True,
    help="Softmax cross-entropy, or the multiclass hinge loss of Weston and Watkins.",
)
@click.option(
    "--batch-size",
    callback=read_batch_size,
    metavar="N|full|1",
    help="Images behind each step: a mini-batch, all of them (gradient descent), or one (SGD)."
    "  [default: 32 for digits, 256 for mnist]",
)
@click.option(
    "--step-size",
    type=float,
    callback=read_positive_number,
    metavar="NUMBER",
    help="Length of a step, in units of the gradient.  [default: fits optimizer, loss and batch"
    " size]",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Passes through the data.  [default: 60 for digits, 10 for mnist; more for full batches,"
    " fewer for single images]",
)
@click.option(
    "--optimizer",
    type=click.Choice(list(OPTIMIZERS)),
    default="adam",
    show_default=True,
    help="How a gradient becomes a step.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Decides the initial weights and the order of the images.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for model.safetensors and figure.png, which are replaced."
    "  [default: steepest-digits or steepest-mnist]",
)
@click.option("--no-check", is_flag=True, help="Leave the gradient check out.")
def train(no_check: bool, **options: Any) -> int:
    """Train a classifier of hand-written digits and save it.

    The gradient is checked against a numerical one first. Ctrl-C ends the training early and saves
    what was reached.
    """
    return train_classifier(TrainingOptions(check=not no_check, **options))


@steepest.command(
    epilog=examples(
        "steepest predict steepest-digits/model.safetensors images.npy",
        "steepest predict steepest-mnist/model.safetensors mnist.npz --array x_test | head",
    )
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--array",
    metavar="NAME",
    help="Which array of an .npz file holds the images.  [default: the only one, images or x_test]",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def predict(model: Path, data: Path, array: str | None, as_json: bool) -> int:
    """Say what images show: a class and its probability a line.

    MODEL is a file that `steepest train` saved. DATA is an .npy or .npz file of images, an array
    of shape (images, rows, columns) or (images, pixels), or one image; whole numbers as in the
    training data, or numbers from 0 to 1. A model trained with the hinge loss has no
    probabilities: its margin, the lead of the best score over the second, is printed instead.
    """
    return predict_file(model, data, array, as_json=as_json)


@steepest.command(
    epilog=examples(
        "steepest check model.py:loss_fn",
        "steepest check model.py:loss_fn --gradient my_gradient --weights start --data batch",
        "steepest check model.py:loss_fn --seconds 10 --json report.json",
    )
)
@click.argument("target", metavar="FILE.py:FUNCTION")
@click.option(
    "--weights",
    default="weights",
    show_default=True,
    metavar="NAME",
    help="Where to check: an array or dicts, lists and tuples of arrays, in FILE.py.",
)
@click.option(
    "--data",
    metavar="NAME",
    help="The second argument of the function, in FILE.py.  [default: data, if the function takes"
    " two]",
)
@click.option(
    "--gradient",
    metavar="NAME",
    help="A function of the same arguments, in FILE.py, whose gradient is to be checked."
    "  [default: steepest's own]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Decides the directions in which large parameters are sampled.",
)
@click.option(
    "--seconds",
    type=float,
    callback=read_positive_number,
    metavar="NUMBER",
    help="Most time; what is not decided by then is undecided.",
)
@click.option(
    "--evaluations",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most calls of the function, likewise.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.999,
    show_default=True,
    metavar="PROBABILITY",
    help="How often what is said of the gradient must hold.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="NUMBER",
    help="Accepted relative error, for a function that is itself approximate.  [default: none]",
)
@click.option(
    "--json",
    "json_file",
    metavar="FILE|-",
    help="Write the report as JSON too; - prints it in place of the report.",
)
def check(
    target: str,
    weights: str,
    data: str | None,
    gradient: str | None,
    json_file: str | None,
    **options: Any,
) -> int:
    """Check a gradient against a numerical one.

    FILE.py is run (it is your code), and must define the function, loss_fn(weights) or
    loss_fn(weights, data), and what it is called with. The exit status is 0 when the gradient is
    right, 1 when it is wrong, 2 when nothing could be checked, and 3 when it could not be decided:
    at a kink, or with a function that is noisy.

    If the weights are tensors of PyTorch or arrays of JAX, their derivatives are checked. A module
    of PyTorch needs no weights; the data are its inputs.
    """
    return check_file(target, weights, data, gradient, json_file, **options)
