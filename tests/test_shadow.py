"""The shadow run finds what tracing lost, and says where."""

import builtins
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest.compiling import compile as compiled
from steepest.errors import ShadowRunError
from steepest.shadow import differences, independent_copy

X = np.array([1.0, 2.0, 3.0])


def lost_type_branch(x: Any) -> Any:
    y = x * 2
    scale = 3.0 if builtins.type(y) is np.ndarray else 1.0  # PARTS
    return np.sum(y * scale)


def swallowed_conversion(x: Any) -> Any:
    y = x * 2
    try:
        scale = builtins.float(np.sum(y))
    except TypeError:
        scale = 1.0
    return np.sum(y * scale)


def attribute_that_is_not_there(x: Any) -> Any:
    y = x + 1
    z = y * (2 if hasattr(y, "flags") else 1)  # PARTS
    return np.sum(z)


class Calls:
    """State that is kept between calls, where no guard sees it."""

    def __init__(self) -> None:
        self.counts = np.zeros(1)

    def __call__(self, x: Any) -> Any:
        self.counts += 1
        factor = self.counts[0] * 1.0
        z = x * factor
        return np.sum(z)


@pytest.mark.parametrize("function", [lost_type_branch, attribute_that_is_not_there])
@pytest.mark.parametrize(
    "run",
    [
        compiled,
        lambda function: sd.grad(function, shadow_run=True),
        lambda function: sd.value_and_grad(function, shadow_run=True),
    ],
    ids=["compile", "grad", "value_and_grad"],
)
def test_it_names_the_line_where_the_runs_part(function: Callable[..., Any], run: Any) -> None:
    with pytest.raises(ShadowRunError) as caught:
        run(function)(X)
    assert caught.value.line is not None
    assert caught.value.line.text.endswith("# PARTS")
    text = str(caught.value)
    assert "They part at" in text
    assert "when traced" in text
    assert "in plain NumPy" in text
    assert "Instead:" in text


@pytest.mark.parametrize("run", [compiled, lambda f: sd.grad(f, shadow_run=True)])
def test_a_swallowed_conversion_error(run: Any) -> None:
    with pytest.raises(ShadowRunError, match="differ"):
        run(swallowed_conversion)(X)


def test_state_between_calls() -> None:
    with pytest.raises(ShadowRunError):
        sd.grad(Calls(), shadow_run=True)(X)


def test_unrepeatable_random_numbers() -> None:
    rng = np.random.default_rng(1)
    with pytest.raises(ShadowRunError) as caught:
        sd.grad(lambda x: np.sum(x * rng.random(3)), shadow_run=True)(X)
    assert "random" in str(caught.value)


def test_the_values_of_both_runs_are_told() -> None:
    with pytest.raises(ShadowRunError) as caught:
        sd.grad(lost_type_branch, shadow_run=True)(X)
    assert "the result: 12. (float64[]) when traced, 36. (float64[]) in plain NumPy" in str(
        caught.value
    )
    assert "where scale is" in str(caught.value)


def test_grad_runs_it_only_when_asked_and_once() -> None:
    runs: list[type] = []

    def function(x: Any) -> Any:
        runs.append(builtins.type(x))
        return np.sum(x**2)

    gradient = sd.grad(function)
    gradient(X)
    assert len(runs) == 1
    runs.clear()
    gradient = sd.grad(function, shadow_run=True)
    gradient(X)
    assert runs[1:] == [np.ndarray]
    gradient(X)
    assert len(runs) == 3


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sum(x**2),
        lambda x: np.sum(np.where(x > 1, np.log(x), 0)),
        lambda x: np.sum(x) / 3,
        lambda x: np.mean(x) * np.inf,
        lambda x: np.sum(x) * np.nan,
        lambda x: np.sum(x) * 0 - 0.0,
        lambda x: 3.0,
        lambda x: sum(np.sum(x) for _ in range(100)),
    ],
)
def test_honest_functions_pass(function: Callable[[Any], Any]) -> None:
    sd.grad(function, shadow_run=True)(X)
    compiled(function)(X)


def test_it_does_not_change_the_users_arrays() -> None:
    def function(x: Any, scratch: Any) -> Any:
        scratch[:] = 7.0
        return np.sum(x)

    scratch = np.zeros(2)
    sd.grad(function, shadow_run=True)(X, scratch)
    before = X.copy()
    np.testing.assert_array_equal(X, before)

    def writing(x: Any) -> Any:
        if builtins.type(x) is np.ndarray:
            x[:] = 0
        return np.sum(x) * 0

    compiled(writing)(X)
    np.testing.assert_array_equal(X, before)


def test_a_debugger_stays_where_it_was() -> None:
    def trace(*_: Any) -> None:
        return None

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(ShadowRunError):
            sd.grad(lost_type_branch, shadow_run=True)(X)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(previous)


def test_aux_and_pytrees_are_compared_leaf_by_leaf() -> None:
    def function(w: Any) -> Any:
        loss = np.sum(w["W"])
        return loss, {"seen": 1.0 if builtins.type(w["W"]) is np.ndarray else 0.0}

    with pytest.raises(ShadowRunError, match=r"\[1\]\.seen"):
        sd.grad(function, has_aux=True, shadow_run=True)({"W": X})


def test_nested_gradients_are_compared_inside_the_outer_one() -> None:
    function = sd.grad(lambda x: np.sum(sd.grad(lost_type_branch)(x) * x), shadow_run=True)
    with pytest.raises(ShadowRunError):
        function(X)


@pytest.mark.parametrize(
    ("traced", "plain", "same"),
    [
        (1.0, 1.0, True),
        (1.0, 1.0 + 1e-12, True),
        (1.0, 1.001, False),
        (np.float32(1), np.float32(1 + 1e-6), True),
        (np.float32(1), np.float64(1), False),
        (np.ones(2), np.ones((2, 1)), False),
        (np.nan, np.nan, True),
        (np.nan, 1.0, False),
        (np.inf, np.inf, True),
        (np.inf, -np.inf, False),
        (np.array([1.0, np.inf]), np.array([1.0, np.inf]), True),
        (np.array([1.0, 1e300]), np.array([2.0, np.inf]), False),
        (0.0, 1e-300, False),
        (3, 3, True),
        (3, 4, False),
        (True, 1, False),
        ("a", "a", True),
        ("a", "b", False),
        (None, None, True),
        (None, 1.0, False),
        (np.array(["a"]), np.array(["b"]), False),
        ([1.0], (1.0,), False),
        ({"a": 1.0}, {"b": 1.0}, False),
        (1 + 1j, 1 + 2j, False),
    ],
)
def test_differences(traced: Any, plain: Any, same: bool) -> None:
    assert (differences(traced, plain) is None) is same


def test_independent_copy() -> None:
    tree = {"a": X, "b": [X, 3, "text"]}
    again = independent_copy(tree)
    again["a"][:] = 0
    again["b"][0][:] = 0
    np.testing.assert_array_equal(X, [1.0, 2.0, 3.0])
    assert again["b"][1:] == [3, "text"]
