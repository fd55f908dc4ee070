"""NumPy's functions that make arrays, while a function is differentiated or recorded.

NumPy does not tell anyone of ``np.zeros(3)``: an ndarray comes of it, into which no traced value
can be written. So while a function of the user's is traced, and in its thread alone, these
functions of the module numpy are replaced by ones that make Arrays, for calls that stand in
Python code which is not of a library with compiled parts. When the last such function has
returned, or raised, all is as it was before.

So are those that take lists of numbers, for lists of traced values (`lists.py`), and so are both
where a module has them by name (``from numpy import zeros``).

The environment variable ``STEEPEST_PATCH_NUMPY=0`` and the context `untouched_numpy` switch this
off: then arrays made in the function are ndarrays, and what becomes of a traced value that is
written into one is a matter of `adopting.py`.
"""

from __future__ import annotations

import dis
import functools
import importlib
import importlib.machinery
import inspect
import itertools
import os
import sys
import threading
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import (
    CodeType,
    FrameType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    TracebackType,
)
from typing import Any, ClassVar, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from steepest.array import math_functions
from steepest.array.arguments import memory_order
from steepest.array.array import Array, value_type
from steepest.array.buffers import (
    View,
    as_ndarray,
    duck,
    is_contiguous,
    linked,
    making,
    snapshot,
    unknown_layout,
)
from steepest.array.builtin_uses import source_of
from steepest.array.bytecode import instructions_of
from steepest.array.conversions import converted_in
from steepest.array.creation import full_like
from steepest.array.lists import (
    EQUIVALENTS,
    TAKING_LISTS,
    TAKING_LISTS_IN_FFT,
    TAKING_LISTS_IN_LINALG,
    Concatenation,
    Grid,
    taking_lists,
)
from steepest.array.methods import let_methods_ask
from steepest.array.plain import check_keeps_numbers, is_traced, plain_value
from steepest.array.questions import asked_in, has_numpy
from steepest.array.random_numbers import NAMES, generators, rearranging
from steepest.array.scipy import names as scipy_names
from steepest.array.vectorized import apply_along_axis, vectorize_call
from steepest.array.windows import as_strided
from steepest.array.writing import FlatIterator
from steepest.errors import RefusedWrites, UnsupportedError, is_user_code
from steepest.ops import primitive
from steepest.ops.spec import Traced, Value, bind, is_ndarray

__all__ = ["UserCode", "following", "joined", "stand_in", "untouched_numpy"]

_stack = primitive("stack")

_Vectorize: Any = np.vectorize

_IS_ON = os.environ.get("STEEPEST_PATCH_NUMPY", "1") != "0"


class UserCode(RefusedWrites):
    """Context for the user's code while it is traced: NumPy makes Arrays, in this thread.

    Parameters
    ----------
    function : callable, optional
        What is called. Where its names are those of no module, as what `exec` runs, they are
        replaced too.
    """

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self._function = function

    def __enter__(self) -> None:
        with _lock:
            if not _state.users:
                _replace()
            _state.users += 1
            if _IS_ON and self._function is not None:
                _namespaces.meet(self._function)
        making.depth += _IS_ON

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        making.depth -= _IS_ON
        with _lock:
            _state.users -= 1
            if not _state.users:
                _restore()
        super().__exit__(kind, error, traceback)


@contextmanager
def untouched_numpy() -> Iterator[None]:
    """Let NumPy make ndarrays in this thread, also while a function is traced."""
    depth, making.depth = making.depth, 0
    try:
        yield
    finally:
        making.depth = depth


def stand_in(function: Any) -> Any:
    """Find what stands for a function or bound method of SciPy's in code that is traced."""
    if not making.depth or not str(getattr(function, "__module__", "")).startswith("scipy."):
        return function
    if isinstance(function, MethodType):
        return getattr(function.__self__, function.__name__, function)
    return _stand_ins_by_id.get(id(function), function)


class _State:
    users = 0


_state = _State()
_lock = threading.Lock()


def _replace() -> None:
    if _IS_ON:
        let_methods_ask(joined)
        for module in _MODULES:
            module.replace()
        for names in _namespaces.found():
            names.replace()
        _Vectorize._vectorize_call = _vectorize_call


def _restore() -> None:
    if _IS_ON:
        for module in _MODULES:
            module.restore()
        for names in _namespaces.now.values():
            names.restore()
        _namespaces.restore_new()
        _namespaces.leave()
        _Vectorize._vectorize_call = _original_vectorize_call


