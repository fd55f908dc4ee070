"""Writing traced values into ndarrays that methods and operators made in the function."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.array.conftest import central_difference

import steepest as sd
from steepest.array import adopting
from steepest.errors import NeedsValueError, UnsupportedError

_GENERATOR = np.random.default_rng(0)
VECTOR = _GENERATOR.normal(size=7)
MATRIX = _GENERATOR.normal(size=(4, 5))
W = _GENERATOR.normal(size=7)
PLACES = np.array([0, 2])


class _State:
    def __init__(self, u: Any) -> None:
        self.u = u.copy()
        self.time = 0.0

    def step(self, rate: Any) -> None:
        self.u[1:-1] += rate * (self.u[2:] - self.u[:-2])
        self.u[0] = rate
        self.time += rate


def _slice(w: Any) -> Any:
    u = VECTOR.copy()
    u[1:-1] = w[1:-1] ** 2
    return u


def _entries(w: Any) -> Any:
    u = VECTOR.copy()
    for i in range(3):
        u[i] = w[i] ** 2 * u[i + 1]
    return u


def _index_array(w: Any) -> Any:
    u = VECTOR.copy()
    u[PLACES] = w[:2] ** 2
    return u


def _mask(w: Any) -> Any:
    u = VECTOR.copy()
    u[VECTOR > 0] = (w**2)[VECTOR > 0]
    return u


def _one_value(w: Any) -> Any:
    u = VECTOR.copy()
    u[2:] = w[0] * w[1]
    return u


def _matrix(w: Any) -> Any:
    u = MATRIX.copy()
    u[1] = w[:5] ** 2
    u[:, 2] *= w[0]
    u[1:3, [0, 4]] = w[:2]
    u[2, 3] = w[6]
    return u


def _backwards(w: Any) -> Any:
    u = MATRIX.copy()
    u[::-1, 1:4:2] = w[:2]
    u[:, ::-2] += w[:4, None]
    return u


def _other_order(w: Any) -> Any:
    u = MATRIX.copy(order="F")
    u[1:3, :4] = w[:4]
    return u


def _operators(w: Any) -> Any:
    u = VECTOR * 2
    u += w**2
    u *= w
    u[1:] -= w[1:] ** 2
    u[PLACES] /= w[:2]
    return u


def _attribute(w: Any) -> Any:
    state = _State(VECTOR)
    for _ in range(3):
        state.step(w[2])
    state.u += state.time
    return state.u


def _time_steps(w: Any) -> Any:
    u = VECTOR.copy()
    n = u.size
    for _ in range(4):
        before = u.copy()
        u[1 : n - 1] = before[1 : n - 1] + w[0] * (before[2:] - 2 * before[1 : n - 1] + before[:-2])
        u[0], u[-1] = w[1], before[-2]
    return u


def _used_before(w: Any) -> Any:
    u = VECTOR.copy()
    for _ in range(3):
        u[1:-1] = u[1:-1] + w[0] * (u[2:] - 2 * u[1:-1] + u[:-2])
    v = MATRIX.copy()
    total = np.sum(v[:, :4] * w[:4]) + np.sum(v * w[1])
    v[1:3] = w[2]
    v += w[:5]
    return u * total * v[2, 2]


def _used_before_and_never_again(w: Any) -> Any:
    u = VECTOR.copy()
    total = np.sum(u * w)
    u[1:3] = w[1:3]
    return total


def _without_axes(w: Any) -> Any:
    u = np.add.reduce(VECTOR)[...].copy()
    u[...] = w[0]
    u *= w[1]
    return u


def _cell(w: Any) -> Any:
    u = VECTOR.copy()

    def squares() -> Any:
        return u**2

    u[1:3] = w[1:3]
    return squares()


def _argument(w: Any) -> Any:
    def written(v: Any) -> Any:
        v[1:] = w[1:] ** 2
        return v

    return written(VECTOR.copy())


def _own_generator(w: Any) -> Any:
    def steps() -> Iterator[Any]:
        u = VECTOR.copy()
        while True:
            u[1:] = w[1:] * w[0]
            yield u

    return next(steps())


def _threads(w: Any) -> Any:
    def written(k: int) -> Any:
        u = VECTOR.copy()
        u[k] = w[k] ** 2
        u += w
        return np.sum(u**2)

    with ThreadPoolExecutor(2) as pool:
        return np.array(list(pool.map(written, range(3))))


def _several_targets(w: Any) -> Any:
    u, v = VECTOR.copy(), VECTOR.copy()
    u[1:] = v[1:] = w[1:] ** 2
    return u * v


def _no_place(w: Any) -> Any:
    u = VECTOR.copy()
    u[3:3] = w[3:3]
    return u * w


def _an_error(w: Any) -> Any:
    u = VECTOR.copy()
    try:
        u[1:3] = w
    except ValueError:
        u[1:3] = w[1:3]
    return u


def _complex(w: Any) -> Any:
    u = VECTOR.astype(complex)
    u[1] = w[1] * (1 + 2j)
    u[2:4] = w[2:4] * 1j
    return np.abs(u) ** 2


def _integers(w: Any) -> Any:
    u = np.array([3, 1, 2]).copy()
    u[1:] = w[1:3]
    return u * w[:3]


def _from_a_generator(w: Any) -> Any:
    u = np.random.default_rng(3).normal(size=9)[2:].copy()
    u[2] = w[2]
    return u


def _with_key_of_calls(w: Any) -> Any:
    u = np.outer(VECTOR, VECTOR)
    state = _State(VECTOR)
    u[1 : len(u) - 2] = w
    u[min(1, 2) :, 3] = w[1:]
    u[1 : state.u.size] += w
    return u


def _two_names_at_once(w: Any) -> Any:
    # Python 3.13 gets local variables that are next to each other by one instruction.
    i, j = 2, 5
    u, v = VECTOR.copy(), VECTOR.copy()
    kept = u[:] = w
    state = _State(VECTOR)
    state.u[i:j] = w[i:j]
    entry = w[i] * w[j]
    u[i] = entry
    u[i] += entry
    u[i:j] *= entry
    for k in range(3):
        if k != 1:
            v[k] = 0.5
        u[k] += entry
    v[i - j] = entry
    return u * v * kept * state.u


PROGRAMS: tuple[Callable[[Any], Any], ...] = (
    _slice, _entries, _index_array, _mask, _one_value, _matrix, _backwards, _other_order,
    _operators, _attribute, _time_steps, _cell, _argument, _own_generator, _threads,
    _several_targets, _no_place, _used_before, _used_before_and_never_again,
    _without_axes, _an_error, _complex, _integers, _from_a_generator,
    _with_key_of_calls, _two_names_at_once,
)  # fmt: skip


def _slope(loss: Callable[[Any], Any], along: Any) -> Any:
    return central_difference(lambda h: loss(W + h * along))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__.strip("_"))
def test_an_ndarray_that_one_name_holds_is_written_into(program: Callable[[Any], Any]) -> None:
    def loss(w: Any) -> Any:
        u = program(w)
        return np.sum(np.sin(u) * u)

    value, gradient = sd.value_and_grad(loss)(W)
    assert value == loss(W)
    expected = [_slope(loss, each) for each in np.eye(W.size)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-7)
    along = _GENERATOR.normal(size=W.size)
    np.testing.assert_allclose(sd.jvp(loss, (W,), (along,))[1], along @ gradient, rtol=1e-10)
    hessian = sd.hessian(loss)(W)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9, atol=1e-9)
    if program not in (_threads, _own_generator):
        np.testing.assert_allclose(sd.compile(sd.grad(loss))(W), gradient, rtol=1e-10)


@pytest.mark.parametrize("size", [10, 1_000, 100_000])
def test_arrays_that_the_trace_has_captured(size: int) -> None:
    data = np.linspace(0.0, 1.0, size)

    def loss(rate: Any) -> Any:
        u = data.copy()
        kept = u[::2] * rate
        u[1:-1] += rate * (u[2:] - 2 * u[1:-1] + u[:-2])
        u[0] = rate
        return np.sum(u**2) + np.sum(kept)

    def loss_of_a_view(rate: Any) -> Any:
        u = data.copy()
        view = u[::2]
        scaled = view * rate
        u[1:-1] = scaled[0]
        return np.sum(view * scaled)

    expected = central_difference(lambda h: loss(0.3 + h))
    for transform in (sd.grad, sd.compile):
        with pytest.raises((UnsupportedError, NeedsValueError)):
            transform(loss_of_a_view)(0.3)
    for gradient in (sd.grad(loss), sd.grad(sd.compile(loss))):
        np.testing.assert_allclose(gradient(0.3), expected, rtol=1e-8)
    np.testing.assert_allclose(sd.jvp(loss, (0.3,), (1.0,))[1], expected, rtol=1e-8)


def test_what_was_captured_stays_what_it_is() -> None:
    before = VECTOR.copy(), MATRIX.copy()
    for program in PROGRAMS:
        sd.grad(lambda w, program=program: np.sum(program(w)))(W)
    np.testing.assert_array_equal(VECTOR, before[0])
    np.testing.assert_array_equal(MATRIX, before[1])


@given(data=st.data())
def test_any_key(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    whole = np.arange(1.0, np.prod(shape) + 1).reshape(shape)
    entries: list[Any] = []
    for length in shape:
        part = st.slices(length) | st.integers(-length, length - 1)
        places = st.lists(st.integers(-length, length - 1), max_size=3).map(
            lambda given: np.array(given, int)
        )
        entries.append(data.draw(part if any(map(_is_array, entries)) else part | places))
    key: Any = tuple(entries[: data.draw(st.integers(1, len(entries)))])
    taken = whole[key].shape
    as_one = data.draw(st.booleans())
    value = np.array(0.5) if as_one else np.arange(0.5, np.prod(taken)).reshape(taken)
    operator = data.draw(st.sampled_from(["=", "+="]))

    def loss(v: Any) -> Any:
        u = whole.copy()
        if operator == "=":
            u[key] = v * 1.0
        else:
            u[key] += v
        return np.sum(u * weights), u

    def loss_of_two_names(v: Any) -> Any:
        u = whole.copy()
        second = [u]
        if operator == "=":
            u[key] = v * 1.0
        else:
            u[key] += v
        return np.sum(second[0])

    with pytest.raises(UnsupportedError, match="captured"):
        sd.grad(loss_of_two_names)(value)
    weights = np.cos(whole)
    expected = loss(value)[1]
    gradient, u = sd.grad(loss, has_aux=True)(value)
    np.testing.assert_array_equal(u, expected)
    where = np.zeros(shape)
    numbered = np.zeros(shape, int)
    numbered[key] = 0 if as_one else np.arange(value.size).reshape(taken)
    where[key] = 1
    by_entry = np.zeros(value.size)
    np.add.at(by_entry, numbered[where > 0], weights[where > 0])
    np.testing.assert_allclose(np.ravel(gradient), by_entry, atol=1e-12)


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)


def _second_name(w: Any) -> Any:
    u = VECTOR.copy()
    second = u
    u[1:] = w[1:]
    return second


def _in_a_list(w: Any) -> Any:
    u = VECTOR.copy()
    both = [u]
    u[1:] = w[1:]
    return both[0]


def _in_a_list_by_index_array(w: Any) -> Any:
    u = VECTOR.copy()
    both = [u]
    u[PLACES] = w[PLACES]
    return both[0]


def _in_a_list_entry(w: Any) -> Any:
    u = VECTOR.copy()
    both = [u]
    u[1] = w[1]
    return both[0]


def _in_a_list_by_operator(w: Any) -> Any:
    u = VECTOR.copy()
    both = [u]
    u += w
    return both[0]


def _with_a_view(w: Any) -> Any:
    u = VECTOR.copy()
    view = u[2:]
    u[1:] = w[1:]
    return view


def _through_a_view(w: Any) -> Any:
    u = VECTOR.copy()
    view = u[2:]
    view[1:] = w[3:]
    return u


def _through_a_view_by_operator(w: Any) -> Any:
    u = VECTOR.copy()
    view = u[2:]
    view += w[2:]
    return u


def _captured(w: Any) -> Any:
    VECTOR[1:] = w[1:]
    return VECTOR


def _captured_by_name(w: Any) -> Any:
    u = VECTOR
    u += w
    return VECTOR


def _in_a_dict(w: Any) -> Any:
    arrays = {"u": VECTOR.copy()}
    u = arrays["u"]
    arrays["u"] += w
    return u


def _second_attribute(w: Any) -> Any:
    state = _State(VECTOR)
    u = state.u
    state.u[1:] = w[1:]
    return u


class _Shared:
    u = VECTOR.copy()


def _of_a_class(w: Any) -> Any:
    _Shared().u += w
    return _Shared.u


def _of_a_class_by_key(w: Any) -> Any:
    shared = _Shared()
    shared.u[1:] = w[1:]
    return _Shared.u


def _of_a_class_by_operator(w: Any) -> Any:
    shared = _Shared()
    shared.u += w
    return _Shared.u


def _make_enclosed() -> Callable[[Any], Any]:
    u = VECTOR.copy()

    def enclosed(w: Any) -> Any:
        u[1:] = w[1:]
        return u

    return enclosed


def _chosen(w: Any) -> Any:
    u, v = VECTOR.copy(), MATRIX[0].copy()
    both = [v]
    (u if len(both) == 1 else v)[PLACES] = w[PLACES]
    return 2.0 * u + len(both)


def _chosen_slice(w: Any) -> Any:
    u, v = VECTOR.copy(), MATRIX[0].copy()
    both = [v, v]
    (u if len(both) == 2 else v)[1:3] = w[1:3]
    return 2.0 * u + len(both)


def _renamed_by_the_key(w: Any) -> Any:
    u, v = VECTOR.copy(), VECTOR.copy()
    second = u
    both = [v]
    u[[(u := v).size - 1]] = w[:1]
    return second * len(both)


def _renamed_by_the_value(w: Any) -> Any:
    u, v = VECTOR.copy(), VECTOR.copy()
    second = u
    both = [v]
    u[PLACES] += (u := v)[PLACES] * w[PLACES]
    return second * len(both)


REFUSED: tuple[Callable[[Any], Any], ...] = (
    _second_name, _in_a_list, _in_a_list_by_index_array, _in_a_list_entry, _in_a_list_by_operator,
    _with_a_view, _through_a_view, _through_a_view_by_operator, _captured, _captured_by_name,
    _chosen, _chosen_slice, _renamed_by_the_key, _renamed_by_the_value,
    _in_a_dict, _second_attribute, _of_a_class, _of_a_class_by_key, _of_a_class_by_operator,
    _make_enclosed(),
)  # fmt: skip


@pytest.mark.parametrize("program", REFUSED, ids=lambda each: each.__name__.strip("_"))
def test_an_ndarray_that_somebody_else_holds_is_refused(program: Callable[[Any], Any]) -> None:
    before = VECTOR.copy()
    with pytest.raises(UnsupportedError, match="captured") as caught:
        sd.grad(lambda w: np.sum(program(w)))(W)
    assert caught.value.line is not None
    assert "w" in caught.value.line.text
    with pytest.raises((UnsupportedError, NeedsValueError)):
        sd.compile(lambda w: np.sum(program(w)))(W)
    np.testing.assert_array_equal(VECTOR, before)


def test_an_argument_is_the_callers() -> None:
    def loss(w: Any, x: Any) -> Any:
        x[1:] = w[1:]
        return np.sum(x)

    with pytest.raises(UnsupportedError, match="ndarray"):
        sd.grad(loss)(W, VECTOR)

    def of_a_copy(w: Any, x: Any) -> Any:
        y = x.copy()
        y[1:] = w[1:] ** 2
        return np.sum(y * x)

    np.testing.assert_allclose(
        sd.grad(of_a_copy)(W, VECTOR), [0.0, *(2 * W * VECTOR)[1:]], rtol=1e-12
    )


def test_nothing_is_adopted_by_an_unknown_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopting, "_IS_KNOWN", False)
    for program in (_slice, _entries, _operators, _attribute, *REFUSED):
        with pytest.raises(UnsupportedError):
            sd.grad(lambda w, program=program: np.sum(program(w)))(W)
    script = """
import sys
import numpy as np
sys.implementation.name = "another"
import steepest as sd

def loss(x):
    u = np.zeros(3)
    u[1:] = x[1:] ** 2
    return np.sum(u)

assert list(sd.grad(loss)(np.ones(3))) == [0.0, 2.0, 2.0]
"""
    subprocess.run([sys.executable, "-c", script], check=True)
