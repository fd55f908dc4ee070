"""``steepest train``: from the data to the model and the figure."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steepest import datasets, nn
from steepest.check import check_gradient
from steepest.cli import training
from steepest.cli.training import TrainingOptions, make_plan
from steepest.descend import StopReason, descend
from steepest.model_file import load_model

QUICK = ("--hidden", "16", "--epochs", "2", "--no-check")


def test_digits_from_the_check_to_the_figure(run: Any, tmp_path: Path) -> None:
    outcome = run("train", "digits", "--hidden", "24,16", "--epochs", "20", "--out", "a folder")
    assert outcome.status == 0, outcome
    check, table, saved = (
        outcome.out.index(words) for words in ("gradient check", "true   predicted", "saved")
    )
    assert check < outcome.out.index("test accuracy") < table < saved
    for name in ("[0].W", "[0].b", "[1].W", "[1].b", "[2].W", "[2].b"):
        (line,) = re.findall(rf"^.*{re.escape(name)} .*$", outcome.out, re.MULTILINE)
        assert "correct" in line
    assert max(map(len, outcome.out[table:saved].splitlines())) <= 80
    folder = tmp_path / "a folder"
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")

    weights, metadata = load_model(folder / "model.safetensors")
    test = datasets.load_digits().test
    predictions = nn.network_logits(weights, test.images, "relu").argmax(axis=1)
    right = int(np.sum(predictions == test.labels))
    assert metadata["test_accuracy"] == right / len(test.labels)
    assert f"({right} of {len(test.labels)} images)" in outcome.out
    assert right / len(test.labels) > 0.9
    expected = {
        "dataset": "digits",
        "layer_sizes": [64, 24, 16, 10],
        "activation": "relu",
        "loss": "softmax",
        "image_shape": [8, 8],
        "preprocessing": {"divide_by": 16},
        "optimizer": "adam",
        "batch_size": 32,
        "epochs": 20,
        "steps": 900,
        "seed": 0,
        "test_images": 359,
        "classes": list("0123456789"),
    }
    assert metadata | expected == metadata
    assert isinstance(metadata["steepest_version"], str)

    np.save("test.npy", test.images)
    printed = run("predict", "a folder/model.safetensors", "test.npy").out.splitlines()
    assert [int(line.split("\t")[0]) for line in printed] == predictions.tolist()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_defaults_recognise_the_digits(run: Any, seed: int) -> None:
    outcome = run("train", "digits", "--no-check", "--seed", seed)
    assert outcome.status == 0
    _, metadata = load_model("steepest-digits/model.safetensors")
    assert metadata["test_accuracy"] >= (0.97 if seed == 0 else 0.96)


def test_a_seed_means_the_same_model(run: Any, tmp_path: Path) -> None:
    def train(folder: str, *options: object) -> bytes:
        assert run("train", "digits", *QUICK, "--out", folder, *options).status == 0
        return (tmp_path / folder / "model.safetensors").read_bytes()

    first = train("first")
    assert train("second") == first
    assert train("other seed", "--seed", 1) != first


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam", "adamw"])
def test_every_loss_with_every_optimizer_learns(run: Any, loss: str, optimizer: str) -> None:
    run("train", "digits", *QUICK, "--epochs", 8, "--loss", loss, "--optimizer", optimizer)
    _, metadata = load_model("steepest-digits/model.safetensors")
    assert (metadata["loss"], metadata["optimizer"]) == (loss, optimizer)
    assert metadata["test_accuracy"] > 0.75


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "sigmoid"])
def test_every_activation_is_checked_and_learns(run: Any, activation: str) -> None:
    outcome = run("train", "digits", "--hidden", 8, "--epochs", 15, "--activation", activation)
    assert "wrong" not in outcome.out[: outcome.out.index("test accuracy")]
    _, metadata = load_model("steepest-digits/model.safetensors")
    assert metadata["activation"] == activation
    assert metadata["test_accuracy"] > 0.5


@pytest.mark.parametrize(
    ("batch_size", "epochs", "steps", "stored"),
    [("full", 3, 3, 1438), ("1", 1, 1438, 1), ("500", 2, 6, 500), ("1438", 2, 2, 1438)],
)
def test_batch_sizes(run: Any, batch_size: str, epochs: int, steps: int, stored: int) -> None:
    outcome = run("train", "digits", *QUICK, "--batch-size", batch_size, "--epochs", epochs)
    assert outcome.status == 0
    _, metadata = load_model("steepest-digits/model.safetensors")
    assert (metadata["steps"], metadata["batch_size"]) == (steps, stored)


def test_softmax_regression_has_no_hidden_layer(run: Any) -> None:
    assert run("train", "digits", *QUICK, "--hidden", "none").status == 0
    weights, metadata = load_model("steepest-digits/model.safetensors")
    assert metadata["layer_sizes"] == [64, 10]
    assert len(weights) == 1


def test_mnist_from_a_file(run: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    patterns = rng.integers(256, size=(10, 5, 6), dtype=np.uint8)

    def make(count: int) -> tuple[Any, Any]:
        labels = rng.integers(10, size=count)
        return patterns[labels] // 2 + rng.integers(100, size=(count, 5, 6), dtype=np.uint8), labels

    x_train, y_train = make(400)
    x_test, y_test = make(100)
    np.savez(tmp_path / "small.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    outcome = run("train", "mnist", "--data", "small.npz", "--hidden", 16, "--batch-size", 4)
    assert outcome.status == 0, outcome
    _, metadata = load_model("steepest-mnist/model.safetensors")
    assert metadata["image_shape"] == [5, 6]
    assert metadata["test_accuracy"] > 0.5
    printed = run("predict", "steepest-mnist/model.safetensors", "small.npz").out.splitlines()
    right = sum(int(line[0]) == label for line, label in zip(printed, y_test, strict=True))
    assert right / 100 == metadata["test_accuracy"]


def test_a_wrong_gradient_is_not_trained_with(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_another(f: Any, x: Any, **settings: Any) -> Any:
        return check_gradient(f, x, lambda _: nn.initialise_network((64, 16, 10), 0), **settings)

    monkeypatch.setattr(training, "check_gradient", check_another)
    outcome = run("train", "digits", "--hidden", 16)
    assert outcome.status == 1
    assert "the gradient is wrong" in outcome.err
    assert "wrong" in outcome.out
    assert "test accuracy" not in outcome.out
    assert not list(Path("steepest-digits").iterdir())


def test_a_loss_that_explodes_is_not_saved(run: Any) -> None:
    outcome = run("train", "digits", *QUICK, "--optimizer", "sgd", "--step-size", 1e30)
    assert outcome.status == 1
    assert "--step-size" in outcome.err
    assert not list(Path("steepest-digits").iterdir())


def test_ctrl_c_saves_what_was_reached(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **settings: Any) -> Any:
        reason = StopReason("interrupted", "Ctrl-C after 90 steps")
        return dataclasses.replace(descend(*arguments, **settings), stopped=reason)

    monkeypatch.setattr(training, "descend", interrupted)
    outcome = run("train", "digits", *QUICK)
    assert outcome.status == 130
    assert "Ctrl-C after 90 steps" in outcome.out
    _, metadata = load_model("steepest-digits/model.safetensors")
    assert metadata["stopped"] == "interrupted"
    assert Path("steepest-digits/figure.png").exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"hidden": (128, 64), "batch_size": 32, "step_size": 0.001, "epochs": 60}),
        ({"dataset": "mnist"}, {"hidden": (128,), "batch_size": 256, "epochs": 10}),
        ({"dataset": "mnist", "optimizer": "sgd"}, {"step_size": 0.2 * 8**0.5}),
        ({"optimizer": "sgd", "loss": "hinge"}, {"step_size": 0.1}),
        ({"optimizer": "adamw", "loss": "hinge"}, {"step_size": 0.001}),
        ({"batch_size": "full"}, {"batch_size": 1000, "epochs": 300}),
        ({"batch_size": 1}, {"batch_size": 1, "epochs": 10}),
        ({"batch_size": 1, "epochs": 7, "step_size": 0.5}, {"epochs": 7, "step_size": 0.5}),
        ({"hidden": ()}, {"hidden": ()}),
        ({"out": Path("x")}, {"folder": Path("x")}),
        ({"dataset": "mnist"}, {"folder": Path("steepest-mnist")}),
    ],
)
def test_what_the_options_leave_open(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    plan = make_plan(TrainingOptions(**{"dataset": "digits"} | changes), 1000)
    for name, value in expected.items():
        is_number = isinstance(value, float)
        assert getattr(plan, name) == (pytest.approx(value) if is_number else value)


def test_a_data_set_smaller_than_a_batch_is_one_batch() -> None:
    assert make_plan(TrainingOptions("mnist"), 100).batch_size == 100
