"""The first pass: the same numbers from fewer nodes.

One walk forwards over the graph replaces each node by something cheaper of the same type: a value
computed here, an equal node met before, or what a law of `LAWS` makes of it. A law holds in IEEE
arithmetic as it is, with -0.0, infinities, NaN and rounding; nothing is reassociated. Two things
are left open: the payload and the sign of a NaN, and the sign of a zero that `scale` makes, which
in `scale` itself depends on whether there is a NaN elsewhere in the array.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from typing import Any, TypeAlias, cast

import numpy as np

from steepest.engines.native.forwarding import Rows, read_of_written, write_everywhere
from steepest.errors import SourceLine
from steepest.graph import ArrayType, Constant, Graph, Input, Node, Operation, type_of
from steepest.ops import PRIMITIVES, elementwise, primitive
from steepest.ops.spec import Value

__all__ = ["Simplifier", "simplify"]

LARGEST_FOLDED = 2**20
"""Bytes up to which a result is computed here and kept."""

LARGEST_COMPARED = 2**16
"""Bytes up to which the contents of constants are compared."""

READS_LAYOUT = frozenset(map(primitive, ("matmul", "pow", "power", "zero_safe_matmul")))
"""What NumPy computes by other means, with other bits, for an operand that is one number."""

STRETCHABLE = frozenset(elementwise.PRIMITIVES) - READS_LAYOUT
"""What computes each entry of its result from one entry of each argument, by one formula."""

COMMUTATIVE: dict[Operation, str] = {
    primitive(name): kinds
    for kinds, names in {
        "biufc": ("add",),
        # A complex product may be rounded otherwise when its factors are swapped.
        "biuf": ("multiply",),
        # Of two floating-point zeros with different signs, the place decides.
        "biu": ("maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"),
        "b": ("equal", "not_equal", "logical_and", "logical_or", "logical_xor"),
    }.items()
    for name in names
}
"""For operations whose arguments may be swapped, the kinds of result for which they may."""

MIRRORED: dict[Operation, Operation] = {
    primitive("greater"): primitive("less"),
    primitive("greater_equal"): primitive("less_equal"),
}

_BROADCAST: Operation = primitive("broadcast")
_UNKNOWN: Any = object()


def simplify(graph: Graph, changing: Collection[int] = ()) -> Graph:
    """Compute the same outputs with fewer and cheaper nodes.

    Parameters
    ----------
    graph : Graph
    changing : collection of int
        The ids of the ndarrays among the constants whose contents may change between calls. They
        are read at each call; the values of all other constants are used here.

    Returns
    -------
    Graph
        With the same inputs, and outputs of the same types. An output may be an input or a
        constant, and may stand there twice.
    """
    simplifier = Simplifier(frozenset(changing))
    uses: dict[Node, int] = {}
    for node in graph.nodes:
        for parent in node.inputs:
            uses[parent] = uses.get(parent, 0) + 1
    for node in graph.outputs:
        uses[node] = uses.get(node, 0) + 1
    simplified: dict[Node, Node] = {}
    for node in graph.nodes:
        replacement = simplifier.visit(node, simplified)
        simplified[node] = replacement
        simplifier.count(replacement, uses.get(node, 0))
    return Graph.build(
        simplifier.nodes,
        [simplified[node] for node in graph.inputs],
        [simplified[node] for node in graph.outputs],
    )


class Simplifier:
    """The new graph under construction.

    Attributes
    ----------
    nodes : list of Node
        In order, with nodes among them that turned out not to be needed.
    numbers : dict
        For each node all of whose entries are the same known number, that number.
    rows : Rows
        What is written into arrays.
    """

    __slots__ = ("_arrays", "_changing", "_known", "_uses", "nodes", "numbers", "rows")

    def __init__(self, changing: frozenset[int]) -> None:
        self.nodes: list[Node] = []
        self.numbers: dict[Node, Value] = {}
        self.rows = Rows()
        self._changing = changing
        self._known: dict[Hashable, Node] = {}
        # For a broadcast number that was an array of equal entries, that array.
        self._arrays: dict[Node, Node] = {}
        self._uses: dict[Node, int] = {}

    def count(self, node: Node, uses: int) -> None:
        """Note how often a node of the old graph is used that this one stands for."""
        self._uses[node] = self._uses.get(node, 0) + uses

    def is_used_once(self, node: Node) -> bool:
        """Whether nothing but the node being simplified is known to use it."""
        return self._uses.get(node, 0) <= 1

    def supersede(self, node: Node, other: Node) -> None:
        """Let what is equal to a node, and still to come, be a reshape of another node."""
        reshape = primitive("reshape")
        static = {"shape": _type(node).shape}
        self.nodes.append(Node(reshape, (other,), static, node.type, node.line))
        self._known[_key(cast(Operation, node.operation), node)] = self.nodes[-1]

    def visit(self, node: Node, simplified: dict[Node, Node]) -> Node:
        """Find or make the node that stands for one of the old graph."""
        operation = node.operation
        if isinstance(operation, Input):
            self.nodes.append(node)
            return node
        if isinstance(operation, Constant):
            return self.constant(operation.value, node.line, node)
        inputs = tuple([simplified[parent] for parent in node.inputs])
        if operation in READS_LAYOUT:
            inputs = tuple([self._arrays.get(each, each) for each in inputs])
        if inputs != node.inputs:
            node = Node(operation, inputs, node.static, node.type, node.line)
        return self._cheapest(operation, node)

    def apply(self, name: str, *inputs: Node, line: SourceLine | None, **static: Any) -> Node:
        """Find or make the simplest node that applies a primitive."""
        operation = primitive(name)
        kind = operation.infer(*(each.type for each in inputs), **static)
        return self._cheapest(operation, Node(operation, inputs, static, kind, line))

    def constant(self, value: Value, line: SourceLine | None, node: Node | None = None) -> Node:
        """Find or make the node of a value; an array of equal entries is a number, broadcast."""
        is_array = isinstance(value, np.ndarray)
        reads_memory = is_array and (id(value) in self._changing or value.dtype.hasobject)
        key: Hashable
        if not is_array:
            key = (type(value), repr(value))
        elif reads_memory or value.nbytes > LARGEST_COMPARED:
            key = (np.ndarray, id(value))
        else:
            key = (np.ndarray, value.dtype, value.shape, value.tobytes())
        known = self._known.get(key)
        if known is not None:
            return known
        if node is None:
            node = Node(Constant(value), (), {}, type_of(value), line)
        self.nodes.append(node)
        result = node
        if not reads_memory:
            if np.ndim(value) == 0:
                self.numbers[node] = value[()] if is_array else value
            elif _has_equal_entries(value):
                number = self.constant(value[(0,) * value.ndim], line)
                self.numbers[node] = self.numbers[number]
                result = self.apply("broadcast", number, line=line, shape=value.shape)
                self._arrays.setdefault(result, node)
        self._known[key] = result
        return result

    def filled(self, number: Value, kind: ArrayType, line: SourceLine | None) -> Node | None:
        """Make a value of a type, all of whose entries are one number."""
        if kind.weak:
            return None
        scalar = self.constant(np.asarray(number).astype(kind.dtype)[()], line)
        if not kind.shape:
            return scalar
        return self.apply("broadcast", scalar, line=line, shape=kind.shape)

    def fitted(self, x: Node, kind: ArrayType, line: SourceLine | None) -> Node | None:
        """Give a value the dtype and shape that an operation on it and other values has."""
        if x.type == kind:
            return x
        if kind.weak:
            return None
        if x in self.numbers:
            return self.filled(self.numbers[x], kind, line)
        given = _type(x)
        if given.dtype != kind.dtype or given.weak:
            name = "cast" if kind.dtype.kind in "fc" else "convert"
            x = self.apply(name, x, line=line, dtype=kind.dtype)
        if given.shape != kind.shape:
            x = self.apply("broadcast", x, line=line, shape=kind.shape)
        return x

    def _cheapest(self, operation: Operation, node: Node) -> Node:
        """Find an equal node, the value, what a law makes of it, or keep the node itself."""
        key = _key(operation, node)
        known = self._known.get(key)
        if known is not None:
            return known
        result = self._folded(operation, node)
        if result is None:
            result = self._by_law(operation, node)
        if result is None:
            self.nodes.append(node)
            result = node
            if operation is _BROADCAST and node.inputs[0] in self.numbers:
                self.numbers[node] = self.numbers[node.inputs[0]]
        self._known[key] = result
        return result

    def _folded(self, operation: Operation, node: Node) -> Node | None:
        """Compute a node all of whose inputs are known; a broadcast number stays as it is."""
        kind = node.type
        if operation is _BROADCAST or isinstance(kind, tuple):
            return None
        values = []
        for each in node.inputs:
            value = self._value(each)
            if value is _UNKNOWN:
                return None
            values.append(value)
        if kind.size * kind.dtype.itemsize > LARGEST_FOLDED:
            return None
        try:
            with np.errstate(all="ignore"):
                value = operation.evaluate(*values, **node.static)
        except Exception:  # whatever it is, it is raised again when the graph runs
            return None
        if type_of(value) != kind:
            return None
        if isinstance(value, np.ndarray):
            # A copy in the order of memory, which nobody writes into; and of that a view, as
            # whoever hands results out copies views.
            value = np.array(value, order="C")
            value.flags.writeable = False
            value = value.view()
        return self.constant(value, node.line)

    def _value(self, node: Node) -> Value:
        """Look the value of a constant up, or of a number broadcast."""
        operation = node.operation
        if isinstance(operation, Constant):
            return _UNKNOWN if id(operation.value) in self._changing else operation.value
        if operation is _BROADCAST and node in self.numbers:
            if node in self._arrays:
                return self._value(self._arrays[node])
            return operation.evaluate(self.numbers[node], **node.static)
        return _UNKNOWN

    def _by_law(self, operation: Operation, node: Node) -> Node | None:
        if operation in STRETCHABLE:
            result = _stretched_later(self, node)
            if result is not None and result.type == node.type:
                return result
        for law in _LAWS_OF.get(operation, ()):
            result = law(self, node)
            if result is not None and result.type == node.type:
                return result
        return None


# -- keys -------------------------------------------------------------------------------------


def _key(operation: Operation, node: Node) -> Hashable:
    """Find what nodes have in common that compute the same."""
    inputs = node.inputs
    if len(inputs) == 2:
        first, second = inputs
        if operation in MIRRORED:
            operation, inputs = MIRRORED[operation], (second, first)
        elif (
            operation in COMMUTATIVE  # and so has one result
            and id(second) < id(first)
            and _type(node).dtype.kind in COMMUTATIVE[operation]
        ):
            inputs = (second, first)
    if not node.static:
        return operation, inputs
    return operation, inputs, tuple([(name, _hashable(v)) for name, v in node.static.items()])


def _hashable(value: Any) -> Hashable:
    """Make a key of a static argument, under which no two that differ are the same."""
    kind = type(value)
    if kind is int or kind is str or value is None:
        return kind, value
    if kind is tuple or kind is list:
        return kind, tuple([_hashable(each) for each in value])
    if kind is slice:
        return kind, _hashable(value.start), _hashable(value.stop), _hashable(value.step)
    if kind is dict:
        return kind, tuple([(_hashable(name), _hashable(v)) for name, v in value.items()])
    if isinstance(value, (float, complex, np.generic)):
        return kind, repr(value)  # -0.0 equals 0.0
    if isinstance(value, np.ndarray) or not isinstance(value, Hashable):
        return kind, id(value)
    return kind, value


def _has_equal_entries(array: np.ndarray[Any, Any]) -> bool:
    """Whether all entries have the same bytes, of which there is at least one."""
    if not array.size:
        return False
    if not any(array.strides):
        return True
    probe = array[(0,) * (array.ndim - 1)][:8]
    if probe.tobytes() != probe[:1].tobytes() * len(probe):
        return False
    entries = np.ascontiguousarray(array).reshape(-1, 1).view(np.uint8)
    return bool(np.all(entries == entries[0]))


# -- what the laws ask ------------------------------------------------------------------------


def _type(node: Node) -> ArrayType:
    """Type of a node with one result."""
    return cast(ArrayType, node.type)


def _kind(node: Node) -> str:
    return _type(node).dtype.kind


def _name(node: Node) -> str:
    """Name of the primitive of NumPy's that a node applies; empty if it is another."""
    operation = node.operation
    return operation.name if PRIMITIVES.get(operation.name) is operation else ""


