"""How the entries of SciPy's ufuncs are made.

The formulas of this package are those of the NIST Digital Library of Mathematical Functions
(https://dlmf.nist.gov) unless another source is named, arranged so that they keep their accuracy
in the tails: a difference of nearly equal numbers is avoided where the result is small.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NoReturn

import numpy as np

from steepest.errors import UnsupportedError
from steepest.graph import ArrayType
from steepest.ops.spec import (
    Primitive,
    Sample,
    Value,
    broadcast_type,
    elementwise,
    elementwise_samples,
    scale,
)

__all__ = [
    "INTEGER",
    "POSITIVE",
    "REAL",
    "UNIT",
    "Derivative",
    "entry",
    "is_complex",
    "of_real",
    "several",
]

REAL = (-2.0, 2.0)
POSITIVE = (0.3, 3.0)
UNIT = (0.1, 0.9)
INTEGER = (1.1, 3.9)
"""For parameters, which samples round up."""

Derivative = Callable[..., Any]


def is_complex(value: Value) -> bool:
    """Whether a value, traced or not, is complex."""
    return isinstance(value, complex) or getattr(value, "dtype", np.dtype(float)).kind == "c"


def of_real(name: str, derivative: Derivative) -> Derivative:
    """Make a derivative that refuses complex numbers."""

    @functools.wraps(derivative)
    def checked(*read: Value) -> Value:
        if any(is_complex(each) for each in read):
            raise UnsupportedError(
                f"scipy.special.{name} is not differentiated by complex numbers",
                instead="its real and imaginary parts, or sd.custom_gradient around it",
            )
        return derivative(*read)

    return checked


def _refuse(name: str, argument: str) -> Callable[[Value], NoReturn]:
    """Make the rule of an argument in which a function is not differentiated."""

    def rule(g: Value) -> NoReturn:
        raise UnsupportedError(
            f"scipy.special.{name} is not differentiated in its argument {argument}",
            instead=f"sd.stop_gradient({argument}) if {argument} is not to be fitted; otherwise"
            " sd.custom_gradient around the function",
        )

    return rule


def _in_precision(derivative: Derivative) -> Derivative:
    """Evaluate a derivative in the precision that SciPy has: single for half.

    Not every ufunc of SciPy's takes its single precision for Python numbers beside float32.
    """

    def widen(value: Value) -> Value:
        if isinstance(value, (tuple, list)):
            return [widen(each) for each in value]
        return value.astype(np.float32) if getattr(value, "dtype", None) == np.float16 else value

    @functools.wraps(derivative)
    def in_precision(*read: Value) -> Value:
        values = [widen(each) for each in read]
        result = derivative(*values)
        dtypes = {each for value in values for each in _floating_dtypes(value)}
        if not dtypes or dtypes & set(_SINGLE):
            return result
        if isinstance(result, tuple):
            return tuple(_narrow(each) for each in result)
        return _narrow(result)

    return in_precision


_SINGLE: dict[Any, Any] = {np.dtype(np.float64): np.float32, np.dtype(np.complex128): np.complex64}


def _floating_dtypes(value: Value) -> list[Any]:
    if isinstance(value, list):
        return [dtype for each in value for dtype in _floating_dtypes(each)]
    dtype = getattr(value, "dtype", None)
    return [dtype] if dtype is not None and dtype.kind in "fc" else []


def _narrow(value: Value) -> Value:
    dtype = getattr(value, "dtype", None)
    return value.astype(_SINGLE[dtype]) if dtype in _SINGLE else value


def entry(
    ufunc: np.ufunc,
    arguments: str,
    domain: Sequence[tuple[float, float]],
    *,
    steps: str = "",
    name: str | None = None,
    parameters: Sequence[float] | None = None,
    **derivatives: Derivative | float,
) -> Primitive:
    """Make the entry of a ufunc with one result.

    Parameters
    ----------
    arguments : str
        Their names, separated by spaces.
    domain : sequence of (low, high)
        For each argument the interval that samples are drawn from.
    steps : str
        The names of arguments in which the function is a step function: their derivative is 0.
    name : str, optional
        Where NumPy has a function of the same name.
    parameters : sequence of float, optional
        Values in the samples of the arguments that are refused; rounded up draws by default.
    **derivatives : callable or number
        For each argument its local derivative, as in `elementwise`. An argument that is missing
        here is refused.
    """
    names = arguments.split()
    rules: list[Any] = []
    refused: list[int] = []
    for position, argument in enumerate(names):
        if argument in steps.split():
            rules.append(None)
            refused.append(position)
        elif argument in derivatives:
            derivative = derivatives[argument]
            rules.append(_in_precision(derivative) if callable(derivative) else derivative)
        else:
            rules.append(_refuse(ufunc.__name__, argument))
            refused.append(position)
    made = elementwise(ufunc, *rules, domain=domain, arguments=arguments, name=name)
    made.samples = partial(_samples, domain, refused, parameters)
    return made


def _samples(
    domain: Sequence[tuple[float, float]],
    refused: Sequence[int],
    parameters: Sequence[float] | None,
    rng: np.random.Generator,
) -> Iterator[Sample]:
    shapes = [()] * max(0, len(domain) - 3)
    for sample in elementwise_samples(rng, domain[len(shapes) :]):
        heads = [rng.uniform(low, high) for low, high in domain[: len(shapes)]]
        args: list[Value] = [*heads, *sample.args]
        for turn, position in enumerate(refused):
            if parameters is None:
                args[position] = np.ceil(args[position]).astype(int)
            else:
                args[position] = parameters[turn]
        yield Sample(tuple(args))


def several(
    ufunc: np.ufunc,
    arguments: str,
    domain: Sequence[tuple[float, float]],
    parameters: Sequence[float] | None = None,
    **derivatives: Derivative,
) -> Primitive:
    """Make the entry of a ufunc with several results.

    Parameters
    ----------
    **derivatives : callable
        For each argument a function that returns the derivatives of all results by it; ``ans`` is
        the tuple of the results. An argument that is missing here is refused.
    """
    names = arguments.split()
    refused = [i for i, each in enumerate(names) if each not in derivatives]
    return Primitive(
        ufunc.__name__,
        ufunc,
        infer=partial(_several_types, ufunc),
        arguments=arguments,
        vjps=[
            _several_rule(_in_precision(derivatives[each]))
            if each in derivatives
            else _refuse(ufunc.__name__, each)
            for each in names
        ],
        broadcasts=True,
        outputs=ufunc.nout,
        samples=partial(_samples, domain, refused, parameters),
    )


def _several_types(ufunc: np.ufunc, *types: ArrayType) -> tuple[ArrayType, ...]:
    shape = broadcast_type(*types)
    given: tuple[Any, ...] = tuple(
        each.dtype if len(types) == 1 or each.dtype.kind == "b" else each.promotion_type
        for each in types
    )
    resolved = ufunc.resolve_dtypes((*given, *[None] * ufunc.nout))
    return tuple(ArrayType(shape, dtype) for dtype in resolved[ufunc.nin :])


def _several_rule(derivative: Derivative) -> Callable[..., Value]:
    def rule(g: Sequence[Value], *read: Value) -> Value:
        parts = [scale(each, local) for each, local in zip(g, derivative(*read), strict=True)]
        return functools.reduce(np.add, parts)

    parameters = inspect.signature(derivative).parameters.values()
    cotangent = inspect.Parameter("g", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    rule.__signature__ = inspect.Signature([cotangent, *parameters])  # type: ignore[attr-defined]
    return rule
