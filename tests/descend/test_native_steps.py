"""Native steps against the reference engine: the same batches, weights, ends and messages."""

import _thread
import itertools
import signal
import threading
from typing import Any

import numpy as np
import pytest

from steepest import nn
from steepest.descend import Optimizer, descend, step_sizes
from steepest.descend.native_steps import NativeSteps, StepSizes
from steepest.descend.optimizers import OPTIMIZERS
from steepest.engines.native import loop
from steepest.engines.native.in_place import written_in_place
from steepest.tree import flatten

RNG = np.random.default_rng(0)
X = RNG.normal(size=(23, 5))
Y = (RNG.random(23) < 0.5).astype(float)


@pytest.fixture(autouse=True)
def runs(monkeypatch):
    """Count what native code has been asked for."""
    taken = []
    run = NativeSteps.run

    def watched(self, sizes, losses):
        flags = run(self, sizes, losses)
        taken.append((len(sizes), flags))
        return flags

    monkeypatch.setattr(NativeSteps, "run", watched)
    return taken


def kinds(tree):
    """Tell the types of the leaves, and what can be written into."""
    return [
        (type(leaf), np.asarray(leaf).dtype, np.shape(leaf), may_be_written(leaf))
        for leaf in flatten(tree)[0]
    ]


def is_number(leaf):
    return np.asarray(leaf).dtype.kind in "biufc"


def may_be_written(leaf):
    return isinstance(leaf, np.ndarray) and leaf.flags.writeable


def assert_close(first, second, tolerance):
    for one, two in zip(flatten(first)[0], flatten(second)[0], strict=True):
        if is_number(one):
            np.testing.assert_allclose(two, one, rtol=tolerance, atol=tolerance)
        else:
            assert one == two


def run_both(prepare, *args, tolerance=1e-10, **settings):
    """Descend by both engines, compare all that they tell, and return the native result."""
    results, told = [], []
    for engine in ("interpret", "native"):
        seen: list[Any] = []
        changed = {**settings, **(prepare() if prepare is not None else {})}
        callback = changed.pop("callback", None)

        def watch(info, seen=seen, callback=callback):
            seen.append(info)
            return callback(info) if callback is not None else None

        if callback is not None or "callback_every" in changed:
            changed["callback"] = watch
        call = {"step_size": 0.1, "engine": engine, **changed}
        if "epochs" not in call:
            call.setdefault("steps", 20)
        results.append(descend(*args, **call))
        told.append(seen)
    reference, native = results
    for name in ("steps", "epochs", "steps_per_epoch", "stopped", "notes", "best_step"):
        assert getattr(native, name) == getattr(reference, name), name
    assert kinds(native.weights) == kinds(reference.weights)
    assert_close(reference.weights, native.weights, tolerance)
    np.testing.assert_allclose(native.losses, reference.losses, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(native.validation_steps, reference.validation_steps)
    for one, two in zip(*told, strict=True):
        assert (one.step, one.epoch) == (two.step, two.epoch)
        assert two.step_size == pytest.approx(one.step_size, rel=1e-14)
        assert two.loss == pytest.approx(one.loss, rel=tolerance, abs=tolerance)
        assert kinds(one.weights) == kinds(two.weights)
        assert_close(one.weights, two.weights, tolerance)
    return native


def both(*args, **settings):
    return run_both(None, *args, **settings)


def raised_by_both(*args, **settings):
    """Descend by both engines, which must raise the same; return it."""
    errors = []
    for engine in ("interpret", "native"):
        try:
            descend(*args, **{"step_size": 0.1, "engine": engine, **settings})
        except Exception as error:
            errors.append(error)
    assert len(errors) == 2
    assert type(errors[0]) is type(errors[1])
    assert str(errors[0]) == str(errors[1])
    return errors[0]


def logistic(weights, batch):
    inputs, targets = batch
    logits = inputs @ weights["W"] + weights["b"]
    return np.mean(np.logaddexp(0, logits) - targets * logits)


def squares(weights, batch):
    inputs, targets = batch
    return np.mean((inputs @ weights - targets) ** 2)


START = {"W": np.zeros(5), "b": 0.0}


# Batches, optimizers, step sizes


@pytest.mark.parametrize(
    ("batch_size", "replacement"),
    [*itertools.product((1, 7, 23, 30), (False, True)), (None, False)],
)
def test_batches(batch_size, replacement, runs):
    settings = {"batch_size": batch_size, "replacement": replacement}
    for steps in (1, 20, 100):
        assert both(logistic, START, (X, Y), steps=steps, **settings).engine == "native"
    # Many steps at a time.
    assert max(runs)[0] > 50


def test_orders_of_many_epochs_that_are_drawn_at_once(runs):
    for batch_size in (1, 2):
        both(squares, np.zeros(5), (X[:3], Y[:3]), batch_size=batch_size, epochs=300)
    assert max(runs)[0] > 200


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 3},
        {"steps": 1},
        {"steps": 5},
        {"steps": 200},
        {"steps": 200, "replacement": True},
        # It ends early: at a weight that is not finite.
        {"steps": 2000, "step_size": 1e3},
    ],
)
def test_a_random_generator_is_left_where_the_run_ends(settings):
    drawn = []
    for engine in ("interpret", "native"):
        rng = np.random.default_rng(3)
        call: dict[str, Any] = {"step_size": 0.1, "batch_size": 7, "engine": engine, **settings}
        descend(squares, np.zeros(5), (X, Y), seed=rng, **call)
        drawn.append(rng.random())
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("batch_size", [1, 7, None])
def test_optimizers(name, batch_size):
    rng = np.random.default_rng(1)
    weights = {
        "hidden": {"W": rng.normal(size=(5, 8)) * 0.3, "b": np.zeros(8)},
        "out": {"W": rng.normal(size=(8, 3)) * 0.3, "b": np.zeros(3)},
        "scale": 1.0,
    }

    def loss(weights, batch):
        inputs, labels = batch
        hidden = np.tanh(inputs @ weights["hidden"]["W"] + weights["hidden"]["b"])
        logits = weights["scale"] * (hidden @ weights["out"]["W"] + weights["out"]["b"])
        return nn.softmax_cross_entropy(logits, labels)

    labels = rng.integers(0, 3, 23)
    result = both(loss, weights, (X, labels), optimizer=name, batch_size=batch_size)
    assert result.engine == "native"


@pytest.mark.parametrize(
    "update",
    [
        # The state is the weights before: written in place of which they must not be read.
        lambda g, s, w, a, t: (w - a * g + 0.5 * (w - s[0]), (w, s[0])),
        lambda g, s, w, a, t: (w - a * g + 0.01 * s[0], (s[1], s[0])),
        lambda g, s, w, a, t: (w - a * g + 0.01 * s[0] - 0.02 * s[1], (s[1], w)),
        lambda g, s, w, a, t: ((w - a * g) / (1 + t), (w - a * g, g)),
        lambda g, s, w, a, t: (w - a * g * (1 + s[0]), (w - a * g, 0 * s[1] + a)),
        # The new state is read where it has been written in place of the old one.
        lambda g, s, w, a, t: moved(w, a, 0.5 * s[0] + g, s[1]),
        lambda g, s, w, a, t: moved(w, a, 0.5 * s[0][::-1] + g, 0.5 * s[1] + s[0]),
    ],
    ids=[
        "previous weights",
        "exchanged",
        "rotated",
        "the step counted",
        "the step size",
        "read backwards",
        "read and written backwards",
    ],
)
@pytest.mark.parametrize("size", [5, 300])
def test_states_that_are_made_of_one_another(update, size, runs):
    optimizer = Optimizer(lambda w: (2 * w, 3 * w), update)

    def loss(weights, batch):
        inputs, targets = batch
        return np.mean((inputs @ weights[:5] - targets) ** 2) + np.mean(weights**2)

    weights = np.linspace(-1, 1, size)
    both(loss, weights, (X, Y), batch_size=4, optimizer=optimizer, step_size=0.01)
    assert runs


