"""NumPy's ufuncs and functions on Arrays: keyword arguments, methods, and what is refused."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import steepest as sd
from steepest.array import Array, value_type
from steepest.array.functions import FUNCTIONS, INSTEAD, PLAIN_FUNCTIONS
from steepest.array.plain import is_traced
from steepest.compiling import compile as compiled
from steepest.errors import NeedsValueError, UnsupportedError
from steepest.ops import primitive_of_ufunc
from steepest.shadow import ShadowTrace

X = np.array([0.5, -1.0, 2.0])
POSITIVE = np.array([0.5, 1.0, 2.0])


def traced(value: Any) -> Array:
    """Make a value an Array of a trace that stays open."""
    return ShadowTrace().watch(value)


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    while isinstance(value, Array):
        value = value._value
    return value


def assert_same(result: Any, expected: Any) -> None:
    result = plain(result)
    assert type(result) is type(expected)
    if isinstance(expected, tuple):
        for a, b in zip(result, expected, strict=True):
            assert_same(a, b)
        return
    assert np.shape(result) == np.shape(expected)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)


def refused(function: Callable[..., Any], *args: Any) -> Any:
    """Run, and give the error if it is one of what is not supported."""
    try:
        return function(*args)
    except UnsupportedError as error:
        return error


UFUNCS = sorted(
    {each for each in vars(np).values() if isinstance(each, np.ufunc)},
    key=lambda ufunc: ufunc.__name__,
)


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda ufunc: ufunc.__name__)
def test_every_ufunc_gives_numpys_value_or_is_refused_by_name(ufunc: np.ufunc) -> None:
    """Floats of each width, Python numbers among them, and integers."""
    rows: list[tuple[Any, ...]] = [
        (POSITIVE,) * ufunc.nin,
        (POSITIVE.astype(np.float32),) * ufunc.nin,
        (POSITIVE.astype(np.float16), *(2.0,) * (ufunc.nin - 1)),
        (np.float32(0.5),) * ufunc.nin,
        (0.5,) * ufunc.nin,
        (np.array([1, 2, 3]),) * ufunc.nin,
        (POSITIVE, *(np.array([1, 2, 3]),) * (ufunc.nin - 1)),
        (np.array([[True], [False]]), *(np.array([True, False]),) * (ufunc.nin - 1)),
    ]
    for args in rows:
        try:
            with np.errstate(all="ignore"):
                expected = ufunc(*args)
        except (TypeError, ValueError):
            continue
        for position in range(ufunc.nin):
            changed = list(args)
            changed[position] = traced(args[position])
            with np.errstate(all="ignore"):
                result = refused(ufunc, *changed)
            if isinstance(result, UnsupportedError):
                assert ufunc.__name__ in str(result)
                assert "Instead:" in str(result)
            else:
                assert_same(result, expected)


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda ufunc: ufunc.__name__)
def test_shapes_and_dtypes_alone_agree_with_the_values(ufunc: np.ufunc) -> None:
    for dtype in (np.float64, np.float32, np.int64):
        args = (POSITIVE.astype(dtype),) * ufunc.nin
        try:
            with np.errstate(all="ignore"):
                expected = ufunc(*args)
            graph = compiled(ufunc).graph(*args)
        except (TypeError, ValueError, AttributeError):
            continue
        results = expected if isinstance(expected, tuple) else (expected,)
        for node, result in zip(graph.outputs, results, strict=False):
            assert node.type == value_type(result)


def test_python_numbers_under_a_ufunc_become_numpys_scalars() -> None:
    for function in (
        lambda x: np.multiply(x, 2.0),
        lambda x: np.add(1, x),
        lambda x: np.sin(x),
        lambda x: np.maximum(x, 0.0),
    ):
        value, _ = sd.value_and_grad(function)(1.5)
        assert type(value) is np.float64
        assert type(compiled(function)(1.5)) is np.float64
    assert compiled(lambda x, y: np.multiply(x, 2.0) * y)(1.5, np.float32(1)).dtype == np.float64
    assert compiled(lambda x, y: (x * 2.0) * y)(1.5, np.float32(1)).dtype == np.float32


# Keyword arguments


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "f4", np.longdouble])
@pytest.mark.parametrize(
    "call",
    [
        lambda x, dtype: np.exp(x, dtype=dtype),
        lambda x, dtype: np.add(x, 1, dtype=dtype),
        lambda x, dtype: np.multiply(2.0, x, dtype=dtype),
        lambda x, dtype: np.add.reduce(x, dtype=dtype),
        lambda x, dtype: np.sum(x, dtype=dtype),
        lambda x, dtype: np.mean(x, dtype=dtype),
        lambda x, dtype: np.cumsum(x, dtype=dtype),
    ],
)
def test_dtype(call: Callable[..., Any], dtype: Any) -> None:
    for x in (X, X.astype(np.float32)):
        try:
            expected = call(x, dtype)
        except TypeError:
            with pytest.raises(TypeError):
                call(traced(x), dtype)
        else:
            assert_same(call(traced(x), dtype), expected)
    (gradient,) = sd.vjp(lambda x: call(x, np.float64), X.astype(np.float32))[1](
        np.ones(np.shape(call(X, np.float64)))
    )
    assert gradient.dtype == np.float32


OUT = np.zeros(3)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.exp(x, out=OUT),
        lambda x: np.exp(x, OUT),
        lambda x: np.sum(x, out=OUT[0, ...]),
        lambda x: np.mean(x, out=OUT[0, ...]),
        lambda x: np.max(x, out=OUT[0, ...]),
        lambda x: np.cumsum(x, out=OUT),
        lambda x: np.clip(x, 0, 1, out=OUT),
        lambda x: np.add.reduce(x, out=OUT[0, ...]),
        lambda x: x.sum(out=OUT[0, ...]),
        lambda x: np.exp(x, where=np.array([True, False, True])),
    ],
)
def test_what_writes_or_leaves_open_is_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises(UnsupportedError) as caught:
        sd.grad(lambda x: np.sum(call(x)))(X)
    assert "Instead:" in str(caught.value)
    assert f"{__file__}:" in str(caught.value)
    assert caught.value.line is not None


def test_keyword_arguments_at_their_defaults_are_fine() -> None:
    result = np.exp(
        traced(X), where=True, casting="same_kind", order="K", subok=True, dtype=None, out=None
    )
    assert_same(result, np.exp(X))


def test_keyword_arguments_that_do_not_exist_are_refused() -> None:
    numpy: Any = np
    for call in (lambda x: numpy.exp(x, axis=0), lambda x: numpy.sum(x, axes=0)):
        with pytest.raises(TypeError):
            call(X)
        with pytest.raises(TypeError):
            call(traced(X))


# Methods of ufuncs

MATRIX = np.arange(1.0, 7.0).reshape(2, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.add.reduce(x),
        lambda x: np.add.reduce(x, axis=1),
        lambda x: np.add.reduce(x, 1),
        lambda x: np.add.reduce(x, axis=None),
        lambda x: np.add.reduce(x, axis=(0, 1), keepdims=True),
        lambda x: np.add.reduce(x, initial=10.0),
        lambda x: np.add.reduce(x, where=MATRIX > 2),
        lambda x: np.multiply.reduce(x),
        lambda x: np.maximum.reduce(x, axis=1),
        lambda x: np.minimum.reduce(x),
        lambda x: np.logical_and.reduce(x),
        lambda x: np.logical_or.reduce(x, axis=1),
        lambda x: np.add.accumulate(x),
        lambda x: np.add.accumulate(x, axis=1),
        lambda x: np.add.accumulate(x, 1),
        lambda x: np.add.outer(x, np.ones(2)),
        lambda x: np.multiply.outer(np.ones(2), x),
        lambda x: np.subtract.outer(x, x),
        lambda x: np.add.outer(x, 2.0),
    ],
)
def test_methods_of_ufuncs(call: Callable[[Any], Any]) -> None:
    assert_same(call(traced(MATRIX)), call(MATRIX))
    np.testing.assert_array_equal(compiled(call)(MATRIX), call(MATRIX))


def test_logaddexp_reduce() -> None:
    for axis in (0, 1, -1):
        np.testing.assert_allclose(
            plain(np.logaddexp.reduce(traced(MATRIX), axis=axis)),
            np.logaddexp.reduce(MATRIX, axis=axis),
            rtol=1e-14,
        )


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: np.add.at(OUT, [0], x[:1]), "np.add.at"),
    ],
)
def test_methods_that_are_refused_are_named(call: Callable[[Any], Any], name: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        call(traced(X))
    assert name in str(caught.value)
    assert "Instead:" in str(caught.value)


# Functions


def numpys_functions() -> list[Any]:
    """Find what NumPy dispatches by ``__array_function__``."""
    return [
        function
        for module in (np, np.linalg, np.fft)
        for name in sorted(module.__all__)
        if callable(function := getattr(module, name)) and hasattr(function, "_implementation")
    ]


@pytest.mark.parametrize(
    "function", numpys_functions(), ids=lambda f: f"{f.__module__}.{f.__name__}"
)
def test_no_function_of_numpys_is_silently_constant(function: Any) -> None:
    """Each is in a table, or refuses by name with a way out."""
    if function in FUNCTIONS or function in PLAIN_FUNCTIONS:
        return
    with pytest.raises(UnsupportedError) as caught:
        traced(X).__array_function__(function, (Array,), (traced(X),), {})
    assert function.__name__ in str(caught.value)
    assert "is not differentiated" in str(caught.value)
    assert "Instead:" in str(caught.value)


def test_no_function_is_in_two_tables() -> None:
    assert not PLAIN_FUNCTIONS & set(FUNCTIONS)
    names = {each.__name__ for each in FUNCTIONS} | {each.__name__ for each in PLAIN_FUNCTIONS}
    assert not names & set(INSTEAD), "a way around what is there"


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda each: each.__name__)
def test_implementations_take_numpys_arguments(function: Any) -> None:
    try:
        expected = inspect.signature(function)
        actual = inspect.signature(FUNCTIONS[function])
    except ValueError:
        pytest.skip("a signature that Python does not know")
    if any(each.kind is each.VAR_KEYWORD for each in actual.parameters.values()):
        return
    positional = [
        each.name
        for each in expected.parameters.values()
        if each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    takes = list(actual.parameters)
    for name in positional[1:]:
        assert name in takes, f"np.{function.__name__} takes {name}="


PLAIN_CALLS: list[Callable[[Any], Any]] = [
    lambda x: np.argsort(x),
    lambda x: np.nonzero(x > 0)[0],
    lambda x: np.flatnonzero(x > 0),
    lambda x: np.searchsorted(x, 1.0),
    lambda x: np.searchsorted(POSITIVE, x),
    lambda x: np.count_nonzero(x),
    lambda x: np.allclose(x, X),
    lambda x: np.isclose(x, 0.5),
    lambda x: np.array_equal(x, X),
    lambda x: np.isin(x, [0.5]),
    lambda x: np.digitize(x, [0.0, 1.0]),
    lambda x: np.argwhere(x > 0),
    lambda x: np.sign(x),
    lambda x: np.floor(x),
    lambda x: np.round(x),
    lambda x: np.isnan(x),
    lambda x: x > 0,
    lambda x: np.argmax(x),
    lambda x: np.any(x),
    lambda x: np.shape(x),
    lambda x: np.ndim(x),
    lambda x: np.size(x),
    lambda x: np.iscomplexobj(x),
    lambda x: np.result_type(x, np.float32),
    lambda x: np.zeros_like(x),
    lambda x: np.ones_like(x, dtype=np.float32),
    lambda x: np.full_like(x, 3.0),
    lambda x: np.empty_like(x).shape,
]


@pytest.mark.parametrize("call", PLAIN_CALLS)
def test_results_without_derivative_are_plain(call: Callable[[Any], Any]) -> None:
    def loss(x: Any) -> Any:
        result = call(x)
        assert not is_traced(result)
        np.testing.assert_array_equal(result, call(X))
        return np.sum(x)

    np.testing.assert_array_equal(sd.grad(loss)(X), np.ones(3))
    np.testing.assert_array_equal(sd.hvp(loss, X, X), np.zeros(3))


def test_plain_results_under_nested_gradients_see_through_every_trace() -> None:
    def loss(x: Any) -> Any:
        order = np.argsort(x)
        assert type(order) is np.ndarray
        return np.sum(x[order] ** 3 * np.arange(3.0))

    ranks = np.argsort(np.argsort(X))
    np.testing.assert_allclose(np.diag(sd.hessian(loss)(X)), 6 * X * ranks)


@pytest.mark.parametrize("call", [lambda x: np.nonzero(x), lambda x: np.allclose(x, 1.0)])
def test_plain_functions_need_values(call: Callable[[Any], Any]) -> None:
    with pytest.raises(NeedsValueError, match="compiled"):
        compiled(call)(X)


def test_plain_values_cannot_be_written_into_behind_the_traces_back() -> None:
    def function(x: Any) -> Any:
        y = np.exp(x)
        np.sort(np.argsort(y))
        with pytest.raises(ValueError, match="read-only"):
            sd.stop_gradient(y)[0] = 5.0
        return y

    np.testing.assert_array_equal(sd.vjp(function, np.zeros(3))[1](np.ones(3))[0], np.ones(3))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: np.sort(x), "np.sort"),
        (lambda x: np.median(x), "np.median"),
        (lambda x: np.percentile(x, 50), "np.percentile"),
        (lambda x: np.linalg.svd(np.outer(x, x))[1], "np.linalg.svd"),
        (lambda x: np.gradient(x), "np.gradient"),
        (lambda x: np.unique(x), "np.unique"),
        (lambda x: np.linspace(0.0, x[0], 3), "np.linspace"),
        (lambda x: np.select([x > 0], [x]), "np.select"),
    ],
)
def test_what_is_not_supported_is_named_with_line_and_way_out(
    call: Callable[[Any], Any], name: str
) -> None:
    result = refused(sd.grad(lambda x: np.sum(call(x))), X)
    if isinstance(result, UnsupportedError):
        assert name in str(result)
        assert "Instead:" in str(result)
        assert f"{__file__}:" in str(result)
    else:
        steps = 1e-6 * np.eye(3)
        expected = [(np.sum(call(X + h)) - np.sum(call(X - h))) / 2e-6 for h in steps]
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-7)


def test_a_ufunc_of_another_library_is_not_taken_for_numpys() -> None:
    sin = np.frompyfunc(lambda x: x + 1, 1, 1)
    assert primitive_of_ufunc(sin) is None
    with pytest.raises(UnsupportedError):
        sd.grad(lambda x: np.sum(sin(x)))(X)


def test_types_that_know_better_are_asked() -> None:
    class Other:
        def __array_function__(self, *_: Any) -> str:
            return "mine"

    other: Any = Other()
    assert np.dot(X, other) == "mine"
    assert np.dot(traced(X), other) == "mine"


class Labelled:
    """An array with a label, as the containers of other libraries are."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        if settings.pop("out", None) is not None:
            raise NotImplementedError("out=")
        plain = [each.data if isinstance(each, Labelled) else each for each in inputs]
        return Labelled(getattr(ufunc, method)(*plain, **settings))


