"""Where a gradient stopped being finite: the first operation to make a NaN or an infinity.

A gradient that is not finite has one of two causes. A value was not finite on the way forward; or
all were, and the derivative of an operation is not, as that of the square root at 0. The function
is run once more and looked at in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from steepest.array import Array
from steepest.array.creating import UserCode
from steepest.differentiate.reverse import Accumulator, Record, Tape, propagate, records_behind
from steepest.errors import NotFiniteError, SourceLine, user_line
from steepest.ops.spec import Primitive, Traced, Value
from steepest.tree import Tree, flatten, is_differentiable, leaf_names

__all__ = ["not_finite", "raise_not_finite"]


def not_finite(tree: Tree, root: str) -> list[str]:
    """Name the leaves of a pytree with a NaN or an infinity; those of unknown value have none."""
    return [
        name if name == root else f"{name} of {root}"
        for name, leaf in zip(leaf_names(tree, root), flatten(tree)[0], strict=True)
        if is_differentiable(leaf) and _trouble(leaf) is not None
    ]


def raise_not_finite(
    gradient: Tree, names: Sequence[str], run: Callable[[Tape], tuple[Value, list[Array]]]
) -> NoReturn:
    """Run a function again, and say where its gradient stopped being finite.

    Parameters
    ----------
    gradient : pytree
        What has a NaN or an infinity.
    names : sequence of str
        The names of its leaves that have one.
    run : callable
        Takes a tape; runs the function on it, and returns its result and the arguments.

    Raises
    ------
    NotFiniteError
        It quotes the user's line of the operation.
    """
    tape = _NotingTape()
    try:
        with np.errstate(all="ignore"), UserCode():
            result, arguments = run(tape)
        origin, what = tape.origin(result, arguments)
    finally:
        tape.active = False
    leaves = [leaf for leaf in flatten(gradient)[0] if is_differentiable(leaf)]
    trouble = "NaN" if any(_trouble(leaf) == "NaN" for leaf in leaves) else "an infinity"
    where = " and ".join(names[:3]) + (" and more" if len(names) > 3 else "")
    raise NotFiniteError(
        f"there is {trouble} in the gradient by {where}: {what}",
        instead="np.where(safe, x, 1.0) on the argument, before the operation sees it, and"
        " np.where(safe, result, other) behind it"
        if origin is not None
        else None,
        line=origin,
    )


def _trouble(value: Value) -> str | None:
    """Say what is in a value that is not finite."""
    while isinstance(value, Traced):
        value = value._value
    if value is None or np.asarray(value).dtype.kind not in "fc" or np.all(np.isfinite(value)):
        return None
    return "NaN" if np.any(np.isnan(value)) else "an infinity"


class _Noted:
    """What is known of a record: the operation, the user's line, and what its values are."""

    __slots__ = ("is_bad", "line", "name", "trouble")

    def __init__(self, name: str, line: SourceLine | None, value: Value, inputs: list[Value]):
        self.name = name
        self.line = line
        self.trouble = _trouble(value)
        # What the operation itself made of finite numbers, or was given by the user.
        self.is_bad = [_trouble(each) for each in inputs]


class _NotingTape(Tape):
    """A tape that knows the user's line of each operation, and whether its result is finite."""

    __slots__ = ("_noted",)

    def __init__(self) -> None:
        super().__init__()
        self._noted: dict[Record, _Noted] = {}

    def record(self, primitive: Primitive, args: Sequence[Value], static: dict[str, Any]) -> Value:
        """Record an operation and note its line."""
        result = super().record(primitive, args, static)
        for each in result if isinstance(result, tuple) else (result,):
            if isinstance(each, Array) and each._trace is self:
                noted = _Noted(primitive.name, user_line(), each._value, self._plain(args))
                self._noted[each._node] = noted
                if each._node.position >= 0:
                    self._noted[each._node.parents[0]] = noted
        return result

    def write(
        self, primitive: Primitive, target: Traced, args: Sequence[Value], static: dict[str, Any]
    ) -> None:
        """Record a write and note its line."""
        super().write(primitive, target, args, static)
        self._noted[target._node] = _Noted(
            primitive.name, user_line(), target._value, self._plain(args)
        )

    def _plain(self, args: Sequence[Value]) -> list[Value]:
        """List the arguments that are not on this tape."""
        return [each for each in args if not (isinstance(each, Traced) and each._trace is self)]

    def origin(self, result: Value, arguments: Sequence[Array]) -> tuple[SourceLine | None, str]:
        """Find the operation where values or cotangents stopped being finite."""
        if not (isinstance(result, Array) and result._trace is self):
            return None, "run once more, the function does not depend on its arguments"
        for each in arguments:
            if (trouble := _trouble(each._value)) is not None:
                return None, f"there is {trouble} in the argument itself"
        if _trouble(result._value) is not None:
            return self._first_value(result._node)
        culprits = self._culprits(result)
        for each in arguments:
            if each._node in culprits:
                return self._first_cotangent(each._node, culprits)
        return None, "run once more, the function has a finite gradient"

    def _first_value(self, start: Record) -> tuple[SourceLine | None, str]:
        """Find the earliest value that is not finite and of which one is made."""
        found = [
            record
            for record in records_behind(start)
            if record in self._noted and self._noted[record].trouble is not None
        ]
        noted = self._noted[found[-1]]
        if any(each is not None for each in noted.is_bad):
            return noted.line, f"{noted.name} is given {noted.trouble} that the function reads"
        return noted.line, f"{noted.name} is the first operation to give {noted.trouble}"

    def _culprits(self, result: Array) -> dict[Record, Record]:
        """Find, for each record with a cotangent that is not finite, whose rule made it so."""
        culprits: dict[Record, Record] = {}
        accumulator = Accumulator()
        accumulator.add(result._node, np.ones((), result.dtype)[()])
        with np.errstate(all="ignore"):
            for record in records_behind(result._node):
                if accumulator.present(record) is None:
                    continue
                propagate([record], accumulator)
                for parent in record.parents:
                    if parent is None or parent in culprits:
                        continue
                    present = accumulator.present(parent)
                    each = present if isinstance(present, list) else [present]
                    if any(one is not None and _trouble(one) is not None for one in each):
                        culprits[parent] = record
        return culprits

    def _first_cotangent(
        self, leaf: Record, culprits: dict[Record, Record]
    ) -> tuple[SourceLine | None, str]:
        record = culprits[leaf]
        while record in culprits:
            record = culprits[record]
        behind = [each for each in record.parents if each is not None]
        noted = self._noted.get(record)
        if noted is None:
            return None, "the operation was not found"
        bad = [each for each in behind if each in self._noted and self._noted[each].trouble]
        if noted.trouble is not None or bad:
            line, what = self._first_value(record)
            return line, f"{what}, which the derivative of {noted.name} meets"
        return noted.line, f"the derivative of {noted.name} is not finite there"
