"""Statistics of samples: SciPy's values, and derivatives of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
from tests.array.scipy_calls import check

import steepest as sd
from steepest.array.scipy import sample_statistics
from steepest.errors import UnsupportedError

st: Any = scipy.stats
rng = np.random.default_rng(0)
X = rng.normal(size=(6, 7))
P = np.abs(X) + 0.5
L = rng.normal(size=11)
W = rng.uniform(0.5, 1, size=(6, 7))
PLACES = np.arange(11.0) ** 1.5

CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "gmean": (lambda x: st.gmean(x), P),
    "gmean with weights": (lambda x: st.gmean(x, axis=1, weights=W), P),
    "hmean": (lambda x: st.hmean(x, axis=None), P),
    "pmean": (lambda x: st.pmean(x, 3, axis=(0, 1), keepdims=True), P),
    "pmean by the exponent": (lambda p: st.pmean(P, p[0] * np.float64(1.0)), [1.7]),
    "trim_mean": (lambda x: st.trim_mean(x, 0.2, axis=1), X),
    "tmean": (lambda x: st.tmean(x, (-0.5, 0.9)), X),
    "tmean along an axis": (lambda x: st.tmean(x, (-2, 0.9), axis=0), X),
    "tvar": (lambda x: st.tvar(x, (-5, 1.2), axis=1), X),
    "tstd": (lambda x: st.tstd(x), X),
    "sem": (lambda x: st.sem(x, ddof=0), X),
    "variation": (lambda x: st.variation(x, axis=1, ddof=1), P),
    "iqr": (lambda x: st.iqr(x), X),
    "iqr scaled": (lambda x: st.iqr(x, 1, (10, 80), "normal", keepdims=True), X),
    "median_abs_deviation": (lambda x: st.median_abs_deviation(x, axis=1, scale="normal"), X),
    "median_abs_deviation of the mean": (lambda x: st.median_abs_deviation(x, center=np.mean), X),
    "moment": (lambda x: st.moment(x, [0, 1, 2, 3, 5]), X),
    "moment about a point": (lambda x: st.moment(x, 3, axis=1, center=0.5), X),
    "skew": (lambda x: st.skew(x), X),
    "skew without bias": (lambda x: st.skew(x, 1, False), X),
    "kurtosis": (lambda x: st.kurtosis(x), X),
    "kurtosis without bias": (lambda x: st.kurtosis(x, None, bias=False, fisher=False), X),
    "describe": (lambda x: np.stack(st.describe(x)[2:]), X),
    "describe all": (lambda x: st.describe(x, axis=None, ddof=0).minmax[1], X),
    "entropy": (lambda x: st.entropy(x), P),
    "entropy of two": (lambda x: st.entropy(x, P[::-1], base=2, axis=1), P),
    "entropy by the second": (lambda q: st.entropy(P[::-1], q), P),
    "zscore": (lambda x: st.zscore(x), X),
    "zscore of all": (lambda x: st.zscore(x, axis=None, ddof=1), X),
    "zmap": (lambda x: st.zmap(x, X), X + 1),
    "zmap by the others": (lambda c: st.zmap(X, c, axis=1), X + 1),
    "gzscore": (lambda x: st.gzscore(x), P),
    "circmean": (lambda x: st.circmean(x), P),
    "circvar": (lambda x: st.circvar(x, axis=0), P),
    "circstd": (lambda x: st.circstd(x, high=3, axis=1), P),
    "circstd normalized": (lambda x: st.circstd(x, normalize=True), P),
    "pearsonr": (lambda x: st.pearsonr(x, L[::-1])[0], L),
    "pearsonr along an axis": (lambda x: st.pearsonr(x, X[::-1], axis=1).statistic, X),
    "pearsonr, its probability": (lambda x: st.pearsonr(x, L[::-1]).pvalue, L),
    "linregress": (lambda y: np.array(st.linregress(PLACES, y)), L),
    "linregress by places": (lambda x: st.linregress(x, L[::-1]).intercept_stderr, L),
    "wasserstein_distance": (lambda u: st.wasserstein_distance(u, L[:6] * 2), L),
    "wasserstein_distance by weights": (
        lambda w: st.wasserstein_distance(L, L[:5] * 2, [1.0, 2.0, *[1.0] * 9], w),
        P[0, :5],
    ),
    "energy_distance": (lambda u: st.energy_distance(u, L[:6] * 2 + 3), L),
    "ttest_1samp": (lambda x: st.ttest_1samp(x, 0.3).statistic, X),
    "ttest_1samp, its probability": (lambda x: st.ttest_1samp(x, 0.3, axis=1).pvalue, X),
    "ttest_rel": (lambda x: st.ttest_rel(x, X[::-1] + 0.3)[0], X),
    "ttest_ind": (lambda x: st.ttest_ind(x, X[:4]).statistic, X),
    "ttest_ind, one side": (lambda x: st.ttest_ind(x, X[:4], alternative="less").pvalue, X),
    "boxcox": (lambda x: st.boxcox(x, 0.3), P[0]),
    "boxcox by the exponent": (lambda p: st.boxcox(P[0], p[0]), [0.3]),
    "boxcox_llf": (lambda x: st.boxcox_llf(0.3, x), P),
    "boxcox_llf by the exponent": (lambda p: st.boxcox_llf(p[0], P), [0.3]),
    "yeojohnson": (lambda x: st.yeojohnson(x, 0.3), X[0]),
    "yeojohnson_llf": (lambda x: st.yeojohnson_llf(0.4, x), X[0]),
    "yeojohnson_llf by the exponent": (lambda p: st.yeojohnson_llf(p[0], X[0]), [0.3]),
}


def test_every_function_is_tried() -> None:
    called = {name.split(",")[0].split()[0] for name in CALLS}
    assert called == set(sample_statistics.FUNCTIONS["scipy.stats"])


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    check(*CALLS[name])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "call",
    [
        lambda x: st.zscore(x),
        lambda x: st.skew(x, bias=False),
        lambda x: st.kurtosis(x, bias=False),
        lambda x: st.entropy(x),
        lambda x: st.gmean(x),
        lambda x: st.hmean(x),
        lambda x: st.sem(x),
        lambda x: st.moment(x, 4),
        lambda x: st.pearsonr(x, X[: len(x), 0]).statistic if len(x) > 1 else x,
    ],
)
@pytest.mark.parametrize(
    "x",
    [np.full(4, 2.0), np.array([1.0, np.nan, 2.0, 3.0]), np.array([0.0, -1.0, np.inf]), np.ones(1)],
    ids=["constant", "nan", "infinite", "one"],
)
def test_values_where_scipy_gives_no_number(call: Callable[[Any], Any], x: Any) -> None:
    np.testing.assert_allclose(sd.vjp(call, x)[0], call(x))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: st.zscore(x, nan_policy="omit"),
        lambda x: st.skew(x, nan_policy="omit"),
        lambda x: st.boxcox(x)[0],
        lambda x: st.yeojohnson(x)[0],
        lambda x: st.pearsonr(x, x[::-1]).confidence_interval(),
        lambda x: st.ttest_ind(x, x[::2], trim=0.1).statistic,
        lambda x: st.spearmanr(x, P[1])[0],
        lambda x: st.pmean(P[0], (x[0] - P[0, 0]) * np.float64(1.0)),
        lambda x: st.ttest_ind(x, x[::2], equal_var=False).pvalue,
    ],
)
def test_refusals(call: Callable[[Any], Any]) -> None:
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda x: np.sum(call(x)))(P[0])
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead
