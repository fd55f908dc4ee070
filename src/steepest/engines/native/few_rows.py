"""Weights of which a step reads a few rows, as word vectors: it changes these rows alone.

The gradient of what indexing reads is zero but for the rows that were read. Made as a whole, it
takes three passes over memory of the size of the weights: to fill it with zeros, to multiply it by
the step size, and to subtract it. With W − α·scatter(v) written as scatter(−α·v) into W, where W
lies, a step takes the time of its batch.
"""

from __future__ import annotations

from typing import Any

from steepest.engines.native.steps import StepGraph
from steepest.graph import ArrayType, Graph, Node
from steepest.ops import primitive

__all__ = ["update_few_rows"]

LARGEST_SHARE = 0.25
"""Entries that are read of the weights, of all that there are, up to which this is faster."""


def update_few_rows(graph: Graph, step: StepGraph) -> tuple[Graph, dict[int, int]]:
    """Have a step of gradient descent change the rows that it has read.

    The step size is finite, so that it makes a zero of each zero of a gradient.

    Parameters
    ----------
    graph : Graph
        Of the step, simplified.
    step : StepGraph

    Returns
    -------
    graph : Graph
    replaced : dict from int to int
        From the position of an input, whose memory the step may write to, to that of the output
        that takes its place.
    """
    uses: dict[Node, int] = {}
    for node in graph.nodes:
        for parent in node.inputs:
            uses[parent] = uses.get(parent, 0) + 1
    for node in graph.outputs:
        uses[node] = uses.get(node, 0) + 1
    outputs, nodes = list(graph.outputs), list(graph.nodes)
    replaced: dict[int, int] = {}
    for before, after in step.carried:
        if after < 0 or uses[graph.outputs[after]] > 1:
            continue
        weights = graph.inputs[before]
        size = graph.inputs[step.step_size]
        scattered = _scattered(graph.outputs[after], weights, size, uses)
        if not scattered:
            continue
        for each in scattered:
            weights = _added(weights, each, size, nodes)
        outputs[after] = weights
        replaced[before] = after
    if not replaced:
        return graph, replaced
    return Graph.build(nodes, graph.inputs, outputs), replaced


def _scattered(new: Node, weights: Node, size: Node, uses: dict[Node, int]) -> list[Node]:
    """Find the parts of a gradient that is subtracted, if each is scattered into a few rows."""
    if new.operation is not primitive("subtract") or new.inputs[0] is not weights:
        return []
    product = new.inputs[1]
    if product.operation is not primitive("multiply") or size not in product.inputs:
        return []
    gradient = product.inputs[product.inputs[0] is size]
    pending, parts = [product, gradient], []
    entries = 0
    while pending:
        node = pending.pop()
        if uses[node] > 1 or node.type != weights.type:
            return []
        if node.operation is primitive("add"):
            pending += node.inputs
        elif node.operation is primitive("scatter_add") and len(node.inputs) > 1:
            parts.append(node)
            entries += _size(node.inputs[0])
        elif node is not product:
            return []
    return parts if entries <= LARGEST_SHARE * _size(weights) else []


def _added(weights: Node, scattered: Node, size: Node, nodes: list[Node]) -> Node:
    """Add what a step makes of a part of the gradient to the weights."""
    values, *indices = scattered.inputs
    line = scattered.line

    def apply(name: str, *inputs: Node, **static: Any) -> Node:
        operation = primitive(name)
        kind = operation.infer(*(each.type for each in inputs), **static)
        nodes.append(Node(operation, inputs, static, kind, line))
        return nodes[-1]

    less = apply("negative", apply("multiply", size, values))
    return apply("add_at", weights, less, *indices, path=(("key", scattered.static["key"]),))


def _size(node: Node) -> int:
    assert isinstance(node.type, ArrayType)
    return node.type.size
