"""The confusion matrix: counts, layout, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.errors import BadInputError
from steepest.report import confusion_matrix, format_confusion_matrix

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(PAIRS, st.sampled_from([np.int64, np.uint8]))
def test_every_example_is_counted_at_its_place(pairs: list[tuple[int, int]], dtype: Any) -> None:
    labels = np.array([true for true, _ in pairs], dtype)
    predictions = np.array([predicted for _, predicted in pairs], dtype)
    expected = np.zeros((5, 5), np.int64)
    for pair in pairs:
        expected[pair] += 1
    matrix = confusion_matrix(labels, predictions, 5)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, expected)


def test_small_integer_labels_do_not_overflow() -> None:
    labels = np.array([200], np.uint8)
    assert confusion_matrix(labels, labels, 256)[200, 200] == 1


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0], r"labels of shape \(2,\) and predictions of shape \(1,\)"),
        ([[0, 1]], [[0, 1]], r"labels of shape \(1, 2\)"),
        ([0, 3], [0, 1], "labels from 0 to 3 for 3 classes"),
        ([0, 1], [-1, 1], "predictions from -1 to 1 for 3 classes"),
    ],
)
def test_confusion_matrix_refuses(labels: Any, predictions: Any, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        confusion_matrix(np.array(labels), np.array(predictions), 3)


def test_layout_of_ten_classes_fits_a_terminal() -> None:
    matrix = np.diag(np.arange(1126, 1136))
    matrix[3, 8] = 12
    matrix[9, 9] = 0
    lines = format_confusion_matrix(matrix, list("0123456789")).split("\n")
    assert len(lines) == 12
    assert max(map(len, lines)) <= 80
    assert " ".join(lines[5].split()) == "3 . . . 1129 . . . . 12 . 98.9 % of 1141"
    assert lines[11].split() == ["9", *"." * 10, "-"]
    assert len({line.index("%") for line in lines if "%" in line}) == 1


@pytest.mark.parametrize("width", range(40, 200, 7))
def test_a_wide_matrix_is_laid_out_in_parts(width: int) -> None:
    names = [f"class {number}" for number in range(20)]
    text = format_confusion_matrix(np.eye(20, dtype=np.int64) * 7, names, width)
    parts = [part.split("\n") for part in text.split("\n\n")]
    assert max(len(line) for part in parts for line in part) <= width
    assert [len(part) for part in parts] == [22] * len(parts)
    headers = "".join(part[1].removeprefix("class") for part in parts)
    assert headers.split() == " ".join([*names, "accuracy"]).split()
    assert all("100.0 % of 7" in line for line in parts[-1][2:])
    assert "%" not in "\n".join("\n".join(part) for part in parts[:-1])


def test_long_names_are_cut() -> None:
    text = format_confusion_matrix(np.eye(2, dtype=np.int64), ["a very long name", "b"])
    assert "a very long " in text
    assert "name" not in text


def test_format_refuses_names_that_do_not_fit() -> None:
    with pytest.raises(BadInputError, match=r"shape \(2, 2\) does not fit 3 names"):
        format_confusion_matrix(np.eye(2, dtype=np.int64), ["a", "b", "c"])
