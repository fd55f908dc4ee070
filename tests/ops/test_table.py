"""Every entry of the op table, on its own samples: value, type, derivatives, recording.

Nothing here knows an entry by name, but for the rules that are broken on purpose at the end.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.exceptions import ComplexWarning
from tests.differences import assert_within, gradient_by_differences

import steepest as sd
from steepest.array import Array
from steepest.compiling import compile as compile_
from steepest.errors import UnsupportedError
from steepest.graph import ArrayType, type_of
from steepest.ops import all_primitives
from steepest.ops.spec import Primitive, Sample, bind

FLOATING = "fc"

# -- running an entry -------------------------------------------------------------------------


def as_tuple(entry: Primitive, result: Any) -> tuple[Any, ...]:
    return tuple(result) if entry.outputs > 1 else (result,)


def evaluate(entry: Primitive, sample: Sample) -> tuple[Any, ...]:
    with np.errstate(all="ignore"):
        return as_tuple(entry, entry.evaluate(*sample.args, **sample.static))


def function_of(entry: Primitive, sample: Sample, positions: Sequence[int]) -> Callable[..., Any]:
    """Make the function of the arguments at some positions, the others held fixed."""

    def function(*moving: Any) -> Any:
        args = list(sample.args)
        for position, value in zip(positions, moving, strict=True):
            args[position] = value
        return as_tuple(entry, bind(entry, args, sample.static))

    function.__name__ = entry.name
    return function


def draw(generator: np.random.Generator, like: Any) -> Any:
    """Draw a value of the shape and dtype of another."""
    array = np.asarray(like)
    value = generator.uniform(0.5, 1.5, array.shape) * generator.choice([-1, 1], array.shape)
    if array.dtype.kind == "c":
        value = value + 1j * generator.uniform(-1, 1, array.shape)
    return np.asarray(value).astype(array.dtype)[()]


def loss_of(
    entry: Primitive, sample: Sample, positions: Sequence[int], *, curved: bool = False
) -> Callable[[tuple[Any, ...]], Any]:
    """Weight the results at random and add them up; curved, so that linear entries bend too."""
    generator = np.random.default_rng(1)
    weights = [draw(generator, result) for result in evaluate(entry, sample)]
    function = function_of(entry, sample, positions)

    def loss(moving: tuple[Any, ...]) -> Any:
        total: Any = 0.0
        for weight, result in zip(weights, function(*moving), strict=True):
            if weight.dtype.kind in FLOATING:
                term = result * (1 + result / 2) if curved else result
                total = total + np.real(np.sum(weight * term))
        return total

    return loss


def moving_arguments(sample: Sample, positions: Sequence[int]) -> tuple[Any, ...]:
    return tuple(sample.args[position] for position in positions)


def same_bits(first: Any, second: Any) -> bool:
    """Whether two values have the same type, dtype, shape and bits."""
    one, two = np.asarray(first), np.asarray(second)
    return (
        type(first) is type(second)
        and one.dtype == two.dtype
        and one.shape == two.shape
        # The padding of a long double is no part of its value.
        and (
            np.array_equal(one, two, equal_nan=one.dtype.kind in FLOATING)
            and np.array_equal(np.signbit(np.real(one)), np.signbit(np.real(two)))
        )
    )


# -- cases ------------------------------------------------------------------------------------


def samples_of(entry: Primitive) -> list[Sample]:
    """Draw an entry's samples; for Python's operators also Python's numbers."""
    samples = list(entry.samples(np.random.default_rng(list(entry.name.encode()))))
    for sample in samples:
        if all(np.ndim(arg) == 0 for arg in sample.args):
            numbers = tuple(np.asarray(arg).item() for arg in sample.args)
            inferred = entry.infer(*map(type_of, numbers), **sample.static)
            if isinstance(inferred, ArrayType) and inferred.weak:
                return [*samples, Sample(numbers, sample.static)]
    return samples


def kind_of(arg: Any) -> str:
    return np.asarray(arg).dtype.kind


def differentiable_positions(entry: Primitive, sample: Sample) -> list[int]:
    """Positions of the arguments that have a derivative rule and are floating point."""
    return [
        position
        for position, arg in enumerate(sample.args)
        if has_rule(entry, sample, position) and kind_of(arg) in FLOATING
    ]


