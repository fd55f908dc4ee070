"""Where a step went wrong: the first operation that made a NaN or an infinity of finite values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from steepest.array import Array
from steepest.array.creating import UserCode
from steepest.descend.textbook import evaluate_gradient
from steepest.errors import SourceLine, TracedConversionError, user_line
from steepest.ops.spec import Primitive, Trace, Traced, Value
from steepest.tree import Leaf, Tree, flatten, is_differentiable, leaf_names, unflatten

__all__ = ["Diagnosis", "diagnose", "is_finite", "not_finite_leaves"]

MOST_LISTED = 5
"""So many names of parameters fit into a sentence."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found.

    Attributes
    ----------
    message : str
        A clause; empty when there is nothing to say.
    operation : str or None
        The first operation to give what is not finite, of what is.
    line : SourceLine or None
        The user's line of that operation.
    parameters : tuple of str
        What the arguments of that operation are made of.
    """

    message: str
    operation: str | None = None
    line: SourceLine | None = None
    parameters: tuple[str, ...] = ()


def is_finite(leaf: Leaf) -> bool:
    """Whether a leaf has neither NaN nor infinity; what is not floating point has none."""
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "fc":
        # One fast pass; it may overflow for finite entries, which are then looked at one by one.
        return math.isfinite(abs(np.vdot(leaf, leaf))) or bool(np.isfinite(leaf).all())
    return not is_differentiable(leaf) or bool(np.isfinite(leaf))


def not_finite_leaves(tree: Tree, root: str) -> tuple[str, ...]:
    """Name the leaves of a pytree that have a NaN or an infinity."""
    return tuple(
        name
        for name, leaf in zip(leaf_names(tree, root), flatten(tree)[0], strict=True)
        if not is_finite(leaf)
    )


def not_finite_parameters(
    loss_fn: Callable[..., Any], weights: Tree, batch: Tree | None
) -> tuple[tuple[str, ...], str]:
    """Find the parameters whose gradient is not finite.

    Returns
    -------
    names : tuple of str
    message : str
        A clause; empty when the gradient is finite.
    """
    try:
        with np.errstate(all="ignore"):
            gradient = evaluate_gradient(loss_fn, batch, weights)
    except Exception as error:  # the weights must come home all the same
        return (), f"its gradient, evaluated once more, raised {_brief(error)}"
    names = not_finite_leaves(gradient, "weights")
    return names, f"the gradient of {listed(names)} is not finite" if names else ""


def listed(parameters: Sequence[str]) -> str:
    """List the names of weights."""
    names = [f"weights{name}" if name.startswith("[") else name for name in parameters]
    if len(names) > MOST_LISTED:
        names = [*names[: MOST_LISTED - 1], f"{len(names) - MOST_LISTED + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def diagnose(
    loss_fn: Callable[..., Any], weights: Tree, batch: Tree | None, data: Tree | None
) -> Diagnosis:
    """Run a loss again and find the operation where it stops being finite.

    Parameters
    ----------
    weights, batch : pytree
        Of the step that went wrong; no batch for a loss of the weights alone.
    data : pytree of arrays or None
        What the batch was taken from, to name the example.
    """
    for watch_batch in (True, False):
        inspection = _Inspection()
        args = [inspection.watch_tree(weights, "weights")]
        if batch is not None:
            args.append(inspection.watch_tree(batch, "data") if watch_batch else batch)
        try:
            with np.errstate(all="ignore"), UserCode(loss_fn):
                result = loss_fn(*args)
        except TracedConversionError:
            # A loss may convert its batch freely, but not when the batch is watched too.
            continue
        except Exception as error:  # the weights must come home all the same
            return Diagnosis(f"run once more to find the operation, it raised {_brief(error)}")
        finally:
            inspection.active = False
        return inspection.conclude(result, data)
    return Diagnosis("the operation was not found: the loss converts its weights")


class _Seen:
    """A value on its way: where it comes from and what is wrong with it."""

    __slots__ = ("has_inf", "has_nan", "line", "number", "operation", "parents", "root", "what")
    _numbers = count()

    def __init__(
        self,
        value: Value,
        parents: Sequence[_Seen] = (),
        operation: str | None = None,
        what: str = "",
        root: str = "",
        line: SourceLine | None = None,
    ) -> None:
        self.parents = parents
        self.operation = operation
        self.what = what
        self.root = root
        self.line = line
        self.number = next(self._numbers)
        self.has_nan = self.has_inf = False
        if not is_finite(value):
            self.has_nan = bool(np.isnan(value).any())
            self.has_inf = bool(np.isinf(value).any())


class _Inspection(Trace):
    """A trace that evaluates each operation and notes whether its result is finite."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        super().__init__()
        self._seen: list[_Seen] = []

    def watch_tree(self, tree: Tree, root: str) -> Tree:
        """Make the floating-point leaves of an argument Arrays of this trace."""
        leaves, structure = flatten(tree)
        names = leaf_names(tree, root)
        return unflatten(
            structure,
            [
                Array(self, leaf, self._note(_Seen(leaf, what=name, root=root)))
                if is_differentiable(leaf)
                else leaf
                for leaf, name in zip(leaves, names, strict=True)
            ],
        )

    def record(self, primitive: Primitive, args: Sequence[Value], static: dict[str, Any]) -> Value:
        """Evaluate a primitive and look at its result."""
        values: list[Value] = []
        parents: list[_Seen] = []
        line = user_line()
        for arg in args:
            if isinstance(arg, Traced) and arg._trace is self:
                values.append(arg._value)
                parents.append(arg._node)
            else:
                values.append(arg)
                if not isinstance(arg, Traced):
                    parents.append(_Seen(arg, what="a value that the loss reads", line=line))
        result = primitive(*values, **static)
        if not primitive.differentiable:
            return result
        if primitive.outputs > 1:
            return tuple(
                Array(self, each, self._note(_Seen(each, parents, primitive.name, line=line)))
                for each in result
            )
        seen = self._note(_Seen(result, parents, primitive.name, line=line))
        return Array(self, result, seen)

    def _note(self, seen: _Seen) -> _Seen:
        self._seen.append(seen)
        return seen

    def conclude(self, result: Value, data: Tree | None) -> Diagnosis:
        """Find where the trouble began."""
        if not (isinstance(result, Array) and result._trace is self):
            return Diagnosis(
                "the operation was not found, because the loss is not made of the weights"
            )
        loss: _Seen = result._node
        if loss.has_nan:
            origin = _origin(loss, lambda seen: seen.has_nan)
        elif loss.has_inf:
            origin = _origin(loss, lambda seen: seen.has_inf)
        else:
            # The loss is finite, its gradient is not: what was infinite on the way is a hint.
            found = [seen for seen in self._seen if seen.has_nan or seen.has_inf]
            if not found:
                return Diagnosis("")
            origin = _origin(found[0], lambda seen: seen.has_nan or seen.has_inf)
        message = _describe(origin, data)
        cause = next((parent for parent in origin.parents if parent.has_inf), None)
        if origin.has_nan and cause is not None:
            earlier = _describe(_origin(cause, lambda seen: seen.has_inf), data)
            message += f"; it came of an infinity: {earlier}"
        return Diagnosis(message, origin.operation, origin.line, _parameters(origin))


