"""Statistics of samples, as ``scipy.stats`` has them, on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from steepest.array.arguments import as_array
from steepest.array.plain import is_known, plain_value
from steepest.errors import UnsupportedError
from steepest.ops.spec import Traced, Value

__all__ = ["FUNCTIONS"]


class _Samples:
    """Arrays whose samples lie along the last axis, and how to bring statistics back.

    Parameters
    ----------
    arrays : sequence of array
        Which are broadcast against each other.
    axis : int, tuple of int or None
        Of the samples; None for all axes.
    nan_policy, keepdims
        As SciPy's functions take them.
    """

    def __init__(
        self,
        *arrays: Value,
        axis: Any,
        nan_policy: str = "propagate",
        keepdims: bool = False,
        name: str,
    ) -> None:
        _check_nan_policy(nan_policy, arrays, name)
        given: list[Value] = [as_array(each) for each in arrays]
        given = [each if each.dtype.kind in "fc" else each.astype(np.float64) for each in given]
        if len(given) > 1:
            given = list(np.broadcast_arrays(*given))
        first = given[0]
        axes = tuple(range(first.ndim)) if axis is None else normalize_axis_tuple(axis, first.ndim)
        self._kept = tuple(1 if i in axes else n for i, n in enumerate(first.shape))
        self._keepdims = keepdims
        self.outer = tuple(n for i, n in enumerate(first.shape) if i not in axes)
        ends = range(first.ndim - len(axes), first.ndim)
        self.arrays = [
            np.reshape(np.moveaxis(each, axes, ends), (*self.outer, -1))
            if each.size
            else np.reshape(each, (*self.outer, 0))
            for each in given
        ]

    def back(self, statistic: Value) -> Value:
        """Bring a statistic into the shape that SciPy gives it."""
        return np.reshape(statistic, self._kept) if self._keepdims else statistic[()]


def _check_nan_policy(nan_policy: str, arrays: tuple[Value, ...], name: str) -> None:
    if nan_policy == "propagate":
        return
    if nan_policy == "omit":
        raise UnsupportedError(
            f"scipy.stats.{name} with nan_policy='omit' is not differentiated",
            instead="the entries that are numbers: x[~np.isnan(x)], or np.nanmean and its like",
        )
    if nan_policy != "raise":
        raise ValueError("nan_policy must be one of {'propagate', 'raise', 'omit'}")
    if any(np.any(np.isnan(plain_value(each, f"scipy.stats.{name}"))) for each in arrays):
        raise ValueError("The input contains nan values")


# Means


def _weighted_mean(x: Value, weights: Value | None) -> Value:
    if weights is None:
        return np.mean(x, axis=-1)
    return np.sum(x * weights, axis=-1) / np.sum(weights, axis=-1)


def _mean_of(
    name: str,
    a: Value,
    axis: Any,
    dtype: Any,
    weights: Value | None,
    settings: dict[str, Any],
    mean: Callable[[Value, Value | None], Value],
) -> Value:
    arrays = [as_array(each) for each in (a, weights) if each is not None]
    if dtype is not None:
        arrays = [each.astype(dtype) for each in arrays]
    samples = _Samples(*arrays, axis=axis, name=name, **settings)
    with np.errstate(divide="ignore", invalid="ignore"):
        return samples.back(mean(samples.arrays[0], None if weights is None else samples.arrays[1]))


def gmean(
    a: Value, axis: Any = 0, dtype: Any = None, weights: Value | None = None, **settings: Any
) -> Value:
    return _mean_of(
        "gmean", a, axis, dtype, weights, settings,
        lambda x, w: np.exp(_weighted_mean(np.log(x), w)),
    )  # fmt: skip


def _not_negative(x: Value) -> Value:
    return np.where(x < 0, np.full((), np.nan, x.dtype), x) if _may_be(x < 0) else x


def _may_be(condition: Value) -> bool:
    return not is_known(condition) or bool(np.any(plain_value(condition, "scipy.stats")))


def hmean(
    a: Value, axis: Any = 0, dtype: Any = None, *, weights: Value | None = None, **settings: Any
) -> Value:
    return _mean_of(
        "hmean", a, axis, dtype, weights, settings,
        lambda x, w: 1.0 / _weighted_mean(1.0 / _not_negative(x), w),
    )  # fmt: skip


def pmean(
    a: Value,
    p: Any,
    *,
    axis: Any = 0,
    dtype: Any = None,
    weights: Value | None = None,
    **settings: Any,
) -> Value:
    if np.ndim(p):
        raise ValueError("Power mean only defined for exponent of type int or float.")
    exponent = float(plain_value(p, "the exponent of scipy.stats.pmean")) if is_known(p) else p
    if is_known(p) and exponent == 0:
        if isinstance(p, Traced):
            raise UnsupportedError(
                "scipy.stats.pmean is not differentiated by its exponent where that is 0",
                instead="scipy.stats.gmean(a)",
            )
        return gmean(a, axis, dtype, weights, **settings)
    if is_known(p) and np.isinf(exponent):
        raise NotImplementedError("Power mean only implemented for finite `p`")
    return _mean_of(
        "pmean", a, axis, dtype, weights, settings,
        lambda x, w: _weighted_mean(_not_negative(x) ** (p * 1.0), w) ** (1 / p),
    )  # fmt: skip


def trim_mean(a: Value, proportiontocut: float, axis: Any = 0, **settings: Any) -> Value:
    samples = _Samples(a, axis=axis, name="trim_mean", **settings)
    (x,) = samples.arrays
    cut = int(proportiontocut * x.shape[-1])
    if cut > x.shape[-1] - cut:
        raise ValueError("Proportion too big.")
    return samples.back(np.mean(np.sort(x, axis=-1)[..., cut : x.shape[-1] - cut], axis=-1))


def _within(a: Value, limits: Any, inclusive: Any) -> Value:
    inside: Value = np.ones(a.shape, bool)
    low, high = limits
    if low is not None:
        inside = inside & (a >= low if inclusive[0] else a > low)
    if high is not None:
        inside = inside & (a <= high if inclusive[1] else a < high)
    if is_known(inside) and not np.any(plain_value(inside, "limits")):
        raise ValueError("No array values within given limits")
    return inside


def tmean(
    a: Value,
    limits: Any = None,
    inclusive: Any = (True, True),
    axis: Any = None,
    **settings: Any,
) -> Value:
    samples = _Samples(a, axis=axis, name="tmean", **settings)
    (x,) = samples.arrays
    if limits is None:
        return samples.back(np.mean(x, axis=-1))
    inside = _within(x, limits, inclusive)
    return samples.back(_masked_mean(x, inside))


def _masked_mean(x: Value, inside: Value) -> Value:
    count = np.sum(inside, axis=-1).astype(x.dtype)
    return np.sum(np.where(inside, x, np.zeros((), x.dtype)), axis=-1) / count


def tvar(
    a: Value,
    limits: Any = None,
    inclusive: Any = (True, True),
    axis: Any = 0,
    ddof: float = 1,
    **settings: Any,
) -> Value:
    samples = _Samples(a, axis=axis, name="tvar", **settings)
    (x,) = samples.arrays
    if limits is None:
        return samples.back(np.var(x, axis=-1, ddof=ddof))
    inside = _within(x, limits, inclusive)
    deviation = np.where(inside, x - _masked_mean(x, inside)[..., None], np.zeros((), x.dtype))
    count = np.sum(inside, axis=-1).astype(x.dtype)
    return samples.back(np.sum(deviation * deviation, axis=-1) / (count - ddof))


def tstd(
    a: Value,
    limits: Any = None,
    inclusive: Any = (True, True),
    axis: Any = 0,
    ddof: float = 1,
    **settings: Any,
) -> Value:
    return np.sqrt(tvar(a, limits, inclusive, axis, ddof, **settings))


# Spread and shape


def sem(a: Value, axis: Any = 0, ddof: float = 1, **settings: Any) -> Value:
    samples = _Samples(a, axis=axis, name="sem", **settings)
    (x,) = samples.arrays
    return samples.back(np.std(x, axis=-1, ddof=ddof) / x.shape[-1] ** 0.5)


def variation(
    a: Value, axis: Any = 0, nan_policy: str = "propagate", ddof: float = 0, **settings: Any
) -> Value:
    samples = _Samples(a, axis=axis, nan_policy=nan_policy, name="variation", **settings)
    (x,) = samples.arrays
    count = x.shape[-1]
    if ddof >= count:
        raise UnsupportedError(
            f"scipy.stats.variation of {count} samples with ddof={ddof} is not differentiated",
            instead="more samples",
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = (count / (count - ddof)) ** 0.5
        return samples.back(np.std(x, axis=-1) * factor / np.mean(x, axis=-1))


def iqr(
    x: Value,
    axis: Any = None,
    rng: Any = (25, 75),
    scale: Any = 1.0,
    nan_policy: str = "propagate",
    interpolation: str = "linear",
    keepdims: bool = False,
) -> Value:
    samples = _Samples(x, axis=axis, nan_policy=nan_policy, keepdims=keepdims, name="iqr")
    (values,) = samples.arrays
    if isinstance(scale, str):
        if scale.lower() != "normal":
            raise ValueError(f"{scale} not a valid scale for `iqr`")
        from scipy.special import erfinv

        scale = float(erfinv(0.5) * 2.0 * np.sqrt(2.0))
    low, high = sorted(rng)
    method: Any = interpolation
    ends = np.percentile(values, [low, high], axis=-1, method=method)
    width = (ends[1] - ends[0]).astype(values.dtype)
    return samples.back(width if np.ndim(scale) == 0 and scale == 1 else width / scale)


def median_abs_deviation(
    x: Value,
    axis: Any = 0,
    center: Callable[..., Value] | None = None,
    scale: Any = 1.0,
    nan_policy: str = "propagate",
    **settings: Any,
) -> Value:
    name = "median_abs_deviation"
    samples = _Samples(x, axis=axis, nan_policy=nan_policy, name=name, **settings)
    (values,) = samples.arrays
    if isinstance(scale, str):
        if scale.lower() != "normal":
            raise ValueError(f"{scale} is not a valid scale value.")
        scale = 0.6744897501960817
    centre = (np.median if center is None else center)(values, axis=-1)
    return samples.back(np.median(np.abs(values - centre[..., None]), axis=-1) / scale)


def _deviations(x: Value, centre: Value | None = None) -> Value:
    return x - (np.mean(x, axis=-1, keepdims=True) if centre is None else centre)


def _power_mean(deviation: Value, order: int) -> Value:
    """Take the mean of a power, of which SciPy takes squares of squares."""
    powers = [order]
    while powers[-1] > 2:
        powers.append(powers[-1] // 2)
    product = deviation if powers[-1] == 1 else deviation * deviation
    for power in powers[-2::-1]:
        product = product * product * deviation if power % 2 else product * product
    return np.mean(product, axis=-1)


def moment(
    a: Value,
    order: Any = 1,
    axis: Any = 0,
    nan_policy: str = "propagate",
    *,
    center: Value | None = None,
    **settings: Any,
) -> Value:
    orders = np.asarray(order)
    if not orders.size or np.any(orders != np.round(orders)):
        raise ValueError("`order` must be a whole number, or a vector of such.")
    if orders.ndim:
        import scipy

        a = as_array(a)
        if np.lib.NumpyVersion(scipy.__version__) >= "1.18.0":
            # The orders are an array of numbers of double precision, and count.
            a = a.astype(np.result_type(a.dtype, np.float64))
        parts = [
            moment(a, each, axis, nan_policy, center=center, **settings) for each in orders.tolist()
        ]
        return np.stack(parts)
    samples = _Samples(a, axis=axis, nan_policy=nan_policy, name="moment", **settings)
    (x,) = samples.arrays
    power = int(orders)
    if power == 0 or (power == 1 and center is None):
        fill = np.ones if power == 0 else np.zeros
        return samples.back(fill(samples.outer, x.dtype))
    centre = None if center is None else as_array(center).astype(x.dtype)
    return samples.back(_power_mean(_deviations(x, centre), power))


def _ratio_of_moments(x: Value, order: int) -> tuple[Value, Value]:
    """Divide a moment by a power of the variance, and say where that is known to be 0."""
    centre = np.mean(x, axis=-1)
    deviation = _deviations(x)
    variance = _power_mean(deviation, 2)
    zero = variance <= (np.finfo(x.dtype).eps * centre) ** 2
    safe = np.where(zero, np.ones((), x.dtype), variance) if _may_be(zero) else variance
    power = safe**1.5 if order == 3 else safe * safe
    return _power_mean(deviation, order) / power, zero


def _nan_where(condition: Value, value: Value) -> Value:
    if not _may_be(condition):
        return value
    return np.where(condition, np.full((), np.nan, value.dtype), value)


def skew(
    a: Value, axis: Any = 0, bias: bool = True, nan_policy: str = "propagate", **settings: Any
) -> Value:
    samples = _Samples(a, axis=axis, nan_policy=nan_policy, name="skew", **settings)
    (x,) = samples.arrays
    count = x.shape[-1]
    value, zero = _ratio_of_moments(x, 3)
    if not bias and count > 2:
        value = ((count - 1.0) * count) ** 0.5 / (count - 2.0) * value
    return samples.back(_nan_where(zero, value))


def kurtosis(
    a: Value,
    axis: Any = 0,
    fisher: bool = True,
    bias: bool = True,
    nan_policy: str = "propagate",
    **settings: Any,
) -> Value:
    samples = _Samples(a, axis=axis, nan_policy=nan_policy, name="kurtosis", **settings)
    (x,) = samples.arrays
    count = x.shape[-1]
    value, zero = _ratio_of_moments(x, 4)
    if not bias and count > 3:
        excess = (count**2 - 1.0) * value - 3 * (count - 1) ** 2.0
        value = 1.0 / (count - 2) / (count - 3) * excess + 3.0
    return samples.back(_nan_where(zero, value - 3 if fisher else value))


class _Description(NamedTuple):
    nobs: int
    minmax: tuple[Value, Value]
    mean: Value
    variance: Value
    skewness: Value
    kurtosis: Value


def describe(
    a: Value,
    axis: Any = 0,
    ddof: float = 1,
    bias: bool = True,
    nan_policy: str = "propagate",
) -> _Description:
    samples = _Samples(a, axis=axis, nan_policy=nan_policy, name="describe")
    (x,) = samples.arrays
    if not x.size:
        raise ValueError("The input must not be empty.")
    return _Description(
        x.shape[-1],
        (np.min(x, axis=-1), np.max(x, axis=-1)),
        np.mean(x, axis=-1),
        np.var(x, axis=-1, ddof=ddof),
        skew(x, -1, bias),
        kurtosis(x, -1, bias=bias),
    )


def entropy(
    pk: Value,
    qk: Value | None = None,
    base: Value | None = None,
    axis: Any = 0,
    **settings: Any,
) -> Value:
    from scipy.special import entr, rel_entr

    arrays = (pk,) if qk is None else (pk, qk)
    samples = _Samples(*arrays, axis=axis, name="entropy", **settings)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = [each / np.sum(each, axis=-1, keepdims=True) for each in samples.arrays]
        terms = entr(shares[0]) if qk is None else rel_entr(*shares)
    total = np.sum(terms, axis=-1)
    return samples.back(total if base is None else total / np.log(base))


# Standard scores


def zscore(a: Value, axis: Any = 0, ddof: float = 0, nan_policy: str = "propagate") -> Value:
    return zmap(a, a, axis, ddof, nan_policy)


def zmap(
    scores: Value,
    compare: Value,
    axis: Any = 0,
    ddof: float = 0,
    nan_policy: str = "propagate",
) -> Value:
    _check_nan_policy(nan_policy, (scores, compare), "zmap")
    alike = scores is compare
    compare = as_array(compare)
    scores = compare if alike else as_array(scores)
    dtype = np.result_type(scores.dtype, compare.dtype)
    dtype = dtype if dtype.kind in "fc" else np.dtype(np.float64)
    compare = compare.astype(dtype)
    scores = compare if alike else scores.astype(dtype)
    centre = np.mean(compare, axis=axis, keepdims=True)
    deviation = np.sqrt(np.var(compare, axis=axis, ddof=ddof, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        result = (scores - centre) / deviation
    if not alike:
        return result
    zero = deviation <= np.abs(np.finfo(dtype).eps * centre)
    return _nan_where(zero, result)


def gzscore(a: Value, *, axis: Any = 0, ddof: float = 0, nan_policy: str = "propagate") -> Value:
    return zscore(np.log(as_array(a)), axis, ddof, nan_policy)


# Directions


def _mean_direction(
    name: str, samples: Value, high: float, low: float, axis: Any, settings: dict[str, Any]
) -> tuple[_Samples, Value, Value]:
    lined = _Samples(samples, axis=axis, name=name, **settings)
    (x,) = lined.arrays
    angles = x * (2.0 * np.pi / (high - low))
    return lined, np.mean(np.sin(angles), axis=-1), np.mean(np.cos(angles), axis=-1)


def circmean(
    samples: Value,
    high: float = 2 * np.pi,
    low: float = 0,
    axis: Any = None,
    nan_policy: str = "propagate",
    **settings: Any,
) -> Value:
    settings["nan_policy"] = nan_policy
    lined, sine, cosine = _mean_direction("circmean", samples, high, low, axis, settings)
    period = high - low
    angle = np.arctan2(sine, cosine)
    return lined.back((angle * (period / (2.0 * np.pi)) - low) % period + low)


def _concentration(sine: Value, cosine: Value) -> Value:
    return np.minimum((sine**2.0 + cosine**2.0) ** 0.5, np.ones((), sine.dtype))


def circvar(
    samples: Value,
    high: float = 2 * np.pi,
    low: float = 0,
    axis: Any = None,
    nan_policy: str = "propagate",
    **settings: Any,
) -> Value:
    settings["nan_policy"] = nan_policy
    lined, *means = _mean_direction("circvar", samples, high, low, axis, settings)
    return lined.back(1.0 - _concentration(*means))


def circstd(
    samples: Value,
    high: float = 2 * np.pi,
    low: float = 0,
    axis: Any = None,
    nan_policy: str = "propagate",
    *,
    normalize: bool = False,
    **settings: Any,
) -> Value:
    settings["nan_policy"] = nan_policy
    lined, *means = _mean_direction("circstd", samples, high, low, axis, settings)
    value = (-2 * np.log(_concentration(*means))) ** 0.5
    return lined.back(value if normalize else value * ((high - low) / (2.0 * np.pi)))


# Of two samples


class _Outcome(NamedTuple):
    statistic: Value
    pvalue: Value


class _Test(_Outcome):
    """The outcome of a test, and what else SciPy's results have besides the two numbers."""

    def __new__(cls, statistic: Value, pvalue: Value, **_others: Any) -> _Test:
        return super().__new__(cls, statistic, pvalue)

    def __init__(self, _statistic: Value, _pvalue: Value, **others: Any) -> None:
        vars(self).update(others)

    def confidence_interval(self, *_args: Any, **_settings: Any) -> Any:
        raise UnsupportedError(
            "confidence_interval of a test in scipy.stats is not differentiated",
            instead="the estimate, its standard error and scipy.stats.t.ppf or norm.ppf",
        )


def _probability(distribution: Any, statistic: Value, alternative: str) -> Value:
    """Take the probability of what is as far out, by a distribution that is symmetric about 0."""
    if alternative == "two-sided":
        return 2 * distribution.sf(np.abs(statistic))
    if alternative not in ("less", "greater"):
        raise ValueError("`alternative` must be 'less', 'greater', or 'two-sided'.")
    return distribution.cdf(statistic) if alternative == "less" else distribution.sf(statistic)


def pearsonr(
    x: Value, y: Value, *, alternative: str = "two-sided", method: Any = None, axis: Any = 0
) -> _Test:
    from scipy import stats

    if method is not None:
        raise UnsupportedError(
            "scipy.stats.pearsonr with method= is not differentiated",
            instead="scipy.stats.pearsonr(x, y)",
        )
    samples = _Samples(x, y, axis=axis, name="pearsonr")
    u, v = samples.arrays
    count = u.shape[-1]
    if count < 2:
        raise ValueError("`x` and `y` must have length at least 2.")
    if "c" in (u.dtype.kind, v.dtype.kind):
        raise ValueError("This function does not support complex data")
    u, v = _unit(_deviations(u)), _unit(_deviations(v))
    correlation = np.clip(np.sum(u * v, axis=-1), -1.0, 1.0)
    if count == 2:
        nan = np.isnan(correlation)
        return _Test(np.round(correlation), np.where(nan, np.nan, 1.0)[()])
    half = count / 2 - 1
    distribution = stats.beta(half, half, loc=-1, scale=2)
    chance = _probability(distribution, correlation, alternative)
    return _Test(samples.back(correlation), chance.astype(correlation.dtype)[()])


def _unit(x: Value) -> Value:
    with np.errstate(invalid="ignore", divide="ignore"):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)


class _Line(NamedTuple):
    slope: Value
    intercept: Value
    rvalue: Value
    pvalue: Value
    stderr: Value


class _Regression(_Line):
    """SciPy's five numbers, and one that is an attribute alone."""

    intercept_stderr: Value


def linregress(x: Value, y: Value, alternative: str = "two-sided", **settings: Any) -> Any:
    from scipy import stats

    axis = settings.pop("axis", 0)
    samples = _Samples(x, y, axis=axis, name="linregress", **settings)
    u, v = samples.arrays
    count = u.shape[-1]
    if count < 3:
        raise UnsupportedError(
            f"scipy.stats.linregress of {count} points is not differentiated",
            instead="np.polyfit(x, y, 1)",
        )
    du, dv = _deviations(u), _deviations(v)
    spread, common, other = (np.mean(each, axis=-1) for each in (du * du, du * dv, dv * dv))
    if is_known(spread) and np.any(plain_value(spread, "linregress") == 0):
        raise ValueError("Cannot calculate a linear regression if all x values are identical")
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.clip(common / np.sqrt(spread * other), -1.0, 1.0)
    slope = common / spread
    degrees = count - 2
    statistic = correlation * np.sqrt(
        degrees / ((1.0 - correlation + 1e-20) * (1.0 + correlation + 1e-20))
    )
    error = np.sqrt((1 - correlation**2) * other / spread / degrees)
    means = np.mean(u, axis=-1), np.mean(v, axis=-1)
    results = (
        slope,
        means[1] - slope * means[0],
        correlation,
        _probability(stats.t(degrees), statistic, alternative),
        error,
    )
    line = _Regression(*map(samples.back, results))
    line.intercept_stderr = samples.back(error * np.sqrt(spread + means[0] ** 2))
    return line


