"""Random NumPy programs: traced against plain, exact against numerical, compiled against not.

A program is the source of an ordinary function, drawn statement by statement. Every value is
known while it is drawn, so that domains are kept to and no comparison is near a tie.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from tests.differences import assert_within, gradient_by_differences, in_extended_precision

import steepest as sd
from steepest.compiling import compile as compile_

T = TypeVar("T")

NUMBER_OF_PROGRAMS = 300
MOST_STATEMENTS = 10
LARGEST_VALUE = 4.0
LARGEST_SIZE = 60
MARGIN = 0.02
"""How far values stay from where a choice is made."""

FIRST_STEP = 2.0**-14
"""Of the differences: too small to take a value across the margin, unless slopes reach 300."""

# -- programs ---------------------------------------------------------------------------------


@dataclass
class Program:
    """A function under construction, with the values of its variables at one point.

    Attributes
    ----------
    inputs : list of ndarray
    lines : list of str
        The statements so far; statement i assigns to ``v<i>``.
    values : dict
        Of every variable, by name.
    needs_values : bool
        Whether shapes alone are not enough to record it.
    """

    inputs: list[np.ndarray]
    lines: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    needs_values: bool = False

    @property
    def parameters(self) -> list[str]:
        return list("abcd"[: len(self.inputs)])

    def evaluate(self, expression: str) -> Any:
        return eval(expression, namespace(), dict(self.values))

    def assign(self, expression: str) -> None:
        """Add a statement, and keep its value within bounds."""
        value = self.evaluate(expression)
        largest = np.max(np.abs(value), initial=0)
        if largest > LARGEST_VALUE:
            expression = f"({expression}) / {math.ceil(largest)}"
            value = self.evaluate(expression)
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        self.values[name] = value

    @property
    def source(self) -> str:
        """The function, which returns all of its variables, and their weighted sum."""
        names = [f"v{number}" for number in range(len(self.lines))]
        return "\n".join(
            [
                f"def program({', '.join(self.parameters)}):",
                *(f"    {line}" for line in self.lines),
                f"    return ({', '.join(names)},)",
                f"def loss({', '.join(self.parameters)}):",
                f"    return weighted_sum(program({', '.join(self.parameters)}))",
            ]
        )

    def functions(self, *, extended: bool = False) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Make the program and the loss.

        Parameters
        ----------
        extended : bool
            Whether casts are to extended precision instead, in which differences can be taken.
        """
        scope = namespace(extended=extended)
        exec(compile(self.source, "<program>", "exec"), scope)
        return scope["program"], scope["loss"]


def weighted_sum(values: Sequence[Any]) -> Any:
    """Add up everything, each entry with a weight of its own, so that nothing goes unnoticed."""
    total: Any = 0.0
    for number, value in enumerate(values):
        size = math.prod(value.shape)
        weights = np.reshape(np.cos(np.arange(size) + number), value.shape)
        total = total + np.sum(weights * value * (1 + value / 4))
    return total


def namespace(*, extended: bool = False) -> dict[str, Any]:
    return {
        "np": np,
        "weighted_sum": weighted_sum,
        "SINGLE": np.longdouble if extended else np.float32,
        "DOUBLE": np.longdouble if extended else np.float64,
    }


# -- statements -------------------------------------------------------------------------------

