"""A long run, to see that nothing grows: ``pytest -m soak tests/engines/native/test_soak.py``.

It takes an hour, or as many seconds as ``STEEPEST_SOAK_SECONDS`` says.
"""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import steepest as sd

ALLOWED = 16 * 2**20
"""Bytes by which a process may grow between its warm-up and the end: allocators keep some."""


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def mappings() -> int:
    """Number of regions of memory that this process has."""
    return len(Path("/proc/self/maps").read_text().splitlines())


def work(rng: np.random.Generator) -> None:
    """Compile and run what is new each time: a function, its gradient, and a descent."""
    rows, columns = (int(each) for each in rng.integers(1, 70, 2))
    dtype: np.dtype[Any] = np.dtype(rng.choice(["float32", "float64"]))
    x = rng.normal(size=(rows, columns)).astype(dtype)

    def function(w: np.ndarray, scale: float) -> Any:
        hidden = np.tanh(x @ w * scale)
        return np.sum(np.exp(hidden - hidden.max(axis=0)) ** 2)

    w = rng.normal(size=(columns, int(rng.integers(1, 9)))).astype(dtype)
    compiled = sd.compile(sd.value_and_grad(function))
    for _ in range(20):
        value, _ = compiled(w, 0.5)
        assert np.isfinite(value)

    def loss(weights: np.ndarray, batch: np.ndarray) -> Any:
        # The inverse is NumPy's: called back from the loop.
        center = np.linalg.inv(np.eye(columns, dtype=dtype) * 2) @ weights
        return np.mean((batch @ center - 1) ** 2)

    result = sd.descend(loss, np.zeros(columns, dtype), x, step_size=1e-3, batch_size=7, epochs=3)
    assert result.engine == "native"


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_nothing_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEEPEST_CACHE", "0")  # compile each time
    rng = np.random.default_rng(0)
    seconds = float(os.environ.get("STEEPEST_SOAK_SECONDS", "3600"))
    began = time.monotonic()
    before: tuple[int, int] | None = None
    rounds = 0
    while time.monotonic() - began < seconds:
        work(rng)
        rounds += 1
        if before is None and time.monotonic() - began > seconds / 4:
            gc.collect()
            before = resident(), mappings()
    gc.collect()
    assert before is not None
    grown = resident() - before[0]
    print(f"{rounds} rounds; {grown / 2**20:.1f} MiB and {mappings() - before[1]} mappings more")
    assert grown < ALLOWED
    assert mappings() - before[1] < 50
