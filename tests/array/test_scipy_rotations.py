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


def angles(seq: str) -> tuple[Callable[[Any], Any], Any]:
    return lambda v: R.from_rotvec(v).as_euler(seq, degrees=True), V


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
    "from_matrix": (lambda v: R.from_matrix(R.from_rotvec(v).as_matrix()).as_quat(), V),
    "from_matrix that is no rotation": (
        lambda v: R.from_matrix(np.eye(3) + v[:3] / 5).as_rotvec(),
        V,
    ),
    **{f"as_euler, {seq}": angles(seq) for seq in ("xyz", "ZXY", "zxz", "YZY")},
    "as_mrp": (lambda v: R.from_rotvec(v * 1.5).as_mrp(), V),
    "from_mrp": (lambda v: R.from_mrp(v).as_quat(), V),
    "concatenate": (
        lambda v: R.concatenate([R.from_rotvec(v), R.from_rotvec(V[0])]).as_matrix(),
        V,
    ),
    "mean": (lambda v: R.from_rotvec(v).mean([1, 2, 3, 1]).as_matrix(), V / 2),
    "power": (lambda v: (R.from_rotvec(v) ** 0.4).as_rotvec(), V),
    "align_vectors": (lambda v: R.align_vectors(v, V + 0.1 * V**2)[0].as_matrix(), V),
    "align_vectors, how far": (lambda v: R.align_vectors(v, V[::-1], [1, 2, 1, 1])[1], V),
    "some": (lambda v: R.from_rotvec(v)[1:3].as_matrix(), V),
}


@pytest.mark.skipif(not IS_PYTHON, reason="this SciPy has the class in compiled code")
@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    check(*CALLS[name], single=False)


@pytest.mark.skipif(not IS_PYTHON, reason="this SciPy has the class in compiled code")
def test_interpolated_rotations() -> None:
    times = np.array([0.3, 1.2, 1.8])

    def by_rotations(v: Any) -> Any:
        return transform.Slerp(np.arange(4.0), R.from_rotvec(v))(times).as_rotvec()

    def by_times(t: Any) -> Any:
        return transform.Slerp(np.arange(4.0), R.from_rotvec(V))(t).as_rotvec()

    check(by_rotations, V, single=False)
    check(by_times, times, compiles=False, single=False)


@pytest.mark.skipif(not IS_PYTHON, reason="this SciPy has the class in compiled code")
@pytest.mark.parametrize(
    "call",
    [
        lambda v: R.from_davenport([0, 0, 1], "e", v[0]).as_quat(),
        lambda v: R.from_rotvec(v).as_davenport(np.eye(3), "e"),
        lambda v: R.from_euler("xyz", [v[0], np.pi / 2, 0]).as_euler("xyz"),
        lambda v: R.align_vectors(v, V[0])[0].as_quat(),
    ],
)
def test_refusals(call: Callable[[Any], Any]) -> None:
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda v: np.sum(call(v)))(V[0])
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead
