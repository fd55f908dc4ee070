"""The confusion matrix: which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.errors import BadInputError

__all__ = ["confusion_matrix", "format_confusion_matrix"]

LONGEST_NAME = 12


def confusion_matrix(
    labels: NDArray[np.integer[Any]], predictions: NDArray[np.integer[Any]], class_count: int
) -> NDArray[np.int64]:
    """Count how often each class was predicted as which.

    Parameters
    ----------
    labels, predictions : integer arrays of shape (examples,)
        The true and the predicted class of each example, from 0 to class_count - 1.
    class_count : int

    Returns
    -------
    int64 ndarray of shape (class_count, class_count)
        The true class by row, the predicted one by column.

    Raises
    ------
    BadInputError
        When the shapes differ or a number names no class.

    Examples
    --------
    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), class_count=2)
    array([[1, 1],
           [0, 1]])
    """
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise BadInputError(
            f"labels of shape {labels.shape} and predictions of shape {predictions.shape}:"
            " one number for each example is expected in both"
        )
    for name, numbers in (("labels", labels), ("predictions", predictions)):
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < class_count:
            raise BadInputError(
                f"{name} from {numbers.min()} to {numbers.max()} for {class_count} classes,"
                f" which are 0 to {class_count - 1}"
            )
    pairs = labels.astype(np.int64) * class_count + predictions.astype(np.int64)
    counts = np.bincount(pairs, minlength=class_count**2).astype(np.int64)
    return counts.reshape(class_count, class_count)


def format_confusion_matrix(
    matrix: NDArray[np.int64], class_names: Sequence[str], width: int = 80
) -> str:
    """Lay a confusion matrix out for a terminal, with the accuracy of each class beside it.

    Parameters
    ----------
    matrix : integer ndarray of shape (classes, classes)
        As `confusion_matrix` counts it.
    class_names : sequence of str
        Names longer than 12 characters are cut.
    width : int
        Columns of the terminal; a matrix that is wider is laid out in parts, one below the other.

    Returns
    -------
    str
        Lines in ASCII, unless the class names are not.

    Raises
    ------
    BadInputError
        When there is not one name for each class.

    Examples
    --------
    >>> print(format_confusion_matrix(np.array([[9, 1], [0, 5]]), ["cat", "dog"]))
    true   predicted
    class  cat dog  accuracy
    cat      9   1   90.0 % of 10
    dog      .   5  100.0 % of  5
    """
    if matrix.shape != (len(class_names), len(class_names)):
        raise BadInputError(
            f"a confusion matrix of shape {matrix.shape} does not fit {len(class_names)} names"
        )
    names = [name[:LONGEST_NAME] for name in class_names]
    first = max(len("class"), *map(len, names)) + 1
    cell = max(len(str(matrix.max(initial=0))), *map(len, names)) + 1
    accuracies = ["  accuracy", *_format_accuracies(matrix)]
    per_part = max(1, (width - first - max(map(len, accuracies))) // cell)
    parts = [
        _format_part(matrix, names, first, cell, range(start, min(start + per_part, len(names))))
        for start in range(0, len(names), per_part)
    ]
    parts[-1][1:] = [
        line + accuracy for line, accuracy in zip(parts[-1][1:], accuracies, strict=True)
    ]
    return "\n\n".join("\n".join(part) for part in parts)


def _format_part(
    matrix: NDArray[np.int64], names: Sequence[str], first: int, cell: int, columns: range
) -> list[str]:
    """Lay some columns of the matrix out, below a header of two lines."""
    lines = [
        "true".ljust(first) + " predicted",
        "class".ljust(first) + "".join(names[column].rjust(cell) for column in columns),
    ]
    for row, name in enumerate(names):
        counts = (str(matrix[row, column] or ".").rjust(cell) for column in columns)
        lines.append(name.ljust(first) + "".join(counts))
    return lines


def _format_accuracies(matrix: NDArray[np.int64]) -> list[str]:
    """Say for each class what share of how many it was recognised in."""
    totals = matrix.sum(axis=1)
    digits = len(str(totals.max(initial=0)))
    return [
        f"{100 * right / total:7.1f} % of {total:>{digits}}" if total else "      -"
        for right, total in zip(matrix.diagonal(), totals, strict=True)
    ]