def moved(weights, size, first, second):
    """Take a step against a new state: its entries, in reverse too, and all of them together."""
    scale = 1 + first @ np.outer(first, first) @ first
    return weights - size * (first + first[::-1] + second) / scale, (first, second)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_and_states_are_written_over_the_old_ones(name, monkeypatch):
    homes = []

    def watched(program, carried):
        found = written_in_place(program, carried)
        homes.append((len(found), sum(after >= 0 for _, after in carried)))
        return found

    monkeypatch.setattr(loop, "written_in_place", watched)
    weights = {"W": np.ones((5, 40)), "b": np.zeros(40)}

    def loss(weights, batch):
        return np.mean((batch[0] @ weights["W"] + weights["b"]) ** 2)

    options = {"optimizer": name, "batch_size": 4, "step_size": 0.01, "progress": False}
    descend(loss, weights, (X, Y), epochs=1, **options)
    assert homes
    assert all(count == wanted for count, wanted in homes)


def test_a_state_that_changes_its_type_is_followed():
    # From a Python float to a float32 number.
    optimizer = Optimizer(
        lambda w: 0.0, lambda g, s, w, a, t: (w - a * g / (1 + s), s + np.sum(g**2))
    )
    data = (X.astype(np.float32), Y.astype(np.float32))
    both(squares, np.ones(5, np.float32), data, batch_size=4, optimizer=optimizer, tolerance=1e-5)


@pytest.mark.parametrize(
    "schedule",
    [
        0.1,
        step_sizes.constant(0.1),
        step_sizes.exponential_decay(0.1, decay=0.5, steps=7),
        step_sizes.inverse_time_decay(0.1, steps=3),
        step_sizes.cosine_decay(0.1, steps=12),
        step_sizes.piecewise_constant([3, 9], [0.1, 0.05, 0.2]),
        step_sizes.warmup(step_sizes.cosine_decay(0.1, steps=9), steps=5),
        # These take no arrays.
        step_sizes.warmup(lambda step: 0.1 if step < 4 else 0.05, steps=5),
        step_sizes.Schedule(lambda step: 0.1 if step < 4 else 0.05),
        lambda step: 0.3 / (1 + step),
        lambda step: np.float32(0.1),
        lambda step: 0.1 if step < 9 else -1,
        lambda step: 0.1 if step < 9 else np.nan,
    ],
    ids=lambda schedule: getattr(schedule, "name", None),
)
def test_step_sizes(schedule):
    assert both(logistic, START, (X, Y), batch_size=7, step_size=schedule).engine == "native"
    both(logistic, START, (X, Y), batch_size=7, step_size=schedule, callback_every=3)


def test_a_schedule_is_asked_once_for_each_step():
    asked: list[list[int]] = []

    def prepare():
        steps: list[int] = []
        sizes = itertools.count(1)
        asked.append(steps)

        def schedule(step):
            steps.append(step)
            return 0.1 / next(sizes)

        return {"step_size": schedule}

    def loss(weights, batch):
        # Where there are zeros in the batch, native code has to begin anew, with care for NaN.
        roots = np.where(batch[0] != 0, np.sqrt(np.abs(batch[0] * weights)), 0)
        return np.mean(roots) + np.sum(weights**2)

    with_zeros = X.copy()
    with_zeros[::3] = 0
    for inputs in (X, with_zeros):
        asked.clear()
        run_both(prepare, loss, np.ones(5), (inputs, Y), batch_size=4, steps=17)
        assert asked == [[0, *range(17)]] * 2


