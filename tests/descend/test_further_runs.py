"""Runs after the first one take what that one compiled, if a recording proves it to be the same."""

import functools
import gc
import threading
import weakref

import numpy as np
import pytest

from steepest import compiling
from steepest.descend import descend
from steepest.engines.native import loop as native_loop

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = RNG.normal(size=40)
START = np.zeros(3)


@pytest.fixture
def loops(monkeypatch):
    """Count the loops that are compiled."""
    made = []

    class Counted(native_loop.LoopCode):
        def __init__(self, *args, **keywords):
            super().__init__(*args, **keywords)
            made.append(self)

    monkeypatch.setattr(native_loop, "LoopCode", Counted)
    return made


@pytest.fixture
def recordings(monkeypatch):
    """Count the recordings."""
    made = []
    record = compiling.record

    def counted(*args):
        made.append(record(*args))
        return made[-1]

    monkeypatch.setattr(compiling, "record", counted)
    return made


def run(loss, data=(X, Y), start=START, **settings):
    settings = {"step_size": 0.1, "batch_size": 10, "steps": 8, **settings}
    return descend(loss, start, data, **settings)


def reference(loss, data=(X, Y), start=START, **settings):
    return run(loss, data, start, engine="interpret", **settings)


def assert_right(loss, result, data=(X, Y), start=START, **settings):
    expected = reference(loss, data, start, **settings)
    np.testing.assert_allclose(result.weights, expected.weights, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(result.losses, expected.losses, rtol=1e-12)


def make_loss(factor=1.0, offset=None):
    """Make a loss; all that are made have the same code."""

    def loss(weights, batch):
        inputs, targets = batch
        total = factor * np.mean((inputs @ weights - targets) ** 2)
        return total if offset is None else total + np.sum((weights - offset) ** 2)

    return loss


def test_a_further_run_records_once_and_has_the_same_bits(loops, recordings):
    loss = make_loss(1.25)
    first = run(loss)
    assert len(recordings) == 2
    second = run(loss)
    assert len(recordings) == 3
    assert len(loops) == 1
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.losses.tobytes() == second.losses.tobytes()
    assert first.weights is not second.weights
    assert_right(loss, second)


def test_other_weights_data_and_step_sizes(loops):
    loss = make_loss(1.5)
    run(loss)
    other = (X[::-1] * 2, Y + 1)
    for settings in ({"step_size": 0.01}, {"seed": 3}, {"start": START + 1}, {"data": other}):
        assert_right(loss, run(loss, **settings), **settings)
    assert len(loops) == 1
    # Another number of rows makes another loop of the same step.
    fewer = {"data": (X[:30], Y[:30])}
    assert_right(loss, run(loss, **fewer), **fewer)
    assert len(loops) == 2


def test_a_smaller_batch_at_the_end_of_an_epoch(loops):
    loss = make_loss(1.75)
    settings = {"batch_size": 16, "steps": 9}
    first = run(loss, **settings)
    assert_right(loss, first, **settings)
    assert first.weights.tobytes() == run(loss, **settings).weights.tobytes()
    assert len(loops) == 1


def test_other_numbers_that_a_function_of_the_same_code_captures():
    for factor in (0.5, 2.0, 0.5, 3.0):
        loss = make_loss(factor)
        assert_right(loss, run(loss))


def test_arrays_that_are_captured():
    offset = np.ones(3)
    loss = make_loss(offset=offset)
    run(loss)
    assert_right(loss, run(loss))
    offset[1] = 5.0
    assert_right(loss, run(loss))
    for other in (np.zeros(3), offset.copy()):
        loss = make_loss(offset=other)
        assert_right(loss, run(loss))


def test_a_captured_array_that_was_written_into_and_is_now_as_another_was():
    # A number made from an array has its contents compiled into the code.
    class Model:
        offset = np.ones(3)

        def loss(self, weights, batch):
            inputs, targets = batch
            near = np.sum((weights - self.offset) ** 2) * float(np.mean(self.offset))
            return np.mean((inputs @ weights - targets) ** 2) + near

    model = Model()
    run(model.loss)
    model.offset[:] = 2.0
    assert_right(model.loss, run(model.loss))
    model.offset = np.full(3, 2.0)
    assert_right(model.loss, run(model.loss))
    model.offset[:] = 1.0
    assert_right(model.loss, run(model.loss))
    model.offset = np.ones(3)
    assert_right(model.loss, run(model.loss))


def test_what_no_guard_reaches_is_seen_at_the_next_run():
    class Level:
        def __init__(self, inner):
            self.inner = inner

    deep = Level(Level(Level(Level(1.0))))

    def loss(weights, batch):
        inputs, targets = batch
        return deep.inner.inner.inner.inner * np.mean((inputs @ weights - targets) ** 2)

    run(loss)
    deep.inner.inner.inner.inner = 0.25
    assert_right(loss, run(loss))


def test_methods_and_partial_functions_are_found_again(loops):
    class Model:
        def loss(self, power, weights, batch):
            inputs, targets = batch
            return np.mean((inputs @ weights - targets) ** power)

        def __call__(self, weights, batch):
            return self.loss(4, weights, batch) + 1

    for power in (2, 2, 2):
        loss = functools.partial(Model().loss, power)
        assert_right(loss, run(loss))
    assert len(loops) == 1
    for _ in range(2):
        assert_right(Model(), run(Model()))
    assert len(loops) == 2


def test_a_recording_of_other_lines_is_not_the_same():
    definition = "def loss(weights, batch):\n    return np.mean(helper(weights, batch))\n"
    helper = "def helper(weights, batch):\n    return (batch[0] @ weights - batch[1]) ** 2\n"
    names: dict = {"np": np}
    exec(compile(definition, "loss.py", "exec"), names)
    lines = []
    for blanks in (0, 0, 5):
        exec(compile("\n" * blanks + helper, "helper.py", "exec"), names)
        text = str(run(names["loss"], profile=True).profile)
        lines.append(min(int(part.split()[0]) for part in text.split("helper.py:")[1:]))
    assert lines == [2, 2, 7]


def test_care_for_nan_and_ends_that_are_not_finite():
    loss = make_loss(1.125)
    run(loss)
    with_nan = np.where(np.arange(40)[:, None] == 7, np.nan, X)
    for data in ((with_nan, Y), (X, Y), (with_nan, Y)):
        settings = {"data": data, "steps": 12}
        result = run(loss, **settings)
        assert result.stopped == reference(loss, **settings).stopped
        assert_right(loss, result, **settings)


def test_runs_in_threads_and_inside_of_each_other():
    loss = make_loss(0.75)
    expected = run(loss, steps=200).weights
    results: list = []

    def work():
        results.extend(run(loss, steps=200).weights for _ in range(5))

    def callback(info):
        if info.step == 8:
            results.append(run(loss, steps=200).weights)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    results.append(run(loss, steps=200, callback=callback).weights)
    for each in threads:
        each.join()
    assert len(results) == 22
    assert {each.tobytes() for each in results} == {expected.tobytes()}


def test_nothing_large_is_kept():
    data, large = np.ones((40, 3)), np.ones((400, 500))

    def make(array):
        def loss(weights, batch):
            inputs, targets = batch
            return np.mean((inputs @ weights - targets) ** 2) + np.mean(weights[0] * array)

        return loss

    run(make(large), (data, Y))
    watched = [weakref.ref(data), weakref.ref(large)]
    del data, large
    gc.collect()
    assert [each() for each in watched] == [None, None]


def test_that_a_function_draws_is_seen_at_each_run():
    rng = np.random.default_rng(0)

    def loss(weights, batch):
        inputs, targets = batch
        noise = rng.random() if draws else 1.0
        return np.mean((noise * inputs @ weights - targets) ** 2)

    draws = False
    assert run(loss).engine == "native"
    draws = True
    with pytest.warns(match="captures values that change"):
        assert run(loss).engine == "python"
