"""Fusing: from a graph to loop nests, in which most values never reach memory.

Element-wise operations and those that only move entries become part of the loops of what reads
them. A value is stored where it must be (results, operands of matrix products and of NumPy), where
it is computed once and read along an axis that it lacks, and where computing it again would cost
more. What writes into an array does so in the array's memory, where nobody still to come reads what
was there, and into a copy elsewhere. Nests with the same outer loop are put into one kernel, so
that a softmax with its gradient is one pass over the rows.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from steepest.engines.native.forwarding import is_plain_cast
from steepest.engines.native.layout import buffers_read
from steepest.engines.native.nests import (
    Apply,
    Buffer,
    Callback,
    Count,
    Expression,
    Gathered,
    Item,
    Kernel,
    Load,
    MatrixProduct,
    Nest,
    Number,
    OneHot,
    Origin,
    Program,
    Reduce,
    Scatter,
    Statement,
    Storage,
    Store,
    all_parts,
    loads_of,
)
from steepest.engines.native.operations import can_lower, register_element
from steepest.graph import ArrayType, Constant, Graph, Input, Node
from steepest.ops import PRIMITIVES, primitive
from steepest.ops.index import INDEX
from steepest.ops.spec import ITEM, SCALE

__all__ = ["fuse", "is_cheap", "is_expensive", "is_row_aligned", "is_same_entry"]

Affine: TypeAlias = tuple[int, tuple[int, ...]]
"""An index as a sum: an offset, and a multiple of each loop's index."""
Access: TypeAlias = tuple[Affine, ...]
"""For each axis of a value the index that is read."""

VIEWS = frozenset({"broadcast", "reshape", "slice", "transpose"})
REDUCTIONS = frozenset({"sum", "prod", "max", "min", "any", "all"})
PRODUCTS = frozenset({"matmul", "zero_safe_matmul"})

EXPENSIVE = 12
"""Cost of an operation that takes many instructions; a plain one costs 1."""
LARGEST_EXPRESSION = 150
"""Cost of an expression up to which it is computed again for each reader."""
DEEPEST_EXPRESSION = 60
"""Operations that are nested in one another: Python's stack is not endless."""
CHEAP_TO_REPEAT = 6
"""Cost up to which a value that has several readers is not stored."""
MOST_STATEMENTS = 48
"""Statements in a kernel."""
SMALL_PRODUCT = 64
"""Multiplications up to which a product of matrices is written out as a sum."""

_CHEAP = frozenset(
    {
        "absolute", "add", "bitwise_and", "bitwise_or", "bitwise_xor", "cast", "ceil", "conjugate",
        "convert", "copysign", "equal", "fabs", "floor", "fmax", "fmin", "greater",
        "greater_equal", "imag", "invert", "isfinite", "isinf", "isnan", "left_shift", "less",
        "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum",
        "minimum", "multiply", "negative", "not_equal", "positive", "real", "right_shift", "rint",
        "scale", "sign", "signbit", "square", "subtract", "trunc", "where",
    }
)  # fmt: skip
_ASSEMBLES = frozenset({"add_at", "concatenate", "gather", "pad", "scatter_add", "stack", "write"})
_MODERATE = {"divide": 4, "sqrt": 5, "reciprocal": 4, "gather": 3, "scatter_add": 3}


def fuse(
    graph: Graph,
    changing: Collection[int] = (),
    *,
    careful: bool = False,
    replaced: Mapping[int, int] = MappingProxyType({}),
) -> Program:
    """Make loop nests of a graph.

    Parameters
    ----------
    graph : Graph
        Simplified.
    changing : collection of int
        The ids of captured arrays whose contents may change from run to run.
    careful : bool
        Compute each product in which a zero factor makes a zero term with care, instead of
        looking for NaN in the results.
    replaced : mapping from int to int
        From the positions of inputs that may be written to, to those of the outputs that take
        their place: which then may lie in their memory.
    """
    return _Fuser(graph, changing, careful, replaced).program()


@dataclass(frozen=True, slots=True)
class _Written:
    """Where a buffer is written: the item, the nest within a kernel, and the statement."""

    item: int
    nest: int = -1
    statement: Statement | None = None  # where there is but one