def _distance_of_distributions(
    power: int, u_values: Value, v_values: Value, u_weights: Value | None, v_weights: Value | None
) -> Value:
    u, v = (as_array(each).astype(np.float64) for each in (u_values, v_values))
    if u.ndim != 1 or v.ndim != 1 or not u.size or not v.size:
        raise ValueError("the values must be vectors that are not empty")
    places = np.sort(np.concatenate([u, v]))
    shares = (
        _cumulative_shares(each, weights, places[:-1])
        for each, weights in ((u, u_weights), (v, v_weights))
    )
    gap = np.abs(np.subtract(*shares))
    widths = np.diff(places)
    if power == 1:
        return np.sum(gap * widths)
    return np.sqrt(np.sum(gap * gap * widths))


def _cumulative_shares(values: Value, weights: Value | None, places: Value) -> Value:
    order = np.argsort(values)
    counts = np.searchsorted(values[order], places, "right")
    if weights is None:
        return counts / values.size
    weights = as_array(weights).astype(np.float64)
    if weights.shape != values.shape:
        raise ValueError("Value and weight array-likes for the same empirical distribution must"
                         " be of the same size.")  # fmt: skip
    sums = np.concatenate([np.zeros(1), np.cumsum(weights[order])])
    return sums[counts] / sums[-1]


