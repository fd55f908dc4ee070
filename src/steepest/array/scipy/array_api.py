"""What SciPy's own code asks of arrays before it computes, where it is followed.

SciPy looks at the type of an array to find out whose it is. Arrays are NumPy's, as they are to
`isinstance`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.scipy.names import LIBRARIES
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


def _yes(_: Value) -> bool:
    return True


def array_namespace(*_arrays: Value, **_settings: Any) -> Any:
    modules = (sys.modules.get(f"{each}{_HELPERS}") for each in LIBRARIES)
    return next(each.array_namespace(np.empty(0)) for each in modules if each is not None)


def asarray(
    obj: Value, /, *, dtype: Any = None, copy: bool | None = None, **_settings: Any
) -> Value:
    array = as_array(obj)
    return array.astype(array.dtype if dtype is None else dtype, copy=bool(copy))


_HELPERS = "array_api_compat.common._helpers"


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    f"{library}{module}": functions
    for library in LIBRARIES
    for module, functions in (
        (
            _HELPERS,
            {
                "array_namespace": array_namespace,
                "is_array_api_obj": _yes,
                "is_numpy_array": _yes,
                "is_writeable_array": _yes,
            },
        ),
        # The classes of SciPy 1.18 have their work done by others, which ask for this.
        ("array_api_compat.numpy", {"asarray": asarray} if library == "scipy._external." else {}),
        ("array_api_compat.numpy.linalg", {"solve": np.linalg.solve}),
    )
}
"""By module and name."""
