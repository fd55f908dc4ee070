"""Functions that people fit and differentiate, in plain NumPy, each followed by its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.check.corpus.case import draw

# -- data -------------------------------------------------------------------------------------

A = draw(101, 6, 4)
TARGET = draw(102, 6)
SQUARE = draw(103, 5, 5)
VECTOR = draw(104, 4)
MANY = draw(105, 100_000)
DATA = draw(106, 16, 3)
LABELS = np.random.default_rng(107).integers(0, 4, 16)
INDEX = np.array([0, 2, 2, 1, 0, 2])
WEIGHTS = draw(108, 6)
SEQUENCE = draw(109, 7, 3)
READOUT = draw(110, 4)
POINTS = draw(111, 8, 2)
OBSERVED = draw(112, 8)
TRANSITIONS = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]))
ATTENDED = draw(113, 5, 4)
NORMED = draw(114, 6, 3)
SCALES = [10.0**-k for k in range(-6, 7)]


def least_squares(x):
    return np.sum((A @ x - TARGET) ** 2)


def least_squares_gradient(x):
    return 2 * A.T @ (A @ x - TARGET)


def sum_of_sines(x):
    return np.sum(np.sin(x))


def sum_of_squares(x):
    return np.sum(x**2)


def twice(x):
    return 2 * x


def log_sum_exp(x):
    top = np.max(x)
    return top + np.log(np.sum(np.exp(x - top)))


def softmax(x):
    shifted = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


# -- regression and networks ------------------------------------------------------------------


def cross_entropy(p):
    probabilities = softmax(DATA @ p["W"] + p["b"])
    return -np.mean(np.log(probabilities[np.arange(16), LABELS]))


def cross_entropy_gradient(p, count=16, axis: Any = 0):
    error = softmax(DATA @ p["W"] + p["b"])
    error[np.arange(16), LABELS] -= 1
    return {"W": DATA.T @ error / count, "b": error.sum(axis=axis) / count}


def cross_entropy_weights(seed=120):
    return {"W": draw(seed, 3, 4), "b": draw(seed + 1, 4)}


def smoothed_cross_entropy(x, ignored=(2, 5)):
    """Labels smoothed by 0.1; two of the sixteen examples do not count."""
    log_probabilities = x - np.log(np.sum(np.exp(x), axis=1, keepdims=True))
    counted = np.setdiff1d(np.arange(16), ignored)
    likely = log_probabilities[counted, LABELS[counted]]
    return -np.mean(0.9 * likely + 0.1 * np.mean(log_probabilities[counted], axis=1))


def smoothed_cross_entropy_gradient(x, ignored=(2, 5), smoothing=0.1, count=14):
    gradient = softmax(x) - smoothing / 4
    gradient[np.arange(16), LABELS] -= 1 - smoothing
    gradient[list(ignored)] = 0
    return gradient / count


def network(p):
    hidden = np.tanh(DATA @ p["W1"] + p["b1"])
    return np.mean((hidden @ p["W2"]) ** 2)


def network_gradient(p, slope=lambda hidden: 1 - hidden**2):
    hidden = np.tanh(DATA @ p["W1"] + p["b1"])
    out = hidden @ p["W2"]
    error = 2 * out / out.size
    back = (error @ p["W2"].T) * slope(hidden)
    return {"W1": DATA.T @ back, "b1": back.sum(axis=0), "W2": hidden.T @ error}


def relu_network(p):
    hidden = np.maximum(0, DATA.astype(p["W1"].dtype) @ p["W1"] + p["b1"])
    return np.mean((hidden @ p["W2"]) ** 2)


def relu_network_gradient(p):
    data = DATA.astype(p["W1"].dtype)
    before = data @ p["W1"] + p["b1"]
    hidden = np.maximum(0, before)
    out = hidden @ p["W2"]
    error = 2 * out / out.size
    back = (error @ p["W2"].T) * (before > 0)
    return {"W1": data.T @ back, "b1": back.sum(axis=0), "W2": hidden.T @ error}


def network_weights(dtype: Any = np.float64, seed=130):
    return {
        "W1": draw(seed, 3, 5).astype(dtype),
        "b1": draw(seed + 1, 5).astype(dtype),
        "W2": draw(seed + 2, 5, 2).astype(dtype),
    }


def layer_norm(x, epsilon=1e-5):
    centred = x - x.mean()
    return np.sum(VECTOR * centred / np.sqrt(np.mean(centred**2) + epsilon))


def layer_norm_gradient(x, epsilon=1e-5):
    centred = x - x.mean()
    inverse = 1 / np.sqrt(np.mean(centred**2) + epsilon)
    normed = centred * inverse
    return inverse * (VECTOR - VECTOR.mean() - normed * np.mean(VECTOR * normed))


def batch_norm(x):
    centred = x - x.mean(axis=0)
    return np.sum(NORMED * centred / np.sqrt(np.mean(centred**2, axis=0) + 1e-5))


def batch_norm_gradient(x, through_mean=1.0, through_variance=1.0, inverse_of=lambda v: v):
    centred = x - x.mean(axis=0)
    inverse = inverse_of(1 / np.sqrt(np.mean(centred**2, axis=0) + 1e-5))
    normed = centred * inverse
    return inverse * (
        NORMED
        - through_mean * NORMED.mean(axis=0)
        - through_variance * normed * np.mean(NORMED * normed, axis=0)
    )


def attention(p):
    weights = softmax(p["Q"] @ p["K"].T / 2)
    return np.sum(ATTENDED * (weights @ p["V"]))


def attention_gradient(p, scale=0.5):
    weights = softmax(p["Q"] @ p["K"].T / 2)
    back = ATTENDED @ p["V"].T
    scores = scale * weights * (back - np.sum(back * weights, axis=1, keepdims=True))
    return {"Q": scores @ p["K"], "K": scores.T @ p["Q"], "V": weights.T @ ATTENDED}


def attention_inputs(seed=140):
    return {name: draw(seed + i, 5, 4) for i, name in enumerate("QKV")}


def recurrent_network(p):
    state = np.zeros(4)
    for entry in SEQUENCE:
        state = np.tanh(p["U"] @ entry + p["W"] @ state + p["b"])
    return READOUT @ state


def recurrent_network_gradient(p, is_recurrent=True, offset=0):
    states = [np.zeros(4)]
    for entry in SEQUENCE:
        states.append(np.tanh(p["U"] @ entry + p["W"] @ states[-1] + p["b"]))
    result = {name: np.zeros_like(part) for name, part in p.items()}
    adjoint = READOUT
    for t in reversed(range(len(SEQUENCE))):
        inner = adjoint * (1 - states[t + 1] ** 2)
        result["U"] += np.outer(inner, SEQUENCE[t])
        result["W"] += np.outer(inner, states[t + offset])
        result["b"] += inner
        adjoint = p["W"].T @ inner if is_recurrent else 0 * inner
    return result


def recurrent_weights(seed=150):
    return {"U": draw(seed, 4, 3), "W": 0.5 * draw(seed + 1, 4, 4), "b": draw(seed + 2, 4)}


def convolution(p):
    return np.sum(np.correlate(p["x"], p["k"], "valid") ** 2) / 2


def convolution_gradient(p):
    out = np.correlate(p["x"], p["k"], "valid")
    return {"x": np.convolve(out, p["k"]), "k": np.correlate(p["x"], out, "valid")}


def max_pool(x):
    """Maxima over overlapping windows of three."""
    return np.sum(np.max([x[:-2], x[1:-1], x[2:]], axis=0) ** 2)


def max_pool_gradient(x):
    gradient = np.zeros_like(x)
    for start in range(x.size - 2):
        winner = start + np.argmax(x[start : start + 3])
        gradient[winner] += 2 * x[winner]
    return gradient


def gathered(x):
    return np.sum(WEIGHTS * x[INDEX] ** 2)


def gathered_gradient(x):
    gradient = np.zeros_like(x)
    np.add.at(gradient, INDEX, 2 * WEIGHTS * x[INDEX])
    return gradient


def gelu(x):
    return np.sum(0.5 * x * (1 + np.tanh(0.8 * (x + 0.044715 * x**3))))


def gelu_gradient(x, inner=lambda x: 1 + 3 * 0.044715 * x**2):
    curve = np.tanh(0.8 * (x + 0.044715 * x**3))
    return 0.5 * (1 + curve) + 0.5 * x * (1 - curve**2) * 0.8 * inner(x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def swiglu(p):
    return np.sum(p["gate"] * sigmoid(p["gate"]) * p["value"])


def swiglu_gradient(p):
    gate = sigmoid(p["gate"])
    return {
        "gate": p["value"] * gate * (1 + p["gate"] * (1 - gate)),
        "value": p["gate"] * gate,
    }


# -- iterations and solvers -------------------------------------------------------------------


def recurrence(x):
    state = 0.5
    for _ in range(30):
        state = np.tanh(x[0] * state + x[1])
    return state * state


def recurrence_gradient(x):
    states = [0.5]
    for _ in range(30):
        states.append(np.tanh(x[0] * states[-1] + x[1]))
    adjoint, gradient = 2 * states[-1], np.zeros(2)
    for before, after in zip(states[-2::-1], states[:0:-1], strict=True):
        inner = adjoint * (1 - after**2)
        gradient += [inner * before, inner]
        adjoint = inner * x[0]
    return gradient


def kepler(x):
    """Eccentric anomaly of a planet, by Newton's method until it stands still."""
    anomaly = x["mean"]
    for _ in range(40):
        residual = anomaly - x["eccentricity"] * np.sin(anomaly) - x["mean"]
        anomaly = anomaly - residual / (1 - x["eccentricity"] * np.cos(anomaly))
    return anomaly


def kepler_gradient(x):
    anomaly = kepler(x)
    slope = 1 / (1 - x["eccentricity"] * np.cos(anomaly))
    return {"mean": slope, "eccentricity": np.sin(anomaly) * slope}


def runge_kutta(x, steps=100):
    """Logistic growth over a time of 2, by the classical method of fourth order."""
    rate, state = x[0], x[1]
    h = 2 / steps

    def slope(value):
        return rate * value * (1 - value)

    for _ in range(steps):
        k1 = slope(state)
        k2 = slope(state + h / 2 * k1)
        k3 = slope(state + h / 2 * k2)
        k4 = slope(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state


def runge_kutta_gradient(x, steps=100, differentiated=100):
    """Differentiate each step: the derivative of what is computed, not of the exact solution."""
    rate, state = x
    h = 2 / steps
    tangent = np.array([0.0, 1.0])
    by_rate = np.array([1.0, 0.0])

    def slope(value, moved):
        return (
            rate * value * (1 - value),
            by_rate * value * (1 - value) + rate * (1 - 2 * value) * moved,
        )

    for _ in range(differentiated):
        k1, m1 = slope(state, tangent)
        k2, m2 = slope(state + h / 2 * k1, tangent + h / 2 * m1)
        k3, m3 = slope(state + h / 2 * k2, tangent + h / 2 * m2)
        k4, m4 = slope(state + h * k3, tangent + h * m3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        tangent = tangent + h / 6 * (m1 + 2 * m2 + 2 * m3 + m4)
    return tangent


def logistic_growth_gradient(x):
    """Differentiate the exact solution y e / (1 - y + y e), e = exp(2 rate)."""
    rate, start = x
    growth = np.exp(2 * rate)
    below = 1 - start + start * growth
    return np.array([2 * start * (1 - start) * growth / below**2, growth / below**2])


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosenbrock_gradient(x):
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
    gradient[1:] += 200 * (x[1:] - x[:-1] ** 2)
    return gradient


# -- linear algebra ---------------------------------------------------------------------------


def log_determinant(x):
    return np.linalg.slogdet(x @ x.T + np.eye(5))[1]


def log_determinant_gradient(x):
    return 2 * np.linalg.solve(x @ x.T + np.eye(5), x)


def hilbert(order):
    return 1 / (np.arange(order)[:, None] + np.arange(order) + 1.0)


def trace_of_inverse(x):
    return np.trace(np.linalg.inv(x))


def trace_of_inverse_gradient(x):
    inverse = np.linalg.inv(x)
    return -(inverse @ inverse).T


def upper_log_determinant(x):
    """Reads the upper triangle alone, as Cholesky factorisations do."""
    return np.linalg.slogdet(np.triu(x) + np.triu(x, 1).T)[1]


def upper_log_determinant_gradient(x):
    inverse = np.linalg.inv(np.triu(x) + np.triu(x, 1).T)
    return np.triu(inverse) + np.triu(inverse, 1)


def positive_definite(seed, order):
    half = draw(seed, order, order)
    return half @ half.T + order * np.eye(order)


# -- statistics -------------------------------------------------------------------------------


def normal_log_density(p):
    centred = TARGET[:4] - p["mean"]
    return -0.5 * (
        centred @ np.linalg.solve(p["covariance"], centred) + np.linalg.slogdet(p["covariance"])[1]
    )


def normal_log_density_gradient(p):
    inverse = np.linalg.inv(p["covariance"])
    centred = TARGET[:4] - p["mean"]
    left, right = inverse.T @ centred, inverse @ centred
    return {"mean": (left + right) / 2, "covariance": 0.5 * (np.outer(left, right) - inverse.T)}


DISTANCES = np.sum((POINTS[:, None] - POINTS) ** 2, axis=-1)


def gaussian_process(p):
    kernel = p["scale"] * np.exp(-DISTANCES / (2 * p["length"] ** 2)) + p["noise"] * np.eye(8)
    return -0.5 * (OBSERVED @ np.linalg.solve(kernel, OBSERVED) + np.linalg.slogdet(kernel)[1])


def gaussian_process_gradient(p):
    shape = np.exp(-DISTANCES / (2 * p["length"] ** 2))
    inverse = np.linalg.inv(p["scale"] * shape + p["noise"] * np.eye(8))
    solved = inverse @ OBSERVED
    back = 0.5 * (np.outer(solved, solved) - inverse)
    return {
        "length": np.sum(back * p["scale"] * shape * DISTANCES) / p["length"] ** 3,
        "scale": np.sum(back * shape),
        "noise": np.trace(back),
    }


def hidden_markov(x):
    """Log-likelihood of a hidden Markov chain; x are the log-likelihoods of each state."""
    forward = x[0]
    for row in x[1:]:
        forward = row + np.log(np.sum(np.exp(forward[:, None] + TRANSITIONS), axis=0))
    return np.log(np.sum(np.exp(forward)))


def hidden_markov_gradient(x):
    """Return the posterior probability of each state, by the forward-backward algorithm."""
    forward, backward = [x[0]], [np.zeros(3)]
    for row in x[1:]:
        forward.append(row + np.log(np.sum(np.exp(forward[-1][:, None] + TRANSITIONS), axis=0)))
    for row in x[:0:-1]:
        backward.insert(0, np.log(np.sum(np.exp(TRANSITIONS + row + backward[0]), axis=1)))
    joint = np.array(forward) + np.array(backward)
    return np.exp(joint - np.log(np.sum(np.exp(joint[0]))))


# -- signals and physics ----------------------------------------------------------------------

SPECTRAL_WEIGHTS = np.abs(draw(115, 16))
SPECTRAL_WEIGHTS = SPECTRAL_WEIGHTS + SPECTRAL_WEIGHTS[-np.arange(16) % 16]


def power_spectrum(x):
    return np.sum(SPECTRAL_WEIGHTS * np.abs(np.fft.fft(x)) ** 2)


def power_spectrum_gradient(x):
    return 2 * x.size * np.fft.ifft(SPECTRAL_WEIGHTS * np.fft.fft(x)).real


def interaction_energy(x):
    """Lennard-Jones energy of a few particles in the plane."""
    difference = x[:, None] - x
    squares = np.sum(difference**2, axis=-1) + np.eye(len(x))
    inverse = 1 / squares**3
    return 2 * np.sum((inverse**2 - inverse) * (1 - np.eye(len(x))))


def interaction_energy_gradient(x):
    difference = x[:, None] - x
    squares = np.sum(difference**2, axis=-1) + np.eye(len(x))
    inverse = 1 / squares**3
    return np.sum((24 * (inverse - 2 * inverse**2) / squares)[..., None] * difference, axis=1)


PARTICLES = np.array([[0.0, 0.0], [1.2, 0.1], [0.4, 1.1], [-0.9, 0.8], [1.5, 1.3]])


def upsampling(rows, columns):
    """Return the matrix of linear interpolation that keeps both ends in place."""
    place = np.arange(rows) * (columns - 1) / (rows - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(columns)))


UPSAMPLING = upsampling(11, 3)


def upsampled(x):
    return np.sum((UPSAMPLING @ x) ** 2)


def upsampled_gradient(x):
    return 2 * UPSAMPLING.T @ (UPSAMPLING @ x)


def spline(x):
    """One piece of a cubic spline between knots at 0 and 2."""
    b = x / 2
    a = 1 - b
    return np.sum(1.3 * a - 0.4 * b + ((a**3 - a) * 0.7 + (b**3 - b) * -1.1) * 4 / 6)


def spline_gradient(x, sign=1.0):
    b = x / 2
    a = 1 - b
    return (-0.4 - 1.3) / 2 - (3 * a**2 - 1) / 3 * 0.7 + sign * (3 * b**2 - 1) / 3 * -1.1


# -- scales -----------------------------------------------------------------------------------


def mixed_scales(p):
    return sum(np.sum(np.sin(value * scale)) for value, scale in zip(p, SCALES, strict=True))


def mixed_scales_gradient(p):
    return [scale * np.cos(value * scale) for value, scale in zip(p, SCALES, strict=True)]


def mixed_scales_point(seed=160):
    return [draw(seed + i, 3) / scale for i, scale in enumerate(SCALES)]


def in_single_precision(x):
    return float(np.sum(np.sin(x.astype(np.float32))))


# -- half precision ---------------------------------------------------------------------------


def in_half(f):
    """Compute in float16, whatever is given: there is no higher precision to look into."""
    return lambda x: f(x.astype(np.float16))


HALVES = (
    (
        "sum of tanh",
        lambda x: np.sum(np.tanh(x)),
        draw(661, 20).astype(np.float16),
        lambda x: 1 - np.tanh(x) ** 2,
    ),
    ("sum of squares", lambda x: np.sum(x * x), draw(662, 5), lambda x: 2 * x),
    (
        "mean of squares",
        lambda x: np.mean(x * x),
        draw(663, 100).astype(np.float16),
        lambda x: x / np.float16(50),
    ),
    ("exponential", lambda x: np.sum(np.exp(x)), draw(664, 2), np.exp),
)
