"""Recording, captures and NaN: a test for each sentence of the design."""

import gc
import math
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import steepest as sd
from steepest.array import Array
from steepest.differentiate.captures import COPIED_BYTES
from steepest.errors import (
    CapturedArrayChangedError,
    NotDifferentiableError,
    TracedConversionError,
    UnsupportedError,
)

X = np.array([0.5, -1.0, 2.0])
RATE = 3.0


# Each operation is evaluated as it is recorded


def test_exceptions_arise_inside_the_users_try() -> None:
    def loss(x: Any) -> Any:
        try:
            factor = np.linalg.cholesky(x)
        except np.linalg.LinAlgError:
            factor = x * 10
        return np.sum(factor**2)

    definite = np.array([[4.0, 0.0], [0.0, 9.0]])
    np.testing.assert_allclose(np.diag(sd.grad(loss)(definite)), [1.0, 1.0])
    np.testing.assert_array_equal(sd.grad(loss)(-np.eye(2)), -200 * np.eye(2))


def test_index_errors_are_numpys() -> None:
    def loss(x: Any) -> Any:
        try:
            return x[5]
        except IndexError:
            return 7 * x[0]

    np.testing.assert_array_equal(sd.grad(loss)(X), [7.0, 0.0, 0.0])


def test_shape_errors_are_numpys() -> None:
    def loss(x: Any) -> Any:
        try:
            return np.sum(x + np.ones(5))
        except ValueError:
            return np.sum(x)

    np.testing.assert_array_equal(sd.grad(loss)(X), np.ones(3))


def test_warnings_obey_the_users_errstate() -> None:
    def loss(x: Any) -> Any:
        with np.errstate(divide="raise"):
            try:
                return np.sum(np.log(x))
            except FloatingPointError:
                return np.sum(2 * x)

    np.testing.assert_array_equal(sd.grad(loss)(np.array([0.0, 1.0])), [2.0, 2.0])
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        sd.grad(lambda x: np.sum(np.log(x)))(np.zeros(1))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        sd.grad(lambda x: np.sum(np.log(x)))(np.zeros(1))


def test_the_backward_pass_does_not_warn_and_leaves_errstate_alone() -> None:
    with np.errstate(divide="raise"):
        assert sd.grad(lambda x: np.sqrt(x))(0.0) == np.inf
        assert np.geterr()["divide"] == "raise"


def test_if_sees_values() -> None:
    def loss(x: Any) -> Any:
        return x**2 if x > 1 and x != 2 else -x

    assert [sd.grad(loss)(each) for each in (0.5, 1.5, 2.0)] == [-1.0, 3.0, -1.0]


def test_while_sees_values() -> None:
    def halve(x: Any) -> Any:
        while abs(x) > 1:
            x = x / 2
        return x

    assert sd.grad(halve)(40.0) == 1 / 64


def test_print_and_formatting_see_values(capsys: pytest.CaptureFixture[str]) -> None:
    texts: list[str] = []

    def loss(x: Any) -> Any:
        total = np.sum(x)
        print("loss", total, x)
        texts.extend([f"{total:.3f}", f"{total}", str(x), f"{x[0]:>6.2f}", repr(total)])
        return total

    sd.grad(loss)(X)
    assert capsys.readouterr().out == f"loss {np.sum(X)} {X}\n"
    assert texts == ["1.500", "1.5", str(X), "  0.50", "Array(np.float64(1.5))"]
    texts.clear()
    sd.hessian(loss)(X)
    assert texts[:4] == ["1.500", "1.5", str(X), "  0.50"]


def test_first_order_rules_run_on_ndarrays() -> None:
    seen: list[type] = []

    @sd.custom_gradient
    def watched(x: Any) -> Any:
        def pullback(g: Any) -> Any:
            seen.append(type(g))
            return g

        return x * 1.0, pullback

    sd.grad(lambda x: np.sum(watched(x) * 2))(X)
    assert seen == [np.ndarray]


