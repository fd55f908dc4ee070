"""Weights of which a step changes the rows that it has read, and nothing else."""

import platform
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest.descend import Optimizer
from steepest.engines.native import loop as native_loop
from steepest.engines.native import threads
from steepest.engines.native.fuse import fuse
from steepest.engines.native.layout import lay_out
from steepest.engines.native.verify import verify
from steepest.tree import flatten

RNG = np.random.default_rng(0)
ROWS, EXAMPLES, BATCH = 400, 50, 7


@pytest.fixture(autouse=True)
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[dict[int, int]]:
    """Collect what is changed where it lies, and verify the programs."""
    found: list[dict[int, int]] = []

    def watched(graph: Any, changing: Any, *, careful: bool, replaced: Any) -> Any:
        graph.verify()
        program = fuse(graph, changing, careful=careful, replaced=replaced)
        verify(program, None, replaced)
        copy = fuse(graph, changing, careful=careful, replaced=replaced)
        verify(copy, lay_out(copy), replaced)
        for before, after in replaced.items():
            assert program.outputs[after] is program.inputs[before]
        found.append(dict(replaced))
        return program

    monkeypatch.setattr(native_loop, "fuse", watched)
    return found


def descend_by_both(
    loss: Callable[..., Any], weights: Any, data: Any, dtype: Any = np.float64, **settings: Any
) -> Any:
    settings = {"step_size": 0.1, "batch_size": BATCH, "epochs": 3, "progress": False, **settings}
    results = [
        sd.descend(loss, weights, data, engine=engine, **settings)
        for engine in ("interpret", "native")
    ]
    tolerance = 200 * float(np.finfo(dtype).eps)
    leaves = [flatten(each.weights)[0] for each in results]
    for expected, native in zip(*leaves, strict=True):
        np.testing.assert_allclose(native, expected, rtol=tolerance, atol=tolerance)
    losses = [np.asarray(each.losses) for each in results]
    bound = tolerance * np.abs(losses[0])
    if platform.machine() != "x86_64":
        # NumPy adds up in another order there, and what is squared may be a small difference of
        # large terms, whose errors it has.
        bound += tolerance * np.sqrt(np.abs(losses[0]))
    assert (np.abs(losses[1] - losses[0]) <= bound).all()
    assert results[0].stopped == results[1].stopped
    assert results[1].engine == "native"
    return results[1]


def loss_of(read: Callable[..., Any]) -> Callable[..., Any]:
    """Make a loss of what is read of a table, by indices that the data give."""

    def loss(weights: Any, batch: Any) -> Any:
        rows, targets = batch
        error = read(weights["table"], rows).reshape(len(targets), -1) @ weights["w"] - targets
        return error @ error / len(targets)

    return loss


def several(table: Any, rows: Any) -> Any:
    return np.tanh(table[rows]) + table[rows % 13] * table[-1 - rows]


