"""The functions of the modules math and cmath, of traced numbers.

They are written in C for Python's numbers, and ask nobody. So while a function is traced, these
stand for them in the user's modules (`creating.py`), which NumPy's functions compute. The result
is Python's number, as it is without traces, and what math refuses is refused with its errors.
"""

from __future__ import annotations

import cmath
import importlib
import math
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import numpy as np

from steepest.array.array import Array, value_type
from steepest.array.plain import is_known, is_traced, plain_arguments
from steepest.array.standing_in import StandsFor
from steepest.ops.spec import Value

__all__ = ["STAND_INS"]


class _OfNumbers(StandsFor):
    """One of the functions of math, of traced numbers too.

    Parameters
    ----------
    original : callable
        Of math.
    function : callable
        The same by NumPy's functions; None for questions, of which the answer is a plain value.
    of_sequences : bool
        Whether the arguments are sequences of numbers.
    """

    def __init__(
        self,
        original: Callable[..., Any],
        function: Callable[..., Value] | None,
        *,
        of_sequences: bool = False,
    ) -> None:
        super().__init__(original)
        self._function = function
        self._of_sequences = of_sequences

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Call the function of math, unless a number is traced."""
        if self._of_sequences:
            args = tuple(map(list, args))
        if not is_traced(args):
            return self._original(*args, **settings)
        if self._function is None or _is_known(args):
            # Also for the errors: of a domain, an overflow, an array that is no number.
            plain = self._original(*plain_arguments(args, self._original.__name__), **settings)
            if self._function is None:
                return plain
        return _number(self._function(*args, **settings))


def _is_known(args: Any) -> bool:
    if isinstance(args, (list, tuple)):
        return all(map(_is_known, args))
    return is_known(args)


def _number(result: Any) -> Any:
    """Make Python's number of a result, which keeps its gradient."""
    if isinstance(result, tuple):
        return tuple(map(_number, result))
    if isinstance(result, Array) and value_type(result).weak:
        return result
    return result.item()


def _logarithm(x: Value, *base: Value) -> Value:
    return np.log(x) / np.log(base[0]) if base else np.log(x)


def _hypotenuse(*coordinates: Value) -> Value:
    if len(coordinates) == 2:
        return np.hypot(*coordinates)
    return np.sqrt(np.sum(np.square(np.stack(coordinates))))


def _distance(p: Iterable[Value], q: Iterable[Value]) -> Value:
    return _hypotenuse(*(a - b for a, b in zip(p, q, strict=True)))


def _of_special(name: str) -> Callable[..., Value]:
    # SciPy is imported by those who need it.
    def function(x: Value) -> Value:
        result: Value = getattr(importlib.import_module("scipy.special"), name)(x)
        return result

    return function


_OF_MATH: dict[str, Callable[..., Value] | None] = {
    **{
        name: getattr(np, name)
        for name in (
            *("cbrt", "copysign", "cos", "cosh", "degrees", "exp", "exp2", "expm1", "fabs"),
            *("fmod", "log10", "log1p", "log2", "modf", "radians", "sin", "sinh", "sqrt"),
            *("tan", "tanh"),
        )
    },
    **{
        name: getattr(np, f"arc{name[1:]}")
        for name in ("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh")
    },
    "dist": _distance,
    "erf": _of_special("erf"),
    "erfc": _of_special("erfc"),
    "fsum": lambda numbers: np.sum(np.stack(numbers)),
    "gamma": _of_special("gamma"),
    "hypot": _hypotenuse,
    "isclose": None,
    "isfinite": None,
    "isinf": None,
    "isnan": None,
    "ldexp": lambda x, i: x * 2.0**i,
    "lgamma": _of_special("gammaln"),
    "log": _logarithm,
    "pow": lambda x, y: np.power(1.0 * x, 1.0 * y),
}


def _of_complex(name: str) -> Callable[..., Value]:
    function = getattr(np, name)
    return lambda x: function(x + 0j)


_OF_CMATH: dict[str, Callable[..., Value] | None] = {
    **{
        name: _of_complex(name)
        for name in ("cos", "cosh", "exp", "log", "sin", "sinh", "sqrt", "tan", "tanh")
    },
    "phase": np.angle,
    "polar": lambda z: (np.abs(z), np.angle(z)),
    "rect": lambda r, phi: r * np.exp(1j * phi),
}
_OF_SEQUENCES = ("dist", "fsum")


def _stand_ins(
    module: ModuleType, functions: dict[str, Callable[..., Value] | None]
) -> dict[int, Any]:
    """Make what stands for a module, and for its functions, by the identity of these."""
    standing = ModuleType(module.__name__, module.__doc__)
    vars(standing).update(vars(module))
    for name, function in functions.items():
        original = getattr(module, name)
        setattr(
            standing,
            name,
            _OfNumbers(original, function, of_sequences=name in _OF_SEQUENCES),
        )
    return {
        id(module): standing,
        **{id(getattr(module, name)): getattr(standing, name) for name in functions},
    }


STAND_INS = {**_stand_ins(math, _OF_MATH), **_stand_ins(cmath, _OF_CMATH)}
"""By the identity of what they stand for: modules and functions."""
