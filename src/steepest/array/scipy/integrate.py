"""Integrals of samples and functions, and initial value problems, on Arrays."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.plain import is_traced, plain_value
from steepest.array.scipy.followed import (
    always,
    followed,
    followed_with_callbacks,
    original_of,
)
from steepest.array.scipy.implicit import GivenPlainly, with_value
from steepest.array.scipy.initial_values import InitialValueProblem
from steepest.errors import TracedConversionError, UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


def trapezoid(y: Value, x: Value | None = None, dx: Value = 1.0, axis: int = -1) -> Value:
    from scipy.integrate import trapezoid as original

    y = as_array(y)
    x = None if x is None else as_array(x)
    gaps = dx if x is None else _gaps(x, y, axis)
    # Which dtype has the last word has changed with SciPy's versions.
    points = None if x is None else np.zeros(2, x.dtype)
    dtype = original(np.zeros(2, y.dtype), points).dtype
    y = np.moveaxis(y, axis, -1)
    return np.sum(gaps * (y[..., 1:] + y[..., :-1]) / 2.0, axis=-1, dtype=dtype)


def _gaps(x: Value, y: Value, axis: int) -> Value:
    """Find the distances of samples along the last axis."""
    if x.ndim == 1:
        if x.shape[0] != y.shape[axis]:
            raise ValueError("If given, length of x along axis must be the same as y.")
        return np.diff(x)
    return np.diff(np.moveaxis(x, axis, -1))


def cumulative_trapezoid(
    y: Value,
    x: Value | None = None,
    dx: Value = 1.0,
    axis: int = -1,
    initial: float | None = None,
) -> Value:
    y = as_array(y)
    if y.shape[axis] == 0:
        raise ValueError("At least one point is required along `axis`.")
    if initial not in (None, 0):
        raise ValueError("`initial` must be `None` or `0`.")
    if x is not None:
        x = as_array(x)
        if x.ndim not in (1, y.ndim):
            raise ValueError("If given, shape of x must be 1-D or the same as y.")
    gaps = dx if x is None else _gaps(x, y, axis)
    samples = np.moveaxis(y, axis, -1)
    result = np.cumsum(gaps * (samples[..., 1:] + samples[..., :-1]) / 2.0, axis=-1)
    if initial is not None:
        start = np.zeros((*result.shape[:-1], 1), result.dtype)
        result = np.concatenate([start, result], axis=-1)
    return np.moveaxis(result, -1, axis)


def simpson(y: Value, x: Value | None = None, *, dx: Value = 1.0, axis: int = -1) -> Value:
    y = as_array(y)
    count = y.shape[axis]
    if x is not None:
        x = as_array(x)
        if x.ndim not in (1, y.ndim):
            raise ValueError("If given, shape of x must be 1-D or the same as y.")
        if x.shape[0 if x.ndim == 1 else axis] != count:
            raise ValueError("If given, length of x along axis must be the same as y.")
    gaps = None if x is None else _gaps(x, y, axis)
    y = np.moveaxis(y, axis, -1)
    if count % 2:
        return _parabolas(y, gaps, dx)
    if count == 2:
        return 0.5 * (dx if gaps is None else gaps[..., 0]) * (y[..., 1] + y[..., 0])
    result = _parabolas(y[..., :-1], None if gaps is None else gaps[..., :-1], dx)
    before, last = (dx, dx) if gaps is None else (gaps[..., -2], gaps[..., -1])
    # The last interval, of the parabola through the last three samples (K. Cartwright, "Simpson's
    # rule cumulative integration with MS Excel and irregularly-spaced data", 2017, equation 8).
    alpha = _quotient(2 * last**2 + 3 * before * last, 6 * (last + before))
    beta = _quotient(last**2 + 3.0 * before * last, 6 * before)
    eta = _quotient(1 * last**3, 6 * before * (before + last))
    correction = alpha * y[..., -1] + beta * y[..., -2] - eta * y[..., -3]
    # SciPy adds it in place.
    return result + correction.astype(result.dtype)


def _parabolas(y: Value, gaps: Value | None, dx: Value) -> Value:
    """Integrate the parabolas through each three samples, of which there is an odd number."""
    first, middle, last = y[..., :-2:2], y[..., 1:-1:2], y[..., 2::2]
    if gaps is None:
        return np.sum(first + 4.0 * middle + last, axis=-1) * (dx / 3.0)
    left, right = gaps[..., ::2].astype(np.float64), gaps[..., 1::2].astype(np.float64)
    total, product = left + right, left * right
    ratio = _quotient(left, right)
    terms = (total / 6.0) * (
        first * (2.0 - _quotient(np.ones_like(ratio), ratio))
        + middle * (total * _quotient(total, product))
        + last * (2.0 - ratio)
    )
    return np.sum(terms, axis=-1)


def _quotient(numerator: Value, denominator: Value) -> Value:
    """Divide; what is divided by 0 is 0."""
    divisible = np.not_equal(denominator, 0)
    return np.where(divisible, numerator / np.where(divisible, denominator, 1.0), 0.0)


# Integrals of functions


@always
def quad(
    func: Callable[..., Value],
    a: Value,
    b: Value,
    args: Any = (),
    full_output: int = 0,
    *others: Any,
    **settings: Any,
) -> Any:
    """Integrate a function, under whose integral sign the derivative is taken.

    The value is SciPy's. Its derivative is that of a Gauss-Legendre sum over the intervals into
    which SciPy has parted the range; where that sum is not the integral, there is an error.
    """
    original = original_of("scipy.integrate", "quad")
    args = args if isinstance(args, tuple) else (args,)
    asked = "scipy.integrate.quad, which parts its range by the values of the integrand,"
    start, end = (plain_value(each, asked) for each in (a, b))
    seen = [is_traced((a, b))]

    def plainly(x: float, *given: Any) -> Any:
        value = func(x, *given)
        seen[0] = seen[0] or is_traced(value)
        return plain_value(value, asked)

    given = (args, full_output, *others)
    if settings.get("weight") is not None or len(others) > 4 or settings.get("complex_func"):
        found = original(plainly, start, end, *given, **settings)
        if not seen[0]:
            return found
        raise UnsupportedError(
            "scipy.integrate.quad with weight= or complex_func= is not differentiated",
            instead="the weight as a factor of the integrand, or its real and imaginary part",
        )
    found = original(plainly, start, end, args, 1, *others, **settings)
    value, error, info, *rest = found
    if not seen[0] or start == end:
        sum_of_all: Value = value
        if start == end and seen[0]:
            width = (b - a) * 1.0
            sum_of_all = width * func(start, *args)
    else:
        sum_of_all = _gauss_sum(lambda x: func(x, *args), (a, b), (start, end), info)
        seen_sum = plain_value(sum_of_all, asked)
        size = max(abs(value), abs(seen_sum))
        if not abs(seen_sum - value) <= max(1e-9 * size, min(error, 1e-7 * size), 1e-14):
            raise UnsupportedError(
                "scipy.integrate.quad is not differentiated where the integrand is singular: its"
                f" sums over the parts of the range give {seen_sum:.10g}, and SciPy extrapolates"
                f" them to {value:.10g}",
                instead="a substitution that removes the singularity, or points= where it lies",
            )
        sum_of_all = value + (sum_of_all - seen_sum)
    if full_output:
        return (sum_of_all, error, info, *rest)
    for message in rest[:1]:
        warnings.warn(message, _integration_warning(), stacklevel=2)
    return sum_of_all, error


def _integration_warning() -> type[Warning]:
    from scipy.integrate import IntegrationWarning

    kind: type[Warning] = IntegrationWarning
    return kind


def _gauss_sum(
    func: Callable[[Value], Value],
    limits: tuple[Value, Value],
    plain: tuple[float, float],
    info: dict[str, Any],
) -> Value:
    """Integrate over the intervals that SciPy has found, at nodes that move with the limits."""
    (a, b), (start, end) = limits, plain
    sign = 1.0
    if end < start:
        (a, b), (start, end), sign = (b, a), (end, start), -1.0
    count = info["last"]
    nodes, weights = np.polynomial.legendre.leggauss(21)
    total: Value = 0.0
    for low, high in zip(info["alist"][:count], info["blist"][:count], strict=True):
        places, widths = (low + high) / 2 + (high - low) / 2 * nodes, (high - low) / 2 * weights
        for place, width in zip(places.tolist(), widths.tolist(), strict=True):
            if np.isfinite(start) and np.isfinite(end):
                share = (place - start) / (end - start)
                scale = (b - a) / (end - start) if is_traced((a, b)) else 1.0
                x = a + (b - a) * share if is_traced((a, b)) else place
                total = total + width * (func(x) * scale)
                continue
            # SciPy's substitution: an infinite range is that from 0 to 1 of 1 / (1 + distance).
            away, density = (1 - place) / place, width / place**2
            if np.isfinite(start):
                total = total + density * func(a + away)
            elif np.isfinite(end):
                total = total + density * func(b - away)
            else:
                total = total + density * (func(away) + func(-away))
    return sign * total


_SUMS = "scipy.integrate.simpson or fixed_quad; quad for functions of one variable"
_STEPS = (
    "scipy.integrate.solve_ivp without events, dense_output and complex values, or steps of a"
    " Runge-Kutta method written in NumPy"
)
_STIFF = ("BDF", "LSODA", "Radau")


@always
def solve_ivp(
    fun: Callable[..., Any],
    t_span: Any,
    y0: Any,
    method: Any = "RK45",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    *others: Any,
    **settings: Any,
) -> Any:
    given = (fun, t_span, y0, method, t_eval, dense_output, events, *others)
    if not is_traced((given, settings)):
        try:
            return original_of("scipy.integrate", "solve_ivp")(*given, **settings)
        except (TracedConversionError, UnsupportedError):
            # The function has returned a traced value.
            pass
    method = getattr(method, "__name__", method)
    if method not in ("RK23", "RK45", "DOP853", *_STIFF) or events is not None or dense_output:
        what = "events=" if events is not None else "dense_output=True"
        what = what if events is not None or dense_output else f"method={method!r}"
        raise UnsupportedError(
            f"scipy.integrate.solve_ivp with {what} is not differentiated", instead=_STEPS
        )
    if is_traced(t_span):
        raise UnsupportedError(
            "scipy.integrate.solve_ivp is not differentiated by its range of times",
            instead="time as a fraction of the range, which is a factor of what fun returns then",
        )
    if method in _STIFF:
        return _stiff_ivp(fun, t_span, y0, method, given[3:], settings)
    return _followed_solve_ivp(*given, **settings)


def _stiff_ivp(
    fun: Callable[..., Any],
    t_span: Any,
    y0: Any,
    method: str,
    others: Any,
    settings: dict[str, Any],
) -> Any:
    name = "scipy.integrate.solve_ivp"
    plainly = GivenPlainly(name)
    given = plainly((fun, t_span, y0, *others))
    found = original_of("scipy.integrate", "solve_ivp")(*given, **plainly(settings))
    if not found.t.size or found.y.dtype.kind == "c":
        raise UnsupportedError(
            f"{name} of complex values, or with an empty t_eval, by a stiff method is not"
            " differentiated",
            instead=_STEPS,
        )
    arguments = settings.get("args") or (others[4:5] or [None])[0] or ()
    tolerances = {"rtol": settings.get("rtol", 1e-3), "atol": settings.get("atol", 1e-6)}
    problem = InitialValueProblem(lambda t, y: fun(t, y, *arguments), y0, tolerances, name)
    kept = {key: each for key, each in settings.items() if key in ("first_step", "max_step")}
    start = float(t_span[0])
    times = found.t if found.t[0] == start else np.concatenate([[start], found.t])
    rows = found.y.T if found.t[0] == start else np.concatenate([given[2:3], found.y.T])
    is_stiff = method != "LSODA" or found.njev > 0
    solution = problem.at(times, rows, kept, is_stiff=is_stiff)[len(times) - len(found.t) :]
    found.y = with_value(found.y, solution.T)
    return found


@always
def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    args: Any = (),
    *others: Any,
    **settings: Any,
) -> Any:
    name = "scipy.integrate.odeint"
    plainly = GivenPlainly(name)
    original = original_of("scipy.integrate", "odeint")
    given = inspect.signature(original).bind(func, y0, t, args, *others, **settings).arguments
    plain = {name: plainly(each) for name, each in given.items()}
    values, info = original(**{**plain, "full_output": True})
    found = (values, info) if given.get("full_output") else values
    if not plainly.seen:
        return found
    if is_traced(t):
        raise UnsupportedError(
            f"{name} is not differentiated by its times",
            instead="time as a fraction of the range, which is a factor of what func returns then",
        )
    arguments = args if isinstance(args, tuple) else (args,)

    def slope(t: Value, y: Value) -> Any:
        return func(*((t, y) if given.get("tfirst") else (y, t)), *arguments)

    tolerances = {key: given.get(key) for key in ("rtol", "atol")}
    tolerances = {key: 1.49012e-8 if e is None else e for key, e in tolerances.items()}
    start = np.reshape(as_array(y0), (-1,))
    problem = InitialValueProblem(slope, start, tolerances, name)
    is_stiff = bool(np.any(info["nje"]))
    solution = problem.at(np.asarray(t, float), values, {}, is_stiff=is_stiff)
    result = with_value(values, solution)
    return (result, info) if given.get("full_output") else result


_followed_solve_ivp = followed("scipy.integrate", "solve_ivp", _STEPS)["solve_ivp"]

FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.integrate": {
        **{
            function.__name__: function
            for function in (cumulative_trapezoid, odeint, quad, simpson, solve_ivp, trapezoid)
        },
        **followed(
            "scipy.integrate", "cumulative_simpson fixed_quad romb", "scipy.integrate.simpson"
        ),
        **followed_with_callbacks("scipy.integrate", "dblquad nquad tplquad", _SUMS),
    }
}
"""By module and name."""
