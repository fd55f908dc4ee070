"""Random programs that write: into arrays, views, views of views, in loops and under conditions.

A program is drawn statement by statement and run by NumPy as it is drawn, so that only what NumPy
accepts is kept, and every choice by value is far from a tie. Untraced it is the oracle of its
values, to the bit, and by differences in extended precision of its derivatives.

100,000 programs, some hours::

    pytest -m soak tests/differentiate/test_writing_programs.py
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pytest

import steepest as sd
from steepest.compiling import compile as compile_
from steepest.errors import (
    NeedsValueError,
    ShadowRunError,
    TracedConversionError,
    UnsupportedError,
)

T = TypeVar("T")

NUMBER_OF_PROGRAMS = 300
MOST_STATEMENTS = 14
LARGEST_SIZE = 30
LARGEST_VALUE = 50.0
MARGIN = 0.02

MAKING = (
    "np.zeros({shape}, DOUBLE)",
    "np.ones({shape}, DOUBLE)",
    "np.empty({shape}, DOUBLE); {name}[...] = {entry}",
    "np.full({shape}, {number}, DOUBLE)",
    "np.full({shape}, {entry})",
    "np.zeros_like({x})",
    "np.full_like({x}, {number})",
    "np.array({x})",
    "np.array([{entry}, {number}, {other}], DOUBLE)",
    "np.array([[{entry}, {other}], [{number}, {entry}]])",
    "np.array([{x}, {x}])",
    "{x}.copy()",
    "{x}.copy('F')",
    "np.linspace(0, 1, 4, dtype=DOUBLE)",
    "np.arange(4, dtype=DOUBLE) / 4",
    "np.eye(3, dtype=DOUBLE)",
    "np.ascontiguousarray({x})",
    "np.stack([{x}, {x}])",
    "{x}.flatten()",
)
COMPUTING = (
    "np.sin({x})",
    "{x} * {number}",
    "{x} + {x}.T",
    "{x} * {y}",
    "{y} - {x}",
    "np.tanh({x}) * {entry}",
    "np.cumsum({x})",
    "np.outer({x}, {y})",
    "np.concatenate([{x}, {x}])",
    "{x} @ {y}",
    "np.where({y} > 0, {x}, {y})",
)
VIEWING = (
    "{x}[1:]",
    "{x}[:-1]",
    "{x}[::-1]",
    "{x}[::2]",
    "{x}[0]",
    "{x}[-1]",
    "{x}[..., 0]",
    "{x}[:, 1]",
    "{x}[None]",
    "{x}[...]",
    "{x}.T",
    "{x}.reshape(-1)",
    "{x}.reshape(2, -1)",
    "{x}.reshape(-1, 2, order='F')",
    "{x}.ravel()",
    "np.ravel({x}, 'F')",
    "np.swapaxes({x}, 0, -1)",
    "np.moveaxis({x}, 0, -1)",
    "np.diagonal({x})",
    "np.squeeze({x})",
    "np.expand_dims({x}, 0)",
    "np.broadcast_to({x}, (2, *{x}.shape))",
    "np.flip({x}, 0)",
    "np.split({x}, 2)[1]",
    "np.asarray({x})",
    "np.atleast_2d({x})",
    "{x}.real",
    "{x}.view()",
    "[row for row in {x}][-1]",
    "np.rot90({x})",
)
WRITING = (
    "{x}[{position}] = {entry}",
    "{x}[{position}] += {entry} * {number}",
    "{x}[{position}] = {x}[0] * {number}",
    "{x}[1:] = {x}[:-1]",
    "{x}[1:] += {x}[:-1] * {number}",
    "{x}[:-1] *= {y}[1:]",
    "{x}[...] = {y}",
    "{x}[:] = {entry}",
    "{x}[::-1] = {y}",
    "{x}[:, 0] = {y}",
    "{x}[..., 1] -= {y}",
    "{x}[0] = {y}[0]",
    "{x}[[0, -1]] = {entry}",
    "{x}[[0, 1, 0]] = {y}[[1, 0, 1]]",
    "{x}[[1, 1]] += {y}[:2]",
    "{x}[[0, 1], [1, 0]] = {y}[:2]",
    "{x}[np.array([[0, 1], [1, 1]])] = {number}",
    "{x}[:, [0, 0]] = {y}[..., :2]",
    "{x} += {y}",
    "{x} *= {number}",
    "{x} -= {entry}",
    "{x} /= 1.5",
    "{x}.fill({entry})",
    "{x}.flat[{position}] = {entry}",
    "{x}.flat[1:3] = np.copy({y})",
    "np.add({x}, {y}, out={x})",
    "np.multiply({y}, {number}, out={x})",
    "np.sin({y}, {x})",
    "np.cumsum({x}, axis=-1, out={x})",
    "np.add.at({x}, [0, 1, 0], {y}[0])",
    "np.subtract.at({x}, ([0, 0], [1, 1]), {entry})",
    "np.multiply.at({x}, [0, 0], {number})",
    "np.copyto({x}, {y} * 1)",
    "np.put({x}, [0, -1, 0], [{entry}, {number}, {other}])",
    "np.fill_diagonal({x}, {entry})",
    "for i in range(1, len({x})): {x}[i] = {x}[i - 1] * {number} + {x}[i]",
    "for row in {x}: row *= {number}",
    "for row in {x}: row[...] = row[::-1] * {entry}",
    "{x}, {y} = {y}, {x}",
    "write_through({x}, {entry})",
    "OBJECT.values = {x}; OBJECT.values[0] = {entry}",
)
CHOOSING = (
    "{x}[{x} < 0] = {entry}",
    "{x}[{x} > 0] *= {number}",
    "{x}[np.abs({x}) > 0.3] = 0.1",
    "{x}[{x} > 0, ...] = {x}[{x} > 0] * {entry}",
    "np.putmask({x}, {x} < 0, {y})",
    "np.place({x}, {x} > 0, [{entry}, {number}])",
    "np.copyto({x}, {y} * 1, where={x} > 0)",
    "if {x}.flat[0] > 0: {x}[0] = {entry}",
    "while np.sum({x}) > 1: {x} *= 0.5",
)


class Holder:
    """An object that holds arrays, as a user's class does."""

    values: Any = None


