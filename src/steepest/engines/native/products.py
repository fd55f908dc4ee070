"""Products of two matrices whose shapes are known: code for exactly these shapes.

A tile of the result stays in registers while the inner index runs. Two forms of tile:

- *broadcast*: vectors run along the columns of the result; an entry of the left matrix, broadcast,
  multiplies entries of a row of the right one;
- *dot*: vectors run along the inner index; each entry of the result has an accumulator, whose
  entries are added up at the end.

Either form also computes the transposed product (resultᵀ = rightᵀ · leftᵀ), and either first copies
the right matrix, block by block, to where its vectors are contiguous when they are not. Of a large
transposed left matrix, rows whose entries share lines are copied together on some processors.
`_plan` estimates the cycles of each way and takes the least. The blocking follows Goto and van de
Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34(3), 2008.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Literal, NamedTuple, Protocol

from steepest.engines.native.assembly import (
    BOOL,
    INT64,
    POINTER,
    Function,
    Module,
    Type,
    Value,
)
from steepest.engines.native.processor import Processor

__all__ = [
    "Finish",
    "Listed",
    "Product",
    "can_finish",
    "can_list",
    "choose",
    "cut",
    "prefetch",
    "product_cycles",
    "product_function",
    "shuffled",
    "transposed",
]


Listed = Literal["rows", "inner"] | None


@dataclass(frozen=True, slots=True)
class Product:
    """result[rows, columns] = left[rows, inner] @ right[inner, columns]; strides count entries.

    Attributes
    ----------
    rows, columns, inner : int
        The shape.
    element : str
        "float" or "double".
    left_strides : tuple of int
        From row to row, and along the inner index. Not negative.
    right_strides : tuple of int
        Along the inner index, and from column to column. Not negative.
    result_stride : int
        From row to row of the result, whose columns are contiguous.
    whole : Product or None
        What this is a piece of: it is computed in the same way, bit by bit.
    listed : str or None
        "rows" where the rows of the left matrix, or "inner" where its columns, are some rows of a
        larger matrix. Their numbers are in a list, the fourth argument of the function.
    copies : bool
        Whether the function copies listed rows, one after the other, to where its fifth argument
        points.
    """

    rows: int
    columns: int
    inner: int
    element: str
    left_strides: tuple[int, int]
    right_strides: tuple[int, int]
    result_stride: int
    whole: Product | None = None
    listed: Listed = None
    copies: bool = False


class Finish(Protocol):
    """What is done with the entries of a result where they are complete, in registers.

    The function of such a product writes nothing else, and returns flags.

    Attributes
    ----------
    parameters : sequence of (str, str)
        What the function has behind its own parameters; see `Module.function`.
    key : hashable
        What is done: others with the same key do the same.
    """

    parameters: Sequence[tuple[str, str]]
    key: Hashable

    def begin(self, function: Function, given: Sequence[Value]) -> None:
        """Begin the function, whose further arguments are given."""

    def begin_tile(self, row: Value | int, column: Value | int, extents: tuple[int, int]) -> None:
        """Begin a tile of some rows and columns at its first row and column."""

    def take(self, row: int, column: int, vector: Value, active: int) -> None:
        """Take the first entries of a vector, or a single one, by their place in the tile."""

    def end_tile(self) -> None:
        """End a tile."""

    def flags(self) -> Value:
        """Compute what the function returns."""


@dataclass(frozen=True, slots=True)
class _Problem:
    """A product as the emitter sees it: the result's columns may have a stride too."""

    rows: int
    columns: int
    inner: int
    left: tuple[int, int]  # (row, inner)
    right: tuple[int, int]  # (inner, column)
    result: tuple[int, int]  # (row, column)
    listed: Listed = None
    copies: bool = False

    @property
    def transposed(self) -> _Problem:
        return _Problem(
            self.columns,
            self.rows,
            self.inner,
            self.right[::-1],
            self.left[::-1],
            self.result[::-1],
        )


class _Plan(NamedTuple):
    """How a product is computed.

    Attributes
    ----------
    cycles : float
        The estimate.
    lanes : int
        Entries of a vector.
    rows, columns : int
        Size of a tile; its columns are vectors in the broadcast form.
    packed : bool
        Whether the right matrix is copied.
    unrolled : bool
        Whether there are no loops.
    """

    cycles: float
    form: Literal["broadcast", "dot"]
    transposed: bool
    lanes: int
    rows: int
    columns: int
    packed: bool
    unrolled: bool


# Entries that an accumulator adds up before the sum goes to the result: bounds the rounding error
# of long sums.
_BLOCK = 256
# Bytes of the copy of a part of the right matrix, on the stack and in the second-level cache.
_SCRATCH = 256 * 1024
# The same, where parts of the left matrix are copied again for each.
_SCRATCH_BESIDE = 384 * 1024
# Rows of tiles of which these parts are made, and how much longer tiles of others take.
_GROUPED = 8
_UNGROUPED = 1.08
# Bytes that stay in the second-level cache, beside others.
_SECOND_CACHE = 512 * 1024
# Bytes of a right matrix of which what is copied next is not asked for: it may be there already.
_NEAR = 2 * 1024 * 1024
# Bytes that stay in the first-level cache, and how many lines at multiples of a page from each
# other it holds.
_FIRST_CACHE = 32 * 1024
_PAGE = 4096
_WAYS = 8
# How much longer a tile of more such rows takes.
_COLLIDING = 1.06
# How much longer dot products take on a processor that asks ahead where what a tile reads does not
# stay in the first-level cache.
_CROWDED = 1.2
# Rows of the next tile that are asked for ahead in each panel, where they may lie anywhere.
_MOST_AHEAD = 6
# Rows of a tile that may lie anywhere: the address of each takes a register.
_MOST_LISTED = 6
# How much longer, by the estimate, a product with a list may take: nothing is copied before it.
_AS_FAST = 1.1
# Where a line that is asked for ahead goes: LLVM's numbers of the two caches.
_FIRST, _SECOND = 3, 2
# Cycles that a step of the broadcast form takes beside its multiply-adds and loads, on such a
# processor.
_TURN = 0.75
# Steps of a tile that are written one after the other in a loop, of large products on such a
# processor.
_TOGETHER = 4
# Steps from the one that asks for a line to the one that reads it, where the processor would not
# see it coming; and bytes of a line.
_STEPS_AHEAD = 16
_LINE = 64
# How much of the time to read from the second-level cache the processor does not compute meanwhile.
_WAITING = 1 / 8
# What it costs that threads share the rows of a result, in bytes of a row: probably, processors ask
# for lines beside those that they read, which another thread writes.
_BORDER = 12
# Multiply-adds of vectors up to which a product is straight-line code.
_STRAIGHT = 128
# Steps of a tile times its accumulators up to which the steps are straight-line code.
_STRAIGHT_STEPS = 32
# Steps of a dot product up to which adding up across the vectors is worth code of its own.
_SHORT = 16
# Multiply-adds that must be under way for the processor to be busy: latency times throughput.
_IN_FLIGHT = 8
# Cycles up to which a product may be divided; larger ones are cut, for threads.
_DIVIDED = 40_000
_BITS = {"float": 32, "double": 64}
# Multiply-adds from which BLAS is at least as fast, by the bits of a vector. With 512, measured, it
# never is; processors whose vectors have 128 often have other units for matrices, which BLAS knows.
_BLAS_FROM = {128: 2**18, 256: 2**30}
_PARAMETERS = [
    ("ptr noalias readonly", "left"),
    ("ptr noalias readonly", "right"),
    ("ptr noalias", "result"),
]


def product_function(
    module: Module,
    product: Product,
    processor: Processor,
    *,
    linkage: str = "internal",
    finish: Finish | None = None,
) -> str:
    """Add the function of a product to a module, once.

    The code is as it should be already: translated without LLVM's passes over it, it is as fast,
    and there in half the time.

    Parameters
    ----------
    linkage : str
        "internal", or "" to call the function from other modules.
    finish : Finish, optional
        What becomes of the entries of the result, for a product of which `can_finish` is true.

    Returns
    -------
    str
        The name of a function ``void (ptr left, ptr right, ptr result)`` that overwrites
        the result, which must not overlap the others; the address of a list, of 64-bit integers,
        and that of the copies come after these. When `choose` says "blas", it calls
        one of `blas.symbols`, whose address the loader must supply. With a finish, the result is
        not touched, its parameters come last, and flags are returned, as an i64.
    """
    product = _normalised(product)
    name = _name(product)
    if finish is not None:
        write = partial(_finishing_function, module, product, processor, finish, linkage)
        return module.shared(write, key=(product, finish.key), prefix=f"{name}_finished")
    if module.defines(name):
        return name
    gemm = _gemm(product)
    if gemm is not None and choose(product, processor) == "blas":
        _emit_blas(module, name, product, gemm, linkage)
    else:
        parameters = _parameters(product)
        function = module.function(name, None, parameters, linkage=linkage, attributes="noinline")
        _emit(function, product, processor, None)
        function.give()
    return name


def _finishing_function(
    module: Module,
    product: Product,
    processor: Processor,
    finish: Finish,
    linkage: str,
    name: str,
) -> Function:
    """Write a product whose entries are not written as they are."""
    own = _parameters(product)
    function = Function(module, name, INT64, [*own, *finish.parameters], linkage, "noinline")
    finish.begin(function, function.parameters[len(own) :])
    _emit(function, product, processor, finish)
    function.give(finish.flags())
    return function


