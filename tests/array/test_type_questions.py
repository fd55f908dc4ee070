"""What code asks of the type of a value has the same answer while it is traced."""

import builtins
import collections.abc
import copy
import functools
import numbers
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest.errors import NotCompiledWarning, TracedConversionError, UnsupportedError

QUESTIONS: dict[str, Callable[[Any], object]] = {
    "an array": lambda x: isinstance(x, np.ndarray),
    "a number of a type": lambda x: isinstance(np.float64(x[0]), np.float64),
    "a type of numbers": lambda x: (np.float64 is x.dtype.type, np.dtype(np.float64) == x.dtype),
    "an array of several types": lambda x: isinstance(x, (list, tuple, np.ndarray)),
    "an array, a float": lambda x: isinstance(x, float),
    "an entry, an array": lambda x: isinstance(x[0], np.ndarray),
    "an entry, a float": lambda x: isinstance(x[0], float),
    "an entry, a NumPy float": lambda x: isinstance(x[0], np.floating),
    "an entry, an integer": lambda x: isinstance(x[0], (int, np.integer)),
    "an entry, a number": lambda x: isinstance(x[0], numbers.Real),
    "a single precision entry, a float": lambda x: isinstance(x.astype(np.float32)[0], float),
    "a complex entry, a complex": lambda x: isinstance((1j * x)[0], complex),
    "a comparison, a bool": lambda x: isinstance((x > 0)[0], np.bool_),
    "a sum, a float": lambda x: isinstance(np.sum(x), float),
    "an array without axes": lambda x: isinstance(x[:1].reshape(()), np.ndarray),
    "a new array": lambda x: isinstance(np.zeros(2), np.ndarray),
    "a view, written into": lambda x: isinstance(_written(x)[1:], np.ndarray),
    "a copy": lambda x: isinstance(copy.copy(x), np.ndarray),
    "the class": lambda x: (x.__class__, x[0].__class__),
    "a scalar": lambda x: (np.isscalar(x), np.isscalar(x[0])),
    "something to iterate over": lambda x: isinstance(x, collections.abc.Iterable),
    "an entry to iterate over": lambda x: isinstance(x[0], collections.abc.Iterable),
    "a sum with a length": lambda x: isinstance(np.sum(x), collections.abc.Sized),
    "Python's number as a container": lambda x: isinstance(x[0].item(), collections.abc.Collection),
    "an array as a container": lambda x: isinstance(x, collections.abc.Collection),
    "an array without axes, to iterate over": lambda x: isinstance(
        x[:1].reshape(()), collections.abc.Iterable
    ),
    "an array, a key": lambda x: isinstance(x, collections.abc.Hashable),
    "an entry, a key": lambda x: isinstance(x[0], collections.abc.Hashable),
    "an entry, as an array": lambda x: isinstance(x[0][...], np.ndarray),
    "a choice of entries": lambda x: isinstance(np.where(x[0] > 0, x[0], 0), np.ndarray),
    "an array without axes, cast": lambda x: isinstance(
        x[:1].reshape(()).astype(np.float32), np.ndarray
    ),
    "a sequence": lambda x: isinstance(x, collections.abc.Sequence),
    "a list or a function": lambda x: (isinstance(x, list), callable(x)),
    "a type": lambda x: isinstance(x, type),
    "the type": lambda x: (type(x), type(x[0]), type(x[0].item()), type(np.sum(x))),
    "the type's name": lambda x: (type(x).__name__, type(x[0]).__name__),
    "an array by its type": lambda x: type(x) is np.ndarray and type(x[0]) is np.float64,
    "one of several types": lambda x: (type(x) in (list, np.ndarray), type(x[0]) not in (float,)),
    "by a table of types": lambda x: {np.ndarray: 1, np.float64: 2}[type(x)],
    "the types of several": lambda x: tuple(map(type, x)),
    "a type of types": lambda x: (
        isinstance(np.ndarray, type),
        issubclass(type, type),
        type(np.ndarray) is type,
        type("A", (), {}).__name__,
    ),
    "an entry with a length": lambda x: (hasattr(x, "__len__"), hasattr(x[0], "__len__")),
    "an entry to go through": lambda x: (hasattr(x, "__iter__"), hasattr(x[0], "__iter__")),
    "Python's number with a shape": lambda x: tuple(
        hasattr(each, "shape") for each in (x, x[0], x[0].item())
    ),
    "what no array has": lambda x: (hasattr(x, "detach"), hasattr([], "append"), hasattr(x, "T")),
}


