"""Pseudo-inverses and least squares, for matrices of any shape and rank."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from steepest.graph import ArrayType
from steepest.ops.decompositions import svd
from steepest.ops.matrices import (
    SQUARE_SHAPES,
    any_samples,
    as_column,
    as_row,
    completed,
    conjugate,
    conjugate_transpose,
    linalg_dtype,
    matrix_axes,
    product,
    square_axes,
    triangle,
    well_conditioned,
)
from steepest.ops.spec import Primitive, Sample, Value, scale

__all__ = ["PRIMITIVES"]


def _pinv_type(a: ArrayType, rcond: ArrayType, hermitian: bool, truncates: bool) -> ArrayType:
    batch, rows, columns = matrix_axes(a)
    if not rows or not columns:
        return ArrayType((*batch, columns, rows), a.dtype)
    if hermitian:
        square_axes(a)
    return ArrayType((*batch, columns, rows), linalg_dtype(a))


def _pinv_vjp(
    g: Value, a: Value, rcond: Value, ans: Value, hermitian: bool, truncates: bool
) -> Value:
    whole = completed(a, lower=True) if hermitian else a
    if truncates:
        cotangent = conjugate(_truncated_pinv_gradient(conjugate(g), whole, rcond))
    else:
        cotangent = conjugate(_pinv_gradient(conjugate(g), whole, ans))
    return triangle(cotangent, lower=True) if hermitian else cotangent


def _pinv_gradient(g: Value, a: Value, inverse: Value) -> Value:
    """Of a, for matrices of constant rank (G. H. Golub and V. Pereyra, 1973, theorem 4.3)."""
    tall = a.shape[-2] >= a.shape[-1]

    def chain(x: Value, y: Value, z: Value) -> Value:
        # Nothing in between is larger than a.
        return product(x, product(y, z)) if tall else product(x, y, z)

    g_adjoint, adjoint = conjugate_transpose(g), conjugate_transpose(inverse)
    outside_range = chain(g_adjoint, inverse, adjoint)
    outside_range = outside_range - chain(a, inverse, outside_range)
    outside_rows = chain(adjoint, inverse, g_adjoint)
    outside_rows = outside_rows - chain(outside_rows, inverse, a)
    return outside_range + outside_rows - chain(adjoint, g, adjoint)


def _truncated_pinv_gradient(g: Value, a: Value, rcond: Value) -> Value:
    """Of a, when singular values that are not 0 are dropped.

    The inverse of what is kept is a generalised matrix function, ``1 / s`` or 0 of the singular
    values; its derivative is in the divided differences of these (V. Noferini, "A formula for the
    Fréchet derivative of a generalized matrix function", SIAM Journal on Matrix Analysis and
    Applications 38, 2017).
    """
    left, values, right = svd(a, full=False, alone=False)
    kept = values > as_column(rcond) * values[..., :1]
    one = values.dtype.type(1)
    inverse = np.where(kept, 1 / np.where(kept, values, one), 0 * values)
    rows, columns = as_column(values), as_row(values)
    f_rows, f_columns = as_column(inverse), as_row(inverse)
    alike = as_column(kept) == as_row(kept)
    gap, total = np.where(alike, one, rows - columns), np.where(alike, one, rows + columns)
    both = f_rows * f_columns
    by_difference = np.where(alike, -both, (f_rows - f_columns) / gap)
    by_sum = np.where(alike, both, (f_rows + f_columns) / total)
    turned = product(conjugate_transpose(left), conjugate_transpose(g), conjugate_transpose(right))
    adjoint = conjugate_transpose(turned)
    core = 0.5 * (scale(turned + adjoint, by_difference) + scale(turned - adjoint, by_sum))
    gradient = product(left, core, right)
    # Where a is not square, the singular vectors also turn out of the space that they span.
    over = as_row(inverse * inverse)
    outside = product(conjugate_transpose(g), conjugate_transpose(right))
    outside = outside - product(left, turned)
    gradient = gradient + product(outside * over, right)
    outside = product(conjugate_transpose(left), conjugate_transpose(g))
    outside = outside - product(turned, right)
    return gradient + product(left, as_column(inverse * inverse) * outside)


def _pinv_samples(rng: np.random.Generator) -> Iterator[Sample]:
    cutoff = np.array(1e-12)
    for hermitian in (False, True):
        static = {"hermitian": hermitian, "truncates": False}
        if not hermitian:
            for each in any_samples()(rng):
                yield Sample((*each.args, cutoff), static)
        for shape in SQUARE_SHAPES:
            yield Sample((well_conditioned(rng, shape, symmetric=hermitian), cutoff), static)
        x = well_conditioned(rng, (2, 3, 3), symmetric=hermitian)
        static = {"hermitian": hermitian, "truncates": True}
        yield Sample((x, np.array([1e-12, 0.5])), static)
    yield Sample((x[0, :, :2], np.array(0.7)), {"hermitian": False, "truncates": True})
    yield Sample((x[0, :2], np.array(0.7)), {"hermitian": False, "truncates": True})


pinv = Primitive(
    "pinv",
    lambda a, rcond, hermitian, truncates: np.linalg.pinv(a, rcond=rcond, hermitian=hermitian),
    infer=_pinv_type,
    arguments="a rcond",
    vjps=(_pinv_vjp,),
    samples=_pinv_samples,
)
"""The pseudo-inverse; it ``truncates`` when singular values beyond rounding may be dropped."""


def _least_squares_type(a: ArrayType, b: ArrayType, rcond: float, truncates: bool) -> ArrayType:
    if a.ndim != 2 or b.ndim != 2:
        each = a if a.ndim != 2 else b
        raise np.linalg.LinAlgError(
            f"{each.ndim}-dimensional array given. Array must be two-dimensional"
        )
    if a.shape[0] != b.shape[0]:
        raise np.linalg.LinAlgError("Incompatible dimensions")
    return ArrayType((a.shape[1], b.shape[1]), linalg_dtype(a, b))


def _least_squares_vjp(
    g: Value, a: Value, b: Value, ans: Value, rcond: float, truncates: bool
) -> Value:
    g = conjugate(g)
    if truncates:
        outer = product(g, conjugate_transpose(b))
        return conjugate(_truncated_pinv_gradient(outer, a, np.asarray(rcond)))
    # As for pinv(a) @ b, without a product that is larger than a.
    inverse = _solution_operator(a, rcond, truncates)
    adjoint = conjugate_transpose(inverse)
    shared = product(adjoint, g)
    residual = b - product(a, ans)
    outside_rows = g - product(inverse, product(a, g))
    gradient = (
        product(residual, conjugate_transpose(product(inverse, shared)))
        + product(product(adjoint, ans), conjugate_transpose(outside_rows))
        - product(shared, conjugate_transpose(ans))
    )
    return conjugate(gradient)


def _solution_operator(a: Value, rcond: float, truncates: bool) -> Value:
    return pinv(a, np.asarray(rcond), hermitian=False, truncates=truncates)


def _least_squares_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, columns in [((3, 2), 1), ((2, 2), 2), ((2, 3), 1), ((3, 2), 0)]:
        a = well_conditioned(rng, (3, 3))[: shape[0], : shape[1]]
        b = rng.uniform(-1, 1, (shape[0], columns))
        yield Sample((a, b), {"rcond": 1e-15, "truncates": False})
        yield Sample((a, b), {"rcond": 0.8, "truncates": True})


least_squares = Primitive(
    "least_squares",
    lambda a, b, rcond, truncates: np.linalg.lstsq(a, b, rcond)[0],
    infer=_least_squares_type,
    arguments="a b",
    vjps=(
        _least_squares_vjp,
        lambda g, a, rcond, truncates: product(_solution_operator(a, rcond, truncates).mT, g),
    ),
    samples=_least_squares_samples,
)
"""The x of least norm that minimises ``norm(a @ x - b)``, for a matrix of right-hand sides.

It ``truncates`` when singular values beyond rounding may be dropped.
"""


PRIMITIVES = (pinv, least_squares)
