"""Reading indexing: NumPy's values for every kind of key, and cotangents that land where they
were read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import steepest as sd
from steepest.compiling import record
from steepest.errors import NeedsValueError

DTYPES = st.sampled_from([np.float16, np.float32, np.float64, np.complex64, np.longdouble])
INTEGERS = st.sampled_from([np.int8, np.uint8, np.int32, np.int64, np.uint64])
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)


def entries(shape: tuple[int, ...], dtype: Any, seed: int) -> Any:
    """Draw small integers: their sums and products have no rounding error in any dtype."""
    generator = np.random.default_rng([seed, *shape])
    array = generator.integers(-3, 4, shape).astype(dtype)
    if array.dtype.kind == "c":
        array = array + 1j * generator.integers(-3, 4, shape).astype(array.real.dtype)
    return array


def same(actual: Any, expected: Any) -> None:
    """Assert the same dtype, shape and values, and that scalars are scalars."""
    assert np.asarray(actual).dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(actual, expected, strict=True)


def added_up(shape: tuple[int, ...], key: Any, g: Any) -> Any:
    """Compute the cotangent of what was read, in NumPy's slow and sure way."""
    total = np.zeros(shape, np.asarray(g).dtype)
    places = np.arange(math.prod(shape)).reshape(shape)[key]
    for place, entry in zip(np.ravel(places).tolist(), np.ravel(g), strict=True):
        total.reshape(-1)[place] += entry
    return total


def check_reading(x: Any, key: Any) -> None:
    """Check the value, or the error, and the derivatives of reading a key from an array."""

    def read(x: Any) -> Any:
        return x[key]

    try:
        plain = read(x)
    except IndexError:
        with pytest.raises(IndexError):
            sd.vjp(read, x)
        return
    direction = entries(x.shape, x.dtype, 2)
    g = entries(np.shape(plain), x.dtype, 3)
    value, pullback = sd.vjp(read, x)
    same(value, plain)
    same(pullback(g)[0], added_up(x.shape, key, g))
    value, tangent = sd.jvp(read, (x,), (direction,))
    same(value, plain)
    same(np.asarray(tangent), np.asarray(direction[key]))
    # Making machine code of each example would take long.
    same(np.asarray(sd.compile(read, engine="interpret")(x)), np.asarray(plain))

    if x.dtype == np.float64:
        bent = added_up(x.shape, key, 6 * plain * direction[key])

        def loss(x: Any) -> Any:
            return np.sum(x[key] ** 3)

        np.testing.assert_array_equal(sd.hvp(loss, x, direction), bent)
        again = sd.grad(lambda x: np.sum(sd.grad(loss)(x) * direction))
        np.testing.assert_array_equal(again(x), bent)
        np.testing.assert_array_equal(sd.compile(again, engine="interpret")(x), bent)


@given(data=st.data(), shape=SHAPES | st.just(()), dtype=DTYPES)
def test_basic_indexing(data: st.DataObject, shape: tuple[int, ...], dtype: Any) -> None:
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=6))
    check_reading(entries(shape, dtype, 1), key)


@given(data=st.data(), shape=hnp.array_shapes(max_dims=3, max_side=4), dtype=DTYPES)
def test_integer_arrays_for_every_axis(
    data: st.DataObject, shape: tuple[int, ...], dtype: Any
) -> None:
    key = data.draw(
        hnp.integer_array_indices(
            shape,
            result_shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
            dtype=np.dtype(np.int64),
        )
    )
    check_reading(entries(shape, dtype, 1), key)


def slices(length: int) -> st.SearchStrategy[slice]:
    bound = st.none() | st.integers(-length - 2, length + 2)
    return st.builds(slice, bound, bound, st.sampled_from([None, 1, 2, -1, -3]))


