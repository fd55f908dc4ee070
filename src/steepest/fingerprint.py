"""Fingerprints of arrays, to see that nobody has written into them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xxhash

__all__ = ["fingerprint", "may_be_written"]


def may_be_written(array: np.ndarray[Any, Any]) -> bool:
    """Whether anyone can write into the memory of an array."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return True
        owner = owner.base
    # Memory of another library (mmap, buffer): who can write into it is not known.
    return owner is not None and not isinstance(owner, bytes)


def fingerprint(array: np.ndarray[Any, Any]) -> int:
    """Hash the bytes of an array, at about the speed of memory.

    Arrays of Python objects are told apart by the identity of their entries.
    """
    if array.dtype.hasobject:
        return hash(tuple(map(id, array.flat)))
    if array.flags.c_contiguous and array.dtype.isnative and array.dtype.kind in "fciub":
        return xxhash.xxh3_64_intdigest(array.data)
    data = np.ascontiguousarray(array).reshape(-1)
    return xxhash.xxh3_64_intdigest(data.view(np.uint8).data)
