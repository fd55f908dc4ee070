"""Ndarrays that become Arrays when the function that made them writes a traced value into them.

Nobody tells of ``buffer = captured.copy()``: a method of an ndarray asks nobody, and an ndarray
comes of it. When ``buffer[key] = x`` is to write a traced value there, and nothing but a local
variable, or an attribute, holds the ndarray, then an Array can take its place: nobody can tell.

NumPy's C code, in the middle of the write, asks the value for numbers, and the frame that it came
from says which variable that is. The key is nowhere to be had. So NumPy is given the *positions*
of the entries, counted from 1, to write into an array of zeros, and what it has written where is
read there when the Array is next asked for anything.
"""

from __future__ import annotations

import ctypes
import dis
import math
import sys
import sysconfig
from collections.abc import Callable
from types import CodeType, FrameType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from steepest.array import plain
from steepest.array.array import Array, ArrayWithoutValue, end_writing
from steepest.array.buffers import PLAIN, duck, is_own, references, snapshot
from steepest.array.bytecode import instructions_of
from steepest.errors import is_user_code
from steepest.ops.spec import Primitive, Trace, Value

__all__ = ["Pending", "adopt", "adopt_in_place", "refuse_of_other_kind", "resolve"]

_Plain = np.ndarray[Any, Any]
_Name = tuple[str, ...]
"""A variable, and the attributes that lead on from it."""


class Pending:
    """Of an Array that has taken the place of an ndarray, until it is asked for its value.

    Attributes
    ----------
    before : ndarray
        What the ndarray was.
    positions : ndarray
        Where NumPy writes which entries of the value: the ndarray itself.
    value : Array
        What is written.
    """

    __slots__ = ("before", "positions", "value")

    def __init__(self, before: _Plain, positions: _Plain, value: Value) -> None:
        self.before = before
        self.positions = positions
        self.value = value


def resolve(array: Array) -> None:
    """Write what NumPy was to write, now that it has said where."""
    pending: Pending = array._alias
    array._alias = None
    array.become(duck(pending.before))
    end_writing(array)
    flat = pending.positions.flatten()
    # A trace may have captured the ndarray, and reads it later.
    pending.positions[...] = pending.before
    places = np.flatnonzero(flat)
    if not places.size:
        # NumPy has raised an error, or the key is one of nothing.
        return
    value = pending.value
    entries = np.real(flat[places]).astype(np.intp) - 1
    key, lengths = _key(np.unravel_index(places, array.shape) if array.shape else ())
    if value.size == 1:
        array[key] = np.reshape(value, ())
    elif np.array_equal(entries, np.arange(value.size)):
        array[key] = np.reshape(value, lengths)
    else:
        array[key] = np.reshape(np.ravel(value)[entries], lengths)


def _key(places: tuple[_Plain, ...]) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """Make the key of some places, given in the order of C: slices, if there are such.

    Returns
    -------
    tuple, tuple of int
        The key, and the shape of what it is the key of.
    """
    slices = []
    lengths = []
    for axis in places:
        taken = np.unique(axis)
        steps = np.diff(taken)
        step = int(steps[0]) if steps.size else 1
        if np.any(steps != step):
            break
        slices.append(slice(int(taken[0]), int(taken[-1]) + 1, step))
        lengths.append(taken.size)
    count = places[0].size if places else 1
    if len(slices) < len(places) or math.prod(lengths) != count:
        return places, (count,)
    return tuple(slices), tuple(lengths)


def adopt(value: Array, frame: FrameType, *, as_number: bool = False) -> _Plain | None:
    """Let an Array take the place of the ndarray that a frame is about to write a value into.

    Parameters
    ----------
    value : Array
        Which NumPy asks for its numbers.
    frame : frame
        Of the user's, at ``target[key] = value``.
    as_number : bool
        Whether NumPy asks for one Python number, to put it where the key says.

    Returns
    -------
    ndarray or None
        What NumPy is to write there; None when somebody else than a trace holds the ndarray,
        or it is not known who does.
    """
    place = _place(frame.f_code, frame.f_lasti)
    if place is None:
        return None
    names, key = place
    namespace = _namespace(frame, names)
    array = namespace.get(names[-1])
    if not is_own(array):
        return None
    extra = references(array) - (_HELD_BY_VARIABLE if len(names) == 1 else _HELD_BY_ATTRIBUTE)
    traces = _traces(value)
    extra -= sum(trace.references_to(array) for trace in traces)
    if extra and (as_number or extra != _BY_NUMPY or not _refers_once_more(key, frame, array.ndim)):
        return None
    positions = _positions(value.shape, array.dtype)
    if positions is None:
        return None
    standing = _pending(array, snapshot(value))
    array.fill(0)
    for trace in traces:
        trace.owe(standing)
    _put(frame, names, namespace, standing)
    return positions


