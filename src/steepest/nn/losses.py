"""Losses: how far the predictions are from what they should be, as one number."""

from __future__ import annotations

import numpy as np

from steepest.errors import BadInputError
from steepest.nn.layers import ArrayValue, log_softmax, shape_of
from steepest.ops.spec import Traced
from steepest.tree import Tree, flatten, is_differentiable

__all__ = [
    "l2_penalty",
    "mean_squared_error",
    "multiclass_hinge",
    "multiclass_hinge_per_example",
    "softmax_cross_entropy",
    "softmax_cross_entropy_per_example",
]


def softmax_cross_entropy(logits: ArrayValue, labels: ArrayValue) -> ArrayValue:
    """Compute the mean over a batch of -log softmax(logits)[label].

    Parameters
    ----------
    logits : array of shape (examples, classes)
        Scores; any size of score is safe.
    labels : integer array of shape (examples,)
        The true class of each example, from 0 to classes - 1.

    Returns
    -------
    scalar of the dtype of `logits`
        In nats: log(classes) for a guess, 0 for certainty.

    Raises
    ------
    BadInputError
        When the shapes do not fit, or labels are not integers or name no class.

    References
    ----------
    C. M. Bishop, "Pattern recognition and machine learning", 2006, equation 4.108.

    Examples
    --------
    >>> round(softmax_cross_entropy(np.zeros((4, 10)), np.array([0, 3, 5, 9])), 6) == 2.302585
    np.True_
    """
    return np.mean(softmax_cross_entropy_per_example(logits, labels))


def softmax_cross_entropy_per_example(logits: ArrayValue, labels: ArrayValue) -> ArrayValue:
    """Compute -log softmax(logits)[label] for each example of a batch.

    Parameters
    ----------
    logits : array of shape (examples, classes)
    labels : integer array of shape (examples,)

    Returns
    -------
    array of shape (examples,) and the dtype of `logits`

    Raises
    ------
    BadInputError
        When the shapes do not fit, or labels are not integers or name no class.

    Examples
    --------
    >>> logits = np.array([[0.0, 1e4], [1e4, 0.0]])
    >>> softmax_cross_entropy_per_example(logits, np.array([0, 0])) == [1e4, 0.0]
    array([ True,  True])
    """
    examples, _ = _check_scores(logits, labels)
    return -log_softmax(logits)[np.arange(examples), labels]


def multiclass_hinge(logits: ArrayValue, labels: ArrayValue, margin: float = 1.0) -> ArrayValue:
    """Compute the mean over a batch of the multiclass hinge loss of Weston and Watkins.

    The loss of one example is Σ max(0, margin + logits[j] - logits[label]) over all wrong
    classes j: each has to stay below the right one by `margin`.

    Parameters
    ----------
    logits : array of shape (examples, classes)
        Scores; any size of score is safe.
    labels : integer array of shape (examples,)
        The true class of each example, from 0 to classes - 1.
    margin : float
        In the unit of the scores.

    Returns
    -------
    scalar of the dtype of `logits`

    Raises
    ------
    BadInputError
        When the shapes do not fit, or labels are not integers or name no class.

    References
    ----------
    J. Weston and C. Watkins, "Support vector machines for multi-class pattern recognition", 1999.

    Examples
    --------
    >>> multiclass_hinge(np.array([[3.0, 2.5, 0.0], [1.0, 5.0, 5.0]]), np.array([0, 1]))
    np.float64(0.75)
    """
    return np.mean(multiclass_hinge_per_example(logits, labels, margin))


def multiclass_hinge_per_example(
    logits: ArrayValue, labels: ArrayValue, margin: float = 1.0
) -> ArrayValue:
    """Compute the multiclass hinge loss of Weston and Watkins for each example of a batch.

    Parameters
    ----------
    logits : array of shape (examples, classes)
    labels : integer array of shape (examples,)
    margin : float
        In the unit of the scores.

    Returns
    -------
    array of shape (examples,) and the dtype of `logits`

    Raises
    ------
    BadInputError
        When the shapes do not fit, or labels are not integers or name no class.

    Examples
    --------
    >>> multiclass_hinge_per_example(np.array([[3.0, 2.5, 0.0], [1.0, 5.0, 5.0]]), np.array([0, 1]))
    array([0.5, 1. ])
    """
    examples, classes = _check_scores(logits, labels)
    true_scores = logits[np.arange(examples), labels]
    # The difference comes first: a margin added to a large score would be rounded away.
    shortfall = np.maximum(logits - true_scores[:, np.newaxis] + margin, 0)
    # The right class is left out rather than subtracted, so that a small loss does not cancel.
    is_wrong = np.arange(classes) != labels[:, np.newaxis]
    return np.sum(np.where(is_wrong, shortfall, 0), axis=1)


