"""The extension door: functions whose derivative the user writes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from steepest.array import Array, value_type
from steepest.array.creating import UserCode, untouched_numpy
from steepest.errors import BadInputError, NotDifferentiableError, SourceLine
from steepest.ops.spec import Primitive, Traced, Value, bind, released
from steepest.tree import Structure, flatten, unflatten

__all__ = ["CustomCall", "custom_call", "custom_gradient", "defvjp"]

Pullback = Callable[[Value], Any]
Rules = tuple[Callable[..., Any] | None, ...]


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function a derivative of one's own; use as a decorator.

    Parameters
    ----------
    function : callable
        Takes arrays or pytrees and returns ``(value, pullback)``: an array, and a function that
        takes the cotangent of `value` and returns that of the argument, or a tuple with one for
        each argument (None for no dependence). Under a first derivative both run on plain
        ndarrays, so that anything may happen inside: a solver, another library. For second
        derivatives, and under ``compile`` and ``descend``, they are traced.

    Returns
    -------
    callable
        Takes the same arguments, returns the value.

    Raises
    ------
    BadInputError
        When the function does not return such a pair, or the pullback not such cotangents.

    Examples
    --------
    >>> import numpy as np
    >>> from steepest import grad
    >>> @custom_gradient
    ... def log1pexp(x):
    ...     return np.logaddexp(0, x), lambda g: g / (1 + np.exp(-x))
    >>> grad(log1pexp)(1000.0)
    1.0
    """

    @functools.wraps(function)
    def differentiable(*args: Any) -> Any:
        leaves, structure = flatten(args)
        if not any(isinstance(leaf, Traced) for leaf in leaves):
            return _call(function, args)[0]
        return bind(CustomCall(function, structure).primitive(), leaves, {})

    return differentiable


def defvjp(function: Callable[..., Any], *rules: Callable[..., Any] | None) -> Callable[..., Any]:
    """Make a differentiable function from one that cannot be traced.

    Parameters
    ----------
    function : callable
        Takes arrays, returns an array; its inside is never looked at under a first derivative.
    *rules : callable or None
        For each argument ``(g, ans, *args) → cotangent of the argument``, or None.

    Returns
    -------
    callable
        Takes the same arguments, returns the same value.

    Examples
    --------
    >>> import math
    >>> from steepest import grad
    >>> sine = defvjp(math.sin, lambda g, ans, x: g * math.cos(x))
    >>> grad(sine)(0.0)
    1.0
    """
    return _Ruled(function, rules).differentiable


class _Ruled:
    """A function with a rule for each argument, as `custom_gradient` takes it."""

    def __init__(self, function: Callable[..., Any], rules: Rules) -> None:
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self.rules = rules
        self.differentiable = custom_gradient(self)

    def __call__(self, *args: Any) -> tuple[Value, Pullback]:
        traced = any(isinstance(each, Traced) for each in flatten(args)[0])
        ans = self.differentiable(*args) if traced else self._function(*args)
        return ans, lambda g: tuple(
            None if rule is None else rule(g, ans, *args) for rule in self.rules
        )


def custom_call(primitive: Primitive) -> CustomCall | None:
    """Return the call that a primitive was made for; None for the primitives of the op table."""
    owner = getattr(primitive.evaluate, "__self__", None)
    return owner if isinstance(owner, CustomCall) else None


def _call(function: Callable[..., Any], args: Sequence[Any]) -> tuple[Value, Pullback]:
    """Call the user's function and check what it returns.

    On plain values it gets ndarrays from NumPy, as it may hand them to any library.
    """
    traced = any(isinstance(leaf, Traced) for leaf in flatten(args)[0])
    with UserCode(function) if traced else untouched_numpy():
        result = function(*args)
    if not (isinstance(result, tuple) and len(result) == 2 and callable(result[1])):
        raise BadInputError(
            f"{function.__name__}, under custom_gradient, must return (value, pullback), and"
            f" returned a {type(result).__name__}",
            instead="return value, lambda g: ...",
        )
    if isinstance(result[0], (tuple, list, dict)):
        raise NotDifferentiableError(
            f"{function.__name__}, under custom_gradient, must return one array as its value, and"
            f" returned a {type(result[0]).__name__}",
            instead="one function for each of the results",
        )
    return released(result[0]), result[1]


