"""A user's function as the numerical methods see it: counted, guarded, in a chosen precision.

Every floating leaf of the argument is seen as a flat vector of real *coordinates* (two for a
complex entry: its real and its imaginary part). The function is given fresh arrays at each call,
so that one that changes its input harms neither the user's arrays nor the next evaluation.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steepest.errors import BadInputError, NotDifferentiableError, UnsupportedError
from steepest.numeric.precision import (
    DOUBLE,
    EXTENDED,
    NATIVE,
    SINGLE,
    Precision,
    is_floating,
    limits,
    significand_bits,
)
from steepest.tree import Leaf, Tree, flatten, is_differentiable, leaf_names, unflatten

__all__ = ["BudgetSpentError", "Function", "Parameter", "has_derivative"]

RealArray: TypeAlias = NDArray[np.floating[Any]]
Raise: TypeAlias = Callable[[Callable[[Tree], Any], Tree, Precision], Any]

# What a call in extended precision is taken to cost, in calls as given, before one was made.
EXTENDED_SLOWDOWN = 30.0
AFFORDABLE_SECONDS = 1.0
AFFORDABLE_PART = 0.2


DISPLACEMENT = 2.0**-9


class BudgetSpentError(Exception):
    """The allowed evaluations or seconds are used up."""


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A floating-point leaf of the argument.

    Attributes
    ----------
    position : int
        Its place among the leaves.
    name : str
    shape : tuple of int
    dtype : numpy.dtype
    form : {"array", "numpy scalar", "python number"}
        What the user passed, and what the function receives.
    values : ndarray
        Flat copy in C order, of the user's dtype.
    """

    position: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    form: Literal["array", "numpy scalar", "python number"]
    values: NDArray[Any]

    @classmethod
    def from_leaf(cls, position: int, name: str, leaf: Leaf) -> Parameter:
        """Take a copy of a leaf."""
        array = np.array(leaf, order="C")
        form: Literal["array", "numpy scalar", "python number"]
        if isinstance(leaf, np.generic):
            form = "numpy scalar"
        elif isinstance(leaf, (float, complex)):
            form = "python number"
        else:
            form = "array"
        return cls(position, name, array.shape, array.dtype, form, array.reshape(-1))

    @property
    def is_complex(self) -> bool:
        """Whether each entry has two coordinates."""
        return self.dtype.kind == "c"

    @property
    def size(self) -> int:
        """Number of real coordinates."""
        return self.values.size * (2 if self.is_complex else 1)

    def coordinates(self, precision: Precision = NATIVE) -> RealArray:
        """Return a fresh vector of the real coordinates, of shape (size,)."""
        raised = self.values.astype(precision.of(self.dtype))
        return raised.view(precision.real_part(self.dtype))

    def leaf(self, coordinates: RealArray, precision: Precision) -> Leaf:
        """Turn coordinates into what the function receives."""
        flat = coordinates.view(precision.of(self.dtype))
        if self.form == "array":
            return flat.reshape(self.shape)
        if self.form == "python number" and precision.bits(self.dtype) == significand_bits(
            self.dtype
        ):
            return flat[0].item()
        return flat[0]

    def gradient_leaf(self, coordinates: RealArray) -> Leaf:
        """Turn derivatives by coordinate into a gradient like the user's leaf.

        For complex entries x + iy that is ∂f/∂x - i ∂f/∂y.
        """
        target = self.dtype
        if self.is_complex:
            pairs = coordinates.reshape(-1, 2)
            flat = (pairs[:, 0] - 1j * pairs[:, 1]).astype(target)
        else:
            flat = coordinates.astype(target)
        if self.form == "python number":
            return flat[0].item()
        return flat.reshape(self.shape) if self.form == "array" else flat[0]

    def index(self, coordinate: int) -> tuple[int, ...]:
        """Return the index of the entry to which a coordinate belongs."""
        entry = coordinate // 2 if self.is_complex else coordinate
        return tuple(int(i) for i in np.unravel_index(entry, self.shape))


