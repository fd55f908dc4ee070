"""Step sizes against their formulas, and in a run."""

import math
import pickle

import numpy as np
import pytest

from steepest.descend import descend, step_sizes
from steepest.errors import BadInputError

CASES = {
    "constant": (step_sizes.constant(0.3), lambda t: 0.3),
    "exponential_decay": (
        step_sizes.exponential_decay(0.5, decay=0.9, steps=4),
        lambda t: 0.5 * 0.9 ** (t / 4),
    ),
    "inverse_time_decay": (
        step_sizes.inverse_time_decay(0.5, decay=2.0, steps=4),
        lambda t: 0.5 / (1 + 2 * t / 4),
    ),
    "cosine_decay": (
        step_sizes.cosine_decay(0.5, steps=8, final=0.1),
        lambda t: 0.1 + 0.2 * (1 + math.cos(math.pi * min(t, 8) / 8)),
    ),
    "piecewise_constant": (
        step_sizes.piecewise_constant([3, 7], [0.5, 0.2, 0.1]),
        lambda t: 0.5 if t < 3 else 0.2 if t < 7 else 0.1,
    ),
    "warmup": (
        step_sizes.warmup(step_sizes.cosine_decay(0.5, steps=8), steps=4),
        lambda t: (
            0.5 * (t + 1) / 4 if t < 4 else 0.25 * (1 + math.cos(math.pi * min(t - 4, 8) / 8))
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_formula(name):
    schedule, formula = CASES[name]
    for step in range(20):
        assert float(schedule(step)) == pytest.approx(formula(step), rel=1e-14, abs=1e-16)


@pytest.mark.parametrize("name", CASES)
def test_an_array_of_steps_gives_an_array_of_sizes(name):
    schedule, formula = CASES[name]
    expected = [formula(step) for step in range(20)]
    np.testing.assert_allclose(np.broadcast_to(schedule(np.arange(20)), 20), expected, atol=1e-16)


@pytest.mark.parametrize("name", CASES)
def test_schedules_pickle_compare_and_print(name):
    schedule, _ = CASES[name]
    twin = pickle.loads(pickle.dumps(schedule))
    assert float(twin(5)) == float(schedule(5))
    assert repr(twin) == repr(schedule)
    assert repr(schedule).startswith(f"{name}(")


@pytest.mark.parametrize("name", CASES)
def test_descend_asks_for_each_size_in_turn(name):
    schedule, formula = CASES[name]
    result = descend(lambda w: w, 1.0, step_size=schedule, steps=12)
    # The gradient is 1.
    assert result.weights == pytest.approx(1 - sum(formula(step) for step in range(12)))


def test_float32_weights_stay_float32_under_a_schedule_of_float64():
    result = descend(
        lambda w: np.sum(w**2),
        np.ones(3, np.float32),
        step_size=lambda step: np.float64(0.1),
        steps=2,
    )
    assert result.weights.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: step_sizes.constant(-0.1), "finite and not negative, and is -0.1"),
        (lambda: step_sizes.constant(math.nan), "and is nan"),
        (lambda: step_sizes.constant(True), "must be a number, not True"),
        (lambda: step_sizes.exponential_decay(0.1, decay=0, steps=1), "decay must be positive"),
        (lambda: step_sizes.cosine_decay(0.1, steps=0), "steps must be positive"),
        (lambda: step_sizes.piecewise_constant([1], [0.1]), "1 boundaries part 2 values"),
        (lambda: step_sizes.piecewise_constant([2, 2], [1, 2, 3]), "must increase"),
        (lambda: step_sizes.warmup(0.1, steps=0), "steps must be positive"),
        (lambda: step_sizes.warmup(math.inf, steps=3), "and is inf"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(BadInputError, match=message):
        make()


@pytest.mark.parametrize("value", ["0.1", None, 1j, np.ones(2), [0.1]])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(BadInputError, match="value must be a number, not "):
        step_sizes.constant(value)
