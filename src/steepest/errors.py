"""Every error a user can meet, and the words that go with it.

An error says what happened, quotes the line of the *user's* code where it happened, gives the
shapes and values involved, and says what to write instead.
"""

from __future__ import annotations

import linecache
import os
import re
import struct
import sys
import sysconfig
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType

__all__ = [
    "WRITABLE_ARRAY",
    "BadInputError",
    "CapturedArrayChangedError",
    "FileFormatError",
    "NeedsValueError",
    "NotCompiledWarning",
    "NotDifferentiableError",
    "NotFiniteError",
    "RefusedWrites",
    "ShadowRunError",
    "SourceLine",
    "SteepestError",
    "TracedConversionError",
    "UnsupportedError",
    "WrongGradientError",
    "refused_here",
    "user_line",
]

WRITABLE_ARRAY = (
    "make the array in the differentiated function and its thread, by a call of the module NumPy:"
    " out = np.zeros(…), np.array(captured) or np.copy(captured). What else makes an ndarray"
    " (captured.copy(), captured * 2, a captured generator of random numbers) does where one"
    " variable or attribute alone holds it, and no second name, view, list or dict; for records a"
    " dict of arrays; into an array of objects entry by entry"
)
"""How to get an array into which traced values can be written."""

_PACKAGE = Path(__file__).parent
_OWN_FILES = (str(_PACKAGE) + os.sep, str(_PACKAGE.parent / "steepest_pytest.py"))
_STANDARD_LIBRARY = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
_INSTALLED = ("site-packages", "dist-packages")
_MACHINERY = ("numpy", "scipy", "tqdm", "click", "pluggy", "_pytest", "hypothesis")
"""Installed packages that call the user's code, or are called by it, without being it."""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of the user's code: where it is and what it says."""

    filename: str
    number: int
    function: str

    @property
    def text(self) -> str:
        """The source text of the line, stripped; empty when the source is not at hand."""
        return linecache.getline(self.filename, self.number).strip()

    def __str__(self) -> str:
        where = f"{self.filename}:{self.number}, in {self.function}"
        return f"{where}\n    {self.text}" if self.text else where


@cache
def is_user_code(filename: str) -> bool:
    """Whether a file is the user's: not of steepest, NumPy, SciPy or Python itself.

    A package of the user's own may be installed beside NumPy, and is still the user's.
    """
    if filename.startswith((*_OWN_FILES, "<frozen", "<__array_function__")):
        return False
    parts = Path(filename).parts
    if filename.endswith(".pyx") and parts[0] in _MACHINERY:
        # Cython names its sources from the root of their repository.
        return False
    for installed in _INSTALLED:
        if installed in parts:
            return parts[parts.index(installed) + 1] not in _MACHINERY
    return not filename.startswith(_STANDARD_LIBRARY)


def is_installed(filename: str) -> bool:
    """Whether code is of a package that is installed, the user's or not."""
    return any(part in _INSTALLED for part in Path(filename).parts)


def user_line(frame: FrameType | None = None) -> SourceLine | None:
    """Find the innermost line of the user's code on the stack of the calling thread.

    Parameters
    ----------
    frame : frame, optional
        Where to start; the caller's frame by default.

    Returns
    -------
    SourceLine or None
        None when no frame on the stack is the user's.
    """
    if frame is None:
        frame = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if is_user_code(filename):
            return SourceLine(filename, frame.f_lineno, frame.f_code.co_qualname)
        frame = frame.f_back
    return None


class SteepestError(Exception):
    """Base of all errors that steepest raises.

    Parameters
    ----------
    message : str
        What happened, with shapes and values.
    instead : str, optional
        What to write instead.
    line : SourceLine, optional
        The user's line; found on the stack when not given.
    """

    def __init__(
        self, message: str, *, instead: str | None = None, line: SourceLine | None = None
    ) -> None:
        self.message = message
        self.instead = instead
        self.line = line if line is not None else user_line(sys._getframe(1))
        text = message
        if instead:
            text += f"\n  Instead: {instead}"
        if self.line is not None:
            text += f"\n  At {self.line}"
        super().__init__(text)
        _remember_if_lost(self)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.instead, self.line)


