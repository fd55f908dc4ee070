"""Functions of scipy.special, signal, ndimage, fft, integrate and spatial.distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.cluster.vq
import scipy.fft
import scipy.integrate
import scipy.ndimage
import scipy.signal
import scipy.spatial
import scipy.spatial.distance
import scipy.special
from tests.array.scipy_calls import check, check_once

import steepest as sd
from steepest.array.scipy import distances, filters, fourier, integrate, special
from steepest.errors import UnsupportedError

special_: Any = scipy.special
signal: Any = scipy.signal
images: Any = scipy.ndimage
clusters: Any = scipy.cluster.vq
fft: Any = scipy.fft
integrals: Any = scipy.integrate
points: Any = scipy.spatial
space: Any = scipy.spatial.distance

rng = np.random.default_rng(0)
X = rng.normal(size=(5, 6))
K = rng.normal(size=(3, 2))
V = rng.normal(size=3)
W = rng.normal(size=(4, 3))
Z = rng.normal(size=(2, 3)) + 1
LINE = rng.normal(size=9)
UNEVEN = np.arange(6.0) ** 1.5

CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "gaussian_gradient_magnitude": (lambda x: images.gaussian_gradient_magnitude(x, 1.0), X),
    "gaussian_laplace": (lambda x: images.gaussian_laplace(x, [1.0, 0.7], mode="wrap"), X),
    "logsumexp": (lambda x: special_.logsumexp(x), X),
    "logsumexp along an axis": (lambda x: special_.logsumexp(x, axis=1), X),
    "logsumexp with weights": (lambda x: special_.logsumexp(x, axis=0, b=np.abs(X)), X),
    "logsumexp by weights": (lambda b: special_.logsumexp(X, axis=0, b=np.abs(b)), X),
    "logsumexp of two axes": (lambda x: special_.logsumexp(x, axis=(0, 1), keepdims=True), X),
    "logsumexp of complex numbers": (
        lambda x: np.abs(special_.logsumexp(x + 4j * x, axis=0, b=2 - 1j * X)),
        X,
    ),
    "logsumexp of complex numbers, with a sign": (
        lambda x: special_.logsumexp([x, x / 2 + 1j * np.pi], axis=0, return_sign=True)[0],
        X,
    ),
    "logsumexp with a sign": (lambda x: special_.logsumexp(x, b=X, return_sign=True)[0], X),
    "softmax": (lambda x: special_.softmax(x), X),
    "softmax along an axis": (lambda x: special_.softmax(x, axis=1), X),
    "log_softmax": (lambda x: special_.log_softmax(x), X),
    "log_softmax along an axis": (lambda x: special_.log_softmax(x, axis=0), X),
    "multigammaln": (lambda x: special_.multigammaln(np.abs(x[0]) + 3, 3), V),
    "polygamma": (lambda x: special_.polygamma([[0], [2]], np.abs(x) + 1), V),
    "convolve": (lambda x: signal.convolve(x, K), X),
    "convolve, same": (lambda x: signal.convolve(x, K, "same"), X),
    "convolve, valid": (lambda x: signal.convolve(x, K, "valid"), X),
    "convolve by the weights": (lambda k: signal.convolve(X, k, "same"), K),
    "convolve of a line": (lambda x: signal.convolve(x, V, mode="same"), LINE),
    "convolve exchanged": (lambda x: signal.convolve(V, x, mode="valid"), LINE),
    "convolve by Fourier": (lambda x: signal.convolve(x, V, method="fft"), LINE),
    "correlate": (lambda x: signal.correlate(x, V), LINE),
    "correlate, valid": (lambda x: signal.correlate(V, x, "valid"), LINE),
    "correlate, same": (lambda x: signal.correlate(x, V, "same"), LINE),
    "correlate of a shorter": (lambda x: signal.correlate(K, x, "same"), X),
    "fftconvolve": (lambda x: signal.fftconvolve(x, K), X),
    "fftconvolve, same": (lambda x: signal.fftconvolve(x, K, "same"), X),
    "fftconvolve, valid": (lambda x: signal.fftconvolve(x, K, "valid"), X),
    "fftconvolve along an axis": (lambda x: signal.fftconvolve(x, X[:, :2], axes=1), X),
    "oaconvolve": (lambda x: signal.oaconvolve(x, V, "same"), LINE),
    "convolve2d": (lambda x: signal.convolve2d(x, K, "same"), X),
    "correlate2d": (lambda x: signal.correlate2d(x, K, "valid"), X),
    "correlate2d, full": (lambda x: signal.correlate2d(x, K), X),
    "convolve2d, wrap": (lambda x: signal.convolve2d(x, K, "same", "wrap"), X),
    "convolve2d, symm": (lambda x: signal.convolve2d(x, K, "full", "symm"), X),
    "convolve2d, filled": (lambda x: signal.convolve2d(x, K, "full", "fill", 2.5), X),
    "convolve2d by the filling": (lambda v: signal.convolve2d(X, K, "same", "fill", v[0]), V[:1]),
    "convolve2d of a smaller": (lambda k: signal.convolve2d(k, X, "same", "wrap"), K),
    "correlate2d, wrap": (lambda x: signal.correlate2d(x, K, "same", "wrap"), X),
    "correlate2d, filled": (lambda x: signal.correlate2d(x, K, "same", "fill", 1.5), X),
    "correlate2d of an even number": (lambda x: signal.correlate2d(x, K, "same"), X),
    "correlate2d of a smaller": (lambda k: signal.correlate2d(k, X, "same"), K),
    "maximum_filter": (lambda x: images.maximum_filter(x, 3), X),
    "maximum_filter1d": (lambda x: images.maximum_filter1d(x, 4, 0, origin=1), X),
    "minimum_filter": (lambda x: images.minimum_filter(x, (2, 3), mode="wrap"), X),
    "minimum_filter1d": (lambda x: images.minimum_filter1d(x, 3), X),
    "median_filter": (
        lambda x: images.median_filter(x, (3, 2), mode="nearest", origin=(0, -1)),
        X,
    ),
    "percentile_filter": (
        lambda x: images.percentile_filter(x, 30, 3, mode="constant", cval=0.3),
        X,
    ),
    "rank_filter": (lambda x: images.rank_filter(x, -2, footprint=[[1, 0], [1, 1]]), X),
    "convolve of an image": (lambda x: images.convolve(x, K, mode="mirror"), X),
    "convolve of an image, moved": (
        lambda x: images.convolve(x, K, mode="constant", cval=2.0, origin=(1, -1)),
        X,
    ),
    "correlate of an image by the weights": (lambda k: images.correlate(X, k, mode="wrap"), K),
    "convolve1d": (lambda x: images.convolve1d(x, V[:2], axis=0, origin=-1), X),
    "correlate1d": (lambda x: images.correlate1d(x, V, origin=1), X),
    "gaussian_filter": (lambda x: images.gaussian_filter(x, 1.3), X),
    "gaussian_filter, slopes": (
        lambda x: images.gaussian_filter(x, (1.0, 2.0), order=(1, 2), mode="nearest"),
        X,
    ),
    "gaussian_filter1d": (lambda x: images.gaussian_filter1d(x, 2.0, 0, order=3, mode="wrap"), X),
    "uniform_filter": (lambda x: images.uniform_filter(x, (2, 3)), X),
    "uniform_filter1d": (lambda x: images.uniform_filter1d(x, 4), X),
    "sobel": (lambda x: images.sobel(x, 0), X),
    "prewitt": (lambda x: images.prewitt(x), X),
    "laplace": (lambda x: images.laplace(x), X),
    "fft": (lambda x: np.abs(fft.fft(x)), LINE),
    "ifft": (lambda x: np.abs(fft.ifft(x, norm="forward")), LINE),
    "rfft": (lambda x: np.abs(fft.rfft(x, n=12, norm="ortho")), LINE),
    "irfft": (lambda x: fft.irfft(x), LINE),
    "hfft": (lambda x: fft.hfft(x), LINE),
    "ihfft": (lambda x: np.abs(fft.ihfft(x)), LINE),
    "fft2": (lambda x: np.abs(fft.fft2(x)), X),
    "ifft2": (lambda x: np.abs(fft.ifft2(x, s=(3, 8))), X),
    "rfft2": (lambda x: np.abs(fft.rfft2(x)), X),
    "irfft2": (lambda x: fft.irfft2(x), X),
    "fftn": (lambda x: np.abs(fft.fftn(x)), X),
    "ifftn": (lambda x: np.abs(fft.ifftn(x, s=(4,))), X),
    "rfftn": (lambda x: np.abs(fft.rfftn(x, axes=0)), X),
    "irfftn": (lambda x: fft.irfftn(x), X),
    "fftshift": (lambda x: fft.fftshift(x), X),
    "ifftshift": (lambda x: fft.ifftshift(x), X),
    "dct": (lambda x: fft.dct(x), LINE),
    "dct, orthogonal": (lambda x: fft.dct(x, norm="ortho", axis=0), X),
    "idct": (lambda x: fft.idct(x, type=3, n=7), LINE),
    "dst": (lambda x: fft.dst(x, n=12), LINE),
    "idst": (lambda x: fft.idst(x, type=1), LINE),
    "dctn": (lambda x: fft.dctn(x), X),
    "dctn of a shape": (lambda x: fft.dctn(x, type=3, s=(4, 7), norm="ortho"), X),
    "idctn": (lambda x: fft.idctn(x, axes=(0,)), X),
    "dstn": (lambda x: fft.dstn(x, axes=1, s=4), X),
    "idstn": (lambda x: fft.idstn(x), X),
    "hfft2": (lambda x: fft.hfft2(x), X),
    "ihfft2": (lambda x: np.abs(fft.ihfft2(x)), X),
    "hfftn": (lambda x: fft.hfftn(x, norm="ortho"), X),
    "ihfftn": (lambda x: np.abs(fft.ihfftn(x, s=(4, 4))), X),
    "fht": (lambda x: fft.fht(x, 0.1, 0.5), LINE),
    "ifht": (lambda x: fft.ifht(x, 0.1, 0.5), LINE),
    "trapezoid": (lambda y: integrals.trapezoid(y), X),
    "trapezoid by places": (lambda x: integrals.trapezoid(X, x), UNEVEN),
    "trapezoid along an axis": (lambda y: integrals.trapezoid(y, np.arange(5.0), axis=0), X),
    "cumulative_trapezoid": (lambda y: integrals.cumulative_trapezoid(y, dx=0.5, initial=0), X),
    "cumulative_trapezoid by places": (lambda x: integrals.cumulative_trapezoid(X, x), UNEVEN),
    "simpson": (lambda y: integrals.simpson(y, dx=0.3, axis=0), X),
    "simpson, even": (lambda y: integrals.simpson(y, dx=0.3), X),
    "simpson by places": (lambda x: integrals.simpson(X, x=x), UNEVEN),
    "simpson by an odd number of places": (lambda x: integrals.simpson(X[:, :5], x=x), UNEVEN[:5]),
    "simpson of two": (lambda x: integrals.simpson(X[:, :2], x=x), UNEVEN[:2]),
    "romb": (lambda y: integrals.romb(y, dx=0.2), LINE),
    "cumulative_simpson": (lambda y: integrals.cumulative_simpson(y, dx=0.3, initial=0), X),
    "cumulative_simpson, even": (lambda y: integrals.cumulative_simpson(y, axis=1), X),
    "distance_matrix": (lambda x: points.distance_matrix(x, Z + 0.1), W),
    "minkowski_distance": (lambda x: points.minkowski_distance(x, V, 3), W),
    "minkowski_distance_p": (lambda x: points.minkowski_distance_p(x, V, 3), W),
    "procrustes": (lambda x: points.procrustes(x, W**2)[0], W),
    "procrustes, disparity": (lambda x: points.procrustes(x, W**2)[2], W),
    "geometric_slerp": (lambda t: points.geometric_slerp([1, 0.0], [0, 1.0], t), [0.2, 0.7]),
    "jensenshannon": (lambda p: space.jensenshannon(np.abs(p), np.abs(X[0])), X[1]),
    "jensenshannon along an axis": (
        lambda p: space.jensenshannon(p**2, X[::-1] ** 2 + 0.1, 2, axis=1, keepdims=True),
        X,
    ),
    "cdist, jensenshannon": (lambda p: space.cdist(p**2, Z**2 + 0.1, "jensenshannon"), W),
    "squareform": (lambda x: space.squareform(space.pdist(x)), W),
    "squareform of a matrix": (lambda x: space.squareform(x @ x.T, checks=False), W),
    "minkowski": (lambda x: space.minkowski(x, V + 1, p=3), V),
    "mahalanobis": (lambda x: space.mahalanobis(x, V * 2, Z.T @ Z + np.eye(3)), V),
    "seuclidean": (lambda x: space.seuclidean(x, V * 2, V**2), V),
    "cdist, minkowski": (lambda x: space.cdist(x, Z, "minkowski", p=3), W),
    "cdist, mahalanobis": (lambda x: space.cdist(x, Z, "mahalanobis", VI=np.eye(3)), W),
    "cdist, seuclidean": (lambda x: space.cdist(x, Z, "seuclidean", V=V**2), W),
}
BETWEEN_TWO = (
    "braycurtis",
    "canberra",
    "chebyshev",
    "cityblock",
    "correlation",
    "cosine",
    "euclidean",
    "sqeuclidean",
)


def weighted(name: str) -> tuple[Callable[[Any], Any], Any]:
    return lambda x: space.cdist(x, W, name, w=[0.5, 2.0, 1.0]), W + 1.1


ONCE: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "vq": (lambda x: clusters.vq(x, W[:2])[1], W + 0.3),
    "whiten": (lambda x: clusters.whiten(x), W),
    "KDTree.query": (lambda x: points.KDTree(W).query(x, k=2)[0], W + 0.1),
    "cdist of a function": (lambda x: space.cdist(x, W, lambda u, v: np.sum(u * v**2)), W + 1),
    "pdist of a function": (lambda x: space.pdist(x, lambda u, v: np.sum(u * v**2)), W),
    "cdist, variances": (lambda x: space.cdist(x, W, "seuclidean"), W + 1),
    "cdist, covariances": (lambda x: space.cdist(x, X[:, :2], "mahalanobis"), X[:, 2:4]),
    **{
        f"cdist, weighted, {name}": weighted(name)
        for name in ("braycurtis", "canberra", "cityblock", "euclidean", "sqeuclidean")
    },
}


@pytest.mark.parametrize("name", ONCE)
def test_value_and_derivative(name: str) -> None:
    check_once(*ONCE[name])


def test_every_function_is_tried() -> None:
    called = {name.split(",")[0].split()[0] for name in CALLS}
    listed = [
        name
        for file in (distances, filters, fourier, integrate, special)
        for names in file.FUNCTIONS.values()
        for name in names
    ]
    by_callbacks = {"dblquad", "fixed_quad", "nquad", "odeint", "quad", "solve_ivp", "tplquad"}
    assert called | set(BETWEEN_TWO) | {"pdist", "vq", "whiten"} == set(listed) - by_callbacks


@pytest.mark.filterwarnings("ignore:.*deprecated in favor of .scipy.spatial:DeprecationWarning")
@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    single = not name.startswith(("procrustes", "geometric_slerp"))
    check(*CALLS[name], compiles=not name.startswith("procrustes"), single=single)


@pytest.mark.parametrize("metric", BETWEEN_TWO)
def test_distances(metric: str) -> None:
    def call(x: Any) -> Any:
        between = space.cdist(x, Z, metric).ravel()
        return np.concatenate([between, space.pdist(x, metric), [getattr(space, metric)(x[0], V)]])

    check(call, W, single=False)


def test_width_of_a_gaussian() -> None:
    check(lambda s: images.gaussian_filter(X, s[0]), [1.3], compiles=False, single=False)


def test_large_filters() -> None:
    line, weights = rng.normal(size=300), rng.normal(size=200)

    def loss(x: Any) -> Any:
        filtered = images.correlate1d(x, weights[:150])
        return np.sum(np.tanh(signal.convolve(x, weights))) * filtered[0]

    value, gradient = sd.value_and_grad(loss)(line)
    np.testing.assert_allclose(value, loss(line), rtol=1e-9)
    step = 1e-6 * np.eye(300)[7]
    slope = (loss(line + step) - loss(line - step)) / 2e-6
    np.testing.assert_allclose(gradient[7], slope, rtol=1e-5)


@pytest.mark.parametrize(
    ("a", "axis"),
    [
        ([-np.inf, -np.inf], None),
        ([np.inf, 1.0], None),
        ([np.nan, 1.0], None),
        ([1000.0, 1000.0], None),
        ([[-np.inf, 1.0], [-1e300, 1e300]], 1),
    ],
)
def test_exponentials_that_overflow(a: Any, axis: int | None) -> None:
    a = np.array(a)
    for function in ("logsumexp", "softmax", "log_softmax"):

        def call(x: Any, function: str = function) -> Any:
            return getattr(special_, function)(x, axis=axis)

        with np.errstate(all="ignore"):
            value, pullback = sd.vjp(call, a)
            np.testing.assert_allclose(value, call(a))
            (gradient,) = pullback(np.ones(np.shape(value)))
        if np.all(np.isfinite(np.where(a == -np.inf, 0, a))) and np.all(np.isfinite(value)):
            assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: images.gaussian_filter(x, 1.0, output=np.zeros((5, 6))),
        lambda x: images.generic_filter(x, np.mean, 3),
        lambda x: space.cdist(x, x, "hamming"),
        lambda x: points.ConvexHull(x[:, :2]).volume,
    ],
)
def test_refusals(call: Callable[[Any], Any]) -> None:
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda x: np.sum(call(x)))(X)
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead
