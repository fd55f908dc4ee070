"""NumPy's functions that sort, search, and find what is distinct."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import NO_VALUE, as_array, given
from steepest.array.array import value_type
from steepest.array.plain import holds, plain_value
from steepest.ops import primitive
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS"]


def _along(a: Value, axis: Any) -> tuple[Value, int]:
    """Take an array, flattened where NumPy does, and the axis counted from 0."""
    a = as_array(a)
    if axis is None:
        return np.ravel(a), 0
    return a, np.lib.array_utils.normalize_axis_index(operator.index(axis), a.ndim)


def _order(kind: Any, stable: Any, descending: Any) -> dict[str, Any]:
    """Check what says how to sort as NumPy does, which has ``descending`` from version 2.5 on."""
    settings = given(descending=descending)
    np.sort(np.empty(0), kind=kind, stable=stable, **settings)
    return {"kind": "stable" if stable else kind, "descending": bool(settings.get("descending"))}


def _refuse_fields(order: Any) -> None:
    if order is not None:
        raise ValueError("Cannot specify order when the array has no fields.")


def sort(
    a: Value,
    axis: Any = -1,
    kind: Any = None,
    order: Any = None,
    *,
    stable: Any = None,
    descending: Any = NO_VALUE,
) -> Value:
    _refuse_fields(order)
    a, axis = _along(a, axis)
    return bind(primitive("sort"), (a,), {"axis": axis, **_order(kind, stable, descending)})


def argsort(
    a: Value,
    axis: Any = -1,
    kind: Any = None,
    order: Any = None,
    *,
    stable: Any = None,
    descending: Any = NO_VALUE,
) -> Value:
    _refuse_fields(order)
    # To argsort, a number is an array of one entry.
    a, axis = _along(a, axis if value_type(a).ndim else None)
    return bind(primitive("argsort"), (a,), {"axis": axis, **_order(kind, stable, descending)})


def _parts(kth: Any) -> tuple[int, ...]:
    places = np.asarray(kth)
    if places.dtype.kind not in "iu":
        raise TypeError("Partition index must be integer")
    return tuple(places.ravel().tolist())


def _refuse_other_kinds(kind: Any) -> None:
    if kind != "introselect":
        raise ValueError(f"select kind must be 'introselect' (got {kind!r})")


def partition(
    a: Value, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None
) -> Value:
    _refuse_fields(order)
    _refuse_other_kinds(kind)
    a, axis = _along(a, axis)
    places = _parts(kth)
    if not places:
        return np.copy(a)
    return bind(primitive("partition"), (a,), {"kth": places, "axis": axis})


def argpartition(
    a: Value, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None
) -> Value:
    _refuse_fields(order)
    _refuse_other_kinds(kind)
    a, axis = _along(a, axis if value_type(a).ndim else None)
    places = _parts(kth)
    if not places:
        return np.argsort(np.zeros(a.shape), axis, kind="stable")
    return bind(primitive("argpartition"), (a,), {"kth": places, "axis": axis})


def lexsort(keys: Any, axis: Any = -1) -> Value:
    arrays = [as_array(each) for each in keys]
    if not arrays:
        raise TypeError("need sequence of keys with len > 0 in lexsort")
    if any(each.shape != arrays[0].shape for each in arrays):
        raise ValueError("all keys need to be the same shape")
    if not arrays[0].ndim:
        return np.intp(0)
    axis = np.lib.array_utils.normalize_axis_index(operator.index(axis), arrays[0].ndim)
    return bind(primitive("lexsort"), arrays, {"axis": axis})


def sort_complex(a: Value) -> Value:
    result = np.sort(as_array(a))
    return result.astype(np.sort_complex(np.empty(0, result.dtype)).dtype)


# Searching


def searchsorted(a: Value, v: Value, side: Any = "left", sorter: Any = None) -> Value:
    a = as_array(a)
    if a.ndim != 1:
        raise ValueError("object too deep for desired array")
    if side not in ("left", "right"):
        raise ValueError(f"search side must be one of 'left' or 'right' (got {side!r})")
    if sorter is not None:
        if value_type(sorter).shape != a.shape:
            raise ValueError("sorter.size must equal len(a)")
        if holds(np.less(sorter, 0) | np.greater_equal(sorter, a.size)):
            raise ValueError("Sorter index out of range.")
        a = np.take(a, sorter)
    return bind(primitive("searchsorted"), (a, as_array(v)), {"side": side})


def digitize(x: Value, bins: Value, right: Any = False) -> Value:
    return bind(primitive("digitize"), (as_array(x), as_array(bins)), {"right": bool(right)})


# Distinct entries


def unique(
    ar: Value,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: Any = None,
    **settings: Any,
) -> Any:
    """Find the distinct entries; each has the derivative of the first of its equals."""
    plain = plain_value(ar, "np.unique")
    # One function of NumPy's with eight types, by what it returns.
    find: Callable[..., Any] = np.unique
    values, first, *others = find(plain, True, return_inverse, return_counts, axis, **settings)
    if not (return_index or others):
        # What is found by hashing comes in an order of its own.
        found = find(plain, axis=axis, **settings)
        if axis is None and not np.array_equal(found, values, equal_nan=values.dtype.kind in "fc"):
            first = first[np.argsort(np.argsort(found))]
    array = as_array(ar)
    distinct = np.take(np.ravel(array) if axis is None else array, first, axis=axis or 0)
    results = (distinct, *([first] if return_index else []), *others)
    return results[0] if len(results) == 1 else results


def unique_values(x: Value, /) -> Value:
    return unique(x, **_AS_IN_THE_STANDARD, **({"sorted": False} if _SORTED else {}))


def unique_counts(x: Value, /) -> Any:
    return _named("unique_counts", unique(x, return_counts=True, **_AS_IN_THE_STANDARD))


def unique_inverse(x: Value, /) -> Any:
    return _named("unique_inverse", unique(x, return_inverse=True, **_AS_IN_THE_STANDARD))


def unique_all(x: Value, /) -> Any:
    return _named("unique_all", unique(x, True, True, True, **_AS_IN_THE_STANDARD))


_AS_IN_THE_STANDARD: dict[str, Any] = {"equal_nan": False}
# NumPy 2.3's.
_SORTED = "sorted" in inspect.signature(np.unique).parameters


def _named(name: str, results: tuple[Value, ...]) -> Any:
    """Put results into the named tuple of NumPy's function."""
    return type(getattr(np, name)(np.empty(0)))(*results)


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.sort: sort,
    np.argsort: argsort,
    np.partition: partition,
    np.argpartition: argpartition,
    np.lexsort: lexsort,
    np.sort_complex: sort_complex,
    np.searchsorted: searchsorted,
    np.digitize: digitize,
    np.unique: unique,
    np.unique_values: unique_values,
    np.unique_counts: unique_counts,
    np.unique_inverse: unique_inverse,
    np.unique_all: unique_all,
}
