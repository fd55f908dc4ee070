"""NumPy's products of arrays: everything that multiplies entries and adds the products up.

All of them arrange their arguments for one matrix product, so that the derivative of each is
matrix products too.
"""

from __future__ import annotations

import itertools
import math
import operator
import string
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.array import NO_STATIC, Array, value_type
from steepest.array.buffers import as_ndarray, ndarray_of
from steepest.array.movement import diagonal_view
from steepest.array.plain import apply_plainly, is_traced
from steepest.array.writing import into
from steepest.errors import UnsupportedError
from steepest.ops import primitive
from steepest.ops.matrices import conjugate
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS", "einsum_into"]

_matmul = primitive("matmul")

Labels = tuple[Hashable, ...]
"""A name for each axis of an operand."""

_LETTERS = len(string.ascii_letters)
"""How many names of axes NumPy has: small letters and capitals."""

REMEMBERED = 1024
"""How many sums of products are remembered, by their subscripts and shapes."""


def _rank(value: Value) -> int:
    return value_type(value).ndim


def _few_axes(value: Value) -> bool:
    """Whether a value is known at once for a vector or matrix."""
    if type(value) is Array:
        value = value._value
    return type(value) is np.ndarray and 0 < value.ndim < 3


def dot(a: Value, b: Value, out: None = None) -> Value:
    if _few_axes(a) and _few_axes(b):
        return bind(_matmul, (a, b), NO_STATIC)
    a, b = as_array(a), as_array(b)
    if not a.ndim or not b.ndim:
        return np.multiply(a, b)
    if a.ndim <= 2 and b.ndim <= 2:
        return bind(_matmul, (a, b), NO_STATIC)
    return np.tensordot(a, b, (-1, -2 if b.ndim > 1 else 0))


def inner(a: Value, b: Value, /) -> Value:
    a, b = as_array(a), as_array(b)
    if not a.ndim or not b.ndim:
        return np.multiply(a, b)
    result = np.tensordot(a, b, (-1, -1))
    return result if result.ndim else result[()]


def vdot(a: Value, b: Value, /) -> Value:
    return np.ravel(conjugate(as_array(a))) @ np.ravel(as_array(b))


def outer(a: Value, b: Value, out: None = None) -> Value:
    return np.multiply(np.reshape(as_array(a), (-1, 1)), np.reshape(as_array(b), (1, -1)))


def linalg_outer(x1: Value, x2: Value, /) -> Value:
    if _rank(x1) != 1 or _rank(x2) != 1:
        raise ValueError(
            "Input arrays must be one-dimensional, but they are"
            f" x1.ndim={_rank(x1)} and x2.ndim={_rank(x2)}."
        )
    return np.outer(x1, x2)


def linalg_matmul(x1: Value, x2: Value, /) -> Value:
    return np.matmul(x1, x2)


def tensordot(a: Value, b: Value, axes: Any = 2) -> Value:
    a, b = as_array(a), as_array(b)
    axes_a, axes_b = _paired_axes(axes, a.ndim, b.ndim)
    if len(axes_a) != len(axes_b) or any(
        a.shape[i] != b.shape[j] for i, j in zip(axes_a, axes_b, strict=True)
    ):
        raise ValueError(
            f"shape-mismatch for sum: shapes {a.shape} and {b.shape} along axes {axes_a} and"
            f" {axes_b}"
        )
    labels_a = list(range(a.ndim))
    labels_b = list(range(a.ndim, a.ndim + b.ndim))
    for i, j in zip(axes_a, axes_b, strict=True):
        labels_b[j] = labels_a[i]
    kept = frozenset(labels_a) ^ frozenset(labels_b)
    result = _contract(a, tuple(labels_a), b, tuple(labels_b), kept)[0]
    # Without axes it is an array all the same.
    return result if result.ndim or not isinstance(result, Array) else as_ndarray(result)


def _paired_axes(axes: Any, ndim_a: int, ndim_b: int) -> tuple[list[int], list[int]]:
    if not np.iterable(axes):
        count = int(axes)
        axes = (range(-count, 0), range(count))
    first, second = ((each,) if isinstance(each, (int, np.integer)) else each for each in axes)
    return (
        list(np.lib.array_utils.normalize_axis_tuple(tuple(map(int, first)), ndim_a)),
        list(np.lib.array_utils.normalize_axis_tuple(tuple(map(int, second)), ndim_b)),
    )


