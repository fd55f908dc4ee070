"""The Array behaves as NumPy's: operators, conversions, in-place operations, attributes."""

import builtins
import copy
import math
import operator
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import steepest as sd
from steepest.array import Array, value_type
from steepest.compiling import compile as compiled
from steepest.errors import NeedsValueError, TracedConversionError, UnsupportedError
from steepest.shadow import ShadowTrace

X = np.array([0.5, -1.0, 2.0])


def traced(value: Any) -> Array:
    """Make a value an Array of a trace that stays open."""
    return ShadowTrace().watch(value)


def plain(value: Any) -> Any:
    while isinstance(value, Array):
        value = value._value
    return value


def assert_same(result: Any, expected: Any) -> None:
    """Compare type, shape, dtype and bits."""
    result = plain(result)
    assert type(result) is type(expected)
    if isinstance(expected, tuple):
        for a, b in zip(result, expected, strict=True):
            assert_same(a, b)
        return
    assert np.shape(result) == np.shape(expected)
    assert getattr(result, "dtype", None) == getattr(expected, "dtype", None)
    np.testing.assert_array_equal(result, expected)


def outcome(function: Callable[..., Any], *args: Any) -> Any:
    """Run, and give the type of the exception where there is one."""
    try:
        with np.errstate(all="ignore"):
            return function(*args)
    except Exception as error:
        return type(error)


ASSERTIONS = {
    "close": lambda x: np.testing.assert_allclose(x, x + 1e-12),
    "equal": lambda x: np.testing.assert_equal({"x": [x, x[0]]}, {"x": [plain(x), 0.5]}),
    "equal arrays": lambda x: np.testing.assert_array_equal(x, X),
    "equal numbers": lambda x: np.testing.assert_array_equal(x[0].item(), 0.5),
    "almost": lambda x: np.testing.assert_almost_equal(x[0] * 1j, 0.5j),
    "approximately": lambda x: np.testing.assert_approx_equal(x[0], 0.5),
    "less": lambda x: np.testing.assert_array_less(x, 2.5),
    "units in the last place": lambda x: np.testing.assert_array_max_ulp(x, X),
    "units in the last place, at most": lambda x: np.testing.assert_array_almost_equal_nulp(x, X),
    "by pytest": lambda x: operator.truth(pytest.approx(X) == x),
}


@pytest.mark.parametrize("name", ASSERTIONS)
def test_assertions_are_about_values(name: str) -> None:
    def loss(x: Any) -> Any:
        ASSERTIONS[name](x)
        with pytest.raises(AssertionError, match=r"0\.5|ULP"):
            np.testing.assert_array_max_ulp(x, X + 1)
        with pytest.raises(AssertionError, match=r"0\.5"):
            np.testing.assert_allclose(x, X + 1)
        return np.sum(x)

    np.testing.assert_array_equal(sd.grad(loss)(X), np.ones(3))
    with pytest.raises(NeedsValueError, match="testing"):
        sd.compile(lambda x: np.testing.assert_allclose(x, x))(X)


# Operators

BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.matmul,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
    divmod,
]
OTHERS: dict[str, Any] = {
    "int": 2,
    "float": 1.5,
    "bool": True,
    "zero": 0.0,
    "complex": 1 + 2j,
    **{
        f"np.{name}": getattr(np, name)(2)
        for name in ("int8", "int64", "uint8", "float16", "float32", "float64", "longdouble")
    },
    "np.bool": np.bool(True),
    "np.complex64": np.complex64(1 + 2j),
    "0-d": np.array(1.5),
    "ndarray": np.array([1.0, 2.0, 3.0]),
    "float32 array": np.array([1.0, 2.0, 3.0], np.float32),
    "int array": np.array([1, 2, 3]),
    "bool array": np.array([True, False, True]),
    "column": np.array([[1.0], [2.0]]),
    "empty": np.ones((0, 3)),
    "list": [1.0, 2.0, 3.0],
    "tuple": (1, 2, 3),
    "matrix": np.arange(9.0).reshape(3, 3),
}
SUBJECTS: dict[str, Any] = {
    "array": X,
    "float32 array": X.astype(np.float32),
    "float16 array": X.astype(np.float16),
    "complex array": X + 1j,
    "0-d": np.array(2.0),
    "np.float32": np.float32(2),
    "float": 2.0,
}


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
@pytest.mark.parametrize("operation", BINARY, ids=lambda each: each.__name__)
def test_operators_both_ways(operation: Any, subject: Any) -> None:
    for name, other in OTHERS.items():
        if isinstance(other, (list, tuple)) and np.ndim(subject) == 0:
            # Python's and NumPy's numbers repeat lists; an Array takes them for arrays.
            continue
        pairs = [(subject, other, traced(subject), other), (other, subject, other, traced(subject))]
        if isinstance(other, (np.ndarray, np.generic)):
            pairs.append((subject, other, traced(subject), traced(other)))
        for a, b, traced_a, traced_b in pairs:
            expected = outcome(operation, a, b)
            result = outcome(operation, traced_a, traced_b)
            if isinstance(expected, type):
                assert isinstance(result, type), f"{name}: {result} instead of {expected}"
            else:
                assert not isinstance(result, type), f"{name}: {result} instead of {expected}"
                assert_same(result, expected)


