"""What the faces of other frameworks have in common: derivatives of NumPy arrays in and out."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.check.products import CheckOptions, Projected, check_jvp, check_vjp
from steepest.check.report import GradientCheck
from steepest.errors import BadInputError, UnsupportedError
from steepest.numeric.precision import significand_bits
from steepest.tree import NamedLeaves

__all__ = ["Arrays", "Framework", "Mode", "Named", "Order", "check_framework", "import_framework"]

Mode: TypeAlias = Literal["reverse", "forward"]
Order: TypeAlias = Literal[1, 2]
Arrays: TypeAlias = list[NDArray[Any]]
Named: TypeAlias = NamedLeaves


# What is the same function differs by less in two precisions.
SAME = 1e-3
ROUNDINGS = 16.0


class Framework(Protocol):
    """A function of another framework, with the derivatives that the framework gives it.

    Points, tangents and gradients are arrays by name; results and cotangents are lists of arrays.
    Arrays of a point may have a higher precision than those of `x`. Gradients follow steepest's
    convention for complex numbers.
    """

    x: Named
    lowers_precision: bool
    """Whether f casts to a lower precision what it has been given in a raised one. Its raised
    evaluations do not."""

    def value(self, x: Named) -> Arrays:
        """Return the results."""

    def vjp(self, x: Named, cotangents: Arrays) -> Named:
        """Return the cotangents times the Jacobian."""

    def jvp(self, x: Named, tangents: Named) -> Arrays:
        """Return the Jacobian times the tangents."""

    def vjp_of_vjp(self, x: Named, cotangents: Arrays, second: Named) -> Named:
        """Return the gradient of the sum of `second` times what `vjp` returns."""

    def jvp_of_vjp(self, x: Named, cotangents: Arrays, tangents: Named) -> Named:
        """Return the derivative of what `vjp` returns in the direction of the tangents."""


def check_framework(
    function: Framework, mode: Mode, order: Order, options: CheckOptions
) -> GradientCheck:
    """Check first or second derivatives, of reverse or forward mode.

    Raises
    ------
    BadInputError
        When there is no such mode or order.
    """
    if mode not in ("reverse", "forward"):
        raise BadInputError(f"mode must be 'reverse' or 'forward', but is {mode!r}")
    if order not in (1, 2):
        raise BadInputError(f"order must be 1 or 2, but is {order!r}")
    x, note = _point(function)
    if order == 1:
        report = _check_first(function, x, mode, options)
    else:
        report = _check_second(function, x, mode, options)
    # A lower precision matters where it has left something undecided.
    applies = report.verdict != "noisy" if x is not function.x else report.verdict == "undecided"
    return replace(report, notes=(*report.notes, note)) if note and applies else report


def _check_first(function: Framework, x: Named, mode: Mode, options: CheckOptions) -> GradientCheck:
    if mode == "reverse":
        return check_vjp(function.value, x, function.vjp, **options)
    return check_jvp(function.value, x, function.jvp, **options)


def _check_second(
    function: Framework, x: Named, mode: Mode, options: CheckOptions
) -> GradientCheck:
    cotangents: Arrays = Projected(function.value, options.get("seed", 0)).cotangents(x)

    def gradient(point: Named) -> Named:
        return function.vjp(point, cotangents)

    if mode == "reverse":
        return check_vjp(
            gradient, x, lambda point, v: function.vjp_of_vjp(point, cotangents, v), **options
        )
    return check_jvp(
        gradient, x, lambda point, u: function.jvp_of_vjp(point, cotangents, u), **options
    )


def _point(function: Framework) -> tuple[Named, str]:
    """Return where to check, and what is to be said of the precision.

    That is x, but in double precision if the function is another one there: two functions cannot
    serve to judge each other's rounding.
    """
    x = function.x
    results = function.value(x)
    raised = Named(
        (name, values.astype(np.promote_types(values.dtype, np.float64)))
        for name, values in x.items()
    )
    try:
        raised_results = function.value(raised)
    except Exception as error:
        # Whatever it says it with, it does not compute in double precision.
        return x, (
            "f could not be evaluated in double precision, which shows more than its own"
            f" ({type(error).__name__}: {' '.join(str(error).split())}); arrays that it uses"
            " besides its arguments keep their precision: pass them as arguments"
        )
    if function.lowers_precision:
        return raised, (
            "f computes in a lower precision than that of its arguments, which shows few digits of"
            " its derivatives: they were checked with all of it in double precision"
        )
    if any(result.dtype.itemsize < 8 for result in raised_results):
        return x, "f rounds to a lower precision than that of its arguments"
    for result, exact in zip(results, raised_results, strict=True):
        allowed = max(SAME, ROUNDINGS * 2.0 ** (1 - significand_bits(result.dtype)))
        with np.errstate(all="ignore"):
            difference = np.linalg.norm((result - exact).reshape(-1))
            if difference > allowed * np.linalg.norm(exact.reshape(-1)):
                return raised, (
                    "in double precision f has quite another value, as when it draws random"
                    " numbers in the precision that is the default: its derivatives were checked"
                    " in double precision alone"
                )
    return x, ""


def import_framework(name: str, library: str) -> Any:
    """Import a framework, which steepest itself does not need.

    Raises
    ------
    UnsupportedError
        When it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise UnsupportedError(
            f"{library} is not installed", instead=f"install it: pip install {name}"
        ) from error
