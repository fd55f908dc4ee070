"""How work is divided among threads: by its shape alone, so that no bit depends on their number.

Large items of a program are cut into pieces, whether one thread runs them or several. A piece of a
kernel is a range of its outer loop; what it adds up over that loop goes to a partial result of its
own, and the partial results are added in order. A piece of a matrix product is a block of rows or
of columns, or some of the matrices of a stack.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from steepest.engines.native.layout import rounded
from steepest.engines.native.nests import (
    Apply,
    Buffer,
    Expression,
    Kernel,
    MatrixProduct,
    Nest,
    Program,
    Reduce,
    Scatter,
    Store,
    loads_of,
    parts_of,
)
from steepest.engines.native.operations import memory_element
from steepest.engines.native.processor import Processor
from steepest.engines.native.products import Product, cut, product_cycles
from steepest.engines.native.sharing import MOST_PIECES

__all__ = [
    "BLOCK",
    "MOST_BLAS_PIECES",
    "MOST_PARTIAL",
    "MOST_THREADS",
    "PRODUCT_PIECES_A_THREAD",
    "Pieces",
    "ProductPieces",
    "piece_of",
    "pieces_of_kernel",
    "pieces_of_product",
    "product_of",
    "work",
]

PIECE = 20_000
"""Cycles that a piece takes at least, by a rough estimate: several microseconds."""
MOST_THREADS = 4
"""More threads make no difference to how work is cut."""
PRODUCT_PIECES_A_THREAD = 4
"""Of a matrix product, at most. The bits do not depend on it."""
MOST_BLAS_PIECES = 8
"""Of a product that BLAS computes. The bits depend on it."""
BLOCK = 16
"""Settings of the outer loop for which the nests of a kernel run side by side."""
GRANULE = 64
"""Entries of a loop over single entries that a piece is a multiple of: whole vectors and lines."""
MOST_PARTIAL = 64 * 1024
"""Bytes that all partial results of a kernel take at most."""
TRANSCENDENTAL = 16
"""Cycles of a function such as exp, in units of a multiplication."""
BYTES_PER_CYCLE = 8
"""What the memory gives, about."""
_CHEAP = frozenset(
    (
        "add",
        "subtract",
        "multiply",
        "negative",
        "absolute",
        "square",
        "scale",
        "maximum",
        "minimum",
        "where",
        "cast",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "equal",
        "not_equal",
    )
)


@dataclass(frozen=True, slots=True)
class Pieces:
    """A range cut into pieces of one size, of which the last may be smaller.

    Attributes
    ----------
    extent : int
        Length of the range.
    size : int
        Of a piece.
    partial : tuple of Buffer
        What each piece has a partial result for.
    """

    extent: int
    size: int
    partial: tuple[Buffer, ...] = ()

    @property
    def count(self) -> int:
        """Number of pieces."""
        return -(-self.extent // self.size)

    @property
    def last(self) -> int:
        """Size of the last piece."""
        return self.extent - (self.count - 1) * self.size


@dataclass(frozen=True, slots=True)
class ProductPieces:
    """A matrix product cut into pieces.

    Attributes
    ----------
    axis : str
        What is cut: the rows of the result, its columns, or the stack of matrices.
    pieces : Pieces
    """

    axis: Literal["rows", "columns", "stack"]
    pieces: Pieces


def work(program: Program, processor: Processor) -> float:
    """Estimate, cheaply, the cycles of what a program may share among threads."""
    cycles = 0.0
    for item in program.items:
        if isinstance(item, Kernel):
            each = _cycles(item.nests, processor)
        elif isinstance(item, MatrixProduct):
            lanes = processor.lanes(8 * item.result.dtype.itemsize)
            each = math.prod((*item.batch, *item.extents)) / (2 * lanes)
        else:
            continue
        if each >= 2 * PIECE:
            cycles += each
    return cycles


def pieces_of_kernel(kernel: Kernel, processor: Processor) -> Pieces | None:
    """Cut the outer loop of a kernel; None where it is not worth it, or cannot be."""
    if not kernel.nests or kernel.zeroed:
        return None
    extent = kernel.outer or (kernel.nests[0].extents or (0,))[0]
    if extent < 2 or any(nest.extents[:1] != (extent,) for nest in kernel.nests):
        return None
    cycles = _cycles(kernel.nests, processor)
    count = min(int(cycles // PIECE), MOST_PIECES)
    if count < 2:
        return None
    partial: dict[Buffer, None] = {}
    accesses: dict[Buffer, int] = {}
    for nest in kernel.nests:
        for statement in nest.statements:
            for buffer in (statement.buffer, *(load.buffer for load in loads_of(statement))):
                accesses[buffer] = accesses.get(buffer, 0) + 1
            if isinstance(statement, Scatter):
                return None
            if isinstance(statement, Store) and not statement.strides[0]:
                return None
            if isinstance(statement, Reduce) and statement.reduced[0]:
                partial[statement.buffer] = None
    if any(accesses[each] != 1 for each in partial):
        return None
    granule = GRANULE if max(len(nest.extents) for nest in kernel.nests) == 1 else 1
    if granule == 1 and extent >= 2 * BLOCK:
        granule = BLOCK
    if partial:
        bytes_each = sum(rounded(each.bytes) for each in partial)
        count = min(count, MOST_PARTIAL // bytes_each)
    if count < 2:
        return None
    size = -(-extent // count)
    size = -(-size // granule) * granule
    return Pieces(extent, size, tuple(partial)) if size < extent else None


def pieces_of_product(
    item: MatrixProduct, product: Product, processor: Processor, threads: int, most: int
) -> ProductPieces | None:
    """Cut a matrix product, or a stack of them, for some threads; None for a small one."""
    stack = math.prod(item.batch)
    count = min(int(stack * product_cycles(product, processor) // PIECE), most, MOST_PIECES)
    if count < 2:
        return None
    if item.batch and item.batch[0] > 1:
        size = -(-item.batch[0] // min(count, item.batch[0]))
        return ProductPieces("stack", Pieces(item.batch[0], size))
    if stack > 1:
        return None
    found = cut(product, processor, threads, count)
    if found is None:
        return None
    axis, size = found
    extent = product.rows if axis == "rows" else product.columns
    return ProductPieces(axis, Pieces(extent, size))


def product_of(item: MatrixProduct) -> Product:
    """Describe one matrix product of a stack."""
    rows, inner, columns = item.extents
    dims = len(item.batch)
    return Product(
        rows,
        columns,
        inner,
        memory_element(item.result.dtype),
        (item.left.strides[dims], item.left.strides[dims + 1]),
        (item.right.strides[dims], item.right.strides[dims + 1]),
        columns,
    )


def piece_of(product: Product, axis: str, size: int) -> Product:
    """Describe a piece of a product."""
    whole = product
    if axis == "rows":
        return replace(product, rows=size, whole=whole)
    return replace(product, columns=size, whole=whole)


def _cycles(nests: list[Nest], processor: Processor) -> float:
    """Estimate what nests take: by their arithmetic, or by the memory that they go through."""
    cycles = 0.0
    touched: dict[Buffer, int] = {}
    for nest in nests:
        entries = math.prod(nest.extents)
        lanes = processor.lanes(32)
        for statement in nest.statements:
            width = max(lanes * 4 // max(statement.buffer.dtype.itemsize, 4), 1)
            if isinstance(statement, Scatter):
                width = 1
            cycles += entries * (1 + _weight(statement.value, {})) / width / 2
            for buffer in (statement.buffer, *(load.buffer for load in loads_of(statement))):
                touched[buffer] = min(buffer.bytes, entries * buffer.dtype.itemsize)
    return max(cycles, sum(touched.values()) / BYTES_PER_CYCLE)


def _weight(expression: Expression, known: dict[int, bool]) -> float:
    """Weigh what an expression consists of, each part of it once."""
    if id(expression) in known:
        return 0
    known[id(expression)] = True
    own = 1.0
    if isinstance(expression, Apply) and expression.node.operation.name not in _CHEAP:
        own = TRANSCENDENTAL
    return own + sum(_weight(each, known) for each in parts_of(expression))
