"""``steepest check``: budgets, JSON, and other frameworks."""

import json
import sys

import pytest

MODEL = """
import numpy as np

weights = np.linspace(0.5, 2, 4)

def loss_fn(w):
    return np.sum(np.sin(w))

def slightly_wrong(w):
    return np.cos(w) * (1 + 1e-6)

def wrong(w):
    return -np.cos(w)
"""

TORCH = """
import torch

weights = {"w": torch.linspace(0.5, 2, 4), "b": torch.tensor(1.0)}
data = torch.linspace(0, 1, 8).reshape(2, 4)
model = torch.nn.Linear(4, 2)

class Sine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, g):
        return -g * ctx.saved_tensors[0].cos()

def loss_fn(weights, data):
    return torch.tanh(data @ weights["w"] + weights["b"]).sum()

def wrong_loss_fn(weights, data):
    return Sine.apply(data @ weights["w"] + weights["b"]).sum()
"""

JAX = """
import jax.numpy as jnp

weights = jnp.linspace(0.5, 2, 4)

def loss_fn(weights):
    return jnp.sum(jnp.sin(weights))
"""


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    for name, text in (("model", MODEL), ("in_torch", TORCH), ("in_jax", JAX)):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, f"checked_file_{name}", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--seconds", "100"], 0, "correct"),
        (["--evaluations", "3"], 3, "the budget of 3 evaluations is spent"),
        (["--evaluations", "100000", "--confidence", "0.99999"], 0, "correct"),
        (["--gradient", "slightly_wrong"], 1, "pass tolerance="),
        (["--gradient", "slightly_wrong", "--tolerance", "1e-5"], 0, "correct"),
    ],
    ids=str,
)
def test_options_reach_the_check(run, options, status, words):
    outcome = run("check", "model.py:loss_fn", *options)
    assert outcome.status == status, outcome
    assert words in outcome.out
    assert outcome.err == ""


@pytest.mark.parametrize(
    "options",
    [
        ["--seconds", "0"],
        ["--seconds", "soon"],
        ["--evaluations", "0"],
        ["--confidence", "1"],
        ["--confidence", "99.9"],
        ["--tolerance", "1"],
        ["--tolerance", "-1"],
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(refuse, options):
    assert options[0] in refuse("check", "model.py:loss_fn", *options)


@pytest.mark.parametrize(
    ("gradient", "status", "verdict"), [("wrong", 1, "wrong"), ("slightly_wrong", 1, "wrong")]
)
def test_json_in_place_of_the_report(run, gradient, status, verdict):
    outcome = run("check", "model.py:loss_fn", "--gradient", gradient, "--json", "-")
    assert outcome.status == status
    report = json.loads(outcome.out)
    assert report["verdict"] == verdict
    assert not report["ok"]
    (parameter,) = report["parameters"]
    assert parameter["name"] == "x"
    assert parameter["shape"] == [4]
    assert parameter["diagnosis"]


def test_json_beside_the_report(run, tmp_path):
    outcome = run("check", "model.py:loss_fn", "--json", "report.json")
    assert outcome.status == 0
    assert "gradient check: correct" in outcome.out
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["ok"]
    assert report["evaluations"] > 0


def test_json_that_cannot_be_written_is_an_error(run):
    outcome = run("check", "model.py:loss_fn", "--json", "no/such/folder.json")
    assert outcome.status == 2
    assert "no/such/folder.json" in outcome.err


@pytest.mark.parametrize(
    ("target", "status"),
    [("loss_fn", 0), ("wrong_loss_fn", 1), ("model", 0)],
)
def test_pytorch(run, target, status):
    pytest.importorskip("torch")
    outcome = run("check", f"in_torch.py:{target}", "--json", "-")
    assert outcome.status == status, outcome
    names = {each["name"] for each in json.loads(outcome.out)["parameters"]}
    expected = {"weight", "bias", "input"} if target == "model" else {"weights.w", "weights.b"}
    assert names == expected


def test_jax(run):
    pytest.importorskip("jax")
    outcome = run("check", "in_jax.py:loss_fn")
    assert outcome.status == 0, outcome


def test_a_gradient_by_hand_is_for_numpy(refuse):
    pytest.importorskip("torch")
    message = refuse("check", "in_torch.py:loss_fn", "--gradient", "wrong_loss_fn")
    assert "functions of NumPy" in message
