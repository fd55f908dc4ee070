"""Vector-Jacobian, Jacobian-vector and second derivatives of NumPy functions."""

import dataclasses

import numpy as np
import pytest

import steepest as sd
from steepest import errors

GENERATOR = np.random.default_rng(7)
X = GENERATOR.uniform(0.5, 2.0, 5)
MATRIX = GENERATOR.standard_normal((4, 5))
TREE = {"W": GENERATOR.standard_normal((3, 4)), "b": GENERATOR.standard_normal(3), "n": 2}
COMPLEX = GENERATOR.standard_normal(4) + 1j * GENERATOR.standard_normal(4)


def layer(weights):
    hidden = np.tanh(weights["W"] @ np.arange(4.0) + weights["b"])
    return {"hidden": hidden, "size": hidden.size, "loss": 1e-6 * np.sum(hidden**2)}


def layer_vjp(weights, v):
    data = np.arange(4.0)
    hidden = np.tanh(weights["W"] @ data + weights["b"])
    inner = (v["hidden"] + 2e-6 * v["loss"] * hidden) * (1 - hidden**2)
    return {"W": np.outer(inner, data), "b": inner, "n": None}


def layer_vjp_without_the_loss(weights, v):
    return layer_vjp(weights, {**v, "loss": 0.0})


VJPS = [
    ("product", lambda x: MATRIX @ x, X, lambda x, v: MATRIX.T @ v, "correct"),
    ("row sums", lambda x: MATRIX @ x, X, lambda x, v: MATRIX.sum(0), "wrong"),
    ("one entry", lambda x: x**2, X, lambda x, v: 2 * x * v * (1 + 1e-5 * (x == x[3])), "wrong"),
    ("scalar", lambda x: np.sum(x**2), X, lambda x, v: 2 * x * v, "correct"),
    ("no cotangent", lambda x: x**2, X, lambda x, v: 2 * x, "wrong"),
    ("tree", layer, TREE, layer_vjp, "correct"),
    ("a small result", layer, TREE, layer_vjp_without_the_loss, "wrong"),
    ("complex", lambda z: z**2, COMPLEX, lambda z, v: 2 * z * v, "correct"),
    ("conjugate", lambda z: z**2, COMPLEX, lambda z, v: np.conj(2 * z) * v, "wrong"),
    ("conj", lambda z: np.conj(z) * z, COMPLEX, lambda z, v: 2 * np.conj(z) * v.real, "correct"),
    ("to real", lambda z: np.abs(z) ** 2, COMPLEX, lambda z, v: 2 * np.conj(z) * v, "correct"),
    ("float32", np.sin, X.astype(np.float32), lambda x, v: np.cos(x) * v, "correct"),
    ("float16", np.sin, X.astype(np.float16), lambda x, v: np.cos(x) * v, "correct"),
    ("kink", np.abs, np.array([0.0, 1.0]), lambda x, v: np.sign(x) * v, "kink"),
]


@pytest.mark.parametrize(
    ("f", "x", "vjp", "verdict"), [case[1:] for case in VJPS], ids=[case[0] for case in VJPS]
)
def test_vector_jacobian_products(f, x, vjp, verdict):
    assert sd.check_vjp(f, x, vjp).verdict == verdict


JVPS = [
    ("product", lambda x: MATRIX @ x, X, lambda x, u: MATRIX @ u, "correct"),
    ("scaled", lambda x: MATRIX @ x, X, lambda x, u: 1.0001 * (MATRIX @ u), "wrong"),
    ("transposed", lambda x: MATRIX @ x, X, lambda x, u: np.abs(MATRIX) @ u, "wrong"),
    ("many", np.sin, np.linspace(0, 3, 50), lambda x, u: np.cos(x) * u, "correct"),
    ("many, one wrong", np.sin, np.linspace(0, 3, 50), lambda x, u: np.cos(x + (x == 3)) * u, "w"),
    ("complex", lambda z: z**2, COMPLEX, lambda z, u: 2 * z * u, "correct"),
    ("conjugate", lambda z: z**2, COMPLEX, lambda z, u: 2 * np.conj(z) * u, "wrong"),
    ("float32", np.sin, X.astype(np.float32), lambda x, u: np.cos(x) * u, "correct"),
    ("python number", np.sin, 0.5, lambda x, u: np.cos(x) * u, "correct"),
    ("tiny and huge", np.square, np.array([1e-8, 1e8]), lambda x, u: 2 * x * u, "correct"),
]


@pytest.mark.parametrize(
    ("f", "x", "jvp", "verdict"), [case[1:] for case in JVPS], ids=[case[0] for case in JVPS]
)
def test_jacobian_vector_products(f, x, jvp, verdict):
    assert sd.check_jvp(f, x, jvp).verdict.startswith(verdict)


def test_a_tree_is_pushed_forward_by_name():
    def push(weights, u):
        data = np.arange(4.0)
        hidden = np.tanh(weights["W"] @ data + weights["b"])
        inner = (1 - hidden**2) * (u["W"] @ data + 2 * u["b"])
        return {"hidden": inner, "size": 0, "loss": 2e-6 * np.sum(hidden * inner)}

    report = sd.check_jvp(layer, TREE, push)
    verdicts = {name: check.verdict for name, check in report.parameters.items()}
    assert verdicts == {"W along random directions": "correct", "b": "wrong"}


HVPS = [
    ("diagonal", lambda x: np.sum(x**4), X, lambda x, v: 12 * x**2 * v, "correct"),
    ("half", lambda x: np.sum(x**4), X, lambda x, v: 6 * x**2 * v, "wrong"),
    ("product", np.prod, X[:2], lambda x, v: v[::-1], "correct"),
    ("linear", np.sum, X, lambda x, v: 0 * v, "correct"),
]