def write_through(values: Any, entry: Any) -> None:
    """Write into an argument, as a function elsewhere does."""
    part = values[::2]
    part[...] = part * 0.5 + entry


def one_of(generator: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(generator.integers(len(options)))]


@dataclass
class Program:
    """A function under construction, with the values of its variables at one point."""

    inputs: list[np.ndarray]
    lines: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return list("ab"[: len(self.inputs)])

    def source(self, variables: Sequence[str]) -> str:
        return "\n".join(
            [
                f"def program({', '.join(self.names)}):",
                "    OBJECT = Holder()",
                *(f"    {line}" for line in self.lines),
                f"    return [{', '.join(variables)}]",
            ]
        )

    def function(
        self, variables: Sequence[str], *, extended: bool = False
    ) -> Callable[..., list[Any]]:
        scope: dict[str, Any] = {
            "np": np,
            "Holder": Holder,
            "write_through": write_through,
            "DOUBLE": np.longdouble if extended else np.float64,
        }
        exec(compile(self.source(variables), "<program>", "exec"), scope)
        function: Callable[..., list[Any]] = scope["program"]
        return function


def random_program(seed: int) -> tuple[Program, list[str]]:
    """Draw a program, and the names of its variables."""
    generator = np.random.default_rng(seed)
    length = int(generator.integers(2, MOST_STATEMENTS + 1))
    shapes: list[tuple[int, ...]] = [(4,), (3, 2), (2, 2), (3,), (2, 3, 2), (1,), (3, 3), ()]
    inputs = [
        np.asarray(np.round(generator.uniform(-1, 1, one_of(generator, shapes)), 3))
        for _ in range(2)
    ]
    program = Program(inputs)
    values: dict[str, Any] = dict(zip(program.names, [each.copy() for each in inputs], strict=True))
    scope: dict[str, Any] = {
        "np": np,
        "DOUBLE": np.float64,
        "write_through": write_through,
        "OBJECT": Holder(),
    }
    for _ in range(4 * length):
        if len(program.lines) >= length:
            break
        statement = drawn(generator, values, f"v{len(program.lines)}")
        if statement is None:
            continue
        # Whatever fails halfway would leave the values changed.
        before = {name: np.array(each) for name, each in values.items()}
        trial = dict(values)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                exec(statement, scope, trial)
        except (ValueError, IndexError, TypeError, AttributeError):
            if any(not np.array_equal(before[name], values[name]) for name in values):
                break
            continue
        made = {name: each for name, each in trial.items() if name[0] in "abv"}
        program.lines.append(statement)
        if any(
            np.size(each) > LARGEST_SIZE or not np.all(np.abs(each) < LARGEST_VALUE)
            for each in made.values()
        ):
            program.lines.pop()
            break
        values = made
    return program, list(values)


