"""Every keyword argument of NumPy's functions: what it does, it does to traced values too.

`pytest -m soak tests/array/test_keywords.py` compares derivatives with differences, and takes a
minute or two.
"""

from __future__ import annotations

import ast
import inspect
from typing import Any

import numpy as np
import pytest
from tests.array.keyword_calls import NO_DIFFERENCES
from tests.array.numpy_calls import CONSTANT, CREATION, DIFFERENTIABLE, KEYWORDS
from tests.array.test_all_of_numpy import agree, check_calls, is_there

_TABLES = {**DIFFERENTIABLE, **CONSTANT, **CREATION}
_NAMES = [name for name in KEYWORDS if is_there(name)]

# Every ufunc takes the same, of which these show the meaning.
_UFUNC_ARGUMENTS = {"out", "where", "casting", "order", "dtype", "subok", "signature"}
_ELSEWHERE = {
    # Protocols, and what NumPy's own functions pass to each other.
    *("like", "device", "einsum_call", "doc", "formatter", "legacy", "ndmax", "stream"),
    # np.pad and np.piecewise pass them on; of reductions they are the arguments of the function.
    *("kwargs", "kw"),
}


_REFUSED = ("ndarray.choose",)
"""Methods whose other arguments are traced, and of which the array itself is one of integers."""


def _function(name: str) -> Any:
    found: Any = np
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _keywords(name: str) -> set[str]:
    """List what a function can be given by name."""
    function = _function(name)
    if not callable(function) or name in _REFUSED:
        return set()
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return set()  # of what is written in C, before NumPy 2.4
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = {each.name for each in parameters if each.kind in by_name} - {"self", *_ELSEWHERE}
    return found - _UFUNC_ARGUMENTS if isinstance(function, np.ufunc) else found


def _given(name: str) -> set[str]:
    """List what the calls in the tables give to a function, by name or by position."""
    function = _function(name)
    is_method = name.startswith("ndarray.")
    places = [
        each.name
        for each in inspect.signature(function).parameters.values()
        if each.kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    found: set[str] = set()
    for expression in (*_TABLES.get(name, ()), *KEYWORDS.get(name, ())):
        for call in ast.walk(ast.parse(expression.strip(), mode="eval")):
            if not isinstance(call, ast.Call):
                continue
            called, args = ast.unparse(call.func), list(call.args)
            if called == "changed":
                called, args = ast.unparse(args[0]).strip("'"), args[1:]
            elif is_method:
                args = [call.func, *args]
            if called.split(".")[-1] == name.rsplit(".", maxsplit=1)[-1]:
                found.update(places[: len(args)])
                found.update(each.arg for each in call.keywords if each.arg)
    return found


def _is_alias(name: str) -> bool:
    """Whether it is another name of what the tables call: `np.abs` of `np.absolute`."""
    last = name.rsplit(".", maxsplit=1)[-1]
    own = getattr(_function(name), "__name__", last)
    return last == "row_stack" or (own != last and own in _TABLES)


def test_every_keyword_is_given_in_some_call() -> None:
    names = [name for name in _TABLES if is_there(name) and not _is_alias(name)]
    keywords = {name: _keywords(name) for name in names}
    assert sum(map(len, keywords.values())) > 500
    missing = {name: each - _given(name) for name, each in keywords.items() if each}
    assert not {name: sorted(each) for name, each in missing.items() if each}


@pytest.mark.parametrize("name", _NAMES)
def test_values_and_errors_are_those_of_numpy(name: str) -> None:
    agree(KEYWORDS[name], ("float64",))


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in _NAMES if name in DIFFERENTIABLE])
def test_derivatives_are_those_of_differences(name: str) -> None:
    check_calls([each for each in KEYWORDS[name] if each not in NO_DIFFERENCES])
