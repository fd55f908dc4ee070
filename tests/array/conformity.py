"""NumPy as the oracle of a call: what it gives, traced in every way, and its derivatives.

A *call* is a function of arrays that returns an array, a number, or a tuple or list of them.
Run plainly it says what every other way of running it must give.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from tests.differences import assert_within, gradient_by_differences
from tests.differences import slope as numerical_slope

import steepest as sd
from steepest.errors import NeedsValueError, SteepestError

__all__ = [
    "Case",
    "by_forward_mode",
    "by_reverse_mode",
    "check_derivatives",
    "check_like_numpy",
    "is_number",
    "layouts",
    "parameters",
    "real_total",
    "special_values",
]

Call = Callable[..., Any]
FLOATING = "fc"


def is_floating(value: Any) -> bool:
    return isinstance(value, (float, complex, np.ndarray, np.generic)) and (
        np.asarray(value).dtype.kind in FLOATING
    )


def leaves(result: Any) -> list[Any]:
    """List the arrays and numbers of a result."""
    if isinstance(result, (tuple, list)):
        return [leaf for each in result for leaf in leaves(each)]
    return [result]


def layouts(array: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """Lay the same values out in memory in all ways: negative strides, gaps, Fortran's order."""
    yield array
    yield np.asfortranarray(array)
    yield np.flip(np.flip(array).copy())
    if array.ndim:
        yield np.repeat(array, 2, axis=-1)[..., ::2]


