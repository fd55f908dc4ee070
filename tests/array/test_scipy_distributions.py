"""The distributions of scipy.stats: SciPy's values, and derivatives of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
from tests.array.scipy_calls import check, check_type

import steepest as sd
from steepest.errors import SteepestError, UnsupportedError

st: Any = scipy.stats
expit: Any = scipy.special.expit
DENSITIES = ("pdf", "logpdf")
PROBABILITIES = ("cdf", "logcdf", "sf", "logsf")
QUANTILES = ("ppf", "isf")

EVERYWHERE = {
    "expon": (),
    "gumbel_r": (),
    "halfcauchy": (),
    "halfnorm": (),
    "laplace": (),
    "logistic": (),
    "lognorm": (0.7,),
    "maxwell": (),
    "norm": (),
    "rayleigh": (),
    "uniform": (),
    "weibull_min": (1.5,),
}
"""Distributions whose functions are all differentiated by all parameters: shape parameters."""
BY_SHAPE_IN_DENSITIES = {
    "beta": (2.0, 3.0),
    "chi2": (3.0,),
    "f": (4.0, 5.0),
    "gamma": (2.5,),
    "gennorm": (1.5,),
    "invgamma": (3.0,),
    "t": (3.5,),
}
"""Those whose probabilities are no known formula's derivative by the shape parameters."""
POINTS = np.array([0.3, 0.6, 0.9])


def of_methods(
    name: str, methods: tuple[str, ...], shapes: tuple[float, ...], *, by_shapes: bool
) -> tuple[Callable[[Any], Any], Any]:
    """Make a function of scale, place, a factor of the points and the shape parameters."""

    def call(p: Any) -> Any:
        moved = [shape * p[3 + i] if by_shapes else shape for i, shape in enumerate(shapes)]
        distribution = getattr(st, name)
        return np.concatenate(
            [
                getattr(distribution, method)(POINTS * p[2], *moved, loc=p[1], scale=p[0])
                for method in methods
            ]
        )

    return call, np.array([1.05, -0.02, 1.0, *(1.0 for _ in shapes if by_shapes)])


@pytest.mark.parametrize("methods", [DENSITIES, PROBABILITIES, QUANTILES], ids=lambda m: m[0])
@pytest.mark.parametrize("name", EVERYWHERE)
def test_by_all_parameters(name: str, methods: tuple[str, ...]) -> None:
    check(*of_methods(name, methods, EVERYWHERE[name], by_shapes=True), single=False)


@pytest.mark.parametrize("name", BY_SHAPE_IN_DENSITIES)
def test_densities_by_shape_parameters(name: str) -> None:
    shapes = BY_SHAPE_IN_DENSITIES[name]
    check(*of_methods(name, DENSITIES, shapes, by_shapes=True), single=False)


@pytest.mark.parametrize("name", BY_SHAPE_IN_DENSITIES)
def test_probabilities_by_the_others(name: str) -> None:
    shapes = BY_SHAPE_IN_DENSITIES[name]
    check(*of_methods(name, PROBABILITIES, shapes, by_shapes=False), single=False)


def test_every_continuous_distribution_is_right_or_an_error() -> None:
    tried = 0
    for distribution in vars(st).values():
        if not isinstance(distribution, st.rv_continuous) or distribution.shapes:
            continue
        for method in DENSITIES:
            name = distribution.name

            def loss(x: Any, name: str = name, method: str = method) -> Any:
                return getattr(getattr(st, name), method)(x, loc=-0.1, scale=1.3)

            step = 1e-5
            try:
                with np.errstate(all="ignore"):
                    slope = (loss(0.4 + step) - loss(0.4 - step)) / (2 * step)
                    gradient = sd.grad(loss)(0.4)
            except SteepestError:
                continue
            if not np.isfinite(slope):  # outside of the support
                continue
            np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-8, err_msg=name)
            tried += 1
    assert tried > 40


