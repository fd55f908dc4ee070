"""Fingerprints tell whether an array was written into."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from steepest.fingerprint import fingerprint, may_be_written


@given(
    hnp.arrays(
        st.sampled_from(["f8", ">f8", "f2", "f4", "i1", "?", "c16", "U3", "M8[s]"]).map(np.dtype),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    st.data(),
)
def test_equal_arrays_have_one_fingerprint_and_a_write_changes_it(
    array: Any, data: st.DataObject
) -> None:
    before = fingerprint(array)
    assert fingerprint(array.copy()) == before
    if array.size:
        position = data.draw(st.integers(0, array.size - 1))
        raw = array.copy().reshape(-1)
        raw[position : position + 1].view(np.uint8)[0] ^= 1
        assert fingerprint(raw.reshape(array.shape)) != before
    assert fingerprint(array) == before


@pytest.mark.parametrize("dtype", [np.longdouble, np.dtype(np.longdouble).newbyteorder()])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_any_precision_and_byte_order_has_a_fingerprint(dtype: Any, shape: Any) -> None:
    ones, zeros = np.ones(shape, dtype), np.zeros(shape, dtype)
    assert fingerprint(ones) == fingerprint(ones.copy())
    assert (fingerprint(ones) == fingerprint(zeros)) is (ones.size == 0)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2],
        lambda a: a.T,
        lambda a: a[::-1],
        lambda a: a[:, 1],
        lambda a: np.broadcast_to(a[0, 0], (3, 3)),
        lambda a: np.asfortranarray(a),
    ],
)
def test_memory_layout_does_not_matter(view: Any) -> None:
    array = np.arange(16.0).reshape(4, 4)
    assert fingerprint(view(array)) == fingerprint(np.ascontiguousarray(view(array)))


def test_the_sign_of_zero_counts() -> None:
    assert fingerprint(np.array([0.0])) != fingerprint(np.array([-0.0]))


def test_objects_are_told_apart_by_identity() -> None:
    objects = np.array([{}, None])
    before = fingerprint(objects)
    assert fingerprint(objects.copy()) == before
    objects[0] = {}
    assert fingerprint(objects) != before


def test_who_may_write(tmp_path: Path) -> None:
    array = np.ones(4)
    assert may_be_written(array)
    view = array[1:]
    view.flags.writeable = False
    assert may_be_written(view), "its base is writeable"
    array.flags.writeable = False
    assert not may_be_written(array)
    assert not may_be_written(view)
    assert not may_be_written(np.frombuffer(b"12345678"))
    assert may_be_written(np.frombuffer(bytearray(8)))
    np.save(tmp_path / "a.npy", np.ones(4))
    assert may_be_written(np.load(tmp_path / "a.npy", mmap_mode="r")), "by another process"