class _Fuser:
    def __init__(
        self,
        graph: Graph,
        changing: Collection[int],
        careful: bool,
        replaced: Mapping[int, int],
    ) -> None:
        self._graph = graph
        self._replaced = replaced
        self._changing = changing
        self._careful = careful
        self._buffers: list[Buffer] = []
        self._constants: list[np.ndarray[Any, Any]] = []
        self._items: list[Item] = []
        self._kernels: dict[int, list[int]] = {}
        self._storage: dict[Node, Storage] = {}
        self._written: dict[Buffer, _Written] = {}
        # Where each buffer was last read, and whose entries lie in it.
        self._read: dict[Buffer, _Written] = {}
        self._owners: dict[Buffer, Node] = {}
        self._visited: set[Node] = set()
        self._costs: dict[Node, int] = {}
        self._depths: dict[Node, int] = {}
        self._expressions: dict[Node, dict[tuple[Access, int], Expression]] = {}
        self._readers: dict[Node, list[Node]] = {}
        for node in graph.nodes:
            for parent in node.inputs:
                self._readers.setdefault(parent, []).append(node)
        self._outputs: dict[Node, int] = {}
        for position, node in enumerate(graph.outputs):
            self._outputs.setdefault(node, position)

    def program(self) -> Program:
        """Fuse all nodes, in order."""
        inputs = []
        for position, node in enumerate(self._graph.inputs):
            kind = _array_type(node)
            buffer = self._buffer(kind.dtype, kind.size, Origin.INPUT, position)
            self._storage[node] = _contiguous(buffer, kind.shape)
            if position in self._replaced:
                self._owners[buffer] = node
            inputs.append(buffer)
        for node in self._graph.nodes:
            self._visit(node)
        outputs = [
            self._output(position, node) for position, node in enumerate(self._graph.outputs)
        ]
        return Program(self._buffers, inputs, outputs, self._constants, self._items, self._careful)

    # What each node becomes.

    def _visit(self, node: Node) -> None:
        self._visited.add(node)
        operation = node.operation
        if isinstance(operation, Input) or operation is ITEM:
            return
        if isinstance(operation, Constant):
            self._constant(node, operation.value)
            return
        name = operation.name
        if _is_of_user(node) or _reads_nothing(node):
            self._callback(node)
        elif not _is_native(node):
            # What lies in memory can be viewed, whatever it is.
            view = self._view_storage(node)
            if view is None:
                self._callback(node)
            else:
                self._storage[node] = view
        elif name in VIEWS:
            self._costs[node] = self._cost(node.inputs[0])
        elif name in REDUCTIONS and _can_reduce(node):
            self._reduce(node)
        elif name in PRODUCTS and _array_type(node).dtype.char in "fd":
            self._product(node)
        elif name == "scatter_add":
            self._scatter(node)
        elif name in ("write", "add_at"):
            self._update(node)
        elif name in ("concatenate", "pad", "stack"):
            self._assemble(node)
        elif name == "gather" or can_lower(node):
            self._pointwise(node)
        else:
            self._callback(node)
        if node in self._storage:
            return
        below = [self._depths.get(each, 0) for each in node.inputs if each not in self._storage]
        depth = 1 + max(below, default=0)
        if node in self._outputs:
            self._store(node)
        elif depth > DEEPEST_EXPRESSION:
            self.storage_of(node)
        else:
            self._depths[node] = depth

    def _constant(self, node: Node, value: Any) -> None:
        kind = _array_type(node)
        if not isinstance(value, np.ndarray):
            if register_element(kind.dtype) is None:
                self._by_reference(node, np.asarray(value))
        else:
            self._by_reference(node, value)

    def _by_reference(self, node: Node, value: np.ndarray[Any, Any]) -> None:
        """Read a captured array where it lies, or a copy of one that is oddly laid out."""
        width = value.dtype.itemsize
        buffer = self._buffer(value.dtype, value.size, Origin.CONSTANT, len(self._constants))
        self._constants.append(value)
        if (
            value.flags.aligned
            and value.dtype.isnative
            and not any(stride % width for stride in value.strides)
        ):
            strides = tuple(
                0 if length == 1 else stride // width
                for length, stride in zip(value.shape, value.strides, strict=True)
            )
            self._storage[node] = Storage(buffer, 0, strides)
            return
        kind = _array_type(node)
        copy = self._buffer(kind.dtype, kind.size)
        self._append(Callback(node, [], [copy]), [copy])
        self._storage[node] = _contiguous(copy, kind.shape)

    def _pointwise(self, node: Node) -> None:
        name = node.operation.name
        own = _own_cost(name)
        cost = own + sum(self._cost(parent) for parent in node.inputs)
        self._costs[node] = cost
        if name == "gather":
            self.storage_of(node.inputs[0])
        readers = self._readers.get(node, ())
        if (
            cost > LARGEST_EXPRESSION
            or (len(readers) > 1 and cost > CHEAP_TO_REPEAT)
            or any(self._repeats(reader, _array_type(node).size) for reader in readers)
        ):
            self._store(node)

    def _repeats(self, reader: Node, size: int) -> bool:
        """Whether a reader, or who reads it as a view, uses each of so many entries repeatedly."""
        if isinstance(reader.type, tuple):
            return False
        name = reader.operation.name
        if name in VIEWS:
            return _array_type(reader).size > size or any(
                self._repeats(each, size) for each in self._readers.get(reader, ())
            )
        if name in PRODUCTS:
            return True
        assembles = name in _ASSEMBLES
        return _array_type(reader).size > size and not assembles

    def _cost(self, node: Node) -> int:
        """Cost of an entry for a reader."""
        return 0 if node in self._storage else self._costs.get(node, 0)

    # Values in memory.

    def storage_of(self, node: Node) -> Storage:
        """Find how a value lies in memory, and store it first if it does not."""
        known = self._storage.get(node)
        if known is None:
            known = self._view_storage(node)
            if known is None:
                return self._store(node)
            self._storage[node] = known
        return known

    def _view_storage(self, node: Node) -> Storage | None:
        """Find how a view of what lies in memory does."""
        operation = node.operation
        if isinstance(operation, (Constant, Input)) or operation.name not in VIEWS:
            return None
        (source,) = node.inputs
        below = self._storage.get(source) or self._view_storage(source)
        if below is None:
            return None
        return _view_of(below, _array_type(source).shape, node)

    def _store(self, node: Node) -> Storage:
        """Add the loops that compute a value and write it."""
        storage = self._write(node, self._result(node))
        self._storage[node] = storage
        self._expressions.pop(node, None)  # from now on it is read
        return storage

    def _copy(self, node: Node) -> Storage:
        """Copy what lies in memory with gaps, so that it can be reshaped."""
        kind = _array_type(node)
        return self._write(node, self._buffer(kind.dtype, kind.size))

    def _write(self, node: Node, buffer: Buffer) -> Storage:
        """Add the loops that write a value into a buffer."""
        shape = _array_type(node).shape
        extents, access = _loops_over(shape)
        value = self._pull(node, access, len(extents))
        storage = _contiguous(buffer, shape)
        offset, strides = _place(storage, access, len(extents))
        self._put(extents, Store(buffer, offset, strides, value))
        return storage

    def _result(self, node: Node) -> Buffer:
        """Make the buffer for a value: an output's own memory where it is one."""
        kind = _array_type(node)
        position = self._outputs.get(node)
        if position is None:
            buffer = self._buffer(kind.dtype, kind.size)
            self._owners[buffer] = node
            return buffer
        return self._buffer(kind.dtype, kind.size, Origin.OUTPUT, position)

    def _output(self, position: int, node: Node) -> Buffer:
        """Give the buffer of an output; copy what is not the output's own."""
        kind = _array_type(node)
        storage = self.storage_of(node)
        if storage.buffer.origin is Origin.OUTPUT and storage.buffer.position == position:
            return storage.buffer
        if (
            self._is_replaced(storage.buffer)
            and self._replaced[storage.buffer.position] == position
        ):
            return storage.buffer
        buffer = self._buffer(kind.dtype, kind.size, Origin.OUTPUT, position)
        if register_element(kind.dtype) is None:
            copy = Node(primitive("reshape"), (), {"shape": kind.shape}, kind)
            self._append(Callback(copy, [(storage, kind)], [buffer]), [buffer])
            return buffer
        extents, access = _loops_over(kind.shape)
        offset, strides = _place(_contiguous(buffer, kind.shape), access, len(extents))
        value = _load(storage, access, len(extents))
        self._put(extents, Store(buffer, offset, strides, value))
        return buffer

    def _buffer(
        self, dtype: np.dtype[Any], size: int, origin: Origin = Origin.ARENA, position: int = 0
    ) -> Buffer:
        buffer = Buffer(len(self._buffers), dtype, size, origin, position)
        self._buffers.append(buffer)
        return buffer

    # Expressions: what an entry of a node is computed from.

    def _pull(self, node: Node, access: Access, loops: int) -> Expression:
        own = self._expressions.setdefault(node, {})
        known = own.get((access, loops))
        if known is None:
            known = own[access, loops] = self._pulled(node, access, loops)
        return known

    def _pulled(self, node: Node, access: Access, loops: int) -> Expression:
        operation = node.operation
        storage = self._storage.get(node)
        kind = _array_type(node)
        if isinstance(operation, Constant):
            if storage is None:
                return Number(operation.value, kind.dtype)
            counted = self._counted(operation)
            if counted is not None:
                ((offset, strides),) = access
                start, step = counted
                return Count(
                    start + step * offset, tuple(step * each for each in strides), kind.dtype
                )
        if storage is not None:
            return _load(storage, access, loops)
        assert not isinstance(operation, (Constant, Input))
        name = operation.name
        if name in VIEWS:
            (source,) = node.inputs
            through = _access_through(node, access, loops)
            if through is not None:
                return self._pull(source, through, loops)
            below = self.storage_of(source)
            known = _view_of(below, _array_type(source).shape, node)
            if known is None:
                known = _view_of(self._copy(source), _array_type(source).shape, node)
                assert known is not None
            self._storage[node] = known
            return _load(known, access, loops)
        if name == "gather":
            return self._gathered(node, access, loops)
        if name == "scatter_add":
            return self._one_hot(node, access, loops)
        if name in PRODUCTS:
            return self._outer_product(node, access, loops)
        args = tuple(
            self._pull(
                parent, _broadcast(_array_type(parent).shape, kind.shape, access, loops), loops
            )
            for parent in node.inputs
        )
        return Apply(node, args, operation is SCALE and not self._careful)

    def _gathered(self, node: Node, access: Access, loops: int) -> Expression:
        source, *indices = node.inputs
        storage = self.storage_of(source)
        shape = _array_type(source).shape
        offset, strides, parts = self._indexed(node, indices, shape, storage, access, loops)
        if not parts:
            return Load(storage.buffer, offset, strides)
        return Gathered(storage.buffer, offset, strides, parts)

    def _indexed(
        self,
        node: Node,
        indices: Sequence[Node],
        shape: tuple[int, ...],
        storage: Storage,
        access: Access,
        loops: int,
    ) -> tuple[int, tuple[int, ...], tuple[tuple[Expression, int, int], ...]]:
        """Find the place in memory that an indexing with arrays reads, or adds to.

        Parameters
        ----------
        shape : tuple of int
            Of what is indexed.
        access : Access
            To what the indexing gives.
        """
        together = np.broadcast_shapes(*(_array_type(each).shape for each in indices))
        affine, dynamic, place = _index_axes(node.static["key"], shape, len(together), access)
        offset, strides = storage.offset, [0] * loops
        for axis, (start, steps) in affine:
            offset += start * storage.strides[axis]
            for loop, step in enumerate(steps):
                strides[loop] += step * storage.strides[axis]
        parts = []
        shared = access[place : place + len(together)]
        for axis, index in zip(dynamic, indices, strict=True):
            index_shape = _array_type(index).shape
            expression = self._pull(index, _broadcast(index_shape, together, shared, loops), loops)
            if isinstance(expression, Count) and _counts_inside(index, shape[axis]):
                offset += expression.offset * storage.strides[axis]
                for loop, step in enumerate(expression.strides):
                    strides[loop] += step * storage.strides[axis]
            else:
                parts.append((expression, storage.strides[axis], shape[axis]))
        return offset, tuple(strides), tuple(parts)

    def _one_hot(self, node: Node, access: Access, loops: int) -> Expression:
        """One entry in each row: a value where the column is that of the index."""
        x, _, columns = node.inputs
        row, column = access
        index = self._pull(columns, (row,), loops)
        value = self._pull(x, (row,), loops)
        kind = _array_type(node)
        return OneHot(index, kind.shape[1], Count(*column, np.dtype(np.int64)), value, kind.dtype)

    def _outer_product(self, node: Node, access: Access, loops: int) -> Expression:
        x, y = (_array_type(each).shape for each in node.inputs)
        zero: Affine = (0, (0,) * loops)
        batch = access[: len(access) - (len(x) > 1) - (len(y) > 1)]
        left = (
            *batch[len(batch) - len(x[:-2]) :],
            *([access[len(batch)]] if len(x) > 1 else []),
            zero,
        )
        right = (*batch[len(batch) - len(y[:-2]) :], zero, *([access[-1]] if len(y) > 1 else []))
        return self._term(
            node,
            self._pull(self._of_dtype(node, 0), _narrow(x, left, loops), loops),
            self._pull(self._of_dtype(node, 1), _narrow(y, right, loops), loops),
        )

    def _term(self, node: Node, left: Expression, right: Expression) -> Apply:
        """Multiply two entries, as a product of matrices does."""
        types = [ArrayType((), _array_type(node).dtype)] * 2
        inputs = tuple(Node(Input(i), (), {}, each) for i, each in enumerate(types))
        zero_safe = node.operation.name == "zero_safe_matmul"
        operation = SCALE if zero_safe else primitive("multiply")
        multiply = Node(operation, inputs, {}, types[0], node.line)
        return Apply(multiply, (left, right), zero_safe and not self._careful)

    def _of_dtype(self, node: Node, position: int) -> Node:
        """Give an argument in the dtype of the result."""
        return self._in_dtype(node.inputs[position], _array_type(node).dtype)

    def _in_dtype(self, node: Node, dtype: np.dtype[Any]) -> Node:
        return node if _array_type(node).dtype == dtype else self._converted(node, dtype)

    def _converted(self, node: Node, dtype: np.dtype[Any]) -> Node:
        kind = _array_type(node)
        result = ArrayType(kind.shape, dtype)
        cast = Node(primitive("convert"), (node,), {"dtype": dtype}, result, node.line)
        self._costs[cast] = 1 + self._cost(node)
        return cast

    # Reductions, products, and what NumPy does.

    def _reduce(self, node: Node) -> None:
        (x,) = node.inputs
        kind = _array_type(x)
        axes = node.static["axis"]
        wanted = (
            np.dtype(bool) if node.operation.name in ("any", "all") else _array_type(node).dtype
        )
        source = x if kind.dtype == wanted else self._converted(x, wanted)
        extents, access = _loops_over(kind.shape)
        value = self._pull(source, access, len(extents))
        result = self._result(node)
        kept = tuple(1 if axis in axes else length for axis, length in enumerate(kind.shape))
        offset, strides = _place(_contiguous(result, kept), access, len(extents))
        loops = [axis for axis, length in enumerate(kind.shape) if length != 1]
        reduced = tuple(axis in axes for axis in loops)
        self._storage[node] = _contiguous(result, _array_type(node).shape)
        if not any(reduced):
            self._put(extents, Store(result, offset, strides, value))
            return
        self._put(
            extents,
            Reduce(node.operation.name, result, offset, strides, reduced, value),
        )

    def _product(self, node: Node) -> None:
        x, y = node.inputs
        left, right = _array_type(x).shape, _array_type(y).shape
        rows = left[-2] if len(left) > 1 else 1
        inner = left[-1]
        columns = right[-1] if len(right) > 1 else 1
        batch = _array_type(node).shape[
            : _array_type(node).ndim - (len(left) > 1) - (len(right) > 1)
        ]
        if inner == 1 or not _array_type(node).size:
            self._costs[node] = 1 + self._cost(x) + self._cost(y)
            if not _array_type(node).size or self._worth_storing(node):
                self._store(node)
            return
        if inner == 0:
            extents, access = _loops_over(_array_type(node).shape)
            storage = _contiguous(self._result(node), _array_type(node).shape)
            offset, strides = _place(storage, access, len(extents))
            self._put(
                extents, Store(storage.buffer, offset, strides, Number(0, _array_type(node).dtype))
            )
            self._storage[node] = storage
            return
        small = rows * inner * columns <= SMALL_PRODUCT
        if small or (not batch and 1 in (rows, columns)):
            self._sum_of_products(node, batch, rows, inner, columns)
            return
        self._matrix_product(node, batch, rows, inner, columns)

    def _worth_storing(self, node: Node) -> bool:
        readers = self._readers.get(node, ())
        return any(self._repeats(reader, _array_type(node).size) for reader in readers)

    def _sum_of_products(
        self, node: Node, batch: tuple[int, ...], rows: int, inner: int, columns: int
    ) -> None:
        """Do a product with a vector, or a tiny one, as a reduction that fuses with others."""
        x, y = (self._of_dtype(node, position) for position in (0, 1))
        lengths = dict(zip("mkn", (rows, inner, columns), strict=True))
        order = self._order_of_product(x, y, rows, columns)
        axes = [
            *((axis, length) for axis, length in enumerate(batch)),
            *((name, lengths[name]) for name in order),
        ]
        loops = [(name, length) for name, length in axes if length != 1]
        extents = tuple(length for _, length in loops)
        unit = {name: (0, tuple(int(name == other) for other, _ in loops)) for name, _ in axes}
        left = _array_type(x).shape
        right = _array_type(y).shape
        shared = [unit[axis] for axis in range(len(batch))]
        left_access = (
            *shared[len(batch) - len(left[:-2]) :],
            *([unit["m"]] if len(left) > 1 else []),
            unit["k"],
        )
        right_access = (
            *shared[len(batch) - len(right[:-2]) :],
            unit["k"],
            *([unit["n"]] if len(right) > 1 else []),
        )
        count = len(loops)
        term = self._term(
            node,
            self._pull(x, _narrow(left, left_access, count), count),
            self._pull(y, _narrow(right, right_access, count), count),
        )
        result = self._result(node)
        shape = (*batch, rows, columns)
        result_access = (*shared, unit["m"], unit["n"])
        offset, strides = _place(_contiguous(result, shape), result_access, count)
        reduced = tuple(name == "k" for name, _ in loops)
        self._storage[node] = _contiguous(result, _array_type(node).shape)
        self._put(
            extents,
            Reduce("sum", result, offset, strides, reduced, term, term.zero_safe),
        )

    def _order_of_product(self, x: Node, y: Node, rows: int, columns: int) -> str:
        """Choose the order of the loops, so that the last goes along memory."""
        if columns == 1:
            storage = self._storage.get(x) or self._view_storage(x)
            along_rows = storage is not None and storage.strides[-1] != 1
            return "kmn" if along_rows and rows > 1 else "mkn"
        storage = self._storage.get(y) or self._view_storage(y)
        along_columns = storage is None or storage.strides[-1] == 1
        return "mkn" if along_columns and columns >= 4 else "mnk"

    def _matrix_product(
        self, node: Node, batch: tuple[int, ...], rows: int, inner: int, columns: int
    ) -> None:
        operands = []
        originals = []
        for position, shape in ((0, (rows, inner)), (1, (inner, columns))):
            argument = self._of_dtype(node, position)
            kind = _array_type(argument)
            storage = self.storage_of(argument)
            if any(stride < 0 for stride in storage.strides):
                storage = self._copy(argument)
            originals.append((storage, kind))
            own = storage.strides
            if kind.ndim == 1:
                own = (0, *own) if position == 0 else (*own, 0)
            missing = len(batch) + 2 - len(own)
            lengths = (*kind.shape[:-2], *shape)
            strides = (0,) * missing + tuple(
                0 if length == 1 else stride for length, stride in zip(lengths, own, strict=True)
            )
            operands.append(Storage(storage.buffer, storage.offset, strides))
        left, right = operands
        if batch and not any(right.strides[: len(batch)]):
            # Every row of a stack meets the same matrix.
            stacked = math.prod(batch) * rows
            flat = _reshaped((*batch, rows, inner), left.strides, (stacked, inner))
            if flat is not None:
                rows, batch = stacked, ()
                left = Storage(left.buffer, left.offset, flat)
                right = Storage(right.buffer, right.offset, right.strides[-2:])
        result = self._result(node)
        self._storage[node] = _contiguous(result, _array_type(node).shape)
        product = MatrixProduct(
            node,
            left,
            right,
            result,
            (rows, inner, columns),
            batch,
            node.operation.name == "zero_safe_matmul",
            tuple(originals),
        )
        self._append(product, [result])

    def _scatter(self, node: Node) -> None:
        x, *indices = node.inputs
        shape = _array_type(node).shape
        if not indices:
            self._assemble_slice(node)
            return
        if self._is_one_hot(node):
            self._costs[node] = 4 + self._cost(x)
            return
        kind = _array_type(x)
        extents, access = _loops_over(kind.shape)
        result = self._result(node)
        offset, strides, parts = self._indexed(
            node, indices, shape, _contiguous(result, shape), access, len(extents)
        )
        value = self._pull(x, access, len(extents))
        self._put(extents, Scatter(result, offset, strides, parts, value), zeroed=True)
        self._storage[node] = _contiguous(result, shape)

    def _is_one_hot(self, node: Node) -> bool:
        """Whether a scattering puts one entry into each row: row i, column ``columns[i]``."""
        x, *indices = node.inputs
        kind = _array_type(node)
        if node.static["key"] != (INDEX, INDEX) or kind.ndim != 2 or _array_type(x).ndim != 1:
            return False
        rows, columns = indices
        return (
            isinstance(rows.operation, Constant)
            and _array_type(columns).shape == _array_type(rows).shape == kind.shape[:1]
            and self._counted(rows.operation) == (0, 1)
        )

    def _counted(self, constant: Constant) -> tuple[int, int] | None:
        """Start and step of the integers in a row of numbers that counts for good."""
        value = constant.value
        if id(value) in self._changing or not isinstance(value, np.ndarray):
            return None
        return _counting(value)

    def _assemble_slice(self, node: Node) -> None:
        """Put an array into zeros, at the places of a slice."""
        (x,) = node.inputs
        shape = _array_type(node).shape
        result = self._result(node)
        whole = _contiguous(result, shape)
        read = Node(primitive("slice"), (node,), {"key": node.static["key"]}, x.type)
        part = _view_of(whole, shape, read)
        assert part is not None
        self._put_part(x, part, zeroed=True)
        self._storage[node] = whole

    def _assemble(self, node: Node) -> None:
        """Join arrays, or put one into zeros."""
        shape = _array_type(node).shape
        result = self._result(node)
        whole = _contiguous(result, shape)
        if node.operation.name == "pad":
            before = [width[0] for width in node.static["widths"]]
            offset = sum(
                start * stride for start, stride in zip(before, whole.strides, strict=True)
            )
            self._put_part(node.inputs[0], Storage(result, offset, whole.strides), zeroed=True)
        elif node.operation.name == "stack":
            for place, x in enumerate(node.inputs):
                source = self._in_dtype(x, _array_type(node).dtype)
                row = _contiguous(result, shape[1:])
                self._put_part(source, Storage(result, place * math.prod(shape[1:]), row.strides))
        else:
            axis, start = node.static["axis"], 0
            for x in node.inputs:
                source = self._in_dtype(x, _array_type(node).dtype)
                part = Storage(result, start * whole.strides[axis], whole.strides)
                self._put_part(source, part)
                start += _array_type(x).shape[axis]
        self._storage[node] = whole

    def _put_part(self, x: Node, part: Storage, zeroed: bool = False) -> None:
        extents, access = _loops_over(_array_type(x).shape)
        offset, strides = _place(part, access, len(extents))
        value = self._pull(x, access, len(extents))
        self._put(extents, Store(part.buffer, offset, strides, value), zeroed=zeroed, whole=False)

    # Writing into arrays.

    def _update(self, node: Node) -> None:
        """Write into a part of an array: in its memory, where nobody needs what is there."""
        x, given, *indices = node.inputs
        kind = _array_type(node)
        *views, (_, key) = node.static["path"]
        # In memory of its own the array would lie like this.
        anywhere = _contiguous(Buffer(-1, kind.dtype, kind.size), kind.shape)
        part = _viewed(anywhere, kind, views)
        if part is None or not is_plain_cast(given, kind.dtype):
            self._callback(node)
            return
        read = primitive("gather" if indices else "slice")
        types = [part[1], *map(_array_type, indices)]
        selected = Node(read, (x, *indices), {"key": key}, read.infer(*types, key=key))
        lengths = _array_type(selected).shape
        if indices and not (part[1].size and math.prod(lengths)):
            self._callback(node)
            return
        extents, access = _loops_over(lengths)
        if math.prod(lengths) > _array_type(given).size and self._cost(given) > CHEAP_TO_REPEAT:
            self.storage_of(given)
        value = self._pull_written(given, kind.dtype, lengths, access, len(extents))
        # What this needs of memory is there before it is decided what is written over.
        place = self._places_of(selected, part, access, len(extents))

        storage = self._overwritable(x, node)
        part = None if storage is None else _viewed(storage, kind, views)
        if part is not None:
            place = self._places_of(selected, part, access, len(extents))
            if any(self._reads(index, part[0].buffer) for index, _, _ in place[2]):
                part = None
        if storage is None or part is None:
            buffer = self._buffer(kind.dtype, kind.size)
            storage = self._write(x, buffer)
            part = _viewed(storage, kind, views)
            assert part is not None
            place = self._places_of(selected, part, access, len(extents))
        offset, strides, parts = place
        buffer = storage.buffer
        own = Load(buffer, offset, strides)
        statement: Statement
        if any(
            load.buffer is buffer
            and (parts or not is_same_entry(Store(buffer, offset, strides, value), load))
            for load in loads_of(Store(buffer, offset, strides, value))
        ):
            # What is written is computed of entries that it replaces.
            apart = _contiguous(self._buffer(kind.dtype, math.prod(lengths)), lengths)
            start, steps = _place(apart, access, len(extents))
            self._put(extents, Store(apart.buffer, start, steps, value))
            value = Load(apart.buffer, start, steps)
        adds = node.operation.name == "add_at"
        if parts:
            statement = Scatter(buffer, offset, strides, parts, value, adds)
        else:
            if adds:
                value = self._sum(node, own, value)
            statement = Store(buffer, offset, strides, value, replaces=True)
        self._put(extents, statement, updates=True, whole=False)
        self._storage[node] = storage
        self._owners[buffer] = node

    def _pull_written(
        self,
        given: Node,
        dtype: np.dtype[Any],
        lengths: tuple[int, ...],
        access: Access,
        loops: int,
    ) -> Expression:
        """Pull what is written into a part, to which it is broadcast."""
        shape = _array_type(given).shape
        # NumPy drops more axes of length 1 than the part has.
        extra = max(len(shape) - len(lengths), 0)
        zero: Affine = (0, (0,) * loops)
        spread = _broadcast(shape[extra:], lengths, access, loops)
        return self._pull(self._in_dtype(given, dtype), ((zero,) * extra + spread), loops)

    def _places_of(
        self, selected: Node, part: tuple[Storage, ArrayType], access: Access, loops: int
    ) -> tuple[int, tuple[int, ...], tuple[tuple[Expression, int, int], ...]]:
        """Find the places in memory that a key selects of a part."""
        storage, kind = part
        indices = selected.inputs[1:]
        if indices:
            return self._indexed(selected, indices, kind.shape, storage, access, loops)
        below = _view_of(storage, kind.shape, selected)
        assert below is not None
        return (*_place(below, access, loops), ())

    def _sum(self, node: Node, x: Expression, y: Expression) -> Apply:
        kind = ArrayType((), _array_type(node).dtype)
        inputs = tuple(Node(Input(i), (), {}, kind) for i in range(2))
        return Apply(Node(primitive("add"), inputs, {}, kind, node.line), (x, y))

    def _reads(self, expression: Expression, buffer: Buffer) -> bool:
        return any(
            isinstance(each, (Load, Gathered)) and each.buffer is buffer
            for each in all_parts([expression])
        )

    def _overwritable(self, x: Node, writer: Node) -> Storage | None:
        """Give the memory of a value that nobody but a writer still needs; None if it is needed.

        A few entries that are needed are copied elsewhere.
        """
        storage = self._storage.get(x) or self._view_storage(x)
        if storage is None:
            return None
        buffer = storage.buffer
        owner = self._owners.get(buffer)
        if owner is None or buffer.size != _array_type(x).size:
            return None
        if buffer.origin is not Origin.ARENA and not self._is_replaced(buffer):
            return None
        if owner in self._outputs:
            return None
        unread = [each for each in self._readers.get(owner, ()) if each not in self._visited]
        if any(each is not writer for each in unread):
            return None
        passing = {owner}
        needed = []
        for reader in self._readers.get(owner, ()):
            if reader is not writer and self._lies_in(reader, buffer):
                through, is_needed = self._passed_on(reader, buffer, writer)
                passing |= through
                if is_needed:
                    needed.append(reader)
        sizes = {each: _array_type(each).size for each in needed}
        if sum(sizes.values()) > buffer.size // 2:
            return None
        for each in sizes:
            if each in self._storage:
                self._storage[each] = self._copy(each)
            else:
                self._store(each)
        for each in passing:
            self._expressions.pop(each, None)
        return storage

    def _is_replaced(self, buffer: Buffer) -> bool:
        return buffer.origin is Origin.INPUT and buffer.position in self._replaced

    def _lies_in(self, node: Node, buffer: Buffer) -> bool:
        """Whether reading a value that reads a buffer still reads that."""
        storage = self._storage.get(node)
        return storage.buffer is buffer if storage else not isinstance(node.type, tuple)

    def _passed_on(self, start: Node, buffer: Buffer, writer: Node) -> tuple[set[Node], bool]:
        """Find all that reads a buffer through a value, and whether somebody still to come does."""
        through, pending, needed = {start}, [start], False
        while pending:
            node = pending.pop()
            needed |= node in self._outputs
            for reader in self._readers.get(node, ()):
                if reader is writer or reader in through:
                    continue
                if reader not in self._visited:
                    needed = True
                elif self._lies_in(reader, buffer):
                    through.add(reader)
                    pending.append(reader)
        return through, needed

    def _callback(self, node: Node) -> None:
        types = node.type if isinstance(node.type, tuple) else (node.type,)
        inputs: list[tuple[Storage, ArrayType] | Number] = []
        for parent in node.inputs:
            kind = _array_type(parent)
            if isinstance(parent.operation, Constant) and parent not in self._storage:
                inputs.append(Number(parent.operation.value, kind.dtype))
            else:
                inputs.append((self.storage_of(parent), kind))
        if isinstance(node.type, tuple):
            results = [self._buffer(each.dtype, each.size) for each in types]
            for reader in self._readers.get(node, ()):
                position = reader.static["position"]
                self._storage[reader] = _contiguous(results[position], types[position].shape)
        else:
            results = [self._result(node)]
            self._storage[node] = _contiguous(results[0], _array_type(node).shape)
        self._append(Callback(node, inputs, results), results)

    # Placing.

    def _append(self, item: Item, results: Iterable[Buffer]) -> None:
        here = _Written(len(self._items))
        for buffer in buffers_read(item):
            self._read[buffer] = here
        for result in results:
            self._written[result] = here
        self._items.append(item)

    def _put(
        self,
        extents: tuple[int, ...],
        statement: Statement,
        *,
        zeroed: bool = False,
        whole: bool = True,
        updates: bool = False,
    ) -> None:
        """Put a statement into the first kernel that can take it, or into one of its own.

        Parameters
        ----------
        whole : bool
            Whether it writes all of its buffer.
        updates : bool
            Whether it changes what has been written, and may have been read.
        """
        loads = list(loads_of(statement))
        earliest = 0
        for load in loads:
            written = self._written.get(load.buffer)
            if written is not None:
                joins = self._may_join(written, load, extents)
                earliest = max(earliest, written.item + (not joins))
        for other in self._before(statement) if updates else ():
            earliest = max(earliest, other.item + (not self._runs_in_order(other, extents)))
        outer = extents[0] if extents else 0
        candidates = self._kernels.setdefault(outer, [])
        first = bisect.bisect_left(candidates, earliest)
        if first < len(candidates):
            item = candidates[first]
            kernel = self._items[item]
            assert isinstance(kernel, Kernel)
            nest = self._put_into(kernel, item, extents, statement, loads, updates)
            if sum(len(each.statements) for each in kernel.nests) >= MOST_STATEMENTS:
                del candidates[first]
        else:
            item, nest = len(self._items), 0
            kernel = Kernel(outer, [Nest(extents, [statement])])
            self._items.append(kernel)
            candidates.append(item)
        if zeroed:
            kernel.zeroed.append(statement.buffer)
        before = self._written.get(statement.buffer)
        if before is None and whole:
            self._written[statement.buffer] = _Written(item, nest, statement)
        else:
            self._written[statement.buffer] = _later(_Written(item, nest), before)
        for load in loads:
            self._read[load.buffer] = _later(_Written(item, nest), self._read.get(load.buffer))

    def _before(self, statement: Statement) -> list[_Written]:
        """Say where the buffer that a statement changes was last written and read."""
        found = (self._written.get(statement.buffer), self._read.get(statement.buffer))
        return [each for each in found if each is not None]

    def _runs_in_order(self, before: _Written, extents: tuple[int, ...]) -> bool:
        """Whether what is put into a kernel runs after what is there: without loops it does."""
        kernel = self._items[before.item]
        if extents or not isinstance(kernel, Kernel) or kernel.outer:
            return False
        return not kernel.nests[before.nest].extents  # nor a loop that never runs

    def _may_join(self, written: _Written, load: Load | Gathered, extents: tuple[int, ...]) -> bool:
        """Whether a reader can run in the kernel that writes what it reads."""
        if self._runs_in_order(written, extents):
            return True
        kernel, statement = self._items[written.item], written.statement
        if not isinstance(kernel, Kernel) or statement is None:
            return False
        return kernel.outer == (extents[0] if extents else 0) and is_row_aligned(
            statement, load, extents
        )

    def _put_into(
        self,
        kernel: Kernel,
        item: int,
        extents: tuple[int, ...],
        statement: Statement,
        loads: Sequence[Load | Gathered],
        updates: bool,
    ) -> int:
        """Put a statement into a nest of a kernel, after what it reads."""
        first = 0
        for load in loads:
            written = self._written.get(load.buffer)
            if written is not None and written.item == item:
                same = kernel.nests[written.nest].extents == extents and (
                    not extents or is_same_entry(written.statement, load)
                )
                first = max(first, written.nest + (not same))
        for before in self._before(statement) if updates else ():
            if before.item == item:
                first = max(first, before.nest)
        for position in range(first, len(kernel.nests)):
            nest = kernel.nests[position]
            # What scatters is done entry by entry.
            scatters = isinstance(nest.statements[0], Scatter)
            if nest.extents == extents and scatters == isinstance(statement, Scatter):
                kernel.nests[position].statements.append(statement)
                return position
        kernel.nests.append(Nest(extents, [statement]))
        return len(kernel.nests) - 1


