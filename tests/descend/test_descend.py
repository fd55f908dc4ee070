"""The loop: what it takes, keeps, repeats and returns."""

import itertools
import pickle
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from steepest.descend import descend, optimizers
from steepest.differentiate import custom_gradient, grad
from steepest.errors import (
    BadInputError,
    NotCompiledWarning,
    NotDifferentiableError,
    UnsupportedError,
    WrongGradientError,
)

# All that follows holds for both engines.
pytestmark = pytest.mark.usefixtures("engine")

X = np.random.default_rng(1).normal(size=(60, 3))
Y = X @ np.array([1.0, -2.0, 3.0]) + 0.5


def loss_fn(weights, batch):
    inputs, targets = batch
    return np.mean((inputs @ weights["W"] + weights["b"] - targets) ** 2)


def start(dtype=np.float64):
    return {"W": np.zeros(3, dtype), "b": np.zeros((), dtype)}


@pytest.mark.parametrize("batch_size", [None, 60, 100, 16, 1])
def test_the_variants_of_gradient_descent_find_the_solution(batch_size, engine):
    result = descend(loss_fn, start(), (X, Y), step_size=0.05, batch_size=batch_size, epochs=300)
    np.testing.assert_allclose(result.weights["W"], [1.0, -2.0, 3.0], atol=1e-4)
    np.testing.assert_allclose(result.weights["b"], 0.5, atol=1e-4)
    per_epoch = -(-60 // min(batch_size or 60, 60))
    assert result.steps_per_epoch == per_epoch
    assert result.steps == len(result.losses) == 300 * per_epoch
    assert result.epochs == 300
    assert result.stopped.code == "epochs_done"
    assert result.stopped.message == "all 300 epochs are done"
    assert result.engine == engine
    assert result.losses.dtype == np.float64


def test_a_full_batch_step_is_the_hand_formula():
    weights = start()
    residual = X @ weights["W"] + weights["b"] - Y
    result = descend(loss_fn, weights, (X, Y), step_size=0.05, steps=1)
    np.testing.assert_allclose(result.weights["W"], -0.05 * 2 / 60 * X.T @ residual)
    np.testing.assert_allclose(result.weights["b"], -0.05 * 2 * residual.mean())
    assert result.losses == [np.mean(residual**2)]


def test_all_parameters_are_updated_from_one_gradient():
    # Updating x first would give y ← 1 − 0.5 · 0.5.
    result = descend(lambda w: w["x"] * w["y"], {"x": 1.0, "y": 1.0}, step_size=0.5, steps=1)
    assert result.weights == {"x": 0.5, "y": 0.5}


@pytest.mark.parametrize("replacement", [False, True])
def test_the_same_seed_gives_the_same_bits(replacement):
    def run(seed):
        return descend(
            loss_fn,
            start(),
            (X, Y),
            step_size=0.05,
            batch_size=7,
            steps=40,
            replacement=replacement,
            seed=seed,
        )

    first = run(5)
    for second in (run(5), run(np.random.default_rng(5))):
        np.testing.assert_array_equal(first.weights["W"], second.weights["W"])
        np.testing.assert_array_equal(first.losses, second.losses)
    assert np.any(first.weights["W"] != run(6).weights["W"])


def test_the_last_partial_batch_counts_once():
    seen: list[Any] = []

    def watched(weights, batch):
        return np.sum(weights * batch)

    result = descend(
        watched,
        0.0,
        np.arange(10.0),
        step_size=0.1,
        batch_size=4,
        epochs=2,
        callback=lambda info: seen.append(info.weights),
    )
    # The gradients of an epoch add up to the sum over all examples.
    np.testing.assert_allclose(seen, [-4.5, -9.0])
    assert result.steps == 6


# What is left alone, and what is kept


def test_the_users_arrays_are_left_alone():
    weights: dict[str, Any] = {"W": np.ones(3), "kept": np.arange(3), "name": "net", "none": None}
    data = (X.copy(), Y.copy())
    result = descend(
        lambda w, batch: np.mean((batch[0] @ w["W"] - batch[1]) ** 2),
        weights,
        data,
        step_size=0.1,
        batch_size=8,
        epochs=2,
    )
    np.testing.assert_array_equal(weights["W"], np.ones(3))
    np.testing.assert_array_equal(data[0], X)
    assert weights["W"].flags.writeable
    assert data[0].flags.writeable
    assert not np.shares_memory(result.weights["W"], weights["W"])
    assert not np.shares_memory(result.weights["kept"], weights["kept"])
    np.testing.assert_array_equal(result.weights["kept"], np.arange(3))
    assert (result.weights["name"], result.weights["none"]) == ("net", None)
    result.weights["W"] += 1
    result.weights["kept"] += 1


def test_the_run_does_not_see_what_becomes_of_the_users_weights():
    weights = np.ones(2)

    def examples():
        weights[:] = 100.0
        yield 1.0

    result = descend(
        lambda w, b: np.sum(w**2) * np.sum(b), weights, examples, step_size=0.25, epochs=1
    )
    np.testing.assert_array_equal(result.weights, [0.5, 0.5])


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adamw"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("data_dtype", [np.float32, np.float64])
def test_dtypes_and_types_are_kept(name, dtype, data_dtype):
    weights = {
        "array": np.ones((2, 1), dtype),
        "zero-d": np.ones((), dtype),
        "scalar": dtype(1),
        "number": 1.0,
    }

    def loss(w, x):
        return np.mean((w["array"] * w["zero-d"] * w["scalar"] * w["number"] * x) ** 2)

    seen: list[Any] = []
    result = descend(
        loss,
        weights,
        np.ones((4, 2, 1), data_dtype),
        step_size=np.float64(0.01),
        optimizer=name,
        batch_size=3,
        epochs=3,
        callback=lambda info: seen.append(info.weights),
    )
    for each in (*seen, result.weights):
        assert each["array"].dtype == each["zero-d"].dtype == each["scalar"].dtype == dtype
        assert type(each["number"]) is float
    assert type(result.weights["zero-d"]) is np.ndarray
    assert type(result.weights["scalar"]) is dtype
    assert result.weights["number"] < 1


Pair = namedtuple("Pair", ["W", "b"])


@dataclass
class Layer:
    W: object
    b: object


@pytest.mark.parametrize("make", [Pair, Layer], ids=["named tuple", "dataclass"])
def test_containers_are_kept(make):
    result = descend(
        lambda w: np.sum(w.W**2) + w.b**2, make(np.ones(2), 1.0), step_size=0.25, steps=1
    )
    assert type(result.weights) is make
    np.testing.assert_array_equal(result.weights.W, [0.5, 0.5])
    assert result.weights.b == 0.5


def test_complex_weights_go_downhill():
    result = descend(lambda z: np.abs(z - (1 + 2j)) ** 2, 0j, step_size=0.25, steps=60)
    assert result.weights == pytest.approx(1 + 2j)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0), (3, 1)])
