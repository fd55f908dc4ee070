"""Matrix products: the right numbers for all shapes and strides, and nothing else touched."""

import ctypes
import itertools
import mmap
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest

from steepest.engines.native import blas, products
from steepest.engines.native.assembly import DOUBLE, Module
from steepest.engines.native.loading import Loaded, load
from steepest.engines.native.object_code import machine_code
from steepest.engines.native.partition import piece_of
from steepest.engines.native.processor import Processor, host_processor, processor
from steepest.engines.native.products import Product, choose, product_function

HOST = host_processor()
PROCESSORS = {"host": HOST}
if HOST.triple.startswith("x86_64"):
    PROCESSORS["x86-64-v2"] = processor(HOST.triple, "x86-64-v2", "")
    if "+avx2" in HOST.features.split(",") and "+fma" in HOST.features.split(","):
        PROCESSORS["x86-64-v3"] = processor(HOST.triple, "x86-64-v3", "+avx2,+fma")
every_processor = pytest.mark.parametrize("target", PROCESSORS.values(), ids=PROCESSORS)

Way = Literal["emitted", "blas"]
SIZES = (1, 2, 3, 7, 13, 16, 17, 31, 33, 64, 65, 100, 784)
CANARY = 12345.0
MARGIN = 24  # entries before and after an array, more than a vector has
# How an operand lies in memory.
LAYOUTS = ("rows", "columns", "rows with gaps", "columns with gaps", "all with gaps")
ALLOCATION = re.compile(r"= alloca (?:<(\d+) x )?double>?, i64 (\d+)")


class Case(NamedTuple):
    left: np.ndarray
    right: np.ndarray
    result_stride: int

    @property
    def product(self) -> Product:
        return Product(
            self.left.shape[0],
            self.right.shape[1],
            self.left.shape[1],
            {"f": "float", "d": "double"}[self.left.dtype.char],
            strides(self.left),
            strides(self.right),
            self.result_stride,
        )


def strides(x: np.ndarray) -> tuple[int, int]:
    first, second = (each // x.itemsize for each in x.strides)
    return first, second


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """Copy a matrix to a layout, its gaps full of NaN."""
    rows, columns = x.shape
    full = {
        "rows": np.full((rows, columns), np.nan, x.dtype),
        "columns": np.full((columns, rows), np.nan, x.dtype).T,
        "rows with gaps": np.full((rows, columns + 5), np.nan, x.dtype)[:, :columns],
        "columns with gaps": np.full((columns, rows + 3), np.nan, x.dtype)[:, :rows].T,
        "all with gaps": np.full((rows, 2, columns, 3), np.nan, x.dtype)[:, 1, :, 2],
    }[layout]
    full[...] = x
    return full


def case(
    shape: tuple[int, int, int],
    layouts: tuple[str, str] = ("rows", "rows"),
    dtype: Any = np.float32,
    gap: int = 0,
    seed: int = 0,
) -> Case:
    rows, inner, columns = shape
    random = np.random.default_rng(seed)
    left = random.standard_normal((rows, inner)).astype(dtype)
    right = random.standard_normal((inner, columns)).astype(dtype)
    return Case(laid_out(left, layouts[0]), laid_out(right, layouts[1]), columns + gap)


@cache
def awkward_cases() -> list[Case]:
    """Shapes and layouts in all mixtures, not all of them."""
    random = np.random.default_rng(5)
    cases = []
    for seed in range(110):
        rows, inner, columns = (int(each) for each in random.choice(SIZES, 3))
        if rows * inner * columns > 10_000_000:
            rows = 13
        layouts = (LAYOUTS[int(random.integers(5))], LAYOUTS[int(random.integers(5))])
        dtype = (np.float32, np.float64)[seed % 2]
        cases.append(case((rows, inner, columns), layouts, dtype, 3 * (seed % 3), seed))
    return cases


def build(
    cases: Sequence[Case], target: Processor, way: Way, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Callable[[int, int, int], None]], Loaded]:
    """Compile products, of all cases in one module, in one of the two ways."""
    monkeypatch.setattr(products, "choose", lambda _product, _processor: way)
    module = Module(target)
    names = [product_function(module, each.product, target) for each in cases]
    # What products find on the stack, where they keep copies, is NaN.
    litter = module.function("litter", None, [], attributes="noinline")
    memory = litter.allocate(DOUBLE, 2**16)
    with litter.loop(2**16) as index:
        litter.store(litter.constant(DOUBLE, np.nan), litter.offset(memory, "double", index))
    litter.do(f'call void asm sideeffect "", "r,~{{memory}}"({memory})')
    litter.give()
    for number, name in enumerate(names):
        outer = module.function(f"run{number}", None, [("ptr", each) for each in "abc"])
        outer.do("call void @litter()")
        outer.do(f"call void @{name}({', '.join(map(str, outer.parameters))})")
        outer.give()
    loaded = load(machine_code(str(module), target), blas.symbols())
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return [kind(loaded.address(f"run{number}")) for number in range(len(cases))], loaded


