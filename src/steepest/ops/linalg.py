"""Linear algebra beyond products: factorisations, systems, determinants.

All primitives take stacks of matrices. The rules follow M. Giles, "Collected matrix derivative
results for forward and reverse mode algorithmic differentiation" (2008), and, for the
factorisations, I. Murray, "Differentiation of the Cholesky decomposition" (arXiv:1602.07527),
and M. Seeger et al., "Auto-differentiating linear algebra" (arXiv:1710.08717).

What LAPACK does not read has derivative 0: the gradient of ``cholesky`` and ``eigh`` is a
triangle, as their values are those of the triangle that they read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from steepest.errors import UnsupportedError
from steepest.graph import ArrayType, type_of
from steepest.ops.contract import zero_safe_matmul
from steepest.ops.spec import Primitive, Sample, Value, scale

__all__ = ["PRIMITIVES"]


def _dtype(*types: ArrayType) -> np.dtype[Any]:
    """Find the dtype of LAPACK's results: single precision where all arguments have it."""
    for each in types:
        if each.dtype == np.float16 or each.dtype.char in "gG":
            raise TypeError(f"array type {each.dtype.name} is unsupported in linalg")
    return np.result_type(
        *(each.dtype if each.dtype.kind in "fc" else np.float64 for each in types)
    )


def _real(name: str, evaluate: Callable[..., Value]) -> Callable[..., Value]:
    """Make one of NumPy's functions refuse complex matrices."""

    def real(*args: Value, **static: Any) -> Value:
        for each in args:
            _refuse_complex(name, each.dtype)
        return evaluate(*args, **static)

    return real


def _refuse_complex(name: str, dtype: np.dtype[Any]) -> None:
    if dtype.kind == "c":
        raise UnsupportedError(
            f"np.linalg.{name} of a complex matrix is not differentiated",
            instead="the real matrix [[A, -B], [B, A]] in place of A + iB, by np.block",
        )


def _real_dtype(name: str, *types: ArrayType) -> np.dtype[Any]:
    for each in types:
        _refuse_complex(name, each.dtype)
    return _dtype(*types)


def _matrices(x: ArrayType) -> tuple[tuple[int, ...], int, int]:
    if x.ndim < 2:
        raise np.linalg.LinAlgError(
            f"{x.ndim}-dimensional array given. Array must be at least two-dimensional"
        )
    return x.shape[:-2], x.shape[-2], x.shape[-1]


def _square(x: ArrayType) -> tuple[int, ...]:
    batch, rows, columns = _matrices(x)
    if rows != columns:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")
    return batch


def _square_type(x: ArrayType, **_static: Any) -> ArrayType:
    _square(x)
    return ArrayType(x.shape, _dtype(x))


def _real_square_type(name: str, x: ArrayType) -> ArrayType:
    _square(x)
    return ArrayType(x.shape, _real_dtype(name, x))


def _as_matrix(x: Value) -> Value:
    """Give a number for each matrix the axes of the matrix."""
    return np.reshape(x, (*np.shape(x), 1, 1))


def _as_column(x: Value) -> Value:
    return np.reshape(x, (*np.shape(x), 1))


def _as_row(x: Value) -> Value:
    shape = np.shape(x)
    return np.reshape(x, (*shape[:-1], 1, shape[-1]))


def _product(*factors: Value) -> Value:
    product = factors[0]
    for each in factors[1:]:
        product = zero_safe_matmul(product, each)
    return product


def _identity(like: Value) -> Value:
    """Make the identity matrix of the size and dtype of a square matrix."""
    return np.eye(like.shape[-1], dtype=like.dtype)


def _half_diagonal(like: Value) -> Value:
    """Make the lower triangle of ones, with halves on the diagonal."""
    identity = _identity(like)
    return np.tril(np.ones_like(identity)) - 0.5 * identity


def _triangle(x: Value, lower: bool) -> Value:
    """Pull back to the triangle that was read, from the whole symmetric matrix."""
    mask = _half_diagonal(x)
    return (x + x.mT) * (mask if lower else mask.T)


def _well_conditioned(
    rng: np.random.Generator, shape: tuple[int, ...], symmetric: bool = False
) -> Value:
    """Make matrices with singular values apart from each other and from 0."""
    n = shape[-1]
    x = 0.3 * rng.uniform(-1, 1, shape) + np.diag(np.arange(1.0, n + 1))
    return x + x.mT if symmetric else x


