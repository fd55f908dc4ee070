"""Step sizes that change as a run goes on.

A schedule is any callable that takes the number of steps taken so far, 0 at the first step, and
returns the size of the next one. Those here are plain NumPy, so that an array of steps gives an
array of sizes, and take one another: ``warmup(cosine_decay(0.1, steps=1000), steps=100)``.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from steepest.errors import BadInputError

__all__ = [
    "Schedule",
    "constant",
    "cosine_decay",
    "exponential_decay",
    "inverse_time_decay",
    "piecewise_constant",
    "warmup",
]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A named rule for the size of each step.

    Parameters
    ----------
    rule : callable
        Takes the number of steps taken so far, returns the size of the next one.
    name : str
        What reports call it.
    """

    rule: Callable[[Any], Any]
    name: str = "custom"

    def __call__(self, step: Any) -> Any:
        """Return the size of the step that comes after `step` others."""
        return self.rule(step)

    def __repr__(self) -> str:
        settings = self.rule.keywords if isinstance(self.rule, partial) else {}
        return f"{self.name}({', '.join(f'{key}={value}' for key, value in settings.items())})"


def constant(value: float) -> Schedule:
    """Keep the step size: α.

    Examples
    --------
    >>> constant(0.1)(1000)
    0.1
    """
    return Schedule(partial(_constant, value=check_size(value, "value")), "constant")


def exponential_decay(initial: float, *, decay: float, steps: float) -> Schedule:
    """Multiply the step size by `decay` every `steps` steps, smoothly: α d^(t / T).

    Raises
    ------
    BadInputError
        When an argument is not positive and finite.

    Examples
    --------
    >>> halving = exponential_decay(0.8, decay=0.5, steps=10)
    >>> [halving(step) for step in (0, 10, 20)]
    [0.8, 0.4, 0.2]
    """
    settings = {
        "initial": check_size(initial, "initial"),
        "decay": _positive(decay, "decay"),
        "steps": _positive(steps, "steps"),
    }
    return Schedule(partial(_exponential_decay, **settings), "exponential_decay")


def inverse_time_decay(initial: float, *, decay: float = 1.0, steps: float) -> Schedule:
    """Divide the step size by what grows with time: α / (1 + d t / T).

    These sizes meet the condition under which stochastic approximation converges: their sum
    diverges, that of their squares does not (Robbins and Monro, "A Stochastic Approximation
    Method", Annals of Mathematical Statistics 22, 1951).

    Raises
    ------
    BadInputError
        When an argument is not positive and finite.

    Examples
    --------
    >>> slowing = inverse_time_decay(0.8, steps=10)
    >>> [slowing(step) for step in (0, 10, 30)]
    [0.8, 0.4, 0.2]
    """
    settings = {
        "initial": check_size(initial, "initial"),
        "decay": _positive(decay, "decay"),
        "steps": _positive(steps, "steps"),
    }
    return Schedule(partial(_inverse_time_decay, **settings), "inverse_time_decay")


def cosine_decay(initial: float, *, steps: float, final: float = 0.0) -> Schedule:
    """Go from `initial` to `final` in `steps` steps along half a cosine, and stay there.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
    equation 5, without restarts: α = final + (initial − final) (1 + cos(π t / T)) / 2.

    Raises
    ------
    BadInputError
        When an argument is negative or not finite, or `steps` is 0.

    Examples
    --------
    >>> curve = cosine_decay(0.8, steps=10)
    >>> [round(float(curve(step)), 3) for step in (0, 5, 10, 99)]
    [0.8, 0.4, 0.0, 0.0]
    """
    settings = {
        "initial": check_size(initial, "initial"),
        "steps": _positive(steps, "steps"),
        "final": check_size(final, "final"),
    }
    return Schedule(partial(_cosine_decay, **settings), "cosine_decay")


