"""Minimise a loss written in NumPy: exact gradients, the gradient check, compiled descent."""

from steepest.differentiate import (
    custom_gradient,
    defvjp,
    elementwise_grad,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    stop_gradient,
    value_and_grad,
    vjp,
)

__all__ = [
    "custom_gradient",
    "defvjp",
    "elementwise_grad",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
