"""What is taken for the rounding error of a function that has no higher precision."""

import numpy as np
import pytest

from steepest.numeric.directions import scales_by_entry
from steepest.numeric.evaluate import Function
from steepest.numeric.noise import Noise

X = np.random.default_rng(5).normal(size=(20, 20))


def in_single_precision(x):
    return float(np.sum(np.sin(x.astype(np.float32))))


def sampled(f, x, seed=0):
    function = Function(f, x)
    assert function.higher is None
    noise = Noise(function)
    parameter = function.parameters[0]
    direction = np.random.default_rng(seed).normal(size=parameter.size)
    noise.sample(parameter, direction * scales_by_entry(parameter))
    return float(noise.level(function.working))


def measured(f, exact, x):
    """Return the standard deviation of f's error near x, from what is exact."""
    generator = np.random.default_rng(1)
    points = [x * (1 + 1e-7 * generator.normal(size=x.shape)) for _ in range(200)]
    return float(np.std([f(point) - exact(point) for point in points]))


@pytest.mark.parametrize("seed", range(20))
def test_single_precision_inside_is_seen(seed):
    deviation = measured(in_single_precision, lambda x: np.sum(np.sin(x)), X)
    assert deviation <= sampled(in_single_precision, X, seed) <= 100 * deviation


@pytest.mark.parametrize("seed", range(20))
def test_rounding_of_a_factorisation_is_seen(seed):
    # Expanded by the first row, of which it is a linear function.
    cofactors = np.linalg.det(X) * np.linalg.inv(X).T[0]

    def first_row(row):
        return np.linalg.det(np.vstack([row, X[1:]]))

    deviation = measured(first_row, lambda row: row @ cofactors, X[0])
    assert deviation / 2 <= sampled(first_row, X[0], seed) <= 100 * deviation


@pytest.mark.parametrize("x", [np.array([0.0, 2.0]), np.array([1e-6, 2.0])])
def test_a_step_or_kink_is_no_noise(x):
    assert sampled(lambda x: float(np.sum(np.abs(x)) + (x[0] >= 0)), x) < 1e-13


def test_the_function_itself_is_no_noise():
    x = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-7]])
    # Singular at a distance of 1e-7: rounding of the determinant is 1e-9 of it.
    assert sampled(lambda x: np.linalg.slogdet(x)[1], x) < 1e-6


def test_chance_behind_two_equal_values_is_seen():
    generator = np.random.default_rng(0)
    draws = iter([1.0, 1.0, 1.0, *generator.integers(0, 2, 100)])
    function = Function(lambda x: np.sum(x**2) * (1 + next(draws)), np.array([1.0, 2.0]))
    noise = Noise(function)
    assert not noise.is_random
    parameter = function.parameters[0]
    noise.observe(parameter, np.array([0.5, 1.0]), 2.0**-9)
    assert noise.is_random
