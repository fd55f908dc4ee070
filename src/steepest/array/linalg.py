"""NumPy's functions of linear algebra on Arrays, on top of the primitives."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from steepest.array.array import value_type
from steepest.array.plain import plain_value
from steepest.array.products import as_array
from steepest.array.reductions import refuse_out
from steepest.errors import UnsupportedError
from steepest.ops import primitive
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS"]

_NO_VALUE: Any = np._NoValue


@cache
def _result_class(function: Callable[..., Any]) -> Any:
    """Find the class of the named tuple that one of NumPy's functions returns."""
    return type(function(np.eye(1)))


def _named(function: Callable[..., Any], values: Sequence[Value]) -> Any:
    return _result_class(function)(*values)


# Determinants, inverses and systems


def det(a: Value) -> Value:
    return bind(primitive("det"), (as_array(a),), {})


def slogdet(a: Value) -> Any:
    return _named(np.linalg.slogdet, bind(primitive("slogdet"), (as_array(a),), {}))


def inv(a: Value) -> Value:
    return bind(primitive("inv"), (as_array(a),), {"strict": True})


def solve(a: Value, b: Value) -> Value:
    a, b = as_array(a), as_array(b)
    if b.ndim != 1:
        return bind(primitive("solve"), (a, b), {})
    column = np.reshape(b, (-1, 1))
    return np.squeeze(bind(primitive("solve"), (a, column), {}), -1)


def tensorsolve(a: Value, b: Value, axes: Sequence[int] | None = None) -> Value:
    a, b = as_array(a), as_array(b)
    if axes is not None:
        order = list(range(a.ndim))
        for axis in axes:
            order.remove(axis)
            order.insert(a.ndim, axis)
        a = np.transpose(a, order)
    shape = a.shape[b.ndim - a.ndim :] if a.ndim > b.ndim else a.shape
    length = int(np.prod(shape, dtype=int))
    if a.size != length**2:
        raise np.linalg.LinAlgError(
            "Input arrays must satisfy the requirement"
            " prod(a.shape[b.ndim:]) == prod(a.shape[:b.ndim])"
        )
    return np.reshape(solve(np.reshape(a, (length, length)), np.ravel(b)), shape)


def tensorinv(a: Value, ind: int = 2) -> Value:
    a = as_array(a)
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    length = int(np.prod(a.shape[ind:], dtype=int))
    return np.reshape(inv(np.reshape(a, (length, -1))), a.shape[ind:] + a.shape[:ind])


def _cutoff(rcond: Any, name: str) -> float:
    if np.ndim(rcond):
        raise UnsupportedError(
            f"np.linalg.{name} with a cutoff for each matrix is not supported on traced values",
            instead="one number for rcond, or a loop over the matrices",
        )
    return float(rcond)


def pinv(a: Value, rcond: Any = None, hermitian: bool = False, *, rtol: Any = _NO_VALUE) -> Value:
    a = as_array(a)
    if hermitian:
        raise UnsupportedError(
            "np.linalg.pinv with hermitian=True is not supported on a traced value",
            instead="np.linalg.pinv(a), which has the same value",
        )
    if rcond is not None and rtol is not _NO_VALUE:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    if rcond is None:
        if rtol is None:
            rcond = max(a.shape[-2:]) * np.finfo(a.dtype).eps
        else:
            rcond = 1e-15 if rtol is _NO_VALUE else rtol
    return bind(primitive("pinv"), (a,), {"rcond": _cutoff(rcond, "pinv")})


def lstsq(a: Value, b: Value, rcond: Any = None) -> tuple[Value, Value, Any, Value]:
    a, b = as_array(a), as_array(b)
    right = np.reshape(b, (-1, 1)) if b.ndim == 1 else b
    plain_a = plain_value(a, "np.linalg.lstsq")
    _, residuals, rank, _ = np.linalg.lstsq(plain_a, plain_value(right, "np.linalg.lstsq"), rcond)
    if rcond is None:
        # NumPy calls LAPACK in double precision.
        rcond = float(np.finfo(np.float64).eps) * max(a.shape)
    x = bind(primitive("least_squares"), (a, right), {"rcond": _cutoff(rcond, "lstsq")})
    if residuals.size:
        residuals = np.sum(np.square(right - a @ x), axis=0)
    values = np.linalg.svdvals(a)
    return (np.reshape(x, (-1,)) if b.ndim == 1 else x), residuals, rank, values


