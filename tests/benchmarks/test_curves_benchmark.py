"""The curves of the benchmark: what is drawn and written of what was measured."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from benchmarks import curve_points
from benchmarks.curve_points import PLANS
from benchmarks.curves import curves_of, thread_counts, write_curves
from benchmarks.roofline import Bound
from benchmarks.step_timing import Pace, StepTimes


def point(size: int, **medians: float) -> dict[str, Any]:
    return {
        "size": size,
        "bound": asdict(Bound(1e-6 * size, 2e-6 * size, 0.0)),
        "times": {
            name: asdict(StepTimes(median, median, median, 1, 0.0, 3 * median))
            for name, median in medians.items()
        },
    }


@pytest.mark.parametrize(
    ("most", "expected"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12])],
)
def test_numbers_of_threads(most: int, expected: list[int]) -> None:
    assert thread_counts(most) == expected


@pytest.mark.parametrize("plan", PLANS)
def test_works_of_the_curves_have_whole_batches(plan: str) -> None:
    for size in PLANS[plan].sizes or (1, 2):
        work = PLANS[plan].work(size)
        assert work.batch is not None
        assert work.examples % work.batch == 0


def test_curves_have_their_roofline() -> None:
    (curve,) = curves_of("batch", [point(1, steepest=5e-6, JAX=7e-6), point(4, steepest=9e-6)])
    assert curve.lines == {
        "steepest": [(1, 5e-6), (4, 9e-6)],
        "JAX": [(1, 7e-6)],
        "roofline": [(1, 2e-6), (4, 8e-6)],
    }
    _, first = curves_of("depth", [point(2, steepest=5e-6)])
    assert first.lines == {"steepest": [(2, 3 * 5e-6)]}


def test_curves_are_drawn_and_written(tmp_path: Path) -> None:
    points = [point(size, steepest=5e-6 * size, JAX=2e-3 * size) for size in (2, 5, 10)]
    curves = [*curves_of("width", points), *curves_of("depth", points)]
    text = write_curves(curves, tmp_path / "new", "curves")
    assert text.splitlines()[:5] == [
        "Network 64-w-w-10, batch 128: time of a step (µs)",
        "",
        "| width w | steepest | JAX | roofline |",
        "|---|---|---|---|",
        "| 2 | 10 | 4,000 | 4 |",
    ]
    assert text.count("| layers |") == 2
    assert (tmp_path / "new/curves.png").stat().st_size > 10_000
    svg = (tmp_path / "new/curves.svg").read_text(encoding="utf-8")
    assert "roofline" in svg


def test_points_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shortest = Pace(1e-3, 1, 0.0)
    monkeypatch.setattr(curve_points, "DRAWN", ("steepest",))
    monkeypatch.setattr(curve_points, "Pace", lambda *_: shortest)
    curve_points.main(["batch", "1", "16", "--quick"])
    points = json.loads(capsys.readouterr().out)
    assert [each["size"] for each in points] == [1, 16]
    for each in points:
        assert 0 < Bound(**each["bound"]).seconds < 1
        assert each["times"]["steepest"]["median"] > 0
