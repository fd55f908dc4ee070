"""A program as text: what a person reads, and what the cache knows its code by.

The text says all that the code depends on, so that equal texts have equal code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

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
    Rounds,
    Scatter,
    Statement,
    Storage,
    parts_of,
)
from steepest.graph import Constant, Node

__all__ = ["anonymous", "described", "listing", "outline"]


def listing(program: Program) -> str:
    """Write a program down, item by item."""
    return _Listing().program(program)


def outline(program: Program) -> str:
    """Say in a line for each item what runs, and which of the user's lines it comes from."""
    return "\n".join(_with_lines(*described(item)) for item in program.items)


def described(item: Item) -> tuple[str, list[Node]]:
    """Say what an item is, and what nodes of the graph it comes from."""
    if isinstance(item, MatrixProduct):
        rows, inner, columns = item.extents
        stack = f"{' × '.join(map(str, item.batch))} of " if item.batch else ""
        what = f"product of matrices, {stack}{rows} × {inner} by {inner} × {columns}"
        if item.finish is None:
            return what, [item.node]
        nodes = _applied_nodes([item.finish])
        names = list(dict.fromkeys(node.operation.name for node in nodes))
        return f"{what}, then {', '.join(names) or 'copying'}", [item.node, *nodes]
    if isinstance(item, Callback):
        return f"NumPy's {item.node.operation.name}", [item.node]
    nodes = _applied_nodes(item.nests)
    sums = [
        statement.operation
        for nest in item.nests
        for statement in nest.statements
        if isinstance(statement, Reduce)
    ]
    names = list(dict.fromkeys([*(node.operation.name for node in nodes), *sums]))
    sizes = list(dict.fromkeys(" × ".join(map(str, nest.extents)) or "1" for nest in item.nests))
    what = f"loops over {', '.join(sizes)}: {', '.join(names) or 'copying'}"
    return what, nodes


def _applied_nodes(nests: Sequence[Nest]) -> list[Node]:
    return [
        each.node
        for nest in nests
        for statement in nest.statements
        for each in _expressions(statement)
        if isinstance(each, Apply)
    ]


def _with_lines(what: str, nodes: Sequence[Node]) -> str:
    lines = {node.line for node in nodes if node.line is not None}
    places = sorted({f"{Path(line.filename).name}:{line.number}" for line in lines})
    return f"{what}  ({', '.join(places)})" if places else what


def _expressions(statement: Statement) -> Iterator[Expression]:
    """Give the expressions of a statement, each once, in the order of computing."""
    seen: set[int] = set()

    def visit(expression: Expression) -> Iterator[Expression]:
        if id(expression) not in seen:
            seen.add(id(expression))
            for part in parts_of(expression):
                yield from visit(part)
            yield expression

    yield from visit(statement.value)


def anonymous(nest: Nest) -> tuple[str, list[Buffer]]:
    """Say what a nest does, to which buffers: others of the same text do the same to theirs."""
    listing = _Listing(is_anonymous=True)
    listing.nest("nest", nest)
    return str(listing), listing.buffers


