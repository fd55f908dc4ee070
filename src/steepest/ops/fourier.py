"""Discrete Fourier transforms along one axis.

The transform of complex numbers is its own transpose. Those between real numbers and half of a
spectrum are each other's, but for the entries of the half spectrum that stand for two: all but the
first, and but the last where the real length is even.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np

from steepest.graph import ArrayType
from steepest.ops.spec import Linearity, Primitive, Sample, Value, bind

__all__ = ["PRIMITIVES", "SWAPPED", "Norm"]

Norm: TypeAlias = Literal["backward", "ortho", "forward"] | None

SWAPPED: dict[Norm, Norm] = {
    None: "forward",
    "backward": "forward",
    "ortho": "ortho",
    "forward": "backward",
}
"""The normalisation that gives a transform in the other direction the same factor."""


def _evaluate_fft(x: Value, axis: int, inverse: bool, norm: Norm) -> Value:
    transform = np.fft.ifft if inverse else np.fft.fft
    return transform(x, axis=axis, norm=norm)


def _complex_type(x: ArrayType) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.result_type(x.dtype, 1j)
    return dtype


def _fft_type(x: ArrayType, axis: int, inverse: bool, norm: Norm) -> ArrayType:
    return ArrayType(x.shape, _complex_type(x))


def _rfft_type(x: ArrayType, axis: int, norm: Norm) -> ArrayType:
    if x.dtype.kind == "c":
        raise TypeError("np.fft.rfft takes real numbers alone; np.fft.fft takes complex ones")
    lengths = list(x.shape)
    lengths[axis] = lengths[axis] // 2 + 1
    return ArrayType(tuple(lengths), _complex_type(x))


def _irfft_type(x: ArrayType, length: int, axis: int, norm: Norm) -> ArrayType:
    lengths = list(x.shape)
    lengths[axis] = length
    return ArrayType(tuple(lengths), np.result_type(x.dtype.type().real.dtype, 1.0))


def _weights(kind: ArrayType, length: int, axis: int, inner: float) -> np.ndarray[Any, Any]:
    """Weigh the entries of a half spectrum: those that stand for two get another weight."""
    weights = np.full(length // 2 + 1, inner, kind.dtype.type().real.dtype)
    weights[0] = 1
    if length % 2 == 0:
        weights[-1] = 1
    return weights.reshape((-1,) + (1,) * (len(kind.shape) - 1 - axis % len(kind.shape)))


def _fft_vjp(g: Value, axis: int, inverse: bool, norm: Norm) -> Value:
    return bind(fft, (g,), {"axis": axis, "inverse": inverse, "norm": norm})


def _rfft_vjp(g: Value, x_type: ArrayType, axis: int, norm: Norm) -> Value:
    length = x_type.shape[axis]
    weights = _weights(ArrayType(x_type.shape, _complex_type(x_type)), length, axis, 0.5)
    settings = {"length": length, "axis": axis, "norm": SWAPPED[norm]}
    return bind(irfft, (np.conjugate(g) * weights,), settings)


def _irfft_vjp(g: Value, x_type: ArrayType, length: int, axis: int, norm: Norm) -> Value:
    weights = _weights(ArrayType(x_type.shape, _complex_type(x_type)), length, axis, 2.0)
    spectrum = bind(rfft, (g,), {"axis": axis, "norm": SWAPPED[norm]})
    return np.conjugate(spectrum) * weights


def _fft_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis, inverse, norm in (
        ((5,), 0, False, None),
        ((2, 4), 0, True, "ortho"),
        ((1, 3), -1, False, "forward"),
        ((0, 2), 1, True, None),
    ):
        static = {"axis": axis, "inverse": inverse, "norm": norm}
        yield Sample((rng.uniform(-1, 1, shape),), static)


def _rfft_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis, norm in (
        ((5,), 0, None),
        ((4, 3), 0, "ortho"),
        ((2, 1), -1, "forward"),
        ((0, 2), 1, "backward"),
    ):
        yield Sample((rng.uniform(-1, 1, shape),), {"axis": axis, "norm": norm})


def _irfft_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, length, axis, norm in (
        ((3,), 5, 0, None),
        ((3, 2), 4, 0, "ortho"),
        ((2, 1), 1, -1, "forward"),
        ((0, 2), 2, 1, "backward"),
    ):
        static = {"length": length, "axis": axis, "norm": norm}
        yield Sample((rng.uniform(-1, 1, shape),), static)


fft = Primitive(
    "fft",
    _evaluate_fft,
    infer=_fft_type,
    vjps=(_fft_vjp,),
    jvp=Linearity.JOINT,
    samples=_fft_samples,
)
"""The transform of all entries along an axis, forward or inverse."""

rfft = Primitive(
    "rfft",
    lambda x, axis, norm: np.fft.rfft(x, axis=axis, norm=norm),
    infer=_rfft_type,
    vjps=(_rfft_vjp,),
    jvp=Linearity.JOINT,
    samples=_rfft_samples,
)
"""The half of the spectrum that determines the rest, of real numbers."""

irfft = Primitive(
    "irfft",
    lambda x, length, axis, norm: np.fft.irfft(x, length, axis, norm),
    infer=_irfft_type,
    vjps=(_irfft_vjp,),
    jvp=Linearity.JOINT,
    samples=_irfft_samples,
)
"""Real numbers from half of their spectrum, which has ``length // 2 + 1`` entries."""

PRIMITIVES: tuple[Primitive, ...] = (fft, rfft, irfft)