def _rebuild(
    kind: type[SteepestError], message: str, instead: str | None, line: SourceLine | None
) -> SteepestError:
    """Unpickle an error: workers of a process pool send theirs home."""
    return kind(message, instead=instead, line=line)


class BadInputError(SteepestError, ValueError):
    """An argument has the wrong type, shape, dtype or value."""


class UnsupportedError(SteepestError, TypeError):
    """A function or idiom that steepest does not differentiate (yet)."""


class TracedConversionError(SteepestError, TypeError):
    """A traced value was converted to a plain number or ndarray, which would lose its gradient."""


class NeedsValueError(TracedConversionError):
    """A function traced with shapes alone (``compile``, ``descend``) asked for a value."""


class _RefusedHere(threading.local):
    to_library: SteepestError | None = None
    to_series: SteepestError | None = None


refused_here = _RefusedHere()
"""By thread: the last refusal of a conversion that a library asked for, and of a value.

Compiled code may lose the one, as SciPy's root finders do, and complain of what follows instead;
operators of np.polynomial the other.
"""


_OPERATORS_OF_SERIES = "numpy.polynomial._polybase"


def _remember_if_lost(refusal: SteepestError) -> None:
    """Keep what the operators of np.polynomial lose, which say NotImplemented at any error."""
    if not isinstance(refusal, NeedsValueError):
        return
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__") == _OPERATORS_OF_SERIES:
            refused_here.to_series = refusal
        frame = frame.f_back


class RefusedWrites:
    """Context for the user's code: a write of a traced value into an ndarray gets its own error.

    NumPy replaces the error of the conversion, which says what is wrong, by one about sequences,
    and compiled code that goes on after an error of a callback by a `SystemError`.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        refusal, refused_here.to_library = refused_here.to_library, None
        of_series, refused_here.to_series = refused_here.to_series, None
        if kind is None or error is None or issubclass(kind, SteepestError):
            return
        if refusal is not None and _is_of_scipy(traceback):
            raise refusal from error
        if of_series is not None and _OF_SERIES.search(str(error)):
            raise of_series from error
        if kind is SystemError:
            hidden = _behind(error)
            if hidden is not None:
                raise hidden.with_traceback(traceback)
            return
        if str(error) == _OF_MINPACK:
            raise TracedConversionError(
                "scipy.optimize takes ndarrays alone, and a function that it calls returned a"
                " traced value, whose gradient it would lose",
                instead="sd.custom_gradient around the call, with the derivative of the solution"
                " from the conditions that it fulfils",
                line=_line_in(traceback),
            ) from error
        if kind is TypeError and _OF_MEMORY.search(str(error)):
            raise TracedConversionError(
                "a function of a compiled library takes ndarrays alone, and would lose the gradient"
                f" of a traced value: {error}",
                instead="a formula of NumPy's functions, or sd.custom_gradient around the call; for"
                " scipy.sparse.linalg.splu(matrix).solve(x) and factorized(matrix)(x):"
                " scipy.sparse.linalg.spsolve(matrix, x)",
                line=_line_in(traceback),
            ) from error
        if kind is NotImplementedError and str(error) == _OF_SHUFFLE:
            raise UnsupportedError(
                "rng.shuffle(x, axis=…) by a generator from outside of the function",
                instead="x = np.take(x, rng.permutation(x.shape[axis]), axis)",
                line=_line_in(traceback),
            ) from error
        if kind is TypeError and str(error) in _OF_METHODS:
            raise UnsupportedError(
                "a method of an ndarray with an array for out= that the function has made",
                instead="NumPy's function, as np.cumsum(a, out=y) for a.cumsum(out=y)",
                line=_line_in(traceback),
            ) from error
        asked = _asked_for_a_number(error)
        if asked is not None:
            raise TracedConversionError(
                f"{asked} takes plain numbers alone, and would lose the gradient of a traced one",
                instead="sd.stop_gradient(x) in place of x, also for a dict or list of numbers",
                line=_line_in(traceback),
            ) from error
        if kind is not ValueError:
            return
        cause = error.__cause__
        line = None
        if isinstance(cause, UnsupportedError):
            raise cause
        if isinstance(cause, TracedConversionError):
            line = cause.line
        elif str(error) == _OF_FLAT and traceback is not None:
            line = _line_in(traceback)
        else:
            return
        needs_value = isinstance(cause, NeedsValueError)
        raise (NeedsValueError if needs_value else UnsupportedError)(
            "writing a traced value into an ndarray, as in `out[i] = x`",
            instead=WRITABLE_ARRAY,
            line=line,
        ) from error


def _behind(error: BaseException) -> SteepestError | None:
    """Find the refusal that another error hides."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, SteepestError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _is_of_scipy(traceback: TracebackType | None) -> bool:
    """Whether an error was raised by SciPy, and not by the user's code."""
    module = ""
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        traceback = traceback.tb_next
    return module.startswith("scipy.")


