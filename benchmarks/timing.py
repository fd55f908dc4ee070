"""Timing of several ways to do the same thing, interleaved, so that drift hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

__all__ = ["interleaved_medians"]

SHORTEST_MEASUREMENT = 0.02
"""Seconds that one measurement takes at least, by repeating the call."""


def interleaved_medians(
    candidates: Mapping[str, Callable[[], object]], repeats: int = 15
) -> dict[str, float]:
    """Measure each candidate's time for one call.

    Parameters
    ----------
    candidates : mapping
        Names and functions without arguments.
    repeats : int
        Measurements of each; they take turns.

    Returns
    -------
    dict
        Median seconds for one call, by name.
    """
    calls = {name: _calls_needed(function) for name, function in candidates.items()}
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, function in candidates.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                function()
            seconds[name].append((time.perf_counter() - start) / calls[name])
    return {name: statistics.median(values) for name, values in seconds.items()}


def _calls_needed(function: Callable[[], object]) -> int:
    function()
    start = time.perf_counter()
    function()
    once = max(time.perf_counter() - start, 1e-7)
    return max(1, round(SHORTEST_MEASUREMENT / once))
