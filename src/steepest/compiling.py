"""``compile``: a function traced once for each signature, and run by an engine after that."""

from __future__ import annotations

import functools
import random
import threading
import warnings
from collections.abc import Callable, Hashable, MutableMapping, Sequence
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

import numpy as np

from steepest.array import Array, value_type
from steepest.array.creating import UserCode
from steepest.array.handed import as_handed
from steepest.array.plain import base_array
from steepest.array.recorder import OuterTraceError, Recorder
from steepest.engines import Interpreter, Run, check_engine, make_run, replay
from steepest.errors import (
    CapturedArrayChangedError,
    NotCompiledWarning,
    user_line,
)
from steepest.fingerprint import fingerprint
from steepest.graph import Constant, Graph
from steepest.guards import Guards
from steepest.ops.spec import Traced, Value, is_ndarray, released
from steepest.shadow import ShadowTrace, compare_with_plain_run
from steepest.tree import Structure, Tree, flatten, unflatten

__all__ = ["Compiled", "Entry", "Translation", "compile", "is_dynamic", "record"]


@dataclass(frozen=True, slots=True)
class Recording:
    """A graph and how its results are put together.

    Attributes
    ----------
    graph : Graph
    structure : Structure
        Of the function's result.
    leaves : list
        For each leaf of the result the position of a graph output, or a constant.
    scalars : list
        Numbers met while recording, each time that one was met.
    has_own_derivatives : bool
        Whether functions with custom gradients were called, which the graph does not know of.
    """

    graph: Graph
    structure: Structure
    leaves: list[tuple[int | None, Any]]
    scalars: list[Value]
    has_own_derivatives: bool

    def result(self, outputs: Sequence[Value], inputs: Sequence[Value]) -> Tree:
        """Put the function's result together from the graph's outputs.

        The graph does not know of copies, so that whatever could share memory is copied here.
        """
        if self.structure.kind is None and self.leaves[0][0] is not None:
            (output,) = outputs
            if type(output) is np.ndarray and output.base is None:
                if not any(output is each for each in inputs):
                    return output
            elif not is_ndarray(output):
                return output
        taken = {id(each) for each in inputs}
        owned = []
        for output in outputs:
            copied = is_ndarray(output) and (output.base is not None or id(output) in taken)
            owned.append(output.copy() if copied else output)
            taken.add(id(output))
        return unflatten(
            self.structure,
            [
                (constant.copy() if is_ndarray(constant) else constant)
                if position is None
                else owned[position]
                for position, constant in self.leaves
            ],
            keep_arithmetic=True,
        )


class _RandomStateChangedError(Exception):
    """A function drew from a global random number generator while it was recorded."""


def is_dynamic(leaf: Value) -> bool:
    """Whether an argument's leaf is an input of the graph, and not part of the signature.

    Python integers steer (axes, lengths, exponents) and are part of the signature; floats and
    arrays are values.
    """
    return isinstance(leaf, (Traced, np.ndarray, np.generic)) or type(leaf) in (float, complex)


def record(
    function: Callable[..., Any], args: Sequence[Any], keywords: dict[str, Any]
) -> Recording:
    """Trace a function with the shapes and dtypes of its arguments.

    Raises
    ------
    NeedsValueError
        When the function asks for a value: ``if x > 0``, ``float(x)``.
    """
    leaves, structure = flatten((tuple(args), keywords))
    recorder = Recorder()
    before = _random_states()
    try:
        traced = [
            recorder.input(value_type(leaf), is_ndarray(leaf)) if is_dynamic(leaf) else leaf
            for leaf in leaves
        ]
        traced_args, traced_keywords = unflatten(structure, traced)
        with UserCode(function):
            result, result_structure = flatten(as_handed(function)(*traced_args, **traced_keywords))
        # Arrays in which nothing is differentiated are constants.
        result = [released(each) for each in result]
        outputs = [each for each in result if isinstance(each, Array)]
        graph = recorder.graph(outputs)
    finally:
        recorder.active = False
    if _random_states() != before:
        raise _RandomStateChangedError
    positions = iter(range(len(outputs)))
    return Recording(
        graph,
        result_structure,
        [(next(positions), None) if isinstance(each, Array) else (None, each) for each in result],
        recorder.scalars,
        recorder.has_own_derivatives,
    )


def _random_states() -> Hashable:
    # The functions of np.random draw from this generator. The words of its state are much faster
    # to copy than to print.
    state = np.random.mtrand._rand.__getstate__()
    words = [
        each.tobytes() if is_ndarray(each) else repr(each) for each in state.pop("state").values()
    ]
    return (*words, repr(state), random.getstate())


