import builtins
import pickle
import re
from typing import Any

import numpy as np
import pytest

from steepest import nn
from steepest.check import check_gradient
from steepest.check.analytic import AnalyticGradient
from steepest.errors import (
    BadInputError,
    NotDifferentiableError,
    ShadowRunError,
    WrongGradientError,
)
from steepest.numeric import noise
from steepest.numeric.evaluate import BudgetSpentError, Function
from steepest.numeric.precision import EXTENDED

NORMAL = np.random.default_rng(11).normal(size=(4, 3))
WEIGHTS = {"W": NORMAL, "b": NORMAL[0], "name": "layer"}


def loss(p):
    return np.sum(np.tanh(NORMAL @ p["W"].T) ** 2) + np.sum(p["b"] ** 3)


def loss_gradient(p, factor=1.0):
    hidden = np.tanh(NORMAL @ p["W"].T)
    return {
        "W": (2 * hidden * (1 - hidden**2)).T @ NORMAL,
        "b": factor * 3 * p["b"] ** 2,
        "name": p["name"],
    }


def test_correct():
    report = check_gradient(loss, WEIGHTS, loss_gradient)
    assert report.ok
    assert report.verdict == "correct"
    assert list(report.parameters) == ["W", "b"]
    check = report.parameters["W"]
    assert check.verdict == "correct"
    assert check.error <= check.bound < 1e-6
    assert check.resolution < 1e-5
    assert (check.shape, check.dtype) == ((4, 3), "float64")
    report.raise_if_wrong()


def test_wrong():
    report = check_gradient(loss, WEIGHTS, lambda p: loss_gradient(p, 2.0))
    assert not report.ok
    assert report.verdict == "wrong"
    assert report.parameters["W"].ok
    check = report.parameters["b"]
    assert check.verdict == "wrong"
    assert check.error > check.bound
    assert check.worst_index is not None
    (index,) = check.worst_index
    exact = 3 * NORMAL[0, index] ** 2
    assert check.analytic == pytest.approx(2 * exact)
    assert check.numerical == pytest.approx(exact, rel=1e-6)
    assert "factor of 2" in check.diagnosis
    with pytest.raises(WrongGradientError, match="factor of 2") as caught:
        report.raise_if_wrong()
    assert isinstance(caught.value, AssertionError)


def test_report_reads_well():
    text = str(check_gradient(loss, WEIGHTS, lambda p: loss_gradient(p, 2.0)))
    head, *rows = text.splitlines()
    assert head.startswith("gradient check: wrong (1 of 2 parameters")
    assert rows[0].split()[:4] == ["parameter", "shape", "dtype", "verdict"]
    assert rows[1].split()[:4] == ["W", "4×3", "float64", "correct"]
    assert rows[2].split()[:4] == ["b", "3", "float64", "wrong"]
    assert "analytic" in text
    assert "diagnosis" in text
    assert max(map(len, rows[:3])) < 110


def test_short_repr_and_pickle():
    report = check_gradient(loss, WEIGHTS, loss_gradient)
    assert repr(report).startswith("<GradientCheck correct: 2 parameters,")
    assert "\n" not in repr(report)
    copy = pickle.loads(pickle.dumps(report))
    assert str(copy) == str(report)
    assert copy.ok


@pytest.mark.parametrize("x", [np.ones(3), np.float32(2.0), 2.0, np.array(2.0)])
def test_a_lone_leaf_is_called_x(x):
    report = check_gradient(lambda x: np.sum(x**2), x, lambda x: 2 * x)
    assert list(report.parameters) == ["x"]
    assert report.ok


def test_same_seed_same_report():
    first, second = (check_gradient(loss, WEIGHTS, loss_gradient, seed=3) for _ in range(2))
    assert str(first) == str(second)


