"""The promise of the error bound, on random functions whose derivatives are known.

The normal run draws 500 functions; ``pytest -m soak tests/numeric/test_error_bound.py`` draws
100,000, in about half an hour on one core, and prints (with ``-s``) how often the bound failed.
Each function follows from its number alone. ``BOUND_DRAWS=39500:100000`` draws a part of them, so
that a run can be continued, or parted among cores.
"""

import os
from collections import Counter

import numpy as np
import pytest
from tests.numeric.random_functions import DTYPES, draw

from steepest.numeric import numerical_gradient, numerical_hessian, numerical_jacobian

PROMISED = 0.999
# Beyond this part of the derivative a bound is of little use.
USEFUL = 0.1


def count(seeds, **options):
    """Count derivatives, those outside of their bounds, and those with a useful bound."""
    counts: Counter[str] = Counter()
    failed = []
    for seed in seeds:
        drawn = draw(seed)
        result = numerical_gradient(drawn, drawn.x, **options)
        wide = np.result_type(drawn.exact.dtype, result.value.dtype)
        error = np.abs(result.value.astype(wide) - drawn.exact)
        outside = ~(error <= result.error + drawn.doubt) & np.isfinite(result.error)
        counts[f"{drawn.dtype} entries"] += outside.size
        counts["entries"] += outside.size
        counts["outside"] += int(outside.sum())
        counts["useful"] += int((result.error <= USEFUL * np.abs(drawn.exact)).sum())
        if outside.any():
            failed.append(f"seed {seed}: {drawn}")
    return counts, failed


@pytest.mark.filterwarnings("ignore")
def test_bounds_hold_on_random_functions():
    counts, failed = count(range(500))
    assert all(counts[f"{dtype} entries"] > 50 for dtype in DTYPES)
    # So few draws may have two more than their share.
    assert counts["outside"] <= (1 - PROMISED) * counts["entries"] + 2, "\n".join(failed)
    assert counts["useful"] >= 0.9 * counts["entries"]


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_bounds_hold_on_very_many_random_functions():
    first, last = map(int, os.environ.get("BOUND_DRAWS", "0:100000").split(":"))
    counts, failed = count(range(1_000_000 + first, 1_000_000 + last))
    print(dict(counts), *failed, sep="\n")
    assert counts["outside"] <= (1 - PROMISED) * counts["entries"]
    assert counts["useful"] >= 0.9 * counts["entries"]


@pytest.mark.parametrize("method", ["central", "forward", "backward"])
@pytest.mark.filterwarnings("ignore")
def test_bounds_of_one_step(method):
    """Two steps show less than a ladder: no more is promised of these methods."""
    counts, failed = count(range(300), method=method)
    assert counts["outside"] <= 0.1 * counts["entries"], "\n".join(failed)


@pytest.mark.filterwarnings("ignore")
def test_bounds_of_hessians():
    """The Hessian against the derivative of the gradient, both numerical."""
    outside = entries = 0
    for seed in range(80):
        drawn = draw(seed)
        if drawn.dtype != "float64":
            continue
        hessian = numerical_hessian(drawn, drawn.x)
        step = 2.0**-12 * np.where(drawn.x == 0, 1.0, np.abs(drawn.x))
        for i in range(drawn.x.size):
            sides = [
                drawn.gradient_at(drawn.x + side * step[i] * np.eye(drawn.x.size)[i])
                for side in (1, -1, 2, -2)
            ]
            with np.errstate(all="ignore"):
                near = (sides[0] - sides[1]) / (2 * step[i])
                far = (sides[2] - sides[3]) / (4 * step[i])
                expected = near + (near - far) / 3
                doubt = np.abs(near - far) / 3
            known = np.isfinite(expected) & np.isfinite(hessian.error[i])
            off = np.abs(hessian.value[i] - expected) > hessian.error[i] + doubt.astype(float)
            outside += int((off & known).sum())
            entries += int(known.sum())
    assert entries > 80
    assert outside <= 0.01 * entries


def single(f):
    """A function that computes in single precision, and whose result does not show it."""
    return lambda x: 1.25 * np.float64(f(x.astype(np.float32)))


@pytest.mark.parametrize(
    ("f", "x", "exact", "within"),
    [
        # Oscillation far below the size of x, which only the finest steps see.
        (lambda x: np.sum(np.cos(x)), [1.7e9 + 0.5], [-np.sin(1.7e9 + 0.5)], 1e-4),
        # Sums whose rounding is odd about x, and hides from second differences.
        (lambda x: np.sum(x - 0.75), [-4.25e-4, 49.7, -47.2], [1.0, 1.0, 1.0], 1e-6),
        # Stairs of single precision, small and large beside f.
        (single(lambda x: np.sum(np.sin(x))), [0.3, 2.0], 1.25 * np.cos([0.3, 2.0]), 1e-2),
        (single(lambda x: np.sum(np.cos(x))), [-67.85650635], [1.25 * np.sin(67.85650635)], 0.1),
        # Stairs of the function itself: its slope is zero.
        (lambda x: np.sum(np.round(x, 3)), [0.4004, 7.0001], [0.0, 0.0], np.inf),
        # Not resolved by double precision: no number is better than a wrong one.
        (lambda x: np.sum(np.sin(x**9)), [53.1], [np.nan], np.inf),
        # Defined at x and here and there beside it.
        (lambda x: np.sum(np.log(np.sin(1e18 * x))), [3.5], [np.nan], np.inf),
    ],
)
def test_what_once_fell_outside(f, x, exact, within):
    result = numerical_gradient(f, np.array(x))
    unknown = np.isnan(exact)
    assert np.all(np.isinf(result.error[unknown]))
    inside = np.abs(result.value - exact) <= result.error
    assert np.all(inside | unknown), (result, exact)
    if np.isfinite(within):
        assert np.all(result.error <= within * np.max(np.abs(exact)))


def test_values_below_the_least_number_of_the_dtype():
    x = np.array([-9.2, -2.4e-3], dtype=np.float16)
    result = numerical_gradient(lambda x: 1e-9 * np.sum(x**2), x)
    assert np.all(np.abs(result.value - 2e-9 * x.astype(float)) <= result.error)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_errors_of_jacobians_hold_their_rounding(dtype):
    x = np.array([0.1, 0.7], dtype=dtype)
    result = numerical_jacobian(np.exp, x)
    assert np.all(np.abs(result.value - np.diag(np.exp(x.astype(float)))) <= result.error)
