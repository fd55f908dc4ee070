"""A function that computes in a low precision, evaluated with more digits than its code asks for.

Whatever such a function is given, it shows no more of its slope than its few digits hold. What it
says is a formula all the same, and that is evaluated here as it stands, in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.check.conditioning import run_with_rounding_errors
from steepest.check.evaluating import Evaluating
from steepest.numeric.evaluate import Function
from steepest.numeric.precision import (
    DOUBLE,
    NATIVE,
    Precision,
    is_floating,
    significand_bits,
)
from steepest.ops.spec import Primitive, Value
from steepest.tree import Tree

__all__ = ["raise_low_precision", "run_raised"]

DOUBLE_BITS = significand_bits(np.dtype(np.float64))
# Two precisions of one function differ by so little, or by what rounding errors explain.
SAME = 1e-2
PERTURBED_RUNS = 3
HEADROOM = 10.0
# A function that rounding errors change by more is one of these errors.
ROUNDING_ALONE = 0.5


def run_raised(function: Callable[[Tree], Any], x: Tree, precision: Precision) -> Tree | None:
    """Run a function with each of its operations in a precision, or in a higher one.

    Parameters
    ----------
    function : callable
        In NumPy, as steepest can trace it.
    x : pytree
    precision : Precision

    Returns
    -------
    pytree or None
        What the function returned; None when it cannot be run in this way.

    Examples
    --------
    >>> third = lambda x: x.astype(np.float16) / 3
    >>> float(third(np.ones(1))[0]), float(run_raised(third, np.ones(1), DOUBLE)[0])
    (0.333251953125, 0.3333333333333333)
    """
    return Evaluating(precision).run(function, x)


def raise_low_precision(function: Function) -> float:
    """Let a function that computes in a low precision be evaluated in double precision.

    Nothing is changed if it does not, or takes more when it is given more, or if it is another
    function there (one of the rounding itself).

    Returns
    -------
    float
        The rounding unit inside of the function; zero where nothing is changed.
    """
    watch = _Watching()
    function.spend()
    watch.run(function.f, function.argument(DOUBLE, {}))
    if watch.bits >= DOUBLE_BITS:
        return 0.0
    for _ in range(1 + PERTURBED_RUNS):
        function.spend()
    raised = run_raised(function.f, function.argument(DOUBLE, {}), DOUBLE)
    runs = [
        run_with_rounding_errors(function.f, function.argument(NATIVE, {}), seed)
        for seed in range(PERTURBED_RUNS)
    ]
    values = np.array([np.nan if each is None else float(each) for each in (raised, *runs)])
    changes = np.abs(values - float(function.centre(NATIVE)))
    spread = min(HEADROOM * float(changes[1:].max()), ROUNDING_ALONE * abs(values[0]))
    if not changes[0] <= SAME * abs(values[0]) + spread + HEADROOM * function.result_quantum:
        return 0.0
    return float(2.0 ** (1 - watch.bits)) if function.raise_by(run_raised) else 0.0


class _Watching(Evaluating):
    """A trace that sees in which precision a function computes."""

    __slots__ = ("bits",)

    def __init__(self) -> None:
        super().__init__()
        self.bits = DOUBLE_BITS

    def evaluate(self, primitive: Primitive, values: list[Value], static: dict[str, Any]) -> Value:
        """Evaluate, and look at the dtypes."""
        result = primitive(*values, **static)
        for each in result if primitive.outputs > 1 else (result,):
            dtype = getattr(each, "dtype", None)
            if dtype is not None and is_floating(dtype):
                self.bits = min(self.bits, significand_bits(dtype))
        return result
