"""The transforms of ``scipy.fft`` on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.scipy.followed import followed
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


def _numbers(value: Value) -> Value:
    array = as_array(value)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _along_one(name: str) -> Callable[..., Value]:
    def transform(
        x: Value,
        n: int | None = None,
        axis: int = -1,
        norm: str | None = None,
        overwrite_x: bool = False,
        workers: int | None = None,
        *,
        plan: None = None,
    ) -> Value:
        return getattr(np.fft, name)(_numbers(x), n, axis, norm)

    return transform


def _along_several(name: str, usual: tuple[int, int] | None) -> Callable[..., Value]:
    def transform(
        x: Value,
        s: Any = None,
        axes: Any = usual,
        norm: str | None = None,
        overwrite_x: bool = False,
        workers: int | None = None,
        *,
        plan: None = None,
    ) -> Value:
        x = _numbers(x)
        if s is not None:
            s = (s,) if np.isscalar(s) else tuple(s)
            # Unlike NumPy, SciPy takes the last axes where only a shape is given.
            axes = tuple(range(-len(s), 0)) if axes is None else axes
        elif axes is not None:
            axes = (axes,) if np.isscalar(axes) else tuple(axes)
        return getattr(np.fft, name)(x, s, axes, norm)

    return transform


def _of_waves(name: str) -> Callable[..., Value]:
    """Make a cosine or sine transform: the product with the transform of the unit vectors."""

    def transform(
        x: Value,
        type: int = 2,  # noqa: A002  # SciPy's name
        n: int | None = None,
        axis: int = -1,
        norm: str | None = None,
        overwrite_x: bool = False,
        workers: int | None = None,
        orthogonalize: bool | None = None,
    ) -> Value:
        import scipy.fft

        x = np.moveaxis(_numbers(x), axis, -1)
        if x.dtype.kind not in "fc":
            x = x.astype(np.float64)
        length = x.shape[-1]
        precision = np.real(np.zeros((), x.dtype)).dtype
        # The rows beyond those that are asked for, or there are, count for nothing.
        units = np.eye(length, dtype=precision)
        matrix = getattr(scipy.fft, name)(units, type, n, -1, norm, orthogonalize=orthogonalize)
        return np.moveaxis(x @ matrix, -1, axis)

    return transform


def _of_waves_along_several(name: str) -> Callable[..., Value]:
    along_one = _of_waves(name)

    def transform(
        x: Value,
        type: int = 2,  # noqa: A002  # SciPy's name
        s: Any = None,
        axes: Any = None,
        norm: str | None = None,
        overwrite_x: bool = False,
        workers: int | None = None,
        *,
        orthogonalize: bool | None = None,
    ) -> Value:
        x = _numbers(x)
        lengths = [None] * x.ndim if s is None else [s] if np.ndim(s) == 0 else list(s)
        if axes is None:
            axes = range(-len(lengths), 0)
        elif np.ndim(axes) == 0:
            axes = [axes]
        if s is None:
            lengths = [None] * len(axes)
        if len(lengths) != len(axes):
            raise ValueError("when given, axes and shape arguments have to be of the same length")
        for axis, length in zip(axes, lengths, strict=True):
            x = along_one(x, type, length, axis, norm, orthogonalize=orthogonalize)
        return x

    return transform


_OPPOSITE = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _of_hermitian(name: str, usual: tuple[int, int] | None) -> Callable[..., Value]:
    """Make a transform of what is Hermitian: that of real numbers, the other way round."""
    real = _along_several("irfftn" if name.startswith("h") else "rfftn", usual)

    def transform(
        x: Value,
        s: Any = None,
        axes: Any = usual,
        norm: str | None = None,
        overwrite_x: bool = False,
        workers: int | None = None,
        *,
        plan: None = None,
    ) -> Value:
        if norm not in _OPPOSITE:
            raise ValueError(f"Invalid norm value {norm!r}, should be 'backward', 'ortho' or"
                             " 'forward'")  # fmt: skip
        if name.startswith("h"):
            return real(np.conj(_numbers(x)), s, axes, _OPPOSITE[norm])
        return np.conj(real(x, s, axes, _OPPOSITE[norm]))

    return transform


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.fft": {
        **{name: _along_one(name) for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")},
        **{name: _along_several(name, None) for name in ("fftn", "ifftn", "rfftn", "irfftn")},
        **{name: _along_several(name, (-2, -1)) for name in ("fft2", "ifft2", "rfft2", "irfft2")},
        **{name: _of_waves(name) for name in ("dct", "idct", "dst", "idst")},
        **{name: _of_waves_along_several(name[:-1]) for name in ("dctn", "idctn", "dstn", "idstn")},
        **{name: _of_hermitian(name, (-2, -1)) for name in ("hfft2", "ihfft2")},
        **{name: _of_hermitian(name, None) for name in ("hfftn", "ihfftn")},
        **followed("scipy.fft", "fht ifht", "np.fft.rfft and the factors of the transform"),
        "fftshift": np.fft.fftshift,
        "ifftshift": np.fft.ifftshift,
    }
}
"""By module and name."""