AT_LIMITS: dict[str, tuple[tuple[float, ...], ...]] = {
    "genextreme": ((0.0,), (0.05,), (-0.4,)),
    "genpareto": ((0.0,), (0.05,)),
    "kappa3": ((1.0,),),
    "kappa4": ((0.0, 0.0), (0.3, 0.0), (0.0, -0.4), (0.02, 0.3)),
    "skewnorm": ((0.0,),),
    "truncnorm": ((-1.0, 2.0), (0.1, 3.0)),
}
"""Shape parameters at which SciPy goes over to another formula, and some near them."""
AT_BOUNDS: dict[str, tuple[tuple[float, ...], ...]] = {
    "ncx2": ((0.0,),),
    "rice": ((0.0,),),
    "triang": ((0.0,), (1.0,)),
    "vonmises": ((0.0,),),
}
"""Those that are also a bound of a parameter, from which a difference goes one way alone."""


@np.errstate(invalid="ignore")
@pytest.mark.parametrize("name", AT_LIMITS | AT_BOUNDS)
def test_derivatives_by_shape_parameters_are_limits(name: str) -> None:
    for shapes in (AT_LIMITS | AT_BOUNDS)[name]:
        for method in (*DENSITIES, *PROBABILITIES, *QUANTILES):
            if name == "kappa4" and shapes[1] == 0 and method in QUANTILES:
                continue  # SciPy's own are NaN where h is negative.

            def call(s: Any, x: Any, method: str = method) -> Any:
                fixed = (3.0,) if name == "ncx2" else ()
                return getattr(getattr(st, name), method)(x, *fixed, *s)

            at = np.array(shapes)
            x = 0.6 if method in QUANTILES else 0.45
            try:
                value, pullback = sd.vjp(call, at, x)
            except UnsupportedError:
                assert name in ("ncx2", "rice", "skewnorm", "vonmises")
                continue
            np.testing.assert_allclose(value, call(at, x), rtol=1e-12, err_msg=method)
            gradient, by_point = pullback(np.ones(()))
            weights = [-25, 48, -36, 16, -3] if name in AT_BOUNDS else [0, 8, -1, 1, -8]
            steps = [0, 1, 2, 3, 4] if name in AT_BOUNDS else [0, 1, 2, -2, -1]
            sign = -1 if shapes == (1.0,) and name == "triang" else 1
            h = sign * 1e-3
            for i in range(len(at)):
                unit = np.eye(len(at))[i] * h
                terms = [w * call(at + k * unit, x) for w, k in zip(weights, steps, strict=True)]
                slope = np.sum(terms) / (12 * h)
                np.testing.assert_allclose(gradient[i], slope, rtol=1e-6, atol=1e-8, err_msg=method)
            slope = (call(at, x + 1e-6) - call(at, x - 1e-6)) / 2e-6
            np.testing.assert_allclose(by_point, slope, rtol=1e-6, err_msg=method)


OUTSIDE: dict[str, Callable[[Any], Any]] = {
    "expon.pdf": lambda x: st.expon.pdf(x),
    "gamma.logpdf": lambda x: st.gamma.logpdf(x, 2.0),
    "beta.cdf": lambda x: st.beta.cdf(x, 2.0, 3.0),
    "beta.sf": lambda x: st.beta.sf(x, 2.0, 3.0),
    "uniform.logcdf": lambda x: st.uniform.logcdf(x, loc=0.2),
    "expon.logsf": lambda x: st.expon.logsf(x),
    "norm.pdf": lambda x: st.norm.pdf(x, scale=x),
    "norm.ppf": lambda x: st.norm.ppf(x),
    "expon.isf": lambda x: st.expon.isf(x),
}
EDGES = np.array([-np.inf, -1.5, 0.0, 0.3, 0.7, 1.0, 2.5, np.inf, np.nan])


@pytest.mark.parametrize("name", OUTSIDE)
def test_outside_of_the_support_and_of_the_parameters(name: str) -> None:
    with np.errstate(all="ignore"):
        check_outside(OUTSIDE[name])


def check_outside(call: Callable[[Any], Any]) -> None:
    expected = call(EDGES)
    check_type(call, EDGES, expected)
    np.testing.assert_allclose(sd.compile(call)(EDGES), expected, rtol=1e-9)
    gradient = sd.grad(lambda x: np.sum(np.where(np.isfinite(expected), call(x), 0)))(EDGES)
    inside = slice(3, 5)
    step = 1e-6
    slopes = (call(EDGES[inside] + step) - call(EDGES[inside] - step)) / (2 * step)
    np.testing.assert_allclose(gradient[inside], slopes, rtol=1e-5)
    assert np.all(np.isfinite(gradient[:5]))


PRIOR, TAILED = st.gamma(2.0, scale=0.5), st.t(3.0)
FROZEN: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "made of traced parameters": (lambda p: st.norm(p[0], p[1]).logpdf(POINTS), [0.2, 1.3]),
    "made before": (lambda x: PRIOR.logpdf(x), POINTS),
    "probabilities": (lambda x: TAILED.cdf(x), POINTS),
    "quantiles": (lambda p: st.logistic(p[0], p[1]).ppf(POINTS), [0.2, 1.3]),
}


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_distributions(name: str) -> None:
    check(*FROZEN[name], single=False)


DISCRETE: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "poisson.logpmf": (lambda m: st.poisson.logpmf([0, 1, 2, 5], m), [2.3]),
    "poisson.pmf": (lambda m: st.poisson.pmf([0, 1, -2, 1.5], m), [2.3]),
    "poisson.cdf": (lambda m: st.poisson.cdf([0, 1, 2.5, -1], m), [2.3]),
    "poisson.sf": (lambda m: st.poisson.sf([0, 1, 2.5], m), [2.3]),
    "poisson, moved": (lambda m: st.poisson.logpmf([3, 4], m, loc=2), [2.3]),
    "binom.logpmf": (lambda p: st.binom.logpmf([0, 1, 5], 5, expit(p)), [0.3]),
    "binom.pmf": (lambda p: st.binom.pmf([0, 1, 5], 5, expit(p)), [0.3]),
    "bernoulli.logpmf": (lambda p: st.bernoulli.logpmf([0, 1, 1], expit(p)), POINTS),
    "nbinom.logpmf": (lambda p: st.nbinom.logpmf([0, 1, 3], p + 1, expit(p)), POINTS),
    "geom.logpmf": (lambda p: st.geom.logpmf([1, 2, 3], expit(p)), POINTS),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_distributions_by_their_parameters(name: str) -> None:
    call, x = DISCRETE[name]
    check(call, x, single=False)


rng = np.random.default_rng(0)
MEAN = rng.normal(size=3)
MIXED = rng.normal(size=(3, 3))
COVARIANCE = MIXED @ MIXED.T + np.eye(3)
SAMPLES = rng.normal(size=(4, 3))
NORMAL_OF_VECTORS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "by points": (lambda x: st.multivariate_normal.logpdf(x, MEAN, COVARIANCE), SAMPLES),
    "by a point": (lambda x: st.multivariate_normal.logpdf(x, MEAN, COVARIANCE), MEAN + 1),
    "by the covariance matrix": (
        lambda c: st.multivariate_normal.logpdf(SAMPLES, MEAN, c),
        COVARIANCE,
    ),
    "by the mean": (lambda m: st.multivariate_normal.pdf(SAMPLES, m, COVARIANCE), MEAN),
    "by variances": (lambda c: st.multivariate_normal.logpdf(SAMPLES, MEAN, c), MEAN**2 + 1),
    "by one variance": (lambda c: st.multivariate_normal.logpdf(SAMPLES, MEAN, c[0]), [1.7]),
    "of numbers": (lambda c: st.multivariate_normal.logpdf(POINTS, c[0], c[1]), [0.2, 1.3]),
    "frozen": (lambda x: st.multivariate_normal(MEAN, COVARIANCE).logpdf(x), SAMPLES),
    "frozen, density": (lambda x: st.multivariate_normal(MEAN, COVARIANCE).pdf(x), SAMPLES),
    "frozen, by the mean": (lambda m: st.multivariate_normal(m, COVARIANCE).pdf(SAMPLES), MEAN),
    "frozen, by the covariance matrix": (
        lambda c: st.multivariate_normal(mean=MEAN, cov=c).logpdf(SAMPLES),
        COVARIANCE,
    ),
}


