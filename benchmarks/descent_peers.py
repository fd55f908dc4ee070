"""Those who train: steepest, PyTorch, JAX and scikit-learn, each in its own fastest idiom."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import io
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import steepest as sd
from benchmarks.cores import current_threads
from benchmarks.descent_work import Weights, Work, make_data, starting_weights, steepest_loss
from benchmarks.roofline import operations

__all__ = ["PARTICIPANTS", "Participant", "Runner", "default_engine", "jax_precision"]

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Runner(ABC):
    """One participant set up for one work.

    Parameters
    ----------
    work : Work
        Its data are made ready here, so that `run` only trains.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.x, self.y = make_data(work)
        self.start = starting_weights(work)

    @abstractmethod
    def run(self, steps: int) -> int:
        """Train from the starting weights, with shuffled epochs; return the steps taken."""

    @abstractmethod
    def weights(self) -> Weights:
        """Give the weights that the last run ended with."""

    def run_on_one_batch(self, steps: int) -> None:
        """Train on data that are one batch."""
        self.run(steps)

    def first_step(self) -> None:
        """Take one step, from scratch."""
        self.run(1)

    @property
    def label(self) -> str:
        """What is to be said about how it ran, or nothing."""
        return ""


def default_engine(function: Callable[..., Any]) -> str:
    """Look up what engine `descend` or `compile` takes unless told otherwise."""
    return str(inspect.signature(function).parameters["engine"].default)


class Steepest(Runner):
    """One call of `steepest.descend`."""

    def __init__(self, work: Work, engine: str | None = None) -> None:
        super().__init__(work)
        self._loss = steepest_loss(work)
        self._engine = engine or default_engine(sd.descend)
        self._result: sd.Descent | None = None

    def run(self, steps: int) -> int:
        """Train in one call."""
        return self._train(steps)

    def products_rate(self, steps: int) -> float | None:
        """Find the operations a second in products of matrices, without the rest of the step.

        What a product makes of its result takes time here, and does not count. None where no
        profile is made: by another engine than the native one.
        """
        with contextlib.redirect_stdout(io.StringIO()):
            self._train(steps, profile=True)
        assert self._result is not None
        if self._result.profile is None:
            return None
        products = [
            part
            for part in self._result.profile.parts
            if part.what.startswith("product of matrices")
        ]
        return operations(self.work) / sum(part.seconds for part in products)

    def _train(self, steps: int, profile: bool = False) -> int:
        work = self.work
        epochs, rest = divmod(steps, work.steps_per_epoch)
        length: dict[str, Any] = {"steps": steps} if rest else {"epochs": epochs}
        self._result = sd.descend(
            self._loss,
            self.start,
            (self.x, self.y),
            step_size=work.step_size,
            optimizer=work.optimizer,
            batch_size=work.batch,
            progress=False,
            engine=self._engine,
            profile=profile,
            **length,
        )
        assert self._result.steps == steps, self._result.stopped.message
        return steps

    def weights(self) -> Weights:
        """Give the weights that the last run ended with."""
        assert self._result is not None
        trained: Weights = self._result.weights
        return trained

    @property
    def label(self) -> str:
        """Name the engine that took the steps."""
        return "" if self._result is None else self._result.engine


def _torch() -> Any:
    """Import PyTorch, and have it use as many threads as everyone is to use now."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(current_threads())
    return torch


class _Torch(Runner):
    """What eager and compiled PyTorch share: the loss, and the loop over shuffled examples."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.torch = _torch()
        with warnings.catch_warnings():
            # The data are shared, and read-only.
            warnings.simplefilter("ignore")
            self.inputs = self.torch.from_numpy(self.x)
            self.labels = self.torch.from_numpy(self.y)
        self.leaves: list[Any] = []

    def _new_leaves(self, requires_grad: bool) -> list[Any]:
        # With an axis: torch.compile takes a float64 without one for a Python number, and what a
        # compiled function writes into it is lost.
        return [
            self.torch.tensor(np.atleast_1d(leaf), requires_grad=requires_grad)
            for layer in self.start
            for leaf in layer
        ]

    def _loop(self, step: Callable[[Any, Any], object], steps: int) -> int:
        batch, x, y = self.work.batch, self.inputs, self.labels
        if batch is None:
            for _ in range(steps):
                step(x, y)
            return steps
        left = steps
        while left:
            order = self.torch.randperm(len(x))
            if batch == 1:
                # A slice of one row is a view, which costs less than taking the row.
                rows = order[:left].tolist()
                for i in rows:
                    step(x[i : i + 1], y[i : i + 1])
                left -= len(rows)
            else:
                for rows in order.split(batch)[:left]:
                    step(x.index_select(0, rows), y.index_select(0, rows))
                    left -= 1
        return steps

    def weights(self) -> Weights:
        """Give the weights that the last run ended with."""
        arrays = [leaf.detach().numpy() for leaf in self.leaves]
        pairs = zip(arrays[::2], arrays[1::2], self.start, strict=True)
        return [(w, b.reshape(start[1].shape)) for w, b, start in pairs]


