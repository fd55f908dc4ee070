"""Batches that products read where their rows lie in the data, or gather on their way."""

from __future__ import annotations

import ctypes
import itertools
import mmap
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.engines.native.test_products import HOST, every_processor

import steepest as sd
from steepest.descend import native_steps
from steepest.engines.native import loop, products
from steepest.engines.native.assembly import Module
from steepest.engines.native.gathering import read_by_products
from steepest.engines.native.loading import load
from steepest.engines.native.object_code import machine_code
from steepest.engines.native.partition import piece_of
from steepest.engines.native.processor import Processor
from steepest.engines.native.products import (
    Product,
    can_list,
    product_function,
)

# Rows of a batch, entries of a row, and columns of the other matrix.
SHAPES = [
    (256, 784, 128),
    (250, 784, 100),
    (7, 300, 64),
    (2, 1000, 96),
    (33, 65, 130),
    (600, 70, 200),
    (64, 129, 50),
]


EPSILON = {"f": 2.0**-23, "d": 2.0**-52}
KINDS: dict[str, dict[str, Any]] = {
    "rows": {"listed": "rows"},
    "inner": {"listed": "inner"},
    "copied": {"listed": "rows", "copies": True},
}


def product_of(shape: tuple[int, int, int], element: str, kind: str = "") -> Product:
    """Describe the product of a batch and a matrix, or that of the transposed batch and another."""
    rows, width, columns = shape
    product = Product(rows, columns, width, element, (width, 1), (columns, 1), columns)
    if kind == "inner":
        product = replace(product, rows=width, inner=rows, left_strides=(1, width))
    return replace(product, **KINDS.get(kind, {}))


def compiled(products: list[Product], target: Processor) -> list[Any]:
    module = Module(target)
    names = [product_function(module, each, target, linkage="") for each in products]
    loaded = load(machine_code(str(module), target), {})
    functions = []
    for product, name in zip(products, names, strict=True):
        count = 3 + bool(product.listed) + product.copies
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * count)
        functions.append((kind(loaded.address(name)), loaded))
    return functions


@pytest.fixture(scope="module")
def at_the_end() -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """Copy a list to where what follows it must not be read."""
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    room = 4 * mmap.PAGESIZE
    memory = mmap.mmap(-1, room + mmap.PAGESIZE)
    start = np.frombuffer(memory, np.uint8).ctypes.data

    def copied(numbers: np.ndarray) -> np.ndarray:
        place = room - numbers.nbytes
        found = np.frombuffer(memory, np.int64, len(numbers), place)
        found[:] = numbers
        return found

    assert not protect(ctypes.c_void_p(start + room), mmap.PAGESIZE, 0)
    yield copied
    protect(ctypes.c_void_p(start + room), mmap.PAGESIZE, mmap.PROT_READ)


