"""The corpus of the gradient check, through steepest and through today's other checkers.

``python -m benchmarks.checkers`` prints a table. Whoever is not installed is left out, with a line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tests.check.corpus.case import Case
from tests.check.corpus.every_case import CASES

from benchmarks.checker_peers import CHECKERS, Problem, outcome
from steepest.tree import flatten, is_differentiable

__all__ = ["Outcome", "main", "measure", "table"]


@dataclass(frozen=True)
class Outcome:
    """What one checker said of one case; `seconds` are of the processor's time."""

    checker: str
    case: str
    verdict: str
    evaluations: int
    seconds: float


def measure(checkers: Iterable[str], cases: Iterable[Case], seconds: float) -> list[Outcome]:
    """Run each checker on each case.

    Parameters
    ----------
    checkers : iterable of str
        Names in `CHECKERS`.
    cases : iterable of Case
    seconds : float
        Allowed for one case, of the processor's time: what else the machine does is no matter.
    """
    cases = list(cases)
    outcomes = []
    for name in checkers:
        for case in cases:
            problem = Problem(case, seconds)
            start = time.process_time()
            try:
                verdict = outcome(CHECKERS[name], problem)
            except ImportError as error:
                print(f"{name}: left out, {error}")
                break
            spent = time.process_time() - start
            outcomes.append(Outcome(name, case.name, verdict, problem.evaluations, spent))
    return outcomes


def is_low_precision(case: Case) -> bool:
    """Whether an input has less than double precision."""
    return any(
        np.finfo(np.asarray(leaf).dtype).nmant < np.finfo(np.float64).nmant
        for leaf in flatten(case.x)[0]
        if is_differentiable(leaf)
    )


def table(outcomes: list[Outcome]) -> str:
    """Count the outcomes, a row a checker."""
    cases = {case.name: case for case in CASES}
    names = list(dict.fromkeys(each.checker for each in outcomes))
    known = [cases[each.case] for each in outcomes if each.checker == names[0]]
    total = {verdict: sum(case.verdict == verdict for case in known) for verdict in _VERDICTS}
    header = [
        "checker",
        f"accepted of {total['correct']}",
        "false alarms (float64/lower)",
        f"caught of {total['wrong']}",
        "missed",
        f"kinks named of {total['kink']}",
        "kinks passed",
        f"noise named of {total['noisy']}",
        "undecided",
        "evaluations",
        "seconds",
    ]
    rows = [header, ["---"] * len(header)]
    for name in names:
        said = {each.case: each.verdict for each in outcomes if each.checker == name}
        right = [case for case in known if case.verdict == "correct"]
        alarms = [case for case in right if said[case.name] not in (*case.accepted, "undecided")]
        low = sum(map(is_low_precision, alarms))
        bad = [case for case in known if case.verdict == "wrong"]
        rough = [case for case in known if case.verdict == "kink"]
        noise = [case for case in known if case.verdict == "noisy"]
        rows.append(
            [
                name,
                str(sum(said[case.name] == "correct" for case in right)),
                f"{len(alarms)} ({len(alarms) - low}/{low})",
                str(sum(said[case.name] in case.accepted for case in bad)),
                str(sum(said[case.name] not in (*case.accepted, "undecided") for case in bad)),
                str(sum(said[case.name] == "kink" for case in rough)),
                str(sum(said[case.name] == "correct" for case in rough)),
                str(sum(said[case.name] == "noisy" for case in noise)),
                str(sum(verdict == "undecided" for verdict in said.values())),
                f"{sum(each.evaluations for each in outcomes if each.checker == name):,}",
                f"{sum(each.seconds for each in outcomes if each.checker == name):.0f}",
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


_VERDICTS = ("correct", "wrong", "kink", "noisy")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="checkers whose name contains this")
    parser.add_argument("--seconds", type=float, default=3.0, help="allowed for one case")
    parser.add_argument("--json", type=Path, help="where to write every outcome")
    arguments = parser.parse_args()
    chosen = [name for name in CHECKERS if arguments.only in name]
    outcomes = measure(chosen, [case for case in CASES if not case.is_heavy], arguments.seconds)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=1))
    print(table(outcomes))


if __name__ == "__main__":
    main()
