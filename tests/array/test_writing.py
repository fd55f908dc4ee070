"""Writing into arrays: each idiom with NumPy's values to the bit, and with its derivatives."""

from __future__ import annotations

import copy
import gc
import math
import operator
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import steepest as sd
from steepest.array import Array
from steepest.array.array import forget
from steepest.compiling import compile as compiled
from steepest.errors import NeedsValueError, TracedConversionError, UnsupportedError
from steepest.ops import primitive

X = np.array([0.52, -1.23, 1.9, 0.77])
PLAIN = np.array([1.0, 2.0, 3.0, 4.0])
Function = Callable[[Any], Any]


def filled_one_by_one(x: Any) -> Any:
    out = np.zeros(4)
    for i in range(4):
        out[i] = np.sin(x[i]) * x[0]
    return out


def recurrence(x: Any) -> Any:
    out = np.empty(6)
    out[0] = x[0]
    for i in range(1, 6):
        out[i] = out[i - 1] * 0.9 + np.cos(out[i - 1]) * x[i % 4]
    return out


def earlier_results_stay(x: Any) -> Any:
    y = x.copy()
    before = y * y
    saved = y.copy()
    y[1:] = 0.0
    return before + saved + y


def matrix_of_rows(x: Any) -> Any:
    out = np.zeros((3, 4))
    for number, row in enumerate(out):
        row[:] = x * number
    out.T[0] *= x[0]
    return out


def nested_views(x: Any) -> Any:
    y = np.outer(x, x)
    block = y[1:3].T[::2]
    block[...] = x[0]
    corner = block[0]
    corner += x[1:3]
    y[0] = corner[0]
    return y + block[0, 0]


def view_outlives_its_base(x: Any) -> Any:
    part = (x * 2)[1:]
    part[0] = x[3] ** 2
    return part


def swapped(x: Any) -> Any:
    y = x * 1.0
    y[0], y[1] = y[1], y[0]
    y[[2, 3]] = y[[3, 2]]
    return y


def overlapping(x: Any) -> Any:
    y = x * 1.0
    y[1:] = y[:-1]
    y[:-1] += y[1:]
    y[::-1] = y
    return y


def last_of_several_wins(x: Any) -> Any:
    y = np.zeros(3)
    y[[0, 2, 0, -1]] = x
    return y


def masks(x: Any) -> Any:
    y = x.copy()
    y[y < 0] = 0
    y[y > 1] *= x[0]
    y[np.array([True, False, True, False])] = x[:2]
    z = np.outer(x, x)
    z[z[:, 0] < 0] = x
    z[:, x > 0.6] = 3.0
    return y + z


def complex_parts(x: Any) -> Any:
    z = np.zeros(4, complex)
    z.real = x
    z.imag[1:] = x[:-1] ** 2
    z[0] *= 1j
    return np.abs(z) ** 2 + z.real * z.imag


def integers_truncate(x: Any) -> Any:
    y = np.zeros(4, int)
    y[:] = x * 3
    return y * x


def narrow_buffer(x: Any) -> Any:
    y = np.zeros(4, np.float32)
    y[:] = x
    y[0] = x[1]
    return np.sum(y) + y[0]


def out_arguments(x: Any) -> Any:
    out = np.zeros(4)
    np.multiply(x, x, out=out)
    np.sin(out, out)
    np.add(out, x, out=out, where=x > 0)
    total = np.zeros(())
    np.sum(out, out=total)
    rows = np.empty((2, 4))
    np.stack([out, x], out=rows)
    np.cumsum(x, out=rows[1])
    np.dot(rows, x, out[:2])
    return rows.sum() * total + out


