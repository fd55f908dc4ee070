"""NumPy's statistics: order statistics, averages, covariances, histograms."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from steepest.array.arguments import NO_VALUE, as_array, check_taken_into
from steepest.array.array import Array, value_type
from steepest.array.buffers import as_ndarray, duck
from steepest.array.indexing import read
from steepest.array.plain import holds, is_known, may_hold, plain_value
from steepest.array.reductions import normalized_axes
from steepest.array.writing import into
from steepest.ops import primitive
from steepest.ops.index import INDEX
from steepest.ops.spec import Value, bind, scale

__all__ = ["FUNCTIONS"]


def _constant(value: Value) -> Value:
    """Take a value without its derivative."""
    return bind(primitive("convert"), (value,), {"dtype": value.dtype})


def _warn(condition: Value, message: str) -> None:
    if holds(condition):
        warnings.warn(message, RuntimeWarning, stacklevel=5)


def _scalar(value: Value) -> Value:
    """Turn an array without axes into a number, as reductions of NumPy's do."""
    return value if value_type(value).shape else value[()]


# Rows: the axes that a statistic runs over, as one


class _Rows(NamedTuple):
    """An array whose first axis is all the axes that a statistic runs over."""

    array: Value
    shape: tuple[int, ...]
    """Shape of the statistic."""

    def place(self, result: Value) -> Value:
        """Give results, along the axes after any leading ones, the statistic's shape."""
        kept = self.array.ndim - 1
        lead = value_type(result).shape[: value_type(result).ndim - kept]
        shape = (*lead, *self.shape)
        # A new array: nobody else holds what it is a view of.
        if not shape:
            return np.reshape(result, ())[()]
        return np.copy(result if value_type(result).shape == shape else np.reshape(result, shape))


def _rows(a: Value, axis: Any, keepdims: Any) -> _Rows:
    axes = normalized_axes(axis, a.ndim)
    kept = [i for i in range(a.ndim) if i not in axes]
    lengths = [a.shape[i] for i in kept]
    count = math.prod(a.shape[i] for i in axes)
    array = a if axes == tuple(range(len(axes))) else np.transpose(a, (*axes, *kept))
    if array.shape != (count, *lengths):
        array = np.reshape(array, (count, *lengths))
    if keepdims is NO_VALUE or not keepdims:
        return _Rows(array, tuple(lengths))
    return _Rows(array, tuple(1 if i in axes else n for i, n in enumerate(a.shape)))


# Medians and quantiles


