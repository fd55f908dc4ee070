"""Interpolation: SciPy's values, and derivatives by values and points."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.interpolate
from tests.array.scipy_calls import check, check_once

import steepest as sd
from steepest.array.scipy import interpolation
from steepest.errors import UnsupportedError

ip: Any = scipy.interpolate
rng = np.random.default_rng(0)
T = np.sort(rng.uniform(0, 10, 9))
Y = rng.normal(size=9)
Y2 = rng.normal(size=(9, 2))
Q = np.array([[T[0] + 0.2, 3.3], [5.1, T[-1] - 0.1]])
OUT = np.array([-1.0, 4.0, 11.0])
KNOTS = np.arange(13.0)
G = rng.normal(size=(3, 4))
GRID = (np.arange(3.0), np.arange(4.0) ** 1.5)
IN_GRID = [[0.5, 0.6], [1.9, 3.0]]


def at_points(make: Callable[..., Any], y: Any) -> Any:
    return make(T, y)(Q)


def of_points(make: Callable[..., Any], x: Any) -> Any:
    return make(T, Y)(x)


def of_both(make: Callable[..., Any], both: Any) -> Any:
    return make(T, both[:9])(both[9:])


def along_an_axis(make: Callable[..., Any], y: Any) -> Any:
    return make(T, y, axis=1)(Q)


MADE: dict[str, Callable[..., Any]] = {
    "CubicSpline": lambda *a, **k: ip.CubicSpline(*a, **k),
    "make_interp_spline": lambda *a, **k: ip.make_interp_spline(*a, **k),
    "PchipInterpolator": lambda *a, **k: ip.PchipInterpolator(*a, **k),
    "Akima1DInterpolator": lambda *a, **k: ip.Akima1DInterpolator(*a, **k),
    "interp1d": lambda *a, **k: ip.interp1d(*a, **k),
}
CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "CubicSpline, natural": (lambda y: ip.CubicSpline(T, y, bc_type="natural")(OUT), Y),
    "CubicSpline, slopes": (lambda y: ip.CubicSpline(T, y, bc_type="clamped")(OUT, 1), Y),
    "CubicSpline, ends": (lambda y: ip.CubicSpline(T, y, bc_type=((1, 0.5), (2, 0)))(Q), Y),
    "CubicSpline, no further": (lambda y: ip.CubicSpline(T, y, extrapolate=False)(Q), Y),
    "CubicSpline, its derivative": (lambda y: ip.CubicSpline(T, y).derivative()(Q), Y),
    "CubicSpline, integral": (lambda y: ip.CubicSpline(T, y).integrate(T[0] + 0.1, T[-1] - 1), Y),
    "CubicSpline, curvature": (lambda x: ip.CubicSpline(T, Y)(x, 2), Q),
    "make_interp_spline, 2": (lambda y: ip.make_interp_spline(T, y, k=2)(Q), Y),
    "make_interp_spline, natural": (
        lambda y: ip.make_interp_spline(T, y, bc_type="natural")(Q),
        Y,
    ),
    "make_interp_spline, ends": (
        lambda y: ip.make_interp_spline(T, y, bc_type=([(1, [0.5, 2])], [(1, [-1.0, 0])]))(Q),
        Y2,
    ),
    "make_lsq_spline": (
        lambda y: ip.make_lsq_spline(T, y, np.r_[[T[0]] * 4, 5.0, [T[-1]] * 4])(Q),
        Y,
    ),
    "make_smoothing_spline": (lambda y: ip.make_smoothing_spline(T, y, lam=0.3)(Q), Y),
    "BSpline": (lambda c: ip.BSpline(KNOTS, c, 3)([3.5, 5.5]), Y),
    "BSpline at points": (lambda x: ip.BSpline(KNOTS, Y, 3)(x), [3.5, 5.2, 8.9]),
    "BSpline, slopes": (lambda x: ip.BSpline(KNOTS, Y, 3)(x, 1), [3.5, 5.2, 8.9]),
    "BSpline, curvature": (lambda c: ip.BSpline(KNOTS, c, 3)(np.array([3.5, 2.0, 12]), 2), Y),
    "BSpline, no more derivatives": (lambda c: ip.BSpline(KNOTS, c, 3)([3.5], 4), Y),
    "BSpline outside": (lambda x: ip.BSpline(KNOTS, Y, 3)(x), [1.5, 12.2]),
    "BSpline, periodic": (
        lambda x: ip.BSpline(KNOTS, Y, 3)(x, extrapolate="periodic"),
        [1.5, 12.2],
    ),
    "splrep": (lambda y: ip.splev(Q[0], ip.splrep(T, y)), Y),
    "splev": (lambda x: ip.splev(x, ip.splrep(T, Y)), Q[1]),
    "splev, curvature": (lambda x: ip.splev(x, ip.splrep(T, Y), der=2), Q[1]),
    "splev, 0 outside": (lambda y: ip.splev(OUT, ip.splrep(T, y), ext=1), Y),
    "splev, constant outside": (lambda y: ip.splev(OUT, ip.splrep(T, y), ext=3), Y),
    "PPoly": (lambda c: ip.PPoly(c, [0.0, 1, 2, 3])([0.5, 2.5, 4.0]), rng.normal(size=(4, 3))),
    "PPoly, periodic": (
        lambda x: ip.PPoly(G[:, :3], [0.0, 1, 2, 3], extrapolate="periodic")(x),
        [0.5, 3.7],
    ),
    "RegularGridInterpolator": (lambda v: ip.RegularGridInterpolator(GRID, v)(IN_GRID), G),
    "RegularGridInterpolator at points": (
        lambda x: ip.RegularGridInterpolator((np.arange(9.0), [0.0, 1.0]), Y2)(x),
        [[0.5, 0.6], [1.9, 0.2]],
    ),
    "RegularGridInterpolator of rows": (
        lambda v: ip.RegularGridInterpolator(GRID[:1], v)([[0.5], [1.9]]),
        G,
    ),
    "RegularGridInterpolator, further": (
        lambda v: ip.RegularGridInterpolator(GRID, v, bounds_error=False, fill_value=None)(
            [[0.5, 0.6], [1.9, 7.0]]
        ),
        G,
    ),
    "RegularGridInterpolator, filled": (
        lambda v: ip.RegularGridInterpolator(GRID, v, bounds_error=False, fill_value=7.0)(
            [[0.5, 0.6], [1.9, 9.0]]
        ),
        G,
    ),
    "RegularGridInterpolator, nearest": (
        lambda v: ip.RegularGridInterpolator(GRID, v, "nearest")(IN_GRID),
        G,
    ),
    "RegularGridInterpolator, descending": (
        lambda v: ip.RegularGridInterpolator((GRID[0][::-1], GRID[1]), v)([0.5, 0.6]),
        G,
    ),
    "interpn": (lambda v: ip.interpn(GRID, v, IN_GRID), G),
    "interpn at one point": (lambda v: ip.interpn(GRID, v, [0.5, 0.6]), G),
    "interpn by the point": (lambda x: ip.interpn(GRID, G, x), IN_GRID),
}
for _name in ("CubicSpline", "make_interp_spline"):
    CALLS[f"{_name} of values"] = (partial(at_points, MADE[_name]), Y)
    CALLS[f"{_name} at points"] = (partial(of_points, MADE[_name]), Q)
    CALLS[f"{_name} of both"] = (partial(of_both, MADE[_name]), np.r_[Y, Q.ravel()])
    CALLS[f"{_name} of a plane"] = (partial(at_points, MADE[_name]), Y2)
    CALLS[f"{_name} along an axis"] = (partial(along_an_axis, MADE[_name]), Y2.T)
CALLS["PchipInterpolator at points"] = (partial(of_points, MADE["PchipInterpolator"]), Q)
CALLS["interp1d of values"] = (partial(at_points, MADE["interp1d"]), Y)

BY_VALUES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "CubicSpline, periodic": (
        lambda y: ip.CubicSpline(T, np.concatenate([y, y[:1]]), bc_type="periodic")(OUT),
        Y[:-1],
    ),
    "CubicSpline, integral by its limits": (
        lambda b: ip.CubicSpline(T, Y).integrate(b[0], b[1]),
        [T[0] + 0.1, T[-1] - 0.3],
    ),
    "CubicHermiteSpline": (lambda y: ip.CubicHermiteSpline(T, y, Y[::-1])(Q), Y),
    "CubicHermiteSpline by slopes": (lambda d: ip.CubicHermiteSpline(T, Y, d)(Q), Y),
    "interp1d at points": (partial(of_points, MADE["interp1d"]), Q),
    "interp1d, cubic": (lambda y: ip.interp1d(T, y, kind="cubic")(Q), Y),
    "interp1d, quadratic": (lambda x: ip.interp1d(T, Y, kind="quadratic")(x), Q),
    "interp1d, filled": (
        lambda y: ip.interp1d(T, y, bounds_error=False, fill_value=0.0)(OUT),
        Y,
    ),
    "interp1d, extrapolated": (lambda x: ip.interp1d(T, Y, fill_value="extrapolate")(x), OUT),
    "interp1d, nearest": (lambda y: ip.interp1d(T, y, kind="nearest")(Q), Y),
    "interp1d, previous": (lambda y: ip.interp1d(T, y, kind="previous")(Q), Y),
}
for _name in ("PchipInterpolator", "Akima1DInterpolator"):
    BY_VALUES[f"{_name} of values"] = (partial(at_points, MADE[_name]), Y)
    BY_VALUES[f"{_name} of both"] = (partial(of_both, MADE[_name]), np.r_[Y, Q.ravel()])
    BY_VALUES[f"{_name} of a plane"] = (partial(at_points, MADE[_name]), Y2)
    BY_VALUES[f"{_name} along an axis"] = (partial(along_an_axis, MADE[_name]), Y2.T)


def test_every_function_is_tried() -> None:
    called = {name.split(",")[0].split()[0] for name in CALLS | BY_VALUES}
    assert called == set(interpolation.FUNCTIONS["scipy.interpolate"])


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    check(*CALLS[name])


@pytest.mark.parametrize("name", BY_VALUES)
def test_value_and_derivatives_of_what_asks_for_values(name: str) -> None:
    call, x = BY_VALUES[name]
    expected = call(np.asarray(x, float))
    np.testing.assert_allclose(sd.vjp(call, np.asarray(x, float))[0], expected, rtol=1e-12)
    if "filled" not in name and "nearest" not in name and "previous" not in name:
        check(call, x, compiles=False, single=False)


PLANE = np.stack([T, Y], axis=1)
AMONG = PLANE[:4] * 0.6 + np.mean(PLANE, axis=0) * 0.4
SURFACE = rng.normal(size=(5, 6))
SIDES = (np.arange(5.0), np.arange(6.0) ** 1.2)


def radial(kernel: str) -> tuple[Callable[[Any], Any], Any]:
    def call(x: Any) -> Any:
        return ip.RBFInterpolator(x, Y2, kernel=kernel, epsilon=0.6)(AMONG + x[:4])

    return call, PLANE


ONCE: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "UnivariateSpline": (lambda y: ip.UnivariateSpline(T, y, s=0)(Q), Y),
    "UnivariateSpline at points": (lambda x: ip.UnivariateSpline(T, Y, s=0.1)(x, 1), Q),
    "InterpolatedUnivariateSpline": (lambda y: ip.InterpolatedUnivariateSpline(T, y, k=2)(OUT), Y),
    "LSQUnivariateSpline": (lambda y: ip.LSQUnivariateSpline(T, y, [T[4]], ext=3)(OUT), Y),
    "RectBivariateSpline": (
        lambda z: ip.RectBivariateSpline(*SIDES, z)([0.4, 9], [2.2, 3]),
        SURFACE,
    ),
    "RectBivariateSpline at points": (
        lambda x: ip.RectBivariateSpline(*SIDES, SURFACE, kx=2).ev(x[0], x[1], dy=1),
        [[0.4, 3.1], [2.2, 4.4]],
    ),
    "RBFInterpolator": (
        lambda y: ip.RBFInterpolator(PLANE, np.stack([y, y**2], 1), smoothing=0.1)(AMONG),
        Y,
    ),
    **{
        f"RBFInterpolator, {kernel}": radial(kernel)
        for kernel in ("linear", "cubic", "quintic", "multiquadric", "gaussian")
    },
    "RBFInterpolator at points": (lambda x: ip.RBFInterpolator(PLANE, Y2)(x), AMONG),
    "griddata": (lambda y: ip.griddata(PLANE, y, AMONG), Y),
    "griddata of the nearest": (lambda y: ip.griddata(PLANE, y, AMONG, method="nearest"), Y),
    "LinearNDInterpolator": (lambda x: ip.LinearNDInterpolator(PLANE, Y2)(x[:, 0], x[:, 1]), AMONG),
    "LinearNDInterpolator by points": (
        lambda x: ip.LinearNDInterpolator(x, Y, fill_value=3.0)(
            np.concatenate([AMONG, OUT[:2][None]])
        ),
        PLANE,
    ),
    "NearestNDInterpolator": (lambda y: ip.NearestNDInterpolator(PLANE, y)(AMONG), Y),
}


@pytest.mark.parametrize("name", ONCE)
def test_value_and_derivative(name: str) -> None:
    check_once(*ONCE[name])


def test_classes_are_scipys_to_isinstance() -> None:
    def asking(y: Any) -> Any:
        spline = ip.CubicSpline(T, y)
        assert isinstance(spline, ip.CubicSpline)
        assert isinstance(ip.CubicSpline(T, Y), ip.CubicSpline)
        return np.sum(spline(Q))

    sd.grad(asking)(Y)


def test_what_scipy_refuses_is_refused() -> None:
    for call in (
        lambda y: ip.CubicSpline(T[:4], y),
        lambda y: ip.interp1d(T, y)(OUT),
        lambda y: ip.RegularGridInterpolator((T,), y)([[11.0]]),
        lambda y: ip.make_interp_spline(T[::-1], y),
    ):
        for function in (call, sd.grad(lambda y, call=call: np.sum(call(y)))):
            with pytest.raises(ValueError, match=r"length|range|bounds|sorted|Expect"):
                function(Y)


@pytest.mark.parametrize(
    "call",
    [
        lambda y: ip.CubicSpline(np.cumsum(y**2), Y)(0.5),
        lambda y: ip.make_interp_spline(np.cumsum(y**2), Y)(0.5),
        lambda y: ip.make_smoothing_spline(T, y)(Q),
        lambda y: ip.splev(Q, ip.splrep(T, y, s=1.0)),
        lambda y: ip.UnivariateSpline(T, y)(Q),
        lambda y: ip.RegularGridInterpolator((T,), y, method="cubic")(Q.reshape(-1, 1)),
        lambda y: ip.griddata(np.stack([T, Y], 1), y, [[3.0, 0.0]], method="cubic"),
        lambda y: ip.RBFInterpolator(T[:, None], y, neighbors=5)(Q.reshape(-1, 1)),
        lambda y: ip.RectBivariateSpline(T[:4], T[:4], y[:4, None] * y[:4], s=1.0)(3.0, 4.0),
        lambda y: ip.InterpolatedUnivariateSpline(T, y).roots(),
    ],
)
def test_refusals(call: Callable[[Any], Any]) -> None:
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda y: np.sum(call(y)))(Y)
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead
