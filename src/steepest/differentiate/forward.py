"""Forward mode: each value travels with its tangent.

Where an entry of the op table has no forward rule, the reverse rule is transposed: it is linear
in the cotangent, and the derivative of a linear map's transpose is the map itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from steepest.array import Array, value_type
from steepest.array.buffers import rewritten, snapshot
from steepest.array.plain import base_array
from steepest.differentiate.reverse import Tape, backward, fit
from steepest.graph import ArrayType
from steepest.ops import primitive
from steepest.ops.spec import (
    Linearity,
    Primitive,
    Trace,
    Traced,
    Value,
    bind,
    is_ndarray,
    no_cotangent,
)

__all__ = ["Forward"]

_broadcast = primitive("broadcast")


class Forward(Trace):
    """The trace of one directional derivative; the node of its Arrays is the tangent."""

    __slots__ = ()

    def record(self, primitive: Primitive, args: Sequence[Value], static: dict[str, Any]) -> Value:
        """Apply a primitive to values and tangents."""
        values: list[Value] = []
        tangents: list[Value] = []
        for arg in args:
            mine = isinstance(arg, Traced) and arg._trace is self
            plain = base_array(arg) if is_ndarray(arg) else arg
            values.append(arg._value if mine else plain)
            tangents.append(arg._node if mine else None)
        result = bind(primitive, values, static)
        if not primitive.differentiable:
            return result
        if primitive.outputs > 1 or primitive.joint_vjp is not None:
            results = result if primitive.outputs > 1 else (result,)
            types = [value_type(each) for each in results]
            directions = _transposed_several(primitive, values, tangents, static, results)
            arrays = tuple(
                Array(self, each, _stretch(direction, kind))
                for each, direction, kind in zip(results, directions, types, strict=True)
            )
            return arrays if primitive.outputs > 1 else arrays[0]
        tangent = _tangent(primitive, values, tangents, static, result)
        return Array(self, result, _stretch(tangent, value_type(result)))

    def write(
        self, primitive: Primitive, target: Traced, args: Sequence[Value], static: dict[str, Any]
    ) -> None:
        """Write into value and tangent, in their memory where nothing else needs what is there."""
        mine = target._trace is self
        outer = not mine and target._trace.active
        kind = value_type(target)
        written, *indices = args
        given = isinstance(written, Traced) and written._trace is self
        direction: Value = 0.0
        if given:
            of_parts = any(name in ("real", "imag") for name, _ in static["path"])
            dtype = np.empty(0, kind.dtype).real.dtype if of_parts else kind.dtype
            direction = fit(written._node, value_type(written).shape, dtype)
        value = [snapshot(target) if outer else target._value]
        tangent = [target._node if mine else np.zeros(kind.shape, kind.dtype)]
        # Of two who refer to them, the writer would make copies; other threads wait for them.
        del target._value
        if mine:
            del target._node
        try:
            v = written._value if given else written
            changed = rewritten(value, primitive, (v, *indices), static)
        except BaseException:
            (before,) = value
            target._value = before._value if outer else before
            if mine:
                (target._node,) = tangent
            raise
        target._node = rewritten(tangent, primitive, (direction, *indices), static)
        target._trace, target._value = self, changed


def _stretch(tangent: Value, kind: ArrayType) -> Value:
    """Give a tangent the shape and dtype of the result that it belongs to."""
    if value_type(tangent).shape != kind.shape:
        tangent = bind(_broadcast, (tangent,), {"shape": kind.shape})
    return fit(tangent, kind.shape, kind.dtype)


def _tangent(
    primitive: Primitive,
    values: Sequence[Value],
    tangents: Sequence[Value],
    static: dict[str, Any],
    result: Value,
) -> Value:
    with np.errstate(all="ignore"):
        if primitive.linearity is Linearity.JOINT:
            filled = [
                np.zeros(value_type(value).shape, value_type(value).dtype)
                if tangent is None
                else tangent
                for value, tangent in zip(values, tangents, strict=True)
            ]
            return bind(primitive, filled, static)
        parts = []
        for position, tangent in enumerate(tangents):
            if tangent is None or primitive.rule_at(primitive.vjps, position, static)[0] is None:
                continue
            if primitive.linearity is Linearity.SEPARATE:
                replaced = [*values[:position], tangent, *values[position + 1 :]]
                parts.append(bind(primitive, replaced, static))
                continue
            rule, keywords = primitive.rule_at(primitive.jvps, position, static)
            if rule is None:
                parts.append(_transposed(primitive, values, position, tangent, static, result))
            else:
                parts.append(rule(tangent, result, values, keywords))
        if not parts:
            kind = value_type(result)
            return np.zeros(kind.shape, kind.dtype)
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


def _transposed(
    primitive: Primitive,
    values: Sequence[Value],
    position: int,
    tangent: Value,
    static: dict[str, Any],
    result: Value,
) -> Value:
    """Differentiate the reverse rule, which is linear in its cotangent, along it."""
    kind = value_type(result)
    tape = Tape()
    try:
        cotangent = tape.watch(np.zeros(kind.shape, kind.dtype))
        rule, static = primitive.rule_at(primitive.vjps, position, static)
        assert rule is not None
        pulled = rule(cotangent, result, values, static)
        argument = value_type(values[position])
        pulled = fit(pulled, argument.shape, argument.dtype)
        (direction,) = backward(pulled, tangent, [cotangent._node])
    finally:
        tape.active = False
    return np.zeros(kind.shape, kind.dtype) if direction is None else direction


def _transposed_several(
    primitive: Primitive,
    values: Sequence[Value],
    tangents: Sequence[Value],
    static: dict[str, Any],
    results: Sequence[Value],
) -> list[Value]:
    """Transpose the reverse rules of a primitive with several results, or a joint rule."""
    kinds = [value_type(each) for each in results]
    several = primitive.outputs > 1

    def direction(position: int) -> Value:
        """Push forward to one result, as if nothing depended on the others."""
        kind = kinds[position]
        total: Value = np.zeros(kind.shape, kind.dtype)
        tape = Tape()
        try:
            cotangent = tape.watch(np.zeros(kind.shape, kind.dtype))
            g: Value = cotangent
            if several:
                g = [cotangent if i == position else no_cotangent(k) for i, k in enumerate(kinds)]
            ans = results if several else results[0]
            pulled: Sequence[Value]
            if primitive.joint_vjp is not None:
                pulled = primitive.joint_vjp(g, ans, values, static)
            else:
                pulled = [
                    None if tangent is None or rule is None else rule(g, ans, values, static)
                    for tangent, rule in zip(tangents, primitive.vjps, strict=True)
                ]
            for value, tangent, contribution in zip(values, tangents, pulled, strict=True):
                if tangent is None or contribution is None:
                    continue
                if not isinstance(contribution, Array) or contribution._trace is not tape:
                    continue  # This result does not depend on the argument.
                argument = value_type(value)
                fitted = fit(contribution, argument.shape, argument.dtype)
                (part,) = backward(fitted, tangent, [cotangent._node])
                total = total if part is None else total + part
        finally:
            tape.active = False
        return total

    return [direction(position) for position in range(len(results))]