def test_a_schedule_that_a_callback_steers():
    def prepare():
        size = [0.1]

        def callback(info):
            size[0] *= 0.7

        return {"step_size": lambda step: size[0], "callback": callback}

    run_both(prepare, logistic, START, (X, Y), batch_size=7, epochs=6)


def test_an_error_in_a_schedule_comes_after_the_steps_before_it():
    error = raised_by_both(
        logistic, START, (X, Y), batch_size=7, steps=20, step_size=lambda step: 1 / (9 - step)
    )
    assert isinstance(error, ZeroDivisionError)
    sizes = StepSizes(lambda step: 1 / (3 - step))
    np.testing.assert_array_equal(sizes.ahead(0, 10), [1 / 3, 1 / 2, 1])
    np.testing.assert_array_equal(sizes.ahead(2, 10), [1])
    with pytest.raises(ZeroDivisionError):
        sizes.ahead(3, 1)


# Weights and data of all kinds


@pytest.mark.parametrize(
    "weights",
    [
        1.0,
        np.array(1.0),
        np.float64(1.0),
        np.float32(1.0),
        [1.0, [np.array(2.0), (np.ones((2, 2)), None)], {"n": 3, "name": "net"}],
        {"a": np.ones(3), "i": np.arange(3), "b": np.array([True]), "s": np.int8(3), "t": True},
        {"empty": np.ones((0, 3)), "x": 1.0, "0-d": np.array(2.0, np.float32)},
        {"f4": np.ones(3, np.float32), "f8": np.ones(3)},
        {"strided": np.arange(12.0).reshape(3, 4).T[::2], "x": 1.0},
    ],
    ids=lambda weights: "",
)
def test_weights(weights, runs):
    def loss(weights, batch):
        return sum(np.sum((each - 3) ** 2) for each in trained(weights)) + 0 * np.sum(batch)

    single = any(np.asarray(each).dtype == np.float32 for each in trained(weights))
    both(
        loss,
        weights,
        np.ones(8),
        batch_size=3,
        tolerance=1e-5 if single else 1e-10,
        callback_every=2,
    )
    assert runs


def trained(tree):
    """Pick the leaves that are trained, traced or not."""
    return [
        leaf
        for leaf in flatten(tree)[0]
        if type(leaf) is float or (hasattr(leaf, "dtype") and leaf.dtype.kind == "f")
    ]


def memory_mapped(folder):
    mapped = np.memmap(folder / "inputs", dtype=float, mode="w+", shape=X.shape)
    mapped[:] = X
    return mapped


def unaligned():
    return np.frombuffer(b"x" + X.tobytes(), offset=1).reshape(X.shape)


def of_a_record():
    records = np.zeros(23, dtype=[("tag", "i1"), ("inputs", float, (5,))])
    records["inputs"] = X
    return records["inputs"]


def read_only():
    inputs = X.copy()
    inputs.flags.writeable = False
    return inputs


@pytest.mark.parametrize("batch_size", [1, 4, None])
@pytest.mark.parametrize(
    "make",
    [
        lambda: np.asfortranarray(X),
        lambda: X[::-1, ::-1],
        lambda: np.repeat(X, 2, axis=0)[::2],
        lambda: np.broadcast_to(X[:1], X.shape),
        read_only,
        unaligned,
        of_a_record,
        lambda: X.astype(">f8"),
        lambda: (3 * X).astype(">i4"),
        lambda: (np.abs(X) * 3).astype(np.uint8),
        lambda: (np.abs(X) * 3).astype(np.uint64),
        lambda: (X * 3).astype(np.int16),
        lambda: X > 0,
        lambda: X.astype(np.float32),
        lambda: X.astype(np.float16),
        memory_mapped,
    ],
    ids=[
        *("Fortran", "reversed", "strided", "broadcast", "read-only", "unaligned", "record"),
        *("big-endian", "big-endian integers", "uint8", "uint64", "int16", "bool", "float32"),
        *("float16", "memory-mapped"),
    ],
)
def test_data(make, batch_size, tmp_path, runs):
    inputs = make(tmp_path) if make is memory_mapped else make()
    labels = np.arange(23) % 2
    names = np.array(["example"] * 23)

    def loss(weights, batch):
        return np.mean((batch["inputs"] @ weights - batch["labels"]) ** 2)

    data = {"inputs": inputs, "labels": labels, "names": names}
    both(loss, np.zeros(5), data, batch_size=batch_size, step_size=0.01)
    assert runs


