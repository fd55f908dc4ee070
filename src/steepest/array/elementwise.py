"""NumPy's element-wise functions that are not ufuncs, or not primitives."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from steepest.array.arguments import NO_VALUE, as_array
from steepest.array.array import NO_STATIC, Array, value_type
from steepest.array.buffers import as_ndarray, known_as_ndarray, view
from steepest.array.plain import holds
from steepest.array.ufuncs import apply_primitive, cast_to_loop
from steepest.array.writing import into
from steepest.ops import primitive
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS"]

_where = primitive("where")
_OPERANDS = (Array, np.generic, int, float, complex)


def where(condition: Value, x: Value = NO_VALUE, y: Value = NO_VALUE, /) -> Value:
    if x is NO_VALUE:
        return np.nonzero(condition)
    operands = _operand(condition), _operand(x), _operand(y)
    return known_as_ndarray(bind(_where, operands, NO_STATIC))


def _operand(value: Value) -> Value:
    if type(value) is ndarray or isinstance(value, _OPERANDS):
        return value
    return np.asarray(value)


def clip(
    a: Value,
    a_min: Value = NO_VALUE,
    a_max: Value = NO_VALUE,
    out: None = None,
    *,
    min: Value = NO_VALUE,  # noqa: A002  # NumPy's names
    max: Value = NO_VALUE,  # noqa: A002
    **settings: Any,
) -> Value:
    if a_min is NO_VALUE and a_max is NO_VALUE:
        low = None if min is NO_VALUE else min
        high = None if max is NO_VALUE else max
    elif a_min is NO_VALUE or a_max is NO_VALUE:
        missing = "a_min" if a_min is NO_VALUE else "a_max"
        raise TypeError(f"clip() missing 1 required positional argument: {missing!r}")
    elif min is not NO_VALUE or max is not NO_VALUE:
        raise ValueError(
            "Passing `min` or `max` keyword argument when `a_min` and `a_max` are provided is"
            " forbidden."
        )
    else:
        low, high = a_min, a_max
    if low is None and high is None:
        return np.positive(a, **settings)
    if low is not None and high is not None and settings:
        a, low, high = cast_to_loop(_CLIP, (a, low, high), settings)
        settings = {}
    if low is None:
        return np.minimum(a, high, **settings)  # type: ignore[arg-type]  # not both are None
    if high is None:
        return np.maximum(a, low, **settings)
    return np.minimum(np.maximum(a, low), high, **settings)


def clip_ufunc(a: Value, low: Value, high: Value, **settings: Any) -> Value:
    return np.minimum(np.maximum(a, low), high, **settings)


def round_(a: Value, decimals: int = 0, out: Value = None) -> Value:
    if out is None:
        return bind(primitive("round"), (a,), {"decimals": int(decimals)})
    if np.size(out) != np.size(a):
        raise ValueError("invalid output shape")
    if value_type(a).dtype.kind != "f" or not decimals:
        return into(out, np.round(a, decimals))
    # NumPy's three steps, of which the last two are in the precision of out=.
    steps: list[np.ufunc] = [np.multiply, np.true_divide]
    to_units, back = steps if decimals > 0 else steps[::-1]
    power = 10.0 ** abs(int(decimals))
    to_units(a, power, out=out)
    np.rint(out, out=out)
    return back(out, power, out=out)


def fix(x: Value, out: None = None) -> Value:
    return np.trunc(x, out=out)


def sign(x: Value, **settings: Any) -> Value:
    if value_type(x).dtype.kind == "c":
        return apply_primitive(np.sign, primitive("complex_sign"), (x,), settings)
    return apply_primitive(np.sign, primitive("sign"), (x,), settings)


def heaviside(x: Value, at_zero: Value, **settings: Any) -> Value:
    if not isinstance(at_zero, Array):
        return apply_primitive(np.heaviside, primitive("heaviside"), (x, at_zero), settings)
    kind = value_type(at_zero)
    zero: Any = kind.dtype.type(0)
    step = np.heaviside(x, zero.item() if kind.weak else zero, **settings)
    return _scalar_or_array(np.where(np.equal(x, 0), at_zero.astype(value_type(step).dtype), step))


def _scalar_or_array(value: Value) -> Value:
    """Make a scalar of an array without axes, as ufuncs do."""
    return value if value_type(value).ndim else value[()]


def real(val: Value) -> Value:
    return view(val, primitive("real"), {}) if _is_complex(val) else val


def imag(val: Value) -> Value:
    if _is_complex(val):
        return view(val, primitive("imag"), {})
    kind = value_type(val)
    zeros = np.zeros(kind.shape, kind.dtype)
    return zeros if isinstance(val, Array) and val._is_ndarray() else zeros[()]


def _is_complex(value: Value) -> bool:
    return value_type(value).dtype.kind == "c"


def angle(z: Value, deg: bool = False) -> Value:
    result = np.arctan2(np.imag(z), np.real(z))
    return result * (180 / np.pi) if deg else result


def sinc(x: Value) -> Value:
    return bind(primitive("sinc"), (x,), NO_STATIC)


def i0(x: Value) -> Value:
    return bind(primitive("i0"), (x,), NO_STATIC)


def frexp(x: Value) -> tuple[Value, Value]:
    exponent = bind(primitive("frexp_exponent"), (x,), NO_STATIC)
    return np.ldexp(x, -exponent), exponent


def real_if_close(a: Value, tol: float = 100) -> Value:
    if isinstance(a, Array):
        a = as_ndarray(a)
    if value_type(a).dtype.kind != "c":
        return a
    if tol > 1:
        tol = tol * float(np.finfo(value_type(a).dtype).eps)
    return np.real(a) if np.all(np.absolute(np.imag(a)) < tol) else a


def modf(x: Value) -> tuple[Value, Value]:
    dtype = np.modf.resolve_dtypes((value_type(x).dtype, None, None))[1]
    if value_type(x).dtype != dtype:
        x = x.astype(dtype)
    whole = np.trunc(x)
    return np.copysign(np.where(np.isinf(x), 0.0, x - whole), x), whole


def divmod_(x: Value, y: Value) -> tuple[Value, Value]:
    return np.floor_divide(x, y), np.remainder(x, y)


def astype(x: Value, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Value:
    if device is not None and device != "cpu":
        raise ValueError(f'Device not understood. Only "cpu" is allowed, but received: {device}')
    return x.astype(dtype, copy=copy)


# Questions, of which the answer has no derivative


def isneginf(x: Value, out: None = None) -> Value:
    return _answered(np.isinf(x) & np.signbit(_real_only(x, "isneginf")), out)


def isposinf(x: Value, out: None = None) -> Value:
    return _answered(np.isinf(x) & ~np.signbit(_real_only(x, "isposinf")), out)


def _real_only(x: Value, name: str) -> Value:
    if _is_complex(x):
        raise TypeError(
            f"This operation is not supported for {value_type(x).dtype} values because it would be"
            f" ambiguous: np.{name}"
        )
    return x


def _answered(answer: Value, out: Any) -> Value:
    if out is None:
        return answer
    np.copyto(out, answer)
    return out


def iscomplex(x: Value) -> Value:
    return np.not_equal(np.imag(x), 0) if _is_complex(x) else _nowhere(x)


def isreal(x: Value) -> Value:
    return np.logical_not(iscomplex(x))


def _nowhere(x: Value) -> Value:
    return np.zeros(value_type(x).shape, bool)[()]


def isclose(
    a: Value, b: Value, rtol: Value = 1e-5, atol: Value = 1e-8, equal_nan: bool = False
) -> Value:
    a, b, rtol, atol = (
        each if type(each) in (bool, int, float, complex) else as_array(each)
        for each in (a, b, rtol, atol)
    )
    kind = value_type(b)
    if not kind.weak:
        b = b.astype(np.result_type(kind.dtype, 1.0), copy=False)
    elif kind.dtype.kind in "iub":
        # Of integers and booleans, the numbers.
        b = float(b)
    if holds(~np.isfinite(atol)) or holds(~np.isfinite(rtol)):
        warnings.warn(
            f"One of rtol or atol is not valid, atol: {atol}, rtol: {rtol}",
            RuntimeWarning,
            stacklevel=3,
        )
    with np.errstate(invalid="ignore"):
        # A Python number gives way, as what np.abs makes of it would not.
        near = np.less_equal(abs(a - b), atol + rtol * abs(b))
        result = np.logical_or(near & np.isfinite(b), np.equal(a, b))
        if equal_nan:
            result = result | (np.isnan(a) & np.isnan(b))
    return _scalar_or_array(result)


# What the method of an ndarray calls, which has no public name.
_CLIP: np.ufunc = np._core.umath.clip  # type: ignore[attr-defined]

FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.where: where,
    np.clip: clip,
    np.round: round_,
    np.around: round_,
    np.real: real,
    np.imag: imag,
    np.angle: angle,
    np.sinc: sinc,
    np.i0: i0,
    np.real_if_close: real_if_close,
    np.fix: fix,
    np.sign: sign,
    np.heaviside: heaviside,
    _CLIP: clip_ufunc,
    np.modf: modf,
    np.frexp: frexp,
    np.divmod: divmod_,
    np.astype: astype,
    np.isneginf: isneginf,
    np.isposinf: isposinf,
    np.iscomplex: iscomplex,
    np.isreal: isreal,
    np.isclose: isclose,
}
