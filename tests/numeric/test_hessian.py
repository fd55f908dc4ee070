import numpy as np
import pytest

import steepest as sd
from steepest.errors import BadInputError, UnsupportedError

NORMAL = np.random.default_rng(5).normal(size=4)


@pytest.mark.parametrize(
    ("f", "x", "within"),
    [
        (lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), NORMAL, 1e-8),
        (lambda x: np.exp(np.sum(x * x) / 2), NORMAL, 1e-6),
        (lambda x: np.sum(np.sin(3 * x)) * np.prod(x), NORMAL, 1e-6),
        (lambda x: np.sum(np.sin(100 * x)), NORMAL, 1e-5),
        (lambda x: np.sum(np.log(x)) + x[0] * x[1], np.array([1e-6, 1.0, 1e6]), 1e-6),
        (lambda x: np.sum(np.tanh(x) ** 2) * x[0], NORMAL.astype(np.float32), 1e-5),
        (lambda x: np.sum(np.sqrt(x + 1e-3)), np.zeros(2), 1e-3),
    ],
)
def test_within_the_bound(f, x, within):
    result, exact = sd.numerical_hessian(f, x), sd.hessian(f)(x.astype(float))
    assert result.value.dtype == x.dtype
    assert np.all(np.abs(result.value - exact) <= result.error)
    assert np.max(result.error) <= within * np.max(np.abs(exact))
    np.testing.assert_array_equal(result.value, result.value.T)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(np.abs(x)),
        lambda x: np.sum(np.abs(x) ** 1.5),
        lambda x: np.sum(x * np.abs(x)),
        lambda x: np.sum(np.sign(x)),
        lambda x: np.sum(np.cbrt(x)),
    ],
)
def test_no_second_derivative_no_bound(f):
    result = sd.numerical_hessian(f, np.zeros(2))
    assert np.all(np.isinf(np.diag(result.error)))
    assert np.all(np.isnan(np.diag(result.value)))


def test_a_mixed_derivative_alone_may_be_missing():
    result = sd.numerical_hessian(lambda x: np.abs(x[0]) * x[1], np.zeros(2))
    assert np.isfinite(result.error).tolist() == [[True, False], [False, True]]


def test_noise_widens_the_bound():
    generator = np.random.default_rng(0)
    result = sd.numerical_hessian(lambda x: np.sum(x**2) + 1e-6 * generator.normal(), NORMAL)
    assert np.all(np.abs(result.value - 2 * np.eye(4)) <= result.error)


def test_pytrees():
    def f(p):
        return p["a"] ** 2 * np.sum(p["b"] ** p["n"])

    x = {"a": 2.0, "b": np.ones((2, 2)), "n": 3}
    result = sd.numerical_hessian(f, x)
    assert result.value["b"]["a"].shape == (2, 2)
    assert result.value["b"]["b"].shape == (2, 2, 2, 2)
    np.testing.assert_allclose(result.value["a"]["a"], 8, rtol=1e-6)
    np.testing.assert_allclose(result.value["a"]["b"], np.full((2, 2), 12), rtol=1e-6)
    np.testing.assert_allclose(
        result.value["b"]["b"].reshape(4, 4), 24 * np.eye(4), rtol=1e-6, atol=1e-8
    )
    assert result.value["a"]["n"] == 3


def test_evaluations():
    result = sd.numerical_hessian(lambda x: np.sum(x**2) + np.prod(x), np.arange(1.0, 7.0))
    assert result.evaluations <= 6 * 6 + 12 * 15 + 40


def test_errors():
    with pytest.raises(UnsupportedError, match="complex"):
        sd.numerical_hessian(lambda z: abs(z[0]) ** 2, np.ones(1) * 1j)
    with pytest.raises(BadInputError, match="scalar"):
        sd.numerical_hessian(lambda x: x, np.ones(3))
    with pytest.raises(BadInputError, match="callable"):
        sd.numerical_hessian(np.ones(3), np.sum)  # type: ignore[arg-type]
