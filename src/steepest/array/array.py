"""The Array: a value that behaves as NumPy's and records what is done to it.

Operators and methods apply primitives; NumPy's functions and ufuncs reach the table of
`steepest.array.functions` through NumPy's own protocols.
"""

from __future__ import annotations

import dis
import math
import operator
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

import numpy as np
from numpy import ndarray

from steepest.errors import (
    WRITABLE_ARRAY,
    NeedsValueError,
    TracedConversionError,
    UnsupportedError,
    is_user_code,
    refused_here,
)
from steepest.graph import ArrayType, type_of
from steepest.ops import primitive, primitive_of_ufunc
from steepest.ops.spec import Primitive, Trace, Traced, Value, bind, is_ndarray

__all__ = [
    "Array",
    "ArrayWithoutValue",
    "begin_writing",
    "end_writing",
    "forget",
    "is_storing",
    "value_type",
]

NO_STATIC: dict[str, Any] = {}
_PYTHON_NUMBERS = (bool, int, float, complex)
_OF_NUMPY = (np.ndarray, np.generic)
_OPERANDS = (*_OF_NUMPY, *_PYTHON_NUMBERS)
_USUAL_OPERANDS = frozenset((np.ndarray, np.float64, float, int))
"""Exact types that are told at once, and need no second look."""

_add = primitive("add")
_subtract = primitive("subtract")
_multiply = primitive("multiply")
_divide = primitive("divide")
_power = primitive("pow")
_matmul = primitive("matmul")
_square = primitive("square")
_negative = primitive("negative")


class UnsupportedAttributeError(UnsupportedError, AttributeError):
    """An attribute of ndarray that a traced value does not have; `hasattr` says no."""


def value_type(value: Value) -> ArrayType:
    """Shape and dtype of any value, traced or not."""
    while isinstance(value, Traced):
        if value._value is None:
            node_type: ArrayType = value._node.type
            return node_type
        value = value._value
    return type_of(value)


def _is_operand(other: object) -> bool:
    if isinstance(other, (Traced, _OPERANDS, writing.FlatIterator)):
        return True
    return isinstance(other, (list, tuple)) and getattr(other, "__array_ufunc__", True) is not None


def _are_arrays(inputs: Sequence[Value]) -> bool:
    """Whether a ufunc can take its inputs as they are, because one is an array or NumPy scalar.

    Among Python numbers alone a ufunc has dtype rules of its own.
    """
    strong = False
    for each in inputs:
        kind = type(each)
        if kind is Array:
            strong = strong or isinstance(each._value, _OF_NUMPY)
        elif kind is ndarray or isinstance(each, np.generic):
            strong = True
        elif kind not in _PYTHON_NUMBERS:
            return False
    return strong


def _of_other(operation: str, x: Array, other: Any, **settings: Any) -> Any:
    """Leave an operation to a class that implements NumPy's ufuncs, as ndarray's operators do."""
    if getattr(type(other), "__array_ufunc__", None) is None or not issubclass(
        x._kind(), _OF_NUMPY
    ):
        return NotImplemented
    return getattr(np, operation)(x, other, **settings)


def _as_operand(other: Any) -> Value:
    other = other.copy() if isinstance(other, writing.FlatIterator) else creating.joined(other)
    return other if isinstance(other, Traced) else np.asarray(other)


def _binary(operation: Primitive) -> Callable[[Array, Value], Value]:
    def method(self: Array, other: Value) -> Value:
        trace, kind = self._trace, type(other)
        if (kind in _USUAL_OPERANDS or (kind is Array and other._trace is trace)) and trace.active:
            return trace.record(operation, (self, other), NO_STATIC)
        if not isinstance(other, (Traced, _OPERANDS)):
            if not _is_operand(other):
                return _of_other(operation.name, self, other)
            other = _as_operand(other)
        return bind(operation, (self, other), NO_STATIC)

    return method


def _reflected(operation: Primitive) -> Callable[[Array, Value], Value]:
    def method(self: Array, other: Value) -> Value:
        trace, kind = self._trace, type(other)
        if (kind in _USUAL_OPERANDS or (kind is Array and other._trace is trace)) and trace.active:
            return trace.record(operation, (other, self), NO_STATIC)
        if not isinstance(other, (Traced, _OPERANDS)):
            if not _is_operand(other):
                return NotImplemented
            other = _as_operand(other)
        return bind(operation, (other, self), NO_STATIC)

    return method


