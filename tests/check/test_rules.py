"""The rules behind a gradient, examined one by one: what authors of wrong ones are told."""

import math

import numpy as np
import pytest

import steepest as sd
from steepest.check import check_gradient
from steepest.check.operations import operations_differentiated_by
from steepest.check.rules import check_rules, find_wrong_rules

GENERATOR = np.random.default_rng(8)
DATA = GENERATOR.normal(size=(20, 4))
WEIGHTS = {"W": GENERATOR.normal(size=(4, 3)), "b": np.zeros(3), "scale": np.ones(2)}


@sd.custom_gradient
def saturating(x):
    value = np.tanh(x)
    return value, lambda g: g * (1 - value)


@sd.custom_gradient
def gated(x, gate):
    return x * gate, lambda g: (g * gate, g * gate)


@sd.custom_gradient
def only_wrong_below(x):
    return np.maximum(x, 0), lambda g: g * np.where(x > -0.5, 1.0, 0.0)


@sd.custom_gradient
def frozen(x):
    cosine = np.cos(sd.stop_gradient(x))
    return np.sin(x), lambda g: g * cosine


def wrong_by_y(g, ans, x, y):
    return g * x * y


product = sd.defvjp(np.multiply, lambda g, ans, x, y: g * y, wrong_by_y)
wave = sd.defvjp(math.sin, lambda g, ans, x: g * math.sin(x))


def network(p):
    hidden = DATA @ p["W"] + p["b"]
    for _ in range(3):
        hidden = saturating(hidden) * 1.5
    return np.mean(hidden**2) + np.sum(np.exp(p["scale"]))


def in_precision(tree, dtype):
    return {name: leaf.astype(dtype) for name, leaf in tree.items()}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "gradient",
    [
        pytest.param(None, id="its own"),
        pytest.param(sd.grad(network), id="made by grad"),
        pytest.param(lambda p: sd.value_and_grad(network)(p)[1], id="used inside"),
        pytest.param(
            lambda p: sd.evaluate_gradient(lambda w, _: network(w), DATA, p),
            id="of a training loss",
        ),
    ],
)
def test_author_of_a_wrong_custom_gradient_is_told_which(gradient, dtype):
    report = check_gradient(network, in_precision(WEIGHTS, dtype), gradient)
    assert report.verdict == "wrong"
    for name in ("W", "b"):
        check = report.parameters[name]
        assert check.operation == "saturating"
        assert "derivative rule of saturating, written at" in check.reason
        assert "test_rules.py" in check.reason
        assert "saturating(hidden) * 1.5 (and 2 more of its kind)" in check.reason
    # What does not go through the wrong rule is right, and nothing is said about it.
    assert report.parameters["scale"].ok
    assert report.parameters["scale"].operation == ""


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_author_of_a_wrong_defvjp_is_told_which_argument(dtype):
    p = {"x": np.arange(1, 5).astype(dtype), "y": np.linspace(2, 3, 4).astype(dtype)}
    report = check_gradient(lambda p: np.sum(np.sin(product(p["x"], p["y"]))), p)
    assert report.parameters["x"].ok
    assert report.parameters["y"].operation == "multiply"
    assert "wrong by its argument" in report.parameters["y"].reason
    assert "wrong_by_y" in report.parameters["y"].reason


def test_rule_of_a_function_that_cannot_be_traced():
    report = check_gradient(lambda p: np.square(wave(p["a"])) + p["b"], {"a": 0.5, "b": 1.0})
    assert report.parameters["a"].operation == "sin"
    assert report.parameters["b"].ok
    (rule,) = check_rules(lambda a: wave(a), 0.5, ["reverse"]).wrong
    assert (rule.operation, rule.mode) == ("sin", "reverse")


def test_argument_is_named():
    p = {"x": np.array([1.0, 2.0]), "gate": np.array([0.5, 3.0])}
    (rule,) = check_rules(lambda p: gated(p["x"], p["gate"]), p, ["reverse"]).wrong
    assert (rule.operation, rule.argument) == ("gated", "gate")