def drawn(generator: np.random.Generator, values: dict[str, Any], name: str) -> str | None:
    """Draw a statement; None where a choice in it would be near a tie."""
    names = list(values)
    recent = names + names[-3:]
    x, y, z = (one_of(generator, recent) for _ in range(3))
    kind = generator.random()
    family = (
        MAKING
        if kind < 0.15
        else COMPUTING
        if kind < 0.3
        else VIEWING
        if kind < 0.55
        else WRITING
        if kind < 0.92
        else CHOOSING
    )
    template = one_of(generator, family)
    if ">" in template or "<" in template:
        for each in (x, y):
            apart = np.abs(values[each])
            if np.any(apart < MARGIN) or np.any(np.abs(apart - 0.3) < MARGIN):
                return None
        if "while" in template and not np.abs(np.sum(values[x]) - 1) > MARGIN:
            return None
    statement = template.format(
        name=name,
        x=x,
        y=y,
        entry=entry_of(generator, z, values[z]),
        other=entry_of(generator, y, values[y]),
        number=round(float(generator.uniform(0.2, 0.9)), 2),
        position=one_of(generator, [0, -1, 1, "...", "slice(0, 1)", "None"]),
        shape=one_of(generator, ["(4,)", "(3, 2)", "(2, 2)", "(3, 3)", "()"]),
    )
    return statement if family in (WRITING, CHOOSING) else f"{name} = {statement}"


def entry_of(generator: np.random.Generator, name: str, value: Any) -> str:
    if not np.size(value):
        return "0.25"
    place = tuple(int(generator.integers(length)) for length in np.shape(value))
    return f"{name}[{', '.join(map(str, place))}]" if place else name


def weighted_sum(values: Sequence[Any]) -> Any:
    """Add up everything, each entry with a weight of its own, so that nothing goes unnoticed."""
    total: Any = 0.0
    for number, value in enumerate(values):
        weights = np.reshape(np.cos(np.arange(np.size(value)) + number), np.shape(value))
        total = total + np.sum(weights * value * (1 + value / 8))
    return total


def check(seed: int) -> None:
    program, variables = random_program(seed)
    try:
        check_values(program, variables)
        check_derivatives(program, variables, seed)
    except BaseException as error:
        if "destination is read-only" in str(error):
            # NumPy's ufunc.at writes also into memory that is read-only.
            assert ".at(" in program.source(variables)
            return
        error.add_note(f"seed {seed}\n{program.source(variables)}\n{program.inputs}")
        raise


def check_values(program: Program, variables: list[str]) -> None:
    function = program.function(variables)
    before = [each.copy() for each in program.inputs]
    expected = function(*(each.copy() for each in program.inputs))
    x = program.inputs
    traced = [sd.vjp(function, *x)[0], sd.jvp(function, x, x)[0]]
    traced.append(sd.jvp(lambda *x: sd.vjp(function, *x)[0], x, x)[0])
    for values in traced:
        for name, one, two in zip(variables, values, expected, strict=True):
            assert np.asarray(one).dtype == np.asarray(two).dtype, name
            assert np.shape(one) == np.shape(two), name
            # Products of matrices that lie otherwise round otherwise.
            np.testing.assert_allclose(one, two, rtol=1e-14, atol=1e-15, err_msg=name)
    # Not for a choice by value, or a reshape that may be a view. What the copy of a number is, and
    # what an array shares memory with, depends on the values: a run that parts says so.
    with contextlib.suppress(NeedsValueError, ShadowRunError):
        for name, one, two in zip(
            variables, compile_(function, engine="interpret")(*x), expected, strict=True
        ):
            np.testing.assert_allclose(one, two, rtol=1e-14, atol=1e-15, err_msg=name)
    for one, two in zip(x, before, strict=True):
        assert np.array_equal(one, two), "an argument, written into"


