"""What is known about a wrong gradient: the material of a diagnosis."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.errors import is_user_code
from steepest.numeric.evaluate import Parameter
from steepest.numeric.precision import limits

__all__ = ["Evidence", "Measure", "arrays_read_by", "lengths_of"]

Floats: TypeAlias = NDArray[np.float64]
Coordinates: TypeAlias = NDArray[np.intp]
Measure: TypeAlias = Callable[[Coordinates], tuple[Floats, Floats]]

# How far captured values are followed: functions that call functions, arrays in containers.
DEPTH = 3
MOST_ENTRIES = 100


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Numerical derivatives of some coordinates, and what surrounds them.

    Attributes
    ----------
    parameter : Parameter
    analytic : ndarray, shape (coordinates,)
        The whole gradient under examination.
    coordinates : ndarray of int, shape (m,)
        Where the numerical derivative is known.
    numerical, bound : ndarray, shape (m,)
    lengths : dict of int to str
        Lengths that occur in the problem, and what they are lengths of.
    measure : callable, optional
        Returns the numerical derivatives and their bounds at further coordinates.
    others : dict of str to ndarray
        The gradients of the other parameters, flat.
    arrays : dict of str to ndarray
        What the function reads besides its argument.
    """

    parameter: Parameter
    analytic: Floats
    coordinates: Coordinates
    numerical: Floats
    bound: Floats
    lengths: dict[int, str]
    measure: Measure | None = None
    others: Mapping[str, Floats] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def here(self) -> Floats:
        """The gradient where the numerical derivative is known."""
        return self.analytic[self.coordinates]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which of the known coordinates are wrong."""
        with np.errstate(all="ignore"):
            return np.abs(self.here - self.numerical) > 2 * self.bound + self._rounding()

    def select(self, chosen: NDArray[Any]) -> Evidence:
        """Return the evidence of some of the known coordinates."""
        return replace(
            self,
            coordinates=self.coordinates[chosen],
            numerical=self.numerical[chosen],
            bound=self.bound[chosen],
        )

    def usable(self) -> Evidence:
        """Return the evidence where everything is finite."""
        return self.select(
            np.isfinite(self.numerical) & np.isfinite(self.bound) & np.isfinite(self.here)
        )

    def extended(self, coordinates: Coordinates) -> Evidence:
        """Return the evidence with further coordinates measured, where that is possible."""
        new = np.setdiff1d(coordinates, self.coordinates)
        if self.measure is None or new.size == 0:
            return self
        numerical, bound = self.measure(new)
        return replace(
            self,
            coordinates=np.concatenate([self.coordinates, new]),
            numerical=np.concatenate([self.numerical, numerical]),
            bound=np.concatenate([self.bound, bound]),
        ).usable()

    def _rounding(self) -> Floats:
        epsilon = float(limits(self.parameter.dtype).eps)
        rounding: Floats = 16 * epsilon * np.abs(self.numerical)
        return rounding


def arrays_read_by(function: Callable[..., Any]) -> dict[str, NDArray[Any]]:
    """Collect the arrays that a function of the user's reads through names.

    Parameters
    ----------
    function : callable

    Returns
    -------
    dict of str to ndarray
        By the name under which it is read: a global, a closure's variable, a default, or an entry
        of such a container.
    """
    found: dict[str, NDArray[Any]] = {}
    seen: set[int] = set()

    def visit(name: str, value: Any, depth: int) -> None:
        if depth > DEPTH or id(value) in seen:
            return
        if isinstance(value, np.ndarray):
            found.setdefault(name, value)
            return
        seen.add(id(value))
        for inner, each in _inside(name, value):
            visit(inner, each, depth + 1)

    visit("", function, 0)
    return found


def lengths_of(
    parameters: Iterable[Parameter], arrays: Mapping[str, NDArray[Any]]
) -> dict[int, str]:
    """Name the lengths in a problem that a wrong factor may come from.

    Parameters
    ----------
    parameters : iterable of Parameter
    arrays : dict of str to ndarray
        What the function reads besides them.

    Returns
    -------
    dict of int to str
    """
    lengths: dict[int, str] = {}
    shapes = [(each.name, each.shape) for each in parameters]
    for name, shape in (*shapes, *((name, array.shape) for name, array in arrays.items())):
        for axis, length in enumerate(shape):
            lengths.setdefault(length, f"the length of axis {axis} of {name}")
    for name, shape in shapes:
        lengths.setdefault(math.prod(shape), f"the size of {name}")
    return lengths


def _inside(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """List what a function or container holds, with names."""
    if isinstance(value, functools.partial):
        yield name, value.func
        for number, each in enumerate(value.args):
            yield f"argument {number}", each
        yield from value.keywords.items()
    elif isinstance(value, MethodType):
        yield name, value.__func__
        for key, each in list(getattr(value.__self__, "__dict__", {}).items())[:MOST_ENTRIES]:
            yield f"self.{key}", each
    elif isinstance(value, FunctionType) and is_user_code(value.__code__.co_filename):
        for free, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                yield free, cell.cell_contents
            except ValueError:  # The cell is empty: a name that is not bound yet.
                continue
        for used in sorted(_names(value.__code__)):
            if used in value.__globals__:
                yield used, value.__globals__[used]
        yield from zip(
            reversed(value.__code__.co_varnames[: value.__code__.co_argcount]),
            reversed(value.__defaults__ or ()),
            strict=False,
        )
        yield from (value.__kwdefaults__ or {}).items()
    elif isinstance(value, dict):
        for key, each in list(value.items())[:MOST_ENTRIES]:
            yield f"{name}[{key!r}]", each
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value[:MOST_ENTRIES]):
            yield f"{name}[{number}]", each


def _names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names
