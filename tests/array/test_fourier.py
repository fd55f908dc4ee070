"""NumPy's Fourier transforms: values, dtypes, errors, first and second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import steepest as sd

RNG = np.random.default_rng(0)
REAL = {
    "vector": RNG.normal(size=6),
    "odd": RNG.normal(size=5),
    "single": RNG.normal(size=1),
    "matrix": RNG.normal(size=(3, 4)),
    "backwards": RNG.normal(size=(4, 10))[::-1, ::-2],
    "stack": RNG.normal(size=(2, 3, 2)),
}
COMPLEX = {f"complex {name}": x + 1j * x[::-1] ** 2 for name, x in REAL.items()}
FROM_REAL = ("rfft", "ihfft")
ONE_AXIS = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
SEVERAL = ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")


def cases() -> list[tuple[str, str, dict[str, Any]]]:
    found: list[tuple[str, str, dict[str, Any]]] = []
    for name in ONE_AXIS:
        settings: list[dict[str, Any]] = [
            {},
            {"n": 3, "norm": "ortho"},
            {"n": 8, "norm": "forward"},
        ]
        inputs = REAL if name in FROM_REAL else {**REAL, **COMPLEX}
        for key, x in inputs.items():
            for each in settings:
                if x.shape[-1] == 1 and "n" not in each and name in ("irfft", "hfft"):
                    continue  # a length of 0
                found.append((name, key, each))
            if x.ndim > 1:
                found += [(name, key, {"axis": 0}), (name, key, {"n": 5, "axis": -2})]
    for name in SEVERAL:
        inputs = REAL if name.startswith("rfft") else {**REAL, **COMPLEX}
        for key, x in inputs.items():
            if x.ndim == 1 and (name.endswith("2") or (name == "irfftn" and len(x) == 1)):
                continue
            found.append((name, key, {}))
            if x.ndim > 1:
                found += [
                    (name, key, {"s": (3, 5), "axes": (1, 0)}),
                    (name, key, {"axes": (0, 1), "norm": "ortho"}),
                    (name, key, {"s": (-1, 4), "axes": (0, -1), "norm": "forward"}),
                ]
    return found


CASES = cases()
IDS = [f"{name}-{key}-{settings}" for name, key, settings in CASES]


def traced_once(function: Callable[[Any], Any], x: Any) -> Any:
    """Give the value that a function has while it is differentiated."""
    seen = []

    def keep(x: Any) -> Any:
        y = function(x)
        seen.append(np.array(sd.stop_gradient(y)))
        return np.sum(np.real(y))

    sd.grad(keep)(x)
    return seen[0]


def of(name: str, settings: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda x: getattr(np.fft, name)(x, **settings)


def as_pair(f: Callable[[Any], Any], x: Any) -> tuple[Callable[[Any], Any], list[Any]]:
    """Make a real function of real arrays out of one of a real or complex array."""
    y = f(x)
    weights = np.random.default_rng(1).normal(size=(2, *y.shape))

    def scalar(*parts: Any) -> Any:
        z = f(parts[0] if len(parts) == 1 else parts[0] + 1j * parts[1])
        # Not linear, so that there is a second derivative.
        return np.sum(weights[0] * np.real(z) ** 2 + weights[1] * np.sin(np.imag(z)))

    return scalar, [x] if x.dtype.kind == "f" else [x.real.copy(), x.imag.copy()]


@pytest.mark.parametrize(("name", "key", "settings"), CASES, ids=IDS)
@pytest.mark.parametrize("single", [False, True], ids=["double", "single"])
def test_values_are_numpys(name: str, key: str, settings: dict[str, Any], single: bool) -> None:
    x = {**REAL, **COMPLEX}[key]
    if single:
        x = x.astype(np.complex64 if x.dtype.kind == "c" else np.float32)
    expected, found = of(name, settings)(x), traced_once(of(name, settings), x)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("name", "key", "settings"), CASES, ids=IDS)
def test_derivatives(name: str, key: str, settings: dict[str, Any]) -> None:
    scalar, parts = as_pair(of(name, settings), {**REAL, **COMPLEX}[key])
    numbers = tuple(range(len(parts)))
    direction = [np.random.default_rng(2).normal(size=part.shape) for part in parts]
    step = 1e-5

    def along(function: Callable[..., Any]) -> Any:
        up, down = (
            function(*(p + sign * step * d for p, d in zip(parts, direction, strict=True)))
            for sign in (1, -1)
        )
        return up, down

    up, down = along(scalar)
    gradient = sd.grad(scalar, numbers)(*parts)
    slope = sum(np.sum(g * d) for g, d in zip(gradient, direction, strict=True))
    assert slope == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-7)
    _, tangent = sd.jvp(scalar, tuple(parts), tuple(direction))
    assert tangent == pytest.approx(slope, rel=1e-10, abs=1e-10)

    def slope_at(*parts: Any) -> Any:
        gradient = sd.grad(scalar, numbers)(*parts)
        return sum(np.sum(g * d) for g, d in zip(gradient, direction, strict=True))

    up, down = along(slope_at)
    curvature = sum(
        np.sum(g * d) for g, d in zip(sd.grad(slope_at, numbers)(*parts), direction, strict=True)
    )
    assert curvature == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("axes", [None, 0, -1, (0, 1)])
@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
def test_shifts(name: str, axes: Any) -> None:
    x = RNG.normal(size=(4, 5))
    function = getattr(np.fft, name)
    assert traced_once(lambda x: function(x, axes), x).tolist() == function(x, axes).tolist()
    weights = RNG.normal(size=(4, 5))
    gradient = sd.grad(lambda x: np.sum(weights * function(x, axes)))(x)
    inverse = np.fft.ifftshift if name == "fftshift" else np.fft.fftshift
    np.testing.assert_array_equal(gradient, inverse(weights, axes))


def test_single_precision_stays() -> None:
    x = RNG.normal(size=8).astype(np.float32)
    gradient = sd.grad(lambda x: np.sum(np.abs(np.fft.rfft(x, 12)) ** 2))(x)
    assert gradient.dtype == np.float32


@pytest.mark.parametrize("engine", ["native", "interpret"])
def test_compiled(engine: str) -> None:
    x = RNG.normal(size=(4, 6))

    def power(x: Any) -> Any:
        return np.sum(np.abs(np.fft.rfft2(x) * np.fft.fftfreq(4)[:, np.newaxis]) ** 2)

    np.testing.assert_allclose(
        sd.compile(sd.grad(power), engine=engine)(x), sd.grad(power)(x), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: np.fft.fft(x, 0), ValueError),
        (lambda x: np.fft.irfft(x[:1]), ValueError),
        (lambda x: np.fft.fft(x, axis=1), IndexError),
        (lambda x: np.fft.rfft(x + 1j), TypeError),
        (lambda x: of("fft", {"norm": "none"})(x), ValueError),
        (lambda x: np.fft.fftn(x, (2, 2), (0,)), ValueError),
    ],
)
def test_errors_are_numpys(call: Callable[[Any], Any], error: type[Exception]) -> None:
    x = RNG.normal(size=4)
    for function in (call, lambda x: traced_once(call, x)):
        with pytest.raises(error):
            function(x)


SIZES: tuple[Any, ...] = (0, 1, 2, (2, 7))
MODES: dict[str, list[dict[str, Any]]] = {
    "linear_ramp": [{}, {"end_values": 3.0}, {"end_values": ((1.0, -2.0),)}],
    "maximum": [{}, {"stat_length": 2}, {"stat_length": ((1, 9),)}],
    "mean": [{}, {"stat_length": 2}],
    "median": [{}, {"stat_length": 3}],
    "minimum": [{}, {"stat_length": 1}],
    "reflect": [{"reflect_type": "odd"}, {"reflect_type": "even"}],
    "symmetric": [{"reflect_type": "odd"}],
    "wrap": [{}],
    "edge": [{}],
    "constant": [{"constant_values": 2.5}],
}
PADDED: list[tuple[tuple[int, ...], Any, str, dict[str, Any]]] = [
    (shape, width, mode, settings)
    for mode, several in MODES.items()
    for settings in several
    for shape in ((4,), (3, 2), (1,))
    for width in SIZES
]
# Complex numbers have no order that NumPy differentiates by.
UNORDERED = ("maximum", "minimum", "median")
PADDED_AS = [
    (*case, dtype)
    for case in PADDED
    for dtype in ("f4", "f8", "c16")
    if dtype != "c16" or case[2] not in UNORDERED
]


@pytest.mark.parametrize(("shape", "width", "mode", "settings", "dtype"), PADDED_AS)
def test_padding(
    shape: tuple[int, ...], width: Any, mode: str, settings: dict[str, Any], dtype: str
) -> None:
    x = np.random.default_rng(3).normal(size=shape).astype(dtype)
    if dtype == "c16":
        x = x * (1 + 0.5j)

    def pad(x: Any) -> Any:
        numpy_pad: Any = np.pad
        return numpy_pad(x, width, mode, **settings)

    expected, found = pad(x), traced_once(pad, x)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "f4" else 1e-13)
    if dtype == "f8":
        weights = np.random.default_rng(4).normal(size=expected.shape)
        gradient = sd.grad(lambda x: np.sum(weights * pad(x)))(x)
        direction = np.random.default_rng(5).normal(size=shape)
        step = 1e-6
        slope = np.sum(weights * (pad(x + step * direction) - pad(x - step * direction)))
        assert np.sum(gradient * direction) == pytest.approx(slope / (2 * step), rel=1e-6, abs=1e-8)