BITWISE = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]


@pytest.mark.parametrize("operation", BITWISE, ids=lambda each: each.__name__)
@pytest.mark.parametrize("other", [2, np.int8(3), np.array([1, 2, 3]), [1, 2, 3]])
def test_bitwise_operators_both_ways(operation: Any, other: Any) -> None:
    integers = np.array([5, 6, 7])
    assert_same(operation(traced(integers), other), operation(integers, other))
    assert_same(operation(other, traced(integers)), operation(other, integers))


@pytest.mark.parametrize("operation", [operator.neg, operator.pos, abs, operator.invert])
@pytest.mark.parametrize("value", [X, np.float32(2), np.array([1, 2]), np.array([True]), 1 + 1j])
def test_unary_operators(operation: Any, value: Any) -> None:
    expected = outcome(operation, value)
    result = outcome(operation, traced(value))
    if isinstance(expected, type):
        assert result is expected
    else:
        assert_same(result, expected)


dtypes = st.sampled_from([np.float16, np.float32, np.float64, np.complex64, np.longdouble])
other_dtypes = dtypes | st.sampled_from([np.bool, np.int8, np.uint8, np.int32, np.int64])
shapes = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)


@given(
    st.sampled_from([each for each in BINARY if each is not operator.matmul]),
    dtypes,
    other_dtypes,
    shapes,
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_promotion_is_numpys(
    operation: Any, first: Any, second: Any, shapes: Any, scalar: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y = (
        rng.integers(1, 4, shape).astype(dtype)
        for shape, dtype in zip(shapes.input_shapes, (first, second), strict=True)
    )
    if scalar and not y.ndim:
        y = y[()]
    for a, b in ((x, y), (y, x)):
        expected = outcome(operation, a, b)
        result = outcome(operation, traced(a), b)
        other_way = outcome(operation, a, traced(b))
        if isinstance(expected, type):
            assert isinstance(result, type)
            assert isinstance(other_way, type)
            continue
        assert_same(result, expected)
        assert_same(other_way, expected)
        if isinstance(expected, tuple):
            continue
        # Shapes and dtypes alone come to the same.
        (node,) = compiled(operation).graph(a, b).outputs
        assert node.type.shape == np.shape(expected)  # type: ignore[union-attr]
        assert node.type.dtype == expected.dtype  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64])
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, 0.5, 1.5, 2.0, -1.0, -2, True])
@pytest.mark.parametrize("shape", [(), (5,)])
def test_powers_have_numpys_bits(dtype: Any, exponent: float, shape: Any) -> None:
    x = np.array([0.1, 3.3, -0.0, -np.inf, 2.2]).astype(dtype)
    x = x if shape else x[1]
    with np.errstate(all="ignore"):
        assert_same(traced(x) ** exponent, x**exponent)


def test_operators_leave_what_they_do_not_know_to_the_other() -> None:
    class Other:
        def __radd__(self, other: Any) -> str:
            return "mine"

        __rpow__ = __rmatmul__ = __radd__

    assert traced(X) + Other() == "mine"
    assert traced(X) ** Other() == "mine"
    assert traced(X) @ Other() == "mine"
    with pytest.raises(TypeError):
        traced(X) + None
    with pytest.raises(TypeError):
        traced(X) + "text"


# Conversions


