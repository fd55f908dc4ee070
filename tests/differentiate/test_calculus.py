"""The calculus on functions and pytrees: what goes in, what comes out, and what is refused."""

from __future__ import annotations

import builtins
import math
import pickle
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import steepest as sd
from steepest.array import Array
from steepest.errors import (
    BadInputError,
    NotDifferentiableError,
    TracedConversionError,
)
from steepest.tree import flatten


class Layer(NamedTuple):
    W: Any
    b: Any


@dataclass
class Model:
    layer: Any
    name: str = "model"


W = np.array([[1.0, -2.0], [0.5, 3.0]])
b = np.array([0.25, -1.0])
TREES: list[tuple[str, Any, Callable[[Any], tuple[Any, Any]]]] = [
    ("dict", {"W": W, "b": b}, lambda tree: (tree["W"], tree["b"])),
    ("ordered dict", OrderedDict(b=b, W=W), lambda tree: (tree["W"], tree["b"])),
    ("default dict", defaultdict(list, W=W, b=b), lambda tree: (tree["W"], tree["b"])),
    ("list", [W, b], tuple),
    ("tuple", (W, b), tuple),
    ("named tuple", Layer(W, b), tuple),
    ("dataclass", Model(Layer(W, b)), lambda tree: tuple(tree.layer)),
    ("nested", {"layers": [(W,), {"b": b}]}, lambda t: (t["layers"][0][0], t["layers"][1]["b"])),
    ("with others", [W, b, 3, "name", None, np.arange(2)], lambda tree: tuple(tree[:2])),
]
every_tree = pytest.mark.parametrize(
    ("tree", "parts"), [pytest.param(tree, parts, id=name) for name, tree, parts in TREES]
)
V = np.array([1.5, -0.5])


def loss_of_parts(parts: tuple[Any, Any]) -> Any:
    weights, bias = parts
    return np.sum((weights @ V + bias) ** 2)


RESIDUAL = 2 * (W @ V + b)
GRADIENT_W, GRADIENT_B = np.outer(RESIDUAL, V), RESIDUAL


def cube(x: Any) -> Any:
    return np.sum(x**3)


def quotient(x: Any, y: Any) -> Any:
    return x / y


# -- pytrees ----------------------------------------------------------------------------------


@every_tree
def test_gradient_is_a_tree_like_the_argument(tree: Any, parts: Callable[[Any], Any]) -> None:
    gradient = sd.grad(lambda tree: loss_of_parts(parts(tree)))(tree)
    assert isinstance(gradient, list | tuple | dict | Model)
    assert isinstance(gradient, type(tree))
    by_weights, by_bias = parts(gradient)
    assert np.allclose(by_weights, GRADIENT_W)
    assert np.allclose(by_bias, GRADIENT_B)


@every_tree
def test_value_and_gradient_of_a_tree(tree: Any, parts: Callable[[Any], Any]) -> None:
    value, gradient = sd.value_and_grad(lambda tree: loss_of_parts(parts(tree)))(tree)
    assert value == np.sum((W @ V + b) ** 2)
    assert np.allclose(parts(gradient)[0], GRADIENT_W)


@every_tree
def test_pullback_and_direction_of_a_tree(tree: Any, parts: Callable[[Any], Any]) -> None:
    def function(tree: Any) -> Any:
        return loss_of_parts(parts(tree))

    value, pullback = sd.vjp(function, tree)
    (cotangent,) = pullback(2.0)
    assert value == function(tree)
    assert np.allclose(parts(cotangent)[1], 2 * GRADIENT_B)
    value, tangent = sd.jvp(function, (tree,), (tree,))
    assert value == function(tree)
    assert np.isclose(tangent, np.sum(GRADIENT_W * W) + np.sum(GRADIENT_B * b))


@every_tree
def test_hessian_times_tree(tree: Any, parts: Callable[[Any], Any]) -> None:
    product = sd.hvp(lambda tree: loss_of_parts(parts(tree)), tree, tree)
    slope = 2 * (W @ V + b)
    assert np.allclose(parts(product)[0], np.outer(slope, V))
    assert np.allclose(parts(product)[1], slope)


@every_tree
def test_stop_gradient_of_a_tree(tree: Any, parts: Callable[[Any], Any]) -> None:
    gradient = sd.grad(lambda tree: loss_of_parts(parts(sd.stop_gradient(tree))))(tree)
    assert not np.any(parts(gradient)[0])
    assert not np.any(parts(gradient)[1])


def test_leaves_that_are_not_floating_are_carried_along() -> None:
    labels = np.arange(2)
    gradient = sd.grad(lambda t: np.sum(t[0] * t[1]))([np.ones(2), labels, "name", None, True])
    assert gradient[1] is labels
    assert gradient[2:] == ["name", None, True]


def test_gradient_of_a_list_has_arithmetic() -> None:
    weights: Any = [W.copy(), b.copy()]
    gradient = sd.grad(loss_of_parts)(weights)
    weights += -0.5 * gradient
    assert len(weights) == 2
    assert np.allclose(weights[0], W - 0.5 * GRADIENT_W)
    assert np.allclose(weights[1], b - 0.5 * GRADIENT_B)


def test_jacobian_and_hessian_of_trees() -> None:
    def function(tree: Any) -> Any:
        return {"sum": tree["x"] + tree["y"], "product": np.sum(tree["x"]) * tree["y"]}

    point = {"x": np.array([1.0, 2.0]), "y": np.array([3.0])}
    jacobian = sd.jacobian(function)(point)
    assert np.array_equal(jacobian["sum"]["x"], np.eye(2))
    assert np.array_equal(jacobian["sum"]["y"], np.ones((2, 1)))
    assert np.array_equal(jacobian["product"]["x"], [[3.0, 3.0]])
    assert np.array_equal(jacobian["product"]["y"], [[3.0]])
    hessian = sd.hessian(lambda tree: np.sum(function(tree)["product"] ** 2))(point)
    assert np.array_equal(hessian["x"]["x"], np.full((2, 2), 18.0))
    assert np.array_equal(hessian["x"]["y"], np.full((2, 1), 36.0))
    assert np.array_equal(hessian["y"]["y"], [[18.0]])


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 3)])
def test_jacobian_has_the_shapes_of_result_and_argument(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).uniform(size=shape)
    jacobian = sd.jacobian(lambda x: np.stack([x, x**2]))(x)
    assert jacobian.shape == (2, *shape, *shape)
    assert np.allclose(jacobian.reshape(2, x.size, x.size)[1], np.diag(2 * np.ravel(x)))
    assert sd.hessian(cube)(x).shape == (*shape, *shape)
    assert np.allclose(sd.hessian(cube)(x).reshape(x.size, x.size), np.diag(6 * np.ravel(x)))


def test_elementwise_gradient() -> None:
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    assert np.allclose(sd.elementwise_grad(np.sin)(x), np.cos(x))
    second = sd.elementwise_grad(sd.elementwise_grad(np.sin))
    assert np.allclose(second(x), -np.sin(x))
    assert np.allclose(
        sd.elementwise_grad(quotient, 1)(1.0, np.array([2.0, 4.0])), [-0.25, -1 / 16]
    )


# -- arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 0.25),
        (1, -0.125),
        (-1, -0.125),
        (-2, 0.25),
        ((0, 1), (0.25, -0.125)),
        ((1, 0), (-0.125, 0.25)),
        ((-1,), (-0.125,)),
        ((), ()),
    ],
)
def test_argnums(argnums: Any, expected: Any) -> None:
    assert sd.grad(quotient, argnums)(2.0, 4.0) == expected
    assert sd.value_and_grad(quotient, argnums)(2.0, 4.0) == (0.5, expected)


@pytest.mark.parametrize("argnums", [2, -3, (0, 2)])
def test_argnums_out_of_range(argnums: Any) -> None:
    with pytest.raises(BadInputError, match=r"names an argument that is not there: 2 were given"):
        sd.grad(quotient, argnums)(2.0, 4.0)


def test_argument_differentiated_must_not_be_a_keyword() -> None:
    with pytest.raises(BadInputError, match="0 were given"):
        sd.grad(quotient)(x=2.0, y=4.0)


def test_keywords_are_passed_on() -> None:
    def loss(x: Any, *, scale: float, shift: Any = 0.0) -> Any:
        return np.sum(scale * x + shift)

    assert np.array_equal(sd.grad(loss)(np.ones(2), scale=3.0), [3.0, 3.0])
    assert sd.jacobian(loss)(2.0, scale=3.0) == 3.0
    assert np.array_equal(sd.elementwise_grad(loss)(np.ones(2), scale=3.0), [3.0, 3.0])
    with pytest.raises(TypeError, match="scale"):
        sd.grad(loss)(1.0)


def test_the_same_array_twice_is_two_arguments() -> None:
    x = np.array([1.0, 2.0])
    by_first, by_second = sd.grad(lambda x, y: np.sum(x * y**2), (0, 1))(x, x)
    assert np.array_equal(by_first, x**2)
    assert np.array_equal(by_second, 2 * x**2)


