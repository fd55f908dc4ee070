import numpy as np
import pytest

from steepest.check.diagnosis import Evidence, diagnose
from steepest.numeric.evaluate import Parameter

EXACT = np.random.default_rng(2).normal(size=(5, 4))
SQUARE = np.random.default_rng(3).normal(size=(4, 4))
X = np.random.default_rng(4).normal(size=(5, 4))


def diagnosis(analytic, exact=EXACT, noise=0.0, lengths=None):
    generator = np.random.default_rng(0)
    x = X[: exact.shape[0], : exact.shape[1]]
    coordinates = np.sort(generator.choice(exact.size, 16, replace=False))
    numerical = exact.reshape(-1)[coordinates]
    numerical = numerical + noise * generator.uniform(-1, 1, 16)
    return diagnose(
        Evidence(
            Parameter.from_leaf(0, "W", x),
            np.asarray(analytic, float).reshape(-1),
            coordinates,
            numerical,
            np.full(16, 1e-9 + noise),
            lengths or {},
        )
    )


@pytest.mark.parametrize(
    ("analytic", "words"),
    [
        (-EXACT, "sign"),
        (2 * EXACT, "too large by a constant factor of 2"),
        (EXACT / 2, "too small by a constant factor of 2"),
        (-EXACT / 3, "flipped"),
        (EXACT * 1.7, "factor of 1.7"),
        (0 * EXACT, "zero everywhere"),
        (EXACT * [1, 2, 3, 4], "along axis 1"),
        (np.roll(EXACT, 1, axis=0), "off by one"),
        (EXACT[::-1], "reverse order along axis 0"),
        (EXACT - 0.3 * X, "proportional to W"),
        (EXACT + 2, "constant of -2"),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_mistakes_are_recognised(analytic, words, noise):
    assert words in diagnosis(analytic, noise=noise)


def test_transposed():
    assert "transposed" in diagnosis(SQUARE.T, SQUARE)


def test_a_length_of_the_problem_is_named():
    assert "axis 0 of data" in diagnosis(64 * EXACT, lengths={64: "the length of axis 0 of data"})


@pytest.mark.parametrize(
    "analytic",
    [
        EXACT**2,
        np.random.default_rng(9).normal(size=EXACT.shape),
        EXACT * np.random.default_rng(9).uniform(1, 1.2, size=EXACT.shape),
        -EXACT * 1.02 + 0.05 * EXACT**3,
    ],
)
def test_no_pattern_is_invented(analytic):
    assert diagnosis(analytic) == ""


def test_noise_as_large_as_the_discrepancy_explains_nothing():
    assert diagnosis(1.001 * EXACT, noise=1e-2) == ""
