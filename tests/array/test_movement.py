"""Functions that move entries: values as NumPy's, and derivatives that are their transposes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import steepest as sd
from steepest.array import Array
from steepest.compiling import record
from steepest.errors import NeedsValueError, UnsupportedError
from steepest.tree import flatten, unflatten

Draw = Callable[[st.SearchStrategy[Any]], Any]
Function = Callable[..., Any]

REAL = st.sampled_from([np.float16, np.float32, np.float64])
COMPLEX = st.sampled_from([np.complex64, np.complex128])
DTYPES = REAL | COMPLEX


def entries(shape: tuple[int, ...], dtype: Any, seed: int) -> Any:
    """Draw small integers: their sums and products have no rounding error in any dtype."""
    generator = np.random.default_rng([seed, *shape])
    array = generator.integers(-3, 4, shape).astype(dtype)
    if array.dtype.kind == "c":
        array = array + 1j * generator.integers(-3, 4, shape).astype(array.real.dtype)
    return array


def same(first: Any, second: Any) -> None:
    """Assert the same structure, and for each leaf the same dtype, shape and values."""
    one, one_structure = flatten(first)
    two, two_structure = flatten(second)
    assert one_structure == two_structure
    for x, y in zip(one, two, strict=True):
        assert np.asarray(x).dtype == np.asarray(y).dtype
        np.testing.assert_array_equal(x, y, strict=True)
        np.testing.assert_array_equal(np.signbit(np.real(x)), np.signbit(np.real(y)))


def inner(first: Any, second: Any) -> Any:
    """Add up the products of all leaves, exactly."""
    pairs = zip(flatten(first)[0], flatten(second)[0], strict=True)
    return sum(np.sum(np.multiply(x, y, dtype=np.complex128)) for x, y in pairs)


def check_linear(function: Function, *arrays: Any, compiled: bool = True) -> None:
    """Check an affine function: values as plain, derivatives that are it and its transpose."""
    plain = function(*arrays)
    tangents = tuple(entries(x.shape, x.dtype, 90 + i) for i, x in enumerate(arrays))
    offset = function(*(np.zeros_like(x) for x in arrays))

    value, pullback = sd.vjp(function, *arrays)
    same(value, plain)
    moved_value, tangent = sd.jvp(function, arrays, tangents)
    same(moved_value, plain)
    moved = [
        np.subtract(x, y, dtype=np.asarray(x).dtype)
        for x, y in zip(flatten(function(*tangents))[0], flatten(offset)[0], strict=True)
    ]
    for x, y in zip(flatten(tangent)[0], moved, strict=True):
        np.testing.assert_array_equal(x, y, strict=True)

    leaves, structure = flatten(plain)
    cotangent = [entries(np.shape(x), np.asarray(x).dtype, 70 + i) for i, x in enumerate(leaves)]
    pulled = pullback(unflatten(structure, cotangent))
    for x, each in zip(arrays, pulled, strict=True):
        assert each.dtype == x.dtype
        assert each.shape == x.shape
    assert inner(cotangent, moved) == inner(pulled, tangents)

    if compiled:
        # Making machine code of each example would take long.
        same(sd.compile(function, engine="interpret")(*arrays), plain)


def check_second_order(function: Function, x: Any) -> None:
    """Check the Hessian of a nonlinear function of a linear one: Jᵀ · diag(φ″) · J."""

    def loss(x: Any) -> Any:
        return sum(np.sum(each**3) for each in flatten(function(x))[0])

    direction = entries(x.shape, x.dtype, 5)
    value, pullback = sd.vjp(function, x)
    leaves, structure = flatten(value)
    _, moved = sd.jvp(function, (x,), (direction,))
    bent = [6 * each * t for each, t in zip(leaves, flatten(moved)[0], strict=True)]
    (expected,) = pullback(unflatten(structure, bent))
    np.testing.assert_allclose(sd.hvp(loss, x, direction), expected, rtol=1e-12)
    again = sd.grad(lambda x: np.sum(sd.grad(loss)(x) * direction))(x)
    np.testing.assert_allclose(again, expected, rtol=1e-12)


# -- functions of one array -------------------------------------------------------------------

ONE_ARRAY: dict[str, tuple[int, Callable[[Draw, tuple[int, ...]], Function]]] = {}
"""By name: the fewest axes, and what draws the function's other arguments."""