def _with_number(s: Simplifier, node: Node) -> Iterator[tuple[Node, Value]]:
    """List what a number meets in an operation on two values, and the number."""
    x, y = node.inputs
    if y in s.numbers:
        yield x, s.numbers[y]
    if x in s.numbers:
        yield y, s.numbers[x]


def _is_zero(number: Value, *, negative: bool) -> bool:
    return bool(number == 0) and bool(np.signbit(number)) == negative


def _is_finite(number: Value) -> bool:
    return bool(np.isfinite(number))


def _exact_float(number: Value) -> Value | None:
    """Take a Python integer as a float, unless that rounds it."""
    if type(number) is int:
        return float(number) if abs(number) <= 2**53 else None
    return number if isinstance(number, (float, np.floating)) else None


def _negated(s: Simplifier, node: Node) -> Node | None:
    """Negate a number, or take a negation away."""
    if _name(node) == "negative":
        return node.inputs[0]
    number = _exact_float(s.numbers[node]) if node in s.numbers else None
    return None if number is None else s.constant(-number, None)


def _is_never_negative_zero(node: Node) -> bool:
    """Whether no entry can be -0.0, as far as can be told from a few nodes."""
    for _ in range(8):
        if _kind(node) in "biu" or _name(node) in NEVER_NEGATIVE_ZERO:
            return True
        if _name(node) not in KEEPS_SIGNS:
            return False
        node = node.inputs[0]
    return False


