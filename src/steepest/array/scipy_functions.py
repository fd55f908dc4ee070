"""What to write for a function of SciPy's that takes ndarrays alone.

The ufuncs of ``scipy.special`` reach NumPy's protocols. Most of SciPy does not: ``scipy.linalg``
converts its arguments to ndarrays, for LAPACK, under its array API dispatch too. Nothing of that
can be recorded; the refusal names the function and what says the same in NumPy.
"""

from __future__ import annotations

import sys
from types import FrameType, FunctionType

from steepest.errors import is_user_code

__all__ = ["INSTEAD", "scipy_function"]

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
    "scipy.special": {
        "logsumexp": "np.logaddexp.reduce(x, axis)",
        "softmax": "sd.nn.softmax(x)",
    },
}
"""By module and name; what is evaluated gives what SciPy's function gives."""


def scipy_function(frame: FrameType | None) -> tuple[str, str] | None:
    """Find the public function of SciPy's that the user called, and that asks for an ndarray.

    Parameters
    ----------
    frame : frame
        Where to look from, towards the user's code.

    Returns
    -------
    (module, name) or None
    """
    found = None
    while frame is not None and not is_user_code(frame.f_code.co_filename):
        module = frame.f_globals.get("__name__", "")
        if module == "scipy" or module.startswith("scipy."):
            found = _public_name(module, frame.f_code.co_name) or found
            # A decorator's wrapper says by its variables what it calls.
            for value in frame.f_locals.values():
                if isinstance(value, FunctionType) and value.__module__.startswith("scipy."):
                    found = _public_name(value.__module__, value.__name__) or found
        frame = frame.f_back
    return found


def _public_name(module: str, name: str) -> tuple[str, str] | None:
    parts = module.split(".")
    public = ".".join(parts[: next((i for i, p in enumerate(parts) if p[0] == "_"), len(parts))])
    known = hasattr(sys.modules.get(public), name) and not name.startswith("_")
    return (public, name) if known and public != "scipy" else None