SQUARE_SHAPES: Sequence[tuple[int, ...]] = ((2, 2), (3, 3), (2, 3, 3), (1, 1), (0, 2, 2))


def _square_samples(**static: Any) -> Callable[[np.random.Generator], Iterator[Sample]]:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for shape in SQUARE_SHAPES:
            yield Sample((_well_conditioned(rng, shape),), static)

    return samples


def _symmetric_samples(
    name: str, settings: Sequence[Any]
) -> Callable[[np.random.Generator], Iterator[Sample]]:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for setting in settings:
            for shape in SQUARE_SHAPES:
                yield Sample((_well_conditioned(rng, shape, symmetric=True),), {name: setting})

    return samples


def _tall_samples(**static: Any) -> Callable[[np.random.Generator], Iterator[Sample]]:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for rows, columns in [(2, 2), (3, 2), (1, 1)]:
            x = rng.uniform(-1, 1, (2, rows, columns))
            x[..., :columns, :] = _well_conditioned(rng, (2, columns, columns))
            yield Sample((x[0],), static)
            yield Sample((x,), static)

    return samples


def _any_samples(**static: Any) -> Callable[[np.random.Generator], Iterator[Sample]]:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        yield from _tall_samples(**static)(rng)
        yield Sample((_well_conditioned(rng, (3, 3))[:2],), static)

    return samples


# Determinants and inverses


def _decomposed(x: Value) -> tuple[Value, Value, Value, Value, Value]:
    """Decompose for cofactors: ``conj(U), s, conj(V), det(U V)`` of ``x = U S V``.

    The last value says which matrices are finite; others are replaced by zeros.
    """
    finite = np.isfinite(x).all(axis=(-2, -1), keepdims=True)
    left, values, right = np.linalg.svd(np.where(finite, x, 0), full_matrices=False)
    sign = np.linalg.det(left) * np.linalg.det(right)
    return np.conj(left), values, np.conj(right), _as_matrix(sign), finite


def _evaluate_cofactor(x: Value) -> Value:
    result = _cofactor_by_inverse(x)
    return _cofactor_by_singular_values(x) if result is None else result


def _cofactor_by_inverse(x: Value) -> Value:
    """Take the short way where it loses two fifths of the digits at most; None elsewhere."""
    with np.errstate(all="ignore"):
        determinant = np.abs(np.linalg.det(x))
        limits = np.finfo(determinant.dtype)
        if not np.all((determinant > limits.tiny) & (determinant < limits.max)):
            return None
        try:
            inverse = np.linalg.inv(x)
        except np.linalg.LinAlgError:
            return None
        condition = np.linalg.norm(x, 1, (-2, -1)) * np.linalg.norm(inverse, 1, (-2, -1))
        if not np.all(condition < limits.eps**-0.4):
            return None
        return _as_matrix(np.linalg.det(x)) * inverse.mT


def _cofactor_by_singular_values(x: Value) -> Value:
    left, values, right, sign, finite = _decomposed(x)
    others = np.where(np.eye(values.shape[-1], dtype=bool), 1, _as_row(values))
    result = sign * (left * _as_row(np.prod(others, axis=-1))) @ right
    return np.where(finite, result, np.nan).astype(result.dtype)


cofactor = Primitive(
    "cofactor",
    _evaluate_cofactor,
    infer=_square_type,
    # The matrix of second derivatives of the determinant is symmetric.
    vjps=(lambda g, x: cofactor_derivative(x, g),),
    jvp=(lambda t, x: cofactor_derivative(x, t),),
    samples=_square_samples(),
)
"""The matrix of cofactors, which is the gradient of the determinant.

It is finite for every matrix, and ``det(x) · inv(x).T`` only for one that has an inverse. With
the singular value decomposition ``x = U S V`` it is ``det(U V) · conj(U) P conj(V)``, where P is
diagonal with the products of all singular values but one (G. W. Stewart, "On the adjugate
matrix", Linear Algebra and its Applications 283, 1998).
"""


def _evaluate_cofactor_derivative(x: Value, h: Value) -> Value:
    dtype = _dtype(type_of(x), type_of(h))
    left, values, right, sign, finite = _decomposed(x)
    apart = ~np.eye(values.shape[-1], dtype=bool)
    # For i ≠ j the product of all singular values but these two.
    others = np.where(apart[:, None, :] & apart[None, :, :], values[..., None, None, :], 1)
    products = np.prod(others, axis=-1) * apart
    turned = left.mT @ h @ right.mT
    # Cofactor (i, i) of a diagonal matrix changes with the other diagonal entries, and cofactor
    # (i, j) with entry (j, i) alone.
    diagonal = products @ _as_column(np.diagonal(turned, axis1=-2, axis2=-1))
    change = np.where(apart, -products * turned.mT, diagonal)
    result = sign * left @ change @ right
    return np.where(finite, result, np.nan).astype(dtype)