@pytest.mark.parametrize(
    ("f", "x", "hvp", "verdict"), [case[1:] for case in HVPS], ids=[case[0] for case in HVPS]
)
def test_hessian_vector_products(f, x, hvp, verdict):
    assert sd.check_hvp(f, x, hvp).verdict == verdict


def test_the_gradient_whose_derivative_is_checked_may_be_given():
    report = sd.check_hvp(
        lambda x: float(np.sum(x**4)), X, lambda x, v: 12 * x**2 * v, lambda x: 4 * x**3
    )
    assert report.verdict == "correct"


@pytest.mark.parametrize("check", [sd.check_vjp, sd.check_jvp], ids=["vjp", "jvp"])
@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: np.cumsum(np.sin(x)), X),
        (lambda x: {"a": x[:2] ** 2, "b": [np.sum(x)]}, X),
        (layer, TREE),
        (lambda z: z * np.exp(z), COMPLEX),
        (lambda x: np.linalg.inv(x + 3 * np.eye(3)), np.ones((3, 3))),
    ],
    ids=["cumsum", "tree", "layer", "complex", "inverse"],
)
def test_steepest_itself(check, f, x):
    assert check(f, x).verdict == "correct"


def test_steepest_itself_to_second_order():
    assert sd.check_hvp(lambda x: np.sum(np.tanh(x) ** 2), X).verdict == "correct"
    assert sd.check_hvp(lambda z: np.sum((z * np.conj(z)).real ** 2), COMPLEX).verdict == "correct"


def test_a_planted_error_in_forward_mode_is_seen():
    # Linear in its argument, and so transposed for forward mode: both modes are wrong.
    planted = sd.custom_gradient(lambda x: (np.sin(x), lambda g: g * np.cos(x) * 1.001))
    assert sd.check_vjp(planted, X).verdict == "wrong"


def test_what_has_no_derivative_is_refused():
    with pytest.raises(errors.BadInputError, match="nothing that has a derivative"):
        sd.check_vjp(np.argmax, X, lambda x, v: x)
    for check in (sd.check_vjp, sd.check_jvp):
        with pytest.raises(errors.NotDifferentiableError):
            check(np.sin, np.arange(3), lambda x, v: x)


def test_the_seed_decides_the_projection():
    first, again, other = (
        sd.check_vjp(np.sin, X, lambda x, v: np.sin(x) * v, seed=seed) for seed in (1, 1, 2)
    )
    assert str(first) == str(again)
    assert str(first) != str(other)


def test_keywords_reach_the_check():
    report = sd.check_jvp(np.sin, X, lambda x, u: np.cos(x) * u * (1 + 1e-6), tolerance=1e-4)
    assert report.verdict == "correct"
    assert sd.check_vjp(np.sin, X, lambda x, v: np.cos(x) * v, evaluations=3).verdict == "undecided"


@dataclasses.dataclass
class Weights:
    first: np.ndarray
    second: np.ndarray


def test_the_same_array_twice_is_two_variables():
    w = np.array([1.0, 2.0])
    aliased = Weights(w, w)

    def product(weights):
        return np.sum(weights.first**2 * weights.second)

    def gradient(weights):
        return Weights(2 * weights.first * weights.second, weights.first**2)

    assert sd.check_gradient(product, aliased, gradient).verdict == "correct"
    assert sd.check_gradient(product, aliased).verdict == "correct"

    def mixed_up(weights):
        return Weights(weights.first**2, 2 * weights.first * weights.second)

    assert sd.check_gradient(product, aliased, mixed_up).verdict == "wrong"


@pytest.mark.parametrize(
    "x",
    [X[::-1], X[::2], np.asfortranarray(MATRIX), MATRIX.T, np.broadcast_to(X, (3, 5))],
    ids=["reversed", "every other", "Fortran", "transposed", "broadcast"],
)
def test_any_memory_layout(x):
    assert sd.check_gradient(lambda x: np.sum(x**3), x, lambda x: 3 * x**2).verdict == "correct"


def test_a_function_that_writes_into_its_argument_is_named():
    def normalised(weights):
        weights["W"] -= weights["W"].mean()
        return np.sum(weights["W"] ** 2)

    def gradient(weights):
        return {"W": 2 * (weights["W"] - weights["W"].mean()), "b": 0 * weights["b"]}

    weights = {"W": X.copy(), "b": np.ones(2)}
    report = sd.check_gradient(normalised, weights, gradient)
    assert report.verdict == "correct"
    assert any("writes into its argument W" in note for note in report.notes)
    assert "writes into its argument W" in str(report)
    np.testing.assert_array_equal(weights["W"], X)
    assert sd.check_gradient(lambda x: np.sum(x), X, np.ones_like).notes == ()


def test_bfloat16():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = X.astype(bfloat16)

    def gradient(x):
        return (np.cos(x.astype(np.float64)) if x.dtype == np.float64 else np.cos(x)).astype(
            x.dtype
        )

    report = sd.check_gradient(lambda x: np.sum(np.sin(x)), x, gradient)
    assert report.verdict == "correct"
    assert report.parameters["x"].dtype == "bfloat16"
    report = sd.check_gradient(lambda x: np.sum(np.sin(x)), x, lambda x: 2 * gradient(x))
    assert report.verdict == "wrong"


def test_results_that_are_not_finite_are_named():
    with np.errstate(invalid="ignore"):
        report = sd.check_vjp(
            lambda x: [x, {"y": np.log(x)}],
            np.array([1.0, -1.0]),
            lambda x, v: v[0] + v[1]["y"] / x,
        )
    assert not report.ok
    assert report.notes == ("[1].y[1] is nan at x",)