def linalg_tensordot(x1: Value, x2: Value, /, *, axes: Any = 2) -> Value:
    return np.tensordot(x1, x2, axes=axes)


def kron(a: Value, b: Value) -> Value:
    a, b = as_array(a), as_array(b)
    ndim = max(a.ndim, b.ndim)
    left = (1,) * (ndim - a.ndim) + a.shape
    right = (1,) * (ndim - b.ndim) + b.shape
    product = np.multiply(
        np.reshape(a, tuple(each for length in left for each in (length, 1))),
        np.reshape(b, tuple(each for length in right for each in (1, length))),
    )
    return np.reshape(product, tuple(m * n for m, n in zip(left, right, strict=True)))


def cross(
    a: Value,
    b: Value,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Value:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = as_array(a), as_array(b)
    if not a.ndim or not b.ndim:
        raise ValueError("At least one array has zero dimension")
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    lengths = {a.shape[-1], b.shape[-1]}
    if not lengths <= {2, 3}:
        raise ValueError(
            "incompatible dimensions for cross product\n(dimension must be 2 or 3):"
            f" {a.shape[-1]} and {b.shape[-1]}"
        )
    a0, a1, b0, b1 = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    last = a0 * b1 - a1 * b0
    if 2 in lengths and not _TAKES_VECTORS_OF_THE_PLANE:
        raise ValueError(
            "Both input arrays must be (arrays of) 3-dimensional vectors, but they are"
            f" {a.shape[-1]} and {b.shape[-1]} dimensional instead."
        )
    if 2 in lengths:
        warnings.warn(
            "Arrays of 2-dimensional vectors are deprecated. Use arrays of 3-dimensional vectors"
            " instead. (deprecated in NumPy 2.0)",
            DeprecationWarning,
            stacklevel=2,
        )
        if lengths == {2}:
            return last
    if a.shape[-1] == 2:
        b2 = b[..., 2]
        entries = [a1 * b2, -(a0 * b2), last]
    elif b.shape[-1] == 2:
        a2 = a[..., 2]
        entries = [-(a2 * b1), a2 * b0, last]
    else:
        a2, b2 = a[..., 2], b[..., 2]
        entries = [a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, last]
    return np.moveaxis(np.stack(entries, axis=-1), -1, axisc)


_TAKES_VECTORS_OF_THE_PLANE = np.lib.NumpyVersion(np.__version__) < "2.5.0"


def linalg_cross(x1: Value, x2: Value, /, *, axis: int = -1) -> Value:
    x1, x2 = as_array(x1), as_array(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(
            "Both input arrays must be (arrays of) 3-dimensional vectors, but they are"
            f" {x1.shape[axis]} and {x2.shape[axis]} dimensional instead."
        )
    return np.cross(x1, x2, axis=axis)


def vecdot(x1: Value, x2: Value, /, *, axis: int = -1, keepdims: bool = False) -> Value:
    x1, x2 = conjugate(as_array(x1)), as_array(x2)
    if x1.ndim == x2.ndim == 1 and axis in (0, -1):
        product = x1 @ x2
    else:
        x1, x2 = np.moveaxis(x1, axis, -1), np.moveaxis(x2, axis, -1)
        product = (np.expand_dims(x1, -2) @ np.expand_dims(x2, -1))[..., 0, 0]
    return np.expand_dims(product, axis) if keepdims else product


def linalg_vecdot(x1: Value, x2: Value, /, *, axis: int = -1) -> Value:
    return vecdot(x1, x2, axis=axis)


def matvec(x1: Value, x2: Value, /) -> Value:
    x1, x2 = as_array(x1), as_array(x2)
    if x1.ndim < 2:
        raise ValueError(f"np.matvec of a matrix of {x1.ndim} axes, and it needs 2")
    if x2.ndim == 1:
        return x1 @ x2
    return np.squeeze(x1 @ np.expand_dims(x2, -1), -1)


def vecmat(x1: Value, x2: Value, /) -> Value:
    x1, x2 = conjugate(as_array(x1)), as_array(x2)
    if x2.ndim < 2:
        raise ValueError(f"np.vecmat with a matrix of {x2.ndim} axes, and it needs 2")
    if x1.ndim == 1:
        return x1 @ x2
    return np.squeeze(np.expand_dims(x1, -2) @ x2, -2)


def _generalised(name: str, composite: Callable[..., Value], known: Sequence[str] = ()) -> Any:
    """Make a generalised ufunc of a composite that takes vectors and matrices as the last axes."""

    def generalised(
        x1: Value,
        x2: Value,
        /,
        *,
        axes: Any = None,
        **settings: Any,
    ) -> Value:
        for key in settings:
            if key not in known:
                raise UnsupportedError(
                    f"np.{name} with {key}= is not supported on a traced value",
                    instead=f"np.{name} without it",
                )
        if axes is None:
            return composite(x1, x2, **settings)
        # NumPy says which axes there can be.
        small = [_small(each) for each in (x1, x2)]
        getattr(np, name)(*small, axes=axes, **settings)
        first, second, *last = (each if isinstance(each, tuple) else (each,) for each in axes)
        product = composite(_moved(x1, first), _moved(x2, second), **settings)
        return np.moveaxis(product, _last_axes(last[0]), last[0]) if last else product

    return generalised


def _small(value: Value) -> np.ndarray[Any, Any]:
    """Make an array of as many axes, of one entry each, to ask NumPy about axes."""
    return np.ones([1] * value_type(value).ndim)


def _last_axes(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(axes), 0))


def _moved(x: Value, axes: tuple[int, ...]) -> Value:
    return np.moveaxis(as_array(x), axes, _last_axes(axes))


# Einstein sums: what depends on subscripts and shapes alone is worked out once for each.


def einsum(
    *operands: Any,
    out: None = None,
    dtype: Any = None,
    order: str = "K",
    casting: Any = "safe",
    optimize: Any = False,
) -> Value:
    terms, output, given = _parse(operands)
    if len(given) == 1 and isinstance(given[0], Array):
        shown = _shown(given[0], terms, output)
        if shown is not None:
            return shown
    if not is_traced(operands):
        settings = {"dtype": dtype, "order": order, "casting": casting, "optimize": optimize}
        return apply_plainly(np.einsum, operands, settings)
    arrays = [as_array(each) for each in given]
    terms, output = _without_ellipsis(terms, output, tuple(each.ndim for each in arrays))
    kind = np.result_type(*(each.dtype for each in arrays)) if dtype is None else np.dtype(dtype)
    if dtype is not None:
        arrays = [each.astype(kind, casting=casting) for each in arrays]
    arrays = [each if each.dtype == kind else each.astype(kind) for each in arrays]
    left = [
        _matched(x, *plan)
        for x, plan in zip(arrays, _plans(terms, tuple(x.shape for x in arrays)), strict=True)
    ]
    for positions in _contraction_order(left, output, optimize):
        (x, labels), *others = (left[i] for i in positions)
        left = [each for i, each in enumerate(left) if i not in positions]
        for i, (y, y_labels) in enumerate(others, 1):
            needed = frozenset(output).union(*(each for _, each in [*left, *others[i:]]))
            x, labels = _contract(x, labels, y, y_labels, needed)
        left.append((x, labels))
    layouts = tuple(map(_layout, arrays)) if len(output) > 1 else (None,)
    ((x, labels),) = left
    axes = tuple(i for i, label in enumerate(labels) if label not in output)
    if axes:
        x, labels = np.sum(x, axis=axes), tuple(each for each in labels if each in output)
    if labels != output:
        x = np.transpose(x, [labels.index(each) for each in output])
    # Truth values were counted.
    x = x if x.dtype == kind else x.astype(kind)
    if None not in layouts:
        x = _lying(x, _layout_of_sum(terms, output, layouts, order, _as_key(optimize)))
    if optimize is not False and not output and _is_ndarray_of_none(operands, given, optimize):
        return as_ndarray(x) if isinstance(x, Array) else x
    return x


_Layout = tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...]]
"""Of an array: its lengths, its axes from the largest stride to the least, and which are zero."""