def _own_cost(name: str) -> int:
    return 1 if name in _CHEAP else _MODERATE.get(name, EXPENSIVE)


def is_cheap(name: str) -> bool:
    """Whether an operation takes an instruction or two."""
    return _own_cost(name) == 1


def is_expensive(name: str) -> bool:
    """Whether an operation takes many instructions."""
    return _own_cost(name) == EXPENSIVE


def _later(one: _Written, other: _Written | None) -> _Written:
    """Choose the later of two places."""
    if other is None or (one.item, one.nest) >= (other.item, other.nest):
        return one
    return _Written(other.item, other.nest)


def _array_type(node: Node) -> ArrayType:
    assert isinstance(node.type, ArrayType)
    return node.type


def _is_native(node: Node) -> bool:
    """Whether registers can hold what an operation reads and gives."""
    return all(
        isinstance(each.type, ArrayType) and register_element(each.type.dtype) is not None
        for each in (*node.inputs, node)
    )


def _is_of_user(node: Node) -> bool:
    """Whether a primitive of the user's has the name of one that is known here."""
    return PRIMITIVES.get(node.operation.name, node.operation) is not node.operation


def _reads_nothing(node: Node) -> bool:
    """Whether an indexing with arrays meets an axis without entries: NumPy finds that an error."""
    if node.operation.name not in ("gather", "scatter_add"):
        return False
    x, *indices = node.inputs
    source, result = _array_type(x), _array_type(node)
    return bool(indices) and (not source.size or not result.size)


