"""Calls of NumPy's functions with keyword arguments that the other tables leave out.

Together with them, each keyword argument of each function is tried; `test_keywords.py` sees to it.
"""

from __future__ import annotations

__all__ = ["NEED_VALUES", "NO_DIFFERENCES", "TABLE"]

TABLE = """
    abs: np.abs(x, out=np.zeros(x.shape)) | np.abs(x, dtype=np.float32, casting='same_kind', order='F')
    add: np.add(x, y, signature='dd->d') | np.add(x, y, signature='ff->f', casting='same_kind') | np.add(x, y, signature=(None, None, np.float32), casting='same_kind') | np.add(x, y, order='F') | np.add(x, y, subok=False) | np.add.reduce(x, 0, np.float32, np.zeros(4)) | np.add.accumulate(x, 0, np.float32) | np.add.accumulate(x, axis=0, out=np.zeros(x.shape)) | np.add.reduceat(x, [0, 2], axis=1, dtype=np.float32) | np.add.reduceat(x, [0, 2], axis=1, out=np.zeros((3, 2))) | np.add.accumulate(x, axis=None) | np.add(x, y, signature='d', casting='unsafe')
    all: np.all(x, axis=0, out=np.zeros(4, bool))
    allclose: np.allclose(x, y, rtol=0.5, atol=0.5)
    angle: np.angle(x * (1 + 1j), deg=True)
    any: np.any(x, axis=0, out=np.zeros(4, bool)) | np.any(x, axis=0, out=np.zeros(4))
    append: np.append(x, s)
    apply_along_axis: np.apply_along_axis(lambda row, scale=1: row * scale, 0, x, scale=3) | np.apply_along_axis(lambda row, other, scale=1: row * scale * other, 0, x, s, scale=y[:, 0])
    apply_over_axes: np.apply_over_axes(np.sum, x, (0, -1))
    arange: np.arange(s, 3, step=0.5) | np.arange(s, 3, 0.5, dtype=np.float32) | np.arange(0.0, 3, s) | np.arange(s, 3, 0.5, int) | np.arange(start=s, stop=3) | np.arange(3, step=s)
    argmax: np.argmax(x, axis=0, out=np.zeros(4, int))
    argmin: np.argmin(x, axis=0, out=np.zeros(4, int)) | np.argmin(x, axis=0, keepdims=True)
    argpartition: np.argpartition(x, 1, kind='introselect', order=None)[:, 1]
    argsort: np.argsort(x, kind='stable', order=None) | np.argsort(x, descending=True)
    around: np.around(x, 1, out=np.zeros(x.shape)) | np.around(x, decimals=0)
    array2string: np.array2string(x, max_line_width=20, suppress_small=True, separator=', ', prefix='a', suffix='b') | np.array2string(x, formatter={'float_kind': lambda each: '%.1f' % each}) | np.array2string(x, threshold=2, edgeitems=1, sign='+', floatmode='fixed')
    array: np.array(x, order='F') | np.array(x, order='K') | np.array(x, subok=True) | np.array([x, y], order='F') | np.array([[s, 1], [2, s]], order='F', ndmin=3) | np.array(x, dtype=np.float32, copy=None) | np.array(x, dtype=np.float32, copy=False) | np.array([x, y], copy=False) | np.array([s, 2], dtype=int)
    array_repr: np.array_repr(x, 30, 2, True) | np.array_repr(x, max_line_width=30, precision=2, suppress_small=True)
    array_str: np.array_str(x, max_line_width=30, precision=2, suppress_small=True)
    asanyarray: np.asanyarray(x, dtype=np.float32) | np.asanyarray(x, order='F', copy=True)
    asarray: np.asarray(x, order='F') | np.asarray(x, copy=True) | np.asarray(x, copy=False) | np.asarray([s, 1.0], copy=False) | np.asarray([s, 1.0], dtype=np.float32) | np.asarray(x, device='cpu')
    asarray_chkfinite: np.asarray_chkfinite(x, dtype=np.float32, order='F')
    ascontiguousarray: np.ascontiguousarray(x, dtype=np.float32) | np.ascontiguousarray(s)
    asfortranarray: np.asfortranarray(x, dtype=np.float32)
    astype: np.astype(x, np.float32, copy=False, device='cpu')
    average: np.average(x, 0, p, True, keepdims=True) | np.average(x, axis=(0, 1), weights=p) | np.average(x, axis=0, weights=p[:, 0])
    bartlett: np.bartlett(5) * s
    bincount: np.bincount(i, weights=v, minlength=0)
    block: np.block([[x], [y]])
    broadcast_arrays: np.broadcast_arrays(x, v, subok=True)
    broadcast_shapes: np.broadcast_shapes(x.shape, v.shape)
    broadcast_to: np.broadcast_to(v, (3, 4), subok=True)
    can_cast: np.can_cast(x.dtype, np.float32, casting='same_kind')
    choose: np.choose(n % 2, [x, y], out=np.zeros(x.shape)) | np.choose(n % 2, [x, y], np.zeros(x.shape), 'clip')
    clip: np.clip(x, max=0.5) | np.clip(x, min=-1, max=0.5) | np.clip(x, -1, 1, order='F') | np.clip(x, -1, 1, where=m, out=np.zeros(x.shape)) | np.clip(x, -1, 1, subok=False) | np.clip(x, -1, 1, casting='same_kind', dtype=np.float32) | np.clip(x, -1, 1, signature='ddd->d')
    compress: np.compress([True, False, True], x, axis=0, out=np.zeros((2, 4)))
    concat: np.concat([x, y], axis=1, out=np.zeros((3, 8))) | np.concat([x, y], dtype=np.float32, casting='unsafe') | np.concat([x, y], dtype=np.float32, casting='safe')
    concatenate: np.concatenate([x, y], out=np.zeros((6, 4))) | np.concatenate([x, y], axis=1, out=np.zeros((3, 8), np.float32), casting='same_kind') | np.concatenate([x, y], out=np.zeros((6, 4), np.float32)) | np.concatenate([x, y], out=np.zeros((6, 4), int), casting='unsafe')
    convolve: np.convolve(v, w, 'nonsense')
    copy: np.copy(x, 'K', True)
    copyto: changed(np.copyto, x, y, casting='unsafe') | changed(np.copyto, x, y, 'no', m) | changed(np.copyto, np.zeros(x.shape, int), x, casting='unsafe') | changed(np.copyto, np.zeros(x.shape, np.float32), x, casting='safe')
    corrcoef: np.corrcoef(x, y, False)
    count_nonzero: np.count_nonzero(x, axis=(0, 1), keepdims=True)
    cov: np.cov(x, y, False, True) | np.cov(x, ddof=2) | np.cov(x, fweights=[1, 2, 1, 3], aweights=p[0]) | np.cov(x, aweights=p[0], ddof=0) | np.cov(x, aweights=-p[0]) | np.cov(x, fweights=[1.5, 2, 1, 3])
    cross: np.cross(a, b, axisa=0, axisb=1, axisc=0) | np.cross(x[:, :2], y[:, :2])
    cumsum: np.cumsum(x, 0, np.complex128)
    cumulative_prod: np.cumulative_prod(v, dtype=np.float32) | np.cumulative_prod(v, out=np.zeros(4)) | np.cumulative_prod(x, axis=0, dtype=np.complex128)
    cumulative_sum: np.cumulative_sum(v, dtype=np.float32) | np.cumulative_sum(x, axis=1, dtype=np.float32, include_initial=True) | np.cumulative_sum(v, out=np.zeros(4)) | np.cumulative_sum(v, out=np.zeros(5), include_initial=True) | np.cumulative_sum(x)
    delete: np.delete(x, [], axis=0) | np.delete(x, -1, 0)
    diag_indices: np.diag_indices(3, ndim=3)
    diff: np.diff(x, 1, 0, prepend=v[None], append=w[None]) | np.diff(x, axis=0, prepend=s) | np.diff(m)
    digitize: np.digitize(x, bins=t, right=True)
    divide: np.divide.accumulate(p, axis=1)
    divmod: np.divmod(x, p, out=(np.zeros(x.shape), np.zeros(x.shape))) | np.divmod(x, p, out=(np.zeros(x.shape), None)) | np.divmod(x, p, out=(np.zeros(x.shape), np.zeros(x.shape)), where=m) | np.divmod(x, p, dtype=np.float32, casting='same_kind') | np.divmod(x, p, order='F', subok=False) | np.divmod(x, p, signature='dd->dd')
    dot: np.dot(a, b, out=np.zeros((3, 3))) | np.dot(a, b, np.zeros((3, 3))) | np.dot(x, y.T, out=np.zeros((3, 3), order='F'))
    ediff1d: np.ediff1d(x, 1.0, s)
    einsum: np.einsum('ij,jk', a, b, out=np.zeros((3, 3))) | np.einsum('ij,jk', a, b, dtype=np.float32, casting='unsafe') | np.einsum('ij,jk', a, b, order='F') | np.einsum('ij,jk', a, b, casting='no') | np.einsum('ij,jk,kl', a, b, a, optimize='greedy') | np.einsum('ij,jk,kl', a, b, a, optimize='optimal') | np.einsum('ij,jk,kl', a, b, a, optimize=['einsum_path', (0, 1), (0, 1)]) | np.einsum('ij,jk,kl', a, b, a, optimize=('greedy', 1000)) | np.einsum('ij,jk,kl', a, b, a, optimize='nonsense') | np.einsum('ii->i', a) | np.einsum('ij->', x) | np.einsum('i,i', v, v) | np.einsum('i...,j...->ij...', x, y) | np.einsum('ij,k', x, s) | np.einsum(',ij', s, x) | np.einsum('iij->j', np.stack([a, b, a])) | np.einsum('ij,ij,ij->ij', x, x, x)
    einsum_path: np.einsum_path('ij,jk,kl', a, b, a, optimize='optimal')[0] | np.einsum_path('ij,jk,kl', a, b, a, optimize='greedy', einsum_call=False)[1]
    empty: np.empty((2, 3), dtype=np.float32, order='F').strides
    empty_like: np.empty_like(x, order='F', subok=False, shape=(2, 3)).shape
    expand_dims: np.expand_dims(x, axis=[0, 2])
    eye: np.eye(3, order='F')
    fill_diagonal: changed(np.fill_diagonal, x.T, s, wrap=True) | changed(np.fill_diagonal, np.tile(x, (3, 1)), s, True)
    fix: np.fix(x, out=np.zeros(x.shape))
    fliplr: np.fliplr(a) @ b
    frexp: np.frexp(x, out=(np.zeros(x.shape), np.zeros(x.shape, np.intc))) | np.frexp(x, out=(np.zeros(x.shape), np.zeros(x.shape, np.intc)), where=m) | np.frexp(x, dtype=np.float32, casting='same_kind') | np.frexp(x, signature='d->di') | np.frexp(x, order='F', subok=False)
    fromfunction: np.fromfunction(lambda i, j: (i + j) * s, (2, 3), dtype=np.float32) | np.fromfunction(lambda i, j, k: (i + j) * k, (2, 3), k=s)
    fromiter: np.fromiter((each * 2 for each in v), float, count=4) | np.fromiter((each * 2 for each in v), float, 2) | np.fromiter((each * 2 for each in v), np.float32) | np.fromiter((each * 2 for each in v), dtype=float, count=9)
    full: np.full((2, 2), s, order='F') | np.full((2, 2), s, device='cpu')
    full_like: np.full_like(x, s, order='F') | np.full_like(x, s, subok=False) | np.full_like(x, s, shape=(2, 3)) | np.full_like(x, s, device='cpu')
    geomspace: np.geomspace(p, g, 3, dtype=int)
    gradient: np.gradient(x, 0.5, axis=0) | np.gradient(x, 0.5, 0.25) | np.gradient(x, s, s, edge_order=2) | np.gradient(x, axis=(0, 1)) | np.gradient(x, 1, axis=None) | np.gradient(v, t[:4], edge_order=2)
    histogram2d: np.histogram2d(v, w, bins=2, range=[(-3, 3), (-3, 3)], density=True) | np.histogram2d(v, w, bins=2, range=[(-3, 3), (-3, 3)], weights=p[0])[0] | np.histogram2d(v, w, bins=2, density=True, weights=p[0])
    histogram: np.histogram(x, bins='auto') | np.histogram(x, bins=4, range=(-3, 3), density=True, weights=p) | np.histogram(x, bins=4, density=True, weights=p)
    histogram_bin_edges: np.histogram_bin_edges(v, bins=3, range=(-2, 2), weights=w) | np.histogram_bin_edges(v, bins=3)
    histogramdd: np.histogramdd((v, w), bins=2, range=[(-3, 3), (-3, 3)], density=True) | np.histogramdd((v, w), bins=2, density=True) | np.histogramdd((v, w), bins=2, density=True, weights=p[0])
    i0: np.i0(s)
    identity: np.identity(3, dtype=np.float32)
    indices: np.indices((2, 3), dtype=float) * s
    insert: np.insert(x, slice(0, 2), s, axis=1) | np.insert(v, np.array([]), [])
    interp: np.interp(x, t, t**2, left=None, right=None) | np.interp(x, t, t**2, period=5.0) | np.interp(x, t, t**2, s, s) | np.interp(v, t, t**2 * (1 + 2j), left=1j, right=s * 1j)
    intersect1d: np.intersect1d(v, np.concatenate([v, w]), assume_unique=True) | np.intersect1d(v, np.concatenate([v, w]), return_indices=True)
    isclose: np.isclose(x, y, rtol=0.1, atol=0.2, equal_nan=True)
    isin: np.isin(x, y, assume_unique=True) | np.isin(x, y, kind='sort') | np.isin(n, [1, 2], kind='table')
    isneginf: np.isneginf(x, out=np.zeros(x.shape, bool))
    isposinf: np.isposinf(x, out=np.zeros(x.shape, bool))
    ix_: np.ix_([0, 1], v)
    kron: np.kron(x, s)
    ldexp: np.ldexp(x, 3, out=np.zeros(x.shape)) | np.ldexp(x, n, out=np.zeros(x.shape), where=m) | np.ldexp(x, 3, dtype=np.float32, casting='same_kind') | np.ldexp(x, 3, signature='dl->d') | np.ldexp(x, 3, order='F', subok=False)
    less: np.less(x, y, signature='dd->?') | np.less(x, y, order='F', subok=False)
    lexsort: np.lexsort((x, y), axis=0) | np.lexsort(x)
    linspace: np.linspace(s, 2.0, dtype=int) | np.linspace(s, 2.0) | np.linspace(s, 2.0, 5, device='cpu')
    logaddexp: np.logaddexp.reduce(x, axis=(0, 1), keepdims=True) | np.logaddexp.reduce(x, 0, int)
    logspace: np.logspace(x, y, 3, dtype=np.float32) | np.logspace(x, y, 3, dtype=int) | np.logspace(s, 2.0, base=3.0)
    mask_indices: np.mask_indices(3, np.tril, k=1)
    matmul: np.matmul(a, b, out=np.zeros((3, 3))) | np.matmul(x, y, axes=[(0, 1), (1, 0), (0, 1)]) | np.matmul(a, b, axes=[(1, 0), (0, 1), (1, 0)]) | np.matmul(a, b, axes=[(1, 0), (0, 1), (1, 0)], out=np.zeros((3, 3))) | np.matmul(a, b, axis=0) | np.matmul(a, b, keepdims=True) | np.matmul(a, b, order='F') | np.matmul(a, b, subok=False) | np.matmul(a, b, signature='dd->d') | np.matmul(a, b, signature='ff->f', casting='same_kind')
    matvec: np.matvec(a, a[0], axes=[(1, 0), 0, 0]) | np.matvec(a, a[0], axes=[(1, 0), (0,), (0,)]) | np.matvec(a, a[0], out=np.zeros(3)) | np.matvec(a, a[0], dtype=np.float32, casting='same_kind') | np.matvec(a, a[0], signature='dd->d') | np.matvec(a, a[0], order='F', subok=False) | np.matvec(a, a[0], axis=0) | np.matvec(a, a[0], keepdims=True)
    max: np.max(x, axis=0, initial=s) | np.max(x, initial=y) | np.max([s, 2.0])
    may_share_memory: np.may_share_memory(x, y, max_work=1)
    mean: np.mean(x, 0, None, None, True) | np.mean(x, out=np.zeros(())) | np.mean((x, y))
    median: np.median(x, axis=0, out=np.zeros(4)) | np.median(x, 0, None, True, True)
    meshgrid: np.meshgrid(v, w, sparse=True, indexing='ij', copy=False) | np.meshgrid(v, w, v, indexing='xy') | np.meshgrid(v, w, indexing='zz')
    minimum: np.minimum.accumulate(x, axis=1)
    modf: np.modf(x, out=(np.zeros(x.shape), np.zeros(x.shape))) | np.modf(x, np.zeros(x.shape)) | np.modf(x, dtype=np.float32, casting='same_kind') | np.modf(x, signature='d->dd') | np.modf(x, order='F', subok=False) | np.modf(x, out=(np.zeros(x.shape), np.zeros(x.shape)), where=m)
    moveaxis: np.moveaxis(x, source=0, destination=1)
    multiply: np.multiply(x, y, order='K') | np.multiply(x, y, order='A') | np.multiply.outer(v, w, dtype=np.float32, casting='same_kind') | np.multiply.outer(v, w, out=np.zeros((4, 4)))
    nan_to_num: np.nan_to_num(x, copy=False) | changed(np.nan_to_num, x, copy=False) | changed(np.nan_to_num, x, False, 1.0, 2.0, 3.0) | np.nan_to_num(x, nan=s, posinf=v, neginf=-v)
    nanargmax: np.nanargmax(x, axis=0, out=np.zeros(4, int))
    nanargmin: np.nanargmin(x, axis=0, out=np.zeros(4, int)) | np.nanargmin(x, axis=0, keepdims=True)
    nanmax: np.nanmax(x, axis=0, out=np.zeros(4))
    nanmean: np.nanmean(x, axis=0, dtype=np.float32, where=m)
    nanmedian: np.nanmedian(x, axis=0, out=np.zeros(4)) | np.nanmedian(x, axis=0, overwrite_input=True) | np.nanmedian(x, axis=(0, 1), keepdims=True)
    nanmin: np.nanmin(x, axis=0, initial=0.5, where=m)
    nanpercentile: np.nanpercentile(x, 30, axis=0, out=np.zeros(4)) | np.nanpercentile(x, 30, axis=0, overwrite_input=True) | np.nanpercentile(x, [30, 40], axis=0, method='hazen', keepdims=True, weights=None)
    nanquantile: np.nanquantile(x, 0.3, axis=0, out=np.zeros(4)) | np.nanquantile(x, 0.3, axis=0, overwrite_input=True) | np.nanquantile(x, q=0.3, axis=0, weights=p, method='inverted_cdf')
    nanstd: np.nanstd(x, axis=0, out=np.zeros(4))
    nansum: np.nansum(x, axis=0, out=np.zeros(4), dtype=np.float32)
    nanvar: np.nanvar(x, axis=0, out=np.zeros(4)) | np.nanvar(x, axis=0, dtype=np.float32, where=m, ddof=1)
    nextafter: np.nextafter(x, y, out=np.zeros(x.shape)) | np.nextafter(x, y, out=np.zeros(x.shape), where=m) | np.nextafter(x, y, dtype=np.float32, casting='same_kind') | np.nextafter(x, y, signature='ff->f', casting='same_kind') | np.nextafter(x, y, order='F', subok=True)
    ones: np.ones((2, 3), order='F')
    ones_like: np.ones_like(x, order='F', subok=False)
    outer: np.outer(v, w, out=np.zeros((4, 4))) | np.outer(v, w, np.zeros((4, 4)))
    packbits: np.packbits(m, axis=0, bitorder='little')
    pad: np.pad(x, 2, 'edge', constant_values=1) | np.pad(x, 2, 'constant', constant_values=((1, 2), (3, 4))) | np.pad(x, {0: 1, 1: (1, 2)}) | np.pad(x, {-1: 2}) | np.pad(x, 2, 'linear_ramp', end_values=((s, 2), (3, s))) | np.pad(x, 2, 'maximum', stat_length=((1, 2), (2, 1))) | np.pad(x, 2, 'mean') | np.pad(x, 2, 'median', stat_length=3) | np.pad(x, 2, 'minimum', stat_length=2) | np.pad(x, 2, 'symmetric', reflect_type='odd') | np.pad(x, 7, 'reflect', reflect_type='odd') | np.pad(x, 7, 'symmetric', reflect_type='odd') | np.pad(x, 7, 'reflect') | np.pad(x, 7, 'wrap') | np.pad(x, ((1, 1), (0, 2)), lambda vector, width, axis, kw: vector.__setitem__(slice(0, width[0]), vector[width[0]] * 2)) | np.pad(x, 1, lambda vector, width, axis, kw: vector.__setitem__(slice(0, width[0]), kw['value'] * vector[1]), value=s)
    partition: np.partition(x, 1, kind='introselect')[:, 1] | np.partition(x, 1, order=None)[:, 1] | np.partition(x, kth=1, axis=-1)[:, 1]
    percentile: np.percentile(x, 30, axis=0, out=np.zeros(4)) | np.percentile(x, 30, overwrite_input=True) | np.percentile(x, p[0] * 50, axis=0)
    poly1d: np.poly1d(v, r=True)(x) | np.poly1d(v, True, 'z')(x) | np.poly1d(v, variable='t').coeffs | np.poly1d(v).deriv()(x) | np.poly1d(v).deriv(m=2)(x) | np.poly1d(v).r | np.poly1d(v).roots | np.poly1d(v)[1]
    polyder: np.polyder(v, m=0)
    polyfit: np.polyfit([0.0, 1.0, 2.0, 3.0], v, 1, rcond=1e-10) | np.polyfit([0.0, 1.0, 2.0, 3.0], v, 1, rcond=0.5) | np.polyfit([0.0, 1.0, 2.0, 3.0], v, 1, cov=True) | np.polyfit([0.0, 1.0, 2.0, 3.0], v, 1, cov='unscaled') | np.polyfit([0.0, 1.0, 2.0, 3.0], v, 1, cov=True, w=p[0]) | np.polyfit([0.0, 1.0, 2.0, 3.0], v, 1, full=True) | np.polyfit([0.0, 1.0, 2.0, 3.0], x.T, 1, full=True)[:4] | np.polyfit([0.0, 1.0, 2.0, 3.0], x.T, 1, cov=True)
    polyint: np.polyint(v, m=2)
    pow: np.pow(p, y, out=np.zeros(x.shape), where=m)
    prod: np.prod(x, axis=0, initial=s)
    ptp: np.ptp(x, axis=0, out=np.zeros(4))
    quantile: np.quantile(x, 0.3, axis=0, out=np.zeros(4)) | np.quantile(x, 0.3, overwrite_input=True) | np.quantile(x, 0.3, 0, None, True) | np.quantile(x, 0.3, axis=0, interpolation='lower') | np.quantile(x, s, axis=0)
    ravel_multi_index: np.ravel_multi_index(([0, 9], [1, 2]), (3, 4), mode='wrap', order='F')
    real_if_close: np.real_if_close(x * (1 + 1e-14j), tol=1000) | np.real_if_close(x * (1 + 1e-3j), tol=1e-2)
    repeat: np.repeat(x, [1, 2, 0, 1], 1)
    require: np.require(x, dtype=np.float32) | np.require(x, dtype=np.float32, requirements=['F', 'O', 'W'])
    roll: np.roll(x, (1, 2), (0, 0)) | np.roll(x, [1, 2], axis=[0, 1])
    ravel: np.ravel(v, order='K') | np.ravel(v, order='A') | np.ravel(s, order='F') | np.ravel(v, order='Q')
    rot90: np.rot90(x, k=1, axes=(0, 1))
    round: np.round(x, 1, np.zeros(x.shape)) | np.round(x, -1)
    searchsorted: np.searchsorted(t, x, sorter=np.argsort(t, kind='stable')) | np.searchsorted(t, x, 'right', None)
    select: np.select([m, ~m], [x, y], default=s) | np.select([m, x > 0], [v, 2.0], default=s)
    setdiff1d: np.setdiff1d(v, w, assume_unique=True)
    setxor1d: np.setxor1d(v, w, assume_unique=True)
    shares_memory: np.shares_memory(x, y, max_work=1)
    sin: np.sin(x, signature='d->d') | np.sin(x, signature='f->f', casting='same_kind') | np.sin(x, signature=(np.float32, np.float32), casting='same_kind') | np.sin(x, signature=(None, np.float32), casting='same_kind') | np.sin(x, sig='d->d') | np.sin(x, casting='safe', dtype=np.float32) | np.sin(x, casting='unsafe', dtype=np.float32) | np.sin(x, casting='no') | np.sin(x, casting='nonsense') | np.sin(x, order='Q') | np.sin(x, nonsense=1) | np.sin(x, dtype='nonsense')
    sinc: np.sinc(v * 0)
    sort: np.sort(x, descending=True) | np.sort(x, order=None) | np.sort(x, kind='heapsort') | np.sort(x, kind='nonsense') | np.sort(x, order='a') | np.sort(x, axis=-1, kind=None, order=None, stable=True) | np.sort(np.unique(x, sorted=False))
    stack: np.stack([x, y], out=np.zeros((2, 3, 4))) | np.stack([x, y], axis=1, out=np.zeros((3, 2, 4))) | np.stack([x, y], out=np.zeros((2, 3, 4), np.float32), casting='no')
    std: np.std(x, axis=0, out=np.zeros(4)) | np.std(x, axis=0, out=np.zeros(4, np.float32))
    subtract: np.subtract.reduce(x, axis=1)
    sum: np.sum(x, 0, None, None, True, 2.0, m) | np.sum(x, out=np.zeros((), np.float32)) | np.sum(x, axis=0, dtype=int) | np.sum(x, initial=s) | np.sum([x, y], axis=0)
    take: np.take(x, [0, 2], axis=0, out=np.zeros((2, 4))) | np.take(x, [0, 2], axis=0, out=np.zeros((2, 4)), mode='clip') | np.take(x, [0, 9], axis=0, mode='raise')
    take_along_axis: np.take_along_axis(x, np.array([[0, 1]]), 1)
    tensordot: np.tensordot(x, y, ((0,), (0,))) | np.tensordot(x, y, axes=((-1, 0), (-1, 0)))
    tile: np.tile(x, [])
    trace: np.trace(x, out=np.zeros(())) | np.trace(x, dtype=np.float32, out=np.zeros((), np.float32)) | np.trace(np.stack([x, y]), offset=1, axis1=1, axis2=2)
    trapezoid: np.trapezoid(x, [0, 1, 3, 4], 1.0, -1) | np.trapezoid(x, p, axis=0) | np.trapezoid(x, dx=s)
    tri: np.tri(3, dtype=int) * s
    tril: np.tril(np.stack([x, y]), k=1)
    tril_indices: np.tril_indices(3, k=1, m=4)
    trim_zeros: np.trim_zeros(np.pad(x, 1), axis=0) | np.trim_zeros(np.pad(x, 1), axis=None) | np.trim_zeros(np.pad(x, 1), 'b', axis=(0, 1)) | np.trim_zeros(np.pad(x, 1), 'fb')
    triu_indices: np.triu_indices(3, 1, m=4)
    triu_indices_from: np.triu_indices_from(x, k=1)
    unique: np.unique(x, equal_nan=False) | np.unique(x, sorted=True) | np.unique(x, return_counts=True, axis=1) | np.unique(x, return_index=True, return_inverse=True, axis=-1)
    unpackbits: np.unpackbits(np.packbits(m, axis=0), axis=0) | np.unpackbits(np.packbits(m), count=3, bitorder='little')
    unravel_index: np.unravel_index([3, 5], (3, 4), order='F')
    unstack: np.unstack(x, axis=1)
    unwrap: np.unwrap(3 * x, discont=None, axis=0, period=4)
    vander: np.vander(v, 3, True) | np.vander(v, N=0)
    var: np.var(x, out=np.zeros(())) | np.var(x, axis=0, out=np.zeros(4))
    vdot: np.vdot(x, x)
    vecdot: np.vecdot(x, y, axes=[0, 0, ()]) | np.vecdot(x, y, axes=[(0,), (0,), ()]) | np.vecdot(x, y, out=np.zeros(3)) | np.vecdot(x, y, axis=0, keepdims=True) | np.vecdot(x, y, keepdims=True) | np.vecdot(x, y, keepdims=False) | np.vecdot(x, y, dtype=np.float32, casting='same_kind') | np.vecdot(x, y, signature='ff->f', casting='same_kind') | np.vecdot(x, y, order='F', subok=False) | np.vecdot(x, y, axes=[-1, -1, -1])
    vecmat: np.vecmat(a[0], a, axis=0) | np.vecmat(a[0], a, axes=[0, (1, 0), 0]) | np.vecmat(a[0], a, out=np.zeros(3)) | np.vecmat(a[0], a, dtype=np.float32, casting='same_kind') | np.vecmat(a[0], a, signature='dd->d') | np.vecmat(a[0], a, order='F', subok=False) | np.vecmat(a[0], a, keepdims=True)
    vectorize: np.vectorize(lambda a, b: a * b, otypes=[float])(x, v) | np.vectorize(lambda a, b: a * b, otypes='d')(x, v) | np.vectorize(lambda a, b: a * b, otypes=[np.float32])(x, v) | np.vectorize(lambda a, b: (a * b, a + b), otypes='dd')(x, v) | np.vectorize(lambda a, k=1: a * k, excluded=['k'])(x, k=s) | np.vectorize(lambda a, k: np.sum(k) * a, excluded={1})(x, v) | np.vectorize(lambda a: a * 2, cache=True)(x) | np.vectorize(lambda a: a * 2, doc='doubles')(x) | np.vectorize(lambda a, b: a @ b, signature='(n),(n)->()')(x, y) | np.vectorize(lambda a, b: np.outer(a, b), signature='(n),(m)->(n,m)')(x, y) | np.vectorize(lambda a, *r: a * r[0])(x, v) | np.vectorize(lambda a, b: (a + b, a - b))(x, v) | np.vectorize(lambda a: a > 0)(x) | np.vectorize(int)(x)
    vstack: np.vstack([x, y], dtype=np.float32, casting='same_kind') | np.vstack([x, y], dtype=np.float32, casting='safe')
    where: np.where(m, x, s)
    zeros: np.zeros((2, 3), order='F')
    zeros_like: np.zeros_like(x, order='F', subok=False) | np.zeros_like(x, dtype=int)
    fft.fft2: np.fft.fft2(x, out=np.zeros(x.shape, complex)) | np.fft.fft2(x, axes=(0,))
    fft.fft: np.fft.fft(x, out=np.zeros(x.shape, complex)) | np.fft.fft(x, n=3, axis=0, out=np.zeros((3, 4), complex)) | np.fft.fft(x, None, -1, None) | np.fft.fft(x, norm='nonsense')
    fft.fftfreq: np.fft.fftfreq(5, d=s) | np.fft.fftfreq(5, s)
    fft.fftn: np.fft.fftn(x, axes=(0, 1), out=np.zeros(x.shape, complex)) | np.fft.fftn(x, s=(2,)) | np.fft.fftn(x, s=(2, -1), axes=(0, 1)) | np.fft.fftn(x, axes=(0, 0)) | np.fft.fftn(x, axes=(1, 0), s=(5, 2)) | np.fft.fftn(x, s=None, axes=None, norm='backward')
    fft.hfft: np.fft.hfft(x, out=np.zeros((3, 6)))
    fft.ifft2: np.fft.ifft2(x, out=np.zeros(x.shape, complex))
    fft.ifft: np.fft.ifft(x, out=np.zeros(x.shape, complex))
    fft.ifftn: np.fft.ifftn(x, out=np.zeros(x.shape, complex))
    fft.ihfft: np.fft.ihfft(x, out=np.zeros((3, 3), complex))
    fft.irfft2: np.fft.irfft2(x, out=np.zeros((3, 6)))
    fft.irfft: np.fft.irfft(x, out=np.zeros((3, 6)))
    fft.irfftn: np.fft.irfftn(x, out=np.zeros((3, 6))) | np.fft.irfftn(x, axes=(1, 0), s=(5, 6))
    fft.rfft2: np.fft.rfft2(x, out=np.zeros((3, 3), complex))
    fft.rfft: np.fft.rfft(x, out=np.zeros((3, 3), complex)) | np.fft.rfft(x, out=np.zeros((3, 3)))
    fft.rfftfreq: np.fft.rfftfreq(5, d=s)
    fft.rfftn: np.fft.rfftn(x, out=np.zeros((3, 3), complex)) | np.fft.rfftn(x, axes=(1, 0), s=(5, 2))
    linalg.cholesky: np.linalg.cholesky(np.stack([h, 2 * h]), upper=True)
    linalg.cond: np.linalg.cond(np.stack([a, b]), 'nuc') | np.linalg.cond(np.stack([a, b]), -1) | np.linalg.cond(a, -np.inf) | np.linalg.cond(a, p=2)
    linalg.eigvals: np.linalg.eigvals(np.stack([a, b]))
    linalg.eigvalsh: np.linalg.eigvalsh(np.stack([h, 2 * h]), 'u')
    linalg.lstsq: np.linalg.lstsq(x.T, v, 1e-10)[0] | np.linalg.lstsq(x.T, v)[1] | np.linalg.lstsq(x.T, v)[2] | np.linalg.lstsq(x.T, v)[3] | np.linalg.lstsq(x, a, rcond=None)[0] | np.linalg.lstsq(x.T, v, rcond=0.5)[0]
    linalg.matrix_norm: np.linalg.matrix_norm(np.stack([x, y]), ord=-2) | np.linalg.matrix_norm(x, ord=np.inf, keepdims=True) | np.linalg.matrix_norm(x, ord=-1)
    linalg.matrix_power: np.linalg.matrix_power(np.stack([a, b]), -1) | np.linalg.matrix_power(a, 0.5)
    linalg.matrix_rank: np.linalg.matrix_rank(a, rtol=0.1) | np.linalg.matrix_rank(np.stack([a, b]), hermitian=True)
    linalg.multi_dot: np.linalg.multi_dot([a, b, a], out=np.zeros((3, 3)))
    linalg.norm: np.linalg.norm(x, 2, (0, 1), True) | np.linalg.norm(np.stack([x, y]), 'nuc', axis=(1, 2)) | np.linalg.norm(np.stack([x, y]), 2, axis=(-1, 0), keepdims=True) | np.linalg.norm(v, -1) | np.linalg.norm(v, -np.inf) | np.linalg.norm(v, 0.5) | np.linalg.norm(v, 2) | np.linalg.norm(x, 1, axis=(0, 1), keepdims=True) | np.linalg.norm(x, -1) | np.linalg.norm(x, -2, axis=(1, 0)) | np.linalg.norm(np.stack([x, y])) | np.linalg.norm(x, axis=(1,), ord=3) | np.linalg.norm([s, 2.0], ord=1)
    linalg.outer: np.linalg.outer(x, y)
    linalg.pinv: np.linalg.pinv(a, 1e-12, False) | np.linalg.pinv(np.stack([x, y]), rcond=[1e-12, 0.3]) | np.linalg.pinv(h, rtol=1e-12, hermitian=True) | np.linalg.pinv(np.stack([a, h]), hermitian=True)
    linalg.qr: np.linalg.qr(np.stack([a, b]), 'r') | np.linalg.qr(x, 'complete') | np.linalg.qr(a, mode='full')
    linalg.svd: np.linalg.svd(x, False, True)[1] | np.linalg.svd(x, full_matrices=True, compute_uv=True).S | np.linalg.svd(np.stack([x, y]), compute_uv=False, hermitian=False)
    linalg.tensordot: np.linalg.tensordot(x, y, axes=([0, 1], [0, 1])) | np.linalg.tensordot(a, b, axes=0)
    linalg.tensorinv: np.linalg.tensorinv(np.reshape(np.kron(a, a), (9, 3, 3)), 1)
    linalg.tensorsolve: np.linalg.tensorsolve(np.moveaxis(np.reshape(np.kron(a, a), (3, 3, 3, 3)), 0, -1), b, axes=(3,)) | np.linalg.tensorsolve(np.moveaxis(np.reshape(np.kron(a, a), (3, 3, 3, 3)), 3, 0), b, axes=(0,))
    linalg.trace: np.linalg.trace(np.stack([a, b]), offset=-1)
    linalg.vector_norm: np.linalg.vector_norm(x, axis=(0, 1), keepdims=True, ord=3) | np.linalg.vector_norm(x, ord=-np.inf) | np.linalg.vector_norm(x, ord=0) | np.linalg.vector_norm(np.stack([x, y]), axis=(0, 2), ord=1.5)
    ndarray.__pow__: pow(x, 2) | pow(x, 2, 3) | x.__pow__(2)
    ndarray.__rpow__: x.__rpow__(2)
    ndarray.all: x.all(where=m) | x.all(axis=0, out=np.zeros(4, bool))
    ndarray.any: x.any(axis=0, keepdims=True, where=m) | x.any(axis=0, out=np.zeros(4, bool))
    ndarray.argmax: x.argmax(0, out=np.zeros(4, int))
    ndarray.argmin: x.argmin(0, keepdims=True) | x.argmin(0, np.zeros(4, int))
    ndarray.argpartition: x.argpartition(1, -1, 'introselect', None)[:, 1]
    ndarray.argsort: x.argsort(descending=True) | x.argsort(stable=True) | x.argsort(-1, 'stable', None)
    ndarray.astype: x.astype(np.float32, order='F', subok=False) | x.astype(np.float32, 'K', 'unsafe', True, False) | x.astype(np.float32, order='nonsense')
    ndarray.choose: x.choose([x, y])
    ndarray.clip: x.clip(-1, 1, out=np.zeros(x.shape)) | x.clip(-1, 1, dtype=np.float32, casting='same_kind') | x.clip(-1, 1, where=m, out=np.zeros(x.shape))
    ndarray.compress: x.compress([True, False, True], axis=0, out=np.zeros((2, 4)))
    ndarray.cumprod: x.cumprod(0, out=np.zeros(x.shape))
    ndarray.cumsum: x.cumsum(0, out=np.zeros(x.shape)) | x.cumsum(0, None, np.zeros(x.shape))
    ndarray.diagonal: np.stack([x, y]).diagonal(axis1=1, axis2=2) | np.stack([x, y]).diagonal(0, 2, 1)
    ndarray.dot: a.dot(a.T, out=np.zeros((3, 3)))
    ndarray.max: x.max(0, out=np.zeros(4)) | x.max(axis=0, initial=0.5)
    ndarray.mean: x.mean(0, out=np.zeros(4)) | x.mean(0, np.float32, None, True)
    ndarray.min: x.min(0, out=np.zeros(4)) | x.min(initial=0.5, where=m)
    ndarray.partition: changed('partition', x, 1, kind='introselect')[:, 1] | changed('partition', x, 1, -1, 'introselect', None)[:, 1]
    ndarray.prod: x.prod(0, dtype=np.float32) | x.prod(0, out=np.zeros(4))
    ndarray.put: changed('put', x, [0, 99], v[:2], mode='wrap') | changed('put', x, [0, 99], v[:2], 'clip')
    ndarray.reshape: x.reshape(4, 3, copy=True) | x.reshape((4, 3), copy=False) | x.reshape(4, 3, order='F', copy=None)
    ndarray.round: x.round(1, out=np.zeros(x.shape)) | x.round(decimals=-1)
    ndarray.searchsorted: t.searchsorted(x, sorter=np.argsort(t))
    ndarray.sort: changed('sort', x, descending=True) | changed('sort', x, kind='stable') | changed('sort', x, -1, None, None) | changed('sort', x, stable=True) | changed('sort', x, order=None)
    ndarray.std: x.std(dtype=np.float32) | x.std(0, out=np.zeros(4)) | x.std(where=m) | x.std(0, mean=x.mean(0, keepdims=True))
    ndarray.sum: x.sum(0, out=np.zeros(4)) | x.sum(0, np.float32, None, True, 1.5, True)
    ndarray.take: x.take([0, 9], axis=0, mode='wrap') | x.take([0, 1], 0, np.zeros((2, 4)), 'clip') | x.take([0, 1], 0, np.zeros((2, 4)))
    ndarray.to_device: x.to_device('cpu', stream=None)
    ndarray.trace: x.trace(axis1=1, axis2=0) | x.trace(dtype=np.float32) | x.trace(out=np.zeros(()))
    ndarray.var: x.var(dtype=np.float32) | x.var(0, out=np.zeros(4)) | x.var(0, None, None, 1, True) | x.var(0, mean=x.mean(0, keepdims=True))
    ndarray.view: x.view(dtype=x.dtype) | x.view(type=np.ndarray)
"""
"""A line for each name, its calls between bars."""

