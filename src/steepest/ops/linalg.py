"""Linear algebra beyond products: determinants, inverses, systems. All take stacks of matrices.

The rules follow M. Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation" (2008). Factorisations are in `steepest.ops.decompositions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from steepest.graph import ArrayType, type_of
from steepest.ops.contract import matrix_product
from steepest.ops.matrices import (
    SQUARE_SHAPES,
    as_column,
    as_matrix,
    as_row,
    linalg_dtype,
    matrix_axes,
    product,
    real_dtype,
    square_axes,
    square_samples,
    square_type,
    well_conditioned,
)
from steepest.ops.spec import Primitive, Sample, Traced, Value, scale

__all__ = ["PRIMITIVES", "inv", "solve"]


# Determinants and inverses


def _decomposed(x: Value) -> tuple[Value, Value, Value, Value, Value]:
    """Decompose for cofactors: ``conj(U), s, conj(V), det(U V)`` of ``x = U S V``.

    The last value says which matrices are finite; others are replaced by zeros.
    """
    finite = np.isfinite(x).all(axis=(-2, -1), keepdims=True)
    left, values, right = np.linalg.svd(np.where(finite, x, 0), full_matrices=False)
    sign = np.linalg.det(left) * np.linalg.det(right)
    return np.conj(left), values, np.conj(right), as_matrix(sign), finite


def _evaluate_cofactor(x: Value) -> Value:
    with np.errstate(all="ignore"):
        return _cofactor_of(x, np.linalg.det(x))


def _cofactor_of(x: Value, determinant: Value) -> Value:
    """Compute the cofactors of a matrix whose determinant is known."""
    if isinstance(x, Traced):
        return cofactor(x)
    result = _cofactor_by_inverse(x, determinant)
    return _cofactor_by_singular_values(x) if result is None else result


def _cofactor_by_inverse(x: Value, determinant: Value) -> Value:
    """Take the short way where it loses two fifths of the digits at most; None elsewhere."""
    size = abs(determinant)
    smallest, largest, precision = _limits(size.dtype)
    if not _holds((size > smallest) & (size < largest)):
        return None
    try:
        inverse = np.linalg.inv(x)
    except np.linalg.LinAlgError:
        return None
    if not _is_well_conditioned(x, inverse, precision**-0.4):
        return None
    return inverse.mT * (as_matrix(determinant) if determinant.ndim else determinant)


@cache
def _limits(dtype: np.dtype[Any]) -> tuple[float, float, float]:
    """Find the smallest and largest normal number, and their precision."""
    limits = np.finfo(dtype)
    return float(limits.tiny), float(limits.max), float(limits.eps)


def _is_well_conditioned(x: Value, inverse: Value, limit: float) -> bool:
    """Whether the condition number of each matrix is below a limit."""
    # That by Frobenius' norm is larger than others, and of one matrix it is found in no time.
    if x.ndim == 2 and np.vdot(x, x).real * np.vdot(inverse, inverse).real < limit * limit:
        return True
    return _holds(_largest_column(x) * _largest_column(inverse) < limit)


def _holds(condition: Value) -> bool:
    """Whether something holds for each matrix; of one alone, it takes NumPy long to say ``all``."""
    return bool(condition.all()) if condition.ndim else bool(condition)


def _largest_column(x: Value) -> Value:
    """Compute the 1-norm of each matrix; NumPy's function takes as long as an inverse."""
    return np.maximum.reduce(np.add.reduce(np.absolute(x), axis=-2), axis=-1, initial=0)


def _cofactor_by_singular_values(x: Value) -> Value:
    left, values, right, sign, finite = _decomposed(x)
    others = np.where(np.eye(values.shape[-1], dtype=bool), 1, as_row(values))
    result = sign * (left * as_row(np.prod(others, axis=-1))) @ right
    return np.where(finite, result, np.nan).astype(result.dtype)


cofactor = Primitive(
    "cofactor",
    _evaluate_cofactor,
    infer=square_type,
    # The matrix of second derivatives of the determinant is symmetric.
    vjps=(lambda g, x: cofactor_derivative(x, g),),
    jvp=(lambda t, x: cofactor_derivative(x, t),),
    samples=square_samples(),
)
"""The matrix of cofactors, which is the gradient of the determinant.

It is finite for every matrix, and ``det(x) · inv(x).T`` only for one that has an inverse. With
the singular value decomposition ``x = U S V`` it is ``det(U V) · conj(U) P conj(V)``, where P is
diagonal with the products of all singular values but one (G. W. Stewart, "On the adjugate
matrix", Linear Algebra and its Applications 283, 1998).
"""


def _evaluate_cofactor_derivative(x: Value, h: Value) -> Value:
    dtype = linalg_dtype(type_of(x), type_of(h))
    left, values, right, sign, finite = _decomposed(x)
    apart = ~np.eye(values.shape[-1], dtype=bool)
    # For i ≠ j the product of all singular values but these two.
    others = np.where(apart[:, None, :] & apart[None, :, :], values[..., None, None, :], 1)
    products = np.prod(others, axis=-1) * apart
    turned = left.mT @ h @ right.mT
    # Cofactor (i, i) of a diagonal matrix changes with the other diagonal entries, and cofactor
    # (i, j) with entry (j, i) alone.
    diagonal = products @ as_column(np.diagonal(turned, axis1=-2, axis2=-1))
    change = np.where(apart, -products * turned.mT, diagonal)
    result = sign * left @ change @ right
    return np.where(finite, result, np.nan).astype(dtype)


