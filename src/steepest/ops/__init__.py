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
    scipy_linalg,
    sparse,
)
from steepest.ops.spec import Primitive

__all__ = ["PRIMITIVES", "all_primitives", "primitive", "primitive_of_ufunc", "refused_ufuncs"]

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
        scipy_linalg,
        sparse,
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


_DEPENDING_ON_ARGUMENTS = (np.sign, np.heaviside)
"""Ufuncs with a derivative for some of their arguments: their primitive is chosen in `array`."""


@cache
def primitive_of_ufunc(ufunc: np.ufunc) -> Primitive | None:
    """Find the primitive that always stands for a ufunc of NumPy or SciPy."""
    entry = _NUMPY_UFUNCS.get(ufunc)
    if entry is not None or ufunc in _DEPENDING_ON_ARGUMENTS:
        return entry
    # A ufunc of another library with a name of SciPy's is not SciPy's.
    return _special_ufuncs().get(ufunc)


_NUMPY_UFUNCS: dict[np.ufunc, Primitive] = {
    ufunc: entry
    for ufunc, entry in ((getattr(np, name, None), entry) for name, entry in PRIMITIVES.items())
    # np.pow is another name of np.power, but the primitive of that name is Python's operator.
    if isinstance(ufunc, np.ufunc) and ufunc.__name__ == entry.name
    if ufunc not in _DEPENDING_ON_ARGUMENTS
}


@cache
def _special_ufuncs() -> dict[np.ufunc, Primitive]:
    return {
        entry.evaluate: entry
        for entry in _special().values()
        if isinstance(entry.evaluate, np.ufunc)
    }


def refused_ufuncs() -> dict[str, str]:
    """Return what to write for the ufuncs of SciPy that are not differentiated, by their names."""
    from steepest.ops import special

    return special.REFUSED
