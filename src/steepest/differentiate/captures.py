"""Arrays of the user's that a gradient still needs when the function has gone on.

The user may write into them between the forward and the backward pass. A small one is copied
when it is recorded. A large one is read by its fingerprint, which must not have changed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from steepest.array.buffers import references_from
from steepest.errors import CapturedArrayChangedError, SourceLine, user_line
from steepest.fingerprint import fingerprint, may_be_written

__all__ = ["COPIED_BYTES", "Captures"]

COPIED_BYTES = 1 << 20
"""Arrays up to this size are copied."""

_COPIED_AT_ONCE = 1 << 13
"""Arrays up to this size are copied without asking whether a copy of theirs exists."""


class Captures:
    """The user's arrays that one trace has recorded."""

    __slots__ = ("_copies", "_watched")

    def __init__(self) -> None:
        self._copies: dict[int, tuple[np.ndarray[Any, Any], int, np.ndarray[Any, Any]]] = {}
        self._watched: dict[int, tuple[np.ndarray[Any, Any], int, SourceLine | None]] = {}

    def keep(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return what to record for an array: itself when it cannot change, or is watched."""
        if array.nbytes <= _COPIED_AT_ONCE:
            # A copy is cheaper than finding out whether it is needed.
            # Its layout says in which order NumPy adds it up.
            return array.copy("K")
        if array.dtype.hasobject or not may_be_written(array):
            return array
        now = fingerprint(array)
        key = id(array)
        if array.nbytes <= COPIED_BYTES:
            known = self._copies.get(key)
            if known is None or known[1] != now:
                # The array is held too, so that its id is not given to another one.
                known = self._copies[key] = (array, now, array.copy("K"))
            return known[2]
        watched = self._watched.setdefault(key, (array, now, user_line()))
        if watched[1] != now:
            raise _changed(array, watched[2])
        return array

    def references_to(self, array: np.ndarray[Any, Any]) -> int:
        """Count the references to an array from here; how often watched ones are is not known."""
        return references_from(self._copies.values(), array, holders=1)

    def verify(self) -> None:
        """Check before the backward pass that no watched array has changed.

        Raises
        ------
        CapturedArrayChangedError
        """
        for array, recorded, line in self._watched.values():
            if fingerprint(array) != recorded:
                raise _changed(array, line)


def _changed(array: np.ndarray[Any, Any], line: SourceLine | None) -> CapturedArrayChangedError:
    return CapturedArrayChangedError(
        f"an ndarray of {array.dtype}{list(array.shape)} was written into after the function had"
        " used it, and the gradient needs what it was",
        instead="write into a copy, or make the array anew each time instead of reusing it",
        line=line,
    )
