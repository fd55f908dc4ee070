"""What `float` and `complex` make of traced numbers: Python's numbers, which keep their gradient.

Python's own `float` gives a real float or an error. So while a function is traced, these names
stand for classes that are called, asked and compared like Python's, in those modules of the user's
in which nothing can tell the two apart (`creating.py`, `builtin_uses.py`).
"""

from __future__ import annotations

import copyreg
from types import FunctionType
from typing import Any

import numpy as np

from steepest.array.array import Array, value_type
from steepest.array.buffers import duck
from steepest.array.builtin_uses import replaceable
from steepest.array.plain import is_known, is_traced, plain_value
from steepest.array.standing_in import named
from steepest.graph import ArrayType
from steepest.ops import primitive
from steepest.ops.spec import Traced, Value, bind, released

__all__ = ["converted_in"]

_item = primitive("item")


class _TypeOfNumbers(type):
    """The type of what stands for `float` and `complex`, to be called and asked like these."""

    def __call__(cls, *args: Any, **settings: Any) -> Any:
        if cls is Float:
            return _to_float(*args, **settings)
        if cls is Complex:
            return _to_complex(*args, **settings)
        return super().__call__(*args, **settings)

    def __instancecheck__(cls, instance: object) -> bool:
        original = _original(cls)
        if original is cls:
            return type.__instancecheck__(cls, instance)
        return isinstance(instance, original)

    def __subclasscheck__(cls, subclass: type) -> bool:
        original = _original(cls)
        if original is cls:
            return type.__subclasscheck__(cls, subclass)
        return issubclass(subclass, original)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is _original(cls)

    def __hash__(cls) -> int:
        return type.__hash__(_original(cls))

    def __repr__(cls) -> str:
        return type.__repr__(_original(cls))

    def __or__(cls, other: Any) -> Any:
        return _original(cls) | other

    def __ror__(cls, other: Any) -> Any:
        return other | _original(cls)


class Float(float, metaclass=_TypeOfNumbers):
    """Stands for `float`."""

    # What NumPy looks for in a class that is to say a dtype.
    dtype = np.dtype(float)


class Complex(complex, metaclass=_TypeOfNumbers):
    """Stands for `complex`."""

    dtype = np.dtype(complex)


def _original(cls: type) -> type:
    return float if cls is Float else complex if cls is Complex else cls


def _reduced(cls: type) -> Any:
    original = _original(cls)
    return cls.__qualname__ if original is cls else (named, ("builtins", original.__name__))


for _stand_in in (Float, Complex):
    _stand_in.__name__ = _stand_in.__qualname__ = _original(_stand_in).__name__
    _stand_in.__module__ = "builtins"
    _stand_in.__doc__ = _original(_stand_in).__doc__
copyreg.pickle(_TypeOfNumbers, _reduced)


def _to_float(*args: Any, **settings: Any) -> Any:
    if len(args) != 1 or settings or type(args[0]) in _PLAIN:
        return float(*args, **settings)
    value = _asked(args[0], "__float__")
    if not isinstance(value, Array):
        return float(value)
    kind = value_type(value)
    if kind.weak and kind.dtype.kind == "f":
        return value
    if kind.shape or kind.dtype.kind == "c":
        # NumPy's errors and warnings.
        float(_example(kind))
        value = value.real
    return _number(value, value_type(value), np.dtype(float))


def _to_complex(*args: Any, **settings: Any) -> Any:
    if len(args) == 1 and not settings:
        value = _asked(args[0], "__complex__")
        if not isinstance(value, Array):
            return complex(value)
        kind = value_type(value)
        if kind.weak and kind.dtype.kind == "c":
            return value
        if kind.shape:
            complex(_example(kind))
        return _number(value, kind, np.dtype(complex))
    args = tuple(map(_released, args))
    settings = {name: _released(each) for name, each in settings.items()}
    if not is_traced((args, settings)):
        return complex(*args, **settings)
    # Python's errors.
    complex(*map(_plain_example, args), **{k: _plain_example(v) for k, v in settings.items()})
    parts = {**dict(zip(("real", "imag"), args, strict=False)), **settings}
    real, imag = parts.get("real", 0.0), parts.get("imag", 0.0)
    if not isinstance(imag, complex):
        # Also of a complex number that is none of Python's, which takes its real part.
        imag = _to_float(imag)
    result = duck(np.zeros((), complex))
    result.real, result.imag = np.real(real), np.real(imag)
    # Each may be complex itself; where it is not, there is nothing to add, not even 0.
    if np.iscomplexobj(imag):
        result.real -= np.imag(imag)
    if np.iscomplexobj(real):
        result.imag += np.imag(real)
    return result.item()


def _released(value: Any) -> Any:
    return released(value) if isinstance(value, Traced) else value


def _asked(value: Any, method: str) -> Any:
    """Take a value out of ended traces; ask an object for its number, which may be traced."""
    if isinstance(value, Traced):
        return released(value)
    convert = getattr(type(value), method, None)
    if not isinstance(convert, FunctionType):
        return value
    number = convert(value)
    if not isinstance(number, Traced):
        return _Answer(number)
    # Python's errors, of what is no number of the kind.
    (float if method == "__float__" else complex)(_Answer(_example(value_type(number))))
    return released(number)


_PLAIN = frozenset((float, int, str, np.float64, np.ndarray))


class _Answer:
    """What an object has said its number is, to be judged by Python."""

    def __init__(self, number: object) -> None:
        self._number = number

    def __float__(self) -> Any:
        return self._number

    __complex__ = __float__


def _number(value: Array, kind: ArrayType, dtype: np.dtype[Any]) -> Any:
    if kind.dtype.kind not in "fc" and is_known(value):
        return dtype.type(plain_value(value, "a number")).item()
    entry: Value = np.reshape(value, ()) if kind.shape else value
    # Python's own numbers are as long as this dtype.
    if kind.dtype.kind != dtype.kind or kind.dtype.itemsize > dtype.itemsize:
        entry = entry.astype(dtype)
    return bind(_item, (entry,), {})


def _example(kind: ArrayType) -> Value:
    """Make a value of a type, with which Python and NumPy do as with any of that type."""
    number = kind.dtype.type()
    if kind.weak:
        return number.item()
    return np.broadcast_to(number, kind.shape) if kind.shape else number


def _plain_example(value: Any) -> Any:
    return _example(value_type(value)) if isinstance(value, Traced) else value


_STAND_INS: dict[str, Any] = {"float": Float, "complex": Complex}


def converted_in(names: dict[str, Any], source: str | None) -> dict[str, Any]:
    """Find what is to stand for `float` and `complex` in a module of the user's.

    It is given by its names and its source. Names without a source are taken for those of a
    session, of which it is in pieces.
    """
    return {name: _STAND_INS[name] for name in replaceable(_STAND_INS, names, source)}
