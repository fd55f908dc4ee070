"""Loading object files: what they compute, how memory is protected, what damage does."""

import ctypes
import gc
import math
import platform
import random
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from steepest.engines.native import loading
from steepest.engines.native.cache import CodeCache
from steepest.engines.native.loading import Loaded, ObjectError, UnsupportedObjectError, load
from steepest.engines.native.object_code import machine_code
from steepest.engines.native.processor import Processor, host_processor, processor

DIRECT = sys.platform == "linux" and platform.machine() == "x86_64"
directly = pytest.mark.skipif(not DIRECT, reason="LLVM loads all object files here")

# Kinds of sections, and where the fields lie in their headers.
CODE, SYMBOL_TABLE, NAMES, RELOCATIONS, ZEROS = 1, 2, 3, 4, 8
KIND, FLAGS, OFFSET, SIZE, INFO, ALIGNMENT = 4, 8, 24, 32, 44, 48

INTEGER, DOUBLE, POINTER = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p


def refuse(*_args: object) -> Loaded:
    raise UnsupportedObjectError("not in this test")


@pytest.fixture
def no_llvm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where LLVM would be asked."""
    monkeypatch.setattr(loading, "_load_with_llvm", refuse)


@pytest.fixture(params=[pytest.param("directly", marks=directly), "with LLVM"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Load in one way, and fail where that is not possible."""
    other = {"directly": "_load_with_llvm", "with LLVM": "_load_directly"}[request.param]
    monkeypatch.setattr(loading, other, refuse)
    return str(request.param)


@cache
def compiled(assembly: str, model: Processor | None = None) -> bytes:
    return machine_code(assembly, model or host_processor())


def plain_processor() -> Processor:
    """Name a processor that needs library functions: no fused multiply-add, no half precision."""
    model = {"x86_64": "x86-64"}.get(platform.machine(), "generic")
    return processor(host_processor().triple, model, "")


def other_code(assembly: str, **options: str) -> bytes:
    """Compile as no engine does, for object files of other kinds."""
    import llvmlite.binding as llvm

    compiled("define void @nothing() { ret void }")  # initialises LLVM
    machine = llvm.Target.from_triple(host_processor().triple).create_target_machine(**options)
    module = llvm.parse_assembly(assembly)
    module.triple = host_processor().triple
    module.data_layout = str(machine.target_data)
    code: bytes = machine.emit_object(module)
    return code


def function(loaded: Loaded, name: str, result: Any, *parameters: Any) -> Callable[..., Any]:
    call = ctypes.CFUNCTYPE(result, *parameters)(loaded.address(name))
    call.owner = loaded  # type: ignore[attr-defined]  # ctypes' functions take attributes
    return call


def address(thing: Any) -> int:
    if isinstance(thing, ctypes._SimpleCData | ctypes.Array):
        return ctypes.addressof(thing)
    return ctypes.cast(thing, POINTER).value or 0


@ctypes.CFUNCTYPE(DOUBLE, DOUBLE, INTEGER)
def outside(x: float, n: int) -> float:
    return x * 10 + n


VARIABLE = (INTEGER * 3)(5, 6, 7)
SYMBOLS = {"outside": address(outside), "variable": address(VARIABLE)}


class Case(NamedTuple):
    """A module whose function "f" takes doubles and integers to a value."""

    assembly: str
    result: Any
    calls: Mapping[tuple[float | int, ...], float | int]
    plain: bool = False
    """Whether it is compiled for a processor that can do little."""


