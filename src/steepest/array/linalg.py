"""NumPy's functions of linear algebra on Arrays, on top of the primitives."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NoReturn

import numpy as np
from numpy import ndarray

from steepest.array.arguments import NO_VALUE, as_array
from steepest.array.array import NO_STATIC, Array, value_type
from steepest.array.plain import plain_arguments, plain_value
from steepest.errors import NeedsValueError, UnsupportedError
from steepest.ops import primitive
from steepest.ops.matrices import conjugate
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS"]

_reshape = primitive("reshape")
_solve = primitive("solve")


@cache
def _result_class(function: Callable[..., Any]) -> Any:
    """Find the class of the named tuple that one of NumPy's functions returns."""
    return type(function(np.eye(1)))


def _named(function: Callable[..., Any], values: Sequence[Value]) -> Any:
    return _result_class(function)(*values)


def _whole(value: Value) -> Value:
    """Take a value as NumPy does, for what makes no views of it."""
    array = value._value if type(value) is Array else value
    return value if type(array) is ndarray else as_array(value)


# Determinants, inverses and systems


def det(a: Value) -> Value:
    return bind(primitive("det"), (_whole(a),), NO_STATIC)


def slogdet(a: Value) -> Any:
    return _named(np.linalg.slogdet, bind(primitive("slogdet"), (as_array(a),), {}))


def inv(a: Value) -> Value:
    return bind(primitive("inv"), (_whole(a),), {"strict": True})


def solve(a: Value, b: Value) -> Value:
    a, b = _whole(a), _whole(b)
    if b.ndim != 1:
        return bind(_solve, (a, b), NO_STATIC)
    column = bind(_reshape, (b,), {"shape": (b.shape[0], 1)})
    solution = bind(_solve, (a, column), NO_STATIC)
    return bind(_reshape, (solution,), {"shape": solution.shape[:-1]})


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


def _truncates(rcond: Any, dtype: np.dtype[Any], rows: int, columns: int) -> bool:
    """Whether a cutoff drops singular values that are more than rounding."""
    precision = np.finfo(dtype).eps if dtype.kind in "fc" else np.finfo(np.float64).eps
    return bool(np.any(np.asarray(rcond) > 10 * max(rows, columns) * precision))


def pinv(a: Value, rcond: Any = None, hermitian: bool = False, *, rtol: Any = NO_VALUE) -> Value:
    a = as_array(a)
    if rcond is not None and rtol is not NO_VALUE:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    if a.ndim < 2:
        return np.linalg.pinv(np.zeros(a.shape, a.dtype))  # which raises NumPy's error
    rows, columns = a.shape[-2:]
    if rcond is None:
        if rtol is None:
            rcond = max(rows, columns) * np.finfo(a.dtype).eps
        else:
            rcond = 1e-15 if rtol is NO_VALUE else rtol
    # The rank is piecewise constant.
    cutoff = np.asarray(plain_value(rcond, "the cutoff of np.linalg.pinv"))
    static = {
        "hermitian": bool(hermitian),
        "truncates": _truncates(cutoff, a.dtype, rows, columns),
    }
    return bind(primitive("pinv"), (a, cutoff), static)


def lstsq(a: Value, b: Value, rcond: Any = None) -> tuple[Value, Value, Any, Value]:
    a, b = as_array(a), as_array(b)
    right = np.reshape(b, (-1, 1)) if b.ndim == 1 else b
    rcond = plain_value(rcond, "the cutoff of np.linalg.lstsq")
    # NumPy calls LAPACK in double precision.
    precision = np.finfo(np.float64)
    cutoff = float(precision.eps) * max(a.shape, default=1) if rcond is None else float(rcond)
    truncates = a.ndim == 2 and _truncates(cutoff, precision.dtype, *a.shape)
    static = {"rcond": cutoff, "truncates": truncates}
    x = bind(primitive("least_squares"), (a, right), static)
    values = np.linalg.svdvals(a)
    residuals: Any
    try:
        given = plain_value(a, "np.linalg.lstsq"), plain_value(right, "np.linalg.lstsq")
    except NeedsValueError:
        rank = np.sum(values > cutoff * values[:1]).astype(np.int32)
        wide = a.shape[0] <= a.shape[1]
        residuals = np.array([], value_type(values).dtype) if wide else _Residuals()
    else:
        _, residuals, rank, _ = np.linalg.lstsq(*given, rcond)
        if residuals.size:
            residuals = np.sum(_squared(right - a @ x), axis=0)
    return (np.reshape(x, (-1,)) if b.ndim == 1 else x), residuals, rank, values


