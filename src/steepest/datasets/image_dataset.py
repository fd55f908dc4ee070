"""What every loader of images returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ImageDataset", "LabelledImages", "flatten_images"]


class LabelledImages(NamedTuple):
    """Images and what they show; a pytree, so that it is the `data` of `descend` as it stands.

    Attributes
    ----------
    images : float32 array, (N, pixels)
        One image a row, each pixel from 0 (background) to 1 (ink).
    labels : int64 array, (N,)
        The index of each image's class in `ImageDataset.classes`.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ImageDataset:
    """Images to learn from, and others to test what was learnt.

    Attributes
    ----------
    name : str
        As in the options of the command line.
    train, test : LabelledImages
    image_shape : (int, int)
        Rows and columns: ``test.images[0].reshape(image_shape)`` is an image.
    classes : tuple of str
        What each label means.
    """

    name: str
    train: LabelledImages
    test: LabelledImages
    image_shape: tuple[int, int]
    classes: tuple[str, ...]


def flatten_images(
    images: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]], brightest: int
) -> LabelledImages:
    """Turn (N, rows, columns) whole-number images into rows of pixels between 0 and 1.

    Parameters
    ----------
    brightest : int
        The value that becomes 1.
    """
    pixels = images.reshape(len(images), -1).astype(np.float32) / np.float32(brightest)
    return LabelledImages(pixels, labels.astype(np.int64))
