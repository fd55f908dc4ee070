"""Derivatives without calculus: difference quotients with error bounds.

``precision`` says in which precisions a function can run, ``evaluate`` runs it, ``directions``
says where to move, ``stencils`` makes slopes of function values, ``noise`` and ``smoothness`` say
how far to trust them, ``gradient`` and ``hessian`` put it all together.
"""

from steepest.numeric.gradient import NumericalGradient, numerical_gradient, numerical_jacobian
from steepest.numeric.hessian import numerical_hessian

__all__ = ["NumericalGradient", "numerical_gradient", "numerical_hessian", "numerical_jacobian"]
