"""The BLAS that SciPy ships: addresses for native code, and how to hold it to one thread."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["single_threaded", "symbols"]

_ROUTINES = ("sgemm", "dgemm")
# How builds of BLAS name the functions that get and set their number of threads.
_THREAD_FUNCTIONS = (
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
    ("bli_thread_get_num_threads", "bli_thread_set_num_threads"),
)


@cache
def symbols() -> dict[str, int]:
    """Find the addresses of the routines that emitted code calls.

    They take Fortran's arguments, all by address, with integers of 32 bits.

    Returns
    -------
    dict from str to int
        From the name of the external symbol, as "steepest_sgemm".
    """
    import scipy.linalg.cython_blas

    capsules = scipy.linalg.cython_blas.__pyx_capi__
    return {f"steepest_{name}": _address(capsules[name]) for name in _ROUTINES}


def _address(capsule: object) -> int:
    """Read the pointer in a capsule."""
    python = ctypes.pythonapi
    name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", python))
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", python)
    )
    address: int = pointer(capsule, name(capsule))
    return address


class _Threads:
    """The number of threads of a BLAS, kept at one while anyone asks for that.

    Parameters
    ----------
    library : ctypes.CDLL
        A library that was loaded with the BLAS.
    """

    def __init__(self, library: Any) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before = 1
        self._get, self._set = _no_threads, _keep_threads
        for get, set_ in _THREAD_FUNCTIONS:
            if hasattr(library, get) and hasattr(library, set_):
                self._get, self._set = getattr(library, get), getattr(library, set_)
                break

    def enter(self) -> None:
        with self._lock:
            if not self._users:
                self._before = self._get()
                if self._before != 1:
                    self._set(1)
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._before != 1:
                self._set(self._before)


def _no_threads() -> int:
    return 1


def _keep_threads(count: int) -> None:
    pass


@cache
def _threads() -> _Threads:
    import scipy.linalg.cython_blas

    # A symbol is looked up in a library and in those that it was linked with: so also in the BLAS,
    # whatever its file is called.
    return _Threads(ctypes.CDLL(scipy.linalg.cython_blas.__file__))


@contextmanager
def single_threaded() -> Iterator[None]:
    """Hold SciPy's BLAS to one thread while the ``with`` block runs.

    It may be entered several times, also by several threads: the last to leave restores the number
    that the first met. A BLAS that is not known to have threads is left as it is.
    """
    threads = _threads()
    threads.enter()
    try:
        yield
    finally:
        threads.leave()