def _can_reduce(node: Node) -> bool:
    (x,) = node.inputs
    kind = _array_type(x)
    if kind.dtype.char == "e" and node.operation.name in ("sum", "prod"):
        return False  # NumPy adds half precision up in an order of its own
    return kind.size > 0 or node.operation.name not in ("max", "min")


def _contiguous(buffer: Buffer, shape: tuple[int, ...]) -> Storage:
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(0 if length == 1 else step)
        step *= length
    return Storage(buffer, 0, tuple(reversed(strides)))


def _loops_over(shape: tuple[int, ...]) -> tuple[tuple[int, ...], Access]:
    """One loop for each axis that is longer than 1, and the access to each entry by them."""
    axes = [axis for axis, length in enumerate(shape) if length != 1]
    access = tuple((0, tuple(int(axis == each) for each in axes)) for axis in range(len(shape)))
    return tuple(shape[axis] for axis in axes), access


def _place(storage: Storage, access: Access, loops: int) -> tuple[int, tuple[int, ...]]:
    """Combine how a value lies with how it is read: offset, and stride of each loop."""
    offset, strides = storage.offset, [0] * loops
    for (start, steps), stride in zip(access, storage.strides, strict=True):
        offset += start * stride
        for loop, step in enumerate(steps):
            strides[loop] += step * stride
    return offset, tuple(strides)


