from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from steepest.numeric.directions import exact_direction, scales_by_entry, typical_scale
from steepest.numeric.evaluate import Parameter
from steepest.numeric.noise import ladder_noise
from steepest.numeric.precision import NATIVE
from steepest.numeric.smoothness import diverges, jump, step_height
from steepest.numeric.stencils import estimate_slope, is_settled, stages

STEPS: NDArray[np.float64] = np.power(8.0, np.arange(-12, 1))
NOISE = np.array(1e-16)


def differences(f, x=0.0) -> tuple[Any, Any]:
    with np.errstate(all="ignore"):
        return f(x + STEPS) - f(x), f(x - STEPS) - f(x)


@pytest.mark.parametrize(
    ("f", "x", "slope"),
    [
        (np.exp, 0.0, 1.0),
        (np.sin, 1.0, np.cos(1.0)),
        (np.sqrt, 0.5, 0.5**0.5),
        (lambda x: np.sin(100 * x), 0.3, 100 * np.cos(30.0)),
        # Smooth from afar, with a structure at 1e-6 that only fine steps see.
        (lambda x: np.sqrt(x**2 + 1e-12), 1e-6, 0.5**0.5),
        (lambda x: np.maximum(x - 1e-7, 0), 0.0, 0.0),
        (lambda x: x**2 + 1e-3 * np.tanh(1e5 * x), 0.0, 100.0),
    ],
)
def test_slope_within_its_bound(f, x, slope):
    estimate = estimate_slope(STEPS, *differences(f, x), NOISE)
    assert abs(estimate.value - slope) <= estimate.bound
    assert estimate.bound <= 1e-5 * max(abs(slope), 0.1)


@pytest.mark.parametrize("seed", range(20))
def test_bound_under_noise(seed):
    generator = np.random.default_rng(seed)
    forward, backward = differences(np.sin, 1.0)
    forward = forward + 1e-6 * generator.uniform(-1, 1, len(STEPS))
    backward = backward + 1e-6 * generator.uniform(-1, 1, len(STEPS))
    estimate = estimate_slope(STEPS, forward, backward, np.array(2e-6))
    assert abs(estimate.value - np.cos(1.0)) <= estimate.bound < 1e-2


def test_one_sided_where_the_other_side_is_not_defined():
    estimate = estimate_slope(STEPS, *differences(lambda x: np.sqrt(x) * x), NOISE)
    assert estimate.one_sided
    assert abs(estimate.value) <= estimate.bound
    smooth = estimate_slope(
        STEPS, *differences(lambda x: np.where(x < 0, np.nan, np.exp(x))), NOISE
    )
    assert smooth.one_sided
    assert abs(smooth.value - 1) <= smooth.bound < 1e-5


def test_nowhere_defined():
    estimate = estimate_slope(STEPS, *differences(lambda x: np.where(x == 0, x, np.nan)), NOISE)
    assert estimate.bound == np.inf