class Aloof:
    """An object that wants no ufunc, as a sparse matrix does."""

    __array_ufunc__ = None

    def __radd__(self, other: Any) -> Any:
        return 2 * other

    def __rdivmod__(self, other: Any) -> Any:
        return other, other


LABEL: Any = Labelled(X)
ALOOF: Any = Aloof()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: (x * LABEL).data,
        lambda x: (x**LABEL).data,
        lambda x: (np.diag(x) @ LABEL).data,
        lambda x: np.hypot(LABEL, x).data,
        lambda x: np.logaddexp(x, LABEL, dtype=np.float32).data,
        lambda x: np.add.outer(x, LABEL).data,
        lambda x: divmod(2.3 * x, LABEL).data[1],
        lambda x: x + ALOOF,
        lambda x: divmod(x, ALOOF)[0],
    ],
)
def test_classes_with_ufuncs_of_their_own_are_asked(call: Callable[[Any], Any]) -> None:
    with np.errstate(invalid="ignore"):
        kept: list[Any] = []

        def total(x: Any) -> Any:
            kept.append(call(x))
            return np.sum(kept[-1])

        gradient = sd.grad(total)(POSITIVE)
        assert_same(kept[0], call(POSITIVE))
        steps = 1e-6 * np.eye(3)
        slopes = [(total(POSITIVE + h) - total(POSITIVE - h)) / 2e-6 for h in steps]
    assert np.shape(gradient) == (3,)
    if kept[0].dtype == np.float64:
        np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-7)


