"""Memory that Arrays share: views, what writing means for them, and whose memory may be reused.

An Array that owns its memory knows the views into it (weakly), a view knows its owner and the
steps that lead from there. When the owner is written into, its views forget their values; a view
that is asked for its value again takes the steps anew. So an Array that shares nothing, or is
never written into, costs nothing more.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from steepest.array.array import Array, begin_writing, end_writing, forget, value_type
from steepest.errors import NeedsValueError, SteepestError, UnsupportedError
from steepest.ops import primitive
from steepest.ops.spec import Primitive, Trace, Traced, Value, bind, is_ndarray, released

__all__ = [
    "PLAIN",
    "Memory",
    "Step",
    "View",
    "as_ndarray",
    "compact",
    "copied_from",
    "duck",
    "is_contiguous",
    "is_own",
    "is_unknown",
    "known_as_ndarray",
    "linked",
    "location",
    "making",
    "ndarray_of",
    "overwrite",
    "references_from",
    "refresh",
    "remember_copy",
    "reshape_in_place",
    "reshaped",
    "rewritten",
    "snapshot",
    "strides_of",
    "unknown_layout",
    "view",
]

Step = tuple[Primitive, dict[str, Any]]
"""A primitive that makes a view, and its static argument."""

_reshape = primitive("reshape")
_SETTINGS = {"slice": "key", "reshape": "shape", "transpose": "axes", "broadcast": "shape"}


class _Making(threading.local):
    """Whether functions that make arrays are to make Arrays.

    Attributes
    ----------
    depth : int
        How many functions that are differentiated or recorded run in this thread.
    followed : tuple of str
        How the names of the modules of libraries begin whose code is taken for the user's.
    """

    depth = 0
    followed: tuple[str, ...] = ()


making = _Making()


class _Plain(Trace):
    """The trace of Arrays in which nothing is differentiated: it has always ended."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.active = False

    def after(self, result: Value) -> Value:
        """Keep what comes of an Array an Array, so that it can be written into."""
        return duck(result) if making.depth else result

    def record(self, primitive: Primitive, args: Any, static: dict[str, Any]) -> Value:
        """Evaluate."""
        return primitive.evaluate(*args, **static)


PLAIN = _Plain()


def duck(value: Value) -> Value:
    """Make an Array of an ndarray of one's own, into which traced values can be written."""
    if type(value) is ndarray:
        return Array(PLAIN, value, None)
    if type(value) in (tuple, list):
        return type(value)(map(duck, value))
    return value


_reference = weakref.ref


class Memory:
    """Of an Array that owns its memory: who else looks into it.

    Attributes
    ----------
    views : list of weakref
        To the views that have a value.
    copies : tuple of weakref
        To ndarrays that were copied where NumPy would have made a view.
    contiguous : bool
        Whether the entries are known to lie in the order of C, also where there is no value.
    moved : bool
        Whether the value is a copy of an argument whose entries lie otherwise.
    """

    __slots__ = ("_limit", "contiguous", "copies", "moved", "views")

    def __init__(self, contiguous: bool = False) -> None:
        self.views: list[weakref.ref[Array]] = []
        self.copies: tuple[weakref.ref[np.ndarray[Any, Any]], ...] = ()
        self.contiguous = contiguous
        self.moved = False
        self._limit = 16

    def add(self, array: Array) -> None:
        """Remember a view."""
        views = self.views
        views.append(_reference(array))
        if len(views) > self._limit:
            with WRITES:
                if views is self.views:
                    self.views = []
                    self.views += [each for each in views if each() is not None]
                    self._limit = max(16, 2 * len(self.views))
                    return
        if views is not self.views:
            # Another thread has been through the list meanwhile.
            self.add(array)

    def forget_values(self) -> None:
        """Take the values from all views, before they change.

        Raises
        ------
        NeedsValueError
            When it is not known what a view of them would show.
        UnsupportedError
            When an ndarray that somebody holds would not show it.
        """
        self.check_copies()
        # What other threads add from here on shows what is about to be written, or their own.
        views, self.views = self.views, []
        arrays = [array for array in (each() for each in views) if array is not None]
        for array in arrays:
            link: View = array._alias
            if link.refusal is not None:
                self.views += views
                raise link.refusal
        for array in arrays:
            # One that was added twice has none any more.
            if type(array) is Array:
                forget(array)

    def check_copies(self) -> None:
        """Refuse a write that an ndarray, which shares the memory in NumPy, would not show."""
        if any(each() is not None for each in self.copies):
            raise UnsupportedError(
                "an array was written into that a function which takes ndarrays alone had taken"
                " for one before; what it made of it shares the memory in NumPy, and not here",
                instead="give it a copy, as in function(np.copy(y)), or write before the call",
            )
        self.copies = ()