def test_several_functions_at_once():
    forward, backward = np.expm1(STEPS), np.expm1(-STEPS)
    both = estimate_slope(
        STEPS, np.stack([forward, 2 * forward], 1), np.stack([backward, 2 * backward], 1), NOISE
    )
    np.testing.assert_allclose(both.value, [1, 2], atol=1e-10)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (np.abs, 2.0),
        (lambda x: np.maximum(x, 0), 1.0),
        (lambda x: np.abs(x) * np.exp(x), 2.0),
        (lambda x: x**2 + 1e-3 * np.abs(x), 2e-3),
        (np.exp, 0.0),
        (lambda x: np.abs(x) ** 1.5, 0.0),
        (lambda x: np.abs(x - 1e-7), 0.0),
        (lambda x: np.abs(x + 1e-9), 0.0),
        (lambda x: np.sqrt(x**2 + 1e-14), 0.0),
        (lambda x: x * np.abs(x), 0.0),
    ],
)
def test_jump_of_the_slope(f, expected):
    assert jump(STEPS, *differences(f), NOISE) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (np.cbrt, True),
        (lambda x: np.sqrt(np.abs(x)), True),
        (lambda x: np.sign(x) * np.abs(x) ** 0.9, True),
        (lambda x: x * np.log(np.abs(x) + (x == 0)), True),
        (np.sqrt, True),
        (np.exp, False),
        (np.abs, False),
        (lambda x: np.abs(x) ** 1.5, False),
        (lambda x: np.cbrt(x + 1e-5), False),
        (lambda x: np.tanh(1e5 * x), False),
    ],
)
def test_divergence(f, expected):
    assert diverges(STEPS, *differences(f), NOISE) == expected


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (np.sign, 2.0),
        (np.floor, 1.0),
        (lambda x: np.where(x > 0, 1.0, 0) + x, 1.0),
        (np.exp, 0.0),
        (np.abs, 0.0),
        (lambda x: np.floor(x + 0.5), 0.0),
        # A grain of single precision is no step.
        (lambda x: 1 + np.where(x > 0, 6e-8, 0) + x, 0.0),
    ],
)
def test_step_of_the_function(f, expected):
    assert step_height(STEPS, *differences(f), NOISE) == pytest.approx(expected, rel=1e-2)


def test_noise_of_single_precision_is_seen():
    forward, backward = differences(
        lambda x: np.sin(np.asarray(x + 1.0, np.float32)).astype(np.float64)
    )
    noise = ladder_noise(STEPS, forward, backward, NOISE, np.array(1.0))
    assert 1e-8 < noise < 1e-6


def test_flat_functions_have_no_noise():
    forward, backward = differences(lambda x: np.maximum(x - 0.5, 0))
    assert ladder_noise(STEPS, forward, backward, NOISE, np.array(1.0)) == NOISE


def test_unsettled_below_the_finest_step():
    assert is_settled(STEPS, *differences(np.exp), NOISE)
    assert not is_settled(STEPS, *differences(lambda x: np.sin(1e12 * x)), NOISE)


@pytest.mark.parametrize("bits", [8, 11, 24, 53, 64, 113])
def test_stages_name_each_exponent_once(bits):
    deepest = (bits - min(8, bits // 2)) // 3
    exponents = [k for stage in stages(bits, deepest) for k in stage]
    assert len(exponents) == len(set(exponents))
    assert max(exponents) == deepest
    assert min(exponents) < 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_steps_are_exact(dtype):
    generator = np.random.default_rng(0)
    x = (generator.normal(size=100) * 10.0 ** generator.uniform(-2, 2, 100)).astype(dtype)
    x[0] = 0
    parameter = Parameter.from_leaf(0, "x", x)
    wanted = scales_by_entry(parameter) * generator.uniform(0.5, 1.5, 100)
    direction = exact_direction(parameter, wanted, NATIVE)
    np.testing.assert_allclose(direction, wanted, rtol=0.1)
    for exponent in range(NATIVE.deepest_exponent(x.dtype) + 1):
        step = (8.0**-exponent * direction).astype(dtype)
        for moved in (x + step, x - step):
            made = np.abs(moved.astype(np.longdouble) - x)
            same_power = np.frexp(moved)[1] <= np.frexp(x)[1]
            assert np.count_nonzero(same_power) > 25
            assert np.all((made == np.abs(step))[same_power])
        assert np.all(step.astype(np.longdouble) == direction * np.longdouble(8.0) ** -exponent)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3.0, -4.0], 3.5355339), ([0.0, 0.0], 1.0), ([1e200, 1e200], 1e200), ([], 1.0)],
)
def test_typical_scale(values, expected):
    parameter = Parameter.from_leaf(0, "x", np.array(values))
    assert typical_scale(parameter) == pytest.approx(expected)


def test_scale_of_subnormal_values_is_the_typical_one():
    parameter = Parameter.from_leaf(0, "x", np.array([5e-324, 1.0]))
    assert scales_by_entry(parameter)[0] == typical_scale(parameter)
