"""Every public name of NumPy: its value, dtype, shape and errors are NumPy's when it is traced.

`pytest -m soak tests/array/test_all_of_numpy.py` tries each call on all kinds of arguments, and
takes some minutes; otherwise each call is tried on a few.
"""

from __future__ import annotations

import copy
import math
import types
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from tests.array.conformity import (
    by_forward_mode,
    by_reverse_mode,
    check_derivatives,
    is_floating,
    is_number,
    real_total,
)
from tests.array.numpy_calls import (
    CONSTANT,
    CREATION,
    DIFFERENTIABLE,
    NEEDS_VALUES,
    NOT_OF_NUMBERS,
    NOT_SMOOTH,
    OTHERWISE,
    RANDOM,
    REFUSED,
    REFUSED_CALLS,
    UNDEFINED,
    UNSEEN,
)

import steepest as sd
from steepest.errors import NeedsValueError, SteepestError

Call = Callable[..., Any]

# -- arguments ------------------------------------------------------------------------------------


def changed(change: Any, array: Any, *args: Any, **settings: Any) -> Any:
    """Change a copy of an array in place, by a function or a method."""
    result = np.array(array)
    method = getattr(result, change) if isinstance(change, str) else None
    given = method(*args, **settings) if method is not None else change(result, *args, **settings)
    return result if given is None else given


