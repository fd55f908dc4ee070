"""The operations that a function is made of, recorded so that each can be examined by itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import CodeType, FrameType
from typing import Any

import numpy as np

from steepest.array import Array, value_type
from steepest.array.creating import UserCode
from steepest.array.plain import base_array
from steepest.differentiate.custom import custom_call
from steepest.differentiate.forward import Forward
from steepest.differentiate.reverse import Tape
from steepest.errors import SourceLine, user_line
from steepest.numeric.precision import DOUBLE, is_half_precision
from steepest.ops.spec import Primitive, Traced, Value, bind
from steepest.tree import Tree, flatten, is_differentiable, unflatten

__all__ = ["Operation", "operations_differentiated_by", "operations_of"]

# Values of further uses of an operation are not held beyond so many bytes.
HELD_BYTES = 1 << 28
REVERSE, FORWARD = Tape.record.__code__, Forward.record.__code__
PASSING_ON = (bind.__code__, Primitive.__call__.__code__)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One use of a primitive, with what it was applied to.

    Attributes
    ----------
    primitive : Primitive
    args : tuple of value
        Plain values.
    static : dict
    moving : tuple of int
        Positions of the floating-point arguments that depend on the function's argument.
    line : SourceLine or None
        Where the user's code applies it.
    inputs : frozenset of int
        Which leaves of the function's argument it depends on, by position.
    times_reversed : int
        How many traces were about to pull cotangents back through it.
    is_pushed_forward : bool
        Whether a trace pushed tangents through it.
    """

    primitive: Primitive
    args: tuple[Value, ...]
    static: dict[str, Any]
    moving: tuple[int, ...]
    line: SourceLine | None
    inputs: frozenset[int]
    times_reversed: int
    is_pushed_forward: bool

    @property
    def name(self) -> str:
        """Name of the primitive, or of the user's function."""
        return self.primitive.name

    @property
    def kind(self) -> tuple[object, ...]:
        """What uses have in common that differ in the values of their arguments alone."""
        call = custom_call(self.primitive)
        rules: object = self.primitive if call is None else call.function
        types = tuple(
            (str(value_type(arg)), position in self.moving)
            for position, arg in enumerate(self.args)
        )
        return id(rules), repr(self.static), types

    def out_of_half_precision(self) -> Operation:
        """Return the same with double precision in place of a half, which hides what rules do."""
        args = tuple(map(_out_of_half, self.args))
        static = self.static
        if "dtype" in static and is_half_precision(np.dtype(static["dtype"])):
            static = {**static, "dtype": DOUBLE.of(np.dtype(static["dtype"]))}
        return replace(self, args=args, static=static)

    def argument_name(self, position: int) -> str:
        """Name an argument as the author of the rule knows it."""
        call = custom_call(self.primitive)
        if call is not None:
            number = call.argument_of(position)
            try:
                names = list(inspect.signature(inspect.unwrap(call.function)).parameters)
            except (TypeError, ValueError):  # Functions written in C may have none.
                names = []
            return names[number] if number < len(names) else f"argument {number}"
        tail = self.primitive.tail
        if tail is not None and position >= tail:
            return f"{self.primitive.arguments[tail]}[{position - tail}]"
        return self.primitive.arguments[position]

    def rule_line(self, position: int) -> SourceLine | None:
        """Find where the user wrote the rule; None for the rules of the op table."""
        call = custom_call(self.primitive)
        return None if call is None else call.rule_line(call.argument_of(position))


def operations_of(function: Callable[[Tree], Any], x: Tree) -> list[Operation]:
    """Run a function and return the operations between its argument and its result, in order.

    Parameters
    ----------
    function : callable
        Takes a pytree like x.
    x : pytree
    """
    trace = _OperationTrace()
    try:
        with np.errstate(all="ignore"), UserCode(function):
            result = function(trace.watch_tree(x))
    finally:
        trace.active = False
    return trace.behind(flatten(result)[0])


def operations_differentiated_by(gradient: Callable[[Tree], Any], x: Tree) -> list[Operation]:
    """Run a gradient function and return the operations that steepest differentiated in it.

    There are none when the gradient was made by other means.
    """
    trace = _OperationTrace(differentiated_only=True)
    try:
        with np.errstate(all="ignore"), UserCode():
            gradient(trace.watch_tree(x))
    except Exception:
        # The user's code with traced arguments. A gradient that converts them to plain values is
        # refused, and one of another framework raises what it likes: what was differentiated
        # before counts.
        return trace.operations
    finally:
        trace.active = False
    return trace.operations


