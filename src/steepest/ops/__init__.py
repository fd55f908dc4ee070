"""The op table: every primitive, one entry each.

The functions of ``scipy.special`` are in a table of their own, which is read when one of them
is first met, so that SciPy is not imported before.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from steepest.ops import (
    contract,
    convolve,
    decompositions,
    elementwise,
    fourier,
    index,
    least_squares,
    linalg,
    matrices,
    movement,
    order,
    reduce,
)
from steepest.ops.spec import Primitive

__all__ = ["PRIMITIVES", "all_primitives", "primitive", "primitive_of_ufunc"]

PRIMITIVES: dict[str, Primitive] = {
    entry.name: entry
    for family in (
        elementwise,
        reduce,
        movement,
        index,
        contract,
        matrices,
        linalg,
        decompositions,
        least_squares,
        order,
        convolve,
        fourier,
    )
    for entry in family.PRIMITIVES
}


def primitive(name: str) -> Primitive:
    """Look a primitive of NumPy's up by its name."""
    return PRIMITIVES[name]


def all_primitives() -> dict[str, Primitive]:
    """Return the whole table, SciPy's functions included."""
    return PRIMITIVES | _special()


@cache
def _special() -> dict[str, Primitive]:
    from steepest.ops import special

    return {entry.name: entry for entry in special.PRIMITIVES}


@cache
def primitive_of_ufunc(ufunc: np.ufunc) -> Primitive | None:
    """Find the primitive that stands for a ufunc of NumPy or SciPy."""
    name = ufunc.__name__
    entry = PRIMITIVES.get(name)
    if entry is not None and getattr(np, name, None) is ufunc:
        return entry
    # A ufunc of another library with a name of SciPy's is not SciPy's.
    entry = _special().get(name)
    return entry if entry is not None and entry.evaluate is ufunc else None
