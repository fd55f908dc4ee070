"""What SciPy's own code asks of arrays before it computes, where it is followed.

SciPy looks at the type of an array to find out whose it is. Arrays are NumPy's, as they are to
`isinstance`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.ops.spec import Value

__all__ = ["FUNCTIONS"]


def _yes(_: Value) -> bool:
    return True


def array_namespace(*_arrays: Value, **_settings: Any) -> Any:
    from scipy._lib.array_api_compat.common._helpers import array_namespace as original

    return original(np.empty(0))


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy._lib.array_api_compat.common._helpers": {
        "array_namespace": array_namespace,
        "is_array_api_obj": _yes,
        "is_numpy_array": _yes,
        "is_writeable_array": _yes,
    },
    "scipy._lib.array_api_compat.numpy.linalg": {"solve": np.linalg.solve},
}
"""By module and name."""
