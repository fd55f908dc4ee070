"""Random numbers that a function draws: the arrays are its own to write into."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng, randn

import steepest as sd
from steepest.array.random_numbers import NAMES

X = np.array([0.3, -1.2, 0.7])


def of_the_module(x: Any) -> Any:
    np.random.seed(0)  # noqa: NPY002  # what is tested
    weights = np.random.rand(2, 3)  # noqa: NPY002
    weights[0] = x
    weights += np.random.normal(size=3) * x  # noqa: NPY002
    return weights


def by_name(x: Any) -> Any:
    np.random.seed(1)  # noqa: NPY002
    weights, others = randn(3), default_rng(2).random(3)  # noqa: NPY002
    weights *= x
    others[1:] = x[1:] ** 2
    return weights + others


def of_a_generator(x: Any) -> Any:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(2, 3))
    for _ in range(3):
        weights -= 0.1 * (weights - x)
    return weights[:, rng.permutation(3)] * rng.integers(1, 3, 3)


def of_a_random_state(x: Any) -> Any:
    state = np.random.RandomState(0)
    weights = state.uniform(size=(2, 3))
    weights[1] += x
    return weights[:, state.randint(0, 3, 2)] * state.rand()


class Model:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(3)
        self.weights = self.rng.standard_normal(3)

    def fit(self, x: Any) -> Any:
        self.weights -= 0.5 * (self.weights - x)
        return self.weights


@pytest.mark.parametrize(
    "function",
    [of_the_module, by_name, of_a_generator, of_a_random_state, lambda x: Model().fit(x)],
    ids=["module", "by name", "generator", "random state", "attribute"],
)
def test_traced_values_are_written_into_what_was_drawn(function: Callable[[Any], Any]) -> None:
    expected = function(X)
    value, _ = sd.vjp(function, X)
    assert value.dtype == expected.dtype
    np.testing.assert_array_equal(value, expected)
    assert sd.check_gradient(lambda x: np.sum(function(x) ** 2), X).verdict == "correct"


def shuffled(rng: Any, x: Any, axis: int = 0) -> Any:
    y = np.copy(x)
    rng.shuffle(y.T, **({"axis": axis} if axis else {}))
    return y


def permuted_into(rng: Any, x: Any) -> Any:
    y = np.array(x)
    rng.permuted(y, axis=1, out=y)
    return y


REARRANGED: dict[str, Callable[[Any, Any], Any]] = {
    "shuffle": shuffled,
    "shuffle rows": lambda rng, x: shuffled(rng, x[0]),
    "shuffle, axis": lambda rng, x: shuffled(rng, x, 1),
    "permutation": lambda rng, x: rng.permutation(x),
    "permutation of a vector": lambda rng, x: rng.permutation(x[1]),
    "permutation, axis": lambda rng, x: rng.permutation(x, 1),
    "permutation of a list": lambda rng, x: rng.permutation([x[0, 0], x[1, 1], 2.0]),
    "permuted": lambda rng, x: rng.permuted(x),
    "permuted along an axis": lambda rng, x: rng.permuted(x.T, axis=0),
    "permuted in place": permuted_into,
    "choice": lambda rng, x: rng.choice(x[0], 5),
    "choice, one": lambda rng, x: rng.choice(a=x[0], p=[0.1, 0.2, 0.7]),
    "choice, axis": lambda rng, x: rng.choice(x, (2, 2), True, None, 1),
    "choice of rows": lambda rng, x: rng.choice(x, 1),
}


@pytest.mark.parametrize("name", REARRANGED)
def test_what_is_rearranged_keeps_its_gradient(name: str) -> None:
    def of_kind(kind: str, x: Any) -> Any:
        rng: Any = np.random
        if kind == "module":
            np.random.seed(3)  # noqa: NPY002  # which it is about
        else:
            rng = np.random.default_rng(3) if kind == "generator" else np.random.RandomState(3)
        return REARRANGED[name](rng, x)

    x = np.arange(6.0).reshape(2, 3) + 0.5
    for kind in ("generator", "old", "module"):
        try:
            expected = of_kind(kind, x)
        except (AttributeError, TypeError, ValueError) as refusal:
            with pytest.raises(type(refusal)):
                sd.vjp(lambda x, kind=kind: of_kind(kind, x), x)
            continue
        value, pullback = sd.vjp(lambda x, kind=kind: of_kind(kind, x), x)
        np.testing.assert_array_equal(value, expected)
        assert np.shape(value) == np.shape(expected)
        assert np.sum(pullback(np.ones_like(expected))[0] * x) == pytest.approx(
            np.sum(value) - 2.0 * ("list" in name)
        )


@pytest.mark.parametrize("name", NAMES)
def test_draws_are_those_of_numpy(name: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "beta": (1.0, 2.0, 4), "binomial": (5, 0.5, 4), "chisquare": (2.0, 4), "choice": (5, 4),
        "dirichlet": ((1.0, 2.0), 4), "gamma": (2.0, 1.0, 4), "geometric": (0.3, 4),
        "multinomial": (5, (0.2, 0.8), 4), "multivariate_normal": ((0, 1), np.eye(2), 4),
        "permutation": (4,), "poisson": (3.0, 4), "randint": (0, 9, 4), "rayleigh": (1.0, 4),
        "weibull": (2.0, 4),
    }  # fmt: skip
    given = arguments.get(name, (4,))
    if name in ("exponential", "gumbel", "laplace", "logistic", "lognormal", "normal", "uniform"):
        given = (0.5, 4) if name == "exponential" else (0.5, 1.5, 4)

    def draw(x: Any) -> Any:
        np.random.seed(5)  # noqa: NPY002
        state, rng = np.random.RandomState(5), np.random.default_rng(5)
        drawn = [getattr(source, name)(*given) for source in (np.random, state)]
        if hasattr(rng, name):
            drawn.append(getattr(rng, name)(*given))
        for each in drawn:
            each.flat[0] = 1
        return [each * x for each in drawn]

    for value, expected in zip(sd.vjp(draw, 2.0)[0], draw(2.0), strict=True):
        np.testing.assert_array_equal(value, expected)
        assert value.dtype == expected.dtype


def test_numbers_are_drawn_into_an_array_of_the_function() -> None:
    def function(x: Any) -> Any:
        out = np.empty((2, 2))
        rng = np.random.default_rng(0)
        assert rng.standard_normal(out=out[0]) is not None
        rng.random(2, out=out[1])
        out[0, 0] *= x[0]
        return np.sum(out * x)

    x = np.array([2.0, 3.0])
    value, gradient = sd.value_and_grad(function)(x)
    assert value == function(x)
    rng = np.random.default_rng(0)
    (a, b), (c, d) = rng.standard_normal(2), rng.random(2)
    np.testing.assert_allclose(gradient, [2 * a * x[0] + c, b + d], rtol=1e-14)


def test_generators_are_what_they_were() -> None:
    of_old = np.random.RandomState(0)
    given = np.random.default_rng(0)

    def function(x: Any) -> Any:
        rng, state = np.random.default_rng(0), np.random.RandomState(0)
        assert isinstance(rng, np.random.Generator)
        assert isinstance(state, np.random.RandomState)
        assert isinstance(of_old, np.random.RandomState)
        assert not isinstance(rng, np.random.RandomState)
        assert issubclass(type(of_old), np.random.RandomState)
        assert np.random.default_rng(given) is given
        assert np.random.default_rng(rng) is rng
        assert type(pickle.loads(pickle.dumps(rng))) is np.random.Generator
        assert copy.deepcopy(rng).random() == rng.random()
        assert type(pickle.loads(pickle.dumps(state))) is type(of_old)
        own = type("Own", (np.random.RandomState,), {})
        assert isinstance(own(0), own)
        assert isinstance(own(0), np.random.RandomState)
        assert not isinstance(state, own)
        assert not issubclass(type(state), own)
        assert isinstance(rng.normal(), float)
        assert isinstance(state.normal(), float)
        return x

    sd.grad(function)(1.0)


def test_libraries_get_ndarrays() -> None:
    from scipy import stats

    kinds = []

    def function(x: Any) -> Any:
        kinds.append(type(stats.norm.rvs(size=3, random_state=np.random.default_rng(0))))
        kinds.append(type(sorted([np.random.default_rng(0)], key=lambda rng: rng.normal())))
        return x

    sd.grad(function)(1.0)
    assert kinds == [np.ndarray, list]


def test_afterwards_all_is_as_it_was() -> None:
    before = {name: getattr(np.random, name) for name in (*NAMES, "default_rng", "RandomState")}
    sd.grad(lambda x: np.sum(of_a_generator(x)))(X)
    assert {name: getattr(np.random, name) for name in before} == before
    made: list[Any] = []

    def keep(x: Any) -> Any:
        made.append(np.random.default_rng(0))
        return x

    sd.grad(keep)(1.0)
    assert type(made[0].normal(size=2)) is np.ndarray
    np.testing.assert_array_equal(made[0].normal(), np.random.default_rng(0).normal(size=3)[2])


def test_compiled() -> None:
    function = sd.compile(lambda x: np.sum(of_a_generator(x) ** 2))
    assert function(X) == pytest.approx(np.sum(of_a_generator(X) ** 2))
    gradient = sd.compile(sd.grad(lambda x: np.sum(of_a_generator(x) ** 2)))(X)
    np.testing.assert_allclose(gradient, sd.grad(lambda x: np.sum(of_a_generator(x) ** 2))(X))
