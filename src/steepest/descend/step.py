"""One step of descent as one function, plain or compiled: loss, gradient, update."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from types import CodeType, MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from steepest.array import value_type
from steepest.compiling import Compiled, Translation, is_dynamic
from steepest.descend.data import ArrayData, NoData
from steepest.descend.optimizers import Optimizer
from steepest.descend.textbook import uphill
from steepest.differentiate import value_and_grad
from steepest.engines import Interpreter
from steepest.errors import BadInputError, NeedsValueError, NotCompiledWarning, user_line
from steepest.tree import Tree, flatten, is_differentiable, leaf_names, unflatten

if TYPE_CHECKING:
    from steepest.compiling import Entry
    from steepest.descend.native_steps import NativeSteps

__all__ = ["Stepper"]


class Step:
    """The function ``(weights, state, batch, step_size, step) → (weights, state, loss)``.

    All parameters are updated at once, from one gradient. Its attributes are what a compiled step
    is guarded by.
    """

    def __init__(self, loss_fn: Callable[..., Any], optimizer: Optimizer, has_data: bool) -> None:
        self.evaluate = value_and_grad(loss_fn)
        self.update = optimizer.update
        self.has_data = has_data
        self.__name__ = getattr(loss_fn, "__name__", "the loss")

    def __call__(
        self, weights: Tree, state: Tree, batch: Tree, step_size: float, step: float
    ) -> tuple[Tree, Tree, Any]:
        args = (weights, batch) if self.has_data else (weights,)
        loss, gradient = self.evaluate(*args)
        if np.shape(loss):
            # An array of size 1.
            loss = np.reshape(loss, ())
        updated, state = self.update(uphill(gradient), state, weights, step_size, step)
        return _checked(weights, updated), state, loss


def _checked(weights: Tree, updated: Tree) -> Tree:
    """Check what an optimizer returned, and put it into the containers of the weights."""
    leaves, structure = flatten(weights)
    new_leaves, new_structure = flatten(updated)
    if new_structure != structure:
        raise BadInputError(
            "the optimizer's update returned weights that are put together differently:"
            f" {', '.join(leaf_names(updated, 'a single leaf'))} instead of"
            f" {', '.join(leaf_names(weights, 'a single leaf'))}",
            instead="return weights, state",
        )
    for place, (old, new) in enumerate(zip(leaves, new_leaves, strict=True)):
        if not is_differentiable(old):
            new_leaves[place] = old
            continue
        expected, given = value_type(old), value_type(new)
        if (given.shape, given.dtype) != (expected.shape, expected.dtype):
            raise BadInputError(
                f"the optimizer's update made {given} of {leaf_names(weights, 'weights')[place]},"
                f" which is {expected}",
                instead="Python floats for its constants, which leave dtypes as they are",
            )
    return unflatten(structure, new_leaves)


_TRANSLATIONS: WeakKeyDictionary[CodeType, dict[str, dict[Hashable, Translation]]] = (
    WeakKeyDictionary()
)


def _translations_of(loss_fn: Callable[..., Any], engine: str) -> dict[Hashable, Translation]:
    """Find what the steps of runs before were made into.

    They are kept by the loss's code, for as long as there is such code: a function that is
    defined anew at each run, or a method, is found again. A recording tells if they are the same.
    """
    function = inspect.unwrap(loss_fn)
    while isinstance(function, partial):
        function = function.func
    if isinstance(function, MethodType):
        function = function.__func__
    code = getattr(function, "__code__", getattr(type(function).__call__, "__code__", None))
    if code is None:
        return {}
    return _TRANSLATIONS.setdefault(code, {}).setdefault(engine, {})


class Stepper:
    """Runs steps on an engine, and in plain Python where a step cannot be compiled."""

    def __init__(
        self, loss_fn: Callable[..., Any], optimizer: Optimizer, has_data: bool, engine: str
    ) -> None:
        self._plain = Step(loss_fn, optimizer, has_data)
        self._run: Callable[..., tuple[Tree, Tree, Any]] = Compiled(
            self._plain, engine, _translations_of(loss_fn, engine)
        )
        self.engine = engine
        self.notes: list[str] = []

    def __call__(
        self, weights: Tree, state: Tree, batch: Tree, step_size: float, step: float
    ) -> tuple[Tree, Tree, Any]:
        """Take one step."""
        try:
            result = self._run(weights, state, batch, step_size, step)
        except NeedsValueError as error:
            if self._run is self._plain:
                raise
            self._give_up_compiling(error)
            return self._plain(weights, state, batch, step_size, step)
        self._note_python()
        return result

    def __str__(self) -> str:
        compiled = self._run.latest if isinstance(self._run, Compiled) else None
        return "Python, traced at each step" if compiled is None else str(compiled.translation.run)

    def natively(
        self,
        weights: Tree,
        state: Tree,
        batches: Iterable[Tree],
        source: ArrayData | NoData,
        taken: int,
        step_size: float,
        *,
        is_timed: bool = False,
    ) -> NativeSteps | None:
        """Make native code that goes from step to step; None where there can be none.

        Parameters
        ----------
        batches : iterable of pytree
            One of each size, that of the first step first.

        Raises
        ------
        Exception
            What the loss raises for the first batch.
        """
        if self.engine != "native" or not isinstance(self._run, Compiled):
            return None
        # Imported here: what brings LLVM along.
        from steepest.descend.native_steps import NativeSteps, can_run, in_native_order

        entries: list[Entry] = []
        for batch in map(in_native_order, batches):
            try:
                entry = self._run.entry(weights, state, batch, step_size, float(taken))
            except NeedsValueError as error:
                self._give_up_compiling(error)
                return None
            except Exception:  # the loss's, of whatever class
                if not entries:
                    raise
                # Step by step, that of a smaller batch is raised again when its turn comes.
                return None
            if entry is None or not can_run(entry, weights, state):
                self._note_python()
                return None
            entries.append(entry)
        return NativeSteps(entries, weights, state, source, taken, is_timed=is_timed)

    def by_reference_engine(
        self, weights: Tree, state: Tree, batch: Tree, step_size: float, step: float
    ) -> tuple[Tree, Tree, Any]:
        """Take one step with NumPy, operation by operation."""
        args = (weights, state, batch, step_size, step)
        entry = self._run.entry(*args) if isinstance(self._run, Compiled) else None
        if entry is None:
            return self(*args)
        inputs = [leaf for leaf in flatten((args, {}))[0] if is_dynamic(leaf)]
        return_value: tuple[Tree, Tree, Any] = entry.recording.result(
            Interpreter(entry.recording.graph)(inputs), inputs
        )
        return return_value

    def _note_python(self) -> None:
        """Say so where the steps turned out not to be compiled; a warning has said it before."""
        if isinstance(self._run, Compiled) and self._run.runs_as_python:
            self._run = self._plain
            self.engine = "python"
            self.notes.append(
                f"the steps of {self._plain.__name__} are traced one by one, which is slower: what"
                " the loss captures changes from call to call (random numbers, a reused buffer, a"
                " counter)"
            )

    def _give_up_compiling(self, error: NeedsValueError) -> None:
        self._run = self._plain
        self.engine = "python"
        reason = error.message.partition("\n")[0]
        where = f", at {error.line.filename}:{error.line.number}" if error.line is not None else ""
        note = (
            f"the steps of {self._plain.__name__} cannot be compiled and are traced one by one,"
            f" which is slower: {reason}{where}"
        )
        self.notes.append(note)
        line = user_line()
        warnings.warn_explicit(
            note,
            NotCompiledWarning,
            "<unknown>" if line is None else line.filename,
            0 if line is None else line.number,
        )
