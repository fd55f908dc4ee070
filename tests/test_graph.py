"""Graphs: order, printing and what they refuse."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steepest.compiling import compile as compiled
from steepest.errors import SourceLine
from steepest.graph import ArrayType, Constant, Graph, Input, Node, type_of
from steepest.ops import primitive

SCALAR = ArrayType((), np.dtype(float))
ADD = primitive("add")


def an_input(position: int = 0) -> Node:
    return Node(Input(position), (), {}, SCALAR)


def add(*inputs: Node) -> Node:
    return Node(ADD, inputs, {}, SCALAR)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.ones((2, 3), np.float32), ArrayType((2, 3), np.dtype(np.float32))),
        (np.float16(1), ArrayType((), np.dtype(np.float16))),
        (True, ArrayType((), np.dtype(bool), weak=True)),
        (1, ArrayType((), np.dtype(np.int64), weak=True)),
        (1.0, ArrayType((), np.dtype(np.float64), weak=True)),
        (1j, ArrayType((), np.dtype(np.complex128), weak=True)),
        ([1.0, 2.0], ArrayType((2,), np.dtype(np.float64))),
    ],
)
def test_type_of(value: Any, expected: ArrayType) -> None:
    assert type_of(value) == expected


def test_a_type_describes_itself() -> None:
    kind = ArrayType((2, 3), np.dtype(np.float32))
    assert (kind.ndim, kind.size, str(kind)) == (2, 6, "float32[2,3]")
    assert kind.promotion_type == np.float32
    assert str(type_of(1.0)) == "float64[]~"
    assert [type_of(each).promotion_type for each in (True, 1, 1.0, 1j)] == [
        bool,
        int,
        float,
        complex,
    ]
    assert ArrayType((0, 3), np.dtype(int)).size == 0


def test_building_keeps_what_the_outputs_need_in_order() -> None:
    x, y = an_input(0), an_input(1)
    a = add(x, x)
    unused = add(a, y)
    b = add(a, a)
    graph = Graph.build([x, y, a, unused, b], [x, y], [b, a])
    assert graph.nodes == (x, y, a, b)
    assert graph.outputs == (b, a)
    graph.verify()


def test_an_input_may_be_an_output_twice() -> None:
    x = an_input()
    graph = Graph.build([x], [x], [x, x])
    graph.verify()
    assert graph.nodes == (x,)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=30), st.data())
def test_any_graph_verifies_and_keeps_only_the_needed(
    pairs: list[tuple[int, int]], data: st.DataObject
) -> None:
    nodes = [an_input()]
    for a, b in pairs:
        nodes.append(add(nodes[a % len(nodes)], nodes[b % len(nodes)]))
    outputs = data.draw(st.lists(st.sampled_from(nodes), max_size=3))
    graph = Graph.build(nodes, nodes[:1], outputs)
    graph.verify()
    used = {parent for node in graph.nodes for parent in node.inputs} | set(outputs)
    assert set(graph.nodes) == used | {nodes[0]}


def broken_graphs() -> list[tuple[str, Graph]]:
    x = an_input()
    a = add(x, x)
    b = add(a, a)
    return [
        ("before one of its inputs", Graph((x,), (b,), (x, b, a))),
        ("before one of its inputs", Graph((x,), (b,), (x, b))),
        ("stands twice", Graph((x,), (a,), (x, a, a))),
        ("not among the nodes", Graph((x,), (b,), (x, a))),
        ("not among the nodes", Graph((x, an_input(1)), (a,), (x, a))),
    ]


@pytest.mark.parametrize(("words", "graph"), broken_graphs())
def test_verify_refuses(words: str, graph: Graph) -> None:
    with pytest.raises(ValueError, match=words):
        graph.verify()


def test_a_graph_prints_as_a_program() -> None:
    x = an_input()
    two = Node(Constant(2.0), (), {}, type_of(2.0))
    data = Node(Constant(np.ones(3)), (), {}, type_of(np.ones(3)))
    total = Node(
        primitive("sum"), (x,), {"axis": (0,)}, SCALAR, SourceLine("/home/u/train.py", 7, "f")
    )
    graph = Graph.build([x, two, data, total], [x], [total, two, data])
    assert str(graph).splitlines() == [
        "%0: float64[] = input 0",
        "%1: float64[]~ = constant 2.0",
        "%2: float64[3] = constant ndarray",
        "%3: float64[] = sum %0 axis=(0,)                             # train.py:7",
        "return %3, %1, %2",
    ]


def test_a_recorded_graph_verifies_and_names_the_users_lines() -> None:
    def loss(x: Any) -> Any:
        y = np.sin(x) * 2.0
        return np.sum(y @ y)

    graph = compiled(loss).graph(np.ones(3))
    graph.verify()
    lines = [node.line for node in graph.nodes if node.line is not None]
    assert {line.filename for line in lines} == {__file__}
    assert lines[0].text == "y = np.sin(x) * 2.0"
    assert "sin" in str(graph)
    assert "test_graph.py" in str(graph)


def test_a_node_never_changes() -> None:
    with pytest.raises(AttributeError):
        an_input().type = SCALAR  # type: ignore[misc]
