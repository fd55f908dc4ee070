"""What a primitive is: one entry with its value, its type, its derivative and its samples.

A derivative rule is written in plain NumPy and the table's own primitives. Both dispatch on
their arguments, so that the same rule runs on ndarrays, where a first derivative is evaluated
at once, and on Arrays, where it is recorded and can be differentiated again.

A rule names what it reads: ``ans`` is the primitive's result, the names in
`Primitive.arguments` are its arguments, ``x_type`` is only the shape and dtype of the argument
``x``, and any other name is a static argument. What no rule reads is not kept in memory.
"""

from __future__ import annotations

import cmath
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from itertools import count, zip_longest
from operator import mul
from types import FunctionType
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy import ndarray

from steepest.errors import TracedConversionError
from steepest.graph import ArrayType, NodeType, type_of

__all__ = [
    "ITEM",
    "NAN_CHECKS",
    "SCALE",
    "Keep",
    "Linearity",
    "Primitive",
    "Sample",
    "Trace",
    "Traced",
    "Value",
    "bind",
    "broadcast_type",
    "elementwise",
    "has_nan",
    "is_absent",
    "needs_care",
    "no_cotangent",
    "released",
    "scale",
    "ufunc_type",
]

Value: TypeAlias = Any
"""An ndarray, a NumPy scalar, a Python number, or a traced value."""

Rule: TypeAlias = Callable[..., Value]
AdaptedRule: TypeAlias = Callable[[Value, Value, Sequence[Value], dict[str, Any]], Value]


class Trace:
    """Where operations on traced values are recorded.

    Traces nest: of those alive in one operation, the one begun last is the innermost. There is
    no global state: a traced value carries its trace, whatever thread it is used in.
    """

    __slots__ = ("active", "serial")
    _serials: Iterator[int] = count()

    def __init__(self) -> None:
        self.serial = next(self._serials)
        self.active = True

    def after(self, result: Value) -> Value:
        """Hand out the result of an operation on values of this trace when it has ended."""
        return result

    def record(self, primitive: Primitive, args: Sequence[Value], static: dict[str, Any]) -> Value:
        """Apply a primitive to arguments of which at least one belongs to this trace."""
        raise NotImplementedError

    def write(
        self, primitive: Primitive, target: Traced, args: Sequence[Value], static: dict[str, Any]
    ) -> None:
        """Let a traced value become the result of a primitive on itself and further arguments.

        One of them belongs to this trace, and none to a trace begun later. A trace with values
        may write into the memory of the old one if nothing else holds it.
        """
        result = self.record(primitive, (released(target), *map(released, args)), static)
        target.become(result)

    def references_to(self, array: np.ndarray[Any, Any]) -> int:
        """Count the references to an ndarray that are from here, where that is known."""
        return 0

    def owe(self, stand_in: Traced) -> None:
        """Remember what has to be asked for its value before an ndarray is again what it was."""


class Traced:
    """Base of values that belong to a trace."""

    __slots__ = ("_node", "_trace", "_value")
    _trace: Trace
    _value: Value
    _node: Any

    def become(self, other: Traced) -> None:
        """Stand for what another traced value stands for."""
        self._trace, self._value, self._node = other._trace, other._value, other._node


def is_ndarray(value: object) -> TypeGuard[np.ndarray[Any, Any]]:
    """Whether a value is an ndarray indeed: what is traced only answers `isinstance` like one."""
    return type(value) is ndarray or (
        not isinstance(value, Traced) and isinstance(value, np.ndarray)
    )


def released(value: Value) -> Value:
    """Take a value out of the traces that have ended: nothing is differentiated there any more."""
    while isinstance(value, Traced) and not value._trace.active:
        if value._value is None:
            raise TracedConversionError(
                "a value recorded while tracing with shapes alone was used after its trace ended;"
                " it never had a value",
                instead="return it from the function instead of storing it",
            )
        value = value._value
    return value


