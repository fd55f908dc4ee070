"""What a run of `descend` returns."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.check import GradientCheck
from steepest.errors import SourceLine
from steepest.tree import Tree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from steepest.engines.native.profile import Profile

__all__ = ["Descent", "StepInfo", "StopCode", "StopReason"]

StopCode: TypeAlias = Literal[
    "epochs_done",
    "steps_done",
    "early_stopping",
    "stopped_by_callback",
    "data_exhausted",
    "interrupted",
    "not_finite",
    "bad_step_size",
]


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why a run ended.

    Attributes
    ----------
    code : str
        One of "epochs_done", "steps_done", "early_stopping", "stopped_by_callback",
        "data_exhausted", "interrupted", "not_finite" and "bad_step_size".
    message : str
        The same as a sentence.
    parameters : tuple of str
        The parameters whose gradient or new value was not finite; or, with a finite gradient, those
        that the operation's arguments are made of.
    operation : str or None
        The operation whose result was the first that was not finite.
    line : SourceLine or None
        The user's line of that operation.
    """

    code: StopCode
    message: str
    parameters: tuple[str, ...] = ()
    operation: str | None = None
    line: SourceLine | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True, eq=False)
class StepInfo:
    """What a callback is told.

    Attributes
    ----------
    step : int
        Steps taken so far.
    epoch : int
        Passes through the data completed so far.
    loss : float
        The loss of the last batch, before the last step.
    validation_loss : float or None
        The latest one.
    weights : pytree
        The current weights; their arrays are read-only and stay as they are.
    step_size : float
        The size of the last step.
    seconds : float
        Since the run began.
    """

    step: int
    epoch: int
    loss: float
    validation_loss: float | None
    weights: Tree
    step_size: float
    seconds: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Descent:
    """The result of `descend`.

    Attributes
    ----------
    weights : pytree
        The final weights, of the structure, shapes and dtypes of the first ones; with `patience`
        those with the lowest validation loss.
    losses : float64 array of shape (steps,)
        For each step the loss of its batch, before the step.
    validation_losses : float64 array
        One for each evaluation on the validation data.
    validation_steps : int64 array
        How many steps had been taken at each of them.
    steps, epochs : int
        Steps taken and passes through the data completed.
    steps_per_epoch : int or None
        None where there are no epochs, or none was completed by examples that arrive one by one.
    seconds : float
        Wall-clock time.
    stopped : StopReason
        A code and a sentence.
    engine : str
        What ran the steps: "native" or "interpret", or "python" where the step could not be
        compiled.
    best_step : int or None
        Number of steps after which the validation loss was lowest.
    gradient_check : GradientCheck or None
        What `check` found at the start.
    profile : Profile or None
        Where the time of a step went; print it to see.
    notes : tuple of str
        What else should be known of the run.
    """

    weights: Tree
    losses: NDArray[np.float64]
    validation_losses: NDArray[np.float64]
    validation_steps: NDArray[np.int64]
    steps: int
    epochs: int
    steps_per_epoch: int | None
    seconds: float
    stopped: StopReason
    engine: str
    best_step: int | None = None
    gradient_check: GradientCheck | None = None
    profile: Profile | None = None
    notes: tuple[str, ...] = ()
    _program: object = ""

    @property
    def program(self) -> str:
        """What ran in each step, as text.

        With the engine "native" a line for each loop nest, matrix product and call of NumPy, with
        the lines of the loss that it comes from; with "interpret" the recorded operations.
        """
        return str(self._program)

    def __repr__(self) -> str:
        return (
            f"Descent(steps={self.steps}, epochs={self.epochs}, loss={_final(self.losses)},"
            f" stopped={self.stopped.code!r}, seconds={self.seconds:.3g})"
        )

    def __str__(self) -> str:
        rows = [f"Stopped: {self.stopped.message}"]
        if self.steps:
            rows.append(f"Loss: {self.losses[0]:.6g} at the first step, {_final(self.losses)}")
        if len(self.validation_losses):
            lowest = "" if self.best_step is None else f", lowest after step {self.best_step:,}"
            rows.append(f"Validation loss: {_final(self.validation_losses)}{lowest}")
        pace = f", {self.steps / self.seconds:,.0f} steps a second" if self.seconds > 0 else ""
        passes = f" in {counted(self.epochs, 'epoch')}" if self.epochs else ""
        rows.append(f"Time: {counted(self.steps, 'step')}{passes}, {self.seconds:.3g} s{pace}")
        rows.extend(f"Note: {note}" for note in self.notes)
        return "\n".join(rows)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the losses.

        Parameters
        ----------
        path : str or path, optional
            Where to save the figure; its suffix decides the format.

        Returns
        -------
        matplotlib.figure.Figure
        """
        # Imported here: Matplotlib is for those who look at a figure.
        from steepest.report import loss_figure

        figure = loss_figure(self)
        if path is not None:
            figure.savefig(path)
        return figure


def _final(losses: NDArray[Any]) -> str:
    return f"{losses[-1]:.6g} at the last" if len(losses) else "none"


def counted(number: int, thing: str) -> str:
    """Say how many there are of a thing."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
