"""NumPy's functions of lists in which something is traced.

NumPy asks an Array what a function means, but not a list of Arrays: of ``np.mean([x, y])`` it
would make an ndarray before anybody is asked. So while a function is traced, such functions are
replaced by ones that make an Array of the list first, and ``np.r_``, ``np.c_`` and what NumPy
writes as classes by equivalents.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from steepest.array.array import Array, value_type
from steepest.array.buffers import making
from steepest.array.numpy_errors import NUMPY_ERRORS
from steepest.array.plain import is_traced
from steepest.array.standing_in import StandsFor
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = [
    "EQUIVALENTS",
    "TAKING_LISTS",
    "TAKING_LISTS_IN_FFT",
    "TAKING_LISTS_IN_LINALG",
    "Concatenation",
    "Grid",
    "Joiner",
    "TakingLists",
    "taking_lists",
]

Joiner = Callable[[Any], Value]
"""Makes an Array of nested lists: ``np.array`` for traced values."""

TAKING_LISTS = (
    "all", "allclose", "amax", "amin", "angle", "any", "append", "argmax", "argmin", "argsort",
    "around", "atleast_1d", "atleast_2d", "average", "bincount", "broadcast_to", "clip", "concat",
    "convolve", "corrcoef", "cov", "cross", "cumprod", "cumsum", "diff", "dot", "dstack",
    "einsum", "expand_dims", "flip", "gradient", "imag", "inner", "insert", "interp", "isclose",
    "kron", "max", "mean", "median", "min", "nan_to_num", "nanmax", "nanmean", "nanmedian",
    "nanmin", "nanstd", "nansum", "nanvar", "pad", "percentile", "poly", "polyder", "polyfit",
    "polyval", "prod", "ptp", "quantile", "ravel", "real", "reshape", "roll", "roots", "round",
    "searchsorted", "select", "shape", "size", "sort", "squeeze", "std", "sum", "take",
    "tensordot", "trace", "transpose", "trapezoid", "unwrap", "var", "vdot", "where",
)  # fmt: skip
"""Names in NumPy's module; those that make arrays take lists too."""

TAKING_LISTS_IN_LINALG = (
    "cholesky", "cond", "det", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "matrix_norm",
    "matrix_power", "matrix_rank", "multi_dot", "norm", "outer", "pinv", "qr", "slogdet", "solve",
    "svd", "vector_norm",
)  # fmt: skip

TAKING_LISTS_IN_FFT = ("fft", "ifft", "irfft", "rfft")

_OF_SEQUENCES = (
    "column_stack", "concat", "concatenate", "dstack", "hstack", "multi_dot", "select", "stack",
    "vstack",
)  # fmt: skip
"""Functions of a list of arrays: the lists among its entries are arrays, and it is not."""

_OF_ONE_ARRAY = frozenset([
    "all", "amax", "amin", "any", "argmax", "argmin", "argsort", "around", "cumprod", "cumsum",
    "expand_dims", "flip", "max", "mean", "min", "prod", "ravel", "reshape", "round", "sort",
    "squeeze", "std", "sum", "transpose", "var",
])  # fmt: skip
"""Functions of one array, and of axes, shapes and the like."""


class TakingLists(StandsFor):
    """One of NumPy's functions, of lists that hold traced values too.

    Parameters
    ----------
    original : callable
        NumPy's.
    join : callable
        Makes an Array of a list that holds traced values.
    """

    def __init__(self, original: Callable[..., Any], join: Joiner) -> None:
        super().__init__(original)
        self._join = join
        self._is_of_sequences = original.__name__ in _OF_SEQUENCES

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Call NumPy's function, which asks an Array what it means."""
        # Without lists, and nobody else to be asked, NumPy would do no more than ask that.
        asked: Any = ()
        if self._is_of_sequences:
            if _of_one_sequence(args):
                asked = args[0]
        elif not settings and _WITHOUT_LISTS.issuperset(map(type, args)):
            # Of later ones NumPy asks some, as those of np.diff, and not those of np.interp.
            asked = args[:3]
        for each in asked:
            if type(each) is Array:
                return each.__array_function__(self._original, (), args, settings)
        if making.depth:
            for each in args:
                if type(each) is list or type(each) is tuple:
                    args = tuple(map(self._joined, args))
                    break
            for name, each in settings.items():
                if type(each) is list or type(each) is tuple:
                    settings[name] = self._joined(each)
            for each in (*args, *settings.values()):
                # Also where NumPy asks other arguments alone: as initial=, left=, default=.
                if isinstance(each, Array) and is_traced(each):
                    types = _types_of(args) | _types_of(settings.values())
                    if all(map(_leaves_to_numpy, types)):
                        return each.__array_function__(self._original, types, args, settings)
        return self._original(*args, **settings)

    def _joined(self, value: Any) -> Any:
        if not _is_traced_list(value):
            return value
        if not self._is_of_sequences:
            return self._join(value)
        return type(value)(self._join(each) if _is_traced_list(each) else each for each in value)


