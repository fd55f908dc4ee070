"""What the functions of a module do with a builtin: whether they would see that another is there.

What stands for a builtin is called, compared, hashed and asked like it, and is not the same
object. So a module is left alone whose functions could tell: by ``kind is float``, or because
they hand it to code that is not known.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import dis
import functools
import importlib.util
import inspect
import linecache
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, TypeAlias

import numpy as np

__all__ = ["name_before", "replaceable", "source_of"]

_Chain: TypeAlias = "tuple[ast.AST, str, _Chain | None]"
"""A node, the field of its parent that it is in, and the same of the parent."""


def source_of(names: dict[str, Any]) -> str | None:
    """Read the source of a module, given its names; None where it is in no file."""
    file = names.get("__file__")
    if file is None:
        return None
    try:
        return importlib.util.decode_source(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        # One in an archive, of which its loader knows, or none.
        return "".join(linecache.getlines(file, names))


def name_before(name: str, what: str) -> re.Pattern[str]:
    """Make the expression that finds a name before something else."""
    # It begins with the name, for which `re` looks twenty times as fast as for a boundary.
    return re.compile(rf"{name}(?<!\w{name})\s*{what}")


def replaceable(candidates: Iterable[str], names: dict[str, Any], source: str | None) -> list[str]:
    """Find the builtins that may be others in a module, given its names.

    Parameters
    ----------
    candidates : iterable of str
    names : dict
    source : str or None
        That of the module, if it has one in a file.

    Returns
    -------
    list of str
        Those that its functions call, and can tell from others by nothing. Of a session, whose
        source is in pieces, those of which no function that can be found could tell.
    """
    candidates = [name for name in candidates if name not in names]
    if source is None:
        return _replaceable_in_session(candidates, names)
    called = [name for name in candidates if name_before(name, r"\(").search(source)]
    uses = _uses_in(source, names, called) if called else None
    return [name for name in called if uses and name in uses.called and uses.are_exact(name)]


def _replaceable_in_session(candidates: list[str], names: dict[str, Any]) -> list[str]:
    codes = list(_codes_of_session(names))
    files = {code.co_filename for code in codes}
    sources = {file: "".join(linecache.getlines(file)) for file in files}
    uses = [_uses_in(source, names, candidates) for source in sources.values() if source]
    return [
        name
        for name in candidates
        if all(each is not None and each.are_exact(name) for each in uses)
        and all(sources[code.co_filename] or _only_calls(code, name) for code in codes)
    ]


def _codes_of_session(names: dict[str, Any]) -> Iterator[CodeType]:
    """Find the code that a session has by name, or runs."""
    for value in list(names.values()):
        # Without asking objects that would do something first.
        for each in vars(value).values() if issubclass(type(value), type) else (value,):
            if type(each) in (staticmethod, classmethod):
                function = each.__func__
            else:
                function = each.fget if type(each) is property else each
            while type(function) is FunctionType:
                if function.__globals__ is names:
                    yield function.__code__
                function = vars(function).get("__wrapped__")
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals is names:
            yield frame.f_code
        frame = frame.f_back


def _only_calls(code: CodeType, name: str) -> bool:
    """Whether the functions in a code load a builtin to be called, and for nothing else."""
    codes = [code]
    for each in codes:
        codes += [inner for inner in each.co_consts if isinstance(inner, CodeType)]
        if name not in each.co_names:
            continue
        if not each.co_flags & inspect.CO_OPTIMIZED and each is not code:
            # A class.
            return False
        for instruction in dis.get_instructions(each):
            # Its lowest bit says that NULL is put beside it, as for a call.
            is_call = (instruction.arg or 0) & 1
            if (instruction.opname, instruction.argval) == ("LOAD_GLOBAL", name) and not is_call:
                return False
    return True


def _uses_in(source: str, names: dict[str, Any], wanted: Sequence[str]) -> _Uses | None:
    """Read a source for what it does with some builtins; None where it cannot be read."""
    key = names.get("__name__"), source, tuple(wanted)
    if key in _read:
        return _read[key]
    try:
        uses = _Uses(source, names, wanted)
    except (SyntaxError, ValueError, RecursionError):
        uses = None
    if len(_read) >= _MOST_READ:
        _read.clear()
    _read[key] = uses
    return uses


def _tree_of(parts: Iterable[str], source: str) -> ast.Module:
    """Parse some parts of a source; all of it where these are none, as those of a string."""
    try:
        return ast.parse("".join(parts))
    except SyntaxError:
        return ast.parse(source)


class _Uses:
    """What the functions in a source do with some builtins.

    Only the parts are parsed that matter: to parse a source takes longer than all else.

    Parameters
    ----------
    source : str
    names : dict
        Of the module.
    wanted : sequence of str
        The builtins.

    Attributes
    ----------
    called : set of str
        Those that functions call.
    """

    def __init__(self, source: str, names: dict[str, Any], wanted: Sequence[str]) -> None:
        self.called: set[str] = set()
        self._kept: set[str] = set()
        self._told: set[str] = set()
        self._names = names
        self._wanted = wanted
        self._functions = set(_FUNCTION.findall(source))
        self._loads: list[tuple[ast.Name, _Chain]] = []
        self._identities: list[tuple[ast.expr, ast.expr]] = []
        # Each begins with a function or class that is in no other.
        parts = _BEGINNING.split(source)
        self._read(_tree_of((part for part in parts if any(x in part for x in wanted)), source))
        for node, chain in self._loads:
            self._judge(node, chain)
        self._compares_types = False
        if self._kept:
            self._read(_tree_of(filter(_IDENTITY.search, parts), source))
            self._compares_types = any(
                self._may_be_type(left)
                and self._may_be_type(right)
                and not (self._is_real_type(left) and self._is_real_type(right))
                for left, right in self._identities
            )
        # What is remembered keeps nothing of the user's alive.
        del self._names, self._functions, self._loads, self._identities

    def are_exact(self, name: str) -> bool:
        """Whether what stands for a builtin would not be told from it."""
        return name not in self._told and not (name in self._kept and self._compares_types)

    def _read(self, tree: ast.Module) -> None:
        waiting: deque[tuple[ast.AST, _Chain | None, bool]] = deque([(tree, None, False)])
        while waiting:
            node, parents, runs = waiting.popleft()
            if isinstance(node, ast.Name):
                if runs and node.id in self._wanted and isinstance(node.ctx, ast.Load):
                    assert parents is not None
                    self._loads.append((node, parents))
                continue
            is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            if isinstance(node, ast.Compare) and runs:
                self._identities += _identities(node)
            for field, value in ast.iter_fields(node):
                if field in ("annotation", "returns"):
                    continue
                inner = runs or (is_function and field == "body")
                for each in value if isinstance(value, list) else (value,):
                    if isinstance(each, ast.AST):
                        waiting.append((each, (node, field, parents), inner))

    def _judge(self, node: ast.Name, chain: _Chain) -> None:
        child: ast.AST = node
        parents: _Chain | None = chain
        while parents is not None:
            parent, field, parents = parents
            if isinstance(parent, ast.Call):
                if field == "func":
                    if child is node:
                        self.called.add(node.id)
                elif not self._is_known(parent.func):
                    self._told.add(node.id)
                elif self._is_own(parent.func):
                    self._kept.add(node.id)
                return
            if isinstance(parent, ast.keyword) and parent.arg == "dtype":
                return
            if isinstance(parent, ast.Compare):
                if any(child in pair for pair in _identities(parent)):
                    self._told.add(node.id)
                return
            if isinstance(parent, (ast.Attribute, ast.Subscript, ast.MatchClass, ast.Expr)):
                return
            if isinstance(parent, (ast.IfExp, ast.If, ast.While, ast.Assert)) and field == "test":
                return
            if isinstance(parent, ast.ClassDef):
                self._told.add(node.id)
                return
            if not isinstance(parent, _PASSED_ON):
                break
            child = parent
        self._kept.add(node.id)

    def _is_known(self, function: ast.expr) -> bool:
        """Whether it is known that a function asks by no `is` for what it is given."""
        if self._is_own(function):
            return True
        if isinstance(function, ast.Attribute) and (
            function.attr in _CALLING or any(hasattr(each, function.attr) for each in _OBJECTS)
        ):
            return True
        # A generic alias, as defaultdict[str, float].
        value = self._value(function.value if isinstance(function, ast.Subscript) else function)
        if value is None or value is type:
            return False
        module = getattr(value, "__module__", None) or ""
        root = module.partition(".")[0] if isinstance(module, str) else ""
        return isinstance(value, np.ufunc) or root in _KNOWN or root in sys.stdlib_module_names

    def _is_own(self, function: ast.expr) -> bool:
        """Whether a function is one of this source, whose comparisons are known."""
        if isinstance(function, ast.Attribute):
            return function.attr in self._functions
        return isinstance(function, ast.Name) and function.id in self._functions

    def _value(self, node: ast.expr) -> Any:
        """Find what a dotted name stands for in the module; None where that is not known."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id, getattr(builtins, node.id, None))
        if isinstance(node, ast.Attribute):
            base = self._value(node.value)
            if isinstance(base, (ModuleType, type)):
                return vars(base).get(node.attr)
        return None

    def _may_be_type(self, node: ast.expr) -> bool:
        """Whether a side of a comparison may be a builtin that another stands for."""
        if isinstance(node, ast.Constant):
            return False
        # What has another value by name is none.
        return self._value(node) is None

    def _is_real_type(self, node: ast.expr) -> bool:
        """Whether a side of a comparison is ``type(x)`` or ``x.__class__``."""
        if isinstance(node, ast.Call):
            return self._value(node.func) is type
        return isinstance(node, ast.Attribute) and node.attr == "__class__"


