"""What the rules of linear algebra share: types, shapes, triangles, and division by what may be 0.

A cotangent ``g`` is the conjugate of the gradient that the literature writes for complex matrices
(``dL = Re tr(Gᴴ dX)`` with ``G = conj(g)``). Rules that are holomorphic have no conjugates; the
others conjugate ``g``, follow the literature, and conjugate what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from steepest.graph import ArrayType
from steepest.ops.contract import matrix_product
from steepest.ops.movement import reshaped
from steepest.ops.spec import Primitive, Sample, Traced, Value, scale

__all__ = [
    "PRIMITIVES",
    "any_samples",
    "as_column",
    "as_matrix",
    "as_row",
    "completed",
    "conjugate",
    "conjugate_transpose",
    "entries",
    "half_diagonal",
    "identity",
    "known",
    "linalg_dtype",
    "lost",
    "matrix_axes",
    "product",
    "quotient",
    "real_dtype",
    "settled",
    "square_axes",
    "square_samples",
    "square_type",
    "symmetric_samples",
    "tall_samples",
    "triangle",
    "undetermined",
    "well_conditioned",
]

# Types


def linalg_dtype(*types: ArrayType) -> np.dtype[Any]:
    """Find the dtype of LAPACK's results: single precision where all arguments have it."""
    for each in types:
        if each.dtype == np.float16 or each.dtype.char in "gG":
            raise TypeError(f"array type {each.dtype.name} is unsupported in linalg")
    return np.result_type(
        *(each.dtype if each.dtype.kind in "fc" else np.float64 for each in types)
    )


@cache
def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Find the dtype of the real and imaginary parts."""
    return np.zeros((), dtype).real.dtype


def matrix_axes(x: ArrayType) -> tuple[tuple[int, ...], int, int]:
    """Split a shape into that of the stack, rows and columns."""
    if x.ndim < 2:
        raise np.linalg.LinAlgError(
            f"{x.ndim}-dimensional array given. Array must be at least two-dimensional"
        )
    return x.shape[:-2], x.shape[-2], x.shape[-1]


def square_axes(x: ArrayType) -> tuple[int, ...]:
    """Give the shape of a stack of square matrices."""
    batch, rows, columns = matrix_axes(x)
    if rows != columns:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")
    return batch


def square_type(x: ArrayType, **_static: Any) -> ArrayType:
    """Infer the type of a function from square matrices to matrices."""
    square_axes(x)
    return ArrayType(x.shape, linalg_dtype(x))


# Shapes and products


def as_matrix(x: Value) -> Value:
    """Give a number for each matrix the axes of the matrix."""
    return reshaped(x, (*np.shape(x), 1, 1))


def as_column(x: Value) -> Value:
    """Give a vector for each matrix the axes of a column."""
    return reshaped(x, (*np.shape(x), 1))


def as_row(x: Value) -> Value:
    """Give a vector for each matrix the axes of a row."""
    shape = np.shape(x)
    return reshaped(x, (*shape[:-1], 1, shape[-1]))


def entries(x: Value) -> Value:
    """Take the diagonal of each matrix, as a row."""
    return as_row(np.diagonal(x, axis1=-2, axis2=-1))


def product(*factors: Value) -> Value:
    """Multiply matrices from the left, with zeros that win over NaN."""
    result = factors[0]
    for each in factors[1:]:
        result = matrix_product(result, each)
    return result


def conjugate(x: Value) -> Value:
    """Conjugate what is complex."""
    return np.conjugate(x) if x.dtype.kind in "cO" else x


def conjugate_transpose(x: Value) -> Value:
    """Transpose and conjugate each matrix."""
    return conjugate(x).mT


def identity(like: Value) -> Value:
    """Make the identity matrix of the size and dtype of a square matrix."""
    return np.eye(like.shape[-1], dtype=like.dtype)


def half_diagonal(like: Value) -> Value:
    """Make the lower triangle of ones, with halves on the diagonal."""
    return _half_diagonal(like.shape[-1], real_dtype(like.dtype))


@lru_cache(maxsize=32)
def _half_diagonal(length: int, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    ones = np.eye(length, dtype=dtype)
    mask: np.ndarray[Any, Any] = np.tril(np.ones_like(ones)) - 0.5 * ones
    mask.flags.writeable = False
    return mask


def triangle(x: Value, lower: bool) -> Value:
    """Pull back to the triangle that was read, from the whole Hermitian matrix."""
    mask = half_diagonal(x)
    return (x + conjugate_transpose(x)) * (mask if lower else mask.T)


def completed(x: Value, lower: bool) -> Value:
    """Complete the triangle that is read to the Hermitian matrix that it stands for."""
    mask = half_diagonal(x)
    half = x * (mask if lower else mask.T)
    return half + conjugate_transpose(half)


# Division by what may be 0


ROUNDING = 16
"""What decompositions round, at most, in units of the precision, the length and the largest entry.