def test_every_call_is_counted():
    calls = {"f": 0, "gradient": 0}

    def f(p):
        calls["f"] += 1
        return loss(p)

    def gradient(p):
        calls["gradient"] += 1
        return loss_gradient(p)

    report = check_gradient(f, WEIGHTS, gradient)
    assert report.evaluations == calls["f"]
    assert report.gradient_evaluations == calls["gradient"]
    # Two random directions a parameter, six evaluations each, and what is shared.
    assert calls["f"] <= 50


def test_evaluations_and_time_go_to_all_parameters_in_turn():
    """Rather than to one after the other, until nothing is left."""
    x = {name: np.linspace(1, 2, 50) for name in "abcd"}
    needed = check_gradient(lambda p: sum(np.sum(np.sin(v)) for v in p.values()), x)
    report = check_gradient(
        lambda p: sum(np.sum(np.sin(v)) for v in p.values()),
        x,
        lambda p: {name: np.cos(v) * (1 + (name == "d")) for name, v in p.items()},
        evaluations=needed.evaluations * 3 // 4,
    )
    assert report.evaluations <= needed.evaluations * 3 // 4
    assert report.parameters["d"].verdict == "wrong"
    for name in "abc":
        assert report.parameters[name].coverage == 1.0
        assert "100% of its entries were in a comparison" in report.parameters[name].reason


def test_a_budget_that_suffices_decides():
    needed = check_gradient(loss, WEIGHTS, loss_gradient).evaluations
    assert check_gradient(loss, WEIGHTS, loss_gradient, evaluations=needed).ok


def test_time_that_is_spent_while_a_direction_is_measured(monkeypatch):
    """What the finished steps show is used."""
    now = [0.0]
    monkeypatch.setattr("steepest.numeric.evaluate.time.monotonic", lambda: now[0])

    def slow(x):
        now[0] += 1.0
        return np.sum(np.sin(x))

    x = np.linspace(1, 2, 1000)
    report = check_gradient(slow, x, np.cos, seconds=18.5)
    assert now[0] <= 18.5
    assert report.verdict == "undecided"
    assert report.parameters["x"].coverage == 1.0
    now[0] = 0.0
    report = check_gradient(slow, x, lambda x: 2 * np.cos(x), seconds=18.5)
    assert now[0] <= 18.5
    assert report.verdict == "wrong"


@pytest.mark.parametrize("budget", [1, 5, 20])
def test_budget_of_evaluations(budget):
    report = check_gradient(loss, WEIGHTS, loss_gradient, evaluations=budget)
    assert report.evaluations <= budget
    assert report.verdict == "undecided"
    assert "budget" in report.parameters["b"].reason


def test_what_was_found_within_the_budget_counts():
    report = check_gradient(
        loss, WEIGHTS, lambda p: loss_gradient(p) | {"W": -NORMAL}, evaluations=120
    )
    assert report.parameters["W"].verdict == "wrong"


def test_no_time():
    assert check_gradient(loss, WEIGHTS, loss_gradient, seconds=0.0).verdict == "undecided"


def test_tolerance_for_approximate_functions():
    def f(x):
        return np.sum(np.sin(x))

    def gradient(x):
        return np.cos(x) * (1 + 3e-6)

    report = check_gradient(f, NORMAL, gradient)
    assert report.verdict == "wrong"
    assert "tolerance=1e-05" in report.parameters["x"].reason
    assert check_gradient(f, NORMAL, gradient, tolerance=1e-5).ok
    assert check_gradient(f, NORMAL, lambda x: 1.1 * np.cos(x), tolerance=1e-5).verdict == "wrong"


def test_arguments_are_never_changed():
    x = NORMAL.copy()
    weights = {"x": x, "count": np.arange(3)}

    def f(p):
        p["x"] *= 2
        p["count"] += 1
        return np.sum(p["x"] ** 2)

    def gradient(p):
        p["x"] *= 8
        return {"x": p["x"], "count": None}

    assert check_gradient(f, weights, gradient).ok
    np.testing.assert_array_equal(x, NORMAL)
    np.testing.assert_array_equal(weights["count"], np.arange(3))


