"""The examples run, and show what they say."""

import dataclasses
import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import steepest as sd
from steepest.cli import main

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


@pytest.fixture
def three_variants(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.delitem(sys.modules, "three_variants", raising=False)
    return importlib.import_module("three_variants")


@pytest.fixture
def short_variants(three_variants):
    epochs = {None: 30, 256: 10, 1: 1}
    return [
        dataclasses.replace(variant, epochs=epochs[variant.batch_size])
        for variant in three_variants.VARIANTS
    ]


def test_the_three_variants_descend_on_the_same_problem(three_variants, short_variants):
    dataset = sd.datasets.load_digits()
    full, batches, single = (three_variants.train(each, dataset) for each in short_variants)
    assert full.losses[0] == batches.losses[0] == single.losses[0]
    for run in (full, batches, single):
        assert len(run.losses) == len(run.seconds) == run.variant.epochs + 1
        assert run.losses[-1] < run.losses[0] / 3
        assert np.all(np.diff(run.seconds) > 0)
    assert (full.steps, batches.steps, single.steps) == (30, 10 * 6, 1438)
    # What the figure shows: by epoch, the smaller the batch the faster.
    assert single.losses[1] < batches.losses[1] < full.losses[1]


def test_all_but_the_seconds_repeats(three_variants, short_variants):
    dataset = sd.datasets.load_digits()
    for variant in short_variants:
        first, second = (three_variants.train(variant, dataset) for _ in range(2))
        np.testing.assert_array_equal(first.losses, second.losses)
        assert first.accuracy == second.accuracy


def test_the_three_variants_are_a_script(three_variants, short_variants, tmp_path, capsys):
    out = tmp_path / "a figure.png"
    three_variants.main(["--out", str(out)], variants=short_variants)
    assert out.read_bytes().startswith(b"\x89PNG")
    header, *rows, saved = capsys.readouterr().out.splitlines()
    assert header.split()[0] == "variant"
    assert [row[:14].strip() for row in rows] == ["full batch", "batches of 256", "single images"]
    assert str(out) in saved


CHECKED = f"{EXAMPLES / 'gradient_by_hand.py'}:loss_fn"
# Errors of the size of rounding differ from one machine to the next.
ROUNDING = re.compile(r"\d+(\.\d+)?e[-+]\d+")


def test_the_gradient_by_hand_has_the_mistake_that_the_readme_shows(capsys):
    assert main(["check", CHECKED, "--gradient", "gradient_by_hand"]) == 1
    found = capsys.readouterr().out.partition("\n\n")[2].rstrip()
    assert found.startswith("w: wrong")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert ROUNDING.sub("#", found) in ROUNDING.sub("#", readme)


def test_the_loss_of_that_example_has_a_right_gradient(capsys):
    assert main(["check", CHECKED]) == 0
    assert "correct" in capsys.readouterr().out


GALLERY = sorted(path.stem for path in (EXAMPLES / "gallery").glob("*.py") if path.stem != "show")


@pytest.mark.parametrize("name", GALLERY)
@pytest.mark.filterwarnings("ignore::steepest.errors.NotCompiledWarning")
def test_the_gallery_is_plain_numpy_that_descends(name, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(EXAMPLES / "gallery")
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(name)
    report = sd.check_gradient(module.loss_fn, module.weights, evaluations=150)
    assert all(each.verdict in ("correct", "undecided") for each in report.parameters.values())
    assert any(each.ok for each in report.parameters.values())
    result = module.fit(5)
    assert module.loss_fn(result.weights) < module.loss_fn(module.weights)
    module.draw(result).savefig(tmp_path / "figure.png", dpi=40)
    # The files take part in nothing of steepest's but what the reader sees.
    source = (EXAMPLES / "gallery" / f"{name}.py").read_text(encoding="utf-8")
    assert set(re.findall(r"sd\.(\w+)", source)) <= {"descend", "Descent"}


def test_the_gallery_page_shows_all_of_it():
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert re.findall(r"examples/gallery/(\w+)\.py\)", page) == re.findall(
        r"images/gallery/(\w+)\.png\)", page
    )
    assert set(re.findall(r"images/gallery/(\w+)\.png\)", page)) == set(GALLERY)