def test_aux_is_returned_with_its_values() -> None:
    def loss(x: Any) -> Any:
        return np.sum(x**2), {"x": x, "twice": 2 * x, "name": "loss", "none": None}

    x = np.array([1.0, 2.0])
    gradient, aux = sd.grad(loss, has_aux=True)(x)
    assert np.array_equal(gradient, 2 * x)
    (value, again), _ = sd.value_and_grad(loss, has_aux=True)(x)
    assert value == 5.0
    for each in (aux, again):
        assert type(each["twice"]) is np.ndarray
        assert np.array_equal(each["twice"], 2 * x)
        assert each["name"] == "loss"
        assert each["none"] is None
    aux["x"][0] = 7.0
    assert x[0] == 1.0


def test_aux_is_not_differentiated_but_can_be_by_an_outer_gradient() -> None:
    def outer(x: Any) -> Any:
        gradient, aux = sd.grad(lambda y: (y**2, y**3), has_aux=True)(x)
        return gradient * aux

    assert math.isclose(sd.grad(outer)(2.0), 8 * 2.0**3)


# -- order and nesting ------------------------------------------------------------------------


def test_third_order() -> None:
    third = sd.grad(sd.grad(sd.grad(np.sin)))
    assert math.isclose(third(0.3), -math.cos(0.3))
    x = np.array([0.5, -1.0])
    third_of_sum = sd.jacobian(sd.hessian(lambda x: np.sum(x**4) + x[0] ** 2 * x[1]))(x)
    expected = np.zeros((2, 2, 2))
    expected[0, 0, 0], expected[1, 1, 1] = 24 * x
    for index in ((0, 0, 1), (0, 1, 0), (1, 0, 0)):
        expected[index] = 2
    assert np.allclose(third_of_sum, expected)


@given(st.permutations(["grad", "jvp", "vjp"]), st.floats(-2, 2))
def test_modes_nest_in_any_order(modes: list[str], x: float) -> None:
    derivative: dict[str, Callable[[Any], Any]] = {
        "grad": sd.grad,
        "jvp": lambda f: lambda x: sd.jvp(f, (x,), (1.0,))[1],
        "vjp": lambda f: lambda x: sd.vjp(f, x)[1](1.0)[0],
    }
    function: Any = lambda x: np.sin(x) * np.exp(x / 2)  # noqa: E731
    for mode in modes:
        function = derivative[mode](function)
    expected = np.exp(x / 2) * (-11 / 8 * np.sin(x) * 0 + third_derivative_factor(x))
    assert math.isclose(function(x), expected, rel_tol=1e-12, abs_tol=1e-12)


def third_derivative_factor(x: float) -> float:
    # (exp(x/2) sin x)''' = exp(x/2) (s³ sin + 3 s² cos − 3 s sin − cos) with s = 1/2.
    return math.sin(x) / 8 + 3 * math.cos(x) / 4 - 3 * math.sin(x) / 2 - math.cos(x)


