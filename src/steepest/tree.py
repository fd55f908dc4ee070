"""Pytrees: nested dicts, lists, tuples, named tuples and dataclasses with arrays as leaves.

Weights and gradients are pytrees. A gradient is a pytree *with arithmetic*: it keeps the
container types of the weights (a dict stays a dict) but ``-step_size * gradient`` and
``weights += …`` act on the leaves instead of repeating or extending a list.
"""

from __future__ import annotations

import dataclasses
import operator
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Any, TypeAlias, cast

import numpy as np

from steepest.errors import BadInputError

__all__ = [
    "Leaf",
    "NamedLeaves",
    "Structure",
    "Tree",
    "flatten",
    "is_differentiable",
    "leaf_names",
    "tree_map",
    "unflatten",
    "unflatten_with_arithmetic",
    "with_arithmetic",
]

Tree: TypeAlias = Any
Leaf: TypeAlias = Any


@dataclasses.dataclass(frozen=True, slots=True)
class Structure:
    """The shape of a pytree without its leaves; hashable, so that it can be part of a signature.

    Attributes
    ----------
    kind : type or None
        The container's type; None for a leaf.
    keys : tuple
        Keys of a dict, field names of a dataclass or named tuple, indices of a list or tuple.
    children : tuple of Structure
        One for each key.
    has_arithmetic : bool
        Whether the container had arithmetic; weights and their gradient have one structure.
    template : object
        An empty instance, for dict subclasses with state of their own (``defaultdict``), or the
        original instance of a dataclass, for its fields that ``__init__`` does not take.
    """

    kind: type | None = None
    keys: tuple[Any, ...] = ()
    children: tuple[Structure, ...] = ()
    has_arithmetic: bool = dataclasses.field(default=False, compare=False)
    template: Any = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def leaf_count(self) -> int:
        """Number of leaves below this point."""
        return 1 if self.kind is None else sum([child.leaf_count for child in self.children])

    @property
    def attributes(self) -> tuple[Any, ...]:
        """What containers carry besides their entries, for telling signatures apart.

        Numbers and strings by value, other objects by identity.
        """
        if self.kind is None:
            return ()
        own = [
            (name, value if _is_compared_by_value(value) else id(value))
            for name, value in getattr(self.template, "__dict__", {}).items()
            if name not in self.keys
        ]
        below = [child.attributes for child in self.children]
        return (*own, *below) if own or any(below) else ()


LEAF = Structure()
_ARRAYS = frozenset((np.ndarray, float))
"""Exact types of which it is known that they are leaves."""


class TreeArithmetic:
    """Arithmetic leaf by leaf, for gradients of pytrees.

    The other operand is a number (or 0-d array), which meets every leaf, or a pytree of the same
    structure. Leaves that are not floating point are carried along unchanged.
    """

    __slots__ = ()
    # NumPy scalars and arrays leave binary operations with a gradient to the methods below.
    __array_ufunc__ = None

    def __add__(self, other: Tree) -> Tree:
        return _combine(operator.add, self, other, like=other)

    def __radd__(self, other: Tree) -> Tree:
        return _combine(operator.add, other, self, like=other)

    def __sub__(self, other: Tree) -> Tree:
        return _combine(operator.sub, self, other, like=other)

    def __rsub__(self, other: Tree) -> Tree:
        return _combine(operator.sub, other, self, like=other)

    def __mul__(self, other: Tree) -> Tree:
        return _combine(operator.mul, self, other, like=self)

    def __rmul__(self, other: Tree) -> Tree:
        return _combine(operator.mul, other, self, like=self)

    def __truediv__(self, other: Tree) -> Tree:
        return _combine(operator.truediv, self, other, like=self)

    def __rtruediv__(self, other: Tree) -> Tree:
        return _combine(operator.truediv, other, self, like=self)

    def __pow__(self, other: Tree) -> Tree:
        return _combine(operator.pow, self, other, like=self)

    def __neg__(self) -> Tree:
        return with_arithmetic(
            tree_map(lambda leaf: -leaf if is_differentiable(leaf) else leaf, self)
        )

    def __pos__(self) -> Tree:
        return self

    # A list's own ``*=`` and ``+=`` would repeat and extend it in place.
    __iadd__ = __add__
    __isub__ = __sub__
    __imul__ = __mul__
    __itruediv__ = __truediv__


