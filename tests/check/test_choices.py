"""Functions that choose by value which entries they read: smooth wherever nothing is tied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from steepest.check import check_gradient

KNOTS = np.linspace(0, 3, 7)
TABLE = np.arange(20.0) ** 2


def between_knots(x: Any) -> Any:
    place = np.clip(np.searchsorted(KNOTS, x, side="right") - 1, 0, 5)
    part = (x - KNOTS[place]) / (KNOTS[place + 1] - KNOTS[place])
    return np.sum(TABLE[place] * (1 - part) + TABLE[place + 1] * part)


def between_whole_numbers(x: Any) -> Any:
    place = np.floor(x).astype(int)
    return np.sum(TABLE[place] * (1 - x + place) + TABLE[place + 1] * (x - place))


# Each switches where the number that it is given is zero.
CHOICES = {
    "argmax of two": (
        lambda x: x[np.argmax(np.array([x[0], x[2]]))],
        lambda d: [1 + d, -0.7, 1.0],
    ),
    "entry named by argmax": (
        lambda x: x[3 + int(np.argmax(x[:3]))] ** 2,
        lambda d: [1 + d, 1.0, 0.2, 2.0, 3.0, 4.0],
    ),
    "gathered in order": (
        lambda x: np.sum(x[4:][np.argsort(x[:4])] * np.arange(4.0)),
        lambda d: [0.5, 0.5 + d, 1.0, 2.0, 0.3, 0.4, 0.7, 0.2],
    ),
    "the two largest": (
        lambda x: np.sum(x[np.argsort(x)[-2:]] ** 2),
        lambda d: [0.3, 1 + d, 1.0, 2.0],
    ),
    "the smallest": (
        lambda x: np.sum(np.partition(x, 2)[:2] ** 2),
        lambda d: [0.5, 0.5 + d, 1.0, 0.2, 0.9],
    ),
    "median": (lambda x: np.median(x) * x[0], lambda d: [0.5, 0.5 + d, 1.0, 0.2, 0.9]),
    "knots": (between_knots, lambda d: [1 + d / 4, 0.7, 2.2]),
    "np.interp": (
        lambda x: np.sum(np.interp(x, KNOTS, TABLE[:7])),
        lambda d: [1 + d / 4, 0.7, 2.2],
    ),
    "floor": (between_whole_numbers, lambda d: [3 + d, 2.5]),
    "table": (
        lambda x: np.sum(TABLE[np.floor(x[:2]).astype(int)] * x[2:]),
        lambda d: [3 + d, 2.5, 0.3, 0.4],
    ),
    "bins": (
        lambda x: np.sum(x[:3] * np.array([1.0, 2.0, 4.0])[np.digitize(x[3:], [0.5, 1.5])]),
        lambda d: [1.0, 2.0, 3.0, 0.5 + d, 1.7, 0.1],
    ),
    "where": (lambda x: np.where(x[0] > x[1], x[2] ** 2, 3 * x[2]), lambda d: [1 + d, 1.0, 2.0]),
    "rounded": (lambda x: np.round(x[0]) * x[1], lambda d: [1.5 + d, 2.0]),
}


@pytest.mark.parametrize("distance", [0.2, 1e-3, -1e-3, 1e-5, -1e-5, 1e-7, -1e-7])
@pytest.mark.parametrize("name", CHOICES)
def test_no_kink_beside_the_switch(name: str, distance: float) -> None:
    f, at = CHOICES[name]
    report = check_gradient(f, np.array(at(distance)))
    assert report.verdict == "correct", str(report)


def test_what_only_chooses_is_said() -> None:
    x = {"scores": np.array([1.0, 1.3]), "values": np.array([2.0, 3.0])}
    report = check_gradient(lambda p: p["values"][int(np.argmax(p["scores"]))] ** 2, x)
    assert report.ok
    assert "only choose what the function is" in report.parameters["scores"].reason


def test_a_kink_is_one_where_the_function_is_flat_on_one_side() -> None:
    x = np.array([1.0, 0.3])
    assert check_gradient(lambda x: np.sum(np.maximum(x - 1, 0)) + 5, x).verdict == "kink"
