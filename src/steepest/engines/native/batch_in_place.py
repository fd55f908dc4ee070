"""Which arrays of a batch products read where the data lie, so that no rows need be gathered."""

from __future__ import annotations

from steepest.engines.native.layout import buffers_read, buffers_written
from steepest.engines.native.nests import Buffer, MatrixProduct, Program
from steepest.engines.native.partition import product_of
from steepest.engines.native.processor import Processor
from steepest.engines.native.products import Axis, can_list
from steepest.engines.native.steps import StepGraph

__all__ = ["listed_axis", "read_in_place"]

LEAST_WIDTH = 256
"""Bytes of a row from which on it is left where it lies."""


def read_in_place(
    program: Program, step: StepGraph, rows: int, processor: Processor
) -> frozenset[Buffer]:
    """Find the arrays of a batch, of so many rows, of which whoever reads them can do without.

    These are the left matrices of products that `can_list` is true for. What NumPy may be called
    for is not among them.
    """
    if program.careful or rows < 2:
        return frozenset()
    found = {program.inputs[position] for position in step.batch}
    found -= {*program.outputs}
    found = {each for each in found if each.bytes // rows >= LEAST_WIDTH}
    for item in program.items:
        found -= {*buffers_written(item)}
        read = found.intersection(buffers_read(item))
        if not read:
            continue
        found -= {
            each
            for each in read
            if not isinstance(item, MatrixProduct)
            or item.right.buffer is each
            or listed_axis(item, rows) is None
            or not can_list(product_of(item), processor)
        }
    return frozenset(found)


def listed_axis(item: MatrixProduct, rows: int) -> Axis | None:
    """Say which axis of a product counts the rows of its left matrix, as it lies in memory."""
    storage = item.left
    width = storage.buffer.size // rows
    if item.batch or storage.offset or not item.extents[2]:
        return None
    if storage.strides == (width, 1) and item.extents[:2] == (rows, width):
        return "rows"
    if storage.strides == (1, width) and item.extents[:2] == (width, rows):
        return "inner"
    return None
