"""Random programs, natively and by the interpreter: values, gradients and second derivatives."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.differentiate.test_random_programs import MOST_STATEMENTS
from tests.differentiate.test_random_programs import random_program as random_smooth_program
from tests.engines.native.programs import (
    FAMILIES,
    LESSER,
    RandomProgram,
    errors_of,
    random_program,
    recorded,
)

from steepest.engines.native.processor import host_processor, processor

NUMBER_OF_PROGRAMS = 60
OF_LESSER_PROCESSORS = 25
VERY_MANY = 2_000


def check(program: RandomProgram, **options: Any) -> None:
    functions: dict[str, Callable[..., Any]] = {"value": program}
    if program.differentiable:
        functions |= {"gradient": program.gradient, "second derivative": program.second}
    for what, function in functions.items():
        try:
            graph = recorded(function, program.inputs)
        except ZeroDivisionError:  # of a mean of nothing, by Python
            continue
        wrong = errors_of(graph, narrowest=program.dtype, **options)
        assert not wrong, f"{what} of program {program.seed}: {wrong}"


@pytest.mark.parametrize("seed", range(NUMBER_OF_PROGRAMS))
def test_random_programs(seed: int) -> None:
    check(random_program(seed))


@pytest.mark.parametrize("seed", range(NUMBER_OF_PROGRAMS))
def test_random_programs_of_numbers_that_are_not_finite(seed: int) -> None:
    check(random_program(seed, special=True))


@pytest.mark.parametrize("seed", range(NUMBER_OF_PROGRAMS // 2))
def test_random_programs_of_smooth_functions(seed: int) -> None:
    check_smooth(seed)


def check_smooth(seed: int) -> None:
    """Try a program of the tests of differentiation, whose values shapes alone determine."""
    program = random_smooth_program(seed, MOST_STATEMENTS)
    if program.needs_values:
        return
    single = np.float32 if "SINGLE" in program.source else np.float64
    wrong = errors_of(
        recorded(program.functions()[0], program.inputs), narrowest=single, exactly=False
    )
    assert not wrong, f"{program.source}: {wrong}"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are processors of this kind")
@pytest.mark.parametrize("seed", range(OF_LESSER_PROCESSORS))
@pytest.mark.parametrize("name", LESSER)
def test_random_programs_on_lesser_processors(name: str, seed: int) -> None:
    lesser = processor(host_processor().triple, name, LESSER[name])
    check(random_program(10_000 + seed, special=bool(seed % 2)), processor=lesser)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(NUMBER_OF_PROGRAMS, VERY_MANY))
def test_very_many_random_programs(seed: int) -> None:
    check(random_program(seed, special=bool(seed % 2)))
    check_smooth(seed)


def test_programs_are_of_every_kind() -> None:
    programs = [random_program(seed) for seed in range(NUMBER_OF_PROGRAMS)]
    names = {step.function.__qualname__.split(".")[0] for each in programs for step in each.steps}
    tabled = {"unary", "binary", "with_captured", "integers", "mixed", "rows"}
    tabled |= {"product", "product_of_two"}
    assert {each.__name__ for each in FAMILIES} - tabled <= names
    shapes = {np.shape(each) for program in programs for each in program.values}
    assert {len(each) for each in shapes} == {0, 1, 2, 3, 4}
    assert any(0 in each for each in shapes)
    assert {each.dtype.name for each in programs} == {"float32", "float64"}
