"""Parts of an array that a mistake may be confined to: an edge, a diagonal, one index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.check.evidence import Evidence

__all__ = ["scopes"]

Mask: TypeAlias = NDArray[np.bool_]


def scopes(evidence: Evidence) -> Iterator[tuple[Mask, str]]:
    """List the parts that contain what is wrong, the simplest first.

    Yields
    ------
    mask : ndarray of bool, shape (coordinates,)
    name : str
        As it stands after "in".
    """
    parameter = evidence.parameter
    wrong = evidence.coordinates[evidence.wrong]
    values = parameter.coordinates().astype(np.float64)
    entries = wrong // 2 if parameter.is_complex else wrong
    for mask, name in _of_shape(parameter.shape, entries):
        flat = mask.reshape(-1)
        yield np.repeat(flat, 2) if parameter.is_complex else flat, name
    for mask, name in (
        (values < 0, "is negative"),
        (values > 0, "is positive"),
        (values == 0, "is zero"),
    ):
        yield mask, f"the entries where {parameter.name} {name}"
    size = np.abs(values)
    if wrong.size:
        known = evidence.coordinates[~evidence.wrong]
        largest = float(np.max(size[known], initial=0.0))
        least = float(size[wrong].min())
        if known.size and least > largest:
            yield (
                size >= least,
                f"the entries where |{parameter.name}| is at least {least:.4g}",
            )
    yield evidence.analytic > 0, "the entries where the gradient is said to be positive"
    yield evidence.analytic < 0, "the entries where the gradient is said to be negative"
    yield evidence.analytic == 0, "the entries where the gradient is said to be zero"


def _of_shape(shape: tuple[int, ...], wrong: NDArray[Any]) -> Iterator[tuple[Mask, str]]:
    """List parts of an array by their indices."""
    if not shape:
        return
    indices = np.indices(shape, sparse=True)
    whole = np.zeros(shape, bool)
    at = np.unravel_index(wrong, shape)
    what = "entry" if len(shape) == 1 else "index"
    for axis, length in enumerate(shape):
        along = "" if len(shape) == 1 else f" of axis {axis}"
        if length < 3:
            continue
        used = np.unique(at[axis])
        if used.size == 1:
            index = int(used[0])
            place = {0: "first", length - 1: "last"}.get(index)
            name = f"the {place} {what}{along}" if place else f"{what} {index}{along}"
            yield whole | (indices[axis] == index), name
        elif used.size:
            first, last = int(used[0]), int(used[-1])
            yield (
                whole | (indices[axis] >= first),
                f"the entries from index {first}{along} to the end",
            )
            yield (
                whole | (indices[axis] <= last),
                f"the first {last + 1} indices{along or ' of it'}",
            )
            for parity, name in ((0, "even"), (1, "odd")):
                yield (
                    whole | (indices[axis] % 2 == parity),
                    f"the {name} indices{along or ' of it'}",
                )
            yield (
                whole | (indices[axis] == 0) | (indices[axis] == length - 1),
                f"the first and the last {what}{along}",
            )
    if len(shape) >= 2:
        rows, columns = indices[-2], indices[-1]
        yield whole | (rows == columns), "the diagonal"
        yield whole | (rows != columns), "the entries off the diagonal"
        yield whole | (rows < columns), "the entries above the diagonal"
        yield whole | (rows > columns), "the entries below the diagonal"
        border = whole.copy()
        for along_axis, length in zip(indices, shape, strict=True):
            border |= (along_axis == 0) | (along_axis == length - 1)
        yield border, "the border"
