"""Reverse mode: a tape that records what the gradient needs, and the backward pass over it.

An operation is evaluated as it is recorded. The backward pass goes through the records in
reverse and applies the rules of the op table. On ndarrays the rules are evaluated at once; where
traces nest, the values on the tape are Arrays of the outer trace, and the same rules are
recorded there as ordinary operations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np

from steepest.array import Array, value_type
from steepest.array.buffers import compact, rewritten, snapshot
from steepest.array.plain import base_array
from steepest.differentiate.captures import Captures
from steepest.graph import type_of
from steepest.ops import primitive
from steepest.ops.spec import (
    NAN_CHECKS,
    AdaptedRule,
    Keep,
    Primitive,
    Trace,
    Traced,
    Value,
    bind,
    has_nan,
    no_cotangent,
)

__all__ = ["Accumulator", "Record", "Tape", "backward", "fit", "propagate", "records_behind"]

_WITH_TYPE = (np.ndarray, np.generic, Array)
"""What knows its shape and dtype."""

_VALUE, _TYPE = Keep.VALUE, Keep.TYPE
_real = primitive("real")
_cast = primitive("cast")
_next_serial = count().__next__


class Record:
    """One operation on the tape, with what its derivative rules read.

    Attributes
    ----------
    primitive : Primitive or None
        None for an argument of the differentiated function.
    parents : sequence of Record or None
        For each argument its record; None for what is not differentiated here.
    args : tuple
        What the rules read of the arguments: values, types or None.
    result : value or None
        The result, where a rule reads it.
    shape, dtype
        Of the result; None for several results.
    position : int
        Which result of the parent this is, for a primitive with several; otherwise -1.
    serial : int
        Grows with time, so that each record comes after its parents.
    """

    __slots__ = (
        "args",
        "dtype",
        "parents",
        "position",
        "primitive",
        "result",
        "serial",
        "shape",
        "static",
    )

    def __init__(
        self,
        primitive: Primitive | None,
        parents: Sequence[Record | None],
        args: Sequence[Value],
        static: dict[str, Any],
        result: Value,
        shape: Any,
        dtype: Any,
        position: int = -1,
    ) -> None:
        self.primitive = primitive
        self.parents = parents
        self.args = args
        self.static = static
        self.result = result
        self.shape = shape
        self.dtype = dtype
        self.position = position
        self.serial = _next_serial()

    @property
    def ndim(self) -> int:
        """Number of axes of the result."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries of the result."""
        return math.prod(self.shape)


class Tape(Trace):
    """The trace of one gradient."""

    __slots__ = ("captures",)

    def __init__(self) -> None:
        super().__init__()
        self.captures = Captures()

    def watch(self, value: Value) -> Array:
        """Make an argument of the differentiated function an Array of this tape."""
        if isinstance(value, np.ndarray):
            value = self.captures.keep(base_array(value))
        kind = value_type(value)
        record = Record(None, (), (), {}, None, kind.shape, kind.dtype)
        return Array(self, snapshot(value), record)

    def record(self, primitive: Primitive, args: Sequence[Value], static: dict[str, Any]) -> Value:
        """Evaluate a primitive and keep what its derivative needs."""
        values: list[Value] = []
        parents: list[Record | None] = []
        nested = False
        for arg in args:
            if isinstance(arg, Traced):
                if arg._trace is self:
                    value = arg._value
                    if isinstance(value, Traced):
                        nested = True
                    values.append(value)
                    parents.append(arg._node)
                    continue
                nested = True
            elif type(arg) is not np.ndarray and isinstance(arg, np.ndarray):
                values.append(base_array(arg))
                parents.append(None)
                continue
            values.append(arg)
            parents.append(None)
        result = (
            bind(primitive, values, static) if nested else primitive.evaluate(*values, **static)
        )
        if not primitive.differentiable:
            return result
        kept = self._kept(primitive, values, parents) if primitive.reads_arguments else ()
        if primitive.outputs > 1:
            return self._several(primitive, kept, parents, static, result)
        kind = result if isinstance(result, _WITH_TYPE) else type_of(result)
        kept_result = result if primitive.keeps_result else None
        record = Record(primitive, parents, kept, static, kept_result, kind.shape, kind.dtype)
        return Array(self, result, record)

    def write(
        self, primitive: Primitive, target: Traced, args: Sequence[Value], static: dict[str, Any]
    ) -> None:
        """Write into an Array, in its memory where nothing else needs what is there."""
        mine = target._trace is self
        outer = not mine and target._trace.active
        kind = value_type(target)
        values = []
        parents = [target._node if mine else None]
        for arg in args:
            own = isinstance(arg, Traced) and arg._trace is self
            values.append(arg._value if own else arg)
            parents.append(arg._node if own else None)
        held = [snapshot(target) if outer else target._value]
        target._value = None
        try:
            value = rewritten(held, primitive, values, static)
        except BaseException:
            (before,) = held
            target._value = before._value if outer else before
            raise
        kept = self._kept(primitive, [None, *values], parents)
        target._node = Record(primitive, parents, kept, static, None, kind.shape, kind.dtype)
        target._trace, target._value = self, value

    def _kept(
        self, primitive: Primitive, values: list[Value], parents: list[Record | None]
    ) -> list[Value]:
        """Collect what the rules of a primitive read of its arguments."""
        keeps = primitive.keeps
        if primitive.tail is not None:
            keeps += keeps[-1:] * (len(values) - len(keeps))
        kept: list[Value] = []
        for keep, value, parent in zip(keeps, values, parents, strict=False):
            if keep is _VALUE:
                if type(value) is not np.ndarray:
                    kept.append(compact(value))
                elif parent is None:
                    kept.append(self.captures.keep(value))
                else:
                    kept.append(value if value.base is None else compact(value))
            elif keep is _TYPE:
                # A record knows shape and dtype of what it stands for.
                kept.append(value_type(value) if parent is None else parent)
            else:
                kept.append(None)
        return kept

    def _several(
        self,
        primitive: Primitive,
        kept: Sequence[Value],
        parents: list[Record | None],
        static: dict[str, Any],
        results: Sequence[Value],
    ) -> tuple[Array, ...]:
        types = tuple(value_type(each) for each in results)
        whole = Record(
            primitive,
            parents,
            kept,
            static,
            tuple(results) if primitive.keeps_result else None,
            types,
            None,
        )
        return tuple(
            Array(self, each, Record(None, (whole,), (), {}, None, kind.shape, kind.dtype, i))
            for i, (each, kind) in enumerate(zip(results, types, strict=True))
        )


