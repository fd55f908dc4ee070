"""The distributions of ``scipy.stats`` on Arrays.

A distribution's own formulas (``_logpdf``, ``_cdf``, …) are plain NumPy and ufuncs, for the most
part. What SciPy does around them (it picks the entries inside the support, and writes the results
into an ndarray) is done here with ``np.where``, so that it can be recorded too.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.creating import following
from steepest.array.plain import is_known, plain_value
from steepest.array.scipy.frozen import frozen
from steepest.array.scipy.names import LIBRARIES
from steepest.errors import NeedsValueError, TracedConversionError, UnsupportedError
from steepest.ops import primitive
from steepest.ops.spec import Traced, Value, bind

__all__ = ["FUNCTIONS", "METHODS"]


def _plain_or_traced(values: Any) -> tuple[Value, ...]:
    """Take values for comparisons, which have no derivative; traced ones where none are known."""
    return tuple(plain_value(each, "scipy.stats") if is_known(each) else each for each in values)


def _arguments(distribution: Any, shapes: tuple[Value, ...]) -> tuple[Value, Value, Value]:
    """Say whether the shape parameters are valid, and where the support begins and ends."""
    from scipy.stats import rv_continuous

    given = _plain_or_traced(shapes)
    if type(distribution)._argcheck is rv_continuous._argcheck:
        valid: Value = True
        for each in given:
            valid = np.logical_and(valid, each > 0)
    else:
        valid = distribution._argcheck(*given)
    return np.logical_and(valid, True), *distribution._get_support(*given)


def _inner_point(low: Value, high: Value) -> Value:
    """Find a point inside of the support."""
    with np.errstate(invalid="ignore"):
        from_below = np.where(np.isfinite(high), (low + high) / 2, low + 1)
        from_above = np.where(np.isfinite(high), high - 1, 0.0)
        return np.where(np.isfinite(low), from_below, from_above)


def _holds(condition: Value) -> bool:
    """Whether a condition is known to hold everywhere."""
    return is_known(condition) and bool(np.all(plain_value(condition, "scipy.stats")))


_BY_FORMULA = (
    "the formula with NumPy and the ufuncs of scipy.special, or sd.custom_gradient around the call"
)


def _formula(distribution: Any, name: str, x: Value, shapes: tuple[Value, ...]) -> Value:
    """Apply one of a distribution's formulas; that of a density by its logarithm, if need be."""

    def evaluate() -> Value:
        limit = _at_limit(distribution, name, shapes)
        if limit is not None:
            near, formula = limit
            if _holds(near):
                return formula(x, *shapes)
            return np.where(near, formula(x, *shapes), by_scipy())
        return by_scipy()

    def by_scipy() -> Value:
        try:
            return function()
        except UnsupportedError:
            # Some are a compiled function's.
            if name not in ("pdf", "pmf"):
                raise
            return np.exp(getattr(distribution, f"_log{name}")(x, *shapes))

    def function() -> Value:
        formula = getattr(distribution, f"_{name}")
        try:
            return formula(x, *shapes)
        except TypeError:
            # SciPy hands over vectors, and some formulas write into what they have computed.
            if any(np.ndim(each) for each in (x, *shapes)):
                raise
            vectors = (np.reshape(each, 1) for each in (x, *shapes))
            return np.reshape(formula(*vectors), ())

    return _evaluated(distribution, name, evaluate)


def _at_limit(
    distribution: Any, name: str, shapes: tuple[Value, ...]
) -> tuple[Value, Callable[..., Value]] | None:
    """Find the formula for shape parameters at which SciPy's has no derivative, and where."""
    from steepest.array.scipy.limits import LIMITS

    limit = LIMITS.get(distribution.name)
    if limit is None or name not in limit.formulas:
        return None
    if not any(isinstance(each, Traced) for each in shapes):
        return None
    near = limit.near(*_plain_or_traced(shapes))
    return None if _holds(~near) else (near, limit.formulas[name])


_FORMULAS = (
    "scipy.stats._continuous_distns",
    "scipy.stats._discrete_distns",
    "scipy.stats._distn_infrastructure",
    "scipy._lib._util",
)
"""The modules that have them, and what these call."""