LAPACK's errors are a modest multiple of these units, which differs from processor to processor, and
so are those of whoever has made the matrix.
"""


def _evaluate_settled(x: Value, like: Value) -> Value:
    length = max(like.shape[-2:])
    limit = ROUNDING * length * np.finfo(x.dtype).eps
    size = np.max(np.abs(like), axis=(-2, -1), keepdims=True, initial=0)
    return np.where(np.abs(x) <= limit * size, x.dtype.type(0), x)


def _settled_type(x: ArrayType, like: ArrayType) -> ArrayType:
    if x.dtype.kind not in "fc":
        raise ValueError(f"only floating-point numbers are rounded, and these are {x.dtype}")
    return ArrayType(np.broadcast_shapes(x.shape, (*like.shape[:-2], 1, 1)), x.dtype)


settled = Primitive(
    "settled",
    _evaluate_settled,
    infer=_settled_type,
    arguments="x like",
    vjps=(lambda g: g,),
    jvp=(lambda t: t,),
    samples=lambda rng: [
        Sample((rng.uniform(1, 2, (*batch, 3, 3)), rng.uniform(1, 2, (*batch, 3, 3))))
        for batch in [(), (2,), (0,)]
    ],
)
"""The matrix x, with zeros for what is mere rounding beside the entries of another matrix.

Its derivative is that of x: a sum that is 0 but for rounding is 0 all around.
"""


def known(value: Value) -> Value:
    """Take the plain value out of a traced one; None where there is only a type."""
    while isinstance(value, Traced):
        value = value._value
    return value


def lost(divisor: Value, size: Value, length: int) -> Value | None:
    """Find the divisors that are mere rounding beside ``size``; None if there are none."""
    limit = ROUNDING * length * float(np.finfo(divisor.dtype).eps)
    result = np.abs(divisor) <= limit * size
    value = known(result)
    return None if value is not None and not value.any() else result


def quotient(x: Value, divisor: Value, lost: Value | None, like: Value) -> Value:
    """Divide; where the divisor is `lost`, ``0 / 0`` is 0 and anything else is NaN.

    ``like`` is what x was computed from, beside which it may be mere rounding.
    """
    if lost is None:
        return scale(x, 1 / divisor)
    one, unknown = divisor.dtype.type(1), divisor.dtype.type(np.nan)
    inverse = np.where(lost, unknown, 1 / np.where(lost, one, divisor))
    return scale(np.where(lost, settled(x, like), x), inverse)


def undetermined(amount: Value, where: Value) -> Value:
    """Make NaN of what is not 0 where a mask says so; 0 elsewhere."""
    dtype = amount.dtype.type
    return scale(amount, np.where(where, dtype(np.nan), dtype(0)))


# Samples


def well_conditioned(
    rng: np.random.Generator, shape: tuple[int, ...], symmetric: bool = False
) -> Value:
    """Make matrices with singular values apart from each other and from 0."""
    n = shape[-1]
    x = 0.3 * rng.uniform(-1, 1, shape) + np.diag(np.arange(1.0, n + 1))
    return x + x.mT if symmetric else x


SQUARE_SHAPES: Sequence[tuple[int, ...]] = ((2, 2), (3, 3), (2, 3, 3), (1, 1), (0, 2, 2), (0, 0))


def square_samples(**static: Any) -> Callable[[np.random.Generator], Iterator[Sample]]:
    """Draw square matrices."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for shape in SQUARE_SHAPES:
            yield Sample((well_conditioned(rng, shape),), static)

    return samples


def symmetric_samples(
    name: str, settings: Sequence[Any]
) -> Callable[[np.random.Generator], Iterator[Sample]]:
    """Draw symmetric matrices, for each setting of a static argument."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for setting in settings:
            for shape in SQUARE_SHAPES:
                yield Sample((well_conditioned(rng, shape, symmetric=True),), {name: setting})

    return samples


def tall_samples(**static: Any) -> Callable[[np.random.Generator], Iterator[Sample]]:
    """Draw matrices that are not wider than high."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for rows, columns in [(2, 2), (3, 2), (1, 1), (2, 0)]:
            x = rng.uniform(-1, 1, (2, rows, columns))
            x[..., :columns, :] = well_conditioned(rng, (2, columns, columns))
            yield Sample((x[0],), static)
            yield Sample((x,), static)

    return samples


def any_samples(**static: Any) -> Callable[[np.random.Generator], Iterator[Sample]]:
    """Draw matrices of any shape."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        yield from tall_samples(**static)(rng)
        yield Sample((well_conditioned(rng, (3, 3))[:2],), static)

    return samples


PRIMITIVES = (settled,)