CASES = {
    "no reference at all": Case(
        "define double @f(double %x) { %y = fadd double %x, %x ret double %y }",
        DOUBLE,
        {(1.5,): 3.0},
    ),
    "scalar constant": Case(
        "define double @f(double %x) { %y = fmul double %x, 0x400921FB54442D18 ret double %y }",
        DOUBLE,
        {(1.0,): math.pi, (2.0,): 2 * math.pi},
    ),
    "vector constant": Case(
        """
        define double @f(double %x, i64 %i) {
          %one = insertelement <8 x double> poison, double %x, i64 0
          %all = shufflevector <8 x double> %one, <8 x double> poison, <8 x i32> zeroinitializer
          %y = fmul <8 x double> %all, <double 1.0, double 2.0, double 3.0, double 4.0,
                                        double 5.0, double 6.0, double 7.0, double 8.0>
          %z = extractelement <8 x double> %y, i64 %i
          ret double %z
        }""",
        DOUBLE,
        {(1.5, lane): 1.5 * (lane + 1) for lane in range(8)},
    ),
    "constant table": Case(
        f"""
        @table = internal unnamed_addr constant [512 x double]
          [{", ".join(f"double {float(i * i)}" for i in range(512))}], align 64
        define double @f(i64 %i) {{
          %p = getelementptr double, ptr @table, i64 %i
          %y = load double, ptr %p
          ret double %y
        }}""",
        DOUBLE,
        {(0,): 0.0, (17,): 289.0, (511,): 511.0**2},
    ),
    "call of a function before and after": Case(
        """
        define internal double @before(double %x) noinline {
          %y = fadd double %x, 1.0 ret double %y }
        define double @f(double %x) {
          %a = call double @before(double %x) %b = call double @after(double %a) ret double %b }
        define double @after(double %x) noinline { %y = fmul double %x, 3.0 ret double %y }""",
        DOUBLE,
        {(2.0,): 9.0},
    ),
    "recursion": Case(
        """
        define i64 @f(i64 %n) {
          %last = icmp sle i64 %n, 1
          br i1 %last, label %one, label %more
        one:
          ret i64 1
        more:
          %below = sub i64 %n, 1
          %rest = call i64 @f(i64 %below)
          %product = mul i64 %n, %rest
          ret i64 %product
        }""",
        INTEGER,
        {(10,): math.factorial(10)},
    ),
    "call to the outside": Case(
        """
        declare double @outside(double, i64)
        define double @f(double %x, i64 %n) {
          %a = call double @outside(double %x, i64 %n)
          %b = call double @outside(double %a, i64 1)
          ret double %b
        }""",
        DOUBLE,
        {(2.0, 3): 231.0},
    ),
    "call through the table of addresses": Case(
        """
        declare double @outside(double, i64) nonlazybind
        define double @f(double %x, i64 %n) {
          %y = call double @outside(double %x, i64 %n) nonlazybind
          %z = fadd double %y, 1.0
          ret double %z
        }""",
        DOUBLE,
        {(2.0, 3): 24.0},
    ),
    "address of an outside function": Case(
        """
        declare double @outside(double, i64)
        define i64 @f() { ret i64 ptrtoint (ptr @outside to i64) }""",
        INTEGER,
        {(): SYMBOLS["outside"]},
    ),
    "outside variable": Case(
        """
        @variable = external global [3 x i64]
        define i64 @f(i64 %i) {
          %p = getelementptr i64, ptr @variable, i64 %i
          %y = load i64, ptr %p
          ret i64 %y
        }""",
        INTEGER,
        {(0,): 5, (2,): 7},
    ),
    "variable, zeros at first": Case(
        """
        @count = internal global [1000 x i64] zeroinitializer
        define i64 @f(i64 %x) {
          %p = getelementptr i64, ptr @count, i64 999
          %before = load volatile i64, ptr %p
          %after = add i64 %before, %x
          store volatile i64 %after, ptr %p
          ret i64 %before
        }""",
        INTEGER,
        {(5,): 0, (7,): 5, (1,): 12},
    ),
    "variable with a value": Case(
        """
        @state = internal global [2 x i64] [i64 41, i64 -7]
        define i64 @f(i64 %x) {
          %p = getelementptr i64, ptr @state, i64 1
          %before = load volatile i64, ptr %p
          store volatile i64 %x, ptr %p
          ret i64 %before
        }""",
        INTEGER,
        {(12,): -7, (13,): 12},
    ),
    "pointers in constants": Case(
        """
        @pointers = constant [3 x ptr] [ptr @one, ptr @outside, ptr @two]
        declare double @outside(double, i64)
        define internal double @one(double %x, i64 %n) { ret double 1.0 }
        define internal double @two(double %x, i64 %n) { ret double 2.0 }
        define double @f(i64 %i) {
          %p = getelementptr ptr, ptr @pointers, i64 %i
          %g = load ptr, ptr %p
          %y = call double %g(double 3.0, i64 4)
          ret double %y
        }""",
        DOUBLE,
        {(0,): 1.0, (1,): 34.0, (2,): 2.0},
    ),
    "distance between functions": Case(
        """
        @distance = constant i64 sub (i64 ptrtoint (ptr @f to i64), i64 ptrtoint (ptr @g to i64))
        define i64 @f() noinline {
          %d = load volatile i64, ptr @distance
          %g = ptrtoint ptr @g to i64
          %s = add i64 %d, %g
          %f = ptrtoint ptr @f to i64
          %zero = sub i64 %s, %f
          ret i64 %zero
        }
        define i64 @g() noinline { ret i64 0 }""",
        INTEGER,
        {(): 0},
    ),
    "jump table": Case(
        """
        declare double @outside(double, i64)
        define double @f(i64 %i) {
          switch i64 %i, label %d [ i64 0, label %a  i64 1, label %b  i64 2, label %c
                                    i64 3, label %d  i64 4, label %e  i64 5, label %a ]
        a:
          %u = call double @outside(double 1.0, i64 7)
          ret double %u
        b:
          %v = call double @outside(double 2.0, i64 %i)
          ret double %v
        c:
          ret double 0.5
        d:
          ret double -1.0
        e:
          %w = sitofp i64 %i to double
          ret double %w
        }""",
        DOUBLE,
        {(0,): 17.0, (1,): 21.0, (2,): 0.5, (3,): -1.0, (4,): 4.0, (5,): 17.0, (6,): -1.0},
    ),
    "remainder": Case(
        """
        define double @f(double %x, double %y) {
          %z = frem double %x, %y
          %s = fptrunc double %x to float
          %t = fptrunc double %y to float
          %u = frem float %s, %t
          %v = fpext float %u to double
          %w = fadd double %z, %v
          ret double %w
        }""",
        DOUBLE,
        {(7.5, 2.0): 3.0, (-7.5, 2.0): -3.0},
    ),
    "fused multiply-add without the instruction": Case(
        """
        declare double @llvm.fma.f64(double, double, double)
        declare float @llvm.fma.f32(float, float, float)
        define double @f(double %x, double %y) {
          %a = call double @llvm.fma.f64(double %x, double %y, double -1.0)
          %s = fptrunc double %x to float
          %t = fptrunc double %y to float
          %b = call float @llvm.fma.f32(float %s, float %t, float -1.0)
          %c = fpext float %b to double
          %d = fadd double %a, %c
          ret double %d
        }""",
        DOUBLE,
        {(1 + 2**-52, 1 - 2**-52): -(2.0**-104), (3.0, 5.0): 28.0},
        plain=True,
    ),
    "half precision and whole powers without the instructions": Case(
        """
        declare double @llvm.powi.f64.i32(double, i32)
        define double @f(double %x, i64 %n) {
          %m = trunc i64 %n to i32
          %p = call double @llvm.powi.f64.i32(double %x, i32 %m)
          %h = fptrunc double %p to half
          %y = fpext half %h to double
          ret double %y
        }""",
        DOUBLE,
        {(3.0, 5): 243.0, (1.1, 3): float(np.float16(1.1**3))},
        plain=True,
    ),
    "copies and fills of memory": Case(
        """
        declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
        declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
        declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
        @from = internal global [8 x i64] [i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7, i64 8]
        @to = internal global [9 x i64] zeroinitializer
        define i64 @f(i64 %size) {
          call void @llvm.memset.p0.i64(ptr @to, i8 -1, i64 72, i1 false)
          call void @llvm.memcpy.p0.p0.i64(ptr @to, ptr @from, i64 %size, i1 false)
          %p = getelementptr i64, ptr @to, i64 1
          call void @llvm.memmove.p0.p0.i64(ptr %p, ptr @to, i64 %size, i1 false)
          %q = getelementptr i64, ptr @to, i64 4
          %y = load i64, ptr %q
          %r = getelementptr i64, ptr @to, i64 8
          %z = load volatile i64, ptr %r
          %s = add i64 %y, %z
          ret i64 %s
        }""",
        INTEGER,
        {(32,): 4 - 1, (64,): 4 + 8, (0,): -2},
    ),
}


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_computes_what_it_should(case: Case) -> None:
    code = compiled(case.assembly, plain_processor() if case.plain else None)
    loaded = load(code, SYMBOLS)
    for arguments, expected in case.calls.items():
        kinds = [INTEGER if isinstance(x, int) else DOUBLE for x in arguments]
        assert function(loaded, "f", case.result, *kinds)(*arguments) == expected