def test_perturbations_are_not_confused() -> None:
    # Siskind and Pearlmutter, "Perturbation confusion and referential transparency", 2005.
    assert sd.grad(lambda x: x * sd.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert sd.grad(lambda x: x * sd.grad(lambda y: x * y)(2.0))(3.0) == 6.0
    inner = lambda x: sd.jvp(lambda y: x * y, (2.0,), (1.0,))[1]  # noqa: E731
    assert sd.jvp(lambda x: x * inner(x), (3.0,), (1.0,))[1] == 6.0
    assert sd.grad(lambda x: sd.jvp(lambda y: x**2 * y, (x,), (1.0,))[1])(3.0) == 6.0
    assert sd.jvp(lambda x: sd.grad(lambda y: x**2 * y)(x), (3.0,), (1.0,))[1] == 6.0


def test_inner_gradient_by_the_outer_variable_itself() -> None:
    # f(x) = d/dy [y² at y = x] + x = 3x.
    assert sd.grad(lambda x: sd.grad(lambda y: y**2)(x) + x)(5.0) == 3.0


def test_inner_function_may_return_an_outer_value() -> None:
    assert sd.grad(lambda x: sd.grad(lambda y: x * x)(1.0) + x)(5.0) == 1.0
    assert sd.grad(lambda x: sd.value_and_grad(lambda y: x * x)(1.0)[0])(5.0) == 10.0


def test_hessian_vector_product_is_the_product() -> None:
    generator = np.random.default_rng(0)
    A = generator.uniform(size=(3, 3))
    x, v = generator.uniform(size=(2, 3))

    def loss(x: Any) -> Any:
        return np.sum(np.tanh(A @ x) ** 2)

    assert np.allclose(sd.hvp(loss, x, v), sd.hessian(loss)(x) @ v)


# -- complex numbers --------------------------------------------------------------------------


def test_complex_gradient_is_by_x_minus_i_by_y() -> None:
    z = np.array([1.0 + 2.0j, -0.5 + 0.25j])
    gradient = sd.grad(lambda z: np.sum(np.abs(z) ** 2))(z)
    assert np.allclose(gradient, 2 * np.conj(z))
    # The real part of a holomorphic function: its complex derivative.
    assert np.allclose(sd.grad(lambda z: np.sum(np.real(z**3)))(z), 3 * z**2)
    by_number = sd.grad(lambda z: np.real(z**3))(1.0 + 2.0j)
    assert type(by_number) is complex
    assert np.isclose(by_number, 3 * (1 + 2j) ** 2)


def test_real_argument_of_complex_function_has_a_real_gradient() -> None:
    x = np.array([0.5, -1.0])
    gradient = sd.grad(lambda x: np.sum(np.abs(np.exp(1j * x) + x) ** 2))(x)
    # |exp(ix) + x|² = 1 + 2 x cos x + x².
    assert gradient.dtype == np.float64
    assert np.allclose(gradient, 2 * np.cos(x) - 2 * x * np.sin(x) + 2 * x)


def test_pullback_of_holomorphic_function_does_not_conjugate() -> None:
    z = np.array([1.0 + 2.0j])
    _, pullback = sd.vjp(np.exp, z)
    assert np.allclose(pullback(np.array([1j]))[0], 1j * np.exp(z))


def test_complex_loss_is_refused() -> None:
    with pytest.raises(NotDifferentiableError, match=r"real scalar.*complex128(.|\n)*np\.abs"):
        sd.grad(lambda z: z**2)(1.0 + 1.0j)


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_a_loss_may_be_an_array_of_size_1(shape: tuple[int, ...]) -> None:
    def number(w: Any) -> Any:
        return np.sum(w**3)

    def loss(w: Any) -> Any:
        return np.reshape(number(w), shape)

    w = np.array([[0.5, -1.0]], np.float32)
    value, gradient = sd.value_and_grad(loss)(w)
    assert value.shape == shape
    assert gradient.dtype == np.float32
    for result, expected in [
        (gradient, sd.grad(number)(w)),
        (sd.compile(sd.grad(loss))(w), gradient),
        (sd.grad(sd.compile(loss))(w), gradient),
        (sd.hessian(loss)(w), sd.hessian(number)(w)),
        (sd.hvp(loss, w, w), sd.hvp(number, w, w)),
        (sd.evaluate_gradient(loss, None, w), gradient),
        (
            sd.descend(loss, w, step_size=0.1, steps=3, validate=loss, validate_every=9).weights,
            sd.descend(number, w, step_size=0.1, steps=3).weights,
        ),
    ]:
        np.testing.assert_array_equal(result, expected)
    assert sd.check_gradient(loss, w).ok
    exact = sd.numerical_gradient(loss, w.astype(float), method="complex_step").value
    np.testing.assert_allclose(gradient, exact)


# -- what comes out ---------------------------------------------------------------------------


def test_python_floats_have_python_floats_as_gradients() -> None:
    assert type(sd.grad(lambda x: np.sin(x) * x)(1.0)) is float
    gradient = sd.grad(lambda t: t["a"] * np.sum(t["b"]))({"a": 2.0, "b": np.ones(2)})
    assert type(gradient["a"]) is float
    assert type(sd.grad(lambda x: 3.0)(1.0)) is float
    assert type(sd.vjp(np.sin, 1.0)[1](1.0)[0]) is float


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_gradients_have_the_dtype_of_the_argument(dtype: Any) -> None:
    x = np.ones(2, dtype)
    for gradient in (
        sd.grad(lambda x: np.sum(x.astype(np.float64) * np.arange(2)))(x),
        sd.grad(lambda x: np.sum(np.sin(x) / 3))(x),
        sd.elementwise_grad(np.tanh)(x),
        sd.hvp(cube, x, x),
        sd.grad(lambda x: 0.0)(x),
    ):
        assert gradient.dtype == dtype
        assert gradient.shape == (2,)
    assert sd.jacobian(np.sin)(x).dtype == dtype
    assert sd.hessian(cube)(x).dtype == dtype
    scalar = sd.grad(lambda x: x**2)(dtype(3))
    assert type(scalar) is dtype


def every_result(x: Any) -> dict[str, Any]:
    """Results whose rules hand on cotangents, views and constants as they are."""
    return {
        "grad of sum": sd.grad(np.sum)(x),
        "grad of a view": sd.grad(lambda x: np.sum(x.T.reshape(-1)[::-1]))(x),
        "grad of itself": sd.grad(lambda x: np.sum(x + x))(x),
        "grad of nothing": sd.grad(lambda x: 0.0)(x),
        "grads": sd.grad(lambda x, y: np.sum(x + y), (0, 1))(x, x),
        "tree": sd.grad(lambda t: np.sum(t[0] + t[1]))([x, x]),
        "pullback": sd.vjp(lambda x: x, x)[1](np.ones(x.shape)),
        "pullback of several": sd.vjp(lambda x, y: x + y, x, x)[1](np.ones(x.shape)),
        "values": sd.vjp(lambda x: (x, x, x.T), x)[0],
        "tangents": sd.jvp(lambda x: (x, x, x.T), (x,), (x,)),
        "value": sd.value_and_grad(lambda x: (np.sum(x), x), has_aux=True)(x),
        "elementwise": sd.elementwise_grad(lambda x: x)(x),
        "jacobian": sd.jacobian(lambda x: (x, x))(x),
        "hvp": sd.hvp(lambda x: np.sum(x**2) / 2, x, x),
    }


def arrays_in(result: Any) -> list[Any]:
    if isinstance(result, tuple | list):
        return [each for part in result for each in arrays_in(part)]
    return [result] if isinstance(result, np.ndarray) else []


@pytest.mark.parametrize("name", every_result(np.ones((2, 2))))
def test_results_are_the_users_own(name: str) -> None:
    x = np.arange(4.0).reshape(2, 2)
    arrays = arrays_in(every_result(x)[name])
    for place, array in enumerate(arrays):
        assert array.flags.writeable
        assert array.flags.owndata
        assert not np.may_share_memory(array, x)
        assert not any(np.may_share_memory(array, other) for other in arrays[:place])


def test_cotangents_and_directions_are_left_alone() -> None:
    x, g = np.ones(3), np.arange(3.0)
    _, pullback = sd.vjp(lambda x: x, x)
    (cotangent,) = pullback(g)
    cotangent += 1
    assert np.array_equal(g, np.arange(3.0))
    _, tangent = sd.jvp(lambda x: x, (x,), (g,))
    tangent += 1
    assert np.array_equal(g, np.arange(3.0))
    assert np.array_equal(x, np.ones(3))


def test_pullback_may_be_called_again() -> None:
    x = np.array([1.0, 2.0, 3.0])
    _, pullback = sd.vjp(lambda x: np.cumsum(x**2), x)
    first = pullback(np.ones(3))[0].copy()
    assert np.array_equal(pullback(2 * np.ones(3))[0], 2 * first)
    assert np.array_equal(pullback(np.ones(3))[0], first)


def test_pullback_outlives_its_trace_and_the_argument() -> None:
    x = np.array([1.0, 2.0])
    _, pullback = sd.vjp(lambda x: x**2, x)
    x[:] = 100.0
    assert np.array_equal(pullback(np.ones(2))[0], [2.0, 4.0])


# -- custom derivatives -----------------------------------------------------------------------


def test_custom_gradient_is_used_in_every_mode() -> None:
    @sd.custom_gradient
    def clipped(x: Any) -> Any:
        """Pass on gradients up to 1."""
        return x**2, lambda g: np.clip(2 * x * g, -1, 1)

    assert clipped.__doc__ == "Pass on gradients up to 1."
    assert clipped(3.0) == 9.0
    assert sd.grad(clipped)(3.0) == 1.0
    assert sd.grad(clipped)(0.25) == 0.5
    assert sd.jvp(clipped, (0.25,), (2.0,))[1] == 1.0
    assert np.array_equal(sd.elementwise_grad(clipped)(np.array([-9.0, 0.0])), [-1.0, 0.0])


def test_custom_gradient_has_second_derivatives() -> None:
    @sd.custom_gradient
    def cubed(x: Any) -> Any:
        return x**3, lambda g: g * 3 * x**2

    assert sd.grad(sd.grad(cubed))(2.0) == 12.0
    assert sd.grad(sd.grad(sd.grad(cubed)))(2.0) == 6.0
    assert np.array_equal(
        sd.hessian(lambda x: np.sum(cubed(x)))(np.array([1.0, 2.0])), [[6, 0], [0, 12]]
    )
    assert sd.hvp(cubed, 2.0, 1.0) == 12.0


def test_custom_gradient_of_several_arguments_and_trees() -> None:
    @sd.custom_gradient
    def product(tree: Any, y: Any, n: Any) -> Any:
        value = tree["a"] * y
        return value, lambda g: ({"a": 10 * g * y}, 100 * g * tree["a"], None)

    by_tree, by_y = sd.grad(lambda t, y: product(t, y, 3), (0, 1))({"a": 2.0}, 5.0)
    assert by_tree == {"a": 50.0}
    assert by_y == 200.0


def test_defvjp_of_a_function_that_cannot_be_traced() -> None:
    hypotenuse = sd.defvjp(
        math.hypot, lambda g, ans, x, y: g * x / ans, lambda g, ans, x, y: g * y / ans
    )
    assert sd.grad(hypotenuse, (0, 1))(3.0, 4.0) == (0.6, 0.8)
    one_sided = sd.defvjp(math.hypot, lambda g, ans, x, y: g * x / ans, None)
    assert sd.grad(one_sided, (0, 1))(3.0, 4.0) == (0.6, 0.0)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, r"must return \(value, pullback\)"),
        (lambda x: (x, x), r"must return \(value, pullback\)"),
        (lambda x: ((x, x), lambda g: g), "one array as its value"),
        (lambda x: (x, lambda g: (g, g)), "a tuple of 1 cotangents"),
        (lambda x: (x, lambda g: np.ones(3)), r"cotangent of shape \(3,\)"),
        (lambda x: (x, lambda g: {"a": g}), "a different tree"),
    ],
)
def test_custom_gradient_is_checked(function: Any, message: str) -> None:
    with pytest.raises((BadInputError, NotDifferentiableError), match=message):
        sd.grad(sd.custom_gradient(function))(1.0)


