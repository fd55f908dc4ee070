"""The command line: ``steepest train``, ``steepest predict`` and ``steepest check``."""

from __future__ import annotations

from steepest.cli.entry_point import main

__all__ = ["main"]
