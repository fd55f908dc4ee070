"""MNIST, and data sets in its format, from a file."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.datasets.image_dataset import ImageDataset, flatten_images
from steepest.errors import FileFormatError

__all__ = ["load_mnist"]

AnyArray: TypeAlias = NDArray[Any]

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_BRIGHTEST = 255
_CLASSES = tuple("0123456789")
_ADVICE = (
    "an .npz file, as Keras distributes it, with x_train and x_test of shape (N, 28, 28), values"
    " 0 to 255, and y_train and y_test of shape (N,), values 0 to 9"
)


def load_mnist(path: str | os.PathLike[str]) -> ImageDataset:
    """Load MNIST, or a data set in its format (Fashion-MNIST, ...), from an ``.npz`` file.

    Parameters
    ----------
    path : path
        A file in the format that Keras distributes: ``x_train`` and ``x_test``, whole numbers 0 to
        255 of shape (N, rows, columns), ``y_train`` and ``y_test``, whole numbers 0 to 9 of shape
        (N,).

    Returns
    -------
    ImageDataset

    Raises
    ------
    FileFormatError
        When the file is missing, damaged or of another kind, or an array is missing or has another
        dtype, shape or range of values. Pickled content is refused, never loaded.

    Notes
    -----
    Source: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits".
    """
    arrays = _read(Path(path))
    for part in ("train", "test"):
        _check(path, arrays, part)
    images, test_images = arrays["x_train"], arrays["x_test"]
    if images.shape[1:] != test_images.shape[1:]:
        raise FileFormatError(
            f"{path} has images of {_by(images.shape[1:])} pixels in x_train and of"
            f" {_by(test_images.shape[1:])} in x_test"
        )
    return ImageDataset(
        name="mnist",
        train=flatten_images(images, arrays["y_train"], _BRIGHTEST),
        test=flatten_images(test_images, arrays["y_test"], _BRIGHTEST),
        image_shape=(images.shape[1], images.shape[2]),
        classes=_CLASSES,
    )


def _read(path: Path) -> dict[str, AnyArray]:
    """Read the four arrays, whatever they are."""
    if not path.exists():
        raise FileFormatError(f"there is no file {path}", instead=_ADVICE)
    if not zipfile.is_zipfile(path):
        raise FileFormatError(f"{path} is not an .npz file", instead=_ADVICE)
    try:
        # NumPy leaves a damaged file open when it opened it itself.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            names = sorted(file.files)
            arrays = {key: file[key] for key in _KEYS if key in names}
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        MemoryError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        # What NumPy and zipfile raise of a damaged file, a pickle, or a compression they lack.
        raise FileFormatError(f"{path} cannot be read: {error}", instead=_ADVICE) from error
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise FileFormatError(
            f"{path} has no {' and no '.join(missing)}; it has {', '.join(names) or 'no arrays'}",
            instead=_ADVICE,
        )
    return arrays


def _check(path: str | os.PathLike[str], arrays: dict[str, AnyArray], part: str) -> None:
    """Refuse images and labels that are not what they should be."""
    images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
    problem = None
    if images.dtype.kind not in "iu":
        problem = f"x_{part} has dtype {images.dtype}, not whole numbers"
    elif images.ndim != 3 or images.size == 0:
        problem = f"x_{part} has shape {images.shape}, not (N, rows, columns)"
    elif images.min() < 0 or images.max() > _BRIGHTEST:
        problem = f"x_{part} has values from {images.min()} to {images.max()}, not 0 to 255"
    elif labels.dtype.kind not in "iu":
        problem = f"y_{part} has dtype {labels.dtype}, not whole numbers"
    elif labels.shape != images.shape[:1]:
        problem = f"y_{part} has shape {labels.shape} for {len(images)} images"
    elif labels.min() < 0 or labels.max() >= len(_CLASSES):
        problem = f"y_{part} has values from {labels.min()} to {labels.max()}, not 0 to 9"
    if problem:
        raise FileFormatError(f"in {path}, {problem}", instead=_ADVICE)


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
