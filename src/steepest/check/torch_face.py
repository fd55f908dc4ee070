"""The gradient check of functions and modules written for PyTorch."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, TypeAlias, Unpack

import numpy as np
from numpy.typing import NDArray

from steepest.check.framework import (
    Arrays,
    Mode,
    Named,
    Order,
    check_framework,
    import_framework,
)
from steepest.check.products import CheckOptions
from steepest.check.report import GradientCheck
from steepest.errors import BadInputError, NotDifferentiableError, UnsupportedError
from steepest.numeric.precision import limits, significand_bits
from steepest.tree import NamedLeaves, Tree, flatten, leaf_names, unflatten

__all__ = ["check_torch"]

Tensor: TypeAlias = Any
"""What belongs to PyTorch has no known type where PyTorch is not installed."""

DOUBLE_BITS = significand_bits(np.dtype(np.float64))
# So many names are listed in a note.
MANY = 6


def check_torch(
    f: Callable[..., Tree],
    inputs: Tree = (),
    *,
    parameters: Any = None,
    mode: Mode = "reverse",
    order: Order = 1,
    repeat_random_numbers: bool = False,
    **options: Unpack[CheckOptions],
) -> GradientCheck:
    """Check the derivatives that PyTorch computes of a module or function.

    Where results are several numbers, a random projection of them is checked, so that each counts.
    float16, bfloat16 and float32 are judged by evaluations in double precision, for which
    parameters, buffers and inputs are all raised, and so is what f casts to a lower precision.
    The module is left as it was: its parameters and buffers (such as running statistics) are
    replaced for each evaluation and put back.

    Parameters
    ----------
    f : callable
        A ``torch.nn.Module``, a function of tensors, or a ``torch.autograd.Function`` (the class
        or its ``apply``). It is called as ``f(*inputs)`` in the mode in which it is, training or
        evaluation, and returns tensors in any dicts, lists and tuples.
    inputs : tensor or tuple
        A tuple has the arguments; anything else is the only argument. Arguments may be dicts, lists
        and tuples of tensors. Those that require a gradient are checked; if none does, all that are
        floating point. The same tensor twice is one variable. Strides are kept; an expanded tensor
        is checked by the entries that it has in memory.
    parameters : module or dict of str to tensor, optional
        What f uses besides its inputs and is to be checked too; by default, the parameters of f if
        it is a module. Parameters that do not require a gradient are left out.
    mode : {"reverse", "forward"}
        Which derivatives: those of ``torch.autograd.grad`` (and ``backward``), or those of forward
        mode (``torch.func.jvp``). In forward mode, large tensors are examined along random
        directions.
    order : {1, 2}
        2 checks second derivatives, by backpropagation through the gradient, against differences
        of the gradient.
    repeat_random_numbers : bool
        Give f the same random numbers at each call, so that dropout can be checked.
    **options
        As for `check_gradient`: confidence, tolerance, evaluations, seconds, seed, progress.

    Returns
    -------
    GradientCheck
        Parameters have their names in ``named_parameters``, inputs those in the signature. The
        numbers of complex tensors are derivatives by real and by imaginary parts: PyTorch's
        gradient ∂L/∂x + i ∂L/∂y, the conjugate of steepest's, is converted.

    Raises
    ------
    UnsupportedError
        When PyTorch is not installed, or a tensor is neither dense nor of a dtype that NumPy and
        ml_dtypes have.
    BadInputError
        When f returns nothing that is floating point.
    NotDifferentiableError
        When there is nothing to check.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> check_torch(torch.nn.Linear(3, 2), torch.randn(5, 3)).verdict  # doctest: +SKIP
    'correct'
    """
    torch = import_framework("torch", "PyTorch")
    if mode == "forward" and order == 2:
        raise BadInputError(
            "second derivatives are checked in reverse mode", instead="leave out mode='forward'"
        )
    function = _TorchFunction(torch, f, inputs, parameters, repeat_random_numbers)
    with function.undisturbed():
        report = check_framework(function, mode, order, options)
    notes = [*report.notes, *function.notes()]
    if report.verdict == "noisy":
        notes += function.sources_of_noise()
    return replace(report, notes=tuple(notes))


class _TorchFunction:
    """A function of PyTorch as the gradient check sees it."""

    def __init__(
        self,
        torch: Any,
        f: Any,
        inputs: Tree,
        parameters: Any,
        repeat_random_numbers: bool,
    ) -> None:
        self._torch = torch
        if _is_autograd_function(f, torch):
            f = f.apply
        self._f = f
        self._modules = [each for each in (f, parameters) if isinstance(each, torch.nn.Module)]
        arguments = inputs if isinstance(inputs, tuple) else (inputs,)
        self._leaves, self._structure = flatten(arguments)
        # What is checked, by name; parameters stay the tensors that they are, inputs do not.
        self._variables: dict[str, Tensor] = {}
        self._skipped: list[str] = []
        self.x = Named()
        self._add_parameters(f if parameters is None else parameters)
        self._parameters = dict(self._variables)
        self._add_inputs(_input_names(f, arguments, torch))
        if not self._variables:
            raise NotDifferentiableError(
                "there is no floating-point tensor to differentiate by that requires a gradient",
                instead="pass tensors as inputs, or the module that f uses as parameters=module",
            )
        self._state = self._find_state()
        devices = {each.device for each in self._variables.values() if each.is_cuda}
        self._devices = sorted(devices, key=str)
        self._random_state = self._get_random_state() if repeat_random_numbers else None
        # Which results count: decided when f is first called, as is what follows.
        self._counting: list[int] | None = None
        self._copies_inputs = False
        self._written: list[str] = []
        self._unchecked: list[Tensor] = []
        self.lowers_precision = False

    def _add_parameters(self, parameters: Any) -> None:
        if isinstance(parameters, self._torch.nn.Module):
            named = dict(parameters.named_parameters())
        elif isinstance(parameters, Mapping):
            named = dict(parameters)
        else:
            return
        for name, tensor in named.items():
            if tensor.requires_grad:
                self._add(name, tensor)
            else:
                self._skipped.append(name)

    def _add_inputs(self, names: list[str]) -> None:
        floating = {
            name: leaf
            for name, leaf in zip(names, self._leaves, strict=True)
            if isinstance(leaf, self._torch.Tensor) and _is_floating(leaf)
        }
        chosen = any(leaf.requires_grad for leaf in floating.values())
        known = {id(tensor) for tensor in self._variables.values()}
        for name, leaf in floating.items():
            if chosen and not leaf.requires_grad:
                self._skipped.append(name)
            elif id(leaf) not in known:
                known.add(id(leaf))
                self._add(name if name not in self._variables else f"input {name}", leaf)

    def _add(self, name: str, tensor: Tensor) -> None:
        if tensor.layout != self._torch.strided:
            raise UnsupportedError(
                f"{name} has the layout {tensor.layout}; only dense tensors can be checked",
                instead=f"pass {name}.to_dense()",
            )
        self._variables[name] = tensor
        self.x[name] = self._to_numpy(_without_repetition(tensor))

    def _find_state(self) -> list[Tensor]:
        """Find the parameters and buffers, each once."""
        tensors = list(self._parameters.values())
        for module in self._modules:
            tensors += [*module.parameters(), *module.buffers()]
        return list({id(tensor): tensor for tensor in tensors}.values())

    # -- derivatives ----------------------------------------------------------------------------

    def value(self, x: Named) -> Arrays:
        if self._counting is None:
            self._call_first(x)
        with self._at(x) as (_, arguments):
            return [self._to_numpy(each) for each in self._call(arguments)]

    def vjp(self, x: Named, cotangents: Arrays) -> Named:
        with self._at(x) as (variables, arguments):
            results = self._call(arguments)
            return self._named(self._pull_back(results, variables, cotangents))

    def jvp(self, x: Named, tangents: Named) -> Arrays:
        forward = self._torch.autograd.forward_ad
        with ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            # PyTorch's rules of forward mode use what PyTorch itself has deprecated.
            warnings.filterwarnings("ignore", ".*torch.jit.script", DeprecationWarning)
            stack.enter_context(forward.dual_level())
            _, arguments = stack.enter_context(self._at(x, tangents))
            pushed = [forward.unpack_dual(each) for each in self._call(arguments)]
            return [
                self._to_numpy(each.primal * 0 if each.tangent is None else each.tangent)
                for each in pushed
            ]

    def vjp_of_vjp(self, x: Named, cotangents: Arrays, second: Named) -> Named:
        with self._at(x) as (variables, arguments):
            gradient = self._pull_back(
                self._call(arguments), variables, cotangents, create_graph=True
            )
            weights = [second[name] for name in self._variables]
            return self._named(self._pull_back(gradient, variables, weights))

    def jvp_of_vjp(self, x: Named, cotangents: Arrays, tangents: Named) -> Named:
        raise UnsupportedError("second derivatives of PyTorch are checked in reverse mode")

    # -- in PyTorch -----------------------------------------------------------------------------

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Compute gradients whatever the caller's mode, and leave the random numbers alone."""
        torch = self._torch
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.random.fork_rng(devices=self._devices),
        ):
            yield

    @contextmanager
    def _at(self, x: Named, tangents: Named | None = None) -> Iterator[tuple[list[Tensor], Tree]]:
        """Put a point in place of parameters and inputs, and a copy in place of the buffers.

        Yields what is to be differentiated by, and the arguments. With tangents, the point carries
        them along.
        """
        level = self._level(x)
        fresh = {name: self._to_torch(values, self._variables[name]) for name, values in x.items()}
        bindings = [
            (table, dict(table))
            for module in self._modules
            for each in module.modules()
            for table in (each._parameters, each._buffers)
            if isinstance(table, dict)
        ]
        saved = [(tensor, tensor.data, tensor.requires_grad) for tensor in self._state]
        names = {id(tensor): name for name, tensor in self._variables.items()}
        try:
            for tensor, data, _ in saved:
                name = names.get(id(tensor))
                tensor.data = self._raised(data, level) if name is None else fresh[name]
                if name is not None and tangents is not None:
                    # Written over with a dual number, the tensor becomes one.
                    tensor.requires_grad_(False)
                    tensor.copy_(self._dual(fresh[name], tangents[name]))
            variables = {}
            for name, tensor in self._variables.items():
                if name in self._parameters:
                    variables[name] = tensor
                elif tangents is not None:
                    variables[name] = self._dual(fresh[name], tangents[name])
                else:
                    variables[name] = fresh[name].requires_grad_()
            with self._without_lower_precision(level):
                yield list(variables.values()), self._arguments(variables, names, level)
        finally:
            for table, content in bindings:
                if any(table.get(name) is not tensor for name, tensor in content.items()):
                    table.update(content)
            for tensor, data, requires_grad in saved:
                tensor.data = data
                if tensor.is_leaf:
                    tensor.requires_grad_(requires_grad)

    def _arguments(
        self, variables: dict[str, Tensor], names: dict[int, str], level: Any
    ) -> tuple[Any, ...]:
        leaves = []
        made: dict[int, Tensor] = {}
        for leaf in self._leaves:
            if isinstance(leaf, self._torch.Tensor) and id(leaf) not in made:
                name = names.get(id(leaf))
                if name is None:
                    argument = self._raised(leaf.detach(), level)
                else:
                    argument = variables[name]
                    if self._copies_inputs:
                        argument = argument.clone()
                    if argument.shape != leaf.shape:
                        argument = argument.expand(leaf.shape)
                made[id(leaf)] = argument
            leaves.append(made.get(id(leaf), leaf))
        arguments: tuple[Any, ...] = unflatten(self._structure, leaves)
        return arguments

    def _call(self, arguments: tuple[Any, ...]) -> list[Tensor]:
        """Call f and return the results that count."""
        if self._random_state is not None:
            self._set_random_state(self._random_state)
        results = _results(self._f(*arguments))
        if self._counting is None:
            floating = [
                place
                for place, result in enumerate(results)
                if isinstance(result, self._torch.Tensor) and _is_floating(result)
            ]
            if not floating:
                raise BadInputError("f returns nothing that is floating point")
            tracked = [place for place in floating if results[place].requires_grad]
            self._counting = tracked or floating
        return [results[place] for place in self._counting]

    def _call_first(self, x: Named) -> None:
        """Call f as its user would, and see what it does besides returning results."""
        try:
            self._look(x)
        except RuntimeError as error:
            # PyTorch forbids writing into variables, but not into what is computed from them.
            if self._copies_inputs or "in-place" not in str(error):
                raise
            self._copies_inputs = True
            self._look(x)
        # Raised with the rest, they do not keep f from computing in double precision.
        self._state += self._unchecked

    def _look(self, x: Named) -> None:
        with self._at(x) as (variables, arguments):
            results = self._call(arguments)
            self._unchecked = _other_variables(results, [*variables, *self._state])
            seen = dict(zip(self._variables, variables, strict=True))
            for leaf, argument in zip(self._leaves, flatten(arguments)[0], strict=True):
                for name, tensor in self._variables.items():
                    if tensor is leaf:
                        seen[name] = argument
            for name, tensor in seen.items():
                now = self._to_numpy(_without_repetition(tensor))
                if not np.array_equal(now, x[name], equal_nan=True):
                    self._written.append(name)

    def _pull_back(
        self,
        results: list[Tensor],
        variables: list[Tensor],
        cotangents: Arrays,
        *,
        create_graph: bool = False,
    ) -> list[Tensor]:
        """Return the gradient of Re Σ cotangents · results, in steepest's convention."""
        torch = self._torch
        tracked = [
            (result, self._weights(cotangent, result))
            for result, cotangent in zip(results, cotangents, strict=True)
            if result.requires_grad
        ]
        gradient: list[Tensor | None] = [None] * len(variables)
        if tracked:
            outputs, weights = zip(*tracked, strict=True)
            gradient = torch.autograd.grad(
                outputs, variables, weights, create_graph=create_graph, allow_unused=True
            )
        dense = [
            torch.zeros_like(variable) if each is None else each
            for each, variable in zip(gradient, variables, strict=True)
        ]
        return [(each.to_dense() if each.is_sparse else each).conj() for each in dense]

    def _weights(self, cotangent: NDArray[Any], result: Tensor) -> Tensor:
        """Turn a cotangent into PyTorch's gradient by a result, which is its conjugate."""
        weights = self._from_numpy(np.conj(cotangent)).to(result.device, result.dtype)
        return weights.reshape(result.shape)

    def _dual(self, values: Tensor, tangent: NDArray[Any]) -> Tensor:
        direction = self._from_numpy(tangent).to(values.device, values.dtype)
        return self._torch.autograd.forward_ad.make_dual(values.clone(), direction)

    # -- precisions -----------------------------------------------------------------------------

    def _level(self, x: Named) -> Any:
        """Return the dtype to which a point is raised, and all else with it; None as it is."""
        raised = [
            limits(values.dtype).dtype
            for name, values in x.items()
            if values.dtype != self.x[name].dtype
        ]
        if not raised:
            return None
        least = min(raised, key=lambda dtype: significand_bits(np.dtype(dtype)))
        return self._torch.float32 if least == np.float32 else self._torch.float64

    @contextmanager
    def _without_lower_precision(self, level: Any) -> Iterator[None]:
        """Let what f casts to a lower precision than that of a raised point have that precision."""
        if level is None:
            yield
            return
        mode = _raising_mode(self._torch, level)
        with mode:
            yield
        self.lowers_precision |= mode.has_raised

    def _raised(self, tensor: Tensor, level: Any) -> Tensor:
        """Return a copy, floating point in the precision of a point at least."""
        if level is None or not _is_floating(tensor):
            return tensor.clone()
        return tensor.to(self._torch.promote_types(tensor.dtype, level), copy=True)

    # -- to PyTorch and back --------------------------------------------------------------------

    def _to_torch(self, values: NDArray[Any], like: Tensor) -> Tensor:
        """Return a tensor with the strides and on the device of another."""
        tensor = self._from_numpy(values)
        model = _without_repetition(like)
        strides = model.contiguous().stride() if _overlaps(model) else model.stride()
        result = self._torch.empty_strided(
            tensor.shape, strides, dtype=tensor.dtype, device=like.device
        )
        return result.copy_(tensor)

    def _from_numpy(self, values: NDArray[Any]) -> Tensor:
        if significand_bits(values.dtype) > DOUBLE_BITS:
            raise UnsupportedError("PyTorch has no extended precision")
        values = np.array(values, order="C")
        if values.dtype.name == "bfloat16":
            return self._torch.from_numpy(values.view(np.int16)).view(self._torch.bfloat16)
        return self._torch.from_numpy(values)

    def _to_numpy(self, tensor: Tensor) -> NDArray[Any]:
        tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
        if tensor.dtype == self._torch.bfloat16:
            bfloat16 = import_framework("ml_dtypes", "ml_dtypes, which has bfloat16,").bfloat16
            bits = np.array(tensor.contiguous().view(self._torch.int16).numpy())
            return np.asarray(bits.view(bfloat16))
        try:
            return np.array(tensor.numpy())
        except TypeError as error:
            raise UnsupportedError(
                f"NumPy has no {tensor.dtype}", instead="check it with tensors in float32"
            ) from error

    def _named(self, tensors: list[Tensor]) -> Named:
        arrays = [self._to_numpy(tensor) for tensor in tensors]
        return Named(zip(self._variables, arrays, strict=True))

    # -- random numbers -------------------------------------------------------------------------

    def _get_random_state(self) -> list[Tensor]:
        torch = self._torch
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(each) for each in self._devices)]

    def _set_random_state(self, states: list[Tensor]) -> None:
        self._torch.set_rng_state(states[0])
        for device, state in zip(self._devices, states[1:], strict=True):
            self._torch.cuda.set_rng_state(state, device)

    # -- words ----------------------------------------------------------------------------------

    def notes(self) -> list[str]:
        """Return what the report does not say of itself."""
        notes = [
            f"the function writes into {name} in place; each call here was given its own copy"
            for name in self._written
        ]
        if self._skipped:
            notes.append(f"not checked, because no gradient is required: {_listed(self._skipped)}")
        if self._unchecked:
            shapes = [str(tuple(tensor.shape)) for tensor in self._unchecked]
            notes.append(
                f"not checked: {len(shapes)} tensors that f uses besides its inputs, of shapes"
                f" {_listed(shapes)}; pass the module that has them as parameters=module"
            )
        return notes

    def sources_of_noise(self) -> list[str]:
        """Return what may make the function random, and what to do about it."""
        active = [
            name or type(module).__name__
            for root in self._modules
            for name, module in root.named_modules()
            if module.training and _has_dropout(module)
        ]
        advice = "repeat_random_numbers=True gives f the same random numbers at each call"
        if active:
            advice = f"dropout is active in {_listed(active)}: call .eval(); or {advice}"
        return [advice]


