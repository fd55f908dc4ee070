"""Every derivative rule of the op table, broken on purpose: the check must find and name it.

In a normal run each rule is broken in some ways on one sample; all ways on all samples, and the
forward rules, take minutes: ``pytest -m soak tests/check/test_mutations.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.ops.test_table import (
    differentiable_positions,
    draw,
    function_of,
    loss_of,
    moving_arguments,
    samples_of,
)

import steepest as sd
from steepest.check import check_gradient
from steepest.check.rules import check_rules
from steepest.ops import all_primitives
from steepest.ops.spec import Primitive, Sample

Rule = Callable[[Any, Any, Any, Any], Any]
Change = Callable[[Rule], Rule]

# -- ways to break a rule ---------------------------------------------------------------------


def of_result(change: Callable[[Any], Any]) -> Change:
    """Break a rule by changing what it returns."""

    def broken(rule: Rule) -> Rule:
        return lambda g, ans, args, static: change(rule(g, ans, args, static))

    return broken


def first_entry_doubled(value: Any) -> Any:
    factors = np.ones(np.shape(value), np.asarray(value).real.dtype)
    factors.reshape(-1)[:1] = 2
    return value * factors[()]


def rolled(value: Any) -> Any:
    return np.roll(value, 1) if np.ndim(value) else value


def reordered(value: Any) -> Any:
    """Return the entries in the order of the transposed array."""
    return np.reshape(np.transpose(value), np.shape(value))


def cotangent_dropped(rule: Rule) -> Rule:
    def broken(g: Any, ans: Any, args: Any, static: Any) -> Any:
        ones = [np.ones_like(each) for each in g] if isinstance(g, list) else np.ones_like(g)
        return rule(ones, ans, args, static)

    return broken


WAYS: dict[str, Change] = {
    "sign": of_result(lambda c: -c),
    "slightly too large": of_result(lambda c: c * np.asarray(c).real.dtype.type(1 + 1e-4)),
    "zero": of_result(lambda c: c * 0),
    "first entry": of_result(first_entry_doubled),
    "rolled": of_result(rolled),
    "reordered": of_result(reordered),
    "cotangent dropped": cotangent_dropped,
}

# Evaluated in double precision with cancellations that the check does not always tell from slopes:
# what it says of the right rule at every sample is not held against the broken ones.
GRAINY = {"betaln", "cofactor_derivative", "kl_div", "ndtri"}
# Constant piece by piece for real arguments, which the check says of them.
STEPWISE = {"complex_sign"}

# -- rules and samples ------------------------------------------------------------------------


def break_rule(
    entry: Primitive, place: int | None, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Break the reverse rule by an argument; the joint one where there is no place."""
    if place is None:
        joint = entry.joint_vjp
        assert joint is not None

        def broken(g: Any, ans: Any, args: Any, static: Any) -> Any:
            pulled = list(joint(g, ans, args, static))
            pulled[0] = change(lambda *_: pulled[0])(g, ans, args, static)
            return pulled

        monkeypatch.setattr(entry, "joint_vjp", broken)
        return
    rules = list(entry.vjps)
    rule = rules[place]
    assert rule is not None
    rules[place] = change(rule)
    monkeypatch.setattr(entry, "vjps", tuple(rules))
    monkeypatch.setattr(entry, "quick_vjps", tuple(rules))
    # What adds in place does so with the same rule; its own has a test of its own.
    monkeypatch.setattr(entry, "add_vjp", None)


def place_of(entry: Primitive, position: int) -> int | None:
    """Where the rule by an argument stands among the rules."""
    if entry.joint_vjp is not None:
        return None
    return position if entry.tail is None else min(position, entry.tail)


def cases() -> Iterator[tuple[Primitive, int, Sample, int]]:
    """List each rule with the samples that reach it, by the position of an argument."""
    for entry in all_primitives().values():
        for number, sample in enumerate(samples_of(entry)):
            tried = set()
            for position in differentiable_positions(entry, sample):
                place = place_of(entry, position)
                if np.size(sample.args[position]) and place not in tried:
                    tried.add(place)
                    yield entry, number, sample, position


ALL = list(cases())


def first_samples() -> list[tuple[Primitive, int, Sample, int]]:
    """Choose for each rule the first sample with several entries, or else the first."""
    chosen: dict[tuple[str, int | None], tuple[Primitive, int, Sample, int]] = {}
    for case in ALL:
        entry, _, sample, position = case
        key = (entry.name, place_of(entry, position))
        known = chosen.get(key)
        if known is None or np.size(known[2].args[known[3]]) == 1 < np.size(sample.args[position]):
            chosen[key] = case
    return list(chosen.values())


def identified(chosen: list[tuple[Primitive, int, Sample, int]]) -> list[Any]:
    return [
        pytest.param(entry, sample, position, id=f"{entry.name}-{number}-by-{position}")
        for entry, number, sample, position in chosen
    ]


def with_two_ways(chosen: list[tuple[Primitive, int, Sample, int]]) -> list[Any]:
    """Give each case two of the ways, in turn, so that each way breaks many rules."""
    ways = list(WAYS)
    return [
        pytest.param(
            entry,
            sample,
            position,
            [ways[turn % len(ways)], ways[(turn + 3) % len(ways)]],
            id=f"{entry.name}-{number}-by-{position}",
        )
        for turn, (entry, number, sample, position) in enumerate(chosen)
    ]


