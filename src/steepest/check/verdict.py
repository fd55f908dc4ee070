"""What a check can find, and the rules by which it decides.

Every comparison is written so that NaN fails it, and a check that could not have seen an error
does not pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from steepest.check.directions import Direction
from steepest.numeric.precision import Precision

__all__ = [
    "CERTAIN_EXCESS",
    "NOT_SMOOTH",
    "Comparison",
    "Finding",
    "Look",
    "Verdict",
    "judge",
    "overall",
]

Verdict: TypeAlias = Literal["correct", "wrong", "kink", "noisy", "undecided"]
Finding: TypeAlias = Literal[
    "agree", "disagree", "unresolved", "kink", "step", "singularity", "domain edge"
]

NOT_SMOOTH: tuple[Finding, ...] = ("kink", "step", "singularity", "domain edge")

# The worst of the parameters' verdicts is the verdict on the gradient.
SEVERITY: tuple[Verdict, ...] = ("wrong", "kink", "noisy", "undecided", "correct")

# A check passes when it would have seen an error of this part of the gradient …
POWER = 3e-3
# … or, where the gradient vanishes, of this part of f, for a change of x by its own size.
NATURAL_POWER = 1e-8
# The bounds are estimates: what exceeds them by less still agrees.
CERTAIN_EXCESS = 2.0


@dataclass(frozen=True, slots=True)
class Look:
    """The steps of a comparison that tell most, for looking at parts of its direction.

    Attributes
    ----------
    exponent : int
        Of the coarser of two steps 8**-k; the other is the next finer one.
    precision, formula : Precision
        Of the function, and of the gradient.
    noise : float
        Bound on the error of a value of the function.
    error : float
        How far the two steps alone were from the derivative.
    natural : float
        Size of the function near x.
    """

    exponent: int
    precision: Precision
    formula: Precision
    noise: float
    error: float
    natural: float


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The analytic and the numerical derivative in one direction.

    Attributes
    ----------
    direction : Direction
        What was moved.
    analytic, numerical : float
        Along the direction, as are all the numbers below.
    bound : float
        On the error of the numerical derivative.
    rounding : float
        The error that the analytic one may have from rounding.
    size : float
        Root of the sum of squares of what the coordinates contribute.
    finding : str
    left, right : float
        One-sided slopes, where there is a kink; NaN otherwise.
    note : str
        What else is to be said.
    raised : bool
        Whether it took a precision higher than the working one.
    accepted : float
        What the user's tolerance accepts.
    look : Look or None
        How to look at a part of the direction with few evaluations.
    """

    direction: Direction
    analytic: float
    numerical: float
    bound: float
    rounding: float
    size: float
    finding: Finding
    left: float = np.nan
    right: float = np.nan
    note: str = ""
    raised: bool = False
    accepted: float = 0.0
    look: Look | None = None

    @property
    def length(self) -> float:
        """Euclidean length of the direction: dividing by it gives the units of the gradient."""
        return self.direction.length

    @property
    def error(self) -> float:
        """How far the derivatives are apart, in units of the gradient."""
        return abs(self.analytic - self.numerical) / self.length

    @property
    def resolution(self) -> float:
        """What the derivatives may differ by and still agree, in units of the gradient."""
        return CERTAIN_EXCESS * (self.bound + self.rounding) / self.length

    @property
    def unseen(self) -> float:
        """The largest error along the direction that may not be seen.

        The numerical derivative may be off towards the wrong one by all its bound.
        """
        return (CERTAIN_EXCESS + 1) * (self.bound + self.rounding) + self.accepted

    @property
    def scale(self) -> float:
        """Size of the derivative, also where its terms cancel."""
        return max(abs(self.analytic), abs(self.numerical), self.size)

    @property
    def share(self) -> float:
        """The error as a part of the derivative, or of its size where that cancels."""
        scale = self.scale
        return abs(self.analytic - self.numerical) / scale if scale > 0 else np.inf

    @property
    def excess(self) -> float:
        """The error in units of what is allowed; infinite when unknown."""
        allowed = CERTAIN_EXCESS * (self.bound + self.rounding) + self.accepted
        difference = abs(self.analytic - self.numerical)
        if not np.isfinite(difference) or not np.isfinite(allowed):
            return np.inf
        return 0.0 if difference == 0 else difference / max(allowed, np.finfo(float).tiny)

    @property
    def coordinate(self) -> int | None:
        """The coordinate examined, when it is a single one."""
        return self.direction.coordinate


def judge(
    *,
    analytic: float,
    numerical: float,
    bound: float,
    rounding: float,
    size: float,
    natural: float,
    negligible: float,
    tolerance: float,
) -> Finding:
    """Decide whether two derivatives agree, disagree, or cannot be told apart well enough.

    Parameters
    ----------
    analytic, numerical : float
    bound, rounding : float
        On the errors of the numerical and of the analytic derivative.
    size : float
        What an uncancelled derivative would be about.
    natural : float
        Size of the function itself.
    negligible : float
        Errors up to this do not matter beside the rest of the parameter.
    tolerance : float
        Relative error that the user accepts.

    Examples
    --------
    >>> about = dict(
    ...     bound=1e-9, rounding=1e-12, size=1.0, natural=1.0, negligible=0.0, tolerance=0.0
    ... )
    >>> judge(analytic=1.0, numerical=1.0 + 1e-10, **about)
    'agree'
    >>> judge(analytic=1.0, numerical=1.1, **about)
    'disagree'
    >>> judge(analytic=float("nan"), numerical=1.0, **about)
    'unresolved'
    """
    uncertainty = CERTAIN_EXCESS * (bound + rounding)
    scale = max(abs(analytic), abs(numerical), size)
    accepted = tolerance * scale
    difference = abs(analytic - numerical)
    if difference > uncertainty + accepted:
        return "disagree"
    powerful = uncertainty <= max(POWER * scale, accepted, negligible)
    vanishes = scale <= 4 * uncertainty <= 4 * NATURAL_POWER * natural
    if difference <= uncertainty + accepted and (powerful or vanishes):
        return "agree"
    return "unresolved"


def overall(verdicts: list[Verdict]) -> Verdict:
    """Return the worst of several verdicts; correct only when all are.

    Examples
    --------
    >>> overall(["correct", "kink", "undecided"])
    'kink'
    """
    return min(verdicts, key=SEVERITY.index, default="correct")