def _line_in(traceback: TracebackType | None) -> SourceLine | None:
    """Find the innermost line of the user's code in a traceback."""
    line = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if is_user_code(code.co_filename):
            line = SourceLine(code.co_filename, traceback.tb_lineno, code.co_qualname)
        traceback = traceback.tb_next
    return line


_OF_MINPACK = "Result from function call is not a proper array of floats."
"""What MINPACK in SciPy says where a callback's result could not be converted."""

_OF_SERIES = re.compile(
    r"^unsupported operand type.*'(Polynomial|Chebyshev|Legendre|Laguerre|HermiteE?)'"
)
"""What Python says where both operands' methods have said NotImplemented."""

_OF_MEMORY = re.compile(r"must be numpy\.ndarray, not Array\b|expected numpy\.ndarray, got Array\b")
"""What Python's C interface and Cython say of an argument that must be memory."""


def _asked_for_a_number(error: BaseException) -> str | None:
    """Find which compiled code of Python's has refused a traced number for what it is."""
    if isinstance(error, struct.error):
        return "struct.pack" if str(error) == "required argument is not a float" else None
    if not isinstance(error, TypeError):
        return None
    return _OF_NUMBERS.get(str(error))


_OF_NUMBERS = {
    "Object of type float is not JSON serializable": "json.dumps",
    "Object of type float64 is not JSON serializable": "json.dumps",
    "conversion from Array to Decimal is not supported": "decimal.Decimal",
}
"""What Python's own libraries say, of whom no float and no NumPy's number of that class is refused
otherwise, and who they are."""

_OF_METHODS = ("output must be an array", "'out' must be an array")
"""What ndarray's methods in C say of an array that is none to them."""

_OF_SHUFFLE = "Axis argument is only supported on ndarray objects"
"""What generators say of a list, or of what they take for one."""

_OF_FLAT = "Error setting single item of array."
"""What NumPy says of an error at ``out.flat[i] = x``."""


class NotDifferentiableError(SteepestError, TypeError):
    """A derivative was asked of something that has none: an integer, a string, no dependence."""


class CapturedArrayChangedError(SteepestError, RuntimeError):
    """An array that the function used was changed before the backward pass read it."""


class ShadowRunError(SteepestError, RuntimeError):
    """The traced and the plain run of the same function parted."""


class NotFiniteError(SteepestError, FloatingPointError):
    """A loss, gradient or weight became NaN or infinite."""


class FileFormatError(SteepestError, ValueError):
    """A model, data set or checkpoint file is missing a part, corrupt or of another kind."""


class WrongGradientError(SteepestError, AssertionError):
    """A gradient check did not find the gradient correct."""


class NotCompiledWarning(UserWarning):
    """A function runs as plain Python each time, because what it captures keeps changing."""