def _third_derivative(g: Value, x: Value, h: Value) -> Value:
    """Differentiate ``sum(g * cofactor_derivative(x, h))``, for x that has an inverse."""
    inverse = inv(x, strict=True).mT
    along_g, along_h = (_product(inverse, each.mT, inverse) for each in (g, h))
    trace_g, trace_h = (_as_matrix(np.sum(inverse * each, axis=(-2, -1))) for each in (g, h))
    both = _as_matrix(np.sum(h * along_g, axis=(-2, -1)))
    return _as_matrix(det(x)) * (
        (trace_g * trace_h - both) * inverse
        - trace_g * along_h
        - trace_h * along_g
        + _product(along_h, g.mT, inverse)
        + _product(along_g, h.mT, inverse)
    )


def _pair_type(x: ArrayType, h: ArrayType) -> ArrayType:
    dtype = _dtype(x, h)
    return ArrayType((*np.broadcast_shapes(_square(x), _square(h)), *x.shape[-2:]), dtype)


def _pair_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in SQUARE_SHAPES:
        yield Sample((_well_conditioned(rng, shape), rng.uniform(-1, 1, shape)))


cofactor_derivative: Primitive = Primitive(
    "cofactor_derivative",
    _evaluate_cofactor_derivative,
    infer=_pair_type,
    arguments="x h",
    vjps=(_third_derivative, lambda g, x: cofactor_derivative(x, g)),
    jvp=(
        lambda t, x, h: _third_derivative(t, x, h),
        lambda t, x: cofactor_derivative(x, t),
    ),
    broadcasts=True,
    samples=_pair_samples,
)
"""The derivative of the matrix of cofactors of x along h: linear in h, finite for every x."""


det = Primitive(
    "det",
    np.linalg.det,
    infer=lambda x: ArrayType(_square(x), _dtype(x)),
    vjps=(lambda g, x: scale(_as_matrix(g), cofactor(x)),),
    jvp=(lambda t, x: np.sum(scale(t, cofactor(x)), axis=(-2, -1)),),
    samples=_square_samples(),
)


def _evaluate_inv(x: Value, strict: bool) -> Value:
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError:
        if strict:
            raise
        with np.errstate(all="ignore"):
            return _evaluate_cofactor(x).mT / _as_matrix(np.linalg.det(x))


inv = Primitive(
    "inv",
    _evaluate_inv,
    infer=_square_type,
    vjps=(lambda g, ans: -_product(ans.mT, g, ans.mT),),
    jvp=(lambda t, ans: -_product(ans, t, ans),),
    samples=_square_samples(strict=True),
)
"""The inverse; that of a singular matrix is an error, or, unless ``strict``, not finite."""


def _slogdet_type(x: ArrayType) -> tuple[ArrayType, ArrayType]:
    kind = ArrayType(_square(x), _real_dtype("slogdet", x))
    return kind, kind


slogdet = Primitive(
    "slogdet",
    _real("slogdet", np.linalg.slogdet),
    infer=_slogdet_type,
    # The sign is piecewise constant.
    vjps=(lambda g, x: scale(_as_matrix(g[1]), inv(x, strict=False).mT),),
    outputs=2,
    samples=_square_samples(),
)


# Linear systems


def _solve_type(a: ArrayType, b: ArrayType) -> ArrayType:
    dtype = _dtype(a, b)
    batch = _square(a)
    other, rows, columns = _matrices(b)
    if rows != a.shape[-1]:
        raise ValueError(f"solve: a matrix of {a.shape} and right-hand sides of {b.shape}")
    return ArrayType((*np.broadcast_shapes(batch, other), rows, columns), dtype)


def _solve_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for a, b in [
        ((2, 2), (2, 1)),
        ((3, 3), (3, 2)),
        ((2, 2, 2), (2, 3)),
        ((2, 2), (2, 2, 1)),
        ((1, 1), (1, 1)),
    ]:
        yield Sample((_well_conditioned(rng, a), rng.uniform(-1, 1, b)))