NEVER_NEGATIVE_ZERO = frozenset(("absolute", "exp", "exp2", "fabs", "square", "sum"))
KEEPS_SIGNS = frozenset(("broadcast", "cast", "reshape", "slice", "transpose"))


def _represents(target: np.dtype[Any], source: np.dtype[Any]) -> bool:
    """Whether every value of a dtype is one of another, too."""
    if source.kind not in "biuf" or target.kind not in "biuf":
        return False
    if target.kind == "f" and source.kind in "iu":
        # NumPy calls int64 → float64 safe, which rounds.
        digits = source.itemsize * 8 - (source.kind == "i")
        return bool(digits <= np.finfo(target).nmant + 1)
    return np.can_cast(source, target)


def _is_in_order(key: Any) -> bool:
    """Whether an index reads entries in the order in which they are in memory."""
    return all(not isinstance(item, slice) or (item.step or 1) > 0 for item in key)


# -- the laws ---------------------------------------------------------------------------------
# Each takes a node and returns what stands for it, or None where the law does not apply. What it
# returns is taken only if it has the same type.


def _stretched_later(s: Simplifier, node: Node) -> Node | None:
    """Turn f(broadcast x, broadcast y) into f(x, y), broadcast if need be: fewer entries."""
    for stretches in (("broadcast", "reshape"), ("broadcast",)):
        inputs = [
            each.inputs[0] if _name(each) in stretches and _is_stretched(each) else each
            for each in node.inputs
        ]
        if inputs == list(node.inputs):
            return None
        shape = np.broadcast_shapes(*(_type(each).shape for each in inputs))
        if shape == _type(node).shape or stretches == ("broadcast",):
            result = s.apply(_name(node), *inputs, line=node.line, **node.static)
            return s.fitted(result, _type(node), node.line)
    return None