def _types_of(values: Iterable[Any]) -> set[type]:
    """Collect the classes that NumPy's functions ask what they mean."""
    return {kind for kind in map(type, values) if hasattr(kind, "__array_function__")}


def _leaves_to_numpy(kind: type) -> bool:
    """Whether a class has no meaning of its own for NumPy's functions."""
    asked: Any = kind
    return issubclass(kind, Array) or asked.__array_function__ is np.ndarray.__array_function__


class _OfOneArray(TakingLists):
    """A function of which no further positional argument is an array: they are axes and shapes."""

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Call NumPy's function, or, which takes half the time, at once what that asks for."""
        if args and type(first := args[0]) is Array and not (settings and "where" in settings):
            if len(args) < 3 and first._trace.active and not (settings and "out" in settings):
                try:
                    if settings:
                        return self._recorded(*args, **settings)
                    return self._recorded(*args)
                except NUMPY_ERRORS:
                    # It is raised again by what follows, as an error of NumPy's class.
                    pass
            return first.__array_function__(self._original, (), args, settings)
        return super().__call__(*args, **settings)

    @functools.cached_property
    def _recorded(self) -> Callable[..., Value]:
        from steepest.array.functions import FUNCTIONS

        return FUNCTIONS[self._original]


def taking_lists(original: Callable[..., Any], join: Joiner) -> TakingLists:
    """Make what takes lists for one of NumPy's functions; see `TakingLists`."""
    kind = _OfOneArray if original.__name__ in _OF_ONE_ARRAY else TakingLists
    return kind(original, join)


_WITHOUT_LISTS = frozenset((Array, np.ndarray, np.float64, bool, int, float, type(None)))


def _of_one_sequence(args: tuple[Any, ...]) -> bool:
    """Whether the first argument is a sequence without lists in it, and none are besides."""
    return (
        bool(args)
        and type(args[0]) in (list, tuple)
        and _WITHOUT_LISTS.issuperset(map(type, args[0]))
        and _WITHOUT_LISTS.issuperset(map(type, args[1:]))
    )


def _is_traced_list(value: Any) -> bool:
    return type(value) in (list, tuple) and is_traced(value)


class Concatenation:
    """``np.r_`` or ``np.c_``, of which NumPy's own says where the entries of each part go.

    Parameters
    ----------
    original : object
        NumPy's.
    join : callable
        Makes an Array of a list that holds traced values.
    arange : callable
        ``np.arange`` of traced values.
    """

    def __init__(self, original: Any, join: Joiner, arange: Callable[..., Value]) -> None:
        self._original = original
        self._join = join
        self._arange = arange

    def __getitem__(self, key: Any) -> Value:
        if not making.depth or not is_traced(_ends(key)):
            return self._original[key]
        parts: list[Value] = []
        dtypes: list[Any] = []
        places: list[Any] = []
        count = 0
        for item in key if isinstance(key, tuple) else (key,):
            if isinstance(item, str):  # a directive
                if item in ("r", "c"):
                    raise UnsupportedError(
                        "np.r_ and np.c_ make no np.matrix of traced values",
                        instead=f"np.r_[…] and np.c_[…] without {item!r} as their first entry",
                    )
                places.append(item)
                continue
            part = self._part(item)
            shape = np.shape(part)
            end = count + math.prod(shape)
            if isinstance(item, slice):
                places.append(slice(count, end))
            else:
                places.append(np.arange(count, end).reshape(shape) if shape else count)
            dtypes.append(_dtype_or_number(part))
            parts.append(part)
            count = end
        order = self._original[tuple(places)]
        dtype = np.result_type(*dtypes)
        entries = np.concatenate([np.ravel(part).astype(dtype) for part in parts])
        if np.array_equal(order.ravel(), np.arange(count)):
            return np.reshape(entries, order.shape)
        return entries[order]

    def _part(self, item: Any) -> Value:
        if isinstance(item, slice):
            start: Any = 0 if item.start is None else item.start
            step: Any = item.step
            if isinstance(step, (complex, np.complexfloating)):
                return np.linspace(start, item.stop, int(np.abs(step)))
            return self._arange(start, item.stop, 1 if step is None else step)
        if isinstance(item, (list, tuple)):
            return self._join(item) if is_traced(item) else np.array(item)
        return item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __len__(self) -> int:
        return 0


