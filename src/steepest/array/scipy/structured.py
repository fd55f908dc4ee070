"""Structured matrices, and functions of matrices beyond exponential and logarithm, on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.plain import is_known, plain_value
from steepest.array.scipy.followed import followed
from steepest.array.scipy.linalg import eigh, expm, logm, sqrtm
from steepest.errors import UnsupportedError
from steepest.ops import primitive
from steepest.ops.spec import Traced, Value, bind

__all__ = ["FUNCTIONS"]


def _numbers(value: Value, check_finite: bool = True) -> Value:
    array = as_array(value)
    if check_finite and is_known(array):
        np.asarray_chkfinite(plain_value(array, "scipy.linalg"))
    return array if array.dtype.char in "fdFD" else array.astype(np.float64)


# Matrices of which diagonals are stored


def solve_banded(
    l_and_u: tuple[int, int],
    ab: Value,
    b: Value,
    overwrite_ab: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Value:
    lower, upper = map(int, l_and_u)
    a, b = _numbers(ab, check_finite), _numbers(b, check_finite)
    if a.ndim != 2 or a.shape[0] != lower + upper + 1:
        raise ValueError(
            f"invalid values for the number of lower and upper diagonals: l+u+1"
            f" ({lower + upper + 1}) does not equal ab.shape[0] ({a.shape[0]})"
        )
    if b.ndim not in (1, 2) or a.shape[1] != b.shape[0]:
        raise ValueError("shapes of ab and b are not compatible.")
    return _solved_banded(a, b, lower, upper)


def _solved_banded(a: Value, b: Value, lower: int, upper: int) -> Value:
    right = b[:, None] if b.ndim == 1 else b
    static = {"lower": lower, "upper": upper}
    x = bind(primitive("solve_banded"), (a, right), static)
    return x[:, 0] if b.ndim == 1 else x


def solveh_banded(
    ab: Value,
    b: Value,
    overwrite_ab: bool = False,
    overwrite_b: bool = False,
    lower: bool = False,
    check_finite: bool = True,
) -> Value:
    a, b = _numbers(ab, check_finite), _numbers(b, check_finite)
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[1] != b.shape[0]:
        raise ValueError("shapes of ab and b are not compatible.")
    size, count = a.shape[1], a.shape[0] - 1
    # The diagonals of one triangle, and of the other one the same, conjugated and moved.
    lengths = [max(size - k, 0) for k in range(count + 1)]
    if lower:
        below = [a[k][: lengths[k]] for k in range(count + 1)]
    else:
        below = [np.conj(a[count - k][size - lengths[k] :]) for k in range(count + 1)]
    above = [np.conj(each) for each in below]
    gaps = [np.zeros(size - length, a.dtype) for length in lengths]
    rows = [np.concatenate([gaps[k], above[k]]) for k in range(count, 0, -1)]
    rows.append(np.real(below[0]).astype(a.dtype))
    rows.extend(np.concatenate([below[k], gaps[k]]) for k in range(1, count + 1))
    return _solved_banded(np.stack(rows), b, count, count)


def eigh_tridiagonal(
    d: Value,
    e: Value,
    eigvals_only: bool = False,
    select: Any = "a",
    select_range: Any = None,
    check_finite: bool = True,
    tol: float = 0.0,
    lapack_driver: str = "auto",
) -> Any:
    d, e = _numbers(d, check_finite), _numbers(e, check_finite)
    if d.ndim != 1 or e.shape != (d.size - 1,):
        raise ValueError(f"d.size ({d.size}) must be one more than e.size ({e.size})")
    if select not in (0, "a", "all"):
        raise UnsupportedError(
            "scipy.linalg.eigh_tridiagonal of a part of the eigenvalues is not differentiated",
            instead="w, v = scipy.linalg.eigh_tridiagonal(d, e) and w[i:j], v[:, i:j]",
        )
    matrix = np.diag(d) + np.diag(e, 1) + np.diag(e, -1)
    return eigh(matrix, eigvals_only=eigvals_only)


def eigvalsh_tridiagonal(d: Value, e: Value, *args: Any, **settings: Any) -> Value:
    return eigh_tridiagonal(d, e, True, *args, **settings)


# Equations


def solve_discrete_lyapunov(a: Value, q: Value, method: str | None = None) -> Value:
    a, q = _numbers(a), _numbers(q)
    if method not in (None, "direct", "bilinear"):
        raise ValueError(f"Unknown solver {method}")
    if a.ndim != 2 or a.shape != q.shape:
        raise ValueError("Matrix a and q should have the same shape.")
    system = np.eye(a.size, dtype=a.dtype) - np.kron(a, np.conj(a))
    return np.reshape(np.linalg.solve(system, np.ravel(q)), q.shape)


# Functions of matrices


def _square(value: Value) -> Value:
    a = _numbers(value)
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise ValueError(f"expected a square matrix, but received the shape {a.shape}")
    return a


def expm_frechet(
    A: Value,  # noqa: N803  # SciPy's name
    E: Value,  # noqa: N803  # SciPy's name
    method: str | None = None,
    compute_expm: bool = True,
    check_finite: bool = True,
) -> Any:
    a, direction = _square(A), _square(E)
    if a.shape != direction.shape:
        raise ValueError("expected A and E to be the same shape")
    size = len(a)
    dtype = np.result_type(a.dtype, direction.dtype)
    # The exponential of a matrix of blocks has the derivative beside it.
    above = np.concatenate([a.astype(dtype), direction.astype(dtype)], axis=1)
    below = np.concatenate([np.zeros((size, size), dtype), a.astype(dtype)], axis=1)
    derivative = expm(np.concatenate([above, below]))[:size, size:]
    return (expm(a), derivative) if compute_expm else derivative


def _turning(a: Value) -> tuple[Value, Value]:
    """Take cosine and sine."""
    ahead = expm(1j * a)
    if a.dtype.kind != "c":
        return np.real(ahead), np.imag(ahead)
    back = expm(-1j * a)
    return 0.5 * (ahead + back), -0.5j * (ahead - back)


def cosm(A: Value) -> Value:  # noqa: N803  # SciPy's name
    return _turning(_square(A))[0]


def sinm(A: Value) -> Value:  # noqa: N803  # SciPy's name
    return _turning(_square(A))[1]


def tanm(A: Value) -> Value:  # noqa: N803  # SciPy's name
    return np.linalg.solve(*_turning(_square(A)))


def coshm(A: Value) -> Value:  # noqa: N803  # SciPy's name
    a = _square(A)
    return 0.5 * (expm(a) + expm(-a))


def sinhm(A: Value) -> Value:  # noqa: N803  # SciPy's name
    a = _square(A)
    return 0.5 * (expm(a) - expm(-a))


def tanhm(A: Value) -> Value:  # noqa: N803  # SciPy's name
    return np.linalg.solve(coshm(A), sinhm(A))


def signm(A: Value, disp: Any = True) -> Value:  # noqa: N803  # SciPy's name
    if not disp:
        raise UnsupportedError(
            "scipy.linalg.signm with disp=False is not differentiated",
            instead="scipy.linalg.signm(a)",
        )
    a = _square(A)
    # The matrix over the principal root of its square.
    return a @ np.linalg.inv(sqrtm(a @ a))


def fractional_matrix_power(A: Value, t: Value) -> Value:  # noqa: N803  # SciPy's name
    from scipy.linalg import fractional_matrix_power as original

    a = _square(A)
    asked = "scipy.linalg.fractional_matrix_power, whose result is real or complex by its values,"
    power = plain_value(t, asked)
    if not isinstance(t, Traced) and power == int(power):
        return np.linalg.matrix_power(a, int(power))
    return expm(t * logm(a)).astype(original(plain_value(a, asked), power).dtype)


# Matrices that are built


def companion(a: Value) -> Value:
    a = as_array(a)
    if a.shape[-1:] < (2,):
        raise ValueError("The length of `a` along the last axis must be at least 2.")
    if is_known(a) and np.any(plain_value(a, "scipy.linalg.companion")[..., 0] == 0):
        raise ValueError("The first coefficient(s) of `a` must not be zero.")
    first = -a[..., 1:] / (1.0 * a[..., 0:1])
    size = first.shape[-1]
    below = np.broadcast_to(
        np.eye(size - 1, size, dtype=first.dtype), (*first.shape[:-1], size - 1, size)
    )
    return np.concatenate([first[..., None, :], below], axis=-2)


_FOLLOWED = (
    "convolution_matrix fiedler fiedler_companion leslie matmul_toeplitz orthogonal_procrustes"
)

FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.linalg": {
        **followed(
            "scipy.linalg", _FOLLOWED, "np.zeros, np.diag and np.linalg.svd", "scipy._lib._util"
        ),
        **{
            function.__name__: function
            for function in (
                companion,
                coshm,
                cosm,
                eigh_tridiagonal,
                eigvalsh_tridiagonal,
                expm_frechet,
                fractional_matrix_power,
                signm,
                sinhm,
                sinm,
                solve_banded,
                solve_discrete_lyapunov,
                solveh_banded,
                tanhm,
                tanm,
            )
        },
    }
}
"""By module and name."""
