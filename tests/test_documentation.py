"""The Python blocks of every page run, in order, and print what the page says they print."""

import ast
import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("examples/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)
# A fenced block, and a block of output if one follows it.
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n*^```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
# Errors of the size of rounding differ from one machine to the next.
SCIENTIFIC = re.compile(r"\d+(\.\d+)?e[-+]\d+")
# The line of a page moves when the page is edited.
PLACE = re.compile(r"\.md:\d+")
# How often a loop goes round that a page leaves to Ctrl-C.
ENDLESS = 200


@dataclass
class Block:
    code: str
    output: str | None
    line: int


def blocks_of(page):
    text = page.read_text(encoding="utf-8")
    return [
        Block(match["code"], match["output"], text.count("\n", 0, match.start("code")))
        for match in BLOCK.finditer(text)
    ]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


class EndLoops(ast.NodeTransformer):
    """Give `while True` without a break an end."""

    def visit_While(self, node):
        self.generic_visit(node)
        is_endless = isinstance(node.test, ast.Constant) and node.test.value is True
        if not is_endless or any(isinstance(each, ast.Break) for each in ast.walk(node)):
            return node
        [bounded] = ast.parse(f"for _ in range({ENDLESS}): pass").body
        assert isinstance(bounded, ast.For)
        bounded.body = node.body
        return ast.copy_location(bounded, node)


def run(block, page, namespace):
    """Run a block and return what it printed; errors name the line of the page."""
    tree = ast.fix_missing_locations(EndLoops().visit(ast.parse(block.code)))
    ast.increment_lineno(tree, block.line)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, str(page), "exec"), namespace)
    return printed.getvalue()


def comparable(text):
    return [
        PLACE.sub(".md:#", SCIENTIFIC.sub("#", line.rstrip())) for line in text.strip().splitlines()
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=name_of)
def test_the_blocks_of_a_page_run_and_print_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in blocks_of(page):
        printed = run(block, page, namespace)
        expected = block.output or ""
        where = f"{name_of(page)}:{block.line + 1}"
        assert comparable(printed) == comparable(expected), where


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/tutorial.md",
        "docs/derivatives.md",
        "docs/numerical_gradients.md",
        "docs/architecture.md",
    ],
)
def test_a_page_that_explains_code_shows_some(page):
    assert blocks_of(ROOT / page)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_python_block_is_found(page):
    text = page.read_text(encoding="utf-8")
    assert len(blocks_of(page)) == len(re.findall(r"^ *(?:```|~~~) *py", text, re.MULTILINE))


def anchors_of(page):
    """What links can say after #: headings in lower case, without punctuation, with hyphens."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_somewhere(page):
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        target, _, anchor = match["target"].partition("#")
        if "://" not in target:
            file = page.parent / target if target else page
            assert file.exists(), match["target"]
            assert not anchor or anchor in anchors_of(file), match["target"]


@pytest.mark.parametrize("image", sorted((ROOT / "docs" / "images").rglob("*.png")), ids=name_of)
def test_every_image_is_shown_somewhere(image):
    shown = [
        (page.parent / match["target"]).resolve()
        for page in PAGES
        for match in LINK.finditer(page.read_text(encoding="utf-8"))
    ]
    assert image.resolve() in shown


def test_the_architecture_page_names_every_part():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "steepest"
    parts = {path.name for path in package.iterdir() if not path.name.startswith("__")}
    named = set(re.findall(r"^([a-z_]+(?:\.py|/))", text, re.MULTILINE))
    expected = {name if "." in name else f"{name}/" for name in parts - {"py.typed"}}
    assert named == expected


def test_output_that_differs_is_found():
    printed = run(Block("print(1.25)\n", None, 0), ROOT / "README.md", {})
    assert comparable(printed) != comparable("1.26\n")
    assert comparable("error 1.2e-11, bound 4e-09") == comparable("error 3.4e-12, bound 5e-10")
    assert comparable("1.5 2e-3") != comparable("1.6 2e-3")


def test_an_endless_loop_ends_and_one_with_a_break_is_left_alone():
    namespace = {"endless": 0, "ended": 0}
    run(Block("while True:\n    endless += 1\n", None, 0), ROOT / "README.md", namespace)
    code = "while True:\n    ended += 1\n    if ended == 1000:\n        break\n"
    run(Block(code, None, 0), ROOT / "README.md", namespace)
    assert (namespace["endless"], namespace["ended"]) == (ENDLESS, 1000)
