"""What the machine can do, measured: multiply-adds, products of matrices, bytes."""

from __future__ import annotations

import importlib
import importlib.util
import math
import time
from collections.abc import Callable
from functools import cache

import numpy as np

from benchmarks.cores import current_threads
from steepest.engines.native.processor import host_processor
from steepest.engines.native.profile import Peaks

__all__ = ["Machine"]

PRODUCT_SIZES = (512, 1024, 2048)
"""Rows and columns of the matrices whose product is timed."""

DOT_LENGTH = 8192
"""Entries of a dot product: with few enough, no BLAS has several threads take a part."""

SMALLEST = 4096
"""Bytes for which the bandwidth is measured at least."""


class Machine:
    """Rates of so many threads; each is measured when it is first asked for.

    Parameters
    ----------
    threads : int
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._multiply_adds = cache(_multiply_adds)
        self._bandwidth = cache(_bandwidth)
        self._products = cache(_products)

    def multiply_adds(self, dtype: str) -> float:
        """Operations a second of multiply-adds in registers, each counted as two.

        That of one thread, measured as `steepest` does for a profile, times the threads: a bound.
        """
        return self.threads * self._multiply_adds(dtype)

    def bandwidth(self, size: float) -> float:
        """Bytes a second that pass when so many are gone through again and again.

        That of one thread in its part of them, times the threads: a bound.
        """
        level = math.ceil(math.log2(max(size / self.threads, SMALLEST)))
        return self.threads * self._bandwidth(2**level)

    def products(self) -> dict[str, float]:
        """Operations a second in a large product of float32 matrices, by whose product it is."""
        return self._products()


def _best(function: Callable[[], object], repeats: int = 5, shortest: float = 2e-3) -> float:
    """Find the least seconds of a call, each time over as many as take a while."""
    function()
    began = time.perf_counter()
    function()
    calls = max(math.ceil(shortest / max(time.perf_counter() - began, 1e-7)), 1)
    best = math.inf
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in range(calls):
            function()
        best = min(best, (time.perf_counter() - began) / calls)
    return best


def _multiply_adds(dtype: str) -> float:
    element = "double" if dtype == "float64" else "float"
    # Each takes a fraction of a millisecond, in which something else may have run.
    return max(Peaks(host_processor()).arithmetic(element) for _ in range(50))


def _bandwidth(size: int) -> float:
    """Take the better of a sum of two arrays into a third and a dot product, which only reads."""
    added = max(Peaks(host_processor()).memory(size) for _ in range(3))
    shape = (max(size // (8 * DOT_LENGTH), 1), min(size // 8, DOT_LENGTH))
    a, b = np.ones(shape, np.float32), np.ones(shape, np.float32)
    return max(added, (a.nbytes + b.nbytes) / _best(lambda: np.vecdot(a, b)))


def _products() -> dict[str, float]:
    makers = {"NumPy's BLAS": _numpy_product}
    if importlib.util.find_spec("torch"):
        makers["PyTorch"] = _torch_product
    if importlib.util.find_spec("jax"):
        makers["JAX"] = _jax_product
    return {
        name: max(2.0 * size**3 / _best(make(size)) for size in PRODUCT_SIZES)
        for name, make in makers.items()
    }


def _numpy_product(size: int) -> Callable[[], object]:
    a, b, out = (np.ones((size, size), np.float32) for _ in range(3))
    return lambda: np.matmul(a, b, out=out)


def _torch_product(size: int) -> Callable[[], object]:
    torch = importlib.import_module("torch")
    torch.set_num_threads(current_threads())
    a, b, out = (torch.ones((size, size)) for _ in range(3))
    return lambda: torch.mm(a, b, out=out)


def _jax_product(size: int) -> Callable[[], object]:
    jax = importlib.import_module("jax")
    multiply = jax.jit(jax.numpy.matmul)
    a = jax.numpy.ones((size, size), "float32")
    return lambda: jax.block_until_ready(multiply(a, a))
