import pickle
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from steepest.errors import BadInputError, NotDifferentiableError, UnsupportedError
from steepest.numeric import numerical_gradient, numerical_jacobian

NORMAL = np.random.default_rng(5).normal(size=20)
METHODS = ["extrapolated", "central", "forward", "complex_step"]


def check_bound(result, exact, *, within):
    """The error is below its bound, and the bound below a part of the gradient's largest entry."""
    error = np.abs(np.asarray(result.value, dtype=np.result_type(exact, float)) - exact)
    assert np.all(error <= result.error), (error, result.error)
    assert np.max(result.error) <= within * np.max(np.abs(exact))


@pytest.mark.parametrize(
    ("method", "within"),
    [("extrapolated", 1e-8), ("central", 1e-7), ("forward", 1e-4), ("complex_step", 1e-14)],
)
@pytest.mark.parametrize(
    ("f", "derivative"),
    [
        (lambda x: np.sum(np.sin(x)), np.cos),
        (lambda x: np.sum(np.exp(x)), np.exp),
        (lambda x: np.sum(x**3), lambda x: 3 * x**2),
        (lambda x: np.sum(np.tanh(x) * x), lambda x: np.tanh(x) + x / np.cosh(x) ** 2),
    ],
)
def test_smooth_functions(f, derivative, method, within):
    check_bound(numerical_gradient(f, NORMAL, method), derivative(NORMAL), within=within)


@pytest.mark.parametrize(
    ("dtype", "within"),
    [
        (np.float16, 1e-2),
        (np.float32, 1e-6),
        (np.float64, 1e-8),
        (np.longdouble, 1e-10),
    ],
)
def test_dtypes(dtype, within):
    x = NORMAL.astype(dtype)
    result = numerical_gradient(lambda x: np.sum(np.sin(x)), x)
    assert result.value.dtype == dtype
    check_bound(result, np.cos(x.astype(float)), within=within)


@pytest.mark.parametrize(
    ("f", "x", "exact", "within"),
    [
        # Small and large entries side by side; the edges of domains; values far from zero.
        (lambda x: np.sum(np.log(x)), [1e-9, 1e-3, 1.0, 1e6], [1e9, 1e3, 1.0, 1e-6], 1e-7),
        (lambda x: np.sum(np.sqrt(x)), [1e-12, 1.0, 1e6], [5e5, 0.5, 5e-4], 1e-5),
        (lambda x: np.sum(x**1.5), [0.0, 1.0], [0.0, 1.5], 1e-3),
        (lambda x: np.sum(np.cos(x)), [1e9], [-np.sin(1e9)], 1e-3),
        (lambda x: np.sum(np.sin(1e3 * x)), [0.3, 0.7], 1e3 * np.cos([300.0, 700.0]), 1e-6),
        (lambda x: 1e3 + 1e-8 * np.sum(x**2), [1.0, 2.0], [2e-8, 4e-8], 1e-3),
        (lambda x: np.sum(np.abs(x)), [1e-7, -1e-9], [1.0, -1.0], 1e-5),
        (lambda x: float(np.sum(np.sin(x.astype(np.float32)))), [0.5], np.cos([0.5]), 1e-2),
        (lambda x: np.sum(x * 0.0), [1.0, 2.0], [0.0, 0.0], np.inf),
        (lambda x: np.sum(x**2), [1e150, -2e150], [2e150, -4e150], 1e-6),
        (lambda x: np.sum(np.floor(x)), [2.5], [0.0], np.inf),
    ],
)
def test_difficult_functions(f, x, exact, within):
    result = numerical_gradient(f, np.array(x))
    error = np.abs(result.value - exact)
    assert np.all(error <= result.error), (error, result.error)
    if np.isfinite(within):
        assert np.all(result.error <= within * np.max(np.abs(exact)))


def test_noise_widens_the_bound():
    generator = np.random.default_rng(0)
    result = numerical_gradient(lambda x: np.sum(np.sin(x)) + 1e-6 * generator.normal(), NORMAL)
    check_bound(result, np.cos(NORMAL), within=0.1)
    assert np.all(result.error > 1e-6)


