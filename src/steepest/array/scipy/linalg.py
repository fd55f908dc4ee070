"""The functions of ``scipy.linalg`` on Arrays.

They are those of ``np.linalg`` with SciPy's arguments, defaults and dtypes, and a few of which
NumPy has none. What permutes rows or counts a rank reads values, which have no derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.plain import is_known, plain_value
from steepest.errors import UnsupportedError
from steepest.ops import primitive
from steepest.ops.matrices import conjugate_transpose
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS"]

_HERMITIAN = ("sym", "symmetric", "her", "hermitian", "pos", "positive definite")


def _array(value: Value, check_finite: bool = True) -> Value:
    """Take an argument as SciPy does."""
    array = as_array(value)
    if check_finite and is_known(array):
        np.asarray_chkfinite(plain_value(array, "scipy.linalg"))
    return array


def _numbers(value: Value, check_finite: bool = True) -> Value:
    """Take an argument in a dtype that LAPACK has."""
    array = _array(value, check_finite)
    if array.dtype.char in "fdFD":
        return array
    half = array.dtype == np.float16
    return array.astype(np.float32 if half else "D" if array.dtype.kind == "c" else np.float64)


def _square(value: Value, check_finite: bool = True) -> Value:
    array = _numbers(value, check_finite)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise ValueError(f"expected a square matrix, but received the shape {array.shape}")
    return array


def _matrix(value: Value, name: str, check_finite: bool = True) -> Value:
    """Take an argument that may not be a stack of matrices."""
    array = _numbers(value, check_finite)
    if array.ndim > 2:
        raise UnsupportedError(
            f"scipy.linalg.{name} of stacks of matrices is not differentiated",
            instead="the function of each matrix, and np.stack; many functions of np.linalg take"
            " stacks",
        )
    return array


def _square_matrix(value: Value, name: str, check_finite: bool = True) -> Value:
    array = _matrix(value, name, check_finite)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"expected a square matrix, but received the shape {array.shape}")
    return array


def _completed(a: Value, lower: bool) -> Value:
    """Complete the triangle that is read to the Hermitian matrix that it stands for."""
    strict = np.tril(a, -1) if lower else np.triu(a, 1)
    diagonal = np.diagonal(a, axis1=-2, axis2=-1)
    real = np.real(diagonal).astype(a.dtype) if a.dtype.kind == "c" else diagonal
    return (
        strict + conjugate_transpose(strict) + real[..., None] * np.eye(a.shape[-1], dtype=a.dtype)
    )


def _refuse(asked: str, instead: str) -> UnsupportedError:
    return UnsupportedError(f"{asked} is not differentiated", instead=instead)


# Systems, inverses and determinants


def solve(
    a: Value,
    b: Value,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    assume_a: str | None = None,
    transposed: bool = False,
) -> Value:
    a, b = _square_matrix(a, "solve", check_finite), _matrix(b, "solve", check_finite)
    if assume_a in _HERMITIAN:
        if a.dtype.kind == "c" and assume_a in ("sym", "symmetric"):
            strict = np.tril(a, -1) if lower else np.triu(a, 1)
            a = (np.tril(a) if lower else np.triu(a)) + strict.mT
        else:
            a = _completed(a, lower)
    elif assume_a == "upper triangular":
        a = np.triu(a)
    elif assume_a == "lower triangular":
        a = np.tril(a)
    elif assume_a == "diagonal":
        a = np.diag(np.diagonal(a))
    elif assume_a == "tridiagonal":
        a = np.triu(np.tril(a, 1), -1)
    elif assume_a not in (None, "gen", "general", "banded"):
        raise ValueError(f"{assume_a} is not a recognized matrix structure")
    return np.linalg.solve(a.mT if transposed else a, b)


def solve_triangular(
    a: Value,
    b: Value,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Value:
    a = _square_matrix(a, "solve_triangular", check_finite)
    b = _matrix(b, "solve_triangular", check_finite)
    return _triangular(a, b, trans, lower, unit_diagonal)


def _triangular(a: Value, b: Value, trans: Any, lower: bool, unit: bool = False) -> Value:
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ValueError(f"trans={trans!r} is none of 0, 1, 2, 'N', 'T' and 'C'")
    if trans in (2, "C") and a.dtype.kind == "c":
        a = np.conj(a)
    if trans not in (0, "N"):
        a, lower = a.mT, not lower
    right = b[:, None] if b.ndim == 1 else b
    static = {"lower": bool(lower), "unit": bool(unit)}
    x = bind(primitive("solve_triangular"), (a, right), static)
    return x[:, 0] if b.ndim == 1 else x


def inv(
    a: Value,
    overwrite_a: bool = False,
    check_finite: bool = True,
    *,
    assume_a: str | None = None,
    lower: bool = False,
) -> Value:
    a = _square(a, check_finite)
    if assume_a not in (None, "gen", "general"):
        return solve(a, np.eye(len(a), dtype=a.dtype), lower=lower, assume_a=assume_a)
    return np.linalg.inv(a)


def det(a: Value, overwrite_a: bool = False, check_finite: bool = True) -> Value:
    a = _square(a, check_finite)
    # SciPy's is in double precision, of any matrix.
    return np.linalg.det(a.astype(np.result_type(a.dtype, np.float64)))


def lstsq(
    a: Value,
    b: Value,
    cond: float | None = None,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    lapack_driver: str | None = None,
) -> Any:
    a, b = _matrix(a, "lstsq", check_finite), _matrix(b, "lstsq", check_finite)
    if lapack_driver == "gelsy":
        raise _refuse("scipy.linalg.lstsq with lapack_driver='gelsy'", "lapack_driver='gelsd'")
    dtype = np.result_type(a.dtype, b.dtype)
    a, b = a.astype(dtype), b.astype(dtype)
    cutoff = np.finfo(dtype).eps if cond is None else cond
    x, residuals, rank, values = np.linalg.lstsq(a, b, cutoff)
    if not is_known(x):
        return x, residuals, rank, values
    if b.ndim == 1 and residuals.size:
        residuals = np.reshape(residuals, ()) if _takes_stacks() else residuals[0]
    return x, residuals, np.int64(rank) if _takes_stacks() else int(rank), values


def _takes_stacks() -> bool:
    """Whether SciPy is 1.18 or later, in which functions of one matrix have been written anew."""
    import scipy

    return np.lib.NumpyVersion(scipy.__version__) >= "1.18.0"


def pinv(
    a: Value,
    *,
    atol: float | None = None,
    rtol: float | None = None,
    return_rank: bool = False,
    check_finite: bool = True,
) -> Any:
    return _pseudo_inverse(_numbers(a, check_finite), atol, rtol, return_rank, hermitian=False)


def pinvh(
    a: Value,
    atol: float | None = None,
    rtol: float | None = None,
    lower: bool = True,
    return_rank: bool = False,
    check_finite: bool = True,
) -> Any:
    a = _completed(_square(a, check_finite), lower)
    return _pseudo_inverse(a, atol, rtol, return_rank, hermitian=True)


def _pseudo_inverse(
    a: Value, atol: float | None, rtol: float | None, return_rank: bool, *, hermitian: bool
) -> Any:
    relative = max(a.shape[-2:]) * np.finfo(a.dtype).eps if rtol is None else rtol
    if relative < 0 or (atol or 0) < 0:
        raise ValueError("atol and rtol values must be positive.")
    if not atol and not return_rank:
        return np.linalg.pinv(a, rtol=relative, hermitian=hermitian)
    values = np.linalg.svdvals(plain_value(a, "the rank of scipy.linalg.pinv"))
    largest = np.max(values, initial=0.0)
    limit = (atol or 0) + largest * relative
    inverse = np.linalg.pinv(a, rtol=limit / largest if largest else 0, hermitian=hermitian)
    return (inverse, np.sum(values > limit)) if return_rank else inverse


# Factorisations


def cholesky(
    a: Value, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Value:
    return np.linalg.cholesky(_square(a, check_finite), upper=not lower)


def cho_factor(
    a: Value, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Value, Any]:
    a = _square(a, check_finite)
    factor = np.linalg.cholesky(a, upper=not lower)
    if _takes_stacks():
        return factor, np.tile(lower, a.shape[:-2])
    # The other triangle is left as it is.
    return factor + (np.triu(a, 1) if lower else np.tril(a, -1)), lower


def cho_solve(
    c_and_lower: tuple[Value, Any], b: Value, overwrite_b: bool = False, check_finite: bool = True
) -> Value:
    c, lower = c_and_lower
    if np.any(lower) != np.all(lower):
        raise _refuse("scipy.linalg.cho_solve of lower and upper factors", "a call for each")
    lower = bool(np.all(lower))
    c = _square_matrix(c, "cho_solve", check_finite)
    b = _matrix(b, "cho_solve", check_finite)
    if b.shape[:1] != c.shape[:1]:
        raise ValueError(f"incompatible dimensions ({c.shape} and {b.shape})")
    half = _triangular(c, b, 0 if lower else 2, lower)
    return _triangular(c, half, 2 if lower else 0, lower)


def lu_factor(
    a: Value, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Value, Value]:
    from scipy.linalg import lapack

    a = _square_matrix(a, "lu_factor", check_finite)
    plain = plain_value(a, "the order of the pivots of scipy.linalg.lu_factor")
    _, pivots, _ = lapack.get_lapack_funcs(("getrf",), (plain,))[0](plain)
    return bind(primitive("lu"), (a[_order(pivots)],), {}), pivots


def _order(pivots: Value) -> Any:
    """Find which row goes where, of the exchanges of rows."""
    order = np.arange(len(pivots))
    for row, other in enumerate(pivots):
        order[[row, other]] = order[[other, row]]
    return order


def lu_solve(
    lu_and_piv: tuple[Value, Value],
    b: Value,
    trans: Any = 0,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Value:
    factors, pivots = lu_and_piv
    factors = _square_matrix(factors, "lu_solve", check_finite)
    b = _matrix(b, "lu_solve", check_finite)
    order = _order(plain_value(pivots, "scipy.linalg.lu_solve"))
    if trans == 0:
        return _triangular(factors, _triangular(factors, b[order], 0, True, True), 0, False)
    half = _triangular(factors, b, trans, False)
    return _triangular(factors, half, trans, True, True)[np.argsort(order)]


def lu(
    a: Value,
    permute_l: bool = False,
    overwrite_a: bool = False,
    check_finite: bool = True,
    p_indices: bool = False,
) -> Any:
    factors, pivots = lu_factor(a, check_finite=check_finite)
    size = len(pivots)
    lower = np.tril(factors, -1) + np.eye(size, dtype=factors.dtype)
    upper = np.triu(factors)
    places = np.argsort(_order(pivots))
    if permute_l:
        return lower[places], upper
    real = np.real(np.zeros((), factors.dtype)).dtype
    return (places if p_indices else np.eye(size, dtype=real)[places]), lower, upper


def qr(
    a: Value,
    overwrite_a: bool = False,
    lwork: int | None = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> Any:
    if mode not in ("full", "r", "economic", "raw"):
        raise ValueError("Mode argument should be one of ['full', 'r', 'economic', 'raw']")
    if mode == "raw":
        raise _refuse("scipy.linalg.qr with mode='raw'", "scipy.linalg.qr(a)")
    a = _numbers(a, check_finite)
    order: tuple[Any, ...] = ()
    if pivoting:
        from scipy.linalg import qr as original

        a = _matrix(a, "qr", check_finite)
        plain = plain_value(a, "the order of the columns of scipy.linalg.qr")
        order = original(plain, mode="r", pivoting=True)[-1:]
        a = a[:, order[0]]
    factors = np.linalg.qr(a, mode="reduced" if mode == "economic" else "complete")
    return (factors.R, *order) if mode == "r" else (*factors, *order)


def svd(
    a: Value,
    full_matrices: bool = True,
    compute_uv: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    a = _numbers(a, check_finite)
    if not compute_uv:
        return np.linalg.svdvals(a)
    return tuple(np.linalg.svd(a, full_matrices=full_matrices))


def svdvals(a: Value, overwrite_a: bool = False, check_finite: bool = True) -> Value:
    return np.linalg.svdvals(_numbers(a, check_finite))


def _rank(values: Value, shape: tuple[int, ...], rcond: float | None, name: str) -> int:
    plain = plain_value(values, f"the rank in scipy.linalg.{name}")
    relative = np.finfo(plain.dtype).eps * max(shape) if rcond is None else rcond
    return int(np.sum(plain > np.max(plain, initial=0.0) * relative))


def orth(A: Value, rcond: float | None = None) -> Value:  # noqa: N803  # SciPy's name
    a = _matrix(A, "orth")
    vectors, values, _ = np.linalg.svd(a, full_matrices=False)
    return vectors[:, : _rank(values, a.shape, rcond, "orth")]


def null_space(
    A: Value,  # noqa: N803  # SciPy's name
    rcond: float | None = None,
    *,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Value:
    a = _matrix(A, "null_space", check_finite)
    _, values, vectors = np.linalg.svd(a, full_matrices=True)
    return conjugate_transpose(vectors[_rank(values, a.shape, rcond, "null_space") :])


def polar(a: Value, side: str = "right") -> tuple[Value, Value]:
    if side not in ("right", "left"):
        raise ValueError("`side` must be either 'right' or 'left'")
    left, values, right = np.linalg.svd(_matrix(a, "polar"), full_matrices=False)
    if side == "right":
        return left @ right, conjugate_transpose(right) * values @ right
    return left @ right, left * values @ conjugate_transpose(left)


# Eigenvalues


def eigh(
    a: Value,
    b: Value | None = None,
    *,
    lower: bool = True,
    eigvals_only: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    type: int = 1,  # noqa: A002  # SciPy's name
    check_finite: bool = True,
    subset_by_index: Any = None,
    subset_by_value: Any = None,
    driver: str | None = None,
) -> Any:
    if subset_by_index is not None or subset_by_value is not None:
        raise _refuse(
            "scipy.linalg.eigh of a subset", "w, v = scipy.linalg.eigh(a) and w[i:j], v[:, i:j]"
        )
    a = _square(a, check_finite)
    if b is not None:
        return _generalized_eigh(a, _square(b, check_finite), lower, eigvals_only, type)
    if eigvals_only:
        return np.linalg.eigvalsh(a, "L" if lower else "U")
    values, vectors = np.linalg.eigh(a, "L" if lower else "U")
    return values, _with_signs_of_scipy(a, vectors, lower, driver)


def _with_signs_of_scipy(a: Value, vectors: Value, lower: bool, driver: str | None) -> Value:
    """Turn eigenvectors to where SciPy's point, whose method chooses one of the two by rounding."""
    from scipy.linalg import eigh as original

    if not is_known(a) or not a.size:
        return vectors
    plain, ours = (plain_value(each, "scipy.linalg.eigh") for each in (a, vectors))
    signs = np.empty(plain.shape[:-1], np.real(ours).dtype)
    for index in np.ndindex(plain.shape[:-2]):
        theirs = original(plain[index], lower=lower, driver=driver, check_finite=False)[1]
        along = np.real(np.sum(np.conj(ours[index]) * theirs, axis=0))
        signs[index] = np.where(along < 0, -1, 1)
    return vectors if np.all(signs > 0) else vectors * signs[..., None, :]


