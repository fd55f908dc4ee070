"""Steps taken in native code, many at a time: from the trees of a run to arrays, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.compiling import Entry, is_dynamic
from steepest.descend.data import ArrayData, NoData, read_only
from steepest.descend.step_sizes import takes_arrays
from steepest.engines.native.loop import NativeLoop
from steepest.engines.native.profile import Profile
from steepest.engines.native.steps import StepGraph
from steepest.graph import ArrayType
from steepest.tree import Leaf, Tree, flatten, is_differentiable, unflatten

__all__ = [
    "MOST_ROWS_AHEAD",
    "NativeSteps",
    "StepSizes",
    "can_run",
    "in_native_order",
    "is_step_size",
]

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
    is_timed : bool
        Whether to find out where the time goes.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        weights: Tree,
        state: Tree,
        source: ArrayData | NoData,
        taken: int,
        *,
        is_timed: bool = False,
    ) -> None:
        self._leaves, self._structure = flatten((weights, state))
        self._places = [i for i, leaf in enumerate(self._leaves) if is_dynamic(leaf)]
        self._source = source
        self.rows: NDArray[np.int64] | None = None
        self.place = 0
        self._entries = entries
        steps = [self._step_graph(entry, weights, source) for entry in entries]
        self._copied: list[tuple[NDArray[Any], NDArray[Any]]] = []
        data, rows, sizes = [], 0, []
        if isinstance(source, ArrayData):
            data = [self._row_by_row(leaf) for leaf in source.leaves]
            rows = source.rows_per_epoch
            if source.is_shuffled:
                sizes = source.batch_sizes[: len(steps)]
        carried = [np.asarray(self._leaves[place]) for place in self._places]
        codes = entries[0].translation.loops
        self._loop = NativeLoop(steps, carried, data, sizes, rows, codes, is_timed=is_timed)
        self._loop.put(carried, taken)
        # The weights and the state when they were last looked at; a run that fails begins there
        # anew.
        self._latest = (self._loop.copies(), taken)
        self._spare: Sequence[NDArray[Any]] | None = None

    def _row_by_row(self, leaf: NDArray[Any]) -> NDArray[Any]:
        """Give data as native code reads them, copied where they lie otherwise."""
        if leaf.flags.c_contiguous and leaf.flags.aligned and leaf.dtype.isnative:
            return leaf
        copy = np.array(leaf, leaf.dtype.newbyteorder("="), order="C")
        self._copied.append((copy, leaf))
        return copy

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
            entry.translation.by_reference,
            tuple(carried),
            frozenset({*finite, loss}),
            tuple(range(first, first + batches)),
            first + batches,
            first + batches + 1,
            loss,
        )

    def __str__(self) -> str:
        return str(self._loop)

    def profile(self) -> Profile:
        """Say where the time of the steps went."""
        return self._loop.profile()

    @property
    def taken(self) -> int:
        """The number of steps taken."""
        return self._loop.taken

    @property
    def is_current(self) -> bool:
        """Whether what the loss captures is still what was compiled."""
        return all(entry.is_current for entry in self._entries)

    def read_data_again(self) -> None:
        """Read data of which there is a copy, after code of the user's has run."""
        for copy, leaf in self._copied:
            copy[...] = leaf

    def draw(self, order: NDArray[np.int64] | None, place: int = 0) -> None:
        """Take the rows of further epochs from here on, or from a step of theirs."""
        self.rows = order
        self.place = place

    def run(self, sizes: NDArray[np.float64], losses: NDArray[np.float64]) -> int:
        """Take as many steps as there are step sizes; see `NativeLoop.run`."""
        flags = self._loop.run(self.rows, self.place, sizes, losses)
        if not flags:
            self.place += len(sizes)
        return flags

    def go_back(self) -> None:
        """Return to where the weights were last looked at."""
        self._loop.put(*self._latest)

    def trees(self, *, are_kept: bool) -> tuple[Tree, Tree, int]:
        """Give the weights, the optimizer's state and the number of steps taken.

        Parameters
        ----------
        are_kept : bool
            Whether they are to stay as they are. Otherwise that is so until the time after next.
        """
        if self._loop.failed:
            self.go_back()
        if self._latest[1] != self.taken:
            copies = self._loop.copies(None if are_kept else self._spare)
            (before, _), self._latest = self._latest, (copies, self.taken)
            self._spare = None if are_kept else before
        arrays, taken = self._latest
        leaves = list(self._leaves)
        for place, array in zip(self._places, arrays, strict=True):
            leaves[place] = _like(self._leaves[place], array)
        weights, state = unflatten(self._structure, leaves)
        return weights, state, taken

    def batch(self) -> Tree:
        """Give the batch of the next step."""
        source = self._source
        if not isinstance(source, ArrayData):
            return None
        if self.rows is None:
            return next(source.batches(None))
        return next(source.batches(next(self._rest(source, self.rows))))

    def passes(self) -> Iterator[Iterator[Tree]]:
        """Give the batches of the epochs that are drawn, from here on."""
        if isinstance(self._source, ArrayData) and self.rows is not None:
            yield from map(self._source.batches, self._rest(self._source, self.rows))

    def _rest(self, source: ArrayData, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Give the order of the rest of this epoch, and of each one that is drawn after it."""
        length = source.steps_per_epoch
        assert length is not None
        epoch, within = divmod(self.place, length)
        start = within * source.batch_size
        for order in rows.reshape(-1, source.rows_per_epoch)[epoch:]:
            yield order[start:]
            start = 0

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


def in_native_order(batch: Tree) -> Tree:
    """Give a batch with bytes in the order of this machine, as `NativeSteps` reads data."""
    leaves, structure = flatten(batch)
    return unflatten(
        structure,
        [
            leaf.astype(leaf.dtype.newbyteorder("="), copy=False)
            if isinstance(leaf, np.ndarray)
            else leaf
            for leaf in leaves
        ],
    )


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


class StepSizes:
    """The sizes of steps to come.

    A schedule of the user's is asked once for each step, in order.
    """

    def __init__(self, schedule: Callable[[Any], Any]) -> None:
        self._schedule = schedule
        self._takes_arrays = takes_arrays(schedule)
        self._first = 0
        self._known: list[float] = []
        self._error: BaseException | None = None

    def ahead(self, first: int, count: int) -> NDArray[np.float64]:
        """Give the sizes of steps in a row.

        Parameters
        ----------
        first : int
            Number of the first step; no smaller than the last time.
        count : int
            At most so many.

        Returns
        -------
        ndarray of float64
            As far as they are step sizes; where the first one is none, that one.

        Raises
        ------
        BaseException
            What the schedule raises for the first of them.
        """
        if self._takes_arrays:
            with np.errstate(all="ignore"):
                sizes = np.asarray(self._schedule(np.arange(first, first + count, dtype=float)))
            sizes = np.ascontiguousarray(np.broadcast_to(sizes, (count,)), np.float64)
        else:
            del self._known[: first - self._first]
            self._first = first
            try:
                while (
                    len(self._known) < count
                    and self._error is None
                    and all(map(is_step_size, self._known[-1:]))
                ):
                    self._known.append(float(self._schedule(first + len(self._known))))
            except BaseException as error:
                # The steps before it are taken first.
                self._error = error
            if not self._known and self._error is not None:
                raise self._error
            sizes = np.array(self._known[:count])
        usable = (sizes >= 0) & (sizes < math.inf)
        return sizes if usable.all() else sizes[: max(int(usable.argmin()), 1)]


def is_step_size(size: float) -> bool:
    """Whether a step can be of this size."""
    return 0 <= size < math.inf


def _like(leaf: Leaf, array: NDArray[Any]) -> Leaf:
    """Give a value the type of the first one."""
    if isinstance(leaf, np.ndarray):
        return read_only(array.view())
    if isinstance(leaf, np.generic):
        return array[()]
    return type(leaf)(array[()])
