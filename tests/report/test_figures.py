"""Figures: what is drawn, for runs of every kind, with no display and no global state."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from steepest.errors import BadInputError
from steepest.report import loss_figure, training_figure

VERMILION = (0xD5 / 255, 0x5E / 255, 0x00 / 255, 1.0)


def make_run(
    losses: Any, validation: Any = (), steps_per_epoch: int | None = None
) -> SimpleNamespace:
    """Stand in for the result of a descent."""
    return SimpleNamespace(
        losses=np.array(losses, np.float64),
        validation_losses=np.array(validation, np.float64),
        validation_steps=(np.arange(len(validation)) + 1) * (steps_per_epoch or 1),
        steps_per_epoch=steps_per_epoch,
        seconds=1.5,
    )


def save(figure: Any) -> bytes:
    """Draw a figure to the end."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=30)
    return file.getvalue()


def draw(
    wrong: int, images: int, neurons: int, shape: tuple[int, int] = (3, 4), run: Any = None
) -> Any:
    """Draw a training figure of so many images, of which so many are wrong."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=images)
    predictions = labels.copy()
    predictions[images - wrong :] = (predictions[images - wrong :] + 1) % 3
    pixels = shape[0] * shape[1]
    return training_figure(
        run or make_run(np.linspace(1, 0.5, 6), [0.9, 0.7, 0.6], 2),
        images=rng.random((images, pixels), np.float32),
        labels=labels,
        predictions=predictions,
        image_shape=shape,
        class_names=["ant", "bee", "cow"],
        first_layer=rng.standard_normal((pixels, neurons)),
        title="three animals",
    )


def pictures(axes: Any) -> list[Any]:
    """Get the pictures in a set of axes, as arrays."""
    return [np.asarray(image.get_array()) for image in axes.images]


@pytest.mark.parametrize(
    ("run", "x_label", "lines"),
    [
        (make_run([3.0, 2.0, 1.0]), "step", ["training"]),
        (make_run([3.0, 2.0, 1.0], steps_per_epoch=1), "epoch", ["training"]),
        (make_run([3.0, 2.0], [2.5, 2.4], 1), "epoch", ["training", "validation"]),
        (
            make_run(np.ones(7), [1.0, 1.0, 1.0], 2),
            "epoch",
            ["training, each step", "training, mean of an epoch", "validation"],
        ),
        (make_run([1.0], [1.0], 1), "epoch", ["training", "validation"]),
        (make_run([]), "step", ["training"]),
        (make_run([], [], 4), "epoch", ["training, each step", "training, mean of an epoch"]),
        (make_run([np.nan, np.inf]), "step", ["training"]),
    ],
)
def test_loss_figure_of_any_run(run: Any, x_label: str, lines: list[str]) -> None:
    figure = loss_figure(run)
    (axes,) = figure.axes
    assert axes.get_xlabel() == x_label
    assert axes.get_ylabel().startswith("loss")
    assert [line.get_label() for line in axes.lines] == lines
    assert save(figure).startswith(b"\x89PNG")


def test_losses_stand_at_their_epochs() -> None:
    run = make_run([1.0, 3.0, 5.0, 7.0, 9.0], [10.0, 20.0], 2)
    run.validation_steps = np.array([2, 5])
    axes = loss_figure(run).axes[0]
    steps, means, validation = (line.get_xydata() for line in axes.lines)
    np.testing.assert_array_equal(steps, [[0.5, 1], [1, 3], [1.5, 5], [2, 7], [2.5, 9]])
    np.testing.assert_array_equal(means, [[0.5, 2], [1.5, 6]])
    np.testing.assert_array_equal(validation, [[1, 10], [2.5, 20]])


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([1.0, 0.5], "linear"),
        ([1.0, 0.01], "log"),
        ([1.0, np.inf, 0.01], "log"),
        ([1.0, 0.0], "linear"),
        ([1.0, -1.0], "linear"),
    ],
)
def test_the_axis_is_logarithmic_where_losses_allow_it(losses: Any, scale: str) -> None:
    axes = loss_figure(make_run(losses)).axes[0]
    assert axes.get_yscale() == scale
    assert axes.get_ylabel() == ("loss (logarithmic)" if scale == "log" else "loss")


@pytest.mark.parametrize(
    ("wrong", "images", "crosses", "shown"),
    [
        (0, 50, 0, 32),
        (3, 50, 3, 32),
        (30, 100, 16, 32),
        (50, 60, 22, 32),
        (50, 50, 32, 32),
        (2, 5, 2, 5),
        (0, 1, 0, 1),
    ],
)
def test_wrong_images_come_first_and_are_marked(
    wrong: int, images: int, crosses: int, shown: int
) -> None:
    figure = draw(wrong, images, neurons=5)
    axes = figure.axes[1]
    assert len(axes.images) == len(axes.patches) == shown
    titles = [text.get_text() for text in axes.texts]
    assert [title.startswith("✗") for title in titles] == [True] * crosses + [False] * (
        shown - crosses
    )
    for title, frame in zip(titles, axes.patches, strict=True):
        assert np.allclose(frame.get_edgecolor(), VERMILION) == title.startswith("✗")
    assert f"{wrong} of {images} wrong" in axes.get_title()
    assert save(figure).startswith(b"\x89PNG")


def test_images_are_shown_as_they_are_with_prediction_and_truth() -> None:
    images = np.arange(24.0).reshape(2, 12)
    figure = training_figure(
        make_run([1.0, 0.5]),
        images=images,
        labels=np.array([0, 1]),
        predictions=np.array([0, 2]),
        image_shape=(3, 4),
        class_names=["ant", "bee", "cow"],
        first_layer=np.stack([np.arange(12.0), np.ones(12)], axis=1),
    )
    test, weights = figure.axes[1:3]
    assert [text.get_text() for text in test.texts] == ["✗ cow (bee)", "ant"]
    wrong, right = pictures(test)
    np.testing.assert_array_equal(wrong, images[1].reshape(3, 4))
    np.testing.assert_array_equal(right, images[0].reshape(3, 4))
    first, second = pictures(weights)
    np.testing.assert_array_equal(first, np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(second, np.ones((3, 4)))
    assert {image.get_clim() for image in weights.images} == {(-11.0, 11.0)}


@pytest.mark.parametrize("neurons", [1, 16, 17, 64, 200])
def test_up_to_64_neurons_are_drawn(neurons: int) -> None:
    figure = draw(0, 1, neurons)
    assert len(figure.axes[2].images) == min(neurons, 64)
    assert save(figure).startswith(b"\x89PNG")


def test_no_picture_covers_another() -> None:
    figure = draw(20, 100, 64)
    for axes in figure.axes[1:3]:
        left, right, bottom, top = np.array([image.get_extent() for image in axes.images]).T
        apart = (
            (left[:, np.newaxis] >= right)
            | (right[:, np.newaxis] <= left)
            | (top[:, np.newaxis] >= bottom)
            | (bottom[:, np.newaxis] <= top)
        )
        np.testing.assert_array_equal(apart, ~np.eye(len(left), dtype=bool))
        assert axes.get_xlim()[0] <= left.min()
        assert axes.get_xlim()[1] >= right.max()
        assert axes.get_ylim()[1] <= top.min()
        assert axes.get_ylim()[0] >= bottom.max()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_shape": (2, 2)}, "do not fit 2 x 2 pixels"),
        ({"images": np.ones((2, 3, 4))}, r"images of shape \(2, 3, 4\)"),
        ({"first_layer": np.ones((5, 2))}, r"first layer of shape \(5, 2\)"),
        ({"labels": np.zeros(3, int)}, r"labels of shape \(3,\)"),
        ({"predictions": np.zeros((2, 1), int)}, r"predictions of shape \(2, 1\)"),
    ],
)
def test_training_figure_refuses(changed: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "images": np.ones((2, 12)),
        "labels": np.zeros(2, int),
        "predictions": np.zeros(2, int),
        "image_shape": (3, 4),
        "class_names": ["ant"],
        "first_layer": np.ones((12, 2)),
    }
    with pytest.raises(BadInputError, match=message):
        training_figure(make_run([1.0]), **arguments | changed)


def test_figures_leave_pyplot_alone(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from types import SimpleNamespace\n"
        "import steepest.report\n"
        "assert 'matplotlib' not in sys.modules, 'imported before it is needed'\n"
        "run = SimpleNamespace(losses=np.ones(3), steps_per_epoch=1, seconds=1.0,\n"
        "    validation_losses=np.ones(3), validation_steps=np.arange(3))\n"
        "steepest.report.loss_figure(run).savefig(sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    target = tmp_path / "loss.png"
    subprocess.run([sys.executable, "-c", code, str(target)], check=True)
    assert target.read_bytes().startswith(b"\x89PNG")