def test_odd_shapes(shape):
    weights = {"odd": np.ones(shape), "x": 1.0}
    result = descend(
        lambda w: np.sum(w["odd"] ** 2) + w["x"] ** 2, weights, step_size=0.25, steps=2
    )
    np.testing.assert_array_equal(result.weights["odd"], np.full(shape, 0.25))


def test_non_contiguous_weights():
    weights = np.arange(12.0).reshape(3, 4).T[::2]
    result = descend(lambda w: np.sum(w**2), weights, step_size=0.25, steps=1)
    np.testing.assert_array_equal(result.weights, weights / 2)


# Compiled, or not


def test_the_loss_runs_in_python_a_few_times_only():
    runs = itertools.count()

    def loss(weights, batch):
        next(runs)
        return np.mean((weights - batch) ** 2)

    descend(loss, 0.0, np.arange(12.0), step_size=0.1, batch_size=4, epochs=50)
    assert next(runs) < 10


def test_a_loss_with_random_numbers_is_traced_at_each_step_and_says_so():
    rng = np.random.default_rng(0)

    def loss(weights, batch):
        return np.mean((weights * batch * (rng.random(batch.shape) < 0.5) - 1) ** 2)

    with pytest.warns(NotCompiledWarning, match="random numbers") as warned:
        result = descend(loss, 0.5, np.ones(10), step_size=0.1, batch_size=4, epochs=2)
    assert len(warned) == 1
    assert result.engine == "python"
    assert len(result.notes) == 1
    assert "random numbers" in result.notes[0]


