"""Complex functions along their branch cuts, where a zero has a sign that says on which side."""

from __future__ import annotations

import cmath
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import steepest as sd

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    **{
        name: getattr(np, name)
        for name in (
            "sqrt", "log", "log2", "log10", "log1p", "arcsin", "arccos", "arctan", "arcsinh",
            "arccosh", "arctanh", "angle",
        )
    },
    "power": lambda z: z**0.3,
    "complex power": lambda z: z ** (0.3 + 0.7j),
    "power of a negative base": lambda z: (-0.7) ** z,
    "power of a negative array": lambda z: np.array([-0.7, 2.0]) ** z,
    "float_power": lambda z: np.float_power(z, 1.5),
}  # fmt: skip


@pytest.mark.parametrize("zero", [0.0, -0.0, 0.4])
@pytest.mark.parametrize("axis", ["real", "imaginary"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_slope_along_a_cut_is_that_of_its_side(name: str, axis: str, zero: float) -> None:
    def component(t: Any) -> Any:
        z = np.empty((), complex)
        z.real, z.imag = (t, zero) if axis == "real" else (zero, t)
        result = FUNCTIONS[name](z)
        return np.sum(1.3 * np.real(result) + 0.7 * np.imag(result))

    for t in (-2.5, -0.6, 0.6, 2.5):
        step = 1e-6
        expected = (component(t + step) - component(t - step)) / (2 * step)
        assert cmath.isclose(sd.grad(component)(t), expected, rel_tol=1e-6, abs_tol=1e-8), t
        _, tangent = sd.jvp(component, (t,), (1.0,))
        assert cmath.isclose(tangent, expected, rel_tol=1e-6, abs_tol=1e-8), t


def test_total_reflection() -> None:
    """Beyond the critical angle the angle of refraction is complex."""

    def reflectance(angle: Any) -> Any:
        inside = np.arcsin(1.5 * np.sin(angle) + 0j)
        fresnel = -np.sin(angle - inside) / np.sin(angle + inside)
        return np.angle(fresnel)

    assert sd.check_gradient(reflectance, 1.1).verdict == "correct"


def test_real_numbers_keep_their_infinite_slopes() -> None:
    with np.errstate(divide="ignore"):
        slopes = sd.grad(lambda x: np.sum(np.arcsin(x) - 2 * np.arccos(x)))(np.array([1.0, -1.0]))
    np.testing.assert_array_equal(slopes, [np.inf, np.inf])
