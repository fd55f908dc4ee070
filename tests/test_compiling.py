"""``compile``: one trace a signature, current captures, and the two orders with ``grad``."""

import builtins
import itertools
import pickle
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import steepest as sd
from steepest.compiling import MOST_RECORDINGS, Compiled, Translation
from steepest.compiling import compile as compiled
from steepest.errors import (
    NeedsValueError,
    NotCompiledWarning,
    ShadowRunError,
    TracedConversionError,
)
from steepest.graph import Graph
from steepest.tree import flatten

RATE = 2.0


def counted(function: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[[], int]]:
    """Count the runs of a function, where no guard can see it."""
    runs = itertools.count()

    def counting(*args: Any, **keywords: Any) -> Any:
        next(runs)
        return function(*args, **keywords)

    def seen() -> int:
        return int(repr(runs)[len("count(") : -1])

    return counting, seen


def quadratic(x: Any) -> Any:
    return np.sum(x**2)


def rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


X = np.array([0.5, -1.0, 2.0])


# Signatures


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1.0,), (2.0,)),
        ((1.0,), (np.inf,)),
        ((np.ones(3),), (np.zeros(3),)),
        ((np.float32(1),), (np.float32(2),)),
        ((1j,), (2 + 1j,)),
        ((np.int64(1),), (np.int64(2),)),
        (({"a": 1.0, "b": [2.0]},), ({"a": 3.0, "b": [4.0]},)),
        ((np.arange(3),), (np.zeros(3, int),)),
        ((1.0, 2), (3.0, 2)),
        ((np.ones((2, 3)),), (np.ones((3, 2)).T,)),
    ],
)
def test_values_do_not_trace_again(first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    function, runs = counted(lambda *args: sum(np.sum(leaf) for leaf in flatten(args)[0]))
    run = compiled(function)
    run(*first)
    before = runs()
    assert run(*second) == function(*second)
    assert run(*first) == function(*first)
    assert runs() == before + 2, "twice here, and not in run"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1.0, 2), (1.0, 3)),
        ((1.0, 1), (1.0, True)),
        ((1.0, "a"), (1.0, "b")),
        ((1.0, None), (1.0, 1)),
        ((np.ones(3),), (np.ones(4),)),
        ((np.ones(3),), (np.ones(3, np.float32),)),
        ((np.ones(1),), (np.ones(()),)),
        ((1.0,), (np.float64(1.0),)),
        ((1.0,), (1j,)),
        (([1.0, 2.0],), ((1.0, 2.0),)),
        (({"a": 1.0},), ({"b": 1.0},)),
        ((1.0,), (1.0, 2.0)),
    ],
)
def test_what_steers_traces_again(first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    def describe(*args: Any) -> Any:
        leaves = flatten(args)[0]
        return leaves[0] * 2, repr([each for each in leaves if isinstance(each, (int, str))])

    function, runs = counted(describe)
    run = compiled(function)
    run(*first)
    before = runs()
    run(*second)
    assert runs() > before
    before = runs()
    value, text = run(*first)
    plain, plain_text = describe(*first)
    np.testing.assert_array_equal(value, plain)
    assert type(value) is type(plain)
    assert text == plain_text
    assert runs() == before, "both signatures are remembered"


def test_python_integers_steer() -> None:
    run = compiled(lambda x, n: np.sum(x[:n]) ** n)
    assert run(X, 2) == 0.25
    assert run(X, 3) == 1.5**3


def test_a_python_float_stays_one() -> None:
    for value in (compiled(lambda x: x * 2)(1.5), compiled(lambda x: x)(3.0)):
        assert type(value) is float
    narrow = compiled(lambda array, x: array * x)(np.ones(2, np.float32), 2.0)
    assert narrow.dtype == np.float32
    wide = compiled(lambda array, x: array * x)(np.ones(2, np.float32), np.float64(2))
    assert wide.dtype == np.float64


def test_keyword_arguments() -> None:
    run = compiled(lambda x, *, scale=1.0, power=2: np.sum(x**power) * scale)
    assert run(X) == np.sum(X**2)
    assert run(X, scale=3.0) == np.sum(X**2) * 3
    assert run(X, power=3, scale=3.0) == np.sum(X**3) * 3


@dataclass
class Layer:
    W: Any
    b: Any


def test_pytrees_go_in_and_come_out() -> None:
    def function(tree: Any) -> Any:
        return {"sum": tree["layer"].W + tree["layer"].b, "rest": (tree["n"], None, "text")}

    result = compiled(function)({"layer": Layer(X, 1.0), "n": 3})
    np.testing.assert_array_equal(result["sum"], X + 1)
    assert result["rest"] == (3, None, "text")
    layer = compiled(lambda layer: Layer(layer.b, layer.W))(Layer(1.0, X))
    assert type(layer) is Layer
    assert layer.b == 1.0


def test_constants_come_out_too() -> None:
    array = np.ones(2)
    run = compiled(lambda x: (x, array, 3, np.float32(2), array * 2))
    result = run(1.0)
    result[1][:] = 7
    result[4][:] = 7
    np.testing.assert_array_equal(array, [1.0, 1.0])
    _, second, integer, scalar, fresh = run(2.0)
    np.testing.assert_array_equal(second, [1.0, 1.0])
    np.testing.assert_array_equal(fresh, [2.0, 2.0])
    assert (integer, scalar, type(scalar)) == (3, 2.0, np.float32)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x,
        lambda x: x.copy(),
        lambda x: x.T,
        lambda x: x.T.copy(),
        lambda x: x[1:],
        lambda x: np.broadcast_to(x, (2, 3, 3)),
        lambda x: x.reshape(-1),
    ],
)
def test_results_do_not_alias_arguments(function: Callable[[Any], Any]) -> None:
    x = np.arange(9.0).reshape(3, 3)
    result = compiled(function)(x)
    result[...] = -1
    np.testing.assert_array_equal(x, np.arange(9.0).reshape(3, 3))


