"""Wrong gradients: mistakes that people make, many of them as public trackers report them.

Each differs from the derivative of its function by more than rounding; so the verdict is "wrong".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special
from tests.check.corpus.case import Case, Stale, WithNoise, changed, draw, scaled, with_part
from tests.check.corpus.functions import (
    DATA,
    DISTANCES,
    HALVES,
    INDEX,
    LABELS,
    MANY,
    NORMED,
    PARTICLES,
    SEQUENCE,
    SQUARE,
    TARGET,
    UPSAMPLING,
    VECTOR,
    WEIGHTS,
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
    gaussian_process,
    gaussian_process_gradient,
    gelu,
    gelu_gradient,
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
    upsampled,
)

__all__ = ["WRONG", "Accumulating"]

TRACKER = "https://github.com/"
TOKENS = np.array([1, 4, 4, 2, 1, 4, 0])
STALE = Stale()
MASKS = np.random.default_rng(401).random((7, 4)) < 0.7
GROUPS = np.array([0, 0, 1, 1, 1])
REVERSED = np.array([3, 2, 1, 0])


def wrong(
    name: str,
    f: Any,
    x: Any,
    gradient: Any,
    diagnosis: str = "",
    *,
    report: str = "",
    **expected: Any,
) -> Case:
    source = TRACKER + report if report else ""
    return Case(name, f, x, gradient, "wrong", diagnosis=diagnosis, source=source, **expected)


# What a report says of a mistake, in whatever words.
SIGN = r"sign"
ZERO = r"zero|detached|not written|never written"
TRANSPOSED = r"transpose"
OVERWRITTEN = r"overwrit|accumulat|duplicate|repeated"
PRECISION = r"precision|float16|bfloat16|half|coarse|grain"
CONJUGATE = r"conjugate"
NOT_SUMMED = r"not summed"
AVERAGED = r"mean|average|factor of"


def factor(amount: str) -> str:
    return rf"factor of {amount}(?!\d)"


# -- gradients with a mistake -----------------------------------------------------------------


def overwritten_gradient(x):
    gradient = np.zeros_like(x)
    gradient[INDEX] = 2 * WEIGHTS * x[INDEX]
    return gradient


def embedded(table):
    return np.sum(np.tanh(table[TOKENS]) * np.arange(1.0, 8.0)[:, None])


def embedded_gradient(table, dtype: Any = np.float64):
    gradient = np.zeros(table.shape, dtype)
    np.add.at(
        gradient,
        TOKENS,
        ((1 - np.tanh(table[TOKENS]) ** 2) * np.arange(1.0, 8.0)[:, None]).astype(dtype),
    )
    return gradient.astype(table.dtype)


def embedded_overwritten_gradient(table):
    gradient = np.zeros_like(table)
    gradient[TOKENS] = (1 - np.tanh(table[TOKENS]) ** 2) * np.arange(1.0, 8.0)[:, None]
    return gradient


MANY_TOKENS = np.random.default_rng(402).integers(0, 8, 40_000)


def looked_up_often(table):
    return 0.01 * np.sum(table[MANY_TOKENS])


def added_in_half_precision(table):
    """Add 0.01 once for each look-up, in float16: the sum stops growing near 32."""
    gradient = np.zeros(8, np.float16)
    for token in MANY_TOKENS:
        gradient[token] += np.float16(0.01)
    return gradient.astype(table.dtype)


def pool_overwritten_gradient(x):
    gradient = np.zeros_like(x)
    for start in range(x.size - 2):
        winner = start + np.argmax(x[start : start + 3])
        gradient[winner] = 2 * x[winner]
    return gradient


def pool_first_window_gradient(x):
    gradient = np.zeros_like(x)
    winner = np.argmax(x[:3])
    gradient[winner] = 2 * x[winner]
    return gradient


def stitched(p):
    result = np.zeros(5)
    result = np.where(np.isin(np.arange(5), [0, 2, 3]), np.resize(p["first"], 5), result)
    return np.sum(np.where(np.arange(5) >= 2, p["second"], result) ** 2)


def stitched_gradient(p, is_overwritten=True):
    kept = np.isin(np.arange(5), [0, 2, 3])
    first = np.where(kept, 2 * np.resize(p["first"], 5), 0)
    if is_overwritten:
        first[2:] = 0
    second = np.where(np.arange(5) >= 2, 2 * p["second"], 0)
    return {"first": first, "second": second}


def filled(p):
    result = np.array(p["x"])
    result[[2, 2, 4]] = p["value"]
    return np.sum(result * np.arange(1.0, 6.0)) + np.sum(p["x"] ** 2)


def filled_gradient(p, is_counted_twice=False, keeps=False):
    by_x = np.arange(1.0, 6.0)
    by_value = by_x[[2, 2, 4]].sum() if is_counted_twice else by_x[[2, 4]].sum()
    if not keeps:
        by_x[[2, 4]] = 0
    return {"x": by_x + 2 * p["x"], "value": by_value}


def written_slice(p):
    rows = np.concatenate([p["patch"], p["base"][2:]])
    return np.sum(rows * np.arange(1.0, 6.0))


def cumulative_products(x):
    return np.sum(np.cumprod(x))


def product_by_group(x):
    return np.sum(np.array([np.prod(x[group == GROUPS]) for group in (0, 1)]))


def normalised(x):
    return VECTOR @ x / (np.sqrt(x @ x) + 0.1)


def normalised_gradient(x, epsilon=0.1):
    length = np.sqrt(x @ x)
    return VECTOR / (length + epsilon) - (VECTOR @ x) * x / (length * (length + epsilon) ** 2)


def logistic_density(x):
    """Negative log-density of a logistic with location and log-scale."""
    z = (TARGET - x[0]) / np.exp(x[1])
    return np.sum(z + x[1] + 2 * np.log1p(np.exp(-z)))


def logistic_density_gradient(x, log_scale=True):
    z = (TARGET - x[0]) / np.exp(x[1])
    slope = 1 - 2 * sigmoid(-z)
    by_log_scale = np.sum(1 - slope * z)
    return np.array(
        [-np.sum(slope) / np.exp(x[1]), by_log_scale if log_scale else by_log_scale / np.exp(x[1])]
    )


def weighted_gamma(x):
    return np.sum(special.gammaln(np.arange(1.0, 7.0) + x) - special.gammaln(x))


def zoned_out(p, masks=MASKS):
    state = np.zeros(4)
    for entry, mask in zip(SEQUENCE, masks, strict=True):
        state = np.where(mask, state, np.tanh(p["U"] @ entry + p["W"] @ state))
    return np.sum(state**2)


def zoned_out_gradient(p, masks=MASKS):
    states = [np.zeros(4)]
    for entry, mask in zip(SEQUENCE, MASKS, strict=True):
        states.append(np.where(mask, states[-1], np.tanh(p["U"] @ entry + p["W"] @ states[-1])))
    result = {name: np.zeros_like(part) for name, part in p.items()}
    adjoint = 2 * states[-1]
    for t in reversed(range(7)):
        new = np.tanh(p["U"] @ SEQUENCE[t] + p["W"] @ states[t])
        inner = np.where(masks[t], 0, adjoint) * (1 - new**2)
        result["U"] += np.outer(inner, SEQUENCE[t])
        result["W"] += np.outer(inner, states[t])
        adjoint = np.where(masks[t], adjoint, 0) + p["W"].T @ inner
    return result


def used_twice(x):
    hidden = np.tanh(x)
    return hidden @ VECTOR + np.sum(hidden**2)


def mutated_cotangent(x):
    """Two rules share one cotangent, and the first multiplies it in place."""
    cotangent = np.ones_like(x)
    cotangent *= np.exp(x)
    total = cotangent.copy()
    cotangent *= np.exp(x)
    return total + cotangent


def two_layers(x):
    return np.sum(np.tanh(SQUARE @ np.tanh(x)))


def broadcast_scale(p):
    return np.sum(np.tanh(DATA[:3] * p["scale"] + p["shift"]))


def broadcast_scale_gradient(p, axis=1):
    back = 1 - np.tanh(DATA[:3] * p["scale"] + p["shift"]) ** 2
    return {
        "scale": np.sum(back * DATA[:3], axis=axis).reshape(3, 1),
        "shift": np.sum(back, axis=0),
    }


def row_added(p):
    return np.sum((p["table"] + p["row"]) ** 2)


def row_added_gradient(p, reduce=lambda g: g.sum(axis=0)):
    back = 2 * (p["table"] + p["row"])
    return {"table": back, "row": reduce(back)}


CENTRES = draw(403, 8, 3)


def center_loss(x):
    return np.sum((x - CENTRES) ** 2) / (2 * len(x))


def masked_softmax_entropy(x):
    kept = x[:, :3]
    return np.mean(np.log(np.sum(np.exp(kept), axis=1)) - kept[:, 0])


def tied(x):
    """An autoencoder whose decoder is the encoder's transpose."""
    return np.sum((DATA @ x @ x.T - DATA) ** 2)


