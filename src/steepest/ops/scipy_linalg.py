"""Systems, equations and functions of matrices as SciPy has them, beyond those of ``np.linalg``.

SciPy is imported when one of them is first evaluated. The rules follow M. Giles, "Collected matrix
derivative results for forward and reverse mode algorithmic differentiation" (2008), and, for
exponential and logarithm, R. Mathias, "A chain rule for matrix functions and applications" (1996):
of ``[[A, E], [0, A]]`` a function's upper right block is its derivative at A along E.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from steepest.graph import ArrayType, type_of
from steepest.ops.contract import zero_safe_matmul
from steepest.ops.matrices import (
    linalg_dtype,
    matrix_axes,
    product,
    square_axes,
    square_samples,
    square_type,
    well_conditioned,
)
from steepest.ops.spec import Primitive, Sample, Value, scale

__all__ = ["PRIMITIVES"]


def _matrix_by_matrix(function: Callable[..., Any], *arrays: Any) -> Any:
    """Apply a function of matrices to stacks of them, of which not all of SciPy's know."""
    dtype = linalg_dtype(*map(type_of, arrays))  # Or NumPy's error where LAPACK lacks it.
    arrays = tuple(np.asarray(each, dtype) for each in arrays)
    if all(each.ndim == 2 for each in arrays):
        return function(*arrays)
    batch = np.broadcast_shapes(*(each.shape[:-2] for each in arrays))
    stacks = [np.broadcast_to(each, batch + each.shape[-2:]) for each in arrays]
    if 0 in batch:
        one = function(*(np.zeros(each.shape[-2:], each.dtype) for each in arrays))
        return np.zeros(batch + one.shape, one.dtype)
    results = [function(*(each[index] for each in stacks)) for index in np.ndindex(batch)]
    return np.stack(results).reshape(batch + results[0].shape)


def _system_type(a: ArrayType, b: ArrayType, **_static: Any) -> ArrayType:
    batch = square_axes(a)
    other, rows, columns = matrix_axes(b)
    if rows != a.shape[-1]:
        raise ValueError(f"a matrix of {a.shape} and right-hand sides of {b.shape}")
    return ArrayType((*np.broadcast_shapes(batch, other), rows, columns), linalg_dtype(a, b))


# Triangular systems


def _evaluate_triangular(a: Value, b: Value, lower: bool, unit: bool) -> Value:
    from scipy.linalg import solve_triangular as solve

    return _matrix_by_matrix(
        partial(solve, lower=lower, unit_diagonal=unit, check_finite=False), a, b
    )


def _read(x: Value, lower: bool, unit: bool) -> Value:
    """Keep the entries of the matrix that are read."""
    if not unit:
        return np.tril(x) if lower else np.triu(x)
    return np.tril(x, -1) if lower else np.triu(x, 1)


def _turned(g: Value, a: Value, lower: bool, unit: bool) -> Value:
    return solve_triangular(a.mT, g, lower=not lower, unit=unit)


def _triangular_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for a, b, lower, unit in [
        ((3, 3), (3, 2), False, False),
        ((3, 3), (3, 1), True, False),
        ((2, 2), (2, 2), True, True),
        ((2, 2, 2), (2, 1), False, False),
        ((1, 1), (1, 1), False, True),
    ]:
        args = well_conditioned(rng, a), rng.uniform(-1, 1, b)
        yield Sample(args, {"lower": lower, "unit": unit})


solve_triangular: Primitive = Primitive(
    "solve_triangular",
    _evaluate_triangular,
    infer=_system_type,
    arguments="a b",
    vjps=(
        lambda g, a, ans, lower, unit: _read(
            -zero_safe_matmul(_turned(g, a, lower, unit), ans.mT), lower, unit
        ),
        _turned,
    ),
    jvp=(
        lambda t, a, ans, lower, unit: (
            -solve_triangular(
                a, zero_safe_matmul(_read(t, lower, unit), ans), lower=lower, unit=unit
            )
        ),
        lambda t, a, lower, unit: solve_triangular(a, t, lower=lower, unit=unit),
    ),
    broadcasts=True,
    samples=_triangular_samples,
)
"""The solution of ``a @ x = b``, of a matrix of which one triangle is read."""


# Systems of which only diagonals near the main one are stored


