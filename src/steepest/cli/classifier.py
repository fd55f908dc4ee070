"""A trained image classifier, and the model file that it is kept in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.errors import BadInputError, FileFormatError
from steepest.model_file import load_model, save_model
from steepest.nn.network import ACTIVATIONS, network_logits

__all__ = ["ImageClassifier"]

KIND = "image classifier"
IMAGES_AT_ONCE = 4096


@dataclass(frozen=True)
class ImageClassifier:
    """A network of dense layers and what it takes to apply it.

    Attributes
    ----------
    weights : list of dict
        As `steepest.nn.initialise_network` makes it.
    activation : str
    loss : str
        "softmax" or "hinge": what the scores were trained for.
    image_shape : (rows, columns)
    brightest : int
        The value of a whole-number pixel that becomes 1.
    classes : tuple of str
        What each output means.
    """

    weights: list[dict[str, NDArray[np.float32]]]
    activation: str
    loss: str
    image_shape: tuple[int, int]
    brightest: int
    classes: tuple[str, ...]

    @property
    def layer_sizes(self) -> list[int]:
        """Numbers of neurons from the inputs to the outputs."""
        return [len(self.weights[0]["W"]), *(len(layer["b"]) for layer in self.weights)]

    def scores(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score images of shape (N, pixels), from 0 to 1, for each class: shape (N, classes)."""
        parts = [
            network_logits(self.weights, images[start : start + IMAGES_AT_ONCE], self.activation)
            for start in range(0, len(images), IMAGES_AT_ONCE)
        ]
        return np.concatenate([np.zeros((0, len(self.classes)), np.float32), *parts])

    def prepare(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Turn images as they are stored into rows of pixels from 0 to 1.

        Raises
        ------
        BadInputError
            When the shape is not that of images for this classifier, or pixels are out of range.
        """
        rows, columns = self.image_shape
        pixels = rows * columns
        if images.shape[1:] not in ((pixels,), self.image_shape):
            if images.shape not in ((pixels,), self.image_shape):
                raise BadInputError(
                    f"images of {rows} x {columns} pixels cannot be of shape {images.shape}",
                    instead=f"give shape (images, {rows}, {columns}) or (images, {pixels})",
                )
            images = images[np.newaxis]
        if images.dtype.kind not in "buif":
            raise BadInputError(f"an array of dtype {images.dtype} holds no pixels")
        flat = images.reshape(len(images), pixels)
        whole = images.dtype.kind in "ui"
        limit = self.brightest if whole else 1
        # Written so that NaN is refused too.
        if flat.size and not (flat.min() >= 0 and flat.max() <= limit):
            raise BadInputError(
                f"pixels from {flat.min()} to {flat.max()}: this model takes"
                f" {'whole numbers' if whole else 'fractions'} from 0 to {limit}",
                instead="scale them as the training images were: whole numbers from 0 to"
                f" {self.brightest}, or those divided by {self.brightest}",
            )
        prepared = flat.astype(np.float32)
        return prepared / np.float32(self.brightest) if whole else prepared

    def save(self, path: Path, history: dict[str, Any]) -> None:
        """Save the classifier and how it came about to a model file."""
        metadata = {
            "kind": KIND,
            "layer_sizes": self.layer_sizes,
            "activation": self.activation,
            "loss": self.loss,
            "image_shape": list(self.image_shape),
            "preprocessing": {"divide_by": self.brightest},
            "classes": list(self.classes),
        }
        save_model(path, self.weights, metadata | history)

    @classmethod
    def load(cls, path: Path) -> ImageClassifier:
        """Load a classifier that `save` saved.

        Raises
        ------
        FileFormatError
            When the file is missing, damaged, or holds something else.
        """
        weights, metadata = load_model(path)
        match metadata:
            case {
                "kind": "image classifier",
                "activation": str() as activation,
                "loss": "softmax" | "hinge" as loss,
                "image_shape": [int() as rows, int() as columns],
                "preprocessing": {"divide_by": int() as brightest},
                "classes": [*classes],
            } if activation in ACTIVATIONS and brightest > 0:
                pass
            case _:
                raise FileFormatError(
                    f"{path} holds no image classifier",
                    instead="give a model that `steepest train` saved",
                )
        sizes = _read_sizes(weights)
        if not sizes or sizes[0] != rows * columns or sizes[-1] != len(classes):
            raise FileFormatError(
                f"{path} is damaged: its weights do not fit {rows} x {columns} pixels and"
                f" {len(classes)} classes"
            )
        names = tuple(str(name) for name in classes)
        return cls(weights, activation, loss, (rows, columns), brightest, names)


def _read_sizes(weights: Any) -> list[int]:
    """Get the layer sizes of a network, or nothing when it is none."""
    sizes: list[int] = []
    for layer in weights if isinstance(weights, list) else ():
        match layer:
            case {"W": np.ndarray() as matrix, "b": np.ndarray() as bias}:
                shapes_fit = matrix.ndim == 2 and bias.shape == matrix.shape[1:]
                if not shapes_fit or {matrix.dtype.kind, bias.dtype.kind} != {"f"}:
                    return []
                if sizes and sizes[-1] != len(matrix):
                    return []
                sizes += [*([] if sizes else [len(matrix)]), matrix.shape[1]]
            case _:
                return []
    return sizes