def wasserstein_distance(
    u_values: Value,
    v_values: Value,
    u_weights: Value | None = None,
    v_weights: Value | None = None,
) -> Value:
    return _distance_of_distributions(1, u_values, v_values, u_weights, v_weights)


def energy_distance(
    u_values: Value,
    v_values: Value,
    u_weights: Value | None = None,
    v_weights: Value | None = None,
) -> Value:
    distance = _distance_of_distributions(2, u_values, v_values, u_weights, v_weights)
    return np.sqrt(2) * distance


# Tests of hypotheses


def _t_test(
    samples: _Samples, estimate: Value, error: Value, degrees: Value, alternative: str
) -> _Test:
    from scipy import stats

    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = estimate / error
    chance = _probability(stats.t(degrees), statistic, alternative)
    return _Test(samples.back(statistic), samples.back(chance.astype(statistic.dtype)), df=degrees)


def ttest_1samp(
    a: Value,
    popmean: Value,
    axis: Any = 0,
    nan_policy: str = "propagate",
    alternative: str = "two-sided",
    **settings: Any,
) -> _Test:
    samples = _Samples(a, axis=axis, nan_policy=nan_policy, name="ttest_1samp", **settings)
    (x,) = samples.arrays
    count = x.shape[-1]
    if np.ndim(popmean) > len(samples.outer):
        popmean = np.squeeze(popmean, axis=axis)
    error = np.sqrt(np.var(x, axis=-1, ddof=1) / count)
    return _t_test(samples, np.mean(x, axis=-1) - popmean, error, count - 1, alternative)


