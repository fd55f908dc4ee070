"""Model files: weights and what is known about them, in one safetensors file.

A model file is data, never code: arrays in the safetensors format, which any framework reads, and
one entry of JSON beside them with the containers of the weights and the metadata. Nothing is
pickled, and whatever a file holds, reading it runs nothing.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from steepest.errors import BadInputError, FileFormatError
from steepest.tree import Leaf, Structure, Tree, flatten, leaf_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["load_model", "save_model", "write_atomically"]

AnyArray: TypeAlias = "NDArray[Any]"

# The one entry that steepest adds to the header of a safetensors file. It is one entry, not
# several, because the order of several is not fixed: the same model gives the same bytes.
_ENTRY = "steepest"
_VERSION = 1

_STORED_TYPES = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
_DTYPES = {
    dtype.str: dtype
    for code in _STORED_TYPES
    for dtype in (np.dtype(f"<{code}"), np.dtype(f">{code}"))
}
_PYTHON_LEAVES = (type(None), bool, int, float, str)


def save_model(
    path: str | os.PathLike[str], weights: Tree, metadata: Mapping[str, Any] | None = None
) -> None:
    """Save weights and metadata to a file, whole or not at all.

    The file is written beside its destination and then takes its place, so that a crash, a full
    disk or a power cut leaves either the previous file or the new one. Folders that are missing
    are made. The same weights and metadata give the same bytes.

    Parameters
    ----------
    path : path
        The file to write; one that exists is replaced.
    weights : pytree
        Nested dicts (keys: strings and integers), lists and tuples of arrays of any shape, with
        boolean, integer, float (16 to 64 bits) or complex entries in either byte order; NumPy
        scalars, Python numbers, strings and None are leaves too.
    metadata : mapping, optional
        Names to anything that JSON holds: strings, numbers, booleans, None, lists and dicts with
        string keys. Tuples come back as lists.

    Raises
    ------
    BadInputError
        When the weights or the metadata hold something that a model file cannot, which is named.
    OSError
        When the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> weights = {"W": np.zeros((64, 10), np.float32), "b": [1.5, np.arange(3)]}
    >>> save_model(folder.name + "/model.safetensors", weights, {"accuracy": 0.98})
    >>> weights, metadata = load_model(folder.name + "/model.safetensors")
    >>> weights["W"].shape, weights["b"], metadata
    ((64, 10), [1.5, array([0, 1, 2])], {'accuracy': 0.98})
    >>> folder.cleanup()
    """
    from safetensors.numpy import save

    leaves, structure = flatten(weights)
    names = leaf_names(weights, root="weights")
    _check_containers(structure, "weights")
    arrays: dict[str, AnyArray] = {}
    descriptions: list[dict[str, Any]] = []
    for name, leaf in zip(names, leaves, strict=True):
        description, array = _describe_leaf(name, leaf)
        descriptions.append(description)
        if array is not None:
            arrays[description["tensor"]] = _to_stored(array)
    header = {
        "version": _VERSION,
        "weights": _describe(structure, iter(descriptions)),
        "metadata": _checked_metadata(metadata),
    }
    write_atomically(path, save(arrays, metadata={_ENTRY: json.dumps(header)}))


def load_model(path: str | os.PathLike[str]) -> tuple[Tree, dict[str, Any]]:
    """Load the weights and metadata that `save_model` saved.

    Parameters
    ----------
    path : path
        A file that `save_model` wrote.

    Returns
    -------
    weights : pytree
        With the containers, dtypes and shapes that were saved; the arrays are writeable.
    metadata : dict

    Raises
    ------
    FileFormatError
        When the file is missing, cut short, damaged, of another kind, or from a later version of
        steepest.
    """
    tensors, text = _read_safetensors(Path(path))
    if text is None:
        raise FileFormatError(
            f"{path} is a safetensors file, but not one that steepest saved",
            instead="load a file that `steepest train` or `save_model` wrote",
        )
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is damaged: its description is not JSON") from error
    if not isinstance(header, dict) or not isinstance(header.get("version"), int):
        raise FileFormatError(f"{path} is damaged: it does not say its version")
    if header["version"] != _VERSION:
        raise FileFormatError(
            f"{path} has version {header['version']} of the model format;"
            f" this steepest reads version {_VERSION}",
            instead="load it with the steepest that wrote it, or upgrade steepest",
        )
    metadata = header.get("metadata")
    if not isinstance(metadata, dict):
        raise FileFormatError(f"{path} is damaged: it has no metadata")
    try:
        weights = _build(header.get("weights"), tensors)
    except (_DamageError, RecursionError) as error:
        raise FileFormatError(f"{path} is damaged: {error}") from error
    if tensors:
        raise FileFormatError(f"{path} is damaged: nothing refers to its array {min(tensors)!r}")
    return weights, metadata


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that it is, at any moment and after any crash, the old one or the new one.

    Missing folders are made; a symbolic link is followed; the new file has the permissions that
    any new file gets.

    Raises
    ------
    OSError
        When the file cannot be written; nothing is left behind.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{secrets.token_hex(8)}.partial"
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened, nor need be
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class _DamageError(Exception):
    """What is wrong inside a file, for `load_model` to put the path to."""


def _check_containers(structure: Structure, path: str) -> None:
    """Refuse containers and keys that could not be loaded as what they were."""
    if structure.kind is None:
        return
    if structure.kind not in (dict, list, tuple):
        raise BadInputError(
            f"a model file cannot hold {path}, a {structure.kind.__name__}",
            instead="save dicts, lists and tuples of arrays",
        )
    for key, child in zip(structure.keys, structure.children, strict=True):
        if type(key) not in (str, int):
            raise BadInputError(
                f"a model file cannot hold the key {key!r} of {path}, a {type(key).__name__}",
                instead="use strings or integers as keys",
            )
        _check_containers(child, f"{path}[{key!r}]")


def _describe_leaf(name: str, leaf: Leaf) -> tuple[dict[str, Any], AnyArray | None]:
    """Say in JSON what a leaf is, and give its array when it is one."""
    if type(leaf) in _PYTHON_LEAVES:
        # JSON has no NaN and no infinity; `repr` of a float is exact.
        return ({"float": repr(leaf)} if isinstance(leaf, float) else {"value": leaf}), None
    if type(leaf) is complex:
        return {"complex": [repr(leaf.real), repr(leaf.imag)]}, None
    if not (type(leaf) in (np.ndarray, np.memmap) or isinstance(leaf, np.generic)):
        raise BadInputError(
            f"a model file cannot hold {name}, a {type(leaf).__name__}",
            instead="save NumPy arrays, numbers, strings or None",
        )
    array = np.asarray(leaf)
    if array.dtype.str not in _DTYPES:
        raise BadInputError(
            f"a model file cannot hold {name}, an array of dtype {array.dtype}",
            instead="convert it to a boolean, integer, float or complex dtype of up to 64 bits"
            " a component",
        )
    # safetensors keeps this one name for itself.
    tensor = "['__metadata__']" if name == "__metadata__" else name
    kind = "scalar" if isinstance(leaf, np.generic) else "array"
    return {"tensor": tensor, "kind": kind, "dtype": array.dtype.str}, array


def _describe(structure: Structure, leaves: Any) -> dict[str, Any]:
    """Say in JSON what a tree is."""
    if structure.kind is None:
        description: dict[str, Any] = next(leaves)
        return description
    children = [_describe(child, leaves) for child in structure.children]
    if structure.kind is dict:
        # Pairs, because the keys of a JSON object are strings and these may be integers.
        return {"dict": [list(pair) for pair in zip(structure.keys, children, strict=True)]}
    return {structure.kind.__name__: children}


def _to_stored(array: AnyArray) -> AnyArray:
    """Make the array that stands for another in the file.

    It is little-endian and contiguous (the safetensors library writes the wrong entries for one
    that is not), with complex entries as pairs of floats (it has no complex128).
    """
    stored = np.array(array, dtype=array.dtype.newbyteorder("<"), order="C")
    if stored.dtype.kind != "c":
        return stored
    return stored.reshape(*stored.shape, 1).view(f"<f{stored.dtype.itemsize // 2}")


def _from_stored(stored: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
    """Undo `_to_stored`."""
    native = dtype.newbyteorder("=")
    if dtype.kind != "c":
        if stored.dtype != native:
            raise _DamageError(f"an array of dtype {stored.dtype} stands for one of {native}")
        return np.array(stored, dtype=dtype)
    if stored.shape[-1:] != (2,) or stored.dtype != f"f{dtype.itemsize // 2}":
        raise _DamageError(
            f"an array of shape {stored.shape} and dtype {stored.dtype} stands for one of {native}"
        )
    return np.array(stored.view(native).reshape(stored.shape[:-1]), dtype=dtype)


def _checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Refuse metadata that JSON would change or cannot hold."""
    plain = dict(metadata or {})
    try:
        json.dumps(plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInputError(
            f"a model file cannot hold this metadata: {error}",
            instead="use strings, numbers, booleans, None, lists and dicts",
        ) from error
    _check_keys(plain, "metadata")
    return plain


def _check_keys(value: Any, path: str) -> None:
    """Refuse keys that JSON would turn into strings."""
    if isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, str):
                raise BadInputError(
                    f"a model file cannot hold the key {key!r} of {path}, a {type(key).__name__}",
                    instead="use strings as keys of metadata",
                )
            _check_keys(child, f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value):
            _check_keys(child, f"{path}[{index}]")


