"""The forward algorithm of a hidden Markov model, whose tables are fitted by descent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import steepest as sd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATES, SYMBOLS, LENGTH = 2, 3, 100
TRUE_TRANSITIONS = np.array([[0.95, 0.05], [0.1, 0.9]])
TRUE_EMISSIONS = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])


def draw_sequence() -> Any:
    """Draw hidden states, and a symbol from each."""
    rng = np.random.default_rng(1)
    hidden, seen, state = [], [], 0
    for _ in range(LENGTH):
        state = rng.choice(STATES, p=TRUE_TRANSITIONS[state])
        hidden.append(state)
        seen.append(rng.choice(SYMBOLS, p=TRUE_EMISSIONS[state]))
    return np.array(hidden), np.array(seen)


hidden, seen = draw_sequence()
weights = {
    "transitions": np.array([[1.0, 0.0], [0.0, 1.0]]),
    "emissions": np.array([[0.5, 0.0, -0.5], [-0.5, 0.0, 0.5]]),
}


def normalised(scores: Any) -> Any:
    """Make each row a distribution."""
    table = np.exp(scores - scores.max(axis=1, keepdims=True))
    table /= table.sum(axis=1, keepdims=True)
    return table


def forward(transitions: Any, emissions: Any) -> Any:
    """Give the probabilities of the states at each time, and the log-likelihood."""
    alpha = np.zeros((LENGTH, STATES))
    scale = np.zeros(LENGTH)
    alpha[0] = emissions[:, seen[0]] / STATES
    scale[0] = alpha[0].sum()
    alpha[0] /= scale[0]
    for t in range(1, LENGTH):
        for state in range(STATES):
            alpha[t, state] = emissions[state, seen[t]] * np.sum(
                alpha[t - 1] * transitions[:, state]
            )
        scale[t] = alpha[t].sum()
        alpha[t] /= scale[t]
    return alpha, np.log(scale).sum()


def loss_fn(weights: Any) -> Any:
    """Negative log-likelihood for each symbol."""
    tables = normalised(weights["transitions"]), normalised(weights["emissions"])
    return -forward(*tables)[1] / LENGTH


def fit(steps: int = 150) -> Any:
    """Fit both tables."""
    return sd.descend(
        loss_fn, weights, step_size=0.05, optimizer="adam", steps=steps, progress=False
    )


def draw(result: sd.Descent) -> Figure:
    """Draw the probability of the second state beside the truth, and the descent."""
    from matplotlib.figure import Figure

    tables = [normalised(result.weights[name]) for name in ("transitions", "emissions")]
    probabilities = forward(*tables)[0]
    figure = Figure(figsize=(9, 4), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    upper.fill_between(np.arange(LENGTH), hidden, step="mid", alpha=0.3, label="true state")
    upper.plot(probabilities[:, 1], label="its probability")
    upper.set(xlabel="time")
    upper.legend(frameon=False, loc="upper right")
    lower.plot(result.losses)
    lower.set(xlabel="step", ylabel="negative log-likelihood")
    return figure


if __name__ == "__main__":
    from show import show

    show(loss_fn, weights, fit, draw, "hidden_markov_model")
