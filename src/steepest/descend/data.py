"""Where batches come from: arrays, examples that arrive one by one, or a callable.

A source gives the batches of one pass through its data at a time. Batches are read-only, so that
a loss that writes into its batch is told so, instead of changing the user's data.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from steepest.array.plain import means_otherwise
from steepest.errors import BadInputError
from steepest.tree import Leaf, Structure, Tree, flatten, leaf_names, unflatten

__all__ = [
    "ArrayData",
    "NoData",
    "Source",
    "check_arrays",
    "find_source",
    "random_generator",
    "read_only",
    "whole_number",
]


class Source(Protocol):
    """What `descend` takes its batches from."""

    has_epochs: bool
    """Whether there is such a thing as one pass through the data."""
    steps_per_epoch: int | None
    """Number of batches in a pass, where that is known beforehand."""

    def epoch(self, rng: np.random.Generator) -> Iterator[Tree]:
        """Give the batches of one pass; none at all when the data are exhausted."""


class NoData:
    """For a loss of the weights alone."""

    has_epochs: bool = False
    steps_per_epoch: int | None = None

    def epoch(self, rng: np.random.Generator) -> Iterator[Tree]:
        """Give None for ever."""
        while True:
            yield None


class ArrayData:
    """Arrays that share axis 0.

    Parameters
    ----------
    data : pytree of arrays
    batch_size : int or None
        None for all examples at once.
    replacement : bool
        Draw each batch anew from all examples, instead of going through them in random order.
    """

    has_epochs: bool = True
    steps_per_epoch: int | None

    def __init__(self, data: Tree, batch_size: int | None, replacement: bool) -> None:
        self._length = check_arrays(data, "data")
        if replacement and batch_size is None:
            raise BadInputError(
                "replacement=True draws the examples of each batch, and there is no batch_size",
                instead="batch_size=256, replacement=True",
            )
        self._batch_size = self._length if batch_size is None else batch_size
        self._replacement = replacement
        leaves, self._structure = flatten(data)
        self._leaves = [read_only(np.asarray(leaf).view()) for leaf in leaves]
        self._batches = math.ceil(self._length / self._batch_size)
        self.steps_per_epoch = self._batches

    @property
    def leaves(self) -> list[NDArray[Any]]:
        """The arrays, in the order of the pytree."""
        return self._leaves

    @property
    def batch_size(self) -> int:
        """Examples in a whole batch."""
        return min(self._batch_size, self._length) if not self._replacement else self._batch_size

    @property
    def is_shuffled(self) -> bool:
        """Whether batches are made of rows in random order."""
        return self._replacement or self._batch_size < self._length

    @property
    def rows_per_epoch(self) -> int:
        """How many rows the batches of an epoch have together."""
        return self._batches * self._batch_size if self._replacement else self._length

    @property
    def batch_sizes(self) -> list[int]:
        """Rows of a whole batch, and of the last one of an epoch where that is smaller."""
        left = self.rows_per_epoch % self.batch_size
        return [self.batch_size, left] if left else [self.batch_size]

    def order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw the rows of an epoch: a permutation, or rows drawn with replacement."""
        if self._replacement:
            return np.concatenate(
                [rng.integers(self._length, size=self._batch_size) for _ in range(self._batches)]
            )
        return rng.permutation(self._length)

    def draw_order(self, rng: np.random.Generator, rows: NDArray[np.int64]) -> None:
        """Draw by native code what `order` would, into an array of `rows_per_epoch` entries."""
        # Imported here: what brings LLVM along.
        from steepest.engines.native.permutation import draw_permutation

        if self._replacement:
            rows[...] = self.order(rng)
        else:
            draw_permutation(rng, rows)

    def epoch(self, rng: np.random.Generator) -> Iterator[Tree]:
        """Give each example once, in random order, or as many drawn with replacement."""
        return self.batches(self.order(rng) if self.is_shuffled else None)

    def batches(self, order: NDArray[np.int64] | None) -> Iterator[Tree]:
        """Give the batches of rows in an order; without one, all rows as they are."""
        if order is None:
            yield unflatten(self._structure, self._leaves)
        elif self._batch_size == 1:
            # A slice of one row is a view, which costs less than taking the row.
            for index in order.tolist():
                yield unflatten(self._structure, [leaf[index : index + 1] for leaf in self._leaves])
        else:
            for start in range(0, len(order), self._batch_size):
                yield self.rows(order[start : start + self._batch_size])

    def rows(self, indices: NDArray[np.int64]) -> Tree:
        """Give the batch of some rows."""
        return unflatten(
            self._structure, [read_only(leaf.take(indices, axis=0)) for leaf in self._leaves]
        )


