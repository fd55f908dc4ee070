"""The calculus: gradients, Jacobians, Hessians and products with them, of functions of pytrees."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any, cast

import numpy as np

from steepest.array import Array, value_type
from steepest.array.buffers import copied_from, snapshot
from steepest.array.calculus import calculus
from steepest.array.creating import UserCode
from steepest.array.handed import as_handed
from steepest.array.plain import base_array
from steepest.differentiate.finite import not_finite, raise_not_finite
from steepest.differentiate.forward import Forward
from steepest.differentiate.reverse import Record, Tape, backward
from steepest.errors import BadInputError, NotDifferentiableError
from steepest.ops.spec import Trace, Traced, Value, is_ndarray, released
from steepest.shadow import SHADOWING, ShadowTrace, compare_with_plain_run
from steepest.tree import (
    GradientTuple,
    Structure,
    Tree,
    flatten,
    is_differentiable,
    tree_map,
    unflatten,
    unflatten_with_arithmetic,
    with_arithmetic,
)

__all__ = [
    "elementwise_grad",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]

Function = Callable[..., Any]


@dataclass(slots=True)
class _Watched:
    """An argument whose floating-point leaves are watched by a trace.

    Attributes
    ----------
    records : list of Record or None
        Those of the leaves that are differentiated.
    """

    structure: Structure
    leaves: list[Any]
    records: list[Record | None]

    @property
    def inputs(self) -> list[Record]:
        """The records of the leaves that are differentiated."""
        return [record for record in self.records if record is not None]

    def collect(self, cotangents: Iterator[Value], seen: set[int]) -> Tree:
        """Put cotangents of the watched leaves in the place of those leaves.

        Parameters
        ----------
        cotangents : iterator
            Those of the leaves of this argument are taken.
        seen : set of int
            Identities of arrays that belong to somebody else; what is put in is added.
        """
        leaves = []
        for leaf, record in zip(self.leaves, self.records, strict=True):
            placed = leaf if record is None else _finished(next(cotangents), leaf)
            if is_ndarray(placed):
                if id(placed) in seen:
                    placed = placed.copy()
                seen.add(id(placed))
            leaves.append(placed)
        return unflatten_with_arithmetic(self.structure, leaves)


def _watch(tape: Tape, argument: Tree, position: int, function: Function) -> tuple[_Watched, Tree]:
    """Watch an argument; with what the user's function is called with: Arrays of the tape."""
    leaves, structure = flatten(argument)
    records: list[Record | None] = []
    given = []
    is_differentiated = False
    for leaf in leaves:
        if is_differentiable(leaf):
            array = tape.watch(leaf)
            given.append(array)
            records.append(array._node)
            is_differentiated = True
        else:
            given.append(leaf)
            records.append(None)
    if not is_differentiated:
        raise NotDifferentiableError(
            f"argument {position} of {_name(function)} has no floating-point value to"
            f" differentiate by: {_describe(argument)}",
            instead="pass floats, as in 3.0 for 3 or array.astype(float)",
        )
    return _Watched(structure, leaves, records), unflatten(structure, given)


def _describe(value: object) -> str:
    if isinstance(value, (np.ndarray, np.generic, Traced)):
        return f"an array of {value_type(value)}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) < 60 else text[:57] + '...'}"


def _finished(cotangent: Value, leaf: Value) -> Value:
    """Give a cotangent the type of its leaf: a Python float, or an ndarray of its own."""
    if cotangent is None:
        kind = value_type(leaf)
        cotangent = np.zeros(kind.shape, kind.dtype)[()]
    if isinstance(cotangent, Array):
        return snapshot(cotangent)
    if type(leaf) in (float, complex):
        return type(leaf)(cotangent)
    if is_ndarray(leaf):
        array = np.asarray(cotangent, leaf.dtype)
        # Rules hand on views and shared arrays; what the user gets is theirs to write into.
        return array.copy() if array.base is not None or not array.flags.writeable else array
    return cotangent


