"""The pytest plugin, in test sessions of its own."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import scipy.special

# Loaded by itself where the package was installed with it.
IS_LOADED = any(entry.value == "steepest_pytest" for entry in entry_points(group="pytest11"))
LOAD = () if IS_LOADED else ("-p", "steepest_pytest")

# Test sessions in this process forget what they were first to import, and parts of NumPy that SciPy
# imports cannot be imported again: imported here, they stay.
assert scipy.special

TESTS = """
import numpy as np

x = np.array([0.5, 1.0, 2.0])

def cubes(x):
    return np.sum(x**3)

def squared(x):
    return 3 * x**2

def test_right(gradcheck):
    report = gradcheck(cubes, x, squared)
    assert report.ok and report.parameters["x"].ok

def test_own(gradcheck):
    gradcheck(cubes, x)

def test_products(gradcheck):
    gradcheck.vjp(np.sin, x, lambda x, v: np.cos(x) * v)
    gradcheck.jvp(np.sin, x, lambda x, u: np.cos(x) * u)
    gradcheck.hvp(cubes, x, lambda x, v: 6 * x * v)

def test_wrong(gradcheck):
    gradcheck(cubes, x, lambda x: 2 * x**2)

def test_kink(gradcheck):
    gradcheck(lambda x: np.sum(np.abs(x)), 0 * x, np.sign)

def test_wrong_product(gradcheck):
    gradcheck.vjp(np.sin, x, lambda x, v: np.cos(x))
"""


@pytest.fixture
def run(pytester):
    def run_tests(text, *arguments):
        pytester.makepyfile(text)
        return pytester.runpytest_inprocess(*LOAD, "-p", "no:cacheprovider", *arguments)

    return run_tests


def test_what_is_not_correct_fails(run):
    result = run(TESTS, "-W", "error")
    result.assert_outcomes(passed=3, failed=3)


def test_a_failure_shows_the_test_and_the_report_and_nothing_else(run):
    result = run(TESTS, "-k", "test_wrong and not product")
    result.assert_outcomes(failed=1, deselected=5)
    result.stdout.fnmatch_lines(
        [
            ">*gradcheck(cubes, x, lambda x: 2 [*] x[*][*]2)",
            "E*WrongGradientError: gradient check: wrong*",
            "E*x: wrong",
            "E*diagnosis: it is too small by a constant factor of 1.5;*",
        ]
    )
    text = result.stdout.str()
    assert "steepest_pytest.py" not in text
    assert "gradient_check.py" not in text


CONFIGURATION = """
import numpy as np

def test_options(gradcheck):
    assert gradcheck.options == {expected}
    gradcheck(lambda x: np.sum(np.sin(x)), np.ones(3), np.cos, seconds=None)
"""


@pytest.mark.parametrize(
    ("arguments", "ini", "expected"),
    [
        ([], "", {"progress": False}),
        (["--gradcheck-seconds", "2.5"], "", {"progress": False, "seconds": 2.5}),
        (["--gradcheck-seed", "7"], "gradcheck_seed = 3", {"progress": False, "seed": 7}),
        ([], "gradcheck_seconds = 3\ngradcheck_seed = 3", {"progress": 0, "seconds": 3, "seed": 3}),
    ],
    ids=["neither", "seconds", "command line first", "configuration file"],
)
def test_options(pytester, run, arguments, ini, expected):
    pytester.makeini(f"[pytest]\n{ini}\n")
    run(CONFIGURATION.format(expected=expected), *arguments).assert_outcomes(passed=1)


def test_a_check_out_of_time_fails(run):
    result = run(TESTS, "-k", "test_right", "--gradcheck-seconds", "0")
    result.assert_outcomes(failed=1, deselected=5)
    result.stdout.fnmatch_lines(["E*the allowed time is spent before it was decided*"])


def test_a_number_that_is_none_is_an_error(pytester, run):
    pytester.makeini("[pytest]\ngradcheck_seed = many\n")
    result = run(TESTS, "-k", "test_right")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines(["*gradcheck_seed in the configuration file is 'many'*"])


@pytest.mark.parametrize(
    ("framework", "test"),
    [
        ("torch", "gradcheck.torch(torch.nn.Linear(3, 2), torch.ones(4, 3))"),
        ("jax", "gradcheck.jax(jax.numpy.sin, jax.numpy.ones(3), mode='forward')"),
    ],
)
def test_other_frameworks(run, framework, test):
    pytest.importorskip(framework)
    run(f"import {framework}\n\ndef test_it(gradcheck):\n    assert {test}.ok\n").assert_outcomes(
        passed=1
    )


def test_sessions_without_gradient_checks_do_not_import_steepest():
    code = "import steepest_pytest, sys; sys.exit('steepest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
