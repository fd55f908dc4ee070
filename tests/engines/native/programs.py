"""Random programs for the native engine, and how its results are compared.

A program is a list of steps on a growing list of values. Only a few values are returned, so that
most are free to be fused. Every value is known while the program is drawn, so that magnitudes stay
within bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

import steepest as sd
from steepest.compiling import is_dynamic, record
from steepest.engines import Interpreter
from steepest.engines.native.calling import Flags
from steepest.engines.native.formulas import rewrite_formulas
from steepest.engines.native.fuse import fuse
from steepest.engines.native.layout import lay_out
from steepest.engines.native.nests import Program
from steepest.engines.native.processor import Processor
from steepest.engines.native.program import Native
from steepest.engines.native.rounds import arrange_rounds
from steepest.engines.native.simplify import simplify
from steepest.engines.native.verify import verify
from steepest.graph import ArrayType, Constant, Graph, Input, Node
from steepest.ops import primitive
from steepest.ops.index import INDEX
from steepest.tree import flatten

T = TypeVar("T")

LENGTHS = (1, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100)
"""Around the widths of vectors."""
LARGEST_SIZE = 12_000
LARGEST_VALUE = 50.0
LESSER = {"x86-64-v3": "+avx2,+fma", "x86-64-v2": "+sse4.2"}
"""Processors without masks, and their features."""
SPECIAL = (np.nan, np.inf, -np.inf, -0.0, 0.0)

# -- making ------------------------------------------------------------------------------------


@dataclass
class Step:
    """Apply a function to some of the values so far, and to arrays that it captures."""

    function: Callable[..., Any]
    args: tuple[int, ...]
    captured: tuple[Any, ...] = ()


@dataclass
class RandomProgram:
    """A program under construction, and its values at its inputs.

    Attributes
    ----------
    inputs : list of ndarray
    values : list
        Of the inputs and of each step.
    """

    seed: int
    dtype: np.dtype[Any]
    inputs: list[Any]
    steps: list[Step] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        """Run the program; in extended precision if its inputs are."""
        extended = any(getattr(each, "dtype", None) == np.longdouble for each in inputs)
        values = list(inputs)
        for step in self.steps:
            captured = [in_extended(each) if extended else each for each in step.captured]
            values.append(step.function(*[values[each] for each in step.args], *captured))
        return tuple(values[each] for each in self.returned)

    @property
    def differentiable(self) -> tuple[int, ...]:
        return tuple(i for i, each in enumerate(self.inputs) if np.asarray(each).dtype.kind == "f")

    def loss(self, *inputs: Any) -> Any:
        """Add up the results, each entry with a weight of its own."""
        total: Any = 0.0
        for number, value in enumerate(self(*inputs)):
            if value.dtype.kind == "f":
                weights = np.reshape(
                    np.cos(np.arange(math.prod(value.shape)) + number), value.shape
                )
                total = total + np.sum(weights.astype(value.dtype) * value)
        return total

    def gradient(self, *inputs: Any) -> Any:
        return sd.grad(self.loss, self.differentiable)(*inputs)

    def second(self, *inputs: Any) -> Any:
        """Differentiate the gradient's sum once more."""

        def slope(*inputs: Any) -> Any:
            return sum(np.sum(each * 0.5) for each in self.gradient(*inputs))

        return sd.grad(slope, self.differentiable)(*inputs)


def in_extended(value: Any) -> Any:
    """Bring floating-point numbers to extended precision."""
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind == "f":
        return value.astype(np.longdouble)
    return value