def matrix_rank(
    A: Value,  # noqa: N803  # NumPy's name
    tol: Any = None,
    hermitian: bool = False,
    *,
    rtol: Any = None,
) -> Any:
    # The rank is piecewise constant.
    return np.linalg.matrix_rank(plain_value(A, "np.linalg.matrix_rank"), tol, hermitian, rtol=rtol)


def matrix_power(a: Value, n: Any) -> Value:
    a = as_array(a)
    try:
        n = operator.index(n)
    except TypeError as error:
        raise TypeError("exponent must be an integer") from error
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")
    if n == 0:
        return np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape).copy()
    if n < 0:
        a, n = np.linalg.inv(a), -n
    if n == 3:
        return (a @ a) @ a
    # The powers a, a², a⁴, … of the binary digits of n, from the last.
    square, result = a, None
    while True:
        n, digit = divmod(n, 2)
        if digit:
            result = square if result is None else result @ square
        if not n:
            return result
        square = square @ square


def multi_dot(arrays: Sequence[Value], *, out: None = None) -> Value:
    refuse_out(out, "linalg.multi_dot")
    matrices = [as_array(each) for each in arrays]
    if len(matrices) < 2:
        raise ValueError("Expecting at least two arrays.")
    first, last = matrices[0].ndim == 1, matrices[-1].ndim == 1
    if first:
        matrices[0] = np.reshape(matrices[0], (1, -1))
    if last:
        matrices[-1] = np.reshape(matrices[-1], (-1, 1))
    if any(each.ndim != 2 for each in matrices):
        raise np.linalg.LinAlgError("multi_dot takes matrices, and vectors as first and last")
    product = _chain(matrices)
    if first and last:
        return product[0, 0]
    return np.ravel(product) if first or last else product


def _chain(matrices: list[Value]) -> Value:
    """Multiply matrices in the order that takes the fewest multiplications."""
    sizes = [matrices[0].shape[0], *(each.shape[1] for each in matrices)]

    @cache
    def best(start: int, stop: int) -> tuple[int, int]:
        """Find the least cost of the product of some neighbours, and where to split it."""
        if stop - start == 1:
            return 0, start
        return min(
            (
                best(start, middle)[0]
                + best(middle, stop)[0]
                + sizes[start] * sizes[middle] * sizes[stop],
                middle,
            )
            for middle in range(start + 1, stop)
        )

    def multiplied(start: int, stop: int) -> Value:
        if stop - start == 1:
            return matrices[start]
        middle = best(start, stop)[1]
        return multiplied(start, middle) @ multiplied(middle, stop)

    return multiplied(0, len(matrices))


# Factorisations


def cholesky(a: Value, /, *, upper: bool = False) -> Value:
    return bind(primitive("cholesky"), (as_array(a),), {"upper": bool(upper)})


def _reads_lower(uplo: str) -> bool:
    if uplo.upper() not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return uplo.upper() == "L"


def eigh(a: Value, UPLO: str = "L") -> Any:  # noqa: N803  # NumPy's name
    static = {"lower": _reads_lower(UPLO)}
    return _named(np.linalg.eigh, bind(primitive("eigh"), (as_array(a),), static))


def eigvalsh(a: Value, UPLO: str = "L") -> Value:  # noqa: N803  # NumPy's name
    static = {"lower": _reads_lower(UPLO)}
    return bind(primitive("eigvalsh"), (as_array(a),), static)