class _Residuals:
    """Residuals of a system whose rank, and so their number, is not known: errors when used."""

    def _refuse(self, *_args: Any, **_settings: Any) -> NoReturn:
        raise NeedsValueError(
            "the residuals of np.linalg.lstsq are as many as the rank of the matrix says, of which"
            " only the shape and dtype are known while the function is compiled",
            instead="np.sum(np.abs(b - a @ x) ** 2, axis=0), from the solution",
        )

    __array__ = __array_function__ = __array_ufunc__ = _refuse
    __bool__ = __float__ = __int__ = __index__ = __len__ = __iter__ = __getitem__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _refuse
    __rtruediv__ = __pow__ = __rpow__ = __neg__ = __abs__ = __matmul__ = __rmatmul__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __getattr__ = _refuse
    __hash__ = None  # type: ignore[assignment]  # as an array's


def matrix_rank(
    A: Value,  # noqa: N803  # NumPy's name
    tol: Any = None,
    hermitian: bool = False,
    *,
    rtol: Any = None,
) -> Any:
    # The rank is piecewise constant.
    try:
        args = plain_arguments((A, tol, hermitian), "np.linalg.matrix_rank")
        return np.linalg.matrix_rank(*args, rtol=plain_arguments(rtol, "np.linalg.matrix_rank"))
    except NeedsValueError:
        x = as_array(A)
    if rtol is not None and tol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    if x.ndim < 2:
        return np.any(x != 0).astype(np.int64)
    values = np.abs(np.linalg.eigvalsh(x)) if hermitian else svdvals(x)
    if tol is None:
        if rtol is None:
            rtol = max(x.shape[-2:]) * np.finfo(values.dtype).eps
        else:
            rtol = np.expand_dims(rtol, -1)
        limit = np.max(values, axis=-1, keepdims=True, initial=0) * rtol
    else:
        limit = np.expand_dims(tol, -1)
    return np.sum(values > limit, axis=-1)


def matrix_power(a: Value, n: Any) -> Value:
    given, a = a, as_array(a)
    try:
        n = operator.index(n)
    except TypeError as error:
        raise TypeError("exponent must be an integer") from error
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")
    if n == 0:
        return np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape).copy()
    if n == 1:
        # As in NumPy no copy.
        return given if isinstance(given, Array) else a
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
    matrices = [as_array(each) for each in arrays]
    if len(matrices) < 2:
        raise ValueError("Expecting at least two arrays.")
    if len(matrices) == 2:
        return np.dot(*matrices)
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
    return bind(primitive("cholesky"), (_whole(a),), {"upper": bool(upper)})


def _reads_lower(uplo: str) -> bool:
    if uplo.upper() not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return uplo.upper() == "L"


def eigh(a: Value, UPLO: str = "L") -> Any:  # noqa: N803  # NumPy's name
    static = {"lower": _reads_lower(UPLO), "alone": False}
    return _named(np.linalg.eigh, bind(primitive("eigh"), (as_array(a),), static))


def eigvalsh(a: Value, UPLO: str = "L") -> Value:  # noqa: N803  # NumPy's name
    static = {"lower": _reads_lower(UPLO), "alone": True}
    return bind(primitive("eigh"), (as_array(a),), static)[0]


def eig(a: Value) -> Any:
    a = as_array(a)
    static = {"real": _real_eigenvalues(a), "alone": False}
    return _named(np.linalg.eig, bind(primitive("eig"), (a,), static))


def eigvals(a: Value) -> Value:
    a = as_array(a)
    return bind(primitive("eig"), (a,), {"real": _real_eigenvalues(a), "alone": True})[0]


def _real_eigenvalues(a: Value) -> bool:
    """Whether NumPy gives eigenvalues as real numbers, which it decides by their values."""
    if a.dtype.kind == "c" or a.dtype.char in "eg":
        return False  # Or NumPy's error for a precision that LAPACK lacks.
    try:
        plain = plain_value(a, "np.linalg.eig")
    except NeedsValueError as error:
        raise NeedsValueError(
            "np.linalg.eig of a real matrix gives real or complex numbers, by its values, of which"
            " only shapes and dtypes are known while the function is compiled",
            instead="np.linalg.eig(a + 0j), which is always complex; np.linalg.eigh(a) for a"
            " symmetric matrix",
        ) from error
    return bool(np.linalg.eigvals(plain).dtype.kind != "c")