def _identities(node: ast.Compare) -> Iterator[tuple[ast.expr, ast.expr]]:
    """List the pairs that a comparison takes for the same or not."""
    sides = [node.left, *node.comparators]
    for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
        if isinstance(operator, (ast.Is, ast.IsNot)):
            yield left, right


_BEGINNING = re.compile(r"^(?=@|(?:def|class|async def)\b)", re.MULTILINE)
_FUNCTION = re.compile(r"def\s+(\w+)")
_IDENTITY = re.compile(r"\bis\b(?!\s+(?:not\s+)?None\b)")
"""What asks for a type by identity; none is `None`."""

_PASSED_ON = (
    ast.BinOp,
    ast.BoolOp,
    ast.Dict,
    ast.IfExp,
    ast.List,
    ast.NamedExpr,
    ast.Set,
    ast.Starred,
    ast.Tuple,
    ast.keyword,
)
"""What has the value of a part of it for a value, or for one of several."""

_OBJECTS = (np.ndarray, dict, list, set, argparse.ArgumentParser, functools.singledispatch(len))
"""Whose methods are known by their names."""

_CALLING = ("apply", "map", "submit")
"""Methods of pools and executors that call what they are given."""

_KNOWN = ("numpy", "scipy")

_read: dict[tuple[Any, str, tuple[str, ...]], _Uses | None] = {}
"""By the name of the module, its source, and the builtins."""
_MOST_READ = 1000
