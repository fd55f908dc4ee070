"""How many threads native code may use."""

from __future__ import annotations

import ctypes
import importlib
import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from steepest.errors import BadInputError

__all__ = ["number_of_threads"]

VARIABLE = "STEEPEST_NUM_THREADS"


def number_of_threads() -> int:
    """Find how many threads may work, the calling one among them.

    ``STEEPEST_NUM_THREADS`` decides, if it is set. Otherwise it is the number of processors that
    this process may use, by its affinity and by the limits of its control group, but no more than
    the threads that NumPy's BLAS is set to: what ``threadpoolctl``, ``OMP_NUM_THREADS`` or joblib
    hold that to, holds here.

    Raises
    ------
    BadInputError
        When the variable is no positive whole number.
    """
    asked = os.environ.get(VARIABLE)
    if asked is not None:
        if not asked.strip().isdecimal() or int(asked) < 1:
            raise BadInputError(
                f"the environment variable {VARIABLE} is {asked!r}",
                instead="a whole number, 1 or larger",
            )
        return int(asked)
    return max(min(_processors(), _blas_threads()()), 1)


@cache
def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(math.ceil(min(count, _control_group_limit())), 1)


def _control_group_limit(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Processors' worth of time that Linux grants this process: infinite without a limit."""
    limit = math.inf
    try:
        entries = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return limit
    for entry in entries:
        _, controllers, name = entry.split(":", 2)
        folder = root if not controllers else root / "cpu"
        if controllers and "cpu" not in controllers.split(","):
            continue
        path = folder / name.lstrip("/")
        # A limit of any group around this one holds here.
        for each in (path, *path.parents):
            limit = min(limit, _quota(each))
            if each == folder:
                break
    return limit


def _quota(group: Path) -> float:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
        return math.inf if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError):
        return math.inf


@cache
def _blas_threads() -> Callable[[], int]:
    """Find the function that gives the number of threads of NumPy's BLAS."""
    core = importlib.import_module("numpy._core")
    # A symbol is looked up in a library and in those that it was linked with.
    library = ctypes.CDLL(core._multiarray_umath.__file__)
    for name in (
        "scipy_openblas_get_num_threads64_",
        "scipy_openblas_get_num_threads",
        "openblas_get_num_threads64_",
        "openblas_get_num_threads",
        "MKL_Get_Max_Threads",
        "bli_thread_get_num_threads",
    ):
        if hasattr(library, name):
            function: Callable[[], int] = getattr(library, name)
            return function
    return _unlimited


def _unlimited() -> int:
    return 1 << 30