def bind(primitive: Primitive, args: Sequence[Value], static: dict[str, Any]) -> Value:
    """Apply a primitive: evaluate it on plain values, or have the innermost trace record it."""
    if len(args) == 1:
        (arg,) = args
        if not isinstance(arg, Traced):
            return primitive.evaluate(arg, **static)
        if arg._trace.active:
            return arg._trace.record(primitive, args, static)
    innermost = None
    for arg in args:
        if isinstance(arg, Traced):
            trace = arg._trace
            if not trace.active:
                return trace.after(bind(primitive, [released(each) for each in args], static))
            if innermost is None or trace.serial > innermost.serial:
                innermost = trace
    if innermost is None:
        return primitive.evaluate(*args, **static)
    return innermost.record(primitive, args, static)


class Keep(IntEnum):
    """How much of an argument the derivative rules of a primitive read."""

    NOTHING = 0
    TYPE = 1
    VALUE = 2


class Linearity(IntEnum):
    """What forward mode can take from the primitive itself."""

    NONE = 0
    JOINT = 1
    """Linear in all array arguments together, like ``concatenate``."""
    SEPARATE = 2
    """Linear in each differentiable argument with the others fixed, like ``matmul``."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Arguments on which the tests try a primitive: in its domain and away from its kinks."""

    args: tuple[Value, ...]
    static: dict[str, Any] = field(default_factory=dict)


Samples: TypeAlias = Callable[[np.random.Generator], Iterable[Sample]]


