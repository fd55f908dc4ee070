"""Rotations of space, as ``scipy.spatial.transform`` has them, on Arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.plain import holds, is_known, plain_value
from steepest.array.scipy.names import OfTraced
from steepest.errors import UnsupportedError
from steepest.ops.spec import Value

__all__ = ["FUNCTIONS", "METHODS", "TracedRotation", "TracedSlerp"]

_GIMBAL = 1e-7
_MOST_STEPS = 20
_LAST_STEPS = 2
"""For derivatives, when the value is found."""


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

    def as_mrp(self) -> Value:
        """Make the modified Rodrigues parameters."""
        q = self._quaternions
        return q[..., :3] * np.where(q[..., 3:] < 0, -1.0, 1.0) / (1 + np.abs(q[..., 3:]))

    def as_euler(self, seq: str, degrees: bool = False, **_settings: Any) -> Value:
        """Take the angles of three turns around axes.

        By E. Bernardes and S. Viollet, "Quaternion to Euler angles conversion: a direct, general
        and computationally efficient method", PLoS ONE 17(11), 2022.
        """
        turns_along = seq.isupper()
        names = seq.lower()
        if len(names) != 3 or set(names) - set("xyz") or seq not in (names, names.upper()):
            raise ValueError(f"Expected `seq` to be three of x, y and z, got {seq}.")
        if names[0] == names[1] or names[1] == names[2]:
            raise ValueError(f"Expected consecutive axes to be different, got {seq}.")
        i, j, k = ("xyz".index(each) for each in (names[::-1] if turns_along else names))
        is_symmetric = i == k
        k = 3 - i - j
        sign = (i - j) * (j - k) * (k - i) / 2
        q = self._quaternions
        a, b, c, d = q[..., 3], q[..., i], q[..., j], q[..., k] * sign
        if not is_symmetric:
            a, b, c, d = a - c, b + d, c + a, d - b
        middle = 2 * np.arctan2(np.hypot(c, d), np.hypot(a, b))
        if holds((np.abs(middle) < _GIMBAL) | (np.abs(middle - np.pi) < _GIMBAL)):
            raise UnsupportedError(
                "scipy.spatial.transform.Rotation.as_euler is not differentiated at gimbal lock,"
                " where two of the axes coincide",
                instead="as_matrix(), as_rotvec() or as_quat(); another order of the axes",
            )
        half_sum, half_difference = np.arctan2(b, a), np.arctan2(d, c)
        first, third = half_sum - half_difference, half_sum + half_difference
        if not is_symmetric:
            third, middle = third * sign, middle - np.pi / 2
        if turns_along:
            first, third = third, first
        angles = np.stack([first, middle, third], axis=-1)
        turn = 2 * np.pi
        angles = angles + np.where(angles < -np.pi, turn, 0.0) - np.where(angles > np.pi, turn, 0)
        return np.rad2deg(angles) if degrees else angles

    def mean(self, weights: Value | None = None) -> TracedRotation:
        """Take the mean by F. L. Markley et al., "Averaging Quaternions", 2007."""
        q = np.reshape(self._quaternions, (-1, 4))
        weighted = q if weights is None else q * as_array(weights)[:, None]
        return TracedRotation(np.linalg.eigh(q.T @ weighted)[1][:, -1])

    def __pow__(self, exponent: Value, modulus: None = None) -> TracedRotation:
        result: TracedRotation = from_rotvec(as_array(exponent) * self.as_rotvec())
        return result

    def __iter__(self) -> Iterator[TracedRotation]:
        return (self[k] for k in range(len(self)))

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


def from_mrp(mrp: Value) -> Any:
    m = _doubles(mrp)
    square = np.sum(m * m, axis=-1, keepdims=True)
    return TracedRotation(np.concatenate([2 * m, 1 - square], axis=-1) / (1 + square))


def from_matrix(matrix: Value, **_settings: Any) -> Any:
    m = _doubles(matrix)
    if m.shape[-2:] != (3, 3):
        raise ValueError(f"Expected `matrix` to have shape (3, 3) or (N, 3, 3), got {m.shape}")
    # The nearest rotation, as SciPy takes it: so are the derivatives by nine entries those of it.
    if holds(np.linalg.det(m) <= 0):
        raise ValueError("Non-positive determinant (left-handed or null coordinate frame)")
    return TracedRotation(_quaternions_of(_nearest_rotation(m)))


def _nearest_rotation(m: Value) -> Value:
    """Find the orthogonal factor by Newton's method, of which also derivatives converge.

    See N. J. Higham, "Computing the polar decomposition", 1986. That of singular values has no
    second derivative where they are equal, as those of a rotation are.
    """
    left = _MOST_STEPS
    while left:
        m = (m + np.swapaxes(np.linalg.inv(m), -1, -2)) / 2
        left -= 1
        if is_known(m) and left > _LAST_STEPS:
            plain = plain_value(m, "Rotation.from_matrix")
            away = np.abs(plain @ np.swapaxes(plain, -1, -2) - np.eye(3))
            if np.all(away <= 1e-14):
                left = _LAST_STEPS
    return m


def _quaternions_of(m: Value) -> Value:
    """Make quaternions of matrices, by the largest of their entries."""
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    trace = xx + yy + zz
    sums = [m[..., i, j] + m[..., j, i] for i, j in ((0, 1), (1, 2), (2, 0))]
    gaps = [m[..., j, i] - m[..., i, j] for i, j in ((0, 1), (1, 2), (2, 0))]
    xy, yz, zx = sums
    z, x, y = gaps
    candidates = [
        [1 - trace + 2 * xx, xy, zx, x],
        [xy, 1 - trace + 2 * yy, yz, y],
        [zx, yz, 1 - trace + 2 * zz, z],
        [x, y, z, 1 + trace],
    ]
    largest = np.argmax(np.stack([xx, yy, zz, trace], axis=-1), axis=-1)[..., None]
    result: Value = np.stack(candidates[3], axis=-1)
    for k in range(3):
        result = np.where(largest == k, np.stack(candidates[k], axis=-1), result)
    return result


def concatenate(rotations: Any) -> Any:
    rows = [np.reshape(TracedRotation.of(each).as_quat(), (-1, 4)) for each in rotations]
    return TracedRotation(np.concatenate(rows))


def align_vectors(a: Value, b: Value, weights: Value | None = None, **settings: Any) -> Any:
    a, b = _doubles(a), _doubles(b)
    weights = np.ones(a.shape[:1]) if weights is None else _doubles(weights)
    if a.ndim != 2 or len(a) < 2 or holds(np.isinf(weights)) or settings.get("return_sensitivity"):
        raise UnsupportedError(
            "scipy.spatial.transform.Rotation.align_vectors of one vector, with infinite weights or"
            " with return_sensitivity=True is not differentiated",
            instead="two vectors or more, with finite weights",
        )
    # W. Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976.
    u, lengths, vh = np.linalg.svd((weights[:, None] * a).T @ b)
    turned = np.where(np.linalg.det(u @ vh) < 0, -1.0, 1.0)
    signs = np.stack([np.ones(()), np.ones(()), turned])
    rotation = TracedRotation(_quaternions_of((u * signs) @ vh))
    square = np.sum(weights * np.sum(a * a + b * b, axis=-1)) - 2 * np.sum(lengths * signs)
    return rotation, np.sqrt(np.maximum(square, 0.0))


class TracedSlerp:
    """The interpolation of rotations, as SciPy's ``Slerp``.

    Parameters
    ----------
    times : array (n,)
        Increasing.
    rotations : rotation
        A row of n.
    """

    def __init__(self, times: Value, rotations: Any) -> None:
        self.times = _doubles(times)
        self.rotations = TracedRotation.of(rotations)
        if self.times.shape != (len(self.rotations),) or len(self.times) < 2:
            raise ValueError("Expected as many times as rotations, and at least 2.")
        self.rotvecs = (self.rotations[:-1].inv() * self.rotations[1:]).as_rotvec()

    def __call__(self, times: Value) -> TracedRotation:
        """Interpolate."""
        return _interpolated(times, self.times, self.rotations, self.rotvecs)


def _interpolated(times: Value, given: Value, rotations: Any, rotvecs: Value) -> TracedRotation:
    at = _doubles(times)
    known = plain_value(given, "Slerp")
    wanted = plain_value(at, "scipy.spatial.transform.Slerp, which looks for the interval,")
    if np.any(wanted < known[0]) or np.any(wanted > known[-1]):
        raise ValueError(f"Interpolation times must be within [{known[0]}, {known[-1]}].")
    place = np.clip(np.searchsorted(known, wanted) - 1, 0, len(known) - 2)
    share = (at - given[place]) / (given[place + 1] - given[place])
    turned: TracedRotation = from_rotvec(rotvecs[place] * share[..., None])
    return TracedRotation.of(rotations[place]) * turned


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


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.spatial.transform": {"Slerp": TracedSlerp}
}
"""By module and name."""

METHODS: dict[str, dict[str, dict[str, Callable[..., Any]]]] = {
    "scipy.spatial.transform": {
        "Rotation": {
            "__mul__": lambda self, other: TracedRotation.of(self) * other,
            "apply": _apply,
            "from_euler": from_euler,
            "align_vectors": align_vectors,
            "concatenate": concatenate,
            "from_davenport": _unsupported_constructor("from_davenport"),
            "from_matrix": from_matrix,
            "from_mrp": from_mrp,
            "from_quat": from_quat,
            "from_rotvec": from_rotvec,
        },
        "Slerp": {
            "__call__": lambda self, times: _interpolated(
                times, self.times, self.rotations, self.rotvecs
            ),
        },
    }
}
"""By module, class and name."""
