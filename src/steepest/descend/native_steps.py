"""Steps taken in native code, many at a time: the trees of a run on one side, arrays on the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.compiling import Entry, is_dynamic
from steepest.descend.data import ArrayData, NoData, read_only
from steepest.descend.step_sizes import Schedule
from steepest.engines.native.loop import NativeLoop, StepGraph
from steepest.graph import ArrayType
from steepest.tree import Leaf, Tree, flatten, is_differentiable, unflatten

__all__ = ["NativeSteps", "can_run", "sizes_of"]

MOST_ROWS_AHEAD = 2**20
"""Rows whose order is drawn at a time, where an epoch has fewer."""


class NativeSteps:
    """The steps of a run that native code takes.

    Parameters
    ----------
    entries : sequence of Entry
        The compiled step for a whole batch, and for a smaller one where there is one.
    weights, state : pytree
        Where to begin.
    source : ArrayData or NoData
    taken : int
        Steps taken before.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        weights: Tree,
        state: Tree,
        source: ArrayData | NoData,
        taken: int,
    ) -> None:
        self._leaves, self._structure = flatten((weights, state))
        self._places = [i for i, leaf in enumerate(self._leaves) if is_dynamic(leaf)]
        self._source = source
        self.rows: NDArray[np.int64] | None = None
        self.place = 0
        self._entries = entries
        steps = [self._step_graph(entry, weights, source) for entry in entries]
        if isinstance(source, ArrayData):
            data = source.leaves
            rows = source.rows_per_epoch
            sizes = (
                [source.batch_size, rows % source.batch_size][: len(steps)]
                if source.is_shuffled
                else []
            )
        else:
            data, rows, sizes = [], 0, []
        carried = [np.asarray(self._leaves[place]) for place in self._places]
        self._loop = NativeLoop(steps, carried, data, sizes, rows)
        self._loop.put(carried, taken)
        self._before = (self._loop.copies(), taken)

    def _step_graph(self, entry: Entry, weights: Tree, source: ArrayData | NoData) -> StepGraph:
        """Say what the inputs and outputs of a step's graph are."""
        recording = entry.recording
        graph = recording.graph
        carried = []
        finite = set()
        trained = sum(1 for leaf in flatten(weights)[0])
        for number, place in enumerate(self._places):
            position = recording.leaves[place][0]
            assert position is not None
            same = graph.outputs[position] is graph.inputs[number]
            carried.append((number, -1 if same else position))
            if place < trained and is_differentiable(self._leaves[place]) and not same:
                finite.add(position)
        first = len(self._places)
        batches = len(source.leaves) if isinstance(source, ArrayData) else 0
        loss = recording.leaves[-1][0]
        assert loss is not None
        return StepGraph(
            graph,
            entry.by_reference,
            tuple(carried),
            frozenset({*finite, loss}),
            tuple(range(first, first + batches)),
            first + batches,
            first + batches + 1,
            loss,
        )

    @property
    def taken(self) -> int:
        """The number of steps taken."""
        return self._loop.taken

    @property
    def is_current(self) -> bool:
        """Whether what the loss captures is still what was compiled."""
        return all(entry.guards.hold(entry.by_reference) for entry in self._entries)

    def draw(self, order: NDArray[np.int64] | None) -> None:
        """Take the rows of further epochs from here on."""
        self.rows = order
        self.place = 0

    def run(self, sizes: NDArray[np.float64], losses: NDArray[np.float64]) -> int:
        """Take as many steps as there are step sizes; see `NativeLoop.run`."""
        self._before = (self._loop.copies(), self._loop.taken)
        flags = self._loop.run(self.rows, self.place, sizes, losses)
        if not flags:
            self.place += len(sizes)
        return flags

    def go_back(self) -> None:
        """Return to where the last run began."""
        self._loop.put(*self._before)

    def trees(self) -> tuple[Tree, Tree, int]:
        """Give the weights, the optimizer's state and the number of steps taken."""
        if self._loop.failed:
            self.go_back()
        leaves = list(self._leaves)
        for place, array in zip(self._places, self._loop.copies(), strict=True):
            leaves[place] = _like(self._leaves[place], array)
        weights, state = unflatten(self._structure, leaves)
        return weights, state, self._loop.taken

    def batch(self) -> Tree:
        """Give the batch of the next step."""
        source = self._source
        if not isinstance(source, ArrayData):
            return None
        if self.rows is None:
            return next(source.batches(None))
        length = source.steps_per_epoch
        assert length is not None
        epoch, within = divmod(self.place, length)
        order = self.rows[epoch * source.rows_per_epoch : (epoch + 1) * source.rows_per_epoch]
        start = within * source.batch_size
        return source.rows(order[start : start + source.batch_size])

    def replace(self, weights: Tree, state: Tree, taken: int) -> None:
        """Go on from other weights and another state, after a step taken elsewhere."""
        leaves = flatten((weights, state))[0]
        self._loop.put([leaves[place] for place in self._places], taken)
        self.place += 1

    @property
    def is_careful(self) -> bool:
        """Whether products with zeros are computed with care for NaN."""
        return self._loop.is_careful

    def be_careful(self) -> None:
        """Compute from now on with care for NaN in products with zeros."""
        self._loop.be_careful()


def can_run(entry: Entry | None, weights: Tree, state: Tree) -> bool:
    """Whether native code can go from one step to the next: each gives what the next one takes."""
    if entry is None:
        return False
    recording = entry.recording
    leaves = flatten((weights, state))[0]
    if flatten((weights, state, 0.0))[1] != recording.structure:
        return False
    inputs = iter(recording.graph.inputs)
    for leaf, (position, _) in zip(leaves, recording.leaves, strict=False):
        if not is_dynamic(leaf):
            continue
        before = next(inputs).type
        if position is None:
            return False
        after = recording.graph.outputs[position].type
        assert isinstance(before, ArrayType)
        assert isinstance(after, ArrayType)
        if (before.shape, before.dtype) != (after.shape, after.dtype):
            return False
        if before.dtype.kind == "c" or before.dtype.char == "g":
            return False
    loss, _ = recording.leaves[-1]
    if loss is None:
        return False
    kind = recording.graph.outputs[loss].type
    return isinstance(kind, ArrayType) and kind.dtype.char in "fd"


def sizes_of(schedule: Callable[[Any], Any], first: int, count: int) -> NDArray[np.float64]:
    """Evaluate a schedule for steps in a row; steepest's own take all at once."""
    if isinstance(schedule, Schedule):
        steps = np.arange(first, first + count, dtype=np.float64)
        return np.ascontiguousarray(np.broadcast_to(schedule(steps), (count,)), np.float64)
    return np.array([float(schedule(step)) for step in range(first, first + count)], np.float64)


def _like(leaf: Leaf, array: NDArray[Any]) -> Leaf:
    """Give a value the type of the first one."""
    if isinstance(leaf, np.ndarray):
        return read_only(array)
    if isinstance(leaf, np.generic):
        return array[()]
    return type(leaf)(array[()])
