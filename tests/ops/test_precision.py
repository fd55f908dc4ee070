"""Derivatives of element-wise functions in half and single precision, at all magnitudes.

A rule in a narrow type is compared with the same rule in double precision at the same point, where
the derivative itself is a normal number of the narrow type: nothing inside may overflow, underflow
or cancel.
"""

from __future__ import annotations

import numpy as np
import pytest

import steepest as sd
from steepest.ops import primitive_of_ufunc

UNARY = [
    ufunc
    for name in dir(np)
    if isinstance(ufunc := getattr(np, name), np.ufunc)
    and (ufunc.nin, ufunc.nout) == (1, 1)
    and (entry := primitive_of_ufunc(ufunc)) is not None
    and entry.differentiable
]

LARGER_ERRORS = {
    # 1 - tanh² from the result, which costs no exponential: exact compared with the slope at 0.
    "tanh": "absolute",
    # Where cos and sin are near 0, the derivative is as ill-conditioned as they are.
    "tan": "condition",
}


def points(dtype: type[np.floating]) -> np.ndarray:
    limits = np.finfo(dtype)
    exponents = np.linspace(np.log2(float(limits.tiny)), np.log2(float(limits.max)) - 0.01, 400)
    magnitudes = np.concatenate([2**exponents, np.linspace(0.01, 10, 300)])
    return np.concatenate([-magnitudes[::-1], magnitudes]).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32], ids=["float16", "float32"])
@pytest.mark.parametrize("ufunc", dict.fromkeys(UNARY), ids=lambda each: each.__name__)
def test_slopes_at_all_magnitudes(ufunc: np.ufunc, dtype: type[np.floating]) -> None:
    x = points(dtype)
    limits = np.finfo(dtype)
    slope = sd.elementwise_grad(ufunc)
    with np.errstate(all="ignore"):
        value = ufunc(x)
        narrow = slope(x)
        wide = slope(x.astype(np.float64))
    assert narrow.dtype == dtype
    size = np.abs(wide)
    usable = np.isfinite(value) & np.isfinite(wide)
    usable &= (size >= 4 * float(limits.tiny)) & (size <= 0.9 * float(limits.max))
    assert np.count_nonzero(usable) >= 100
    error = np.abs(narrow[usable].astype(np.float64) - wide[usable])
    unit = float(limits.eps)
    allowed = 8 * unit * size[usable]
    kind = LARGER_ERRORS.get(ufunc.__name__)
    if kind == "absolute":
        allowed = np.maximum(allowed, 8 * unit)
    elif kind == "condition":
        allowed = allowed * 4
    worst = np.argmax(error / allowed)
    assert np.all(error <= allowed), (x[usable][worst], narrow[usable][worst], wide[usable][worst])


@pytest.mark.parametrize("dtype", [np.float16, np.float32], ids=["float16", "float32"])
@pytest.mark.parametrize(
    "ufunc", [np.arctan2, np.hypot, np.logaddexp], ids=["arctan2", "hypot", "logaddexp"]
)
def test_slopes_of_two_arguments_neither_overflow_nor_underflow(
    ufunc: np.ufunc, dtype: type[np.floating]
) -> None:
    limits = np.finfo(dtype)
    magnitudes = np.array([float(limits.tiny) * 8, 1e-2, 1.0, 30.0, float(limits.max) / 8])
    x, y = (each.ravel().astype(dtype) for each in np.meshgrid(magnitudes, magnitudes))
    with np.errstate(all="ignore"):
        for position in (0, 1):
            slope = sd.grad(lambda x, y: np.sum(ufunc(x, y)), argnums=position)
            narrow, wide = slope(x, y), slope(x.astype(np.float64), y.astype(np.float64))
            size = np.abs(wide)
            usable = (size >= 4 * float(limits.tiny)) & (size <= 0.9 * float(limits.max))
            np.testing.assert_allclose(narrow[usable], wide[usable], rtol=32 * float(limits.eps))
            assert np.all(np.isfinite(narrow[np.isfinite(wide) & (size < float(limits.max))]))


def test_slopes_at_infinite_arguments() -> None:
    x = np.array([np.inf, -np.inf, 1.0, -2.5, np.inf, 0.0, -np.inf])
    y = np.array([0.0, -3.0, np.inf, -np.inf, np.inf, -np.inf, -0.0])
    with np.errstate(invalid="ignore"):  # The sum of infinities of both signs.
        by_copysign = sd.grad(lambda x: np.sum(np.copysign(x, y)))(x)
    by_arctan2 = sd.grad(lambda x, y: np.sum(np.arctan2(x, y)), argnums=(0, 1))(x, y)
    np.testing.assert_array_equal(by_arctan2, np.zeros((2, 7)))
    np.testing.assert_array_equal(by_copysign, [1, 1, 1, 1, 1, -1, 1])