def _evaluate_banded(a: Value, b: Value, lower: int, upper: int) -> Value:
    from scipy.linalg import solve_banded as solve

    dtype = linalg_dtype(type_of(a), type_of(b))
    a, b = np.asarray(a, dtype), np.asarray(b, dtype)
    return solve((lower, upper), a, b, check_finite=False)


def _banded_type(a: ArrayType, b: ArrayType, lower: int, upper: int) -> ArrayType:
    if b.ndim != 2 or a.shape != (lower + upper + 1, b.shape[0]):
        raise ValueError(
            f"{lower} diagonals below and {upper} above the main one, of {a.shape}, and right-hand"
            f" sides of {b.shape}"
        )
    return ArrayType(b.shape, linalg_dtype(a, b))


def _shifted(x: Value, by: int) -> Value:
    """Move entries along the first axis towards its start, and zeros after them."""
    size = len(x)
    gap = np.zeros((min(abs(by), size), *x.shape[1:]), x.dtype)
    return np.concatenate([x[by:], gap] if by >= 0 else [gap, x[: max(size + by, 0)]])


def _turned_bands(a: Value, lower: int, upper: int) -> Value:
    """Store the transpose of a matrix."""
    return np.stack([_shifted(a[lower + upper - r], r - lower) for r in range(lower + upper + 1)])


def _turned_solution(g: Value, a: Value, lower: int, upper: int) -> Value:
    return solve_banded(_turned_bands(a, lower, upper), g, lower=upper, upper=lower)


def _banded_vjp(g: Value, a: Value, ans: Value, lower: int, upper: int) -> Value:
    left = -_turned_solution(g, a, lower, upper)
    rows = [np.sum(scale(_shifted(left, r - upper), ans), axis=1) for r in range(lower + upper + 1)]
    return np.stack(rows)


def _banded_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for lower, upper, size, sides in [(1, 1, 4, 2), (2, 0, 3, 1), (0, 1, 2, 1), (1, 2, 5, 3)]:
        bands = rng.uniform(-0.3, 0.3, (lower + upper + 1, size))
        bands[upper] += 2
        static = {"lower": lower, "upper": upper}
        yield Sample((bands, rng.uniform(-1, 1, (size, sides))), static)


solve_banded: Primitive = Primitive(
    "solve_banded",
    _evaluate_banded,
    infer=_banded_type,
    arguments="a b",
    vjps=(_banded_vjp, _turned_solution),
    samples=_banded_samples,
)
"""The solution of a system whose matrix is stored as its diagonals: ``a[upper + i - j, j]``."""


# Factors L and U of a matrix whose rows are in the order of the pivots


def _evaluate_lu(x: Value) -> Value:
    from scipy.linalg import lu_factor

    return _matrix_by_matrix(lambda each: lu_factor(each, check_finite=False)[0], x)


def _lu_vjp(g: Value, ans: Value) -> Value:
    lower = np.tril(ans, -1) + np.eye(ans.shape[-1], dtype=ans.dtype)
    upper = np.triu(ans)
    core = np.tril(product(lower.mT, np.tril(g, -1)), -1) + np.triu(product(np.triu(g), upper.mT))
    half = solve_triangular(ans.mT, core, lower=False, unit=True)
    return solve_triangular(ans, half.mT, lower=False, unit=False).mT


def _dominant(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(3, 3), (1, 1), (2, 2, 2)]:
        yield Sample((rng.uniform(-0.3, 0.3, shape) + 2 * np.eye(shape[-1]),))


lu = Primitive("lu", _evaluate_lu, infer=square_type, vjps=(_lu_vjp,), samples=_dominant)
"""Both factors of a matrix that needs no pivots, in one matrix: U, and L below the diagonal."""


# Equations of matrices


def _evaluate_sylvester(a: Value, b: Value, q: Value) -> Value:
    from scipy.linalg import solve_sylvester as solve

    dtype = linalg_dtype(*map(type_of, (a, b, q)))
    if 0 in np.shape(q):
        return np.zeros(np.shape(q), dtype)
    return _matrix_by_matrix(solve, a, b, q).astype(dtype, copy=False)