def run(function: Callable[[int, int, int], None], each: Case) -> np.ndarray:
    """Compute a product, and see that nothing is written but the result."""
    rows, columns, stride = each.left.shape[0], each.right.shape[1], each.result_stride
    dtype = each.left.dtype
    memory = np.full(2 * MARGIN + rows * stride, CANARY, dtype)
    before = each.left.copy(), each.right.copy()
    function(
        each.left.ctypes.data,
        each.right.ctypes.data,
        memory.ctypes.data + MARGIN * dtype.itemsize,
    )
    for array, copy in zip((each.left, each.right), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    body = memory[MARGIN : MARGIN + rows * stride].reshape(rows, stride)
    assert np.all(memory[:MARGIN] == CANARY)
    assert np.all(memory[MARGIN + rows * stride :] == CANARY)
    assert np.all(body[:, columns:] == CANARY)
    return body[:, :columns]


def check(function: Callable[[int, int, int], None], each: Case) -> None:
    """Compare with float64, or for float64 with extended precision where there is one."""
    result = run(function, each)
    exact = np.float64 if each.left.dtype == np.float32 else np.longdouble
    left: np.ndarray[Any, np.dtype[np.floating]] = each.left.astype(exact)
    right: np.ndarray[Any, np.dtype[np.floating]] = each.right.astype(exact)
    # An accumulator adds up at most 256 products, and then there are few sums of sums.
    steps = min(each.left.shape[1], 256) + each.left.shape[1] / 256 + 8
    bound = np.abs(left) @ np.abs(right) * np.finfo(each.left.dtype).eps * np.sqrt(steps)
    np.testing.assert_array_less(np.abs(result - left @ right), bound + 1e-300, str(each.product))


@every_processor
def test_awkward_shapes_and_strides(target: Processor, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = awkward_cases()
    functions, _loaded = build(cases, target, "emitted", monkeypatch)
    for function, each in zip(functions, cases, strict=True):
        check(function, each)


# Shapes of training steps, and what divides into blocks of the inner index and of the columns.
LARGE = {
    "layer": case((256, 784, 128)),
    "last layer": case((256, 784, 10)),
    "gradient of weights": case((784, 256, 10), ("columns", "rows")),
    "gradient of inputs": case((256, 10, 128), ("rows", "columns")),
    "two features": case((256, 64, 2), ("rows", "columns")),
    "outer": case((65, 1, 100)),
    "one row": case((1, 784, 128), dtype=np.float64),
    "one row, transposed": case((1, 784, 128), ("rows", "columns")),
    "many rows": case((3000, 30, 1), dtype=np.float64),
    "long sums by columns": case((30, 10_007, 1), ("columns", "rows"), np.float64),
    "long sums, few columns": case((5, 10_007, 3)),
    "long sums by rows": case((2, 10_007, 2), ("rows", "columns")),
    "long dot product": case((1, 100_003, 1)),
    "many columns": case((33, 300, 1100)),
    "many columns, transposed": case((33, 300, 1100), ("columns", "columns")),
    "steps that collide": case((70, 256, 1024), ("columns", "rows")),
    "result by rows": case((784, 601, 7), ("columns", "rows"), gap=2),
    "copied, with an edge": case((300, 300, 302)),
    "two columns too many": case((100, 100, 50)),
    "two columns too many, transposed": case((100, 100, 50), ("columns", "rows"), gap=3),
    "four columns too many": case((50, 100, 20), ("columns", "rows")),
    "five columns too many": case((37, 64, 29), ("columns", "rows"), np.float64),
    "a row too many": case((33, 40, 300), ("columns", "columns")),
    "scattered column": case((100, 50, 1), ("columns", "rows"), gap=4),
}


@every_processor
def test_large_shapes(target: Processor, monkeypatch: pytest.MonkeyPatch) -> None:
    functions, _loaded = build([*LARGE.values()], target, "emitted", monkeypatch)
    for function, each in zip(functions, LARGE.values(), strict=True):
        check(function, each)


@every_processor
def test_what_is_divided_is_covered_and_not_cut(target: Processor) -> None:
    divided = 0
    for rows, inner, columns in itertools.product((16, 33, 50, 100), (3, 64), (5, 18, 50, 66)):
        product = case((rows, inner, columns)).product
        parts = products._parts(products._problem(product), product.element, target)
        if parts:
            divided += 1
            covered = np.zeros((rows, columns), int)
            for each in parts:
                end = each.row + each.problem.rows, each.column + each.problem.columns
                covered[each.row : end[0], each.column : end[1]] += 1
            assert np.all(covered == 1)
            assert products.cut(product, target, 2, 8) is None
    assert divided


@every_processor
@pytest.mark.parametrize("way", ["emitted", "blas"])
def test_nothing_to_add_up_gives_zeros(
    target: Processor, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [case((3, 0, 5), gap=2), case((0, 4, 5)), case((3, 4, 0))]
    functions, _loaded = build(cases, target, way, monkeypatch)
    for function, each in zip(functions, cases, strict=True):
        assert np.all(run(function, each) == 0)


def test_a_stride_of_zero_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    row, column = (random.standard_normal(each).astype(np.float32) for each in (33, 40))
    one = np.float32(1.5)
    cases = [
        Case(np.broadcast_to(row, (40, 33)), case((33, 17, 20)).left, 17),
        Case(case((7, 40, 1)).left, np.broadcast_to(column[:, None], (40, 21)), 21),
        Case(np.broadcast_to(one, (20, 30)), np.broadcast_to(one, (30, 19)), 19),
    ]
    for way in ("emitted", "blas"):
        functions, _loaded = build(cases, HOST, way, monkeypatch)
        for function, each in zip(functions, cases, strict=True):
            check(function, each)


@every_processor
def test_what_is_not_finite_goes_where_it_belongs(
    target: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [
        case((9, 37, 21), layouts)
        for layouts in (("rows", "rows"), ("columns", "rows"), ("rows", "columns"))
    ]
    cases += [case((256, 70, 3)), case((70, 256, 10), ("columns", "rows"))]
    functions, _loaded = build(cases, target, "emitted", monkeypatch)
    for function, each in zip(functions, cases, strict=True):
        for operand in (each.left, each.right):
            before = operand[2, -1]
            for special in (np.nan, np.inf, -np.inf):
                operand[2, -1] = special
                with np.errstate(invalid="ignore"):
                    expected = each.left.astype(np.float64) @ each.right
                np.testing.assert_allclose(run(function, each), expected, rtol=1e-3, atol=1e-3)
            operand[2, -1] = before


@pytest.mark.parametrize("layout", ["rows", "columns"])
@every_processor
def test_long_sums_are_added_up_in_parts(
    target: Processor, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = 4, 100_003, 5
    each = case(shape, (layout, "rows"))
    each.left[...], each.right[...] = 0.1, 1
    (function,), _loaded = build([each], target, "emitted", monkeypatch)
    expected = shape[1] * np.float64(np.float32(0.1))
    # One after the other, the error is ten times as large.
    np.testing.assert_allclose(run(function, each), expected, rtol=2e-5)


class Guarded:
    """Pages of memory between two that must not be touched."""

    def __init__(self, entries: int) -> None:
        page = mmap.PAGESIZE
        self.size = -(-entries * 8 // page) * page
        self._memory = mmap.mmap(-1, self.size + 2 * page)
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory)) + page
        protect = ctypes.CDLL(None).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for guard in (self.start - page, self.start + self.size):
            assert protect(guard, page, 0) == 0

    def array(self, like: np.ndarray, at_end: bool) -> np.ndarray:
        """Copy an array, with its strides, to the start or to the end of the memory."""
        span = sum((n - 1) * s for n, s in zip(like.shape, like.strides, strict=True))
        start = self.start + (self.size - span - like.itemsize if at_end else 0)
        flat = (ctypes.c_char * (span + like.itemsize)).from_address(start)
        copy: np.ndarray = np.ndarray(like.shape, like.dtype, flat, 0, like.strides)
        copy[...] = like
        return copy


@pytest.mark.skipif(os.name != "posix", reason="memory is protected in another way")
@every_processor
def test_no_entry_outside_is_touched(target: Processor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that reads or writes a guarded page ends."""
    cases = [
        each
        for each in [*LARGE.values(), *awkward_cases()]
        if max(each.left.size, each.right.size) < 400_000
    ][:60]
    functions, _loaded = build(cases, target, "emitted", monkeypatch)
    memories = [Guarded(2**19) for _ in range(3)]
    for number, (function, each) in enumerate(zip(functions, cases, strict=True)):
        rows, columns = each.left.shape[0], each.right.shape[1]
        result = np.zeros((rows, each.result_stride), each.left.dtype)[:, :columns]
        arrays = [
            memory.array(array, number % 2 == 0)
            for memory, array in zip(memories, (each.left, each.right, result), strict=True)
        ]
        function(*(array.ctypes.data for array in arrays))
        exact = each.left.astype(np.float64) @ each.right
        np.testing.assert_allclose(arrays[2], exact, rtol=1e-2, atol=1e-2)


BLAS_CASES = [
    case((13, 17, 31), (left, right), dtype, gap)
    for left in LAYOUTS
    for right in LAYOUTS
    for dtype, gap in ((np.float32, 0), (np.float64, 3))
]
BLAS_CASES += [
    case(shape, layouts)
    for shape in ((1, 30, 1), (1, 7, 9), (9, 7, 1), (9, 1, 7))
    for layouts in (("rows", "rows"), ("columns", "columns"))
]


def test_calls_of_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    functions, _loaded = build(BLAS_CASES, HOST, "blas", monkeypatch)
    for function, each in zip(functions, BLAS_CASES, strict=True):
        check(function, each)


def test_blas_is_called_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "choose", lambda _product, _processor: "blas")
    for each in BLAS_CASES[:50]:
        module = Module()
        product_function(module, each.product, HOST)
        can = 1 in strides(each.left) and 1 in strides(each.right)
        assert ("gemm" in str(module)) == can


def test_the_choice() -> None:
    wide = Processor("x86_64-unknown-linux-gnu", "znver4", "", 512, has_masks=True)
    middle = Processor("x86_64-unknown-linux-gnu", "x86-64-v3", "", 256, has_masks=False)
    narrow = Processor("arm64-apple-darwin", "apple-m1", "", 128, has_masks=False)
    small, large = (
        Product(size, size, size, "float", (size, 1), (size, 1), size) for size in (32, 2048)
    )
    strided = Product(2048, 2048, 2048, "float", (9999, 2), (2048, 1), 2048)
    table = [
        (small, wide, "emitted"),
        (large, wide, "emitted"),
        (small, middle, "emitted"),
        (large, middle, "blas"),
        (small, narrow, "emitted"),
        (large, narrow, "blas"),
        (strided, narrow, "emitted"),
    ]
    for product, target, expected in table:
        assert choose(product, target) == expected


def prefetches(product: Product, name: str) -> int:
    """Count what the code of a product asks for ahead, on a processor with AVX-512."""
    target = Processor("x86_64-unknown-linux-gnu", name, "", 512, has_masks=True)
    module = Module(target)
    product_function(module, product, target)
    return str(module).count("call void @llvm.prefetch")


@pytest.mark.parametrize(
    ("shape", "layout", "asks"),
    [
        pytest.param((784, 256, 128), "columns", True, id="columns of a large left matrix"),
        pytest.param((256, 784, 128), "rows", True, id="rows of a large right matrix"),
        pytest.param((256, 64, 64), "rows", False, id="a right matrix that the cache holds"),
        pytest.param((64, 32, 32), "columns", False, id="matrices that the cache holds"),
        pytest.param((64, 20, 600), "rows", False, id="few steps"),
    ],
)
def test_what_steps_jump_to_is_asked_for_ahead(
    shape: tuple[int, int, int], layout: str, asks: bool
) -> None:
    product = case(shape, (layout, "rows")).product
    assert (prefetches(product, "sapphirerapids") > 0) == asks
    # These were measured to need none.
    assert not prefetches(product, "znver5")


@pytest.mark.skipif(not HOST.is_x86, reason="no other processor is asked")
@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_what_is_copied_next_is_asked_for_line_by_line(
    layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def note(function: Any, pointer: Any, level: int = 0) -> None:
        function.module.declare("asked", "declare void @asked(ptr)")
        function.do(f"call void @asked({pointer})")

    left, right = np.ones((300, 512), "f4"), laid_out(np.ones((512, 1100), "f4"), layout)
    each = Case(left, right, 1100)
    target = replace(HOST, name="generic")
    monkeypatch.setattr(products, "prefetch", note)
    module = Module(target)
    name = product_function(module, each.product, target, linkage="")
    take = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(asked.append)
    address = ctypes.cast(take, ctypes.c_void_p).value
    assert address is not None
    loaded = load(machine_code(str(module), target), {"asked": address})
    result = np.empty((300, 1100), "f4")
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3)
    kind(loaded.address(name))(left.ctypes.data, right.ctypes.data, result.ctypes.data)
    np.testing.assert_array_equal(result, 512)
    places = np.array(asked) - right.ctypes.data
    assert places.min() >= 0
    assert places.max() < right.nbytes
    # All but what is copied first, and columns that fill no tile.
    assert len(np.unique(places // 64)) > 0.85 * right.nbytes / 64


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Have products that may copy rows of the left matrix together do so; note each time."""
    found: list[int] = []
    each_group = products._Emitter._each_group

    def note(emitter: Any, *arguments: Any) -> None:
        found.append(1)
        each_group(emitter, *arguments)

    monkeypatch.setattr(products._Emitter, "_each_group", note)
    every_plan = products._broadcast_plans

    def such_plans(*arguments: Any) -> list[Any]:
        plans = every_plan(*arguments)
        return [each for each in plans if each.packed and each.rows == 8 and not each.transposed]

    monkeypatch.setattr(products, "_broadcast_plans", such_plans)
    monkeypatch.setattr(products, "_dot_plans", lambda *arguments: [])
    products._plan.cache_clear()
    yield found
    products._plan.cache_clear()


# Rows that end within a line, or a tile; one block of steps, several, and an odd number.
GROUPED = [(200, 256, 700), (37, 600, 900), (44, 300, 1100), (100, 131, 1500)]


@pytest.mark.skipif(not HOST.is_x86, reason="other processors copy no left matrix")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", GROUPED)
def test_lines_of_a_left_matrix_are_read_once(
    shape: tuple[int, int, int], dtype: Any, groups: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    target, each = replace(HOST, name="generic"), case(shape, ("columns", "rows"), dtype, 3)
    functions, _loaded = build([each], target, "emitted", monkeypatch)
    assert bool(groups) == (not target.lanes(8 * each.left.itemsize) % 8)
    check(functions[0], each)
    # Nothing is read behind the left matrix.
    memory = Guarded(2**19)
    check(functions[0], each._replace(left=memory.array(each.left, True)))


@pytest.mark.skipif(not HOST.is_x86, reason="other processors copy no left matrix")
@pytest.mark.parametrize(("axis", "size"), [("rows", 8), ("rows", 72), ("columns", 192)])
def test_pieces_of_such_a_product(axis: str, size: int, groups: list[int]) -> None:
    target, each = replace(HOST, name="generic"), case((200, 300, 700), ("columns", "rows"))
    extent = each.product.rows if axis == "rows" else each.product.columns
    module = Module(target)
    names = [
        product_function(module, product, target, linkage="")
        for product in (
            each.product,
            piece_of(each.product, axis, size),
            piece_of(each.product, axis, extent % size or size),
        )
    ]
    assert bool(groups) == (target.lanes(32) >= 8)
    loaded = load(machine_code(str(module), target), {})
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3)
    whole, piece, last = (kind(loaded.address(name)) for name in names)
    results = [np.full((200, 700), np.nan, "f4") for _ in range(2)]
    left, right = each.left.ctypes.data, each.right.ctypes.data
    whole(left, right, results[0].ctypes.data)
    for start in range(0, extent, size):
        moved = (start, 0, 700 * start) if axis == "rows" else (0, start, start)
        places = (left, right, results[1].ctypes.data)
        function = piece if start + size <= extent else last
        function(*(place + 4 * entries for place, entries in zip(places, moved, strict=True)))
    np.testing.assert_array_equal(results[0], results[1])


def test_a_product_is_added_once() -> None:
    module = Module()
    one = case((1, 5, 4)).product
    # The stride between rows does not matter to a single one.
    same = Product(1, 4, 5, "float", (99, 1), (4, 1), 77)
    assert product_function(module, one, HOST) == product_function(module, same, HOST)
    assert str(module).count("define") == 1
    other = case((1, 5, 4), dtype=np.float64).product
    assert product_function(module, other, HOST) != product_function(module, one, HOST)


def test_the_assembly_is_the_same_each_time() -> None:
    def text() -> str:
        module = Module()
        for each in LARGE.values():
            product_function(module, each.product, HOST)
        return str(module)

    first = text()
    products._plan.cache_clear()
    assert text() == first


@every_processor
def test_a_thread_has_enough_stack(target: Processor) -> None:
    sizes = (1, 5, 100, 1_000_000)
    for rows in sizes:
        for inner in sizes:
            for columns in sizes:
                for left in ((inner, 1), (1, rows), (2 * inner, 2)):
                    for right in ((columns, 1), (1, inner), (2 * columns, 2)):
                        product = Product(rows, columns, inner, "double", left, right, columns)
                        module = Module()
                        parameters = products._parameters(product)
                        function = module.function("product", None, parameters)
                        products._emit(function, product, target, None)
                        reserved = sum(
                            max(int(lanes or 1), 1) * int(count) * 8
                            for lanes, count in ALLOCATION.findall(str(module))
                        )
                        assert reserved < 512 * 1024, product


class Counter:
    """A BLAS with threads."""

    def __init__(self) -> None:
        self.count = 4
        self.set: list[int] = []

    def openblas_get_num_threads(self) -> int:
        return self.count

    def openblas_set_num_threads(self, count: int) -> None:
        self.count = count
        self.set.append(count)


def test_one_thread_while_anyone_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Counter()
    threads = blas._Threads(library)
    monkeypatch.setattr(blas, "_threads", lambda: threads)
    entered, leave = threading.Event(), threading.Event()

    def elsewhere() -> None:
        with blas.single_threaded():
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=elsewhere)
    with blas.single_threaded():
        with blas.single_threaded():
            assert library.count == 1
        assert library.count == 1
        other.start()
        entered.wait(10)
    assert library.count == 1
    leave.set()
    other.join()
    assert library.count == 4
    with pytest.raises(ZeroDivisionError), blas.single_threaded():
        _ = 1 / 0
    assert library.count == 4
    library.count = 1
    library.set.clear()
    with blas.single_threaded():
        pass
    assert library.set == []


def test_a_blas_without_known_threads_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = blas._Threads(object())
    monkeypatch.setattr(blas, "_threads", lambda: threads)
    with blas.single_threaded():
        pass


def test_scipys_blas_is_held_to_one_thread_and_released() -> None:
    threads = blas._threads()
    before = threads._get()
    with blas.single_threaded():
        assert threads._get() == 1
    assert threads._get() == before
