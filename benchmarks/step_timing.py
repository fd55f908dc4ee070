"""Time of one step in runs that are long against what a call costs once, interleaved."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Pace", "StepTimes", "Steps", "step_times"]

LONGEST_RUN = 8.0
"""Seconds that one run may take for the sake of being long against the fixed cost of a call."""

SHORT_OF_TARGET = 0.7
"""A run is long enough at this part of the seconds wanted."""

MOST_STEPS = 10**8


class Steps(Protocol):
    """Something that takes steps."""

    def run(self, steps: int) -> int:
        """Take at least so many steps, in one call; return how many it took."""


@dataclass(frozen=True)
class Pace:
    """How thoroughly to measure.

    Attributes
    ----------
    seconds : float
        Length of one run.
    repeats : int
        Runs of each participant; they take turns.
    times_fixed : float
        A run takes at least so many times what a call of one step takes.
    """

    seconds: float = 0.3
    repeats: int = 7
    times_fixed: float = 100.0


@dataclass(frozen=True)
class StepTimes:
    """What was measured of one participant.

    Attributes
    ----------
    median, lowest, highest : float
        Seconds for one step, over the repeats.
    steps : int
        Steps in a run.
    one_step_call : float
        Seconds of a call that takes one step, with everything compiled: the fixed cost; that of
        an epoch where a call takes whole epochs.
    first_call : float
        Seconds of the first call of all, of one step: with compilation.
    """

    median: float
    lowest: float
    highest: float
    steps: int
    one_step_call: float
    first_call: float


def step_times(candidates: Mapping[str, Steps], pace: Pace, whole: int = 1) -> dict[str, StepTimes]:
    """Measure each candidate's time for one step.

    Parameters
    ----------
    candidates : mapping
    pace : Pace
    whole : int
        Runs longer than this take a multiple of it: an epoch.

    Returns
    -------
    dict
    """
    lengths, fixed, first = {}, {}, {}
    for name, candidate in candidates.items():
        first[name] = _seconds(candidate, 1)[0]
        fixed[name], lengths[name] = _length_of_run(candidate, pace, whole)
        candidate.run(lengths[name])  # compiles what depends on the length
    each: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(pace.repeats):
        for name, candidate in candidates.items():
            seconds, taken = _seconds(candidate, lengths[name])
            each[name].append(seconds / taken)
    return {
        name: StepTimes(
            statistics.median(values),
            min(values),
            max(values),
            lengths[name],
            fixed[name],
            first[name],
        )
        for name, values in each.items()
    }


def _seconds(candidate: Steps, steps: int) -> tuple[float, int]:
    start = time.perf_counter()
    taken = candidate.run(steps)
    return time.perf_counter() - start, taken


def _length_of_run(candidate: Steps, pace: Pace, whole: int) -> tuple[float, int]:
    """Find the seconds of a call of one step, and the number of steps for a run."""
    one_step_call, taken = _seconds(candidate, 1)
    # One that takes whole epochs shows no fixed cost.
    fixed = one_step_call if taken == 1 else 0.0
    target = min(max(pace.seconds, pace.times_fixed * fixed), LONGEST_RUN)
    steps, seconds = 1, one_step_call
    # One measurement may be disturbed: the length counts only once a run of it takes its time.
    while seconds < SHORT_OF_TARGET * target and steps < MOST_STEPS:
        longer = min(max(math.ceil(steps * target / seconds), 2 * steps), 16 * steps)
        steps = longer if longer < whole else round(longer / whole) * whole
        candidate.run(steps)
        seconds = _seconds(candidate, steps)[0]
    return one_step_call, steps
