"""What a compiled function read besides its arguments: globals, closure cells, attributes.

A compiled function is recorded once. Guards compare, before each call, what the recording read
through names: numbers, strings and the identity of everything else; the contents of ndarrays
where values derived from them are part of the recording. Not reached are attributes of objects
below the second level, entries beyond the first thousand of a container, and what other
libraries keep for themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from steepest.errors import is_user_code
from steepest.fingerprint import fingerprint

__all__ = ["Guards"]

_LARGEST_CONTAINER = 1000
_VALUES = (bool, int, float, complex, str, bytes, type(None))
_MISSING = object()


class Guards:
    """Snapshot of what a function can see through names.

    Parameters
    ----------
    function : callable
    """

    __slots__ = ("_arrays", "_checks", "_seen")

    def __init__(self, function: Callable[..., Any]) -> None:
        self._checks: list[tuple[Callable[[], Any], Any]] = []
        self._arrays: dict[int, tuple[np.ndarray[Any, Any], int]] = {}
        self._seen: set[int] = set()
        self._visit_callable(function)

    def hold(self, contents: bool) -> bool:
        """Whether everything is as it was.

        Parameters
        ----------
        contents : bool
            Whether the entries of ndarrays count too, and not only which array it is.
        """
        for read, expected in self._checks:
            now = read()
            if now is not expected and not (
                type(now) is type(expected)
                and isinstance(now, _VALUES)
                and repr(now) == repr(expected)
            ):
                return False
        return not contents or all(
            fingerprint(array) == known for array, known in self._arrays.values()
        )

    def _visit_callable(self, function: Any) -> None:
        if isinstance(function, MethodType):
            self._visit(function.__self__, 0)
            function = function.__func__
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            self._visit(wrapped, 0)
        if not isinstance(function, FunctionType):
            if not isinstance(function, type) and hasattr(function, "__dict__"):
                self._visit(function, 0)
            return
        if id(function) in self._seen or not is_user_code(function.__code__.co_filename):
            return
        self._seen.add(id(function))
        for cell in function.__closure__ or ():
            self._guard(_cell_reader(cell), 0)
        for name in sorted(_names(function.__code__)):
            if name in function.__globals__:
                self._guard(_item_reader(function.__globals__, name), 0, _names(function.__code__))
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._visit(value, 0)

    def _guard(
        self, read: Callable[[], Any], depth: int, names: frozenset[str] = frozenset()
    ) -> None:
        value = read()
        self._checks.append((read, value))
        self._visit(value, depth, names)

    def _visit(self, value: Any, depth: int, names: frozenset[str] = frozenset()) -> None:
        if isinstance(value, _VALUES):
            return
        if isinstance(value, np.ndarray):
            self._arrays.setdefault(id(value), (value, fingerprint(value)))
            return
        if isinstance(value, (FunctionType, MethodType)):
            self._visit_callable(value)
            return
        if id(value) in self._seen or depth > 2:
            return
        self._seen.add(id(value))
        if isinstance(value, ModuleType):
            if is_user_code(getattr(value, "__file__", None) or "/"):
                for name in sorted(names & vars(value).keys()):
                    self._guard(_item_reader(vars(value), name), depth + 1)
        elif isinstance(value, dict):
            for key in list(value)[:_LARGEST_CONTAINER]:
                self._guard(_item_reader(value, key), depth + 1)
            self._checks.append((value.__len__, len(value)))
        elif isinstance(value, (list, tuple)):
            for position in range(min(len(value), _LARGEST_CONTAINER)):
                self._guard(_position_reader(value, position), depth + 1)
            self._checks.append((value.__len__, len(value)))
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            for name in list(vars(value)):
                self._guard(_item_reader(vars(value), name), depth + 1)


def _names(code: CodeType) -> frozenset[str]:
    """Names that a function's code and the functions inside it read."""
    return frozenset(_all_names(code))


def _all_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_names(constant)


def _cell_reader(cell: Any) -> Callable[[], Any]:
    def read() -> Any:
        try:
            return cell.cell_contents
        except ValueError:  # The cell is empty: a name that is not bound yet.
            return _MISSING

    return read


def _item_reader(container: dict[Any, Any], key: Any) -> Callable[[], Any]:
    return lambda: container.get(key, _MISSING)


def _position_reader(container: Any, position: int) -> Callable[[], Any]:
    return lambda: container[position] if position < len(container) else _MISSING
