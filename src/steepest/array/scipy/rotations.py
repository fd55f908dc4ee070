"""Rotations of space, as ``scipy.spatial.transform`` has them, on Arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.scipy.names import OfTraced
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["METHODS", "TracedRotation"]


def _doubles(value: Value) -> Value:
    return as_array(value).astype(np.float64)


class TracedRotation(OfTraced):
    """A rotation, or a row of them, by unit quaternions of which the last entry is the scalar.

    Parameters
    ----------
    quaternions : array (..., 4)
        Of any length but 0.
    """

    def __init__(self, quaternions: Value) -> None:
        q = _doubles(quaternions)
        if q.ndim < 1 or q.shape[-1] != 4:
            raise ValueError(f"Expected `quat` to have shape (..., 4), got {q.shape}.")
        self._quaternions = q / np.linalg.norm(q, axis=-1, keepdims=True)

    @classmethod
    def of(cls, rotation: Any) -> TracedRotation:
        """Take one of SciPy's."""
        return rotation if isinstance(rotation, cls) else cls(rotation.as_quat())

    def as_quat(self, canonical: bool = False, *, scalar_first: bool = False) -> Value:
        """Take the quaternions."""
        q = self._quaternions
        if canonical:
            # The first of the entries w, x, y, z that is not 0 is positive.
            first: Value = q[..., 2]
            for k in (1, 0, 3):
                first = np.where(q[..., k] != 0, q[..., k], first)
            q = q * np.where(first < 0, -1.0, 1.0)[..., None]
        return np.roll(q, 1, axis=-1) if scalar_first else q

    def as_matrix(self) -> Value:
        """Make the matrices."""
        x, y, z, w = (self._quaternions[..., k] for k in range(4))
        rows = [
            [x * x - y * y - z * z + w * w, 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), -x * x + y * y - z * z + w * w, 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), -x * x - y * y + z * z + w * w],
        ]
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    def apply(self, vectors: Value, inverse: bool = False) -> Value:
        """Turn vectors."""
        matrix = self.as_matrix()
        matrix = np.swapaxes(matrix, -1, -2) if inverse else matrix
        return np.sum(matrix * _doubles(vectors)[..., None, :], axis=-1)

    def inv(self) -> TracedRotation:
        """Turn back."""
        return TracedRotation(self._quaternions * np.array([-1.0, -1, -1, 1]))

    def magnitude(self) -> Value:
        """Take the angles."""
        q = self._quaternions
        return 2.0 * np.arctan2(np.linalg.norm(q[..., :3], axis=-1), np.abs(q[..., 3]))

    def as_rotvec(self, degrees: bool = False) -> Value:
        """Make the vectors along the axes, as long as the angles."""
        q = self._quaternions
        q = q * np.where(q[..., 3:] < 0, -1.0, 1.0)
        length = np.sqrt(_guarded(np.sum(q[..., :3] ** 2, axis=-1, keepdims=True)))
        angle = 2.0 * np.arctan2(length, q[..., 3:])
        small = angle <= 1e-3
        factor = np.where(
            small,
            2 + angle**2 / 12 + 7 * angle**4 / 2880,
            angle / np.sin(np.where(small, 1.0, angle) / 2),
        )
        vectors = factor * q[..., :3]
        return np.rad2deg(vectors) if degrees else vectors

    def __mul__(self, other: Any) -> TracedRotation:
        p, q = self._quaternions, TracedRotation.of(other)._quaternions
        vector = p[..., 3:] * q[..., :3] + q[..., 3:] * p[..., :3]
        vector = vector + np.cross(p[..., :3], q[..., :3])
        scalar = p[..., 3] * q[..., 3] - np.sum(p[..., :3] * q[..., :3], axis=-1)
        return TracedRotation(np.concatenate([vector, scalar[..., None]], axis=-1))

    def __rmul__(self, other: Any) -> TracedRotation:
        return TracedRotation.of(other) * self

    def __getitem__(self, key: Any) -> TracedRotation:
        return TracedRotation(self._quaternions[key])

    def __len__(self) -> int:
        if self._quaternions.ndim == 1:
            raise TypeError("Single rotation has no len().")
        return len(self._quaternions)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnsupportedError(
            f"scipy.spatial.transform.Rotation.{name} of a traced rotation is not differentiated",
            instead="as_matrix(), apply(…), as_quat(), as_rotvec(), magnitude(), inv() or a"
            " product of rotations",
        )


