"""Training, translated for processors that these tests do not run on."""

from __future__ import annotations

import struct
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

import steepest as sd
from steepest.engines.native import loop, profile, program, sharing
from steepest.engines.native.object_code import machine_code
from steepest.engines.native.processor import processor

ARM = {
    "Linux": processor("aarch64-unknown-linux-gnu", "neoverse-n1", "+neon,+fullfp16"),
    "Apple": processor("arm64-apple-darwin24.0.0", "apple-m1", "+neon,+fullfp16"),
}
# What an object file begins with, for ARM of 64 bits, and where the number of the machine is.
HEADERS = {"Linux": (b"\x7fELF", 18, 183), "Apple": (b"\xcf\xfa\xed\xfe", 4, 12)}
# "Read the register of the clock that ticks evenly" and "wait a moment".
READ_CLOCK, READ_CLOCK_MASK = 0xD53BE040, 0xFFFFFFE0
BARRIER = 0xD5033FDF

RNG = np.random.default_rng(11)


class TranslatedError(Exception):
    """Thrown instead of loading code."""


@pytest.fixture(autouse=True, scope="module")
def all_of_llvm() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def check_header(code: bytes, system: str) -> None:
    magic, place, machine = HEADERS[system]
    assert code.startswith(magic)
    assert struct.unpack_from("<H", code, place)[0] == machine


def instructions(code: bytes) -> np.ndarray:
    return np.frombuffer(code[: len(code) // 4 * 4], "<u4")


def loss(weights: Any, batch: Any) -> Any:
    x, labels = batch
    hidden = np.maximum(x @ weights["w"] + weights["b"], 0)
    scores = hidden @ weights["v"]
    scores = scores - np.max(scores, axis=1, keepdims=True)
    chosen = scores[np.arange(len(labels)), labels]
    return np.mean(np.log(np.sum(np.exp(scores), axis=1)) - chosen)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("system", ARM)
def test_training_with_threads_and_a_profile(
    system: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[bytes] = []

    def take(code: bytes, symbols: Any) -> Any:
        codes.append(code)
        raise TranslatedError

    monkeypatch.setattr(loop, "host_processor", lambda: ARM[system])
    monkeypatch.setattr(program, "load", take)
    monkeypatch.setenv("STEEPEST_NUM_THREADS", "2")
    monkeypatch.setenv("STEEPEST_CACHE", "0")
    weights = {
        "w": RNG.normal(size=(100, 80)).astype(dtype),
        "b": np.zeros(80, dtype),
        "v": RNG.normal(size=(80, 10)).astype(dtype),
    }
    data = RNG.normal(size=(500, 100)).astype(dtype), RNG.integers(0, 10, 500)
    settings: dict[str, Any] = {"step_size": 0.1, "batch_size": 200, "epochs": 1}
    with pytest.raises(TranslatedError):
        sd.descend(loss, weights, data, optimizer="adam", profile=True, progress=False, **settings)
    (code,) = codes
    check_header(code, system)
    assert (instructions(code) & READ_CLOCK_MASK == READ_CLOCK).any()


@pytest.mark.parametrize("system", ARM)
def test_threads_that_share_work(system: str) -> None:
    code = machine_code(str(sharing._written(ARM[system])), ARM[system])
    check_header(code, system)
    assert (instructions(code) == BARRIER).any()


@pytest.mark.parametrize("system", ARM)
def test_what_a_profile_measures(system: str) -> None:
    code = machine_code(str(profile._written(ARM[system])), ARM[system])
    check_header(code, system)
    assert (instructions(code) & READ_CLOCK_MASK == READ_CLOCK).any()
