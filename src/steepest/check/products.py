"""Check the derivatives of functions with any results: the products with their Jacobians.

A vector-Jacobian product is the gradient of a fixed projection of the results, a Jacobian-vector
product the derivative of that projection by the lengths of steps in fixed directions. So the
gradient check of scalar functions checks them all, and second derivatives as first derivatives of
a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from steepest.check.gradient_check import check_gradient
from steepest.check.report import GradientCheck
from steepest.differentiate import grad, hvp, jvp
from steepest.errors import BadInputError, NotDifferentiableError
from steepest.numeric.directions import scales_by_entry
from steepest.numeric.evaluate import Parameter, has_derivative
from steepest.numeric.precision import (
    DOUBLE,
    EXTENDED,
    NATIVE,
    SINGLE,
    Precision,
    is_floating,
    limits,
    significand_bits,
)
from steepest.tree import NamedLeaves, Structure, Tree, flatten, leaf_names, unflatten

__all__ = [
    "CheckOptions",
    "Projected",
    "check_hvp",
    "check_jvp",
    "check_vjp",
]

Arrays: TypeAlias = list[NDArray[Any]]

# Results are weighted by powers of two up to these, so that small ones show beside large ones.
LARGEST_WEIGHT_EXPONENT = 10
# So few coordinates are stepped in one by one; where there are more, in random directions.
FEW = 8
DIRECTIONS = 2


class CheckOptions(TypedDict, total=False):
    """The keywords that all gradient checks share; see `check_gradient`."""

    confidence: float
    tolerance: float | None
    evaluations: int | None
    seconds: float | None
    seed: int
    progress: bool | None


def check_vjp(
    f: Callable[[Tree], Tree],
    x: Tree,
    vjp: Callable[[Tree, Tree], Tree] | None = None,
    **options: Unpack[CheckOptions],
) -> GradientCheck:
    """Check vector-Jacobian products of a function with results of any shape.

    What is checked is the gradient of a random projection of all results, each of which is
    weighted by its size.

    Parameters
    ----------
    f : callable
        Takes a pytree like x and returns a pytree of arrays.
    x : pytree
        Where to check.
    vjp : callable, optional
        ``vjp(x, v)`` takes v, a pytree like ``f(x)``, to a pytree like x: v times the Jacobian. By
        default steepest's own. For complex numbers it is, as everywhere in steepest, the gradient
        ∂L/∂x - i ∂L/∂y of L = Re Σ v f(x), without conjugation.
    **options
        As for `check_gradient`.

    Returns
    -------
    GradientCheck

    Raises
    ------
    BadInputError
        When f returns nothing that is floating point.
    NotDifferentiableError
        When x has no floating-point leaf.

    Examples
    --------
    >>> x = np.array([0.5, 1.0, 2.0])
    >>> check_vjp(np.cumsum, x, lambda x, v: np.cumsum(v[::-1])[::-1]).verdict
    'correct'
    >>> check_vjp(np.cumsum, x, lambda x, v: np.cumsum(v)).verdict
    'wrong'
    """
    projected = Projected(f, options.get("seed", 0))
    pull_back = vjp

    def gradient(x: Tree) -> Tree:
        assert pull_back is not None
        return pull_back(x, projected.cotangents(x))

    return projected.annotated(
        check_gradient(projected, x, None if pull_back is None else gradient, **options)
    )


def check_jvp(
    f: Callable[[Tree], Tree],
    x: Tree,
    jvp: Callable[[Tree, Tree], Tree] | None = None,
    **options: Unpack[CheckOptions],
) -> GradientCheck:
    """Check Jacobian-vector products, which forward mode computes.

    Parameters of up to 8 coordinates are examined along each of them. The others are examined
    along two random directions; their entries in the report are the directions.

    Parameters
    ----------
    f : callable
        Takes a pytree like x and returns a pytree of arrays.
    x : pytree
        Where to check.
    jvp : callable, optional
        ``jvp(x, u)`` takes u, a pytree like x, to a pytree like ``f(x)``: the Jacobian times u.
        By default steepest's own.
    **options
        As for `check_gradient`.

    Returns
    -------
    GradientCheck

    Raises
    ------
    BadInputError
        When f returns nothing that is floating point.
    NotDifferentiableError
        When x has no floating-point leaf.

    Examples
    --------
    >>> x = np.array([0.5, 1.0, 2.0])
    >>> check_jvp(np.sin, x, lambda x, u: np.cos(x) * u).verdict
    'correct'
    >>> check_jvp(np.sin, x, lambda x, u: np.sin(x) * u).verdict
    'wrong'
    """
    push_forward = jvp or _own_jvp(f)
    projected = Projected(f, options.get("seed", 0))
    steps = _Steps(x, options)

    def slopes(lengths: Tree) -> Tree:
        point = steps.point(lengths)
        return NamedLeaves(
            (
                name,
                np.array([projected.of(push_forward(point, each)) for each in directions])
                .astype(lengths[name].dtype)
                .reshape(lengths[name].shape),
            )
            for name, directions in steps.directions(point).items()
        )

    return projected.annotated(
        check_gradient(
            lambda lengths: projected(steps.point(lengths)), steps.lengths, slopes, **options
        )
    )


def check_hvp(
    f: Callable[[Tree], Any],
    x: Tree,
    hvp: Callable[[Tree, Tree], Tree] | None = None,
    gradient: Callable[[Tree], Tree] | None = None,
    **options: Unpack[CheckOptions],
) -> GradientCheck:
    """Check second derivatives: products of the Hessian with a vector.

    They are compared with differences of the gradient, which `check_gradient` checks.

    Parameters
    ----------
    f : callable
        Takes a pytree like x and returns a real scalar.
    x : pytree
        Where to check.
    hvp : callable, optional
        ``hvp(x, v)`` takes v, a pytree like x, to a pytree like x: the Hessian times v. By default
        steepest's own, of f.
    gradient : callable, optional
        Whose derivative the Hessian is; by default steepest's own gradient of f.
    **options
        As for `check_gradient`.

    Returns
    -------
    GradientCheck

    Raises
    ------
    NotDifferentiableError
        When x has no floating-point leaf.

    Examples
    --------
    >>> x = np.array([0.5, 1.0, 2.0])
    >>> check_hvp(lambda x: np.sum(x**4), x, lambda x, v: 12 * x**2 * v).verdict
    'correct'
    >>> check_hvp(lambda x: np.sum(x**4), x, lambda x, v: 12 * x**2).verdict
    'wrong'
    """
    # The Hessian is symmetric: it is its own transpose.
    return check_vjp(gradient or grad(f), x, hvp or _own_hvp(f), **options)


def _own_jvp(f: Callable[[Tree], Tree]) -> Callable[[Tree, Tree], Tree]:
    return lambda x, tangent: jvp(f, (x,), (tangent,))[1]


def _own_hvp(f: Callable[[Tree], Any]) -> Callable[[Tree, Tree], Tree]:
    return lambda x, v: hvp(f, x, v)


class Projected:
    """A function's results, multiplied with fixed random weights and summed: L = Re Σ v f(x).

    The weights are drawn when the results are first known. A function whose result is one real
    number is left as it is.
    """

    def __init__(self, f: Callable[[Tree], Tree], seed: int) -> None:
        self._f = f
        self._generator = np.random.default_rng([seed, 2])
        self._weights: Arrays | None = None
        self._structure: Structure | None = None
        self._not_finite = ""

    def __call__(self, x: Tree) -> Any:
        """Return the projection of f(x)."""
        return self.of(self._f(x))

    def of(self, results: Tree) -> Any:
        """Return the projection of results, in the precision of the least precise."""
        leaves, structure = flatten(results)
        if self._weights is None:
            self._weights = [self._draw(np.asarray(leaf), len(leaves) == 1) for leaf in leaves]
            self._structure = structure
            self._not_finite = _not_finite(results)
            if not any(map(has_derivative, leaves)):
                raise BadInputError(
                    "the function returns nothing that has a derivative: no floating-point number"
                )
        total: Any = np.float64(0.0)
        dtypes = []
        for leaf, weights in zip(leaves, self._weights, strict=True):
            if weights.size:
                values = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
                total = total + np.sum(np.real(weights * values))
                if is_floating(values.dtype):
                    dtypes.append(values.dtype)
        least = min(dtypes, key=significand_bits, default=np.dtype(np.float64))
        return total.astype(limits(least).dtype)

    def cotangents(self, x: Tree) -> Tree:
        """Return the weights as a pytree like the results."""
        if self._weights is None:
            self(x)
        assert self._weights is not None
        assert self._structure is not None
        return unflatten(self._structure, self._weights)

    def annotated(self, report: GradientCheck) -> GradientCheck:
        """Name in the report the entry that makes the projection infinite or NaN."""
        notes = (*report.notes, self._not_finite) if self._not_finite else report.notes
        return replace(report, notes=notes)

    def _draw(self, result: NDArray[Any], is_alone: bool) -> NDArray[Any]:
        """Draw weights that no error cancels by, of the inverse of the result's size.

        They are exact in the result's precision.
        """
        if not is_floating(result.dtype):
            return np.zeros(0)
        if is_alone and result.size == 1 and result.dtype.kind != "c":
            return np.ones(result.shape, result.dtype)
        finite = np.abs(result[np.isfinite(result)]).astype(np.float64)
        largest = float(finite.max(initial=0.0))
        scale = 1.0
        if largest > 0:
            size = largest * float(np.sqrt(np.mean((finite / largest) ** 2)))
            scale = 2.0 ** float(
                np.clip(-np.rint(np.log2(size)), -LARGEST_WEIGHT_EXPONENT, LARGEST_WEIGHT_EXPONENT)
            )
        weights = self._random(result.shape)
        if result.dtype.kind == "c":
            weights = weights + 1j * self._random(result.shape)
        return np.asarray(scale * weights).astype(result.dtype)

    def _random(self, shape: tuple[int, ...]) -> NDArray[Any]:
        signs = self._generator.choice([-1.0, 1.0], shape)
        return np.asarray(signs * self._generator.uniform(0.5, 1.5, shape))


def _not_finite(results: Tree) -> str:
    """Say which entries of the results are not finite."""
    where = []
    for name, leaf in zip(leaf_names(results, "the result"), flatten(results)[0], strict=True):
        if has_derivative(leaf):
            values = np.asarray(leaf)
            for index in np.argwhere(~np.isfinite(values)):
                entry = f"[{', '.join(map(str, index))}]" if index.size else ""
                where.append(f"{name}{entry} is {values[tuple(index)]}")
    if not where:
        return ""
    return f"{where[0]} at x" + (f", and {len(where) - 1} more" if len(where) > 1 else "")


class _Steps:
    """Points x + Σ (t - 1) d, with lengths t of steps in fixed directions d of each parameter."""

    def __init__(self, x: Tree, options: CheckOptions) -> None:
        self._leaves, self._structure = flatten(x)
        generator = np.random.default_rng([options.get("seed", 0), 3])
        self._parameters: dict[str, Parameter] = {}
        self._directions: dict[str, NDArray[np.float64]] = {}
        self.lengths = NamedLeaves()
        for position, (name, leaf) in enumerate(zip(leaf_names(x), self._leaves, strict=True)):
            if not has_derivative(leaf):
                continue
            parameter = Parameter.from_leaf(position, name, leaf)
            # Powers of two and small multiples of them, so that points are exact in floating point.
            scales = 2.0 ** np.rint(np.log2(scales_by_entry(parameter)))
            label, shape = name, parameter.shape
            if parameter.size <= FEW:
                directions = np.diag(scales)
                shape += (2,) if parameter.is_complex else ()
            else:
                label = f"{name} along random directions"
                factors = generator.integers(4, 12, (DIRECTIONS, parameter.size), endpoint=True)
                signs = generator.choice([-1.0, 1.0], factors.shape)
                directions = scales * signs * factors / 8
                shape = (DIRECTIONS,)
            self._parameters[label] = parameter
            self._directions[label] = directions
            self.lengths[label] = np.ones(shape, limits(parameter.dtype).dtype)
        if not self.lengths:
            raise NotDifferentiableError("x has no floating-point leaf to differentiate by")

    def point(self, lengths: Tree) -> Tree:
        """Return x as it is after the steps, in the precision of their lengths."""
        leaves = list(self._leaves)
        for name, parameter in self._parameters.items():
            steps = lengths[name].reshape(-1) - 1
            precision = _precision(parameter, lengths[name].dtype)
            coordinates = parameter.coordinates(precision)
            moves = np.tensordot(steps, self._directions[name], 1)
            coordinates = (coordinates + moves).astype(coordinates.dtype)
            leaves[parameter.position] = parameter.leaf(coordinates, precision)
        return unflatten(self._structure, leaves)

    def directions(self, point: Tree) -> dict[str, list[Tree]]:
        """Return the directions of each parameter as pytrees like the point, zero in the others."""
        still = [
            np.zeros_like(leaf)[()] if has_derivative(leaf) else leaf for leaf in flatten(point)[0]
        ]
        result: dict[str, list[Tree]] = {}
        for name, parameter in self._parameters.items():
            result[name] = []
            dtype = np.asarray(flatten(point)[0][parameter.position]).dtype
            precision = _precision(parameter, np.dtype(limits(dtype).dtype))
            for direction in self._directions[name]:
                leaves = list(still)
                leaves[parameter.position] = parameter.leaf(
                    direction.astype(precision.real_part(parameter.dtype)), precision
                )
                result[name].append(unflatten(self._structure, leaves))
        return result


def _precision(parameter: Parameter, real: np.dtype[Any]) -> Precision:
    """Return the precision in which a parameter's coordinates have a dtype."""
    return next(
        precision
        for precision in (NATIVE, SINGLE, DOUBLE, EXTENDED)
        if precision.real_part(parameter.dtype) == real
    )
