"""Structured matrices and functions of matrices: SciPy's values, and derivatives of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from tests.array.scipy_calls import check, check_once

import steepest as sd
from steepest.array.scipy import structured
from steepest.errors import UnsupportedError

sl: Any = scipy.linalg
rng = np.random.default_rng(0)
X = rng.normal(size=(4, 4))
S = X @ X.T + 2 * np.eye(4)
M = X * 0.3 + 2 * np.eye(4)
L = rng.normal(size=9)
B = rng.normal(size=(4, 2))
BANDS = np.stack([L[:4] * 0.3, L[4:8] + 4, L[1:5] * 0.3])
TRIANGLE = np.stack([L[1:5] * 0.1, L[:4] * 0.3, np.abs(L[4:8]) + 3])

CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "solve_banded": (lambda x: sl.solve_banded((1, 1), x, L[:4]), BANDS),
    "solve_banded by the right side": (lambda b: sl.solve_banded((1, 1), BANDS, b), B),
    "solve_banded, upper": (lambda x: sl.solve_banded((0, 2), x, B), BANDS[[0, 2, 1]]),
    "solve_banded, lower": (lambda x: sl.solve_banded((2, 0), x, B), BANDS[[1, 2, 0]]),
    "solveh_banded": (lambda x: sl.solveh_banded(x, B), TRIANGLE[1:]),
    "solveh_banded of a vector": (lambda x: sl.solveh_banded(x, B[:, 0]), TRIANGLE),
    "solveh_banded, lower": (lambda x: sl.solveh_banded(x, B, lower=True), TRIANGLE[::-1]),
    "eigh_tridiagonal": (lambda x: sl.eigh_tridiagonal(x[:5], x[5:])[0], L),
    "eigh_tridiagonal, vectors": (lambda x: sl.eigh_tridiagonal(x[:5], x[5:])[1] ** 2, L),
    "eigvalsh_tridiagonal": (lambda x: sl.eigvalsh_tridiagonal(x[:5], x[5:]), L),
    "solve_discrete_lyapunov": (lambda x: sl.solve_discrete_lyapunov(x * 0.2, S), X),
    "solve_discrete_lyapunov by q": (lambda q: sl.solve_discrete_lyapunov(X * 0.2, q), S),
    "expm_frechet": (lambda x: np.stack(sl.expm_frechet(x, S)), X),
    "expm_frechet along": (lambda e: sl.expm_frechet(X, e, compute_expm=False), S),
    "cosm": (lambda x: sl.cosm(x), X),
    "sinm": (lambda x: sl.sinm(x), X),
    "tanm": (lambda x: sl.tanm(x * 0.3), X),
    "coshm": (lambda x: sl.coshm(x), X),
    "sinhm": (lambda x: sl.sinhm(x), X),
    "tanhm": (lambda x: sl.tanhm(x), X),
    "fractional_matrix_power, whole": (lambda x: sl.fractional_matrix_power(x, 3), M),
    "companion": (lambda x: sl.companion(x), L[:4]),
    "leslie": (lambda x: sl.leslie(x[:4], x[4:7]), L),
    "fiedler": (lambda x: sl.fiedler(x), L),
    "convolution_matrix": (lambda x: sl.convolution_matrix(x, 5, "same"), L[:4]),
    "matmul_toeplitz": (lambda x: sl.matmul_toeplitz(x, B), L[:4]),
    "matmul_toeplitz by the other": (lambda x: sl.matmul_toeplitz((L[:4], L[3:7]), x), B),
}
BY_VALUES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "signm": (lambda x: sl.signm(x), X + np.diag([4.0, -4, 4, -4])),
    "fractional_matrix_power": (lambda x: np.real(sl.fractional_matrix_power(x, 0.4)), M),
    "fractional_matrix_power, symmetric": (
        lambda x: sl.fractional_matrix_power(x @ x.T, -0.5),
        M,
    ),
    "fractional_matrix_power by the exponent": (
        lambda t: np.real(sl.fractional_matrix_power(M, t[0])),
        [0.4],
    ),
    "fiedler_companion": (lambda x: sl.fiedler_companion(x), L),
    "orthogonal_procrustes": (lambda x: sl.orthogonal_procrustes(x, S)[0], X),
}


def test_every_function_is_tried() -> None:
    called = {name.split(",")[0].split()[0] for name in CALLS | BY_VALUES}
    assert called == set(structured.FUNCTIONS["scipy.linalg"])


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    check(*CALLS[name])


@pytest.mark.parametrize("name", BY_VALUES)
def test_value_and_derivatives_of_what_asks_for_values(name: str) -> None:
    check(*BY_VALUES[name], compiles=False, single=False)


def test_complex_matrices() -> None:
    z = X + 1j * S
    for call in (
        lambda z: sl.cosm(z),
        lambda z: sl.tanm(z * 0.1),
        lambda z: sl.companion(z[0]),
        lambda z: sl.solve_discrete_lyapunov(z * 0.1, z),
    ):
        np.testing.assert_allclose(sd.vjp(call, z)[0], call(z), rtol=1e-9, atol=1e-9)
    hermitian = TRIANGLE * np.array([[1j], [1 + 1j], [1]])
    for lower in (False, True):

        def solve(a: Any, lower: bool = lower) -> Any:
            return sl.solveh_banded(a, B, lower=lower)

        a = hermitian[::-1] if lower else hermitian
        np.testing.assert_allclose(sd.vjp(solve, a)[0], solve(a), rtol=1e-9)


# Of which also neighbours have their eigenvalues, two of them complex, in this order.
APART = np.diag([0.0, 0, 20, 40]) + 9 * np.diag([1.0, 0, 0], 1) - 9 * np.diag([1.0, 0, 0], -1)
FORMS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "ldl": (lambda x: np.stack(sl.ldl(x + x.T)[:2]), X),
    "ldl, upper": (lambda x: np.stack(sl.ldl(x, lower=False)[:2]), S),
    "funm": (lambda x: sl.funm(x, np.sin), M),
    "solve_continuous_are": (lambda x: sl.solve_continuous_are(x, B, S, np.eye(2)), X),
    "solve_discrete_are": (
        lambda x: sl.solve_discrete_are(X / 3, x, S, np.eye(2), s=B / 9),
        B,
    ),
}


def test_schur() -> None:
    check_once(lambda x: np.stack(sl.schur(x + APART)), X)
    check_once(lambda x: sl.schur(x + np.diag([-9, 9, -18, 18]), sort="lhp")[0], X)


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_matrices(name: str) -> None:
    check(*FORMS[name], compiles=False, single=False)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: sl.signm(x, disp=False)[0],
        lambda x: sl.eigh_tridiagonal(x[0], x[1, :3], select="i", select_range=(0, 1))[0],
        lambda x: sl.solve_continuous_are(x, B, S, np.eye(2), e=S),
        lambda x: sl.schur(x, output="complex")[0].real,
        lambda x: sl.ldl(x + 1j)[0].real,
        lambda x: sl.funm(x, np.exp, disp=False)[0],
        lambda x: sl.hessenberg(x),
        lambda x: sl.qz(x, S)[0],
    ],
)
def test_refusals(call: Callable[[Any], Any]) -> None:
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda x: np.sum(call(x)))(X)
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead
