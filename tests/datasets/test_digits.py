"""The digits that ship with the package."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steepest.datasets import load_digits
from steepest.errors import BadInputError

# Counts of each digit, as the collection's own description states them for its test part.
COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
SUM_OF_PIXELS = 561718


def test_what_it_holds():
    digits = load_digits()
    assert digits.name == "digits"
    assert digits.image_shape == (8, 8)
    assert digits.classes == tuple("0123456789")
    for part in (digits.train, digits.test):
        assert part.images.dtype == np.float32
        assert part.labels.dtype == np.int64
        assert part.images.shape == (len(part.labels), 64)
        assert part.images.min() == 0
        assert part.images.max() == 1
        assert part.images.flags.writeable


def test_all_images_are_there_unchanged():
    digits = load_digits()
    images = 16 * np.concatenate([digits.train.images, digits.test.images])
    labels = np.concatenate([digits.train.labels, digits.test.labels])
    assert images.shape == (1797, 64)
    np.testing.assert_array_equal(np.bincount(labels), COUNTS)
    np.testing.assert_array_equal(images, np.round(images))
    assert images.sum(dtype=float) == SUM_OF_PIXELS


def test_the_first_image_is_the_zero_it_is():
    digits = load_digits()
    zero = "..5d91.. ..dfaf5. .3f2.b8. .4c..88. .58..98. .4b.1c7. .2e5ac.. ..6da..."
    pixels = [0 if sign == "." else int(sign, 17) for sign in zero.replace(" ", "")]
    images = np.concatenate([digits.train.images, digits.test.images])
    assert (images * 16 == pixels).all(axis=1).sum() == 1


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.2, 0.5, 1 / 3, 0.99])
@pytest.mark.parametrize("seed", [0, 1, np.int64(7), 2**70])
def test_the_split_is_stratified(fraction, seed):
    digits = load_digits(fraction, seed)
    assert len(digits.test.labels) == round(fraction * 1797)
    assert len(digits.train.labels) + len(digits.test.labels) == 1797
    shares = np.bincount(digits.test.labels) - fraction * np.array(COUNTS)
    assert np.abs(shares).max() < 1


@given(fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**64))
def test_every_image_is_on_one_side(fraction, seed):
    digits = load_digits(fraction, seed)
    total = digits.train.images.sum(dtype=float) + digits.test.images.sum(dtype=float)
    assert total * 16 == SUM_OF_PIXELS
    labels = np.concatenate([digits.train.labels, digits.test.labels])
    np.testing.assert_array_equal(np.bincount(labels), COUNTS)


def test_the_split_depends_on_the_seed_alone():
    first, again, other = load_digits(), load_digits(), load_digits(seed=1)
    np.testing.assert_array_equal(first.test.images, again.test.images)
    assert not np.array_equal(first.test.images, other.test.images)


def test_the_default_split_never_changes():
    digits = load_digits()
    assert "".join(map(str, digits.test.labels[:20])) == "23135015080336969874"
    assert digits.test.images.sum(dtype=float) * 16 == 112174


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), float("inf"), 0.001, 0.999])
def test_a_fraction_that_leaves_a_side_empty(fraction):
    with pytest.raises(BadInputError, match="test_fraction"):
        load_digits(fraction)


@pytest.mark.parametrize("seed", [-1, 1.5, None, "0", True])
def test_what_is_no_seed(seed):
    with pytest.raises(BadInputError, match="seed"):
        load_digits(seed=seed)
