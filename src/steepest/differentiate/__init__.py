"""Derivatives of NumPy functions: reverse mode, forward mode, and what is made of them."""

from steepest.differentiate.custom import custom_gradient, defvjp
from steepest.differentiate.transforms import (
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