class GradientDict(TreeArithmetic, dict[Any, Any]):
    """A dict whose arithmetic acts on its leaves."""


class GradientList(TreeArithmetic, list[Any]):
    """A list whose arithmetic acts on its leaves."""


class GradientTuple(TreeArithmetic, tuple[Any, ...]):
    """A tuple whose arithmetic acts on its leaves."""

    __slots__ = ()


def _is_compared_by_value(value: object) -> bool:
    # What is traced is a number to isinstance, and has no hash.
    return isinstance(value, (int, float, complex, str, bytes)) and type(value).__hash__ is not None


class NamedLeaves(dict[str, Leaf]):
    """A dict whose keys are the whole names of its leaves, as another library gave them."""


def is_differentiable(leaf: Leaf) -> bool:
    """Whether a leaf has a derivative: floating-point or complex, whatever its container."""
    if type(leaf) is np.ndarray:
        return leaf.dtype.kind in "fc"
    if isinstance(leaf, (float, complex)):
        return True
    dtype = getattr(leaf, "dtype", None)
    return isinstance(dtype, np.dtype) and dtype.kind in "fc"


def flatten(tree: Tree) -> tuple[list[Leaf], Structure]:
    """Take a pytree apart.

    Returns
    -------
    leaves : list
        In the order of the containers: dicts by insertion, dataclasses by field.
    structure : Structure
        What `unflatten` needs to put it together again.

    Examples
    --------
    >>> leaves, structure = flatten({"W": 1.0, "b": [2.0, 3.0]})
    >>> leaves
    [1.0, 2.0, 3.0]
    >>> unflatten(structure, [10.0, 20.0, 30.0])
    {'W': 10.0, 'b': [20.0, 30.0]}
    """
    leaves: list[Leaf] = []
    return leaves, _flatten_into(leaves, tree)


def unflatten(
    structure: Structure, leaves: Sequence[Leaf], *, keep_arithmetic: bool = False
) -> Tree:
    """Put a pytree together from its structure and as many leaves as it has places.

    Parameters
    ----------
    keep_arithmetic : bool
        Whether containers that had arithmetic have it again.
    """
    type_of = _original_type if keep_arithmetic else _type_without_arithmetic
    remaining = iter(leaves)
    try:
        tree = _unflatten_from(structure, remaining, type_of)
        is_whole = next(remaining, remaining) is remaining
    except StopIteration:
        is_whole = False
    if not is_whole:
        raise BadInputError(
            f"a tree of {structure.leaf_count} leaves cannot be made from {len(leaves)}"
        )
    return tree


def tree_map(function: Callable[..., Leaf], tree: Tree, *others: Tree) -> Tree:
    """Apply a function to each leaf, or to the corresponding leaves of several trees.

    Raises
    ------
    BadInputError
        When the trees differ in structure.
    """
    leaves, structure = flatten(tree)
    columns = [leaves]
    for other in others:
        other_leaves, other_structure = flatten(other)
        if other_structure != structure:
            raise BadInputError(_structure_difference(structure, other_structure))
        columns.append(other_leaves)
    return unflatten(structure, [function(*row) for row in zip(*columns, strict=True)])


def leaf_names(tree: Tree, root: str = "x") -> list[str]:
    """Name every leaf by its way through the tree.

    Parameters
    ----------
    root : str
        The name of a tree that is a single leaf.

    Examples
    --------
    >>> leaf_names({"layers": [{"W": 1.0, "b": 2.0}], "scale": 3.0})
    ['layers[0].W', 'layers[0].b', 'scale']
    >>> leaf_names([1.0, 2.0]), leaf_names(1.0)
    (['[0]', '[1]'], ['x'])
    """
    structure = flatten(tree)[1]
    return [name or root for name in _names(structure, "")]


