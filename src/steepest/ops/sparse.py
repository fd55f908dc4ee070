"""The product of a constant sparse matrix, as SciPy has them, and a dense one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from steepest.graph import ArrayType
from steepest.ops.matrices import well_conditioned
from steepest.ops.spec import Primitive, Sample, Value, bind, needs_care, scale

__all__ = ["FORMATS", "PRIMITIVES"]

FORMATS: dict[str, Sequence[str]] = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "row", "col"),
    "dia": ("data", "offsets"),
}
"""By the name of a format: the arrays that a matrix consists of."""


def _matrix(parts: Sequence[Value], form: str, shape: tuple[int, int], transposed: bool) -> Any:
    import scipy.sparse

    data, *places = parts
    _check(data.dtype)
    if form == "coo":
        given: Any = (data, tuple(places))
    else:
        given = (data, *places)
    matrix = getattr(scipy.sparse, f"{form}_array")(given, shape=shape, copy=False)
    return matrix.T if transposed else matrix


def _check(data: np.dtype[Any]) -> None:
    if data == np.float16:
        raise TypeError("scipy.sparse does not support float16")


def _evaluate(
    x: Value, *parts: Value, form: str, shape: tuple[int, int], transposed: bool
) -> Value:
    return _matrix(parts, form, shape, transposed) @ x


def _evaluate_zero_safe(
    x: Value, *parts: Value, form: str, shape: tuple[int, int], transposed: bool
) -> Value:
    matrix = _matrix(parts, form, shape, transposed)
    result = matrix @ x
    if not needs_care(result):
        return result
    entries = matrix.tocoo()
    factors, taken = entries.data.reshape((-1,) + (1,) * (x.ndim - 1)), x[entries.col]
    zero = np.equal(factors, 0) | np.equal(taken, 0)
    careful = np.zeros(result.shape, result.dtype)
    np.add.at(careful, entries.row, np.where(zero, result.dtype.type(0), factors * taken))
    return careful


def _type(
    x: ArrayType,
    data: ArrayType,
    *_: ArrayType,
    shape: tuple[int, int],
    transposed: bool,
    **_form: Any,
) -> ArrayType:
    rows, columns = shape[::-1] if transposed else shape
    if x.ndim not in (1, 2) or x.shape[0] != columns:
        raise ValueError(f"a sparse matrix of {(rows, columns)} times an array of {x.shape}")
    return ArrayType((rows, *x.shape[1:]), _product_dtype(x.dtype, data.dtype))


@cache
def _product_dtype(x: np.dtype[Any], data: np.dtype[Any]) -> np.dtype[Any]:
    """Find the dtype of a product, by making one."""
    import scipy.sparse

    _check(data)
    product: np.ndarray[Any, Any] = scipy.sparse.csr_array(np.ones((1, 1), data)) @ np.ones(1, x)
    dtype: np.dtype[Any] = product.dtype
    return dtype


def _pulled(
    g: Value, parts: Sequence[Value], form: str, shape: tuple[int, int], transposed: bool
) -> Value:
    static = {"form": form, "shape": shape, "transposed": not transposed}
    return bind(zero_safe_sparse_matmul, (g, *parts), static)


def _pulled_by_data(
    g: Value,
    x: Value,
    parts: Sequence[Value],
    position: int,
    form: str,
    shape: tuple[int, int],
    transposed: bool,
) -> Value:
    """Pull a cotangent to the entries of a matrix."""
    rows, columns = _places(parts, form, shape)
    kept = (rows >= 0) & (rows < shape[0]) & (columns < shape[1])
    rows, columns = np.where(kept, rows, 0), np.where(kept, columns, 0)
    if transposed:
        rows, columns = columns, rows
    products = scale(g[rows], x[columns])
    products = np.sum(products, axis=-1) if x.ndim == 2 else products
    return np.where(kept, products, np.zeros((), products.dtype))


def _places(parts: Sequence[Value], form: str, shape: tuple[int, int]) -> tuple[Value, Value]:
    """Find the row and the column of each entry; of some that are stored there is none."""
    data, *places = parts
    if form == "coo":
        return places[0], places[1]
    if form == "dia":
        columns = np.arange(data.shape[1])
        rows = columns - places[0][:, None]
        return rows, np.broadcast_to(columns, rows.shape)
    minor, pointers = places
    major = np.searchsorted(pointers, np.arange(len(minor)), side="right") - 1
    if form == "bsr":
        _, height, width = data.shape
        rows = (major * height)[:, None, None] + np.arange(height)[:, None]
        columns = (minor * width)[:, None, None] + np.arange(width)
        return np.broadcast_to(rows, data.shape), np.broadcast_to(columns, data.shape)
    return (major, minor) if form == "csr" else (minor, major)


def _pushed(
    t: Value, parts: Sequence[Value], form: str, shape: tuple[int, int], transposed: bool
) -> Value:
    static = {"form": form, "shape": shape, "transposed": transposed}
    return bind(zero_safe_sparse_matmul, (t, *parts), static)


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    import scipy.sparse

    dense = rng.uniform(0.5, 1, (3, 4)) * np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 1, 1]])
    for form, names in FORMATS.items():
        matrix = scipy.sparse.coo_array(dense).asformat(form)
        parts = [getattr(matrix, name) for name in names]
        for transposed, shape in ((False, (4,)), (False, (4, 2)), (True, (3, 1)), (True, (3, 0))):
            static = {"form": form, "shape": (3, 4), "transposed": transposed}
            yield Sample((rng.uniform(-1, 1, shape), *parts), static)


def _entry(name: str, evaluate: Any) -> Primitive:
    return Primitive(
        name,
        evaluate,
        infer=_type,
        arguments="x *parts",
        vjps=(_pulled, _pulled_by_data),
        jvp=(_pushed,),
        samples=_samples,
    )


sparse_matmul = _entry("sparse_matmul", _evaluate)
"""A sparse matrix, or its transpose, times an array of one or two axes.

