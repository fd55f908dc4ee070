"""Statements that products evaluate in registers: the same bits as those of loops after them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines.native.programs import fused, recorded
from tests.engines.native.test_products import HOST, every_processor

import steepest as sd
from steepest.descend import native_steps
from steepest.engines.native import finishing, loop, partition, program, threads
from steepest.engines.native.assembly import Function, Module
from steepest.engines.native.calling import Flags
from steepest.engines.native.finishing import finish_in_products
from steepest.engines.native.gathering import read_by_products
from steepest.engines.native.in_place import written_in_place
from steepest.engines.native.layout import buffers_read, buffers_written, lay_out
from steepest.engines.native.listing import listing, outline
from steepest.engines.native.nests import Load, MatrixProduct, Nest, Program, Store
from steepest.engines.native.partition import product_of
from steepest.engines.native.processor import Processor
from steepest.engines.native.products import can_finish
from steepest.engines.native.program import Native
from steepest.engines.native.verify import verify
from steepest.graph import Graph

# Rows, inner index, columns: with tiles that are cut off, and such that are copied in parts.
SHAPES = [
    (784, 64, 128),
    (50, 20, 17),
    (29, 64, 37),
    (7, 5, 3),
    (300, 256, 600),
    (64, 64, 64),
]


def inputs_of(shape: tuple[int, int, int], dtype: Any) -> list[np.ndarray]:
    """Make the factors, and arrays of the shapes of the result, a row, and a column."""
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    shapes = [
        (rows, inner),
        (inner, columns),
        (rows, columns),
        (rows, columns),
        (columns,),
        (rows,),
    ]
    return [rng.normal(size=each).astype(dtype) for each in shapes]


def momentum(x: Any, y: Any, w: Any, v: Any, b: Any, c: Any) -> Any:
    v = 0.9 * v - 0.1 * (x @ y)
    return v, w + v


def with_its_sum(x: Any, y: Any, w: Any, v: Any, b: Any, c: Any) -> Any:
    z = (x @ y) * (1.0 - np.square(w))
    return z, np.sum(z, axis=0)


CASES: dict[str, Callable[..., Any]] = {
    "update": lambda x, y, w, v, b, c: w - 0.1 * (x @ y),
    "step size of a captured array": lambda x, y, w, v, b, c: w - b[0] * (x @ y),
    "times a derivative": lambda x, y, w, v, b, c: (x @ y) * (1.0 - np.square(w)),
    "layer": lambda x, y, w, v, b, c: np.maximum(x @ y + b, 0),
    "scaled rows": lambda x, y, w, v, b, c: (x @ y) * c[:, None] + b,
    "same row again": lambda x, y, w, v, b, c: (x @ y) * w[0] - w,
    "masked": lambda x, y, w, v, b, c: np.where(v > 0, x @ y, -w),
    "twice": lambda x, y, w, v, b, c: np.square(x @ y) - np.minimum(x @ y, w),
    "momentum": momentum,
    "sum": with_its_sum,
    "negative": lambda x, y, w, v, b, c: -(x @ y),
}


def finished(program: Program) -> list[MatrixProduct]:
    """Give the products that evaluate statements."""
    return [item for item in products(program) if item.finish is not None]


def products(program: Program) -> list[MatrixProduct]:
    return [item for item in program.items if isinstance(item, MatrixProduct)]


def is_expected(program: Program, target: Processor = HOST) -> bool:
    """Whether this processor's way of multiplying allows it."""
    return all(can_finish(product_of(each), target) for each in products(program))


def bits(values: Any) -> list[bytes]:
    return [np.asarray(each).tobytes() for each in values]


def finishing_shape() -> tuple[int, int, int]:
    """Find a shape that this processor multiplies in a way that allows it."""
    return next(
        each
        for each in SHAPES
        if finished(Native(recorded(CASES["update"], inputs_of(each, "f4")).graph).program)
    )


def not_at_all(*arguments: Any) -> None:
    """Leave all statements in loops."""


@pytest.fixture(autouse=True)
def fresh_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take no code of an earlier run, from which something else was left out."""
    monkeypatch.setattr(
        native_steps,
        "NativeLoop",
        lambda *arguments, **options: loop.NativeLoop(*arguments[:5], **options),
    )


def as_loops(graph: Graph, inputs: Any, target: Processor) -> list[bytes]:
    """Run a graph whose products evaluate nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "finish_in_products", not_at_all)
        run = Native(graph, processor=target)
        assert not finished(run.program)
        return bits(run(inputs))