def _layout(x: Value) -> _Layout | None:
    """How the entries of an array lie in memory; None where it is not known."""
    value = ndarray_of(x)
    if value is None:
        return None if value_type(x).ndim else ((), (), ())
    if value.flags.c_contiguous:
        return value.shape, *_IN_ORDER[value.ndim]
    strides = value.strides
    order = sorted(range(value.ndim), key=lambda axis: -abs(strides[axis]))
    return value.shape, tuple(order), tuple([stride == 0 for stride in strides])


_IN_ORDER = [(tuple(range(ndim)), (False,) * ndim) for ndim in range(65)]
"""The layouts of arrays in the order of C, for as many axes as NumPy allows."""


@lru_cache(REMEMBERED)
def _layout_of_sum(
    terms: tuple[Labels, ...],
    output: Labels,
    layouts: tuple[_Layout, ...],
    order: str,
    optimize: Any,
) -> tuple[int, ...]:
    """Find the axes of NumPy's result, from the largest stride to the least, by a small one."""
    # On the way NumPy sorts axes by their lengths, and those of one length by their letters.
    used = sorted({each for term in terms for each in term}, key=str)
    names = {label: i for i, label in enumerate(used)}
    subscripts = [[names[label] for label in term] for term in (*terms, output)]
    long = sorted({each for lengths, _, _ in layouts for each in lengths if each > 1})
    short = {0: 0, 1: 1, **{length: i + 2 for i, length in enumerate(long)}}
    if optimize is not False and len(terms) > 2:
        # The way depends on the true lengths.
        whole = [np.broadcast_to(np.zeros(()), lengths) for lengths, _, _ in layouts]
        optimize = _called(np.einsum_path, whole, subscripts, optimize=_as_path(optimize))[0]
    small = _called(
        np.einsum,
        [_small_one(layout, short) for layout in layouts],
        subscripts,
        order=order,
        optimize=_as_path(optimize),
    )
    return tuple(sorted(range(small.ndim), key=lambda axis: -small.strides[axis]))


