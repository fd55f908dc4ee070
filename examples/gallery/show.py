"""What the examples of the gallery share: their command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import steepest as sd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["show"]


def show(
    loss_fn: Callable[[Any], Any],
    weights: Any,
    fit: Callable[[], Any],
    draw: Callable[[Any], Figure],
    name: str,
) -> None:
    """Check the gradient, fit, and save the figure.

    Parameters
    ----------
    loss_fn : callable
    weights : pytree
        Where the gradient is checked.
    fit : callable
        Returns what `draw` takes.
    draw : callable
        Makes the figure.
    name : str
        Of the file, without its suffix.
    """
    parser = argparse.ArgumentParser(description=f"Fit, and draw {name}.png.")
    parser.add_argument("--out", type=Path, default=Path(f"{name}.png"), help="where to draw")
    out = parser.parse_args().out
    print(sd.check_gradient(loss_fn, weights))
    draw(fit()).savefig(out, dpi=120)
    print(f"Figure saved to {out}")