# -- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sd.grad(cube)(3), NotDifferentiableError, r"argument 0 of cube.*int 3"),
        (lambda: sd.grad(cube)(np.arange(3)), NotDifferentiableError, r"int64.*(.|\n)*astype"),
        (lambda: sd.grad(cube)(None), NotDifferentiableError, "NoneType None"),
        (lambda: sd.grad(cube)([]), NotDifferentiableError, "no floating-point value"),
        (lambda: sd.grad(cube)("x"), NotDifferentiableError, "str 'x'"),
        (
            lambda: sd.grad(lambda x: x)(np.ones(2)),
            NotDifferentiableError,
            r"float64\[2\](.|\n)*jac",
        ),
        (
            lambda: sd.grad(lambda x: None)(1.0),
            NotDifferentiableError,
            r"NoneType None(.|\n)*return",
        ),
        (
            lambda: sd.grad(lambda x: (x, x))(1.0),
            NotDifferentiableError,
            r"tuple(.|\n)*has_aux=True",
        ),
        (lambda: sd.grad(lambda x: x, has_aux=True)(1.0), BadInputError, r"must return a pair"),
        (lambda: sd.grad(lambda x: x > 0)(1.0), NotDifferentiableError, "real scalar"),
        (lambda: sd.grad(3.0), BadInputError, r"^sd\.grad takes a function, not float 3.0"),  # type: ignore[arg-type]
        (lambda: sd.grad(cube)(np.ones(2), 5), TypeError, "positional"),
        (lambda: sd.vjp(np.sin, np.ones(2))[1](np.ones(3)), BadInputError, r"\(3,\).*\(2,\)"),
        (lambda: sd.vjp(np.sin, np.ones(2))[1]([1.0, 1.0]), BadInputError, "a tree like"),
        (lambda: sd.jvp(np.sin, (1.0,), ()), BadInputError, "1 arguments, but 0 directions"),
        (
            lambda: sd.jvp(np.sin, (np.ones(2),), (np.ones(3),)),
            BadInputError,
            r"direction of shape \(3,\)",
        ),
        (lambda: sd.jacobian(lambda x: "a")(1.0), NotDifferentiableError, "floating-point arrays"),
    ],
)
def test_error(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_error_names_the_line() -> None:
    def loss(x: Any) -> Any:
        y = np.sin(x)
        return builtins.float(y) ** 2  # the line

    for transform in (sd.grad, sd.value_and_grad, sd.jacobian, sd.elementwise_grad):
        with pytest.raises(TracedConversionError, match=r"x itself for float\(x\)") as caught:
            transform(loss)(1.0)
        line = caught.value.line
        assert line is not None
        assert line.text == "return builtins.float(y) ** 2  # the line"
        assert line.filename == __file__


def test_error_of_a_wrong_result_names_the_call() -> None:
    with pytest.raises(NotDifferentiableError) as caught:
        sd.grad(lambda x: x)(np.ones(2))  # the call
    assert caught.value.line is not None
    assert caught.value.line.text == "sd.grad(lambda x: x)(np.ones(2))  # the call"


# -- pickling, threads, exceptions ------------------------------------------------------------


@pytest.mark.parametrize(
    "transform", [sd.grad, sd.value_and_grad, sd.jacobian, sd.hessian, sd.elementwise_grad]
)
def test_transforms_of_module_level_functions_pickle(transform: Callable[..., Any]) -> None:
    # The test is no importable module under every import mode, so NumPy's function stands in.
    transformed = pickle.loads(pickle.dumps(transform(np.sum)))
    nested = pickle.loads(pickle.dumps(sd.grad(np.square)))
    x = np.array([1.0, 2.0])
    expected, result = flatten(transform(np.sum)(x))[0], flatten(transformed(x))[0]
    assert all(np.array_equal(one, two) for one, two in zip(expected, result, strict=True))
    assert nested(3.0) == 6.0


def test_transforms_carry_the_functions_name() -> None:
    assert sd.grad(cube).__name__ == "cube"
    assert repr(sd.grad(cube)) == "Grad(cube)"


def test_threads_with_gradients_of_their_own() -> None:
    start = threading.Barrier(4)

    def work(seed: int) -> list[Any]:
        start.wait()
        generator = np.random.default_rng(seed)
        results = []
        for _ in range(20):
            x = generator.uniform(-1, 1, 3)
            hessian = sd.hessian(lambda x: np.sum(np.sin(x)) * np.sum(x**3))(x)
            product = sd.grad(lambda y, x=x: np.sum(y * sd.grad(cube)(x * y)))(x)
            results.append((hessian, product))
        return results

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(4)))
    start = threading.Barrier(1)
    for seed, results in enumerate(together):
        for (hessian, product), (hessian_alone, product_alone) in zip(
            results, work(seed), strict=True
        ):
            assert np.array_equal(hessian, hessian_alone)
            assert np.array_equal(product, product_alone)