def _as_key(optimize: Any) -> Any:
    return tuple(map(_as_key, optimize)) if isinstance(optimize, (list, tuple)) else optimize


def _as_path(optimize: Any) -> Any:
    return list(optimize) if isinstance(optimize, tuple) else optimize


def _called(
    function: Callable[..., Any], arrays: Iterable[Any], subscripts: list[Any], **settings: Any
) -> Any:
    pairs = itertools.chain(*zip(arrays, subscripts[:-1], strict=True))
    return function(*pairs, subscripts[-1], **settings)


def _small_one(layout: _Layout, short: dict[int, int]) -> np.ndarray[Any, Any]:
    """Make an array that lies as another one does, of few entries along each axis."""
    lengths, order, repeated = layout
    small = [short[length] for length in lengths]
    stored = [1 if again else length for length, again in zip(small, repeated, strict=True)]
    array = np.zeros([stored[axis] for axis in order]).transpose(np.argsort(order).tolist())
    return np.broadcast_to(array, small)


def _lying(x: Value, axes: tuple[int, ...]) -> Value:
    """Have entries lie in memory along axes, the last of which is the closest."""
    value = ndarray_of(x)
    if value is None or value.transpose(axes).flags.c_contiguous:
        return x
    if isinstance(x, Array):
        return Array(x._trace, _lying(x._value, axes), x._node)
    return np.ascontiguousarray(value.transpose(axes)).transpose(np.argsort(axes).tolist())


def _is_ndarray_of_none(operands: Sequence[Any], given: Sequence[Value], optimize: Any) -> bool:
    """Whether NumPy's result without axes is an ndarray, as of some of its ways to contract."""
    kinds = [value_type(each) for each in given]
    small = [np.zeros([min(length, 2) for length in kind.shape], kind.dtype) for kind in kinds]
    if isinstance(operands[0], str):
        arguments: list[Any] = [operands[0], *small]
    else:
        arguments = list(operands)
        arguments[: 2 * len(small) : 2] = small
    return isinstance(np.einsum(*arguments, optimize=optimize), np.ndarray)


