"""Reports as JSON and as HTML."""

import dataclasses
import html.parser
import json

import numpy as np
import pytest

import steepest as sd
from steepest.check import GradientCheck, ParameterCheck

VOID = {"br", "hr", "img", "meta"}


def wrong():
    weights = {"W": np.ones((2, 3)), "<b>&": np.array([1.0])}
    return sd.check_gradient(
        lambda w: np.sum(w["W"] ** 2) + np.sum(w["<b>&"] ** 3),
        weights,
        lambda w: {"W": 3 * w["W"], "<b>&": 3 * w["<b>&"] ** 2},
    )


REPORTS = {
    "correct": lambda: sd.check_gradient(lambda x: np.sum(x**2), np.ones(3)),
    "wrong": wrong,
    "kink": lambda: sd.check_gradient(lambda x: np.sum(np.abs(x)), np.zeros(2)),
    "undecided": lambda: sd.check_gradient(lambda x: np.sum(np.sin(x)), np.ones(3), evaluations=2),
}


@pytest.mark.parametrize("verdict", REPORTS)
def test_json_says_what_the_report_says(verdict):
    report = REPORTS[verdict]()

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    read = json.loads(report.to_json(), parse_constant=refuse)
    assert read["schema"] == 1
    assert read["verdict"] == report.verdict == verdict
    assert read["ok"] is report.ok
    assert {field.name for field in dataclasses.fields(GradientCheck)} <= set(read)
    assert [each["name"] for each in read["parameters"]] == list(report.parameters)
    for each, check in zip(read["parameters"], report.parameters.values(), strict=True):
        fields = {field.name for field in dataclasses.fields(ParameterCheck)}
        assert set(each) == fields - {"missed"} | {"detectable"}
        assert each["shape"] == list(check.shape)
        for name in ("error", "bound", "resolution", "analytic", "numerical"):
            value = getattr(check, name)
            assert each[name] == (value if np.isfinite(value) else None)
        index = check.worst_index
        assert each["worst_index"] == (None if index is None else list(index))
    assert json.loads(report.to_json(indent=2)) == read


class Reader(html.parser.HTMLParser):
    """Collects text and sees that every element ends where it should."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.text = []
        self.rows = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "th":
            assert dict(attrs)["scope"] in ("col", "row")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if "tr" in self.open:
            self.rows[-1].append(data)


@pytest.mark.parametrize("verdict", REPORTS)
def test_html_is_a_table_that_says_what_the_report_says(verdict):
    report = REPORTS[verdict]()
    reader = Reader()
    reader.feed(report._repr_html_())
    reader.close()
    assert reader.open == []
    text = "".join(reader.text)
    assert f"gradient check: {verdict}" in text
    _, *rows = reader.rows
    assert [row[0] for row in rows] == list(report.parameters)
    assert [row[3] for row in rows] == [each.verdict for each in report.parameters.values()]
    for check in report.parameters.values():
        if not check.ok:
            assert str(check) in text


def test_names_are_escaped():
    text = wrong()._repr_html_()
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;" in text


def test_notes_are_shown():
    report = dataclasses.replace(REPORTS["correct"](), notes=("a < b",))
    assert "<li>a &lt; b</li>" in report._repr_html_()
    assert json.loads(report.to_json())["notes"] == ["a < b"]
    assert "note: a < b" in str(report)
