"""Right gradients that provoke false alarms.

Each gradient is the derivative of what the function computes, up to rounding; so the verdict is
"correct" wherever the function's values can show it.
"""

from __future__ import annotations

import math
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import integrate, optimize, special
from tests.check.corpus.case import Case, WithNoise, draw
from tests.check.corpus.functions import (
    HALVES,
    MANY,
    PARTICLES,
    SQUARE,
    TARGET,
    VECTOR,
    A,
    attention,
    attention_gradient,
    attention_inputs,
    batch_norm,
    batch_norm_gradient,
    convolution,
    convolution_gradient,
    cross_entropy,
    cross_entropy_gradient,
    cross_entropy_weights,
    gathered,
    gathered_gradient,
    gaussian_process,
    gaussian_process_gradient,
    gelu,
    gelu_gradient,
    hidden_markov,
    hidden_markov_gradient,
    hilbert,
    in_half,
    in_single_precision,
    interaction_energy,
    interaction_energy_gradient,
    kepler,
    kepler_gradient,
    layer_norm,
    layer_norm_gradient,
    least_squares,
    least_squares_gradient,
    log_determinant,
    log_determinant_gradient,
    log_sum_exp,
    logistic_growth_gradient,
    max_pool,
    max_pool_gradient,
    mixed_scales,
    mixed_scales_gradient,
    mixed_scales_point,
    network,
    network_gradient,
    network_weights,
    normal_log_density,
    normal_log_density_gradient,
    positive_definite,
    power_spectrum,
    power_spectrum_gradient,
    recurrence,
    recurrence_gradient,
    recurrent_network,
    recurrent_network_gradient,
    recurrent_weights,
    relu_network,
    relu_network_gradient,
    rosenbrock,
    rosenbrock_gradient,
    runge_kutta,
    runge_kutta_gradient,
    sigmoid,
    smoothed_cross_entropy,
    smoothed_cross_entropy_gradient,
    softmax,
    spline,
    spline_gradient,
    sum_of_sines,
    sum_of_squares,
    swiglu,
    swiglu_gradient,
    trace_of_inverse,
    trace_of_inverse_gradient,
    twice,
    upper_log_determinant,
    upper_log_determinant_gradient,
    upsampled,
    upsampled_gradient,
)

__all__ = ["RIGHT"]

SPREAD = np.diag(10.0 ** np.arange(-4, 4))
TREND = np.linspace(0, 1, 5000)
FREQUENCIES = np.arange(1, 200)
KNOTS = np.sort(draw(201, 400))
OUTCOMES = np.abs(np.round(draw(202, 50) * 5))
VANDERMONDE = np.vander(np.linspace(0, 1, 12), 7)


def right(name: str, f: Any, x: Any, gradient: Any, **expected: Any) -> Case:
    return Case(name, f, x, gradient, "correct", **expected)


@dataclass
class Layer:
    weights: Any
    bias: Any
    name: str


Ellipse = namedtuple("Ellipse", ["width", "height"])


def mutating(x):
    x *= 2
    return np.sum(x**2)


def mutating_gradient(x):
    x *= 8
    return x


def running_sum(x):
    """Add up one by one, in the precision of the entries."""
    total = x.dtype.type(0)
    for entry in x:
        total = total + entry * entry
    return total


def babylonian_root(x):
    root = x
    while True:
        better = (root + x / root) / 2
        if abs(better - root) <= 4 * np.spacing(abs(root)):
            return better
        root = better


def damped_fixed_point(x):
    """Iterate y = cos(x y), whose error falls to rounding in 200 steps."""
    y = 0.5
    for _ in range(200):
        y = 0.5 * y + 0.5 * np.cos(x * y)
    return y


def damped_fixed_point_gradient(x):
    y = damped_fixed_point(x)
    slope = -np.sin(x * y)
    return slope * y / (1 - slope * x)


def logistic_map(x):
    state = x
    for _ in range(12):
        state = 3.7 * state * (1 - state)
    return state


def logistic_map_gradient(x):
    state, slope = x, 1.0
    for _ in range(12):
        slope *= 3.7 * (1 - 2 * state)
        state = 3.7 * state * (1 - state)
    return slope


def heat(x):
    """Twenty explicit steps of the heat equation on a ring."""
    for _ in range(20):
        x = x + 0.2 * (np.roll(x, 1) - 2 * x + np.roll(x, -1))
    return np.sum(x**3)


def heat_gradient(x):
    for _ in range(20):
        x = x + 0.2 * (np.roll(x, 1) - 2 * x + np.roll(x, -1))
    return heat_steps(3 * x**2)


def heat_steps(x):
    for _ in range(20):
        x = x + 0.2 * (np.roll(x, 1) - 2 * x + np.roll(x, -1))
    return x


def bump(x):
    """Every derivative at zero is zero, and below 0.03 so is every value that can be computed."""
    return np.sum(np.where(x == 0, 0.0, np.exp(-1 / np.where(x == 0, 1.0, x) ** 2)))


def embedding(table):
    return np.sum(np.tanh(table[[3, 17, 3, 42, 8]]) ** 2)


def embedding_gradient(table):
    gradient = np.zeros_like(table)
    rows = [3, 17, 3, 42, 8]
    hidden = np.tanh(table[rows])
    np.add.at(gradient, rows, 2 * hidden * (1 - hidden**2))
    return gradient


