"""Moments and entropies of distributions, distributions of vectors and matrices, and estimates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy
import scipy.stats
from tests.array.scipy_calls import check

import steepest as sd
from steepest.errors import UnsupportedError

st: Any = scipy.stats
rng = np.random.default_rng(0)
X = rng.normal(size=(3, 7))
P = np.abs(X) + 0.5
Q = P[0]
LINE = rng.normal(size=11)
PLANE = rng.normal(size=(2, 12))
S = X @ X.T + np.eye(3)


def shares(x: Any) -> Any:
    return x / np.sum(x)


def definite(x: Any) -> Any:
    return x @ x.T + np.eye(len(x))


def moments(name: str, *shapes: Callable[[Any], Any], which: str = "mvsk") -> Callable[[Any], Any]:
    """Make the function of shape parameters that stacks moments."""

    def call(x: Any) -> Any:
        return np.stack(getattr(st, name).stats(*(each(x) for each in shapes), moments=which))

    return call


CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "norm": (lambda x: st.norm.mean(x, x**2) + st.norm(x, x**2).std() + st.norm.var(x, x), Q),
    "gamma": (lambda x: st.gamma(x).var() + st.gamma.std(x, 1.0, x) + st.gamma.mean(x, x, x), Q),
    "gamma, moments": (moments("gamma", lambda x: x), Q),
    "gamma, the third moment": (lambda x: st.gamma.moment(3, x[0], x[1], x[2]), Q),
    "gamma, the sixth moment": (lambda x: st.gamma(x[0], x[1], x[2]).moment(6), Q),
    "gamma, entropy": (lambda x: st.gamma.entropy(x, scale=x), Q),
    "beta, moments": (lambda x: np.stack(st.beta.stats(x, 2 * x, x, x**2, "mvsk")), Q),
    "binom": (lambda x: st.binom.var(7, x) + st.binom.mean(7, x, loc=2), Q / 4),
    "poisson, moments": (moments("poisson", lambda x: x), Q),
    "expon": (lambda x: st.expon(scale=x).entropy() + st.expon(scale=x).median(), Q),
    "lognorm, moments": (moments("lognorm", lambda x: x, which="mvs"), Q / 3),
    "weibull_min, moments": (moments("weibull_min", lambda x: x), Q),
    "weibull_min, entropy": (lambda x: st.weibull_min.entropy(x, scale=x), Q),
    "norm, interval": (lambda x: np.stack(st.norm.interval(0.9, x, x**2)), Q),
    "bernoulli": (lambda x: st.bernoulli.entropy(x) + st.bernoulli.var(x), Q / 4),
    "laplace, entropy": (lambda x: st.laplace(x, x**2).entropy(), Q),
    "chi2, entropy": (lambda x: st.chi2.entropy(x), Q),
    "invgamma, moments": (moments("invgamma", lambda x: x + 5), Q),
    "vonmises, entropy": (lambda x: st.vonmises.entropy(x), Q),
    "f, moments": (moments("f", lambda x: x + 2, lambda x: x + 9), Q),
    "uniform": (lambda x: st.uniform(x, x**2).entropy() * st.uniform(x, x**2).var(), Q),
    "geom, moments": (moments("geom", lambda x: x / 4), Q),
    "dirichlet": (lambda x: st.dirichlet.logpdf(shares(x[0]), x[1]), P),
    "dirichlet, without the last": (
        lambda x: st.dirichlet.pdf(shares(x[0])[:-1], x[1]),
        P,
    ),
    "dirichlet, frozen": (lambda x: st.dirichlet(x[1]).logpdf(shares(Q)), P),
    "dirichlet, frozen before": (lambda x: st.dirichlet(P[1]).logpdf(shares(x[0])), P),
    "dirichlet, moments": (
        lambda x: st.dirichlet.mean(x) + st.dirichlet(x).var() * st.dirichlet.entropy(x),
        Q,
    ),
    "multinomial": (lambda x: st.multinomial.logpmf([1, 2, 3], 6, shares(x[:3])), Q),
    "multinomial, frozen": (
        lambda x: st.multinomial([6], shares(x[:3])).pmf([[1, 2, 3], [3, 3, 1]]),
        Q,
    ),
    "multinomial, covariance": (lambda x: st.multinomial.cov(6, shares(x[:3])), Q),
    "wishart": (lambda x: st.wishart.logpdf(definite(x), 5, S), X),
    "wishart by parameters": (
        lambda x: st.wishart.logpdf(S, x[0, 0] ** 2 + 5, definite(x)),
        X,
    ),
    "wishart, frozen": (lambda x: st.wishart(5, definite(x)).logpdf(S), X),
    "wishart, frozen before": (lambda x: st.wishart(5, S).logpdf(definite(x)), X),
    "wishart of two": (lambda x: st.wishart.logpdf(np.stack([definite(x), S], -1), 5, S), X),
    "wishart of numbers": (lambda x: st.wishart.pdf(x, 3, 2.0), Q),
    "invwishart": (lambda x: st.invwishart.logpdf(definite(x), 5, S), X),
    "invwishart by parameters": (
        lambda x: st.invwishart.logpdf(S, x[0, 0] ** 2 + 5, definite(x)),
        X,
    ),
    "invwishart, frozen before": (lambda x: st.invwishart(5, S).logpdf(definite(x)), X),
    "multivariate_t": (
        lambda x: st.multivariate_t.logpdf(x[:, 0], x[:, 1], definite(x), 3 + x[0, 0] ** 2),
        X,
    ),
    "multivariate_t of points": (lambda x: st.multivariate_t.pdf(x.T, X[:, 0], S, 3), X),
    "multivariate_t, frozen": (lambda x: st.multivariate_t(x[:, 0], S, 3).logpdf(X[:, 2]), X),
    "multivariate_t, frozen before": (lambda x: st.multivariate_t(X[:, 0], S, 3).logpdf(x.T), X),
    "multivariate_t of numbers": (lambda x: st.multivariate_t.logpdf(x), LINE),
    "multivariate_t, many degrees": (
        lambda x: st.multivariate_t.logpdf(x[:, 0], None, S, np.inf),
        X,
    ),
    "multivariate_normal, entropy": (
        lambda x: st.multivariate_normal.entropy(None, definite(x)),
        X,
    ),
    "multivariate_normal, frozen": (
        lambda x: st.multivariate_normal(X[:, 0], definite(x)).entropy(),
        X,
    ),
    "gaussian_kde at points": (lambda x: st.gaussian_kde(LINE)(x), LINE),
    "gaussian_kde at points, logarithm": (lambda x: st.gaussian_kde(PLANE).logpdf(x), PLANE[:, :3]),
    "gaussian_kde by data": (lambda x: st.gaussian_kde(x)(LINE[:3]), LINE),
    "gaussian_kde by data of a plane": (
        lambda x: st.gaussian_kde(x, "silverman", weights=[1.0, 2.0] * 6).logpdf(PLANE[:, :4]),
        PLANE,
    ),
    "gaussian_kde by weights": (
        lambda w: st.gaussian_kde(LINE, weights=w).pdf(LINE[:3]),
        rng.uniform(0.5, 1, 11),
    ),
    "gaussian_kde by the bandwidth": (
        lambda b: st.gaussian_kde(LINE, bw_method=b[0])(LINE[:3]),
        [0.4],
    ),
}
BY_VALUES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "t, moments": (moments("t", lambda x: x + 5), Q),
    "t, entropy": (lambda x: st.t.entropy(x + 5, scale=x), Q),
    "pareto, moments": (moments("pareto", lambda x: x + 5), Q),
    "beta, entropy": (lambda x: st.beta.entropy(x, 2 * x), Q),
    "truncnorm, mean": (lambda x: st.truncnorm.mean(-x, x + 1), Q[:3]),
    "truncnorm, cdf": (lambda x: st.truncnorm.cdf(x / 4, -1.0, 2.0), Q[:3]),
}
"""Those whose formulas ask for the values of parameters."""


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    check(*CALLS[name])


@pytest.mark.parametrize("name", BY_VALUES)
def test_value_and_derivatives_of_formulas_with_conditions(name: str) -> None:
    # SciPy 1.18 writes that formula without a condition.
    compiles = name == "t, entropy" and np.lib.NumpyVersion(scipy.__version__) >= "1.18.0"
    check(*BY_VALUES[name], compiles=compiles, single=False)


def test_an_entropy_that_is_integrated() -> None:
    value, slope = sd.value_and_grad(lambda b: st.rice.entropy(b))(1.3)
    assert value == st.rice.entropy(1.3)
    around = st.rice.entropy(1.3 + 1e-4) - st.rice.entropy(1.3 - 1e-4)
    assert np.isclose(slope, around / 2e-4, rtol=1e-7)


@pytest.mark.filterwarnings("ignore")
def test_invalid_parameters() -> None:
    def call(x: Any) -> Any:
        return st.gamma.var(x) + st.norm.mean(x, -x)

    x = np.array([1.0, -1.0, np.nan])
    np.testing.assert_array_equal(sd.vjp(call, x)[0], call(x))

    def partly(x: Any) -> Any:
        return st.gamma.var(x) + st.norm.std(0.0, x)

    value, pullback = sd.vjp(partly, x)
    np.testing.assert_array_equal(value, partly(x))
    np.testing.assert_array_equal(pullback(np.ones(3))[0], [2.0, 0.0, 0.0])


def test_what_scipy_refuses_is_refused() -> None:
    for call in (
        lambda x: st.dirichlet.logpdf(x[:3], np.ones(3)),
        lambda x: st.dirichlet.logpdf(shares(Q), -x[:7]),
        lambda x: st.gaussian_kde(x[None].T),
        lambda x: st.wishart.logpdf(S, x[0] / 100, S),
    ):
        with pytest.raises(ValueError, match=r"ntr|parameters|dimensions|Degrees"):
            call(Q)
        with pytest.raises(ValueError, match=r"ntr|parameters|dimensions|Degrees"):
            sd.grad(lambda x, call=call: np.sum(call(x)))(Q)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: st.dirichlet(x).rvs(),
        lambda x: st.gaussian_kde(x).resample(3),
        lambda x: st.multinomial.logpmf([1, 2, 3], 6, x[:3]),
        lambda x: st.matrix_normal.logpdf(np.outer(x, x), np.zeros((7, 7))),
        lambda x: st.wishart.entropy(8, np.outer(x, x)),
        lambda x: st.gamma(x).expect(),
    ],
)
def test_refusals(call: Callable[[Any], Any]) -> None:
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda x: np.sum(call(x)))(Q)
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead
