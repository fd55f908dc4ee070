"""NumPy's functions that make numbers at regular distances, of ends that are traced."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.array import value_type
from steepest.array.plain import is_known
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


def _inexact(*values: Value) -> np.dtype[Any]:
    """Find the dtype that NumPy computes in: that of the ends, floating point."""
    kinds = [value_type(each).promotion_type for each in values]
    plain = [kind(0) if isinstance(kind, type) else kind for kind in kinds]
    dtype = np.result_type(*plain)
    return dtype if dtype.kind in "fc" else np.result_type(*plain, 0.0)


def linspace(
    start: Value,
    stop: Value,
    num: Any = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: Any = 0,
    *,
    device: Any = None,
) -> Any:
    num = operator.index(num)
    if num < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    _check_device(device)
    intervals = num - 1 if endpoint else num
    inexact = _inexact(start, stop)
    target = inexact if dtype is None else np.dtype(dtype)
    start, stop = (as_array(each).astype(inexact) for each in (start, stop))
    difference = stop - start
    steps = np.reshape(np.arange(num, dtype=inexact), (-1,) + (1,) * difference.ndim)
    step: Value = np.nan
    if intervals > 0:
        step = difference / intervals
        if is_known(step) and np.any(step == 0):
            # A difference so small that its parts would be zero.
            values = steps / intervals * difference + start
        else:
            values = steps * step + start
    else:
        values = steps * difference + start
    if endpoint and num > 1:
        last = np.broadcast_to(stop, difference.shape)
        values = np.concatenate([values[:-1], np.expand_dims(last, 0)])
    if axis != 0:
        values = np.moveaxis(values, 0, axis)
    if target.kind in "iu":
        values = np.floor(values)
    values = values.astype(target, copy=False)
    return (values, step) if retstep else values


def _check_device(device: Any) -> None:
    if device is not None and device != "cpu":
        raise ValueError(f'Device not understood. Only "cpu" is allowed, but received: {device}')


def logspace(
    start: Value,
    stop: Value,
    num: Any = 50,
    endpoint: bool = True,
    base: Value = 10.0,
    dtype: Any = None,
    axis: Any = 0,
) -> Value:
    if value_type(base).ndim:
        ndim = max(value_type(each).ndim for each in (start, stop, base))
        start, stop, base = (
            np.reshape(each, (1,) * (ndim - value_type(each).ndim) + value_type(each).shape)
            for each in (start, stop, base)
        )
        base = np.expand_dims(base, axis=axis)
    values = np.power(base, linspace(start, stop, num, endpoint, axis=axis))
    return values if dtype is None else values.astype(dtype, copy=False)


def geomspace(
    start: Value,
    stop: Value,
    num: Any = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: Any = 0,
) -> Value:
    start, stop = as_array(start), as_array(stop)
    if any(is_known(each) and np.any(each == 0) for each in (start, stop)):
        raise ValueError("Geometric sequence cannot include zero")
    inexact = np.result_type(start.dtype, stop.dtype, float(num), np.zeros((), dtype))
    target = inexact if dtype is None else np.dtype(dtype)
    start, stop = start.astype(inexact), stop.astype(inexact)
    # On the positive real axis, where nothing is negligibly complex.
    direction = np.sign(start)
    start, stop = start / direction, stop / direction
    values = logspace(np.log10(start), np.log10(stop), num, endpoint, dtype=inexact)
    # Powers of logarithms end near the ends.
    shape = np.broadcast_shapes(start.shape, stop.shape)
    first, last = (np.expand_dims(np.broadcast_to(each, shape), 0) for each in (start, stop))
    count = value_type(values).shape[0]
    if count > 1 and endpoint:
        values = np.concatenate([first, values[1:-1], last])
    elif count:
        values = np.concatenate([first, values[1:]])
    values = values * direction
    if axis != 0:
        values = np.moveaxis(values, 0, axis)
    return values.astype(target, copy=False)


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.linspace: linspace,
    np.logspace: logspace,
    np.geomspace: geomspace,
}
