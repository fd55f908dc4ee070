"""Recording with shapes and dtypes alone: the trace of ``compile`` and ``descend``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from steepest.array.array import Array
from steepest.array.buffers import Memory, references_from
from steepest.array.plain import base_array
from steepest.errors import CapturedArrayChangedError, SourceLine, UnsupportedError, user_line
from steepest.fingerprint import fingerprint
from steepest.graph import ArrayType, Constant, Graph, Input, Node, type_of
from steepest.ops import primitive as primitive_named
from steepest.ops.spec import ITEM, Primitive, Trace, Traced, Value, is_ndarray, released

__all__ = ["OuterTraceError", "Recorder"]

_cast = primitive_named("cast")
_broadcast = primitive_named("broadcast")


class OuterTraceError(UnsupportedError):
    """A function being recorded used a value that an outer gradient traces."""


class Recorder(Trace):
    """The trace that makes a graph."""

    __slots__ = (
        "_captured",
        "_constants",
        "_owed",
        "has_own_derivatives",
        "inputs",
        "nodes",
        "scalars",
    )

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.inputs: list[Node] = []
        self.scalars: list[Value] = []
        self.has_own_derivatives = False
        self._constants: dict[tuple[type, Any], Node] = {}
        self._captured: dict[int, tuple[np.ndarray[Any, Any], int, SourceLine | None]] = {}
        self._owed: list[Traced] = []

    def input(self, kind: ArrayType, is_ndarray: bool = True) -> Array:
        """Add an argument of the graph; without axes it may be an ndarray, or a number."""
        node = Node(Input(len(self.inputs)), (), {}, kind)
        self.inputs.append(node)
        self.nodes.append(node)
        result = Array(self, None, node)
        if is_ndarray:
            result._alias = Memory()
        return result

    def record(self, primitive: Primitive, args: Sequence[Value], static: dict[str, Any]) -> Value:
        """Infer the type of a result and add the node."""
        if primitive.traced_inside:
            self.has_own_derivatives = True
            return primitive.evaluate(*args, **static)
        inputs = tuple(self.node_of(arg) for arg in args)
        kind = primitive.infer(*(node.type for node in inputs), **static)
        node = self._add(Node(primitive, inputs, static, kind, user_line()))
        if isinstance(kind, tuple):
            return tuple(
                Array(self, None, self._add(Node(ITEM, (node,), {"position": i}, each, node.line)))
                for i, each in enumerate(kind)
            )
        return Array(self, None, node)

    def write(
        self, primitive: Primitive, target: Traced, args: Sequence[Value], static: dict[str, Any]
    ) -> None:
        """Record that a value was written into; from then on it is the result of that."""
        before = released(target)
        if type(before) is np.ndarray and isinstance(target, Array):
            # Where the views into it lie is known of what had a value once.
            if target._alias is None:
                target._alias = Memory()
            target._alias.contiguous = before.flags.c_contiguous
            before = self._filled(before)
        target.become(self.record(primitive, (before, *args), static))

    def _filled(self, array: np.ndarray[Any, Any]) -> Value:
        """Record an array of zeros or ones as such, rather than as an array that was captured."""
        for number in (0, 1):
            if array.dtype.kind in "fc" and not (array != number).any():
                if number == 0 and np.signbit(array.real).any():
                    break
                entry = self.record(_cast, (number,), {"dtype": array.dtype})
                return self.record(_broadcast, (entry,), {"shape": array.shape})
        return array

    def node_of(self, value: Value) -> Node:
        """Find the node of a traced value, or add one for a constant."""
        if isinstance(value, Traced):
            if value._trace is not self:
                raise OuterTraceError(
                    "a compiled function used a value that an outer gradient traces",
                    instead="pass the value as an argument of the compiled function",
                )
            node: Node = value._node
            return node
        if is_ndarray(value):
            return self._array_constant(value)
        self.scalars.append(value)
        # Equal numbers of different types (1, 1.0, -0.0) are different constants.
        key = (type(value), repr(value))
        if key not in self._constants:
            self._constants[key] = self._add(Node(Constant(value), (), {}, type_of(value)))
        return self._constants[key]

    def graph(self, outputs: Sequence[Value]) -> Graph:
        """Finish: the graph of what the outputs need.

        Raises
        ------
        CapturedArrayChangedError
            When an array that was captured by reference was written into while recording, so
            that no single reading of it can stand for all its uses.
        """
        for each in self._owed:
            _ = each._value
        for array, recorded, line in self._captured.values():
            if fingerprint(array) != recorded:
                raise _changed(array, line)
        return Graph.build(self.nodes, self.inputs, [self.node_of(each) for each in outputs])

    def references_to(self, array: np.ndarray[Any, Any]) -> int:
        """Count the references to an ndarray from captured arrays and their constants."""
        return references_from(self._captured.values(), array, holders=2)

    def owe(self, stand_in: Traced) -> None:
        """Remember what has to be asked for its value before captured arrays are compared."""
        self._owed.append(stand_in)

    def _array_constant(self, array: np.ndarray[Any, Any]) -> Node:
        base_array(array)
        now = fingerprint(array)
        known = self._captured.setdefault(id(array), (array, now, user_line()))
        if known[1] != now:
            raise _changed(array, known[2])
        key = (np.ndarray, id(array))
        if key not in self._constants:
            self._constants[key] = self._add(
                Node(Constant(array), (), {}, type_of(array), user_line())
            )
        return self._constants[key]

    def _add(self, node: Node) -> Node:
        self.nodes.append(node)
        return node


def _changed(array: np.ndarray[Any, Any], line: SourceLine | None) -> CapturedArrayChangedError:
    return CapturedArrayChangedError(
        f"an ndarray of {array.dtype}{list(array.shape)} was written into while the function that"
        " uses it was compiled",
        instead="make the array anew each time instead of reusing it, or do not compile the"
        " function",
        line=line,
    )
