"""Sparse arrays whose entries are traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.plain import plain_value
from steepest.array.scipy.names import OfTraced
from steepest.errors import UnsupportedError
from steepest.ops import primitive
from steepest.ops.spec import Value, bind

__all__ = ["SparseArray", "is_sparse"]


def is_sparse(value: Any) -> bool:
    """Whether a value is one of SciPy's sparse arrays, or what stands for one."""
    return isinstance(value, SparseArray) or hasattr(value, "tocoo")


def _sums(terms: Value, places: Any, count: int) -> Value:
    """Add up what belongs to each of some places."""
    if not count:
        return terms[:0]
    if count == 1:
        # SciPy drops the axis of a single row.
        return np.sum(terms, keepdims=True)
    static = {"form": "coo", "shape": (count, len(places)), "transposed": False}
    ones = np.ones(len(places), terms.dtype)
    return bind(primitive("sparse_matmul"), (terms, ones, places, np.arange(len(places))), static)


class SparseArray(OfTraced):
    """A sparse array of two axes, as the places of its entries and the traced entries.

    Entries at the same place count together.

    Parameters
    ----------
    data : array
    rows, columns : ndarray
        Of whole numbers.
    shape : (int, int)
    is_matrix : bool
        Whether ``*`` is the product of matrices, as it is for ``csr_matrix`` and its like.
    """

    __array_priority__ = 20.0
    __array_ufunc__ = None
    ndim = 2

    def __init__(
        self, data: Value, rows: Any, columns: Any, shape: tuple[int, int], is_matrix: bool
    ) -> None:
        self.data = as_array(data)
        self._rows, self._columns = rows, columns
        self.shape = shape
        self._is_matrix = is_matrix

    @classmethod
    def of(cls, matrix: Any) -> SparseArray:
        """Take one of SciPy's sparse arrays, of two axes."""
        if isinstance(matrix, cls):
            return matrix
        if matrix.ndim != 2:
            raise UnsupportedError(
                f"a sparse array of {matrix.ndim} axes and a traced value are not differentiated",
                instead="sparse arrays of two axes",
            )
        entries = matrix.tocoo()
        shape = (int(matrix.shape[0]), int(matrix.shape[1]))
        is_matrix = type(matrix).__name__.endswith("_matrix")
        return cls(entries.data, entries.row, entries.col, shape, is_matrix)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the entries."""
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    @property
    def T(self) -> SparseArray:  # noqa: N802  # SciPy's name
        """The transpose."""
        return self._with(self.data, self._columns, self._rows, self.shape[::-1])

    def _with(
        self,
        data: Value,
        rows: Any = None,
        columns: Any = None,
        shape: tuple[int, int] | None = None,
    ) -> SparseArray:
        return SparseArray(
            data,
            self._rows if rows is None else rows,
            self._columns if columns is None else columns,
            self.shape if shape is None else shape,
            self._is_matrix,
        )

    def transpose(self, axes: Any = None, copy: bool = False) -> SparseArray:
        """Transpose."""
        return self.T

    def bound(self, name: str, x: Value) -> Value:
        """Apply a primitive that takes the parts of a matrix."""
        static = {"form": "coo", "shape": self.shape, "transposed": False}
        return bind(primitive(name), (x, self.data, self._rows, self._columns), static)

    def dot(self, other: Value) -> Value:
        """Multiply by an array of one or two axes."""
        if is_sparse(other):
            return self._times(SparseArray.of(other))
        x = as_array(other)
        if not x.ndim:
            return self._with(self.data * x)
        if x.ndim > 2 or x.shape[0] != self.shape[1]:
            raise ValueError(
                f"matmul: dimension mismatch: a sparse matrix of {self.shape} and an array of"
                f" {x.shape}"
            )
        return self.bound("sparse_matmul", x)

    __matmul__ = dot

    def _times(self, other: SparseArray) -> SparseArray:
        """Multiply by a sparse array: each entry of a column meets all of the row of its number."""
        if self.shape[1] != other.shape[0]:
            raise ValueError(f"dimension mismatch: {self.shape} and {other.shape}")
        asked = "the product of two sparse arrays"
        rows, columns = (np.asarray(plain_value(e, asked)) for e in (self._rows, self._columns))
        others = [np.asarray(plain_value(e, asked)) for e in (other._rows, other._columns)]
        order = np.argsort(others[0], kind="stable")
        starts = np.searchsorted(others[0][order], np.arange(other.shape[0] + 1))
        counts = np.diff(starts)[columns]
        left = np.repeat(np.arange(len(columns)), counts)
        within = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
        right = order[starts[columns[left]] + within]
        shape = (self.shape[0], other.shape[1])
        # What meets at one place is added up, so that products of products do not grow.
        flat, places = np.unique(rows[left] * shape[1] + others[1][right], return_inverse=True)
        terms = self.data[left] * other.data[right]
        data = _sums(terms, places, len(flat))
        return self._with(data, flat // shape[1], flat % shape[1], shape)

    def _found(self, rows: Any, columns: Any) -> Value:
        """Take the entries at some places; where there is none, it is 0."""
        asked = "the entries of a sparse array at places"
        rows, columns = (np.asarray(plain_value(each, asked)) for each in (rows, columns))
        own = [np.asarray(plain_value(each, asked)) for each in (self._rows, self._columns)]
        flat, places = np.unique(own[0] * self.shape[1] + own[1], return_inverse=True)
        data = np.concatenate([_sums(self.data, places, len(flat)), np.zeros(1, self.dtype)])
        wanted = rows * self.shape[1] + columns
        at = np.searchsorted(flat, wanted)
        there = at < len(flat)
        there[there] = flat[at[there]] == wanted[there]
        return data[np.where(there, at, len(flat))]

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key, slice(None))
        picked = [np.arange(size)[each] for size, each in zip(self.shape, keys, strict=True)]
        if not any(each.ndim for each in picked):
            return self._found(*(each[None] for each in picked))[0]
        several = sum(not isinstance(each, slice) for each in keys) > 1
        if several or any(each.ndim != 1 or len(set(each.tolist())) < len(each) for each in picked):
            raise UnsupportedError(
                "a sparse matrix of traced values is not indexed like this",
                instead="A[i, j] for an entry, A[i:j, k:l] or A[rows, :] for a part;"
                " A.toarray()[…]",
            )
        asked = "a part of a sparse array"
        places = []
        for size, chosen, own in zip(self.shape, picked, (self._rows, self._columns), strict=True):
            position = np.full(size, -1)
            position[chosen] = np.arange(len(chosen))
            places.append(position[np.asarray(plain_value(own, asked))])
        kept = np.flatnonzero((places[0] >= 0) & (places[1] >= 0))
        shape = (len(picked[0]), len(picked[1]))
        return self._with(self.data[kept], places[0][kept], places[1][kept], shape)

    def __pow__(self, power: int) -> SparseArray:
        if power != int(power) or power < 1 or self.shape[0] != self.shape[1]:
            raise UnsupportedError(
                f"a sparse matrix of {self.shape} to the power {power} is not differentiated",
                instead="A.power(n) for entries; whole numbers from 1, of square matrices",
            )
        if not self._is_matrix:
            return self.power(power)
        result = self
        for _ in range(int(power) - 1):
            result = result._times(self)
        return result

    def power(self, n: Value, dtype: Any = None) -> SparseArray:
        """Take powers of the entries."""
        return self._entrywise(lambda data: data**n)

    def __abs__(self) -> SparseArray:
        return self._entrywise(np.abs)

    def sqrt(self) -> SparseArray:
        """Take roots of the entries."""
        return self._entrywise(np.sqrt)

    def _entrywise(self, function: Callable[[Value], Value]) -> SparseArray:
        """Apply a function that leaves 0 as it is."""
        asked = "a function of the entries of a sparse array"
        own = [np.asarray(plain_value(each, asked)) for each in (self._rows, self._columns)]
        flat, places = np.unique(own[0] * self.shape[1] + own[1], return_inverse=True)
        data = function(_sums(self.data, places, len(flat)))
        return self._with(data, flat // self.shape[1], flat % self.shape[1])

    def __rmatmul__(self, other: Value) -> Value:
        return self.T.dot(as_array(other).T).T

    def multiply(self, other: Value) -> SparseArray:
        """Multiply entry by entry with an array or a number."""
        if is_sparse(other):
            other = SparseArray.of(other)
            if other.shape != self.shape:
                raise ValueError(f"inconsistent shapes: {self.shape} and {other.shape}")
            at = other._found(self._rows, self._columns)
            return self._with(self.data * at)
        x = as_array(other)
        if not x.ndim:
            return self._with(self.data * x)
        if np.broadcast_shapes(self.shape, x.shape) != self.shape:
            raise UnsupportedError(
                f"a sparse matrix of {self.shape} times an array of {x.shape}, entry by entry, is"
                " not differentiated",
                instead="A.toarray() * x",
            )
        return self._with(self.data * np.broadcast_to(x, self.shape)[self._rows, self._columns])

    def __mul__(self, other: Value) -> Value:
        return self.dot(other) if self._is_matrix else self.multiply(other)

    def __rmul__(self, other: Value) -> Value:
        return other @ self if self._is_matrix and np.ndim(other) else self.multiply(other)

    def __truediv__(self, other: Value) -> SparseArray:
        return self.multiply(1 / as_array(other))

    def __neg__(self) -> SparseArray:
        return self._with(-self.data)

    def __add__(self, other: Any) -> Any:
        if not is_sparse(other):
            return self.toarray() + other
        other = SparseArray.of(other)
        if other.shape != self.shape:
            raise ValueError(f"inconsistent shapes: {self.shape} and {other.shape}")
        return self._with(
            np.concatenate([self.data, other.data]),
            np.concatenate([self._rows, other._rows]),
            np.concatenate([self._columns, other._columns]),
        )

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def toarray(self, order: Any = None, out: Any = None) -> Value:
        """Make a dense array."""
        flat = self._rows.astype(np.int64) * self.shape[1] + self._columns
        count = self.shape[0] * self.shape[1]
        return np.reshape(_sums(self.data, flat, count), self.shape)

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> Value:
        """Add up all entries, or those along an axis."""
        if axis is None:
            return np.sum(self.data)
        if self._is_matrix:
            raise UnsupportedError(
                "the sum of a traced sparse matrix along an axis, an np.matrix, is not"
                " differentiated",
                instead="A.toarray().sum(axis), or csr_array for csr_matrix",
            )
        if axis in (1, -1):
            return self @ np.ones(self.shape[1], self.dtype)
        return self.T @ np.ones(self.shape[0], self.dtype)

    def mean(self, axis: Any = None) -> Value:
        """Take the mean of all entries, or of those along an axis."""
        count = self.shape[0] * self.shape[1] if axis is None else self.shape[axis]
        return self.sum(axis) / count

    def diagonal(self, k: int = 0) -> Value:
        """Take a diagonal."""
        return np.diagonal(self.toarray(), k)

    def trace(self, offset: int = 0) -> Value:
        """Add up a diagonal."""
        on = plain_value(self._columns, "trace") - self._rows == offset
        return np.sum(self.data[np.flatnonzero(on)])

    def asformat(self, format: Any = None, copy: bool = False) -> SparseArray:  # noqa: A002
        """Keep the places of the entries, whatever the format is called."""
        return self

    tocsr = tocsc = tocoo = todia = tobsr = copy = asformat

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnsupportedError(
            f"{name} of a sparse matrix of traced values is not differentiated",
            instead="A.toarray(), and NumPy's functions of that",
        )
