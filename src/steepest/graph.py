"""What was recorded: an immutable graph of nodes, one for each operation.

A graph is made by running a function once with shapes and dtypes alone. It knows nothing of
NumPy code, derivatives or engines: those build graphs, transform them, and run them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

import numpy as np

from steepest.errors import SourceLine

__all__ = ["ArrayType", "Constant", "Graph", "Input", "Node", "Operation", "type_of"]


@dataclass(frozen=True, slots=True)
class ArrayType:
    """Shape and dtype of a value.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    weak : bool
        Whether the value is a Python number, whose dtype gives way to that of an array (NEP 50).
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    weak: bool = False

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries."""
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def promotion_type(self) -> np.dtype[Any] | type:
        """What stands for this value in NumPy's promotion: its dtype, or its Python type."""
        if not self.weak:
            return self.dtype
        return {"b": bool, "i": int, "f": float, "c": complex}[self.dtype.kind]

    def __str__(self) -> str:
        lengths = ",".join(map(str, self.shape))
        return f"{self.dtype}[{lengths}]" + ("~" if self.weak else "")


_PYTHON_TYPES: dict[type, ArrayType] = {
    bool: ArrayType((), np.dtype(bool), weak=True),
    int: ArrayType((), np.dtype(np.int64), weak=True),
    float: ArrayType((), np.dtype(np.float64), weak=True),
    complex: ArrayType((), np.dtype(np.complex128), weak=True),
}


def type_of(value: Any) -> ArrayType:
    """Shape and dtype of a concrete value: ndarray, NumPy scalar or Python number."""
    python_type = _PYTHON_TYPES.get(type(value))
    if python_type is not None:
        return python_type
    if not hasattr(value, "dtype"):
        value = np.asarray(value)
    return _remembered_type(value.shape, value.dtype)


@lru_cache(maxsize=1024)
def _remembered_type(shape: tuple[int, ...], dtype: np.dtype[Any]) -> ArrayType:
    """Make a type; looking up one that was made before takes a third of the time."""
    return ArrayType(shape, dtype)


class Operation(Protocol):
    """What a node needs to know of the primitive it applies."""

    @property
    def name(self) -> str:
        """The primitive's name."""

    @property
    def evaluate(self) -> Callable[..., Any]:
        """The primitive on concrete values."""


@dataclass(frozen=True, slots=True)
class Input:
    """A node without operation: the graph's argument at a position."""

    position: int
    name: str = "input"


@dataclass(frozen=True, slots=True)
class Constant:
    """A node without operation: a value met while recording.

    An ndarray is held by reference and read anew at each run.
    """

    value: Any
    name: str = "constant"


NodeType: TypeAlias = ArrayType | tuple[ArrayType, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One recorded operation.

    Attributes
    ----------
    operation : Operation, Input or Constant
    inputs : tuple of Node
    static : dict
        Keyword arguments that are part of the operation: axes, shapes, subscripts.
    type : ArrayType or tuple of ArrayType
        A tuple for operations with several results.
    line : SourceLine or None
        The user's line that recorded it.
    """

    operation: Operation | Input | Constant
    inputs: tuple[Node, ...]
    static: dict[str, Any]
    type: NodeType
    line: SourceLine | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in an order in which each comes after its inputs.

    Attributes
    ----------
    inputs : tuple of Node
        The arguments, by position.
    outputs : tuple of Node
    nodes : tuple of Node
        All nodes that the outputs need, and the inputs.
    """

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    nodes: tuple[Node, ...]

    @staticmethod
    def build(recorded: Sequence[Node], inputs: Sequence[Node], outputs: Sequence[Node]) -> Graph:
        """Keep, in the order of recording, what the outputs need."""
        needed = set(inputs)
        pending = list(outputs)
        while pending:
            node = pending.pop()
            if node not in needed:
                needed.add(node)
                pending.extend(parent for parent in node.inputs if parent not in needed)
        return Graph(
            tuple(inputs), tuple(outputs), tuple(node for node in recorded if node in needed)
        )

    def verify(self) -> None:
        """Check what every graph promises.

        Raises
        ------
        ValueError
            When a node comes before one of its inputs, an input or output is missing from the
            nodes, or a node stands twice.
        """
        seen: set[Node] = set()
        for node in self.nodes:
            if node in seen:
                raise ValueError(f"{node.operation.name} stands twice in the graph")
            if any(parent not in seen for parent in node.inputs):
                raise ValueError(f"{node.operation.name} comes before one of its inputs")
            seen.add(node)
        if any(node not in seen for node in (*self.inputs, *self.outputs)):
            raise ValueError("an input or output is not among the nodes")

    def __str__(self) -> str:
        names = {node: f"%{index}" for index, node in enumerate(self.nodes)}
        rows = [_describe(node, names) for node in self.nodes]
        rows.append("return " + ", ".join(names[node] for node in self.outputs))
        return "\n".join(rows)


def _describe(node: Node, names: dict[Node, str]) -> str:
    operation = node.operation
    if isinstance(operation, Input):
        body = f"input {operation.position}"
    elif isinstance(operation, Constant):
        value = operation.value
        body = f"constant {value if np.ndim(value) == 0 else 'ndarray'}"
    else:
        body = " ".join((operation.name, *(names[parent] for parent in node.inputs)))
    if node.static:
        body += " " + " ".join(f"{key}={value}" for key, value in node.static.items())
    types = node.type if isinstance(node.type, tuple) else (node.type,)
    row = f"{names[node]}: {' '.join(map(str, types))} = {body}"
    if node.line is None:
        return row
    return f"{row:<60} # {node.line.filename.rpartition('/')[2]}:{node.line.number}"
