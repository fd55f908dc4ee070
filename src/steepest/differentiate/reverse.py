"""Reverse mode: a tape that records what the gradient needs, and the backward pass over it.

An operation is evaluated as it is recorded. The backward pass goes through the records in
reverse and applies the rules of the op table. On ndarrays the rules are evaluated at once; where
traces nest, the values on the tape are Arrays of the outer trace, and the same rules are
recorded there as ordinary operations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import count
from operator import attrgetter
from typing import Any

import numpy as np
from numpy import float64, ndarray

from steepest.array import Array, value_type
from steepest.array.array import NO_STATIC
from steepest.array.buffers import compact, copied_from, present, rewritten, snapshot
from steepest.array.plain import base_array
from steepest.differentiate.captures import Captures
from steepest.graph import type_of
from steepest.ops import primitive
from steepest.ops.movement import reshaped
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
    is_ndarray,
    no_cotangent,
)

__all__ = ["Accumulator", "Record", "Tape", "backward", "fit", "propagate", "records_behind"]

_WITH_TYPE = (np.ndarray, np.generic, Array)
"""What knows its shape and dtype."""

_USUAL = frozenset((ndarray, np.float64, float, int))
"""Exact types of which it is known without a second look whether they are of a subclass."""

_TYPE = Keep.TYPE
_VALUE = Keep.VALUE
_real = primitive("real")
_cast = primitive("cast")
_new: Any = object.__new__
_next_serial = count().__next__
_serial = attrgetter("serial")


def _with_type(value: Value) -> Value:
    """Find what knows shape and dtype of a value: the value itself, or the type of a number."""
    return value if isinstance(value, _WITH_TYPE) else type_of(value)


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

    __slots__ = ("_decomposed", "captures")

    def __init__(self) -> None:
        super().__init__()
        self.captures = Captures()
        self._decomposed: dict[tuple[Any, ...], Record] = {}

    def watch(self, value: Value) -> Array:
        """Make an argument of the differentiated function an Array of this tape."""
        if type(value) is not ndarray and not is_ndarray(value):
            kind = value_type(value)
            record = Record(None, (), (), NO_STATIC, None, kind.shape, kind.dtype)
            return Array(self, snapshot(value), record)
        plain = value if type(value) is ndarray else base_array(value)
        kept = self.captures.keep(plain)
        record = Record(None, (), (), NO_STATIC, None, kept.shape, kept.dtype)
        return copied_from(plain, Array(self, kept, record))

    def references_to(self, array: np.ndarray[Any, Any]) -> int:
        """Count the references to an ndarray from what was captured."""
        return self.captures.references_to(array)

    def record(self, primitive: Primitive, args: Sequence[Value], static: dict[str, Any]) -> Value:
        """Evaluate a primitive and keep what its derivative needs."""
        values: Sequence[Value]
        parents: Sequence[Record | None]
        kept: Sequence[Value] = ()
        keeps_result = primitive.keeps_result
        if len(args) == 1:
            (arg,) = args
            value = arg._value
            if type(value) is Array:
                result = bind(primitive, (value,), static)
            elif not static:
                result = primitive.evaluate(value)
            elif primitive.only_static is None:
                result = primitive.evaluate(value, **static)
            else:
                result = primitive.evaluate(value, static[primitive.only_static])
            if not primitive.differentiable:
                return result
            parents = (arg._node,)
            keep = primitive.keeps[0]
            if keep is _TYPE:
                kept = parents
            elif keep is _VALUE:
                if type(value) is ndarray and value.base is None:
                    kept = (value,)
                else:
                    kept = (self._kept_of(keep, value, arg._node),)
        elif len(args) == 2 and not static and primitive.needs is not None:
            # The usual case of several. What the rules read for an argument that is not
            # differentiated here is not kept.
            x, y = args
            of_x = of_y = None
            which, nested = 0, False
            if type(x) is Array:
                if x._trace is self:
                    of_x, x, which = x._node, x._value, 1
                nested = type(x) is Array
            elif type(x) not in _USUAL:
                if isinstance(x, Array):
                    return self.record(primitive, [present(each) for each in args], static)
                if is_ndarray(x):
                    x = base_array(x)
            if type(y) is Array:
                if y._trace is self:
                    of_y, y = y._node, y._value
                    which += 2
                nested = nested or type(y) is Array
            elif type(y) not in _USUAL:
                if isinstance(y, Array):
                    return self.record(primitive, [present(each) for each in args], static)
                if is_ndarray(y):
                    y = base_array(y)
            result = bind(primitive, (x, y), NO_STATIC) if nested else primitive.evaluate(x, y)
            if not primitive.differentiable:
                return result
            parents = (of_x, of_y)
            (keep_x, keep_y), keeps_result = primitive.needs[which]
            kept = (
                self._kept_of(keep_x, x, of_x) if keep_x else None,
                self._kept_of(keep_y, y, of_y) if keep_y else None,
            )
        else:
            values, parents, nested = self._taken_apart(args)
            result = (
                bind(primitive, values, static) if nested else primitive.evaluate(*values, **static)
            )
            if not primitive.differentiable:
                return result
            if primitive.reads_arguments:
                kept = self._kept(primitive, values, parents)
        if primitive.outputs > 1:
            return self._several(primitive, kept, parents, static, result)
        kind = result if type(result) is ndarray else _with_type(result)
        # Without a call of __init__, which takes longer than what it does.
        record: Record = _new(Record)
        record.primitive = primitive
        record.parents = parents
        record.args = kept
        record.static = static
        record.result = result if keeps_result else None
        record.shape = kind.shape
        record.dtype = kind.dtype
        record.position = -1
        record.serial = _next_serial()
        array: Array = _new(Array)
        array._trace = self
        array._value = result
        array._node = record
        array._alias = None
        return array

    def _taken_apart(self, args: Sequence[Value]) -> tuple[list[Value], list[Record | None], bool]:
        """Find values of arguments, their records, and whether values are traced further out."""
        values: list[Value] = []
        parents: list[Record | None] = []
        nested = False
        for arg in args:
            value, parent = arg, None
            if type(arg) is Array:
                if arg._trace is self:
                    value, parent = arg._value, arg._node
                nested = nested or type(value) is Array
            elif isinstance(arg, Array):
                return self._taken_apart([present(each) for each in args])
            elif type(arg) is not ndarray and is_ndarray(arg):
                value = base_array(arg)
            values.append(value)
            parents.append(parent)
        return values, parents, nested

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
        del target._value  # Of two who refer to it, the writer would make a copy.
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
        self, primitive: Primitive, values: Sequence[Value], parents: Sequence[Record | None]
    ) -> Sequence[Value]:
        """Collect what the rules of a primitive read of its arguments."""
        keeps = primitive.keeps
        if primitive.tail is not None:
            keeps += keeps[-1:] * (len(values) - len(keeps))
        return [
            self._kept_of(keep, value, parent) if keep else None
            for keep, value, parent in zip(keeps, values, parents, strict=False)
        ]

    def _kept_of(self, keep: Keep, value: Value, parent: Record | None) -> Value:
        """Take what is kept of an argument."""
        if keep is _TYPE:
            # A record knows shape and dtype of what it stands for.
            return value_type(value) if parent is None else parent
        if type(value) is not ndarray:
            return compact(value)
        if parent is None:
            return self.captures.keep(value)
        return value if value.base is None else compact(value)

    def _several(
        self,
        primitive: Primitive,
        kept: Sequence[Value],
        parents: Sequence[Record | None],
        static: dict[str, Any],
        results: Sequence[Value],
    ) -> tuple[Array, ...]:
        types = tuple(value_type(each) for each in results)
        first = 0
        whole = Record(
            primitive,
            parents,
            kept,
            static,
            tuple(results) if primitive.keeps_result else None,
            types,
            None,
        )
        if "alone" in static:
            # Values that were asked for alone and vectors of one matrix are of one decomposition:
            # where values are equal, the cotangents of both must meet.
            (matrix,) = parents
            settings = (each for name, each in static.items() if name not in ("alone", "full"))
            known = self._decomposed.setdefault((primitive.name, matrix, *settings), whole)
            first = 0 if known is whole else _taken_together(known, whole)
            whole = known
        return tuple(
            Array(
                self, each, Record(None, (whole,), (), {}, None, kind.shape, kind.dtype, first + i)
            )
            for i, (each, kind) in enumerate(zip(results, types, strict=True))
        )


def _taken_together(known: Record, new: Record) -> int:
    """Let one record stand for two decompositions of a matrix.

    Returns
    -------
    int
        The position of the first result of the new one among those of the record.
    """
    if new.static["alone"]:
        return 0
    if known.static["alone"]:
        # Nobody has vectors of the known one.
        known.static, known.result, known.shape = new.static, new.result, new.shape
        return 0
    if known.static.get("full") == new.static.get("full"):
        return 0
    first = len(known.shape)
    known.result, known.shape = (*known.result, *new.result), (*known.shape, *new.shape)
    return first


def records_behind(start: Record) -> list[Record]:
    """All records that one depends on, itself included, latest first."""
    seen = {start}
    records = [start]
    # The list grows while the loop goes through it, nearly in the order that it is sorted into.
    for record in records:
        for parent in record.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                records.append(parent)
    records.sort(key=_serial, reverse=True)
    return records


@lru_cache(maxsize=1024)
def _stretched(shape: tuple[int, ...], to: tuple[int, ...]) -> tuple[tuple[int, ...], bool]:
    """Find the axes along which broadcasting stretched a shape, or that it put in front.

    Returns
    -------
    axes : tuple of int
    are_in_front : bool
        Whether they are all in front of a shape that has some.
    """
    extra = len(to) - len(shape)
    front = tuple(range(extra))
    if shape and to[extra:] == shape:
        return front, True
    stretched = [i + extra for i, length in enumerate(shape) if length == 1 != to[i + extra]]
    return (*front, *stretched), False


def fit(value: Value, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Value:
    """Give a cotangent the shape and dtype of what it belongs to.

    Axes along which the argument was broadcast are summed over; a complex cotangent of a real
    argument is its real part.
    """
    kind = value if type(value) is ndarray else _with_type(value)
    given = kind.shape
    if given != shape:
        axes, are_in_front = _stretched(shape, given)
        if are_in_front:
            value = np.add.reduce(value, axis=axes)
        else:
            if axes:
                value = np.add.reduce(value, axis=axes, keepdims=True)
            if len(given) != len(shape):
                value = reshaped(value, shape)
    if kind.dtype != dtype:
        if kind.dtype.kind == "c" and dtype.kind != "c":
            value = bind(_real, (value,), {})
        value = bind(_cast, (value,), {"dtype": dtype})
    return value


class Accumulator:
    """Cotangents on their way back, added up where paths meet.

    Attributes
    ----------
    values : dict
        What has been added up so far, by record.
    """

    __slots__ = ("_own", "values")

    def __init__(self) -> None:
        self.values: dict[Record, Value] = {}
        self._own: set[Record] = set()

    def add(self, record: Record, value: Value) -> None:
        """Add a contribution."""
        values = self.values
        present = values.get(record)
        if present is None:
            values[record] = value
        elif record in self._own and type(value) is ndarray:
            # A sum made here belongs to nobody else.
            np.add(present, value, out=present)
        else:
            total = values[record] = present + value
            if type(total) is ndarray:
                self._own.add(record)
            else:
                self._own.discard(record)

    def total(self, record: Record) -> np.ndarray[Any, Any] | None:
        """Make the sum so far an ndarray to add into; None where it is traced."""
        present = self.values.get(record)
        if isinstance(present, Traced):
            return None
        if record not in self._own:
            total = np.zeros(record.shape, record.dtype)
            if present is not None:
                total += present
            self.values[record] = present = total
            self._own.add(record)
        return present

    def add_result(self, record: Record, value: Value) -> None:
        """Add a contribution to one result of a primitive with several."""
        (whole,) = record.parents
        assert whole is not None
        results = self.values.get(whole)
        if results is None:
            results = self.values[whole] = [None] * len(whole.shape)
        present = results[record.position]
        results[record.position] = value if present is None else present + value

    def add_own(self, record: Record, value: Value) -> None:
        """Add a contribution in memory that the caller gives away."""
        if record in self.values:
            self.add(record, value)
        else:
            self.values[record] = value
            self._own.add(record)

    def present(self, record: Record) -> Value:
        """Return what has been added up for a record so far; None for nothing."""
        return self.values.get(record)

    def is_own(self, record: Record) -> bool:
        """Whether what was taken for a record belongs to whoever took it."""
        return record in self._own


def backward(output: Array, cotangent: Value, inputs: Sequence[Record]) -> list[Value]:
    """Propagate a cotangent from an output of a tape back to its inputs.

    Parameters
    ----------
    output : Array
        A value on the tape.
    cotangent : value
        Of the output's shape and dtype.
    inputs : sequence of Record
        Those of what `Tape.watch` returned.

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
    for each in cotangents:
        if each is not None and has_nan(each):
            return _backward_pass(output._node, cotangent, inputs)
    return cotangents