@every_processor
@pytest.mark.parametrize("element", ["float", "double"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_product_with_a_list(
    target: Processor, element: str, kind: str, at_the_end: Callable[[np.ndarray], np.ndarray]
) -> None:
    dtype = np.dtype({"float": "f4", "double": "f8"}[element])
    shapes = [each for each in SHAPES if can_list(product_of(each, element, kind), target)]
    assert shapes
    products = [product_of(each, element, kind) for each in shapes]
    rng = np.random.default_rng(0)
    for shape, product, (on_its_way, _) in zip(
        shapes, products, compiled(products, target), strict=True
    ):
        data = rng.normal(size=(2 * shape[0] + 3, shape[1])).astype(dtype)
        numbers = rng.integers(0, len(data), shape[0])  # with repetitions
        numbers[-1] = len(data) - 1
        batch = data[numbers]
        left = batch.T if kind == "inner" else batch
        right = rng.normal(size=(product.inner, product.columns)).astype(dtype)
        result = np.full((product.rows, product.columns), np.nan, dtype)
        # What lies behind the copy stays as it was.
        copy = np.full((shape[0] + 1, shape[1]), 7, dtype)
        arguments = [data, right, result, at_the_end(numbers), *([copy] if product.copies else [])]
        on_its_way(*(each.ctypes.data for each in arguments))
        exact = np.abs(left).astype("f8") @ np.abs(right).astype("f8")
        error = np.abs(result - left.astype("f8") @ right.astype("f8"))
        assert np.all(error <= 24 * EPSILON[dtype.char] * exact), product
        if product.copies:
            assert copy[:-1].tobytes() == batch.tobytes(), product
            assert np.all(copy[-1] == 7)


@pytest.mark.parametrize(
    ("kind", "axis", "size"),
    [
        ("rows", "rows", 84),
        ("rows", "columns", 64),
        ("inner", "rows", 280),
        ("inner", "columns", 32),
        ("copied", "rows", 84),
    ],
)
def test_pieces_of_a_product_with_a_list(
    kind: str, axis: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_BLAS_FROM", {})
    whole = product_of((256, 784, 128), "float", kind)
    # The sizes are whole tiles where vectors have 16 entries and tiles 14 or 6 rows.
    target = HOST if HOST.vector_bits == 512 else replace(HOST, name="generic")
    extent = whole.rows if axis == "rows" else whole.columns
    pieces = [piece_of(whole, axis, each) for each in (size, extent % size or size)]
    functions = compiled([whole, *pieces], target)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(400, 784)).astype("f4")
    right = rng.normal(size=(whole.inner, whole.columns)).astype("f4")
    numbers = rng.permutation(400)[:256]
    results = [np.full((whole.rows, whole.columns), np.nan, "f4") for _ in range(2)]
    copies = [np.full((256, 784), np.nan, "f4") for _ in range(2)]

    def call(function: Any, which: int, start: int) -> None:
        row, column = (start, 0) if axis == "rows" else (0, start)
        listed = row if whole.listed == "rows" else 0
        function(
            data.ctypes.data + (4 * row if kind == "inner" else 0),
            right.ctypes.data + 4 * column,
            results[which].ctypes.data + 4 * (row * whole.columns + column),
            numbers.ctypes.data + 8 * listed,
            *([copies[which].ctypes.data + 4 * 784 * row] if whole.copies else []),
        )

    call(functions[0][0], 0, 0)
    for start in range(0, extent, size):
        call(functions[1 if start + size <= extent else 2][0], 1, start)
    np.testing.assert_array_equal(results[0], results[1])
    if whole.copies:
        for each in copies:
            np.testing.assert_array_equal(each, data[numbers])


def train(
    data: np.ndarray, sizes: tuple[int, ...], loss_of: Any = None, **options: Any
) -> sd.Descent:
    rng = np.random.default_rng(0)
    labels, dtype = rng.integers(0, sizes[-1], len(data)), data.dtype.newbyteorder("=")
    weights = [
        (rng.normal(size=(m, n)).astype(dtype) / m**0.5, np.zeros(n, dtype))
        for m, n in itertools.pairwise(sizes)
    ]

    def loss(weights: Any, batch: Any) -> Any:
        layer, targets = batch
        if loss_of is not None:
            layer = loss_of(layer)
        for matrix, offset in weights[:-1]:
            layer = np.tanh(layer @ matrix + offset)
        matrix, offset = weights[-1]
        return sd.nn.softmax_cross_entropy(layer @ matrix + offset, targets)

    chosen: dict[str, Any] = {"batch_size": 64, "steps": 15, "step_size": 0.05, **options}
    return sd.descend(loss, weights, (data, labels), seed=3, progress=False, **chosen)


def leaves(result: sd.Descent) -> list[np.ndarray]:
    return [*(leaf for layer in result.weights for leaf in layer), result.losses]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the products that read the data, of each kind of batch."""
    counts: list[int] = []

    def counted(*arguments: Any) -> Any:
        result = read_by_products(*arguments)
        counts.append(len(result))
        return result

    monkeypatch.setattr(loop, "read_by_products", counted)
    # The code of an earlier run of the same loss would be taken.
    monkeypatch.setattr(
        native_steps,
        "NativeLoop",
        lambda *arguments, **options: loop.NativeLoop(*arguments[:5], **options),
    )
    return counts


def some_rows(dtype: str = "f4", width: int = 200) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(300, width)).astype(dtype)


def expected(rows: int, dtype: str) -> int:
    """Say how many products read the data: both where both can, or one that copies."""
    element = {"f4": "float", "f8": "double"}[dtype]
    able = {kind for kind in KINDS if can_list(product_of((rows, 200, 128), element, kind), HOST)}
    return 2 if {"rows", "inner"} <= able and HOST.asks_ahead else int("copied" in able)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "adam"},
        {"replacement": True},
        {"batch_size": 128},
        {"batch_size": 299},  # the last batch is a single row
    ],
    ids=lambda options: "_".join(map(str, options.values())) or "sgd",
)
def test_training(
    dtype: str, options: dict[str, Any], found: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_its_way = train(some_rows(dtype), (200, 128, 5), **options)
    assert max(found) == expected(min(options.get("batch_size", 64), 299), dtype)
    monkeypatch.setattr(loop, "read_by_products", lambda *arguments: {})
    gathered = train(some_rows(dtype), (200, 128, 5), **options)
    assert on_its_way.engine == gathered.engine == "native"
    # Tiles are of other shapes, which may add up in another order at the edges.
    tolerance = 200 * EPSILON[np.dtype(dtype).char]
    for one, other in zip(leaves(on_its_way), leaves(gathered), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)
    reference = train(some_rows(dtype), (200, 128, 5), engine="interpret", **options)
    np.testing.assert_allclose(on_its_way.losses, reference.losses, rtol=1e-4)


@pytest.mark.parametrize(
    "arrange",
    [
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1],
        lambda x: x.astype(">f4"),
    ],
    ids=["columns", "every_second", "backwards", "bytes_in_the_other_order"],
)
def test_data_that_lie_otherwise(arrange: Any, found: list[int]) -> None:
    data = arrange(some_rows())
    result = train(data, (200, 128, 5))
    again = train(np.ascontiguousarray(data, "f4"), (200, 128, 5))
    np.testing.assert_allclose(result.losses, again.losses, rtol=1e-6)
    assert found[0] == expected(64, "f4")


def test_what_others_read_too(found: list[int]) -> None:
    def loss(weights: Any, batch: Any) -> Any:
        scores = batch @ weights
        return np.mean(np.square(scores)) + np.mean(np.sin(batch[:, ::2] * scores[:, :100]))

    weights = np.random.default_rng(0).normal(size=(200, 128)).astype("f4") / 10
    options: Any = {"batch_size": 64, "steps": 9, "step_size": 0.1, "seed": 0}
    result = sd.descend(loss, weights, some_rows(), progress=False, **options)
    assert max(found) == can_list(product_of((64, 200, 128), "float", "copied"), HOST)
    reference = sd.descend(
        loss, weights, some_rows(), progress=False, engine="interpret", **options
    )
    np.testing.assert_allclose(result.losses, reference.losses, rtol=1e-4)


@pytest.mark.parametrize(
    ("width", "loss_of"),
    [
        (200, lambda x: x - np.mean(x)),
        (200, lambda x: x + x[::-1]),
        (200, lambda x: x[:, 1:]),
        (8, None),
    ],
    ids=["normalised", "mixed", "parts_of_rows", "short_rows"],
)
def test_what_is_gathered(width: int, loss_of: Any, found: list[int]) -> None:
    inputs = width - 1 if loss_of is not None and loss_of(some_rows()).shape[1] == 199 else width
    result = train(some_rows(width=width), (inputs, 128, 5), loss_of)
    assert max(found) == 0
    reference = train(some_rows(width=width), (inputs, 128, 5), loss_of, engine="interpret")
    np.testing.assert_allclose(result.losses, reference.losses, rtol=1e-4)


def test_a_step_with_care_gathers(found: list[int]) -> None:
    data = some_rows()
    data[:, 0] = np.inf
    result = train(data, (200, 128, 5))
    with np.errstate(all="ignore"):
        reference = train(data, (200, 128, 5), engine="interpret")
    assert result.stopped.code == reference.stopped.code
    assert found[-1] == 0
