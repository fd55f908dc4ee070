"""``as_strided`` and ``x.strides``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.lib import stride_tricks
from numpy.lib.stride_tricks import as_strided

import steepest as sd
from steepest.errors import NeedsValueError, UnsupportedError

VECTOR = np.linspace(-1.0, 2.0, 12)
MATRIX = np.linspace(-1.0, 2.0, 30).reshape(5, 6)


def frames(x: Any) -> Any:
    """Cut a signal into overlapping frames."""
    return as_strided(x, (5, 4), (2 * x.itemsize, x.itemsize), writeable=False)


def blocks(x: Any) -> Any:
    """Take all blocks of 2 times 3 entries."""
    rows, columns = x.shape
    shape = (rows - 1, columns - 2, 2, 3)
    return np.lib.stride_tricks.as_strided(x, shape=shape, strides=x.strides + x.strides)


# With what the type stubs of earlier versions do not know, too.
strided: Callable[..., Any] = as_strided
# NumPy 2.5's.
CHECKED: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "in bounds": (lambda x: strided(x, (10, 3), x.strides * 2, check_bounds=True), VECTOR),
    "in bounds of a part": (
        lambda x: strided(x[2:9], (5, 3), x.strides * 2, check_bounds=True),
        VECTOR,
    ),
}

CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "rolling": (lambda x: stride_tricks.as_strided(x, (10, 3), x.strides * 2), VECTOR),
    "frames": (frames, VECTOR),
    "single precision": (frames, VECTOR.astype(np.float32)),
    "of what is computed": (lambda x: frames(np.sin(x) * 2), VECTOR),
    "backwards": (lambda x: as_strided(x[::-1], (3,), x[::-1].strides), VECTOR),
    "every second": (lambda x: as_strided(x[::2], (4, 3), x[::2].strides * 2), VECTOR),
    "repeated": (lambda x: as_strided(x, (3, 12), (0, x.strides[0])), VECTOR),
    "defaults": (lambda x: as_strided(x), MATRIX),
    "another shape": (lambda x: as_strided(x, (2, 2)), MATRIX),
    "another shape of a transpose": (lambda x: as_strided(x.T, (2, 2)), MATRIX),
    "blocks": (blocks, MATRIX),
    "blocks of a transpose": (lambda x: blocks(x.T), MATRIX),
    "blocks of a part": (lambda x: blocks(x[1:-1, ::2]), MATRIX),
    "diagonal": (lambda x: as_strided(x, (5,), (sum(x.strides),)), MATRIX),
    "in the order of Fortran": (blocks, np.asfortranarray(MATRIX)),
    "as order= says": (lambda x: blocks(np.exp(x.T, order="C")), MATRIX),
    "as order= says, of two": (lambda x: blocks(np.add(x, 1, order="F", dtype="f4")), MATRIX),
    "no entries": (lambda x: as_strided(x, (0, 3), (8, 8)), VECTOR),
    "of none": (lambda x: as_strided(x[:0], (0, 3), (8, 8)), VECTOR),
    "one number": (lambda x: as_strided(x[1:2], (3,), (0,)), VECTOR),
    **(CHECKED if "check_bounds" in inspect.signature(as_strided).parameters else {}),
    "complex": (lambda x: np.abs(frames(np.exp(1j * x)) + x[0]), VECTOR),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_derivatives(name: str) -> None:
    function, x = CALLS[name]
    expected = function(x)
    value, _ = sd.vjp(function, x)
    assert value.dtype == expected.dtype
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(sd.jvp(function, (x,), (x,))[0], expected)

    def loss(x: Any) -> Any:
        result = function(x)
        return np.sum(result**2 * (1 + np.arange(result.size).reshape(result.shape)))

    if x.dtype == np.float64:
        assert sd.check_gradient(loss, x).verdict == "correct"
    if expected.size:
        assert sd.hessian(loss)(x).shape == x.shape * 2


SUMS = [
    "ij,jk->ik",
    "ij,jk->ki",
    "ij,ik->kji",
    "ij,jk,kl->il",
    "ijk,jl->ikl",
    "ij,ij->ji",
    "ij->ij",
]


@pytest.mark.parametrize(
    "optimize", [False, True, ["einsum_path", [0, 1]]], ids=["no", "yes", "path"]
)
@pytest.mark.parametrize("subscripts", SUMS)
def test_sums_of_products_lie_as_numpys(subscripts: str, optimize: Any) -> None:
    terms = subscripts.split("->", maxsplit=1)[0].split(",")
    if isinstance(optimize, list) and len(terms) != 2:
        return

    lengths = dict(zip("ijkl", (3, 2, 4, 3), strict=True))

    def function(x: Any) -> Any:
        arrays = [np.resize(x, [lengths[each] for each in reversed(term)]).T for term in terms]
        result = np.einsum(subscripts, *arrays, optimize=optimize)
        found.append(result.strides)
        np.reshape(result, -1)[0] = 7.0
        return result

    found: list[Any] = []
    expected = function(VECTOR)
    np.testing.assert_allclose(sd.vjp(function, VECTOR)[0], expected, rtol=1e-14)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: as_strided(x, (5, 5), (16, 8)),
        lambda x: as_strided(x[::2], (5,), (8,)),
        lambda x: as_strided(x[2:], (3,), (-8,)),
        lambda x: as_strided(x, (3,), (4,)),
        lambda x: as_strided(x[:0], (1,), (8,)),
    ],
    ids=["beyond the end", "in between", "before the beginning", "half a number", "of nothing"],
)
def test_memory_that_is_not_of_the_entries_is_refused(function: Callable[[Any], Any]) -> None:
    with pytest.raises(UnsupportedError, match="not that of its entries"):
        sd.vjp(function, VECTOR)


def test_numbers_for_strides_need_the_order_of_c() -> None:
    with pytest.raises(UnsupportedError, match="order of C"):
        sd.vjp(lambda x: as_strided(x.T, (3,), (16,)), MATRIX)


def test_writes_are_not_followed_through_it() -> None:
    def into_windows(x: Any) -> Any:
        frames(x)[0, 0] = 1.0
        return x

    def into_the_array(x: Any) -> Any:
        windows = frames(x)
        x[0] = 1.0
        return windows

    def into_plain_windows(x: Any) -> Any:
        y = np.zeros(12)
        as_strided(y, (5, 4), (16, 8))[0, 0] = x[0]
        return y

    for function in (into_windows, into_the_array, into_plain_windows):
        with pytest.raises((UnsupportedError, ValueError)):
            sd.vjp(function, VECTOR)


def test_arrays_that_nothing_traced_is_written_into() -> None:
    def function(x: Any) -> Any:
        y = np.arange(12.0)
        before = as_strided(y, (5, 4), (16, 8)).sum()
        del y
        z = np.zeros(12)
        z[:] = x
        return as_strided(z, (5, 4), (16, 8)) * before

    np.testing.assert_array_equal(sd.vjp(function, VECTOR)[0], function(VECTOR))


def test_strides() -> None:
    for array in (VECTOR, MATRIX, np.asfortranarray(MATRIX), MATRIX[0, 0]):
        seen: list[Any] = []

        def loss(x: Any, seen: list[Any] = seen) -> Any:
            seen.append(x.strides)
            return np.sum(x)

        sd.grad(loss)(array)
        assert seen == [array.strides]
    with pytest.raises(NeedsValueError):
        sd.compile(lambda x: np.sum(x) * x.strides[0])(VECTOR)
    with pytest.raises(UnsupportedError, match="not contiguous"):
        sd.jvp(lambda x: x * x.strides[0], (VECTOR[::-1],), (VECTOR,))


LAID_OUT: tuple[Callable[[Any], Any], ...] = (
    lambda x: np.pad(x.T, 1),
    lambda x: np.pad(x, 1),
    lambda x: np.pad(x.T, ((0, 0), (1, 2)), "reflect"),
    lambda x: np.insert(x.T, 0, 1.0, 0),
    lambda x: np.insert(x, [1, 2], x[:, :1], 1),
    lambda x: np.delete(x.T, 0, 0),
    lambda x: np.delete(x, [0, 2], 1),
)


@pytest.mark.parametrize("place", range(len(LAID_OUT)))
def test_results_lie_as_numpys(place: int) -> None:
    """So a reshaped one is a view, or a copy, where NumPy's is."""

    def loss(x: Any) -> Any:
        y = LAID_OUT[place](x)
        y.reshape(-1)[0] = 5.0
        strides.append(y.strides)
        return np.sum(y)

    strides: list[tuple[int, ...]] = []
    assert sd.value_and_grad(loss)(MATRIX)[0] == loss(MATRIX)
    assert strides[0] == strides[1]


def test_in_another_thread_and_afterwards_it_is_that_of_numpy() -> None:
    original = stride_tricks.as_strided
    sd.grad(lambda x: np.sum(frames(x)))(VECTOR)
    assert stride_tricks.as_strided is original is as_strided
