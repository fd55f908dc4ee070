"""Sparse matrices times Arrays, those of traced entries, and systems with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.array import Array
from steepest.array.plain import plain_value
from steepest.array.scipy.followed import always, original_of
from steepest.array.scipy.sparse_arrays import SparseArray, is_sparse
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
    if isinstance(other, SparseArray):
        return SparseArray.of(self).dot(other)
    x = as_array(other)
    if not x.ndim:
        # Of csr_matrix and its like, * is this product too.
        return SparseArray.of(self).multiply(x)
    rows, columns = self.shape
    if x.ndim > 2 or x.shape[0] != columns:
        raise ValueError(
            f"matmul: dimension mismatch: a sparse matrix of {self.shape} and an array of {x.shape}"
        )
    static = {"form": self.format, "shape": (int(rows), int(columns)), "transposed": False}
    return bind(primitive("sparse_matmul"), (x, *_parts(self)), static)


def _dot(self: Any, other: Value) -> Value:
    return self @ other if np.ndim(other) else _multiply(self, other)


def _multiply(self: Any, other: Value) -> SparseArray:
    return SparseArray.of(self).multiply(other)


def _divide(self: Any, other: Value) -> SparseArray:
    result: SparseArray = SparseArray.of(self) / other
    return result


def _add(self: Any, other: Value) -> Any:
    if isinstance(other, SparseArray):
        return SparseArray.of(self) + other
    return self.toarray() + other


# Sparse arrays that are made


def _of_format(form: str, kind: str) -> Callable[..., SparseArray]:
    def make(
        arg1: Any, shape: Any = None, dtype: Any = None, copy: bool = False, **_settings: Any
    ) -> SparseArray:
        if isinstance(arg1, SparseArray):
            return arg1
        if not isinstance(arg1, tuple):
            dense = as_array(arg1)
            if dense.ndim != 2:
                raise UnsupportedError(
                    f"a sparse array of a traced array of {dense.ndim} axes is not differentiated",
                    instead="an array of two axes",
                )
            rows, columns = np.indices(dense.shape)
            data, shape = np.ravel(dense), dense.shape
        elif len(arg1) == 2 and form != "dia":
            data, (rows, columns) = arg1
        elif len(arg1) == 3 and form in ("csr", "csc"):
            data, minor, pointers = arg1
            pointers = np.asarray(plain_value(pointers, "indptr"))
            major = np.repeat(np.arange(len(pointers) - 1), np.diff(pointers))
            rows, columns = (major, minor) if form == "csr" else (minor, major)
            if shape is None:
                count, most = len(pointers) - 1, int(np.max(minor, initial=-1)) + 1
                shape = (count, most) if form == "csr" else (most, count)
        else:
            raise UnsupportedError(
                f"scipy.sparse.{form}_{kind} of traced values, given so, is not differentiated",
                instead=f"scipy.sparse.coo_{kind}((data, (rows, columns)), shape)",
            )
        rows, columns = (
            np.ravel(np.asarray(plain_value(as_array(each), "places"))) for each in (rows, columns)
        )
        if shape is None:
            shape = (int(np.max(rows)) + 1, int(np.max(columns)) + 1)
        data = as_array(data)
        data = data if dtype is None else data.astype(dtype)
        size = (int(shape[0]), int(shape[1]))
        return SparseArray(data, rows, columns, size, kind == "matrix")

    return make


def _diagonals(kind: str) -> Callable[..., SparseArray]:
    def make(
        diagonals: Any,
        offsets: Any = 0,
        shape: Any = None,
        format: Any = None,  # noqa: A002  # SciPy's name
        dtype: Any = None,
    ) -> SparseArray:
        if np.ndim(offsets) == 0:
            is_one = not isinstance(diagonals, (list, tuple)) and np.ndim(diagonals) == 1
            is_one = is_one or (
                isinstance(diagonals, (list, tuple)) and all(np.ndim(e) == 0 for e in diagonals)
            )
            diagonals = [diagonals] if is_one else list(diagonals)
            offsets = [offsets]
        diagonals = [np.atleast_1d(as_array(each)) for each in diagonals]
        offsets = [int(each) for each in offsets]
        if shape is None:
            size = len(diagonals[0]) + abs(offsets[0])
            shape = (size, size)
        height, width = map(int, shape)
        parts, rows, columns = [], [], []
        for each, offset in zip(diagonals, offsets, strict=True):
            first = (max(-offset, 0), max(offset, 0))
            length = min(height - first[0], width - first[1])
            if len(each) not in (1, length):
                raise ValueError(
                    f"Diagonal length (index {offset}: {len(each)} at offset {offset}) does not"
                    f" agree with array size ({height}, {width})."
                )
            parts.append(np.broadcast_to(each, (length,)))
            rows.append(first[0] + np.arange(length))
            columns.append(first[1] + np.arange(length))
        data = np.concatenate(parts)
        data = data if dtype is None else data.astype(dtype)
        places = np.concatenate(rows), np.concatenate(columns)
        return SparseArray(data, *places, (height, width), kind == "matrix")

    return make


# Sparse arrays that are put together


def _placed(blocks: Any) -> SparseArray:
    """Place blocks, with the row and the column where each begins."""
    parts = [(SparseArray.of(each), row, column) for each, row, column in blocks]
    height = max(row + each.shape[0] for each, row, _ in parts)
    width = max(column + each.shape[1] for each, _, column in parts)
    data = np.concatenate([each.data for each, _, _ in parts])
    rows = np.concatenate([np.asarray(each._rows) + row for each, row, _ in parts])
    columns = np.concatenate([np.asarray(each._columns) + column for each, _, column in parts])
    return SparseArray(data, rows, columns, (height, width), parts[0][0]._is_matrix)


def _sparse(value: Any) -> Any:
    return value if is_sparse(value) else _of_format("coo", "array")(as_array(value))


def block_array(blocks: Any, *, format: Any = None, dtype: Any = None) -> SparseArray:  # noqa: A002  # SciPy's name
    grid = [[None if each is None else _sparse(each) for each in row] for row in blocks]
    heights = [max((e.shape[0] for e in row if e is not None), default=0) for row in grid]
    widths = [
        max((e.shape[1] for e in column if e is not None), default=0)
        for column in zip(*grid, strict=True)
    ]
    for i, row in enumerate(grid):
        for j, each in enumerate(row):
            if each is not None and each.shape != (heights[i], widths[j]):
                raise ValueError(
                    f"block ({i}, {j}) has the shape {each.shape}, not {(heights[i], widths[j])}"
                )
    tops, lefts = np.cumsum([0, *heights]).tolist(), np.cumsum([0, *widths]).tolist()
    return _placed(
        (each, tops[i], lefts[j])
        for i, row in enumerate(grid)
        for j, each in enumerate(row)
        if each is not None
    )


def hstack(blocks: Any, format: Any = None, dtype: Any = None) -> SparseArray:  # noqa: A002  # SciPy's name
    return block_array([blocks])


def vstack(blocks: Any, format: Any = None, dtype: Any = None) -> SparseArray:  # noqa: A002  # SciPy's name
    return block_array([[each] for each in blocks])


def block_diag(mats: Any, format: Any = None, dtype: Any = None) -> SparseArray:  # noqa: A002  # SciPy's name
    count = len(mats)
    return block_array([[mats[i] if i == j else None for j in range(count)] for i in range(count)])


def kron(A: Any, B: Any, format: Any = None) -> SparseArray:  # noqa: A002, N803  # SciPy's names
    a, b = (SparseArray.of(_sparse(each)) for each in (A, B))
    data = np.ravel(a.data[:, None] * b.data[None])
    rows, columns = (
        np.ravel(np.asarray(first)[:, None] * size + np.asarray(second)[None])
        for first, second, size in (
            (a._rows, b._rows, b.shape[0]),
            (a._columns, b._columns, b.shape[1]),
        )
    )
    shape = (a.shape[0] * b.shape[0], a.shape[1] * b.shape[1])
    return SparseArray(data, rows, columns, shape, a._is_matrix)


# Systems


def sparse_norm(x: Any, ord: Any = None, axis: Any = None) -> Value:  # noqa: A002  # SciPy's name
    if ord in (None, "fro", "f") and axis is None:
        # Entries at one place count together.
        return np.linalg.norm(
            (x if isinstance(x, SparseArray) else SparseArray.of(x)).power(1).data
        )
    raise UnsupportedError(
        f"scipy.sparse.linalg.norm with ord={ord!r} and axis={axis!r} is not differentiated",
        instead="np.linalg.norm(A.toarray(), ord, axis)",
    )


def spsolve(A: Any, b: Value, *args: Any, **settings: Any) -> Value:  # noqa: N803  # SciPy's name
    """Solve a system with a sparse matrix."""
    if not is_sparse(A):
        raise UnsupportedError(
            "scipy.sparse.linalg.spsolve of a dense matrix is not differentiated",
            instead="np.linalg.solve(a, b)",
        )
    if is_sparse(b):
        raise UnsupportedError(
            "scipy.sparse.linalg.spsolve with a sparse right side is not differentiated",
            instead="b.toarray()",
        )
    b = as_array(b)
    x = A.bound("sparse_solve", b) if isinstance(A, SparseArray) else _solution(A, b)
    # SciPy returns a column as a vector.
    return x[:, 0] if b.ndim == 2 and b.shape[1] == 1 else x


def _solution(matrix: Any, b: Value, transposed: bool = False) -> Value:
    static = {
        "form": matrix.format,
        "shape": tuple(map(int, matrix.shape)),
        "transposed": transposed,
    }
    return bind(primitive("sparse_solve"), (b, *_parts(matrix)), static)


class _Factors:
    """SciPy's factors of a constant matrix, whose solutions are differentiated."""

    def __init__(self, matrix: Any, factors: Any) -> None:
        self._matrix = matrix.copy() if matrix.format in FORMATS else matrix.tocsc()
        self._factors = factors

    def solve(self, rhs: Value, trans: str = "N") -> Value:
        if not isinstance(rhs, Array):
            return self._factors.solve(rhs, trans)
        if trans == "H" and self._matrix.dtype.kind == "c":
            return np.conj(_solution(self._matrix, np.conj(rhs), transposed=True))
        return _solution(self._matrix, as_array(rhs), transposed=trans != "N")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factors, name)