def test_a_class_with_ufuncs_of_its_own_knows_of_writes() -> None:
    def adds(x: Any) -> Any:
        y = np.zeros(3)
        y += LABEL
        return np.sum(x)

    with pytest.raises(NotImplementedError, match="out="):
        sd.grad(adds)(X)
    with pytest.raises(ValueError, match="cannot delete"):
        sd.grad(lambda x: x.__delitem__(0))(X)


MASKED = np.ma.array(X, mask=[True, False, False])
IDENTITY = np.eye(3).view(np.matrix)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.maximum(x, MASKED),
        lambda x: np.add.outer(MASKED, x),
        lambda x: np.average(x, weights=MASKED),
        lambda x: np.concatenate([x, MASKED]),
        lambda x: np.clip(x, MASKED, 9.0),
        lambda x: np.hypot(x, IDENTITY),
        lambda x: np.dot(x, IDENTITY),
    ],
)
def test_masks_are_not_dropped_in_silence(call: Callable[[Any], Any]) -> None:
    with pytest.raises(UnsupportedError, match=r"MaskedArray|matrix"):
        sd.grad(lambda x: np.sum(call(x)))(X)
    made = sd.compile(lambda x: np.sum(call(np.ones(3))) + x)
    assert made(1.0) == 1.0 + np.sum(call(np.ones(3)))


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
def test_where_and_clip_promote_as_numpy_does(seed: int, dtype: Any) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(4).astype(dtype)
    low, high = sorted(rng.standard_normal(2).tolist())
    for call in (
        lambda x: np.where(x > 0, x, 0),
        lambda x: np.where(x > 0, 2.0, x),
        lambda x: np.where(x > 0, x, np.float64(1)),
        lambda x: np.where(True, x, 1),
        lambda x: np.clip(x, low, high),
        lambda x: np.clip(x, None, high),
        lambda x: x.clip(min=low),
        lambda x: np.clip(x, a_min=np.float64(low), a_max=None),
    ):
        assert_same(call(traced(x)), call(x))
        # Making machine code of each example would take long.
        np.testing.assert_array_equal(compiled(call, engine="interpret")(x), call(x))