def svd(
    a: Value, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    a = as_array(a)
    if hermitian:
        return _hermitian_svd(a) if compute_uv else _magnitudes(np.linalg.eigvalsh(a))[0]
    if not compute_uv:
        return bind(primitive("svd"), (a,), {"full": False, "alone": True})[1]
    full = bool(full_matrices) and a.ndim > 1 and a.shape[-1] != a.shape[-2]
    return _named(np.linalg.svd, bind(primitive("svd"), (a,), {"full": full, "alone": False}))


def _hermitian_svd(a: Value) -> Any:
    values, vectors = np.linalg.eigh(a)
    magnitudes, order = _magnitudes(values)
    signs = np.take_along_axis(np.where(np.signbit(values), -1, 1), order, axis=-1)
    left = np.take_along_axis(vectors, order[..., None, :], axis=-1)
    right = np.swapaxes(conjugate(left * signs[..., None, :].astype(values.dtype)), -1, -2)
    return _named(np.linalg.svd, (left, magnitudes, right))


def _magnitudes(values: Value) -> tuple[Value, Value]:
    """Sort by modulus, the largest first, and give the order."""
    magnitudes = np.abs(values)
    order = np.argsort(magnitudes)[..., ::-1]
    return np.take_along_axis(magnitudes, order, axis=-1), order


def svdvals(x: Value, /) -> Value:
    return svd(x, compute_uv=False)


def qr(a: Value, mode: str = "reduced") -> Any:
    a = as_array(a)
    if mode in ("f", "full"):
        warnings.warn(
            "The 'full' option is deprecated in favor of 'reduced'.\nFor backward compatibility"
            " let mode default.",
            DeprecationWarning,
            stacklevel=2,
        )
        mode = "reduced"
    if mode in ("raw", "e", "economic"):
        raise UnsupportedError(
            f"np.linalg.qr with mode={mode!r} is not differentiated: it gives the reflections that"
            " LAPACK works with",
            instead="np.linalg.qr(a), or with mode='r' or mode='complete'",
        )
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"Unrecognized mode '{mode}'")
    complete = mode == "complete" and a.ndim > 1 and a.shape[-2] > a.shape[-1]
    factors = bind(primitive("qr"), (a,), {"complete": complete})
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
        total = np.sum(np.abs(x), axis=summed)
        rest -= rest > summed
        result = np.max(total, axis=rest, initial=0) if order > 0 else np.min(total, axis=rest)
    elif order in (2, -2, "nuc"):
        # At a singular value of 0, a kink, the modulus has the average of the slopes.
        values = np.abs(svdvals(np.moveaxis(x, axes, (-2, -1))))
        if order == 2:
            result = np.max(values, axis=-1, initial=0)
        else:
            result = np.min(values, axis=-1) if order == -2 else np.sum(values, axis=-1)
    else:
        raise ValueError("Invalid norm order for matrices.")
    return np.expand_dims(result, tuple(sorted(axes))) if keepdims else result


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
    if x.ndim > 1 and 0 in x.shape[-2:]:
        raise np.linalg.LinAlgError("cond is not defined on empty arrays")
    if p in (None, 2, -2):
        values = svdvals(x)
        largest, smallest = values[..., 0], values[..., -1]
        with np.errstate(all="ignore"):
            result = smallest / largest if p == -2 else largest / smallest
    else:
        inverse = bind(primitive("inv"), (x,), {"strict": False})
        with np.errstate(all="ignore"):
            result = norm(x, p, (-2, -1)) * norm(inverse, p, (-2, -1))
    # A quotient of zeros stands for a matrix that has no inverse.
    singular = np.isnan(result) & ~np.any(np.isnan(x), axis=(-2, -1))
    return np.where(singular, result.dtype.type(np.inf), result)[()]


def _on_last_axes(function: Callable[..., Value]) -> Callable[..., Value]:
    """Make the function of ``np.linalg`` from NumPy's own, whose axes are the first two."""

    def of_matrices(x: Value, /, **settings: Any) -> Value:
        return function(x, axis1=-2, axis2=-1, **settings)

    return of_matrices


def matrix_transpose(x: Value, /) -> Value:
    return np.swapaxes(x, -1, -2)


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
    np.linalg.eig: eig,
    np.linalg.eigvals: eigvals,
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