@pytest.mark.parametrize(
    ("f", "least"),
    [
        (lambda x: np.sum(np.abs(x)), 1.0),
        (lambda x: np.sum(np.maximum(x, 0)), 0.5),
        (lambda x: np.sum(np.cbrt(x)), np.inf),
        (lambda x: np.sum(np.sqrt(np.abs(x))), np.inf),
        (lambda x: np.sum(np.sign(x)), np.inf),
        (lambda x: np.sum(np.where(x == 0, x, np.nan)), np.inf),
    ],
)
def test_no_derivative_no_small_bound(f, least):
    result = numerical_gradient(f, np.array([0.0]))
    assert result.error[0] >= least * (1 - 1e-9)
    if np.isinf(least):
        assert np.isnan(result.value[0])


def test_smooth_at_large_and_kinked_at_small_steps():
    """A coarse step does not outvote a fine one: |x| is no sqrt(x² + 1e-8)."""
    x = np.array([1e-6])
    check_bound(
        numerical_gradient(lambda x: np.sum(np.abs(x) + np.sin(x)), x), 1 + np.cos(x), within=1e-6
    )


@given(
    npst.arrays(
        np.float64,
        st.integers(1, 5),
        elements=st.floats(-10, 10, allow_subnormal=False),
    ),
    st.lists(st.floats(-5, 5), min_size=1, max_size=6),
)
def test_polynomials_lie_within_the_bound(x, coefficients):
    polynomial = np.polynomial.Polynomial(coefficients)
    result = numerical_gradient(lambda x: np.sum(polynomial(x)), x)
    error = np.abs(result.value - polynomial.deriv()(x))
    assert np.all(error <= result.error), (error, result.error)


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclass
class Model:
    weights: Any
    scale: float
    name: str


def test_pytrees():
    x = {
        "pair": Pair(np.arange(3.0), [2.0, np.float32(3.0)]),
        "model": Model(np.ones((2, 2)), 4.0, "linear"),
        "count": 3,
        "mask": np.array([1, 0, 1]),
        "nothing": None,
    }

    def f(p):
        return (
            np.sum(p["mask"] * p["pair"].first ** p["count"])
            + p["pair"].second[0] * p["pair"].second[1] ** 2
            + p["model"].scale * np.sum(p["model"].weights)
        )

    result = numerical_gradient(f, x)
    value = result.value
    np.testing.assert_allclose(value["pair"].first, [0, 0, 12], atol=1e-8)
    assert isinstance(value["pair"], Pair)
    assert isinstance(value["pair"].second[0], float)
    assert value["pair"].second[0] == pytest.approx(9)
    assert isinstance(value["pair"].second[1], np.float32)
    assert value["pair"].second[1] == pytest.approx(12)
    assert value["model"].scale == pytest.approx(4)
    assert value["model"].name == "linear"
    assert value["count"] == 3
    assert value["mask"] is x["mask"]
    assert value["nothing"] is None
    assert isinstance(result.error["model"].scale, float)
    assert result.error["pair"].first.shape == (3,)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (2, 3), (1, 1, 1)])
def test_shapes(shape):
    x = np.full(shape, 0.5)
    result = numerical_gradient(lambda x: np.sum(x**2), x)
    assert isinstance(result.value, np.ndarray)
    assert result.value.shape == result.error.shape == shape
    np.testing.assert_allclose(result.value, 2 * x, atol=1e-9)


@pytest.mark.parametrize(
    "view", [lambda x: x[::-2], lambda x: x.reshape(4, 5).T, lambda x: np.broadcast_to(x, (2, 20))]
)
def test_views(view):
    x = view(NORMAL)
    result = numerical_gradient(lambda x: np.sum(x**2), x)
    np.testing.assert_allclose(result.value, 2 * x, atol=1e-8)


@pytest.mark.parametrize("method", METHODS[:3])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_convention(method, dtype):
    """For real f the gradient is ∂f/∂x - i ∂f/∂y; for f = Re h(z), h analytic, that is h'(z)."""
    z = (NORMAL[:10] + 1j * NORMAL[10:]).astype(dtype)
    result = numerical_gradient(lambda z: np.sum((z**3).real), z, method)
    assert result.value.dtype == dtype
    assert result.error.dtype.kind == "f"
    check_bound(result, 3 * z.astype(complex) ** 2, within=1e-3)