def random_program(seed: int, *, special: bool = False, length: int | None = None) -> RandomProgram:
    """Draw a program.

    Parameters
    ----------
    special : bool
        Whether there are NaN, infinities and zeros among the numbers.
    """
    rng = np.random.default_rng([seed, special])
    dtype = np.dtype(one_of(rng, [np.float32, np.float64]))
    pool = [one_of(rng, LENGTHS) for _ in range(3)]
    if rng.random() < 0.05:
        pool[0] = 0
    inputs: list[Any] = []
    for _ in range(int(rng.integers(1, 4))):
        shape = tuple(one_of(rng, pool) for _ in range(one_of(rng, [0, 1, 2, 2, 2, 3])))
        while math.prod(shape) > LARGEST_SIZE:
            shape = shape[1:]
        inputs.append(numbers(rng, shape, dtype, special))
    program = RandomProgram(seed, dtype, inputs, values=list(inputs))
    if rng.random() < 0.3:
        shape = tuple(one_of(rng, pool) for _ in range(int(rng.integers(1, 3))))
        if math.prod(shape) <= LARGEST_SIZE:
            integers = rng.integers(-9, 10, shape).astype(one_of(rng, [np.int64, np.int32]))
            program.inputs.append(integers)
            program.values.append(integers)
    if rng.random() < 0.2:
        number = float(np.round(rng.uniform(-2, 2), 2))
        program.inputs.append(number)
        program.values.append(number)
    wanted = length or int(rng.integers(2, 14))
    for _ in range(200):
        if len(program.steps) >= wanted:
            break
        add_step(program, rng, pool, special)
    first = len(program.inputs)
    count = len(program.values)
    chosen = {count - 1, *(int(each) for each in rng.integers(min(first, count - 1), count, 2))}
    program.returned = sorted(chosen)
    return program


def one_of(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def numbers(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any], special: bool
) -> Any:
    """Draw numbers; as a view with gaps, or in another order, now and then."""
    kind = rng.integers(5)
    if kind == 0 and shape:
        wide = rng.uniform(-2, 2, (*shape[:-1], 2 * shape[-1])).astype(dtype)
        value = wide[..., ::-2]
    elif kind == 1 and len(shape) > 1:
        value = np.asarray(rng.uniform(-2, 2, shape[::-1]).astype(dtype)).T
    else:
        value = np.asarray(rng.uniform(-2, 2, shape)).astype(dtype)
    if special and value.size and rng.random() < 0.7:
        places = rng.random(shape) < one_of(rng, [0.03, 0.3])
        value[places] = rng.choice(SPECIAL, int(np.count_nonzero(places)))
    return value if shape else value[()]


def add_step(
    program: RandomProgram, rng: np.random.Generator, pool: Sequence[int], special: bool
) -> None:
    """Add a step, or none if what was drawn does not fit."""
    family = one_of(rng, FAMILIES)
    draft = Draft(program, rng, pool, special)
    try:
        step = family(draft)
        if step is None:
            return
        with np.errstate(all="ignore"):
            value: Any = step.function(
                *[program.values[each] for each in step.args], *step.captured
            )
    except (AttributeError, IndexError, TypeError, ValueError):  # these do not fit
        return
    if not hasattr(value, "dtype") and type(value) is not float:
        return
    if np.size(value) > LARGEST_SIZE:
        return
    if np.ndim(value) > 4:
        return
    program.steps.append(step)
    program.values.append(value)
    array = np.asarray(value)
    if array.dtype.kind == "f":
        sizes = np.abs(array[np.isfinite(array)])
        largest = float(np.max(sizes, initial=0))
        if largest > LARGEST_VALUE:
            divisor = float(math.ceil(largest / LARGEST_VALUE))
            program.steps.append(Step(lambda x: x / divisor, (len(program.values) - 1,)))
            with np.errstate(all="ignore"):
                program.values.append(value / divisor)


