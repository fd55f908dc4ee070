"""SciPy's functions of lists in which something is traced: they are arrays, as in SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.integrate
import scipy.linalg
import scipy.ndimage
import scipy.signal
import scipy.sparse.linalg
import scipy.spatial.distance
import scipy.special
import scipy.stats
from tests.array.scipy_calls import check

linalg: Any = scipy.linalg
signal: Any = scipy.signal
images: Any = scipy.ndimage
space: Any = scipy.spatial.distance
stats: Any = scipy.stats
special: Any = scipy.special
P = np.array([0.4, 1.3, 2.2])
SPARSE = scipy.sparse.csc_array(np.eye(2) + 0.1)


def rotation(p: Any) -> list[list[Any]]:
    return [[p[0] + 3, p[1]], [-p[1], p[2]]]


def covariance(p: Any) -> list[list[Any]]:
    return [[p[0] + 3, 0.5], [0.5, p[2]]]


CALLS: dict[str, Callable[[Any], Any]] = {
    "logsumexp": lambda p: special.logsumexp([p[0], 1.0, p[2]]),
    "logsumexp of arrays": lambda p: special.logsumexp([p, p**2], axis=0),
    "logsumexp with weights": lambda p: special.logsumexp([1.0, 2.0], b=[p[0], p[1]]),
    "softmax": lambda p: special.softmax([p[0], p[1], 0.0]),
    "log_softmax": lambda p: special.log_softmax((p[0], p[1], 0.0)),
    "polygamma": lambda p: special.polygamma(1, [p[0], p[1]]),
    "lfilter": lambda p: signal.lfilter([p[0]], [1.0, -p[1]], [1.0, p[2], 3.0]),
    "convolve": lambda p: signal.convolve([p[0], p[1]], [1.0, 2.0]),
    "correlate1d": lambda p: images.correlate1d([1.0, 2.0, 3.0], [p[0], 1.0, p[1]]),
    "solve": lambda p: linalg.solve(rotation(p), [1.0, p[0]]),
    "det": lambda p: linalg.det(rotation(p)),
    "expm": lambda p: linalg.expm(rotation(p)),
    "cho_solve": lambda p: linalg.cho_solve(
        linalg.cho_factor(np.array(covariance(p))), [1.0, p[1]]
    ),
    "solve_triangular": lambda p: linalg.solve_triangular(
        [[p[0], 0], [p[1], p[2]]], [1, 2], lower=1
    ),
    "block_diag": lambda p: linalg.block_diag([[p[0]]], [[p[1], 2.0]]),
    "toeplitz": lambda p: linalg.toeplitz([p[0], p[1]], [p[0], p[2]]),
    "solve_toeplitz": lambda p: linalg.solve_toeplitz(([p[2], 0.1], [p[2], p[0]]), [1.0, 2.0]),
    "norm.logpdf": lambda p: stats.norm.logpdf([0.1, p[0]], loc=[p[1], 0], scale=p[2]),
    "gamma, frozen": lambda p: stats.gamma([p[0], p[1]], scale=[p[2], 1.0]).logpdf([1.0, 2.0]),
    "poisson": lambda p: stats.poisson.logpmf([1, 2], [p[0], p[1]]),
    "multivariate_normal": lambda p: stats.multivariate_normal.logpdf(
        [0.1, 0.2], [p[0], p[1]], covariance(p)
    ),
    "cdist": lambda p: space.cdist([[p[0], p[1]]], [[1.0, 2.0], [3.0, p[2]]]),
    "cdist, variances": lambda p: space.cdist([[0, 0]], [[1, 2]], "seuclidean", V=[p[0], p[1]]),
    "mahalanobis": lambda p: space.mahalanobis([p[0], p[1]], [1, 2], [[p[2], 0], [0, 1.0]]),
    "dct": lambda p: scipy.fft.dct([p[0], p[1], 1.0]),
    "trapezoid": lambda p: scipy.integrate.trapezoid([p[0], p[1], 1.0], [0, 0.1, p[2]]),
    "matrix @ x": lambda p: SPARSE @ [p[0], p[1]],
    "spsolve": lambda p: scipy.sparse.linalg.spsolve(SPARSE, [p[0], p[1]]),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    check(CALLS[name], P, single=False)


def test_widths_of_a_gaussian() -> None:
    image = np.arange(9.0).reshape(3, 3) ** 2

    def blurred(p: Any) -> Any:
        return images.gaussian_filter(image, [p[0], p[1]])

    check(blurred, P, compiles=False, single=False)
