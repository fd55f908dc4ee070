"""A portfolio that trades off return, risk and the cost of rebalancing, simulated day by day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import steepest as sd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ASSETS, DAYS, COST, BAND = 5, 250, 0.002, 0.05
_rng = np.random.default_rng(3)
_mixing = 0.01 * _rng.normal(size=(ASSETS, ASSETS))
returns = _rng.normal(size=(DAYS, ASSETS)) @ _mixing + np.linspace(0.0, 0.0012, ASSETS)
weights = np.zeros(ASSETS)


def simulate(target: Any) -> Any:
    """Hold a portfolio; rebalance on the days on which it has drifted out of the band."""
    holdings = target.copy()
    value = np.empty(DAYS + 1)
    value[0] = 1.0
    for day in range(DAYS):
        holdings *= 1 + returns[day]
        total = holdings.sum()
        if np.max(np.abs(holdings / total - target)) > BAND:
            traded = np.abs(holdings - total * target).sum()
            total = total - COST * traded
            holdings[:] = total * target
        value[day + 1] = total
    return value


def softmax(scores: Any) -> Any:
    """Turn scores into shares."""
    shares = np.exp(scores - np.max(scores))
    return shares / np.sum(shares)


def loss_fn(weights: Any) -> Any:
    """Risk less return of the daily gains, by the year."""
    value = simulate(softmax(weights))
    gains = np.diff(np.log(value))
    return 5 * np.var(gains) * DAYS - np.mean(gains) * DAYS


def fit(steps: int = 60) -> Any:
    """Find the shares."""
    return sd.descend(
        loss_fn, weights, step_size=0.1, optimizer="adam", steps=steps, progress=False
    )


def draw(result: sd.Descent) -> Figure:
    """Draw the value over time and the shares, before and after."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for offset, (label, each) in enumerate((("before", weights), ("after", result.weights))):
        shares = softmax(each)
        left.plot(simulate(shares), label=label)
        right.bar(np.arange(ASSETS) + 0.4 * offset, shares, 0.4, label=label)
    left.set(xlabel="day", ylabel="value")
    left.legend(frameon=False)
    right.set(xlabel="asset", ylabel="share")
    return figure


if __name__ == "__main__":
    from show import show

    show(loss_fn, weights, fit, draw, "portfolio")