def _is_stretched(node: Node) -> bool:
    """Whether a node is a broadcast, or a reshape that only puts axes of length 1 in front."""
    if _name(node) not in ("broadcast", "reshape") or _type(node.inputs[0]).weak:
        return False
    lengths = _type(node.inputs[0]).shape
    ones = len(_type(node).shape) - len(lengths)
    return _name(node) == "broadcast" or (ones > 0 and _type(node).shape == (1,) * ones + lengths)


def _plus_zero(s: Simplifier, node: Node) -> Node | None:
    """Turn x + -0.0 into x; x + 0 for integers, and where x is never -0.0."""
    for x, number in _with_number(s, node):
        if _kind(node) == "f" and _is_zero(number, negative=True):
            return s.fitted(x, _type(node), node.line)
        if _kind(node) in "iuf" and number == 0 and _is_never_negative_zero(x):
            return s.fitted(x, _type(node), node.line)
    return None


def _plus_negative(s: Simplifier, node: Node) -> Node | None:
    """Turn x + -y into x - y, and -x + y into y - x."""
    for x, y in (node.inputs, node.inputs[::-1]):
        if _name(y) == "negative" and _keeps_negation(y, node):
            return s.apply("subtract", x, y.inputs[0], line=node.line)
    return None


def _keeps_negation(negative: Node, node: Node) -> bool:
    """Whether negating is the same before and after what an operation converts to."""
    if _kind(negative) in "fc":
        return True
    kinds = [_type(each) for each in (negative, node)]
    return kinds[0].dtype == kinds[1].dtype and not kinds[0].weak


def _minus_zero(s: Simplifier, node: Node) -> Node | None:
    """Turn x - 0 into x, but not x - -0.0."""
    x, y = node.inputs
    if y in s.numbers and _kind(node) in "iuf" and _is_zero(s.numbers[y], negative=False):
        return s.fitted(x, _type(node), node.line)
    return None


def _minus_negative(s: Simplifier, node: Node) -> Node | None:
    """Turn x - -y into x + y."""
    x, y = node.inputs
    if _name(y) == "negative" and _keeps_negation(y, node):
        return s.apply("add", x, y.inputs[0], line=node.line)
    return None


def _from_negative_zero(s: Simplifier, node: Node) -> Node | None:
    """Turn -0.0 - x into -x; 0 - x for integers."""
    x, y = node.inputs
    if x not in s.numbers or _kind(node) not in "if":
        return None
    if s.numbers[x] != 0 or (_kind(node) == "f" and not _is_zero(s.numbers[x], negative=True)):
        return None
    fitted = s.fitted(y, _type(node), node.line)
    return None if fitted is None else s.apply("negative", fitted, line=node.line)


