"""NumPy's reading indexing."""

from __future__ import annotations

from typing import Any

from steepest.ops.spec import Value


def read(x: Value, key: Any) -> Value:
    """Read part of an array."""
    raise NotImplementedError
