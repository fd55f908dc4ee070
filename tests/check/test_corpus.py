"""The gradient check on the corpus: gradients right and wrong, kinks and noise.

`pytest -m soak tests/check/test_corpus.py` runs the heavy cases too, and other random directions.
"""

from __future__ import annotations

import functools
import re
from copy import deepcopy

import numpy as np
import pytest
from tests.check.corpus.case import Case
from tests.check.corpus.every_case import CASES
from tests.check.corpus.wrong_cases import Accumulating

import steepest as sd
from steepest.check import GradientCheck, check_gradient
from steepest.errors import SteepestError
from steepest.tree import flatten

BY_NAME = {case.name: case for case in CASES}
SOAK_SEEDS = range(1, 6)
# Their derivative as backpropagation defines it is that of a step: zero.
STEPWISE = {"rounded to twelve decimals"}


def parametrised(cases):
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(
                case,
                id=f"{case.verdict}: {case.name}",
                marks=[pytest.mark.soak] if case.is_heavy else [],
            )
            for case in cases
        ],
    )


@functools.cache
def examined(name: str, seed: int = 0) -> GradientCheck:
    case = BY_NAME[name]
    case.restart()
    # Some cases are at the edge of a domain, and their own arithmetic warns.
    with np.errstate(all="ignore"):
        return check_gradient(case.f, case.x, case.gradient, seed=seed, tolerance=case.tolerance)


def found_in(case: Case, report: GradientCheck):
    return [check for check in report.parameters.values() if check.verdict == report.verdict]


@parametrised(CASES)
def test_verdict(case):
    report = examined(case.name)
    assert report.verdict in case.accepted, str(report)
    if report.verdict != case.verdict:
        return
    found = found_in(case, report)
    if case.parameter:
        assert report.parameters[case.parameter] in found, str(report)
    if case.index is not None:
        assert case.index in [check.worst_index for check in found], str(report)


@parametrised([case for case in CASES if case.verdict == "correct"])
def test_no_false_alarm_in_other_directions(case):
    report = examined(case.name, seed=1)
    assert report.verdict in (*case.accepted, "undecided"), str(report)


@pytest.mark.soak
@pytest.mark.parametrize("seed", SOAK_SEEDS)
@parametrised(CASES)
def test_no_seed_contradicts_the_truth(case, seed):
    """Other directions may leave a case undecided, but may not decide it wrongly."""
    report = examined(case.name, seed=seed)
    assert report.verdict in (*case.accepted, "undecided", "noisy"), str(report)


def diagnosed(case: Case) -> bool:
    checks = found_in(case, examined(case.name))
    return any(re.search(case.diagnosis, check.diagnosis) for check in checks)


def test_totals():
    cases = [case for case in CASES if not case.is_heavy]
    verdicts = {case.name: examined(case.name).verdict for case in cases}
    alarms = [
        case.name
        for case in cases
        if "correct" in case.accepted and verdicts[case.name] not in (*case.accepted, "undecided")
    ]
    missed = [
        case.name
        for case in cases
        if "wrong" in case.accepted and verdicts[case.name] not in case.accepted
    ]
    unnamed = [
        case.name
        for case in cases
        if case.verdict in ("kink", "noisy") and verdicts[case.name] not in case.accepted
    ]
    undecided = [name for name, verdict in verdicts.items() if verdict == "undecided"]
    undiagnosed = [case.name for case in cases if case.diagnosis and not diagnosed(case)]
    with_diagnosis = [case for case in cases if case.diagnosis]
    assert not alarms
    assert not missed
    assert not unnamed
    assert len(undecided) <= 0.01 * len(cases), undecided
    assert len(undiagnosed) <= 0.1 * len(with_diagnosis), undiagnosed


# -- the corpus itself ------------------------------------------------------------------------


def test_the_corpus_is_as_large_as_it_says():
    assert len(CASES) == len(BY_NAME) >= 400
    assert sum(case.verdict == "correct" for case in CASES) >= 150
    assert sum(case.verdict == "wrong" for case in CASES) >= 150
    assert len({case.source for case in CASES if case.source}) >= 70
    assert all(
        re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", case.source)
        for case in CASES
        if case.source
    )


def differences(case: Case):
    """Compare the gradient of a case with backpropagation; None where f is not traced."""
    case.restart()
    try:
        with np.errstate(all="ignore"):
            exact = flatten(sd.grad(case.f)(case.x))[0]
    except SteepestError:
        return None
    case.restart()
    # A layer's gradient reads what its forward pass leaves behind.
    case.f(deepcopy(case.x))
    with np.errstate(all="ignore"):
        given = flatten(case.gradient(deepcopy(case.x)))[0]
    arrays = [
        (np.asarray(one), np.asarray(other))
        for one, other in zip(exact, given, strict=True)
        if isinstance(other, (float, complex, np.ndarray, np.generic))
    ]
    if any(one.shape != other.shape for one, other in arrays):
        return None
    return arrays


def rounding(*arrays):
    return 64 * max(
        float(np.finfo(array.dtype).eps) if array.dtype.kind in "fc" else 0.0 for array in arrays
    )


def test_right_gradients_are_those_of_backpropagation():
    compared = 0
    for case in CASES:
        is_exact = case.verdict == "correct" and case.tolerance is None and not case.is_heavy
        arrays = differences(case) if is_exact and case.name not in STEPWISE else None
        if arrays is None:
            continue
        compared += 1
        for exact, given in arrays:
            size = float(np.max(np.abs(exact), initial=0.0))
            error = float(np.max(np.abs(exact - given), initial=0.0))
            allowed = max(1e-9, rounding(exact, given)) * max(size, 1e-300)
            if "single precision inside" in case.name:
                allowed = 1e-6 * size
            # A solution's error grows with the condition of its matrix.
            assert error <= allowed or "Hilbert" in case.name or size < 1e-14, case.name
    assert compared >= 120


def test_wrong_gradients_are_not_those_of_backpropagation():
    compared = 0
    for case in CASES:
        # Of a right value in the wrong form, or at the first call alone.
        form = case.diagnosis in ("return", "structure", "stale", "real part")
        is_first_right = isinstance(case.gradient, Accumulating)
        if case.verdict != "wrong" or case.is_heavy or form or is_first_right:
            continue
        arrays = differences(case)
        if arrays is None:
            continue
        compared += 1
        assert any(
            not np.all(np.abs(exact - given) <= 5e-6 * np.abs(exact)) for exact, given in arrays
        ), case.name
    assert compared >= 120
