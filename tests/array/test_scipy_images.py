"""Images that are moved, turned and stretched: SciPy's values, and derivatives of these."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from tests.array.scipy_calls import check, check_once

import steepest as sd
from steepest.array.scipy import images
from steepest.errors import UnsupportedError

nd: Any = scipy.ndimage
rng = np.random.default_rng(0)
X = rng.normal(size=(7, 8))
PLACES = np.stack([rng.uniform(-2, 9, 12), rng.uniform(-2, 10, 12)])
INSIDE = np.stack([rng.uniform(1.1, 5, 6), rng.uniform(1.1, 6, 6)])
MATRIX = np.array([[0.9, 0.2], [-0.1, 1.1]])
LINE = np.sin(np.arange(9.0))

CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "map_coordinates": (lambda x: nd.map_coordinates(x, PLACES), X),
    "map_coordinates at points": (lambda p: nd.map_coordinates(X, p), INSIDE),
    "map_coordinates of lines": (lambda p: nd.map_coordinates(X, p, order=1), INSIDE),
    "map_coordinates of a line": (lambda p: nd.map_coordinates(LINE, p, order=5), INSIDE[:1]),
    "shift": (lambda x: nd.shift(x, (0.4, -1.3), mode="nearest"), X),
    "shift by how far": (lambda s: nd.shift(X, s, mode="grid-wrap"), [0.4, -1.3]),
    "zoom": (lambda x: nd.zoom(x, (1.5, 0.7)), X),
    "affine_transform": (lambda x: nd.affine_transform(x, MATRIX, (0.5, -0.3), (5, 9)), X),
    "affine_transform by the matrix": (
        lambda a: nd.affine_transform(X, a, (1.5, 1.7), (3, 4), mode="mirror"),
        MATRIX + 0.013,
    ),
    "affine_transform by the offset": (
        lambda o: nd.affine_transform(X, [0.9, 1.2], o, mode="mirror"),
        [0.313, 0.427],
    ),
    "spline_filter": (lambda x: nd.spline_filter(x), X),
    "spline_filter1d": (lambda x: nd.spline_filter1d(x, 4, axis=0, mode="reflect"), X),
}
TRANSFORMS: dict[str, Callable[..., Any]] = {
    "map_coordinates": lambda x, **settings: nd.map_coordinates(x, PLACES, **settings),
    "shift": lambda x, **settings: nd.shift(x, (0.4, -1.3), **settings),
    "zoom": lambda x, **settings: nd.zoom(x, (1.5, 0.7), **settings),
    "affine_transform": lambda x, **settings: nd.affine_transform(
        x, MATRIX, (0.5, -0.3), output_shape=(5, 9), **settings
    ),
    "affine_transform of axes": lambda x, **settings: nd.affine_transform(
        x, [0.9, 1.23], 0.31, **settings
    ),
}
MODES = (
    "constant",
    "grid-constant",
    "grid-mirror",
    "grid-wrap",
    "mirror",
    "nearest",
    "reflect",
    "wrap",
)


LABELS = np.arange(56).reshape(7, 8) % 3


def rotated(mode: str) -> tuple[Callable[[Any], Any], Any]:
    return lambda x: nd.rotate(x, 30, mode=mode), X


def of_labels(name: str) -> tuple[Callable[[Any], Any], Any]:
    return lambda x: getattr(nd, name)(x, LABELS, [0, 2]), X


ONCE: dict[str, tuple[Callable[[Any], Any], Any]] = {
    **{f"rotate, {mode}": rotated(mode) for mode in MODES},
    "rotate by the angle": (lambda a: nd.rotate(X, a[0], reshape=False), [31.3]),
    "rotate of planes": (
        lambda x: nd.rotate(x, 75, (0, 2), order=1),
        rng.normal(size=(4, 2, 3)),
    ),
    "center_of_mass": (lambda x: np.array(nd.center_of_mass(x**2)), X),
    **{
        name: of_labels(name)
        for name in ("mean", "standard_deviation", "sum", "sum_labels", "variance")
    },
}


@pytest.mark.parametrize("name", ONCE)
def test_value_and_derivative(name: str) -> None:
    check_once(*ONCE[name])


def test_every_function_is_tried() -> None:
    assert {re.split("[ ,]", name)[0] for name in CALLS | ONCE} == set(
        images.FUNCTIONS["scipy.ndimage"]
    )


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    check(*CALLS[name], single="by" not in name and "at points" not in name)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_orders_and_modes(name: str, mode: str) -> None:
    for order in range(6):
        for prefilter in (True, False):
            if mode == "nearest" and order > 1 and not prefilter:
                continue  # It is refused.
            settings = {"mode": mode, "order": order, "prefilter": prefilter, "cval": 0.7}

            def call(x: Any, settings: Any = settings) -> Any:
                return TRANSFORMS[name](x, **settings)

            value, pullback = sd.vjp(call, X)
            np.testing.assert_allclose(value, call(X), atol=1e-9)
            # It is linear in the image, but for what it is filled with.
            (gradient,) = pullback(np.ones(value.shape))
            along = np.sum(call(X) - call(X * 0))
            np.testing.assert_allclose(np.sum(gradient * X), along, atol=1e-8)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: nd.zoom(x, 2, grid_mode=True, mode="grid-wrap"),
        lambda x: nd.zoom(X, 1 + x[0, 0] ** 2),
        lambda x: nd.shift(x, 0.5, mode="nearest", prefilter=False),
        lambda x: nd.geometric_transform(x, lambda c: c),
        lambda x: nd.shift(x, 1, output=np.zeros((7, 8))),
    ],
)
def test_refusals(call: Callable[[Any], Any]) -> None:
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda x: np.sum(call(x)))(X)
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead
