"""A Kalman filter, written in place, whose noise levels are fitted by maximum likelihood.

The filter is the one of the textbooks: arrays are allocated, and filled in a loop, row by row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import steepest as sd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIME_STEP = 0.1
TRUE_NOISE = {"process": 0.8, "measurement": 0.3}


def simulate(steps: int = 80) -> Any:
    """Draw positions of a particle whose velocity wanders, as they are measured."""
    rng = np.random.default_rng(0)
    state = np.zeros((steps, 2))
    for t in range(1, steps):
        state[t, 0] = state[t - 1, 0] + TIME_STEP * state[t - 1, 1]
        state[t, 1] = state[t - 1, 1] + np.sqrt(TIME_STEP) * TRUE_NOISE["process"] * rng.normal()
    return state, state[:, 0] + TRUE_NOISE["measurement"] * rng.normal(size=steps)


states, measured = simulate()
weights = {"log_process": 0.0, "log_measurement": 0.0}


def kalman_filter(process: Any, measurement: Any) -> Any:
    """Estimate position and velocity; return means, covariances and the log-likelihood."""
    n = len(measured)
    F = np.array([[1.0, TIME_STEP], [0.0, 1.0]])
    H = np.array([[1.0, 0.0]])
    Q = np.zeros((2, 2))
    Q[1, 1] = TIME_STEP * process**2
    R = np.array([[measurement**2]])
    means = np.zeros((n, 2))
    covariances = np.zeros((n, 2, 2))
    mean, covariance = np.zeros(2), np.eye(2)
    log_likelihood = 0.0
    for t in range(n):
        if t > 0:
            mean = F @ mean
            covariance = F @ covariance @ F.T + Q
        residual = measured[t] - H @ mean
        S = H @ covariance @ H.T + R
        K = covariance @ H.T @ np.linalg.inv(S)
        log_likelihood += -0.5 * (
            residual @ np.linalg.solve(S, residual) + np.log(2 * np.pi * S[0, 0])
        )
        mean = mean + K @ residual
        covariance -= K @ H @ covariance
        means[t] = mean
        covariances[t] = covariance
    return means, covariances, log_likelihood


def loss_fn(weights: Any) -> Any:
    """Negative log-likelihood for each measurement."""
    process, measurement = np.exp(weights["log_process"]), np.exp(weights["log_measurement"])
    return -kalman_filter(process, measurement)[2] / len(measured)


def fit(steps: int = 80) -> Any:
    """Fit both noise levels."""
    return sd.descend(
        loss_fn, weights, step_size=0.05, optimizer="adam", steps=steps, progress=False
    )


def draw(result: sd.Descent) -> Figure:
    """Draw the estimates beside the truth, and the descent."""
    from matplotlib.figure import Figure

    process, measurement = (float(np.exp(each)) for each in result.weights.values())
    means, covariances, _ = kalman_filter(process, measurement)
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    times = TIME_STEP * np.arange(len(measured))
    deviation = np.sqrt(covariances[:, 0, 0])
    left.plot(times, measured, ".", color="0.6", label="measured")
    left.plot(times, states[:, 0], color="C1", label="true")
    left.fill_between(
        times, means[:, 0] - 2 * deviation, means[:, 0] + 2 * deviation, alpha=0.3, label="filtered"
    )
    left.set(xlabel="time", ylabel="position")
    left.legend(frameon=False)
    right.plot(result.losses)
    right.set(
        xlabel="step",
        ylabel="negative log-likelihood",
        title=f"process {process:.2f} (true 0.8), measurement {measurement:.2f} (0.3)",
    )
    return figure


if __name__ == "__main__":
    from show import show

    show(loss_fn, weights, fit, draw, "kalman_filter")
