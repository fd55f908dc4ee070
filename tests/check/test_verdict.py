import builtins
import math

import numpy as np
import pytest

from steepest.check.conditioning import run_with_rounding_errors
from steepest.check.coverage import Coverage
from steepest.check.directions import Direction, random_direction
from steepest.check.localise import Search, proportion_between
from steepest.check.plateau import find_jump
from steepest.check.verdict import Comparison, Finding, judge, overall


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


def search_of(size, bad):
    """A search among entries of which some are wrong, by one each; and the calls that it makes."""
    wrong = np.zeros(size)
    wrong[[i for i in bad if i < size]] = 1.0
    calls = []

    def direction(coordinates):
        moves = np.random.default_rng(1).uniform(0.5, 1.5, size)[coordinates]
        return Direction(coordinates, moves, np.ones(coordinates.size), np.zeros(coordinates.size))

    def difference(part):
        return float(wrong[part.coordinates] @ part.moves)

    def compare(coordinates):
        calls.append(coordinates)
        part = direction(coordinates)
        found = difference(part)
        finding: Finding = "disagree" if found else "agree"
        return Comparison(part, found, 0.0, 1e-9, 0.0, 1.0, finding)

    def look(part):
        calls.append(part.coordinates)
        return difference(part), 1e-9

    return Search(compare, np.random.default_rng(0)), compare(np.arange(size)), look, calls


@pytest.mark.parametrize(
    ("bad", "size", "most"),
    [
        ([], 10_000, 20),
        ([4321], 10_000, 35),
        ([0], 10_000, 35),
        ([9_999], 10_000, 35),
        ([17, 4000, 77_777], 100_000, 75),
        (range(5, 10**6, 100_000), 10**6, 230),
        (range(0, 10_000, 2), 10_000, 17),
        ([3], 10, 11),
        ([3], 1, 2),
    ],
)
def test_localisation(bad, size, most):
    search, suspect, look, calls = search_of(size, bad)
    for _ in search.sample(np.arange(size)):
        pass
    if not search.is_dense and search.sampled < size:
        for _ in search.split(suspect, look):
            pass
    found = {entry.coordinate for entry in search.entries if entry.finding == "disagree"}
    assert found <= set(bad)
    assert search.is_dense or found == {i for i in bad if i < size}
    assert len(calls) <= most


def test_localisation_stops_when_there_are_too_many():
    search, suspect, look, calls = search_of(10**5, range(0, 10**5, 1000))
    for _ in search.split(suspect, look):
        pass
    assert search.exhausted
    assert search.found == 32
    assert len(calls) < 32 * 18


def test_halving_needs_no_differences_that_add_up():
    search, _, _, calls = search_of(5000, [1234])
    for _ in search.halve(np.arange(5000)):
        pass
    assert [entry.coordinate for entry in search.entries if entry.finding == "disagree"] == [1234]
    assert len(calls) < 32


# -- what was covered -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 50])
def test_the_probability_of_a_miss_is_a_bound(count):
    """Errors chosen so that they cancel in one direction are missed as seldom as is said."""
    generator = np.random.default_rng(count)
    error = np.r_[1.0, -generator.uniform(0.2, 1.0, count - 1)]
    draws = 4000
    for unseen in (0.02, 0.1, 0.5):
        missed = 0
        for _ in range(draws):
            direction = random_direction(np.arange(count), np.ones(count), generator)
            missed += abs(float(error @ direction.moves)) <= unseen
        coverage = Coverage(count)
        coverage.add(direction, unseen)
        bound = coverage.missed().probability(1.0)
        assert missed / draws <= bound + 3 * np.sqrt(bound / draws)
        assert bound <= 2.01 * unseen


def test_probabilities_of_independent_directions_multiply():
    generator = np.random.default_rng(0)
    coverage = Coverage(10)
    everything = np.arange(10)
    assert coverage.missed().probability(1.0) == 1.0
    assert coverage.missed().size(1e-3) == np.inf
    for _ in range(3):
        coverage.add(random_direction(everything, np.ones(10), generator), 2.0**-5)
    assert coverage.missed().probability(1.0) == (2.0**-4) ** 3
    assert coverage.missed().size(2.0**-12) == pytest.approx(1.0)
    assert not np.all(coverage.probabilities(1.0) > 2.0**-12)
    # A direction through a part of the entries leaves the others as they were.
    coverage.add(random_direction(everything[:5], np.ones(10), generator), 2.0**-5)
    assert coverage.missed().probability(1.0) == (2.0**-4) ** 3
    assert coverage.probabilities(1.0).tolist() == 5 * [2.0**-16] + 5 * [2.0**-12]


def test_entries_examined_one_by_one_have_no_blind_spot():
    coverage = Coverage(2)
    for coordinate in range(2):
        place = np.array([coordinate])
        coverage.add(Direction(place, np.array([2.0]), np.zeros(1), np.zeros(1)), 1e-6)
    assert coverage.missed().probability(4e-7) == 1.0
    assert coverage.missed().probability(6e-7) == 0.0
    assert coverage.certain.tolist() == [5e-7, 5e-7]


@pytest.mark.parametrize(("bad", "sampled"), [(0, 16), (3, 16), (16, 16)])
def test_proportions(bad, sampled):
    low, high = proportion_between(bad, sampled, 0.99)
    assert 0 <= low <= bad / sampled <= high <= 1
    wider = proportion_between(bad, sampled, 0.9999)
    assert wider[0] <= low <= high <= wider[1]


# -- functions that are constant piece by piece ----------------------------------------------------


@pytest.mark.parametrize(
    ("function", "jumps"),
    [
        (np.round, True),
        (np.floor, True),
        (lambda x: float(x > 3.0), True),
        (lambda x: 5.0, False),
        (lambda x: max(x - 4.0, 0.0), False),
        (lambda x: np.clip(x, 5.0, 6.0), False),
        (lambda x: max(x - 3.0, 0.0) ** 0.5, False),
        # Beyond its jump it is not constant.
        (lambda x: x if x > 3.0 else 0.0, False),
        (lambda x: 0.0 if x < 3.0 else np.nan, False),
    ],
)
def test_pieces(function, jumps):
    def sample(step):
        return float(function(2.3 + 2.3 * step))

    assert (find_jump(sample, sample(0.0), 1e-9) is not None) == jumps


# -- ill-conditioned functions ---------------------------------------------------------------------


def test_rounding_errors_show_the_condition_of_a_matrix():
    def spread(matrix):
        values = np.array(
            [
                run_with_rounding_errors(lambda m: np.sum(np.linalg.inv(m)), matrix, seed)
                for seed in range(6)
            ],
            dtype=float,
        )
        return np.ptp(values) / abs(np.mean(values))

    assert 1e-17 < spread(np.diag([1.0, 2.0, 4.0])) < 1e-14
    order = np.arange(8)
    hilbert = 1 / (1.0 + order + order[:, np.newaxis])
    assert 1e-8 < spread(hilbert) < 1e-4


def test_rounding_errors_repeat_and_need_a_function_that_can_be_traced():
    def f(x):
        return np.sum(np.sqrt(x) / 3)

    x = np.arange(1.0, 6.0)
    first, second = (run_with_rounding_errors(f, x, seed=3) for _ in range(2))
    assert first == second != f(x)
    assert run_with_rounding_errors(lambda x: builtins.float(x[0]), x, seed=0) is None