The arrays that the matrix consists of are arguments, so that they are captured as the user's are.
"""

zero_safe_sparse_matmul = _entry("zero_safe_sparse_matmul", _evaluate_zero_safe)
"""The product with a cotangent, in which a zero factor makes a zero term; see `scale`."""


# Systems


def _evaluate_solve(
    x: Value, *parts: Value, form: str, shape: tuple[int, int], transposed: bool
) -> Value:
    from scipy.sparse.linalg import spsolve

    matrix = _matrix(parts, form, shape, transposed).tocsc()
    # A column comes back as a vector.
    return np.reshape(spsolve(matrix, x), x.shape)


def _solve_pulled(
    g: Value, parts: Sequence[Value], form: str, shape: tuple[int, int], transposed: bool
) -> Value:
    return sparse_solve(g, *parts, form=form, shape=shape, transposed=not transposed)


def _solve_pulled_by_data(
    g: Value,
    ans: Value,
    parts: Sequence[Value],
    position: int,
    form: str,
    shape: tuple[int, int],
    transposed: bool,
) -> Value:
    left = _solve_pulled(g, parts, form, shape, transposed)
    return _pulled_by_data(-left, ans, parts, position, form, shape, transposed)


def _solve_pushed(
    t: Value, parts: Sequence[Value], form: str, shape: tuple[int, int], transposed: bool
) -> Value:
    return sparse_solve(t, *parts, form=form, shape=shape, transposed=transposed)


def _solve_type(
    x: ArrayType, data: ArrayType, *_: ArrayType, shape: tuple[int, int], **_static: Any
) -> ArrayType:
    if x.ndim not in (1, 2) or shape != (x.shape[0],) * 2:
        raise ValueError(f"a sparse matrix of {shape} and right-hand sides of {x.shape}")
    return ArrayType(x.shape, _solution_dtype(x.dtype, data.dtype))


@cache
def _solution_dtype(x: np.dtype[Any], data: np.dtype[Any]) -> np.dtype[Any]:
    """Find the dtype of a solution, by making one."""
    import scipy.sparse
    from scipy.sparse.linalg import spsolve

    _check(data)
    matrix = scipy.sparse.csc_array(np.eye(2, dtype=data))
    solution: np.ndarray[Any, Any] = spsolve(matrix, np.ones(2, x))
    dtype: np.dtype[Any] = solution.dtype
    return dtype


def _solve_samples(rng: np.random.Generator) -> Iterator[Sample]:
    import scipy.sparse

    dense = well_conditioned(rng, (3, 3)) * np.array([[1, 0, 1], [0, 1, 0], [0, 1, 1]])
    matrix = scipy.sparse.csc_array(dense)
    parts = [getattr(matrix, name) for name in FORMATS["csc"]]
    for transposed, shape in ((False, (3,)), (True, (3, 2))):
        static = {"form": "csc", "shape": (3, 3), "transposed": transposed}
        yield Sample((rng.uniform(-1, 1, shape), *parts), static)


sparse_solve: Primitive = Primitive(
    "sparse_solve",
    _evaluate_solve,
    infer=_solve_type,
    arguments="x *parts",
    vjps=(_solve_pulled, _solve_pulled_by_data),
    jvp=(_solve_pushed,),
    samples=_solve_samples,
)
"""The solution of a system with a sparse matrix."""

PRIMITIVES = (sparse_matmul, zero_safe_sparse_matmul, sparse_solve)
