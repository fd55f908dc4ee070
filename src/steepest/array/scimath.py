"""``np.emath``: functions that go over to complex numbers where the real ones end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.array import Array, value_type
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]

_OF_SINGLE_PRECISION = "fbhBH"
"""Dtypes, by their characters, whose numbers become complex64."""


def _array(x: Value) -> Value:
    return x if isinstance(x, Array) else np.asarray(x)


def _extended(x: Value, is_outside: Callable[[Value], Value]) -> Value:
    """Make real numbers complex if one of them is outside of the domain: one, and all are."""
    x = _array(x)
    dtype = value_type(x).dtype
    if dtype.kind != "c" and np.any(is_outside(x)):
        return x.astype(np.csingle if dtype.char in _OF_SINGLE_PRECISION else np.cdouble)
    return x


def _is_negative(x: Value) -> Value:
    return x < 0


def _is_beyond_one(x: Value) -> Value:
    return np.abs(x) > 1


def _extending(
    function: Callable[[Value], Value], is_outside: Callable[[Value], Value]
) -> Callable[[Value], Value]:
    def extended(x: Value) -> Value:
        return function(_extended(x, is_outside))

    return extended


def logn(n: Value, x: Value) -> Value:
    return np.log(_extended(x, _is_negative)) / np.log(_extended(n, _is_negative))


def power(x: Value, p: Value) -> Value:
    p = _array(p)
    if value_type(p).dtype.kind in "iub" and np.any(p < 0):
        p = p * 1.0
    return np.power(_extended(x, _is_negative), p)


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.emath.sqrt: _extending(np.sqrt, _is_negative),
    np.emath.log: _extending(np.log, _is_negative),
    np.emath.log2: _extending(np.log2, _is_negative),
    np.emath.log10: _extending(np.log10, _is_negative),
    np.emath.logn: logn,
    np.emath.power: power,
    np.emath.arccos: _extending(np.arccos, _is_beyond_one),
    np.emath.arcsin: _extending(np.arcsin, _is_beyond_one),
    np.emath.arctanh: _extending(np.arctanh, _is_beyond_one),
}
