"""Check a gradient: is it that function's.

``gradient_check`` is the door, ``examination`` says which comparisons are made and what follows.
``directions`` says what is moved, ``compare`` compares in one direction, ``analytic`` calls the
gradient, ``conditioning`` runs the function with rounding errors, ``raised`` with more digits than
its code asks for (both by ``evaluating``), and ``verdict`` holds the rules.
``coverage`` knows what could have been missed, ``localise`` finds the wrong entries, ``plateau``
the jumps of a function that is constant otherwise, ``diagnosis`` says what the mistake is, and
``findings`` and ``report`` are what a person reads. ``rules`` checks each operation's
derivative by itself. ``products`` brings vector-Jacobian, Jacobian-vector and second derivatives
into the form of a gradient; ``torch_face`` and ``jax_face`` do so for functions of PyTorch and JAX.
"""

from steepest.check.gradient_check import check_gradient
from steepest.check.jax_face import check_jax
from steepest.check.products import check_hvp, check_jvp, check_vjp
from steepest.check.report import GradientCheck, ParameterCheck
from steepest.check.rules import RuleCheck, RulesCheck, check_rules
from steepest.check.torch_face import check_torch

__all__ = [
    "GradientCheck",
    "ParameterCheck",
    "RuleCheck",
    "RulesCheck",
    "check_gradient",
    "check_hvp",
    "check_jax",
    "check_jvp",
    "check_rules",
    "check_torch",
    "check_vjp",
]