def test_results_do_not_alias_each_other() -> None:
    def function(x: Any) -> Any:
        y = x * 2
        return y, y.copy()

    first, second = compiled(function)(X)
    first[:] = 0
    np.testing.assert_array_equal(second, X * 2)


# Captures


def test_a_captured_array_is_read_at_each_call() -> None:
    data = np.ones(3)
    function, runs = counted(lambda x: np.sum(x * data))
    run = compiled(function)
    assert run(2.0) == 6.0
    before = runs()
    data[:] = 5.0
    assert run(2.0) == 30.0
    assert runs() == before, "by reference, without a new trace"


def test_a_global_is_guarded_and_otherwise_not_traced_again() -> None:
    global RATE  # noqa: PLW0603  # what users do
    function, runs = counted(lambda x: x * RATE)
    run = compiled(function)
    assert run(3.0) == 6.0
    before = runs()
    RATE = 5.0
    try:
        assert run(3.0) == 15.0
        assert runs() > before
    finally:
        RATE = 2.0
    assert run(3.0) == 6.0


def test_a_cache_that_a_function_fills_is_no_reason_to_run_each_time() -> None:
    cache: dict[Any, Any] = {}

    def function(x: Any) -> Any:
        if x.shape not in cache:
            cache[x.shape] = np.ones(x.shape)
        return np.sum(x * cache[x.shape])

    counting, runs = counted(function)
    run = compiled(counting)
    assert run(X) == np.sum(X)
    before = runs()
    assert run(2 * X) == np.sum(2 * X)
    assert runs() == before


def with_global_random_numbers(x: Any) -> Any:
    return x * np.random.random()  # noqa: NPY002  # as users still write it


