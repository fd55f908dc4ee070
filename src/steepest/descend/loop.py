"""The training loop."""

from __future__ import annotations

import inspect
import math
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from steepest.array import value_type
from steepest.array.plain import means_otherwise
from steepest.check import GradientCheck, check_gradient
from steepest.descend.data import (
    ArrayData,
    NoData,
    Source,
    find_source,
    random_generator,
    read_only,
    whole_number,
)
from steepest.descend.diagnose import (
    diagnose,
    is_finite,
    listed,
    not_finite_leaves,
    not_finite_parameters,
)
from steepest.descend.optimizers import Optimizer, find_optimizer
from steepest.descend.progress import ProgressBar
from steepest.descend.result import Descent, StepInfo, StopCode, StopReason, counted
from steepest.descend.step import Stepper
from steepest.descend.step_sizes import check_size, find_schedule
from steepest.descend.validation import Interval, Validation, check_interval, find_validation
from steepest.engines import check_engine
from steepest.errors import BadInputError, UnsupportedError
from steepest.ops.spec import Traced
from steepest.tree import Leaf, Tree, flatten, is_differentiable, leaf_names, tree_map, unflatten

if TYPE_CHECKING:
    from steepest.descend.native_steps import NativeSteps

__all__ = ["descend"]

AT_ONCE = 0.1
"""Seconds after which native code comes back to Python, about."""
EXAMPLES_CHECKED = 32
# What the check of a large model leaves open when these are over is noted.
CHECK_SECONDS = 5.0
"""The gradient check at the start looks at so many examples at most."""


