"""``steepest predict``: what images show, by a trained model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.cli.classifier import ImageClassifier
from steepest.errors import FileFormatError
from steepest.nn.layers import softmax

__all__ = ["predict_file"]

# In this order, where an .npz file holds several arrays and none was named.
USUAL_NAMES = ("images", "x_test")
# What .npy and .npz (zip) files start with. NumPy would take anything else for a pickle.
MAGIC = (b"\x93NUMPY", b"PK")


def predict_file(model: Path, data: Path, array: str | None, *, as_json: bool) -> int:
    """Print the class of each image in a file, and how sure the model is, a line an image.

    Returns
    -------
    int
        The exit status.
    """
    classifier = ImageClassifier.load(model)
    scores = classifier.scores(classifier.prepare(read_array(data, array)))
    if classifier.loss == "softmax":
        measure, values = "probability", softmax(scores).max(axis=1)
    else:
        best = np.sort(scores, axis=1)[:, -2:]
        measure, values = "margin", best[:, -1] - best[:, 0]
    for label, value in zip(scores.argmax(axis=1), values.tolist(), strict=True):
        name = classifier.classes[label]
        if as_json:
            print(json.dumps({"class": name, measure: value}))
        else:
            print(f"{name}\t{value:.4f}")
    return 0


def read_array(path: Path, name: str | None = None) -> NDArray[Any]:
    """Read an array from an .npy or .npz file, which is never unpickled.

    Raises
    ------
    FileFormatError
        When the file is missing, damaged or of another kind, or it is not clear which array to
        take.
    """
    if path.is_dir() or not path.exists():
        raise FileFormatError(
            f"{path} is a folder" if path.is_dir() else f"there is no file {path}",
            instead="give an .npy or .npz file of images",
        )
    try:
        return _read(path, name)
    except FileFormatError:
        raise
    except Exception as error:
        # Of damaged files NumPy, zipfile, zlib and tokenize raise what they please.
        what = "it holds Python objects" if "allow_pickle" in str(error) else str(error)
        raise FileFormatError(f"{path} cannot be read: {what}") from error


def _read(path: Path, name: str | None) -> NDArray[Any]:
    with path.open("rb") as file:
        if not file.read(6).startswith(MAGIC):
            raise FileFormatError(f"{path} is neither an .npy nor an .npz file")
        file.seek(0)
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        return np.asarray(content[_choose_array(path, content.files, name)])


def _choose_array(path: Path, names: list[str], name: str | None) -> str:
    if name is None:
        usual = [usual for usual in USUAL_NAMES if usual in names]
        chosen = names[:1] if len(names) == 1 else usual[:1]
        if not chosen:
            raise FileFormatError(
                f"{path} holds the arrays {', '.join(names) or '(none)'}, of which none is called"
                f" {' or '.join(USUAL_NAMES)}",
                instead="name the array of images with --array",
            )
        return chosen[0]
    if name not in names:
        raise FileFormatError(f"{path} has no array {name}; it has {', '.join(names) or 'none'}")
    return name