def _gradients(
    watched: Sequence[_Watched], cotangents: Sequence[Value], taken: Sequence[Any] = ()
) -> tuple[Tree, ...]:
    """Make gradients with arithmetic, of which none aliases another, or what is taken."""
    remaining, seen = iter(cotangents), set(map(id, taken))
    return GradientTuple([each.collect(remaining, seen) for each in watched])


def _scalar_result(result: Any, tape: Tape, function: Function) -> None:
    """Check that a function to be differentiated returned a real number, or an array of one."""
    if _is_on(tape, result) and type(result._value) is np.float64:
        return
    if isinstance(result, (Traced, np.ndarray, np.generic, int, float, complex)):
        kind = value_type(result)
        if kind.size == 1 and kind.dtype.kind == "f":
            return
        if type(result) is int:
            return
        name = getattr(function, "__name__", "the function")
        if kind.size != 1:
            instead = "sd.jacobian for an array, or reduce it: np.sum(…), np.mean(…)"
        elif kind.dtype.kind == "c":
            instead = "a real loss: np.abs(z)**2, z.real"
        else:
            instead = "a loss that is not an integer"
        raise NotDifferentiableError(
            f"{name} must return a real scalar to have a gradient, and returned {kind}",
            instead=instead,
        )
    name = getattr(function, "__name__", "the function")
    raise NotDifferentiableError(
        f"{name} must return a real scalar to have a gradient, and returned {_describe(result)}",
        instead="return the loss; sd.grad(f, has_aux=True) for `return loss, anything_else`",
    )


def _name(function: Function) -> str:
    return getattr(function, "__name__", type(function).__name__)


class _Transform:
    """A function made from a function; it pickles when the function it is made from does."""

    __call__: Function
    public_name: str

    def __init__(self, function: Function) -> None:
        if not callable(function):
            raise BadInputError(
                f"sd.{self.public_name} takes a function, not {_describe(function)}",
                instead=f"sd.{self.public_name}(f)(x): the function first, then its arguments",
            )
        self._function = function
        functools.update_wrapper(cast("Function", self), function, updated=())

    def __get__(self, instance: Any, owner: type | None = None) -> Function:
        # As a function in the body of a class, it is a method.
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"{type(self).__name__.strip('_')}({_name(self._function)})"


def _selected(args: Sequence[Any], argnums: int | tuple[int, ...]) -> tuple[int, ...]:
    if type(argnums) is int and 0 <= argnums < len(args):
        return (argnums,)
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    resolved = tuple(each + len(args) if each < 0 else each for each in positions)
    if any(not 0 <= each < len(args) for each in resolved):
        raise BadInputError(
            f"argnums={argnums} names an argument that is not there: {len(args)} were given",
            instead="pass the arguments to differentiate by position, not by keyword",
        )
    return resolved


