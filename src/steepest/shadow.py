"""The shadow run: the same function untraced, with plain NumPy, and the values compared.

A loss is plain NumPy, so that it also runs without being traced. Where the two runs give
different values, something was lost on the way: a write, an alias, a branch on a type.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

from steepest.array import Array, value_type
from steepest.errors import ShadowRunError, SourceLine, is_user_code
from steepest.ops.spec import Trace, Traced, Value, is_ndarray
from steepest.tree import Tree, flatten, is_differentiable, leaf_names, tree_map

__all__ = ["SHADOWING", "ShadowTrace", "compare_with_plain_run", "differences", "independent_copy"]

SHADOWING: ContextVar[bool] = ContextVar("shadowing", default=False)
"""Set while a shadow run is under way: the gradients inside it are compared too, for a run of
``grad(f)`` is not yet one of `f` untraced."""

_REMEMBERED_LINES = 200_000
"""Lines of the user's code whose variables are compared when the runs are found to part."""


def independent_copy(tree: Tree) -> Tree:
    """Copy the arrays of a pytree, so that a run of the user's function can do no harm."""
    return tree_map(lambda leaf: leaf.copy() if is_ndarray(leaf) else leaf, tree)


def tolerance(dtype: np.dtype[Any]) -> float:
    """Relative difference up to which two runs may differ by the order of rounding."""
    return float(np.sqrt(np.finfo(dtype).eps)) if dtype.kind in "fc" else 0.0


def same_value(traced: Value, plain: Value) -> bool:
    """Whether two values agree in shape, dtype and, up to rounding, in every entry."""
    if not isinstance(plain, (np.ndarray, np.generic, int, float, complex)):
        return bool(np.all(traced == plain)) if plain is not None else traced is None
    kind, expected = value_type(traced), value_type(plain)
    if (kind.shape, kind.dtype) != (expected.shape, expected.dtype):
        return False
    if kind.dtype.kind not in "fciub":
        return bool(np.array_equal(traced, plain))
    with np.errstate(all="ignore"):
        scale = np.max(np.abs(np.where(np.isfinite(plain), plain, 0)), initial=0)
        return bool(
            np.allclose(
                traced, plain, rtol=0, atol=tolerance(kind.dtype) * float(scale), equal_nan=True
            )
        )


def differences(traced: Tree, plain: Tree) -> str | None:
    """Say in one sentence where two results differ; None if they agree."""
    leaves, structure = flatten(traced)
    plain_leaves, plain_structure = flatten(plain)
    if structure != plain_structure:
        return "the results differ in structure"
    for name, a, b in zip(leaf_names(plain, "the result"), leaves, plain_leaves, strict=True):
        if not same_value(a, b):
            return f"{name}: {_brief(a)} when traced, {_brief(b)} in plain NumPy"
    return None


def _brief(value: Value) -> str:
    if isinstance(value, (np.ndarray, np.generic, int, float, complex)):
        kind = value_type(value)
        text = np.array2string(np.asarray(value), threshold=6, edgeitems=2, precision=8)
        return f"{' '.join(text.split())} ({kind})" if len(text) < 200 else str(kind)
    return repr(value)[:80]


def compare_with_plain_run(
    function: Callable[..., Any],
    traced_result: Tree,
    args: Sequence[Any],
    keywords: dict[str, Any],
    trace_again: Callable[[], Any],
) -> None:
    """Run a function untraced and compare its result with that of the traced run.

    Parameters
    ----------
    traced_result : pytree
        Plain values that the traced run came to.
    trace_again : callable
        Runs the function on Arrays with values, to find the line where the runs part.

    Raises
    ------
    ShadowRunError
    """
    if any(isinstance(leaf, Traced) for leaf in flatten((tuple(args), keywords))[0]):
        # Inside an outer gradient nothing runs untraced; the outermost one is compared.
        return
    token = SHADOWING.set(True)
    try:
        plain = function(*independent_copy(tuple(args)), **independent_copy(keywords))
    finally:
        SHADOWING.reset(token)
    if any(isinstance(leaf, Traced) for leaf in flatten(plain)[0]):
        return
    difference = differences(traced_result, plain)
    if difference is None:
        return
    parted = _find_parting(
        trace_again,
        lambda: function(*independent_copy(tuple(args)), **independent_copy(keywords)),
    )
    message = f"the traced run and the plain NumPy run of the function differ: {difference}"
    if parted is not None:
        message += (
            f"\n  They part at {parted.line}\n    where {parted.name} is {_brief(parted.traced)}"
            f" when traced and {_brief(parted.plain)} in plain NumPy"
        )
    raise ShadowRunError(
        message,
        instead="make the function return the same for the same arguments: no unseeded random"
        " numbers, no state kept between calls, no choice by type(x)",
        line=None if parted is None else parted.line,
    )