def _times_one(s: Simplifier, node: Node) -> Node | None:
    """Turn x * 1 into x."""
    for x, number in _with_number(s, node):
        if number == 1 and _kind(node) in "iuf":
            return s.fitted(x, _type(node), node.line)
    return None


def _times_minus_one(s: Simplifier, node: Node) -> Node | None:
    """Turn x * -1 into -x."""
    for x, number in _with_number(s, node):
        if number == -1 and _kind(node) in "if":
            fitted = s.fitted(x, _type(node), node.line)
            return None if fitted is None else s.apply("negative", fitted, line=node.line)
    return None


def _of_negatives(s: Simplifier, node: Node) -> Node | None:
    """Turn -x * -y into x * y, and -x * 2 into x * -2; so for quotients."""
    if _kind(node) != "f":
        return None
    x, y = node.inputs
    single = [each for each in (x, y) if _name(each) == "negative" and _kind(each) == "f"]
    both = len(single) == 2
    if not single or not (both or s.is_used_once(single[0])):
        return None
    inputs = _negated(s, x), _negated(s, y)
    if inputs[0] is None or inputs[1] is None:
        return None
    return s.apply(_name(node), inputs[0], inputs[1], line=node.line)


def _over_one(s: Simplifier, node: Node) -> Node | None:
    """Turn x / 1 and x ** 1 into x."""
    x, y = node.inputs
    if y in s.numbers and s.numbers[y] == 1 and _kind(node) in "iuf":
        return s.fitted(x, _type(node), node.line)
    return None


def _over_power_of_two(s: Simplifier, node: Node) -> Node | None:
    """Turn x / 2ⁿ into x * 2⁻ⁿ."""
    x, y = node.inputs
    kind = _type(node)
    if y not in s.numbers or kind.dtype.kind != "f" or _type(x).dtype != kind.dtype:
        return None
    number = _exact_float(s.numbers[y])
    if number is None or not (_type(y).weak or _type(y).dtype == kind.dtype):
        return None
    if abs(np.frexp(number)[0]) != 0.5:
        return None
    with np.errstate(all="ignore"):
        inverse = 1 / kind.dtype.type(number)
        if not np.finfo(kind.dtype).tiny <= abs(inverse) < np.inf:
            return None
    factor = s.constant(1 / number if _type(y).weak else inverse, None)
    return s.apply("multiply", x, factor, line=node.line)


def _of_same(s: Simplifier, node: Node) -> Node | None:
    """Turn max(x, x), x & x and the like into x."""
    x, y = node.inputs
    return x if x is y else None


def _negative_of_negative(s: Simplifier, node: Node) -> Node | None:
    """Turn -(-x) into x."""
    (x,) = node.inputs
    return x.inputs[0] if _name(x) == "negative" else None


def _negative_of_product(s: Simplifier, node: Node) -> Node | None:
    """Turn -(x * 2) into x * -2; so for quotients."""
    (x,) = node.inputs
    if _name(x) not in ("multiply", "divide") or _kind(node) != "f" or not s.is_used_once(x):
        return None
    first, second = x.inputs
    if second in s.numbers:
        negated = _negated(s, second)
        return None if negated is None else s.apply(_name(x), first, negated, line=node.line)
    if first in s.numbers:
        negated = _negated(s, first)
        return None if negated is None else s.apply(_name(x), negated, second, line=node.line)
    return None


def _even(s: Simplifier, node: Node) -> Node | None:
    """Turn f(-x) into f(x), for an even f."""
    (x,) = node.inputs
    if _name(x) == "negative" and _kind(x) == "f":
        return s.apply(_name(node), x.inputs[0], line=node.line)
    return None


def _not_negative(s: Simplifier, node: Node) -> Node | None:
    """Turn |x| into x, for what has no sign."""
    (x,) = node.inputs
    has_none = _name(x) in ("absolute", "exp", "exp2", "fabs", "square") and _kind(x) == "f"
    return x if has_none or _kind(x) in "bu" else None


def _of_real(s: Simplifier, node: Node) -> Node | None:
    """Turn the real part or the conjugate of a real x into x."""
    (x,) = node.inputs
    return None if _kind(x) == "c" else x


def _imaginary_of_real(s: Simplifier, node: Node) -> Node | None:
    """Turn the imaginary part of a real x into 0."""
    return None if _kind(node.inputs[0]) == "c" else s.filled(0, _type(node), node.line)


