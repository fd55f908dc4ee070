"""The least time that a machine could take for a step: its operations and bytes at best rates.

A step multiplies and adds no less than the products of matrices of its network do, forward and
backward; reads the rows of its batch; and reads and writes the weights and what the optimizer
keeps of them. Each of these takes at least its amount by the best rate that was measured, and at
best all happen at once: the longest of the three bounds the time from below (Williams, Waterman
and Patterson, "Roofline: an insightful visual performance model for multicore architectures",
Communications of the ACM 52, 2009).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.descent_work import Work

__all__ = ["Bound", "Rates", "bound", "has_large_products", "operations"]

LARGE_PRODUCT = 10_000_000
"""Operations of a product of matrices from which on it is large."""


class Rates(Protocol):
    """What is known of a machine; see `benchmarks.machine.Machine`."""

    def multiply_adds(self, dtype: str) -> float:
        """Operations a second."""

    def bandwidth(self, size: float) -> float:
        """Bytes a second in a working set of so many bytes."""


@dataclass(frozen=True)
class Bound:
    """The least seconds of a step.

    Attributes
    ----------
    arithmetic : float
        For the products of matrices.
    rows : float
        For reading the batch from the data.
    weights : float
        For reading and writing the weights and the optimizer's state.
    """

    arithmetic: float
    rows: float
    weights: float

    @property
    def seconds(self) -> float:
        """The longest."""
        return max(self.arithmetic, self.rows, self.weights)

    @property
    def what(self) -> str:
        """What takes longest."""
        return max(("arithmetic", "rows", "weights"), key=lambda name: float(getattr(self, name)))


def operations(work: Work) -> float:
    """Count the operations in the products of a step, a multiply-add as two.

    Each layer's weights are multiplied once forward and once for their own gradient, and, except
    in the first layer, once for that of the layer before.

    Parameters
    ----------
    work : Work
    """
    rows = work.batch or work.examples
    layers = itertools.pairwise(work.sizes)
    return float(sum(2 * rows * m * n * (2 + (i > 0)) for i, (m, n) in enumerate(layers)))


def has_large_products(work: Work) -> bool:
    """Tell whether products of matrices are worth a rate of their own."""
    rows = work.batch or work.examples
    return any(2 * rows * m * n >= LARGE_PRODUCT for m, n in itertools.pairwise(work.sizes))


def bound(work: Work, rates: Rates) -> Bound:
    """Bound the time of a step.

    Parameters
    ----------
    work : Work
    rates : Rates
        The rows come from a working set as large as the data, the weights from one as large as
        themselves.

    Returns
    -------
    Bound
    """
    size = np.dtype(work.dtype).itemsize
    data = size * work.examples * work.sizes[0]
    rows = size * (work.batch or work.examples) * work.sizes[0]
    parameters = size * sum((m + 1) * n for m, n in itertools.pairwise(work.sizes))
    kept = parameters * (3 if work.optimizer == "adam" else 1)
    return Bound(
        operations(work) / rates.multiply_adds(work.dtype),
        rows / rates.bandwidth(data),
        2 * kept / rates.bandwidth(kept),
    )
