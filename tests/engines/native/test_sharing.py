"""Sharing work among threads: the same bits for any number of them, and none lost or done twice."""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines.native.programs import random_program, recorded

import steepest as sd
from steepest.engines.native import partition, program, sharing, threads
from steepest.engines.native.partition import Pieces
from steepest.engines.native.processor import host_processor
from steepest.engines.native.products import Product, cut
from steepest.engines.native.program import Native
from steepest.errors import BadInputError

_TASK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
_SHARE = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 3, ctypes.c_int64)
NUMBERS = (1, 2, 3, 7)
RANDOM_GRAPHS = 40
VERY_MANY = 200


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Cut all that can be cut, however small."""
    # Code that was cut in another way is not for here.
    monkeypatch.setenv("STEEPEST_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(partition, "PIECE", 20)
    monkeypatch.setattr(program, "WORTH_WAKING", 0)


@pytest.fixture
def number_of_threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda number: monkeypatch.setenv(threads.VARIABLE, str(number))


def bits(values: Any) -> list[bytes]:
    return [np.asarray(each).tobytes() for each in values]


# -- programs and training -----------------------------------------------------------------------


def check_random_graph(seed: int, number_of_threads: Any) -> None:
    drawn = random_program(seed, special=bool(seed % 2))
    function = drawn.gradient if drawn.differentiable else drawn
    try:
        recording = recorded(function, drawn.inputs)
    except ZeroDivisionError:  # of a mean of nothing, by Python
        return
    results = []
    for number in NUMBERS:
        number_of_threads(number)
        try:
            results.append(bits(Native(recording.graph)(recording.inputs)))
        except IndexError:
            return
    assert all(each == results[0] for each in results[1:])


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("seed", range(RANDOM_GRAPHS))
def test_random_graphs(seed: int, number_of_threads: Any) -> None:
    check_random_graph(seed, number_of_threads)


@pytest.mark.soak
@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("seed", range(RANDOM_GRAPHS, VERY_MANY))
def test_many_random_graphs(seed: int, number_of_threads: Any) -> None:
    check_random_graph(seed, number_of_threads)


def trained(
    sizes: tuple[int, ...],
    batch: int | None,
    steps: int,
    dtype: str,
    activation: Any = np.tanh,
    optimizer: str = "adam",
) -> list[bytes]:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(600, sizes[0])).astype(dtype), rng.integers(0, sizes[-1], 600)
    weights = [
        (rng.normal(size=(before, after)).astype(dtype) / 10, np.zeros(after, dtype))
        for before, after in itertools.pairwise(sizes)
    ]

    def loss(weights: Any, batch: Any) -> Any:
        layer, targets = batch
        for matrix, offset in weights[:-1]:
            layer = activation(layer @ matrix + offset)
        matrix, offset = weights[-1]
        return sd.nn.softmax_cross_entropy(layer @ matrix + offset, targets)

    result = sd.descend(
        loss,
        weights,
        (x, y),
        step_size=0.01,
        optimizer=optimizer,
        batch_size=batch,
        steps=steps,
        progress=False,
    )
    assert result.engine == "native"
    return bits([*(leaf for layer in result.weights for leaf in layer), result.losses])


@pytest.mark.parametrize(
    ("sizes", "batch", "dtype"),
    [
        ((784, 128, 10), 256, "f4"),
        ((13, 37, 29, 3), 64, "f8"),
        ((30, 2), None, "f8"),
        ((300, 200, 5), 100, "f8"),
    ],
)
def test_training(
    sizes: tuple[int, ...], batch: int | None, dtype: str, number_of_threads: Any
) -> None:
    results = []
    for number in NUMBERS:
        number_of_threads(number)
        results.append(trained(sizes, batch, 7, dtype))
    assert all(each == results[0] for each in results[1:])


ACTIVATIONS = (np.tanh, np.sin, sd.nn.relu, sd.nn.sigmoid, np.arctan)


def check_random_training(seed: int, number_of_threads: Any) -> None:
    """Train a network of a random kind with each number of threads."""
    rng = np.random.default_rng(seed)
    width = int(rng.choice([20, 90, 300]))
    sizes = tuple(rng.integers(1, width + 1, int(rng.integers(1, 5))).tolist())
    classes = int(rng.integers(2, 20))
    batch = None if rng.random() < 0.2 else int(rng.integers(1, 400))
    dtype = str(rng.choice(["f4", "f8"]))
    activation = ACTIVATIONS[rng.integers(0, len(ACTIVATIONS))]
    optimizer = str(rng.choice(["sgd", "momentum", "nesterov", "adam", "adamw"]))
    results = []
    for number in NUMBERS:
        number_of_threads(number)
        results.append(trained((*sizes, classes), batch, 5, dtype, activation, optimizer))
    assert all(each == results[0] for each in results[1:])


@pytest.mark.parametrize("seed", range(3))
def test_random_training(seed: int, number_of_threads: Any) -> None:
    check_random_training(seed, number_of_threads)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3, VERY_MANY))
def test_many_random_trainings(seed: int, number_of_threads: Any) -> None:
    check_random_training(seed, number_of_threads)


@pytest.mark.usefixtures("small_pieces")
def test_very_many_small_tasks(number_of_threads: Any) -> None:
    # A piece of one task taken for one of the next shows only now and then.
    results = []
    for number in (1, 3):
        number_of_threads(number)
        results.append(trained((40, 24, 10), 30, 20_000, "f4"))
    assert results[0] == results[1]


@pytest.mark.usefixtures("small_pieces")
def test_runs_at_once_share_the_threads(number_of_threads: Any) -> None:
    number_of_threads(3)
    x = np.random.default_rng(0).normal(size=(200, 60))
    function = sd.compile(sd.grad(lambda x: np.sum(np.exp(np.tanh(x @ x.T)) / 100)))
    expected = function(x).tobytes()
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(1 for _ in range(30) if function(x).tobytes() != expected)

    runs = [threading.Thread(target=work) for _ in range(4)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert not wrong


def _in_a_child(queue: Any) -> None:
    queue.put(trained((784, 128, 10), 256, 3, "f4"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
# Python warns of forks where there are threads, and JAX where it was imported before.
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_process_has_threads_of_its_own(number_of_threads: Any) -> None:
    number_of_threads(2)
    expected = trained((784, 128, 10), 256, 3, "f4")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == expected
    child.join(60)
    assert child.exitcode == 0


# -- pieces in any order -------------------------------------------------------------------------


@pytest.fixture
def order_of_pieces(monkeypatch: pytest.MonkeyPatch, number_of_threads: Any) -> Any:
    """Have the pieces of code that is cut for several threads run one by one, in an order."""
    number_of_threads(7)
    functions = []

    def choose(order: Any) -> None:
        def share(pool: int, task: int, arguments: int, count: int) -> int:
            flags = 0
            for number in order(range(count)):
                flags |= _TASK(task)(arguments, number)
            return flags

        functions.append(_SHARE(share))
        address = ctypes.cast(functions[-1], ctypes.c_void_p).value
        monkeypatch.setattr(program.Helpers, "addresses", lambda self, threads: (address, 1))

    return choose


def check_order(function: Any, inputs: Any, order_of_pieces: Any) -> None:
    try:
        recording = recorded(function, inputs)
        results = []
        for order in (list, reversed):
            order_of_pieces(order)
            results.append(bits(Native(recording.graph)(recording.inputs)))
    except (ZeroDivisionError, IndexError):
        return
    assert results[0] == results[1]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("seed", range(10))
def test_random_graphs_piece_by_piece(seed: int, order_of_pieces: Any) -> None:
    drawn = random_program(seed, special=bool(seed % 2))
    function = drawn.gradient if drawn.differentiable else drawn
    check_order(function, drawn.inputs, order_of_pieces)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("reduce", [np.sum, np.prod, np.max, np.any])
@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (1, 2), (0, 2)])
def test_reductions_piece_by_piece(reduce: Any, axis: Any, order_of_pieces: Any) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3, 8)) / 5 + 1

    def function(x: Any) -> Any:
        return reduce(np.exp(x) > 3, axis=axis) if reduce is np.any else reduce(np.exp(x), axis)

    check_order(function, (x,), order_of_pieces)
    if reduce is not np.any:
        check_order(sd.grad(lambda x: np.sum(np.sin(function(x)))), (x,), order_of_pieces)


# -- handing out ---------------------------------------------------------------------------------


@pytest.fixture
def share() -> Any:
    return _SHARE(sharing.share_address())


@pytest.mark.parametrize("helpers", [0, 1, 3])
def test_each_piece_is_run_once(share: Any, helpers: int) -> None:
    pool = sharing.Pool()
    with pool.helping(1 + helpers):
        for count in (1, 2, 3, sharing.MOST_PIECES, 7) * 20:
            times = [0] * count

            def run(_: int, number: int, times: list[int] = times) -> int:
                times[number] += 1
                return 1 << (number % 5)

            task = _TASK(run)
            flags = share(pool.address, ctypes.cast(task, ctypes.c_void_p), None, count)
            assert times == [1] * count
            assert flags == sum(1 << each for each in range(min(count, 5)))


def test_threads_begin_with_shares_of_their_own(share: Any) -> None:
    pool = sharing.Pool()
    together = threading.Barrier(2, timeout=60)
    taken: dict[int, list[int]] = {}

    def run(_: int, number: int) -> int:
        taken.setdefault(threading.get_ident(), []).append(number)
        together.wait()
        return 0

    task = _TASK(run)
    for _ in range(20):
        taken.clear()
        with pool.helping(2):
            share(pool.address, ctypes.cast(task, ctypes.c_void_p), None, 8)
        mine = taken.pop(threading.get_ident())
        assert (mine, *taken.values()) == ([0, 1, 2, 3], [4, 5, 6, 7])


# -- cutting -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extent", "size", "count", "last"), [(10, 5, 2, 5), (10, 4, 3, 2), (7, 7, 1, 7)]
)
def test_pieces_cover_their_range(extent: int, size: int, count: int, last: int) -> None:
    pieces = Pieces(extent, size)
    assert (pieces.count, pieces.last) == (count, last)


@pytest.mark.parametrize("most", [2, 3, 8])
@pytest.mark.parametrize("shape", [(256, 784, 128), (784, 256, 128), (100, 31, 7), (1, 500, 900)])
def test_products_are_cut_into_few_pieces(shape: tuple[int, int, int], most: int) -> None:
    rows, inner, columns = shape
    product = Product(rows, columns, inner, "float", (inner, 1), (columns, 1), columns)
    found = cut(product, host_processor(), 2, most)
    assert found is not None
    axis, size = found
    extent = rows if axis == "rows" else columns
    assert 2 <= -(-extent // size) <= most


@pytest.mark.parametrize(
    ("columns", "lists", "expected"),
    [
        # Pieces of five tiles of 14 rows would leave one of them 116 of 256 rows.
        (128, {"listed": "rows", "copies": True}, "rows"),
        # Half of a row of 512 bytes for each costs more than a tile of 6 rows too much for one.
        (128, {"listed": "rows"}, "rows"),
        (512, {"listed": "rows"}, "columns"),
        (128, {}, "rows"),
        (512, {}, "columns"),
    ],
    ids=["copied", "listed", "listed, wide", "plain", "plain, wide"],
)
def test_two_threads_get_as_much(columns: int, lists: dict[str, Any], expected: str) -> None:
    product = Product(256, columns, 784, "float", (784, 1), (columns, 1), columns)
    processor = replace(host_processor(), vector_bits=512, has_masks=True)
    found = cut(replace(product, **lists), processor, 2, 8)
    assert found is not None
    axis, size = found
    assert axis == expected
    extent = {"rows": 256, "columns": columns}[axis]
    shares = [0, 0]
    for start in range(0, extent, size):
        shares[shares.index(min(shares))] += min(size, extent - start)
    assert max(shares) <= 0.52 * extent


# -- how many ------------------------------------------------------------------------------------


def test_the_variable_decides(number_of_threads: Any) -> None:
    number_of_threads(5)
    assert threads.number_of_threads() == 5


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", ""])
def test_a_wrong_variable_is_an_error(value: str, number_of_threads: Any) -> None:
    number_of_threads(value)
    with pytest.raises(BadInputError, match="STEEPEST_NUM_THREADS"):
        threads.number_of_threads()


def test_limits_of_blas_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    monkeypatch.setattr(threads, "_processors", lambda: 8)
    monkeypatch.setattr(threads, "_blas_threads", lambda: lambda: 3)
    assert threads.number_of_threads() == 3
    monkeypatch.setattr(threads, "_blas_threads", lambda: lambda: 99)
    assert threads.number_of_threads() == 8


@pytest.mark.parametrize(
    ("text", "limit"), [("200000 100000", 2.0), ("max 100000", np.inf), ("50000 100000", 0.5)]
)
def test_limits_of_a_control_group(tmp_path: Path, text: str, limit: float) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert threads._quota(tmp_path) == limit


def test_a_group_without_limits(tmp_path: Path) -> None:
    assert threads._quota(tmp_path) == np.inf


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("rows", [2, 3, 16, 17, 33, 100])
@pytest.mark.parametrize("columns", [1, 3, 16, 50])
def test_sums_over_the_rows_that_are_cut(rows: int, columns: int, number_of_threads: Any) -> None:
    x = np.arange(rows * columns).reshape(rows, columns) % 7.0

    def function(x: Any) -> Any:
        y = np.exp(-x)
        return np.sum(y, axis=0), np.max(y, axis=0), np.sum(y), np.sum(y, axis=1), y

    number_of_threads(3)
    found = sd.compile(function)(x)
    for one, other in zip(found, function(x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)
