"""Stacks of matrices in rounds: the same numbers as one item after the other, in less memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines.native.programs import errors_of, fused, recorded

import steepest as sd
from steepest.engines.native import loop, partition, products, program, rounds, threads
from steepest.engines.native.in_place import written_in_place
from steepest.engines.native.layout import buffers_written, lay_out
from steepest.engines.native.listing import listing
from steepest.engines.native.nests import Kernel, MatrixProduct, Program
from steepest.engines.native.program import Native

NUMBER_OF_PROGRAMS = 20
VERY_MANY = 1_000
Stacks = dict[str, Any]


@pytest.fixture
def short_rounds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let all take turns that can, and threads share what they can, however small."""
    monkeypatch.setenv("STEEPEST_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(rounds, "LEAST_HANDED_ON", 0)
    monkeypatch.setattr(rounds, "ROUND", 500)
    monkeypatch.setattr(partition, "PIECE", 20)
    monkeypatch.setattr(program, "WORTH_WAKING", 0)


def mixture(parameters: Any, points: Any) -> Any:
    """A mixture of Gaussians: the loops before and after a product of a stack."""
    centred = points - parameters["means"][:, None, :]
    scaled = np.matmul(centred, np.swapaxes(parameters["roots"], 1, 2))
    exponents = parameters["logits"][:, None] - 0.5 * np.sum(scaled * scaled, axis=2)
    largest = np.max(exponents, axis=0)
    return np.sum(np.log(np.sum(np.exp(exponents - largest), axis=0)) + largest)


def parameters_of(components: int, dimensions: int) -> Stacks:
    rng = np.random.default_rng(0)
    return {
        "logits": rng.normal(size=components),
        "means": rng.normal(size=(components, dimensions)),
        "roots": rng.normal(size=(components, dimensions, dimensions)),
    }


def attention(weights: Any, inputs: Any) -> Any:
    """Attend in several heads, in two axes of the stack."""
    queries, keys, values = (np.einsum("btd,hde->bhte", inputs, each) for each in weights)
    scores = queries @ np.swapaxes(keys, -1, -2) / queries.shape[-1] ** 0.5
    scores = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return np.mean((scores / np.sum(scores, axis=-1, keepdims=True) @ values) ** 2)


def program_of(function: Callable[..., Any], *arguments: Any) -> Program:
    return fused(recorded(sd.grad(function), arguments).graph)


# -- what takes turns ----------------------------------------------------------------------------


def test_a_mixture_takes_turns_before_and_after_what_all_components_share() -> None:
    found = program_of(mixture, parameters_of(25, 10), np.ones((1000, 10)))
    kinds = [[type(item) for item in found.items[each.first : each.last]] for each in found.rounds]
    assert kinds == [
        [Kernel, MatrixProduct, Kernel],
        [Kernel, MatrixProduct, MatrixProduct, Kernel],
    ]
    assert all((each.count, each.size) == (25, 1) for each in found.rounds)
    # The gradients of the scaled and of the centred points: one component's.
    assert sorted(found.rounds[1].private.values())[-2:] == [80_000, 80_000]
    assert "1 of 25 at a time" in listing(found)


def test_the_arena_has_no_room_for_what_a_round_alone_needs() -> None:
    recording = recorded(sd.grad(mixture), (parameters_of(25, 10), np.ones((1000, 10))))
    found = fused(recording.graph)
    with_rounds = lay_out(found)
    private = sum(each.bytes for one in found.rounds for each in one.private)
    found.rounds.clear()
    assert private >= 2 * 25 * 80_000
    assert with_rounds <= lay_out(found) - 25 * 80_000


@pytest.mark.parametrize(
    ("components", "dimensions", "points", "size"),
    [(25, 10, 1000, 1), (100, 4, 400, 5), (13, 7, 999, 2), (61, 3, 1000, 4)],
)
def test_matrices_of_a_round(components: int, dimensions: int, points: int, size: int) -> None:
    found = program_of(
        mixture, parameters_of(components, dimensions), np.ones((points, dimensions))
    )
    assert found.rounds[0].size == size


@pytest.mark.parametrize(
    "points", [10, pytest.param(100_000, id="a matrix larger than the caches")]
)
def test_what_gains_nothing_stays_as_it_is(points: int) -> None:
    assert not program_of(mixture, parameters_of(6, 4), np.ones((points, 4))).rounds


def test_a_thread_has_enough_stack() -> None:
    # macOS gives no more to threads.
    assert rounds.MOST_PRIVATE + products._SCRATCH <= 448 * 1024


def test_code_that_computes_with_care_goes_item_by_item() -> None:
    recording = recorded(sd.grad(mixture), (parameters_of(25, 10), np.ones((1000, 10))))
    assert not fused(recording.graph, careful=True).rounds


@pytest.mark.usefixtures("short_rounds")
@pytest.mark.parametrize("other", [0, -1])
def test_another_matrix_of_the_stack_is_not_read_before_its_round(other: int) -> None:
    def function(stacks: Any) -> Any:
        products = stacks[0] @ stacks[1]
        return np.sum((stacks[2] * products[other]) @ stacks[1])

    arrays = [np.random.default_rng(each).normal(size=(7, 12, 12)) for each in range(3)]
    recording = recorded(function, (arrays,))
    found = fused(recording.graph)
    assert [(each.first, each.last) for each in found.rounds] == [(1, 3)]
    assert not errors_of(recording)


@pytest.mark.usefixtures("short_rounds")
@pytest.mark.parametrize("has_others", [False, True])
def test_weights_are_written_over_unless_another_round_reads_them(has_others: bool) -> None:
    def step(weights: Any, inputs: Any) -> Any:
        outputs = np.tanh(inputs @ weights)
        if has_others:
            outputs = outputs * weights[-1, :1, :]
        return weights - 0.1 * (np.swapaxes(inputs, 1, 2) @ outputs)

    rng = np.random.default_rng(0)
    recording = recorded(step, (rng.normal(size=(7, 12, 9)), rng.normal(size=(7, 16, 12))))
    found = fused(recording.graph)
    assert [(each.first, each.last) for each in found.rounds] == [(0, 4)]
    assert found.outputs[0] in buffers_written(found.items[3])
    assert bool(written_in_place(found, [(0, 0)])) is not has_others
    found.rounds.clear()
    assert written_in_place(found, [(0, 0)])


def test_what_needs_nothing_of_a_stack_goes_ahead() -> None:
    def function(stacks: Any) -> Any:
        products = stacks[0] @ stacks[1]
        return np.tanh(products * np.exp(stacks[2][0, 0, 0])) @ stacks[1]

    arrays = [np.random.default_rng(each).normal(size=(50, 64, 64)) for each in range(3)]
    found = fused(recorded(function, (arrays,)).graph)
    kinds = [type(each) for each in found.items]
    assert kinds == [Kernel, MatrixProduct, Kernel, MatrixProduct]
    assert [(each.first, each.last) for each in found.rounds] == [(1, 4)]


# -- the same numbers ----------------------------------------------------------------------------


class RandomStacks:
    """A random function of stacks of matrices, most of whose steps keep to their own matrix."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._count = int(self._rng.choice([2, 3, 5, 8, 17]))
        dtype = self._rng.choice(["float32", "float64"])
        sizes = self._rng.choice([2, 9, 12, 16, 21], 2)
        self.arrays = [self._rng.normal(size=(self._count, *sizes)).astype(dtype) for _ in range(3)]
        self._choices = self._rng.random((int(self._rng.integers(4, 12)), 4))

    def __call__(self, arrays: Any) -> Any:
        known = [*arrays]
        for kind, *which in self._choices:
            x, y = (known[int(each * len(known))] for each in which[:2])
            known.append(self._step(kind, which[2], x, y))
        return sum((np.mean(each * each) for each in known[2:]), start=np.mean(known[0]))

    def _step(self, kind: float, number: float, x: Any, y: Any) -> Any:
        if kind < 0.35:
            return self._product(x, y)
        if kind < 0.7:
            other = y if y.shape == x.shape else np.mean(y, axis=(1, 2), keepdims=True)
            operations: tuple[Callable[[], Any], ...] = (
                lambda: np.tanh(x) + other,
                lambda: x * other,
                lambda: np.maximum(x, other),
                lambda: x - np.mean(x, axis=1, keepdims=True),
                lambda: x / (1 + np.sum(x * x, axis=2, keepdims=True)),
                lambda: np.where(x > 0, x, other),
            )
        else:
            operations = (
                lambda: np.swapaxes(x, 1, 2),
                lambda: x[::-1] * 0.5,
                lambda: x - np.mean(x, axis=0),
                lambda: x + np.arange(self._count, dtype=x.dtype)[:, None, None],
                lambda: x * np.sum(y) / y.size,
                lambda: np.concatenate([x[1:], x[:1]]),
                lambda: x * y[-1, :1, :1],
                lambda: x @ np.swapaxes(x[-1], 0, 1),
            )
        return operations[int(number * len(operations))]()

    def _product(self, x: Any, y: Any) -> Any:
        if x.shape[2] == y.shape[1]:
            return x @ y
        if x.shape[2] == y.shape[2]:
            return x @ np.swapaxes(y, 1, 2)
        if x.shape[1] == y.shape[1]:
            return np.swapaxes(x, 1, 2) @ y
        return x @ np.swapaxes(x[0], 0, 1)


def check_random_stacks(seed: int, monkeypatch: pytest.MonkeyPatch) -> int:
    drawn = RandomStacks(seed)
    recording = recorded(sd.grad(drawn), (drawn.arrays,))
    assert not errors_of(recording)
    results = []
    for number in (1, 2, 3, 7):
        monkeypatch.setenv(threads.VARIABLE, str(number))
        results.append(
            [np.asarray(each).tobytes() for each in Native(recording.graph)(recording.inputs)]
        )
    assert all(each == results[0] for each in results)
    return len(fused(recording.graph).rounds)


@pytest.mark.usefixtures("short_rounds")
def test_random_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [check_random_stacks(seed, monkeypatch) for seed in range(NUMBER_OF_PROGRAMS)]
    assert sum(map(bool, found)) > NUMBER_OF_PROGRAMS / 2


@pytest.mark.soak
@pytest.mark.usefixtures("short_rounds")
@pytest.mark.parametrize("seed", range(NUMBER_OF_PROGRAMS, VERY_MANY))
def test_many_random_stacks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check_random_stacks(seed, monkeypatch)


@pytest.mark.usefixtures("short_rounds")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_attention_in_several_heads(dtype: str) -> None:
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(2, 6, 5)).astype(dtype) for _ in range(3)]
    recording = recorded(sd.grad(attention), (weights, rng.normal(size=(9, 4, 6)).astype(dtype)))
    assert fused(recording.graph).rounds
    assert not errors_of(recording)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_in_one_matrix_is_as_numpy_has_it(value: float) -> None:
    parameters = parameters_of(25, 10)
    parameters["roots"][7, 2, 3] = value
    points = np.random.default_rng(1).normal(size=(1000, 10))
    gradient = sd.grad(mixture)
    assert program_of(mixture, parameters, points).rounds
    compiled = sd.compile(gradient, engine="native")
    expected = gradient(parameters, points)
    for name, each in compiled(parameters, points).items():
        np.testing.assert_allclose(each, expected[name], rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("short_rounds")
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_models_side_by_side_are_trained(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of a stack are written in place, while other models' products are to come."""
    made = []
    arrange = rounds.arrange_rounds

    def watched(program: Program) -> None:
        arrange(program)
        made.append(len(program.rounds))

    monkeypatch.setattr(loop, "arrange_rounds", watched)
    rng = np.random.default_rng(0)
    weights = {"first": rng.normal(size=(5, 3, 8)), "second": rng.normal(size=(5, 8, 2))}
    data = rng.normal(size=(64, 3)), rng.normal(size=(64, 2))

    def loss(weights: Any, batch: Any) -> Any:
        # All of them read what the first one has, also where its gradient is used.
        size = np.where(weights["first"][0, 0] > 0, 1.0, 0.5)
        hidden = np.tanh(batch[0] @ weights["first"]) * size
        outputs = hidden @ weights["second"] + hidden @ weights["second"][0]
        return np.mean((outputs - batch[1]) ** 2)

    options: dict[str, Any] = {"optimizer": optimizer, "batch_size": 16, "step_size": 0.01}
    options |= {"steps": 30, "seed": 0, "progress": False}
    natively = sd.descend(loss, weights, data, engine="native", profile=True, **options)
    by_numpy = sd.descend(loss, weights, data, engine="interpret", **options)
    assert any(made)
    assert natively.profile is not None
    assert all(part.seconds > 0 for part in natively.profile.parts if "product" in part.what)
    for name, each in natively.weights.items():
        np.testing.assert_allclose(each, by_numpy.weights[name], rtol=1e-9)
