"""A report of a gradient check as JSON and as HTML."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from steepest.check.report import GradientCheck, ParameterCheck

__all__ = ["as_html", "as_json"]

# Raised when a field is renamed, removed or changes its meaning; not when one is added.
SCHEMA = 1


def as_json(report: GradientCheck, *, indent: int | None = None) -> str:
    """Write a report as JSON: the fields of `GradientCheck`, with ``ok`` and ``schema``.

    ``parameters`` is a list, in the order of the report. Numbers that JSON does not have (NaN,
    infinity) are null.
    """
    content: dict[str, Any] = {"schema": SCHEMA, "verdict": report.verdict, "ok": report.ok}
    content |= {
        field.name: _plain(getattr(report, field.name))
        for field in dataclasses.fields(report)
        if field.name not in ("verdict", "parameters")
    }
    content["parameters"] = [_of_parameter(check) for check in report.parameters.values()]
    return json.dumps(content, indent=indent, allow_nan=False, ensure_ascii=False)


def _of_parameter(check: ParameterCheck) -> dict[str, Any]:
    content: dict[str, Any] = {
        field.name: _plain(getattr(check, field.name))
        for field in dataclasses.fields(check)
        if field.name != "missed"  # what `detectable` is computed from
    }
    return content | {"detectable": _plain(check.detectable)}


def as_html(report: GradientCheck) -> str:
    """Write a report as a table with a caption, and what is to be said of each parameter below it.

    It has no style but alignment, so that it is legible on any background; verdicts are words.
    """
    header = ("parameter", "shape", "dtype", "verdict", "error", "bound", "analytic", "numerical")
    heading = "".join(f'<th scope="col">{name}</th>' for name in header)
    rows = "".join(_row(check) for check in report.parameters.values())
    details = "".join(
        f'<pre style="white-space: pre-wrap">{html.escape(str(check))}</pre>'
        for check in report.parameters.values()
        if not check.ok
    )
    remarks = [
        f"{check.name}: {check.reason}"
        for check in report.parameters.values()
        if check.ok and check.reason
    ]
    items = "".join(f"<li>{html.escape(each)}</li>" for each in [*remarks, *report.notes])
    verdict = html.escape(report.verdict)
    return (
        '<div class="steepest-gradient-check">'
        f"<table><caption>gradient check: <strong>{verdict}</strong>"
        f" ({report.evaluations} evaluations of the function,"
        f" {report.gradient_evaluations} of the gradient)</caption>"
        f"<thead><tr>{heading}</tr></thead><tbody>{rows}</tbody></table>"
        f"{details}{f'<ul>{items}</ul>' if items else ''}</div>"
    )


def _row(check: ParameterCheck) -> str:
    shape = "×".join(map(str, check.shape)) if check.shape else "scalar"
    verdict = html.escape(check.verdict)
    cells = [
        html.escape(shape),
        html.escape(check.dtype),
        verdict if check.ok else f"<strong>{verdict}</strong>",
        *map(_number, (check.error, check.bound, check.analytic, check.numerical)),
    ]
    name = f'<th scope="row">{html.escape(check.name)}</th>'
    return f"<tr>{name}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else "-"


def _plain(value: Any) -> Any:
    """Turn what a report is made of into what JSON has."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (str, int)) else str(value)