@pytest.mark.parametrize(
    ("name", "convert"),
    [
        ("float", lambda x: builtins.float(x[0])),
        ("complex", lambda x: builtins.complex(x[0])),
        ("math", lambda x: math.remainder(x[0], 2.0)),
        ("percent", lambda x: operator.mod("%.3f", x[0])),
        ("sum of the library", lambda x: statistics.fmean(x)),
    ],
)
@pytest.mark.parametrize("transform", [sd.grad, sd.hessian, compiled], ids=lambda t: t.__name__)
def test_conversions_that_lose_the_gradient_are_refused(
    name: str, convert: Callable[[Any], Any], transform: Any
) -> None:
    def loss(x: Any) -> Any:
        convert(x)
        return np.sum(x**2)

    with pytest.raises(TracedConversionError) as caught:
        transform(loss)(X)
    text = str(caught.value)
    assert "Instead:" in text
    assert f"{__file__}:" in text
    assert "float64" in text


@pytest.mark.parametrize(
    "write",
    [
        lambda out, x: operator.setitem(out, 0, x[0]),
        lambda out, x: operator.setitem(out, slice(None), x),
        lambda out, x: operator.iadd(out, x),
        lambda out, x: operator.imul(out, x),
        lambda out, x: np.add(out, x, out=out),
        lambda out, x: np.add(x, 1.0, out=out),
        lambda out, x: np.copyto(out, x),
        lambda out, x: out.__setitem__(0, out[0] + x[0]),
        lambda out, x: np.add.at(out, [0], x[:1]),
        lambda out, x: out.fill(x[0]),
        lambda out, x: np.put(out, [0], x[0]),
    ],
)
def test_writing_into_an_ndarray_is_refused(write: Any) -> None:
    out = np.zeros(3)

    def loss(x: Any) -> Any:
        write(out, x)
        return np.sum(out)

    with pytest.raises((UnsupportedError, TracedConversionError)) as caught:
        sd.grad(loss)(X)
    assert "Instead:" in str(caught.value)
    assert f"{__file__}:" in str(caught.value)
    np.testing.assert_array_equal(out, np.zeros(3))