def _generalized_eigh(a: Value, b: Value, lower: bool, eigvals_only: bool, kind: int) -> Any:
    if kind != 1:
        raise _refuse(f"scipy.linalg.eigh with type={kind}", "type=1, of the product of matrices")
    if a.ndim > 2:
        raise _refuse("scipy.linalg.eigh of stacks with b=", "the function of each, and np.stack")
    a = _completed(a, lower)
    factor = np.linalg.cholesky(b, upper=not lower)
    factor = factor if lower else conjugate_transpose(factor)
    half = _triangular(factor, a, 0, True)
    core = conjugate_transpose(_triangular(factor, conjugate_transpose(half), 0, True))
    if eigvals_only:
        return np.linalg.eigvalsh(core, "L" if lower else "U")
    values, vectors = np.linalg.eigh(core, "L" if lower else "U")
    return values, _triangular(factor, vectors, 2, True)


def eigvalsh(a: Value, b: Value | None = None, *, lower: bool = True, **settings: Any) -> Value:
    return eigh(a, b, lower=lower, eigvals_only=True, **settings)


def eig(
    a: Value,
    b: Value | None = None,
    left: bool = False,
    right: bool = True,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    homogeneous_eigvals: bool = False,
) -> Any:
    if b is not None or left or homogeneous_eigvals:
        raise _refuse(
            "scipy.linalg.eig with b=, left= or homogeneous_eigvals=",
            "scipy.linalg.eig(np.linalg.solve(b, a)); scipy.linalg.eig(a.conj().T) for left ones",
        )
    if not right:
        return eigvals(a, check_finite=check_finite)
    values, vectors = np.linalg.eig(_square(a, check_finite))
    return values.astype(np.result_type(values.dtype, np.complex64)), vectors