@pytest.mark.parametrize(
    "make",
    [
        lambda: with_global_random_numbers,
        lambda: partial(lambda rng, x: x * rng.random(), np.random.default_rng(1)),
        lambda: partial(
            lambda rng, x: x * (2 if rng.random() < 0.99 else 3), np.random.default_rng(3)
        ),
        lambda: partial(lambda count, x: x * next(count), itertools.count()),
    ],
    ids=["global state", "generator", "coin", "counter"],
)
def test_what_does_not_repeat_runs_each_time_and_is_said_once(make: Any) -> None:
    np.random.seed(1)  # noqa: NPY002  # for the function that draws from it
    function, runs = counted(make())
    run = compiled(function)
    with pytest.warns(NotCompiledWarning, match="runs as plain Python each time") as caught:
        run(1.0)
    assert [each.filename for each in caught] == [__file__]
    before = runs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            run(1.0)
    assert runs() == before + 3


def test_random_numbers_are_fresh_and_have_a_gradient() -> None:
    rng = np.random.default_rng(1)
    run = compiled(lambda x: np.sum(x * (rng.random(3) < 0.5)))
    with pytest.warns(NotCompiledWarning):
        run(X)
    rng = np.random.default_rng(1)
    masks = np.random.default_rng(1)
    for _ in range(4):
        np.testing.assert_array_equal(sd.grad(run)(X), masks.random(3) < 0.5)


def test_seeded_random_numbers_are_a_constant() -> None:
    function, runs = counted(lambda x: np.sum(x * np.random.default_rng(1).random(3)))
    run = compiled(function)
    expected = function(X)
    assert run(X) == expected
    before = runs()
    assert run(X) == expected
    assert runs() == before


def test_state_between_calls_is_seen() -> None:
    history: list[Any] = []

    def function(x: Any) -> Any:
        history.append(1)
        return x * len(history)

    run = compiled(function)
    with pytest.warns(NotCompiledWarning):
        run(1.0)
    count = len(history)
    assert run(1.0) == count + 1


def test_a_buffer_written_while_tracing_is_not_frozen() -> None:
    buffer = np.zeros(3)

    def function(x: Any) -> Any:
        total = 0.0
        for i in range(3):
            buffer[:] = i
            total = total + np.sum(x * buffer)
        return total

    with pytest.warns(NotCompiledWarning):
        assert compiled(function)(X) == function(X)


def test_a_buffer_written_after_its_use_is_not_frozen() -> None:
    buffer = np.zeros(3)

    def function(x: Any) -> Any:
        buffer[:] = 1.0
        result = np.sum(x * buffer)
        buffer[:] = 2.0
        return result

    with pytest.warns(NotCompiledWarning):
        assert compiled(function)(X) == np.sum(X)


def test_equal_constants_that_differ_are_kept_apart() -> None:
    def function(x: Any) -> Any:
        return np.copysign(x, 0.0), np.copysign(x, -0.0), x + 1, x + 1.0, x + True, x * np.nan

    for result, expected in zip(compiled(function)(X), function(X), strict=True):
        np.testing.assert_array_equal(np.signbit(result), np.signbit(expected))
        np.testing.assert_array_equal(result, expected)
    narrow = np.ones(2, np.int8)
    for result, expected in zip(
        compiled(lambda x: (x * 1, x * 1.0, x * True, x * np.float32(1)))(narrow),
        (narrow * 1, narrow * 1.0, narrow * True, narrow * np.float32(1)),
        strict=True,
    ):
        assert result.dtype == expected.dtype


# With the calculus


@pytest.mark.parametrize("function", [quadratic, rosenbrock])
def test_gradients_and_compile_in_both_orders(function: Callable[[Any], Any]) -> None:
    expected = sd.grad(function)(X)
    np.testing.assert_allclose(compiled(sd.grad(function))(X), expected, rtol=1e-14)
    np.testing.assert_allclose(sd.grad(compiled(function))(X), expected, rtol=1e-14)
    np.testing.assert_allclose(compiled(sd.grad(compiled(function)))(X), expected, rtol=1e-14)
    value, gradient = compiled(sd.value_and_grad(function))(X)
    np.testing.assert_allclose(value, function(X), rtol=1e-14)
    np.testing.assert_allclose(gradient, expected, rtol=1e-14)


V = np.array([1.0, 2.0, -1.0])