def check_derivatives(program: Program, variables: list[str], seed: int) -> None:
    generator = np.random.default_rng(seed)
    plain = program.function(variables)
    extended = program.function(variables, extended=True)
    x = [each.astype(np.longdouble) for each in program.inputs]
    along = [generator.uniform(-1, 1, each.shape) for each in x]

    def loss(*x: Any) -> Any:
        return weighted_sum(plain(*x))

    def slope(step: float) -> Any:
        ahead, back = (
            weighted_sum(
                extended(*(np.asarray(a + sign * step * b) for a, b in zip(x, along, strict=True)))
            )
            for sign in (1, -1)
        )
        return (ahead - back) / (2 * step)

    coarse, fine = slope(2.0**-12), slope(2.0**-13)
    numerical = (4 * fine - coarse) / 3
    gradients = sd.grad(loss, (0, 1))(*program.inputs)
    parts = [np.sum(g * b) for g, b in zip(gradients, along, strict=True)]
    size = 1 + sum(np.sum(np.abs(g * b)) for g, b in zip(gradients, along, strict=True))
    tolerance = 1e-9 * float(size) + 4 * float(abs(fine - coarse)) ** 1.5
    assert abs(sum(parts) - numerical) < tolerance, f"{sum(parts)} instead of {numerical}"
    pushed = sd.jvp(loss, program.inputs, along)[1]
    assert abs(pushed - sum(parts)) < 1e-11 * size
    if seed % 4:
        return
    # A second derivative, forward over reverse and reverse over reverse.
    one = sd.jvp(sd.grad(loss, (0, 1)), program.inputs, along)[1]
    two = sd.grad(
        lambda *x: sum(
            np.sum(g * b) for g, b in zip(sd.grad(loss, (0, 1))(*x), along, strict=True)
        ),
        (0, 1),
    )(*program.inputs)
    for first, second in zip(one, two, strict=True):
        scale = 1 + np.max(np.abs(first), initial=0)
        assert np.all(np.abs(first - second) < 1e-10 * scale), f"{first} instead of {second}"


@pytest.mark.parametrize("block", range(10))
def test_random_programs_that_write(block: int) -> None:
    for seed in range(block, NUMBER_OF_PROGRAMS, 10):
        check(seed)


# Each went wrong once: a number's flat and view, an array that repeats by strides of 0, an empty
# value through flat.
WENT_WRONG = (
    88500,
    14803,
    8840,
    93873,
    26335,
    29904,
    8829,
    19581,
    32115,
    53241,
    22758,
    81012,
    36185,
    28844,
    92536,
)


@pytest.mark.parametrize("seed", WENT_WRONG)
def test_programs_that_went_wrong(seed: int) -> None:
    check(seed)


@pytest.mark.soak
@pytest.mark.parametrize("block", range(100))
def test_very_many_random_programs_that_write(block: int) -> None:
    refused = 0
    for seed in range(1000 + block, 101_000, 100):
        try:
            check(seed)
        except (UnsupportedError, TracedConversionError):
            # A write into what NumPy made of numbers of the program's own.
            refused += 1
    assert refused <= 10


def test_programs_are_of_every_kind() -> None:
    programs = [random_program(seed)[0] for seed in range(2 * NUMBER_OF_PROGRAMS)]
    sources = "\n".join(line for each in programs for line in each.lines)
    for template in (*MAKING, *COMPUTING, *VIEWING, *WRITING, *CHOOSING):
        piece = max(re.split(r"\{\w+\}", template), key=len)
        assert piece in sources, template
