"""Pytrees, and gradients that are pytrees with arithmetic."""

import copy
import dataclasses
import pickle
from collections import OrderedDict, defaultdict, namedtuple
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import steepest as sd
from steepest.errors import BadInputError
from steepest.tree import (
    flatten,
    is_differentiable,
    leaf_names,
    tree_map,
    unflatten,
    with_arithmetic,
)


class Pair(NamedTuple):
    W: Any
    b: Any


Untyped = namedtuple("Untyped", "W b")


@dataclasses.dataclass
class Layer:
    W: Any
    b: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    W: Any
    b: Any


@dataclasses.dataclass
class Scaled:
    W: Any
    b: Any
    scale: float = dataclasses.field(default=2.0, init=False)


class Attributes(dict[str, Any]):
    """A dict whose entries are attributes, and whose missing attributes are KeyErrors."""

    __getattr__ = dict.__getitem__


class Named(dict[str, Any]):
    """A dict with a name."""

    def __init__(self, name: str, **entries: Any) -> None:
        super().__init__(**entries)
        self.name = name


def _default_dict(W: Any, b: Any) -> defaultdict[str, Any]:
    result: defaultdict[str, Any] = defaultdict(list)
    result.update(W=W, b=b)
    return result


CONTAINERS = {
    "dict": lambda W, b: {"W": W, "b": b},
    "list": lambda W, b: [W, b],
    "tuple": lambda W, b: (W, b),
    "named tuple": Pair,
    "collections.namedtuple": Untyped,
    "dataclass": Layer,
    "frozen dataclass": Frozen,
    "dataclass with a field of its own": Scaled,
    "defaultdict": _default_dict,
    "OrderedDict": lambda W, b: OrderedDict(W=W, b=b),
    "dict with a name": lambda W, b: Named("first", W=W, b=b),
    "dict with attributes": lambda W, b: Attributes(W=W, b=b),
    "nested": lambda W, b: {"layers": [(W, {"b": b})]},
    "deeply mixed": lambda W, b: [Pair(Layer(W, None), [b, "text"])],
}

containers = pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)


def floats(tree: Any) -> list[Any]:
    return [leaf for leaf in flatten(tree)[0] if is_differentiable(leaf)]


def weights_of(make: Any) -> Any:
    return make(np.array([[1.0, 2.0], [3.0, 4.0]]), 5.0)


def gradient_of(make: Any) -> Any:
    def loss(weights: Any) -> Any:
        W, b, *rest = floats(weights)
        return np.sum(W**2) + b**2 + sum(rest)

    return sd.grad(loss)(weights_of(make))


def assert_leaves(tree: Any, W: Any, b: Any) -> None:
    leaves = floats(tree)
    np.testing.assert_array_equal(leaves[0], W)
    assert leaves[1] == b


W = np.array([[1.0, 2.0], [3.0, 4.0]])


@containers
def test_flatten_and_unflatten_are_inverse(make: Any) -> None:
    tree = weights_of(make)
    leaves, structure = flatten(tree)
    again = unflatten(structure, leaves)
    assert type(again) is type(tree)
    assert flatten(again)[1] == structure
    assert all(a is b for a, b in zip(flatten(again)[0], leaves, strict=True))
    assert hash(structure) == hash(flatten(again)[1])


@containers
def test_a_gradient_is_like_the_weights(make: Any) -> None:
    gradient = gradient_of(make)
    assert isinstance(gradient, type(weights_of(make)))
    assert flatten(gradient)[1] == flatten(weights_of(make))[1]
    assert_leaves(gradient, 2 * W, 10.0)
    assert type(floats(gradient)[1]) is float


FACTORS = [-1, -0.5, True, np.float64(-0.5), np.float32(2), np.int64(3), np.array(-0.5)]


@containers
@pytest.mark.parametrize("factor", FACTORS, ids=lambda f: f"{type(f).__name__} {f}")
def test_a_factor_meets_every_leaf_and_repeats_nothing(make: Any, factor: Any) -> None:
    gradient = gradient_of(make)
    for scaled in (factor * gradient, gradient * factor):
        assert isinstance(scaled, type(weights_of(make)))
        assert_leaves(scaled, factor * (2 * W), factor * 10.0)


