"""The progress bar of a run."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import Any

__all__ = ["ProgressBar"]

SECONDS_BETWEEN_UPDATES = 0.1


class ProgressBar:
    """A bar on stderr with the loss and the epoch, drawn at most ten times a second.

    Parameters
    ----------
    show : bool or None
        None shows it if stderr is a terminal.
    total : int or None
        Number of steps, where that is known.
    epochs : int or None
        Number of epochs, where there is a limit.
    """

    def __init__(self, show: bool | None, *, total: int | None, epochs: int | None) -> None:
        self._epochs = epochs
        self._bar: Any = None
        self._next = math.inf
        if sys.stderr.isatty() if show is None else show:
            # Imported here: most runs show no bar.
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc="descend", unit="step", file=sys.stderr)
            self._next = time.perf_counter()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def is_due(self) -> bool:
        """Whether it is time to draw the bar again."""
        return self._next <= time.perf_counter()

    def draw(self, step: int, epoch: int, loss: float, validation_loss: float | None) -> None:
        """Show how far the run is."""
        if self._bar is None:
            return
        self._next = time.perf_counter() + SECONDS_BETWEEN_UPDATES
        text = f"loss {loss:.4g}"
        if validation_loss is not None:
            text += f", validation {validation_loss:.4g}"
        if epoch or self._epochs is not None:
            limit = "" if self._epochs is None else f"/{self._epochs}"
            text += f", epoch {epoch}{limit}"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(step - self._bar.n)
        self._bar.refresh()