def eigvals(
    a: Value,
    b: Value | None = None,
    overwrite_a: bool = False,
    check_finite: bool = True,
    homogeneous_eigvals: bool = False,
) -> Value:
    if b is not None or homogeneous_eigvals:
        raise _refuse("scipy.linalg.eigvals with b=", "scipy.linalg.eigvals(np.linalg.solve(b, a))")
    a = _square(a, check_finite)
    return bind(primitive("eig"), (a,), {"real": False, "alone": True})[0]


# Norms


def norm(
    a: Value,
    ord: Any = None,  # noqa: A002  # SciPy's name
    axis: Any = None,
    keepdims: bool = False,
    check_finite: bool = True,
) -> Value:
    a = _array(a, check_finite)
    if a.ndim == 1 and ord in (None, 2) and axis is None and is_known(a) and a.dtype.kind in "fc":
        # SciPy's neither overflows nor underflows; a power of two scales without rounding.
        largest = np.max(np.abs(plain_value(a, "scipy.linalg.norm")), initial=0)
        limits = np.finfo(a.dtype)
        if (
            0 < largest < np.inf
            and not np.sqrt(limits.tiny) / limits.eps < largest < np.sqrt(limits.max) / a.size
        ):
            factor = np.exp2(np.floor(np.log2(largest))).astype(largest.dtype)
            return factor * np.linalg.norm(a / factor, ord, axis, keepdims)
    return np.linalg.norm(a, ord, axis, keepdims)


