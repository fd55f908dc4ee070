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

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.check.evaluating import Evaluating
from steepest.numeric.precision import NATIVE, Precision
from steepest.ops import index, linalg, movement
from steepest.ops.spec import Primitive, Traced, Value
from steepest.tree import Tree, is_differentiable

__all__ = ["run_with_rounding_errors"]

SINGLE = 2.0**-23
FACTORISING = frozenset(primitive.name for primitive in linalg.PRIMITIVES)
# Values are moved, and none is rounded.
EXACT = frozenset(primitive.name for primitive in (*movement.PRIMITIVES, *index.PRIMITIVES))


def run_with_rounding_errors(
    function: Callable[[Tree], Any], x: Tree, seed: int, precision: Precision = NATIVE
) -> Tree | None:
    """Run a function with each of its operations off by a random rounding error.

    Parameters
    ----------
    function : callable
        In NumPy, as steepest can trace it.
    x : pytree
    seed : int
        Two runs with the same seed make the same relative errors.
    precision : Precision
        In which each operation is made, or in a higher one.

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
    return _Perturbing(seed, precision).run(function, x)


class _Perturbing(Evaluating):
    """A trace that evaluates, with rounding errors of its own."""

    __slots__ = ("_generator",)

    def __init__(self, seed: int, precision: Precision) -> None:
        super().__init__(precision)
        self._generator = np.random.default_rng(seed)

    def evaluate(self, primitive: Primitive, values: list[Value], static: dict[str, Any]) -> Value:
        """Evaluate a primitive, with a rounding error."""
        if not primitive.differentiable:
            return primitive(*values, **static)
        if primitive.name in FACTORISING:
            # Stable: its result is exact for data that are off by a rounding error.
            return primitive(*map(self._off, values), **static)
        result = primitive(*values, **static)
        if primitive.name not in EXACT and primitive.outputs == 1:
            result = self._off(result)
        return result

    def _off(self, value: Value) -> Value:
        """Move a value by up to half an ulp."""
        if isinstance(value, Traced) or not is_differentiable(value):
            return value
        array = np.asarray(value)
        errors = self._generator.uniform(-0.5, 0.5, array.shape)
        epsilon = np.finfo(array.dtype).eps
        if epsilon > SINGLE:
            # The factor itself would be rounded.
            moved: NDArray[Any] = (array * (1 + epsilon * errors)).astype(array.dtype)
        else:
            moved = array * (1 + epsilon * errors).astype(array.real.dtype)
        return moved if isinstance(value, np.ndarray) else moved[()]