@dataclass
class Draft:
    """What a step is drawn with."""

    program: RandomProgram
    rng: np.random.Generator
    pool: Sequence[int]
    special: bool

    def pick(self, kinds: str = "f", least: int = 0) -> int | None:
        """Choose a value by the kind of its dtype and its number of axes; a recent one, rather."""
        values = self.program.values
        fitting = [
            place
            for place, each in enumerate(values)
            if np.asarray(each).dtype.kind in kinds and np.ndim(each) >= least
        ]
        return one_of(self.rng, fitting + fitting[-3:]) if fitting else None

    def shape(self, place: int) -> tuple[int, ...]:
        return np.shape(self.program.values[place])

    def partner(self, place: int, kinds: str = "f") -> int | None:
        """Choose a value that broadcasts with another."""
        values = self.program.values
        fitting = []
        for other, value in enumerate(values):
            if np.asarray(value).dtype.kind not in kinds:
                continue
            try:
                shape = np.broadcast_shapes(np.shape(value), self.shape(place))
            except ValueError:
                continue
            if math.prod(shape) <= LARGEST_SIZE:
                fitting.append(other)
        return one_of(self.rng, fitting) if fitting else None

    def axes(self, ndim: int) -> tuple[int, ...]:
        chosen = [axis for axis in range(ndim) if self.rng.random() < 0.5]
        return tuple(axis - ndim * bool(self.rng.integers(2)) for axis in chosen)

    def numbers(self, shape: tuple[int, ...]) -> Any:
        return numbers(self.rng, shape, self.program.dtype, self.special)

    def index(self, shape: tuple[int, ...], length: int) -> Any:
        """Draw indices, negative ones and repeated ones among them."""
        if not length:
            raise IndexError
        index = self.rng.integers(-length, length, shape)
        return index.astype(one_of(self.rng, [np.int64, np.int64, np.int32]))


UNARY: tuple[Callable[[Any], Any], ...] = (
    lambda x: -x,
    lambda x: np.exp(x * 0.25),
    np.tanh,
    np.sin,
    lambda x: np.sqrt(np.abs(x) + 0.5),
    lambda x: np.log(np.abs(x) + 0.5),
    lambda x: np.log1p(x * x),
    np.square,
    np.abs,
    np.sign,
    lambda x: x * 0.5 + 1,
    lambda x: 1 / (1 + np.exp(-x)),
    lambda x: np.maximum(x, 0),
    lambda x: np.clip(x, -1, 1.5),
    lambda x: np.where(x > 0, np.log(x), -x),
    lambda x: np.where(x > 0, np.sqrt(x), 0.0),
    lambda x: np.where(np.isfinite(x), x, 0.25),
    lambda x: x / (x * x + 1),
    lambda x: x**3,
    lambda x: x * (x > 0.3),
    lambda x: np.floor(x * 4.3) * x,
    lambda x: x.astype(np.float64) if x.dtype != np.longdouble else x,
    lambda x: x + (x.astype(np.float32) if x.dtype != np.longdouble else x),
    np.isnan,
    lambda x: x > 0.1,
    lambda x: np.copysign(np.where(np.isnan(x), 1, x), -0.0),  # NaN may have any sign
)
BINARY: tuple[Callable[[Any, Any], Any], ...] = (
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / (np.abs(y) + 0.5),
    np.maximum,
    np.minimum,
    lambda x, y: np.where(x > y, x, y * 0.5),
    lambda x, y: np.where(y > 0, x, x * x),
    np.arctan2,
    lambda x, y: np.hypot(x, np.abs(y) + 1),
    lambda x, y: np.where(x < y, x, np.nan),
    lambda x, y: np.logaddexp(x, y),
    lambda x, y: x <= y,
)
INTEGER: tuple[Callable[[Any, Any], Any], ...] = (
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y % 11,
    lambda x, y: x // (np.abs(y) + 1),
    lambda x, y: x % (np.abs(y) + 2),
    lambda x, y: x & y,
    lambda x, y: x | (y ^ 3),
    lambda x, y: np.maximum(x, y),
    lambda x, y: np.where(x > y, x, -y),
    lambda x, y: (x > y) | (y == 2),
)