def test_thread_pool_inside_of_the_function() -> None:
    def part(x: Any) -> Any:
        return np.sum(np.sin(x) * x)

    def loss(x: Any) -> Any:
        with ThreadPoolExecutor(4) as pool:
            return sum(pool.map(part, [x * (k + 1) for k in range(8)]))

    def alone(x: Any) -> Any:
        return sum(part(x * (k + 1)) for k in range(8))

    x = np.linspace(0, 1, 5)
    assert np.allclose(sd.grad(loss)(x), sd.grad(alone)(x), rtol=1e-13)
    assert np.allclose(sd.hvp(loss, x, x), sd.hvp(alone, x, x), rtol=1e-13)


@pytest.mark.parametrize("depth", [1, 2])
def test_exception_in_the_middle_leaves_everything_usable(depth: int) -> None:
    kept: list[Any] = []

    def loss(x: Any, fail: bool) -> Any:
        y = np.sin(x) * x
        kept.append(y)
        if fail:
            raise KeyError("mine")
        return np.sum(y)

    derivative: Callable[..., Any] = loss
    for _ in range(depth):
        derivative = sd.grad(derivative)
    expected = derivative(0.5, False)
    with pytest.raises(KeyError, match="mine"):
        derivative(0.5, True)
    assert derivative(0.5, False) == expected
    # What was left over from a run is a plain value now.
    assert all(float(each) == math.sin(0.5) * 0.5 for each in kept)