def _comparison(
    operation: Primitive, of_objects: Callable[[Any, Any], Any]
) -> Callable[[Array, Value], Value]:
    """Make an operator that compares entries also with None and the like.

    Python itself would compare by identity, and say it once for all of them.
    """
    compare = _binary(operation)

    def method(self: Array, other: Any) -> Value:
        result = compare(self, other)
        if result is not NotImplemented or getattr(other, "__array_ufunc__", True) is None:
            return result
        if other is None:
            # No number is.
            return np.full(self.shape, of_objects(0, None))[()]
        return of_objects(self._plain_value("a comparison"), other)

    return method


def _matrix_product(*, reflected: bool) -> Callable[[Array, Value], Value]:
    """Make the operator @, which scalars do not have among themselves."""

    def method(self: Array, other: Value) -> Value:
        if not isinstance(other, (Traced, _OPERANDS)):
            if not _is_operand(other):
                return NotImplemented if reflected else _of_other("matmul", self, other)
            if not self._is_ndarray():
                return NotImplemented
            other = _as_operand(other)
        try:
            return bind(_matmul, (other, self) if reflected else (self, other), NO_STATIC)
        except ValueError:
            if self._is_ndarray() or is_ndarray(other):
                raise
            if isinstance(other, Array) and other._is_ndarray():
                raise
            return NotImplemented

    return method


def _unary(operation: Primitive) -> Callable[[Array], Value]:
    def method(self: Array) -> Value:
        return bind(operation, (self,), NO_STATIC)

    return method


def _in_place(operator: str, ufunc: str) -> Callable[[Array, Value], Value]:
    def method(self: Array, other: Value) -> Value:
        kind = type(other)
        if kind is not Array and kind not in _USUAL_OPERANDS and not _is_operand(other):
            return _of_other(ufunc, self, other, out=self)
        result = getattr(self, f"__{operator}__")(other)
        if result is NotImplemented or not self._is_ndarray():
            # A number's name is bound anew.
            return result
        writing.update(self, result)
        return self

    return method


_times = _binary(_multiply)


def _is_dtype(kind: Any, dtype: np.dtype[Any]) -> bool:
    return not _is_array_class(kind) and np.dtype(kind) == dtype


def _is_array_class(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, np.ndarray)


def is_storing(frame: FrameType) -> bool:
    """Whether a frame is at ``a[key] = value``."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] in ("STORE_SUBSCR", "STORE_SLICE")


def _is_formatting(frame: FrameType) -> bool:
    """Whether a frame is at ``text % values``, which needs numbers, and makes text of them."""
    code = frame.f_code.co_code
    operator = code[frame.f_lasti + 1]
    return dis.opname[code[frame.f_lasti]] == "BINARY_OP" and operator in _REMAINDERS


def _is_assertion(frame: FrameType) -> bool:
    """Whether a frame is of np.testing, which compares values, and makes nothing of them."""
    caller: FrameType | None = frame
    while caller is not None:
        name: str = caller.f_globals.get("__name__", "")
        if not name.startswith("steepest.array."):
            return name.startswith("numpy.testing")
        # What stands for np.asarray.
        caller = caller.f_back
    return False


_REMAINDERS = (6, 19)
"""What stands for % and %= in Python's bytecode."""

_PLACES = frozenset((int, tuple, type(None)))
"""Types of axes and shapes."""


def _applied(function: Callable[..., Any], x: Array, args: tuple[Any, ...]) -> Value:
    """Apply a function of NumPy to an array, and to axes or a shape.

    What is traced is recorded at once: NumPy would only ask who implements the function.
    """
    if x._trace.active and (not args or (len(args) == 1 and type(args[0]) in _PLACES)):
        implementation = functions.FUNCTIONS.get(function)
        if implementation is not None:
            try:
                return implementation(x, *args)
            except numpy_errors.NUMPY_ERRORS:
                # Through NumPy it is raised again, as an error of NumPy's class.
                pass
    return function(x, *args)


def _method(name: str, *, of_scalars: bool = True) -> Callable[..., Value]:
    """Make the method that calls NumPy's function of the same name on the array."""
    function = getattr(np, name)

    def method(self: Array, *args: Any, **settings: Any) -> Value:
        if not of_scalars:
            self._refuse_scalar(name)
        if settings:
            return function(self, *args, **settings)
        return _applied(function, self, args)

    method.__name__ = name
    method.__doc__ = f"Call ``np.{name}`` with this array first."
    return method