@st.composite
def mixed_keys(draw: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Draw keys of everything that NumPy takes, next to each other and apart."""
    together = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=3))
    key: list[Any] = []
    axis = 0
    has_ellipsis = False
    while axis < len(shape):
        length = shape[axis]
        kinds = ["slice", "slice", "None", "stop", "mask", "no axes"]
        kinds += [] if has_ellipsis else ["ellipsis"]
        kinds += ["int", "numpy int", "array", "array", "list", "0-d array"] if length else []
        kind = draw(st.sampled_from(kinds))
        inside = st.integers(-length, length - 1)
        if kind == "stop":
            break
        if kind == "None":
            key.append(None)
            continue
        if kind == "no axes":
            key.append(draw(st.sampled_from([True, False, np.True_, np.array(True)])))
            continue
        if kind == "ellipsis":
            has_ellipsis = True
            key.append(...)
            axis += draw(st.integers(0, len(shape) - axis))
            # What follows has to count from the end; the rest is read by slices.
            key.extend(draw(slices(each)) for each in shape[axis:])
            break
        if kind == "mask":
            axes = draw(st.integers(1, len(shape) - axis))
            key.append(draw(hnp.arrays(bool, shape[axis : axis + axes])))
            axis += axes
            continue
        if kind == "slice":
            key.append(draw(slices(length)))
        elif kind == "int":
            key.append(draw(inside))
        elif kind == "numpy int":
            key.append(np.int16(draw(inside)))
        elif kind == "0-d array":
            key.append(np.array(draw(inside)))
        elif kind == "list":
            key.append(draw(st.lists(inside, min_size=together[-1], max_size=together[-1])))
        else:
            dtype = draw(INTEGERS)
            low = 0 if np.dtype(dtype).kind == "u" else -length
            some = draw(st.sampled_from([together, together[-1:], (1,), (1, 1)]))
            key.append(draw(hnp.arrays(dtype, some, elements=st.integers(low, length - 1))))
        axis += 1
    return tuple(key)


@given(data=st.data(), shape=SHAPES, dtype=DTYPES)
def test_mixed_indexing(data: st.DataObject, shape: tuple[int, ...], dtype: Any) -> None:
    key = data.draw(mixed_keys(shape))
    check_reading(entries(shape, dtype, 1), key)


class Place(NamedTuple):
    row: Any
    column: Any


ROWS = np.array([[0, 2], [-1, 2]])
KEYS: dict[str, Any] = {
    "an integer": 1,
    "a NumPy integer": np.int8(-1),
    "an integer of its own kind": type("Two", (), {"__index__": lambda self: 2})(),
    "a list": [0, -1, 0],
    "an empty list": [],
    "a nested list": [[0, 1], [1, 2]],
    "a list of booleans": [True, False, True],
    "a list of NumPy integers": [np.int64(1), np.int8(0)],
    "a range": range(2),
    "a tuple in a tuple": ((0, 1), (1, 2)),
    "rows that repeat": (ROWS,),
    "columns that repeat": (slice(None), ROWS),
    "columns that repeat, reversed rows": (slice(None, None, -1), ROWS),
    "the last axis": (..., ROWS),
    "a new axis before repeated rows": (None, ROWS, slice(0, 3)),
    "a new axis after repeated rows": (ROWS, None),
    "an ellipsis and what follows": (..., ROWS, None, slice(1, 3)),
    "an ellipsis that stands for nothing": (0, ..., 1, [0, 0]),
    "an integer beside an array": (0, ROWS),
    "an integer apart from an array": (0, slice(None), ROWS),
    "an array apart from an integer": (ROWS, slice(None), 0),
    "arrays apart": (ROWS, slice(None), ROWS),
    "arrays beside": (slice(None), ROWS, ROWS),
    "arrays of distinct places beside a slice": ([0, 1], [1, 0]),
    "an outer product": np.ix_([0, 2], [1, 1, 0]),
    "an outer product with a mask": np.ix_([True, False, True], [1, 1, 0]),
    "a mask of the first axis": np.array([True, False, True]),
    "a mask of two axes": np.eye(3, dtype=bool),
    "a mask of the last two axes": (slice(None), np.eye(3, dtype=bool)),
    "a mask of all axes": np.arange(27).reshape(3, 3, 3) % 5 == 0,
    "a mask and an array": (np.array([True, False, True]), slice(None), [0, 0]),
    "true": True,
    "false": np.False_,
    "true after an axis": (0, True, [1, 1]),
    "an array without entries": np.zeros((2, 0), int),
    "small unsigned integers": np.array([2, 2, 0], np.uint8),
    "a transposed array": ROWS.T,
    "a named tuple": Place(1, 2),
    "a named tuple of lists": Place([0, 2], [1, 1]),
    "out of range": 3,
    "out of range below": (0, -4),
    "an array out of range": [0, 3],
    "an array out of range below": (slice(None), [0, -4]),
    "too many integers": (0, 0, 0, 0),
    "too many arrays": ([0], [0], [0], [0]),
    "two ellipses": (..., 0, ...),
    "two ellipses and an array": (..., [0], ...),
    "a float": 1.0,
    "an array of floats": np.ones(2),
    "a list of floats": [1.0],
    "a string": "name",
    "an empty array of floats": np.zeros(0),
    "a mask that is too long": np.ones(4, bool),
    "a mask that is too short": (slice(None), np.ones(2, bool)),
    "a mask of too many axes": np.ones((3, 3, 3, 3), bool),
    "arrays that do not broadcast": ([0, 1], [0, 1, 2]),
}


@pytest.mark.parametrize("name", KEYS)
def test_key(name: str) -> None:
    check_reading(entries((3, 3, 3), np.float64, 1), KEYS[name])


WRONG_WHEN_RECORDED = [
    name
    for name in KEYS
    if name.startswith(("out of", "too many", "two ellipses", "a float", "a string", "a mask that"))
    or name in {"an array of floats", "arrays that do not broadcast", "a mask of too many axes"}
]


@pytest.mark.parametrize("name", WRONG_WHEN_RECORDED)
def test_wrong_keys_are_found_while_recording(name: str) -> None:
    with pytest.raises((IndexError, ValueError)):
        record(lambda x: x[KEYS[name]], [np.ones((3, 3, 3))], {})


@given(data=st.data(), shape=hnp.array_shapes(max_dims=3, max_side=4))
def test_traced_index_arrays(data: st.DataObject, shape: tuple[int, ...]) -> None:
    """Index arrays that are arguments of a compiled function: only their shapes are known."""
    together = data.draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    indices = [
        data.draw(hnp.arrays(data.draw(INTEGERS), together, elements=st.integers(0, length - 1)))
        for length in shape
    ]
    chosen = [data.draw(st.booleans()) for _ in shape]
    x = entries(shape, np.float64, 1)

    def loss(x: Any, indices: Any) -> Any:
        key = tuple(
            index if is_array else slice(None, None, -1)
            for index, is_array in zip(indices, chosen, strict=True)
        )
        return np.sum(x[key] ** 2)

    value, gradient = sd.compile(sd.value_and_grad(loss))(x, indices)
    assert value == loss(x, indices)
    np.testing.assert_array_equal(gradient, sd.grad(loss)(x, indices))


def test_traced_labels_of_a_batch() -> None:
    """The cross-entropy's way to read: one column for each row."""

    def loss(logits: Any, labels: Any) -> Any:
        return -np.mean(logits[np.arange(len(labels)), labels])

    logits = np.arange(12.0).reshape(4, 3)
    compiled = sd.compile(sd.grad(loss))
    for labels in (np.array([0, 2, 2, 1]), np.array([1, 1, 1, 0])):
        expected = -np.eye(3)[labels] / 4
        np.testing.assert_array_equal(sd.grad(loss)(logits, labels), expected)
        np.testing.assert_array_equal(compiled(logits, labels), expected)
    with pytest.raises(IndexError):
        compiled(logits, np.array([0, 0, 0, 3]))


def test_traced_rows_of_a_table() -> None:
    def loss(table: Any, words: Any) -> Any:
        return np.sum(np.take(table, words, axis=0) * table[words])

    table, words = entries((5, 2), np.float32, 1), np.array([[3, 3], [-1, 0]])
    expected = sd.grad(loss)(table, words)
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(sd.compile(sd.grad(loss))(table, words), expected)
    np.testing.assert_array_equal(expected, 2 * added_up((5, 2), words, table[words]))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint64])