solve: Primitive = Primitive(
    "solve",
    np.linalg.solve,
    infer=_solve_type,
    arguments="a b",
    vjps=(
        lambda g, a, ans: -zero_safe_matmul(solve(a.mT, g), ans.mT),
        lambda g, a: solve(a.mT, g),
    ),
    jvp=(
        lambda t, a, ans: -solve(a, zero_safe_matmul(t, ans)),
        lambda t, a: solve(a, t),
    ),
    broadcasts=True,
    samples=_solve_samples,
)
"""The solution of ``a @ x = b`` for a matrix of right-hand sides."""


def _pinv_type(a: ArrayType, rcond: float) -> ArrayType:
    batch, rows, columns = _matrices(a)
    return ArrayType((*batch, columns, rows), _real_dtype("pinv", a))


def _pinv_cotangent(g: Value, a: Value, inverse: Value) -> Value:
    """Of a, for matrices of constant rank (G. H. Golub and V. Pereyra, 1973, theorem 4.3)."""
    turned = g.mT
    outside_range = turned - _product(a, inverse, turned)
    outside_rows = turned - _product(turned, inverse, a)
    return (
        _product(outside_range, inverse, inverse.mT)
        + _product(inverse.mT, inverse, outside_rows)
        - _product(inverse.mT, g, inverse.mT)
    )


pinv = Primitive(
    "pinv",
    _real("pinv", lambda a, rcond: np.linalg.pinv(a, rcond=rcond)),
    infer=_pinv_type,
    arguments="a",
    vjps=(lambda g, a, ans: _pinv_cotangent(g, a, ans),),
    samples=_any_samples(rcond=1e-15),
)


def _least_squares_type(a: ArrayType, b: ArrayType, rcond: float) -> ArrayType:
    return ArrayType((a.shape[1], b.shape[1]), _real_dtype("lstsq", a, b))


def _least_squares_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, columns in [((3, 2), 1), ((2, 2), 2), ((2, 3), 1)]:
        yield Sample(
            (
                _well_conditioned(rng, (3, 3))[: shape[0], : shape[1]],
                rng.uniform(-1, 1, (shape[0], columns)),
            ),
            {"rcond": 1e-15},
        )


least_squares = Primitive(
    "least_squares",
    _real("lstsq", lambda a, b, rcond: np.linalg.lstsq(a, b, rcond)[0]),
    infer=_least_squares_type,
    arguments="a b",
    vjps=(
        lambda g, a, b, rcond: _pinv_cotangent(zero_safe_matmul(g, b.mT), a, pinv(a, rcond=rcond)),
        lambda g, a, rcond: zero_safe_matmul(pinv(a, rcond=rcond).mT, g),
    ),
    samples=_least_squares_samples,
)
"""The x of least norm that minimises ``norm(a @ x - b)``, for a matrix of right-hand sides."""


# Factorisations


def _cholesky_vjp(g: Value, ans: Value, upper: bool) -> Value:
    factor, g = (ans.mT, g.mT) if upper else (ans, g)
    turned = zero_safe_matmul(factor.mT, g) * _half_diagonal(factor)
    half = solve(factor.mT, turned)
    return _triangle(solve(factor.mT, half.mT), lower=not upper)


cholesky = Primitive(
    "cholesky",
    _real("cholesky", lambda x, upper: np.linalg.cholesky(x, upper=upper)),
    infer=lambda x, upper: _real_square_type("cholesky", x),
    vjps=(_cholesky_vjp,),
    samples=_symmetric_samples("upper", [False, True]),
)


def _eigh_type(x: ArrayType, lower: bool) -> tuple[ArrayType, ArrayType]:
    vectors = _real_square_type("eigh", x)
    return ArrayType(x.shape[:-1], vectors.dtype), vectors


def _inverse_differences(values: Value) -> Value:
    """``1 / (values[j] - values[i])``, and anything on the diagonal."""
    differences = _as_row(values) - _as_column(values)
    return 1 / (differences + _identity(differences))


def _antisymmetric(x: Value) -> Value:
    return x - x.mT


def _eigh_vjp(g: Sequence[Value], ans: Sequence[Value], lower: bool) -> Value:
    values, vectors = ans
    # Where a loss does not depend on the basis of an eigenspace, this is 0 within it.
    rotation = 0.5 * _antisymmetric(zero_safe_matmul(vectors.mT, g[1]))
    core = scale(rotation, _inverse_differences(values))
    core = core + _as_column(g[0]) * _identity(core)
    return _triangle(_product(vectors, core, vectors.mT), lower)


