"""How the tests of the native engine run: with a code cache of their own."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def own_code_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the tests compile out of the user's cache, and that out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEEPEST_CACHE_DIR", str(tmp_path_factory.mktemp("code")))
        yield
