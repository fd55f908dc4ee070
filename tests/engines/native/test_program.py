"""The native engine as a whole: captured arrays, errors, threads, and depth."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.engines.native.programs import errors_of, recorded

import steepest as sd
from steepest.engines import Interpreter
from steepest.engines.native.program import Native
from steepest.ops.contract import zero_safe_matmul

X = np.arange(12.0).reshape(3, 4)
ROW = np.arange(4.0)


def repeated(step: Callable[[Any], Any], times: int) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        for _ in range(times):
            x = step(x)
        return x

    return function


def unaligned() -> Any:
    return np.frombuffer(b"\0" + ROW.tobytes(), np.uint8)[1:].view(np.float64)


def of_a_record() -> Any:
    record = np.zeros(4, [("number", "f8"), ("flag", "i1")])
    record["number"] = ROW
    return record["number"]


CAPTURED: dict[str, Any] = {
    "backwards with gaps": np.arange(24.0).reshape(3, 8)[::-1, ::-2],
    "transposed": np.arange(12.0).reshape(4, 3).T,
    "stretched": np.broadcast_to(ROW, (3, 4)),
    "unaligned": unaligned(),
    "field of a record": of_a_record(),
    "big-endian": ROW.astype(">f8"),
    "without axes": np.array(3.0),
    "empty": np.zeros((0, 3, 4)),
    "extended": X.astype(np.longdouble),
    "complex": X + 1j,
    "half": X.astype(np.float16),
    "bool": X > 3,
    "unsigned": X.astype(np.uint8),
    "scalar": np.longdouble(2.5),
    "Python's complex": 2 + 1j,
    "large integer": 2**70,
}


@pytest.mark.parametrize("captured", CAPTURED.values(), ids=CAPTURED)
def test_captured_values_lie_in_any_way(captured: Any) -> None:
    for function in (lambda x: x * captured, lambda x: np.real(np.sum(x * captured))):
        assert not errors_of(recorded(function, [X]), exactly=False)


def test_captured_arrays_are_read_at_each_run() -> None:
    data = ROW.copy()
    run = Native(recorded(lambda x: x * data, [X]).graph)
    data[:] = 5.0
    np.testing.assert_array_equal(run([X])[0], X * 5)


def test_inputs_lie_in_any_way() -> None:
    run = Native(recorded(lambda x: x * 2, [ROW]).graph)
    for x in (ROW[::-1], unaligned(), of_a_record(), np.broadcast_to(2.0, 4)):
        np.testing.assert_array_equal(run([x])[0], x * 2)


def test_results_are_nobody_elses() -> None:
    run = Native(recorded(lambda x: (x, x, x[0], x * 2, x.T), [X]).graph)
    first, second = run([X]), run([X])
    arrays = [X, *first, *second]
    for place, one in enumerate(arrays):
        assert not any(np.shares_memory(one, two) for two in arrays[:place])


DEEP: dict[str, Callable[[Any], Any]] = {
    "element-wise": repeated(lambda x: x * 1.0001 + 0.1, 2000),
    "slices": repeated(lambda x: x[::-1], 1500),
    "transposes": repeated(lambda x: x.T.reshape(x.shape), 800),
    "stretching": repeated(lambda x: np.broadcast_to(x, (2, *x.shape))[0] + 1, 500),
    "joins": repeated(lambda x: np.concatenate([x, x[:1]])[1:], 300),
    "gathering": repeated(lambda x: x[np.array([1, 2, 0])], 300),
    "choices": repeated(lambda x: np.where(x > 0, x, 1.0 - x)[:, None][:, 0], 300),
}


@pytest.mark.parametrize("function", DEEP.values(), ids=DEEP)
def test_deep_graphs(function: Callable[[Any], Any]) -> None:
    assert not errors_of(recorded(function, [X]), exactly=False)


OUT_OF_BOUNDS: dict[str, Callable[[Any, Any], Any]] = {
    "reading": lambda x, index: x[index] * 2,
    "columns": lambda x, index: x[:, index],
    "places": lambda x, index: x[np.array([0, 1]), index],
    "unused": lambda x, index: np.sum(x[index]) * 0,
    "before NumPy": lambda x, index: np.linalg.inv(x[index][:, :2]),
    "gradient": lambda x, index: sd.grad(lambda x: np.sum(x[index] ** 2))(x),
}


@pytest.mark.parametrize("index", [[0, 7], [-5, 0]], ids=["beyond", "before"])
@pytest.mark.parametrize("function", OUT_OF_BOUNDS.values(), ids=OUT_OF_BOUNDS)
def test_indices_out_of_bounds(function: Callable[[Any, Any], Any], index: list[int]) -> None:
    graph = recorded(function, [X, np.array([0, 1])])
    inputs = [X, np.array(index)]
    with pytest.raises(IndexError) as expected:
        Interpreter(graph.graph)(inputs)
    run = Native(graph.graph)
    with pytest.raises(IndexError) as actual:
        run(inputs)
    assert str(actual.value) == str(expected.value)
    # It goes on after that.
    assert not errors_of(graph, exactly=False)
    np.testing.assert_allclose(run(graph.inputs)[0], Interpreter(graph.graph)(graph.inputs)[0])


@pytest.mark.parametrize("index", [[], [0]], ids=["nothing", "something"])
def test_an_axis_without_entries(index: list[int]) -> None:
    graph = recorded(lambda x, index: x[index] * 2, [np.zeros((0, 3)), np.array(index, int)])
    if index:
        with pytest.raises(IndexError, match="out of bounds"):
            Native(graph.graph)(graph.inputs)
    else:
        assert not errors_of(graph)


def test_exceptions_of_numpy_come_through() -> None:
    run = Native(recorded(lambda x: np.linalg.inv(x * 2) + 1, [np.eye(2)]).graph)
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        run([np.zeros((2, 2))])
    np.testing.assert_array_equal(run([np.eye(2)])[0], np.linalg.inv(2 * np.eye(2)) + 1)


def test_stopping_comes_through() -> None:
    graph = recorded(lambda x: np.cumsum(x), [ROW])
    run = Native(graph.graph)
    run([ROW])

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    callbacks = run._code(careful=False)._callbacks
    assert callbacks is not None
    callbacks._operations[:] = [stop]
    with pytest.raises(KeyboardInterrupt):
        run([ROW])


def test_a_wrong_number_of_inputs_is_an_error() -> None:
    with pytest.raises(ValueError, match="2"):
        Native(recorded(lambda x: x * 2, [X]).graph)([X, X])


NOT_FINITE = np.array([[0.0, np.inf, 1.0], [np.nan, 0.0, 2.0], [0.0, -np.inf, 0.0]])
POISONED: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "choice": (sd.grad(lambda x: np.sum(np.where(x > 0, np.log(x), 0.0))), (X - 5,)),
    "row": (
        sd.grad(lambda x: np.sum((np.where(x > 0, np.log(x), 0.0) @ np.ones((4, 30))) ** 2)),
        (X - 5,),
    ),
    "product": (zero_safe_matmul, (NOT_FINITE, NOT_FINITE[::-1])),
    "large product": (
        zero_safe_matmul,
        (np.tile(NOT_FINITE, (9, 9)), np.tile(NOT_FINITE[::-1], (9, 9))),
    ),
    "product with a vector": (
        lambda x, y: zero_safe_matmul(x, y[:, None]),
        (NOT_FINITE, np.array([0.0, 1.0, np.nan])),
    ),
    "outer product": (zero_safe_matmul, (NOT_FINITE[:, 1:2], NOT_FINITE[1:2])),
    "stack": (
        zero_safe_matmul,
        (np.stack([NOT_FINITE] * 3).repeat(4, 1), np.stack([NOT_FINITE.T] * 3).repeat(40, 2)),
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("function", "args"), POISONED.values(), ids=POISONED)
def test_zeros_keep_nan_away(
    function: Callable[..., Any], args: tuple[Any, ...], dtype: Any
) -> None:
    graph = recorded(function, [each.astype(dtype) for each in args])
    assert not errors_of(graph, exactly=False)


@pytest.mark.parametrize("length", [1, 3, 8, 17])
def test_care_is_taken_only_where_it_is_needed(length: int) -> None:
    run = Native(recorded(sd.grad(lambda x: np.sum(np.log(x) ** 2)), [np.ones(length)]).graph)
    run([np.full(length, 0.5)])
    # What lanes beyond the end compute does not count.
    assert list(run._codes) == [False]


def test_threads_run_one_program_at_once() -> None:
    graph = recorded(
        lambda x: np.linalg.inv(x @ x.T + np.eye(30)) @ np.tanh(x) + np.sum(x, axis=1)[:, None],
        [np.ones((30, 40))],
    )
    run = Native(graph.graph)
    inputs = [np.random.default_rng(each).normal(size=(30, 40)) for each in range(6)]
    expected = [Interpreter(graph.graph)([each])[0] for each in inputs]
    wrong: list[int] = []
    start = threading.Barrier(len(inputs))

    def work(number: int) -> None:
        start.wait()
        for _ in range(50):
            (result,) = run([inputs[number]])
            if not np.allclose(result, expected[number], rtol=1e-10, atol=1e-12):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(each,)) for each in range(len(inputs))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


@pytest.mark.parametrize("rows", [2, 3, 5, 7, 9, 17])
@pytest.mark.parametrize("width", [2049, 5000])
def test_rows_that_are_too_long_for_blocks(rows: int, width: int) -> None:
    # What has one entry for each row is then computed row by row, in vectors of one entry.
    def function(x: Any, w: Any) -> Any:
        a, b, c = np.exp(w), np.cos(w), np.tanh(w)
        by_row = np.sum(x * a[:, np.newaxis] * b[:, np.newaxis] * c[:, np.newaxis], axis=1)
        by_column = np.sum(x.T * a * b * c, axis=1)
        return np.sum(by_row * by_row), by_column, by_row

    rng = np.random.default_rng(rows)
    x, w = rng.normal(size=(rows, width)), rng.normal(size=rows)
    native, reference = (
        sd.compile(
            lambda w, x: (function(x, w), sd.grad(lambda w, x: function(x, w)[0])(w, x)),
            engine=engine,
        )(w, x)
        for engine in ("native", "interpret")
    )
    for one, other in zip((*native[0], native[1]), (*reference[0], reference[1]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("columns", [1, 2, 15, 16, 17, 127, 128, 130, 300])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 16, 17, 37])
def test_sums_of_columns(rows: int, columns: int, dtype: str) -> None:
    rng = np.random.default_rng(rows * columns)
    x, weights = (rng.normal(size=shape).astype(dtype) for shape in ((rows,), (rows, columns)))

    def function(x: Any, weights: Any) -> Any:
        return x @ weights, np.sum(np.exp(weights), axis=0), np.max(weights, axis=0)

    native, reference = (
        sd.compile(function, engine=engine)(x, weights) for engine in ("native", "interpret")
    )
    for found, expected in zip(native, reference, strict=True):
        np.testing.assert_allclose(found, expected, 1e-5 if dtype == "f4" else 1e-12, 1e-5)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("columns", [1, 2, 7, 8, 9, 15, 16, 17, 33])
@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 40])
def test_rows_that_are_written_and_added_up(rows: int, columns: int, dtype: str) -> None:
    weights = np.random.default_rng(rows * columns).normal(size=(rows, columns)).astype(dtype)

    def function(weights: Any) -> Any:
        shifted = np.exp(weights - np.max(weights, axis=1, keepdims=True))
        return shifted, np.sum(shifted, axis=0), np.max(shifted, axis=0), np.prod(shifted, axis=0)

    native, reference = (
        sd.compile(function, engine=engine)(weights) for engine in ("native", "interpret")
    )
    for found, expected in zip(native, reference, strict=True):
        np.testing.assert_allclose(found, expected, 1e-5 if dtype == "f4" else 1e-12)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("columns", [1, 2, 3, 8, 9, 16, 17, 100])
def test_extrema_of_what_holds_nan(columns: int, dtype: str) -> None:
    def function(x: Any) -> Any:
        return np.max(x, axis=1), np.min(x, axis=1), np.max(x, axis=0), np.min(x), np.ptp(x, axis=1)

    compiled = sd.compile(function, engine="native")
    for place in (0, columns // 2, columns - 1):
        x = np.random.default_rng(columns).normal(size=(5, columns)).astype(dtype)
        x[2, place] = np.nan
        for found, expected in zip(compiled(x), function(x), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_function_of_several_vectors_at_a_time_is_that_of_single_entries(
    dtype: str, rows: int
) -> None:
    def function(x: Any, shift: Any) -> Any:
        return np.tanh(x + shift) * np.exp(-x)

    compiled = sd.compile(function)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 300)).astype(dtype)
    shift = rng.normal(size=300).astype(dtype)
    one_by_one = [[compiled(*pair) for pair in zip(row, shift, strict=True)] for row in x]
    # A vector has 2 to 16 entries, and four go side by side.
    for length in (1, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 129, 160, 300):
        part = np.ascontiguousarray(x[:, :length])
        found = compiled(part, shift[:length])
        np.testing.assert_array_equal(found, np.array(one_by_one)[:, :length])
