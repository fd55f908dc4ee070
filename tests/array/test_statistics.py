"""Order statistics, averages, covariances and histograms."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.array.conformity import Case, check_derivatives, parameters

import steepest as sd

RNG = np.random.default_rng(2)
VECTOR = RNG.uniform(-2, 2, 9)
SINGLE = VECTOR.astype(np.float32)
HALF = VECTOR.astype(np.float16)
MATRIX = RNG.uniform(-2, 2, (3, 4))
BLOCK = RNG.uniform(-2, 2, (2, 3, 2))
COMPLEX = RNG.uniform(-2, 2, 5) + 1j * RNG.uniform(-2, 2, 5)
WEIGHTS = RNG.uniform(0.2, 1, 9)
NUMBER = np.float64(1.5)
UNKNOWN: Any = "unknown"

METHODS = (
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "linear",
    "median_unbiased",
    "normal_unbiased",
    "lower",
    "higher",
    "midpoint",
    "nearest",
)
FRACTIONS: dict[str, Any] = {
    "0.3": 0.3,
    "0.5": 0.5,
    "0": 0,
    "1.0": 1.0,
    "single": np.float32(0.3),
    "list": [0.1, 0.25, 0.5],
    "integers": np.array([0, 1]),
    "table": np.array([[0.1, 0.9], [0.25, 0.5]]),
}

MEDIANS = {
    f"{f.__name__} {axis} {keepdims}": Case(
        lambda x, f=f, axis=axis, keepdims=keepdims: f(x, axis=axis, keepdims=keepdims),
        (BLOCK,),
    )
    for f in (np.median, np.nanmedian)
    for axis, keepdims in ((None, False), (0, False), (-1, True), ((0, 2), True), ((0, 1), False))
} | {
    f"{f.__name__} {name}": Case(f, (x,))
    for f in (np.median, np.nanmedian)
    for name, x in (("1d", VECTOR), ("0d", NUMBER), ("f", SINGLE), ("e", HALF), ("c", COMPLEX))
}

QUANTILES = (
    {
        f"{f.__name__} {method} {name}": Case(
            lambda x, f=f, q=q, method=method: f(x, q, axis=1, method=method),
            (BLOCK,),
            differentiable=name == "list" and f is np.quantile,
        )
        for f in (np.quantile, np.nanquantile)
        for method in METHODS
        for name, q in FRACTIONS.items()
        # All fractions by two methods, and all methods at what tells them apart.
        if method in {"linear", "hazen"} or (name in {"list", "integers"} and f is np.quantile)
    }
    | {
        f"{f.__name__} single {name}": Case(lambda x, f=f, q=q: f(x, q), (SINGLE,))
        for f in (np.quantile, np.nanquantile)
        for name, q in FRACTIONS.items()
    }
    | {
        f"{f.__name__} {name}": Case(call, args)
        for f in (np.quantile, np.nanquantile)
        for name, call, args in (
            ("of q", lambda x, q, f=f: f(x, q), (VECTOR, np.array([0.3, 0.77]))),
            ("of q, hazen", lambda x, q, f=f: f(x, q, method="hazen"), (VECTOR, np.float64(0.3))),
            ("keepdims", lambda x, f=f: f(x, 0.4, axis=(0, 2), keepdims=True), (BLOCK,)),
            (
                "weights",
                lambda x, f=f: f(x, [0.1, 0.5, 1], weights=WEIGHTS, method="inverted_cdf"),
                (VECTOR,),
            ),
            (
                "weights of an axis",
                lambda x, f=f: f(
                    x, 0.6, axis=1, weights=np.ones(BLOCK.shape), method="inverted_cdf"
                ),
                (BLOCK,),
            ),
        )
    }
    | {
        f"{f.__name__} {name}": Case(lambda x, f=f, q=q: f(x, q), (x,))
        for f in (np.percentile, np.nanpercentile)
        for name, q, x in (("number", 25, SINGLE), ("list", [25, 50.0], VECTOR))
    }
)

AVERAGES = {
    "average": Case(np.average, (VECTOR,)),
    "average returned": Case(lambda x: np.average(x, axis=0, returned=True), (MATRIX,)),
    "average weights": Case(
        lambda x, w: np.average(x, weights=w, returned=True), (VECTOR, WEIGHTS)
    ),
    "average weights of an axis": Case(
        lambda x, w: np.average(x, axis=1, weights=w, returned=True), (MATRIX, WEIGHTS[:4])
    ),
    "average weights of two axes": Case(
        lambda x, w: np.average(x, axis=(2, 0), weights=w, keepdims=True),
        (BLOCK, RNG.uniform(0.1, 1, (2, 2))),
    ),
    "average complex": Case(lambda x, w: np.average(x, weights=w), (COMPLEX, WEIGHTS[:5])),
    "average single": Case(lambda x, w: np.average(x, weights=w, returned=True), (SINGLE, WEIGHTS)),
    "ptp": Case(np.ptp, (MATRIX,)),
    "ptp axis": Case(lambda x: np.ptp(x, axis=0, keepdims=True), (MATRIX,)),
}

COVARIANCES = {
    "cov": Case(np.cov, (MATRIX,)),
    "cov vector": Case(np.cov, (VECTOR,)),
    "cov of two": Case(np.cov, (VECTOR, WEIGHTS)),
    "cov columns": Case(lambda x: np.cov(x, rowvar=False, bias=True), (MATRIX,)),
    "cov fweights": Case(lambda x: np.cov(x, fweights=[1, 2, 3, 1]), (MATRIX,)),
    "cov both weights": Case(
        lambda x, w: np.cov(x, aweights=w, fweights=[1, 2, 3, 1]), (MATRIX, WEIGHTS[:4])
    ),
    "cov ddof": Case(lambda x, w: np.cov(x, aweights=w, ddof=0), (MATRIX, WEIGHTS[:4])),
    "cov complex": Case(np.cov, (COMPLEX, WEIGHTS[:5])),
    "cov single": Case(lambda x: np.cov(x, dtype=np.float32), (MATRIX.astype(np.float32),)),
    "cov no degrees": Case(lambda x: np.cov(x, ddof=4), (MATRIX,), differentiable=False),
    "corrcoef": Case(np.corrcoef, (MATRIX,)),
    "corrcoef vector": Case(np.corrcoef, (VECTOR,), differentiable=False),
    "corrcoef of two": Case(np.corrcoef, (VECTOR, WEIGHTS)),
    "corrcoef complex": Case(np.corrcoef, (COMPLEX, WEIGHTS[:5])),
    "corrcoef columns": Case(lambda x: np.corrcoef(x, rowvar=False), (BLOCK[0],)),
}

HISTOGRAMS = {
    **{
        f"histogram {bins} {density}": Case(
            lambda x, bins=bins, density=density: np.histogram(x, bins, density=density),
            (VECTOR,),
            needs_values=bins == "auto",
        )
        for bins in (5, (-2.0, -1.0, 0.0, 1.5), "auto")
        for density in (False, True)
    },
    **{
        f"histogram weights {density}": Case(
            lambda x, w, density=density: np.histogram(x, 5, density=density, weights=w),
            (VECTOR, WEIGHTS),
        )
        for density in (False, True)
    },
    "histogram range": Case(lambda x: np.histogram(x, 7, (-1, 1.0)), (VECTOR,)),
    "histogram edges": Case(np.histogram, (VECTOR, np.array([-1.0, 0.0, 0.5, 2.0]))),
    "histogram single": Case(lambda x: np.histogram(x, 7), (SINGLE,)),
    "histogram complex weights": Case(
        lambda x, w: np.histogram(x, 3, weights=w), (VECTOR[:5], COMPLEX)
    ),
    "histogram_bin_edges": Case(np.histogram_bin_edges, (VECTOR,)),
    "histogram2d": Case(lambda x, y: np.histogram2d(x, y, 4), (VECTOR, WEIGHTS)),
    "histogram2d weights": Case(
        lambda x, y, w: np.histogram2d(x, y, [3, [0.0, 0.5, 1]], weights=w, density=True),
        (VECTOR, WEIGHTS, WEIGHTS + 1),
    ),
    "histogramdd": Case(lambda x: np.histogramdd(x, (2, 3, 2)), (RNG.uniform(0, 1, (7, 3)),)),
    "bincount": Case(lambda w: np.bincount([0, 3, 3, 1, 2, 2, 5, 0, 1], w, 8), (WEIGHTS,)),
    "bincount single": Case(lambda w: np.bincount([0, 3, 3, 1], w), (SINGLE[:4],)),
}

ALL = {**MEDIANS, **QUANTILES, **AVERAGES, **COVARIANCES, **HISTOGRAMS}
SMOOTH = {name: case for name, case in ALL.items() if case.differentiable}


@parameters(ALL)
def test_values_are_numpys(case: Case) -> None:
    case.check_values()


@parameters({name: case for name, case in ALL.items() if "quantile" not in name or "list" in name})
def test_values_are_numpys_for_special_numbers(case: Case) -> None:
    case.check_special_values()


@parameters(SMOOTH)
def test_derivatives(case: Case) -> None:
    case.check_derivatives()


def test_a_median_of_nan_has_the_derivative_of_the_nan() -> None:
    x = np.array([1.0, np.nan, 2.0, np.nan])
    np.testing.assert_array_equal(sd.grad(np.median)(x), [0, 0.5, 0, 0.5])
    np.testing.assert_array_equal(sd.grad(np.nanmedian)(x), [0.5, 0, 0.5, 0])


def test_a_quantile_at_an_entry_has_the_mean_of_the_slopes_beside_it() -> None:
    x = np.array([1.0, 2.0, 4.0])
    assert sd.grad(lambda q: np.quantile(x, q))(0.5) == 2 * (1 + 2) / 2
    assert sd.grad(lambda q: np.quantile(x, q))(0.25) == 2 * 1
    assert sd.grad(lambda q: np.percentile(x, q))(75.0) == 2 * 2 / 100


def test_the_edges_of_a_histogram_move_with_the_extremes() -> None:
    x = np.array([0.0, 1.0, 4.0])
    jacobian = sd.jacobian(lambda x: np.histogram(x, 2)[1])(x)
    np.testing.assert_array_equal(jacobian, [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]])


def test_a_correlation_of_one_has_a_derivative() -> None:
    # Rounding may put a correlation beyond 1, where NumPy clips it.
    x = np.array([0.1, 0.2, 0.7])
    for scale in (3.0, 0.1, 7.0):
        gradient = sd.grad(lambda y: np.corrcoef(x, y)[0, 1])(scale * x)
        np.testing.assert_allclose(gradient, 0, atol=1e-7)


def test_medians_differentiate_twice_through_what_they_are_taken_of() -> None:
    check_derivatives(lambda x: np.median(np.abs(x - np.median(x))), VECTOR)
    check_derivatives(lambda x: np.quantile(x * x[::-1], 0.3), VECTOR)


@pytest.mark.parametrize("engine", ["interpret", "native"])
def test_descent_by_a_median(engine: Any) -> None:
    data = np.random.default_rng(0).normal(size=(64,))
    result = sd.descend(
        lambda w, batch: np.median((batch - w) ** 2) + 0.1 * np.quantile(np.abs(w - batch), 0.9),
        np.array(3.0),
        data,
        step_size=0.2,
        batch_size=16,
        epochs=4,
        engine=engine,
    )
    assert abs(result.weights) < 1


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: np.quantile(x, 1.5), ValueError),
        (lambda x: np.percentile(x, -1), ValueError),
        (lambda x: np.quantile(x, 0.5, method=UNKNOWN), ValueError),
        (lambda x: np.quantile(x, 0.5, weights=x**2), ValueError),
        (lambda x: np.quantile(x + 1j, 0.5), TypeError),
        (lambda x: np.average(x, weights=np.zeros(9)), ZeroDivisionError),
        (lambda x: np.average(x, weights=np.ones(3)), TypeError),
        (lambda x: np.cov(x, aweights=-WEIGHTS), ValueError),
        (lambda x: np.cov(x, ddof=1.5), ValueError),
        (lambda x: np.histogram(x, 0)[1], ValueError),
        (lambda x: np.histogram(x, range=(1, 0))[1], ValueError),
        (lambda x: np.bincount([0, 1], x), ValueError),
        (lambda x: np.nanargmax(x * np.nan), ValueError),
    ],
    ids=range(13),
)
def test_what_numpy_refuses_is_refused(call: Callable[[Any], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        call(VECTOR)
    with pytest.raises(error):
        sd.grad(lambda x: np.sum(call(x)))(VECTOR)


@pytest.mark.parametrize("call", [np.nanmedian, np.nanmean, np.nanmax, np.nanvar])
def test_what_numpy_warns_of_is_warned_of(call: Any) -> None:
    with pytest.warns(RuntimeWarning, match=r"empty slice|All-NaN|Degrees"):
        sd.grad(lambda x: np.sum(call(x, axis=1)))(np.array([[np.nan, np.nan], [1.0, 2.0]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sd.grad(lambda x: np.sum(call(x, axis=1)))(np.array([[np.nan, 3.0], [1.0, 2.0]]))


@pytest.mark.parametrize(
    "call",
    [
        np.cov,
        lambda x: np.median(x, axis=0),
        lambda x: np.quantile(x, [0.3, 0.6], axis=1, keepdims=True),
        lambda x: np.interp(x, [0.0, 1.0], [0.0, 2.0]),
        lambda x: np.choose([0, 1, 1, 0], [x, -x]),
        np.nan_to_num,
        np.sort,
    ],
    ids=range(7),
)
def test_results_are_new_arrays_to_write_into(call: Callable[[Any], Any]) -> None:
    def loss(x: Any) -> Any:
        result = call(x)
        result *= 3
        return np.sum(result) + np.sum(x)

    expected = sd.grad(lambda x: 3 * np.sum(call(x)) + np.sum(x))(MATRIX)
    np.testing.assert_allclose(sd.grad(loss)(MATRIX), expected, rtol=1e-14)
