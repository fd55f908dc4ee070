"""How the whole suite runs."""

import gc
import os
import shutil
import tempfile
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# Test sessions inside of tests.
pytest_plugins = ["pytester"]

# Figures are drawn without a screen.
os.environ["MPLBACKEND"] = "Agg"

# The same examples in every run, and no verdict that depends on the speed of the machine.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("soak", settings.get_profile("repeatable"), max_examples=10_000)
settings.load_profile("repeatable")


# Native code that the tests make stays out of the user's cache. All processes share a folder.
_CACHE = "STEEPEST_CACHE_DIR"


def pytest_configure(config: pytest.Config) -> None:
    if _CACHE not in os.environ:
        folder = os.environ[_CACHE] = tempfile.mkdtemp(prefix="steepest-tests-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    if config.getoption("markexpr") == "soak":
        settings.load_profile("soak")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave the tests themselves, a million objects, out of every garbage collection."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()