def test_what_does_not_depend_on_anything_differentiated_converts_freely() -> None:
    def loss(x: Any, data: Any) -> Any:
        constant = data * 2
        size = float(constant[0]) + math.sin(constant[1]) + np.asarray(constant).sum()
        steps = np.floor(x)
        total = float(steps[0]) + sum(float(each) for each in np.sign(x))
        frozen = sd.stop_gradient(x)
        return np.sum(x) * (size + total + float(frozen[0]) + frozen.tolist()[1])

    scale = 2 + math.sin(4.0) + 6 + 0 + 1 + 0.5 - 1
    gradient = sd.grad(loss)(X, np.array([1.0, 2.0]))
    np.testing.assert_allclose(gradient, np.full(3, scale), rtol=1e-15)


# Captures


def test_grad_sees_current_globals_closures_and_data() -> None:
    global RATE  # noqa: PLW0603  # what users do
    factor, data = 2.0, np.ones(3)
    gradient = sd.grad(lambda x: np.sum(x * data) * RATE * factor)
    assert gradient(X)[0] == 6.0
    factor = 5.0
    assert gradient(X)[0] == 15.0
    data[:] = 2.0
    assert gradient(X)[0] == 30.0
    try:
        RATE = 1.0
        assert gradient(X)[0] == 10.0
    finally:
        RATE = 3.0


SIZES = {
    "tiny": 8,
    "small": 4096,
    "at the limit": COPIED_BYTES // 8,
    "large": COPIED_BYTES // 8 + 1,
}


@pytest.mark.parametrize("size", list(SIZES.values())[:3], ids=list(SIZES)[:3])
def test_a_small_buffer_may_be_reused_in_a_loop(size: int) -> None:
    buffer = np.empty(size)

    def loss(x: Any) -> Any:
        total = 0.0
        for i in range(1, 4):
            buffer[:] = i
            total = total + np.sum(x * buffer)
        return total

    np.testing.assert_array_equal(sd.grad(loss)(np.ones(size)), np.full(size, 6.0))


def test_a_large_buffer_reused_is_an_error_that_names_the_line() -> None:
    size = SIZES["large"]
    buffer = np.empty(size)

    def loss(x: Any) -> Any:
        total = 0.0
        for i in range(1, 4):
            buffer[:] = i
            total = total + np.sum(x * buffer)  # HERE
        return total

    with pytest.raises(CapturedArrayChangedError) as caught:
        sd.grad(loss)(np.ones(size))
    assert caught.value.line is not None
    assert caught.value.line.text.endswith("# HERE")
    assert f"float64[{size}]" in str(caught.value)


def test_a_large_buffer_that_no_rule_reads_may_be_reused() -> None:
    buffer = np.empty(SIZES["large"])

    def loss(x: Any) -> Any:
        total = 0.0
        for i in range(3):
            buffer[:] = i
            total = total + np.sum(x + buffer)
        return total

    assert sd.grad(loss)(np.ones(buffer.size))[0] == 3.0


@pytest.mark.parametrize("subclass", [None, np.memmap, np.recarray])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_an_array_changed_between_forward_and_backward(size: int, subclass: Any, tmp_path) -> None:
    data = np.ones(size)
    if subclass is np.memmap:
        np.save(tmp_path / "data.npy", data)
        data = np.load(tmp_path / "data.npy", mmap_mode="r+")
    elif subclass is not None:
        data = data.view(subclass)
    _, pullback = sd.vjp(lambda x: np.sum(x * data), np.ones(size))
    data[-1] = 7.0
    if size > COPIED_BYTES // 8:
        with pytest.raises(CapturedArrayChangedError):
            pullback(1.0)
    else:
        np.testing.assert_array_equal(pullback(1.0)[0], np.ones(size))


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_argument_changed_between_forward_and_backward(size: int) -> None:
    x = np.ones(size)
    value, pullback = sd.vjp(lambda x: x**2, x)
    value[:] = 9.0
    x[-1] = 7.0
    if size > COPIED_BYTES // 8:
        with pytest.raises(CapturedArrayChangedError):
            pullback(np.ones(size))
    else:
        np.testing.assert_array_equal(pullback(np.ones(size))[0], np.full(size, 2.0))


