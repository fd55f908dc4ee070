"""Run a function of the user's with another arithmetic: more digits, or rounding errors of choice.

A trace sees each operation with its arguments. What it makes of them need not be what the code
says: a cast to float16 can be one to double precision, and a result be off by a rounding error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from steepest.array import Array
from steepest.array.creating import UserCode
from steepest.numeric.precision import NATIVE, Precision
from steepest.ops.spec import Primitive, Trace, Traced, Value
from steepest.tree import Tree, flatten, is_differentiable, tree_map, unflatten

__all__ = ["Evaluating"]


class Evaluating(Trace):
    """A trace that evaluates.

    Parameters
    ----------
    precision : Precision
        To which arguments and results are raised; by default, none is.
    """

    __slots__ = ("_precision",)

    def __init__(self, precision: Precision = NATIVE) -> None:
        super().__init__()
        self._precision = precision

    def run(self, function: Callable[[Tree], Any], x: Tree) -> Tree | None:
        """Return what a function comes to; None when it cannot be run in this way."""
        try:
            with np.errstate(all="ignore"), UserCode(function):
                result = function(tree_map(self._watch, x))
                leaves, structure = flatten(result)
                return unflatten(structure, [self._plain(leaf) for leaf in leaves])
        except Exception:
            # The user's code, which need not take traced arguments or another dtype, and may leave
            # its domain: it cannot be run in this way, whatever it says so with.
            return None
        finally:
            self.active = False

    def record(self, primitive: Primitive, args: Sequence[Value], static: dict[str, Any]) -> Value:
        """Evaluate a primitive."""
        values = [self._raised(self._plain(each)) for each in args]
        dtype = static.get("dtype")
        if dtype is not None and np.dtype(dtype).kind in "fc":
            static = {**static, "dtype": self._precision.of(np.dtype(dtype))}
        result = self.evaluate(primitive, values, static)
        if not primitive.differentiable:
            return result
        if primitive.outputs > 1:
            return tuple(Array(self, each, None) for each in result)
        return Array(self, result, None)

    def evaluate(self, primitive: Primitive, values: list[Value], static: dict[str, Any]) -> Value:
        """Return what a primitive makes of values that do not belong to this trace."""
        return primitive(*values, **static)

    def _watch(self, leaf: Value) -> Value:
        """Make a floating-point leaf of the argument an Array of this trace."""
        return Array(self, leaf, None) if is_differentiable(leaf) else leaf

    def _plain(self, value: Value) -> Value:
        return value._value if isinstance(value, Traced) and value._trace is self else value

    def _raised(self, value: Value) -> Value:
        if isinstance(value, Traced) or not isinstance(value, (np.ndarray, np.generic)):
            return value
        if value.dtype.kind not in "fc":
            return value
        dtype = self._precision.of(value.dtype)
        return value if dtype == value.dtype else value.astype(dtype)
