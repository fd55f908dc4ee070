"""``steepest predict``: what it prints, what it takes, and what it refuses."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steepest import nn
from steepest.cli.classifier import ImageClassifier
from steepest.cli.prediction import read_array
from steepest.errors import FileFormatError
from steepest.model_file import load_model, save_model

SHAPE, PIXELS, BRIGHTEST = (2, 3), 6, 10
CLASSES = ("ant", "bee", "cow", "dog")


def make_classifier(**changes: Any) -> ImageClassifier:
    """Make a network of random weights for images of 2 x 3 pixels."""
    settings: dict[str, Any] = {
        "weights": nn.initialise_network((PIXELS, 5, len(CLASSES)), 0, "tanh"),
        "activation": "tanh",
        "loss": "softmax",
        "image_shape": SHAPE,
        "brightest": BRIGHTEST,
        "classes": CLASSES,
    }
    return ImageClassifier(**settings | changes)


@pytest.fixture
def images(tmp_path: Path) -> Any:
    """Make a model, and images for it, as whole numbers."""
    make_classifier().save(tmp_path / "model", {"seed": 0})
    make_classifier(loss="hinge").save(tmp_path / "hinge", {})
    return np.random.default_rng(0).integers(BRIGHTEST + 1, size=(7, *SHAPE), dtype=np.uint8)


def expected_scores(images: Any) -> Any:
    """Score images by the network alone."""
    x = images.reshape(-1, PIXELS).astype(np.float32) / np.float32(BRIGHTEST)
    return nn.network_logits(make_classifier().weights, x, "tanh")


def test_a_line_an_image_with_class_and_probability(run: Any, images: Any) -> None:
    np.save("images.npy", images)
    outcome = run("predict", "model", "images.npy")
    probabilities = nn.softmax(expected_scores(images))
    expected = [f"{CLASSES[row.argmax()]}\t{row.max():.4f}" for row in probabilities]
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines() == expected
    assert len({line.split("\t")[0] for line in expected}) > 1


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a test are its own."""
    monkeypatch.chdir(tmp_path)


def test_json(run: Any, images: Any) -> None:
    np.save("images.npy", images)
    lines = [
        json.loads(line)
        for line in run("predict", "model", "images.npy", "--json").out.splitlines()
    ]
    probabilities = nn.softmax(expected_scores(images))
    assert [line["class"] for line in lines] == [CLASSES[row.argmax()] for row in probabilities]
    np.testing.assert_allclose([line["probability"] for line in lines], probabilities.max(axis=1))


def test_a_hinge_model_has_margins(run: Any, images: Any) -> None:
    np.save("images.npy", images)
    scores = np.sort(expected_scores(images), axis=1)
    lines = [
        json.loads(line)
        for line in run("predict", "hinge", "images.npy", "--json").out.splitlines()
    ]
    np.testing.assert_allclose([line["margin"] for line in lines], scores[:, -1] - scores[:, -2])
    plain = run("predict", "hinge", "images.npy").out.splitlines()
    assert plain == [f"{line['class']}\t{line['margin']:.4f}" for line in lines]


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images.reshape(7, PIXELS),
        lambda images: images.astype(np.int64),
        lambda images: images.astype(">u2"),
        np.asfortranarray,
        lambda images: images.astype(np.float32) / np.float32(BRIGHTEST),
        lambda images: images.astype(np.float64) / BRIGHTEST,
    ],
    ids=["flat", "int64", "big-endian", "columns first", "float32", "float64"],
)
def test_images_mean_the_same_in_every_form(run: Any, images: Any, change: Any) -> None:
    np.save("images.npy", images)
    np.save("changed.npy", change(images))
    expected = run("predict", "model", "images.npy")
    assert expected.out.count("\n") == 7
    assert run("predict", "model", "changed.npy") == expected


@pytest.mark.parametrize("shape", [SHAPE, (PIXELS,)])
def test_one_image(run: Any, images: Any, shape: tuple[int, ...]) -> None:
    np.save("images.npy", images)
    np.save("one.npy", images[3].reshape(shape))
    assert (
        run("predict", "model", "one.npy").out
        == (run("predict", "model", "images.npy").out.splitlines(keepends=True)[3])
    )


