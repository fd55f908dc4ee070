"""Writing into arrays, natively: random programs, and that each write costs what it writes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.engines.native.programs import errors_of, fused, one_of, recorded

import steepest as sd
from steepest.engines import Interpreter
from steepest.engines.native.nests import Callback, Kernel, Program
from steepest.engines.native.program import Native
from steepest.errors import NeedsValueError

NUMBER_OF_PROGRAMS = 30
VERY_MANY = 3_000
LENGTHS = (1, 2, 3, 3, 5, 8, 17)
Action = Callable[[list[Any], list[Any], Any, Any], None]
"""What changes arrays, given those, values read out of them, the weights and the indices."""


@dataclass
class WritingProgram:
    """A random program that writes into arrays of its own.

    Attributes
    ----------
    weights : ndarray
        What the arrays are filled with.
    places : ndarray of int
        Indices that are known only when the program runs.
    actions : list of callable
    """

    weights: np.ndarray
    places: np.ndarray
    actions: list[Action]

    def __call__(self, weights: Any, places: Any) -> Any:
        arrays: list[Any] = []
        values: list[Any] = [weights]
        for action in self.actions:
            action(arrays, values, weights, places)
        return tuple(arrays[-2:]) + tuple(values[-2:])

    def loss(self, weights: Any, places: Any) -> Any:
        total: Any = 0.0
        for number, each in enumerate(self(weights, places)):
            if each.dtype.kind == "f":
                factors = np.cos(np.arange(each.size) + number).reshape(each.shape)
                total = total + np.sum(factors.astype(each.dtype) * each)
        return total

    def gradient(self, weights: Any, places: Any) -> Any:
        return sd.grad(self.loss)(weights, places)

    def second(self, weights: Any, places: Any) -> Any:
        return sd.grad(lambda w: np.sum(np.sin(self.gradient(w, places))))(weights)


def random_program(seed: int) -> WritingProgram:
    """Draw a program, by running it as it grows."""
    rng = np.random.default_rng(seed)
    dtype = one_of(rng, [np.float32, np.float64, np.float64])
    weights = rng.uniform(-1, 1, int(rng.integers(2, 9))).astype(dtype)
    places = rng.integers(-2, 2, int(rng.integers(1, 5)))
    arrays: list[Any] = []
    values: list[Any] = [weights]
    actions: list[Action] = []
    for _ in range(int(rng.integers(3, 26))):
        draw = one_of(rng, (MAKING if len(arrays) < 2 else ()) + ACTIONS)
        if draw not in MAKING and not arrays:
            continue
        action = draw(rng, arrays, values)
        if action is not None:
            action(arrays, values, weights, places)
            actions.append(action)
    return WritingProgram(weights, places, actions)


def entry_of(rng: np.random.Generator, values: list[Any]) -> Callable[[list[Any], Any], Any]:
    """Draw a single number computed of what was read."""
    number = int(rng.integers(len(values)))
    factor = float(rng.uniform(-1, 1))
    kind = int(rng.integers(4))
    if kind == 0:
        return lambda values, weights: factor
    if kind == 1:
        return lambda values, weights: np.tanh(np.sum(values[number]) * factor)
    return lambda values, weights: weights[kind % len(weights)] * factor


def zeros(rng: np.random.Generator, arrays: list[Any], values: list[Any]) -> Action:
    shape = tuple(one_of(rng, LENGTHS) for _ in range(one_of(rng, [1, 1, 2, 2, 3])))
    kind = int(rng.integers(5))
    dtype = one_of(rng, [np.float64, np.float64, np.float32, np.float16])

    def make(arrays: list[Any], values: list[Any], weights: Any, places: Any) -> None:
        if kind == 0:
            array = np.ones(shape, dtype)
        elif kind == 1:
            array = np.zeros(shape, dtype) + np.sin(weights[0]).astype(dtype)
        elif kind == 2:
            array = np.full(shape, 0.5, dtype)
        else:
            array = np.zeros(shape, dtype)
        arrays.append(array)

    return make


def copied(rng: np.random.Generator, arrays: list[Any], values: list[Any]) -> Action | None:
    """Compute a new array of one, whose old value stays needed."""
    if not arrays:
        return None
    number, kind = int(rng.integers(len(arrays))), int(rng.integers(4))

    def make(arrays: list[Any], values: list[Any], weights: Any, places: Any) -> None:
        source = arrays[number]
        arrays.append([source.copy(), np.tanh(source), source.T * 1, source * weights[0]][kind])

    return make


def part_of(rng: np.random.Generator, array: Any) -> Callable[[Any], Any] | None:
    """Draw a view."""
    kind = int(rng.integers(8))
    if kind == 0:
        return lambda x: x.T
    if kind == 1 and array.ndim:
        return lambda x: x[::-1]
    if kind == 2 and array.ndim and len(array) > 1:
        return lambda x: x[1:]
    if kind == 3 and array.flags.c_contiguous:
        return lambda x: x.reshape(-1)
    if kind == 4:
        return lambda x: x[None]
    return lambda x: x


def key_of(rng: np.random.Generator, shape: tuple[int, ...], *, arrays: bool = True) -> Any:
    """Draw what is static: integers, slices, index arrays with repetitions, a mask."""
    if arrays and rng.random() < 0.1:
        return rng.random(shape) < 0.4
    key: list[Any] = []
    for length in shape:
        kind = rng.random()
        if kind < 0.4:
            key.append(int(rng.integers(-length, length)))
        elif kind < 0.6:
            start, stop = sorted(rng.integers(0, length + 1, 2).tolist())
            step = one_of(rng, [1, 1, 2, 3])
            if rng.random() < 0.4:
                start, stop, step = stop - 1 if stop else None, None, -step
            key.append(slice(start, stop, step))
        elif kind < 0.7 and arrays:
            key.append(rng.integers(-length, length, 3))
        elif kind < 0.8:
            key += [None, slice(None)]
        else:
            key.append(slice(None))
    if rng.random() < 0.2:
        key = [Ellipsis, *key[-1:]] if shape else [Ellipsis]
    return tuple(key)


def write(rng: np.random.Generator, arrays: list[Any], values: list[Any]) -> Action | None:
    number = int(rng.integers(len(arrays)))
    view = part_of(rng, arrays[number])
    if view is None:
        return None
    key = key_of(rng, view(arrays[number]).shape)
    lengths = view(arrays[number])[key].shape
    entry, kind = entry_of(rng, values), int(rng.integers(7))
    spread = tuple(1 if rng.random() < 0.3 else length for length in lengths)
    spread = spread[int(rng.integers(len(spread) + 1)) :]
    other = int(rng.integers(len(values)))
    fitting = np.shape(values[other])

    def act(arrays: list[Any], values: list[Any], weights: Any, places: Any) -> None:
        target = view(arrays[number])
        if kind < 2:
            target[key] = entry(values, weights)
        elif kind == 2:
            target[key] = np.arange(1.0, 1 + np.prod(spread)).reshape(spread) * weights[1]
        elif kind == 3:
            target[key] *= 0.5 + entry(values, weights) ** 2
        elif kind == 4:
            target[key] += np.sin(target[key]) * weights[0]
        elif kind == 5 and fitting == lengths:
            target[key] = np.cos(values[other])
        else:
            target[key] -= entry(values, weights)

    return act


def shift(rng: np.random.Generator, arrays: list[Any], values: list[Any]) -> Action | None:
    """Write into an array what is computed of entries beside."""
    number = int(rng.integers(len(arrays)))
    if arrays[number].ndim < 1 or len(arrays[number]) < 2:
        return None
    kind = int(rng.integers(4))

    def act(arrays: list[Any], values: list[Any], weights: Any, places: Any) -> None:
        x = arrays[number]
        if kind == 0:
            x[1:] = x[:-1] * 0.5 + weights[0]
        elif kind == 1:
            x[:-1] = np.tanh(x[1:])
        elif kind == 2:
            x[...] = x[::-1] * weights[1]
        else:
            for place in range(1, min(len(x), 6)):
                x[place] = x[place - 1] * 0.7 + np.sin(x[place])

    return act


def add_up(rng: np.random.Generator, arrays: list[Any], values: list[Any]) -> Action | None:
    """Add, or write, at places that are named more than once: known ahead, or not."""
    number, kind = int(rng.integers(len(arrays))), int(rng.integers(4))
    length = len(arrays[number])
    if length < 2:
        return None
    known = rng.integers(-length, length, int(rng.integers(1, 6)))
    factors = rng.uniform(-1, 1, len(known)).reshape(-1, *(1,) * (arrays[number].ndim - 1))

    def act(arrays: list[Any], values: list[Any], weights: Any, places: Any) -> None:
        x = arrays[number]
        rows = (-1, *(1,) * (x.ndim - 1))
        dynamic = np.reshape(np.arange(1.0, 1 + len(places)), rows) * weights[1]
        if kind == 0:
            np.add.at(x, known, (factors * weights[0]).astype(x.dtype))
        elif kind == 1:
            np.add.at(x, places, dynamic.astype(x.dtype))
        elif kind == 2:
            x[places] = dynamic
        else:
            x[places] += x[places[::-1]] * 0.5

    return act


def look(rng: np.random.Generator, arrays: list[Any], values: list[Any]) -> Action | None:
    """Read a part, as it is then."""
    number = int(rng.integers(len(arrays)))
    view = part_of(rng, arrays[number])
    if view is None:
        return None
    key = key_of(rng, view(arrays[number]).shape, arrays=rng.random() < 0.3)
    kind = int(rng.integers(4))

    def act(arrays: list[Any], values: list[Any], weights: Any, places: Any) -> None:
        part = view(arrays[number])[key]
        if kind == 0:
            values.append(part.copy() if isinstance(part, np.ndarray) or part.shape else part * 1)
        elif kind == 1:
            values.append(np.sin(part))
        elif kind == 2:
            values.append(np.sum(part * part) / 3)
        else:
            values.append(arrays[number][places % len(arrays[number])] * 0.5)

    return act


MAKING = (zeros,)
ACTIONS = (zeros, copied, write, write, write, write, write, shift, add_up, look, look)


def check(program: WritingProgram) -> None:
    args = (program.weights, program.places)
    for what, function in (
        ("value", program),
        ("gradient", program.gradient),
        ("second derivative", program.second),
    ):
        try:
            with np.errstate(all="ignore"):
                graph = recorded(function, args)
        except NeedsValueError:  # whether a reshape is a view
            continue
        wrong = errors_of(graph, narrowest=np.float16, exactly=False)
        assert not wrong, f"{what}: {wrong}"


@pytest.mark.parametrize("seed", range(NUMBER_OF_PROGRAMS))
def test_random_programs_that_write(seed: int) -> None:
    check(random_program(seed))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(NUMBER_OF_PROGRAMS, VERY_MANY))
def test_very_many_random_programs_that_write(seed: int) -> None:
    check(random_program(seed))


# -- what a write costs ------------------------------------------------------------------------


def filled(x: Any) -> Any:
    """Fill an array entry by entry, read the entry before, and the whole at the end."""
    out = np.zeros(len(x))
    out[0] = x[0]
    for i in range(1, len(x)):
        out[i] = np.sin(x[i]) + 0.5 * out[i - 1]
    return np.sum(out**2)


def added_up(x: Any) -> Any:
    acc = np.zeros(8)
    for i in range(len(x)):
        acc[i % 8] += x[i] * acc[(i + 3) % 8] + 1.0
    return np.sum(acc**2)


def by_rows(x: Any) -> Any:
    out = np.empty((len(x), 3))
    for i in range(len(x)):
        out[i] = x[i] * np.arange(3.0)
    return np.sum(out[::2] ** 3)


def scattered(x: Any) -> Any:
    """Write at places of which each write leaves most alone."""
    out = np.zeros(200)
    for i in range(len(x)):
        out[np.array([i, 2 * i])] = np.tanh(x[i]) + out[i + 1]
    return np.sum(out**2)


def entries_run_through(program: Program) -> int:
    """Count the entries that all loops of a program run through."""
    return sum(
        len(nest.statements) * math.prod(nest.extents)
        for item in program.items
        if isinstance(item, Kernel)
        for nest in item.nests
    )


@pytest.mark.parametrize("function", [filled, added_up, by_rows, scattered])
def test_a_write_costs_what_it_writes(function: Callable[[Any], Any]) -> None:
    counts = []
    for n in (20, 40, 80):
        x = np.linspace(-1, 1, n)
        found = recorded(sd.value_and_grad(function), [x])
        assert not errors_of(found, exactly=False)
        program = fused(found.graph)
        assert not any(isinstance(item, Callback) for item in program.items)
        counts.append(entries_run_through(program))
    # Twice as many writes: twice the work, not four times.
    assert counts[2] - counts[1] < 2.2 * (counts[1] - counts[0])


def test_an_array_of_which_only_entries_are_read_is_gone() -> None:
    def function(x: Any) -> Any:
        alpha = np.zeros((30, 2))
        alpha[0] = x
        for t in range(1, 30):
            for state in range(2):
                alpha[t, state] = np.sum(alpha[t - 1] * x) + state
            alpha[t] /= alpha[t].sum()
        return alpha[-1, 0]

    program = fused(recorded(sd.grad(function), [np.array([0.3, 0.7])]).graph)
    assert max(each.size for each in program.buffers) == 2


@pytest.mark.parametrize("dtype", ["?", "i1", "u4", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("value", [True, 3, 2.5, np.float32(1.5), np.int8(7)], ids=repr)
def test_values_are_converted_as_numpy_does(dtype: str, value: Any) -> None:
    def function(places: Any) -> Any:
        out = np.zeros(4, dtype) + places.astype(dtype)
        out[1] = value
        out[2:] = np.array([value, value])
        out[places] = value
        return out

    places = np.array([3, 3, 0, 0])
    actual, expected = sd.compile(function)(places), function(places)
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("place", [4, -5, 100])
def test_an_index_out_of_bounds_is_numpys_error(place: int) -> None:
    def function(x: Any, places: Any) -> Any:
        out = np.zeros(4)
        out[places] = x
        np.add.at(out, places, 2 * x)
        return np.sum(out)

    compiled = sd.compile(sd.value_and_grad(function))
    x = np.ones(2)
    value, gradient = compiled(x, np.array([1, 1]))
    assert value == 5.0
    np.testing.assert_array_equal(gradient, [2.0, 3.0])
    with pytest.raises(IndexError, match=f"index {place} is out of bounds for axis 0 with size 4"):
        compiled(x, np.array([1, place]))
    assert compiled(x, np.array([0, 3]))[0] == 6.0


def test_the_last_of_several_values_for_one_place_stays_and_alone_has_a_gradient() -> None:
    def function(x: Any, places: Any) -> Any:
        out = np.ones(3) * x[0]
        out[places] = x
        return np.sum(out * np.array([1.0, 10.0, 100.0]))

    x, places = np.array([0.5, 1.5, 2.5, 3.5]), np.array([1, -1, 1, 1])
    value, gradient = sd.compile(sd.value_and_grad(function))(x, places)
    assert value == function(x, places)
    np.testing.assert_array_equal(gradient, sd.grad(function)(x, places))
    np.testing.assert_array_equal(gradient, [1.0, 100.0, 0.0, 10.0])


def test_what_is_written_is_not_seen_by_what_was_read_before() -> None:
    def function(x: Any) -> Any:
        out = np.tanh(x)
        before, first = out * 2, out[0]
        out[...] = out[::-1] * 0.5
        middle = out[1:3]
        saved = middle.copy()
        out[1:] = out[:-1]
        middle += saved
        return out, before, first, saved

    x = np.linspace(-1, 1, 5)
    for actual, expected in zip(sd.compile(function)(x), function(x), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-14)


def test_what_was_read_before_is_used_before_and_after() -> None:
    def function(x: Any) -> Any:
        out, other = np.tanh(x), np.zeros(3)
        double = out[0] * 2
        other[0] = double
        out[0] = 5.0
        other[1] = double + out[0]
        other[2] = double
        return out, other

    x = np.linspace(-1, 1, 5)
    for actual, expected in zip(sd.compile(function)(x), function(x), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-14)


def test_parts_of_complex_arrays_are_not_numpys_work() -> None:
    def function(x: Any) -> Any:
        z = x * (1 + 2j)
        return np.sum((z.reshape(2, 3).T[1:] * z[:2]).real)

    found = recorded(sd.value_and_grad(function), [np.arange(6.0)])
    assert not errors_of(found, exactly=False)
    called = {i.node.operation.name for i in fused(found.graph).items if isinstance(i, Callback)}
    assert not called & {"broadcast", "slice", "transpose"}


def test_inputs_and_captured_arrays_are_not_written_into() -> None:
    captured = np.arange(4.0)

    def function(x: Any) -> Any:
        one, two = x.copy(), np.copy(captured)
        one[1:3] += two[:2]
        two[0] = one[2]
        return one, two

    x = np.ones(4)
    for _ in range(2):
        one, two = sd.compile(function)(x)
        np.testing.assert_array_equal(one, [1, 1, 2, 1])
        np.testing.assert_array_equal(two, [2, 1, 2, 3])
    np.testing.assert_array_equal(x, np.ones(4))
    np.testing.assert_array_equal(captured, np.arange(4.0))


def test_large_parts_do_not_depend_on_the_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def function(x: Any) -> Any:
        out = np.zeros((4, *x.shape))
        for k in range(4):
            out[k] = np.sin(x * (k + 1))
            out[k, 1:] += 0.5 * out[k, :-1]
            out[k, ::3] *= out[k, ::3]
        return np.sum(out * out)

    x = np.linspace(-1, 1, 600 * 700).reshape(600, 700)
    found = recorded(sd.value_and_grad(function), [x])
    results = []
    for threads in "12":
        monkeypatch.setenv("STEEPEST_NUM_THREADS", threads)
        results.append(Native(found.graph)(found.inputs))
    for one, two, expected in zip(*results, Interpreter(found.graph)(found.inputs), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, expected, rtol=1e-9)