# Smooth where |x| ≤ 4, and no larger than that by much.
SMOOTH = (
    "np.sin({x})",
    "np.cos({x})",
    "np.tanh({x})",
    "np.arctan({x})",
    "np.arcsinh({x})",
    "np.square({x})",
    "{x}**2",
    "{x}**3 / 16",
    "(1.5 + np.sin({x}))**1.5",
    "2.0**{x}",
    "np.exp(-{x} * {x})",
    "np.exp({x} / 4)",
    "np.exp2({x} / 4)",
    "np.expm1({x} / 4)",
    "np.log1p({x} * {x})",
    "np.log(5 + {x})",
    "np.log2(5 + {x})",
    "np.log10(5 + {x})",
    "np.sqrt(1 + {x}**2)",
    "np.cbrt(5 + {x})",
    "np.tan(np.sin({x}))",
    "np.arcsin(0.9 * np.sin({x}))",
    "np.arccos(0.9 * np.cos({x}))",
    "np.arctanh(0.9 * np.tanh({x}))",
    "np.arccosh(1.5 + {x} * {x})",
    "np.sinh({x} / 2)",
    "np.cosh({x} / 2)",
    "np.reciprocal(5 + {x})",
    "1 / (1 + {x} * {x})",
    "-{x}",
    "+{x}",
    "3 - {x}",
    "{x} * 0.5",
    "0.5 * {x} + 1",
    "np.deg2rad({x}) * 10",
    "np.hypot(1, {x})",
    "np.sinc({x} / 4 + 0.1)",
    "np.float64(0.5) * {x}",
    "{x}.copy()",
    "np.positive({x}).conj()",
)
# Between two values whose shapes broadcast.
PAIRED = (
    "{x} + {y}",
    "{x} - {y}",
    "{x} * {y}",
    "{x} / (5 + {y})",
    "np.multiply({x}, {y})",
    "np.power(5 + {x}, {y} / 4)",
    "(1.5 + np.sin({x})) ** {y}",
    "np.logaddexp({x}, {y})",
    "np.logaddexp2({x}, {y})",
    "np.arctan2({x}, 5 + {y})",
    "np.hypot({x}, 5 + {y})",
    "np.add({x}, {y}, dtype=DOUBLE)",
    "np.outer({x}, {y})[:5, :5]",
    "{x} * np.sum({y})",
)
# Piecewise, with the boundary in braces {kink}: all of it stays away from 0.
CHOOSING = (
    ("np.abs({x})", "{x}"),
    ("abs({x})", "{x}"),
    ("np.fabs({x})", "{x}"),
    ("np.sign({x}) * {x}", "{x}"),
    ("np.maximum({x}, {y})", "{x} - {y}"),
    ("np.minimum({x}, {y})", "{x} - {y}"),
    ("np.fmax({x}, {y})", "{x} - {y}"),
    ("np.fmin({x}, {y})", "{x} - {y}"),
    ("np.where({x} > {y}, {x}, {y} / 2)", "{x} - {y}"),
    ("np.where({x} > 0, np.log(np.where({x} > 0, {x}, 1)), {y})", "{x}"),
    ("np.where({x} > 0, np.sqrt(np.abs({x})), {y})", "{x}"),
    ("np.where(np.less_equal({x}, {y}), np.sin({x}), 0.5)", "{x} - {y}"),
    ("np.clip({x}, -1, 1.5)", "({x} + 1) * ({x} - 1.5) / 4"),
    ("{x}.clip(-2)", "{x} + 2"),
    ("np.remainder({x}, 2.0)", "np.sin({x} * np.pi / 2) / 2"),
    ("np.fmod({x}, 2.0)", "np.sin({x} * np.pi / 2) / 2"),
    ("np.floor({x}) * {x}", "np.sin({x} * np.pi) / 4"),
    ("np.heaviside({x}, 0.5) * {x}", "{x}"),
    ("np.copysign({x}, {y})", "np.minimum(np.abs({x}), np.abs({y}))"),
)
MOVING = (
    "{x}.T",
    "np.transpose({x})",
    "np.ravel({x})",
    "{x}.reshape(-1)",
    "np.reshape({x}, (1,) + {x}.shape)",
    "{x}[None]",
    "{x}[..., None]",
    "np.expand_dims({x}, 0)",
    "np.squeeze({x})",
    "np.flip({x})",
    "np.broadcast_to({x}, (2,) + {x}.shape)",
    "np.stack([{x}, {x} * 2])",
    "np.tile({x}, 2)",
    "np.repeat({x}, 2)",
    "np.atleast_1d({x})",
    "{x}.astype(SINGLE)",
    "{x}.astype(np.longdouble)",
    "{x}.flatten()",
    "np.diag(np.ravel({x})[:4])",
    "np.copy({x})",
)
# For at least one axis, with {axis} a valid one.
ALONG_AXIS = (
    "np.sum({x}, axis={axis})",
    "{x}.sum({axis}, keepdims=True)",
    "np.cumsum({x}, axis={axis})",
    "np.flip({x}, {axis})",
    "np.roll({x}, 1, axis={axis})",
    "np.concatenate([{x}, np.sin({x})], axis={axis})",
    "np.moveaxis({x}, {axis}, 0)",
    "np.swapaxes({x}, {axis}, -1)",
    "np.pad({x}, 1)",
    "{x}[::-1]",
    "{x}[1:]",
    "{x}[..., :2]",
    "np.repeat({x}, 2, axis={axis})",
    "np.linalg.norm({x} + 5, axis={axis})",
)
# For an axis along which there is something.
ALONG_FILLED_AXIS = (
    "np.logaddexp.reduce({x}, axis={axis})",
    "{x} - np.mean({x})",
    "np.stack([np.sum({x}), np.mean({x} * {x})])",
    "np.mean({x}, axis={axis})",
    "{x}.mean({axis}, keepdims=True)",
    "np.prod({x} / 2, axis={axis})",
    "np.var({x}, axis={axis})",
    "np.var({x}, axis={axis}, ddof=-1, keepdims=True)",
    "np.take({x}, [0, 0, -1], axis={axis})",
    "np.split({x}, [1], axis={axis})[0]",
    "np.swapaxes({x}, {axis}, 0)[[0, -1, 0]]",
    "np.swapaxes({x}, {axis}, 0)[-1]",
    "np.swapaxes({x}, {axis}, 0)[np.arange({x}.shape[{axis}]) % 2 == 0]",
)
# Values that are apart, so that no two compete for the place of the largest.
APART = (
    "np.max({x}, axis={axis})",
    "{x}.min(axis={axis}, keepdims=True)",
    "np.std({x}, axis={axis})",
    "np.ravel({x})[np.argmax({x})]",
)
MATRICES = (
    "{x} @ {y}",
    "np.matmul({x}, {y})",
    "np.dot({x}, {y})",
    "np.einsum('...i,i...->...', {x}, {y})",
    "np.tensordot({x}, {y}, axes=1)",
)
SQUARE = (
    "np.trace({x})",
    "np.tril({x})",
    "np.triu({x}, 1)",
    "np.diag({x})",
    "np.einsum('ij,ji->i', {x}, {x})",
    "np.einsum('ij,ik->jk', {x}, {x})",
    "np.inner({x}, {x})",
    "np.vdot({x}, {x})",
    "{x} @ {x}.T",
)
# Whose shape or order depends on values, so that shapes alone are not enough to record them.
VALUED = (
    "{x}[{x} > 0]",
    "np.take_along_axis({x}, np.argsort({x}, axis={axis}), axis={axis})",
)
CONTRACTED = re.compile("einsum")
AUGMENTED = ("+=", "-=", "*=")


def broadcast(one: Any, two: Any) -> bool:
    try:
        return math.prod(np.broadcast_shapes(np.shape(one), np.shape(two))) <= LARGEST_SIZE
    except ValueError:
        return False


def apart(values: Any, axis: int) -> bool:
    """Whether all entries along an axis are well apart."""
    gaps = np.diff(np.sort(values, axis=axis), axis=axis)
    return bool(np.all(gaps > MARGIN)) and bool(np.all(np.diff(np.sort(values, axis=None)) > 0))


def random_program(seed: int, length: int) -> Program:
    """Make a program, and the point at which it is differentiated.

    The first statements of a longer program with the same seed are those of a shorter one, so
    that Hypothesis finds the shortest that fails.
    """
    generator = np.random.default_rng(seed)
    full = generator.integers(1, 4, one_of(generator, [0, 1, 2, 2, 3, 3])).tolist()
    inputs = []
    for _ in range(generator.integers(1, 4)):
        # Shapes that broadcast with each other: some axes less, some of length 1, rarely none.
        missing = max(0, generator.integers(-len(full), len(full) + 1))
        shape = [1 if generator.random() < 0.2 else length for length in full[missing:]]
        if shape and generator.random() < 0.05:
            shape[generator.integers(len(shape))] = 0
        inputs.append(np.asarray(np.round(generator.uniform(-2, 2, shape), 3)))
    program = Program(inputs)
    program.values = dict(zip(program.parameters, inputs, strict=True))
    while len(program.lines) < length:
        add_statement(program, generator)
    return program


programs = st.builds(random_program, st.integers(0, 2**32 - 1), st.integers(1, MOST_STATEMENTS))


def one_of(generator: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(generator.integers(len(options)))]


def add_statement(program: Program, generator: np.random.Generator) -> None:
    """Add a statement, or none when what was drawn does not fit the values."""
    names = list(program.values)
    # Recent values more often, so that programs grow deep as well as wide.
    x = one_of(generator, names + names[-3:])
    value = np.asarray(program.values[x])
    partners = [name for name in names if broadcast(value, program.values[name])]
    families: list[tuple[str, ...]] = [SMOOTH, MOVING]
    if partners:
        families += [PAIRED, PAIRED, tuple(each for each, _ in CHOOSING), AUGMENTED]
    if value.ndim:
        families += [ALONG_AXIS]
        if value.size:
            families += [ALONG_FILLED_AXIS, APART]
    if value.ndim == 2 and value.shape[0] == value.shape[1]:
        families += [SQUARE]
    fitting = [
        name
        for name in names
        if value.ndim in {1, 2}
        and np.ndim(program.values[name]) in {1, 2}
        and value.shape[-1] == np.shape(program.values[name])[0]
    ]
    if fitting:
        families += [MATRICES, MATRICES]
    if value.ndim and value.size and generator.random() < 0.1:
        families += [VALUED]
    family = one_of(generator, families)
    template = one_of(generator, family)
    axis = int(generator.integers(-value.ndim, value.ndim)) if value.ndim else 0
    y = one_of(generator, fitting if family is MATRICES else partners or [x])
    if family is AUGMENTED:
        add_augmented(program, template, x, y)
        return
    if family in (APART, VALUED) and not apart(value, axis):
        return
    if family is APART and value.shape[axis] < 2 and "std" in template:
        return
    if family is VALUED:
        if np.any(np.abs(value) < MARGIN):
            return
        program.needs_values = True
    for expression, kink in CHOOSING:
        if expression == template:
            distance = program.evaluate(kink.format(x=x, y=y))
            if np.any(np.abs(distance) < MARGIN):
                return
    expression = template.format(x=x, y=y, axis=axis)
    try:
        result = program.evaluate(expression)
    except ValueError:  # NumPy's own: these shapes do not fit.
        return
    if np.size(result) > LARGEST_SIZE or np.ndim(result) > 4:
        return
    program.assign(expression)


def add_augmented(program: Program, operator: str, x: str, y: str) -> None:
    """Assign in place, to an array of the program's own."""
    one, two = program.values[x], program.values[y]
    if np.ndim(one) == 0 or np.broadcast_shapes(np.shape(one), np.shape(two)) != np.shape(one):
        return
    if not np.can_cast(np.asarray(two).dtype, np.asarray(one).dtype, "same_kind"):
        return
    program.assign(f"{x} * 0.5")
    name = f"v{len(program.lines) - 1}"
    program.lines[-1] += f"; {name} {operator} {y} / 4"
    change = {"+=": np.add, "-=": np.subtract, "*=": np.multiply}[operator]
    program.values[name] = change(program.values[name], two / 4).astype(np.asarray(one).dtype)


# -- checks -----------------------------------------------------------------------------------


def assert_same(actual: Any, expected: Any, what: str) -> None:
    assert np.asarray(actual).dtype == np.asarray(expected).dtype, what
    assert np.shape(actual) == np.shape(expected), what
    assert np.array_equal(actual, expected, equal_nan=True), f"{what}: {actual} not {expected}"


def assert_rounded(actual: Any, expected: Any, what: str, *, single: bool) -> None:
    assert np.asarray(actual).dtype == np.asarray(expected).dtype, what
    assert np.shape(actual) == np.shape(expected), what
    # A contraction earlier in the program may have been rounded in a narrower dtype.
    narrowest = np.float32 if single else np.float64
    tolerance = 100 * max(np.finfo(actual.dtype).eps, np.finfo(narrowest).eps)
    assert np.allclose(actual, expected, rtol=tolerance, atol=tolerance), what


def comparison(program: Program) -> Callable[[Any, Any, str], None]:
    """Choose how values must agree: contractions may be made of others than NumPy's."""
    if CONTRACTED.search(program.source):
        return partial(assert_rounded, single="SINGLE" in program.source)
    return assert_same


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    for one, two in zip(actual, expected, strict=True):
        assert np.asarray(one).dtype == np.asarray(two).dtype
        assert np.shape(one) == np.shape(two)
        size = np.max(np.abs(two), initial=1.0)
        assert np.all(np.abs(one - two) <= tolerance * size), f"{one} instead of {two}"


def check(program: Program) -> None:
    """Check all that is promised of a function, on one program."""
    note(program.source)
    check_values(program)
    check_derivatives(program)
    if not program.needs_values:
        check_compiled(program)


def check_values(program: Program) -> None:
    function, loss = program.functions()
    x = program.inputs
    before = [each.copy() for each in x]
    expected = function(*x)
    same = comparison(program)
    for traced in (sd.vjp(function, *x)[0], sd.jvp(function, x, x)[0]):
        for number, (one, two) in enumerate(zip(traced, expected, strict=True)):
            same(one, two, f"v{number}")
    positions = tuple(range(len(x)))
    same(sd.value_and_grad(loss, positions)(*x)[0], loss(*x), "loss")
    for each, old in zip(x, before, strict=True):
        assert_same(each, old, "an argument, written into")