def _torch_loss(work: Work) -> Callable[[Any, Any, Any], Any]:
    torch = importlib.import_module("torch")
    functional = torch.nn.functional
    activation = torch.tanh if work.activation == "tanh" else torch.relu
    hidden, is_logistic = len(work.sizes) - 2, work.is_logistic

    def loss(leaves: Any, x: Any, y: Any) -> Any:
        h = x
        for i in range(hidden):
            h = activation(torch.addmm(leaves[2 * i + 1], h, leaves[2 * i]))
        w, b = leaves[-2], leaves[-1]
        if is_logistic:
            return functional.binary_cross_entropy_with_logits(h @ w + b, y)
        return functional.cross_entropy(torch.addmm(b, h, w), y)

    return loss


class TorchEager(_Torch):
    """Forward, backward and an optimizer of torch.optim, in a loop of Python."""

    def run(self, steps: int) -> int:
        """Train in a loop of Python."""
        torch, work = _torch(), self.work
        loss = _torch_loss(work)
        leaves = self.leaves = self._new_leaves(requires_grad=True)
        # Measured against each other, on one core: these variants are the fastest.
        optimizer = (
            torch.optim.SGD(leaves, lr=work.step_size, foreach=False)
            if work.optimizer == "sgd"
            else torch.optim.Adam(
                leaves, lr=work.step_size, betas=(BETA1, BETA2), eps=EPSILON, fused=True
            )
        )

        def step(x: Any, y: Any) -> None:
            optimizer.zero_grad(set_to_none=True)
            loss(leaves, x, y).backward()
            optimizer.step()

        return self._loop(step, steps)


@cache
def _compiled_torch_step(work: Work) -> Callable[..., None]:
    """Compile loss, gradient and update into one graph, which writes into the weights."""
    torch = importlib.import_module("torch")
    # Every work compiles this one function anew, which counts against a limit.
    torch.compiler.reset()
    gradient = torch.func.grad(_torch_loss(work))
    step_size, is_adam = work.step_size, work.optimizer == "adam"

    def step(leaves: Any, first: Any, second: Any, taken: Any, x: Any, y: Any) -> None:
        gradients = gradient(leaves, x, y)
        if not is_adam:
            for w, g in zip(leaves, gradients, strict=True):
                w.sub_(step_size * g)
            return
        taken.add_(1)
        correction1, correction2 = 1 - BETA1**taken, 1 - BETA2**taken
        for w, g, m, v in zip(leaves, gradients, first, second, strict=True):
            m.mul_(BETA1).add_((1 - BETA1) * g)
            v.mul_(BETA2).add_((1 - BETA2) * g * g)
            w.sub_(step_size * (m / correction1) / (torch.sqrt(v / correction2) + EPSILON))

    compiled: Callable[..., None] = torch.compile(
        step, fullgraph=True, dynamic=False, options={"cpp_wrapper": True}
    )
    return compiled