MANY = """
@table = internal unnamed_addr constant [100 x double] zeroinitializer, align 64
@odd = internal unnamed_addr constant [3 x i8] c"abc"
@variable = internal global [7 x i8] c"abcdefg", align 64
@more = internal global [7 x i8] c"abcdefg", align 64
@zeros = internal global [5000 x i8] zeroinitializer, align 64
declare double @outside(double, i64)
define i64 @address(i64 %i) {
  %p0 = getelementptr [6 x ptr], ptr @all, i64 0, i64 %i
  %p = load ptr, ptr %p0
  %a = ptrtoint ptr %p to i64
  ret i64 %a
}
@all = internal constant [6 x ptr] [ptr @table, ptr @variable, ptr @more, ptr @zeros, ptr @address,
                                    ptr @odd]
define double @f(double %x, i64 %n) {
  %y = call double @outside(double %x, i64 %n)
  %z = fadd double %y, 0x400921FB54442D18
  ret double %z
}
"""


@pytest.mark.usefixtures("loader")
def test_data_is_aligned() -> None:
    loaded = load(compiled(MANY), SYMBOLS)
    get = function(loaded, "address", INTEGER, INTEGER)
    assert [get(i) % 64 for i in range(4)] == [0] * 4
    assert get(4) == loaded.address("address")
    assert bytes((ctypes.c_char * 7).from_address(get(2)).raw) == b"abcdefg"
    assert bytes((ctypes.c_char * 5000).from_address(get(3)).raw) == bytes(5000)