READ: dict[str, tuple[Callable[..., Any], tuple[int, ...], int]] = {
    "rows of 5": (lambda t, i: t[i], (ROWS, 5), 5),
    "rows of 16": (lambda t, i: t[i], (ROWS, 16), 16),
    "rows of 37": (lambda t, i: t[i], (ROWS, 37), 37),
    "rows of 1": (lambda t, i: t[i], (ROWS, 1), 1),
    "numbers": (lambda t, i: t[i], (ROWS,), 1),
    "columns": (lambda t, i: t[:, i].T, (3, ROWS), 3),
    "of a part": (lambda t, i: t[1, :, i], (2, 4, ROWS), 4),
    "two indices": (lambda t, i: t[i, i // 2], (ROWS, ROWS), 1),
    "matrices": (lambda t, i: t[i], (ROWS, 3, 5), 15),
    "backwards": (lambda t, i: t[i - ROWS, ::-1], (ROWS, 9), 9),
    "several": (several, (ROWS, 6), 6),
}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", READ)
def test_rows_are_changed_where_they_lie(name: str, dtype: str, replaced: list[Any]) -> None:
    read, shape, width = READ[name]
    weights = {
        "table": RNG.normal(size=shape).astype(dtype),
        "w": RNG.normal(size=width).astype(dtype) / 3,
    }
    # Of a few rows, so that some are read twice by a batch.
    data = (RNG.integers(0, 9, EXAMPLES), RNG.normal(size=EXAMPLES).astype(dtype))
    before = weights["table"].copy()
    result = descend_by_both(loss_of(read), weights, data, np.dtype(dtype), step_size=0.01)
    assert replaced == [{0: 0}, {0: 0}]
    np.testing.assert_array_equal(weights["table"], before)
    assert not np.shares_memory(result.weights["table"], weights["table"])


def test_the_mean_of_several_rows_for_each_example(replaced: list[Any]) -> None:
    weights = {"table": RNG.normal(size=(5000, 8)), "w": RNG.normal(size=8)}
    data = (RNG.integers(0, 5000, (EXAMPLES, 6)), RNG.normal(size=EXAMPLES))
    loss = loss_of(lambda table, rows: np.mean(table[rows], axis=1))
    descend_by_both(loss, weights, data)
    assert replaced == [{0: 0}, {0: 0}]


def with_decay(weights: Any, batch: Any) -> Any:
    return loss_of(lambda t, i: t[i])(weights, batch) + 0.1 * np.sum(weights["table"] ** 2)


def with_product(weights: Any, batch: Any) -> Any:
    read = loss_of(lambda t, i: t[i])
    return read(weights, batch) + np.mean(weights["table"] @ weights["w"])


@pytest.mark.parametrize(
    ("loss", "rows", "optimizer"),
    [
        (with_decay, ROWS, "sgd"),
        (with_product, ROWS, "sgd"),
        (loss_of(lambda t, i: t[i]), ROWS, "momentum"),
        (loss_of(lambda t, i: t[i]), ROWS, "adam"),
        (loss_of(lambda t, i: t[i]), 3 * BATCH, "sgd"),
    ],
    ids=["decay", "product", "momentum", "adam", "most rows"],
)
def test_gradients_of_all_entries_are_made_as_a_whole(
    loss: Callable[..., Any], rows: int, optimizer: str, replaced: list[Any]
) -> None:
    weights = {"table": RNG.normal(size=(rows, 5)) / 3, "w": RNG.normal(size=5) / 3}
    data = (RNG.integers(0, 9, EXAMPLES), RNG.normal(size=EXAMPLES))
    descend_by_both(loss, weights, data, step_size=0.001, optimizer=optimizer)
    assert replaced[0] == {}


def test_bad_rows_and_overflow_leave_the_weights_as_they_were(replaced: list[Any]) -> None:
    loss = loss_of(lambda t, i: t[i])
    weights = {"table": RNG.normal(size=(ROWS, 5)), "w": RNG.normal(size=5)}
    rows, targets = RNG.integers(0, ROWS, EXAMPLES), RNG.normal(size=EXAMPLES)
    beyond = rows.copy()
    beyond[31] = ROWS
    settings: dict[str, Any] = {"step_size": 0.1, "batch_size": BATCH, "epochs": 2}
    for engine in ("interpret", "native"):
        with pytest.raises(IndexError, match=f"{ROWS} is out of bounds"):
            sd.descend(loss, weights, (beyond, targets), engine=engine, **settings)
    huge = targets.copy()
    huge[17] = np.inf
    result = descend_by_both(loss, weights, (rows, huge))
    assert result.stopped.code == "not_finite"
    result = descend_by_both(loss, weights, (rows, targets), step_size=1e160, epochs=9)
    assert result.stopped.code == "not_finite"
    assert all(np.all(np.isfinite(each)) for each in flatten(result.weights)[0])
    assert replaced[0]


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_rows_that_overflow_end_the_run_at_once(replaced: list[Any]) -> None:
    def loss(table: Any, rows: Any) -> Any:
        return 1e300 * np.sum(table[rows])

    result = descend_by_both(loss, np.ones((ROWS, 20)), np.arange(EXAMPLES), step_size=1e10)
    assert (result.steps, result.stopped.code) == (0, "not_finite")
    assert replaced
    assert all(each == {0: 0} for each in replaced)


def test_a_gradient_that_is_kept_is_made_as_a_whole(replaced: list[Any]) -> None:
    optimizer = Optimizer(
        lambda weights: np.zeros_like(weights),
        lambda gradient, state, weights, size, step: (weights - size * gradient, gradient + state),
    )

    def loss(table: Any, rows: Any) -> Any:
        return np.sum(table[rows] ** 2)

    table = RNG.normal(size=(ROWS, 5))
    descend_by_both(loss, table, np.arange(EXAMPLES), optimizer=optimizer)
    assert replaced == [{}, {}]


def test_callbacks_and_further_runs_see_the_weights_as_they_are() -> None:
    loss = loss_of(lambda t, i: t[i])
    weights = {"table": RNG.normal(size=(ROWS, 5)), "w": RNG.normal(size=5)}
    data = (RNG.integers(0, ROWS, EXAMPLES), RNG.normal(size=EXAMPLES))
    seen: dict[str, list[Any]] = {"interpret": [], "native": []}
    for engine, tables in seen.items():
        run = partial(
            sd.descend, loss, data=data, step_size=0.1, batch_size=BATCH, steps=9, engine=engine
        )

        def callback(info: Any, tables: list[Any] = tables) -> None:
            tables.append(info.weights["table"])

        once = run(weights=weights, callback=callback, callback_every=2)
        tables.append(run(weights=once.weights).weights["table"])
    assert len(seen["native"]) == 5
    for one, two in zip(*seen.values(), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-12, atol=1e-14)


def test_the_rows_that_are_not_read_keep_their_bits() -> None:
    table = RNG.normal(size=(ROWS, 5))
    table[7] = [-0.0, 5e-324, 1e308, -5e-324, 0.0]
    data = (RNG.integers(8, ROWS, EXAMPLES), RNG.normal(size=EXAMPLES))
    weights = {"table": table, "w": RNG.normal(size=5)}
    result = descend_by_both(loss_of(lambda t, i: t[i]), weights, data)
    assert result.weights["table"][:8].tobytes() == table[:8].tobytes()


def test_a_profile_counts_the_rows_that_are_read() -> None:
    loss = loss_of(lambda t, i: t[i])
    weights = {"table": RNG.normal(size=(100_000, 5)), "w": RNG.normal(size=5)}
    data = (RNG.integers(0, 100_000, EXAMPLES), RNG.normal(size=EXAMPLES))
    settings: dict[str, Any] = {"step_size": 0.1, "batch_size": BATCH, "steps": 5}
    result = sd.descend(loss, weights, data, profile=True, progress=False, **settings)
    assert result.profile is not None
    assert max(part.bytes for part in result.profile.parts) < 1e5


def test_the_bits_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = loss_of(lambda table, rows: np.tanh(np.mean(table[rows], axis=1)))
    rng = np.random.default_rng(0)
    weights = {"table": rng.normal(size=(2000, 40)), "w": rng.normal(size=40)}
    data = (rng.integers(0, 2000, (400, 2)), rng.normal(size=400))
    results = []
    for number in (1, 2, 3, 7):
        monkeypatch.setenv(threads.VARIABLE, str(number))
        result = sd.descend(loss, weights, data, step_size=0.01, batch_size=200, epochs=2)
        results.append([leaf.tobytes() for leaf in flatten(result.weights)[0]])
    assert all(each == results[0] for each in results[1:])