@every_processor
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", CASES)
def test_the_same_bits(name: str, dtype: str, target: Processor) -> None:
    count = 0
    for shape in SHAPES:
        inputs = inputs_of(shape, dtype)
        recording = recorded(CASES[name], inputs)
        run = Native(recording.graph, processor=target)
        found = finished(run.program)
        assert len(found) == is_expected(run.program, target), shape
        count += len(found)
        verify(run.program)
        verify(run.program, lay_out(run.program))
        for each in found:
            assert each.result not in buffers_written(each)
            assert each.result.offset == -1
            touched = {
                b for i in run.program.items for b in (*buffers_read(i), *buffers_written(i))
            }
            assert each.result not in touched
        actual = run(recording.inputs)
        # A sum that is left alone may be added up in other groups of rows.
        exact = 1 if name == "sum" else None
        loops = as_loops(recording.graph, recording.inputs, target)
        assert bits(actual)[:exact] == loops[:exact], shape
        expected = CASES[name](*inputs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for one, two in zip(actual, expected, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)
    # BLAS takes most of them where vectors are short.
    assert count > (2 if HOST.vector_bits > 128 else 0) or target is not HOST


STAYING: dict[str, Callable[..., Any]] = {
    "takes long": lambda x, y, w, v, b, c: np.exp(x @ y),
    "divides": lambda x, y, w, v, b, c: w / (x @ y),
    "returned itself": lambda x, y, w, v, b, c: ((z := x @ y), z + 1.0),
    "several loops": lambda x, y, w, v, b, c: (np.sum(z := x @ y), z + w),
    "factor of another": lambda x, y, w, v, b, c: ((z := x @ y) @ y.T, z + w),
    "another order": lambda x, y, w, v, b, c: (x @ y)[::-1] + w,
    "transposed": lambda x, y, w, v, b, c: (x @ y).T * 2.0,
    "part": lambda x, y, w, v, b, c: (x @ y)[:, 1:] * 2.0,
    "of other numbers": lambda x, y, w, v, b, c: x @ y + np.arange(w.shape[1]),
    "of another dtype": lambda x, y, w, v, b, c: (x @ y).astype("f8" if x.itemsize == 4 else "f4"),
    "backwards": lambda x, y, w, v, b, c: x @ y - w[::-1],
    "part of a larger array": lambda x, y, w, v, b, c: np.concatenate([w, w - x @ y]),
    "sum alone": lambda x, y, w, v, b, c: np.sum((x @ y) * w, axis=0),
    "stack": lambda x, y, w, v, b, c: np.stack([x, x]) @ y + w,
    "result of an earlier result": lambda x, y, w, v, b, c: np.sqrt(np.square(x @ y)),
}


@pytest.mark.parametrize("name", STAYING)
def test_what_stays_in_loops(name: str) -> None:
    inputs = inputs_of(finishing_shape(), "f4")
    recording = recorded(STAYING[name], inputs)
    run = Native(recording.graph)
    assert not finished(run.program)
    assert bits(run(recording.inputs)) == as_loops(recording.graph, recording.inputs, HOST)


def test_more_than_a_block() -> None:
    """A product over a long inner index adds to its result in memory again and again."""
    inputs = inputs_of((40, 600, 64), "f4")
    recording = recorded(CASES["update"], inputs)
    run = Native(recording.graph)
    assert not finished(run.program)
    np.testing.assert_allclose(run(recording.inputs)[0], CASES["update"](*inputs), rtol=1e-3)


def test_too_much_for_a_product() -> None:
    def function(x: Any, y: Any, w: Any) -> Any:
        z = x @ y
        for _ in range(finishing.MOST_OPERATIONS + 1):
            z = z * w - 1.0
        return z

    inputs = inputs_of(finishing_shape(), "f4")[:3]
    assert not finished(Native(recorded(function, inputs).graph).program)


def test_the_text_says_so() -> None:
    recording = recorded(CASES["update"], inputs_of(finishing_shape(), "f4"))
    one, two = (fused(recording.graph) for _ in range(2))
    finish_in_products(two, HOST)
    assert "then multiply, subtract" in outline(two)
    assert listing(one) != listing(two)
    other = fused(recorded(CASES["negative"], inputs_of(finishing_shape(), "f4")).graph)
    finish_in_products(other, HOST)
    assert listing(other) != listing(two)


def test_with_care_nothing_is_finished() -> None:
    recording = recorded(CASES["update"], inputs_of(finishing_shape(), "f4"))
    careful = fused(recording.graph, careful=True)
    finish_in_products(careful, HOST)
    assert not finished(careful)


def broken(change: Callable[[MatrixProduct, Nest], None]) -> None:
    """Check a program whose finish was changed."""
    recorded_update = recorded(CASES["update"], inputs_of(finishing_shape(), "f4"))
    program = fused(recorded_update.graph)
    finish_in_products(program, HOST)
    (product,) = finished(program)
    assert product.finish is not None
    change(product, product.finish)
    verify(program)


def read_elsewhere(product: MatrixProduct, finish: Nest) -> None:
    (store,) = finish.statements
    value = Load(product.result, 0, (product.extents[2], 0))
    finish.statements = [Store(store.buffer, store.offset, store.strides, value)]


def write_a_factor(product: MatrixProduct, finish: Nest) -> None:
    (store,) = finish.statements
    finish.statements = [Store(product.left.buffer, 0, store.strides, store.value)]


def leave_loops(product: MatrixProduct, finish: Nest) -> None:
    finish.extents = (finish.extents[0] - 1, finish.extents[1])


def write_twice(product: MatrixProduct, finish: Nest) -> None:
    finish.statements = [*finish.statements, *finish.statements]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (read_elsewhere, "another place"),
        (write_a_factor, "factor"),
        (leave_loops, "other loops"),
        (write_twice, "twice"),
    ],
)
def test_what_is_wrong_is_found(change: Callable[[MatrixProduct, Nest], None], words: str) -> None:
    broken(lambda product, finish: None)
    with pytest.raises(ValueError, match=words):
        broken(change)