class View:
    """Of an Array that looks into the memory of another.

    Attributes
    ----------
    owner : Array
    writeable : bool
    refusal : SteepestError or None
        What to raise when a write would have to be seen here, and it is not known how.
    reshapes : bool
        Whether all of the steps from the owner are reshapes.
    """

    __slots__ = ("_before", "_step", "owner", "refusal", "reshapes", "writeable")

    def __init__(
        self,
        owner: Array,
        before: View | None,
        step: Step | None,
        writeable: bool,
        refusal: SteepestError | None,
    ) -> None:
        self.owner = owner
        self.writeable = writeable
        self.refusal = refusal
        # The steps are not put together, so that a view of a view of … costs no more than a view.
        self._before = before
        self._step = step
        self.reshapes: bool = (step is None or step[0] is _reshape) and (
            before is None or before.reshapes
        )

    @property
    def steps(self) -> tuple[Step, ...]:
        """The views that lead from the owner here."""
        steps: list[Step] = []
        link: View | None = self
        while link is not None:
            if link._step is not None:
                steps.append(link._step)
            link = link._before
        return tuple(reversed(steps))


def unknown_layout() -> NeedsValueError:
    """Say that it is not known whether a reshaped array is a view."""
    return NeedsValueError(
        "whether a reshaped array shares its memory depends on how the entries lie there, which"
        " is not known while the function is compiled, and one of the two is written into",
        instead="index the array itself, as in y[i, j] = value, or reshape a copy: "
        "np.reshape(y.copy(), shape)",
    )


def view(
    x: Value,
    entry: Primitive,
    static: dict[str, Any],
    writeable: bool = True,
    refusal: SteepestError | None = None,
) -> Value:
    """Apply a primitive that makes a view.

    Returns
    -------
    Array or ndarray
        An Array that shares its memory with `x`; what is written into one is seen in the other.
    """
    if type(x) is Array and x._trace.active:
        result = x._trace.record(entry, (x,), static)
        if type(x._value) is ndarray and type(result) is Array and type(result._value) is ndarray:
            return _tied(result, x, (entry, static), writeable, refusal)
    else:
        result = bind(entry, (x,), static)
    return linked(result, x, (entry, static), writeable, refusal)


def linked(
    result: Value,
    x: Value,
    step: Step | None = None,
    writeable: bool = True,
    refusal: SteepestError | None = None,
) -> Value:
    """Tie a result to the array that it is a view of."""
    if type(x) is not Array and not isinstance(x, Array):
        return result
    if type(result) is not Array:
        if type(result) is not ndarray:
            return result
        result = Array(PLAIN, result, None)
    if (type(x._value) is not ndarray or type(result._value) is not ndarray) and not _may_share(
        x, result
    ):
        return result
    return _tied(result, x, step, writeable, refusal)


def _tied(
    result: Array,
    x: Array,
    step: Step | None,
    writeable: bool = True,
    refusal: SteepestError | None = None,
) -> Array:
    """Tie two Arrays of ndarrays."""
    before = x._alias
    if type(before) is View:
        owner = before.owner
        result._alias = View(
            owner, before, step, before.writeable and writeable, before.refusal or refusal
        )
        memory = owner._alias
    else:
        result._alias = View(x, None, step, writeable, refusal)
        memory = before
        if memory is None:
            memory = x._alias = Memory()
    memory.add(result)
    return result