def ttest_rel(
    a: Value,
    b: Value,
    axis: Any = 0,
    nan_policy: str = "propagate",
    alternative: str = "two-sided",
    **settings: Any,
) -> _Test:
    settings["nan_policy"] = nan_policy
    return ttest_1samp(as_array(a) - as_array(b), 0.0, axis, alternative=alternative, **settings)


def ttest_ind(
    a: Value,
    b: Value,
    *,
    axis: Any = 0,
    equal_var: bool = True,
    nan_policy: str = "propagate",
    alternative: str = "two-sided",
    trim: float = 0,
    method: Any = None,
    **settings: Any,
) -> _Test:
    if trim or method is not None:
        raise UnsupportedError(
            "scipy.stats.ttest_ind with trim= or method= is not differentiated",
            instead="scipy.stats.ttest_ind(a, b)",
        )
    settings["nan_policy"] = nan_policy
    samples, other = (_Samples(each, axis=axis, name="ttest_ind", **settings) for each in (a, b))
    (x,), (y,) = samples.arrays, other.arrays
    m, n = x.shape[-1], y.shape[-1]
    u, v = np.var(x, axis=-1, ddof=1), np.var(y, axis=-1, ddof=1)
    if equal_var:
        pooled = ((m - 1) * u + (n - 1) * v) / (m + n - 2.0)
        error = np.sqrt(pooled * (1.0 / m + 1.0 / n))
        return _t_test(samples, np.mean(x, -1) - np.mean(y, -1), error, m + n - 2.0, alternative)
    statistic = (np.mean(x, -1) - np.mean(y, -1)) / np.sqrt(u / m + v / n)
    degrees = (u / m + v / n) ** 2 / ((u / m) ** 2 / (m - 1) + (v / n) ** 2 / (n - 1))
    from scipy import special

    # By Student's distribution, whose probabilities have no known derivative by the degrees of
    # freedom: of those that vary, an error says so.
    tail = special.stdtr(degrees, -np.abs(statistic))
    if alternative == "two-sided":
        chance = 2 * tail
    elif alternative in ("less", "greater"):
        chance = special.stdtr(degrees, statistic if alternative == "less" else -statistic)
    else:
        raise ValueError("`alternative` must be 'less', 'greater', or 'two-sided'.")
    return _Test(samples.back(statistic), samples.back(chance), df=samples.back(degrees))


