"""Check a gradient: is it that function's.

``analytic`` calls the gradient under examination, ``compare`` compares it in one direction,
``verdict`` holds the rules, ``localise`` finds the wrong entries, ``diagnosis`` says what the
mistake is, ``report`` what a person reads, and ``gradient_check`` conducts them.
"""

from steepest.check.gradient_check import check_gradient
from steepest.check.report import GradientCheck, ParameterCheck

__all__ = ["GradientCheck", "ParameterCheck", "check_gradient"]
