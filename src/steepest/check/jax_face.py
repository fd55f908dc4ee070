"""The gradient check of functions written for JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeAlias, Unpack

import numpy as np
from numpy.typing import NDArray

from steepest.check.framework import (
    Arrays,
    Mode,
    Named,
    Order,
    check_framework,
    import_framework,
)
from steepest.check.products import CheckOptions
from steepest.check.report import GradientCheck
from steepest.errors import NotDifferentiableError, UnsupportedError
from steepest.numeric.precision import significand_bits
from steepest.tree import Tree

__all__ = ["check_jax"]

Value: TypeAlias = Any
"""An array of JAX, whose types are not known where JAX is not installed."""

DOUBLE_BITS = significand_bits(np.dtype(np.float64))


def check_jax(
    f: Callable[[Tree], Tree],
    x: Tree,
    *,
    mode: Mode = "reverse",
    order: Order = 1,
    **options: Unpack[CheckOptions],
) -> GradientCheck:
    """Check the derivatives that JAX computes of a function, ``custom_vjp`` and all.

    Where results are several numbers, a random projection of them is checked, so that each counts.
    float16, bfloat16 and float32 are judged by evaluations in double precision, where f permits
    them (without casts of its own).

    Parameters
    ----------
    f : callable
        Takes a pytree like x and returns a pytree of arrays. Evaluated many times: wrapped in
        ``jax.jit`` it is faster.
    x : pytree
        As JAX understands it. Leaves that are not floating point, such as random keys, are passed
        on unchanged.
    mode : {"reverse", "forward"}
        Which derivatives: those of ``jax.vjp`` (and ``jax.grad``), or those of ``jax.jvp``. In
        forward mode, large leaves are examined along random directions.
    order : {1, 2}
        2 checks second derivatives, by `mode`, against differences of the gradient.
    **options
        As for `check_gradient`: confidence, tolerance, evaluations, seconds, seed, progress. For
        complex leaves, JAX's convention is steepest's, ∂f/∂x - i ∂f/∂y.

    Returns
    -------
    GradientCheck

    Raises
    ------
    UnsupportedError
        When JAX is not installed.
    BadInputError
        When f returns nothing that is floating point.
    NotDifferentiableError
        When x has no floating-point leaf.

    Examples
    --------
    >>> import jax.numpy as jnp  # doctest: +SKIP
    >>> check_jax(lambda x: jnp.sum(jnp.sin(x)), jnp.arange(3.0)).verdict  # doctest: +SKIP
    'correct'
    """
    return check_framework(_JaxFunction(f, x), mode, order, options)


class _JaxFunction:
    """A function of JAX as the gradient check sees it."""

    lowers_precision = False

    def __init__(self, f: Callable[[Tree], Tree], x: Tree) -> None:
        self._jax = import_framework("jax", "JAX")
        self._f = f
        paths, self._structure = self._jax.tree_util.tree_flatten_with_path(x)
        self._leaves = [leaf for _, leaf in paths]
        # By the name of each leaf that is differentiated, its place.
        self._places: dict[str, int] = {}
        self.x = Named()
        for place, (path, leaf) in enumerate(paths):
            if self._is_floating(leaf):
                name = _name(path)
                self._places[name] = place
                self.x[name] = np.array(self._jax.numpy.asarray(leaf))
        if not self.x:
            raise NotDifferentiableError(
                "x has no floating-point leaf to differentiate by",
                instead="pass floating-point values, such as x.astype(float)",
            )

    def value(self, x: Named) -> Arrays:
        with self._precision_of(x):
            return self._to_numpy(self._call(self._to_jax(x)))

    def vjp(self, x: Named, cotangents: Arrays) -> Named:
        with self._precision_of(x):
            return self._named(self._pull_back(self._to_jax(x), cotangents))

    def jvp(self, x: Named, tangents: Named) -> Arrays:
        with self._precision_of(x):
            return self._to_numpy(self._push(self._call, x, tangents))

    def vjp_of_vjp(self, x: Named, cotangents: Arrays, second: Named) -> Named:
        with self._precision_of(x):
            _, pull_back = self._jax.vjp(
                lambda leaves: self._pull_back(leaves, cotangents), self._to_jax(x)
            )
            (result,) = pull_back(
                [self._like(second[name], value.dtype) for name, value in x.items()]
            )
            return self._named(result)

    def jvp_of_vjp(self, x: Named, cotangents: Arrays, tangents: Named) -> Named:
        with self._precision_of(x):
            return self._named(
                self._push(lambda leaves: self._pull_back(leaves, cotangents), x, tangents)
            )

    # -- in JAX ---------------------------------------------------------------------------------

    def _call(self, floating: list[Value]) -> list[Value]:
        """Call the function with the leaves that are differentiated; return such results."""
        leaves = list(self._leaves)
        for place, value in zip(self._places.values(), floating, strict=True):
            leaves[place] = value
        tree_util = self._jax.tree_util
        results = tree_util.tree_leaves(self._f(tree_util.tree_unflatten(self._structure, leaves)))
        return [self._jax.numpy.asarray(each) for each in results if self._is_floating(each)]

    def _pull_back(self, floating: list[Value], cotangents: Arrays) -> list[Value]:
        results, pull_back = self._jax.vjp(self._call, floating)
        fitting = [
            self._like(each, result.dtype) for each, result in zip(cotangents, results, strict=True)
        ]
        gradient: list[Value] = pull_back(fitting)[0]
        return gradient

    def _push(
        self, function: Callable[[list[Value]], list[Value]], x: Named, tangents: Named
    ) -> list[Value]:
        directions = [self._like(tangents[name], value.dtype) for name, value in x.items()]
        result: list[Value] = self._jax.jvp(function, (self._to_jax(x),), (directions,))[1]
        return result

    # -- to JAX and back ------------------------------------------------------------------------

    @contextmanager
    def _precision_of(self, x: Named) -> Iterator[None]:
        """Let JAX compute in double precision where values have it, and only there."""
        bits = [significand_bits(value.dtype) for value in x.values()]
        if max(bits) > DOUBLE_BITS:
            raise UnsupportedError("JAX has no extended precision")
        if max(bits) < DOUBLE_BITS or self._jax.config.jax_enable_x64:
            yield
            return
        # Until JAX 0.8 it was an experiment.
        has_it = hasattr(self._jax, "enable_x64")
        home = self._jax if has_it else import_module("jax.experimental")
        with home.enable_x64(True):
            yield

    def _is_floating(self, leaf: Value) -> bool:
        numpy = self._jax.numpy
        dtype = getattr(leaf, "dtype", None)
        if dtype is None:
            return isinstance(leaf, (float, complex))
        return bool(numpy.issubdtype(dtype, numpy.inexact))

    def _to_jax(self, x: Named) -> list[Value]:
        return [self._jax.numpy.asarray(x[name]) for name in self._places]

    def _like(self, value: NDArray[Any], dtype: np.dtype[Any]) -> Value:
        return self._jax.numpy.asarray(value.astype(dtype))

    def _to_numpy(self, values: list[Value]) -> Arrays:
        return [np.asarray(value) for value in values]

    def _named(self, values: list[Value]) -> Named:
        return Named(zip(self._places, self._to_numpy(values), strict=True))


def _name(path: tuple[Any, ...]) -> str:
    """Name a leaf as steepest's own pytrees do: ``layers[0].W``."""
    name = ""
    for step in path:
        if hasattr(step, "idx"):
            name += f"[{step.idx}]"
        else:
            key = step.name if hasattr(step, "name") else step.key
            name += f".{key}" if name else str(key)
    return name or "x"