def test_exception_caught_inside_of_the_function() -> None:
    def loss(x: Any) -> Any:
        try:
            sd.grad(lambda y: (y * x).no_such_attribute)(1.0)
        except AttributeError:
            return x * sd.grad(lambda y: y * x)(1.0)
        return x

    assert sd.grad(loss)(3.0) == 6.0


def test_leaked_arrays_convert_freely_after_the_trace() -> None:
    leaked: list[Any] = []

    def loss(x: Any) -> Any:
        leaked.extend([x, x * 2, np.sum(x)])
        return np.sum(x**2)

    x = np.array([1.0, 2.0])
    sd.grad(loss)(x)
    watched, twice, total = leaked
    assert isinstance(twice, Array)
    assert float(total) == 3.0
    assert np.array_equal(np.asarray(twice), [2.0, 4.0])
    assert np.array_equal(np.asarray(watched), x)
    assert math.sqrt(total) == math.sqrt(3.0)
    assert type(twice + 1) is np.ndarray
    assert type(np.sin(twice)) is np.ndarray
    buffer = np.zeros(2)
    buffer[:] = twice
    assert np.array_equal(buffer, [2.0, 4.0])
    # A later gradient takes it for the constant that it is.
    assert np.array_equal(sd.grad(lambda y: np.sum(y * twice))(x), [2.0, 4.0])


def test_value_that_an_outer_gradient_still_traces_does_not_convert() -> None:
    leaked: list[Any] = []

    def outer(x: Any) -> Any:
        sd.grad(lambda y: leaked.append(y * x) or y)(1.0)  # type: ignore[func-returns-value]
        with pytest.raises(TracedConversionError):
            builtins.float(leaked[0])
        return leaked[0] * 2

    assert sd.grad(outer)(3.0) == 2.0
    assert float(leaked[0]) == 3.0


# -- stop_gradient ----------------------------------------------------------------------------


