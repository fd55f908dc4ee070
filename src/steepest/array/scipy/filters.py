"""Convolutions and filters of ``scipy.signal`` and ``scipy.ndimage`` on Arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.lib.stride_tricks import sliding_window_view

from steepest.array.arguments import as_array
from steepest.array.array import Array
from steepest.array.plain import plain_value
from steepest.errors import UnsupportedError
from steepest.ops.matrices import conjugate
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS", "convolved_along", "rank_filter"]

_FEW = 128
"""Up to so many weights an array is shifted for each of them; more are a product of matrices."""
_DIRECT = 1 << 20
"""Up to so many products a convolution is summed up, and beyond taken by Fourier transforms."""


def _correlated(x: Value, weights: Value) -> Value:
    """Correlate where all of the weights lie on entries of the array, over the last axes."""
    axes = weights.ndim
    if weights.size > _FEW:
        windows = sliding_window_view(x, weights.shape, tuple(range(x.ndim - axes, x.ndim)))
        flat = np.reshape(windows, (*windows.shape[: x.ndim], weights.size))
        return flat @ np.ravel(weights)
    sizes = [n - k + 1 for n, k in zip(x.shape[x.ndim - axes :], weights.shape, strict=True)]
    total: Value = None
    for place in np.ndindex(weights.shape):
        shifted = x[(..., *(slice(i, i + n) for i, n in zip(place, sizes, strict=True)))]
        term = weights[place] * shifted
        total = term if total is None else total + term
    return total


# Convolutions of scipy.signal


def _pair(in1: Value, in2: Value) -> tuple[Value, Value]:
    in1, in2 = as_array(in1), as_array(in2)
    if in1.ndim != in2.ndim:
        raise ValueError("in1 and in2 should have the same dimensionality")
    return in1, in2


def _check_mode(mode: Any) -> None:
    if mode not in ("full", "valid", "same"):
        raise ValueError("acceptable mode flags are 'valid', 'same', or 'full'")


def _centred(full: Value, shape: Sequence[int], axes: Sequence[int]) -> Value:
    """Take the middle of an array along some axes."""
    key = [slice(None)] * full.ndim
    for axis in axes:
        start = (full.shape[axis] - shape[axis]) // 2
        key[axis] = slice(start, start + shape[axis])
    return full[tuple(key)]


def _is_contained(outer: Sequence[int], inner: Sequence[int]) -> bool:
    return all(n >= k for n, k in zip(outer, inner, strict=True))


def _direct(in1: Value, in2: Value, mode: str) -> Value:
    """Convolve by sums of products."""
    if mode == "valid":
        if not _is_contained(in1.shape, in2.shape):
            if not _is_contained(in2.shape, in1.shape):
                raise ValueError(
                    "For 'valid' mode, one must be at least as large as the other in every"
                    " dimension"
                )
            in1, in2 = in2, in1
        return _correlated(in1, np.flip(in2))
    shape = in1.shape
    if in2.size > in1.size:
        in1, in2 = in2, in1
    padded = np.pad(in1, [(k - 1, k - 1) for k in in2.shape])
    full = _correlated(padded, np.flip(in2))
    return full if mode == "full" else _centred(full, shape, range(full.ndim))


def convolve(in1: Value, in2: Value, mode: str = "full", method: str = "auto") -> Value:
    in1, in2 = _pair(in1, in2)
    _check_mode(mode)
    if not in1.ndim:
        return (in1 * in2)[()]
    if method not in ("auto", "direct", "fft"):
        raise ValueError("Acceptable method flags are 'auto', 'direct', or 'fft'.")
    if 0 in (in1.size, in2.size):
        raise ValueError("convolve of empty arrays")
    large = in1.size * in2.size > _DIRECT
    if method == "fft" or (method == "auto" and large):
        dtype = np.result_type(in1.dtype, in2.dtype)
        return fftconvolve(in1, in2, mode).astype(dtype)
    return _direct(in1, in2, mode)


def correlate(in1: Value, in2: Value, mode: str = "full", method: str = "auto") -> Value:
    in1, in2 = _pair(in1, in2)
    _check_mode(mode)
    turned = conjugate(np.flip(in2))
    if mode == "valid" and in1.ndim and not _is_contained(in1.shape, in2.shape):
        # SciPy exchanges the two, and turns the result back.
        return convolve(in1, turned, "valid", method)
    return convolve(in1, turned, mode, method)


def fftconvolve(in1: Value, in2: Value, mode: str = "full", axes: Any = None) -> Value:
    in1, in2 = _pair(in1, in2)
    _check_mode(mode)
    if not in1.ndim:
        return in1 * in2
    if 0 in (in1.size, in2.size):
        return np.array([])
    given = range(in1.ndim) if axes is None else np.atleast_1d(axes)
    along = sorted(operator.index(axis) % in1.ndim for axis in given)
    for axis in range(in1.ndim):
        if axis not in along and 1 not in (a := in1.shape[axis], b := in2.shape[axis]) and a != b:
            raise ValueError(f"incompatible shapes for in1 and in2: {in1.shape} and {in2.shape}")
    if axes is None:
        # A product along axes of length 1 needs no transform.
        along = [axis for axis in along if 1 not in (in1.shape[axis], in2.shape[axis])]
    first, second = in1.shape, in2.shape
    if mode == "valid" and not all(first[axis] >= second[axis] for axis in along):
        if not all(second[axis] >= first[axis] for axis in along):
            raise ValueError(
                "For 'valid' mode, one must be at least as large as the other in every dimension"
            )
        in1, in2, first, second = in2, in1, second, first
    full = _multiplied(in1, in2, along)
    if mode == "full":
        return full
    if mode == "same":
        return _centred(full, first, range(full.ndim))
    shape = [
        first[axis] - second[axis] + 1 if axis in along else full.shape[axis]
        for axis in range(full.ndim)
    ]
    return _centred(full, shape, range(full.ndim))


def _multiplied(in1: Value, in2: Value, axes: Sequence[int]) -> Value:
    """Convolve fully by a product of Fourier transforms."""
    if not axes:
        return in1 * in2
    lengths = [in1.shape[axis] + in2.shape[axis] - 1 for axis in axes]
    padded = [_fast_length(length) for length in lengths]
    is_complex = "c" in (in1.dtype.kind, in2.dtype.kind)
    dtype = np.result_type(in1.dtype, in2.dtype)
    # In the precision of the wider of the two.
    in1, in2 = in1.astype(dtype), in2.astype(dtype)
    forward: Any = np.fft.fftn if is_complex else np.fft.rfftn
    back: Any = np.fft.ifftn if is_complex else np.fft.irfftn
    full = back(forward(in1, padded, axes) * forward(in2, padded, axes), padded, axes)
    key = [slice(None)] * full.ndim
    for axis, length in zip(axes, lengths, strict=True):
        key[axis] = slice(length)
    return full[tuple(key)]


def _fast_length(length: int) -> int:
    """Find the next length that is a product of 2, 3 and 5."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


