"""Calls of every public name of NumPy, and what is to become of each when its argument is traced.

A call is an expression of one-letter arguments, which `Inputs` draws in many dtypes and layouts.
`docs/numpy.md` is made of the same tables.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.array import keyword_calls

__all__ = [
    "CONSTANT",
    "CREATION",
    "DIFFERENTIABLE",
    "KEYWORDS",
    "NOT_OF_NUMBERS",
    "OTHERWISE",
    "RANDOM",
    "REFUSED",
    "UNDEFINED",
    "Refusal",
    "calls",
]


def calls(table: str) -> dict[str, list[str]]:
    """Read a table: a line for each name, its calls between bars."""
    rows = (line.split(":", 1) for line in table.strip().splitlines())
    return {name.strip(): [each.strip() for each in cells.split(" | ")] for name, cells in rows}


# -- ufuncs ---------------------------------------------------------------------------------------

# The name of each, and arguments where it is smooth.
_UNARY = {
    "": "absolute cbrt conjugate cos cosh deg2rad degrees exp exp2 expm1 fabs negative positive rad2deg"
    " radians sin sinh square tan tanh arcsinh arctan",
    "p": "log log10 log1p log2 reciprocal sqrt",
    "u": "arccos arcsin arctanh",
    "g": "arccosh",
}
_BINARY = {
    "": "add copysign fmax fmin hypot logaddexp logaddexp2 maximum minimum multiply subtract",
    "p": "arctan2 divide fmod remainder",
}
_ALIASES = {
    "abs": "absolute",
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "conj": "conjugate",
    "mod": "remainder",
    "pow": "power",
    "true_divide": "divide",
    "bitwise_invert": "invert",
    "bitwise_not": "invert",
    "bitwise_left_shift": "left_shift",
    "bitwise_right_shift": "right_shift",
}

_UNARY_STEPS = "ceil floor rint sign trunc signbit isfinite isinf isnan logical_not spacing"
_BINARY_STEPS = (
    "floor_divide heaviside equal greater greater_equal less less_equal not_equal logical_and"
    " logical_or logical_xor"
)
_UNARY_INTEGERS = "bitwise_count invert"
_BINARY_INTEGERS = "bitwise_and bitwise_or bitwise_xor gcd lcm left_shift right_shift"


def _of_one(name: str, x: str = "x") -> list[str]:
    f = f"np.{name}"
    return [
        f"{f}({x})",
        f"{f}({x}, dtype=np.float32, casting='same_kind')",
        f"{f}({x}, order='F')",
        f"{f}({x}, out=np.zeros({x}.shape, {f}({x}).dtype))",
        f"{f}({x}, out=np.zeros({x}.shape, {f}({x}).dtype), where=m)",
        f"{f}({x}, subok=False)",
    ]


def _of_two(name: str, y: str = "y", x: str = "x") -> list[str]:
    f = f"np.{name}"
    return [
        f"{f}({x}, {y})",
        f"{f}({x}, v)",
        f"{f}({x}, 1.5)",
        f"{f}({x}, {x})",
        f"{f}(2, {y})",
        f"{f}({x}[:, None], {y})",
        f"{f}({x}, {y}, dtype=np.float32, casting='same_kind')",
        f"{f}({x}, {y}, out=np.zeros({x}.shape, {f}({x}, {y}).dtype), where=m)",
        f"{f}.outer(v, w)",
        *_folds(f, x),
    ]


def _folds(f: str, x: str) -> list[str]:
    if f in ("np.arctan2", "np.power"):
        return []  # NumPy's vectorized loops of these two give wrong numbers when they reduce.
    return [
        f"{f}.reduce({x})",
        f"{f}.reduce({x}, axis=-1, keepdims=True)",
        f"{f}.reduce({x}, axis=None, dtype=np.float32)",
        f"{f}.reduce({x}, axis=0, initial=1.5)",
        f"{f}.reduce({x}, axis=0, initial=1.5, where=m)",
        f"{f}.accumulate({x})",
        f"{f}.accumulate({x}, axis=-1)",
        f"{f}.reduceat(v, [0, 2, 1])",
        f"changed({f}.at, v, [0, 0, 1], w[:3])",
    ]


_UFUNCS = {
    **{name: _of_one(name, x or "x") for x, names in _UNARY.items() for name in names.split()},
    **{name: _of_two(name, "y", "p") for name in ("float_power", "power")},
    **{name: _of_two(name, y or "y") for y, names in _BINARY.items() for name in names.split()},
}
_UFUNC_STEPS = {
    **{name: _of_one(name) for name in _UNARY_STEPS.split()},
    **{name: _of_two(name) for name in _BINARY_STEPS.split()},
    **{name: [f"np.{name}(n)", f"np.{name}(x)"] for name in _UNARY_INTEGERS.split()},
    **{name: [f"np.{name}(n, n)", f"np.{name}(x, n)"] for name in _BINARY_INTEGERS.split()},
}


def _renamed(table: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        alias: [table[name][0].replace(f"np.{name}", f"np.{alias}")]
        for alias, name in _ALIASES.items()
        if name in table
    }


# -- functions with a derivative ------------------------------------------------------------------

_REDUCTIONS = "sum prod mean max min amax amin nansum nanprod nanmean nanmax nanmin"


def _reduction(name: str) -> list[str]:
    f = f"np.{name}"
    more = []
    if "mean" not in name:
        more = [f"{f}(x, axis=0, initial=1.5)", f"{f}(x, initial=1.5, where=m)"]
    if name in ("sum", "prod", "mean", "nansum", "nanprod", "nanmean"):
        more += [
            f"{f}(x, dtype=np.float32)",
            f"{f}(x, axis=-1, dtype=np.complex128)",
            f"{f}(x, axis=0, where=m)",
            f"{f}(x, None, np.float32)",
        ]
    return [
        f"{f}(x)",
        f"{f}(x, axis=0)",
        f"{f}(x, axis=-1, keepdims=True)",
        f"{f}(x, axis=(0, 1))",
        f"{f}(x, axis=())",
        f"{f}(x, keepdims=True)",
        f"{f}(x, axis=2)",
        f"{f}(x, axis=0, where=np.ones((2, 3, 4), bool))",
        f"{f}(x, axis=1, out=np.zeros(3))",
        *more,
    ]


def _variance(name: str) -> list[str]:
    f = f"np.{name}"
    return [
        f"{f}(x)",
        f"{f}(x, axis=0)",
        f"{f}(x, axis=-1, keepdims=True, ddof=1)",
        f"{f}(x, axis=(0, 1), correction=1)",
        f"{f}(x, where=m)",
        f"{f}(x, dtype=np.float32)",
        f"{f}(x, axis=0, mean=np.mean(x, axis=0, keepdims=True))",
        f"{f}(x, ddof=1, correction=1)",
        f"{f}(x, axis=3)",
    ]


def _order_statistic(name: str, q: str) -> list[str]:
    f = f"np.{name}"
    methods = (
        "inverted_cdf",
        "averaged_inverted_cdf",
        "closest_observation",
        "interpolated_inverted_cdf",
        "hazen",
        "weibull",
        "median_unbiased",
        "normal_unbiased",
        "lower",
        "higher",
        "midpoint",
        "nearest",
        "wrong",
    )
    return [
        f"{f}(x, {q})",
        f"{f}(x, {q}, axis=0)",
        f"{f}(x, [{q}, {q}], axis=-1, keepdims=True)",
        f"{f}(x, {q}, axis=(0, 1))",
        f"{f}(x, -{q})",
        *(f"{f}(x, {q}, axis=-1, method={method!r})" for method in methods),
        f"{f}(x, {q}, axis=-1, weights=np.abs(x), method='inverted_cdf')",
    ]


def _running(name: str) -> list[str]:
    f = f"np.{name}"
    return [
        f"{f}(x)",
        f"{f}(x, axis=0)",
        f"{f}(x, axis=-1)",
        f"{f}(x, axis=1, dtype=np.float32)",
        f"{f}(x, axis=0, out=np.zeros(x.shape or 1))",
        f"{f}(x, axis=2)",
    ]


_FUNCTIONS = calls(
    """
    divmod: np.divmod(x, p) | np.divmod(x, 0.5) | np.divmod(3, p)
    modf: np.modf(x)
    nextafter: np.nextafter(x, y)
    frexp: np.frexp(x)
    ldexp: np.ldexp(x, 3) | np.ldexp(x, np.arange(4))
    matmul: np.matmul(a, b) | np.matmul(x, v) | np.matmul(v, w) | np.matmul(x, x.T) | np.matmul(x, s) | np.matmul(np.stack([a, b]), a) | np.matmul(a, b, dtype=np.float32, casting='same_kind')
    vecdot: np.vecdot(x, y) | np.vecdot(x, v) | np.vecdot(x, y, axis=0)
    matvec: np.matvec(a, a[0]) | np.matvec(x, v)
    vecmat: np.vecmat(a[0], a) | np.vecmat(x[:, 0], x)
    angle: np.angle(x) | np.angle(x, deg=True)
    append: np.append(x, y) | np.append(x, y, axis=0) | np.append(x, 1.5) | np.append(x, y, axis=-1)
    apply_along_axis: np.apply_along_axis(np.sum, 0, x) | np.apply_along_axis(lambda row: row * row[0], -1, x) | np.apply_along_axis(np.outer, 1, x, [1, 2])
    apply_over_axes: np.apply_over_axes(np.sum, x, [0, 1]) | np.apply_over_axes(np.sum, x, 0)
    array_split: np.array_split(x, 2) | np.array_split(x, [1, 2], axis=-1) | np.array_split(x, 0)
    astype: np.astype(x, np.float32) | np.astype(x, np.complex64, copy=False) | np.astype(x, int)
    atleast_1d: np.atleast_1d(x) | np.atleast_1d(x, s)
    atleast_2d: np.atleast_2d(x) | np.atleast_2d(v, s)
    atleast_3d: np.atleast_3d(x) | np.atleast_3d(v)
    average: np.average(x) | np.average(x, axis=0) | np.average(x, axis=-1, weights=[1, 2, 3, 4]) | np.average(x, weights=p) | np.average(x, axis=0, weights=p, returned=True) | np.average(x, axis=-1, keepdims=True) | np.average(x, weights=[1, 2])
    bincount: np.bincount(i, weights=v) | np.bincount(i, v, 7) | np.bincount(i, weights=v, minlength=2)
    block: np.block([x, y]) | np.block([[a, b], [b, a]]) | np.block([s, 1.0])
    broadcast_arrays: np.broadcast_arrays(x, v) | np.broadcast_arrays(x, s)
    broadcast_to: np.broadcast_to(x, (2, 3, 4)) | np.broadcast_to(s, (2, 2)) | np.broadcast_to(x, (5,))
    choose: np.choose(n % 2, [x, y]) | np.choose(n, [x, 2.0], mode='clip') | np.choose(n, [x, y], mode='wrap') | np.choose(n, [x])
    clip: np.clip(x, -1, 1) | np.clip(x, None, 0.5) | np.clip(x, s, None) | np.clip(x, min=-0.5) | np.clip(x, y, p) | np.clip(x, -1, 1, dtype=np.float32, casting='same_kind') | np.clip(x, a_min=-1, a_max=v) | np.clip(x, -1, 1, out=np.zeros(x.shape)) | np.clip(x, -1, 1, min=0)
    c_: np.c_[v, w] | np.c_[x, y] | np.c_[x, 1.0, 2] | np.c_[v, [s, 1, s * 2]]
    column_stack: np.column_stack([v, w]) | np.column_stack([x, y]) | np.column_stack([x, v[:3]])
    compress: np.compress([True, False, True], x, axis=0) | np.compress([0, 1, 1], x) | np.compress([True] * 9, x, axis=0)
    concatenate: np.concatenate([x, y]) | np.concatenate([x, y], axis=-1) | np.concatenate((x, y), axis=None) | np.concatenate([x, v]) | np.concatenate([x, y], dtype=np.float32, casting='same_kind') | np.concatenate([])
    concat: np.concat([x, y], axis=0)
    convolve: np.convolve(v, w) | np.convolve(v, w[:2], 'same') | np.convolve(v, w, 1) | np.convolve(v, w, mode='valid') | np.convolve(s, v) | np.convolve(v, [])
    copy: np.copy(x) | np.copy(x, order='F') | np.copy(x, subok=True)
    corrcoef: np.corrcoef(x) | np.corrcoef(x, y) | np.corrcoef(x, rowvar=False) | np.corrcoef(v, w) | np.corrcoef(x, dtype=np.float32)
    correlate: np.correlate(v, w) | np.correlate(v, w[:2], 'full') | np.correlate(v, w, mode='same')
    cov: np.cov(x) | np.cov(x, y) | np.cov(x, rowvar=False, bias=True) | np.cov(v, w, ddof=0) | np.cov(x, fweights=[1, 2, 1, 3]) | np.cov(x, aweights=[1, 2, 1, 3.5]) | np.cov(x, dtype=np.float32)
    cross: np.cross(a, b) | np.cross(a, a[0]) | np.cross(a, b, axis=0) | np.cross(a, b, 0, 0, -1) | np.cross(x, y)
    delete: np.delete(x, 1) | np.delete(x, [0, 2], axis=-1) | np.delete(x, slice(1, None), axis=0) | np.delete(x, [False, True, True], axis=0) | np.delete(x, 99)
    diag: np.diag(x) | np.diag(v) | np.diag(v, k=-1) | np.diag(x, 1) | np.diag(s)
    diagflat: np.diagflat(x) | np.diagflat(v, 1)
    diagonal: np.diagonal(x) | np.diagonal(x, 1) | np.diagonal(np.stack([x, y]), 0, 1, 2) | np.diagonal(x, axis1=1, axis2=0)
    diff: np.diff(x) | np.diff(x, n=2, axis=0) | np.diff(x, prepend=0, append=1.5) | np.diff(x, n=0) | np.diff(v, prepend=w) | np.diff(x, n=-1)
    dot: np.dot(a, b) | np.dot(x, v) | np.dot(v, w) | np.dot(s, x) | np.dot(x, np.stack([a[:, :2].T @ a] * 2) if 0 else x.T) | np.dot(x, y)
    dsplit: np.dsplit(np.stack([x, y], axis=-1), 2) | np.dsplit(x, 2)
    dstack: np.dstack([x, y]) | np.dstack([v, w])
    ediff1d: np.ediff1d(x) | np.ediff1d(x, to_end=s, to_begin=[1.0, 2.0])
    einsum: np.einsum('ij->ji', x) | np.einsum('ij,ij->i', x, y) | np.einsum('ij,j', x, v) | np.einsum('ii', a) | np.einsum('...j,j->...', x, v) | np.einsum('ij,jk,kl->il', a, b, a, optimize=True) | np.einsum(x, [0, 1], v, [1]) | np.einsum('ij,jk', x, y)
    expand_dims: np.expand_dims(x, 0) | np.expand_dims(x, (0, -1)) | np.expand_dims(x, 7)
    extract: np.extract(m, x) | np.extract(x, y)
    flip: np.flip(x) | np.flip(x, 0) | np.flip(x, axis=(0, 1))
    fliplr: np.fliplr(x) | np.fliplr(v)
    flipud: np.flipud(x)
    full_like: np.full_like(x, s) | np.full_like(x, v) | np.full_like(x, s, dtype=np.float32) | np.full_like(n, 1.5) | np.full_like(x, 2, shape=(2,))
    geomspace: np.geomspace(1.5, s + 3, 5) | np.geomspace(p, g, 4, axis=-1) | np.geomspace(p, g, 3, endpoint=False) | np.geomspace(p, g, 3, dtype=np.float32)
    gradient: np.gradient(x) | np.gradient(v) | np.gradient(v, 0.5) | np.gradient(x, axis=-1, edge_order=2) | np.gradient(x, 0.5, [0.0, 1.0, 3.0, 4.0]) | np.gradient(v, t[:4]) | np.gradient(x, s)
    histogram: np.histogram(x, weights=y, bins=[-3, 0, 3]) | np.histogram(v, 3, (-3, 3), weights=w) | np.histogram(x) | np.histogram(x, bins=4, density=True)
    histogram2d: np.histogram2d(v, w, bins=2, range=[(-3, 3), (-3, 3)], weights=np.ones(4))[0]
    histogramdd: np.histogramdd((v, w), bins=2, range=[(-3, 3), (-3, 3)], weights=np.ones(4))[0]
    hsplit: np.hsplit(x, 2) | np.hsplit(v, [1])
    hstack: np.hstack([x, y]) | np.hstack([v, w]) | np.hstack([x, y], dtype=np.float32, casting='same_kind')
    i0: np.i0(x)
    imag: np.imag(x)
    inner: np.inner(x, y) | np.inner(v, w) | np.inner(s, x) | np.inner(x, v)
    insert: np.insert(x, 1, 1.5) | np.insert(x, [0, 2], y[:, :2], axis=-1) | np.insert(v, [1, 1], w[:2]) | np.insert(x, 1, s, axis=0) | np.insert(x, 99, 1.5)
    interp: np.interp(x, t, t**2) | np.interp(x, t, t, left=s, right=1.5) | np.interp(s, t, t) | np.interp(x, [0.0, 1.0, 2.0], [1.0, 3.0, 2.0], period=3)
    ix_: np.ix_(v, w, v) | np.ix_(v) | np.ix_(m[0] if m.ndim > 1 else m.ravel(), v) | np.ix_(x, v)
    kaiser: np.kaiser(5, s) | np.kaiser(1, s) | np.kaiser(6, 2.0)
    kron: np.kron(x, y) | np.kron(v, x) | np.kron(s, x)
    linspace: np.linspace(x, y, 3) | np.linspace(s, 2.0, 5) | np.linspace(x, 1, 4, endpoint=False, axis=-1) | np.linspace(x, y, 3, retstep=True) | np.linspace(x, y, 3, dtype=np.float32) | np.linspace(x, y, -1) | np.linspace(x, y, 1)
    logspace: np.logspace(x, y, 3) | np.logspace(s, 2.0, 5, base=3.0) | np.logspace(x, 1, 4, endpoint=False, axis=-1) | np.logspace(0, 1, 3, base=p)
    matrix_transpose: np.matrix_transpose(x) | np.matrix_transpose(v)
    median: np.median(x) | np.median(x, axis=0) | np.median(x, axis=-1, keepdims=True) | np.median(x, axis=(0, 1)) | np.median(x, overwrite_input=True) | np.median(x, axis=5)
    meshgrid: np.meshgrid(v, w) | np.meshgrid(v, w, indexing='ij') | np.meshgrid(v, w, sparse=True) | np.meshgrid(v) | np.meshgrid(v, w, copy=False)
    mgrid: np.mgrid[0:s:3j] | np.mgrid[s:2:3j, 0:s:2j]
    moveaxis: np.moveaxis(x, 0, -1) | np.moveaxis(x, [0, 1], [1, 0]) | np.moveaxis(x, 0, 5)
    ndenumerate: [each * (i[0] + 1) for i, each in np.ndenumerate(x)] | list(np.ndenumerate(v))
    nan_to_num: np.nan_to_num(x) | np.nan_to_num(x, nan=1.5, posinf=2, neginf=-2) | np.nan_to_num(x, copy=True)
    nanmedian: np.nanmedian(x) | np.nanmedian(x, axis=0) | np.nanmedian(x, axis=-1, keepdims=True)
    ogrid: np.ogrid[0:s:3j] | np.ogrid[s:2:3j, 0:s:2j]
    outer: np.outer(x, y) | np.outer(v, w) | np.outer(s, v)
    pad: np.pad(x, 1) | np.pad(x, ((1, 0), (2, 1)), constant_values=(s, 1.5)) | np.pad(x, 2, 'edge') | np.pad(x, 2, 'linear_ramp', end_values=1) | np.pad(x, 1, 'maximum') | np.pad(x, 1, 'mean', stat_length=2) | np.pad(x, 1, 'median') | np.pad(x, 1, 'minimum') | np.pad(x, 2, 'reflect') | np.pad(x, 2, 'reflect', reflect_type='odd') | np.pad(x, 2, 'symmetric') | np.pad(x, 2, 'wrap') | np.pad(x, 1, 'nonsense') | np.pad(x, -1)
    partition: np.partition(x, 1) | np.partition(x, 1, axis=0) | np.partition(x, [0, 2], axis=None) | np.partition(x, 99)
    permute_dims: np.permute_dims(x) | np.permute_dims(x, (1, 0))
    piecewise: np.piecewise(x, [x < 0, x >= 0], [lambda x: x**2, 1.5]) | np.piecewise(x, [x > 0], [np.exp, np.sin])
    poly: np.poly(a) | np.poly(v)
    poly1d: np.poly1d(v)(x) | (np.poly1d(v) * np.poly1d(w)).coeffs
    polyadd: np.polyadd(v, w[:2]) | np.polyadd(v, s)
    polyder: np.polyder(v) | np.polyder(v, 2) | np.polyder(v, -1)
    polydiv: np.polydiv(v, w[:2]) | np.polydiv(v, v)
    polyfit: np.polyfit(t, t**3, 2) | np.polyfit([0.0, 1.0, 2.0, 3.0], v, 2) | np.polyfit([0.0, 1.0, 2.0, 3.0], x.T, 1) | np.polyfit([0.0, 1.0, 2.0, 3.0], v, 1, w=np.abs(w)) | np.polyfit([0.0, 1.0, 2.0, 3.0], v, 1, full=True)[0]
    polyint: np.polyint(v) | np.polyint(v, 2, k=[1.5, s])
    polymul: np.polymul(v, w) | np.polymul(v, s)
    polysub: np.polysub(v, w[:2])
    polyval: np.polyval(v, x) | np.polyval(v, s) | np.polyval([1, 2, 3], x)
    ptp: np.ptp(x) | np.ptp(x, axis=0) | np.ptp(x, axis=-1, keepdims=True)
    r_: np.r_[v, s, 1, 2.5] | np.r_['0,2', v, w] | np.r_['0,3,1', v, w] | np.r_[1:4, v, 0:1:3j] | np.r_['-1', x, y] | np.r_[[s, 1], v]
    ravel: np.ravel(x) | np.ravel(x, 'F')
    real: np.real(x)
    real_if_close: np.real_if_close(x) | np.real_if_close(x * (1 + 0j))
    repeat: np.repeat(x, 2) | np.repeat(x, [1, 0, 2], axis=0) | np.repeat(x, 2, axis=-1) | np.repeat(x, -1)
    reshape: np.reshape(x, (4, 3)) | np.reshape(x, -1) | np.reshape(x, (2, -1), order='F') | np.reshape(x, (5, 5)) | np.reshape(x, (4, 3), copy=True)
    resize: np.resize(x, (2, 3)) | np.resize(x, (5, 5)) | np.resize(x, 0)
    roll: np.roll(x, 1) | np.roll(x, (1, 2), axis=(0, 1)) | np.roll(x, -1, axis=-1)
    rollaxis: np.rollaxis(x, 1) | np.rollaxis(x, 1, 0)
    roots: np.roots(v) | np.roots(t)
    rot90: np.rot90(x) | np.rot90(x, 3) | np.rot90(x, 2, axes=(1, 0))
    select: np.select([x > 0, x < -1], [y, 2 * x], 1.5) | np.select([m], [x], s) | np.select([m], [x, y])
    sinc: np.sinc(x)
    sort: np.sort(x) | np.sort(x, axis=0) | np.sort(x, axis=None) | np.sort(x, kind='stable') | np.sort(x, stable=True) | np.sort(x, axis=4)
    sort_complex: np.sort_complex(v) | np.sort_complex(x)
    split: np.split(x, 3) | np.split(x, [1], axis=-1) | np.split(x, 5)
    squeeze: np.squeeze(x) | np.squeeze(x[None]) | np.squeeze(x[:, None], axis=1) | np.squeeze(x, axis=0)
    stack: np.stack([x, y]) | np.stack([x, y], axis=-1) | np.stack([x, v]) | np.stack([x, y], dtype=np.float32, casting='same_kind')
    swapaxes: np.swapaxes(x, 0, 1) | np.swapaxes(x, 0, 3)
    take: np.take(x, [0, 2]) | np.take(x, [[0], [1]], axis=-1) | np.take(x, 1, axis=0) | np.take(x, [5, -9], mode='wrap') | np.take(x, [50], mode='clip') | np.take(x, 99)
    take_along_axis: np.take_along_axis(x, np.argsort(x, axis=-1), axis=-1) | np.take_along_axis(x, np.array([[0]]), axis=0) | np.take_along_axis(x, np.array([0, 2]), axis=None)
    tensordot: np.tensordot(a, b) | np.tensordot(a, b, axes=1) | np.tensordot(x, y, axes=([0, 1], [0, 1])) | np.tensordot(v, w, axes=0) | np.tensordot(x, y, axes=1)
    tile: np.tile(x, 2) | np.tile(x, (2, 1)) | np.tile(x, (2, 1, 1))
    trace: np.trace(x) | np.trace(x, 1) | np.trace(np.stack([x, y]), axis1=1, axis2=2) | np.trace(x, dtype=np.float32) | np.trace(v)
    transpose: np.transpose(x) | np.transpose(x, (1, 0)) | np.transpose(x, axes=(-1, 0)) | np.transpose(x, (0, 0))
    trapezoid: np.trapezoid(x) | np.trapezoid(x, dx=0.5, axis=0) | np.trapezoid(v, t[:4]) | np.trapezoid(x, x=[0, 1, 3, 4])
    tril: np.tril(x) | np.tril(x, -1) | np.tril(v)
    trim_zeros: np.trim_zeros(np.concatenate([[0.0], v, [0.0]])) | np.trim_zeros(v, 'f')
    triu: np.triu(x) | np.triu(x, 1)
    union1d: np.union1d(v, w)
    intersect1d: np.intersect1d(v, np.concatenate([v, w]))
    setdiff1d: np.setdiff1d(v, w)
    setxor1d: np.setxor1d(v, w)
    unique: np.unique(x) | np.unique(x, return_index=True, return_inverse=True, return_counts=True) | np.unique(x, axis=0)
    unique_all: np.unique_all(x)
    unique_counts: np.unique_counts(x)
    unique_inverse: np.unique_inverse(x)
    unique_values: np.sort(np.unique_values(x))
    unstack: np.unstack(x) | np.unstack(x, axis=-1) | np.unstack(s)
    unwrap: np.unwrap(x) | np.unwrap(3 * x, axis=0) | np.unwrap(3 * x, discont=4.0) | np.unwrap(x, period=2.5)
    vander: np.vander(v) | np.vander(v, 3) | np.vander(v, increasing=True)
    vdot: np.vdot(x, y) | np.vdot(v, w) | np.vdot(s, s)
    vsplit: np.vsplit(x, 3) | np.vsplit(v, 2)
    vstack: np.vstack([x, y]) | np.vstack([v, w]) | np.vstack([v, x])
    row_stack: np.vstack([v, w])
    where: np.where(m, x, y) | np.where(x > 0, x, 0) | np.where(m, 1.5, x) | np.where(m, x, v)
    vectorize: np.vectorize(lambda a, b: a * b)(x, v) | np.vectorize(np.sum, signature='(n)->()')(x)
    fromfunction: np.fromfunction(lambda i, j: (i + j) * s, (2, 3))
    array: np.array(x) | np.array([s, s * 2]) | np.array([[x, y]]) | np.array(x, dtype=np.float32) | np.array(x, ndmin=3) | np.array(x, copy=False) | np.array([x, v])
    asarray: np.asarray(x) | np.asarray([s, 1.0]) | np.asarray(x, dtype=np.complex64)
    asanyarray: np.asanyarray(x)
    ascontiguousarray: np.ascontiguousarray(x)
    asfortranarray: np.asfortranarray(x)
    asarray_chkfinite: np.asarray_chkfinite(x)
    require: np.require(x, requirements='C')
    full: np.full((2, 2), s) | np.full((3, 4), v) | np.full(2, s, dtype=np.float32)
    fromiter: np.fromiter((each * 2 for each in v), float)
    arange: np.arange(s, 3 + s) | np.arange(s) | np.arange(3.0)
    copyto: changed(np.copyto, x, y) | changed(np.copyto, x, 1.5, where=m) | changed(np.copyto, x, v) | changed(np.copyto, x, np.ones((5, 5)))
    put: changed(np.put, x, [0, 2], v[:2]) | changed(np.put, x, 99, 1.5) | changed(np.put, x, [99], 1.5, mode='clip')
    place: changed(np.place, x, m, v)
    putmask: changed(np.putmask, x, m, y) | changed(np.putmask, x, m, v)
    put_along_axis: changed(np.put_along_axis, x, np.array([[0]]), s, axis=0) | changed(np.put_along_axis, x, np.argsort(x, axis=-1), y, axis=-1)
    fill_diagonal: changed(np.fill_diagonal, x, s) | changed(np.fill_diagonal, a, v[:3])
    linalg.cholesky: np.linalg.cholesky(h) | np.linalg.cholesky(h, upper=True) | np.linalg.cholesky(-h) | np.linalg.cholesky(x)
    linalg.cond: np.linalg.cond(a) | np.linalg.cond(x) | np.linalg.cond(a, 'fro') | np.linalg.cond(a, 1) | np.linalg.cond(a, np.inf) | np.linalg.cond(a, -2)
    linalg.cross: np.linalg.cross(a, b) | np.linalg.cross(a, b, axis=0)
    linalg.det: np.linalg.det(a) | np.linalg.det(np.stack([a, b])) | np.linalg.det(x)
    linalg.diagonal: np.linalg.diagonal(x) | np.linalg.diagonal(x, offset=1)
    linalg.eig: np.linalg.eig(a)[0] | np.abs(np.linalg.eig(a).eigenvectors)
    linalg.eigh: np.linalg.eigh(h)[0] | np.abs(np.linalg.eigh(h)[1]) | np.linalg.eigh(h, 'U').eigenvalues | np.linalg.eigh(h, 'Q')
    linalg.eigvals: np.linalg.eigvals(a) | np.linalg.eigvals(h)
    linalg.eigvalsh: np.linalg.eigvalsh(h) | np.linalg.eigvalsh(h, UPLO='U')
    linalg.inv: np.linalg.inv(a) | np.linalg.inv(np.stack([a, b])) | np.linalg.inv(np.ones((2, 2)) * s) | np.linalg.inv(x)
    linalg.lstsq: np.linalg.lstsq(x.T, v)[0] | np.linalg.lstsq(x.T, y.T, rcond=None)[:2]
    linalg.matmul: np.linalg.matmul(a, b)
    linalg.matrix_norm: np.linalg.matrix_norm(x) | np.linalg.matrix_norm(x, ord=2) | np.linalg.matrix_norm(x, ord='nuc', keepdims=True) | np.linalg.matrix_norm(x, ord=1)
    linalg.matrix_power: np.linalg.matrix_power(a, 3) | np.linalg.matrix_power(a, 0) | np.linalg.matrix_power(a, -2) | np.linalg.matrix_power(x, 2)
    linalg.matrix_transpose: np.linalg.matrix_transpose(x)
    linalg.multi_dot: np.linalg.multi_dot([a, b, a]) | np.linalg.multi_dot([v, x.T, x[:, 0]]) | np.linalg.multi_dot([a])
    linalg.norm: np.linalg.norm(x) | np.linalg.norm(x, axis=0) | np.linalg.norm(x, 'fro', keepdims=True) | np.linalg.norm(x, 'nuc') | np.linalg.norm(x, 1) | np.linalg.norm(x, 2) | np.linalg.norm(x, -2) | np.linalg.norm(x, np.inf) | np.linalg.norm(x, -np.inf) | np.linalg.norm(v, 3) | np.linalg.norm(v, np.inf) | np.linalg.norm(v, 0) | np.linalg.norm(v, 1.5) | np.linalg.norm(x, ord=1, axis=-1) | np.linalg.norm(x, 3) | np.linalg.norm(x, axis=(0, 1), ord=-1)
    linalg.outer: np.linalg.outer(v, w)
    linalg.pinv: np.linalg.pinv(x) | np.linalg.pinv(h, hermitian=True) | np.linalg.pinv(a, rcond=1e-12) | np.linalg.pinv(x, rtol=1e-12)
    linalg.qr: np.linalg.qr(a) | np.linalg.qr(x.T) | np.linalg.qr(x, mode='r') | np.linalg.qr(x.T, mode='complete')[1]
    linalg.slogdet: np.linalg.slogdet(a) | np.linalg.slogdet(np.stack([a, b]))
    linalg.solve: np.linalg.solve(a, b) | np.linalg.solve(a, v[:3]) | np.linalg.solve(np.stack([a, b]), a) | np.linalg.solve(a, v)
    linalg.svd: np.linalg.svd(x)[1] | np.linalg.svd(x, compute_uv=False) | np.linalg.svd(h, hermitian=True)[1] | [np.abs(each) for each in np.linalg.svd(x, full_matrices=False)]
    linalg.svdvals: np.linalg.svdvals(x)
    linalg.tensordot: np.linalg.tensordot(a, b)
    linalg.tensorinv: np.linalg.tensorinv(np.reshape(np.kron(a, a), (3, 3, 9)), ind=2) | np.linalg.tensorinv(a, ind=1)
    linalg.tensorsolve: np.linalg.tensorsolve(a, v[:3]) | np.linalg.tensorsolve(np.reshape(np.kron(a, a), (3, 3, 3, 3)), b)
    linalg.trace: np.linalg.trace(a) | np.linalg.trace(a, offset=1, dtype=np.float32)
    linalg.vecdot: np.linalg.vecdot(x, y) | np.linalg.vecdot(x, y, axis=0)
    linalg.vector_norm: np.linalg.vector_norm(x) | np.linalg.vector_norm(x, axis=0, ord=3) | np.linalg.vector_norm(x, keepdims=True, ord=1) | np.linalg.vector_norm(x, ord=np.inf)
    fft.fftshift: np.fft.fftshift(x) | np.fft.fftshift(x, axes=0)
    fft.ifftshift: np.fft.ifftshift(x) | np.fft.ifftshift(x, axes=(1,))
    """
)


def _transform(name: str) -> list[str]:
    f = f"np.fft.{name}"
    common = [f"{f}(x)", f"{f}(x, norm='ortho')", f"{f}(x, norm='forward')", f"{f}(x, norm='no')"]
    if name.endswith(("n", "2")):
        return [*common, f"{f}(x, s=(2, 5), axes=(0, 1))", f"{f}(x, axes=(1,))", f"{f}(v)"]
    return [*common, f"{f}(x, 3)", f"{f}(x, n=6, axis=0)", f"{f}(v)", f"{f}(x, 0)"]


_TRANSFORMS = [
    "fft",
    "fft2",
    "fftn",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftn",
]

_METHODS = calls(
    """
    T: x.T
    mT: x.mT
    real: x.real
    imag: x.imag
    flat: np.stack(list(x.flat)) | x.flat[1]
    astype: x.astype(np.float32) | x.astype(int) | x.astype(complex, copy=False) | x.astype(np.float32, casting='safe')
    choose: np.choose(n % 2, [x, y])
    clip: x.clip(-1, 1) | x.clip(min=0) | x.clip(max=s) | x.clip(None, v)
    compress: x.compress([True, False, True], axis=0)
    conj: x.conj()
    conjugate: x.conjugate()
    copy: x.copy() | x.copy('F')
    cumprod: x.cumprod() | x.cumprod(axis=0) | x.cumprod(-1, np.float32)
    cumsum: x.cumsum() | x.cumsum(axis=0) | x.cumsum(-1, np.float32)
    diagonal: x.diagonal() | x.diagonal(1)
    dot: a.dot(b) | x.dot(v) | v.dot(w)
    fill: changed('fill', x, s)
    flatten: x.flatten() | x.flatten('F')
    max: x.max() | x.max(axis=0) | x.max(axis=-1, keepdims=True) | x.max(initial=1.5, where=m)
    mean: x.mean() | x.mean(0) | x.mean(axis=-1, keepdims=True) | x.mean(where=m) | x.mean(dtype=np.float32)
    min: x.min() | x.min(axis=0) | x.min(axis=-1, keepdims=True)
    partition: changed('partition', x, 1) | changed('partition', x, 1, axis=0)
    prod: x.prod() | x.prod(0) | x.prod(axis=-1, keepdims=True) | x.prod(initial=2, where=m)
    put: changed('put', x, [0, 1], v[:2])
    ravel: x.ravel() | x.ravel('F')
    repeat: x.repeat(2) | x.repeat([1, 2, 0], axis=0)
    reshape: x.reshape(4, 3) | x.reshape((2, -1)) | x.reshape(-1, order='F') | x.reshape(5)
    sort: changed('sort', x) | changed('sort', x, axis=0)
    squeeze: x[None].squeeze() | x[None].squeeze(axis=0) | x.squeeze(0)
    std: x.std() | x.std(axis=0, ddof=1) | x.std(keepdims=True)
    sum: x.sum() | x.sum(0) | x.sum(axis=-1, keepdims=True) | x.sum(where=m, initial=1) | x.sum(dtype=np.float32)
    swapaxes: x.swapaxes(0, 1)
    item: v[0].item() * x | x.item(1, 2) * v[:3] | v.item(-1) * p | x[:1, 1].item() + y
    tolist: np.array(x.tolist()) | sum(v.tolist()) * x
    take: x.take([0, 1]) | x.take([0, 1], axis=0)
    to_device: x.to_device('cpu')
    trace: x.trace() | x.trace(1)
    transpose: x.transpose() | x.transpose(1, 0) | x.transpose((1, 0)) | x.transpose(None)
    var: x.var() | x.var(axis=0, ddof=1) | x.var(keepdims=True)
    view: x.view() | x.view(np.ndarray)
    __abs__: abs(x)
    __add__: x + y | x + 1 | x + v | x + [1, 2, 3, 4] | x + np.float32(1)
    __sub__: x - y | x - 1
    __mul__: x * y | x * 2 | x * x
    __truediv__: x / p | x / 2
    __mod__: x % p | x % 2
    __divmod__: divmod(x, p) | divmod(x, 2)
    __pow__: x**2 | p**y | x**-1 | p**0.5 | x**3 | x**0 | p**2.5
    __matmul__: a @ b | x @ v | v @ w | x @ y
    __radd__: 1 + x | np.ones(4) + x | [1, 2, 3, 4] + x
    __rsub__: 1 - x | np.ones(4) - x
    __rmul__: 2 * x | np.ones(4) * x
    __rtruediv__: 1 / p | np.ones(4) / p
    __rmod__: 3 % p
    __rdivmod__: divmod(3, p)
    __rpow__: 2**x | 2.0**x
    __rmatmul__: np.eye(3) @ x | [1.0, 2.0, 3.0] @ x
    __neg__: -x
    __pos__: +x
    __getitem__: x[0] | x[..., 0] | x[1:, ::-2] | x[m] | x[[0, 2], [1, 1]] | x[None, :, 1] | x[-1, -1] | x[9] | x[()] | x[:, [True, False, True, True]]
    __setitem__: changed('__setitem__', x, 0, 1.5) | changed('__setitem__', x, m, 0) | changed('__setitem__', x, (slice(None), 1), s) | changed('__setitem__', x, Ellipsis, v)
    __iadd__: changed('__iadd__', x, y) | changed('__iadd__', x, v)
    __isub__: changed('__isub__', x, y)
    __imul__: changed('__imul__', x, y)
    __itruediv__: changed('__itruediv__', x, p)
    __ifloordiv__: changed('__ifloordiv__', x, p)
    __imod__: changed('__imod__', x, p)
    __ipow__: changed('__ipow__', x, 2)
    __imatmul__: changed('__imatmul__', a, b)
    __iter__: [each * 2 for each in x] | sum(x) | [*x]
    __copy__: copy.copy(x)
    __deepcopy__: copy.deepcopy(x)
    """
)

DIFFERENTIABLE: dict[str, list[str]] = {
    **_UFUNCS,
    **_renamed(_UFUNCS),
    **{name: _reduction(name) for name in _REDUCTIONS.split()},
    **{name: _variance(name) for name in ("var", "std", "nanvar", "nanstd")},
    **{name: _order_statistic(name, "0.3") for name in ("quantile", "nanquantile")},
    **{name: _order_statistic(name, "30.0") for name in ("percentile", "nanpercentile")},
    **{name: _running(name) for name in ("cumsum", "cumprod", "nancumsum", "nancumprod")},
    **{
        name: [
            f"np.{name}(v)",
            f"np.{name}(x, axis=0)",
            f"np.{name}(x, axis=-1, include_initial=True)",
        ]
        for name in ("cumulative_sum", "cumulative_prod")
    },
    **_FUNCTIONS,
    **{f"fft.{name}": _transform(name) for name in _TRANSFORMS},
    **{f"ndarray.{name}": table for name, table in _METHODS.items()},
}
"""Derivatives flow through these, wherever their results are floating point."""

# -- functions without one ------------------------------------------------------------------------

CONSTANT: dict[str, list[str]] = {
    **_UFUNC_STEPS,
    **_renamed(_UFUNC_STEPS),
    **calls(
        """
        all: np.all(x) | np.all(x, axis=0) | np.all(x, axis=-1, keepdims=True) | np.all(x, where=m)
        allclose: np.allclose(x, y) | np.allclose(x, x, equal_nan=True)
        any: np.any(x) | np.any(x, axis=0) | np.any(x, axis=-1, keepdims=True) | np.any(x, where=m)
        argmax: np.argmax(x) | np.argmax(x, axis=0) | np.argmax(x, axis=-1, keepdims=True) | np.argmax(x, axis=4)
        argmin: np.argmin(x) | np.argmin(x, axis=0)
        argpartition: np.argpartition(x, 0, axis=-1)[..., :1]
        argsort: np.argsort(x, kind='stable') | np.argsort(x, axis=0, kind='stable') | np.argsort(x, axis=None, stable=True)
        argwhere: np.argwhere(x > 0) | np.argwhere(x)
        around: np.around(x, 1)
        array2string: np.array2string(x) | np.array2string(x, precision=2)
        array_equal: np.array_equal(x, y) | np.array_equal(x, x, equal_nan=True)
        array_equiv: np.array_equiv(x, y)
        array_repr: np.array_repr(x)
        array_str: np.array_str(x)
        can_cast: np.can_cast(x.dtype, np.float32)
        common_type: np.common_type(x, v)
        count_nonzero: np.count_nonzero(x) | np.count_nonzero(x, axis=0) | np.count_nonzero(x, keepdims=True)
        digitize: np.digitize(x, t) | np.digitize(x, [0.0, 1.0], right=True)
        einsum_path: np.einsum_path('ij,jk', a, b)[0]
        empty_like: np.empty_like(x).shape | np.empty_like(x, dtype=np.float32).dtype
        fix: np.fix(x)
        flatnonzero: np.flatnonzero(x) | np.flatnonzero(x > 0)
        histogram_bin_edges: np.histogram_bin_edges([1.0, 2.0, 3.0], bins=2, weights=[1, 1, 1])
        isclose: np.isclose(x, y) | np.isclose(x, 1.5, rtol=0.1) | np.isclose(x.astype(np.float32), 1 / 3, 0, 0) | np.isclose(np.float32(1) * x, 3, rtol=0.5 - 1e-16, atol=0)
        iscomplex: np.iscomplex(x)
        iscomplexobj: np.iscomplexobj(x)
        isfortran: np.isfortran(np.ones(2))
        isin: np.isin(x, [1.5, 0.0]) | np.isin(x, y, invert=True)
        isneginf: np.isneginf(x)
        isposinf: np.isposinf(x)
        isreal: np.isreal(x)
        isrealobj: np.isrealobj(x)
        isscalar: np.isscalar(1.5) | np.isscalar(x) | np.isscalar(s) | np.isscalar(s * 2)
        iterable: np.iterable(x)
        lexsort: np.lexsort((v, w))
        may_share_memory: np.may_share_memory(x, y)
        min_scalar_type: np.min_scalar_type(n)
        nanargmax: np.nanargmax(x) | np.nanargmax(x, axis=0) | np.nanargmax(x, axis=-1, keepdims=True)
        nanargmin: np.nanargmin(x) | np.nanargmin(x, axis=0)
        ndim: np.ndim(x)
        nonzero: np.nonzero(x) | np.nonzero(x > 0)
        ones_like: np.ones_like(x) | np.ones_like(x, dtype=int, shape=3)
        packbits: np.packbits(m)
        unpackbits: np.unpackbits(np.packbits(m))
        ravel_multi_index: np.ravel_multi_index(([0, 1], [1, 2]), (3, 4))
        result_type: np.result_type(x, v) | np.result_type(x, np.float32)
        round: np.round(x) | np.round(x, 1) | np.round(x, decimals=-1) | np.round(x, out=np.zeros(x.shape))
        searchsorted: np.searchsorted(t, x) | np.searchsorted(t, v, side='right') | np.searchsorted(t, s)
        shape: np.shape(x)
        shares_memory: np.shares_memory(x, y)
        size: np.size(x) | np.size(x, 0)
        unravel_index: np.unravel_index([3, 5], (3, 4))
        diag_indices_from: np.diag_indices_from(a)
        tril_indices_from: np.tril_indices_from(x, k=1)
        triu_indices_from: np.triu_indices_from(x)
        zeros_like: np.zeros_like(x) | np.zeros_like(x, np.float32) | np.zeros_like(x, shape=(2, 2))
        linalg.matrix_rank: np.linalg.matrix_rank(x) | np.linalg.matrix_rank(x, tol=0.5) | np.linalg.matrix_rank(h, hermitian=True)
        ndarray.all: x.all() | x.all(axis=0, keepdims=True) | (x > 0).all()
        ndarray.any: x.any() | x.any(axis=0)
        ndarray.argmax: x.argmax() | x.argmax(axis=0) | x.argmax(axis=-1, keepdims=True)
        ndarray.argmin: x.argmin() | x.argmin(axis=0)
        ndarray.argpartition: x.argpartition(0, axis=-1)[..., :1]
        ndarray.argsort: x.argsort(kind='stable') | x.argsort(axis=0, kind='stable')
        ndarray.dtype: x.dtype
        ndarray.itemsize: x.itemsize
        ndarray.nbytes: x.nbytes
        ndarray.ndim: x.ndim
        ndarray.nonzero: x.nonzero()
        ndarray.round: x.round() | x.round(1) | round(s)
        ndarray.searchsorted: t.searchsorted(x) | t.searchsorted(v, side='right')
        ndarray.shape: x.shape
        ndarray.size: x.size
        ndarray.strides: x.strides
        ndarray.device: x.device
        ndarray.__bool__: bool(s) | bool(x)
        ndarray.__contains__: 1.5 in x | s in x
        ndarray.__eq__: x == y | x == 1.5
        ndarray.__floordiv__: x // p | x // 2
        ndarray.__ge__: x >= y
        ndarray.__gt__: x > y | x > 0
        ndarray.__index__: [1, 2, 3][np.argmin(v[:3])]
        ndarray.__int__: int(s) | int(x)
        ndarray.__le__: x <= y
        ndarray.__len__: len(x)
        ndarray.__lt__: x < y | 1 < x
        ndarray.__ne__: x != y
        ndarray.__rfloordiv__: 3 // p
        ndarray.__invert__: ~(x > 0)
        ndarray.__and__: (x > 0) & (y > 0)
        ndarray.__or__: (x > 0) | (y > 0)
        ndarray.__xor__: (x > 0) ^ (y > 0)
        ndarray.__lshift__: n << 1 | x << 1
        ndarray.__rshift__: n >> 1 | x >> 1
        ndarray.__format__: f'{s}' | format(x)
        ndarray.__repr__: str(np.shape(x))
        """.replace("(x > 0) | (y > 0)", "(x > 0).__or__(y > 0)")
    ),
}
"""Their results do not change with small changes of an argument, or are no floating-point numbers."""

CREATION: dict[str, list[str]] = calls(
    """
    bartlett: np.bartlett(5)
    blackman: np.blackman(5)
    broadcast_shapes: np.broadcast_shapes((3, 1), (4,))
    diag_indices: np.diag_indices(3)
    empty: np.empty((2, 3)).shape
    eye: np.eye(3) | np.eye(2, 3, k=1, dtype=np.float32)
    hamming: np.hamming(5)
    hanning: np.hanning(5)
    identity: np.identity(3)
    indices: np.indices((2, 3)) | np.indices((2, 3), sparse=True)
    mask_indices: np.mask_indices(3, np.triu)
    ones: np.ones((2, 3)) | np.ones(3, np.float32)
    tri: np.tri(3) | np.tri(3, 4, 1)
    tril_indices: np.tril_indices(3)
    triu_indices: np.triu_indices(3, 1)
    zeros: np.zeros((2, 3)) | np.zeros(3, np.complex64)
    fft.fftfreq: np.fft.fftfreq(5, 0.5)
    fft.rfftfreq: np.fft.rfftfreq(5)
    """
)
"""They make arrays of shapes and numbers that are not differentiated."""

_DRAWS = calls(
    """
    beta: (1.5, 2.0, 3)
    binomial: (5, 0.4, 3)
    bytes: (4)
    chisquare: (2.5, 3)
    choice: (5, 3)
    dirichlet: ([1.0, 2.0], 3)
    exponential: (2.0, 3)
    f: (2.0, 3.0, 3)
    gamma: (1.5, 2.0, 3)
    geometric: (0.4, 3)
    gumbel: (1.0, 2.0, 3)
    hypergeometric: (5, 4, 3, 3)
    laplace: (1.0, 2.0, 3)
    logistic: (1.0, 2.0, 3)
    lognormal: (1.0, 0.5, 3)
    logseries: (0.4, 3)
    multinomial: (5, [0.4, 0.6], 3)
    multivariate_normal: ([1.0, 2.0], [[1.0, 0.2], [0.2, 2.0]], 3)
    negative_binomial: (5, 0.4, 3)
    noncentral_chisquare: (2.5, 1.0, 3)
    noncentral_f: (2.0, 3.0, 1.0, 3)
    normal: (1.0, 2.0, 3)
    pareto: (1.5, 3)
    permutation: (5)
    poisson: (2.5, 3)
    power: (1.5, 3)
    rand: (2, 3)
    randint: (1, 5, 3)
    randn: (2, 3)
    random: (3)
    random_integers: (5, size=3)
    random_sample: (3)
    ranf: (3)
    rayleigh: (1.5, 3)
    sample: (3)
    standard_cauchy: (3)
    standard_exponential: (3)
    standard_gamma: (1.5, 3)
    standard_normal: (3)
    standard_t: (2.5, 3)
    triangular: (0.0, 1.0, 2.0, 3)
    uniform: (1.0, 2.0, 3)
    vonmises: (0.5, 1.5, 3)
    wald: (1.0, 2.0, 3)
    weibull: (1.5, 3)
    zipf: (2.5, 3)
    """
)

RANDOM: dict[str, list[str]] = {
    **{
        f"random.{name}": [f"drawn(np.random.{name}, {arguments[0][1:-1]})"]
        for name, arguments in _DRAWS.items()
    },
    "random.shuffle": ["drawn(changed, np.random.shuffle, np.arange(5.0))"],
}
"""They draw numbers whose distribution is plain; what they make may be written into."""

# What there is to say of names that have nothing to do with numbers that vary.
NOT_OF_NUMBERS: dict[str, str] = {
    "a constant, or an index that is written with brackets": "False_ True_ ScalarType e"
    " euler_gamma index_exp inf little_endian nan newaxis pi s_ sctypeDict typecodes",
    "a type: `dtype=np.float32`, `x.astype(np.float64)`": "bool bool_ byte bytes_ cdouble character"
    " clongdouble complex128 complex192 complex256 complex64 complexfloating csingle datetime64"
    " double dtype flexible float128 float16 float32 float64 float96 floating generic half inexact"
    " int16 int32 int64 int8 int_ intc integer intp long longdouble longlong ndarray number object_"
    " short signedinteger single str_ timedelta64 ubyte ufunc uint uint16 uint32 uint64 uint8 uintc"
    " uintp ulong ulonglong unsignedinteger ushort void recarray record",
    "it is about types": "finfo iinfo isdtype issubdtype mintypecode promote_types typename",
    "it is about dates": "busday_count busday_offset busdaycalendar datetime_as_string datetime_data"
    " is_busday isnat",
    "it reads files or bytes": "fromfile fromregex genfromtxt load loadtxt memmap frombuffer"
    " from_dlpack",
    "it writes files, of plain values": "save savetxt savez savez_compressed",
    "it is about settings of NumPy": "errstate get_include get_printoptions getbufsize geterr"
    " geterrcall printoptions set_printoptions setbufsize seterr seterrcall show_config show_runtime"
    " info test linalg.test fft.test random.test",
    "it is about text, of integers": "base_repr binary_repr",
    "it makes or seeds a generator": "random.BitGenerator random.Generator random.MT19937"
    " random.PCG64 random.PCG64DXSM random.Philox random.RandomState random.SFC64"
    " random.SeedSequence random.default_rng random.get_state random.seed random.set_state"
    " random.get_bit_generator random.set_bit_generator",
    "it steps through positions, which are integers": "ndindex",
    "an exception": "linalg.LinAlgError",
    "it is how Python and NumPy see an array, which a traced value is": "ndarray.__array__"
    " ndarray.__array_finalize__ ndarray.__array_function__ ndarray.__array_namespace__"
    " ndarray.__array_priority__ ndarray.__array_ufunc__ ndarray.__array_wrap__ ndarray.__class__"
    " ndarray.__class_getitem__ ndarray.__delattr__ ndarray.__delitem__ ndarray.__dir__"
    " ndarray.__doc__ ndarray.__getattribute__ ndarray.__hash__ ndarray.__init__"
    " ndarray.__init_subclass__ ndarray.__new__ ndarray.__setattr__ ndarray.__sizeof__"
    " ndarray.__str__ ndarray.__subclasshook__ ndarray.__buffer__",
    "integers and booleans are not differentiated": "ndarray.__iand__ ndarray.__ilshift__"
    " ndarray.__ior__ ndarray.__irshift__ ndarray.__ixor__ ndarray.__rand__ ndarray.__rlshift__"
    " ndarray.__ror__ ndarray.__rrshift__ ndarray.__rxor__",
}


class Refusal(NamedTuple):
    """What is refused, and why."""

    names: str
    reason: str
    instead: str
    calls: list[str]
    """Each raises one of the library's errors."""


