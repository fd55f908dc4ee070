"""How NumPy's ufuncs and functions reach the primitives and composites."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from steepest.array.adopting import adopt_in_place
from steepest.array.arguments import NO_VALUE, as_array, check_taken_into, memory_order
from steepest.array.array import Array, value_type
from steepest.array.buffers import ndarray_of
from steepest.array.creating import joined
from steepest.array.functions import FOLLOWED, FUNCTIONS, INSTEAD, PLAIN_FUNCTIONS
from steepest.array.numpy_errors import NUMPY_ERRORS, as_numpy_raises
from steepest.array.plain import apply_plainly, check_meanings, is_traced, plain_arguments
from steepest.array.products import einsum_into
from steepest.array.ufuncs import (
    accumulate,
    apply_primitive,
    cast_to_loop,
    outer,
    reduce_one_by_one,
    reduceat,
)
from steepest.array.writing import add_at, into
from steepest.errors import UnsupportedError
from steepest.ops import primitive_of_ufunc, refused_ufuncs
from steepest.ops.spec import Traced, Value, is_ndarray

__all__ = ["apply_function", "apply_ufunc"]

_REDUCTIONS: dict[np.ufunc, Callable[..., Value]] = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
_TRUTHS = (np.logical_and, np.logical_or, np.logical_xor)
_EXTREMES = (np.max, np.min)
_OF_NDARRAYS = np.ndarray.__array_ufunc__
_ACCUMULATIONS: dict[np.ufunc, Callable[..., Value]] = {
    np.add: np.cumsum,
    np.multiply: np.cumprod,
}


def apply_ufunc(
    ufunc: np.ufunc, method: str, inputs: tuple[Value, ...], settings: dict[str, Any]
) -> Value:
    """Apply a ufunc, or one of its methods, to arguments of which at least one is an Array."""
    if any(map(_decides, (*inputs, *settings.get("out", ())))):
        return NotImplemented
    if method == "at":
        try:
            return add_at(ufunc, *inputs)
        except NUMPY_ERRORS as error:
            raise as_numpy_raises(error, ufunc.at, inputs, settings) from error
    if method == "reduceat":
        # NumPy passes what is given as indices= twice.
        settings.pop("indices", None)
    inputs = tuple(map(joined, inputs))
    out = settings.pop("out", None)
    if out is not None and any(each is not None for each in out):
        if not all(each is None or isinstance(each, (np.ndarray, Array)) for each in out):
            raise TypeError("return arrays must be of ArrayType")  # as NumPy says
        return _into(ufunc, method, inputs, settings, out)
    if not is_traced((inputs, settings)):
        return apply_plainly(getattr(ufunc, method), inputs, settings)
    check_meanings(inputs)
    if method == "__call__":
        return _call_ufunc(ufunc, inputs, settings)
    if method == "outer":
        return outer(ufunc, inputs, settings)
    if method in _REDUCING and (ufunc.nin, ufunc.nout) == (2, 1):
        _check_known(ufunc)
        if ufunc in _TRUTHS and value_type(inputs[0]).dtype != np.bool_:
            return _of_truths(ufunc, method, *inputs, **settings)
        return _REDUCING[method](ufunc, *inputs, **settings)
    raise UnsupportedError(
        f"np.{ufunc.__name__}.{method} is not supported on a traced value",
        instead=f"np.{ufunc.__name__} itself, with axes added by np.expand_dims or indexing",
    )


def _decides(value: Any) -> bool:
    """Whether a value is of a class of others that says itself what a ufunc does to it."""
    decides = getattr(type(value), "__array_ufunc__", None)
    return decides is not None and decides is not _OF_NDARRAYS and not isinstance(value, Traced)


def _into(
    ufunc: np.ufunc,
    method: str,
    inputs: tuple[Value, ...],
    settings: dict[str, Any],
    out: tuple[Value, ...],
) -> Value:
    """Apply a ufunc and write its results into the arrays given as out=."""
    where = settings.pop("where", True) if method == "__call__" else True
    casting = settings.get("casting", "same_kind")
    if len(inputs) == 2 and inputs[0] is out[0] and is_ndarray(out[0]) and where is True:
        array = adopt_in_place(out[0], inputs[1])
        if array is not None:
            inputs, out = (array, inputs[1]), (array,)
    if method in _REDUCING:
        return _reduced_into(
            getattr(ufunc, method), f"{ufunc.__name__}.{method}", inputs, settings, *out
        )
    results = getattr(ufunc, method)(*inputs, **settings)
    several = results if isinstance(results, tuple) else (results,)
    if ufunc.signature is not None:
        _check_core(ufunc, several, out)
    written = tuple(
        result if each is None else into(each, result, casting, where)
        for each, result in zip(out, several, strict=True)
    )
    return written if isinstance(results, tuple) else written[0]


def _check_core(ufunc: np.ufunc, results: tuple[Value, ...], out: tuple[Value, ...]) -> None:
    """Check that the vectors and matrices of a result are not broadcast to those of out=."""
    for result, each in zip(results, out, strict=True):
        shape = value_type(result).shape
        given = shape if each is None else value_type(each).shape
        if given[max(len(given) - len(shape), 0) :] != shape:
            raise ValueError(
                f"output operand of np.{ufunc.__name__} has the shape {given}, and the result"
                f" {shape}"
            )


def _call_ufunc(ufunc: np.ufunc, inputs: tuple[Value, ...], settings: dict[str, Any]) -> Value:
    order = memory_order(settings.pop("order", None))
    if order in ("C", "F"):
        result = _call_ufunc(ufunc, inputs, settings)
        if isinstance(result, tuple):
            return tuple(_lying(each, order) for each in result)
        return _lying(result, order)
    primitive = primitive_of_ufunc(ufunc)
    if primitive is not None and "axes" not in settings:
        return apply_primitive(ufunc, primitive, inputs, settings)
    _check_known(ufunc)
    axes = {name: settings.pop(name) for name in _OF_AXES if name in settings}
    if settings:
        inputs = cast_to_loop(ufunc, inputs, settings)
    return FUNCTIONS[ufunc](*inputs, **axes)


def _lying(result: Value, order: str) -> Value:
    """Have the entries of a result lie in an order."""
    lying: Value = np.copy
    return lying(result, order) if _is_ndarray(result) else result


_OF_AXES = ("axes", "axis", "keepdims")
"""What generalised ufuncs are told besides."""


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


def _of_truths(ufunc: np.ufunc, method: str, x: Value, *rest: Any, **settings: Any) -> Value:
    """Reduce the truth of each entry."""
    if settings.get("dtype") is not None:
        # For NumPy to say which it has no loop for.
        ufunc.reduce(np.ones(1), dtype=settings["dtype"])
    truths = (x if isinstance(x, Array) else np.asarray(x)).astype(bool)
    return getattr(ufunc, method)(truths, *rest, **settings)


def _reduce_ufunc(ufunc: np.ufunc, x: Value, axis: Any = 0, **settings: Any) -> Value:
    reduction = _REDUCTIONS.get(ufunc) or FUNCTIONS.get(ufunc.reduce)
    if settings.get("where", True) is True:
        settings.pop("where", None)
    if ufunc in _TRUTHS and settings.get("initial") is not None:
        settings["initial"] = bool(settings["initial"])
        reduction = None
    if reduction is None:
        return reduce_one_by_one(ufunc, x, axis, **settings)
    if reduction in _EXTREMES and settings.get("dtype") is not None:
        x = x.astype(settings.pop("dtype"), copy=False)
    if settings.get("initial", 0) is None and 0 not in value_type(x).shape:
        del settings["initial"]
    return reduction(x, axis=axis, **{k: v for k, v in settings.items() if v is not None})


def _accumulate_ufunc(ufunc: np.ufunc, x: Value, axis: Any = 0, dtype: Any = None) -> Value:
    if axis is None and value_type(x).ndim > 1:
        raise ValueError("accumulate does not allow multiple axes")
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

_MULTIPLYING = frozenset(
    [
        "prod",
        "cumprod",
        "nanprod",
        "nancumprod",
        "cumulative_prod",
        "multiply.reduce",
        "multiply.accumulate",
        "multiply.reduceat",
    ]
)
_ACCUMULATING = _MULTIPLYING | frozenset(
    [
        "sum",
        "mean",
        "cumsum",
        "nansum",
        "nanmean",
        "nancumsum",
        "cumulative_sum",
        "add.reduce",
        "add.accumulate",
        "add.reduceat",
    ]
)
"""Reductions that are computed in the dtype of what is given as out=, if that is the wider one."""
_BROADCASTING = frozenset(
    [
        *(np.clip, np.fix, np.isneginf, np.isposinf, np.outer),
        *(np.nanmedian, np.nanpercentile, np.nanquantile, np.percentile, np.quantile),
    ]
)
"""Functions whose results broadcast to what is given as out=, as those of ufuncs do."""
_CASTING = frozenset(
    getattr(np, name)
    for name in (
        "choose",
        "compress",
        "cumulative_prod",
        "cumulative_sum",
        "median",
        "nanmedian",
        "take",
        "trace",
        "var",
    )
)
"""Functions that cast their results to any dtype of what is given as out=."""
_TAKING = (np.compress, np.take)
_COMPUTING_IN_OUT = frozenset(
    getattr(np, name)
    for name in (
        "around",
        "mean",
        "median",
        "nanmean",
        "nanstd",
        "nanvar",
        "percentile",
        "ptp",
        "quantile",
        "round",
        "std",
        "trace",
        "var",
    )
)
"""Functions of several steps, of which some are in the dtype of what is given as out=."""
_EXTREMA = frozenset((np.max, np.min, np.amax, np.amin, np.nanmax, np.nanmin))


@cache
def _place_of_out(implementation: Callable[..., Value]) -> int | None:
    """Find the position at which a function takes out=; None for by keyword alone."""
    try:
        parameters = inspect.signature(implementation).parameters
    except ValueError:
        return None
    for place, parameter in enumerate(parameters.values()):
        if parameter.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            continue
        if parameter.name == "out":
            return place
    return None


def _without_out(
    implementation: Callable[..., Value], args: tuple[Any, ...], settings: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], Value]:
    """Take out= out of the arguments of a function."""
    if "out" in settings:
        rest = {name: value for name, value in settings.items() if name != "out"}
        return args, rest, None if settings["out"] is NO_VALUE else settings["out"]
    place = _place_of_out(implementation)
    if place is None or place >= len(args) or args[place] is None:
        return args, settings, None
    if not isinstance(args[place], (np.ndarray, Array)):
        raise TypeError("return arrays must be of ArrayType")  # as NumPy says
    return (*args[:place], None, *args[place + 1 :]), settings, args[place]


def _function_into(
    function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any], out: Value
) -> Value:
    """Apply a function and write its result into the array given as out=."""
    if function == np.einsum:
        return einsum_into(out, *args, **settings)
    if function in _COMPUTING_IN_OUT:
        implementation = FUNCTIONS[function]
        place = _place_of_out(implementation)
        if place is not None and place < len(args):
            args = (*args[:place], out, *args[place + 1 :])
        else:
            settings = {**settings, "out": out}
        if not args:
            args = (settings.pop("a"),)
        return _as_of_scalar(
            function, args, implementation(as_array(args[0]), *args[1:], **settings)
        )
    if function.__name__ in _ACCUMULATING or function in _EXTREMA:
        result = _reduced_into(function, function.__name__, args, settings, out)
    else:
        where = settings.pop("where", True) if function == np.clip else True
        result = function(*args, **settings)
        if function not in _BROADCASTING and value_type(out).shape != value_type(result).shape:
            raise ValueError(
                f"output array of np.{function.__name__} has the shape {value_type(out).shape},"
                f" and the result {value_type(result).shape}"
            )
        if function in _TAKING:
            check_taken_into(value_type(out).dtype, value_type(result).dtype)
        memory = ndarray_of(out)
        is_c = memory is None or memory.flags.c_contiguous
        if function == np.dot and not (is_c and _kind(out) == _kind(result)):
            raise ValueError(
                "output array is not acceptable (must have the right datatype, number of"
                " dimensions, and be a C-Array)"
            )
        casting = "unsafe" if function in _CASTING else "same_kind"
        result = into(out, result, settings.get("casting", casting), where)
    return _as_of_scalar(function, args, result)


def _kind(value: Value) -> tuple[tuple[int, ...], np.dtype[Any]]:
    kind = value_type(value)
    return kind.shape, kind.dtype


def _reduced_into(
    function: Callable[..., Any],
    name: str,
    args: tuple[Any, ...],
    settings: dict[str, Any],
    out: Value,
) -> Value:
    """Reduce, and write the result into the array given as out=, whatever its dtype."""
    kind = value_type(args[0])
    if name in _ACCUMULATING:
        # In between, NumPy has the numbers in the dtype of both.
        dtype = np.result_type(kind.dtype, out.dtype)
        is_cut = out.dtype.kind not in "fc" or name in _MULTIPLYING
        if (
            is_cut
            and kind.size > np.getbufsize()
            and not np.can_cast(dtype, out.dtype, "same_kind")
        ):
            raise UnsupportedError(
                f"np.{name} of {kind.size} numbers of {kind.dtype} with out= of {out.dtype}, to"
                " which NumPy casts each time that its buffer is full",
                instead=f"np.{name}(x).astype({str(out.dtype)!r})",
            )
        place = 3 if name.endswith(".reduceat") else 2
        if len(args) > place:
            dtype = dtype if args[place] is None else args[place]
            args = (*args[:place], dtype, *args[place + 1 :])
        elif settings.get("dtype") is None:
            settings["dtype"] = dtype
    result = function(*args, **settings)
    if value_type(result).shape != value_type(out).shape:
        raise ValueError(
            f"output operand of np.{name} has the shape {value_type(out).shape}, and the result"
            f" {value_type(result).shape}"
        )
    return into(out, result, "unsafe")


def _as_of_scalar(function: Callable[..., Any], args: tuple[Any, ...], out: Value) -> Value:
    """Return what NumPy does: of a scalar, where its method of the name is called, a scalar."""
    name = function.__name__.removeprefix("a") if function in _EXTREMA else function.__name__
    if not out.shape and hasattr(np.generic, name) and args and not _is_ndarray(args[0]):
        return out[()]
    return out


def _is_ndarray(value: Value) -> bool:
    return value._is_ndarray() if isinstance(value, Array) else is_ndarray(value)


def apply_function(
    function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any]
) -> Value:
    """Apply one of NumPy's functions to arguments of which at least one is an Array."""
    implementation = FUNCTIONS.get(function)
    if "out" in settings or (
        len(args) > 2 and _place_of_out(implementation or function) is not None
    ):
        # No function takes out= in an earlier place than the third.
        args, settings, out = _without_out(implementation or function, args, settings)
        if out is not None:
            return _function_into(function, args, settings, out)
    traced = is_traced(args) or (bool(settings) and is_traced(settings))
    if traced:
        check_meanings((*args, *settings.values()))
    if implementation is not None and (traced or function in FOLLOWED):
        return implementation(*args, **settings)
    if not traced:
        return apply_plainly(function, args, settings)
    if function in PLAIN_FUNCTIONS:
        # Results that have no derivative: integers, booleans, shapes.
        args, settings = plain_arguments((args, settings), function.__name__)
        return function(*args, **settings)
    module = getattr(function, "__module__", None) or "numpy"
    if module.startswith("numpy.polynomial"):
        # Written in functions of the table.
        return inspect.unwrap(function)(*args, **settings)
    name = f"{module.replace('numpy', 'np', 1)}.{function.__name__}"
    raise UnsupportedError(
        f"{name} is not differentiated",
        instead=INSTEAD.get(
            function.__name__, "a formula of functions that are, or sd.custom_gradient around it"
        ),
    )
