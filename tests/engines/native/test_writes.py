"""Writing into arrays, natively: random programs, and that each write costs what it writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tests.engines.native.programs import errors_of, fused, one_of, recorded

import steepest as sd
from steepest.compiling import record
from steepest.errors import NeedsValueError
from steepest.engines import Interpreter
from steepest.engines.native.formulas import rewrite_formulas
from steepest.engines.native.nests import Callback, Kernel
from steepest.engines.native.program import Native
from steepest.engines.native.simplify import simplify
from steepest.graph import ArrayType, Graph, Node

NUMBER_OF_PROGRAMS = 80
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