_BOUNDARIES = {
    **dict.fromkeys(("fill", "pad"), "constant"),
    **dict.fromkeys(("wrap", "circular"), "wrap"),
    **dict.fromkeys(("symm", "symmetric"), "symmetric"),
}


def convolved_along(x: Value, weights: Value) -> Value:
    """Convolve fully along the last axis with a vector."""
    if x.shape[-1] * weights.size > _DIRECT:
        stretched = np.reshape(weights, (1,) * (x.ndim - 1) + (-1,))
        return _multiplied(x, stretched, (x.ndim - 1,))
    edge = np.zeros((*x.shape[:-1], weights.size - 1), x.dtype)
    return _correlated(np.concatenate([edge, x, edge], axis=-1), np.flip(weights))


def _of_two_axes(name: str) -> Callable[..., Value]:
    def function(
        in1: Value, in2: Value, mode: str = "full", boundary: str = "fill", fillvalue: Value = 0
    ) -> Value:
        in1, in2 = _pair(in1, in2)
        if in1.ndim != 2:
            raise ValueError(f"{name} inputs must both be 2-D arrays")
        _check_mode(mode)
        turned = in2 if name == "convolve2d" else conjugate(np.flip(in2))
        how: Any = _BOUNDARIES.get(boundary)
        if how is None:
            raise ValueError(
                "Acceptable boundary flags are 'fill', 'circular' (or 'wrap'), and 'symmetric' (or"
                " 'symm')."
            )
        if mode == "valid":
            return _direct(in1, turned, mode)
        widths = [(k - 1, k - 1) for k in in2.shape]
        if how == "constant":
            padded = np.pad(in1 - fillvalue, widths) + fillvalue
        else:
            padded = np.pad(in1, widths, mode=how)
        full = _correlated(padded, np.flip(turned))
        if mode == "full":
            return full
        # Of an even number of weights, the one in the middle is the other one when turned.
        before = [(k - 1) // 2 if turned is in2 else k // 2 for k in in2.shape]
        key = [slice(b, b + n) for b, n in zip(before, in1.shape, strict=True)]
        return full[tuple(key)]

    function.__name__ = name
    return function


# Filters of scipy.ndimage

_MODES = {
    "reflect": "symmetric",
    "grid-mirror": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "wrap": "wrap",
    "grid-wrap": "wrap",
    "constant": "constant",
    "grid-constant": "constant",
}


def _extended(x: Value, axis: int, before: int, after: int, mode: Any, cval: Value) -> Value:
    if mode not in _MODES:
        raise RuntimeError(f"boundary mode not supported: {mode!r}")
    if (not before and not after) or not x.size:
        return x
    if _MODES[mode] == "constant":
        widths = [(0, 0)] * x.ndim
        widths[axis] = (before, after)
        return np.pad(x, widths, constant_values=cval)
    how: Any = _MODES[mode]
    places = np.pad(np.arange(x.shape[axis]), (before, after), mode=how)
    return np.take(x, plain_value(places, "scipy.ndimage"), axis=axis)


def _filtered(
    x: Value, weights: Value, axes: Sequence[int], modes: Sequence[Any], cval: Any, origins: Any
) -> Value:
    """Correlate over some axes, with an array that goes on beyond its ends."""
    for axis, length, mode, origin in zip(axes, weights.shape, modes, origins, strict=True):
        if not -(length // 2) <= origin <= (length - 1) // 2:
            raise ValueError("invalid origin")
        before = length // 2 + origin
        x = _extended(x, axis, before, length - 1 - before, mode, cval)
    if not x.size:
        return x
    ends = range(x.ndim - len(axes), x.ndim)
    return np.moveaxis(_correlated(np.moveaxis(x, axes, ends), weights), ends, axes)


def _image(value: Value, output: Any) -> tuple[Value, Any]:
    """Take an image, and the dtype of the result; ndimage computes in double precision."""
    x = as_array(value)
    if isinstance(output, (np.ndarray, Array)):
        raise UnsupportedError(
            "a filter of scipy.ndimage with an array for output= is not differentiated",
            instead="out = the result",
        )
    dtype = x.dtype if output is None else np.dtype(output)
    if "c" in (x.dtype.kind, dtype.kind) or dtype.kind != "f":
        raise UnsupportedError(
            f"a filter of scipy.ndimage of {x.dtype}, with results of {dtype}, is not"
            " differentiated",
            instead="floating-point numbers; the filter of the real and of the imaginary part",
        )
    if x.dtype.char not in "fd" and x.dtype.kind == "f":
        raise RuntimeError(f"array type {x.dtype} not supported")
    return x.astype(np.float64), dtype


def _axes(axes: Any, count: int) -> tuple[int, ...]:
    if axes is None:
        return tuple(range(count))
    return normalize_axis_tuple(axes, count)


def _each(value: Any, count: int) -> list[Any]:
    """Repeat one setting for all axes."""
    is_one = isinstance(value, str) or not np.iterable(value)
    values = [value] * count if is_one else list(value)
    if len(values) != count:
        raise RuntimeError("sequence argument must have length equal to input rank")
    return values


def correlate1d(
    input: Value,  # noqa: A002  # SciPy's name
    weights: Value,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Value:
    x, dtype = _image(input, output)
    weights = as_array(weights).astype(np.float64)
    if weights.ndim != 1 or not weights.size:
        raise RuntimeError("no filter weights given")
    return _filtered(x, weights, _axes(axis, x.ndim), [mode], cval, [origin]).astype(dtype)


def convolve1d(
    input: Value,  # noqa: A002  # SciPy's name
    weights: Value,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Value:
    weights = np.flip(as_array(weights))
    origin = -origin - (weights.size % 2 == 0)
    return correlate1d(input, weights, axis, output, mode, cval, origin)


def _of_images(turned: bool) -> Callable[..., Value]:
    def function(
        input: Value,  # noqa: A002  # SciPy's name
        weights: Value,
        output: Any = None,
        mode: Any = "reflect",
        cval: float = 0.0,
        origin: Any = 0,
        *,
        axes: Any = None,
    ) -> Value:
        x, dtype = _image(input, output)
        along = _axes(axes, x.ndim)
        weights = as_array(weights).astype(np.float64)
        if weights.ndim != len(along):
            raise RuntimeError("filter weights array has incorrect shape.")
        origins = _each(origin, len(along))
        if turned:
            weights = np.flip(weights)
            origins = [-o - (k % 2 == 0) for o, k in zip(origins, weights.shape, strict=True)]
        return _filtered(x, weights, along, _each(mode, len(along)), cval, origins).astype(dtype)

    return function


def gaussian_filter1d(
    input: Value,  # noqa: A002  # SciPy's name
    sigma: Any,
    axis: int = -1,
    order: int = 0,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Value:
    weights = _gaussian(sigma, order, truncate, radius)
    return correlate1d(input, weights, axis, output, mode, cval, 0)


def _gaussian(sigma: Value, order: int, truncate: float, radius: int | None) -> Value:
    """Make the weights of a Gaussian, or of a derivative of it, to correlate with."""
    if radius is None:
        # How far it reaches is piecewise constant.
        radius = int(truncate * float(plain_value(sigma, "the width of a Gaussian")) + 0.5)
    if order < 0 or radius < 0:
        raise ValueError("order must be non-negative, and the radius a nonnegative integer.")
    x = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 / (sigma * sigma) * x**2)
    bell = bell / np.sum(bell)
    # The Hermite polynomial that the derivatives bring along: p' - x / sigma² · p.
    polynomial: list[Value] = [1.0]
    for _ in range(order):
        slopes = [k * c for k, c in enumerate(polynomial)][1:]
        turned = [0.0, *(-c / (sigma * sigma) for c in polynomial)]
        polynomial = [
            (slopes[k] if k < len(slopes) else 0.0) + turned[k] for k in range(len(turned))
        ]
    weights = sum(c * x**k for k, c in enumerate(polynomial)) * bell
    return np.flip(weights)


def gaussian_filter(
    input: Value,  # noqa: A002  # SciPy's name
    sigma: Any,
    order: Any = 0,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: Any = None,
    axes: Any = None,
) -> Value:
    x, dtype = _image(input, output)
    along = _axes(axes, x.ndim)
    settings = (_each(each, len(along)) for each in (_entries(sigma), order, mode, radius))
    for axis, width, degree, how, reach in zip(along, *settings, strict=True):
        if plain_value(width, "the width of a Gaussian") > 1e-15:
            # SciPy rounds to the dtype of the result in between.
            x = gaussian_filter1d(
                x.astype(dtype), width, axis, degree, None, how, cval, truncate, radius=reach
            ).astype(np.float64)
    return x.astype(dtype)


def _entries(value: Value) -> Value:
    return list(value) if isinstance(value, (list, tuple)) or np.ndim(value) else value


def uniform_filter1d(
    input: Value,  # noqa: A002  # SciPy's name
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Value:
    if size < 1:
        raise RuntimeError("incorrect filter size")
    return correlate1d(input, np.full(size, 1 / size), axis, output, mode, cval, origin)


def uniform_filter(
    input: Value,  # noqa: A002  # SciPy's name
    size: Any = 3,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Value:
    x, dtype = _image(input, output)
    x = x.astype(dtype)
    along = _axes(axes, x.ndim)
    settings = (_each(each, len(along)) for each in (size, mode, origin))
    for axis, length, how, place in zip(along, *settings, strict=True):
        if length > 1:
            x = uniform_filter1d(x, length, axis, None, how, cval, place)
    return x


def _edges(name: str, middle: Sequence[float]) -> Callable[..., Value]:
    """Make a filter that takes differences along one axis and smooths along the others."""

    def function(
        input: Value,  # noqa: A002  # SciPy's name
        axis: int = -1,
        output: Any = None,
        mode: Any = "reflect",
        cval: float = 0.0,
    ) -> Value:
        x, dtype = _image(input, output)
        modes = _each(mode, x.ndim)
        (axis,) = _axes(axis, x.ndim)
        x = correlate1d(x.astype(dtype), [-1.0, 0, 1], axis, None, modes[axis], cval)
        for other in range(x.ndim):
            if other != axis:
                x = correlate1d(x, middle, other, None, modes[other], cval)
        return x

    function.__name__ = name
    return function


def laplace(
    input: Value,  # noqa: A002  # SciPy's name
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    *,
    axes: Any = None,
) -> Value:
    x, dtype = _image(input, output)
    x = x.astype(dtype)
    along = _axes(axes, x.ndim)
    parts = [
        correlate1d(x, [1.0, -2, 1], axis, None, how, cval)
        for axis, how in zip(along, _each(mode, len(along)), strict=True)
    ]
    return sum(parts[1:], parts[0])


# Filters by order


def _neighbourhoods(
    value: Value,
    size: Any,
    footprint: Any,
    output: Any,
    mode: Any,
    cval: float,
    origin: Any,
    axes: Any,
) -> tuple[Value, Any]:
    """List the entries around each entry along a last axis, of which those are kept that count."""
    x = as_array(value)
    if isinstance(output, (np.ndarray, Array)):
        raise UnsupportedError(
            "a filter of scipy.ndimage with an array for output= is not differentiated",
            instead="out = the result",
        )
    along = _axes(axes, x.ndim)
    if footprint is None:
        if size is None:
            raise RuntimeError("no footprint or filter size provided")
        kept = np.ones([int(n) for n in _each(size, len(along))], bool)
    else:
        kept = np.asarray(plain_value(footprint, "footprint"), bool)
    if kept.ndim != len(along):
        raise RuntimeError("footprint array has incorrect shape.")
    settings = zip(
        along, kept.shape, _each(mode, len(along)), _each(origin, len(along)), strict=True
    )
    padded = x
    for axis, length, how, place in settings:
        if not -(length // 2) <= place <= (length - 1) // 2:
            raise ValueError("invalid origin")
        before = length // 2 + place
        padded = _extended(padded, axis, before, length - 1 - before, how, cval)
    windows = sliding_window_view(padded, kept.shape, along)
    flat = np.reshape(windows, (*windows.shape[: x.ndim], kept.size))
    return flat[..., np.flatnonzero(kept)], x.dtype if output is None else np.dtype(output)


def rank_filter(
    input: Value,  # noqa: A002  # SciPy's name
    rank: int,
    size: Any = None,
    footprint: Any = None,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Value:
    """Take the entry of some rank among those around each, as ``scipy.ndimage`` does."""
    near, dtype = _neighbourhoods(input, size, footprint, output, mode, cval, origin, axes)
    count = near.shape[-1]
    rank = rank + count if rank < 0 else rank
    if not 0 <= rank < count:
        raise RuntimeError("rank not within filter footprint size")
    return np.sort(near, axis=-1)[..., rank].astype(dtype)


def _ranked(rank_of: Callable[[int], int]) -> Callable[..., Value]:
    def function(
        input: Value,  # noqa: A002  # SciPy's name
        size: Any = None,
        footprint: Any = None,
        output: Any = None,
        mode: Any = "reflect",
        cval: float = 0.0,
        origin: Any = 0,
        *,
        axes: Any = None,
    ) -> Value:
        near, dtype = _neighbourhoods(input, size, footprint, output, mode, cval, origin, axes)
        rank = rank_of(near.shape[-1])
        if rank == 0:
            return np.min(near, axis=-1).astype(dtype)
        if rank == near.shape[-1] - 1:
            return np.max(near, axis=-1).astype(dtype)
        return np.sort(near, axis=-1)[..., rank].astype(dtype)

    return function


def percentile_filter(
    input: Value,  # noqa: A002  # SciPy's name
    percentile: float,
    size: Any = None,
    footprint: Any = None,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Value:
    if not -100 <= percentile <= 100:
        raise RuntimeError("invalid percentile")
    share = percentile + 100.0 if percentile < 0.0 else float(percentile)
    settings = (size, footprint, output, mode, cval, origin)
    last = share == 100.0
    return _ranked(lambda n: n - 1 if last else int(n * share / 100.0))(input, *settings, axes=axes)


def _along_one_axis(filtered: Callable[..., Value]) -> Callable[..., Value]:
    def function(
        input: Value,  # noqa: A002  # SciPy's name
        size: int,
        axis: int = -1,
        output: Any = None,
        mode: str = "reflect",
        cval: float = 0.0,
        origin: int = 0,
    ) -> Value:
        settings: Any = (size, None, output, mode, cval, origin)
        return filtered(input, *settings, axes=(axis,))

    return function


def _of_derivatives(order: int, combined: Callable[[list[Value]], Value]) -> Callable[..., Value]:
    """Make a filter of derivatives of a blurred image along each axis."""

    def function(
        input: Value,  # noqa: A002  # SciPy's name
        sigma: Value,
        output: Any = None,
        mode: Any = "reflect",
        cval: float = 0.0,
        **settings: Any,
    ) -> Value:
        x = as_array(input)
        if "axes" in settings:
            raise UnsupportedError(
                "a filter of scipy.ndimage by derivatives, with axes=, is not differentiated",
                instead="scipy.ndimage.gaussian_filter with order= and axes=",
            )
        modes = [mode] * x.ndim if isinstance(mode, str) else list(mode)
        orders = order * np.eye(x.ndim, dtype=int)
        return combined(
            [
                gaussian_filter(x, sigma, tuple(each.tolist()), output, modes[k], cval, **settings)
                for k, each in enumerate(orders)
            ]
        )

    return function


def _total(parts: list[Value]) -> Value:
    total = parts[0]
    for each in parts[1:]:
        total = total + each
    return total


_maximum, _minimum = _ranked(lambda n: n - 1), _ranked(lambda n: 0)

FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.signal": {
        "convolve": convolve,
        "convolve2d": _of_two_axes("convolve2d"),
        "correlate": correlate,
        "correlate2d": _of_two_axes("correlate2d"),
        "fftconvolve": fftconvolve,
        "oaconvolve": fftconvolve,
    },
    "scipy.ndimage": {
        "convolve": _of_images(turned=True),
        "convolve1d": convolve1d,
        "correlate": _of_images(turned=False),
        "correlate1d": correlate1d,
        "gaussian_filter": gaussian_filter,
        "gaussian_filter1d": gaussian_filter1d,
        "gaussian_gradient_magnitude": _of_derivatives(
            1, lambda parts: np.sqrt(_total([each * each for each in parts]))
        ),
        "gaussian_laplace": _of_derivatives(2, _total),
        "laplace": laplace,
        "maximum_filter": _maximum,
        "maximum_filter1d": _along_one_axis(_maximum),
        "median_filter": _ranked(lambda n: n // 2),
        "minimum_filter": _minimum,
        "minimum_filter1d": _along_one_axis(_minimum),
        "percentile_filter": percentile_filter,
        "prewitt": _edges("prewitt", [1.0, 1, 1]),
        "rank_filter": rank_filter,
        "sobel": _edges("sobel", [1.0, 2, 1]),
        "uniform_filter": uniform_filter,
        "uniform_filter1d": uniform_filter1d,
    },
}
"""By module and name."""
