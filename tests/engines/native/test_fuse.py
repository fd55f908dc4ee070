"""What is fused: how many kernels a graph becomes, and that each keeps what fusing promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.engines.native.programs import fused, random_program, recorded

import steepest as sd
from steepest.engines.native.fuse import is_row_aligned
from steepest.engines.native.layout import lay_out
from steepest.engines.native.nests import (
    Buffer,
    Gathered,
    Kernel,
    Load,
    MatrixProduct,
    Number,
    Origin,
    Program,
    Reduce,
    Store,
    loads_of,
)
from steepest.engines.native.verify import verify

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 50)).astype(np.float32)
Y = RNG.normal(size=(200, 30)).astype(np.float32)
W = RNG.normal(size=50).astype(np.float32)
LABELS = RNG.integers(0, 50, 200)
SIGNS = (RNG.random(200) > 0.5).astype(np.float32)


def program_of(function: Callable[..., Any], *args: Any) -> Program:
    return fused(recorded(function, args).graph)


def outer_loops(program: Program) -> list[int]:
    assert all(isinstance(each, Kernel) for each in program.items)
    return [each.outer for each in program.items if isinstance(each, Kernel)]


def readers(program: Program, origin: Origin, position: int = 0) -> int:
    """Count the kernels that read an input or a constant."""
    return sum(
        any(
            (load.buffer.origin, load.buffer.position) == (origin, position)
            for nest in item.nests
            for statement in nest.statements
            for load in loads_of(statement)
        )
        for item in program.items
        if isinstance(item, Kernel)
    )


# Structure


def layer_norm(x: Any) -> Any:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)


def logistic(w: Any, b: Any) -> Any:
    z = X @ w + b
    return np.mean(np.logaddexp(0, z) - SIGNS * z)


def cross_entropy(z: Any) -> Any:
    return sd.nn.softmax_cross_entropy(z, LABELS)


FUSED: dict[str, tuple[Callable[..., Any], tuple[Any, ...], list[int]]] = {
    "element-wise": (lambda x: np.tanh(x * 2 + 1) / 3, (X,), [200]),
    "softmax cross-entropy": (cross_entropy, (X,), [200, 0]),
    "and its gradient": (lambda x: sd.value_and_grad(cross_entropy)(x), (X,), [200, 0]),
    "layer norm": (layer_norm, (X,), [200]),
    "gradient of layer norm": (sd.grad(lambda x: np.sum(layer_norm(x) * x)), (X,), [200]),
    "outer product": (lambda w, x, y: w - 0.1 * np.outer(x, y), (X, SIGNS, W), [200]),
    "movement": (lambda x: (x.T + 1)[:, ::-1].T[..., None] * 2, (X,), [200]),
    "join": (lambda x: np.concatenate([x * 2, x + 1], axis=1), (X,), [200]),
}


@pytest.mark.parametrize(("function", "args", "expected"), FUSED.values(), ids=FUSED)
def test_kernels(function: Callable[..., Any], args: tuple[Any, ...], expected: list[int]) -> None:
    assert outer_loops(program_of(function, *args)) == expected


def test_a_transposed_factor_is_not_copied() -> None:
    program = program_of(lambda x, y: x.T @ y, X, Y)
    (product,) = program.items
    assert isinstance(product, MatrixProduct)
    assert product.left.buffer is program.inputs[0]
    assert product.left.strides == (1, 50)


def test_a_stack_of_rows_that_meet_one_matrix_is_one_product() -> None:
    x = np.ones((5, 40, 50), np.float32)
    (product,) = program_of(lambda x, w: x @ w, x, Y[:50]).items
    assert isinstance(product, MatrixProduct)
    assert (product.extents, product.batch) == ((200, 50, 30), ())


def test_logistic_regression_is_one_pass_over_the_data() -> None:
    program = program_of(sd.value_and_grad(logistic, (0, 1)), W, np.float32(0))
    constants = [
        position for position, each in enumerate(program.constants) if each.shape == X.shape
    ]
    assert len(constants) == 1
    assert readers(program, Origin.CONSTANT, constants[0]) == 1


def test_what_is_read_twice_is_computed_once() -> None:
    program = program_of(lambda x: (np.exp(x), np.sum(np.exp(x), axis=1)), X)
    (kernel,) = program.items
    assert isinstance(kernel, Kernel)
    names = [
        each.value.node.operation.name
        for nest in kernel.nests
        for each in nest.statements
        if hasattr(each.value, "node")
    ]
    assert names.count("exp") == 1


ALIGNED: dict[str, tuple[int, tuple[int, ...], bool]] = {
    "the same entry": (0, (4, 1), True),
    "the row backwards": (3, (4, -1), True),
    "an entry of the row": (2, (4, 0), True),
    "across rows": (0, (1, 4), False),
    "the next row": (4, (4, 1), False),
    "the row before": (-4, (4, 1), False),
    "into the next row": (1, (4, 1), False),
    "into the row before": (2, (4, -1), False),
    "all rows": (0, (0, 1), False),
}


@pytest.mark.parametrize(("offset", "strides", "expected"), ALIGNED.values(), ids=ALIGNED)
def test_rows_that_are_read_where_they_are_written(
    offset: int, strides: tuple[int, ...], expected: bool
) -> None:
    buffer = Buffer(0, np.dtype(float), 40)
    store = Store(buffer, 0, (4, 1), Number(0.0, buffer.dtype))
    assert is_row_aligned(store, Load(buffer, offset, strides), (10, 4)) is expected
    row = Gathered(buffer, 0, (4, 0), ((Number(0, np.dtype(int)), 1, 4),))
    assert is_row_aligned(store, row, (10, 4))
    column = Gathered(buffer, 0, (4, 0), ((Number(0, np.dtype(int)), 4, 4),))
    assert not is_row_aligned(store, column, (10, 4))
    total = Reduce("sum", buffer, 0, (0, 1), (True, False), store.value)
    assert not is_row_aligned(total, Load(buffer, offset, strides), (10, 4))


# What verify finds


def sample() -> Program:
    """Make a program with several items, and a kernel of several nests."""

    def function(x: Any) -> Any:
        e = np.exp(x - np.max(x, axis=1, keepdims=True))
        return (e / np.sum(e, axis=1, keepdims=True)).T @ Y

    return program_of(function, X)


def nests_in_another_order(program: Program) -> None:
    first_kernel(program).nests.reverse()


def items_in_another_order(program: Program) -> None:
    program.items.reverse()


def reading_beyond(program: Program) -> None:
    change_first_load(program, offset=1)


def reading_before(program: Program) -> None:
    change_first_load(program, offset=-1)


def a_stride_missing(program: Program) -> None:
    change_first_load(program, strides=(1,))


def writing_to_one_place(program: Program) -> None:
    nest = next(each for each in first_kernel(program).nests if type(each.statements[0]) is Store)
    nest.statements[0] = replace(nest.statements[0], strides=(0, 0))


def writing_twice(program: Program) -> None:
    nests = first_kernel(program).nests
    nests.append(nests[-1])


def another_dtype(program: Program) -> None:
    program.inputs[0].dtype = np.dtype(np.int32)


def sharing_memory(program: Program) -> None:
    for buffer in program.buffers:
        if buffer.origin is Origin.ARENA:
            buffer.offset = 0


def beyond_the_arena(program: Program) -> None:
    next(each for each in program.buffers if each.origin is Origin.ARENA).offset = 10**6


def an_output_missing(program: Program) -> None:
    program.items.pop()


def first_kernel(program: Program) -> Kernel:
    return next(each for each in program.items if isinstance(each, Kernel))


def change_first_load(program: Program, **change: Any) -> None:
    """Change what is read where the first value of the first kernel is a load."""
    statement = first_kernel(program).nests[0].statements[0]
    assert isinstance(statement.value, Load)
    first_kernel(program).nests[0].statements[0] = replace(
        statement, value=replace(statement.value, **change)
    )


MISTAKES: dict[str, tuple[Callable[[Program], None], str]] = {
    "nests in another order": (nests_in_another_order, "before"),
    "items in another order": (items_in_another_order, "read before it is written"),
    "reading beyond": (reading_beyond, "is left"),
    "reading before": (reading_before, "is left"),
    "a stride missing": (a_stride_missing, "do not fit"),
    "writing to one place": (writing_to_one_place, "one place"),
    "writing twice": (writing_twice, "written twice"),
    "another dtype": (another_dtype, "another dtype"),
    "sharing memory": (sharing_memory, "share memory"),
    "beyond the arena": (beyond_the_arena, "leaves the arena"),
    "an output missing": (an_output_missing, "read before it is written"),
}


@pytest.mark.parametrize(("make", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_found(make: Callable[[Program], None], message: str) -> None:
    program = sample()
    size = lay_out(program)
    verify(program, size)
    make(program)
    with pytest.raises(ValueError, match=message):
        verify(program, size)


def test_every_random_program_is_verified() -> None:
    for seed in range(20_000, 20_060):
        program = random_program(seed, special=bool(seed % 2))
        functions: list[Callable[..., Any]] = [program]
        if program.differentiable:
            functions.append(program.gradient)
        for function in functions:
            try:
                graph = recorded(function, program.inputs).graph
            except ZeroDivisionError:  # of a mean of nothing, by Python
                continue
            for careful in (False, True):
                fused(graph, careful=careful)
