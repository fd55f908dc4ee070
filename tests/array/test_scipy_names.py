"""How SciPy's functions are found: while a function is traced, in its thread, and nowhere else."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import subprocess
import sys
import threading
from typing import Any
from unittest import mock

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats
from scipy.linalg import inv as inverse
from scipy.special import logsumexp

import steepest as sd
from steepest.array.creating import untouched_numpy
from steepest.errors import NeedsValueError, TracedConversionError

X = np.array([0.3, -0.2, 1.1])
SQUARE = np.diag([1.0, 2.0, 4.0])


def loss(x: Any) -> Any:
    return np.sum(scipy.linalg.inv(SQUARE + np.outer(x, x)))


def test_scipys_own_functions_are_found_outside() -> None:
    before = scipy.linalg.inv, scipy.stats.norm.logpdf.__func__, scipy.stats.rv_continuous.cdf
    sd.grad(loss)(X)
    after = scipy.linalg.inv, scipy.stats.norm.logpdf.__func__, scipy.stats.rv_continuous.cdf
    assert all(one is other for one, other in zip(before, after, strict=True))
    assert inspect.isfunction(scipy.linalg.inv)
    assert inspect.ismodule(scipy.linalg)
    assert repr(scipy.linalg).startswith("<module 'scipy.linalg'")
    assert pickle.loads(pickle.dumps(scipy.linalg.inv)) is scipy.linalg.inv
    assert isinstance(copy.copy(scipy.stats.norm).logpdf(0.0), float)


def test_names_of_the_users_module() -> None:
    value, gradient = sd.value_and_grad(lambda x: logsumexp(x) + np.sum(inverse(SQUARE * x)))(X)
    assert np.isclose(value, logsumexp(X) + np.sum(inverse(SQUARE * X)))
    assert gradient.shape == X.shape
    assert inspect.isfunction(inverse)
    assert inspect.isfunction(logsumexp)


def test_another_thread_finds_scipys() -> None:
    found: list[Any] = []

    def watched(x: Any) -> Any:
        thread = threading.Thread(
            target=lambda: found.extend([scipy.linalg.inv, scipy.stats.norm.logpdf.__func__])
        )
        thread.start()
        thread.join()
        return loss(x)

    sd.grad(watched)(X)
    assert found == [scipy.linalg.inv, scipy.stats.norm.logpdf.__func__]
    assert all(map(inspect.isfunction, found))


def test_what_somebody_else_puts_there_stays() -> None:
    with mock.patch("scipy.linalg.inv", lambda a: a * 0 + 7.0):
        assert np.isclose(sd.value_and_grad(loss)(X)[0], 63.0)
        scipy.linalg.inv = lambda a: a
        assert sd.value_and_grad(loss)(X)[0] == np.sum(SQUARE + np.outer(X, X))
    assert np.isclose(loss(X), sd.value_and_grad(loss)(X)[0])


def test_a_stand_in_equals_scipys_function() -> None:
    function = scipy.linalg.inv

    def asking(x: Any) -> Any:
        assert scipy.linalg.inv == function
        assert hash(scipy.linalg.inv) == hash(function)
        assert {function: 1}[scipy.linalg.inv] == 1
        assert inspect.signature(scipy.linalg.inv) == inspect.signature(function)
        assert repr(scipy.linalg.inv) == repr(function)
        assert pickle.loads(pickle.dumps(scipy.linalg.inv)) == function
        assert scipy.linalg.inv.__name__ == "inv"
        return loss(x)

    sd.grad(asking)(X)


def test_constants_are_computed_by_scipy_itself() -> None:
    def constant(x: Any) -> Any:
        matrix = scipy.linalg.toeplitz(np.arange(3.0) + 1)
        matrix[0, 0] = 9.0
        also = scipy.linalg.inv(np.eye(3) * 2)
        also[0] = x
        return np.sum(matrix @ x) + np.sum(also) + np.max(scipy.stats.norm.logpdf(np.zeros(2)))

    np.testing.assert_allclose(sd.grad(constant)(X), [15.0, 6.0, 7.0])


def test_numpy_that_is_left_alone_leaves_scipy_alone() -> None:
    def untouched(x: Any) -> Any:
        with untouched_numpy():
            return loss(x)

    with pytest.raises(TracedConversionError, match=r"scipy\.linalg\.inv"):
        sd.grad(untouched)(X)


def held(function: Any) -> Any:
    def sum_of(x: Any) -> Any:
        return np.sum(function(x))

    return lambda x: sum_of(x)


HANDED = {
    "itself": logsumexp,
    "a method": scipy.stats.norm.logpdf,
    "by a closure": held(scipy.linalg.inv),
    "a method, by a closure": held(scipy.stats.norm.logpdf),
    "by a default argument": lambda x, function=scipy.linalg.inv: np.sum(function(x)),
    "with arguments": functools.partial(logsumexp, axis=None),
}


@pytest.mark.parametrize("name", HANDED)
def test_functions_that_were_handed_over(name: str) -> None:
    function = HANDED[name]
    x: Any = SQUARE if name.startswith("by") else X
    if name == "a method":
        x = 0.3
    value, gradient = sd.value_and_grad(function)(x)
    np.testing.assert_allclose(value, function(x))
    assert sd.check_gradient(function, x).ok
    np.testing.assert_array_equal(sd.compile(sd.grad(function))(x), gradient)
    np.testing.assert_array_equal(sd.vjp(function, x)[1](np.ones(()))[0], gradient)
    np.testing.assert_allclose(sd.jvp(function, (x,), (x,))[1], np.sum(gradient * x))
    assert pickle.loads(pickle.dumps(sd.grad(logsumexp)))(X).shape == X.shape


def test_a_function_that_was_kept_is_refused_with_what_to_write() -> None:
    functions = {"inverse": scipy.linalg.inv}

    def kept(x: Any) -> Any:
        return np.sum(functions["inverse"](SQUARE * x))

    for call, kind in ((sd.grad, TracedConversionError), (sd.compile, NeedsValueError)):
        with pytest.raises(kind, match="container") as caught:
            call(kept)(X)
        assert caught.value.line is not None
        assert caught.value.line.function.endswith("kept")


def test_nested_and_concurrent_traces() -> None:
    expected = sd.hessian(loss)(X)
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(sd.hessian(loss)(X))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    for each in results:
        np.testing.assert_array_equal(each, expected)


def test_steepest_imports_no_module_of_scipys_for_it() -> None:
    program = (
        "import sys; import numpy as np; import steepest as sd; sd.grad(np.sin)(1.0);"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'scipy'];"
        "import scipy.linalg; print(sd.grad(lambda x: scipy.linalg.det(x * np.eye(2)))(3.0));"
        "assert 'scipy.stats' not in sys.modules and 'scipy.signal' not in sys.modules"
    )
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert np.isclose(float(run.stdout), 6.0)


def test_callbacks_of_compiled_code() -> None:
    from scipy import optimize

    def root(x: Any, method: Any) -> Any:
        return method(lambda y: y**2 - x, 0.1, 5.0)

    for name in ("brentq", "brenth", "ridder", "bisect"):
        kept = {"root": getattr(optimize, name)}
        with pytest.raises(TracedConversionError) as caught:
            sd.grad(lambda x, kept=kept: root(x, kept["root"]))(1.3)
        assert "container" in (caught.value.instead or "")
        assert caught.value.line is not None
        assert caught.value.line.filename == __file__
    kept = {"root": optimize.fsolve}
    with pytest.raises(TracedConversionError, match=r"scipy\.optimize") as caught:
        sd.grad(lambda x: kept["root"](lambda y: y**2 - x, 1.0)[0])(1.3)
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__


def test_a_refusal_that_compiled_code_loses() -> None:
    """With an error pending, Python looks up a name that it does not remember, and loses it."""
    from scipy import optimize

    def forgetful(y: Any, x: Any) -> Any:
        sys._clear_type_cache()
        return y**2 - x

    for name in ("brentq", "brenth", "ridder", "bisect"):
        kept = {"root": getattr(optimize, name)}
        with pytest.raises(TracedConversionError) as caught:
            sd.grad(lambda x, kept=kept: kept["root"](lambda y: forgetful(y, x), 0.1, 5.0))(1.3)
        assert "container" in (caught.value.instead or "")
        assert caught.value.line is not None
        assert caught.value.line.filename == __file__
    # What comes after it in plain NumPy is not taken for it.
    with pytest.raises(ValueError, match="signs"):
        sd.grad(lambda x: optimize.brentq(lambda y: y**2 + 1, 0.1, 5.0) * x)(1.3)


def test_a_system_error_of_somebody_elses_stays() -> None:
    def failing(x: Any) -> Any:
        raise SystemError("of another kind")

    with pytest.raises(SystemError, match="of another kind"):
        sd.grad(failing)(X)
