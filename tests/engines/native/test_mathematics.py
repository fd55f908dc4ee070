"""Elementary functions in emitted code: accuracy, special values, the same bits everywhere."""

from __future__ import annotations

import ctypes
import itertools
import platform
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
import pytest
import scipy.special

from steepest.engines.native.assembly import Module, Type
from steepest.engines.native.mathematics import TRANSCENDENTALS
from steepest.engines.native.object_code import machine_code
from steepest.engines.native.processor import Processor, host_processor, processor

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
DTYPES = (SINGLE, DOUBLE)
ELEMENT = {SINGLE: "float", DOUBLE: "double"}
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
HAS_WIDE = np.finfo(np.longdouble).nmant >= 63

# What float64 is compared with; float32 is compared with float64.
WIDE: dict[np.dtype, np.dtype] = {SINGLE: DOUBLE, DOUBLE: np.dtype(np.longdouble)}


# -- compiling --------------------------------------------------------------------------------

Compiled = Callable[..., np.ndarray]


def lesser_processors() -> dict[str, Processor]:
    """Describe processors that have less than this one may have: it runs their code too."""
    if not IS_X86:
        return {}
    triple = host_processor().triple
    lesser = {"x86-64": processor(triple, "x86-64", "")}
    if {"+avx2", "+fma"} <= set(host_processor().features.split(",")):
        lesser["x86-64-v3"] = processor(triple, "x86-64-v3", "+avx2,+fma")
    return lesser


def module_text(dtype: np.dtype, lanes: int, target: Processor) -> str:
    """Write a loop over arrays for each function."""
    module = Module(target)
    kind = Type(ELEMENT[dtype], lanes)
    for name, case in CASES.items():
        parameters = [("i64", "n"), ("ptr noalias", "result")]
        parameters += [("ptr noalias", f"x{place}") for place in range(case.arity)]
        function = module.function(f"loop_{name}", None, parameters)
        end, result, *arguments = function.parameters
        with function.loop(end, step=max(lanes, 1)) as index:
            values = [
                function.load(kind, function.offset(each, kind.element, index))
                for each in arguments
            ]
            value = TRANSCENDENTALS[name](function, *values)
            function.store(value, function.offset(result, kind.element, index))
        function.give()
    return str(module)


@cache
def compiled(dtype: np.dtype, lanes: int, target: Processor) -> tuple[Any, dict[str, Compiled]]:
    code = machine_code(module_text(dtype, lanes, target), target)
    machine = llvm.Target.from_triple(target.triple).create_target_machine(codemodel="jitdefault")
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()

    def function(name: str) -> Compiled:
        address = engine.get_function_address(f"loop_{name}")
        pointers = [ctypes.c_void_p] * (CASES[name].arity + 1)
        native = ctypes.CFUNCTYPE(None, ctypes.c_int64, *pointers)(address)

        def call(*arguments: np.ndarray) -> np.ndarray:
            size = arguments[0].size
            padded = [np.resize(each, size + -size % 64).astype(dtype) for each in arguments]
            result = np.empty_like(padded[0])
            native(result.size, result.ctypes.data, *(each.ctypes.data for each in padded))
            return result[:size]

        return call

    return engine, {name: function(name) for name in CASES}


def emitted(name: str, dtype: np.dtype, lanes: int | None = None) -> Compiled:
    target = host_processor()
    lanes = target.lanes(dtype.itemsize * 8) if lanes is None else lanes
    return compiled(dtype, lanes, target)[1][name]


# -- the functions ----------------------------------------------------------------------------


class Case(NamedTuple):
    """A function, and the largest errors documented for it.

    Attributes
    ----------
    ulps : pair of float
        For float32 and float64, in units in the last place of the exact result.
    intervals : sequence of tuples
        Where to look closely, beside all magnitudes: low and high ends of the arguments, in turn,
        or of all of them.
    reference : callable, optional
        The function in a wider format, where NumPy and SciPy have none that is good enough.
    """

    arity: int
    ulps: tuple[float, float]
    intervals: Sequence[tuple[float, ...]]
    reference: Callable[..., np.ndarray] | None = None


def numpy_function(name: str) -> Callable[..., np.ndarray]:
    function: Callable[..., np.ndarray] = getattr(np, name, None) or getattr(scipy.special, name)
    return function


