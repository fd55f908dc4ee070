"""Losses: values against a loop over examples, stability, dtypes, refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.errors import BadInputError
from steepest.nn import (
    l2_penalty,
    mean_squared_error,
    multiclass_hinge,
    multiclass_hinge_per_example,
    softmax_cross_entropy,
    softmax_cross_entropy_per_example,
)

CLASSIFICATION = [
    (softmax_cross_entropy, softmax_cross_entropy_per_example),
    (multiclass_hinge, multiclass_hinge_per_example),
]


def cross_entropy_of_one(scores: list[float], label: int) -> float:
    """-log softmax with exact summation, example by example."""
    highest = max(scores)
    total = math.fsum(math.exp(score - highest) for score in scores)
    return math.log(total) + highest - scores[label]


def hinge_of_one(scores: list[float], label: int, margin: float) -> float:
    """Weston and Watkins' loss as its formula stands."""
    return math.fsum(
        max(0.0, margin + (score - scores[label])) for j, score in enumerate(scores) if j != label
    )


@st.composite
def batches(draw: st.DrawFn) -> tuple[Any, Any]:
    """Scores of up to five examples and six classes, and labels that name a class."""
    examples, classes = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    seed, scale = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([1e-3, 1.0, 30.0, 1e4]))
    rng = np.random.default_rng(seed)
    return rng.standard_normal((examples, classes)) * scale, rng.integers(classes, size=examples)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(batches(), st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_classification_losses_equal_a_loop_over_examples(
    batch: tuple[Any, Any], margin: float
) -> None:
    logits, labels = batch
    rows = list(zip(logits.tolist(), labels.tolist(), strict=True))
    cross_entropy = [cross_entropy_of_one(*row) for row in rows]
    hinge = [hinge_of_one(*row, margin) for row in rows]
    tolerance = {"rtol": 1e-12, "atol": 1e-15 * max(1.0, np.abs(logits).max())}
    np.testing.assert_allclose(
        softmax_cross_entropy_per_example(logits, labels), cross_entropy, **tolerance
    )
    np.testing.assert_allclose(
        multiclass_hinge_per_example(logits, labels, margin), hinge, **tolerance
    )
    np.testing.assert_allclose(
        softmax_cross_entropy(logits, labels), np.mean(cross_entropy), **tolerance
    )
    np.testing.assert_allclose(
        multiclass_hinge(logits, labels, margin), np.mean(hinge), **tolerance
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (softmax_cross_entropy_per_example, [2e4, 0.0, 1e4]),
        (multiclass_hinge_per_example, [20001.0 + 10001.0, 0.0, 10001.0]),
    ],
)
def test_scores_of_ten_thousand_are_exact(function: Any, expected: list[float], dtype: Any) -> None:
    logits = np.array([[1e4, 0.0, -1e4], [1e4, 0.0, -1e4], [1e4, 0.0, -1e4]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        result = function(logits, np.array([2, 0, 1]))
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("logits", "margin", "expected"),
    [
        # In float32, a sum over all classes less the margin would lose the 2**-10,
        ([1e4, 1e4 - 1 + 2**-10, -1e4], 1.0, 2**-10),
        # and a margin added to the score would vanish in it.
        ([1e4, 1e4, -1e4], 1e-4, 1e-4),
    ],
)
def test_hinge_keeps_a_small_loss_beside_large_scores(
    logits: list[float], margin: float, expected: float
) -> None:
    loss = multiclass_hinge(np.array([logits], np.float32), np.array([0]), margin)
    assert loss == np.float32(expected)


@pytest.mark.parametrize("label_dtype", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize(("mean", "by_example"), CLASSIFICATION)
def test_classification_losses_take_any_integer_labels(
    mean: Any, by_example: Any, label_dtype: Any
) -> None:
    logits = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, 3, 0], label_dtype)
    assert by_example(logits, labels).shape == (6,)
    assert mean(logits, labels).dtype == np.float32
    np.testing.assert_allclose(mean(logits, labels), by_example(logits, labels).mean(), rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((3,), np.array([0, 1, 2]), r"logits of shape \(3,\)"),
        ((0, 3), np.zeros(0, int), r"logits of shape \(0, 3\)"),
        ((2, 0), np.zeros(2, int), r"logits of shape \(2, 0\)"),
        ((2, 3), np.array([[0], [1]]), r"labels of shape \(2, 1\) do not fit"),
        ((2, 3), np.array([0, 1, 2]), r"labels of shape \(3,\) do not fit"),
        ((2, 3), np.array([0.0, 1.0]), "not a float64 array"),
        ((2, 3), np.array([True, False]), "not a bool array"),
        ((2, 3), [0, 1], "not a list"),
        ((2, 3), np.array([0, -1]), "label -1 names none of the 3 classes"),
        ((2, 3), np.array([0, 3]), "label 3 names none of the 3 classes"),
    ],
)
@pytest.mark.parametrize(("mean", "by_example"), CLASSIFICATION)
def test_classification_losses_refuse_what_does_not_fit(
    mean: Any, by_example: Any, shape: tuple[int, ...], labels: Any, message: str
) -> None:
    for function in (mean, by_example):
        with pytest.raises(BadInputError, match=message):
            function(np.zeros(shape), labels)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 2)], ids=str)
def test_mean_squared_error(shape: tuple[int, ...], dtype: Any) -> None:
    rng = np.random.default_rng(0)
    predictions = np.asarray(rng.standard_normal(shape), dtype)
    targets = np.asarray(rng.standard_normal(shape), dtype)
    error = mean_squared_error(predictions, targets)
    assert error.dtype == dtype
    np.testing.assert_allclose(
        error, ((predictions - targets) ** 2).sum() / max(1, predictions.size), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("shape", "target_shape", "message"),
    [
        ((4, 1), (4,), r"shape \(4, 1\) and targets of shape \(4,\) differ"),
        ((4,), (), r"targets of shape \(\) differ"),
        ((0,), (0,), r"no mean over predictions of shape \(0,\)"),
    ],
)
def test_mean_squared_error_refuses(
    shape: tuple[int, ...], target_shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        mean_squared_error(np.ones(shape), np.ones(target_shape))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_l2_penalty_covers_matrices_and_no_biases(dtype: Any) -> None:
    weights = [
        {"W": np.array([[1.0, 2.0], [0.0, 2.0]], dtype), "b": np.array([50.0, 50.0], dtype)},
        {"kernel": np.full((2, 1, 2), 0.5, dtype), "scale": 7.0, "steps": np.ones((2, 2), int)},
    ]
    penalty = l2_penalty(weights)
    assert penalty.dtype == dtype
    assert penalty == 0.5 * (9.0 + 1.0)
    assert (0.1 * penalty).dtype == dtype


@pytest.mark.parametrize("weights", [{}, 1.0, {"w": np.ones(3)}, {"n": np.ones((2, 2), int)}])
def test_l2_penalty_of_no_matrix_is_an_error(weights: Any) -> None:
    with pytest.raises(BadInputError, match="two or more axes"):
        l2_penalty(weights)