def refuse_of_other_kind(frame: FrameType) -> None:
    """Refuse a write into an array that does not consist of numbers.

    Raises
    ------
    UnsupportedError
        For objects and records.
    """
    place = _place(frame.f_code, frame.f_lasti)
    if place is None:
        return
    array = _namespace(frame, place[0]).get(place[0][-1])
    if type(array) is np.ndarray:
        plain.check_keeps_numbers(array.dtype)


def _traces(value: Value) -> list[Trace]:
    traces = []
    while isinstance(value, Array):
        traces.append(value._trace)
        value = value._value
    return traces


def adopt_in_place(out: _Plain, operand: Value) -> Array | None:
    """Let an Array take the place of the ndarray that ``out += x`` and the like apply to.

    Parameters
    ----------
    out : ndarray
    operand : array
        What is added, or the like.

    Returns
    -------
    Array or None
        One that has the ndarray's value, to be written into, and returned to the operator; None
        when somebody else holds the ndarray, or it is not known who does.
    """
    if not isinstance(operand, Array) or not operand._trace.active:
        return None
    if type(operand._trace) is _ProbeTrace:
        _counts.append(references(out))
        return operand
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_own_code(frame):
        frame = frame.f_back
    if frame is None or not is_user_code(frame.f_code.co_filename):
        return None
    found = _store_after(frame.f_code, frame.f_lasti)
    if found is None:
        return None
    store, names = found
    _ = frame.f_locals  # It refers to what local variables have.
    holders = references(out) - _count_of_temporary()
    if store in ("STORE_SUBSCR", "STORE_SLICE"):
        # A part of something, which is written there next.
        is_held_alone = holders == 0
    elif store == "STORE_ATTR":
        # And not that of a class.
        is_attribute = len(names) > 1 and _namespace(frame, names).get(names[-1]) is out
        is_held_alone = holders == 1 and is_own(out) and is_attribute
    else:
        is_held_alone = holders == 1 + _HELD_BY_VARIABLE - _HELD_BY_ATTRIBUTE and is_own(out)
    return Array(PLAIN, np.copy(out, "K"), None) if is_held_alone else None


def _is_own_code(frame: FrameType) -> bool:
    name: str = frame.f_globals.get("__name__", "")
    return name.startswith("steepest.array.")


def _pending(array: _Plain, value: Value) -> Array:
    # Without a trace, value and node, as a view whose owner was written into.
    standing: Array = object.__new__(ArrayWithoutValue)
    standing._alias = Pending(array.copy("K"), array, value)
    return standing


def _positions(shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Plain | None:
    """Make the numbers of a value's entries; None where a dtype cannot tell so many apart."""
    size = math.prod(shape)
    most = 0.0
    if dtype.kind in "iu":
        most = float(np.iinfo(dtype).max)
    elif dtype.kind in "fc":
        most = 2.0 ** (np.finfo(dtype).nmant + 1)
    return None if size > most else np.arange(1, size + 1).astype(dtype).reshape(shape)


# Who holds it


def _namespace(frame: FrameType, names: _Name) -> Any:
    """Find what has what a dotted name stands for: local variables, or attributes of an instance.

    It is empty where that is not known.
    """
    namespace: Any = frame.f_locals
    for name in names[:-1]:
        owner = namespace.get(name)
        namespace = getattr(owner, "__dict__", None)
        if type(namespace) is not dict or isinstance(owner, (type, ModuleType)):
            return {}
    return namespace


def _put(frame: FrameType, names: _Name, namespace: Any, value: Value) -> None:
    namespace[names[-1]] = value
    if len(names) == 1 and sys.version_info < (3, 13):
        # What f_locals has is a copy.
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))


class _Probe:
    """Says how many references there are to an ndarray that it is written into, where known."""

    def __init__(self) -> None:
        self.count = 0

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> _Plain:
        frame = sys._getframe(1)
        place = _place(frame.f_code, frame.f_lasti)
        if place is not None:
            namespace = _namespace(frame, place[0])
            array = namespace.get(place[0][-1])
            self.count = references(array)
        return np.zeros(1)


class _Holder:
    """Has an ndarray as attribute."""


def _count_by_variable(key: Any) -> int:
    probe = _Probe()
    buffer = np.zeros(2)
    buffer[key] = probe
    return probe.count


def _count_by_attribute() -> int:
    probe = _Probe()
    holder: Any = _Holder()
    holder.buffer = np.zeros(2)
    holder.buffer[[0]] = probe
    return probe.count


class _ProbeTrace(Trace):
    """Where a probe is added to an ndarray, which tells how often that is referred to meanwhile."""

    __slots__ = ()

    def record(self, primitive: Primitive, args: Any, static: dict[str, Any]) -> Value:
        return Array(self, np.zeros(1), None)


class _Temporaries:
    """Has new ndarrays as entries, which it does not hold."""

    def __getitem__(self, key: int) -> Any:
        return np.zeros(1)

    def __setitem__(self, key: int, value: Any) -> None:
        pass


_counts: list[int] = []


def _count_of_temporary() -> int:
    """Count the references to what the operator ``+=`` alone holds."""
    if not _counts:
        _Temporaries()[0] += Array(_ProbeTrace(), np.zeros(1), None)
    return _counts[0]


# What a line that is about to write says


_Key = list[set[str]] | bool
"""For each entry the variables that it is computed from; whether there is a slice, if known."""


def _place(code: CodeType, offset: int) -> tuple[_Name, _Key] | None:
    """Find the name of what an instruction writes into, and of what its key consists."""
    found: tuple[_Name, _Key] | None = _read(code, offset, _written_name)
    return found


def _store_after(code: CodeType, offset: int) -> tuple[str, _Name] | None:
    """Find the instruction that stores what an operator as ``+=`` gives; None for other ones.

    Returns
    -------
    (str, tuple of str) or None
        The instruction, and for an attribute its dotted name.
    """
    found: tuple[str, _Name] | None = _read(code, offset, _store_of_operator)
    return found


_IS_KNOWN = (
    sys.implementation.name == "cpython"
    and sys.version_info < (3, 14)
    and not sysconfig.get_config_var("Py_GIL_DISABLED")
)
"""Whether it is a Python whose bytecode and counts of references are known to be read rightly.

In another one an instruction may not count as a reference what it takes, and nothing is adopted.
"""


def _read(code: CodeType, offset: int, reading: Callable[[CodeType, int], Any]) -> Any:
    if not _IS_KNOWN:
        return None
    known = _known.get((id(code), offset))
    if known is None or known[0] is not code:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        known = _known[id(code), offset] = code, reading(code, offset)
    return known[1]


_known: dict[tuple[int, int], tuple[CodeType, Any]] = {}
_MOST_KNOWN = 10_000


def _store_of_operator(code: CodeType, offset: int) -> tuple[str, _Name] | None:
    is_operator = False
    for each in instructions_of(code):
        if each.offset == offset:
            is_operator = each.opname == "BINARY_OP" and each.argrepr.endswith("=")
        elif each.offset > offset and each.opname != "SWAP":
            kind = each.opname
            if not is_operator or kind not in _STORES:
                return None
            if kind == "STORE_DEREF" and each.argval in code.co_freevars:
                return None
            return kind, _attribute_before(_steps(code, offset)) if kind == "STORE_ATTR" else ()
    return None


def _attribute_before(steps: list[_Step]) -> _Name:
    """Find the dotted name of an attribute that an operator as ``+=`` applies to."""
    operand = _start(steps, len(steps))
    if operand is None or operand < 2:
        return ()
    copied, attribute = steps[operand - 2 : operand]
    start = _start(steps, operand - 2)
    if copied.kind != "COPY" or attribute.kind != "LOAD_ATTR" or start is None:
        return ()
    owner = _dotted_name(steps[start : operand - 2])
    return (*owner, attribute.argument) if owner else ()


_STORES = ("STORE_FAST", "STORE_DEREF", "STORE_ATTR", "STORE_SUBSCR", "STORE_SLICE")


class _Step(NamedTuple):
    """An instruction: its kind, what it is about, and how much longer the stack is after it.

    `is_target` says whether what other instructions have left on the stack may lie there too.
    """

    kind: str
    argument: Any
    effect: int
    is_target: bool


def _steps(code: CodeType, offset: int) -> list[_Step]:
    """List the instructions before a place."""
    return [
        _Step(
            "LOAD_FAST" if each.opname in _LOCAL_LOADS else each.opname,
            each.argval,
            dis.stack_effect(each.opcode, each.arg, jump=False),
            each.is_jump_target,
        )
        for each in instructions_of(code)
        if each.offset < offset
    ]


def _start(steps: list[_Step], end: int) -> int | None:
    """Find where the expression begins that ends at a place; None where it has branches."""
    length = 0
    for place in range(end - 1, -1, -1):
        if "JUMP" in steps[place].kind:
            return None
        length += steps[place].effect
        if length == 1:
            return place
    return None


def _dotted_name(steps: list[_Step]) -> _Name:
    variable, *attributes = steps
    if variable.kind not in ("LOAD_FAST", "LOAD_DEREF"):
        return ()
    if any(each.kind != "LOAD_ATTR" for each in attributes):
        return ()
    return tuple(each.argument for each in steps)


def _written_name(code: CodeType, offset: int) -> tuple[_Name, _Key] | None:
    store = dis.opname[code.co_code[offset]]
    if store not in ("STORE_SUBSCR", "STORE_SLICE"):
        return None
    all_steps = steps = _steps(code, offset)
    if steps and steps[-1].kind == "SWAP":
        # What is before the value that += and the like are applied to.
        copies = [i for i, each in enumerate(steps) if each.kind == "COPY"]
        while len(copies) > 1 and copies[-2] == copies[-1] - 1:
            copies.pop()
        steps = steps[: copies[-1]]
    key: int | None = len(steps)
    for _ in range(1 if store == "STORE_SUBSCR" else 2):
        key = None if key is None else _start(steps, key)
    begin = None if key is None else _start(steps, key)
    names = () if begin is None else _dotted_name(steps[begin:key])
    if not names or (len(names) == 1 and names[0] in code.co_freevars):
        # It may be there for longer than the function runs.
        return None
    if any(each.is_target for each in steps[begin:][1:]):
        # It may be what another branch has put there: (u if condition else v)[key] = x.
        return None
    if any(
        each.kind.startswith("STORE_") and each.argument == names[0] for each in all_steps[begin:]
    ):
        # The name has got another value meanwhile.
        return None
    return names, store == "STORE_SLICE" or _entries(steps[key:])


_LOCAL_LOADS = ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK")


def _entries(steps: list[_Step]) -> _Key:
    """Find out what a key consists of."""
    stack: list[set[str] | None] = []
    for each in steps:
        if each.kind == "BUILD_SLICE":
            return True
        if each.kind == "LOAD_CONST":
            if _has_slice(each.argument):
                return True
            stack.append(set() if type(each.argument) is int else None)
        elif each.kind in ("LOAD_FAST", "LOAD_DEREF", "LOAD_GLOBAL") and each.effect == 1:
            stack.append({each.argument})
        elif each.kind == "BINARY_OP":
            left, right = stack.pop(), stack.pop()
            stack.append(None if left is None or right is None else left | right)
        elif each.kind == "BUILD_TUPLE":
            break
        elif each.kind != "UNARY_NEGATIVE":
            rest = len(stack) + each.effect - 1
            if rest < 0:
                return False
            stack[rest:] = [None]
    known = [each for each in stack if each is not None]
    return known if len(known) == len(stack) else False


def _has_slice(entry: object) -> bool:
    if type(entry) is tuple:
        return any(map(_has_slice, entry))
    return entry is None or entry is Ellipsis or type(entry) is slice


def _refers_once_more(key: _Key, frame: FrameType, ndim: int) -> bool:
    """Whether NumPy is known to refer to what it writes into once more, for a key.

    It makes a view of it where there are slices, or axes that the key says nothing of, and an
    iterator for several indices of which some are arrays.
    """
    if isinstance(key, bool):
        return key
    names: Any = frame.f_locals
    entries: list[object] = []
    for each in key:
        values = [names.get(name, frame.f_globals.get(name)) for name in each]
        if len(values) == 1:
            entries += values[0] if type(values[0]) is tuple else values
        elif all(type(value) is int for value in values):
            entries.append(0)
        else:
            return any(map(_has_slice, values))
    if any(map(_has_slice, entries)):
        return True
    axes = sum(map(_axes, entries))
    return axes < ndim or (axes == ndim and len(entries) > 1)


def _axes(entry: object) -> float:
    """Count the axes that the entry of a key is for."""
    if isinstance(entry, (int, np.integer)) and not isinstance(entry, bool):
        return 1
    if isinstance(entry, np.ndarray):
        return entry.ndim if entry.dtype.kind == "b" else 1
    return math.inf


_HELD_BY_VARIABLE = _count_by_variable([0])
_HELD_BY_ATTRIBUTE = _count_by_attribute()
_BY_NUMPY = _count_by_variable(slice(1)) - _HELD_BY_VARIABLE