class _ValueAndGrad(_Transform):
    public_name = "value_and_grad"

    def __init__(
        self,
        function: Function,
        argnums: int | tuple[int, ...] = 0,
        has_aux: bool = False,
        shadow_run: bool = False,
        check_finite: bool = False,
    ) -> None:
        super().__init__(function)
        self._argnums = argnums
        self._has_aux = has_aux
        self._shadow_run = shadow_run
        self._check_finite = check_finite

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        positions = _selected(args, self._argnums)
        tape = Tape()
        try:
            watched = []
            changed = list(args)
            for position in positions:
                each, changed[position] = _watch(tape, args[position], position, self._function)
                watched.append(each)
            with UserCode(self._function):
                result = as_handed(self._function)(*changed, **keywords)
            aux: Any = None
            if self._has_aux:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise BadInputError(
                        f"with has_aux=True, {_name(self._function)} must return a pair"
                        f" (loss, aux), and returned {_describe(result)}"
                    )
                result, aux = result
            _scalar_result(result, tape, self._function)
            inputs = [record for each in watched for record in each.inputs]
            cotangents = _pulled_back(tape, result, inputs)
        finally:
            tape.active = False
        gradient = _gradients(watched, cotangents)
        value = snapshot(released(result))
        if self._has_aux:
            value = (value, tree_map(_handed_out, aux))
        if self._shadow_run or SHADOWING.get():
            self._shadow_run = False
            _compare(self._function, value, args, keywords, positions)
        if self._check_finite:
            self._refuse_not_finite(gradient, args, keywords, positions)
        return value, gradient[0] if isinstance(self._argnums, int) else gradient

    def _refuse_not_finite(
        self,
        gradient: tuple[Tree, ...],
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        positions: Sequence[int],
    ) -> None:
        names = [
            name
            for position, each in zip(positions, gradient, strict=True)
            for name in not_finite(each, f"argument {position}")
        ]
        if not names:
            return

        def run(tape: Tape) -> tuple[Value, list[Array]]:
            changed = list(args)
            arrays = []
            for position in positions:
                _, changed[position] = _watch(tape, args[position], position, self._function)
                # What the function writes into its arguments is not what it was given.
                given = flatten(changed[position])[0]
                arrays += [snapshot(each) for each in given if _is_on(tape, each)]
            result = as_handed(self._function)(*changed, **keywords)
            return (result[0] if self._has_aux else result), arrays

        raise_not_finite(gradient, names, run)


def _compare(
    function: Function,
    value: Any,
    args: Sequence[Any],
    keywords: dict[str, Any],
    positions: Sequence[int],
) -> None:
    """Compare a traced value with that of the function run untraced."""

    def trace_again() -> Any:
        trace = ShadowTrace()
        changed = [
            tree_map(trace.watch_differentiable, arg) if position in positions else arg
            for position, arg in enumerate(args)
        ]
        with UserCode(function):
            return as_handed(function)(*changed, **keywords)

    compare_with_plain_run(function, value, args, keywords, trace_again)


def _is_on(tape: Tape, value: Value) -> bool:
    return isinstance(value, Array) and value._trace is tape


def _pulled_back(tape: Tape, result: Value, inputs: Sequence[Record]) -> list[Value]:
    if not _is_on(tape, result):
        return [None] * len(inputs)
    return backward(result, np.ones(result.shape, result.dtype)[()], inputs)


class _Grad(_ValueAndGrad):
    public_name = "grad"

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        value, gradient = super().__call__(*args, **keywords)
        return (gradient, value[1]) if self._has_aux else gradient


def value_and_grad(
    f: Function,
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    shadow_run: bool = False,
    check_finite: bool = False,
) -> Function:
    """Make the function that returns a scalar function's value and its exact gradient.

    Parameters
    ----------
    f : callable
        Returns a real scalar, or a real array of size 1; written in NumPy.
    argnums : int or tuple of int
        Which positional arguments to differentiate by; a tuple gives a tuple of gradients.
    has_aux : bool
        Whether `f` returns ``(loss, aux)``; the value is then that pair, `aux` not
        differentiated.
    shadow_run, check_finite : bool
        See `grad`.

    Returns
    -------
    callable
        Takes the arguments of `f`, returns ``(value, gradient)``; see `grad`.

    Examples
    --------
    >>> import numpy as np
    >>> value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """
    return _ValueAndGrad(f, argnums, has_aux, shadow_run, check_finite)


