"""Distributions of vectors and matrices whose parameters are given once, and traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steepest.errors import UnsupportedError

__all__ = ["frozen"]


class _Frozen:
    """A distribution with parameters, of which methods are called with the rest.

    Parameters
    ----------
    distribution : object
        SciPy's, whose methods take the parameters too.
    parameters : dict
    methods : sequence of str
        Those that are differentiated.
    """

    def __init__(
        self, distribution: Any, parameters: dict[str, Any], methods: tuple[str, ...]
    ) -> None:
        self._distribution = distribution
        self._parameters = parameters
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._parameters:
            return self._parameters[name]
        kind = type(self._distribution).__name__.removesuffix("_gen")
        if name not in self._methods:
            raise UnsupportedError(
                f"scipy.stats.{kind}(…).{name} of traced parameters is not differentiated",
                instead=f"the parameters themselves, and {', '.join(self._methods)}",
            )
        method = getattr(self._distribution, name)
        parameters = dict(self._parameters)
        if name == "entropy":
            parameters.pop("allow_singular", None)
        return lambda *args: method(*args, **parameters)


def frozen(parameters: str, methods: str) -> Callable[..., _Frozen]:
    """Make what stands for the call of a distribution, which freezes it.

    Parameters
    ----------
    parameters, methods : str
        The names, separated by spaces.
    """
    names = tuple(parameters.split())

    def freeze(self: Any, *args: Any, **settings: Any) -> _Frozen:
        settings.pop("seed", None)
        given = {**dict(zip(names, args, strict=False)), **settings}
        return _Frozen(self, given, tuple(methods.split()))

    return freeze