def median(
    a: Value,
    axis: Any = None,
    out: Value = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Value:
    a = as_array(a)
    if axis is not None:
        # Unlike a reduction, it takes no axis of a number.
        np.lib.array_utils.normalize_axis_tuple(axis, a.ndim)
    rows = _rows(a, axis, keepdims)
    count = rows.array.shape[0]
    ordered = np.sort(rows.array, axis=0)
    middle = ordered[(count - 1) // 2 : count // 2 + 1] if count else ordered
    if out is not None:
        # The mean of the two in the middle, in its precision.
        result = np.mean(middle, axis=0, out=duck(np.zeros(rows.array.shape[1:], out.dtype)))
        return into(out, rows.place(_or_nan(result, ordered)))
    return rows.place(_or_nan(np.mean(middle, axis=0), ordered))


def _or_nan(result: Value, ordered: Value) -> Value:
    """Put NaN where the sorted rows end in one."""
    if value_type(ordered).dtype.kind not in "fc" or not ordered.shape[0]:
        return result
    last = ordered[-1]
    missing = np.isnan(last)
    return _scalar(np.where(missing, last, result)) if may_hold(missing) else result


def nanmedian(
    a: Value,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: Any = NO_VALUE,
) -> Value:
    a = as_array(a)
    if not a.size:
        return np.nanmean(a, axis, keepdims=keepdims)
    if axis is not None:
        # Unlike a reduction, it takes no axis of a number.
        np.lib.array_utils.normalize_axis_tuple(axis, a.ndim)
    rows = _rows(a, axis, keepdims)
    count = _valid(rows.array)
    ordered = np.sort(rows.array, axis=0)
    _warn(np.equal(count, 0), "All-NaN slice encountered")
    # Without numbers it is the first of the NaN.
    low = _at_ranks(ordered, np.maximum(count - 1, 0) // 2)
    high = _at_ranks(ordered, np.minimum(count // 2, np.maximum(count - 1, 0)))
    return rows.place(np.mean(np.stack([low, high]), axis=0))


def _valid(array: Value) -> Value:
    """Count the entries along the first axis that are no NaN."""
    if array.dtype.kind not in "fc":
        return np.full(array.shape[1:], array.shape[0])
    return np.sum(np.logical_not(np.isnan(array)), axis=0)


def _at_ranks(ordered: Value, ranks: Value) -> Value:
    """Read sorted rows at ranks, which broadcast against them after any leading axes."""
    kind = value_type(ranks)
    kept = ordered.shape[1:]
    lead = kind.shape[: kind.ndim - len(kept)]
    if kind.size == math.prod(lead):
        # The same ranks for all rows.
        return read(ordered, ranks if kind.shape == lead else np.reshape(ranks, lead))
    places = np.reshape(np.broadcast_to(ranks, (*lead, *kept)), (math.prod(lead), *kept))
    return np.reshape(np.take_along_axis(ordered, places, axis=0), (*lead, *kept))


def _quantiles(fraction: Callable[[Value], Value], *, skip_nan: bool) -> Callable[..., Value]:
    """Make np.quantile or np.percentile, or the one of them that passes over NaN.

    Parameters
    ----------
    fraction : callable
        What makes fractions of the argument q.
    """

    def quantiles(
        a: Value,
        q: Value,
        axis: Any = None,
        out: Value = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: Any = NO_VALUE,
        *,
        weights: Value = None,
    ) -> Value:
        target = None if out is None or skip_nan else out.dtype
        result = _quantile(
            a, fraction(q), axis, method, keepdims, weights, _is_weak(q), skip_nan, target
        )
        # NumPy assigns the weighted ones entry by entry.
        casting = "same_kind" if weights is None else "unsafe"
        return result if out is None else into(out, result, casting)

    return quantiles


def _is_weak(q: Value) -> bool:
    return value_type(q).weak if isinstance(q, Array) else type(q) in (int, float)


def _fraction(q: Value) -> Value:
    return np.asarray(np.true_divide(q, 100)) if not isinstance(q, Array) else as_array(q) / 100


def _quantile(
    a: Value,
    q: Value,
    axis: Any,
    method: str,
    keepdims: Any,
    weights: Value,
    weak: bool,
    skip_nan: bool,
    target: np.dtype[Any] | None,
) -> Value:
    a = as_array(a)
    if a.dtype.kind == "c":
        raise TypeError("a must be an array of real numbers")
    if holds(np.logical_not((q >= 0) & (q <= 1))):
        raise ValueError("Quantiles must be in the range [0, 1], percentiles in [0, 100]")
    if q.ndim > 2:
        raise ValueError("q must be a scalar or 1d")
    if weights is not None and method != "inverted_cdf":
        raise ValueError(f"Only method 'inverted_cdf' supports weights. Got: {method}.")
    if skip_nan and not a.size:
        return np.nanmean(a, axis, keepdims=keepdims)
    if method not in _METHODS:
        raise ValueError(f"{method!r} is not a valid method. Use one of: {list(_METHODS)}")
    if axis is not None:
        # Unlike a reduction, it takes no axis of a number.
        np.lib.array_utils.normalize_axis_tuple(axis, a.ndim)
    rows = _rows(a, axis, keepdims)
    array = rows.array
    count = _valid(array) if skip_nan else array.shape[0]
    ordered = np.sort(array, axis=0)
    spread = np.reshape(q, (*q.shape, *[1] * (array.ndim - 1)))
    if weights is not None:
        weights = _weights_like(weights, a, axis)
        if holds(np.less(weights, 0)):
            raise ValueError("Weights must be non-negative.")
        weights = _rows(np.broadcast_to(weights, a.shape), axis, keepdims).array
        result = _at_ranks(ordered, _weighted_ranks(array, weights, count, spread))
    else:
        result = _interpolated(ordered, count, spread, method, weak, target)
    if skip_nan:
        _warn(np.equal(count, 0), "All-NaN slice encountered")
    else:
        result = _or_nan(result, ordered)
    result = rows.place(result)
    if weights is not None and (skip_nan or not holds(np.isnan(ordered[-1:]))):
        return as_ndarray(result) if isinstance(result, Array) else np.asarray(result)
    return _scalar(result)


def _weighted_ranks(array: Value, weights: Value, count: Value, q: Value) -> Value:
    """Find the ranks at which the weights below first add up to a fraction."""
    order = np.argsort(array, axis=0)
    weights = _constant(weights)
    if isinstance(count, Array) or np.any(np.not_equal(count, array.shape[0])):
        weights = np.where(np.isnan(array), 0.0, weights)
    distribution = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0, dtype=np.float64)
    distribution = distribution / distribution[-1]
    if holds(np.isnan(distribution[-1])) and not holds(np.equal(count, 0)):
        raise ValueError("Weights included NaN, inf or were all zero.")
    if q.dtype.kind == "f":
        distribution = distribution.astype(q.dtype)
    # The quantile 0 is the first entry that weighs something.
    distribution = np.where(distribution == 0, -1, distribution)
    below = distribution < np.expand_dims(q, q.ndim - array.ndim + 1)
    last = np.maximum(np.subtract(count, 1), 0)
    return np.minimum(np.sum(below, axis=q.ndim - array.ndim + 1), last)


def _linear(alpha: float, beta: float) -> Callable[[Value, Value], Value]:
    return lambda n, q: n * q + (alpha + q * (1 - alpha - beta)) - 1


def _stepped(index: Value, choose_lower: Callable[[Value, Value], Value]) -> Value:
    lower = np.floor(index)
    place = np.where(choose_lower(index - lower, lower), lower, lower + 1)
    return np.maximum(place.astype(np.intp), 0)


def _span(n: Value, q: Value) -> Value:
    return (n - 1) * q


_METHODS: dict[str, Callable[[Value, Value], Value]] = {
    "inverted_cdf": lambda n, q: _stepped(n * q - 1, lambda part, _: part == 0),
    "averaged_inverted_cdf": lambda n, q: n * q - 1,
    "closest_observation": lambda n, q: _stepped(
        n * q - 1 - 0.5, lambda part, lower: (part == 0) & (lower % 2 == 1)
    ),
    "interpolated_inverted_cdf": _linear(0, 1),
    "hazen": _linear(0.5, 0.5),
    "weibull": _linear(0, 0),
    "linear": _span,
    "median_unbiased": _linear(1 / 3.0, 1 / 3.0),
    "normal_unbiased": _linear(3 / 8.0, 3 / 8.0),
    "lower": lambda n, q: np.floor(_span(n, q)).astype(np.intp),
    "higher": lambda n, q: np.ceil(_span(n, q)).astype(np.intp),
    "midpoint": lambda n, q: 0.5 * (np.floor(_span(n, q)) + np.ceil(_span(n, q))),
    "nearest": lambda n, q: np.rint(_span(n, q)).astype(np.intp),
}
"""The place of a quantile among n sorted entries, counted from 0 (R. J. Hyndman and Y. Fan,
"Sample Quantiles in Statistical Packages", The American Statistician 50, 1996)."""

_ENTRIES = {"inverted_cdf", "closest_observation", "lower", "higher", "nearest"}
"""The methods whose quantiles are entries, and never lie between them."""

_STEPPED_PARTS: dict[str, Callable[[Value], Value]] = {
    "averaged_inverted_cdf": lambda part: np.where(part == 0, 0.5, 1.0),
    "midpoint": lambda part: np.where(part == 0, 0.0, 0.5),
}
"""How far between two entries the quantile lies, where that is not the place's fraction."""


def _interpolated(
    ordered: Value,
    count: Value,
    q: Value,
    method: str,
    weak: bool,
    target: np.dtype[Any] | None,
) -> Value:
    """Interpolate between sorted entries; those above, in the dtype of what is given as out=."""
    last = np.maximum(np.subtract(count, 1), 0)
    if q.dtype.kind == "f" and not isinstance(count, int):
        # As if it were a Python number.
        count = count.astype(q.dtype)
    moving = _METHODS[method](count, q)
    kind = value_type(moving).dtype
    if method in _ENTRIES or (method == "linear" and kind.kind in "iu"):
        if target is not None:
            check_taken_into(target, ordered.dtype)
        return _at_ranks(ordered, np.minimum(moving, last))
    by_place = isinstance(q, Array) and method not in _STEPPED_PARTS
    place = _constant(moving) if by_place else moving
    lower = np.clip(np.floor(place), 0, last)
    upper = np.clip(np.floor(place) + 1, 0, last)
    below = _at_ranks(ordered, lower.astype(np.intp))
    above = _at_ranks(ordered, upper.astype(np.intp))
    part = place - np.floor(place)
    part = _STEPPED_PARTS[method](part) if method in _STEPPED_PARTS else part
    part = part.astype(kind)
    rest = 1 - part
    if weak and ordered.dtype.kind == "f":
        # A Python number gives way to the dtype of the entries.
        part, rest = part.astype(ordered.dtype), rest.astype(ordered.dtype)
    difference = above - below
    near = part >= 0.5
    if not is_known(near) or np.any(near) != np.all(near):
        result = np.where(
            near, _downwards(above, difference * rest, target), below + difference * part
        )
    elif np.any(near):
        result = _downwards(above, difference * rest, target)
    else:
        result = below + difference * part
    if not by_place:
        return result
    slope = _slope(ordered, place, last).astype(result.dtype)
    return result + scale((moving - place).astype(result.dtype), slope)


def _downwards(above: Value, distance: Value, target: np.dtype[Any] | None) -> Value:
    if target is None or target.kind not in "fc":
        return above - distance
    return above.astype(target) - distance.astype(target)


def _slope(ordered: Value, place: Value, last: Value) -> Value:
    """Differentiate a quantile by its place; at an entry, the mean of the slopes beside it."""
    before, after = np.ceil(place) - 1, np.floor(place) + 1
    rise = _at_ranks(ordered, np.clip(after, 0, last).astype(np.intp)) - _at_ranks(
        ordered, np.clip(before, 0, last).astype(np.intp)
    )
    return rise / (after - before)


# Averages


def _weights_like(weights: Value, a: Value, axis: Any) -> Value:
    """Give weights the shape of what they weigh, or one that broadcasts to it."""
    weights = as_array(weights)
    if weights.shape == a.shape:
        return weights
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    axes = normalize_axis_tuple(axis, a.ndim, argname="axis")
    if weights.shape != tuple(a.shape[each] for each in axes):
        raise ValueError(
            "Shape of weights must be consistent with shape of a along specified axis."
        )
    weights = np.transpose(weights, np.argsort(axes).tolist())
    lengths = tuple(n if i in axes else 1 for i, n in enumerate(a.shape))
    return np.reshape(weights, lengths)


def average(
    a: Value,
    axis: Any = None,
    weights: Value = None,
    returned: bool = False,
    *,
    keepdims: Any = NO_VALUE,
) -> Any:
    a = as_array(a)
    if axis is not None:
        # Unlike a reduction, it takes no axis of a number.
        normalize_axis_tuple(axis, a.ndim, argname="axis")
    total: Value
    if weights is None:
        result = np.mean(a, axis=axis, keepdims=keepdims)
        total = value_type(result).dtype.type(a.size / value_type(result).size)
    else:
        weights = _weights_like(weights, a, axis)
        dtype = np.result_type(a.dtype, weights.dtype, *(["f8"] if a.dtype.kind in "iub" else []))
        total = np.sum(weights, axis=axis, dtype=dtype, keepdims=keepdims)
        if holds(np.equal(total, 0.0)):
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        product = np.multiply(a.astype(dtype), weights.astype(dtype))
        result = np.sum(product, axis=axis, keepdims=keepdims) / total
    if not returned:
        return result
    shape = value_type(result).shape
    if value_type(total).shape != shape:
        total = np.copy(np.broadcast_to(total, shape))
    return result, total


def ptp(a: Value, axis: Any = None, out: Value = None, keepdims: Any = NO_VALUE) -> Value:
    a = as_array(a)
    if out is not None:
        np.max(a, axis, out, keepdims)
        return np.subtract(out, np.min(a, axis=axis, keepdims=keepdims), out=out)
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


def count_nonzero(a: Value, axis: Any = None, *, keepdims: bool = False) -> Value:
    return np.sum(np.not_equal(a, 0), axis=axis, keepdims=keepdims, dtype=np.intp)


# Covariance


def cov(
    m: Value,
    y: Value = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Value = None,
    aweights: Value = None,
    *,
    dtype: Any = None,
) -> Value:
    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    m = as_array(m)
    y = None if y is None else as_array(y)
    for each, name in ((m, "m"), (y, "y")):
        if each is not None and each.ndim > 2:
            raise ValueError(f"{name} has more than 2 dimensions")
    if dtype is None:
        dtype = np.result_type(m.dtype, np.float64, *([] if y is None else [y.dtype]))
    samples = np.atleast_2d(m).astype(dtype)
    if not rowvar and m.ndim != 1:
        samples = samples.T
    if samples.shape[0] == 0:
        return np.array([]).reshape(0, 0)
    if y is not None:
        others = np.atleast_2d(y).astype(dtype)
        if not rowvar and others.shape[0] != 1:
            others = others.T
        samples = np.concatenate([samples, others], axis=0)
    if ddof is None:
        ddof = 0 if bias else 1
    weights = None
    for each, name in ((fweights, "fweights"), (aweights, "aweights")):
        if each is not None:
            given = as_array(each).astype(np.float64)
            _check_cov_weights(given, name, samples.shape[1])
            weights = given if weights is None else weights * given
    mean, total = np.average(samples, axis=1, weights=weights, returned=True)
    degrees: Value
    if weights is None:
        degrees = samples.shape[1] - ddof
    elif ddof == 0:
        degrees = total[0]
    elif aweights is None:
        degrees = total[0] - ddof
    else:
        aweights = as_array(aweights).astype(np.float64)
        degrees = total[0] - ddof * np.sum(weights * aweights) / total[0]
    if is_known(degrees) and degrees <= 0:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=4)
        degrees = 0.0
    centered = samples - np.reshape(mean, (-1, 1))
    weighed = centered if weights is None else centered * weights
    products = centered @ (np.conj(weighed.T) if weighed.dtype.kind == "c" else weighed.T)
    scaled = (products * np.true_divide(1, degrees)).astype(products.dtype)
    return np.copy(np.squeeze(scaled))


def _check_cov_weights(weights: Value, name: str, samples: int) -> None:
    if name == "fweights" and holds(np.not_equal(weights, np.round(weights))):
        raise TypeError("fweights must be integer")
    if weights.ndim > 1:
        raise RuntimeError(f"cannot handle multidimensional {name}")
    if weights.shape[0] != samples:
        raise RuntimeError(f"incompatible numbers of samples and {name}")
    if holds(np.less(weights, 0)):
        raise ValueError(f"{name} cannot be negative")


def corrcoef(x: Value, y: Value = None, rowvar: bool = True, *, dtype: Any = None) -> Value:
    covariance = np.cov(x, y, rowvar, dtype=dtype)
    if not covariance.ndim:
        return covariance / covariance
    deviation = np.sqrt(np.diag(covariance).real)
    correlation = covariance / deviation[:, None]
    correlation = correlation / deviation[None, :]
    if correlation.dtype.kind == "c":
        real, imaginary = correlation.real, correlation.imag
        return _bounded(real) + 1j * _bounded(imaginary)
    return _bounded(correlation)


def _bounded(correlation: Value) -> Value:
    # What is beyond is there by rounding, and has the derivative of what it stands for.
    beyond = np.abs(correlation) > 1
    if not may_hold(beyond):
        return correlation
    excess = _constant(correlation - np.clip(correlation, -1, 1))
    return np.where(beyond, correlation - excess, correlation)


# Histograms


def bincount(x: Value, /, weights: Value = None, minlength: int = 0) -> Value:
    given = plain_value(x, "np.bincount")
    count = np.bincount(given, minlength=operator.index(minlength))
    plain = np.asarray(given)
    if weights is None or not plain.size:
        # Of nothing it counts integers, whatever they weigh.
        return count
    weights = as_array(weights)
    if weights.shape != plain.shape:
        raise ValueError("The weights and list don't have the same length.")
    weights = weights.astype(np.float64, casting="safe")
    return _counted(plain.astype(np.intp), weights, len(count))


def _counted(places: Value, weights: Value, count: int) -> Value:
    """Add weights up by their places."""
    return bind(primitive("scatter_add"), (weights, places), {"key": (INDEX,), "shape": (count,)})


def histogram_bin_edges(
    a: Value,
    bins: Any = 10,
    range: Any = None,  # noqa: A002  # NumPy's name
    weights: Value = None,
) -> Value:
    return _edges(as_array(a), bins, range, weights)


def _edges(
    a: Value,
    bins: Any,
    limits: Any,
    weights: Value = None,
    *,
    is_of_several: bool = False,
) -> Value:
    """Find the edges of bins; of several dimensions, given limits say their dtype alone."""
    if isinstance(bins, str):
        plain = plain_value(a, "np.histogram with bins estimated")
        bins = len(np.histogram_bin_edges(plain, bins, limits, weights)) - 1
    elif value_type(bins).ndim == 1:
        edges = as_array(bins)
        if holds(edges[:-1] > edges[1:]):
            raise ValueError("`bins` must increase monotonically, when an array")
        return edges
    elif value_type(bins).ndim:
        raise ValueError("`bins` must be 1d, when an array")
    count = operator.index(bins)
    if count < 1:
        raise ValueError("`bins` must be positive, when an integer")
    first, last = _outer_edges(a, limits)
    dtype = np.result_type(_dtype_of(first), _dtype_of(last), *([] if is_of_several else [a.dtype]))
    return _evenly(first, last, count, dtype if dtype.kind in "fc" else np.dtype(np.float64))


def _dtype_of(value: Value) -> Any:
    return value_type(value).promotion_type if isinstance(value, Array) else value


def _outer_edges(a: Value, limits: Any) -> tuple[Value, Value]:
    if limits is not None:
        first, last = limits
        if holds(np.greater(first, last)):
            raise ValueError("max must be larger than min in range parameter.")
    elif not a.size:
        first, last = 0, 1
    else:
        first, last = np.min(a), np.max(a)
    if holds(np.logical_not(np.isfinite(first) & np.isfinite(last))):
        raise ValueError(f"the range of [{first}, {last}] is not finite")
    empty = np.equal(first, last)
    if not may_hold(empty):
        return first, last
    return np.where(empty, first - 0.5, first)[()], np.where(empty, last + 0.5, last)[()]


def _evenly(first: Value, last: Value, count: int, dtype: Any) -> Value:
    """Space edges evenly, in the order of operations of np.linspace."""
    first, last = np.multiply(first, 1.0), np.multiply(last, 1.0)
    step = (last - first) / count
    inner = np.arange(count, dtype=step.dtype) * step + first
    return np.concatenate([inner, np.reshape(last, (1,))]).astype(dtype)


def histogram(
    a: Value,
    bins: Any = 10,
    range: Any = None,  # noqa: A002  # NumPy's name
    density: bool | None = None,
    weights: Value = None,
) -> tuple[Value, Value]:
    a = as_array(a)
    if weights is not None:
        weights = as_array(weights)
        if weights.shape != a.shape:
            raise ValueError("weights should have the same shape as a.")
    edges = histogram_bin_edges(a, bins, range, weights)
    counts = _histogram([np.ravel(a)], [edges], None if weights is None else np.ravel(weights))
    if density:
        widths = np.diff(edges).astype(np.float64)
        counts = counts / widths / np.sum(counts)
    return counts, edges


def _histogram(columns: Sequence[Value], edges: Sequence[Value], weights: Value) -> Value:
    """Count in bins, whose last includes its right edge; what lies outside is left out."""
    place: Value = 0
    for column, each in zip(columns, edges, strict=True):
        inner = np.searchsorted(each, column, side="right") - (column == each[-1])
        place = place * (len(each) + 1) + inner
    shape = tuple(len(each) + 1 for each in edges)
    if weights is None:
        weights = np.ones(value_type(place).shape, np.intp)
    elif weights.dtype.kind == "b":
        weights = weights.astype(np.intp)
    # Like NumPy, add up in double precision.
    wide = weights.astype(np.float64) if weights.dtype.char in "ef" else weights
    counts = np.reshape(_counted(place, wide, math.prod(shape)), shape)
    return counts[(slice(1, -1),) * len(shape)].astype(weights.dtype)


def histogramdd(
    sample: Any,
    bins: Any = 10,
    range: Any = None,  # noqa: A002  # NumPy's name
    density: bool | None = None,
    weights: Value = None,
) -> tuple[Value, list[Value]]:
    is_array = isinstance(sample, (Array, np.ndarray))
    points = as_array(sample)
    if not is_array or points.ndim != 2:
        points = np.atleast_2d(points).T  # of sequences, one for each dimension
    columns = [points[:, i] for i in np.arange(points.shape[1]).tolist()]
    dimensions = len(columns)
    if not isinstance(bins, (list, tuple)) and value_type(bins).ndim == 0:
        bins = dimensions * [bins]
    elif len(bins) != dimensions:
        raise ValueError("The dimension of bins must be equal to the dimension of the sample x.")
    limits = dimensions * [None] if range is None else list(range)
    if len(limits) != dimensions:
        raise ValueError("range argument must have one entry per dimension")
    edges = [
        _edges(column, each, limit, is_of_several=True)
        for column, each, limit in zip(columns, bins, limits, strict=True)
    ]
    # Where there is nothing to weigh, NumPy does not look at the weights.
    weights = None if weights is None or not columns[0].size else as_array(weights)
    if weights is not None and weights.shape != columns[0].shape:
        raise ValueError("The weights and list don't have the same length.")
    counts = _histogram(columns, edges, weights).astype(np.float64, casting="safe")
    if density:
        total = np.sum(counts)
        for place, each in enumerate(edges):
            lengths = [-1 if i == place else 1 for i in np.arange(dimensions).tolist()]
            counts = counts / np.reshape(np.diff(each), lengths)
        counts = counts / total
    return counts, edges


def histogram2d(
    x: Value,
    y: Value,
    bins: Any = 10,
    range: Any = None,  # noqa: A002  # NumPy's name
    density: bool | None = None,
    weights: Value = None,
) -> tuple[Value, Value, Value]:
    if len(as_array(x)) != len(as_array(y)):
        raise ValueError("x and y must have the same length.")
    if not isinstance(bins, int) and len(bins) not in (1, 2):
        bins = [bins, bins]
    counts, edges = histogramdd([x, y], bins, range, density, weights)
    return counts, edges[0], edges[1]


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.median: median,
    np.quantile: _quantiles(as_array, skip_nan=False),
    np.percentile: _quantiles(_fraction, skip_nan=False),
    np.nanmedian: nanmedian,
    np.nanquantile: _quantiles(as_array, skip_nan=True),
    np.nanpercentile: _quantiles(_fraction, skip_nan=True),
    np.average: average,
    np.ptp: ptp,
    np.count_nonzero: count_nonzero,
    np.cov: cov,
    np.corrcoef: corrcoef,
    np.bincount: bincount,
    np.histogram: histogram,
    np.histogram2d: histogram2d,
    np.histogramdd: histogramdd,
    np.histogram_bin_edges: histogram_bin_edges,
}
