"""Lists of traced values, and functions of NumPy's that a module has by name."""

from __future__ import annotations

import copy
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy import mean as mean_by_name
from numpy import ones, zeros

import steepest as sd
from steepest.array import Array
from steepest.errors import NeedsValueError, UnsupportedError

X = np.array([0.7, -1.3, 2.1])
PLAIN = np.array([[1.0, 2.0]])

OF_LISTS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda x, a: np.sum(a([x[0], x[1] * 2])),
    "nested": lambda x, a: np.sum(a([[x[0], 1], [2.5, x[1] ** 2]]), axis=1),
    "tuple": lambda x, a: np.mean(a((x[0], 3, x[1]))),
    "of arrays": lambda x, a: np.mean(a([x, x**2]), axis=0),
    "float32": lambda x, a: np.sum(a([x.astype(np.float32)[0], np.float32(2)])),
    "std": lambda x, a: np.std(a([x[0], x[1]]), ddof=1),
    "max": lambda x, a: np.max(a([x[0], 2 * x[0], x[1]])) + np.min(a([x[0], x[1]])),
    "amax": lambda x, a: np.amax(a([x[0], 2 * x[0]])),
    "argmax": lambda x, a: x[np.argmax(a([x[0], x[2]])) + 1],
    "median": lambda x, a: np.median(a([x[0], x[1], 0.0])),
    "average": lambda x, a: np.average(a([x[0], x[1]]), weights=a([x[2], 1])),
    "dot": lambda x, a: np.dot(a([x[0], x[1]]), a([x[2], 1.0])),
    "dot of an array": lambda x, a: np.dot(x[:2], a([x[2], 1.0])),
    "norm": lambda x, a: np.linalg.norm(a([x[0], x[1], 1.0])),
    "det": lambda x, a: np.linalg.det(a([[x[0], 1.0], [2.0, x[1]]])),
    "solve": lambda x, a: np.linalg.solve(a([[x[0], 1.0], [2.0, x[1]]]), a([x[2], 1])),
    "append": lambda x, a: np.append(a([x[0]]), a([1.0, x[1]])),
    "interp": lambda x, a: np.interp(0.5, [0.0, 1.0], a([x[0], x[1]])),
    "where": lambda x, a: np.where([True, False], a([x[0], x[1]]), a([1.0, 2.0])),
    "clip": lambda x, a: np.clip(x[:2], a([x[2], 0.0]), 9),
    "reshape": lambda x, a: np.reshape(a([x[0], x[1], 1, 2]), (2, 2)),
    "diag": lambda x, a: np.diag(a([x[0], x[1]])),
    "outer": lambda x, a: np.outer(a([x[0], x[1]]), x),
    "tile": lambda x, a: np.tile(a([x[0], 1.0]), 2),
    "atleast_2d": lambda x, a: np.atleast_2d(a([x[0], 1.0])),
    "concatenate": lambda x, a: np.concatenate([a([x[0], 1.0]), a([2.0]), x]),
    "vstack": lambda x, a: np.vstack([a([x[0], 1.0]), a([2, x[1]])]),
    "column_stack": lambda x, a: np.column_stack((a([x[0], 1.0]), a([2, x[1]]))),
    "multiply": lambda x, a: x[:2] * a([x[0], x[1]]) + a([x[2], 1]),
    "reflected": lambda x, a: a([x[0], x[1]]) @ x[:2],
    "of ones": lambda x, a: np.ones(2) * a([x[0], x[1]]),
    "maximum": lambda x, a: np.maximum(x[:2], a([x[2], -9.0])),
    "keyword": lambda x, a: np.sum(a=a([x[0], x[1]])),
    "bincount": lambda x, a: np.bincount([1, 0, 1], a([x[0], 2.0, x[1]])),
    "take": lambda x, a: np.take(a([x[0], 2.0, x[1]]), [2, 0]),
    "pad": lambda x, a: np.pad(a([x[0], x[1]]), 1),
    "einsum": lambda x, a: np.einsum("i,i->i", a([x[0], x[1]]), a([x[2], 3.0])),
    "nan_to_num": lambda x, a: np.nan_to_num(a([x[0], np.nan, x[1]])),
    "nanmedian": lambda x, a: np.nanmedian(a([x[0], np.nan, x[1]])),
    "polynomial": lambda x, a: np.polyval(np.polyder(np.poly(a([x[0], x[1]]))), 0.7),
    "real": lambda x, a: np.real(a([x[0], 1j * x[1]])) + np.imag(a([1j * x[0], x[1]])),
    "shape": lambda x, a: x[: np.shape(a([x[0], x[1]]))[0]],
    "allclose": lambda x, a: x * np.allclose(a([x[0], x[1]]), a([x[0], x[1]])),
    "searchsorted": lambda x, a: x * np.searchsorted(a([-1.5, 0.0, 9.0]), a([x[0], x[1]]))[0],
    "fft": lambda x, a: np.abs(np.fft.fft(a([x[0], x[1], 1.0]))),
    "qr": lambda x, a: np.linalg.qr(a([[x[0], 1.0], [2.0, x[1]]])).R,
    "linalg.outer": lambda x, a: np.linalg.outer(a([x[0], 1.0]), a([x[1], x[2]])),
    "complex": lambda x, a: np.abs(np.sum(a([x[0] + 1j * x[1], 2.0]))),
}