def has_rule(entry: Primitive, sample: Sample, position: int) -> bool:
    """Whether there is a derivative by an argument, and no refusal in its place."""
    if entry.joint_vjp is not None:
        return True
    rule, static = entry.rule_at(entry.vjps, position, sample.static)
    if rule is None:
        return False
    results = evaluate(entry, sample)
    result = results if entry.outputs > 1 else results[0]
    try:
        rule(result, result, sample.args, static)
    except UnsupportedError:
        return False
    return True


def cast_argument(arg: Any, dtype: Any) -> Any:
    """Change the dtype of an argument; from real to complex, leave the real axis."""
    array = np.asarray(arg)
    target = np.dtype(dtype)
    if target.kind == "c" and array.dtype.kind != "c":
        imaginary = np.linspace(0.1, 0.4, array.size).reshape(array.shape)
        return (array * (1 + 0.05j) + 1j * imaginary).astype(target)[()]
    if target.kind in "biu":
        array = np.abs(array)
    return array.astype(target)[()]


def with_floating(sample: Sample, dtype: Any) -> Sample:
    return Sample(
        tuple(
            cast_argument(arg, dtype) if kind_of(arg) in FLOATING else arg for arg in sample.args
        ),
        sample.static,
    )


def accepted(entry: Primitive, sample: Sample) -> bool:
    """Whether NumPy has a loop for these dtypes, and loses no imaginary part."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ComplexWarning)
        try:
            evaluate(entry, sample)
        except (TypeError, ComplexWarning):
            return False
    return True


Samples = dict[str, list[Sample]]
"""Of entries, by their names."""


def those(samples: Samples, wanted: Callable[[Primitive, Sample], Any]) -> Samples:
    """Take the samples that are wanted, of the entries that have some."""
    found = {
        name: [each for each in some if wanted(all_primitives()[name], each)]
        for name, some in samples.items()
    }
    return {name: some for name, some in found.items() if some}


ALL = {name: samples_of(entry) for name, entry in all_primitives().items()}
DIFFERENTIABLE = those(ALL, differentiable_positions)
COMPLEX = those(
    {
        name: [with_floating(each, complex) for each in some]
        for name, some in DIFFERENTIABLE.items()
    },
    lambda entry, sample: accepted(entry, sample) and differentiable_positions(entry, sample),
)
PLAIN = those(
    ALL,
    lambda entry, sample: (
        not entry.differentiable and any(kind_of(arg) in FLOATING for arg in sample.args)
    ),
)


Check = Callable[[Primitive, Sample], None]


def check_each(check: Check, name: str, samples: Samples) -> None:
    """Run a check on each sample of an entry; one test for each sample would take longer."""
    for sample in samples[name]:
        try:
            check(all_primitives()[name], sample)
        except BaseException as error:
            error.add_note(f"{name} of {sample}")
            raise


# -- checks: each raises AssertionError for an entry that is wrong ----------------------------


def dtype_variations(entry: Primitive, sample: Sample) -> Iterator[Sample]:
    """Give the arguments that are numbers all dtypes together, and mixed ones by pairs."""
    numbers = "fc" if any(kind_of(arg) in FLOATING for arg in sample.args) else "iu"
    places = [place for place, arg in enumerate(sample.args) if kind_of(arg) in numbers]
    for dtype in "?bBhilLQefdgFDG":
        yield replaced(sample, dict.fromkeys(places, dtype))
    if len(places) > 1:
        choices: list[Any] = [*"?bBiQefdgFDG"]
        if entry.broadcasts:
            # Arrays to the power of 2 are squared, which has types of its own.
            choices += [True, 3, 0.5, 0.5j]
        for first, second in itertools.product(choices, repeat=2):
            mixed = {place: (first, second)[turn % 2] for turn, place in enumerate(places)}
            yield replaced(sample, mixed)


def replaced(sample: Sample, choices: dict[int, Any]) -> Sample:
    args = list(sample.args)
    for place, choice in choices.items():
        # As ndarrays: Python's complex takes np.float64 for its own float.
        args[place] = (
            np.asarray(cast_argument(args[place], choice)) if isinstance(choice, str) else choice
        )
    return Sample(tuple(args), sample.static)


def check_type(entry: Primitive, sample: Sample) -> None:
    """Check that `infer` says what `evaluate` does, or that both refuse."""
    for variation in dtype_variations(entry, sample):
        types = [type_of(arg) for arg in variation.args]
        described = f"{entry.name}({', '.join(map(str, types))})"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results = evaluate(entry, variation)
        except TypeError:
            with pytest.raises((TypeError, ValueError)):
                entry.infer(*types, **variation.static)
            continue
        except (IndexError, ValueError, OverflowError, ZeroDivisionError, np.linalg.LinAlgError):
            # Refused for its values, which a type does not know; or there are no axes to index.
            continue
        expected = tuple(type_of(result) for result in results)
        inferred = entry.infer(*types, **variation.static)
        given = inferred if isinstance(inferred, tuple) else (inferred,)
        assert given == expected, (
            f"{described}: {list(map(str, given))} instead of {list(map(str, expected))}"
        )


def check_first_derivative(entry: Primitive, sample: Sample) -> None:
    positions = differentiable_positions(entry, sample)
    loss = loss_of(entry, sample, positions)
    x = moving_arguments(sample, positions)
    values, errors = gradient_by_differences(loss, x)
    gradient = sd.grad(loss)(x)
    for argument, actual, expected, error in zip(x, gradient, values, errors, strict=True):
        assert type_of(actual) == type_of(argument)
        assert_within(actual, expected, error)


def check_second_derivative(entry: Primitive, sample: Sample) -> None:
    positions = differentiable_positions(entry, sample)
    loss = loss_of(entry, sample, positions, curved=True)
    x = moving_arguments(sample, positions)
    generator = np.random.default_rng(2)
    direction = tuple(draw(generator, each) for each in x)

    def slope(at: tuple[Any, ...]) -> Any:
        total: Any = 0.0
        for along, each in zip(direction, sd.grad(loss)(at), strict=True):
            total = total + np.sum(along * each)
        return total

    values, errors = gradient_by_differences(slope, x)
    forward_over_reverse = sd.hvp(loss, x, direction)
    reverse_over_reverse = sd.grad(slope)(x)
    for product in (forward_over_reverse, reverse_over_reverse):
        for actual, expected, error in zip(product, values, errors, strict=True):
            assert_within(actual, expected, error)


def check_care(entry: Primitive, sample: Sample) -> None:
    """Check that rules give the same with care of NaN and without, where there is none."""
    results = evaluate(entry, sample)
    g, ans = (results, results) if entry.outputs > 1 else (results[0], results[0])
    for careful, quick in zip(entry.vjps, entry.quick_vjps, strict=True):
        if careful is not quick:
            assert careful is not None
            assert quick is not None
            expected = careful(g, ans, sample.args, sample.static)
            np.testing.assert_array_equal(
                quick(g, ans, sample.args, sample.static), expected, strict=True
            )


def check_transposes(entry: Primitive, sample: Sample) -> None:
    """Check ⟨w, J t⟩ = ⟨Jᵀ w, t⟩: forward and reverse mode have the same Jacobian.

    Of complex numbers the real part, as absolute values and the like are linear in no other way.
    """
    positions = differentiable_positions(entry, sample)
    function = function_of(entry, sample, positions)
    x = moving_arguments(sample, positions)
    generator = np.random.default_rng(3)
    tangents = tuple(draw(generator, each) for each in x)
    value, pushed = sd.jvp(function, x, tangents)
    _, pullback = sd.vjp(function, *x)
    cotangents = tuple(draw(generator, each) for each in value)
    pulled = pullback(cotangents)
    for result, tangent in zip(value, pushed, strict=True):
        one, two = type_of(result), type_of(tangent)
        assert (one.shape, one.dtype) == (two.shape, two.dtype)
    forward = [np.sum(w * t) for w, t in zip(cotangents, pushed, strict=True)]
    backward = [np.sum(w * t) for w, t in zip(pulled, tangents, strict=True)]
    size = 1 + sum(np.sum(np.abs(w * t)) for w, t in zip(pulled, tangents, strict=True))
    assert abs(np.real(sum(forward) - sum(backward))) <= 1e-12 * size


def check_single_precision(entry: Primitive, sample: Sample) -> None:
    """Check that float32 stays float32: in results of the engine, and inside of the rules."""
    single = with_floating(sample, np.float32)
    positions = differentiable_positions(entry, single)
    x = moving_arguments(single, positions)
    for gradient, each in zip(sd.grad(loss_of(entry, single, positions))(x), x, strict=True):
        assert type_of(gradient) == type_of(each)
    # Each argument in single precision among others in double.
    for position in positions:
        mixed = list(sample.args)
        mixed[position] = single.args[position]
        loss = loss_of(entry, Sample(tuple(mixed), sample.static), [position])
        (gradient,) = sd.grad(loss)((mixed[position],))
        assert type_of(gradient) == type_of(mixed[position])
    check_rules(entry, single, positions)


def check_rules(entry: Primitive, sample: Sample, positions: Sequence[int]) -> None:
    """Check what the rules return, before the engine makes it fit."""
    results = evaluate(entry, sample)
    if entry.joint_vjp is not None or any(type_of(each).dtype != np.float32 for each in results):
        return
    generator = np.random.default_rng(4)
    cotangents = tuple(draw(generator, each) for each in results)
    g, ans = (cotangents, results) if entry.outputs > 1 else (cotangents[0], results[0])
    for position in positions:
        argument = sample.args[position]
        with np.errstate(all="ignore"):
            rule, static = entry.rule_at(entry.vjps, position, sample.static)
            assert rule is not None
            cotangent = rule(g, ans, sample.args, static)
            # Of a complex cotangent the engine takes the real part.
            assert cotangent.dtype.char in "fF", f"a cotangent of {cotangent.dtype}"
            assert entry.broadcasts or cotangent.shape == argument.shape
            rule, static = entry.rule_at(entry.jvps, position, sample.static)
            if rule is not None:
                tangent = rule(draw(generator, argument), ans, sample.args, static)
                assert tangent.dtype == np.float32, f"a tangent of {tangent.dtype}"


ESTIMATED = ("logm",)
"""SciPy's logarithm of a matrix estimates norms from random vectors."""


