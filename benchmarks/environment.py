"""What a table was measured on: processor, cores, load and versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

from benchmarks.cores import Cores

__all__ = ["environment_line", "environment_of"]

PACKAGES = ("numpy", "torch", "jax", "jaxlib", "scikit-learn", "llvmlite")


def environment_of(cores: Cores) -> dict[str, Any]:
    """Find out what measurements in this process are made on.

    Parameters
    ----------
    cores : Cores
        Those that are measured on.

    Returns
    -------
    dict
    """
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"model name\s*: (.*)", information.read_text(encoding="utf-8"))
        processor = found[1] if found else processor
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor,
        "cores": str(cores),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def environment_line(environment: dict[str, Any]) -> str:
    """Write it in a line, above a table."""
    return (
        f"{environment['processor']}, {environment['cores']}, load {environment['load']:.2f};"
        f" Python {environment['python']}, "
        + ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    )