class _ReplacedAttributes:
    """The attributes of a module of NumPy's that are other functions while one is traced.

    The module's class changes, to one that has properties of these names. That takes as long for
    a hundred names as for one, and the module's own names stay what they are.

    Parameters
    ----------
    module : module
    replacements : dict
        What the attributes are while a function is traced.
    called : dict, optional
        What they are where they are called at once, and only there.
    """

    def __init__(
        self,
        module: ModuleType,
        replacements: dict[str, Any],
        called: dict[str, Callable[..., Value]] | None = None,
    ) -> None:
        names = vars(module)
        self.module = module
        self.replacements = replacements
        self.originals = {name: names[name] for name in replacements}
        self._class: Any = type(module)
        self._traced: Any = type(
            "TracedModule",
            (self._class,),
            {
                "__module__": __name__,
                # Modules are pickled by name, by those who pickle them.
                "__reduce__": lambda module: (importlib.import_module, (module.__name__,)),
                **{
                    name: _attribute(names, name, self.originals[name], replacement)
                    for name, replacement in replacements.items()
                },
                **{
                    name: _attribute_to_call(names, name, replacement)
                    for name, replacement in (called or {}).items()
                },
            },
        )

    def replace(self) -> None:
        """Let the attributes be the replacements."""
        if self.module.__class__ is self._class:
            self.module.__class__ = self._traced

    def restore(self) -> None:
        """Let the attributes be what the module has by their names."""
        if self.module.__class__ is self._traced:
            self.module.__class__ = self._class


_frame = sys._getframe


def _attribute(names: dict[str, Any], name: str, original: Any, replacement: Any) -> property:
    """Make an attribute that is replaced; what somebody else has put there, or puts, stays."""

    def get(module: ModuleType) -> Any:
        try:
            value = names[name]
        except KeyError:
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}") from None
        if value is not original:
            if value is not replacement:
                return value
            # Who took it for NumPy's while a function was traced has put it back after that.
            names[name] = original
        if not making.depth:
            return original
        frame = _frame(1)
        if id(frame.f_code) in _ordinary or not _asks_for_original(original, frame):
            return replacement
        return original

    def put(_: ModuleType, value: Any) -> None:
        names[name] = original if value is replacement else value

    def delete(_: ModuleType) -> None:
        del names[name]

    return property(get, put, delete)


def _attribute_to_call(
    names: dict[str, Any], name: str, replacement: Callable[..., Value]
) -> property:
    """Make an attribute that is replaced for who calls it at once; it stays what it is if asked."""
    original = names[name]

    def get(module: ModuleType) -> Any:
        value = names.get(name, original)
        if value is original and making.depth and _is_called(_frame(1)):
            return replacement
        return value

    def put(_: ModuleType, value: Any) -> None:
        names[name] = value

    def delete(_: ModuleType) -> None:
        del names[name]

    return property(get, put, delete)


_called: dict[int, tuple[CodeType, frozenset[int]]] = {}


def _is_called(frame: FrameType) -> bool:
    """Whether the attribute that a frame is at is called at once."""
    code = frame.f_code
    known = _called.get(id(code))
    if known is None:
        if len(_called) >= _MOST_NAMES:
            _called.clear()
        known = _called[id(code)] = code, frozenset(_attributes_called(code))
    return frame.f_lasti in known[1]


def _attributes_called(code: CodeType) -> Iterator[int]:
    """Find the attributes that are called at once: what is done next from there is the call."""
    next_from: dict[tuple[int | None, int | None], str] = {}
    for each in reversed(instructions_of(code)):
        place = each.positions
        if place is None or place.col_offset is None or each.opname in ("PUSH_NULL", "KW_NAMES"):
            continue
        start = place.lineno, place.col_offset
        if each.opname in _ATTRIBUTES and next_from.get(start, "").startswith(("CALL", "PRECALL")):
            yield each.offset
        next_from[start] = each.opname


# Functions that the user's code had before are NumPy's own, as the default of an argument. To ask
# ``reduce is np.mean`` of one says what it says in plain NumPy.

_Name = tuple[str, ...]
"""A variable, and the attributes that lead on from it; empty for other expressions."""

_EQUALITIES = (("COMPARE_OP", "=="), ("COMPARE_OP", "!="))

_ordinary: dict[int, CodeType] = {}
"""By identity: code that compares no functions, and is that of a function."""

_compared: dict[int, tuple[CodeType, dict[int, _Name]]] = {}


def _asks_for_original(original: object, frame: FrameType) -> bool:
    code = frame.f_code
    known = _compared.get(id(code))
    places = _remember_compared(code)[1] if known is None else known[1]
    if code.co_flags & inspect.CO_OPTIMIZED:
        if not places:
            if len(_ordinary) >= _MOST_NAMES:
                _ordinary.clear()
            _ordinary[id(code)] = code
            return False
    elif _is_for_good(frame):
        return True
    return _is_compared_with(original, frame, places)