def test_no_images(run: Any, images: Any) -> None:
    np.save("none.npy", images[:0])
    assert run("predict", "model", "none.npy") == (0, "", "")


def test_boolean_images_are_black_and_white(run: Any, images: Any) -> None:
    black_and_white = images > BRIGHTEST // 2
    np.save("bool.npy", black_and_white)
    np.save("float.npy", black_and_white.astype(np.float32))
    assert run("predict", "model", "bool.npy") == run("predict", "model", "float.npy")


def test_many_images_are_scored_in_parts() -> None:
    x = np.random.default_rng(1).random((9000, PIXELS), np.float32)
    classifier = make_classifier()
    np.testing.assert_allclose(
        classifier.scores(x), nn.network_logits(classifier.weights, x, "tanh"), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("arrays", "options", "chosen"),
    [
        (["only"], [], "only"),
        (["labels", "images"], [], "images"),
        (["x_train", "x_test"], [], "x_test"),
        (["x_test", "images"], [], "images"),
        (["first", "second"], ["--array", "second"], "second"),
    ],
)
def test_arrays_of_an_npz_file(
    run: Any, images: Any, arrays: list[str], options: list[str], chosen: str
) -> None:
    np.save("images.npy", images)
    np.savez("images.npz", **{name: images if name == chosen else images[:0] for name in arrays})
    assert run("predict", "model", "images.npz", *options) == run("predict", "model", "images.npy")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((7, 3, 2)), ["(7, 3, 2)", "2 x 3"]),
        (np.zeros((7, 5)), ["(7, 5)"]),
        (np.zeros((7, 2, 3, 1)), ["(7, 2, 3, 1)"]),
        (np.zeros(()), ["()"]),
        (np.zeros(7), ["(7,)"]),
        (np.full((1, PIXELS), BRIGHTEST + 1), ["from 11 to 11", "0 to 10"]),
        (np.full((1, PIXELS), -1), ["from -1 to -1"]),
        (np.full((1, PIXELS), 1.5), ["from 1.5 to 1.5", "divided by 10"]),
        (np.full((1, PIXELS), np.nan), ["nan"]),
        (np.full((1, PIXELS), np.inf), ["inf"]),
        (np.full((1, PIXELS), "a"), ["dtype <U1"]),
        (np.full((1, PIXELS), 1j), ["dtype complex128"]),
    ],
)
@pytest.mark.usefixtures("images")
def test_what_is_no_image_is_one_line(refuse: Any, array: Any, words: list[str]) -> None:
    np.save("array.npy", array)
    message = refuse("predict", "model", "array.npy")
    for word in words:
        assert word in message


def test_files_that_are_no_arrays_are_one_line(refuse: Any, images: Any, tmp_path: Path) -> None:
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    np.savez("two.npz", a=images, b=images)
    np.savez("none.npz")
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "empty.npy").write_bytes(b"")
    for data, words in {
        "objects.npy": "Python objects",
        "text.npy": "neither an .npy nor an .npz file",
        "empty.npy": "neither an .npy nor an .npz file",
        "model": "neither an .npy nor an .npz file",
        "two.npz": "a, b",
        "none.npz": "no",
        "nowhere.npy": "there is no file nowhere.npy",
        ".": "is a folder",
    }.items():
        assert words in refuse("predict", "model", data), data
    assert "has no array c; it has a, b" in refuse("predict", "model", "two.npz", "--array", "c")