def _raising_mode(torch: Any, level: Any) -> Any:
    """Make a mode in which no operation computes in less than a precision."""
    from torch.utils._python_dispatch import TorchDispatchMode

    def is_lower(dtype: Any) -> bool:
        return bool(dtype.is_floating_point and torch.finfo(dtype).eps > torch.finfo(level).eps)

    class Raising(TorchDispatchMode):  # type: ignore[misc]  # PyTorch may not be installed.
        has_raised = False

        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = dict(kwargs or {})
            dtype = kwargs.get("dtype")
            if dtype is not None and is_lower(dtype):
                kwargs["dtype"] = level
                self.has_raised = True
            if not function._schema.is_mutable and not function.is_view:
                # What f uses besides its arguments.
                args, kwargs = torch.utils._pytree.tree_map_only(
                    torch.Tensor,
                    lambda each: each.to(level) if is_lower(each.dtype) else each,
                    (args, kwargs),
                )
            return function(*args, **kwargs)

    return Raising()


def _is_autograd_function(value: Any, torch: Any) -> bool:
    return isinstance(value, type) and issubclass(value, torch.autograd.Function)


def _is_floating(tensor: Tensor) -> bool:
    return bool(tensor.is_floating_point() or tensor.is_complex())


def _has_dropout(module: Any) -> bool:
    rate = getattr(module, "dropout", None)
    return "Dropout" in type(module).__name__ or (isinstance(rate, float) and rate > 0)