# Transformations


def boxcox_llf(
    lmb: Value, data: Value, *, axis: Any = 0, keepdims: bool = False, nan_policy: str = "propagate"
) -> Value:
    from scipy.special import boxcox as transform

    samples = _Samples(data, axis=axis, keepdims=keepdims, nan_policy=nan_policy, name="boxcox_llf")
    (x,) = samples.arrays
    spread = np.var(transform(x, lmb), axis=-1)
    return samples.back((lmb - 1) * np.sum(np.log(x), axis=-1) - x.shape[-1] / 2 * np.log(spread))


def boxcox(x: Value, lmbda: Value | None = None, alpha: Any = None, optimizer: Any = None) -> Value:
    from scipy.special import boxcox as transform

    if lmbda is None:
        raise UnsupportedError(
            "scipy.stats.boxcox without lmbda= is not differentiated: it searches for the best",
            instead="scipy.stats.boxcox(x, lmbda), and boxcox_llf(lmbda, x) to be maximised",
        )
    x = as_array(x)
    if x.ndim != 1:
        raise ValueError("Data must be 1-dimensional.")
    if is_known(x) and np.any(plain_value(x, "scipy.stats.boxcox") <= 0):
        raise ValueError("Data must be positive.")
    return transform(x, lmbda)


def yeojohnson(x: Value, lmbda: Value | None = None) -> Value:
    from scipy.special import boxcox1p

    if lmbda is None:
        raise UnsupportedError(
            "scipy.stats.yeojohnson without lmbda= is not differentiated: it searches for the best",
            instead="scipy.stats.yeojohnson(x, lmbda), and yeojohnson_llf(lmbda, x), maximised",
        )
    x = as_array(x)
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    positive = x >= 0
    zero = np.zeros((), x.dtype)
    above = boxcox1p(np.where(positive, x, zero), lmbda)
    below = -boxcox1p(np.where(positive, zero, -x), 2 - lmbda)
    return np.where(positive, above, below)