def mappings() -> list[tuple[int, int, str]]:
    """List the parts of this process's memory: first and last address, protection."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [
        (*(int(end, 16) for end in line.split()[0].split("-")), line.split()[1])  # type: ignore[misc]
        for line in lines
    ]


def protection(place: int) -> str | None:
    for start, end, letters in mappings():
        if start <= place < end:
            return letters
    return None


@directly
@pytest.mark.usefixtures("no_llvm")
def test_nothing_is_writeable_and_executable() -> None:
    loaded = load(compiled(MANY), SYMBOLS)
    get = function(loaded, "address", INTEGER, INTEGER)
    assert [protection(get(i)) for i in range(6)] == [
        "r--p",
        "rw-p",
        "rw-p",
        "rw-p",
        "r-xp",
        "r--p",
    ]
    assert protection(loaded.address("f")) == "r-xp"


@directly
def test_memory_is_never_writeable_and_executable(monkeypatch: pytest.MonkeyPatch) -> None:
    protect = loading._protect
    seen: list[str] = []

    def watch(place: int, size: int, allowed: int) -> None:
        protect(place, size, allowed)
        seen.extend(letters for _, _, letters in mappings())

    monkeypatch.setattr(loading, "_protect", watch)
    before = sum("wx" in letters for _, _, letters in mappings())
    load(compiled(MANY), SYMBOLS)
    assert len(seen) > 0
    assert sum("wx" in letters for letters in seen) == 2 * before


@directly
@pytest.mark.usefixtures("no_llvm")
def test_memory_is_given_back() -> None:
    code = compiled(MANY)
    loaded = load(code, SYMBOLS)
    place = loaded.address("f")
    call = function(loaded, "f", DOUBLE, DOUBLE, INTEGER)
    del loaded
    assert protection(place) == "r-xp"
    assert call(1.0, 2) == 12.0 + math.pi
    del call
    gc.collect()
    assert protection(place) is None


@pytest.mark.skipif(sys.platform != "linux", reason="there is no list of memory to read")
@pytest.mark.usefixtures("loader")
def test_many_loads_leave_no_memory_behind() -> None:
    code = compiled(MANY)
    load(code, SYMBOLS)
    gc.collect()
    before = used_bytes()
    for turn in range(600):
        loaded = load(code, SYMBOLS)
        if turn % 100 == 0:
            assert function(loaded, "f", DOUBLE, DOUBLE, INTEGER)(1.0, turn) == 10 + turn + math.pi
        del loaded
    gc.collect()
    assert used_bytes() < before + 600 * 3 * 4096 / 2  # each takes at least three pages


def used_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096


@directly
def test_failed_loads_leave_no_memory_behind() -> None:
    code = compiled(MANY)
    before = used_bytes()
    for _ in range(600):
        with pytest.raises(ObjectError, match="needs 'outside'"):
            load(code, {})
    assert used_bytes() < before + 600 * 3 * 4096 / 2


@pytest.mark.usefixtures("loader")
def test_objects_do_not_know_each_other() -> None:
    """The same names mean other functions in each."""
    calls = []
    owners = []
    for number in range(8):
        other = ctypes.CFUNCTYPE(DOUBLE, DOUBLE, INTEGER)(lambda x, n, number=number: x + number)
        owners.append(other)
        loaded = load(compiled(MANY), {"outside": address(other)})
        calls.append(function(loaded, "f", DOUBLE, DOUBLE, INTEGER))
    assert [call(1.0, 0) for call in calls] == [1.0 + n + math.pi for n in range(8)]


def test_a_given_symbol_comes_before_the_libraries(loader: str) -> None:
    assembly = """
    declare double @cos(double)
    define double @f(double %x) { %y = call double @cos(double %x) ret double %y }"""
    mine = ctypes.CFUNCTYPE(DOUBLE, DOUBLE)(lambda x: x + 100)
    for symbols, expected in (({}, math.cos(0.5)), ({"cos": address(mine)}, 100.5)):
        loaded = load(compiled(assembly), symbols)
        assert function(loaded, "f", DOUBLE, DOUBLE)(0.5) == expected, loader


@pytest.mark.usefixtures("loader")
def test_threads_load_at_once() -> None:
    code = compiled(MANY)
    start = threading.Barrier(4)

    def work(seed: int) -> None:
        start.wait()
        for turn in range(40):
            call = function(load(code, SYMBOLS), "f", DOUBLE, DOUBLE, INTEGER)
            assert call(float(seed), turn) == seed * 10 + turn + math.pi

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


@pytest.mark.usefixtures("loader")
def test_what_is_not_defined_has_no_address() -> None:
    loaded = load(compiled(MANY), SYMBOLS)
    for name in ("nothing", "table", ""):
        with pytest.raises(ObjectError, match=repr(name)):
            loaded.address(name)
    assert loaded.address("f")


@pytest.mark.skipif(sys.platform != "linux", reason="LLVM says it elsewhere")
@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize("name", ["nowhere_to_be_found", "_name", "_handle", "__dict__"])
def test_what_is_nowhere_is_named(name: str) -> None:
    assembly = f"declare void @{name}() define void @f() {{ call void @{name}() ret void }}"
    with pytest.raises(ObjectError, match=f"needs '{name}', which neither it nor a library"):
        load(compiled(assembly), SYMBOLS)


@pytest.mark.usefixtures("loader")
def test_an_object_without_anything_loads() -> None:
    loaded = load(compiled("declare void @outside()"), {})
    with pytest.raises(ObjectError):
        loaded.address("f")


# Damage. What LLVM does with it is LLVM's, so it is not asked.


@directly
@pytest.mark.usefixtures("no_llvm")
def test_a_truncated_object_is_an_error() -> None:
    code = compiled(MANY)
    for length in range(0, len(code), 7):
        with pytest.raises(ObjectError):
            load(code[:length], SYMBOLS)


@directly
@pytest.mark.usefixtures("no_llvm")
def test_damage_is_an_error_or_goes_unnoticed() -> None:
    code = compiled(MANY)
    # The header, the tables of symbols, relocations and names, and the headers of the sections.
    tables = list(range(64))
    for place, (_, kind, _, _, offset, size, *_) in headers(code):
        tables += range(place, place + 64)
        tables += range(offset, offset + size) if kind in (SYMBOL_TABLE, NAMES, RELOCATIONS) else ()
    random_numbers = random.Random(0)
    errors = 0
    for _ in range(4000):
        damaged = bytearray(code)
        for _ in range(random_numbers.choice([1, 1, 1, 4])):
            place = random_numbers.choice(tables)
            damaged[place] = random_numbers.choice([0, 1, 4, 8, 127, 128, 255])
        try:
            load(bytes(damaged), SYMBOLS)
        except ObjectError:
            errors += 1
    assert errors > 1000


def patched(code: bytes, form: str, place: int, value: int) -> bytes:
    changed = bytearray(code)
    struct.pack_into(form, changed, place, value)
    return bytes(changed)


def headers(code: bytes) -> Iterator[tuple[int, tuple[int, ...]]]:
    """List where the headers of the sections lie, with their fields."""
    (start,), (count,) = struct.unpack_from("<Q", code, 40), struct.unpack_from("<H", code, 60)
    for number in range(count):
        place = start + number * 64
        yield place, struct.unpack_from("<IIQQQQIIQQ", code, place)


def with_relocations(code: bytes, old: int, new: int) -> bytes:
    """Change the kind of relocations."""
    changed = bytearray(code)
    count = 0
    for _, (_, kind, _, _, offset, size, *_) in headers(code):
        for place in range(offset, offset + size, 24) if kind == RELOCATIONS else ():
            if struct.unpack_from("<I", code, place + 8)[0] == old:
                struct.pack_into("<I", changed, place + 8, new)
                count += 1
    assert count, f"no relocation of kind {old}"
    return bytes(changed)


def with_headers(code: bytes, kind: int, field: int, value: int, form: str = "<Q") -> bytes:
    """Change a field in the headers of the sections of a kind."""
    changed = bytearray(code)
    for start, (_, found, *_) in headers(code):
        if found == kind:
            struct.pack_into(form, changed, start + field, value)
    assert bytes(changed) != code
    return bytes(changed)


def with_symbols(code: bytes, value: int) -> bytes:
    """Change the values of all symbols."""
    changed = bytearray(code)
    for _, (_, kind, _, _, offset, size, *_) in headers(code):
        for place in range(offset, offset + size, 24) if kind == SYMBOL_TABLE else ():
            struct.pack_into("<Q", changed, place + 8, value)
    return bytes(changed)


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda code: b"", "0 bytes are not an object file"),
    "text": (lambda code: b"define" * 100, "not an object file"),
    "big-endian": (lambda code: patched(code, "<B", 5, 2), "64-bit little-endian"),
    "a program": (lambda code: patched(code, "<H", 16, 2), "can be linked"),
    "for another processor": (lambda code: patched(code, "<H", 18, 183), "machine 183, not"),
    "of too many sections": (lambda code: patched(code, "<H", 60, 0xFF00), "can be linked"),
    "headers past the end": (lambda code: patched(code, "<Q", 40, 1 << 40), "cut short"),
    "sections past the end": (lambda code: with_headers(code, CODE, OFFSET, 1 << 40), "cut short"),
    "symbols past the end": (
        lambda code: with_headers(code, SYMBOL_TABLE, SIZE, 1 << 40),
        "cut short",
    ),
    "alignment to 3": (
        lambda code: with_headers(code, CODE, ALIGNMENT, 3),
        "aligns a section to 3",
    ),
    "half a relocation": (
        lambda code: with_headers(code, RELOCATIONS, SIZE, 25),
        "25 bytes of relocations",
    ),
    "relocations of no section": (
        lambda code: with_headers(code, RELOCATIONS, INFO, 999, "<I"),
        "no section 999",
    ),
    "symbols outside": (lambda code: with_symbols(code, 1 << 40), "places .* outside of it"),
    "symbols in what is no section": (
        lambda code: with_headers(code, CODE, KIND, 0, "<I"),
        "where nothing is loaded",
    ),
    "no symbol": (lambda code: with_headers(code, SYMBOL_TABLE, SIZE, 24), "no symbol"),
    "more zeros than there is memory": (
        lambda code: with_headers(code, ZEROS, SIZE, 1 << 46),
        "system refuses|too far",
    ),
    "more zeros than there are addresses": (
        lambda code: with_headers(code, ZEROS, SIZE, (1 << 64) - 4096),
        "asks for .* bytes of memory",
    ),
}


@directly
@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_described(damage: Callable[[bytes], bytes], message: str) -> None:
    with pytest.raises(ObjectError, match=message):
        load(damage(compiled(MANY)), SYMBOLS)


INITIALISER = """
@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }]
  [{ i32, ptr, ptr } { i32 65535, ptr @f, ptr null }]
