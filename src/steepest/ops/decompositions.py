"""Factorisations of stacks of matrices: Cholesky, QR, eigenvalues, singular values.

The rules follow M. Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation" (2008), and, beyond it:

- I. Murray, "Differentiation of the Cholesky decomposition" (arXiv:1602.07527);
- S. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions with
  application in optimum experimental design" (arXiv:1001.1654), and D. Roberts and L. Roberts,
  "QR and LQ decomposition matrix backpropagation algorithms for square, wide, and deep, real or
  complex, matrices and their software implementation" (arXiv:2009.10071);
- J. Townsend, "Differentiating the singular value decomposition" (2016), and Z.-Q. Wan and S.-X.
  Zhang, "Automatic differentiation for complex valued SVD" (arXiv:1909.02659);
- C. Boeddeker et al., "On the computation of complex-valued gradients with application to
  statistically optimum beamforming" (arXiv:1701.00392), for eigenvectors of any matrix.

What LAPACK does not read has derivative 0: the gradient of ``cholesky`` and ``eigh`` is a
triangle, as their values are those of the triangle that they read.

**Phases.** Eigenvectors and singular vectors are unique up to a factor of modulus 1. LAPACK makes
a certain component real: the first or last one of ``eigh``, by the triangle; the largest of
``eig``; the first of the right singular vectors, or of the left ones of wide matrices; the
diagonal of R. The rules differentiate just that, so that also a loss that depends on the phase has
the gradient of its values.

**Equal eigenvalues.** Within an eigenspace of more than one dimension the basis is arbitrary, and
has no derivative. A loss that has one does not depend on it: what is then divided by a difference
of 0 is itself 0, and taken for it when it is mere rounding (`quotient`). That is right for a loss
of the eigenvalues alone, and for one of the eigenvectors alone. For one of both, as in
``(V * f(w)) @ V.T``, the two cotangents do not determine the gradient within the eigenspace, and it
is NaN (`undetermined`). A tape takes values and vectors of one matrix for those of one
decomposition, so that both cotangents are seen also when they come of separate calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from steepest.errors import UnsupportedError
from steepest.graph import ArrayType
from steepest.ops.linalg import inv, solve
from steepest.ops.matrices import (
    any_samples,
    as_column,
    as_row,
    conjugate,
    conjugate_transpose,
    entries,
    half_diagonal,
    identity,
    known,
    linalg_dtype,
    lost,
    matrix_axes,
    product,
    quotient,
    real_dtype,
    settled,
    square_axes,
    square_type,
    symmetric_samples,
    triangle,
    undetermined,
    well_conditioned,
)
from steepest.ops.spec import Primitive, Sample, Value, is_absent, no_cotangent, scale

__all__ = ["PRIMITIVES"]


def _antihermitian(x: Value) -> Value:
    return x - conjugate_transpose(x)


def _from_above(x: Value) -> Value:
    """Set the diagonal to infinity, which divides out to 0."""
    infinite = np.diag(np.full(x.shape[-1], np.inf, real_dtype(x.dtype)))
    return np.where(identity(infinite) != 0, infinite, x)


def _phase_in(reference: Value, turned: Value, phase: Value) -> Value:
    """Give the cotangent, seen from the basis, of the components that LAPACK makes real.

    Parameters
    ----------
    reference : value
        The component of each vector, a row.
    turned : value
        What the phase was computed from.
    phase : value
        The cotangent of the angle of each vector, a row.
    """
    phase = settled(phase, turned)
    missing = lost(reference, 1, turned.shape[-1])
    if missing is None:
        back = scale(-1j * phase, 1 / np.conjugate(reference))
    else:
        # What is 0 has no phase. The vector keeps its own, which is right for a loss that does not
        # depend on it; that one does is seen of its cotangent alone, not of a tangent.
        divisor = np.where(missing, reference.dtype.type(1), np.conjugate(reference))
        back = -1j * np.where(missing, phase.dtype.type(0), phase) / divisor
        back = back + np.where(missing & (phase != 0), phase.dtype.type(np.nan), 0)
    return conjugate_transpose(reference) * back


# Cholesky


def _cholesky_vjp(g: Value, ans: Value, upper: bool) -> Value:
    factor, g = (conjugate_transpose(ans), g.mT) if upper else (ans, conjugate(g))
    adjoint = conjugate_transpose(factor)
    turned = product(adjoint, g) * half_diagonal(factor)
    half = solve(adjoint, turned)
    whole = solve(adjoint, conjugate_transpose(half))
    return triangle(conjugate(whole), lower=not upper)


cholesky = Primitive(
    "cholesky",
    lambda x, upper: np.linalg.cholesky(x, upper=upper),
    infer=lambda x, upper: square_type(x),
    vjps=(_cholesky_vjp,),
    samples=symmetric_samples("upper", [False, True]),
)


# Eigenvalues of Hermitian matrices


def _evaluate_eigh(x: Value, lower: bool, alone: bool) -> tuple[Value, Value]:
    uplo: Any = "L" if lower else "U"
    values, vectors = np.linalg.eigh(x, uplo)
    return (np.linalg.eigvalsh(x, uplo) if alone else values), vectors


def _eigh_type(x: ArrayType, lower: bool, alone: bool) -> tuple[ArrayType, ArrayType]:
    vectors = square_type(x)
    return ArrayType(x.shape[:-1], real_dtype(vectors.dtype)), vectors


def _eigh_vjp(g: Sequence[Value], ans: Sequence[Value], lower: bool) -> Value:
    values, vectors = ans
    core = _eigen_core(g, values, vectors, lower)
    whole = product(vectors, core, conjugate_transpose(vectors))
    return triangle(conjugate(whole), lower)


def _eigen_core(g: Sequence[Value], values: Value, vectors: Value, lower: bool) -> Value:
    g_values, g_vectors = g
    eye = identity(vectors)
    core = as_row(g_values) * eye
    if is_absent(g_vectors):
        return core
    turned = product(conjugate_transpose(vectors), conjugate(g_vectors))
    if turned.dtype.kind == "c":
        first = vectors[..., :1, :] if lower else vectors[..., -1:, :]
        turned = turned + _phase_in(first, turned, entries(turned).imag)
    gaps = as_row(values) - as_column(values)
    size = as_column(np.maximum(np.abs(values[..., :1]), np.abs(values[..., -1:])))
    divisors = _from_above(gaps)
    unresolved = lost(divisors, size, values.shape[-1])
    rotation = 0.5 * _antihermitian(turned)
    core = core + quotient(rotation, divisors, unresolved, turned)
    if unresolved is not None and not is_absent(g_values):
        core = core + undetermined(_amount(g_values, turned), unresolved)
    return core


def _amount(g_values: Value, *turned: Value) -> Value:
    """Measure how much of a loss's slope is in the values and vectors of each pair."""
    slopes = np.abs(g_values)
    amount = as_row(slopes) + as_column(slopes)
    for each in turned:
        amount = amount + np.abs(settled(each + conjugate_transpose(each), each))
    return amount


