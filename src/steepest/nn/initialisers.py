"""Random initial weights whose scale keeps signals and gradients alive through the layers.

Every draw is made in float64 and then rounded, so that a seed gives the same weights, up to
rounding, in each dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from steepest.errors import BadInputError

__all__ = ["glorot_normal", "glorot_uniform", "he_normal", "he_uniform"]


def glorot_uniform(
    rng: np.random.Generator | int, fan_in: int, fan_out: int, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Draw from the uniform distribution on ±√(6 / (fan_in + fan_out)); for tanh and sigmoid.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        A generator goes on where it stands; a seed gives the same draw each time, so layers of
        one network should share a generator.
    fan_in, fan_out : int
        Numbers of inputs and outputs of the layer.
    dtype : floating-point dtype

    Returns
    -------
    ndarray of shape (fan_in, fan_out)

    Raises
    ------
    BadInputError
        When a fan is not a positive integer or the dtype is not floating-point.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010, equation 16.

    Examples
    --------
    >>> weights = glorot_uniform(0, 784, 128)
    >>> weights.shape, weights.dtype
    ((784, 128), dtype('float32'))
    >>> bool(np.abs(weights).max() <= np.sqrt(6 / (784 + 128)))
    True
    """
    shape = _check_fans(fan_in, fan_out)
    return _uniform(rng, shape, np.sqrt(6 / (fan_in + fan_out)), dtype)


def glorot_normal(
    rng: np.random.Generator | int, fan_in: int, fan_out: int, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Draw from the normal distribution of variance 2 / (fan_in + fan_out); for tanh and sigmoid.

    Parameters
    ----------
    rng : numpy.random.Generator or int
    fan_in, fan_out : int
        Numbers of inputs and outputs of the layer.
    dtype : floating-point dtype

    Returns
    -------
    ndarray of shape (fan_in, fan_out)

    Raises
    ------
    BadInputError
        When a fan is not a positive integer or the dtype is not floating-point.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010, equation 12 (equation 16 is the uniform distribution of this variance).

    Examples
    --------
    >>> bool(np.isclose(glorot_normal(0, 784, 128).std(), np.sqrt(2 / (784 + 128)), rtol=0.01))
    True
    """
    shape = _check_fans(fan_in, fan_out)
    return _normal(rng, shape, np.sqrt(2 / (fan_in + fan_out)), dtype)


def he_uniform(
    rng: np.random.Generator | int, fan_in: int, fan_out: int, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Draw from the uniform distribution on ±√(6 / fan_in); for relu and gelu.

    Parameters
    ----------
    rng : numpy.random.Generator or int
    fan_in, fan_out : int
        Numbers of inputs and outputs of the layer.
    dtype : floating-point dtype

    Returns
    -------
    ndarray of shape (fan_in, fan_out)

    Raises
    ------
    BadInputError
        When a fan is not a positive integer or the dtype is not floating-point.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers", 2015, equation 10, as the
    uniform distribution of the same variance, 2 / fan_in.

    Examples
    --------
    >>> bool(np.abs(he_uniform(0, 784, 128)).max() <= np.sqrt(6 / 784))
    True
    """
    shape = _check_fans(fan_in, fan_out)
    return _uniform(rng, shape, np.sqrt(6 / fan_in), dtype)


def he_normal(
    rng: np.random.Generator | int, fan_in: int, fan_out: int, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Draw from the normal distribution of variance 2 / fan_in; for relu and gelu.

    Parameters
    ----------
    rng : numpy.random.Generator or int
    fan_in, fan_out : int
        Numbers of inputs and outputs of the layer.
    dtype : floating-point dtype

    Returns
    -------
    ndarray of shape (fan_in, fan_out)

    Raises
    ------
    BadInputError
        When a fan is not a positive integer or the dtype is not floating-point.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers", 2015, equation 10.

    Examples
    --------
    >>> bool(np.isclose(he_normal(0, 784, 128).std(), np.sqrt(2 / 784), rtol=0.01))
    True
    """
    shape = _check_fans(fan_in, fan_out)
    return _normal(rng, shape, np.sqrt(2 / fan_in), dtype)


def _uniform(
    rng: np.random.Generator | int, shape: tuple[int, int], limit: float, dtype: DTypeLike
) -> NDArray[Any]:
    kind = _check_dtype(dtype)
    return np.random.default_rng(rng).uniform(-limit, limit, shape).astype(kind)


def _normal(
    rng: np.random.Generator | int, shape: tuple[int, int], deviation: float, dtype: DTypeLike
) -> NDArray[Any]:
    kind = _check_dtype(dtype)
    return np.random.default_rng(rng).normal(0.0, deviation, shape).astype(kind)


def _check_fans(fan_in: int, fan_out: int) -> tuple[int, int]:
    for name, fan in (("fan_in", fan_in), ("fan_out", fan_out)):
        if isinstance(fan, bool) or not isinstance(fan, (int, np.integer)) or fan < 1:
            raise BadInputError(f"{name} is a number of neurons, 1 or more, and not {fan!r}")
    return fan_in, fan_out


def _check_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    kind = np.dtype(dtype)
    if kind.kind != "f":
        raise BadInputError(
            f"weights of dtype {kind} have no gradient", instead="dtype=np.float32 or np.float64"
        )
    return kind
