"""The UCI optical digits, which ship with the package (see ``digits_LICENSE.md``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from steepest.datasets.image_dataset import ImageDataset, flatten_images
from steepest.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["load_digits"]

_FILE = Path(__file__).with_name("digits.npz")
_BRIGHTEST = 16


def load_digits(test_fraction: float = 0.2, seed: int = 0) -> ImageDataset:
    """Load 1,797 hand-written digits of 8×8 pixels, split into images to train and to test on.

    The split is stratified (the classes have the same shares on both sides) and depends on `seed`
    alone: not on the version of NumPy, nor on any global random state.

    Parameters
    ----------
    test_fraction : float
        The share of the images held out, above 0 and below 1.
    seed : int
        Which images are held out; not negative.

    Returns
    -------
    ImageDataset

    Raises
    ------
    BadInputError
        When `test_fraction` leaves a class with no image on one side, or `seed` is no seed.

    Notes
    -----
    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998, https://doi.org/10.24432/C50P49, licence CC BY 4.0; the test part of
    that collection.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.train.images.shape, digits.test.images.shape
    ((1438, 64), (359, 64))
    >>> digits.image_shape, "".join(digits.classes)
    ((8, 8), '0123456789')
    """
    with np.load(_FILE, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    held_out = _stratified(labels, test_fraction, seed)
    return ImageDataset(
        name="digits",
        train=flatten_images(images[~held_out], labels[~held_out], _BRIGHTEST),
        test=flatten_images(images[held_out], labels[held_out], _BRIGHTEST),
        image_shape=(images.shape[1], images.shape[2]),
        classes=tuple("0123456789"),
    )


def _stratified(labels: NDArray[np.uint8], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Choose `fraction` of the examples, and of each class (rounded), by seed."""
    if not 0 < fraction < 1:
        raise BadInputError(
            f"test_fraction is {fraction}", instead="a number above 0 and below 1, such as 0.2"
        )
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise BadInputError(f"seed is {seed!r}", instead="a whole number from 0 on")
    # The raw stream of a bit generator never changes between versions of NumPy; shuffles may.
    order = np.argsort(np.random.PCG64(int(seed)).random_raw(len(labels)), kind="stable")
    sizes = np.bincount(labels)
    shares = fraction * sizes
    counts = shares.astype(np.int64)
    # The largest remainders round up, so that the total is right too.
    missing = round(fraction * len(labels)) - int(counts.sum())
    counts[np.argsort(counts - shares, kind="stable")[:missing]] += 1
    if np.any(counts == 0) or np.any(counts == sizes):
        raise BadInputError(
            f"test_fraction {fraction} leaves a class of {sizes.min()} to {sizes.max()} images"
            " with none on one side",
            instead="a fraction such as 0.2",
        )
    chosen = np.zeros(len(labels), np.bool_)
    for label, count in enumerate(counts):
        chosen[order[labels[order] == label][:count]] = True
    return chosen
