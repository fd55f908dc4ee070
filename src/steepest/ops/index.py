"""Reading parts of arrays, and its transpose."""

from __future__ import annotations

from steepest.ops.spec import Primitive

__all__ = ["PRIMITIVES"]

PRIMITIVES: tuple[Primitive, ...] = ()