@containers
def test_the_textbook_step(make: Any) -> None:
    weights = weights_of(make)
    gradient = gradient_of(make)
    step_size = 0.25
    weights += -step_size * gradient
    assert type(weights) is type(weights_of(make))
    assert_leaves(weights, 0.5 * W, 2.5)
    assert len(flatten(weights)[0]) == len(flatten(gradient)[0])
    weights -= step_size * gradient
    assert_leaves(weights, 0 * W, 0.0)


def test_a_step_does_not_extend_a_list_that_others_hold() -> None:
    weights = [np.ones(2), 1.0]
    held = weights
    weights += -0.5 * sd.grad(lambda w: np.sum(w[0]) + w[1])(weights)
    assert len(held) == 2
    np.testing.assert_array_equal(held[0], np.ones(2))
    np.testing.assert_array_equal(weights[0], [0.5, 0.5])


@containers
def test_every_operator_acts_on_the_leaves(make: Any) -> None:
    g = gradient_of(make)
    assert_leaves(-g, -2 * W, -10.0)
    assert_leaves(+g, 2 * W, 10.0)
    assert_leaves(g / 2, W, 5.0)
    assert_leaves(1 / g, 1 / (2 * W), 0.1)
    assert_leaves(g**2, 4 * W**2, 100.0)
    assert_leaves(g + 1, 2 * W + 1, 11.0)
    assert_leaves(1 - g, 1 - 2 * W, -9.0)
    assert_leaves(g + g, 4 * W, 20.0)
    assert_leaves(g - g, 0 * W, 0.0)
    assert_leaves(g * g, 4 * W**2, 100.0)
    assert_leaves(g / g, W / W, 1.0)
    assert_leaves(weights_of(make) - g, -W, -5.0)
    assert_leaves(g - weights_of(make), W, 5.0)
    total = g
    total += g
    total *= 2
    total /= 4
    total -= 0
    assert_leaves(total, 2 * W, 10.0)
    assert_leaves(g, 2 * W, 10.0)


def test_results_keep_their_arithmetic() -> None:
    gradient = gradient_of(CONTAINERS["nested"])
    assert_leaves(2 * (-1 * gradient)["layers"], -4 * W, -20.0)
    assert_leaves(-1 * gradient["layers"][0], -2 * W, -10.0)


def test_a_tuple_of_gradients_has_arithmetic() -> None:
    gradients = sd.grad(lambda a, b: a * b, argnums=(0, 1))(2.0, 3.0)
    assert gradients == (3.0, 2.0)
    assert -2 * gradients == (-6.0, -4.0)
    _, pullback = sd.vjp(lambda a, b: a * b, 2.0, 3.0)
    assert -2 * pullback(1.0) == (-6.0, -4.0)


def test_a_dataclass_keeps_what_its_init_does_not_take() -> None:
    weights = Scaled(W, 1.0)
    weights.scale = 7.0
    gradient = sd.grad(lambda w: np.sum(w.W) * w.scale)(weights)
    np.testing.assert_array_equal(gradient.W, np.full((2, 2), 7.0))
    assert gradient.scale == W.sum()


def test_a_defaultdict_keeps_its_factory_and_a_dict_its_attributes() -> None:
    assert gradient_of(_default_dict)["new"] == []
    assert gradient_of(CONTAINERS["dict with a name"]).name == "first"


def test_leaves_that_are_not_floating_point_are_carried_along() -> None:
    weights = {"W": np.ones(2), "axis": 3, "name": "relu", "none": None, "index": np.arange(2)}
    gradient = sd.grad(lambda w: np.sum(w["W"]) * w["axis"])(weights)
    weights += -0.5 * gradient
    np.testing.assert_array_equal(weights["W"], [-0.5, -0.5])
    assert weights["axis"] == 3
    assert weights["name"] == "relu"
    assert weights["none"] is None
    np.testing.assert_array_equal(weights["index"], [0, 1])
    assert weights["index"].dtype == np.arange(2).dtype


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (1.0, True),
        (1j, True),
        (np.float32(1), True),
        (np.ones(2, np.float16), True),
        (np.ones(2, complex), True),
        (1, False),
        (True, False),
        (np.int64(1), False),
        (np.arange(2), False),
        (np.ones(2, bool), False),
        (np.array([None]), False),
        ("1.0", False),
        (None, False),
    ],
)
def test_is_differentiable(leaf: Any, expected: bool) -> None:
    assert is_differentiable(leaf) is expected