def test_python_complex():
    result = numerical_gradient(lambda z: abs(z) ** 2, 1.0 + 2.0j)
    assert result.value == pytest.approx(2 - 4j)
    assert isinstance(result.value, complex)


@pytest.mark.parametrize("method", METHODS)
def test_f_may_change_its_input(method):
    x = NORMAL.copy()

    def f(x):
        x *= 2
        return np.sum(x**2)

    result = numerical_gradient(f, {"x": x, "carried": np.arange(3)}["x"], method)
    np.testing.assert_array_equal(x, NORMAL)
    np.testing.assert_allclose(result.value, 8 * NORMAL, rtol=1e-4)


def test_carried_arrays_are_not_the_users():
    x = {"x": np.ones(2), "count": np.array([1, 2])}

    def f(p):
        p["count"] += 1
        return np.sum(p["x"] ** 2)

    numerical_gradient(f, x)
    assert x["count"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(np.abs(x)),
        lambda x: np.sum(x * np.conj(x)),
        lambda x: np.sum(np.where(x.real > 0, x.real, 0) ** 2 + 0 * x),
        lambda x: np.sum(x**2).real,
        lambda x: np.linalg.norm(x),
        lambda x: np.sum(x.astype(float) + 0 * x),
        lambda x: sum(float(value) for value in x),
    ],
)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_complex_step_is_verified(f):
    with pytest.raises(UnsupportedError, match="extrapolated"):
        numerical_gradient(f, NORMAL, "complex_step")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.arange(3.0), r"shape \(3,\)"),
        (1 + 2j, "complex"),
        (None, "None"),
        ("1.0", "str"),
        ([1.0], "list"),
    ],
)
def test_f_must_return_a_real_scalar(returned, message):
    with pytest.raises(BadInputError, match=message):
        numerical_gradient(lambda x: returned, np.ones(3))


@pytest.mark.parametrize(
    "returned", [1, True, np.int8(1), np.float16(1), np.array(1.0), np.ones((1, 1))]
)
def test_any_real_scalar_will_do(returned):
    assert numerical_gradient(lambda x: returned, 2.0).value == 0


def test_bad_arguments():
    with pytest.raises(BadInputError, match="extrapolated"):
        numerical_gradient(np.sum, np.ones(2), "sideways")  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="callable"):
        numerical_gradient(np.ones(2), np.sum)  # type: ignore[arg-type]
    with pytest.raises(NotDifferentiableError, match="int64"):
        numerical_gradient(np.sum, np.arange(3))
    with pytest.raises(UnsupportedError, match="complex"):
        numerical_gradient(lambda z: abs(z), 1j, "complex_step")
    with pytest.raises(UnsupportedError, match="holomorphic"):
        numerical_jacobian(np.conj, np.array([1j]))


def test_errors_of_f_are_the_users():
    def f(x):
        raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        numerical_gradient(f, 1.0)


def test_errors_beside_x_are_the_edge_of_the_domain():
    import math

    result = numerical_gradient(lambda x: math.log(x[0]) + math.sqrt(x[1]), [1e-3, 1.0])
    assert result.value[0] == pytest.approx(1e3)
    assert result.value[1] == pytest.approx(0.5)


def test_jacobian():
    matrix = NORMAL.reshape(4, 5)
    jacobian = numerical_jacobian(
        lambda p: np.tanh(matrix @ p["x"]) * p["scale"], {"x": np.ones(5), "scale": 2.0, "n": 1}
    )
    hidden = np.tanh(matrix.sum(axis=1))
    exact = 2 * (1 - hidden**2)[:, np.newaxis] * matrix
    assert np.all(np.abs(jacobian.value["x"] - exact) <= jacobian.error["x"])
    assert np.max(jacobian.error["x"]) < 1e-6
    np.testing.assert_allclose(jacobian.value["scale"], hidden, atol=1e-8)
    assert jacobian.value["n"] == 1


def test_jacobian_of_matrices():
    jacobian = numerical_jacobian(lambda x: x.T, np.arange(6.0).reshape(2, 3))
    assert jacobian.value.shape == (3, 2, 2, 3)
    exact = np.einsum("ik,jl->ijlk", np.eye(3), np.eye(2))
    np.testing.assert_allclose(jacobian.value, exact, atol=1e-9)