# Functions and equations of matrices


def _of_function(value: Value, check_finite: bool = True) -> Value:
    """Take the argument of a function of matrices; one number is a matrix too."""
    a = as_array(value)
    if a.ndim < 2 and a.size == 1:
        a = np.reshape(a, (1, 1))
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(f"expected a square matrix, but received the shape {a.shape}")
    return _square(a, check_finite)


def expm(A: Value) -> Value:  # noqa: N803  # SciPy's name
    return bind(primitive("expm"), (_of_function(A, check_finite=False),), {})


def sqrtm(A: Value, **_ignored: Any) -> Value:  # noqa: N803  # SciPy's name
    from scipy.linalg import sqrtm as original

    a = _of_function(A)
    return bind(primitive("sqrtm"), (a,), {"real": _is_real(original, a, "sqrtm")})


def logm(A: Value, disp: Any = True, **_ignored: Any) -> Value:  # noqa: N803  # SciPy's name
    from scipy.linalg import logm as original

    if not disp:
        raise _refuse("scipy.linalg.logm with disp=False", "scipy.linalg.logm(a)")
    a = _of_function(A)
    a = a.astype(np.result_type(a.dtype, np.float64))
    return bind(primitive("logm"), (a,), {"real": _is_real(original, a, "logm")})


def _is_real(function: Callable[..., Any], a: Value, name: str) -> bool:
    """Whether SciPy gives real numbers, which it decides by values."""
    if a.dtype.kind == "c":
        return False
    plain = plain_value(a, f"scipy.linalg.{name}, whose result is real or complex by its values,")
    matrices = plain.reshape(-1, *plain.shape[-2:])
    return all(function(each).dtype.kind == "f" for each in matrices)


