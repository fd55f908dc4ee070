"""Formulas in the place of others: equal up to rounding, and cheaper for machine code."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from steepest.graph import ArrayType, Constant, Graph, Node
from steepest.ops import primitive
from steepest.ops.spec import Primitive, Value

__all__ = ["rewrite_formulas"]


def rewrite_formulas(graph: Graph) -> Graph:
    """Replace what a better formula is known for.

    - ``log_sum_exp`` becomes ``m + log(sum(exp(x - m)))``, with the maximum m.
    - The derivative of ``logaddexp(c, x)``, with a finite number c, takes no care of the case that
      both are infinite, and is the sigmoid of x − c alone (Nair and Hinton, "Rectified Linear Units
      Improve Restricted Boltzmann Machines", 2010).
    - The sum of a value and a part put into zeros becomes the part added to the value: in its
      memory, where nobody else needs that. Where there is no part, a -0.0 stays one.
    """
    rewriter = _Rewriter()
    for node in graph.nodes:
        for parent in node.inputs:
            rewriter.uses[parent] = rewriter.uses.get(parent, 0) + 1
    for node in graph.outputs:
        rewriter.uses[node] = rewriter.uses.get(node, 0) + 1
    for node in graph.nodes:
        rewriter.visit(node)
    return Graph.build(
        rewriter.nodes,
        [rewriter.new[node] for node in graph.inputs],
        [rewriter.new[node] for node in graph.outputs],
    )


class _Rewriter:
    """The new graph under construction.

    Attributes
    ----------
    new : dict from Node to Node
        For each node of the old graph the one that stands for it.
    uses : dict from Node to int
        How often a node of the old graph is used.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.new: dict[Node, Node] = {}
        self.uses: dict[Node, int] = {}

    def visit(self, node: Node) -> None:
        """Take a node over, or what replaces it."""
        inputs = tuple(self.new[parent] for parent in node.inputs)
        formula = _FORMULAS.get(node.operation.name)
        replacement = None
        if formula is not None and isinstance(node.operation, Primitive):
            replacement = formula(self, node, inputs)
        if replacement is None:
            replacement = node
            if any(a is not b for a, b in zip(inputs, node.inputs, strict=True)):
                replacement = Node(node.operation, inputs, node.static, node.type, node.line)
            self.nodes.append(replacement)
        self.new[node] = replacement

    def apply(self, operation: Primitive, node: Node, *args: Node | float, **static: Value) -> Node:
        """Add an operation that a node's line is responsible for."""
        inputs = tuple(each if isinstance(each, Node) else self.number(each) for each in args)
        kind = operation.infer(*(each.type for each in inputs), **static)
        added = Node(operation, inputs, static, kind, node.line)
        self.nodes.append(added)
        return added

    def number(self, value: float) -> Node:
        """Add a Python number."""
        added = Node(Constant(value), (), {}, ArrayType((), np.dtype(float), weak=True))
        self.nodes.append(added)
        return added


def _log_sum_exp(rewriter: _Rewriter, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    (x,) = inputs
    kind = x.type
    assert isinstance(kind, ArrayType)
    if kind.dtype.char not in "fd" or not kind.size or kind.dtype != _kind(node).dtype:
        return None
    axis = node.static["axis"]
    apply = partial(_apply, rewriter, node)
    largest = apply("max", x, axis=axis, keepdims=True)
    # Of an infinite maximum the difference would be NaN.
    finite = apply("isfinite", largest)
    shift = apply("where", finite, largest, 0.0)
    shares = apply("exp", apply("subtract", x, shift))
    total = apply("sum", shares, axis=axis, keepdims=True)
    result = apply("add", apply("log", total), shift)
    return apply("reshape", result, shape=_kind(node).shape)


def _apply(
    rewriter: _Rewriter, node: Node, name: str, *args: Node | float, **static: Value
) -> Node:
    return rewriter.apply(primitive(name), node, *args, **static)


def _where_both_are_infinite(
    rewriter: _Rewriter, node: Node, inputs: tuple[Node, ...]
) -> Node | None:
    """Drop the case that x is infinite and equal to a finite number, which it never is."""
    condition, _, otherwise = inputs
    if _name(condition) != "bitwise_and" or otherwise.type != node.type:
        return None
    infinite, equal = condition.inputs
    if _name(infinite) != "isinf" or _name(equal) != "equal":
        return None
    others = [each for each in equal.inputs if each is not infinite.inputs[0]]
    return otherwise if len(others) == 1 and _is_finite(others[0]) else None


def _sum_with_part(rewriter: _Rewriter, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """Find what is added to a part of a value alone, as gradients of slices are."""
    for place, total in ((1, inputs[0]), (0, inputs[1])):
        part = inputs[place]
        if (
            _name(part) == "scatter_add"
            and len(part.inputs) == 1
            and part.type == total.type == node.type
            and rewriter.uses[node.inputs[place]] == 1
        ):
            path = (("key", part.static["key"]),)
            return rewriter.apply(primitive("add_at"), node, total, part.inputs[0], path=path)
    return None


def _is_finite(node: Node) -> bool:
    if not isinstance(node.operation, Constant):
        return False
    value = node.operation.value
    return isinstance(value, (int, float)) and math.isfinite(value)


def _name(node: Node) -> str:
    return node.operation.name if isinstance(node.operation, Primitive) else ""


def _kind(node: Node) -> ArrayType:
    assert isinstance(node.type, ArrayType)
    return node.type


_FORMULAS: dict[str, Callable[[_Rewriter, Node, tuple[Node, ...]], Node | None]] = {
    "add": _sum_with_part,
    "where": _where_both_are_infinite,
    "log_sum_exp": _log_sum_exp,
}
