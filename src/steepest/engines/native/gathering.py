"""Which arrays of a batch products read where they lie in the data, or gather on their way."""

from __future__ import annotations

from dataclasses import replace

from steepest.engines.native.layout import buffers_read, buffers_written
from steepest.engines.native.nests import Buffer, Item, MatrixProduct, Program
from steepest.engines.native.partition import product_of
from steepest.engines.native.processor import Processor
from steepest.engines.native.products import Listed, can_list
from steepest.engines.native.steps import BatchRows, StepGraph

__all__ = ["read_by_products"]

LEAST_WIDTH = 256
"""Bytes of a row from which on a product reads it where the data lie."""


def read_by_products(
    program: Program, step: StepGraph, rows: int, processor: Processor
) -> dict[MatrixProduct, BatchRows]:
    """Find the products that read a batch, of so many rows, where these lie in the data.

    Where nothing but such products reads an array of the batch, it is not gathered. Where something
    else does, or the processor reads them faster from one place, the product that is the first to
    read it copies the rows.
    """
    if program.careful or rows < 2:
        return {}
    readers: dict[Buffer, list[tuple[Item, Listed]]] = {}
    for position in step.batch:
        buffer = program.inputs[position]
        if buffer.bytes // rows >= LEAST_WIDTH and buffer not in program.outputs:
            readers[buffer] = []
    for item in program.items:
        for buffer in readers.keys() & {*buffers_read(item)}:
            readers[buffer].append((item, _listed(item, buffer, rows)))
        for buffer in buffers_written(item):
            readers.pop(buffer, None)
    found = {}
    for buffer, items in readers.items():
        copies = not all(_can_list(*each, False, processor) for each in items)
        for item, listed in items[:1] if copies else items:
            if isinstance(item, MatrixProduct) and _can_list(item, listed, copies, processor):
                found[item] = BatchRows(buffer, listed, copies)
    return found


def _listed(item: Item, buffer: Buffer, rows: int) -> Listed:
    """Say which index of a product's left matrix counts the rows of a batch, if one does."""
    if (
        not isinstance(item, MatrixProduct)
        or item.left.buffer is not buffer
        or [*buffers_read(item)].count(buffer) != 1
        or item.batch
        or item.left.offset
        or not item.extents[1]
    ):
        return None
    width = buffer.size // rows
    if item.extents[:2] == (rows, width) and item.left.strides == (width, 1):
        return "rows"
    if item.extents[:2] == (width, rows) and item.left.strides == (1, width):
        return "inner"
    return None


def _can_list(item: Item, listed: Listed, copies: bool, processor: Processor) -> bool:
    """Whether a product may read the rows of a batch where they lie, or copy them on its way."""
    if not isinstance(item, MatrixProduct) or not listed:
        return False
    is_wanted = listed == "rows" if copies else processor.asks_ahead
    product = replace(product_of(item), listed=listed, copies=copies)
    return is_wanted and can_list(product, processor)