@pytest.mark.parametrize("name", NORMAL_OF_VECTORS)
def test_normal_distribution_of_vectors(name: str) -> None:
    check(*NORMAL_OF_VECTORS[name], single=False)


def test_singular_covariance_matrices_are_errors() -> None:
    singular = np.ones((3, 3))
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        sd.grad(lambda c: st.multivariate_normal.logpdf(MEAN, MEAN, c))(singular)
    with pytest.raises(UnsupportedError, match="singular"):
        sd.grad(lambda c: st.multivariate_normal.logpdf(MEAN, MEAN, c, allow_singular=True))(
            singular
        )


REFUSED: dict[str, Callable[[Any], Any]] = {
    "gamma.cdf by its shape parameter": lambda x: st.gamma.cdf(0.3, x[0]),
    "nct.pdf": lambda x: st.nct.pdf(x[0], 3.0, 0.5),
    "nbinom.mean": lambda x: st.nbinom.mean(3.0, x[0]),
    "multivariate_normal(…).rvs": lambda x: st.multivariate_normal(x).rvs(),
    "genextreme.mean at c = 0": lambda x: st.genextreme.mean(0 * x[0]),
    "genpareto.moment at c = 0": lambda x: st.genpareto.moment(5, 0 * x[0]),
    "ncx2.ppf at nc = 0": lambda x: st.ncx2.ppf(0.3, 3.0, 0 * x[0]),
    "Covariance": lambda x: st.Covariance.from_diagonal(x).log_pdet,
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_line_and_what_to_write(name: str) -> None:
    with pytest.raises(SteepestError) as caught:
        sd.grad(lambda x: REFUSED[name](x))(POINTS)
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead


def test_one_parameter_of_each_example_in_a_loss() -> None:
    """A regression with a Student's t likelihood and priors, as one writes it with SciPy."""
    x = np.linspace(-1, 1, 20)
    y = 2 * x + 0.5 + 0.1 * np.sin(9 * x)

    def loss(p: Any) -> Any:
        line = p["slope"] * x + p["intercept"]
        likelihood = np.sum(st.t.logpdf(y, p["freedom"], loc=line, scale=np.exp(p["log_scale"])))
        prior = st.norm.logpdf(p["slope"], 0, 10) + st.gamma.logpdf(p["freedom"], 2.0, scale=5.0)
        return -(likelihood + prior)

    start = {"slope": 0.0, "intercept": 0.0, "freedom": 4.0, "log_scale": 0.0}
    assert sd.check_gradient(loss, start).ok
    result = sd.descend(loss, start, step_size=0.02, steps=300, optimizer="adam")
    assert abs(result.weights["slope"] - 2) < 0.1


def test_quantiles_of_single_precision_are_doubles_as_scipys() -> None:
    arguments = np.array([[0.2, 0.7], [0.1, 0.3], [1.5, 2.0]], np.float32)
    for given in (arguments, arguments[:, 0]):
        value, _ = sd.vjp(lambda q, given=given: st.gumbel_r.ppf(q, *given[1:]), given[0])
        expected = st.gumbel_r.ppf(*given)
        assert value.dtype == expected.dtype == np.float64
        np.testing.assert_array_equal(value, expected)