def _eigh_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for alone in (False, True):
        for each in symmetric_samples("lower", [True, False])(rng):
            yield Sample(each.args, {**each.static, "alone": alone})


eigh = Primitive(
    "eigh",
    _evaluate_eigh,
    infer=_eigh_type,
    vjps=(_eigh_vjp,),
    outputs=2,
    samples=_eigh_samples,
)
"""Eigenvalues and eigenvectors of the matrix that one triangle stands for.

The values are those of ``eigvalsh`` when asked for ``alone``: LAPACK rounds them otherwise. That
is no primitive of its own, so that values and vectors of one matrix are results of one operation.
"""


# Eigenvalues of any square matrix


def _evaluate_eig(x: Value, real: bool, alone: bool) -> tuple[Value, Value]:
    values, vectors = np.linalg.eig(x)
    if alone:
        values = np.linalg.eigvals(x)
    if not real:
        dtype = _eig_dtype(x, real)
        values, vectors = values.astype(dtype, copy=False), vectors.astype(dtype, copy=False)
    return values, vectors


def _eig_dtype(x: ArrayType | Value, real: bool) -> np.dtype[Any]:
    dtype = linalg_dtype(ArrayType(x.shape, x.dtype))
    return dtype if real else np.result_type(dtype, np.complex64)


def _eig_type(x: ArrayType, real: bool, alone: bool) -> tuple[ArrayType, ArrayType]:
    square_axes(x)
    dtype = _eig_dtype(x, real)
    return ArrayType(x.shape[:-1], dtype), ArrayType(x.shape, dtype)


