"""The textbook loops run as they stand, and what they are made of."""

import os
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steepest.descend import textbook
from steepest.errors import BadInputError, NotDifferentiableError

sd = SimpleNamespace(
    evaluate_gradient=textbook.evaluate_gradient, sample_training_data=textbook.sample_training_data
)

X = np.random.default_rng(0).normal(size=(1000, 2))
Y = X @ np.array([3.0, -2.0]) + 0.5


def parts(weights):
    if isinstance(weights, dict):
        return weights.values()
    return weights if isinstance(weights, (list, tuple)) else (weights[:2], weights[2])


def loss_fn(weights, data):
    inputs, targets = data
    W, b = parts(weights)
    return np.mean((inputs @ W + b - targets) ** 2)


STARTS = {
    "array": lambda: np.zeros(3),
    "dict": lambda: {"W": np.zeros(2), "b": np.zeros(())},
    "list": lambda: [np.zeros(2), np.zeros(1)],
    "tuple": lambda: (np.zeros(2), 0.0),
}


@pytest.mark.parametrize("kind", STARTS)
def test_gradient_descent(kind):
    data, weights, step_size, taken = (X, Y), STARTS[kind](), 0.1, 0
    while True:
        weights_grad = sd.evaluate_gradient(loss_fn, data, weights)
        weights += -step_size * weights_grad
        taken += 1
        if taken == 200:
            break
    check_solution(kind, weights)


@pytest.mark.parametrize("kind", STARTS)
def test_mini_batch_gradient_descent(kind):
    data, weights, step_size, taken = (X, Y), STARTS[kind](), 0.1, 0
    while True:
        batch = sd.sample_training_data(data, 256)
        weights_grad = sd.evaluate_gradient(loss_fn, batch, weights)
        weights += -step_size * weights_grad
        taken += 1
        if taken == 200:
            break
    check_solution(kind, weights)


def check_solution(kind, weights):
    W, b = parts(weights)
    np.testing.assert_allclose(W, [3.0, -2.0], atol=1e-4)
    np.testing.assert_allclose(b, np.full(np.shape(b), 0.5), atol=1e-4)
    assert type(weights) is type(STARTS[kind]())


def test_no_data():
    np.testing.assert_array_equal(
        sd.evaluate_gradient(lambda w: np.sum(w**2), None, np.array([1.0, 2.0])), [2.0, 4.0]
    )


def test_complex_gradients_point_uphill():
    z = np.array([1 + 2j])
    gradient = sd.evaluate_gradient(lambda w: np.sum(np.abs(w["z"]) ** 2), None, {"z": z, "x": 1.0})
    np.testing.assert_allclose(gradient["z"], 2 * z)
    assert gradient["x"] == 0.0
    # Its arithmetic is still there.
    np.testing.assert_allclose((-1 * gradient)["z"], -2 * z)


@pytest.mark.parametrize(
    ("loss", "weights", "message"),
    [
        (lambda w: w * 1.0, np.ones(2), "must return a real scalar"),
        (lambda w: np.sum(w), np.ones(2, int), "no floating-point value"),
    ],
)
def test_what_has_no_gradient_is_refused(loss, weights, message):
    with pytest.raises(NotDifferentiableError, match=message):
        sd.evaluate_gradient(loss, None, weights)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_a_batch_is_of_different_examples_kept_together(length, size, seed):
    data = {"x": np.arange(length), "y": [np.arange(length)[:, None] * 2.0]}
    if size > length:
        with pytest.raises(BadInputError, match=f"a size from 1 to {length}"):
            sd.sample_training_data(data, size, seed)
        return
    batch = sd.sample_training_data(data, size, seed)
    assert batch["x"].shape == (size,)
    assert batch["y"][0].shape == (size, 1)
    assert batch["y"][0].dtype == np.float64
    assert len(set(batch["x"].tolist())) == size
    np.testing.assert_array_equal(batch["y"][0][:, 0], 2 * batch["x"])


def test_all_examples_are_drawn_equally_often():
    rng = np.random.default_rng(0)
    drawn = [sd.sample_training_data(np.arange(10), 3, rng) for _ in range(4000)]
    counts = np.bincount(np.concatenate(drawn), minlength=10)
    # 1200 expected, standard deviation √(4000 · 0.3 · 0.7) = 29.
    assert np.all(np.abs(counts - 1200) < 5 * 29)


def test_batches_are_copies():
    data = np.arange(5.0)
    batch = sd.sample_training_data(data, 5, 0)
    batch += 100
    np.testing.assert_array_equal(data, np.arange(5.0))


def test_seeds_repeat_and_generators_go_on():
    first, second = (sd.sample_training_data(np.arange(100), 10, 7) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    rng = np.random.default_rng(7)
    np.testing.assert_array_equal(sd.sample_training_data(np.arange(100), 10, rng), first)
    assert np.any(sd.sample_training_data(np.arange(100), 10, rng) != first)
    assert np.any(
        sd.sample_training_data(np.arange(1000), 50) != sd.sample_training_data(np.arange(1000), 50)
    )


def test_threads_share_the_generator_of_the_process():
    batches: list[tuple[int, ...]] = []

    def draw():
        batches.extend(tuple(sd.sample_training_data(np.arange(1000), 20)) for _ in range(50))

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(batches) == 400
    assert all(len(set(batch)) == 20 for batch in batches)
    assert len(set(batches)) == 400


def test_one_thread_draws_at_a_time():
    shared = textbook._SharedGenerator()
    shared.draw(3, 1)

    class Watched:
        def choice(self, *args, **settings):
            assert shared._lock.locked()
            return np.zeros(1, np.int64)

    shared._generator = Watched()  # type: ignore[assignment]
    shared.draw(3, 1)
    assert not shared._lock.locked()


def test_a_forked_process_draws_for_itself(monkeypatch):
    generator = textbook._SharedGenerator()
    generator.draw(1000, 20)
    own = generator._generator
    monkeypatch.setattr(os, "getpid", lambda: -1)
    generator.draw(1000, 20)
    assert generator._generator is not own


@pytest.mark.parametrize(
    ("data", "size", "rng", "message"),
    [
        (np.arange(3), 0, 0, "size must be an integer of at least 1, and is 0"),
        (np.arange(3), -1, 0, "size must be an integer"),
        (np.arange(3), 1.0, 0, r"size must be an integer of at least 1, and is 1\.0"),
        (np.arange(3), True, 0, "size must be an integer"),
        (np.arange(3), 4, 0, "4 examples cannot be drawn without replacement from 3"),
        (np.arange(0), 1, 0, "there are no examples"),
        ((np.arange(3), np.arange(4)), 1, 0, r"\[0\] has 3, \[1\] has 4"),
        ([1.0, 2.0], 1, 0, r"\[0\] is of type float"),
        ({"x": np.arange(3), "y": None}, 1, 0, "y is of type NoneType"),
        ((), 1, 0, "holds no array"),
        ({"x": np.array(3.0)}, 1, 0, "x of the data is a 0-d array"),
        (np.array([object()]), 1, 0, "dtype object"),
        (np.ma.masked_array([1.0]), 1, 0, "MaskedArray"),
        (np.arange(3), 1, "seed", "rng must be a random generator or a seed"),
        (np.arange(3), 1, -1, "rng must be a random generator or a seed"),
    ],
)
def test_bad_input_is_refused(data, size, rng, message):
    with pytest.raises(BadInputError, match=message):
        sd.sample_training_data(data, size, rng)
