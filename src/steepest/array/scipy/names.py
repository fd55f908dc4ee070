"""How a call of one of SciPy's functions with a traced value reaches what computes it on Arrays.

SciPy hands its arguments to C and Fortran, and asks nobody. So the *lookup* of some names answers
otherwise in a thread that traces a function: ``scipy.linalg.solve`` is then a stand-in, which
calls SciPy's function unless an argument is an Array. Everywhere else, and when the function has
returned, the lookup gives SciPy's own function. That costs nothing where a function is entered.

A module is given a class with a descriptor for each such name, and a method of SciPy's, such as
``logpdf`` of all distributions, a descriptor in its place. Both are installed when a function
is traced for the first time after the module was imported; a module that the program does not
import is left alone. Names that a user's module has of SciPy's (``from scipy.linalg import
solve``) are replaced as those of NumPy's are, by `steepest.array.creating`.

What somebody else puts in the place of a function (a mock, a patch) is left alone.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

from steepest.array.array import Array
from steepest.array.buffers import making
from steepest.array.plain import apply_plainly, is_traced
from steepest.array.standing_in import StandsFor

__all__ = ["LIBRARIES", "Found", "OfTraced", "has"]

LIBRARIES = ("scipy._lib.", "scipy._external.")
"""What SciPy's functions are written with; the second one from SciPy 1.18 on."""

MODULES: dict[str, tuple[str, ...]] = {
    **{
        f"{library}{module}": (file,)
        for library in LIBRARIES
        for module, file in (
            ("array_api_compat.common._helpers", "array_api"),
            ("array_api_compat.numpy", "array_api"),
            ("array_api_compat.numpy.linalg", "array_api"),
            ("array_api_extra", "distributions"),
        )
    },
    "scipy.cluster.vq": ("distances",),
    "scipy.fft": ("fourier",),
    "scipy.integrate": ("integrate",),
    "scipy.interpolate": ("interpolation", "surfaces"),
    "scipy.linalg": ("forms", "linalg", "structured"),
    "scipy.ndimage": ("filters", "images"),
    "scipy.optimize": ("least_squares", "linear_programs", "minima", "roots"),
    "scipy.signal": ("filters", "signals"),
    "scipy.signal.windows": ("signals",),
    "scipy.sparse": ("sparse",),
    "scipy.sparse.linalg": ("sparse",),
    "scipy.spatial": ("distances",),
    "scipy.spatial.distance": ("distances",),
    "scipy.spatial.transform": ("rotations",),
    "scipy.special": ("special",),
    "scipy.stats": ("distributions", "multivariate", "sample_statistics"),
}
"""By the names of SciPy's modules: the files here that have their functions.

Such a file has tables by the names of SciPy's modules: `FUNCTIONS`, in which by its name each
function stands for SciPy's, and `METHODS`, the same by the names of classes.
"""


class Found:
    """SciPy's modules that have been imported."""

    def __init__(self) -> None:
        self._missing = dict(MODULES)

    def new(self) -> dict[int, Callable[..., Any]]:
        """Install what stands for the functions of modules that were imported meanwhile.

        Returns
        -------
        dict
            What stands for a function, by the identity of that.
        """
        stand_ins: dict[int, Callable[..., Any]] = {}
        for name in [each for each in self._missing if each in sys.modules]:
            module = sys.modules[name]
            if getattr(getattr(module, "__spec__", None), "_initializing", False):
                continue
            del self._missing[name]
            functions = _install_functions(module, _functions(name))
            stand_ins.update((id(each.__wrapped__), each) for each in functions)
            for file in MODULES[name]:
                for path, methods in _tables(file, "METHODS").get(name, {}).items():
                    _install_methods(module, path, methods)
        return stand_ins


def _tables(file: str, table: str) -> dict[str, dict[str, Any]]:
    here = importlib.import_module(f"steepest.array.scipy.{file}")
    return getattr(here, table, {})


def _functions(module: str) -> dict[str, Callable[..., Any]]:
    """Find all that stands for functions of one of SciPy's modules."""
    functions: dict[str, Callable[..., Any]] = {}
    for file in MODULES.get(module, ()):
        functions.update(_tables(file, "FUNCTIONS").get(module, {}))
    return functions


def has(module: str, name: str) -> bool:
    """Whether there is something that stands for a function of SciPy's."""
    return name in _functions(module)


