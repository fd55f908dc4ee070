"""Which steepest this is."""

from __future__ import annotations

import importlib.metadata

__all__ = ["installed_version"]


def installed_version() -> str:
    """Get the version of the installed package; "unknown" when it runs without installation."""
    try:
        return importlib.metadata.version("steepest")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