def huber(x, width=1.0):
    size = np.abs(x)
    return np.sum(np.where(size <= width, x**2 / 2, width * (size - width / 2)))


def huber_gradient(x, width=1.0):
    return np.clip(x, -width, width)


def sorted_average(x):
    return np.sort(x) @ np.arange(x.size)


def sorted_average_gradient(x):
    gradient = np.empty_like(x)
    gradient[np.argsort(x)] = np.arange(x.size)
    return gradient


def pinball(x):
    return np.mean(np.where(x < TARGET, 0.9 * (TARGET - x), 0.1 * (x - TARGET)))


def pinball_gradient(x):
    return np.mean(np.where(x < TARGET, -0.9, 0.1))


def poisson_loss(p):
    rate = p["slope"] * np.linspace(-1, 1, 50) + p["offset"]
    return np.sum(np.exp(rate) - OUTCOMES * rate)


def poisson_loss_gradient(p):
    rate = p["slope"] * np.linspace(-1, 1, 50) + p["offset"]
    error = np.exp(rate) - OUTCOMES
    return {"slope": error @ np.linspace(-1, 1, 50), "offset": error.sum()}


def negative_binomial(x):
    size, odds = x
    return np.sum(
        special.gammaln(OUTCOMES + size)
        - special.gammaln(size)
        + size * np.log(odds / (1 + odds))
        - OUTCOMES * np.log1p(odds)
    )


def negative_binomial_gradient(x):
    size, odds = x
    by_size = np.sum(
        special.digamma(OUTCOMES + size) - special.digamma(size) + np.log(odds / (1 + odds))
    )
    by_odds = np.sum(size / odds - size / (1 + odds) - OUTCOMES / (1 + odds))
    return np.array([by_size, by_odds])


def option_price(x):
    spot, volatility = x
    d1 = (np.log(spot / 100) + volatility**2 / 2) / volatility
    return spot * special.ndtr(d1) - 100 * special.ndtr(d1 - volatility)


def option_price_gradient(x):
    spot, volatility = x
    d1 = (np.log(spot / 100) + volatility**2 / 2) / volatility
    return np.array([special.ndtr(d1), spot * np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi)])


def largest_eigenvalue(x):
    return np.linalg.eigvalsh((x + x.T) / 2)[-1]


def largest_eigenvalue_gradient(x):
    vector = np.linalg.eigh((x + x.T) / 2)[1][:, -1]
    return np.outer(vector, vector)


def nuclear_norm(x):
    return np.sum(np.linalg.svd(x, compute_uv=False))


def nuclear_norm_gradient(x):
    left, _, right_vectors = np.linalg.svd(x, full_matrices=False)
    return left @ right_vectors


def product_of_others(x):
    return np.array([np.prod(np.delete(x, i)) for i in range(x.size)])


def interpolated(x):
    return np.sum(np.interp(x, [0.0, 1.0, 3.0, 4.0], [0.0, 2.0, -1.0, 5.0]))


def interpolated_gradient(x):
    return np.array([2.0, -1.5, 6.0])[np.searchsorted([0.0, 1.0, 3.0, 4.0], x) - 1]


def with_fixed_dropout(x):
    return 2 * np.sum(np.sin(x) * (np.random.default_rng(7).random(x.shape) < 0.5))


def with_fixed_dropout_gradient(x):
    return 2 * np.cos(x) * (np.random.default_rng(7).random(x.shape) < 0.5)


def log_likelihood(p, data_type=np.float32):
    """Of many examples: a loss of the size of a million, in single precision."""
    residual = MANY.astype(data_type) - p["mean"]
    return np.sum(residual**2 * p["precision"] * data_type(10) - np.log(p["precision"]))


def log_likelihood_gradient(p):
    residual = MANY - p["mean"].astype(np.float64)
    precision = p["precision"].astype(np.float64)
    return {
        "mean": np.float32(-20 * precision * residual.sum()),
        "precision": np.float32(10 * np.sum(residual**2) - MANY.size / precision),
    }


def residual_of_collocation(x):
    return np.sum((VANDERMONDE @ x - np.cos(np.linspace(0, 3, 12))) ** 2)


def residual_of_collocation_gradient(x):
    return 2 * VANDERMONDE.T @ (VANDERMONDE @ x - np.cos(np.linspace(0, 3, 12)))


def naive_variance(x):
    return np.mean(x**2) - np.mean(x) ** 2


def cosine_similarity(p):
    return p["a"] @ p["b"] / np.sqrt((p["a"] @ p["a"]) * (p["b"] @ p["b"]))


def cosine_similarity_gradient(p):
    first, second = np.linalg.norm(p["a"]), np.linalg.norm(p["b"])
    similarity = p["a"] @ p["b"] / (first * second)
    return {
        "a": p["b"] / (first * second) - similarity * p["a"] / first**2,
        "b": p["a"] / (first * second) - similarity * p["b"] / second**2,
    }


def wide_relu(x):
    return np.sum(np.maximum(0, KNOTS - x) ** 2) + np.sum(np.maximum(0, KNOTS + x))


def wide_relu_gradient(x):
    return -2 * np.sum(np.maximum(0, KNOTS - x)) + np.count_nonzero(KNOTS + x > 0)


def kepler_by_bracketing(x):
    return optimize.brentq(lambda e: e - 0.6 * np.sin(e) - float(x), 0.0, 4.0, xtol=1e-12)


