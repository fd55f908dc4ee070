"""One thread on one core, for every library: their thread pools are sized when they are loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["CORE_VARIABLE", "restart_on_one_core"]

CORE_VARIABLE = "STEEPEST_BENCHMARK_CORE"
"""Environment variable with the core that this process was restarted on."""

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # XLA's remarks on the processor, in the middle of a table
}


def restart_on_one_core(module: str, arguments: Sequence[str], core: int | None) -> None:
    """Run a module anew in this process, pinned to one core; return if it is already.

    Parameters
    ----------
    module : str
        Name of the module that is running.
    arguments : sequence of str
        Its command line.
    core : int or None
        None for the last core that this process may use. Where the system has no affinities,
        there is one thread on any core.
    """
    if CORE_VARIABLE in os.environ:
        return
    if hasattr(os, "sched_setaffinity"):
        core = max(os.sched_getaffinity(0)) if core is None else core
        os.sched_setaffinity(0, {core})
    os.environ.update(ONE_THREAD)
    os.environ[CORE_VARIABLE] = "any" if core is None else str(core)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