def _origin(seen: _Seen, is_bad: Callable[[_Seen], bool]) -> _Seen:
    """Follow what is bad to the earliest value that is not made of anything bad."""
    visited = {seen}
    pending = [seen]
    origins = []
    while pending:
        current = pending.pop()
        bad = [parent for parent in current.parents if is_bad(parent)]
        if not bad:
            origins.append(current)
        for parent in bad:
            if parent not in visited:
                visited.add(parent)
                pending.append(parent)
    return min(origins, key=lambda origin: origin.number)


def _describe(seen: _Seen, data: Tree | None) -> str:
    what = "NaN" if seen.has_nan else "an infinity"
    at = f" at {_place(seen.line)}" if seen.line is not None else ""
    if seen.operation is not None:
        made_of = _parameters(seen)
        of = f", of a value made of {listed(made_of)}," if made_of else ""
        return f"{seen.operation}{of} is the first operation to give {what},{at}"
    example = _example(seen.what, data) if seen.root == "data" else ""
    return f"there is {what} in {_of(seen.root, seen.what)}{example}{at}"


def _parameters(seen: _Seen) -> tuple[str, ...]:
    """Name the weights that a value is made of."""
    visited = {seen}
    pending = [seen]
    found = []
    while pending:
        current = pending.pop()
        if current.root == "weights":
            found.append(current)
        for parent in current.parents:
            if parent not in visited:
                visited.add(parent)
                pending.append(parent)
    return tuple(each.what for each in sorted(found, key=lambda each: each.number))


def _place(line: SourceLine) -> str:
    text = f": {line.text}" if line.text else ""
    return f"{line.filename}:{line.number}, in {line.function}{text}"


def _of(root: str, name: str) -> str:
    """Name a leaf as part of its tree."""
    if name == root:
        return f"the {root}"
    if not root:
        return name
    return root + name if name.startswith("[") else f"{name} of the {root}"


def _example(name: str, data: Tree | None) -> str:
    """Say which example is the first that is not finite."""
    if data is None:
        return ""
    for leaf_name, leaf in zip(leaf_names(data, "data"), flatten(data)[0], strict=True):
        if leaf_name == name:
            return f", in the example of index {np.argwhere(~np.isfinite(leaf))[0][0]}"
    return ""
