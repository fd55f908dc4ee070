"""Splines of FITPACK's classes, and interpolation of scattered points, on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.creating import untouched_numpy
from steepest.array.plain import is_traced, plain_value
from steepest.array.scipy.followed import original_of
from steepest.array.scipy.interpolation import evaluated_spline
from steepest.array.scipy.names import OfTraced
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS", "METHODS"]

_MODULE = "scipy.interpolate"


def _doubles(value: Value) -> Value:
    return as_array(value).astype(np.float64)


def _by_scipy(name: str, *args: Any, **settings: Any) -> Any:
    with untouched_numpy():
        return original_of(_MODULE, name)(*args, **settings)


# Splines of one variable

_EXTENSIONS = {"extrapolate": 0, "zeros": 1, "raise": 2, "const": 3}


class TracedSpline(OfTraced):
    """A spline of one variable, as SciPy's ``UnivariateSpline``.

    Parameters
    ----------
    tck : tuple
        Knots, coefficients and degree.
    ext : int
        What it is outside of its knots.
    """

    def __init__(self, tck: Any, ext: int) -> None:
        self._eval_args = tck
        self.ext = ext

    def __call__(self, x: Value, nu: int = 0, ext: Any = None) -> Value:
        """Evaluate the spline, or a derivative of it."""
        ext = self.ext if ext is None else ext
        return evaluated_spline(x, self._eval_args, nu, _EXTENSIONS.get(ext, ext))

    def get_coeffs(self) -> Value:
        """Take the coefficients."""
        knots, coefficients, degree = self._eval_args
        return coefficients[: len(knots) - degree - 1]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnsupportedError(
            f"{name} of a spline of traced values is not differentiated",
            instead="spline(x, nu) for derivatives; scipy.interpolate.make_interp_spline, whose"
            " splines have derivative(), antiderivative() and integrate()",
        )


def _fitted(name: str) -> Callable[..., Any]:
    """Make a spline whose coefficients are a matrix times the values."""

    def make(x: Value, y: Value, *args: Any, **settings: Any) -> Any:
        smooths = name == "UnivariateSpline" and settings.get("s", (args[3:4] or [None])[0]) != 0
        if smooths or is_traced((x, args, settings)):
            raise UnsupportedError(
                f"{_MODULE}.{name} is differentiated by the values y alone, with knots that do not"
                " depend on them",
                instead="InterpolatedUnivariateSpline, LSQUnivariateSpline, or UnivariateSpline"
                " with s=0; make_smoothing_spline(x, y, lam=…)",
            )
        y = _doubles(y)
        made = [_by_scipy(name, x, unit, *args, **settings) for unit in np.eye(len(y))]
        knots, _, degree = made[0]._eval_args
        matrix = np.stack([each._eval_args[1] for each in made], axis=1)
        return TracedSpline((knots, matrix @ y, degree), made[0].ext)

    return make


def _evaluated(self: Any, x: Value, nu: int = 0, ext: Any = None) -> Value:
    return TracedSpline(self._eval_args, self.ext)(x, nu, ext)


# Splines of two variables


class TracedSurface(OfTraced):
    """A spline of two variables, as SciPy's ``RectBivariateSpline``.

    Parameters
    ----------
    knots : (ndarray, ndarray)
    coefficients : array (m, n)
    degrees : (int, int)
    """

    def __init__(self, knots: Any, coefficients: Value, degrees: Any) -> None:
        self._knots = knots
        self._coefficients = coefficients
        self._degrees = degrees

    def _basis(self, axis: int, x: Value, nu: int) -> Value:
        """Evaluate all basis splines of one variable, which go on constantly outside."""
        knots, degree = self._knots[axis], self._degrees[axis]
        units = np.eye(len(knots) - degree - 1)
        low, high = knots[degree], knots[len(knots) - degree - 1]
        return evaluated_spline(np.clip(x, low, high), (knots, units, degree), nu, 0)

    def __call__(self, x: Value, y: Value, dx: int = 0, dy: int = 0, grid: bool = True) -> Value:
        """Evaluate the spline, or a derivative of it, on a grid or at points."""
        x, y = _doubles(x), _doubles(y)
        if grid:
            x, y = np.atleast_1d(x), np.atleast_1d(y)
            return self._basis(0, x, dx) @ self._coefficients @ self._basis(1, y, dy).T
        x, y = np.broadcast_arrays(x, y)
        across = self._basis(0, x, dx) @ self._coefficients
        return np.sum(across * self._basis(1, y, dy), axis=-1)

    def ev(self, xi: Value, yi: Value, dx: int = 0, dy: int = 0) -> Value:
        """Evaluate it at points."""
        return self(xi, yi, dx, dy, grid=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnsupportedError(
            f"{name} of a spline of traced values is not differentiated",
            instead="spline(x, y, dx, dy) or spline.ev(x, y)",
        )


def rect_bivariate_spline(
    x: Value,
    y: Value,
    z: Value,
    bbox: Any = None,
    kx: int = 3,
    ky: int = 3,
    s: float = 0,
    **more: Any,
) -> TracedSurface:
    if s or is_traced((x, y, bbox)):
        raise UnsupportedError(
            f"{_MODULE}.RectBivariateSpline is differentiated by the values z alone, with s=0",
            instead="RectBivariateSpline(x, y, z), with places that are constant",
        )
    z = _doubles(z)
    bbox = [None] * 4 if bbox is None else bbox
    plain = plain_value(z, f"{_MODULE}.RectBivariateSpline")
    made = _by_scipy("RectBivariateSpline", x, y, plain, bbox, kx, ky, s, **more)
    knots = made.tck[:2]
    ends = [
        evaluated_spline(np.asarray(at, float), (t, np.eye(len(t) - k - 1), k), 0, 0)
        for at, t, k in ((x, knots[0], kx), (y, knots[1], ky))
    ]
    half = np.linalg.solve(ends[0], z)
    return TracedSurface(knots, np.linalg.solve(ends[1], half.T).T, (kx, ky))


def _surface(self: Any) -> TracedSurface:
    kx, ky = self.degrees
    tx, ty, c = self.tck
    return TracedSurface((tx, ty), np.reshape(c, (len(tx) - kx - 1, len(ty) - ky - 1)), (kx, ky))


# Radial functions

_KERNELS: dict[str, Callable[[Value], Value]] = {
    "linear": lambda s: -np.sqrt(s),
    "thin_plate_spline": lambda s: np.where(s > 0, s * np.log(np.where(s > 0, s, 1.0)) / 2, 0.0),
    "cubic": lambda s: s * np.sqrt(s),
    "quintic": lambda s: -s * s * np.sqrt(s),
    "multiquadric": lambda s: -np.sqrt(s + 1),
    "inverse_multiquadric": lambda s: 1 / np.sqrt(s + 1),
    "inverse_quadratic": lambda s: 1 / (s + 1),
    "gaussian": lambda s: np.exp(-s),
}
"""Of the square of the distance."""


class TracedRadial(OfTraced):
    """SciPy's ``RBFInterpolator``, by all that it is made of.

    Parameters
    ----------
    y : array (n, d)
        The points.
    d : array (n, …)
        The values there.
    neighbors, smoothing, kernel, epsilon, degree
        As SciPy has them.
    """

    def __init__(
        self,
        y: Value,
        d: Value,
        neighbors: int | None = None,
        smoothing: Value = 0.0,
        kernel: str = "thin_plate_spline",
        epsilon: Value | None = None,
        degree: int | None = None,
    ) -> None:
        if neighbors is not None:
            raise UnsupportedError(
                f"{_MODULE}.RBFInterpolator with neighbors= is not differentiated",
                instead="RBFInterpolator of all points",
            )
        points, values = _doubles(y), as_array(d)
        asked = f"{_MODULE}.RBFInterpolator"
        plain = plain_value(points, asked)
        # SciPy checks what it is given, and says which polynomials are added.
        made = _by_scipy(
            "RBFInterpolator",
            plain,
            np.zeros(len(plain)),
            None,
            plain_value(as_array(smoothing), asked) * 1.0,
            kernel,
            None if epsilon is None else plain_value(epsilon, asked),
            degree,
        )
        self._powers, self._kernel = made.powers, _KERNELS[made.kernel]
        self._epsilon = made.epsilon if epsilon is None else epsilon
        self._points, self._middle = points, (plain.max(axis=0) + plain.min(axis=0)) / 2
        half = (plain.max(axis=0) - plain.min(axis=0)) / 2
        self._scale = np.where(half == 0, 1.0, half)
        self._shape = values.shape[1:]
        extra = len(self._powers)
        beside = self._polynomials(points)
        inner = self._distances(points) + np.eye(len(plain)) * as_array(smoothing)
        matrix = np.concatenate(
            [
                np.concatenate([inner, beside], axis=1),
                np.concatenate([beside.T, np.zeros((extra, extra))], axis=1),
            ]
        )
        rows = np.reshape(values, (len(plain), -1))
        right = np.concatenate([rows, np.zeros((extra, rows.shape[1]), rows.dtype)])
        self._coefficients = np.linalg.solve(matrix, right)

    def _distances(self, x: Value) -> Value:
        gaps = (x[:, None] - self._points[None]) * self._epsilon
        return self._kernel(np.sum(gaps * gaps, axis=-1))

    def _polynomials(self, x: Value) -> Value:
        scaled = (x - self._middle) / self._scale
        return np.prod(scaled[:, None] ** self._powers[None], axis=-1)

    def __call__(self, x: Value) -> Value:
        """Evaluate the interpolant."""
        x = _doubles(x)
        if x.ndim != 2 or x.shape[1] != self._points.shape[1]:
            raise ValueError(
                f"Expected the second axis of `x` to have length {self._points.shape[1]}."
            )
        matrix = np.concatenate([self._distances(x), self._polynomials(x)], axis=1)
        return np.reshape(matrix @ self._coefficients, (len(x), *self._shape))


def _radial(self: Any, x: Value) -> Value:
    # Its smallest degree of all, -1, leaves no polynomials.
    degree = int(self.powers.sum(axis=1).max(initial=-1))
    values = np.reshape(self.d.view(self.d_dtype), (len(self.d), *self.d_shape))
    given = (self.y, values, self.neighbors, self.smoothing, self.kernel, self.epsilon, degree)
    return TracedRadial(*given)(x)


# Triangles


class TracedTriangles(OfTraced):
    """SciPy's ``LinearNDInterpolator``, by points and values.

    Parameters
    ----------
    points : array (n, d)
    values : array (n, …)
    fill_value : float
        Outside of the convex hull.
    rescale : bool
        Whether coordinates are scaled before triangles are chosen.
    """

    # Compiled classes keep their methods, so a constant one is this too, for traced points.
    always = True

    def __init__(
        self, points: Value, values: Value, fill_value: Any = np.nan, rescale: bool = False
    ) -> None:
        if hasattr(points, "simplices"):
            points = points.points
        self._points, self._values = _doubles(points), as_array(values)
        self._fill = fill_value
        asked = f"{_MODULE}.LinearNDInterpolator, which chooses triangles,"
        plain = plain_value(self._points, asked)
        self._made = _by_scipy("LinearNDInterpolator", plain, np.zeros(len(plain)), rescale=rescale)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._made, name)

    def __call__(self, *args: Value) -> Value:
        """Evaluate the interpolant."""
        x = _joined(args)
        size = self._points.shape[1]
        at = np.reshape(x, (-1, size))
        asked = f"{_MODULE}.LinearNDInterpolator, which looks for the triangle of a point,"
        made = self._made
        wanted = (plain_value(at, asked) - made.offset) / made.scale if _scaled(made) else None
        wanted = plain_value(at, asked) if wanted is None else wanted
        place = made.tri.find_simplex(wanted)
        corners = self._points[made.tri.simplices[place]]
        last = corners[:, -1:]
        edges = np.swapaxes(corners[:, :-1] - last, -1, -2)
        shares = np.linalg.solve(edges, (at - last[:, 0])[..., None])[..., 0]
        shares = np.concatenate([shares, 1 - np.sum(shares, axis=-1, keepdims=True)], axis=-1)
        rows = np.reshape(self._values, (self._values.shape[0], -1))
        corner_values = rows[made.tri.simplices[place]]
        result = np.sum(shares[..., None] * corner_values, axis=1)
        result = np.where((place < 0)[:, None], self._fill, result)
        return np.reshape(result, (*x.shape[:-1], *self._values.shape[1:]))


def _scaled(made: Any) -> bool:
    return getattr(made, "scale", None) is not None


def _joined(args: tuple[Value, ...]) -> Value:
    """Take coordinates of points: an array, or one for each coordinate."""
    (first, *others) = args
    if others or isinstance(first, tuple):
        arrays = np.broadcast_arrays(*map(_doubles, first if not others else args))
        return np.stack(arrays, axis=-1)
    return _doubles(first)


class TracedNearest(OfTraced):
    """SciPy's ``NearestNDInterpolator``: values of the points that are nearest."""

    def __init__(self, x: Value, y: Value, rescale: bool = False, **_settings: Any) -> None:
        self._values = as_array(y)
        self._points = plain_value(_doubles(x), f"{_MODULE}.NearestNDInterpolator")
        self._rescale = rescale

    def __call__(self, *args: Value, **settings: Any) -> Value:
        """Take the values."""
        at = plain_value(_joined(args), f"{_MODULE}.NearestNDInterpolator")
        count = np.arange(len(self._points))
        made = _by_scipy("NearestNDInterpolator", self._points, count, rescale=self._rescale)
        with untouched_numpy():
            places = made(at, **settings)
        return self._values[places.astype(int)]


