"""Distributions of vectors and matrices, and kernel density estimates, on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.buffers import as_ndarray
from steepest.array.plain import is_known, plain_value
from steepest.array.scipy.frozen import frozen
from steepest.errors import UnsupportedError
from steepest.ops import primitive
from steepest.ops.matrices import conjugate_transpose
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS", "METHODS"]


def _doubles(value: Value) -> Value:
    return as_array(value).astype(np.float64)


def _holds_anywhere(condition: Value) -> bool:
    return is_known(condition) and bool(np.any(plain_value(condition, "scipy.stats")))


def _squeezed(value: Value) -> Value:
    return np.squeeze(value)[()]


def _exponential(logarithm: Callable[..., Value]) -> Callable[..., Value]:
    def density(self: Any, *args: Value, **settings: Any) -> Value:
        return np.exp(logarithm(self, *args, **settings))

    return density


# Shares


def _concentrations(alpha: Value) -> Value:
    alpha = as_array(alpha)
    if alpha.ndim != 1:
        raise ValueError(
            f"Parameter vector 'a' must be one dimensional, but a.shape = {alpha.shape}."
        )
    if _holds_anywhere(alpha <= 0):
        raise ValueError("All parameters must be greater than 0")
    return alpha


def _log_beta(alpha: Value) -> Value:
    from scipy.special import gammaln

    return np.sum(gammaln(alpha)) - gammaln(np.sum(alpha))


def _dirichlet_logpdf(self: Any, x: Value, alpha: Value) -> Value:
    from scipy.special import xlogy

    alpha, x = _concentrations(alpha), as_array(x)
    if x.ndim not in (1, 2) or x.shape[0] not in (len(alpha), len(alpha) - 1):
        raise ValueError(
            "Vector 'x' must have either the same number of entries as, or one entry fewer than,"
            f" parameter vector 'a', but alpha.shape = {alpha.shape} and x.shape = {x.shape}."
        )
    if x.shape[0] != len(alpha):
        x = np.concatenate([x, 1 - np.sum(x, axis=0, keepdims=True)])
    if _holds_anywhere((x < 0) | (x > 1)):
        raise ValueError(
            "Each entry in 'x' must be greater than or equal to zero, and at most one."
        )
    less = np.reshape(alpha, (-1,) + (1,) * (x.ndim - 1)) < 1
    if _holds_anywhere((x == 0) & less):
        raise ValueError(
            "Each entry in 'x' must be greater than zero if its alpha is less than one."
        )
    if _holds_anywhere(np.abs(np.sum(x, axis=0) - 1.0) > 10e-10):
        raise ValueError("The input vector 'x' must lie within the normal simplex.")
    return _squeezed(np.sum(xlogy(alpha - 1, x.T).T, axis=0) - _log_beta(alpha))


def _dirichlet_mean(self: Any, alpha: Value) -> Value:
    alpha = _concentrations(alpha)
    return _squeezed(alpha / np.sum(alpha))


def _dirichlet_var(self: Any, alpha: Value) -> Value:
    alpha = _concentrations(alpha)
    total = np.sum(alpha)
    return _squeezed(alpha * (total - alpha) / (total * total * (total + 1)))


def _dirichlet_entropy(self: Any, alpha: Value) -> Value:
    from scipy.special import psi

    alpha = _concentrations(alpha)
    total = np.sum(alpha)
    value = _log_beta(alpha) + (total - len(alpha)) * psi(total)
    return _squeezed(value - np.sum((alpha - 1) * psi(alpha)))


def _multinomial_logpmf(self: Any, x: Value, n: Value, p: Value) -> Value:
    from scipy.special import gammaln, xlogy

    x = np.asarray(plain_value(x, "scipy.stats.multinomial"))
    n = np.asarray(plain_value(n, "scipy.stats.multinomial")).astype(int)
    p = as_array(p)
    tolerance = np.finfo(np.result_type(p.dtype, np.float32)).eps * 10
    p = p.astype(np.float64)
    if x.shape[-1:] != p.shape[-1:]:
        raise ValueError(
            f"Size of each quantile should be size of p: received {x.shape[-1:]}, but expected"
            f" {p.shape[-1:]}."
        )
    off = np.abs(1 - np.sum(p, axis=-1)) > tolerance
    if _holds_anywhere(off):
        raise UnsupportedError(
            "scipy.stats.multinomial is not differentiated where probabilities do not add up to 1:"
            " SciPy would replace the last of them",
            instead="p / np.sum(p, axis=-1, keepdims=True)",
        )
    valid = np.all((p >= 0) & (p <= 1), axis=-1) & (n >= 0)
    possible = np.all((x == np.floor(x)) & (x >= 0), axis=-1) & (np.sum(x, axis=-1) == n)
    value = gammaln(n + 1) + np.sum(xlogy(x, p) - gammaln(x + 1), axis=-1)
    value = value if np.all(possible) else np.where(possible, value, -np.inf)
    if not is_known(valid) or _holds_anywhere(~valid):
        value = np.where(valid, value, np.nan)
    # SciPy's is an array also where it is one number.
    return as_ndarray(value)


# Matrices


def _scale_matrix(scale: Value) -> Value:
    scale = _doubles(scale)
    if scale.ndim == 0:
        return np.reshape(scale, (1, 1))
    return np.diag(scale) if scale.ndim == 1 else scale


def _matrices(x: Value, size: int) -> Value:
    """Take matrices, of which SciPy has each along the last axis, one after the other."""
    x = _doubles(x)
    if x.ndim == 0:
        x = x * np.eye(size)
    if x.ndim == 1:
        if size == 1:
            return np.reshape(x, (-1, 1, 1))
        x = np.diag(x)
    if x.ndim == 2:
        x = x[..., None]
    if x.shape[:2] != (size, size):
        raise ValueError(
            f"Quantiles must have the shape ({size}, {size}) of the scale matrix, not {x.shape[:2]}"
        )
    return np.moveaxis(x, -1, 0)


def _degrees_of_freedom(df: Value, size: int) -> Value:
    df = size if df is None else df
    if _holds_anywhere(as_array(df) <= size - 1):
        raise ValueError("Degrees of freedom must be greater than the dimension of scale matrix"
                         " minus 1.")  # fmt: skip
    return df


def _log_determinant(factor: Value) -> Value:
    return 2 * np.sum(np.log(np.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)


def _squares(factor: Value, of: Value) -> Value:
    """Take the trace of the inverse of one matrix times another, of which there are factors."""
    part = bind(primitive("solve_triangular"), (factor, of), {"lower": True, "unit": False})
    return np.sum(part * part, axis=(-2, -1))


def _wishart_logpdf(self: Any, x: Value, df: Value, scale: Value) -> Value:
    from scipy.special import multigammaln

    scale = _scale_matrix(scale)
    size = len(scale)
    df = _degrees_of_freedom(df, size)
    factor = np.linalg.cholesky(scale)
    inner = np.linalg.cholesky(_matrices(x, size))
    value = (
        0.5 * (df - size - 1) * _log_determinant(inner)
        - 0.5 * _squares(factor, inner)
        - 0.5 * df * size * np.log(2.0)
        - 0.5 * df * _log_determinant(factor)
        - multigammaln(0.5 * df, size)
    )
    return _squeezed(value)


def _inverse_wishart_logpdf(self: Any, x: Value, df: Value, scale: Value) -> Value:
    from scipy.special import multigammaln

    scale = _scale_matrix(scale)
    size = len(scale)
    df = _degrees_of_freedom(df, size)
    factor = np.linalg.cholesky(scale)
    inner = np.linalg.cholesky(_matrices(x, size))
    value = (
        0.5 * df * _log_determinant(factor)
        - 0.5 * _squares(inner, factor)
        - 0.5 * df * size * np.log(2.0)
        - 0.5 * (df + size + 1) * _log_determinant(inner)
        - multigammaln(0.5 * df, size)
    )
    return _squeezed(value)


# Student's distribution of vectors


def _student_logpdf(
    self: Any, x: Value, loc: Value = None, shape: Value = 1, df: Value = 1, **_settings: Any
) -> Value:
    from scipy.special import gammaln

    shape = _doubles(1.0 if shape is None else shape)
    if loc is None:
        loc = np.zeros(shape.shape[0] if shape.ndim == 2 else 1)
    loc = np.ravel(_doubles(loc))
    size = loc.size
    if shape.ndim < 2:
        shape = shape * np.eye(size) if shape.ndim == 0 else np.diag(shape)
    if shape.shape != (size, size):
        raise ValueError(f"a location of {size} entries and a shape matrix of {shape.shape}")
    df = 1 if df is None else df
    factor = np.linalg.cholesky(shape)
    x = _doubles(x)
    points = np.reshape(x, (1,)) if x.ndim == 0 else x
    if points.ndim == 1:
        points = points[:, None] if size == 1 else points[None, :]
    if is_known(df) and np.isinf(plain_value(df, "df")):
        from scipy.stats import multivariate_normal

        return np.reshape(multivariate_normal.logpdf(x, loc, shape), points.shape[:-1])
    deviation = np.reshape(points - loc, (-1, size)).T
    white = bind(primitive("solve_triangular"), (factor, deviation), {"lower": True, "unit": False})
    squares = np.reshape(np.sum(white * white, axis=0), points.shape[:-1])
    half = 0.5 * (df + size)
    constant = gammaln(half) - gammaln(0.5 * df) - size / 2.0 * np.log(df * np.pi)
    value = constant - 0.5 * _log_determinant(factor) - half * np.log(1 + (1.0 / df) * squares)
    return _squeezed(value)


# Kernel density estimates


def _log_kernel_sums(points: Value, data: Value, weights: Value, factor: Value) -> Value:
    """Take the logarithm of a sum of normal densities, one around each column of the data."""
    from scipy.special import logsumexp

    size = data.shape[0]
    points = np.atleast_2d(_doubles(points))
    if points.shape[0] != size:
        if points.shape != (1, size):
            raise ValueError(
                f"points have dimension {points.shape[0]}, dataset has dimension {size}"
            )
        points = np.reshape(points, (size, 1))
    static = {"lower": True, "unit": False}
    solve = primitive("solve_triangular")
    white_points = bind(solve, (factor, points), static)
    white_data = bind(solve, (factor, data), static)
    differences = white_points[:, :, None] - white_data[:, None, :]
    exponents = -0.5 * np.sum(differences * differences, axis=0)
    constant = 0.5 * _log_determinant(factor) + size / 2 * np.log(2 * np.pi)
    return logsumexp(exponents - constant, axis=1, b=np.broadcast_to(weights, exponents.shape))


class KernelDensity:
    """What stands for SciPy's class where the data, the weights or the bandwidth are traced."""

    def __init__(self, dataset: Value, bw_method: Any = None, weights: Value = None) -> None:
        self.dataset = np.atleast_2d(as_array(dataset))
        if not self.dataset.size > 1:
            raise ValueError("`dataset` input should have multiple elements.")
        self.d, self.n = self.dataset.shape
        if self.d > self.n:
            raise ValueError("Number of dimensions is greater than number of samples.")
        if weights is None:
            self.weights: Value = np.ones(self.n) / self.n
        else:
            self.weights = np.atleast_1d(_doubles(weights))
            self.weights = self.weights / np.sum(self.weights)
        if self.weights.shape != (self.n,):
            raise ValueError("`weights` input should be of length n")
        self.neff = 1 / np.sum(self.weights * self.weights) if weights is not None else self.n
        self.factor = self._bandwidth(bw_method)
        spread = np.cov(_doubles(self.dataset), rowvar=True, bias=False, aweights=self.weights)
        spread = np.atleast_2d(spread)
        self.covariance = spread * self.factor**2
        self.cho_cov = np.linalg.cholesky(spread) * self.factor

    def _bandwidth(self, method: Any) -> Value:
        if method is None or isinstance(method, str):
            if method in (None, "scott"):
                return self.scotts_factor()
            if method == "silverman":
                return self.silverman_factor()
        elif callable(method):
            return method(self)
        elif np.ndim(method) == 0:
            return method
        raise ValueError("`bw_method` should be 'scott', 'silverman', a scalar or a callable.")

    def scotts_factor(self) -> Value:
        return np.power(self.neff, -1.0 / (self.d + 4))

    def silverman_factor(self) -> Value:
        return np.power(self.neff * (self.d + 2.0) / 4.0, -1.0 / (self.d + 4))

    def logpdf(self, x: Value) -> Value:
        return _log_kernel_sums(x, _doubles(self.dataset), self.weights, self.cho_cov)

    def evaluate(self, points: Value) -> Value:
        return np.exp(self.logpdf(points))

    __call__ = pdf = evaluate

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnsupportedError(
            f"scipy.stats.gaussian_kde(…).{name} of traced data is not differentiated",
            instead="evaluate and logpdf",
        )


