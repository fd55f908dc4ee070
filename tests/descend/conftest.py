"""What the tests of descent share."""

from functools import partial

import pytest

from steepest.descend import descend
from steepest.engines import ENGINES


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have a module's tests descend by one engine after the other."""
    name: str = request.param
    monkeypatch.setattr(request.module, "descend", partial(descend, engine=name))
    return name
