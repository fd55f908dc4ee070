"""What a compiled function read besides its arguments: globals, closure cells, attributes.

A compiled function is recorded once. Guards compare, before each call, what the recording could
read through names: numbers, strings, the identity of everything else, and the contents of the
ndarrays that are not themselves part of the recording.
Not reached are attributes of objects below the second level, entries beyond the first thousand
of a container, properties that look elsewhere, what other libraries keep for themselves, and the
classes of installed packages other than the function's own.
"""

from __future__ import annotations

import inspect
import pickle
import random
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from types import CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np

from steepest.errors import is_installed, is_user_code
from steepest.fingerprint import fingerprint, may_be_written
from steepest.ops.spec import Traced, is_ndarray

__all__ = ["Guards"]

_LARGEST_CONTAINER = 1000
_VALUES = (bool, int, float, complex, str, bytes, type(None))


def _is_plain(value: object) -> bool:
    return isinstance(value, _VALUES) and not isinstance(value, Traced)


_BUILT_IN = (dict, list, tuple, deque, set, frozenset, partial, FunctionType)
_MISSING = object()


class Guards:
    """Snapshot of what a function can see through names.

    Parameters
    ----------
    function : callable
    arguments : sequence
        Arguments that are objects of the user's, whose attributes the function may read.
    """

    __slots__ = ("_arguments", "_arrays", "_checks", "_generators", "_package", "_seen")

    def __init__(self, function: Callable[..., Any], arguments: Sequence[Any] = ()) -> None:
        self._checks: list[tuple[Callable[[], Any], Any]] = []
        self._arrays: dict[int, tuple[np.ndarray[Any, Any], int]] = {}
        self._generators: list[tuple[Any, bytes]] = []
        self._seen: set[int] = set()
        self._package = (getattr(function, "__module__", None) or "").partition(".")[0]
        # Held, so that the ids by which a signature knows them are not given to others.
        self._arguments = arguments
        self._visit(function, 0)
        for each in arguments:
            self._visit(each, 0)

    def hold(self, by_reference: Collection[int] = frozenset()) -> bool:
        """Whether everything is as it was.

        Parameters
        ----------
        by_reference : collection of int
            The ids of the ndarrays whose contents may change, because they are read anew.
        """
        for read, expected in self._checks:
            now = read()
            if now is not expected and not (
                type(now) is type(expected) and _is_plain(now) and repr(now) == repr(expected)
            ):
                return False
        return all(
            key in by_reference or fingerprint(array) == known
            for key, (array, known) in self._arrays.items()
        )

    def none_drawn(self) -> bool:
        """Whether every random number generator in reach is where it was."""
        return all(pickle.dumps(each) == state for each, state in self._generators)

    def _visit_function(self, function: FunctionType) -> None:
        if not is_user_code(function.__code__.co_filename):
            return
        self._guard(lambda: function.__code__, 0)
        for cell in function.__closure__ or ():
            self._guard(_cell_reader(cell), 0)
        names = _names(function.__code__)
        for name in sorted(names):
            if name in function.__globals__:
                self._guard(_item_reader(function.__globals__, name), 0, names)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._visit(value, 0)

    def _guard(
        self, read: Callable[[], Any], depth: int, names: frozenset[str] = frozenset()
    ) -> None:
        value = read()
        self._checks.append((read, value))
        self._visit(value, depth, names)

    def _visit(self, value: Any, depth: int, names: frozenset[str] = frozenset()) -> None:
        if _is_plain(value) or id(value) in self._seen or depth > 2:
            return
        if is_ndarray(value):
            if may_be_written(value):
                self._arrays.setdefault(id(value), (value, fingerprint(value)))
            return
        if isinstance(value, MethodType):
            self._visit(value.__self__, depth)
            self._visit(value.__func__, depth)
            return
        # A module is seen with other names each time.
        if isinstance(value, ModuleType):
            if is_user_code(getattr(value, "__file__", None) or "/"):
                for name in sorted(names & vars(value).keys()):
                    self._guard(_item_reader(vars(value), name), depth + 1, names)
            return
        self._seen.add(id(value))
        # Found without asking the object, which may make up any attribute, or raise.
        wrapped = inspect.getattr_static(value, "__wrapped__", None)
        self._visit(wrapped, depth)
        if isinstance(value, FunctionType):
            self._visit_function(value)
        elif isinstance(value, partial):
            for each in (value.func, *value.args, *value.keywords.values()):
                self._visit(each, depth)
        elif isinstance(value, (np.random.Generator, np.random.RandomState, random.Random)):
            self._generators.append((value, pickle.dumps(value)))
        elif isinstance(value, dict):
            # Asked as a dict, and not as what a subclass makes of one: a sparse matrix, say.
            for key in list(dict.keys(value))[:_LARGEST_CONTAINER]:
                self._guard(_item_reader(value, key), depth + 1)
            self._checks.append((partial(dict.__len__, value), dict.__len__(value)))
        elif isinstance(value, (list, tuple, deque)):
            for position in range(min(len(value), _LARGEST_CONTAINER)):
                self._guard(_position_reader(value, position), depth + 1)
            self._checks.append((value.__len__, len(value)))
        elif isinstance(value, (set, frozenset)):
            self._checks.append((_members_reader(value), _members_reader(value)()))
        elif isinstance(value, type):
            self._visit_class(value, depth)
            return
        # The state of a library's wrapper, as a cache, is its own affair.
        if self._is_users(type(value)) or (wrapped is None and type(value) not in _BUILT_IN):
            self._visit_object(value, depth)

    def _is_users(self, kind: type) -> bool:
        """Whether a class is the user's: not of a package that is installed, unless it is its own.

        The classes of a large package lead to all of it, and to the packages that it uses.
        """
        module = kind.__module__
        if module == "__main__":
            return True
        filename = getattr(sys.modules.get(module), "__file__", None)
        if filename is None or not is_user_code(filename):
            return False
        return module.partition(".")[0] == self._package or not is_installed(filename)

    def _visit_class(self, kind: type, depth: int) -> None:
        for each in kind.__mro__:
            if self._is_users(each):
                for name in list(vars(each)):
                    if not isinstance(vars(each)[name], MemberDescriptorType):
                        self._guard(_class_reader(each, name), depth + 1)

    def _visit_object(self, value: Any, depth: int) -> None:
        self._visit(type(value), depth)
        attributes = vars(value) if inspect.getattr_static(value, "__dict__", None) else {}
        for name in list(attributes):
            self._guard(_item_reader(attributes, name), depth + 1)
        for kind in type(value).__mro__:
            for name, member in vars(kind).items():
                if isinstance(member, MemberDescriptorType) and self._is_users(kind):
                    self._guard(_slot_reader(value, name), depth + 1)


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


def _members_reader(members: Collection[Any]) -> Callable[[], str]:
    return lambda: repr(sorted(map(repr, members)))


def _class_reader(kind: type, name: str) -> Callable[[], Any]:
    def read() -> Any:
        value = vars(kind).get(name, _MISSING)
        # What the function of a static, class or computed attribute reads counts too.
        if isinstance(value, (staticmethod, classmethod)):
            return value.__func__
        return value.fget if isinstance(value, property) else value

    return read


def _slot_reader(value: Any, name: str) -> Callable[[], Any]:
    return lambda: getattr(value, name, _MISSING)


def _item_reader(container: dict[Any, Any], key: Any) -> Callable[[], Any]:
    return lambda: dict.get(container, key, _MISSING)


def _position_reader(container: Any, position: int) -> Callable[[], Any]:
    return lambda: container[position] if position < len(container) else _MISSING
