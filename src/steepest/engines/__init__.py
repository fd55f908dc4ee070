"""Engines: what runs a graph.

Nothing above this package knows which engine runs. An engine makes a callable of a graph, from the
values of the graph's inputs to those of its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

from steepest.engines.interpret import Interpreter, replay
from steepest.errors import BadInputError
from steepest.graph import Graph

__all__ = ["ENGINES", "Interpreter", "Run", "check_engine", "make_run", "replay"]

Run: TypeAlias = Callable[[Sequence[Any]], list[Any]]
"""What an engine makes of a graph."""

ENGINES = ("native", "interpret")
"""Machine code made by LLVM, the default; and NumPy, operation by operation."""


def check_engine(engine: str) -> str:
    """Check the name of an engine.

    Raises
    ------
    BadInputError
    """
    if engine not in ENGINES:
        raise BadInputError(
            f"there is no engine {engine!r}", instead=f"one of {', '.join(map(repr, ENGINES))}"
        )
    return engine


def make_run(engine: str, graph: Graph, changing: Collection[int] = ()) -> Run:
    """Make a graph ready to run.

    Parameters
    ----------
    engine : str
        One of `ENGINES`.
    graph : Graph
    changing : collection of int
        The ids of captured arrays whose contents may change from run to run.
    """
    if engine == "interpret":
        return Interpreter(graph)
    # LLVM is loaded when it is first needed.
    from steepest.engines.native.program import Native

    return Native(graph, changing)