def einsum_into(
    out: Value,
    *operands: Any,
    dtype: Any = None,
    casting: Any = "safe",
    optimize: Any = False,
    **settings: Any,
) -> Value:
    """Write the result of an einsum into the array given as out=."""
    if optimize is False:
        if dtype is None:
            # NumPy then has all operands in one dtype, and counts this array among them.
            given = _parse(operands)[2]
            dtype = np.result_type(*(value_type(each).dtype for each in given), out.dtype)
        rule = casting
    else:
        rule = "unsafe" if casting == "unsafe" else "same_kind"
    result = np.einsum(*operands, dtype=dtype, casting=casting, optimize=optimize, **settings)
    return into(out, result, rule)


def _shown(x: Array, terms: tuple[Labels, ...], output: Labels | None) -> Value | None:
    """Make the view that an einsum of one operand is where nothing is summed; None elsewhere."""
    if not x._is_ndarray():
        return None
    (term,), output = _without_ellipsis(terms, output, (x.ndim,))
    if set(term) != set(output):
        return None
    ((diagonals, _, labels),) = _plans((term,), (x.shape,))
    view = x[...]
    for first, second in diagonals:
        view = diagonal_view(view, axis1=first, axis2=second, writeable=True)
    return view if labels == output else np.transpose(view, [labels.index(each) for each in output])


def einsum_path(*operands: Any, **settings: Any) -> Any:
    # The order of contractions depends on shapes alone.
    stand_ins = [
        np.broadcast_to(np.zeros((), each.dtype), each.shape) if isinstance(each, Array) else each
        for each in operands
    ]
    return np.einsum_path(*stand_ins, **settings)