def test_a_loss_that_needs_values_is_traced_at_each_step_and_says_so():
    def loss(weights, batch):
        residual = np.sum((weights - batch) ** 2)
        if residual > 1:
            residual = 2 * residual - 1
        return residual

    with pytest.warns(NotCompiledWarning, match="needs the value") as warned:
        result = descend(loss, 0.0, np.ones(3), step_size=0.01, steps=80)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert result.engine == "python"
    assert len(result.notes) == 1
    assert "the steps of loss cannot be compiled" in result.notes[0]
    assert f"{__file__}:" in result.notes[0]
    weight = 0.0
    for _ in range(80):
        slope = 6 * (weight - 1)
        weight -= 0.01 * (2 * slope if 3 * (weight - 1) ** 2 > 1 else slope)
    assert result.weights == pytest.approx(weight)


def test_a_global_that_a_callback_changes_is_seen():
    penalty = {"strength": 0.0}

    def loss(weights):
        return np.sum((weights - 1) ** 2) + penalty["strength"] * np.sum(weights**2)

    def anneal(info):
        penalty["strength"] = 1.0 if info.step >= 200 else 0.0

    result = descend(loss, np.zeros(2), step_size=0.1, steps=400, callback=anneal)
    np.testing.assert_allclose(result.weights, 0.5, atol=1e-12)


# Validation and callbacks


def test_validation_after_each_epoch():
    validation = (X[:10], Y[:10])
    seen: list[Any] = []
    result = descend(
        loss_fn,
        start(),
        (X[10:], Y[10:]),
        step_size=0.05,
        batch_size=10,
        epochs=4,
        validate=validation,
        callback=seen.append,
    )
    assert len(result.validation_losses) == 4
    np.testing.assert_array_equal(result.validation_steps, [5, 10, 15, 20])
    for info, loss in zip(seen, result.validation_losses, strict=True):
        assert info.validation_loss == loss == loss_fn(info.weights, validation)
    assert result.best_step == 20


def test_validation_every_few_steps_by_a_function():
    result = descend(
        lambda w: w**2, 8.0, step_size=0.25, steps=7, validate=lambda w: -w, validate_every=3
    )
    np.testing.assert_array_equal(result.validation_losses, [-1.0, -0.125])
    np.testing.assert_array_equal(result.validation_steps, [3, 6])
    assert result.best_step == 3
    assert result.weights == 0.0625


def test_early_stopping_returns_the_best_weights():
    # The validation loss is lowest at 1; the weights go 8, 4, 2, 1, 0.5, 0.25, …
    result = descend(
        lambda w: w**2,
        8.0,
        step_size=0.25,
        steps=100,
        validate=lambda w: (w - 1) ** 2,
        validate_every=1,
        patience=2,
    )
    assert result.stopped.code == "early_stopping"
    assert result.stopped.message == (
        "the validation loss has not improved in 2 evaluations; the weights are those after step 3,"
        " with the lowest validation loss, 0"
    )
    assert (result.weights, result.steps, result.best_step) == (1.0, 5, 3)


def test_patience_starts_anew_with_each_improvement():
    losses = iter([5.0, 6.0, 4.0, 4.0, np.nan, 3.0, 3.5, 3.5, 3.5, 1.0])
    result = descend(
        lambda w: w**2,
        8.0,
        step_size=0.25,
        steps=100,
        validate=lambda w: next(losses),
        validate_every=1,
        patience=3,
    )
    assert (result.stopped.code, result.steps, result.best_step) == ("early_stopping", 9, 6)
    assert result.weights == 8 / 2**6


def test_with_patience_the_best_weights_are_returned_whatever_ended_the_run():
    result = descend(
        lambda w: w**2,
        8.0,
        step_size=0.25,
        steps=4,
        validate=lambda w: (w - 2) ** 2,
        validate_every=1,
        patience=10,
    )
    assert (result.stopped.code, result.weights) == ("steps_done", 2.0)
    assert "the weights are those after step 2" in result.stopped.message


@pytest.mark.parametrize(
    ("callback", "steps"),
    [
        (lambda info: info.step == 3, 3),
        (lambda info: np.bool(info.step == 3), 3),
        (lambda info: 1, 5),
        (lambda info: None, 5),
        (lambda info: next(iter([])) if info.step == 2 else None, 2),
    ],
    ids=["True", "NumPy's True", "not a truth value", "None", "StopIteration"],
)
def test_a_callback_may_stop_the_run(callback, steps):
    result = descend(lambda w: w**2, 8.0, step_size=0.25, steps=5, callback=callback)
    assert result.steps == steps
    assert (result.stopped.code == "stopped_by_callback") == (steps < 5)