def grad(
    f: Function,
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    shadow_run: bool = False,
    check_finite: bool = False,
) -> Function:
    """Make the function that returns the exact gradient of a scalar function.

    Parameters
    ----------
    f : callable
        Returns a real scalar, or a real array of size 1; written in NumPy. It is run anew at each
        call, so that it sees the current globals, closures and data.
    argnums : int or tuple of int
        Which positional arguments to differentiate by; a tuple gives a tuple of gradients.
    has_aux : bool
        Whether `f` returns ``(loss, aux)``; the result is then ``(gradient, aux)``.
    shadow_run : bool
        Whether the first call also runs `f` untraced and compares the values; a difference is
        a `ShadowRunError` that says where the two runs parted.
    check_finite : bool
        Whether a NaN or an infinity in the gradient is an error. It names the operation where
        it was born, on the way forward or backward, with its line. A finite gradient is looked
        at once; one that is not is computed a second time. In `compile` and `descend`, where
        values are not known, there is nothing to look at.

    Returns
    -------
    callable
        Takes the arguments of `f`, returns the gradient: a pytree like the argument, of the
        same shapes and dtypes, with arithmetic on its leaves. Leaves that are not floating
        point are carried along unchanged. For complex arguments it is ∂f/∂x − i ∂f/∂y.

    Raises
    ------
    NotDifferentiableError
        When `f` does not return a real scalar, or an argument has nothing to differentiate by.
    UnsupportedError
        When `f` uses what is not differentiated; the error names the line.
    NotFiniteError
        With `check_finite`, for a gradient that is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> grad(np.sin)(0.0)
    1.0
    >>> grad(lambda w: np.sum((w["W"] @ np.ones(2) + w["b"]) ** 2))(
    ...     {"W": np.eye(2), "b": np.zeros(2)}
    ... )
    {'W': array([[2., 2.],
           [2., 2.]]), 'b': array([2., 2.])}
    """
    return _Grad(f, argnums, has_aux, shadow_run, check_finite)


class _Pullback:
    """Takes a cotangent of the result back to the arguments; may be called many times."""

    def __init__(
        self, tape: Tape, outputs: list[Any], structure: Structure, watched: list[_Watched]
    ) -> None:
        self._tape = tape
        self._outputs = outputs
        self._structure = structure
        self._watched = watched

    def __call__(self, cotangent: Tree) -> tuple[Tree, ...]:
        cotangents, structure = flatten(cotangent)
        if structure != self._structure:
            raise BadInputError("the cotangent must be a tree like the function's result")
        inputs = [record for each in self._watched for record in each.inputs]
        totals: list[Value] = [None] * len(inputs)
        for output, each in zip(self._outputs, cotangents, strict=True):
            if not _is_on(self._tape, output):
                continue
            kind = value_type(output)
            given = value_type(each)
            if given.shape != kind.shape:
                raise BadInputError(
                    f"a cotangent of shape {given.shape} does not fit a result of shape"
                    f" {kind.shape}"
                )
            parts = backward(output, _with_dtype(each, kind.dtype), inputs)
            totals = [
                part if total is None else total if part is None else total + part
                for total, part in zip(totals, parts, strict=True)
            ]
        return _gradients(self._watched, totals, cotangents)