def _load(storage: Storage, access: Access, loops: int) -> Load:
    offset, strides = _place(storage, access, loops)
    return Load(storage.buffer, offset, strides)


def _narrow(shape: tuple[int, ...], access: Sequence[Affine], loops: int) -> Access:
    """Read the one entry of each axis of length 1, whatever the loops do."""
    zero = (0, (0,) * loops)
    return tuple(zero if length == 1 else each for length, each in zip(shape, access, strict=True))


def _broadcast(
    shape: tuple[int, ...], result: tuple[int, ...], access: Access, loops: int
) -> Access:
    """Access to an operand that is broadcast to a result."""
    return _narrow(shape, access[len(result) - len(shape) :], loops)


def _view_of(below: Storage, shape: tuple[int, ...], node: Node) -> Storage | None:
    """How a view lies, given how what it views does; None where it cannot be a view."""
    kind = _array_type(node)
    name = node.operation.name
    if name == "reshape":
        strides = _reshaped(shape, below.strides, kind.shape)
        return None if strides is None else Storage(below.buffer, below.offset, strides)
    if name == "transpose":
        strides = tuple(below.strides[axis] for axis in node.static["axes"])
        return Storage(below.buffer, below.offset, strides)
    if name == "broadcast":
        missing = kind.ndim - len(shape)
        strides = (0,) * missing + tuple(
            0 if length == 1 else stride
            for length, stride in zip(shape, below.strides, strict=True)
        )
        return Storage(below.buffer, below.offset, strides)
    offset, strides_left = below.offset, []
    for item, axis in _expanded(node.static["key"], len(shape)):
        if item is None:
            strides_left.append(0)
        elif isinstance(item, slice):
            assert axis is not None
            start, stop, step = item.indices(shape[axis])
            offset += start * below.strides[axis] if range(start, stop, step) else 0
            strides_left.append(step * below.strides[axis])
        else:
            assert axis is not None
            offset += int(item) % shape[axis] * below.strides[axis]
    return Storage(below.buffer, offset, tuple(strides_left))


