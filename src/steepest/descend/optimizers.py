"""Optimizers: how a gradient changes the weights.

An optimizer is a pair of functions in plain NumPy. ``init(weights)`` makes its state, a pytree;
``update(gradient, state, weights, step_size, step)`` returns the new weights and the new state
and writes into nothing. ``step`` counts the steps taken before this one. It is a Python float, 0.0
at the first step: in a compiled loop, Python integers would be constants.

A gradient has arithmetic on its leaves, so that an optimizer of one's own is short:

>>> plain = Optimizer(
...     init=lambda weights: (),
...     update=lambda gradient, state, weights, step_size, step: (
...         weights - step_size * gradient,
...         state,
...     ),
... )
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from steepest.array import value_type
from steepest.errors import BadInputError
from steepest.tree import Leaf, Tree, flatten, is_differentiable, tree_map, unflatten

__all__ = ["OPTIMIZERS", "Optimizer", "adam", "adamw", "momentum", "nesterov", "sgd"]

Update: TypeAlias = Callable[[Tree, Tree, Tree, float, float], tuple[Tree, Tree]]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """An optimizer, for the argument of that name of `descend`.

    Parameters
    ----------
    init : callable
        ``init(weights)`` returns the first state: a pytree of arrays, or ``()`` for none.
    update : callable
        ``update(gradient, state, weights, step_size, step)`` returns ``(weights, state)``, of
        the structure, shapes and dtypes that it was given. `gradient` is a pytree like the
        weights, with arithmetic; of complex weights it is the conjugate of `steepest.grad`, the
        way uphill. `step_size` is a Python float, `step` one that counts from 0.
    name : str
        What reports call it.

    Examples
    --------
    The sign of the gradient alone, for weights that are one array:

    >>> signs = Optimizer(
    ...     lambda weights: (),
    ...     lambda gradient, state, weights, step_size, step: (
    ...         weights - step_size * np.sign(gradient),
    ...         state,
    ...     ),
    ...     "signs",
    ... )
    >>> signs.update(np.array([3.0, -4.0]), (), np.array([1.0, 1.0]), 0.5, 0)
    (array([0.5, 1.5]), ())
    """

    init: Callable[[Tree], Tree]
    update: Update
    name: str = "custom"

    def __repr__(self) -> str:
        settings = self.update.keywords if isinstance(self.update, partial) else {}
        return f"{self.name}({', '.join(f'{key}={value}' for key, value in settings.items())})"


def sgd() -> Optimizer:
    """Gradient descent as it is: w ← w − α g.

    With mini-batches it is stochastic gradient descent (Robbins and Monro, "A Stochastic
    Approximation Method", Annals of Mathematical Statistics 22, 1951).

    Examples
    --------
    >>> sgd().update(np.array([2.0]), (), np.array([1.0]), 0.25, 0)
    (array([0.5]), ())
    """
    return Optimizer(_no_state, _sgd_update, "sgd")


def momentum(beta: float = 0.9) -> Optimizer:
    """Heavy ball: v ← β v − α g; w ← w + v.

    Polyak, "Some methods of speeding up the convergence of iteration methods", USSR
    Computational Mathematics and Mathematical Physics 4 (5), 1964, equation 9.

    Parameters
    ----------
    beta : float
        How much of the velocity is kept; at least 0, below 1.

    Raises
    ------
    BadInputError
        When beta is out of its range.

    Examples
    --------
    >>> heavy = momentum(beta=0.5)
    >>> heavy.update(np.array([2.0]), np.array([1.0]), np.array([1.0]), 0.25, 1)
    (array([1.]), array([0.]))
    """
    return Optimizer(_zeros, partial(_momentum_update, beta=_fraction(beta, "beta")), "momentum")


def nesterov(beta: float = 0.9) -> Optimizer:
    """Nesterov's accelerated gradient: v ← β v − α g; w ← w + β v − α g.

    Nesterov, "A method for solving the convex programming problem with convergence rate
    O(1/k²)", Doklady AN SSSR 269, 1983, as in Sutskever, Martens, Dahl and Hinton, "On the
    importance of initialization and momentum in deep learning", ICML 2013, equations 3 and 4:
    v ← β v − α ∇f(θ + β v); θ ← θ + v. Here w stands for θ + β v, the point where the gradient
    is taken.

    Parameters
    ----------
    beta : float
        How much of the velocity is kept; at least 0, below 1.

    Raises
    ------
    BadInputError
        When beta is out of its range.

    Examples
    --------
    >>> accelerated = nesterov(beta=0.5)
    >>> accelerated.update(np.array([2.0]), np.array([0.0]), np.array([1.0]), 0.25, 0)
    (array([0.25]), array([-0.5]))
    """
    return Optimizer(_zeros, partial(_nesterov_update, beta=_fraction(beta, "beta")), "nesterov")


def adam(beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> Optimizer:
    """Adam: steps scaled by running moments of the gradient.

    Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1, in the
    order of computation of its section 2. The second moment of a complex gradient is that of its
    magnitude.

    Parameters
    ----------
    beta1, beta2 : float
        Decay of the first and the second moment; at least 0, below 1.
    epsilon : float
        Added to the root of the second moment; at least 0.

    Raises
    ------
    BadInputError
        When an argument is out of its range.

    Examples
    --------
    The first step is of the length of the step size, whatever that of the gradient:

    >>> optimizer = adam()
    >>> weights = np.array([1.0, 1.0])
    >>> gradient = np.array([4.0, -400.0])
    >>> optimizer.update(gradient, optimizer.init(weights), weights, 0.125, 0)[0]
    array([0.875, 1.125])
    """
    return Optimizer(
        _zero_moments, partial(_adam_update, **_moments(beta1, beta2, epsilon)), "adam"
    )


def adamw(
    beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, weight_decay: float = 0.01
) -> Optimizer:
    """Adam with decoupled weight decay.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2. Each
    step shrinks the weights by ``step_size * weight_decay`` of themselves, as in PyTorch and
    Optax: the paper's λ is that product.

    Parameters
    ----------
    beta1, beta2, epsilon : float
        As of `adam`.
    weight_decay : float
        At least 0.

    Raises
    ------
    BadInputError
        When an argument is out of its range.

    Examples
    --------
    >>> optimizer = adamw(weight_decay=0.5)
    >>> weights = np.array([1.0])
    >>> optimizer.update(np.array([0.0]), optimizer.init(weights), weights, 0.25, 0)[0]
    array([0.875])
    """
    settings = _moments(beta1, beta2, epsilon)
    settings["weight_decay"] = _not_negative(weight_decay, "weight_decay")
    return Optimizer(_zero_moments, partial(_adam_update, **settings), "adamw")


OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "adam": adam,
    "adamw": adamw,
}


def find_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """Look an optimizer up by its name, or take it as it is.

    Raises
    ------
    BadInputError
        When there is none of that name, or it is not an `Optimizer`.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str) and optimizer in OPTIMIZERS:
        return OPTIMIZERS[optimizer]()
    names = ", ".join(OPTIMIZERS)
    if isinstance(optimizer, str):
        guesses = difflib.get_close_matches(optimizer.lower(), OPTIMIZERS, 1)
        raise BadInputError(
            f"there is no optimizer {optimizer!r}"
            + (f"; did you mean {guesses[0]!r}?" if guesses else ""),
            instead=f"one of {names}, or Optimizer(init, update)",
        )
    written = getattr(optimizer, "__name__", None)
    raise BadInputError(
        f"optimizer must be a name or an Optimizer, not {type(optimizer).__name__}",
        instead=f"optimizers.{written}(), with brackets"
        if written in OPTIMIZERS
        else f"one of the names {names}, or Optimizer(init, update)",
    )


def _no_state(weights: Tree) -> Tree:
    return ()


def _zeros(weights: Tree) -> Tree:
    """Zeros like the weights; None for what is not differentiated."""
    return tree_map(_zero, weights)


def _zero(leaf: Leaf) -> Leaf:
    if not is_differentiable(leaf):
        return None
    return type(leaf)() if isinstance(leaf, (float, complex)) else np.zeros_like(leaf)


def _zero_moments(weights: Tree) -> Tree:
    first = _zeros(weights)
    return {"first": first, "second": tree_map(_real_part, first)}


def _real_part(leaf: Leaf) -> Leaf:
    return leaf.real if _is_complex(leaf) else leaf


def _is_complex(leaf: Leaf) -> bool:
    return leaf is not None and value_type(leaf).dtype.kind == "c"


def _sgd_update(
    gradient: Tree, state: Tree, weights: Tree, step_size: float, step: float
) -> tuple[Tree, Tree]:
    (weights,) = _by_leaf(lambda w, g: (w - step_size * g,), weights, gradient)
    return weights, state


def _momentum_update(
    gradient: Tree, state: Tree, weights: Tree, step_size: float, step: float, *, beta: float
) -> tuple[Tree, Tree]:
    def rule(w: Leaf, g: Leaf, v: Leaf) -> tuple[Leaf, Leaf]:
        v = beta * v - step_size * g
        return w + v, v

    weights, state = _by_leaf(rule, weights, gradient, state)
    return weights, state