def test_what_native_code_has_no_numbers_for_runs_step_by_step(runs):
    for dtype in (np.complex128, np.longdouble):
        result = both(
            lambda w, batch: np.mean(np.abs(batch[0] @ w - batch[1]) ** 2),
            np.zeros(5, dtype),
            (X, Y),
            batch_size=4,
        )
        assert result.engine == "native"
    assert not runs


def test_without_data(runs):
    both(lambda w: np.sum((w["a"] - 3) ** 2) * w["b"], {"a": np.ones(3), "b": 2.0}, steps=50)
    # Losses that native code must not read after it has written the new weights.
    both(lambda w: w["a"], {"a": 1.0, "b": 2.0})
    both(lambda w: np.sum(w * 0.0), np.ones(3))
    assert runs


# What changes while a run goes on


class Surroundings:
    """What a loss captures."""

    offset = np.ones(5)
    scale = 1.0
    mode = "smooth"
    large = np.ones((400, 500))
    rng = np.random.default_rng(0)


def write_offset(info):
    Surroundings.offset[:] = info.step


def bind_offset(info):
    Surroundings.offset = np.full(5, float(info.step))


def bind_scale(info):
    Surroundings.scale = 1 / (1 + info.step)


def write_large(info):
    Surroundings.large[3, 4] = info.step


def change_mode(info):
    Surroundings.mode = "rough" if info.step >= 7 else "smooth"


def with_surroundings(weights, batch):
    near = np.sum((weights - Surroundings.offset) ** 2)
    total = squares(weights, batch) + Surroundings.scale * near
    return total + np.sum(weights) * np.mean(Surroundings.large)


def with_constant(weights, batch):
    return squares(weights, batch) + np.sum(weights) * float(np.sum(Surroundings.offset))


def that_needs_values(weights, batch):
    if Surroundings.mode == "rough" and np.sum(weights) > 1e9:
        return np.sum(weights)
    return squares(weights, batch)


def that_draws(weights, batch):
    noise = Surroundings.rng.random() if Surroundings.mode == "rough" else 1.0
    return squares(weights, (batch[0], noise * batch[1]))


@pytest.mark.filterwarnings("ignore::steepest.errors.NotCompiledWarning")
@pytest.mark.parametrize(
    ("every", "as_validation"), [("epoch", False), ("epoch", True), (7, False)]
)
@pytest.mark.parametrize(
    ("loss", "change"),
    [
        (with_surroundings, write_offset),
        (with_surroundings, bind_offset),
        (with_surroundings, bind_scale),
        (with_surroundings, write_large),
        (with_constant, write_offset),
        (with_constant, bind_offset),
        (that_needs_values, change_mode),
        (that_draws, change_mode),
    ],
)
def test_what_the_loss_captures_may_change(loss, change, every, as_validation):
    def prepare():
        Surroundings.offset = np.ones(5)
        Surroundings.scale = 1.0
        Surroundings.mode = "smooth"
        Surroundings.large = np.ones((400, 500))
        Surroundings.rng = np.random.default_rng(0)
        if not as_validation:
            return {"callback": change, "callback_every": every}
        steps = itertools.count(1)

        def validate(weights):
            change(type("Info", (), {"step": 5 * next(steps)}))
            return 0.0

        return {"validate": validate, "validate_every": every}

    for limits in ({"epochs": 3}, {"steps": 18}):
        settings = {**limits, "batch_size": 4, "step_size": 0.01}
        run_both(prepare, loss, np.zeros(5), (X, Y), **settings)