def _viewed(
    storage: Storage, kind: ArrayType, views: Sequence[tuple[str, Any]]
) -> tuple[Storage, ArrayType] | None:
    """Follow views from an array to its part; None where it is no view in this memory."""
    for name, setting in views:
        if name not in _SETTINGS:
            return None
        operation = primitive(name)
        static = {_SETTINGS[name]: setting}
        node = Node(operation, (), static, operation.infer(kind, **static))
        below = _view_of(storage, kind.shape, node)
        if below is None:
            return None
        storage, kind = below, _array_type(node)
    return storage, kind


_SETTINGS = {"reshape": "shape", "slice": "key", "transpose": "axes"}


def _access_through(node: Node, access: Access, loops: int) -> Access | None:
    """Access to what is viewed, of an access to the view; None where it is no sum of loops."""
    kind, shape = _array_type(node), _array_type(node.inputs[0]).shape
    name = node.operation.name
    zero: Affine = (0, (0,) * loops)
    if name == "broadcast":
        return _broadcast(shape, kind.shape, access, loops)
    if name == "transpose":
        result = [zero] * len(shape)
        for position, axis in enumerate(node.static["axes"]):
            result[axis] = access[position]
        return tuple(result)
    if name == "reshape":
        return _split_access(shape, kind.shape, access, loops)
    result = []
    places = iter(access)
    for item, axis in _expanded(node.static["key"], len(shape)):
        if item is None:
            next(places)
        elif isinstance(item, slice):
            assert axis is not None
            start, _, step = item.indices(shape[axis])
            offset, strides = next(places)
            result.append((start + step * offset, tuple(step * each for each in strides)))
        else:
            assert axis is not None
            result.append((int(item) % shape[axis], zero[1]))
    return tuple(result)


