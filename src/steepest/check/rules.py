"""Check the derivative rules behind a gradient one by one, to find the one that is wrong.

Each operation that a function is made of is examined by itself, as a small function with a
gradient: its rule pulls a random cotangent back, and the numerical derivative of the operation
decides. So a wrong rule, the user's own (`custom_gradient`, `defvjp`) or steepest's, is named
together with the line that uses it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np

from steepest.array import value_type
from steepest.check.gradient_check import check_gradient
from steepest.check.operations import (
    Operation,
    operations_differentiated_by,
    operations_of,
)
from steepest.check.report import GradientCheck, ParameterCheck
from steepest.check.verdict import Verdict, overall
from steepest.differentiate import jvp, vjp
from steepest.differentiate.custom import custom_call
from steepest.errors import SourceLine, WrongGradientError
from steepest.ops.spec import Linearity, Primitive, Value, bind, ufunc_type
from steepest.tree import Tree, flatten, leaf_names

__all__ = ["RuleCheck", "RulesCheck", "check_rules", "explained_by_rules", "find_wrong_rules"]

Mode: TypeAlias = Literal["reverse", "forward", "second"]
Moving: TypeAlias = dict[str, Value]
Problem: TypeAlias = tuple[Callable[[Any], Any], Tree, Callable[[Any], Any], Tree]
"""A function, a point, the gradient; and like the point, the positions of the arguments."""

RULES: dict[Mode, str] = {
    "reverse": "derivative rule",
    "forward": "forward-mode rule",
    "second": "derivative of the derivative rule",
}
EXPLAINING: ContextVar[bool] = ContextVar("explaining", default=False)
"""Set while rules are examined: their own gradients are steepest's too, and explain nothing."""

# How far an operation is followed along a tangent, relative to its argument.
TANGENT = 0.25
# Special functions are evaluated with grains of this size; a mistake is larger.
TOLERANCE = 1e-8
# A rule is examined again where an error of this relative size would not have been seen.
RESOLUTION = 1e-5
ATTEMPTS = 4
# An argument of more entries has errors enough in one draw.
MANY_ENTRIES = 1000
MOST_NAMED = 3
MOST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RuleCheck:
    """What was found for the rule of one operation by one of its arguments.

    Attributes
    ----------
    operation : str
        The primitive, or the user's function.
    argument : str
        The argument by which the rule differentiates.
    mode : {"reverse", "forward", "second"}
        The rule examined: for cotangents, for tangents, or the derivative of the first.
    verdict : {"correct", "wrong", "kink", "noisy", "undecided"}
    line : SourceLine or None
        Where the operation is used.
    rule_line : SourceLine or None
        Where the rule is written, when it is the user's.
    inputs : frozenset of int
        Which leaves of the function's argument the operation depends on, by position.
    uses : int
        How many operations of this kind the function has.
    check : ParameterCheck
        The numbers.
    """

    operation: str
    argument: str
    mode: Mode
    verdict: Verdict
    line: SourceLine | None
    rule_line: SourceLine | None
    inputs: frozenset[int]
    uses: int
    check: ParameterCheck

    @property
    def ok(self) -> bool:
        """Whether the verdict is "correct"."""
        return self.verdict == "correct"

    def __str__(self) -> str:
        written = "" if self.rule_line is None else f", written at {_place(self.rule_line)},"
        text = (
            f"the {RULES[self.mode]} of {self.operation}{written} is {self.verdict}"
            f" by its argument {self.argument}"
        )
        if np.isfinite(self.check.analytic) and np.isfinite(self.check.numerical):
            text += (
                f" ({self.check.analytic:.6g}, where the operation itself has"
                f" {self.check.numerical:.6g})"
            )
        if self.check.diagnosis:
            text += f": {self.check.diagnosis}"
        if self.line is not None:
            quoted = f": {self.line.text}" if self.line.text else ""
            text += f"\n  {self.operation} is used at {_place(self.line)}{quoted}"
            if self.uses > 1:
                text += f" (and {self.uses - 1} more of its kind)"
        return text


