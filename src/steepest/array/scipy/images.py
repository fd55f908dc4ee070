"""Images that are moved, turned and stretched, as ``scipy.ndimage`` has it, on Arrays.

The result is a spline through the image, at other points: a sum over the entries around each
point, of what SciPy's filters make of the image, times B-splines of the distance.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from math import comb, factorial
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.array import Array
from steepest.array.buffers import duck
from steepest.array.plain import is_traced, plain_value
from steepest.array.scipy.followed import followed, original_of
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]

_MARGIN = 12
"""How far SciPy extends an image before it filters, where the edge goes on as it is."""


def _taken(value: Value, output: Any, order: int, name: str) -> tuple[Value, Any]:
    x = as_array(value)
    dtype = x.dtype if output is None else output
    if isinstance(dtype, (np.ndarray, Array)) or np.dtype(dtype).kind != "f" or x.dtype.kind != "f":
        raise UnsupportedError(
            f"scipy.ndimage.{name} with an array for output=, or of other than floating-point"
            " numbers, is not differentiated",
            instead="floating-point numbers, and out = the result",
        )
    if not 0 <= order <= 5:
        raise RuntimeError("spline order not supported")
    return x.astype(np.float64), np.dtype(dtype)


def _filtered_along(x: Value, order: int, axis: int, mode: str) -> Value:
    """Apply SciPy's filter along an axis, as the matrix that it makes of the unit vectors."""
    original = original_of("scipy.ndimage", "spline_filter1d")
    matrix = original(np.eye(x.shape[axis]), order, 0, np.float64, mode)
    return np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis)


def spline_filter1d(
    input: Value,  # noqa: A002  # SciPy's name
    order: int = 3,
    axis: int = -1,
    output: Any = np.float64,
    mode: str = "mirror",
) -> Value:
    x, dtype = _taken(input, output, order, "spline_filter1d")
    return (_filtered_along(x, order, axis, mode) if order > 1 else x).astype(dtype)


def spline_filter(
    input: Value,  # noqa: A002  # SciPy's name
    order: int = 3,
    output: Any = np.float64,
    mode: str = "mirror",
) -> Value:
    x, dtype = _taken(input, output, order, "spline_filter")
    for axis in range(x.ndim if order > 1 else 0):
        x = _filtered_along(x, order, axis, mode)
    return x.astype(dtype)


def _inside(places: Value, length: int, mode: str) -> Value:
    """Bring coordinates into the image, as its continuation by a mode has them."""
    last = length - 1
    if mode in ("constant", "grid-constant"):
        return places
    if mode == "nearest":
        return np.clip(places, 0, last)
    if mode == "mirror":
        period = max(2 * last, 1)
        places = np.abs(places) % period
        return np.where(places > last, period - places, places)
    if mode in ("reflect", "grid-mirror"):
        places = places % (2 * length)
        back = 2 * length - 1 - places
        return np.where(places < length - 0.5, places, back)
    if mode == "wrap":
        return np.where((places < 0) | (places > last), places % max(last, 1), places)
    if mode == "grid-wrap":
        return places % length
    raise RuntimeError(f"boundary mode not supported: {mode!r}")