class TorchCompile(_Torch):
    """The whole step compiled by torch.compile; the loop is Python's."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._step = _compiled_torch_step(
            # The compiled step knows the shapes of a batch, and nothing of how many there are.
            work if work.batch is None else work.of_one_batch()
        )

    def run(self, steps: int) -> int:
        """Train in a loop of Python."""
        torch = self.torch
        leaves = self.leaves = self._new_leaves(requires_grad=False)
        first, second = ([torch.zeros_like(leaf) for leaf in leaves] for _ in range(2))
        # An array: a number would be compiled anew at each step.
        step = partial(self._step, leaves, first, second, torch.zeros(1))
        with torch.no_grad():
            return self._loop(step, steps)


@contextlib.contextmanager
def jax_precision(dtype: str) -> Iterator[Any]:
    """Enter JAX's float64, or leave it, and give the module."""
    jax = importlib.import_module("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", dtype == "float64")
    try:
        yield jax
    finally:
        jax.config.update("jax_enable_x64", before)


class Jax(Runner):
    """All steps in one jitted scan.

    Permutations are made by NumPy and handed over: in a comparison on one core, `jax.random`
    inside of the compiled function took longer, and slowed the steps of the scan.
    """

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        with jax_precision(work.dtype) as jax:
            self._start = jax.tree.map(jax.numpy.asarray, self.start)
            self._data = jax.device_put((self.x, self.y if work.is_logistic else self._narrow()))
            self._train = jax.jit(_jax_training(jax, work), static_argnames="steps")
        self._weights: Any = None

    def _narrow(self) -> NDArray[np.int32]:
        return self.y.astype(np.int32)

    def run(self, steps: int) -> int:
        """Train in one call; another number of steps is compiled anew."""
        work = self.work
        with jax_precision(work.dtype) as jax:
            order = None
            if work.batch is not None:
                rng = np.random.default_rng(0)
                order = np.concatenate(
                    [
                        rng.permutation(np.arange(work.examples, dtype=np.int32))
                        for _ in range(math.ceil(steps / work.steps_per_epoch))
                    ]
                )[: steps * work.batch].reshape(steps, work.batch)
            self._weights, _ = jax.block_until_ready(
                self._train(self._start, self._data, order, steps=steps)
            )
        return steps

    def weights(self) -> Weights:
        """Give the weights that the last run ended with."""
        return [(np.asarray(w), np.asarray(b)) for w, b in self._weights]


def _jax_training(jax: Any, work: Work) -> Callable[..., Any]:
    jnp = jax.numpy
    activation = jnp.tanh if work.activation == "tanh" else jax.nn.relu

    def loss(weights: Any, x: Any, y: Any) -> Any:
        h = x
        for w, b in weights[:-1]:
            h = activation(h @ w + b)
        w, b = weights[-1]
        scores = h @ w + b
        if work.is_logistic:
            return jnp.mean(jnp.logaddexp(0, scores) - y * scores)
        log_probabilities = jax.nn.log_softmax(scores)
        return -jnp.mean(jnp.take_along_axis(log_probabilities, y[:, None], axis=1))

    def sgd(weights: Any, gradient: Any, state: Any) -> Any:
        return jax.tree.map(lambda w, g: w - work.step_size * g, weights, gradient), state

    def adam(weights: Any, gradient: Any, state: Any) -> Any:
        first, second, taken = state
        taken = taken + 1
        first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradient)
        second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradient)
        correction1, correction2 = 1 - BETA1**taken, 1 - BETA2**taken
        weights = jax.tree.map(
            lambda w, m, v: (
                w - work.step_size * (m / correction1) / (jnp.sqrt(v / correction2) + EPSILON)
            ),
            weights,
            first,
            second,
        )
        return weights, (first, second, taken)

    update = sgd if work.optimizer == "sgd" else adam

    def train(weights: Any, data: Any, order: Any, *, steps: int) -> Any:
        x, y = data

        def step(carry: Any, rows: Any) -> Any:
            weights, state = carry
            batch = (x, y) if rows is None else (x[rows], y[rows])
            value, gradient = jax.value_and_grad(loss)(weights, *batch)
            return update(weights, gradient, state), value

        zeros = jax.tree.map(jnp.zeros_like, weights)
        state = (zeros, zeros, jnp.zeros((), work.dtype)) if work.optimizer == "adam" else ()
        (weights, _), losses = jax.lax.scan(step, (weights, state), order, length=steps)
        return weights, losses

    return train