def test_what_a_callback_is_told():
    seen: list[Any] = []
    descend(
        loss_fn,
        start(),
        (X, Y),
        step_size=lambda step: 0.01 / (1 + step),
        batch_size=20,
        epochs=2,
        callback=seen.append,
        callback_every=2,
    )
    assert [info.step for info in seen] == [2, 4, 6]
    assert [info.epoch for info in seen] == [0, 1, 1]
    assert [info.step_size for info in seen] == [0.01 / 2, 0.01 / 4, 0.01 / 6]
    assert seen[0].seconds <= seen[1].seconds
    assert seen[0].validation_loss is None
    # Earlier weights stay as they were, and cannot be written into.
    assert np.any(seen[0].weights["W"] != seen[1].weights["W"])
    with pytest.raises(ValueError, match="read-only"):
        seen[0].weights["W"] += 1


# How long


@pytest.mark.parametrize(
    ("limits", "steps", "epochs", "code"),
    [
        ({"epochs": 2}, 12, 2, "epochs_done"),
        ({"steps": 7}, 7, 1, "steps_done"),
        ({"steps": 12}, 12, 2, "steps_done"),
        ({"steps": 12, "epochs": 2}, 12, 2, "epochs_done"),
        ({"steps": 5, "epochs": 2}, 5, 0, "steps_done"),
        ({"steps": 50, "epochs": 1}, 6, 1, "epochs_done"),
        ({"steps": 1}, 1, 0, "steps_done"),
    ],
)
def test_limits(limits, steps, epochs, code):
    result = descend(loss_fn, start(), (X, Y), step_size=0.01, batch_size=10, **limits)
    assert (result.steps, result.epochs, result.stopped.code) == (steps, epochs, code)


# The gradient check at the start


@pytest.mark.parametrize("data", [(X, Y), None, "examples"])
def test_a_right_gradient_passes(data):
    settings: dict[str, Any] = {"step_size": 0.01, "steps": 2, "check": True}
    if data is None:
        result = descend(lambda w: np.sum(w["W"] ** 2) + w["b"], start(), **settings)
    elif data == "examples":
        result = descend(loss_fn, start(), zip(X, Y, strict=True), batch_size=2, **settings)
        plain = descend(
            loss_fn, start(), zip(X, Y, strict=True), batch_size=2, step_size=0.01, steps=2
        )
        # The example that was looked at is not lost.
        np.testing.assert_array_equal(result.weights["W"], plain.weights["W"])
    else:
        result = descend(loss_fn, start(), data, **settings)
    assert result.gradient_check is not None
    assert result.gradient_check.verdict == "correct"
    assert result.steps == 2


def test_a_wrong_gradient_is_an_error_before_the_first_step():
    @custom_gradient
    def wrong_square(x):
        return x**2, lambda g: g * 3 * x

    with pytest.raises(WrongGradientError, match="wrong"):
        descend(lambda w: np.sum(wrong_square(w)), np.ones(3), step_size=0.1, steps=5, check=True)


def test_a_check_that_cannot_decide_is_noted():
    result = descend(lambda w: np.sum(np.abs(w)), np.zeros(2), step_size=0.1, steps=1, check=True)
    assert result.gradient_check is not None
    assert result.gradient_check.verdict == "kink"
    assert result.notes == ("the gradient check at the start could not decide: kink",)


