"""Normal forms of matrices, and Riccati equations: SciPy's, with the derivatives of the exact ones.

Each fulfils equations, as many as it has unknowns; `implicit` differentiates their solution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.plain import plain_value
from steepest.array.scipy.followed import original_of
from steepest.array.scipy.implicit import solution_of, with_value
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


def _square(value: Value, name: str) -> tuple[Value, np.ndarray[Any, Any]]:
    """Take a real square matrix, and its plain value."""
    a = as_array(value)
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise ValueError(f"expected a square matrix, but received the shape {a.shape}")
    if a.dtype.kind == "c":
        raise UnsupportedError(
            f"{name} of a complex matrix is not differentiated: phases in its result are arbitrary",
            instead="scipy.linalg.eig, or np.linalg.eigvals",
        )
    a = a if a.dtype.kind == "f" else a.astype(np.float64)
    return a, np.array(plain_value(a, f"{name}, whose form depends on the values,"))


def schur(
    a: Value,
    output: str = "real",
    lwork: Any = None,
    overwrite_a: bool = False,
    sort: Any = None,
    check_finite: bool = True,
) -> Any:
    name = "scipy.linalg.schur"
    a, plain = _square(a, name)
    if output not in ("real", "r"):
        raise UnsupportedError(
            f"{name} with output='complex' is not differentiated: phases in its result are"
            " arbitrary",
            instead="scipy.linalg.schur(a), or np.linalg.eigvals",
        )
    found = original_of("scipy.linalg", "schur")(plain, sort=sort, check_finite=check_finite)
    form, vectors, *rest = found
    size = len(plain)
    below = [(i, j) for i in range(size) for j in range(i) if not (i == j + 1 and form[i, j])]
    rows, columns = np.array(below, int).reshape(-1, 2).T
    pairs = np.flatnonzero(np.diagonal(form, -1))
    upper = np.triu_indices(size)

    def residual(z: Value) -> Value:
        q = np.reshape(z, (size, size))
        triangle = q.T @ a.astype(np.float64) @ q
        # LAPACK gives the blocks of complex pairs equal entries in the diagonal.
        balanced = triangle[pairs, pairs] - triangle[pairs + 1, pairs + 1]
        return np.concatenate([(q.T @ q - np.eye(size))[upper], triangle[rows, columns], balanced])

    z = solution_of(residual, vectors.astype(np.float64).ravel(), name)
    q = np.reshape(z, (size, size)).astype(vectors.dtype)
    return (with_value(form, q.T @ a @ q), with_value(vectors, q), *rest)


def ldl(
    A: Value,  # noqa: N803  # SciPy's name
    lower: bool = True,
    hermitian: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
) -> Any:
    name = "scipy.linalg.ldl"
    a, plain = _square(A, name)
    a = np.tril(a) + np.tril(a, -1).T if lower else np.triu(a) + np.triu(a, 1).T
    triangle, middle, order = original_of("scipy.linalg", "ldl")(
        plain, lower=lower, check_finite=check_finite
    )
    inner, size = triangle[order], len(plain)
    sorted_a = a[order][:, order].astype(np.float64)
    # The unknowns: the middle one's diagonal and blocks, and of the triangle what is not there.
    corner = np.tril_indices(size)
    blocks = (middle != 0)[corner] | (corner[0] == corner[1])
    rows, columns = (each[~blocks] for each in corner)
    inside = tuple(each[blocks] for each in corner)
    places = (rows, columns) if lower else (columns, rows)
    count = len(rows)

    def parts(z: Value) -> tuple[Value, Value]:
        beside = _scattered(z[:count], places, size) + np.eye(size)
        half = _scattered(z[count:], inside, size)
        return beside, half + half.T - half * np.eye(size)

    def residual(z: Value) -> Value:
        beside, blocks = parts(z)
        return (beside @ blocks @ beside.T - sorted_a)[corner]

    start = np.concatenate([inner[places], middle[inside]]).astype(np.float64)
    beside, blocks_ = parts(solution_of(residual, start, name))
    back = np.argsort(order)
    return with_value(triangle, beside[back]), with_value(middle, blocks_), order


def _scattered(entries: Value, places: Any, size: int) -> Value:
    """Put entries into a matrix of zeros."""
    ones = np.zeros((size * size, entries.shape[0]))
    ones[places[0] * size + places[1], np.arange(entries.shape[0])] = 1.0
    return np.reshape(ones @ entries, (size, size))


def funm(A: Value, func: Callable[..., Any], disp: bool = True) -> Any:  # noqa: N803  # SciPy's name
    name = "scipy.linalg.funm"
    a, plain = _square(A, name)
    if not disp:
        raise UnsupportedError(
            f"{name} with disp=False is not differentiated", instead="scipy.linalg.funm(a, func)"
        )
    found = original_of("scipy.linalg", "funm")(plain, lambda x: plain_value(func(x), name))
    values, vectors = np.linalg.eig(a)
    formula = (vectors * func(values)) @ np.linalg.inv(vectors)
    return with_value(found, formula if found.dtype.kind == "c" else np.real(formula))


def _riccati(name: str, left: Callable[..., Value]) -> Callable[..., Value]:
    """Make what stands for the solver of an equation, whose left side is given."""

    def solve(
        a: Value,
        b: Value,
        q: Value,
        r: Value,
        e: Value | None = None,
        s: Value | None = None,
        balanced: bool = True,
    ) -> Value:
        called = f"scipy.linalg.{name}"
        if e is not None:
            raise UnsupportedError(
                f"{called} with e= is not differentiated",
                instead=f"{called} of np.linalg.solve(e, a) and np.linalg.solve(e, b)",
            )
        given = [np.atleast_2d(as_array(each)).astype(np.float64) for each in (a, b, q, r)]
        across = np.zeros(given[1].shape) if s is None else as_array(s)
        plain = [plain_value(each, called) for each in (*given, across)]
        found = original_of("scipy.linalg", name)(*plain[:4], s=plain[4], balanced=balanced)
        size = len(found)

        def residual(z: Value) -> Value:
            return np.ravel(left(np.reshape(z, (size, size)), *given, across))

        return np.reshape(solution_of(residual, found.ravel(), called), (size, size))

    return solve


def _continuous(x: Value, a: Value, b: Value, q: Value, r: Value, s: Value) -> Value:
    gain = x @ b + s
    return a.T @ x + x @ a - gain @ np.linalg.solve(r, gain.T) + q


def _discrete(x: Value, a: Value, b: Value, q: Value, r: Value, s: Value) -> Value:
    gain = a.T @ x @ b + s
    return a.T @ x @ a - x - gain @ np.linalg.solve(r + b.T @ x @ b, gain.T) + q


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.linalg": {
        "funm": funm,
        "ldl": ldl,
        "schur": schur,
        "solve_continuous_are": _riccati("solve_continuous_are", _continuous),
        "solve_discrete_are": _riccati("solve_discrete_are", _discrete),
    }
}
"""By module and name."""