class Grid:
    """``np.mgrid`` or ``np.ogrid``, of slices whose ends may be traced.

    Parameters
    ----------
    original : object
        NumPy's.
    arange : callable
        ``np.arange`` of traced values.
    """

    def __init__(self, original: Any, arange: Callable[..., Value]) -> None:
        self._original = original
        self._arange = arange

    def __getitem__(self, key: Any) -> Any:
        if not making.depth or not is_traced(_ends(key)):
            return self._original[key]
        if not isinstance(key, tuple):
            start, step, count = _spacing(key)
            if not _counts(key):
                return self._arange(start, key.stop, step)
            return np.arange(count).astype(_common_dtype(key)) * step + start
        axes = [_spacing(each) for each in key]
        dtype = _common_dtype(*key)
        places = self._original[tuple(slice(count) for *_, count in axes)]
        grid = [
            each.astype(dtype) * step + start
            for each, (start, step, _) in zip(places, axes, strict=True)
        ]
        return tuple(grid) if self._original.sparse else np.stack(grid).astype(dtype)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


def _spacing(part: slice) -> tuple[Any, Any, int]:
    """Find where a slice of a grid starts, its step, and how many entries it has."""
    start: Any = 0 if part.start is None else part.start
    step: Any = 1 if part.step is None else part.step
    if not _counts(part):
        return start, step, max(math.ceil((part.stop - start) / step), 0)
    count = int(np.abs(step))
    return start, 1 if count == 1 else (part.stop - start) / float(count - 1), count


def _common_dtype(*parts: slice) -> np.dtype[Any]:
    numbers: list[Any] = [0]
    for each in parts:
        step = 1.0 if _counts(each) else each.step
        numbers.extend(0 if end is None else end for end in (each.start, each.stop, step))
    return np.result_type(*map(_dtype_or_number, numbers))


def _counts(part: slice) -> bool:
    """Whether the step of a slice is a number of entries: complex."""
    step = part.step
    if isinstance(step, Array):
        return step.dtype.kind == "c"
    return isinstance(step, (complex, np.complexfloating))


def _ends(key: Any) -> list[Any]:
    """List what stands in a key, with what stands in its slices."""
    ends: list[Any] = []
    for each in key if isinstance(key, tuple) else (key,):
        ends.extend((each.start, each.stop, each.step) if isinstance(each, slice) else (each,))
    return ends


def _dtype_or_number(part: Value) -> Any:
    """Say what counts for the dtype of a result: of a Python number that it is one."""
    if isinstance(part, Array):
        kind = value_type(part)
        return np.zeros((), kind.dtype).item() if kind.weak else kind.dtype
    return part if type(part) in (bool, int, float, complex) else np.asarray(part).dtype


def is_scalar(element: Any) -> bool:
    """``np.isscalar``: what NumPy would have as a number, and not as an array, is one."""
    if isinstance(element, Array):
        return not element._is_ndarray()
    return bool(_originals["isscalar"](element))


class Enumeration(np.ndenumerate):
    """``np.ndenumerate``, of which the entries keep their gradients; a type, as NumPy's is."""

    def __new__(cls, arr: Any) -> Any:
        """Make NumPy's, or what gives the same, of an Array."""
        if not isinstance(arr, Array):
            return _originals["ndenumerate"](arr)
        return ((index, arr[index]) for index in np.ndindex(arr.shape))


def iterated(op: Any, *args: Any, **settings: Any) -> Any:
    """``np.nditer``, which is about memory, and refused for what is traced."""
    if is_traced(op):
        raise UnsupportedError(
            "np.nditer walks through memory, and would lose the gradient of a traced value",
            instead="for index in np.ndindex(x.shape), with x[index]; np.ndenumerate(x)",
        )
    return _originals["nditer"](op, *args, **settings)


def kaiser(M: int, beta: Any) -> Value:  # noqa: N803  # NumPy's name
    """``np.kaiser``, of whose shape a derivative may be taken."""
    if not is_traced(beta):
        return _originals["kaiser"](M, beta)
    beta = np.stack([0.0, beta])[1]  # in double precision, as NumPy has it
    if M == 1:
        return np.ones(1, beta.dtype)
    half = (M - 1) / 2.0
    height = np.sqrt(1 - ((np.arange(0, M) - half) / half) ** 2.0)
    return np.i0(beta * height) / np.i0(beta)


_originals: dict[str, Any] = {
    name: getattr(np, name) for name in ("isscalar", "kaiser", "ndenumerate", "nditer")
}

EQUIVALENTS: dict[str, Callable[..., Any]] = {
    "isscalar": is_scalar,
    "kaiser": kaiser,
    "ndenumerate": Enumeration,
    "nditer": iterated,
}
"""By name: what stands in for functions and classes of NumPy's that do not ask an Array."""
