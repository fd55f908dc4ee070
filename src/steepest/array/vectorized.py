"""Functions of NumPy that call a function of the user's many times and put the results together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from steepest.array.array import Array, value_type
from steepest.array.buffers import duck
from steepest.array.plain import is_traced
from steepest.ops import primitive
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS", "apply_along_axis", "apply_over_axes", "vectorize_call"]

_stack = primitive("stack")
_apply_along_axis = np.apply_along_axis


def _together(parts: Sequence[Value], dtype: Any) -> Value:
    """Stack parts of one shape along a new first axis, in one dtype."""
    if dtype.kind not in "fc":
        parts = [_cast(each, dtype) for each in parts]
    if not any(isinstance(each, Array) for each in parts):
        return duck(np.array(parts, dtype))
    arrays = (each if isinstance(each, Array) else np.asarray(each) for each in parts)
    return bind(_stack, tuple(arrays), {"dtype": dtype})


def _cast(value: Value, dtype: Any) -> Value:
    """Cast, and where no gradient is left, to a plain value."""
    array = value if isinstance(value, Array) else np.asarray(value)
    return array.astype(dtype)


def _own_dtype(value: Value) -> np.dtype[Any]:
    return value_type(value).dtype


def apply_along_axis(
    func1d: Callable[..., Value], axis: int, arr: Value, *args: Any, **settings: Any
) -> Value:
    """Call a function on each vector along an axis, as ``np.apply_along_axis``."""
    arr = _stacked(arr)
    if not isinstance(arr, Array):
        plain = np.asarray(arr)
        if plain.dtype.kind not in "biufc":
            return _apply_along_axis(func1d, axis, plain, *args, **settings)
        arr = duck(plain)
    ndim = value_type(arr).ndim
    axis = normalize_axis_index(axis, ndim)
    last = np.moveaxis(arr, axis, -1)
    lengths = value_type(last).shape[:-1]
    if 0 in lengths:
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    parts = [
        _stacked(func1d(last[(*place, ...)], *args, **settings)) for place in np.ndindex(lengths)
    ]
    shape = value_type(parts[0]).shape
    whole = _together(
        [
            each if value_type(each).shape == shape else np.broadcast_to(each, shape)
            for each in parts
        ],
        _own_dtype(parts[0]),
    )
    whole = np.reshape(whole, (*lengths, *shape))
    places = range(axis, axis + len(shape))
    return np.moveaxis(whole, range(len(lengths), len(lengths) + len(shape)), places)


def _stacked(result: Any) -> Value:
    """Make an Array of a list that holds traced values; leave what else there is alone."""
    if not isinstance(result, (list, tuple)) or not is_traced(result):
        return result
    parts = [_stacked(each) for each in result]
    return _together(parts, np.result_type(*map(_own_dtype, parts)))


def apply_over_axes(func: Callable[..., Value], a: Value, axes: Any) -> Value:
    """Call a reduction along each of several axes, as ``np.apply_over_axes``."""
    result = a
    for axis in np.atleast_1d(axes).tolist():
        place = axis + value_type(a).ndim if axis < 0 else axis
        reduced = func(result, place)
        ndim = value_type(result).ndim
        if value_type(reduced).ndim != ndim:
            reduced = np.expand_dims(reduced, place)
            if value_type(reduced).ndim != ndim:
                raise ValueError("function is not returning an array of the correct shape")
        result = reduced
    return result


def vectorize_call(
    vectorized: Any, func: Callable[..., Any], args: Sequence[Value], array: Callable[..., Value]
) -> Value:
    """Call the function of an ``np.vectorize`` on each entry, traced or not.

    Parameters
    ----------
    array : callable
        What makes an Array of nested lists.
    """
    if not args:
        return func()
    arrays = [array(each, copy=None) for each in args]
    inner, outer = vectorized._in_and_out_core_dims or ([()] * len(arrays), None)
    if len(inner) != len(arrays):
        raise TypeError(
            f"wrong number of positional arguments: expected {len(inner)}, got {len(arrays)}"
        )
    sizes: dict[str, int] = {}
    for each, core in zip(arrays, inner, strict=True):
        _add_sizes(sizes, each.shape, core)
    loops = [each.shape[: each.ndim - len(core)] for each, core in zip(arrays, inner, strict=True)]
    shape = np.broadcast_shapes(*loops)
    if 0 in shape and vectorized.otypes is None:
        raise ValueError("cannot call `vectorize` on size 0 inputs unless `otypes` is set")
    spread = [
        np.broadcast_to(each, (*shape, *each.shape[len(loop) :]))
        for each, loop in zip(arrays, loops, strict=True)
    ]
    results = [func(*(each[place] for each in spread)) for place in np.ndindex(shape)]
    several = bool(results) and isinstance(results[0], tuple)
    count = len(results[0]) if several else len(vectorized.otypes or "x")
    if not results:
        several = count > 1
    if outer is not None:
        if results and count != len(outer):
            raise ValueError(
                f"wrong number of outputs from pyfunc: expected {len(outer)}, got {count}"
            )
        for each in results:
            for core, value in zip(outer, each if several else [each], strict=True):
                _add_sizes(sizes, value_type(value).shape, core, whole=True)
        if not all(name in sizes for core in outer for name in core):
            raise ValueError(
                "cannot call `vectorize` with a signature including new output dimensions on size 0"
                " inputs"
            )
    columns = [
        [each[position] if several else each for each in results] for position in range(count)
    ]
    wholes = []
    for position, column in enumerate(columns):
        if vectorized.otypes is not None:
            dtype = np.dtype(vectorized.otypes[position])
        else:
            dtype = _own_dtype(column[0])
        if dtype.kind not in "biufc":
            wholes.append(_of_objects(column, shape, dtype, is_core=outer is not None))
            continue
        if not column:
            lengths = [sizes[name] for name in outer[position]] if outer is not None else []
            wholes.append(duck(np.zeros((*shape, *lengths), dtype)))
            continue
        whole = _together(column, dtype)
        wholes.append(np.reshape(whole, (*shape, *value_type(whole).shape[1:])))
    return tuple(wholes) if several else wholes[0]


def _of_objects(
    column: list[Any], shape: tuple[int, ...], dtype: np.dtype[Any], *, is_core: bool
) -> Value:
    """Put together what carries no gradient: text, dates, objects."""
    if is_core and dtype.kind != "O" and column:
        whole = np.stack(column)
        return np.reshape(whole, (*shape, *whole.shape[1:]))
    entries = np.reshape(np.array([*column, None], object)[:-1], shape)
    # Of text and dates NumPy finds the length and the unit.
    return entries if dtype.kind == "O" else np.asarray(entries, dtype.char)


def _add_sizes(
    sizes: dict[str, int], shape: tuple[int, ...], core: tuple[str, ...], *, whole: bool = False
) -> None:
    """Add the lengths of the core dimensions of an array to those known, and compare them."""
    if len(shape) < len(core):
        raise ValueError(
            f"{len(shape)}-dimensional argument does not have enough dimensions for all core"
            f" dimensions {core!r}"
        )
    for name, length in zip(core, shape[len(shape) - len(core) :], strict=True):
        if sizes.setdefault(name, length) != length:
            raise ValueError(
                f"inconsistent size for core dimension {name!r}: {length} vs {sizes[name]}"
            )
    if whole and len(shape) > len(core):
        raise ValueError("setting an array element with a sequence.")


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.apply_along_axis: apply_along_axis,
    np.apply_over_axes: apply_over_axes,
}