def with_arithmetic(tree: Tree) -> Tree:
    """Give every container of a tree arithmetic on its leaves; a single leaf is left as it is."""
    leaves, structure = flatten(tree)
    return unflatten_with_arithmetic(structure, leaves)


def unflatten_with_arithmetic(structure: Structure, leaves: Sequence[Leaf]) -> Tree:
    """Put a pytree together whose every container has arithmetic on its leaves."""
    return _unflatten_from(structure, iter(leaves), _type_with_arithmetic)


def _plain_type(kind: type) -> type:
    """Return the user's container type behind one with arithmetic."""
    if issubclass(kind, TreeArithmetic):
        if kind in (GradientDict, GradientList, GradientTuple):
            return kind.__mro__[2]
        plain: type = kind.__bases__[1]
        return plain
    return kind


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _flatten_into(leaves: list[Leaf], tree: Tree) -> Structure:
    kind = type(tree)
    if kind is np.ndarray or kind is float:
        leaves.append(tree)
        return LEAF
    if kind is list or kind is tuple:
        if _ARRAYS.issuperset(map(type, tree)):
            leaves.extend(tree)
            return _sequence_of_arrays(list if kind is list else tuple, len(tree))
        children = tuple([_flatten_into(leaves, value) for value in tree])
        return Structure(kind, tuple(range(len(tree))), children)
    kind = _plain_type(kind)
    keys: tuple[Any, ...]
    template = None
    if issubclass(kind, dict):
        keys = tuple(tree)
        values: list[Any] = [tree[key] for key in keys]
        if kind is not dict:
            template = _empty_instance(kind, tree)
    elif _is_named_tuple(kind):
        keys, values = kind._fields, list(tree)
    elif kind in (list, tuple):
        keys, values = tuple(range(len(tree))), list(tree)
    elif dataclasses.is_dataclass(kind):
        keys = tuple(field.name for field in dataclasses.fields(kind))
        values = [getattr(tree, key) for key in keys]
        template = tree
    else:
        leaves.append(tree)
        return LEAF
    children = tuple([_flatten_into(leaves, value) for value in values])
    return Structure(kind, keys, children, isinstance(tree, TreeArithmetic), template)


@lru_cache(maxsize=256)
def _sequence_of_arrays(kind: type, length: int) -> Structure:
    """Make the structure of a list or tuple of arrays, as the weights of a network are."""
    return Structure(kind, tuple(range(length)), (LEAF,) * length)


def _unflatten_from(
    structure: Structure, leaves: Iterator[Leaf], type_of: Callable[[Structure], type]
) -> Tree:
    kind = structure.kind
    if kind is None:
        return next(leaves)
    values = [
        next(leaves) if child.kind is None else _unflatten_from(child, leaves, type_of)
        for child in structure.children
    ]
    target = type_of(structure)
    if kind is list or kind is tuple:
        return target(values)
    if issubclass(kind, dict):
        result: Any = target() if kind is dict else _empty_instance(target, structure.template)
        result.update(zip(structure.keys, values, strict=True))
        return result
    if _is_named_tuple(kind):
        return target(*values)
    if issubclass(kind, (list, tuple)):
        return target(values)
    return _replace_fields(structure.template, target, structure.keys, values)


def _type_without_arithmetic(structure: Structure) -> type:
    return cast("type", structure.kind)


def _type_with_arithmetic(structure: Structure) -> type:
    return _arithmetic_type(cast("type", structure.kind))


def _original_type(structure: Structure) -> type:
    kind = cast("type", structure.kind)
    return _arithmetic_type(kind) if structure.has_arithmetic else kind


def _replace_fields(template: Any, kind: type, keys: Sequence[str], values: Sequence[Any]) -> Any:
    """Copy a dataclass, frozen or not, with other field values and without its ``__init__``."""
    result = _empty_instance(kind, template)
    for key, value in zip(keys, values, strict=True):
        object.__setattr__(result, key, value)
    return result


def _empty_instance(kind: type, template: Any) -> Any:
    """Make an instance of `kind` with the template's own attributes and no ``__init__`` run."""
    base = object if dataclasses.is_dataclass(kind) else dict
    result: Any = base.__new__(kind)
    if isinstance(template, defaultdict):
        result.default_factory = template.default_factory
    if hasattr(template, "__dict__"):
        result.__dict__.update(template.__dict__)
    return result


