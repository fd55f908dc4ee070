"""How NumPy's ufuncs and functions reach the primitives and composites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.array import NO_STATIC, Array, value_type
from steepest.array.functions import FUNCTIONS, INSTEAD, PLAIN_FUNCTIONS
from steepest.array.plain import plain_arguments
from steepest.errors import UnsupportedError
from steepest.ops import primitive_of_ufunc
from steepest.ops.spec import Value, bind

__all__ = ["apply_function", "apply_ufunc"]

_REDUCTIONS: dict[np.ufunc, Callable[..., Value]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
_DEFAULTS = {"where": True, "casting": "same_kind", "order": "K", "subok": True, "dtype": None}


def apply_ufunc(
    ufunc: np.ufunc, method: str, inputs: tuple[Value, ...], settings: dict[str, Any]
) -> Value:
    """Apply a ufunc, or one of its methods, to arguments of which at least one is an Array."""
    if any(each is not None for each in settings.pop("out", ())):
        raise UnsupportedError(
            f"writing a traced value into an array that exists already"
            f" (np.{ufunc.__name__} with out=, or an in-place operator like +=)",
            instead="write the operation out, as in `total = total + x`, so that the result is a"
            " new array",
        )
    if method == "__call__":
        return _call_ufunc(ufunc, inputs, settings)
    if method == "reduce":
        return _reduce_ufunc(ufunc, *inputs, **settings)
    if method == "accumulate" and ufunc is np.add:
        (x, *rest) = inputs
        axis = rest[0] if rest else settings.pop("axis", 0)
        return np.cumsum(x, axis=axis, **settings)
    if method == "outer":
        x, y = (np.copy(each) if isinstance(each, Array) else np.asarray(each) for each in inputs)
        return _call_ufunc(ufunc, (np.reshape(x, x.shape + (1,) * y.ndim), y), settings)
    raise UnsupportedError(
        f"np.{ufunc.__name__}.{method} is not supported on a traced value",
        instead=f"np.{ufunc.__name__} itself, with axes added by np.expand_dims or indexing",
    )


def _call_ufunc(ufunc: np.ufunc, inputs: tuple[Value, ...], settings: dict[str, Any]) -> Value:
    if "axes" in settings and ufunc in FUNCTIONS:
        return FUNCTIONS[ufunc](*inputs, **settings)
    primitive = primitive_of_ufunc(ufunc)
    if primitive is None:
        composite = FUNCTIONS.get(ufunc)
        if composite is not None:
            return composite(*inputs, **settings)
        raise UnsupportedError(
            f"the ufunc {ufunc.__name__} is not differentiated",
            instead=INSTEAD.get(
                ufunc.__name__,
                "a formula of functions that are, or sd.custom_gradient around it",
            ),
        )
    inputs = tuple(
        each if isinstance(each, (Array, np.generic, int, float, complex)) else np.asarray(each)
        for each in inputs
    )
    if settings:
        dtype = settings.get("dtype")
        refused = [
            key
            for key, value in settings.items()
            if key != "dtype" and (key not in _DEFAULTS or value is not _DEFAULTS[key])
        ]
        if refused:
            raise UnsupportedError(
                f"np.{ufunc.__name__} with {refused[0]}= is not supported on a traced value",
                instead="np.where(mask, result, other) for where=; astype for casting",
            )
        if dtype is not None:
            inputs = _cast_inputs(ufunc, inputs, np.dtype(dtype))
    # A ufunc gives NumPy scalars also for Python numbers, unlike the operator.
    if all(value_type(each).weak for each in inputs):
        first = inputs[0] if isinstance(inputs[0], Array) else np.asarray(inputs[0])
        inputs = (first.astype(value_type(first).dtype), *inputs[1:])
    return bind(primitive, inputs, NO_STATIC)


def _cast_inputs(
    ufunc: np.ufunc, inputs: tuple[Value, ...], dtype: np.dtype[Any]
) -> tuple[Value, ...]:
    """Cast the inputs to those of the loop that gives a dtype."""
    types = [value_type(each) for each in inputs]
    loop = ufunc.resolve_dtypes(
        (*(each.promotion_type for each in types), *[None] * ufunc.nout),
        signature=(*[None] * ufunc.nin, *[dtype] * ufunc.nout),
    )
    return tuple(
        (each if isinstance(each, Array) else np.asarray(each)).astype(target)
        for each, target in zip(inputs, loop[: ufunc.nin], strict=True)
    )


def _reduce_ufunc(ufunc: np.ufunc, x: Value, axis: Any = 0, **settings: Any) -> Value:
    reduction = _REDUCTIONS.get(ufunc) or FUNCTIONS.get(ufunc.reduce)
    if reduction is None:
        raise UnsupportedError(
            f"np.{ufunc.__name__}.reduce is not supported on a traced value",
            instead="a loop over the axis, or a combination of np.sum, np.prod and np.max",
        )
    return reduction(x, axis=axis, **{k: v for k, v in settings.items() if v is not None})


def apply_function(
    function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any]
) -> Value:
    """Apply one of NumPy's functions to arguments of which at least one is an Array."""
    implementation = FUNCTIONS.get(function)
    if implementation is not None:
        return implementation(*args, **settings)
    if function in PLAIN_FUNCTIONS:
        # Results that have no derivative: integers, booleans, shapes.
        args, settings = plain_arguments((args, settings), function.__name__)
        return function(*args, **settings)
    module = getattr(function, "__module__", None) or "numpy"
    name = f"{module.replace('numpy', 'np', 1)}.{function.__name__}"
    raise UnsupportedError(
        f"{name} is not differentiated",
        instead=INSTEAD.get(
            function.__name__, "a formula of functions that are, or sd.custom_gradient around it"
        ),
    )