def _third_derivative(g: Value, x: Value, h: Value) -> Value:
    """Differentiate ``sum(g * cofactor_derivative(x, h))``, for x that has an inverse."""
    inverse = inv(x, strict=True).mT
    along_g, along_h = (product(inverse, each.mT, inverse) for each in (g, h))
    trace_g, trace_h = (as_matrix(np.sum(inverse * each, axis=(-2, -1))) for each in (g, h))
    both = as_matrix(np.sum(h * along_g, axis=(-2, -1)))
    return as_matrix(det(x)) * (
        (trace_g * trace_h - both) * inverse
        - trace_g * along_h
        - trace_h * along_g
        + product(along_h, g.mT, inverse)
        + product(along_g, h.mT, inverse)
    )


def _pair_type(x: ArrayType, h: ArrayType) -> ArrayType:
    dtype = linalg_dtype(x, h)
    return ArrayType((*np.broadcast_shapes(square_axes(x), square_axes(h)), *x.shape[-2:]), dtype)


def _pair_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in SQUARE_SHAPES:
        yield Sample((well_conditioned(rng, shape), rng.uniform(-1, 1, shape)))


cofactor_derivative: Primitive = Primitive(
    "cofactor_derivative",
    _evaluate_cofactor_derivative,
    infer=_pair_type,
    arguments="x h",
    vjps=(_third_derivative, lambda g, x: cofactor_derivative(x, g)),
    jvp=(
        lambda t, x, h: _third_derivative(t, x, h),
        lambda t, x: cofactor_derivative(x, t),
    ),
    broadcasts=True,
    samples=_pair_samples,
)
"""The derivative of the matrix of cofactors of x along h: linear in h, finite for every x."""


det = Primitive(
    "det",
    np.linalg.det,
    infer=lambda x: ArrayType(square_axes(x), linalg_dtype(x)),
    vjps=(lambda g, x, ans: scale(as_matrix(g) if ans.ndim else g, _cofactor_of(x, ans)),),
    jvp=(lambda t, x: np.sum(scale(t, cofactor(x)), axis=(-2, -1)),),
    samples=square_samples(),
)


def _evaluate_inv(x: Value, strict: bool) -> Value:
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError:
        if strict:
            raise
        with np.errstate(all="ignore"):
            return _evaluate_cofactor(x).mT / as_matrix(np.linalg.det(x))


inv = Primitive(
    "inv",
    _evaluate_inv,
    infer=square_type,
    vjps=(lambda g, ans: -product(ans.mT, g, ans.mT),),
    jvp=(lambda t, ans: -product(ans, t, ans),),
    samples=square_samples(strict=True),
)
"""The inverse; that of a singular matrix is an error, or, unless ``strict``, not finite."""


def _slogdet_type(x: ArrayType) -> tuple[ArrayType, ArrayType]:
    batch, dtype = square_axes(x), linalg_dtype(x)
    return ArrayType(batch, dtype), ArrayType(batch, real_dtype(dtype))


def _slogdet_vjp(g: Sequence[Value], x: Value, ans: Sequence[Value]) -> Value:
    # A real sign is piecewise constant; a complex one turns by the imaginary part of the trace of
    # inv(x) @ dx, whose real part is the derivative of the logarithm.
    slope = g[1]
    if x.dtype.kind == "c":
        slope = slope + 1j * scale(g[0], ans[0]).imag
    return scale(as_matrix(slope), inv(x, strict=False).mT)


slogdet = Primitive(
    "slogdet",
    np.linalg.slogdet,
    infer=_slogdet_type,
    vjps=(_slogdet_vjp,),
    outputs=2,
    samples=square_samples(),
)


# Linear systems


def _solve_type(a: ArrayType, b: ArrayType) -> ArrayType:
    dtype = linalg_dtype(a, b)
    batch = square_axes(a)
    other, rows, columns = matrix_axes(b)
    if rows != a.shape[-1]:
        raise ValueError(f"solve: a matrix of {a.shape} and right-hand sides of {b.shape}")
    return ArrayType((*np.broadcast_shapes(batch, other), rows, columns), dtype)


def _solve_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for a, b in [
        ((2, 2), (2, 1)),
        ((3, 3), (3, 2)),
        ((2, 2, 2), (2, 3)),
        ((2, 2), (2, 2, 1)),
        ((1, 1), (1, 1)),
    ]:
        yield Sample((well_conditioned(rng, a), rng.uniform(-1, 1, b)))


solve: Primitive = Primitive(
    "solve",
    np.linalg.solve,
    infer=_solve_type,
    arguments="a b",
    vjps=(
        lambda g, a, ans: -matrix_product(solve(a.mT, g), ans.mT),
        lambda g, a: solve(a.mT, g),
    ),
    jvp=(
        lambda t, a, ans: -solve(a, matrix_product(t, ans)),
        lambda t, a: solve(a, t),
    ),
    broadcasts=True,
    samples=_solve_samples,
)
"""The solution of ``a @ x = b`` for a matrix of right-hand sides."""


PRIMITIVES = (
    det,
    cofactor,
    cofactor_derivative,
    inv,
    slogdet,
    solve,
)
