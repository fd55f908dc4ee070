"""NumPy's functions that make arrays: replaced while a function is traced, and put back."""

from __future__ import annotations

import builtins
import copy
import functools
import importlib
import inspect
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest

import steepest as sd
from steepest.array import Array
from steepest.array.creating import UserCode, _originals, untouched_numpy
from steepest.array.lists import TAKING_LISTS
from steepest.errors import TracedConversionError, UnsupportedError

X = np.array([1.0, 2.0])
CAPTURED: Any = np.array([[1.0, 2.0], [3.0, 4.0], [0.5, -1.0]])
NUMPY: Any = np


def is_untouched() -> bool:
    return (
        all(getattr(np, name) is vars(np)[name] is each for name, each in _originals.items())
        and type(np) is type(np.linalg) is ModuleType
        and np.vectorize._vectorize_call.__module__.startswith("numpy")  # type: ignore[attr-defined]
    )


def test_numpy_is_put_back() -> None:
    def failing(x: Any) -> Any:
        assert not is_untouched()
        assert isinstance(np.zeros(2), Array)
        sd.grad(np.sum)(x)
        assert isinstance(np.zeros(2), Array), "an inner gradient leaves the outer one alone"
        raise KeyError

    assert is_untouched()
    for transform in (sd.grad, sd.hessian, sd.compile, lambda f: lambda x: sd.jvp(f, (x,), (x,))):
        with pytest.raises(KeyError):
            transform(failing)(X)
        assert is_untouched()
    sd.grad(lambda x: np.sum(np.ones(2) * x))(X)
    assert is_untouched()


def test_what_somebody_else_replaces_meanwhile_stays() -> None:
    def mine(*args: Any) -> Any:
        return "mine"

    try:
        with UserCode():
            NUMPY.ones = mine
            assert NUMPY.ones is mine
        assert NUMPY.ones is mine
        with UserCode():
            assert NUMPY.ones is mine
    finally:
        NUMPY.ones = _originals["ones"]
    assert is_untouched()


def test_what_somebody_else_puts_back_is_numpys() -> None:
    with UserCode():
        kept = np.ones
        assert kept is not _originals["ones"]
        with mock.patch.object(np, "ones", None):
            assert NUMPY.ones is None
        assert np.ones is kept
    assert is_untouched()
    # Who has taken the replacement for NumPy's may put it back too late.
    NUMPY.ones = kept
    with UserCode():
        assert np.ones is kept
    assert is_untouched()


def test_what_somebody_else_deletes_is_gone() -> None:
    try:
        with UserCode():
            del NUMPY.ones
            assert not hasattr(np, "ones")
        assert not hasattr(np, "ones")
    finally:
        NUMPY.ones = _originals["ones"]
    assert is_untouched()


def test_a_module_is_the_same_to_those_who_ask() -> None:
    with UserCode():
        assert isinstance(np, ModuleType)
        assert inspect.ismodule(np)
        assert pickle.loads(pickle.dumps(np)) is np
        assert not hasattr(np, "no_such_name")
        namespace: dict[str, Any] = {}
        exec("from numpy import *", namespace)
        assert namespace["zeros"] is np.zeros


class _Reducing:
    """Has NumPy's functions from before a function is traced, and asks for one of them."""

    def __init__(self, reduce: Any = np.mean, make: Any = np.concatenate) -> None:
        self.reduce = reduce
        self.make = make

    def is_mean(self) -> bool:
        return self.reduce is np.mean

    def makes(self) -> bool:
        return np.concatenate is not self.make or np.concatenate != self.make


def _is_mean(reduce: Any = np.mean) -> bool:
    return np.mean is reduce


def test_functions_from_before_are_the_same() -> None:
    reducing = _Reducing()
    part = functools.partial(np.sum, axis=0)
    answers: list[bool] = []

    def function(x: Any) -> Any:
        inner = _Reducing(np.mean)
        answers.extend([reducing.is_mean(), _is_mean(), part.func is np.sum, not reducing.makes()])
        answers.extend([inner.is_mean(), _is_mean(np.mean), not _Reducing(np.sum).is_mean()])
        reduce = np.max
        answers.extend([reduce is np.max, np.max is reduce, not _is_mean(reduce)])
        return x**2

    assert sd.grad(function)(1.0) == 2.0
    function(1.0)
    assert answers == [True] * 20