def solve_sylvester(a: Value, b: Value, q: Value) -> Value:
    a, b, q = (_matrix(each, "solve_sylvester") for each in (a, b, q))
    return bind(primitive("solve_sylvester"), (a, b, q), {})


def solve_continuous_lyapunov(a: Value, q: Value) -> Value:
    a, q = (_square_matrix(each, "solve_continuous_lyapunov") for each in (a, q))
    return bind(primitive("solve_sylvester"), (a, conjugate_transpose(a), q), {})


# Matrices that are built


def block_diag(*arrs: Value) -> Value:
    matrices = [np.atleast_2d(as_array(each)) for each in arrs]
    if any(each.ndim > 2 for each in matrices):
        raise _refuse("scipy.linalg.block_diag of stacks", "np.concatenate with np.zeros")
    dtype = np.result_type(*(each.dtype for each in matrices))
    width = sum(each.shape[1] for each in matrices)
    rows, start = [], 0
    for each in matrices:
        height, columns = each.shape
        left = np.zeros((height, start), dtype)
        right = np.zeros((height, width - start - columns), dtype)
        rows.append(np.concatenate([left, each, right], axis=1))
        start += columns
    return np.concatenate(rows)


def _entries(value: Value, name: str) -> Value:
    array = np.atleast_1d(as_array(value))
    if array.ndim > 1:
        raise _refuse(f"scipy.linalg.{name} of more than one axis", f"{name}(np.ravel(c))")
    return array


