"""The gradient check where rounding cannot be seen in a higher precision, and where entries tie."""

import numpy as np
import pytest

from steepest import check_gradient

SEEDS = range(6)


def drawn(seed, dtype):
    generator = np.random.default_rng(seed)
    weights = {
        "W": generator.uniform(-0.5, 0.5, (2, 4)).astype(dtype),
        "b": generator.uniform(-0.5, 0.5, 2).astype(dtype),
    }
    return weights, generator.normal(size=(5, 4)), generator.normal(size=(5, 2))


def no_extended(p):
    """Refuse extended precision, as LAPACK and other libraries do."""
    if p["W"].dtype == np.longdouble:
        raise TypeError("no extended precision")
    return p["W"].dtype


def linear(data, weight):
    def f(p):
        dtype = no_extended(p)
        return np.sum(weight.astype(dtype) * (data.astype(dtype) @ p["W"].T + p["b"]))

    def gradient(p):
        dtype = no_extended(p)
        return {
            "W": weight.astype(dtype).T @ data.astype(dtype),
            "b": weight.astype(dtype).sum(0),
        }

    return f, gradient


def normalised(data, weight):
    """A bias before batch normalisation: its gradient is zero but for rounding."""

    def parts(p):
        dtype = no_extended(p)
        z = data.astype(dtype) @ p["W"].T + p["b"]
        centred = z - z.mean(0)
        scale = 1 / np.sqrt((centred**2).mean(0) + dtype.type(1e-5))
        return centred * scale, scale, weight.astype(dtype)

    def f(p):
        normal, _, w = parts(p)
        return np.sum(w * normal)

    def gradient(p):
        normal, scale, w = parts(p)
        back = scale * (w - w.mean(0) - normal * (w * normal).mean(0))
        return {"W": back.T @ data.astype(back.dtype), "b": back.sum(0)}

    return f, gradient


def with_a_large_constant(data, weight):
    f, gradient = linear(data, weight)
    return lambda p: f(p) + p["W"].dtype.type(1e4), gradient


def cancelling(data, weight):
    def f(p):
        thousand = no_extended(p).type(1000)
        return np.sum(p["W"] * thousand) - np.sum(p["W"].T * thousand) + np.sum(p["b"])

    return f, lambda p: {"W": np.zeros_like(p["W"]), "b": np.ones_like(p["b"])}


def single_inside(data, weight):
    """Compute in single precision, whatever the argument, and return a Python float."""
    data, weight = data.astype(np.float32), weight.astype(np.float32)

    def f(p):
        no_extended(p)
        z = data @ p["W"].astype(np.float32).T + p["b"].astype(np.float32)
        return float(np.sum(weight * z))

    def gradient(p):
        return {"W": (weight.T @ data).astype(p["W"].dtype), "b": weight.sum(0, p["b"].dtype)}

    return f, gradient


FUNCTIONS = [linear, normalised, with_a_large_constant, cancelling, single_inside]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("make", FUNCTIONS, ids=lambda make: make.__name__)
def test_linear_and_constant_functions_raise_no_alarm(make, dtype, seed):
    weights, data, weight = drawn(seed, dtype)
    report = check_gradient(*_about(make, data, weight, weights), seed=seed)
    assert report.verdict == "correct", str(report)


def _about(make, data, weight, weights):
    f, gradient = make(data, weight)
    return f, weights, gradient


@pytest.mark.parametrize("seed", SEEDS)
def test_errors_of_1e_5_are_seen_in_functions_that_compute_in_single_precision(seed):
    weights, data, weight = drawn(seed, np.float64)
    f, gradient = single_inside(data, weight)

    def wrong(p):
        result = gradient(p)
        return result | {"W": result["W"] * 1.00003}

    report = check_gradient(f, weights, wrong, seed=seed)
    assert report.verdict == "wrong", str(report)


HALF = {
    "sum": (lambda x: np.sum(x * np.float16(0.75)), lambda x: np.full_like(x, 0.75)),
    "squares": (lambda x: np.sum(x * x), lambda x: 2 * x),
    "exp": (lambda x: np.sum(np.exp(-x)), lambda x: -np.exp(-x)),
    "tanh": (lambda x: np.sum(np.tanh(x) ** 2), lambda x: 2 * np.tanh(x) * (1 - np.tanh(x) ** 2)),
    "constant": (lambda x: np.sum(x - x) + np.float16(3), lambda x: 0 * x),
}


def only_half(function):
    def guarded(x):
        if x.dtype != np.float16:
            raise TypeError("half precision only")
        return function(x)

    return guarded


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", HALF)
def test_half_precision_alone(name, seed):
    f, gradient = map(only_half, HALF[name])
    x = np.random.default_rng(seed).uniform(0.5, 2, 5).astype(np.float16)
    right = check_gradient(f, x, gradient, seed=seed)
    assert right.verdict in ("correct", "undecided"), str(right)
    if name in ("sum", "constant"):
        assert right.verdict == "correct", str(right)
    if name != "constant":
        doubled = check_gradient(f, x, lambda x: 2 * gradient(x), seed=seed)
        assert doubled.verdict in ("wrong", "undecided"), str(doubled)


TIED = np.array([4.0, 2.0, 2.0, 1.0, 2.0])


def median(x):
    return np.sort(x)[2]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("gradient", "verdict"),
    [
        ([0, 0, 1, 0, 0], "kink"),
        ([0, 0.5, 0, 0, 0.5], "kink"),
        # No slope of the median, beside x or anywhere.
        ([0, 0, 3, 0, 0], "wrong"),
        ([0.5, 0, 1, 0, 0], "wrong"),
    ],
    ids=["one of the tied", "their mean", "too large", "another entry"],
)
def test_entries_that_are_tied(gradient, verdict, seed):
    report = check_gradient(median, TIED, lambda x: np.array(gradient, dtype=float), seed=seed)
    assert report.verdict == verdict, str(report)


def test_curvature_beside_a_minimum_is_no_tie():
    x = np.array([1e-6, -2e-6, 1e-6]) + 1
    assert check_gradient(lambda x: np.sum((x - 1) ** 2), x, np.zeros_like).verdict == "wrong"


def test_slopes_at_a_kink_are_those_beside_x():
    report = check_gradient(lambda x: np.abs(x % 2 - 1), 3.0, lambda x: 0.0)
    assert report.verdict == "kink"
    assert "its slope is -1 on the left and 1 on the right" in str(report)