def is_same(entry: Primitive, actual: Any, expected: Any) -> bool:
    """Whether results are the same to the bit; of what draws random numbers, to rounding."""
    if entry.name in ESTIMATED and actual.dtype == expected.dtype:
        return np.allclose(actual, expected, rtol=1e3 * np.finfo(actual.dtype).eps)
    return same_bits(actual, expected)


def check_recording(entry: Primitive, sample: Sample) -> None:
    """Check that values are the same to the bit, plain and through every kind of trace.

    By the reference engine; tests/engines/native says how far native code may differ.
    """
    plain = evaluate(entry, sample)
    positions = [p for p, arg in enumerate(sample.args) if kind_of(arg) in FLOATING]
    x = moving_arguments(sample, positions)
    function = function_of(entry, sample, positions)
    traced = [sd.vjp(function, *x)[0], sd.jvp(function, x, x)[0]] if positions else []
    for result in (*traced, compile_(function, engine="interpret")(*x)):
        for actual, expected in zip(result, plain, strict=True):
            assert is_same(entry, actual, expected), f"{actual!r} instead of {expected!r}"


def check_recorded_gradient(entry: Primitive, sample: Sample) -> None:
    positions = differentiable_positions(entry, sample)
    x = moving_arguments(sample, positions)
    loss = loss_of(entry, sample, positions)
    expected = sd.grad(loss)(x)
    for transformed in (
        compile_(sd.grad(loss), engine="interpret"),
        sd.grad(compile_(loss, engine="interpret")),
    ):
        for one, two in zip(transformed(x), expected, strict=True):
            # For numbers NumPy has ndarrays without axes and scalars; a graph keeps them not apart.
            same = is_same(entry, np.asarray(one), np.asarray(two))
            assert same, f"{one!r} instead of {two!r}"


