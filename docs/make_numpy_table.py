"""Write `numpy.md`, the page that says of each of NumPy's names what becomes of it.

    python -m docs.make_numpy_table

Run it in the root of the repository. The page is made of the tables that the tests check.
"""

from __future__ import annotations

from pathlib import Path

from tests.array.numpy_calls import (
    CONSTANT,
    CREATION,
    DIFFERENTIABLE,
    NEEDS_VALUES,
    NOT_OF_NUMBERS,
    RANDOM,
    REFUSED,
)

PAGE = Path(__file__).parent / "numpy.md"

INTRODUCTION = """\
# NumPy, name by name

What becomes of each public name of NumPy, of `numpy.linalg`, `numpy.fft`, `numpy.random` and
`ndarray`, where an argument is traced. This page is written by `python -m docs.make_numpy_table`
from the tables of [`tests/array/numpy_calls.py`](../tests/array/numpy_calls.py), whose calls the
tests compare with NumPy.

- **differentiable**: derivatives flow through it, to any order, in reverse and forward mode.
- **constant**: a step or a question; its result is NumPy's, and has no derivative.
- **creation**: it makes arrays of shapes and plain numbers, into which traced values may be
  written.
- **random**: it draws plain numbers. A traced parameter is an error, which says what has a
  derivative: `loc + scale * np.random.normal(size=n)`. A traced array may be shuffled,
  and permuted or chosen from by a generator that the function makes.
- **values**: it needs values, so that `compile` and `descend` run the function anew each time.
- **refused**: an error, with the reason and the way out; see also [refusals](refusals.md).
- **other**: it has nothing to do with numbers that vary, and works as ever.

"""


def _rows() -> dict[str, tuple[str, str]]:
    """List the class of each name, and what there is to say of it."""
    rows = {}
    for kind, table in (
        ("differentiable", DIFFERENTIABLE),
        ("constant", CONSTANT),
        ("creation", CREATION),
        ("random", RANDOM),
    ):
        for name, calls in table.items():
            rows[name] = (kind, "values" if all(each in NEEDS_VALUES for each in calls) else "")
    for refusal in REFUSED:
        for name in refusal.names.split():
            rows[name] = ("refused", f"{refusal.reason}. Instead: {refusal.instead}")
    for reason, names in NOT_OF_NUMBERS.items():
        for name in names.split():
            rows[name] = ("other", reason)
    return rows


def page() -> str:
    """Write the page."""
    rows = _rows()
    kinds = [kind for kind, _ in rows.values()]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    parts = [INTRODUCTION, f"{len(rows)} names: {counts}.\n"]
    for title, prefix in (
        ("numpy", ""),
        ("numpy.linalg", "linalg."),
        ("numpy.fft", "fft."),
        ("numpy.random", "random."),
        ("ndarray", "ndarray."),
    ):
        parts.append(f"\n## {title}\n\n| name | | |\n|---|---|---|\n")
        for name, (kind, note) in sorted(rows.items(), key=lambda row: row[0].lower()):
            module, _, last = name.rpartition(".")
            if module == prefix.rstrip("."):
                parts.append(f"| `{last}` | {kind} | {note} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
