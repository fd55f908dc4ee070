"""What depends on shapes and dtypes alone: new arrays like others, and questions about types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.array import Array, value_type
from steepest.array.buffers import duck, making
from steepest.ops.spec import Value, is_ndarray

__all__ = ["FUNCTIONS", "full_like"]

Shape = int | tuple[int, ...] | None


def shape(a: Value) -> tuple[int, ...]:
    return value_type(a).shape


def ndim(a: Value) -> int:
    return value_type(a).ndim


def size(a: Value, axis: int | tuple[int, ...] | None = None) -> int:
    return np.size(_stand_in(a), axis)


def _stand_in(a: Value) -> np.ndarray[Any, Any]:
    """Make an ndarray of a value's shape and dtype without memory of that size."""
    kind = value_type(a)
    return np.broadcast_to(np.zeros((), kind.dtype), kind.shape)


def _like(create: Callable[..., np.ndarray[Any, Any]]) -> Callable[..., Value]:
    def like(
        prototype: Value,
        dtype: Any = None,
        order: Any = "K",
        subok: bool = True,
        shape: Shape = None,
        *,
        device: Any = None,
    ) -> Value:
        dtype = value_type(prototype).dtype if dtype is None else dtype
        result = create(_ndarray_like(prototype), dtype, order, False, shape, device=device)
        return duck(result) if making.depth else result

    return like


def _ndarray_like(prototype: Value) -> np.ndarray[Any, Any]:
    """Get an ndarray of the same shape whose entries lie as those of a value."""
    kind = value_type(prototype)
    while isinstance(prototype, Array):
        prototype = prototype._value
    return prototype if is_ndarray(prototype) else np.empty(kind.shape, np.bool_)


def full_like(
    a: Value,
    fill_value: Value,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Shape = None,
    *,
    device: Any = None,
) -> Value:
    """Make an array like another, of one value, which may be traced."""
    kind = value_type(a)
    target = kind.dtype if dtype is None else np.dtype(dtype)
    if isinstance(fill_value, Array):
        lengths = kind.shape if shape is None else shape
        lengths = (lengths,) if isinstance(lengths, int) else lengths
        return np.copy(np.broadcast_to(fill_value.astype(target), lengths))
    result = np.full_like(_ndarray_like(a), fill_value, target, order, False, shape, device=device)
    return duck(result) if making.depth else result


def result_type(*arrays_and_dtypes: Value) -> np.dtype[Any]:
    return np.result_type(*(_promoted(each) for each in arrays_and_dtypes))


def _promoted(value: Value) -> Value:
    """Take what stands for a value in NumPy's promotion."""
    if not isinstance(value, Array):
        return value
    kind = value_type(value).promotion_type
    # A Python number of any value stands for its type.
    return kind(0) if isinstance(kind, type) else kind


def _of_type(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of the arguments' shapes and dtypes alone."""

    def of_type(*args: Any, **settings: Any) -> Any:
        return function(
            *(_stand_in(each) if isinstance(each, Array) else each for each in args), **settings
        )

    return of_type


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.shape: shape,
    np.ndim: ndim,
    np.size: size,
    np.empty_like: _like(np.empty_like),
    np.zeros_like: _like(np.zeros_like),
    np.ones_like: _like(np.ones_like),
    np.full_like: full_like,
    np.result_type: result_type,
    np.iscomplexobj: _of_type(np.iscomplexobj),
    np.isrealobj: _of_type(np.isrealobj),
    np.common_type: _of_type(np.common_type),
    np.diag_indices_from: _of_type(np.diag_indices_from),
    np.tril_indices_from: _of_type(np.tril_indices_from),
    np.triu_indices_from: _of_type(np.triu_indices_from),
}
