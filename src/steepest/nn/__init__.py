"""Neural-network parts: composites of plain NumPy, differentiated like any user's code."""

from __future__ import annotations

from steepest.nn.initialisers import glorot_normal, glorot_uniform, he_normal, he_uniform
from steepest.nn.layers import (
    dense,
    gelu,
    log_softmax,
    relu,
    sigmoid,
    softmax,
    tanh,
)
from steepest.nn.losses import (
    l2_penalty,
    mean_squared_error,
    multiclass_hinge,
    multiclass_hinge_per_example,
    softmax_cross_entropy,
    softmax_cross_entropy_per_example,
)
from steepest.nn.network import initialise_network, network_logits

__all__ = [
    "dense",
    "gelu",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "initialise_network",
    "l2_penalty",
    "log_softmax",
    "mean_squared_error",
    "multiclass_hinge",
    "multiclass_hinge_per_example",
    "network_logits",
    "relu",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_per_example",
    "tanh",
]
