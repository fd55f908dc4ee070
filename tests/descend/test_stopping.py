"""Ctrl-C and numbers that are not finite: the run ends with the weights so far, and says why."""

import builtins
import itertools
import math

import numpy as np
import pytest

from steepest.descend import Optimizer, descend
from steepest.descend.diagnose import is_finite
from steepest.errors import NotCompiledWarning

# All that follows holds for both engines.
pytestmark = pytest.mark.usefixtures("engine")

# Interruption


def interrupt_at(number):
    """Make a function that is interrupted the n-th time it is called."""
    calls = itertools.count(1)

    def call(value=None):
        if next(calls) == number:
            raise KeyboardInterrupt
        return value

    return call


def expected_weights(steps):
    return 8.0 / 2**steps


def check_interrupted(result, steps):
    assert result.stopped.code == "interrupted"
    plural = "" if steps == 1 else "s"
    assert result.stopped.message == f"interrupted after {steps} step{plural}"
    assert (result.steps, len(result.losses)) == (steps, steps)
    assert result.weights == expected_weights(steps)


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_in_the_data(steps):
    interrupt = interrupt_at(steps + 1)
    result = descend(
        lambda w, b: np.sum(b * w**2),
        8.0,
        lambda rng: interrupt(np.ones(1)),
        step_size=0.25,
        steps=20,
    )
    check_interrupted(result, steps)


def test_in_the_callback():
    interrupt = interrupt_at(5)
    result = descend(
        lambda w: w**2, 8.0, step_size=0.25, steps=20, callback=lambda info: interrupt()
    )
    check_interrupted(result, 5)


def test_in_the_validation():
    interrupt = interrupt_at(3)
    result = descend(
        lambda w: w**2,
        8.0,
        step_size=0.25,
        steps=20,
        validate=lambda w: interrupt(w),
        validate_every=2,
    )
    check_interrupted(result, 6)
    np.testing.assert_array_equal(result.validation_steps, [2, 4])


def test_in_the_loss():
    interrupt = interrupt_at(6)

    def loss(weights):
        # A value is needed here, so that the loss runs at each step.
        if weights > 0:
            interrupt()
        return weights**2

    with pytest.warns(NotCompiledWarning):
        result = descend(loss, 8.0, step_size=0.25, steps=20)
    check_interrupted(result, 5)


def test_in_the_step_size():
    interrupt = interrupt_at(5)
    result = descend(lambda w: w**2, 8.0, step_size=lambda step: interrupt(0.25), steps=20)
    # The first call checks the schedule.
    check_interrupted(result, 3)


def test_in_the_gradient_check():
    interrupt = interrupt_at(1)

    def loss(weights):
        interrupt()
        return weights**2

    check_interrupted(descend(loss, 8.0, step_size=0.25, steps=20, check=True), 0)


def test_the_best_weights_are_returned_with_patience():
    interrupt = interrupt_at(5)
    result = descend(
        lambda w: w**2,
        8.0,
        step_size=0.25,
        steps=20,
        validate=lambda w: abs(w - 2),
        validate_every=1,
        patience=10,
        callback=lambda info: interrupt(),
    )
    assert (result.stopped.code, result.weights, result.steps) == ("interrupted", 2.0, 5)


# Not finite. NumPy warns of it in the user's loss, as it should.

warns = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def here(offset=0):
    """Line number of the caller."""
    import sys

    return sys._getframe(1).f_lineno + offset


@warns
def test_the_operation_and_the_line_are_named():
    def loss(weights):
        total = np.sum(weights["a"] ** 2)
        return total - np.sum(np.log(weights["b"]))

    line = here(-2)
    weights = {"a": np.ones(2), "b": np.array([1.0, 0.1])}
    result = descend(lambda w: loss(w) + 100 * np.sum(w["b"]), weights, step_size=0.01, steps=5)
    assert result.stopped.code == "not_finite"
    assert result.stopped.operation == "log"
    assert result.stopped.line is not None
    assert result.stopped.line.filename == __file__
    assert result.stopped.line.number == line
    assert result.stopped.parameters == ("b",)
    assert result.stopped.message.startswith(
        "the loss is nan at step 2; log, of a value made of b, is the first operation to give NaN,"
        f" at {__file__}:{line}, in "
    )
    assert (result.steps, len(result.losses)) == (1, 1)
    # The weights are the last finite ones.
    np.testing.assert_allclose(result.weights["b"], [1 - 0.99, 0.1 - 0.9])


@warns
@pytest.mark.parametrize(
    ("loss", "start", "operation", "said"),
    [
        (lambda w: np.sum(np.exp(w)), 1000.0, "exp", "give an infinity"),
        (lambda w: np.sum(np.sqrt(w)), -1.0, "sqrt", "give NaN"),
        (lambda w: np.sum(np.log(w)) + np.sum(np.sqrt(w)), -1.0, "log", "give NaN"),
        (lambda w: np.sum(1 / w), 0.0, "divide", "give an infinity"),
        (
            lambda w: np.sum(np.exp(w) / np.exp(w)),
            1000.0,
            "divide",
            "it came of an infinity: exp, of a value made of weights, is the first",
        ),
        (
            lambda w: np.sum(np.where(w > 0, -np.inf, w) + np.log(-w)),
            1.0,
            "log",
            "give NaN",
        ),
    ],
)
def test_the_first_operation_is_named(loss, start, operation, said):
    result = descend(loss, np.array([start, start]), step_size=0.1, steps=5)
    assert result.stopped.code == "not_finite"
    assert result.stopped.operation == operation
    assert said in result.stopped.message
    assert result.steps == 0
    np.testing.assert_array_equal(result.weights, [start, start])


