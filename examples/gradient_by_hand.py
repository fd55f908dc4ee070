"""A gradient derived by hand, with a mistake, for the gradient check to find.

    steepest check examples/gradient_by_hand.py:loss_fn --gradient gradient_by_hand

Poisson regression with a penalty: counts that grow exponentially with what they depend on. The
check says that the gradient is wrong, for which parameter and in which way. Without ``--gradient``
it checks the gradient that steepest takes itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_rng = np.random.default_rng(0)
_inputs = _rng.normal(size=(500, 4))
_rates = np.exp(_inputs @ np.array([0.5, -0.3, 0.2, 0.0]) + 1.0)

data = {"inputs": _inputs, "counts": _rng.poisson(_rates).astype(float)}
weights = {"w": np.array([0.4, -0.2, 0.1, 0.3]), "b": np.array(0.8)}
PENALTY = 0.1


def loss_fn(weights: Any, data: Any) -> Any:
    """Negative log-likelihood of the counts for each observation, and a penalty on w."""
    log_rates = data["inputs"] @ weights["w"] + weights["b"]
    likelihood = np.mean(np.exp(log_rates) - data["counts"] * log_rates)
    return likelihood + PENALTY * np.sum(weights["w"] ** 2)


def gradient_by_hand(weights: Any, data: Any) -> Any:
    """Differentiate by w and b; the derivative of a square is not the number itself."""
    errors = np.exp(data["inputs"] @ weights["w"] + weights["b"]) - data["counts"]
    return {
        "w": data["inputs"].T @ errors / len(errors) + PENALTY * weights["w"],
        "b": np.mean(errors),
    }