@pytest.mark.parametrize("layout", [np.array, np.asfortranarray, lambda x: x.astype(">f8")])
def test_data_may_change(layout):
    def prepare():
        inputs[:] = X

        def callback(info):
            inputs[:] *= 0.5

        return {"callback": callback}

    inputs = layout(X)
    run_both(prepare, squares, np.zeros(5), (inputs, Y), batch_size=4, epochs=4)


# What goes wrong


def test_a_smaller_batch_that_the_loss_does_not_take(runs):
    def loss(weights, batch):
        return np.mean((batch[0].reshape(4, 5) @ weights - batch[1]) ** 2)

    settings: dict[str, Any] = {"batch_size": 4, "step_size": 0.01}
    both(loss, np.zeros(5), (X, Y), steps=5, **settings)
    assert runs
    assert "reshape" in str(raised_by_both(loss, np.zeros(5), (X, Y), steps=6, **settings))
    # A callback that stops before it is reached.
    settings |= {"callback": lambda info: info.step == 5, "callback_every": 1}
    both(loss, np.zeros(5), (X, Y), **settings)


@pytest.mark.filterwarnings("ignore::steepest.errors.NotCompiledWarning")
def test_a_smaller_batch_that_needs_values():
    def loss(weights, batch):
        if len(batch[1]) == 3 and np.sum(weights) > 1e9:
            return np.sum(weights)
        return squares(weights, batch)

    assert both(loss, np.zeros(5), (X, Y), batch_size=4).engine == "python"


@pytest.mark.parametrize("batch_size", [1, 4, None])
def test_a_loss_that_becomes_nan_in_the_middle(batch_size, runs):
    def loss(weights, batch):
        return np.sum(np.log(weights)) + 0 * squares(weights, batch)

    result = both(
        loss,
        np.full(5, 4.0),
        (X, Y),
        batch_size=batch_size,
        steps=200,
        step_size=lambda step: 0.1 / (1 + step / 1000),
    )
    assert result.stopped.code == "not_finite"
    assert result.steps > 50
    assert max(runs)[0] > 50


@pytest.mark.parametrize("batch_size", [1, 4, None])
def test_a_step_that_the_reference_engine_alone_can_take(batch_size, monkeypatch):
    run = NativeSteps.run
    failures = []

    def failing(self, sizes, losses):
        place, before = self.place, 30 - self.taken
        if not 0 <= before < len(sizes):
            return run(self, sizes, losses)
        if before:
            run(self, sizes[:before], losses)
        self.place = place
        self._loop._counts[3] = 1
        failures.append(before)
        return 1

    monkeypatch.setattr(NativeSteps, "run", failing)
    schedule = step_sizes.inverse_time_decay(0.1, steps=10)
    both(squares, np.zeros(5), (X, Y), batch_size=batch_size, steps=50, step_size=schedule)
    assert len(failures) == 2  # without care and with


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_that_explode_in_the_middle(dtype):
    result = both(
        lambda w: -np.sum(w**2), np.ones(3, dtype), step_size=0.5, steps=2000, tolerance=1e-5
    )
    assert result.stopped.code == "not_finite"
    assert np.all(np.isfinite(result.weights))
    assert result.steps > 50


@pytest.mark.parametrize("batch_size", [1, 4, None])
def test_an_example_that_is_nan(batch_size):
    inputs = np.where(np.arange(23)[:, np.newaxis] == 17, np.nan, X)
    result = both(squares, np.zeros(5), (inputs, Y), batch_size=batch_size, step_size=0.01)
    assert "in the example of index 17" in result.stopped.message


