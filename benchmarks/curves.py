"""How the time of a step grows with the batch, the width, the depth and the threads.

``python -m benchmarks.curves FOLDER`` measures, prints the tables, and draws the curves into the
folder, each above its roofline: the least time that this machine could take.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.cores import Cores, add_arguments, chosen_cores, measured_on
from benchmarks.curve_points import PLANS
from benchmarks.environment import environment_line, environment_of
from benchmarks.roofline import Bound

__all__ = ["Curve", "curves_of", "main", "thread_counts", "write_curves"]

UNITS = {"µs": 1e6, "ms": 1e3}

ROOFLINE = "roofline"
"""The name of the bound, beside those of the participants."""

COLORS = {"steepest": "#1f5fa8", "PyTorch eager": "#d1601c", "JAX": "#2e8b57"}
MARKERS = {"steepest": "o", "PyTorch eager": "s", "JAX": "^"}
GREY = "#555555"


@dataclass
class Curve:
    """Times against a size, for each participant and for the roofline, in seconds."""

    title: str
    size: str
    quantity: str
    unit: Literal["µs", "ms"]
    lines: dict[str, list[tuple[int, float]]]


def thread_counts(most: int) -> list[int]:
    """List the numbers of threads for a curve: powers of two, and as many as there are.

    Parameters
    ----------
    most : int

    Returns
    -------
    list of int
    """
    return sorted({*(2**k for k in range(most.bit_length())), most})


def curves_of(plan: str, points: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """Make the curves of what was measured.

    Parameters
    ----------
    plan : str
        One of `PLANS`.
    points : sequence of mapping
        As `benchmarks.curve_points` prints them.

    Returns
    -------
    list of Curve
        Of the time of a step, and, where the plan has it, of the first call.
    """
    chosen = PLANS[plan]
    steps = Curve(chosen.title, chosen.size, "time of a step", "µs", {})
    first = Curve(chosen.title, chosen.size, "time of the first call, of one step", "ms", {})
    for point in points:
        for name, times in point["times"].items():
            steps.lines.setdefault(name, []).append((point["size"], times["median"]))
            first.lines.setdefault(name, []).append((point["size"], times["first_call"]))
        least = Bound(**point["bound"]).seconds
        steps.lines.setdefault(ROOFLINE, []).append((point["size"], least))
    return [steps, first] if chosen.has_first_call else [steps]


def write_curves(curves: Sequence[Curve], folder: Path, name: str) -> str:
    """Draw the curves into an SVG and a PNG, and write them as tables.

    Parameters
    ----------
    curves : sequence of Curve
    folder : Path
        Made if need be.
    name : str
        Of the files, without suffix.

    Returns
    -------
    str
        The tables.
    """
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    rows = -(-len(curves) // 2)
    figure = Figure(figsize=(11, 4.2 * rows + 0.4), layout="constrained", facecolor="white")
    all_axes: Any = figure.subplots(rows, 2, squeeze=False)
    for axes, curve in zip(all_axes.flat, curves, strict=False):
        _draw(axes, curve)
    for axes in all_axes.flat[len(curves) :]:
        axes.set_axis_off()
    lines, names = all_axes.flat[0].get_legend_handles_labels()
    figure.legend(lines, names, frameon=False, loc="outside upper center", ncols=len(names))
    for suffix in ("svg", "png"):
        figure.savefig(folder / f"{name}.{suffix}", dpi=120)
    return "\n\n".join(map(_table, curves))


def _draw(axes: Any, curve: Curve) -> None:
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    for name, points in curve.lines.items():
        sizes = [size for size, _ in points]
        values = [seconds * UNITS[curve.unit] for _, seconds in points]
        if name == ROOFLINE:
            axes.plot(
                sizes,
                values,
                color=GREY,
                linestyle="--",
                linewidth=1.5,
                label="roofline: the least that this machine could take",
            )
            continue
        axes.plot(
            sizes,
            values,
            color=COLORS[name],
            marker=MARKERS[name],
            markersize=6,
            linewidth=2.5 if name == "steepest" else 1.5,
            label=name,
        )
    axes.set_xscale("log", base=10 if curve.size == "layers" else 2)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    # Where a decade is all there is, its ends would be too few numbers.
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.set_yticks([], minor=True)
    sizes = [size for size, _ in curve.lines["steepest"]]
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xticks([], minor=True)
    axes.set_title(curve.title)
    axes.set_xlabel(curve.size)
    axes.set_ylabel(f"{curve.quantity} ({curve.unit})")
    axes.grid(True, which="major", alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if ROOFLINE in curve.lines:
        # Nobody comes here.
        bounds = [seconds * UNITS[curve.unit] for _, seconds in curve.lines[ROOFLINE]]
        axes.fill_between(sizes, bounds, low, color=GREY, alpha=0.12, linewidth=0)
        axes.set_ylim(low, high)


def _table(curve: Curve) -> str:
    scale = UNITS[curve.unit]
    names = list(curve.lines)
    rows = [
        f"{curve.title}: {curve.quantity} ({curve.unit})",
        "",
        f"| {curve.size} | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    values = {name: dict(points) for name, points in curve.lines.items()}
    for size in dict.fromkeys(size for points in curve.lines.values() for size, _ in points):
        cells = [_cell(values[name][size] * scale) for name in names]
        rows.append(f"| {size} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _points(plan: str, cores: Cores, most: Cores, options: list[str], every: int) -> list[Any]:
    """Measure a plan in fresh processes, on these cores; or on more and more, up to the most."""
    sizes = PLANS[plan].sizes[::every]
    if sizes:
        arguments = [plan, *map(str, sizes), *options]
        return list(measured_on(cores, "benchmarks.curve_points", arguments))
    points = []
    for count in thread_counts(most.threads):
        fewer = Cores(count, most.numbers[-count:])
        points += measured_on(fewer, "benchmarks.curve_points", [plan, str(count), *options])
    return points


def main(argv: list[str]) -> None:
    """Measure all curves, print them as tables and draw them."""
    parser = argparse.ArgumentParser("python -m benchmarks.curves", description=__doc__)
    parser.add_argument("folder", type=Path, help="for descent_curves.svg and .png")
    add_arguments(parser)
    parser.add_argument("--engine", help="steepest's engine; by default that of descend")
    parser.add_argument("--quick", action="store_true", help="every third size, in short runs")
    parser.add_argument("--only", choices=PLANS, action="append", help="some of the curves")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    arguments = parser.parse_args(argv)
    cores = chosen_cores(arguments.threads, arguments.cores)
    options = [*(["--engine", arguments.engine] if arguments.engine else [])]
    options += ["--quick"] if arguments.quick else []
    environment = environment_of(cores)
    print(environment_line(environment), flush=True)
    curves = []
    with tempfile.TemporaryDirectory() as folder:
        # The first calls compile what no earlier run has left.
        os.environ["STEEPEST_CACHE_DIR"] = folder
        for plan in arguments.only or PLANS:
            points = _points(
                plan, cores, chosen_cores("all"), options, every=3 if arguments.quick else 1
            )
            curves += curves_of(plan, points)
    name = "descent_curves"
    if cores.threads > 1:
        name += f"_{cores.threads}_threads"
    print(f"\n{write_curves(curves, arguments.folder, name)}")
    if arguments.json is not None:
        results = {"environment": environment, "curves": [asdict(curve) for curve in curves]}
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