def _of_integers(s: Simplifier, node: Node) -> Node | None:
    """Turn floor(x) and the like into x, for integers."""
    (x,) = node.inputs
    return x if _kind(x) in "biu" else None


def _test_of_integers(s: Simplifier, node: Node) -> Node | None:
    """Answer whether integers are finite."""
    if _kind(node.inputs[0]) not in "biu":
        return None
    return s.filled(_name(node) == "isfinite", _type(node), node.line)


def _compared_with_itself(s: Simplifier, node: Node) -> Node | None:
    """Answer x < x with no; x <= x with yes for integers, which are never NaN."""
    x, y = node.inputs
    if x is not y:
        return None
    name = _name(node)
    if name in ("less", "greater"):
        return s.filled(False, _type(node), node.line)
    if _kind(x) not in "biu":
        return None
    return s.filled(name != "not_equal", _type(node), node.line)


def _bits_with_number(s: Simplifier, node: Node) -> Node | None:
    """Turn x & 0, x & 1…1, x | 0, x | 1…1 and x ^ 0 into 0, x, x, 1…1 and x."""
    kind, name = _type(node), _name(node).rpartition("_")[2]
    for x, given in _with_number(s, node):
        if name == "xor" and _kind(x) == "b" and kind.dtype.kind == "b" and given:
            return s.apply("logical_not", x, line=node.line)
        if kind.dtype.kind == "b":
            if _kind(x) != "b":
                return None  # the truth of a number is a test, which remains
            number, ones = int(bool(given)), 1
        else:
            number, ones = given, -1 if kind.dtype.kind == "i" else int(np.iinfo(kind.dtype).max)
        if number == 0:
            return s.filled(0, kind, node.line) if name == "and" else s.fitted(x, kind, node.line)
        if number == ones and name == "and":
            return s.fitted(x, kind, node.line)
        if number == ones and name == "or":
            return s.filled(ones, kind, node.line)
    return None


def _shift_by_nothing(s: Simplifier, node: Node) -> Node | None:
    """Turn x << 0 into x."""
    x, y = node.inputs
    return s.fitted(x, _type(node), node.line) if s.numbers.get(y) == 0 else None


def _not_not(s: Simplifier, node: Node) -> Node | None:
    """Turn not not x into x; ~~x too."""
    (x,) = node.inputs
    return x.inputs[0] if x.operation is node.operation else None


def _scale_by_number(s: Simplifier, node: Node) -> Node | None:
    """Turn scale(g, 0) into 0; scale(g, c) into g * c, as a finite c makes no NaN of 0."""
    kind = _type(node)
    x, y = node.inputs
    for _, number in _with_number(s, node):
        if number == 0:
            return s.filled(0, kind, node.line)
    is_mask = _kind(y) == "b" and not _type(y).weak
    if is_mask:
        return s.fitted(x, kind, node.line) if y in s.numbers else None
    for _, number in _with_number(s, node):
        if _is_finite(number):
            return s.apply("multiply", x, y, line=node.line)
    return None


def _known_choice(s: Simplifier, node: Node) -> Node | None:
    """Turn where(True, x, y) into x."""
    condition, x, y = node.inputs
    if condition not in s.numbers:
        return None
    return s.fitted(x if s.numbers[condition] else y, _type(node), node.line)


def _same_branches(s: Simplifier, node: Node) -> Node | None:
    """Turn where(c, x, x) into x."""
    _, x, y = node.inputs
    return s.fitted(x, _type(node), node.line) if x is y else None


def _choice_of_other(s: Simplifier, node: Node) -> Node | None:
    """Turn where(not c, x, y) into where(c, y, x)."""
    condition, x, y = node.inputs
    if _name(condition) not in ("invert", "logical_not") or _kind(condition.inputs[0]) != "b":
        return None
    return s.apply("where", condition.inputs[0], y, x, line=node.line)


def _cast_of_cast(s: Simplifier, node: Node) -> Node | None:
    """Leave out the first of two changes of dtype, if it is exact."""
    (x,) = node.inputs
    if _name(x) not in ("cast", "convert"):
        return None
    source = _type(x.inputs[0])
    if not _represents(_type(x).dtype, source.dtype):
        return None
    if source == node.type:
        return x.inputs[0]
    # What integer a floating-point number out of range gives, is up to the processor.
    if "f" in (source.dtype.kind, _kind(x)) and _kind(node) not in "fc":
        return None
    name = _name(node)
    return s.apply(name, x.inputs[0], line=node.line, dtype=_type(node).dtype)


