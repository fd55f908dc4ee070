"""Matrices of equal eigen- or singular values, of lost rank, and of any size of entries.

Where a function of a matrix is smooth, its derivative is right there or, where eigenvalues and
eigenvectors alone do not determine it, NaN. It is never a wrong number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.array.conftest import central_difference

import steepest as sd

linalg: Any = np.linalg
rng = np.random.default_rng(0)
G = rng.normal(size=(3, 3))
Q = linalg.qr(rng.normal(size=(3, 3)) + 1j * rng.normal(size=(3, 3))).Q
TALL = rng.normal(size=(4, 3))
TURN = linalg.qr(rng.normal(size=(3, 3))).Q

EQUAL = {
    "identity": np.eye(3),
    "two equal": TURN @ np.diag([1.0, 1.0, 2.0]) @ TURN.T,
    "spike": np.eye(3) + np.outer(TURN[0], TURN[0]),
    "complex": Q @ np.diag([1.0, 1.0, 2.0]) @ np.conj(Q.T),
    # As some processors' LAPACK finds them.
    "equal but for rounding": np.diag([1.0, 1.0 + 2.0**-49, 2.0]),
    "large": 1e8 * (np.eye(3) + np.outer(TURN[0], TURN[0])),
    "small": 1e-8 * (np.eye(3) + np.outer(TURN[0], TURN[0])),
}
every_matrix = pytest.mark.parametrize("name", EQUAL)


def hermitian(x: Any) -> Any:
    return (x + np.conj(x.T)) / 2


def weighted(x: Any) -> Any:
    return np.sum(G * x.real)


def by_eigenvectors(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def value(x: Any) -> Any:
        values, vectors = linalg.eigh(hermitian(x))
        return weighted((vectors * function(values)) @ np.conj(vectors.T))

    return value


def slope_along(function: Callable[[Any], Any], x: Any, along: Any) -> Any:
    return central_difference(lambda t: function(x + t * along))


def check(function: Callable[[Any], Any], x: Any, tolerance: float = 1e-8) -> None:
    """Compare the derivative along random directions, both modes, with differences."""
    directions = np.random.default_rng(1)
    size = linalg.norm(x)
    gradient = sd.grad(function)(x)
    assert np.all(np.isfinite(gradient))
    for _ in range(3):
        along = directions.normal(size=x.shape) * size
        if x.dtype.kind == "c":
            along = along + 1j * directions.normal(size=x.shape) * size
        expected = slope_along(function, x, along)
        bound = tolerance * (abs(function(x)) + abs(expected))
        assert abs(np.real(np.sum(gradient * along)) - expected) <= bound


def polar(x: Any) -> Any:
    left, _, right = linalg.svd(x)
    return weighted(left @ right)


@every_matrix
@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: np.sum(linalg.eigvalsh(hermitian(x)) ** 3), id="eigvalsh"),
        pytest.param(lambda x: np.sum(linalg.eigh(hermitian(x))[0] ** 3), id="eigh values"),
        pytest.param(lambda x: np.sum(linalg.svd(x)[1] ** 3), id="svd values"),
        pytest.param(lambda x: linalg.norm(x, "nuc"), id="nuclear norm"),
        pytest.param(lambda x: np.sum(linalg.eig(x)[0] ** 3).real, id="eig values"),
        pytest.param(lambda x: np.sum(linalg.eigvals(x) ** 3).real, id="eigvals"),
        pytest.param(polar, id="polar factor"),
        pytest.param(lambda x: weighted(linalg.pinv(x)), id="pinv"),
        pytest.param(lambda x: weighted(linalg.pinv(x, 0.3)), id="truncated pinv"),
        pytest.param(lambda x: weighted(linalg.cholesky(hermitian(x))), id="cholesky"),
    ],
)
def test_smooth_functions_have_their_gradient(function: Callable[[Any], Any], name: str) -> None:
    check(function, EQUAL[name])


@every_matrix
def test_projection_on_an_eigenspace_has_its_gradient(name: str) -> None:
    if name == "identity":
        return  # Of which no part is apart from the rest.

    def projection(x: Any) -> Any:
        vectors = linalg.eigh(hermitian(x))[1][:, :2]
        return weighted(vectors @ np.conj(vectors.T))

    def by_singular_vectors(x: Any) -> Any:
        vectors = linalg.svd(x)[0][:, :1]
        return weighted(vectors @ np.conj(vectors.T))

    check(projection, EQUAL[name])
    check(by_singular_vectors, EQUAL[name])


def differences(function: Callable[[Any], Any], x: Any) -> Any:
    """Differentiate by every entry, as gradients of complex numbers are."""
    result = np.zeros_like(x)
    size = linalg.norm(x)
    for place in np.ndindex(x.shape):
        for unit in (1, 1j) if x.dtype.kind == "c" else (1,):
            step = np.zeros_like(x)
            step[place] = unit * size
            result[place] += slope_along(function, x, step) / size / unit
    return result


@every_matrix
@pytest.mark.parametrize("function", [np.sqrt, np.log, lambda w: w])
def test_what_the_cotangents_do_not_determine_is_nan(
    function: Callable[[Any], Any], name: str
) -> None:
    x, loss = EQUAL[name], by_eigenvectors(function)
    for gradient in (sd.grad(loss), sd.compile(sd.grad(loss))):
        found = gradient(x)
        known = np.isfinite(found)
        assert not np.all(known)
        # Products with zeros keep what is known.
        expected = differences(loss, x)
        np.testing.assert_allclose(found[known], expected[known], rtol=1e-6, atol=1e-9)


def by_separate_calls(x: Any) -> Any:
    x = hermitian(x)
    values, vectors = linalg.eigvalsh(x), linalg.eigh(x)[1]
    return weighted((vectors * np.sqrt(values)) @ np.conj(vectors.T))


def by_separate_calls_in_the_other_order(x: Any) -> Any:
    x = hermitian(x)
    vectors, values = linalg.eigh(x)[1], linalg.eigh(x)[0]
    return weighted((vectors * np.sqrt(values)) @ np.conj(vectors.T))


def by_separate_singular_values(x: Any) -> Any:
    values, (left, _, right) = linalg.svdvals(x), linalg.svd(x)
    return weighted((left * values**2) @ right)


@every_matrix
@pytest.mark.parametrize(
    "function",
    [by_separate_calls, by_separate_calls_in_the_other_order, by_separate_singular_values],
)
def test_values_and_vectors_of_separate_calls_are_taken_together(
    function: Callable[[Any], Any], name: str
) -> None:
    x = EQUAL[name]
    for gradient in (
        sd.grad(function),
        sd.compile(sd.grad(function)),
        sd.grad(sd.compile(function)),
    ):
        assert not np.all(np.isfinite(gradient(x)))
    apart = x + np.diag([0.0, 0.3, 0.7]) * linalg.norm(x)
    found, expected = sd.grad(function)(apart), differences(function, apart)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def full_after_values(x: Any) -> Any:
    values, (left, _, right) = linalg.svdvals(x), linalg.svd(x)
    return np.sum(TALL * ((left[:, :3] * values**2) @ right))


def full_before_values(x: Any) -> Any:
    left, _, right = linalg.svd(x)
    return np.sum(TALL * ((left[:, :3] * linalg.svd(x, compute_uv=False) ** 2) @ right))


def reduced_after_values(x: Any) -> Any:
    values, (left, _, right) = linalg.svdvals(x), linalg.svd(x, full_matrices=False)
    return np.sum(TALL * ((left * values**2) @ right))


def values_of_the_full_one(x: Any) -> Any:
    values, (left, _, right) = linalg.svd(x)[1], linalg.svd(x, full_matrices=False)
    return np.sum(TALL * ((left * values**2) @ right))


def values_of_the_reduced_one(x: Any) -> Any:
    values, (left, _, right) = linalg.svd(x, full_matrices=False).S, linalg.svd(x)
    return np.sum(TALL * ((left[:, :3] * values**2) @ right)) + np.sum(linalg.svdvals(x))


@pytest.mark.parametrize(
    "function",
    [
        values_of_the_full_one,
        values_of_the_reduced_one,
        full_after_values,
        full_before_values,
        reduced_after_values,
    ],
)
def test_separate_calls_of_a_matrix_that_is_not_square(function: Callable[[Any], Any]) -> None:
    for gradient in (sd.grad(function), sd.compile(sd.grad(function))):
        assert not np.any(np.isfinite(gradient(linalg.qr(TALL).Q)))
        found, expected = gradient(TALL), differences(function, TALL)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_two_decompositions_of_a_matrix_that_is_not_square() -> None:
    def of_both(x: Any) -> Any:
        (left, values, right), (_, others, full) = linalg.svd(x, full_matrices=False), linalg.svd(x)
        return np.sum(TALL * ((left * values**2) @ right)) + np.sum(others[:2] * full[:2, 0] ** 2)

    for transform in (sd.grad, lambda f: sd.compile(sd.grad(f)), lambda f: sd.grad(sd.compile(f))):
        found, expected = transform(of_both)(TALL), differences(of_both, TALL)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    along = np.cos(np.arange(12.0)).reshape(4, 3)
    second = sd.hvp(of_both, TALL, along)
    expected = central_difference(lambda t: sd.grad(of_both)(TALL + t * along))
    np.testing.assert_allclose(second, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@every_matrix
def test_basis_of_an_eigenspace_has_no_derivative(name: str) -> None:
    for function in (
        lambda x: weighted(linalg.eigh(hermitian(x))[1]),
        lambda x: weighted(linalg.svd(x)[0]),
    ):
        assert not np.all(np.isfinite(sd.grad(function)(EQUAL[name])))


def test_forward_mode_at_equal_eigenvalues() -> None:
    direction = G + G.T
    for values in (lambda x: linalg.eigh(x)[0], linalg.eigvalsh, linalg.svdvals, linalg.eigvals):
        value, tangent = sd.jvp(
            lambda x, values=values: np.sum(values(x) ** 2), (np.eye(3),), (direction,)
        )
        np.testing.assert_allclose(value, 3)
        np.testing.assert_allclose(tangent, 2 * np.trace(direction))
    for vectors in (lambda x: linalg.eigh(x)[1], lambda x: linalg.svd(x)[0]):
        _, tangent = sd.jvp(vectors, (np.eye(3),), (direction,))
        assert not np.all(np.isfinite(tangent))


@every_matrix
@pytest.mark.parametrize("values", [linalg.eigvalsh, linalg.svdvals, linalg.eigvals])
def test_second_derivative_at_equal_values_is_right_or_nan(
    values: Callable[[Any], Any], name: str
) -> None:
    x = EQUAL[name]
    direction = G + G.T
    identity = np.eye(9).reshape(3, 3, 3, 3)
    if x.dtype.kind == "c":
        return
    for f, expected in (
        (lambda x: np.real(np.sum(values(hermitian(x)) ** 2)), direction * 2),
        (lambda x: np.real(np.sum(values(hermitian(x)))), direction * 0),
    ):
        hessian = sd.hessian(f)(x)
        known = np.isfinite(hessian)
        assert np.all(known) or not np.all(np.isfinite(sd.hvp(f, x, direction)))
        exact = (identity + identity.transpose(1, 0, 2, 3)) * (expected[0, 0] != 0)
        np.testing.assert_allclose(hessian[known], exact[known], atol=1e-6)


def test_eigenvectors_whose_first_component_is_zero() -> None:
    """LAPACK makes it real; where it is 0, a loss that has a derivative is none of the phase."""
    flip, sign = np.array([[0, 1], [1, 0]]), np.diag([1, -1])
    blocks = 0.5 * np.kron(sign, np.eye(2)) - np.kron(sign, sign) + 0j
    mixing = np.kron(flip, np.eye(2)) + np.kron(np.array([[0, -1j], [1j, 0]]), flip)

    def loss(t: Any) -> Any:
        values, vectors = linalg.eigh(blocks + t * mixing)
        moved = (vectors * np.exp(-1j * values)) @ np.conj(vectors.T) @ np.arange(1, 5)
        return np.abs(moved[0]) ** 2 + np.real(moved[1] * moved[2])

    slope = slope_along(loss, 0.0, 1.0)
    curvature = slope_along(sd.grad(loss), 0.0, 1.0)
    np.testing.assert_allclose(sd.grad(loss)(0.0), slope, rtol=1e-8)
    np.testing.assert_allclose(sd.jvp(loss, (0.0,), (1.0,))[1], slope, rtol=1e-8)
    np.testing.assert_allclose(sd.hessian(loss)(0.0), curvature, rtol=1e-8)
    assert np.isnan(sd.grad(lambda t: np.sum(np.imag(linalg.eigh(blocks + t * mixing)[1])))(0.0))


@pytest.mark.parametrize("turn", [np.eye(2), linalg.qr(G[:2, :2]).Q])
def test_matrix_without_a_basis_of_eigenvectors(turn: Any) -> None:
    """Smooth functions of its eigenvalues have gradients that the eigenvalues do not know."""
    x = turn @ np.array([[1.0, 1.0], [0.0, 1.0]]) @ turn.T

    def squares(x: Any) -> Any:
        return np.real(np.sum(linalg.eigvals(x) ** 2))

    assert not np.all(np.isfinite(sd.grad(squares)(x)))
    assert not np.isfinite(sd.jvp(squares, (x,), (G[:2, :2],))[1])
    assert np.all(np.isfinite(sd.grad(squares)(x + np.diag([0.0, 1e-3]))))


# Lost rank


def truncated(x: Any) -> Any:
    left, values, right = linalg.svd(x, full_matrices=False)
    return np.sum(G * ((left[:, :2] * values[:2]) @ right[:2]))


def test_truncation_of_a_singular_matrix() -> None:
    """As many as there are singular values that are not 0."""
    x = rng.normal(size=(3, 2)) @ rng.normal(size=(2, 3))
    check(truncated, x)


def test_reconstruction_of_a_matrix_that_lost_rank_is_nan() -> None:
    def reconstructed(x: Any) -> Any:
        left, values, right = linalg.svd(x, full_matrices=False)
        return np.sum((left * values) @ right)

    x = np.outer([1.0, 2.0, 3.0], [1.0, 2.0])
    assert not np.any(np.isfinite(sd.grad(reconstructed)(x)))
    check(reconstructed, rng.normal(size=(3, 2)))
    # In a square matrix one vanishing value leaves nothing open.
    check(reconstructed, rng.normal(size=(3, 2)) @ rng.normal(size=(2, 3)))


def test_space_beyond_the_singular_values() -> None:
    def onto_null_space(x: Any) -> Any:
        below = linalg.svd(x)[2][2:]
        return np.sum(np.outer(np.arange(4), [1, 2, 0, 1]) * (below.conj().T @ below).real)

    for x in (rng.normal(size=(2, 4)), rng.normal(size=(2, 4)) + 1j * rng.normal(size=(2, 4))):
        check(onto_null_space, x)
        np.testing.assert_allclose(
            sd.compile(sd.grad(onto_null_space))(x), sd.grad(onto_null_space)(x), atol=1e-12
        )


def test_rank_that_stays_lost() -> None:
    """Of a pseudo-inverse there is a derivative within the matrices of its rank."""
    left, right = rng.normal(size=(4, 2)), rng.normal(size=(2, 3))

    def moved(t: Any) -> Any:
        x = (left + t * G[:1, :2]) @ (right + t * G[:2])
        return np.sum(linalg.pinv(x, 1e-10) * np.arange(12).reshape(3, 4))

    np.testing.assert_allclose(sd.grad(moved)(0.0), central_difference(moved), rtol=1e-8)


def test_dropped_singular_values_have_their_part() -> None:
    """Singular values that a cutoff drops still turn those that stay."""
    x = TURN @ np.diag([3.0, 2.0, 0.5]) @ np.abs(Q)
    for shape in ((3, 3), (3, 2), (2, 3)):
        matrix = x[: shape[0], : shape[1]]
        check(lambda x: np.sum(G[: x.shape[1], : x.shape[0]] * linalg.pinv(x, 0.45)), matrix)
        check(lambda x: np.sum(linalg.lstsq(x, np.arange(len(x)) + 1.0, 0.45)[0] ** 2), matrix)


# Sizes


@pytest.mark.parametrize("size", [1e-8, 1e-3, 1e3, 1e8, 1e-100, 1e100])
@pytest.mark.parametrize(
    "function",
    [
        pytest.param(linalg.det, id="det"),
        pytest.param(lambda x: linalg.slogdet(x)[1], id="slogdet"),
        pytest.param(lambda x: np.sum(G * linalg.inv(x)), id="inv"),
        pytest.param(lambda x: np.sum(G * linalg.solve(x, x[::-1])), id="solve"),
        pytest.param(lambda x: np.sum(G * linalg.cholesky(x @ x.T)), id="cholesky"),
        pytest.param(lambda x: np.sum(G * linalg.eigh(x)[1]), id="eigh"),
        pytest.param(lambda x: np.sum(np.abs(linalg.eig(x)[1] * G)), id="eig"),
        pytest.param(lambda x: np.sum(G * linalg.svd(x)[0]), id="svd"),
        pytest.param(lambda x: np.sum(G * linalg.qr(x)[0]), id="qr"),
        pytest.param(lambda x: np.sum(G * linalg.pinv(x)), id="pinv"),
        pytest.param(lambda x: np.sum(G * linalg.lstsq(x, G)[0]), id="lstsq"),
        pytest.param(linalg.norm, id="norm"),
        pytest.param(linalg.cond, id="cond"),
    ],
)
def test_size_of_the_entries_does_not_matter(
    function: Callable[[Any], Any], size: float, request: pytest.FixtureRequest
) -> None:
    if abs(np.log10(size)) > 50 and request.node.callspec.id.startswith(("det", "pinv", "norm")):
        return  # Cubes and squares are beyond the numbers there are.
    check(function, G * size, tolerance=1e-7)


# Errors


def test_error_names_the_line_of_the_user_when_compiled() -> None:
    def loss(x: Any) -> Any:
        return np.sum(linalg.inv(x - x))

    for compiled in (sd.compile(loss), sd.compile(sd.grad(loss), engine="interpret")):
        with pytest.raises(np.linalg.LinAlgError, match="Singular") as caught:
            compiled(np.eye(2))
        assert "np.sum(linalg.inv(x - x))" in "".join(caught.value.__notes__)
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        sd.grad(loss)(np.eye(2))


@pytest.mark.parametrize("dtype", ["e", "g", "G"])
@pytest.mark.parametrize(
    "function",
    [
        linalg.inv,
        linalg.eigh,
        linalg.eig,
        linalg.eigvals,
        linalg.svd,
        linalg.svdvals,
        linalg.qr,
        linalg.pinv,
        linalg.slogdet,
        linalg.cholesky,
        lambda x: linalg.lstsq(x, x),
        linalg.cond,
    ],
)
def test_precisions_that_lapack_lacks(function: Callable[..., Any], dtype: str) -> None:
    x = np.eye(2).astype(dtype)
    for call in (function, lambda x: sd.vjp(function, x), sd.compile(function)):
        with pytest.raises(TypeError, match="unsupported in linalg"):
            call(x)


def test_eigenvalues_of_a_real_matrix_have_a_dtype_by_their_values() -> None:
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    for x in (turn, np.eye(2), turn + np.eye(2), np.zeros((0, 2, 2))):
        for function in (linalg.eigvals, lambda x: linalg.eig(x)[1]):
            assert sd.vjp(function, x)[0].dtype == function(x).dtype
    with pytest.raises(sd.errors.NeedsValueError, match="0j"):
        sd.compile(linalg.eigvals)(turn)
    np.testing.assert_allclose(
        sd.compile(lambda x: linalg.eigvals(x + 0j))(turn), linalg.eigvals(turn)
    )


def test_a_matrix_of_infinite_entries_leaves_the_others_of_a_stack_alone() -> None:
    stack = np.stack([G, G, TURN])
    stack[1, 0] = [np.inf, -np.inf, 1.0]

    def loss(x: Any) -> Any:
        return np.sum(linalg.svdvals(x)[::2])

    try:
        loss(stack)
    except np.linalg.LinAlgError:
        # It is up to the LAPACK that NumPy was built with.
        with pytest.raises(np.linalg.LinAlgError, match="converge"):
            sd.grad(loss)(stack)
        return
    value, gradient = sd.value_and_grad(loss)(stack)
    np.testing.assert_allclose(value, np.sum(linalg.svdvals(stack)[::2]))
    for place in (0, 2):
        alone = sd.grad(lambda x: np.sum(linalg.svdvals(x)))(stack[place])
        np.testing.assert_allclose(gradient[place], alone, rtol=1e-12)
