"""From an object file to code that runs: place it in memory, connect it, protect it.

On Linux on x86-64, steepest places the object file itself, because LLVM takes longer to import than
a small program takes to run. Everywhere else, and for an object file with anything out of the
ordinary in it, LLVM does it, with the same result.

No page of memory is ever writeable and executable at once: code becomes executable when its last
byte is written. Unwind tables are left out; no exception passes through generated code.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import platform
import struct
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

__all__ = ["Loaded", "ObjectError", "UnsupportedObjectError", "load"]


class ObjectError(RuntimeError):
    """An object file is damaged, needs a symbol that is nowhere, or may not be run here."""


class UnsupportedObjectError(ObjectError):
    """An object file has something in it that only LLVM can load."""


class Loaded:
    """Code in memory, which stays there as long as this object lives.

    Whoever calls an address keeps this object until the call returns, and the owners of the
    symbols that were given to `load` as well.

    Parameters
    ----------
    find : callable
        Gives the address of a name, or raises KeyError.
    """

    def __init__(self, find: Callable[[str], int]) -> None:
        self._find = find

    def address(self, name: str) -> int:
        """Get the address of a function or variable that the object file defines for others.

        Raises
        ------
        ObjectError
            When it defines none of this name.
        """
        try:
            return self._find(name)
        except KeyError:
            raise ObjectError(f"the object file does not define {name!r}") from None


def load(code: bytes, symbols: Mapping[str, int]) -> Loaded:
    """Load an object file into the memory of this process.

    Parameters
    ----------
    code : bytes
        What `machine_code` gives.
    symbols : mapping from str to int
        Addresses of what the code refers to and does not define. Functions of the C and the
        mathematical library (memcpy, fma, fmod, …) need not be among them.

    Raises
    ------
    ObjectError
        When the object file is damaged or made for another processor, when a symbol is found
        neither in `symbols` nor in the libraries, or when the system refuses the memory.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _MACHINES:
        return _load_with_llvm(code, symbols)
    file = _ObjectFile(code)
    if file.machine != _MACHINES[machine]:
        raise ObjectError(f"the object file is made for machine {file.machine}, not {machine}")
    if machine == "x86_64":
        try:
            return _load_directly(file, symbols)
        except UnsupportedObjectError:
            pass
    return _load_with_llvm(code, _found(file, symbols))


# What an object file says: the System V application binary interface, edition 4.1, chapter 4.

_MACHINES = {"x86_64": 62, "aarch64": 183}
_RELOCATABLE = 1

_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QIIq")

_NO_SECTION = 0
_SYMBOL_TABLE = 2
_RELOCATIONS_WITH_ADDENDS = 4
_ZEROS = 8
_UNWIND_TABLE = 0x70000001
_NEEDS_A_LINKER = {
    9: "relocations without addends",
    14: "initialisers",
    15: "finalisers",
    16: "initialisers",
    18: "more sections than its symbols can count",
    19: "relative relocations",
    0x40000014: "compact relocations",
}

_WRITEABLE, _ALLOCATED, _EXECUTABLE, _THREAD_LOCAL = 1, 2, 4, 0x400

_UNDEFINED = 0
_FIRST_RESERVED_SECTION = 0xFF00
_ABSOLUTE = 0xFFF1
_THREAD_LOCAL_SYMBOL, _INDIRECT_FUNCTION = 6, 10
_GLOBAL_OFFSET_TABLE = "_GLOBAL_OFFSET_TABLE_"


class _Section(NamedTuple):
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    name: int


class _Symbol(NamedTuple):
    name: str
    kind: int
    section: int
    value: int


