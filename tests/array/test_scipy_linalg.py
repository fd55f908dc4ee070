"""The functions of scipy.linalg: SciPy's values, and derivatives of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from tests.array.scipy_calls import check

import steepest as sd
from steepest.array.scipy.linalg import FUNCTIONS
from steepest.errors import UnsupportedError

sl: Any = scipy.linalg
rng = np.random.default_rng(0)
A = rng.normal(size=(3, 3)) + 3 * np.eye(3)
S = A @ A.T / 3 + np.diag([1.0, 2, 4])
B = rng.normal(size=(3, 2))
V = rng.normal(size=3)
W = rng.normal(size=(4, 3))
Y = rng.normal(size=4)

CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "solve": (lambda a: sl.solve(a, B), A),
    "solve by the right side": (lambda b: sl.solve(A, b), B),
    "solve of a vector": (lambda b: sl.solve(A, b), V),
    "solve of a positive definite matrix": (lambda a: sl.solve(a, V, assume_a="pos"), S),
    "solve of a lower triangle": (lambda a: sl.solve(a, V, assume_a="pos", lower=True), S),
    "solve transposed": (lambda a: sl.solve(a, V, transposed=True), A),
    "solve_triangular": (lambda a: sl.solve_triangular(a, V), A),
    "solve_triangular, lower": (lambda a: sl.solve_triangular(a, B, lower=True), A),
    "solve_triangular, transposed and unit": (
        lambda a: sl.solve_triangular(a, B, trans=1, unit_diagonal=True),
        A,
    ),
    "solve_triangular by the right side": (
        lambda b: sl.solve_triangular(A, b, trans="T", lower=True),
        V,
    ),
    "inv": (lambda a: sl.inv(a), A),
    "det": (lambda a: sl.det(a), A),
    "det of a stack": (lambda a: sl.det(a), np.stack([A, S])),
    "cholesky": (lambda a: sl.cholesky(a), S),
    "cholesky, lower": (lambda a: sl.cholesky(a, lower=True), S),
    "cho_factor": (lambda a: sl.cho_factor(a)[0], S),
    "cho_factor, lower": (lambda a: sl.cho_factor(a, lower=True)[0], S),
    "cho_solve": (lambda a: sl.cho_solve(sl.cho_factor(a), B), S),
    "cho_solve, lower": (lambda a: sl.cho_solve((sl.cholesky(a, lower=True), True), V), S),
    "eigh": (lambda a: sl.eigh(a)[0], S),
    "eigh, vectors": (lambda a: sl.eigh(a)[1] ** 2, S),
    "eigh, upper": (lambda a: sl.eigh(a, lower=False)[1] ** 2, S),
    "eigh, generalized": (lambda a: sl.eigh(a, S)[0], S + np.eye(3)),
    "eigh, generalized vectors": (lambda b: sl.eigh(A + A.T, b)[1] ** 2, S),
    "eigvalsh": (lambda a: sl.eigvalsh(a), S),
    "svd": (lambda a: sl.svd(a)[1], W),
    "svd, economic": (lambda a: sl.svd(a, full_matrices=False)[0] ** 2, W),
    "svd, values": (lambda a: sl.svd(a, compute_uv=False), W),
    "svdvals": (lambda a: sl.svdvals(a), W),
    "qr": (lambda a: sl.qr(a)[1], W),
    "qr, economic": (lambda a: sl.qr(a, mode="economic")[0], W),
    "qr, r": (lambda a: sl.qr(a, mode="r")[0], W),
    "pinv": (lambda a: sl.pinv(a), W),
    "pinvh": (lambda a: sl.pinvh(a), S),
    "norm": (lambda a: sl.norm(a), W),
    "norm of order 1": (lambda a: sl.norm(a, 1, axis=(0, 1)), W),
    "norm of order 2": (lambda a: sl.norm(a, 2), W),
    "norm of columns": (lambda a: sl.norm(a, axis=0), W),
    "norm of a vector": (lambda a: sl.norm(a), V),
    "expm": (lambda a: sl.expm(a), A / 3),
    "solve_sylvester": (lambda a: sl.solve_sylvester(a, S[:2, :2], B), S),
    "solve_sylvester by b": (lambda b: sl.solve_sylvester(S, b, B), S[:2, :2]),
    "solve_continuous_lyapunov": (lambda a: sl.solve_continuous_lyapunov(a, S), A),
    "solve_toeplitz": (lambda c: sl.solve_toeplitz(c + np.array([9, 0, 0]), V), V),
    "block_diag": (lambda a: sl.block_diag(a, W, a[0], 2.0), A),
    "toeplitz": (lambda c: sl.toeplitz(c), V),
    "toeplitz of column and row": (lambda c: sl.toeplitz(c, np.arange(4) * c[1]), V),
    "hankel": (lambda c: sl.hankel(c), V),
    "hankel of column and row": (lambda r: sl.hankel(V, r), Y),
    "circulant": (lambda c: sl.circulant(c), V),
    "khatri_rao": (lambda a: sl.khatri_rao(a, W), A),
    "polar": (lambda a: sl.polar(a)[1], W),
    "polar, left": (lambda a: sl.polar(a, side="left")[0], W),
    "eigvals": (lambda a: np.sort(np.abs(sl.eigvals(a))), S),
}
BY_VALUES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "qr, pivoting": (lambda a: sl.qr(a, pivoting=True, mode="economic")[1], W),
    "lstsq, residuals": (lambda a: sl.lstsq(a, Y)[1], W),
    "pinv, rank": (lambda a: sl.pinv(a, return_rank=True)[0], W),
    "pinv, atol": (lambda a: sl.pinv(a, atol=0.1), W),
    "sqrtm": (lambda a: sl.sqrtm(a), S),
    "logm": (lambda a: sl.logm(a), S),
    "lu": (lambda a: sl.lu(a)[1], A[::-1]),
    "lu, permuted": (lambda a: sl.lu(a, permute_l=True)[0], A[::-1]),
    "lu_factor": (lambda a: sl.lu_factor(a)[0], A[::-1]),
    "lu_solve": (lambda a: sl.lu_solve(sl.lu_factor(a), B), A[::-1]),
    "lu_solve, transposed": (lambda a: sl.lu_solve(sl.lu_factor(a), V, trans=1), A[::-1]),
    "null_space": (lambda a: np.abs(sl.null_space(a)), W[:2]),
    "orth": (lambda a: np.abs(sl.orth(a)), W),
    "eig": (lambda a: np.abs(sl.eig(a)[0]), S),
}


def test_every_function_is_tried() -> None:
    called = {name.split(",")[0].split()[0] for name in (*CALLS, *BY_VALUES)}
    # SciPy has dropped its kron, which was NumPy's.
    assert called | {"kron", "lstsq"} == FUNCTIONS["scipy.linalg"].keys()


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    check(*CALLS[name])


@pytest.mark.parametrize("name", BY_VALUES)
def test_value_and_derivatives_of_what_reads_values(name: str) -> None:
    # SciPy's logarithm warns of single precision.
    check(*BY_VALUES[name], compiles=False, single=name != "logm")


def test_lstsq_compiles_where_its_residuals_are_not_used() -> None:
    check(lambda a: sl.lstsq(a, Y)[0], W)
    check(lambda b: sl.lstsq(W, b)[0], Y)


@pytest.mark.parametrize("lower", [False, True])
def test_eigenvectors_have_the_signs_of_scipy(lower: bool) -> None:
    for seed in range(20):
        x = np.random.default_rng(seed).normal(size=(4, 4))
        x = x + x.T
        vectors, _ = sd.vjp(lambda a, lower=lower: sl.eigh(a, lower=lower)[1], x)
        np.testing.assert_allclose(vectors, sl.eigh(x, lower=lower)[1], atol=1e-10)


def test_only_the_triangle_that_is_read_has_a_gradient() -> None:
    gradient = sd.grad(lambda a: np.sum(sl.solve_triangular(a, V, lower=True)))(A)
    assert np.all(np.triu(gradient, 1) == 0)
    gradient = sd.grad(lambda a: np.sum(sl.solve(a, V, assume_a="pos")))(S)
    assert np.all(np.tril(gradient, -1) == 0)


@pytest.mark.parametrize("function", ["solve", "solve_triangular", "inv", "expm", "lu_factor"])
def test_complex_matrices(function: str) -> None:
    def real(x: Any) -> Any:
        a = (x + 1j * x.T) if function != "lu_factor" else (x - 0.1j * x)
        more = (V,) if function.startswith("solve") else ()
        result = getattr(sl, function)(a, *more)
        return np.abs(result[0] if isinstance(result, tuple) else result)

    check(real, A, compiles=function != "lu_factor")


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda a: sl.inv(a[:2]), ValueError),
        (lambda a: sl.solve(a * np.nan, V), ValueError),
        (lambda a: sl.inv(0 * a), np.linalg.LinAlgError),
        (lambda a: sl.cholesky(-a), np.linalg.LinAlgError),
        (lambda a: sl.solve(np.stack([a, a]), V), UnsupportedError),
        (lambda a: sl.eigh(a, subset_by_index=[0, 1])[0], UnsupportedError),
        (lambda a: sl.qr(a, mode="raw")[1], UnsupportedError),
        (lambda a: sl.eig(a, left=True)[0], UnsupportedError),
    ],
)
def test_errors(call: Callable[[Any], Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        sd.grad(lambda a: np.sum(np.real(call(a))))(S)


# SciPy 1.18 will not take them for long.
@pytest.mark.filterwarnings("ignore:Calling linalg.*dtype=float16:DeprecationWarning")
@pytest.mark.parametrize("dtype", [np.float16, np.int64])
def test_other_dtypes_are_cast_as_scipy_casts_them(dtype: Any) -> None:
    plain = np.eye(3, dtype=dtype) * 2

    def loss(x: Any) -> Any:
        return np.sum(sl.solve(plain, x)) + np.sum(sl.block_diag(plain, x))

    assert sd.grad(loss)(V).dtype == V.dtype
    value, _ = sd.vjp(lambda x: sl.inv(x.astype(np.float16)), A)
    assert value.dtype == sl.inv(A.astype(np.float16)).dtype


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_a_norm_neither_overflows_nor_underflows(size: float) -> None:
    x = np.array([3.0, -4.0]) * size
    value, gradient = sd.value_and_grad(lambda x: sl.norm(x))(x)
    np.testing.assert_allclose(value, 5 * size)
    np.testing.assert_allclose(gradient, [0.6, -0.8])


def test_a_number_is_a_matrix_to_functions_of_matrices() -> None:
    np.testing.assert_allclose(sd.grad(lambda x: sl.expm(x)[0, 0])(0.3), np.exp(0.3))
    with pytest.raises(np.linalg.LinAlgError):
        sd.grad(lambda x: np.sum(sl.expm(x)))(V)
