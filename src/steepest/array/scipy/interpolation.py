"""Interpolation, as ``scipy.interpolate`` has it, on Arrays.

Piecewise polynomials are made by SciPy's own code, which is followed, and evaluated here. What
interpolates by solving a system is linear in the values: its matrix is what SciPy makes of the
unit vectors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.array import Array
from steepest.array.buffers import as_ndarray, duck
from steepest.array.creating import untouched_numpy
from steepest.array.plain import is_known, is_traced, plain_arguments, plain_value
from steepest.array.scipy.followed import follow, original_of
from steepest.array.scipy.names import OfTraced
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS", "METHODS", "evaluated_spline"]

_MODULE = "scipy.interpolate"
_INSTEAD = "np.interp, or the interpolant's matrix times the values"


def _attribute(owner: Any, name: str) -> Any:
    """Take an attribute of one of SciPy's objects as it is, under either of its names."""
    return getattr(owner, f"_{name}") if hasattr(owner, f"_{name}") else getattr(owner, name)


def _by_scipy(name: str, *args: Any, **settings: Any) -> Any:
    """Call SciPy's own function, of what is constant."""
    args, settings = plain_arguments((args, settings), f"{_MODULE}.{name}")
    with untouched_numpy():
        return original_of(_MODULE, name)(*args, **settings)


def _points(x: Value) -> Value:
    x = as_array(x)
    return x if x.dtype == np.float64 else x.astype(np.float64)


def _at(array: Value, places: Value) -> Value:
    """Take entries along the first axis; an ndarray would ask for the values of the places."""
    return (array if isinstance(array, Array) else duck(array))[places]


def _placed(result: Value, ndim: int, axis: int) -> Value:
    """Bring the axes of the points to where the axis of the values was."""
    if not axis:
        return result
    order = list(range(result.ndim))
    order = order[ndim : ndim + axis] + order[:ndim] + order[ndim + axis :]
    return np.transpose(result, order)


def _filled(result: Value, outside: Value, fill: Any) -> Value:
    """Write a value where points lie outside."""
    if is_known(outside) and not np.any(plain_value(outside, _MODULE)):
        return result
    mask = np.reshape(outside, outside.shape + (1,) * (result.ndim - outside.ndim))
    return np.where(mask, fill, result)


# Piecewise polynomials


def _polynomials(self: Any, x: Value, nu: int = 0, extrapolate: Any = None) -> Value:
    """Evaluate polynomials, or a derivative of them, in the pieces in which points lie."""
    coefficients, breaks = as_array(_attribute(self, "c")), _attribute(self, "x")
    if is_traced(breaks):
        raise UnsupportedError(
            "a piecewise polynomial is not differentiated by its breakpoints", instead=_INSTEAD
        )
    breaks = np.asarray(plain_value(breaks, _MODULE))
    if breaks[0] > breaks[-1]:
        raise UnsupportedError(
            "a piecewise polynomial with descending breakpoints is not differentiated",
            instead="breakpoints in ascending order",
        )
    extrapolate = self.extrapolate if extrapolate is None else extrapolate
    x = _points(x)
    ndim = x.ndim
    if isinstance(extrapolate, str):
        x = breaks[0] + (x - breaks[0]) % (breaks[-1] - breaks[0])
    places = np.clip(np.searchsorted(breaks, x, side="right") - 1, 0, len(breaks) - 2)
    distance = x - _at(breaks, places)
    distance = np.reshape(distance, distance.shape + (1,) * (coefficients.ndim - 2))
    order = coefficients.shape[0]
    result: Value = np.zeros((*x.shape, *coefficients.shape[2:]), coefficients.dtype)
    for k in range(order - nu):
        power = order - 1 - k
        factor = float(np.prod(np.arange(power - nu + 1, power + 1))) if nu else 1.0
        result = result * distance + factor * _at(coefficients[k], places)
    if extrapolate is False or extrapolate == 0:
        result = _filled(result, (x < breaks[0]) | (x > breaks[-1]), np.nan)
    return _placed(result, ndim, self.axis)


def _made(name: str) -> Callable[..., Any]:
    """Make an object by SciPy's own code."""

    def make(*args: Any, **settings: Any) -> Any:
        modules = (f"{_MODULE}.",)
        original = original_of(_MODULE, name)
        return follow(original, f"{_MODULE}.{name}", _INSTEAD, modules, args, settings)

    return make