def _remember_compared(code: CodeType) -> tuple[CodeType, dict[int, _Name]]:
    """Find the names in a code that operands of comparisons are compared with, by their place."""
    places: dict[int, _Name] = {}
    instructions = instructions_of(code)
    for end, each in enumerate(instructions):
        if each.opname == "IS_OP" or (each.opname, each.argval) in _EQUALITIES:
            middle, right = _name_before(instructions, end)
            _, left = _name_before(instructions, middle)
            is_none = instructions[middle - 1].opname == "LOAD_CONST"
            if not right and each.opname == "IS_OP" and instructions[end - 1].opname not in _PLAIN:
                before = _name_where_it_begins(instructions[:end], each)
                if before is not None:
                    places[before.offset] = ()
            if right and (left or (each.opname == "IS_OP" and not is_none)):
                places[instructions[end - 1].offset] = left
            if left and right:
                places[instructions[middle - 1].offset] = right
    if len(_compared) >= _MOST_NAMES:
        _compared.clear()
    known = _compared[id(code)] = code, places
    return known


def _name_before(instructions: list[dis.Instruction], end: int) -> tuple[int, _Name]:
    """Find the dotted name that is got last before an instruction, and where that begins."""
    start = end - 1
    while start >= 0 and instructions[start].opname in _ATTRIBUTES:
        start -= 1
    loads = instructions[max(start, 0) : end]
    if not loads or not all(
        each.opname.startswith("LOAD_") and isinstance(each.argval, str) for each in loads
    ):
        return start, ()
    return start, tuple(each.argval for each in loads)


def _name_where_it_begins(
    instructions: list[dis.Instruction], comparison: dis.Instruction
) -> dis.Instruction | None:
    """Find what gets the name that a comparison begins with; None for other expressions."""
    start = comparison.positions
    found = None
    for each in instructions:
        place = each.positions
        if not place or not start:
            continue
        if (place.lineno, place.col_offset) == (start.lineno, start.col_offset):
            found = each if each.opname in (*_ATTRIBUTES, "LOAD_GLOBAL", "LOAD_NAME") else None
    return found


def _is_compared_with(function: object, frame: FrameType, places: dict[int, _Name]) -> bool:
    name = places.get(frame.f_lasti)
    if name is None:
        return False
    if not name:
        if _is_library(frame.f_globals):
            return False
        raise UnsupportedError(
            f"whether an expression `is` NumPy's function {getattr(function, '__name__', function)}"
            " cannot be told while another stands for it",
            instead="the expression in a variable before: f = functions[name]; f is np.mean",
        )
    variable, *attributes = name
    value = frame.f_locals.get(variable, frame.f_globals.get(variable))
    for each in attributes:
        # Without what a property may do.
        found = inspect.getattr_static(value, each, None)
        is_slot = isinstance(found, MemberDescriptorType)
        value = found.__get__(value) if is_slot else found
    return value is function


def _is_for_good(frame: FrameType) -> bool:
    """Whether it is a module that asks while it is imported, and that may keep what it gets.

    What it has by name is replaced until the last trace ends, as it is with other modules.
    """
    is_imported = getattr(frame.f_globals.get("__spec__"), "_initializing", False)
    return is_imported and dis.opname[frame.f_code.co_code[frame.f_lasti]] != "IMPORT_FROM"


class _ReplacedNames:
    """The names of a module of the user's that stand for functions of NumPy's.

    Parameters
    ----------
    names : dict
        Of the module.
    replacements : dict
        What to put there while a function is traced.
    additions : dict, optional
        What to put there besides, by names that the module does not have: those of builtins.
    """

    def __init__(
        self,
        names: dict[str, Any],
        replacements: dict[str, Any],
        additions: dict[str, Any] | None = None,
    ) -> None:
        self.names = names
        self._replacements = [(name, names[name], each) for name, each in replacements.items()]
        self._additions = tuple((additions or {}).items())

    def replace(self) -> None:
        """Put the replacements where the originals are; what somebody else has put there stays."""
        names = self.names
        for name, original, replacement in self._replacements:
            if names.get(name) is original:
                names[name] = replacement
        for name, addition in self._additions:
            names.setdefault(name, addition)

    def restore(self) -> None:
        """Put the originals back, except where somebody else has put something meanwhile."""
        names = self.names
        for name, original, replacement in self._replacements:
            if names.get(name) is replacement:
                names[name] = original
        for name, addition in self._additions:
            if names.get(name) is addition:
                del names[name]


