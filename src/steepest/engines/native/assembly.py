"""LLVM assembly as text: a module, its functions, and the instructions that go into them.

Text is what LLVM reads fastest from Python. A `Value` knows its type, so that instructions and
intrinsics are written without naming types again; an operation on a vector is the one on its
entries.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from steepest.engines.native.processor import Processor

__all__ = [
    "BOOL",
    "DOUBLE",
    "FLOAT",
    "INT32",
    "INT64",
    "POINTER",
    "Function",
    "Module",
    "Type",
    "Value",
]

_FLOATING = ("half", "bfloat", "float", "double")
_INTRINSIC_SUFFIX = {"half": "f16", "bfloat": "bf16", "float": "f32", "double": "f64", "ptr": "p0"}


class Type(NamedTuple):
    """A scalar type, or a vector of it.

    Attributes
    ----------
    element : str
        LLVM's name: "float", "double", "half", "i1", "i8", "i64", "ptr".
    lanes : int
        Number of entries; 0 for a scalar.
    """

    element: str
    lanes: int = 0

    def __str__(self) -> str:
        return f"<{self.lanes} x {self.element}>" if self.lanes else self.element

    @property
    def is_floating(self) -> bool:
        """Whether the entries are floating-point numbers."""
        return self.element in _FLOATING

    @property
    def bits(self) -> int:
        """Bits of an entry."""
        if self.element.startswith("i"):
            return int(self.element[1:])
        return {"half": 16, "bfloat": 16, "float": 32, "double": 64, "ptr": 64}[self.element]

    @property
    def suffix(self) -> str:
        """What the names of intrinsics end with."""
        element = _INTRINSIC_SUFFIX.get(self.element, self.element)
        return f"v{self.lanes}{element}" if self.lanes else element

    def of(self, element: str) -> Type:
        """Make the type with as many entries of another kind."""
        return Type(element, self.lanes)

    @property
    def scalar(self) -> Type:
        """The type of an entry."""
        return Type(self.element)


FLOAT = Type("float")
DOUBLE = Type("double")
INT32 = Type("i32")
INT64 = Type("i64")
BOOL = Type("i1")
POINTER = Type("ptr")


class Value(NamedTuple):
    """What an instruction gives: a name or a literal, and its type."""

    name: str
    type: Type

    def __str__(self) -> str:
        return f"{self.type} {self.name}"


class Module:
    """Functions, and the declarations that they need.

    Parameters
    ----------
    processor : Processor, optional
        What the code is made for; any where there is none.
    """

    def __init__(self, processor: Processor | None = None) -> None:
        self._processor = processor
        self._attributes = "nounwind" if processor is None else processor.function_attributes
        self._functions: list[Function | str] = []
        self._names: set[str] = set()
        self._shared: dict[str, str] = {}
        self._known: dict[Hashable, str] = {}
        self._declarations: dict[str, str] = {}
        self._globals: list[str] = []
        self._finished: Module | None = None

    def function(
        self,
        name: str,
        result: Type | None,
        parameters: Sequence[tuple[str, str]],
        *,
        linkage: str = "",
        attributes: str = "",
    ) -> Function:
        """Begin a function.

        Parameters
        ----------
        parameters : sequence of (type with attributes, name)
            As ``("ptr noalias", "x")``.
        linkage : str
            "internal" for what only this module calls.
        attributes : str
            Further attributes: "alwaysinline", "noinline".
        """
        function = Function(self, name, result, parameters, linkage, attributes)
        self._functions.append(function)
        self._names.add(name)
        return function

    def defines(self, name: str) -> bool:
        """Whether a function of this name was begun."""
        return name in self._names

    def shared(
        self, write: Callable[[str], Function], key: Hashable = None, prefix: str = "shared"
    ) -> str:
        """Add a function unless one with the same text is there, and return its name.

        Parameters
        ----------
        write : callable
            Takes a name, returns the function, which it has not added to the module.
        key : hashable, optional
            What the text depends on, so that it need not be written again to be compared.
        prefix : str
            What the name begins with; a number follows.
        """
        if key is not None and key in self._known:
            return self._known[key]
        function = write("shared")
        text = str(function)
        name = self._shared.get(text)
        if name is None:
            name = self._shared[text] = f"{prefix}{len(self._shared)}"
            self._functions.append(text.replace("@shared(", f"@{name}(", 1))
        if key is not None:
            self._known[key] = name
        return name

    @property
    def finished(self) -> Module:
        """The module beside this one for functions that need none of LLVM's passes."""
        if self._finished is None:
            self._finished = Module(self._processor)
        return self._finished

    @property
    def has_avx_512(self) -> bool:
        """Whether functions may call the instructions of AVX-512 by name."""
        return self._processor is not None and self._processor.has_avx_512

    def declare(self, name: str, declaration: str) -> None:
        """Declare what is defined elsewhere, once."""
        self._declarations[name] = declaration

    def constant_table(self, name: str, element: str, entries: Sequence[str]) -> Value:
        """Add an array of constants that does not change, and return its address."""
        body = ", ".join(f"{element} {entry}" for entry in entries)
        self._globals.append(
            f"@{name} = internal unnamed_addr constant [{len(entries)} x {element}] [{body}],"
            " align 64"
        )
        return Value(f"@{name}", POINTER)

    def __str__(self) -> str:
        return "\n".join(
            [
                *self._globals,
                *self._declarations.values(),
                *map(str, self._functions),
                f"attributes #0 = {{ {self._attributes} }}",
            ]
        )