def unary(d: Draft) -> Step | None:
    x = d.pick()
    return None if x is None else Step(one_of(d.rng, UNARY), (x,))


def binary(d: Draft) -> Step | None:
    x = d.pick()
    y = None if x is None else d.partner(x)
    return None if x is None or y is None else Step(one_of(d.rng, BINARY), (x, y))


def with_captured(d: Draft) -> Step | None:
    """Meet an array that the program captures, of lengths 1 here and there."""
    x = d.pick()
    if x is None:
        return None
    shape = [1 if d.rng.random() < 0.3 else length for length in d.shape(x)]
    captured = d.numbers(tuple(shape[int(d.rng.integers(len(shape) + 1)) :]))
    return Step(one_of(d.rng, BINARY[:8]), (x,), (captured,))


def integers(d: Draft) -> Step | None:
    x = d.pick("i")
    y = None if x is None else d.partner(x, "i")
    if x is None or y is None:
        return None
    function = one_of(d.rng, INTEGER)
    return Step(function, (x, y))


def mixed(d: Draft) -> Step | None:
    """Bring integers and truth values among the floating-point numbers."""
    x = d.pick("ib")
    y = None if x is None else d.partner(x)
    if x is None or y is None:
        return None
    functions = (
        lambda x, y: x * y,
        lambda x, y: np.where(x, y, 0.5),
        lambda x, y: y + x.astype(np.float64),
    )
    return Step(one_of(d.rng, functions), (x, y))


REDUCTIONS: tuple[Callable[..., Any], ...] = (
    np.sum,
    np.sum,
    np.mean,
    np.max,
    np.min,
    lambda x, axis, keepdims: np.prod(x * 0.7, axis=axis, keepdims=keepdims),
    lambda x, axis, keepdims: np.any(x > 0.5, axis=axis, keepdims=keepdims),
    lambda x, axis, keepdims: np.all(x > -1.5, axis=axis, keepdims=keepdims),
    np.var,
    lambda x, axis, keepdims: np.sum(x > 0, axis=axis, keepdims=keepdims),
    lambda x, axis, keepdims: np.log(np.sum(np.exp(x * 0.1), axis=axis, keepdims=keepdims)),
)


def reduction(d: Draft) -> Step | None:
    x = d.pick(least=1)
    if x is None:
        return None
    function, axes, keepdims = one_of(d.rng, REDUCTIONS), d.axes(len(d.shape(x))), d.rng.random()
    if keepdims < 0.5:
        return Step(lambda x: function(x, axis=axes, keepdims=True), (x,))
    if keepdims < 0.6:
        return Step(lambda x: function(x, axis=None, keepdims=False), (x,))
    return Step(lambda x: function(x, axis=axes, keepdims=False), (x,))


def softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def log_softmax(x: Any) -> Any:
    shifted = x - np.max(x, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def layer_norm(x: Any) -> Any:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + 0.1)


ROWS: tuple[Callable[[Any], Any], ...] = (
    softmax,
    log_softmax,
    layer_norm,
    lambda x: x - np.mean(x, axis=0),
    lambda x: x / (np.sum(x * x, axis=tuple(range(x.ndim)), keepdims=True) + 1),
    lambda x: np.cumsum(x, axis=0),
    lambda x: np.cumsum(x, axis=-1),
    lambda x: np.argmax(x, axis=-1),
    lambda x: np.argmin(x, axis=0),
    lambda x: np.flip(x, 0),
    lambda x: np.roll(x, 1, axis=-1),
)


def rows(d: Draft) -> Step | None:
    x = d.pick(least=1)
    if x is None or 0 in d.shape(x):
        return None
    return Step(one_of(d.rng, ROWS), (x,))


RIGHT: tuple[Callable[[Any, Any], Any], ...] = (np.matmul, lambda x, y: x @ y)
LEFT: tuple[Callable[[Any, Any], Any], ...] = (lambda x, y: np.matmul(y, x), lambda x, y: y @ x)