class _ObjectFile:
    """The tables of an ELF object file, with every reference inside the file checked."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        if len(code) < _HEADER.size or not code.startswith(b"\x7fELF"):
            raise ObjectError(f"{len(code)} bytes are not an object file")
        if code[4:7] != b"\x02\x01\x01":
            raise ObjectError("the object file is not one of a 64-bit little-endian machine")
        header = _HEADER.unpack_from(code)
        kind, self.machine, _, _, _, start, _, _, _, _, size, count, names = header
        if kind != _RELOCATABLE or size != _SECTION.size or count >= _FIRST_RESERVED_SECTION:
            raise ObjectError("the object file is not one that can be linked")
        if start + count * size > len(code):
            raise ObjectError(f"the object file is cut short: {len(code)} bytes are left")
        self.sections = [
            _Section(kind, flags, offset, size, link, info, alignment or 1, name)
            for name, kind, flags, _, offset, size, link, info, alignment, _ in (
                _SECTION.iter_unpack(memoryview(code)[start : start + count * size])
            )
        ]
        for section in self.sections:
            end = section.offset + section.size
            if end > len(code) and section.kind not in (_NO_SECTION, _ZEROS):
                raise ObjectError(f"the object file is cut short: {len(code)} bytes are left")
            if section.alignment & (section.alignment - 1):
                raise ObjectError(f"the object file aligns a section to {section.alignment}")
        self._section_names = self._section(names)
        tables = [each for each in self.sections if each.kind == _SYMBOL_TABLE]
        if len(tables) != 1:
            raise ObjectError(f"the object file has {len(tables)} symbol tables")
        (self._symbols,) = tables
        self._symbol_names = self._section(self._symbols.link)
        self.symbol_count = self._symbols.size // _SYMBOL.size
        self.first_global = self._symbols.info

    def symbol(self, number: int) -> _Symbol:
        """Read an entry of the symbol table."""
        if number >= self.symbol_count:
            raise ObjectError(f"the object file has no symbol {number}")
        name, info, _, section, value, _ = _SYMBOL.unpack_from(
            self.code, self._symbols.offset + number * _SYMBOL.size
        )
        return _Symbol(self._string(self._symbol_names, name), info & 15, section, value)

    def section_name(self, section: _Section) -> str:
        """Read the name of a section."""
        return self._string(self._section_names, section.name)

    def relocations(self, section: _Section) -> list[tuple[int, int, int, int]]:
        """List the offsets, kinds, symbols and addends of a section of relocations."""
        if section.size % _RELOCATION.size:
            raise ObjectError(f"the object file has {section.size} bytes of relocations")
        entries = memoryview(self.code)[section.offset : section.offset + section.size]
        return list(_RELOCATION.iter_unpack(entries))

    def _section(self, number: int) -> _Section:
        if number >= len(self.sections):
            raise ObjectError(f"the object file has no section {number}")
        return self.sections[number]

    def _string(self, table: _Section, start: int) -> str:
        end = self.code.find(b"\0", table.offset + start, table.offset + table.size)
        if end < 0:
            raise ObjectError("the object file has a name without an end")
        return self.code[table.offset + start : end].decode("utf-8", "replace")


# Without LLVM: x86-64, with the relocations of its small code model. Source of the relocations'
# meanings: System V application binary interface, AMD64 architecture processor supplement, 4.4.


class _Rule(NamedTuple):
    format: str
    relative: bool
    """Whether the distance from the place is written, or the address."""
    target: str = "symbol"
    """The symbol, its entry in the table of addresses, or what a call can reach."""


_RULES = {
    1: _Rule("<Q", False),  # 64
    2: _Rule("<i", True),  # PC32
    4: _Rule("<i", True, "call"),  # PLT32
    9: _Rule("<i", True, "entry"),  # GOTPCREL
    10: _Rule("<I", False),  # 32
    11: _Rule("<i", False),  # 32S
    24: _Rule("<q", True),  # PC64
    41: _Rule("<i", True, "entry"),  # GOTPCRELX
    42: _Rule("<i", True, "entry"),  # REX_GOTPCRELX
}
_NO_RELOCATION = 0

_PAGE = 4096
_ADDRESS_SPACE = 1 << 47
_JUMP = b"\xff\x25"  # jmp *distance(%rip): through an entry of the table of addresses
_JUMP_SIZE = 8
_ENTRY_SIZE = 8


def _load_directly(file: _ObjectFile, symbols: Mapping[str, int]) -> Loaded:
    """Load an object file without LLVM.

    Raises
    ------
    UnsupportedObjectError
        When the object file has something in it that is not known here.
    """
    relocations = _relocations(file)
    entries, jumps = _outside_references(file, relocations)
    places, entries_start, jumps_start, ends = _lay_out(file, len(entries), len(jumps))
    size = max(ends[-1], _PAGE)
    base = _map(size)
    try:
        addresses = _Addresses(file, symbols, places, base)
        image = bytearray(file.code)
        for target, offset, kind, number, addend in relocations:
            rule = _RULES[kind]
            if rule.target == "entry":
                value = base + entries_start + entries[number] * _ENTRY_SIZE
            elif number in jumps and rule.target == "call":
                value = base + jumps_start + jumps[number] * _JUMP_SIZE
            else:
                value = addresses[number]
            value += addend
            if rule.relative:
                value -= base + places[target] + offset
            _write(rule.format, image, file.sections[target].offset + offset, value)
        buffer = ctypes.addressof(ctypes.c_char.from_buffer(image))
        for number, place in places.items():
            section = file.sections[number]
            if section.kind != _ZEROS:
                ctypes.memmove(base + place, buffer + section.offset, section.size)
        table = struct.pack(f"<{len(entries)}Q", *(addresses[number] for number in entries))
        ctypes.memmove(base + entries_start, table, len(table))
        # The jumps and the entries that they read lie at fixed distances from each other.
        code = b"".join(
            _JUMP
            + struct.pack(
                "<ixx",
                entries_start
                + entries[number] * _ENTRY_SIZE
                - (jumps_start + jump * _JUMP_SIZE + len(_JUMP) + 4),
            )
            for number, jump in jumps.items()
        )
        ctypes.memmove(base + jumps_start, code, len(code))
        exported = {
            symbol.name: addresses[number]
            for number in range(max(file.first_global, 1), file.symbol_count)
            if (symbol := file.symbol(number)).section != _UNDEFINED
        }
        _protect(base, ends[0], mmap.PROT_READ | mmap.PROT_EXEC)
        _protect(base + ends[0], ends[1] - ends[0], mmap.PROT_READ)
    except BaseException:
        _unmap(base, size)
        raise
    loaded = Loaded(exported.__getitem__)
    # At exit a thread may still run the code: the system takes the memory back after it.
    weakref.finalize(loaded, _unmap, base, size).atexit = False
    return loaded


def _relocations(file: _ObjectFile) -> list[tuple[int, int, int, int, int]]:
    """List what is to be written into the sections that are loaded, checked.

    Returns
    -------
    list of (section, offset, kind, symbol, addend)
    """
    found: list[tuple[int, int, int, int, int]] = []
    for section in file.sections:
        if section.kind in _NEEDS_A_LINKER:
            raise UnsupportedObjectError(f"the object file has {_NEEDS_A_LINKER[section.kind]}")
        if section.kind != _RELOCATIONS_WITH_ADDENDS:
            continue
        if section.info >= len(file.sections):
            raise ObjectError(f"the object file has no section {section.info}")
        target = file.sections[section.info]
        if not _is_loaded(file, target):
            continue
        for offset, kind, number, addend in file.relocations(section):
            if kind == _NO_RELOCATION:
                continue
            if kind not in _RULES:
                raise UnsupportedObjectError(f"the object file has relocations of kind {kind}")
            if offset + struct.calcsize(_RULES[kind].format) > target.size or target.kind == _ZEROS:
                raise ObjectError(f"the object file relocates what lies outside of it, at {offset}")
            found.append((section.info, offset, kind, number, addend))
    return found


def _is_loaded(file: _ObjectFile, section: _Section) -> bool:
    """Whether a section has a place in memory."""
    return (
        bool(section.flags & _ALLOCATED)
        and section.kind not in (_NO_SECTION, _UNWIND_TABLE)
        and file.section_name(section) != ".eh_frame"
    )


def _outside_references(
    file: _ObjectFile, relocations: list[tuple[int, int, int, int, int]]
) -> tuple[dict[int, int], dict[int, int]]:
    """Give numbers to the symbols that need an entry in the table of addresses, or a jump.

    A call reaches 2 GB, and a library may lie farther away. All calls that leave the object file
    take the jump, so that it does not depend on where the libraries lie what runs.
    """
    entries: dict[int, int] = {}
    jumps: dict[int, int] = {}
    for _, _, kind, number, _ in relocations:
        rule = _RULES[kind]
        outside = rule.target != "entry" and file.symbol(number).section == _UNDEFINED
        if outside and rule.target == "call":
            jumps.setdefault(number, len(jumps))
        elif outside and rule.relative:
            raise UnsupportedObjectError(
                f"the object file takes {file.symbol(number).name!r} to be near it"
            )
        if rule.target == "entry" or (outside and rule.target == "call"):
            entries.setdefault(number, len(entries))
    return entries, jumps


def _lay_out(
    file: _ObjectFile, entry_count: int, jump_count: int
) -> tuple[dict[int, int], int, int, list[int]]:
    """Place sections by what may be done to them: first code, then constants, then variables.

    Returns
    -------
    places : dict from section number to offset
    entries_start, jumps_start : int
        Offsets of the table of addresses, among the constants, and of the jumps, in the code.
    ends : list of int
        Where code, constants and variables end, each with a page.
    """
    groups: tuple[list[int], list[int], list[int]] = ([], [], [])
    for number, section in enumerate(file.sections):
        if not _is_loaded(file, section):
            continue
        protection = section.flags & (_WRITEABLE | _EXECUTABLE)
        if protection == _WRITEABLE | _EXECUTABLE:
            raise UnsupportedObjectError("the object file has code that is written into")
        if file.section_name(section).startswith((".ctors", ".dtors")):
            raise UnsupportedObjectError("the object file has initialisers")
        if section.flags & _THREAD_LOCAL:
            raise UnsupportedObjectError("the object file has variables of each thread")
        if section.alignment > _PAGE:
            raise UnsupportedObjectError(f"the object file aligns to {section.alignment} bytes")
        groups[{_EXECUTABLE: 0, 0: 1, _WRITEABLE: 2}[protection]].append(number)
    places: dict[int, int] = {}
    starts: list[int] = []
    ends: list[int] = []
    end = 0
    for group, extra in zip(
        groups, (jump_count * _JUMP_SIZE, entry_count * _ENTRY_SIZE, 0), strict=True
    ):
        for number in group:
            section = file.sections[number]
            places[number] = _round_up(end, section.alignment)
            end = places[number] + section.size
        starts.append(_round_up(end, 8))
        end = _round_up(starts[-1] + extra, _PAGE)
        ends.append(end)
    return places, starts[1], starts[0], ends


def _round_up(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


class _Addresses(dict[int, int]):
    """Addresses of symbols by number, found when first asked for."""

    def __init__(
        self, file: _ObjectFile, symbols: Mapping[str, int], places: dict[int, int], base: int
    ) -> None:
        super().__init__()
        self._file = file
        self._symbols = symbols
        self._places = places
        self._base = base

    def __missing__(self, number: int) -> int:
        symbol = self._file.symbol(number)
        if symbol.kind in (_THREAD_LOCAL_SYMBOL, _INDIRECT_FUNCTION):
            raise UnsupportedObjectError(f"the object file has {symbol.name!r} of a special kind")
        if symbol.section == _UNDEFINED:
            address = _outside(symbol.name, self._symbols)
        elif symbol.section == _ABSOLUTE:
            address = symbol.value
        elif symbol.section >= _FIRST_RESERVED_SECTION:
            raise UnsupportedObjectError(f"the object file does not place {symbol.name!r}")
        elif symbol.section not in self._places:
            raise ObjectError(f"the object file places {symbol.name!r} where nothing is loaded")
        elif symbol.value > self._file.sections[symbol.section].size:
            raise ObjectError(f"the object file places {symbol.name!r} outside of it")
        else:
            address = self._base + self._places[symbol.section] + symbol.value
        self[number] = address
        return address


def _write(form: str, image: bytearray, offset: int, value: int) -> None:
    try:
        struct.pack_into(form, image, offset, value)
    except struct.error:
        raise ObjectError(f"the object file refers to what is {value:#x} away, too far") from None


# Memory and symbols of the process.


def _map(size: int) -> int:
    """Get memory of zeros that can be written, as numbers.

    Python's own mappings end with Python, when a thread may still run the code.
    """
    if size >= _ADDRESS_SPACE:  # which the call below would cut down to 64 bits
        raise ObjectError(f"the object file asks for {size} bytes of memory")
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    address: int = _system().mmap(None, size, protection, flags, -1, 0)
    if address == ctypes.c_void_p(-1).value:
        raise _refusal(f"{size} bytes of memory")
    return address


def _protect(address: int, size: int, protection: int) -> None:
    """Say what may be done with memory."""
    if size and _system().mprotect(address, size, protection):
        raise _refusal("to protect memory, or to make it executable")


def _unmap(address: int, size: int) -> None:
    """Give memory back."""
    _system().munmap(address, size)


def _refusal(what: str) -> ObjectError:
    return ObjectError(f"the system refuses {what}: {os.strerror(ctypes.get_errno())}")


@cache
def _system() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    library.mmap.argtypes = [pointer, size, number, number, number, ctypes.c_long]
    library.mmap.restype = pointer
    library.mprotect.argtypes = [pointer, size, number]
    library.munmap.argtypes = [pointer, size]
    return library


_LIBRARIES = ("libm.so.6", "libgcc_s.so.1", None)
"""The mathematical and the C library, which comes with it; what compilers call for operations that
the processor lacks, as on half precision; and, where these have other names, the process."""


def _outside(name: str, symbols: Mapping[str, int]) -> int:
    """Find what the object file does not define."""
    if name in symbols:
        return symbols[name]
    for library in map(_library, _LIBRARIES):
        if library is None:
            continue
        try:
            function = library[name]
        except AttributeError:
            continue
        address = ctypes.cast(function, ctypes.c_void_p).value
        if address is not None:
            return address
    raise ObjectError(f"the object file needs {name!r}, which neither it nor a library defines")


@cache
def _library(name: str | None) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


# With LLVM.

_library_numbers = itertools.count()
_linker_lock = threading.Lock()


def _found(file: _ObjectFile, symbols: Mapping[str, int]) -> dict[str, int]:
    """Find all that an object file does not define: LLVM does not tell what is missing."""
    outside = {file.symbol(number) for number in range(1, file.symbol_count)}
    return {
        symbol.name: _outside(symbol.name, symbols)
        for symbol in outside
        if symbol.section == _UNDEFINED and symbol.name != _GLOBAL_OFFSET_TABLE
    }


def _load_with_llvm(code: bytes, symbols: Mapping[str, int]) -> Loaded:
    """Load an object file with LLVM."""
    import llvmlite.binding as llvm

    with _linker_lock:
        linker = _linker()
    library = f"steepest{next(_library_numbers)}"
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for name, address in symbols.items():
        builder.import_symbol(name, address)
    try:
        owners = [builder.link(linker, library)]
    except RuntimeError as error:
        raise ObjectError(f"LLVM cannot load the object file: {error}") from error

    def find(name: str) -> int:
        if not name:  # which LLVM takes for a bug and ends the process
            raise KeyError(name)
        try:
            owner = linker.lookup(library, name)
        except RuntimeError as error:
            raise ObjectError(f"LLVM does not find {name!r}: {error}") from error
        owners.append(owner)  # LLVM unloads the code with the first of them that dies
        address: int = owner[name]
        return address

    return Loaded(cache(find))


@cache
def _linker() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # LLVM's newer linker: it keeps the parts of an object file near each other on every platform.
    return llvm.create_lljit_compiler(use_jit_link=True)
