"""``steepest check``: the gradient check of a function in a user's file."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Unpack

from steepest.check import check_gradient, check_jax, check_torch
from steepest.check.products import CheckOptions
from steepest.errors import BadInputError, FileFormatError, SteepestError
from steepest.tree import flatten, unflatten

__all__ = ["check_file"]

EXIT_STATUS = {"correct": 0, "wrong": 1}
COULD_NOT_DECIDE = 3
# By the package that defines the types of their arrays.
LIBRARIES = {"torch": "PyTorch", "jax": "JAX", "jaxlib": "JAX"}


def check_file(
    target: str,
    weights_name: str,
    data_name: str | None,
    gradient_name: str | None,
    json_file: str | None = None,
    **options: Unpack[CheckOptions],
) -> int:
    """Check the gradient of a function in a file and print the report.

    Weights that are tensors of PyTorch or arrays of JAX are checked with these; a module of
    PyTorch has its weights itself, and the data are its inputs.

    Parameters
    ----------
    target : str
        The file and the function in it, ``FILE.py:FUNCTION``.
    weights_name, data_name, gradient_name : str
        Names in the file: the weights, the data, and the function that returns the gradient.
        Without a name for the data, they are called "data" if the function takes them; without
        one for the gradient, steepest computes it.
    json_file : str, optional
        Where the report is written as JSON; "-" prints it in place of the report.
    **options
        As for `check_gradient`.

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
    is_module = _is_torch_module(function)
    arguments: tuple[Any, ...] = ()
    if is_module or data_name is not None or _takes_data(function):
        arguments = (_find(module, path, data_name or "data", "--data"),)
    gradient = None
    if gradient_name is not None:
        gradient = _bind(_find_function(module, path, gradient_name), arguments)
    if is_module:
        library: str | None = "PyTorch"
        weights = arguments[0]
    else:
        weights = _find(module, path, weights_name, "--weights")
        library = _library_of(weights)
    if library is not None and gradient is not None:
        raise BadInputError(
            f"--gradient is compared with functions of NumPy, and these are of {library}",
            instead="leave it out: the derivatives of " + library + " are checked",
        )
    with _failures_in(path):
        if is_module:
            report = check_torch(function, weights, **options)
        elif library == "PyTorch":
            # The data go with them as an argument, so that their precision is raised too.
            report = check_torch(function, (_variables(weights), *arguments), **options)
        elif library == "JAX":
            report = check_jax(_bind(function, arguments), weights, **options)
        else:
            report = check_gradient(_bind(function, arguments), weights, gradient, **options)
    if json_file == "-":
        print(report.to_json(indent=2))
    else:
        print(report)
    if json_file not in (None, "-"):
        Path(json_file).write_text(report.to_json(indent=2) + "\n", encoding="utf-8")
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
    except Exception as error:  # the user's, of whatever class
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


def _is_torch_module(function: object) -> bool:
    # Who has one has imported PyTorch.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(function, torch.nn.Module)


def _variables(weights: Any) -> Any:
    """Copy weights of PyTorch as what is differentiated by, which the data are not."""
    leaves, structure = flatten(weights)
    tensor = sys.modules["torch"].Tensor
    copies = [
        leaf.detach().clone().requires_grad_()
        if isinstance(leaf, tensor) and leaf.is_floating_point()
        else leaf
        for leaf in leaves
    ]
    return unflatten(structure, copies)


def _library_of(weights: Any) -> str | None:
    """Return whose arrays the weights are; None when they are NumPy's."""
    homes = {type(leaf).__module__.partition(".")[0] for leaf in flatten(weights)[0]}
    return next((LIBRARIES[home] for home in homes if home in LIBRARIES), None)


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
