"""Linear algebra: NumPy's values, derivatives of both orders, and what happens at the edges."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import steepest as sd
from steepest.errors import NeedsValueError, UnsupportedError

Check = Callable[..., None]
linalg: Any = np.linalg


def uniform(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).uniform(-1, 1, shape)


def regular(*shape: int, seed: int = 0) -> Any:
    """Make square matrices with an inverse, and distinct singular values."""
    return 0.3 * uniform(*shape, seed=seed) + np.diag(np.arange(1.0, shape[-1] + 1))


def positive(x: Any) -> Any:
    return x @ np.swapaxes(x, -1, -2) + np.eye(x.shape[-1])


SQUARES = [(1, 1), (2, 2), (3, 3), (2, 3, 3), (2, 1, 2, 2), (0, 2, 2)]


@pytest.mark.parametrize("shape", SQUARES, ids=str)
@pytest.mark.parametrize(
    "function",
    [
        pytest.param(linalg.det, id="det"),
        pytest.param(linalg.inv, id="inv"),
        pytest.param(linalg.slogdet, id="slogdet"),
        pytest.param(lambda x: linalg.cholesky(positive(x)), id="cholesky"),
        pytest.param(lambda x: linalg.cholesky(positive(x), upper=True), id="upper cholesky"),
        pytest.param(lambda x: linalg.eigh(x + np.swapaxes(x, -1, -2)), id="eigh"),
        pytest.param(lambda x: linalg.eigh(x, "U"), id="eigh of the upper triangle"),
        pytest.param(linalg.eigvalsh, id="eigvalsh"),
        pytest.param(lambda x: linalg.eigvalsh(x, "U"), id="eigvalsh of the upper triangle"),
        pytest.param(linalg.svd, id="svd"),
        pytest.param(linalg.svdvals, id="svdvals"),
        pytest.param(linalg.qr, id="qr"),
        pytest.param(linalg.pinv, id="pinv"),
        *(
            pytest.param(lambda x, n=n: linalg.matrix_power(x, n), id=f"power {n}")
            for n in (-3, -1, 0, 1, 2, 3, 6)
        ),
    ],
)
def test_derivatives_for_square_matrices(
    function: Callable[..., Any], shape: tuple[int, ...], check_derivatives: Check
) -> None:
    check_derivatives(function, regular(*shape), tolerance=1e-6)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (2, 4, 2), (2, 2, 4)], ids=str)
@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: linalg.svd(x, full_matrices=False), id="svd"),
        pytest.param(lambda x: linalg.svd(x, compute_uv=False), id="singular values"),
        pytest.param(linalg.qr, id="qr"),
        pytest.param(lambda x: linalg.qr(x, mode="r"), id="r"),
        pytest.param(linalg.pinv, id="pinv"),
        pytest.param(lambda x: linalg.pinv(x, rtol=None), id="pinv with rtol"),
        pytest.param(linalg.matrix_norm, id="matrix_norm"),
        pytest.param(linalg.cond, id="cond"),
        pytest.param(lambda x: linalg.cond(x, -2), id="cond -2"),
        pytest.param(linalg.matrix_transpose, id="matrix_transpose"),
        pytest.param(linalg.trace, id="trace"),
        pytest.param(linalg.diagonal, id="diagonal"),
    ],
)
def test_derivatives_for_other_matrices(
    function: Callable[..., Any], shape: tuple[int, ...], check_derivatives: Check
) -> None:
    x = 0.3 * uniform(*shape) + np.eye(shape[-2], shape[-1]) * np.arange(1, shape[-1] + 1)
    check_derivatives(function, x, tolerance=1e-6)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 2), (2,)),
        ((3, 3), (3, 2)),
        ((2, 3, 3), (3,)),
        ((2, 2, 2), (2, 2, 3)),
        ((2, 2), (3, 2, 1)),
        ((2, 1, 2, 2), (3, 2, 2)),
        ((1, 1), (1,)),
        ((2, 2), (2, 0)),
    ],
    ids=str,
)
def test_solve(a: Any, b: Any, check_derivatives: Check) -> None:
    check_derivatives(linalg.solve, regular(*a), uniform(*b), exact=True)


def test_tensor_equations(check_derivatives: Check) -> None:
    a = regular(6, 6)
    b = uniform(2, 3)
    check_derivatives(linalg.tensorsolve, a.reshape(2, 3, 6), b)
    check_derivatives(linalg.tensorsolve, a.reshape(2, 3, 3, 2), b)
    check_derivatives(lambda a, b: linalg.tensorsolve(a, b, axes=(0, 1)), a.reshape(3, 2, 2, 3), b)
    check_derivatives(linalg.tensorinv, a.reshape(2, 3, 3, 2))
    check_derivatives(lambda a: linalg.tensorinv(a, ind=1), a.reshape(6, 3, 2))


@pytest.mark.parametrize("b", [(4,), (4, 2)], ids=str)
def test_least_squares(b: Any) -> None:
    a, right = uniform(4, 2), uniform(*b, seed=1)
    expected = linalg.lstsq(a, right)
    value, pullback = sd.vjp(lambda a, b: linalg.lstsq(a, b), a, right)
    for actual, each in zip(value, expected, strict=True):
        np.testing.assert_allclose(actual, each, rtol=1e-12)
    # The normal equations have the same derivative.
    normal, pullback_of_normal = sd.vjp(lambda a, b: linalg.solve(a.T @ a, a.T @ b), a, right)
    weight = uniform(*normal.shape, seed=1)
    zeros = (np.zeros_like(expected[1]), 0, np.zeros_like(expected[3]))
    for one, two in zip(pullback((weight, *zeros)), pullback_of_normal(weight), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-12)
    residual = sd.grad(lambda a: np.sum(linalg.lstsq(a, right)[1]))(a)
    np.testing.assert_allclose(
        residual,
        sd.grad(lambda a: np.sum((right - a @ linalg.solve(a.T @ a, a.T @ right)) ** 2))(a),
        rtol=1e-10,
        atol=1e-12,
    )


def test_underdetermined_least_squares(check_derivatives: Check) -> None:
    def solution(a: Any, b: Any) -> Any:
        return linalg.pinv(a) @ b

    a, b = uniform(2, 4), uniform(2)
    expected = sd.vjp(solution, a, b)
    actual = sd.vjp(lambda a, b: linalg.lstsq(a, b)[0], a, b)
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-12)
    weight = uniform(4, seed=2)
    for one, two in zip(actual[1](weight), expected[1](weight), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10)


def test_least_squares_without_values() -> None:
    """The solution needs no values; how many residuals there are, does."""
    a, b = uniform(4, 2), uniform(4)

    def solution(a: Any) -> Any:
        x, _, rank, values = linalg.lstsq(a, b)
        return np.sum(x) * rank + np.sum(values)

    for engine in ("native", "interpret"):
        value, gradient = sd.compile(sd.value_and_grad(solution), engine=engine)(a)
        np.testing.assert_allclose(value, solution(a), rtol=1e-12)
        np.testing.assert_allclose(gradient, sd.grad(solution)(a), rtol=1e-10)
    wide = sd.compile(lambda a: linalg.lstsq(a.T, b[:2])[1])(a)
    assert wide.shape == linalg.lstsq(a.T, b[:2])[1].shape
    for use in (np.sum, bool, len, lambda r: r + 1, lambda r: r[0], lambda r: r.shape):
        with pytest.raises(NeedsValueError, match="residuals"):
            sd.compile(lambda a, use=use: use(linalg.lstsq(a, b)[1]) * 1.0)(a)


@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 3), (3, 2)],
        [(3,), (3, 2), (2,)],
        [(2, 3), (3, 4), (4, 1)],
        [(2, 3), (3, 4), (4, 2), (2, 5)],
        [(3,), (3, 4), (4, 2), (2, 5), (5,)],
    ],
    ids=str,
)
def test_multi_dot(shapes: Any, check_derivatives: Check) -> None:
    check_derivatives(
        lambda *args: linalg.multi_dot(args),
        *(uniform(*shape, seed=i) for i, shape in enumerate(shapes)),
    )


def test_results_are_numpys_named_tuples() -> None:
    def attributes(x: Any) -> Any:
        s = x + x.T
        return (
            linalg.slogdet(x).logabsdet
            + np.sum(linalg.eigh(s).eigenvalues)
            + np.sum(linalg.svd(x).S)
            + np.sum(linalg.qr(x).R)
        )

    x = regular(2, 2)
    value, _ = sd.value_and_grad(attributes)(x)
    assert value == attributes(x)


# Norms

VECTOR_ORDERS = [None, 0, 1, 2, 3, 2.5, 0.5, -1, -2, np.inf, -np.inf]
MATRIX_ORDERS = [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("order", [each for each in VECTOR_ORDERS if each != 0])
def test_vector_norm(order: Any, keepdims: bool, check_derivatives: Check) -> None:
    check_derivatives(lambda x: linalg.norm(x, order, axis=1, keepdims=keepdims), uniform(3, 4))


def test_number_of_entries_that_are_not_zero_is_a_plain_value() -> None:
    x = np.array([[0.0, 1.0], [2.0, 3.0]])
    value, gradient = sd.value_and_grad(
        lambda x: np.sum(x * linalg.norm(x, 0, axis=1, keepdims=True))
    )(x)
    assert value == 11
    np.testing.assert_array_equal(gradient, [[1, 1], [2, 2]])


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [(0, 1), (2, 0), (-1, 1)])
@pytest.mark.parametrize("order", MATRIX_ORDERS)
def test_matrix_norm(
    order: Any, axis: tuple[int, int], keepdims: bool, check_derivatives: Check
) -> None:
    check_derivatives(
        lambda x: linalg.norm(x, order, axis=axis, keepdims=keepdims),
        uniform(2, 3, 4),
        tolerance=1e-6,
    )


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 2, 2)], ids=str)
def test_norm_of_all_entries(shape: Any, check_derivatives: Check) -> None:
    for keepdims in (False, True):
        norm = functools.partial(linalg.norm, keepdims=keepdims)
        check_derivatives(norm, uniform(*shape), exact=True)
    if shape:
        check_derivatives(linalg.vector_norm, uniform(*shape))
        check_derivatives(
            lambda x: linalg.vector_norm(x, axis=(0,), keepdims=True, ord=3), uniform(*shape)
        )


@pytest.mark.parametrize(
    ("shape", "order", "axis"),
    [
        *(((3,), order, None) for order in VECTOR_ORDERS if order is None or order >= 0),
        *(((3,), order, 0) for order in (None, 1, 2, 3)),
        *(((2, 3), order, None) for order in MATRIX_ORDERS),
    ],
)
def test_gradient_of_norm_at_zero_is_zero(shape: Any, order: Any, axis: Any) -> None:
    gradient = sd.grad(lambda x: linalg.norm(x, order, axis) + np.sum(x) * 0)(np.zeros(shape))
    np.testing.assert_array_equal(gradient, np.zeros(shape))


def test_norm_of_complex_numbers() -> None:
    z = uniform(3) + 1j * uniform(3, seed=1)
    for f in (linalg.norm, lambda z: linalg.norm(z, axis=0), lambda z: linalg.norm(z, 2, 0)):
        np.testing.assert_allclose(sd.grad(f)(z), np.conj(z) / linalg.norm(z))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: linalg.norm(x, "fro", axis=0), ValueError),
        (lambda x: linalg.norm(x, 5), ValueError),
        (lambda x: linalg.norm(x, axis=(0, 0)), ValueError),
        (lambda x: linalg.norm(x, axis=2), np.exceptions.AxisError),
        (lambda x: linalg.norm(x[None], 2), ValueError),
        (lambda x: linalg.det(x[:1]), np.linalg.LinAlgError),
        (lambda x: linalg.det(x[0]), np.linalg.LinAlgError),
        (lambda x: linalg.inv(x * 0), np.linalg.LinAlgError),
        (lambda x: linalg.solve(x * 0, x), np.linalg.LinAlgError),
        (lambda x: linalg.cholesky(-x @ x.T), np.linalg.LinAlgError),
        (lambda x: linalg.matrix_power(x[:1], 2), np.linalg.LinAlgError),
        (lambda x: linalg.matrix_power(x, 1.5), TypeError),
        (lambda x: linalg.multi_dot([x]), ValueError),
        (lambda x: linalg.multi_dot([x, x[None], x]), np.linalg.LinAlgError),
        (lambda x: linalg.eigh(x, UPLO="X"), ValueError),
        (lambda x: linalg.tensorsolve(x[:1], x[0]), np.linalg.LinAlgError),
        (lambda x: linalg.tensorinv(x, 0), ValueError),
        (lambda x: linalg.pinv(x, 1e-3, rtol=1e-3), ValueError),
        (lambda x: linalg.cond(x[:0]), np.linalg.LinAlgError),
        (lambda x: linalg.det(x.astype(np.float16)), TypeError),
    ],
)
def test_errors_are_numpys(call: Callable[[Any], Any], error: type[Exception]) -> None:
    x = regular(2, 2)
    with pytest.raises(error):
        call(x)
    with pytest.raises(error):
        sd.vjp(call, x)


def test_error_is_caught_by_the_users_try() -> None:
    def log_likelihood(covariance: Any) -> Any:
        try:
            return np.sum(np.log(np.diag(linalg.cholesky(covariance))))
        except np.linalg.LinAlgError:
            return np.sum(covariance)

    np.testing.assert_array_equal(sd.grad(log_likelihood)(-np.eye(2)), np.ones((2, 2)))
    np.testing.assert_allclose(sd.grad(log_likelihood)(np.eye(2)), np.eye(2) / 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: linalg.qr(x, mode="raw")[0],
        # The basis of the plane beyond the one singular vector is arbitrary.
        lambda x: linalg.svd(x[:1])[2][2],
    ],
)
def test_what_is_not_differentiated_is_an_error_that_says_so(call: Callable[[Any], Any]) -> None:
    def loss(x: Any) -> Any:
        return np.sum(call(x) * np.array([1.0, 2.0, 3.0]))

    with pytest.raises(UnsupportedError, match="Instead"):
        sd.grad(loss)(np.array([[1.0, 2.0, 0.5], [0.5, 1.0, 3.0]]))


@pytest.mark.parametrize("function", [linalg.det, linalg.inv])
def test_complex_matrices(function: Callable[..., Any]) -> None:
    z = regular(2, 2) + 1j * uniform(2, 2)
    direction = uniform(2, 2, seed=1) + 1j * uniform(2, 2, seed=2)
    h = 1e-6
    slope = (function(z + h * direction) - function(z - h * direction)) / (2 * h)
    np.testing.assert_allclose(sd.jvp(function, (z,), (direction,))[1], slope, rtol=1e-8)
    value, pullback = sd.vjp(function, z)
    weight = uniform(*np.shape(value)) + 1j * uniform(*np.shape(value), seed=3)
    np.testing.assert_allclose(
        np.sum(pullback(weight)[0] * direction), np.sum(weight * slope), rtol=1e-8
    )


# Matrices without an inverse


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_determinant_of_any_rank(rank: int, check_derivatives: Check) -> None:
    check_derivatives(linalg.det, uniform(3, rank) @ uniform(rank, 3, seed=1))


def test_gradient_of_determinant_is_the_cofactors() -> None:
    np.testing.assert_allclose(
        sd.grad(linalg.det)(np.diag([2.0, 3.0, 0.0])), np.diag([0.0, 0.0, 6.0])
    )
    np.testing.assert_array_equal(sd.grad(linalg.det)(np.zeros((1, 1))), [[1]])
    np.testing.assert_array_equal(sd.grad(linalg.det)(np.zeros((3, 3))), np.zeros((3, 3)))
    assert sd.grad(linalg.det)(np.zeros((0, 0))).shape == (0, 0)


def test_third_derivative_of_determinant() -> None:
    # det of a diagonal matrix is the product of its entries.
    def third(x: Any) -> Any:
        return sd.jacobian(sd.hessian(lambda d: linalg.det(np.diag(d))))(x)

    expected = np.zeros((3, 3, 3))
    for i, j, k in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]:
        expected[i, j, k] = 1
    np.testing.assert_allclose(third(np.array([1.0, 2.0, 3.0])), expected, atol=1e-12)


@pytest.mark.parametrize("singular", [np.zeros((2, 2)), np.ones((2, 2)), np.diag([1.0, 0.0])])
def test_branch_not_taken_does_not_poison(singular: Any) -> None:
    def loss(x: Any) -> Any:
        logarithm = linalg.slogdet(x).logabsdet
        return np.where(logarithm > -1e9, logarithm, 0.0)

    np.testing.assert_array_equal(sd.grad(loss)(singular), np.zeros((2, 2)))
    assert not np.all(np.isfinite(sd.grad(lambda x: linalg.slogdet(x)[1])(singular)))


def test_equal_eigenvalues_have_finite_gradients() -> None:
    # The sum of functions of the eigenvalues is smooth whatever their multiplicity.
    x = np.diag([2.0, 2.0, 1.0])
    np.testing.assert_allclose(
        sd.grad(lambda x: np.sum(linalg.eigvalsh(x) ** 2))(x), 2 * x, atol=1e-12
    )
    np.testing.assert_allclose(
        sd.grad(lambda x: np.sum(linalg.eigh(x)[0] ** 2))(x), 2 * x, atol=1e-12
    )
    np.testing.assert_allclose(
        sd.grad(lambda x: np.sum(linalg.svd(x)[1] ** 2))(x), 2 * x, atol=1e-12
    )


@pytest.mark.parametrize("upper", [False, True])
def test_triangle_that_is_not_read_has_derivative_zero(upper: bool) -> None:
    """The gradient is that of the function as NumPy computes it, entry by entry."""
    x = positive(uniform(3, 3))
    unread = np.tril(np.ones((3, 3)), -1) if upper else np.triu(np.ones((3, 3)), 1)
    for f in (
        lambda x: np.sum(linalg.cholesky(x, upper=upper)),
        lambda x: np.sum(linalg.eigvalsh(x, "U" if upper else "L") ** 2),
    ):
        assert f(x + unread) == f(x)
        gradient = sd.grad(f)(x)
        np.testing.assert_array_equal(gradient * unread, np.zeros((3, 3)))
        assert np.all(gradient + unread != 0)


@given(st.integers(1, 4), st.integers(0, 2**16))
def test_identities_hold_for_any_matrix(n: int, seed: int) -> None:
    """Derivatives of functions that are known in closed form."""
    x = regular(n, n, seed=seed)
    inverse = linalg.inv(x).T
    np.testing.assert_allclose(
        sd.grad(lambda x: linalg.slogdet(x)[1])(x), inverse, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        sd.grad(linalg.det)(x), linalg.det(x) * inverse, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        sd.grad(lambda x: np.trace(linalg.inv(x)))(x), -inverse @ inverse, rtol=1e-8, atol=1e-8
    )
    np.testing.assert_allclose(
        sd.grad(lambda x: linalg.norm(x, "nuc"))(x),
        linalg.svd(x)[0] @ linalg.svd(x)[2],
        rtol=1e-9,
        atol=1e-9,
    )


@pytest.mark.parametrize(
    "function",
    [
        linalg.det,
        linalg.inv,
        lambda x: linalg.slogdet(x)[1],
        lambda x: linalg.solve(x, x[0]),
        lambda x: linalg.cholesky(x @ x.T),
        lambda x: linalg.eigh(x)[1],
        lambda x: linalg.svd(x)[0],
        lambda x: linalg.qr(x)[0],
        linalg.pinv,
        linalg.norm,
        lambda x: linalg.norm(x, 3, 0),
        lambda x: linalg.norm(x, "nuc"),
    ],
)
def test_single_precision_stays(function: Callable[..., Any]) -> None:
    x = regular(2, 2).astype(np.float32)
    value, pullback = sd.vjp(function, x)
    assert value.dtype == function(x).dtype == np.float32
    assert pullback(value)[0].dtype == np.float32
