"""Cores and threads of the benchmarks: who is held to how many, and what is said of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import benchmarks.threads
import pytest
from benchmarks.cores import (
    CORES_VARIABLE,
    Cores,
    chosen_cores,
    current_threads,
    measured_on,
    use_threads,
)
from benchmarks.descent_peers import Steepest
from benchmarks.descent_work import Work
from benchmarks.mixture import Mixture
from benchmarks.step_timing import Pace, StepTimes
from benchmarks.threads import Bits, Compared, bits_of, bits_table, busy, compare, compared_table

from steepest.engines.native.threads import number_of_threads

SMALL = Work("small", (4, 3, 2), 64, 8, 0.1, activation="tanh")
SHARED = Work("shared", (784, 128, 10), 512, 256, 0.05)
ROOT = Path(__file__).parents[2]

has_affinities = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system has no affinities"
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is written into the environment taken back."""
    monkeypatch.setenv("STEEPEST_BENCHMARK_THREADS", "1")
    monkeypatch.setenv("STEEPEST_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)


def times(microseconds: float) -> StepTimes:
    seconds = microseconds * 1e-6
    return StepTimes(seconds, seconds, seconds, 1, 0.0, 0.0)


@pytest.mark.parametrize(
    ("threads", "cores", "expected"),
    [
        ("1", None, Cores(1, (7,))),
        ("2", None, Cores(2, (5, 7))),
        ("all", None, Cores(3, (2, 5, 7))),
        ("all", "0,3", Cores(2, (0, 3))),
        ("1", "3", Cores(1, (3,))),
    ],
)
def test_the_last_cores_are_chosen(
    threads: str, cores: str | None, expected: Cores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7, 2, 5}, raising=False)
    assert chosen_cores(threads, cores) == expected


@pytest.mark.parametrize("threads", ["0", "4", "-1", "two", ""])
def test_as_many_threads_as_there_are_cores(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7, 2, 5}, raising=False)
    with pytest.raises(SystemExit, match="from 1 to 3, or all"):
        chosen_cores(threads)


def test_systems_without_affinities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    cores = chosen_cores("all")
    assert cores == Cores(6)
    assert str(cores) == "6 threads on any core"
    cores.pin()  # does nothing


def test_cores_as_text() -> None:
    assert str(Cores(1, (3,))) == "1 thread on core 3"
    assert str(Cores(2, (0, 3))) == "2 threads on cores 0, 3"


def test_everyone_is_held_to_the_threads() -> None:
    environment = Cores(3, (1, 2, 4)).environment()
    for name in ("OMP", "OPENBLAS", "MKL", "STEEPEST"):
        assert environment[f"{name}_NUM_THREADS"] == "3"
    assert not environment["XLA_FLAGS"]
    assert "multi_thread_eigen=false" in Cores(1).environment()["XLA_FLAGS"]


def test_steepest_takes_the_threads_it_is_told() -> None:
    for count in (3, 1):
        use_threads(count)
        assert (number_of_threads(), current_threads()) == (count, count)


@has_affinities
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX's, where it was imported before
def test_measuring_processes_are_on_their_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "told.py").write_text(
        "import json, os, sys\n"
        "print('not this line')\n"
        "print(json.dumps([sorted(os.sched_getaffinity(0)), sys.argv[1:],"
        f" os.environ['OMP_NUM_THREADS'], os.environ['{CORES_VARIABLE}']]))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    core = max(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    assert measured_on(Cores(1, (core,)), "told", ["a", "b"]) == [
        [core],
        ["a", "b"],
        "1",
        str(core),
    ]
    assert os.sched_getaffinity(0) == before


def test_commands_begin_anew_on_their_cores(tmp_path: Path) -> None:
    (tmp_path / "begun.py").write_text(
        "import os, sys\n"
        "from benchmarks.cores import chosen_cores, restart_on\n"
        "restart_on('begun', sys.argv[1:], chosen_cores('1'))\n"
        "print(sys.argv[1:], os.environ['STEEPEST_NUM_THREADS'])\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != CORES_VARIABLE}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "begun", "--x", "1"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "['--x', '1'] 1\n"


def test_cores_are_busy_while_the_block_runs() -> None:
    with busy(Cores(2)) as processes:
        assert [each.poll() for each in processes] == [None, None]
    assert all(each.poll() is not None for each in processes)


def test_what_is_busy_ends_with_who_began_it() -> None:
    code = (
        "import os, sys\n"
        "from benchmarks.cores import Cores\n"
        "from benchmarks.threads import busy\n"
        "with busy(Cores(1)) as processes:\n"
        "    print(processes[0].pid, flush=True)\n"
        "    os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    # The pipe to the burning process is closed, so it is known to have ended.
    assert int(done.stdout)


@pytest.mark.parametrize("work", [SMALL, SHARED, Mixture(4, 3, 200)], ids=lambda each: each.name)
def test_bits_do_not_depend_on_threads(work: Work | Mixture) -> None:
    found = bits_of(work, 4)
    assert (found.name, found.differing) == (work.name, [])


def test_bits_that_differ_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unsteady(Steepest):
        def run(self, steps: int) -> int:
            taken = super().run(steps)
            assert self._result is not None
            if current_threads() == 3:
                w, _ = self._result.weights[0]
                w.view("u4")[0, 0] ^= 1
            return taken

    monkeypatch.setattr(benchmarks.threads, "Steepest", Unsteady)
    found = bits_of(SMALL, 4)
    assert found.differing == [3]
    assert bits_table([found, Bits("other", 4, [])]).splitlines()[2:] == [
        "| small | 4 | differ with 3 |",
        "| other | 4 | the same bits |",
    ]


def test_one_thread_and_several_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Noted(Steepest):
        def run(self, steps: int) -> int:
            asked.append(number_of_threads())
            return super().run(steps)

    monkeypatch.setattr(benchmarks.threads, "Steepest", Noted)
    monkeypatch.setattr(benchmarks.threads, "COMPARED", ("steepest",))
    found = compare(SMALL, 2, Pace(1e-4, 3, 0.0), None)
    assert list(found.times) == ["steepest"]
    assert asked[-6:] == [1, 2] * 3


def test_table_of_times() -> None:
    rows = [
        Compared(
            "both", {"steepest": (times(2), times(1)), "PyTorch eager": (times(3), times(4000))}
        ),
        Compared("one", {"steepest": (times(5), times(5))}),
    ]
    assert compared_table(rows, 4).splitlines() == [
        (
            "| work | steepest, 1 thread (µs/step) | 4 threads | 1 / 4"
            " | PyTorch eager, 1 thread (µs/step) | 4 threads | 1 / 4 |"
        ),
        "|---|---|---|---|---|---|---|",
        "| both | 2 | 1 | 2.00 | 3 | 4,000 | 0.00 |",
        "| one | 5 | 5 | 1.00 |  |  |  |",
    ]