def test_a_gradient_that_reuses_its_buffer():
    buffer = np.empty_like(NORMAL)

    def gradient(x):
        np.cos(x, out=buffer)
        return buffer

    assert check_gradient(lambda x: np.sum(np.sin(x)), NORMAL, gradient).ok


def test_names_matter_and_containers_do_not():
    x = {"a": 2.0, "b": [1.0, 3.0]}
    report = check_gradient(
        lambda p: p["a"] ** 2 + p["b"][0] * p["b"][1],
        x,
        lambda p: {"b": (p["b"][1], p["b"][0]), "a": 2 * p["a"]},
    )
    assert report.ok


def test_a_part_too_many():
    report = check_gradient(
        lambda p: p["a"] ** 2, {"a": 2.0}, lambda p: {"a": 2 * p["a"], "c": 1.0}
    )
    assert report.verdict == "wrong"
    assert report.parameters["a"].ok
    assert "does not have" in report.parameters["c"].reason


def test_errors_are_the_users():
    def fails(x):
        raise LookupError("no data")

    with pytest.raises(LookupError, match="no data"):
        check_gradient(fails, 1.0, lambda x: x)
    with pytest.raises(LookupError, match="no data"):
        check_gradient(lambda x: x**2, 1.0, fails)


def test_bad_arguments():
    with pytest.raises(BadInputError, match=r"shape \(3,\)"):
        check_gradient(lambda x: x, np.ones(3), lambda x: x)
    with pytest.raises(NotDifferentiableError):
        check_gradient(np.sum, np.arange(3), np.ones_like)
    with pytest.raises(BadInputError, match="confidence"):
        check_gradient(loss, WEIGHTS, loss_gradient, confidence=1.5)
    with pytest.raises(BadInputError, match="tolerance"):
        check_gradient(loss, WEIGHTS, loss_gradient, tolerance=-1.0)


@pytest.mark.parametrize(
    ("x", "reason"), [([np.nan, 1.0], "x[0] is nan"), ([1.0, np.inf], "x[1] is inf")]
)
def test_x_that_is_not_finite_is_undecided(x, reason):
    report = check_gradient(lambda x: np.sum(x), np.array(x), np.ones_like)
    assert report.verdict == "undecided"
    assert reason in report.parameters["x"].reason


def test_f_that_is_nan_is_undecided():
    report = check_gradient(lambda x: np.nan * np.sum(x), np.ones(2), np.ones_like)
    assert report.verdict == "undecided"
    assert "nan" in report.parameters["x"].reason


def test_rounding_in_single_precision_is_reported():
    """The formula is right, and in float32 it cancels."""
    x = np.linspace(5.0, 7.0, 5, dtype=np.float32)
    report = check_gradient(lambda x: np.sum(np.tanh(x)), x, lambda x: 1 - np.tanh(x) ** 2)
    assert report.ok
    assert "rounding in float32" in report.parameters["x"].reason


def test_wrong_in_single_precision_alone():
    def gradient(x):
        return np.cos(x) * (2 if x.dtype == np.float32 else 1)

    report = check_gradient(lambda x: np.sum(np.sin(x)), NORMAL.astype(np.float32), gradient)
    assert report.verdict == "wrong"
    assert "float32" in report.parameters["x"].reason


def test_default_gradient_is_steepests():
    assert check_gradient(loss, WEIGHTS).ok


def test_progress_bar(capsys):
    check_gradient(loss, WEIGHTS, loss_gradient, progress=True)
    assert "gradient check" in capsys.readouterr().err
    check_gradient(loss, WEIGHTS, loss_gradient)
    assert capsys.readouterr().err == ""


def test_few_evaluations_for_many_entries():
    x = np.random.default_rng(0).normal(size=10_000)
    report = check_gradient(lambda x: np.sum(np.sin(x)), x, np.cos)
    assert report.ok
    assert report.evaluations < 60