def _may_share(x: Array, result: Array) -> bool:
    """Whether both are ndarrays: a NumPy scalar is not written into, and what is read a copy."""
    return x._is_ndarray() and (is_unknown(result) or result._is_ndarray())


def reshaped(x: Value, shape: tuple[int, ...]) -> Value:
    """Reshape, where NumPy makes a view if the layout permits."""
    static = {"shape": shape}
    if type(x) is Array and x._trace.active:
        result = x._trace.record(_reshape, (x,), static)
        if type(x._value) is ndarray and type(result) is Array and type(result._value) is ndarray:
            is_view = _is_view(result._value, x._value)
            return _tied(result, x, (_reshape, static)) if is_view else result
    else:
        result = bind(_reshape, (x,), static)
        if not isinstance(x, Array):
            return result
    before, after = ndarray_of(x), ndarray_of(result)
    if before is None or after is None:
        # A single axis splits up wherever its entries lie, and so does none.
        known = len(x.shape) <= 1 or is_contiguous(x)
        return linked(result, x, (_reshape, static), refusal=None if known else unknown_layout())
    return linked(result, x, (_reshape, static)) if _is_view(after, before) else result


def _is_view(after: np.ndarray[Any, Any], before: np.ndarray[Any, Any]) -> bool:
    """Whether an array has the memory of another that it was made of."""
    base = after.base
    return base is not None and (base is before or base is before.base)


def reshape_in_place(array: Array, shape: Any) -> bool:
    """Give an array other axes, as ``x.shape = shape`` does.

    Returns
    -------
    bool
        Whether it could be done: not to an array of which there are views.

    Raises
    ------
    AttributeError
        As NumPy does, where the entries would have to be moved.
    NeedsValueError
        When that is not known, of a view.
    """
    alias = array._alias
    if type(alias) is Memory and any(each() is not None for each in alias.views):
        return False
    same = snapshot(array)
    if array._is_ndarray() and is_contiguous(array):
        same._alias = Memory(contiguous=True)
    result: Any = np.reshape(same, shape)
    link = result._alias
    if type(link) is not View:
        raise AttributeError(
            "Incompatible shape for in-place modification. Use `.reshape()` to make a copy with"
            " the desired shape."
        )
    if type(alias) is View and link.refusal is not None:
        # Of an array without views nobody needs to know whether it would have been copied.
        raise link.refusal
    array.become(result)
    if type(alias) is View:
        (step,) = link.steps
        array._alias = View(alias.owner, alias, step, alias.writeable, alias.refusal)
    return True


def is_contiguous(array: Array) -> bool:
    """Whether the entries are known to lie in the order of C, without looking at a value."""
    link = array._alias
    if type(link) is View:
        return link.reshapes and (len(link.owner.shape) == 1 or is_contiguous(link.owner))
    return link is not None and link.contiguous


def is_unknown(value: Value) -> bool:
    """Whether only the shape and dtype of a value are known, in the outermost of its traces."""
    while isinstance(value, Traced):
        value = value._value
    return value is None


def copied_from(argument: np.ndarray[Any, Any], array: Array) -> Array:
    """Remember of an Array of a copy whether the entries of the argument lie otherwise."""
    if array._value.strides != argument.strides:
        array._alias = Memory()
        array._alias.moved = True
    return array


def strides_of(array: Array) -> tuple[int, ...]:
    """Tell how many bytes NumPy would have between the entries along each axis.

    Raises
    ------
    NeedsValueError
        While only shape and dtype are known.
    UnsupportedError
        For an argument that is no contiguous array, of which there is a copy that is one.
    """
    value = array._plain_value("x.strides, how the entries lie in memory,")
    link = array._alias.owner._alias if type(array._alias) is View else array._alias
    if link is not None and link.moved:
        raise UnsupportedError(
            "x.strides of an argument that is not contiguous, of which the function has a copy",
            instead="np.ascontiguousarray of the argument, before the function is called",
        )
    return value.strides if isinstance(value, np.ndarray) else ()


