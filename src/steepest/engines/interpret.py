"""The reference engine: node after node, with NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from steepest.graph import Constant, Graph, Input, Node
from steepest.ops.spec import Primitive, Value, bind

__all__ = ["Interpreter", "replay"]


class Interpreter:
    """A graph made ready to run with NumPy.

    A value is dropped after its last use, so that no more memory is held than needed.

    Parameters
    ----------
    graph : Graph
    """

    __slots__ = ("_constants", "_graph", "_inputs", "_outputs", "_places", "_steps")

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        places = {node: place for place, node in enumerate(graph.nodes)}
        last_use = _last_uses(graph, places)
        self._places = len(graph.nodes)
        self._inputs = [places[node] for node in graph.inputs]
        self._outputs = [places[node] for node in graph.outputs]
        self._constants = [
            (places[node], node.operation.value)
            for node in graph.nodes
            if isinstance(node.operation, Constant)
        ]
        self._steps = [
            (
                node.operation.evaluate,
                tuple(places[parent] for parent in node.inputs),
                node.static,
                places[node],
                last_use.get(places[node], ()),
            )
            for node in graph.nodes
            if not isinstance(node.operation, (Constant, Input))
        ]

    def __str__(self) -> str:
        return str(self._graph)

    def __call__(self, inputs: Sequence[Value]) -> list[Value]:
        """Run the graph.

        Parameters
        ----------
        inputs : sequence of value
            One for each input of the graph, of its shape and dtype.

        Returns
        -------
        list of value
            One for each output.
        """
        values: list[Any] = [None] * self._places
        for place, value in zip(self._inputs, inputs, strict=True):
            values[place] = value
        for place, value in self._constants:
            values[place] = value
        # Gradients meet infinities on branches not taken, which is no reason to warn.
        place = 0
        try:
            with np.errstate(all="ignore"):
                for evaluate, arguments, static, place, dropped in self._steps:
                    values[place] = evaluate(*[values[each] for each in arguments], **static)
                    for each in dropped:
                        values[each] = None
        except Exception as error:
            # The user's line is not on the stack: it was recorded.
            line = self._graph.nodes[place].line
            if line is not None:
                error.add_note(f"At {line}")
            raise
        return [values[place] for place in self._outputs]


def _last_uses(graph: Graph, places: dict[Node, int]) -> dict[int, tuple[int, ...]]:
    """For each node the places whose values nothing needs after it."""
    last: dict[int, int] = {}
    for node in graph.nodes:
        for parent in (*node.inputs, node):
            last[places[parent]] = places[node]
    for node in graph.outputs:
        last.pop(places[node], None)
    dropped: dict[int, list[int]] = {}
    for value, user in last.items():
        dropped.setdefault(user, []).append(value)
    return {user: tuple(values) for user, values in dropped.items()}


def replay(graph: Graph, inputs: Sequence[Value]) -> list[Value]:
    """Apply a graph's primitives to traced values, so that an outer trace records them."""
    values: dict[Node, Value] = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        operation = node.operation
        if isinstance(operation, Constant):
            values[node] = operation.value
        elif isinstance(operation, Primitive):
            values[node] = bind(operation, [values[parent] for parent in node.inputs], node.static)
    return [values[node] for node in graph.outputs]