def test_an_index_array_changed_between_forward_and_backward() -> None:
    index = np.array([0, 1])
    _, pullback = sd.vjp(lambda x: x[index], X)
    index[:] = 2
    np.testing.assert_array_equal(pullback(np.ones(2))[0], [1.0, 1.0, 0.0])


def test_a_view_that_is_read_only_of_an_array_that_is_not() -> None:
    data = np.ones(SIZES["large"])
    view = data.view()
    view.flags.writeable = False
    _, pullback = sd.vjp(lambda x: np.sum(x * view), np.ones(data.size))
    data[0] = 5
    with pytest.raises(CapturedArrayChangedError):
        pullback(1.0)


def test_a_dropout_mask_from_numpys_global_generator_is_fresh() -> None:
    gradient = sd.grad(lambda x: np.sum(x * (np.random.random(3) < 0.5)))  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    results = [gradient(X) for _ in range(5)]
    np.random.seed(3)  # noqa: NPY002
    for each in results:
        np.testing.assert_array_equal(each, np.random.random(3) < 0.5)  # noqa: NPY002
    assert len({tuple(each) for each in results}) > 1


@pytest.mark.parametrize(
    ("function", "needed"),
    [
        pytest.param(lambda x: x * X, [None, X], id="product with data"),
        pytest.param(lambda x: X * x, [X, None], id="data first"),
        pytest.param(lambda x: x * x[::-1], [X, X[::-1]], id="product"),
        pytest.param(lambda x: x / X, [None, X], id="quotient by data"),
        pytest.param(lambda x: x + X, [None, None], id="sum"),
        pytest.param(lambda x: np.outer(X, X) @ x, [np.outer(X, X), None], id="matrix of data"),
    ],
)
def test_what_the_rule_by_another_argument_reads_is_not_kept(
    function: Callable[[Any], Any], needed: list[Any]
) -> None:
    kept: list[Any] = []

    def loss(x: Any) -> Any:
        record = function(x)._node
        kept.append((record.args, record.result))
        return np.sum(x)

    sd.grad(loss)(X)
    ((args, result),) = kept
    assert result is None
    for each, expected in zip(args, needed, strict=True):
        if expected is None:
            # Of an argument whose type is read there is the record, which has no value.
            assert not isinstance(each, (np.ndarray, Array))
        else:
            np.testing.assert_array_equal(each, expected)


def test_what_the_trace_keeps_is_not_handed_out_for_writing() -> None:
    kept: list[Any] = []

    def function(x: Any) -> Any:
        y = np.exp(x)
        kept.extend([y, sd.stop_gradient(y), x])
        return y

    value, pullback = sd.vjp(function, np.zeros(2))
    value[:] = 7.0
    kept[0][:] = 7.0
    np.array(kept[0])[:] = 7.0
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(kept[0])[:] = 7.0
    with pytest.raises(ValueError, match="read-only"):
        kept[1][:] = 7.0
    np.testing.assert_array_equal(pullback(np.ones(2))[0], [1.0, 1.0])


@pytest.mark.parametrize("size", [3, SIZES["large"]])
@pytest.mark.parametrize("function", [lambda x: x, lambda x: x.copy(), lambda x: 1 * x])
def test_aux_copied_in_the_function_is_a_copy(size: int, function: Callable[[Any], Any]) -> None:
    x = np.ones(size)
    gradient, aux = sd.grad(lambda x: (np.sum(x), function(x)), has_aux=True)(x)
    aux[:] = 5.0
    np.testing.assert_array_equal(x, np.ones(size))
    np.testing.assert_array_equal(gradient, np.ones(size))


def test_gradients_and_tangents_are_the_users_own() -> None:
    v = np.ones(3)
    first, second = sd.grad(lambda a, b: np.sum(a + b), argnums=(0, 1))(X, X)
    first *= 5
    np.testing.assert_array_equal(second, np.ones(3))
    value, tangent = sd.jvp(lambda x: x, (X,), (v,))
    value *= 3
    tangent *= 5
    (cotangent,) = sd.vjp(lambda x: x, X)[1](v)
    cotangent *= 7
    np.testing.assert_array_equal(X, [0.5, -1.0, 2.0])
    np.testing.assert_array_equal(v, np.ones(3))