def svd(
    a: Value, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    a = as_array(a)
    if hermitian:
        raise UnsupportedError(
            "np.linalg.svd with hermitian=True is not supported on a traced value",
            instead="np.linalg.svd(a), or np.linalg.eigh(a)",
        )
    if not compute_uv:
        return bind(primitive("singular_values"), (a,), {})
    if full_matrices and a.ndim > 1 and a.shape[-1] != a.shape[-2]:
        raise UnsupportedError(
            f"np.linalg.svd with full_matrices=True of matrices of shape {a.shape} is not"
            " differentiated: the vectors beyond the singular values are arbitrary",
            instead="np.linalg.svd(a, full_matrices=False)",
        )
    return _named(np.linalg.svd, bind(primitive("svd"), (a,), {}))


def svdvals(x: Value, /) -> Value:
    return svd(x, compute_uv=False)


def qr(a: Value, mode: str = "reduced") -> Any:
    a = as_array(a)
    rows, columns = a.shape[-2:] if a.ndim > 1 else (0, 0)
    if mode not in ("reduced", "complete", "r") or (mode == "complete" and rows > columns):
        raise UnsupportedError(
            f"np.linalg.qr with mode={mode!r} of matrices of shape {a.shape} is not differentiated",
            instead="np.linalg.qr(a), whose mode is 'reduced'",
        )
    if rows >= columns:
        factors = bind(primitive("qr"), (a,), {})
    else:
        # The first columns determine Q, and Q the rest of R.
        q, left = bind(primitive("qr"), (a[..., :rows],), {})
        factors = q, np.concatenate([left, q.mT @ a[..., rows:]], axis=-1)
    return factors[1] if mode == "r" else _named(np.linalg.qr, factors)


# Norms


def norm(x: Value, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Value:  # noqa: A002
    x = as_array(x)
    if x.dtype.kind not in "fc":
        x = x.astype(np.float64)
    if axis is None:
        if (
            ord is None
            or (ord in ("f", "fro") and x.ndim == 2)
            or (not isinstance(ord, str) and ord == 2 and x.ndim == 1)
        ):
            flat = np.ravel(x)
            if x.dtype.kind == "c":
                result = np.sqrt(flat.real @ flat.real + flat.imag @ flat.imag)
            else:
                result = np.sqrt(flat @ flat)
            return np.reshape(result, (1,) * x.ndim) if keepdims else result
        axes = tuple(range(x.ndim))
    else:
        axes = axis if isinstance(axis, tuple) else (operator.index(axis),)
        axes = np.lib.array_utils.normalize_axis_tuple(axes, x.ndim, allow_duplicate=True)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    if axes[0] == axes[1]:
        raise ValueError("Duplicate axes given.")
    return _matrix_norm(x, ord, axes, keepdims)


def _vector_norm(x: Value, order: Any, axis: int, keepdims: bool) -> Value:
    match order:
        case str():
            raise ValueError(f"Invalid norm order '{order}' for vectors")
    if order is None or order == 2:
        return np.sqrt(np.sum(_squared(x), axis=axis, keepdims=keepdims))
    if order == 0:
        count = plain_value(x, "np.linalg.norm with ord=0") != 0
        return count.astype(x.real.dtype).sum(axis=axis, keepdims=keepdims)
    magnitude = np.abs(x)
    if order == np.inf:
        return np.max(magnitude, axis=axis, keepdims=keepdims, initial=0)
    if order == -np.inf:
        return np.min(magnitude, axis=axis, keepdims=keepdims)
    if order == 1:
        return np.sum(magnitude, axis=axis, keepdims=keepdims)
    total = np.sum(magnitude**order, axis=axis, keepdims=keepdims)
    return total ** np.reciprocal(order, dtype=value_type(total).dtype)


def _squared(x: Value) -> Value:
    return (np.conj(x) * x).real if x.dtype.kind == "c" else x * x


def _matrix_norm(x: Value, order: Any, axes: tuple[int, int], keepdims: bool) -> Value:
    row, column = axes
    if order in (None, "fro", "f"):
        return np.sqrt(np.sum(_squared(x), axis=axes, keepdims=keepdims))
    if order in (1, -1, np.inf, -np.inf):
        summed, rest = (row, column) if abs(order) == 1 else (column, row)
        total = np.sum(np.abs(x), axis=summed, keepdims=True)
        result = (
            np.max(total, axis=rest, keepdims=True, initial=0)
            if order > 0
            else np.min(total, axis=rest, keepdims=True)
        )
    elif order in (2, -2, "nuc"):
        # At a singular value of 0, a kink, the modulus has the average of the slopes.
        values = np.abs(svdvals(np.moveaxis(x, axes, (-2, -1))))
        if order == 2:
            result = np.max(values, axis=-1, initial=0)
        else:
            result = np.min(values, axis=-1) if order == -2 else np.sum(values, axis=-1)
        result = np.expand_dims(result, tuple(sorted(axes)))
    else:
        raise ValueError("Invalid norm order for matrices.")
    return result if keepdims else np.squeeze(result, axes)


def vector_norm(
    x: Value,
    /,
    *,
    axis: Any = None,
    keepdims: bool = False,
    ord: Any = 2,  # noqa: A002  # NumPy's name
) -> Value:
    x = as_array(x)
    axes = tuple(range(x.ndim)) if axis is None else axis
    if isinstance(axes, tuple):
        axes = np.lib.array_utils.normalize_axis_tuple(axes, x.ndim)
        rest = tuple(i for i in range(x.ndim) if i not in axes)
        flat = np.transpose(x, (*axes, *rest))
        count = int(np.prod([x.shape[i] for i in axes], dtype=int))
        result = norm(np.reshape(flat, (count, *(x.shape[i] for i in rest))), ord, 0)
    else:
        result = norm(x, ord, axes)
    return np.expand_dims(result, axes) if keepdims else result


def matrix_norm(
    x: Value,
    /,
    *,
    keepdims: bool = False,
    ord: Any = "fro",  # noqa: A002  # NumPy's name
) -> Value:
    return norm(x, ord, (-2, -1), keepdims)


def cond(x: Value, p: Any = None) -> Value:
    x = as_array(x)
    if not x.size:
        raise np.linalg.LinAlgError("cond is not defined on empty arrays")
    if p in (None, 2, -2):
        values = svdvals(x)
        largest, smallest = values[..., 0], values[..., -1]
        with np.errstate(all="ignore"):
            return smallest / largest if p == -2 else largest / smallest
    inverse = bind(primitive("inv"), (x,), {"strict": False})
    with np.errstate(all="ignore"):
        return norm(x, p, (-2, -1)) * norm(inverse, p, (-2, -1))


def _on_last_axes(function: Callable[..., Value]) -> Callable[..., Value]:
    """Make the function of ``np.linalg`` from NumPy's own, whose axes are the first two."""

    def of_matrices(x: Value, /, **settings: Any) -> Value:
        return function(x, axis1=-2, axis2=-1, **settings)

    return of_matrices


def matrix_transpose(x: Value, /) -> Value:
    return np.swapaxes(as_array(x), -1, -2)


FUNCTIONS: dict[Callable[..., Any], Callable[..., Value]] = {
    np.linalg.det: det,
    np.linalg.slogdet: slogdet,
    np.linalg.inv: inv,
    np.linalg.solve: solve,
    np.linalg.tensorsolve: tensorsolve,
    np.linalg.tensorinv: tensorinv,
    np.linalg.pinv: pinv,
    np.linalg.lstsq: lstsq,
    np.linalg.matrix_rank: matrix_rank,
    np.linalg.matrix_power: matrix_power,
    np.linalg.multi_dot: multi_dot,
    np.linalg.cholesky: cholesky,
    np.linalg.eigh: eigh,
    np.linalg.eigvalsh: eigvalsh,
    np.linalg.svd: svd,
    np.linalg.svdvals: svdvals,
    np.linalg.qr: qr,
    np.linalg.norm: norm,
    np.linalg.vector_norm: vector_norm,
    np.linalg.matrix_norm: matrix_norm,
    np.linalg.cond: cond,
    np.linalg.trace: _on_last_axes(np.trace),
    np.linalg.diagonal: _on_last_axes(np.diagonal),
    np.linalg.matrix_transpose: matrix_transpose,
    np.matrix_transpose: matrix_transpose,
}