def _eig_vjp(g: Sequence[Value], ans: Sequence[Value]) -> Value:
    values, vectors = ans
    g_values, g_vectors = g
    adjoint = conjugate_transpose(vectors)
    core = as_row(conjugate(g_values)) * identity(vectors)
    if not is_absent(g_vectors):
        turned = product(adjoint, _of_unit_length(conjugate(g_vectors), vectors))
        divisors = _from_above(conjugate(as_row(values) - as_column(values)))
        size = as_column(np.max(np.abs(values), axis=-1, keepdims=True, initial=0))
        unresolved = lost(divisors, size, values.shape[-1])
        core = core + quotient(turned, divisors, unresolved, turned)
        if unresolved is not None and not is_absent(g_values):
            # What the cotangents of V and its inverse have in common cancels: nothing shows how
            # much of the slope is in both.
            core = core + undetermined(np.ones_like(turned.real), unresolved)
    inverse = inv(vectors, strict=False)
    # An eigenvalue whose condition number is the reciprocal of the root of the precision may be one
    # of a matrix without a basis of eigenvectors: then it has no derivative.
    condition = np.sum(np.square(np.abs(inverse)), axis=-1)
    defective = lost(as_column(1 / condition), 1, vectors.shape[-1])
    if defective is not None:
        one, unknown = condition.dtype.type(1), condition.dtype.type(np.nan)
        core = scale(core, np.where(defective, unknown, one))
    return conjugate(product(conjugate_transpose(inverse), core, adjoint))


def _of_unit_length(g: Value, vectors: Value) -> Value:
    """Take from a cotangent what would change the length or the phase of an eigenvector."""
    along = np.sum(np.conjugate(g) * vectors, axis=-2, keepdims=True)
    result = g - along.real * vectors
    if vectors.dtype.kind == "c" and vectors.shape[-1]:
        magnitude = np.where(vectors.imag == 0, np.abs(vectors.real), 0)
        largest = np.argmax(magnitude, axis=-2)
        places = np.arange(vectors.shape[-2])[:, None] == as_row(largest)
        component = np.sum(places * vectors, axis=-2, keepdims=True)
        result = result + places * scale(1j * along.imag, 1 / np.conjugate(component))
    return result


def _eig_samples(rng: np.random.Generator) -> Iterator[Sample]:
    turning: list[Any] = [
        [[1.0, 3.0], [-0.5, 1.5]],
        [[1.0, 4.0, 0.2], [-1.0, 1.5, 0.1], [0.3, 0.2, -2.0]],
    ]
    for alone in (False, True):
        for shape in [(2, 2), (3, 3), (2, 2, 2), (1, 1), (0, 2, 2), (0, 0)]:
            x = well_conditioned(rng, shape, symmetric=True)
            yield Sample((x,), {"real": True, "alone": alone})
        for each in turning:
            yield Sample((np.array(each),), {"real": False, "alone": alone})


eig = Primitive(
    "eig",
    _evaluate_eig,
    infer=_eig_type,
    vjps=(_eig_vjp,),
    outputs=2,
    samples=_eig_samples,
)
"""Eigenvalues and eigenvectors; of a real matrix they may be ``real``, and that by its values.

The values are those of ``eigvals`` when asked for ``alone``.
"""


# Singular values


def _evaluate_svd(x: Value, full: bool, alone: bool) -> tuple[Value, Value, Value]:
    if not alone:
        return np.linalg.svd(x, full_matrices=full)
    values = np.linalg.svd(x, compute_uv=False)
    # LAPACK may never return with the vectors of infinite entries.
    finite = np.all(np.isfinite(x), axis=(-2, -1), keepdims=True)
    left, _, right = np.linalg.svd(np.where(finite, x, 0), full_matrices=full)
    return np.where(finite, left, np.nan), values, np.where(finite, right, np.nan)


def _svd_type(x: ArrayType, full: bool, alone: bool) -> tuple[ArrayType, ArrayType, ArrayType]:
    batch, rows, columns = matrix_axes(x)
    rank, dtype = min(rows, columns), linalg_dtype(x)
    return (
        ArrayType((*batch, rows, rows if full else rank), dtype),
        ArrayType((*batch, rank), real_dtype(dtype)),
        ArrayType((*batch, columns if full else rank, columns), dtype),
    )


def _svd_vjp(g: Sequence[Value], ans: Sequence[Value]) -> Value:
    if len(ans) == 3:
        return _svd_gradient(g, ans)
    # Of one matrix with as many vectors as values, and with full bases: which of them a loss has
    # the values of is no matter.
    both = [(list(each), ans[first : first + 3]) for first, each in ((0, g[:3]), (3, g[3:]))]
    for (one, _), (other, _) in (both, both[::-1]):
        if is_absent(one[0]) and is_absent(one[2]) and not is_absent(one[1]):
            moved = one[1]
            other[1] = moved if is_absent(other[1]) else other[1] + moved
            one[1] = no_cotangent(ArrayType(moved.shape, moved.dtype))
    return sum(_svd_gradient(*each) for each in both)