def _evaluated(distribution: Any, name: str, evaluate: Callable[[], Any]) -> Any:
    """Evaluate a formula; what it cannot do is an error that names the distribution."""
    try:
        try:
            return evaluate()
        except (UnsupportedError, TracedConversionError):
            # It takes a while to follow code of SciPy's, and most formulas can do without.
            with following(*_FORMULAS):
                return evaluate()
    except (UnsupportedError, TracedConversionError) as error:
        kind = NeedsValueError if isinstance(error, NeedsValueError) else UnsupportedError
        raise kind(
            f"scipy.stats.{distribution.name}.{name} is not differentiated: {error.message}",
            instead=error.instead if isinstance(error, UnsupportedError) else _BY_FORMULA,
            line=error.line,
        ) from error


def _result(value: Value) -> Value:
    return value if np.ndim(value) else as_array(value)[()]


def _pieces(
    distribution: Any,
    name: str,
    x: Value,
    shapes: tuple[Value, ...],
    finish: Callable[[Value], Value],
    valid: Value,
    inside: Value,
    beyond: Value | None,
    inner: Value,
) -> Value:
    """Put a function together: its formula inside of the support, and constants elsewhere.

    Those are 1 ``beyond`` the end of the support at which probabilities are, and 0 elsewhere. Where
    it does not count, the formula is evaluated at an ``inner`` point.
    """
    good = valid & inside
    shape = np.broadcast_shapes(*(np.shape(each) for each in (good, x, *shapes)))
    if _holds(good):
        value = finish(_formula(distribution, name, x, shapes))
        return _result(value if np.shape(value) == shape else np.broadcast_to(value, shape))
    safe = np.where(good, x, inner)
    with np.errstate(all="ignore"):
        value = finish(_formula(distribution, name, safe, shapes))
    is_log = name.startswith("log")
    result = np.where(good, value, -np.inf if is_log else 0.0)
    seen = _plain_or_traced((x,))[0]
    if beyond is not None:
        result = np.where(beyond & valid, 0.0 if is_log else 1.0, result)
    result = np.where(~valid | np.isnan(seen), distribution.badvalue, result)
    return _result(result)


