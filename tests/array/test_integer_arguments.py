"""Positions, lengths and axes that the function makes itself, with NumPy, as arrays of integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import steepest as sd

untyped: Any = np
"""NumPy, which takes more than its annotations say."""

X = np.array([[0.31, 0.82, -0.53], [1.14, -0.25, 0.66]])

CALLS: dict[str, Callable[[Any], Any]] = {
    "add.reduceat": lambda x: np.add.reduceat(x.ravel(), np.arange(0, 6, 2)),
    "maximum.reduceat": lambda x: np.maximum.reduceat(x.ravel(), np.array([0, 3, 1])),
    "reduceat by keyword": lambda x: np.add.reduceat(x, indices=np.array([0, 2]), axis=1),
    "reduceat, a list": lambda x: untyped.add.reduceat(x.ravel(), [np.argmax(x) * 0, 2]),
    "bincount": lambda x: np.bincount(np.array([0, 1, 1, 2, 0, 1]), x.ravel()),
    "repeat": lambda x: np.repeat(x, np.array([1, 2, 3]), axis=1),
    "split": lambda x: np.split(x, np.array([1, 2]), axis=1)[1],
    "split, one number": lambda x: np.split(x, np.array(3), axis=1)[2],
    "split, a list": lambda x: np.split(x.ravel(), [np.array(2), 4])[1],
    "array_split": lambda x: np.array_split(x, np.cumsum([1, 1]), axis=1)[2],
    "hsplit": lambda x: np.hsplit(x, np.array([1]))[1],
    "vsplit": lambda x: np.vsplit(x, np.array([1]))[0],
    "take": lambda x: np.take(x, np.array([[1, 2]]), axis=1),
    "take_along_axis": lambda x: np.take_along_axis(x, np.argsort(x, axis=1), axis=1),
    "insert": lambda x: np.insert(x, np.array([1, 2]), 5.0, axis=1),
    "delete": lambda x: np.delete(x, np.array([0, 2]), axis=1),
    "unravel_index": lambda x: x[np.unravel_index(np.array([1, 3]), np.array([2, 3]))],
    "ravel_multi_index": lambda x: x.ravel()[np.ravel_multi_index(np.eye(2, dtype=int), (2, 3))],
    "add.at": lambda x: _changed(np.add.at, x, (np.zeros(2, int), np.ones(2, int)), 2.0),
    "put": lambda x: _changed(np.put, x, np.array([1, 2]), np.array([1.0, 2.0])),
    "ix_": lambda x: x[np.ix_(np.array([0, 1]), np.array([2, 0]))],
    "tile": lambda x: np.tile(x, np.array([2, 1])),
    "roll": lambda x: np.roll(x, np.array([1, 2]), axis=(0, 1)),
    "reshape": lambda x: np.reshape(x, np.array([3, 2])),
    "reshape to a product": lambda x: x.reshape(np.prod(np.array([2, 3]))),
    "pad": lambda x: np.pad(x, np.array([[1, 1], [0, 2]])),
    "lexsort": lambda x: x[:, np.lexsort((x[0], np.array([1, 1, 0])))],
    "choose": lambda x: np.choose(np.array([0, 1, 0]), x),
    "transpose": lambda x: np.transpose(x, np.array([1, 0])),
    "moveaxis": lambda x: np.moveaxis(x, np.array(0), np.array(1)),
    "an axis": lambda x: np.sum(x, axis=np.argmax(np.array([1, 2]))),
    "partition": lambda x: np.partition(x, np.array([0, 1]), axis=1),
    "a slice": lambda x: x[:, : np.array(2)],
    "range": lambda x: [x[0, i] for i in range(np.array(3))],
    "zeros": lambda x: np.zeros(np.array([2, 3])) + x,
    "full": lambda x: np.full(np.array([2, 3]), x[0, 0]),
    "broadcast_to": lambda x: np.broadcast_to(x, np.array([4, 2, 3])),
    "linspace": lambda x: np.linspace(0, x, np.array(3)),
    "tensordot": lambda x: untyped.tensordot(x, x, axes=np.array([[0], [0]])),
    "matrix_power": lambda x: np.linalg.matrix_power(x[:, :2], np.array(2)),
    "fft": lambda x: untyped.fft.fft(x, np.array(4)).real,
    "resize": lambda x: np.resize(x, np.array([3, 3])),
    "a key of a dict": lambda x: [{0: 1.0, 1: 2.0}[k] * x[k] for k in untyped.arange(2)],
    "a list of indices": lambda x: x[:, list(np.array([0, 2]))],
}


def _changed(function: Callable[..., Any], x: Any, *args: Any) -> Any:
    y = np.copy(x)
    function(y, *args)
    return y


@pytest.mark.parametrize("name", CALLS)
def test_they_are_as_good_as_plain_ones(name: str) -> None:
    function = CALLS[name]

    def loss(x: Any) -> Any:
        result = np.array(function(x))
        return np.sum(result * np.cos(np.arange(result.size)).reshape(result.shape))

    value, gradient = sd.value_and_grad(loss)(X)
    assert value == loss(X)
    step = 1e-6
    expected = [
        (loss(X + step * each) - loss(X - step * each)) / (2 * step)
        for each in np.eye(X.size).reshape(-1, *X.shape)
    ]
    np.testing.assert_allclose(gradient.ravel(), expected, atol=1e-8)