_CONVERSION = (
    "a Python number carries no gradient",
    "NumPy's functions (`np.sin`, not `math.sin`); `sd.stop_gradient(x)` for the plain value",
)
_BYTES = (
    "bytes and addresses carry no gradient",
    "`sd.stop_gradient(x)`, or write files outside of the function",
)

REFUSED: list[Refusal] = [
    Refusal(
        "ndarray.__float__ ndarray.__complex__",
        *_CONVERSION,
        ["float(s)", "complex(s)", "math.sin(s)"],
    ),
    Refusal(
        "ndarray.tobytes ndarray.tofile ndarray.dump ndarray.dumps ndarray.data ndarray.ctypes"
        " ndarray.byteswap ndarray.getfield ndarray.setfield ndarray.flags"
        " ndarray.setflags ndarray.base ndarray.__array_interface__ ndarray.__array_struct__"
        " ndarray.__dlpack__ ndarray.__dlpack_device__ ndarray.__reduce__ ndarray.__reduce_ex__"
        " ndarray.__getstate__ ndarray.__setstate__",
        *_BYTES,
        ["x.tobytes()", "x.dumps()", "x.data", "x.ctypes", "x.byteswap()", "x.flags"],
    ),
    Refusal(
        "ndarray.resize",
        "it changes the shape of an array that others may be views of",
        "`y = np.resize(x, shape)`, or `x = np.concatenate([x, more])`",
        ["x.resize((2, 2))"],
    ),
    Refusal(
        "nditer nested_iters flatiter broadcast",
        "they step through the memory of ndarrays",
        "`for index in np.ndindex(x.shape)` and `x[index]`, `np.ndenumerate`, `x.flat`,"
        " `np.broadcast_arrays`",
        ["list(np.nditer(x))", "np.broadcast(x, x)"],
    ),
    Refusal(
        "matrix asmatrix bmat",
        "`*` and `**` mean something else to them",
        "arrays and `@`; `np.block` for `np.bmat`",
        ["np.asmatrix(x)", "np.matrix(x)", "np.matrix(a) * b"],
    ),
    Refusal(
        "frompyfunc",
        "its results are Python objects, which NumPy computes one by one",
        "the function itself, or `np.vectorize(function)`",
        ["np.frompyfunc(lambda x: x * x, 1, 1)(x)"],
    ),
    Refusal(
        "fromstring",
        "text carries no gradient",
        "read the numbers outside of the function",
        [],
    ),
    Refusal(
        "format_float_positional format_float_scientific",
        "they take numbers of Python",
        "`f'{x:.3f}'`, or the same of `sd.stop_gradient(x)`",
        ["np.format_float_positional(s)", "np.format_float_scientific(s)"],
    ),
]
"""Names that a traced value does not go through, with calls that raise one of the library's errors.
"""

