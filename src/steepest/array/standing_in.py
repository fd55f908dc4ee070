"""What functions that stand for others have in common: they equal those, and look like them."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

__all__ = ["StandsFor", "named"]


class StandsFor:
    """Stands for a function while a function of the user's is traced.

    It equals that one: what tells functions apart, as by a dict, goes on working.

    Parameters
    ----------
    original : callable
    """

    def __init__(self, original: Callable[..., Any]) -> None:
        self._original = original
        # For libraries that read names, signatures and documentation, as numpy.ma does.
        functools.update_wrapper(self, original, updated=())

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Call the function, unless a class says otherwise."""
        return self._original(*args, **settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __eq__(self, other: object) -> bool:
        return self._original is (other._original if isinstance(other, StandsFor) else other)

    def __hash__(self) -> int:
        return hash(self._original)

    def __repr__(self) -> str:
        return repr(self._original)

    def __reduce__(self) -> Any:
        return named, (self._original.__module__, self._original.__name__)


def named(module: str, name: str) -> Any:
    """Find what a module has by a name, for what is pickled by it."""
    return getattr(importlib.import_module(module), name)
