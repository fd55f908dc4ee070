"""Methods of ndarrays that ask nobody what a traced argument means: ``captured.dot(x)``.

NumPy's protocols know functions and ufuncs. A method makes an ndarray of its arguments, and so
would refuse traced ones. Ahead of the first function that is traced, these methods of the class
itself are replaced for good, by ones that hand calls with traced arguments to the function of the
same name, and all others on. (To put them back would make Python forget each time what it knows
of the class, and slow down all attributes of ndarrays.)
"""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.plain import is_traced

__all__ = ["let_methods_ask"]

_METHODS: dict[str, Callable[..., Any]] = {"dot": np.dot, "searchsorted": np.searchsorted}


@functools.cache
def let_methods_ask(joined: Callable[[Any], Any]) -> None:
    """Replace the methods, where the Python is one whose classes are known to allow it.

    Parameters
    ----------
    joined : callable
        Makes an Array of a list that holds traced values, and leaves what else there is alone.
    """
    if sys.implementation.name != "cpython":
        return
    # The class refuses assignments to its attributes, as those written in C do.
    for names in gc.get_referents(vars(np.ndarray)):
        for name, function in _METHODS.items():
            names[name] = _asking(names[name], function, joined)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(np.ndarray))


def _asking(
    original: Callable[..., Any], function: Callable[..., Any], joined: Callable[[Any], Any]
) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: Any, *args: Any, **settings: Any) -> Any:
        if is_traced(args) or (settings and is_traced(settings)):
            settings = {name: joined(value) for name, value in settings.items()}
            return function(self, *map(joined, args), **settings)
        return original(self, *args, **settings)

    return method
