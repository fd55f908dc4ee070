"""Which arrays of a batch are gathered by the product that reads them first, on its way."""

from __future__ import annotations

from steepest.engines.native.layout import buffers_read, buffers_written
from steepest.engines.native.nests import Buffer, MatrixProduct, Program
from steepest.engines.native.partition import product_of
from steepest.engines.native.processor import Processor
from steepest.engines.native.products import can_list
from steepest.engines.native.steps import StepGraph

__all__ = ["gathered_by_products"]

LEAST_WIDTH = 256
"""Bytes of a row from which on a product reads it where the data lie."""


def gathered_by_products(
    program: Program, step: StepGraph, rows: int, processor: Processor
) -> dict[Buffer, MatrixProduct]:
    """Find the arrays of a batch, of so many rows, that a product is the first to read.

    If `can_list` is true for it, it reads the rows where they lie in the data, and copies them to
    where others read the batch.
    """
    if program.careful or rows < 2:
        return {}
    waiting = {program.inputs[position] for position in step.batch}
    waiting = {each for each in waiting if each.bytes // rows >= LEAST_WIDTH}
    found = {}
    for item in program.items:
        for buffer in waiting.intersection(buffers_read(item)):
            waiting.remove(buffer)
            if (
                isinstance(item, MatrixProduct)
                and [*buffers_read(item)].count(buffer) == 1
                and _reads_rows(item, rows)
                and can_list(product_of(item), processor)
            ):
                found[buffer] = item
        waiting -= {*buffers_written(item)}
    return {each: item for each, item in found.items() if each not in program.outputs}


def _reads_rows(item: MatrixProduct, rows: int) -> bool:
    """Whether the rows of a product's left matrix are those of the batch."""
    storage = item.left
    width = storage.buffer.size // rows
    return (
        not item.batch
        and not storage.offset
        and item.extents[2] > 0
        and storage.strides == (width, 1)
        and item.extents[:2] == (rows, width)
    )
