"""Products that nobody searches for NaN, because who reads them notices it, and those that are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.engines.native.programs import fused, recorded

import steepest as sd
from steepest.engines.native import emit
from steepest.engines.native.calling import Flags
from steepest.engines.native.nests import MatrixProduct, Program
from steepest.engines.native.noticing import noticed
from steepest.engines.native.program import Native

X = np.random.default_rng(0).normal(size=(32, 8))
MATRIX = np.random.default_rng(1).normal(size=(8, 8))


def products(program: Program) -> list[MatrixProduct]:
    return [item for item in program.items if isinstance(item, MatrixProduct)]


def step(before: Callable[[Any], Any], after: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a step whose backward pass multiplies by a matrix, and hands the product on."""

    def function(w: Any) -> Any:
        gradient = sd.grad(lambda w: np.sum(np.tanh(before(w * X) @ MATRIX)))(w)
        return after(gradient)

    return function


# What happens to z before the product, and to the gradient after it; whether NaN is noticed where
# the result must be finite, and where it need not be.
CASES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], bool, bool]] = {
    "scaled": (lambda z: z, lambda g: g, True, True),
    "through tanh": (np.tanh, lambda g: g, True, True),
    "masked": (lambda z: np.maximum(z, 0), lambda g: g, False, False),
}


@pytest.mark.parametrize("name", CASES)
def test_the_product_of_a_backward_pass(name: str) -> None:
    before, after, if_finite, otherwise = CASES[name]
    program = fused(recorded(step(before, after), [np.ones(8)]).graph)
    (backward,) = [each for each in products(program) if each.zero_safe]
    assert (backward.result in noticed(program, program.outputs)) == if_finite
    assert (backward.result in noticed(program, ())) == otherwise


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (lambda g: MATRIX - 0.1 * g, True),
        (lambda g: MATRIX - 0.1 * np.sqrt(np.square(g)) / (1.0 + np.abs(g)), True),
        (lambda g: MATRIX - 0.1 * np.sign(g), False),
        (lambda g: MATRIX - np.where(np.isnan(g), 0.0, g), False),
        (lambda g: MATRIX - 0.1 * np.sum(g), True),
        (lambda g: MATRIX - 0.1 * np.max(g), False),
        (lambda g: MATRIX[:4] - 0.1 * g[:4], False),
        (lambda g: MATRIX[:4] - 0.1 * g[:4] + 0.1 * g[4:], False),
        (lambda g: MATRIX - 0.1 * g.T, True),
        (lambda g: g, False),
    ],
    ids=(
        "update",
        "formula",
        "sign",
        "isnan",
        "sum",
        "max",
        "part",
        "parts",
        "transposed",
        "itself",
    ),
)
def test_a_gradient_that_is_a_product(after: Callable[[Any], Any], expected: bool) -> None:
    gradient = sd.grad(lambda w: np.sum(np.tanh(X @ w)))
    program = fused(recorded(lambda w: after(gradient(w)), [MATRIX]).graph)
    backward = [each for each in products(program) if each.zero_safe]
    assert len(backward) == 1
    found = noticed(program, program.outputs)
    assert (backward[0].result in found) == expected
    assert backward[0].result not in noticed(program, ())
    assert not noticed(fused(recorded(gradient, [MATRIX]).graph, careful=True), ())


def spoilt(z: Any) -> Any:
    """Multiply by a matrix with infinities, of whose products the gradient wants none."""
    matrix = MATRIX.copy()
    matrix[:, 1] = np.inf
    return (z @ matrix)[:, 2:]


def test_compiled_code_says_that_there_was_nan() -> None:
    gradient = sd.grad(lambda w: np.sum(np.tanh(spoilt(np.tanh(w * X)))))
    run = Native(recorded(gradient, [np.ones(8)]).graph)
    (backward,) = [each for each in products(run.program) if each.zero_safe]
    assert backward.result in noticed(run.program, ())
    flags, _ = run._code(careful=False).run([np.ones(8)])
    assert flags & Flags.NAN
    with np.errstate(all="ignore"):
        expected = gradient(np.ones(8))
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(run([np.ones(8)])[0], expected, rtol=1e-12)


LAYERS: dict[str, Callable[[Any], Any]] = {
    "none": lambda z: z,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("layer", LAYERS)
def test_training_goes_on_with_care(layer: str, optimizer: str) -> None:
    def train(engine: str) -> Any:
        return sd.descend(
            lambda w, rows: np.mean(np.tanh(spoilt(LAYERS[layer](rows @ w)))),
            MATRIX,
            X,
            step_size=0.1,
            batch_size=8,
            steps=10,
            optimizer=optimizer,
            engine=engine,
            progress=False,
        )

    with np.errstate(all="ignore"):
        result, expected = train("native"), train("interpret")
    assert result.steps == expected.steps == 10
    assert result.engine == "native"
    np.testing.assert_allclose(result.weights, expected.weights, rtol=1e-9)


def test_who_is_noticed_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    def functions(is_searched: bool) -> str:
        from steepest.engines.native.assembly import Module
        from steepest.engines.native.processor import host_processor

        if is_searched:
            monkeypatch.setattr(emit, "noticed", lambda program, finite: frozenset())
        gradient = sd.grad(lambda w: np.sum(np.tanh(X @ w)))
        program = fused(recorded(lambda w: w - 0.1 * gradient(w), [MATRIX]).graph)
        module = Module(host_processor())
        emit.emit_program(module, program, host_processor(), "run", finite=program.outputs)
        return str(module)

    assert len(functions(False)) < len(functions(True))