def _estimated_logpdf(self: Any, x: Value) -> Value:
    return _log_kernel_sums(x, self.dataset, self.weights, self.cho_cov)


def _estimated(self: Any, points: Value) -> Value:
    return np.exp(_estimated_logpdf(self, points))


def _of_frozen(method: Callable[..., Value], *names: str) -> Callable[..., Value]:
    """Make a method of a frozen distribution of SciPy's, which has its parameters as attributes."""

    def function(self: Any, x: Value) -> Value:
        return method(self, x, *(getattr(self, name) for name in names))

    return function


def _covariance_of_shares(self: Any, n: Value, p: Value) -> Value:
    p = _doubles(p)
    shares = p[..., :, None] * p[..., None, :]
    diagonal = p[..., :, None] * np.eye(p.shape[-1])
    count = np.asarray(plain_value(n, "scipy.stats.multinomial"))[..., None, None]
    return count * (diagonal - conjugate_transpose(shares))


def _density(logarithm: Callable[..., Value], of: str = "pdf") -> dict[str, Callable[..., Value]]:
    return {f"log{of}": logarithm, of: _exponential(logarithm)}


METHODS: dict[str, dict[str, dict[str, Callable[..., Any]]]] = {
    "scipy.stats": {
        "_multivariate.dirichlet_gen": {
            **_density(_dirichlet_logpdf),
            "__call__": frozen("alpha", "logpdf pdf mean var entropy"),
            "entropy": _dirichlet_entropy,
            "mean": _dirichlet_mean,
            "var": _dirichlet_var,
        },
        "_multivariate.multinomial_gen": {
            **_density(_multinomial_logpmf, "pmf"),
            "__call__": frozen("n p", "logpmf pmf cov"),
            "cov": _covariance_of_shares,
        },
        "_multivariate.wishart_gen": {
            **_density(_wishart_logpdf),
            "__call__": frozen("df scale", "logpdf pdf"),
        },
        "_multivariate.wishart_frozen": _density(_of_frozen(_wishart_logpdf, "df", "scale")),
        "_multivariate.invwishart_gen": {
            **_density(_inverse_wishart_logpdf),
            "__call__": frozen("df scale", "logpdf pdf"),
        },
        "_multivariate.invwishart_frozen": _density(
            _of_frozen(_inverse_wishart_logpdf, "df", "scale")
        ),
        "_multivariate.multivariate_t_gen": {
            **_density(_student_logpdf),
            "__call__": frozen("loc shape df allow_singular", "logpdf pdf"),
        },
        "_multivariate.multivariate_t_frozen": _density(
            _of_frozen(_student_logpdf, "loc", "shape", "df")
        ),
        "_kde.gaussian_kde": {
            "__call__": _estimated,
            "evaluate": _estimated,
            "logpdf": _estimated_logpdf,
        },
    }
}
"""By module, class and name."""

FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.stats": {"gaussian_kde": KernelDensity}
}
"""By module and name."""