def tied_gradient(x, encoder=1.0):
    error = 2 * (DATA @ x @ x.T - DATA)
    return error.T @ (DATA @ x) + encoder * DATA.T @ error @ x


def penalised(x):
    return least_squares(x) + 0.1 * np.sum(x**2)


def absolute_penalty(x):
    return least_squares(x) + 0.3 * np.sum(np.abs(x))


def image_loss(x):
    """An image, seen through a transposed view."""
    return np.sum(np.arange(12.0).reshape(3, 4) * x.T**2)


def circulant(x):
    return np.sum((np.roll(x, 1) - x) ** 2 * np.arange(1.0, x.size + 1))


def circulant_gradient(x):
    back = 2 * (np.roll(x, 1) - x) * np.arange(1.0, x.size + 1)
    return np.roll(back, -1) - back


def trapezoid(x):
    return np.sum(np.exp(x)) - (np.exp(x[0]) + np.exp(x[-1])) / 2


def attention_without_mixing(p):
    """The softmax differentiated entry by entry."""
    weights = softmax(p["Q"] @ p["K"].T / 2)
    result = attention_gradient(p)
    scores = 0.5 * weights * (1 - weights) * (attention_back(p))
    return result | {"Q": scores @ p["K"]}


def attention_back(p):
    from tests.check.corpus.functions import ATTENDED

    return ATTENDED @ p["V"].T


def clipped(gradient, limit=1.0):
    """Clip the norm, as an optimiser does."""

    def result(x):
        whole = gradient(x)
        return whole * min(1.0, limit / np.linalg.norm(whole))

    return result


class Accumulating:
    """A gradient that is added to the buffer of the last call."""

    def __init__(self, gradient: Any) -> None:
        self._gradient = gradient
        self.restart()

    def restart(self) -> None:
        self._buffer: Any = 0.0

    def __call__(self, x: Any) -> Any:
        self._buffer = self._buffer + self._gradient(x)
        return self._buffer


def off_at(index: Any, size: float) -> Any:
    """Return what makes one entry too large by a part of itself."""

    def change(part):
        part = part.copy()
        part[index] *= 1 + size
        return part

    return change


