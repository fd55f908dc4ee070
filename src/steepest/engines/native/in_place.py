"""Which results can be written over the values that they replace: new weights over the old."""

from __future__ import annotations

from collections.abc import Sequence

from steepest.engines.native.fuse import is_row_aligned, is_same_entry
from steepest.engines.native.layout import buffers_read, buffers_written
from steepest.engines.native.nests import (
    Buffer,
    Item,
    Kernel,
    MatrixProduct,
    Nest,
    Origin,
    Program,
    Store,
    loads_of,
)
from steepest.engines.native.rounds import keeps_to_its_own

__all__ = ["written_in_place"]


def written_in_place(program: Program, carried: Sequence[tuple[int, int]]) -> dict[Buffer, Buffer]:
    """Find the outputs that may share the memory of an input.

    Parameters
    ----------
    program : Program
    carried : sequence of (int, int)
        Positions of an input and of the output that takes its place after the run.

    Returns
    -------
    dict from Buffer to Buffer
        From outputs to inputs. The program reads such an input nowhere after it has written the
        output's entry at the same place.
    """
    readers: dict[Buffer, list[int]] = {}
    writers: dict[Buffer, list[int]] = {}
    for place, item in enumerate(program.items):
        for buffer in buffers_read(item):
            readers.setdefault(buffer, []).append(place)
        for buffer in buffers_written(item):
            writers.setdefault(buffer, []).append(place)
    spans = program.spans()
    homes: dict[Buffer, Buffer] = {}
    for before, after in carried:
        if after < 0:
            continue
        old, new = program.inputs[before], program.outputs[after]
        if new.origin is not Origin.OUTPUT or new.position != after or old in homes.values():
            continue
        places = writers.get(new, [])
        if len(places) != 1:
            continue
        if _is_free(program, spans[places[0]], places[0], max(readers.get(old, [-1])), new, old):
            homes[new] = old
    return homes


def _is_free(
    program: Program, span: tuple[int, int], place: int, last_read: int, new: Buffer, old: Buffer
) -> bool:
    """Whether nobody reads an old value once an item has written the new one in its place.

    Parameters
    ----------
    span : tuple of int
        The first and the last item that the one at a place takes turns with.
    """
    first, _ = span
    if last_read < first:
        return True
    if last_read > place:
        return False
    nests = _nests(program.items[place], old)
    stores = [each for nest in nests for each in nest.statements if each.buffer is new]
    return _may_overwrite(nests, new, old) and all(
        keeps_to_its_own(each, old, stores[0]) for each in program.items[first:place]
    )


def _nests(item: Item, old: Buffer) -> Sequence[Nest]:
    """Give the nests of an item that reads a buffer in no other way."""
    if isinstance(item, Kernel):
        return item.nests
    if isinstance(item, MatrixProduct) and item.finish is not None:
        return () if old in (item.left.buffer, item.right.buffer) else (item.finish,)
    return ()


def _may_overwrite(nests: Sequence[Nest], new: Buffer, old: Buffer) -> bool:
    """Whether nests that run side by side read each old entry before they write the new one."""
    written = None
    for nest in nests:
        for statement in nest.statements:
            if written is not None and any(load.buffer is old for load in loads_of(statement)):
                return False
            if statement.buffer is new:
                written = (nest, statement)
    if written is None:
        return False
    nest, store = written
    if not isinstance(store, Store):
        return False
    for other in nests:
        for statement in other.statements:
            for load in loads_of(statement):
                if load.buffer is not old:
                    continue
                if other is nest and not is_same_entry(store, load):
                    return False
                if other is not nest and not is_row_aligned(store, load, other.extents):
                    return False
    return True