def test_one_wrong_entry_among_many_is_found():
    x = np.random.default_rng(0).normal(size=(100, 100))

    def gradient(x):
        result = np.cos(x)
        result[12, 34] *= 1.001
        return result

    report = check_gradient(lambda x: np.sum(np.sin(x)), x, gradient)
    check = report.parameters["x"]
    assert check.worst_index == (12, 34)
    assert check.wrong_entries == ((12, 34),)
    assert "1 of 10,000 entries is wrong, and the others agree: x[12, 34]" in check.reason
    assert report.evaluations < 350


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_several_wrong_entries_among_very_many_are_found(dtype):
    x = np.random.default_rng(0).normal(size=100_000).astype(dtype)
    places = [77, 40_000, 99_999]

    def gradient(x):
        result = np.cos(x)
        result[places] += np.array([0.7, -0.7, 0.1], x.dtype)
        return result

    report = check_gradient(lambda x: np.sum(np.sin(x)), x, gradient)
    assert report.parameters["x"].wrong_entries == tuple((place,) for place in places)
    assert report.evaluations < 600


def test_many_wrong_entries_are_counted_by_a_sample():
    x = np.random.default_rng(0).normal(size=10_000)
    report = check_gradient(lambda x: np.sum(x**2), x, lambda x: np.where(x > 0, 2, 3) * x)
    assert "drawn at random are wrong, so that between" in report.parameters["x"].reason


@pytest.mark.parametrize("seed", range(4))
def test_errors_that_cancel_are_found(seed):
    """Along a direction of ones they would."""
    x = np.random.default_rng(seed).normal(size=1000)

    def gradient(x):
        return np.cos(x) + 1e-3 * np.where(np.arange(1000) % 2 == 0, 1, -1)

    assert check_gradient(lambda x: np.sum(np.sin(x)), x, gradient, seed=seed).verdict == "wrong"


def test_confidence_costs_directions():
    x = np.random.default_rng(0).normal(size=2000)
    directions = []
    for confidence in (0.9, 0.999, 1 - 1e-9):
        report = check_gradient(lambda x: np.sum(np.sin(x)), x, np.cos, confidence=confidence)
        check = report.parameters["x"]
        assert check.confidence == report.confidence == confidence
        assert check.coverage == 1.0
        # An error of the size of a typical entry is not missed.
        assert check.miss_probability(0.75) <= 1 - confidence
        assert check.detectable <= 0.75
        assert check.resolution < check.detectable
        assert check.miss_probability(check.resolution) > 1 - confidence
        directions.append(check.directions)
    assert directions[0] < directions[2]


def test_confidence_widens_what_noise_may_do():
    generator = np.random.default_rng(5)

    def f(x):
        return np.sum(np.sin(x)) + 1e-7 * generator.normal()

    bounds = []
    for confidence in (0.5, 0.999, 1 - 1e-9):
        generator = np.random.default_rng(5)
        report = check_gradient(f, NORMAL, np.cos, confidence=confidence)
        bounds.append(report.parameters["x"].bound)
    assert bounds[0] < bounds[1] < bounds[2]


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.999])
def test_false_alarms_under_noise_are_as_rare_as_is_said(confidence):
    generator = np.random.default_rng(1)
    alarms = 0
    for seed in range(25):
        x = generator.normal(size=4)
        report = check_gradient(
            lambda x: np.sum(np.sin(x)) + 1e-6 * generator.normal(),
            x,
            np.cos,
            confidence=confidence,
            seed=seed,
        )
        alarms += report.verdict in ("wrong", "kink")
    assert alarms <= 25 * (1 - confidence)