@pytest.mark.parametrize("batch_size", [1, 4, None])
def test_an_index_out_of_bounds(batch_size):
    indices = np.arange(23) % 6
    indices[11] = 9

    def loss(weights, batch):
        return np.mean((weights[batch[0]] * batch[1][:, np.newaxis] - 1) ** 2)

    table = RNG.normal(size=(6, 3))
    both(loss, table, (indices % 6 - 6, Y), batch_size=batch_size)
    error = raised_by_both(loss, table, (indices, Y), batch_size=batch_size, epochs=1)
    assert isinstance(error, IndexError)


def test_an_exception_in_the_middle():
    def loss(weights):
        # Positive definite until the weight reaches 2.
        return 0 * np.sum(np.linalg.cholesky((2 - weights) * np.eye(3))) - weights

    error = raised_by_both(loss, 0.0, step_size=0.05, steps=500)
    assert isinstance(error, np.linalg.LinAlgError)
    stop: dict[str, Any] = {"callback": lambda info: info.step == 39, "callback_every": 13}
    assert both(loss, 0.0, step_size=0.05, steps=500, **stop).steps == 39


@pytest.mark.parametrize("batch_size", [1, 4, None])
def test_a_nan_in_a_product_with_zero(batch_size, runs):
    def loss(weights, batch):
        # Where the root has an infinite slope, the slope of the condition is zero.
        roots = np.where(batch[0] > 0, np.sqrt(np.maximum(batch[0] * weights, 0)), 0)
        return np.mean(roots) + np.sum(weights**2)

    result = both(loss, np.ones(5), (np.maximum(X, 0), Y), batch_size=batch_size, step_size=0.01)
    assert result.stopped.code == "steps_done"
    # Once only: from then on with care.
    assert len([flags for _, flags in runs if flags]) == 1


def test_a_gradient_that_is_checked_first():
    both(squares, np.zeros(5), (X, Y), batch_size=7, check=True)


def test_early_stopping():
    settings = {"validate": (X, Y), "patience": 2, "step_size": 0.3, "epochs": 50}
    result = both(squares, np.zeros(5), (X, Y), batch_size=7, **settings)
    assert result.stopped.code == "early_stopping"
    settings["validate_every"] = 3
    both(squares, np.zeros(5), (X, Y), batch_size=7, callback_every=4, **settings)


# Ctrl-C


@pytest.mark.parametrize(
    "loss",
    [
        squares,
        # With an operation that NumPy does.
        lambda w, b: squares(w, b) + np.sum(np.linalg.inv(9 * np.eye(5) + np.outer(w, w))),
    ],
    ids=["native", "with a callback"],
)
def test_an_interruption_leaves_whole_steps(loss):
    timer = threading.Timer(0.1, _thread.interrupt_main)

    def schedule(step):
        if step == 50:
            timer.start()
        return 1e-4

    settings: dict[str, Any] = {"batch_size": 4, "engine": "native"}
    # Processes in which pytest runs tests side by side ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = descend(loss, np.zeros(5), (X, Y), step_size=schedule, steps=5_000_000, **settings)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert result.stopped.code == "interrupted"
    assert len(result.losses) == result.steps > 0
    assert result.epochs == result.steps // 6
    again = descend(loss, np.zeros(5), (X, Y), step_size=1e-4, steps=result.steps, **settings)
    np.testing.assert_array_equal(again.weights, result.weights)
    np.testing.assert_array_equal(again.losses, result.losses)


def test_weights_that_a_callback_keeps_stay_as_they_were() -> None:
    x = np.random.default_rng(0).normal(size=(64, 3))

    def run(engine: str) -> list[np.ndarray]:
        kept: list[np.ndarray] = []
        descend(
            lambda w, rows: np.mean((rows @ w - 1.0) ** 2),
            np.zeros(3),
            x,
            step_size=0.1,
            steps=12,
            batch_size=16,
            callback=lambda info: kept.append(info.weights),
            callback_every=1,
            engine=engine,
            seed=0,
        )
        return kept

    np.testing.assert_allclose(run("native"), run("interpret"), rtol=1e-12)