def at_methods(x: Any) -> Any:
    y = np.zeros((3, 2))
    np.add.at(y, [0, 2, 0, 1], x[:, None])
    np.subtract.at(y, ([0, 0], [1, 1]), x[:2])
    np.multiply.at(y, ([1, 1, 2], [0, 0, 1]), x[:3])
    np.negative.at(y, ([0, 0, 1], [0, 0, 1]))
    np.maximum.at(y, 0, x[0])
    z = np.full((2, 3, 2), 1.5)
    keys: list[Any] = [
        (slice(None), [0, -1, 0]),
        (..., [True, False]),
        ([1, 1], slice(None, None, 2), [0, 0]),
    ]
    np.multiply.at(z, keys[0], x[:2])
    np.divide.at(z, keys[1], x[2])
    np.logaddexp.at(z, keys[2], x[:2, None])
    return y, z


def functions_that_write(x: Any) -> Any:
    y = np.ones((3, 3))
    np.fill_diagonal(y, x[:3])
    np.copyto(y[0], x[1:])
    np.copyto(y, x[3] * 2, where=np.eye(3, dtype=bool)[::-1])
    np.put(y, [8, -2, 8], x[:3])
    np.place(y, y == 1, x[:2])
    np.putmask(y, y > 1.5, x)
    np.put_along_axis(y, np.array([[0], [2], [1]]), x[0] * x[1], axis=1)
    y.flat[4] = x[2]
    y.flat[5:7] = x[0]
    return y


class Place(NamedTuple):
    row: Any
    column: Any


def places_with_names(x: Any) -> Any:
    y = np.zeros((2, 3))
    y[Place(1, 2)] = x[0]
    y[Place([0, 1], [0, 1])] += x[1:3]
    np.add.at(y, Place([0, 0], [1, 1]), x[:2])
    return y[Place(1, 2)] * y


def methods_that_write(x: Any) -> Any:
    y = np.zeros(4)
    y.fill(x[0])
    y.put([0, 1], x[2:])
    z = y.view()
    z += x
    return y


def containers(x: Any) -> Any:
    class Layer:
        def __init__(self, weights: Any) -> None:
            self.weights = weights

        def update(self, gradient: Any) -> None:
            self.weights -= 0.5 * gradient

    layer = Layer(x * 1.0)
    kept = layer.weights
    layer.update(x * x)
    other = copy.deepcopy(layer)
    other.update(x)
    shallow = {"weights": kept}
    shallow["weights"][0] = x[3]
    return layer.weights + 2 * other.weights


def grows(x: Any, depth: int = 3) -> Any:
    if not depth:
        return x * 1.0
    part = grows(x, depth - 1)
    part[depth] += part[depth - 1] * x[0]
    return part


def lists_of_numbers(x: Any) -> Any:
    matrix = np.array([[x[0], 1], [2.5, x[1] * x[2]]])
    vector = np.asarray([each**2 for each in x])
    vector[0] += matrix[1, 1]
    return matrix @ vector[:2], np.array([x, vector]), np.array([x[0], 1], np.float32)


def by_name(x: Any) -> Any:
    alias = np.asarray(x)
    alias[0] = alias[1] * 2
    other = np.array(alias)
    other[2] = 0
    square = np.full((2, 2), x[1])
    square[0] += x[2]
    ramp = np.arange(0.0, 4.0) * x
    return alias + other + ramp + square[0, 0]


def vectorized(x: Any) -> Any:
    piece = np.vectorize(lambda t, k: t * t if t > 0 else k * t)
    along = np.apply_along_axis(lambda row: row[::-1] * row[0], 1, np.outer(x, x))
    over = np.apply_over_axes(np.sum, np.outer(x, x), [0, 1])
    several = np.vectorize(lambda t: (t, 2 * t), otypes=[float, float])(x)
    inner = np.vectorize(lambda u, v: u @ v, signature="(n),(n)->()")(np.outer(x, x), x)
    none = np.vectorize(lambda u: np.outer(u, u), signature="(n)->(n,n)", otypes=[float])
    assert none(np.ones((0, 3)) * x[0]).shape == (0, 3, 3)
    made = np.fromiter((each * 2 for each in x), float)
    return piece(x, 3.0) + along[0] + over[0] + several[1] + inner + made