class _Namespaces:
    """The modules that have functions of NumPy's by name, as in ``from numpy import zeros``.

    Attributes
    ----------
    now : dict
        By the name of the module.
    """

    def __init__(self) -> None:
        self.now: dict[str, _ReplacedNames] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        self._modules = 0
        self._met: dict[int, _ReplacedNames] = {}
        self._known: WeakKeyDictionary[CodeType, tuple[int, int, _Found]] = WeakKeyDictionary()

    def meet(self, function: Any) -> None:
        """Replace the names that a function has, unless they are a module's."""
        while not isinstance(function, FunctionType):
            if isinstance(function, MethodType):
                function = function.__func__
            elif isinstance(function, functools.partial):
                function = function.func
            else:
                function = inspect.getattr_static(type(function), "__call__", None)
                if not isinstance(function, FunctionType):
                    return
        names = function.__globals__
        module = sys.modules.get(names.get("__name__") or "")
        if id(names) in self._met or (
            isinstance(module, ModuleType) and object.__getattribute__(module, "__dict__") is names
        ):
            return
        known = self._known.get(function.__code__)
        if known is None or known[:2] != (id(names), len(names)):
            known = id(names), len(names), _replacements_in(names, is_module=False)
            self._known[function.__code__] = known
        self._met[id(names)] = replaced = _ReplacedNames(names, *known[2])
        replaced.replace()

    def leave(self) -> None:
        """Put back what was replaced where functions were met."""
        for names in self._met.values():
            names.restore()
        self._met.clear()

    def found(self) -> Iterable[_ReplacedNames]:
        """Look through the modules that are new or have new names."""
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            new = _of_scipy.new()
            if new:
                _stand_ins_by_id.update(new)
                self._seen.clear()
            for name, module in list(sys.modules.items()):
                self._look(name, module)
        else:
            # A session goes on importing, and a module may be loaded anew.
            for name in ("__main__", *self.now):
                self._look(name, sys.modules.get(name))
        return self.now.values()

    def restore_new(self) -> None:
        """Put NumPy's functions where modules that were imported meanwhile have replacements."""
        if len(sys.modules) == self._modules:
            return
        for name, module in list(sys.modules.items()):
            if name in self._seen or not isinstance(module, ModuleType):
                continue
            names = object.__getattribute__(module, "__dict__")
            for key, value in list(names.items()):
                original = _originals_by_id.get(id(value))
                if original is not None:
                    names[key] = original

    def _look(self, name: str, module: object) -> None:
        try:
            # As an attribute, the names of a module that is loaded lazily would load it.
            names = object.__getattribute__(module, "__dict__")
        except AttributeError:
            return
        seen = id(names), len(names)
        if self._seen.get(name) == seen:
            return
        self._seen[name] = seen
        replacements, additions = _replacements_in(names, is_module=True)
        if replacements or additions:
            self.now[name] = _ReplacedNames(names, replacements, additions)
        else:
            self.now.pop(name, None)


_Found: TypeAlias = tuple[dict[str, Any], dict[str, Any]]
"""What is to be put in the place of names, and what there is to be besides."""


def _replacements_in(names: dict[str, Any], *, is_module: bool) -> _Found:
    is_users = is_user_code(names.get("__file__") or "")
    stand_ins: Mapping[int, Any] = _stand_ins_in_user_code if is_users else _stand_ins_by_id
    replacements = {
        key: stand_ins[id(value)] for key, value in list(names.items()) if id(value) in stand_ins
    }
    # Who is a library takes longer to find out.
    if not (replacements or has_numpy(names)) or _is_library(names):
        return {}, {}
    if not is_users:
        return replacements, {}
    source = source_of(names)
    converted = converted_in(names, source if is_module else None)
    return replacements, {**asked_in(names, source), **converted}


# Who calls

_LIBRARIES = {"numpy": True, "scipy": True, "steepest": True}


def _is_library(module: dict[str, Any]) -> bool:
    """Whether a module is of an installed package with compiled parts, which need ndarrays."""
    name = module.get("__name__") or ""
    known = _known.get(name)
    if known is None:
        root = name.partition(".")[0]
        known = _known[name] = _LIBRARIES.get(root, False) or (
            any(each in (module.get("__file__") or "") for each in _INSTALLED)
            and root in _compiled_packages(len(sys.modules))
        )
    return known


def _is_followed(frame: FrameType) -> bool:
    """Whether code is the user's, or some of SciPy's that is run on Arrays."""
    name = frame.f_globals.get("__name__") or ""
    return name.startswith(making.followed) or not _is_library(frame.f_globals)


class following:  # noqa: N801  # a context, as `contextlib.suppress` is
    """Take code of SciPy's for the user's: what it makes with NumPy are Arrays.

    Parameters
    ----------
    *modules : str
        How the names of the modules begin that have it.
    """

    _lock = threading.RLock()
    _users: ClassVar[dict[str, int]] = {}
    _found: ClassVar[dict[str, tuple[int, list[_ReplacedNames]]]] = {}

    def __init__(self, *modules: str) -> None:
        self._modules = modules

    def __enter__(self) -> None:
        self._before = making.followed
        if not making.depth:
            return
        with self._lock:
            for each in self._modules:
                self._users[each] = self._users.get(each, 0) + 1
                if self._users[each] == 1:
                    for names in self._names(each):
                        names.replace()
        making.followed = (*self._before, *self._modules)

    def __exit__(self, *_error: object) -> None:
        if making.followed == self._before:
            return
        making.followed = self._before
        with self._lock:
            for each in self._modules:
                self._users[each] -= 1
                if not self._users[each]:
                    for names in self._found[each][1]:
                        names.restore()

    def _names(self, beginning: str) -> list[_ReplacedNames]:
        """Find the names in its modules that stand for functions of NumPy's and SciPy's."""
        count, names = self._found.get(beginning, (0, []))
        if count != len(sys.modules):
            names = []
            for name, module in list(sys.modules.items()):
                if name.startswith(beginning) and isinstance(module, ModuleType):
                    found = vars(module)
                    # Classes are compared and inherited from there.
                    replacements = {
                        key: _stand_ins_by_id[id(value)]
                        for key, value in list(found.items())
                        if id(value) in _stand_ins_by_id and not isinstance(value, type)
                    }
                    if replacements:
                        names.append(_ReplacedNames(found, replacements))
            self._found[beginning] = len(sys.modules), names
        return names


