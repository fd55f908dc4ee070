"""NumPy's functions that move entries: shape, order, repetition, joining, splitting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.array import Array, value_type
from steepest.ops import primitive
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS"]

_reshape = primitive("reshape")
_transpose = primitive("transpose")
_broadcast = primitive("broadcast")


def reshape(
    a: Value, /, shape: Any, order: str = "C", *, copy: bool | None = None
) -> Value:
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(map(int, shape))
    # NumPy finds the length that -1 stands for, and the words for a shape that does not fit.
    shape = np.reshape(np.broadcast_to(0, value_type(a).shape), shape).shape
    return bind(_reshape, (a,), {"shape": shape})


def transpose(a: Value, axes: Any = None) -> Value:
    ndim = value_type(a).ndim
    if axes is None:
        axes = tuple(range(ndim))[::-1]
    axes = tuple(axis % ndim for axis in axes)
    return bind(_transpose, (a,), {"axes": axes})


def expand_dims(a: Value, axis: Any) -> Value:
    return np.reshape(a, np.expand_dims(np.broadcast_to(0, value_type(a).shape), axis).shape)


def swapaxes(a: Value, axis1: int, axis2: int) -> Value:
    axes = list(range(value_type(a).ndim))
    axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    return np.transpose(a, axes)


def copy(a: Value, order: str = "K", subok: bool = False) -> Value:
    # A new Array over the same recorded value, which nothing writes into.
    return Array(a._trace, a._value, a._node) if isinstance(a, Array) else a.copy()


def broadcast_to(array: Value, shape: Any, subok: bool = False) -> Value:
    return bind(_broadcast, (array,), {"shape": tuple(shape)})


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.reshape: reshape,
    np.transpose: transpose,
    np.expand_dims: expand_dims,
    np.swapaxes: swapaxes,
    np.copy: copy,
    np.broadcast_to: broadcast_to,
}