def builtins(x: Any) -> Any:
    y = np.zeros(4)
    y[0] = sum(x)
    y[1] = max(x) * min(x)
    y[2] = abs(x[1]) + divmod(x[2], 0.75)[1]
    for i, (a, b) in enumerate(zip(x, reversed(x), strict=True)):
        y[i] += a * b
    return y[: len(x)]


def untraced_then_traced(x: Any) -> Any:
    y = np.linspace(0, 1, 4)
    y[1] = 7
    view = y[2:]
    y += 1
    y *= PLAIN
    grid = np.add.outer(y, y)
    constants = float(grid[0, 1]), int(y.size), [*np.arange(3)], math.sqrt(grid[0, 0])
    view[0] = x[0]
    grid[1:, 0] = x[1:]
    return y, grid, *constants


IDIOMS: list[Function] = [
    filled_one_by_one, recurrence, earlier_results_stay, matrix_of_rows, nested_views,
    view_outlives_its_base, swapped, overlapping, last_of_several_wins, masks, complex_parts,
    integers_truncate, narrow_buffer, out_arguments, at_methods, functions_that_write,
    methods_that_write, containers, grows, places_with_names, lists_of_numbers, by_name, vectorized,
    builtins, untraced_then_traced,
]  # fmt: skip


def loss_of(function: Function) -> Function:
    def loss(x: Any) -> Any:
        total: Any = 0.0
        leaves = function(x)
        for number, each in enumerate(leaves if isinstance(leaves, tuple) else (leaves,)):
            if isinstance(each, list):
                continue
            weights = np.cos(np.arange(np.size(each)) + number).reshape(np.shape(each))
            total = total + np.sum(weights * each * (1 + each / 8))
        return total

    return loss


@pytest.mark.parametrize("function", IDIOMS, ids=lambda function: function.__name__)
def test_values_are_numpys_and_gradients_exact(function: Function) -> None:
    loss = loss_of(function)
    x = X.copy()
    expected = loss(X.copy())
    value, gradient = sd.value_and_grad(loss, shadow_run=True)(x)
    assert np.asarray(value).tobytes() == np.asarray(expected).tobytes()
    np.testing.assert_array_equal(x, X)
    step = 1e-3 if function is narrow_buffer else 1e-6
    along = np.array([0.3, -0.7, 0.2, 0.9])
    numerical = (loss(X + step * along) - loss(X - step * along)) / (2 * step)
    single = function in (narrow_buffer, lists_of_numbers)
    assert gradient @ along == pytest.approx(numerical, rel=1e-3 if single else 1e-7)
    pushed = sd.jvp(loss, (x,), (along,))[1]
    assert pushed == pytest.approx(gradient @ along, rel=1e-5 if single else 1e-12)
    second = sd.hessian(loss)(x) @ along
    rounding = 1e-5 if single else 1e-11
    np.testing.assert_allclose(second, sd.hvp(loss, x, along), rtol=rounding, atol=rounding)


# What looks at values: masks that are read, the largest of several.
NEEDS_VALUES = (masks, functions_that_write, vectorized, builtins, at_methods, out_arguments)


@pytest.mark.parametrize("function", IDIOMS, ids=lambda function: function.__name__)
def test_compiled(function: Function) -> None:
    loss = loss_of(function)
    expected = sd.value_and_grad(loss)(X)
    try:
        value, gradient = compiled(sd.value_and_grad(loss))(X)
    except NeedsValueError:
        assert function in NEEDS_VALUES
        return
    rounding = 1e-5 if function in (narrow_buffer, lists_of_numbers) else 1e-12
    np.testing.assert_allclose(value, expected[0], rtol=rounding)
    np.testing.assert_allclose(gradient, expected[1], rtol=rounding, atol=rounding)


def test_one_number_under_a_mask_of_unknown_values_is_a_choice() -> None:
    def function(x: Any) -> Any:
        y = x * 2
        y[y < 0] = x[0]
        z = np.outer(y, y)
        z[x > 0.6] = y
        return z

    np.testing.assert_array_equal(compiled(function)(X), function(X))


