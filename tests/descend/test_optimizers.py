"""Every optimizer against the equations of its paper, step by step."""

import itertools
import pickle
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from steepest.descend import Optimizer, descend, optimizers
from steepest.descend.optimizers import OPTIMIZERS, find_optimizer
from steepest.errors import BadInputError

CURVATURE = np.array([1.0, 3.0, 0.25])
START = np.array([2.0, -1.0, 0.5])
STEPS = 30

Trajectory = Callable[[np.ndarray, Callable[[int], float]], Iterator[np.ndarray]]


def loss_fn(weights):
    return 0.5 * np.sum(CURVATURE * weights**2)


def gradient_at(weights):
    return CURVATURE * weights


def by_sgd(w, size):
    """w_t = w_0 Π (1 − α_i c): a quadratic has a closed form."""
    factor = np.ones_like(w)
    for t in range(STEPS):
        factor = factor * (1 - size(t) * CURVATURE)
        yield w * factor


def by_polyak(w, size):
    """Polyak 1964: x_{k+1} = x_k − α ∇f(x_k) + β (x_k − x_{k−1})."""
    before = w
    for t in range(STEPS):
        w, before = w - size(t) * gradient_at(w) + 0.9 * (w - before), w
        yield w


def by_sutskever(w, size):
    """Sutskever et al. 2013, equations 3 and 4; descend's weights are the points θ + μ v."""
    theta, v = w, np.zeros_like(w)
    for t in range(STEPS):
        v = 0.9 * v - size(t) * gradient_at(theta + 0.9 * v)
        theta = theta + v
        yield theta + 0.9 * v


def by_adam(w, size, decay=0.0):
    """Kingma & Ba 2015, algorithm 1; with decay Loshchilov & Hutter 2019, algorithm 2."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = gradient_at(w)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        alpha = size(t - 1)
        w = w - alpha * m_hat / (np.sqrt(v_hat) + 1e-8) - alpha * decay * w
        yield w


def by_adamw(w, size):
    return by_adam(w, size, decay=0.01)


REFERENCES: dict[str, Trajectory] = {
    "sgd": by_sgd,
    "momentum": by_polyak,
    "nesterov": by_sutskever,
    "adam": by_adam,
    "adamw": by_adamw,
}


def test_every_optimizer_has_a_reference():
    assert set(REFERENCES) == set(OPTIMIZERS)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize(
    "size", [lambda step: 0.1, lambda step: 0.2 / (1 + 0.3 * step)], ids=["constant", "falling"]
)
def test_each_step_follows_the_paper(name, size):
    seen = []
    descend(
        loss_fn,
        START,
        step_size=size,
        optimizer=name,
        steps=STEPS,
        callback=lambda info: seen.append(info.weights),
    )
    assert len(seen) == STEPS
    for ours, reference in zip(seen, REFERENCES[name](START, size), strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", REFERENCES)
def test_update_writes_into_nothing(name):
    optimizer = find_optimizer(name)
    weights = {"w": np.array([1.0, 2.0]), "b": np.array([3.0])}
    gradient = {"w": np.array([0.5, -0.5]), "b": np.array([0.25])}
    state = optimizer.init(weights)
    _, state = optimizer.update(gradient, state, weights, 0.1, 0.0)
    for tree in (weights, gradient, state):
        freeze(tree)
    new, _ = optimizer.update(gradient, state, weights, 0.1, 1.0)
    assert new["w"] is not weights["w"]


def freeze(tree):
    if isinstance(tree, np.ndarray):
        tree.flags.writeable = False
    elif isinstance(tree, dict):
        for each in tree.values():
            freeze(each)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_dtypes_are_kept(name, dtype):
    optimizer = find_optimizer(name)
    weights = {"w": np.ones((2, 1), dtype), "scalar": dtype(0.5), "number": 0.5, "kept": 3}
    gradient = {"w": np.ones((2, 1), dtype), "scalar": dtype(0.5), "number": 0.5, "kept": 3}
    state = optimizer.init(weights)
    for step in range(3):
        weights, state = optimizer.update(gradient, state, weights, 0.1, float(step))
    assert weights["w"].dtype == weights["scalar"].dtype == dtype
    assert type(weights["number"]) is float
    assert weights["kept"] == 3


@pytest.mark.parametrize("name", REFERENCES)
def test_complex_weights_go_downhill(name):
    target = np.array([1 + 2j, -3 + 0.5j])
    result = descend(
        lambda z: np.sum(np.abs(z - target) ** 2),
        np.zeros(2, complex),
        step_size=0.1 if name == "sgd" else 0.02,
        optimizer=optimizers.adamw(weight_decay=0.0) if name == "adamw" else name,
        steps=800,
    )
    np.testing.assert_allclose(result.weights, target, atol=1e-3)


def test_adam_scales_complex_gradients_by_their_magnitude():
    optimizer = optimizers.adam()
    weights = np.array([0j])
    state = optimizer.init(weights)
    assert state["second"].dtype == np.float64
    new, _ = optimizer.update(np.array([3 + 4j]), state, weights, 1.0, 0.0)
    np.testing.assert_allclose(new, [-(3 + 4j) / 5])


@pytest.mark.parametrize("name", REFERENCES)
def test_optimizers_pickle_and_print(name):
    optimizer = find_optimizer(name)
    twin = pickle.loads(pickle.dumps(optimizer))
    weights = np.array([1.0])
    first = optimizer.update(weights, optimizer.init(weights), weights, 0.1, 0.0)[0]
    assert twin.update(weights, twin.init(weights), weights, 0.1, 0.0)[0] == first
    assert repr(optimizer).startswith(f"{name}(")


def test_one_of_the_users_own():
    def update(gradient, state, weights, step_size, step):
        velocity = 0.5 * state + gradient
        return weights - step_size * velocity, velocity

    own = Optimizer(lambda weights: 0.0, update)
    result = descend(
        lambda w: np.sum(w**2), np.array([4.0]), step_size=0.25, optimizer=own, steps=2
    )
    # g = 8, v = 8, w = 2; g = 4, v = 8, w = 0.
    assert result.weights == 0.0


def test_the_users_own_works_on_trees_with_the_gradients_arithmetic():
    plain = Optimizer(lambda weights: (), lambda g, state, w, size, step: (w - size * g, state))

    def loss(weights):
        assert type(weights) is list
        return np.sum(weights[0] ** 2) + weights[1] ** 2

    result = descend(loss, [np.array([1.0, 2.0]), 3.0], step_size=0.25, optimizer=plain, steps=3)
    np.testing.assert_allclose(result.weights[0], np.array([1.0, 2.0]) / 8)
    assert result.weights[1] == 3.0 / 8
    assert type(result.weights) is list


def test_what_is_not_differentiated_is_carried_along_whatever_an_optimizer_does():
    def update(gradient, state, weights, step_size, step):
        return {"w": weights["w"] - step_size * gradient["w"], "n": weights["n"] + 1}, state

    own = Optimizer(lambda weights: (), update)
    weights = {"w": 1.0, "n": np.arange(2)}
    result = descend(lambda w: w["w"] ** 2, weights, step_size=0.25, optimizer=own, steps=2)
    np.testing.assert_array_equal(result.weights["n"], np.arange(2))
    assert result.weights["w"] == 0.25


def test_a_counter_in_the_state_is_not_compiled_into_the_step():
    runs = itertools.count()

    def loss(weights):
        next(runs)
        return np.sum(weights**2)

    def update(gradient, count, weights, step_size, step):
        return weights - step_size / (1 + count) * gradient, count + 1

    counting = Optimizer(lambda weights: 0, update)
    result = descend(loss, np.array([1.0]), step_size=0.25, optimizer=counting, steps=50)
    expected = np.prod([1 - 0.5 / (1 + t) for t in range(50)])
    np.testing.assert_allclose(result.weights, [expected])
    assert next(runs) < 10


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (lambda g, s, w, a, t: (np.float64(1) * w["W"], s), "a single leaf instead of W, b"),
        (lambda g, s, w, a, t: ({"b": w["b"], "W": w["W"]}, s), "b, W instead of W, b"),
        (
            lambda g, s, w, a, t: ({"W": w["W"] - np.float64(1) * g["W"], "b": w["b"]}, s),
            r"float64\[2\] of W, which is float32\[2\]",
        ),
        (
            lambda g, s, w, a, t: ({"W": w["W"][:1], "b": w["b"]}, s),
            r"float32\[1\] of W, which is float32\[2\]",
        ),
    ],
    ids=["another tree", "another order", "another dtype", "another shape"],
)
def test_what_a_wrong_update_returns_is_refused(update, message):
    weights = {"W": np.ones(2, np.float32), "b": np.ones(1, np.float32)}
    with pytest.raises(BadInputError, match=message):
        descend(
            lambda w: np.sum(w["W"] ** 2) + np.sum(w["b"] ** 2),
            weights,
            step_size=0.1,
            optimizer=Optimizer(lambda weights: (), update),
            steps=1,
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: find_optimizer("adm"), "did you mean 'adam'"),
        (lambda: find_optimizer("SGD"), "did you mean 'sgd'"),
        (lambda: find_optimizer("lbfgs"), "sgd, momentum, nesterov, adam, adamw"),
        (lambda: optimizers.momentum(1.0), "beta must be at least 0 and below 1"),
        (lambda: optimizers.nesterov(-0.1), "beta must be"),
        (lambda: optimizers.adam(beta2=float("nan")), "beta2 must be"),
        (lambda: optimizers.adam(epsilon=-1), "epsilon must be"),
        (lambda: optimizers.adamw(weight_decay=float("inf")), "weight_decay must be"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(BadInputError, match=message):
        make()


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (optimizers.adam, r"optimizers\.adam\(\), with brackets"),
        (3, "must be a name or an Optimizer, not int"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_optimizer_is_refused(optimizer, message):
    with pytest.raises(BadInputError, match=message):
        find_optimizer(optimizer)
