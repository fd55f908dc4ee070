"""Every function of matrices × dtype × shape × keyword: NumPy's values, and derivatives.

Derivatives of both orders and modes are compared with differences of NumPy's own values, complex
matrices included: there LAPACK's choice of phases is differentiated too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.array.conftest import central_difference

import steepest as sd

linalg: Any = np.linalg

SQUARE = [(1, 1), (2, 2), (3, 3), (2, 3, 3), (2, 1, 2, 2), (0, 2, 2), (0, 0)]
ANY = [(3, 2), (2, 4), (4, 1), (1, 3), (2, 4, 2), (0, 3, 2), (3, 0), (0, 2), *SQUARE]
FLAT = [(3, 2), (2, 4), (3, 3), (4, 1), (0, 2), (2, 0)]
NOT_EMPTY = [shape for shape in ANY if 0 not in shape]


def matrices(shape: tuple[int, ...], dtype: Any = complex, seed: int = 0) -> Any:
    """Draw matrices with distinct singular values, and eigenvalues, apart from 0."""
    rng = np.random.default_rng([seed, *shape])
    rows, columns = shape[-2:]
    x = 0.3 * rng.uniform(-1, 1, shape) + np.eye(rows, columns) * np.arange(1, columns + 1)
    y = 0.3 * rng.uniform(-1, 1, shape) + 0.2 * np.eye(rows, columns)
    dtype = np.dtype(dtype)
    return (x + 1j * y).astype(dtype) if dtype.kind == "c" else x.astype(dtype)


def positive(x: Any) -> Any:
    return x @ np.conj(np.swapaxes(x, -1, -2)) + np.eye(x.shape[-1], dtype=x.dtype)


def skewed(x: Any) -> Any:
    """Make matrices whose eigenvalues are complex though their entries are real."""
    return x - 3 * np.swapaxes(np.triu(x, 1), -1, -2) + 2 * np.triu(np.ones_like(x), 1)


def thin(x: Any) -> Any:
    return linalg.svd(x, full_matrices=False)


def bases(x: Any) -> Any:
    """Compute what does not depend on the bases beyond the singular values."""
    left, values, right = linalg.svd(x)
    rank = values.shape[-1]
    rest, below = left[..., rank:], right[..., rank:, :]
    return (
        left[..., :rank],
        values,
        right[..., :rank, :],
        rest @ np.conj(rest).mT,
        np.conj(below).mT @ below,
    )


CASES: list[tuple[str, Callable[..., Any], Any]] = [
    ("det", linalg.det, SQUARE),
    ("slogdet", linalg.slogdet, SQUARE),
    ("inv", linalg.inv, SQUARE),
    ("solve", lambda x: linalg.solve(x, x[..., :1]), SQUARE),
    ("solve a vector", lambda x: linalg.solve(x, np.arange(x.shape[-1]) + x[0, 0]), SQUARE[1:3]),
    ("cholesky", lambda x: linalg.cholesky(positive(x)), SQUARE),
    ("cholesky upper", lambda x: linalg.cholesky(positive(x), upper=True), SQUARE),
    ("eigh", linalg.eigh, SQUARE),
    ("eigh U", lambda x: linalg.eigh(x, UPLO="u"), SQUARE),
    ("eigvalsh", linalg.eigvalsh, SQUARE),
    ("eigvalsh U", lambda x: linalg.eigvalsh(x, "U"), SQUARE),
    ("eig", linalg.eig, SQUARE),
    ("eig skewed", lambda x: linalg.eig(skewed(x)), SQUARE),
    ("eigvals", linalg.eigvals, SQUARE),
    ("eigvals skewed", lambda x: linalg.eigvals(skewed(x)), SQUARE),
    ("svd thin", thin, ANY),
    ("svd", bases, [(3, 2), (2, 4), (3, 3), (2, 4, 2), (1, 3), (0, 3, 2)]),
    ("svd hermitian", lambda x: linalg.svd(x, hermitian=True), SQUARE[:5]),
    ("svdvals hermitian", lambda x: linalg.svd(x, True, False, True), SQUARE[:5]),
    ("svdvals", linalg.svdvals, ANY),
    ("singular values", lambda x: linalg.svd(x, compute_uv=False), ANY),
    ("qr", linalg.qr, ANY),
    ("qr r", lambda x: linalg.qr(x, mode="r"), ANY),
    ("qr complete", lambda x: linalg.qr(x, mode="complete"), [*NOT_EMPTY, (0, 3, 2)]),
    ("pinv", linalg.pinv, NOT_EMPTY),
    ("pinv hermitian", lambda x: linalg.pinv(x, hermitian=True), SQUARE[:5]),
    ("pinv rcond", lambda x: linalg.pinv(x, 0.4), NOT_EMPTY),
    ("pinv rtol", lambda x: linalg.pinv(x, rtol=None), NOT_EMPTY),
    ("pinv stacked rtol", lambda x: linalg.pinv(x, rtol=np.array([0.6, 1e-9])), [(2, 3, 3)]),
    ("lstsq", lambda x: linalg.lstsq(x, x[:, :1] + 1)[::3], FLAT[:4]),
    ("lstsq solution", lambda x: linalg.lstsq(x, np.arange(len(x)) + x[:, 0])[:2], FLAT[:4]),
    ("lstsq rcond", lambda x: linalg.lstsq(x, x + 1, 0.4)[0], FLAT[:4]),
    *(
        (f"power {n}", lambda x, n=n: linalg.matrix_power(x, n), SQUARE)
        for n in (-2, -1, 0, 1, 2, 3, 5)
    ),
    ("multi_dot", lambda x: linalg.multi_dot([x, np.conj(x.T), x, x.T[:, 0]]), FLAT[:4]),
    ("multi_dot 2", lambda x: linalg.multi_dot([x.T, x]), FLAT),
    *(
        (f"norm {order}", lambda x, order=order: linalg.norm(x, order), FLAT[:4])
        for order in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
    ),
    *(
        (f"vector norm {order}", lambda x, order=order: linalg.norm(x, order, -1, True), FLAT[:4])
        for order in (None, 1, 2, 3, 2.5, -1, np.inf, -np.inf)
    ),
    ("norm of a stack", lambda x: linalg.norm(x, 2, (2, 0), keepdims=True), [(2, 3, 2)]),
    ("matrix_norm", lambda x: linalg.matrix_norm(x, ord="nuc", keepdims=True), NOT_EMPTY),
    ("vector_norm", lambda x: linalg.vector_norm(x, ord=3), NOT_EMPTY),
    ("vector_norm axis", lambda x: linalg.vector_norm(x, axis=(-1, 0), keepdims=True), NOT_EMPTY),
    *(
        (f"cond {p}", lambda x, p=p: linalg.cond(x, p), SQUARE[:5])
        for p in (None, 1, -1, 2, -2, "fro", np.inf, -np.inf)
    ),
    ("cond of any shape", linalg.cond, NOT_EMPTY),
    ("tensorsolve", lambda x: linalg.tensorsolve(x[:, None], x[:1]), [(3, 3)]),
    ("tensorinv", lambda x: linalg.tensorinv(x.reshape(2, 3, 6)), [(6, 6)]),
    ("trace", lambda x: linalg.trace(x, offset=1), ANY),
    ("diagonal", lambda x: linalg.diagonal(x, offset=-1), ANY),
    ("outer", lambda x: linalg.outer(x[0], x[:, 0]), FLAT[:4]),
    ("cross", lambda x: linalg.cross(x, x[:, ::-1], axis=0), [(3, 2)]),
    ("vecdot", lambda x: linalg.vecdot(x, x[..., ::-1], axis=-2), ANY),
    ("matmul", lambda x: linalg.matmul(x, x.mT), ANY),
    ("tensordot", lambda x: linalg.tensordot(x, x, axes=[(0,), (0,)]), ANY),
    ("kron", lambda x: np.kron(x, x[:1]), ANY),
    ("inner", lambda x: np.inner(x, x[0]), FLAT[:4]),
    ("vdot", lambda x: np.vdot(x, x * x), ANY),
]


def results_of(function: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
    def results(x: Any) -> tuple[Any, ...]:
        found = function(x)
        return tuple(found) if isinstance(found, tuple) else (found,)

    return results


every_case = pytest.mark.parametrize(
    ("function", "shape"),
    [
        pytest.param(function, shape, id=f"{name} {shape}".replace(" ", "-"))
        for name, function, shapes in CASES
        for shape in shapes
    ],
)


@every_case
def test_value_type_and_shape_are_numpys(
    function: Callable[..., Any], shape: tuple[int, ...]
) -> None:
    for dtype in "fdFD":
        x = matrices(shape, dtype)
        plain = function(x)
        traced = sd.vjp(function, x)[0]
        assert type(traced) is type(plain)
        for actual, expected in zip(
            results_of(lambda _, a=traced: a)(x),
            results_of(lambda _, a=plain: a)(x),
            strict=True,
        ):
            assert type(actual) is type(expected)
            assert actual.dtype == expected.dtype
            assert actual.shape == expected.shape
            tolerance = 100 * np.finfo(expected.dtype).eps
            np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


OF_MODULI = re.compile(r"(norm|cond)-(1|-1|inf|-inf|3|2.5)-|vector_norm-")


@pytest.mark.parametrize("dtype", ["d", "D"])
@every_case
def test_derivatives(
    function: Callable[..., Any], shape: tuple[int, ...], dtype: str, request: pytest.FixtureRequest
) -> None:
    # The second derivative of a complex modulus is that of the op table's entry.
    second = dtype == "d" or not OF_MODULI.search(request.node.callspec.id)
    check(function, matrices(shape, dtype), second)


def check(function: Callable[..., Any], x: Any, second: bool, tolerance: float = 3e-7) -> None:
    results = results_of(function)
    rng = np.random.default_rng(1)

    def draw(like: Any) -> Any:
        value = rng.uniform(0.5, 1.5, np.shape(like))
        if np.asarray(like).dtype.kind == "c":
            value = value + 1j * rng.uniform(-1, 1, np.shape(like))
        return value

    weights = [draw(each) for each in results(x)]
    along, across = (draw(x) for _ in range(2))

    def loss(x: Any) -> Any:
        total: Any = 0.0
        for weight, each in zip(weights, results(x), strict=True):
            total = total + np.real(np.sum(weight * each * (1 + 0.2 * each)))
        return total

    def slope(x: Any) -> Any:
        return np.real(np.sum(across * sd.grad(loss)(x)))

    def close(actual: Any, expected: Any) -> None:
        assert abs(actual - expected) <= tolerance * (1 + abs(expected))

    gradient = sd.grad(loss)(x)
    assert gradient.dtype == x.dtype
    first = np.real(np.sum(along * gradient))
    close(first, central_difference(lambda t: loss(x + t * along)))
    close(sd.jvp(loss, (x,), (along,))[1], first)
    if second:
        bend = central_difference(lambda t: slope(x + t * along))
        close(np.real(np.sum(along * sd.grad(slope)(x))), bend)
        close(sd.jvp(slope, (x,), (along,))[1], bend)