class Primitive:
    """One entry of the op table.

    Parameters
    ----------
    name : str
    evaluate : callable
        The value, on ndarrays and numbers: a NumPy function or operator.
    infer : callable
        Takes an `ArrayType` for each argument, and the static arguments; returns the type of
        the result.
    arguments : str
        The names of the arguments, separated by spaces; the last may be ``*xs``, for any number
        of further ones. A rule that names ``xs`` reads them all, in a list.
    vjps : sequence of callable or None
        For each argument the rule ``(g, …) → cotangent of the argument``; None where the result
        does not depend on the argument in a differentiable way; the last may be left out. For
        ``*xs``, a single rule that may also read the ``position`` of its argument among them.
    jvp : Linearity or sequence of callable
        Either how the primitive is linear, or for each argument the rule
        ``(t, …) → tangent of the result``. By default forward mode transposes the ``vjps``.
    joint_vjp : callable, optional
        In place of `vjps`, a rule that returns the cotangents of all arguments at once.
    add_vjp : callable, optional
        ``(total, g, **static)`` adds the cotangent of the one argument to an ndarray in place, for
        less than its size.
    in_place : callable, optional
        ``(x, *args, **static)`` makes the first argument, an ndarray, the result.
    in_place_vjp : callable, optional
        A rule for the first two arguments at once. It is given an ndarray `g` of its own to
        write into and return as the first cotangent, and None in the place of the second
        argument where that is not differentiated.
    traced_inside : bool
        Whether `evaluate` runs on traced values too, and is recorded as what happens inside.
    broadcasts : bool
        Whether the arguments broadcast, so that a cotangent is summed over the axes that its
        argument was stretched along.
    outputs : int
        Number of results; more than one come as a tuple.
    samples : callable
        Takes a generator, returns the samples.

    Attributes
    ----------
    keeps, keeps_result
        What the rules read of each argument, and whether they read the result.
    quick_vjps
        The ``vjps`` for a pass without care of NaN, on what is not traced; see `NAN_CHECKS`.
    needs : tuple or None
        The same for some of the rules, where there are two arguments: what that by the first
        reads stands at 1, that by the second at 2, and both at 3.
    only_static : str or None
        The name of the static argument of what is evaluated of one argument and that one, which it
        takes by position: to call a function by keyword takes twice as long.
    """

    __slots__ = (
        "add_vjp",
        "arguments",
        "broadcasts",
        "differentiable",
        "evaluate",
        "in_place",
        "in_place_vjp",
        "infer",
        "joint_vjp",
        "jvps",
        "keeps",
        "keeps_result",
        "linearity",
        "name",
        "needs",
        "only_static",
        "outputs",
        "quick_vjps",
        "reads_arguments",
        "rules_alone",
        "samples",
        "tail",
        "traced_inside",
        "vjps",
    )

    def __init__(
        self,
        name: str,
        evaluate: Callable[..., Value],
        *,
        infer: Callable[..., NodeType],
        arguments: str = "x",
        vjps: Sequence[Rule | None] = (),
        jvp: Linearity | Sequence[Rule | None] = Linearity.NONE,
        joint_vjp: Rule | None = None,
        add_vjp: Callable[..., None] | None = None,
        in_place: Callable[..., None] | None = None,
        in_place_vjp: Rule | None = None,
        traced_inside: bool = False,
        broadcasts: bool = False,
        outputs: int = 1,
        samples: Samples,
    ) -> None:
        self.name = name
        self.evaluate = evaluate
        self.infer = infer
        self.arguments = tuple(arguments.replace("*", "").split())
        self.tail = len(self.arguments) - 1 if "*" in arguments else None
        takes_one = len(self.arguments) == 1 and self.tail is None
        self.only_static = _second_parameter(evaluate) if takes_one else None
        self.broadcasts = broadcasts
        self.outputs = outputs
        self.samples = samples
        self.add_vjp = add_vjp
        self.in_place = in_place
        self.traced_inside = traced_inside
        self.differentiable = joint_vjp is not None or any(rule is not None for rule in vjps)
        self.linearity = jvp if isinstance(jvp, Linearity) else Linearity.NONE
        jvp_rules = () if isinstance(jvp, Linearity) else jvp
        self.vjps = tuple(None if rule is None else self._adapt(rule) for rule in vjps)
        if self.tail is None:
            self.vjps += (None,) * (len(self.arguments) - len(self.vjps))
        self.quick_vjps = tuple(
            self._adapt_quickly(rule, adapted) for rule, adapted in zip_longest(vjps, self.vjps)
        )
        self.jvps = tuple(None if rule is None else self._adapt(rule) for rule in jvp_rules)
        self.joint_vjp = None if joint_vjp is None else self._adapt(joint_vjp)
        self.in_place_vjp = None if in_place_vjp is None else self._adapt(in_place_vjp)
        # What the backward pass has no more to do for than to apply a rule for each argument.
        self.rules_alone = (
            outputs == 1
            and self.tail is None
            and joint_vjp is None
            and add_vjp is None
            and in_place_vjp is None
        )
        self.keeps, self.keeps_result = self._read_by((*vjps, joint_vjp))
        self.reads_arguments = any(self.keeps)
        self.needs = None
        if self.rules_alone and len(self.arguments) == 2:
            self.needs = tuple(
                self._read_by([rule for i, rule in enumerate(vjps) if which >> i & 1])
                for which in range(4)
            )

    def _read_by(self, rules: Sequence[Rule | None]) -> tuple[tuple[Keep, ...], bool]:
        """Find what rules read of each argument, and whether they read the result."""
        read = {name for rule in rules if rule for name in _names_read(rule)}
        keeps = tuple(
            Keep.VALUE if name in read else Keep.TYPE if f"{name}_type" in read else Keep.NOTHING
            for name in self.arguments
        )
        return keeps, "ans" in read

    def __call__(self, *args: Value, **static: Any) -> Value:
        """Apply the primitive; see `bind`."""
        return bind(self, args, static)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> str:
        return self.name

    def _adapt(self, rule: Rule) -> AdaptedRule:
        """Give a rule the signature ``(g, ans, args, static)`` that the engine calls."""
        picks, keywords = self._places(rule)
        if _TAIL in picks or len(picks) > 2:
            return _adapt_general(rule, picks, keywords, self.tail)
        if keywords:
            return _adapt_with_keywords(rule, picks, keywords, self.tail)
        return _adapt_alone(rule, picks)

    def _adapt_quickly(self, rule: Rule | None, adapted: AdaptedRule | None) -> AdaptedRule | None:
        """Give it the same signature for a pass without care."""
        if not isinstance(rule, Scaling):
            return adapted
        picks, keywords = self._places(rule)
        return adapted if keywords or not picks else _quick_scaling(rule.derivative, picks)

    def _places(self, rule: Rule) -> tuple[list[int], list[str]]:
        """Find which arguments a rule reads, and which static arguments."""
        picks: list[int] = []
        keywords: list[str] = []
        for name in _names_read(rule):
            if name == "ans":
                picks.append(-1)
            elif self.tail is not None and name == self.arguments[self.tail]:
                picks.append(_TAIL)
            elif name.removesuffix("_type") in self.arguments:
                picks.append(self.arguments.index(name.removesuffix("_type")))
            else:
                keywords.append(name)
        return picks, keywords

    def rule_at(
        self, rules: Sequence[AdaptedRule | None], position: int, static: dict[str, Any]
    ) -> tuple[AdaptedRule | None, dict[str, Any]]:
        """Find the rule for an argument, and the static arguments to call it with."""
        tail = self.tail
        if tail is None or position < tail:
            return (rules[position] if position < len(rules) else None), static
        if tail >= len(rules):
            return None, static
        return rules[tail], {**static, "position": position - tail}


