"""Contractions: sums of products over shared axes.

One primitive, ``matmul``, does them all; the rest of the family reshapes its arguments for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from steepest.graph import ArrayType
from steepest.ops.movement import reshaped
from steepest.ops.spec import Primitive, Sample, Value, bind, needs_care, scale

__all__ = ["PRIMITIVES", "matrix_product", "zero_safe_matmul", "zero_safe_product"]


def _matmul_type(x: ArrayType, y: ArrayType) -> ArrayType:
    if not x.ndim or not y.ndim or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ValueError(f"matmul: shapes {x.shape} and {y.shape} do not fit")
    dtype = np.matmul.resolve_dtypes((x.dtype, y.dtype, None))[-1]
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return ArrayType((*batch, *x.shape[-2:-1], *(y.shape[-1:] if y.ndim > 1 else ())), dtype)


def _for_blas(x: Value) -> Value:
    """Copy what BLAS cannot read, as the cotangent of a sum, which is one number repeated."""
    if type(x) is not ndarray:
        x = np.asarray(x)
    rows, columns = x.strides[-2:]
    return x if rows and columns and x.itemsize in (rows, columns) else np.ascontiguousarray(x)


def _evaluate_zero_safe(x: Value, y: Value) -> Value:
    product = np.matmul(_for_blas(x), _for_blas(y))
    if not needs_care(product):
        return product
    return np.where(np.isnan(product), _sum_of_limits(x, y), product)


def _sum_of_limits(x: Value, y: Value) -> Value:
    """Sum products over the shared axis, where 0 · inf and 0 · NaN are 0.

    What is not finite stays out of the sum of finite numbers; how many products are ``inf``,
    ``-inf`` and NaN is counted, by products of matrices too.
    """
    total = np.matmul(np.where(np.isfinite(x), x, 0), np.where(np.isfinite(y), y, 0))
    dtype = total.real.dtype

    def count(left: list[Value], right: list[Value]) -> Value:
        return np.matmul(
            np.concatenate(left, axis=-1, dtype=dtype), np.concatenate(right, axis=-2, dtype=dtype)
        )

    if total.dtype.kind == "c":
        # The parts of a complex infinity mix into NaN in any product.
        unknown = count([~np.isfinite(x), x != 0], [y != 0, ~np.isfinite(y)])
        return np.where(unknown > 0, total.dtype.type(complex(np.nan, np.nan)), total)
    left = [x == np.inf, x == -np.inf, x > 0, x < 0]
    rising = count(left, [y > 0, y < 0, y == np.inf, y == -np.inf])
    falling = count(left, [y < 0, y > 0, y == -np.inf, y == np.inf])
    unknown = count([np.isnan(x), x != 0], [y != 0, np.isnan(y)])
    total = np.where(rising > 0, total + np.inf, total)
    total = np.where(falling > 0, total - np.inf, total)
    return np.where(unknown > 0, dtype.type(np.nan), total)


def _matrix_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for x, y in [
        ((2, 3), (3, 4)),
        ((2, 1, 2, 3), (2, 3, 2)),
        ((1, 1), (1, 1)),
        ((2, 0), (0, 3)),
        ((0, 2), (2, 3)),
    ]:
        yield Sample((rng.uniform(-1, 1, x), rng.uniform(-1, 1, y)))


zero_safe_matmul: Primitive = Primitive(
    "zero_safe_matmul",
    _evaluate_zero_safe,
    infer=_matmul_type,
    arguments="x y",
    vjps=(
        lambda g, x_type, y: _matmul_left(g, x_type, y),
        lambda g, x, y_type: _matmul_right(g, x, y_type),
    ),
    jvp=(lambda t, y: zero_safe_matmul(t, y), lambda t, x: zero_safe_matmul(x, t)),
    broadcasts=True,
    samples=_matrix_samples,
)
"""The product of two matrices, or stacks of them, in which a zero factor makes a zero term.