def descend(
    loss_fn: Callable[..., Any],
    weights: Tree,
    data: Any = None,
    *,
    step_size: float | Callable[[int], float],
    optimizer: str | Optimizer = "sgd",
    batch_size: int | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    replacement: bool = False,
    seed: int | np.random.Generator | None = 0,
    validate: Tree | Callable[[Tree], float] | None = None,
    validate_every: Interval = "epoch",
    patience: int | None = None,
    callback: Callable[[StepInfo], object] | None = None,
    callback_every: Interval = "epoch",
    check: bool = False,
    engine: str = "native",
    profile: bool = False,
    progress: bool | None = None,
) -> Descent:
    """Minimise a loss by gradient descent, on all data at once, in mini-batches or one by one.

    Each step takes one gradient by all weights, and then changes all weights at once. The user's
    weights are left alone.

    Parameters
    ----------
    loss_fn : callable
        ``loss_fn(weights, batch)`` returns a real scalar; without data, ``loss_fn(weights)``.
        Written in NumPy. It is traced and compiled once for each shape of batch; one that needs
        values (``if loss > 1``) is traced anew at each step, which is slower and is said.
    weights : pytree
        Where to begin. Floating-point arrays and Python floats are trained and keep their dtypes;
        integers, strings and None are carried along.
    data : optional
        - A pytree of arrays that share axis 0, of length N: the examples. Each epoch goes through
          them once, in a new random order; the last batch may be smaller.
        - An iterable of single examples, pytrees of arrays and numbers, which are stacked into
          batches as they arrive. It is iterated anew at each epoch; an iterator (a generator)
          has one epoch. Lists, tuples and dicts are pytrees.
        - A generator function without arguments that yields such examples, called at each epoch.
        - Any other callable: ``batch = data(rng)`` makes the batch of each step, with the run's
          random generator; StopIteration ends the run. There are no epochs.
    step_size : float or callable
        The learning rate, or a schedule: takes the number of steps taken so far, 0 at the first
        step, and returns the size of the next one; see `steepest.step_sizes`.
    optimizer : str or Optimizer
        "sgd", "momentum", "nesterov", "adam" or "adamw", or one made by `steepest.optimizers`.
    batch_size : int, optional
        Examples in a batch, which keeps its axis 0 when there is only one. By default all of the
        arrays at once, and 1 for an iterable.
    epochs, steps : int
        How long to go on, whichever is reached first. One of them must be given.
    replacement : bool
        Draw each batch from all examples with replacement; an epoch is then as many steps as
        one without.
    seed : int, numpy.random.Generator or None
        The same seed gives the same weights, bit for bit. None seeds by the operating system.
    validate : pytree of arrays or callable, optional
        Validation data like `data`, of which the loss is evaluated as one batch; or a function of
        the weights that returns a loss.
    validate_every : "epoch" or int
        After each epoch, or each so many steps.
    patience : int, optional
        Stop early after so many evaluations in a row that are no lower than the lowest before.
        With it, the weights returned are those with the lowest validation loss.
    callback : callable, optional
        Told a `StepInfo`; stops the run by returning True or raising StopIteration.
    callback_every : "epoch" or int
        As for `validate_every`; each step where the data have no epochs.
    check : bool
        Check the gradient at the start, on up to 32 examples, and raise if it is wrong.
    engine : str
        What runs the compiled steps: "native", which is machine code made by LLVM, with the loop
        over the steps in it where the data are arrays; or "interpret", which is NumPy, operation
        by operation.
    profile : bool
        Find out where the time of a step goes, by the lines of the loss; print it at the end, and
        keep it as ``.profile``. Needs the engine "native" and data that are arrays, or none.
    progress : bool, optional
        Show a progress bar; by default if stderr is a terminal.

    Returns
    -------
    Descent
        Ctrl-C returns it too, with the weights so far and ``stopped.code == "interrupted"``; so
        does a loss, gradient or weight that is not finite ("not_finite"), with the last finite
        weights, and the step, the parameter and the operation in the message.

    Raises
    ------
    BadInputError
        When an argument is wrong; before the first step, except for what later examples are.
    NotDifferentiableError
        When the loss is no real scalar, or there is no floating-point weight.
    UnsupportedError
        When the loss uses what is not differentiated; the error names the line.
    WrongGradientError
        When `check` finds the gradient wrong.

    Examples
    --------
    Fit a line through 100 points, 10 at a time:

    >>> x = np.linspace(-1, 1, 100)
    >>> def loss_fn(weights, batch):
    ...     inputs, targets = batch
    ...     return np.mean((weights["a"] * inputs + weights["b"] - targets) ** 2)
    >>> weights = {"a": 0.0, "b": 0.0}
    >>> result = descend(loss_fn, weights, (x, 3 * x + 1), step_size=0.1, batch_size=10, epochs=50)
    >>> {name: round(value, 3) for name, value in result.weights.items()}
    {'a': 3.0, 'b': 1.0}
    >>> result.stopped.message
    'all 50 epochs are done'
    """
    if not callable(loss_fn):
        raise BadInputError(
            f"loss_fn must be a function of the weights and a batch, not {type(loss_fn).__name__}",
            instead="descend(loss_fn, weights, data, step_size=…): the function first",
        )
    check_engine(engine)
    chosen = find_optimizer(optimizer)
    schedule, first_size = _checked_schedule(step_size)
    source = find_source(data, batch_size, replacement)
    _check_parameters(loss_fn, data)
    run = _Run(
        loss_fn,
        weights,
        source,
        Stepper(loss_fn, chosen, not isinstance(source, NoData), engine),
        chosen,
        schedule,
        first_size,
        _find_limits(epochs, steps, source),
        random_generator(seed, "seed"),
        data if isinstance(source, ArrayData) else None,
    )
    run.is_timed = profile
    # A generator of the user's is left where the run ends.
    run.may_draw_ahead = not isinstance(seed, np.random.Generator)
    run.validation = find_validation(
        loss_fn, validate, validate_every, patience, source, data, run.weights
    )
    if callback is not None:
        run.callback = callback
        run.callback_interval = (
            check_interval(callback_every, "callback_every", source)
            if source.has_epochs or callback_every != "epoch"
            else 1
        )
    result = run.finish(check, progress)
    if profile:
        print(result.profile or f"No profile: the steps ran as {result.engine}, one by one")
    return result


@dataclass(frozen=True, slots=True)
class _Limits:
    """How long a run goes on; None for no limit."""

    epochs: int | None
    steps: int | None


def _check_parameters(loss_fn: Callable[..., Any], data: Any) -> None:
    """Refuse a loss that cannot be called with the weights and a batch."""
    try:
        signature = inspect.signature(loss_fn)
    except (TypeError, ValueError):  # of some callables, Python does not know it
        return
    has_data = data is not None
    try:
        signature.bind(None, *([None] if has_data else []))
    except TypeError:
        name = getattr(loss_fn, "__name__", "")
        name = name if name.isidentifier() else "loss_fn"
        first, *rest = [*signature.parameters] or ["weights"]
        definition = f"def {name}({first}, batch):" if has_data else f"def {name}({first}):"
        if isinstance(data, (tuple, list)) and len(rest) == len(data):
            definition += f" {', '.join(rest)} = batch"
        raise BadInputError(
            f"the loss takes {signature}; it is called with the weights"
            + (" and a batch of the data" if has_data else " alone, for there are no data"),
            instead=f"{definition} …",
        ) from None