def special_values(array: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """Put NaN, infinities, ties and zeros of either sign among the values."""
    for values in ([np.nan], [np.inf, -np.inf], [np.nan, np.inf], [0.0, -0.0, 1.0], [1.0]):
        changed = array.copy()
        changed.flat[: 2 * len(values)] = np.resize(values, min(array.size, 2 * len(values)))
        yield changed


# -- values ---------------------------------------------------------------------------------------


def _moving(call: Call, args: Sequence[Any], positions: Sequence[int]) -> Call:
    def of_some(*moving: Any) -> Any:
        given = list(args)
        for position, value in zip(positions, moving, strict=True):
            given[position] = value
        return call(*given)

    return of_some


def is_number(leaf: Any) -> bool:
    """Whether a result is an array of numbers, or a number."""
    if isinstance(leaf, (sd.array.Array, np.ndarray, np.generic)):
        return leaf.dtype.kind in "biufc"
    return isinstance(leaf, (bool, int, float, complex))


def real_total(result: Any) -> Any:
    """Reduce results to a real number, through which a derivative may flow."""
    total: Any = 0.0
    for leaf in leaves(result):
        if is_number(leaf) and np.result_type(leaf).kind in FLOATING:
            total = total + np.sum(np.real(leaf))
    return total


def by_reverse_mode(call: Call, moving: Sequence[Any]) -> Any:
    kept = []

    def loss(*values: Any) -> Any:
        kept.append(call(*values))
        return real_total(kept[-1])

    sd.grad(loss, argnums=tuple(range(len(moving))))(*moving)
    return kept[-1]


def by_forward_mode(call: Call, moving: Sequence[Any]) -> Any:
    kept = []

    def loss(*values: Any) -> Any:
        kept.append(call(*values))
        return real_total(kept[-1])

    sd.jvp(loss, tuple(moving), tuple(moving))
    return kept[-1]


def _by_recording(call: Call, moving: Sequence[Any]) -> Any:
    return sd.compile(lambda *values: tuple(leaves(call(*values))), engine="interpret")(*moving)


def _run(call: Call, args: Sequence[Any]) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return call(*args)


def _assert_equal(actual: Any, expected: Any, *, numbers: bool) -> None:
    assert len(leaves(actual)) == len(leaves(expected))
    for one, two in zip(leaves(actual), leaves(expected), strict=True):
        found, wanted = np.asarray(one), np.asarray(two)
        assert found.dtype == wanted.dtype, f"{found.dtype} instead of {wanted.dtype}"
        assert found.shape == wanted.shape, f"{found.shape} instead of {wanted.shape}"
        if numbers:
            kinds = [isinstance(getattr(each, "_value", each), np.ndarray) for each in (one, two)]
            assert kinds[0] == kinds[1], f"{one!r} instead of {two!r}"
        rounding = 32 * np.finfo(wanted.dtype).eps if wanted.dtype.kind in FLOATING else 0
        size = np.max(np.abs(wanted), initial=0, where=np.isfinite(wanted)) if wanted.size else 0
        np.testing.assert_allclose(found, wanted, rtol=rounding, atol=rounding * size)


def check_like_numpy(
    call: Call, *args: Any, needs_values: bool = False, unseen: Sequence[int] = ()
) -> None:
    """Check that a call gives NumPy's values, dtypes and shapes in every way of tracing it.

    The floating-point arguments are traced together and each alone. What NumPy refuses must be
    refused, by an error of the same class where the values are known.

    Parameters
    ----------
    needs_values : bool
        Whether shapes depend on values, so that it is not recorded with shapes alone.
    unseen : sequence of int
        Positions of arguments that NumPy's function does not look at when it asks whose
        implementation to call, so that it refuses one that is traced among others that are not.
    """
    floating = [place for place, each in enumerate(args) if is_floating(each)]
    lone = [each for each in floating if len(floating) > 1 and each not in unseen]
    choices = [floating, *([each] for each in lone)]
    try:
        expected = _run(call, args)
    except Exception as refusal:
        # The class is what is compared, whichever it is.
        for positions in choices:
            moving = [args[each] for each in positions]
            with pytest.raises((type(refusal), TypeError, ValueError)):
                _run(by_reverse_mode, (_moving(call, args, positions), moving))
        return
    for position in unseen:
        with pytest.raises(SteepestError):
            _run(by_reverse_mode, (_moving(call, args, [position]), [args[position]]))
    for positions in choices:
        moving = [args[each] for each in positions]
        some = _moving(call, args, positions)
        if positions:
            _assert_equal(_run(by_reverse_mode, (some, moving)), expected, numbers=True)
            _assert_equal(_run(by_forward_mode, (some, moving)), expected, numbers=True)
        try:
            recorded = _run(_by_recording, (some, moving))
        except NeedsValueError:
            assert needs_values or not positions
        else:
            _assert_equal(list(recorded), leaves(expected), numbers=False)


# -- derivatives ----------------------------------------------------------------------------------


def _draw(generator: np.random.Generator, like: Any) -> Any:
    array = np.asarray(like)
    value = generator.uniform(0.5, 1.5, array.shape) * generator.choice([-1, 1], array.shape)
    if array.dtype.kind == "c":
        value = value + 1j * generator.uniform(-1, 1, array.shape)
    return value.astype(array.dtype)[()]


def check_derivatives(
    call: Call,
    *args: Any,
    second: bool = True,
    compiled: bool = True,
    first_step: float = 2.0**-7,
    rounding: float = 1e-10,
) -> None:
    """Check derivatives by the floating-point arguments against numerical ones.

    Reverse mode against extrapolated differences, forward mode against reverse mode, second
    derivatives by both against differences of the gradient along a direction, and a recorded
    gradient against the one that was not recorded.

    Parameters
    ----------
    second : bool
        Whether to check second derivatives.
    compiled : bool
        Whether the gradient can be recorded with shapes alone.
    first_step : float
        Largest step of the differences: the call must be smooth that far around the arguments.
    rounding : float
        What derivatives may be off besides, relative to the largest.
    """
    positions = [place for place, each in enumerate(args) if is_floating(each)]
    x = tuple(args[each] for each in positions)
    some = _moving(call, args, positions)
    generator = np.random.default_rng(0)
    weights = [
        _draw(generator, each) if np.asarray(each).dtype.kind in FLOATING else None
        for each in leaves(some(*x))
    ]

    def loss(moving: tuple[Any, ...]) -> Any:
        total: Any = 0.0
        for weight, leaf in zip(weights, leaves(some(*moving)), strict=True):
            if weight is not None:
                # Curved, so that what is linear has second derivatives too.
                total = total + np.sum(np.real(weight * leaf * (1 + leaf / 4)))
        return total

    def compare(actual: Sequence[Any], values: Sequence[Any], errors: Sequence[Any]) -> None:
        for one, value, error in zip(actual, values, errors, strict=True):
            assert_within(one, value, error, rounding=rounding)

    gradient = sd.grad(loss)(x)
    for one, argument in zip(gradient, x, strict=True):
        assert np.asarray(one).dtype == np.asarray(argument).dtype
    compare(gradient, *gradient_by_differences(loss, x, first_step))
    direction = tuple(_draw(generator, each) for each in x)
    along = sum(np.sum(np.real(g * v)) for g, v in zip(gradient, direction, strict=True))
    pushed = sd.jvp(loss, (x,), (direction,))[1]
    assert abs(pushed - along) <= rounding * (1 + abs(along))
    if compiled:
        for one, two in zip(
            sd.compile(sd.grad(loss), engine="interpret")(x), gradient, strict=True
        ):
            np.testing.assert_allclose(one, two, rtol=rounding, atol=rounding)
    if not second:
        return
    real = all(np.asarray(each).dtype.kind == "f" for each in x)

    def slope(moving: tuple[Any, ...]) -> Any:
        total: Any = 0.0
        for each, along in zip(sd.grad(loss)(moving), direction, strict=True):
            total = total + np.sum(np.real(each * along))
        return total

    # Along one more direction, in which each second derivative has a part.
    across = tuple(_draw(generator, each) for each in x)

    def moved(step: Any) -> Any:
        return slope(tuple(a + float(step) * b for a, b in zip(x, across, strict=True)))

    value, error = numerical_slope(moved, np.dtype(np.float64), first_step)
    for pulled in (sd.grad(slope)(x), sd.hvp(loss, x, direction) if real else None):
        if pulled is not None:
            total = sum(np.sum(np.real(g * v)) for g, v in zip(pulled, across, strict=True))
            assert_within(total, value, error, rounding=rounding)


# -- tables of calls ------------------------------------------------------------------------------


class Case(NamedTuple):
    """A call with its arguments, and what it cannot do."""

    call: Call
    args: tuple[Any, ...]
    needs_values: bool = False
    unseen: tuple[int, ...] = ()
    differentiable: bool = True
    """Whether derivatives are checked: the call is smooth around its arguments."""
    special: bool = True
    """Whether it must give NumPy's values for NaN, infinities and ties in its first argument."""

    def check_values(self) -> None:
        """Check the call on its arguments, and the first of them laid out in every way."""
        _run(self.call, self.args)  # NumPy must not refuse what is to be compared.
        first, *others = self.args
        for array in layouts(np.asarray(first)) if is_floating(first) else [first]:
            given = array[()] if is_floating(first) else first
            check_like_numpy(
                self.call, given, *others, needs_values=self.needs_values, unseen=self.unseen
            )

    def check_special_values(self) -> None:
        """Check the call with special values in its first argument."""
        first, *others = self.args
        if self.special and is_floating(first):
            for array in special_values(np.asarray(first)):
                check_like_numpy(
                    self.call,
                    array[()],
                    *others,
                    needs_values=self.needs_values,
                    unseen=self.unseen,
                )

    def check_derivatives(self) -> None:
        """Check derivatives, where all that is floating point is of double precision."""
        if self.differentiable and all(
            np.asarray(each).dtype.char in "dD" for each in self.args if is_floating(each)
        ):
            check_derivatives(self.call, *self.args, compiled=not self.needs_values)


def parameters(cases: dict[str, Case]) -> Any:
    """Make a test run for each case, by its name."""
    return pytest.mark.parametrize("case", list(cases.values()), ids=list(cases))
