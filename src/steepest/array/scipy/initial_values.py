"""Initial value problems that SciPy solves in compiled code, or up to a tolerance in each step.

SciPy solves them with plain values: its values are those that the user gets. For the derivatives
the same problem is solved once more on traced values, up to the same tolerances. Where it is stiff,
that is done by the collocation method Radau IIA of three stages (E. Hairer and G. Wanner, "Solving
Ordinary Differential Equations II", 2nd edition, 1996, section IV.8), in steps that SciPy's
``Radau`` chooses: the equations of each step are solved to the last digit, and their solution is
differentiated by the implicit function theorem. Elsewhere SciPy's ``DOP853`` is followed, up to a
hundredth of the tolerances.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.calculus import calculus
from steepest.array.plain import plain_value
from steepest.array.scipy.followed import followed, original_of
from steepest.array.scipy.implicit import as_column, solution_of
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["InitialValueProblem"]

_ROOT = 6**0.5
_NODES = np.array([(4 - _ROOT) / 10, (4 + _ROOT) / 10, 1])
_WEIGHTS = np.array(
    [
        [(88 - 7 * _ROOT) / 360, (296 - 169 * _ROOT) / 1800, (-2 + 3 * _ROOT) / 225],
        [(296 + 169 * _ROOT) / 1800, (88 + 7 * _ROOT) / 360, (-2 - 3 * _ROOT) / 225],
        [(16 - _ROOT) / 36, (16 + _ROOT) / 36, 1 / 9],
    ]
)

_ITERATIONS = 20
_FINER = 100.0
"""What the tolerances are divided by where that costs little."""
_FARTHEST = 1e3
"""How many times the tolerances the second solution may be from SciPy's."""