class _Run:
    """A run under way.

    Weights, optimizer state and the number of steps are assigned at once, so that no interruption
    comes between them.
    """

    def __init__(
        self,
        loss_fn: Callable[..., Any],
        weights: Tree,
        source: Source,
        stepper: Stepper,
        optimizer: Optimizer,
        schedule: Callable[[int], float],
        first_size: float,
        limits: _Limits,
        rng: np.random.Generator,
        arrays: Tree | None,
    ) -> None:
        self._began = time.perf_counter()
        self._loss_fn = loss_fn
        self._original, self._structure = flatten(weights)
        self._has_numbers = any(
            type(leaf) in (float, complex) or (isinstance(leaf, np.ndarray) and not leaf.ndim)
            for leaf in self._original
        )
        self._source = source
        self._stepper = stepper
        self._schedule = schedule
        self._limits = limits
        self._rng = rng
        self._arrays = arrays
        self._losses = array("d")
        self._epochs = 0
        self._pass_began = 0
        self._epoch_lengths: set[int] = set()
        self._step_size = first_size
        self._check: GradientCheck | None = None
        self.validation: Validation | None = None
        self.callback: Callable[[StepInfo], object] | None = None
        self.callback_interval: Interval = "epoch"
        start = _starting_weights(weights)
        self._native: NativeSteps | None = None
        self._chunk = np.empty(0)
        self.may_draw_ahead = False
        self.is_timed = False
        self._at: tuple[Tree, Tree, int] = (start, tree_map(_dynamic, optimizer.init(start)), 0)

    @property
    def weights(self) -> Tree:
        """The current weights."""
        return self._at[0]

    def finish(self, check: bool, progress: bool | None) -> Descent:
        """Run to the end, whatever the end is."""
        limits, per_epoch = self._limits, self._source.steps_per_epoch
        totals = [] if limits.steps is None else [limits.steps]
        if limits.epochs is not None and per_epoch is not None:
            totals.append(limits.epochs * per_epoch)
        total = min(totals, default=None)
        with ProgressBar(progress, total=total, epochs=limits.epochs) as bar:
            try:
                stopped = self._go(check, bar)
            except KeyboardInterrupt:
                seen = self._at[2]
                self._catch_up()
                if per_epoch is not None and self._at[2] > seen:
                    self._epochs = self._at[2] // per_epoch
                stopped = StopReason(
                    "interrupted", f"interrupted after {counted(self._at[2], 'step')}"
                )
            self._draw(bar)
            return self._result(stopped)

    def _go(self, check: bool, bar: ProgressBar) -> StopReason:
        source = self._source
        order = None
        if isinstance(source, ArrayData):
            order = self._first_order(source) if source.is_shuffled else None
            batches = source.batches(order)
        else:
            batches = source.epoch(self._rng)
        if check:
            batches = self._check_gradient(batches)
        native = self._natively(order)
        if native is not None:
            return self._take_native_steps(native, order, bar)
        return self._take_passes(chain([batches], self._further_passes()), bar)

    def _first_order(self, source: ArrayData) -> NDArray[np.int64]:
        """Draw the rows of the first epoch."""
        if self._stepper.engine == "native":
            from steepest.engines.native.permutation import is_loaded

            # One epoch alone is not worth loading the code for.
            if is_loaded():
                order = np.empty(source.rows_per_epoch, np.int64)
                source.draw_order(self._rng, order)
                return order
        return source.order(self._rng)

    def _further_passes(self) -> Iterator[Iterator[Tree]]:
        """Give the batches of one pass after another."""
        while True:
            yield self._source.epoch(self._rng)

    def _take_passes(self, passes: Iterator[Iterator[Tree]], bar: ProgressBar) -> StopReason:
        """Take steps one by one until the run is over."""
        while True:
            stopped = self._take_steps(next(passes), bar) or self._end_of_pass()
            if stopped is not None:
                return stopped
            self._pass_began = self._at[2]

    def _natively(self, order: NDArray[np.int64] | None) -> NativeSteps | None:
        """Make native code for the steps, where that can be."""
        source = self._source
        weights, state, taken = self._at
        batches: Iterator[Tree]
        if not isinstance(source, (ArrayData, NoData)):
            return None
        if isinstance(source, NoData):
            batches = iter([None])
        elif order is None:
            batches = source.batches(None)
        else:
            limit, sizes = self._limits.steps, source.batch_sizes
            if limit is not None and limit * source.batch_size <= source.rows_per_epoch:
                sizes = sizes[:1]  # the last batch of an epoch is not reached
            batches = (source.rows(order[:size]) for size in sizes)
        return self._stepper.natively(
            weights, state, batches, source, taken, self._step_size, is_timed=self.is_timed
        )

    def _take_native_steps(
        self, native: NativeSteps, order: NDArray[np.int64] | None, bar: ProgressBar
    ) -> StopReason:
        """Take steps, many at a time; come back to Python when there is something to do there."""
        from steepest.descend.native_steps import MOST_ROWS_AHEAD, StepSizes, is_step_size

        source, length = self._source, self._source.steps_per_epoch or 0
        self._native = native
        native.draw(order)
        drawn = length  # steps that the order is good for
        orders = np.empty((0, 0), np.int64)
        schedule = StepSizes(self._schedule)
        at_once = 1
        while True:
            taken = native.taken
            count = min(at_once, self._steps_to_event(taken))
            if order is not None:
                assert isinstance(source, ArrayData)
                if native.place == drawn:
                    most = max(MOST_ROWS_AHEAD // source.rows_per_epoch, 1)
                    ahead = min(-(-count // length), most) if self.may_draw_ahead else 1
                    if len(orders) < ahead:
                        orders = np.empty((ahead, source.rows_per_epoch), np.int64)
                    for each in orders[:ahead]:
                        source.draw_order(self._rng, each)
                    native.draw(orders[:ahead].reshape(-1))
                    drawn = ahead * length
                count = min(count, drawn - native.place)
            sizes = schedule.ahead(taken, count)
            if not is_step_size(sizes[0]):
                return StopReason(
                    "bad_step_size", f"the step size of step {taken + 1} is {sizes[0]}"
                )
            self._chunk = np.empty(len(sizes))
            began = time.perf_counter()
            if native.run(sizes, self._chunk):
                stopped = self._after_failure(native, sizes)
                if stopped is not None:
                    return stopped
            seconds = time.perf_counter() - began
            if seconds < AT_ONCE / 2:
                at_once *= 2 if seconds > AT_ONCE / 16 else 8
            elif seconds > AT_ONCE:
                at_once = max(int(at_once * AT_ONCE / seconds), 1)
            self._catch_up()
            self._step_size = float(sizes[native.taken - taken - 1])
            if bar.is_due():
                self._draw(bar)
            stopped = self._after_steps(native)
            if stopped is not None:
                return stopped
            if self.callback is not None or self.validation is not None:
                native.read_data_again()
            if not native.is_current:
                # What the loss captures was changed, by the callback, say.
                again = self._natively(native.rows)
                if again is None:
                    self._pass_began = native.taken - (native.taken % length if length else 0)
                    return self._take_passes(chain(native.passes(), self._further_passes()), bar)
                again.draw(native.rows, native.place)
                native = self._native = again

    def _steps_to_event(self, taken: int) -> int:
        """Count the steps until something has to be looked at."""
        limits, length = self._limits, self._source.steps_per_epoch
        until = [1 << 40]
        if limits.steps is not None:
            until.append(limits.steps - taken)
        if length is not None:
            watched = self.validation is not None or self.callback is not None
            if watched:
                until.append(length - taken % length)
            if limits.epochs is not None:
                until.append(limits.epochs * length - taken)
        watchers = (
            self.validation and self.validation.interval,
            self.callback and self.callback_interval,
        )
        until.extend(each - taken % each for each in watchers if isinstance(each, int))
        return min(until)

    def _catch_up(self) -> None:
        """Take over what native code has done; complete at any time that Ctrl-C may come."""
        native = self._native
        if native is None:
            return
        # Those who are shown the weights may keep them.
        at = native.trees(are_kept=self.callback is not None or self.validation is not None)
        missing = at[2] - len(self._losses)
        if missing:
            self._losses.frombytes(self._chunk[:missing].tobytes())
        self._at = at

    def _after_steps(self, native: NativeSteps) -> StopReason | None:
        """Do what is due after some steps, and after an epoch; say if the run is over."""
        taken, length = self._at[2], self._source.steps_per_epoch
        if self._watches_steps():
            stopped = self._after(taken)
            if stopped is not None:
                return stopped
        ended = length is not None and taken % length == 0
        if length is not None:
            self._epochs = taken // length
        if ended:
            stopped = self._after("epoch")
            if stopped is not None:
                return stopped
            if self._epochs == self._limits.epochs:
                return _all_done("epoch", self._epochs)
        if taken == self._limits.steps:
            return _all_done("step", taken)
        return None

    def _after_failure(self, native: NativeSteps, sizes: NDArray[np.float64]) -> StopReason | None:
        """Get beyond a step that native code did not take: with care for NaN, or with NumPy."""
        if not native.is_careful:
            native.go_back()
            native.be_careful()
            if not native.run(sizes, self._chunk):
                return None
        done = native.taken - self._at[2]
        native.go_back()
        if done and native.run(sizes[:done], self._chunk):
            done = 0  # an operation that does not repeat itself
        self._catch_up()
        weights, state, taken = self._at
        length = self._source.steps_per_epoch
        if length is not None:
            self._epochs = taken // length
        self._step_size = float(sizes[done])
        batch = native.batch()
        updated, state, loss = self._stepper.by_reference_engine(
            weights, state, batch, self._step_size, float(taken)
        )
        if self._has_numbers:
            updated = self._with_numbers(updated)
        number = float(loss)
        if not (math.isfinite(number) and _keep(updated)):
            return self._not_finite(number, updated, batch)
        self._chunk[0] = number
        native.replace(updated, state, taken + 1)
        return None

    def _take_steps(self, batches: Iterator[Tree], bar: ProgressBar) -> StopReason | None:
        """Take a step with each batch of a pass."""
        step, schedule, losses = self._stepper, self._schedule, self._losses
        limit, length = self._limits.steps, self._source.steps_per_epoch
        watched = self._watches_steps()
        weights, state, taken = self._at
        for batch in batches:
            step_size = self._step_size = float(schedule(taken))
            if not 0 <= step_size < math.inf:
                return StopReason(
                    "bad_step_size", f"the step size of step {taken + 1} is {step_size}"
                )
            updated, new_state, loss = step(weights, state, batch, step_size, float(taken))
            if self._has_numbers:
                updated = self._with_numbers(updated)
            number = float(loss)
            if not (math.isfinite(number) and _keep(updated)):
                return self._not_finite(number, updated, batch)
            losses.append(number)
            taken += 1
            weights, state = updated, new_state
            self._at = (weights, state, taken)
            if bar.is_due():
                self._draw(bar)
            if watched:
                stopped = self._after(taken)
                if stopped is not None:
                    return stopped
            if taken == limit and (length is None or taken - self._pass_began < length):
                return _all_done("step", taken)
        return None

    def _end_of_pass(self) -> StopReason | None:
        """Count an epoch, and do what is to be done after it."""
        taken = self._at[2]
        length = taken - self._pass_began
        if not self._source.has_epochs or length == 0:
            if taken == 0:
                raise BadInputError("the data gave no example")
            return StopReason(
                "data_exhausted", f"the data came to their end after {counted(taken, 'step')}"
            )
        self._epochs += 1
        self._epoch_lengths.add(length)
        stopped = self._after("epoch")
        if stopped is not None:
            return stopped
        if self._epochs == self._limits.epochs:
            return _all_done("epoch", self._epochs)
        if taken == self._limits.steps:
            return _all_done("step", taken)
        return None

    def _watches_steps(self) -> bool:
        """Whether there is something to do between epochs."""
        return (self.validation is not None and self.validation.interval != "epoch") or (
            self.callback is not None and self.callback_interval != "epoch"
        )

    def _after(self, event: int | Literal["epoch"]) -> StopReason | None:
        """Validate and call back, as far as that is due after a step, or after an epoch."""
        weights, _, taken = self._at
        validation = self.validation
        if (
            validation is not None
            and _is_due(validation.interval, event)
            and validation.evaluate(weights, taken)
        ):
            return StopReason(
                "early_stopping",
                "the validation loss has not improved in"
                f" {counted(validation.patience or 0, 'evaluation')}",
            )
        if self.callback is not None and _is_due(self.callback_interval, event):
            info = StepInfo(
                taken,
                self._epochs,
                self._losses[-1],
                None if validation is None else validation.latest,
                weights,
                self._step_size,
                time.perf_counter() - self._began,
            )
            if _wants_to_stop(self.callback, info):
                return StopReason(
                    "stopped_by_callback",
                    f"the callback stopped the run after {counted(taken, 'step')}",
                )
        return None

    def _draw(self, bar: ProgressBar) -> None:
        taken = self._at[2]
        if taken:
            latest = None if self.validation is None else self.validation.latest
            bar.draw(taken, self._epochs, self._losses[taken - 1], latest)

    def _check_gradient(self, batches: Iterator[Tree]) -> Iterator[Tree]:
        """Check the gradient on the first batch, and give it back to the others."""
        first = list(islice(batches, 1))
        if not first:
            return batches
        (batch,) = first
        if self._source.has_epochs:
            batch = tree_map(lambda leaf: leaf[:EXAMPLES_CHECKED], batch)

        def loss(weights: Tree) -> Any:
            args = () if isinstance(self._source, NoData) else (batch,)
            return self._loss_fn(weights, *args)

        self._check = check_gradient(loss, self.weights, seconds=CHECK_SECONDS, progress=False)
        if self._check.verdict == "wrong":
            self._check.raise_if_wrong()
        return chain(first, batches)

    def _not_finite(self, loss: float, updated: Tree, batch: Tree) -> StopReason:
        """Find out what was not finite first, in a step that has not been taken."""
        weights, _, taken = self._at
        parameters, in_gradient = not_finite_parameters(self._loss_fn, weights, batch)
        if math.isfinite(loss) and not in_gradient:
            parameters = not_finite_leaves(updated, "weights")
            return StopReason(
                "not_finite",
                f"step {taken + 1} took {listed(parameters)} beyond all finite numbers, though the"
                f" loss and its gradient are finite; the step size is {self._step_size:g}",
                parameters,
            )
        found = diagnose(self._loss_fn, weights, batch, self._arrays)
        if math.isfinite(loss):
            before = f"{in_gradient} at step {taken + 1}, though the loss is {loss:g}"
            clauses = [before, found.message]
        else:
            clauses = [f"the loss is {loss} at step {taken + 1}", found.message, in_gradient]
        message = "; ".join(clause for clause in clauses if clause)
        parameters = parameters or found.parameters
        return StopReason("not_finite", message, parameters, found.operation, found.line)

    def _with_numbers(self, weights: Tree) -> Tree:
        """Make Python numbers again of what was one, as NumPy's would decide dtypes; and arrays."""
        leaves = [
            type(original)(leaf)
            if type(original) in (float, complex)
            else np.asarray(leaf)
            if isinstance(original, np.ndarray)
            else leaf
            for original, leaf in zip(self._original, flatten(weights)[0], strict=True)
        ]
        return unflatten(self._structure, leaves)

    def _result(self, stopped: StopReason) -> Descent:
        weights, _, taken = self._at
        validation = self.validation
        best = None if validation is None else validation.best
        if validation is not None and validation.patience is not None and best is not None:
            weights = best[2]
            stopped = replace(
                stopped,
                message=f"{stopped.message}; the weights are those after step {best[0]}, with the"
                f" lowest validation loss, {best[1]:.6g}",
            )
        history = [] if validation is None else validation.history
        per_epoch = self._source.steps_per_epoch
        if per_epoch is None and len(self._epoch_lengths) == 1:
            (per_epoch,) = self._epoch_lengths
        notes = list(self._stepper.notes)
        if self._check is not None and not self._check.ok:
            notes.append(f"the gradient check at the start could not decide: {self._check.verdict}")
        leaves = flatten(weights)[0]
        return Descent(
            weights=unflatten(
                self._structure,
                [_like(*pair) for pair in zip(self._original, leaves, strict=True)],
            ),
            losses=np.array(self._losses[:taken], np.float64),
            validation_losses=np.array([loss for _, loss in history], np.float64),
            validation_steps=np.array([step for step, _ in history], np.int64),
            steps=taken,
            epochs=self._epochs,
            steps_per_epoch=per_epoch,
            seconds=time.perf_counter() - self._began,
            stopped=stopped,
            engine=self._stepper.engine,
            _program=self._stepper if self._native is None else str(self._native),
            best_step=None if best is None else best[0],
            gradient_check=self._check,
            profile=self._native.profile() if self._native and self.is_timed else None,
            notes=tuple(notes),
        )


def _starting_weights(weights: Tree) -> Tree:
    """Copy the user's weights, and check that they can be trained."""
    leaves, structure = flatten(weights)
    names = leaf_names(weights, "weights")
    if not any(is_differentiable(leaf) for leaf in leaves):
        kinds = ", ".join(
            f"{name} is {value_type(leaf) if hasattr(leaf, 'dtype') else type(leaf).__name__}"
            for name, leaf in zip(names, leaves, strict=True)
        )
        raise BadInputError(
            f"there is no floating-point weight to train: {kinds or 'the weights are empty'}",
            instead="floats: 3.0 for 3, array.astype(float) for an array of integers",
        )
    if any(isinstance(leaf, Traced) for leaf in leaves):
        raise UnsupportedError(
            "descend was called inside a function that is differentiated or compiled: a gradient"
            " does not go through a whole run",
            instead="a few steps written out with sd.grad, or sd.custom_gradient around descend",
        )
    copies = []
    for name, leaf in zip(names, leaves, strict=True):
        if means_otherwise(leaf):
            raise BadInputError(
                f"{name} is a {type(leaf).__name__}, which NumPy's functions treat differently",
                instead="an ndarray: np.asarray(…)",
            )
        if not is_finite(leaf):
            raise BadInputError(
                f"{name} has a NaN or an infinity to begin with",
                instead="finite weights, such as small random numbers",
            )
        copies.append(read_only(np.array(leaf)) if isinstance(leaf, np.ndarray) else leaf)
    return unflatten(structure, copies)


def _keep(weights: Tree) -> bool:
    """Make new weights read-only; return whether they are finite."""
    for leaf in flatten(weights)[0]:
        if not is_finite(leaf):
            return False
        if isinstance(leaf, np.ndarray):
            # Earlier weights are still held: the last finite ones, the best ones.
            leaf.flags.writeable = False
    return True


def _dynamic(leaf: Leaf) -> Leaf:
    """Make a value of an integer in an optimizer's state, such as a counter.

    A compiled step takes Python integers for constants, and would be compiled anew at each step.
    """
    return np.int64(leaf) if type(leaf) is int else leaf


def _like(original: Leaf, leaf: Leaf) -> Leaf:
    """Give a trained leaf the type of the user's."""
    if isinstance(original, np.ndarray):
        return np.array(leaf, original.dtype)
    return original if not is_differentiable(original) else type(original)(leaf)


def _checked_schedule(
    step_size: float | Callable[[int], float],
) -> tuple[Callable[[int], float], float]:
    schedule = find_schedule(step_size)
    return schedule, check_size(schedule(0), "step_size at the first step")


def _find_limits(epochs: int | None, steps: int | None, source: Source) -> _Limits:
    if epochs is None and steps is None:
        raise BadInputError(
            "descend was not told how long to go on: neither epochs nor steps is given",
            instead="epochs=10, or steps=1000" if source.has_epochs else "steps=1000",
        )
    if epochs is not None and not source.has_epochs:
        raise BadInputError(
            f"epochs={epochs}, but nothing goes through the data once:"
            f" {'there are none' if isinstance(source, NoData) else 'a callable makes them'}",
            instead="steps=1000",
        )
    return _Limits(
        None if epochs is None else whole_number(epochs, "epochs"),
        None if steps is None else whole_number(steps, "steps"),
    )


def _is_due(interval: Interval, event: int | Literal["epoch"]) -> bool:
    if interval == "epoch" or event == "epoch":
        return interval == event
    return event % interval == 0


def _wants_to_stop(callback: Callable[[StepInfo], object], info: StepInfo) -> bool:
    try:
        answer = callback(info)
    except StopIteration:
        return True
    return isinstance(answer, (bool, np.bool)) and bool(answer)


def _all_done(thing: str, number: int) -> StopReason:
    code: StopCode = "epochs_done" if thing == "epoch" else "steps_done"
    return StopReason(
        code, f"the only {thing} is done" if number == 1 else f"all {number:,} {thing}s are done"
    )
