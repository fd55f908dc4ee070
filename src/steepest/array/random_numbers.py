"""NumPy's random number generators, of which the arrays are the function's own to write into.

Generators are compiled and tell nobody of what they make. So those that a function makes while it
is traced are of a class of the library's, which is NumPy's but for what becomes of the results.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from steepest.array.array import Array, value_type
from steepest.ops.spec import Value

__all__ = ["NAMES", "generators"]

NAMES = (
    "beta", "binomial", "chisquare", "choice", "dirichlet", "exponential", "gamma", "geometric",
    "gumbel", "laplace", "logistic", "lognormal", "multinomial", "multivariate_normal", "normal",
    "permutation", "poisson", "rand", "randint", "randn", "random", "random_sample", "rayleigh",
    "standard_normal", "uniform", "weibull",
)  # fmt: skip
"""Functions of np.random, and methods of its generators, that make arrays."""

Made = Callable[[Value, FrameType, str], Value]
"""Makes an Array of what a method has made for code in a frame."""


def _following(base: type, name: str, made: Made) -> Callable[..., Value]:
    original = getattr(base, name)

    @functools.wraps(original)
    def method(*args: Any, **settings: Any) -> Value:
        out = settings.get("out")
        if isinstance(out, Array):
            # Generators write into memory.
            settings["out"] = np.empty(value_type(out).shape, value_type(out).dtype)
            out[...] = original(*args, **settings)
            return out
        return made(original(*args, **settings), sys._getframe(1), name)

    return method


def _methods(base: type, made: Made) -> dict[str, Any]:
    names = [name for name in (*NAMES, "integers", "permuted") if hasattr(base, name)]
    return {
        "__module__": base.__module__,
        "__doc__": base.__doc__,
        **{name: _following(base, name, made) for name in names},
    }


def generators(made: Made) -> dict[str, Any]:
    """Make what stands in for ``default_rng`` and ``RandomState``.

    Parameters
    ----------
    made : callable
        Makes an Array of what a method has made, where code of the user's has called it.
    """
    of_old, original = np.random.RandomState, np.random.default_rng
    following: Any = type("Generator", (np.random.Generator,), _methods(np.random.Generator, made))

    class Kind(type):
        """The class of a class that has the instances of NumPy's."""

        def __instancecheck__(cls, instance: object) -> bool:
            if cls is old:
                return isinstance(instance, of_old)
            return super().__instancecheck__(instance)

        def __subclasscheck__(cls, subclass: type) -> bool:
            if cls is old:
                return issubclass(subclass, of_old)
            return super().__subclasscheck__(subclass)

    old: Any = Kind("RandomState", (of_old,), _methods(of_old, made))

    @functools.wraps(original)
    def default_rng(seed: Any = None) -> Any:
        generator = original(seed)
        # One that is given is returned, and whoever has it knows it.
        is_given = generator is seed or isinstance(seed, np.random.RandomState)
        return generator if is_given else following(generator.bit_generator)

    return {"default_rng": default_rng, "RandomState": old}