def _axes_method(name: str) -> Callable[..., Value]:
    """Make a method that takes a tuple or its entries: ``reshape(2, 3)``, ``transpose(1, 0)``."""
    function = getattr(np, name)

    def method(self: Array, *sizes: Any, **settings: Any) -> Value:
        if len(sizes) > 1:
            sizes = (sizes,)
        if settings:
            return function(self, *sizes, **settings)
        return _applied(function, self, sizes)

    method.__name__ = name
    method.__doc__ = f"Call ``np.{name}`` with this array first."
    return method


def _value_refusal(value: Traced, asked: str) -> NeedsValueError:
    return NeedsValueError(
        f"{asked} needs the value of an array of {value_type(value)}, of which only the shape and"
        " dtype are known while the function is compiled",
        instead="np.where(condition, a, b) for a choice between values; pass numbers that steer"
        " the computation as Python ints, or do not compile this function",
    )


class _WithoutMethods:
    """What the classes of collections.abc see of an Array."""

    __hash__ = None  # type: ignore[assignment]  # as ndarray's


class _ArrayClass(type):
    """The class of Array, of which the classes of collections.abc see no methods.

    They would take a traced number for something to iterate over. Without them, what
    ``isinstance(x, Iterable)`` says is what it says of ``x.__class__``.
    """

    @property
    def __mro__(cls) -> tuple[type, ...]:
        return _WithoutMethods, object