def _expanded(key: tuple[Any, ...], ndim: int) -> Iterator[tuple[Any, int | None]]:
    """Give the entries of a key with their axes, with slices in place of Ellipsis."""
    given = sum(each is not None and each is not Ellipsis for each in key)
    axis = 0
    for item in key if Ellipsis in key else (*key, Ellipsis):
        if item is None:
            yield None, None
        elif item is Ellipsis:
            for _ in range(ndim - given):
                yield slice(None), axis
                axis += 1
        else:
            yield item, axis
            axis += 1


def _groups(
    shape: tuple[int, ...], new_shape: tuple[int, ...]
) -> Iterator[tuple[list[int], list[int]]]:
    """Axes of two shapes of equal size that hold the same entries, those of length 1 left out."""
    old = [axis for axis, length in enumerate(shape) if length != 1]
    new = [axis for axis, length in enumerate(new_shape) if length != 1]
    groups = []
    while old or new:
        first, second = [old.pop(0)], [new.pop(0)]
        left, right = shape[first[0]], new_shape[second[0]]
        while left != right:
            if left < right:
                first.append(old.pop(0))
                left *= shape[first[-1]]
            else:
                second.append(new.pop(0))
                right *= new_shape[second[-1]]
        groups.append((first, second))
    return iter(groups)