def _nothing_changes(s: Simplifier, node: Node) -> Node | None:
    """Leave out what gives its argument as it is, if the type is the same."""
    return node.inputs[0]


def _of_number(s: Simplifier, node: Node) -> Node | None:
    """Turn a number, repeated, whose entries are moved, into that number, repeated."""
    (x,) = node.inputs
    return s.filled(s.numbers[x], _type(node), node.line) if x in s.numbers else None


def _broadcast_number(s: Simplifier, node: Node) -> Node | None:
    """Give a number the dtype that it is broadcast with."""
    (x,) = node.inputs
    number = s.numbers.get(x)
    if number is None or isinstance(number, np.generic):
        return None
    return s.filled(number, _type(node), node.line)


def _broadcast_of_stretched(s: Simplifier, node: Node) -> Node | None:
    """Turn stretching in two steps into stretching in one."""
    (x,) = node.inputs
    if not _is_stretched(x):
        return None
    return s.apply("broadcast", x.inputs[0], line=node.line, shape=_type(node).shape)


def _broadcast_of_same_size(s: Simplifier, node: Node) -> Node | None:
    """Turn putting axes of length 1 in front into a reshape."""
    (x,) = node.inputs
    if _type(x).size != _type(node).size or x in s.numbers:
        return None
    return s.apply("reshape", x, line=node.line, shape=_type(node).shape)


def _reshape_of_reshape(s: Simplifier, node: Node) -> Node | None:
    """Leave out the first of two reshapes."""
    (x,) = node.inputs
    if _name(x) != "reshape":
        return None
    return s.apply("reshape", x.inputs[0], line=node.line, shape=_type(node).shape)


def _reshape_of_reduction(s: Simplifier, node: Node) -> Node | None:
    """Let a reduction keep the axes that it reduces, or drop them, as is asked for."""
    (x,) = node.inputs
    if _name(x) not in REDUCTIONS or not s.is_used_once(x):
        return None
    static = {**x.static, "keepdims": not x.static["keepdims"]}
    operation = primitive(_name(x))
    if operation.infer(x.inputs[0].type, **static) != node.type:
        return None
    result = s.apply(_name(x), x.inputs[0], line=x.line, **static)
    s.supersede(x, result)
    return result


REDUCTIONS = frozenset(("all", "any", "log_sum_exp", "max", "min", "prod", "sum"))


def _transpose_of_transpose(s: Simplifier, node: Node) -> Node | None:
    """Turn two orders of axes, one after the other, into one."""
    (x,) = node.inputs
    if x.operation is not node.operation:
        return None
    axes = tuple(x.static["axes"][axis] for axis in node.static["axes"])
    return s.apply("transpose", x.inputs[0], line=node.line, axes=axes)


def _transpose_in_order(s: Simplifier, node: Node) -> Node | None:
    """Turn a transpose into a reshape, where the axes longer than 1 stay in order."""
    (x,) = node.inputs
    lengths = _type(x).shape
    long = [axis for axis in node.static["axes"] if lengths[axis] != 1]
    if long != sorted(long):
        return None
    return s.apply("reshape", x, line=node.line, shape=_type(node).shape)


def _slice_of_everything(s: Simplifier, node: Node) -> Node | None:
    """Turn what reads every entry, in order, into a reshape."""
    (x,) = node.inputs
    if _type(x).size != _type(node).size or not _is_in_order(node.static["key"]):
        return None
    return s.apply("reshape", x, line=node.line, shape=_type(node).shape)


def _scatter_everywhere(s: Simplifier, node: Node) -> Node | None:
    """Turn the transpose of reading every entry, in order, into a reshape."""
    x = node.inputs[0]
    if len(node.inputs) > 1 or _type(x).size != _type(node).size:
        return None
    if not _is_in_order(node.static["key"]):
        return None
    return s.apply("reshape", x, line=node.line, shape=_type(node).shape)


def _without_empty_parts(s: Simplifier, node: Node) -> Node | None:
    """Leave out the empty parts of what is joined; one part alone is the whole."""
    parts = [each for each in node.inputs if _type(each).size]
    if len(node.inputs) == 1:
        return node.inputs[0]
    if not parts or len(parts) == len(node.inputs):
        return None
    axis = node.static["axis"]
    lengths = tuple(_type(each).shape[axis] for each in parts)
    return s.apply("concatenate", *parts, line=node.line, axis=axis, lengths=lengths)


def _extremum_of_one(s: Simplifier, node: Node) -> Node | None:
    """Turn the largest, or the product, of one entry into the entry."""
    (x,) = node.inputs
    if _kind(x) == "c" or not _reduces_nothing(node):
        return None
    one = s.apply("reshape", x, line=node.line, shape=_type(node).shape)
    return s.fitted(one, _type(node), node.line)