def test_small_integers_name_places_in_large_arrays(dtype: Any) -> None:
    def loss(table: Any, words: Any) -> Any:
        return np.sum(table[words] ** 2)

    table, words = entries((9, 100), np.float64, 1), np.array([8, 8, 3], dtype)
    expected = 2 * added_up((9, 100), words, table[words])
    np.testing.assert_array_equal(sd.grad(loss)(table, words), expected)
    np.testing.assert_array_equal(sd.compile(sd.grad(loss))(table, words), expected)


def test_indices_of_a_list_of_traced_numbers() -> None:
    def f(x: Any, i: Any) -> Any:
        return x[[i[0], i[1]]] + x[i[0]]

    x, i = np.arange(5.0), np.array([3, 1])
    np.testing.assert_array_equal(sd.compile(f)(x, i), [6, 4])


def test_a_plain_array_read_along_a_traced_index() -> None:
    def f(x: Any, i: Any) -> Any:
        return x * np.take_along_axis(np.arange(6.0).reshape(2, 3), i, axis=1)

    x, i = np.ones((2, 1)), np.array([[2], [0]])
    np.testing.assert_array_equal(sd.compile(f)(x, i), [[2], [3]])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[x > 0],
        lambda x: x[: int(x[0])],
        lambda x: x[: x.sum()],
        lambda x: x[x.sum() > 0],
    ],
    ids=["mask", "int", "bound", "mask without axes"],
)
def test_results_of_unknown_shape_need_values(function: Callable[..., Any]) -> None:
    with pytest.raises((NeedsValueError, TypeError)):
        record(function, [np.ones(3)], {})