def to_bfloat16(values):
    """Cut the significand to eight bits."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    return (bits & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.asarray(values).dtype)


def to_float16(values):
    return values.astype(np.float16).astype(values.dtype)


FACTORS = [
    wrong("missing 2", least_squares, draw(410, 4), lambda x: A.T @ (A @ x - TARGET), factor("2")),
    wrong(
        "a factor of 2 too many",
        least_squares,
        draw(411, 4),
        scaled(least_squares_gradient, 2),
        factor("2"),
    ),
    wrong(
        "sum for mean",
        cross_entropy,
        cross_entropy_weights(412),
        lambda p: cross_entropy_gradient(p, count=1),
        factor("16"),
    ),
    wrong(
        "log-determinant, half",
        log_determinant,
        draw(414, 5, 5),
        scaled(log_determinant_gradient, 0.5),
        factor("2"),
    ),
    wrong(
        "log of another base",
        lambda x: np.sum(np.log2(x)),
        np.abs(draw(415, 4)),
        lambda x: 1 / x,
        r"factor of 1\.44",
    ),
    wrong(
        "degrees for radians",
        lambda x: np.sum(np.sin(np.deg2rad(x))),
        100 * draw(416, 5),
        lambda x: np.cos(np.deg2rad(x)),
        r"factor of 57\.29",
    ),
    wrong(
        "22/7 for pi",
        lambda x: np.sum(np.pi * x**2),
        np.abs(draw(417, 4)),
        lambda x: 2 * (22 / 7) * x,
        r"factor of 1\.0004",
    ),
    wrong(
        "gravity of 9.8 for 9.81",
        lambda x: 9.81 * np.sum(x**2),
        draw(418, 4),
        lambda x: 9.8 * 2 * x,
        r"factor of 1\.001",
    ),
    wrong(
        "not divided by the batch",
        center_loss,
        draw(419, 8, 3),
        lambda x: x - CENTRES,
        factor("8"),
        report="jxgu1016/MNIST_center_loss_pytorch/issues/9",
    ),
    wrong(
        "ignored examples counted in the mean",
        smoothed_cross_entropy,
        draw(420, 16, 4),
        lambda x: smoothed_cross_entropy_gradient(x, count=16),
        r"factor of 1\.14",
        report="linkedin/Liger-Kernel/pull/198",
    ),
    wrong(
        "mean over a broadcast axis",
        row_added,
        {"table": draw(421, 5, 3), "row": draw(422, 3)},
        lambda p: row_added_gradient(p, lambda g: g.mean(axis=0)),
        factor("5") + "|" + AVERAGED,
        parameter="row",
        report="jimfleming/differentiation/issues/1",
    ),
    wrong(
        "one index filled twice",
        filled,
        {"x": draw(423, 5), "value": 0.7},
        lambda p: filled_gradient(p, is_counted_twice=True),
        parameter="value",
        report="pytorch/pytorch/issues/57006",
    ),
    wrong(
        "both arguments of a log-sum-exp credited in full",
        log_sum_exp,
        np.array([1e4, 1e4]),
        np.ones_like,
        factor("2"),
        report="stan-dev/math/issues/1679",
    ),
    wrong(
        "cross-entropy twice too large",
        lambda x: log_sum_exp(x) - x[2],
        draw(424, 5),
        lambda x: 2 * (softmax(x) - (np.arange(5) == 2)),
        factor("2"),
        report="deepjavalibrary/djl/issues/520",
    ),
    wrong(
        "a spectrum without its length",
        power_spectrum,
        draw(425, 16),
        lambda x: power_spectrum_gradient(x) / 16,
        factor("16"),
    ),
    wrong(
        "attention without its scale",
        attention,
        attention_inputs(426),
        lambda p: attention_gradient(p, scale=1.0),
        factor("2"),
        parameter="Q",
    ),
    wrong(
        "dropout without its scale",
        lambda x: 2 * np.sum(np.sin(x[::2])),
        draw(429, 8),
        lambda x: np.where(np.arange(8) % 2 == 0, np.cos(x), 0),
        factor("2"),
    ),
    wrong(
        "variance with one degree of freedom less",
        np.var,
        draw(430, 7),
        lambda x: 2 * (x - x.mean()) / 6,
        r"factor of (1\.16|7|6)",
    ),
    wrong(
        "clipped to a norm of one",
        least_squares,
        5 * draw(431, 4),
        clipped(least_squares_gradient),
        r"constant factor",
    ),
    wrong(
        "the incoming gradient ignored",
        lambda x: -2 * log_sum_exp(x),
        draw(432, 6),
        softmax,
        factor("2") + ".*sign|sign.*" + factor("2"),
        report="k2-fsa/k2/issues/341",
    ),
    wrong(
        "a slope of one and a half",
        lambda x: x * 1.0 if x <= 1 else 0.0,
        0.5,
        lambda x: 1.5,
        report="EnzymeAD/Enzyme.jl/issues/1595",
    ),
    wrong(
        "half of a Cholesky factor",
        upper_log_determinant,
        positive_definite(433, 4),
        lambda x: np.triu(np.linalg.inv(x)),
        report="pytorch/pytorch/issues/18825",
    ),
    wrong(
        "a row repeated, its gradient not",
        row_added,
        {"table": draw(434, 3, 4), "row": draw(435, 4)},
        lambda p: row_added_gradient(p, lambda g: g[0]),
        parameter="row",
        report="apache/tvm/pull/2465",
    ),
    wrong(
        "a logarithmic scale forgotten",
        logistic_density,
        np.array([0.2, 0.8]),
        lambda x: logistic_density_gradient(x, log_scale=False),
        index=(1,),
        report="alan-turing-institute/stat-fem/issues/35",
    ),
    wrong(
        "by the logarithm of the parameters",
        lambda x: np.sum(1 / (1 + x**2)),
        np.array([0.3, 1.7, 4.0, 9.0]),
        lambda x: -2 * x**2 / (1 + x**2) ** 2,
        report="scikit-learn/scikit-learn/issues/31366",
    ),
    wrong(
        "length scale squared for cubed",
        gaussian_process,
        {"length": 1.3, "scale": 0.8, "noise": 0.05},
        with_part(gaussian_process_gradient, "length", lambda g: g * 1.3),
        parameter="length",
        report="scikit-learn/scikit-learn/issues/11113",
    ),
]

SIGNS = [
    wrong("sign", least_squares, draw(440, 4), scaled(least_squares_gradient, -1), SIGN),
    wrong(
        "forces for a gradient",
        interaction_energy,
        PARTICLES,
        scaled(interaction_energy_gradient, -1),
        SIGN,
    ),
    wrong(
        "a subtrahend's sign",
        lambda p: np.sum((p["a"] - p["b"]) ** 3),
        {"a": draw(441, 4), "b": draw(442, 4)},
        lambda p: {"a": 3 * (p["a"] - p["b"]) ** 2, "b": 3 * (p["a"] - p["b"]) ** 2},
        SIGN,
        parameter="b",
        report="KhawajaAbaid/micrograd_c/issues/1",
    ),
    wrong(
        "the second factor's sign",
        lambda p: np.sum(np.sin(p["x"]) * p["y"]),
        {"x": draw(443, 4), "y": draw(444, 4)},
        lambda p: {"x": np.cos(p["x"]) * p["y"], "y": -np.sin(p["x"])},
        SIGN,
        parameter="y",
        report="jax-ml/jax/issues/3213",
    ),
    wrong(
        "a covariance's sign",
        normal_log_density,
        {"mean": draw(445, 4), "covariance": positive_definite(446, 4)},
        with_part(normal_log_density_gradient, "covariance", np.negative),
        SIGN,
        parameter="covariance",
        report="HIPS/autograd/pull/412",
    ),
    wrong(
        "an objective negated",
        gaussian_process,
        {"length": 0.9, "scale": 1.1, "noise": 0.1},
        lambda p: {name: -part for name, part in gaussian_process_gradient(p).items()},
        SIGN,
        report="SauersML/gam/issues/2491",
    ),
    wrong(
        "copysign without the sign of x",
        lambda x: np.sum(np.copysign(x, 3.0)),
        np.array([1.2, -0.4, 2.0, 0.3]),
        np.ones_like,
        index=(1,),
        report="chalk-lab/Mooncake.jl/issues/1195",
    ),
    wrong(
        "the sign of one term of a spline",
        spline,
        np.array([0.3, 1.1, 1.9]),
        lambda x: spline_gradient(x, sign=-1.0),
        report="idaholab/moose/pull/3453",
    ),
    wrong(
        "the sign of a penalty",
        absolute_penalty,
        draw(447, 4),
        lambda x: least_squares_gradient(x) - 0.3 * np.sign(x),
    ),
    wrong(
        "a quotient's denominator without its sign",
        lambda p: np.sum(p["a"] / p["b"]),
        {"a": draw(448, 4), "b": 2 + np.abs(draw(449, 4))},
        lambda p: {"a": 1 / p["b"], "b": p["a"] / p["b"] ** 2},
        SIGN,
        parameter="b",
    ),
    wrong(
        "the imaginary part not conjugated",
        lambda p: np.sum(np.abs(p["real"] + 1j * p["imaginary"]) ** 2),
        {"real": draw(450, 5), "imaginary": draw(451, 5)},
        lambda p: {"real": 2 * p["real"], "imaginary": -2 * p["imaginary"]},
        SIGN,
        parameter="imaginary",
        report="EnzymeAD/Reactant.jl/issues/2294",
    ),
    wrong(
        "sign under noise",
        WithNoise(452, lambda x, g: np.sum(np.sin(x)) + 1e-3 * g.normal()),
        draw(453, 4),
        lambda x: -np.cos(x),
        SIGN,
    ),
]

DETACHED = [
    wrong(
        "detached",
        network,
        network_weights(seed=460),
        with_part(network_gradient, "b1", np.zeros_like),
        ZERO,
        parameter="b1",
    ),
    wrong(
        "a cached intermediate dropped",
        lambda p: np.sum(-p["k"] * p["x"]),
        {"k": np.array([1.0]), "x": draw(463, 3)},
        lambda p: {"k": np.zeros(1), "x": -p["k"] * np.ones(3)},
        ZERO,
        parameter="k",
        report="EnzymeAD/Enzyme.jl/issues/1492",
    ),
    wrong(
        "what a written slice leaves",
        written_slice,
        {"base": draw(464, 5), "patch": draw(465, 2)},
        lambda p: {"base": np.zeros(5), "patch": np.arange(1.0, 3.0)},
        ZERO,
        parameter="base",
        report="pytorch/pytorch/issues/180771",
    ),
    wrong(
        "all of what a diagonal leaves",
        lambda p: np.sum((p["x"] * (1 - np.eye(4)) + np.diag(p["diagonal"])) ** 2),
        {"x": draw(466, 4, 4), "diagonal": draw(467, 4)},
        lambda p: {"x": np.zeros((4, 4)), "diagonal": 2 * p["diagonal"]},
        ZERO,
        parameter="x",
        report="pytorch/pytorch/issues/182012",
    ),
    wrong(
        "no path through the keys",
        attention,
        attention_inputs(468),
        with_part(attention_gradient, "K", np.zeros_like),
        ZERO,
        parameter="K",
    ),
    wrong(
        "a buffer that drops half",
        two_layers,
        draw(469, 5),
        lambda x: np.where(np.arange(5) < 3, two_layers_gradient(x), 0),
        report="SciML/SciMLSensitivity.jl/pull/549",
    ),
    wrong(
        "the first window alone",
        max_pool,
        draw(470, 12),
        pool_first_window_gradient,
        report="riccardoandreoni0/CNN-from-scratch/issues/1",
    ),
    wrong(
        "flushed to zero by float16",
        lambda x: 1e-9 * np.sum(np.sin(x)),
        draw(471, 6),
        lambda x: to_float16(1e-9 * np.cos(x)),
        ZERO + "|" + PRECISION,
    ),
    wrong(
        "the embedding's first row alone",
        embedded,
        draw(472, 5, 3),
        lambda t: embedded_gradient(t) * (np.arange(5) == 4)[:, None],
    ),
    wrong(
        "the recurrent weights",
        recurrent_network,
        recurrent_weights(473),
        with_part(recurrent_network_gradient, "W", np.zeros_like),
        ZERO,
        parameter="W",
    ),
]


def two_layers_gradient(x):
    inner = np.tanh(x)
    return (SQUARE.T @ (1 - np.tanh(SQUARE @ inner) ** 2)) * (1 - inner**2)


MISSING = [
    wrong(
        "missing regularisation",
        penalised,
        draw(480, 4),
        least_squares_gradient,
        r"proportional to x|penalty",
    ),
    wrong("missing term", lambda x: np.sum(np.sin(x) * x), draw(481, 5), np.sin),
    wrong(
        "missing derivative of tanh",
        network,
        network_weights(seed=482),
        lambda p: network_gradient(p, np.ones_like),
        parameter="W1",
    ),
    wrong(
        "tanh not squared",
        network,
        network_weights(seed=485),
        lambda p: network_gradient(p, lambda hidden: 1 - hidden),
        parameter="W1",
    ),
    wrong(
        "a loop's term",
        lambda x: np.sum(x**2 + x),
        draw(488, 5),
        twice,
        r"constant of 1",
        report="EnzymeAD/Enzyme.jl/issues/2387",
    ),
    wrong(
        "one of two uses",
        used_twice,
        draw(489, 4),
        lambda x: VECTOR * (1 - np.tanh(x) ** 2),
        report="apache/mxnet/issues/9497",
    ),
    wrong(
        "a residual's identity",
        lambda x: np.sum(x + np.tanh(x)),
        draw(490, 5),
        lambda x: 1 - np.tanh(x) ** 2,
        r"constant of 1",
    ),
    wrong(
        "one of two tied weights",
        tied,
        0.3 * draw(491, 3, 2),
        lambda x: tied_gradient(x, encoder=0.0),
    ),
    wrong(
        "no path through the mean",
        batch_norm,
        draw(492, 6, 3),
        lambda x: batch_norm_gradient(x, through_mean=0.0),
        report="pjreddie/darknet/issues/1723",
    ),
    wrong(
        "a mean counted twice",
        batch_norm,
        draw(493, 6, 3),
        lambda x: batch_norm_gradient(x, through_mean=2.0),
        report="apache/mxnet/issues/1053",
    ),
    wrong(
        "no path through the variance",
        batch_norm,
        draw(494, 6, 3),
        lambda x: batch_norm_gradient(x, through_variance=0.0),
    ),
    wrong(
        "mean not differentiated",
        layer_norm,
        draw(495, 4),
        lambda x: VECTOR / np.sqrt(np.var(x) + 1e-5),
    ),
    wrong(
        "statistics of the batch before",
        batch_norm,
        draw(496, 6, 3),
        lambda x: NORMED / np.sqrt(1.0 + 1e-5),
    ),
    wrong(
        "the inverse deviation inverted again",
        batch_norm,
        3 * draw(497, 6, 3),
        lambda x: batch_norm_gradient(x, inverse_of=lambda s: 1 / np.sqrt(s + 1e-5)),
        report="flagos-ai/FlagGems/issues/5222",
    ),
    wrong(
        "gelu without its cubic term",
        gelu,
        draw(498, 10),
        lambda x: gelu_gradient(x, lambda x: 1.0),
        report="ravin-d-27/PyDeepFlow/pull/89",
    ),
    wrong(
        "a swish without its product",
        lambda x: np.sum(x * sigmoid(x)),
        draw(499, 6),
        sigmoid,
        report="pytorch/pytorch/issues/110815",
    ),
    wrong(
        "softmax differentiated entry by entry",
        lambda x: softmax(x) @ np.arange(5.0),
        draw(500, 5),
        lambda x: np.arange(5.0) * softmax(x) * (1 - softmax(x)),
    ),
    wrong(
        "attention differentiated entry by entry",
        attention,
        attention_inputs(501),
        attention_without_mixing,
        parameter="Q",
    ),
    wrong(
        "no gradient through time",
        recurrent_network,
        recurrent_weights(504),
        lambda p: recurrent_network_gradient(p, is_recurrent=False),
        report="ooples/AiDotNet/pull/722",
    ),
    wrong(
        "the recurrence left out",
        recurrent_network,
        recurrent_weights(507),
        lambda p: (
            recurrent_network_gradient(p)
            | {"W": recurrent_network_gradient(p, is_recurrent=False)["W"]}
        ),
        parameter="W",
        report="qixianbiao/RNN/issues/2",
    ),
    wrong(
        "the last state's own contribution",
        lambda x: np.sum(np.cumsum(np.tanh(x))) + np.sum(x**2),
        draw(510, 6),
        lambda x: np.arange(6, 0, -1.0) * (1 - np.tanh(x) ** 2),
        r"proportional to x|penalty",
        report="deeplearning4j/deeplearning4j/issues/8838",
    ),
    wrong(
        "only the first of the counts",
        weighted_gamma,
        2.5,
        lambda x: special.digamma(1.0 + x) - special.digamma(x),
        report="stan-dev/math/issues/1662",
    ),
    wrong(
        "a prior hidden by parameters of one",
        lambda x: -np.sum((x[2:] - x[0]) ** 2) / (2 * x[1] ** 2),
        np.array([0.3, 2.0, 0.9, -0.5]),
        lambda x: np.array(
            [
                np.sum(x[2:] - x[0]),
                np.sum((x[2:] - x[0]) ** 2) / x[1] ** 3,
                *(-(x[2:] - x[0]) / x[1] ** 2),
            ]
        ),
        index=(0,),
        report="pints-team/pints/issues/1136",
    ),
    wrong(
        "weights outside of a fixed window",
        upsampled,
        draw(511, 3),
        lambda x: 2 * (np.where(UPSAMPLING > 0.35, UPSAMPLING, 0)).T @ (UPSAMPLING @ x),
        report="flagos-ai/FlagGems/issues/5218",
    ),
    wrong("epsilon dropped", layer_norm, draw(512, 4), lambda x: layer_norm_gradient(x, 0.0)),
    wrong(
        "epsilon of another size", layer_norm, draw(513, 4), lambda x: layer_norm_gradient(x, 2e-5)
    ),
    wrong(
        "epsilon left out of a norm",
        normalised,
        draw(514, 4),
        lambda x: normalised_gradient(x, 0.0),
        report="chainer/chainer/pull/4190",
    ),
    wrong(
        "a spurious term",
        lambda x: np.sum(np.cos(x)),
        draw(515, 5),
        lambda x: 1e-4 - np.sin(x),
        r"constant of -0\.0001",
        report="SauersML/gam/issues/2454",
    ),
    wrong(
        "labels not smoothed",
        smoothed_cross_entropy,
        draw(516, 16, 4),
        lambda x: smoothed_cross_entropy_gradient(x, smoothing=0.0),
    ),
    wrong(
        "ignored labels not ignored",
        smoothed_cross_entropy,
        draw(517, 16, 4),
        lambda x: smoothed_cross_entropy_gradient(x, ignored=()),
        report="PaddlePaddle/Paddle/pull/28622",
    ),
    wrong(
        "masked columns not masked",
        masked_softmax_entropy,
        draw(518, 6, 4),
        lambda x: (softmax(x) - (np.arange(4) == 0)) / 6,
    ),
    wrong("the ends of a trapezoid counted in full", trapezoid, draw(519, 8), np.exp),
    wrong(
        "a ring not closed",
        circulant,
        draw(520, 9),
        changed(circulant_gradient, 0, 0.5),
        index=(0,),
    ),
    wrong(
        "the solver's derivative without its denominator",
        kepler,
        {"mean": 0.8, "eccentricity": 0.6},
        with_part(kepler_gradient, "eccentricity", lambda g: g * (1 - 0.6 * np.cos(0.8))),
        parameter="eccentricity",
    ),
    wrong(
        "the exact solution's derivative, the step coarse",
        lambda x: runge_kutta(x, 5),
        np.array([2.5, 0.1]),
        logistic_growth_gradient,
    ),
    wrong(
        "a last step not differentiated",
        runge_kutta,
        np.array([1.3, 0.1]),
        lambda x: runge_kutta_gradient(x, differentiated=99),
    ),
    wrong(
        "truncated recurrence",
        recurrence,
        np.array([0.9, 0.1]),
        lambda x: recurrence_gradient(x) * [1, 0.999],
        index=(1,),
    ),
    wrong(
        "Rosenbrock without the last",
        rosenbrock,
        draw(521, 10),
        lambda x: rosenbrock_gradient(x) * (np.arange(10) < 9),
        index=(9,),
    ),
    wrong(
        "the approximation's derivative for large parameters",
        lambda x: np.sum(x * np.log(0.8 / 1.8)),
        np.array([1e10 + 1]),
        lambda x: np.array([-1.25]),
        report="stan-dev/math/issues/1578",
    ),
]

ARRANGED = [
    wrong(
        "transposed",
        lambda x: np.sum(SQUARE * x**2) + x[0, 1] ** 3,
        draw(530, 5, 5),
        lambda x: (
            2 * SQUARE.T * x.T + 3 * np.eye(5, k=-1) * (np.arange(5)[:, None] == 1) * x[0, 1] ** 2
        ),
        TRANSPOSED,
    ),
    wrong(
        "matrix product transposed",
        lambda x: np.sum((SQUARE @ x) ** 2),
        draw(531, 5, 5),
        lambda x: (2 * SQUARE.T @ SQUARE @ x).T,
        TRANSPOSED,
    ),
    wrong(
        "wrong shape, transposed", sum_of_squares, draw(532, 3, 4), lambda x: 2 * x.T, TRANSPOSED
    ),
    wrong(
        "an inverse's gradient transposed",
        trace_of_inverse,
        draw(533, 4, 4) + 3 * np.eye(4),
        lambda x: trace_of_inverse_gradient(x).T,
        TRANSPOSED,
    ),
    wrong(
        "a determinant's gradient transposed",
        np.linalg.det,
        draw(534, 4, 4),
        lambda x: np.linalg.det(x) * np.linalg.inv(x),
        TRANSPOSED,
    ),
    wrong(
        "memory read in another order",
        lambda x: np.sum(np.sin(x) * np.arange(12.0).reshape(3, 4)),
        draw(535, 3, 4),
        lambda x: (np.cos(x) * np.arange(12.0).reshape(3, 4)).T.reshape(3, 4),
        TRANSPOSED,
        report="torch/nn/pull/345",
    ),
    wrong(
        "an image's strides ignored",
        image_loss,
        draw(536, 4, 3),
        lambda x: (2 * x.T * np.arange(12.0).reshape(3, 4)).reshape(4, 3),
        TRANSPOSED,
        report="MrNeRF/optimized-fused-ssim/issues/1",
    ),
    wrong("flattened", sum_of_squares, draw(537, 3, 2), lambda x: 2 * x.ravel(), "reshape"),
    wrong(
        "off by one",
        lambda x: np.sum(np.diff(x) ** 3),
        draw(538, 8),
        lambda x: np.roll(
            np.concatenate([[0], 3 * np.diff(x) ** 2]) - np.concatenate([3 * np.diff(x) ** 2, [0]]),
            1,
        ),
        "off by one|shifted",
    ),
    wrong(
        "a sequence off by one",
        lambda x: np.sum(np.arange(1.0, 21.0) * x**2),
        draw(539, 20),
        lambda x: np.roll(2 * x * np.arange(1.0, 21.0), -1),
        "off by one|shifted",
        report="Theano/Theano/pull/166",
    ),
    wrong(
        "the state of the same step",
        recurrent_network,
        recurrent_weights(540),
        lambda p: (
            recurrent_network_gradient(p) | {"W": recurrent_network_gradient(p, offset=1)["W"]}
        ),
        parameter="W",
        report="VikParuchuri/zero_to_gpt/issues/9",
    ),
    wrong(
        "the first step's mask at every step",
        zoned_out,
        {"U": draw(543, 4, 3), "W": 0.5 * draw(544, 4, 4)},
        lambda p: zoned_out_gradient(p, masks=np.repeat(MASKS[:1], 7, axis=0)),
        report="lmnt-com/haste/issues/43",
    ),
    wrong(
        "a kernel not flipped",
        convolution,
        {"x": draw(545, 20), "k": draw(546, 5)},
        with_part(convolution_gradient, "k", lambda g: g[::-1]),
        "reverse",
        parameter="k",
    ),
    wrong(
        "blue for red",
        lambda x: np.sum(np.sin(x) * np.array([0.3, 0.6, 0.1, 0.9])),
        draw(547, 5, 4),
        lambda x: (np.cos(x) * np.array([0.3, 0.6, 0.1, 0.9]))[:, REVERSED],
        "reverse",
    ),
    wrong(
        "two buffers swapped",
        swiglu,
        {"gate": draw(548, 6), "value": draw(549, 6)},
        lambda p: {
            "gate": swiglu_gradient(p)["value"],
            "value": swiglu_gradient(p)["gate"],
        },
        r"swap|another parameter|of (gate|value)|belongs",
        report="unslothai/unsloth/issues/3314",
    ),
    wrong(
        "argsort for its inverse",
        lambda x: np.sort(x) @ np.arange(1.0, 10.0) ** 2,
        draw(550, 9),
        lambda x: (np.arange(1.0, 10.0) ** 2)[np.argsort(x)],
    ),
    wrong(
        "the smallest for the largest",
        np.max,
        draw(551, 5),
        lambda x: (np.arange(5) == np.argmin(x)) * 1.0,
    ),
    wrong(
        "the neighbour of the largest",
        np.max,
        draw(552, 6),
        lambda x: np.roll((np.arange(6) == np.argmax(x)) * 1.0, 1),
        "off by one|shifted",
    ),
    wrong(
        "labels off by one",
        cross_entropy,
        cross_entropy_weights(553),
        lambda p: {
            "W": DATA.T @ (softmax(DATA @ p["W"] + p["b"]) - np.eye(4)[(LABELS + 1) % 4]) / 16,
            "b": np.mean(softmax(DATA @ p["W"] + p["b"]) - np.eye(4)[(LABELS + 1) % 4], axis=0),
        },
    ),
    wrong(
        "rows and columns of a grid exchanged",
        lambda x: np.sum(np.sin(x) * (np.arange(4.0)[:, None] + 10 * np.arange(4.0))),
        draw(555, 4, 4),
        lambda x: np.cos(x) * (10 * np.arange(4.0)[:, None] + np.arange(4.0)),
    ),
]

INDEXED = [
    wrong(
        "duplicates overwritten",
        gathered,
        draw(560, 3),
        overwritten_gradient,
        OVERWRITTEN,
        report="pytorch/pytorch/issues/1528",
    ),
    wrong(
        "an embedding's repeated rows overwritten",
        embedded,
        draw(561, 5, 3),
        embedded_overwritten_gradient,
        OVERWRITTEN,
        report="pymc-devs/pytensor/pull/2242",
    ),
    wrong(
        "overlapping windows overwritten",
        max_pool,
        draw(562, 12),
        pool_overwritten_gradient,
        report="FluxML/NNlib.jl/issues/205",
    ),
    wrong(
        "overwritten entries credited",
        stitched,
        {"first": draw(563, 5), "second": draw(564, 5)},
        lambda p: stitched_gradient(p, is_overwritten=False),
        parameter="first",
        report="tensorflow/tensorflow/issues/7397",
    ),
    wrong(
        "what a scatter replaces still credited",
        filled,
        {"x": draw(565, 5), "value": 0.7},
        lambda p: filled_gradient(p, keeps=True),
        parameter="x",
        report="PaddlePaddle/Paddle/pull/30604",
    ),
    wrong(
        "every copy credited",
        lambda x: np.sum(np.arange(1.0, 6.0) * x[-1]),
        draw(566, 5, 5),
        lambda x: np.tile(np.arange(1.0, 6.0), (5, 1)),
        report="pytorch/pytorch/issues/473",
    ),
    wrong(
        "a cumulative product's zero",
        cumulative_products,
        np.array([2.0, 3.0, 0.0]),
        lambda x: np.array([4.0, 2.0, 0.0]),
        index=(2,),
        report="tensorflow/tensorflow/issues/119430",
    ),
    wrong(
        "a product by division",
        np.prod,
        np.array([0.0, 2.0, 3.0]),
        lambda x: np.prod(x) / x,
        index=(0,),
        report="tensorflow/tensorflow/issues/2641",
    ),
    wrong(
        "a cumulative product by division",
        cumulative_products,
        np.array([2.0, 0.0, 3.0, 1.5]),
        lambda x: np.cumsum(np.cumprod(x)[::-1])[::-1] / x,
        index=(1,),
        report="pymc-devs/pytensor/pull/1911",
    ),
    wrong(
        "a product within groups taken as a sum",
        product_by_group,
        draw(567, 5),
        np.ones_like,
        report="jax-ml/jax/issues/9296",
    ),
    wrong(
        "both branches of a where",
        lambda x: np.sum(np.where(x > 0, x**2, np.sin(x))),
        draw(568, 6),
        lambda x: 2 * x + np.cos(x),
        report="HIPS/autograd/issues/396",
    ),
    wrong(
        "what is never read",
        upper_log_determinant,
        positive_definite(569, 4),
        lambda x: 2 * np.linalg.inv(x) - np.diag(np.diag(np.linalg.inv(x))),
        report="jax-ml/jax/issues/40421",
    ),
    wrong(
        "the forward pass for the backward",
        lambda x: np.sum(0.5 * x**2 + 2 * x + 1),
        draw(570, 4),
        lambda x: 0.5 * x**2 + 2 * x + 1,
        report="apache/mxnet/issues/16938",
    ),
    wrong(
        "the inputs for the gradient",
        lambda p: np.sum((p["a"] - p["b"]) ** 2),
        {"a": draw(571, 4), "b": draw(572, 4)},
        lambda p: {"a": p["a"], "b": p["b"]},
        report="SciSharp/TensorFlow.NET/issues/787",
    ),
    wrong(
        "sine for cosine", sum_of_sines, draw(573, 5), np.sin, report="FluxML/Zygote.jl/pull/1176"
    ),
    wrong(
        "a cotangent changed in place",
        lambda x: 2 * np.sum(np.exp(x)),
        draw(574, 4),
        mutated_cotangent,
        report="JuliaDiff/ChainRules.jl/issues/512",
    ),
    wrong(
        "the wrong axis summed",
        broadcast_scale,
        {"scale": draw(575, 3, 1), "shift": draw(576, 3)},
        lambda p: broadcast_scale_gradient(p, axis=0),
        parameter="scale",
        report="HomericIntelligence/Odyssey/pull/2080",
    ),
    wrong(
        "a broadcast row not reduced",
        row_added,
        {"table": draw(577, 3, 4), "row": draw(578, 1, 4)},
        lambda p: row_added_gradient(p, lambda g: g),
        NOT_SUMMED,
        parameter="row",
        report="deeplearning4j/nd4j/issues/2424",
    ),
    wrong(
        "broadcast axis not summed",
        cross_entropy,
        cross_entropy_weights(579),
        lambda p: cross_entropy_gradient(p, axis=()),
        NOT_SUMMED,
        parameter="b",
    ),
    wrong(
        "a scalar's gradient with the shape of what it scales",
        lambda p: np.sum(p["v"] * DATA[:, 0]),
        {"v": np.array(0.7)},
        lambda p: {"v": DATA[:, 0]},
        NOT_SUMMED,
        report="raskr/rust-autograd/issues/38",
    ),
    wrong(
        "an axis too many summed",
        lambda x: np.sum(np.sin(x)),
        draw(581, 3, 4),
        lambda x: np.cos(x).sum(axis=0),
        r"axis too many|broadcast",
    ),
    wrong(
        "the relu's own output for its input",
        relu_network,
        network_weights(seed=582),
        lambda p: (
            relu_network_gradient(p)
            | {"W1": DATA.T @ (np.maximum(0, DATA @ p["W1"] + p["b1"]) @ p["W2"] @ p["W2"].T / 16)}
        ),
        parameter="W1",
    ),
    wrong(
        "a leak not differentiated",
        lambda x: np.sum(np.where(x > 0, x, 0.01 * x)),
        np.array([1.0, -2.0, 0.5, -0.1]),
        lambda x: (x > 0) * 1.0,
    ),
    wrong(
        "a scale wrong along an axis",
        sum_of_sines,
        draw(585, 6, 4),
        lambda x: np.cos(x) * np.array([1, 2, 3, 4]),
        "along axis 1",
    ),
    wrong("wrong power", lambda x: np.sum(x**3), draw(586, 4), lambda x: 3 * x**3),
    wrong(
        "a kernel's distances not squared",
        gaussian_process,
        {"length": 1.3, "scale": 0.8, "noise": 0.05},
        with_part(
            gaussian_process_gradient,
            "length",
            lambda g: g * np.sqrt(np.mean(DISTANCES)) / np.mean(DISTANCES),
        ),
        parameter="length",
    ),
]

COMPLEX = [
    wrong(
        "complex conjugated",
        lambda z: np.sum(np.abs(z) ** 2),
        draw(590, 3) + 1j * draw(591, 3),
        lambda z: 2 * z,
        CONJUGATE,
        report="jax-ml/jax/issues/9110",
    ),
    wrong(
        "a complex norm not conjugated",
        np.linalg.norm,
        draw(592, 4) + 1j * draw(593, 4),
        lambda z: z / np.linalg.norm(z),
        CONJUGATE,
        report="HIPS/autograd/pull/705",
    ),
    wrong(
        "an analytic function conjugated",
        lambda z: np.sum((z**3).real),
        draw(594, 3) + 1j * draw(595, 3),
        lambda z: 3 * np.conj(z) ** 2,
        CONJUGATE,
        report="pytorch/pytorch/issues/60180",
    ),
    wrong(
        "the imaginary part left out",
        lambda z: np.sum(np.abs(z) ** 2),
        draw(596, 3) + 1j * draw(597, 3),
        lambda z: 2 * z.real + 0j,
    ),
    wrong("complex for real", sum_of_squares, draw(598, 3), lambda x: 2 * x + 0j, "real part"),
]

PRECISIONS = [
    wrong(
        "dtype lost to float16",
        sum_of_sines,
        draw(600, 6),
        lambda x: to_float16(np.cos(x)),
        PRECISION,
    ),
    wrong(
        "dtype lost to float16, float32",
        sum_of_sines,
        draw(601, 6).astype("f4"),
        lambda x: to_float16(np.cos(x)),
        PRECISION,
    ),
    wrong(
        "dtype lost to bfloat16",
        sum_of_sines,
        draw(602, 6),
        lambda x: to_bfloat16(np.cos(x)),
        PRECISION,
        report="linkedin/Liger-Kernel/pull/1253",
    ),
    wrong(
        "dtype lost to bfloat16, float32",
        sum_of_sines,
        draw(603, 6).astype("f4"),
        lambda x: to_bfloat16(np.cos(x)),
        PRECISION,
    ),
    wrong(
        "added up in float16",
        looked_up_often,
        draw(604, 8).astype(np.float32),
        added_in_half_precision,
        report="apache/mxnet/issues/17703",
    ),
    wrong(
        "activations kept in float16",
        network,
        network_weights(seed=605),
        lambda p: network_gradient(p, lambda hidden: to_float16(1 - hidden**2)),
        parameter="W1",
    ),
    wrong(
        "overflow of float16",
        lambda x: np.sum(x**2),
        np.array([1.0, 5e4, 2.0]),
        lambda x: to_float16(2 * x),
        index=(1,),
    ),
    wrong("integers", sum_of_squares, draw(608, 3), lambda x: (2 * x).astype(int), "truncate"),
    wrong(
        "an integer division",
        lambda x: np.sum(x**3) / 6,
        draw(609, 4),
        lambda x: (1 // 2) * x**2 + 0.0,
        ZERO,
    ),
    wrong(
        "a byte's overflow",
        lambda x: np.sum(300 * x),
        draw(610, 4),
        lambda x: np.full(4, float(np.array(300).astype(np.uint8))),
        r"factor of 6\.818",
    ),
    wrong(
        "single precision inside, 1 %",
        in_single_precision,
        1 + 0.1 * draw(611, 6),
        lambda x: 1.01 * np.cos(x),
        r"factor of 1\.01",
    ),
]

STATE = [
    wrong("stale cache", STALE, draw(620, 5), STALE.gradient, "stale"),
    wrong(
        "a gradient not zeroed", sum_of_sines, draw(621, 5), Accumulating(np.cos), also=("noisy",)
    ),
    wrong("None", sum_of_squares, draw(622, 3), lambda x: None, "return"),
    wrong(
        "None inside",
        lambda p: p["a"] ** 2 * p["b"],
        {"a": 1.5, "b": 2.0},
        lambda p: {"a": 2 * p["a"] * p["b"], "b": None},
        "return",
        parameter="b",
        report="cornellius-gp/gpytorch/issues/1543",
    ),
    wrong(
        "a missing key",
        lambda p: p["a"] ** 2 * p["b"],
        {"a": 1.5, "b": 2.0},
        lambda p: {"a": 2 * p["a"] * p["b"]},
        "structure",
        parameter="b",
    ),
    wrong(
        "another structure",
        lambda p: p["a"] ** 2,
        {"a": 1.5},
        lambda p: [2 * p["a"]],
        "structure",
        parameter="a",
    ),
    wrong("NaN", sum_of_squares, draw(623, 5), changed(twice, 3, np.nan), index=(3,)),
    wrong(
        "NaN where f is smooth",
        lambda x: np.sum(np.where(x > 0, np.log1p(np.abs(x)), 0 * x)),
        np.array([-1.0, 2.0]),
        lambda x: np.array([np.nan, 1 / 3]),
        index=(0,),
    ),
    wrong("infinite", sum_of_squares, draw(624, 5), changed(twice, 2, np.inf), index=(2,)),
    wrong(
        "NaN from a masked exponential",
        lambda x: np.sum(np.exp(np.where(x < 50, x, 0.0)) * (x < 50)),
        np.array([1.0, 2.0, 1e3]),
        lambda x: np.where(x < 50, np.exp(np.minimum(x, 50)), np.nan),
        index=(2,),
        report="jax-ml/jax/issues/17117",
    ),
]

TINY = [
    wrong(
        "a wrong tiny parameter",
        lambda p: 1e3 * np.sum(p["a"] ** 2) + 1e-8 * np.sum(np.sin(p["b"])),
        {"a": draw(630, 4), "b": draw(631, 4)},
        lambda p: {"a": 2e3 * p["a"], "b": 2e-8 * np.cos(p["b"])},
        factor("2"),
        parameter="b",
    ),
    wrong(
        "a wrong tiny entry",
        lambda x: np.sum(x[:4] ** 2) + 1e-8 * np.sum(np.sin(x[4:])),
        draw(632, 8),
        lambda x: np.concatenate([2 * x[:4], 1.1e-8 * np.cos(x[4:])]),
    ),
    wrong(
        "tiny everywhere, doubled",
        lambda x: 1e-12 * np.sum(x**2),
        draw(633, 3),
        lambda x: 4e-12 * x,
        factor("2"),
    ),
    wrong(
        "doubled beside a constant",
        lambda x: 1e6 + np.sum(x**2),
        draw(634, 3),
        lambda x: 4 * x,
        factor("2"),
    ),
    wrong(
        "doubled at a time stamp",
        sum_of_sines,
        1.7e9 + draw(635, 3),
        lambda x: 2 * np.cos(x),
        factor("2"),
    ),
    wrong(
        "a missing term between scales",
        lambda p: np.sum(np.tanh(p["small"] * p["large"])),
        {"small": 1e-6 * draw(636, 5), "large": 1e6 * draw(637, 5)},
        lambda p: {
            "small": p["large"] / np.cosh(p["small"] * p["large"]) ** 2,
            "large": p["small"],
        },
        parameter="large",
    ),
    wrong(
        "one wrong entry of 10,000",
        sum_of_sines,
        draw(638, 100, 100),
        changed(np.cos, (31, 7), 1.01),
        index=(31, 7),
    ),
    wrong(
        "one entry of 10,000, by a thousandth",
        sum_of_sines,
        draw(639, 100, 100),
        changed(np.cos, (88, 12), 1.001),
        index=(88, 12),
    ),
    wrong(
        "one wrong entry of 100,000",
        sum_of_sines,
        MANY,
        changed(np.cos, 77_777, -1.0),
        index=(77_777,),
    ),
    wrong(
        "one entry of 100,000, by a hundredth",
        sum_of_sines,
        MANY,
        changed(np.cos, 12_345, 1.01),
        index=(12_345,),
    ),
    wrong(
        "one wrong entry, float32",
        sum_of_sines,
        draw(640, 10_000).astype(np.float32),
        changed(np.cos, 1234, 1.01),
        index=(1234,),
    ),
    wrong(
        "one wrong entry of a million",
        sum_of_sines,
        draw(641, 1_000_000),
        changed(np.cos, 654_321, -1.0),
        index=(654_321,),
        is_heavy=True,
    ),
    wrong(
        "one entry of 100, by a hundred-thousandth",
        sum_of_sines,
        draw(642, 100),
        changed(np.cos, 57, 1 + 1e-5),
        index=(57,),
    ),
    wrong(
        "errors that cancel in the sum",
        sum_of_sines,
        draw(643, 1000),
        lambda x: np.cos(x) + 1e-3 * (-1.0) ** np.arange(1000),
    ),
    wrong(
        "errors that cancel along x",
        sum_of_sines,
        np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
        lambda x: np.cos(x) + 1e-3 * np.array([5.0, 0, 0, 0, -1.0]),
    ),
    wrong(
        "two neighbours exchanged",
        lambda x: np.sum(np.arange(50.0) * np.sin(x)),
        draw(644, 50),
        lambda x: (np.arange(50.0) * np.cos(x))[np.r_[np.arange(20), 21, 20, np.arange(22, 50)]],
    ),
    wrong(
        "a tiny parameter, wrong by a hundredth",
        lambda p: 1e3 * np.sum(p["a"] ** 2) + 1e-8 * np.sum(np.sin(p["b"])),
        {"a": draw(670, 4), "b": draw(671, 4)},
        lambda p: {"a": 2e3 * p["a"], "b": 1.01e-8 * np.cos(p["b"])},
        r"factor of 1\.01",
        parameter="b",
    ),
    wrong(
        "solving with a Hilbert matrix, wrong by a hundredth",
        lambda x: np.sum(np.linalg.solve(hilbert(6), x)),
        draw(672, 6),
        lambda x: 1.01 * np.linalg.solve(hilbert(6).T, np.ones(6)),
        r"factor of 1\.01",
    ),
    wrong(
        "an imaginary part off by a part in 10000",
        lambda z: np.sum(np.abs(z) ** 2),
        draw(673, 3) + 1j * draw(674, 3),
        lambda z: 2 * z.real - 2.0002j * z.imag,
    ),
    wrong(
        "a part in 10000 under noise of 1e-10",
        WithNoise(675, lambda x, g: np.sum(np.sin(x)) + 1e-10 * g.normal()),
        draw(676, 4),
        lambda x: 1.0001 * np.cos(x),
        r"factor of 1\.0001",
    ),
    wrong(
        "a minimum claimed where there is none",
        least_squares,
        np.linalg.lstsq(A, TARGET, rcond=None)[0] + 1e-6,
        np.zeros_like,
        ZERO,
    ),
    wrong(
        "wrong beside exact zeros",
        lambda x: np.sum(x[::2] ** 2),
        draw(645, 9),
        lambda x: np.where(np.arange(9) == 4, 2.02, 2.0) * np.where(np.arange(9) % 2 == 0, x, 0),
        index=(4,),
    ),
    wrong(
        "something where there is nothing",
        lambda x: np.sum(x[::2] ** 2),
        draw(646, 9),
        lambda x: np.where(np.arange(9) % 2 == 0, 2 * x, np.where(np.arange(9) == 3, 1e-3, 0)),
        index=(3,),
    ),
    wrong(
        "a slope where f is constant",
        lambda x: 3.0 + 0 * np.sum(x),
        draw(647, 3),
        lambda x: np.full(3, 1e-6),
    ),
    wrong(
        "float32, 1e-4",
        sum_of_sines,
        draw(648, 6).astype("f4"),
        lambda x: np.cos(x) * np.float32(1.0001),
        r"factor of 1\.0001",
    ),
    wrong(
        "float32, 1e-3, a long sum",
        sum_of_sines,
        MANY.astype(np.float32),
        lambda x: np.cos(x) * np.float32(1.001),
        r"factor of 1\.001",
    ),
    *(
        wrong(
            f"{name}, doubled, float16 inside",
            in_half(f),
            x.astype(np.float16),
            lambda x, gradient=gradient: 2 * in_half(gradient)(x),
            factor("2"),
        )
        for name, f, x, gradient in HALVES
    ),
    *(
        wrong(
            f"{name}, sign flipped, float16 inside",
            in_half(f),
            x.astype(np.float16),
            lambda x, gradient=gradient: -in_half(gradient)(x),
            "sign",
        )
        for name, f, x, gradient in HALVES
    ),
    wrong(
        "float16, 5 %",
        lambda x: np.sum(x * x),
        draw(649, 6).astype(np.float16),
        lambda x: np.float16(2.1) * x,
        r"factor of 1\.0(5|49)",
    ),
    wrong(
        "oscillation, 1 %",
        lambda x: np.sum(np.sin(1e3 * x)),
        draw(650, 4),
        lambda x: 1.01e3 * np.cos(1e3 * x),
        r"factor of 1\.01",
    ),
    wrong(
        "at a domain's edge, 1 %",
        lambda x: np.sum(np.log(x)),
        np.array([1e-9, 1e-3, 1, 1e6]),
        lambda x: 1.01 / x,
        r"factor of 1\.01",
    ),
    wrong(
        "quantised, straight through",
        lambda x: np.sum(np.round(x)),
        np.array([1.3, 2.6, -0.8]),
        np.ones_like,
    ),
    wrong(
        "outside of a kink's slopes",
        lambda x: np.sum(np.abs(x)),
        np.array([0.0, 1.0]),
        lambda x: np.array([2.0, 1.0]),
        index=(0,),
    ),
    wrong(
        "wrong beside a kink",
        lambda x: np.sum(np.abs(x)) + np.sum(x**2),
        np.r_[0.0, draw(651, 40)],
        lambda x: np.sign(x) + x,
    ),
    wrong(
        "a millionth from a kink",
        lambda x: np.sum(np.abs(x)),
        np.array([1e-6, 2.0, -1.0]),
        lambda x: np.array([0.5, 1.0, -1.0]),
        index=(0,),
    ),
    wrong(
        "doubled under noise of 1e-6",
        WithNoise(652, lambda x, g: np.sum(np.sin(x)) + 1e-6 * g.normal()),
        draw(653, 4),
        lambda x: 2 * np.cos(x),
        factor("2"),
    ),
    *(
        wrong(
            f"off by a part in {round(1 / size)}",
            least_squares,
            draw(654, 4),
            scaled(least_squares_gradient, 1 + size),
            "constant factor",
        )
        for size in (1e-5, 1e-4, 1e-3)
    ),
    *(
        wrong(
            f"one weight off by a part in {round(1 / size)}",
            network,
            network_weights(seed=655),
            with_part(network_gradient, "W1", off_at((2, 3), size)),
            parameter="W1",
            index=(2, 3),
        )
        for size in (1e-5, 1e-4, 1e-3)
    ),
    *(
        wrong(
            f"one bias off by a part in {round(1 / size)}",
            network,
            network_weights(seed=658),
            with_part(network_gradient, "b1", off_at(3, size)),
            parameter="b1",
            index=(3,),
        )
        for size in (1e-5, 1e-4, 1e-3)
    ),
    *(
        wrong(
            f"{name}, off by a part in 100000", f, x, scaled(gradient, 1 + 1e-5), "constant factor"
        )
        for name, f, x, gradient in (
            ("Rosenbrock", rosenbrock, draw(661, 10), rosenbrock_gradient),
            ("layer norm", layer_norm, draw(662, 4), layer_norm_gradient),
            ("log-sum-exp", log_sum_exp, 10 * draw(663, 8), softmax),
            ("particles", interaction_energy, PARTICLES, interaction_energy_gradient),
            ("log-determinant", log_determinant, draw(664, 5, 5), log_determinant_gradient),
            ("power spectrum", power_spectrum, draw(665, 16), power_spectrum_gradient),
            ("recurrence", recurrence, np.array([0.9, 0.1]), recurrence_gradient),
        )
    ),
]

WRONG = [
    *FACTORS,
    *SIGNS,
    *DETACHED,
    *MISSING,
    *ARRANGED,
    *INDEXED,
    *COMPLEX,
    *PRECISIONS,
    *STATE,
    *TINY,
]