def product(d: Draft) -> Step | None:
    """Multiply by a captured matrix, or stack, or vector, from either side."""
    x = d.pick(least=1)
    if x is None:
        return None
    shape = d.shape(x)
    batch = [1 if d.rng.random() < 0.3 else each for each in shape[:-2]]
    batch = batch[int(d.rng.integers(len(batch) + 1)) :]
    other = one_of(d.rng, d.pool)
    if d.rng.random() < 0.5:
        last = [] if d.rng.random() < 0.2 else [other]
        y = d.numbers((*(batch if last else []), shape[-1], *last))
        function = one_of(d.rng, RIGHT)
    elif len(shape) == 1:
        y = d.numbers((*(() if d.rng.random() < 0.3 else (other,)), shape[0]))
        function = one_of(d.rng, LEFT)
    else:
        first = [] if d.rng.random() < 0.2 else [other]
        y = d.numbers((*(batch if first else []), *first, shape[-2]))
        function = one_of(d.rng, LEFT)
    return Step(function, (x,), (y,))


def product_of_two(d: Draft) -> Step | None:
    x, y = d.pick(least=1), d.pick(least=1)
    if x is None or y is None:
        return None
    functions = (
        lambda x, y: x @ y,
        lambda x, y: x.T @ y,
        lambda x, y: x @ y.T,
        lambda x, y: np.outer(x, y),
        lambda x, y: np.swapaxes(x, -1, -2) @ y,
        lambda x, y: np.tensordot(x, y, axes=1),
    )
    return Step(one_of(d.rng, functions), (x, y))


def sliced(d: Draft) -> Step | None:
    x = d.pick("fi", least=1)
    if x is None:
        return None
    key: list[Any] = []
    for length in d.shape(x):
        kind = d.rng.random()
        if kind < 0.15 and length:
            key.append(int(d.rng.integers(-length, length)))
        elif kind < 0.6:
            start, stop = sorted(d.rng.integers(0, length + 1, 2).tolist())
            step = one_of(d.rng, [1, 1, 2, 3])
            if d.rng.random() < 0.4:
                start, stop, step = stop - 1 if stop else None, None, -step
            key.append(slice(start, stop, step))
        elif kind < 0.7:
            key += [None, slice(None)]
        else:
            key.append(slice(None))
    if d.rng.random() < 0.2:
        key = [Ellipsis, *key[-1:]]
    return Step(lambda x: x[tuple(key)], (x,))


def gathered(d: Draft) -> Step | None:
    x = d.pick("fi", least=1)
    if x is None:
        return None
    shape = d.shape(x)
    together = one_of(d.rng, [(), (1,), (3,), (5,), (2, 3), (one_of(d.rng, d.pool),)])
    key: list[Any] = []
    captured = []
    for length in shape:
        kind = d.rng.random()
        if kind < 0.5 and length:
            key.append(INDEX)
            missing = int(d.rng.integers(len(together) + 1)) if d.rng.random() < 0.2 else 0
            captured.append(d.index(together[missing:], length))
        elif kind < 0.6 and length:
            key.append(int(d.rng.integers(-length, length)))
        elif kind < 0.7:
            key.append(slice(None, None, -1))
        elif kind < 0.75:
            key += [None, slice(None)]
        else:
            key.append(slice(None))
    if not captured:
        return None

    def function(x: Any, *indices: Any) -> Any:
        remaining = iter(indices)
        return x[tuple(next(remaining) if isinstance(each, str) else each for each in key)]

    return Step(function, (x,), tuple(captured))


def gathered_along(d: Draft) -> Step | None:
    """Read at places that the program computes."""
    x, index = d.pick("f", least=1), d.pick("i", least=0)
    if x is None or index is None or not d.shape(x)[0]:
        return None
    length = d.shape(x)[0]
    functions = (
        lambda x, index: x[index % length],
        lambda x, index: x[-1 - index % length],
        lambda x, index: np.take(x, index % length, axis=0) * 2,
    )
    return Step(one_of(d.rng, functions), (x, index))