def toeplitz(c: Value, r: Value | None = None) -> Value:
    c = _entries(c, "toeplitz")
    r = np.conj(c) if r is None else _entries(r, "toeplitz")
    entries = np.concatenate([c[::-1], r[1:]])
    return entries[np.subtract.outer(np.arange(len(c))[::-1], -np.arange(len(r)))]


def hankel(c: Value, r: Value | None = None) -> Value:
    c = _entries(c, "hankel")
    r = np.zeros_like(c) if r is None else _entries(r, "hankel")
    entries = np.concatenate([c, r[1:]])
    return entries[np.add.outer(np.arange(len(c)), np.arange(len(r)))]


def circulant(c: Value) -> Value:
    c = _entries(c, "circulant")
    places = np.arange(len(c))
    return c[np.subtract.outer(places, places) % len(c)]


def khatri_rao(a: Value, b: Value) -> Value:
    a, b = _array(a), _array(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"expected matrices of as many columns: {a.shape} and {b.shape}")
    return np.reshape(a[:, None] * b[None], (-1, a.shape[1]))


def solve_toeplitz(c_or_cr: Any, b: Value, check_finite: bool = True) -> Value:
    c, r = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr, None)
    matrix = toeplitz(_array(c, check_finite), None if r is None else _array(r, check_finite))
    return np.linalg.solve(matrix, _matrix(b, "solve_toeplitz", check_finite))


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.linalg": {
        function.__name__: function
        for function in (
            block_diag,
            cho_factor,
            cho_solve,
            cholesky,
            circulant,
            det,
            eig,
            eigh,
            eigvals,
            eigvalsh,
            expm,
            hankel,
            inv,
            khatri_rao,
            logm,
            lstsq,
            lu,
            lu_factor,
            lu_solve,
            norm,
            null_space,
            orth,
            pinv,
            pinvh,
            polar,
            qr,
            solve,
            solve_continuous_lyapunov,
            solve_sylvester,
            solve_toeplitz,
            solve_triangular,
            sqrtm,
            svd,
            svdvals,
            toeplitz,
        )
    }
    | {"kron": np.kron}
}
"""By module and name; a name that SciPy does not have is not looked for."""
