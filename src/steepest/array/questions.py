"""What code of the user's is told by `type` and `hasattr` of a traced value.

``type(x)`` looks at the type itself, and asks nobody. So while a function is traced, these names
stand for functions that say of a traced value what Python says of the value without traces, in
those modules of the user's that have NumPy, and whose source has the names (`creating.py`).
"""

from __future__ import annotations

from types import GenericAlias
from typing import Any

import numpy as np

from steepest.array.builtin_uses import name_before
from steepest.ops.spec import Traced

__all__ = ["asked_in", "has_numpy"]


class _TypeOfType(type):
    """The type of what stands for `type`, to be called and asked like it."""

    def __call__(cls, *args: Any, **settings: Any) -> Any:
        if cls is not Type:
            return super().__call__(*args, **settings)
        if len(args) == 1 and isinstance(args[0], Traced):
            return args[0].__class__
        made = type(*args, **settings)
        # For those who ask whether it is this one.
        return Type if made is type else made

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, type) if cls is Type else type.__instancecheck__(cls, instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, type) if cls is Type else type.__subclasscheck__(cls, subclass)

    def __eq__(cls, other: object) -> bool:
        return other is cls or (cls is Type and other is type)

    def __hash__(cls) -> int:
        return hash(type) if cls is Type else type.__hash__(cls)

    def __repr__(cls) -> str:
        return repr(type) if cls is Type else type.__repr__(cls)


class Type(type, metaclass=_TypeOfType):
    """Stands for `type`."""

    __class_getitem__: Any = classmethod(GenericAlias)


def has_attribute(value: Any, name: str, /) -> bool:
    """Stands for `hasattr`: a traced number has no length, and a Python number no shape."""
    if isinstance(value, Traced) and not hasattr(value.__class__, name):
        return False
    return hasattr(value, name)


_ANSWERS = {"type": Type, "hasattr": has_attribute}
_NAMES = {name: name_before(name, "[(,)]") for name in _ANSWERS}


def asked_in(names: dict[str, Any], source: str | None) -> dict[str, Any]:
    """Find what is to stand for builtins in a module of the user's.

    It is given by its names and its source; that of a session is nowhere.
    """
    return {
        name: answer
        for name, answer in _ANSWERS.items()
        if name not in names and (source is None or _NAMES[name].search(source))
    }


def has_numpy(names: dict[str, Any]) -> bool:
    """Whether a module with some names has NumPy, or something of it."""
    return any(id(value) in _OF_NUMPY for value in list(names.values()))


_OF_NUMPY = {id(np)} | {
    id(value)
    for value in vars(np).values()
    if getattr(value, "__module__", None) == "numpy" or isinstance(value, np.ufunc)
}
