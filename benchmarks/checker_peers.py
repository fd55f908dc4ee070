"""Today's gradient checkers, each given a plain NumPy function and the gradient to be checked.

What a checker evaluates is the same for all: NumPy, wrapped in whatever its library differentiates
(`torch.autograd.Function`, `jax.custom_vjp`, autograd's `primitive`). Each keeps its defaults.
"""

from __future__ import annotations

import importlib
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tests.check.corpus.case import Case

from steepest.check import check_gradient
from steepest.tree import flatten, is_differentiable, leaf_names, unflatten

__all__ = ["CHECKERS", "Checker", "OutOfBudgetError", "Problem", "outcome"]

RealArray: TypeAlias = NDArray[Any]

EVALUATIONS = 250_000


class OutOfBudgetError(Exception):
    """The checker has used up the evaluations or the time that it was allowed."""


@dataclass
class Problem:
    """A case as a function of arrays, counted and limited.

    Attributes
    ----------
    case : Case
    seconds : float
        After so long, the next evaluation raises.
    evaluations : int
        Calls of the function so far.
    is_spent : bool
        Whether an evaluation was refused.
    is_raised : bool
        Whether arrays keep the precision in which the checker hands them over.
    """

    case: Case
    seconds: float
    evaluations: int = 0
    is_spent: bool = False
    is_raised: bool = False
    arrays: list[RealArray] = field(init=False)

    def __post_init__(self) -> None:
        self.case.restart()
        self._leaves, self._structure = flatten(self.case.x)
        self._names = leaf_names(self.case.x)
        self._places = [i for i, leaf in enumerate(self._leaves) if is_differentiable(leaf)]
        self.arrays = [np.array(self._leaves[i]) for i in self._places]
        self._deadline = time.process_time() + self.seconds

    def tree(self, arrays: list[Any]) -> Any:
        """Put arrays where the leaves of x are, in the form that x has."""
        leaves = list(self._leaves)
        for place, array in zip(self._places, arrays, strict=True):
            leaf = self._leaves[place]
            value = np.array(array)
            if not self.is_raised:
                value = value.astype(np.asarray(leaf).dtype)
            if isinstance(leaf, np.ndarray):
                leaves[place] = value
            else:
                leaves[place] = value[()] if isinstance(leaf, np.generic) else value.item()
        return unflatten(self._structure, leaves)

    def value(self, arrays: list[Any]) -> Any:
        """Evaluate the function."""
        if self.evaluations >= EVALUATIONS or time.process_time() > self._deadline:
            self.is_spent = True
            raise OutOfBudgetError
        self.evaluations += 1
        with np.errstate(all="ignore"):
            return self.case.f(self.tree(arrays))

    def gradient(self, arrays: list[Any]) -> list[RealArray]:
        """Evaluate the gradient that is checked; a fault of its form is an error."""
        with np.errstate(all="ignore"):
            result = self.case.gradient(self.tree(arrays))
        named = dict(zip(leaf_names(result), flatten(result)[0], strict=True))
        parts = []
        for place, array in zip(self._places, self.arrays, strict=True):
            part = np.asarray(named[self._names[place]])
            if part.shape != array.shape or part.dtype.kind not in "fci":
                raise ValueError(f"{part.dtype}{part.shape} for {array.dtype}{array.shape}")
            if part.dtype.kind == "c" and array.dtype.kind != "c":
                raise ValueError("complex for real")
            parts.append(part if self.is_raised else part.astype(array.dtype))
        return parts

    # -- as one real vector ---------------------------------------------------------------------

    def vector(self, arrays: list[RealArray]) -> NDArray[np.float64]:
        """Lay all real coordinates after one another."""
        return np.concatenate(
            [
                np.ravel(array).view(np.empty(0, array.dtype).real.dtype).astype(np.float64)
                for array in map(np.ascontiguousarray, arrays)
            ]
        )

    def arrays_of(self, vector: NDArray[np.float64]) -> list[RealArray]:
        """Undo `vector`."""
        parts, start = [], 0
        for array in self.arrays:
            count = array.size * (2 if array.dtype.kind == "c" else 1)
            real = vector[start : start + count].astype(np.empty(0, array.dtype).real.dtype)
            parts.append(real.view(array.dtype).reshape(array.shape))
            start += count
        return parts

    def value_of_vector(self, vector: NDArray[np.float64]) -> float:
        """Evaluate the function of all coordinates."""
        return float(self.value(self.arrays_of(np.asarray(vector))))

    def gradient_of_vector(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the derivatives by all coordinates: by an imaginary part, minus the gradient's."""
        return self.vector([np.conj(part) for part in self.gradient(self.arrays_of(vector))])


Checker: TypeAlias = Callable[[Problem], str]
"""Takes a problem, returns a verdict of `check_gradient`, or raises: that is a rejection too."""


def _verdict(is_right: Any) -> str:
    return "correct" if is_right else "wrong"


def steepest(problem: Problem) -> str:
    """Check with `steepest.check_gradient`."""
    case = problem.case
    with np.errstate(all="ignore"):
        report = check_gradient(case.f, case.x, case.gradient, tolerance=case.tolerance)
    problem.evaluations = report.evaluations
    return report.verdict


def scipy(problem: Problem) -> str:
    """Check with `scipy.optimize.check_grad`, whose error is to be 1e-4 of the gradient."""
    from scipy.optimize import check_grad

    x = problem.vector(problem.arrays)
    error = check_grad(problem.value_of_vector, problem.gradient_of_vector, x)
    return _verdict(error <= 1e-4 * np.linalg.norm(problem.gradient_of_vector(x)))


def numdifftools(problem: Problem) -> str:
    """Compare `numdifftools.Gradient` by `numpy.allclose`."""
    library = importlib.import_module("numdifftools")
    x = problem.vector(problem.arrays)
    analytic = problem.gradient_of_vector(x)
    return _verdict(np.allclose(analytic, library.Gradient(problem.value_of_vector)(x)))


def textbook(threshold: float) -> Checker:
    """Return the check that courses teach: centred differences, each entry's relative error."""

    def check(problem: Problem) -> str:
        x = problem.vector(problem.arrays)
        analytic = problem.gradient_of_vector(x)
        step = 1e-5
        for place in range(x.size):
            moved = x.copy()
            moved[place] = x[place] + step
            above = problem.value_of_vector(moved)
            moved[place] = x[place] - step
            numeric = (above - problem.value_of_vector(moved)) / (2 * step)
            scale = max(abs(analytic[place]), abs(numeric))
            if scale != 0 and not abs(analytic[place] - numeric) / scale <= threshold:
                return "wrong"
        return "correct"

    return check


def torch(*, fast_mode: bool = False, in_double: bool = False) -> Checker:
    """Return `torch.autograd.gradcheck`, or its fast mode; or with inputs cast to float64."""

    def check(problem: Problem) -> str:
        library = importlib.import_module("torch")
        library.set_num_threads(1)
        problem.is_raised = in_double

        class Wrapped(library.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(context: Any, *tensors: Any) -> Any:
                context.save_for_backward(*tensors)
                value = problem.value([tensor.detach().numpy() for tensor in tensors])
                dtype = np.promote_types(np.asarray(value).dtype, np.float16)
                if in_double or dtype == np.longdouble:
                    dtype = np.dtype(np.float64)
                return library.from_numpy(np.array(value, dtype))

            @staticmethod
            def backward(context: Any, cotangent: Any) -> Any:
                tensors = context.saved_tensors
                parts = problem.gradient([tensor.detach().numpy() for tensor in tensors])
                # Its convention for complex numbers is the conjugate of ours.
                return tuple(
                    library.from_numpy(np.array(np.conj(part))).to(tensor.dtype) * cotangent
                    for part, tensor in zip(parts, tensors, strict=True)
                )

        inputs = []
        for array in problem.arrays:
            dtype = array.dtype
            if in_double or dtype == np.longdouble:
                dtype = np.dtype(np.complex128 if dtype.kind == "c" else np.float64)
            inputs.append(library.tensor(array.astype(dtype), requires_grad=True))
        try:
            library.autograd.gradcheck(Wrapped.apply, tuple(inputs), fast_mode=fast_mode)
        except RuntimeError as error:
            return "noisy" if "not reentrant" in str(error) else "wrong"
        return "correct"

    return check


def jax(problem: Problem) -> str:
    """Check with `jax.test_util.check_grads`, in reverse mode."""
    library = importlib.import_module("jax")
    library.config.update("jax_enable_x64", True)
    # What the gradient raises is reported in the table.
    logging.getLogger("jax").setLevel(logging.CRITICAL)
    numpy = importlib.import_module("jax.numpy")
    check_grads = importlib.import_module("jax.test_util").check_grads
    problem_dtypes = [_without_longdouble(array.dtype) for array in problem.arrays]
    value = np.asarray(problem.value(problem.arrays))
    result = library.ShapeDtypeStruct((), _without_longdouble(value.dtype))
    shapes = [
        library.ShapeDtypeStruct(array.shape, dtype)
        for array, dtype in zip(problem.arrays, problem_dtypes, strict=True)
    ]

    def host_value(*leaves: Any) -> Any:
        return np.asarray(problem.value([np.asarray(leaf) for leaf in leaves]), result.dtype)

    def host_gradient(*leaves: Any) -> Any:
        parts = problem.gradient([np.asarray(leaf) for leaf in leaves])
        return tuple(part.astype(dtype) for part, dtype in zip(parts, problem_dtypes, strict=True))

    def called_back(*leaves: Any) -> Any:
        return library.pure_callback(host_value, result, *leaves)

    wrapped = library.custom_vjp(called_back)

    def forward(*leaves: Any) -> Any:
        return wrapped(*leaves), leaves

    def backward(leaves: Any, cotangent: Any) -> Any:
        parts = library.pure_callback(host_gradient, tuple(shapes), *leaves)
        return tuple((part * cotangent).astype(part.dtype) for part in parts)

    wrapped.defvjp(forward, backward)
    leaves = [
        numpy.asarray(array.astype(dtype))
        for array, dtype in zip(problem.arrays, problem_dtypes, strict=True)
    ]
    check_grads(wrapped, tuple(leaves), order=1, modes=["rev"])
    return "correct"


def _without_longdouble(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind not in "fc":
        return np.dtype(np.float64)
    return np.dtype(np.float64) if dtype == np.longdouble else dtype


def autograd(problem: Problem) -> str:
    """Check with autograd's `check_grads`, in reverse mode."""
    extend = importlib.import_module("autograd.extend")
    check_grads = importlib.import_module("autograd.test_util").check_grads

    wrapped = extend.primitive(lambda *leaves: np.float64(problem.value(list(leaves))))

    def rule(place: int) -> Callable[..., Any]:
        def make(_: Any, *leaves: Any) -> Any:
            return lambda cotangent: cotangent * problem.gradient(list(leaves))[place]

        return make

    places = tuple(range(len(problem.arrays)))
    extend.defvjp(wrapped, *map(rule, places), argnums=places)
    check_grads(wrapped, places, modes=["rev"], order=1)(*problem.arrays)
    return "correct"


CHECKERS: dict[str, Checker] = {
    "steepest.check_gradient": steepest,
    "scipy.optimize.check_grad, relative 1e-4": scipy,
    "torch.autograd.gradcheck": torch(),
    "torch.autograd.gradcheck, fast mode": torch(fast_mode=True),
    "torch.autograd.gradcheck, inputs cast to float64": torch(in_double=True),
    "jax.test_util.check_grads": jax,
    "autograd.test_util.check_grads": autograd,
    "numdifftools.Gradient and numpy.allclose": numdifftools,
    "textbook relative error, 1e-7": textbook(1e-7),
    "textbook relative error, 1e-4": textbook(1e-4),
}


def outcome(checker: Checker, problem: Problem) -> str:
    """Run a checker; whatever it raises is its rejection, except when its budget was spent."""
    np.random.seed(0)  # noqa: NPY002 - that is where autograd and JAX draw their directions from
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdict = checker(problem)
    except ImportError:
        raise
    except Exception:
        verdict = "wrong"
    return "undecided" if problem.is_spent else verdict
