"""The reference engine: NumPy's bits, captured arrays by reference, nothing held too long."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest.compiling import compile as compiled
from steepest.engines import Interpreter, replay

X = np.array([0.5, -1.0, 2.0])
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "element by element": lambda x: np.sin(x) * 2 - x / 3,
    "reduction": lambda x: np.sum(x**2) / np.max(x),
    "movement": lambda x: np.stack([x, x[::-1]]).T,
    "indexing": lambda x: x[np.array([2, 0])] + x[1],
    "product": lambda x: np.outer(x, x) @ x,
    "comparison": lambda x: np.where(x > 0, np.log(np.abs(x)), -x),
    "dtype": lambda x: x.astype(np.float32) * 2,
    "shape": lambda x: np.reshape(np.repeat(x, 2), (2, 3)),
}


def interpreter(function: Callable[..., Any], *args: Any) -> Interpreter:
    return Interpreter(compiled(function).graph(*args))


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_it_gives_numpys_bits(function: Callable[[Any], Any]) -> None:
    (result,) = interpreter(function, X)([X])
    expected = function(X)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == expected.dtype


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_replay_records_the_same_on_an_outer_trace(function: Callable[[Any], Any]) -> None:
    graph = compiled(function).graph(X)

    def replayed(x: Any) -> Any:
        return np.sum(replay(graph, [x])[0])

    np.testing.assert_allclose(
        sd.grad(replayed)(X), sd.grad(lambda x: np.sum(function(x)))(X), rtol=1e-14
    )


def test_it_runs_many_times_on_other_values() -> None:
    run = interpreter(lambda x, y: x * y, X, 1.0)
    for factor in (2.0, -3.0):
        np.testing.assert_array_equal(run([X, factor])[0], X * factor)


def test_inputs_and_constants_may_be_results() -> None:
    run = interpreter(lambda x: (x, x, x + 1), X)
    first, second, third = run([X])
    assert first is X
    assert second is X
    np.testing.assert_array_equal(third, X + 1)


def test_captured_arrays_are_read_at_each_run() -> None:
    data = np.ones(3)
    run = interpreter(lambda x: x * data, X)
    data[:] = 5.0
    np.testing.assert_array_equal(run([X])[0], X * 5)


def test_values_are_dropped_after_their_last_use() -> None:
    alive: list[int] = []
    references: list[weakref.ref[Any]] = []

    def watch(values: Any) -> Any:
        result = np.negative(values)
        references.append(weakref.ref(result))
        alive.append(sum(reference() is not None for reference in references))
        return result

    def function(x: Any) -> Any:
        for _ in range(20):
            x = -x
        return x

    run = interpreter(function, X)
    run._steps = [(watch, *step[1:]) for step in run._steps]
    gc.disable()
    try:
        run([X])
    finally:
        gc.enable()
    assert len(alive) == 20
    assert max(alive) == 2, "each value and the one it is made from"


def test_a_branch_not_taken_does_not_warn() -> None:
    run = interpreter(sd.grad(lambda x: np.sum(np.where(x > 0, np.log(x), 0.0))), X)
    (result,) = run([np.array([0.0, 1.0, 2.0])])
    np.testing.assert_array_equal(result, [0.0, 1.0, 0.5])


def test_numpys_errors_come_through() -> None:
    index = np.array([1])
    run = interpreter(lambda x: x[index], X)
    index[0] = 7
    with pytest.raises(IndexError, match="out of bounds"):
        run([X])


def test_a_wrong_number_of_inputs_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        interpreter(lambda x: x * 2, X)([X, X])
