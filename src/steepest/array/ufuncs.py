"""The keyword arguments and methods of ufuncs, for all ufuncs alike."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from steepest.array.arguments import NO_VALUE, memory_order
from steepest.array.array import NO_STATIC, Array, value_type
from steepest.array.plain import plain_arguments
from steepest.errors import UnsupportedError
from steepest.ops import primitive
from steepest.ops.spec import Primitive, Value, bind

__all__ = [
    "accumulate",
    "apply_primitive",
    "cast_to_loop",
    "outer",
    "reduce_one_by_one",
    "reduceat",
]


def apply_primitive(
    ufunc: np.ufunc, entry: Primitive, inputs: Sequence[Value], settings: dict[str, Any]
) -> Value:
    """Apply the primitive that stands for a ufunc, with the ufunc's keyword arguments.

    `cast_to_loop` says which, and what they raise.
    """
    inputs = tuple(_operand(each) for each in inputs)
    if settings:
        inputs = cast_to_loop(ufunc, inputs, settings)
    # A ufunc gives NumPy scalars also for Python numbers, unlike the operator.
    if all(value_type(each).weak for each in inputs):
        first = _operand_array(inputs[0])
        inputs = (first.astype(value_type(first).dtype), *inputs[1:])
    return bind(entry, inputs, NO_STATIC)


def cast_to_loop(
    ufunc: np.ufunc, inputs: Sequence[Value], settings: dict[str, Any]
) -> tuple[Value, ...]:
    """Cast the arguments of a ufunc to the dtypes that its keyword arguments say.

    Parameters
    ----------
    settings : dict
        ``dtype``, ``signature`` and ``casting`` choose and check the loop as they do in NumPy.
        ``order`` and ``subok`` are about memory and subclasses, and no matter here.

    Raises
    ------
    TypeError
        As in NumPy: no loop, or one that the casting rule forbids.
    UnsupportedError
        For ``where=``, which leaves entries that nobody has written.
    """
    inputs = tuple(_operand(each) for each in inputs)
    loop = _chosen_loop(ufunc, inputs, settings)
    if loop is None:
        return inputs
    return tuple(
        _operand_array(each).astype(dtype) for each, dtype in zip(inputs, loop, strict=True)
    )


def _operand(value: Value) -> Value:
    if isinstance(value, (Array, np.generic, int, float, complex)):
        return value
    return np.asarray(value)


def _operand_array(value: Value) -> Value:
    return value if isinstance(value, Array) else np.asarray(value)


def _chosen_loop(
    ufunc: np.ufunc, inputs: tuple[Value, ...], settings: dict[str, Any]
) -> Sequence[np.dtype[Any]] | None:
    """Find the dtypes that the inputs are cast to; None for those that NumPy finds by itself."""
    settings = dict(settings)
    memory_order(settings.pop("order", None))
    settings.pop("subok", None)
    where = settings.pop("where", True)
    dtype = settings.pop("dtype", None)
    signature = settings.pop("signature", None)
    signature = settings.pop("sig", signature)
    casting = settings.pop("casting", "same_kind")
    if settings:
        raise TypeError(
            f"{ufunc.__name__}() got an unexpected keyword argument {next(iter(settings))!r}"
        )
    if where is not True:
        raise UnsupportedError(
            f"np.{ufunc.__name__} of a traced value with where= and no out=, whose other entries"
            " nobody has written",
            instead="np.where(mask, result, other)",
        )
    if dtype is not None and signature is not None:
        raise TypeError("cannot specify both 'signature' and 'dtype'")
    if dtype is not None:
        wanted = (*[None] * ufunc.nin, *[np.dtype(dtype)] * ufunc.nout)
    elif isinstance(signature, str) and "->" in signature:
        wanted = tuple(np.dtype(each) for each in signature.replace("->", ""))
    elif isinstance(signature, tuple) and len(signature) == ufunc.nargs:
        wanted = tuple(None if each is None else np.dtype(each) for each in signature)
    elif signature is not None:
        # Of one dtype NumPy 2 wants to know which it is: it raises its error.
        ones = [np.ones((), value_type(each).dtype) for each in inputs]
        ufunc(*ones, signature=signature, casting="unsafe")
        (only,) = signature if isinstance(signature, tuple) else (signature,)
        wanted = (*[None] * ufunc.nin, *[np.dtype(only)] * ufunc.nout)
    elif casting != "same_kind":
        wanted = (None,) * ufunc.nargs
    else:
        return None
    types = tuple(value_type(each).promotion_type for each in inputs)
    given: Any = (*types, *[None] * ufunc.nout)
    loop = ufunc.resolve_dtypes(given, signature=wanted, casting=casting)
    return loop[: ufunc.nin]


def outer(ufunc: np.ufunc, inputs: Sequence[Value], settings: dict[str, Any]) -> Value:
    """Apply a ufunc to all pairs of entries."""
    # A copy, of which no reshaped view keeps the argument from being written into.
    x, y = (np.copy(each) for each in inputs)
    ndim = value_type(y).ndim
    return ufunc(np.reshape(x, value_type(x).shape + (1,) * ndim), y, **settings)


def _entries(x: Value, axis: int) -> list[Value]:
    """Cut an array into its entries along an axis."""
    before = (slice(None),) * axis
    return [x[(*before, position)] for position in range(value_type(x).shape[axis])]


def _one_axis(ufunc: np.ufunc, method: str, x: Value, axis: Any) -> int:
    if axis is None or isinstance(axis, tuple):
        (axis,) = axis if isinstance(axis, tuple) and len(axis) == 1 else (0,)
    kind = value_type(x)
    if not kind.ndim:
        raise TypeError(f"cannot {method} on a scalar")
    return int(np.lib.array_utils.normalize_axis_index(axis, kind.ndim))


def _cast(x: Value, dtype: Any) -> Value:
    x = x if isinstance(x, Array) else np.asarray(x)
    return x if dtype is None else x.astype(dtype, copy=False)


def reduce_one_by_one(
    ufunc: np.ufunc,
    x: Value,
    axis: Any = 0,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = NO_VALUE,
    where: Any = True,
) -> Value:
    """Reduce along axes with a ufunc that has no reduction of its own: entry after entry."""
    if dtype is not None:
        # For NumPy to say which it has no loop for.
        ufunc.reduce(np.ones(1, value_type(x).dtype), dtype=dtype)
    x = _in_loop(ufunc, _cast(x, dtype))
    kind = value_type(x)
    _check_loop(ufunc, kind.dtype)
    if axis is None or isinstance(axis, tuple):
        axes = np.lib.array_utils.normalize_axis_tuple(
            range(kind.ndim) if axis is None else axis, kind.ndim
        )
        if len(axes) != 1 and kind.ndim:
            # NumPy says whether the order of the axes matters.
            ufunc.reduce(np.ones((1,) * kind.ndim, kind.dtype), axis=axis)
    else:
        axes = (np.lib.array_utils.normalize_axis_index(axis, max(kind.ndim, 1)),)
    if not kind.ndim:
        axes = ()
    rest = tuple(each for each in range(kind.ndim) if each not in axes)
    lengths = tuple(kind.shape[each] for each in rest)
    count = math.prod(kind.shape[each] for each in axes)
    rows = np.reshape(np.transpose(x, (*axes, *rest)), (count, *lengths))
    masks: Any = None
    if where is not True:
        mask = np.transpose(np.broadcast_to(where, kind.shape), (*axes, *rest))
        masks = np.reshape(mask, (count, *lengths))
    total = _starting_value(ufunc, kind.dtype, initial, masks is not None, value_type(rows).shape)
    for position, entry in enumerate(_entries(rows, 0)):
        if total is NO_VALUE:
            total = entry
            continue
        step = ufunc(total, entry)
        total = step if masks is None else np.where(masks[position], step, total)
    if total is NO_VALUE or not isinstance(total, Array):
        total = np.full(lengths, total, kind.dtype)[()]
    elif not lengths:
        total = total[()]
    if keepdims:
        shape = tuple(1 if i in axes else length for i, length in enumerate(kind.shape))
        total = np.reshape(total, shape)
    return total


def _in_loop(ufunc: np.ufunc, x: Value) -> Value:
    """Cast to the dtype in which a ufunc computes of integers."""
    dtype = value_type(x).dtype
    if dtype.kind in "iub" and ufunc.nout == 1:
        result = ufunc.resolve_dtypes((dtype, dtype, None))[2]
        if result.kind == "f" or (dtype.kind == "b" and result.kind in "iu"):
            return x.astype(result)
    return x


def _check_loop(ufunc: np.ufunc, dtype: np.dtype[Any]) -> None:
    """Have NumPy raise its error where a ufunc does not reduce a dtype."""
    ufunc.resolve_dtypes((dtype, dtype, None), reduction=True)


def _starting_value(
    ufunc: np.ufunc, dtype: Any, initial: Any, masked: bool, shape: tuple[int, ...]
) -> Value:
    """Find what a reduction starts with: nothing, where the first entry does."""
    if initial is not NO_VALUE and initial is not None:
        return initial
    identity = None if initial is None else ufunc.identity
    if identity is None:
        if masked:
            raise ValueError(
                f"reduction operation '{ufunc.__name__}' does not have an identity, so to use a"
                " where mask one has to specify 'initial'"
            )
        if shape[0] == 0:
            raise ValueError(
                f"zero-size array to reduction operation {ufunc.__name__} which has no identity"
            )
        return NO_VALUE
    return dtype.type(identity)


def accumulate(
    ufunc: np.ufunc, x: Value, axis: Any = 0, dtype: Any = None, out: None = None
) -> Value:
    """Keep what a reduction has found so far, after each entry along an axis."""
    x = _in_loop(ufunc, _cast(x, dtype))
    _check_loop(ufunc, value_type(x).dtype)
    axis = _one_axis(ufunc, "accumulate", x, axis)
    results: list[Value] = []
    for entry in _entries(x, axis):
        results.append(ufunc(results[-1], entry) if results else entry)
    return np.stack(results, axis=axis) if results else np.copy(x)


def _positions(indices: Any) -> np.ndarray[Any, Any]:
    given = np.asarray(indices)
    return given.astype(np.intp, casting="safe" if given.size else "unsafe")


def reduceat(
    ufunc: np.ufunc,
    x: Value,
    indices: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: None = None,
    *,
    reduction: Callable[..., Value],
) -> Value:
    """Reduce the slices between indices; where they do not grow, take the one entry."""
    indices = plain_arguments(indices, f"np.{ufunc.__name__}.reduceat")
    x = _cast(x, dtype)
    axis = _one_axis(ufunc, "reduceat", x, axis)
    length = value_type(x).shape[axis]
    starts = _positions(indices).tolist()
    for start in starts:
        if not 0 <= start < length:
            raise IndexError(
                f"index {start} out-of-bounds in {ufunc.__name__}.reduceat [0, {length})"
            )
    before = (slice(None),) * axis
    if not starts:
        return x[(*before, slice(0, 0))]
    if ufunc is np.add and all(a < b for a, b in itertools.pairwise(starts)):
        return bind(primitive("add_reduceat"), (x,), {"indices": tuple(starts), "axis": axis})
    parts = []
    for start, stop in zip(starts, [*starts[1:], length], strict=True):
        piece = x[(*before, slice(start, max(stop, start + 1)))]
        parts.append(reduction(piece, axis=axis))
    return np.stack(parts, axis=axis)
