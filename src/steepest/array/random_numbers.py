"""NumPy's random number generators, of which the arrays are the function's own to write into.

Generators are compiled and tell nobody of what they make. So those that a function makes while it
is traced are of a class of the library's, which is NumPy's but for what becomes of the results.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import numpy as np

from steepest.array.array import Array, value_type
from steepest.array.plain import is_traced
from steepest.array.writing import into
from steepest.ops.spec import Value

__all__ = ["NAMES", "generators", "rearranging"]

NAMES = (
    "beta", "binomial", "chisquare", "choice", "dirichlet", "exponential", "gamma", "geometric",
    "gumbel", "laplace", "logistic", "lognormal", "multinomial", "multivariate_normal", "normal",
    "permutation", "poisson", "rand", "randint", "randn", "random", "random_sample", "rayleigh",
    "standard_normal", "uniform", "weibull",
)  # fmt: skip
"""Functions of np.random, and methods of its generators, that make arrays."""

Joined = Callable[[Any], Any]
"""Makes an Array of a list that holds traced values."""

Made = Callable[[Value, FrameType, str], Value]
"""Makes an Array of what a method has made for code in a frame."""


Draw = Callable[..., Any]
"""The method of a generator, which takes the number of entries in place of an array."""


def _choice(
    draw: Draw,
    a: Array,
    size: Any = None,
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    shuffle: bool = True,
) -> Value:
    return np.take(a, draw(a.shape[axis], size, replace, p, shuffle=shuffle), axis)


def _choice_of_old(
    draw: Draw, a: Array, size: Any = None, replace: bool = True, p: Any = None
) -> Value:
    if a.ndim != 1:
        raise ValueError("a must be 1-dimensional")
    return np.take(a, draw(a.size, size, replace, p))


def _permutation(draw: Draw, x: Array, axis: int = 0) -> Value:
    return np.take(x, draw(x.shape[axis]), axis)


def _permutation_of_old(draw: Draw, x: Array) -> Value:
    return np.take(x, draw(len(x)), 0)


def _permuted(draw: Draw, x: Array, *, axis: Any = None, out: Value = None) -> Value:
    result = np.take(x, draw(np.arange(x.size).reshape(x.shape), axis=axis))
    return result if out is None else into(out, result)


def _shuffle(draw: Draw, x: Array, axis: int = 0) -> None:
    places = np.arange(x.shape[axis])
    draw(places)
    x[...] = np.take(x, places, axis)


def _shuffle_of_old(draw: Draw, x: Array) -> None:
    _shuffle(draw, x)


_REARRANGING: dict[str, Callable[..., Any]] = {
    "choice": _choice,
    "permutation": _permutation,
    "permuted": _permuted,
    "shuffle": _shuffle,
}
"""What generators do to arrays that they are given, by the places that they draw."""
_REARRANGING_OF_OLD: dict[str, Callable[..., Any]] = {
    "choice": _choice_of_old,
    "permutation": _permutation_of_old,
    "shuffle": _shuffle_of_old,
}


def rearranging(original: Callable[..., Any], joined: Joined, *, is_of_old: bool) -> Any:
    """Make a method of a generator, which draws for traced values too, and keeps their gradients.

    Parameters
    ----------
    original : callable
        The method, which has its generator.
    joined : callable
    is_of_old : bool
        Whether the generator is a ``RandomState``.
    """
    name = original.__name__
    by_places = (_REARRANGING_OF_OLD if is_of_old else _REARRANGING).get(name)
    if by_places is None:
        return original
    first_name = "a" if name == "choice" else "x"

    @functools.wraps(original)
    def method(*args: Any, **settings: Any) -> Any:
        if first_name in settings:
            args = (settings.pop(first_name),)
        if args:
            first = args[0] if name == "shuffle" else joined(args[0])
            is_array = isinstance(first, Array) and first._is_ndarray() and first.ndim
            if is_array and (name == "shuffle" or is_traced(first)):
                return by_places(original, first, *args[1:], **settings)
        return original(*args, **settings)

    return method


def _following(base: type, name: str, made: Made, joined: Joined) -> Callable[..., Value]:
    original = getattr(base, name)
    is_of_old = base is np.random.RandomState

    @functools.wraps(original)
    def method(*args: Any, **settings: Any) -> Value:
        if name in _REARRANGING:
            own = functools.wraps(original)(partial(original, args[0]))
            result = rearranging(own, joined, is_of_old=is_of_old)(*args[1:], **settings)
            return made(result, sys._getframe(1), name)
        out = settings.get("out")
        if isinstance(out, Array):
            # Generators write into memory.
            settings["out"] = np.empty(value_type(out).shape, value_type(out).dtype)
            out[...] = original(*args, **settings)
            return out
        return made(original(*args, **settings), sys._getframe(1), name)

    return method


def _methods(base: type, made: Made, joined: Joined) -> dict[str, Any]:
    names = [name for name in (*NAMES, "integers", "permuted", "shuffle") if hasattr(base, name)]
    return {
        "__module__": base.__module__,
        "__doc__": base.__doc__,
        **{name: _following(base, name, made, joined) for name in names},
    }


def generators(made: Made, joined: Joined) -> dict[str, Any]:
    """Make what stands in for ``default_rng`` and ``RandomState``.

    Parameters
    ----------
    made : callable
        Makes an Array of what a method has made, where code of the user's has called it.
    joined : callable
        Makes an Array of a list that holds traced values.
    """
    of_old, original = np.random.RandomState, np.random.default_rng
    following: Any = type(
        "Generator", (np.random.Generator,), _methods(np.random.Generator, made, joined)
    )

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

    old: Any = Kind("RandomState", (of_old,), _methods(of_old, made, joined))

    @functools.wraps(original)
    def default_rng(seed: Any = None) -> Any:
        generator = original(seed)
        # One that is given is returned, and whoever has it knows it.
        is_given = generator is seed or isinstance(seed, np.random.RandomState)
        return generator if is_given else following(generator.bit_generator)

    return {"default_rng": default_rng, "RandomState": old}