def test_stop_gradient_is_the_value_as_a_constant() -> None:
    x = np.array([1.0, 2.0])
    assert np.array_equal(sd.grad(lambda x: np.sum(x * sd.stop_gradient(x)))(x), x)
    assert float(sd.grad(lambda x: float(sd.stop_gradient(x)) * x)(3.0)) == 3.0
    assert sd.stop_gradient(2.5) == 2.5
    second = sd.grad(sd.grad(lambda x: x**2 * sd.stop_gradient(x)))
    assert second(3.0) == 6.0
    assert sd.jvp(lambda x: x * sd.stop_gradient(x), (3.0,), (1.0,))[1] == 3.0


def test_stop_gradient_cannot_be_written_into() -> None:
    def loss(x: Any) -> Any:
        constant = sd.stop_gradient(x**2)
        constant[0] = 100.0
        return np.sum(x)

    with pytest.raises(ValueError, match="read-only"):
        sd.grad(loss)(np.ones(2))


def test_reading_entry_by_entry_adds_up_with_other_uses() -> None:
    def loss(x: Any) -> Any:
        total = np.sum(x**2)
        for i in range(len(x)):
            total = total + x[i] * x[-1] + np.sum(x[i:])
        return total + x[0]

    x = np.array([1.0, 2.0, 3.0])
    # Derivatives of Σ x² + (Σ x) x₂ + Σ (i + 1) xᵢ + x₀.
    by_hand = 2 * x + x[-1] + np.array([0.0, 0.0, np.sum(x)]) + np.array([1.0, 2.0, 3.0])
    by_hand[0] += 1
    assert np.array_equal(sd.grad(loss)(x), by_hand)
    second = 2 * np.eye(3) + np.array([[0, 0, 1], [0, 0, 1], [1, 1, 2]])
    assert np.array_equal(sd.hessian(loss)(x), second)


@pytest.mark.parametrize("power", [lambda x, y: np.power(x, y), lambda x, y: x**y])
def test_powers_of_numbers_have_numpys_bits(power: Callable[..., Any]) -> None:
    for x, y in np.random.default_rng(0).uniform(0.1, 9, (200, 2)):
        value, _ = sd.value_and_grad(lambda x, y=y: power(x, y))(x)
        assert value == power(x, y)


@pytest.mark.parametrize(
    ("function", "at", "first", "second"),
    [
        (lambda x: np.logaddexp(0.0, x), 0.0, 0.5, 0.25),
        (lambda x: np.logaddexp(x, x), 1.0, 1.0, 0.0),
        (lambda x: np.logaddexp2(0.0, x), 0.0, 0.5, math.log(2) / 4),
        (lambda x: np.logaddexp(-np.inf, x), 1.0, 1.0, 0.0),
        (lambda x: np.logaddexp(np.inf, x), 1.0, 0.0, 0.0),
        (lambda x: np.logaddexp(1e20, x), 1e20, 0.5, 0.25),
        (lambda x: np.logaddexp2(x, 1e20), 1e20, 0.5, math.log(2) / 4),
        (lambda x: np.logaddexp(np.inf, x), np.inf, 0.5, 0.0),
        (lambda x: np.logaddexp2(x, -np.inf), -np.inf, 0.5, 0.0),
        (lambda x: np.logaddexp(-np.inf, x), np.inf, 1.0, 0.0),
        (lambda x: np.logaddexp.reduce(np.stack([x, 1e20, 0.0, 1e20])), 1e20, 1 / 3, 2 / 9),
        (lambda x: np.logaddexp.reduce(np.stack([x, np.inf, 0.0])), np.inf, 0.5, 0.0),
        (lambda x: np.logaddexp.reduce(np.stack([x, -np.inf, -np.inf])), -np.inf, 1 / 3, 0.0),
        # y log y's way to 0: d²(2^y)/dy² and d/dy of ∂(x^y)/∂x.
        (lambda y: 2.0**y, 0.0, math.log(2), math.log(2) ** 2),
        (lambda y: (1 + y) ** y, 0.0, 0.0, 2.0),
        (lambda x: x**2, 0.0, 0.0, 2.0),
        (lambda x: np.power(x, np.array([2.0]))[0], 0.0, 0.0, 2.0),
    ],
)
def test_second_derivatives_at_values_that_a_rule_treats_apart(
    function: Callable[..., Any], at: float, first: float, second: float
) -> None:
    assert sd.grad(function)(at) == pytest.approx(first, abs=1e-15)
    assert sd.grad(sd.grad(function))(at) == pytest.approx(second, abs=1e-15)
    assert sd.hvp(function, at, 1.0) == pytest.approx(second, abs=1e-15)
