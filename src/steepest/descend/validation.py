"""Validation data: the loss on them as a run goes on, and when to stop early."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from steepest.descend.data import ArrayData, NoData, Source, check_arrays, read_only, whole_number
from steepest.errors import BadInputError
from steepest.tree import Tree, flatten, leaf_names, tree_map

__all__ = ["Interval", "Validation", "check_interval", "find_validation"]

Interval: TypeAlias = int | Literal["epoch"]


class Validation:
    """The validation loss as it develops, and the weights with which it was lowest.

    Parameters
    ----------
    evaluate : callable
        Takes the weights, returns the loss.
    interval : "epoch" or int
        After how many steps.
    patience : int or None
        After how many evaluations without improvement to stop.
    """

    def __init__(
        self, evaluate: Callable[[Tree], Any], interval: Interval, patience: int | None
    ) -> None:
        self._evaluate = evaluate
        self.interval = interval
        self.patience = patience
        self.history: list[tuple[int, float]] = []
        self.best: tuple[int, float, Tree] | None = None
        self._without_improvement = 0

    @property
    def latest(self) -> float | None:
        """The latest loss."""
        return self.history[-1][1] if self.history else None

    def evaluate(self, weights: Tree, step: int) -> bool:
        """Evaluate the loss; return whether patience has run out."""
        loss = self.loss(weights)
        self.history.append((step, loss))
        # A NaN is no improvement.
        if loss < (math.inf if self.best is None else self.best[1]):
            self.best = (step, loss, weights)
            self._without_improvement = 0
            return False
        self._without_improvement += 1
        return self.patience is not None and self._without_improvement >= self.patience

    def loss(self, weights: Tree) -> float:
        """Evaluate the loss."""
        value = self._evaluate(weights)
        is_number = isinstance(value, (np.ndarray, np.generic, int, float))
        if not is_number or np.size(value) != 1:
            raise BadInputError(
                f"the validation loss must be a number, and is a {type(value).__name__}"
                + (f" of shape {np.shape(value)}" if np.shape(value) else "")
            )
        return float(np.reshape(value, ()))


def find_validation(
    loss_fn: Callable[..., Any],
    validate: Tree | Callable[[Tree], Any] | None,
    interval: Interval,
    patience: int | None,
    source: Source,
    data: Any,
    weights: Tree,
) -> Validation | None:
    """Make the validation of a run of what the user gave; None for none.

    Raises
    ------
    BadInputError
        When the validation data are not like the data, or the other arguments do not fit.
    """
    if validate is None:
        if patience is not None:
            raise BadInputError(
                f"patience={patience} waits for a validation loss, and validate is not given",
                instead="validate=(inputs, targets), or a function of the weights",
            )
        return None
    if patience is not None:
        patience = whole_number(patience, "patience")
    interval = check_interval(interval, "validate_every", source)
    if callable(validate):
        return Validation(validate, interval, patience)
    if isinstance(source, NoData):
        raise BadInputError(
            "validation data are given, and no data: the loss takes the weights alone",
            instead="a function of the weights that returns the validation loss",
        )
    check_arrays(validate, "validate")
    if isinstance(source, ArrayData) and flatten(validate)[1] != flatten(data)[1]:
        raise BadInputError(
            "validate must be put together like data: it has"
            f" {', '.join(leaf_names(validate, 'one array'))}, and data have"
            f" {', '.join(leaf_names(data, 'one array'))}"
        )
    batch = tree_map(lambda leaf: read_only(np.asarray(leaf).view()), validate)
    validation = Validation(lambda weights: loss_fn(weights, batch), interval, patience)
    # What is wrong with the validation data shows before the first step, not after the first epoch.
    validation.loss(weights)
    return validation


def check_interval(interval: Interval, name: str, source: Source) -> Interval:
    """Check how often something is to be done.

    Raises
    ------
    BadInputError
    """
    if interval != "epoch":
        return whole_number(interval, name)
    if not source.has_epochs:
        raise BadInputError(
            f"{name}='epoch', but the data have no epochs", instead=f"{name}=100, in steps"
        )
    return interval
