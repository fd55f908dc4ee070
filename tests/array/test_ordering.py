"""Sorting, searching and distinct entries: NumPy's values, and the derivatives of permutations."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.array.conformity import Case, parameters

import steepest as sd
from steepest.array import Array

RNG = np.random.default_rng(1)
VECTOR = RNG.uniform(-2, 2, 9)
MATRIX = RNG.uniform(-2, 2, (3, 4))
COMPLEX = RNG.uniform(-2, 2, 5) + 1j * RNG.uniform(-2, 2, 5)
EDGES = np.sort(RNG.uniform(0, 5, 6))
REPEATED = np.array([3.0, 1.0, 2.0, 1.0, 3.0])
ROWS = np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0]])

AXES = (0, 1, -1, None)


def sorted_in_place(x: Any) -> Any:
    entries = x * 1.0
    entries.sort(0, descending=True)
    return entries


# With what the type stubs of earlier versions do not know, too.
sort: Callable[..., Any] = np.sort
argsort: Callable[..., Any] = np.argsort
# NumPy 2.5's.
DESCENDING = {
    **{
        f"sort descending axis={k}": Case(
            lambda x, k=k: sort(x, axis=k, descending=True), (MATRIX,)
        )
        for k in AXES
    },
    "sort not descending": Case(lambda x: sort(x, descending=False), (VECTOR,)),
    "sort descending complex": Case(lambda x: sort(x, descending=True), (COMPLEX,)),
    "sort descending single": Case(
        lambda x: sort(x, descending=True, stable=True), (VECTOR.astype(np.float32),)
    ),
    "sort descending by a method": Case(sorted_in_place, (MATRIX,)),
    "argsort descending and read": Case(lambda x: x[x.argsort(descending=True)], (VECTOR,)),
    "argsort descending of ties": Case(
        lambda x: (x, argsort(x, stable=True, descending=True)),
        (REPEATED,),
        differentiable=False,
    ),
}

SORTED = {
    **{f"sort axis={k}": Case(lambda x, k=k: np.sort(x, axis=k), (MATRIX,)) for k in AXES},
    **{
        f"sort {kind}": Case(lambda x, kind=kind: np.sort(x, kind=kind), (VECTOR,))
        for kind in ("quicksort", "mergesort", "heapsort", "stable")
    },
    "sort stable=": Case(lambda x: np.sort(x, stable=True), (VECTOR,)),
    "sort complex": Case(np.sort, (COMPLEX,)),
    "sort single": Case(np.sort, (VECTOR.astype(np.float32),)),
    "sort half": Case(np.sort, (VECTOR.astype(np.float16),)),
    "sort number": Case(lambda x: np.sort(x, axis=None), (np.float64(1.5),)),
    "sort_complex": Case(np.sort_complex, (VECTOR,)),
    "partition 1": Case(lambda x: np.partition(x, 4), (VECTOR,), differentiable=False),
    **{
        f"partition axis={k}": Case(
            lambda x, k=k: np.partition(x, [0, 1, -1], axis=k)[..., :2],
            (MATRIX,),
            differentiable=k is None,
        )
        for k in AXES
    },
    "argsort and read": Case(lambda x: x[np.argsort(x)], (VECTOR,)),
    **(DESCENDING if "descending" in inspect.signature(np.sort).parameters else {}),
    "unique": Case(np.unique, (REPEATED,), needs_values=True, differentiable=False),
    "unique with all": Case(
        lambda x: np.unique(x, True, True, True), (REPEATED,), True, differentiable=False
    ),
    "unique rows": Case(
        lambda x: np.unique(x, axis=0, return_counts=True), (ROWS,), True, differentiable=False
    ),
    "unique values": Case(np.unique_values, (VECTOR,), needs_values=True),
    "unique_counts": Case(np.unique_counts, (VECTOR,), needs_values=True),
    "unique_inverse": Case(np.unique_inverse, (VECTOR,), needs_values=True),
    "unique_all": Case(np.unique_all, (VECTOR,), needs_values=True),
}

PLACES = {
    **{f"argsort axis={k}": Case(lambda x, k=k: np.argsort(x, axis=k), (MATRIX,)) for k in AXES},
    **{
        f"argpartition axis={k}": Case(lambda x, k=k: np.argpartition(x, 1, axis=k), (MATRIX,))
        for k in AXES
    },
    "argsort method": Case(lambda x: x.argsort(kind="stable"), (VECTOR,)),
    "argpartition method": Case(lambda x: x.argpartition(2), (VECTOR,)),
    "argsort number": Case(np.argsort, (np.float64(2.0),)),
    "lexsort": Case(lambda x, y: np.lexsort((x, y)), (VECTOR, EDGES[np.arange(9) % 6])),
    "lexsort rows": Case(lambda x: np.lexsort(x, axis=0), (MATRIX,)),
    "searchsorted left": Case(np.searchsorted, (EDGES, VECTOR)),
    "searchsorted right": Case(
        lambda x, y: np.searchsorted(x, y, side="right"), (EDGES, MATRIX), special=False
    ),
    "searchsorted method": Case(lambda x: x.searchsorted(2.0), (EDGES,), special=False),
    "searchsorted sorter": Case(
        lambda x, y: np.searchsorted(x, y, sorter=np.argsort(x)), (VECTOR, EDGES)
    ),
    "digitize": Case(np.digitize, (VECTOR, EDGES)),
    "digitize down": Case(lambda x: np.digitize(x, [2.0, 0.0, -1.0], right=True), (VECTOR,)),
    "nanargmax": Case(lambda x: np.nanargmax(x, axis=1, keepdims=True), (MATRIX,)),
    "nanargmin": Case(np.nanargmin, (VECTOR,)),
    "count_nonzero": Case(lambda x: np.count_nonzero(x > 0, axis=0), (MATRIX,)),
    "count_nonzero of all": Case(np.count_nonzero, (MATRIX,)),
}


@parameters({**SORTED, **PLACES})
def test_values_are_numpys(case: Case) -> None:
    case.check_values()


@parameters({**SORTED, **PLACES})
def test_values_are_numpys_for_special_numbers(case: Case) -> None:
    case.check_special_values()


@parameters(SORTED)
def test_derivatives(case: Case) -> None:
    case.check_derivatives()


@parameters(PLACES)
def test_places_are_plain(case: Case) -> None:
    def loss(x: Any) -> Any:
        assert not isinstance(case.call(x, *case.args[1:]), Array)
        return np.sum(x)

    assert np.all(sd.grad(loss)(case.args[0]) == 1)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3), (1,), (1, 1)])
@pytest.mark.parametrize(
    "call", [np.sort, np.argsort, np.ravel, lambda x: np.partition(x, 0)], ids=range(4)
)
def test_empty_and_small_arrays(call: Callable[[Any], Any], shape: tuple[int, ...]) -> None:
    Case(call, (np.ones(shape),), special=False).check_values()


def mean_over_orders(x: Any, weights: Any, ordered: Any) -> Any:
    """Average the gradient of weights · sorted over all the permutations that sort x so."""
    found = [
        order
        for order in map(list, itertools.permutations(range(len(x))))
        if np.array_equal(x[order], ordered, equal_nan=True)
    ]
    total = np.zeros(len(x))
    for order in found:
        total[order] += weights
    return total / len(found)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, np.inf, np.nan]), min_size=1, max_size=5))
def test_ties_share_equally(entries: list[float]) -> None:
    x = np.array(entries)
    weights = 2.0 ** np.arange(len(x))
    calls = [sort, lambda x: np.partition(x, list(range(len(x))))]
    if DESCENDING.keys() <= SORTED.keys():
        calls.append(lambda x: sort(x, descending=True))
    for call in calls:
        expected = mean_over_orders(x, weights, call(x))
        gradient = sd.vjp(call, x)[1](weights)[0]
        np.testing.assert_allclose(gradient, expected, rtol=1e-14)
        tangent = RNG.uniform(-1, 1, len(x))
        pushed = sd.jvp(call, (x,), (tangent,))[1]
        np.testing.assert_allclose(weights @ pushed, expected @ tangent, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "maximum",
    [
        np.max,
        lambda x: np.sort(x)[-1],
        lambda x: np.partition(x, 2)[-1] if len(x) < 3 else np.partition(x, -1)[-1],
        lambda x: np.quantile(x, 1.0),
        lambda x: np.nanmax(x),
        lambda x: np.percentile(x, 100, method="lower"),
    ],
    ids=["max", "sort", "partition", "quantile", "nanmax", "percentile"],
)
def test_an_order_statistic_has_one_derivative_however_it_is_written(
    maximum: Callable[[Any], Any],
) -> None:
    x = np.array([3.0, 1.0, 3.0, 2.0, 3.0])
    np.testing.assert_allclose(sd.grad(maximum)(x), np.where(x == 3, 1 / 3, 0), rtol=1e-15)
    compiled = sd.compile(sd.grad(maximum))
    np.testing.assert_allclose(compiled(x), np.where(x == 3, 1 / 3, 0), rtol=1e-15)


def test_unique_has_the_derivative_of_the_first_of_equals() -> None:
    gradient = sd.grad(lambda x: np.unique(x) @ np.array([1.0, 10.0, 100.0]))(REPEATED)
    np.testing.assert_array_equal(gradient, [100.0, 1.0, 10.0, 0.0, 0.0])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sort(x, order="field"),
        lambda x: x.argsort(kind="bogosort"),
        lambda x: np.partition(x, 20),
        lambda x: x.argpartition(1.5),
        lambda x: np.sort(x, axis=3),
        lambda x: np.sort(x[0]),
        lambda x: np.searchsorted(x[:, None], 1.0),
    ],
    ids=range(7),
)
def test_what_numpy_refuses_is_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as plain:
        call(VECTOR)
    with pytest.raises(type(plain.value)):
        sd.grad(lambda x: np.sum(call(x)))(VECTOR)