def _reshaped(
    shape: tuple[int, ...], strides: tuple[int, ...], new_shape: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Strides under another shape; None where the entries do not lie so."""
    result = [0] * len(new_shape)
    if 0 in shape:
        return tuple(result)
    for old, new in _groups(shape, new_shape):
        if any(strides[axis] != strides[after] * shape[after] for axis, after in pairwise(old)):
            return None
        step = strides[old[-1]]
        for axis in reversed(new):
            result[axis] = step
            step *= new_shape[axis]
    return tuple(result)


def _split_access(
    shape: tuple[int, ...], new_shape: tuple[int, ...], access: Access, loops: int
) -> Access | None:
    """Access to an array by an access to it under another shape, which only splits its axes."""
    zero: Affine = (0, (0,) * loops)
    result = [zero] * len(shape)
    if 0 in shape:
        return tuple(result)
    for old, new in _groups(shape, new_shape):
        if len(old) > 1:
            return None
        offset, strides, step = 0, [0] * loops, 1
        for axis in reversed(new):
            offset += step * access[axis][0]
            for loop, each in enumerate(access[axis][1]):
                strides[loop] += step * each
            step *= new_shape[axis]
        result[old[0]] = (offset, tuple(strides))
    return tuple(result)


def _index_axes(
    key: tuple[Any, ...], shape: tuple[int, ...], together: int, access: Access
) -> tuple[list[tuple[int, Affine]], list[int], int]:
    """Take an indexing with arrays apart.

    Parameters
    ----------
    shape : tuple of int
        Of what is indexed.
    together : int
        Number of axes that the index arrays have together.
    access : Access
        To what the indexing gives.

    Returns
    -------
    affine : list of (axis, index)
        Axes that are read along loops.
    dynamic : list of axis
        Axes that index arrays say.
    place : int
        Where the axes of the index arrays are in what the indexing gives.
    """
    entries = list(_expanded(key, len(shape)))
    # NumPy takes integers beside index arrays for index arrays.
    advanced = [i for i, (item, _) in enumerate(entries) if isinstance(item, (int, str))]
    place = 0
    if advanced[-1] - advanced[0] + 1 == len(advanced):
        place = advanced[0]
    others = iter((*access[:place], *access[place + together :]))
    affine: list[tuple[int, Affine]] = []
    dynamic: list[int] = []
    loops = len(access[0][1]) if access else 0
    for item, axis in entries:
        if item is None:
            next(others)
            continue
        assert axis is not None
        if isinstance(item, slice):
            start, _, step = item.indices(shape[axis])
            offset, strides = next(others)
            affine.append((axis, (start + step * offset, tuple(step * each for each in strides))))
        elif isinstance(item, str):
            dynamic.append(axis)
        else:
            affine.append((axis, (int(item) % shape[axis], (0,) * loops)))
    return affine, dynamic, place


def _counting(value: np.ndarray[Any, Any]) -> tuple[int, int] | None:
    """Start and step of the integers in a row of numbers that count."""
    if value.ndim != 1 or value.dtype.kind not in "iu" or not value.size:
        return None
    start = int(value[0])
    step = int(value[1]) - start if value.size > 1 else 1
    counts = np.array_equal(value, np.arange(start, start + value.size * step, step or 1))
    return (start, step) if step and counts else None


def _counts_inside(index: Node, length: int) -> bool:
    """Whether integers that count stay within an axis."""
    value = index.operation.value if isinstance(index.operation, Constant) else None
    return value is not None and int(value.min()) >= 0 and int(value.max()) < length


def is_same_entry(statement: Statement | None, load: Load | Gathered) -> bool:
    """Whether a load reads just what a statement of the same loops has written."""
    return (
        isinstance(statement, Store)
        and isinstance(load, Load)
        and (statement.offset, statement.strides) == (load.offset, load.strides)
    )


def is_row_aligned(statement: Statement, load: Load | Gathered, extents: tuple[int, ...]) -> bool:
    """Whether a load reads only what a statement writes for the same index of the outer loop."""
    if not extents:
        return not statement.strides
    if not statement.strides or (isinstance(statement, Reduce) and statement.reduced[0]):
        return False
    row = statement.strides[0]
    if row <= 0 or load.strides[0] != row:
        return False
    low = high = load.offset - statement.offset
    spans = [
        stride * (length - 1) for stride, length in zip(load.strides[1:], extents[1:], strict=True)
    ]
    if isinstance(load, Gathered):
        spans += [stride * (length - 1) for _, stride, length in load.parts]
    low += sum(min(span, 0) for span in spans)
    high += sum(max(span, 0) for span in spans)
    return low >= 0 and high < row