class Function:
    """A function of a pytree, evaluated near one point.

    Parameters
    ----------
    f : callable
        Takes the pytree.
    x : pytree
        The point; never modified.
    output : {"scalar", "array"}
        What f must return.
    evaluations : int, optional
        Allowed calls of f.
    seconds : float, optional
        Allowed time, from now on.

    Raises
    ------
    BadInputError
        When f does not return what it must.
    NotDifferentiableError
        When x has no floating-point leaf.

    Attributes
    ----------
    overwritten : list of str
        The parameters whose arrays f wrote into when it was first called.
    """

    def __init__(
        self,
        f: Callable[[Tree], Any],
        x: Tree,
        *,
        output: Literal["scalar", "array"] = "scalar",
        evaluations: int | None = None,
        seconds: float | None = None,
    ) -> None:
        if not callable(f):
            raise BadInputError(
                f"the function must be callable, but is a {type(f).__name__}",
                instead="pass the function itself, then the point: numerical_gradient(f, x)",
            )
        self.f = f
        self.output = output
        self.leaves, self.structure = flatten(x)
        self.parameters = [
            Parameter.from_leaf(position, name, leaf)
            for position, (name, leaf) in enumerate(zip(leaf_names(x), self.leaves, strict=True))
            if has_derivative(leaf)
        ]
        if not self.parameters:
            kinds = sorted({_describe(leaf) for leaf in self.leaves})
            raise NotDifferentiableError(
                "the argument has no floating-point leaf to differentiate by; it has "
                + (", ".join(kinds) if kinds else "no leaves at all"),
                instead="pass floating-point values, such as x.astype(float)",
            )
        self._differentiable = frozenset(parameter.position for parameter in self.parameters)
        self.evaluations = 0
        self._allowed_evaluations = evaluations
        self._deadline = None if seconds is None else time.monotonic() + seconds
        # How functions are run in a higher precision than their code asks for.
        self._raise: Raise | None = None
        # The least seconds that a call took, by precision.
        self._cost: dict[str, float] = {}
        self._permitted: dict[str, bool] = {}
        self._centres: dict[str, RealArray] = {}
        # The dtypes of the last results that were floating point, by precision.
        self._result_dtypes: dict[str, np.dtype[Any]] = {}
        # Called first as the user would: what f raises here is the user's to see.
        self.evaluations += 1
        argument = self.argument(NATIVE, {})
        leaves = flatten(argument)[0]
        began = time.monotonic()
        self._centres[NATIVE.name] = self._measure(f(argument))[0]
        self._cost[NATIVE.name] = time.monotonic() - began
        self.overwritten = [
            parameter.name
            for parameter in self.parameters
            if parameter.form == "array" and not _holds(leaves[parameter.position], parameter)
        ]

    # -- points ---------------------------------------------------------------------------------

    def argument(self, precision: Precision, moved: Mapping[int, RealArray]) -> Tree:
        """Build a fresh pytree, with the coordinates of some leaves (by position) replaced."""
        leaves = [
            leaf if position in self._differentiable else _fresh(leaf)
            for position, leaf in enumerate(self.leaves)
        ]
        for parameter in self.parameters:
            coordinates = moved.get(parameter.position)
            if coordinates is None:
                coordinates = parameter.coordinates(precision)
            leaves[parameter.position] = parameter.leaf(coordinates, precision)
        return unflatten(self.structure, leaves)

    def near(
        self,
        parameter: Parameter,
        direction: RealArray,
        step: float,
        precision: Precision,
        places: NDArray[np.intp] | None = None,
    ) -> RealArray:
        """Evaluate f at x + step * direction, in one parameter; NaN outside of the domain.

        Given places, the direction has a value for each of these coordinates alone.
        """
        coordinates = parameter.coordinates(precision)
        with np.errstate(all="ignore"):
            move = (step * direction).astype(coordinates.dtype)
            if places is None or places.size == coordinates.size:
                # All of them: places are distinct and in ascending order.
                coordinates += move
            else:
                coordinates[places] += move
        return self.value(precision, {parameter.position: coordinates})

    def imaginary_slope(
        self, parameter: Parameter, direction: RealArray, step: float, precision: Precision
    ) -> RealArray:
        """Return Im f(x + i step d) / step, in one real parameter.

        Raises
        ------
        UnsupportedError
            When f does not take complex arrays, or returns a real number for them.
        """
        real = precision.real_part(parameter.dtype)
        values = parameter.coordinates(precision).astype(np.result_type(real, np.complex64))
        values += (1j * step) * direction
        leaves = [_fresh(leaf) for leaf in self.leaves]
        for other in self.parameters:
            leaves[other.position] = other.leaf(other.coordinates(precision), precision)
        moved = values.reshape(parameter.shape) if parameter.form == "array" else values[0]
        leaves[parameter.position] = moved
        self.spend(precision)
        try:
            raw = self._without_axes(self.f(unflatten(self.structure, leaves)))
        except Exception as error:
            # The user's code, which has returned for real arguments. What it raises is shown.
            raise UnsupportedError(
                f"the function does not take complex arrays: {type(error).__name__}: {error}",
                instead="use method='extrapolated'",
            ) from error
        if raw.dtype.kind != "c" or raw.shape != self._centres[NATIVE.name].shape:
            raise UnsupportedError(
                f"for a complex argument the function returned {_describe(raw)}: its imaginary"
                " part, which holds the derivative, was lost",
                instead="use method='extrapolated'",
            )
        return np.asarray(raw.imag / step)

    def value(self, precision: Precision, moved: Mapping[int, RealArray]) -> RealArray:
        """Evaluate f; NaN where the point lies outside of its domain."""
        self.spend(precision)
        argument = self.argument(precision, moved)
        began = time.monotonic()
        try:
            with np.errstate(all="ignore"):
                raw = self._call(precision, argument)
        except MemoryError:
            # No matter of the point.
            raise
        except Exception:
            # At x itself f has returned a value: whatever it raises here (libraries have errors of
            # their own) says that this point is outside of its domain.
            return np.full_like(self._centres[NATIVE.name], np.nan)
        self._note_cost(precision, time.monotonic() - began)
        dtype = np.asarray(raw).dtype
        if is_floating(dtype):
            self._result_dtypes[precision.name] = dtype
        return self._measure(raw)[0]

    def centre(self, precision: Precision) -> RealArray:
        """Return f(x), evaluated once for each precision."""
        if precision.name not in self._centres:
            self._centres[precision.name] = self.value(precision, {})
        return self._centres[precision.name]

    # -- precisions -----------------------------------------------------------------------------

    def raise_by(self, run: Raise) -> bool:
        """Evaluate f in higher precisions through `run`, if that gives double precision.

        Parameters
        ----------
        run : callable
            ``run(f, x, precision)`` returns f(x) with every operation in a precision, or None.
        """
        permitted, self._permitted = self._permitted, {}
        self._raise = run
        if self.permits(DOUBLE):
            return True
        self._permitted, self._raise = permitted, None
        return False

    @property
    def is_raised(self) -> bool:
        """Whether f is evaluated in higher precisions than its code asks for."""
        return self._raise is not None

    def in_precision(
        self, function: Callable[[Tree], Any], precision: Precision, argument: Tree
    ) -> Any:
        """Call a function of the same argument in a precision, as f is; None when it refuses."""
        if self._raise is None or precision is NATIVE:
            return function(argument)
        return self._raise(function, argument, precision)

    @property
    def working(self) -> Precision:
        """The precision to start with: at least double, where the function permits it."""
        bits = min(significand_bits(parameter.dtype) for parameter in self.parameters)
        for precision in (DOUBLE, SINGLE):
            assert precision.real is not None
            if bits >= significand_bits(precision.real) and not self.is_raised:
                return NATIVE
            if self.permits(precision):
                return precision
        return NATIVE

    @property
    def higher(self) -> Precision | None:
        """The precision above the working one, if there is one that the function permits."""
        double = significand_bits(np.dtype(np.float64))
        extended = significand_bits(np.dtype(np.longdouble))
        bits = {self.working.bits(parameter.dtype) for parameter in self.parameters}
        # On some machines a long double is a double.
        if bits != {double} or extended <= double:
            return None
        return EXTENDED if self.permits(EXTENDED) else None

    def affordable_higher(
        self, calls: int, seconds: float = AFFORDABLE_SECONDS
    ) -> Precision | None:
        """Return the precision above the working one, if so many calls do not take too long."""
        if not self._is_affordable(EXTENDED, calls, seconds) or self.higher is None:
            return None
        # The first call has told what it costs.
        return EXTENDED if self._is_affordable(EXTENDED, calls, seconds) else None

    @property
    def has_budget(self) -> bool:
        """Whether calls or time are limited."""
        return self._allowed_evaluations is not None or self._deadline is not None

    @property
    def seconds_a_call(self) -> float:
        """What the fastest call took."""
        return min(self._cost.values())

    def permits(self, precision: Precision) -> bool:
        """Whether f computes in a higher precision, from its arguments to its result."""
        if precision.name not in self._permitted:
            self._permitted[precision.name] = self._try(precision)
        return self._permitted[precision.name]

    def _is_affordable(self, precision: Precision, calls: int, limit: float) -> bool:
        # The arithmetic of a long double is in no library of linear algebra: a product of matrices
        # may take a hundred times as long.
        cost = self._cost.get(precision.name)
        if cost is None:
            cost = EXTENDED_SLOWDOWN * self.seconds_a_call
        if self._deadline is not None:
            limit = min(limit, (self._deadline - time.monotonic()) * AFFORDABLE_PART)
        return calls * cost <= limit

    def _note_cost(self, precision: Precision, seconds: float) -> None:
        self._cost[precision.name] = min(seconds, self._cost.get(precision.name, seconds))

    def _try(self, precision: Precision) -> bool:
        assert precision.real is not None
        self.spend(precision)
        began = time.monotonic()
        try:
            with np.errstate(all="ignore"):
                raw = self._call(precision, self.argument(precision, {}))
        except Exception:
            # At x as given f has returned a value: it does not work in this precision (LAPACK has
            # no long double), whichever error it says so with.
            return False
        self._note_cost(precision, time.monotonic() - began)
        value, bits = self._measure(raw)
        native = self._centres[NATIVE.name]
        if value.shape != native.shape or bits < significand_bits(precision.real):
            return False
        if not np.array_equal(np.isfinite(value), np.isfinite(native)):
            return False
        self._centres[precision.name] = value
        return True

    @functools.cached_property
    def result_epsilon(self) -> float:
        """The rounding unit of what f returns; zero if as fine as the working precision.

        A result in single precision, also as a Python float, is known by its bits: at a point
        whose coordinates have random bits, a result in double precision has them too.
        """
        returned = self._result_dtype
        if significand_bits(returned) < significand_bits(np.dtype(np.float64)):
            return float(limits(returned).eps)
        generator = np.random.default_rng(0)
        moved = {}
        for parameter in self.parameters:
            coordinates = parameter.coordinates(self.working)
            change = generator.uniform(-1, 1, coordinates.shape) * DISPLACEMENT
            moved[parameter.position] = (coordinates * (1 + change)).astype(coordinates.dtype)
        for coarse in (np.float16, np.float32):
            if not _is_rounded_to(self.centre(self.working), coarse):
                continue
            if _is_rounded_to(self.value(self.working, moved), coarse):
                return float(np.finfo(coarse).eps)
        return 0.0

    @property
    def result_quantum(self) -> float:
        """The least number other than zero in the dtype that f returns."""
        return float(limits(self._result_dtype).smallest_subnormal)

    @property
    def _result_dtype(self) -> np.dtype[Any]:
        return self._result_dtypes.get(self.working.name, np.dtype(np.float64))

    # -- calls ----------------------------------------------------------------------------------

    def spend(self, precision: Precision = NATIVE) -> None:
        """Count one evaluation.

        Raises
        ------
        BudgetSpentError
            When none is left.
        """
        allowed = self._allowed_evaluations
        if allowed is not None and self.evaluations >= allowed:
            raise BudgetSpentError(f"the budget of {allowed} evaluations is spent")
        # A call that would end after the deadline is not begun.
        self.watch_time(self._cost.get(precision.name, 0.0))
        self.evaluations += 1

    def watch_time(self, needed: float = 0.0) -> None:
        """Raise when the time is spent, or will be after so many seconds.

        Raises
        ------
        BudgetSpentError
        """
        if self._deadline is not None and time.monotonic() + needed > self._deadline:
            raise BudgetSpentError("the allowed time is spent")

    def _call(self, precision: Precision, argument: Tree) -> Any:
        raw = self.in_precision(self.f, precision, argument)
        if raw is None and self.is_raised:
            raise BadInputError("the function does not run in a higher precision at this point")
        return raw

    def measure(self, raw: Any) -> RealArray:
        """Turn what f returned into a float64 or longdouble array.

        Raises
        ------
        BadInputError
            When it is not what f must return.
        """
        return self._measure(raw)[0]

    def _without_axes(self, raw: Any) -> NDArray[Any]:
        """Take the number out of an array of size 1, where f returns a scalar."""
        array = np.asarray(raw)
        if self.output == "scalar" and array.size == 1 and not isinstance(raw, (list, tuple)):
            return array.reshape(())
        return array

    def _measure(self, raw: Any) -> tuple[RealArray, int]:
        """Turn what f returned into a float64 or longdouble array, and its own precision."""
        array = self._without_axes(raw)
        if self.output == "scalar" and (array.shape != () or not _is_real(array.dtype)):
            raise BadInputError(
                f"the function must return a real scalar, but returned {_describe(raw)}"
                f" with value {_shorten(raw)}",
                instead=_scalar_advice(array),
            )
        if not _is_real(array.dtype):
            raise BadInputError(
                f"the function must return a real array, but returned {_describe(raw)}"
                f" with value {_shorten(raw)}"
            )
        bits = significand_bits(array.dtype) if is_floating(array.dtype) else 64
        wide = np.promote_types(array.dtype, np.float64)
        return np.array(array, dtype=wide), bits


