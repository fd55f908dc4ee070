"""NumPy's operations on sets: which entries belong to a result is fixed, their values vary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.array import value_type
from steepest.array.plain import plain_value
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


def union1d(ar1: Value, ar2: Value) -> Value:
    return np.unique(np.concatenate((ar1, ar2), axis=None))


def intersect1d(
    ar1: Value, ar2: Value, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    one, two = (plain_value(each, "np.intersect1d") for each in (ar1, ar2))
    result, first, second = np.intersect1d(one, two, assume_unique, return_indices=True)
    entries = _taken(ar1, first, result)
    return (entries, first, second) if return_indices else entries


def setdiff1d(ar1: Value, ar2: Value, assume_unique: bool = False) -> Value:
    first, second = (plain_value(each, "np.setdiff1d") for each in (ar1, ar2))
    positions = np.arange(np.size(first))
    if not assume_unique:
        positions = np.unique(first, return_index=True)[1]
    entries = np.ravel(first)[positions]
    result = np.setdiff1d(first, second, assume_unique)
    kept = np.isin(entries, second, assume_unique=assume_unique, invert=True)
    return _taken(ar1, positions[kept], result)


def setxor1d(ar1: Value, ar2: Value, assume_unique: bool = False) -> Value:
    one, two = (plain_value(each, "np.setxor1d") for each in (ar1, ar2))
    result = np.setxor1d(one, two, assume_unique)
    sides = (ar1, ar2)
    if not assume_unique:
        sides = (np.unique(ar1), np.unique(ar2))
    whole = np.concatenate(sides, axis=None)
    values = plain_value(whole, "np.setxor1d")
    order = np.argsort(values, kind="stable")
    values = values[order]
    changes = np.concatenate(([True], values[1:] != values[:-1], [True]))
    alone = changes[1:] & changes[:-1] if values.size else np.zeros(0, bool)
    return _taken(whole, order[alone], result)


def _taken(array: Value, positions: Any, like: Any) -> Value:
    """Take the entries that NumPy takes, and give them the dtype that it gives them."""
    entries = np.take(np.ravel(as_array(array)), positions)
    return entries if value_type(entries).dtype == like.dtype else entries.astype(like.dtype)


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.union1d: union1d,
    np.intersect1d: intersect1d,
    np.setdiff1d: setdiff1d,
    np.setxor1d: setxor1d,
}
