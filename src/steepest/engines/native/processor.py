"""The processor that code is made for: its name, and how wide its vectors are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

__all__ = ["Processor", "host_processor"]


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor as LLVM knows it.

    Attributes
    ----------
    triple : str
        LLVM's name of the platform.
    name : str
        LLVM's name of the model, as "znver4", or "x86-64-v3".
    features : str
        What it can do, as "+avx2,+fma".
    vector_bits : int
        Width of its vector registers.
    has_masks : bool
        Whether loads and stores can leave out entries at no cost (AVX-512).
    """

    triple: str
    name: str
    features: str
    vector_bits: int
    has_masks: bool

    def lanes(self, bits: int) -> int:
        """Entries of so many bits in a vector register."""
        return self.vector_bits // bits

    @property
    def is_x86(self) -> bool:
        """Whether it is of Intel's architecture, of 64 bits."""
        return self.triple.startswith("x86")

    @property
    def is_arm(self) -> bool:
        """Whether it is of ARM's architecture, of 64 bits, which Apple writes another way."""
        return self.triple.startswith(("aarch64", "arm64"))

    @property
    def has_avx_512(self) -> bool:
        """Whether it has AVX-512 with all that belongs to it, on vectors of any length."""
        return self.has_masks and self.is_x86

    @property
    def asks_ahead(self) -> bool:
        """Whether products do what Intel's processors gain by, and AMD's do not.

        They ask for lines ahead, spare turns of loops, read batches where the rows lie, and copy
        rows of a left matrix that share lines.
        """
        return self.is_x86 and not self.name.startswith("znver")

    @property
    def function_attributes(self) -> str:
        """What LLVM is told about each function."""
        return (
            f'nounwind "prefer-vector-width"="{self.vector_bits}"'
            f' "min-legal-vector-width"="{self.vector_bits}"'
            ' "no-trapping-math"="true"'
        )


def processor(triple: str, name: str, features: str) -> Processor:
    """Describe a processor by its features."""
    has = set(features.split(","))
    masks = {"+avx512f", "+avx512vl", "+avx512bw", "+avx512dq"} <= has
    if masks:
        bits = 512
    elif "+avx2" in has and "+fma" in has:
        bits = 256
    else:
        bits = 128
    return Processor(triple, name, features, bits, masks)


@cache
def host_processor() -> Processor:
    """Find out what this machine has, from the cache where it is there: LLVM takes long to load."""
    from steepest.engines.native.cache import default_cache, machine_key

    store = default_cache()
    key = machine_key()
    known = None if store is None or key is None else store.get(key)
    if known is not None:
        triple, name, features = known.decode().split("\n")
        return processor(triple, name, features)
    import llvmlite.binding as llvm

    found = (
        llvm.get_default_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
    )
    if store is not None and key is not None:
        store.put(key, "\n".join(found).encode())
    return processor(*found)