def _guarded(square: Value) -> Value:
    """Replace 0 under a root by something small, whose root has a slope."""
    return np.where(square == 0, square + 1e-300, square)


def _half_angle(square: Value) -> tuple[Value, Value]:
    """Take the sine of half an angle over the angle, and the cosine, by the angle's square.

    Both are analytic in the square, also at 0.
    """
    small = square <= 1e-6
    safe = np.sqrt(np.where(small, 1.0, square))
    ratio = np.where(small, 0.5 - square / 48 + square * square / 3840, np.sin(safe / 2) / safe)
    cosine = np.where(small, 1 - square / 8 + square * square / 384, np.cos(safe / 2))
    return ratio, cosine


def from_rotvec(rotvec: Value, degrees: bool = False, **_settings: Any) -> Any:
    v = _doubles(rotvec)
    v = np.deg2rad(v) if degrees else v
    if v.ndim < 1 or v.shape[-1] != 3:
        raise ValueError(f"Expected `rot_vec` to have shape (..., 3), got {v.shape}")
    ratio, cosine = _half_angle(np.sum(v * v, axis=-1, keepdims=True))
    return TracedRotation(np.concatenate([v * ratio, cosine], axis=-1))


def from_quat(quat: Value, *, scalar_first: bool = False, **_settings: Any) -> Any:
    q = _doubles(quat)
    return TracedRotation(np.roll(q, -1, axis=-1) if scalar_first else q)


def from_euler(seq: str, angles: Value, degrees: bool = False, **_settings: Any) -> Any:
    angles = _doubles(angles)
    angles = np.deg2rad(angles) if degrees else angles
    if seq not in (seq.lower(), seq.upper()) or set(seq.lower()) - set("xyz"):
        raise ValueError(f"Expected axes from `seq` to be from ['x', 'y', 'z'], got {seq}")
    if len(seq) == 1 and (angles.ndim == 0 or angles.shape[-1] != 1):
        angles = angles[..., None]
    if angles.shape[-1] != len(seq):
        raise ValueError(f"Expected {len(seq)} angles, got {angles.shape}")
    turns = []
    for k, axis in enumerate(seq.lower()):
        unit = np.eye(4)["xyz".index(axis)]
        half = angles[..., k, None] / 2
        turns.append(TracedRotation(unit * np.sin(half) + np.array([0, 0, 0, 1.0]) * np.cos(half)))
    whole = turns[0]
    for each in turns[1:]:
        # Capital letters are axes that turn along.
        whole = whole * each if seq.isupper() else each * whole
    return whole


def _unsupported_constructor(name: str) -> Callable[..., Any]:
    def construct(*_args: Any, **_settings: Any) -> Any:
        raise UnsupportedError(
            f"scipy.spatial.transform.Rotation.{name} of traced values is not differentiated",
            instead="Rotation.from_rotvec, from_quat or from_euler; the matrix itself",
        )

    return construct


def _apply(self: Any, vectors: Value, inverse: bool = False) -> Value:
    """Turn traced vectors by a constant rotation."""
    matrix = self.as_matrix()
    matrix = np.swapaxes(matrix, -1, -2) if inverse else matrix
    return np.sum(matrix * _doubles(vectors)[..., None, :], axis=-1)


METHODS: dict[str, dict[str, dict[str, Callable[..., Any]]]] = {
    "scipy.spatial.transform": {
        "Rotation": {
            "__mul__": lambda self, other: TracedRotation.of(self) * other,
            "apply": _apply,
            "from_euler": from_euler,
            "from_matrix": _unsupported_constructor("from_matrix"),
            "from_mrp": _unsupported_constructor("from_mrp"),
            "from_quat": from_quat,
            "from_rotvec": from_rotvec,
        }
    }
}
"""By module, class and name."""
