"""The two lines of the textbook: one gradient of a training loss, one mini-batch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.descend.data import check_arrays, random_generator, whole_number
from steepest.differentiate import grad
from steepest.errors import BadInputError
from steepest.tree import Leaf, Tree, flatten, tree_map, unflatten, with_arithmetic

__all__ = ["evaluate_gradient", "sample_training_data"]


def evaluate_gradient(loss_fn: Callable[..., Any], data: Tree, weights: Tree) -> Tree:
    """Evaluate the gradient of a training loss by the weights.

    Parameters
    ----------
    loss_fn : callable
        ``loss_fn(weights, data)`` returns a real scalar; with no data, ``loss_fn(weights)``.
    data : pytree of arrays or None
        Handed to `loss_fn` as it is.
    weights : pytree
        Where the gradient is taken.

    Returns
    -------
    pytree
        Like the weights, of the same shapes and dtypes, with arithmetic on its leaves:
        ``weights += -step_size * gradient`` is a step downhill, for dicts, lists and tuples too.
        Of complex weights it is ∂f/∂x + i ∂f/∂y, the conjugate of what `steepest.grad` returns.

    Raises
    ------
    NotDifferentiableError
        When the loss is not a real scalar, or there is no floating-point weight.
    UnsupportedError
        When the loss uses what is not differentiated; the error names the line.

    Examples
    --------
    >>> x, y = np.array([1.0, 2.0]), np.array([2.0, 4.0])
    >>> def loss_fn(weights, data):
    ...     inputs, targets = data
    ...     return np.mean((weights * inputs - targets) ** 2)
    >>> weights = np.array(0.0)
    >>> for _ in range(20):
    ...     weights_grad = evaluate_gradient(loss_fn, (x, y), weights)
    ...     weights += -0.1 * weights_grad
    >>> round(float(weights), 3)
    2.0
    """
    gradient = grad(loss_fn)(weights) if data is None else grad(loss_fn)(weights, data)
    return uphill(gradient)


def uphill(gradient: Tree) -> Tree:
    """Turn a gradient into the direction in which the function grows: conjugate what is complex."""
    leaves = flatten(gradient)[0]
    if any(_is_complex(leaf) for leaf in leaves):
        gradient = tree_map(lambda leaf: leaf.conjugate() if _is_complex(leaf) else leaf, gradient)
        return with_arithmetic(gradient)
    return gradient


def _is_complex(leaf: Leaf) -> bool:
    kind = getattr(getattr(leaf, "dtype", None), "kind", None)
    return kind == "c" or isinstance(leaf, complex)


def sample_training_data(
    data: Tree, size: int, rng: np.random.Generator | int | None = None
) -> Tree:
    """Draw a mini-batch of examples, without replacement.

    Parameters
    ----------
    data : pytree of arrays
        They share axis 0, of length N: one entry for each example.
    size : int
        Number of examples, from 1 to N.
    rng : numpy.random.Generator, int or None
        Generator or seed; a seed gives the same batch each time. None draws from a generator of
        this process, seeded by the operating system, which threads may share.

    Returns
    -------
    pytree of arrays
        Of the structure and dtypes of the data, each of length `size`, in random order; copies.

    Raises
    ------
    BadInputError
        When `size` is below 1 or above N, the lengths differ or a leaf is not an array.

    Examples
    --------
    >>> x, y = sample_training_data((np.arange(10), np.arange(10) ** 2), 4, rng=0)
    >>> x.shape, bool(np.all(y == x**2))
    ((4,), True)
    """
    length = check_arrays(data, "data")
    size = whole_number(size, "size")
    if size > length:
        raise BadInputError(
            f"{size} examples cannot be drawn without replacement from {length}",
            instead=f"a size from 1 to {length}",
        )
    if rng is None:
        indices = _of_this_process.draw(length, size)
    else:
        indices = random_generator(rng, "rng").choice(length, size, replace=False)
    leaves, structure = flatten(data)
    return unflatten(structure, [np.asarray(leaf)[indices] for leaf in leaves])


class _SharedGenerator:
    """A random generator that is made when first needed, once in each process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._generator: np.random.Generator | None = None
        self._process = 0

    def draw(self, length: int, size: int) -> NDArray[np.int64]:
        """Draw different indices below `length`."""
        with self._lock:
            if self._generator is None or self._process != os.getpid():
                # A forked process would draw what its siblings draw.
                self._generator = np.random.default_rng()
                self._process = os.getpid()
            return self._generator.choice(length, size, replace=False)


_of_this_process = _SharedGenerator()