def _b_spline(order: int, distance: Value) -> Value:
    """Evaluate the centred B-spline of an order, of integer knots or those between."""
    away = np.abs(distance)
    total: Value = 0.0
    for k in range((order + 1) // 2 + 1):
        term = np.maximum((order + 1) / 2 - k - away, 0.0)
        total = total + (-1.0) ** k * comb(order + 1, k) * term**order
    return total / factorial(order)


def _sampled(
    x: Value, places: Sequence[Value], order: int, mode: str, cval: Value, prefilter: bool
) -> Value:
    """Evaluate a spline through an image at points, of which each axis has its coordinates."""
    margin = 0
    if mode == "nearest" and order > 1 and not prefilter:
        raise UnsupportedError(
            "splines of scipy.ndimage with mode='nearest' and prefilter=False are not"
            " differentiated",
            instead="prefilter=True, or mode='mirror'",
        )
    if prefilter and order > 1:
        if mode in ("nearest", "grid-constant"):
            margin = _MARGIN
            how: Any = {"mode": "edge"} if mode == "nearest" else {"constant_values": cval}
            x = np.pad(x, margin, **how)
        for axis in range(x.ndim):
            x = _filtered_along(x, order, axis, mode)
    outside: Value = False
    steps, weights = [], []
    # What lies beyond the edge is what the filter took it for.
    around = {"constant": "mirror", "wrap": "mirror"}.get(mode, mode)
    for given, length in zip(places, x.shape, strict=True):
        place = given + margin if margin else given
        if mode == "constant":
            outside = outside | (place < 0) | (place > length - 1)
        within = _inside(place, length, mode)
        start = np.floor(within if order % 2 else within + 0.5) - order // 2
        near = [start + k for k in range(order + 1)]
        if order == 0:
            weights.append([np.ones_like(start)])
        else:
            weights.append([_b_spline(order, within - each) for each in near])
        if around == "grid-constant":
            for k, each in enumerate(near):
                beyond = (each < 0) | (each > length - 1)
                weights[-1][k] = np.where(beyond, 0.0, weights[-1][k])
            around_here = "nearest"
        else:
            around_here = around
        steps.append([_inside(each, length, around_here).astype(np.int64) for each in near])
    array = x if isinstance(x, Array) else duck(x)
    total: Value = 0.0
    share: Value = 0.0
    for taps in itertools.product(range(order + 1), repeat=x.ndim):
        weight: Value = 1.0
        for axis, k in enumerate(taps):
            weight = weight * weights[axis][k]
        at = tuple(np.clip(steps[axis][k], 0, x.shape[axis] - 1) for axis, k in enumerate(taps))
        total = total + weight * array[at]
        share = share + weight
    if around == "grid-constant":
        total = total + (1.0 - share) * cval
    return np.where(outside, cval, total) if mode == "constant" else total


def map_coordinates(
    input: Value,  # noqa: A002  # SciPy's name
    coordinates: Value,
    output: Any = None,
    order: int = 3,
    mode: str = "constant",
    cval: Value = 0.0,
    prefilter: bool = True,
) -> Value:
    x, dtype = _taken(input, output, order, "map_coordinates")
    points = as_array(coordinates).astype(np.float64)
    if points.ndim < 2 or points.shape[0] != x.ndim:
        raise RuntimeError("invalid shape for coordinate array")
    return _sampled(x, list(points), order, mode, cval, prefilter).astype(dtype)


def _each(value: Value, count: int) -> list[Value]:
    values = [value] * count if np.ndim(value) == 0 else list(as_array(value))
    if len(values) != count:
        raise RuntimeError("sequence argument must have length equal to input rank")
    return values


def _lines(shape: Sequence[int]) -> list[Value]:
    """Count along each axis."""
    return [
        np.arange(float(n)).reshape((-1,) + (1,) * (len(shape) - 1 - k))
        for k, n in enumerate(shape)
    ]


def _broadcast(places: Sequence[Value], shape: Sequence[int]) -> list[Value]:
    return [np.broadcast_to(each, tuple(shape)) for each in places]


def shift(
    input: Value,  # noqa: A002  # SciPy's name
    shift: Value,
    output: Any = None,
    order: int = 3,
    mode: str = "constant",
    cval: Value = 0.0,
    prefilter: bool = True,
) -> Value:
    x, dtype = _taken(input, output, order, "shift")
    lines = zip(_lines(x.shape), _each(shift, x.ndim), strict=True)
    places = _broadcast([line - by for line, by in lines], x.shape)
    return _sampled(x, places, order, mode, cval, prefilter).astype(dtype)


def zoom(
    input: Value,  # noqa: A002  # SciPy's name
    zoom: Any,
    output: Any = None,
    order: int = 3,
    mode: str = "constant",
    cval: Value = 0.0,
    prefilter: bool = True,
    *,
    grid_mode: bool = False,
) -> Value:
    x, dtype = _taken(input, output, order, "zoom")
    if grid_mode or is_traced(zoom):
        raise UnsupportedError(
            "scipy.ndimage.zoom with grid_mode=True, or by the factor, is not differentiated",
            instead="scipy.ndimage.map_coordinates at coordinates of your own",
        )
    factors = [float(plain_value(each, "zoom")) for each in _each(zoom, x.ndim)]
    shape = [round(n * factor) for n, factor in zip(x.shape, factors, strict=True)]
    if all(factor == 1 for factor in factors) and prefilter:
        return x.astype(dtype)
    ratios = [(n - 1) / (m - 1) if m > 1 else 1.0 for n, m in zip(x.shape, shape, strict=True)]
    lines = zip(_lines(shape), ratios, x.shape, strict=True)
    places = [np.minimum(line * ratio, n - 1.0) for line, ratio, n in lines]
    places = _broadcast(places, shape)
    return _sampled(x, places, order, mode, cval, prefilter).astype(dtype)


def affine_transform(
    input: Value,  # noqa: A002  # SciPy's name
    matrix: Value,
    offset: Value = 0.0,
    output_shape: Any = None,
    output: Any = None,
    order: int = 3,
    mode: str = "constant",
    cval: Value = 0.0,
    prefilter: bool = True,
) -> Value:
    x, dtype = _taken(input, output, order, "affine_transform")
    shape = x.shape if output_shape is None else tuple(output_shape)
    matrix = as_array(matrix).astype(np.float64)
    if matrix.ndim not in (1, 2):
        raise RuntimeError("no proper affine matrix provided")
    if matrix.ndim == 2 and matrix.shape[1] == x.ndim + 1:
        offset, matrix = matrix[: x.ndim, x.ndim], matrix[: x.ndim, : x.ndim]
    if matrix.shape[0] != x.ndim or (matrix.ndim == 2 and matrix.shape[1] != len(shape)):
        raise RuntimeError("affine matrix has wrong number of rows or columns")
    lines = _lines(shape)
    places = []
    for axis, moved in enumerate(_each(offset, x.ndim)):
        if matrix.ndim == 1:
            # In SciPy's order, for what is rounded to the nearest entry.
            places.append(matrix[axis] * (lines[axis] + moved / matrix[axis]))
        else:
            places.append(sum(matrix[axis, k] * line for k, line in enumerate(lines)) + moved)
    return _sampled(x, _broadcast(places, shape), order, mode, cval, prefilter).astype(dtype)


def rotate(
    input: Value,  # noqa: A002  # SciPy's name
    angle: Value,
    axes: Any = (1, 0),
    reshape: bool = True,
    output: Any = None,
    order: int = 3,
    mode: str = "constant",
    cval: Value = 0.0,
    prefilter: bool = True,
) -> Value:
    from scipy.special import cosdg, sindg

    x = as_array(input)
    if x.ndim < 2:
        raise ValueError("input array should be at least 2D")
    first, second = sorted(int(axis) + x.ndim * (axis < 0) for axis in axes)
    if first < 0 or second >= x.ndim:
        raise ValueError("invalid rotation plane specified")
    cosine, sine = cosdg(angle), sindg(angle)
    turn = np.stack([np.stack([cosine, sine]), np.stack([-sine, cosine])])
    plane = np.array([x.shape[first], x.shape[second]])
    size = plane
    if reshape:
        height, width = plane
        corners = [[0, 0, height, height], [0, width, 0, width]]
        asked = "scipy.ndimage.rotate, whose result is as large as the angle makes it,"
        size = (np.ptp(plain_value(turn, asked) @ corners, axis=1) + 0.5).astype(int)
    offset = (plane - 1) / 2 - turn @ ((size - 1) / 2)
    others = [axis for axis in range(x.ndim) if axis not in (first, second)]
    planes = np.reshape(np.transpose(x, (*others, first, second)), (-1, *plane))
    turned = np.stack(
        [
            affine_transform(
                each, turn, offset, tuple(size.tolist()), output, order, mode, cval, prefilter
            )
            for each in planes
        ]
    )
    shape = [x.shape[axis] for axis in others]
    back = np.argsort([*others, first, second])
    return np.transpose(np.reshape(turned, (*shape, *size)), back)


_FOLLOWED = "center_of_mass mean standard_deviation sum sum_labels variance"

FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.ndimage": {
        **followed("scipy.ndimage", _FOLLOWED, "np.sum(x[labels == 1]) and its like"),
        **{
            function.__name__: function
            for function in (
                affine_transform,
                map_coordinates,
                rotate,
                shift,
                spline_filter,
                spline_filter1d,
                zoom,
            )
        },
    }
}
"""By module and name."""
