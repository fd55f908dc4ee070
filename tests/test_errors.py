"""What an error says, and that it travels."""

import pickle
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import steepest as sd
from steepest import errors
from steepest.errors import SourceLine, SteepestError, UnsupportedError, is_user_code, user_line

ALL_ERRORS = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, SteepestError)
]


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_an_error_says_what_happened_what_to_write_and_where(kind: type[SteepestError]) -> None:
    line = SourceLine(__file__, 1, "f")
    error = kind("it broke", instead="mend it", line=line)
    assert str(error) == (
        f'it broke\n  Instead: mend it\n  At {__file__}:1, in f\n    """What an error says, and'
        ' that it travels."""'
    )
    assert (error.message, error.instead, error.line) == ("it broke", "mend it", line)


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_an_error_comes_home_from_another_process(kind: type[SteepestError]) -> None:
    error = kind("it broke", instead="mend it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.line == error.line


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.BadInputError, ValueError),
        (errors.UnsupportedError, TypeError),
        (errors.TracedConversionError, TypeError),
        (errors.NotDifferentiableError, TypeError),
        (errors.CapturedArrayChangedError, RuntimeError),
        (errors.ShadowRunError, RuntimeError),
        (errors.NotFiniteError, FloatingPointError),
        (errors.FileFormatError, ValueError),
        (errors.WrongGradientError, AssertionError),
    ],
)
def test_errors_are_also_the_builtin_ones(kind: type, builtin: type) -> None:
    assert issubclass(kind, builtin)


def test_the_line_is_that_of_the_caller() -> None:
    line = user_line()
    assert line is not None
    assert line.filename == __file__
    assert line.function == "test_the_line_is_that_of_the_caller"
    assert line.text == "line = user_line()"


def test_the_line_is_the_users_innermost_one_under_numpy() -> None:
    def loss(x: np.ndarray) -> object:
        return np.sum(np.apply_along_axis(lambda row: np.packbits(row), 0, np.stack([x, x])))

    with pytest.raises(SteepestError) as caught:
        sd.grad(loss)(np.ones(2))
    assert caught.value.line is not None
    assert caught.value.line.filename == __file__


def test_a_line_without_source_is_told_by_number() -> None:
    assert str(SourceLine("<stdin>", 3, "f")) == "<stdin>:3, in f"


PACKAGE = Path(errors.__file__).parent


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        (__file__, True),
        ("<stdin>", True),
        ("<ipython-input-1-abc>", True),
        (str(PACKAGE / "array" / "array.py"), False),
        (f"{PACKAGE}_experiments/loss.py", True),
        (f"{sysconfig.get_path('stdlib')}/functools.py", False),
        (str(Path(np.__file__).parent / "_core" / "fromnumeric.py"), False),
        ("/usr/lib/python3/dist-packages/numpy/__init__.py", False),
        ("/home/someone/.local/lib/python3.11/site-packages/scipy/special/__init__.py", False),
        ("/opt/venv/lib/python3.11/site-packages/their_package/loss.py", True),
        ("<frozen importlib._bootstrap>", False),
    ],
)
def test_whose_code_it_is(filename: str, expected: bool) -> None:
    assert is_user_code(filename) is expected


def test_an_unsupported_function_is_named_with_line_and_way_out() -> None:
    with pytest.raises(UnsupportedError) as caught:
        sd.grad(lambda x: np.packbits(x))(np.ones(3))
    text = str(caught.value)
    assert "np.packbits is not differentiated" in text
    assert "sd.custom_gradient" in text
    assert f"{__file__}:" in text
    assert "sd.grad(lambda x: np.packbits(x))(np.ones(3))" in text
