"""``steepest check``: the gradient check of a function in a user's file."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from steepest.check import check_gradient
from steepest.errors import BadInputError, FileFormatError, SteepestError

__all__ = ["check_file"]

EXIT_STATUS = {"correct": 0, "wrong": 1}
COULD_NOT_DECIDE = 3


def check_file(
    target: str, weights_name: str, data_name: str | None, gradient_name: str | None, *, seed: int
) -> int:
    """Check the gradient of a function in a file and print the report.

    Parameters
    ----------
    target : str
        The file and the function in it, ``FILE.py:FUNCTION``.
    weights_name, data_name, gradient_name : str
        Names in the file: the weights, the data, and the function that returns the gradient.
        Without a name for the data, they are called "data" if the function takes them; without
        one for the gradient, steepest computes it.
    seed : int

    Returns
    -------
    int
        The exit status: 0 right, 1 wrong, 3 not decided.

    Raises
    ------
    FileFormatError
        When there is no such file.
    BadInputError
        When the file or the function fails, or a name is not in the file.
    """
    filename, colon, function_name = target.rpartition(":")
    if not colon or not filename or not function_name:
        raise BadInputError(
            f"{target!r} does not name a function in a file", instead="FILE.py:FUNCTION"
        )
    path = Path(filename)
    module = run_file(path)
    function = _find_function(module, path, function_name)
    weights = _find(module, path, weights_name, "--weights")
    arguments: tuple[Any, ...] = ()
    if data_name is not None or _takes_data(function):
        arguments = (_find(module, path, data_name or "data", "--data"),)
    gradient = None
    if gradient_name is not None:
        gradient = _bind(_find_function(module, path, gradient_name), arguments)
    with _failures_in(path):
        report = check_gradient(_bind(function, arguments), weights, gradient, seed=seed)
    print(report)
    return EXIT_STATUS.get(report.verdict, COULD_NOT_DECIDE)


def run_file(path: Path) -> ModuleType:
    """Run a file of Python as a module, as an import would.

    Raises
    ------
    FileFormatError
        When there is no such file.
    BadInputError
        When it fails.
    """
    if not path.is_file():
        raise FileFormatError(f"there is no file {path}")
    # Its own name, so that it shadows no module that the file imports.
    module = ModuleType(f"checked_file_{path.stem}")
    module.__file__ = str(path.resolve())
    # Dataclasses and pickle look a module up by its name; imports look beside the file.
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(path.resolve().parent))
    with _failures_in(path):
        # Compiled here, because an import would trust bytecode of the same second.
        exec(compile(path.read_bytes(), module.__file__, "exec"), vars(module))
    return module


@contextmanager
def _failures_in(path: Path) -> Iterator[None]:
    """Turn whatever the user's code raises into an error that says where."""
    try:
        yield
    except SteepestError as error:
        where = ""
        if error.line is not None and error.line.filename == str(path.resolve()):
            where = f"{path}:{error.line.number}: "
        raise BadInputError(where + error.message, instead=error.instead) from error
    except SystemExit as error:
        raise BadInputError(f"{path} ends the program, with exit status {error.code}") from error
    except Exception as error:
        raise BadInputError(_describe_failure(error, path)) from error


def _describe_failure(error: Exception, path: Path) -> str:
    """Say what the user's code raised, and at which of the lines in their file."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path.resolve())
    ]
    line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    where = f"{path}:{line}" if line is not None else f"{path}"
    what = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{where}: {type(error).__name__}: {what}"


def _find(module: ModuleType, path: Path, name: str, option: str) -> Any:
    if not hasattr(module, name):
        raise BadInputError(
            f"{path} defines no {name}", instead=f"define it there, or name another with {option}"
        )
    return getattr(module, name)


def _find_function(module: ModuleType, path: Path, name: str) -> Callable[..., Any]:
    value: Callable[..., Any] | None = getattr(module, name, None)
    if value is None or not callable(value):
        defined = [
            known
            for known, candidate in vars(module).items()
            if inspect.isfunction(candidate) and candidate.__module__ == module.__name__
        ]
        raise BadInputError(
            f"{path} defines no function {name}; it defines {', '.join(defined) or 'none'}"
        )
    return value


def _takes_data(function: Callable[..., Any]) -> bool:
    """Whether a function cannot be called with the weights alone."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return True
    except ValueError:  # a built-in that does not say
        return False
    return False


def _bind(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    """Fix the data, if there are any."""
    return (lambda weights: function(weights, *arguments)) if arguments else function
