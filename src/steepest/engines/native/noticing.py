"""Which products need not be searched for NaN, as whoever reads them would notice it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from steepest.engines.native.layout import buffers_written
from steepest.engines.native.nests import (
    Apply,
    Buffer,
    Expression,
    Item,
    Kernel,
    Load,
    MatrixProduct,
    Nest,
    Program,
    Reduce,
    Scatter,
    Statement,
    all_parts,
    parts_of,
)

__all__ = ["noticed"]

_HANDS_ON = frozenset(
    ("absolute", "add", "divide", "multiply", "negative", "sqrt", "square", "subtract")
)
"""Operations that give NaN wherever one of their arguments is NaN."""

_Reader = tuple[Statement, Sequence[int]]  # and the extents of its loops


def noticed(program: Program, finite: Collection[Buffer]) -> frozenset[Buffer]:
    """Find the results of products of which any NaN is reported by what comes after.

    Each entry then goes, through operations that hand NaN on, to one that looks for it: a product
    of single numbers in which a zero factor makes a zero term, or an output that must be finite.

    Parameters
    ----------
    program : Program
    finite : collection of Buffer
        Outputs of which it is reported when they are not finite.
    """
    if program.careful:
        return frozenset()
    writers: dict[Buffer, int] = {}
    readers: dict[Buffer, list[_Reader]] = {}
    for item in program.items:
        for buffer in buffers_written(item):
            writers[buffer] = writers.get(buffer, 0) + 1
        if isinstance(item, MatrixProduct) and item.finish is not None:
            writers[item.result] = 1  # in registers
        for statement, extents in _statements(item):
            for part in all_parts([statement.value]):
                if isinstance(part, Load):
                    readers.setdefault(part.buffer, []).append((statement, extents))

    def is_noticed(first: Buffer) -> bool:
        pending, seen = [first], {first}
        while pending:
            buffer = pending.pop()
            # What another writes to as well may be gone when it is read.
            if writers.get(buffer) != 1:
                continue
            for statement, extents in readers.get(buffer, ()):
                target = _target(statement, buffer, extents, finite)
                if target is True:
                    return True
                if isinstance(target, Buffer) and target not in seen:
                    seen.add(target)
                    pending.append(target)
        return False

    products = (item for item in program.items if isinstance(item, MatrixProduct))
    return frozenset(item.result for item in products if is_noticed(item.result))


def _statements(item: Item) -> Iterator[_Reader]:
    nests: Sequence[Nest] = ()
    if isinstance(item, Kernel):
        nests = item.nests
    elif isinstance(item, MatrixProduct) and item.finish is not None:
        nests = (item.finish,)
    for nest in nests:
        for statement in nest.statements:
            yield statement, nest.extents


def _target(
    statement: Statement, buffer: Buffer, extents: Sequence[int], finite: Collection[Buffer]
) -> Buffer | bool | None:
    """Say where a NaN in any entry of a buffer goes: True where it is noticed, None for nowhere."""
    if isinstance(statement, Scatter):
        return None
    users: dict[int, list[Expression]] = {}
    pending: list[Expression] = []
    for part in all_parts([statement.value]):
        if isinstance(part, Load) and part.buffer is buffer and _covers(part, extents):
            pending.append(part)
        for each in parts_of(part):
            users.setdefault(id(each), []).append(part)
    seen: set[int] = set()
    while pending:
        expression = pending.pop()
        if expression is statement.value:
            if isinstance(statement, Reduce):
                if statement.operation != "sum":
                    return None
                if statement.zero_safe:
                    return True
            return True if statement.buffer in finite else statement.buffer
        for user in users.get(id(expression), ()):
            if isinstance(user, Apply) and id(user) not in seen:
                seen.add(id(user))
                if user.zero_safe:
                    return True
                if user.node.operation.name in _HANDS_ON:
                    pending.append(user)
    return None


def _covers(load: Load, extents: Sequence[int]) -> bool:
    """Whether loops of some extents read every entry of a buffer, in whatever order."""
    length = 1
    axes = zip(load.strides, extents, strict=True)
    for stride, extent in sorted(axis for axis in axes if axis[0] and axis[1] > 1):
        if stride != length:
            return False
        length *= extent
    return load.offset == 0 and length == load.buffer.size and 0 not in extents