def scattered(d: Draft) -> Step | None:
    """Add the rows of a value up in zeros."""
    x = d.pick("f", least=1)
    if x is None:
        return None
    shape = d.shape(x)
    length = one_of(d.rng, [1, 3, 9])
    if d.rng.random() < 0.5:
        index = d.index(shape[:1], length)
        static = {"key": (INDEX,), "shape": (length, *shape[1:])}
        return Step(lambda x, index: primitive("scatter_add")(x, index, **static), (x,), (index,))
    if len(shape) > 1 and d.rng.random() < 0.5:
        index = d.index(shape[-1:], length)
        static = {"key": (Ellipsis, INDEX), "shape": (*shape[:-1], length)}
        return Step(lambda x, index: primitive("scatter_add")(x, index, **static), (x,), (index,))
    columns = d.index(shape[:1], length)
    if len(shape) == 1:
        places = np.arange(shape[0])
        static = {"key": (INDEX, INDEX), "shape": (shape[0], length)}
        return Step(
            lambda x, r, c: primitive("scatter_add")(x, r, c, **static), (x,), (places, columns)
        )
    key = (slice(None, None, -2),)
    wide = (2 * shape[0], *shape[1:])
    return Step(lambda x: primitive("scatter_add")(x, key=key, shape=wide), (x,))


def picked(d: Draft) -> Step | None:
    """Read one entry of each row, as a loss does."""
    x = d.pick("f", least=2)
    if x is None or len(d.shape(x)) != 2:
        return None
    count, length = d.shape(x)
    rows, columns = np.arange(count), d.index((count,), length)
    return Step(lambda x, rows, columns: x[rows, columns], (x,), (rows, columns))


def joined(d: Draft) -> Step | None:
    x = d.pick("fi", least=1)
    if x is None:
        return None
    shape = d.shape(x)
    axis = int(d.rng.integers(len(shape)))
    others = [
        place
        for place, each in enumerate(d.program.values)
        if np.ndim(each) == len(shape)
        and np.shape(each)[:axis] == shape[:axis]
        and np.shape(each)[axis + 1 :] == shape[axis + 1 :]
    ]
    y = one_of(d.rng, others)
    return Step(lambda x, y: np.concatenate([x, y * 2, x], axis=axis), (x, y))


def stacked(d: Draft) -> Step | None:
    x = d.pick("f")
    if x is None:
        return None
    axis = int(d.rng.integers(len(d.shape(x)) + 1))
    return Step(lambda x: np.stack([x, x * 2, -x], axis=axis), (x,))


def padded(d: Draft) -> Step | None:
    x = d.pick("fi", least=1)
    if x is None:
        return None
    widths = [tuple(d.rng.integers(0, 4, 2).tolist()) for _ in d.shape(x)]
    return Step(lambda x: np.pad(x, widths), (x,))


def factors(rng: np.random.Generator, size: int) -> tuple[int, ...]:
    """Draw a shape of a size."""
    shape: list[int] = []
    while size > 1 and len(shape) < 3:
        divisors = [each for each in range(1, size + 1) if size % each == 0]
        shape.append(one_of(rng, divisors))
        size //= shape[-1]
    return (*shape, size) if size != 1 or rng.random() < 0.3 else tuple(shape)


def reshaped(d: Draft) -> Step | None:
    x = d.pick("fi")
    if x is None or 0 in d.shape(x):
        return None
    shape = factors(d.rng, math.prod(d.shape(x)))
    return Step(lambda x: np.reshape(x, shape), (x,))


def transposed(d: Draft) -> Step | None:
    x = d.pick("fi", least=2)
    if x is None:
        return None
    axes = d.rng.permutation(len(d.shape(x))).tolist()
    return Step(lambda x: np.transpose(x, axes), (x,))