def choose(product: Product, processor: Processor) -> Literal["emitted", "blas"]:
    """Say what computes a product: a rule of shape and processor, never a timing.

    A product that BLAS cannot take, because of its strides or since it is empty, is emitted.
    """
    whole = product.whole or product
    size = whole.rows * whole.columns * whole.inner
    limit = _BLAS_FROM.get(processor.vector_bits)
    if limit is None or size < limit or _gemm(_normalised(product)) is None:
        return "emitted"
    return "blas"


def cut(
    product: Product, processor: Processor, threads: int, most: int
) -> tuple[Literal["rows", "columns"], int] | None:
    """Say how to cut a product into pieces: by rows or columns of the result, of what size.

    Pieces are whole tiles, or copies of the right matrix as a whole, so that each entry of the
    result is computed as it would be without cutting. BLAS promises nothing of the kind.

    Parameters
    ----------
    threads : int
        How many may take pieces. Each gets two or more where that costs nothing: another evens
        out what delays one of them.
    most : int
        So many pieces at most.
    """
    product = _normalised(product)
    if _parts(_problem(product), product.element, processor):
        return None
    plan = _plan(_problem(product), product.element, processor)
    names: tuple[Literal["rows", "columns"], ...] = ("rows", "columns")
    rows, columns = product.rows, product.columns
    if plan.transposed:
        rows, columns, names = columns, rows, ("columns", "rows")
    width = plan.columns * (plan.lanes if plan.form == "broadcast" else 1)
    choices = []
    for name, extent, tile, copied in (
        (names[1], columns, width, product.listed == "rows"),
        # The first rows of a list in a piece are not asked for ahead.
        (names[0], rows, plan.rows, plan.packed or product.listed == "rows"),
    ):
        if product.copies and name == "columns":
            continue
        tiles = -(-extent // tile)
        for each in range(-(-tiles // most), tiles, max(1, tiles // 64)):
            size = each * tile
            pieces = -(-extent // size)
            # What the busiest thread has to do, with what each piece begins or copies again.
            work = _longest_share(extent, size, threads) / extent
            work += (0.02 if copied else 0.002) * pieces
            if name == "columns":
                share = product.columns * _BITS[product.element] // 8 / threads
                work *= 1 + _BORDER / share
            choices.append((pieces < 2 * threads and not copied, work, name, size))
    if not choices:
        return None
    *_, name, size = min(choices)
    return name, size


def _longest_share(extent: int, size: int, threads: int) -> int:
    """Say how much the busiest thread takes, each taking a piece when it has done one."""
    shares = [0] * threads
    for start in range(0, extent, size):
        least = shares.index(min(shares))
        shares[least] += min(size, extent - start)
    return max(shares)


def can_list(product: Product, processor: Processor) -> bool:
    """Whether a product with a list is as fast as it would be without."""
    plain = replace(product, listed=None, copies=False)
    if choose(plain, processor) == "blas":
        return False
    problem = _problem(_normalised(plain))
    if _parts(problem, product.element, processor):
        return False
    if problem.right[1] != 1 and product.listed == "rows":
        return False
    best = _plan(problem, product.element, processor)
    plan = _plan(_problem(_normalised(product)), product.element, processor)
    if plan.cycles > _AS_FAST * best.cycles:
        return False
    panels = -(-product.columns // (plan.columns * plan.lanes))
    return product.listed == "inner" or panels * _MOST_AHEAD >= plan.rows


def can_finish(product: Product, processor: Processor) -> bool:
    """Whether the entries of a product can be handed on, each once, from registers, in rows."""
    if choose(product, processor) == "blas":
        return False
    if not (product.rows and product.columns and product.inner):
        return False
    problem = _problem(_normalised(product))
    plan = _plan(problem, product.element, processor)
    return (
        plan.form == "broadcast"
        and not plan.transposed
        and not _parts(problem, product.element, processor)
        and _block_length(problem, plan, product.element) == product.inner
    )


def product_cycles(product: Product, processor: Processor) -> float:
    """Estimate the cycles that a product takes."""
    if not (product.rows and product.columns and product.inner):
        return 0.0
    return _plan(_problem(_normalised(product)), product.element, processor).cycles


def _normalised(product: Product) -> Product:
    """Set the strides that are never followed, so that equal products have one name."""
    rows, columns, inner = product.rows, product.columns, product.inner
    return replace(
        product,
        left_strides=(
            product.left_strides[0] if rows > 1 or product.listed == "rows" else 1,
            product.left_strides[1] if inner > 1 or product.listed == "inner" else 1,
        ),
        right_strides=(
            product.right_strides[0] if inner > 1 else 1,
            product.right_strides[1] if columns > 1 else 1,
        ),
        result_stride=product.result_stride if rows > 1 else max(columns, 1),
    )


def _name(product: Product) -> str:
    shape = f"{product.rows}x{product.inner}x{product.columns}"
    strides = (*product.left_strides, *product.right_strides, product.result_stride)
    name = f"product_{product.element}_{shape}_" + "_".join(map(str, strides))
    if product.listed:
        name = f"{name}_listed_{product.listed}{'_copied' * product.copies}"
    if product.whole is None:
        return name
    whole = product.whole
    return f"{name}_of_{whole.rows}x{whole.inner}x{whole.columns}"


# The call of a library.


class _Gemm(NamedTuple):
    """What is asked of BLAS, which stores columns: resultᵀ = rightᵀ · leftᵀ."""

    right_transposed: bool
    right_leading: int
    left_transposed: bool
    left_leading: int


def _gemm(product: Product) -> _Gemm | None:
    """Write a product as BLAS takes it; None when its strides are none that BLAS takes."""
    right = _leading(product.right_strides[::-1], product.columns, product.inner)
    left = _leading(product.left_strides[::-1], product.inner, product.rows)
    limit = 2**31
    sizes = (product.rows, product.columns, product.inner, product.result_stride)
    if right is None or left is None or max(*sizes, right[1], left[1]) >= limit or not all(sizes):
        return None
    return _Gemm(*right, *left)


def _leading(strides: tuple[int, int], rows: int, columns: int) -> tuple[bool, int] | None:
    """Describe a matrix of so many rows and columns: (whether it is transposed, leading size)."""
    if strides[0] == 1 and (strides[1] >= rows or columns == 1):
        return False, max(strides[1], rows)
    if strides[1] == 1 and (strides[0] >= columns or rows == 1):
        return True, max(strides[0], columns)
    return None


def _emit_blas(module: Module, name: str, product: Product, gemm: _Gemm, linkage: str) -> None:
    prefix = "s" if product.element == "float" else "d"
    symbol = f"steepest_{prefix}gemm"
    module.declare(symbol, f"declare void @{symbol}({', '.join(['ptr'] * 13)})")
    function = module.function(
        name,
        None,
        _PARAMETERS,
        linkage=linkage,
    )
    left, right, result = function.parameters
    sizes = (
        product.columns,
        product.rows,
        product.inner,
        gemm.right_leading,
        gemm.left_leading,
        product.result_stride,
    )
    integers = module.constant_table(f"{name}.sizes", "i32", [str(each) for each in sizes])
    columns, rows, inner, right_leading, left_leading, result_leading = (
        function.offset(integers, "i32", each) for each in range(6)
    )
    scalar = Type(product.element)
    one, zero = (function.constant(scalar, each).name for each in (1.0, 0.0))
    factors = module.constant_table(f"{name}.factors", product.element, [one, zero])
    letters = [str(ord("T" if each else "N")) for each in (gemm[0], gemm[2])]
    transposed = module.constant_table(f"{name}.transposed", "i8", letters)
    arguments = (
        transposed,
        function.offset(transposed, "i8", 1),
        columns,
        rows,
        inner,
        factors,
        right,
        right_leading,
        left,
        left_leading,
        function.offset(factors, product.element, 1),
        result,
        result_leading,
    )
    function.do(f"call void @{symbol}({', '.join(map(str, arguments))})")
    function.give()


# The plan.


def _registers(processor: Processor) -> int:
    """Count the vector registers."""
    return 16 if processor.is_x86 and not processor.has_masks else 32


def _tiles(extent: int, tile: int) -> list[tuple[int, int]]:
    """Divide an extent: (how many tiles, of what size)."""
    return [each for each in ((extent // tile, tile), (1, extent % tile)) if all(each)]


def _computing_cycles(
    steps: int,
    down: list[tuple[int, int]],
    along: list[tuple[int, int]],
    finish: float,
    turn: float,
) -> float:
    """Estimate all tiles: two multiply-adds and two loads a cycle, then what each sum takes.

    Parameters
    ----------
    finish : float
        What a sum takes.
    turn : float
        What a step takes beside its multiply-adds and loads.
    """
    cycles = 0.0
    for many, rows in down:
        for several, columns in along:
            loads = rows + columns
            step = max(rows * columns, loads) / 2 + loads / 16 + turn
            cycles += many * several * (steps * step + finish * rows * columns + 4)
    # Code takes time to compile: of plans that are nearly as fast, the shortest. Where a product
    # takes long, that matters little.
    code = sum(rows for _, rows in down) * sum(columns for _, columns in along)
    return cycles + code * min(cycles, 200_000) / 1000


def _copy_cycles(problem: _Problem, lanes: int, contiguous: int, across: int) -> float:
    """Estimate the copy of the right matrix to vectors along an index.

    Parameters
    ----------
    contiguous, across : int
        The stride along the vectors, and from one to the next.
    """
    entries = problem.inner * problem.columns
    if contiguous == 1:
        return 2 * entries / lanes
    if across == 1:
        return 4 * entries / lanes
    return 2.0 * entries


def _reading_cycles(problem: _Problem, bits: int, rows: int, packed: bool) -> float:
    """Estimate how long the right matrix takes to come again and again, for each row of tiles."""
    size = problem.inner * problem.columns * bits // 8
    if size <= _FIRST_CACHE:
        return 0.0
    # Bytes a cycle from the second-level cache, and from beyond it or with jumps.
    far = size / 10
    passes = -(-problem.rows // rows)
    if packed:
        return far + passes * size / 32 * _WAITING
    return passes * (size / 48 * _WAITING if size <= _SECOND_CACHE else far / 2)


@lru_cache(maxsize=1024)
def _plan(problem: _Problem, element: str, processor: Processor) -> _Plan:
    """Find the way that takes the least cycles by a rough estimate."""
    plans = []
    bits = _BITS[element]
    for packed in (False,) if problem.listed == "rows" else (False, True):
        plans += _broadcast_plans(problem, False, packed, bits, processor)
        if not problem.listed:
            plans += _broadcast_plans(problem.transposed, True, packed, bits, processor)
            plans += _dot_plans(problem, False, packed, bits, processor)
            plans += _dot_plans(problem.transposed, True, packed, bits, processor)
    return min(plans, key=lambda plan: plan.cycles)


class _Part(NamedTuple):
    """A part of a product that has a plan of its own: some rows, or columns, of the result."""

    problem: _Problem
    row: int
    column: int


@lru_cache(maxsize=1024)
def _parts(problem: _Problem, element: str, processor: Processor) -> tuple[_Part, ...]:
    """Divide a product in whole vectors and the rest, where that takes fewer cycles; or not: ().

    A vector that is mostly empty takes as long as a full one, but the few columns, or rows, that
    are left may have their vectors along the other axis.
    """
    least = _plan(problem, element, processor).cycles
    if least > _DIVIDED or problem.listed:
        return ()
    lanes = processor.lanes(_BITS[element])
    best: tuple[_Part, ...] = ()
    for is_columns in (True, False):
        extent = problem.columns if is_columns else problem.rows
        whole = extent - extent % lanes
        if whole in (0, extent):
            continue
        if is_columns:
            parts = (
                _Part(replace(problem, columns=whole), 0, 0),
                _Part(replace(problem, columns=extent - whole), 0, whole),
            )
        else:
            parts = (
                _Part(replace(problem, rows=whole), 0, 0),
                _Part(replace(problem, rows=extent - whole), whole, 0),
            )
        cycles = sum(_plan(each.problem, element, processor).cycles for each in parts)
        if cycles < 0.95 * least:
            best, least = parts, cycles
    return best


def _lanes(extent: int, bits: int, processor: Processor) -> int:
    """Choose the narrowest vector that holds an extent, or the widest that there is."""
    return min(processor.lanes(bits), max(2, 1 << (extent - 1).bit_length()))


def _broadcast_plans(
    problem: _Problem, transposed: bool, packed: bool, bits: int, processor: Processor
) -> list[_Plan]:
    if problem.right[1] != 1 and not packed:
        return []
    lanes = _lanes(problem.columns, bits, processor)
    vectors = -(-problem.columns // lanes)
    copy = _copy_cycles(problem, lanes, problem.right[1], problem.right[0]) if packed else 0.0
    unrolled = not packed and problem.rows * vectors * problem.inner <= _STRAIGHT
    # A result whose columns are not contiguous is transposed on its way to memory.
    is_transposed = problem.result[1] != 1
    turn = _TURN if processor.asks_ahead else 0.0
    far_apart = 7 if _collide(problem.result[1], bits) else 1
    plans = []
    most_rows = problem.rows
    if problem.listed == "rows" and not problem.copies:
        most_rows = min(most_rows, _MOST_LISTED)
    for columns in range(1, min(vectors, 6) + 1):
        for rows in range(1, most_rows + 1):
            # The right matrix's vectors stay in registers; so does a broadcast that is used twice.
            if rows * columns + columns + (columns > 1) > _registers(processor) - 1:
                break
            down, along = _tiles(problem.rows, rows), _tiles(vectors, columns)
            finish = far_apart * max(12.0, 168 / rows) if is_transposed else 1.5
            computing = _computing_cycles(problem.inner, down, along, finish, turn)
            if rows > _WAYS and _collide(problem.left[0], bits):
                computing *= _COLLIDING
            if packed and rows != _GROUPED and _reads_lines_again(problem, bits, lanes, processor):
                computing *= _UNGROUPED
            reading = _reading_cycles(problem, bits, rows, packed)
            cycles = copy + computing + reading
            plans.append(
                _Plan(cycles, "broadcast", transposed, lanes, rows, columns, packed, unrolled)
            )
    return plans


def _reads_lines_again(problem: _Problem, bits: int, lanes: int, processor: Processor) -> bool:
    """Whether each step reads another line of the left matrix, again for each of many panels."""
    size = bits // 8
    return (
        processor.asks_ahead
        and not problem.listed
        and problem.left[0] == 1
        and problem.left[1] * size >= _LINE
        and problem.inner * problem.columns * size > _SECOND_CACHE
        and not lanes % _GROUPED
    )


def _collide(stride: int, bits: int) -> bool:
    """Whether entries so far from each other fall on one place of the first-level cache."""
    return stride * bits // 8 % _PAGE == 0


def _dot_plans(
    problem: _Problem, transposed: bool, packed: bool, bits: int, processor: Processor
) -> list[_Plan]:
    if problem.left[1] != 1 or (problem.right[0] != 1 and not packed):
        return []
    lanes = _lanes(problem.inner, bits, processor)
    if packed and lanes * problem.columns * bits // 8 > _SCRATCH:
        return []
    vectors = -(-problem.inner // lanes)
    copy = _copy_cycles(problem, lanes, problem.right[0], problem.right[1]) if packed else 0.0
    unrolled = not packed and problem.rows * problem.columns * vectors <= _STRAIGHT
    plans = []
    for columns in range(1, min(problem.columns, lanes) + 1):
        for rows in range(1, min(problem.rows, lanes) + 1):
            if rows * columns + min(rows, columns) + 1 > _registers(processor):
                break
            down, along = _tiles(problem.rows, rows), _tiles(problem.columns, columns)
            computing = _computing_cycles(vectors, down, along, 3.0, 0.0)
            if rows > _WAYS and _collide(problem.left[0], bits):
                computing *= _COLLIDING
            is_crowded = (rows + columns) * problem.inner * bits // 8 > _FIRST_CACHE
            if is_crowded and processor.asks_ahead:
                computing *= _CROWDED
            reading = _reading_cycles(problem, bits, rows, packed)
            cycles = copy + computing + reading
            plans.append(_Plan(cycles, "dot", transposed, lanes, rows, columns, packed, unrolled))
    return plans


# The code.

_Index = Value | int
_Sums = list[Value | None]  # accumulators; None before the first step
_Piece = tuple[Value, Value, int]  # a vector, its address, and how many of its entries count


def _parameters(product: Product) -> list[tuple[str, str]]:
    parameters = [*_PARAMETERS]
    if product.listed:
        parameters.append(("ptr noalias readonly", "numbers"))
    if product.copies:
        parameters.append(("ptr noalias", "copy"))
    return parameters


def _emit(
    function: Function, product: Product, processor: Processor, finish: Finish | None
) -> None:
    problem = _problem(product)
    own = function.parameters[: len(_parameters(product))]
    if product.rows and product.columns:
        if not product.inner:
            _emit_zeros(function, problem, product.element, function.parameters[2])
        else:
            whole = problem if product.whole is None else _problem(_normalised(product.whole))
            if product.whole is None and (parts := _parts(problem, product.element, processor)):
                for part in parts:
                    starts = (
                        part.row * problem.left[0],
                        part.column * problem.right[1],
                        part.row * problem.result[0] + part.column * problem.result[1],
                    )
                    pointers = [
                        function.offset(pointer, product.element, start)
                        for pointer, start in zip(own, starts, strict=True)
                    ]
                    _emit_way(
                        function,
                        part.problem,
                        part.problem,
                        product.element,
                        processor,
                        pointers,
                        None,
                    )
            else:
                _emit_way(function, problem, whole, product.element, processor, own, finish)


def _emit_way(
    function: Function,
    problem: _Problem,
    whole: _Problem,
    element: str,
    processor: Processor,
    pointers: Sequence[Value],
    finish: Finish | None,
) -> None:
    """Write a product in the way that takes the least cycles for all that it is a piece of."""
    left, right, result, *others = pointers
    plan = _plan(whole, element, processor)
    if plan.transposed:
        problem, whole = problem.transposed, whole.transposed
        left, right = right, left
    block = _block_length(whole, plan, element)
    groups = (
        plan.packed
        and (plan.form, plan.rows) == ("broadcast", _GROUPED)
        and _reads_lines_again(whole, _BITS[element], plan.lanes, processor)
    )
    emitter = _Emitter(function, problem, plan, block, groups, element, processor, others, finish)
    emitter.emit(left, right, result)


def _problem(product: Product) -> _Problem:
    return _Problem(
        product.rows,
        product.columns,
        product.inner,
        product.left_strides,
        product.right_strides,
        (product.result_stride, 1),
        product.listed,
        product.copies,
    )


def _emit_zeros(function: Function, problem: _Problem, element: str, result: Value) -> None:
    kind = Type(element)
    with function.loop(problem.rows) as row, function.loop(problem.columns) as column:
        start = function.multiply(row, _integer(problem.result[0]))
        address = function.offset(result, element, function.add(start, column))
        function.store(function.zero(kind), address)


class _Panels(NamedTuple):
    """The right matrix, of so many panels of full width and one of the rest of the columns.

    Attributes
    ----------
    full : int or Value
    source : callable
        Takes the number of a panel and gives its address.
    strides : tuple of int
        From row to row of full panels, and of the rest.
    first : int or Value
        How many panels of the whole matrix are before these.
    """

    full: _Index
    rest: int
    source: Callable[[_Index], Value]
    strides: tuple[int, int]
    first: _Index = 0


class _Coming(NamedTuple):
    """The part of the right matrix that is copied next: runs of entries, one behind the other.

    Attributes
    ----------
    start : Value
        The first entry.
    runs : int
        How many there are.
    stride : int
        Entries from one to the next.
    size : int
        Bytes of a run.
    """

    start: Value
    runs: int
    stride: int
    size: int


class _Emitter:
    """Writes one product, in the form of its plan."""

    def __init__(
        self,
        function: Function,
        problem: _Problem,
        plan: _Plan,
        block: int,
        groups: bool,
        element: str,
        processor: Processor,
        listed: Sequence[Value],
        finish: Finish | None,
    ) -> None:
        self._listed = listed
        self._finish_with = finish
        self._block_start: _Index = 0
        self._f = function
        self._problem = problem
        self._plan = plan
        self._element = element
        self._has_masks = processor.has_masks
        self._asks_ahead = processor.asks_ahead
        self._together = _TOGETHER if plan.packed and processor.asks_ahead else 1
        self._lanes = plan.lanes
        self._vector = Type(element, plan.lanes)
        self._block = block
        self._groups = groups
        self._group = Value("null", POINTER)
        self._tiles: dict[int, Value] = {}
        self._scratch = Value("null", POINTER)

    def emit(self, left: Value, right: Value, result: Value) -> None:
        """Write the body: the inner index block by block, each added to the result."""
        problem = self._problem
        if self._plan.packed:
            self._scratch = self._f.allocate(Type(self._element), self._scratch_entries())
        if self._groups:
            self._group = self._f.allocate(self._vector, self._block)

        def at_block(start: _Index) -> tuple[Value, Value]:
            self._block_start = start
            at_left = left
            if problem.listed != "inner":
                at_left = self._address(left, (start, problem.left[1]))
            return at_left, self._address(right, (start, problem.right[0]))

        if self._plan.form == "dot" or self._plan.packed:
            work = self._dot_block if self._plan.form == "dot" else self._broadcast_block
            self._each_block(
                lambda start, length, first: work(*at_block(start), result, length, first)
            )
            return

        # Rows of tiles outermost, so that all of a row of the left matrix is read at once.
        def row_of_tiles(row: _Index, rows: int) -> None:
            def block(start: _Index, length: int, first: Value | bool) -> None:
                at_left, at_right = at_block(start)
                panels = self._panels(at_right)
                self._row_of_tiles(row, rows, at_left, panels, result, length, first)

            self._each_block(block)

        self._each_tile(problem.rows, self._plan.rows, row_of_tiles)

    def _each_block(self, body: Callable[[_Index, int, Value | bool], None]) -> None:
        """Divide the inner index: where each block starts, its length, whether it is the first."""
        inner, length = self._problem.inner, self._block
        if inner == length:
            body(0, inner, True)
            return
        with self._loop(inner // length * length, step=length) as start:
            body(start, length, self._f.compare("eq", start, _integer(0)))
        if rest := inner % length:
            body(inner - rest, rest, False)

    # The broadcast form. A panel is as many columns as a tile has.

    def _broadcast_block(
        self, left: Value, right: Value, result: Value, length: int, first: Value | bool
    ) -> None:
        width = self._plan.columns * self._lanes
        panels, rest = divmod(self._problem.columns, width)
        chunk = self._chunk_panels()
        following = self._next_block(right, length)
        if panels <= chunk:
            coming = self._coming(following, length)
            self._broadcast_chunk(left, right, result, length, first, panels, rest, coming)
            return
        with self._loop(panels, step=chunk) as start:
            remaining = self._f.subtract(_integer(panels), start)
            count = self._f.intrinsic("llvm.smin", remaining, _integer(chunk))
            later = self._f.add(start, _integer(chunk))
            # A part is asked for as if it were whole, so that the last begins in the one before.
            whole = self._f.intrinsic("llvm.smin", later, _integer(panels - chunk))
            following = self._f.select(
                self._f.compare("slt", later, _integer(panels)),
                self._address(right, (whole, width * self._problem.right[1])),
                following,
            )
            self._broadcast_chunk(
                left,
                self._address(right, (start, width * self._problem.right[1])),
                self._address(result, (start, width * self._problem.result[1])),
                length,
                first,
                count,
                0,
                self._coming(following, length),
                start,
            )
        if rest:
            self._broadcast_chunk(
                left,
                self._address(right, (panels, width * self._problem.right[1])),
                self._address(result, (panels, width * self._problem.result[1])),
                length,
                first,
                0,
                rest,
                None,
                panels,
            )

    def _next_block(self, right: Value, length: int) -> Value:
        """Find where the next block of the right matrix begins; of the last block, its own."""
        end = self._plus(self._block_start, length)
        later = self._address(right, (length, self._problem.right[0]))
        is_last = self._f.compare("sge", _value(end), _integer(self._problem.inner))
        return self._f.select(is_last, right, later)

    def _coming(self, start: Value, length: int) -> _Coming | None:
        """Describe the part that begins at an address, where it is asked for ahead."""
        problem, bits = self._problem, _BITS[self._element]
        width = self._plan.columns * self._lanes
        is_near = problem.inner * problem.columns * bits // 8 <= _NEAR
        if not self._asks_ahead or is_near or problem.columns < width:
            return None
        columns = self._chunk_panels() * width
        if problem.right[1] == 1:
            return _Coming(start, length, problem.right[0], columns * bits // 8)
        return _Coming(start, columns, problem.right[1], length * bits // 8)

    def _chunk_panels(self) -> int:
        """Count the panels that are copied together, as many each time as far as that goes."""
        width = self._plan.columns * self._lanes
        scratch = _SCRATCH_BESIDE if self._groups else _SCRATCH
        most = max(1, scratch * 8 // (_BITS[self._element] * self._block * width))
        panels = max(1, self._problem.columns // width)
        return -(-panels // -(-panels // most))

    def _scratch_entries(self) -> int:
        if self._plan.form == "dot":
            return _padded(self._block, self._lanes) * self._problem.columns
        width = self._plan.columns * self._lanes
        panels, rest = divmod(self._problem.columns, width)
        chunk = self._chunk_panels()
        if panels > chunk:
            return self._block * chunk * width
        return self._block * (panels * width + _padded(rest, self._lanes))

    def _broadcast_chunk(
        self,
        left: Value,
        right: Value,
        result: Value,
        length: int,
        first: Value | bool,
        panels: _Index,
        rest: int,
        coming: _Coming | None,
        first_panel: _Index = 0,
    ) -> None:
        """Multiply by some panels of full width, and one of the rest of the columns."""
        problem, width = self._problem, self._plan.columns * self._lanes
        padded_rest = _padded(rest, self._lanes)

        def source(panel: _Index) -> Value:
            return self._address(self._scratch, (panel, length * width))

        def copy(panel: _Index, columns: int, stride: int) -> None:
            start = self._address(right, (panel, width * problem.right[1]))
            self._copy(start, problem.right, stride, (length, columns), source(panel))

        self._each(panels, lambda panel: copy(panel, width, width))
        if rest:
            copy(panels, rest, padded_rest)
        copied = _Panels(panels, rest, source, (width, padded_rest), first_panel)

        def row_of_tiles(row: _Index, rows: int, group: Value | None = None) -> None:
            self._row_of_tiles(row, rows, left, copied, result, length, first, coming, group)

        if self._groups:
            self._each_group(left, length, row_of_tiles)
        else:
            self._each_tile(problem.rows, self._plan.rows, row_of_tiles)

    def _each_group(
        self, left: Value, length: int, row_of_tiles: Callable[[_Index, int, Value], None]
    ) -> None:
        """Copy rows of the left matrix whose entries share lines, then go through their tiles.

        Each line is read once, and not for each panel.
        """
        lanes, size = self._lanes, self._plan.rows

        def in_group(row: _Index, rows: int) -> None:
            start = self._address(left, (row, 1))

            def copy(step: _Index) -> None:
                entries = self._load(self._address(start, (step, self._problem.left[1])), rows)
                self._store(entries, self._address(self._group, (step, lanes)), lanes)

            self._each(length, copy)
            for first in range(0, rows, size):
                group = self._address(self._group, (1, first))
                row_of_tiles(self._plus(row, first), min(size, rows - first), group)

        self._each_tile(self._problem.rows, lanes, in_group)

    def _panels(self, right: Value) -> _Panels:
        """Describe a right matrix that is not copied."""
        width, stride = self._plan.columns * self._lanes, self._problem.right[0]
        count, rest = divmod(self._problem.columns, width)
        return _Panels(
            count, rest, lambda panel: self._address(right, (panel, width)), (stride, stride)
        )

    def _row_of_tiles(
        self,
        row: _Index,
        rows: int,
        left: Value,
        panels: _Panels,
        result: Value,
        length: int,
        first: Value | bool,
        coming: _Coming | None = None,
        group: Value | None = None,
    ) -> None:
        problem, width = self._problem, self._plan.columns * self._lanes
        result_row = self._address(result, (row, problem.result[0]))
        if group is None:
            left_start, left_rows = self._left_rows(left, row, rows, length)
            left_stride = problem.left[1]
        else:
            left_start, left_rows, left_stride = group, range(rows), self._lanes

        def tile(panel: _Index, columns: int, stride: int) -> None:
            if self._finish_with is not None:
                column = self._times(self._plus(panels.first, panel), width)
                self._finish_with.begin_tile(row, column, (rows, columns))
            self._broadcast_tile(
                left_start,
                left_rows,
                left_stride,
                self._ahead(left, left_start, row, rows, panel) if problem.listed == "rows" else (),
                panels.source(panel),
                stride,
                self._address(result_row, (panel, width * problem.result[1])),
                length,
                first,
                rows,
                columns,
                None if coming is None else self._part_of(coming, row, panel),
            )

        self._each(panels.full, lambda panel: tile(panel, width, panels.strides[0]))
        if panels.rest:
            tile(panels.full, panels.rest, panels.strides[1])

    def _broadcast_tile(
        self,
        left: Value,
        left_rows: Sequence[_Index],
        left_stride: int,
        ahead: Sequence[_Index],
        right: Value,
        right_stride: int,
        result: Value,
        length: int,
        first: Value | bool,
        rows: int,
        columns: int,
        at_turn: Callable[[Value, int], None] | None = None,
    ) -> None:
        """Write a tile.

        Parameters
        ----------
        left_rows : sequence of int or Value
            Where the rows of the left matrix are, in entries from its address.
        left_stride : int
            Entries of the left matrix from step to step.
        ahead : sequence of int or Value
            Where rows are that are read after these.
        at_turn : callable, optional
            Writes what else is done in each turn of the loop over the steps; see `_repeat`.
        """
        f, lanes = self._f, self._lanes
        parts = [
            (start, min(lanes, columns - start)) for start in range(0, columns, lanes)
        ]  # of a row of the tile
        left_jumps, right_jumps = self._jumps(rows, columns, right_stride, length)
        is_listed, origin, moved = self._problem.listed == "inner", left, left_stride
        if is_listed:
            # From step to step, the place in the list moves on.
            left = f.offset(self._listed[0], "i64", self._block_start)
            moved = INT64.bits // _BITS[self._element]

        # Rows that are not copied are read again by others, from the second-level cache.
        ahead_to = _FIRST if self._problem.copies else _SECOND

        def step(left: Value, right: Value, sums: _Sums) -> _Sums:
            later = left
            if is_listed:
                later = self._row_of_list(origin, self._later_in_list(left))
                left = self._row_of_list(origin, left)
            entries = [
                self._load(self._address(right, (1, start)), lanes if self._plan.packed else active)
                for start, active in parts
            ]
            for place in ahead:
                prefetch(f, self._address(left, (place, 1)), ahead_to)
            for place in left_jumps:
                prefetch(f, self._address(later, (place, 1)))
            for place in right_jumps:
                prefetch(f, self._address(right, (place, 1)))
            new: _Sums = []
            for row in range(rows):
                scalar = f.load(self._vector.scalar, self._address(left, (left_rows[row], 1)))
                factor = f.splat(scalar, lanes)
                for entry, total in zip(
                    entries, sums[row * len(parts) : (row + 1) * len(parts)], strict=True
                ):
                    new.append(self._multiply_add(factor, entry, total))
            return new

        strides = moved, right_stride
        sums = self._accumulate(length, left, right, strides, rows * len(parts), step, at_turn)
        corners = [(row, start) for row in range(rows) for start, _ in parts]
        if self._finish_with is not None:
            for (row, start), total, (_, active) in zip(corners, sums, parts * rows, strict=True):
                self._hand_on(self._finish_with, row, start, total, active)
            self._finish_with.end_tile()
        elif self._problem.result[1] == 1:
            self._finish(
                [
                    (
                        total,
                        self._address(result, (row, self._problem.result[0]), (start, 1)),
                        active,
                    )
                    for (row, start), total, (_, active) in zip(
                        corners, sums, parts * rows, strict=True
                    )
                ],
                first,
            )
        else:
            self._finish_transposed(sums, result, rows, columns, first)

    def _hand_on(self, finish: Finish, row: int, column: int, total: Value, active: int) -> None:
        """Hand the first entries of a vector on, in parts where these would be stored in parts."""
        lanes = self._lanes
        if active == lanes or (self._has_masks and active & (active - 1)):
            finish.take(row, column, total, active)
            return
        for start, count in _powers(active):
            finish.take(row, column + start, self._part(total, start, count), count)

    def _jumps(
        self, rows: int, columns: int, right_stride: int, length: int
    ) -> tuple[Sequence[int], Sequence[int]]:
        """Find what a step of a tile asks for ahead, in entries from its first of either matrix.

        The processor sees what lies in a row. Where each step jumps to other lines, which are not
        in the first-level cache, it would wait for them.
        """
        problem, size = self._problem, _BITS[self._element] // 8
        left: Sequence[int] = ()
        right: Sequence[int] = ()
        if not self._asks_ahead or length < 2 * _STEPS_AHEAD:
            return left, right
        stride, held = problem.left[1], _FIRST_CACHE // size
        is_far = stride * size >= _LINE and problem.rows * problem.inner > held
        if problem.left[0] == 1 and is_far and not self._groups:
            # Those of the first and the last row of the tile may be two.
            steps = 0 if problem.listed == "inner" else _STEPS_AHEAD
            left = [steps * stride + row for row in {0, rows - 1}]
        if not self._plan.packed and problem.inner * problem.columns > held:
            right = [
                _STEPS_AHEAD * right_stride + start for start in range(0, columns, self._lanes)
            ]
        return left, right

    def _part_of(
        self, coming: _Coming, row: _Index, panel: _Index
    ) -> Callable[[Value, int], None] | None:
        """Find the runs that a tile asks for of what is copied next, so that all tiles share it.

        They come line by line while the tile is computed. All at once, they would take the places
        of what it reads itself.
        """
        f, plan = self._f, self._plan
        panels = self._chunk_panels()
        each = -(-coming.runs // (-(-self._problem.rows // plan.rows) * panels))
        if each > _MOST_AHEAD:
            return None
        before = f.binary("udiv", _value(row), _integer(plan.rows))
        tile = f.add(f.multiply(before, _integer(panels)), _value(panel))
        first, last = f.multiply(tile, _integer(each)), _integer(coming.runs - 1)
        runs = [
            f.intrinsic("llvm.smin", f.add(first, _integer(number)), last) for number in range(each)
        ]
        starts = [self._address(coming.start, (run, coming.stride)) for run in runs]

        def ask(turn: Value, turns: int) -> None:
            size = -(-coming.size // turns)
            begin = f.multiply(turn, _integer(size))
            for start in starts:
                for line in range(0, size, _LINE):
                    prefetch(f, f.offset(start, "i8", f.add(begin, _integer(line))), _SECOND)

        return ask

    # A list of rows.

    def _left_rows(
        self, left: Value, row: _Index, rows: int, length: int
    ) -> tuple[Value, Sequence[_Index]]:
        """Find some rows of the left matrix: an address, and where they are from there."""
        f, problem = self._f, self._problem
        stride = problem.left[0]
        if problem.listed != "rows":
            start = self._address(left, (row, stride))
        elif problem.copies:
            start, stride = self._copied(left, row, rows, length), problem.inner
        else:
            numbers = f.offset(self._listed[0], "i64", row)
            listed = [f.load(INT64, f.offset(numbers, "i64", each)) for each in range(rows)]
            return left, [f.multiply(number, _integer(stride)) for number in listed]
        return start, [each * stride for each in range(rows)]

    def _row_of_list(self, left: Value, place: Value) -> Value:
        """Find what a step reads of the row whose number is in a place of the list."""
        return self._address(left, (self._f.load(INT64, place), self._problem.left[1]))

    def _later_in_list(self, place: Value) -> Value:
        """Find the place of the list that is asked for ahead; the last one for what is beyond."""
        f = self._f
        later = f.offset(place, "i64", _STEPS_AHEAD)
        last = f.offset(self._listed[0], "i64", self._problem.inner - 1)
        is_beyond = f.compare("ugt", later, last)
        return f.select(is_beyond, last, later)

    def _ahead(
        self, left: Value, origin: Value, row: _Index, rows: int, panel: _Index
    ) -> list[Value]:
        """Find the rows that are asked for in a panel, of those that come next."""
        f, width = self._f, self._plan.columns * self._lanes
        share = min(-(-rows // -(-self._problem.columns // width)), _MOST_AHEAD)
        begin = f.multiply(_value(panel), _integer(share))
        later = f.add(f.add(_value(row), _integer(rows)), begin)
        return [
            f.entries_between(origin, self._listed_row(left, later, each), self._element)
            for each in range(share)
        ]

    def _listed_row(self, left: Value, start: _Index, index: int) -> Value:
        """Find a row by its place in the list; the last one for what is beyond."""
        place = self._f.add(_value(start), _integer(index))
        last = _integer(self._problem.rows - 1)
        place = self._f.intrinsic("llvm.smin", place, last)
        number = self._f.load(INT64, self._f.offset(self._listed[0], "i64", place))
        return self._address(left, (number, self._problem.left[0]))

    def _copied(self, left: Value, row: _Index, rows: int, length: int) -> Value:
        """Copy rows that are listed, as much of each as a block has; give where they are then."""
        f, lanes, stride = self._f, self._lanes, self._problem.inner
        copy = self._address(self._listed[1], (row, stride), (self._block_start, 1))
        numbers = f.offset(self._listed[0], "i64", row)
        with self._loop(rows) as each:
            number = f.load(INT64, f.offset(numbers, "i64", each))
            source = self._address(left, (number, self._problem.left[0]))
            target = self._address(copy, (each, stride))
            for start in range(0, length, lanes):
                active = min(lanes, length - start)
                value = self._load(self._address(source, (start, 1)), active)
                self._store(value, self._address(target, (start, 1)), active)
        return copy

    def _finish_transposed(
        self, sums: Sequence[Value], result: Value, rows: int, columns: int, first: Value | bool
    ) -> None:
        """Write a tile to a result whose rows are contiguous, not its columns."""
        lanes, vectors = self._lanes, len(sums) // rows
        row_stride, column_stride = self._problem.result
        if rows == 1 or self._plan.unrolled:
            pieces: list[_Piece] = []
            for row in range(0, rows, lanes):
                for number in range(vectors):
                    group = sums[row * vectors + number : (row + lanes) * vectors : vectors]
                    pieces += [
                        (
                            vector,
                            self._address(
                                result, (row, row_stride), (number * lanes + lane, column_stride)
                            ),
                            len(group),
                        )
                        for lane, vector in enumerate(transposed(self._f, group))
                        if number * lanes + lane < columns
                    ]
            self._finish(pieces, first)
            return
        tile = self._tile(len(sums))
        for number, total in enumerate(sums):
            self._f.store(total, self._address(tile, (number, lanes)))
        add: Value | bool = not first
        if isinstance(first, Value):
            add = self._f.binary("xor", first, Value("true", BOOL))

        def finish(row: _Index, height: _Index, column: _Index, width: _Index) -> None:
            self._call_transposer(
                self._address(tile, (row, vectors * lanes), (column, 1)),
                vectors * lanes,
                self._address(result, (row, row_stride), (column, column_stride)),
                column_stride,
                (height, width),
                add,
            )

        self._each_part(
            rows,
            lambda row, height: self._each_part(
                columns, lambda column, width: finish(row, height, column, width)
            ),
        )

    # The dot form.

    def _dot_block(
        self, left: Value, right: Value, result: Value, length: int, first: Value | bool
    ) -> None:
        problem = self._problem
        stride = problem.right[1]
        if self._plan.packed:
            stride = _padded(length, self._lanes)
            extents = problem.columns, length
            self._copy(right, problem.right[::-1], stride, extents, self._scratch)
            right = self._scratch

        def row_of_tiles(row: _Index, rows: int) -> None:
            left_start = self._address(left, (row, problem.left[0]))
            result_row = self._address(result, (row, problem.result[0]))

            def tile(column: _Index, columns: int) -> None:
                self._dot_tile(
                    left_start,
                    self._address(right, (column, stride)),
                    stride,
                    self._address(result_row, (column, problem.result[1])),
                    length,
                    first,
                    rows,
                    columns,
                )

            self._each_tile(problem.columns, self._plan.columns, tile)

        self._each_tile(problem.rows, self._plan.rows, row_of_tiles)

    def _dot_tile(
        self,
        left: Value,
        right: Value,
        right_stride: int,
        result: Value,
        length: int,
        first: Value | bool,
        rows: int,
        columns: int,
    ) -> None:
        lanes = self._lanes
        full, rest = divmod(length, lanes)

        def partial_step(left: Value, right: Value, sums: _Sums, active: int) -> _Sums:
            right_active = lanes if self._plan.packed else active
            at_rows = [self._address(left, (row, self._problem.left[0])) for row in range(rows)]
            at_columns = [self._address(right, (each, right_stride)) for each in range(columns)]
            # The vectors of one side stay in registers; each of the other is read when it is used.
            if columns <= rows:
                entries = [self._load(each, right_active) for each in at_columns]
                new: _Sums = []
                for row, place in enumerate(at_rows):
                    factor = self._load(place, active)
                    for column, entry in enumerate(entries):
                        total = sums[row * columns + column]
                        new.append(self._multiply_add(factor, entry, total))
                return new
            factors = [self._load(each, active) for each in at_rows]
            by_column = []
            for column, place in enumerate(at_columns):
                entry = self._load(place, right_active)
                by_column.append(
                    [
                        self._multiply_add(factor, entry, total)
                        for factor, total in zip(factors, sums[column::columns], strict=True)
                    ]
                )
            return [total for row in zip(*by_column, strict=True) for total in row]

        def step(left: Value, right: Value, sums: _Sums) -> _Sums:
            return partial_step(left, right, sums, lanes)

        sums: _Sums = [None] * (rows * columns)
        if full:
            sums = [*self._accumulate(full, left, right, (lanes, lanes), rows * columns, step)]
        if rest:
            left, right = (self._address(each, (1, full * lanes)) for each in (left, right))
            sums = partial_step(left, right, sums, rest)
        totals = [total for total in sums if total is not None]
        row_stride, column_stride = self._problem.result
        places = sorted(
            (row * row_stride + column * column_stride, total)
            for (row, column), total in zip(
                [(row, column) for row in range(rows) for column in range(columns)],
                totals,
                strict=True,
            )
        )
        pieces: list[_Piece] = []
        for start in range(0, len(places), lanes):
            group = places[start : start + lanes]
            vector = self._add_across([total for _, total in group])
            for first_lane, count in _runs([place for place, _ in group]):
                address = self._address(result, (1, group[first_lane][0]))
                pieces.append((self._part(vector, first_lane, count), address, count))
        self._finish(pieces, first)

    # Loops.

    def _each(self, end: _Index, body: Callable[[_Index], None]) -> None:
        """Write a loop, or its body again and again where the product is straight-line code."""
        if isinstance(end, int) and (end <= 1 or self._plan.unrolled):
            for index in range(end):
                body(index)
        else:
            with self._loop(end) as value:
                body(value)

    def _each_tile(self, extent: int, size: int, body: Callable[[_Index, int], None]) -> None:
        """Divide an extent into tiles; the last may be smaller."""
        full, rest = divmod(extent, size)
        if full <= 1 or self._plan.unrolled:
            for start in range(0, full * size, size):
                body(start, size)
        else:
            with self._loop(full * size, step=size) as value:
                body(value, size)
        if rest:
            body(full * size, rest)

    def _accumulate(
        self,
        steps: int,
        left: Value,
        right: Value,
        strides: tuple[int, int],
        size: int,
        step: Callable[[Value, Value, _Sums], _Sums],
        at_turn: Callable[[Value, int], None] | None = None,
    ) -> list[Value]:
        """Apply steps one after the other, the operands moving on by their strides.

        A few accumulators alone would wait for each other's results: then steps alternate between
        several sets of them.
        """
        sets = 1
        while size * sets < _IN_FLIGHT and steps >= 4 * sets:
            sets *= 2
        sums: list[_Sums] = [[None] * size for _ in range(sets)]
        together = max(sets, self._together) if steps >= 4 * self._together else sets
        is_straight = self._plan.unrolled or steps * size <= _STRAIGHT_STEPS
        straight = steps if is_straight else steps % together
        if looped := steps - straight:
            left, right, sums = self._repeat(
                looped // together, together, left, right, strides, sums, step, at_turn
            )
        for number in range(straight):
            at_left = self._address(left, (number, strides[0]))
            at_right = self._address(right, (number, strides[1]))
            sums[number % sets] = step(at_left, at_right, sums[number % sets])
        complete = [[total for total in each if total is not None] for each in sums]
        while len(complete) > 1:
            half = len(complete) // 2
            complete = [
                [self._f.add(x, y) for x, y in zip(*pair, strict=True)]
                for pair in zip(complete[:half], complete[half:], strict=True)
            ]
        return complete[0]

    def _repeat(
        self,
        count: int,
        together: int,
        left: Value,
        right: Value,
        strides: tuple[int, int],
        sums: list[_Sums],
        step: Callable[[Value, Value, _Sums], _Sums],
        at_turn: Callable[[Value, int], None] | None,
    ) -> tuple[Value, Value, list[_Sums]]:
        """Write a loop whose accumulators stay in registers, of so many steps each time.

        What else is to be done each time is written by a function that takes the number of the
        turn, and how many there are.
        """
        f = self._f
        before = f.block
        body, done = f.label("steps"), f.label("done")
        f.jump(body)
        f.begin_block(body)

        def carried(name: str, kind: Type, start: str) -> Value:
            value = Value(f"%{body}.{name}", kind)
            f.do(f"{value.name} = phi {kind} [ {start}, %{before} ], [ {value.name}n, %{body} ]")
            return value

        index = carried("i", INT64, "0")
        at_left = carried("left", POINTER, left.name)
        at_right = carried("right", POINTER, right.name)
        zero = self._f.zero(self._vector).name
        old = [
            [carried(f"s{one}.{two}", self._vector, zero) for two in range(len(each))]
            for one, each in enumerate(sums)
        ]
        if at_turn is not None:
            at_turn(index, count)
        new: list[_Sums] = [[*each] for each in old]
        for number in range(together):
            new[number % len(new)] = step(
                self._address(at_left, (number, strides[0])),
                self._address(at_right, (number, strides[1])),
                new[number % len(new)],
            )
        # A phi names its next value before that exists.
        for pointer, stride in ((at_left, strides[0]), (at_right, strides[1])):
            moved = together * stride
            f.do(f"{pointer.name}n = getelementptr {self._element}, {pointer}, i64 {moved}")
        names = [value for each in old for value in each]
        totals = [total for each in new for total in each if total is not None]
        for value, total in zip(names, totals, strict=True):
            f.do(f"{value.name}n = bitcast {total} to {value.type}")
        f.do(f"{index.name}n = add nuw nsw i64 {index.name}, 1")
        again = f.emit(Type("i1"), f"icmp ult i64 {index.name}n, {count}")
        f.do(f"br {again}, label %{body}, label %{done}")
        f.begin_block(done)
        ends = [[Value(f"{value.name}n", value.type) for value in each] for each in old]
        return (
            Value(f"{at_left.name}n", POINTER),
            Value(f"{at_right.name}n", POINTER),
            [[*each] for each in ends],
        )

    # Arithmetic.

    def _multiply_add(self, x: Value, y: Value, total: Value | None) -> Value:
        if total is None:
            return self._f.multiply(x, y)
        # Fused where the processor does that; elsewhere it would be a call of a library function.
        return self._f.intrinsic("llvm.fmuladd", x, y, total)

    def _add_across(self, vectors: Sequence[Value]) -> Value:
        """Add up the entries of each vector; the sums are the first entries of one vector."""
        if self._block <= _SHORT * self._lanes or len(vectors) <= 4:
            return _add_across(self._f, vectors)
        tile = self._tile(self._lanes)
        for number, vector in enumerate(vectors):
            self._f.store(vector, self._address(tile, (number, self._lanes)))
        return self._f.call(_adder(self._f.module, self._vector), self._vector, tile)

    def _tile(self, count: int) -> Value:
        """Reserve memory for sums on their way to the result, once."""
        if count not in self._tiles:
            self._tiles[count] = self._f.allocate(self._vector, count)
        return self._tiles[count]

    def _part(self, x: Value, start: int, count: int) -> Value:
        """Take successive entries of a vector, filled up to a power of two, or one as a scalar."""
        if not x.type.lanes or count == x.type.lanes:
            return x
        if count == 1:
            return self._f.extract(x, start)
        last = start + count - 1
        size = 1 << (count - 1).bit_length()
        return shuffled(self._f, x, None, [min(start + each, last) for each in range(size)])

    # Memory.

    def _plus(self, x: _Index, y: _Index) -> _Index:
        if isinstance(x, int) and isinstance(y, int):
            return x + y
        return self._f.add(_value(x), _value(y))

    def _times(self, x: _Index, factor: int) -> _Index:
        return x * factor if isinstance(x, int) else self._f.multiply(x, _integer(factor))

    def _address(self, pointer: Value, *terms: tuple[_Index, int]) -> Value:
        """Move a pointer on by indices times strides."""
        fixed = 0
        for index, stride in terms:
            if isinstance(index, int):
                fixed += index * stride
            elif stride:
                entries = self._f.multiply(index, _integer(stride))
                pointer = self._f.offset(pointer, self._element, entries)
        return self._f.offset(pointer, self._element, fixed)

    def _mask(self, lanes: int, active: int) -> Value:
        entries = ", ".join(f"i1 {'true' if lane < active else 'false'}" for lane in range(lanes))
        return Value(f"<{entries}>", Type("i1", lanes))

    def _load(self, pointer: Value, active: int, kind: Type | None = None) -> Value:
        """Read a vector, or its first entries and zeros."""
        f, kind = self._f, kind or self._vector
        lanes = kind.lanes
        if active == lanes or not lanes:
            return f.load(kind, pointer)
        if self._has_masks and active & (active - 1):
            return f.masked_load(kind, pointer, self._mask(lanes, active))
        whole: Value | None = None
        for start, count in _powers(active):
            address = self._address(pointer, (1, start))
            part = f.load(Type(self._element, count), address)
            zeros = Value("zeroinitializer", part.type)
            inside = range(start, start + count)
            part = shuffled(
                f, part, zeros, [lane - start if lane in inside else count for lane in range(lanes)]
            )
            if whole is not None:
                part = shuffled(
                    f, whole, part, [lane + lanes * (lane >= start) for lane in range(lanes)]
                )
            whole = part
        assert whole is not None
        return whole

    def _store(self, x: Value, pointer: Value, active: int) -> None:
        """Write the first entries of a vector, or a scalar."""
        f, lanes = self._f, x.type.lanes
        if active == lanes or not lanes:
            f.store(x, pointer)
        elif self._has_masks and active & (active - 1):
            f.masked_store(x, pointer, self._mask(lanes, active))
        else:
            for start, count in _powers(active):
                part = shuffled(self._f, x, None, range(start, start + count))
                f.store(part, self._address(pointer, (1, start)))

    def _finish(self, pieces: Sequence[_Piece], first: Value | bool) -> None:
        """Write a tile to the result, or, where it is not of the first block, add it."""
        f = self._f
        for vector, address, active in pieces:
            value = vector
            if first is not True:
                old = self._load(address, active, vector.type)
                value = f.add(vector, old)
                if isinstance(first, Value):
                    value = f.select(first, vector, value)
            self._store(value, address, active)

    def _copy(
        self,
        source: Value,
        strides: tuple[int, int],
        stride: int,
        extents: tuple[int, int],
        destination: Value,
    ) -> None:
        """Copy a matrix to rows of whole vectors, the last filled up with zeros.

        Parameters
        ----------
        strides : tuple of int
            Of the source, from row to row and along a row.
        stride : int
            From row to row of the copy.
        extents : tuple of int
            How many rows, and how many entries each has.
        """
        f, lanes = self._f, self._lanes
        rows, columns = extents
        if strides[1] == 1:

            def copy_row(row: _Index) -> None:
                for start in range(0, columns, lanes):
                    active = min(lanes, columns - start)
                    at_source = self._address(source, (row, strides[0]), (1, start))
                    at_copy = self._address(destination, (row, stride), (1, start))
                    self._store(self._load(at_source, active), at_copy, lanes)

            self._each(rows, copy_row)
            return
        if rest := columns % lanes:

            def fill_up(row: _Index) -> None:
                last = self._address(destination, (row, stride), (1, columns - rest))
                self._store(f.zero(self._vector), last, lanes)

            self._each(rows, fill_up)
        if strides[0] == 1:

            def copy_square(row: _Index, height: _Index, column: _Index, width: _Index) -> None:
                self._call_transposer(
                    self._address(source, (row, 1), (column, strides[1])),
                    strides[1],
                    self._address(destination, (row, stride), (column, 1)),
                    stride,
                    (width, height),
                    False,
                )

            self._each_part(
                rows,
                lambda row, height: self._each_part(
                    columns, lambda column, width: copy_square(row, height, column, width)
                ),
            )
            return

        def copy_entry(row: _Index, column: _Index) -> None:
            at_source = self._address(source, (row, strides[0]), (column, strides[1]))
            entry = f.load(self._vector.scalar, at_source)
            f.store(entry, self._address(destination, (row, stride), (column, 1)))

        self._each(rows, lambda row: self._each(columns, lambda column: copy_entry(row, column)))

    def _loop(self, end: _Index, *, step: int = 1) -> AbstractContextManager[Value]:
        return self._f.loop(end, step=step)

    def _each_part(self, extent: int, body: Callable[[_Index, _Index], None]) -> None:
        """Divide an extent into vectors: where each starts, and how many entries it has."""
        lanes = self._lanes
        if extent <= lanes:
            body(0, extent)
            return
        with self._loop(extent, step=lanes) as start:
            if extent % lanes:
                remaining = self._f.subtract(_integer(extent), start)
                body(start, self._f.intrinsic("llvm.smin", remaining, _integer(lanes)))
            else:
                body(start, lanes)

    def _call_transposer(
        self,
        source: Value,
        source_stride: int,
        target: Value,
        target_stride: int,
        extents: tuple[_Index, _Index],
        add: Value | bool,
    ) -> None:
        """Copy a matrix of at most a vector's entries either way to its transpose."""
        name = _transposer(self._f.module, self._vector, self._has_masks)
        adding = add if isinstance(add, Value) else Value(str(add).lower(), BOOL)
        arguments = (
            source,
            _integer(source_stride),
            target,
            _integer(target_stride),
            *(each if isinstance(each, Value) else _integer(each) for each in extents),
            adding,
        )
        self._f.do(f"call void @{name}({', '.join(map(str, arguments))})")


# Functions that the products of a module share, as they are long.


def _integer(value: int) -> Value:
    return Value(str(value), INT64)


def _value(index: _Index) -> Value:
    return index if isinstance(index, Value) else _integer(index)


def prefetch(f: Function, pointer: Value, level: int = _FIRST) -> None:
    """Have a line brought to a cache; nothing happens where there is none."""
    f.module.declare("llvm.prefetch.p0", "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    f.do(f"call void @llvm.prefetch.p0({pointer}, i32 0, i32 {level}, i32 1)")


def shuffled(f: Function, x: Value, y: Value | None, entries: Sequence[int]) -> Value:
    """Make a vector of entries of one or two others, counted through both."""
    order = ", ".join(f"i32 {entry}" for entry in entries)
    kind = Type(x.type.element, len(entries))
    y = y or Value("poison", x.type)
    return f.emit(kind, f"shufflevector {x}, {y}, <{len(entries)} x i32> <{order}>")


def transposed(f: Function, vectors: Sequence[Value]) -> list[Value]:
    """Make of n vectors, n at most their length, a vector of n entries for each lane.

    These have the next power of two of entries, of which the first n count; for n = 1, scalars.
    """
    lanes = vectors[0].type.lanes
    if len(vectors) == 1:
        return [f.extract(vectors[0], lane) for lane in range(lanes)]
    count = 1 << (len(vectors) - 1).bit_length()
    vectors = [*vectors, *[f.zero(vectors[0].type)] * (count - len(vectors))]
    vectors = _interleave(f, vectors, lanes)
    if count == lanes:
        return [*vectors]
    return [
        shuffled(
            f,
            vectors[lane * count // lanes],
            None,
            range(lane * count % lanes, lane * count % lanes + count),
        )
        for lane in range(lanes)
    ]


def _interleave(f: Function, vectors: Sequence[Value], block: int) -> list[Value]:
    """Alternate, in each block of entries, between those of a power of two of vectors."""
    lanes, half = vectors[0].type.lanes, len(vectors) // 2
    low = [
        entry
        for start in range(0, lanes, block)
        for lane in range(start, start + block // 2)
        for entry in (lane, lanes + lane)
    ]
    high = [entry + block // 2 for entry in low]
    vectors = [*vectors]
    for _ in range(half.bit_length()):
        pairs = zip(vectors[:half], vectors[half:], strict=True)
        vectors = [shuffled(f, x, y, order) for x, y in pairs for order in (low, high)]
    return vectors


def _transposer(module: Module, kind: Type, has_masks: bool) -> str:
    """Add, once, the function that transposes a matrix of up to as many entries as a vector has.

    Its parameters are the source, the stride of its rows, the same of the target, the extents of
    the source, and whether to add to the target.
    """
    name = f"transpose_{kind.suffix}"
    if module.defines(name):
        return name
    f = module.function(
        name,
        None,
        [
            ("ptr noalias readonly", "source"),
            ("i64", "source_stride"),
            ("ptr noalias", "target"),
            ("i64", "target_stride"),
            ("i64", "rows"),
            ("i64", "columns"),
            ("i1", "add"),
        ],
        linkage="internal",
        attributes="noinline",
    )
    source, source_stride, target, target_stride, rows, columns, add = f.parameters
    lanes, size = kind.lanes, min(kind.lanes, 4)
    part = Type(kind.element, size)
    keep = f.constant(kind, -0.0)  # added, it changes no number

    def address(pointer: Value, index: Value, stride: Value, other: Value) -> Value:
        return f.offset(pointer, kind.element, f.add(f.multiply(index, stride), other))

    def transpose(columns: Value) -> None:
        """Take a few columns at a time, which is less code than all at once."""
        numbers = f.iota("i64", lanes), f.iota("i64", size)
        with f.loop(columns, step=size) as start:
            remaining = f.subtract(columns, start)
            within = f.compare("slt", numbers[1], f.splat(remaining, size))
            parts = []
            for number in range(lanes):
                row = f.intrinsic("llvm.smin", _integer(number), f.subtract(rows, _integer(1)))
                place = address(source, row, source_stride, start)
                parts.append(
                    f.masked_load(part, place, within) if has_masks else f.load(part, place)
                )
            vectors = []
            for number in range(size):
                joined = parts[number::size]
                while len(joined) > 1:
                    joined = [
                        shuffled(f, x, y, range(2 * x.type.lanes))
                        for x, y in zip(joined[::2], joined[1::2], strict=True)
                    ]
                vectors += joined
            filled = f.compare("ult", numbers[0], f.splat(rows, lanes))
            for number, vector in enumerate(_interleave(f, vectors, size)):
                column = f.add(start, _integer(number))
                place = address(target, column, target_stride, _integer(0))
                if has_masks:
                    is_inside = f.compare("slt", column, columns)
                    mask = f.select(is_inside, filled, f.zero(filled.type))
                    old = f.select(add, f.masked_load(kind, place, mask), keep)
                    f.masked_store(f.add(vector, old), place, mask)
                else:
                    old = f.select(add, f.load(kind, place), keep)
                    f.store(f.add(vector, old), place)

    def transpose_square() -> None:
        """Take all at once: each line of the source is read once, wherever its rows lie."""
        zero = _integer(0)
        vectors = [
            f.load(kind, address(source, _integer(number), source_stride, zero))
            for number in range(lanes)
        ]
        for number, vector in enumerate(transposed(f, vectors)):
            place = address(target, _integer(number), target_stride, zero)
            f.store(f.add(vector, f.select(add, f.load(kind, place), keep)), place)

    full = _integer(lanes)
    is_full = f.binary("and", f.compare("eq", rows, full), f.compare("eq", columns, full))
    with f.when(is_full, returns=True):
        transpose_square()
        f.give()
    if has_masks:
        transpose(columns)
        f.give()
        return name
    with f.loop(rows) as row, f.loop(columns) as column:
        entry = f.load(kind.scalar, address(source, row, source_stride, column))
        place = address(target, column, target_stride, row)
        old = f.select(add, f.load(kind.scalar, place), f.constant(kind.scalar, -0.0))
        f.store(f.add(entry, old), place)
    f.give()
    return name


def _add_across(f: Function, vectors: Sequence[Value]) -> Value:
    """Add up the entries of each vector; the sums are the entries of one vector."""
    if len(vectors) == 1:
        return f.reduce("add", vectors[0])
    lanes = vectors[0].type.lanes
    vectors = [*vectors]
    groups = 1  # in a vector, each of so many successive entries still to be added up
    while len(vectors) > 1:
        if len(vectors) % 2:
            vectors.append(f.zero(vectors[0].type))
        width = lanes // groups
        vectors = [
            f.add(*(_halves(f, x, y, width, part) for part in (0, width // 2)))
            for x, y in zip(vectors[::2], vectors[1::2], strict=True)
        ]
        groups *= 2
    (x,) = vectors
    while x.type.lanes > groups:
        width = x.type.lanes // groups
        x = f.add(*(_halves(f, x, None, width, part) for part in (0, width // 2)))
    return x


def _halves(f: Function, x: Value, y: Value | None, width: int, part: int) -> Value:
    """Take one half of each group of entries of x, and then of y."""
    lanes = x.type.lanes * (1 if y is None else 2)
    entries = [
        start + part + entry for start in range(0, lanes, width) for entry in range(width // 2)
    ]
    return shuffled(f, x, y, entries)


def _adder(module: Module, kind: Type) -> str:
    """Add, once, the function that adds up the entries of each of as many vectors in memory."""
    name = f"add_across_{kind.suffix}"
    if not module.defines(name):
        f = module.function(
            name, kind, [("ptr readonly", "vectors")], linkage="internal", attributes="noinline"
        )
        (pointer,) = f.parameters
        vectors = [
            f.load(kind, f.offset(pointer, kind.element, number * kind.lanes))
            for number in range(kind.lanes)
        ]
        f.give(_add_across(f, vectors))
    return name


def _padded(extent: int, lanes: int) -> int:
    return -(-extent // lanes) * lanes


def _runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """Find what follows on each other: (index of the first, how many)."""
    starts = [
        index for index, place in enumerate(places) if index == 0 or place != places[index - 1] + 1
    ]
    ends = [*starts[1:], len(places)]
    return [(start, end - start) for start, end in zip(starts, ends, strict=True)]


def _powers(count: int) -> list[tuple[int, int]]:
    """Divide a count into descending powers of two: (start, power)."""
    parts = []
    start = 0
    while start < count:
        power = 1 << ((count - start).bit_length() - 1)
        parts.append((start, power))
        start += power
    return parts


def _block_length(problem: _Problem, plan: _Plan, element: str) -> int:
    """Choose how much of the inner index is added up before it goes to the result."""
    longest = _BLOCK
    if plan.form == "dot":
        longest *= plan.lanes
        if plan.packed:
            fits = _SCRATCH * 8 // (_BITS[element] * problem.columns)
            longest = min(longest, fits // plan.lanes * plan.lanes)
    blocks = -(-problem.inner // longest)
    # Blocks of one length need the least code.
    for block in range(longest, longest // 2, -1):
        if problem.inner % block == 0:
            return block
    if plan.form == "dot":
        return min(problem.inner, longest)
    return -(-problem.inner // blocks)
