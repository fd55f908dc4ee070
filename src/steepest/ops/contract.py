"""Contractions: sums of products over shared axes."""

from __future__ import annotations

import operator

import numpy as np

from steepest.graph import ArrayType
from steepest.ops.spec import Linearity, Primitive, Sample, Value

__all__ = ["PRIMITIVES"]


def _matmul_type(x: ArrayType, y: ArrayType) -> ArrayType:
    if not x.ndim or not y.ndim or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ValueError(f"matmul: shapes {x.shape} and {y.shape} do not fit")
    dtype = np.matmul.resolve_dtypes((x.dtype, y.dtype, None))[-1]
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return ArrayType((*batch, *x.shape[-2:-1], *(y.shape[-1:] if y.ndim > 1 else ())), dtype)


def _matmul_left(g: Value, x_type: ArrayType, y: Value) -> Value:
    if x_type.ndim == 1 and y.ndim == 1:
        return g * y
    if y.ndim == 1:
        return np.expand_dims(g, -1) * y
    if x_type.ndim == 1:
        return np.matmul(np.expand_dims(g, -2), np.swapaxes(y, -1, -2))[..., 0, :]
    return np.matmul(g, np.swapaxes(y, -1, -2))


def _matmul_right(g: Value, x: Value, y_type: ArrayType) -> Value:
    if x.ndim == 1 and y_type.ndim == 1:
        return g * x
    if x.ndim == 1:
        return np.expand_dims(x, -1) * np.expand_dims(g, -2)
    if y_type.ndim == 1:
        return np.matmul(np.swapaxes(x, -1, -2), np.expand_dims(g, -1))[..., 0]
    return np.matmul(np.swapaxes(x, -1, -2), g)


PRIMITIVES = (
    Primitive(
        "matmul",
        operator.matmul,
        infer=_matmul_type,
        arguments="x y",
        vjps=(_matmul_left, _matmul_right),
        jvp=Linearity.SEPARATE,
        broadcasts=True,
        samples=lambda rng: [
            Sample((rng.uniform(-1, 1, a), rng.uniform(-1, 1, b)))
            for a, b in [
                ((2, 3), (3, 4)),
                ((3,), (3,)),
                ((2, 3), (3,)),
                ((3,), (3, 2)),
                ((2, 1, 2, 3), (2, 3, 2)),
                ((2, 2, 3), (3,)),
                ((3,), (2, 3, 2)),
                ((2, 0), (0, 3)),
                ((0, 2), (2, 3)),
            ]
        ],
    ),
)
