"""Files in the format of MNIST, good, bad and hostile."""

import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steepest.datasets import load_mnist
from steepest.errors import FileFormatError


def make_arrays():
    generator = np.random.default_rng(0)
    return {
        "x_train": generator.integers(0, 256, (30, 5, 4), dtype=np.uint8),
        "y_train": generator.integers(0, 10, 30, dtype=np.uint8),
        "x_test": generator.integers(0, 256, (7, 5, 4), dtype=np.uint8),
        "y_test": generator.integers(0, 10, 7, dtype=np.uint8),
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mnist.npz"


def first_line(error):
    return str(error.value).splitlines()[0]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, ">i4"])
@pytest.mark.parametrize("convert", [str, lambda path: path])
def test_what_a_good_file_gives(path, save, dtype, convert):
    arrays = make_arrays()
    save(path, **{name: array.astype(dtype) for name, array in arrays.items()}, more=np.zeros(3))
    mnist = load_mnist(convert(path))
    assert mnist.name == "mnist"
    assert mnist.image_shape == (5, 4)
    assert mnist.classes == tuple("0123456789")
    for part, name in ((mnist.train, "train"), (mnist.test, "test")):
        assert part.images.dtype == np.float32
        assert part.labels.dtype == np.int64
        expected = arrays[f"x_{name}"].reshape(-1, 20)
        np.testing.assert_allclose(part.images, expected / 255, rtol=1e-6)
        np.testing.assert_array_equal(part.labels, arrays[f"y_{name}"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": None}, "has no x_train; it has x_test, y_test, y_train"),
        ({"y_train": None, "y_test": None}, "has no y_train and no y_test"),
        ({"x_train": np.zeros((30, 20), np.uint8)}, r"x_train has shape \(30, 20\)"),
        ({"x_test": np.zeros((0, 5, 4), np.uint8)}, r"x_test has shape \(0, 5, 4\)"),
        ({"x_test": np.zeros((7, 5, 5), np.uint8)}, "5×4 pixels in x_train and of 5×5 in x_test"),
        ({"x_train": np.zeros((30, 5, 4))}, "x_train has dtype float64, not whole numbers"),
        ({"x_train": np.full((30, 5, 4), 256)}, "x_train has values from 256 to 256, not 0 to 255"),
        ({"x_train": np.full((30, 5, 4), -1)}, "x_train has values from -1 to -1"),
        ({"y_test": np.zeros(6, int)}, r"y_test has shape \(6,\) for 7 images"),
        ({"y_test": np.zeros((7, 10), int)}, r"y_test has shape \(7, 10\)"),
        ({"y_test": np.full(7, 10)}, "y_test has values from 10 to 10, not 0 to 9"),
        ({"y_test": np.array(["1"] * 7)}, "y_test has dtype <U1"),
        ({"y_test": np.zeros(7, bool)}, "y_test has dtype bool"),
        ({"x_train": np.array(3)}, r"x_train has shape \(\)"),
    ],
)
def test_arrays_that_are_not_mnist(path, changes, message):
    arrays = {key: value for key, value in (make_arrays() | changes).items() if value is not None}
    np.savez(path, **arrays)
    with pytest.raises(FileFormatError, match=message) as error:
        load_mnist(path)
    assert str(path) in first_line(error)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"not an archive", pickle.dumps({"x_train": 1}), b"PK\x05\x06" + b"\0" * 18],
)
def test_files_that_are_no_npz(path, content):
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as error:
        load_mnist(path)
    assert str(path) in first_line(error)


def test_a_file_that_is_not_there(path):
    with pytest.raises(FileFormatError, match="there is no file"):
        load_mnist(path)


def test_a_folder(tmp_path):
    with pytest.raises(FileFormatError, match="is not an"):
        load_mnist(tmp_path)


def test_an_npy_file(tmp_path):
    np.save(tmp_path / "mnist.npy", np.zeros(3))
    with pytest.raises(FileFormatError, match="is not an"):
        load_mnist(tmp_path / "mnist.npy")


class Hostile:
    """Unpickling this creates the file `proof`."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return open, (str(self.proof), "w")


def test_a_pickle_is_refused_and_not_run(path, tmp_path):
    proof = tmp_path / "proof"
    arrays = make_arrays() | {"y_test": np.array([Hostile(proof)] * 7, dtype=object)}
    np.savez(path, **arrays)
    with pytest.raises(FileFormatError, match="cannot be read"):
        load_mnist(path)
    assert not proof.exists()


def test_a_header_that_claims_more_memory_than_there_is(path):
    np.savez(path, **make_arrays())
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }" % 2**62
    npy = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in (content | {"x_test.npy": npy}).items():
            file.writestr(name, data)
    with pytest.raises(FileFormatError, match="cannot be read"):
        load_mnist(path)


def test_a_damaged_archive_is_closed(path):
    """A file left open is a ResourceWarning when the error is gone, and so an error here."""
    np.savez(path, **make_arrays())
    content = path.read_bytes()
    path.write_bytes(content.replace(b"PK\x01\x02", b"PK\x01\xff"))
    with pytest.raises(FileFormatError, match="cannot be read"):
        load_mnist(path)


@given(data=st.data(), compressed=st.booleans())
def test_damage_is_an_error_or_harmless(tmp_path_factory, data, compressed):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    (np.savez_compressed if compressed else np.savez)(path, **make_arrays())
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    for place in data.draw(st.lists(st.integers(0, max(0, len(content) - 1)), max_size=4)):
        if content:
            content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    message = f"{path}: no error"
    try:
        load_mnist(path)
    except FileFormatError as error:
        message = str(error)
    assert str(path) in message.splitlines()[0]