# They make objects of constants of which methods are called with traced values.


@always
def splu(A: Any, *args: Any, **settings: Any) -> Any:  # noqa: N803  # SciPy's name
    if isinstance(A, SparseArray) or not is_sparse(A):
        raise UnsupportedError(
            "scipy.sparse.linalg.splu of a traced matrix is not differentiated",
            instead="scipy.sparse.linalg.spsolve(A, b)",
        )
    return _Factors(A, original_of("scipy.sparse.linalg", "splu")(A, *args, **settings))


@always
def factorized(A: Any) -> Callable[[Value], Value]:  # noqa: N803  # SciPy's name
    solve: Callable[[Value], Value] = splu(A if isinstance(A, SparseArray) else A.tocsc()).solve
    return solve


def _iterated(name: str) -> Callable[..., Any]:
    """Make an iterative solver: SciPy's solution, with the derivative of the exact one."""

    def solve(A: Any, b: Value, x0: Any = None, **settings: Any) -> Any:  # noqa: N803
        if isinstance(A, (Array, SparseArray)) or not hasattr(A, "shape") or callable(A):
            raise UnsupportedError(
                f"scipy.sparse.linalg.{name} of a traced matrix or of an operator is not"
                " differentiated",
                instead="scipy.sparse.linalg.spsolve(A, b), or np.linalg.solve(A, b)",
            )
        original = original_of("scipy.sparse.linalg", name)
        b = as_array(b)
        start = x0 if x0 is None else plain_value(as_array(x0), "x0")
        asked = f"scipy.sparse.linalg.{name}, which asks after each step whether it is done,"
        found, info = original(A, plain_value(b, asked), start, **settings)
        if b.ndim == 2:
            b = b[:, 0]
        exact = _solution(A, b) if is_sparse(A) else np.linalg.solve(np.asarray(A), b)
        return found + (exact - plain_value(exact, asked)), info

    return solve


