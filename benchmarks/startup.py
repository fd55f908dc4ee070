"""Time to the first step, and peak memory, of 784-128-10 at batch 256, in fresh processes."""

from __future__ import annotations

import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Startup", "measure_startup"]

CACHE_FOLDERS = {
    "steepest": "STEEPEST_CACHE_DIR",
    "torch.compile": "TORCHINDUCTOR_CACHE_DIR",
    "JAX": "JAX_COMPILATION_CACHE_DIR",
}
"""The variable that says where a participant keeps what it compiled, for those that do."""

CACHE_EVERYTHING = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

EPOCHS = 2
"""In the run whose peak memory is measured."""


@dataclass(frozen=True)
class Startup:
    """What one participant needs before its first step has been taken, in seconds and MiB.

    Attributes
    ----------
    imports : float
        Seconds of its imports, NumPy among them.
    cold, warm : float
        From the call to the end of the first step, after imports; without anything compiled
        before, and with what an earlier process has left on disk.
    memory_of_imports, peak_memory : float
    """

    imports: float
    cold: float
    warm: float
    memory_of_imports: float
    peak_memory: float


def measure_startup(name: str, repeats: int, engine: str | None) -> Startup:
    """Measure a participant in fresh processes.

    Parameters
    ----------
    name : str
        One of `benchmarks.descent_peers.PARTICIPANTS`.
    repeats : int
        The medians of so many processes are taken.
    engine : str or None
        For steepest.

    Returns
    -------
    Startup
    """
    cold, warm = [], []
    for _ in range(repeats):
        # JAX keeps nothing unless told to, and takes no time to keep it.
        with _cache_folder("" if name == "JAX" else name) as variables:
            cold.append(_child("first_step", name, engine, variables))
    with _cache_folder(name) as variables:
        _child("first_step", name, engine, variables)
        warm += [_child("first_step", name, engine, variables) for _ in range(repeats)]
        memory = _child("memory", name, engine, variables)
    return Startup(
        statistics.median(each["imports"] for each in (*cold, *warm)),
        statistics.median(each["first_step"] for each in cold),
        statistics.median(each["first_step"] for each in warm),
        memory["memory_of_imports"],
        memory["peak_memory"],
    )


@contextmanager
def _cache_folder(name: str) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        variable = CACHE_FOLDERS.get(name)
        yield {} if variable is None else {variable: folder, **CACHE_EVERYTHING}


def _child(
    task: str, name: str, engine: str | None, variables: Mapping[str, str]
) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", __name__, task, name, engine or ""],
        env=os.environ | dict(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _peak_memory() -> float:
    """Find the most memory that this process has had, in MiB."""
    # On Linux, ru_maxrss begins with what the parent had when it started this process.
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def _modules(name: str) -> tuple[str, ...]:
    """List what a participant's users import; looked up before anything is imported."""
    return {
        "steepest": ("steepest",),
        "JAX": ("jax", "jax.numpy"),
        "scikit-learn": ("sklearn.linear_model", "sklearn.neural_network"),
    }.get(name, ("torch",))


def _measure_here(task: str, name: str, engine: str | None) -> dict[str, float]:
    began = time.perf_counter()
    for module in _modules(name):
        importlib.import_module(module)
    measured = {"imports": time.perf_counter() - began, "memory_of_imports": _peak_memory()}
    from benchmarks.descent_peers import PARTICIPANTS, Steepest
    from benchmarks.descent_work import make_data, starting_weights, works

    (work,) = (each for each in works() if each.name == "784-128-10 relu, batch 256")
    make_data(work)
    starting_weights(work)
    began = time.perf_counter()
    runner: Any = Steepest(work, engine) if name == "steepest" else PARTICIPANTS[name].prepare(work)
    if task == "first_step":
        runner.first_step()
        measured["first_step"] = time.perf_counter() - began
    else:
        runner.run(EPOCHS * work.steps_per_epoch)
        measured["peak_memory"] = _peak_memory()
    return measured


if __name__ == "__main__":
    print(json.dumps(_measure_here(sys.argv[1], sys.argv[2], sys.argv[3] or None)))
