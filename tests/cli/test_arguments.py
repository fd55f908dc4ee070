"""Arguments: help, version, and one clear line for whatever is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from steepest.cli import entry_point


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["train", "predict", "check", "Examples:"]),
        (("--help",), ["train", "predict", "check", "Examples:"]),
        (("-h",), ["train", "predict", "check", "Examples:"]),
        (
            ("train", "--help"),
            ["{digits|mnist}", "--hidden", "--batch-size N|full|1", "--seed", "steepest train mn"],
        ),
        (("predict", "--help"), ["MODEL DATA", "--json", "steepest predict"]),
        (("check", "--help"), ["FILE.py:FUNCTION", "--gradient", "steepest check", "exit status"]),
    ],
)
def test_help_names_what_there_is(run: Any, arguments: tuple[str, ...], words: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.status == 0
    assert outcome.err == ""
    for word in words:
        assert word in outcome.out


def test_version(run: Any) -> None:
    outcome = run("--version")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("steepest ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], ["No such command 'trian'", "steepest --help"]),
        (["--bogus"], ["--bogus"]),
        (["train"], ["digits, mnist", "steepest train --help"]),
        (["train", "cifar"], ["'cifar'", "'digits', 'mnist'"]),
        (["train", "digits", "more"], ["more"]),
        (["train", "digits", "--hidden", "128,x"], ["--hidden", "'128,x'", "128,64"]),
        (["train", "digits", "--hidden", ""], ["--hidden", "''"]),
        (["train", "digits", "--hidden", "128,0"], ["--hidden", "'128,0'"]),
        (["train", "digits", "--hidden", "-5"], ["--hidden", "'-5'"]),
        (["train", "digits", "--batch-size", "0"], ["--batch-size", "'0'", "full"]),
        (["train", "digits", "--batch-size", "half"], ["--batch-size", "'half'"]),
        (["train", "digits", "--batch-size", "5000"], ["5000", "1438 images"]),
        (["train", "digits", "--step-size", "0"], ["--step-size", "positive"]),
        (["train", "digits", "--step-size", "-1"], ["--step-size", "positive"]),
        (["train", "digits", "--step-size", "nan"], ["--step-size", "positive"]),
        (["train", "digits", "--step-size", "inf"], ["--step-size", "positive"]),
        (["train", "digits", "--step-size", "small"], ["--step-size", "'small'"]),
        (["train", "digits", "--epochs", "0"], ["--epochs", "0"]),
        (["train", "digits", "--seed", "-1"], ["--seed", "-1"]),
        (["train", "digits", "--loss", "l1"], ["--loss", "'softmax', 'hinge'"]),
        (["train", "digits", "--optimizer", "lion"], ["--optimizer", "'lion'", "'adam'"]),
        (["train", "digits", "--activation", "swish"], ["--activation", "'gelu'"]),
        (["train", "digits", "--data", "x.npz"], ["take no --data"]),
        (["train", "mnist"], ["--data FILE.npz"]),
        (["train", "mnist", "--data", "nowhere.npz"], ["nowhere.npz"]),
        (["predict"], ["MODEL", "steepest predict --help"]),
        (["predict", "model.safetensors"], ["DATA"]),
        (["check"], ["FILE.py:FUNCTION"]),
        (["check", "model.py"], ["'model.py'", "FILE.py:FUNCTION"]),
        (["check", ":loss"], ["':loss'"]),
        (["check", "model.py:"], ["'model.py:'"]),
    ],
    ids=" ".join,
)
def test_bad_arguments_are_one_line(refuse: Any, arguments: list[str], words: list[str]) -> None:
    message = refuse(*arguments)
    for word in words:
        assert word in message


def test_a_file_in_place_of_the_folder_is_one_line(refuse: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for folder in ("taken", "taken/below"):
        assert "there is a file of that name" in refuse("train", "digits", "--out", folder)


def test_a_bug_is_shown_whole(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_arguments: object) -> None:
        raise RuntimeError("of our own making")

    monkeypatch.setattr("steepest.cli.commands.train_classifier", fail)
    outcome = run("train", "digits")
    assert outcome.status == 70
    assert "Traceback" in outcome.err
    assert "of our own making" in outcome.err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError("51 GiB are too many"), "not enough memory: 51 GiB are too many"),
        (PermissionError(13, "Permission denied", "model"), "model: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    refuse: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(_arguments: object) -> None:
        raise error

    monkeypatch.setattr("steepest.cli.commands.train_classifier", fail)
    assert refuse("train", "digits") == f"steepest: error: {words}\n"


def test_ctrl_c_outside_of_training(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("steepest.cli.commands.train_classifier", interrupt)
    outcome = run("train", "digits")
    assert outcome == (130, "", "steepest: interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="pipes break with a signal on POSIX alone")
def test_a_broken_pipe_is_quiet() -> None:
    # The reading end is closed before the command starts, so that its output has nowhere to go.
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "steepest.cli", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert process.returncode == 128 + signal.SIGPIPE
    assert process.stderr == b""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_few_characters_gets_escapes(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "loss.py").write_text(
        "import numpy as np\nprint('größer …')\nweights = np.ones(2)\n"
        "def loss(w): return np.sum(w * w)\n",
        encoding="utf-8",
    )
    process = subprocess.run(
        [sys.executable, "-m", "steepest.cli", "check", str(tmp_path / "loss.py:loss")],
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, b"")


def test_import_of_steepest_leaves_the_command_line_alone() -> None:
    code = (
        "import sys, steepest\n"
        "late = {'click', 'matplotlib', 'tqdm', 'safetensors', 'scipy', 'steepest.cli'}\n"
        "assert not late & set(sys.modules), late & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_main_takes_the_arguments_of_the_process(
    run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["steepest", "--version"])
    assert entry_point.main() == 0
    assert capsys.readouterr().out == run("--version").out


@pytest.mark.parametrize("command", [(), ("train",), ("predict",), ("check",)])
def test_help_ends_with_examples_a_line_each(run: Any, command: tuple[str, ...]) -> None:
    shown = run(*command, "--help").out
    assert "\\b" not in shown
    lines = shown.partition("Examples:\n")[2].splitlines()
    assert lines
    assert all(line.startswith("    steepest ") for line in lines)