# -- tests ------------------------------------------------------------------------------------


def check_plain(entry: Primitive, sample: Sample) -> None:
    positions = [p for p, arg in enumerate(sample.args) if kind_of(arg) in FLOATING]
    function = function_of(entry, sample, positions)

    def loss(moving: tuple[Any, ...]) -> float:
        assert not any(isinstance(each, Array) for each in function(*moving))
        return 0.0

    for gradient in sd.grad(loss)(moving_arguments(sample, positions)):
        assert not np.any(gradient)


CHECKS: dict[str, tuple[Check, Samples]] = {
    "type inferred as NumPy gives it": (check_type, ALL),
    "value the same plain, traced and compiled": (check_recording, ALL),
    "first derivative": (check_first_derivative, DIFFERENTIABLE),
    "first derivative by complex arguments": (check_first_derivative, COMPLEX),
    "rules with care of NaN and without agree": (check_care, DIFFERENTIABLE),
    "second derivative": (check_second_derivative, DIFFERENTIABLE),
    "forward and reverse mode transposes": (check_transposes, DIFFERENTIABLE),
    "the same for complex arguments": (check_transposes, COMPLEX),
    "single precision stays": (check_single_precision, DIFFERENTIABLE),
    "compiled gradient": (check_recorded_gradient, DIFFERENTIABLE),
    "plain value without derivative": (check_plain, PLAIN),
}
"""What is checked, and on which samples."""