This is `scale` for matrices: a cotangent that is zero is not poisoned by a local derivative
that is not finite, nor a local derivative that is zero by such a cotangent. It costs a look at
the result; only where that has a NaN is the product made with care.
"""


def matrix_product(x: Value, y: Value) -> Value:
    """Multiply by `zero_safe_matmul`; of ndarrays at once."""
    if type(x) is ndarray and type(y) is ndarray:
        return _evaluate_zero_safe(x, y)
    return bind(zero_safe_matmul, (x, y), {})


def zero_safe_product(x: Value, y: Value) -> Value:
    """Multiply as ``x @ y`` does, vectors included, by `zero_safe_matmul`."""
    left = reshaped(x, (1, *x.shape)) if x.ndim == 1 else x
    right = reshaped(y, (*y.shape, 1)) if y.ndim == 1 else y
    product = matrix_product(left, right)
    shape = product.shape
    if y.ndim == 1:
        shape = shape[:-1]
        if x.ndim == 1:
            shape = shape[:-1]
    elif x.ndim == 1:
        shape = (*shape[:-2], shape[-1])
    product = reshaped(product, shape)
    return product if shape else product[()]


def _matmul_left(g: Value, x_type: ArrayType, y: Value) -> Value:
    if y.ndim == 1:
        # Each row of x meets y: an outer product, of which a vector x is the one row.
        return scale(reshaped(g, (*g.shape, 1)) if g.ndim else g, y)
    if len(x_type.shape) == 1:
        return zero_safe_product(y, g) if y.ndim == 2 else _batch_of_rows(g, y)
    return matrix_product(g, y.mT)


def _batch_of_rows(g: Value, y: Value) -> Value:
    """Pull back to a vector that was multiplied with each matrix of a stack."""
    product = matrix_product(y, np.reshape(g, (*g.shape, 1)))
    return np.reshape(product, product.shape[:-1])


def _matmul_right(g: Value, x: Value, y_type: ArrayType) -> Value:
    if x.ndim == 1:
        if len(y_type.shape) == 1:
            return scale(g, x)
        return scale(reshaped(g, (*g.shape[:-1], 1, g.shape[-1])), reshaped(x, (x.shape[0], 1)))
    if len(y_type.shape) == 1:
        if x.ndim == 2:
            return matrix_product(x.mT, g.reshape((-1, 1))).reshape(x.shape[1:])
        return _flat_left(x, g, x.shape[-1:])
    if x.ndim > 2 and len(y_type.shape) == 2:
        return _flat_left(x, g, y_type.shape)
    return matrix_product(x.mT, g)


def _flat_left(x: Value, g: Value, shape: tuple[int, ...]) -> Value:
    """Pull back to what every row of a stack was multiplied with: one product, no stack."""
    rows = x.size // x.shape[-1] if x.shape[-1] else 0
    if not rows:
        return np.zeros(shape, x.dtype)
    x, g = np.reshape(x, (rows, x.shape[-1])), np.reshape(g, (rows, -1))
    return np.reshape(zero_safe_matmul(x.mT, g), shape)


PRIMITIVES = (
    Primitive(
        "matmul",
        np.matmul,
        infer=_matmul_type,
        arguments="x y",
        vjps=(_matmul_left, _matmul_right),
        jvp=(lambda t, y: zero_safe_product(t, y), lambda t, x: zero_safe_product(x, t)),
        broadcasts=True,
        samples=lambda rng: [
            *_matrix_samples(rng),
            *(
                Sample((rng.uniform(-1, 1, a), rng.uniform(-1, 1, b)))
                for a, b in [
                    ((3,), (3,)),
                    ((2, 3), (3,)),
                    ((3,), (3, 2)),
                    ((2, 2, 3), (3,)),
                    ((3,), (2, 3, 2)),
                    ((2, 2, 3), (3, 2)),
                    ((0,), (0,)),
                    ((2, 2, 0), (0, 3)),
                ]
            ),
        ],
    ),
    zero_safe_matmul,
)