def test_int_and_bool_are_fine_where_values_are_known() -> None:
    def loss(x: Any) -> Any:
        assert int(x[2]) == 2
        assert bool(x[0])
        assert not x[0] > 1
        assert x[0]
        assert not x[0] * 0
        assert [10, 20, 30][int(x[2])] == 30
        assert round(x[0] + 0.1) == 1
        assert type(round(x[0])) is int
        assert round(x[0], 1) == 0.5
        return np.sum(x[: int(x[2])])

    np.testing.assert_array_equal(sd.grad(loss)(X), [1.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (lambda x: range(x[0]), TypeError),
        (lambda x: [1, 2][x[0]], TypeError),
        (lambda x: hash(x), TypeError),
        (lambda x: len(x[0]), TypeError),
        (lambda x: list(x[0]), TypeError),
        (lambda x: bool(x), ValueError),
        (lambda x: round(x), TypeError),
        (lambda x: x[1.5], IndexError),
        (lambda x: x[3], IndexError),
        (lambda x: x[0, 0], IndexError),
        (lambda x: x.reshape(2, 2), ValueError),
        (lambda x: x + np.ones(2), ValueError),
        (lambda x: x @ np.ones(2), ValueError),
        (lambda x: x.nothing, AttributeError),
        (lambda x: x(), TypeError),
        (lambda x: x.astype(int, casting="safe"), TypeError),
    ],
)
def test_errors_are_numpys(use: Callable[[Any], Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        use(X)
    with pytest.raises(kind):
        use(traced(X))


def test_an_array_is_a_sequence() -> None:
    x = traced(X)
    assert len(x) == 3
    assert [float(plain(each)) for each in x] == [0.5, -1.0, 2.0]
    assert [float(plain(each)) for each in reversed(x)] == [2.0, -1.0, 0.5]
    first, *rest = x
    assert plain(first) == 0.5
    assert len(rest) == 2
    assert -1.0 in x
    assert 7.0 not in x
    assert None not in x
    assert "text" not in x
    assert plain(sum(x)) == 1.5
    assert plain(max(x)) == 2.0
    assert [plain(each) for each in sorted(x)] == [-1.0, 0.5, 2.0]
    matrix = traced(np.eye(2))
    assert [plain(row).tolist() for row in matrix] == [[1.0, 0.0], [0.0, 1.0]]
    assert [plain(each) for each in matrix.flat] == [1.0, 0.0, 0.0, 1.0]


def test_an_array_knows_what_an_ndarray_knows() -> None:
    for value in (X, np.ones((2, 0), np.float32), np.float16(1), np.array(1j)):
        x = traced(value)
        for name in ("shape", "dtype", "ndim", "size", "itemsize", "nbytes"):
            assert getattr(x, name) == getattr(value, name)
    assert traced(2.0).shape == ()
    assert traced(2.0).dtype == np.float64
    assert value_type(traced(traced(2.0))).weak
    assert traced(traced(X)).shape == (3,)


def test_attributes_that_are_not_there_are_said_to_be_missing() -> None:
    x = traced(X)
    for name in ("flags", "data", "flags", "tobytes", "tofile", "resize", "ctypes", "base"):
        assert not hasattr(x, name)
        with pytest.raises(UnsupportedError, match=f"ndarray.{name}"):
            getattr(x, name)
    assert not hasattr(x, "nothing")
    assert getattr(x, "flags", "default") == "default"
    assert not hasattr(x, "__array_interface__")


def test_copies() -> None:
    def loss(x: Any) -> Any:
        y = x * 2
        first, second, third = y.copy(), copy.copy(y), copy.deepcopy(y)
        y += 1
        first *= 3
        return np.sum(y + first + second + third + np.copy(x))

    np.testing.assert_array_equal(sd.grad(loss)(X), np.full(3, 2 + 6 + 2 + 2 + 1.0))


# In-place operations

IN_PLACE = [
    operator.iadd,
    operator.isub,
    operator.imul,
    operator.itruediv,
    operator.ipow,
    operator.imod,
]


@pytest.mark.parametrize("operation", IN_PLACE, ids=lambda each: each.__name__)
@pytest.mark.parametrize("other", [2, 1.5, np.array([1.0, 2.0, 3.0]), "traced"])
def test_in_place_on_an_array_of_the_functions_own(operation: Any, other: Any) -> None:
    def function(x: Any) -> Any:
        y = x + 3.25
        alias = y
        y = operation(y, x + 1.5 if isinstance(other, str) else other)
        assert alias is y
        return np.sum(alias * np.arange(3.0))

    plain_value = function(X)
    value, gradient = sd.value_and_grad(function)(X)
    assert value == plain_value
    steps = 1e-6 * np.eye(3)
    numerical = [(function(X + h) - function(X - h)) / 2e-6 for h in steps]
    np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(compiled(sd.grad(function))(X), gradient, rtol=1e-14)


@pytest.mark.parametrize("operation", IN_PLACE, ids=lambda each: each.__name__)
def test_in_place_on_a_number_binds_the_name_anew(operation: Any) -> None:
    def function(x: Any) -> Any:
        y = x
        y = operation(y, 2.0)
        return y * x

    x = 1.5
    value, gradient = sd.value_and_grad(function)(x)
    assert value == function(x)
    numerical = (function(x + 1e-6) - function(x - 1e-6)) / 2e-6
    assert gradient == pytest.approx(numerical, rel=1e-6)


VIEWS: list[Callable[[Any], Any]] = [
    lambda y: y,
    lambda y: y[:],
    lambda y: y[...],
    lambda y: y[::-1],
    lambda y: y[None],
    lambda y: y.T,
    lambda y: y.reshape(1, -1),
    lambda y: np.ravel(y),
    lambda y: y.real,
    lambda y: y.conj(),
    lambda y: np.atleast_1d(y),
    lambda y: np.squeeze(y),
    lambda y: np.split(y, [0])[1],
    lambda y: np.broadcast_to(y, (2, 3)),
    lambda y: np.moveaxis(y[:, None], 0, 1),
    lambda y: y.astype(float, copy=False),
    lambda y: np.flip(y),
    lambda y: y.swapaxes(0, 0),
    lambda y: np.expand_dims(y, 0),
    lambda y: y.copy(),
    lambda y: +y,
    lambda y: y[[0, 1, 2]],
    lambda y: y.astype(float),
    lambda y: np.where(True, y, 0),
]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("write_into_view", [False, True])
@pytest.mark.parametrize("view_first", [False, True])
def test_in_place_with_shared_memory(
    view: Callable[[Any], Any], write_into_view: bool, view_first: bool
) -> None:
    def function(x: Any) -> Any:
        y = x * 2
        other = view(view(y)) if view_first else view(y)
        written, seen = (other, y) if write_into_view else (y, other)
        written += 1.0
        return np.sum(seen * seen)

    if write_into_view and view(X).base is not None and not view(X).flags.writeable:
        return
    expected = function(X)
    for run in (sd.value_and_grad(function), compiled(lambda x: (function(x), None))):
        assert run(X)[0] == expected


def test_in_place_on_an_argument_leaves_the_callers_array_alone() -> None:
    def loss(x: Any) -> Any:
        x += 1
        x[0] *= 5
        return np.sum(x * x)

    x = X.copy()
    value, gradient = sd.value_and_grad(loss)(x)
    assert_same(x, X)
    assert value == loss(X.copy())
    assert_same(gradient, 2 * (X + 1) * [25, 1, 1])


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y.flatten(),
        lambda y: np.cumsum(y),
        lambda y: np.inner(y, y),
        lambda y: np.outer(y, y),
        lambda y: np.linalg.norm(y),
        lambda y: np.add.outer(y, y),
        lambda y: np.tensordot(y, y, 1),
    ],
)
def test_what_makes_no_view_leaves_an_array_free_to_be_changed(function: Any) -> None:
    def loss(x: Any) -> Any:
        y = x * 2
        before = np.sum(function(y))
        y += 1
        return before + np.sum(y * y)

    sd.grad(loss, shadow_run=True)(X.copy())


