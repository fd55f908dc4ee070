"""The page about NumPy's names is what its script writes."""

from __future__ import annotations

from docs.make_numpy_table import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m docs.make_numpy_table"
