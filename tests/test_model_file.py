"""Model files: what goes in comes out, and nothing else comes in."""

import itertools
import json
import os
import pickle
import stat
import struct
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from steepest.errors import BadInputError, FileFormatError
from steepest.model_file import load_model, save_model, write_atomically
from steepest.tree import with_arithmetic


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def assert_same(left, right):
    """Equal in containers, types, dtypes, shapes and every bit."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert list(left) == list(right)
        assert [type(key) for key in left] == [type(key) for key in right]
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            assert_same(a, b)
    elif isinstance(left, (np.ndarray, np.generic)):
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert left.tobytes() == right.tobytes()
    else:
        assert repr(left) == repr(right)


DTYPES = ["?", "i1", "<i2", ">i4", "<i8", "u1", "<u2", ">u4", "<u8", "<f2", "<f4", "<f8"]
DTYPES += [">f2", ">f4", ">f8", "<c8", ">c8", "<c16", ">c16"]

BASE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 3, 4)])
def test_every_dtype_and_shape(path, dtype, shape):
    array = np.arange(np.prod(shape), dtype="f8").reshape(shape).astype(dtype)
    weights = {"W": array, "scalar": array.dtype.type(1)}
    save_model(path, weights)
    loaded, _ = load_model(path)
    assert_same(loaded, weights)
    assert loaded["W"].dtype.str == array.dtype.str
    assert loaded["W"].flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        BASE.T,
        BASE[:, ::2, ::-1],
        np.asfortranarray(BASE),
        np.broadcast_to(np.float32(1.5), (3, 4)),
        BASE.transpose(1, 2, 0)[1:],
        np.frombuffer(b"\0" + np.arange(3.0).tobytes(), np.float64, offset=1),
        np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324]),
        (BASE + 1j * BASE[::-1]).T,
    ],
    ids=["T", "strided", "fortran", "broadcast", "moved", "unaligned", "special", "complex"],
)
def test_every_layout(path, array):
    save_model(path, array)
    loaded, _ = load_model(path)
    assert_same(loaded, np.array(array))


@pytest.mark.parametrize(
    "weights",
    [
        {},
        [],
        (),
        {"empty": [{}, (), []]},
        (1.5, [float("nan"), float("-inf"), -0.0, 1e-320], 0.1),
        [True, 3, 10**30, None, "words", 1 - 2j, complex("nan-infj")],
        [np.float32(2.5), np.float64(0.1), np.bool_(True), np.int8(-3)],
        {0: np.ones(1), "0": np.zeros(1), -1: 1.0},
        {"__metadata__": np.ones(2), "['__metadata__']": np.zeros(2)},
        {"a.b": np.ones(1), "a": {"b": np.zeros(1)}, "a[0]": 1.0, "": np.ones(1)},
        {"weights": np.ones(1), "ключ": np.ones(1), "\ud800\n\0": np.ones(1)},
        np.ones(3),
        2.5,
    ],
)
def test_every_container_and_leaf(path, weights):
    save_model(path, weights)
    loaded, metadata = load_model(path)
    assert_same(loaded, weights)
    assert metadata == {}


LEAVES = st.one_of(
    numpy_strategies.arrays(
        st.sampled_from(DTYPES), numpy_strategies.array_shapes(min_dims=0, min_side=0, max_side=3)
    ),
    st.floats(),
    st.integers(),
    st.text(),
    st.none(),
    st.booleans(),
)
TREES = st.recursive(
    LEAVES,
    lambda trees: st.one_of(
        st.lists(trees, max_size=3),
        st.lists(trees, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=5) | st.integers(), trees, max_size=3),
    ),
    max_leaves=8,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


@given(weights=TREES, metadata=st.dictionaries(st.text(), JSON, max_size=3))
def test_any_tree_comes_back(tmp_path_factory, weights, metadata):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    save_model(path, weights, metadata)
    loaded, loaded_metadata = load_model(path)
    assert_same(loaded, weights)
    assert loaded_metadata == metadata


def test_a_gradient_comes_back_as_plain_containers(path):
    weights = {"W": np.ones(2), "layers": [np.zeros(1), (1.0,)]}
    save_model(path, with_arithmetic(weights))
    assert_same(load_model(path)[0], weights)


def test_the_same_model_gives_the_same_bytes(path, tmp_path):
    weights = {name: np.full(3, index) for index, name in enumerate("zebra")}
    metadata = {"loss": "softmax", "accuracy": 0.5, "hidden": [128, 64]}
    other = tmp_path / "other"
    for _ in range(5):
        save_model(path, weights, metadata)
        save_model(other, weights, metadata)
        assert path.read_bytes() == other.read_bytes()


def test_any_reader_of_safetensors_finds_the_arrays_by_name(path):
    from safetensors.numpy import load_file

    save_model(path, {"layers": [{"W": BASE, "b": BASE[0, 0]}]})
    tensors = load_file(path)
    assert set(tensors) == {"layers[0].W", "layers[0].b"}
    np.testing.assert_array_equal(tensors["layers[0].W"], BASE)


class Point(NamedTuple):
    x: float
    y: float


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (Point(1.0, 2.0), "weights, a Point"),
        ({"a": OrderedDict(b=1.0)}, r"weights\['a'\], a OrderedDict"),
        ({(1, 2): 1.0}, r"the key \(1, 2\) of weights, a tuple"),
        ({True: 1.0}, "the key True of weights, a bool"),
        ({"a": object()}, "a, a object"),
        ({"a": {1.0, 2.0}}, "a, a set"),
        ({"a": b"bytes"}, "a, a bytes"),
        ([np.ma.masked_array([1.0], [True])], r"\[0\], a MaskedArray"),
        (np.array(["a"]), "weights, an array of dtype <U1"),
        (np.array([None]), "weights, an array of dtype object"),
        (np.zeros(2, "M8[s]"), "weights, an array of dtype datetime64"),
        (np.zeros(2, "f4,i2"), "weights, an array of dtype"),
    ],
)
def test_weights_that_a_file_cannot_hold(path, weights, message):
    with pytest.raises(BadInputError, match=f"a model file cannot hold {message}"):
        save_model(path, weights)
    assert not path.exists()


CIRCULAR: list = []
CIRCULAR.append(CIRCULAR)


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": object()},
        {"a": np.zeros(2)},
        {"a": {1: 2}},
        {1: 2},
        {"a": [({None: 1},)]},
        {"a": CIRCULAR},
    ],
    ids=["object", "array", "nested-key", "key", "deep-key", "circular"],
)
def test_metadata_that_a_file_cannot_hold(path, metadata):
    with pytest.raises(BadInputError, match="a model file cannot hold"):
        save_model(path, {}, metadata)
    assert not path.exists()


def test_tuples_in_metadata_become_lists(path):
    save_model(path, 1.0, {"hidden": (128, (64,))})
    assert load_model(path)[1] == {"hidden": [128, [64]]}


class TestWriting:
    """Whole or not at all."""

    def test_missing_folders_are_made(self, tmp_path):
        path = tmp_path / "a folder" / "ключ" / "model.safetensors"
        save_model(str(path), 1.0)
        assert load_model(str(path))[0] == 1.0
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]

    @pytest.mark.parametrize("place", ["os.fsync", "pathlib.Path.replace"])
    def test_a_failure_leaves_the_old_file_and_nothing_else(self, path, monkeypatch, place):
        save_model(path, 1.0)
        before = path.read_bytes()

        def fail(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(place, fail)
        with pytest.raises(OSError, match="No space left"):
            save_model(path, 2.0)
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]

    def test_an_interrupt_leaves_the_old_file_and_nothing_else(self, path, monkeypatch):
        save_model(path, 1.0)

        def interrupt(_):
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save_model(path, 2.0)
        assert load_model(path)[0] == 1.0
        assert list(path.parent.iterdir()) == [path]

    def test_the_content_is_on_disk_before_it_takes_the_place(self, path, monkeypatch):
        order = []

        def record(name, function):
            def recorded(*arguments):
                order.append(name)
                return function(*arguments)

            return recorded

        monkeypatch.setattr(os, "fsync", record("fsync", os.fsync))
        monkeypatch.setattr(type(path), "replace", record("replace", type(path).replace))
        write_atomically(path, b"content")
        assert order[:2] == ["fsync", "replace"]
        assert path.read_bytes() == b"content"

    @pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
    def test_permissions_are_those_of_any_new_file(self, path, tmp_path):
        (tmp_path / "plain").write_bytes(b"")
        write_atomically(path, b"")
        modes = [stat.S_IMODE(file.stat().st_mode) for file in (path, tmp_path / "plain")]
        assert modes[0] == modes[1]

    def test_a_link_is_followed(self, path, tmp_path):
        link = tmp_path / "latest"
        link.symlink_to(path)
        save_model(link, 1.0)
        assert link.is_symlink()
        assert load_model(path)[0] == 1.0

    def test_a_folder_in_the_way(self, tmp_path):
        with pytest.raises(OSError, match="directory"):
            save_model(tmp_path, 1.0)
        assert list(tmp_path.iterdir()) == []


def safetensors_bytes(header, data=b""):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return struct.pack("<Q", len(text)) + text + data


def steepest_bytes(entry, tensors=(), data=b""):
    """A valid safetensors file with this entry for steepest, and these (dtype, shape, size)."""
    header: dict[str, Any] = {
        "__metadata__": {"steepest": entry if isinstance(entry, str) else json.dumps(entry)}
    }
    end = 0
    for name, (dtype, shape, size) in dict(tensors).items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return safetensors_bytes(header, data.ljust(end, b"\0"))


def entry(weights, **changes):
    return {"version": 1, "weights": weights, "metadata": {}} | changes


TENSOR = {"tensor": "a", "kind": "array", "dtype": "<f4"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a model file"),
        (b"\0", "not a model file"),
        (b"words, not weights", "not a model file"),
        (pickle.dumps({"W": 1.0}), "not a model file"),
        (b"PK\x03\x04" + b"\0" * 60, "not a model file"),
        (struct.pack("<Q", 2**63) + b"{}", "not a model file"),
        (safetensors_bytes(b"[" * 10_000), "not a model file"),
        (
            safetensors_bytes(
                {"a": {"dtype": "F4", "shape": [1], "data_offsets": [0, 4]}}, b"1234"
            ),
            "not a model file",
        ),
        (
            safetensors_bytes(
                {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}, b"1234"
            ),
            "not a model file",
        ),
        (safetensors_bytes({}), "not one that steepest saved"),
        (
            safetensors_bytes(
                {"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"12"
            ),
            "not one that steepest saved",
        ),
        (safetensors_bytes({"__metadata__": {"format": "pt"}}), "not one that steepest saved"),
        (steepest_bytes(""), "not JSON"),
        (steepest_bytes("[" * 100_000), "not JSON"),
        (steepest_bytes("9" * 10_000), "not JSON"),
        (steepest_bytes([]), "does not say its version"),
        (steepest_bytes({}), "does not say its version"),
        (steepest_bytes(entry({"list": []}, version="1")), "does not say its version"),
        (steepest_bytes(entry({"list": []}, version=2)), "version 2 .* reads version 1"),
        (steepest_bytes(entry({"list": []}, metadata=[])), "no metadata"),
        (steepest_bytes(entry(None)), "does not say what its weights are"),
        (steepest_bytes(entry({"set": []})), "does not say what its weights are"),
        (steepest_bytes(entry({"value": []})), "does not say what its weights are"),
        (steepest_bytes(entry({"list": [[]]})), "does not say what its weights are"),
        (steepest_bytes(entry({"dict": {"a": 1}})), "does not say what its weights are"),
        (steepest_bytes(entry({"dict": [["a"]]})), "a dict that cannot be"),
        (steepest_bytes(entry({"dict": [[[], {"value": 1}]]})), "a dict that cannot be"),
        (steepest_bytes(entry({"dict": [["a", {"value": 1}]] * 2})), "a dict that cannot be"),
        (steepest_bytes(entry({"float": "import os"})), "'import os' is not a number"),
        (steepest_bytes(entry({"complex": ["1", "j"]})), "'j' is not a number"),
        (steepest_bytes(entry(TENSOR)), "the array 'a' is missing"),
        (steepest_bytes(entry({"list": [TENSOR] * 2}), {"a": ("F32", [1], 4)}), "'a' is missing"),
        (steepest_bytes(entry({"list": []}), {"a": ("F32", [1], 4)}), "nothing refers to .* 'a'"),
        (
            steepest_bytes(entry(TENSOR), {"a": ("F64", [1], 8)}),
            "float64 stands for one of float32",
        ),
        # NumPy knows this dtype where something has imported ml_dtypes.
        (steepest_bytes(entry(TENSOR), {"a": ("BF16", [1], 2)}), "is damaged"),
        (
            steepest_bytes(entry(TENSOR | {"kind": "scalar"}), {"a": ("F32", [1], 4)}),
            r"the scalar 'a' has shape \(1,\)",
        ),
        (
            steepest_bytes(entry(TENSOR | {"dtype": "<c8"}), {"a": ("F32", [3], 12)}),
            r"shape \(3,\) and dtype float32 stands for one of complex64",
        ),
        (
            steepest_bytes(entry(TENSOR | {"dtype": "<c8"}), {"a": ("F32", [], 4)}),
            "stands for one of complex64",
        ),
        (steepest_bytes(entry(TENSOR | {"dtype": "|O"}), {"a": ("F32", [1], 4)}), r"dtype '\|O'"),
    ],
    ids=itertools.count(),
)
def test_files_that_are_no_models(path, content, message):
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message) as error:
        load_model(path)
    assert str(path) in str(error.value).splitlines()[0]


@pytest.mark.parametrize("depth", [2_000, 20_000, 100_000])
def test_nesting_without_end(path, depth):
    outside = json.dumps(entry("inside"))
    inside = '{"list": [' * depth + "]}" * depth
    path.write_bytes(steepest_bytes(outside.replace('"inside"', inside)))
    with pytest.raises(FileFormatError, match="is damaged"):
        load_model(path)


def test_a_file_that_is_not_there(path):
    with pytest.raises(FileFormatError, match="there is no model file"):
        load_model(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be read: Is a directory"):
        load_model(tmp_path)


def test_a_file_where_a_folder_should_be(path):
    save_model(path, 1.0)
    with pytest.raises(FileFormatError, match="cannot be read: Not a directory"):
        load_model(path / "model.safetensors")


WEIGHTS = {"W": BASE, "b": [1.5, BASE[0] * 1j, (np.float32(2), None)]}


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_file_cut_short(path, share):
    save_model(path, WEIGHTS)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileFormatError, match="not a model file, or is damaged"):
        load_model(path)


@given(
    places=st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_damage_is_an_error_or_a_change_of_data(tmp_path_factory, places):
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    save_model(path, WEIGHTS, {"loss": "softmax"})
    content = bytearray(path.read_bytes())
    for place, value in places:
        content[place % len(content)] = value
    path.write_bytes(content)
    message = f"{path}: no error"
    try:
        load_model(path)
    except FileFormatError as error:
        message = str(error)
    assert str(path) in message.splitlines()[0]


def test_damage_hits_the_header(path):
    """The property above reaches the header and the data of its file."""
    save_model(path, WEIGHTS, {"loss": "softmax"})
    assert len(path.read_bytes()) < 2_000