@cache
def _arithmetic_type(kind: type) -> type:
    """Return the type with arithmetic that stands for a container type."""
    if kind is dict:
        return GradientDict
    if kind is list:
        return GradientList
    if kind is tuple:
        return GradientTuple
    # A type made here cannot be found by its name, as pickle would.
    members = {"__slots__": (), "__reduce__": _made_from_plain_tree}
    return type(f"Gradient{kind.__name__}", (TreeArithmetic, kind), members)


def _made_from_plain_tree(gradient: Tree) -> tuple[Callable[[Tree], Tree], tuple[Tree]]:
    leaves, structure = flatten(gradient)
    return with_arithmetic, (unflatten(structure, leaves),)


def _is_number(value: object) -> bool:
    """Whether an operand meets every leaf: a number, a 0-d array, or a traced scalar."""
    if isinstance(value, (int, float, complex)):
        return True
    return flatten(value)[1].kind is None and getattr(value, "shape", None) == ()


def _combine(operation: Callable[[Any, Any], Any], left: Tree, right: Tree, like: Tree) -> Tree:
    """Apply an operation leaf by leaf; the result has the container types of `like`."""
    if _is_number(left) or _is_number(right):
        tree, number, number_first = (
            (right, left, True) if _is_number(left) else (left, right, False)
        )

        def with_number(leaf: Leaf) -> Leaf:
            if not is_differentiable(leaf):
                return leaf
            return operation(number, leaf) if number_first else operation(leaf, number)

        return with_arithmetic(tree_map(with_number, tree))
    left_leaves, left_structure = flatten(left)
    right_leaves, right_structure = flatten(right)
    if left_structure.kind is None or right_structure.kind is None:
        other = right if left_structure.kind is not None else left
        raise BadInputError(
            f"a gradient that is a {_kind_name(left_structure, right_structure)} cannot be combined"
            f" with {_describe_operand(other)}",
            instead="combine it with a number, or with a tree of the same structure",
        )
    if left_structure != right_structure:
        raise BadInputError(_structure_difference(left_structure, right_structure))
    keep_left = like is left
    leaves = [
        operation(a, b)
        if is_differentiable(a) and is_differentiable(b)
        else (a if keep_left else b)
        for a, b in zip(left_leaves, right_leaves, strict=True)
    ]
    result = unflatten(left_structure, leaves)
    return with_arithmetic(result) if isinstance(like, TreeArithmetic) else result


def _kind_name(*structures: Structure) -> str:
    return next(s.kind.__name__ for s in structures if s.kind is not None)


def _describe_operand(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"an array of shape {shape}" if shape is not None else f"a {type(value).__name__}"


def _structure_difference(left: Structure, right: Structure, path: str = "") -> str:
    """Say where two structures part, in one sentence."""
    where = f" at {path}" if path else ""
    if left.kind is not right.kind:
        names = ["a leaf" if s.kind is None else f"a {s.kind.__name__}" for s in (left, right)]
        return f"the trees differ{where}: {names[0]} against {names[1]}"
    if left.keys != right.keys:
        return f"the trees differ{where}: keys {list(left.keys)} against {list(right.keys)}"
    for key, a, b in zip(left.keys, left.children, right.children, strict=True):
        if a != b:
            return _structure_difference(a, b, _step(path, left, key))
    return f"the trees differ{where}"


def _step(path: str, structure: Structure, key: Any) -> str:
    """Extend a leaf's name by one step."""
    if structure.kind in (list, tuple):
        return f"{path}[{key}]"
    if structure.kind is NamedLeaves and not path:
        return str(key)
    if isinstance(key, str) and key.isidentifier():
        return f"{path}.{key}" if path else key
    return f"{path}[{key!r}]"


def _names(structure: Structure, path: str) -> Iterator[str]:
    if structure.kind is None:
        yield path
    for key, child in zip(structure.keys, structure.children, strict=True):
        yield from _names(child, _step(path, structure, key))
