"""What native code and its callers agree on: flags, tables of addresses, calls back to NumPy."""

from __future__ import annotations

from steepest.engines.native.nests import Buffer, Callback, MatrixProduct, Origin, Program

__all__ = ["CALLBACK", "Behind", "Flags", "callbacks_of", "table_of"]

CALLBACK = "steepest_callback"
"""The external function ``i64 (i64 number, ptr arena, ptr table)`` that runs NumPy."""


class Flags:
    """Bits of what a program returns; 0 when all went well."""

    NAN = 1
    """A NaN arose in a product in which a zero factor makes a zero term."""
    INDEX = 2
    """An index was out of bounds."""
    CALLBACK = 4
    """NumPy raised an exception."""
    NOT_FINITE = 8
    """An output that must be finite is not."""


class Behind:
    """What stands behind the addresses of the buffers in a table, counted from there."""

    HANDING = 0
    """Two addresses by which work is handed to threads; see `emit_share`."""
    COUNTERS = 2
    """The address of the ticks that items take."""
    ROWS = 3
    """The address of the numbers of the rows that make the batch."""
    DATA = 4
    """The addresses of the arrays that these are rows of."""


def table_of(program: Program) -> dict[Buffer, int]:
    """Give the place of each buffer that is not in the arena in the table of addresses."""
    table: dict[Buffer, int] = {}
    constants = sorted(
        (each for each in program.buffers if each.origin is Origin.CONSTANT),
        key=lambda each: each.position,
    )
    for buffer in (*program.inputs, *program.outputs, *constants):
        table.setdefault(buffer, len(table))
    return table


def callbacks_of(program: Program) -> list[Callback]:
    """List what NumPy is called for, in the order of the numbers that it is called with."""
    callbacks = []
    for item in program.items:
        if isinstance(item, Callback):
            callbacks.append(item)
        elif isinstance(item, MatrixProduct) and item.zero_safe and program.careful:
            callbacks.append(Callback(item.node, list(item.operands), [item.result]))
    return callbacks
