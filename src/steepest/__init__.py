"""Minimise a loss written in NumPy: exact gradients, the gradient check, descent.

>>> import numpy as np
>>> import steepest as sd
>>> def loss_fn(weights):
...     return np.sum((weights - np.array([3.0, 5.0])) ** 2)
>>> sd.grad(loss_fn)(np.zeros(2))
array([ -6., -10.])
>>> sd.check_gradient(loss_fn, np.zeros(2)).verdict
'correct'
>>> sd.descend(loss_fn, np.zeros(2), step_size=0.25, steps=60).weights
array([3., 5.])
"""

from steepest import datasets, errors, nn
from steepest.check import (
    check_gradient,
    check_hvp,
    check_jax,
    check_jvp,
    check_torch,
    check_vjp,
)
from steepest.compiling import compile
from steepest.descend import (
    Descent,
    descend,
    evaluate_gradient,
    optimizers,
    sample_training_data,
    step_sizes,
)
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
from steepest.model_file import load_model, save_model
from steepest.numeric import numerical_gradient, numerical_hessian, numerical_jacobian

__all__ = [
    "Descent",
    "check_gradient",
    "check_hvp",
    "check_jax",
    "check_jvp",
    "check_torch",
    "check_vjp",
    "compile",
    "custom_gradient",
    "datasets",
    "defvjp",
    "descend",
    "elementwise_grad",
    "errors",
    "evaluate_gradient",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "load_model",
    "nn",
    "numerical_gradient",
    "numerical_hessian",
    "numerical_jacobian",
    "optimizers",
    "sample_training_data",
    "save_model",
    "step_sizes",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