def test_an_index_computed_from_values() -> None:
    x = np.array([1.0, 5.0, 2.0])
    gradient = sd.grad(lambda x: x[np.argmax(x)] ** 2 + np.sum(x[np.argsort(x)][:1]))(x)
    np.testing.assert_array_equal(gradient, [1, 10, 0])


@pytest.mark.parametrize("size", [10, 100_000])
def test_index_arrays_are_not_changed_and_may_change_afterwards(size: int) -> None:
    index = np.arange(size) % 7
    index[0] = -1
    before = index.copy()
    _, pullback = sd.vjp(lambda x: x[index], np.arange(9.0))
    expected = np.bincount(before % 9, minlength=9)
    np.testing.assert_array_equal(pullback(np.ones(size))[0], expected)
    np.testing.assert_array_equal(index, before)
    if size == 10:
        _, pullback = sd.vjp(lambda x: x[index], np.arange(9.0))
        index[:] = 0
        np.testing.assert_array_equal(pullback(np.ones(size))[0], expected)


@pytest.mark.parametrize(
    "key", [(1, 1), (-1, 0), [1], [True, False], np.array(1), np.eye(2, dtype=bool), True], ids=repr
)
def test_what_indexing_copies_may_be_written_into(key: Any) -> None:
    def program(x: Any) -> Any:
        y = 2 * x
        part = y[key]
        y += 1
        part *= 3
        return np.sum(y) + np.sum(part)

    x = np.arange(4.0).reshape(2, 2)
    value, gradient = sd.value_and_grad(program)(x)
    assert value == program(x)
    np.testing.assert_array_equal(gradient, 2 + 6 * added_up((2, 2), key, np.ones_like(x[key])))


@given(
    data=st.data(),
    rows=st.integers(1, 5),
    inner=hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=3),
    dtype=DTYPES,
)
def test_rows_that_repeat_add_up(
    data: st.DataObject, rows: int, inner: tuple[int, ...], dtype: Any
) -> None:
    """The way of whole rows, at any place among other axes."""
    place = data.draw(st.integers(0, len(inner)))
    shape = (*inner[:place], rows, *inner[place:])
    index = data.draw(
        hnp.arrays(
            np.int64,
            hnp.array_shapes(min_dims=1, max_dims=2, max_side=6),
            elements=st.integers(-rows, rows - 1),
        )
    )
    key = (*[data.draw(slices(length)) for length in inner[:place]], index)
    check_reading(entries(shape, dtype, 1), key)


def test_iteration_and_unpacking() -> None:
    def f(x: Any) -> Any:
        first, (second, _), *rest = x
        return first[0] * second + sum(each[1] for each in rest)

    x = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(sd.grad(f)(x), [[2, 0], [0, 0], [0, 1], [0, 1]])
    np.testing.assert_array_equal(sd.compile(sd.grad(f))(x), [[2, 0], [0, 0], [0, 1], [0, 1]])