def stretched(d: Draft) -> Step | None:
    x = d.pick("f")
    if x is None:
        return None
    shape = [one_of(d.rng, d.pool) if each == 1 else each for each in d.shape(x)]
    front = [one_of(d.rng, d.pool)] if d.rng.random() < 0.5 else []
    return Step(lambda x: np.broadcast_to(x, (*front, *shape)), (x,))


def expanded(d: Draft) -> Step | None:
    x = d.pick("f")
    if x is None:
        return None
    axis = int(d.rng.integers(len(d.shape(x)) + 1))
    return Step(lambda x: np.expand_dims(x, axis), (x,))


FAMILIES: tuple[Callable[[Draft], Step | None], ...] = (
    *[unary] * 5,
    *[binary] * 6,
    *[with_captured] * 3,
    integers,
    *[mixed] * 2,
    *[reduction] * 5,
    *[rows] * 4,
    *[product] * 4,
    *[product_of_two] * 2,
    *[sliced] * 3,
    *[gathered] * 3,
    *[gathered_along] * 2,
    *[scattered] * 2,
    picked,
    *[joined] * 2,
    stacked,
    padded,
    *[reshaped] * 4,
    *[transposed] * 3,
    *[stretched] * 2,
    expanded,
)

# -- running and comparing --------------------------------------------------------------------


@dataclass
class Recorded:
    """A function as a graph.

    Attributes
    ----------
    function : callable
    args : sequence of value
        What it was recorded with.
    graph : Graph
    inputs : list of value
        What the graph takes.
    leaves : list of int
        Which of the leaves of the function's result the graph's outputs are.
    """

    function: Callable[..., Any]
    args: Sequence[Any]
    graph: Graph
    inputs: list[Any]
    leaves: list[int]

    def exact(self) -> list[Any]:
        """Evaluate the outputs in extended precision, without a graph."""
        raised = [
            in_extended(np.float64(each) if type(each) is float else each) for each in self.args
        ]
        with np.errstate(all="ignore"):
            leaves = flatten(self.function(*raised))[0]
        return [leaves[each] for each in self.leaves]

    def largest(self) -> float:
        """Find the largest number that the graph computes on the way."""
        largest = 0.0
        values: dict[Node, Any] = dict(zip(self.graph.inputs, self.inputs, strict=True))
        with np.errstate(all="ignore"):
            for node in self.graph.nodes:
                operation = node.operation
                if isinstance(operation, Constant):
                    values[node] = operation.value
                elif not isinstance(operation, Input):
                    arguments = [values[each] for each in node.inputs]
                    values[node] = operation.evaluate(*arguments, **node.static)
                array = np.asarray(values[node]) if isinstance(node.type, ArrayType) else ONE
                if array.dtype.kind == "f":
                    size = np.abs(array.astype(np.float64))
                    largest = max(largest, float(np.max(size, initial=0, where=np.isfinite(size))))
        return largest


ONE = np.ones(())


def recorded(function: Callable[..., Any], args: Sequence[Any]) -> Recorded:
    """Record a function."""
    with np.errstate(all="ignore"):
        recording = record(function, tuple(args), {})
    inputs = [each for each in flatten((tuple(args), {}))[0] if is_dynamic(each)]
    leaves = [place for place, (output, _) in enumerate(recording.leaves) if output is not None]
    return Recorded(function, args, recording.graph, inputs, leaves)