@pytest.mark.parametrize("name", OF_LISTS)
def test_a_list_means_the_array_of_it(name: str) -> None:
    function = OF_LISTS[name]

    def loss(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def weighted(x: Any) -> Any:
            result = function(x, make)
            return np.sum(result * (1 + np.arange(np.size(result)).reshape(np.shape(result))))

        return weighted

    given, wanted = loss(lambda each: each), loss(lambda each: np.array(each))
    value, _ = sd.vjp(lambda x: function(x, lambda each: each), X)
    plain = function(X, lambda each: each)
    assert type(value) is type(plain)
    np.testing.assert_array_equal(value, plain)
    assert np.asarray(value).dtype == np.asarray(plain).dtype
    np.testing.assert_array_equal(sd.grad(given)(X), sd.grad(wanted)(X))
    if name != "argmax":  # which has steps
        assert sd.check_gradient(given, X).verdict == "correct"
    assert sd.jvp(given, (X,), (X,))[1] == pytest.approx(sd.grad(given)(X) @ X)
    np.testing.assert_allclose(sd.hessian(given)(X), sd.hessian(wanted)(X), atol=1e-12)
    try:
        compiled = sd.compile(sd.grad(given))(X)
    except NeedsValueError:
        assert name in ("argmax", "allclose")
    else:
        np.testing.assert_allclose(compiled, sd.grad(given)(X), rtol=1e-12)


def test_a_replaced_function_equals_numpys() -> None:
    kept, choices = np.max, {np.max: "max", np.min: "min"}

    def loss(x: Any) -> Any:
        assert np.max is not kept, "it is replaced"
        assert np.max == kept
        assert kept == np.max
        assert choices[np.max] == choices[kept] == "max"
        assert (np.mean.__name__, np.mean.__module__) == ("mean", "numpy")
        assert (np.mean.__doc__ or "").lstrip().startswith("Compute the arithmetic mean")
        assert "keepdims" in inspect.signature(np.mean).parameters
        assert repr(np.mean).startswith("<function mean")
        assert copy.deepcopy(np.mean) == np.mean
        return np.max(x)

    sd.grad(loss)(X)
    assert np.max is kept


def recurrence(x: Any) -> Any:
    y = zeros(3)
    for i in range(3):
        y[i] = mean_by_name([x[i], 2 * x[0]]) + (y[i - 1] if i else 0)
    return np.sum(y**2) * ones(2)[0]


def test_functions_that_a_module_has_by_name() -> None:
    before = zeros, ones, mean_by_name
    assert sd.check_gradient(recurrence, X).verdict == "correct"
    np.testing.assert_allclose(sd.compile(sd.grad(recurrence))(X), sd.grad(recurrence)(X))
    with pytest.raises(KeyError):
        sd.grad(lambda x: {}[recurrence(x)[()].ndim])(X)
    assert before == (zeros, ones, mean_by_name)
    assert zeros is np.zeros
    assert mean_by_name is np.mean


def test_a_module_that_comes_later_and_one_of_the_same_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for count in (2.0, 3.0):
        module = types.ModuleType("programs_of_this_test")
        exec(
            f"from numpy import empty\ndef f(x):\n    y = empty(1)\n    y[0] = {count} * x[0]\n"
            "    return y[0]",
            vars(module),
        )
        monkeypatch.setitem(sys.modules, module.__name__, module)
        np.testing.assert_array_equal(sd.grad(module.f)(X), [count, 0, 0])
        assert module.empty is np.empty


@pytest.mark.parametrize("own", ["def empty(n): return np.full(n, 7.0)", "empty = np.arange(3.0)"])
def test_a_name_that_is_given_to_something_else_stays(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("program_of_this_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(
        "import numpy as np\nfrom numpy import empty\nmine = None\ndef f(x): return x @ x",
        vars(module),
    )
    np.testing.assert_array_equal(sd.grad(module.f)(X), 2 * X)
    exec(
        f"{own}\nmine = empty\ndef f(x): return x @ (empty(3) if callable(empty) else empty)",
        vars(module),
    )
    wanted = np.full(3, 7.0) if callable(module.empty) else module.empty
    np.testing.assert_array_equal(sd.grad(module.f)(X), wanted)
    assert module.empty is module.mine


@pytest.mark.parametrize(
    "directive", ["", "0", "-1", "0,2", "1,2", "0,2,0", "0,3", "2,3,-1", "1,3,1"]
)
def test_concatenation_by_index_is_numpys(directive: str) -> None:
    first: tuple[Any, ...] = (directive,) if directive else ()
    matrices = directive in ("", "0", "-1")
    items: list[Callable[[Any], tuple[Any, ...]]] = [
        lambda x: (x, x[1] * 2, 3, 4.5, [1, 2]) if matrices else (x, x**2),
        lambda x: (slice(0, 3), x),
        lambda x: (x, slice(0, 1, 3j)),
        lambda x: ([x[0], 1.0, 2], x),
        lambda x: (x[0],),
        lambda x: (np.outer(x, x), np.ones((3, 3))),
        lambda x: (x.astype(np.float32), 1),
        lambda x: (x.astype(np.float32), np.arange(3)),
    ]
    for each in items:
        for concatenation in ("r_", "c_"):

            def call(x: Any, each: Any = each, name: str = concatenation) -> Any:
                return getattr(np, name)[(*first, *each(x))]

            try:
                wanted = call(X)
            except ValueError:
                with pytest.raises(ValueError, match=r"dimension|axis|axes"):
                    sd.vjp(call, X)
                continue
            value, pullback = sd.vjp(call, X)
            np.testing.assert_array_equal(value, wanted)
            assert (value.shape, value.dtype) == (wanted.shape, wanted.dtype)
            weights = np.cos(np.arange(wanted.size)).reshape(wanted.shape)
            tangent = sd.jvp(call, (X,), (np.ones(3),))[1]
            assert np.sum(tangent * weights) == pytest.approx(
                np.sum(pullback(weights.astype(wanted.dtype))[0]), rel=1e-5
            )


def test_what_is_concatenated_can_be_written_into() -> None:
    def loss(x: Any) -> Any:
        y = np.r_[0.0, x, x[0]]
        y[0] = x[1] ** 2
        return np.sum(y * np.arange(5))

    assert sd.check_gradient(loss, X).verdict == "correct"
    with pytest.raises(UnsupportedError, match="matrix"):
        sd.grad(lambda x: np.sum(np.r_["r", x]))(X)
    with pytest.raises(ValueError, match="first entry"):
        sd.grad(lambda x: np.sum(np.r_[x, "0"]))(X)


def test_scalars_and_entries_are_numpys() -> None:
    def kinds(x: Any) -> list[Any]:
        return [
            np.isscalar(x[0]),
            np.isscalar(x),
            np.isscalar(np.sum(x)),
            np.isscalar(x[0] * 2),
            np.isscalar(np.array(1.0)),
            np.isscalar(np.array(x[0])),
            np.isscalar("text"),
            [index for index, _ in np.ndenumerate(np.outer(x, x))],
            isinstance(np.ndenumerate, type),
            isinstance(np.broadcast, type),  # which compiled libraries ask for as they are imported
            list(np.ndenumerate(PLAIN)),
            np.nditer(PLAIN).shape,
        ]

    def loss(x: Any) -> Any:
        assert kinds(x) == wanted
        return np.sum(x)

    wanted = kinds(X)
    sd.grad(loss)(X)
    sd.compile(loss)(X)

    def weighted(x: Any) -> Any:
        return sum(value * (2 * i + j) for (i, j), value in np.ndenumerate(np.outer(x, x)))

    assert sd.check_gradient(weighted, X).verdict == "correct"


LOSING: list[Callable[[Any], Any]] = [
    lambda x: x.astype(object),
    lambda x: np.array(x, dtype=object),
    lambda x: np.array([x[0], x[1]], dtype=object),
    lambda x: np.asarray([x[0], 1], object),
    lambda x: np.full(2, x[0], dtype=object),
    lambda x: np.full_like(np.zeros(2), x[0], dtype=object),
    lambda x: np.stack([x, x], dtype=object),
    lambda x: np.fromiter([x[0], x[1]], object),
    lambda x: np.sum(x, dtype=object),
    lambda x: np.array([(x[0], 1.0)], dtype=[("a", float), ("b", float)]),
    lambda x: x.astype([("a", float)]),
]


@pytest.mark.parametrize("number", range(len(LOSING)))
def test_arrays_of_objects_and_records_take_no_traced_values(number: int) -> None:
    with pytest.raises(UnsupportedError, match="would lose the gradients") as caught:
        sd.grad(lambda x: np.sum(x) + 0 * np.size(LOSING[number](x)))(X)
    assert "list" in (caught.value.instead or "")


def test_an_array_of_objects_that_is_filled_keeps_them() -> None:
    def loss(x: Any) -> Any:
        parts = np.empty(2, dtype=object)
        parts[0], parts[1] = x[:2], x[2:] ** 2
        assert not isinstance(parts, Array)
        return np.sum(parts[0]) * np.sum(parts[1])

    assert sd.check_gradient(loss, X).verdict == "correct"


def test_second_tangents_of_python_floats() -> None:
    def slope(x: Any, v: Any) -> Any:
        return sd.jvp(lambda t: t**3, (x,), (v,))[1]

    value, tangent = sd.jvp(slope, (1.5, 2.0), (1.0, 0.5))
    assert value == 3 * 1.5**2 * 2.0
    assert tangent == 6 * 1.5 * 2.0 + 3 * 1.5**2 * 0.5
