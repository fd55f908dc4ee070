"""Run every benchmark and print its table: ``python -m benchmarks``."""

from __future__ import annotations

import os

# One thread for all, before NumPy reads it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from benchmarks import gradient_cost  # noqa: E402  # after the settings that NumPy reads

print("Cost of a gradient, in units of its function\n")
print(gradient_cost.table())
print("\nOverhead of one recorded operation, forward and backward\n")
print(gradient_cost.overhead_table())
