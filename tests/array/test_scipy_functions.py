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
GIVEN = {"a": SYMMETRIC, "b": B, "q": rng.normal(size=(3, 2)), "np": np}
GIVEN |= {"c": SYMMETRIC[0], "r": SYMMETRIC[0]}

CALLS: dict[str, Callable[..., Any]] = {
    "block_diag": lambda a: sl.block_diag(a, B),
    "cho_factor": lambda a: sl.cho_factor(a, lower=True)[0],
    "cho_solve": lambda a: sl.cho_solve((a, True), B),
    "cholesky": sl.cholesky,
    "det": sl.det,
    "eig": sl.eig,
    "eigh": sl.eigh,
    "eigvals": sl.eigvals,
    "eigvalsh": sl.eigvalsh,
    "expm": sl.expm,
    "funm": lambda a: sl.funm(a, np.exp),
    "inv": sl.inv,
    "logm": sl.logm,
    "lstsq": lambda a: sl.lstsq(a, B)[0],
    "lu": sl.lu,
    "lu_factor": sl.lu_factor,
    "lu_solve": lambda a: sl.lu_solve((a, np.arange(3)), B),
    "norm": sl.norm,
    "null_space": sl.null_space,
    "orth": sl.orth,
    "pinv": sl.pinv,
    "pinvh": sl.pinvh,
    "polar": sl.polar,
    "qr": sl.qr,
    "solve": lambda a: sl.solve(a, B),
    "solve_banded": lambda a: sl.solve_banded((1, 1), a, B),
    "solve_sylvester": lambda a: sl.solve_sylvester(a, B.T @ B, GIVEN["q"]),
    "solve_triangular": lambda a: sl.solve_triangular(a, B),
    "solveh_banded": lambda a: sl.solveh_banded(a, B),
    "sqrtm": sl.sqrtm,
    "svd": sl.svd,
    "svdvals": sl.svdvals,
    "toeplitz": lambda a: sl.toeplitz(a[0]),
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


@pytest.mark.parametrize(
    ("name", "choose"),
    [
        *((name, np.asarray) for name in ("block_diag", "cholesky", "det", "eigvalsh", "inv")),
        *((name, np.asarray) for name in ("norm", "pinv", "pinvh", "solve", "svdvals", "toeplitz")),
        ("eigvals", np.sort),
        ("lstsq", lambda result: result[0] if isinstance(result, tuple) else result),
        ("eigh", lambda result: result[0]),
        ("svd", lambda result: result[1]),
        ("qr", lambda result: np.abs(result[1])),
        ("solve_triangular", np.asarray),
    ],
)
def test_what_to_write_gives_the_same(name: str, choose: Callable[[Any], Any]) -> None:
    expression = INSTEAD["scipy.linalg"][name].split(", or ")[0].split("; ")[0]
    np.testing.assert_allclose(
        choose(eval(expression, GIVEN)), choose(CALLS[name](SYMMETRIC)), rtol=1e-9, atol=1e-12
    )


def test_what_to_write_for_equations_of_matrices() -> None:
    b = B.T @ B
    expression = INSTEAD["scipy.linalg"]["solve_sylvester"]
    np.testing.assert_allclose(
        eval(expression, {**GIVEN, "b": b}), CALLS["solve_sylvester"](SYMMETRIC), rtol=1e-9
    )


def test_functions_of_other_modules() -> None:
    for function, instead in (
        (scipy.special.logsumexp, "logaddexp"),
        (scipy.special.softmax, "sd.nn.softmax"),
        (sl.companion, "custom_gradient"),
    ):
        with pytest.raises(TracedConversionError, match=instead) as caught:
            sd.grad(lambda x, function=function: np.sum(function(x)))(A[0])
        assert function.__name__ in caught.value.message


def test_callbacks_of_scipy_are_the_users() -> None:
    """A user's function that SciPy calls is asked itself, and not SciPy."""
    from scipy.optimize import approx_fprime

    def slope(x: Any) -> Any:
        return approx_fprime(np.zeros(1), lambda _: float(x[0]))

    with pytest.raises(TracedConversionError, match="float"):
        sd.grad(lambda x: np.sum(slope(x)))(A[0])


NAMED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "scipy.stats.rv_continuous.logpdf": (lambda x: scipy.stats.norm.logpdf(x), "np.log(scale"),
    "scipy.stats.rv_continuous_frozen.pdf": (lambda x: scipy.stats.norm(x[0]).pdf(0.3), "scipy"),
    "scipy.optimize.nnls": (lambda x: scipy.optimize.nnls(np.eye(3), x)[0], "sd.custom_gradient"),
    "scipy.interpolate.CubicSpline.__init__": (
        lambda x: scipy.interpolate.CubicSpline(np.arange(3.0), x)(0.5),
        "np.interp",
    ),
    "scipy.fft.fft": (lambda x: scipy.fft.fft(x), "np.fft.fft(x)"),
    "scipy.spatial.distance.euclidean": (
        lambda x: scipy.spatial.distance.euclidean(x, np.ones(3)),
        "np.linalg.norm(x - y)",
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