# Memory and depth


@pytest.mark.parametrize(
    ("function", "kept"),
    [
        (lambda y: y + 1, False),
        (lambda y: -y, False),
        (lambda y: np.sum(y), False),
        (lambda y: np.concatenate([y, y]), False),
        (lambda y: y[[0, 2]], False),
        (lambda y: np.where(X[0] > 0, y, 0), False),
        (lambda y: np.exp(y), False),
        (lambda y: np.sin(y), True),
        (lambda y: y * y, True),
    ],
)
def test_what_no_rule_reads_is_not_kept(function: Callable[[Any], Any], kept: bool) -> None:
    references: list[weakref.ref[Any]] = []

    def loss(x: Any) -> Any:
        y = x + 1.0
        references.append(weakref.ref(y._value))
        z = function(y)
        del y
        alive.append(references[0]() is not None)
        return np.sum(z)

    alive: list[bool] = []
    gc.disable()
    try:
        sd.grad(loss)(np.ones(4))
    finally:
        gc.enable()
    assert alive == [kept]


def test_a_gradient_frees_its_memory_without_the_garbage_collector() -> None:
    references: list[weakref.ref[Any]] = []

    @sd.custom_gradient
    def cube(x: Any) -> Any:
        squared = x * x
        references.append(weakref.ref(squared))
        return squared * x, lambda g: 3 * g * squared

    def loss(x: Any) -> Any:
        y = np.sin(x)
        references.append(weakref.ref(y._value))
        return np.sum(cube(y) * y)

    gc.collect()
    gc.disable()
    try:
        sd.grad(loss)(np.ones(4))
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()


DEPTH = 100_000


def deep(x: Any) -> Any:
    for _ in range(DEPTH):
        x = x * 1.0
    return x


def test_deep_graphs_do_not_recurse() -> None:
    assert sd.grad(deep)(2.0) == 1.0
    assert sd.jvp(deep, (2.0,), (3.0,))[1] == 3.0