def _read_safetensors(path: Path) -> tuple[dict[str, AnyArray], str | None]:
    """Read the arrays of a safetensors file, and steepest's entry in its header if it has one."""
    from safetensors import SafetensorError, safe_open

    try:
        # Python says why a file cannot be opened; safetensors calls every reason "not found".
        with path.open("rb"), safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_ENTRY)
            # A file of another program may hold what NumPy has no dtype for.
            names = () if text is None else file.keys()
            return {name: file.get_tensor(name) for name in names}, text
    except FileNotFoundError as error:
        raise FileFormatError(f"there is no model file {path}") from error
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, AttributeError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{path} is not a model file, or is damaged: {error}",
            instead="load a file that `steepest train` or `save_model` wrote",
        ) from error


def _build(description: Any, tensors: dict[str, AnyArray]) -> Tree:
    """Build a tree from what a file says of it, taking the arrays out of `tensors`."""
    match description:
        case {"dict": [*pairs]}:
            result: dict[str | int, Tree] = {}
            for pair in pairs:
                match pair:
                    case [str() | int() as key, child] if key not in result:
                        result[key] = _build(child, tensors)
                    case _:
                        raise _DamageError("it describes a dict that cannot be")
            return result
        case {"list": [*children]}:
            return [_build(child, tensors) for child in children]
        case {"tuple": [*children]}:
            return tuple(_build(child, tensors) for child in children)
        case {"value": None | bool() | int() | str() as value}:
            return value
        case {"float": str() as text}:
            return _float(text)
        case {"complex": [str() as real, str() as imaginary]}:
            return complex(_float(real), _float(imaginary))
        case {"tensor": str() as name, "kind": "array" | "scalar" as kind, "dtype": str() as code}:
            if name not in tensors:
                raise _DamageError(f"the array {name!r} is missing")
            if code not in _DTYPES:
                raise _DamageError(f"the array {name!r} has the dtype {code!r}")
            array = _from_stored(tensors.pop(name), _DTYPES[code])
            if kind == "array":
                return array
            if array.shape != ():
                raise _DamageError(f"the scalar {name!r} has shape {array.shape}")
            return array[()]
    raise _DamageError("it does not say what its weights are")


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise _DamageError(f"{text!r} is not a number") from error