def exact_erfc(x: np.ndarray) -> np.ndarray:
    """Erfc in the format of x, to its last digits but few: a series, or a continued fraction."""
    kind = x.dtype.type
    root_of_pi = np.sqrt(kind(PI))
    magnitude = np.minimum(np.abs(x), 40)
    short = magnitude.astype(np.float32).astype(x.dtype)
    # The square of the short number is exact.
    exponential = np.exp(-short * short) * np.exp(-(magnitude - short) * (magnitude + short))
    fraction = np.maximum(magnitude, 2)
    for step in range(120, 0, -1):
        fraction = np.maximum(magnitude, 2) + kind(step) / 2 / fraction
    far = exponential / (root_of_pi * fraction)
    near = 1 - exact_erf_near_zero(magnitude, exponential / root_of_pi)
    result = np.where(magnitude < 2, near, far)
    return np.where(x < 0, 2 - result, np.where(np.isnan(x), x, result))


def exact_erf(x: np.ndarray) -> np.ndarray:
    magnitude = np.abs(x)
    near = exact_erf_near_zero(x, np.exp(-x * x) / np.sqrt(x.dtype.type(PI)))
    far: np.ndarray = np.copysign(1 - exact_erfc(magnitude), x)
    return np.where(magnitude < 2, near, far)