def test_deep_graphs_do_not_recurse_in_second_derivatives() -> None:
    def shallow(x: Any) -> Any:
        total = x
        for _ in range(DEPTH // 5):
            total = total + 1.0
        return total**2

    assert sd.grad(sd.grad(shallow))(2.0) == 2.0
    assert sd.hvp(shallow, 2.0, 3.0) == 6.0


def test_the_work_of_the_backward_pass_grows_linearly() -> None:
    calls = [0]

    @sd.custom_gradient
    def counted(x: Any) -> Any:
        def pullback(g: Any) -> Any:
            calls[0] += 1
            return g

        return x * 1.0, pullback

    def diamonds(x: Any, count: int) -> Any:
        for _ in range(count):
            x = counted(x) * 0.5 + x * 0.5
        return x

    for count in (10, 20, 40):
        calls[0] = 0
        assert sd.grad(diamonds)(2.0, count) == 1.0
        assert calls[0] == count


def test_wide_graphs() -> None:
    gradient = sd.grad(lambda xs: sum(x * i for i, x in enumerate(xs)))([1.0] * 2000)
    assert gradient == [float(i) for i in range(2000)]


# Traces: exceptions, threads, nesting, leaks


def test_an_exception_ends_the_trace() -> None:
    kept: list[Any] = []

    def loss(x: Any) -> Any:
        kept.append(x)
        raise KeyError("mine")

    for transform in (
        lambda: sd.grad(loss)(X),
        lambda: sd.vjp(loss, X),
        lambda: sd.jvp(loss, (X,), (X,)),
        lambda: sd.jacobian(loss)(X),
        lambda: sd.hvp(loss, X, X),
    ):
        with pytest.raises(KeyError, match="mine"):
            transform()
    for each in kept:
        assert not each._trace.active
        np.testing.assert_array_equal(each + 0, X)
    np.testing.assert_array_equal(sd.grad(np.sum)(X), np.ones(3))


def test_values_that_leak_are_plain_afterwards() -> None:
    kept: list[Any] = []

    def loss(x: Any) -> Any:
        total = np.sum(x)
        kept.extend([x, total])
        return total**2

    sd.grad(loss)(X)
    x, total = kept
    assert float(total) == 1.5
    assert type(x * 2) is np.ndarray
    np.testing.assert_array_equal(np.asarray(x), X)
    np.testing.assert_array_equal(sd.grad(lambda y: np.sum(x * y))(X), X)
    assert sd.grad(lambda y: y * total)(1.0) == 1.5


def test_values_that_leak_from_an_inner_gradient_belong_to_the_outer_one() -> None:
    def outer(x: Any) -> Any:
        kept: list[Any] = []

        def inner(y: Any) -> Any:
            kept.append(x * y)
            return y**2

        sd.grad(inner)(x)
        return kept[0] * 3

    assert sd.grad(outer)(2.0) == 12.0


def test_nested_gradients_do_not_confuse_their_perturbations() -> None:
    assert sd.grad(lambda x: x * sd.grad(lambda y: x + y)(2.0))(3.0) == 1.0
    assert sd.grad(lambda x: sd.grad(lambda y: x * y * y)(x))(3.0) == 12.0
    assert sd.jvp(lambda x: x * sd.jvp(lambda y: x + y, (2.0,), (1.0,))[1], (3.0,), (1.0,))[1] == 1
    assert sd.grad(lambda x: x * sd.jvp(lambda y: x * y, (2.0,), (1.0,))[1])(3.0) == 6.0


def test_higher_derivatives() -> None:
    f: Any = np.exp
    for _ in range(5):
        f = sd.grad(f)
    assert f(0.0) == pytest.approx(1.0, rel=1e-14)


def test_threads_do_not_share_traces() -> None:
    barrier = threading.Barrier(4)
    results: dict[int, Any] = {}

    def work(number: int) -> None:
        def loss(x: Any) -> Any:
            total = 0.0
            for step in range(200):
                if step % 50 == 0:
                    barrier.wait()
                total = total + np.sum(x * number) * step
            return total

        results[number] = sd.grad(loss)(np.ones(3))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        np.testing.assert_array_equal(results[number], np.full(3, number * 19900.0))


def test_a_value_may_be_used_in_another_thread() -> None:
    def loss(x: Any) -> Any:
        parts: list[Any] = [None, None]

        def work(number: int) -> None:
            parts[number] = np.sum(x[number::2] ** 2)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return parts[0] + parts[1]

    np.testing.assert_array_equal(sd.grad(loss)(X), 2 * X)


# Gradients have the shapes and dtypes of their arguments


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, ">f8"])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 3), (2, 0)])
def test_a_gradient_has_shape_and_dtype_of_its_argument(shape: Any, dtype: Any) -> None:
    x = np.ones(shape, dtype)
    gradient = sd.grad(lambda x: np.sum(x * np.float64(2)))(x)
    assert type(gradient) is np.ndarray
    assert (gradient.shape, gradient.dtype) == (x.shape, x.dtype)
    assert np.all(gradient == 2)


