"""Distances between points, as ``scipy.spatial.distance`` has them, on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.plain import is_known, plain_value
from steepest.array.scipy.followed import followed
from steepest.array.scipy.linalg import norm
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


def _euclidean(u: Value, v: Value) -> Value:
    return np.linalg.norm(u - v, axis=-1)


def _sqeuclidean(u: Value, v: Value) -> Value:
    difference = u - v
    return np.sum(difference * difference, axis=-1)


def _cityblock(u: Value, v: Value) -> Value:
    return np.sum(np.abs(u - v), axis=-1)


def _chebyshev(u: Value, v: Value) -> Value:
    return np.max(np.abs(u - v), axis=-1, initial=0.0)


def _minkowski(u: Value, v: Value, p: Value = 2, w: Value | None = None) -> Value:
    difference = np.abs(u - v)
    if w is None and np.ndim(p) == 0 and is_known(p) and plain_value(p, "p") == np.inf:
        return np.max(difference, axis=-1, initial=0.0)
    powers = difference**p if w is None else w * difference**p
    return np.sum(powers, axis=-1) ** (1 / p)


def _cosine(u: Value, v: Value) -> Value:
    lengths = np.linalg.norm(u, axis=-1) * np.linalg.norm(v, axis=-1)
    return 1.0 - np.sum(u * v, axis=-1) / lengths


def _correlation(u: Value, v: Value) -> Value:
    u, v = (each - np.mean(each, axis=-1, keepdims=True) for each in (u, v))
    return _cosine(u, v)


def _canberra(u: Value, v: Value) -> Value:
    sums = np.abs(u) + np.abs(v)
    there = np.not_equal(sums, 0)
    return np.sum(np.where(there, np.abs(u - v) / np.where(there, sums, 1.0), 0.0), axis=-1)


def _braycurtis(u: Value, v: Value) -> Value:
    return np.sum(np.abs(u - v), axis=-1) / np.sum(np.abs(u + v), axis=-1)


def _seuclidean(u: Value, v: Value, V: Value) -> Value:  # noqa: N803  # SciPy's name
    difference = u - v
    return np.sqrt(np.sum(difference * difference / V, axis=-1))


def _mahalanobis(u: Value, v: Value, VI: Value) -> Value:  # noqa: N803  # SciPy's name
    difference = u - v
    return np.sqrt(np.sum(np.matmul(difference, VI) * difference, axis=-1))


def _jensenshannon(u: Value, v: Value, base: Value | None = None) -> Value:
    return _divergence(u, v, base, -1, keepdims=False)


def _divergence(p: Value, q: Value, base: Value | None, axis: int, *, keepdims: bool) -> Value:
    from scipy.special import rel_entr

    p, q = (each / np.sum(each, axis=axis, keepdims=True) for each in (p, q))
    middle = (p + q) / 2.0
    terms = rel_entr(p, middle) + rel_entr(q, middle)
    total = np.sum(terms, axis=axis, keepdims=keepdims)
    return np.sqrt((total if base is None else total / np.log(base)) / 2.0)


def jensenshannon(
    p: Value, q: Value, base: Value | None = None, *, axis: int = 0, keepdims: bool = False
) -> Value:
    p, q = as_array(p), as_array(q)
    return _divergence(p, q, base, axis, keepdims=keepdims)


_METRICS: dict[str, Callable[..., Value]] = {
    "braycurtis": _braycurtis,
    "canberra": _canberra,
    "chebyshev": _chebyshev,
    "cityblock": _cityblock,
    "correlation": _correlation,
    "cosine": _cosine,
    "euclidean": _euclidean,
    "jensenshannon": _jensenshannon,
    "mahalanobis": _mahalanobis,
    "minkowski": _minkowski,
    "seuclidean": _seuclidean,
    "sqeuclidean": _sqeuclidean,
}
_OTHER_NAMES = {
    **dict.fromkeys(("euclid", "eu", "e"), "euclidean"),
    **dict.fromkeys(("sqe", "sqeuclid"), "sqeuclidean"),
    **dict.fromkeys(("manhattan", "cblock", "cb", "c"), "cityblock"),
    **dict.fromkeys(("chebychev", "cheby", "cheb", "ch"), "chebyshev"),
    **dict.fromkeys(("minkowski", "mi", "m", "pnorm"), "minkowski"),
    **dict.fromkeys(("cos",), "cosine"),
    **dict.fromkeys(("co",), "correlation"),
    **dict.fromkeys(("mahal", "mah"), "mahalanobis"),
    **dict.fromkeys(("se", "s"), "seuclidean"),
    **dict.fromkeys(("js", "jensenshannon"), "jensenshannon"),
}


def _metric(metric: Any, settings: dict[str, Any], name: str) -> Callable[..., Value]:
    if callable(metric):
        metric = getattr(metric, "__name__", None) if _is_of_scipy(metric) else None
    known = _METRICS.get(_OTHER_NAMES.get(str(metric).lower(), str(metric).lower()))
    out = settings.pop("out", None)
    settings = {
        key: as_array(value) if isinstance(value, (list, tuple)) else value
        for key, value in settings.items()
        if value is not None
    }
    weighted = "w" in settings and known is not _minkowski
    needed = {_seuclidean: "V", _mahalanobis: "VI"}.get(known) if known else None
    if known is None or out is not None or weighted or (needed and needed not in settings):
        what = "" if needed is None or needed in settings else f", without {needed}="
        raise UnsupportedError(
            f"scipy.spatial.distance.{name} with the metric {metric!r}{what} and"
            f" {sorted(settings)} is not differentiated",
            instead=f"one of {', '.join(sorted(_METRICS))}, without weights and out=; or the"
            " formula of x[:, None] and y[None]",
        )
    return lambda u, v: known(u, v, **settings)


def _is_of_scipy(metric: Any) -> bool:
    return str(getattr(metric, "__module__", "")).startswith("scipy.")


def _points(value: Value, name: str) -> Value:
    array = as_array(value).astype(np.float64)
    if array.ndim != 2:
        raise ValueError(f"{name} must be a 2-dimensional array.")
    return array


def cdist(
    XA: Value,  # noqa: N803  # SciPy's name
    XB: Value,  # noqa: N803  # SciPy's name
    metric: Any = "euclidean",
    **settings: Any,
) -> Value:
    u, v = _points(XA, "XA"), _points(XB, "XB")
    if u.shape[1] != v.shape[1]:
        raise ValueError("XA and XB must have the same number of columns (i.e. feature dimension.)")
    return _metric(metric, settings, "cdist")(u[:, None], v[None])


def pdist(X: Value, metric: Any = "euclidean", **settings: Any) -> Value:  # noqa: N803  # SciPy's name
    x = _points(X, "X")
    first, second = np.triu_indices(len(x), 1)
    return _metric(metric, settings, "pdist")(x[first], x[second])


def _of_two(name: str) -> Callable[..., Value]:
    def distance(u: Value, v: Value, *args: Any, **settings: Any) -> Value:
        names = {"minkowski": ("p", "w"), "seuclidean": ("V",), "mahalanobis": ("VI",)}
        settings |= dict(zip(names.get(name, ("w",)), args, strict=False))
        u, v = as_array(u), as_array(v)
        if u.ndim != 1 or v.ndim != 1:
            raise ValueError("Input vector should be 1-D.")
        if name == "euclidean" and not settings:
            # Unlike cdist's, it neither overflows nor underflows.
            return norm(u - v)
        return _metric(name, settings, name)(u, v)[()]

    distance.__name__ = name
    return distance


def squareform(X: Value, force: str = "no", checks: bool = True) -> Value:  # noqa: N803  # SciPy's
    x = np.atleast_1d(as_array(X))
    if x.ndim == 1 and force.lower() in ("no", "tomatrix"):
        size = int(np.ceil(np.sqrt(x.size * 2))) if x.size else 1
        if size * (size - 1) != x.size * 2:
            raise ValueError(
                "Incompatible vector size. It must be a binomial coefficient n choose 2 for some"
                " integer n >= 2."
            )
        places = np.zeros((size, size), int)
        above = np.triu_indices(size, 1)
        places[above] = np.arange(x.size)
        places += places.T
        apart = ~np.eye(size, dtype=bool)
        if not x.size:
            return np.zeros((1, 1), x.dtype)
        return np.where(apart, x[places], np.zeros((), x.dtype))
    if x.ndim == 2 and force.lower() in ("no", "tovector"):
        if x.shape[0] != x.shape[1]:
            raise ValueError("The matrix argument must be square.")
        if checks and is_known(x):
            plain = plain_value(x, "squareform")
            if not np.allclose(plain, plain.T, rtol=0, atol=1e-8) or np.any(np.diagonal(plain)):
                raise ValueError("a distance matrix must be symmetric, with zeros in its diagonal")
        return x[np.triu_indices(len(x), 1)]
    raise ValueError(f"force={force!r} does not fit an array of {x.ndim} axes")


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.spatial.distance": {
        "cdist": cdist,
        "pdist": pdist,
        "squareform": squareform,
        **{name: _of_two(name) for name in _METRICS},
        "jensenshannon": jensenshannon,
    },
    "scipy.spatial": followed(
        "scipy.spatial",
        "distance_matrix geometric_slerp minkowski_distance minkowski_distance_p procrustes",
        "the formula of x[:, None] and y[None]",
    ),
}
"""By module and name."""