class InitialValueProblem:
    """An initial value problem that SciPy has solved with plain values.

    Parameters
    ----------
    function : callable
        ``(t, y) → dy/dt``, an array or a list, of traced values perhaps.
    start : array (n,)
    tolerances : dict
        ``rtol`` and ``atol``.
    name : str
        Of SciPy's function.
    """

    def __init__(
        self,
        function: Callable[[float, Value], Value],
        start: Value,
        tolerances: dict[str, Any],
        name: str,
    ) -> None:
        self._start = as_array(start).astype(np.float64)
        self._size = self._start.shape[0]
        self._given = function
        self._tolerances = tolerances
        self._name = name

    def at(self, times: Any, found: Any, settings: dict[str, Any], *, is_stiff: bool) -> Value:
        """Solve it on traced values.

        Parameters
        ----------
        times : ndarray (k,)
            Beginning with that of the start, in one direction.
        found : ndarray (k, n)
            SciPy's solution there.
        settings : dict
            Further ones for the choice of steps.
        is_stiff : bool

        Returns
        -------
        array (k, n)

        Raises
        ------
        UnsupportedError
            Where the two solutions differ by far more than the tolerances.
        """
        if times[-1] == times[0]:
            rows = self._start[None]
        else:
            rows = (self._collocated if is_stiff else self._followed)(times, settings)
        # A time that is asked for twice has one row so far.
        order = np.unique(times, return_inverse=True)[1]
        solution = rows[order if times[-1] >= times[0] else len(rows) - 1 - order]
        self._check(plain_value(solution, self._name), found)
        return solution

    def _function(self, t: float, y: Value) -> Value:
        return as_column(self._given(t, y), self._size)

    def _followed(self, times: Any, settings: dict[str, Any]) -> Value:
        """Solve it by a method of order 8 without systems of equations."""
        wanted = np.unique(times) if times[-1] > times[0] else np.unique(times)[::-1]
        span = (times[0], times[-1])
        found = _solve_ivp(
            self._function,
            span,
            self._start,
            "DOP853",
            t_eval=wanted,
            **self._tolerances_of_steps(_FINER),
            **settings,
        )
        if not found.success:
            self._refuse("a second solution, by the method DOP853, ends early")
        return found.y.T

    def _collocated(self, times: Any, settings: dict[str, Any]) -> Value:
        """Solve it by collocation, also at the times that are asked for."""
        steps = original_of("scipy.integrate", "solve_ivp")(
            lambda t, y: plain_value(self._function(t, y), self._name).copy(),
            (times[0], times[-1]),
            plain_value(self._start, self._name),
            "Radau",
            dense_output=True,
            **self._tolerances_of_steps(),
            **settings,
        )
        if not steps.success:
            self._refuse("a second solution, by the method Radau, ends early")
        grid = np.unique(np.concatenate([steps.t, times]))
        grid = grid if times[-1] > times[0] else grid[::-1]
        rows, wanted = [], set(times.tolist())
        y = self._start
        for t, after in zip(grid.tolist(), [*grid[1:].tolist(), None], strict=True):
            if t in wanted:
                rows.append(y)
            if after is not None:
                y = self._stepped(t, after - t, y, steps.sol)
        return np.stack(rows)

    def _tolerances_of_steps(self, finer: float = 1.0) -> dict[str, Any]:
        # What SciPy's methods in Python take at the least.
        least = 100 * np.finfo(np.float64).eps
        return {
            "rtol": max(float(np.min(self._tolerances["rtol"])) / finer, least),
            "atol": np.asarray(self._tolerances["atol"]) / finer,
        }

    def _stepped(self, t: float, width: float, y: Value, near: Callable[..., Any]) -> Value:
        """Take one step."""
        size = self._size

        def residual(stages: Value) -> Value:
            rows = np.reshape(stages, (3, size))
            slopes = np.stack([self._function(t + c * width, y + rows[k]) for k, c in _PLACES])
            return np.reshape(rows - width * (_WEIGHTS @ slopes), (3 * size,))

        def jacobian(stages: Value) -> Value:
            rows = np.reshape(stages, (3, size))
            slopes = [self._slope(t + c * width, y + rows[k]) for k, c in _PLACES]
            return _system(slopes, width)

        before = plain_value(y, self._name)
        found = np.ravel(near(t + _NODES * width).T - before)
        middle = plain_value(self._slope(t + width, before + found[2 * size :]), self._name)
        matrix = _system([middle] * 3, width)
        scale = np.max(np.abs(before)) + np.max(np.abs(found))
        last = np.inf
        for _ in range(_ITERATIONS):
            change = np.linalg.solve(matrix, plain_value(residual(found), self._name))
            found = found - change
            moved = np.max(np.abs(change))
            if moved <= 1e-15 * scale or (moved <= 1e-12 * scale and moved >= last):
                break
            last = moved
        return y + solution_of(residual, found, self._name, jacobian)[2 * size :]

    def _slope(self, t: float, y: Value) -> Value:
        return calculus.jacobian(lambda y: self._function(t, y))(y)

    def _check(self, solution: Any, found: Any) -> None:
        size = np.max(np.abs(found), axis=0, initial=0)
        allowed = np.asarray(self._tolerances["atol"]) + self._tolerances["rtol"] * size
        if not np.all(np.abs(solution - found) <= _FARTHEST * allowed):
            self._refuse("a second solution, by the method Radau, is another one")

    def _refuse(self, why: str) -> None:
        raise UnsupportedError(
            f"{self._name} is not differentiated where {why}: it is far less exact than asked",
            instead="smaller rtol and atol; scipy.integrate.solve_ivp with the method DOP853",
        )


_solve_ivp = followed("scipy.integrate", "solve_ivp", "steps of a Runge-Kutta method in NumPy")[
    "solve_ivp"
]
_PLACES = list(enumerate(_NODES.tolist()))


def _system(slopes: list[Value], width: float) -> Value:
    """Make the matrix of the derivatives of a step's equations."""
    size = slopes[0].shape[0]
    rows = [
        np.concatenate(
            [
                np.eye(size) * (row == column) - width * _WEIGHTS[row, column] * slope
                for column, slope in enumerate(slopes)
            ],
            axis=1,
        )
        for row in range(3)
    ]
    return np.concatenate(rows)