def yeojohnson_llf(
    lmb: Value, data: Value, *, axis: Any = 0, nan_policy: str = "propagate", keepdims: bool = False
) -> Value:
    name = "yeojohnson_llf"
    samples = _Samples(data, axis=axis, keepdims=keepdims, nan_policy=nan_policy, name=name)
    (x,) = samples.arrays
    spread = np.var(yeojohnson(x, lmb), axis=-1)
    jacobian = (lmb - 1) * np.sum(np.sign(x) * np.log1p(np.abs(x)), axis=-1)
    return samples.back(jacobian - x.shape[-1] / 2 * np.log(spread))


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.stats": {
        function.__name__: function
        for function in (
            boxcox,
            boxcox_llf,
            circmean,
            circstd,
            circvar,
            describe,
            energy_distance,
            entropy,
            gmean,
            gzscore,
            hmean,
            iqr,
            kurtosis,
            linregress,
            median_abs_deviation,
            moment,
            pearsonr,
            pmean,
            sem,
            skew,
            tmean,
            trim_mean,
            tstd,
            ttest_1samp,
            ttest_ind,
            ttest_rel,
            tvar,
            variation,
            wasserstein_distance,
            yeojohnson,
            yeojohnson_llf,
            zmap,
            zscore,
        )
    }
}
"""By module and name."""
