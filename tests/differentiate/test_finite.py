"""A gradient that is not finite names the operation where it stopped being so, and its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest.errors import NotFiniteError


def _root_of_zero(x: Any) -> Any:
    root = np.sqrt(x - 1)  # here
    return np.sum(root * 2)


def _logarithm_of_zero(x: Any) -> Any:
    smaller = x - 1
    logs = np.log(smaller)  # here
    return np.sum(logs)


def _not_a_number_on_the_way(x: Any) -> Any:
    ratio = (x - 1) / (x - 1)  # here
    return np.sum(ratio**2)


def _given(x: Any) -> Any:
    return np.sum(x * np.array([np.nan, 1.0]))  # here


def _hidden_in_a_branch(x: Any) -> Any:
    # The value that is not finite is not chosen, and is not where the trouble is.
    safe = np.where(x > 5, np.log(x - 1), 0.0)
    return np.sum(safe) + np.sum(np.sqrt(x - 1))  # here


def _in_a_factorisation(x: Any) -> Any:
    values, vectors = np.linalg.eigh(np.eye(2) + (x - 1)[:, None])  # here
    return np.sum((vectors * np.sqrt(values)) @ vectors.T @ np.array([[1.0, 2.0], [3.0, 5.0]]))


def _written(x: Any) -> Any:
    out = np.zeros(2)
    out[0] = np.sqrt(x[0] - 1)  # here
    out[1] = x[1]
    return np.sum(out)


CASES = {
    "root": (_root_of_zero, "the derivative of sqrt is not finite there"),
    "logarithm": (_logarithm_of_zero, "log is the first operation to give an infinity"),
    "ratio": (_not_a_number_on_the_way, "divide is the first operation to give NaN"),
    "given": (_given, "multiply is given NaN that the function reads"),
    "branch": (_hidden_in_a_branch, "the derivative of sqrt is not finite there"),
    "factorisation": (_in_a_factorisation, "the derivative of eigh is not finite there"),
    "written": (_written, "the derivative of sqrt is not finite there"),
}


def _line(function: Callable[..., Any]) -> int:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    start = function.__code__.co_firstlineno
    return next(i for i in range(start, len(lines) + 1) if "# here" in lines[i - 1])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("function", "message"), list(CASES.values()), ids=list(CASES))
@pytest.mark.parametrize("transform", [sd.grad, sd.value_and_grad])
def test_the_operation_is_named(transform: Any, function: Callable[..., Any], message: str) -> None:
    x = np.ones(2)
    with pytest.raises(NotFiniteError) as caught:
        transform(function, check_finite=True)(x)
    assert message in caught.value.message
    assert "gradient by argument 0" in caught.value.message
    assert caught.value.line is not None
    assert caught.value.line.number == _line(function)
    transform(function)(x)


def test_the_leaf_is_named() -> None:
    def loss(weights: dict[str, Any], scale: float) -> Any:
        return np.sum(np.sqrt(weights["W"])) * scale + np.sum(weights["b"])

    weights = {"W": np.zeros(2), "b": np.ones(2)}
    with pytest.raises(NotFiniteError, match=r"gradient by W of argument 0: the derivative of"):
        sd.grad(loss, check_finite=True)(weights, 2.0)


def test_an_argument_that_is_not_finite() -> None:
    with pytest.raises(NotFiniteError, match="there is NaN in the argument itself"):
        sd.grad(lambda x: np.sum(x**2), check_finite=True)(np.array([1.0, np.nan]))


def test_what_is_finite_passes() -> None:
    def loss(x: Any) -> Any:
        return np.sum(np.where(x > 0, x * np.log(np.where(x > 0, x, 1.0)), 0.0))

    x = np.array([0.0, 1.0])
    np.testing.assert_array_equal(sd.grad(loss, check_finite=True)(x), sd.grad(loss)(x))
    auxiliary = sd.grad(lambda x: (np.sum(x), "kept"), has_aux=True, check_finite=True)(x)
    assert auxiliary[1] == "kept"


def test_nested_and_compiled() -> None:
    gradient = sd.grad(np.sqrt, check_finite=True)
    assert sd.grad(gradient)(4.0) == -1 / 32
    assert sd.compile(gradient)(4.0) == 0.25
    with pytest.raises(NotFiniteError):
        sd.grad(gradient)(0.0)
