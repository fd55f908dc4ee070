"""The gradient check of functions of JAX; skipped where it is not installed."""

import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

import steepest as sd
from steepest import errors

jax: Any = pytest.importorskip("jax")
jnp: Any = jax.numpy

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (5,))


@jax.custom_vjp
def right(x):
    return jnp.tanh(x)


right.defvjp(lambda x: (jnp.tanh(x), jnp.tanh(x)), lambda y, g: (g * (1 - y**2),))


@jax.custom_vjp
def square_forgotten(x):
    return jnp.tanh(x)


square_forgotten.defvjp(lambda x: (jnp.tanh(x), jnp.tanh(x)), lambda y, g: (g * (1 - y),))


@jax.custom_jvp
def planted_tangent(x):
    return jnp.sin(x)


planted_tangent.defjvp(lambda x, t: (jnp.sin(x[0]), t[0] * jnp.cos(x[0]) * 1.0001))


@jax.custom_vjp
def constant_residual(x):
    return x**3


# A right gradient, whose own derivative is lost.
constant_residual.defvjp(
    lambda x: (x**3, jax.lax.stop_gradient(x)),
    lambda x, g: (g * 3 * jax.lax.stop_gradient(x) ** 2,),
)

FUNCTIONS = [
    ("right", right, {}, "correct"),
    ("wrong", square_forgotten, {}, "wrong"),
    ("jvp, reverse", planted_tangent, {}, "wrong"),
    ("jvp, forward", planted_tangent, {"mode": "forward"}, "wrong"),
    ("forward", jnp.sin, {"mode": "forward"}, "correct"),
    ("second", lambda x: x * jnp.sin(x), {"order": 2}, "correct"),
    ("second, forward", lambda x: x * jnp.sin(x), {"order": 2, "mode": "forward"}, "correct"),
    ("first of constant", constant_residual, {}, "correct"),
    ("second of constant", constant_residual, {"order": 2}, "wrong"),
    ("vmap", jax.vmap(lambda x: jnp.stack([x, x**2]) @ jnp.ones((2, 3))), {}, "correct"),
    ("scalar", lambda x: jnp.sum(x**2), {}, "correct"),
    ("kink", lambda x: jax.nn.relu(x - X), {}, "kink"),
]


@pytest.mark.parametrize(
    ("f", "options", "verdict"),
    [case[1:] for case in FUNCTIONS],
    ids=[case[0] for case in FUNCTIONS],
)
def test_verdicts(f, options, verdict):
    report = sd.check_jax(f, X, **options)
    assert report.verdict == verdict, str(report)
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_dtypes(dtype, mode):
    x = jnp.linspace(0.5, 2, 4).astype(dtype)
    report = sd.check_jax(jax.jit(lambda x: x * jnp.conj(x) ** 2), x, mode=mode)
    assert report.verdict == "correct", str(report)
    if mode == "reverse":
        assert report.parameters["x"].dtype == dtype


def test_double_precision_where_it_is_switched_on():
    jax.config.update("jax_enable_x64", True)
    try:
        report = sd.check_jax(jnp.sin, jnp.linspace(0.0, 1.0, 3, dtype=float))
    finally:
        jax.config.update("jax_enable_x64", False)
    assert report.verdict == "correct"
    assert report.parameters["x"].dtype == "float64"


class Layer(NamedTuple):
    W: Any
    b: Any


def test_trees():
    keys = jax.random.split(KEY, 3)
    weights = {
        "layers": [Layer(jax.random.normal(keys[0], (3, 4)), jnp.zeros(4))],
        "key": keys[1],
        "steps": 3,
        "scale": 2.0,
    }
    data = jax.random.normal(keys[2], (5, 3))

    @jax.jit
    def f(weights):
        (layer,) = weights["layers"]
        return {"y": jax.nn.softmax(data @ layer.W + layer.b), "z": weights["scale"] ** 2, "n": 1}

    report = sd.check_jax(f, weights)
    assert report.verdict == "correct", str(report)
    assert set(report.parameters) == {"layers[0].W", "layers[0].b", "scale"}


def test_scan():
    @jax.jit
    def f(weights):
        def step(h, x):
            h = jnp.tanh(weights["W"] @ h + x)
            return h, h

        return jax.lax.scan(step, weights["h"], jnp.outer(jnp.arange(4.0), jnp.ones(3)) / 4)

    weights = {"W": jax.random.normal(KEY, (3, 3)), "h": jnp.ones(3)}
    assert sd.check_jax(f, weights).verdict == "correct"


def test_another_function_in_double_precision_is_checked_there():
    report = sd.check_jax(jax.jit(lambda x: x * jax.random.normal(KEY, (5,))), X)
    assert report.verdict == "correct", str(report)
    assert any("in double precision alone" in note for note in report.notes)


def test_noise_is_named():
    generator = np.random.default_rng(0)
    assert sd.check_jax(lambda x: x * generator.uniform(0.9, 1.1), X).verdict == "noisy"


def test_single_precision_within_is_not_taken_for_a_mistake():
    # Cast by f itself, so that no higher precision shows more.
    report = sd.check_jax(lambda x: jnp.sin(x.astype(jnp.float32)), X)
    assert report.verdict in ("correct", "undecided")


@pytest.mark.parametrize(
    ("f", "x", "error"),
    [
        (jnp.sin, jnp.arange(3), errors.NotDifferentiableError),
        (jnp.argmax, X, errors.BadInputError),
    ],
    ids=["integers", "no result"],
)
def test_what_cannot_be_checked_is_refused(f, x, error):
    with pytest.raises(error):
        sd.check_jax(f, x)


def test_jax_says_itself_what_it_cannot_differentiate():
    with pytest.raises(TypeError, match="custom_vjp"):
        sd.check_jax(right, X, mode="forward")


def test_without_jax_the_error_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(errors.UnsupportedError, match="pip install jax"):
        sd.check_jax(abs, 1.0)
