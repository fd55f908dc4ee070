"""Moving entries without changing them: shape, order, repetition, joining."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy import ndarray

from steepest.graph import ArrayType, type_of
from steepest.ops.spec import Linearity, Primitive, Sample, Value

__all__ = ["PRIMITIVES", "broadcast", "reshaped"]

SMALL = 1024
"""Entries up to which filling a new array is faster than NumPy's stride tricks."""


def reshaped(x: Value, shape: tuple[int, ...]) -> Value:
    """Reshape; what is NumPy's own by its method, which takes half the time of NumPy's function."""
    if type(x) is ndarray or isinstance(x, np.generic):
        return x.reshape(shape)
    return np.reshape(x, shape)


def _transposed(x: Value, axes: tuple[int, ...]) -> Value:
    return x.transpose(axes) if type(x) is ndarray else np.transpose(x, axes)


def _evaluate_broadcast(x: Value, shape: tuple[int, ...], is_view: bool = False) -> Value:
    """Stretch; in the user's own ``np.broadcast_to`` the entries lie as there, by strides of 0."""
    if is_view:
        return np.broadcast_to(x, shape)
    if type(x) is not ndarray and type(x) is not np.float64:
        x = np.asarray(x)
    if x.shape == shape:
        return x[()]
    if math.prod(shape) > SMALL:
        return np.broadcast_to(x, shape)
    result = np.empty(shape, x.dtype)
    result[...] = x
    return result


