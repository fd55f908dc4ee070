"""How the time of a step grows with the batch, the width and the size of the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from benchmarks.descent_work import Work
from benchmarks.step_timing import Pace, StepTimes

__all__ = ["Curve", "measure_curves", "write_curves"]

Measure: TypeAlias = Callable[[Work, Pace], dict[str, StepTimes]]

BATCHES = (1, 4, 16, 64, 256, 1024)
WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
DEPTHS = (2, 5, 10, 20, 50, 100, 200)

UNITS = {"µs": 1e6, "ms": 1e3}


@dataclass
class Curve:
    """Times against a size, for each participant, in seconds."""

    title: str
    size: str
    quantity: str
    unit: Literal["µs", "ms"]
    lines: dict[str, list[tuple[int, float]]]


def _batch_work(batch: int) -> Work:
    return Work(f"batch {batch}", (64, 32, 10), 1024 * 10, batch, 0.01)


def _width_work(width: int) -> Work:
    return Work(f"width {width}", (64, width, width, 10), 128 * 40, 128, 0.01)


def _depth_work(depth: int) -> Work:
    sizes = (8,) * depth + (10,)
    return Work(f"depth {depth}", sizes, 32 * 100, 32, 0.01, activation="tanh")


def measure_curves(measure: Measure, quick: bool, report: Callable[[str], None]) -> list[Curve]:
    """Measure all curves.

    Parameters
    ----------
    measure : callable
        Measures a work for every participant.
    quick : bool
        Every third size, in short runs.
    report : callable
        Told what is being measured.

    Returns
    -------
    list of Curve
    """
    pace = Pace(0.05, 2, 5.0) if quick else Pace(0.15, 3, 10.0)
    every = 3 if quick else 1
    curves = []
    for title, size, sizes, make_work in (
        ("Network 64-32-10", "batch", BATCHES, _batch_work),
        ("Network 64-w-w-10, batch 128", "width w", WIDTHS, _width_work),
        ("Network of layers of 8 units, batch 32", "layers", DEPTHS, _depth_work),
    ):
        times = Curve(title, size, "time of one step", "µs", {})
        compiling = Curve(title, size, "time of the first call, of one step", "ms", {})
        for number in sizes[::every]:
            report(f"{title}, {size} {number}")
            for name, measured in measure(make_work(number), pace).items():
                times.lines.setdefault(name, []).append((number, measured.median))
                compiling.lines.setdefault(name, []).append((number, measured.first_call))
        curves.append(times)
        if make_work is _depth_work:
            curves.append(compiling)
    return curves


def write_curves(curves: list[Curve], folder: Path) -> str:
    """Draw the curves into ``descent_curves.svg`` and ``.png``, and write them as tables.

    Parameters
    ----------
    curves : list of Curve
    folder : Path
        Made if need be.

    Returns
    -------
    str
        The tables, which ``descent_curves.md`` has too.
    """
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(12, 9), layout="constrained")
    all_axes: Any = figure.subplots(2, 2)
    names = list(dict.fromkeys(name for curve in curves for name in curve.lines))
    for axes, curve in zip(all_axes.flat, curves, strict=True):
        for number, name in enumerate(names):
            points = curve.lines.get(name, [])
            axes.plot(
                [size for size, _ in points],
                [seconds * UNITS[curve.unit] for _, seconds in points],
                color=f"C{number}",
                marker="os^Dv"[number % 5],
                markersize=5,
                linewidth=2.5 if number == 0 else 1.5,
                label=name,
            )
        axes.set_xscale("log", base=2 if curve.size != "layers" else 10)
        axes.set_yscale("log")
        sizes = [size for size, _ in curve.lines[names[0]]]
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set_title(curve.title)
        axes.set_xlabel(curve.size)
        axes.set_ylabel(f"{curve.quantity} ({curve.unit})")
        axes.grid(True, which="major", alpha=0.3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    all_axes.flat[0].legend(frameon=False)
    for suffix in ("svg", "png"):
        figure.savefig(folder / f"descent_curves.{suffix}", dpi=120)
    text = "\n\n".join(_table(curve, names) for curve in curves)
    (folder / "descent_curves.md").write_text(text + "\n", encoding="utf-8")
    return text


def _table(curve: Curve, names: list[str]) -> str:
    scale = UNITS[curve.unit]
    rows = [
        f"{curve.title}: {curve.quantity} ({curve.unit})",
        "",
        f"| {curve.size} | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    values = {name: dict(points) for name, points in curve.lines.items()}
    for size in dict.fromkeys(size for points in curve.lines.values() for size, _ in points):
        cells = [
            _cell(values[name][size] * scale) if size in values.get(name, {}) else ""
            for name in names
        ]
        rows.append(f"| {size} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