def vjp(f: Function, *primals: Tree) -> tuple[Tree, Function]:
    """Evaluate a function and get the pullback of its cotangents (reverse mode).

    Parameters
    ----------
    f : callable
        Returns a pytree of arrays.
    *primals : pytree
        Its arguments.

    Returns
    -------
    value : pytree
        ``f(*primals)``.
    pullback : callable
        Takes a cotangent, a pytree like `value`, and returns a tuple with one cotangent for
        each argument: the cotangent times the Jacobian.

    Examples
    --------
    >>> import numpy as np
    >>> value, pullback = vjp(lambda x: x**2, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    tape = Tape()
    try:
        watched, given = [], []
        for position, primal in enumerate(primals):
            each, tree = _watch(tape, primal, position, f)
            watched.append(each)
            given.append(tree)
        with UserCode(f):
            outputs, structure = flatten(as_handed(f)(*given))
    finally:
        tape.active = False
    value = unflatten(structure, [_own(released(each)) for each in outputs])
    if SHADOWING.get():
        _compare(f, value, primals, {}, range(len(primals)))
    return value, _Pullback(tape, list(map(snapshot, outputs)), structure, watched)


def _handed_out(value: Value) -> Value:
    """Release a value to the user: arrays that were copied while traced are copied now."""
    return _own(released(value)) if isinstance(value, Traced) else value


def _own(value: Value) -> Value:
    """Copy an array: what the user is given may be written into, what a tape keeps may not."""
    return value.copy() if is_ndarray(value) else snapshot(value)


def jvp(f: Function, primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Tree, Tree]:
    """Evaluate a function and its derivative along a direction (forward mode).

    Parameters
    ----------
    f : callable
        Returns a pytree of arrays.
    primals, tangents : sequence of pytree
        The arguments, and a direction for each, of the same shapes.

    Returns
    -------
    value, tangent : pytree
        ``f(*primals)``, and the Jacobian times the direction.

    Examples
    --------
    >>> import numpy as np
    >>> jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))
    """
    if len(primals) != len(tangents):
        raise BadInputError(f"{len(primals)} arguments, but {len(tangents)} directions")
    trace = Forward()
    try:
        args = [
            tree_map(functools.partial(_with_tangent, trace), primal, tangent)
            for primal, tangent in zip(primals, tangents, strict=True)
        ]
        with UserCode(f):
            outputs, structure = flatten(as_handed(f)(*args))
    finally:
        trace.active = False
    directions = [
        _own(each._node)
        if isinstance(each, Array) and each._trace is trace
        else _no_direction(each)
        for each in outputs
    ]
    value = unflatten(structure, [_own(released(each)) for each in outputs])
    if SHADOWING.get():
        _compare(f, value, primals, {}, range(len(primals)))
    return value, with_arithmetic(unflatten(structure, directions))


def _no_direction(value: Value) -> Value:
    if not is_differentiable(value):
        return value
    kind = value_type(value)
    return np.zeros(kind.shape, kind.dtype)[()]


def _with_tangent(trace: Trace, primal: Value, tangent: Value) -> Value:
    if not is_differentiable(primal):
        return primal
    kind, given = value_type(primal), value_type(tangent)
    if kind.shape != given.shape:
        raise BadInputError(
            f"a direction of shape {given.shape} does not fit an argument of shape {kind.shape}"
        )
    argument = primal
    if is_ndarray(primal):
        primal = base_array(primal).copy("K")
    array = Array(trace, snapshot(primal), snapshot(_with_dtype(tangent, kind.dtype)))
    return copied_from(argument, array) if is_ndarray(argument) else array


def _with_dtype(value: Value, dtype: np.dtype[Any]) -> Value:
    if isinstance(value, Array):
        return value if value.dtype == dtype else value.astype(dtype)
    return np.asarray(value).astype(dtype)[()]


class _Jacobian(_Transform):
    public_name = "jacobian"

    def __init__(self, function: Function, argnums: int) -> None:
        super().__init__(function)
        self._argnums = argnums

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        (position,) = _selected(args, self._argnums)

        def of_one(argument: Tree) -> Tree:
            changed = [*args[:position], argument, *args[position + 1 :]]
            return as_handed(self._function)(*changed, **keywords)

        value, pullback = vjp(of_one, args[position])
        outputs, structure = flatten(value)
        if not all(is_differentiable(each) for each in outputs):
            raise NotDifferentiableError(
                f"{_name(self._function)} must return floating-point arrays to have a Jacobian,"
                f" and returned {_describe(value)}"
            )
        kinds = [value_type(each) for each in outputs]
        blocks = []
        for index, kind in enumerate(kinds):
            rows = []
            for entry in range(kind.size):
                basis = [np.zeros(each.shape, each.dtype) for each in kinds]
                basis[index].flat[entry] = 1
                rows.append(pullback(unflatten(structure, basis))[0])
            blocks.append(_stack_rows(rows, kind.shape, args[position], kind.dtype))
        return with_arithmetic(unflatten(structure, blocks))


def _stack_rows(
    rows: Sequence[Tree], shape: tuple[int, ...], argument: Tree, dtype: np.dtype[Any]
) -> Tree:
    """Stack the cotangents of single entries into arrays of shape (*output, *argument)."""

    def stack(leaf: Value, *parts: Value) -> Value:
        if not is_differentiable(leaf):
            return leaf
        whole = (*shape, *value_type(leaf).shape)
        if any(isinstance(part, Traced) for part in parts):
            return np.reshape(np.stack(parts), whole)
        result = np.empty(whole, parts[0].dtype if parts and is_ndarray(leaf) else dtype)
        flat = result.reshape(len(parts), *value_type(leaf).shape)
        for position, part in enumerate(parts):
            flat[position] = part
        return result

    return with_arithmetic(tree_map(stack, argument, *rows))


def jacobian(f: Function, argnums: int = 0) -> Function:
    """Make the function that returns the Jacobian of an array-valued function.

    Parameters
    ----------
    f : callable
        Returns an array, or a pytree of arrays.
    argnums : int
        Which positional argument to differentiate by.

    Returns
    -------
    callable
        Takes the arguments of `f`. For a result of shape ``r`` and an argument of shape ``a`` it
        returns an array of shape ``r + a``; for pytrees, a tree of the result's structure whose
        leaves are trees of the argument's.

    Examples
    --------
    >>> import numpy as np
    >>> jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    return _Jacobian(f, argnums)