@pytest.fixture
def written_again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write functions whose key is known again, and compare; give the names of these."""
    shared, names = Module.shared, []
    texts: dict[tuple[Module, Hashable], str] = {}

    def compare(
        module: Module,
        write: Callable[[str], Function],
        key: Hashable = None,
        prefix: str = "shared",
    ) -> str:
        written: list[str] = []

        def note(name: str) -> Function:
            function = write(name)
            written.append(str(function))
            return function

        name = shared(module, note, key, prefix)
        if key is not None:
            if not written:
                names.append(name)
                note("shared")
            assert texts.setdefault((module, key), written[0]) == written[0]
        return name

    monkeypatch.setattr(Module, "shared", compare)
    monkeypatch.setenv("STEEPEST_CACHE", "0")
    return names


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("number_of_threads", [1, 3])
def test_products_that_are_finished_alike_are_written_once(
    number_of_threads: int,
    optimizer: str,
    written_again: list[str],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if number_of_threads > 1:
        request.getfixturevalue("small_pieces")
    monkeypatch.setenv("STEEPEST_NUM_THREADS", str(number_of_threads))
    kinds: list[Callable[[Any], Any]] = [np.tanh, sd.nn.relu, lambda z: z * z, sd.nn.relu]
    activations = itertools.cycle(kinds)
    sizes = (30, *[24] * 12, 5)
    train(sizes, "f4", optimizer=optimizer, activation=lambda z: next(activations)(z))
    assert len(written_again) >= 10
    assert len(set(written_again)) < len(written_again)


def test_what_differs_in_one_thing_is_written_by_itself(written_again: list[str]) -> None:
    """Products one after the other, so that no loop is over several of them."""
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=each) for each in [(64, 64), (64, 64), (64, 64), (64,)]]

    def function(y: Any, w: Any, v: Any, b: Any) -> Any:
        forms: list[Callable[[Any], Any]] = [
            lambda p: w - 0.1 * p,
            lambda p: w + 0.1 * p,
            lambda p: w - 0.2 * p,
            lambda p: v - 0.1 * p,
            lambda p: w[0] - 0.1 * p,
            lambda p: b - 0.1 * p,
            lambda p: w - 0.1 * np.square(p),
            lambda p: np.minimum(w, v) * p,
            lambda p: np.minimum(v, w) * p,
            lambda p: np.minimum(v, v) * p,
        ]
        x, results = w, []
        for form in forms * 2:
            x = form(x @ y)
            results.append(x)
        return results[::3]

    recording = recorded(function, inputs)
    run = Native(recording.graph)
    assert bits(run(recording.inputs)) == as_loops(recording.graph, recording.inputs, HOST)
    if is_expected(run.program):
        assert len(finished(run.program)) >= 12
        assert len(written_again) >= 4


# -- training ------------------------------------------------------------------------------------


def train(sizes: tuple[int, ...], dtype: str, rows: int = 57, **options: Any) -> sd.Descent:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(220, sizes[0])).astype(dtype)
    labels = rng.integers(0, sizes[-1], len(data))
    weights = [
        (rng.normal(size=(m, n)).astype(dtype) / m**0.5, np.zeros(n, dtype))
        for m, n in itertools.pairwise(sizes)
    ]
    activation = options.pop("activation", np.tanh)

    def loss(weights: Any, batch: Any) -> Any:
        layer, targets = batch
        for matrix, offset in weights[:-1]:
            layer = activation(layer @ matrix + offset)
        matrix, offset = weights[-1]
        return sd.nn.softmax_cross_entropy(layer @ matrix + offset, targets)

    chosen: dict[str, Any] = {"batch_size": rows, "steps": 9, "step_size": 0.05, **options}
    return sd.descend(loss, weights, (data, labels), seed=3, progress=False, **chosen)


def bits_of(result: sd.Descent) -> list[bytes]:
    assert result.engine == "native"
    return bits([*(leaf for layer in result.weights for leaf in layer), result.losses])


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the products that evaluate statements, in each kind of step."""
    counts: list[int] = []

    def counted(program: Program, processor: Processor) -> None:
        finish_in_products(program, processor)
        verify(program)
        counts.append(len(finished(program)))

    monkeypatch.setattr(loop, "finish_in_products", counted)
    return counts


