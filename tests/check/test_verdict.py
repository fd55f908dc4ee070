import math

import numpy as np
import pytest

from steepest.check.localise import localise
from steepest.check.verdict import Comparison, judge, overall


def judged(analytic, numerical, **changes):
    about = {
        "bound": 1e-9,
        "rounding": 0.0,
        "size": 1.0,
        "natural": 1.0,
        "negligible": 0.0,
        "tolerance": 0.0,
    }
    return judge(analytic=analytic, numerical=numerical, **(about | changes))


@pytest.mark.parametrize(
    ("analytic", "numerical", "changes", "finding"),
    [
        (1.0, 1.0, {}, "agree"),
        (1.0, 1.0 + 1e-6, {}, "disagree"),
        (1.0, 1.0 + 1e-6, {"rounding": 1e-6}, "agree"),
        (1.0, 1.0 + 1e-6, {"tolerance": 1e-5}, "agree"),
        (1.0, 1.0, {"bound": 0.1}, "unresolved"),
        (1.0, 1.0, {"bound": 0.1, "tolerance": 0.5}, "agree"),
        (1.0, 2.0, {"bound": 0.1}, "disagree"),
        (0.0, 0.0, {"size": 0.0}, "agree"),
        (0.0, 0.0, {"size": 0.0, "bound": 1e-3}, "unresolved"),
        (1e-12, 0.0, {"size": 1e-12, "bound": 1e-12}, "agree"),
        (1e-6, 0.0, {"size": 1e-6, "bound": 1e-6}, "unresolved"),
        (1e-6, 0.0, {"size": 1e-6, "bound": 1e-6, "negligible": 1e-3}, "agree"),
        # What is unknown never agrees.
        (math.nan, 1.0, {}, "unresolved"),
        (1.0, math.nan, {}, "unresolved"),
        (1.0, 1.0, {"bound": math.nan}, "unresolved"),
        (1.0, 1.0, {"rounding": math.nan}, "unresolved"),
        (1.0, 1.0, {"bound": math.inf}, "unresolved"),
        (math.inf, 1.0, {}, "unresolved"),
    ],
)
def test_rules(analytic, numerical, changes, finding):
    assert judged(analytic, numerical, **changes) == finding


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "correct"),
        (["correct", "correct"], "correct"),
        (["correct", "undecided"], "undecided"),
        (["undecided", "noisy"], "noisy"),
        (["noisy", "kink"], "kink"),
        (["kink", "wrong", "correct"], "wrong"),
    ],
)
def test_the_worst_verdict_counts(verdicts, expected):
    assert overall(verdicts) == expected


@pytest.mark.parametrize(
    ("bad", "size", "most"),
    [
        ([], 10_000, 20),
        ([4321], 10_000, 50),
        ([0], 10_000, 50),
        ([9_999], 10_000, 50),
        ([17, 4000, 77_777], 100_000, 130),
        (range(0, 10_000, 2), 10_000, 17),
        ([3], 10, 10),
        ([3], 1, 1),
    ],
)
def test_localisation(bad, size, most):
    wrong = np.zeros(size, dtype=bool)
    wrong[[i for i in bad if i < size]] = True
    calls = []

    def compare(coordinates):
        calls.append(coordinates)
        direction = np.zeros(size)
        direction[coordinates] = 1.0
        found = bool(wrong[coordinates].any())
        return Comparison(
            direction, float(found), 0.0, 1e-9, 0.0, 1.0, "disagree" if found else "agree"
        )

    entries = localise(np.arange(size), compare, np.random.default_rng(0))
    assert all(entry.coordinate is not None for entry in entries)
    found = {entry.coordinate for entry in entries if entry.finding == "disagree"}
    assert found <= set(np.flatnonzero(wrong))
    assert len(found) >= min(3, int(wrong.sum()))
    assert len(calls) <= most