def drawn(draw: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """Draw numbers, which are the same each time."""
    np.random.seed(3)  # noqa: NPY002  # which it is about
    return draw(*args, **settings)


NAMESPACE = {"np": np, "copy": copy, "math": math, "changed": changed, "drawn": drawn}


def _numbers() -> dict[str, Any]:
    """Draw the arguments that calls are made of, by their letters."""
    draw = np.random.default_rng(20).uniform
    a, b, c = (draw(-1, 1, (3, 3)) + 2 * np.eye(3) for _ in range(3))
    return {
        "x": _apart(draw(-2, 2, (3, 4))),
        "y": _apart(draw(-2, 2, (3, 4))) + 0.013,
        "p": draw(0.5, 1.5, (3, 4)),
        "u": draw(-0.9, 0.9, (3, 4)),
        "g": draw(1.2, 3.0, (3, 4)),
        "v": _apart(draw(-2, 2, 4)),
        "w": _apart(draw(-2, 2, 4)) - 0.017,
        "t": np.array([-2.13, -1.07, 0.51, 1.29, 2.31]),
        "s": np.float64(0.7),
        "a": a,
        "b": b,
        "h": c @ c.T + np.eye(3),
        "m": draw(0, 1, (3, 4)) > 0.4,
        "n": np.arange(12).reshape(3, 4) % 5,
        "i": np.array([0, 3, 1, 3]),
    }


def _apart(array: Any) -> Any:
    """Keep entries apart from each other and from zero, the kinks of many functions."""
    flat = array.ravel()
    order = np.argsort(flat)
    levels = (np.arange(flat.size) - (flat.size - 1) / 2) * (4 / flat.size)
    flat[order] = levels + 0.3 / flat.size * np.cos(np.arange(flat.size) * 2.3)
    return flat.reshape(array.shape)


FLOATS = "xypugvwtsabh"
FULL = "xypugm"
"""The letters of one shape."""


def _each(numbers: dict[str, Any], letters: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    return {k: change(each) if k in letters else each for k, each in numbers.items()}


def _to(dtype: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def convert(numbers: dict[str, Any]) -> dict[str, Any]:
        turn = np.exp(0.3j) if np.dtype(dtype).kind == "c" else 1
        return _each(numbers, FLOATS, lambda each: np.multiply(each, turn).astype(dtype)[()])

    return convert


def _shaped(shape: tuple[int, ...]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def resize(numbers: dict[str, Any]) -> dict[str, Any]:
        vector = shape[-1:]
        matrix = (min(vector, default=0),) * 2
        resized = _each(numbers, FULL + "n", lambda each: np.resize(each, shape))
        resized = _each(resized, "vwti", lambda each: np.resize(each, vector))
        return _each(resized, "abh", lambda each: each[: matrix[0], : matrix[1]])

    return resize


def _scalars(numbers: dict[str, Any]) -> dict[str, Any]:
    return _each(numbers, FULL + "nvw", lambda each: each.ravel()[0])


def _python(numbers: dict[str, Any]) -> dict[str, Any]:
    return _each(numbers, FULL + "nvws", lambda each: each.ravel()[0].item())


def _reversed(numbers: dict[str, Any]) -> dict[str, Any]:
    return _each(numbers, FLOATS + "m", lambda each: np.flip(np.flip(each).copy()))


def _fortran(numbers: dict[str, Any]) -> dict[str, Any]:
    return _each(numbers, FLOATS + "m", lambda each: np.asfortranarray(each)[()])


def _with(*values: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def put(numbers: dict[str, Any]) -> dict[str, Any]:
        def some(array: Any) -> Any:
            array = array.copy()
            array.flat[: 2 * len(values)] = np.resize(values, min(array.size, 2 * len(values)))
            return array

        return _each(numbers, FULL.replace("m", "") + "vw", some)

    return put


KINDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "float64": _to(np.float64),
    "float32": _to(np.float32),
    "float16": _to(np.float16),
    "longdouble": _to(np.longdouble),
    "complex128": _to(np.complex128),
    "complex64": _to(np.complex64),
    "int64": _to(np.int64),
    "uint8": _to(np.uint8),
    "bool": _to(np.bool_),
    "no axes": _shaped(()),
    "scalars": _scalars,
    "Python numbers": _python,
    "size 1": _shaped((1, 1)),
    "one axis": _shaped((4,)),
    "empty": _shaped((0,)),
    "no rows": _shaped((0, 4)),
    "no columns": _shaped((3, 0)),
    "three axes": _shaped((2, 3, 4)),
    "reversed": _reversed,
    "fortran": _fortran,
    "nan": _with(np.nan),
    "infinite": _with(np.inf, -np.inf),
    "ties": _with(1.0),
    "zeros": _with(0.0, -0.0, 1.0),
}


@cache
def _arguments(kind: str) -> dict[str, Any]:
    return KINDS[kind](_numbers())


def _call(expression: str) -> tuple[Callable[..., Any], str]:
    """Make a function of the letters of an expression, and list these."""
    code = compile(expression, "<call>", "eval")
    letters = "".join(sorted({name for name in code.co_names if name in _numbers()} | _inner(code)))
    source = f"lambda {', '.join(letters)}: {expression}"
    return eval(compile(source, "<call>", "eval"), dict(NAMESPACE)), letters


def _inner(code: types.CodeType) -> set[str]:
    found: set[str] = set()
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= {n for n in constant.co_names if n in _numbers()} | _inner(constant)
    return found


# -- values ---------------------------------------------------------------------------------------


def _nested(call: Call, args: list[Any]) -> Any:
    kept = []

    def loss(*traced: Any) -> Any:
        kept.append(call(*traced))
        return real_total(kept[-1])

    def slope(*traced: Any) -> Any:
        gradient = sd.grad(loss, argnums=tuple(range(len(args))))(*traced)
        return sum(np.sum(np.real(each)) for each in gradient)

    sd.jvp(slope, tuple(args), tuple(args))
    return kept[-1]


def _recorded(call: Call, args: list[Any]) -> Any:
    structures = []

    def listed(*traced: Any) -> Any:
        found = leaves(call(*traced))
        structures.append([None if is_number(each) else each for each in found])
        return tuple(each for each in found if is_number(each))

    numbers = iter(sd.compile(listed, engine="interpret")(*args))
    return [next(numbers) if each is None else each for each in structures[-1]]


MODES: dict[str, Callable[[Call, list[Any]], Any]] = {
    "reverse": by_reverse_mode,
    "forward": by_forward_mode,
    "nested": _nested,
    "recorded": _recorded,
}


def leaves(result: Any) -> list[Any]:
    """List what is in nested tuples and lists."""
    if isinstance(result, (tuple, list)):
        return [leaf for each in result for leaf in leaves(each)]
    return [result]


def _compare(found: Any, wanted: Any, *, kinds: bool) -> None:
    """Compare a leaf with NumPy's: type, dtype, shape, and value up to rounding."""
    if not is_number(wanted):
        assert found == wanted, f"{found!r} instead of {wanted!r}"
        return
    assert is_number(found), f"{found!r} instead of {wanted!r}"
    one, two = (np.asarray(each) for each in (found, wanted))
    assert one.dtype == two.dtype, f"{one.dtype} instead of {two.dtype}"
    assert one.shape == two.shape, f"{one.shape} instead of {two.shape}"
    if kinds:
        are_arrays = [isinstance(_plain(each), np.ndarray) for each in (found, wanted)]
        assert are_arrays[0] == are_arrays[1], f"{found!r} instead of {wanted!r}"
    rounding = 64 * np.finfo(two.dtype).eps if two.dtype.kind in "fc" else 0
    size = np.max(np.abs(two), initial=0, where=np.isfinite(two)) if two.size else 0
    np.testing.assert_allclose(one, two, rtol=rounding, atol=rounding * size)


def _plain(value: Any) -> Any:
    while isinstance(value, sd.array.Array):
        value = value._value
    return value


def _public(error: BaseException) -> type[BaseException]:
    """Find the first class of an error that users can name: of a public module."""
    return next(each for each in type(error).__mro__ if "._" not in each.__module__)


def check(expression: str, kind: str, modes: tuple[str, ...] = tuple(MODES)) -> None:
    """Check that a call gives, or raises, what NumPy does, in several ways of tracing."""
    call, letters = _call(expression)
    if not set(letters) & set(FLOATS):
        # What takes nothing that is traced is called while something else is.
        call, letters = (lambda s, *args, call=call: call(*args)), "s" + letters
    numbers = _arguments(kind)
    args = [numbers[each] for each in letters]
    moving = [place for place, each in enumerate(letters) if each in FLOATS]
    floating = [place for place in moving if is_floating(args[place])]
    choices = [floating] if floating else []
    if len(floating) > 1:
        choices += [[each] for each in floating]
    expected, refusal = None, None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            expected = call(*args)
        except Exception as error:  # whichever it is
            refusal = error
            if kind == "Python numbers" and isinstance(error, (AttributeError, TypeError)):
                return  # A Python number has fewer methods than what it becomes when traced.
        for mode in modes:
            for positions in [moving] if mode == "recorded" else choices:
                traced = {letters[each] for each in positions}
                unseen = bool(traced) and traced <= set(UNSEEN.get(expression, ""))
                some = _of_some(call, args, positions)
                given = [args[each] for each in positions]
                context = f"{expression}, {kind}, {mode}, traced: {[letters[p] for p in positions]}"
                try:
                    found = MODES[mode](some, given)
                except AssertionError:
                    raise
                except Exception as error:
                    if isinstance(error, NeedsValueError) and mode == "recorded":
                        if expression in NEEDS_VALUES:
                            continue
                        raise
                    if unseen and isinstance(error, SteepestError):
                        continue
                    if refusal is None or not isinstance(error, _public(refusal)):
                        raise AssertionError(
                            f"{context}: {error!r} instead of {refusal!r}"
                        ) from error
                    continue
                assert refusal is None, f"{context}: {found!r} instead of {refusal!r}"
                assert not unseen, f"{context}: the traced argument is not lost after all"
                try:
                    for one, two in zip(leaves(found), leaves(expected), strict=True):
                        _compare(one, two, kinds=mode != "recorded")
                except AssertionError as error:
                    error.add_note(context)
                    raise


def _of_some(call: Call, args: list[Any], positions: list[int]) -> Call:
    def of_some(*moving: Any) -> Any:
        given = list(args)
        for position, value in zip(positions, moving, strict=True):
            given[position] = value
        return call(*given)

    return of_some


# -- tests ----------------------------------------------------------------------------------------

TABLES = {**DIFFERENTIABLE, **CONSTANT, **CREATION, **RANDOM}
CLASSES = (
    set(DIFFERENTIABLE),
    set(CONSTANT),
    set(CREATION),
    set(RANDOM),
    {name for names in NOT_OF_NUMBERS.values() for name in names.split()},
    {name for refusal in REFUSED for name in refusal.names.split()},
)
SMALL = ("float64", "no axes", "size 1", "empty")
"""Kinds of arguments that each call is tried on always; the others take longer."""


def is_there(name: str) -> bool:
    """Whether the installed NumPy has a name."""
    found: Any = np
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is not None


def _public_names() -> list[str]:
    """List the public names of the installed NumPy, and what an ndarray has."""
    names = []
    for prefix, module in (
        ("", np),
        ("linalg.", np.linalg),
        ("fft.", np.fft),
        ("random.", np.random),
    ):
        for name in dir(module):
            if name.startswith("_") or isinstance(getattr(module, name), types.ModuleType):
                continue
            names.append(prefix + name)
    return [*names, *(f"ndarray.{n}" for n in dir(np.ndarray) if n[0] != "_" or n[:2] == "__")]


def test_every_name_is_in_one_class() -> None:
    names = _public_names()
    assert len(names) > 500
    assert {n: sum(n in each for each in CLASSES) for n in names} == dict.fromkeys(names, 1)


def agree(calls: list[str], kinds: tuple[str, ...]) -> None:
    """Check that calls give what NumPy does, of some kinds of arguments."""
    failures = []
    for expression in calls:
        for kind in kinds:
            if kind in (*OTHERWISE.get(expression, ()), *UNDEFINED.get(expression, ())):
                continue
            try:
                check(expression, kind)
            except AssertionError as error:
                failures.append(f"{expression}, {kind}: {error} {getattr(error, '__notes__', '')}")
    assert not failures, "\n".join(failures)


_NAMES = [name for name in TABLES if is_there(name)]


@pytest.mark.parametrize("name", _NAMES)
def test_values_and_errors_are_those_of_numpy(name: str) -> None:
    agree(TABLES[name], ("float64",))


@pytest.mark.parametrize(
    ("expression", "kind"), [(each, kind) for each, kinds in OTHERWISE.items() for kind in kinds]
)
def test_what_differs_from_numpy_still_does(expression: str, kind: str) -> None:
    with pytest.raises(AssertionError):
        check(expression, kind)


@pytest.mark.parametrize("kind", ["no rows", "no axes", "scalars", "int64", "nan"])
@pytest.mark.parametrize(
    "expression",
    [
        "np.mean(x)",
        "np.mean(x, axis=0)",
        "np.max(x, initial=1.5, where=m)",
        "np.median(x)",
        "np.copy(x)",
        "np.isclose(x, y)",
        "np.linspace(x, y, 3)",
        "np.hypot.reduce(v)",
        "np.apply_along_axis(np.sum, 0, v)",
        "np.logical_xor.reduce(x)",
        "np.tensordot(x, y, axes=0)",
        "np.nanargmax(v, axis=0)",
        "np.pad(v, 2, 'reflect', reflect_type='odd')",
        "x / 0",
    ],
)
def test_special_arguments(expression: str, kind: str) -> None:
    agree([expression], (kind,))


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", _NAMES)
def test_values_and_errors_for_every_kind_of_argument(name: str, kind: str) -> None:
    agree(TABLES[name], (kind,))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize(
    "expression",
    [
        each
        for calls in (*(refusal.calls for refusal in REFUSED), *REFUSED_CALLS.values())
        for each in calls
    ],
)
def test_what_is_refused_says_so(expression: str) -> None:
    call, letters = _call(expression)
    args = [_arguments("float64")[each] for each in letters]
    positions = [place for place, each in enumerate(letters) if each in FLOATS]
    for mode in ("reverse", "forward", "recorded"):
        with pytest.raises(SteepestError) as caught:
            MODES[mode](_of_some(call, args, positions), [args[each] for each in positions])
        assert caught.value.instead
        assert caught.value.line is not None


def _smooth(expressions: list[str]) -> Iterator[tuple[str, Call, list[Any]]]:
    for expression in expressions:
        if expression in NOT_SMOOTH:
            continue
        call, letters = _call(expression)
        args = [_arguments("float64")[each] for each in letters]
        if not any(each in FLOATS for each in letters):
            continue
        try:
            result = call(*args)
        except Exception:  # Compared with NumPy elsewhere.
            continue
        kinds = {np.result_type(leaf).char for leaf in leaves(result) if is_number(leaf)}
        # What rounds to single precision has no numerical derivative.
        if kinds & set("dDG") and not kinds & set("fFe"):
            yield expression, call, args


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if is_there(name)])
def test_derivatives_are_those_of_differences(name: str) -> None:
    check_calls(DIFFERENTIABLE[name])


def check_calls(expressions: list[str]) -> None:
    """Compare the derivatives of calls, first and second, with differences."""
    for expression, call, args in _smooth(expressions):
        letters = _call(expression)[1]
        moving = [place for place, each in enumerate(letters) if each in FLOATS]
        some = _of_some(call, args, moving)

        def numbers(*x: Any, some: Call = some) -> list[Any]:
            return [leaf for leaf in leaves(some(*x)) if is_number(leaf)]

        try:
            check_derivatives(
                numbers,
                *(args[each] for each in moving),
                compiled=expression not in NEEDS_VALUES,
                rounding=1e-8,
            )
        except AssertionError as error:
            error.add_note(expression)
            raise