def _second_parameter(function: Callable[..., Value]) -> str | None:
    """Find the second parameter of a function that takes two, neither of them optional."""
    if not isinstance(function, FunctionType) or function.__defaults__:
        return None
    code = function.__code__
    if code.co_argcount != 2 or code.co_kwonlyargcount or code.co_flags & _WITH_MORE:
        return None
    return code.co_varnames[1]


_WITH_MORE = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
_TAIL = -2
_BOOL = np.dtype(bool)


def _adapt_general(
    rule: Rule, picks: Sequence[int], keywords: Sequence[str], tail: int | None
) -> AdaptedRule:
    number = len(keywords)

    def adapted(g: Value, ans: Value, args: Sequence[Value], static: dict[str, Any]) -> Value:
        positional = [ans if i == -1 else args[tail:] if i == _TAIL else args[i] for i in picks]
        if len(static) != number:
            static = {name: static[name] for name in keywords}
        return rule(g, *positional, **static)

    return adapted


def _adapt_with_keywords(
    rule: Rule, picks: Sequence[int], keywords: Sequence[str], tail: int | None
) -> AdaptedRule:
    """Adapt a rule that reads static arguments; the usual ones are handed over by position."""
    last = _names_read(rule)[-len(keywords) :]
    if len(picks) > 1 or picks == [-1] or last != tuple(keywords) or len(keywords) > 2:
        return _adapt_general(rule, picks, keywords, tail)
    first, second = keywords[0], keywords[-1]
    if not picks and len(keywords) == 1:
        return lambda g, _ans, _args, static: rule(g, static[first])
    if not picks:
        return lambda g, _ans, _args, static: rule(g, static[first], static[second])
    (pick,) = picks
    if len(keywords) == 1:
        return lambda g, _ans, args, static: rule(g, args[pick], static[first])
    return lambda g, _ans, args, static: rule(g, args[pick], static[first], static[second])


def _adapt_alone(rule: Rule, picks: Sequence[int]) -> AdaptedRule:
    """Adapt a rule that reads two things at most, and no static argument."""
    if not picks:
        return lambda g, _ans, _args, _static: rule(g)
    if picks == [-1]:
        return lambda g, ans, _args, _static: rule(g, ans)
    first, *others = picks
    if not others:
        return lambda g, _ans, args, _static: rule(g, args[first])
    (second,) = others
    if first == -1:
        return lambda g, ans, args, _static: rule(g, ans, args[second])
    if second == -1:
        return lambda g, ans, args, _static: rule(g, args[first], ans)
    return lambda g, _ans, args, _static: rule(g, args[first], args[second])


def _quick_scaling(derivative: Callable[..., Value], picks: Sequence[int]) -> AdaptedRule:
    """Adapt a rule that scales, for cotangents and local derivatives that are not traced.

    What `scale` does besides is left to a second pass; see `NAN_CHECKS`.
    """
    first, *others = picks
    if first == -1 and not others:
        return lambda g, ans, _args, _static: g * derivative(ans)
    if not others:
        return lambda g, _ans, args, _static: g * derivative(args[first])

    def adapted(g: Value, ans: Value, args: Sequence[Value], _static: dict[str, Any]) -> Value:
        return g * derivative(*[ans if i == -1 else args[i] for i in picks])

    return adapted