def literal(kind: Type, value: float) -> str:
    """Write a number as LLVM reads it, exactly."""
    if kind.element == "float":
        # LLVM writes a float with the bits of the double that it equals.
        (rounded,) = struct.unpack("<f", struct.pack("<f", value)) if _fits(value) else (value,)
        return "0x" + struct.pack(">d", rounded).hex().upper()
    if kind.element == "double":
        return "0x" + struct.pack(">d", value).hex().upper()
    if kind.element == "half":
        return "0xH" + struct.pack(">e", value).hex().upper()
    if kind.element == "i1":
        return "true" if value else "false"
    return str(int(value))


def _fits(value: float) -> bool:
    return not math.isfinite(value) or abs(float(value)) < 3.4028235677973366e38


class Function:
    """A function under construction; each method appends an instruction and gives its value."""

    def __init__(
        self,
        module: Module,
        name: str,
        result: Type | None,
        parameters: Sequence[tuple[str, str]],
        linkage: str,
        attributes: str,
    ) -> None:
        self.module = module
        self.name = name
        self.result = result
        kinds = ", ".join(f"{kind} %{each}" for kind, each in parameters)
        self._head = (
            f"define {linkage + ' ' if linkage else ''}{result or 'void'} @{name}({kinds})"
            f" {attributes + ' ' if attributes else ''}#0 {{"
        )
        self.parameters = [
            Value(f"%{each}", Type(kind.split(" ", 1)[0])) for kind, each in parameters
        ]
        self._allocations: list[str] = []
        self._lines: list[str] = []
        self._count = 0
        self.block = "begin"

    def __str__(self) -> str:
        return "\n".join(
            [
                self._head,
                "entry:",
                *self._allocations,
                "  br label %begin",
                "begin:",
                *self._lines,
                "}",
            ]
        )

    # Instructions.

    def emit(self, kind: Type, text: str) -> Value:
        """Append an instruction with a result, given as LLVM writes it."""
        self._count += 1
        name = f"%v{self._count}"
        self._lines.append(f"  {name} = {text}")
        return Value(name, kind)

    def do(self, text: str) -> None:
        """Append an instruction without a result."""
        self._lines.append(f"  {text}")

    def binary(self, operation: str, x: Value, y: Value, flags: str = "") -> Value:
        """Apply an instruction of two operands by LLVM's name: fadd, sdiv, and, shl."""
        flags = f"{flags} " if flags else ""
        return self.emit(x.type, f"{operation} {flags}{x.type} {x.name}, {y.name}")

    def negate(self, x: Value) -> Value:
        """Change the sign of floating-point numbers."""
        return self.emit(x.type, f"fneg {x}")

    def compare(self, predicate: str, x: Value, y: Value) -> Value:
        """Compare, by LLVM's predicates: "olt", "une", "uno" of floats, "slt" of integers."""
        operation = "fcmp" if x.type.is_floating else "icmp"
        return self.emit(x.type.of("i1"), f"{operation} {predicate} {x.type} {x.name}, {y.name}")

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """Take x where the condition holds, y elsewhere."""
        return self.emit(x.type, f"select {condition}, {x}, {y}")

    def cast(self, operation: str, x: Value, element: str) -> Value:
        """Apply fpext, fptrunc, sitofp, uitofp, fptosi, fptoui, zext, sext, trunc or bitcast."""
        kind = x.type.of(element)
        return self.emit(kind, f"{operation} {x} to {kind}")

    def intrinsic(self, name: str, *args: Value, result: Type | None = None) -> Value:
        """Call an LLVM intrinsic overloaded by the type of its first argument, as "llvm.sqrt"."""
        kind = result or args[0].type
        return self.call_declared(f"{name}.{args[0].type.suffix}", kind, *args)

    def call(self, name: str, kind: Type, *args: Value) -> Value:
        """Call a function of this module, or one that `Module.declare` knows."""
        return self.emit(kind, f"call {kind} @{name}({', '.join(map(str, args))})")

    def call_pointer(self, address: Value, kind: Type | None, *args: Value) -> Value | None:
        """Call a function by its address."""
        text = f"call {kind or 'void'} {address.name}({', '.join(map(str, args))})"
        if kind is None:
            self.do(text)
            return None
        return self.emit(kind, text)

    def call_declared(self, name: str, kind: Type, *args: Value) -> Value:
        """Call what is declared for these arguments, by its whole name."""
        types = ", ".join(str(each.type) for each in args)
        self.module.declare(name, f"declare {kind} @{name}({types})")
        return self.emit(kind, f"call {kind} @{name}({', '.join(map(str, args))})")

    # Arithmetic under short names, for formulas.

    def add(self, x: Value, y: Value) -> Value:
        """X + y."""
        return self.binary("fadd" if x.type.is_floating else "add", x, y)

    def subtract(self, x: Value, y: Value) -> Value:
        """X − y."""
        return self.binary("fsub" if x.type.is_floating else "sub", x, y)

    def multiply(self, x: Value, y: Value) -> Value:
        """X · y."""
        return self.binary("fmul" if x.type.is_floating else "mul", x, y)

    def divide(self, x: Value, y: Value) -> Value:
        """X / y, of floating-point numbers."""
        return self.binary("fdiv", x, y)

    def multiply_add(self, x: Value, y: Value, z: Value) -> Value:
        """X · y + z, rounded once."""
        return self.intrinsic("llvm.fma", x, y, z)

    # Constants and vectors.

    def constant(self, kind: Type, value: float) -> Value:
        """Write a number, in each entry of a vector."""
        text = literal(kind, value)
        return Value(f"splat ({kind.element} {text})" if kind.lanes else text, kind)

    def zero(self, kind: Type) -> Value:
        """Write zero, in each entry of a vector."""
        return Value("zeroinitializer", kind) if kind.lanes else self.constant(kind, 0)

    def splat(self, x: Value, lanes: int) -> Value:
        """Repeat a scalar; for no lanes, the scalar itself."""
        if not lanes:
            return x
        if not x.name.startswith("%"):
            return Value(f"splat ({x.type} {x.name})", Type(x.type.element, lanes))
        kind = Type(x.type.element, lanes)
        one = self.emit(kind, f"insertelement {kind} poison, {x}, i64 0")
        return self.emit(
            kind, f"shufflevector {one}, {kind} poison, <{lanes} x i32> zeroinitializer"
        )

    def extract(self, x: Value, lane: int) -> Value:
        """Read one entry of a vector."""
        return self.emit(x.type.scalar, f"extractelement {x}, i64 {lane}")

    def iota(self, element: str, lanes: int) -> Value:
        """Count 0, 1, 2, … in a vector of integers; 0 as a scalar."""
        if not lanes:
            return Value("0", Type(element))
        entries = ", ".join(f"{element} {lane}" for lane in range(lanes))
        return Value(f"<{entries}>", Type(element, lanes))

    def extremum(self, operation: str, x: Value, y: Value) -> Value:
        """Give the "max" or "min" of floating-point numbers, NaN where one is NaN.

        Of zeros it is either, as NumPy's: LLVM's own, which tell them apart, take twice as long.
        """
        first = self.compare("ogt" if operation == "max" else "olt", x, y)
        return self.select(self.binary("or", first, self.compare("uno", x, x)), x, y)

    def _shuffled(self, x: Value, y: Value | None, lanes: Sequence[int]) -> Value:
        """Take entries of a vector, or of two one after the other; any entry for −1."""
        kind = Type(x.type.element, len(lanes))
        mask = ", ".join("i32 poison" if lane < 0 else f"i32 {lane}" for lane in lanes)
        other = f"{x.type} poison" if y is None else str(y)
        return self.emit(kind, f"shufflevector {x}, {other}, <{len(lanes)} x i32> <{mask}>")

    def by_registers(self, apply: Callable[..., Value], *arguments: Value) -> Value:
        """Apply an instruction of x86's vector registers to values with any number of entries.

        Parameters
        ----------
        apply : callable
            Takes as many vectors, of 128, 256 or 512 bits, and returns one.
        """
        kind = arguments[0].type
        least, most = 128 // kind.bits, 512 // kind.bits
        if not kind.lanes:
            one = Type(kind.element, least)
            filled = [
                self.emit(one, f"insertelement {one} poison, {each}, i64 0") for each in arguments
            ]
            return self.extract(apply(*filled), 0)
        if kind.lanes < least:
            lanes = [*range(kind.lanes), *[-1] * (least - kind.lanes)]
            result = apply(*(self._shuffled(each, None, lanes) for each in arguments))
            return self._shuffled(result, None, range(kind.lanes))
        if kind.lanes <= most:
            return apply(*arguments)
        half = kind.lanes // 2
        low, high = (
            self.by_registers(
                apply,
                *(self._shuffled(each, None, range(start, start + half)) for each in arguments),
            )
            for start in (0, half)
        )
        return self._shuffled(low, high, range(kind.lanes))

    def reduce(self, operation: str, x: Value) -> Value:
        """Combine the entries of a vector, by "add", "mul", "max", "smin", "and" or "or".

        Floating-point numbers are combined pairwise: halves with halves.
        """
        if not x.type.lanes:
            return x
        if operation in ("add", "mul", "max", "min") and x.type.is_floating:
            while x.type.lanes > 1:
                half = x.type.lanes // 2
                parts = [self._shuffled(x, None, range(start, start + half)) for start in (0, half)]
                if operation in ("max", "min"):
                    x = self.extremum(operation, *parts)
                else:
                    x = self.binary("f" + operation, parts[0], parts[1])
            return self.extract(x, 0)
        return self.intrinsic(f"llvm.vector.reduce.{operation}", x, result=x.type.scalar)

    # Memory.

    def allocate(
        self, kind: Type, count: int = 1, align: int = 64, initial: Value | None = None
    ) -> Value:
        """Reserve space on the stack for as long as the function runs."""
        self._count += 1
        name = f"%v{self._count}"
        self._allocations.append(f"  {name} = alloca {kind}, i64 {count}, align {align}")
        if initial is not None:
            self._allocations.append(f"  store {initial}, ptr {name}")
        return Value(name, POINTER)

    def entries_between(self, start: Value, end: Value, element: str) -> Value:
        """Count the entries from one address to another."""
        first, last = (self.emit(INT64, f"ptrtoint {each} to i64") for each in (start, end))
        size = "8" if element in ("double", "i64") else "4"
        return self.binary("sdiv", self.subtract(last, first), Value(size, INT64))

    def offset(self, pointer: Value, element: str, index: Value | int) -> Value:
        """Find the address of the entry at an index."""
        if index == 0:
            return pointer
        place = f"i64 {index}" if isinstance(index, int) else str(index)
        kind = POINTER if isinstance(index, int) else Type("ptr", index.type.lanes)
        return self.emit(kind, f"getelementptr {element}, {pointer}, {place}")

    def load(self, kind: Type, pointer: Value, align: int = 0, suffix: str = "") -> Value:
        """Read a scalar or successive entries."""
        align = align or max(kind.bits // 8, 1)
        return self.emit(kind, f"load {kind}, {pointer}, align {align}{suffix}")

    def store(self, x: Value, pointer: Value, align: int = 0, suffix: str = "") -> None:
        """Write a scalar or successive entries."""
        align = align or max(x.type.bits // 8, 1)
        self.do(f"store {x}, {pointer}, align {align}{suffix}")

    def masked_load(self, kind: Type, pointer: Value, mask: Value) -> Value:
        """Read successive entries where the mask holds; the others are zero and not touched."""
        zero = self.zero(kind)
        # Here and below the alignment is a number, as in LLVM 20; 22 reads that too.
        name = f"llvm.masked.load.{kind.suffix}.p0"
        self.module.declare(name, f"declare {kind} @{name}(ptr, i32, {mask.type}, {kind})")
        align = max(kind.bits // 8, 1)
        return self.emit(kind, f"call {kind} @{name}({pointer}, i32 {align}, {mask}, {zero})")

    def masked_store(self, x: Value, pointer: Value, mask: Value) -> None:
        """Write successive entries where the mask holds."""
        name = f"llvm.masked.store.{x.type.suffix}.p0"
        self.module.declare(name, f"declare void @{name}({x.type}, ptr, i32, {mask.type})")
        align = max(x.type.bits // 8, 1)
        self.do(f"call void @{name}({x}, {pointer}, i32 {align}, {mask})")

    def gather(self, kind: Type, pointers: Value, mask: Value) -> Value:
        """Read entries from a vector of addresses where the mask holds; zero elsewhere."""
        zero = self.zero(kind)
        name = f"llvm.masked.gather.{kind.suffix}.v{kind.lanes}p0"
        kinds = f"{pointers.type}, i32, {mask.type}, {kind}"
        self.module.declare(name, f"declare {kind} @{name}({kinds})")
        align = max(kind.bits // 8, 1)
        return self.emit(kind, f"call {kind} @{name}({pointers}, i32 {align}, {mask}, {zero})")

    def scatter(self, x: Value, pointers: Value, mask: Value) -> None:
        """Write entries to a vector of addresses where the mask holds."""
        name = f"llvm.masked.scatter.{x.type.suffix}.v{x.type.lanes}p0"
        kinds = f"{x.type}, {pointers.type}, i32, {mask.type}"
        self.module.declare(name, f"declare void @{name}({kinds})")
        align = max(x.type.bits // 8, 1)
        self.do(f"call void @{name}({x}, {pointers}, i32 {align}, {mask})")

    # Control flow.

    def label(self, hint: str) -> str:
        """Make the name of a block."""
        self._count += 1
        return f"{hint}{self._count}"

    def begin_block(self, label: str) -> None:
        """Continue in a new block."""
        self._lines.append(f"{label}:")
        self.block = label

    def jump(self, label: str) -> None:
        """Go on in another block."""
        self.do(f"br label %{label}")

    def branch(self, condition: Value, true: str, false: str) -> None:
        """Go on in one of two blocks."""
        self.do(f"br {condition}, label %{true}, label %{false}")

    def give(self, value: Value | None = None) -> None:
        """Return."""
        self.do("ret void" if value is None else f"ret {value}")

    @contextmanager
    def loop(
        self,
        end: Value | int,
        *,
        start: Value | int = 0,
        step: int = 1,
        is_run: bool = False,
    ) -> Iterator[Value]:
        """Run what stands in the ``with`` block for start, start + step, … below end.

        Parameters
        ----------
        end, start : Value or int
        step : int
        is_run : bool
            Whether it is known that start is below end, so that the end is only looked at after.

        Yields
        ------
        Value
            The index, an i64.
        """
        if isinstance(start, int) and isinstance(end, int):
            is_run = start < end
        start_text = start.name if isinstance(start, Value) else str(start)
        end_text = end.name if isinstance(end, Value) else str(end)
        body, latch, done = (self.label(each) for each in ("body", "latch", "done"))
        if not is_run:
            any_run = self.emit(BOOL, f"icmp slt i64 {start_text}, {end_text}")
            ready = self.label("ready")
            self.branch(any_run, ready, done)
            self.begin_block(ready)
        before = self.block
        self.jump(body)
        self.begin_block(body)
        index = Value(f"%{body}.i", INT64)
        self._lines.append(
            f"  {index.name} = phi i64 [ {start_text}, %{before} ], [ {index.name}n, %{latch} ]"
        )
        yield index
        self.jump(latch)
        self.begin_block(latch)
        self._lines.append(f"  {index.name}n = add nsw i64 {index.name}, {step}")
        again = self.emit(BOOL, f"icmp slt i64 {index.name}n, {end_text}")
        self.branch(again, body, done)
        self.begin_block(done)

    @contextmanager
    def when(self, condition: Value, *, returns: bool = False) -> Iterator[None]:
        """Run what stands in the ``with`` block if the condition, a scalar, holds.

        Parameters
        ----------
        returns : bool
            Whether the block ends by returning.
        """
        inside, done = self.label("when"), self.label("after")
        self.branch(condition, inside, done)
        self.begin_block(inside)
        yield
        if not returns:
            self.jump(done)
        self.begin_block(done)
