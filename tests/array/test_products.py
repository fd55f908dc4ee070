"""Products of arrays: NumPy's values, and derivatives of both orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import steepest as sd
from steepest.errors import UnsupportedError
from steepest.ops.contract import zero_safe_matmul

Check = Callable[..., None]
vecdot: Any = np.vecdot
products: Any = np  # Whose types know no axes that are numbers.


def uniform(*shapes: tuple[int, ...]) -> list[Any]:
    generator = np.random.default_rng(sum(map(sum, shapes)) + len(shapes))
    return [generator.uniform(-1, 1, shape) for shape in shapes]


FUNCTIONS: list[tuple[str, Any, list[Any]]] = [
    (
        "matmul",
        lambda a, b: a @ b,
        [
            ((2, 3), (3, 4)),
            ((3,), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3,)),
            ((2, 2, 3), (3, 2)),
            ((2, 3), (4, 3, 2)),
            ((2, 1, 2, 3), (3, 3, 1)),
            ((2, 2, 3), (3,)),
            ((3,), (2, 3, 2)),
            ((1, 1), (1, 1)),
            ((2, 0), (0, 3)),
            ((0, 3), (3, 2)),
        ],
    ),
    (
        "dot",
        np.dot,
        [
            ((), (3,)),
            ((), ()),
            ((2, 3), ()),
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((2, 3), (3, 2)),
            ((2, 2, 3), (3,)),
            ((2, 2, 3), (3, 2)),
            ((3,), (2, 3, 2)),
            ((2, 3), (2, 3, 2)),
            ((2, 1, 3), (2, 3, 2)),
        ],
    ),
    (
        "inner",
        np.inner,
        [((), (3,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3)), ((2, 1, 3), (2, 2, 3))],
    ),
    ("outer", np.outer, [((2,), (3,)), ((2, 2), (3,)), ((), (2,)), ((0,), (2,))]),
    ("vdot", np.vdot, [((3,), (3,)), ((2, 2), (4,)), ((), ())]),
    ("kron", np.kron, [((2,), (3,)), ((2, 2), (3,)), ((), (2, 2)), ((2, 1, 2), (3, 2))]),
    ("cross", np.cross, [((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3))]),
    ("vecdot", np.vecdot, [((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3))]),
    ("linalg.matmul", np.linalg.matmul, [((2, 3), (3, 2))]),
    ("linalg.outer", np.linalg.outer, [((2,), (3,))]),
    ("linalg.tensordot", np.linalg.tensordot, [((2, 3, 2), (3, 2, 2))]),
    ("linalg.vecdot", np.linalg.vecdot, [((2, 3), (2, 3))]),
    ("linalg.cross", np.linalg.cross, [((2, 3), (2, 3))]),
    ("cross along 0", lambda a, b: np.cross(a, b, axisa=0, axisc=0), [((3, 2), (2, 3))]),
    ("vecdot along 0", lambda a, b: vecdot(a, b, axis=0, keepdims=True), [((3, 2),) * 2]),
    ("matvec", np.matvec, [((2, 3), (3,)), ((2, 3), (4, 3)), ((2, 2, 3), (2, 3))]),
    ("vecmat", np.vecmat, [((2,), (2, 3)), ((4, 2), (2, 3)), ((2, 2), (2, 2, 3))]),
]
PAIRS: list[Any] = [
    pytest.param(function, shapes, id=f"{name}{shapes}")
    for name, function, cases in FUNCTIONS
    for shapes in cases
]


@pytest.mark.parametrize(("function", "shapes"), PAIRS)
def test_derivatives_of_products_of_two(
    function: Callable[..., Any], shapes: Any, check_derivatives: Check
) -> None:
    check_derivatives(function, *uniform(*shapes))


@pytest.mark.parametrize(
    ("function", "shapes"),
    [case for case in PAIRS if case.id.startswith(("matmul", "dot", "outer", "kron", "cross"))],
)
@pytest.mark.parametrize("dtypes", ["ff", "fd", "fi", "FF"])
def test_dtypes_of_products_are_numpys(
    function: Callable[..., Any], shapes: Any, dtypes: str
) -> None:
    first, second = (
        (3 * each).astype(dtype) for each, dtype in zip(uniform(*shapes), dtypes, strict=True)
    )
    expected = function(first, second)
    value, pullback = sd.vjp(lambda x: function(x, second), first)
    assert value.dtype == expected.dtype
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert pullback(expected)[0].dtype == first.dtype


@pytest.mark.parametrize("number", [3.0, 2])
@pytest.mark.parametrize("function", [np.dot, np.inner, np.outer, np.kron, np.vdot])
def test_python_number_is_an_array_to_a_function(
    function: Callable[..., Any], number: float
) -> None:
    x = np.ones(1, np.float32)
    expected = function(x, number)
    value, pullback = sd.vjp(lambda x: function(x, number), x)
    (cotangent,) = pullback(value)
    assert value.dtype == expected.dtype == np.float64
    assert cotangent.dtype == np.float32


@pytest.mark.parametrize(
    ("shapes", "axes"),
    [
        (((2, 3), (2, 3)), 2),
        (((2, 3), (3, 2)), 1),
        (((2,), (3,)), 0),
        (((2, 3, 4), (4, 3)), ([1, 2], [1, 0])),
        (((2, 3, 4), (3, 5)), (1, 0)),
        (((2, 3, 4), (4, 2, 3)), ((-1, 0, 1), (0, 1, 2))),
        (((2, 0), (0, 3)), 1),
    ],
)
def test_tensordot(shapes: Any, axes: Any, check_derivatives: Check) -> None:
    check_derivatives(lambda a, b: np.tensordot(a, b, axes), *uniform(*shapes))


EINSUMS: list[tuple[Any, ...]] = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ba,b", (2, 3), (2,)),
    ("ij->", (2, 3)),
    ("ij->ji", (2, 3)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("iii->i", (2, 2, 2)),
    ("iji->j", (2, 3, 2)),
    ("ii,ij->j", (2, 2), (2, 3)),
    ("i,i->i", (3,), (3,)),
    ("i,i->", (3,), (3,)),
    ("i,j->ij", (2,), (3,)),
    ("i,j->", (2,), (3,)),
    ("bij,bjk->bik", (2, 2, 3), (2, 3, 2)),
    ("bij,bkj->bki", (2, 2, 3), (2, 4, 3)),
    ("bi,bi->b", (2, 3), (2, 3)),
    ("ijk,jl,kl->il", (2, 3, 2), (3, 4), (2, 4)),
    ("ij,jk,kl,lm->im", (2, 3), (3, 2), (2, 4), (4, 2)),
    ("...ij,...jk->...ik", (2, 2, 3), (3, 2)),
    ("...i,...i->...", (2, 1, 3), (4, 3)),
    ("...i->...", (2, 3)),
    ("i...->i...", (2, 3)),
    ("a...,...->...a", (2, 3), (3,)),
    ("ij,jk->ik", (2, 1), (3, 4)),
    ("ij,ij->j", (1, 3), (2, 3)),
    (",i->i", (), (3,)),
    (",", (), ()),
    ("i j , j k -> k i", (2, 3), (3, 2)),
    ("ij,jk->ik", (2, 0), (0, 3)),
    ("zA,zA->A", (2, 3), (2, 3)),
]


@pytest.mark.parametrize("case", EINSUMS, ids=lambda case: str(case))
def test_einsum(case: tuple[Any, ...], check_derivatives: Check) -> None:
    subscripts, *shapes = case
    check_derivatives(lambda *args: np.einsum(subscripts, *args), *uniform(*shapes))


@pytest.mark.parametrize(
    "optimize", [False, True, "greedy", "optimal", ["einsum_path", (0, 1), (0, 1)]]
)
def test_einsum_takes_any_order(optimize: Any, check_derivatives: Check) -> None:
    check_derivatives(
        lambda *args: np.einsum("ij,jk,kl->il", *args, optimize=optimize),
        *uniform((2, 3), (3, 4), (4, 2)),
    )


def test_einsum_of_lists_of_axes(check_derivatives: Check) -> None:
    a, b = uniform((2, 2, 3), (3, 4))
    check_derivatives(lambda a, b: np.einsum(a, [..., 7, 2], b, [2, 5], [5, ..., 7]), a, b)
    check_derivatives(lambda a, b: np.einsum(a, [..., 7, 2], b, [2, 5]), a, b)


LABELS = st.text("abcd", max_size=3)


@given(
    st.lists(LABELS, min_size=1, max_size=3),
    st.integers(1, 16),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_einsum_of_any_subscripts_is_numpys(
    terms: list[str], seed: int, random: Any, explicit: bool
) -> None:
    lengths = dict(zip("abcd", np.random.default_rng(seed).integers(1, 4, 4), strict=True))
    labels = sorted(set("".join(terms)))
    subscripts = ",".join(terms)
    if explicit:
        subscripts += "->" + "".join(random.sample(labels, random.randint(0, len(labels))))
    arrays = uniform(*(tuple(int(lengths[label]) for label in term) for term in terms))
    expected = np.einsum(subscripts, *arrays)
    value, pullback = sd.vjp(lambda *args: np.einsum(subscripts, *args), *arrays)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)
    # The sum is linear in each operand.
    (weight,) = uniform(np.shape(expected))
    for array, cotangent in zip(arrays, pullback(weight), strict=True):
        np.testing.assert_allclose(
            np.sum(array * cotangent), np.sum(weight * expected), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk->ik", [(2, 3)]),
        ("ij", [(2,)]),
        ("i", [(2, 2)]),
        ("ij,jk", [(2, 3), (4, 2)]),
        ("ii", [(2, 3)]),
        ("ii", [(1, 3)]),
        ("i->j", [(2,)]),
        ("i->ii", [(2,)]),
        ("...i->i", [(2, 2)]),
        ("i.j", [(2, 2)]),
        ("i1", [(2, 2)]),
    ],
)
def test_wrong_subscripts_are_errors_as_in_numpy(
    subscripts: str, shapes: list[tuple[int, ...]]
) -> None:
    arrays = uniform(*shapes)
    with pytest.raises(ValueError):  # noqa: PT011  # NumPy's text differs from case to case
        np.einsum(subscripts, *arrays)
    with pytest.raises(ValueError, match=r"einsum|einstein"):
        sd.vjp(lambda *args: np.einsum(subscripts, *args), *arrays)


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (np.dot, [(2, 3), (2, 3)]),
        (np.inner, [(2, 3), (2,)]),
        (np.vdot, [(3,), (2,)]),
        (lambda a, b: np.tensordot(a, b, ([0], [0])), [(1, 3), (2, 3)]),
        (lambda a, b: np.tensordot(a, b, ([0], [0, 1])), [(2, 3), (2, 3)]),
        (np.matmul, [(), (3,)]),
        (np.linalg.outer, [(2, 2), (2,)]),
        (np.linalg.cross, [(2,), (2,)]),
        (np.cross, [(4,), (3,)]),
        (np.cross, [(), (3,)]),
    ],
)
def test_shapes_that_do_not_fit_are_errors_as_in_numpy(
    function: Callable[..., Any], shapes: list[tuple[int, ...]]
) -> None:
    arrays = uniform(*shapes)
    for call in (function, lambda *args: sd.vjp(function, *args)):
        with pytest.raises(ValueError, match=r"."):
            call(*arrays)


@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional:DeprecationWarning")
@pytest.mark.parametrize("shapes", [((2,), (2,)), ((2, 3), (2,)), ((2,), (4, 3))])
def test_cross_of_vectors_in_the_plane(shapes: Any, check_derivatives: Check) -> None:
    arrays = uniform(*shapes)
    try:
        np.cross(*arrays)
    except ValueError:
        # Since NumPy 2.5.
        with pytest.raises(ValueError, match="3-dimensional vectors"):
            sd.vjp(np.cross, *arrays)
    else:
        check_derivatives(np.cross, *arrays)


OUT = np.zeros(())


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda a, b: np.matmul(a, b, axes=[(0, 1), (0, 1), (1, 0)]), [(2, 3), (3, 4)]),
        (lambda a, b: np.matmul(a, b, axes=[(2, 0), (1, 0), (0, 2)]), [(3, 2, 4), (2, 3, 2)]),
        (lambda a, b: products.matmul(a, b, axes=[(0,), (1, 0), (0,)]), [(3,), (4, 3)]),
        (lambda a, b: vecdot(a, b, axes=[0, 1]), [(3, 2), (2, 3)]),
        (lambda a, b: vecdot(a, b, axes=[0, 1, ()]), [(3, 2), (2, 3)]),
        (lambda a, b: products.matvec(a, b, axes=[(1, 0), 0, 0]), [(3, 2), (3, 4)]),
        (lambda a, b: products.vecmat(a, b, axes=[0, (1, 0), -1]), [(3, 4), (2, 3)]),
    ],
)
def test_axes_of_generalised_ufuncs(function: Any, shapes: Any, check_derivatives: Check) -> None:
    check_derivatives(function, *(uniform(shape)[0] for shape in shapes))


def test_dtype_of_generalised_ufuncs() -> None:
    a, b = uniform((2, 3), (3, 4))
    for dtype in (np.float32, complex):
        value, _ = sd.vjp(lambda a, dtype=dtype: np.matmul(a, b, dtype=dtype), a)
        expected = np.matmul(a, b, dtype=dtype)
        assert value.dtype == expected.dtype
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        value, _ = sd.vjp(lambda a, dtype=dtype: vecdot(a, a, dtype=dtype), a)
        assert value.dtype == dtype


def test_path_of_contractions_is_numpys() -> None:
    a, b, c = uniform((2, 3), (3, 4), (4, 5))
    expected = np.einsum_path("ij,jk,kl", a, b, c)

    def chained(a: Any) -> Any:
        path, text = np.einsum_path("ij,jk,kl", a, b, c)
        assert (path, text) == expected
        return np.einsum("ij,jk,kl", a, b, c, optimize=path)

    for traced in (sd.vjp(chained, a)[0], sd.compile(chained)(a)):
        np.testing.assert_allclose(traced, a @ b @ c, rtol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.dot(x, x, out=OUT),
        lambda x: np.einsum("i,i", x, x, out=OUT),
        lambda x: vecdot(x, x, out=OUT),
    ],
)
def test_unsupported_keyword_is_named(call: Callable[[Any], Any]) -> None:
    with pytest.raises(UnsupportedError, match="out"):
        sd.grad(call)(np.ones(3))


def test_einsum_casts_as_numpy() -> None:
    x = np.arange(3.0, dtype=np.float32)
    value, pullback = sd.vjp(lambda x: np.einsum("i,i->", x, x, dtype=np.float64), x)
    assert value.dtype == np.float64
    np.testing.assert_array_equal(pullback(np.float64(1))[0], 2 * x)
    with pytest.raises(TypeError):
        sd.vjp(lambda x: np.einsum("i->", x, dtype=np.int64), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_product_by_complex_numbers_has_no_conjugate(dtype: Any) -> None:
    a, b = uniform((2, 3), (3, 2))
    b = b + 1j * b[::-1]
    _, pullback = sd.vjp(lambda a: a @ b, a.astype(dtype))
    g = np.array([[1, 1j], [2, -1]])
    expected = g @ b.T if dtype is np.complex128 else (g @ b.T).real
    np.testing.assert_allclose(pullback(g)[0], expected, rtol=1e-6)


# The rule about NaN: what does not flow cannot poison.

NOT_FINITE = st.sampled_from([0.0, 1.0, -2.0, np.inf, -np.inf, np.nan])


@given(
    st.tuples(st.integers(1, 3), st.integers(0, 4), st.integers(1, 3)),
    st.data(),
    st.sampled_from([np.float32, np.float64]),
)
def test_zero_wins_over_what_is_not_finite(
    shape: tuple[int, int, int], data: st.DataObject, dtype: Any
) -> None:
    rows, shared, columns = shape

    def draw(*lengths: int) -> Any:
        count = int(np.prod(lengths))
        entries = data.draw(st.lists(NOT_FINITE, min_size=count, max_size=count))
        return np.array(entries, dtype).reshape(lengths)

    x, y = draw(rows, shared), draw(shared, columns)
    with np.errstate(all="ignore"):
        products = x[:, :, None] * y[None, :, :]
        products[(x[:, :, None] == 0) | (y[None, :, :] == 0)] = 0
        expected = np.sum(products, axis=1)
        actual = zero_safe_matmul(x, y)
    np.testing.assert_array_equal(actual, expected)
    assert actual.dtype == dtype


def test_zero_wins_over_complex_infinity() -> None:
    x = np.array([[0, complex(np.inf, 1)], [1j, 0]])
    with np.errstate(all="ignore"):
        actual = zero_safe_matmul(x, np.array([[2.0, np.nan], [0.0, 1.0]]))
    np.testing.assert_array_equal(np.isnan(actual), [[False, True], [False, True]])
    np.testing.assert_array_equal(actual[:, 0], [0, 2j])


INFINITE = np.array([[1.0, np.inf], [np.nan, 2.0], [3.0, 4.0]])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(
    ("loss", "shape", "expected"),
    [
        # Only the last row of the matrix is used, and only that is finite.
        (lambda w: (INFINITE @ w)[2], (2,), [3, 4]),
        (lambda w: (INFINITE @ w)[2, 0], (2, 1), [[3], [4]]),
        (lambda w: np.dot(w, INFINITE.T)[2], (2,), [3, 4]),
        (lambda w: np.einsum("ij,j->i", INFINITE, w)[2], (2,), [3, 4]),
        (lambda w: np.tensordot(w, INFINITE, ([0], [1]))[2], (2,), [3, 4]),
        (lambda w: np.sum(np.where([False, False, True], INFINITE @ w, 0)), (2,), [3, 4]),
        # Genuine ones survive.
        (lambda w: (INFINITE @ w)[1], (2,), [np.nan, 2]),
    ],
)
def test_entries_that_are_not_used_do_not_poison(
    loss: Callable[[Any], Any], shape: tuple[int, ...], expected: Any
) -> None:
    x = np.ones(shape)
    np.testing.assert_array_equal(sd.grad(loss)(x), expected)
    directions = np.eye(x.size).reshape(x.size, *shape)
    forward = [sd.jvp(loss, (x,), (each,))[1] for each in directions]
    np.testing.assert_array_equal(np.reshape(forward, shape), expected)


def test_gradient_of_a_shared_matrix_makes_no_stack() -> None:
    """The cotangent of W in ``x @ W`` is one product, whatever the axes before the last."""
    x, w = uniform((4, 5, 3), (3, 2))
    shapes: list[tuple[int, ...]] = []
    original = zero_safe_matmul.evaluate

    def spy(*args: Any) -> Any:
        result = original(*args)
        shapes.append(result.shape)
        return result

    zero_safe_matmul.evaluate = spy
    try:
        sd.grad(lambda w: np.sum(x @ w))(w)
    finally:
        zero_safe_matmul.evaluate = original
    assert shapes == [(3, 2)]


def test_objects_are_conjugated_too() -> None:
    vectors = np.array([[1.0, 2j, 3.0], [4.0, 5.0, 6j]], object)
    for call in (
        lambda x: np.vecdot(vectors, np.ones(3) * x),
        lambda x: np.vecmat(vectors, np.eye(3) * x),
        lambda x: (vectors * x).conj(),
    ):
        kept: list[Any] = []
        sd.grad(lambda x, f=call, kept=kept: (kept.append(f(x)), x)[1])(1.0)
        np.testing.assert_array_equal(kept[0]._value, call(1.0))
