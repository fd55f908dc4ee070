"""NumPy's discrete Fourier transforms."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from steepest.array.array import Array, value_type
from steepest.array.buffers import as_ndarray
from steepest.ops import primitive
from steepest.ops.fourier import SWAPPED, Norm
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS"]

_fft, _rfft, _irfft = (primitive(name) for name in ("fft", "rfft", "irfft"))


def _resized(a: Value, length: int, axis: int) -> Value:
    """Crop an axis, or fill it up with zeros, as the transforms do."""
    shape = value_type(a).shape
    if length < 1:
        raise ValueError(f"Invalid number of FFT data points ({length}) specified.")
    if length <= shape[axis]:
        key = (slice(None),) * axis + (slice(length),)
        return a if length == shape[axis] else a[key]
    return np.pad(a, [(0, length - n if i == axis else 0) for i, n in enumerate(shape)])


def _axis(a: Value, axis: int) -> int:
    return int(np.lib.array_utils.normalize_axis_index(operator.index(axis), value_type(a).ndim))


def _length(a: Value, n: int | None, axis: int) -> int:
    return int(value_type(a).shape[axis]) if n is None else operator.index(n)


def _check(norm: Norm) -> None:
    if norm not in SWAPPED:
        raise ValueError(f'Invalid norm value {norm}; should be "backward", "ortho" or "forward".')


def _transform(name: str, inverse: bool) -> Callable[..., Value]:
    def transform(
        a: Value, n: int | None = None, axis: int = -1, norm: Norm = None, out: Any = None
    ) -> Value:
        _check(norm)
        axis = _axis(a, axis)
        a = _resized(a, _length(a, n, axis), axis)
        return bind(_fft, (a,), {"axis": axis, "inverse": inverse, "norm": norm})

    return transform


def rfft(
    a: Value, n: int | None = None, axis: int = -1, norm: Norm = None, out: Any = None
) -> Value:
    _check(norm)
    axis = _axis(a, axis)
    a = _resized(a, _length(a, n, axis), axis)
    return bind(_rfft, (a,), {"axis": axis, "norm": norm})


def irfft(
    a: Value, n: int | None = None, axis: int = -1, norm: Norm = None, out: Any = None
) -> Value:
    _check(norm)
    axis = _axis(a, axis)
    length = (value_type(a).shape[axis] - 1) * 2 if n is None else operator.index(n)
    if length < 1:
        raise ValueError(f"Invalid number of FFT data points ({length}) specified.")
    a = _resized(a, length // 2 + 1, axis)
    return bind(_irfft, (a,), {"length": length, "axis": axis, "norm": norm})


def hfft(
    a: Value, n: int | None = None, axis: int = -1, norm: Norm = None, out: Any = None
) -> Value:
    _check(norm)
    return irfft(np.conjugate(a), n, axis, SWAPPED[norm])


def ihfft(
    a: Value, n: int | None = None, axis: int = -1, norm: Norm = None, out: Any = None
) -> Value:
    _check(norm)
    return np.conjugate(rfft(a, n, axis, SWAPPED[norm]))


def _sizes_and_axes(
    a: Value, s: Sequence[int] | None, axes: Sequence[int] | None, *, is_half: bool = False
) -> list[tuple[int, int]]:
    """Pair the lengths of the transforms with their axes."""
    shape = value_type(a).shape
    if axes is None:
        axes = range(-len(shape) if s is None else -len(s), 0)
    if s is None:
        lengths = [shape[axis] for axis in axes]
        if is_half:
            lengths[-1] = (lengths[-1] - 1) * 2
    else:
        if len(s) != len(axes):
            raise ValueError("Shape and axes have different lengths.")
        lengths = [
            shape[axis] if length is None or length == -1 else operator.index(length)
            for length, axis in zip(s, axes, strict=True)
        ]
    return list(zip(lengths, axes, strict=True))


_DEFAULT_AXES: dict[str, Sequence[int] | None] = {"2": (-2, -1), "n": None}


def _in_several_axes(name: str) -> Callable[..., Value]:
    """Make a transform along several axes, in NumPy's order of the axes."""
    kind, dimensions = name[:-1], name[-1]

    def transform(
        a: Value,
        s: Sequence[int] | None = None,
        axes: Sequence[int] | None = _DEFAULT_AXES[dimensions],
        norm: Norm = None,
        out: Any = None,
    ) -> Value:
        pairs = _sizes_and_axes(a, s, axes, is_half=kind == "irfft")
        if not pairs and not kind.endswith("rfft") and isinstance(a, Array):
            return as_ndarray(a)
        if kind == "rfft":
            *pairs, (length, axis) = pairs
            a = np.fft.rfft(a, length, axis, norm)
        if kind == "irfft":
            for length, axis in pairs[:-1]:
                a = np.fft.ifft(a, length, axis, norm)
            length, axis = pairs[-1]
            return np.fft.irfft(a, length, axis, norm)
        one = np.fft.ifft if kind == "ifft" else np.fft.fft
        for length, axis in reversed(pairs):
            a = one(a, length, axis, norm)
        return a

    transform.__name__ = name
    return transform


def _shift(sign: int) -> Callable[..., Value]:
    def shift(x: Value, axes: int | Sequence[int] | None = None) -> Value:
        shape = value_type(x).shape
        if not shape:
            np.fft.fftshift(np.empty(()), axes)  # NumPy's error
        if axes is None:
            axes = tuple(range(len(shape)))
        if isinstance(axes, int):
            axes = (axes,)
        return np.roll(x, tuple(sign * (shape[axis] // 2) for axis in axes), axes)

    return shift


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.fft.fft: _transform("fft", inverse=False),
    np.fft.ifft: _transform("ifft", inverse=True),
    np.fft.rfft: rfft,
    np.fft.irfft: irfft,
    np.fft.hfft: hfft,
    np.fft.ihfft: ihfft,
    np.fft.fftshift: _shift(1),
    np.fft.ifftshift: _shift(-1),
    **{
        getattr(np.fft, name): _in_several_axes(name)
        for name in ("fft2", "fftn", "ifft2", "ifftn", "rfft2", "rfftn", "irfft2", "irfftn")
    },
}