class _Node:
    """Where a value comes from."""

    __slots__ = ("inputs", "operation", "parents")

    def __init__(
        self, inputs: frozenset[int], parents: Sequence[_Node] = (), operation: int | None = None
    ) -> None:
        self.inputs = inputs
        self.parents = parents
        self.operation = operation


class _OperationTrace(Tape):
    """A tape that notes of each operation what it was applied to, and not how to go back.

    Being a tape, it sees what a gradient would see: what `stop_gradient` holds back is constant.
    """

    __slots__ = ("_differentiated_only", "_held", "_kinds", "operations")

    def __init__(self, *, differentiated_only: bool = False) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self._kinds: set[tuple[object, ...]] = set()
        self._held = 0
        self._differentiated_only = differentiated_only

    def watch_tree(self, tree: Tree) -> Tree:
        """Make the floating-point leaves of an argument Arrays of this trace."""
        leaves, structure = flatten(tree)
        return unflatten(
            structure,
            [
                Array(self, self._plain(leaf), _Node(frozenset([position])))
                if is_differentiable(leaf)
                else leaf
                for position, leaf in enumerate(leaves)
            ],
        )

    def record(self, primitive: Primitive, args: Sequence[Value], static: dict[str, Any]) -> Value:
        """Evaluate a primitive and note it."""
        values: list[Value] = []
        parents: list[_Node] = []
        moving = []
        for position, arg in enumerate(args):
            if isinstance(arg, Traced) and arg._trace is self:
                values.append(arg._value)
                parents.append(arg._node)
                kind = value_type(arg)
                if kind.dtype.kind in "fc" and kind.size:
                    moving.append(position)
            else:
                values.append(self._plain(arg))
        result = primitive(*values, **static)
        if not primitive.differentiable:
            return result
        inputs = frozenset[int]().union(*(parent.inputs for parent in parents))
        number = None
        around = _traces_around()
        if moving and (around or not self._differentiated_only):
            number = self._note(
                Operation(
                    primitive,
                    tuple(values),
                    static,
                    tuple(moving),
                    user_line(),
                    inputs,
                    around.count(REVERSE) + (not self._differentiated_only),
                    FORWARD in around,
                )
            )
        node = _Node(inputs, parents, number)
        if primitive.outputs > 1:
            return tuple(Array(self, each, node) for each in result)
        return Array(self, result, node)

    def behind(self, results: Sequence[Value]) -> list[Operation]:
        """Return the operations that some results depend on, in order."""
        pending = [each._node for each in results if isinstance(each, Array)]
        seen = set(pending)
        while pending:
            for parent in pending.pop().parents:
                if parent not in seen:
                    seen.add(parent)
                    pending.append(parent)
        numbers = {node.operation for node in seen if node.operation is not None}
        return [self.operations[number] for number in sorted(numbers)]

    def _plain(self, value: Value) -> Value:
        """Take what the user could write into as it is now."""
        if not isinstance(value, np.ndarray):
            return value
        return self.captures.keep(base_array(value))

    def _note(self, operation: Operation) -> int | None:
        kind = operation.kind
        if self._held > HELD_BYTES and kind in self._kinds:
            return None
        self._kinds.add(kind)
        self._held += sum(getattr(each, "nbytes", 0) for each in operation.args)
        self.operations.append(operation)
        return len(self.operations) - 1


def _out_of_half(value: Value) -> Value:
    if isinstance(value, Traced) or not isinstance(value, (np.ndarray, np.generic)):
        return value
    if is_half_precision(value.dtype):
        return value.astype(DOUBLE.of(value.dtype))
    return value


def _traces_around() -> list[CodeType]:
    """Return how the traces of steepest's that differentiate the operation under way record it.

    They are among the callers, one inside the other, before anything of the user's.
    """
    around: list[CodeType] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code in (REVERSE, FORWARD):
            around.append(frame.f_code)
        elif frame.f_code not in PASSING_ON:
            break
        frame = frame.f_back
    return around
