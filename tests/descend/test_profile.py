"""Where the time of a step goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import steepest as sd

N = 200


def loss_fn(weights: Any, batch: Any) -> Any:
    x, y = batch
    hidden = np.tanh(x @ weights["W"])
    return np.mean((hidden @ weights["v"] - y) ** 2)


def run(**options: Any) -> sd.Descent:
    rng = np.random.default_rng(0)
    weights = {"W": rng.normal(size=(30, 40)), "v": rng.normal(size=40)}
    data = rng.normal(size=(N, 30)), rng.normal(size=N)
    settings = {"step_size": 0.01, "batch_size": 64, "epochs": 20, "progress": False}
    return sd.descend(loss_fn, weights, data, profile=True, **{**settings, **options})


def test_the_parts_make_up_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    result = run()
    profile = result.profile
    assert profile is not None
    assert capsys.readouterr().out.strip() == str(profile).strip()
    assert profile.steps == result.steps
    assert sum(part.seconds for part in profile.parts) == pytest.approx(profile.seconds, rel=0.2)
    assert [part.seconds for part in profile.parts] == sorted(
        (part.seconds for part in profile.parts), reverse=True
    )


def test_products_are_counted_and_found_in_the_source() -> None:
    profile = run().profile
    assert profile is not None
    (forward,) = (
        part for part in profile.parts if part.what == "product of matrices, 64 × 30 by 30 × 40"
    )
    assert forward.operations == 2 * 64 * 30 * 40
    assert forward.bytes == 8 * (64 * 30 + 30 * 40 + 64 * 40)
    assert 0 < forward.of_peak < 2
    (line,) = forward.lines
    assert line.text == 'hidden = np.tanh(x @ weights["W"])'
    assert "test_profile.py" in str(profile)
    assert {"gathering the rows of the batch", "steps with the smaller last batch"} <= {
        part.what for part in profile.parts
    }


def test_the_weights_are_the_same() -> None:
    weights = {"W": np.ones((30, 40)), "v": np.ones(40)}
    data = np.ones((N, 30)), np.ones(N)
    plain, timed = (
        sd.descend(loss_fn, weights, data, step_size=0.01, steps=5, progress=False, profile=profile)
        for profile in (False, True)
    )
    assert plain.profile is None
    for name in ("W", "v"):
        assert plain.weights[name].tobytes() == timed.weights[name].tobytes()


def test_other_engines_have_none(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(engine="interpret")
    assert result.profile is None
    assert capsys.readouterr().out == "No profile: the steps ran as interpret, one by one\n"