def _parse(operands: Sequence[Any]) -> tuple[tuple[Labels, ...], Labels | None, Sequence[Value]]:
    """Read either format of subscripts: a string first, or a list after each operand."""
    if not operands:
        raise ValueError("must specify the einstein sum subscripts string and at least one operand")
    if not isinstance(operands[0], str):
        given = tuple(map(_listed, operands[1::2]))
        last = _listed(operands[-1]) if len(operands) % 2 else None
        return given, last, operands[: len(operands) // 2 * 2 : 2]
    terms, output = _read(operands[0])
    if len(terms) != len(operands) - 1:
        raise ValueError(
            f"the einsum subscripts {operands[0]!r} are for {len(terms)} operands, and there are"
            f" {len(operands) - 1}"
        )
    return terms, output, operands[1:]


@lru_cache(REMEMBERED)
def _read(subscripts: str) -> tuple[tuple[Labels, ...], Labels | None]:
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    return tuple(_letters(each) for each in left.split(",")), _letters(right) if arrow else None


def _listed(axes: Sequence[Any]) -> Labels:
    for each in axes:
        if each is not Ellipsis and not 0 <= operator.index(each) < _LETTERS:
            raise ValueError(
                f"einsum subscript {each} is not within the valid range [0, {_LETTERS})"
            )
    return tuple(axes)


def _letters(term: str) -> Labels:
    before, dots, after = term.partition("...")
    if not all(each.isalpha() and each.isascii() for each in before + after):
        raise ValueError(
            f"invalid einsum subscripts {term!r}: there may be letters of the alphabet, and '...'"
            " once"
        )
    return (*before, *([Ellipsis] if dots else []), *after)


@lru_cache(REMEMBERED)
def _without_ellipsis(
    terms: tuple[Labels, ...], output: Labels | None, ranks: tuple[int, ...]
) -> tuple[tuple[Labels, ...], Labels]:
    """Give each axis that an ellipsis stands for a label, counted from the last."""
    widest = 0
    expanded: list[Labels] = []
    for term, ndim in zip(terms, ranks, strict=True):
        named = len(term) - (Ellipsis in term)
        if ndim < named or (ndim > named and Ellipsis not in term):
            raise ValueError(
                f"the einsum subscripts {_text(term)!r} do not fit an operand of {ndim} axes"
            )
        widest = max(widest, ndim - named)
        expanded.append(_expanded(term, ndim - named))
    if output is None:
        names = [label for term in terms for label in term if label is not Ellipsis]
        once: list[Any] = [label for label in set(names) if names.count(label) == 1]
        output = (Ellipsis, *sorted(once))
    elif widest and Ellipsis not in output:
        raise ValueError(
            f"the einsum output {_text(output)!r} has no '...' for the axes that '...' stands for"
        )
    output = _expanded(output, widest)
    known = {label for term in expanded for label in term}
    for label in output:
        if label not in known or output.count(label) > 1:
            raise ValueError(
                f"einsum output label {label!r} must be in an operand, and once in the output"
            )
    return tuple(expanded), output


def _expanded(term: Labels, count: int) -> Labels:
    result: list[Hashable] = []
    for label in term:
        if label is Ellipsis:
            result.extend((Ellipsis, i) for i in range(-count, 0))
        else:
            result.append(label)
    return tuple(result)


def _text(labels: Labels) -> str:
    return "".join("..." if each is Ellipsis else str(each) for each in labels)


@lru_cache(REMEMBERED)
def _plans(
    terms: tuple[Labels, ...], shapes: tuple[tuple[int, ...], ...]
) -> tuple[tuple[tuple[tuple[int, int], ...], tuple[int, ...] | None, Labels], ...]:
    """For each operand the diagonals to take, the shape to give it, and its labels then.

    Diagonals are for labels that repeat; the shape is without axes of length 1 that broadcast.
    """
    lengths: dict[Hashable, int] = {}
    operands: list[tuple[tuple[tuple[int, int], ...], list[Hashable], list[int]]] = []
    for term, lengths_of_axes in zip(terms, shapes, strict=True):
        labels, shape = list(term), list(lengths_of_axes)
        diagonals = []
        while len(set(labels)) < len(labels):
            second = next(i for i, each in enumerate(labels) if each in labels[:i])
            first = labels.index(labels[second])
            if shape[first] != shape[second]:
                raise ValueError(
                    f"einsum label {labels[second]!r} stands for axes of lengths"
                    f" {shape[first]} and {shape[second]} of one operand"
                )
            diagonals.append((first, second))
            order = [i for i in range(len(labels)) if i not in (first, second)] + [second]
            labels, shape = [labels[i] for i in order], [shape[i] for i in order]
        for label, length in zip(labels, shape, strict=True):
            known = lengths.get(label, 1)
            if 1 not in (known, length) and known != length:
                raise ValueError(
                    f"einsum label {label!r} stands for axes of lengths {known} and {length}"
                )
            lengths[label] = length if known == 1 else known
        operands.append((tuple(diagonals), labels, shape))
    plans = []
    for taken, labels, shape in operands:
        kept = [i for i, label in enumerate(labels) if shape[i] == lengths[label]]
        reshaped = None if len(kept) == len(labels) else tuple(shape[i] for i in kept)
        plans.append((taken, reshaped, tuple(labels[i] for i in kept)))
    return tuple(plans)


def _matched(
    x: Value,
    diagonals: tuple[tuple[int, int], ...],
    shape: tuple[int, ...] | None,
    labels: Labels,
) -> tuple[Value, Labels]:
    for first, second in diagonals:
        x = np.diagonal(x, axis1=first, axis2=second)
    return (x if shape is None else np.reshape(x, shape)), labels


def _contraction_order(
    operands: Sequence[tuple[Value, Labels]], output: Labels, optimize: Any
) -> list[tuple[int, ...]]:
    """Which operands to contract with each other, one step after the other."""
    if len(operands) <= 2:
        return [tuple(range(len(operands)))]
    names = {label: i for i, label in enumerate({each for _, term in operands for each in term})}
    stand_ins: list[Any] = []
    for x, labels in operands:
        stand_ins.append(np.broadcast_to(np.zeros(()), x.shape))
        stand_ins.append([names[label] for label in labels])
    output_names = [names[label] for label in output]
    path = np.einsum_path(*stand_ins, output_names, optimize=optimize or "greedy")[0]
    return [tuple(step) for step in path[1:]]


class _Arrangement(NamedTuple):
    """What is done to one operand before a product; None for what changes nothing."""

    summed: tuple[int, ...] | None
    axes: tuple[int, ...] | None
    shape: tuple[int, ...] | None


def _arranged(x: Value, arrangement: _Arrangement) -> Value:
    summed, axes, shape = arrangement
    if summed is not None:
        x = np.sum(x, axis=summed)
    if axes is not None:
        x = np.transpose(x, axes)
    return x if shape is None else np.reshape(x, shape)


def _contract(
    x: Value, x_labels: Labels, y: Value, y_labels: Labels, kept: frozenset[Hashable]
) -> tuple[Value, Labels]:
    """Multiply two operands and sum over the labels that are not to be kept."""
    for_x, for_y, multiply, shape, labels = _contraction(x_labels, x.shape, y_labels, y.shape, kept)
    x, y = _arranged(x, for_x), _arranged(y, for_y)
    product = np.multiply(x, y) if multiply else x @ y
    return (product if shape is None else np.reshape(product, shape)), labels


@lru_cache(REMEMBERED)
def _contraction(
    x_labels: Labels,
    x_shape: tuple[int, ...],
    y_labels: Labels,
    y_shape: tuple[int, ...],
    kept: frozenset[Hashable],
) -> tuple[_Arrangement, _Arrangement, bool, tuple[int, ...] | None, Labels]:
    """How to contract: what to do to each operand, whether to multiply, and to the product."""
    lengths = dict(zip(x_labels + y_labels, x_shape + y_shape, strict=True))
    shared = [label for label in x_labels if label in y_labels]
    batch = [label for label in shared if label in kept]
    summed = [label for label in shared if label not in kept]
    rows = [label for label in x_labels if label in kept and label not in y_labels]
    columns = [label for label in y_labels if label in kept and label not in x_labels]

    def shape(labels: Sequence[Hashable]) -> tuple[int, ...]:
        return tuple(lengths[label] for label in labels)

    def size(labels: Sequence[Hashable]) -> int:
        return math.prod(shape(labels))

    def arrangement(
        labels: Labels, order: Sequence[Hashable], target: tuple[int, ...]
    ) -> _Arrangement:
        lost = tuple(i for i, label in enumerate(labels) if label not in order)
        left = [label for label in labels if label in order]
        axes = tuple(left.index(label) for label in order)
        return _Arrangement(
            lost or None,
            None if left == order else axes,
            None if shape(order) == target else target,
        )

    if summed:
        x_target = (*shape(batch), size(rows), size(summed))
        y_target = (*shape(batch), size(summed), size(columns))
        if not rows and not batch:
            x_target = x_target[1:]
        if not columns and not batch:
            y_target = y_target[:1]
        x_order, y_order = [*batch, *rows, *summed], [*batch, *summed, *columns]
        given = (*x_target[:-1], *y_target[len(batch) + 1 :])
    else:
        x_order, y_order = [*batch, *rows], [*batch, *columns]
        x_target = shape(x_order) + (1,) * len(columns)
        y_target = shape(batch) + (1,) * (len(rows) if batch else 0) + shape(columns)
        given = shape([*batch, *rows, *columns])
    labels = (*batch, *rows, *columns)
    return (
        arrangement(x_labels, x_order, x_target),
        arrangement(y_labels, y_order, y_target),
        not summed,
        None if given == shape(labels) else shape(labels),
        labels,
    )


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.dot: dot,
    np.inner: inner,
    np.vdot: vdot,
    np.outer: outer,
    np.tensordot: tensordot,
    np.kron: kron,
    np.cross: cross,
    np.einsum: einsum,
    np.einsum_path: einsum_path,
    np.matmul: _generalised("matmul", operator.matmul),
    np.vecdot: _generalised("vecdot", vecdot, ["axis", "keepdims"]),
    np.linalg.matmul: linalg_matmul,
    np.linalg.outer: linalg_outer,
    np.linalg.tensordot: linalg_tensordot,
    np.linalg.vecdot: linalg_vecdot,
    np.linalg.cross: linalg_cross,
    np.matvec: _generalised("matvec", matvec),
    np.vecmat: _generalised("vecmat", vecmat),
}