@containers
def test_gradients_pickle_and_copy_with_their_arithmetic(make: Any) -> None:
    if isinstance(weights_of(make), Attributes):
        # Its own copies fail: it answers the question for __deepcopy__ with a KeyError.
        return
    gradient = gradient_of(make)
    for again in (pickle.loads(pickle.dumps(gradient)), copy.deepcopy(gradient)):
        assert isinstance(again, type(weights_of(make)))
        assert_leaves(-1 * again, -2 * W, -10.0)


@pytest.mark.parametrize(
    ("combine", "words"),
    [
        (lambda g: g + {"W": 1.0}, "keys"),
        (lambda g: g - [1.0, 2.0], "dict"),
        (lambda g: {"W": 1.0, "b": [1.0]} - g, "at b"),
        (lambda g: g * np.ones(3), "array of shape (3,)"),
        (lambda g: np.ones(3) * g, "array of shape (3,)"),
        (lambda g: g + "text", "str"),
    ],
)
def test_trees_that_do_not_fit_are_refused(combine: Any, words: str) -> None:
    gradient = sd.grad(lambda w: np.sum(w["W"]) + w["b"])({"W": np.ones(2), "b": 1.0})
    with pytest.raises(BadInputError) as caught:
        combine(gradient)
    assert words in str(caught.value)


def test_unflatten_refuses_a_wrong_number_of_leaves() -> None:
    with pytest.raises(BadInputError, match="2 leaves cannot be made from 3"):
        unflatten(flatten([1.0, 2.0])[1], [1.0, 2.0, 3.0])


def test_tree_map_says_where_trees_differ() -> None:
    with pytest.raises(BadInputError, match=r"at a\[1\]: a leaf against a tuple"):
        tree_map(lambda x, y: x, {"a": [1, 2]}, {"a": [1, (2, 3)]})


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        (1.0, ["x"]),
        ([1.0, [2.0]], ["[0]", "[1][0]"]),
        ({"layers": [{"W": 1, "b": 2}]}, ["layers[0].W", "layers[0].b"]),
        ({"not a name": 1, 3: 2}, ["['not a name']", "[3]"]),
        ({"p": Pair(1, Layer(2, 3))}, ["p.W", "p.b.W", "p.b.b"]),
        ([], []),
    ],
)
def test_leaf_names(tree: Any, names: list[str]) -> None:
    assert leaf_names(tree) == names


def test_a_leaf_alone_has_its_own_arithmetic() -> None:
    array = np.ones(2)
    assert with_arithmetic(array) is array


def test_arithmetic_may_be_kept() -> None:
    tree = (1.0, with_arithmetic([2.0, {"a": 3.0}]))
    leaves, structure = flatten(tree)
    assert structure == flatten((1.0, [2.0, {"a": 3.0}]))[1]
    plain = unflatten(structure, leaves)
    assert type(plain[1]) is list
    kept = unflatten(structure, leaves, keep_arithmetic=True)
    assert type(kept) is tuple
    assert 2 * kept[1] == [4.0, {"a": 6.0}]


trees = st.recursive(
    st.floats(allow_nan=False) | st.integers() | st.none(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text(max_size=3), children, max_size=3)
        | st.tuples(children, children)
        | st.builds(Pair, children, children)
    ),
    max_leaves=8,
)


@given(trees)
def test_any_tree_survives_being_taken_apart(tree: Any) -> None:
    leaves, structure = flatten(tree)
    assert unflatten(structure, leaves) == tree
    assert structure.leaf_count == len(leaves) == len(leaf_names(tree))
    doubled = tree_map(lambda leaf: leaf, with_arithmetic(tree))
    assert doubled == tree