REFUSED_CALLS: dict[str, list[str]] = {
    "a ufunc of nothing but a list of traced values (`np.array` of it is an array)": [
        "np.exp([s, 2 * s])",
        "np.add.reduce([s, 2 * s])",
    ],
    "an order that depends on memory (`order='C'` or `order='F'`)": [
        "np.ravel(x, order='K')",
        "x.reshape(4, 3, order='A')",
    ],
    "entries that nobody has written (`np.where(mask, result, other)`)": ["np.sin(x, where=m)"],
    "a traced parameter of a distribution (`loc + scale * np.random.normal(size=n)`)": [
        "np.random.normal(s)",
        "np.random.uniform(x, 4.0)",
        "np.random.default_rng(0).exponential(x)",
    ],
    "the bytes of an array in another dtype (`x.astype(dtype)`)": ["x.view(np.int64)"],
}
"""Calls of what is differentiated otherwise."""

# -- what calls cannot do -------------------------------------------------------------------------

_NEED_VALUES = """
    allclose argwhere array2string array_equal array_equiv array_repr array_str extract flatnonzero
    intersect1d isin poly1d may_share_memory nonzero polydiv polymul piecewise roots setdiff1d setxor1d
    shares_memory trim_zeros union1d unique unique_all unique_counts unique_inverse unique_values
    arange asarray_chkfinite linalg.eig linalg.eigvals ndarray.nonzero ndarray.__contains__
    ndarray.__bool__ ndarray.__index__ ndarray.__int__ ndarray.__format__ ndarray.strides
"""

