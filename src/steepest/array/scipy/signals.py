"""Recursive and polyphase filters of ``scipy.signal`` on Arrays, and what SciPy makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from steepest.array.arguments import as_array
from steepest.array.creating import following
from steepest.array.plain import holds, is_known, is_traced, plain_value
from steepest.array.scipy.filters import convolved_along, rank_filter
from steepest.array.scipy.followed import always, followed, original_of
from steepest.array.scipy.linalg import expm
from steepest.array.scipy.names import LIBRARIES
from steepest.errors import UnsupportedError
from steepest.ops import primitive
from steepest.ops.spec import Value, bind

__all__ = ["FUNCTIONS"]


# Recursive filters


def lfilter(b: Value, a: Value, x: Value, axis: int = -1, zi: Value | None = None) -> Any:
    b, a, x = np.atleast_1d(as_array(b)), np.atleast_1d(as_array(a)), as_array(x)
    if b.ndim != 1 or a.ndim != 1 or not b.size or not a.size:
        raise ValueError("the coefficients b and a must be vectors that are not empty")
    start = None if zi is None else as_array(zi)
    dtype = np.result_type(*(each.dtype for each in (b, a, x, start) if each is not None))
    if dtype.kind not in "fc":
        dtype = np.dtype(np.float64)
    b, a, x = (each.astype(dtype) for each in (b, a, x))
    x = np.moveaxis(x, axis, -1)
    b, a = b / a[0], a / a[0]
    if start is None:
        return np.moveaxis(_recursion(b, a, x, None)[0], -1, axis)
    start = np.moveaxis(start.astype(dtype), axis, -1)
    length = max(a.size, b.size) - 1
    if start.ndim != x.ndim or start.shape[-1] != length:
        raise ValueError(f"zi of {start.shape} does not fit {length} states of the filter")
    start = np.broadcast_to(start, (*x.shape[:-1], length))
    y, end = _recursion(b, a, x, start)
    return np.moveaxis(y, -1, axis), np.moveaxis(end, -1, axis)


def _recursion(b: Value, a: Value, x: Value, start: Value | None) -> tuple[Value, Value]:
    """Filter along the last axis, from a state and to the state at the end.

    A state adds to the first outputs, one entry to each: in the transposed direct form II, what
    the filter remembers is what it will add.
    """
    length = x.shape[-1]
    if start is None:
        full = convolved_along(x, b)[..., :length]
    else:
        size = start.shape[-1]
        whole = convolved_along(x, b)
        reach = max(whole.shape[-1], length + size)
        full = _filled(whole, reach) + _filled(start, reach)
    y = full[..., :length]
    if a.size > 1:
        y = bind(primitive("recursive_filter"), (a, y), {})
    if start is None:
        return y, None
    end = full[..., length : length + size]
    if a.size > 1 and length:
        echo = _filled(convolved_along(y, a), length + size)
        end = end - echo[..., length : length + size]
    return y, end


def _filled(x: Value, length: int) -> Value:
    """Append zeros along the last axis, up to a length."""
    missing = length - x.shape[-1]
    if missing <= 0:
        return x
    return np.concatenate([x, np.zeros((*x.shape[:-1], missing), x.dtype)], axis=-1)


def sosfilt(sos: Value, x: Value, axis: int = -1, zi: Value | None = None) -> Any:
    sos, x = np.atleast_2d(as_array(sos)), as_array(x)
    if sos.ndim != 2 or sos.shape[1] != 6:
        raise ValueError("sos array must be shape (n_sections, 6)")
    if is_known(sos) and np.any(plain_value(sos, "scipy.signal.sosfilt")[:, 3] != 1):
        raise ValueError("sos[:, 3] should be all ones")
    dtype = np.result_type(sos.dtype, x.dtype, *([] if zi is None else [as_array(zi).dtype]))
    dtype = dtype if dtype.kind in "fc" else np.dtype(np.float64)
    x, sos = x.astype(dtype), sos.astype(dtype)
    if zi is not None:
        zi = as_array(zi).astype(dtype)
        shape = list(x.shape)
        shape[axis] = 2
        if zi.shape != (len(sos), *shape):
            raise ValueError(f"Invalid zi shape: {zi.shape} instead of {(len(sos), *shape)}.")
    ends = []
    for place, section in enumerate(sos):
        # The first of the coefficients a is 1 for every section.
        a = np.concatenate([np.ones(1, dtype), section[4:]])
        if zi is None:
            x = lfilter(section[:3], a, x, axis)
        else:
            x, end = lfilter(section[:3], a, x, axis, zi[place])
            ends.append(end)
    return x if zi is None else (x, np.stack(ends))


def lfilter_zi(b: Value, a: Value) -> Value:
    """Find the state that a step leaves: SciPy's own asks whether ``a[0] == 1``, and forgets it."""
    b, a = np.atleast_1d(as_array(b)), np.atleast_1d(as_array(a))
    if b.ndim != 1 or a.ndim != 1:
        raise ValueError("the coefficients b and a must be vectors")
    while is_known(a) and a.size > 1 and plain_value(a, "scipy.signal.lfilter_zi")[0] == 0.0:
        a = a[1:]
    b, a = b / a[0], a / a[0]
    size = max(a.size, b.size)
    a, b = _filled(a, size), _filled(b, size)
    shift = np.eye(size - 1, k=1, dtype=a.dtype)
    first = np.zeros(size - 1, a.dtype)
    first[:1] = 1
    turned = np.eye(size - 1, dtype=a.dtype) + a[1:, None] * first - shift
    return np.linalg.solve(turned, b[1:] - a[1:] * b[0])