# What is wrong with the call


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"loss_fn": 3}, "loss_fn must be a function"),
        ({"loss_fn": lambda w, x, y: 0}, r"def loss_fn\(w, batch\): x, y = batch"),
        ({"loss_fn": lambda w: 0}, r"takes \(w\); it is called with the weights and a batch"),
        ({"loss_fn": lambda w, b: 0, "data": None}, r"\(w, b\); .* the weights alone"),
        ({"weights": np.arange(3)}, r"to train: weights is int64\[3\]"),
        ({"weights": {"W": 1, "b": "x"}}, "to train: W is int, b is str"),
        ({"weights": {}}, "the weights are empty"),
        ({"weights": {"W": np.array([1.0, np.nan])}}, "W has a NaN or an infinity"),
        ({"weights": {"W": np.inf}}, "W has a NaN or an infinity"),
        ({"weights": np.ma.masked_array([1.0])}, "weights is a MaskedArray"),
        ({"step_size": np.nan}, "step_size must be finite and not negative, and is nan"),
        ({"step_size": -0.1}, "to climb, descend on the negative"),
        ({"step_size": "0.1"}, "step_size must be a number"),
        ({"step_size": lambda step: np.inf}, "step_size at the first step must be finite"),
        ({"optimizer": "adm"}, "did you mean 'adam'"),
        ({"optimizer": optimizers.sgd}, r"optimizers\.sgd\(\), with brackets"),
        ({"steps": None}, "neither epochs nor steps is given"),
        ({"steps": 0}, "steps must be an integer of at least 1"),
        ({"steps": 1.5}, "steps must be an integer"),
        ({"epochs": 0}, "epochs must be an integer of at least 1"),
        ({"data": None, "epochs": 3}, "nothing goes through the data once: there are none"),
        ({"data": lambda rng: X, "epochs": 3}, "a callable makes them"),
        ({"seed": "zero"}, "seed must be a random generator or a seed"),
        ({"engine": "fast"}, "there is no engine 'fast'"),
        ({"patience": 3}, "validate is not given"),
        ({"validate": (X, Y), "patience": 0}, "patience must be an integer"),
        ({"validate": (X, Y), "validate_every": 0}, "validate_every must be an integer"),
        ({"validate": (X, Y[:3])}, r"\[0\] has 60, \[1\] has 3"),
        ({"validate": X}, "validate must be put together like data"),
        ({"validate": {"x": X, "y": Y}}, r"it has x, y, and data have \[0\], \[1\]"),
        ({"data": None, "validate": (X, Y), "validate_every": 2}, "and no data"),
        ({"data": None, "validate": len}, "the data have no epochs"),
        ({"callback": print, "callback_every": -1}, "callback_every must be an integer"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(changed, message):
    def never(weights, batch=None):
        raise AssertionError("the loss must not run")

    call: dict[str, Any] = {
        "loss_fn": never,
        "weights": start(),
        "data": (X, Y),
        "step_size": 0.1,
        "steps": 5,
    }
    with pytest.raises(BadInputError, match=message):
        descend(**{**call, "steps": 5, **changed})


def test_a_run_is_not_differentiated():
    def after_ten_steps(start):
        return descend(lambda w: np.sum(w**2), start, step_size=0.1, steps=10).weights

    with pytest.raises(UnsupportedError, match="a gradient does not go through a whole run"):
        grad(after_ten_steps)(1.0)


@pytest.mark.parametrize("loss", [lambda w: w["W"], lambda w: (w["b"], 1), lambda w: None])
def test_a_loss_that_is_no_scalar_is_refused(loss):
    with pytest.raises(NotDifferentiableError, match="must return a real scalar"):
        descend(loss, start(), step_size=0.1, steps=5)


def test_validation_data_that_do_not_fit_the_loss_fail_before_the_first_step():
    runs = itertools.count()

    def loss(weights, batch):
        next(runs)
        return loss_fn(weights, batch)

    with pytest.raises(ValueError, match="matmul"):
        descend(loss, start(), (X, Y), step_size=0.1, epochs=5, validate=(X[:, :2], Y))
    assert next(runs) == 1


@pytest.mark.parametrize("loss", ["low", None, np.ones(2), 1j])
def test_a_validation_loss_must_be_a_number(loss):
    with pytest.raises(BadInputError, match="the validation loss must be a number"):
        descend(
            lambda w: w**2, 1.0, step_size=0.1, steps=1, validate=lambda w: loss, validate_every=1
        )


# The result


def run_with_validation():
    return descend(
        loss_fn, start(), (X, Y), step_size=0.05, batch_size=20, epochs=3, validate=(X, Y)
    )


def test_the_result_prints_and_pickles():
    result = run_with_validation()
    assert repr(result).startswith("Descent(steps=9, epochs=3, loss=")
    text = str(result)
    assert text.startswith("Stopped: all 3 epochs are done\nLoss: ")
    assert "lowest after step 9" in text
    assert "9 steps in 3 epochs" in text
    twin = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(twin.losses, result.losses)
    with pytest.raises(AttributeError):
        result.steps = 3


def test_the_result_plots(tmp_path):
    result = run_with_validation()
    figure = result.plot(tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    (axes,) = figure.axes
    assert len(axes.lines[0].get_xdata()) == 9
