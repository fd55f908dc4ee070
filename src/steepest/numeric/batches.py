"""Functions of many points at once: inputs stacked along a new first axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.errors import BadInputError
from steepest.numeric.evaluate import Function, Parameter
from steepest.numeric.precision import Precision
from steepest.tree import Tree, flatten, is_differentiable, unflatten

__all__ = ["Batches", "Move", "of_one_point", "value_at"]

RealArray: TypeAlias = NDArray[np.floating[Any]]

# Bytes of stacked arguments, or of stacked results, in one call.
CHUNK = 2**25


class Move(NamedTuple):
    """A coordinate of a parameter, and how far it is moved."""

    parameter: Parameter
    coordinate: int
    distance: float


def value_at(function: Function, moves: Sequence[Move], precision: Precision) -> RealArray:
    """Evaluate a function with some coordinates moved."""
    moved: dict[int, RealArray] = {}
    for move in moves:
        position = move.parameter.position
        coordinates = moved.setdefault(position, move.parameter.coordinates(precision))
        with np.errstate(all="ignore"):
            coordinates[move.coordinate] += coordinates.dtype.type(move.distance)
    return function.value(precision, moved)


def of_one_point(f: Callable[[Tree], Any]) -> Callable[[Tree], Any]:
    """Turn a function of stacked points into one of a single point."""

    def single(x: Tree) -> Any:
        leaves, structure = flatten(x)
        stacked = [
            np.asarray(leaf)[np.newaxis] if is_differentiable(leaf) else leaf for leaf in leaves
        ]
        return _rows_of(f(unflatten(structure, stacked)), 1)[0]

    return single


class Batches:
    """Evaluations of a function at many points, several in one call.

    Parameters
    ----------
    f : callable
        Takes each floating leaf with a new first axis of length k, and returns k results.
    function : Function
        The same function of one point, made by `of_one_point`: it counts the evaluations.
    """

    def __init__(self, f: Callable[[Tree], Any], function: Function) -> None:
        self._f = f
        self._function = function
        self._compared = False

    def values(self, points: Sequence[Sequence[Move]], precision: Precision) -> list[RealArray]:
        """Evaluate f at several points.

        Raises
        ------
        BadInputError
            When f does not return a result for each point, or mixes the points.
        """
        rows = self._rows_in_a_call(precision)
        results: list[RealArray] = []
        for start in range(0, len(points), rows):
            results += self._call(points[start : start + rows], precision)
        return results

    def _rows_in_a_call(self, precision: Precision) -> int:
        arguments = sum(
            parameter.values.size * precision.of(parameter.dtype).itemsize
            for parameter in self._function.parameters
        )
        largest = max(arguments, self._function.centre(precision).nbytes, 1)
        return max(1, CHUNK // largest)

    def _call(self, points: Sequence[Sequence[Move]], precision: Precision) -> list[RealArray]:
        function = self._function
        # The point itself comes first: its value must not depend on the others.
        count = len(points) + 1
        coordinates = {
            parameter.position: np.tile(parameter.coordinates(precision), (count, 1))
            for parameter in function.parameters
        }
        with np.errstate(all="ignore"):
            for row, moves in enumerate(points, start=1):
                for move in moves:
                    column = coordinates[move.parameter.position][row]
                    column[move.coordinate] += column.dtype.type(move.distance)
        leaves, structure = flatten(function.argument(precision, {}))
        stacked: list[Any] = list(leaves)
        for parameter in function.parameters:
            wide = coordinates[parameter.position].view(precision.of(parameter.dtype))
            stacked[parameter.position] = wide.reshape(count, *parameter.shape)
        for _ in points:
            function.spend()
        try:
            with np.errstate(all="ignore"):
                raw = self._f(unflatten(structure, stacked))
        except Exception:
            # The user's code: one of the points may lie outside of its domain, or all of them may
            # take too much memory. Which one, single calls tell, and what they raise counts.
            return [value_at(function, moves, precision) for moves in points]
        values = _rows_of(raw, count)
        if not self._compared:
            self._compared = True
            self._look_for_mixing(values, points[0], precision)
        return [function.measure(value) for value in values[1:]]

    def _look_for_mixing(
        self, values: NDArray[Any], point: Sequence[Move], precision: Precision
    ) -> None:
        """Compare x and one point beside it with the same two evaluated alone."""
        if values.dtype.kind != "f":
            return
        function = self._function
        for value, alone in (
            (values[0], function.centre(precision)),
            (values[1], value_at(function, point, precision)),
        ):
            with np.errstate(all="ignore"):
                difference = np.abs(function.measure(value) - alone)
                size = np.nanmax(np.abs(values), axis=0, initial=0.0)
                mixed = difference > np.sqrt(np.finfo(values.dtype).eps) * size
            if np.any(mixed):
                raise BadInputError(
                    "with batched=True each result must depend on its own point alone, but a result"
                    f" changes by {np.max(difference):.3g} when other points are evaluated with it",
                    instead="compute along the axes after the first one only, such as"
                    " np.mean(x, axis=-1); or leave out batched=True",
                )


def _rows_of(raw: Any, count: int) -> NDArray[Any]:
    values = np.asarray(raw)
    if values.ndim == 0 or len(values) != count:
        raise BadInputError(
            f"with batched=True the function is given {count} point{'s' if count > 1 else ''},"
            " stacked along a new first axis, and must return as many results; it returned"
            + (
                f" a scalar of dtype {values.dtype}"
                if values.ndim == 0
                else f" an array of shape {values.shape}"
            ),
            instead="reduce over the axes after the first one only, such as"
            " np.sum(x**2, axis=-1); or leave out batched=True",
        )
    return values