def test_names_that_are_got_two_at_once() -> None:
    # On one line, Python 3.13 gets local variables by one instruction that are next to each other.
    def written(x: Any, out: Any) -> Any:
        out[1:] = x[1:] ** 2
        return np.sum(out)

    def chosen(x: Any, is_mean: bool) -> Any:
        return x if is_mean else 2 * x

    def loss(x: Any) -> Any:
        reduce, empty, module = np.mean, np.zeros, np
        generator = np.random.default_rng(0)
        total = written(x, empty(2)) + written(x, module.zeros(2)) + written(x, empty(len(x)))
        total += written(x, generator.normal(size=2))
        total += sum(written(x, out) for out in [empty(2) for i in range(2)])
        other = np.zeros

        def of_cells() -> Any:
            cells = [lambda: (reduce, other)]
            return written(x, other(2)) * len(cells)

        total += of_cells() - written(x, np.zeros(2))
        chosen_one = chosen(x, reduce is np.mean) + chosen(x, np.sum is reduce)
        assert [each is np.mean for each in (reduce, empty)] == [True, False]
        return total + np.sum(chosen_one)

    def loss_on_lines(x: Any) -> Any:
        return 6 * x[1] ** 2 + np.random.default_rng(0).normal(size=2)[0] + np.sum(3 * x)

    value, gradient = sd.value_and_grad(loss)(X)
    np.testing.assert_allclose(value, loss_on_lines(X), rtol=1e-12)
    np.testing.assert_allclose(gradient, sd.grad(loss_on_lines)(X), rtol=1e-12)


def test_an_expression_that_may_be_a_function_from_before_is_refused() -> None:
    functions = {"mean": np.mean}

    def function(x: Any) -> Any:
        assert np.mean is not None
        assert functions["mean"] == np.mean
        return x if functions["mean"] is np.mean else 2 * x

    def reversed_function(x: Any) -> Any:
        assert np.mean is not None
        return x if np.mean is functions["mean"] else 2 * x

    def called_function(x: Any) -> Any:
        return x if np.mean is functions.get("mean") or x > 2 else 2 * x

    for each in (function, reversed_function, called_function):
        with pytest.raises(UnsupportedError, match="in a variable before"):
            sd.grad(each)(1.0)


IMPORTED = """
import numpy as np
from numpy import mean, zeros

FUNCTIONS = {"mean": np.mean}
CONSTANT = np.ones(2)

class Reducing:
    reduce = staticmethod(np.mean)

def loss(x, reduce=np.mean):
    entries = zeros(2)
    entries[:] = x
    same = (mean, FUNCTIONS["mean"], Reducing.reduce, reduce)
    return sum(each is np.mean or each == np.mean for each in same) * mean([x[0], x[1]])
"""


def test_what_is_imported_meanwhile_keeps_functions_of_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_meanwhile.py").write_text(IMPORTED)
    monkeypatch.syspath_prepend(tmp_path)

    def loss(x: Any) -> Any:
        return importlib.import_module("imported_meanwhile").loss(x)

    first = sd.grad(loss)(X)
    module: Any = sys.modules.pop("imported_meanwhile")
    try:
        assert np.array_equal(first, [2.0, 2.0])
        assert module.mean is module.FUNCTIONS["mean"] is module.Reducing.reduce is np.mean
        assert module.zeros is np.zeros
        assert module.loss.__defaults__[0] is np.mean
        assert type(module.CONSTANT) is np.ndarray
        sys.modules["imported_meanwhile"] = module
        assert np.array_equal(sd.grad(loss)(X), [2.0, 2.0])
        assert loss(X) == 6.0
    finally:
        sys.modules.pop("imported_meanwhile", None)


@pytest.mark.parametrize("name", TAKING_LISTS)
def test_functions_are_pickled_by_name(name: str) -> None:
    function = getattr(np, name)
    with UserCode():
        kept = getattr(np, name)
        assert pickle.loads(pickle.dumps(kept)).__name__ == kept.__name__
        assert copy.deepcopy(kept).__name__ == kept.__name__
    assert pickle.loads(pickle.dumps(kept)) is function


def test_other_threads_have_functions_of_numpy() -> None:
    function = np.sum
    inside, done = threading.Event(), threading.Event()

    def loss(x: Any) -> Any:
        inside.set()
        assert done.wait(10)
        return x**2

    thread = threading.Thread(target=lambda: sd.grad(loss)(1.0))
    thread.start()
    assert inside.wait(10)
    try:
        assert np.sum is function
        assert pickle.loads(pickle.dumps(function)) is function
    finally:
        done.set()
        thread.join()


def test_other_threads_get_ndarrays() -> None:
    made: list[Any] = []
    inside, done = threading.Event(), threading.Event()

    def work() -> None:
        inside.wait(10)
        made.append(np.zeros(3))
        made.append(sd.grad(lambda x: np.sum(np.ones(2) * x))(X))
        made.append(np.array([1.0]))
        done.set()

    thread = threading.Thread(target=work)
    thread.start()

    def loss(x: Any) -> Any:
        inside.set()
        assert done.wait(10)
        out = np.zeros(2)
        out[0] = x[0]
        return np.sum(out)

    np.testing.assert_array_equal(sd.grad(loss)(X), [1.0, 0.0])
    thread.join()
    assert [type(each) for each in made] == [np.ndarray] * 3
    assert is_untouched()


