import numpy as np
import pytest

from steepest.errors import BadInputError
from steepest.numeric import batches, numerical_gradient, numerical_hessian, numerical_jacobian

NORMAL = np.random.default_rng(3).normal(size=7)
MATRIX = np.random.default_rng(4).normal(size=(4, 7))
METHODS = ["extrapolated", "central", "forward", "backward", "complex_step"]


def loss(x):
    return np.sum(np.sin(x) * np.exp(x[..., ::-1]), axis=-1)


def tree_loss(p):
    return np.sum(p["w"] ** 3, axis=(-1, -2)) * p["scale"] + p["count"] * p["scale"] ** 2


class Counted:
    def __init__(self, f):
        self.f = f
        self.rows = []

    def __call__(self, x):
        self.rows.append(len(x))
        return self.f(x)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_those_of_single_calls(method):
    single = numerical_gradient(loss, NORMAL, method)
    batched = numerical_gradient(loss, NORMAL, method, batched=True)
    assert np.all(np.abs(single.value - batched.value) <= single.error + batched.error)
    np.testing.assert_allclose(batched.error, single.error, rtol=0.2, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble, np.complex128])
def test_dtypes(dtype):
    def f(z):
        return np.sum((z**3).real, axis=-1)

    x = NORMAL.astype(dtype)
    result = numerical_gradient(f, x, batched=True)
    assert result.value.dtype == dtype
    assert np.all(np.abs(result.value - 3 * x.astype(np.clongdouble) ** 2) <= result.error)


def test_few_calls():
    f = Counted(loss)
    x = np.random.default_rng(0).normal(size=500)
    result = numerical_gradient(f, x, batched=True)
    assert len(f.rows) < 40
    assert sum(f.rows) <= result.evaluations + len(f.rows)
    assert result.evaluations <= 20 * x.size


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(batches, "CHUNK", 5 * NORMAL.nbytes)
    f = Counted(loss)
    numerical_gradient(f, NORMAL, batched=True)
    assert max(f.rows) == 5 + 1


def test_pytrees():
    w = np.arange(1.0, 7.0).reshape(2, 3)
    x = {"w": w, "scale": 2.0, "count": 3}
    result = numerical_gradient(tree_loss, x, batched=True)
    assert isinstance(result.value["scale"], float)
    np.testing.assert_allclose(result.value["w"], 6 * w**2, rtol=1e-8)
    np.testing.assert_allclose(result.value["scale"], 441 + 12, rtol=1e-8)
    assert result.value["count"] == 3


def test_jacobian():
    result = numerical_jacobian(lambda x: np.tanh(x @ MATRIX.T), NORMAL, batched=True)
    exact = (1 - np.tanh(MATRIX @ NORMAL) ** 2)[:, np.newaxis] * MATRIX
    assert np.all(np.abs(result.value - exact) <= result.error)
    assert np.max(result.error) < 1e-8


def test_hessian():
    f = Counted(loss)
    batched, single = numerical_hessian(f, NORMAL, batched=True), numerical_hessian(loss, NORMAL)
    assert np.all(np.abs(batched.value - single.value) <= batched.error + single.error)
    assert len(f.rows) < 60


def test_points_outside_of_the_domain():
    """One bad point in a batch does not spoil the others, also if the function raises."""

    def strict_log(x):
        if np.any(x <= 0):
            raise ValueError("not positive")
        return np.sum(np.log(x), axis=-1)

    x = np.array([1e-9, 1.0, 5.0])
    for f in (strict_log, lambda x: np.sum(np.log(x), axis=-1)):
        result = numerical_gradient(f, x, batched=True)
        assert np.all(np.abs(result.value - 1 / x) <= result.error)
        assert np.all(result.error <= 1e-6 / x)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: np.sum(x**2), r"scalar.*first one only"),
        (lambda x: np.sum(x**2, axis=0), r"shape \(7,\).*first one only"),
        (lambda x: x**2, "must return a real scalar"),
        (lambda x: np.sum((x - np.mean(x, axis=0)) ** 2 + x, axis=-1), "its own point alone"),
        (lambda x: np.cumsum(np.sum(x, axis=-1)), "its own point alone"),
    ],
)
def test_functions_that_take_no_batches(f, message):
    with pytest.raises(BadInputError, match=f"(?s){message}"):
        numerical_gradient(f, NORMAL, batched=True)


def test_results_of_another_shape():
    with pytest.raises(BadInputError, match=r"(?s)scalar.*batched=True"):
        numerical_jacobian(lambda x: np.sum(x), NORMAL, batched=True)