class _Listing:
    def __init__(self, *, is_anonymous: bool = False) -> None:
        self._rows: list[str] = []
        self._expressions: dict[int, str] = {}
        self._buffers: dict[Buffer, str] = {}
        self._is_anonymous = is_anonymous

    def __str__(self) -> str:
        return "\n".join(self._rows)

    @property
    def buffers(self) -> list[Buffer]:
        """What was listed, in order."""
        return [*self._buffers]

    def program(self, program: Program) -> str:
        rows = self._rows
        rows.append(
            f"program {' '.join(map(self._buffer, program.inputs))} ->"
            f" {' '.join(map(self._buffer, program.outputs))}{' careful' * program.careful}"
        )
        rounds = {each.first: each for each in program.rounds}
        for place, item in enumerate(program.items):
            if place in rounds:
                self._rounds(rounds[place])
            if isinstance(item, Kernel):
                self._kernel(item)
            elif isinstance(item, MatrixProduct):
                rows.append(
                    f"product {item.extents} batch {item.batch}:"
                    f" {self._buffer(item.result)} ="
                    f" {self._storage(item.left)} @ {self._storage(item.right)}"
                    f"{' zero-safe' * item.zero_safe}"
                )
                if item.finish is not None:
                    self.nest("finish", item.finish)
            else:
                self._callback(item)
        return "\n".join(rows)

    def _rounds(self, rounds: Rounds) -> None:
        private = " ".join(
            f"{self._buffer(each)} in {size}" for each, size in rounds.private.items()
        )
        self._rows.append(
            f"rounds of the next {rounds.last - rounds.first}:"
            f" {rounds.size} of {rounds.count} at a time, alone {private}"
        )

    def _buffer(self, buffer: Buffer) -> str:
        known = self._buffers.get(buffer)
        if known is None:
            place = buffer.offset if buffer.origin is Origin.ARENA else buffer.position
            if self._is_anonymous:
                place = len(self._buffers)
            known = f"{buffer.origin.value}{place}:{buffer.dtype.str}[{buffer.size}]"
            self._buffers[buffer] = known
        return known

    def _storage(self, storage: Storage) -> str:
        return f"{self._buffer(storage.buffer)}+{storage.offset}{storage.strides}"

    def _callback(self, item: Callback) -> None:
        results = " ".join(map(self._buffer, item.results))
        operands = ", ".join(
            repr(each.value) if isinstance(each, Number) else self._storage(each[0])
            for each in item.inputs
        )
        self._rows.append(f"numpy {results} = {item.node.operation.name} {operands}")

    def _kernel(self, kernel: Kernel) -> None:
        zeroed = "".join(f" zeroed {self._buffer(each)}" for each in kernel.zeroed)
        self._rows.append(f"kernel over {kernel.outer}{zeroed}")
        for nest in kernel.nests:
            self.nest("nest", nest)

    def nest(self, name: str, nest: Nest) -> None:
        """List a nest."""
        self._rows.append(f"  {name} {nest.extents}")
        # Expressions of different nests have different loops.
        self._expressions = {}
        for statement in nest.statements:
            self._statement(statement)

    def _statement(self, statement: Statement) -> None:
        value = self._expression(statement.value)
        place = f"{self._buffer(statement.buffer)}+{statement.offset}{statement.strides}"
        if isinstance(statement, Reduce):
            kind = f"{statement.operation} {statement.reduced}{' zero-safe' * statement.zero_safe}"
        elif isinstance(statement, Scatter):
            kind = f"{'scatter' if statement.adds else 'write'} {self._parts(statement.parts)}"
        else:
            kind = "replace" if statement.replaces else "store"
        self._rows.append(f"    {place} = {kind} {value}")

    def _parts(self, parts: Sequence[tuple[Expression, int, int]]) -> str:
        return " ".join(
            f"[{self._expression(index)} * {stride} of {length}]" for index, stride, length in parts
        )

    def _expression(self, expression: Expression) -> str:
        known = self._expressions.get(id(expression))
        if known is None:
            text = self._written(expression)
            known = f"%{len(self._expressions)}"
            self._expressions[id(expression)] = known
            self._rows.append(f"    {known} = {text}")
        return known

    def _written(self, expression: Expression) -> str:
        if isinstance(expression, Load):
            place = f"{expression.offset}{expression.strides}"
            return f"load {self._buffer(expression.buffer)}+{place}"
        if isinstance(expression, Gathered):
            place = f"{expression.offset}{expression.strides} {self._parts(expression.parts)}"
            return f"gather {self._buffer(expression.buffer)}+{place}"
        if isinstance(expression, Number):
            return f"number {expression.value!r} {expression.dtype.str}"
        if isinstance(expression, Count):
            return f"count {expression.offset}{expression.strides} {expression.dtype.str}"
        if isinstance(expression, OneHot):
            return (
                f"one-hot {self._expression(expression.index)} of {expression.length}"
                f" {self._written(expression.position)} {self._expression(expression.value)}"
                f" {expression.dtype.str}"
            )
        return self._applied(expression)

    def _applied(self, expression: Apply) -> str:
        node = expression.node
        args = []
        for argument, parent in zip(expression.args, node.inputs, strict=True):
            # The value of a number may decide how an operation is done.
            constant = parent.operation
            number = ""
            if isinstance(constant, Constant) and not isinstance(constant.value, np.ndarray):
                number = repr(constant.value)
            args.append(f"{self._expression(argument)}:{parent.type}{number}")
        static = f" {node.static}" if node.static else ""
        return (
            f"{node.operation.name}{' unchecked' * expression.zero_safe} {', '.join(args)}"
            f" -> {node.type}{static}"
        )