def _sum_of_one(s: Simplifier, node: Node) -> Node | None:
    """Turn the sum of one entry into x + 0.0: no sum is -0.0."""
    one = _extremum_of_one(s, node)
    if one is None or _kind(node) != "f":
        return one
    return s.apply("add", one, s.constant(0.0, None), line=node.line)


def _truth_of_one(s: Simplifier, node: Node) -> Node | None:
    """Turn whether all of one entry are true into the entry."""
    (x,) = node.inputs
    if _kind(x) != "b" or not _reduces_nothing(node):
        return None
    return s.apply("reshape", x, line=node.line, shape=_type(node).shape)


def _reduces_nothing(node: Node) -> bool:
    lengths = _type(node.inputs[0]).shape
    return all(lengths[axis] == 1 for axis in node.static["axis"])


def _cumulative_sum_of_one(s: Simplifier, node: Node) -> Node | None:
    """Turn the cumulative sum of one entry into the entry."""
    (x,) = node.inputs
    if _type(x).shape[node.static["axis"]] != 1:
        return None
    return s.fitted(x, _type(node), node.line)


Law: TypeAlias = Callable[[Simplifier, Node], Node | None]

LAWS: dict[str, tuple[Law, ...]] = {
    "add": (_plus_zero, _plus_negative),
    "subtract": (_minus_zero, _minus_negative, _from_negative_zero),
    "multiply": (_times_one, _times_minus_one, _of_negatives),
    "divide": (_over_one, _of_negatives, _over_power_of_two),
    "power": (_over_one,),
    "pow": (_over_one,),
    "negative": (_negative_of_negative, _negative_of_product),
    "positive": (_nothing_changes,),
    "conjugate": (_of_real,),
    "real": (_of_real,),
    "imag": (_imaginary_of_real,),
    "absolute": (_not_negative, _even),
    "fabs": (_not_negative, _even),
    "square": (_even,),
    "floor": (_of_integers,),
    "ceil": (_of_integers,),
    "trunc": (_of_integers,),
    "maximum": (_of_same,),
    "minimum": (_of_same,),
    "fmax": (_of_same,),
    "fmin": (_of_same,),
    "isnan": (_test_of_integers,),
    "isinf": (_test_of_integers,),
    "isfinite": (_test_of_integers,),
    "equal": (_compared_with_itself,),
    "not_equal": (_compared_with_itself,),
    "less": (_compared_with_itself,),
    "less_equal": (_compared_with_itself,),
    "greater": (_compared_with_itself,),
    "greater_equal": (_compared_with_itself,),
    "bitwise_and": (_of_same, _bits_with_number),
    "bitwise_or": (_of_same, _bits_with_number),
    "bitwise_xor": (_bits_with_number,),
    "logical_and": (_of_same, _bits_with_number),
    "logical_or": (_of_same, _bits_with_number),
    "logical_xor": (_bits_with_number,),
    "logical_not": (_not_not,),
    "invert": (_not_not,),
    "left_shift": (_shift_by_nothing,),
    "right_shift": (_shift_by_nothing,),
    "scale": (_scale_by_number,),
    "where": (_known_choice, _same_branches, _choice_of_other),
    "cast": (_nothing_changes, _cast_of_cast),
    "convert": (_nothing_changes, _cast_of_cast),
    "broadcast": (
        _nothing_changes,
        _broadcast_number,
        _broadcast_of_same_size,
        _broadcast_of_stretched,
    ),
    "reshape": (_nothing_changes, _of_number, _reshape_of_reshape, _reshape_of_reduction),
    "transpose": (_of_number, _transpose_in_order, _transpose_of_transpose),
    "slice": (_of_number, _slice_of_everything, read_of_written),
    "scatter_add": (_scatter_everywhere,),
    "write": (write_everywhere,),
    "concatenate": (_without_empty_parts,),
    "pad": (_nothing_changes,),
    "sum": (_sum_of_one,),
    "log_sum_exp": (_sum_of_one,),
    "prod": (_extremum_of_one,),
    "max": (_extremum_of_one,),
    "min": (_extremum_of_one,),
    "any": (_truth_of_one,),
    "all": (_truth_of_one,),
    "cumsum": (_cumulative_sum_of_one,),
}
"""The laws of each primitive, in the order in which they are tried."""

# A primitive of the user's may have the name of one of these.
_LAWS_OF: dict[Operation, tuple[Law, ...]] = {primitive(name): laws for name, laws in LAWS.items()}