class ScikitLearn(Runner):
    """SGDClassifier for logistic regression on single examples, MLPClassifier for all else.

    MLPClassifier trains a linear model when it has no hidden layer. Of two classes it always
    makes one logistic output, so that softmaxes of two are trained as that.
    """

    def __init__(self, work: Work) -> None:
        if work.sizes[-1] == 2:
            work = work.with_one_output()
        super().__init__(work)
        self._is_linear = work.is_logistic and len(work.sizes) == 2 and work.batch == 1
        self._labels = self.y.astype(np.int64)
        self._classes = np.arange(max(2, work.sizes[-1]))
        self._model: Any = None

    def _new_model(self) -> Any:
        work = self.work
        if self._is_linear:
            return importlib.import_module("sklearn.linear_model").SGDClassifier(
                loss="log_loss",
                penalty=None,
                learning_rate="constant",
                eta0=work.step_size,
                tol=None,
                random_state=0,
            )
        return importlib.import_module("sklearn.neural_network").MLPClassifier(
            work.sizes[1:-1],
            activation=work.activation,
            solver=work.optimizer,
            alpha=0.0,
            batch_size=work.batch or work.examples,
            learning_rate="constant",
            learning_rate_init=work.step_size,
            momentum=0.0,
            nesterovs_momentum=False,
            tol=0.0,
            n_iter_no_change=10**9,
            beta_1=BETA1,
            beta_2=BETA2,
            epsilon=EPSILON,
            random_state=0,
        )

    def _model_at_start(self) -> Any:
        """Make a model with the weights that all participants start from."""
        model = self._new_model()
        if self._is_linear:
            return model
        # Its arrays are made by a first step, which is made too small to matter.
        model.set_params(learning_rate_init=1e-30, batch_size=1)
        model.partial_fit(self.x[:1], self._labels[:1], classes=self._classes)
        model.set_params(
            learning_rate_init=self.work.step_size,
            batch_size=self.work.batch or self.work.examples,
        )
        del model._optimizer
        model.coefs_ = [w.reshape(len(w), -1).copy() for w, _ in self.start]
        model.intercepts_ = [b.reshape(-1).copy() for _, b in self.start]
        return model

    def run(self, steps: int) -> int:
        """Train whole epochs by one call of `fit`."""
        epochs = math.ceil(steps / self.work.steps_per_epoch)
        self._model = self._model_at_start()
        self._model.set_params(max_iter=epochs, warm_start=not self._is_linear)
        with warnings.catch_warnings():
            # It warns that the number of epochs asked for was reached.
            warnings.simplefilter("ignore")
            self._model.fit(self.x, self._labels)
        return epochs * self.work.steps_per_epoch

    def run_on_one_batch(self, steps: int) -> None:
        """Train on data of one batch, in which not every class need be."""
        self._model = self._model_at_start()
        for _ in range(steps):
            self._model.partial_fit(self.x, self._labels, classes=self._classes)

    def first_step(self) -> None:
        """Take one step on a first batch."""
        batch = slice(self.work.batch)
        self._model = self._new_model()
        self._model.partial_fit(self.x[batch], self._labels[batch], classes=self._classes)

    def weights(self) -> Weights:
        """Give the weights that the last run ended with."""
        model = self._model
        if self._is_linear:
            return [(model.coef_[0], model.intercept_[0])]
        layers: Weights = list(zip(model.coefs_, model.intercepts_, strict=True))
        if self.work.is_logistic:
            w, b = layers[-1]
            layers[-1] = (w[:, 0], b[0])
        return layers

    @property
    def label(self) -> str:
        """Say which of its models it is."""
        return "SGDClassifier" if self._is_linear else "MLPClassifier"


@dataclass(frozen=True)
class Participant:
    """A library, or a way to use it.

    Attributes
    ----------
    name : str
    package : str
    prepare : callable
        Makes the `Runner` of a `Work`.
    """

    name: str
    package: str
    prepare: Callable[[Work], Runner]

    @property
    def is_installed(self) -> bool:
        """Whether its package is found, without importing it."""
        return importlib.util.find_spec(self.package) is not None


PARTICIPANTS = {
    each.name: each
    for each in (
        Participant("steepest", "steepest", Steepest),
        Participant("PyTorch eager", "torch", TorchEager),
        Participant("torch.compile", "torch", TorchCompile),
        Participant("JAX", "jax", Jax),
        Participant("scikit-learn", "sklearn", ScikitLearn),
    )
}