def _names_read(rule: Rule) -> tuple[str, ...]:
    """Names of what a rule reads besides the cotangent: its parameters after the first."""
    if isinstance(rule, Scaling):
        return tuple(inspect.signature(rule.derivative).parameters)
    return tuple(inspect.signature(rule).parameters)[1:]


def broadcast_type(*types: ArrayType) -> tuple[int, ...]:
    """Shape of the result of an element-wise operation."""
    if len(types) == 1:
        return types[0].shape
    return np.broadcast_shapes(*(each.shape for each in types))


def ufunc_type(
    ufunc: np.ufunc, *types: ArrayType, operator: Callable[..., Value] | None = None
) -> ArrayType:
    """Type of the result of a ufunc, by NumPy's own promotion.

    Parameters
    ----------
    operator : callable, optional
        What is applied in place of the ufunc: Python's operator, under which Python numbers
        alone give a Python number.
    """
    if operator is not None and all(each.weak for each in types):
        return type_of(operator(*(each.dtype.type(1).item() for each in types)))
    dtypes: tuple[Any, ...] = tuple(
        # A bool is of the lowest dtype anyway, and NumPy does not take it for weak.
        each.dtype if each.dtype.kind == "b" or len(types) == 1 else each.promotion_type
        for each in types
    )
    resolved = ufunc.resolve_dtypes((*dtypes, *[None] * ufunc.nout))
    return ArrayType(broadcast_type(*types), resolved[ufunc.nin])


def elementwise(
    ufunc: np.ufunc,
    *derivatives: Callable[..., Value] | float | None,
    domain: Sequence[tuple[float, float]],
    name: str | None = None,
    operator: Callable[..., Value] | None = None,
    arguments: str | None = None,
) -> Primitive:
    """Make the entry of a ufunc.

    Parameters
    ----------
    ufunc : numpy.ufunc
    *derivatives : callable, number or None
        For each argument the local derivative, as a function of what it reads (see the module's
        text) or as a constant. A function whose first parameter is ``g`` is the rule itself.
    domain : sequence of (low, high)
        For each argument the interval that samples are drawn from.
    operator : callable, optional
        Python's operator for it: faster on scalars, and Python numbers stay Python numbers.
    """
    names = (arguments or ("x" if ufunc.nin == 1 else "x y")).split()
    rules = [None if each is None else _scaling_rule(each) for each in derivatives]

    return Primitive(
        name or ufunc.__name__,
        operator or ufunc,
        infer=partial(ufunc_type, ufunc, operator=operator),
        arguments=" ".join(names),
        vjps=rules,
        jvp=rules,
        broadcasts=True,
        samples=lambda rng: elementwise_samples(rng, domain),
    )


def _scaling_rule(derivative: Callable[..., Value] | float) -> Rule:
    """Turn a local derivative into a rule; an element-wise map is its own transpose."""
    if not callable(derivative):
        if derivative == 1:
            return lambda g: g
        if derivative == -1:
            return lambda g: -g
        return lambda g: g * derivative
    if next(iter(inspect.signature(derivative).parameters)) == "g":
        return derivative
    return Scaling(derivative)


@dataclass(frozen=True, slots=True)
class Scaling:
    """The rule that multiplies a cotangent by a local derivative."""

    derivative: Callable[..., Value]

    def __call__(self, g: Value, *read: Value) -> Value:
        """Apply the rule."""
        return scale(g, self.derivative(*read))


def elementwise_samples(
    rng: np.random.Generator, domain: Sequence[tuple[float, float]]
) -> Iterator[Sample]:
    """Draw arguments of equal, broadcasting, 0-d, size-1 and empty shapes."""
    shapes: list[list[tuple[int, ...]]] = (
        [[(3,)], [()], [(2, 1, 2)], [(1,)], [(0, 2)]]
        if len(domain) == 1
        else [
            [(3,)] * len(domain),
            [()] * len(domain),
            [(2, 1), (3,), (2, 3)][: len(domain)],
            [(), (2,), ()][: len(domain)],
            [(0, 2), (1, 2), ()][: len(domain)],
        ]
    )
    for each in shapes:
        yield Sample(
            tuple(
                rng.uniform(low, high, shape)
                for (low, high), shape in zip(domain, each, strict=True)
            )
        )


