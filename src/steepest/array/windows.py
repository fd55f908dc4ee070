"""NumPy's sliding windows, and arrays with strides of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.lib.stride_tricks import as_strided as numpy_as_strided
from numpy.lib.stride_tricks import sliding_window_view as numpy_windows

from steepest.array.array import Array, value_type
from steepest.array.buffers import linked, ndarray_of
from steepest.array.plain import apply_plainly, is_traced, written_through
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS", "as_strided"]


def sliding_window_view(
    x: Value,
    window_shape: Any,
    axis: Any = None,
    *,
    subok: bool = False,
    writeable: bool = False,
) -> Value:
    if not is_traced(x):
        settings = {"axis": axis, "subok": subok}
        return apply_plainly(numpy_windows, (x, window_shape), settings)
    shape = value_type(x).shape
    lengths = tuple(window_shape) if np.iterable(window_shape) else (window_shape,)
    # NumPy's checks.
    numpy_windows(np.broadcast_to(0.0, shape), window_shape, axis)
    axes = (
        range(len(shape)) if axis is None else normalize_axis_tuple(axis, len(shape), "axis", True)
    )
    # The entries are repeated: what looks like memory of the argument's is a copy.
    windows = np.copy(x)
    for place, length in zip(axes, lengths, strict=True):
        starts = np.arange(value_type(windows).shape[place] - length + 1)
        windows = np.take(windows, starts[:, np.newaxis] + np.arange(length), axis=place)
        windows = np.moveaxis(windows, place + 1, -1)
    windows = np.copy(windows)
    if not (isinstance(x, Array) and isinstance(windows, Array)):
        return windows
    refusal = written_through("lib.stride_tricks.sliding_window_view")
    return linked(windows, x, writeable=False, refusal=refusal)


def as_strided(
    x: Value,
    shape: Any = None,
    strides: Any = None,
    subok: bool = False,
    writeable: bool = True,
    **settings: Any,
) -> Value:
    """Read an array's entries with strides of one's own, as ``stride_tricks.as_strided`` does.

    NumPy looks at memory; here each place there is that of an entry, of which the result is a copy.

    Raises
    ------
    NeedsValueError
        Where only the shape is known, and not how the entries lie.
    UnsupportedError
        Where the strides lead to memory between or beyond the entries, and for a write, which all
        that share the entry would have to see.
    """
    if not isinstance(x, Array):
        return numpy_as_strided(x, shape, strides, subok, writeable, **settings)
    # The bounds, which NumPy 2.5 checks on request (check_bounds), are always checked here.
    numpy_as_strided(np.empty(1, x.dtype), (), (), **settings)
    if not is_traced(x):
        return apply_plainly(numpy_as_strided, (x, shape, strides), {"subok": subok})
    lengths = x.shape if shape is None else tuple(shape)
    own_strides: tuple[int, ...] = x.strides
    layout = ndarray_of(x)
    usual = layout is None or layout.flags.c_contiguous
    if strides is not None:
        steps = tuple(strides)
    else:
        steps = np.empty(lengths, x.dtype).strides if usual else own_strides
    # NumPy's checks.
    numpy_as_strided(np.empty(0, x.dtype), lengths, (0,) * len(steps))
    indices = _places_in_order(x, lengths, steps) if usual else None
    if indices is None:
        indices = _places(x, lengths, steps, own_strides)
    if not usual and x.ndim > 1 and not set(steps) <= set(own_strides):
        raise UnsupportedError(
            "as_strided with numbers for strides of an array that does not lie in the order of C",
            instead="the strides of the array itself, x.strides; sliding_window_view(x, shape)",
        )
    result = np.copy(np.ravel(np.copy(x, "C")))[indices]
    refusal = written_through("lib.stride_tricks.as_strided")
    return linked(result, x, writeable=False, refusal=refusal)


def _places_in_order(
    x: Array, lengths: tuple[int, ...], strides: tuple[int, ...]
) -> np.ndarray[Any, Any] | None:
    """Count the entries to each place, where they lie in the order of C; None for no entry's."""
    width = x.dtype.itemsize
    if x.size == 0 or 0 in lengths or any(stride % width for stride in strides):
        return None
    steps = tuple(stride // width for stride in strides)
    ends = [(length - 1) * step for length, step in zip(lengths, steps, strict=True)]
    if sum(min(end, 0) for end in ends) < 0 or sum(max(end, 0) for end in ends) >= x.size:
        return None
    return _offsets(lengths, steps)


def _places(
    x: Array, lengths: tuple[int, ...], steps: tuple[int, ...], own_strides: tuple[int, ...]
) -> np.ndarray[Any, Any]:
    """Find the entry that lies at each place in memory."""
    places, own = _offsets(lengths, steps), _offsets(x.shape, own_strides)
    order = np.argsort(own, axis=None, kind="stable")
    # What has none of its own finds the place where it would be.
    found = np.minimum(np.searchsorted(own.ravel(), places, sorter=order), own.size - 1)
    if places.size and (not own.size or np.any(own.ravel()[order[found]] != places)):
        raise UnsupportedError(
            f"as_strided with the strides {steps} of an array of {value_type(x)} with the strides"
            f" {own_strides} reads memory that is not that of its entries",
            instead="the whole array as the first argument; sliding_window_view(x, shape)",
        )
    return order[found] if places.size else np.zeros(places.shape, np.intp)


def _offsets(shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Tell how far in memory each entry lies from the first."""
    offsets = np.zeros(shape, np.intp)
    for axis, (length, stride) in enumerate(zip(shape, strides, strict=True)):
        after = (1,) * (len(shape) - axis - 1)
        offsets += (np.arange(length) * stride).reshape((length, *after))
    return offsets


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    numpy_windows: sliding_window_view,
}
