"""Constant sparse matrices times traced arrays, and systems with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from tests.array.scipy_calls import check, check_type

import steepest as sd
from steepest.errors import CapturedArrayChangedError, UnsupportedError
from steepest.ops.sparse import FORMATS

sparse: Any = scipy.sparse
solve: Any = scipy.sparse.linalg
rng = np.random.default_rng(0)
DENSE = rng.normal(size=(4, 4)) * (rng.uniform(size=(4, 4)) < 0.6) + np.eye(4)
V = rng.normal(size=4)
X = rng.normal(size=(4, 3))

CALLS: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {
    "matrix @ x": (lambda m, x: m @ x, V),
    "matrix @ X": (lambda m, x: m @ x, X),
    "x @ matrix": (lambda m, x: x @ m, V),
    "X @ matrix": (lambda m, x: x @ m, X.T),
    "matrix.T @ x": (lambda m, x: m.T @ x, V),
    "a column": (lambda m, x: m @ x, V[:, None]),
    "twice": (lambda m, x: m @ (m @ x) + x @ (m @ x), V),
}


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("form", FORMATS)
def test_products(form: str, kind: str) -> None:
    matrix = getattr(sparse, f"coo_{kind}")(DENSE).asformat(form)
    for call, x in CALLS.values():

        def product(x: Any, factor: Any = matrix, call: Any = call) -> Any:
            return call(factor, x)

        check_type(product, x, product(x))
        gradient = sd.grad(lambda x, product=product: np.sum(np.tanh(product(x))))(x)
        expected = sd.grad(lambda x, product=product: np.sum(np.tanh(product(x, DENSE))))(x)
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CALLS)
def test_derivatives_of_products(name: str) -> None:
    call, x = CALLS[name]
    matrix = sparse.csr_array(DENSE)
    check(lambda x: call(matrix, x), x)


@pytest.mark.parametrize("form", FORMATS)
def test_the_method(form: str) -> None:
    matrix = sparse.coo_array(DENSE).asformat(form)
    gradient = sd.grad(lambda x: np.sum(np.tanh(matrix.dot(x))))(X)
    expected = sd.grad(lambda x: np.sum(np.tanh(matrix @ x)))(X)
    np.testing.assert_array_equal(gradient, expected)


def test_the_operator_of_a_matrix() -> None:
    matrix = sparse.csr_matrix(DENSE)
    check(lambda x: matrix * x, V)
    check(lambda x: x * matrix, V)


@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 1)])
def test_systems(shape: tuple[int, ...]) -> None:
    matrix = sparse.csc_array(DENSE)
    check(lambda b: solve.spsolve(matrix, b), rng.normal(size=shape))


def test_a_rectangular_matrix() -> None:
    matrix = sparse.random_array((50, 7), density=0.2, rng=rng, format="csr")
    check(lambda x: matrix @ x, rng.normal(size=7))
    check(lambda x: x @ matrix, rng.normal(size=50))


def test_complex_matrices() -> None:
    matrix = sparse.csr_array(DENSE * (1 + 2j))
    check(lambda x: np.abs(matrix @ x), V, single=False)


def test_what_does_not_flow_cannot_poison() -> None:
    matrix = sparse.csr_array([[1.0, np.inf], [0.0, 2.0]])

    def loss(x: Any) -> Any:
        return (matrix @ x)[1]

    np.testing.assert_array_equal(sd.grad(loss)(np.array([1.0, 3.0])), [0.0, 2.0])


def test_a_matrix_that_changes_is_read_at_each_call() -> None:
    matrix = sparse.csr_array(DENSE)
    compiled = sd.compile(lambda x: np.sum(matrix @ x))
    assert np.isclose(compiled(V), np.sum(DENSE @ V))
    matrix.data *= 2
    assert np.isclose(compiled(V), 2 * np.sum(DENSE @ V))


def test_a_matrix_that_is_written_into_before_the_backward_pass() -> None:
    matrix = sparse.random_array((2000, 2000), density=0.05, rng=rng, format="csr")

    def loss(x: Any) -> Any:
        total = np.sum(np.square(matrix @ x))
        matrix.data[:] = 0
        return total

    with pytest.raises(CapturedArrayChangedError):
        sd.grad(loss)(np.ones(2000))


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.tolil() @ x,
        lambda m, x: m.todok() @ x,
        lambda m, x: m * x[0],
        lambda m, x: m.multiply(x),
        lambda m, x: sparse.csr_array(np.eye(4) * x).sum(),
        lambda m, x: sparse.linalg.spsolve(np.eye(4), x),
        lambda m, x: sparse.linalg.cg(m, x)[0],
        lambda m, x: sparse.linalg.splu(m.tocsc()).solve(x),
        lambda m, x: sparse.linalg.factorized(m.tocsc())(x),
    ],
)
def test_refusals(call: Callable[[Any, Any], Any]) -> None:
    matrix = sparse.csr_array(DENSE)
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda x: np.sum(call(matrix, x)))(V)
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead


def test_sizes_that_do_not_fit_are_errors() -> None:
    with pytest.raises(ValueError, match="mismatch"):
        sd.grad(lambda x: np.sum(sparse.csr_array(DENSE) @ x))(np.ones(3))
