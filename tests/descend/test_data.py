"""Where batches come from: every example once, stacked, copied, and refused where wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steepest.descend import descend
from steepest.descend.data import find_source
from steepest.errors import BadInputError


def batches(data, batch_size=None, replacement=False, seed=0):
    return list(find_source(data, batch_size, replacement).epoch(np.random.default_rng(seed)))


# Arrays


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**32))
def test_an_epoch_has_every_example_once(length, batch_size, seed):
    data = (np.arange(length), np.arange(length)[:, None] ** 2.0)
    taken = batches(data, batch_size, seed=seed)
    assert len(taken) == -(-length // batch_size)
    assert [len(x) for x, _ in taken[:-1]] == [batch_size] * (len(taken) - 1)
    numbers = np.concatenate([x for x, _ in taken])
    assert sorted(numbers.tolist()) == list(range(length))
    for x, y in taken:
        assert y.dtype == np.float64
        np.testing.assert_array_equal(y[:, 0], x**2.0)


@pytest.mark.parametrize("batch_size", [1, 10])
def test_each_epoch_has_an_order_of_its_own(batch_size):
    source = find_source(np.arange(100), batch_size, False)
    rng = np.random.default_rng(0)
    first, second = (np.concatenate(list(source.epoch(rng))) for _ in range(2))
    assert np.any(first != second)
    assert np.any(first != np.arange(100))


@pytest.mark.parametrize("batch_size", [None, 7, 8])
def test_a_full_batch_is_the_data_in_their_order(batch_size):
    (batch,) = batches({"x": np.arange(7)}, batch_size)
    np.testing.assert_array_equal(batch["x"], np.arange(7))


def test_single_examples_keep_their_axis():
    assert {batch.shape for batch in batches(np.ones((5, 3)), 1)} == {(1, 3)}


def test_replacement_draws_from_all_examples():
    taken = batches(np.arange(10), 4, replacement=True)
    assert [len(batch) for batch in taken] == [4, 4, 4]
    source = find_source(np.arange(10), 4, True)
    rng = np.random.default_rng(0)
    drawn = np.concatenate([batch for _ in range(300) for batch in source.epoch(rng)])
    counts = np.bincount(drawn, minlength=10)
    # 360 expected, standard deviation √(3600 · 0.1 · 0.9) = 18.
    assert np.all(np.abs(counts - 360) < 5 * 18)
    assert any(len(set(batch.tolist())) < 4 for batch in taken)
    assert [len(batch) for batch in batches(np.arange(3), 8, replacement=True)] == [8]


@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_batches_are_read_only(batch_size):
    data = np.arange(5.0)
    for batch in batches(data, batch_size):
        with pytest.raises(ValueError, match="read-only"):
            batch[0] = 1
    assert data.flags.writeable


@pytest.mark.parametrize(
    "data",
    [
        np.asfortranarray(np.arange(12.0).reshape(6, 2)),
        np.arange(24.0).reshape(12, 2)[::2],
        np.broadcast_to(np.arange(2.0), (6, 2)),
        np.zeros((6, 0)),
        np.array(["a", "b", "c"]),
    ],
    ids=["Fortran", "strided", "broadcast", "empty rows", "strings"],
)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_unusual_arrays(data, batch_size):
    taken = np.concatenate(batches(data, batch_size))
    np.testing.assert_array_equal(np.sort(taken, axis=0), np.sort(data, axis=0))


# Examples one by one


def examples(count):
    for number in range(count):
        yield {"x": np.full(2, number, np.float32), "label": number}


def test_examples_are_stacked_as_they_arrive():
    taken = batches(examples(5), 2)
    assert [batch["label"].tolist() for batch in taken] == [[0, 1], [2, 3], [4]]
    assert taken[0]["x"].dtype == np.float32
    assert taken[2]["x"].shape == (1, 2)


def test_examples_come_one_by_one_unless_told_otherwise():
    assert [batch["x"].shape for batch in batches(examples(3))] == [(1, 2)] * 3


def test_a_generator_may_reuse_its_array():
    def reusing():
        buffer = np.zeros(2)
        for number in range(4):
            buffer[:] = number
            yield buffer

    np.testing.assert_array_equal(batches(reusing(), 4)[0], np.arange(4)[:, None] * np.ones(2))


def test_no_example_is_asked_for_before_it_is_needed():
    asked = []

    def watched():
        for number in range(10):
            asked.append(number)
            yield float(number)

    result = descend(loss_fn, 0.0, watched(), step_size=0.1, batch_size=2, steps=3)
    assert result.steps == 3
    assert asked == [0, 1, 2, 3, 4, 5]


class Stream:
    """Examples that can be iterated over again."""

    def __iter__(self):
        return iter([1.0, 2.0, 3.0])


def loss_fn(weights, batch):
    return np.mean((weights - batch) ** 2)


@pytest.mark.parametrize(
    ("make", "steps", "epochs", "per_epoch", "code"),
    [
        (lambda: (float(n) for n in range(3)), 3, 1, 3, "data_exhausted"),
        (Stream, 9, 3, 3, "epochs_done"),
        (lambda: iter(range(3)), 3, 1, 3, "data_exhausted"),
    ],
    ids=["generator", "iterable", "iterator"],
)
def test_passes_through_examples(make, steps, epochs, per_epoch, code):
    result = descend(loss_fn, 0.0, make(), step_size=0.1, epochs=3)
    assert (result.steps, result.epochs, result.steps_per_epoch) == (steps, epochs, per_epoch)
    assert result.stopped.code == code


def test_a_generator_function_is_called_for_each_epoch():
    def observations():
        yield from [1.0, 2.0, 3.0]

    result = descend(loss_fn, 0.0, observations, step_size=0.1, epochs=3)
    again = descend(loss_fn, 0.0, Stream(), step_size=0.1, epochs=3)
    assert result.steps == 9
    assert result.weights == again.weights


def test_one_pass_through_a_generator_is_one_epoch():
    result = descend(loss_fn, 0.0, iter([1.0, 2.0]), step_size=0.1, epochs=1)
    assert result.stopped.code == "epochs_done"


def test_on_line_descent_follows_the_hand_formula():
    stream = [1.0, -2.0, 0.5]
    weight = 0.0
    for value in stream:
        weight -= 0.1 * 2 * (weight - value)
    result = descend(loss_fn, 0.0, iter(stream), step_size=0.1, epochs=1)
    assert result.weights == pytest.approx(weight, rel=1e-15)


# Callables


def test_a_callable_makes_batches_with_the_runs_generator():
    def make(rng):
        return rng.normal(size=5)

    first, second = (descend(loss_fn, 0.0, make, step_size=0.1, steps=10, seed=3) for _ in range(2))
    assert first.weights == second.weights
    assert first.weights != descend(loss_fn, 0.0, make, step_size=0.1, steps=10, seed=4).weights
    assert (first.epochs, first.steps_per_epoch) == (0, None)


def test_a_callable_ends_the_run_by_stop_iteration():
    stream = iter([np.ones(2), np.zeros(3)])
    result = descend(loss_fn, 0.0, lambda rng: next(stream), step_size=0.1, steps=10)
    assert (result.steps, result.stopped.code) == (2, "data_exhausted")
    assert result.stopped.message == "the data came to their end after 2 steps"


# Refusals


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ((np.ones(3), np.ones(4)), {}, r"\[0\] has 3, \[1\] has 4"),
        ({"x": np.ones(3), "y": {"z": np.ones(2)}}, {}, "x has 3, y.z has 2"),
        ([1.0, 2.0], {}, r"\[0\] is of type float"),
        (np.zeros((0, 3)), {}, "there are no examples"),
        (np.array(1.0), {}, "0-d array"),
        ([], {}, "holds no array"),
        (3.0, {}, "data must be arrays, an iterable of examples or a callable, not float"),
        ("data.csv", {}, "not str"),
        (np.ones(3), {"batch_size": 0}, "batch_size must be an integer of at least 1, and is 0"),
        (np.ones(3), {"batch_size": -1}, "and is -1"),
        (np.ones(3), {"batch_size": 1.5}, r"and is 1\.5"),
        (np.ones(3), {"batch_size": True}, "and is True"),
        (np.ones(3), {"replacement": True}, "there is no batch_size"),
        (iter([1.0]), {"replacement": True}, "needs data that are arrays"),
        (None, {"batch_size": 3}, "batch_size=3 without data"),
        (lambda rng: np.ones(3), {"batch_size": 3}, "makes whole batches"),
        (iter([]), {}, "the data gave no example"),
        (iter([{"x": "a"}]), {}, "x is of type str"),
        (iter([{"x": 1.0}, {"y": 1.0}]), {"batch_size": 2}, "example 1 is not put together like"),
        (iter([np.ones(2), np.ones(3)]), {"batch_size": 2}, r"example 1 is of shape \(3,\)"),
        (iter([1, 0.5]), {"batch_size": 2}, "dtype float64, and that of the first one is int64"),
        (lambda rng: [1.0, 2.0], {}, r"\[0\] is of type float"),
    ],
)
def test_bad_data_are_refused(data, settings, message):
    with pytest.raises(BadInputError, match=message):
        descend(loss_fn, 0.0, data, step_size=0.1, steps=5, **settings)