def sosfilt_zi(sos: Value) -> Value:
    sos = as_array(sos)
    if sos.ndim != 2 or sos.shape[1] != 6:
        raise ValueError("sos must be shape (n_sections, 6)")
    sos = sos if sos.dtype.kind in "fc" else sos.astype(np.float64)
    states, scale = [], 1.0
    for section in sos:
        b, a = section[:3], section[3:]
        states.append(scale * lfilter_zi(b, a))
        scale = scale * (np.sum(b) / np.sum(a))
    return np.stack(states)


# Polyphase filters


def upfirdn(
    h: Value,
    x: Value,
    up: int = 1,
    down: int = 1,
    axis: int = -1,
    mode: str = "constant",
    cval: float = 0,
) -> Value:
    h, x = as_array(h), as_array(x)
    if h.ndim != 1 or h.size == 0:
        raise ValueError("h must be 1-D with non-zero length")
    if up < 1 or down < 1:
        raise ValueError("Both up and down must be >= 1")
    if mode not in _EXTENSIONS:
        raise UnsupportedError(
            f"scipy.signal.upfirdn with mode={mode!r} is not differentiated",
            instead="np.pad, and mode='constant'",
        )
    dtype = np.result_type(h.dtype, x.dtype)
    if dtype.kind not in "fc":
        dtype = np.dtype(np.float64)
    h, x = h.astype(dtype), np.moveaxis(x.astype(dtype), axis, -1)
    length = ((x.shape[-1] - 1) * up + h.size - 1) // down + 1
    before = 0
    if _EXTENSIONS[mode] != "constant" or cval != 0:
        # As far as the filter reaches.
        before = -(-h.size // up)
        x = _extended(x, before, _EXTENSIONS[mode], cval)
    if up > 1:
        # Zeros between the samples.
        apart = np.stack([x, *[np.zeros_like(x)] * (up - 1)], axis=-1)
        x = np.reshape(apart, (*x.shape[:-1], -1))[..., : (x.shape[-1] - 1) * up + 1]
    y = convolved_along(x, h)[..., before * up :: down][..., :length]
    return np.moveaxis(y, -1, axis)


_EXTENSIONS = {
    **{each: each for each in ("constant", "edge", "line", "reflect", "symmetric", "wrap")},
    "zero": "constant",
}


def _extended(x: Value, width: int, mode: str, cval: float) -> Value:
    """Extend an array at both ends of the last axis."""
    widths = [(0, 0)] * (x.ndim - 1) + [(width, width)]
    if mode == "constant":
        return np.pad(x - cval, widths) + cval
    if mode != "line":
        how: Any = mode
        return np.pad(x, widths, mode=how)
    first, last = x[..., :1], x[..., -1:]
    slope = (last - first) / max(x.shape[-1] - 1, 1)
    steps = np.arange(1, width + 1).astype(x.dtype)
    return np.concatenate([first - slope * steps[::-1], x, last + slope * steps], axis=-1)


# Linear systems


def lsim(system: Any, U: Value, T: Value, X0: Value | None = None, interp: bool = True) -> Any:  # noqa: N803  # SciPy's names
    from scipy.signal import lti

    with following("scipy.signal.", *LIBRARIES):
        system = (system if isinstance(system, lti) else lti(*system))._as_ss()
    a, b, c, d = (np.atleast_2d(as_array(getattr(system, each))) for each in "ABCD")
    times = np.atleast_1d(as_array(T)).astype(np.float64)
    states, inputs, count = a.shape[0], b.shape[1], times.shape[0]
    start = np.zeros(states) if X0 is None else np.reshape(as_array(X0), (states,))
    is_driven = is_traced(U) or (U is not None and bool(np.any(as_array(U) != 0.0)))
    u = as_array(U) if is_driven else np.zeros((count, inputs))
    u = u[:, None] if u.ndim == 1 else u
    if u.ndim < 2:
        u = np.broadcast_to(u, (count, inputs))
    if u.shape != (count, inputs):
        raise ValueError("U must have the same number of rows as elements in T, and one column")
    if count == 1:
        raise UnsupportedError(
            "scipy.signal.lsim at a single time is not differentiated",
            instead="two times or more",
        )
    step = times[1] - times[0]
    if holds(np.abs(np.diff(times) - step) > 1e-5 * np.abs(step)):
        raise ValueError("Time steps are not equally spaced.")
    if holds(times[0] != 0.0) and holds(times[0] > 0):
        start = start @ expm(np.swapaxes(a, 0, 1) * times[0])
    # The exponential of a matrix of blocks has the answers to held and to rising inputs beside it.
    nothing = [np.zeros((inputs, states)), np.zeros((inputs, inputs))]
    blocks = [
        np.concatenate([a * step, b * step, np.zeros((states, inputs))], axis=1),
        np.concatenate([nothing[0], nothing[1], np.eye(inputs)], axis=1),
        np.zeros((inputs, states + 2 * inputs)),
    ]
    moved = expm(np.swapaxes(np.concatenate(blocks), 0, 1))
    ahead, rising = moved[:states, :states], moved[states + inputs :, :states]
    held = moved[states : states + inputs, :states]
    driven = u[:-1] @ (held - rising) + u[1:] @ rising if interp else u[:-1] @ held
    rows = [start]
    for each in range(count - 1):
        rows.append(rows[-1] @ ahead + driven[each])
    x = np.stack(rows)
    y = x @ np.swapaxes(c, 0, 1) + u @ np.swapaxes(d, 0, 1)
    return times, np.squeeze(y), np.squeeze(x)


# Medians


def medfilt2d(input: Value, kernel_size: Any = 3) -> Value:  # noqa: A002  # SciPy's name
    image = as_array(input)
    sizes = np.broadcast_to(np.asarray(kernel_size), (2,)).tolist()
    if any(size % 2 != 1 for size in sizes):
        raise ValueError("Each element of kernel_size should be odd.")
    return rank_filter(image, int(np.prod(sizes)) // 2, size=tuple(sizes), mode="constant")


_FOLLOWED = (
    "StateSpace TransferFunction ZerosPolesGain cont2discrete deconvolve dlti freqs group_delay"
    " lombscargle lti residue sos2tf sos2zpk ss2tf ss2zpk tf2ss tf2zpk vectorstrength zpk2ss zpk2tf"
    " chirp coherence csd decimate detrend filtfilt firwin freqz freqz_sos gausspulse hilbert"
    " hilbert2 istft medfilt periodogram resample resample_poly savgol_filter sawtooth"
    " sosfiltfilt sosfreqz spectrogram stft sweep_poly welch wiener"
)
_INSTEAD = "scipy.signal.convolve or lfilter, np.fft.rfft, or sums of shifted slices"

_OF_SYSTEMS = "bode dimpulse dlsim dstep freqresp impulse step"


def _of_system(name: str, on_arrays: Callable[..., Any]) -> Callable[..., Any]:
    """Find out whether a linear system, perhaps one of SciPy's objects, is traced."""

    @always
    def function(system: Any, *args: Any, **settings: Any) -> Any:
        if is_traced((system, args, settings, getattr(system, "__dict__", {}))):
            return on_arrays(system, *args, **settings)
        return original_of("scipy.signal", name)(system, *args, **settings)

    return function


FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "scipy.signal": {
        **{
            name: _of_system(name, function)
            for name, function in {
                **followed("scipy.signal", _OF_SYSTEMS, _INSTEAD),
                "lsim": lsim,
            }.items()
        },
        **followed("scipy.signal", _FOLLOWED, _INSTEAD, "scipy.linalg._special_matrices"),
        "lfilter": lfilter,
        "lfilter_zi": lfilter_zi,
        "medfilt2d": medfilt2d,
        "sosfilt": sosfilt,
        "sosfilt_zi": sosfilt_zi,
        "upfirdn": upfirdn,
    },
    "scipy.signal.windows": followed(
        "scipy.signal.windows",
        "exponential gaussian general_cosine general_gaussian general_hamming kaiser tukey",
        "the formula of the window",
        "scipy.signal.",
    ),
}
"""By module and name."""