def _without_repetition(tensor: Tensor) -> Tensor:
    """Return the entries of an expanded tensor that are in memory."""
    for axis, (length, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if stride == 0 and length > 1:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor


def _overlaps(tensor: Tensor) -> bool:
    """Whether entries may share memory, as those of sliding windows do."""
    extent = 0
    for stride, length in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if length > 1:
            if stride <= extent:
                return True
            extent += stride * (length - 1)
    return False


def _results(results: Any) -> list[Any]:
    """Flatten what f returned; PyTorch's own named tuples have no field names to go by."""
    if isinstance(results, tuple) and type(results).__module__ == "torch.return_types":
        results = tuple(results)
    return flatten(results)[0]


def _other_variables(results: list[Tensor], variables: list[Tensor]) -> list[Tensor]:
    """Find what else the gradient would flow to."""
    known = {id(variable) for variable in variables}
    others = {}
    waiting = [result.grad_fn for result in results if result.grad_fn is not None]
    visited = set()
    while waiting:
        node = waiting.pop()
        if node in visited:
            continue
        visited.add(node)
        tensor = getattr(node, "variable", None)
        if tensor is not None and id(tensor) not in known:
            others[id(tensor)] = tensor
        waiting.extend(parent for parent, _ in node.next_functions if parent is not None)
    return list(others.values())


def _input_names(f: Any, arguments: tuple[Any, ...], torch: Any) -> list[str]:
    """Name the leaves of the arguments by the parameters in the signature of f."""
    target = f
    dropped = 0
    owner: Any = getattr(f, "__self__", None)
    if isinstance(f, torch.nn.Module):
        target = f.forward
    elif _is_autograd_function(owner, torch):
        target = owner.forward
        dropped = 1
    try:
        known = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):  # a built-in that does not say
        known = []
    if dropped and known and known[0].name != "ctx":
        dropped = 0
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [each.name for each in known if each.kind in positional][dropped:]
    names += [f"inputs[{place}]" for place in range(len(names), len(arguments))]
    return leaf_names(NamedLeaves(zip(names, arguments, strict=False)))


def _listed(words: list[str]) -> str:
    rest = f" and {len(words) - MANY} more" if len(words) > MANY else ""
    return ", ".join(words[:MANY]) + rest