def _followed_method(name: str) -> Callable[..., Any]:
    """Make a method that is followed where the state of its object is traced."""

    def method(self: Any, *args: Any, **settings: Any) -> Any:
        for kind in type(self).__mro__:
            if name in vars(kind):
                found = vars(kind)[name]
                original = getattr(found, "__wrapped__", found)
                break
        called = f"{_MODULE}.{type(self).__name__}.{name}"
        return follow(original, called, _INSTEAD, (f"{_MODULE}.",), (self, *args), settings)

    return method


def _cubic_spline(x: Value, y: Value, *args: Any, **settings: Any) -> Any:
    """Make a cubic spline; where values are not known, by what SciPy makes of unit vectors."""
    given = dict(zip(("axis", "bc_type", "extrapolate"), args, strict=False)) | settings
    bc_type = given.get("bc_type", "not-a-knot")
    y = as_array(y)
    if is_known(y) or y.dtype.kind != "f" or is_traced((x, bc_type)) or bc_type == "periodic":
        return _made("CubicSpline")(x, y, *args, **settings)
    axis = given.get("axis", 0) % y.ndim
    values = np.moveaxis(y, axis, 0)
    count = values.shape[0]
    flat = np.reshape(values, (count, -1))
    ends = (bc_type, bc_type) if isinstance(bc_type, str) else bc_type
    # What is asked for at the ends is added, once for all that is asked of the values alone.
    plain = [each if isinstance(each, str) else (each[0], 0.0) for each in ends]
    units = _by_scipy("CubicSpline", x, np.eye(count), bc_type=tuple(
        each if isinstance(each, str) else (each[0], np.zeros(count)) for each in plain
    )).c  # fmt: skip
    base = _by_scipy(
        "CubicSpline", x, np.zeros(values.shape), bc_type=tuple(ends), extrapolate=True
    )
    moved = np.tensordot(units, flat, axes=1)
    coefficients = base.c + np.reshape(moved, base.c.shape)
    spline = _made("PPoly")(coefficients, base.x, given.get("extrapolate"))
    spline.axis = axis
    return spline


def _integral(self: Any, a: Value, b: Value, extrapolate: Any = None) -> Value:
    """Integrate a piecewise polynomial between two points inside of its pieces."""
    coefficients, breaks = as_array(_attribute(self, "c")), np.asarray(_attribute(self, "x"))
    if isinstance(self.extrapolate if extrapolate is None else extrapolate, str):
        raise UnsupportedError(
            "the integral of a periodic piecewise polynomial is not differentiated",
            instead="the integrals over parts of the period",
        )
    order = coefficients.shape[0]
    powers = np.arange(order, 0, -1).reshape((-1,) + (1,) * (coefficients.ndim - 1))
    raised = coefficients / powers
    # Of each piece, up to a distance from where it begins.
    widths = np.diff(breaks).reshape((-1,) + (1,) * (coefficients.ndim - 2))
    whole = sum(raised[k] * widths ** (order - k) for k in range(order))
    before = np.concatenate([np.zeros((1, *whole.shape[1:])), np.cumsum(whole, axis=0)[:-1]])

    def up_to(end: Value) -> Value:
        end = _points(end)
        place = np.clip(np.searchsorted(breaks, end, side="right") - 1, 0, len(breaks) - 2)
        distance = end - _at(breaks, place)
        parts = (_at(raised[k], place) * distance ** (order - k) for k in range(order))
        return _at(before, place) + sum(parts)

    # SciPy's is an array also where it is one number.
    result = as_ndarray(up_to(b) - up_to(a))
    outside = np.array([each < breaks[0] or each > breaks[-1] for each in (a, b)])
    extrapolate = self.extrapolate if extrapolate is None else extrapolate
    return result if extrapolate else _filled(result, np.any(outside), np.nan)


# Splines