class Array(Traced, metaclass=_ArrayClass):
    """A value that belongs to a trace; users meet it as the argument of their function.

    Attributes
    ----------
    _trace : Trace
        Where operations on it are recorded.
    _value : ndarray, NumPy scalar, Python number, Array or None
        Its value: an Array of an outer trace when traces nest, None when only shape and dtype
        are known.
    _node : object
        Its place in the trace.
    _alias : Memory, View or None
        What other Arrays it shares memory with; see `steepest.array.buffers`. A view whose owner
        was written into has no trace, value and node until it is asked for them; see
        `ArrayWithoutValue`.
    """

    __slots__ = ("__weakref__", "_alias")
    __array_priority__ = 1000.0

    def __init__(self, trace: Trace, value: Value, node: Any) -> None:
        self._trace = trace
        self._value = value
        self._node = node
        self._alias: Any = None

    def _kind(self) -> type:
        """Find the type that the value has without traces, or would have."""
        value: Value = self
        while isinstance(value, Traced):
            if value._value is None:
                kind: ArrayType = value._node.type
                marked = self._alias is not None or getattr(value, "_alias", None) is not None
                if kind.shape or marked:
                    return np.ndarray
                scalar: type[np.generic] = kind.dtype.type
                return type(scalar().item()) if kind.weak else scalar
            value = value._value
        return type(value)

    # What isinstance(x, np.ndarray) and isinstance(x[0], float) ask where type(…) says no. Code in
    # C does not ask it, and so takes no Array for memory.
    __class__ = property(_kind)

    # What an ndarray knows of itself

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        value = self._value
        if isinstance(value, (np.ndarray, np.generic, Array)):
            return value.shape
        return value_type(self).shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        if not buffers.reshape_in_place(self, shape):
            raise UnsupportedAttributeError(
                "x.shape = … of an array that others are views of",
                instead=f"x = x.reshape({shape})",
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype of the value."""
        value = self._value
        if isinstance(value, (np.ndarray, np.generic, Array)):
            dtype: np.dtype[Any] = value.dtype
            return dtype
        return value_type(self).dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an entry."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all entries."""
        return self.size * self.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from an entry to the next one along each axis.

        Raises
        ------
        NeedsValueError
            While only shape and dtype are known, and not how the entries lie.
        UnsupportedError
            For an argument that is no contiguous array: the function has a copy of it.
        """
        return buffers.strides_of(self)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Value]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[position] for position in range(self.shape[0]))

    def __repr__(self) -> str:
        value = self._value
        if value is None:
            return f"Array({value_type(self)})"
        return f"Array({value!r})"

    def __str__(self) -> str:
        return repr(self) if self._value is None else str(self._value)

    def __format__(self, specification: str) -> str:
        return str(self) if self._value is None else format(self._value, specification)

    # Operators

    __add__ = _binary(_add)
    __radd__ = _reflected(_add)
    __sub__ = _binary(_subtract)
    __rsub__ = _reflected(_subtract)
    __rmul__ = _reflected(_multiply)
    __truediv__ = _binary(_divide)
    __rtruediv__ = _reflected(_divide)
    __mod__ = _binary(primitive("remainder"))
    __rmod__ = _reflected(primitive("remainder"))
    __floordiv__ = _binary(primitive("floor_divide"))
    __rfloordiv__ = _reflected(primitive("floor_divide"))
    __matmul__ = _matrix_product(reflected=False)
    __rmatmul__ = _matrix_product(reflected=True)
    __rpow__ = _reflected(_power)
    __neg__ = _unary(_negative)
    __pos__ = _unary(primitive("positive"))
    __abs__ = _unary(primitive("absolute"))
    __invert__ = _unary(primitive("invert"))
    __lt__ = _binary(primitive("less"))
    __le__ = _binary(primitive("less_equal"))
    __gt__ = _binary(primitive("greater"))
    __ge__ = _binary(primitive("greater_equal"))
    __eq__ = _comparison(primitive("equal"), operator.eq)
    __ne__ = _comparison(primitive("not_equal"), operator.ne)

    def __hash__(self) -> int:
        if self._is_ndarray():
            raise TypeError("unhashable type: 'numpy.ndarray'")
        if self._trace.active:
            raise UnsupportedError(
                "a traced number as a key of a dict, or an entry of a set: where another one is"
                " equal to it, one of the two would get the gradient of both",
                instead="the position of the number, or sd.stop_gradient(x), as key",
            )
        return hash(self._plain_value("a key"))

    __and__ = _binary(primitive("bitwise_and"))
    __rand__ = _reflected(primitive("bitwise_and"))
    __or__ = _binary(primitive("bitwise_or"))
    __ror__ = _reflected(primitive("bitwise_or"))
    __xor__ = _binary(primitive("bitwise_xor"))
    __rxor__ = _reflected(primitive("bitwise_xor"))
    __lshift__ = _binary(primitive("left_shift"))
    __rlshift__ = _reflected(primitive("left_shift"))
    __rshift__ = _binary(primitive("right_shift"))
    __rrshift__ = _reflected(primitive("right_shift"))

    __iadd__ = _in_place("add", "add")
    __isub__ = _in_place("sub", "subtract")
    __imul__ = _in_place("mul", "multiply")
    __itruediv__ = _in_place("truediv", "divide")
    __imod__ = _in_place("mod", "remainder")
    __ifloordiv__ = _in_place("floordiv", "floor_divide")
    __ipow__ = _in_place("pow", "power")
    __imatmul__ = _in_place("matmul", "matmul")
    __iand__ = _in_place("and", "bitwise_and")
    __ior__ = _in_place("or", "bitwise_or")
    __ixor__ = _in_place("xor", "bitwise_xor")
    __ilshift__ = _in_place("lshift", "left_shift")
    __irshift__ = _in_place("rshift", "right_shift")

    def __mul__(self, other: Value) -> Value:
        # One gradient in place of two; the bits are the same.
        return bind(_square, (self,), NO_STATIC) if other is self else _times(self, other)

    def __pow__(self, exponent: Value, modulo: None = None) -> Value:
        if modulo is not None:
            return NotImplemented
        # NumPy's own ``**`` takes these exact routes on arrays, and only there.
        if type(exponent) in (int, float) and self._is_ndarray() and self.dtype.kind in "bfc":
            if exponent == 2 and (type(exponent) is int or self.dtype.kind != "b"):
                return bind(_square, (self,), NO_STATIC)
            if exponent == 0.5 and self.dtype.kind != "b":
                return bind(primitive("sqrt"), (self,), NO_STATIC)
            if exponent == -1 and self.dtype.kind == "f":
                return bind(primitive("reciprocal"), (self,), NO_STATIC)
        if not isinstance(exponent, (Traced, _OPERANDS)):
            if not _is_operand(exponent):
                return _of_other("power", self, exponent)
            exponent = _as_operand(exponent)
        return bind(_power, (self, exponent), NO_STATIC)

    def __divmod__(self, other: Value) -> Any:
        if not _is_operand(other):
            return _of_other("divmod", self, other)
        return self // other, self % other

    def __rdivmod__(self, other: Value) -> Any:
        if not _is_operand(other):
            return NotImplemented
        return other // self, other % self

    def __round__(self, digits: int | None = None) -> Value:
        return round(self._plain_value("round(…)"), digits)

    def __floor__(self) -> int:
        value: int = math.floor(self._plain_value("math.floor(…)"))
        return value

    def __ceil__(self) -> int:
        value: int = math.ceil(self._plain_value("math.ceil(…)"))
        return value

    def __trunc__(self) -> int:
        value: int = math.trunc(self._plain_value("math.trunc(…)"))
        return value

    def _is_ndarray(self) -> bool:
        """Whether the plain value is an ndarray, and not a scalar."""
        return issubclass(self._kind(), np.ndarray)

    # NumPy's protocols

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Value, **settings: Any
    ) -> Value:
        if not settings and method == "__call__":
            entry = primitive_of_ufunc(ufunc)
            if entry is not None:
                if len(inputs) == 1:
                    # The one input is this Array.
                    value = self._value
                    if type(value) is ndarray or isinstance(value, np.generic):
                        trace = self._trace
                        if trace.active:
                            return trace.record(entry, inputs, NO_STATIC)
                        return bind(entry, inputs, NO_STATIC)
                elif _are_arrays(inputs):
                    return bind(entry, inputs, NO_STATIC)
        return dispatch.apply_ufunc(ufunc, method, inputs, settings)

    def __array_function__(
        self,
        function: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...],
        settings: dict[str, Any],
    ) -> Value:
        usual = _USUAL_TYPES.issuperset(types)
        if not usual:
            for each in types:
                if not issubclass(each, (Array, *_OF_NUMPY)):
                    return NotImplemented
        try:
            if usual and len(args) < 3 and "out" not in settings and self._trace.active:
                # There is no out= among so few, and this Array stands somewhere in them.
                implementation = functions.FUNCTIONS.get(function)
                if implementation is not None:
                    return implementation(*args, **settings)
            return dispatch.apply_function(function, args, settings)
        except numpy_errors.NUMPY_ERRORS as error:
            refusal = numpy_errors.as_numpy_raises(error, function, args, settings)
            if refusal is error:
                raise
            raise refusal from error

    # Conversions: free where nothing is differentiated, errors elsewhere

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if not self._trace.active and self._value is not None:
            if copy is False:
                raise ValueError("Unable to avoid copy while creating an array as requested.")
            # What the trace keeps must not be written into, and a write into a copy that seems
            # to be the array itself would be lost.
            array = np.array(self._plain_value("np.asarray(…)"), dtype)
            array.flags.writeable = copy is True
            if copy is not True and array.dtype == self.dtype and self._is_ndarray():
                buffers.remember_copy(self, array)
            return array
        caller = sys._getframe(1)
        if _is_assertion(caller):
            array = np.array(self._plain_value("np.testing"), dtype)
            array.flags.writeable = copy is True
            return array
        if is_user_code(caller.f_code.co_filename) and is_storing(caller):
            positions = adopting.adopt(self, caller)
            if positions is not None:
                return positions
            adopting.refuse_of_other_kind(caller)
            raise UnsupportedError(
                "writing a traced value into an ndarray, as in `out[i] = x`", instead=WRITABLE_ARRAY
            )
        self._refuse_library()
        raise self._refusal(
            "np.asarray(…), or a function that calls it,",
            "apply NumPy functions to the value itself; np.array([x, y]) for a list;"
            " x.astype(kind) for kind(x), where kind = np.float64;"
            " loc + scale * rng.normal(size=n) for rng.normal(loc, scale, n);"
            " x[rng.permutation(len(x))] for rng.permutation(x);"
            " sd.stop_gradient(x) where no gradient is wanted",
        )

    def _refuse_library(self) -> None:
        """Say which function of a library has asked for an ndarray or a number, if one has."""
        called = scipy_functions.scipy_function(sys._getframe(2))
        if called is not None:
            module, name = called
            # With its value it may prove not to be differentiated.
            refusal = (NeedsValueError if self._value is None else TracedConversionError)(
                f"{module}.{name} takes ndarrays alone, and would lose the gradient of a traced"
                f" value of {value_type(self)}",
                instead=scipy_functions.what_instead(module, name),
            )
            refused_here.to_library = refusal
            raise refusal

    def _is_adopted(self, caller: FrameType) -> bool:
        """Whether NumPy asks for a number to write, into what has become an Array by that."""
        if self.shape or not is_user_code(caller.f_code.co_filename) or not is_storing(caller):
            return False
        adopting.refuse_of_other_kind(caller)
        return adopting.adopt(self, caller, as_number=True) is not None

    def __float__(self) -> float:
        if not self._trace.active and self._value is not None:
            return float(self._value)
        caller = sys._getframe(1)
        if self._is_adopted(caller):
            return 1.0
        if _is_formatting(caller) or _is_assertion(caller):
            return float(self._plain_value("text % values, or np.testing,"))
        self._refuse_library()
        raise self._refusal(
            "float(…), or a function of a library that takes numbers,",
            "x itself for float(x), and the functions of NumPy; float(sd.stop_gradient(x)) where"
            " no gradient is wanted",
        )

    def __complex__(self) -> complex:
        if not self._trace.active and self._value is not None:
            return complex(self._value)
        caller = sys._getframe(1)
        if self._is_adopted(caller):
            return 1.0 + 0.0j
        if _is_assertion(caller):
            return complex(self._plain_value("np.testing"))
        raise self._refusal("complex(…)", "x + 0j, or x.astype(complex)")

    def __bool__(self) -> bool:
        return bool(self._plain_value("a truth value (`if`, `while`, `and`, `assert`)"))

    def __int__(self) -> int:
        return int(self._plain_value("int(…)"))

    def __index__(self) -> int:
        return operator.index(self._plain_value("an index, range() or a length"))

    def item(self, *position: Any) -> Any:
        """Take one entry as Python's number, which keeps its gradient."""
        if not self._trace.active or (self.dtype.kind not in "fc" and plain.is_known(self)):
            return np.asarray(self._plain_value("x.item()")).item(*position)
        if value_type(self).weak:
            raise AttributeError(
                f"'{self.dtype.name.rstrip('0123456789')}' has no attribute 'item'"
            )
        if not position and not self.shape:
            return bind(primitive("item"), (self,), NO_STATIC)
        # NumPy's checks of the position.
        places = np.broadcast_to(np.empty((), np.bool_), self.shape)
        places.item(*position)
        entry: Value = self
        if not position:
            entry = np.reshape(self, ())
        elif len(position) == 1 and not isinstance(position[0], tuple):
            entry = self.flat[operator.index(position[0])]
        else:
            entry = self[position[0] if len(position) == 1 else position]
        return bind(primitive("item"), (entry,), NO_STATIC)

    def as_integer_ratio(self) -> tuple[int, int]:
        """Give the numerator and denominator of a number in which nothing is differentiated."""
        if self._is_ndarray():
            raise AttributeError("'numpy.ndarray' object has no attribute 'as_integer_ratio'")
        if not self._trace.active:
            ratio: tuple[int, int] = self._plain_value("a ratio").as_integer_ratio()
            return ratio
        raise self._refusal(
            "the ratio of two integers, as the module statistics takes it,",
            "np.mean, np.median, np.var(x, ddof=1) and np.std(x, ddof=1) for those of statistics",
        )

    def is_integer(self) -> bool:
        """Whether a number is whole; arrays have no such method."""
        if self._is_ndarray():
            raise AttributeError("'numpy.ndarray' object has no attribute 'is_integer'")
        whole: bool = self._plain_value("x.is_integer()").is_integer()
        return whole

    def tolist(self) -> Any:
        """Take the entries as lists of Python's numbers, which keep their gradients."""
        if not self._trace.active or (self.dtype.kind not in "fc" and plain.is_known(self)):
            return np.asarray(self._plain_value("x.tolist()")).tolist()
        return [each.tolist() for each in self] if self.shape else self.item()

    def _plain_value(self, asked: str) -> Value:
        """Read the value for control flow, where no gradient is lost: steps have slope 0."""
        value: Value = self
        while isinstance(value, Traced):
            if value._value is None:
                raise _value_refusal(value, asked)
            value = value._value
        return value

    def _refusal(self, asked: str, instead: str) -> TracedConversionError:
        if self._value is None:
            return _value_refusal(self, asked)
        return TracedConversionError(
            f"{asked} would lose the gradient of a traced value of {value_type(self)}",
            instead=instead,
        )

    def __getitem__(self, key: Any) -> Value:
        return indexing.read(self, key)

    def __setitem__(self, key: Any, value: Value) -> None:
        writing.assign(self, key, value)

    def __delitem__(self, key: Any) -> NoReturn:
        raise ValueError("cannot delete array elements")

    def choose(self, *choices: Any, **settings: Any) -> Value:
        """Call ``np.choose`` with this array first; the choices may come one by one."""
        return np.choose(self, choices[0] if len(choices) == 1 else choices, **settings)

    def __contains__(self, item: Value) -> bool:
        if not self._is_ndarray():
            raise TypeError(f"argument of type 'numpy.{self.dtype}' is not iterable")
        return bool(np.any(self == item))

    def astype(
        self,
        dtype: Any,
        order: Any = "K",
        casting: Any = "unsafe",
        subok: bool = True,
        copy: bool = True,
    ) -> Value:
        """Change the dtype; to integers or booleans, the result is a plain value."""
        target = np.dtype(dtype)
        if order != "K":
            np.empty(0).copy(order)  # NumPy's error
        if not np.can_cast(self.dtype, target, casting=casting):
            raise TypeError(
                f"Cannot cast array data from {self.dtype!r} to {target!r} according to the rule"
                f" {casting!r}"
            )
        if target == self.dtype and not copy:
            return self
        if self._trace.active:
            plain.check_keeps_numbers(target)
        name = "cast" if target.kind in "fc" else "convert"
        result = bind(primitive(name), (self,), {"dtype": target})
        if not self._is_ndarray():
            return result
        result = buffers.known_as_ndarray(result)
        return result if order == "K" else np.copy(result, order)

    def copy(self, order: str = "C") -> Value:
        """Copy: in-place operations on the result leave this array alone."""
        # A NumPy scalar's is a NumPy scalar, unlike that of np.copy.
        return self._call("copy", order) if self._is_ndarray() else self

    def _call(self, name: str, *args: Any) -> Value:
        return getattr(np, name)(self, *args)

    def __copy__(self) -> Value:
        return self.copy()

    def __reduce__(self) -> Any:
        if self._trace.active or self._value is None:
            raise self._refusal("pickling", "pickle sd.stop_gradient(x), or the result")
        return np.asarray(self).__reduce__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Value:
        return self.copy()

    # Methods of the same name and arguments as NumPy's functions

    all = _method("all")
    any = _method("any")
    argmax = _method("argmax")
    argmin = _method("argmin")
    argpartition = _method("argpartition", of_scalars=False)
    argsort = _method("argsort")
    cumprod = _method("cumprod")
    cumsum = _method("cumsum")
    diagonal = _method("diagonal")
    dot = _method("dot", of_scalars=False)
    max = _method("max")
    mean = _method("mean")
    min = _method("min")
    nonzero = _method("nonzero")
    prod = _method("prod")
    ravel = _method("ravel")
    repeat = _method("repeat")
    round = _method("round")
    searchsorted = _method("searchsorted")
    squeeze = _method("squeeze")
    std = _method("std")
    sum = _method("sum")
    swapaxes = _method("swapaxes")
    take = _method("take")
    trace = _method("trace")
    var = _method("var")
    reshape = _axes_method("reshape")
    transpose = _axes_method("transpose")
    T = property(lambda self: movement.transpose(self), doc="The transpose.")

    @property
    def mT(self) -> Value:  # NumPy's name
        """The transpose of the last two axes."""
        self._refuse_scalar("mT")
        return np.swapaxes(self, -1, -2)

    def _refuse_scalar(self, name: str) -> None:
        """Refuse what ndarrays have and NumPy's scalars do not."""
        if not self._is_ndarray():
            raise AttributeError(f"'numpy.{self.dtype}' object has no attribute {name!r}")

    @property
    def real(self) -> Value:
        """The real part."""
        return np.real(self)

    @real.setter
    def real(self, value: Value) -> None:
        np.real(self)[...] = value

    @property
    def imag(self) -> Value:
        """The imaginary part."""
        return np.imag(self)

    @imag.setter
    def imag(self, value: Value) -> None:
        if self.dtype.kind != "c":
            raise TypeError("cannot set imaginary part of a non-complex array")
        np.imag(self)[...] = value

    @property
    def flat(self) -> Any:
        """The entries one by one, in the order of C, to be read and written."""
        return writing.FlatIterator(self)

    @flat.setter
    def flat(self, value: Value) -> None:
        self.flat[...] = value

    def fill(self, value: Value) -> None:
        """Write one value into all entries; of a NumPy scalar, as in NumPy, into a copy."""
        if value_type(value).ndim:
            np.empty(1).fill(np.ones(value_type(value).shape))  # NumPy's error
        if writing.is_written(self):
            self[...] = value

    def sort(self, axis: int = -1, kind: Any = None, order: Any = None, **settings: Any) -> None:
        """Sort in place."""
        operator.index(axis)
        self[...] = np.sort(self, axis, kind, order, **settings)

    def partition(
        self, kth: Any, axis: int = -1, kind: Any = "introselect", order: Any = None
    ) -> None:
        """Partition in place."""
        operator.index(axis)
        self[...] = np.partition(self, kth, axis, kind, order)

    def put(self, indices: Value, values: Value, mode: Any = "raise") -> None:
        """Write values at positions in the flattened array."""
        self._call("put", indices, values, mode)

    device = property(lambda self: "cpu", doc="Where the array is.")

    def to_device(self, device: str, /, *, stream: None = None) -> Value:
        """Return the array itself, which is where it is asked for."""
        if device != "cpu":
            raise ValueError(f'Unsupported device: {device}. Only "cpu" is accepted.')
        if stream is not None:
            raise ValueError("The stream argument in to_device() is not supported")
        return self

    def view(self, dtype: Any = None, type: Any = None) -> Value:  # noqa: A002
        """Look at the same memory."""
        kinds = [each for each in (dtype, type) if each is not None and each is not ndarray]
        if not kinds or (kinds == [dtype] and _is_dtype(dtype, self.dtype)):
            # A NumPy scalar's is a NumPy scalar.
            return self[...] if self._is_ndarray() else self
        if any(map(_is_array_class, kinds)):
            raise UnsupportedError(
                f"a traced value of {value_type(self)} as {kinds[-1].__name__}, a subclass of"
                " ndarray",
                instead="the array itself, and functions in place of the subclass's methods",
            )
        if not self._trace.active:
            return plain.apply_plainly(np.ndarray.view, (self, *kinds), {})
        raise UnsupportedError(
            f"looking at the bytes of a traced value of {value_type(self)} as {dtype}",
            instead="x.astype(dtype), for the same numbers in another dtype",
        )

    def clip(
        self,
        min: Value = None,  # noqa: A002
        max: Value = None,  # noqa: A002
        out: Value = None,
        **settings: Any,
    ) -> Value:
        """Call ``np.clip``; unlike there, either bound may be left out."""
        return np.clip(self, min, max, **(settings if out is None else {**settings, "out": out}))

    def conj(self, out: Value = None) -> Value:
        """Take the complex conjugate; of real numbers, as in NumPy, the array itself."""
        if out is not None:
            return np.conjugate(self, out=out)
        if self.dtype.kind in "cO":
            return bind(primitive("conjugate"), (self,), NO_STATIC)
        return self

    conjugate = conj

    def compress(self, condition: Value, axis: int | None = None, out: None = None) -> Value:
        """Call ``np.compress``, which takes the condition first."""
        return np.compress(condition, self, axis, out)

    def flatten(self, order: Any = "C") -> Value:
        """Copy into one axis."""
        return np.copy(np.ravel(np.copy(self), order))


class ArrayWithoutValue(Array):
    """An Array that has no value for now: it is an Array again when it is next looked at.

    It is a view whose owner was written into, what another thread is writing into just now, or what
    has taken the place of an ndarray (`steepest.array.adopting`). A method that Python calls for
    what is missing makes each look take longer; so Array has none.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        with buffers.WRITES:
            # Another thread may have come first; this one may be the one that writes.
            if type(self) is ArrayWithoutValue:
                kind = type(self._alias)
                if kind is buffers.View:
                    buffers.refresh(self)
                    _set_class(self, Array)
                elif kind is adopting.Pending:
                    adopting.resolve(self)
                else:
                    return object.__getattribute__(self, name)
        return getattr(self, name)


_set_class = object.__dict__["__class__"].__set__


def forget(view: Array) -> None:
    """Let go of what a view stands for, as its owner is written into."""
    # In this order: no thread ever finds an Array without a value.
    _set_class(view, ArrayWithoutValue)
    del view._trace, view._value, view._node


def begin_writing(array: Array) -> None:
    """Have other threads wait for the value of an Array while it is written into."""
    _set_class(array, ArrayWithoutValue)


def end_writing(array: Array) -> None:
    """Let other threads have the value again."""
    _set_class(array, Array)


def _missing(name: str) -> property:
    """Make an attribute that an ndarray has, and an Array only when its trace has ended."""

    def get(self: Array) -> Any:
        if not self._trace.active:
            return getattr(np.asarray(plain.plain_value(self, name)), name)
        raise UnsupportedAttributeError(
            f"ndarray.{name} is not supported on a traced value",
            instead="y = np.resize(x, shape)"
            if name == "resize"
            else f"sd.stop_gradient(x).{name}, where no gradient is wanted; otherwise"
            " sd.custom_gradient around the code that needs it",
        )

    return property(get)


def _add_missing() -> None:
    for name in dir(ndarray):
        if not name.startswith("__") and not hasattr(Array, name):
            setattr(Array, name, _missing(name))


_add_missing()

_USUAL_TYPES = frozenset((Array, ArrayWithoutValue, ndarray))

# Modules that need the class above. Looking them up at each call would cost as much as the call.
from steepest.array import (  # noqa: E402
    adopting,
    buffers,
    creating,
    dispatch,
    functions,
    indexing,
    movement,
    numpy_errors,
    plain,
    scipy_functions,
    writing,
)