eigh = Primitive(
    "eigh",
    _real("eigh", lambda x, lower: np.linalg.eigh(x, UPLO="L" if lower else "U")),
    infer=_eigh_type,
    vjps=(_eigh_vjp,),
    outputs=2,
    samples=_symmetric_samples("lower", [True, False]),
)


def _eigvalsh_vjp(g: Value, x: Value, lower: bool) -> Value:
    _, vectors = eigh(x, lower=lower)
    return _triangle(zero_safe_matmul(vectors * _as_row(g), vectors.mT), lower)


eigvalsh = Primitive(
    "eigvalsh",
    _real("eigvalsh", lambda x, lower: np.linalg.eigvalsh(x, UPLO="L" if lower else "U")),
    infer=lambda x, lower: _eigh_type(x, lower)[0],
    vjps=(_eigvalsh_vjp,),
    samples=_symmetric_samples("lower", [True, False]),
)


def _svd_type(x: ArrayType) -> tuple[ArrayType, ArrayType, ArrayType]:
    batch, rows, columns = _matrices(x)
    rank, dtype = min(rows, columns), _real_dtype("svd", x)
    return (
        ArrayType((*batch, rows, rank), dtype),
        ArrayType((*batch, rank), dtype),
        ArrayType((*batch, rank, columns), dtype),
    )


def _svd_vjp(g: Sequence[Value], ans: Sequence[Value]) -> Value:
    left, values, right = ans
    g_left, g_values, g_right = g
    rank = values.shape[-1]
    differences = _inverse_differences(values * values)
    turned_left = zero_safe_matmul(left.mT, g_left)
    turned_right = zero_safe_matmul(right, g_right.mT)
    core = _as_column(g_values) * _identity(differences)
    core = core + scale(_antisymmetric(turned_left), differences) * _as_row(values)
    core = core + scale(_antisymmetric(turned_right), differences) * _as_column(values)
    result = _product(left, core, right)
    if left.shape[-2] > rank:
        outside = g_left - zero_safe_matmul(left, turned_left)
        result = result + zero_safe_matmul(scale(outside, 1 / _as_row(values)), right)
    if right.shape[-1] > rank:
        outside = g_right - zero_safe_matmul(turned_right.mT, right)
        result = result + zero_safe_matmul(left, scale(outside, 1 / _as_column(values)))
    return result


svd = Primitive(
    "svd",
    _real("svd", lambda x: np.linalg.svd(x, full_matrices=False)),
    infer=_svd_type,
    vjps=(_svd_vjp,),
    outputs=3,
    samples=_any_samples(),
)
"""The singular value decomposition, with as many vectors as values."""


def _singular_values_vjp(g: Value, x: Value) -> Value:
    left, _, right = svd(x)
    return zero_safe_matmul(left * _as_row(g), right)


singular_values = Primitive(
    "singular_values",
    _real("svd", lambda x: np.linalg.svd(x, compute_uv=False)),
    infer=lambda x: _svd_type(x)[1],
    vjps=(_singular_values_vjp,),
    samples=_any_samples(),
)


def _qr_type(x: ArrayType) -> tuple[ArrayType, ArrayType]:
    batch, rows, columns = _matrices(x)
    dtype = _real_dtype("qr", x)
    return ArrayType((*batch, rows, columns), dtype), ArrayType((*batch, columns, columns), dtype)


def _qr_vjp(g: Sequence[Value], ans: Sequence[Value]) -> Value:
    orthogonal, triangular = ans
    g_orthogonal, g_triangular = g
    turned = zero_safe_matmul(triangular, g_triangular.mT) - zero_safe_matmul(
        g_orthogonal.mT, orthogonal
    )
    lower = turned * _half_diagonal(triangular)
    cotangent = g_orthogonal + zero_safe_matmul(orthogonal, lower + lower.mT)
    return zero_safe_matmul(cotangent, inv(triangular, strict=False).mT)


qr = Primitive(
    "qr",
    _real("qr", np.linalg.qr),
    infer=_qr_type,
    vjps=(_qr_vjp,),
    outputs=2,
    samples=_tall_samples(),
)
"""The factorisation of matrices that are not wider than high."""


PRIMITIVES = (
    det,
    cofactor,
    cofactor_derivative,
    inv,
    slogdet,
    solve,
    pinv,
    least_squares,
    cholesky,
    eigh,
    eigvalsh,
    svd,
    singular_values,
    qr,
)