def test_descend_with_writes() -> None:
    def loss(w: Any) -> Any:
        out = np.zeros(4)
        for i in range(4):
            out[i] = w[i] - PLAIN[i]
        return np.sum(out**2)

    result = sd.descend(loss, np.zeros(4), step_size=0.4, steps=60)
    np.testing.assert_allclose(result.weights, PLAIN, rtol=1e-6)


# The work of a write


def test_a_write_costs_what_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole buffers are copied a fixed number of times, however many writes there are."""
    from steepest.array import buffers

    copies: list[Any] = []
    real = buffers._copied

    def counted(value: Any) -> Any:
        copies.append(value.size)
        return real(value)

    monkeypatch.setattr(buffers, "_copied", counted)

    def loss(x: Any, count: int) -> Any:
        out = np.zeros(count)
        out[0] = x
        for i in range(1, count):
            out[i : i + 1] = np.sin(out[i - 1 : i]) * x
            out[i] += out[i - 1]
        return np.sum(out)

    for transform in (sd.grad, lambda f: lambda x: sd.jvp(f, (x,), (1.0,)), sd.hessian):
        copies.clear()
        transform(lambda x: loss(x, 10))(0.5)
        few = len(copies)
        copies.clear()
        transform(lambda x: loss(x, 200))(0.5)
        assert len(copies) <= few + 2


def flat_of(count: int) -> Any:
    return np.zeros(count).flat


def test_a_write_through_flat_costs_what_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    real = np.arange

    def arange(*args: Any, **settings: Any) -> Any:
        result = real(*args, **settings)
        counted.append(result.size)
        return result

    def loss(x: Any) -> Any:
        out = np.zeros(500)
        for i in range(4):
            out.flat[i] = x
            out.flat[-1 - i : -1 - i - 2 : -1] = 2 * x
        return np.sum(out)

    monkeypatch.setattr(np, "arange", arange)
    assert sd.grad(loss)(0.5) == 14
    assert sum(counted) < 100
    with pytest.raises(IndexError, match="500 is out of bounds"):
        sd.grad(lambda x: operator.setitem(flat_of(500), 500, x))(0.5)


def test_the_backward_pass_reuses_the_cotangent(monkeypatch: pytest.MonkeyPatch) -> None:
    size, allocated = 20_000, 0
    real = np.array

    def counted(value: Any, *args: Any, **settings: Any) -> Any:
        nonlocal allocated
        result = real(value, *args, **settings)
        allocated += result.nbytes
        return result

    def loss(x: Any) -> Any:
        out = np.zeros(size)
        for i in range(300):
            out[i] = x * i
        return np.sum(out * out)

    _, pullback = sd.vjp(loss, 0.5)
    monkeypatch.setattr(np, "array", counted)
    pullback(1.0)
    assert allocated < 5 * 8 * size


def test_memory_is_freed_without_the_garbage_collector() -> None:
    alive: list[Any] = []

    def loss(x: Any) -> Any:
        out = np.zeros((3, 4))
        for row in out:
            row[...] = x
        view = out[1:].T
        view[0] *= 2
        alive.append(sys.getrefcount(out))
        return np.sum(out)

    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(each, Array) for each in gc.get_objects())
        sd.grad(loss)(X)
        assert sum(isinstance(each, Array) for each in gc.get_objects()) <= before
    finally:
        gc.enable()


# What is refused, and NumPy's own errors


def test_numpys_errors() -> None:
    def raising(write: Callable[[Any, Any], None]) -> Function:
        def function(x: Any) -> Any:
            y = np.zeros((2, 3))
            write(y, x)
            return np.sum(y * x[0])

        return function

    def read_only(y: Any, x: Any) -> None:
        np.broadcast_to(y[0], (2, 3))[0] = x[0]

    def into_a_number(y: Any, x: Any) -> None:
        x[0][()] = 1.0

    def diagonal(y: Any, x: Any) -> None:
        np.diagonal(y)[0] = x[0]

    writes: list[Callable[[Any, Any], None]] = [
        lambda y, x: y.__setitem__(2, x[0]),
        lambda y, x: y.__setitem__((0, 0, 0), x[0]),
        lambda y, x: y.__setitem__(0, x),
        lambda y, x: y.__setitem__([0, 5], x[0]),
        lambda y, x: y.__setitem__(np.ones(3, bool), x[0]),
        lambda y, x: y.__setitem__("a", x[0]),
        lambda y, x: y[0].__iadd__(x),
        lambda y, x: np.add(x, 1, out=y[0]),
        lambda y, x: np.add(x[:3], 1j, out=y[0]),
        lambda y, x: np.copyto(y, x),
        into_a_number,
        read_only,
        diagonal,
    ]
    for write in writes:
        function = raising(write)
        with pytest.raises((IndexError, TypeError, ValueError)) as plain:
            function(X)
        for run in (sd.grad(function), lambda x, f=function: sd.jvp(f, (x,), (x,))):
            with pytest.raises((IndexError, TypeError, ValueError)) as traced:
                run(X)
            assert issubclass(plain.type, traced.type), plain.value


def test_vectorize_compares_core_dimensions() -> None:
    calls: list[tuple[str, Callable[..., Any], int]] = [
        ("(n),(n)->()", np.dot, 1),
        ("(n),(n)->(n)", lambda a, b: (a * b)[:2], 3),
        ("(n),(m)->()", np.outer, 3),
        ("(n),(m)->(n)", lambda a, b: (a, b), 3),
    ]
    for signature, function, length in calls:
        vectorized = np.vectorize(lambda a, b, f=function: f(a, b), signature=signature)
        with pytest.raises(ValueError, match=r"core dim|sequence|outputs"):
            vectorized(X[:3], X[:length])
        with pytest.raises(ValueError, match=r"core dim|sequence|outputs"):
            sd.vjp(lambda x, v=vectorized, n=length: v(x[:3], x[:n]), X)


def test_complex_into_real_warns_as_numpy_does() -> None:
    def function(x: Any) -> Any:
        y = np.zeros(4)
        y[:] = x * (1 + 2j)
        return np.sum(y * y)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gradient = sd.grad(function)(X)
    assert [each.category for each in caught] == [np.exceptions.ComplexWarning]
    np.testing.assert_allclose(gradient, 2 * X)


def test_what_is_no_array_is_no_place_for_a_result() -> None:
    not_an_array: Any = [0.0]
    calls: list[Callable[[Any], Any]] = [
        lambda x: np.sum(x, 0, None, not_an_array),
        lambda x: np.take(x, [0], 0, not_an_array),
        lambda x: np.fft.fft(x, None, -1, None, not_an_array),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="return arrays must be of ArrayType"):
            sd.grad(lambda x, call=call: np.sum(call(x)))(np.arange(3.0))


def test_an_array_that_the_function_did_not_make_is_refused_with_the_way_out() -> None:
    captured = PLAIN.copy()

    def entry(x: Any) -> None:
        captured[0] = x[0]

    def part(x: Any) -> None:
        (captured * 2)[:] = x

    def mask(x: Any) -> None:
        captured[captured > 1] = x[0]

    writes: list[Callable[[Any], Any]] = [
        entry,
        part,
        mask,
        lambda x: captured.__iadd__(x),
        lambda x: np.add(x, x, out=captured),
        lambda x: np.add.at(captured, [0], x[:1]),
        lambda x: np.copyto(captured, x),
        lambda x: np.put(captured, [0], x[0]),
        lambda x: np.cumsum(x, out=captured),
    ]
    for write in writes:

        def loss(x: Any, write: Any = write) -> Any:
            write(x)
            return np.sum(x)

        with pytest.raises(UnsupportedError) as caught:
            sd.grad(loss)(X)
        assert "np.zeros" in str(caught.value)
        assert f"{__file__}:" in str(caught.value)
    np.testing.assert_array_equal(captured, PLAIN)


def test_a_value_that_a_nested_gradient_recorded_is_not_overwritten() -> None:
    def outer(x: Any) -> Any:
        y = x * 1.0

        def inner(z: Any) -> Any:
            total = np.sum(np.sin(z * y) * y)
            y[0] = 5.0
            return total

        gradient = sd.grad(inner)(x)
        gradient[1] = 0.0
        value, pullback = sd.vjp(np.exp, y)
        value[...] = 0.0
        return np.sum(gradient * y) + np.sum(pullback(y)[0])

    step = 1e-6 * np.eye(4)
    numerical = [(outer(X + each) - outer(X - each)) / 2e-6 for each in step]
    np.testing.assert_allclose(sd.grad(outer)(X), numerical, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("of_traced", [True, False])
def test_threads_may_write_into_parts_of_one_array(of_traced: bool) -> None:
    plain = np.linspace(0.5, 1.5, 6)

    def loss(x: Any) -> Any:
        out = np.zeros((6, 8)) + 0 * x[0] if of_traced else np.zeros((6, 8))
        given = x if of_traced else plain

        def fill(row: int, part: Any) -> None:
            for column in range(8):
                part[column] = given[row] * column
                part[:column] += part[column]
                out[row, column] = np.sin(out[row, column])

        threads = [threading.Thread(target=fill, args=each) for each in enumerate(out)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return np.sum(out * out) * x[0]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        expected = loss(plain)
        for _ in range(8):
            value, gradient = sd.value_and_grad(loss)(plain)
            np.testing.assert_allclose(value, expected, rtol=1e-12)
            tangent = sd.jvp(loss, (plain,), (np.ones(6),))[1]
            np.testing.assert_allclose(tangent, np.sum(gradient), rtol=1e-10)
        second = sd.hvp(loss, plain, np.ones(6))
        steps = [sd.grad(loss)(plain + step) for step in (1e-6, -1e-6)]
        np.testing.assert_allclose(second, (steps[0] - steps[1]) / 2e-6, rtol=1e-5, atol=1e-5)
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("name", ["multiply", "where"])
@pytest.mark.parametrize("first", [True, False])
def test_a_view_that_another_thread_takes_the_value_from(name: str, first: bool) -> None:
    def loss(x: Any) -> Any:
        whole = np.zeros(3)
        whole[:] = x
        part: Any = whole[:2]
        other = x[:2] * 1.0
        # As a write does in another thread, after it was found out who records the operation.
        forget(part)
        args: tuple[Any, ...] = (part, other) if first else (other, part)
        if name == "where":
            args = (np.array([True, False]), *args)
        return np.sum(x._trace.record(primitive(name), args, {}) * other)

    x = np.array([2.0, 3.0, 5.0])
    expected = 3 * x[:2] ** 2 if name == "multiply" else 2 * x[:2]
    np.testing.assert_array_equal(sd.grad(loss)(x)[:2], expected)
    np.testing.assert_array_equal(sd.jvp(loss, (x,), (np.ones(3),))[1], np.sum(expected))


def _write_field(records: Any, x: Any) -> None:
    records["a"] = x


def _write_record(records: Any, x: Any) -> None:
    records[0] = (x[0], 1.0)


def _write_objects(objects: Any, x: Any) -> None:
    objects[:] = [x[0], x[1]]


@pytest.mark.parametrize(
    ("make", "write", "what"),
    [
        (lambda: np.zeros(2, [("a", float)]), lambda r, x: r.__setitem__("a", x), "ndarray"),
        (lambda: np.zeros(2, [("a", float)]), _write_field, "records"),
        (lambda: np.zeros(2, [("a", float), ("b", float)]), _write_record, "records"),
        (lambda: np.array([None, None]), _write_objects, "objects"),
    ],
    ids=["method", "field", "record", "objects"],
)
def test_records_and_objects_are_refused_as_what_they_are(
    make: Callable[[], Any], write: Callable[[Any, Any], None], what: str
) -> None:
    def loss(x: Any) -> Any:
        write(make(), x)
        return np.sum(x)

    with pytest.raises((UnsupportedError, TracedConversionError), match=what) as caught:
        sd.grad(loss)(X[:2])
    assert caught.value.instead is not None
