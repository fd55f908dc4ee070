"""What is refused: the error quotes the user's line, and what it says to write instead works."""

from __future__ import annotations

import builtins
import copy
import json
import pickle
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.sparse
import scipy.sparse.linalg
import scipy.special

import steepest as sd
from steepest.errors import SteepestError

X = np.array([0.4, 1.3, 2.2])
CAPTURED = np.arange(3.0)
GENERATOR = np.random.default_rng(0)
MASK = np.array([True, False, True])
MATRIX = scipy.sparse.csc_matrix(np.diag([1.0, 2.0, 4.0]))
KIND = np.float64
RECORDS: Any = [("a", float), ("b", float)]


class Idiom(NamedTuple):
    """A line that is refused, a part of what the error says, and that written out."""

    refused: Callable[[Any], Any]
    says: str
    instead: Callable[[Any], Any]
    gradient: Any


def rows_of_an_ndarray(x: Any) -> Any:
    CAPTURED[0] = x[0]
    return CAPTURED


def rows_of_a_copy(x: Any) -> Any:
    out = np.array(CAPTURED)
    out[0] = x[0]
    return out


def added_to_an_ndarray(x: Any) -> Any:
    totals = [CAPTURED * 2]
    for each in (x, x):
        totals[0] += each
    return totals[0]


def added_anew(x: Any) -> Any:
    total = CAPTURED * 2
    for each in (x, x):
        total = total + each
    return total


def records(x: Any) -> Any:
    rows = np.zeros(3, RECORDS)
    rows["a"] = x
    return rows["a"]


def columns(x: Any) -> Any:
    rows = {"a": np.zeros(3), "b": np.zeros(3)}
    rows["a"][:] = x
    return rows["a"]


def objects(x: Any) -> Any:
    rows = np.empty(2, object)
    rows[:] = x[0], x[1]
    return rows[0] + rows[1]


def objects_one_by_one(x: Any) -> Any:
    rows = np.empty(2, object)
    rows[0] = x[0]
    rows[1] = x[1]
    return rows[0] + rows[1]


def squared(x: Any) -> Any:
    return x * x


def resized(x: Any) -> Any:
    y = np.copy(x)
    y.resize((2, 3))
    return y


def whole_numbers(c: Any) -> Any:
    return scipy.optimize.milp(c, integrality=1, bounds=(1, 3)).fun


@sd.custom_gradient
def with_gradient(c: Any) -> Any:
    found = scipy.optimize.milp(c, integrality=1, bounds=(1, 3))
    return found.fun, lambda g: g * found.x


SINE = np.cos(X)
ONES = np.ones(3)

