"""Roots and fixed points of functions: SciPy's, with the derivatives of the exact ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.plain import plain_value
from steepest.array.scipy.followed import always
from steepest.array.scipy.implicit import as_column, others_of, solution_of, solved_plainly
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]

Function = Callable[..., Any]


def _rooted(name: str, fixed: bool = False) -> Function:
    """Make what stands for a solver, whose first argument is the function.

    Parameters
    ----------
    name : str
    fixed : bool
        Whether what is found is a fixed point.
    """

    @always
    def solve(*args: Any, **settings: Any) -> Any:
        asked = f"scipy.optimize.{name}"
        found, given = solved_plainly(name, args, settings)
        if not given:
            return found
        function, *_ = given.values()
        others = others_of(given)
        # With its derivatives in a tuple.
        has_more = any(given.get(each) is True for each in ("jac", "fprime", "fprime2"))
        x = _found_in(found)
        root = np.asarray(plain_value(x, asked))
        if root.dtype.kind == "c":
            raise UnsupportedError(
                f"{asked} of a complex root is not differentiated",
                instead="scipy.optimize.root of its real and imaginary part",
            )
        shape, size = root.shape, root.size

        def residual(x: Value) -> Value:
            there = np.reshape(x, shape)
            value = function(there, *others)
            value = as_column(value[0] if has_more else value, size)
            return x - value if fixed else value

        exact = solution_of(residual, root.astype(np.float64).ravel(), asked)
        return _with_root(found, np.reshape(exact, shape) if shape else exact[0])

    return solve


_NAMES = ("root", "x")


def _found_in(found: Any) -> Any:
    """Find the root in what SciPy's function returned: a record, or a tuple with it in front."""
    if isinstance(found, tuple):
        return found[0]
    for name in _NAMES:
        if isinstance(found, dict) and name in found:
            return found[name]
    return found


def _with_root(found: Any, root: Value) -> Any:
    if isinstance(found, tuple):
        _, *rest = found
        rest = [_with_root(each, root) if isinstance(each, dict) else each for each in rest]
        made = getattr(type(found), "_make", type(found))
        return made((root, *rest))
    for name in _NAMES:
        if isinstance(found, dict) and name in found:
            found[name] = root
            return found
    return root


_ROOTS = (
    "anderson bisect brenth brentq broyden1 broyden2 diagbroyden excitingmixing fsolve linearmixing"
    " newton newton_krylov ridder root root_scalar toms748"
)

FUNCTIONS: dict[str, dict[str, Function]] = {
    "scipy.optimize": {
        **{name: _rooted(name) for name in _ROOTS.split()},
        "fixed_point": _rooted("fixed_point", fixed=True),
    }
}
"""By module and name."""