_known: dict[str, bool] = {}
_INSTALLED = ("site-packages", "dist-packages")


@functools.lru_cache(maxsize=1)
def _compiled_packages(_modules: int) -> frozenset[str]:
    """Find the packages that have compiled parts, when there are so many modules."""
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    return frozenset(
        name.partition(".")[0]
        for name, module in list(sys.modules.items())
        if (getattr(module, "__file__", None) or "").endswith(suffixes)
    )


def _replacement(original: Any, make: Callable[..., Value]) -> Callable[..., Value]:
    @functools.wraps(original)
    def replacement(*args: Any, **settings: Any) -> Value:
        if making.depth:
            caller = sys._getframe(1)
            if _is_followed(_asking(caller)) and (
                _calls(caller, replacement) or (is_traced(args) and _is_builtin_calling(caller))
            ):
                return make(*args, **settings)
        return original(*args, **settings)

    return replacement


def _replacement_of_new(
    original: Any, taking: Callable[..., Any] | None = None
) -> Callable[..., Value]:
    """Make the replacement of a function that makes new ndarrays: Arrays are made of these.

    Parameters
    ----------
    taking : callable, optional
        The function for traced values; without it, what the table of functions has.
    """
    taking = taking or taking_lists(original, _array)

    @functools.wraps(original)
    def replacement(*args: Any, **settings: Any) -> Value:
        result = taking(*args, **settings)
        # Of Arrays it has made an Array already, whoever calls.
        if type(result) is not Array and making.depth:
            caller = sys._getframe(1)
            if _is_followed(_asking(caller)) and _calls(caller, replacement):
                return _owned(result)
        return result

    return replacement


def _drawn(result: Value, caller: FrameType, method: str) -> Value:
    """Make Arrays of what a method of a generator has made for code of the user's."""
    if type(result) is np.ndarray and making.depth and not _is_library(caller.f_globals):
        # Compiled code that calls it has no frame, and what is called there is something else.
        names = _names_called(caller.f_code, caller.f_lasti)
        if names and names[-1][1] == method:
            return _owned(result)
    return result


def _asking(frame: FrameType) -> FrameType:
    """Find who asks for an array: of np.polynomial, plain NumPy in Python, who called that."""
    between: tuple[str, ...] = ("numpy.polynomial",)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(between):
        frame = frame.f_back
        # Some of its functions were looked up by NumPy's protocol on the way.
        between = ("numpy.polynomial", "steepest.array")
    return frame


def _calls(frame: FrameType, function: object) -> bool:
    """Whether it is this frame's code that calls a function.

    Compiled code has no frame of its own. What it calls seems to be called by whoever called it,
    and it takes without question that ``np.empty`` makes an ndarray.
    """
    names = _names_called(frame.f_code, frame.f_lasti)
    return bool(names) and _value_of(names, frame) is function


def _is_builtin_calling(frame: FrameType) -> bool:
    """Whether it is one of Python's builtins that calls a function: ``list(map(np.array, a))``."""
    if not dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith(("CALL", "PRECALL")):
        # Who asks is an iterator, as in ``a, b = map(np.array, c)``.
        return True
    names = _names_called(frame.f_code, frame.f_lasti)
    called = _value_of(names, frame) if names else None
    return isinstance(called, functools.partial) or getattr(called, "__module__", "") in _BUILTINS


_BUILTINS = ("builtins", "functools", "_functools", "itertools", "operator", "_operator")


def _value_of(names: list[tuple[str, str]], frame: FrameType) -> Any:
    (kind, first), *attributes = names
    value = frame.f_globals.get(first, frame.f_builtins.get(first))
    if kind != "LOAD_GLOBAL":
        value = frame.f_locals.get(first, value)
    for _, name in attributes:
        if not isinstance(value, ModuleType):
            value = getattr(value, "__dict__", {}).get(name)
        else:
            value = getattr(value, name, None)
    return value


