"""What is built, installed and imported."""

import email
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What an import of the package must not import: each is loaded by the function that needs it.
HEAVY = ("click", "llvmlite", "matplotlib", "safetensors", "scipy", "tqdm")


def build(kind, folder):
    """Build a wheel or sdist, without the network, and return its file."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [file] = Path(folder).iterdir()
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    with zipfile.ZipFile(build("wheel", tmp_path_factory.mktemp("wheel"))) as file:
        yield {name: file.read(name) for name in file.namelist()}


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel}
    assert tops == {"steepest", "steepest_pytest.py", f"steepest-{PROJECT['version']}.dist-info"}
    sources = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "steepest").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wheel if name.startswith("steepest/")} == sources
    assert "steepest/py.typed" in wheel
    assert "steepest/datasets/digits.npz" in wheel


def test_the_wheel_carries_its_licences(wheel):
    names = {name.split(".dist-info/licenses/")[1] for name in wheel if "/licenses/" in name}
    assert names == set(PROJECT["license-files"])
    data = wheel["steepest/datasets/digits_LICENSE.md"].decode()
    for fact in ("Alpaydin", "Kaynak", "https://doi.org/10.24432/C50P49", "CC BY 4.0"):
        assert fact in data


def test_what_the_wheel_says_of_itself(wheel):
    [name] = [name for name in wheel if name.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(wheel[name])
    assert metadata["Name"] == "steepest"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0 AND CC-BY-4.0"
    [name] = [name for name in wheel if name.endswith(".dist-info/entry_points.txt")]
    assert b"steepest = steepest.cli:main" in wheel[name]
    assert b"[pytest11]\nsteepest = steepest_pytest" in wheel[name]


def test_the_source_distribution_can_be_tested_and_built(tmp_path):
    with tarfile.open(build("sdist", tmp_path)) as file:
        names = {name.split("/", 1)[1] for name in file.getnames()}
    needed = {"Makefile", "README.md", "pyproject.toml", "src/steepest/datasets/digits.npz"}
    assert needed | {"tests/test_packaging.py"} <= names
    assert not {name for name in names if name.startswith((".venv", "runs", "src/steepest.egg"))}


def imported_by(statement):
    """The modules that a fresh interpreter has imported after a statement, warnings as errors."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{statement}; import sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import steepest", "import steepest.datasets, steepest.model_file"]
)
def test_an_import_is_light(statement):
    assert not imported_by(statement).intersection(HEAVY)


@pytest.mark.skipif(os.name != "posix", reason="the scripts are for POSIX systems")
def test_continuous_integration_can_run():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)


def test_make_help_lists_every_target_for_people():
    text = subprocess.run(
        ["make", "--no-print-directory", "-C", ROOT, "help"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    described = re.findall(r"^make (\w+) +\S", text, re.MULTILINE)
    assert {"train", "test", "check"} <= set(described)


def test_the_changelog_has_a_place_for_the_next_change():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[Unreleased\]$", text, re.MULTILINE)
