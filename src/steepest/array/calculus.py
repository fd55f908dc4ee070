"""Derivatives that functions on Arrays take themselves, of functions that they are given.

What computes them lies above: `steepest.differentiate` puts it here when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["calculus"]


class _Calculus:
    """The calculus, as far as it is needed here.

    Attributes
    ----------
    gradient, jacobian : callable
        A function becomes the function that returns its gradient, or its Jacobian.
    directional : callable
        ``(f, (x,), (direction,)) → (value, derivative along the direction)``.
    """

    gradient: Callable[[Callable[..., Any]], Callable[..., Any]]
    jacobian: Callable[[Callable[..., Any]], Callable[..., Any]]
    directional: Callable[..., tuple[Any, Any]]


calculus = _Calculus()
"""Of functions of one array."""