def gaussian_integral(x):
    return integrate.quad(lambda t: np.exp(-float(x) * t**2), 0.0, 1.0)[0]


def gaussian_integral_gradient(x):
    return integrate.quad(lambda t: -(t**2) * np.exp(-x * t**2), 0.0, 1.0)[0]


def adaptive_growth(x):
    """Logistic growth, by steps that the solver chooses to an error of 1e-8."""
    rate, start = float(x[0]), float(x[1])
    solution = integrate.solve_ivp(
        lambda _, y: rate * y * (1 - y), (0.0, 2.0), [start], rtol=1e-8, atol=1e-10
    )
    return solution.y[0, -1]


def series(x, least):
    """The exponential function, its terms added until they are small."""
    total, term, order = 1.0, 1.0, 0
    while abs(term) > least * abs(total):
        order += 1
        term = term * x / order
        total = total + term
    return total


def iterated_sine(x):
    for _ in range(300):
        x = np.sin(x)
    return np.sum(x)


def iterated_sine_gradient(x):
    slope = np.ones_like(x)
    for _ in range(300):
        slope = slope * np.cos(x)
        x = np.sin(x)
    return slope


SHARED = draw(203, 5)

PLAIN = [
    right("least squares", least_squares, draw(210, 4), least_squares_gradient),
    right(
        "least squares, float32",
        least_squares,
        draw(211, 4).astype(np.float32),
        lambda x: least_squares_gradient(x).astype(np.float32),
    ),
    right(
        "a minimum",
        least_squares,
        np.linalg.lstsq(A, TARGET, rcond=None)[0],
        least_squares_gradient,
    ),
    right("the minimum of a square", sum_of_squares, np.zeros(3), twice),
    right(
        "a minimum off zero", lambda x: 1 + np.sum((x - 1) ** 2), np.ones(3), lambda x: 2 * x - 2
    ),
    right("log-sum-exp", log_sum_exp, 100 * draw(212, 8), softmax),
    right("log-sum-exp, float32", log_sum_exp, (30 * draw(213, 8)).astype(np.float32), softmax),
    right("log-sum-exp, huge", log_sum_exp, np.array([1e4, 1e4 - 1, -1e4]), softmax),
    right("softmax regression", cross_entropy, cross_entropy_weights(), cross_entropy_gradient),
    right(
        "softmax regression, sure of itself",
        cross_entropy,
        {"W": 100 * draw(214, 3, 4), "b": draw(215, 4)},
        cross_entropy_gradient,
    ),
    right(
        "smoothed labels",
        smoothed_cross_entropy,
        draw(216, 16, 4),
        smoothed_cross_entropy_gradient,
    ),
    right("tanh network", network, network_weights(), network_gradient),
    right("tanh network, float32", network, network_weights(np.float32), network_gradient),
    right("relu network", relu_network, network_weights(), relu_network_gradient),
    right(
        "relu network, float32", relu_network, network_weights(np.float32), relu_network_gradient
    ),
    right(
        "relu network at zero",
        relu_network,
        {"W1": np.zeros((3, 5)), "b1": np.zeros(5), "W2": np.zeros((5, 2))},
        relu_network_gradient,
    ),
    right("layer norm", layer_norm, draw(217, 4), layer_norm_gradient),
    right(
        "layer norm of nearly equal entries",
        layer_norm,
        1 + 1e-3 * draw(218, 4),
        layer_norm_gradient,
    ),
    right("batch norm", batch_norm, draw(219, 6, 3), batch_norm_gradient),
    right("attention", attention, attention_inputs(), attention_gradient),
    right("recurrent network", recurrent_network, recurrent_weights(), recurrent_network_gradient),
    right(
        "convolution", convolution, {"x": draw(220, 20), "k": draw(221, 5)}, convolution_gradient
    ),
    right("overlapping max pool", max_pool, draw(222, 12), max_pool_gradient),
    right("gelu", gelu, draw(223, 10), gelu_gradient),
    right("swiglu", swiglu, {"gate": draw(224, 6), "value": draw(225, 6)}, swiglu_gradient),
    right("gather with duplicates", gathered, draw(226, 3), gathered_gradient),
    right("embedding table", embedding, draw(227, 50, 4), embedding_gradient),
    right("recurrence", recurrence, np.array([0.9, 0.1]), recurrence_gradient),
    right("Rosenbrock", rosenbrock, draw(228, 10), rosenbrock_gradient),
    right("Rosenbrock far out", rosenbrock, 1e3 * draw(229, 10), rosenbrock_gradient),
    right("log-determinant", log_determinant, draw(230, 5, 5), log_determinant_gradient),
    right(
        "log-determinant of a triangle",
        upper_log_determinant,
        positive_definite(231, 4),
        upper_log_determinant_gradient,
    ),
    right(
        "trace of an inverse",
        trace_of_inverse,
        draw(232, 4, 4) + 3 * np.eye(4),
        trace_of_inverse_gradient,
    ),
    right("largest eigenvalue", largest_eigenvalue, draw(233, 6, 6), largest_eigenvalue_gradient),
    right("nuclear norm", nuclear_norm, draw(234, 5, 3), nuclear_norm_gradient),
    right(
        "normal density",
        normal_log_density,
        {"mean": draw(235, 4), "covariance": positive_definite(236, 4)},
        normal_log_density_gradient,
    ),
    right(
        "Gaussian process",
        gaussian_process,
        {"length": 1.3, "scale": 0.8, "noise": 0.05},
        gaussian_process_gradient,
    ),
    right(
        "Gaussian process, nearly singular",
        gaussian_process,
        {"length": 20.0, "scale": 1.0, "noise": 1e-5},
        gaussian_process_gradient,
    ),
    right("hidden Markov chain", hidden_markov, draw(237, 30, 3), hidden_markov_gradient),
    right("Poisson regression", poisson_loss, {"slope": 0.4, "offset": 1.0}, poisson_loss_gradient),
    right("negative binomial", negative_binomial, np.array([2.5, 0.7]), negative_binomial_gradient),
    right("option price", option_price, np.array([104.0, 0.2]), option_price_gradient),
    right(
        "Bessel function",
        lambda x: np.sum(special.j0(x)),
        5 * draw(238, 4),
        lambda x: -special.j1(x),
    ),
    right("power spectrum", power_spectrum, draw(239, 16), power_spectrum_gradient),
    right("particles", interaction_energy, PARTICLES, interaction_energy_gradient),
    right("cubic spline", spline, np.array([0.3, 1.1, 1.9]), spline_gradient),
    right("linear upsampling", upsampled, draw(240, 3), upsampled_gradient),
    right(
        "linear interpolation between its knots",
        interpolated,
        np.array([0.4, 2.2, 3.7]),
        interpolated_gradient,
    ),
    right("heat equation", heat, draw(241, 12), heat_gradient),
    right(
        "cosine similarity",
        cosine_similarity,
        {"a": draw(242, 5), "b": draw(243, 5)},
        cosine_similarity_gradient,
    ),
    right("powers", lambda x: np.sum(x**7), draw(244, 4), lambda x: 7 * x**6),
    right(
        "polynomial of high degree",
        lambda x: np.sum(np.polyval(VECTOR.repeat(5), x)),
        draw(245, 3),
        lambda x: np.polyval(np.polyder(VECTOR.repeat(5)), x),
    ),
    right(
        "math on a float",
        lambda x: math.exp(x) * math.log(x),
        2.5,
        lambda x: math.exp(x) * (math.log(x) + 1 / x),
    ),
    right("order statistics", sorted_average, draw(246, 9), sorted_average_gradient),
    right("median", np.median, draw(247, 7), lambda x: (np.arange(7) == np.argsort(x)[3]) * 1.0),
    right("products with one factor zero", np.prod, np.array([0.0, 2.0, 3.0]), product_of_others),
    right("products with two factors zero", np.prod, np.array([0.0, 0.0, 3.0]), product_of_others),
]

