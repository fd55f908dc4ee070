"""Every entry of the op table and its gradient, natively and by the interpreter."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from tests.engines.native.programs import LESSER, Recorded, errors_of, recorded
from tests.ops.test_table import as_tuple, draw, samples_of

import steepest as sd
from steepest.engines import Interpreter
from steepest.engines.native.processor import Processor, host_processor, processor
from steepest.errors import SteepestError
from steepest.graph import Graph
from steepest.ops import all_primitives
from steepest.ops.spec import Primitive, Sample, bind

DTYPES = [np.dtype(each) for each in ("d", "f", "e", "l", "i", "B", "?", "D", "g")]
PARTS = 12
"""Tests that the table is cut into, each of which compiles a few large graphs."""


def converted(value: Any, dtype: np.dtype[Any]) -> Any:
    """Bring a sample's floating-point numbers to another dtype."""
    if type(value) in {bool, int, float, complex}:
        return value
    if isinstance(value, tuple):
        return tuple(converted(each, dtype) for each in value)
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return value
    if dtype.kind in "iub":
        array = np.round(array * 3)
        array = array if dtype.kind == "i" else np.abs(array)
    return array.astype(dtype)[()]


def value_of(entry: Primitive, sample: Sample, _args: tuple[Any, ...]) -> Callable[..., Any]:
    return lambda *args: as_tuple(entry, bind(entry, args, sample.static))


def gradient_of(entry: Primitive, sample: Sample, args: tuple[Any, ...]) -> Callable[..., Any]:
    """Make the gradient of a weighted sum of the results."""
    rng = np.random.default_rng(1)
    results = as_tuple(entry, entry.evaluate(*args, **sample.static))
    weights = [draw(rng, each) for each in results]
    positions = tuple(
        place
        for place, each in enumerate(args)
        if not isinstance(each, tuple) and np.asarray(each).dtype.kind == "f"
    )

    def loss(*args: Any) -> Any:
        total: Any = 0.0
        results = as_tuple(entry, bind(entry, args, sample.static))
        for weight, result in zip(weights, results, strict=True):
            if weight.dtype.kind in "fc":
                total = total + np.real(np.sum(weight * result))
        return total

    return sd.grad(loss, positions)


Make = Callable[[Primitive, Sample, tuple[Any, ...]], Callable[..., Any]]
BOTH: tuple[Make, ...] = (value_of, gradient_of)


def recordings(entry: Primitive, dtype: np.dtype[Any], makes: Sequence[Make]) -> Iterator[Recorded]:
    """Record what an entry gives for its samples, and their gradients, where it takes a dtype."""
    for sample in samples_of(entry):
        args = tuple(converted(each, dtype) for each in sample.args)
        for make in makes:
            try:
                with np.errstate(all="ignore"):
                    found = recorded(make(entry, sample, args), args)
                    Interpreter(found.graph)(found.inputs)
            except (SteepestError, TypeError, ValueError, np.linalg.LinAlgError):
                continue  # NumPy has no loop, or there is no derivative
            yield found


def together(parts: list[Recorded]) -> Recorded:
    """Make one graph of several, which compiles in less time."""
    graphs = [each.graph for each in parts]
    graph = Graph(
        tuple(node for each in graphs for node in each.inputs),
        tuple(node for each in graphs for node in each.outputs),
        tuple(node for each in graphs for node in each.nodes),
    )
    inputs = [value for each in parts for value in each.inputs]
    return Recorded(parts[0].function, parts[0].args, graph, inputs, [])


def check(
    names: Sequence[str],
    dtype: np.dtype[Any],
    makes: Sequence[Make] = BOTH,
    lesser: Processor | None = None,
) -> None:
    entries = all_primitives()

    def errors(graph: Recorded) -> list[str]:
        return errors_of(graph, processor=lesser, narrowest=narrowest(dtype), exactly=False)

    parts = [each for name in names for each in recordings(entries[name], dtype, makes)]
    if parts and errors(together(parts)):
        # Which it was.
        assert not [
            f"{name} of {dtype}: {error}"
            for name in names
            for each in recordings(entries[name], dtype, makes)
            for error in errors(each)
        ]
        raise AssertionError("the entries are right one by one, and not together")


def narrowest(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    return dtype if dtype.kind == "f" else None


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("dtype", DTYPES, ids=[each.name for each in DTYPES])
def test_every_entry(dtype: np.dtype[Any], part: int) -> None:
    check(list(all_primitives())[part::PARTS], dtype)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are processors of this kind")
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("name", "dtype"), [("x86-64-v3", "f"), ("x86-64-v2", "d")])
def test_every_entry_on_lesser_processors(name: str, dtype: str, part: int) -> None:
    lesser = processor(host_processor().triple, name, LESSER[name])
    check(list(all_primitives())[part::PARTS], np.dtype(dtype), (value_of,), lesser)
