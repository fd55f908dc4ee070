"""What NumPy also takes: seldom used arguments, keys, orders and ways to write, each as NumPy's."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.array.conformity import Case, check_like_numpy, parameters

import steepest as sd
from steepest.errors import UnsupportedError

X = np.array([[0.7, -1.3, 2.1], [0.4, 1.9, -0.6]])
WEIGHTS = np.arange(1.0, 7.0)
SMALL_F: Any = "f"
TEXT: Any = "text"


def written(target: Any, key: Any, value: Any) -> Any:
    target[key] = value
    return target


def complex_of(real: Any, imag: Any) -> Any:
    result = np.zeros(np.shape(real), complex)
    result.real, result.imag = real, imag
    return result


def padded(vector: Any, widths: Any, axis: int, settings: dict[str, Any]) -> None:
    before, after = widths
    vector[:before] = settings.get("border", 2.0) * (1 + axis)
    vector[-after:] = vector[before] ** 2


def set_shape(array: Any, shape: Any) -> None:
    with warnings.catch_warnings():
        # Of NumPy 2.5, which still does it.
        warnings.filterwarnings("ignore", "Setting the shape", DeprecationWarning)
        array.shape = shape


def reshaped(array: Any, shape: Any) -> Any:
    set_shape(array, shape)
    return array


def reshaped_view(x: Any) -> Any:
    whole = x * x
    part = whole[1]
    set_shape(part, (3, 1))
    part[1] = x[0, 0] ** 3
    whole[0, 2] = x[1, 1]
    return part + 0.0, whole


def reused(x: Any) -> Any:
    """Write three results into one array without axes, and take a copy of each."""
    out = np.array(0.0)
    copies = [function(x, out=out).copy() for function in (np.std, np.var, np.mean)]
    return copies[0] + 10 * copies[1] + 100 * copies[2]


def rewritten(x: Any) -> Any:
    out = np.array(0.0 * x[0, 0])
    view = out[...]
    before = out.copy()
    view[...] = x[0, 1]
    middle = out.copy()
    out[...] = x[0, 0] * x[0, 1]
    return before + 2 * middle + 3 * view


CASES = {
    # Orders by small letters.
    "flatten f": Case(lambda x: x.flatten("f") * WEIGHTS, (X,)),
    "ravel f": Case(lambda x: np.ravel(x, SMALL_F) * WEIGHTS, (X,)),
    "reshape f": Case(lambda x: x.reshape(3, 2, order=SMALL_F), (X,)),
    "copy f": Case(lambda x: np.copy(x, SMALL_F), (X,)),
    "array f": Case(lambda x: np.array(x * x, order=SMALL_F), (X,)),
    # Sums of products.
    "einsum to a number": Case(lambda x: np.einsum("ij,ij", x, x, optimize=True), (X,)),
    "einsum of three": Case(
        lambda x: np.einsum("i,ij,j->", x[:, 0], x, x[0], optimize="greedy"), (X,)
    ),
    "einsum of lists of axes to a number": Case(
        lambda x: np.einsum(x, [0, 1], x, [0, 1], [], optimize=True), (X,)
    ),
    "einsum of one": Case(lambda x: np.einsum("ij->", x, optimize=True), (X,)),
    "einsum out": Case(
        lambda x: np.einsum("ij,ij->i", x, x, out=np.zeros(2), casting="unsafe"), (X,)
    ),
    "einsum out of other dtypes": Case(
        lambda x: np.einsum("ij,ij", x, x, out=np.zeros((), np.float32), casting="same_kind"),
        (X,),
        differentiable=False,
    ),
    "einsum in the dtype of out": Case(
        lambda x: np.einsum("ij,ij", x, x, out=np.zeros(())), (X.astype(np.float32),)
    ),
    "einsum out of integers": Case(
        lambda x: np.einsum("i,i", x[0], x[1], out=np.zeros((), int), casting="unsafe") + x,
        (3 * X,),
        differentiable=False,
    ),
    "einsum beyond the letters": Case(lambda x: np.einsum(x, [0, 52]), (X,), special=False),
    # Flat iterators.
    "flat sum": Case(lambda x: np.sum(x.flat) ** 2, (X,)),
    "flat in a ufunc": Case(lambda x: np.exp(x.flat), (X,)),
    "flat in lists": Case(lambda x: np.concatenate([x.flat, x.T.flat]), (X,)),
    "flat as an array": Case(lambda x: np.array(x.flat) * np.asarray(x.flat), (X,)),
    "flat by a list": Case(lambda x: x.flat[[1, 3, 3]], (X,)),
    "flat by a mask": Case(lambda x: x.flat[np.arange(6) % 2 == 0], (X,)),
    "flat by an index without axes": Case(lambda x: x.flat[np.array(4)] ** 2, (X,)),
    "flat by a tuple": Case(lambda x: x.flat[(2,)] ** 2, (X,)),
    "flat by nothing": Case(lambda x: x.flat[()], (X,)),
    "flat by a new axis": Case(lambda x: x.flat[None], (X,)),
    "flat compared": Case(lambda x: (x.flat == x.flat) * (x.flat > 0) * x.ravel(), (X,)),
    "flat in operators": Case(lambda x: x.ravel() * x.flat + x[0, 0], (X,)),
    "flat written by a list": Case(lambda x: written((x * x).flat, [0, 4], x[0, :2]).base, (X,)),
    "flat written by a mask": Case(
        lambda x: written((x * x).flat, np.arange(6) < 2, x[0, :2]).base, (X,)
    ),
    # Shapes that are assigned.
    "shape": Case(lambda x: reshaped(x * x, (3, 2)), (X,)),
    "shape of one axis": Case(lambda x: reshaped(x * x, -1) * WEIGHTS, (X,)),
    "shape of a view": Case(reshaped_view, (X,)),
    "shape that needs a copy": Case(
        lambda x: reshaped((x * x)[:, :2], -1), (X,), needs_values=True, special=False
    ),
    # Arrays without axes that are written into more than once.
    "out used three times": Case(reused, (X,)),
    "a view without axes": Case(rewritten, (X,)),
    # Grids of slices.
    "r_ of a slice": Case(lambda x: np.r_[0 : x[0, 0] : 3j], (X,), special=False),
    "c_ of slices": Case(lambda x: np.c_[0 : x[0, 0] : 3j, x[0, 1] : 2 : 3j], (X,), special=False),
    "r_ of a step": Case(
        lambda x: np.r_[x[0, 0] : 2 : 0.5, x[0]], (X,), needs_values=True, special=False
    ),
    "mgrid": Case(lambda x: np.mgrid[0 : x[0, 0] : 3j, x[0, 1] : 2 : 4j], (X,), special=False),
    "mgrid by steps": Case(
        lambda x: np.mgrid[x[0, 1] : 2, 0 : 3 : x[0, 0]], (X,), needs_values=True, special=False
    ),
    "mgrid of one": Case(lambda x: np.mgrid[0 : x[0, 0] : 3j], (X,), special=False),
    "mgrid of one in a tuple": Case(lambda x: np.mgrid[0 : x[0, 0] : 3j,], (X,), special=False),
    "ogrid": Case(lambda x: np.ogrid[0 : x[0, 0] : 3j, x[0, 1] : 2 : 4j], (X,), special=False),
    "ogrid of one": Case(
        lambda x: np.ogrid[: x[0, 2] : 0.5], (X,), needs_values=True, special=False
    ),
    "ix_": Case(lambda x: np.ix_(x[0], x[1] ** 2), (X,)),
    "poly1d as an array": Case(lambda x: np.asarray(np.poly1d(x[0])) ** 2, (X,), needs_values=True),
    # Functions that are called.
    "pad by a function": Case(lambda x: np.pad(x, ((1, 2), (2, 1)), padded), (X,)),
    "pad by a function of settings": Case(
        lambda x: np.pad(x, 1, padded, border=x[0, 0]), (X,), special=False
    ),
    "apply_along_axis of tuples": Case(
        lambda x: np.apply_along_axis(lambda row: (row[0] * row[1], row[2], 1), 1, x), (X,)
    ),
    "apply_along_axis of a list": Case(
        lambda x: np.apply_along_axis(np.prod, 0, [x[0], x[1]]), (X,)
    ),
    # Steps, and questions.
    "none": Case(lambda x: (x != None) * x, (X,)),  # noqa: E711
    "equal to none": Case(lambda x: (x == None) + x, (X,)),  # noqa: E711
    "equal to text": Case(
        lambda x: np.where(np.asarray(x == "a"), 0.0, x), (X,), needs_values=True
    ),
    "partition at no place": Case(
        lambda x: (
            np.partition(x, np.array([], int)),
            np.argpartition(x, np.array([], int), axis=0),
        ),
        (X,),
    ),
    "searchsorted by a wrong order": Case(
        lambda x: np.searchsorted(x[0], 0.0, sorter=[-1, 0, 1]), (X,), special=False
    ),
    "delete by floats": Case(lambda x: np.delete(x, x[0] * 0), (X,), special=False),
    "insert by floats": Case(lambda x: np.insert(x, x[0] * 0, 1), (X,), special=False),
    "quantile with weights": Case(
        lambda x: np.quantile(x, 0.4, weights=np.ones_like(x), method="inverted_cdf"), (X,)
    ),
    "quantile with traced weights": Case(
        lambda x: np.quantile(WEIGHTS, 0.4, weights=x.ravel() ** 2, method="inverted_cdf") + x,
        (X,),
        special=False,
    ),
    "pad by the mean of less than nothing": Case(
        lambda x: np.pad(x, 1, "mean", stat_length=-1), (X,), special=False
    ),
    "reduceat of an array of indices": Case(
        lambda x: np.add.reduceat(x, np.array([0, 2]), axis=1), (X,)
    ),
    "reduceat of small integers": Case(
        lambda x: np.maximum.reduceat(x, np.array([0, 2, 1], np.uint8), axis=1), (X,)
    ),
    # Keyword arguments that are about memory, and methods with out.
    "frexp": Case(lambda x: np.frexp(x, subok=True)[0], (X,)),
    "modf": Case(lambda x: np.modf(x, order="C")[0], (X,)),
    "conj out": Case(lambda x: (x * x).conj(np.zeros((2, 3))), (X,)),
    "clip out": Case(lambda x: x.clip(-0.5, 1.0, np.zeros((2, 3))), (X,)),
    "clip out of integers": Case(
        lambda x: x.clip(0, 1, np.zeros((2, 3), int), casting="unsafe") + x, (X,), special=False
    ),
    "view as an ndarray": Case(lambda x: (x * x).view(type=np.ndarray), (X,)),
    "bytes of plain numbers": Case(
        lambda x: np.array([1.0, 2.0]).view(np.uint8)[6:8] + x[:, 0], (X,)
    ),
    # Results that do not fit what is given for them.
    "dot into single precision": Case(
        lambda x: np.dot(x, x.T, np.zeros((2, 2), np.float32)), (X,), special=False
    ),
    "concatenate out": Case(
        lambda x: np.concatenate((x, x), out=np.zeros((1, 4, 3))), (X,), special=False
    ),
    "take out": Case(lambda x: np.take(x, [0, 1], out=np.zeros((3, 2))), (X,), special=False),
    "round out": Case(lambda x: np.round(x, 1, np.zeros((3, 2, 3))), (X,), special=False),
    "clip into more axes": Case(lambda x: np.clip(x, -1, 1, np.zeros((2, 2, 3))), (X,)),
    "reduce into text": Case(lambda x: np.add.reduce(x, 0, None, TEXT), (X,), special=False),
    # Interpolation of complex numbers, whose parts are interpolated each by itself.
    "interp": Case(
        lambda x: np.interp(x, [-1.5, 0.0, 2.5], complex_of(x[0], x[1] ** 2)), (X,), special=False
    ),
    "interp of infinities": Case(
        lambda x: np.interp(x[0], [-1.5, 0.0, 2.5], complex_of([0.0, np.inf, 1.0], WEIGHTS[:3])),
        (X,),
        differentiable=False,
    ),
    "interp from infinity": Case(
        lambda x: np.interp(0.5, np.array([-np.inf, 1.0]) + 0 * x[0, 0], WEIGHTS[:2]),
        (X,),
        differentiable=False,
        special=False,
    ),
    "interp between infinities": Case(
        lambda x: np.interp(0.5, np.array([-np.inf, np.inf]) + 0 * x[0, 0], WEIGHTS[:2]),
        (X,),
        differentiable=False,
        special=False,
    ),
    "interp after NaN": Case(
        lambda x: np.interp(0.5, np.array([np.nan, 1.0]) + 0 * x[0, 0], WEIGHTS[:2]),
        (X,),
        differentiable=False,
        special=False,
    ),
}


def _is_refused(case: Case) -> bool:
    try:
        case.call(*case.args)
    except (AttributeError, LookupError, TypeError, ValueError):
        return True
    return False


@parameters(CASES)
def test_it_gives_what_numpy_gives(case: Case) -> None:
    check_like_numpy(case.call, *case.args, needs_values=case.needs_values)
    if not _is_refused(case):
        case.check_values()
        case.check_special_values()


@parameters({name: case for name, case in CASES.items() if not _is_refused(case)})
def test_its_derivatives_are_right(case: Case) -> None:
    case.check_derivatives()


BYTES: dict[str, Callable[[Any, Any], Any]] = {
    "into the array": lambda array, seen: array.fill(0.0),
    "into its bytes": lambda array, seen: operator.setitem(seen, 0, 1),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_of_plain_numbers_are_not_written(name: str) -> None:
    def loss(x: Any) -> Any:
        array = np.array([1.0, 2.0])
        seen = array.view(np.uint8)
        BYTES[name](array, seen)
        return np.sum(x * array) + np.sum(seen)

    with pytest.raises(UnsupportedError, match="had made a view"):
        sd.grad(loss)(np.ones(2))


def test_plain_numbers_are_not_seen_as_a_matrix() -> None:
    # Nobody would know of what is written into it.
    with pytest.raises(UnsupportedError, match="as matrix, a subclass of ndarray"):
        sd.grad(lambda x: np.sum(x * np.ones(2).view(np.matrix)))(np.ones(2))


def test_a_written_array_without_axes_stays_one_in_a_compiled_gradient() -> None:
    for function in (reused, rewritten):
        gradient = sd.grad(lambda x, function=function: function(x) * 1.0)
        np.testing.assert_allclose(sd.compile(gradient)(X), gradient(X), rtol=1e-12)


@pytest.mark.parametrize("write", [np.save, np.savetxt, np.savez, np.savez_compressed])
def test_files_are_written_of_plain_values(write: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / ("x.npz" if "savez" in write.__name__ else "x.npy")

    def loss(x: Any) -> Any:
        write(path, x)
        return np.sum(x**2)

    x = np.array([0.5, 1.5])
    np.testing.assert_array_equal(sd.grad(loss)(x), 2 * x)
    found: Any = np.loadtxt(path) if write is np.savetxt else np.load(path)
    np.testing.assert_array_equal(found["arr_0"] if "savez" in write.__name__ else found, x)
