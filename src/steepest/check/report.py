"""The report of a gradient check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from steepest.check.coverage import MissedErrors
from steepest.check.rendering import as_html, as_json
from steepest.check.verdict import Verdict
from steepest.errors import WrongGradientError

__all__ = ["GradientCheck", "ParameterCheck"]

Index: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ParameterCheck:
    """What was found for one parameter.

    Attributes
    ----------
    name : str
        Its way through the pytree; ``"x"`` for a lone array.
    shape : tuple of int
    dtype : str
    verdict : {"correct", "wrong", "kink", "noisy", "undecided"}
    reason : str
        Why, in words; empty for a plain "correct".
    error : float
        How far the analytic derivative is from the numerical one where that is most beyond what is
        allowed: at `worst_index`, or, when that is None, along a unit vector.
    bound : float
        On the error of that comparison, rounding included: what differs by less agrees.
    resolution : float
        An error of this size in any one entry alone would have been seen; infinite when nothing is
        known. For errors of several entries, which could cancel, see `miss_probability`.
    coverage : float
        Part of the entries that were in a comparison with a bound on its error.
    confidence : float
        Probability with which the bounds hold, as far as they rest on samples of noise.
    worst_index : tuple of int or None
        The entry that is wrong, or at a kink; None when no entry stands out.
    analytic, numerical : float
        The two derivatives compared.
    diagnosis : str
        The mistake that explains the discrepancy, and where to look; empty when none does.
    operation : str
        The operation whose derivative rule is wrong, when steepest differentiated the function and
        one is; the reason says more.
    entries, directions : int
        How many entries were examined one by one, and how many random directions.
    wrong_entries : tuple of tuple of int
        The entries that were found wrong; when many are, those of a sample.
    missed : MissedErrors or None
        What `miss_probability` is computed from.
    """

    name: str
    shape: Index
    dtype: str
    verdict: Verdict
    reason: str = ""
    error: float = np.nan
    bound: float = np.nan
    resolution: float = np.inf
    worst_index: Index | None = None
    analytic: float = np.nan
    numerical: float = np.nan
    diagnosis: str = ""
    entries: int = 0
    directions: int = 0
    operation: str = ""
    coverage: float = 0.0
    confidence: float = 0.999
    wrong_entries: tuple[Index, ...] = ()
    missed: MissedErrors | None = field(default=None, repr=False)

    def miss_probability(self, size: float) -> float:
        """Bound the probability that an error of the gradient was missed.

        Parameters
        ----------
        size : float
            The error is at least so large in at least one entry, whatever it is in others.

        Returns
        -------
        float
            Over the random directions, which no error could have been chosen against; 1 where
            nothing is known. That of an error in a single entry is zero above `resolution`, as far
            as the bounds hold, which they do with `confidence`.

        Examples
        --------
        >>> import numpy as np
        >>> from steepest import check_gradient
        >>> x = np.linspace(1, 2, 100)
        >>> check = check_gradient(lambda x: np.sum(x**2), x, lambda x: 2 * x).parameters["x"]
        >>> check.miss_probability(0.001) < 0.001 < check.miss_probability(0)
        True
        """
        return 1.0 if self.missed is None else self.missed.probability(size)

    @property
    def detectable(self) -> float:
        """The least error that is missed with a probability of at most 1 - confidence."""
        return np.inf if self.missed is None else self.missed.size(1 - self.confidence)

    @property
    def ok(self) -> bool:
        """Whether the verdict is "correct"."""
        return self.verdict == "correct"

    def __repr__(self) -> str:
        return f"<ParameterCheck {self.name}: {self.verdict}>"

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.verdict}"]
        if self.reason:
            lines.append(f"  {self.reason}")
        if self.verdict != "kink" and (np.isfinite(self.analytic) or np.isfinite(self.numerical)):
            where = "in a random direction"
            if self.worst_index is not None:
                where = f"at {_entry(self.name, self.worst_index)}"
            lines.append(
                f"  {where}: analytic {self.analytic:.9g}, numerical {self.numerical:.9g}"
                f" ± {self.bound:.1g}"
            )
        if self.diagnosis:
            lines.append(f"  diagnosis: {self.diagnosis}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """The result of `check_gradient`: a verdict, and one for each parameter.

    Attributes
    ----------
    verdict : {"correct", "wrong", "kink", "noisy", "undecided"}
        The worst of the parameters' verdicts.
    parameters : dict of str to ParameterCheck
    evaluations : int
        Calls of the function.
    gradient_evaluations : int
        Calls of the gradient.
    notes : tuple of str
        What else is to be known: what was not checked, what the function does besides.
    confidence : float
        As it was asked for.
    """

    verdict: Verdict
    parameters: dict[str, ParameterCheck] = field(repr=False)
    evaluations: int
    gradient_evaluations: int
    notes: tuple[str, ...] = ()
    confidence: float = 0.999

    @property
    def ok(self) -> bool:
        """Whether the gradient of every parameter is correct."""
        return self.verdict == "correct"

    def raise_if_wrong(self) -> None:
        """Raise unless the gradient was found correct.

        Raises
        ------
        WrongGradientError
            With the report as its message, also for "kink", "noisy" and "undecided": a check that
            could not decide has not passed.
        """
        __tracebackhide__ = True  # of pytest, where the report is what matters
        if not self.ok:
            raise WrongGradientError(str(self))

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the report as JSON: these fields, ``ok`` and the number of the ``schema``.

        ``parameters`` is a list. Numbers that are not finite are null.
        """
        return as_json(self, indent=indent)

    def _repr_html_(self) -> str:
        return as_html(self)

    def __repr__(self) -> str:
        return (
            f"<GradientCheck {self.verdict}: {len(self.parameters)} parameters,"
            f" {self.evaluations} evaluations>"
        )

    def __str__(self) -> str:
        checks = list(self.parameters.values())
        failed = [check for check in checks if not check.ok]
        header = (
            *("parameter", "shape", "dtype", "verdict"),
            *("error", "bound", "detectable", "examined"),
        )
        rows = [header, *(_row(check) for check in checks)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        table = [
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        count = (
            f"{len(failed)} of {len(checks)} parameters"
            if failed
            else _plural(len(checks), "parameter")
        )
        evaluations = _plural(self.evaluations, "evaluation")
        calls = f"{evaluations} of the function, {self.gradient_evaluations} of the gradient"
        lines = [f"gradient check: {self.verdict} ({count}; {calls})"]
        lines += [line.rstrip() for line in table]
        for check in failed:
            lines += ["", str(check)]
        notes = [f"  {check.name}: {check.reason}" for check in checks if check.ok and check.reason]
        if notes:
            lines += ["", *notes]
        lines += self._certainty()
        if self.notes:
            lines += ["", *(f"  note: {note}" for note in self.notes)]
        return "\n".join(lines)

    def _certainty(self) -> list[str]:
        """Say what could have been missed where nothing was found."""
        if not any(check.ok and check.directions for check in self.parameters.values()):
            return []
        return [
            "",
            "  detectable: error that would have been seen in one entry (in several that cancel),",
            f"  with a confidence of {self.confidence:.6g}",
        ]


def _row(check: ParameterCheck) -> tuple[str, ...]:
    shape = "×".join(map(str, check.shape)) if check.shape else "scalar"
    parts = []
    if check.entries:
        parts.append(f"{check.entries} entries" if check.entries > 1 else "1 entry")
    if check.directions:
        parts.append(_plural(check.directions, "direction"))
    examined = ", ".join(parts) or "nothing"
    detectable = "-"
    if np.isfinite(check.resolution) and check.ok and parts:
        detectable = f"{check.resolution:.0e}" if check.resolution > 0 else "any"
        if check.directions and np.isfinite(check.detectable):
            detectable += f" ({check.detectable:.0e})"
    numbers = (
        f"{value:.1e}" if np.isfinite(value) else "-" for value in (check.error, check.bound)
    )
    return (check.name, shape, check.dtype, check.verdict, *numbers, detectable, examined)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _entry(name: str, index: Index) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if index else name