SCALE = [
    right("ill-conditioned", lambda x: x @ SPREAD @ x, draw(250, 8), lambda x: 2 * SPREAD @ x),
    right("mixed scales", mixed_scales, mixed_scales_point(), mixed_scales_gradient),
    right(
        "mixed scales, float32",
        mixed_scales,
        [part.astype(np.float32) for part in mixed_scales_point(170)],
        mixed_scales_gradient,
    ),
    right(
        "mixed scales in one array",
        lambda x: np.sum(x**3),
        np.array([1e-6, -1e-3, 1.0, -1e3, 1e6]),
        lambda x: 3 * x**2,
    ),
    right(
        "parameters of 1e-6 beside 1e6 in one product",
        lambda p: np.sum(np.tanh(p["small"] * p["large"])),
        {"small": 1e-6 * draw(251, 5), "large": 1e6 * draw(252, 5)},
        lambda p: {
            "small": p["large"] / np.cosh(p["small"] * p["large"]) ** 2,
            "large": p["small"] / np.cosh(p["small"] * p["large"]) ** 2,
        },
    ),
    right(
        "a tiny gradient beside a large one",
        lambda p: np.sum(p["a"] ** 2) + 1e-8 * np.sum(np.sin(p["b"])),
        {"a": draw(253, 4), "b": draw(254, 4)},
        lambda p: {"a": 2 * p["a"], "b": 1e-8 * np.cos(p["b"])},
    ),
    right(
        "tiny entries beside large ones",
        lambda x: np.sum(x[:4] ** 2) + 1e-8 * np.sum(np.sin(x[4:])),
        draw(255, 8),
        lambda x: np.concatenate([2 * x[:4], 1e-8 * np.cos(x[4:])]),
    ),
    right("tiny everywhere", lambda x: 1e-30 * np.sum(x**2), draw(256, 3), lambda x: 2e-30 * x),
    right("huge everywhere", lambda x: 1e30 * np.sum(x**2), draw(257, 3), lambda x: 2e30 * x),
    right("near underflow", sum_of_squares, 1e-140 * draw(258, 4), twice),
    right("near overflow", sum_of_squares, 1e140 * draw(259, 4), twice),
    right("a subnormal entry", sum_of_sines, np.array([1e-310, 1.0, -2.0]), np.cos),
    right("a large constant", lambda x: 1e6 + np.sum(x**2), draw(260, 3), twice),
    right(
        "a large constant, small slope",
        lambda x: 1e6 + np.sum(np.sin(1e-3 * x)),
        draw(261, 3),
        lambda x: 1e-3 * np.cos(1e-3 * x),
    ),
    right("time stamps", sum_of_sines, 1.7e9 + draw(262, 3), np.cos),
    right(
        "log at its edge",
        lambda x: np.sum(np.log(x)),
        np.array([1e-9, 1e-3, 1, 1e6]),
        lambda x: 1 / x,
    ),
    right(
        "sqrt at its edge",
        lambda x: np.sum(np.sqrt(x)),
        np.array([1e-12, 1e-6, 1, 1e6]),
        lambda x: 0.5 / np.sqrt(x),
    ),
    right("log beside 1", lambda x: np.log1p(x), 1e-9, lambda x: 1 / (1 + x)),
    right(
        "arcsine near its edge",
        lambda x: np.sum(np.arcsin(x)),
        np.array([0.999999, -0.9999]),
        lambda x: 1 / np.sqrt(1 - x**2),
    ),
    right(
        "reciprocal near its pole",
        lambda x: np.sum(1 / x),
        np.array([1e-8, -1e-3, 2.0]),
        lambda x: -1 / x**2,
    ),
    right(
        "entropy near zero",
        lambda x: np.sum(x * np.log(x)),
        np.array([1e-12, 1e-3, 0.9]),
        lambda x: np.log(x) + 1,
    ),
    right(
        "logit near its ends",
        lambda x: np.sum(np.log(x / (1 - x))),
        np.array([1e-7, 0.5, 1 - 1e-7]),
        lambda x: 1 / (x * (1 - x)),
    ),
    right(
        "a steep sigmoid",
        lambda x: np.sum(sigmoid(1e4 * x)),
        np.array([1e-4, -2e-4, 0.0]),
        lambda x: 1e4 * sigmoid(1e4 * x) * (1 - sigmoid(1e4 * x)),
    ),
]