class CustomCall:
    """One call of a function with a custom gradient.

    Attributes
    ----------
    function : callable
        The user's, as it was given to `custom_gradient` or `defvjp`.
    """

    def __init__(self, function: Callable[..., Any], structure: Structure) -> None:
        self.function = function
        self._structure = structure
        self._made: tuple[Sequence[Value], Pullback] | None = None

    def primitive(self) -> Primitive:
        """Make what the call is recorded as; not held here, as a cycle would hold its values."""
        return Primitive(
            self.function.__name__,
            self._evaluate,
            infer=lambda *kinds: kinds[0],
            arguments="*xs",
            joint_vjp=self._propagate,
            traced_inside=True,
            samples=lambda rng: (),
        )

    def argument_of(self, leaf: int) -> int:
        """Return which argument a leaf is in."""
        remaining = leaf
        for number, child in enumerate(self._structure.children):
            if remaining < child.leaf_count:
                return number
            remaining -= child.leaf_count
        raise IndexError(leaf)

    def rule_line(self, argument: int) -> SourceLine | None:
        """Find where the user wrote the rule by an argument; None where that is not Python."""
        rule: Any = None
        if isinstance(self.function, _Ruled):
            rule = self.function.rules[argument]
        elif self._made is not None:
            rule = self._made[1]
        code = getattr(inspect.unwrap(rule or self.function), "__code__", None)
        if code is None:
            return None
        return SourceLine(code.co_filename, code.co_firstlineno, code.co_qualname)

    def _evaluate(self, *values: Value) -> Value:
        value, pullback = _call(self.function, unflatten(self._structure, values))
        self._made = (values, pullback)
        return value

    def _propagate(self, g: Value, xs: Sequence[Value]) -> Sequence[Value]:
        assert self._made is not None
        values, pullback = self._made
        if any(
            isinstance(x, Array) and x._trace.active and x is not value
            for x, value in zip(xs, values, strict=True)
        ):
            # The recorded run was on plain values; an outer derivative needs one on traced ones.
            _, pullback = _call(self.function, unflatten(self._structure, xs))
        with UserCode() if isinstance(g, Traced) else untouched_numpy():
            cotangents = pullback(g)
        children = self._structure.children
        if len(children) == 1 and (
            not isinstance(cotangents, tuple) or flatten(cotangents)[1] == children[0]
        ):
            cotangents = (cotangents,)
        name = self.function.__name__
        if not isinstance(cotangents, tuple) or len(cotangents) != len(children):
            raise BadInputError(
                f"the pullback of {name} must return a tuple of {len(children)} cotangents, one"
                " for each argument",
                instead="None for an argument without influence",
            )
        flat: list[Value] = []
        for child, cotangent in zip(children, cotangents, strict=True):
            if cotangent is None:
                flat.extend([None] * child.leaf_count)
                continue
            leaves, structure = flatten(cotangent)
            if structure != child:
                raise BadInputError(
                    f"the pullback of {name} must return cotangents like the arguments, and for"
                    " one of them returned a different tree"
                )
            flat.extend(map(released, leaves))
        for cotangent, x in zip(flat, xs, strict=True):
            if cotangent is not None and value_type(cotangent).shape != value_type(x).shape:
                raise BadInputError(
                    f"the pullback of {name} returned a cotangent of shape"
                    f" {value_type(cotangent).shape} for an argument of shape"
                    f" {value_type(x).shape}",
                    instead="sum it over the axes along which the argument was broadcast",
                )
        return flat
