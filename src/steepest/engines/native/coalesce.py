"""Making one loop of two, wherever every access runs through both evenly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from steepest.engines.native.nests import (
    Apply,
    Count,
    Expression,
    Gathered,
    Kernel,
    Load,
    Nest,
    Number,
    OneHot,
    Reduce,
    Scatter,
    Statement,
    all_parts,
)

__all__ = ["with_few_loops", "with_strides"]


def with_few_loops(kernel: Kernel) -> Kernel:
    """Give a kernel as few loops as possible; the outer loop of several nests stays."""
    if len(kernel.nests) == 1:
        nest = _coalesced(kernel.nests[0], 0)
        return Kernel(nest.extents[0] if nest.extents else 0, [nest], kernel.zeroed)
    return Kernel(kernel.outer, [_coalesced(nest, 1) for nest in kernel.nests], kernel.zeroed)


def _coalesced(nest: Nest, first: int) -> Nest:
    """Make one loop of two, from a loop on, wherever every access runs through both evenly."""
    tuples: set[tuple[int, ...]] = set()
    reduced: list[tuple[bool, ...]] = []
    for statement in nest.statements:
        tuples.add(statement.strides)
        tuples |= _strides_in(statement)
        if isinstance(statement, Reduce):
            reduced.append(statement.reduced)
        elif isinstance(statement, Scatter):
            return nest
    kept = list(range(len(nest.extents)))
    extents = list(nest.extents)
    for loop in reversed(range(first, len(extents) - 1)):
        inner = kept[kept.index(loop) + 1]
        if all(each[loop] == each[inner] * extents[inner] for each in tuples) and all(
            each[loop] == each[inner] for each in reduced
        ):
            extents[inner] *= extents[loop]
            kept.remove(loop)
    if len(kept) == len(nest.extents):
        return nest
    copies: dict[int, Expression] = {}

    def pick(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(values[loop] for loop in kept)

    def copy(expression: Expression) -> Expression:
        known = copies.get(id(expression))
        if known is None:
            known = copies[id(expression)] = with_strides(expression, pick, copy)
        return known

    statements: list[Statement] = []
    for statement in nest.statements:
        value = copy(statement.value)
        if isinstance(statement, Reduce):
            reduced_loops = pick(statement.reduced)
            statements.append(
                replace(
                    statement, strides=pick(statement.strides), reduced=reduced_loops, value=value
                )
            )
        else:
            statements.append(replace(statement, strides=pick(statement.strides), value=value))
    return Nest(tuple(extents[loop] for loop in kept), statements)


def with_strides(
    expression: Expression,
    pick: Callable[[tuple[Any, ...]], tuple[Any, ...]],
    copy: Callable[[Expression], Expression],
) -> Expression:
    """Copy an expression with other strides, of parts that another function copies."""
    if isinstance(expression, Number):
        return expression
    if isinstance(expression, Apply):
        return replace(expression, args=tuple(copy(each) for each in expression.args))
    if isinstance(expression, OneHot):
        position = replace(expression.position, strides=pick(expression.position.strides))
        return replace(
            expression,
            index=copy(expression.index),
            value=copy(expression.value),
            position=position,
        )
    if isinstance(expression, Gathered):
        parts = tuple((copy(index), stride, length) for index, stride, length in expression.parts)
        return replace(expression, strides=pick(expression.strides), parts=parts)
    return replace(expression, strides=pick(expression.strides))


def _strides_in(statement: Statement) -> set[tuple[int, ...]]:
    """Collect the strides of all that a statement reads and counts."""
    found: set[tuple[int, ...]] = set()
    for expression in all_parts([statement.value]):
        if isinstance(expression, (Load, Gathered, Count)):
            found.add(expression.strides)
        elif isinstance(expression, OneHot):
            found.add(expression.position.strides)
    return found