def test_ill_conditioned_functions_are_not_called_wrong():
    """What a factorisation loses is lost in the same way at each point."""
    order = np.arange(10)
    matrix = 1 / (1.0 + order + order[:, np.newaxis])
    x = np.random.default_rng(0).normal(size=10)

    def f(x):
        return np.sum(np.linalg.solve(matrix, x))

    report = check_gradient(f, x)
    assert report.ok
    assert "ill-conditioned" in report.parameters["x"].reason
    assert report.parameters["x"].resolution > 1e3
    wrong = check_gradient(f, x, lambda x: 1.1 * np.linalg.solve(matrix.T, np.ones(10)))
    assert wrong.verdict == "wrong"
    assert check_gradient(lambda m: np.sum(np.linalg.inv(m)), matrix).verdict == "undecided"


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: np.sum(np.round(x)), [1.3, 2.6]),
        (lambda x: np.mean(np.linspace(-3, 3, 50) * x[0] > x[1]), [1.0, 0.33]),
        (lambda x: np.sum(np.sign(x)), np.full(40, 0.5)),
        (lambda p: float(np.argmax([1.0, p[0], p[1]])), [0.5, 0.25]),
    ],
)
def test_functions_that_are_constant_piece_by_piece_are_named(f, x):
    x = np.array(x)
    report = check_gradient(f, x, np.zeros_like)
    assert report.verdict == "kink"
    reason = report.parameters["x"].reason
    assert "piecewise constant: its gradient is zero almost everywhere" in reason
    straight_through = check_gradient(f, x, np.ones_like)
    assert straight_through.verdict == "wrong"


def test_what_does_not_depend_on_a_parameter_is_no_step():
    x = {"used": np.ones(3), "unused": np.ones(30), "inactive": -np.ones(4)}
    report = check_gradient(
        lambda p: np.sum(p["used"] ** 2) + np.sum(np.maximum(p["inactive"], 0)), x
    )
    assert report.ok
    assert report.parameters["unused"].reason == "the function does not change with it, near x"


def test_kinks_say_whether_the_gradient_lies_between_the_slopes():
    x = np.array([0.0, 1.0])
    between = check_gradient(lambda x: np.sum(np.abs(x)), x, np.sign).parameters["x"]
    assert between.verdict == "kink"
    assert "-1 on the left and 1 on the right" in between.reason
    assert between.reason.endswith("which lies between")
    outside = check_gradient(lambda x: np.sum(np.abs(x)), x, lambda x: 2 - np.abs(x))
    assert outside.verdict == "wrong"
    assert "-1 on the left and 1 on the right" in outside.parameters["x"].reason
    beside = np.array([1 + 1e-7, 2.0, -3.0])
    assert check_gradient(lambda x: np.sum(np.abs(x - 1)), beside, lambda x: np.sign(x - 1)).ok


def test_steps_at_x_are_named():
    report = check_gradient(lambda x: np.sum(np.floor(x)), np.array([2.0, 2.5]), np.zeros_like)
    assert report.verdict == "kink"
    assert report.parameters["x"].reason == "the function jumps at x[0]"


def test_functions_that_write_into_their_argument_are_noted():
    def f(p):
        p["a"] *= 2
        return np.sum(p["a"])

    report = check_gradient(f, {"a": np.ones(3)}, lambda p: {"a": np.full(3, 2.0)})
    assert report.ok
    assert any("writes into its argument a" in note for note in report.notes)
    assert report.notes[0] in str(report)


def test_functions_of_steepest_run_in_higher_precision():
    generator = np.random.default_rng(3)
    data = generator.normal(size=(16, 8)).astype(np.float32)
    labels = generator.integers(0, 4, 16)
    weights = {"W": generator.normal(size=(8, 4)).astype(np.float32), "b": np.zeros(4, np.float32)}

    def f(p):
        return nn.softmax_cross_entropy(nn.relu(data @ p["W"] + p["b"]), labels)

    report = check_gradient(f, weights)
    assert report.ok
    # In single precision nothing like this would be seen.
    assert report.parameters["W"].resolution < 1e-6