def _svd_gradient(g: Sequence[Value], ans: Sequence[Value]) -> Value:
    left, values, right = ans
    rank = values.shape[-1]
    core = as_row(g[1]) * identity(as_row(values) * as_column(values))
    # From here on the right singular vectors are columns, too.
    right, g_right = conjugate_transpose(right), g[2].mT
    g_left = conjugate(g[0])
    beyond = []
    if left.shape[-1] > rank:
        left, g_left, rotation = _without_complement(left, g_left, rank)
        beyond.append(rotation)
    if right.shape[-1] > rank:
        right, g_right, rotation = _without_complement(right, g_right, rank)
        beyond.append(rotation)
    if not rank or (is_absent(g[0]) and is_absent(g[2])):
        return conjugate(product(left, core.astype(left.dtype), conjugate_transpose(right)))
    rows, columns = left.shape[-2], right.shape[-2]
    turned_left = product(conjugate_transpose(left), g_left)
    turned_right = product(conjugate_transpose(right), g_right)
    size, length = as_column(values[..., :1]), max(rows, columns)
    small = lost(as_row(values), size, length)

    def by_values(x: Value, like: Value) -> Value:
        return quotient(x, as_row(values), small, like)

    seen_left, seen_right = turned_left, turned_right
    if left.dtype.kind == "c":
        phase_left, phase_right = entries(turned_left).imag, entries(turned_right).imag
        phases = phase_left + phase_right
        both = np.abs(turned_left) + np.abs(turned_right)
        if rows >= columns:
            seen_right = turned_right + _phase_in(right[..., :1, :], both, phases)
            phase = by_values(phase_left, both)
        else:
            seen_left = turned_left + _phase_in(left[..., :1, :], both, phases)
            phase = by_values(-phase_right, both)
        core = core + 1j * phase * identity(left.mT @ left)
    one, other = _antihermitian(seen_left), _antihermitian(seen_right)
    gaps = _from_above(as_row(values) - as_column(values))
    sums = _from_above(as_row(values) + as_column(values))
    unresolved = lost(gaps, size, length)
    vanishing = lost(sums, size, length)
    like = np.abs(seen_left) + np.abs(seen_right)
    core = core + 0.5 * (
        quotient(one + other, gaps, unresolved, like) + quotient(one - other, sums, vanishing, like)
    )
    if not is_absent(g[1]):
        if unresolved is not None:
            core = core + undetermined(_amount(g[1], turned_left, turned_right), unresolved)
        if small is not None and (rows != columns or left.dtype.kind == "c"):
            amount = as_row(np.abs(g[1])) + sum(
                np.sum(np.abs(each), axis=-2, keepdims=True) for each in (g_left, g_right)
            )
            core = core + undetermined(amount, small)
    for rotation in beyond:
        core = core + rotation
    result = product(left, core, conjugate_transpose(right))
    if rows > rank:
        outside = g_left - product(left, turned_left)
        result = result + product(by_values(outside, g_left), conjugate_transpose(right))
    if columns > rank:
        outside = g_right - product(right, turned_right)
        result = result + product(left, conjugate_transpose(by_values(outside, g_right)))
    return conjugate(result)


def _without_complement(vectors: Value, g: Value, rank: int) -> tuple[Value, Value, Value]:
    """Take the vectors beyond the singular values out of a basis and its cotangent.

    They span the complement of the others and turn with these. Which basis of the complement they
    are is arbitrary. The last value is 0 when a loss does not depend on it; when it does, it is
    NaN where only shapes are known.

    Raises
    ------
    UnsupportedError
        When a loss depends on the basis of the complement.
    """
    main, rest = vectors[..., :rank], vectors[..., rank:]
    g_main, g_rest = g[..., :rank], g[..., rank:]
    turned = product(conjugate_transpose(rest), g_rest)
    rotation = settled(_antihermitian(turned), turned)
    amount = np.sum(np.abs(rotation), axis=(-2, -1), keepdims=True)
    value = known(amount)
    # A NaN may be one that a pass with more care removes.
    if value is not None and np.any(value > 0):
        raise UnsupportedError(
            f"a loss depends on the singular vectors beyond the {rank} singular values; which basis"
            " of their space LAPACK returns is arbitrary, and is not differentiated",
            instead="np.linalg.svd(a, full_matrices=False), or the projection rest @ rest.conj().T"
            " on their space, which is the same for every basis",
        )
    back = product(rest, conjugate_transpose(g_rest), main)
    uncertain = undetermined(amount, True) if value is None else 0
    return main, g_main - back, uncertain


def _svd_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield from any_samples(full=False, alone=False)(rng)
    yield from any_samples(full=False, alone=True)(rng)
    # One more vector than values: without a basis to choose but for its sign.
    yield Sample((well_conditioned(rng, (3, 3))[:2],), {"full": True, "alone": False})
    yield Sample((well_conditioned(rng, (3, 3))[:, :2],), {"full": True, "alone": False})


svd = Primitive(
    "svd",
    _evaluate_svd,
    infer=_svd_type,
    vjps=(_svd_vjp,),
    outputs=3,
    samples=_svd_samples,
)
"""The singular value decomposition, with as many vectors as values, or ``full`` bases.

The quotients by ``s[j]² - s[i]²`` of the literature are split into those by difference and sum,
so that ``U @ Vh`` has its derivative where singular values are equal. The values are those that
NumPy gives without vectors when asked for ``alone``.
"""


# QR


def _qr_type(x: ArrayType, complete: bool) -> tuple[ArrayType, ArrayType]:
    batch, rows, columns = matrix_axes(x)
    size, dtype = rows if complete else min(rows, columns), linalg_dtype(x)
    return ArrayType((*batch, rows, size), dtype), ArrayType((*batch, size, columns), dtype)


def _qr_vjp(g: Sequence[Value], x: Value, ans: Sequence[Value]) -> Value:
    unitary, triangular = ans
    g_unitary, g_triangular = conjugate(g[0]), conjugate(g[1])
    rows, columns = x.shape[-2:]
    if unitary.shape[-1] > columns:
        g_unitary = _without_rest(unitary, g_unitary, columns)
        unitary = unitary[..., :columns]
        triangular, g_triangular = triangular[..., :columns, :], g_triangular[..., :columns, :]
    if rows >= columns:
        return conjugate(_tall_qr_gradient(g_unitary, g_triangular, unitary, triangular))
    # The first columns determine Q, and Q the rest of R.
    g_rest = g_triangular[..., rows:]
    g_unitary = g_unitary + product(x[..., rows:], conjugate_transpose(g_rest))
    first = _tall_qr_gradient(g_unitary, g_triangular[..., :rows], unitary, triangular[..., :rows])
    return conjugate(np.concatenate([first, product(unitary, g_rest)], axis=-1))


def _without_rest(unitary: Value, g: Value, columns: int) -> Value:
    """Pull back to the first columns of Q, from all of them.

    LAPACK's Q is a product of reflections, which its first columns determine: with the top square
    T of these and what is below, B, the rest of Q is ``[0; I] + [I - T; -B] @ (B inv(I - T))ᴴ``
    (G. Ballard et al., "Reconstructing Householder vectors from tall-skinny QR", 2014).
    """
    first, g_first, g_rest = unitary[..., :columns], g[..., :columns], g[..., columns:]
    top, below = first[..., :columns, :], first[..., columns:, :]
    beside = identity(top) - top
    inverse = inv(beside, strict=False)
    reflected = np.concatenate([beside, -below], axis=-2)
    factor = product(below, inverse)
    g_factor = product(conjugate_transpose(g_rest), reflected)
    g_below = product(g_factor, conjugate_transpose(inverse))
    g_top = product(conjugate_transpose(factor), g_below)
    return g_first - product(g_rest, factor) + np.concatenate([g_top, g_below], axis=-2)


def _tall_qr_gradient(
    g_unitary: Value, g_triangular: Value, unitary: Value, triangular: Value
) -> Value:
    turned = product(triangular, conjugate_transpose(g_triangular)) - product(
        conjugate_transpose(g_unitary), unitary
    )
    lower = turned * half_diagonal(triangular)
    gradient = g_unitary + product(unitary, lower + conjugate_transpose(lower))
    return product(gradient, conjugate_transpose(inv(triangular, strict=False)))


def _qr_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield from any_samples(complete=False)(rng)
    x = rng.uniform(-1, 1, (2, 4, 2))
    yield Sample((x,), {"complete": True})
    yield Sample((x[0].T,), {"complete": True})


qr = Primitive(
    "qr",
    lambda x, complete: np.linalg.qr(x, "complete" if complete else "reduced"),
    infer=_qr_type,
    vjps=(_qr_vjp,),
    outputs=2,
    samples=_qr_samples,
)
"""The factorisation, with as many columns in Q as there are values in R, or ``complete``."""


PRIMITIVES = (
    cholesky,
    eigh,
    eig,
    svd,
    qr,
)
