"""The pytest plugin: a fixture ``gradcheck``, which fails a test whose gradient is not right.

pytest loads it wherever steepest is installed (``-p no:steepest`` keeps it from doing so). So it
stands outside of the package, whose import takes its time, and imports it when it is first used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

import pytest

if TYPE_CHECKING:
    from steepest.check import GradientCheck
    from steepest.check.products import CheckOptions
    from steepest.tree import Tree

__all__ = ["GradientChecker", "gradcheck"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the gradient check, and the same to the configuration file."""
    group = parser.getgroup("steepest", "gradient checks (steepest)")
    group.addoption(
        "--gradcheck-seconds",
        type=float,
        metavar="SECONDS",
        help="most time for each gradient check; what is not decided by then fails",
    )
    group.addoption(
        "--gradcheck-seed", type=int, metavar="N", help="of the directions that are examined"
    )
    parser.addini("gradcheck_seconds", "as --gradcheck-seconds")
    parser.addini("gradcheck_seed", "as --gradcheck-seed")


class GradientChecker:
    """The gradient checks as they are used in a test: what is not found correct fails it.

    Attributes
    ----------
    options : CheckOptions
        Keywords for every check that a test does not give itself.
    """

    def __init__(self, options: CheckOptions) -> None:
        self.options = options

    def __call__(
        self,
        f: Callable[[Tree], Any],
        x: Tree,
        gradient: Callable[[Tree], Tree] | None = None,
        **options: Unpack[CheckOptions],
    ) -> GradientCheck:
        """Check a gradient, as `steepest.check_gradient` does."""
        __tracebackhide__ = True
        from steepest import check_gradient

        return self._demand(check_gradient(f, x, gradient, **self._with(options)))

    def vjp(
        self,
        f: Callable[[Tree], Tree],
        x: Tree,
        vjp: Callable[[Tree, Tree], Tree] | None = None,
        **options: Unpack[CheckOptions],
    ) -> GradientCheck:
        """Check vector-Jacobian products, as `steepest.check_vjp` does."""
        __tracebackhide__ = True
        from steepest import check_vjp

        return self._demand(check_vjp(f, x, vjp, **self._with(options)))

    def jvp(
        self,
        f: Callable[[Tree], Tree],
        x: Tree,
        jvp: Callable[[Tree, Tree], Tree] | None = None,
        **options: Unpack[CheckOptions],
    ) -> GradientCheck:
        """Check Jacobian-vector products, as `steepest.check_jvp` does."""
        __tracebackhide__ = True
        from steepest import check_jvp

        return self._demand(check_jvp(f, x, jvp, **self._with(options)))

    def hvp(
        self,
        f: Callable[[Tree], Any],
        x: Tree,
        hvp: Callable[[Tree, Tree], Tree] | None = None,
        gradient: Callable[[Tree], Tree] | None = None,
        **options: Unpack[CheckOptions],
    ) -> GradientCheck:
        """Check second derivatives, as `steepest.check_hvp` does."""
        __tracebackhide__ = True
        from steepest import check_hvp

        return self._demand(check_hvp(f, x, hvp, gradient, **self._with(options)))

    def torch(self, f: Callable[..., Tree], inputs: Tree = (), **options: Any) -> GradientCheck:
        """Check PyTorch's derivatives, as `steepest.check_torch` does."""
        __tracebackhide__ = True
        from steepest import check_torch

        return self._demand(check_torch(f, inputs, **{**self.options, **options}))

    def jax(self, f: Callable[[Tree], Tree], x: Tree, **options: Any) -> GradientCheck:
        """Check JAX's derivatives, as `steepest.check_jax` does."""
        __tracebackhide__ = True
        from steepest import check_jax

        return self._demand(check_jax(f, x, **{**self.options, **options}))

    def _with(self, options: CheckOptions) -> CheckOptions:
        return {**self.options, **options}

    def _demand(self, report: GradientCheck) -> GradientCheck:
        __tracebackhide__ = True
        report.raise_if_wrong()
        return report


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> GradientChecker:
    """Check gradients: ``gradcheck(f, x, gradient)``, or ``gradcheck.torch(module, inputs)``."""
    options: CheckOptions = {"progress": False}
    seconds = _option(request.config, "gradcheck_seconds", float)
    if seconds is not None:
        options["seconds"] = seconds
    seed = _option(request.config, "gradcheck_seed", int)
    if seed is not None:
        options["seed"] = seed
    return GradientChecker(options)


def _option(config: pytest.Config, name: str, kind: Callable[[Any], Any]) -> Any:
    """Read an option from the command line, or else from the configuration file."""
    value = config.getoption(name)
    if value is not None:
        return value
    text = config.getini(name)
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise pytest.UsageError(f"{name} in the configuration file is {text!r}") from None