def has_derivative(leaf: Leaf) -> bool:
    """Whether a leaf is floating point, bfloat16 included."""
    if isinstance(leaf, (np.ndarray, np.generic)):
        return is_floating(leaf.dtype)
    return is_differentiable(leaf)


def _holds(array: NDArray[Any], parameter: Parameter) -> bool:
    """Whether an array made from a parameter still has its values, bit by bit."""
    return np.array_equal(array.reshape(-1).view(np.uint8), parameter.values.view(np.uint8))


def _is_real(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iub" or (is_floating(dtype) and dtype.kind != "c")


def _fresh(leaf: Leaf) -> Leaf:
    """Copy a leaf that the function could change."""
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def _is_rounded_to(values: RealArray, dtype: type[np.floating[Any]]) -> bool:
    """Whether all values are numbers of a coarser dtype, and not just whole."""
    with np.errstate(all="ignore"):
        kept = values.astype(dtype) == values
        whole = (values == np.rint(values)) & (np.abs(values) * np.finfo(dtype).eps < 1)
    return bool(np.all(kept | ~np.isfinite(values)) and not np.all(whole | ~np.isfinite(values)))


def _describe(value: object) -> str:
    if isinstance(value, (np.ndarray, np.generic)):
        if value.shape == ():
            return f"a scalar of dtype {value.dtype}"
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    return "None" if value is None else f"a {type(value).__name__}"


def _shorten(value: object, length: int = 120) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _scalar_advice(array: NDArray[Any]) -> str:
    if array.dtype.kind == "c":
        return "return a real number, such as abs(z) ** 2 or z.real"
    if not _is_real(array.dtype):
        return "return the loss as a number; is a return statement missing?"
    if array.size == 1:
        return "return one number: result.item(), or result[0]"
    return "reduce the result to one number, such as result.sum() or result.mean()"
