"""SciPy's functions that take ndarrays alone: refused by name, with what says the same in NumPy."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.interpolate
import scipy.linalg
import scipy.optimize
import scipy.signal
import scipy.spatial.distance
import scipy.special
import scipy.stats

import steepest as sd
from steepest.array.scipy_functions import INSTEAD
from steepest.errors import TracedConversionError, UnsupportedError

sl: Any = scipy.linalg
rng = np.random.default_rng(0)
A = rng.normal(size=(3, 3)) + 3 * np.eye(3)
SYMMETRIC = A @ A.T
B = rng.normal(size=(3, 2))

CALLS: dict[str, Callable[..., Any]] = {
    "cho_solve_banded": lambda a: sl.cho_solve_banded((a, False), B),
    "cholesky_banded": lambda a: sl.cholesky_banded(a[::-1]),
    "eig_banded": lambda a: sl.eig_banded(a)[0],
    "eigvals_banded": lambda a: sl.eigvals_banded(a),
    "rq": lambda a: sl.rq(a)[0],
}


def test_every_function_is_tried() -> None:
    assert CALLS.keys() == INSTEAD["scipy.linalg"].keys()


@pytest.mark.parametrize("name", CALLS)
def test_refusal_names_the_function_and_what_to_write(name: str) -> None:
    def loss(a: Any) -> Any:
        return np.sum(CALLS[name](a))

    for call in (sd.grad(loss), sd.compile(loss)):
        with pytest.raises(TracedConversionError) as caught:
            call(SYMMETRIC)
        assert caught.value.message.startswith(f"scipy.linalg.{name} takes ndarrays alone")
        assert caught.value.instead == INSTEAD["scipy.linalg"][name]
        assert "CALLS[name]" in str(caught.value) or "sl." in str(caught.value)


def test_functions_of_other_modules() -> None:
    for function, instead in (
        (scipy.special.factorial, "gamma"),
        (sl.hessenberg, "custom_gradient"),
    ):
        with pytest.raises(TracedConversionError, match=instead) as caught:
            sd.grad(lambda x, function=function: np.sum(function(x)))(A)
        assert function.__name__ in caught.value.message


def test_callbacks_of_scipy_are_the_users() -> None:
    """A user's function that SciPy calls is asked itself, and not SciPy."""
    from scipy.optimize import approx_fprime

    def slope(x: Any) -> Any:
        return approx_fprime(np.zeros(1), lambda _: float(x[0]))

    with pytest.raises(TracedConversionError, match="float"):
        sd.grad(lambda x: np.sum(slope(x)))(A[0])


NAMED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "scipy.stats.matrix_normal_gen.logpdf": (
        lambda x: scipy.stats.matrix_normal.logpdf(np.outer(x, x), np.zeros((3, 3))),
        "np.log(scale",
    ),
    "scipy.optimize.milp": (lambda x: scipy.optimize.milp(x).x, "sd.custom_gradient"),
    "scipy.interpolate.Rbf.__init__": (
        lambda x: scipy.interpolate.Rbf(np.arange(3.0), x)(0.5),
        "np.interp",
    ),
    "scipy.spatial.distance.directed_hausdorff": (
        lambda x: scipy.spatial.distance.directed_hausdorff(x[None], np.ones((1, 3)))[0],
        "a formula",
    ),
    "numpy.ma.core.array": (
        lambda x: np.ma.array(x, mask=[False, True, False]),
        "np.where(mask, x, 0)",
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_the_refusal_names_the_function_that_asked(name: str) -> None:
    call, instead = NAMED[name]
    with pytest.raises(TracedConversionError) as caught:
        sd.grad(lambda x: np.sum(call(x)))(A[0])
    assert caught.value.message.startswith(f"{name} takes ndarrays alone")
    assert instead in (caught.value.instead or "")
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__


def test_memory_is_not_pickled_and_not_reshaped_in_place_under_a_view() -> None:
    with pytest.raises(TracedConversionError, match="pickling"):
        sd.grad(lambda x: pickle.loads(pickle.dumps(x)).sum())(A[0])

    def reshaped(x: Any) -> Any:
        y = x * 2
        view = y[:2]
        y.shape = (3, 1)
        return np.sum(y) + np.sum(view)

    with pytest.raises(UnsupportedError, match="shape") as caught:
        sd.grad(reshaped)(A[0])
    assert caught.value.instead == "x = x.reshape((3, 1))"