@pytest.mark.parametrize(("method", "each"), [("central", 4), ("forward", 2), ("complex_step", 2)])
def test_evaluations(method, each):
    calls = []

    def f(x):
        calls.append(1)
        return np.sum(x**2)

    result = numerical_gradient(f, np.ones(50), method)
    assert result.evaluations == len(calls)
    assert len(calls) <= 50 * each + 50


def test_progress_bar(capsys):
    numerical_gradient(lambda x: np.sum(x**2), np.ones(5), progress=True)
    assert "numerical gradient" in capsys.readouterr().err
    numerical_gradient(lambda x: np.sum(x**2), np.ones(5))
    assert capsys.readouterr().err == ""


def test_result_pickles():
    result = numerical_gradient(lambda x: np.sum(x**2), np.ones(3))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(result)).value, result.value)


@pytest.mark.parametrize("method", ["extrapolated", "central"])
def test_jacobian_of_holomorphic_functions(method):
    z = NORMAL[:3] + 1j * NORMAL[3:6]
    result = numerical_jacobian(lambda z: z**3, z, method)
    assert result.value.dtype == np.complex128
    check_bound(result, np.diag(3 * z**2), within=1e-6)


def test_jacobian_of_complex_functions_of_real_variables():
    x = NORMAL[:3]
    result = numerical_jacobian(lambda x: np.exp(1j * x), x)
    check_bound(result, np.diag(1j * np.exp(1j * x)), within=1e-8)


def test_jacobian_of_real_functions_of_complex_variables():
    z = NORMAL[:3] + 1j * NORMAL[3:6]
    result = numerical_jacobian(lambda z: np.abs(z) ** 2, z)
    check_bound(result, np.diag(2 * np.conj(z)), within=1e-8)


def test_jacobian_by_complex_step():
    x = NORMAL[:5]
    check_bound(
        numerical_jacobian(lambda x: np.sin(x) * x[0], x, "complex_step"),
        np.diag(np.cos(x) * x[0]) + np.outer(np.sin(x), np.eye(5)[0]),
        within=1e-13,
    )
    with pytest.raises(UnsupportedError, match="real function"):
        numerical_jacobian(lambda x: np.exp(1j * x), x, "complex_step")


def test_one_side_alone():
    x = np.array([0.0, 1.0])
    forward = numerical_gradient(lambda x: np.sum(x**1.5), x, "forward")
    backward = numerical_gradient(lambda x: np.sum((1 - x) ** 2.5), x, "backward")
    np.testing.assert_allclose(forward.value, [0, 1.5], atol=1e-2)
    np.testing.assert_allclose(backward.value, [-2.5, 0], atol=1e-2)


@pytest.mark.parametrize(
    ("f", "derivative", "within"),
    [
        (np.exp, np.exp, 1e-12),
        (lambda x: np.sin(100 * x), lambda x: 100 * np.cos(100 * x), 5e-12),
        (lambda x: 1 / (1 + x**2), lambda x: -2 * x / (1 + x**2) ** 2, 5e-12),
        (lambda x: 1e5 + np.sin(x), np.cos, 5e-8),
    ],
    ids=["exp", "oscillating", "rational", "a large constant"],
)
def test_smooth_functions_take_few_evaluations_to_many_digits(f, derivative, within):
    x = np.random.default_rng(3).uniform(0.3, 1.5, 12)
    result = numerical_gradient(lambda x: np.sum(f(x)), x)
    error = np.abs(result.value - derivative(x))
    assert np.all(error <= result.error)
    assert np.max(error / np.abs(derivative(x))) <= within
    assert result.evaluations <= 17 * x.size


def test_what_is_smooth_on_coarse_steps_alone_is_not_refined():
    """Steps close together must not outvote the fine ones."""
    x = np.array([0.7])
    result = numerical_gradient(lambda x: np.sum(np.exp(x) + 1e-4 * np.sin(3e3 * x)), x)
    exact = np.exp(x) + 0.3 * np.cos(3e3 * x)
    assert np.all(np.abs(result.value - exact) <= result.error)
    assert np.all(result.error <= 1e-6)
