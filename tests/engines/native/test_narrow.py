"""Narrow rows in the lanes of vectors: the same numbers for any rows and columns, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines.native.programs import LESSER, errors_of, fused, recorded

import steepest as sd
from steepest.engines.native import emit, partition, program, threads
from steepest.engines.native.narrow import MOST_COLUMNS, Narrow, narrow, parted
from steepest.engines.native.nests import Kernel
from steepest.engines.native.processor import Processor, host_processor, processor
from steepest.engines.native.program import Native

HOST = host_processor()
PROCESSORS = {"host": HOST}
if HOST.triple.startswith("x86_64") and HOST.has_masks:
    PROCESSORS |= {name: processor(HOST.triple, name, has) for name, has in LESSER.items()}
DTYPES = (np.float32, np.float64)
SHAPES = (
    (1, 3), (7, 2), (8, 7), (15, 5), (16, 2), (16, 16), (17, 3), (20, 17), (31, 4), (33, 9),
    (35, 10), (100, 5),
)  # fmt: skip


def softmax(x: Any) -> Any:
    powers = np.exp(x - np.max(x, axis=1, keepdims=True))
    return powers / np.sum(powers, axis=1, keepdims=True)


def cross_entropy(x: Any, bias: Any, labels: Any) -> Any:
    return sd.nn.softmax_cross_entropy(x + bias, labels)


def gradient_of_cross_entropy(x: Any, bias: Any, labels: Any) -> Any:
    return sd.value_and_grad(cross_entropy, (0, 1))(x, bias, labels)


def parts_of_softmax(x: Any, bias: Any, labels: Any) -> Any:
    """Give results of all kinds: entries, of rows, of columns, and of everything."""
    y = softmax(x + bias)
    picked = y[np.arange(len(labels)), labels]
    return y, np.min(y, axis=1), np.sum(y, axis=0), np.max(y * x, axis=0), np.sum(picked), picked


def comparisons(x: Any, bias: Any, labels: Any) -> Any:
    """Give numbers that are no floating-point ones."""
    above = x > bias
    return np.any(above, axis=1), np.sum(above, axis=1), np.all(above, axis=0), labels[:, None] * x


def products(x: Any, bias: Any, labels: Any) -> Any:
    return np.sum(x * x, axis=1), np.sum(x * bias, axis=0), np.prod(x, axis=1), np.sum(x * x)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (gradient_of_cross_entropy, parts_of_softmax, comparisons, products)
}


def arguments(rows: int, columns: int, dtype: Any) -> list[Any]:
    rng = np.random.default_rng([rows, columns])
    x = rng.normal(size=(rows, columns)).astype(dtype)
    return [x, rng.normal(size=columns).astype(dtype), rng.integers(0, columns, rows)]


@pytest.fixture
def turned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Narrow]:
    """Collect the kernels that are written with rows in the lanes."""
    # Code that is there is not written.
    monkeypatch.setenv("STEEPEST_CACHE_DIR", str(tmp_path))
    found: list[Narrow] = []

    class Collecting(emit._NarrowEmitter):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            found.append(self._turned)

    monkeypatch.setattr(emit, "_NarrowEmitter", Collecting)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_any_rows_and_columns(
    function: Callable[..., Any], dtype: Any, turned: list[Narrow]
) -> None:
    lanes = HOST.lanes(8 * np.dtype(dtype).itemsize)
    for shape in SHAPES:
        rows, columns = shape
        assert not errors_of(recorded(function, arguments(*shape, dtype)), exactly=False), shape
        expected = rows >= lanes and columns <= MOST_COLUMNS
        assert not turned or expected, shape
        if function is not comparisons:
            assert bool(turned) == expected, shape
        turned.clear()


@pytest.mark.parametrize("target", PROCESSORS.values(), ids=PROCESSORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_processor(target: Processor, dtype: Any, turned: list[Narrow]) -> None:
    for rows, columns in ((33, 2), (18, 5), (21, 11)):
        for function in (gradient_of_cross_entropy, parts_of_softmax):
            args = arguments(rows, columns, dtype)
            assert not errors_of(recorded(function, args), processor=target, exactly=False)
            assert turned
            turned.clear()


@pytest.mark.parametrize("columns", [2, 5, 12])
@pytest.mark.parametrize("rows", [16, 35])
def test_what_is_not_finite_stays_in_its_row(rows: int, columns: int, turned: list[Narrow]) -> None:
    x, bias, labels = arguments(rows, columns, np.float32)
    for row, special in ((0, np.nan), (5, np.inf), (rows - 1, -np.inf), (7, np.nan)):
        x[row, row % columns] = special
    run = Native(recorded(parts_of_softmax, [x, bias, labels]).graph)
    with np.errstate(all="ignore"):
        for one, other in zip(
            run([x, bias, labels]), parts_of_softmax(x, bias, labels), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-5)
    assert turned


@pytest.mark.parametrize("label", [-1, -3, 3, -4, 2**40])
@pytest.mark.parametrize("row", [0, 17, 34])
def test_indices_are_looked_at(row: int, label: int, turned: list[Narrow]) -> None:
    x, _, labels = arguments(35, 3, np.float32)
    labels[row] = label

    def function(x: Any, labels: Any) -> Any:
        return sd.grad(lambda x: -np.sum(np.log(softmax(x))[np.arange(35), labels]))(x)

    run = Native(recorded(function, [x, labels]).graph)
    if -3 <= label < 3:
        np.testing.assert_allclose(run([x, labels])[0], function(x, labels), rtol=1e-5, atol=1e-6)
    else:
        with pytest.raises(IndexError):
            run([x, labels])
    assert turned


@pytest.mark.parametrize("columns", [3, 10])
def test_a_gradient_that_is_not_finite_ends_the_run(columns: int, turned: list[Narrow]) -> None:
    """A weight for each entry: the update itself is in the kernel with the rows."""
    _, bias, labels = arguments(40, columns, np.float64)

    def loss(w: Any) -> Any:
        return cross_entropy(w, bias, labels) - np.sum(softmax(w) * np.exp(w * 100.0))

    weights = np.zeros((40, columns))
    weights[33, 2] = 7.09  # 100 times its exponential is not finite
    results = [
        sd.descend(loss, weights, step_size=1e-3, steps=50, engine=engine, progress=False)
        for engine in ("native", "interpret")
    ]
    assert turned
    assert results[0].stopped.code == results[1].stopped.code == "not_finite"
    assert results[0].steps == results[1].steps


@pytest.mark.parametrize("function", [gradient_of_cross_entropy, parts_of_softmax])
def test_the_number_of_threads_changes_no_bit(
    function: Callable[..., Any], turned: list[Narrow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "PIECE", 20)
    monkeypatch.setattr(program, "WORTH_WAKING", 0)
    for rows, columns in ((100, 3), (257, 10)):
        recording = recorded(function, arguments(rows, columns, np.float32))
        assert not errors_of(recording, exactly=False)
        results = []
        for number in (1, 2, 3, 7):
            monkeypatch.setenv(threads.VARIABLE, str(number))
            found = Native(recording.graph)(recording.inputs)
            results.append([np.asarray(each).tobytes() for each in found])
        assert all(each == results[0] for each in results[1:])
    assert turned


def kernels(function: Callable[..., Any], *args: Any) -> list[Kernel]:
    items = fused(recorded(function, args).graph).items
    return [each for each in items if isinstance(each, Kernel)]


def test_wide_rows_beside_them_are_parted() -> None:
    x, *_ = arguments(64, 3, np.float32)
    wide = np.ones((64, 40), np.float32)
    (kernel,) = kernels(lambda x, y: (np.sum(x, axis=1), np.sum(np.exp(y), axis=1)), x, wide)
    parts = parted(kernel)
    assert [[nest.extents for nest in each.nests] for each in parts] == [[(64, 40)], [(64, 3)]]
    assert [narrow(each, HOST) is None for each in parts] == [True, False]
    # What is added up is needed beside it.
    (kernel,) = kernels(lambda x, y: y * np.sum(x, axis=1, keepdims=True), x, wide)
    assert parted(kernel) == [kernel]
    assert narrow(kernel, HOST) is None


REFUSED: dict[str, tuple[Callable[..., Any], Any]] = {
    "nothing is added up within rows": (lambda x: np.sum(np.exp(x), axis=0), np.ones((64, 3))),
    "parts of wide rows": (lambda x: np.sum(x[:, 1:3], axis=1), np.ones((64, 20))),
    "rows backwards": (lambda x: np.sum(x[::-1], axis=1), np.ones((64, 3))),
    "integers": (lambda x: np.sum(x, axis=1), np.ones((64, 3), np.int64)),
    "too few rows": (lambda x: np.sum(x, axis=1), np.ones((1, 3))),
    "wide rows": (lambda x: np.sum(x, axis=1), np.ones((64, MOST_COLUMNS + 1))),
    "three loops": (lambda x: np.sum(np.exp(x) * 2, axis=2), np.ones((8, 5, 3))),
}


@pytest.mark.parametrize(("function", "x"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_turned(function: Callable[..., Any], x: Any, turned: list[Narrow]) -> None:
    assert not errors_of(recorded(function, [x]), exactly=False)
    assert not turned