def _spline(
    knots: Any, coefficients: Value, degree: int, x: Value, nu: int, extrapolate: Any
) -> Value:
    """Evaluate a spline by de Boor's recurrence ("On calculating with B-splines", 1972)."""
    knots = np.asarray(plain_value(knots, _MODULE))
    count = len(knots) - degree - 1
    coefficients = as_array(coefficients)[:count]
    low, high = knots[degree], knots[count]
    x = _points(x)
    if isinstance(extrapolate, str):
        x = low + (x - low) % (high - low)
    # The pieces stay those of the spline, of which derivatives are splines of less degree.
    places = np.clip(np.searchsorted(knots, x, side="right") - 1, degree, count - 1)
    outside = (x < low) | (x > high)
    trailing = (1,) * (coefficients.ndim - 1)
    if nu > degree:
        near = [np.zeros((*x.shape, *coefficients.shape[1:]), coefficients.dtype)]
        degree, nu = 0, 0
    else:
        near = [_at(coefficients, places - degree + j) for j in range(degree + 1)]
    for step in range(nu):
        left = degree - step
        near = [
            (near[j + 1] - near[j])
            * np.reshape(
                left / (_at(knots, places + j + 1) - _at(knots, places - left + j + 1)),
                x.shape + trailing,
            )
            for j in range(left)
        ]
    degree -= nu
    for step in range(1, degree + 1):
        merged = []
        for j in range(degree - step + 1):
            first = _at(knots, places - degree + step + j)
            last = _at(knots, places + j + 1)
            share = np.reshape((x - first) / (last - first), x.shape + trailing)
            merged.append((1.0 - share) * near[j] + share * near[j + 1])
        near = merged
    result = near[0]
    if extrapolate is False or extrapolate == 0:
        result = _filled(result, outside, np.nan)
    return result


def _evaluated_spline(self: Any, x: Value, nu: int = 0, extrapolate: Any = None) -> Value:
    extrapolate = self.extrapolate if extrapolate is None else extrapolate
    x = as_array(x)
    result = _spline(_attribute(self, "t"), _attribute(self, "c"), self.k, x, nu, extrapolate)
    return _placed(result, x.ndim, self.axis)


def evaluated_spline(x: Value, tck: Any, der: int = 0, ext: int = 0) -> Value:
    """Evaluate a spline, as ``splev`` does."""
    if hasattr(tck, "extrapolate"):
        return tck(x, der, extrapolate=True)
    knots, coefficients, degree = tck
    x = as_array(x)
    if isinstance(coefficients, list):
        return [evaluated_spline(x, (knots, each, degree), der, ext) for each in coefficients]
    result = _spline(knots, coefficients, degree, x, der, True)
    if ext == 0:
        return result
    knots = np.asarray(plain_value(knots, _MODULE))
    low, high = knots[degree], knots[len(knots) - degree - 1]
    outside = (x < low) | (x > high)
    if ext == 1:
        return _filled(result, outside, 0.0)
    if ext == 3:
        return _spline(knots, coefficients, degree, np.clip(x, low, high), der, True)
    if np.any(plain_value(outside, "scipy.interpolate.splev with ext=2")):
        raise ValueError("a point lies outside of the knots")
    return result


def _linear_in_values(name: str) -> Callable[..., Any]:
    """Make a spline whose coefficients are a matrix times the values."""

    def make(x: Value, y: Value, *args: Any, **settings: Any) -> Any:
        if is_traced((x, args, settings)):
            raise UnsupportedError(
                f"scipy.interpolate.{name} is differentiated by the values y alone",
                instead="places and settings that are constant",
            )
        if name == "make_smoothing_spline" and settings.get("lam") is None and len(args) < 2:
            raise UnsupportedError(
                "scipy.interpolate.make_smoothing_spline that chooses lam= is not differentiated",
                instead="make_smoothing_spline(x, y, lam=…)",
            )
        y = as_array(y)
        y = y if y.dtype.kind in "fc" else y.astype(np.float64)
        axis = settings.get("axis", 0) % max(y.ndim, 1)
        values = np.moveaxis(y, axis, 0)
        settings = {key: each for key, each in settings.items() if key != "axis"}
        count = values.shape[0]
        # The values at the ends that bc_type may ask for make it affine.
        base = _by_scipy(name, x, np.zeros((count, *values.shape[1:])), *args, **settings)
        zero, knots, degree = base.c, base.t, base.k
        if isinstance(settings.get("bc_type"), (tuple, list)):
            flat = [
                _by_scipy(name, x, np.broadcast_to(unit.reshape((-1,) + (1,) * (values.ndim - 1)),
                                                   values.shape), *args, **settings).c - zero
                for unit in np.eye(count)
            ]  # fmt: skip
            matrix = np.stack([each.reshape(len(zero), -1)[:, 0] for each in flat], axis=1)
        else:
            matrix = _by_scipy(name, x, np.eye(count), *args, **settings).c
        product = matrix @ np.reshape(values, (count, -1))
        coefficients = zero + np.reshape(product, (len(matrix), *values.shape[1:]))
        if axis:
            coefficients = np.moveaxis(coefficients, 0, axis)
        spline = original_of(_MODULE, "BSpline")
        return follow(
            spline, f"{_MODULE}.{name}", _INSTEAD, (f"{_MODULE}.",),
            (knots, coefficients, degree), {"axis": axis},
        )  # fmt: skip

    return make