def _names_called(code: CodeType, offset: int) -> list[tuple[str, str]]:
    """Find the dotted name that an instruction calls; empty where there is none."""
    known = _names.get((id(code), offset))
    if known is not None and known[0] is code:
        return known[1]
    instructions = [each for each in instructions_of(code) if each.offset <= offset]
    names: list[tuple[str, str]] = []
    # The offset may lie in the cache behind the instruction.
    call = instructions[-1].positions if instructions else None
    if call is not None:
        for each in instructions:
            place = each.positions
            # The name that is called begins where the call begins, and ends before it does.
            if (
                place
                and each.opname.startswith("LOAD_")
                and isinstance(each.argval, str)
                and (place.lineno, place.col_offset) == (call.lineno, call.col_offset)
                and (place.end_lineno, place.end_col_offset)
                < (call.end_lineno, call.end_col_offset)
            ):
                if each.opname not in _ATTRIBUTES:
                    names.clear()
                names.append((each.opname, each.argval))
    if len(_names) >= _MOST_NAMES:
        _names.clear()
    _names[id(code), offset] = code, names
    return names


_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_PLAIN = ("LOAD_CONST", "LOAD_FAST", "LOAD_DEREF")
"""What gets a value that a comparison tells from a function without more ado."""
_names: dict[tuple[int, int], tuple[CodeType, list[tuple[str, str]]]] = {}
_MOST_NAMES = 10_000


# What they make


def _owned(result: Value) -> Value:
    """Make Arrays of new ndarrays of numbers."""
    if type(result) is np.ndarray:
        return duck(result) if result.dtype.kind in "biufc" else result
    if type(result) in (tuple, list):
        return type(result)(map(_owned, result))
    return result


def _array(
    object: Value,  # noqa: A002  # NumPy's name
    dtype: Any = None,
    *,
    copy: bool | None = True,
    order: Any = "K",
    ndmin: int = 0,
    **settings: Any,
) -> Value:
    result: Value
    if isinstance(object, FlatIterator):
        object = object.copy()  # noqa: A001
    elif isinstance(object, np.poly1d):
        object = object.coeffs  # noqa: A001
    if isinstance(copy, np._CopyMode):
        copy = {0: None, 1: True, 2: False}[{"IF_NEEDED": 0, "ALWAYS": 1}.get(copy.name, 2)]
    if copy is False:
        _refuse_copy(object, dtype)
    if isinstance(object, Array):
        result = as_ndarray(object)
        if dtype is not None and np.dtype(dtype) != result.dtype:
            result = _without_gradient(result.astype(dtype))
        elif copy:
            result = np.copy(result, order)
    elif is_traced(object):
        plain = _original_array(_stand_ins(object), dtype, **settings)
        check_keeps_numbers(plain.dtype)
        result = _built(object, plain.dtype)
    else:
        result = _original_array(
            _plain(object), dtype, copy=copy, order=order, ndmin=ndmin, **settings
        )
        return result if _is_shared(result, object) else _owned(result)
    if ndmin > result.ndim:
        result = np.reshape(result, (1,) * (ndmin - result.ndim) + result.shape)
    return result


def _refuse_copy(value: Value, dtype: Any) -> None:
    """Have NumPy raise its error where an array cannot be made without a copy."""
    if is_traced(value):
        _original_array(_stand_ins(value), dtype, copy=False)


def joined(value: Any) -> Any:
    """Make an Array of a list that holds traced values; leave what else there is alone."""
    return _array(value) if type(value) in (list, tuple) and is_traced(value) else value


def _is_shared(result: Value, given: Any) -> bool:
    """Whether an array is the given one, or one over its memory."""
    if is_ndarray(given):
        return result is given or np.may_share_memory(result, given)
    return not isinstance(given, (list, tuple)) and not result.flags.owndata


def _without_gradient(value: Value) -> Value:
    return value if isinstance(value, Array) else _owned(np.asarray(value))


def _plain(value: Any) -> Any:
    """Take the values out of Arrays in nested lists in which nothing is differentiated."""
    if isinstance(value, Array):
        return plain_value(value, "np.array")
    if type(value) in (list, tuple) and any(
        isinstance(each, (Array, list, tuple)) for each in value
    ):
        return type(value)(map(_plain, value))
    return value


def _stand_ins(value: Any) -> Any:
    """Replace Arrays in nested lists by their values, or by zeros of their type."""
    if isinstance(value, (list, tuple)):
        return [_stand_ins(each) for each in value]
    if not isinstance(value, Array):
        return value
    plain: Value = value
    while isinstance(plain, Traced):
        plain = plain._value
    if plain is not None:
        return plain
    kind = value_type(value)
    if kind.weak:
        return {"f": 0.0, "c": 0j}.get(kind.dtype.kind, 0)
    return np.broadcast_to(np.zeros((), kind.dtype), kind.shape)