def _written(x: Any) -> Any:
    y = np.copy(x)
    y[0] = x[1]
    return y


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_answers_are_those_of_numpy(question: Callable[[Any], object]) -> None:
    answers = []

    def loss(x: Any) -> Any:
        answers.append(question(x))
        return np.sum(x**2)

    x = np.array([1.0, 2.0])
    sd.grad(loss)(x)
    sd.grad(sd.grad(lambda t: loss(t * x)))(1.5)
    sd.jvp(loss, (x,), (x,))
    with pytest.warns(NotCompiledWarning):  # each call appends to a list
        sd.compile(loss)(x)
    assert set(answers) == {question(x)}
    assert len(answers) > 4


@pytest.mark.parametrize("number", [2.0, np.float64(2.0), np.float32(2.0), 2j, np.array(2.0)])
def test_numbers_keep_their_type(number: Any) -> None:
    answers = set()

    def loss(x: Any) -> Any:
        answers.add(x.__class__)
        return np.real(x * np.conj(x))

    loss(number)
    sd.grad(loss)(number)
    sd.jvp(loss, (number,), (number,))
    assert answers == {type(number)}


def test_branches_on_the_type_are_those_of_numpy() -> None:
    def by_match(x: Any) -> Any:
        match x:
            case float():
                return x**3
            case np.ndarray():
                return np.sum(x**2)

    @functools.singledispatch
    def by_dispatch(x: Any) -> Any:
        raise AssertionError(x)

    by_dispatch.register(float, lambda x: x**3)
    by_dispatch.register(np.ndarray, lambda x: np.sum(x**2))
    for f in (by_match, by_dispatch):
        for transformed in (sd.grad(f), sd.compile(sd.grad(f))):
            assert np.array_equal(transformed(np.array([1.0, 2.0])), [2.0, 4.0])
            assert transformed(2.0) == 12.0


def test_classes_can_be_made_of_type_meanwhile() -> None:
    class Meta(type):
        def __new__(cls, name: str, bases: Any, names: Any) -> Any:
            return type.__new__(cls, name, bases, {**names, "scale": 2.0})

    def loss(x: Any) -> Any:
        class Scaled(metaclass=Meta):
            scale: float

        assert isinstance(Scaled, type)
        assert type(Scaled) is Meta
        assert repr(type) == "<class 'type'>"
        return Scaled.scale * x

    assert sd.grad(loss)(1.0) == 2.0


def test_numbers_are_no_keys() -> None:
    def by_number(x: Any) -> Any:
        values = {each: each**2 for each in x}
        return values[x[0]]

    def by_array(x: Any) -> Any:
        return {x: 1.0}[x]

    x = np.array([1.0, 2.0])
    with pytest.raises(UnsupportedError, match="key of a dict"):
        sd.grad(by_number)(x)
    with pytest.raises(TypeError, match=r"unhashable type: 'numpy\.ndarray'"):
        sd.grad(by_array)(x)
    assert sd.grad(lambda x: x * {1.5: 3.0}[sd.stop_gradient(x)])(1.5) == 3.0


def test_statistics_says_what_to_write() -> None:
    with pytest.raises(TracedConversionError) as caught:
        sd.grad(statistics.mean)(np.array([1.0, 2.0]))
    assert caught.value.instead is not None
    assert "np.mean" in caught.value.instead


def test_text_of_numbers() -> None:
    several, named = "%.2f of %5.1f, %s", "%(a)e"

    def loss(x: Any) -> Any:
        text = several % (x[0], np.sum(x), x[1])
        assert text == "1.00 of   3.0, 2.0"
        text = named
        text %= {"a": x[0]}
        assert text == "1.000000e+00"
        return np.sum(x**2)

    np.testing.assert_array_equal(sd.grad(loss)(np.array([1.0, 2.0])), [2.0, 4.0])
    with pytest.raises(TracedConversionError):
        sd.grad(lambda x: 2.0 % builtins.float(x))(1.0)
    assert sd.grad(lambda x: 2.5 % x)(1.0) == -2.0


def test_memory_is_not_given_to_compiled_code() -> None:
    """Only Python is told of an ndarray: C looks at the type itself, and is refused."""
    for take in (np.frombuffer, memoryview, np.ndarray.sum, np.ctypeslib.as_ctypes):
        taking: Any = take
        with pytest.raises((TypeError, AttributeError)):
            sd.grad(taking)(np.array([1.0]))
    with pytest.raises(TracedConversionError):
        sd.grad(lambda x: np.random.default_rng(0).normal(x))(np.array([1.0]))