def _backward_pass(start: Record, cotangent: Value, inputs: Sequence[Record]) -> list[Value]:
    accumulator = Accumulator()
    accumulator.add(start, cotangent)
    # What the rules meet on the branches not taken is not the user's warning.
    with np.errstate(all="ignore"):
        propagate(records_behind(start), accumulator)
    return [accumulator.values.pop(each, None) for each in inputs]


def propagate(records: Iterable[Record], accumulator: Accumulator) -> None:
    """Apply the rules of records, latest first, to what has been added up for them.

    The cotangents of arguments of the differentiated function stay.
    """
    values = accumulator.values
    take = values.pop
    is_careful = NAN_CHECKS.get()
    for record in records:
        operation = record.primitive
        if operation is None:
            if record.position >= 0 and (g := take(record, None)) is not None:
                accumulator.add_result(record, g)
            continue
        g = take(record, None)
        if g is None:
            continue
        if not operation.rules_alone:
            _propagate_specially(record, operation, g, accumulator)
            continue
        rules = operation.vjps if is_careful else operation.quick_vjps
        result, args, static = record.result, record.args, record.static
        position = 0
        for parent in record.parents:
            rule = rules[position]
            position += 1
            if parent is None or rule is None:
                continue
            contribution = rule(g, result, args, static)
            kind = type(contribution)
            if (
                (kind is not ndarray and kind is not float64)
                or contribution.shape != parent.shape
                or contribution.dtype is not parent.dtype
            ):
                if contribution is None:
                    continue
                contribution = fit(contribution, parent.shape, parent.dtype)
            if parent in values:
                accumulator.add(parent, contribution)
            else:
                values[parent] = contribution


