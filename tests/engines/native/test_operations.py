"""Emitted element-wise code against the op table: NumPy's bits, entry by entry."""

from __future__ import annotations

import ctypes
import itertools
import operator
import platform
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest

from steepest.engines.native.assembly import INT64, POINTER, Function, Module, Type, Value
from steepest.engines.native.loading import load
from steepest.engines.native.mathematics import TRANSCENDENTALS
from steepest.engines.native.object_code import machine_code
from steepest.engines.native.operations import (
    can_lower,
    emit_operation,
    emit_unchecked_scale,
    from_memory,
    memory_element,
    register_element,
    to_memory,
)
from steepest.engines.native.processor import host_processor
from steepest.graph import ArrayType, Constant, Input, Node, type_of
from steepest.ops import all_primitives, primitive
from steepest.ops.spec import Primitive, ufunc_type

LANES = 8
DTYPES = {np.dtype(each).name: np.dtype(each) for each in "?bhilBHILefd"}
FLOATS = [np.dtype(each) for each in "efd"]

EXACT = {
    *("add", "subtract", "multiply", "divide", "floor_divide", "remainder", "fmod"),
    *("negative", "positive", "absolute", "fabs", "square", "sqrt", "reciprocal", "copysign"),
    *("conjugate", "maximum", "minimum", "fmax", "fmin", "sign", "floor", "ceil", "trunc", "rint"),
    *("isnan", "isinf", "isfinite", "signbit", "spacing", "nextafter", "heaviside", "ldexp"),
    *("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"),
    *("logical_and", "logical_or", "logical_xor", "logical_not", "invert", "left_shift"),
    *("right_shift", "bitwise_and", "bitwise_or", "bitwise_xor", "deg2rad", "radians"),
    *("rad2deg", "degrees", "scale", "where", "huber"),
}
SIGN_OF_ZERO_IS_OPEN = {"maximum", "minimum", "fmax", "fmin", "nextafter", "scale"}
"""NumPy's own differs between dtypes, or with the other entries of the array."""
CANCELS = {"logaddexp", "logaddexp2", "kl_div"}
ULPS = 4


# Making, running and comparing


@dataclass
class Case:
    """A node and the values to try it on; of a scalar there is one for all entries."""

    node: Node
    values: list[Any]
    lanes: int = LANES
    emit: Callable[..., Value] = emit_operation
    result: Any = field(default=None, init=False)

    @property
    def type(self) -> ArrayType:
        assert isinstance(self.node.type, ArrayType)
        return self.node.type

    @property
    def primitive(self) -> Primitive:
        assert isinstance(self.node.operation, Primitive)
        return self.node.operation

    def __str__(self) -> str:
        types = ", ".join(str(each.type) for each in self.node.inputs)
        return f"{self.node.operation.name}({types}) {self.node.static} of {self.lanes} lanes"


def make_node(operation: Primitive, values: Sequence[Any], **static: Any) -> Node | None:
    """Make a node whose constants are given as such; None where NumPy has no loop."""
    inputs = [
        Node(each, (), {}, type_of(each.value))
        if isinstance(each, Constant)
        else Node(Input(position), (), {}, type_of(each))
        for position, each in enumerate(values)
    ]
    try:
        kind = operation.infer(*(each.type for each in inputs), **static)
    except (TypeError, ValueError):
        return None
    return Node(operation, tuple(inputs), static, kind)


def make_case(name: str, *values: Any, lanes: int = LANES, **static: Any) -> Case | None:
    node = make_node(all_primitives()[name], values, **static)
    if node is None:
        return None
    return Case(
        node, [each.value if isinstance(each, Constant) else each for each in values], lanes
    )


def run(cases: Sequence[Case]) -> None:
    """Compile a function for each case, all in one module, and fill in the results."""
    module = Module(host_processor())
    emit_loop(module)
    for number, case in enumerate(cases):
        emit_case(module, f"case{number}", case)
    loaded = load(machine_code(str(module), host_processor()), {})
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2)
    loop = signature(loaded.address("loop"))
    for number, case in enumerate(cases):
        arrays = [np.ascontiguousarray(in_64_bits(each)) for each in case.values]
        lengths = {each.size for each in map(np.asarray, case.values) if each.ndim} or {LANES}
        (length,) = lengths
        assert length % max(case.lanes, 1) == 0
        case.result = np.empty(length, case.type.dtype)
        pointers = np.array([each.ctypes.data for each in (*arrays, case.result)])
        address = loaded.address(f"case{number}")
        loop(address, pointers.ctypes.data, length, max(case.lanes, 1))


def in_64_bits(value: Any) -> Any:
    return 0 if type(value) is int and not -(2**63) <= value < 2**63 else value


def emit_loop(module: Module) -> None:
    """Emit the loop over the entries once for all cases, which compiles faster."""
    parameters = [("ptr", "case"), ("ptr", "pointers"), ("i64", "length"), ("i64", "step")]
    function = module.function("loop", None, parameters)
    case, pointers, length, step = function.parameters
    with function.loop(function.emit(INT64, f"sdiv {length}, {step.name}")) as index:
        function.call_pointer(case, None, pointers, function.multiply(index, step))
    function.give()


def emit_case(module: Module, name: str, case: Case) -> None:
    function = module.function(name, None, [("ptr", "pointers"), ("i64", "index")])
    pointers, index = function.parameters
    *sources, target = (
        function.load(POINTER, function.offset(pointers, "ptr", position))
        for position in range(len(case.values) + 1)
    )
    arguments = [
        load_entries(function, parent, source, index if np.ndim(value) else None, case.lanes)
        for parent, source, value in zip(case.node.inputs, sources, case.values, strict=True)
    ]
    result = case.emit(function, case.node, arguments)
    dtype = case.type.dtype
    assert result.type == Type(str(register_element(dtype)), case.lanes)
    stored = to_memory(function, result, dtype)
    function.store(stored, function.offset(target, memory_element(dtype), index))
    function.give()


def load_entries(
    function: Function, node: Node, source: Value, index: Value | None, lanes: int
) -> Value:
    assert isinstance(node.type, ArrayType)
    dtype = node.type.dtype
    element = memory_element(dtype)
    if index is None:
        value = function.splat(function.load(Type(element), source), lanes)
    else:
        value = function.load(Type(element, lanes), function.offset(source, element, index))
    return from_memory(function, value, dtype)