ROUNDING = [
    right(
        "a loss of a million, float32",
        log_likelihood,
        {"mean": np.float32(0.3), "precision": np.float32(1.2)},
        log_likelihood_gradient,
    ),
    right(
        "a million added, float32",
        lambda x: np.float32(1e6) + np.sum(x**2),
        (100 * draw(270, 4)).astype(np.float32),
        twice,
    ),
    right(
        "a million times, float32",
        lambda x: x.dtype.type(1e6) * np.sum(np.sin(x)),
        draw(271, 6).astype(np.float32),
        lambda x: np.float32(1e6) * np.cos(x),
    ),
    right("float16 throughout", lambda x: np.sum(x * x), draw(272, 6).astype(np.float16), twice),
    right(
        "a loss near the largest float16",
        lambda x: np.float16(3e4) + np.sum(x * x),
        (10 * draw(273, 6)).astype(np.float16),
        twice,
    ),
    right(
        "float16, added up in float32",
        lambda x: np.sum(x.astype(np.float32) ** 2),
        draw(274, 6).astype(np.float16),
        twice,
    ),
    right(
        "a loss of a million, float16",
        lambda x: np.sum((np.float32(300) * x.astype(np.promote_types(x.dtype, "f4"))) ** 2),
        (3 * draw(275, 6)).astype(np.float16),
        lambda x: np.float32(180_000) * x.astype(np.float32),
    ),
    # Functions that compute in float16 whatever they are given.
    *(
        right(
            f"{name}, float16 inside",
            in_half(f),
            x.astype(np.float16),
            in_half(gradient),
        )
        for name, f, x, gradient in HALVES
    ),
    right(
        "float16 network",
        lambda p: network(p),
        network_weights(np.float16),
        lambda p: {name: part.astype(np.float16) for name, part in network_gradient(p).items()},
    ),
    right("a long sum", sum_of_sines, MANY, np.cos),
    right("a long sum, float32", sum_of_sines, MANY.astype(np.float32), np.cos),
    right(
        "a long mean, float32",
        lambda x: np.mean(x**2),
        MANY.astype(np.float32),
        lambda x: 2 * x / x.size,
    ),
    right("a long log-sum-exp, float32", log_sum_exp, MANY.astype(np.float32), softmax),
    right("a running sum, float32", running_sum, draw(276, 2000).astype(np.float32), twice),
    right(
        "cumulative sums, float32",
        lambda x: np.sum(np.cumsum(x) * TREND.astype(x.dtype)),
        draw(277, 5000).astype(np.float32),
        lambda x: np.cumsum(TREND[::-1])[::-1].astype(np.float32),
    ),
    right("Rosenbrock in 100,000 dimensions", rosenbrock, MANY, rosenbrock_gradient),
    right("a million entries", sum_of_sines, draw(278, 1_000_000), np.cos, is_heavy=True),
    right(
        "a million entries, float32",
        sum_of_sines,
        draw(279, 1_000_000).astype(np.float32),
        np.cos,
        is_heavy=True,
    ),
    right("single precision inside", in_single_precision, draw(280, 6), np.cos),
    right(
        "a network in single precision inside",
        lambda p: float(network({name: part.astype(np.float32) for name, part in p.items()})),
        network_weights(seed=281),
        network_gradient,
        also=("undecided",),
    ),
    right(
        "a gradient in single precision",
        sum_of_sines,
        draw(284, 8),
        lambda x: np.cos(x.astype(np.float32)),
    ),
    right(
        "rounded to twelve decimals",
        lambda x: np.sum(np.round(x, 12) ** 2),
        draw(285, 5),
        twice,
        also=("undecided",),
    ),
    right(
        "cancellation in f",
        lambda x: np.sum((1 - np.cos(x)) / x**2),
        np.array([0.01, 0.02]),
        lambda x: np.sin(x) / x**2 - 2 * (1 - np.cos(x)) / x**3,
    ),
    right(
        "variance by the difference of squares",
        naive_variance,
        1e4 + draw(286, 6),
        lambda x: 2 * (x - x.mean()) / x.size,
    ),
    right(
        "collocation", residual_of_collocation, 10 * draw(287, 7), residual_of_collocation_gradient
    ),
    right(
        "solving with a Hilbert matrix of order 6",
        lambda x: np.sum(np.linalg.solve(hilbert(6), x)),
        draw(288, 6),
        lambda x: np.linalg.solve(hilbert(6).T, np.ones(6)),
    ),
    # The solution's own error is 1e-4: its slope may or may not be known well enough.
    right(
        "solving with a Hilbert matrix of order 10",
        lambda x: np.sum(np.linalg.solve(hilbert(10), x)),
        draw(289, 10),
        lambda x: np.linalg.solve(hilbert(10).T, np.ones(10)),
        also=("undecided",),
    ),
    right(
        "solving by a Hilbert matrix's own entries",
        lambda x: np.sum(np.linalg.solve(x, np.ones(4))),
        hilbert(4),
        lambda x: -np.outer(np.linalg.solve(x.T, np.ones(4)), np.linalg.solve(x, np.ones(4))),
    ),
    right(
        "trace as a sum of equal eigenvalues",
        lambda x: np.sum(np.linalg.eigvalsh((x + x.T) / 2)),
        np.eye(4),
        lambda x: np.eye(4),
    ),
    right(
        "log-determinant of a nearly singular matrix",
        lambda x: np.linalg.slogdet(x)[1],
        np.array([[1.0, 1.0], [1.0, 1.0 + 1e-7]]),
        lambda x: (
            np.array([[x[1, 1], -x[1, 0]], [-x[0, 1], x[0, 0]]])
            / (x[0, 0] * x[1, 1] - x[0, 1] * x[1, 0])
        ),
        also=("undecided",),
    ),
    right("a product of 200", np.prod, draw(292, 200) / 2, lambda x: np.prod(x) / x),
    right(
        "a determinant of order 20",
        np.linalg.det,
        draw(293, 20, 20),
        lambda x: np.linalg.det(x) * np.linalg.inv(x).T,
    ),
    right(
        "a cold softmax",
        lambda x: 1e-3 * log_sum_exp(x / 1e-3),
        1e-3 * draw(294, 6),
        lambda x: softmax(x / 1e-3),
    ),
    right(
        "divergence of nearly equal distributions",
        lambda x: np.sum(softmax(x) * np.log(softmax(x) / softmax(VECTOR))),
        VECTOR + 1e-5 * draw(295, 4),
        lambda x: (
            softmax(x)
            * (
                np.log(softmax(x) / softmax(VECTOR))
                - np.sum(softmax(x) * np.log(softmax(x) / softmax(VECTOR)))
            )
        ),
    ),
    right(
        "saturated tanh",
        lambda x: np.sum(np.tanh(x)),
        np.array([10.0, 12.0, -9.0]),
        lambda x: 1 - np.tanh(x) ** 2,
    ),
    right(
        "sums in varying order",
        WithNoise(290, lambda x, g: float(np.sum(g.permutation(np.sin(x).astype(np.float32))))),
        draw(291, 50),
        np.cos,
    ),
]

