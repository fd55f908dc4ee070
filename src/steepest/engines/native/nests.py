"""What a fused graph is: loop nests over buffers, and what runs between them.

The representation between fusing and emitting. A `Program` is a list of items that run one after
the other: a `Kernel` (loop nests that share their outer loop), a `MatrixProduct` or a `Callback`
into NumPy. Within a nest, expressions say what is computed for each setting of the loops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

import numpy as np

from steepest.graph import ArrayType, Node

__all__ = [
    "Apply",
    "Buffer",
    "Callback",
    "Count",
    "Expression",
    "Gathered",
    "Item",
    "Kernel",
    "Load",
    "MatrixProduct",
    "Nest",
    "Number",
    "OneHot",
    "Origin",
    "Program",
    "Reduce",
    "Rounds",
    "Scatter",
    "Statement",
    "Storage",
    "Store",
    "all_parts",
    "loads_of",
    "parts_of",
]


class Origin(Enum):
    """Where the memory of a buffer comes from."""

    ARENA = "arena"
    INPUT = "input"
    OUTPUT = "output"
    CONSTANT = "constant"


@dataclass(slots=True, eq=False)
class Buffer:
    """A piece of memory.

    Attributes
    ----------
    number : int
    dtype : numpy.dtype
    size : int
        Number of entries.
    origin : Origin
    position : int
        Of the input or output, or among the program's constants.
    offset : int
        Bytes from the beginning of the arena, for a buffer that lies there; given by the layout.
    """

    number: int
    dtype: np.dtype[Any]
    size: int
    origin: Origin = Origin.ARENA
    position: int = 0
    offset: int = -1

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Storage:
    """How a value lies in a buffer: entry (i, j, …) at ``offset + i * strides[0] + …``."""

    buffer: Buffer
    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """Read a buffer, at ``offset`` plus each loop's index times its stride."""

    buffer: Buffer
    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Read a buffer at places that are computed.

    Attributes
    ----------
    parts : tuple of (Expression, stride, length)
        Each index, counted from the end where it is negative, times its stride is added to the
        place; an index beyond the length is an error.
    """

    buffer: Buffer
    offset: int
    strides: tuple[int, ...]
    parts: tuple[tuple[Expression, int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """A number that is known, of the dtype of its node."""

    value: Any
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """An integer that counts along loops, as the entries of ``np.arange`` do."""

    offset: int
    strides: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Apply:
    """Apply an element-wise operation.

    Attributes
    ----------
    node : Node
        Its operation and the types of its inputs say what is done.
    zero_safe : bool
        Whether a NaN that a zero factor would have kept away may arise here.
    """

    node: Node
    args: tuple[Expression, ...]
    zero_safe: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class OneHot:
    """A value where a position along an axis is that of an index, and zero elsewhere.

    Attributes
    ----------
    index : Expression
        Counted from the end where it is negative; beyond the length it is an error.
    length : int
        Of the axis.
    position : Count
    value : Expression
    dtype : numpy.dtype
        Of the value.
    """

    index: Expression
    length: int
    position: Count
    value: Expression
    dtype: np.dtype[Any]


Expression: TypeAlias = Load | Gathered | Number | Count | Apply | OneHot


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """Write an expression's value for each setting of the loops.

    Attributes
    ----------
    replaces : bool
        Whether something else has been written there before.
    """

    buffer: Buffer
    offset: int
    strides: tuple[int, ...]
    value: Expression
    replaces: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Reduce:
    """Combine an expression's values over the loops whose stride in the result is 0.

    Attributes
    ----------
    operation : str
        "sum", "prod", "max", "min", "any" or "all".
    zero_safe : bool
        Whether the value comes from a product in which a zero factor makes a zero term.
    """

    operation: str
    buffer: Buffer
    offset: int
    strides: tuple[int, ...]
    reduced: tuple[bool, ...]
    value: Expression
    zero_safe: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Scatter:
    """Add an expression's values to a buffer at places that are computed, or write them there.

    One after the other: of two that are written to one place the second stays.
    """

    buffer: Buffer
    offset: int
    strides: tuple[int, ...]
    parts: tuple[tuple[Expression, int, int], ...]
    value: Expression
    adds: bool = True


Statement: TypeAlias = Store | Reduce | Scatter


@dataclass(slots=True, eq=False)
class Nest:
    """Statements within the same loops, the last of which is run in vectors."""

    extents: tuple[int, ...]
    statements: list[Statement] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Kernel:
    """Nests that run side by side for a block of settings of their common outer loop.

    Attributes
    ----------
    outer : int
        Length of the outer loop, the first of every nest; 0 for a kernel without loops.
    nests : list of Nest
    zeroed : list of Buffer
        What is filled with zeros before.
    """

    outer: int
    nests: list[Nest] = field(default_factory=list)
    zeroed: list[Buffer] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class MatrixProduct:
    """``result[m, n] = Σ left[m, k] right[k, n]``, for each setting of batch indices.

    Attributes
    ----------
    operands : tuple of (Storage, ArrayType)
        The arguments as NumPy takes them.
    finish : Nest or None
        Stores over the rows and columns of the result, made as soon as an entry is complete. They
        take it from a register: the result is not written, and nothing else reads it.
    """

    node: Node
    left: Storage
    right: Storage
    result: Buffer
    extents: tuple[int, int, int]
    batch: tuple[int, ...]
    zero_safe: bool
    operands: tuple[tuple[Storage, ArrayType], ...]
    finish: Nest | None = None


@dataclass(slots=True, eq=False)
class Callback:
    """An operation that NumPy does, on buffers as they lie in memory."""

    node: Node
    inputs: list[tuple[Storage, ArrayType] | Number]
    results: list[Buffer]


Item: TypeAlias = Kernel | MatrixProduct | Callback


@dataclass(frozen=True, slots=True)
class Rounds:
    """Items that take turns: all for a few matrices of a stack, then all for the next.

    Attributes
    ----------
    first, last : int
        Places of the first item, and of the one after the last.
    count : int
        Of the matrices, or what else the outer loops of kernels go through.
    size : int
        How many of them make a round; the last may have fewer.
    private : dict from Buffer to int
        What a round alone needs, and how many bytes of it; it has no place in the arena.
    """

    first: int
    last: int
    count: int
    size: int
    private: dict[Buffer, int]


@dataclass(slots=True, eq=False)
class Program:
    """What runs for a graph.

    Attributes
    ----------
    buffers : list of Buffer
    constants : list of ndarray
        Captured arrays, read at each run.
    items : list of Item
    careful : bool
        Whether products in which a zero factor makes a zero term are computed with care.
    rounds : list of Rounds
        Which items take turns.
    """

    buffers: list[Buffer]
    inputs: list[Buffer]
    outputs: list[Buffer]
    constants: list[np.ndarray[Any, Any]]
    items: list[Item]
    careful: bool
    rounds: list[Rounds] = field(default_factory=list)

    def spans(self) -> list[tuple[int, int]]:
        """Give, for each item, the places of the first and the last item that it runs among."""
        spans = [(place, place) for place in range(len(self.items))]
        for each in self.rounds:
            spans[each.first : each.last] = [(each.first, each.last - 1)] * (each.last - each.first)
        return spans


def parts_of(expression: Expression) -> Iterator[Expression]:
    """Give what an expression is computed from, one level down."""
    if isinstance(expression, Apply):
        yield from expression.args
    elif isinstance(expression, Gathered):
        for index, _, _ in expression.parts:
            yield index
    elif isinstance(expression, OneHot):
        yield expression.index
        yield expression.value


def all_parts(
    roots: Iterable[Expression], is_entered: Callable[[Expression], bool] = lambda _: True
) -> Iterator[Expression]:
    """Give each expression once, and what it is computed from, all levels down.

    Parameters
    ----------
    roots : iterable of Expression
    is_entered : callable
        Whether an expression's parts are given too.
    """
    pending, seen = list(roots), set()
    while pending:
        expression = pending.pop()
        if id(expression) not in seen:
            seen.add(id(expression))
            yield expression
            if is_entered(expression):
                pending.extend(parts_of(expression))


def loads_of(statement: Statement) -> Iterator[Load | Gathered]:
    """Give all that a statement reads from memory."""
    roots: list[Expression] = [statement.value]
    if isinstance(statement, Scatter):
        roots += [index for index, _, _ in statement.parts]
    return (each for each in all_parts(roots) if isinstance(each, (Load, Gathered)))