def test_many_threads() -> None:
    errors: list[BaseException] = []

    def loss(x: Any) -> Any:
        out = np.zeros((2, 3))
        for i in range(2):
            out[i] = x[i]
        return np.sum(out**2)

    def work() -> None:
        try:
            for _ in range(30):
                np.testing.assert_array_equal(sd.grad(loss)(X), 6 * X)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors
    assert is_untouched()


def test_only_calls_that_stand_in_python_code_make_arrays() -> None:
    """Compiled code takes what ``np.empty`` gives for an ndarray without asking."""
    given = np.random.RandomState(0)

    def kinds(x: Any) -> Any:
        made = np.zeros
        nested = [np.zeros(2) for _ in range(1)]
        found: list[Any] = [
            np.zeros(2),
            made(2),
            np.zeros(*(2,)),
            np.zeros(shape=2),
            nested[0],
            np.ones(2) * 2,
        ]
        assert all(isinstance(each, Array) for each in found)
        plain = [
            *map(np.zeros, [2]),
            functools.partial(np.zeros, 2)(),
            given.binomial(1, 0.5, size=2),  # compiled, and calls np.empty
        ]
        assert all(type(each) is np.ndarray for each in plain)
        return np.sum(x)

    sd.grad(kinds)(X)


def test_compiled_libraries_get_ndarrays() -> None:
    scope = {"np": np, "__name__": "scipy.somewhere"}
    exec("def make(): return np.zeros(2)", scope)

    def loss(x: Any) -> Any:
        assert type(scope["make"]()) is np.ndarray  # type: ignore[operator]
        return np.sum(x)

    sd.grad(loss)(X)


def test_an_array_with_nothing_traced_in_it_converts_freely() -> None:
    def loss(x: Any) -> Any:
        a = np.arange(6.0).reshape(2, 3)
        assert isinstance(a, Array)
        assert isinstance(a, np.ndarray)
        assert a.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert a[0, 1].item() == 1
        assert float(a[1, 1]) == 4
        assert [10, 20, 30][np.array(2)] == 30
        assert a.flags.c_contiguous
        assert a.sum() == 15
        assert np.median(a) == 2.5
        assert max(a.ravel()) == 5
        assert np.unique(np.array([2, 1, 2])).tolist() == [1, 2]
        assert np.linalg.matrix_rank(np.eye(2)) == 2
        a.sort()
        a.flat[0] = 9
        copied = np.lib.stride_tricks.as_strided(np.zeros(3))
        assert copied.shape == (3,)
        return np.sum(x * a[0, 0])

    np.testing.assert_array_equal(sd.grad(loss)(X), [9.0, 9.0])


def test_after_a_traced_write_it_refuses() -> None:
    def loss(x: Any) -> Any:
        a = np.zeros(3)
        assert a.tolist() == [0, 0, 0]
        a[0] = x[0]
        first, *rest = a.tolist()
        assert rest == [0, 0]
        with pytest.raises(TracedConversionError):
            builtins.complex(a[0])
        with pytest.raises(TracedConversionError):
            builtins.float(a[0])
        return np.sum(a) + first

    sd.grad(loss)(X)


def test_what_is_kept_is_a_plain_value_afterwards() -> None:
    kept: list[Any] = []

    def loss(x: Any) -> Any:
        untouched, written = np.zeros(3), np.zeros(3)
        written[0] = x[0]
        kept.extend([untouched, written, written[:2]])
        return np.sum(written)

    sd.grad(loss)(X)
    for each, expected in zip(kept, ([0, 0, 0], [1, 0, 0], [1, 0]), strict=True):
        np.testing.assert_array_equal(each, expected)
        assert type(each + 1) is np.ndarray
    kept[1][1] = 5.0
    assert kept[2][1] == 5.0
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(kept[0])[0] = 1.0