def differences(
    actual: Sequence[Any],
    expected: Sequence[Any],
    exact: Sequence[Any] | None = None,
    *,
    multiple: float = 16,
    ulps: float = 64,
    narrowest: Any = None,
    largest: float = 0.0,
) -> Iterator[str]:
    """Describe what is further from the interpreter's results than rounding explains.

    Parameters
    ----------
    exact : sequence of value, optional
        The results in extended precision. The largest error that the interpreter has itself, times
        the multiple, is allowed on top of so many units in the last place of the largest entry.
    narrowest : dtype, optional
        What a number may have been rounded to on the way.
    largest : float
        The largest number on the way, a few units in whose last place are allowed too.
    """
    for number, (one, two) in enumerate(zip(actual, expected, strict=True)):
        right = None if exact is None else exact[number]
        found = difference(one, two, right, multiple, ulps, narrowest, largest)
        if found:
            yield f"result {number}: {found}"


def difference(
    one: Any,
    two: Any,
    exact: Any,
    multiple: float,
    ulps: float,
    narrowest: Any,
    largest: float,
) -> str | None:
    # Where NumPy gives an array without axes, a scalar is as good.
    is_single = isinstance(two, np.ndarray) and not two.ndim
    if type(one) is not type(two) and not (is_single and type(one) is type(two[()])):
        return f"{type(one)}, not {type(two)}"
    one, two = np.asarray(one), np.asarray(two)
    if (one.dtype, one.shape) != (two.dtype, two.shape):
        return f"{one.dtype}{one.shape}, not {two.dtype}{two.shape}"
    if one.dtype.kind not in "fc":
        wrong = one != two
    else:
        with np.errstate(all="ignore"):
            same = (one == two) | (np.isnan(one) & np.isnan(two))
            finite = np.isfinite(one) & np.isfinite(two)
            eps = float(np.finfo(one.dtype).eps)
            if narrowest is not None:
                eps = max(eps, float(np.finfo(narrowest).eps))
            size = np.max(np.abs(two), initial=0, where=np.isfinite(two))
            allowed = eps * (ulps * size + 4 * largest) + float(np.finfo(one.dtype).tiny)
            if exact is not None:
                error = np.abs(two.astype(np.clongdouble) - exact)
                allowed = allowed + multiple * np.max(error, initial=0, where=np.isfinite(error))
            wrong = ~(same | (finite & (np.abs(one - two) <= allowed)))
    if not np.any(wrong):
        return None
    first = tuple(int(each) for each in np.argwhere(wrong)[0])
    count = int(np.count_nonzero(wrong))
    values = f"{one[first]!r}, not {two[first]!r}"
    return f"at {first} of {one.shape}: {values}; {count} of {one.size} differ"


def fused(graph: Graph, *, careful: bool = False) -> Program:
    """Fuse a graph as the engine does, lay it out, and check it at each stage."""
    program = fuse(simplify(rewrite_formulas(graph), ()), (), careful=careful)
    verify(program)
    arrange_rounds(program)
    verify(program)
    verify(program, lay_out(program))
    return program


def errors_of(
    recorded: Recorded,
    *,
    processor: Processor | None = None,
    narrowest: Any = None,
    exactly: bool = True,
) -> list[str]:
    """Run a graph natively; describe what is further from the interpreter than rounding explains.

    Parameters
    ----------
    narrowest : dtype, optional
        What numbers may be rounded to on the way.
    exactly : bool
        Whether the function can be evaluated in extended precision, to see how far rounding takes
        the interpreter.
    """
    if exactly:
        fused(recorded.graph, careful=True)
    expected = Interpreter(recorded.graph)(recorded.inputs)
    run = Native(recorded.graph, processor=processor)
    verify(run.program)
    verify(run.program, lay_out(run.program))
    actual = run(recorded.inputs)
    # What went wrong natively is given to the interpreter, which must not be needed here.
    flags, _ = run._code(careful=False).run(recorded.inputs)
    if flags & Flags.NAN:
        flags, _ = run._code(careful=True).run(recorded.inputs)
    if flags:
        return [f"the program gave up, with {flags}"]
    if not list(differences(actual, expected, narrowest=narrowest)):
        return []
    exact, largest = recorded.exact() if exactly else None, recorded.largest()
    return list(differences(actual, expected, exact, narrowest=narrowest, largest=largest))
