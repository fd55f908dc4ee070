"""How NumPy's ufuncs and functions reach the primitives and composites."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from steepest.array.array import value_type
from steepest.array.functions import FUNCTIONS, INSTEAD, PLAIN_FUNCTIONS
from steepest.array.plain import plain_arguments
from steepest.array.ufuncs import accumulate, apply_primitive, outer, reduce_one_by_one, reduceat
from steepest.errors import UnsupportedError
from steepest.ops import primitive_of_ufunc, refused_ufuncs
from steepest.ops.spec import Value

__all__ = ["apply_function", "apply_ufunc"]

_REDUCTIONS: dict[np.ufunc, Callable[..., Value]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
_ACCUMULATIONS: dict[np.ufunc, Callable[..., Value]] = {
    np.add: np.cumsum,
    np.multiply: np.cumprod,
}


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
    if method == "outer":
        return outer(ufunc, inputs, settings)
    if method in _REDUCING and (ufunc.nin, ufunc.nout) == (2, 1):
        _check_known(ufunc)
        return _REDUCING[method](ufunc, *inputs, **settings)
    raise UnsupportedError(
        f"np.{ufunc.__name__}.{method} is not supported on a traced value",
        instead=f"np.{ufunc.__name__} itself, with axes added by np.expand_dims or indexing",
    )


def _call_ufunc(ufunc: np.ufunc, inputs: tuple[Value, ...], settings: dict[str, Any]) -> Value:
    if "axes" in settings and ufunc in FUNCTIONS:
        return FUNCTIONS[ufunc](*inputs, **settings)
    primitive = primitive_of_ufunc(ufunc)
    if primitive is not None:
        return apply_primitive(ufunc, primitive, inputs, settings)
    _check_known(ufunc)
    return FUNCTIONS[ufunc](*inputs, **settings)


def _check_known(ufunc: np.ufunc) -> None:
    if ufunc in FUNCTIONS or primitive_of_ufunc(ufunc) is not None:
        return
    name = ufunc.__name__
    if name.endswith(" (vectorized)"):
        message = f"{name.removesuffix(' (vectorized)')}, by np.frompyfunc, is not differentiated"
        instead: str | None = (
            "the function itself, if it is written with NumPy; otherwise np.stack([function(each)"
            " for each in x])"
        )
    else:
        message = f"the ufunc {name} is not differentiated"
        instead = refused_ufuncs().get(name) or INSTEAD.get(name)
    raise UnsupportedError(
        message,
        instead=instead or "a formula of functions that are, or sd.custom_gradient around it",
    )


def _reduce_ufunc(ufunc: np.ufunc, x: Value, axis: Any = 0, **settings: Any) -> Value:
    reduction = _REDUCTIONS.get(ufunc) or FUNCTIONS.get(ufunc.reduce)
    if settings.get("where", True) is True:
        settings.pop("where", None)
    if reduction is None:
        return reduce_one_by_one(ufunc, x, axis, **settings)
    if settings.get("initial", 0) is None and 0 not in value_type(x).shape:
        del settings["initial"]
    return reduction(x, axis=axis, **{k: v for k, v in settings.items() if v is not None})


def _accumulate_ufunc(ufunc: np.ufunc, x: Value, axis: Any = 0, dtype: Any = None) -> Value:
    running = _ACCUMULATIONS.get(ufunc)
    if running is not None and value_type(x).ndim:
        return running(x, axis=axis, dtype=dtype)
    return accumulate(ufunc, x, axis, dtype)


def _reduceat_ufunc(ufunc: np.ufunc, x: Value, indices: Any, *rest: Any, **settings: Any) -> Value:
    return reduceat(ufunc, x, indices, *rest, **settings, reduction=partial(_reduce_ufunc, ufunc))


_REDUCING: dict[str, Callable[..., Value]] = {
    "reduce": _reduce_ufunc,
    "accumulate": _accumulate_ufunc,
    "reduceat": _reduceat_ufunc,
}
"""The methods of ufuncs of two arguments that run along axes."""


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
