"""Run every benchmark and print its table: ``make bench``."""

from __future__ import annotations

from benchmarks import gradient_cost, overhead

print("Cost of a gradient, in units of its function\n")
print(gradient_cost.table())
print("\nOverhead of one recorded operation, forward and backward\n")
print(overhead.table())
