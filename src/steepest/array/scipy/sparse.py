"""Products of constant sparse matrices and Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steepest.array.arguments import as_array
from steepest.errors import UnsupportedError
from steepest.ops import primitive
from steepest.ops.sparse import FORMATS
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS", "METHODS"]


def _parts(matrix: Any) -> list[Any]:
    """List the arrays that a matrix consists of."""
    names = FORMATS.get(matrix.format)
    if names is None or matrix.ndim != 2:
        raise UnsupportedError(
            f"the product of a traced value and a sparse array of {matrix.ndim} axes in the format"
            f" {matrix.format!r} is not differentiated",
            instead="matrix.tocsr() @ x, of two axes, converted before the function is called",
        )
    return [getattr(matrix, name) for name in names]


def _product(self: Any, other: Value) -> Value:
    """Multiply by an array of one or two axes, as ``matrix @ x`` and ``x @ matrix`` do."""
    x = as_array(other)
    if not x.ndim:
        raise UnsupportedError(
            "a sparse matrix times a traced number is not differentiated: it would be a sparse"
            " matrix of traced values",
            instead="(matrix @ x) * number",
        )
    rows, columns = self.shape
    if x.ndim > 2 or x.shape[0] != columns:
        raise ValueError(
            f"matmul: dimension mismatch: a sparse matrix of {self.shape} and an array of {x.shape}"
        )
    static = {"form": self.format, "shape": (int(rows), int(columns)), "transposed": False}
    return bind(primitive("sparse_matmul"), (x, *_parts(self)), static)


def _dot(self: Any, other: Value) -> Value:
    return self @ other


def spsolve(A: Any, b: Value, *args: Any, **settings: Any) -> Value:  # noqa: N803  # SciPy's name
    """Solve a system with a constant sparse matrix."""
    if not hasattr(A, "format"):
        raise UnsupportedError(
            "scipy.sparse.linalg.spsolve of a dense matrix is not differentiated",
            instead="np.linalg.solve(a, b)",
        )
    b = as_array(b)
    static = {"form": A.format, "shape": tuple(map(int, A.shape)), "transposed": False}
    x = bind(primitive("sparse_solve"), (b, *_parts(A)), static)
    # SciPy returns a column as a vector.
    return x[:, 0] if b.ndim == 2 and b.shape[1] == 1 else x


METHODS: dict[str, dict[str, dict[str, Callable[..., Any]]]] = {
    "scipy.sparse": {
        "_base._spbase": {"_matmul_dispatch": _product},
        # Where it has some of its own.
        "_coo._coo_base": {"_matmul_dispatch": _product, "dot": _dot},
    }
}
"""By module, class and name."""

FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {"scipy.sparse.linalg": {"spsolve": spsolve}}
"""By module and name."""