def same_recording(first: Recording, second: Recording) -> bool:
    """Whether two recordings are of the same computation with the same captured values.

    Arrays captured by reference are the same when they are the same object; arrays made inside
    the function, when they have the same bytes.
    """
    if first.structure != second.structure or len(first.graph.nodes) != len(second.graph.nodes):
        return False
    places: dict[Any, int] = {}
    for place, (a, b) in enumerate(zip(first.graph.nodes, second.graph.nodes, strict=True)):
        places[a] = place
        places[b] = place
        if a.type != b.type or [places[x] for x in a.inputs] != [places[x] for x in b.inputs]:
            return False
        if isinstance(a.operation, Constant) and isinstance(b.operation, Constant):
            if not _same_constant(a.operation.value, b.operation.value):
                return False
        elif a.operation != b.operation or repr(a.static) != repr(b.static):
            return False
    if [places[x] for x in first.graph.outputs] != [places[x] for x in second.graph.outputs]:
        return False
    return all(
        p == q and (p is not None or _same_constant(x, y))
        for (p, x), (q, y) in zip(first.leaves, second.leaves, strict=True)
    )


def _same_constant(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if is_ndarray(a) and is_ndarray(b):
        return a.shape == b.shape and a.dtype == b.dtype and fingerprint(a) == fingerprint(b)
    return type(a) is type(b) and repr(a) == repr(b)


_NOT_COMPILED: Any = object()

MOST_RECORDINGS = 256
"""Signatures that one function is kept compiled for; the oldest goes first."""
MOST_TRANSLATIONS = 8
"""Signatures that translations are kept of, for what is recorded again; the oldest goes first."""
MOST_BYTES_KEPT = 2**20
"""No translation is kept longer than its function that would keep larger arrays with it."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A recording, and what it was made into.

    Attributes
    ----------
    recording : Recording
    run : callable
    by_reference : frozenset of int
        The ids of the ndarrays whose contents the recording reads at each call.
    contents : tuple of int
        The fingerprints of the recording's other ndarrays, as they were when it was made.
    loops : dict
        Code that goes from one run to the next, by all that it depends on.
    """

    recording: Recording
    run: Run
    by_reference: frozenset[int]
    contents: tuple[int, ...]
    loops: dict[Hashable, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, recording: Recording, run: Run, by_reference: frozenset[int]) -> Translation:
        """Keep what a recording was made into."""
        return cls(recording, run, by_reference, _contents(recording, by_reference))

    def is_of(self, recording: Recording) -> bool:
        """Whether another recording is the same, of the same lines."""
        return (
            same_recording(recording, self.recording)
            and _read_by_reference(recording, self.recording) == self.by_reference
            and _contents(recording, self.by_reference) == self.contents
            and all(
                a.line == b.line
                for a, b in zip(recording.graph.nodes, self.recording.graph.nodes, strict=True)
            )
        )


def _contents(recording: Recording, by_reference: frozenset[int]) -> tuple[int, ...]:
    values = (
        node.operation.value
        for node in recording.graph.nodes
        if isinstance(node.operation, Constant)
    )
    return tuple(
        fingerprint(each) for each in values if is_ndarray(each) and id(each) not in by_reference
    )


_keeping = threading.Lock()


def _keep(
    translations: MutableMapping[Hashable, Translation],
    signature: Hashable,
    translation: Translation,
) -> None:
    constants = [
        node.operation.value
        for node in translation.recording.graph.nodes
        if isinstance(node.operation, Constant)
    ]
    if sum(each.nbytes for each in constants if is_ndarray(each)) > MOST_BYTES_KEPT:
        return
    with _keeping:
        translations.pop(signature, None)
        translations[signature] = translation
        if len(translations) > MOST_TRANSLATIONS:
            del translations[next(iter(translations))]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a signature was compiled to, as long as its guards hold."""

    guards: Guards
    translation: Translation

    @property
    def recording(self) -> Recording:
        """The recording that was compiled."""
        return self.translation.recording

    @property
    def is_current(self) -> bool:
        """Whether all that the function read besides its arguments is as it was."""
        return self.guards.hold(self.translation.by_reference)


class Compiled:
    """A function that is traced once for each signature and then run by an engine.

    See `compile`.

    Parameters
    ----------
    function : callable
    engine : str
    translations : mutable mapping, optional
        Of signatures, from functions before that may have done the same. One that a recording
        proves to be the same is taken; what is made is put there.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        engine: str = "native",
        translations: MutableMapping[Hashable, Translation] | None = None,
    ) -> None:
        self._function = function
        self._engine = engine
        self._translations = {} if translations is None else translations
        # None where the function must run each time.
        self._entries: dict[Hashable, Entry | None] = {}
        # Of calls with arrays and numbers alone, which are found without looking into containers.
        self._plain: dict[Hashable, Entry] = {}
        self._lock = threading.RLock()
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Run what the signature of the arguments was compiled to."""
        key = _plain_key(args) if not keywords else None
        if key is not None:
            known = self._plain.get(key)
            if known is not None and known.is_current:
                inputs = [base_array(each) if type(each) is np.ndarray else each for each in args]
                return known.recording.result(known.translation.run(inputs), inputs)
        leaves, structure = flatten((args, keywords))
        try:
            entry = self._entry(leaves, structure)
        except OuterTraceError:
            # A closure over a value of an outer gradient: it is that gradient's to trace.
            return self._function(*args, **keywords)
        if entry is None:
            return self._function(*args, **keywords)
        if key is not None:
            if len(self._plain) >= MOST_RECORDINGS:
                self._plain.clear()
            self._plain[key] = entry
        inputs = [
            base_array(leaf) if is_ndarray(leaf) else leaf for leaf in leaves if is_dynamic(leaf)
        ]
        if any(isinstance(each, Traced) for each in inputs):
            if entry.recording.has_own_derivatives:
                return self._function(*args, **keywords)
            return entry.recording.result(replay(entry.recording.graph, inputs), inputs)
        return entry.recording.result(entry.translation.run(inputs), inputs)

    def entry(self, *args: Any, **keywords: Any) -> Entry | None:
        """Find what a call with these arguments runs, and compile it before if needed.

        Returns
        -------
        Entry or None
            None where the function runs as Python.
        """
        return self._entry(*flatten((args, keywords)))

    def _entry(self, leaves: list[Any], structure: Structure) -> Entry | None:
        signature = (
            structure,
            structure.attributes,
            *(
                value_type(leaf)
                if is_dynamic(leaf)
                else (type(leaf), leaf if isinstance(leaf, Hashable) else id(leaf))
                for leaf in leaves
            ),
        )
        entry = self._entries.get(signature, _NOT_COMPILED)
        if entry is _NOT_COMPILED or not (entry is None or entry.is_current):
            with self._lock:
                entry = self._compile(leaves, structure, signature)
                self._entries[signature] = entry
                if len(self._entries) > MOST_RECORDINGS:
                    del self._entries[next(iter(self._entries))]
        found: Entry | None = entry
        return found

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., Any]:
        # As a function in the body of a class, it is a method.
        return self if instance is None else MethodType(self, instance)

    @property
    def latest(self) -> Entry | None:
        """What was compiled last."""
        return next((each for each in reversed(self._entries.values()) if each is not None), None)

    @property
    def runs_as_python(self) -> bool:
        """Whether a signature is not compiled, because what the function captures changes."""
        return None in self._entries.values()

    def __repr__(self) -> str:
        return f"compile({getattr(self._function, '__name__', self._function)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Compiled, (self._function, self._engine)

    def graph(self, *args: Any, **keywords: Any) -> Graph:
        """Record the function for these arguments and return the graph, to be read."""
        return record(self._function, args, keywords).graph

    def explain(self, *args: Any, **keywords: Any) -> str:
        """Say what runs where in a call with these arguments.

        Returns
        -------
        str
            A line for each loop nest, matrix product and call of NumPy, with the lines of the
            function that it comes from. With ``engine="interpret"``, the recorded operations.
        """
        entry = self.entry(*args, **keywords)
        return "Python, traced at each call" if entry is None else str(entry.translation.run)

    def _compile(
        self, leaves: list[Any], structure: Structure, signature: Hashable
    ) -> Entry | None:
        values = [_plain_example(leaf) for leaf in leaves]
        args, keywords = unflatten(structure, values)
        known = self._translations.get(signature)
        try:
            first = record(self._function, args, keywords)
            # After the first run, in which a function may fill a cache.
            guards = Guards(self._function, [leaf for leaf in values if not is_dynamic(leaf)])
            if known is not None and known.is_of(first):
                return Entry(guards, known)
            second = record(self._function, args, keywords)
            repeats = same_recording(first, second) and guards.hold() and guards.none_drawn()
        except (_RandomStateChangedError, CapturedArrayChangedError):
            repeats = False
        if not repeats:
            line = user_line()
            warnings.warn_explicit(
                f"{self!r} captures values that change from call to call (random numbers, a"
                " reused buffer, a counter), so it is not compiled and runs as plain Python each"
                " time",
                NotCompiledWarning,
                line.filename if line else "<unknown>",
                line.number if line else 0,
            )
            return None
        by_reference = _read_by_reference(first, second)
        run = make_run(self._engine, first.graph, by_reference)
        if not any(isinstance(leaf, Traced) for leaf in leaves):
            # By the reference engine: rounding apart, it does what NumPy does.
            self._shadow_run(first, Interpreter(first.graph), args, keywords)
        translation = Translation.of(first, run, by_reference)
        _keep(self._translations, signature, translation)
        return Entry(guards, translation)

    def _shadow_run(
        self, recording: Recording, run: Run, args: Any, keywords: dict[str, Any]
    ) -> None:
        inputs = [leaf for leaf in flatten((args, keywords))[0] if is_dynamic(leaf)]

        def trace_again() -> Any:
            trace = ShadowTrace()
            leaves, structure = flatten((args, keywords))
            traced_args, traced_keywords = unflatten(
                structure, [trace.watch(leaf) if is_dynamic(leaf) else leaf for leaf in leaves]
            )
            with UserCode(self._function):
                return as_handed(self._function)(*traced_args, **traced_keywords)

        compare_with_plain_run(
            self._function, recording.result(run(inputs), inputs), args, keywords, trace_again
        )


def _plain_key(args: tuple[Any, ...]) -> Hashable | None:
    """Get the key of arguments that are arrays and Python's floats; None for others."""
    key: list[Hashable] = []
    for each in args:
        kind = type(each)
        if kind is np.ndarray:
            key += (each.shape, each.dtype)
        elif kind is float:
            key.append(float)
        else:
            return None
    return tuple(key)


