"""Batches that a product gathers on its way: the same bits as those that are gathered before."""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.engines.native.test_products import HOST, every_processor

import steepest as sd
from steepest.descend import native_steps
from steepest.engines.native import loop
from steepest.engines.native.assembly import Module
from steepest.engines.native.gathering import gathered_by_products
from steepest.engines.native.loading import load
from steepest.engines.native.object_code import machine_code
from steepest.engines.native.processor import Processor
from steepest.engines.native.products import (
    Product,
    can_list,
    choose,
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


def product_of(shape: tuple[int, int, int], element: str) -> Product:
    """Describe the product of a batch and a matrix."""
    rows, width, columns = shape
    return Product(rows, columns, width, element, (width, 1), (columns, 1), columns)


def compiled(products: list[Product], target: Processor) -> list[Any]:
    module = Module(target)
    names = [product_function(module, each, target, linkage="") for each in products]
    loaded = load(machine_code(str(module), target), {})
    functions = []
    for product, name in zip(products, names, strict=True):
        count = 5 if product.listed else 3
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * count)
        functions.append((kind(loaded.address(name)), loaded))
    return functions


@every_processor
@pytest.mark.parametrize("element", ["float", "double"])
def test_a_product_with_a_list(target: Processor, element: str) -> None:
    dtype = {"float": np.float32, "double": np.float64}[element]
    plain = [product_of(shape, element) for shape in SHAPES]
    shapes = [
        (shape, each)
        for shape, each in zip(SHAPES, plain, strict=True)
        if choose(each, target) == "emitted" and can_list(each, target)
    ]
    assert shapes
    listed = [replace(each, listed=True) for _, each in shapes]
    functions = compiled([*(each for _, each in shapes), *listed], target)
    rng = np.random.default_rng(0)
    for (shape, product), (gathered, _), (on_its_way, _) in zip(
        shapes, functions[: len(shapes)], functions[len(shapes) :], strict=True
    ):
        data = rng.normal(size=(2 * shape[0] + 3, shape[1])).astype(dtype)
        numbers = rng.integers(0, len(data), shape[0])  # with repetitions
        other = rng.normal(size=(product.inner, product.columns)).astype(dtype)
        batch = data[numbers]
        results = [np.full((product.rows, product.columns), np.nan, dtype) for _ in range(2)]
        # What lies behind the copy stays as it was.
        copy = np.full((shape[0] + 1, shape[1]), 7, dtype)
        gathered(batch.ctypes.data, other.ctypes.data, results[0].ctypes.data)
        arguments = (data, other, results[1], numbers, copy)
        on_its_way(*(each.ctypes.data for each in arguments))
        assert results[0].tobytes() == results[1].tobytes(), product
        assert copy[:-1].tobytes() == batch.tobytes(), product
        assert np.all(copy[-1] == 7)
        np.testing.assert_allclose(results[1], batch @ other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [84, 1])
def test_a_piece_of_a_product_with_a_list(size: int) -> None:
    whole = replace(product_of((256, 784, 128), "float"), listed=True)
    piece = replace(whole, rows=size, whole=whole)
    (all_of_it, _), (one, _) = compiled([whole, piece], HOST)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(400, 784)).astype("f4")
    other, numbers = rng.normal(size=(784, 128)).astype("f4"), rng.permutation(400)[:256]
    expected, result = np.empty((256, 128), "f4"), np.empty((size, 128), "f4")
    copies = np.empty((256, 784), "f4"), np.empty((size, 784), "f4")
    arguments = data.ctypes.data, other.ctypes.data
    all_of_it(*arguments, expected.ctypes.data, numbers.ctypes.data, copies[0].ctypes.data)
    place = numbers.ctypes.data + 8 * size
    one(*arguments, result.ctypes.data, place, copies[1].ctypes.data)
    np.testing.assert_allclose(result, expected[size : 2 * size], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(copies[0], data[numbers])
    np.testing.assert_array_equal(copies[1], data[numbers[size : 2 * size]])


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


def bits(result: sd.Descent) -> list[bytes]:
    leaves = [leaf for layer in result.weights for leaf in layer]
    return [np.asarray(each).tobytes() for each in [*leaves, result.losses]]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the arrays that products gather, of each kind of batch."""
    counts: list[int] = []

    def counted(*arguments: Any) -> Any:
        result = gathered_by_products(*arguments)
        counts.append(len(result))
        return result

    monkeypatch.setattr(loop, "gathered_by_products", counted)
    # The code of an earlier run of the same loss would be taken.
    monkeypatch.setattr(
        native_steps,
        "NativeLoop",
        lambda *arguments, **options: loop.NativeLoop(*arguments[:5], **options),
    )
    return counts


def some_rows(dtype: str = "f4", width: int = 200) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(300, width)).astype(dtype)


def is_expected(rows: int, dtype: str) -> bool:
    """Whether this processor's products may have lists, as those of most have."""
    element = {"f4": "float", "f8": "double"}[dtype]
    return can_list(product_of((rows, 200, 128), element), HOST)


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
    assert max(found) == is_expected(min(options.get("batch_size", 64), 299), dtype)
    monkeypatch.setattr(loop, "gathered_by_products", lambda *arguments: {})
    gathered = train(some_rows(dtype), (200, 128, 5), **options)
    assert on_its_way.engine == gathered.engine == "native"
    assert bits(on_its_way) == bits(gathered)
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
    assert found[0] == is_expected(64, "f4")


def test_what_others_read_too(found: list[int]) -> None:
    def loss(weights: Any, batch: Any) -> Any:
        scores = batch @ weights
        return np.mean(np.square(scores)) + np.mean(np.sin(batch[:, ::2] * scores[:, :100]))

    weights = np.random.default_rng(0).normal(size=(200, 128)).astype("f4") / 10
    options: Any = {"batch_size": 64, "steps": 9, "step_size": 0.1, "seed": 0}
    result = sd.descend(loss, weights, some_rows(), progress=False, **options)
    assert max(found) == is_expected(64, "f4")
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