# -- the checks -------------------------------------------------------------------------------


def is_same(right: Any, wrong: Any) -> bool:
    """Whether a broken rule gave the same, up to the rounding of a derivative that is zero."""
    return np.allclose(right, wrong, rtol=1e-13, atol=1e-14, equal_nan=True)


def check_that_mutants_are_found(
    entry: Primitive, sample: Sample, position: int, ways: list[str]
) -> None:
    """Break the reverse rule, and check the gradient of a function that uses it."""
    loss = loss_of(entry, sample, [position])
    x = moving_arguments(sample, [position])
    right = np.asarray(sd.grad(loss)(x)[0])
    verdict = check_gradient(loss, x).verdict
    expected = "kink" if entry.name in STEPWISE and not np.iscomplexobj(right) else "correct"
    assert verdict == expected or entry.name in GRAINY
    for way in ways:
        with pytest.MonkeyPatch.context() as monkeypatch:
            break_rule(entry, place_of(entry, position), WAYS[way], monkeypatch)
            wrong = np.asarray(sd.grad(loss)(x)[0])
            report = check_gradient(loss, x)
        # A rule may be broken without effect: a reordered scalar, the cotangent of a constant.
        if is_same(right, wrong):
            assert report.verdict == verdict, f"{way}, without effect: {report}"
            continue
        assert report.verdict == "wrong", f"{way}: {right} became {wrong}\n{report}"
        (check,) = report.parameters.values()
        assert check.operation == entry.name, f"{way}: {report}"


def check_that_forward_mutants_are_found(
    entry: Primitive, sample: Sample, position: int, ways: list[str]
) -> None:
    """Break the forward rule, and check the rules of a function that uses it."""
    loss = loss_of(entry, sample, [position])
    x = moving_arguments(sample, [position])
    tangents = tuple(draw(np.random.default_rng(5), each) for each in x)
    function = function_of(entry, sample, [position])
    right = sd.jvp(function, x, tangents)[1]
    ok = check_rules(loss, x, ["forward"]).ok
    assert ok or entry.name in GRAINY
    place = position if entry.tail is None else min(position, entry.tail)
    for way in ways:
        rules = list(entry.jvps)
        rule = rules[place]
        assert rule is not None
        rules[place] = WAYS[way](rule)
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(entry, "jvps", tuple(rules))
            wrong = sd.jvp(function, x, tangents)[1]
            report = check_rules(loss, x, ["forward"])
        blamed = {found.operation for found in report.wrong}
        if all(map(is_same, right, wrong)):
            # A function of an empty result has no slope, and the loss that adds it up still uses
            # rules, which are examined by themselves.
            assert report.ok == ok or blamed == {entry.name}, f"{way}, without effect: {report}"
            continue
        assert blamed == {entry.name}, f"{way}: {report}"


def has_forward_rule(case: tuple[Primitive, int, Sample, int]) -> bool:
    entry, _, _, position = case
    place = position if entry.tail is None else min(position, entry.tail)
    return place < len(entry.jvps) and entry.jvps[place] is not None


@pytest.mark.parametrize(("entry", "sample", "position", "ways"), with_two_ways(first_samples()))
def test_broken_rule_is_found_and_named(
    entry: Primitive, sample: Sample, position: int, ways: list[str]
) -> None:
    check_that_mutants_are_found(entry, sample, position, ways)


@pytest.mark.soak
@pytest.mark.parametrize(("entry", "sample", "position"), identified(ALL))
def test_every_broken_rule_is_found_and_named(
    entry: Primitive, sample: Sample, position: int
) -> None:
    check_that_mutants_are_found(entry, sample, position, list(WAYS))


@pytest.mark.parametrize(
    ("entry", "sample", "position", "ways"),
    with_two_ways(list(filter(has_forward_rule, first_samples())))[::4],
)
def test_broken_forward_rule_is_found_and_named(
    entry: Primitive, sample: Sample, position: int, ways: list[str]
) -> None:
    check_that_forward_mutants_are_found(entry, sample, position, ways)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("entry", "sample", "position"), identified(list(filter(has_forward_rule, ALL)))
)
def test_every_broken_forward_rule_is_found_and_named(
    entry: Primitive, sample: Sample, position: int
) -> None:
    check_that_forward_mutants_are_found(entry, sample, position, list(WAYS))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda total, g, key: None, id="nothing added"),
        pytest.param(lambda total, g, key: total.__setitem__(key, g), id="written, not added"),
        pytest.param(lambda total, g, key: np.add(total, np.sum(g), out=total), id="everywhere"),
    ],
)
def test_broken_addition_in_place_is_found_and_named(
    change: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(x: Any) -> Any:
        return np.sum(x[1:] ** 2) + np.sum(np.sin(x[:-1]))

    x = np.array([0.5, 1.0, 1.5, 2.0])
    assert check_gradient(loss, x).ok
    monkeypatch.setattr(all_primitives()["slice"], "add_vjp", change)
    report = check_gradient(loss, x)
    assert report.verdict == "wrong"
    assert report.parameters["x"].operation == "slice"