@dataclass(frozen=True, slots=True)
class RulesCheck:
    """The result of `check_rules`.

    Attributes
    ----------
    rules : tuple of RuleCheck
        One for each kind of operation, argument and mode, in the order of the program.
    """

    rules: tuple[RuleCheck, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of the rules' verdicts."""
        return overall([rule.verdict for rule in self.rules])

    @property
    def wrong(self) -> tuple[RuleCheck, ...]:
        """The rules that are wrong, the first in the program first."""
        return tuple(rule for rule in self.rules if rule.verdict == "wrong")

    @property
    def ok(self) -> bool:
        """Whether no rule was found wrong."""
        return not self.wrong

    def raise_if_wrong(self) -> None:
        """Raise if a rule was found wrong.

        Raises
        ------
        WrongGradientError
            With the report as its message.
        """
        if not self.ok:
            raise WrongGradientError(str(self))

    def __str__(self) -> str:
        header = ("operation", "argument", "rule", "uses", "verdict")
        rows = [
            header,
            *(
                (rule.operation, rule.argument, rule.mode, str(rule.uses), rule.verdict)
                for rule in self.rules
            ),
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = [f"check of the derivative rules: {self.verdict}"]
        lines += [
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        lines = [line.rstrip() for line in lines]
        for rule in self.wrong:
            lines += ["", str(rule)]
        return "\n".join(lines)


def check_rules(
    f: Callable[[Tree], Any],
    x: Tree,
    modes: Sequence[Mode] = ("reverse", "forward", "second"),
    *,
    seed: int = 0,
) -> RulesCheck:
    """Check the derivative rule of each operation that a function is made of, by itself.

    Operations that differ in the values of their arguments alone are examined once.

    Parameters
    ----------
    f : callable
        Takes a pytree like x, returns a pytree of arrays; written in NumPy.
    x : pytree
        Where to check.
    modes : sequence of {"reverse", "forward", "second"}
        Which rules: those that `grad` and `vjp` use, those that `jvp` uses, and the derivatives
        of the first, which `hessian` and nested gradients use.
    seed : int
        Of the random cotangents and tangents.

    Returns
    -------
    RulesCheck
        With ``.wrong``, ``.ok`` and ``.raise_if_wrong()``; print it to read what was examined.

    Examples
    --------
    >>> import numpy as np
    >>> import steepest as sd
    >>> @sd.custom_gradient
    ... def cube(x):
    ...     return x**3, lambda g: g * 2 * x**2
    >>> report = check_rules(lambda x: np.sum(cube(x) + x), np.array([1.0, 2.0, 3.0]))
    >>> [(rule.operation, rule.argument, rule.mode) for rule in report.wrong]
    [('cube', 'x', 'reverse'), ('cube', 'x', 'forward')]
    """
    groups = _by_kind(operations_of(f, x))
    checks: list[RuleCheck] = []
    for uses in groups:
        for mode in modes:
            checks.extend(_check(uses[0], mode, len(uses), seed))
    return RulesCheck(tuple(checks))


def find_wrong_rules(
    f: Callable[[Tree], Any],
    x: Tree,
    gradient: Callable[[Tree], Any] | None,
    *,
    seconds: float,
    seed: int = 0,
) -> list[RuleCheck]:
    """Find the rules that make a gradient wrong, the first in the program first.

    Parameters
    ----------
    f : callable
        The function, written in NumPy.
    x : pytree
    gradient : callable or None
        The wrong gradient; None for `steepest.grad` of f. What other means differentiated is not
        looked into.
    seconds : float
        After so long, no further operation is examined.

    Returns
    -------
    list of RuleCheck
        Only wrong ones; empty when each rule by itself is right.
    """
    try:
        operations = (
            operations_of(f, x) if gradient is None else operations_differentiated_by(gradient, x)
        )
    except Exception:
        # The user's code with traced arguments: a gradient made by other means, or an f that is no
        # NumPy, raises what its framework raises. The verdict stands, and no rule is to blame.
        return []
    deadline = time.monotonic() + seconds
    groups = _by_kind(operations)
    # The user's rules before those of the table, which have tests of their own.
    later = sorted(
        ((use, len(uses)) for uses in groups for use in uses[1:]),
        key=lambda each: custom_call(each[0].primitive) is None,
    )
    once = [(uses[0], len(uses)) for uses in groups]
    plan: list[tuple[Mode, list[tuple[Operation, int]]]] = [
        ("reverse", once),
        # A rule may be right for some values and wrong for others.
        ("reverse", later),
    ]
    # The other rules serve gradients in which derivatives are differentiated, or pushed forward.
    is_pushed_forward = any(operation.is_pushed_forward for operation in operations)
    if is_pushed_forward or any(operation.times_reversed > 1 for operation in operations):
        plan.append(("second", once))
    if is_pushed_forward:
        plan.append(("forward", once))
    for mode, candidates in plan:
        wrong: list[RuleCheck] = []
        for operation, uses in candidates:
            if time.monotonic() > deadline:
                return wrong
            wrong.extend(
                check for check in _check(operation, mode, uses, seed) if check.verdict == "wrong"
            )
            if candidates is later and wrong:
                break
        if wrong:
            return wrong
    return []


def explained_by_rules(
    parameters: dict[str, ParameterCheck],
    f: Callable[[Tree], Any],
    x: Tree,
    gradient: Callable[[Tree], Any] | None,
    *,
    seconds: float | None = None,
) -> dict[str, ParameterCheck]:
    """Say of the parameters whose gradient is wrong which operation's rule is to blame.

    Parameters
    ----------
    parameters : dict of str to ParameterCheck
    f, x, gradient
        As for `find_wrong_rules`.
    seconds : float, optional
        Most time for it.
    """
    if EXPLAINING.get():
        return parameters
    rules = find_wrong_rules(f, x, gradient, seconds=min(seconds or MOST_SECONDS, MOST_SECONDS))
    explained = dict(parameters)
    for position, name in enumerate(leaf_names(x)):
        check = parameters.get(name)
        used = [rule for rule in rules if position in rule.inputs]
        if check is None or check.verdict != "wrong" or not used:
            continue
        reason = f"{check.reason}\n  {used[0]}"
        others = sorted({rule.operation for rule in used[1:]} - {used[0].operation})
        if others:
            reason += f"\n  the rules of {', '.join(others[:MOST_NAMED])} are wrong too"
        explained[name] = replace(check, operation=used[0].operation, reason=reason)
    return explained


def _by_kind(operations: Sequence[Operation]) -> list[list[Operation]]:
    groups: dict[tuple[object, ...], list[Operation]] = {}
    for operation in operations:
        groups.setdefault(operation.kind, []).append(operation)
    return list(groups.values())


def _check(operation: Operation, mode: Mode, uses: int, seed: int) -> Iterator[RuleCheck]:
    """Check the rule of an operation by each argument that moves.

    With other weights an operation rounds differently: what one draw cannot decide, another may,
    and what is called wrong must be so twice.
    """
    operation = operation.out_of_half_precision()
    found: dict[int, list[ParameterCheck]] = {}
    for attempt in range(ATTEMPTS):
        for position, check in _examined(operation, mode, seed + attempt):
            found.setdefault(position, []).append(check)
        if all(map(_is_decided, found.values())):
            break
    for position, checks in found.items():
        check = _decided(checks)
        yield RuleCheck(
            operation.name,
            operation.argument_name(position),
            mode,
            check.verdict,
            operation.line,
            operation.rule_line(position),
            operation.inputs,
            uses,
            check,
        )


def _is_decided(checks: Sequence[ParameterCheck]) -> bool:
    last = checks[-1]
    size = max(abs(last.analytic), abs(last.numerical))
    if last.ok:
        many = math.prod(last.shape) > MANY_ENTRIES
        return last.resolution <= RESOLUTION * size or size == 0 or many
    return sum(check.verdict == "wrong" for check in checks) > 1


def _decided(checks: Sequence[ParameterCheck]) -> ParameterCheck:
    wrong = [check for check in checks if check.verdict == "wrong"]
    if len(wrong) > 1:
        return wrong[0]
    others = [check for check in checks if check.verdict != "wrong"]
    return min(others or wrong, key=lambda check: (not check.ok, check.resolution))


def _examined(operation: Operation, mode: Mode, seed: int) -> list[tuple[int, ParameterCheck]]:
    """Examine the rules once; by the position of the argument."""
    examined: list[tuple[int, ParameterCheck]] = []
    problems = {"reverse": _reverse, "forward": _forward, "second": _second}[mode]
    generator = np.random.default_rng([seed, len(operation.args)])
    token = EXPLAINING.set(True)
    try:
        for function, at, gradient, positions in problems(operation, generator):
            report: GradientCheck = check_gradient(
                function, at, gradient, tolerance=TOLERANCE, seed=seed
            )
            for name, position in zip(leaf_names(at), flatten(positions)[0], strict=True):
                examined.append((position, report.parameters[name]))
    except Exception:
        # A refusal (there is no such derivative), or whatever a rule of the user's raises for
        # cotangents that its author did not think of: nothing that could be called a wrong
        # derivative, in an explanation of a verdict that stands already.
        pass
    finally:
        EXPLAINING.reset(token)
    return examined


def _place(line: SourceLine) -> str:
    return f"{line.filename}:{line.number}, in {line.function}"


mean_of_two = Primitive(
    "mean_of_two",
    lambda x, y: (x + y) / 2,
    infer=partial(ufunc_type, np.add),
    arguments="x y",
    vjps=(lambda g: g / 2, lambda g: g / 2),
    jvp=Linearity.JOINT,
    samples=lambda rng: (),
)
"""No part of the op table, so that none of its rules can be blamed for another's."""

# -- an operation as a function with a gradient -------------------------------------------------


def _positions(operation: Operation) -> dict[str, int]:
    """Return the positions of the arguments that move, each under a name of its own."""
    positions: dict[str, int] = {}
    for position in operation.moving:
        name = operation.argument_name(position)
        positions[name if name not in positions else f"{name}[{position}]"] = position
    return positions


def _results(operation: Operation, replaced: Mapping[int, Value]) -> tuple[Value, ...]:
    """Apply an operation with some of its arguments replaced."""
    args = [replaced.get(position, arg) for position, arg in enumerate(operation.args)]
    result = bind(operation.primitive, args, operation.static)
    return tuple(result) if operation.primitive.outputs > 1 else (result,)


def _draw(generator: np.random.Generator, like: Value) -> Value:
    """Draw numbers of the shape and dtype of a value, none of them small, none of them equal."""
    kind = value_type(like)
    drawn = generator.uniform(0.5, 1.5, kind.shape) * generator.choice([-1, 1], kind.shape)
    if kind.dtype.kind == "c":
        drawn = drawn + 1j * generator.uniform(-1, 1, kind.shape)
    return np.asarray(drawn).astype(kind.dtype)[()]


def _as(weights: Iterable[Value], values: Iterable[Value]) -> list[Value]:
    """Give weights the dtypes of values, as cotangents and tangents have them."""
    return [
        np.asarray(weight).astype(value_type(value).dtype)[()]
        for weight, value in zip(weights, values, strict=True)
    ]


def _weighted(weights: Iterable[Value], values: Iterable[Value]) -> Any:
    """Add up values with weights; in no less than double precision."""
    total: Any = np.float64(0)
    for weight, value in zip(weights, values, strict=True):
        if value_type(value).dtype.kind in "fc":
            wide = np.promote_types(value_type(weight).dtype, np.float64)
            total = total + np.sum(np.real(np.asarray(weight).astype(wide) * value))
    return total


class _Rules:
    """An operation with random weights of its results, and its rules applied to them."""

    def __init__(self, operation: Operation, generator: np.random.Generator) -> None:
        self._operation = operation
        self.positions = _positions(operation)
        self.at = {name: operation.args[place] for name, place in self.positions.items()}
        with np.errstate(all="ignore"):
            self._weights = [_draw(generator, each) for each in _results(operation, {})]

    def results(self, moving: Moving) -> tuple[Value, ...]:
        """Apply the operation."""
        replaced = {self.positions[name]: value for name, value in moving.items()}
        return _results(self._operation, replaced)

    def weighted(self, moving: Moving) -> Any:
        """Apply the operation, and weight its results."""
        return _weighted(self._weights, self.results(moving))

    def pulled_back(self, moving: Moving) -> Moving:
        """Apply the reverse rules to the weights as cotangents."""
        values, pullback = vjp(self._differentiated, moving)
        pulled: Moving = pullback(tuple(_as(self._weights, values)))[0]
        return pulled

    def _differentiated(self, moving: Moving) -> tuple[Value, ...]:
        results = self.results(moving)
        if self._operation.primitive.add_vjp is None:
            return results
        # A rule that adds in place must add to what is there: let two paths meet.
        return tuple(map(mean_of_two, results, self.results(moving)))

    def pushed_forward(self, moving: Moving, tangents: Moving) -> Any:
        """Apply the forward rules to tangents, and weight the results."""
        along = dict(zip(moving, _as(tangents.values(), moving.values()), strict=True))
        return _weighted(self._weights, jvp(self.results, (moving,), (along,))[1])


def _reverse(operation: Operation, generator: np.random.Generator) -> Iterator[Problem]:
    rules = _Rules(operation, generator)
    yield rules.weighted, rules.at, rules.pulled_back, rules.positions


def _second(operation: Operation, generator: np.random.Generator) -> Iterator[Problem]:
    rules = _Rules(operation, generator)
    across = {name: _draw(generator, value) for name, value in rules.at.items()}

    def function(moving: Moving) -> Any:
        pulled = rules.pulled_back(moving)
        return _weighted(across.values(), [pulled[name] for name in across])

    def gradient(moving: Moving) -> Any:
        pulled, pullback = vjp(rules.pulled_back, moving)
        weights = _as(across.values(), [pulled[name] for name in across])
        return pullback(dict(zip(across, weights, strict=True)))[0]

    yield function, rules.at, gradient, rules.positions


def _forward(operation: Operation, generator: np.random.Generator) -> Iterator[Problem]:
    rules = _Rules(operation, generator)
    for name, position in rules.positions.items():
        argument = np.asarray(rules.at[name])
        size = np.abs(argument)
        size = np.where(size == 0, np.max(size, initial=0) or 1, size)
        tangent = (_draw(generator, argument) * size * TANGENT).astype(argument.dtype)
        yield _along(rules, name, tangent, position)


def _along(rules: _Rules, name: str, tangent: Value, position: int) -> Problem:
    """Make the function of a step along a tangent, in one argument."""
    argument = np.asarray(rules.at[name])

    def moved(step: Any) -> Moving:
        # From 1, whose neighbours are a rounding apart, and not from 0, which has none.
        return {name: (argument + (step - 1) * tangent)[()]}

    def slope(step: Any) -> Any:
        return type(step)(rules.pushed_forward(moved(step), {name: tangent}))

    start = argument.real.dtype.type(1)
    return (lambda step: rules.weighted(moved(step))), start, slope, position