@pytest.mark.parametrize("number", [2.0, np.float64(2), np.float32(2), np.float16(2)])
def test_a_gradient_of_a_number_is_such_a_number(number: Any) -> None:
    gradient = sd.grad(lambda x: x**2)(number)
    assert type(gradient) is type(number)
    assert gradient == 4.0


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x, "real scalar"),
        (lambda x: (np.sum(x), 1), "has_aux"),
        (lambda x: {"loss": np.sum(x)}, "dict"),
        (lambda x: None, "None"),
        (lambda x: "loss", "str"),
        (lambda x: np.sum(x) * 1j, "complex128"),
        (lambda x: x[:2], "float64[2]"),
    ],
)
def test_what_is_no_loss_is_refused(function: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(NotDifferentiableError) as caught:
        sd.grad(function)(X)
    assert words in str(caught.value)


@pytest.mark.parametrize("x", [1, True, np.arange(3), "text", None, [1, 2], np.array(["a"])])
def test_what_has_no_derivative_is_refused(x: Any) -> None:
    with pytest.raises(NotDifferentiableError, match="no floating-point value"):
        sd.grad(lambda x: 1.0)(x)


def test_an_argument_without_influence_has_gradient_zero() -> None:
    gradient = sd.grad(lambda w: np.sum(w["used"]))({"used": X, "unused": np.ones((2, 2))})
    np.testing.assert_array_equal(gradient["unused"], np.zeros((2, 2)))


@pytest.mark.parametrize("odd", ["matrix", "masked array"])
def test_arrays_that_mean_something_else_are_refused(odd: str) -> None:
    array = (
        np.ones((1, 2)).view(np.matrix)
        if odd == "matrix"
        else np.ma.array([[1.0, 2.0]], mask=[[False, True]])
    )
    for attempt in (
        lambda: sd.grad(lambda x: np.sum(x * array))(np.ones((1, 2))),
        lambda: sd.grad(np.sum)(array),
        lambda: sd.jvp(np.sum, (array,), (np.ones((1, 2)),)),
        lambda: sd.jvp(lambda x: x * array, (np.ones((1, 2)),), (np.ones((1, 2)),)),
    ):
        with pytest.raises(UnsupportedError, match=type(array).__name__):
            attempt()


# NaN


def masked_log(x: Any) -> Any:
    return np.sum(np.where(x > 0, np.log(x), 0.0))


def length(x: Any) -> Any:
    return np.sqrt(np.sum(x**2))


INFINITE = np.array([[np.inf, 1.0], [1.0, 1.0]])

NAN_RULE: dict[str, tuple[Callable[[Any], Any], list[float], list[float]]] = {
    "where/log": (masked_log, [0.0, 2.0], [0.0, 0.5]),
    "where/sqrt": (lambda x: np.sum(np.where(x > 0, np.sqrt(x), 0.0)), [0.0, 4.0], [0.0, 0.25]),
    "where/divide": (lambda x: np.sum(np.where(x != 0, 1 / x, 0.0)), [0.0, 2.0], [0.0, -0.25]),
    "where/power": (lambda x: np.sum(np.where(x > 0, x**0.5, 0.0)), [0.0, 4.0], [0.0, 0.25]),
    "where/exp": (lambda x: np.sum(np.where(x < 9, np.exp(x), 0.0)), [0.0, 1e4], [1.0, 0.0]),
    "where/matmul": (
        lambda x: np.sum(np.where([False, True], INFINITE @ x, 0.0)),
        [1.0, 1.0],
        [1.0, 1.0],
    ),
    "where/max": (
        lambda x: np.where(np.isnan(np.max(x)), 0.0, np.sum(x)),
        [np.nan, 1.0],
        [0.0, 0.0],
    ),
    "indexing": (lambda x: np.log(x)[1], [0.0, 2.0], [0.0, 0.5]),
    "times zero": (lambda x: np.sum(0.0 * np.log(x)), [0.0, 2.0], [0.0, 0.0]),
    "length at 0": (length, [0.0, 0.0], [0.0, 0.0]),
    "length by products at 0": (lambda x: np.sqrt(x @ x), [0.0, 0.0], [0.0, 0.0]),
    "length by abs at 0": (lambda x: np.sqrt(np.sum(np.abs(x) ** 2)), [0.0, 0.0], [0.0, 0.0]),
    "norm at 0": (lambda x: np.linalg.norm(x), [0.0, 0.0], [0.0, 0.0]),
    "std at 0": (lambda x: np.std(x), [1.0, 1.0], [0.0, 0.0]),
    "hypot at 0": (lambda x: np.hypot(x[0], x[1]), [0.0, 0.0], [0.0, 0.0]),
    "abs at 0": (lambda x: np.sum(np.abs(x)), [0.0, -2.0], [0.0, -1.0]),
    "max with ties": (lambda x: np.max(x), [1.0, 1.0], [0.5, 0.5]),
    "min with ties": (lambda x: np.min(x), [1.0, 1.0], [0.5, 0.5]),
    "maximum with ties": (lambda x: np.sum(np.maximum(x, 1.0)), [1.0, 2.0], [0.5, 1.0]),
    "relu at 0": (lambda x: np.sum(np.maximum(x, 0)), [0.0, -1.0], [0.5, 0.0]),
    "a NaN that counts": (lambda x: np.sum(x**2), [np.nan, 1.0], [np.nan, 2.0]),
    "a NaN made": (lambda x: np.sum(np.sqrt(x)), [-1.0, 4.0], [np.nan, 0.25]),
    "inf counts": (lambda x: np.sum(x**2), [np.inf, 1.0], [np.inf, 2.0]),
    "inf as derivative": (lambda x: np.sum(np.sqrt(x)), [0.0, 4.0], [np.inf, 0.25]),
    "inf cotangent on slope 0": (
        lambda x: np.sqrt(np.sum(np.maximum(x, 0) ** 2)),
        [-1.0, -2.0],
        [0.0, 0.0],
    ),
}

nan_rule = pytest.mark.parametrize(("function", "x", "expected"), NAN_RULE.values(), ids=NAN_RULE)


@nan_rule
def test_the_rule_about_nan(
    function: Callable[[Any], Any], x: list[float], expected: list[float]
) -> None:
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(sd.grad(function)(np.array(x)), expected)
        compiled = sd.compile(sd.grad(function))
        np.testing.assert_array_equal(compiled(np.array(x)), expected)


@nan_rule
def test_the_rule_about_nan_in_forward_mode(
    function: Callable[[Any], Any], x: list[float], expected: list[float]
) -> None:
    with np.errstate(all="ignore"):
        for position in range(2):
            direction = np.zeros(2)
            direction[position] = 1.0
            _, tangent = sd.jvp(function, (np.array(x),), (direction,))
            np.testing.assert_array_equal(tangent, expected[position])


def test_the_rule_about_nan_in_second_derivatives() -> None:
    with np.errstate(all="ignore"):
        x = np.array([0.0, 2.0])
        np.testing.assert_array_equal(sd.hessian(masked_log)(x), [[0.0, 0.0], [0.0, -0.25]])
        np.testing.assert_array_equal(sd.hvp(masked_log, x, np.ones(2)), [0.0, -0.25])


@given(st.lists(st.sampled_from([0.0, -1.0, 2.0, np.nan, np.inf, -np.inf]), min_size=1))
def test_what_is_masked_never_poisons(entries: list[float]) -> None:
    x = np.array(entries)
    fine = np.isfinite(x) & (x > 0)
    with np.errstate(all="ignore"):
        gradient = sd.grad(lambda x: np.sum(np.where(fine, np.log(x) * np.exp(1 / x), 0.0)))(x)
        safe = np.where(fine, x, 1.0)
        expected = np.where(fine, np.exp(1 / safe) * (1 / safe - np.log(safe) / safe**2), 0.0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-13)


def test_stop_gradient_stops() -> None:
    assert sd.grad(lambda x: x * sd.stop_gradient(x**2))(3.0) == 9.0
    assert sd.grad(sd.grad(lambda x: x**2 * sd.stop_gradient(x)))(3.0) == 6.0
    tree = sd.grad(lambda w: np.sum(sd.stop_gradient(w)["a"]) * w["b"])({"a": X, "b": 2.0})
    np.testing.assert_array_equal(tree["a"], np.zeros(3))


def test_a_number_that_lost_its_trace_is_an_error_and_not_a_constant() -> None:
    for convert in (float, complex, np.asarray, math.sin, np.float64):
        with pytest.raises((TracedConversionError, UnsupportedError)):
            sd.grad(lambda x, convert=convert: x * convert(x))(2.0)


def test_the_argument_is_an_array_and_says_so() -> None:
    seen: list[Any] = []
    sd.grad(lambda x: seen.append(x) or np.sum(x))(X)  # type: ignore[func-returns-value]
    assert isinstance(seen[0], Array)
