"""Moving entries without changing them: shape, order, repetition, joining."""

from __future__ import annotations

from typing import Any

import numpy as np

from steepest.graph import ArrayType
from steepest.ops.spec import Linearity, Primitive, Sample, Value

__all__ = ["PRIMITIVES", "broadcast"]

SMALL = 1024
"""Entries up to which filling a new array is faster than NumPy's stride tricks."""


def _evaluate_broadcast(x: Value, shape: tuple[int, ...]) -> Value:
    x = np.asarray(x)
    if x.shape == shape:
        return x[()]
    size = 1
    for length in shape:
        size *= length
    if size > SMALL:
        return np.broadcast_to(x, shape)
    result = np.empty(shape, x.dtype)
    result[...] = x
    return result


broadcast = Primitive(
    "broadcast",
    _evaluate_broadcast,
    infer=lambda x, shape: ArrayType(tuple(shape), x.dtype),
    # Summing over the stretched axes is what `broadcasts` asks of the engine.
    vjps=(lambda g: g,),
    jvp=Linearity.JOINT,
    broadcasts=True,
    samples=lambda rng: [
        Sample((rng.uniform(-1, 1, (3,)),), {"shape": (2, 3)}),
        Sample((rng.uniform(-1, 1, (2, 1)),), {"shape": (2, 3)}),
        Sample((rng.uniform(-1, 1, ()),), {"shape": (2,)}),
        Sample((rng.uniform(-1, 1, (1,)),), {"shape": (0,)}),
    ],
)
"""Stretch to a shape, as ``np.broadcast_to``."""


def _transpose_type(x: ArrayType, axes: tuple[int, ...]) -> ArrayType:
    return ArrayType(tuple(x.shape[axis] for axis in axes), x.dtype)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    inverse = [0] * len(axes)
    for position, axis in enumerate(axes):
        inverse[axis] = position
    return tuple(inverse)


PRIMITIVES = (
    broadcast,
    Primitive(
        "reshape",
        np.reshape,
        infer=lambda x, shape: ArrayType(shape, x.dtype),
        vjps=(lambda g, x_type: np.reshape(g, x_type.shape),),
        jvp=Linearity.JOINT,
        aliases=True,
        samples=lambda rng: [
            Sample((rng.uniform(-1, 1, (2, 3)),), {"shape": (3, 2)}),
            Sample((rng.uniform(-1, 1, (1,)),), {"shape": ()}),
            Sample((rng.uniform(-1, 1, (2, 0)),), {"shape": (0, 5)}),
        ],
    ),
    Primitive(
        "transpose",
        np.transpose,
        infer=_transpose_type,
        vjps=(lambda g, axes: np.transpose(g, _inverse(axes)),),
        jvp=Linearity.JOINT,
        aliases=True,
        samples=lambda rng: [
            Sample((rng.uniform(-1, 1, (2, 3)),), {"axes": (1, 0)}),
            Sample((rng.uniform(-1, 1, (2, 3, 4)),), {"axes": (2, 0, 1)}),
            Sample((rng.uniform(-1, 1, ()),), {"axes": ()}),
        ],
    ),
)