IDIOMS = {
    "float": Idiom(
        lambda x: builtins.float(x[0]) * x[1],
        r"sd\.stop_gradient\(x\)",
        lambda x: float(sd.stop_gradient(x[0])) * x[1],
        [0, X[0], 0],
    ),
    "complex": Idiom(
        lambda x: builtins.complex(x[0]).real, r"x \+ 0j", lambda x: (x[0] + 0j).real, [1, 0, 0]
    ),
    "bytes": Idiom(
        lambda x: x * len(x.tobytes()),
        "stop_gradient",
        lambda x: x * len(sd.stop_gradient(x).tobytes()),
        24 * ONES,
    ),
    "pickle": Idiom(
        lambda x: x * len(pickle.loads(pickle.dumps(x))),
        "stop_gradient",
        lambda x: x * len(pickle.loads(pickle.dumps(sd.stop_gradient(x)))),
        3 * ONES,
    ),
    "view of bytes": Idiom(
        lambda x: x.view(np.int64), r"x\.astype\(dtype\)", lambda x: x.astype(np.float32), ONES
    ),
    "ufunc of a list": Idiom(
        lambda x: np.exp([x[0], x[1]]),
        "np.array",
        lambda x: np.exp(np.array([x[0], x[1]])),
        [*np.exp(X[:2]), 0],
    ),
    "type of numbers": Idiom(
        lambda x: KIND(x[0]),
        r"x\.astype\(kind\)",
        lambda x: x[0].astype(np.float64),
        [1, 0, 0],
    ),
    "write into an ndarray": Idiom(
        rows_of_an_ndarray, r"np\.array\(captured\)", rows_of_a_copy, [1, 0, 0]
    ),
    "add to an ndarray": Idiom(added_to_an_ndarray, r"total = total \+ x", added_anew, 2 * ONES),
    "records": Idiom(records, "a dict or a dataclass of arrays", columns, ONES),
    "slice of objects": Idiom(objects, "written entry by entry", objects_one_by_one, [1, 1, 0]),
    "array of objects": Idiom(
        lambda x: np.sum(np.array([x[0], x[1]], dtype=object)),
        "a list",
        lambda x: sum([x[0], x[1]]),
        [1, 1, 0],
    ),
    "frompyfunc": Idiom(
        lambda x: np.frompyfunc(squared, 1, 1)(x),
        "the function itself",
        lambda x: squared(x),
        2 * X,
    ),
    "matrix": Idiom(
        lambda x: np.asmatrix(x) * CAPTURED[:, None],
        "the array itself",
        lambda x: x @ CAPTURED,
        CAPTURED,
    ),
    "masked array": Idiom(
        lambda x: np.ma.array(x, mask=~MASK).sum(),
        r"np\.where\(mask, x, 0\)",
        lambda x: np.where(MASK, x, 0).sum(),
        [1, 0, 1],
    ),
    "captured masked array": Idiom(
        lambda x: x * np.ma.array(CAPTURED, mask=~MASK),
        r"masked\.filled\(value\)",
        lambda x: x * np.ma.array(CAPTURED, mask=~MASK).filled(0.0),
        [0, 0, 2],
    ),
    "order of memory": Idiom(
        lambda x: np.ravel(np.stack([x, x]), order="K"),
        "order='C'",
        lambda x: np.ravel(x, order="C"),
        ONES,
    ),
    "where without out": Idiom(
        lambda x: np.sin(x, where=MASK),
        r"np\.where\(mask, result, other\)",
        lambda x: np.where(MASK, np.sin(x), 0.0),
        SINE * MASK,
    ),
    "resize": Idiom(resized, r"np\.resize", lambda x: np.resize(x, (2, 3)), 2 * ONES),
    "flags": Idiom(lambda x: x * x.flags.writeable, "sd", lambda x: x, ONES),
    "nditer": Idiom(
        lambda x: sum(each for each in np.nditer(x)),
        r"np\.ndindex\(x\.shape\)",
        lambda x: sum(x[index] for index in np.ndindex(x.shape)),
        ONES,
    ),
    "draw": Idiom(
        lambda x: np.random.default_rng(0).normal(x, 1.0),
        r"loc \+ scale \* rng\.normal",
        lambda x: x + 1.0 * np.random.default_rng(0).normal(size=3),
        ONES,
    ),
    "draw of the module": Idiom(
        lambda x: np.random.uniform(x, 4.0),  # noqa: NPY002  # which it is about
        r"low \+ \(high - low\) \*",
        lambda x: x + (4.0 - x) * np.random.RandomState(0).uniform(size=3),
        1 - np.random.RandomState(0).uniform(size=3),
    ),
    "permutation": Idiom(
        lambda x: copy.copy(GENERATOR).permutation(x),
        r"x\[rng\.permutation\(len\(x\)\)\]",
        lambda x: x[np.random.default_rng(0).permutation(len(x))],
        ONES,
    ),
    "shuffle along an axis": Idiom(
        lambda x: copy.copy(GENERATOR).shuffle(x[None] * 1, axis=1),
        r"np\.take\(x, rng\.permutation\(x\.shape\[axis\]\), axis\)",
        lambda x: np.take(x[None], copy.copy(GENERATOR).permutation(3), 1),
        ONES,
    ),
    "out= of a method": Idiom(
        lambda x: x * CAPTURED.cumsum(out=np.zeros(3)),
        r"np\.cumsum\(a, out=y\)",
        lambda x: x * np.cumsum(CAPTURED, out=np.zeros(3)),
        [0, 1, 3],
    ),
    "JSON": Idiom(
        lambda x: x * len(json.dumps({"losses": x.tolist()})),
        r"sd\.stop_gradient\(x\) in place of x",
        lambda x: x * len(json.dumps(sd.stop_gradient({"losses": x.tolist()}))),
        27 * ONES,
    ),
    "decimal number": Idiom(
        lambda x: x * float(Decimal(x[0])),
        r"sd\.stop_gradient\(x\)",
        lambda x: x * float(Decimal(sd.stop_gradient(x[0]))),
        0.4 * ONES,
    ),
    "packed bytes": Idiom(
        lambda x: x * len(struct.pack("d", x[0])),
        r"sd\.stop_gradient\(x\)",
        lambda x: x * len(struct.pack("d", sd.stop_gradient(x[0]))),
        8 * ONES,
    ),
    "integer program": Idiom(whole_numbers, r"sd\.custom_gradient", with_gradient, ONES),
    "parameter of a special function": Idiom(
        lambda x: scipy.special.jv(x[0], x[1]),
        r"sd\.stop_gradient\(v\)",
        lambda x: scipy.special.jv(sd.stop_gradient(x[0]), x[1]),
        [0, scipy.special.jvp(X[0], X[1]), 0],
    ),
    "basis of the complement": Idiom(
        lambda x: np.linalg.svd(x[None] + np.zeros((1, 3)))[2][1:],
        "full_matrices=False",
        lambda x: np.linalg.svd(x[None], full_matrices=False)[1],
        X / np.linalg.norm(X),
    ),
    "strides beyond": Idiom(
        lambda x: np.lib.stride_tricks.as_strided(x, (4,), (8,)),
        "sliding_window_view",
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 2),
        [1, 2, 1],
    ),
    "initial value of a method": Idiom(
        lambda x: np.add.reduce(CAPTURED, initial=x[0]),
        "out = np.zeros",
        lambda x: np.sum(CAPTURED, initial=x[0]),
        [1, 0, 0],
    ),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass", "ignore:you are shuffling")
@pytest.mark.parametrize("name", IDIOMS)
def test_what_an_error_says_to_write_works(name: str) -> None:
    idiom = IDIOMS[name]
    before = CAPTURED.copy()
    with pytest.raises(SteepestError, match=idiom.says) as caught:
        sd.grad(lambda x: np.sum(idiom.refused(x)))(X)
    assert caught.value.line is not None
    assert caught.value.line.filename.endswith("test_refusals.py")
    assert caught.value.line.text
    np.testing.assert_array_equal(CAPTURED, before)
    found = sd.grad(lambda x: np.sum(idiom.instead(x)))(X)
    np.testing.assert_allclose(found, idiom.gradient, rtol=1e-7, atol=1e-12)
