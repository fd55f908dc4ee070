"""NumPy's sliding windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.lib.stride_tricks import sliding_window_view as numpy_windows

from steepest.array.array import Array, value_type
from steepest.array.buffers import linked
from steepest.array.plain import apply_plainly, is_traced, written_through
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


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


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    numpy_windows: sliding_window_view,
}
