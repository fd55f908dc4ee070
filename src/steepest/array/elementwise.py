"""NumPy's element-wise functions that are not ufuncs, or not primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.array import NO_STATIC, Array, value_type
from steepest.ops import primitive
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS"]

_NO_VALUE: Any = np._NoValue
_where = primitive("where")


def where(condition: Value, x: Value = _NO_VALUE, y: Value = _NO_VALUE, /) -> Value:
    if x is _NO_VALUE:
        return np.nonzero(condition)
    args = (
        each if isinstance(each, (Array, np.generic, int, float, complex)) else np.asarray(each)
        for each in (condition, x, y)
    )
    return bind(_where, tuple(args), NO_STATIC)


def clip(
    a: Value,
    a_min: Value = None,
    a_max: Value = None,
    out: None = None,
    *,
    min: Value = None,  # noqa: A002  # NumPy's names
    max: Value = None,  # noqa: A002
    **settings: Any,
) -> Value:
    low = a_min if min is None else min
    high = a_max if max is None else max
    if out is not None:
        settings["out"] = out
    if low is not None:
        a = np.maximum(a, low, **settings)
    if high is not None:
        a = np.minimum(a, high, **settings)
    return a


def round_(a: Value, decimals: int = 0, out: None = None) -> Value:
    from steepest.array.plain import plain_value

    # Rounding is piecewise constant.
    return np.round(plain_value(a, "np.round"), decimals, out=out)


def real(val: Value) -> Value:
    return bind(primitive("real"), (val,), NO_STATIC) if _is_complex(val) else _same(val)


def imag(val: Value) -> Value:
    if _is_complex(val):
        return bind(primitive("imag"), (val,), NO_STATIC)
    kind = value_type(val)
    return np.zeros(kind.shape, kind.dtype)[()]


def _is_complex(value: Value) -> bool:
    return value_type(value).dtype.kind == "c"


def _same(value: Value) -> Value:
    value._shared = True
    return value


def angle(z: Value, deg: bool = False) -> Value:
    result = np.arctan2(np.imag(z), np.real(z))
    return result * (180 / np.pi) if deg else result


def sinc(x: Value) -> Value:
    y = np.pi * np.where(x == 0, 1.0e-20, x)
    return np.sin(y) / y


def modf(x: Value) -> tuple[Value, Value]:
    dtype = np.modf.resolve_dtypes((value_type(x).dtype, None, None))[1]
    if value_type(x).dtype != dtype:
        x = x.astype(dtype)
    whole = np.trunc(x)
    return np.copysign(np.where(np.isinf(x), 0.0, x - whole), x), whole


def divmod_(x: Value, y: Value) -> tuple[Value, Value]:
    return np.floor_divide(x, y), np.remainder(x, y)


def float_power(x: Value, y: Value) -> Value:
    kind = np.result_type(value_type(x).dtype, value_type(y).dtype, np.float64)
    base = x if isinstance(x, Array) else np.asarray(x)
    exponent = y if isinstance(y, Array) else np.asarray(y)
    return np.power(base.astype(kind), exponent.astype(kind))


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.where: where,
    np.clip: clip,
    np.round: round_,
    np.around: round_,
    np.real: real,
    np.imag: imag,
    np.angle: angle,
    np.sinc: sinc,
    np.modf: modf,
    np.divmod: divmod_,
    np.float_power: float_power,
}
