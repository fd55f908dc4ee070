"""Functions that make views in NumPy: each write through one is seen by its base, and back.

Every function of the table is called in small programs that write, and each program must have
NumPy's value and its derivative, or, where the table allows it, end with an error.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided, sliding_window_view

import steepest as sd
from steepest.errors import TracedConversionError, UnsupportedError

Call = Callable[[Any], Any]
X = np.array([0.7, -1.3, 0.4])
BASE = np.arange(9.0).reshape(3, 3) + 0.5
WEIGHTS = np.array([1.0, 10.0, 100.0])

VIEWS: dict[str, Call] = {
    "[...]": lambda y: y[...],
    ".T": lambda y: y.T,
    ".mT": lambda y: y.mT,
    ".diagonal": lambda y: y.diagonal(),
    ".ravel": lambda y: y.ravel(),
    ".real": lambda y: y.real,
    ".imag": lambda y: y.imag,
    ".view": lambda y: y.view(),
    "array, no copy": lambda y: np.array(y, copy=None, ndmin=3),
    "array, copy": lambda y: np.array(y),
    "array_split": lambda y: np.array_split(y, 2)[1],
    "asanyarray": lambda y: np.asanyarray(y),
    "asarray": lambda y: np.asarray(y),
    "ascontiguousarray": lambda y: np.ascontiguousarray(y),
    "ascontiguousarray of columns": lambda y: np.ascontiguousarray(y.T),
    "asfortranarray": lambda y: np.asfortranarray(y),
    "astype": lambda y: y.astype(float, copy=False),
    "atleast_1d": lambda y: np.atleast_1d(y),
    "atleast_2d": lambda y: np.atleast_2d(y[0], y[1])[1],
    "atleast_3d": lambda y: np.atleast_3d(y),
    "broadcast_to": lambda y: np.broadcast_to(y, (2, 3, 3)),
    "diag": lambda y: np.diag(y),
    "diagonal": lambda y: np.diagonal(y, 1),
    "dsplit": lambda y: np.dsplit(y[None], 3)[1],
    "einsum ...j->j...": lambda y: np.einsum("...j->j...", y),
    "einsum dtype": lambda y: np.einsum("ij->ji", y, dtype=np.float32, casting="same_kind"),
    "einsum ii->i": lambda y: np.einsum("ii->i", y),
    "einsum ij": lambda y: np.einsum("ij", y),
    "einsum ij->i": lambda y: np.einsum("ij->i", y),
    "einsum ij->ji": lambda y: np.einsum("ij->ji", y),
    "einsum iijj->ji": lambda y: np.einsum("iijj->ji", np.reshape(y, (1, 1, 3, 3))),
    "einsum ji": lambda y: np.einsum("ji", y),
    "einsum of lists": lambda y: np.einsum(y, [0, 0], [0]),
    "einsum optimized": lambda y: np.einsum("ii->i", y, optimize=True),
    "expand_dims": lambda y: np.expand_dims(y, 0),
    "flip": lambda y: np.flip(y, 0),
    "fliplr": lambda y: np.fliplr(y),
    "flipud": lambda y: np.flipud(y),
    "hsplit": lambda y: np.hsplit(y, 3)[2],
    "linalg.diagonal": lambda y: np.linalg.diagonal(y),
    "linalg.matrix_transpose": lambda y: np.linalg.matrix_transpose(y),
    "moveaxis": lambda y: np.moveaxis(y[None], 0, -1),
    "nan_to_num": lambda y: np.nan_to_num(y, copy=False),
    "nan_to_num, copy": lambda y: np.nan_to_num(y),
    "np.imag": lambda y: np.imag(y),
    "np.ravel in the order of F": lambda y: np.ravel(y.T, order="F"),
    "np.real": lambda y: np.real(y),
    "permute_dims": lambda y: np.permute_dims(y, (1, 0)),
    "real_if_close": lambda y: np.real_if_close(y),
    "require": lambda y: np.require(y, float, ["C"]),
    "require F": lambda y: np.require(y, float, "F"),
    "require O of a part": lambda y: np.require(y[1:], None, ["O", "W"]),
    "require O, W": lambda y: np.require(y, None, ["O", "W"]),
    "require W of a diagonal": lambda y: np.require(np.diagonal(y), None, ["W"]),
    "reshape": lambda y: np.reshape(y, (3, 1, 3)),
    "reshape in the order of F": lambda y: np.reshape(y.T, 9, order="F"),
    "reshape of columns": lambda y: np.reshape(y.T, 9),
    "rollaxis": lambda y: np.rollaxis(y, 1),
    "rot90": lambda y: np.rot90(y),
    "rot90 twice": lambda y: np.rot90(y, 2),
    "split": lambda y: np.split(y, 3)[1],
    "squeeze": lambda y: np.squeeze(y[:, :1]),
    "swapaxes": lambda y: np.swapaxes(y, 0, 1),
    "transpose": lambda y: np.transpose(y),
    "vsplit": lambda y: np.vsplit(y, 3)[2],
    # Copies, also where nothing changes.
    "compress": lambda y: np.compress([True] * 3, y, axis=0),
    "delete": lambda y: np.delete(y, slice(0, 0), 0),
    "flatten": lambda y: y.flatten(),
    "pad": lambda y: np.pad(y, 0),
    "positive": lambda y: +y,
    "repeat": lambda y: np.repeat(y, 1),
    "roll": lambda y: np.roll(y, 0),
    "sum over no axis": lambda y: np.sum(y, axis=()),
    "tile": lambda y: np.tile(y, 1),
    "unstack": lambda y: np.unstack(y)[1],
}

MAY_BE_REFUSED: dict[str, Call] = {
    "as_strided": lambda y: as_strided(y, (3,), (32,)),
    "asmatrix": lambda y: np.asmatrix(y),
    "linalg.matrix_power": lambda y: np.linalg.matrix_power(y, 1),
    "broadcast_arrays": lambda y: np.broadcast_arrays(y, y[0])[1],
    "ma.array": lambda y: np.ma.array(y, copy=False).data,
    "meshgrid": lambda y: np.meshgrid(y[0], y[1], copy=False)[0],
    "polyder": lambda y: np.polyder(y[0], 0),
    "polyint": lambda y: np.polyint(y[0], 0),
    "ravel in the order of memory": lambda y: np.ravel(y.T, order="K"),
    "sliding_window_view": lambda y: sliding_window_view(y, 2, axis=0),
    "sliding_window_view, writeable": lambda y: sliding_window_view(y, (2, 2), writeable=True),
}


def write_through(y: Any, view: Any, x: Any) -> None:
    view[...] = x[1] * 2


def write_part(y: Any, view: Any, x: Any) -> None:
    view[-1:] = x[1] * 2


def write_below(y: Any, view: Any, x: Any) -> None:
    y[1] = x[2] * 3
    y[0, 0] = -x[0]
    y[2, 2] *= x[1]


def update_through(y: Any, view: Any, x: Any) -> None:
    view *= x[0]


WRITES = (write_through, write_part, write_below, update_through)


def coefficients(shape: tuple[int, ...]) -> Any:
    return np.arange(float(np.prod(shape))).reshape(shape) * 0.37 - 0.8


def program(make: Call, write: Callable[..., None], of_arguments: bool) -> Call:
    def loss(x: Any) -> Any:
        z = x if of_arguments else np.array(X)
        y = np.outer(z, z) + np.array(BASE) * z[0]
        view = make(y)
        write(y, view, x)
        seen = np.sum(np.sin(view) * coefficients(view.shape))
        return np.sum(y**2 * coefficients(y.shape)) + seen

    return loss


def differences(loss: Call) -> Any:
    step = 1e-6 * np.eye(len(X))
    return np.array([(loss(X + each) - loss(X - each)) / 2e-6 for each in step])


def check(loss: Call) -> None:
    value, gradient = sd.value_and_grad(loss)(X)
    np.testing.assert_allclose(value, loss(X), rtol=1e-12)
    np.testing.assert_allclose(gradient, differences(loss), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("of_arguments", [True, False], ids=["traced", "constant"])
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
@pytest.mark.parametrize("name", VIEWS)
def test_views_are_numpys(name: str, write: Callable[..., None], of_arguments: bool) -> None:
    loss = program(VIEWS[name], write, of_arguments)
    try:
        loss(X)
    except ValueError:
        # What NumPy shows is read-only.
        with pytest.raises((ValueError, UnsupportedError)):
            sd.grad(loss)(X)
    else:
        check(loss)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("of_arguments", [True, False], ids=["traced", "constant"])
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
@pytest.mark.parametrize("name", MAY_BE_REFUSED)
def test_what_is_not_followed_is_right_or_refused(
    name: str, write: Callable[..., None], of_arguments: bool
) -> None:
    loss = program(MAY_BE_REFUSED[name], write, of_arguments)
    try:
        sd.grad(loss)(X)
    except (UnsupportedError, TracedConversionError, ValueError):
        return
    check(loss)


def test_sliding_windows_that_nothing_writes_into() -> None:
    def loss(x: Any) -> Any:
        y = np.outer(x, x)
        windows = sliding_window_view(y, (2, 3), axis=(0, 1))
        along = sliding_window_view(y, 2, axis=-1) ** 2
        return np.sum(np.sin(windows) * coefficients(windows.shape)) + np.sum(along)

    check(loss)


def test_the_diagonal_of_a_matrix_made_inside() -> None:
    def loss(x: Any) -> Any:
        covariance = np.zeros((3, 3))
        np.einsum("ii->i", covariance)[...] = np.exp(x)
        covariance[0, 1] = x[0] * x[1]
        return np.sum(np.linalg.inv(covariance) * BASE)

    check(loss)


def test_an_ndarray_that_is_gone_forbids_no_write() -> None:
    def loss(x: Any) -> Any:
        y = np.zeros(3)
        assert np.ma.array(y).sum() == 0
        y[0] = x[0]
        return np.sum(y)

    np.testing.assert_array_equal(sd.grad(loss)(X), [1, 0, 0])


# Rows in another order


def shuffled(shuffle: Call, columns: int | None) -> Call:
    def loss(x: Any) -> Any:
        y = x * 1.0 if columns is None else np.outer(x, np.arange(1.0, columns + 1))
        shuffle(y)
        return np.sum((y.T * WEIGHTS) ** 2)

    return loss


SHUFFLES: dict[str, Call] = {
    "Generator": lambda y: np.random.default_rng(0).shuffle(y),
    "RandomState": lambda y: np.random.RandomState(0).shuffle(y),
    "random": lambda y: random.Random(0).shuffle(y),
}


@pytest.mark.filterwarnings("ignore:you are shuffling")
@pytest.mark.parametrize("name", SHUFFLES)
def test_shuffled_entries(name: str) -> None:
    check(shuffled(SHUFFLES[name], None))


@pytest.mark.filterwarnings("ignore:you are shuffling")
@pytest.mark.parametrize(
    "rng", [np.random.default_rng(0), np.random.RandomState(0)], ids=["new", "old"]
)
def test_rows_that_compiled_code_shuffles_are_refused(rng: Any) -> None:
    with pytest.raises(UnsupportedError, match="permutation") as caught:
        sd.grad(shuffled(lambda y: rng.shuffle(y), 2))(X)
    assert "rng.shuffle(y)" in str(caught.value)


@pytest.mark.parametrize("name", SHUFFLES)
def test_rows_that_are_shuffled_are_numpys(name: str) -> None:
    check(shuffled(SHUFFLES[name], 2))


def test_rows_written_by_a_method() -> None:
    def loss(x: Any) -> Any:
        y = np.outer(x, x)
        y.__setitem__(0, y[1])
        return np.sum(y * BASE)

    check(loss)


def test_views_of_views_are_as_many_as_one_likes() -> None:
    def loss(x: Any) -> Any:
        y = np.copy(x)
        view = y
        for _ in range(3001):
            view = view[::-1]
        view[0] = 3 * x[0]
        return np.sum(y**2) + view[2]

    np.testing.assert_allclose(sd.grad(loss)(X), [18 * X[0] + 2 * X[0] + 1, 2 * X[1], 0])


# ndarrays

BUFFER = np.zeros(3)
MATRIX = np.zeros((2, 2))


@pytest.mark.parametrize(
    "write",
    [
        lambda x: np.copyto(BUFFER, x),
        lambda x: np.put(BUFFER, [0], x[0]),
        lambda x: np.place(BUFFER, BUFFER == 0, x),
        lambda x: np.putmask(BUFFER, BUFFER == 0, x),
        lambda x: np.put_along_axis(BUFFER, np.array([0]), x[:1], 0),
        lambda x: np.fill_diagonal(MATRIX, x[0]),
        lambda x: np.fill_diagonal(MATRIX, [x[0], x[1]]),
        lambda x: np.copyto(BUFFER, [x[0]] * 3),
        lambda x: np.add.at(BUFFER, [0], x[0]),
        lambda x: np.sin(x, out=BUFFER),
        lambda x: np.add(x, 1, out=BUFFER, where=x > 0),
        lambda x: np.cumsum(x, out=BUFFER),
        lambda x: np.take(x, [0, 1, 2], out=BUFFER),
        lambda x: BUFFER.fill(x[0]),
        lambda x: BUFFER.put([0], x[0]),
        lambda x: BUFFER.real.__setitem__(0, x[0]),
        lambda x: BUFFER.flat.__setitem__(0, x[0]),
        lambda x: BUFFER.flat.__setitem__(slice(None), x),
        lambda x: BUFFER.__setitem__(slice(0, 2), [x[0], x[1]]),
        lambda x: BUFFER.__setitem__(0, x[0]),
        lambda x: BUFFER.__iadd__(x),
    ],
)
def test_traced_values_stay_out_of_ndarrays(write: Call) -> None:
    with pytest.raises((UnsupportedError, TracedConversionError)) as caught:
        sd.grad(lambda x: (write(x), np.sum(BUFFER) + np.sum(x))[1])(X)
    assert "Instead:" in str(caught.value)
    assert "lambda x: " in str(caught.value), "the user's line"
    assert not BUFFER.any()
    assert not MATRIX.any()


@pytest.mark.parametrize("make", ["x * 1", "np.zeros(6)", "np.arange(6.0)"])
@pytest.mark.parametrize(
    "derived",
    [
        "y.copy()", "np.array(y)", "y.flatten()", "y.ravel()", "y.astype(float)", "y[1:]",
        "y.reshape(2, 3).T", "np.reshape(y, (2, 3), copy=True)", "y.reshape(2, 3, copy=False)",
        "np.broadcast_to(y, (2, 6))", "y.real", "y[[0, 1]]", "y[:0]", "y + 0",
    ],
)  # fmt: skip
def test_who_shares_memory(make: str, derived: str) -> None:
    kept: list[Any] = []

    def loss(x: Any) -> Any:
        y = eval(make, {"np": np, "x": x})
        other = eval(derived, {"np": np, "y": y})
        kept.append((np.shares_memory(y, other), np.may_share_memory(y, other)))
        kept.append(np.shares_memory(other, y[1:2]))
        return np.sum(x)

    loss(np.arange(6.0))
    sd.grad(loss)(np.arange(6.0))
    assert kept[:2] == kept[2:]


def test_a_reshape_that_would_copy_is_refused_where_numpy_refuses_it() -> None:
    for call in (
        lambda x: x.reshape(2, 3).T.reshape(6, copy=False),
        lambda x: np.reshape(x, (2, 3), order="F", copy=False).reshape(6, copy=False),
    ):
        with pytest.raises(ValueError, match="avoid creating a copy"):
            call(np.arange(6.0))
        with pytest.raises(ValueError, match="avoid creating a copy"):
            sd.grad(lambda x, f=call: np.sum(f(x)))(np.arange(6.0))


STALE: dict[str, Callable[[Any, Any], Any]] = {
    "out": lambda x, view: np.exp(view, out=view),
    "divmod": lambda x, view: np.divmod(7 * x[:3], view)[1],
    "initial": lambda x, view: np.sum(np.ones(3), initial=view[1]),
    "type": lambda x, view: view**2 if type(view) is np.ndarray else 0 * view,
    "hasattr": lambda x, view: view**2 if hasattr(view, "shape") else 0 * view,
    "operator": lambda x, view: x[:3] * view,
    "reflected": lambda x, view: np.ones(3) * view,
    "in place": lambda x, view: operator.iadd(view, view),
    "list": lambda x, view: np.array([view[0], view[2]]),
    "joined": lambda x, view: np.concatenate([view, x]),
    "product": lambda x, view: np.dot(view, x[:3]),
    "average": lambda x, view: np.average(x[:3], weights=view),
}


@pytest.mark.parametrize("name", STALE)
def test_a_view_that_is_first_looked_at_after_a_write(name: str) -> None:
    def function(x: Any) -> Any:
        whole = np.zeros(6)
        whole[:] = x
        view = whole[1:4]
        whole[2] = x[0] ** 2
        return np.sum(np.sin(STALE[name](x, view))) + np.sum(whole)

    x = np.array([0.53, 0.71, 0.94, 1.08, 1.32, 1.47])
    steps = 1e-6 * np.eye(6)
    expected = [(function(x + step) - function(x - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(sd.grad(function)(x), expected, rtol=1e-6, atol=1e-7)
    tangent = sd.jvp(function, (x,), (np.ones(6),))[1]
    np.testing.assert_allclose(tangent, np.sum(expected), rtol=1e-6, atol=1e-6)