def _nesterov_update(
    gradient: Tree, state: Tree, weights: Tree, step_size: float, step: float, *, beta: float
) -> tuple[Tree, Tree]:
    def rule(w: Leaf, g: Leaf, v: Leaf) -> tuple[Leaf, Leaf]:
        v = beta * v - step_size * g
        return w + (beta * v - step_size * g), v

    weights, state = _by_leaf(rule, weights, gradient, state)
    return weights, state


def _adam_update(
    gradient: Tree,
    state: Tree,
    weights: Tree,
    step_size: float,
    step: float,
    *,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float = 0.0,
) -> tuple[Tree, Tree]:
    # Both corrections go into the step size and epsilon, with the root's factor out: an entry then
    # takes one division.
    correction = (1 - beta2 ** (step + 1)) ** 0.5
    corrected_size = step_size * correction / (1 - beta1 ** (step + 1))
    corrected_epsilon = epsilon * correction

    def rule(w: Leaf, g: Leaf, first: Leaf, second: Leaf) -> tuple[Leaf, Leaf, Leaf]:
        first = beta1 * first + (1 - beta1) * g
        squared = g.real * g.real + g.imag * g.imag if _is_complex(g) else g * g
        second = beta2 * second + (1 - beta2) * squared
        # A power, and not np.sqrt: Python floats stay Python floats.
        root = second**0.5
        moved = w - corrected_size * (first / (root + corrected_epsilon))
        return (moved - step_size * weight_decay * w if weight_decay else moved), first, second

    weights, first, second = _by_leaf(rule, weights, gradient, state["first"], state["second"])
    return weights, {"first": first, "second": second}


def _by_leaf(
    rule: Callable[..., tuple[Leaf, ...]], weights: Tree, gradient: Tree, *states: Tree
) -> tuple[Tree, ...]:
    """Apply the rule of one leaf, ``(w, g, …) → (w, …)``, to all that are differentiated."""
    leaves, structure = flatten(weights)
    columns = [leaves, *(flatten(each)[0] for each in (gradient, *states))]
    rows = [
        rule(*row) if is_differentiable(row[0]) else (row[0], *row[2:])
        for row in zip(*columns, strict=True)
    ]
    return tuple(unflatten(structure, column) for column in zip(*rows, strict=True))


def _moments(beta1: float, beta2: float, epsilon: float) -> dict[str, Any]:
    return {
        "beta1": _fraction(beta1, "beta1"),
        "beta2": _fraction(beta2, "beta2"),
        "epsilon": _not_negative(epsilon, "epsilon"),
    }


def _fraction(value: float, name: str) -> float:
    if not 0 <= value < 1:
        raise BadInputError(f"{name} must be at least 0 and below 1, and is {value!r}")
    return float(value)


def _not_negative(value: float, name: str) -> float:
    if not 0 <= value < np.inf:
        raise BadInputError(f"{name} must be a finite number of at least 0, and is {value!r}")
    return float(value)
