import functools

import numpy as np
import pytest

from steepest.check.diagnosis import Evidence, diagnose
from steepest.check.evidence import arrays_read_by
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


# -- more entries can be asked for ------------------------------------------------------------


def asked(analytic, exact, *, x=X, known=6, others=(), arrays=None, lengths=None):
    """Diagnose with few entries known, and the means to measure more."""
    generator = np.random.default_rng(1)
    true = np.asarray(exact, float).reshape(-1)
    parameter = Parameter.from_leaf(0, "W", np.reshape(x, np.shape(exact)))

    def measure(coordinates):
        return true[coordinates], np.full(coordinates.size, 1e-10)

    wrong = np.flatnonzero(np.asarray(analytic).reshape(-1) != true)
    coordinates = np.union1d(generator.choice(true.size, known, replace=False), wrong[:1])
    return diagnose(
        Evidence(
            parameter,
            np.asarray(analytic, float).reshape(-1),
            coordinates,
            true[coordinates],
            np.full(coordinates.size, 1e-10),
            lengths or {},
            measure,
            dict(others),
            arrays or {},
        )
    )


def where(mask, wrong, right=EXACT):
    return np.where(mask, wrong, right)


ROWS, COLUMNS = np.indices(EXACT.shape)


@pytest.mark.parametrize(
    ("analytic", "words"),
    [
        (np.broadcast_to(EXACT.mean(0), EXACT.shape), "along axis 0, the mean"),
        (np.broadcast_to(EXACT.sum(1, keepdims=True), EXACT.shape), "along axis 1, the sum"),
        (np.broadcast_to(EXACT[-1], EXACT.shape), "along axis 0, the last entry"),
        (np.clip(EXACT, -0.5, 0.5), "clipped at -0.5 and 0.5"),
        (np.abs(EXACT), "sign is lost"),
        (EXACT.astype(np.float16), "precision of float16"),
        (EXACT.astype(np.float32), "precision of float32"),
        (EXACT / np.linalg.norm(EXACT), "clipped or normalised"),
        (EXACT[[2, 0, 1, 4, 3]], "permuted"),
        (np.vstack([np.zeros(4), EXACT[:-1]]), "off by one"),
        (EXACT - 0.3 * np.sign(X), "the sign of W is missing"),
        (where(ROWS == 0, 0), "in the first index of axis 0 alone, the gradient is zero"),
        (where(COLUMNS == 3, -EXACT), "in the last index of axis 1 alone, the sign"),
        (where(ROWS < 2, EXACT - X), "in the first 2 indices of axis 0 alone, a term"),
        (where(ROWS >= 3, 0), "from index 3 of axis 0 to the end alone, the gradient is zero"),
        (where(X < 0, 0), "where W is negative alone"),
        (where((ROWS == 2) & (COLUMNS == 1), 1.3), "W[2, 1] alone is wrong"),
        (where(ROWS == COLUMNS, 2 * EXACT), "in the diagonal alone, it is too large"),
        (EXACT + np.arange(5)[:, None], "constant for each index of axis 0"),
        (EXACT / [[1], [2], [1], [3], [1]], "overwritten instead of accumulated"),
        (np.pi * EXACT, "(π)"),
        (EXACT * 12 / 11, "12/11, with the length of axis 0 of X"),
        (EXACT * np.sqrt(12), "√12"),
    ],
)
def test_more_mistakes_are_recognised(analytic, words):
    text = asked(analytic, EXACT, known=12, lengths={12: "the length of axis 0 of X"})
    assert words in text
    # What happened, and where to look.
    assert "; " in text


def test_swapped_entries():
    analytic = EXACT.copy()
    analytic[1, 2], analytic[3, 0] = EXACT[3, 0], EXACT[1, 2]
    assert "two entries are swapped" in asked(analytic, EXACT)


def test_transposed_with_the_sign_flipped():
    assert "transposed, and its sign" in asked(-SQUARE.T, SQUARE, x=X[:4], known=8)


def test_gradient_of_another_parameter():
    other = np.random.default_rng(5).normal(size=EXACT.shape)
    assert "gradients of W and V are swapped" in asked(
        other, EXACT, others={"V": EXACT.reshape(-1)}
    )


def test_duplicates_are_known_by_the_indices_that_the_function_reads():
    indices = np.array([0, 3, 3, 1, 4, 3, 0])
    analytic = EXACT * np.random.default_rng(6).uniform(0.2, 0.8, EXACT.shape)
    analytic = np.where(np.isin(ROWS, [0, 3]), analytic, EXACT)
    text = asked(analytic, EXACT, arrays={"tokens": indices})
    assert "tokens names an index of axis 0 several times" in text
    assert "np.add.at" in text


def test_what_is_not_masked():
    mask = COLUMNS == 1
    exact = np.where(mask, 0, EXACT)
    assert "does not depend on W" in asked(EXACT, exact)


def test_complex_conjugate():
    z = np.random.default_rng(7).normal(size=6) + 1j
    exact = np.random.default_rng(8).normal(size=12)
    conjugate = exact * np.tile([1, -1], 6)
    evidence = Evidence(
        Parameter.from_leaf(0, "z", z), conjugate, np.arange(12), exact, np.full(12, 1e-10), {}
    )
    assert "complex conjugate" in diagnose(evidence)


def test_arrays_that_a_function_reads():
    data = {"X": np.ones((3, 2))}
    rows = np.arange(4)

    def inner(w):
        return w[rows]

    def loss(w, scale):
        return np.sum(inner(w)) + data["X"].sum() + scale.sum() + EXACT.sum()

    found = arrays_read_by(functools.partial(loss, scale=np.ones(6)))
    assert {name: array.shape for name, array in found.items()} == {
        "data['X']": (3, 2),
        "rows": (4,),
        "scale": (6,),
        "EXACT": (5, 4),
    }