def test_in_place_keeps_dtype_and_shape() -> None:
    def narrow(x: Any) -> Any:
        y = x * np.float32(2)
        y += np.ones(3)
        return y

    x = X.astype(np.float32)
    value, pullback = sd.vjp(narrow, x)
    assert value.dtype == np.float32
    assert pullback(np.ones(3, np.float32))[0].dtype == np.float32

    def wider(x: Any) -> Any:
        y = x * 2
        y += np.ones((2, 3))
        return np.sum(y)

    for function in (wider, sd.grad(wider)):
        with pytest.raises(ValueError, match="non-broadcastable output operand"):
            function(X)

    def complex_into_real(x: Any) -> Any:
        y = x * 2
        y += 1j
        return np.sum(y)

    for function in (complex_into_real, sd.grad(complex_into_real)):
        with pytest.raises(TypeError):
            function(X)


def test_in_place_without_derivative_leaves_a_constant() -> None:
    def loss(x: Any) -> Any:
        y = x * 2
        z = y[:1]
        y //= 1.5
        return np.sum(y + z) + np.sum(x)

    value, gradient = sd.value_and_grad(loss)(X)
    assert value == loss(X)
    assert_same(gradient, np.ones(3))


def test_in_place_in_a_loop() -> None:
    def loss(x: Any) -> Any:
        total = x * 0.0
        for i in range(5):
            total += x**i
        return np.sum(total)

    expected = sum(i * X ** (i - 1) for i in range(1, 5))
    np.testing.assert_allclose(sd.grad(loss)(X), expected, rtol=1e-14)
    np.testing.assert_allclose(sd.hvp(loss, X, np.ones(3)), 2 + 6 * X + 12 * X**2, rtol=1e-13)


def test_iterating_over_rows_and_writing_into_them() -> None:
    def loss(x: Any) -> Any:
        y = np.outer(x, x)
        for row in y:
            operator.imul(row, 3.0)
        return np.sum(y)

    assert sd.value_and_grad(loss)(X)[0] == loss(X)
    assert_same(sd.grad(loss)(X), 6 * np.full(3, np.sum(X)))


# Types and methods


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, complex, np.longdouble])
def test_astype_to_another_floating_point_type_keeps_the_gradient(dtype: Any) -> None:
    value, pullback = sd.vjp(lambda x: x.astype(dtype), X)
    assert_same(value, X.astype(dtype))
    (gradient,) = pullback(np.ones(3, dtype))
    assert gradient.dtype == X.dtype
    np.testing.assert_array_equal(gradient, np.ones(3))


@pytest.mark.parametrize("dtype", [int, bool, np.int8, "U5"])
def test_astype_to_what_has_no_derivative_gives_plain_values(dtype: Any) -> None:
    def loss(x: Any) -> Any:
        steps = x.astype(dtype)
        assert type(steps) is np.ndarray
        np.testing.assert_array_equal(steps, X.astype(dtype))
        return np.sum(x)

    np.testing.assert_array_equal(sd.grad(loss)(X), np.ones(3))