NEED_VALUES = {
    "np.allclose(x, y, rtol=0.5, atol=0.5)",
    "np.arange(0.0, 3, s)",
    "np.arange(3, step=s)",
    "np.arange(s, 3, 0.5, dtype=np.float32)",
    "np.arange(s, 3, 0.5, int)",
    "np.arange(s, 3, step=0.5)",
    "np.arange(start=s, stop=3)",
    "np.array2string(x, formatter={'float_kind': lambda each: '%.1f' % each})",
    "np.array2string(x, max_line_width=20, suppress_small=True, separator=', ', prefix='a', suffix='b')",
    "np.array2string(x, threshold=2, edgeitems=1, sign='+', floatmode='fixed')",
    "np.array_repr(x, 30, 2, True)",
    "np.array_repr(x, max_line_width=30, precision=2, suppress_small=True)",
    "np.array_str(x, max_line_width=30, precision=2, suppress_small=True)",
    "np.asarray_chkfinite(x, dtype=np.float32, order='F')",
    "np.histogram(x, bins='auto')",
    "np.intersect1d(v, np.concatenate([v, w]), assume_unique=True)",
    "np.intersect1d(v, np.concatenate([v, w]), return_indices=True)",
    "np.isin(x, y, assume_unique=True)",
    "np.isin(x, y, kind='sort')",
    "np.linalg.eigvals(np.stack([a, b]))",
    "np.linalg.vector_norm(x, ord=0)",
    "np.may_share_memory(x, y, max_work=1)",
    "np.poly1d(v).deriv()(x)",
    "np.poly1d(v).deriv(m=2)(x)",
    "np.poly1d(v).r",
    "np.poly1d(v).roots",
    "np.poly1d(v)[1]",
    "np.poly1d(v, True, 'z')(x)",
    "np.poly1d(v, r=True)(x)",
    "np.poly1d(v, variable='t').coeffs",
    "np.polyfit([0.0, 1.0, 2.0, 3.0], v, 1, cov=True)",
    "np.polyfit([0.0, 1.0, 2.0, 3.0], v, 1, cov=True, w=p[0])",
    "np.polyfit([0.0, 1.0, 2.0, 3.0], x.T, 1, cov=True)",
    "np.real_if_close(x * (1 + 1e-14j), tol=1000)",
    "np.real_if_close(x * (1 + 1e-3j), tol=1e-2)",
    "np.setdiff1d(v, w, assume_unique=True)",
    "np.setxor1d(v, w, assume_unique=True)",
    "np.shares_memory(x, y, max_work=1)",
    "np.sort(np.unique(x, sorted=False))",
    "np.trim_zeros(np.pad(x, 1), 'b', axis=(0, 1))",
    "np.trim_zeros(np.pad(x, 1), 'fb')",
    "np.trim_zeros(np.pad(x, 1), axis=0)",
    "np.trim_zeros(np.pad(x, 1), axis=None)",
    "np.unique(x, equal_nan=False)",
    "np.unique(x, return_counts=True, axis=1)",
    "np.unique(x, return_index=True, return_inverse=True, axis=-1)",
    "np.unique(x, sorted=True)",
    "np.vectorize(int)(x)",
}
"""Calls that are not recorded with shapes alone."""

NO_DIFFERENCES = {
    # They are errors before NumPy 2.5.
    "np.argsort(x, descending=True)",
    "np.sort(x, descending=True)",
    "x.argsort(descending=True)",
    "changed('sort', x, descending=True)",
    # They round to single precision in between.
    "np.add.reduce(x, 0, np.float32, np.zeros(4))",
    "np.nansum(x, axis=0, out=np.zeros(4), dtype=np.float32)",
    # Their array for the result takes no number of higher precision.
    "a.dot(a.T, out=np.zeros((3, 3)))",
    "np.dot(a, b, np.zeros((3, 3)))",
    "np.dot(a, b, out=np.zeros((3, 3)))",
    "np.linalg.multi_dot([a, b, a], out=np.zeros((3, 3)))",
    # How many numbers there are says the rank, which is not known while shapes alone are.
    "np.linalg.lstsq(x.T, v)[1]",
    "np.polyfit([0.0, 1.0, 2.0, 3.0], v, 1, full=True)",
    "np.polyfit([0.0, 1.0, 2.0, 3.0], x.T, 1, full=True)[:4]",
}
"""Calls of which the tests have no numerical derivatives to compare with."""