def evaluate(case: Case) -> Any:
    """What the primitive itself gives."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return case.primitive.evaluate(*case.values, **case.node.static)


def errors(case: Case, expected: Any) -> list[str]:
    """Describe the first entry that is wrong, if one is."""
    expected = np.broadcast_to(expected, case.result.shape)
    if expected.dtype != case.result.dtype:
        return [f"{case}: dtype {case.result.dtype}, not {expected.dtype}"]
    name = case.node.operation.name
    if expected.dtype.kind != "f":
        right = case.result == expected
    elif name in EXACT or name not in all_primitives() or is_exact_power(case):
        right = (case.result == expected) | (np.isnan(case.result) & np.isnan(expected))
        if name not in SIGN_OF_ZERO_IS_OPEN:
            right &= (expected != 0) | (np.signbit(expected) == np.signbit(case.result))
    else:
        right = is_close(case, expected)
    wrong = np.flatnonzero(~right)
    if not wrong.size:
        return []
    first = wrong[0]
    arguments = [each[first] if np.ndim(each) else each for each in case.values]
    difference = f"{arguments} gives {case.result[first]!r}, not {expected[first]!r}"
    return [f"{case}: {difference}; {wrong.size} of {right.size} differ"]


def is_exact_power(case: Case) -> bool:
    exact = (-1, 0, 0.5, 1, 2)
    return case.node.operation.name in {"power", "pow", "cast"} and (
        case.node.operation.name == "cast"
        or (isinstance(case.node.inputs[1].operation, Constant) and case.values[1] in exact)
    )


def is_close(case: Case, expected: Any) -> Any:
    with np.errstate(all="ignore"):
        unit = np.spacing(np.abs(expected))
        if case.node.operation.name in CANCELS:
            sizes = [np.abs(np.where(np.isfinite(each), each, 0)) for each in case.values]
            unit = np.maximum(unit, np.spacing(np.max(sizes, axis=0).astype(expected.dtype)))
        # SciPy loses the subnormal results of float32.
        unit = np.maximum(unit, np.finfo(expected.dtype).tiny)
        close = np.abs(case.result - expected) <= ULPS * unit
    return close | (case.result == expected) | (np.isnan(case.result) & np.isnan(expected))


def check(cases: Sequence[Case | None]) -> None:
    """Run what has a loop in NumPy, and compare."""
    there = [each for each in cases if each is not None]
    refused = [str(each) for each in there if not can_lower(each.node)]
    assert not refused
    assert there
    run(there)
    assert not [error for case in there for error in errors(case, evaluate(case))]


# Values to try


def special_values(dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "b":
        return np.array([False, True])
    return special_integers(dtype) if dtype.kind in "iu" else special_floats(dtype)


def special_integers(dtype: np.dtype) -> np.ndarray:
    limits = np.iinfo(dtype)
    few = [limits.min, limits.min + 1, limits.max, limits.max - 1, 0, 1, 2, 3, 5, 7, 9, 63, 64]
    if dtype.kind == "i":
        few += [-1, -2, -3, -5, -7, -64]
    rng = np.random.default_rng(7)
    drawn = rng.integers(limits.min, limits.max, 12, dtype, endpoint=True)
    return np.concatenate([np.array(few, dtype), drawn])


def special_floats(dtype: np.dtype) -> np.ndarray:
    limits = np.finfo(dtype)
    few = [
        *(np.nan, np.inf, 0, 1, 2, 0.5, 1.5, 2.5, 3, 90, 200.7, 40000, 3e9, 1e19, 1e-3),
        *(limits.max, limits.tiny, limits.smallest_subnormal, limits.eps, 0.49999997),
    ]
    with np.errstate(over="ignore", under="ignore"):
        positive = np.array(few, dtype)
    rng = np.random.default_rng(7)
    drawn = (rng.standard_normal(10) * 10.0 ** rng.integers(-4, 4, 10)).astype(dtype)
    return np.concatenate([positive, -positive, drawn])


def padded(values: np.ndarray) -> np.ndarray:
    return np.resize(values, -(-values.size // LANES) * LANES)


def combinations(*arrays: np.ndarray) -> list[np.ndarray]:
    """Combine each entry of the arrays with each of the others."""
    return [padded(each.ravel()) for each in np.meshgrid(*arrays)]


def element_wise() -> Iterator[tuple[str, Primitive]]:
    for name, entry in all_primitives().items():
        is_ufunc = isinstance(entry.infer, partial) and entry.infer.func is ufunc_type
        if (is_ufunc and len(entry.arguments) <= 2) or name == "scale":
            yield name, entry


# The table


@pytest.mark.parametrize("lanes", [0, LANES], ids=["scalar", "vector"])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_every_entry_of_the_table(dtype: np.dtype, lanes: int) -> None:
    values = special_values(dtype)
    cases = []
    for name, entry in element_wise():
        chosen = values
        if name == "reciprocal" and dtype.kind in "biu" and platform.machine() != "x86_64":
            # NumPy gives for a zero what the processor makes an integer of infinity.
            chosen = values[values != 0]
        arguments = combinations(*[chosen] * len(entry.arguments))
        case = make_case(name, *arguments, lanes=lanes)
        if case is None:
            continue
        if can_lower(case.node):
            cases.append(case)
        else:
            assert name not in EXACT
            # A negative exponent of an integer is an error in NumPy.
            is_written = entry.evaluate.__name__ in TRANSCENDENTALS
            assert not is_written or (name in {"power", "pow"} and dtype.kind != "f")
    check(cases)


MIXED = [
    (first, second)
    for first, second in itertools.permutations("?bhlBLefd", 2)
    if (first, second) not in {("e", "f"), ("b", "h"), ("h", "b")}
]


@pytest.mark.parametrize("first", sorted({first for first, _ in MIXED}), ids=str)
def test_dtypes_are_promoted_as_numpy_does(first: str) -> None:
    cases = []
    for second in [second for other, second in MIXED if other == first]:
        x, y = combinations(special_values(np.dtype(first)), special_values(np.dtype(second)))
        cases += [
            make_case(name, x, y)
            for name in ("add", "less", "equal", "greater_equal", "maximum", "logical_and")
        ]
        cases += [make_case("scale", x, y), make_case("bitwise_or", x, y)]
        cases.append(make_case("where", np.resize([True, False, True], x.size), x, y))
        cases.append(make_case("where", x, y, x))
    check(cases)


NUMBERS = [2.5, 0.1, -0.0, float("nan"), float("inf"), 0.1 + 2**-26, 1e-6, 3, -1, True]


@pytest.mark.parametrize("dtype", ["?", "b", "B", "l", "L", "e", "f", "d"], ids=str)
def test_python_numbers_give_way_to_arrays(dtype: str) -> None:
    values = padded(special_values(np.dtype(dtype)))
    cases = []
    for number in NUMBERS:
        if number == -1 and dtype in "BL":
            continue  # an error in NumPy, except where they are compared
        for name in ("add", "divide", "maximum", "less", "where", "scale"):
            for each in [Constant(number)] if type(number) is int else [Constant(number), number]:
                first = [np.resize([True, False], values.size)] if name == "where" else []
                cases.append(make_case(name, *first, values, each))
                if name != "scale":
                    cases.append(make_case(name, *first, each, values))
    check(cases)


@pytest.mark.parametrize("number", [-1, 200, 300, -(2**40), 2**62, 2**63, 2**64 - 1])
def test_integers_are_compared_exactly(number: int) -> None:
    cases = [
        make_case(name, padded(special_values(np.dtype(dtype))), Constant(number))
        for dtype in "bBhHiIlL"
        for name in ("less", "less_equal", "equal", "not_equal", "greater", "greater_equal")
    ]
    check(cases)


def test_integers_beyond_int64_in_arithmetic() -> None:
    number = Constant(2**64 - 3)
    unsigned, floating = (padded(special_values(np.dtype(each))) for each in "Ld")
    check([make_case("add", unsigned, number), make_case("subtract", floating, number)])


def test_large_python_integers_are_rounded_as_numpy_does() -> None:
    cases = []
    for dtype in FLOATS:
        values = padded(special_values(dtype))
        numbers = (2**60 + 2**36 + 1, 70000, 2**64, 10**300)
        cases += [make_case("add", values, Constant(number)) for number in numbers]
        # The one that rounds an integer directly.
        where = np.resize([True, False], values.size)
        cases.append(make_case("where", where, values, Constant(2**60 + 2**36 + 1)))
    check(cases)


def test_numbers_that_no_entry_holds_are_refused() -> None:
    signed, floating = np.zeros(8, np.int64), np.zeros(8)
    for name, values, number in [
        ("less", signed, 2**64),
        ("less", signed, -(2**63) - 1),
        ("less", floating, 10**400),
    ]:
        case = make_case(name, values, Constant(number))
        assert case is not None
        assert not can_lower(case.node)


# Powers


@pytest.mark.parametrize("name", ["power", "pow"])
def test_powers_by_known_numbers(name: str) -> None:
    exponents = [-1, 0, 1, 2, 3, 4, 0.5, 2.0, -1.0, 0.0]
    cases = []
    for dtype in FLOATS:
        values = padded(special_values(dtype))
        known = [*exponents, dtype.type(0.5), dtype.type(2)]
        cases += [make_case(name, values, Constant(each)) for each in known]
    for letter in "bBiL":
        values = padded(special_values(np.dtype(letter)))
        cases += [make_case(name, values, Constant(each)) for each in (0, 1, 2, 3, 7, 64)]
    check(cases)


def test_integers_to_other_powers_are_refused() -> None:
    values = np.arange(8)
    for exponent in (Constant(-1), values, Constant(np.array(2))):
        node = make_node(primitive("power"), [values, exponent])
        assert node is not None
        assert not can_lower(node)


def test_the_root_of_a_numpy_scalar_is_the_power_of_c() -> None:
    cases = []
    for dtype in FLOATS:
        for value in (-np.inf, -0.0, 2.0, -1.0):
            case = make_case("pow", dtype.type(value), Constant(0.5))
            assert case is not None
            cases.append(case)
    check(cases)


# Conversion


def in_range(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    limits = np.iinfo(dtype)
    with np.errstate(invalid="ignore"):
        wide = np.trunc(values.astype(np.longdouble))
        inside = (wide >= np.longdouble(limits.min)) & (wide <= np.longdouble(limits.max))
    return values[inside]


@pytest.mark.parametrize("target", DTYPES.values(), ids=DTYPES)
def test_conversions(target: np.dtype) -> None:
    cases = []
    for source in DTYPES.values():
        values = special_values(source)
        # Out of range NumPy promises nothing; in uint32 even strides make a difference.
        is_open = platform.machine() != "x86_64" or target == np.uint32
        if is_open and source.kind == "f" and target.kind in "iu":
            values = in_range(values, target)
        cases += [
            make_case(name, padded(values), lanes=lanes, dtype=target)
            for name in ("cast", "convert")
            for lanes in (0, LANES)
        ]
    check(cases)


def test_float64_is_rounded_to_float16_once() -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    middles = (halves[1:] + halves[:-1]) / 2
    near = [middles, np.nextafter(middles, 0), np.nextafter(middles, 1e9), middles * (1 + 2**-26)]
    values = np.concatenate([halves, *near, 65519.999 + np.arange(-3, 3) / 1e3])
    check([make_case("cast", padded(np.concatenate([values, -values])), dtype=np.dtype("e"))])


def test_every_float16() -> None:
    values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    names = ("spacing", "sign", "rint", "negative", "isnan", "signbit", "square", "sqrt")
    cases = [make_case(name, values) for name in names]
    cases += [make_case("nextafter", values, np.float16(each)) for each in (np.inf, -np.inf, 0.5)]
    check(cases)


def test_ldexp_rounds_once() -> None:
    cases = []
    for dtype in FLOATS:
        exponents = [0, 1, -1, 15, -24, 127, -150, 1023, -1022, -1074, 2000, -2099, 2**31 - 1]
        for integer in (np.int32, np.int64):
            x, y = combinations(special_values(dtype), np.array(exponents, integer))
            cases.append(make_case("ldexp", x, y))
            cases.append(make_case("ldexp", np.nextafter(x, dtype.type(9)), -y))
    check(cases)


# Scale, and the parts of real numbers


def test_zeros_win_over_nan_in_scale_alone() -> None:
    g, derivative = combinations(special_values(np.dtype("f")), special_values(np.dtype("f")))
    case = make_case("scale", g, derivative)
    assert case is not None
    product = Case(case.node, case.values, emit=emit_unchecked_scale)
    run([case, product])
    nothing = ((g == 0) | (derivative == 0)) & np.isnan(product.result)
    assert nothing.any()
    np.testing.assert_array_equal(case.result[nothing], 0)
    np.testing.assert_array_equal(case.result[~nothing], product.result[~nothing])
    ordered = ~np.isnan(product.result)
    signs = [np.signbit(each.result[ordered]) for each in (case, product)]
    np.testing.assert_array_equal(*signs)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(product.result, g * derivative)


def test_scale_by_a_condition_keeps_or_drops() -> None:
    cases = []
    for dtype in DTYPES.values():
        g, condition = combinations(special_values(dtype), np.array([False, True]))
        case = make_case("scale", g, condition)
        assert case is not None
        cases += [case, Case(case.node, case.values, emit=emit_unchecked_scale)]
    check(cases)


def test_parts_of_real_numbers() -> None:
    check(
        [
            make_case(name, padded(special_values(dtype)))
            for name in ("real", "imag")
            for dtype in DTYPES.values()
        ]
    )


# Python numbers among themselves

PYTHON_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "less": operator.lt,
    "equal": operator.eq,
    "greater_equal": operator.ge,
}


@pytest.mark.parametrize("name", PYTHON_BINARY)
def test_python_numbers_follow_python(name: str) -> None:
    values = [0.0, -0.0, 1.5, -2.5, 3.0, float("inf"), float("nan"), 1e300, -1e-300, True, False]
    pairs = [
        (x, y)
        for x, y in itertools.product(values, values)
        if (y != 0 or name not in {"divide", "floor_divide", "remainder"})
        and (type(x), type(y)) != (bool, bool)
    ]
    cases = []
    for x, y in pairs:
        case = make_case(name, x, y)
        assert case is not None
        assert case.type.weak
        assert can_lower(case.node)
        cases.append(case)
    run(cases[::3])
    assert not [
        error for case in cases[::3] for error in errors(case, PYTHON_BINARY[name](*case.values))
    ]


def test_python_numbers_alone_in_one_argument_and_powers() -> None:
    cases: list[Case | None] = [
        make_case(name, value)
        for name in ("negative", "positive", "absolute")
        for value in (1.5, -0.0, float("inf"), True)
    ]
    for number in (0, 1, 2, 3, 0.5, -1, 2.0):
        cases += [make_case("pow", each, Constant(number)) for each in (1.5, 3.0, float("inf"))]
    check(cases)


def test_where_python_raises_it_is_as_with_numpy() -> None:
    for name, expected in [("divide", np.inf), ("floor_divide", np.inf), ("remainder", np.nan)]:
        case = make_case(name, 2.0, 0.0)
        assert case is not None
        run([case])
        np.testing.assert_array_equal(case.result, expected)


def test_python_integers_are_lowered_where_they_are_small() -> None:
    yes, no = make_case("add", True, True), make_case("left_shift", True, True)
    assert yes is not None
    assert no is not None
    run([yes])
    np.testing.assert_array_equal(yes.result, 2)
    assert not can_lower(no.node)


# What native code does not know


@pytest.mark.parametrize("letter", ["g", "D", "F"])
def test_dtypes_without_registers_are_refused(letter: str) -> None:
    dtype = np.dtype(letter)
    assert register_element(dtype) is None
    with pytest.raises(ValueError, match="native code has no"):
        memory_element(dtype)
    values = np.ones(8, dtype)
    for node in (
        make_node(primitive("add"), [values, values]),
        make_node(primitive("add"), [np.ones(8), values]),
        make_node(primitive("cast"), [np.ones(8)], dtype=dtype),
        make_node(primitive("absolute"), [values]),
    ):
        assert node is not None
        assert not can_lower(node)
        with pytest.raises(ValueError, match="native code has no"):
            emit_operation(Module().function("f", None, []), node, [])


def test_other_byte_orders_are_refused() -> None:
    assert register_element(np.dtype(np.float64).newbyteorder()) is None


def test_other_operations_are_refused() -> None:
    values = np.ones((2, 2))
    node = make_node(primitive("matmul"), [values, values])
    assert node is not None
    assert not can_lower(node)
    assert not can_lower(Node(Input(0), (), {}, type_of(values)))


def test_a_bool_of_any_byte_is_true_unless_zero() -> None:
    case = make_case("logical_not", np.arange(8, dtype=np.uint8).view(bool))
    assert case is not None
    run([case])
    np.testing.assert_array_equal(case.result, [True] + [False] * 7)