SHAPE_OF_F = [
    right(
        "exact zeros",
        lambda x: np.sum(x[::2] ** 2),
        draw(300, 9),
        lambda x: np.where(np.arange(9) % 2 == 0, 2 * x, 0.0),
    ),
    right("a constant", lambda x: 3.0 + 0 * np.sum(x), draw(301, 3), np.zeros_like),
    right(
        "not used",
        lambda p: p["a"] ** 2,
        {"a": 2.0, "b": 1.0},
        lambda p: {"a": 2 * p["a"], "b": 0.0},
    ),
    right(
        "a layer whose units are all off",
        relu_network,
        network_weights(seed=302) | {"b1": np.full(5, -50.0)},
        relu_network_gradient,
    ),
    right(
        "a bias that normalisation removes",
        lambda x: layer_norm(VECTOR + x),
        np.array(0.3),
        lambda x: np.array(0.0),
    ),
    right(
        "a shift that softmax removes", lambda x: softmax(VECTOR + x) @ VECTOR, 0.7, lambda x: 0.0
    ),
    right("a flat cube at zero", lambda x: np.sum(x**3), np.zeros(3), lambda x: 3 * x**2),
    right(
        "flat to all orders",
        bump,
        np.array([0.0, 0.8]),
        lambda x: np.array([0.0, 2 * np.exp(-1 / x[1] ** 2) / x[1] ** 3]),
    ),
    right(
        "accuracy of a classifier, between its steps",
        lambda x: np.mean(np.argmax(x, axis=1) == 1),
        draw(303, 8, 3),
        np.zeros_like,
        # Zero is right; that there is no slope anywhere may be said instead.
        also=("kink",),
    ),
    right(
        "fast oscillation",
        lambda x: np.sum(np.sin(1e3 * x)),
        draw(304, 4),
        lambda x: 1e3 * np.cos(1e3 * x),
    ),
    right(
        "very fast oscillation",
        lambda x: np.sum(np.sin(1e6 * x)),
        draw(305, 4),
        lambda x: 1e6 * np.cos(1e6 * x),
    ),
    right(
        "a chirp",
        lambda x: np.sum(np.sin(x**2)),
        np.array([3.0, 30.0, 300.0]),
        lambda x: 2 * x * np.cos(x**2),
    ),
    right(
        "two hundred frequencies",
        lambda x: np.sum(np.cos(FREQUENCIES * x) / FREQUENCIES),
        0.7,
        lambda x: -np.sum(np.sin(FREQUENCIES * x)),
    ),
    right("oscillation piling up", lambda x: np.sin(1 / x), 0.013, lambda x: -np.cos(1 / x) / x**2),
    right(
        "a ripple on a slope",
        lambda x: np.sum(x + 1e-6 * np.sin(1e5 * x)),
        draw(306, 4),
        lambda x: 1 + 0.1 * np.cos(1e5 * x),
    ),
    right("logistic map", logistic_map, 0.3, logistic_map_gradient),
    right(
        "abs beside its kink", lambda x: np.sum(np.abs(x)), np.array([1e-7, -1e-9, 1.0]), np.sign
    ),
    right(
        "relu beside its kink",
        lambda x: np.sum(np.maximum(x, 0)),
        np.array([1e-7, -1e-7, 3.0]),
        lambda x: (x > 0) * 1.0,
    ),
    right(
        "a floor beside its step",
        lambda x: np.sum(np.floor(x) + x**2),
        np.array([2.5, -0.3]),
        twice,
    ),
    right(
        "a step at a distance of a millionth",
        lambda x: np.where(x >= 1, 5.0, 0.0) + x**2,
        1 + 1e-6,
        lambda x: 2 * x,
    ),
    right(
        "hinge away from the hinge",
        lambda x: np.sum(np.maximum(0, 1 - x)),
        np.array([0.5, 1.5, 1.001, 0.99]),
        lambda x: np.where(x < 1, -1.0, 0.0),
    ),
    right("eight hundred kinks nearby", wide_relu, 0.2, wide_relu_gradient),
    right("pinball loss", pinball, 0.123, pinball_gradient),
    right("Huber loss where it bends", huber, np.array([1.0, -1.0, 0.3, 2.0]), huber_gradient),
    right(
        "x |x| at zero",
        lambda x: np.sum(x * np.abs(x)),
        np.array([0.0, 1.0, -2.0]),
        lambda x: 2 * np.abs(x),
    ),
    right(
        "squared relu at zero",
        lambda x: np.sum(np.maximum(x, 0) ** 2),
        np.array([0.0, 1.0, -2.0]),
        lambda x: 2 * np.maximum(x, 0),
    ),
    right(
        "relu units at zero, squared",
        lambda p: np.sum((np.maximum(0, p["b"]) @ p["W"]) ** 2),
        {"b": np.zeros(5), "W": draw(307, 5, 2) + 1},
        lambda p: {"b": np.zeros(5), "W": np.zeros((5, 2))},
    ),
    right(
        "elu at zero",
        lambda x: np.sum(np.where(x > 0, x, np.expm1(x))),
        np.array([0.0, 1.0, -2.0]),
        lambda x: np.where(x > 0, 1.0, np.exp(x)),
    ),
]