@pytest.mark.parametrize("tiny", [1e-8, 1e-10])
def test_tiny_entries_are_examined_on_their_own(tiny):
    """Along a direction through all entries, an error in the tiny ones is lost in rounding."""
    x = np.random.default_rng(1).normal(size=40)

    def f(x):
        # A Python float: no higher precision helps.
        return float(np.sum(np.sin(3 * x[:20])) + tiny * np.sum(np.sin(x[20:])))

    def gradient(x, factor=1.0):
        return np.concatenate([3 * np.cos(3 * x[:20]), factor * tiny * np.cos(x[20:])])

    assert check_gradient(f, x, gradient).ok
    report = check_gradient(f, x, lambda x: gradient(x, 1.01))
    assert report.verdict == "wrong"


@pytest.mark.parametrize("x", [1.7e13, 1.7e15, 1e18])
def test_functions_that_no_step_resolves_are_undecided(x):
    """Steps of many periods make difference quotients that agree with each other, near zero."""
    report = check_gradient(lambda x: np.sin(x), x, lambda x: np.cos(x))
    assert report.verdict == "undecided"


def test_a_function_that_is_another_when_traced_is_an_error():
    def f(x):
        factor = 2.0 if builtins.type(x) is np.ndarray else 3.0
        return np.sum(factor * x)

    with pytest.raises(ShadowRunError, match="differ"):
        check_gradient(f, np.ones(2))
    assert check_gradient(f, np.ones(2), lambda x: 2 * np.ones(2)).ok


def test_averaged_rounding_needs_few_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mean over many examples rounds by less than a unit, at whichever neighbour of x."""
    # As where calls are slow, and a higher precision takes too long.
    monkeypatch.setattr(noise, "EXPENSIVE", 0.0)
    monkeypatch.setattr(Function, "affordable_higher", lambda self, *_: None)
    examples = np.random.default_rng(0).normal(size=(4096, 30))

    def loss_fn(w: Any) -> Any:
        return 3 + np.mean(np.tanh(examples @ w) ** 2)

    def gradient(w: Any) -> Any:
        hidden = np.tanh(examples @ w)
        return 2 * examples.T @ (hidden * (1 - hidden**2)) / len(examples)

    report = check_gradient(loss_fn, np.linspace(-1, 1, 30), gradient)
    assert report.ok, str(report)
    assert report.evaluations <= 60
    assert not check_gradient(loss_fn, np.linspace(-1, 1, 30), lambda w: 1.001 * gradient(w)).ok


def test_a_spent_budget_is_no_failure_of_the_gradient() -> None:
    x = np.array([0.5, 1.0])
    function = Function(lambda x: np.sum(np.sin(x)), x, seconds=0.0)
    analytic = AnalyticGradient(np.cos, function, 0.999)
    with pytest.raises(BudgetSpentError):
        analytic.perturb()
    assert analytic.native_loss(function.parameters[0], EXTENDED).description == ""


def scaled(gradient: Any, factor: float) -> Any:
    return lambda x: np.float16(factor) * gradient(x)


def test_half_precision_says_what_it_excludes() -> None:
    def loss_fn(x: Any) -> Any:
        # No formula that could be evaluated in a higher precision.
        return np.float16(builtins.float(np.sum(np.tanh(x.astype(np.float16)))))

    def gradient(x: Any) -> Any:
        return 1 - np.tanh(x.astype(np.float16)) ** 2

    x = np.random.default_rng(0).normal(size=20).astype(np.float16)
    reason = check_gradient(loss_fn, x, gradient).parameters["x"].reason
    stated = re.search(r"error above ([\d.]+)% is excluded; tolerance=([\d.]+) accepts", reason)
    assert stated is not None, reason
    excluded, tolerance = float(stated[1]) / 100, float(stated[2])
    assert excluded <= tolerance < 0.5
    assert check_gradient(loss_fn, x, gradient, tolerance=tolerance).ok
    for factor in (1 + 2 * excluded, 2, 0, -1):
        wrong = check_gradient(loss_fn, x, scaled(gradient, factor))
        assert wrong.verdict == "wrong", str(wrong)