def mean_squared_error(predictions: ArrayValue, targets: ArrayValue) -> ArrayValue:
    """Compute the mean of (predictions - targets)² over all entries.

    Parameters
    ----------
    predictions : array of any shape
    targets : array of the same shape
        Broadcasting is refused: (N, 1) against (N,) would compare every pair of entries.

    Returns
    -------
    scalar
        In the square of the unit of the predictions.

    Raises
    ------
    BadInputError
        When the shapes differ or there is nothing to average.

    Examples
    --------
    >>> mean_squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(2.0)
    """
    shape, target_shape = shape_of(predictions), shape_of(targets)
    if shape != target_shape:
        raise BadInputError(
            f"predictions of shape {shape} and targets of shape {target_shape} differ",
            instead="reshape one of them, for example targets.reshape(predictions.shape)",
        )
    if 0 in shape:
        raise BadInputError(f"no mean over predictions of shape {shape}: there are none")
    return np.mean(np.square(predictions - targets))


def l2_penalty(weights: Tree) -> ArrayValue:
    """Compute half the sum of squares of all weight matrices, ½ Σ W².

    Every floating-point leaf of two or more axes counts. Biases and other leaves of fewer axes do
    not: they hardly overfit, and a penalty on them biases the predictions. Multiply it by the
    strength of the regularisation, a Python float, and add it to the loss.

    Parameters
    ----------
    weights : pytree of arrays

    Returns
    -------
    scalar

    Raises
    ------
    BadInputError
        When there is no weight matrix at all: the penalty would be 0 without a word.

    References
    ----------
    I. Goodfellow, Y. Bengio and A. Courville, "Deep learning", 2016, section 7.1.1.

    Examples
    --------
    >>> l2_penalty([{"W": np.array([[1.0, 2.0]]), "b": np.array([100.0])}])
    np.float64(2.5)
    """
    matrices = [
        leaf for leaf in flatten(weights)[0] if is_differentiable(leaf) and len(shape_of(leaf)) >= 2
    ]
    if not matrices:
        raise BadInputError(
            "an L2 penalty covers the arrays of two or more axes, and there is none in the weights",
            instead="0.5 * np.sum(w**2), for the vector w that is to be penalised",
        )
    return 0.5 * sum(np.sum(np.square(matrix)) for matrix in matrices)


def _check_scores(logits: ArrayValue, labels: ArrayValue) -> tuple[int, int]:
    """Refuse scores and labels that do not fit; return the numbers of examples and classes."""
    shape, label_shape = shape_of(logits), shape_of(labels)
    if len(shape) != 2 or 0 in shape:
        raise BadInputError(
            f"logits of shape {shape}: one row of scores for each example is expected",
            instead="give logits of shape (examples, classes), for one example logits[np.newaxis]",
        )
    if label_shape != shape[:1]:
        raise BadInputError(
            f"labels of shape {label_shape} do not fit logits of shape {shape}",
            instead=f"give one class number for each example, an array of shape ({shape[0]},)",
        )
    kind = getattr(getattr(labels, "dtype", None), "kind", None)
    if kind is None or kind not in "iu":
        found = type(labels).__name__ if kind is None else f"{labels.dtype} array"
        raise BadInputError(
            f"labels are class numbers, an integer array, and not a {found}",
            instead="labels.astype(np.int64), or np.argmax(one_hot, axis=1)",
        )
    # Labels traced by shape alone have no values to look at. Those that do must not be negative:
    # indexing would take -1 for the last class.
    if isinstance(labels, np.ndarray) and not isinstance(labels, Traced):
        lowest, highest = labels.min(), labels.max()
        if lowest < 0 or highest >= shape[1]:
            outside = lowest if lowest < 0 else highest
            raise BadInputError(
                f"label {outside} names none of the {shape[1]} classes, which are"
                f" 0 to {shape[1] - 1}",
            )
    return shape[0], shape[1]