def test_a_view_that_is_not_followed_is_not_lost_sight_of() -> None:
    def loss(x: Any) -> Any:
        a = np.arange(5.0)
        windows = np.lib.stride_tricks.sliding_window_view(a, 2)
        assert windows[1].tolist() == [1, 2]
        a[1] = x[0]
        return np.sum(a) + np.sum(windows)

    with pytest.raises(UnsupportedError, match="sliding_window_view"):
        sd.grad(loss)(X)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: np.array([x[0], 1]),
        lambda x: np.array([1, np.float32(2), x[0]]),
        lambda x: np.array([[x[0]], [2]], np.float32),
        lambda x: np.array([x, x], ndmin=3),
        lambda x: np.array((x[0], True)),
        lambda x: np.array([x[0], 1j]),
        lambda x: np.array([x[0], 2.7], int),
        lambda x: np.array([[], []]),
        lambda x: np.array(x, np.float32),
        lambda x: np.array(x[0]),
        lambda x: np.asarray(x[0]),
        lambda x: np.asarray([x.astype(np.float32)[0], 2.0]),
        lambda x: np.full((2, 1), x[0]),
        lambda x: np.full(2, x, np.float32),
        lambda x: np.full_like(np.ones((1, 2)), x),
        lambda x: np.arange(x[0], 4.0),
        lambda x: np.arange(0, 4, x[1]),
        lambda x: np.ascontiguousarray(np.outer(x, x).T),
        lambda x: np.asfortranarray(np.outer(x, x)),
        lambda x: np.fromiter(x, np.float32),
        lambda x: list(map(np.array, [2.0, x]))[1],
        lambda x: next(iter(map(np.atleast_1d, map(np.asarray, x)))),
        lambda x: functools.partial(np.asarray, dtype=np.float32)(x),
        lambda x: np.float64(x[0]),
        lambda x: np.float32(x),
        lambda x: NUMPY.double([x[0], 1]),
        lambda x: np.complex128(x[0]),
        lambda x: NUMPY.float64(NUMPY.float64(x)[0]) * np.float32(2),
        lambda x: x[: np.int64(x[1])],
        lambda x: CAPTURED.dot(x),
        lambda x: CAPTURED.dot([x[0], 1.0]),
        lambda x: CAPTURED.dot(b=x),
        lambda x: CAPTURED[0].searchsorted(x),
    ],
)
def test_shape_dtype_and_value_are_numpys(make: Any) -> None:
    x = np.array([1.1, 1.9])
    expected = make(x)
    found: list[Any] = []

    def loss(x: Any) -> Any:
        made = make(x)
        found.append(sd.stop_gradient(made))
        return np.sum(x) + np.sum(np.abs(made))

    gradient = sd.grad(loss)(x)
    (value,) = found
    assert value.dtype == expected.dtype
    assert value.shape == expected.shape
    np.testing.assert_array_equal(value, expected)
    steps = np.eye(2) * 1e-3
    plain = [(loss(x + each) - loss(x - each)) / 2e-3 for each in steps]
    np.testing.assert_allclose(gradient, plain, atol=2e-3)


def test_the_switch() -> None:
    def loss(x: Any) -> Any:
        with untouched_numpy():
            out = np.zeros(2)
        assert type(out) is np.ndarray
        kept = [out]
        out[0] = x[0]
        return np.sum(kept[0])

    with pytest.raises(UnsupportedError, match=r"np\.zeros"):
        sd.grad(loss)(X)
    program = (
        "import numpy as np, steepest as sd\n"
        "def f(x):\n"
        "    assert type(np.zeros(2)) is np.ndarray\n"
        "    return x * x\n"
        "sd.grad(f)(1.0)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env={**__import__("os").environ, "STEEPEST_PATCH_NUMPY": "0"},
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.vectorize(lambda text: text + "a")(np.array(["x", "yz"])),
        lambda: np.vectorize(lambda day: day)(np.array(["2001-01-01"], "M8[D]")),
        lambda: np.vectorize(lambda days: days[:1], signature="(i)->(j)")(
            np.zeros((2, 3), "M8[s]")
        ),
        lambda: np.vectorize(lambda each: {each}, otypes=[object])(np.arange(2)),
        lambda: np.apply_along_axis(lambda v: v[0] | v[1], 0, np.array([[{1}, {2}], [{3}, {4}]])),
        lambda: np.apply_along_axis(max, 1, np.array([["a", "b"], ["d", "c"]])),
        lambda: np.median(np.arange(5.0), overwrite_input=True),
        lambda: np.percentile(np.arange(5.0), [20, 50], overwrite_input=True),
        lambda: np.pad(np.ones((2, 0, 2)), ((3,), (0,), (1,)), "maximum"),
    ],
)
def test_what_carries_no_gradient_is_as_numpy_makes_it(make: Callable[[], Any]) -> None:
    kept: list[Any] = []

    def loss(x: Any) -> Any:
        kept.append(make())
        return x

    sd.grad(loss)(1.0)
    expected = make()
    assert kept[0].dtype == expected.dtype
    assert np.shape(kept[0]) == expected.shape
    assert np.asarray(kept[0]).tolist() == expected.tolist()