def _splrep(
    x: Value,
    y: Value,
    w: Any = None,
    xb: Any = None,
    xe: Any = None,
    k: int = 3,
    task: int = 0,
    s: float | None = None,
    t: Any = None,
    full_output: int = 0,
    per: int = 0,
    quiet: int = 1,
) -> Any:
    smooths = s != 0 and not (s is None and w is None)
    if smooths or is_traced((x, w)) or full_output or task or t is not None:
        raise UnsupportedError(
            "scipy.interpolate.splrep is differentiated by the values y alone, where it"
            " interpolates",
            instead="scipy.interpolate.splrep(x, y, s=0) or make_interp_spline",
        )
    y = as_array(y).astype(np.float64)
    settings = {"xb": xb, "xe": xe, "k": k, "s": 0, "per": per}
    units = [_by_scipy("splrep", x, unit, **settings) for unit in np.eye(len(y))]
    matrix = np.stack([each[1] for each in units], axis=1)
    return units[0][0], matrix @ y, k


# Interpolation on grids


def _on_grid(self: Any, xi: Value, method: str | None = None, *, nu: Any = None) -> Value:
    """Interpolate in the cells of a grid in which points lie."""
    grid = [np.asarray(plain_value(as_array(each), _MODULE)) for each in _attribute(self, "grid")]
    values = as_array(_attribute(self, "values"))
    method = self.method if method is None else method
    if method not in ("linear", "nearest") or nu is not None:
        raise UnsupportedError(
            f"scipy.interpolate.RegularGridInterpolator with method={method!r} is not"
            " differentiated",
            instead="method='linear', or CubicSpline along one axis after the other",
        )
    if isinstance(xi, tuple):
        xi = np.stack(np.broadcast_arrays(*map(as_array, xi)), axis=-1)
    xi = _points(xi)
    if xi.ndim == 1:
        xi = xi[:, None] if len(grid) == 1 else xi[None]
    if xi.shape[-1] != len(grid):
        raise ValueError(
            f"The requested sample points xi have dimension {xi.shape[-1]} but this"
            f" RegularGridInterpolator has dimension {len(grid)}"
        )
    shape = xi.shape[:-1]
    points = np.reshape(xi, (-1, len(grid)))
    places, shares = [], []
    outside: Value = np.zeros(len(points), bool)
    for axis, line in enumerate(grid):
        x = points[:, axis]
        below, above = x < line[0], x > line[-1]
        if self.bounds_error and is_known(x) and bool(np.any(below | above)):
            raise ValueError(f"One of the requested xi is out of bounds in dimension {axis}")
        outside = outside | below | above
        place = np.clip(np.searchsorted(line, x, side="right") - 1, 0, max(len(line) - 2, 0))
        places.append(place)
        start = _at(line, place)
        gap = _at(line, np.minimum(place + 1, len(line) - 1)) - start
        shares.append((x - start) / np.where(gap == 0, 1.0, gap))
    trailing = (1,) * (values.ndim - len(grid))
    result: Value = 0.0
    if method == "nearest":
        nearest = tuple(
            np.where(share <= 0.5, place, place + 1)
            for place, share in zip(places, shares, strict=True)
        )
        result = _entries(values, nearest)
    else:
        for corner in itertools.product((0, 1), repeat=len(grid)):
            weight: Value = 1.0
            for side, share in zip(corner, shares, strict=True):
                weight = weight * (share if side else 1 - share)
            at = tuple(p + side for p, side in zip(places, corner, strict=True))
            result = result + _entries(values, at) * np.reshape(weight, (-1, *trailing))
    if not self.bounds_error and self.fill_value is not None:
        result = _filled(result, outside, self.fill_value)
    result = _filled(result, np.any(np.isnan(points), axis=-1), np.nan)
    return np.reshape(result, (*shape, *values.shape[len(grid) :]))