def _plain_example(leaf: Any) -> Any:
    """Make a plain value of the type of a traced one, to record with."""
    if not isinstance(leaf, Traced):
        return leaf
    kind = value_type(leaf)
    if kind.weak:
        return 0j if kind.dtype.kind == "c" else 0.0
    return np.broadcast_to(np.zeros((), kind.dtype), kind.shape)  # zeros that take no memory


def _read_by_reference(first: Recording, second: Recording) -> frozenset[int]:
    """Find the ndarrays whose contents may change without a new recording.

    There are none when a value was made inside the function, perhaps from their contents.
    """
    pairs = [
        (a.operation.value, b.operation.value)
        for a, b in zip(first.graph.nodes, second.graph.nodes, strict=True)
        if isinstance(a.operation, Constant) and isinstance(b.operation, Constant)
    ]
    arrays = [(a, b) for a, b in pairs if is_ndarray(a)]
    made = [*arrays, *zip(first.scalars, second.scalars, strict=True)]
    made += [(a, b) for (_, a), (_, b) in zip(first.leaves, second.leaves, strict=True)]
    if any(a is not b and type(a) is not int for a, b in made):
        return frozenset()
    return frozenset(id(a) for a, _ in arrays)


def compile(function: Callable[..., Any], *, engine: str = "native") -> Compiled:
    """Trace a function once for each signature and run the recording from then on.

    The signature is the structure, shapes and dtypes of the arguments, and the values of Python
    integers, strings and booleans among them; floats and arrays may change freely. Globals and
    closures are guarded: when one that the function reads is bound to something else, it is
    traced anew. An ndarray that the function captures is read at each call. The first call also
    runs the function untraced and compares.

    Parameters
    ----------
    function : callable
        Written in NumPy, with control flow that does not depend on traced values.
    engine : str
        What runs the recording: "native", which is machine code made by LLVM, with NumPy for what
        has none; or "interpret", which is NumPy, operation by operation.

    Returns
    -------
    Compiled
        Takes the same arguments, returns the same result. ``compile(grad(f))`` and
        ``grad(compile(f))`` both work; ``.graph(*args)`` shows what was recorded.

    Raises
    ------
    BadInputError
        When there is no such engine.
    NeedsValueError
        At the call, when the function needs a value that is not known while tracing.
    ShadowRunError
        At the first call, when the traced and the plain run differ.

    Examples
    --------
    >>> import numpy as np
    >>> from steepest import grad
    >>> compile(grad(lambda x: np.sum(x**2)))(np.array([1.0, 2.0]))
    array([2., 4.])
    """
    return Compiled(function, check_engine(engine))