@pytest.mark.parametrize(
    "make",
    [
        lambda f: lambda x, v: sd.hvp(f, x, v),
        lambda f: lambda x, v: sd.hessian(f)(x) @ v,
        lambda f: lambda x, v: sd.jvp(f, (x,), (v,))[1],
        lambda f: lambda x, v: sd.jacobian(lambda x: x * f(x))(x) @ v,
        lambda f: lambda x, v: sd.vjp(f, x)[1](v[0])[0],
        lambda f: lambda x, v: sd.elementwise_grad(lambda x: x**3 * v)(x),
    ],
    ids=["hvp", "hessian", "jvp", "jacobian", "vjp", "elementwise_grad"],
)
def test_the_calculus_compiles_and_differentiates_what_is_compiled(make: Any) -> None:
    expected = make(rosenbrock)(X, V)
    np.testing.assert_allclose(compiled(make(rosenbrock))(X, V), expected, rtol=1e-12)
    np.testing.assert_allclose(make(compiled(rosenbrock))(X, V), expected, rtol=1e-12)


def test_a_compiled_gradient_has_arithmetic() -> None:
    weights = [np.ones(2), 1.0]
    gradient = compiled(sd.grad(lambda w: np.sum(w[0]) * w[1]))(weights)
    weights += -0.5 * gradient
    np.testing.assert_array_equal(weights[0], [0.5, 0.5])
    assert weights[1] == 0.0
    assert len(weights) == 2


def test_a_compiled_function_inside_a_gradient_may_close_over_its_values() -> None:
    def outer(x: Any) -> Any:
        inner = compiled(lambda y: np.sum(x * y))
        return inner(np.array([1.0, 2.0, 3.0]))

    np.testing.assert_array_equal(sd.grad(outer)(X), [1.0, 2.0, 3.0])


def test_custom_gradients_survive() -> None:
    @sd.custom_gradient
    def straight_through(x: Any) -> Any:
        return x * 1.0, lambda g: 10.0 * g

    def function(x: Any) -> Any:
        return np.sum(straight_through(x) * 3)

    for gradient in (
        sd.grad(function),
        sd.grad(compiled(function)),
        compiled(sd.grad(function)),
        compiled(sd.grad(compiled(function))),
    ):
        np.testing.assert_array_equal(gradient(X), [30.0, 30.0, 30.0])


def test_compiled_functions_nest() -> None:
    inner, runs = counted(quadratic)
    inner = compiled(inner)
    outer = compiled(lambda x: inner(x) * 2 + inner(x[:2]))
    expected = 2 * np.sum(X**2) + np.sum(X[:2] ** 2)
    assert outer(X) == expected
    before = runs()
    assert outer(X) == expected
    assert runs() == before


# What it refuses


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x if np.sum(x) > 0 else -x,
        lambda x: x * int(x[0]),
        lambda x: [x for _ in range(x[0].astype(int))],
        lambda x: x * builtins.float(x[0]),
        lambda x: x[x > 0],
        lambda x: x * x.strides[0],
        lambda x: np.nonzero(x),
        lambda x: sum(x) if 1.0 in x else x,
    ],
)
def test_control_flow_on_values_is_refused_with_a_way_out(function: Any) -> None:
    with pytest.raises(NeedsValueError) as caught:
        compiled(function)(X)
    text = str(caught.value)
    assert "Instead:" in text
    assert f"{__file__}:" in text
    assert "compile" in text


def test_a_refusal_is_not_remembered_as_a_result() -> None:
    run = compiled(lambda x: x if x > 0 else -x)
    for _ in range(2):
        with pytest.raises(NeedsValueError):
            run(1.0)


def test_a_swallowed_refusal_is_found_by_the_shadow_run() -> None:
    def function(x: Any) -> Any:
        try:
            scale = float(x)
        except TypeError:
            scale = 1.0
        return x * scale

    with pytest.raises(ShadowRunError):
        compiled(function)(3.0)