def one_array(name: str, axes: int = 0) -> Callable[[Any], Any]:
    def enter(draw_function: Any) -> Any:
        ONE_ARRAY[name] = (axes, draw_function)
        return draw_function

    return enter


def axis_of(shape: tuple[int, ...]) -> st.SearchStrategy[int]:
    return st.integers(-len(shape), len(shape) - 1)


def axes_of(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    return st.none() | axis_of(shape) | hnp.valid_tuple_axes(len(shape))


OFFSET = st.integers(-4, 4)


@one_array("reshape")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    size = math.prod(shape)
    targets: list[Any] = [shape[::-1], (1, *shape), (size, 1), size, list(shape)]
    if size:
        targets += [-1, (-1,), (1, -1)]
    target = draw(st.sampled_from(targets))
    order = draw(st.sampled_from("CF"))
    return lambda x: np.reshape(x, target, order=order)


@one_array("reshape method")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    return lambda x: (x.reshape(1, *shape), x.reshape(shape[::-1]), x.reshape((1, *shape)))


@one_array("ravel")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    order = draw(st.sampled_from("CF"))
    return lambda x: (np.ravel(x, order), x.flatten(order), x.ravel())


@one_array("transpose")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axes = draw(st.permutations(range(len(shape))))
    negative = tuple(axis - len(shape) for axis in axes)
    return lambda x: (np.transpose(x, axes), x.transpose(*negative), x.T, np.permute_dims(x))


@one_array("swapaxes", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    first, second = draw(axis_of(shape)), draw(axis_of(shape))
    return lambda x: np.swapaxes(x, first, second)


@one_array("moveaxis", 2)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    count = draw(st.integers(1, len(shape)))
    source = draw(st.permutations(range(len(shape))))[:count]
    target = draw(st.permutations(range(len(shape))))[:count]
    return lambda x: (np.moveaxis(x, source, target), np.moveaxis(x, source[0], -1))


@one_array("rollaxis", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axis, start = draw(axis_of(shape)), draw(st.integers(-len(shape), len(shape)))
    return lambda x: np.rollaxis(x, axis, start)


@one_array("matrix_transpose", 2)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    return lambda x: (np.matrix_transpose(x), x.mT, np.linalg.matrix_transpose(x))


@one_array("squeeze")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    ones = [axis for axis, length in enumerate(shape) if length == 1]
    axis = draw(st.sampled_from([None, *ones, tuple(ones)]))
    return lambda x: np.squeeze(x, axis)


@one_array("expand_dims")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axis = draw(st.integers(-len(shape) - 1, len(shape)))
    return lambda x: (np.expand_dims(x, axis), np.expand_dims(x, (0, -1)))


@one_array("atleast")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    return lambda x: (np.atleast_1d(x), np.atleast_2d(x), np.atleast_3d(x))


@one_array("flip")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axes = draw(axes_of(shape)) if shape else None
    return lambda x: np.flip(x, axes)


@one_array("fliplr flipud", 2)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    return lambda x: (np.fliplr(x), np.flipud(x))


@one_array("rot90", 2)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    k = draw(st.integers(-5, 5))
    axes = draw(st.permutations(range(len(shape))))[:2]
    return lambda x: np.rot90(x, k, axes)


@one_array("roll")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    shift = draw(st.integers(-9, 9))
    return lambda x: np.roll(x, shift)


@one_array("roll along axes", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axes = draw(st.lists(axis_of(shape), min_size=1, max_size=3))
    shifts = draw(st.lists(OFFSET, min_size=len(axes), max_size=len(axes)))
    return lambda x: (
        np.roll(x, tuple(shifts), tuple(axes)),
        np.roll(x, shifts[0], axes[0]),
        np.roll(x, shifts[0], tuple(axes)),
    )


@one_array("broadcast_to")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    stretched = tuple(3 if length == 1 else length for length in shape)
    return lambda x: (np.broadcast_to(x, (2, *stretched)), np.broadcast_to(x, shape))


@one_array("tile")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    counts = draw(st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=4))
    return lambda x: np.tile(x, counts)


@one_array("repeat")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    count = draw(st.integers(0, 3))
    return lambda x: (np.repeat(x, count), np.repeat(x, [count]), x.repeat(np.int32(count)))


@one_array("repeat along an axis", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axis = draw(axis_of(shape))
    counts = draw(st.lists(st.integers(0, 3), min_size=shape[axis], max_size=shape[axis]))
    repeats = np.array(counts, np.intp)
    return lambda x: (np.repeat(x, repeats, axis), np.repeat(x, 2, axis))


@one_array("array_split", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axis = draw(axis_of(shape))
    sections = draw(st.integers(1, 5) | st.lists(st.integers(-5, 5), max_size=3))
    return lambda x: np.array_split(x, sections, axis)


@one_array("split", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axis = draw(axis_of(shape))
    divisors = [n for n in range(1, 5) if shape[axis] % n == 0]
    sections = draw(st.sampled_from(divisors) | st.lists(st.integers(-5, 5), max_size=3))
    return lambda x: np.split(x, sections, axis)


@one_array("hsplit vsplit dsplit", 3)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    return lambda x: [np.hsplit(x, [1]), np.vsplit(x, [1]), np.dsplit(x, [1])]


@one_array("hsplit", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    return lambda x: np.hsplit(x, [2])


@one_array("diagonal", 2)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    offset = draw(OFFSET)
    first, second = draw(st.permutations(range(len(shape))))[:2]
    return lambda x: (
        np.diagonal(x, offset, first, second),
        x.diagonal(offset),
        np.linalg.diagonal(x, offset=offset),
    )


@one_array("trace", 2)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    offset = draw(OFFSET)
    first, second = draw(st.permutations(range(len(shape))))[:2]
    return lambda x: (np.trace(x, offset, first, second), np.linalg.trace(x, offset=offset))


@one_array("diag", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    k = draw(OFFSET)
    return lambda x: (
        (np.diag(x[(0,) * (len(shape) - 2)], k), np.diag(x.ravel()[:3], k))
        if (0 not in shape[: len(shape) - 2])
        else np.diag(x.ravel(), k)
    )


@one_array("diagflat")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    k = draw(OFFSET)
    return lambda x: np.diagflat(x, k)


@one_array("tril triu", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    k = draw(OFFSET)
    return lambda x: (np.tril(x, k), np.triu(x, k))


@one_array("pad with constants")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    widths = draw(st.integers(0, 3) | st.tuples(st.integers(0, 3), st.integers(0, 3)))
    constants = draw(st.sampled_from([0, -0.0, 2, (1, -2.5), 0.0]))
    return lambda x: (np.pad(x, widths, constant_values=constants), np.pad(x, widths))


@one_array("pad each axis", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    width = st.tuples(st.integers(0, 3), st.integers(0, 3))
    widths = draw(st.lists(width, min_size=len(shape), max_size=len(shape)))
    constants = draw(st.lists(width, min_size=len(shape), max_size=len(shape)))
    return lambda x: np.pad(x, widths, "constant", constant_values=constants)


@one_array("pad by the entries", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    mode: Any = draw(st.sampled_from(["edge", "reflect", "symmetric", "wrap"]))
    width = st.tuples(st.integers(0, 5), st.integers(0, 5))
    widths = [draw(width) if length else (0, 0) for length in shape]
    return lambda x: np.pad(x, widths, mode)


@one_array("take", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axis = draw(axis_of(shape))
    if not shape[axis]:
        return lambda x: np.take(x, np.zeros(0, int), axis)
    indices = draw(
        hnp.arrays(
            np.int64,
            hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3),
            elements=st.integers(-9, 9),
        )
    )
    inside = indices % shape[axis]
    return lambda x: (
        np.take(x, inside, axis),
        np.take(x, indices, axis, mode="wrap"),
        np.take(x, indices, axis, mode="clip"),
        x.take(inside - shape[axis], axis),
    )


@one_array("take_along_axis", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axis = draw(axis_of(shape))
    lengths = list(shape)
    lengths[axis] = draw(st.integers(0, 4)) if shape[axis] else 0
    indices = draw(
        hnp.arrays(np.int64, tuple(lengths), elements=st.integers(-shape[axis], shape[axis] - 1))
        if shape[axis]
        else st.just(np.zeros(lengths, int))
    )
    return lambda x: np.take_along_axis(x, indices, axis)


@one_array("compress", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axis = draw(axis_of(shape))
    mask = draw(st.lists(st.booleans(), max_size=shape[axis]))
    return lambda x: np.compress(mask, x, axis)


@one_array("extract")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    mask = draw(hnp.arrays(bool, shape))
    return lambda x: np.extract(mask, x)


@one_array("delete", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axis = draw(axis_of(shape))
    places = draw(st.lists(axis_of((shape[axis],)), max_size=3)) if shape[axis] else []
    return lambda x: (np.delete(x, np.array(places, int), axis), np.delete(x, slice(1), axis))


@one_array("diff", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axis, n = draw(axis_of(shape)), draw(st.integers(0, 3))
    return lambda x: np.diff(x, n, axis)


@one_array("diff with ends", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axis = draw(axis_of(shape))
    return lambda x: (np.diff(x, axis=axis, prepend=x, append=x), np.diff(x, 2, axis, prepend=2))


@one_array("copy")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    return lambda x: (np.copy(x), x.copy())


@one_array("block")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    return lambda x: (np.block([[x, x], [x, x]]), np.block([x, x]), np.block(x))


@one_array("stacks of one")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    return lambda x: (np.stack([x]), np.hstack([x]), np.vstack([x]), np.dstack([x]))


@one_array("sequences of an array", 2)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    if not shape[0]:
        return lambda x: x[:]
    return lambda x: (np.stack(x, -1), np.concatenate(x), np.vstack(x))


@one_array("meshgrid", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    indexing: Any = draw(st.sampled_from(["xy", "ij"]))
    sparse = draw(st.booleans())
    return lambda x: np.meshgrid(x.ravel(), x, x[..., 0:1], indexing=indexing, sparse=sparse)


@one_array("select")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    one, two = draw(hnp.arrays(bool, shape)), draw(hnp.arrays(bool, shape))
    return lambda x: np.select([one, two], [x, 2 * x], default=1)


@one_array("reshape into new memory")
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    return lambda x: np.reshape(x, (*shape, 1), copy=True)


@one_array("unstack", 1)
def _(draw: Draw, shape: tuple[int, ...]) -> Function:
    axis = draw(axis_of(shape))
    return lambda x: np.unstack(x, axis=axis)


@pytest.mark.parametrize("name", ONE_ARRAY)
@settings(max_examples=40)
@given(data=st.data())
def test_function_of_one_array(name: str, data: st.DataObject) -> None:
    axes, draw_function = ONE_ARRAY[name]
    shape = data.draw(hnp.array_shapes(min_dims=axes, max_dims=3, min_side=0, max_side=4))
    if not axes and data.draw(st.booleans()):
        shape = ()
    function = draw_function(data.draw, shape)
    x = entries(shape, data.draw(DTYPES), 1)
    check_linear(function, x)


@pytest.mark.parametrize("name", ONE_ARRAY)
@settings(max_examples=20)
@given(data=st.data())
def test_second_derivative(name: str, data: st.DataObject) -> None:
    axes, draw_function = ONE_ARRAY[name]
    shape = data.draw(hnp.array_shapes(min_dims=axes, max_dims=3, min_side=1, max_side=3))
    check_second_order(draw_function(data.draw, shape), entries(shape, np.float64, 1))


@pytest.mark.parametrize("name", ONE_ARRAY)
@settings(max_examples=20)
@given(data=st.data())
def test_memory_is_shared_where_numpy_shares_it(name: str, data: st.DataObject) -> None:
    """What is written afterwards arrives where it does in NumPy."""
    axes, draw_function = ONE_ARRAY[name]
    shape = data.draw(hnp.array_shapes(min_dims=axes, max_dims=3, min_side=1, max_side=3))
    function = draw_function(data.draw, shape)
    x = entries(shape, np.float64, 1)
    leaves = flatten(function(x))[0]

    def write_into_argument(x: Any) -> Any:
        fresh = x + 1
        result = function(fresh)
        fresh += 1
        return result

    def write_into_results(x: Any) -> Any:
        fresh = x + 1
        results = []
        for each in flatten(function(fresh))[0]:
            result = each
            result += 1
            results.append(result)
        return fresh, results

    programs: list[Function] = [write_into_argument]
    if all(each.flags.writeable for each in leaves):
        programs.append(write_into_results)
    for program in programs:
        value, _ = sd.vjp(program, x)
        same(value, program(x))


# -- functions of several arrays --------------------------------------------------------------

SHAPE = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)
JOIN: dict[str, Callable[..., Any]] = {
    "concatenate": lambda x, y: np.concatenate([x, y]),
    "concat last": lambda x, y: np.concat([x, y], axis=-1),
    "concatenate flat": lambda x, y: np.concatenate((x, y), axis=None),
    "concatenate cast": lambda x, y: np.concatenate(
        [x, y], dtype=np.result_type(x, y, 0.0, np.float64)
    ),
    "concatenate with a plain array": lambda x, y: np.concatenate([x, np.ones_like(x), y]),
    "concatenate with lists": lambda x, y: np.concatenate(
        [np.copy(x).ravel(), [1, 2], [x.sum(), y.sum()]]
    ),
    "stack": lambda x, y: np.stack([x, y]),
    "stack last": lambda x, y: np.stack((x, y), axis=-1),
    "hstack": lambda x, y: np.hstack([x, y]),
    "vstack": lambda x, y: np.vstack([x, y]),
    "dstack": lambda x, y: np.dstack([x, y]),
    "column_stack": lambda x, y: np.column_stack([x, y]),
    "append": lambda x, y: (np.append(x, y), np.append(x, y, axis=0), np.append([1, 2], y)),
    "broadcast_arrays": lambda x, y: np.broadcast_arrays(x, y[:1], 1.0),
    "atleast": lambda x, y: np.atleast_2d(x, y),
    "block": lambda x, y: np.block([[x, y], [y, x]]),
    "insert": lambda x, y: np.insert(x, 0, y, axis=0),
    "insert flat": lambda x, y: np.insert(x, 0, y[(0,) * (y.ndim - 1)]),
    "insert at several places": lambda x, y: np.insert(x, [0, len(x), 0], y.sum(), axis=0),
    "pad with an array": lambda x, y: np.pad(x, 1, constant_values=y.sum()),
    "diff with an end": lambda x, y: np.diff(x, prepend=y, append=y),
    "full_like": lambda x, y: np.full_like(x, y.sum()),
}


@pytest.mark.parametrize("name", JOIN)
@given(shape=SHAPE, dtypes=st.tuples(REAL, REAL) | st.tuples(COMPLEX, COMPLEX))
def test_function_of_several_arrays(
    name: str, shape: tuple[int, ...], dtypes: tuple[Any, Any]
) -> None:
    function = JOIN[name]
    first, second = dtypes
    if name.startswith("insert") and 0 in shape:
        return
    if name in {
        "insert",
        "insert flat",
        "insert at several places",
        "pad with an array",
        "full_like",
    }:
        # What is written into an array takes its dtype.
        second = first
    x, y = entries(shape, first, 1), entries(shape, second, 2)
    check_linear(function, x, y)


@pytest.mark.parametrize("name", JOIN)
def test_joined_arrays_may_be_written_into_afterwards(name: str) -> None:
    def program(x: Any) -> Any:
        one, two = x + 1, x + 2
        result = JOIN[name](one, two)
        one += 1
        two *= 2
        return result

    x = entries((2, 3), np.float64, 1)
    same(sd.vjp(program, x)[0], program(x))


@given(shape=SHAPE, data=st.data())
def test_insert_along_an_axis(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(axis_of(shape))
    places: Any = data.draw(
        st.integers(-shape[axis], shape[axis])
        | st.lists(st.integers(-shape[axis], shape[axis]), max_size=3)
        | st.just(slice(None, None, 2))
    )
    x = entries(shape, np.float32, 1)
    check_linear(lambda x: np.insert(x, places, 3.0, axis), x)
    # The values for one place lie along the first axis; those for a list of one, along the axis.
    check_linear(lambda x, y: np.insert(x, 0, y, axis), x, np.moveaxis(x, axis, 0) + 1)
    check_linear(lambda x, y: np.insert(x, [0], y, axis), x, x + 1)


@pytest.mark.parametrize("default", [0, 0.0, 1j, np.float64(1), np.ones(1, np.float16)])
def test_select_has_the_dtype_of_all_choices(default: Any) -> None:
    def f(x: Any) -> Any:
        return np.select([x > 2, x > 0], [x, 1.0], default)

    x = np.arange(4, dtype=np.float32)
    same(sd.vjp(f, x)[0], f(x))
    same(sd.compile(f)(x), f(x))


def test_a_python_number_is_an_array_to_numpy() -> None:
    half = np.ones(1, np.float32)
    for function in (np.copy, np.atleast_1d, np.ravel, lambda x: np.stack([x])):
        value, pullback = sd.vjp(lambda x, f=function: f(x) * half, 2.0)
        same(value, function(2.0) * half)
        assert pullback(np.ones_like(value)) == (1.0,)


# -- errors -----------------------------------------------------------------------------------

untyped: Any = np
"""NumPy, for calls that its types refuse."""

WRONG: dict[str, Function] = {
    "reshape to another size": lambda x: untyped.reshape(x, (5, 5)),
    "reshape with two unknowns": lambda x: untyped.reshape(x, (-1, -1)),
    "reshape with a float": lambda x: untyped.reshape(x, 6.0),
    "reshape in no order": lambda x: untyped.reshape(x, 6, order="X"),
    "transpose with too few axes": lambda x: untyped.transpose(x, (0,)),
    "transpose with an axis twice": lambda x: untyped.transpose(x, (0, 0)),
    "swapaxes out of range": lambda x: untyped.swapaxes(x, 0, 2),
    "moveaxis of unequal counts": lambda x: untyped.moveaxis(x, (0, 1), 0),
    "rollaxis past the end": lambda x: untyped.rollaxis(x, 0, 4),
    "squeeze of a long axis": lambda x: untyped.squeeze(x, 0),
    "expand_dims twice at a place": lambda x: untyped.expand_dims(x, (0, 0)),
    "flip out of range": lambda x: untyped.flip(x, 2),
    "fliplr of one axis": lambda x: untyped.fliplr(x[0]),
    "rot90 about one axis": lambda x: untyped.rot90(x, axes=(0, 0)),
    "roll out of range": lambda x: untyped.roll(x, 1, 5),
    "broadcast to what does not fit": lambda x: untyped.broadcast_to(x, (2, 4)),
    "broadcast arrays that do not fit": lambda x: untyped.broadcast_arrays(x, x[:, :2]),
    "tile a negative number of times": lambda x: untyped.tile(x, -1),
    "repeat a negative number of times": lambda x: untyped.repeat(x, -1),
    "repeat by the wrong number of counts": lambda x: untyped.repeat(x, [1, 2, 3, 4], axis=1),
    "repeat by an array of floats": lambda x: untyped.repeat(x, np.ones(1)),
    "concatenate nothing that is traced": lambda x: untyped.concatenate([x, 1.0]),
    "concatenate unequal lengths": lambda x: untyped.concatenate([x, x[:, :2]]),
    "concatenate unequal axes": lambda x: untyped.concatenate([x, x[0]]),
    "concatenate numbers": lambda x: untyped.concatenate([x[0, 0], x[0, 1]]),
    "concatenate out of range": lambda x: untyped.concatenate([x, x], axis=2),
    "concatenate to integers": lambda x: untyped.concatenate([x, x], dtype=int),
    "stack unequal shapes": lambda x: untyped.stack([x, x[0]]),
    "stack out of range": lambda x: untyped.stack([x, x], axis=3),
    "split unequally": lambda x: untyped.split(x, 2, axis=1),
    "split into none": lambda x: untyped.split(x, 0),
    "split out of range": lambda x: untyped.array_split(x, 2, axis=2),
    "hsplit of a number": lambda x: untyped.hsplit(x[0, 0], 1),
    "vsplit of one axis": lambda x: untyped.vsplit(x[0], 1),
    "dsplit of two axes": lambda x: untyped.dsplit(x, 1),
    "diagonal of one axis": lambda x: untyped.diagonal(x[0]),
    "diagonal of an axis and itself": lambda x: untyped.diagonal(x, 0, 1, 1),
    "diag of three axes": lambda x: untyped.diag(x[None]),
    "pad by a negative width": lambda x: untyped.pad(x, -1),
    "pad by a float": lambda x: untyped.pad(x, 1.5),
    "pad by too many widths": lambda x: untyped.pad(x, [(1, 1)] * 3),
    "pad an empty axis by its edge": lambda x: untyped.pad(x[:0], 1, "edge"),
    "take past the end": lambda x: untyped.take(x, 3, 1),
    "take by an array of floats": lambda x: untyped.take(x, np.ones(1)),
    "take in no mode": lambda x: untyped.take(x, 0, mode="round"),
    "take_along_axis by floats": lambda x: untyped.take_along_axis(x, x, 0),
    "take_along_axis of unequal axes": lambda x: untyped.take_along_axis(x, np.array([0]), 0),
    "compress by a matrix": lambda x: untyped.compress([[True]], x),
    "compress past the end": lambda x: untyped.compress([False] * 5 + [True], x, 0),
    "select without conditions": lambda x: untyped.select([], [], x),
    "select by numbers": lambda x: untyped.select([np.ones(3)], [x]),
    "select with too few choices": lambda x: untyped.select([x > 0, x < 1], [x]),
    "delete past the end": lambda x: untyped.delete(x, 9, 0),
    "insert past the end": lambda x: untyped.insert(x, 9, 1.0, 0),
    "diff a negative number of times": lambda x: untyped.diff(x, -1),
    "diff of a number": lambda x: untyped.diff(x[0, 0]),
    "unequal depths of blocks": lambda x: untyped.block([[x], x]),
    "blocks in a tuple": lambda x: untyped.block((x, x)),
    "an unknown indexing": lambda x: untyped.meshgrid(x, x, indexing="yx"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_those_of_numpy(name: str) -> None:
    x = np.arange(6.0).reshape(2, 3)
    with pytest.raises(Exception) as plain:  # noqa: PT011  # whatever NumPy raises
        WRONG[name](x)
    with pytest.raises(plain.type):
        sd.vjp(WRONG[name], x)


OUT = np.zeros((4, 3))

REFUSED: dict[str, tuple[Function, str]] = {
    "out": (lambda x: np.concatenate([x, x], out=OUT), "out="),
    "take out": (lambda x: np.take(x, [0], out=OUT[0, :1]), "out="),
    "memory order": (lambda x: np.ravel(x, "K"), "lie in memory"),
    "any memory order": (lambda x: np.reshape(x, 6, order="A"), "lie in memory"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_says_so(name: str) -> None:
    function, words = REFUSED[name]
    with pytest.raises(UnsupportedError, match=words) as raised:
        sd.vjp(function, np.ones((2, 3)))
    assert raised.value.instead


# -- questions about types --------------------------------------------------------------------

QUESTIONS: dict[str, Function] = {
    "shape": np.shape,
    "ndim": np.ndim,
    "size": np.size,
    "size along": lambda x: np.size(x, 0),
    "result_type": lambda x: np.result_type(x, np.float32, 1.0),
    "iscomplexobj": np.iscomplexobj,
    "isrealobj": np.isrealobj,
    "common_type": lambda x: np.common_type(x, np.ones(1, np.float32)),
    "len": len,
    "zeros_like": np.zeros_like,
    "ones_like": lambda x: np.ones_like(x, dtype=np.int8, shape=(2, 2)),
    "full_like": lambda x: np.full_like(x, 7.5),
    "full_like of a shape": lambda x: np.full_like(x, 2, dtype=int, shape=4),
    "empty_like": lambda x: np.empty_like(x).shape,
}


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_about_types_have_plain_answers(name: str, dtype: Any) -> None:
    x = np.ones((2, 3), dtype)
    expected = QUESTIONS[name](x)
    answers: list[Any] = []

    def ask(x: Any) -> Any:
        answers.append(QUESTIONS[name](x))
        return x

    sd.vjp(ask, x)
    record(ask, [x], {})
    for each in answers:
        # Of what makes arrays, an Array in which nothing is differentiated.
        answer = np.asarray(each) if isinstance(each, Array) else each
        assert type(answer) is type(expected)
        np.testing.assert_array_equal(answer, expected)
        assert getattr(answer, "dtype", None) == getattr(expected, "dtype", None)


def test_the_type_of_a_python_number_gives_way() -> None:
    def f(x: Any) -> Any:
        assert np.result_type(x, np.float32) == np.float32
        return x

    sd.grad(f)(1.0)


@pytest.mark.parametrize(
    "function",
    [lambda x: np.compress(x > 0, x), lambda x: np.extract(x > 0, x), lambda x: x[x > 0]],
    ids=["compress", "extract", "boolean index"],
)
def test_shapes_that_depend_on_values_need_them(function: Function) -> None:
    with pytest.raises(NeedsValueError, match="values"):
        record(lambda x: np.sum(function(x)), [np.ones(3)], {})
    x = np.array([1.0, -1.0, 2.0])
    np.testing.assert_array_equal(sd.grad(lambda x: np.sum(function(x) ** 2))(x), [2, 0, 4])