def _sylvester_type(a: ArrayType, b: ArrayType, q: ArrayType) -> ArrayType:
    batch, rows, columns = matrix_axes(q)
    shape = np.broadcast_shapes(square_axes(a), square_axes(b), batch)
    if a.shape[-1] != rows or b.shape[-1] != columns:
        raise ValueError(f"a of {a.shape}, b of {b.shape} and q of {q.shape} do not fit")
    return ArrayType((*shape, rows, columns), linalg_dtype(a, b, q))


def _sylvester_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for m, n in [(3, 2), (1, 1)]:
        a, b = (well_conditioned(rng, (size, size)) for size in (m, n))
        yield Sample((a @ a.T, b @ b.T, rng.uniform(-1, 1, (m, n))))


solve_sylvester: Primitive = Primitive(
    "solve_sylvester",
    _evaluate_sylvester,
    infer=_sylvester_type,
    arguments="a b q",
    vjps=(
        lambda g, a, b, ans: -zero_safe_matmul(solve_sylvester(a.mT, b.mT, g), ans.mT),
        lambda g, a, b, ans: -zero_safe_matmul(ans.mT, solve_sylvester(a.mT, b.mT, g)),
        lambda g, a, b: solve_sylvester(a.mT, b.mT, g),
    ),
    broadcasts=True,
    samples=_sylvester_samples,
)
"""The solution of ``a @ x + x @ b = q``."""


# Functions of matrices


def _derivative_along(function: Primitive, **static: Any) -> Callable[..., Value]:
    def rule(g: Value, x: Value) -> Value:
        """Take the upper right block of the function of ``[[x, g], [0, x]]``, transposed."""
        size = x.shape[-1]
        x = x.mT
        above = np.concatenate([x, g], axis=-1)
        below = np.concatenate([np.zeros_like(x), x], axis=-1)
        whole = function(np.concatenate([above, below], axis=-2), **static)
        return whole[..., :size, size:]

    return rule


def _evaluate_expm(x: Value) -> Value:
    from scipy.linalg import expm as exponential

    return _matrix_by_matrix(exponential, x)


expm: Primitive = Primitive(
    "expm",
    _evaluate_expm,
    infer=square_type,
    vjps=(lambda g, x: _derivative_along(expm)(g, x),),
    samples=square_samples(),
)
"""The exponential of a matrix."""


def _function_type(x: ArrayType, real: bool) -> ArrayType:
    kind = square_type(x)
    return (
        kind
        if real or kind.dtype.kind == "c"
        else ArrayType(kind.shape, np.result_type(kind.dtype, np.complex64))
    )


def _evaluate_sqrtm(x: Value, real: bool) -> Value:
    from scipy.linalg import sqrtm as root

    return _as_real(_matrix_by_matrix(partial(_quietly, root), x), x, real)


def _evaluate_logm(x: Value, real: bool) -> Value:
    from scipy.linalg import logm as logarithm

    return _as_real(_matrix_by_matrix(partial(_quietly, logarithm), x), x, real)


def _quietly(function: Callable[..., Any], x: Value) -> Value:
    """Apply a function that prints or warns that its result may be inaccurate."""
    if not x.size:
        return x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(x)


def _as_real(result: Value, x: Value, real: bool) -> Value:
    dtype = _function_type(type_of(x), real).dtype
    return (result if dtype.kind == "c" else result.real).astype(dtype, copy=False)


def _positive_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in [(2, 2), (3, 3), (2, 3, 3), (1, 1)]:
        yield Sample((rng.uniform(-0.4, 0.4, shape) + 2 * np.eye(shape[-1]),), {"real": True})


def _sqrtm_vjp(g: Value, ans: Value) -> Value:
    return solve_sylvester(ans.mT, ans.mT, g)


sqrtm = Primitive(
    "sqrtm",
    _evaluate_sqrtm,
    infer=_function_type,
    vjps=(_sqrtm_vjp,),
    samples=_positive_samples,
)
"""The principal square root of a matrix; that of a real matrix is ``real`` or not."""

logm: Primitive = Primitive(
    "logm",
    _evaluate_logm,
    infer=_function_type,
    vjps=(lambda g, x, real: _derivative_along(logm, real=real)(g, x),),
    samples=_positive_samples,
)
"""The principal logarithm of a matrix."""

PRIMITIVES = (solve_triangular, solve_banded, lu, solve_sylvester, expm, sqrtm, logm)