_METHODS = {
    "__truediv__": _divide,
    "__add__": _add,
    "_matmul_dispatch": _product,
    "_mul_scalar": _multiply,
    "multiply": _multiply,
}

METHODS: dict[str, dict[str, dict[str, Callable[..., Any]]]] = {
    "scipy.sparse": {
        "_base._spbase": {**_METHODS, "dot": _dot},
        "_data._data_matrix": _METHODS,
        # Where they have some of their own.
        "_coo._coo_base": {**_METHODS, "dot": _dot},
        "_dia._dia_base": _METHODS,
        "_dok._dok_base": _METHODS,
        "_lil._lil_base": _METHODS,
    }
}
"""By module, class and name."""

_ITERATED = "bicg bicgstab cg cgs gcrotmk gmres lgmres minres qmr tfqmr"

FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.sparse": {
        **{
            f"{form}_{kind}": _of_format(form, kind)
            for form in ("bsr", "coo", "csc", "csr", "dia")
            for kind in ("array", "matrix")
        },
        **{
            function.__name__: function
            for function in (block_array, block_diag, hstack, kron, vstack)
        },
        "bmat": block_array,
        "diags": _diagonals("matrix"),
        "diags_array": _diagonals("array"),
    },
    "scipy.sparse.linalg": {
        **{name: _iterated(name) for name in _ITERATED.split()},
        "factorized": factorized,
        "norm": sparse_norm,
        "splu": splu,
        "spsolve": spsolve,
    },
}
"""By module and name."""
