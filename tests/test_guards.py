"""Guards see every change that a compiled function could have seen."""

import random
import sys
import types
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial, wraps
from typing import Any

import numpy as np
import pytest

from steepest.compiling import compile as compiled
from steepest.guards import Guards

RATE = 1.0
TABLE: dict[str, Any] = {"rate": 1.0, "deep": {"rate": [1.0]}}
DATA = np.ones(3)


class Settings:
    """Class attributes, as in a module of settings."""

    rate = 1.0

    @property
    def twice(self) -> float:
        return 2 * RATE

    @staticmethod
    def static() -> float:
        return RATE


@dataclass(slots=True)
class Slotted:
    rate: float


class Attributes(dict[str, Any]):
    """A dict whose entries are attributes, and whose missing attributes are KeyErrors."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Rates(list[float]):
    """A list with an attribute."""

    scale: float


class Model:
    """Methods that call each other."""

    def __init__(self) -> None:
        self.layers = [types.SimpleNamespace(rate=1.0)]

    def __call__(self, x: float) -> Any:
        return self.predict(x)

    def predict(self, x: float) -> float:
        return x * RATE

    def loss(self, x: float) -> Any:
        return self.predict(x) * self.layers[0].rate


def plain(x: float, k: float = 1.0) -> float:
    return x * RATE * k


def through(x: float) -> float:
    return plain(x)


@lru_cache
def remembered() -> float:
    return RATE


def decorated(function: Callable[..., float]) -> Callable[..., float]:
    @wraps(function)
    def wrapper(x: float) -> float:
        return function(x)

    return wrapper


class Wrapper:
    """A decorator that is an object."""

    def __init__(self, function: Callable[..., float]) -> None:
        self.__wrapped__ = function
        self.rate = 1.0

    def __call__(self, x: float) -> Any:
        return self.__wrapped__(x) * self.rate


Change = Callable[[], None]
Case = tuple[Callable[..., Any], Change]


def set_global(value: float = 5.0) -> None:
    global RATE  # noqa: PLW0603  # what users do, and the guards are for
    RATE = value


@pytest.fixture(autouse=True)
def _restored() -> Any:
    yield
    set_global(1.0)
    TABLE.update(rate=1.0, deep={"rate": [1.0]})
    Settings.rate = 1.0
    DATA[:] = 1.0


def global_number() -> Case:
    return plain, set_global


def global_in_a_called_function() -> Case:
    return through, set_global


def global_in_a_function_inside() -> Case:
    return lambda x: sum(y * RATE for y in [x]), set_global


def entry_of_a_dict() -> Case:
    return lambda x: x * TABLE["rate"], lambda: TABLE.update(rate=5.0)


def entry_deep_down() -> Case:
    return lambda x: x * TABLE["deep"]["rate"][0], lambda: TABLE["deep"]["rate"].__setitem__(0, 5.0)


def new_entry_of_a_dict() -> Case:
    return lambda x: x * sum(1 for _ in TABLE), lambda: TABLE.update(new=1.0)


def class_attribute() -> Case:
    return lambda x: x * Settings.rate, lambda: setattr(Settings, "rate", 5.0)


def class_attribute_by_instance() -> Case:
    settings = Settings()
    return lambda x: x * settings.rate, lambda: setattr(Settings, "rate", 5.0)


def what_a_property_reads() -> Case:
    settings = Settings()
    return lambda x: x * settings.twice, set_global


def what_a_static_method_reads() -> Case:
    return lambda x: x * Settings.static(), set_global


def attribute() -> Case:
    settings = types.SimpleNamespace(rate=1.0)
    return lambda x: x * settings.rate, lambda: setattr(settings, "rate", 5.0)


def slot() -> Case:
    slotted = Slotted(1.0)
    return lambda x: x * slotted.rate, lambda: setattr(slotted, "rate", 5.0)


def closure_cell() -> Case:
    rate = 1.0

    def change() -> None:
        nonlocal rate
        rate = 5.0

    return lambda x: x * rate, change


def list_in_a_closure() -> Case:
    rates = [1.0]
    return lambda x: x * rates[-1], lambda: rates.append(5.0)


def deque_in_a_closure() -> Case:
    rates = deque([1.0], maxlen=1)
    return lambda x: x * rates[0], lambda: rates.append(5.0)


def set_in_a_closure() -> Case:
    names = {"a"}
    return lambda x: x * ("b" in names), lambda: names.add("b")


def partial_function() -> Case:
    return partial(plain, k=1.0), set_global


def argument_of_a_partial_function() -> Case:
    rates = [1.0]
    return partial(lambda rates, x: x * rates[0], rates), lambda: rates.__setitem__(0, 5.0)


def callable_object() -> Case:
    return Model(), set_global


def bound_method() -> Case:
    return Model().loss, set_global


def object_in_a_list_in_an_object() -> Case:
    model = Model()
    return model.loss, lambda: setattr(model.layers[0], "rate", 5.0)


def wrapped_function() -> Case:
    return decorated(plain), set_global


def wrapping_object() -> Case:
    return Wrapper(plain), set_global


def attribute_of_a_wrapping_object() -> Case:
    wrapper = Wrapper(plain)
    return wrapper, lambda: setattr(wrapper, "rate", 5.0)


def dict_with_attributes() -> Case:
    settings = Attributes(rate=1.0)
    return lambda x: x * settings.rate, lambda: settings.update(rate=5.0)


def attribute_of_a_list() -> Case:
    rates = Rates([1.0])
    rates.scale = 1.0
    return lambda x: x * rates[0] * rates.scale, lambda: setattr(rates, "scale", 5.0)


def replaced_function() -> Case:
    namespace = types.SimpleNamespace(f=lambda x: x)
    return lambda x: namespace.f(x), lambda: setattr(namespace, "f", lambda x: 5 * x)


def default_that_changes() -> Case:
    rates = [1.0]

    def function(x: float, rates: list[float] = rates) -> float:
        return x * rates[0]

    return function, lambda: rates.__setitem__(0, 5.0)


def minus_zero() -> Case:
    settings = types.SimpleNamespace(offset=0.0)
    return (
        lambda x: np.copysign(x, settings.offset),
        lambda: setattr(settings, "offset", -0.0),
    )


def number_of_another_type() -> Case:
    settings = types.SimpleNamespace(rate=1)
    ones = np.ones(1, np.float32)
    return (
        lambda x: np.sum(ones * x) * settings.rate,
        lambda: setattr(settings, "rate", np.float64(1)),
    )


def sum_of_an_array() -> Case:
    return lambda x: x * np.sum(DATA), lambda: DATA.fill(5.0)


def entry_of_an_array() -> Case:
    return lambda x: x * DATA[0], lambda: DATA.fill(5.0)


def float_of_an_array() -> Case:
    return lambda x: x * float(DATA[0]), lambda: DATA.fill(5.0)


def branch_on_an_array() -> Case:
    return lambda x: x * 2.0 if DATA[0] > 3 else x * 3.0, lambda: DATA.fill(5.0)


def integer_of_an_array() -> Case:
    return lambda x: x * int(DATA[0]), lambda: DATA.fill(5.0)


def array_made_from_an_array() -> Case:
    return lambda x: np.sum(x * (DATA * 2)), lambda: DATA.fill(5.0)


def array_by_reference() -> Case:
    return lambda x: np.sum(x * DATA), lambda: DATA.fill(5.0)


def array_returned() -> Case:
    return lambda x: (x, DATA * 2)[1][0], lambda: DATA.fill(5.0)


CASES = [
    global_number,
    global_in_a_called_function,
    global_in_a_function_inside,
    entry_of_a_dict,
    entry_deep_down,
    new_entry_of_a_dict,
    class_attribute,
    class_attribute_by_instance,
    what_a_property_reads,
    what_a_static_method_reads,
    attribute,
    slot,
    closure_cell,
    list_in_a_closure,
    deque_in_a_closure,
    set_in_a_closure,
    partial_function,
    argument_of_a_partial_function,
    callable_object,
    bound_method,
    object_in_a_list_in_an_object,
    wrapped_function,
    wrapping_object,
    attribute_of_a_wrapping_object,
    dict_with_attributes,
    attribute_of_a_list,
    replaced_function,
    default_that_changes,
    minus_zero,
    number_of_another_type,
    sum_of_an_array,
    entry_of_an_array,
    float_of_an_array,
    branch_on_an_array,
    integer_of_an_array,
    array_made_from_an_array,
    array_by_reference,
    array_returned,
]


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_no_stale_answers(make: Callable[[], Case]) -> None:
    function, change = make()
    run = compiled(function)
    before = function(2.0)
    assert run(2.0) == before
    change()
    after = function(2.0)
    assert (after, np.signbit(after), type(after)) != (before, np.signbit(before), type(before))
    again = run(2.0)
    assert (again, np.signbit(again), type(again)) == (after, np.signbit(after), type(after))


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_guards_hold_while_nothing_changes(make: Callable[[], Case]) -> None:
    function, _ = make()
    guards = Guards(function)
    function(2.0)
    assert guards.hold()
    assert guards.none_drawn()


def test_an_object_among_the_arguments_is_guarded() -> None:
    settings = types.SimpleNamespace(rate=1.0)
    run = compiled(lambda x, settings: x * settings.rate)
    assert run(2.0, settings) == 2.0
    settings.rate = 5.0
    assert run(2.0, settings) == 10.0


def test_arrays_read_by_reference_may_change() -> None:
    guards = Guards(lambda: DATA)
    assert guards.hold()
    DATA[0] = 5.0
    assert guards.hold({id(DATA)})
    assert not guards.hold()


@pytest.mark.parametrize(
    "generator", [np.random.default_rng(1), np.random.RandomState(1), random.Random(1)]
)
def test_generators_that_were_drawn_from_are_told(generator: Any) -> None:
    guards = Guards(lambda: generator)
    assert guards.none_drawn()
    generator.random()
    assert not guards.none_drawn()
    assert guards.hold(), "a generator that others draw from is no reason to record anew"


def test_libraries_are_not_searched() -> None:
    guards = Guards(lambda x: np.linalg.norm(np.random.default_rng(1).random(x)))
    assert len(guards._checks) < 10


def test_classes_of_installed_packages_are_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    package: Any = types.ModuleType("installed")
    package.__file__ = "/somewhere/site-packages/installed/__init__.py"
    monkeypatch.setitem(sys.modules, "installed", package)
    settings: Any = type("Settings", (), {"rate": 1.0, "__module__": "installed"})

    def function() -> Any:
        return settings.rate

    others = Guards(function)
    function.__module__ = "installed.part"
    own = Guards(function)
    settings.rate = 2.0
    assert others.hold()
    assert not own.hold()


def test_cycles_end() -> None:
    loop: dict[str, Any] = {"rate": 1.0}
    loop["self"] = loop
    node = types.SimpleNamespace()
    node.node = node
    guards = Guards(lambda: (loop, node))
    assert guards.hold()
    loop["rate"] = 2.0
    assert not guards.hold()


def test_an_empty_cell_is_seen_when_it_fills() -> None:
    def make() -> tuple[Callable[[], Any], Change]:
        def function() -> Any:
            return later

        guards = Guards(function)
        assert guards.hold()
        later = 1.0
        return function, lambda: None if not guards.hold() else pytest.fail("not seen")

    _, check = make()
    check()
