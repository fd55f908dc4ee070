"""Engines: each runs the same graphs. ``interpret`` is the reference."""

from steepest.engines.interpret import Interpreter, replay

__all__ = ["Interpreter", "replay"]
