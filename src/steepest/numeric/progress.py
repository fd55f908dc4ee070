"""A progress bar that appears only when the work takes longer than a few seconds."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from tqdm import tqdm

__all__ = ["Progress"]

PATIENCE_SECONDS = 2.0


class Progress:
    """Count units of work; show a bar on stderr when they take long.

    Parameters
    ----------
    total : int
        Units of work in all.
    description : str
        What is being done.
    show : bool or None
        True and False force the bar on and off. None shows it after two seconds, if stderr is a
        terminal.

    Examples
    --------
    >>> with Progress(3, "checking", show=False) as progress:
    ...     for _ in range(3):
    ...         progress.advance()
    """

    def __init__(self, total: int, description: str, *, show: bool | None) -> None:
        self.total = total
        self.description = description
        self.done = 0
        self._allowed = sys.stderr.isatty() if show is None else show
        self._appears_at = time.monotonic() + (PATIENCE_SECONDS if show is None else 0.0)
        self._bar: tqdm[None] | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, amount: int = 1) -> None:
        """Record that units of work are done."""
        self.done += amount
        if self._bar is not None:
            self._bar.update(amount)
        elif self._allowed and time.monotonic() >= self._appears_at:
            # Imported here: work that is done at once never pays for the bar.
            from tqdm import tqdm

            self._bar = tqdm(
                total=self.total,
                initial=self.done,
                desc=self.description,
                file=sys.stderr,
                leave=False,
            )