class ExampleData:
    """Examples that arrive one by one; each pass asks for an iterator anew.

    Parameters
    ----------
    examples : callable
        Returns an iterable of pytrees of arrays and numbers, all of one structure, one for each
        example. An iterator that is handed out twice is exhausted the second time.
    batch_size : int
        How many are stacked along a new axis 0; the last batch of a pass may be smaller.
    """

    has_epochs: bool = True
    steps_per_epoch: int | None = None

    def __init__(self, examples: Callable[[], Iterable[Tree]], batch_size: int) -> None:
        self._examples = examples
        self._batch_size = batch_size
        self._structure: Structure | None = None
        self._kinds: list[tuple[tuple[int, ...], np.dtype[Any]]] = []

    def epoch(self, rng: np.random.Generator) -> Iterator[Tree]:
        """Stack the examples in the order in which they arrive."""
        rows: list[NDArray[Any]] = []
        count = 0
        for number, example in enumerate(self._examples()):
            leaves = self._checked(example, number)
            if count == 0:
                rows = [np.empty((self._batch_size, *s), dtype) for s, dtype in self._kinds]
            # Copied as they arrive: a generator may reuse its arrays.
            for row, leaf in zip(rows, leaves, strict=True):
                row[count] = leaf
            count += 1
            if count == self._batch_size:
                yield self._batch(rows, count)
                count = 0
        if count:
            yield self._batch(rows, count)

    def _batch(self, rows: Sequence[NDArray[Any]], count: int) -> Tree:
        assert self._structure is not None
        return unflatten(self._structure, [read_only(row[:count]) for row in rows])

    def _checked(self, example: Tree, number: int) -> Sequence[Leaf]:
        """Check that an example is like the first one."""
        leaves, structure = flatten(example)
        if self._structure is None:
            for name, leaf in zip(leaf_names(example, "example"), leaves, strict=True):
                if not isinstance(leaf, (np.ndarray, np.generic, int, float, complex)):
                    raise BadInputError(
                        f"an example must be made of arrays and numbers, and {name} is of type"
                        f" {type(leaf).__name__}",
                        instead="np.asarray(…) in what gives the examples",
                    )
            self._structure = structure
            self._kinds = [(np.shape(leaf), np.asarray(leaf).dtype) for leaf in leaves]
        if structure != self._structure:
            raise BadInputError(
                f"example {number} is not put together like the first one: it has"
                f" {', '.join(leaf_names(example, 'a single leaf'))}"
            )
        for place, (leaf, (shape, dtype)) in enumerate(zip(leaves, self._kinds, strict=True)):
            array = np.asarray(leaf)
            if array.shape != shape:
                raise BadInputError(
                    f"{leaf_names(example, 'it')[place]} of example {number} is of shape"
                    f" {array.shape}, which cannot be stacked with the first one's {shape}",
                    instead="examples of equal shapes: pad or crop them where they are made",
                )
            if not np.can_cast(array.dtype, dtype):
                raise BadInputError(
                    f"{leaf_names(example, 'it')[place]} of example {number} is of dtype"
                    f" {array.dtype}, and that of the first one is {dtype}",
                    instead="one dtype for all examples: np.float64(…), array.astype(…)",
                )
        return leaves


class BatchData:
    """Batches made by a callable, ``batch = make(rng)``, until it raises StopIteration."""

    has_epochs: bool = False
    steps_per_epoch: int | None = None

    def __init__(self, make: Callable[[np.random.Generator], Tree]) -> None:
        self._make = make

    def epoch(self, rng: np.random.Generator) -> Iterator[Tree]:
        """Call the callable for each batch."""
        while True:
            try:
                batch = self._make(rng)
            except StopIteration:
                return
            leaves, structure = flatten(batch)
            _check_types(batch, "the batch")
            yield unflatten(structure, [read_only(leaf.view()) for leaf in leaves])


