"""What to write for a function of SciPy's, or of a part of NumPy, that takes ndarrays alone.

The ufuncs of ``scipy.special`` reach NumPy's protocols, and functions of which there is an
equivalent (`steepest.array.scipy`) are found in the place of SciPy's. What else SciPy converts to
ndarrays cannot be recorded, nor can ``numpy.ma`` and ``numpy.polynomial``; the refusal names the
function and what says the same.
"""

from __future__ import annotations

import sys
from types import FrameType, FunctionType

from steepest.array.scipy import names
from steepest.errors import is_user_code

__all__ = ["INSTEAD", "scipy_function", "what_instead"]

INSTEAD: dict[str, dict[str, str]] = {
    "scipy.linalg": {
        "cholesky_banded": "scipy.linalg.cholesky of the matrix, or solveh_banded",
        "cho_solve_banded": "scipy.linalg.solveh_banded(ab, b)",
        "eig_banded": "scipy.linalg.eigh(a), of a as the sum of np.diag(band, k)",
        "eigvals_banded": "scipy.linalg.eigvalsh(a), of a as the sum of np.diag(band, k)",
        "rq": "scipy.linalg.qr of the transposed matrix with its rows turned round",
    },
    "scipy.integrate": {
        "quad_vec": "scipy.integrate.quad of each entry, or fixed_quad",
    },
    "scipy.special": {
        "comb": "scipy.special.binom(n, k)",
        "factorial": "scipy.special.gamma(n + 1)",
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
    "scipy.ndimage": "scipy.ndimage.convolve or correlate, or sums of shifted slices",
    "scipy.optimize": "sd.custom_gradient around the call, with the derivative of the solution"
    " from the conditions that it fulfils",
    "scipy.signal": "scipy.signal.convolve or lfilter, or sums of shifted slices",
    "scipy.sparse": "matrix @ x, x @ matrix or scipy.sparse.linalg.spsolve(matrix, x) with a"
    " constant sparse matrix in the format csr, csc, bsr, coo or dia; matrix.toarray() for what"
    " else there is",
    "scipy.stats": "the formula with NumPy and the ufuncs of scipy.special: for norm.logpdf"
    " -0.5 * ((x - loc) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi)), with gammaln, xlogy"
    " and ndtr for others",
}
"""By the beginning of a module's name."""


def what_instead(module: str, name: str) -> str:
    """Say what to write instead of a function."""
    if names.has(module, name):
        return (
            f"{module}.{name}(…), found by that name where it is called (`lambda x: …`): not a"
            " function that was kept in a container or an object, nor of a module that is imported"
            " for the first time while the function is traced"
        )
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
