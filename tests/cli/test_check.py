"""``steepest check``: verdicts as exit statuses, and files that fail in every way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

MODEL = '''
"""A line fitted to points, its gradients right and wrong, and functions that have none."""
import builtins
import dataclasses
import numpy as np
import helper

rng = np.random.default_rng(0)
inputs = rng.standard_normal((20, 3))
data = (inputs, inputs @ [1.0, 2.0, 3.0])
weights = {"w": np.array([0.5, 1.0, 1.5]), "b": 0.2}
start = np.array([1.0, -2.0])
other_data = (inputs[:5], np.zeros(5))

@dataclasses.dataclass
class Settings:
    scale: float = helper.SCALE

def loss_fn(weights, data):
    x, y = data
    return np.mean((x @ weights["w"] + weights["b"] - y) ** 2)

def gradient(weights, data):
    x, y = data
    error = 2 * (x @ weights["w"] + weights["b"] - y) / len(y)
    return {"w": x.T @ error, "b": error.sum()}

def wrong_gradient(weights, data):
    result = gradient(weights, data)
    result["w"][1] *= 1.01
    return result

def total(weights, data=None):
    return np.sum(weights["w"] ** 2) + weights["b"]

def alone(w):
    return Settings().scale * np.sum(w * w)

def wrong_alone(w):
    return w

def cosine(w):
    return np.cos(w)

def kink(w):
    return np.sum(np.abs(w - start))

def noisy(w):
    return np.sum(np.sin(w)) + rng.random()

def divides(w):
    return 1 / 0

def ends(w):
    raise SystemExit(0)

def converts(w):
    return builtins.float(np.sum(w))

def vector(w):
    return w

if __name__ == "__main__":
    raise RuntimeError("the file is not the program here")
'''


def line_of(text: str) -> int:
    """Get the number of the line of the model that holds a text."""
    return next(n for n, line in enumerate(MODEL.split("\n"), 1) if text in line)


@pytest.fixture
def model(tmp_path: Path) -> str:
    """Write the file that the tests check."""
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    (tmp_path / "helper.py").write_text("SCALE = 3.0\n")
    return "model.py"


@pytest.mark.parametrize(
    ("arguments", "status", "verdict"),
    [
        (["loss_fn"], 0, "correct"),
        (["loss_fn", "--gradient", "gradient"], 0, "correct"),
        (["loss_fn", "--gradient", "gradient", "--data", "other_data"], 0, "correct"),
        (["loss_fn", "--gradient", "wrong_gradient"], 1, "wrong"),
        (["total"], 0, "correct"),
        (["total", "--data", "data"], 0, "correct"),
        (["alone", "--weights", "start"], 0, "correct"),
        (["alone", "--weights", "start", "--gradient", "wrong_alone"], 1, "wrong"),
        (["kink", "--weights", "start"], 3, "kink"),
        (["noisy", "--weights", "start", "--gradient", "cosine"], 3, "noisy"),
    ],
    ids=str,
)
def test_the_exit_status_is_the_verdict(
    run: Any, model: str, arguments: list[str], status: int, verdict: str
) -> None:
    outcome = run("check", f"{model}:{arguments[0]}", *arguments[1:])
    assert outcome.status == status, outcome
    assert verdict in outcome.out
    assert outcome.err == ""


def test_the_report_names_the_parameter_that_is_wrong(run: Any, model: str) -> None:
    outcome = run("check", f"{model}:loss_fn", "--gradient", "wrong_gradient")
    lines = outcome.out.splitlines()
    assert any("w" in line.split() and "wrong" in line for line in lines)
    assert any("b" in line.split() and "correct" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing"], ["model.py defines no function missing", "loss_fn"]),
        (["start"], ["model.py defines no function start"]),
        (["alone", "--weights", "nothing"], ["model.py defines no nothing", "--weights"]),
        (["loss_fn", "--data", "nothing"], ["model.py defines no nothing", "--data"]),
        (["loss_fn", "--gradient", "nothing"], ["model.py defines no function nothing"]),
        (["divides", "--weights", "start"], [f"model.py:{line_of('1 / 0')}: ZeroDivisionError"]),
        (["ends", "--weights", "start"], ["model.py ends the program, with exit status 0"]),
        (["converts", "--weights", "start"], [f"model.py:{line_of('float(np')}: ", "float"]),
        (["vector", "--weights", "start"], ["scalar"]),
        (["alone", "--weights", "data", "--data", "data"], ["model.py"]),
        (["alone", "--seed", "x"], ["--seed"]),
    ],
    ids=str,
)
def test_what_cannot_be_checked_is_one_line(
    refuse: Any, model: str, arguments: list[str], words: list[str]
) -> None:
    message = refuse("check", f"{model}:{arguments[0]}", *arguments[1:])
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"weights = [\n", ["broken.py:1: SyntaxError"]),
        (b"x = 1\nimport no_such_module\n", ["broken.py:2: ModuleNotFoundError", "no_such_module"]),
        (b"\n\nraise ValueError('two\\nlines')\n", ["broken.py:3: ValueError: two lines"]),
        (b"open('no such file')\n", ["broken.py:1: FileNotFoundError"]),
        (b"import sys\nsys.exit('enough')\n", ["ends the program", "enough"]),
        (b"\x00\x01", ["broken.py"]),
        (b"\xff\xfe", ["broken.py"]),
        (b"", ["broken.py defines no function loss; it defines none"]),
    ],
)
def test_a_file_that_fails_is_one_line(
    refuse: Any, tmp_path: Path, content: bytes, words: list[str]
) -> None:
    (tmp_path / "broken.py").write_bytes(content)
    message = refuse("check", "broken.py:loss")
    for word in words:
        assert word in message


@pytest.mark.parametrize("target", ["nowhere.py:loss", ".:loss"])
def test_a_missing_file_is_one_line(refuse: Any, target: str) -> None:
    assert "there is no file" in refuse("check", target)


def test_an_edited_file_is_read_anew(run: Any, tmp_path: Path) -> None:
    text = "import numpy as np\nweights = np.ones(2)\ndef loss(w): return np.sum(w * w)\n"
    gradient = "def gradient(w): return {} * w\n"
    for factor, status in ((2, 0), (3, 1), (2, 0)):
        (tmp_path / "edited.py").write_text(text + gradient.format(factor), encoding="utf-8")
        assert run("check", "edited.py:loss", "--gradient", "gradient").status == status
    assert not (tmp_path / "__pycache__").exists()


@pytest.fixture(autouse=True)
def restored_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the modules of the checked files, as the end of the process would."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("helper", *(f"checked_file_{stem}" for stem in ("model", "broken", "edited"))):
        monkeypatch.delitem(sys.modules, name, raising=False)
