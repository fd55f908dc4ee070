"""``compile``: a function traced once for each signature, and run by an engine after that."""

from __future__ import annotations

import functools
import random
import threading
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from steepest.array import Array, value_type
from steepest.array.recorder import OuterTraceError, Recorder
from steepest.engines import Interpreter, replay
from steepest.errors import CapturedArrayChangedError, NotCompiledWarning, user_line
from steepest.fingerprint import fingerprint
from steepest.graph import Constant, Graph
from steepest.guards import Guards
from steepest.ops.spec import Traced, Value
from steepest.shadow import ShadowTrace, compare_with_plain_run
from steepest.tree import Structure, Tree, flatten, unflatten

__all__ = ["Compiled", "compile", "record"]


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
    """

    graph: Graph
    structure: Structure
    leaves: list[tuple[int | None, Any]]

    def result(self, outputs: Sequence[Value]) -> Tree:
        """Put the function's result together from the graph's outputs."""
        return unflatten(
            self.structure,
            [
                (constant.copy() if isinstance(constant, np.ndarray) else constant)
                if position is None
                else outputs[position]
                for position, constant in self.leaves
            ],
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
        traced = [recorder.input(value_type(leaf)) if is_dynamic(leaf) else leaf for leaf in leaves]
        traced_args, traced_keywords = unflatten(structure, traced)
        result, result_structure = flatten(function(*traced_args, **traced_keywords))
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
    )


def _random_states() -> Hashable:
    # The functions of np.random draw from this generator.
    return repr(np.random.mtrand._rand.__getstate__()), random.getstate()


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
    return all(
        p == q and (p is not None or _same_constant(x, y))
        for (p, x), (q, y) in zip(first.leaves, second.leaves, strict=True)
    )


def _same_constant(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and fingerprint(a) == fingerprint(b)
    return type(a) is type(b) and repr(a) == repr(b)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a signature was compiled to; no recording where the function must run each time."""

    guards: Guards
    recording: Recording | None
    run: Interpreter | None
    derived_constants: bool


class Compiled:
    """A function that is traced once for each signature and then run by an engine.

    See `compile`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._entries: dict[Hashable, _Entry] = {}
        self._lock = threading.RLock()
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Run what the signature of the arguments was compiled to."""
        leaves, structure = flatten((args, keywords))
        signature = (
            structure,
            *(
                value_type(leaf)
                if is_dynamic(leaf)
                else (type(leaf), leaf if isinstance(leaf, Hashable) else id(leaf))
                for leaf in leaves
            ),
        )
        entry = self._entries.get(signature)
        if entry is None or not entry.guards.hold(contents=entry.derived_constants):
            with self._lock:
                try:
                    entry = self._compile(leaves, structure)
                except OuterTraceError:
                    # A closure over a value of an outer gradient: it is that gradient's to trace.
                    return self._function(*args, **keywords)
                self._entries[signature] = entry
        if entry.recording is None:
            return self._function(*args, **keywords)
        inputs = [leaf for leaf in leaves if is_dynamic(leaf)]
        if any(isinstance(each, Traced) for each in inputs):
            return entry.recording.result(replay(entry.recording.graph, inputs))
        assert entry.run is not None
        return entry.recording.result(entry.run(inputs))

    def __repr__(self) -> str:
        return f"compile({getattr(self._function, '__name__', self._function)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Compiled, (self._function,)

    def graph(self, *args: Any, **keywords: Any) -> Graph:
        """Record the function for these arguments and return the graph, to be read."""
        return record(self._function, args, keywords).graph

    def _compile(self, leaves: list[Any], structure: Structure) -> _Entry:
        guards = Guards(self._function)
        values = [_plain_example(leaf) for leaf in leaves]
        args, keywords = unflatten(structure, values)
        try:
            first = record(self._function, args, keywords)
            second = record(self._function, args, keywords)
            repeats = same_recording(first, second)
        except (_RandomStateChangedError, CapturedArrayChangedError):
            repeats = False
        if not repeats:
            line = user_line()
            warnings.warn_explicit(
                f"{self!r} captures values that change from call to call (random numbers, a"
                " reused buffer), so it is not compiled and runs as plain Python each time",
                NotCompiledWarning,
                line.filename if line else "<unknown>",
                line.number if line else 0,
            )
            return _Entry(guards, None, None, derived_constants=False)
        run = Interpreter(first.graph)
        if not any(isinstance(leaf, Traced) for leaf in leaves):
            self._shadow_run(first, run, args, keywords)
        return _Entry(guards, first, run, _has_derived_constants(first, second))

    def _shadow_run(
        self, recording: Recording, run: Interpreter, args: Any, keywords: dict[str, Any]
    ) -> None:
        inputs = [leaf for leaf in flatten((args, keywords))[0] if is_dynamic(leaf)]

        def trace_again() -> Any:
            trace = ShadowTrace()
            leaves, structure = flatten((args, keywords))
            traced_args, traced_keywords = unflatten(
                structure, [trace.watch(leaf) if is_dynamic(leaf) else leaf for leaf in leaves]
            )
            return self._function(*traced_args, **traced_keywords)

        compare_with_plain_run(
            self._function, recording.result(run(inputs)), args, keywords, trace_again
        )


def _plain_example(leaf: Any) -> Any:
    """Make a plain value of the type of a traced one, to record with."""
    if not isinstance(leaf, Traced):
        return leaf
    kind = value_type(leaf)
    if kind.weak:
        return 0j if kind.dtype.kind == "c" else 0.0
    return np.broadcast_to(np.zeros((), kind.dtype), kind.shape)  # zeros that take no memory


def _has_derived_constants(first: Recording, second: Recording) -> bool:
    """Whether arrays were made inside the function, perhaps from what it can see by name."""
    return any(
        isinstance(a.operation, Constant)
        and isinstance(a.operation.value, np.ndarray)
        and isinstance(b.operation, Constant)
        and a.operation.value is not b.operation.value
        for a, b in zip(first.graph.nodes, second.graph.nodes, strict=True)
    )


def compile(function: Callable[..., Any]) -> Compiled:  # noqa: A001  # the name users look for
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

    Returns
    -------
    Compiled
        Takes the same arguments, returns the same result. ``compile(grad(f))`` and
        ``grad(compile(f))`` both work; ``.graph(*args)`` shows what was recorded.

    Raises
    ------
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
    return Compiled(function)