declare double @outside(double, i64)
define void @f() { %x = call double @outside(double 1.0, i64 2) ret void }"""

UNSUPPORTED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "an unknown relocation": (lambda code: with_relocations(code, 2, 77), "of kind 77"),
    "an outside function that must be near": (
        lambda code: with_relocations(code, 4, 2),
        "takes 'outside' to be near",
    ),
    "code that is written into": (
        lambda code: with_headers(code, CODE, FLAGS, 7),
        "code that is written into",
    ),
    "variables of each thread": (
        lambda code: with_headers(code, ZEROS, FLAGS, 0x403),
        "variables of each thread",
    ),
    "huge alignment": (lambda code: with_headers(code, ZEROS, ALIGNMENT, 8192), "aligns to 8192"),
    "initialisers": (lambda _: compiled(INITIALISER), "initialisers"),
    "a variable without a place": (
        lambda _: compiled("@f = common global i64 0"),
        "does not place 'f'",
    ),
    "a function chosen at load": (
        lambda _: compiled(
            "@f = ifunc i64 (), ptr @g define i64 @h() { ret i64 1 } define ptr @g() { ret ptr @h }"
        ),
        "'f' of a special kind",
    ),
}


@directly
@pytest.mark.parametrize(("change", "message"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_what_is_not_supported_is_described(change: Callable[[bytes], bytes], message: str) -> None:
    with pytest.raises(UnsupportedObjectError, match=message):
        loading._load_directly(loading._ObjectFile(change(compiled(MANY))), SYMBOLS)


# Other kinds of object files than those that engines make.

FAR = """
@variable = external global i64
declare double @outside(double, i64)
define double @f(double %x) {
  %n = load i64, ptr @variable
  %y = call double @outside(double %x, i64 %n)
  %z = fadd double %y, 0x3FF8000000000000
  ret double %z
}"""


@directly
def test_llvm_loads_what_is_not_supported() -> None:
    code = other_code(FAR, reloc="pic", codemodel="large")
    with pytest.raises(UnsupportedObjectError, match="relocations of kind"):
        loading._load_directly(loading._ObjectFile(code), SYMBOLS)
    assert function(load(code, SYMBOLS), "f", DOUBLE, DOUBLE)(2.0) == 26.5


@directly
@pytest.mark.usefixtures("no_llvm")
def test_a_table_entry_may_be_asked_for_in_the_plain_way() -> None:
    code = with_relocations(compiled(FAR), 42, 9)
    assert function(load(code, SYMBOLS), "f", DOUBLE, DOUBLE)(2.0) == 26.5


ABSOLUTE = """
@number = external dso_local global i8
define i64 @f() { ret i64 ptrtoint (ptr @number to i64) }
"""


@directly
@pytest.mark.usefixtures("no_llvm")
@pytest.mark.parametrize(("kind", "low", "high"), [(10, 0, 2**32 - 1), (11, -(2**31), 2**31 - 1)])
def test_short_addresses_are_written_where_they_fit(kind: int, low: int, high: int) -> None:
    code = other_code(ABSOLUTE, reloc="static", codemodel="small")
    code = with_relocations(code, 10, kind)
    for value in (low, high, 12345):
        got = function(load(code, {"number": value}), "f", ctypes.c_uint32)()
        assert got == value % 2**32
    for value in (low - 1, high + 1, 2**47):
        with pytest.raises(ObjectError, match="too far"):
            load(code, {"number": value})


@directly
def test_an_object_is_loaded_from_the_cache_without_llvm(tmp_path: Path) -> None:
    CodeCache(tmp_path / "cache").put("abc", compiled(CASES["remainder"].assembly))
    program = f"""
import ctypes, sys
from pathlib import Path
from steepest.engines.native.cache import CodeCache
from steepest.engines.native.loading import load
loaded = load(CodeCache(Path({str(tmp_path / "cache")!r})).get("abc"), {{}})
f = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double)(loaded.address("f"))
assert f(7.5, 2.0) == 3.0
assert "llvmlite" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


PROGRAM_THAT_ENDS = """
import ctypes, threading, sys, time
from pathlib import Path
from steepest.engines.native import loading
loaded = loading.load(Path(sys.argv[1]).read_bytes(), {})
f = ctypes.CFUNCTYPE(None)(loaded.address("f"))
threading.Thread(target=f, daemon=True).start()
time.sleep(0.1)
print("end")
"""


@directly
def test_a_program_may_end_while_a_thread_runs_code(tmp_path: Path) -> None:
    (tmp_path / "code.o").write_bytes(
        compiled("define void @f() { br label %again again: br label %again }")
    )
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM_THAT_ENDS, str(tmp_path / "code.o")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "end\n"