SOLVERS = [
    right("Kepler's equation", kepler, {"mean": 0.8, "eccentricity": 0.6}, kepler_gradient),
    right(
        "Kepler's equation, nearly parabolic",
        kepler,
        {"mean": 0.05, "eccentricity": 0.98},
        kepler_gradient,
    ),
    right("a root by iteration", babylonian_root, 7.3, lambda x: 0.5 / np.sqrt(x)),
    right("a fixed point", damped_fixed_point, 0.9, damped_fixed_point_gradient),
    right(
        "a root by bracketing",
        kepler_by_bracketing,
        0.8,
        lambda x: 1 / (1 - 0.6 * np.cos(kepler_by_bracketing(x))),
    ),
    right("quadrature", gaussian_integral, 1.7, gaussian_integral_gradient),
    right(
        "steps chosen by the solver",
        adaptive_growth,
        np.array([1.3, 0.1]),
        logistic_growth_gradient,
        tolerance=1e-5,
    ),
    right("a series added until it stands still", lambda x: series(x, 0.0), 1.3, np.exp),
    right("a series cut off", lambda x: series(x, 1e-6), 1.3, np.exp, tolerance=1e-4),
    right("a sine of a sine, 300 deep", iterated_sine, draw(308, 4), iterated_sine_gradient),
    right(
        "Runge-Kutta, its own derivative", runge_kutta, np.array([1.3, 0.1]), runge_kutta_gradient
    ),
    right(
        "Runge-Kutta, coarse, the exact solution's derivative",
        lambda x: runge_kutta(x, 20),
        np.array([1.3, 0.1]),
        logistic_growth_gradient,
        tolerance=1e-4,
    ),
    right(
        "a fixed point stopped early",
        lambda x: damped_fixed_point_stopped(x),
        0.9,
        damped_fixed_point_gradient,
        tolerance=1e-5,
    ),
]


