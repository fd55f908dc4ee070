"""How much the rounding inside of a function may move its values and slopes.

A stable algorithm gives the exact result for data that are off by a rounding error, and for an
ill-conditioned problem that may be far from the result. The function's own difference quotients do
not show it: a matrix that is factorised is rounded in the same way each time. So the function is
run with every operation off by a rounding error of its own (Monte Carlo arithmetic [1]_), and what
changes from run to run is what its rounding may cost. A run with the same errors on both sides of
x shows that for the slope.

References
----------
.. [1] D. S. Parker, "Monte Carlo arithmetic: exploiting randomness in floating-point arithmetic",
   UCLA CSD-970002 (1997).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.array import Array
from steepest.array.creating import UserCode
from steepest.ops import index, linalg, movement
from steepest.ops.spec import Trace, Traced, Value
from steepest.tree import Tree, flatten, is_differentiable, tree_map, unflatten

__all__ = ["run_with_rounding_errors"]

FACTORISING = frozenset(primitive.name for primitive in linalg.PRIMITIVES)
# Values are moved, and none is rounded.
EXACT = frozenset(primitive.name for primitive in (*movement.PRIMITIVES, *index.PRIMITIVES))


def run_with_rounding_errors(function: Callable[[Tree], Any], x: Tree, seed: int) -> Tree | None:
    """Run a function with each of its operations off by a random rounding error.

    Parameters
    ----------
    function : callable
        In NumPy, as steepest can trace it.
    x : pytree
    seed : int
        Two runs with the same seed make the same relative errors.

    Returns
    -------
    pytree or None
        What the function returned; None when it cannot be run in this way.

    Examples
    --------
    >>> import numpy as np
    >>> first, second = (
    ...     run_with_rounding_errors(lambda x: np.sum(x * x), np.ones(9), seed) for seed in (0, 1)
    ... )
    >>> bool(0 < abs(first - second) < 1e-13)
    True
    """
    trace = _Perturbing(seed)
    try:
        with np.errstate(all="ignore"), UserCode():
            result = function(tree_map(trace.watch, x))
            leaves, structure = flatten(result)
            return unflatten(structure, [_plain(leaf, trace) for leaf in leaves])
    except Exception:
        # The user's code, which need not take traced arguments, and may leave its domain under
        # rounding errors: it cannot be run in this way, whatever it says so with.
        return None
    finally:
        trace.active = False


class _Perturbing(Trace):
    """A trace that evaluates, with rounding errors of its own."""

    __slots__ = ("_generator",)

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = np.random.default_rng(seed)

    def watch(self, leaf: Value) -> Value:
        """Make a floating-point leaf of the argument an Array of this trace."""
        return Array(self, leaf, None) if is_differentiable(leaf) else leaf

    def record(self, primitive: Any, args: Sequence[Value], static: dict[str, Any]) -> Value:
        """Evaluate a primitive, with a rounding error."""
        values = [_plain(each, self) for each in args]
        if not primitive.differentiable:
            return primitive(*values, **static)
        if primitive.name in FACTORISING:
            # Stable: its result is exact for data that are off by a rounding error.
            result = primitive(*map(self._off, values), **static)
        else:
            result = primitive(*values, **static)
            if primitive.name not in EXACT and primitive.outputs == 1:
                result = self._off(result)
        if primitive.outputs > 1:
            return tuple(Array(self, each, None) for each in result)
        return Array(self, result, None)

    def _off(self, value: Value) -> Value:
        """Move a value by up to half an ulp."""
        if isinstance(value, Traced) or not is_differentiable(value):
            return value
        array = np.asarray(value)
        errors = self._generator.uniform(-0.5, 0.5, array.shape)
        epsilon = np.finfo(array.dtype).eps
        moved: NDArray[Any] = array * (1 + epsilon * errors).astype(array.real.dtype)
        return moved if isinstance(value, np.ndarray) else moved[()]


def _plain(value: Value, trace: Trace) -> Value:
    return value._value if isinstance(value, Traced) and value._trace is trace else value
