"""Recursive filters, resampling and spectra of scipy.signal: SciPy's values, and derivatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.signal
from tests.array.scipy_calls import check, check_once

import steepest as sd
from steepest.array.scipy import signals
from steepest.errors import UnsupportedError

sg: Any = scipy.signal
rng = np.random.default_rng(0)
X = rng.normal(size=(6, 7))
L = rng.normal(size=40)
T = rng.normal(size=(3, 40))
B, A = sg.butter(3, 0.2)
SOS = sg.butter(3, 0.2, output="sos")


def sections(s: Any) -> Any:
    """Keep the first coefficients of denominators at 1, as SciPy asks for."""
    return np.concatenate([s[:, :3], SOS[:, 3:4], s[:, 4:]], axis=1)


def nearby(s: Any) -> Any:
    return sections(SOS + s / 100)


def resampled(padtype: str, x: Any) -> Any:
    return sg.resample_poly(x, 3, 2, axis=1, padtype=padtype)


def together(results: Any) -> Any:
    return np.concatenate([np.ravel(each) for each in results])


CALLS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "lfilter": (lambda x: sg.lfilter([1, 0.5], [2, 0.3, 0.1], x), L),
    "lfilter by a": (lambda a: sg.lfilter([1.0, 0.5], a, L), [2, 0.3, 0.1]),
    "lfilter by b": (lambda b: sg.lfilter(b, [2.0, 0.3], X, axis=0), X[0, :3]),
    "lfilter without recursion": (lambda b: sg.lfilter(b, 1.0, X), X[0, :3]),
    "lfilter from a state": (lambda x: together(sg.lfilter(B, A, x, zi=x[:3])), L),
    "lfilter of less than the state": (
        lambda x: together(sg.lfilter(B, A, x[:2], zi=x[2:])),
        L[:5],
    ),
    "lfilter from a state without recursion": (
        lambda x: together(sg.lfilter(B, [2.0], x, zi=x[:3])),
        L,
    ),
    "lfilter from a state, recursion alone": (
        lambda x: together(sg.lfilter([2.0], A, x, zi=x[:3])),
        L,
    ),
    "lfilter by states": (lambda z: sg.lfilter(B, A, T, zi=z)[1], T[:, :3]),
    "lfilter by b from a state": (lambda b: together(sg.lfilter(b, A, L, zi=L[:3])), B),
    "lfilter by a from a state": (lambda a: together(sg.lfilter(B, a, L, zi=L[:3])), A),
    "lfilter_zi": (lambda b: sg.lfilter_zi(b, A), B),
    "lfilter_zi by a": (lambda a: sg.lfilter_zi(B, a), A),
    "filtfilt": (lambda x: sg.filtfilt(B, A, x), L),
    "filtfilt by b": (lambda b: sg.filtfilt(b, A, L), B),
    "filtfilt by a": (lambda a: sg.filtfilt(B, a, L), A),
    "filtfilt along an axis": (
        lambda x: sg.filtfilt(B, A, x, axis=0, padtype="even", padlen=5),
        L[:28].reshape(14, 2),
    ),
    "filtfilt, constant": (lambda x: sg.filtfilt(B, A, x, padtype="constant"), T),
    "filtfilt, Gustafsson": (lambda x: sg.filtfilt(B, A, x, method="gust"), L),
    "filtfilt, alone": (lambda x: sg.filtfilt(B, A, x, padtype=None), L),
    "sosfilt": (lambda x: sg.sosfilt(SOS, x), T),
    "sosfilt by sections": (lambda s: sg.sosfilt(sections(s), L), SOS),
    "sosfilt from a state": (
        lambda x: together(sg.sosfilt(SOS, x, zi=sg.sosfilt_zi(SOS) * x[0])),
        L,
    ),
    "sosfilt_zi": (lambda s: sg.sosfilt_zi(sections(s)), SOS),
    "sosfiltfilt": (lambda x: sg.sosfiltfilt(SOS, x), L),
    "savgol_filter": (lambda x: sg.savgol_filter(x, 7, 2), L),
    "savgol_filter, slopes": (
        lambda x: sg.savgol_filter(x, 5, 3, deriv=1, delta=0.5, axis=0),
        X,
    ),
    "savgol_filter, mirror": (lambda x: sg.savgol_filter(x, 5, 3, mode="mirror"), T),
    "resample": (lambda x: sg.resample(x, 23), L),
    "resample to more": (lambda x: sg.resample(x, 90, axis=1), T),
    "resample with a window": (lambda x: sg.resample(x, 24, window="hamming"), L),
    "resample_poly": (lambda x: sg.resample_poly(x, 3, 2), L),
    "resample_poly along an axis": (lambda x: sg.resample_poly(x, 2, 5, axis=1), T),
    **{
        f"resample_poly, {each}": (
            partial(resampled, each),
            T,
        )
        for each in ("edge", "line", "mean", "reflect", "symmetric", "wrap")
    },
    "resample_poly, filled": (lambda x: sg.resample_poly(x, 3, 2, cval=2.0), L),
    "upfirdn": (lambda x: sg.upfirdn([1, 0.5, 0.2], x, 3, 2), T),
    "upfirdn by the filter": (lambda h: sg.upfirdn(h, L, 2, 3), L[:4]),
    "decimate": (lambda x: sg.decimate(x, 2), L),
    "decimate, fir": (lambda x: sg.decimate(x, 2, ftype="fir"), T),
    "decimate, one way": (lambda x: sg.decimate(x, 3, 4, zero_phase=False), T),
    "decimate, fir, one way": (lambda x: sg.decimate(x, 3, 8, "fir", zero_phase=False), T),
    "hilbert": (lambda x: np.abs(sg.hilbert(x, N=50)), T),
    "hilbert2": (lambda x: np.abs(sg.hilbert2(x)), X),
    "detrend": (lambda x: sg.detrend(x), L),
    "detrend, constant": (lambda x: sg.detrend(x, type="constant", axis=0), X),
    "detrend, broken": (lambda x: sg.detrend(x, bp=[13]), T),
    "medfilt": (lambda x: sg.medfilt(x, 5), L),
    "medfilt of an image": (lambda x: sg.medfilt(x, 3), X),
    "medfilt2d": (lambda x: sg.medfilt2d(x, (3, 5)), X),
    "wiener": (lambda x: sg.wiener(x, 3), X),
    "freqz": (lambda x: np.abs(sg.freqz(x, 1, 32)[1]), L[:4]),
    "freqz by a": (lambda a: np.abs(sg.freqz(B, a, [0.1, 0.5, 1.0])[1]), A),
    "welch": (lambda x: sg.welch(x, nperseg=16)[1], L),
    "welch, median": (
        lambda x: sg.welch(
            x, 2.0, nperseg=16, noverlap=4, detrend="linear", scaling="spectrum", average="median"
        )[1],
        T,
    ),
    "periodogram": (lambda x: sg.periodogram(x)[1], L),
    "stft": (lambda x: np.abs(sg.stft(x, nperseg=16)[2]), L),
    "istft": (lambda x: sg.istft(sg.stft(x, nperseg=16)[2] * 2, nperseg=16)[1], L),
    "spectrogram": (lambda x: sg.spectrogram(x, nperseg=16)[2], L),
    "csd": (lambda x: np.abs(sg.csd(x, L[::-1], nperseg=16)[1]), L),
    "coherence": (lambda x: sg.coherence(x, L[::-1], nperseg=16)[1], L),
    "chirp": (lambda t: sg.chirp(t, 1.0, 2.0, 5.0), L),
    "sweep_poly": (lambda t: sg.sweep_poly(t, [1.0, 2, 3]), L),
    "gausspulse": (lambda t: sg.gausspulse(t, 3), L),
    "windows.gaussian": (lambda s: sg.windows.gaussian(11, s[0]), [2.0]),
    "windows.kaiser": (lambda s: sg.windows.kaiser(11, s[0]), [2.0]),
    "windows.exponential": (lambda s: sg.windows.exponential(11, tau=s[0]), [2.0]),
    "windows.general_cosine": (lambda a: sg.windows.general_cosine(11, a), [0.5, 0.3, 0.2]),
    "windows.general_gaussian": (lambda s: sg.windows.general_gaussian(11, s[0], s[1]), [1.5, 2]),
    "windows.general_hamming": (lambda a: sg.windows.general_hamming(11, a[0]), [0.6]),
}
BY_VALUES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "freqz_sos": (lambda s: np.abs(sg.freqz_sos(nearby(s), 16)[1][:9]), SOS),
    "sosfreqz": (lambda s: np.abs(sg.sosfreqz(nearby(s), 16)[1][:9]), SOS),
    "firwin": (lambda c: sg.firwin(11, c[0]), [0.4]),
    "sawtooth": (lambda t: sg.sawtooth(t, 0.3), L),
    "windows.tukey": (lambda a: sg.windows.tukey(11, a[0]), [0.43]),
}


TIMES = np.linspace(0, 3, 12)
P = np.array([0.7, 1.3, 0.4])


def transfer(p: Any) -> Any:
    return [p[0]], [1.0, p[1], p[2]]


def space(p: Any) -> Any:
    a = np.array([[-1.0, p[0]], [p[1], -2.0]])
    return a, np.array([[1.0], [p[2]]]), np.array([[1.0, 0.5]]), np.array([[p[0]]])


def discrete(p: Any) -> Any:
    return [p[0]], [1.0, p[1] / 3, p[2] / 3], 0.1


SYSTEMS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "StateSpace": (lambda p: sg.lsim(sg.StateSpace(*space(p)), np.sin(TIMES), TIMES)[1], P),
    "TransferFunction": (lambda p: sg.step(sg.TransferFunction(*transfer(p)), T=TIMES)[1], P),
    "ZerosPolesGain": (lambda p: sg.freqresp(sg.ZerosPolesGain([], -p, 2.0), [1.0])[1].real, P),
    "bode": (lambda p: sg.bode(transfer(p), [0.1, 1.0])[1], P),
    "cont2discrete": (lambda p: sg.cont2discrete(space(p), 0.1)[1], P),
    "deconvolve": (lambda p: sg.deconvolve(np.arange(1.0, 6), p)[0], P),
    "dimpulse": (lambda p: sg.dimpulse(discrete(p), n=6)[1][0], P),
    "dlsim": (lambda p: sg.dlsim(discrete(p), np.sin(TIMES))[1], P),
    "dlti": (lambda p: sg.dlsim(sg.dlti(*discrete(p)[:2]), np.sin(TIMES))[1], P),
    "dstep": (lambda p: sg.dstep(discrete(p), n=6)[1][0], P),
    "freqresp": (lambda p: np.abs(sg.freqresp(transfer(p), [0.1, 1.0])[1]), P),
    "freqs": (lambda p: np.abs(sg.freqs(*transfer(p), [0.1, 1.0])[1]), P),
    "group_delay": (lambda p: sg.group_delay((p, [1.0]), w=[0.1, 0.4])[1], P),
    "impulse": (lambda p: sg.impulse(transfer(p), T=TIMES)[1], P),
    "lombscargle": (lambda x: sg.lombscargle(np.arange(40.0), x, [0.1, 0.2]), L),
    "lsim": (lambda p: sg.lsim(space(p), np.sin(TIMES * p[0]), TIMES, p[1:], False)[1], P),
    "lsim, rising": (lambda p: sg.lsim(transfer(p), np.sin(TIMES * p[0]), TIMES + 1.0)[2], P),
    "lti": (lambda p: sg.lsim(sg.lti(*transfer(p)), np.sin(TIMES), TIMES)[1], P),
    "residue": (lambda p: sg.residue(p, [1, 3, 2.0])[0], P),
    "sos2tf": (lambda p: sg.sos2tf(SOS * p[0])[0], P),
    "sos2zpk": (lambda p: sg.sos2zpk(SOS * p[0])[2], P),
    "ss2tf": (lambda p: sg.ss2tf(*space(p))[0], P),
    "ss2zpk": (lambda p: sg.ss2zpk(*space(p))[2], P),
    "step": (lambda p: sg.step(transfer(p), T=TIMES)[1], P),
    "tf2ss": (lambda p: sg.tf2ss(*transfer(p))[0], P),
    "tf2zpk": (lambda p: sg.tf2zpk(p, [1, 0.3, 0.1])[2], P),
    "vectorstrength": (lambda p: sg.vectorstrength(p, 1.0)[0], P),
    "zpk2ss": (lambda p: sg.zpk2ss(p[:1], [-0.1, -0.2], p[1])[2], P),
    "zpk2tf": (lambda p: sg.zpk2tf(p, [0.1, 0.2], p[0])[0], P),
}


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.filterwarnings("ignore::scipy.signal.BadCoefficients")
def test_linear_systems(name: str) -> None:
    check_once(*SYSTEMS[name])


def test_every_function_is_tried() -> None:
    listed = set(signals.FUNCTIONS["scipy.signal"])
    listed |= {f"windows.{name}" for name in signals.FUNCTIONS["scipy.signal.windows"]}
    assert {name.split(",")[0].split()[0] for name in CALLS | BY_VALUES | SYSTEMS} == listed


@pytest.mark.parametrize("name", CALLS)
def test_value_and_derivatives(name: str) -> None:
    check(*CALLS[name])


@pytest.mark.parametrize("name", BY_VALUES)
def test_value_and_derivatives_of_what_asks_for_values(name: str) -> None:
    check(*BY_VALUES[name], compiles=False, single=False)


def test_short_signals() -> None:
    for call in (lambda x: sg.lfilter(B, A, x), lambda x: sg.sosfilt(SOS, x)):
        for length in (1, 2):
            value, pullback = sd.vjp(call, L[:length])
            np.testing.assert_allclose(value, call(L[:length]), rtol=1e-12)
            assert pullback(np.ones(length))[0].shape == (length,)


def test_complex_signals() -> None:
    z = L[:20] + 1j * L[20:]
    for call in (
        lambda z: sg.lfilter(B, A, z),
        lambda z: sg.filtfilt(B, A, z),
        lambda z: sg.resample(z, 13),
        lambda z: sg.resample_poly(z, 3, 2),
        lambda z: sg.welch(z, nperseg=8, return_onesided=False)[1],
    ):
        np.testing.assert_allclose(sd.vjp(call, z)[0], call(z), rtol=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: sg.filtfilt(B, A, x[:4]),
        lambda x: sg.savgol_filter(x, 71, 2),
        lambda x: sg.lfilter(B, A, x, zi=x[:5]),
        lambda x: sg.medfilt(x, 4),
        lambda x: sg.sosfilt(x[:30].reshape(5, 6), x),
    ],
)
def test_what_scipy_refuses_is_refused(call: Callable[[Any], Any]) -> None:
    for function in (call, sd.grad(lambda x: np.sum(call(x)))):
        with pytest.raises(ValueError, match=r"length|window|zi|odd|ones"):
            function(L)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: sg.upfirdn([1.0, 2.0], x, mode="smooth"),
        lambda x: sg.cspline1d(x),
        lambda x: sg.place_poles(x[:9].reshape(3, 3), np.ones((3, 1)), [-1, -2, -3]).gain_matrix,
        lambda x: sg.lsim(([x[0]], [1.0, 1.0]), [1.0], [0.0])[1],
        lambda x: sg.find_peaks_cwt(x, [1, 2]),
    ],
)
def test_refusals(call: Callable[[Any], Any]) -> None:
    with pytest.raises((UnsupportedError, sd.errors.TracedConversionError)) as caught:
        sd.grad(lambda x: np.sum(call(x)))(L)
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__
    assert caught.value.instead