def _entries(values: Value, at: tuple[Value, ...]) -> Value:
    """Take the entries at places along the first axes."""
    shape = values.shape[: len(at)]
    flat: Value = 0
    for place, length in zip(at, shape, strict=True):
        flat = flat * length + place
    return _at(np.reshape(values, (-1, *values.shape[len(at) :])), flat)


class GridInterpolator(OfTraced):
    """What stands for SciPy's class where the values on the grid are traced."""

    def __init__(
        self,
        points: Any,
        values: Value,
        method: str = "linear",
        bounds_error: bool = True,
        fill_value: Any = np.nan,
        **_settings: Any,
    ) -> None:
        grid = [np.asarray(plain_value(as_array(each), _MODULE), float) for each in points]
        values = as_array(values)
        values = values if values.dtype.kind in "fc" else values.astype(np.float64)
        if len(grid) > values.ndim or values.shape[: len(grid)] != tuple(map(len, grid)):
            raise ValueError(
                f"There are {[len(each) for each in grid]} points and values of {values.shape}"
            )
        turned = [axis for axis, line in enumerate(grid) if len(line) > 1 and line[0] > line[-1]]
        grid = [line[::-1] if axis in turned else line for axis, line in enumerate(grid)]
        values = np.flip(values, tuple(turned))
        if any(np.any(np.diff(line) <= 0) for line in grid):
            raise ValueError("The points must be strictly ascending or descending")
        self.grid, self.values, self.method = grid, values, method
        self.bounds_error, self.fill_value = bounds_error, fill_value

    def __call__(self, xi: Value, method: str | None = None, *, nu: Any = None) -> Value:
        return _on_grid(self, xi, method, nu=nu)


def interpn(
    points: Any,
    values: Value,
    xi: Value,
    method: str = "linear",
    bounds_error: bool = True,
    fill_value: Any = np.nan,
) -> Value:
    made = GridInterpolator(points, values, method, bounds_error, fill_value)
    result = made(xi)
    # SciPy makes an axis of one point.
    return result if np.ndim(xi) > 1 or isinstance(xi, tuple) else np.reshape(result, (-1,))


_POLYNOMIALS = (
    "Akima1DInterpolator CubicHermiteSpline CubicSpline PPoly PchipInterpolator interp1d BSpline"
)

FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    _MODULE: {
        **{name: _made(name) for name in _POLYNOMIALS.split()},
        "CubicSpline": _cubic_spline,
        **{
            name: _linear_in_values(name)
            for name in ("make_interp_spline", "make_lsq_spline", "make_smoothing_spline")
        },
        "RegularGridInterpolator": GridInterpolator,
        "interpn": interpn,
        "splev": evaluated_spline,
        "splrep": _splrep,
    }
}
"""By module and name."""


def _of_state(method: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a method that reads traced values of its object."""
    method.reads_state = True  # type: ignore[attr-defined]  # read in `names`
    return method


METHODS: dict[str, dict[str, dict[str, Callable[..., Any]]]] = {
    _MODULE: {
        "_interpolate._PPolyBase": {"__call__": _of_state(_polynomials)},
        **{
            # SciPy 1.18's public class leaves its work to the other one.
            name: {
                "derivative": _of_state(_followed_method("derivative")),
                "integrate": _of_state(_integral),
            }
            for name in ("_interpolate.PPoly", "_interpolate._PPoly")
        },
        "BSpline": {"__call__": _of_state(_evaluated_spline)},
        # SciPy 1.18's, to which the one above leaves its work.
        "_bsplines._BSpline": {"__call__": _of_state(_evaluated_spline)},
        "_polyint._Interpolator1D": {"__call__": _of_state(_followed_method("__call__"))},
        "RegularGridInterpolator": {"__call__": _on_grid},
    }
}
"""By module, class and name."""