@pytest.mark.parametrize(
    ("sizes", "dtype", "activation"),
    [
        ((70, 64, 32, 5), "f4", sd.nn.relu),
        ((13, 37, 29, 3), "f8", np.tanh),
        ((300, 130, 2), "f4", np.tanh),
    ],
)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_training(
    optimizer: str,
    sizes: tuple[int, ...],
    dtype: str,
    activation: Any,
    found: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options: dict[str, Any] = {"optimizer": optimizer, "activation": activation}
    result = train(sizes, dtype, **options)
    assert max(found) > 0 or HOST.vector_bits < 512
    with monkeypatch.context() as patch:
        patch.setattr(loop, "finish_in_products", not_at_all)
        expected = train(sizes, dtype, **options)
    assert bits_of(result) == bits_of(expected)
    reference = train(sizes, dtype, engine="interpret", **options)
    np.testing.assert_allclose(result.losses, reference.losses, rtol=2e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_weights_are_still_written_over_the_old(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes: list[int] = []

    def counted(*arguments: Any) -> Any:
        result = written_in_place(*arguments)
        homes.append(len(result))
        return result

    monkeypatch.setattr(loop, "written_in_place", counted)
    train((70, 64, 32, 5), "f4", optimizer=optimizer)
    monkeypatch.setattr(loop, "finish_in_products", not_at_all)
    train((70, 64, 32, 5), "f4", optimizer=optimizer)
    half = len(homes) // 2
    assert homes[:half] == homes[half:]
    assert homes[0] == (6 if optimizer == "sgd" else 12)


@pytest.mark.parametrize("is_forced", [False, True])
def test_weights_that_are_a_factor(is_forced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile must not be written over what other tiles still read."""
    homes: list[int] = []

    def counted(*arguments: Any) -> Any:
        result = written_in_place(*arguments)
        homes.append(len(result))
        return result

    def loss(w: Any, x: Any) -> Any:
        return np.sum(w * ((x.T @ x) @ w))

    monkeypatch.setattr(loop, "written_in_place", counted)
    if is_forced:
        monkeypatch.setattr(finishing, "_leaves_old", lambda *arguments: True)
    rng = np.random.default_rng(0)
    data, weights = rng.normal(size=(128, 64)) / 20, rng.normal(size=(64, 64))
    options: Any = {"batch_size": 64, "steps": 9, "step_size": 0.1, "seed": 0, "progress": False}
    result = sd.descend(loss, weights, data, **options)
    assert homes == [not is_forced] or HOST.vector_bits < 512
    reference = sd.descend(loss, weights, data, engine="interpret", **options)
    np.testing.assert_allclose(result.weights, reference.weights, rtol=1e-7)


def test_a_batch_that_the_product_gathers(
    found: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product may gather its rows and finish them; but not what it finishes with the batch."""
    gathered: list[int] = []

    def counted(*arguments: Any) -> Any:
        result = read_by_products(*arguments)
        gathered.append(len(result))
        return result

    def first(weights: Any, x: Any) -> Any:
        return np.mean(np.square((0.5 * (x @ weights[0]) * scale) @ weights[1]))

    def with_the_batch(weights: Any, x: Any) -> Any:
        return np.mean(np.square((0.5 * (x @ weights[0]) - x) @ weights[1]))

    monkeypatch.setattr(loop, "read_by_products", counted)
    rng = np.random.default_rng(0)
    data, scale = rng.normal(size=(320, 192)).astype("f4"), rng.normal(size=192).astype("f4")
    weights = [rng.normal(size=(192, 192)).astype("f4") / 20 for _ in range(2)]
    options: Any = {"batch_size": 64, "steps": 9, "step_size": 0.01, "seed": 0, "progress": False}
    for loss in (first, with_the_batch):
        result = sd.descend(loss, weights, data, **options)
        reference = sd.descend(loss, weights, data, engine="interpret", **options)
        np.testing.assert_allclose(result.losses, reference.losses, rtol=1e-4)
    assert (min(found) > 0 and gathered == [1 + HOST.asks_ahead, 0]) or HOST.vector_bits < 512


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Cut all that can be cut, however small."""
    monkeypatch.setenv("STEEPEST_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(partition, "PIECE", 20)
    monkeypatch.setattr(program, "WORTH_WAKING", 0)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("name", ["update", "layer", "scaled rows", "momentum", "sum"])
def test_any_number_of_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for shape in [(7, 30, 300), (300, 20, 32), (300, 256, 600)]:
        inputs = inputs_of(shape, "f4")
        recording = recorded(CASES[name], inputs)
        results = []
        for number in (1, 2, 3, 7):
            monkeypatch.setenv(threads.VARIABLE, str(number))
            run = Native(recording.graph)
            assert len(finished(run.program)) == is_expected(run.program)
            results.append(bits(run(recording.inputs)))
        assert all(each == results[0] for each in results[1:]), shape


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("sizes", [(70, 64, 32, 5), (200, 128, 10)])
def test_training_with_threads(sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for number in (1, 2, 3, 7):
        monkeypatch.setenv(threads.VARIABLE, str(number))
        results.append(bits_of(train(sizes, "f4")))
    assert all(each == results[0] for each in results[1:])


# -- what is not a number ------------------------------------------------------------------------

POINTS = np.linspace(-1.0, 1.0, 40 * 64).reshape(40, 64)
WEIGHTS = np.linspace(-0.1, 0.1, 64 * 64).reshape(64, 64)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("number_of_threads", [1, 3])
@pytest.mark.parametrize(
    "between",
    [np.tanh, sd.nn.relu, lambda z: z * 0.5, lambda z: sd.nn.relu(z - 10.0)],
    ids=["tanh", "relu", "scaled", "hidden"],
)
def test_nan_is_noticed(
    between: Callable[[Any], Any], number_of_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zero factor keeps infinite weights out of a gradient: NumPy computes that with care."""
    monkeypatch.setenv(threads.VARIABLE, str(number_of_threads))
    matrix = np.linspace(-1.0, 1.0, 64 * 64).reshape(64, 64)
    matrix[:, 1] = np.inf

    def loss(w: Any) -> Any:
        return np.sum(np.tanh((between(POINTS @ w) @ matrix)[:, 2:]))

    run = Native(recorded(sd.grad(loss), [WEIGHTS]).graph)
    assert finished(run.program) or HOST.vector_bits < 512
    flags, _ = run._code(careful=False).run([WEIGHTS])
    assert flags & Flags.NAN
    with np.errstate(all="ignore"):
        expected = sd.grad(loss)(WEIGHTS)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(run([WEIGHTS])[0], expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
@pytest.mark.parametrize("activation", [np.tanh, sd.nn.relu, lambda z: z])
def test_training_ends_where_weights_are_not_finite(
    activation: Callable[[Any], Any], optimizer: str, found: list[int]
) -> None:
    options: dict[str, Any] = {
        "optimizer": optimizer,
        "activation": activation,
        "step_size": 1e12,
        "steps": 60,
    }
    with np.errstate(all="ignore"):
        result = train((70, 64, 32, 5), "f4", **options)
        reference = train((70, 64, 32, 5), "f4", engine="interpret", **options)
    assert max(found) > 0 or HOST.vector_bits < 512
    assert result.stopped.code == reference.stopped.code
    assert result.steps == reference.steps


def test_an_entry_that_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single update of a weight that is too large, wherever it lies in a tile, is noticed."""
    for row, column in [(0, 0), (13, 31), (14, 32), (63, 69), (5, 16)]:
        data = np.full((32, 64), 1e-20, "f4")
        data[:, row] = 1e30
        slopes = np.full((70,), 1e-20, "f4")
        slopes[column] = 1e9

        def loss(w: Any, x: Any, slopes: Any = slopes) -> Any:
            return np.sum(np.tanh(x * 1e-30 @ w) * 0.0) + np.sum((x @ w) * slopes)

        result = sd.descend(
            loss,
            np.zeros((64, 70), "f4"),
            data,
            batch_size=32,
            steps=3,
            step_size=1.0,
            progress=False,
        )
        assert result.steps < 3