broadcast = Primitive(
    "broadcast",
    _evaluate_broadcast,
    infer=lambda x, shape, is_view=False: ArrayType(tuple(shape), x.dtype),
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


@lru_cache(maxsize=1024)
def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    inverse = [0] * len(axes)
    for position, axis in enumerate(axes):
        inverse[axis] = position
    return tuple(inverse)


def _reshape_vjp(g: Value, x_type: ArrayType) -> Value:
    return g.reshape(x_type.shape) if type(g) is ndarray else reshaped(g, x_type.shape)


def _transpose_vjp(g: Value, axes: tuple[int, ...]) -> Value:
    return g.transpose(_inverse(axes)) if type(g) is ndarray else np.transpose(g, _inverse(axes))


def _evaluate_concatenate(*xs: Value, axis: int, lengths: tuple[int, ...]) -> Value:
    return np.concatenate(xs, axis)


def _concatenate_type(*xs: ArrayType, axis: int, lengths: tuple[int, ...]) -> ArrayType:
    shape = xs[0].shape
    if any(
        x.ndim != len(shape)
        or x.shape[:axis] != shape[:axis]
        or x.shape[axis + 1 :] != shape[axis + 1 :]
        for x in xs
    ):
        raise ValueError(
            "all the input array dimensions except for the concatenation axis must match exactly:"
            f" the shapes along axis {axis} are {', '.join(str(x.shape) for x in xs)}"
        )
    return ArrayType(
        (*shape[:axis], sum(lengths), *shape[axis + 1 :]),
        np.result_type(*(x.dtype for x in xs)),
    )


def _concatenate_vjp(g: Value, axis: int, lengths: tuple[int, ...], position: int) -> Value:
    start = _starts(lengths)[position]
    return g[(*[slice(None)] * axis, slice(start, start + lengths[position]))]


_latest: list[tuple[tuple[int, ...], list[int]]] = [((), [])]


def _starts(lengths: tuple[int, ...]) -> list[int]:
    """Find where each part begins: once for all the parts of an array, one after the other."""
    known, starts = _latest[0]
    if known is not lengths:
        starts = [0, *itertools.accumulate(lengths)]
        _latest[0] = lengths, starts
    return starts


def _evaluate_stack(*xs: Value, dtype: np.dtype[Any]) -> Value:
    if dtype.kind != "c" and "c" in [type_of(x).dtype.kind for x in xs]:
        raise TypeError(f"complex numbers do not become {dtype}")
    return np.array(xs, dtype)


def _stack_type(*xs: ArrayType, dtype: np.dtype[Any]) -> ArrayType:
    if any(x.shape != xs[0].shape for x in xs):
        raise ValueError("all input arrays must have the same shape")
    if any(x.dtype.kind == "c" for x in xs) and dtype.kind != "c":
        raise TypeError(f"complex numbers do not become {dtype}")
    return ArrayType((len(xs), *xs[0].shape), dtype)


def _evaluate_pad(x: Value, widths: tuple[tuple[int, int], ...]) -> Value:
    x = np.asarray(x)
    result = np.zeros(_padded_shape(x.shape, widths), x.dtype)
    result[_inside(x.shape, widths)] = x
    return result


def _padded_shape(shape: tuple[int, ...], widths: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    return tuple(
        length + before + after for length, (before, after) in zip(shape, widths, strict=True)
    )


def _inside(shape: tuple[int, ...], widths: tuple[tuple[int, int], ...]) -> tuple[slice, ...]:
    """Where the entries of an array lie after padding."""
    return tuple(
        slice(before, before + length) for length, (before, _) in zip(shape, widths, strict=True)
    )


def _concatenate_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shapes, axis in (
        ([(2,), (3,)], 0),
        ([(2, 1), (2, 3), (2, 0)], 1),
        ([(1, 2)], 0),
        ([(0, 2), (0, 2)], 0),
    ):
        yield Sample(
            tuple(rng.uniform(-1, 1, shape) for shape in shapes),
            {"axis": axis, "lengths": tuple(shape[axis] for shape in shapes)},
        )


PRIMITIVES = (
    broadcast,
    Primitive(
        "concatenate",
        _evaluate_concatenate,
        infer=_concatenate_type,
        arguments="*xs",
        vjps=(_concatenate_vjp,),
        jvp=Linearity.JOINT,
        samples=_concatenate_samples,
    ),
    Primitive(
        "stack",
        _evaluate_stack,
        infer=_stack_type,
        arguments="*xs",
        vjps=(lambda g, position: g[position],),
        jvp=Linearity.JOINT,
        samples=lambda rng: [
            Sample(tuple(rng.uniform(-1, 1, (3, *shape))), {"dtype": np.dtype(float)})
            for shape in ((), (2,), (1, 2), (0,))
        ],
    ),
    Primitive(
        "pad",
        _evaluate_pad,
        infer=lambda x, widths: ArrayType(_padded_shape(x.shape, widths), x.dtype),
        vjps=(lambda g, x_type, widths: g[_inside(x_type.shape, widths)],),
        jvp=Linearity.JOINT,
        samples=lambda rng: [
            Sample((rng.uniform(-1, 1, (3,)),), {"widths": ((1, 2),)}),
            Sample((rng.uniform(-1, 1, (2, 1)),), {"widths": ((0, 0), (2, 0))}),
            Sample((rng.uniform(-1, 1, ()),), {"widths": ()}),
            Sample((rng.uniform(-1, 1, (0,)),), {"widths": ((0, 1),)}),
        ],
    ),
    Primitive(
        "reshape",
        reshaped,
        infer=lambda x, shape: ArrayType(shape, x.dtype),
        vjps=(_reshape_vjp,),
        jvp=Linearity.JOINT,
        samples=lambda rng: [
            Sample((rng.uniform(-1, 1, (2, 3)),), {"shape": (3, 2)}),
            Sample((rng.uniform(-1, 1, (1,)),), {"shape": ()}),
            Sample((rng.uniform(-1, 1, (2, 0)),), {"shape": (0, 5)}),
        ],
    ),
    Primitive(
        "transpose",
        _transposed,
        infer=_transpose_type,
        vjps=(_transpose_vjp,),
        jvp=Linearity.JOINT,
        samples=lambda rng: [
            Sample((rng.uniform(-1, 1, (2, 3)),), {"axes": (1, 0)}),
            Sample((rng.uniform(-1, 1, (2, 3, 4)),), {"axes": (2, 0, 1)}),
            Sample((rng.uniform(-1, 1, ()),), {"axes": ()}),
        ],
    ),
)
