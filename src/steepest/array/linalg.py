"""NumPy's functions of this family on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]

FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {}