def _built(value: Any, dtype: np.dtype[Any]) -> Value:
    """Build an array of nested lists, of which some entries are traced."""
    if not isinstance(value, (list, tuple)):
        return value
    parts = [_built(each, dtype) for each in value]
    if not any(isinstance(each, Array) for each in parts):
        return _original_array(parts, dtype)
    if dtype.kind != "c":
        # NumPy's truncation to integers, and what it says of complex numbers.
        narrowed = "fc" if dtype.kind != "f" else "c"
        parts = [
            each.astype(dtype) if isinstance(each, Array) and each.dtype.kind in narrowed else each
            for each in parts
        ]
        if not any(isinstance(each, Array) for each in parts):
            return _owned(_original_array(parts, dtype))
    parts = [
        each if isinstance(each, (Array, float, int, complex, np.generic)) else np.asarray(each)
        for each in parts
    ]
    return bind(_stack, tuple(map(snapshot, parts)), {"dtype": dtype})


def _as(order: Any, at_least: int) -> Callable[..., Value]:
    def make(a: Value, dtype: Any = None, order: Any = order, **settings: Any) -> Value:
        copy, order = settings.pop("copy", None), memory_order(order)
        if copy is False:
            _refuse_copy(a, dtype)
        if not isinstance(a, Array) or order not in ("C", "F"):
            return _array(a, dtype, copy=copy, order=order, ndmin=at_least, **settings)
        lies = _lies(a, order)
        copied = True if copy or lies is False else None
        result = _array(a, dtype, copy=copied, order=order, ndmin=at_least)
        if lies is None and result is a:
            return linked(snapshot(a), a, refusal=unknown_layout())
        return result

    return make


def _require(a: Value, dtype: Any = None, requirements: Any = None, *, like: None = None) -> Value:
    # NumPy's checks, and the letters that its words stand for.
    np.require(np.empty(0), None, requirements)
    wanted = {str(each)[:1].upper() for each in requirements or ()}
    order: Any = "F" if "F" in wanted else "C" if "C" in wanted else None
    result = _MAKERS["asanyarray"](a, dtype) if order is None else _as(order, 0)(a, dtype)
    link = result._alias if isinstance(result, Array) else None
    if isinstance(link, View) and ("O" in wanted or ("W" in wanted and not link.writeable)):
        return np.copy(result, order or "K")
    return result


def _lies(array: Array, order: str) -> bool | None:
    """Whether the entries lie in an order; None where that is not known."""
    value: Value = array
    while isinstance(value, Traced):
        value = value._value
    if is_ndarray(value):
        return bool(value.flags.c_contiguous if order == "C" else value.flags.f_contiguous)
    return True if value is not None or (order == "C" and is_contiguous(array)) else None


def _full(shape: Any, fill_value: Value, dtype: Any = None, *args: Any, **settings: Any) -> Value:
    if not is_traced(fill_value):
        return _owned(_originals["full"](shape, _plain(fill_value), dtype, *args, **settings))
    fill = _array(fill_value, dtype)
    return _array(np.broadcast_to(fill, shape))


def _arange(*args: Any, **settings: Any) -> Value:
    given = (*args, *settings.values())
    if not is_traced(given):
        settings = {name: _plain(each) for name, each in settings.items()}
        return _owned(_originals["arange"](*map(_plain, args), **settings))
    plain = _originals["arange"](
        *(plain_value(each, "np.arange") for each in args),
        **{name: plain_value(each, "np.arange") for name, each in settings.items()},
    )
    names = ("start", "stop", "step")
    by_name = {**dict(zip(names, args, strict=False)), **settings}
    start = by_name.get("start", 0) if len(args) > 1 or "start" in settings else 0
    step = by_name.get("step", 1)
    # As NumPy, which takes the difference of the first two entries.
    first, second = (
        each.astype(plain.dtype) if isinstance(each, Array) else each
        for each in (start, start + step)
    )
    values = first + np.arange(plain.size) * (second - first)
    return values.astype(plain.dtype) if isinstance(values, Array) else _owned(plain)


def _full_like(a: Value, fill_value: Value, *args: Any, **settings: Any) -> Value:
    if is_traced(fill_value):
        return full_like(a, fill_value, *args, **settings)
    return _owned(_originals["full_like"](a, _plain(fill_value), *args, **settings))


def _asarray_chkfinite(a: Value, dtype: Any = None, order: Any = None) -> Value:
    result = _as(None, 0)(a, dtype, order)
    if value_type(result).dtype.kind in "fc" and not np.all(np.isfinite(result)):
        raise ValueError("array must not contain infs or NaNs")
    return result


def _empty(original: Callable[..., Any]) -> Callable[..., Value]:
    """Make zeros of what is left open, so that a recording is the same each time."""

    def make(*args: Any, **settings: Any) -> Value:
        result = original(*args, **settings)
        if type(result) is np.ndarray and result.dtype.kind in "biufc":
            result.fill(0)
        return _owned(result)

    return make


def _fromiter(iter: Iterable[Any], dtype: Any, count: int = -1, **settings: Any) -> Value:  # noqa: A002
    values = list(iter if count < 0 else itertools.islice(iter, count))
    if 0 <= len(values) < count:
        raise ValueError(
            f"iterator too short: Expected {count} but iterator had only {len(values)} items."
        )
    if is_traced(values):
        return _array(values, dtype)
    return _owned(_originals["fromiter"](map(_plain, values), dtype, **settings))


def _number_of(kind: type[np.generic]) -> Callable[..., Value]:
    """Make what stands for a type of numbers where it is called: numbers keep their gradient."""
    make: Any = kind

    def convert(*args: Any, **settings: Any) -> Value:
        if len(args) != 1 or settings or not is_traced(args[0]):
            return make(*args, **settings)
        (given,) = args
        if not issubclass(kind, np.inexact):
            return make(plain_value(given, f"np.{kind.__name__}(…)"))
        # NumPy's errors and warnings.
        make(_stand_ins(given))
        value: Any = _MAKERS["asarray"](given, kind)
        return value if value.ndim else value[()]

    return convert


_TYPES = set(np.sctypeDict.values())
_NUMBERS = {
    name: _number_of(kind)
    for name, kind in vars(np).items()
    if isinstance(kind, type) and kind in _TYPES and np.dtype(kind).kind in "biufc"
}

_NEW = (
    "column_stack", "concatenate", "copy", "diag", "diagflat", "eye", "geomspace",
    "hstack", "identity", "indices", "linspace", "logspace", "meshgrid", "ones", "ones_like",
    "outer", "repeat", "stack", "tile", "tri", "tril", "triu", "vander", "vstack", "zeros",
    "zeros_like",
)  # fmt: skip

_MAKERS: dict[str, Callable[..., Value]] = {
    "array": _array,
    "asarray": _as(None, 0),
    "asanyarray": _as(None, 0),
    "ascontiguousarray": _as("C", 1),
    "asfortranarray": _as("F", 1),
    "asarray_chkfinite": _asarray_chkfinite,
    "full": _full,
    "full_like": _full_like,
    "arange": _arange,
    "empty": _empty(np.empty),
    "empty_like": _empty(np.empty_like),
    "fromiter": _fromiter,
    "require": _require,
    "apply_along_axis": apply_along_axis,
}
_originals = {name: getattr(np, name) for name in (*_MAKERS, *_NEW)}
_original_array = np.array


def _replaced(
    module: ModuleType, own: dict[str, Any], taking: Iterable[str], called: Any = None
) -> _ReplacedAttributes:
    """Replace attributes of a module of NumPy's: its own, and what takes lists."""
    names = vars(module)
    replacements = {name: taking_lists(names[name], _array) for name in taking if name in names}
    return _ReplacedAttributes(module, {**replacements, **own}, called)


def _replacement_of_random(name: str) -> Callable[..., Any]:
    original = getattr(np.random, name)
    rearranged = rearranging(original, joined, is_of_old=True)
    return _replacement_of_new(original, None if rearranged is original else rearranged)


_MODULES = (
    _replaced(
        np,
        {
            **{name: _replacement(_originals[name], make) for name, make in _MAKERS.items()},
            **{name: _replacement_of_new(_originals[name]) for name in _NEW},
            **EQUIVALENTS,
            "c_": Concatenation(np.c_, _array, _arange),
            "mgrid": Grid(np.mgrid, _arange),
            "ogrid": Grid(np.ogrid, _arange),
            "r_": Concatenation(np.r_, _array, _arange),
        },
        TAKING_LISTS,
        _NUMBERS,
    ),
    _replaced(np.linalg, {}, TAKING_LISTS_IN_LINALG),
    _replaced(np.fft, {}, TAKING_LISTS_IN_FFT),
    _replaced(np.lib.stride_tricks, {"as_strided": as_strided}, ()),
    _replaced(
        np.random,
        {
            **{name: _replacement_of_random(name) for name in (*NAMES, "shuffle")},
            **generators(_drawn, joined),
        },
        (),
    ),
)
_stand_ins_by_id = {
    id(module.originals[name]): each
    for module in _MODULES
    for name, each in module.replacements.items()
}
"""By the identity of what is replaced, which NumPy keeps alive."""
_stand_ins_in_user_code: Mapping[int, Any] = ChainMap(_stand_ins_by_id, math_functions.STAND_INS)
_originals_by_id = {
    id(each): module.originals[name]
    for module in _MODULES
    for name, each in module.replacements.items()
}
_namespaces = _Namespaces()
_of_scipy = scipy_names.Found()
_original_vectorize_call = _Vectorize._vectorize_call


def _vectorize_call(vectorized: Any, func: Callable[..., Any], args: Any) -> Value:
    function = getattr(vectorized.pyfunc, "__func__", vectorized.pyfunc)
    module = getattr(function, "__globals__", None)
    if not making.depth or (not is_traced(args) and (module is None or _is_library(module))):
        return _original_vectorize_call(vectorized, func, args)
    return vectorize_call(vectorized, func, args, _array)
