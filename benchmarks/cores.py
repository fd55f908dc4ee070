"""So many threads on as many cores, for every library: their pools are sized when they are loaded.

The commands of the benchmarks begin anew on these cores; environment variables say the rest, so
that processes which they start have it too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Cores",
    "add_arguments",
    "chosen_cores",
    "current_threads",
    "measured_on",
    "restart_on",
    "use_threads",
]

CORES_VARIABLE = "STEEPEST_BENCHMARK_CORES"
"""Environment variable with the cores that this process was restarted on."""

THREADS_VARIABLE = "STEEPEST_BENCHMARK_THREADS"
"""Environment variable with the number of threads that everyone is to use."""

ONE_THREAD_OF_XLA = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
"""Of several threads, XLA takes as many as there are cores."""


@dataclass(frozen=True)
class Cores:
    """Cores, and a thread for each.

    Attributes
    ----------
    threads : int
    numbers : tuple of int
        Of the cores; empty where the system has no affinities: then any cores.
    """

    threads: int
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        if not self.numbers:
            return f"{threads} on any core"
        cores = "core" if len(self.numbers) == 1 else "cores"
        return f"{threads} on {cores} {', '.join(map(str, self.numbers))}"

    def environment(self) -> dict[str, str]:
        """Make the variables that hold everyone to these threads."""
        threads = str(self.threads)
        return {
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "STEEPEST_NUM_THREADS": threads,
            "TORCHINDUCTOR_COMPILE_THREADS": threads,
            "XLA_FLAGS": ONE_THREAD_OF_XLA if self.threads == 1 else "",
            "JAX_PLATFORMS": "cpu",
            "TF_CPP_MIN_LOG_LEVEL": "3",  # XLA's remarks on the processor, in the middle of a table
            THREADS_VARIABLE: threads,
            CORES_VARIABLE: ",".join(map(str, self.numbers)),
        }

    def pin(self) -> None:
        """Keep this process on the cores."""
        if self.numbers:
            os.sched_setaffinity(0, self.numbers)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `chosen_cores` reads."""
    parser.add_argument(
        "--threads", default="1", metavar="N|all", help="for everyone, on as many cores; 1"
    )
    parser.add_argument(
        "--cores", metavar="LIST", help="cores to run on, as 0,1; by default the last ones"
    )


def chosen_cores(threads: str, cores: str | None = None) -> Cores:
    """Find the cores for so many threads.

    Parameters
    ----------
    threads : str
        A number, or "all" for as many as there are cores for this process.
    cores : str or None
        Numbers of cores, with commas between. None for the last ones.

    Returns
    -------
    Cores

    Raises
    ------
    SystemExit
        When there are not so many cores.
    """
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    chosen = available if cores is None else [int(each) for each in cores.split(",")]
    most = len(chosen) if chosen else os.cpu_count() or 1
    if threads != "all" and not (threads.isdecimal() and 1 <= int(threads) <= most):
        sys.exit(f"--threads {threads}: a number from 1 to {most}, or all, is needed")
    count = most if threads == "all" else int(threads)
    return Cores(count, tuple(chosen[-count:]))


def restart_on(module: str, arguments: Sequence[str], cores: Cores) -> None:
    """Run a module anew in this process, on these cores; return if that has happened.

    Parameters
    ----------
    module : str
        Name of the module that is running.
    arguments : sequence of str
        Its command line.
    cores : Cores
    """
    if CORES_VARIABLE in os.environ:
        return
    cores.pin()
    os.environ.update(cores.environment())
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


def measured_on(cores: Cores, module: str, arguments: Sequence[str]) -> Any:
    """Run a module in a process of its own on these cores, and read what it prints as JSON.

    Parameters
    ----------
    cores : Cores
    module : str
    arguments : sequence of str
        Its command line.

    Raises
    ------
    subprocess.CalledProcessError
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | cores.environment(),
        preexec_fn=cores.pin,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def current_threads() -> int:
    """Say how many threads everyone is to use now."""
    return int(os.environ.get(THREADS_VARIABLE, "1"))


def use_threads(threads: int) -> None:
    """Have steepest, and participants that look, use so many threads from now on."""
    os.environ[THREADS_VARIABLE] = os.environ["STEEPEST_NUM_THREADS"] = str(threads)