def _of_continuous(name: str) -> Callable[..., Value]:
    def function(self: Any, x: Value, *args: Value, **kwds: Value) -> Value:
        shapes, loc, scale = self._parse_args(*args, **kwds)
        x, loc, scale, *rest = (as_array(each) for each in (x, loc, scale, *shapes))
        shapes = tuple(rest)
        valid, low, high = _arguments(self, shapes)
        (size,) = _plain_or_traced((scale,))
        valid = valid & (size > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            x = ((x - loc) / scale).astype(np.promote_types(x.dtype, np.float64))
        (seen,) = _plain_or_traced((x,))
        beyond = None
        if name.endswith("pdf"):
            inside = (low <= seen) & (seen <= high)
        else:
            inside = (low < seen) & (seen < high)
            beyond = seen >= high if name.endswith("cdf") else seen <= low

        def finish(value: Value) -> Value:
            if name == "pdf":
                return value / scale
            return value - np.log(scale) if name == "logpdf" else value

        inner = _inner_point(low, high)
        return _pieces(self, name, x, shapes, finish, valid, inside, beyond, inner)

    return function


def _of_discrete(name: str) -> Callable[..., Value]:
    def function(self: Any, k: Value, *args: Value, **kwds: Value) -> Value:
        shapes, loc, _ = self._parse_args(*args, **kwds)
        k, loc, *rest = (as_array(each) for each in (k, loc, *shapes))
        shapes = tuple(rest)
        valid, low, high = _arguments(self, shapes)
        k = k - loc
        (seen,) = _plain_or_traced((k,))
        if name.endswith("pmf"):
            inside = (seen >= low) & (seen <= high) & self._nonzero(seen, *_plain_or_traced(shapes))
            beyond = None
        else:
            inside = (seen >= low) & (seen < high)
            beyond = seen >= high if name.endswith("cdf") else seen < low

        def finish(value: Value) -> Value:
            return value if name.startswith("log") else np.clip(value, 0, 1)

        inner = np.floor(_inner_point(low, high))
        return _pieces(self, name, k, shapes, finish, valid, inside, beyond, inner)

    return function


def _quantile(name: str) -> Callable[..., Value]:
    def function(self: Any, q: Value, *args: Value, **kwds: Value) -> Value:
        shapes, loc, scale = self._parse_args(*args, **kwds)
        q, loc, scale, *rest = (as_array(each) for each in (q, loc, scale, *shapes))
        shapes = tuple(rest)
        valid, low, high = _arguments(self, shapes)
        size, place = _plain_or_traced((scale, loc))
        valid = valid & (size > 0) & ~np.isnan(place)
        (seen,) = _plain_or_traced((q,))
        good = valid & (seen > 0) & (seen < 1)
        safe = q if _holds(good) else np.where(good, q, 0.5)
        with np.errstate(all="ignore"):
            value = _formula(self, name, safe, shapes) * scale + loc
            # SciPy computes in the precision of the arguments, into an array of double precision.
            value = as_array(value).astype(np.promote_types(value.dtype, np.float64))
        if _holds(good):
            return _result(value)
        first, last = (low, high) if name == "ppf" else (high, low)
        with np.errstate(invalid="ignore"):
            value = np.where(good, value, self.badvalue)
            value = np.where(valid & (seen == 0), first * scale + loc, value)
            return _result(np.where(valid & (seen == 1), last * scale + loc, value))

    return function


# Moments


def _parameters_of(
    self: Any, args: tuple[Value, ...], kwds: dict[str, Value]
) -> tuple[tuple[Value, ...], Value, Value, Value]:
    """Take shape parameters, place and scale, and say whether they are valid."""
    shapes, loc, scale = self._parse_args(*args, **kwds)
    loc, scale, *rest = (as_array(each) for each in (loc, scale, *shapes))
    # The formulas are NumPy's, in double precision where a number was given.
    shapes = tuple(rest)
    place, size = _plain_or_traced((loc, scale))
    valid = _arguments(self, shapes)[0] & (size > 0) & ~np.isnan(place)
    return shapes, loc, scale, valid


def _where_valid(self: Any, valid: Value, value: Value) -> Value:
    shape = np.broadcast_shapes(np.shape(valid), np.shape(value))
    if not _holds(valid):
        value = np.where(valid, value, self.badvalue)
    value = as_array(value).astype(np.float64)
    return _result(value if value.shape == shape else np.broadcast_to(value, shape))


def _moments_of(self: Any, shapes: tuple[Value, ...], moments: str) -> dict[str, Value]:
    """Evaluate mean, variance, skewness and kurtosis of the standard form, as far as asked for."""
    _refuse_lost_moments("genextreme", self, shapes)
    given = {"moments": moments} if self._stats_has_moments else {}
    known: list[Value] = list(self._stats(*shapes, **given))
    mean, variance, skewness, kurtosis = known
    if mean is None:
        mean = self._munp(1, *shapes)
    if variance is None and moments != "m":
        variance = self._munp(2, *shapes) - mean * mean
    third: Value = None
    if "s" in moments or "k" in moments:
        if skewness is None:
            third = (-mean * mean - 3 * variance) * mean + self._munp(3, *shapes)
            skewness = third / variance**1.5
        else:
            third = skewness * variance**1.5
    if "k" in moments and kurtosis is None:
        powers = (-(mean**2) - 6 * variance) * mean - 4 * third
        kurtosis = (powers * mean + self._munp(4, *shapes)) / variance**2.0 - 3.0
    return {"m": mean, "v": variance, "s": skewness, "k": kurtosis}


def _stats(self: Any, *args: Value, moments: str = "mv", **kwds: Value) -> Any:
    if len(args) > self.numargs + 2:
        args, moments = args[:-1], args[-1]
    shapes, loc, scale, valid = _parameters_of(self, args, kwds)
    with np.errstate(all="ignore"):
        standard = _evaluated(self, "stats", lambda: _moments_of(self, shapes, moments))
        scaled: dict[str, Callable[[Value], Value]] = {
            "m": lambda mean: mean * scale + loc,
            "v": lambda variance: variance * scale * scale,
            "s": lambda skewness: skewness + 0 * scale,
            "k": lambda kurtosis: kurtosis + 0 * scale,
        }
        results = tuple(
            _where_valid(self, valid, scaled[each](standard[each]))
            for each in "mvsk"
            if each in moments
        )
    return results[0] if len(results) == 1 else results


def _entropy(self: Any, *args: Value, **kwds: Value) -> Value:
    shapes, _, scale, valid = _parameters_of(self, args, kwds)
    with np.errstate(all="ignore"):
        standard = _evaluated(self, "entropy", lambda: _standard_entropy(self, shapes))
        return _where_valid(self, valid, standard + np.log(scale))


def _standard_entropy(self: Any, shapes: tuple[Value, ...]) -> Value:
    """Evaluate a formula that may be one of numbers alone, with conditions on them."""
    limit = _at_limit(self, "entropy", shapes)
    if limit is not None:
        return np.where(limit[0], limit[1](*shapes), self._entropy(*shapes))
    try:
        return self._entropy(*shapes)
    except ValueError:
        shapes = tuple(np.broadcast_arrays(*shapes))
        outer = np.shape(shapes[0]) if shapes else ()
        if not outer:
            raise
        entries = [self._entropy(*(each[at] for each in shapes)) for at in np.ndindex(outer)]
        return np.reshape(np.stack(entries), outer)


def _moment(self: Any, order: int, *args: Value, **kwds: Value) -> Value:
    shapes, loc, scale, valid = _parameters_of(self, args, kwds)
    order = int(order)
    if order < 0:
        raise ValueError("Moment must be positive.")

    def evaluate() -> Value:
        # E[(loc + scale z)^n], by the moments of z.
        total: Value = loc**order
        for k in range(1, order + 1):
            factor = float(comb(order, k)) * scale**k
            total = total + factor * loc ** (order - k) * _raw_moment(self, k, shapes)
        return total

    with np.errstate(all="ignore"):
        return _where_valid(self, valid, _evaluated(self, "moment", evaluate))


def _refuse_lost_moments(name: str, distribution: Any, shapes: tuple[Value, ...]) -> None:
    """Refuse moments where SciPy's formulas would lose their derivative by c."""
    if distribution.name != name or not isinstance(shapes[0], Traced):
        return
    (c,) = _plain_or_traced(shapes)
    if is_known(c) and np.any(np.absolute(c) < 0.01):
        raise UnsupportedError(
            "its moments are constants, or have few digits, near c = 0",
            instead="a c further from 0, or numerical integration with the density",
        )


def _raw_moment(self: Any, order: int, shapes: tuple[Value, ...]) -> Value:
    if order > 4:
        _refuse_lost_moments("genpareto", self, shapes)
        return self._munp(order, *shapes)
    of = _moments_of(self, shapes, "mvsk"[:order])
    mean, variance = of["m"], of["v"]
    if order == 1:
        return mean
    if order == 2:
        return variance + mean * mean
    third = of["s"] * variance**1.5
    if order == 3:
        return third + 3 * mean * variance + mean**3
    fourth = (of["k"] + 3.0) * variance**2
    return fourth + 4 * mean * third + 6 * mean * mean * variance + mean**4


# The normal distribution of vectors


_SINGULAR = "When `allow_singular is False`, the input matrix must be symmetric positive definite."


def _normal_logpdf(
    self: Any, x: Value, mean: Value = None, cov: Value = 1, allow_singular: bool = False
) -> Value:
    from scipy.stats import Covariance

    if isinstance(cov, Covariance):
        mean = np.zeros(cov.shape[-1]) if mean is None else mean
        return _whitened_logpdf(x, np.broadcast_to(mean, (cov.shape[-1],)), cov)
    cov = as_array(1.0 if cov is None else cov)
    if mean is None:
        mean = np.zeros(cov.shape[0] if cov.ndim == 2 else 1)
    mean = np.ravel(as_array(mean)).astype(np.float64)
    dimension = mean.size
    cov = cov.astype(np.float64)
    if dimension == 1:
        cov = np.reshape(cov, (1, 1))
    elif cov.ndim == 0:
        cov = cov * np.eye(dimension)
    elif cov.ndim == 1:
        cov = np.diag(cov)
    if cov.shape != (dimension, dimension):
        raise ValueError(f"a mean of {dimension} entries and a covariance matrix of {cov.shape}")
    _check_definite(cov, allow_singular)
    factor = np.linalg.cholesky(cov)
    points = _points(x, dimension)
    deviation = np.reshape(points - mean, (-1, dimension)).T
    white = bind(primitive("solve_triangular"), (factor, deviation), {"lower": True, "unit": False})
    squares = np.reshape(np.sum(white * white, axis=0), points.shape[:-1])
    logarithm = 2 * np.sum(np.log(np.diagonal(factor)))
    return _squeezed(-0.5 * (dimension * np.log(2 * np.pi) + logarithm + squares))


def _check_definite(cov: Value, allow_singular: bool) -> None:
    """Raise SciPy's error where it would take a covariance matrix for singular."""
    if not is_known(cov):
        return
    values = np.linalg.eigvalsh(plain_value(cov, "multivariate_normal"))
    if values[0] > 1e6 * np.finfo(np.float64).eps * np.max(np.abs(values)):
        return
    if allow_singular:
        raise UnsupportedError(
            "the density of a normal distribution with a singular covariance matrix is not"
            " differentiated by that matrix",
            instead="a covariance matrix of full rank: cov + 1e-6 * np.eye(len(cov))",
        )
    raise np.linalg.LinAlgError(_SINGULAR)


def _points(x: Value, dimension: int) -> Value:
    x = as_array(x).astype(np.float64)
    if x.ndim == 0:
        return np.reshape(x, (1,))
    if x.ndim == 1:
        return x[:, None] if dimension == 1 else x[None, :]
    return x


def _squeezed(value: Value) -> Value:
    return _result(np.squeeze(value))


def _whitened_logpdf(x: Value, mean: Value, cov: Any) -> Value:
    """Compute the density with a covariance matrix that SciPy has factored."""
    dimension = cov.shape[-1]
    if np.any(cov.rank < dimension):
        raise UnsupportedError(
            "the density of a normal distribution with a singular covariance matrix is not"
            " differentiated",
            instead="a covariance matrix of full rank",
        )
    points = _points(x, dimension)
    squares = np.sum(np.square(cov._whiten(points - mean)), axis=-1)
    constant = dimension * np.log(2 * np.pi) + np.asarray(cov.log_pdet)[..., None]
    return _squeezed(-0.5 * (np.squeeze(constant) + squares))


def _normal_pdf(self: Any, *args: Value, **settings: Any) -> Value:
    return np.exp(_normal_logpdf(self, *args, **settings))


def _normal_entropy(self: Any, mean: Value = None, cov: Value = 1) -> Value:
    cov = as_array(1.0 if cov is None else cov)
    size = 1 if mean is None else np.size(mean)
    if cov.ndim < 2:
        cov = cov * np.eye(size if cov.ndim == 0 else len(cov))
    _check_definite(cov, allow_singular=False)
    _, logarithm = np.linalg.slogdet(2 * np.pi * np.e * cov)
    return 0.5 * logarithm


def _frozen_logpdf(self: Any, x: Value) -> Value:
    return _whitened_logpdf(x, self.mean, self.cov_object)


def _frozen_pdf(self: Any, x: Value) -> Value:
    return np.exp(_frozen_logpdf(self, x))


def apply_where(
    cond: Value,
    args: Any,
    f1: Callable[..., Value],
    f2: Callable[..., Value] | None = None,
    /,
    *,
    fill_value: Value = None,
    **_settings: Any,
) -> Value:
    """Choose between two formulas; SciPy's own evaluates each at its entries alone."""
    args = args if isinstance(args, (tuple, list)) else (args,)
    if _holds(cond):
        return f1(*args)
    with np.errstate(all="ignore"):
        other = fill_value if f2 is None else f2(*args)
        if f2 is not None and _holds(~cond):
            return other
        return np.where(cond, f1(*args), other)


_DENSITIES = ("pdf", "logpdf", "cdf", "logcdf", "sf", "logsf")

METHODS: dict[str, dict[str, dict[str, Callable[..., Any]]]] = {
    "scipy.stats": {
        "rv_continuous": {name: _of_continuous(name) for name in _DENSITIES}
        | {name: _quantile(name) for name in ("ppf", "isf")},
        "_distn_infrastructure.rv_generic": {
            "entropy": _entropy,
            "moment": _moment,
            "stats": _stats,
        },
        "rv_discrete": {
            name: _of_discrete(name) for name in ("pmf", "logpmf", "cdf", "logcdf", "sf", "logsf")
        },
        "_multivariate.multivariate_normal_gen": {
            "__call__": frozen("mean cov allow_singular", "logpdf pdf entropy"),
            "entropy": _normal_entropy,
            "logpdf": _normal_logpdf,
            "pdf": _normal_pdf,
        },
        "_multivariate.multivariate_normal_frozen": {
            "logpdf": _frozen_logpdf,
            "pdf": _frozen_pdf,
        },
    }
}
"""By module, class and name."""

FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    f"{library}array_api_extra": {"apply_where": apply_where} for library in LIBRARIES
}
"""By module and name: what the formulas are written with."""