@pytest.mark.usefixtures("images")
def test_pickles_are_never_loaded(refuse: Any, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    np.save("trap.npy", np.array([Trap()], object), allow_pickle=True)
    np.savez("trap.npz", images=np.array([Trap()], object))
    refuse("predict", "model", "trap.npy")
    refuse("predict", "model", "trap.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["images.npy", "images.npz", "packed.npz"])
def test_damaged_files_are_refused(images: Any, tmp_path: Path, name: str) -> None:
    np.save("images.npy", images)
    np.savez("images.npz", images=images)
    np.savez_compressed("packed.npz", images=images)
    whole = (tmp_path / name).read_bytes()
    path = tmp_path / f"damaged.{name[-3:]}"
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            read_array(path)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for position in rng.integers(len(whole), size=int(rng.integers(1, 4))):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        # A changed pixel cannot be seen; what is seen must be that error and no other.
        with contextlib.suppress(FileFormatError):
            assert isinstance(read_array(path), np.ndarray)


def test_a_classifier_comes_back_from_its_file(tmp_path: Path) -> None:
    classifier = make_classifier()
    classifier.save(tmp_path / "model", {"seed": 3, "test_accuracy": 0.5})
    loaded = ImageClassifier.load(tmp_path / "model")
    for saved_layer, layer in zip(classifier.weights, loaded.weights, strict=True):
        for name in ("W", "b"):
            np.testing.assert_array_equal(saved_layer[name], layer[name])
    assert loaded.activation == "tanh"
    assert loaded.loss == "softmax"
    assert loaded.image_shape == SHAPE
    assert loaded.brightest == BRIGHTEST
    assert loaded.classes == CLASSES
    _, metadata = load_model(tmp_path / "model")
    assert metadata["layer_sizes"] == [PIXELS, 5, len(CLASSES)]
    assert metadata["preprocessing"] == {"divide_by": BRIGHTEST}
    assert (metadata["seed"], metadata["test_accuracy"]) == (3, 0.5)


WEIGHTS = make_classifier().weights
METADATA: dict[str, Any] = {
    "kind": "image classifier",
    "activation": "tanh",
    "loss": "softmax",
    "image_shape": list(SHAPE),
    "preprocessing": {"divide_by": BRIGHTEST},
    "classes": list(CLASSES),
}


@pytest.mark.parametrize(
    ("weights", "changes"),
    [
        (WEIGHTS, {"kind": "language model"}),
        (WEIGHTS, {"activation": "swish"}),
        (WEIGHTS, {"activation": 3}),
        (WEIGHTS, {"loss": "l1"}),
        (WEIGHTS, {"image_shape": [2, 4]}),
        (WEIGHTS, {"image_shape": [6]}),
        (WEIGHTS, {"image_shape": "2x3"}),
        (WEIGHTS, {"preprocessing": {"divide_by": 0}}),
        (WEIGHTS, {"preprocessing": {}}),
        (WEIGHTS, {"classes": ["ant"]}),
        (WEIGHTS, {"classes": "abcd"}),
        ([], {}),
        (np.zeros((PIXELS, 4)), {}),
        ({"W": np.zeros((PIXELS, 4)), "b": np.zeros(4)}, {}),
        ([{"W": np.zeros((PIXELS, 4))}], {}),
        ([{"W": np.zeros((PIXELS, 4)), "b": 0.0}], {}),
        ([{"W": np.zeros((PIXELS, 4)), "b": np.zeros(3)}], {}),
        ([{"W": np.zeros(PIXELS), "b": np.zeros(())}], {}),
        ([{"W": np.zeros((PIXELS, 4), int), "b": np.zeros(4)}], {}),
        ([{"W": np.zeros((PIXELS, 4), complex), "b": np.zeros(4, complex)}], {}),
        ([{"W": np.zeros((5, 4)), "b": np.zeros(4)}], {}),
        (
            [
                {"W": np.zeros((PIXELS, 5)), "b": np.zeros(5)},
                {"W": np.zeros((3, 4)), "b": np.zeros(4)},
            ],
            {},
        ),
    ],
)
def test_models_that_are_no_classifier_are_one_line(
    refuse: Any, images: Any, weights: Any, changes: dict[str, Any]
) -> None:
    np.save("images.npy", images)
    save_model("other", weights, METADATA | changes)
    assert refuse("predict", "other", "images.npy").startswith("steepest: error: other ")


def test_model_files_that_are_none_are_one_line(refuse: Any, images: Any, tmp_path: Path) -> None:
    np.save("images.npy", images)
    (tmp_path / "short").write_bytes((tmp_path / "model").read_bytes()[:-10])
    for model in ("nowhere", "images.npy", "short", "."):
        assert model in refuse("predict", model, "images.npy")