def test_a_value_kept_beyond_its_trace_is_refused() -> None:
    kept: list[Any] = [None]

    def function(x: Any) -> Any:
        kept[0] = x
        return x * 2

    with pytest.warns(NotCompiledWarning):
        compiled(function)(1.0)
    trace: list[Any] = []
    compiled(lambda x: x * 2).graph(1.0)

    def leaking(x: Any) -> Any:
        trace.append(x * 2)
        return x

    compiled(leaking).graph(1.0)
    with pytest.raises(TracedConversionError, match="after its trace ended"):
        trace[0] + 1


def test_exceptions_of_the_function_come_through_and_leave_no_trace() -> None:
    def function(x: Any) -> Any:
        if x.shape == (3,):
            raise KeyError("mine")
        return np.sum(x)

    run = compiled(function)
    with pytest.raises(KeyError, match="mine"):
        run(X)
    assert run(np.ones(4)) == 4.0


# The object


def test_it_looks_like_its_function() -> None:
    run = compiled(rosenbrock)
    assert getattr(run, "__name__", None) == "rosenbrock"
    assert repr(run) == "compile(rosenbrock)"


def test_the_graph_can_be_read() -> None:
    graph = compiled(lambda x: np.sum(np.exp(x) * 2.0)).graph(X)
    assert isinstance(graph, Graph)
    graph.verify()
    text = str(graph)
    assert text.startswith("%0: float64[3] = input 0")
    assert "exp" in text
    assert "test_compiling.py" in text


