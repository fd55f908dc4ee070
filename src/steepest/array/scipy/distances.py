"""Distances between points, as ``scipy.spatial.distance`` has them, on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.creating import untouched_numpy
from steepest.array.plain import is_known, plain_value
from steepest.array.scipy.followed import followed, original_of
from steepest.array.scipy.implicit import with_value
from steepest.array.scipy.linalg import norm
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS", "METHODS"]


def _weighted(terms: Value, w: Value | None) -> Value:
    return np.sum(terms if w is None else w * terms, axis=-1)


def _euclidean(u: Value, v: Value, w: Value | None = None) -> Value:
    return np.linalg.norm((u - v) if w is None else np.sqrt(w) * (u - v), axis=-1)


def _sqeuclidean(u: Value, v: Value, w: Value | None = None) -> Value:
    difference = u - v
    return _weighted(difference * difference, w)


def _cityblock(u: Value, v: Value, w: Value | None = None) -> Value:
    return _weighted(np.abs(u - v), w)


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


def _canberra(u: Value, v: Value, w: Value | None = None) -> Value:
    sums = np.abs(u) + np.abs(v)
    there = np.not_equal(sums, 0)
    return _weighted(np.where(there, np.abs(u - v) / np.where(there, sums, 1.0), 0.0), w)


def _braycurtis(u: Value, v: Value, w: Value | None = None) -> Value:
    return _weighted(np.abs(u - v), w) / _weighted(np.abs(u + v), w)


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


_WEIGHTED = (_braycurtis, _canberra, _cityblock, _euclidean, _minkowski, _sqeuclidean)


def _metric(
    metric: Any, settings: dict[str, Any], name: str, points: Value = None
) -> Callable[..., Value]:
    """Find a metric; of all points, there are standard deviations and the like."""
    if callable(metric):
        metric = getattr(metric, "__name__", None) if _is_of_scipy(metric) else None
    known = _METRICS.get(_OTHER_NAMES.get(str(metric).lower(), str(metric).lower()))
    out = settings.pop("out", None)
    settings = {
        key: as_array(value) if isinstance(value, (list, tuple)) else value
        for key, value in settings.items()
        if value is not None
    }
    refused = "w" in settings and known not in _WEIGHTED
    if known is None or out is not None or refused:
        raise UnsupportedError(
            f"scipy.spatial.distance.{name} with the metric {metric!r} and"
            f" {sorted(settings)} is not differentiated",
            instead=f"one of {', '.join(sorted(_METRICS))}, without out=; or the formula of"
            " x[:, None] and y[None]",
        )
    if known is _seuclidean and "V" not in settings:
        settings["V"] = np.var(points, axis=0, ddof=1)
    if known is _mahalanobis and "VI" not in settings:
        settings["VI"] = np.linalg.inv(np.cov(points.T)).T
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
    if callable(metric) and not _is_of_scipy(metric):
        rows = [np.stack([as_array(metric(each, other, **settings)) for other in v]) for each in u]
        return np.stack(rows)
    points = np.concatenate([u, v])
    return _metric(metric, settings, "cdist", points)(u[:, None], v[None])


def pdist(X: Value, metric: Any = "euclidean", **settings: Any) -> Value:  # noqa: N803  # SciPy's name
    x = _points(X, "X")
    first, second = np.triu_indices(len(x), 1)
    if callable(metric) and not _is_of_scipy(metric):
        pairs = zip(first.tolist(), second.tolist(), strict=True)
        return np.stack([as_array(metric(x[i], x[j], **settings)) for i, j in pairs])
    return _metric(metric, settings, "pdist", x)(x[first], x[second])


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


# Neighbours


def _query(self: Any, x: Value, k: Any = 1, eps: float = 0.0, p: float = 2.0, **more: Any) -> Any:
    """Find the nearest of constant points, which is a step function, and the distances to them."""
    from scipy.spatial import KDTree

    x = _doubles(x)
    plain = plain_value(x, "scipy.spatial.KDTree.query, which looks for neighbours,")
    with untouched_numpy():
        distances, places = KDTree.query(self, plain, k, eps, p, **more)
    if p != 2.0 or np.any(places >= self.n):
        raise UnsupportedError(
            "scipy.spatial.KDTree.query with p= or with neighbours that are missing is not"
            " differentiated",
            instead="the formula of x and tree.data[places], which have all neighbours",
        )
    points = x if np.ndim(places) < x.ndim else x[..., None, :]
    exact = np.linalg.norm(points - np.asarray(self.data)[places], axis=-1)
    return with_value(distances, exact), places


def _doubles(value: Value) -> Value:
    return as_array(value).astype(np.float64)


def vq(obs: Value, code_book: Value, check_finite: bool = True) -> Any:
    """Find the nearest of some codes, and the distances to them."""
    x, codes = (as_array(each) for each in (obs, code_book))
    plain = [plain_value(each, "scipy.cluster.vq.vq") for each in (x, codes)]
    places, distances = original_of("scipy.cluster.vq", "vq")(*plain, check_finite)
    gaps = x - codes[places]
    exact = np.abs(gaps) if x.ndim == 1 else np.linalg.norm(gaps, axis=-1)
    return places, with_value(distances, exact)


def whiten(obs: Value, check_finite: bool = True) -> Value:
    """Scale features to the variance 1."""
    x = as_array(obs)
    deviations = np.std(x, axis=0)
    return x / np.where(deviations == 0, 1.0, deviations)


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.cluster.vq": {"vq": vq, "whiten": whiten},
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

METHODS: dict[str, dict[str, dict[str, Callable[..., Any]]]] = {
    "scipy.spatial": {"KDTree": {"query": _query}}
}
"""By module, class and name."""