def check_derivatives(program: Program) -> None:
    _, loss = program.functions()
    function, exact_loss = program.functions(extended=True)
    positions = tuple(range(len(program.inputs)))
    raised = [in_extended_precision(each) for each in program.inputs]
    gradient = sd.grad(exact_loss, positions)

    values, errors = gradient_by_differences(lambda x: exact_loss(*x), raised, FIRST_STEP)
    exact = gradient(*raised)
    for one, two, error in zip(exact, values, errors, strict=True):
        assert_within(one, two, error, rounding=1e-15)

    # In the precision of the program itself.
    single = "SINGLE" in program.source
    given = sd.grad(loss, positions)(*program.inputs)
    for one, two in zip(given, exact, strict=True):
        assert one.dtype == np.float64
        assert_within(one, two, 0.0, rounding=1e-3 if single else 1e-10)

    generator = np.random.default_rng(0)
    direction = tuple(generator.uniform(-1, 1, each.shape) for each in raised)

    def slope(x: tuple[Any, ...]) -> Any:
        along = zip(direction, gradient(*x), strict=True)
        return sum(np.sum(weights * each) for weights, each in along)

    # The slope's terms round more than their sum, which the differences know; a step magnifies it.
    terms = sum(
        np.sum(np.abs(weights * each))
        for weights, each in zip(direction, gradient(*raised), strict=True)
    )
    lost = np.finfo(np.asarray(slope(tuple(raised))).dtype).eps * terms / FIRST_STEP
    second, errors = gradient_by_differences(slope, raised, FIRST_STEP)
    product = sd.hvp(lambda x: exact_loss(*x), tuple(raised), direction)
    for one, two, error in zip(product, second, errors, strict=True):
        assert_within(one, two, error + lost, rounding=1e-14)

    value, pushed = sd.jvp(function, raised, direction)
    _, pullback = sd.vjp(function, *raised)
    cotangents = tuple(
        np.asarray(generator.uniform(-1, 1, each.shape)).astype(each.dtype)[()] for each in value
    )
    pulled = pullback(cotangents)
    ahead = sum(np.sum(w * t) for w, t in zip(cotangents, pushed, strict=True))
    back = sum(np.sum(w * t) for w, t in zip(pulled, direction, strict=True))
    size = 1 + sum(np.sum(np.abs(w * t)) for w, t in zip(pulled, direction, strict=True))
    assert abs(ahead - back) <= 1e-14 * size


def check_compiled(program: Program) -> None:
    function, loss = program.functions()
    x = program.inputs
    same = comparison(program)
    # To the bit by the reference engine; tests/engines/native runs these programs natively.
    compiled = compile_(function, engine="interpret")
    for number, (one, two) in enumerate(zip(compiled(*x), function(*x), strict=True)):
        same(one, two, f"v{number}, compiled")
    positions = tuple(range(len(x)))
    expected = sd.grad(loss, positions)(*x)
    single = "SINGLE" in program.source
    for transformed in (
        compile_(sd.grad(loss, positions), engine="interpret"),
        sd.grad(compile_(loss, engine="interpret"), positions),
    ):
        assert_close(transformed(*x), expected, 1e-5 if single else 1e-13)


@given(programs)
@settings(max_examples=NUMBER_OF_PROGRAMS)
def test_random_programs(program: Program) -> None:
    check(program)


@pytest.mark.soak
@given(programs)
def test_very_many_random_programs(program: Program) -> None:
    check(program)


def test_programs_are_of_every_kind() -> None:
    drawn = [random_program(seed, MOST_STATEMENTS) for seed in range(NUMBER_OF_PROGRAMS)]
    shapes = {each.shape for program in drawn for each in program.inputs}
    assert {(), (1,), (3,), (2, 3), (3, 1, 2)} <= shapes
    assert any(0 in shape for shape in shapes)
    sources = "\n".join(program.source for program in drawn)
    templates = [*SMOOTH, *PAIRED, *MOVING, *ALONG_AXIS, *ALONG_FILLED_AXIS, *APART, *MATRICES]
    templates += [*SQUARE, *VALUED, *AUGMENTED, *(template for template, _ in CHOOSING)]
    for template in templates:
        # The longest piece of it that stands in a program as it is.
        piece = max(re.split(r"\{\w+\}", template), key=len)
        assert piece in sources, template