def records_behind(start: Record) -> list[Record]:
    """All records that one depends on, itself included, latest first."""
    seen = {start}
    pending = [start]
    while pending:
        for parent in pending.pop().parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                pending.append(parent)
    return sorted(seen, key=_serial, reverse=True)


def _serial(record: Record) -> int:
    return record.serial


def fit(value: Value, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Value:
    """Give a cotangent the shape and dtype of what it belongs to.

    Axes along which the argument was broadcast are summed over; a complex cotangent of a real
    argument is its real part.
    """
    kind = value if isinstance(value, _WITH_TYPE) else type_of(value)
    if kind.shape != shape:
        extra = len(kind.shape) - len(shape)
        axes = tuple(range(extra)) + tuple(
            axis + extra
            for axis, length in enumerate(shape)
            if length == 1 and kind.shape[axis + extra] != 1
        )
        value = np.add.reduce(value, axis=axes, keepdims=True) if axes else value
        if extra:
            value = np.reshape(value, shape)
    if kind.dtype != dtype:
        if kind.dtype.kind == "c" and dtype.kind != "c":
            value = bind(_real, (value,), {})
        value = bind(_cast, (value,), {"dtype": dtype})
    return value


class Accumulator:
    """Cotangents on their way back, added up where paths meet."""

    __slots__ = ("_own", "_values")

    def __init__(self) -> None:
        self._values: dict[Record, Value] = {}
        self._own: set[Record] = set()

    def add(self, record: Record, value: Value) -> None:
        """Add a contribution."""
        values = self._values
        present = values.get(record)
        if present is None:
            values[record] = value
        elif record in self._own and type(value) is np.ndarray:
            # A sum made here belongs to nobody else.
            np.add(present, value, out=present)
        else:
            total = values[record] = present + value
            if type(total) is np.ndarray:
                self._own.add(record)
            else:
                self._own.discard(record)

    def total(self, record: Record) -> np.ndarray[Any, Any] | None:
        """Make the sum so far an ndarray to add into; None where it is traced."""
        present = self._values.get(record)
        if isinstance(present, Traced):
            return None
        if record not in self._own:
            total = np.zeros(record.shape, record.dtype)
            if present is not None:
                total += present
            self._values[record] = present = total
            self._own.add(record)
        return present

    def add_result(self, record: Record, value: Value) -> None:
        """Add a contribution to one result of a primitive with several."""
        (whole,) = record.parents
        assert whole is not None
        results = self._values.get(whole)
        if results is None:
            results = self._values[whole] = [None] * len(whole.shape)
        present = results[record.position]
        results[record.position] = value if present is None else present + value

    def add_own(self, record: Record, value: Value) -> None:
        """Add a contribution in memory that the caller gives away."""
        if record in self._values:
            self.add(record, value)
        else:
            self._values[record] = value
            self._own.add(record)

    def take(self, record: Record) -> Value:
        """Remove and return what has been added up for a record; None for nothing."""
        return self._values.pop(record, None)

    def present(self, record: Record) -> Value:
        """Return what has been added up for a record so far; None for nothing."""
        return self._values.get(record)

    def is_own(self, record: Record) -> bool:
        """Whether what was taken for a record belongs to whoever took it."""
        return record in self._own


def backward(output: Array, cotangent: Value, inputs: Sequence[Array]) -> list[Value]:
    """Propagate a cotangent from an output of a tape back to its inputs.

    Parameters
    ----------
    output : Array
        A value on the tape.
    cotangent : value
        Of the output's shape and dtype.
    inputs : sequence of Array
        What `Tape.watch` returned.

    Returns
    -------
    list of value
        For each input its cotangent, or None if the output does not depend on it.
    """
    tape: Tape = output._trace  # type: ignore[assignment]
    tape.captures.verify()
    if isinstance(output._value, Traced) or isinstance(cotangent, Traced):
        return _backward_pass(output._node, cotangent, inputs)
    token = NAN_CHECKS.set(False)
    try:
        cotangents = _backward_pass(output._node, cotangent, inputs)
    finally:
        NAN_CHECKS.reset(token)
    if any(each is not None and has_nan(each) for each in cotangents):
        cotangents = _backward_pass(output._node, cotangent, inputs)
    return cotangents


def _backward_pass(start: Record, cotangent: Value, inputs: Sequence[Array]) -> list[Value]:
    accumulator = Accumulator()
    accumulator.add(start, cotangent)
    # What the rules meet on the branches not taken is not the user's warning.
    with np.errstate(all="ignore"):
        for record in records_behind(start):
            if record.primitive is not None:
                g = accumulator.take(record)
                if g is not None:
                    propagate(record, record.primitive, g, accumulator)
            elif record.position >= 0:
                g = accumulator.take(record)
                if g is not None:
                    accumulator.add_result(record, g)
    return [accumulator.take(each._node) for each in inputs]


def propagate(record: Record, operation: Primitive, g: Value, accumulator: Accumulator) -> None:
    """Apply the rules of one record."""
    if operation.outputs > 1:
        g = [
            no_cotangent(kind) if each is None else each
            for each, kind in zip(g, record.shape, strict=True)
        ]
    if operation.in_place_vjp is not None and not isinstance(g, Traced):
        _propagate_in_place(record, operation.in_place_vjp, g, accumulator)
        return
    result, args, static = record.result, record.args, record.static
    joint = None
    if operation.joint_vjp is not None:
        joint = operation.joint_vjp(g, result, args, static)
    adds = operation.add_vjp is not None and not isinstance(g, Traced)
    rules, several = operation.vjps, operation.tail is not None
    for position, parent in enumerate(record.parents):
        if parent is None:
            continue
        if joint is not None:
            contribution = joint[position]
        else:
            if adds:
                total = accumulator.total(parent)
                if total is not None:
                    assert operation.add_vjp is not None
                    operation.add_vjp(total, g, **static)
                    continue
            if several:
                rule, settings = operation.rule_at(rules, position, static)
            else:
                rule, settings = (rules[position] if position < len(rules) else None), static
            if rule is None:
                continue
            contribution = rule(g, result, args, settings)
        if contribution is None:
            continue
        shape, dtype = parent.shape, parent.dtype
        if (
            type(contribution) is not np.ndarray
            or contribution.shape != shape
            or contribution.dtype is not dtype
        ):
            contribution = fit(contribution, shape, dtype)
        accumulator.add(parent, contribution)


def _propagate_in_place(
    record: Record, rule: AdaptedRule, g: Value, accumulator: Accumulator
) -> None:
    """Apply a rule that reuses the memory of the cotangent, so that a write costs what it writes.

    A cotangent that belongs to somebody else is copied, once for a row of writes.
    """
    if not accumulator.is_own(record):
        g = np.array(g)
    target, written = record.parents[:2]
    args = list(record.args)
    if written is None:
        args[1] = None
    g, contribution = rule(g, None, args, record.static)
    if target is not None:
        accumulator.add_own(target, g)
    if written is not None:
        accumulator.add(written, fit(contribution, written.shape, written.dtype))