def test_the_parameter_whose_gradient_is_not_finite_is_named():
    weights = {"layers": [{"W": np.zeros(2), "b": np.ones(1)}]}
    result = descend(
        lambda w: np.sum(np.sqrt(w["layers"][0]["W"])) + np.sum(w["layers"][0]["b"] ** 2),
        weights,
        step_size=0.1,
        steps=5,
    )
    assert result.stopped.parameters == ("layers[0].W",)
    assert result.stopped.message == (
        "the gradient of layers[0].W is not finite at step 1, though the loss is 1"
    )


def test_an_update_that_overflows_is_named():
    with np.errstate(over="ignore"):
        result = descend(lambda w: 1e300 * w[0], [1.0, 2.0], step_size=1e300, steps=5)
    assert result.stopped.code == "not_finite"
    assert result.stopped.parameters == ("[0]",)
    assert result.stopped.message == (
        "step 1 took weights[0] beyond all finite numbers, though the loss and its gradient are"
        " finite; the step size is 1e+300"
    )
    assert result.weights == [1.0, 2.0]


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_the_example_is_named(batch_size):
    data = (np.ones((10, 2)), np.ones(10))
    data[0][7, 1] = np.nan

    def loss(weights, batch):
        inputs, targets = batch
        return np.mean((inputs @ weights - targets) ** 2)

    result = descend(loss, np.zeros(2), data, step_size=0.1, batch_size=batch_size, epochs=1)
    assert result.stopped.code == "not_finite"
    assert "there is NaN in data[0], in the example of index 7" in result.stopped.message
    assert np.all(np.isfinite(result.weights))


@warns
def test_what_the_loss_captures_is_named():
    offsets = np.array([1.0, np.inf])
    result = descend(lambda w: np.sum(w + offsets), np.zeros(2), step_size=0.1, steps=1)
    assert "there is an infinity in a value that the loss reads at " in result.stopped.message


@warns
def test_a_loss_that_converts_its_batch_is_diagnosed_too():
    def loss(weights, batch):
        return np.sum(np.log(weights)) * builtins.float(np.asarray(batch)[0])

    with pytest.warns(NotCompiledWarning):
        result = descend(loss, np.array([-1.0]), np.ones(3), step_size=0.1, steps=1)
    assert result.stopped.operation == "log"


def test_an_error_while_looking_for_the_operation_does_not_lose_the_weights():
    def loss(weights):
        with np.errstate(all="raise"):
            return np.sum(np.log(weights["b"]))

    def update(gradient, state, weights, step_size, step):
        return {"b": weights["b"] - 1.5}, state

    result = descend(
        loss,
        {"b": np.ones(2)},
        step_size=0.1,
        steps=5,
        optimizer=Optimizer(lambda weights: (), update),
    )
    assert result.stopped.code == "not_finite"
    assert "raised FloatingPointError" in result.stopped.message
    np.testing.assert_array_equal(result.weights["b"], [-0.5, -0.5])


@warns
def test_a_masked_infinity_is_no_reason_to_stop():
    def loss(weights):
        return np.sum(np.where(weights > 0, np.log(np.abs(weights)), 0.0) + weights**2)

    result = descend(loss, np.array([0.0, 2.0]), step_size=0.1, steps=20)
    assert result.stopped.code == "steps_done"


def test_huge_finite_numbers_are_no_reason_to_stop():
    result = descend(
        lambda w: np.sum(w * np.float32(1e-3)), np.full(3, 3e38, np.float32), step_size=0.1, steps=3
    )
    assert result.stopped.code == "steps_done"


def test_a_step_size_that_stops_being_one_ends_the_run():
    result = descend(
        lambda w: w**2, 8.0, step_size=lambda step: 0.25 if step < 3 else math.nan, steps=9
    )
    assert result.stopped.code == "bad_step_size"
    assert result.stopped.message == "the step size of step 4 is nan"
    assert result.weights == expected_weights(3)


@pytest.mark.parametrize(
    ("leaf", "finite"),
    [
        (np.array([1.0, np.nan]), False),
        (np.array([np.inf]), False),
        (np.array([1 + 1j * np.inf]), False),
        (np.array([np.inf, -np.inf]), False),
        (np.full(3, 1e200), True),
        (np.full(3, 1e30, np.float32), True),
        (np.full(3, 6e4, np.float16), True),
        (np.full((2, 2), 1e30, np.complex64), True),
        (np.zeros((0, 3)), True),
        (np.array(np.nan), False),
        (np.array([[1.0, np.nan], [2.0, 3.0]]).T[::2], True),
        (np.array([[1.0, np.nan], [2.0, 3.0]]).T[1:], False),
        (math.nan, False),
        (1.0, True),
        (complex(0, math.inf), False),
        (np.float32(np.inf), False),
        (np.array([1, 2]), True),
        (None, True),
        ("nan", True),
    ],
)
def test_is_finite(leaf, finite):
    assert is_finite(leaf) is finite