@pytest.mark.parametrize(
    ("what", "name"), [(what, name) for what, (_, samples) in CHECKS.items() for name in samples]
)
def test_entry(what: str, name: str) -> None:
    check, samples = CHECKS[what]
    check_each(check, name, samples)


@pytest.mark.parametrize("name", all_primitives())
def test_samples_reach_every_rule(name: str) -> None:
    entry = all_primitives()[name]
    samples = samples_of(entry)
    assert samples
    tried, ruled = set(), set()
    for sample in samples:
        for position, arg in enumerate(sample.args):
            place = position if entry.tail is None else min(position, entry.tail)
            if has_rule(entry, sample, position):
                ruled.add(place)
                if kind_of(arg) in FLOATING and np.size(arg):
                    tried.add(place)
    assert tried == ruled


# -- the checks themselves: a rule that is broken must be noticed ------------------------------

Wrapped = Callable[..., Any]


def noticed(check: Check, entry: Primitive) -> bool:
    """Whether a check finds an entry wrong on at least one of its samples."""
    for sample in samples_of(entry):
        try:
            check(entry, sample)
        except (AssertionError, ValueError):
            return True
    return False


def broken_vjps(entry: Primitive, change: Callable[[Any], Any]) -> list[Wrapped | None]:
    def broken(rule: Wrapped) -> Wrapped:
        return lambda g, ans, args, static: change(rule(g, ans, args, static))

    return [None if rule is None else broken(rule) for rule in entry.vjps]


def break_vjps(entry: Primitive, rules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace rules, for passes with care of NaN and without."""
    monkeypatch.setattr(entry, "vjps", rules)
    monkeypatch.setattr(entry, "quick_vjps", rules)


@pytest.mark.parametrize("name", ["sin", "arctan2", "max", "matmul", "where", "transpose"])
@pytest.mark.parametrize(
    ("change", "check"),
    [
        pytest.param(lambda g: -g, check_first_derivative, id="wrong sign"),
        pytest.param(lambda g: 2 * g, check_first_derivative, id="twice"),
        pytest.param(lambda g: g * (1 + 1e-9), check_first_derivative, id="slightly wrong"),
        pytest.param(lambda g: -g, check_transposes, id="wrong sign, by transposing"),
        pytest.param(lambda g: g * np.float64(1), check_single_precision, id="double"),
        pytest.param(sd.stop_gradient, check_second_derivative, id="frozen"),
    ],
)
def test_broken_rule_is_noticed(
    name: str, change: Callable[[Any], Any], check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = all_primitives()[name]
    assert not noticed(check, entry)
    break_vjps(entry, broken_vjps(entry, change), monkeypatch)
    assert noticed(check, entry)


def test_missing_sum_over_broadcast_axes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = all_primitives()["broadcast"]
    rules = [lambda g, _ans, args, _static: g[(0,) * (g.ndim - args[0].ndim)]]
    break_vjps(entry, rules, monkeypatch)
    monkeypatch.setattr(entry, "keeps", all_primitives()["sin"].keeps)
    monkeypatch.setattr(entry, "reads_arguments", True)
    assert noticed(check_first_derivative, entry)


def test_wrong_tangent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = all_primitives()["sin"]
    monkeypatch.setattr(entry, "jvps", broken_vjps(entry, lambda t: 2 * t))
    assert noticed(check_transposes, entry)


def test_wrong_type_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = all_primitives()["sin"]
    monkeypatch.setattr(entry, "infer", lambda x: x)
    assert noticed(check_type, entry)