def find_source(data: Any, batch_size: int | None, replacement: bool) -> Source:
    """Find out what kind of data was given.

    Raises
    ------
    BadInputError
        When the data, or the size of a batch, or replacement, do not fit each other.
    """
    if batch_size is not None:
        batch_size = whole_number(batch_size, "batch_size")
    if flatten(data)[1].kind is not None or isinstance(data, np.ndarray):
        return ArrayData(data, batch_size, replacement)
    if replacement:
        raise BadInputError(
            "replacement=True needs data that are arrays, to draw examples from",
            instead="a pytree of arrays as data",
        )
    if data is None:
        if batch_size is not None:
            raise BadInputError(
                f"batch_size={batch_size} without data: there is nothing to take a batch from",
                instead="descend(loss_fn, weights, data, …)",
            )
        return NoData()
    if inspect.isgeneratorfunction(data):
        return ExampleData(data, batch_size or 1)
    # NumPy scalars and strings are iterable, or not, and never data.
    if isinstance(data, Iterable) and not isinstance(data, (str, bytes, np.generic)):
        return ExampleData(lambda: data, batch_size or 1)
    if callable(data):
        if batch_size is not None:
            raise BadInputError(
                "a callable makes whole batches, so that batch_size has no meaning",
                instead="a generator function, which yields single examples, or no batch_size",
            )
        return BatchData(data)
    raise BadInputError(
        f"data must be arrays, an iterable of examples or a callable, not {type(data).__name__}",
        instead="np.asarray(…), or a tuple such as (inputs, targets)",
    )


def check_arrays(data: Tree, name: str) -> int:
    """Check that a pytree is of arrays that share axis 0, and return its length.

    Raises
    ------
    BadInputError
    """
    _check_types(data, name)
    leaves = flatten(data)[0]
    names = leaf_names(data, name)
    for leaf_name, leaf in zip(names, leaves, strict=True):
        if leaf.ndim == 0:
            raise BadInputError(
                f"{leaf_name} of the data is a 0-d array: it has no axis 0 of examples",
                instead="captured by the loss function, what all examples share is no data",
            )
    if len({len(leaf) for leaf in leaves}) > 1:
        lengths = ", ".join(
            f"{leaf_name} has {len(leaf)}" for leaf_name, leaf in zip(names, leaves, strict=True)
        )
        raise BadInputError(
            f"the arrays of {name} must have equally many examples along axis 0: {lengths}"
        )
    if len(leaves[0]) == 0:
        raise BadInputError(f"there are no examples: {names[0]} is of shape {leaves[0].shape}")
    return len(leaves[0])


def _check_types(data: Tree, name: str) -> None:
    leaves = flatten(data)[0]
    if not leaves:
        raise BadInputError(f"{name} holds no array: {data!r}")
    for leaf_name, leaf in zip(leaf_names(data, name), leaves, strict=True):
        if not isinstance(leaf, np.ndarray):
            raise BadInputError(
                f"every leaf of {name} must be an array, and {leaf_name} is of type"
                f" {type(leaf).__name__}",
                instead="np.asarray(…); lists and tuples hold arrays, and are not arrays",
            )
        if means_otherwise(leaf) or leaf.dtype.hasobject:
            raise BadInputError(
                f"{leaf_name} is a {type(leaf).__name__} of dtype {leaf.dtype}, which NumPy's"
                " functions treat differently from an ndarray of numbers",
                instead="an ndarray of a numeric dtype; for a mask, a second array",
            )


def random_generator(seed: np.random.Generator | int | None, name: str) -> np.random.Generator:
    """Make a random generator of a seed; take a generator as it is.

    Raises
    ------
    BadInputError
    """
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise BadInputError(
            f"{name} must be a random generator or a seed, not {seed!r}: {error}",
            instead="an integer of at least 0, or np.random.default_rng(…)",
        ) from error


def whole_number(value: int, name: str) -> int:
    """Check that a number is an integer of at least 1.

    Raises
    ------
    BadInputError
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, (bool, np.bool)):
        raise BadInputError(f"{name} must be an integer of at least 1, and is {value!r}")
    return number


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Forbid writing into an array, and return it."""
    array.flags.writeable = False
    return array