def damped_fixed_point_stopped(x):
    y = 0.5
    for _ in range(12):
        y = 0.5 * y + 0.5 * np.cos(x * y)
    return y


FORMS = [
    right(
        "complex modulus",
        lambda z: np.sum(np.abs(z) ** 2),
        draw(310, 3) + 1j * draw(311, 3),
        lambda z: 2 * np.conj(z),
    ),
    right(
        "complex, analytic",
        lambda z: np.sum((z**3).real),
        draw(312, 3) + 1j * draw(313, 3),
        lambda z: 3 * z**2,
    ),
    right(
        "complex norm",
        np.linalg.norm,
        draw(314, 4) + 1j * draw(315, 4),
        lambda z: np.conj(z) / np.linalg.norm(z),
    ),
    right(
        "complex phase",
        lambda z: np.sum(np.angle(z)),
        draw(316, 3) + 1j * draw(317, 3),
        lambda z: -1j / z,
    ),
    right(
        "complex64",
        lambda z: np.sum(np.abs(z) ** 2),
        (draw(318, 3) + 1j * draw(319, 3)).astype("c8"),
        lambda z: 2 * np.conj(z),
    ),
    right("a complex number", lambda z: abs(z) ** 2, 1.5 - 0.5j, lambda z: 2 * z.conjugate()),
    right(
        "complex matrix beside real vector",
        lambda p: np.sum(np.abs(p["M"] @ p["v"]) ** 2),
        {"M": draw(320, 3, 2) + 1j * draw(321, 3, 2), "v": draw(322, 2)},
        lambda p: {
            "M": 2 * np.conj(np.outer(p["M"] @ p["v"], p["v"])),
            "v": 2 * (np.conj(p["M"]).T @ (p["M"] @ p["v"])).real,
        },
    ),
    right("longdouble", lambda x: np.sum(np.exp(x)), draw(323, 3).astype(np.longdouble), np.exp),
    right("scalar array", lambda x: x**2, np.array(3.0), twice),
    right("numpy scalar", lambda x: x**2, np.float64(3.0), twice),
    right("one entry", sum_of_squares, np.array([[3.0]]), twice),
    right(
        "empty beside full",
        lambda p: np.sum(p[0]) + np.sum(p[1] ** 2),
        (np.zeros((0, 3)), draw(324, 2)),
        lambda p: (np.ones((0, 3)), 2 * p[1]),
    ),
    right("strided", sum_of_squares, draw(325, 6, 6)[::2, ::-3], twice),
    right(
        "columns first",
        lambda x: np.sum(x**2 * np.arange(12).reshape(3, 4)),
        np.asfortranarray(draw(326, 3, 4)),
        lambda x: 2 * x * np.arange(12).reshape(3, 4),
    ),
    right(
        "broadcast, and so read-only",
        lambda x: np.sum(x**2 * [1.0, 2.0, 3.0]),
        np.broadcast_to(0.7, 3),
        lambda x: 2 * x * [1.0, 2.0, 3.0],
    ),
    right(
        "the same array twice",
        lambda p: np.sum(p["a"] * np.sin(p["b"])),
        {"a": SHARED, "b": SHARED},
        lambda p: {"a": np.sin(p["b"]), "b": p["a"] * np.cos(p["b"])},
    ),
    right(
        "integers carried along",
        lambda p: np.sum(p["x"] ** p["n"]),
        {"x": draw(327, 3), "n": 3},
        lambda p: {"x": 3 * p["x"] ** 2, "n": None},
    ),
    right(
        "a dataclass",
        lambda p: np.sum(np.tanh(SQUARE @ p.weights + p.bias)),
        Layer(draw(328, 5), 0.3, "output"),
        lambda p: Layer(
            SQUARE.T @ (1 - np.tanh(SQUARE @ p.weights + p.bias) ** 2),
            np.sum(1 - np.tanh(SQUARE @ p.weights + p.bias) ** 2),
            p.name,
        ),
    ),
    right(
        "a named tuple",
        lambda p: np.pi * p.width * p.height,
        Ellipse(2.0, np.array(0.5)),
        lambda p: Ellipse(np.pi * p.height, np.pi * p.width),
    ),
    right(
        "nested",
        lambda p: np.sum(p["layers"][0][0] ** 2) * p["layers"][1]["scale"],
        {"layers": [(draw(329, 3),), {"scale": 1.5}]},
        lambda p: {
            "layers": [
                (2 * p["layers"][0][0] * p["layers"][1]["scale"],),
                {"scale": np.sum(p["layers"][0][0] ** 2)},
            ]
        },
    ),
    right(
        "different precisions side by side",
        lambda p: np.sum(p["single"] * np.sin(p["double"])) + np.sum(p["half"] ** 2),
        {
            "half": draw(330, 3).astype(np.float16),
            "single": draw(331, 4).astype(np.float32),
            "double": draw(332, 4),
        },
        lambda p: {
            "half": 2 * p["half"],
            "single": np.sin(p["double"]).astype(np.float32),
            "double": p["single"] * np.cos(p["double"]),
        },
    ),
    right("changes its input", mutating, draw(333, 4), mutating_gradient),
    right(
        "dropout with a fixed seed", with_fixed_dropout, draw(334, 100), with_fixed_dropout_gradient
    ),
]

RIGHT = [*PLAIN, *SCALE, *ROUNDING, *SHAPE_OF_F, *SOLVERS, *FORMS]