def griddata(
    points: Value,
    values: Value,
    xi: Value,
    method: str = "linear",
    fill_value: Any = np.nan,
    rescale: bool = False,
) -> Value:
    points = as_array(points) if not isinstance(points, tuple) else _joined((points,))
    is_plane = points.ndim > 1 and points.shape[1] > 1
    if method == "nearest" and is_plane:
        return TracedNearest(points, values, rescale)(xi)
    if method != "linear" or not is_plane:
        raise UnsupportedError(
            f"{_MODULE}.griddata of points of {points.ndim} axes with method={method!r} is not"
            " differentiated",
            instead="method='linear' in two dimensions or more; interp1d or CubicSpline in one;"
            " RBFInterpolator",
        )
    return TracedTriangles(points, values, fill_value, rescale)(xi)


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    _MODULE: {
        **{
            name: _fitted(name)
            for name in ("InterpolatedUnivariateSpline", "LSQUnivariateSpline", "UnivariateSpline")
        },
        "LinearNDInterpolator": TracedTriangles,
        "NearestNDInterpolator": TracedNearest,
        "RBFInterpolator": TracedRadial,
        "RectBivariateSpline": rect_bivariate_spline,
        "griddata": griddata,
    }
}
"""By module and name."""

METHODS: dict[str, dict[str, dict[str, Callable[..., Any]]]] = {
    _MODULE: {
        "BivariateSpline": {
            "__call__": lambda self, *args, **settings: _surface(self)(*args, **settings),
            "ev": lambda self, *args, **settings: _surface(self).ev(*args, **settings),
        },
        "_fitpack2._BivariateSplineBase": {
            "__call__": lambda self, *args, **settings: _surface(self)(*args, **settings)
        },
        "RBFInterpolator": {"__call__": _radial},
        "UnivariateSpline": {"__call__": _evaluated},
    }
}
"""By module, class and name."""