def piecewise_constant(boundaries: Sequence[int], values: Sequence[float]) -> Schedule:
    """Keep one size until the first boundary, the next one until the second, and so on.

    Parameters
    ----------
    boundaries : sequence of int
        Increasing numbers of steps; from step ``boundaries[i]`` on the size is ``values[i + 1]``.
    values : sequence of float
        One more than there are boundaries.

    Raises
    ------
    BadInputError
        When the numbers do not fit or the boundaries do not increase.

    Examples
    --------
    >>> stairs = piecewise_constant([100, 200], [0.1, 0.01, 0.001])
    >>> [float(stairs(step)) for step in (0, 99, 100, 200)]
    [0.1, 0.1, 0.01, 0.001]
    """
    if len(values) != len(boundaries) + 1:
        raise BadInputError(
            f"{len(boundaries)} boundaries part {len(boundaries) + 1} values, and there are"
            f" {len(values)}"
        )
    if any(later <= earlier for earlier, later in pairwise(boundaries)):
        raise BadInputError(f"boundaries must increase, and are {list(boundaries)}")
    rule = partial(
        _piecewise_constant,
        boundaries=tuple(operator.index(each) for each in boundaries),
        values=tuple(check_size(each, "each value") for each in values),
    )
    return Schedule(rule, "piecewise_constant")


def warmup(after: float | Callable[[Any], Any], *, steps: int) -> Schedule:
    """Grow linearly to a size in `steps` steps, then keep it or follow a schedule from its start.

    Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, section 2.2
    ("gradual warmup").

    Parameters
    ----------
    after : float or schedule
        What comes after; step t of the warm-up is (t + 1) / steps of its first size.
    steps : int
        At least 1.

    Raises
    ------
    BadInputError
        When an argument is out of its range.

    Examples
    --------
    >>> ramp = warmup(0.8, steps=4)
    >>> [round(float(ramp(step)), 3) for step in (0, 1, 2, 3, 4, 99)]
    [0.2, 0.4, 0.6, 0.8, 0.8, 0.8]
    """
    rule = partial(_warmup, after=find_schedule(after), steps=_positive(steps, "steps"))
    return Schedule(rule, "warmup")


def find_schedule(step_size: float | Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a schedule of a number; take a schedule as it is.

    Raises
    ------
    BadInputError
        When it is neither a callable nor a finite number of at least 0.
    """
    if callable(step_size):
        return step_size
    return constant(check_size(step_size, "step_size"))


def takes_arrays(schedule: Callable[[Any], Any]) -> bool:
    """Whether a schedule is made of those here alone: an array of steps gives one of sizes."""
    rule = schedule.rule if isinstance(schedule, Schedule) else None
    if not isinstance(rule, partial) or rule.func not in _RULES:
        return False
    return "after" not in rule.keywords or takes_arrays(rule.keywords["after"])


def _constant(step: Any, *, value: float) -> Any:
    return value


def _exponential_decay(step: Any, *, initial: float, decay: float, steps: float) -> Any:
    return initial * decay ** (step / steps)


def _inverse_time_decay(step: Any, *, initial: float, decay: float, steps: float) -> Any:
    return initial / (1 + decay * (step / steps))


def _cosine_decay(step: Any, *, initial: float, steps: float, final: float) -> Any:
    done = np.minimum(step / steps, 1)
    return final + (initial - final) * (1 + np.cos(np.pi * done)) / 2


def _piecewise_constant(
    step: Any, *, boundaries: tuple[int, ...], values: tuple[float, ...]
) -> Any:
    size: Any = values[0]
    for boundary, value in zip(boundaries, values[1:], strict=True):
        size = np.where(step >= boundary, value, size)
    return size


def _warmup(step: Any, *, after: Callable[[Any], Any], steps: float) -> Any:
    return np.minimum((step + 1) / steps, 1) * after(np.maximum(step - steps, 0))


_RULES = (
    _constant,
    _cosine_decay,
    _exponential_decay,
    _inverse_time_decay,
    _piecewise_constant,
    _warmup,
)


def check_size(value: float, name: str) -> float:
    """Check a step size and make a Python float of it, which leaves dtypes as they are.

    Raises
    ------
    BadInputError
    """
    if (
        not isinstance(value, (numbers.Real, np.ndarray))
        or isinstance(value, bool)
        or np.shape(value)
    ):
        raise BadInputError(
            f"{name} must be a number, not {value!r}",
            instead="a float such as 0.1, or a schedule: a callable that takes the step",
        )
    size = float(value)
    if not math.isfinite(size) or size < 0:
        raise BadInputError(
            f"{name} must be finite and not negative, and is {size}",
            instead="0.1 or 0.01, say; to climb, descend on the negative of the function"
            if size < 0
            else "a finite number such as 0.1",
        )
    return size


def _positive(value: float, name: str) -> float:
    if not 0 < value < math.inf:
        raise BadInputError(f"{name} must be positive and finite, and is {value!r}")
    return float(value)