def _propagate_specially(
    record: Record, operation: Primitive, g: Value, accumulator: Accumulator
) -> None:
    """Apply the rules of a primitive with more than a rule for each argument."""
    if operation.add_vjp is not None and not isinstance(g, Traced):
        (argument,) = record.parents
        if argument is not None:
            total = accumulator.total(argument)
            if total is not None:
                operation.add_vjp(total, g, **record.static)
                return
    if operation.outputs > 1:
        g = [
            no_cotangent(kind) if each is None else each
            for each, kind in zip(g, record.shape, strict=True)
        ]
    if operation.in_place_vjp is not None and not any(
        isinstance(each, Traced) for each in (g, *record.args)
    ):
        _propagate_in_place(record, operation.in_place_vjp, g, accumulator)
        return
    result, args, static = record.result, record.args, record.static
    joint = None
    if operation.joint_vjp is not None:
        joint = operation.joint_vjp(g, result, args, static)
    for position, parent in enumerate(record.parents):
        if parent is None:
            continue
        if joint is not None:
            contribution = joint[position]
        else:
            rule, settings = operation.rule_at(operation.vjps, position, static)
            if rule is None:
                continue
            contribution = rule(g, result, args, settings)
        if contribution is None:
            continue
        shape, dtype = parent.shape, parent.dtype
        if (
            type(contribution) is not ndarray
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