class Model:
    """Methods, compiled and differentiated in the body of the class."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def loss(self, x: Any) -> Any:
        return np.sum(x**2) * self.rate

    fast = compiled(loss)
    gradient = sd.grad(loss, argnums=1)


def test_it_may_be_a_method() -> None:
    first, second = Model(2.0), Model(3.0)
    assert first.fast(X) == first.loss(X)
    assert second.fast(X) == second.loss(X)
    first.rate = 5.0
    assert first.fast(X) == first.loss(X)
    np.testing.assert_array_equal(second.gradient(X), 6 * X)
    assert Model.fast(second, X) == second.loss(X)


def test_it_pickles() -> None:
    again = pickle.loads(pickle.dumps(compiled(rosenbrock)))
    assert again(X) == rosenbrock(X)
    again = pickle.loads(pickle.dumps(compiled(sd.grad(rosenbrock))))
    np.testing.assert_allclose(again(X), sd.grad(rosenbrock)(X), rtol=1e-14)


def test_threads_share_it() -> None:
    run = compiled(sd.grad(rosenbrock))
    lengths = range(2, 10)
    results: dict[tuple[int, int], Any] = {}

    def work(number: int) -> None:
        for length in lengths:
            results[number, length] = run(np.linspace(0, 1 + number, length))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6 * len(lengths)
    for (number, length), result in results.items():
        expected = sd.grad(rosenbrock)(np.linspace(0, 1 + number, length))
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


def test_a_long_function_compiles() -> None:
    def function(x: Any) -> Any:
        for _ in range(100_000):
            x = x + 1.0
        return x

    run = compiled(sd.grad(function))
    assert run(1.0) == 1.0
    assert len(compiled(function).graph(1.0).nodes) == 100_002


def test_masked_and_matrix_arguments_are_refused() -> None:
    for odd in (np.ma.array([1.0, 2.0], mask=[True, False]), np.ones((1, 2)).view(np.matrix)):
        with pytest.raises(sd.errors.UnsupportedError, match=type(odd).__name__):
            compiled(lambda x: x * 2)(odd)


def test_another_bit_generator_may_be_numpys_global_one() -> None:
    numpys: Any = np.random
    before = numpys.get_bit_generator()
    numpys.set_bit_generator(np.random.PCG64(1))
    try:
        assert compiled(quadratic)(X) == quadratic(X)
        with pytest.warns(NotCompiledWarning):
            compiled(with_global_random_numbers)(1.0)
    finally:
        numpys.set_bit_generator(before)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x,
        lambda x: x[()],
        lambda x: x[...],
        lambda x: x[None][0, ...],
        lambda x: x.T,
        np.real,
        np.imag,
        np.copy,
        np.exp,
        np.squeeze,
        lambda x: np.reshape(x, ()),
        lambda x: np.reshape(np.reshape(x, (1, 1)), ()),
        lambda x: np.transpose(np.reshape(x, ())),
        lambda x: np.where(x > 0, x, 1),
        lambda x: np.ravel(x)[0],
        lambda x: np.pad(x, ()),
        lambda x: x > 0,
        np.sum,
        np.argmax,
        lambda x: np.linalg.det(np.reshape(x, (1, 1))),
        lambda x: np.array(3.0),
        sd.grad(lambda x: x**2),
        sd.grad(lambda x: np.where(x > 0, x**2, 0)),
    ],
)
@pytest.mark.parametrize("x", [2.0, np.float32(2), np.float64(2), np.array(2, np.float32)])
def test_a_single_number_is_of_the_same_type_by_both_engines(
    function: Callable[[Any], Any], x: Any
) -> None:
    def result(engine: str) -> Any:
        try:
            return compiled(function, engine=engine)(x)
        except (AttributeError, TypeError) as error:  # Python's numbers are no arrays
            return error

    reference, native = result("interpret"), result("native")
    assert type(native) is type(reference)
    if not isinstance(reference, Exception):
        assert np.asarray(native).dtype == np.asarray(reference).dtype
        np.testing.assert_allclose(native, reference, rtol=1e-6)


@given(
    st.lists(st.sampled_from(["+", "*", "-", "sin", "exp", "max", "const", "cut"]), max_size=8),
    st.integers(0, 2**32 - 1),
)
def test_random_programs_give_numpys_bits(program: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = rng.standard_normal(4)

    def function(x: Any, y: Any) -> Any:
        for step in program:
            if step == "+":
                x = x + y
            elif step == "*":
                x = x * y
            elif step == "-":
                x, y = y - 1.5, x
            elif step == "sin":
                y = np.sin(x)
            elif step == "exp":
                x = np.exp(-np.abs(x))
            elif step == "max":
                x = np.maximum(x, y)
            elif step == "const":
                x = x * data
            else:
                y = np.sum(x) * y
        return x, y

    x, y = rng.standard_normal((2, 4))
    plain = function(x, y)
    np.testing.assert_array_equal(compiled(function, engine="interpret")(x, y), plain)
    np.testing.assert_allclose(compiled(function)(x, y), plain, rtol=1e-12, atol=1e-12)

    def loss(x: Any) -> Any:
        return np.sum(function(x, y)[0])

    np.testing.assert_allclose(compiled(sd.grad(loss))(x), sd.grad(loss)(x), rtol=1e-12, atol=1e-12)


@dataclass
class WithRate:
    weight: Any

    def __post_init__(self) -> None:
        self.rate = 1.0


def test_attributes_of_arguments_beside_their_fields_are_read_anew() -> None:
    run = compiled(lambda p: p.weight * p.rate)
    argument = WithRate(2.0)
    assert run(argument) == 2.0
    argument.rate = 5.0
    assert run(argument) == 10.0


def test_recordings_are_dropped_when_there_are_too_many() -> None:
    run = compiled(lambda x, n: x * n, engine="interpret")
    for n in range(MOST_RECORDINGS + 10):
        assert run(2.0, n) == 2.0 * n
    assert len(run._entries) == MOST_RECORDINGS
    assert run(2.0, 0) == 0.0


def test_a_translation_with_a_number_that_is_now_made_from_an_array_is_not_taken():
    offset = np.ones(3)

    class Model:
        scale: float | None = 1.0

        def score(self, x):
            scale = float(np.mean(offset)) if self.scale is None else self.scale
            return x @ offset * scale

    translations: dict[Any, Translation] = {}
    x, model = np.arange(3.0), Model()
    assert Compiled(model.score, "interpret", translations)(x) == 3
    assert len(translations) == 1
    model.scale = None
    again = Compiled(model.score, "interpret", translations)
    assert again(x) == 3
    offset[:] = 2
    assert again(x) == 12