METHODS: list[Callable[[Any], Any]] = [
    lambda a: a.all(),
    lambda a: a.any(axis=0),
    lambda a: a.argmax(1),
    lambda a: a.argmin(),
    lambda a: a.clip(0.2, 0.9),
    lambda a: a.cumsum(axis=1),
    lambda a: a.diagonal(),
    lambda a: a.dot(np.ones((3, 2))),
    lambda a: a.max(axis=0, keepdims=True),
    lambda a: a.mean(1),
    lambda a: a.min(),
    lambda a: a.prod(axis=0),
    lambda a: a.ravel(),
    lambda a: a.ravel("F"),
    lambda a: a.repeat(2, axis=0),
    lambda a: a.round(1),
    lambda a: a[None].squeeze(0),
    lambda a: a.std(axis=1, ddof=1),
    lambda a: a.sum(0),
    lambda a: a.sum(axis=(0, 1)),
    lambda a: a.swapaxes(0, 1),
    lambda a: a.take([0, 2], axis=1),
    lambda a: a.trace(),
    lambda a: a.var(),
    lambda a: a.reshape(3, 2),
    lambda a: a.reshape((3, -1)),
    lambda a: a.reshape(-1),
    lambda a: a.reshape(3, 2, order="F"),
    lambda a: a.transpose(),
    lambda a: a.transpose(1, 0),
    lambda a: a.transpose((1, 0)),
    lambda a: a.T,
    lambda a: a.mT,
    lambda a: a.real,
    lambda a: a.imag,
    lambda a: a.conj(),
    lambda a: a.conjugate(),
    lambda a: a.flatten(),
    lambda a: a.flatten("F"),
    lambda a: a.copy(),
    lambda a: a.astype(np.float32),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128])
def test_methods(method: Callable[[Any], Any], dtype: Any) -> None:
    a = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -2.0]]).astype(dtype)
    expected = outcome(method, a)
    result = outcome(method, traced(a))
    if isinstance(expected, type):
        assert isinstance(result, type)
        return
    result = plain(result)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(result, expected, rtol=1e-6 if dtype == np.float32 else 1e-14)


def test_a_shape_alone_prints_and_refuses_values() -> None:
    texts: list[str] = []

    def function(x: Any) -> Any:
        texts.extend([repr(x), str(x), f"{x}", f"{x:.3f}"])
        return x

    compiled(function).graph(X)
    assert texts == ["Array(float64[3])"] * 4
    for use in (bool, int, float, complex, operator.index, np.asarray):
        with pytest.raises(NeedsValueError):
            compiled(use).graph(1.0)


# Python's numbers


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.longdouble])
def test_item_and_tolist_give_way_as_pythons_numbers_do(dtype: Any) -> None:
    x = np.array([[0.5, -1.0], [2.0, 3.0]], dtype)
    single = np.ones(2, np.float32)
    functions: list[Callable[[Any], Any]] = [
        lambda x: x[0, 1].item() * single,
        lambda x: x.item(1, 0) + x.item((0, 1)) * x.item(-1) * single,
        lambda x: x[:1, :1].item() ** 2,
        lambda x: [a * b * single for a, b in x.tolist()],
        lambda x: x[1, 1].tolist() * single,
        lambda x: sum(x[0].tolist(), 1) * single,
    ]
    for function in functions:
        expected = np.asarray(function(x))
        value = np.asarray(sd.vjp(lambda x, function=function: np.array(function(x)), x)[0])
        assert value.dtype == expected.dtype
        np.testing.assert_array_equal(value, expected)
        gradient = sd.grad(lambda x, function=function: np.sum(np.real(np.array(function(x)))))
        assert gradient(x).dtype == dtype
        wanted = sd.grad(lambda x, function=function: np.sum(np.real(np.array(function(x)))))(
            x.astype(np.complex128 if dtype == np.complex64 else np.float64)
        )
        np.testing.assert_allclose(gradient(x), wanted, rtol=1e-6)


def test_item_to_any_order() -> None:
    def loss(x: Any) -> Any:
        first, *rest = x.tolist()
        return first**2 * x[1].item() + np.sum(np.array(rest) ** 3)

    assert sd.check_gradient(loss, X).verdict == "correct"
    hessian = sd.hessian(loss)(X)
    np.testing.assert_allclose(sd.compile(sd.hessian(loss))(X), hessian)
    np.testing.assert_allclose(sd.hvp(loss, X, X), hessian @ X)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x.item(),
        lambda x: x.item(7),
        lambda x: x.item(0, 0),
        lambda x: x.item("a"),
        lambda x: x[:0].item(),
        lambda x: x[0].item().item(),
    ],
)
def test_item_raises_as_numpy(use: Callable[[Any], Any]) -> None:
    with pytest.raises((ValueError, IndexError, TypeError, AttributeError)) as expected:
        use(X)
    with pytest.raises(expected.type):
        use(traced(X))