@dataclass(frozen=True, slots=True)
class _Parting:
    line: SourceLine
    name: str
    traced: Value
    plain: Value


_Event = tuple[SourceLine, dict[str, Any]]


def _find_parting(traced: Callable[[], Any], plain: Callable[[], Any]) -> _Parting | None:
    """Find the first line after which a variable of the user's differs between two runs."""
    for (line, traced_variables), (plain_line, plain_variables) in zip(
        _watch_variables(traced), _watch_variables(plain), strict=False
    ):
        if (line.filename, line.number) != (plain_line.filename, plain_line.number):
            return None
        for name, value in traced_variables.items():
            other = plain_variables.get(name)
            if other is not None and not same_value(value, other):
                return _Parting(line, name, value, other)
    return None


def _watch_variables(run: Callable[[], Any]) -> list[_Event]:
    """Run and note, after each line of the user's code, the numeric variables that it changed."""
    events: list[_Event] = []
    before: dict[FrameType, tuple[SourceLine, dict[str, int]]] = {}

    def on_event(frame: FrameType, event: str, _argument: Any) -> Any:
        # Methods that Python generates for steepest's own dataclasses stand in no file.
        own = frame.f_globals.get("__name__", "").startswith("steepest.")
        if own or not is_user_code(frame.f_code.co_filename):
            return None
        if len(events) >= _REMEMBERED_LINES:
            return None
        seen: dict[str, int] = {}
        if frame in before:
            line, seen = before[frame]
            changed = {}
            for name, value in frame.f_locals.items():
                plain = _plain(value)
                if plain is not None and seen.get(name) != id(value):
                    changed[name] = plain
                    seen[name] = id(value)
            if changed:
                events.append((line, changed))
        code = frame.f_code
        before[frame] = (SourceLine(code.co_filename, frame.f_lineno, code.co_qualname), seen)
        return on_event

    previous = sys.gettrace()
    sys.settrace(on_event)
    try:
        run()
    finally:
        sys.settrace(previous)
    return events


def _plain(value: Any) -> Value | None:
    """Copy a numeric variable's plain value, whatever its traces; None for other things."""
    while isinstance(value, Array):
        value = value._value
    if is_ndarray(value) and value.dtype.kind in "fciub":
        return value.copy()
    return value if isinstance(value, (np.generic, int, float, complex)) else None


class ShadowTrace(Trace):
    """A trace that only evaluates: to run a function on Arrays with values, for its variables."""

    __slots__ = ()

    def watch(self, value: Value) -> Array:
        """Make an argument an Array of this trace."""
        return Array(self, value, None)

    def watch_differentiable(self, leaf: Value) -> Value:
        """Make a floating-point leaf of an argument an Array of this trace."""
        return self.watch(leaf) if is_differentiable(leaf) else leaf

    def record(self, primitive: Any, args: Sequence[Value], static: dict[str, Any]) -> Value:
        """Evaluate a primitive."""
        values = [
            each._value if isinstance(each, Traced) and each._trace is self else each
            for each in args
        ]
        result = primitive(*values, **static)
        if not primitive.differentiable:
            return result
        if primitive.outputs > 1:
            return tuple(Array(self, each, None) for each in result)
        return Array(self, result, None)
