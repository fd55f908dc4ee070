"""Check a gradient against numerical derivatives, parameter by parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steepest.check.analytic import AnalyticGradient
from steepest.check.examination import Circumstances, examine
from steepest.check.report import GradientCheck, ParameterCheck
from steepest.check.verdict import overall
from steepest.differentiate import grad
from steepest.errors import BadInputError
from steepest.numeric.evaluate import Function
from steepest.tree import Tree

__all__ = ["check_gradient"]


def check_gradient(
    f: Callable[[Tree], Any],
    x: Tree,
    gradient: Callable[[Tree], Tree] | None = None,
    *,
    confidence: float = 0.999,
    tolerance: float | None = None,
    evaluations: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> GradientCheck:
    """Check a gradient against numerical derivatives whose error is bounded.

    There is no tolerance to choose: a gradient is wrong when it differs from the numerical one by
    more than the errors of both, and correct only when a relevant difference would have been seen.
    Large parameters are examined along random directions, whose factors are no ±1: the probability
    that errors of several entries cancel is known. What disagrees is traced to its entries.

    Parameters
    ----------
    f : callable
        Takes a pytree like x and returns a real scalar. It receives fresh arrays at each call.
    x : pytree
        Where to check. Leaves that are not floating point are carried along unchanged.
    gradient : callable, optional
        Takes a pytree like x and returns the gradient, with the same names of leaves; by any means
        (steepest, by hand, PyTorch, JAX). By default, `steepest.grad` of f. For complex leaves it
        is ∂f/∂x - i ∂f/∂y.
    confidence : float
        Probability with which noise, of f and of rounding, stays below what is counted on, and
        with which an error as large as a typical entry is seen, whatever it is in other entries.
    tolerance : float, optional
        Accepted relative error, for functions that are themselves approximate (the result of an
        iteration that stops early, an adaptive solver).
    evaluations : int, optional
        Most calls of f. They are spent where they tell most, over all parameters; what is not
        decided then is "undecided", with what is known. Given more calls than are needed, errors
        too small to be seen otherwise are looked for in smaller groups of entries.
    seconds : float, optional
        Most time, as for `evaluations`. No call of f that would not end in time is begun.
    seed : int
        Of the random directions; the same seed gives the same report.
    progress : bool, optional
        Show a progress bar; by default if the work takes seconds and stderr is a terminal.

    Returns
    -------
    GradientCheck
        Its ``.verdict`` is "correct", "wrong", "kink" (f is not differentiable at x, or constant
        piece by piece), "noisy" (f does not repeat itself) or "undecided"; print it to read why.
        ``.parameters[name].resolution`` and ``.miss_probability(size)`` say which errors would have
        been seen.

    Raises
    ------
    BadInputError
        When f does not return a real scalar.
    NotDifferentiableError
        When x has no floating-point leaf.
    ShadowRunError
        When f, traced for steepest's own gradient, has another value than in plain NumPy.

    Notes
    -----
    What f or the gradient raise at x is not caught.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0.5, 1.0, 2.0])
    >>> check_gradient(lambda x: np.sum(x**3), x, lambda x: 3 * x**2).verdict
    'correct'
    >>> report = check_gradient(lambda x: np.sum(x**3), x, lambda x: 2 * x**2)
    >>> report.verdict, report.parameters["x"].diagnosis.partition(";")[0]
    ('wrong', 'it is too small by a constant factor of 1.5')
    """
    if not 0 < confidence < 1:
        raise BadInputError(f"confidence must lie between 0 and 1, but is {confidence!r}")
    if tolerance is not None and not 0 <= tolerance < 1:
        raise BadInputError(f"tolerance must be a relative error below 1, but is {tolerance!r}")
    own = gradient is None
    if gradient is None:
        gradient = grad(f)
    function = Function(f, x, evaluations=evaluations, seconds=seconds)
    analytic = AnalyticGradient(gradient, function, confidence)
    checks = examine(
        Circumstances(function, analytic, confidence, tolerance or 0.0, seed), progress
    )
    verdict = overall([check.verdict for check in checks])
    parameters = {check.name: check for check in checks}
    for name in analytic.surplus:
        parameters[name] = ParameterCheck(
            name, (), "", "wrong", f"the gradient has a part {name}, which x does not have"
        )
        verdict = "wrong"
    if verdict == "wrong":
        # Rules are checked by this very function.
        from steepest.check.rules import explained_by_rules

        parameters = explained_by_rules(
            parameters, f, x, None if own else gradient, seconds=seconds
        )
    if own and verdict != "noisy":
        # Were the traced and the plain function two, their gradients would not be worth comparing.
        grad(f, shadow_run=True)(x)
    notes = tuple(
        f"the function writes into its argument {name}; each call here was given its own copy"
        for name in function.overwritten
    )
    return GradientCheck(
        verdict, parameters, function.evaluations, analytic.calls, notes, confidence
    )