def hessian(f: Function, argnums: int = 0) -> Function:
    """Make the function that returns the matrix of second derivatives of a scalar function.

    Returns
    -------
    callable
        Takes the arguments of `f`. For an argument of shape ``a`` it returns an array of shape
        ``a + a``; for a pytree, a tree of trees.

    Examples
    --------
    >>> import numpy as np
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    return _Jacobian(_Grad(f, argnums), argnums)


class _ElementwiseGrad(_Transform):
    public_name = "elementwise_grad"

    def __init__(self, function: Function, argnums: int) -> None:
        super().__init__(function)
        self._argnums = argnums

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        (position,) = _selected(args, self._argnums)

        def of_one(argument: Tree) -> Tree:
            changed = [*args[:position], argument, *args[position + 1 :]]
            return as_handed(self._function)(*changed, **keywords)

        value, pullback = vjp(of_one, args[position])
        kind = value_type(value)
        return pullback(np.ones(kind.shape, kind.dtype)[()])[0]


def elementwise_grad(f: Function, argnums: int = 0) -> Function:
    """Make the function that returns the derivative of an element-wise function at each entry.

    The result is the sum over the rows of the Jacobian, which is the derivative where the
    Jacobian is diagonal.

    Examples
    --------
    >>> import numpy as np
    >>> elementwise_grad(np.tanh)(np.array([0.0, 100.0]))
    array([1., 0.])
    """
    return _ElementwiseGrad(f, argnums)


def hvp(f: Function, x: Tree, v: Tree) -> Tree:
    """Multiply the Hessian of a scalar function at a point with a vector, without forming it.

    Forward mode over reverse mode: a few times the cost of the gradient (Pearlmutter, "Fast
    exact multiplication by the Hessian", Neural Computation 6, 1994).

    Parameters
    ----------
    f : callable
        Returns a real scalar.
    x, v : pytree
        The point and the vector, of the same structure and shapes.

    Examples
    --------
    >>> import numpy as np
    >>> hvp(lambda x: x[0] ** 2 * x[1], np.array([3.0, 5.0]), np.array([1.0, 0.0]))
    array([10.,  6.])
    """
    return jvp(_Grad(f), (x,), (v,))[1]


def stop_gradient(x: Tree) -> Tree:
    """Return a pytree's values as constants: no gradient flows through them.

    Examples
    --------
    >>> grad(lambda x: x * stop_gradient(x))(3.0)
    3.0
    """
    return tree_map(_constant, x)


def _constant(value: Value) -> Value:
    while isinstance(value, Array) and isinstance(value._trace, (Tape, Forward)):
        value = snapshot(value._value)
        if is_ndarray(value):
            # What the tape has recorded must not be written into.
            value = value.view()
            value.flags.writeable = False
    return value


calculus.gradient, calculus.jacobian, calculus.directional = grad, jacobian, jvp
