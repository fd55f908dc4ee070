"""NumPy's functions that choose between values entry by entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.array import Array
from steepest.array.plain import apply_plainly, holds, is_traced, may_hold, plain_value
from steepest.array.writing import update
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


def choose(a: Value, choices: Any, out: None = None, mode: Any = "raise") -> Value:
    a = as_array(a)
    arrays = [as_array(each) for each in choices]
    if a.dtype.kind not in "iub":
        raise TypeError(
            f"Cannot cast array data from {a.dtype!r} to dtype('int64') according to the rule"
            " 'safe'"
        )
    dtype = np.result_type(*choices)
    shape = np.broadcast_shapes(a.shape, *(each.shape for each in arrays))
    stack = np.stack([np.broadcast_to(each.astype(dtype), shape) for each in arrays])
    place: Value = a.astype(np.intp)
    if mode == "wrap":
        place = place % len(arrays)
    elif mode == "clip":
        place = np.clip(place, 0, len(arrays) - 1)
    elif mode != "raise":
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    else:
        if holds((place < 0) | (place >= len(arrays))):
            raise ValueError("invalid entry in choice array")
        # What is negative would count from the end.
        place = np.where(place < 0, len(arrays), place) if may_hold(place < 0) else place
    places = np.reshape(np.broadcast_to(place, shape), (1, *shape))
    chosen = np.take_along_axis(stack, places, axis=0)[0]
    return np.copy(chosen) if shape else chosen[()]


def piecewise(x: Value, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Value:
    x = as_array(x)
    single = np.isscalar(condlist) or (
        not isinstance(condlist[0], (list, np.ndarray, Array)) and x.ndim != 0
    )
    if isinstance(condlist, Array):
        single = condlist.ndim == x.ndim
    conditions = [
        np.broadcast_to(as_array(each).astype(bool), x.shape)
        for each in ([condlist] if single else condlist)
    ]
    if len(conditions) == len(funclist) - 1:
        otherwise = np.ones(x.shape, bool)
        for each in conditions:
            otherwise = otherwise & np.logical_not(each)
        conditions.append(otherwise)
    elif len(conditions) != len(funclist):
        count = len(conditions)
        raise ValueError(
            f"with {count} condition(s), either {count} or {count + 1} functions are expected"
        )
    result: Value = np.zeros(x.shape, x.dtype)
    for condition, each in zip(conditions, funclist, strict=True):
        if not callable(each) and np.ndim(each) == 0:
            value = as_array(each).astype(x.dtype)
        else:
            # A function sees the entries of its piece alone.
            places = np.flatnonzero(plain_value(condition, "np.piecewise with a function"))
            if not len(places):
                continue
            piece = each(x[condition], *args, **kw) if callable(each) else each
            entries = np.broadcast_to(as_array(piece).astype(x.dtype), places.shape)
            found = np.zeros(x.size, np.intp)
            found[places] = np.arange(len(places))
            value = np.reshape(entries[found], x.shape)
        result = np.where(condition, value, result)
    return result


def nan_to_num(
    x: Value,
    copy: bool = True,
    nan: Value = 0.0,
    posinf: Value = None,
    neginf: Value = None,
) -> Value:
    if not copy and isinstance(x, Array) and x._is_ndarray():
        update(x, np.nan_to_num(x, True, nan, posinf, neginf))
        return x
    if not is_traced((x, nan, posinf, neginf)):
        return apply_plainly(np.nan_to_num, (x, True, nan, posinf, neginf), {})
    x = as_array(x)
    if x.dtype.kind not in "fc":
        return np.copy(x)
    if x.dtype.kind == "c":
        real, imaginary = (
            nan_to_num(each, True, nan, posinf, neginf) for each in (np.real(x), np.imag(x))
        )
        return (real + 1j * imaginary).astype(x.dtype)
    limits = np.finfo(x.dtype)
    for found, value in (
        (np.isnan(x), nan),
        (np.equal(x, np.inf), limits.max if posinf is None else posinf),
        (np.equal(x, -np.inf), limits.min if neginf is None else neginf),
    ):
        x = np.where(found, as_array(value).astype(x.dtype), x)
    return x if x.ndim else x[()]


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.choose: choose,
    np.piecewise: piecewise,
    np.nan_to_num: nan_to_num,
}