KEYWORDS = calls(keyword_calls.TABLE)
"""More calls of the same functions, with the keyword arguments that the tables above leave out."""

NEEDS_VALUES: set[str] = {
    *keyword_calls.NEED_VALUES,
    "np.ix_(v, w, v)",
    "np.ix_(v)",
    "np.ix_(m[0] if m.ndim > 1 else m.ravel(), v)",
    *(call for name in _NEED_VALUES.split() for call in {**DIFFERENTIABLE, **CONSTANT}[name]),
    "np.linalg.norm(v, 0)",
    "np.linalg.lstsq(x.T, y.T, rcond=None)[:2]",
    "np.poly(a)",
    "np.poly(v)",
    "np.real_if_close(x)",
    "np.real_if_close(x * (1 + 0j))",
    "round(s)",
}
"""Calls that are not recorded with shapes alone: results of a shape that depends on values, or that
are numbers of Python."""

UNSEEN: dict[str, str] = {
    "np.polyint(v, 2, k=[1.5, s])": "s",
    "np.add.reduce(x, axis=0, initial=s)": "s",
}
"""Arguments that NumPy does not look at when it asks whose implementation to call.

Where they alone are traced, it is an error.
"""

OTHERWISE: dict[str, tuple[str, ...]] = {
    # NumPy takes the differences of a running sum, in which an infinite weight of one bin makes NaN
    # of all that follow. Here the weights of each bin are added up by themselves.
    "np.histogram(x, weights=y, bins=[-3, 0, 3])": ("infinite",),
    # An error: the function has a copy, of which the strides are others.
    "x.strides": ("reversed",),
}
"""Calls that differ from NumPy's, and for which kinds of arguments."""

UNDEFINED: dict[str, tuple[str, ...]] = {
    # Transforms of no entries into some: NumPy reads memory that nobody has written.
    "np.fft.hfft(x, 3)": ("empty", "no columns"),
    "np.fft.hfft(x, n=6, axis=0)": ("empty", "no rows"),
    "np.fft.irfft(x, 3)": ("empty", "no columns"),
    "np.fft.irfft(x, n=6, axis=0)": ("empty", "no rows"),
    "np.fft.irfft2(x, s=(2, 5), axes=(0, 1))": ("no columns",),
    "np.fft.irfftn(x, s=(2, 5), axes=(0, 1))": ("no columns",),
}
"""Calls whose results NumPy leaves to chance, and for which kinds of arguments."""

NOT_SMOOTH: set[str] = {
    "np.partition(x, 1)",
    "np.power.outer(v, w)",
    "np.float_power.outer(v, w)",
    "changed(np.power.at, v, [0, 0, 1], w[:3])",
    "changed(np.float_power.at, v, [0, 0, 1], w[:3])",
}
"""Calls without numerical derivatives: NaN, or entries in an order that NumPy leaves open."""