def no_cotangent(kind: ArrayType) -> np.ndarray[Any, Any]:
    """Make the cotangent of a result that nothing depends on: one zero, repeated."""
    return np.broadcast_to(np.zeros((), kind.dtype), kind.shape)


def is_absent(cotangent: Value) -> bool:
    """Whether nothing depends on one of a primitive's results; see `no_cotangent`."""
    if type(cotangent) is not ndarray or any(cotangent.strides):
        return False
    return not np.any(cotangent.flat[:1])


NAN_CHECKS: ContextVar[bool] = ContextVar("nan_checks", default=True)
"""Whether `scale` and its like look for NaN at once.

A backward pass on ndarrays first goes without: a NaN that `scale` would have removed either
reaches the end, and the pass is made again with checks, or meets a mask that drops it.
"""


def has_nan(value: Value) -> bool:
    """Whether there is a NaN, in one pass: squares are never negative, so none can cancel."""
    if type(value) is ndarray:
        value = np.vdot(value, value)
    return cmath.isnan(value)


def needs_care(product: Value) -> bool:
    """Whether a product of a cotangent must be made again, with zeros that win over NaN."""
    return NAN_CHECKS.get() and has_nan(product)


_PYTHON_NUMBERS = frozenset((float, int, complex, bool))
_PLAIN = frozenset((np.ndarray, np.float64, float))
"""What most cotangents and local derivatives are, and none that is traced."""


def _evaluate_scale(g: Value, derivative: Value) -> Value:
    product = g * derivative
    if type(derivative) in _PYTHON_NUMBERS:
        if derivative != 0 and abs(derivative) < np.inf:
            return product
    elif derivative.dtype.kind == "b":
        return np.where(derivative, g, np.zeros((), product.dtype))
    if NAN_CHECKS.get() and has_nan(product):
        zero = np.equal(g, 0) | np.equal(derivative, 0)
        product = np.where(zero, np.asarray(product).dtype.type(0), product)[()]
    return product


def scale(g: Value, derivative: Value) -> Value:
    """Multiply a cotangent by a local derivative, with ``0 · NaN = 0`` and ``0 · inf = 0``.

    The one rule about NaN: what does not flow cannot poison. ``where(x > 0, log(x), 0)`` has a
    finite gradient at 0, while a genuine NaN, one that meets a cotangent that is not zero,
    survives.
    """
    kind = type(derivative)
    if type(g) in _PLAIN and kind in _PLAIN:
        if not NAN_CHECKS.get() and (kind is float or derivative.dtype is not _BOOL):
            return g * derivative
    elif isinstance(g, Traced) or isinstance(derivative, Traced):
        return bind(SCALE, (g, derivative), {})
    return _evaluate_scale(g, derivative)


SCALE = Primitive(
    "scale",
    _evaluate_scale,
    infer=lambda g, derivative: (
        ufunc_type(np.multiply, g, derivative, operator=mul)
        if derivative.dtype != np.bool or derivative.weak
        else ArrayType(broadcast_type(g, derivative), g.dtype)
    ),
    arguments="x y",
    vjps=(lambda g, y: scale(g, y), lambda g, x: scale(g, x)),
    jvp=(lambda t, y: scale(t, y), lambda t, x: scale(t, x)),
    broadcasts=True,
    samples=lambda rng: elementwise_samples(rng, [(-2, 2), (-2, 2)]),
)
"""The primitive behind `scale`."""

ITEM = Primitive(
    "item",
    lambda results, position: results[position],
    infer=lambda results, position: results[position],
    arguments="results",
    samples=lambda rng: [Sample(((rng.uniform(size=2), rng.uniform(size=3)),), {"position": 1})],
)
"""One result of a primitive with several."""
