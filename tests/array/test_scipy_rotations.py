"""Rotations of scipy.spatial.transform: SciPy's values, and derivatives of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial import transform
from tests.array.scipy_calls import check

import steepest as sd
from steepest.errors import UnsupportedError

R: Any = transform.Rotation
rng = np.random.default_rng(0)
V = rng.normal(size=(4, 3))
Q = rng.normal(size=(3, 4))
IS_PYTHON = not hasattr(R, "__reduce_cython__")

CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "from_rotvec": (lambda v: R.from_rotvec(v).as_matrix(), V),
    "from_rotvec of one": (lambda v: R.from_rotvec(v).apply(V), V[0]),
    "from_rotvec in degrees": (lambda v: R.from_rotvec(v * 50, degrees=True).as_quat(), V),
    "from_rotvec near 0": (lambda v: R.from_rotvec(v * 1e-4).as_matrix(), V),
    "as_rotvec": (lambda v: R.from_rotvec(v * 1.5).as_rotvec(), V),
    "as_rotvec at 0": (lambda v: R.from_rotvec(v - V).as_rotvec(), V),
    "magnitude": (lambda v: R.from_rotvec(v * 1.5).magnitude(), V),
    "apply": (lambda x: R.from_rotvec(V[0]).apply(x), V),
    "apply back": (lambda x: R.from_rotvec(V).apply(x, inverse=True), V),
    "product": (lambda v: (R.from_rotvec(V) * R.from_rotvec(v)).as_matrix(), V[::-1]),
    "product, back": (lambda v: (R.from_rotvec(v) * R.from_rotvec(V)).inv().as_matrix(), V[::-1]),
    "from_quat": (lambda q: R.from_quat(q).as_matrix(), Q),
    "as_quat": (
        lambda q: R.from_quat(q, scalar_first=True).as_quat(canonical=True, scalar_first=True),
        Q,
    ),
    "from_euler": (lambda a: R.from_euler("xyz", a).as_matrix(), V),
    "from_euler of moving axes": (
        lambda a: R.from_euler("ZYX", a * 50, degrees=True).as_matrix(),
        V,
    ),
    "from_euler of one angle": (lambda a: R.from_euler("z", a[0]).as_matrix(), V[0]),
    "some": (lambda v: R.from_rotvec(v)[1:3].as_matrix(), V),
}


@pytest.mark.skipif(not IS_PYTHON, reason="this SciPy has the class in compiled code")
@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    check(*CALLS[name], single=False)


@pytest.mark.parametrize(
    "call",
    [
        lambda v: R.from_matrix(np.outer(v, v)).as_quat(),
        lambda v: R.from_rotvec(v).as_euler("xyz"),
        lambda v: R.from_rotvec(v).mean().as_quat(),
    ],
)
def test_refusals(call: Callable[[Any], Any]) -> None:
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda v: np.sum(call(v)))(V[0])
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead
