"""What to write for a function of SciPy's, or of a part of NumPy, that takes ndarrays alone.

The ufuncs of ``scipy.special`` reach NumPy's protocols. Most of SciPy does not: ``scipy.linalg``
converts its arguments to ndarrays, for LAPACK, under its array API dispatch too; nor do
``numpy.ma`` and ``numpy.polynomial``. Nothing of that can be recorded; the refusal
names the function and what says the same in NumPy.
"""

from __future__ import annotations

import sys
from types import FrameType, FunctionType

from steepest.errors import is_user_code

__all__ = ["INSTEAD", "scipy_function", "what_instead"]

_BY_EIGENVECTORS = (
    "w, v = np.linalg.eigh(a) and (v * f(w)) @ v.conj().T for a symmetric matrix; w, v ="
    " np.linalg.eig(a) and (v * f(w)) @ np.linalg.inv(v) for another, with np.exp, np.log or"
    " np.sqrt for f, where no eigenvalues are equal"
)
_FACTORED = "np.linalg.solve(a, b), with the matrix that was factored"

INSTEAD: dict[str, dict[str, str]] = {
    "scipy.linalg": {
        "block_diag": "np.block([[a, np.zeros((len(a), b.shape[1]))],"
        " [np.zeros((len(b), a.shape[1])), b]])",
        "cho_factor": "np.linalg.cholesky(a)",
        "cho_solve": _FACTORED,
        "cholesky": "np.linalg.cholesky(a, upper=True), or np.linalg.cholesky(a) for lower=True",
        "det": "np.linalg.det(a)",
        "eig": "np.linalg.eig(a), whose eigenvalues are real where they can be",
        "eigh": "np.linalg.eigh(a); with b, of l = np.linalg.cholesky(b) and"
        " np.linalg.solve(l, np.linalg.solve(l, a).conj().T)",
        "eigvals": "np.linalg.eigvals(a)",
        "eigvalsh": "np.linalg.eigvalsh(a)",
        "expm": _BY_EIGENVECTORS,
        "funm": _BY_EIGENVECTORS,
        "inv": "np.linalg.inv(a)",
        "logm": _BY_EIGENVECTORS,
        "lstsq": "np.linalg.lstsq(a, b)",
        "lu": "np.linalg.solve(a, b) for a system, np.linalg.slogdet(a) for a determinant",
        "lu_factor": "np.linalg.solve(a, b) for a system, np.linalg.slogdet(a) for a determinant",
        "lu_solve": _FACTORED,
        "norm": "np.linalg.norm(a)",
        "null_space": "np.linalg.svd(a).Vh[rank:].conj().T",
        "orth": "np.linalg.svd(a, full_matrices=False).U[:, :rank]",
        "pinv": "np.linalg.pinv(a, rtol=None)",
        "pinvh": "np.linalg.pinv(a, rtol=None, hermitian=True)",
        "polar": "u, s, vh = np.linalg.svd(a, full_matrices=False) and u @ vh",
        "qr": "np.linalg.qr(a, mode='complete'), or np.linalg.qr(a) for mode='economic'",
        "solve": "np.linalg.solve(a, b)",
        "solve_banded": "np.linalg.solve(a, b), of a as the sum of np.diag(band, k)",
        "solve_sylvester": "np.linalg.solve(np.kron(a, np.eye(len(b))) + np.kron(np.eye(len(a)),"
        " b.T), np.ravel(q)).reshape(q.shape)",
        "solve_triangular": "np.linalg.solve(np.triu(a), b), or np.linalg.solve(np.tril(a), b) for"
        " lower=True",
        "solveh_banded": "np.linalg.solve(a, b), of a as the sum of np.diag(band, k)",
        "sqrtm": _BY_EIGENVECTORS,
        "svd": "np.linalg.svd(a)",
        "svdvals": "np.linalg.svdvals(a)",
        "toeplitz": "np.concatenate([r[:0:-1], c])[np.subtract.outer(np.arange(len(c)),"
        " np.arange(len(r))) + len(r) - 1]",
    },
    "scipy.fft": {
        name: f"np.fft.{name}(x)"
        for name in ("fft", "ifft", "rfft", "irfft", "fft2", "ifft2", "fftn", "ifftn", "rfftn")
    },
    "scipy.integrate": {
        "cumulative_trapezoid": "np.cumsum(dx * (y[1:] + y[:-1]) / 2)",
        "trapezoid": "np.trapezoid(y, x)",
    },
    "scipy.signal": {
        "convolve": "np.convolve(x, weights)",
        "correlate": "np.correlate(x, weights)",
        "fftconvolve": "np.convolve(x, weights)",
    },
    "scipy.spatial.distance": {
        "cdist": "np.linalg.norm(x[:, None] - y[None], axis=-1)",
        "euclidean": "np.linalg.norm(x - y)",
        "pdist": "np.linalg.norm((x[:, None] - x[None])[np.triu_indices(len(x), 1)], axis=-1)",
    },
    "scipy.special": {
        "comb": "scipy.special.binom(n, k)",
        "factorial": "scipy.special.gamma(n + 1)",
        "log_softmax": "x - np.logaddexp.reduce(x, axis, keepdims=True)",
        "logsumexp": "np.logaddexp.reduce(x, axis)",
        "softmax": "sd.nn.softmax(x)",
    },
}
"""By module and name; what is evaluated gives what SciPy's function gives."""


_OF_MODULES: dict[str, str] = {
    "numpy.ma": "np.where(mask, x, 0) and sums of it; masked.filled(value) for a masked array",
    "numpy.matrixlib": "np.asarray(matrix), and @ for the product of matrices",
    "numpy.polynomial": "np.polyval(coefficients[::-1], x), or the sum of coefficients times the"
    " basis: x ** np.arange(n), or a recurrence of NumPy's functions",
    "scipy.integrate": "steps of a method written in NumPy (a Runge-Kutta step is four calls); a"
    " quadrature as a sum of weights times values",
    "scipy.interpolate": "np.interp, or the interpolant's matrix times the values",
    "scipy.ndimage": "np.convolve, or sums of shifted slices",
    "scipy.optimize": "sd.custom_gradient around the call, with the derivative of the solution"
    " from the conditions that it fulfils",
    "scipy.sparse": "matrix.toarray() @ x; for a large one sd.custom_gradient around the product,"
    " with matrix.T @ g",
    "scipy.stats": "the formula with NumPy and the ufuncs of scipy.special: for norm.logpdf"
    " -0.5 * ((x - loc) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi)), with gammaln, xlogy"
    " and ndtr for others",
}
"""By the beginning of a module's name."""


def what_instead(module: str, name: str) -> str:
    """Say what to write instead of a function."""
    found = INSTEAD.get(module, {}).get(name)
    if found is not None:
        return found
    for beginning, instead in _OF_MODULES.items():
        if f"{module}.".startswith(f"{beginning}."):
            return instead
    return "a formula of NumPy's functions, or sd.custom_gradient around the call"


def scipy_function(frame: FrameType | None) -> tuple[str, str] | None:
    """Find the function of SciPy's or NumPy's that the user called, and that asks for an ndarray.

    Parameters
    ----------
    frame : frame
        Where to look from, towards the user's code.

    Returns
    -------
    (module, name) or None
    """
    found = None
    method = None
    while frame is not None and not is_user_code(frame.f_code.co_filename):
        module = frame.f_globals.get("__name__", "")
        if f"{module}.".startswith(_LIBRARIES):
            found = _public_name(module, frame.f_code.co_name) or found
            # A decorator's wrapper says by its variables what it calls.
            for value in frame.f_locals.values():
                if isinstance(value, FunctionType) and value.__module__.startswith("scipy."):
                    found = _public_name(value.__module__, value.__name__) or found
            method = (_public_module(module), frame.f_code.co_qualname)
        frame = frame.f_back
    return found or method


_LIBRARIES = ("scipy.", "numpy.ma.", "numpy.matrixlib.", "numpy.polynomial.")


def _public_module(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[: next((i for i, p in enumerate(parts) if p[0] == "_"), len(parts))])


def _public_name(module: str, name: str) -> tuple[str, str] | None:
    public = _public_module(module)
    known = hasattr(sys.modules.get(public), name) and not name.startswith("_")
    return (public, name) if known and public != "scipy" else None