def test_rule_that_is_wrong_for_some_values_alone_is_found_in_a_later_use():
    def loss(x):
        return np.sum(only_wrong_below(x + 2)) + np.sum(only_wrong_below(x - 1.25))

    x = np.array([0.5, 0.875, 1.0])
    # The first use is right, and stands for both where each kind is examined once.
    assert check_rules(loss, x, ["reverse"]).ok
    (rule,) = find_wrong_rules(loss, x, None, seconds=10)
    assert rule.line is not None
    report = check_gradient(loss, x)
    assert report.parameters["x"].operation == "only_wrong_below"


def test_the_first_wrong_rule_is_named_first():
    def loss(x):
        return np.sum(gated(saturating(x), x))

    report = check_gradient(loss, np.array([0.5, 1.0]))
    check = report.parameters["x"]
    assert check.operation == "saturating"
    assert "the rules of gated are wrong too" in check.reason


def test_wrong_second_derivative_is_named():
    def penalty(w):
        return np.sum(sd.grad(lambda v: np.sum(frozen(v) * v))(w) ** 2)

    report = check_gradient(penalty, np.arange(4.0))
    assert report.parameters["x"].operation == "frozen"
    assert "derivative of the derivative rule of frozen" in report.parameters["x"].reason
    (rule,) = check_rules(lambda x: np.sum(frozen(x)), np.arange(4.0)).wrong
    assert rule.mode == "second"


@pytest.mark.parametrize(
    ("gradient", "expected"),
    [
        (lambda f: sd.grad(f), (1, False)),
        (lambda f: sd.grad(lambda x: np.sum(sd.grad(f)(x) ** 2)), (2, False)),
        (lambda f: lambda x: sd.jvp(sd.grad(f), (x,), (x,))[1], (1, True)),
    ],
    ids=["gradient", "of a gradient", "pushed forward"],
)
def test_how_a_gradient_is_made_tells_which_rules_serve_it(gradient, expected):
    operations = operations_differentiated_by(
        gradient(lambda x: np.sum(np.sin(x) * x)), np.arange(3.0)
    )
    sines = [each for each in operations if each.name == "sin"]
    assert (max(each.times_reversed for each in sines), sines[0].is_pushed_forward) == expected


def test_only_rules_that_serve_the_gradient_are_blamed():
    """The derivative of a rule is wrong, and a gradient of first order does not use it."""
    gradient = sd.grad(lambda x: np.sum(frozen(x) * x))
    x = np.arange(4.0)
    assert find_wrong_rules(lambda x: x, x, gradient, seconds=10) == []


def test_right_rules_are_right():
    def loss(p):
        hidden = np.tanh(DATA @ p["W"] + p["b"])
        return np.log(np.sum(np.exp(np.max(hidden, axis=1)))) + np.sum(p["scale"][1:])

    report = check_rules(loss, WEIGHTS)
    assert report.ok
    assert {"matmul", "tanh", "max", "slice"} <= {rule.operation for rule in report.rules}
    # The second derivative of a maximum is zero, and jumps.
    assert {rule.operation for rule in report.rules if not rule.ok} <= {"max"}
    report.raise_if_wrong()
    assert "matmul" in str(report)


def test_report_raises():
    with pytest.raises(sd.errors.WrongGradientError, match="saturating"):
        check_rules(network, WEIGHTS).raise_if_wrong()


def test_gradients_by_other_means_are_not_looked_into():
    report = check_gradient(lambda x: np.sum(x**2), np.ones(3), lambda x: 3 * np.asarray(x))
    assert report.verdict == "wrong"
    assert report.parameters["x"].operation == ""


def test_operations_off_the_path_are_not_blamed():
    def loss(x):
        saturating(x)  # computed, and not used
        return np.sum(x**2)

    assert check_rules(loss, np.ones(2)).ok