def exact_erf_near_zero(x: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Sum up 2 x (1 + 2x²/3 + (2x²)²/(3 · 5) + …), all of one sign, times exp(−x²) / √π."""
    x = np.where(np.abs(x) < 2, x, 0)
    term = total = np.ones_like(x)
    for step in range(1, 60):
        term = term * (2 * x * x) / (2 * step + 1)
        total = total + term
    result: np.ndarray = 2 * factor * x * total
    return result


PI = "3.14159265358979323846264338327950288"
AROUND_ZERO = ((-1.0, 1.0), (-1e-3, 1e-3), (-20.0, 20.0))
AROUND_ONE = ((0.5, 2.0), (0.99, 1.01), (0.0, 100.0))
POWERS = (
    *((0.0, 2.0, -200.0, 200.0), (0.99, 1.01, -7e4, 7e4), (0.0, 1e3, -10.0, 10.0)),
    *((0.9999, 1.0001, -8e5, 8e5), (0.0, 1e-30, -4.0, 4.0), (1e30, 1e38, -8.0, 8.0)),
)
ANGLES = ((-1.0, 1.0), (-10.0, 10.0), (-1e4, 1e4), (-1e6, 1e6), (1e8, 1e9))

CASES: dict[str, Case] = {
    "arccos": Case(1, (1.2, 1.2), AROUND_ZERO),
    "arccosh": Case(1, (1.7, 1.6), ((1.0, 1.1), (1.0, 10.0))),
    "arcsin": Case(1, (1.2, 1.2), AROUND_ZERO),
    "arcsinh": Case(1, (1.7, 1.6), AROUND_ZERO),
    "arctan": Case(1, (1.6, 1.6), (*AROUND_ZERO, (0.4, 0.6), (0.9, 1.1))),
    "arctan2": Case(2, (1.7, 1.6), (*AROUND_ZERO, (0.9, 1.1))),
    "arctanh": Case(1, (1.7, 1.6), ((-1.0, 1.0), (-1e-3, 1e-3), (0.9, 1.0))),
    "cbrt": Case(1, (0.51, 0.51), (*AROUND_ZERO, (0.3, 3.0))),
    "cos": Case(1, (0.9, 0.95), ANGLES),
    "cosh": Case(1, (1.4, 1.4), (*AROUND_ZERO, (80.0, 90.0), (700.0, 711.0))),
    "erf": Case(1, (1.1, 1.1), (*AROUND_ZERO, (0.8, 1.2), (1.0, 6.0)), exact_erf),
    "erfc": Case(1, (2.0, 2.9), (*AROUND_ZERO, (0.7, 0.9), (1.0, 10.0), (10.0, 28.0)), exact_erfc),
    "exp": Case(1, (0.9, 0.95), (*AROUND_ZERO, (-110.0, -80.0), (-750.0, 750.0))),
    "exp2": Case(1, (1.0, 1.1), (*AROUND_ZERO, (-150.0, -125.0), (-1080.0, 1030.0))),
    "expit": Case(1, (2.0, 2.0), (*AROUND_ZERO, (-104.0, -80.0), (-750.0, 100.0))),
    "expm1": Case(1, (1.3, 1.3), (*AROUND_ZERO, (-750.0, 750.0))),
    "hypot": Case(2, (1.1, 1.1), (*AROUND_ZERO, (0.9, 1.1))),
    "log": Case(1, (0.95, 0.9), AROUND_ONE),
    "log10": Case(1, (1.1, 1.0), AROUND_ONE),
    "log1p": Case(1, (1.6, 1.4), (*AROUND_ZERO, (-1.0, -0.9))),
    "log2": Case(1, (1.2, 1.1), AROUND_ONE),
    "log_expit": Case(1, (1.8, 1.7), (*AROUND_ZERO, (-750.0, 750.0))),
    "logaddexp": Case(2, (2.0, 1.7), ((0.0, 0.0, -20.0, 20.0), (1.0, 20.0), (0.0, 1000.0))),
    "logaddexp2": Case(2, (2.0, 2.0), ((0.0, 0.0, -20.0, 20.0), (1.0, 20.0), (0.0, 1000.0))),
    "power": Case(2, (0.6, 0.95), POWERS),
    "sin": Case(1, (0.9, 0.95), ANGLES),
    "sinh": Case(1, (1.8, 1.8), (*AROUND_ZERO, (80.0, 90.0), (700.0, 711.0))),
    "sqrt": Case(1, (0.5, 0.5), AROUND_ONE),
    "tan": Case(1, (1.2, 1.2), ANGLES),
    "tanh": Case(1, (1.65, 1.6), AROUND_ZERO),
}
# The numbers nearest to a multiple of π/2, as tabulated in J.-M. Muller, "Elementary Functions",
# third edition, 2016.
NEAREST_TO_HALF_PI = {SINGLE: 16367173 * 2.0**72, DOUBLE: 6381956970095103 * 2.0**797}
# What AVX-512 corrects from an estimate, to other bits.
ESTIMATED = [("expit", SINGLE), ("tanh", SINGLE)]
BITS_DRAWN = 60_000
DRAWN_OF_INTERVAL = 10_000

INFINITY, NAN = np.inf, np.nan
SPECIAL = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -2.0,
    3.0,
    -3.0,
    0.5,
    -0.5,
    INFINITY,
    -INFINITY,
    NAN,
    1e4,
    -1e4,
)


def random_bits(generator: np.random.Generator, dtype: np.dtype, size: int) -> np.ndarray:
    """Draw any numbers there are: subnormal, infinite and NaN ones, of all magnitudes."""
    bits = generator.integers(0, 256, size * dtype.itemsize, dtype=np.uint8)
    return bits.view(dtype)


def sample(name: str, dtype: np.dtype) -> list[np.ndarray]:
    case = CASES[name]
    generator = np.random.default_rng(list(name.encode()))
    parts = [[random_bits(generator, dtype, BITS_DRAWN) for _ in range(case.arity)]]
    if name.startswith("logaddexp"):
        parts.clear()  # where they are not both positive, the sum cancels as NumPy's does
    if name in ("cos", "sin", "tan"):
        multiples = 2.0 ** generator.uniform(0, 40, DRAWN_OF_INTERVAL)
        parts.append([(np.rint(multiples) * (np.pi / 2)).astype(dtype)])
        parts.append([np.array([NEAREST_TO_HALF_PI[dtype]], dtype)])
    for interval in case.intervals:
        ends = itertools.cycle(zip(interval[::2], interval[1::2], strict=True))
        draw = [generator.uniform(*next(ends), DRAWN_OF_INTERVAL) for _ in range(case.arity)]
        parts.append([each.astype(dtype) for each in draw])
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def errors_in_ulps(result: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Distances from a wider result, in units in the last place of the narrower format."""
    limits = np.finfo(result.dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(result.dtype)
        same = (result == rounded) | (np.isnan(result) & np.isnan(exact))
        exponent = np.maximum(np.frexp(exact)[1] - 1, limits.minexp)
        unit = np.ldexp(exact.dtype.type(1), exponent - limits.nmant)
        error = np.abs(result.astype(exact.dtype) - exact) / unit
    error = np.where(np.isfinite(error), error, np.inf)
    return np.where(same & ~np.isfinite(rounded), 0, error)


# -- accuracy ---------------------------------------------------------------------------------


def test_every_function_is_tested() -> None:
    assert set(CASES) == set(TRANSCENDENTALS)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_error_is_within_its_bound(name: str, dtype: np.dtype) -> None:
    if dtype == DOUBLE and not HAS_WIDE:
        pytest.skip("long double is double here")
    check_error(name, dtype, emitted(name, dtype))


def check_error(name: str, dtype: np.dtype, function: Compiled) -> None:
    case = CASES[name]
    arguments = sample(name, dtype)
    result = function(*arguments)
    with np.errstate(all="ignore"):
        reference = case.reference or numpy_function(name)
        exact = reference(*(each.astype(WIDE[dtype]) for each in arguments))
    errors = errors_in_ulps(result, exact)
    worst = int(np.argmax(errors))
    assert errors[worst] <= case.ulps[DTYPES.index(dtype)], (
        [each[worst] for each in arguments],
        result[worst],
        exact[worst],
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_sum_of_negative_logarithms_cancels_no_more_than_numpys(dtype: np.dtype) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.uniform(-30, 0, (2, 20_000)).astype(dtype)
    exact = np.logaddexp(x.astype(WIDE[dtype]), y.astype(WIDE[dtype]))
    unit = np.spacing(np.maximum(np.abs(np.maximum(x, y)), np.abs(exact).astype(dtype)))
    error = np.max(np.abs(emitted("logaddexp", dtype)(x, y) - exact) / unit)
    assert error <= np.max(np.abs(np.logaddexp(x, y) - exact) / unit) + 1


# -- special values ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_special_values_are_numpys(name: str, dtype: np.dtype) -> None:
    case = CASES[name]
    points = np.array(list(itertools.product(SPECIAL, repeat=case.arity)), dtype)
    arguments = list(points.T)
    result = emitted(name, dtype)(*arguments)
    with np.errstate(all="ignore"):
        expected = numpy_function(name)(*arguments)
    # Infinities, NaN and zeros with their signs, exactly; other values are tested above.
    special = ~np.isfinite(expected) | (expected == 0) | ~np.isfinite(result) | (result == 0)
    np.testing.assert_array_equal(result[special], expected[special])
    signs = special & ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result[signs]), np.signbit(expected[signs]))


# -- the same bits everywhere -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("lanes", [0, 2, 4, 8, 64])
@pytest.mark.parametrize("name", CASES)
def test_scalars_and_vectors_give_the_same_bits(name: str, lanes: int, dtype: np.dtype) -> None:
    arguments = [each[::20] for each in sample(name, dtype)]
    np.testing.assert_array_equal(
        emitted(name, dtype, lanes)(*arguments), emitted(name, dtype)(*arguments)
    )


@pytest.mark.skipif(not IS_X86, reason="describes processors of this kind")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("target", lesser_processors().values(), ids=lesser_processors())
def test_lesser_processors_give_the_same_bits(target: Processor, dtype: np.dtype) -> None:
    functions = compiled(dtype, target.lanes(dtype.itemsize * 8), target)[1]
    for name, function in functions.items():
        if (name, dtype) in ESTIMATED and host_processor().has_avx_512:
            continue
        arguments = [each[::20] for each in sample(name, dtype)]
        np.testing.assert_array_equal(
            function(*arguments), emitted(name, dtype)(*arguments), err_msg=name
        )


@pytest.mark.skipif(not IS_X86, reason="describes processors of this kind")
@pytest.mark.parametrize("target", lesser_processors().values(), ids=lesser_processors())
@pytest.mark.parametrize(("name", "dtype"), ESTIMATED)
def test_errors_without_estimates_are_within_their_bounds(
    name: str, dtype: np.dtype, target: Processor
) -> None:
    functions = compiled(dtype, target.lanes(dtype.itemsize * 8), target)[1]
    check_error(name, dtype, functions[name])
    assert "avx512" not in module_text(dtype, 4, target)


def test_it_compiles_for_other_families_of_processors() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    arm = processor("aarch64-unknown-linux-gnu", "generic", "+neon")
    for dtype in DTYPES:
        text = module_text(dtype, arm.lanes(dtype.itemsize * 8), arm)
        assert machine_code(text, arm)