class StandIn(StandsFor):
    """One of SciPy's functions, of Arrays too.

    Parameters
    ----------
    original : callable
        SciPy's.
    on_arrays : callable
        What computes it where an argument is traced.
    """

    def __init__(self, original: Callable[..., Any], on_arrays: Callable[..., Any]) -> None:
        super().__init__(original)
        self._on_arrays = on_arrays
        # What SciPy's own code calls: also of Arrays in which nothing is differentiated.
        self._of_all = str(getattr(original, "__module__", "")).startswith(LIBRARIES)
        self._always = getattr(on_arrays, "always", False)

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """Call SciPy's function, or what computes it on Arrays."""
        if not making.depth or not (self._always or _holds((args, settings), _HOLDERS)):
            return self._original(*args, **settings)
        if (
            self._always
            or self._of_all
            or is_traced((args, settings))
            or _holds((args, settings), (OfTraced,))
        ):
            return self._on_arrays(*args, **settings)
        return apply_plainly(self._original, args, settings)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._instances())

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[Any, ...]:
        return (self._original,)

    def _instances(self) -> Any:
        """List the classes that are meant by one of SciPy's."""
        on_arrays = self._on_arrays
        return (self._original, on_arrays) if isinstance(on_arrays, type) else self._original

    def __reduce__(self) -> Any:
        return _original, (self._original.__module__, self._original.__name__)


def _original(module: str, name: str) -> Any:
    return vars(importlib.import_module(module))[name]


class OfTraced:
    """Base of what stands for an object of SciPy's that holds traced values."""


_HOLDERS: tuple[type, ...] = (Array, OfTraced)


def _holds(value: Any, kinds: tuple[type, ...]) -> bool:
    """Whether there is something of some types among nested arguments."""
    if isinstance(value, (tuple, list)):
        return any(_holds(each, kinds) for each in value)
    if isinstance(value, dict):
        return any(_holds(each, kinds) for each in value.values())
    return isinstance(value, kinds)


class _Name:
    """A name of a module: SciPy's function, and where a function is traced what stands for it."""

    def __init__(self, name: str, original: Callable[..., Any], stand_in: StandIn) -> None:
        self.name = name
        self.original = original
        self.stand_in = stand_in

    def __get__(self, module: ModuleType | None, kind: Any = None) -> Any:
        if module is None:
            return self
        try:
            value = module.__dict__[self.name]
        except KeyError:
            raise AttributeError(
                f"module {module.__name__!r} has no attribute {self.name!r}"
            ) from None
        return self.stand_in if making.depth and value is self.original else value

    def __set__(self, module: ModuleType, value: Any) -> None:
        module.__dict__[self.name] = value

    def __delete__(self, module: ModuleType) -> None:
        del module.__dict__[self.name]


def _install_functions(
    module: ModuleType, functions: dict[str, Callable[..., Any]]
) -> list[StandIn]:
    """Give a module a class whose descriptors look its names up."""
    names = {}
    for name, on_arrays in functions.items():
        original = module.__dict__.get(name)
        if original is not None:
            names[name] = _Name(name, original, StandIn(original, on_arrays))
    if names and isinstance(module, ModuleType):
        module.__class__ = type("module", (type(module),), dict(names))
    return [each.stand_in for each in names.values()]


class _Method:
    """A method of a class: SciPy's, and where a function is traced what stands for it."""

    def __init__(self, original: Any, stand_in: Any) -> None:
        self._original = original
        self._stand_in = stand_in
        self.__doc__ = original.__doc__
        self.__wrapped__ = original

    def __get__(self, instance: Any, kind: Any = None) -> Any:
        method = self._stand_in if making.depth else self._original
        return method.__get__(instance, kind)


def _install_methods(module: ModuleType, path: str, methods: dict[str, Callable[..., Any]]) -> None:
    for name, on_arrays in methods.items():
        owner: Any = functools.reduce(_attribute, path.split("."), module)
        original = vars(owner).get(name) if isinstance(owner, type) else None
        if not callable(original):
            continue
        if isinstance(original, staticmethod):
            stand_in: Any = staticmethod(StandIn(original.__func__, on_arrays))
        else:
            stand_in = _method(original, on_arrays)
        with suppress(TypeError):  # Classes of compiled code keep their methods.
            setattr(owner, name, _Method(original, stand_in))


def _attribute(value: Any, name: str) -> Any:
    return getattr(value, name, None)


def _state(owner: object) -> dict[str, Any]:
    """List the attributes of an object, those in slots too."""
    slots = [name for kind in type(owner).__mro__ for name in getattr(kind, "__slots__", ())]
    state = {name: getattr(owner, name, None) for name in slots if name not in ("__dict__",)}
    state.update(getattr(owner, "__dict__", {}))
    # Of SciPy 1.18, an object that has the work done by another one.
    state.update(getattr(state.get("_delegate_to"), "__dict__", {}))
    return state


def _method(original: Callable[..., Any], on_arrays: Callable[..., Any]) -> Callable[..., Any]:
    reads_state = getattr(on_arrays, "reads_state", False)

    @functools.wraps(original)
    def method(self: Any, *args: Any, **settings: Any) -> Any:
        if reads_state and _holds(_state(self), _HOLDERS):
            return on_arrays(self, *args, **settings)
        if not _holds((args, settings), _HOLDERS):
            return original(self, *args, **settings)
        if is_traced((args, settings)) or _holds((args, settings), (OfTraced,)):
            return on_arrays(self, *args, **settings)
        return apply_plainly(original.__get__(self), args, settings)

    return method
