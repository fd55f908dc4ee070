"""The progress bar: where it shows, what it says, and how seldom."""

import io
import sys
import time
from typing import Any

import numpy as np
import pytest

from steepest.descend import descend, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves by a hundredth of a second each time it is read."""
    now = [0.0]

    def read():
        now[0] += 0.01
        return now[0]

    monkeypatch.setattr(time, "perf_counter", read)


def run(**settings: Any):
    return descend(
        lambda w, b: np.mean((w - b) ** 2),
        0.0,
        np.arange(10.0),
        step_size=0.1,
        batch_size=2,
        epochs=20,
        **settings,
    )


@pytest.mark.parametrize(
    ("stream", "setting", "shown"),
    [
        (io.StringIO, None, False),
        (io.StringIO, True, True),
        (Terminal, None, True),
        (Terminal, False, False),
    ],
)
def test_where_it_shows(monkeypatch, stream, setting, shown):
    stderr = stream()
    monkeypatch.setattr(sys, "stderr", stderr)
    run(progress=setting)
    assert bool(stderr.getvalue()) == shown


def test_what_it_says(monkeypatch):
    # Older versions of tqdm cut what is longer than the terminal is wide.
    monkeypatch.setenv("COLUMNS", "200")
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    result = run(progress=True, validate=np.arange(10.0))
    last = stderr.getvalue().rpartition("\r")[2]
    assert "100/100" in last
    assert "epoch 20/20" in last
    assert f"loss {result.losses[-1]:.4g}" in last
    assert f"validation {result.validation_losses[-1]:.4g}" in last


@pytest.mark.usefixtures("clock")
def test_it_is_drawn_at_most_ten_times_a_second(monkeypatch):
    drawn = []
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    draw = progress.ProgressBar.draw

    def noted(self, *args):
        drawn.append(time.perf_counter())
        draw(self, *args)

    monkeypatch.setattr(progress.ProgressBar, "draw", noted)
    run(progress=True)
    assert 3 <= len(drawn) <= 100
    gaps = np.diff(drawn)[:-1]  # the last one is drawn at the end, whenever that is
    assert np.all(gaps >= progress.SECONDS_BETWEEN_UPDATES)


def test_an_error_closes_it(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    closed = []
    monkeypatch.setattr(
        progress.ProgressBar, "__exit__", lambda self, *args: closed.append(args[0])
    )

    def fail(info):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(progress=True, callback=fail)
    assert closed == [ZeroDivisionError]
