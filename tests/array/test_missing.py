"""Functions that pass over NaN: NumPy's values, and derivatives that never see it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.conformity import Case, parameters

import steepest as sd

RNG = np.random.default_rng(3)
VECTOR = RNG.uniform(-2, 2, 9)
MATRIX = RNG.uniform(-2, 2, (3, 4))
BLOCK = RNG.uniform(-2, 2, (2, 3, 4))
COMPLEX = RNG.uniform(-2, 2, 5) + 1j * RNG.uniform(-2, 2, 5)
MASK = np.array([[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 1, 1]], bool)

TOTALS = (np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd)
EXTREMA = (np.nanmax, np.nanmin)
RUNNING = (np.nancumsum, np.nancumprod)

CASES = {
    **{
        f"{f.__name__} {axis} {keepdims}": Case(
            lambda x, f=f, axis=axis, keepdims=keepdims: f(x, axis=axis, keepdims=keepdims),
            (BLOCK,),
        )
        for f in (*TOTALS, *EXTREMA)
        for axis, keepdims in ((None, False), (0, True), ((0, 2), False))
    },
    **{
        f"{f.__name__} {np.asarray(x).dtype.char}{np.ndim(x)}": Case(f, (x,))
        for f in (*TOTALS, *EXTREMA, *RUNNING)
        for x in (VECTOR.astype(np.float32), VECTOR.astype(np.float16), COMPLEX, np.float64(1.5))
    },
    **{
        f"{f.__name__} where": Case(lambda x, f=f: f(x, axis=0, where=MASK), (MATRIX,))
        for f in TOTALS
    },
    **{
        f"{f.__name__} initial": Case(
            lambda x, f=f: f(x, axis=0, initial=0.5, where=MASK), (MATRIX,)
        )
        for f in (np.nansum, np.nanprod, *EXTREMA)
    },
    **{
        f"{f.__name__} {name}": Case(call, args, unseen=unseen)
        for f in (np.nanvar, np.nanstd)
        for name, call, args, unseen in (
            ("ddof", lambda x, f=f: f(x, axis=0, ddof=1), (MATRIX,), ()),
            ("correction", lambda x, f=f: f(x, axis=0, correction=1, keepdims=True), (MATRIX,), ()),
            ("mean", lambda x, m, f=f: f(x, axis=0, mean=m), (MATRIX, MATRIX[:1] / 3), (1,)),
        )
    },
    **{
        f"{f.__name__} axis={axis}": Case(lambda x, f=f, axis=axis: f(x, axis=axis), (MATRIX,))
        for f in RUNNING
        for axis in (None, 0, 1)
    },
    "nansum dtype": Case(lambda x: np.nansum(x, dtype=np.float64), (VECTOR.astype(np.float32),)),
}


@parameters(CASES)
def test_values_are_numpys(case: Case) -> None:
    case.check_values()


@parameters(CASES)
def test_values_are_numpys_for_special_numbers(case: Case) -> None:
    case.check_special_values()


@parameters(CASES)
def test_derivatives(case: Case) -> None:
    case.check_derivatives()


@pytest.mark.parametrize("call", [*TOTALS, *EXTREMA, np.nanmedian], ids=lambda f: f.__name__)
def test_what_is_missing_has_no_derivative_and_takes_none_away(call: Any) -> None:
    whole = np.array([3.0, 1.0, 2.5])
    holes = np.array([3.0, np.nan, 1.0, np.nan, 2.5])
    gradient = sd.grad(call)(holes)
    np.testing.assert_array_equal(gradient[[1, 3]], 0)
    np.testing.assert_allclose(gradient[[0, 2, 4]], sd.grad(call)(whole), rtol=1e-12)
    np.testing.assert_allclose(sd.compile(sd.grad(call))(holes), gradient, rtol=1e-12)
    hessian = sd.hessian(call)(holes)
    np.testing.assert_array_equal(hessian[[1, 3]], 0)
    np.testing.assert_allclose(
        hessian[np.ix_([0, 2, 4], [0, 2, 4])], sd.hessian(call)(whole), rtol=1e-10, atol=1e-12
    )