def ndarray_of(value: Value) -> np.ndarray[Any, Any] | None:
    """Get the ndarray behind an Array; None where there is a scalar or no value."""
    while isinstance(value, Traced):
        value = value._value
    return value if is_ndarray(value) else None


WRITES = threading.RLock()
"""Held while an array is written into, so that threads may write into parts of one."""


def refresh(array: Array) -> None:
    """Take the value of a view anew, after its owner was written into."""
    link: View = array._alias
    owner = link.owner
    result: Value = owner
    for entry, static in link.steps:
        result = bind(entry, (result,), static)
    if isinstance(result, Array):
        array.become(result)
    else:
        array._trace, array._value, array._node = PLAIN, result, None
    memory: Memory = owner._alias
    memory.add(array)


def remember_copy(array: Array, copy: np.ndarray[Any, Any]) -> None:
    """Remember an ndarray that was copied from an Array where NumPy would have made a view."""
    owner = array._alias.owner if type(array._alias) is View else array
    if owner._alias is None:
        owner._alias = Memory()
    memory: Memory = owner._alias
    held = [each for each in memory.copies if each() is not None]
    memory.copies = (*held, weakref.ref(copy))


def location(array: Array) -> tuple[Array, tuple[tuple[str, Any], ...]]:
    """Find the owner of an Array's memory, and the path that leads from there to the Array.

    The values of all views are forgotten: what follows is a write.

    Raises
    ------
    ValueError
        As NumPy does, when the array is read-only.
    NeedsValueError
        When it is not known what shares the memory.
    """
    link = array._alias
    if type(link) is not View:
        if link is not None:
            link.forget_values()
        return array, ()
    if not link.writeable:
        raise link.refusal or ValueError("assignment destination is read-only")
    owner = link.owner
    memory: Memory = owner._alias
    if references(owner) == _ONE_MORE:
        memory.check_copies()
        # Nobody else looks there any more. A stale value would be asked for in vain after that.
        _ = array._value
        array._alias = Memory()
        return array, ()
    if link.refusal is not None:
        raise link.refusal
    memory.forget_values()
    return owner, tuple(
        (entry.name, static.get(_SETTINGS.get(entry.name, ""))) for entry, static in link.steps
    )


def snapshot(value: Value) -> Value:
    """Make an Array that stays what it is when the given one is written into."""
    return Array(value._trace, value._value, value._node) if isinstance(value, Array) else value


def present(value: Value) -> Value:
    """Make a snapshot of an Array that has no value while another thread writes."""
    with WRITES:
        # Looked at, it has one.
        return Array(value._trace, value._value, value._node) if isinstance(value, Array) else value


def compact(value: Value) -> Value:
    """Take what is kept of a value: of a small part of an array, the part alone.

    So the rest need not stay, and can be written into where it is.
    """
    if type(value) is ndarray:
        # Other things than ndarrays own memory too: bytes, a capsule.
        whole = getattr(value.base, "nbytes", 0)
        return value.copy("K") if 4 * value.nbytes < whole else value
    if isinstance(value, Array):
        return Array(value._trace, compact(value._value), compact(value._node))
    return value


# Whose memory may be written into


def references(value: object) -> int:
    """Count the references to an object."""
    return sys.getrefcount(value)


def _count_of_one() -> int:
    value = np.empty(0)
    return references(value)


def _count_with_attribute() -> int:
    holder = View(Array(PLAIN, 0.0, None), None, None, True, None)
    owner = holder.owner
    return references(owner)


def references_from(
    entries: Iterable[tuple[Any, ...]], array: np.ndarray[Any, Any], holders: int
) -> int:
    """Count the references to an array from entries whose first item is an array.

    Parameters
    ----------
    entries : iterable of tuple
    array : ndarray
        Which the first item may be, or be a view of that nobody else refers to.
    holders : int
        How often what refers to an item refers to it: by the entry, and besides.
    """
    count = 0
    for entry in entries:
        if entry[0] is array:
            count += holders
        elif entry[0].base is array and references(entry[0]) == _ONE_IN_ENTRY + holders - 1:
            count += 1
    return count


def _count_in_entry() -> int:
    for entry in [(np.empty(0),)]:
        count = references(entry[0])
    return count


_ONE_IN_ENTRY = _count_in_entry()
"""What it says of what a tuple alone holds."""

_ONE = _count_of_one()
"""What `references` says of an object that a local variable alone holds."""

_ONE_MORE = _count_with_attribute()
"""What it says when an attribute holds it too."""


def is_own(value: Value) -> bool:
    """Whether a value is an ndarray with writeable memory of its own.

    Views by others are no matter here: they count as references.
    """
    return (
        type(value) is ndarray
        and value.base is None
        and value.flags.owndata
        and value.flags.writeable
    )


def rewritten(
    held: list[Value], operation: Primitive, args: Sequence[Value], static: dict[str, Any]
) -> Value:
    """Write into a value, in its own memory if nothing else holds it.

    Parameters
    ----------
    held : list of one value
        The value, which nobody but the list may hold if it is to be overwritten. It is taken
        out, and put back if an exception is raised.
    operation : Primitive
        One that has `in_place`.
    """
    value = held.pop()
    try:
        if isinstance(value, Traced) or any(isinstance(each, Traced) for each in args):
            if not isinstance(value, Array):
                changed = Array(PLAIN, value, None)
            elif references(value) == _ONE:
                changed = value
            else:
                changed = snapshot(value)
            overwrite(changed, operation, args, static)
            return changed
        if references(value) != _ONE or not is_own(value):
            held.append(value)
            value = _copied(value)
        assert operation.in_place is not None
        operation.in_place(value, *args, **static)
    except BaseException:
        if not held:
            held.append(value)
        raise
    held.clear()
    return value


def _copied(value: Value) -> np.ndarray[Any, Any]:
    copy: np.ndarray[Any, Any] = np.array(value, order="K")
    return copy


def overwrite(
    array: Array, operation: Primitive, args: Sequence[Value], static: dict[str, Any]
) -> None:
    """Let an Array that owns its memory become the result of writing into it."""
    while not array._trace.active and isinstance(array._value, Traced):
        array.become(array._value)
    innermost = array._trace if array._trace.active else None
    for each in args:
        if isinstance(each, Traced):
            trace = each._trace
            if trace.active and (innermost is None or trace.serial > innermost.serial):
                innermost = trace
    if innermost is not None:
        if array._alias is None and not array.shape:
            # It stays an ndarray, also where its value is not known any more.
            array._alias = Memory()
        begin_writing(array)
        try:
            innermost.write(operation, array, [released(each) for each in args], static)
        finally:
            end_writing(array)
        return
    held = [array._value]
    begin_writing(array)
    del array._value
    try:
        array._value = rewritten(held, operation, [released(each) for each in args], static)
        array._trace, array._node = PLAIN, None
    except BaseException:
        array._value = held.pop()
        raise
    finally:
        end_writing(array)


def as_ndarray(x: Array) -> Array:
    """Take a NumPy scalar or Python number as the array without axes that NumPy makes of it."""
    if x._is_ndarray():
        return x
    if value_type(x).weak:
        x = x.astype(value_type(x).dtype)
        if not isinstance(x, Array):
            return duck(np.asarray(x))
    result: Array = known_as_ndarray(_lifted(x))
    return result


def known_as_ndarray(result: Value) -> Value:
    """Remember of a new value without axes that it is an array, where it is not known itself."""
    if type(result) is Array and not result.shape and result._alias is None and is_unknown(result):
        result._alias = Memory(contiguous=True)
    return result


def _lifted(value: Value) -> Value:
    if isinstance(value, Array):
        return Array(value._trace, _lifted(value._value), value._node)
    return value if value is None else np.asarray(value)
