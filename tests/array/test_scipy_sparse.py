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
        lambda m, x: m.multiply(x)[[0, 1], [1, 0]],
        lambda m, x: m.multiply(x) ** -1,
        lambda m, x: m.multiply(x).maximum(m),
        lambda m, x: sparse.linalg.norm(m.multiply(x), 1),
        lambda m, x: m.multiply(np.stack([[x]] * 4)),
        lambda m, x: sparse.bsr_array(m.multiply(x).toarray().reshape(2, 2, 4)),
        lambda m, x: sparse.linalg.splu(m.multiply(x)),
        lambda m, x: sparse.linalg.cg(m.multiply(x), V)[0],
        lambda m, x: sparse.linalg.lsqr(m, x)[0],
        lambda m, x: sparse.linalg.spsolve(np.eye(4), x),
    ],
)
def test_refusals(call: Callable[[Any, Any], Any]) -> None:
    matrix = sparse.csr_array(DENSE)
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda x: np.sum(call(matrix, x)))(V)
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead


SQUARE = sparse.csr_array(DENSE @ DENSE.T)
PLACES = ([0, 1, 1, 3], [2, 2, 0, 1])
POINTERS = ([0, 1, 2, 0], [0, 2, 2, 3, 4])
OF_TRACED: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "diags": (lambda x: sparse.diags([x[:3], x, -x[:3]], [-1, 0, 1]) @ V, V),
    "diags of one": (lambda x: sparse.diags(x) * V, V),
    "diags_array": (
        lambda x: sparse.diags_array([x[:3], 2.0], offsets=[1, 0], shape=(4, 4)) @ x,
        V,
    ),
    "diags, constant": (lambda x: sparse.diags([x[0], x[1]], [0, 1], shape=(4, 4)).toarray(), V),
    "csr_array": (lambda x: sparse.csr_array((x, PLACES), shape=(4, 4)) @ V, V),
    "coo_matrix": (lambda x: sparse.coo_matrix((x, PLACES)).toarray(), V),
    "csr_matrix": (lambda x: sparse.csr_matrix((x, *POINTERS), shape=(4, 4)) * V, V),
    "csc_array": (lambda x: sparse.csc_array((x, *POINTERS), shape=(4, 4)) @ X, V),
    "of a dense one": (lambda x: sparse.csr_array(x) @ V, DENSE),
    "from the left": (lambda x: X.T @ sparse.diags_array(x), V),
    "diagonal": (lambda x: (SQUARE * x[0]).diagonal() * (SQUARE * x[0]).trace(), V),
    "mean": (lambda x: SQUARE.multiply(x).mean() + SQUARE.multiply(x).sum(axis=1), V),
    "spsolve": (lambda x: solve.spsolve((SQUARE + sparse.diags_array(x**2)).tocsc(), V), V),
    "spsolve by all": (
        lambda x: solve.spsolve((SQUARE + sparse.diags_array(x**2)).tocsr(), X * x[0]),
        V,
    ),
    "products": (lambda x: (SQUARE * x[0] @ sparse.diags_array(x) @ SQUARE).toarray(), V),
    "product of both": (
        lambda x: (sparse.csr_array((x, PLACES), (4, 4)).T @ (SQUARE * x[1])).toarray(),
        V,
    ),
    "entries times entries": (lambda x: (SQUARE * x[0]).multiply(SQUARE * x).toarray(), V),
    "power of a matrix": (lambda x: (sparse.csr_matrix((x, PLACES), (4, 4)) ** 3) @ V, V),
    "powers of entries": (lambda x: (abs(SQUARE * x[0]) ** 2).sqrt().power(3).toarray(), V),
    "an entry and a part": (lambda x: (SQUARE * x)[1, 1] * (SQUARE * x)[1:, :2].toarray(), V),
    "blocks": (
        lambda x: sparse.block_array([[SQUARE * x[0], None], [None, sparse.diags(x)]]).toarray(),
        V,
    ),
    "stacked": (
        lambda x: sparse.hstack([sparse.vstack([SQUARE * x, SQUARE]), np.ones((8, 1))]).toarray(),
        V,
    ),
    "block_diag": (lambda x: sparse.block_diag([SQUARE * x[0], SQUARE]).toarray(), V),
    "kron": (lambda x: sparse.kron(sparse.diags_array(x), SQUARE).toarray(), V),
    "norm": (lambda x: solve.norm(SQUARE * x), V),
    "splu": (lambda b: solve.splu(SQUARE.tocsc()).solve(b), V),
    "splu, transposed": (lambda b: solve.splu(sparse.csc_array(DENSE)).solve(b, "T"), X),
    "factorized": (lambda b: solve.factorized(SQUARE.tocsc())(b), V),
}


@pytest.mark.parametrize("name", OF_TRACED)
def test_traced_matrices(name: str) -> None:
    check(*OF_TRACED[name])


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("form", [*FORMATS, "lil", "dok"])
def test_matrices_times_traced_values(form: str, kind: str) -> None:
    matrix = getattr(sparse, f"coo_{kind}")(DENSE).asformat(form)

    def call(x: Any, matrix: Any = matrix) -> Any:
        total = (x[0] * matrix) @ V + (matrix * x[1]).dot(x) + (matrix / x[2]) @ V
        total = total + matrix.multiply(x).T @ V + matrix.multiply(x[:, None]) @ V
        both = matrix + x[0] * matrix - 2 * matrix
        return total + both @ x + np.sum(matrix.multiply(X @ X.T * x).toarray(), axis=0)

    check(call, V, single=form not in ("lil", "dok"))


@pytest.mark.parametrize(
    "name",
    ["bicg", "bicgstab", "cg", "cgs", "gcrotmk", "gmres", "lgmres", "minres", "qmr", "tfqmr"],
)
def test_iterated_solutions(name: str) -> None:
    iterated = getattr(solve, name)

    def call(b: Any) -> Any:
        return getattr(solve, name)(SQUARE, b, rtol=1e-12)[0]

    gradient = sd.grad(lambda b: np.sum(np.tanh(call(b))))(V)
    exact = sd.grad(lambda b: np.sum(np.tanh(solve.spsolve(SQUARE.tocsc(), b))))(V)
    np.testing.assert_allclose(gradient, exact, rtol=1e-6)
    if name != "bicgstab":  # What that finds is noisy.
        check(call, V, compiles=False, single=False)
    assert sd.vjp(lambda b: getattr(solve, name)(SQUARE, b)[0], V)[0].tolist() == list(
        iterated(SQUARE, V)[0]
    )


def test_an_iterated_solution_with_a_dense_matrix() -> None:
    check(lambda b: solve.cg(DENSE @ DENSE.T, b, rtol=1e-12)[0], V, compiles=False, single=False)


def test_sizes_that_do_not_fit_are_errors() -> None:
    with pytest.raises(ValueError, match="mismatch"):
        sd.grad(lambda x: np.sum(sparse.csr_array(DENSE) @ x))(np.ones(3))
