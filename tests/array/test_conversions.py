"""`float` and `complex` give Python's numbers in traced code too, and these keep the gradient."""

import builtins
import functools
import importlib
import math
import operator
import pickle
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

import steepest as sd
from steepest.array.conversions import Complex, Float
from steepest.errors import TracedConversionError

X = np.array([1.25, 2.5, -0.75])
NUMBER, COUNT = 2.0, 1


class Pair(NamedTuple):
    """A function that converts, and one of the same derivatives that does not."""

    converts: Callable[[Any], Any]
    twin: Callable[[Any], Any]


class Measure:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __float__(self) -> float:
        return float(self.value)


def _added_up(x: Any) -> Any:
    total = 0.0
    for each in x:
        total += float(np.dot(each, each))
    return total


def _written(x: Any) -> Any:
    memory = np.zeros(())
    memory[...] = x[0]
    before = float(memory)
    memory[...] = x[1]
    return before * float(memory)


def _stored(x: Any) -> Any:
    out = np.zeros(3)
    for i in range(3):
        out[i] = float(x[i]) ** 2
    return float(np.sum(out))


PAIRS: dict[str, Pair] = {
    "at the end": Pair(lambda x: float(np.sum(x**2)), lambda x: np.sum(x**2)),
    "added up": Pair(_added_up, lambda x: np.sum(x**2)),
    "a factor": Pair(lambda x: np.sum(float(x[0]) * x), lambda x: np.sum(x[0] * x)),
    "twice": Pair(lambda x: float(float(x[0])) ** 2, lambda x: x[0] ** 2),
    "of an item": Pair(lambda x: float(x[0].item()) ** 2, lambda x: x[0] ** 2),
    "without axes": Pair(lambda x: float(x[:1].reshape(())) ** 2, lambda x: x[0] ** 2),
    "of written memory": Pair(_written, lambda x: x[0] * x[1]),
    "into an array": Pair(_stored, lambda x: np.sum(x**2)),
    "mapped": Pair(lambda x: sum(map(float, x**2)), lambda x: np.sum(x**2)),
    "in a list": Pair(
        lambda x: float(np.prod(np.array([float(each) for each in x]))), lambda x: np.prod(x)
    ),
    "vectorized": Pair(lambda x: np.sum(np.vectorize(float)(x) ** 3), lambda x: np.sum(x**3)),
    "half precision": Pair(
        lambda x: float(x.astype(np.float16)[0]) ** 2, lambda x: x[0].astype(np.float64) ** 2
    ),
    "long": Pair(
        lambda x: float(x.astype(np.longdouble)[0]) ** 2, lambda x: x[0].astype(np.float64) ** 2
    ),
    "of an object": Pair(lambda x: float(Measure(x[0])) ** 2, lambda x: x[0] ** 2),
    "of a comparison": Pair(lambda x: float(x[0] > 0) * x[0] ** 2, lambda x: x[0] ** 2),
    "of a position": Pair(lambda x: float(np.argmax(x)) * x[0] ** 2, lambda x: x[0] ** 2),
    "math": Pair(lambda x: math.sin(float(x[0])), lambda x: np.sin(x[0])),
    "a constant": Pair(lambda x: float(np.zeros(2)[0]) + x[0] ** 2, lambda x: x[0] ** 2),
    "complex": Pair(lambda x: abs(complex(x[0])) ** 2, lambda x: x[0] ** 2),
    "of two parts": Pair(lambda x: abs(complex(x[0], x[1])) ** 2, lambda x: x[0] ** 2 + x[1] ** 2),
    "of complex parts": Pair(
        lambda x: complex(x[0] + 1j, np.multiply(1j, x[1]).astype(complex)).real ** 2,
        lambda x: (x[0] - x[1]) ** 2,
    ),
    "imaginary": Pair(lambda x: complex(imag=x[1]).imag ** 2, lambda x: x[1] ** 2),
    "of a complex number": Pair(
        lambda x: complex(complex(x[0] * 1j)).imag ** 2, lambda x: x[0] ** 2
    ),
    "precision": Pair(
        lambda x: (np.zeros(2, np.float32) + float(x[0] ** 2)).sum(),
        lambda x: 2 * x[0].astype(np.float32) ** 2,
    ),
}


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and np.array_equal(a, b) and np.shape(a) == np.shape(b)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", PAIRS)
def test_conversion_keeps_the_gradient(name: str, dtype: type) -> None:
    f, twin = PAIRS[name]
    x: Any = X.astype(dtype)
    v: Any = np.array([0.5, -1.0, 2.0], dtype)
    close: Any = functools.partial(
        np.testing.assert_allclose, atol=1e-12, rtol=1e-3 if dtype == np.float32 else 1e-7
    )

    value, gradient = sd.value_and_grad(f)(x)
    assert _same(value, f(x))
    assert gradient.dtype == dtype
    close(gradient, sd.grad(twin)(x))
    close(sd.hessian(f)(x), sd.hessian(twin)(x))
    value, tangent = sd.jvp(f, (x,), (v,))
    assert _same(value, f(x))
    close(tangent, sd.jvp(twin, (x,), (v,))[1])
    if name != "of a position":
        assert _same(sd.compile(f)(x), f(x))
    close(sd.compile(sd.grad(f))(x), gradient)


def test_descent_is_native() -> None:
    def loss(w: Any, batch: Any) -> Any:
        return float(np.mean((batch @ w - 1.0) ** 2)) + 0.5 * float(w[0]) ** 2

    def plain(w: Any, batch: Any) -> Any:
        return np.mean((batch @ w - 1.0) ** 2) + 0.5 * w[0] ** 2

    data = np.random.default_rng(0).normal(size=(40, 3))
    runs = [
        sd.descend(each, np.zeros(3), data, step_size=0.1, batch_size=8, epochs=2, seed=0)
        for each in (loss, plain)
    ]
    np.testing.assert_allclose(runs[0].weights, runs[1].weights, rtol=1e-12)
    assert sd.check_gradient(lambda x: float(np.sum(np.sin(x))), X).ok


# What code asks of float has the same answer


def _by_match(value: object) -> str:
    match value:
        case float(number):
            return f"float {number}"
        case complex():
            return "complex"
        case int() | str():
            return "other"
    return "none"


def _dispatched() -> Any:
    function = functools.singledispatch(lambda value: "other")
    function.register(float, lambda value: "float")
    return [function(2.0), function(2), function(np.float64(1))]


QUESTIONS: dict[str, Callable[[], object]] = {
    "an instance": lambda: [isinstance(each, float) for each in (2.0, 2, np.float64(2), 2j, "2")],
    "of several": lambda: [isinstance(each, (int, complex, float)) for each in (2.0, "2")],
    "of a union": lambda: [isinstance(each, int | float) for each in (2.0, 2, "2")],
    "unions": lambda: (int | float, float | None, float | int == int | float),
    "a subclass": lambda: [issubclass(each, float) for each in (bool, float, np.float64)],
    "a superclass": lambda: (issubclass(float, object), issubclass(float, complex)),
    "the type": lambda: (
        operator.eq(type(NUMBER), float),
        operator.ne(float, type(2 * COUNT)),
        type(NUMBER) in (int, float),
        float in (int, type(NUMBER)),
    ),
    "a table": lambda: ({float: 1, complex: 2}[type(NUMBER)], {type(NUMBER * 1j): 1}[complex]),
    "a hash": lambda: hash(float) == hash(type(NUMBER)),
    "the name": lambda: (float.__name__, str(float), f"{complex}", repr(float)),
    "text": lambda: (float("1.5"), float("-inf"), float(b"2"), float(" 3 "), complex("1+2j")),
    "nothing": lambda: (float(), complex(), complex(1, 2), complex(1.0, -0.0)),  # noqa: UP018  # as it is asked
    "numbers": lambda: (float(True), float(3), float(np.float32(0.1)), complex(2.0)),
    "methods": lambda: (float.fromhex("0x1p3"), float.hex(1.5), float.__add__(1.0, 2.0)),
    "a default": lambda: defaultdict[str, float](float)["missing"],
    "a key": lambda: (max("1", "3", "2", key=float), sorted(["3", "2"], key=float)),
    "mapped": lambda: list(map(float, ("1", "2"))),
    "a dtype": lambda: (np.dtype(float), np.dtype(complex), np.zeros(1, float).dtype),
    "a dtype of records": lambda: np.dtype([("a", float), ("b", complex, 2)]),
    "a dtype named": lambda: (np.ones(2, dtype=float).dtype, np.array([1], dtype=complex).dtype),
    "cast": lambda: (np.arange(3).astype(float).dtype, np.array([1], float).dtype),
    "dtypes equal": lambda: (np.dtype("f8") == float, np.dtype("f4") == float),
    "dtypes compared": lambda: (np.issubdtype(float, np.floating), np.can_cast(np.float32, float)),
    "promoted": lambda: (np.result_type(np.float32, float), np.finfo(float).eps),
    "pickled": lambda: pickle.loads(pickle.dumps([float, complex])),
    "by match": lambda: [_by_match(each) for each in (2.0, np.float64(2), 2, 2j, None)],
    "dispatched": _dispatched,
    "from an object": lambda: float(Measure(2)),
    "exactly": lambda: [each.__class__ for each in (float(2), float("2"), complex(2))],
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_answers_are_those_of_python(question: Callable[[], object]) -> None:
    answers = []

    def loss(x: Any) -> Any:
        assert float.mro()[0].__module__ == "builtins"
        answers.append(question())
        return float(x)

    sd.grad(loss)(1.0)
    assert repr(answers) == repr([question()])


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: float(x),
        lambda x: float(x[:2]),
        lambda x: complex(x[:2]),
        lambda x: float((x[0] * 1j).item()),
        lambda x: complex("1", x[0]),  # type: ignore[call-overload]
        lambda x: float(x[0], 2),  # type: ignore[call-arg]
        lambda x: float(Measure("text")),
    ],
    ids=["array", "two entries", "complex", "item", "text", "two arguments", "object"],
)
def test_errors_are_those_of_python(convert: Callable[[Any], Any]) -> None:
    with pytest.raises((TypeError, ValueError)) as plain:
        convert(X)
    with pytest.raises(plain.type) as traced:
        sd.grad(convert)(X)
    assert str(traced.value) == str(plain.value)


def test_complex_entry_warns_as_in_numpy() -> None:
    with pytest.warns(np.exceptions.ComplexWarning):
        gradient = sd.grad(lambda x: float(x[0] * (2 + 1j)))(X)
    np.testing.assert_array_equal(gradient, [2.0, 0.0, 0.0])


def test_text_has_the_value() -> None:
    def loss(x: Any) -> Any:
        y = float(x[0])
        assert f"{y:.3f} {y} {float(x[1]):e}" == "1.250 1.25 2.500000e+00"
        assert "%.1f" % float(x[1]) == "2.5"  # noqa: UP031  # as it is written
        assert str(float(x[2])) == "-0.75"
        assert (y.is_integer(), float(x[0] * 4).is_integer()) == (False, True)
        assert (int(y), round(y, 1), bool(y)) == (1, 1.2, True)
        return y

    np.testing.assert_array_equal(sd.grad(loss)(X), [1.0, 0.0, 0.0])


def test_where_python_needs_a_number_it_is_an_error() -> None:
    for needs in (math.remainder, builtins.float.__add__):
        with pytest.raises(TypeError):
            sd.grad(lambda x, needs=needs: needs(float(x), 2.0))(1.0)


# Which modules


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(tmp_path)

    def load(source: str) -> ModuleType:
        name = f"converts_{tmp_path.name}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return load


def check_conversion(loss: Callable[[Any], Any], x: Any, is_converted: bool) -> None:
    """A sum of squares has its gradient, or its `float` is refused."""
    if is_converted:
        assert np.array_equal(sd.grad(loss)(x), 2 * x)
    else:
        with pytest.raises(TracedConversionError, match="lose the gradient"):
            sd.grad(loss)(x)


BODIES = {
    "kind is float": False,
    "float is not kind": False,
    "kinds = [float]; kinds[0] is kind": False,
    "unknown(float)": False,
    "kind.frobnicate(1, float)": False,
    "class Number(float): pass": False,
    "type('Number', (float,), {})": False,
    "kinds = [float]; kinds[0] == kind": True,
    "kinds = [float]; kinds[0] is type(kind)": False,
    "kinds = [float]; type(kind) is type(kinds)": True,
    "kinds = [float]; kinds is None": True,
    "kinds = [float]; kind is np.ndarray": True,
    "kind is None": True,
    "unknown(dtype=float)": True,
    "kind.astype(float)": True,
    "known(float)": True,
    "isinstance(kind, (int, float))": True,
    "np.asarray(kind, float)": True,
    "list(map(float, kind))": True,
    "lambda value, kind=float: kind(value)": True,
    "inner: float = float(2)": True,
}


@pytest.mark.parametrize(("body", "expected"), BODIES.items(), ids=BODIES)
def test_modules_that_could_tell_are_left_alone(
    body: str, expected: bool, load: Callable[[str], ModuleType]
) -> None:
    module = load(
        "import numpy as np\n"
        "outside = type(2.0) is float\n"
        "def known(kind): return kind\n"
        f"def other(kind, unknown):\n    {body}\n"
        "class Model:\n"
        "    def loss(self, x):\n"
        "        add = lambda each: float(each**2)\n"
        "        return float(sum(add(each) for each in x))\n"
    )
    check_conversion(module.Model().loss, X, expected)
    assert "float" not in vars(module)


ELSEWHERE = {
    "def keep(): return [float]\ndef other(x, y): return x is y": False,
    "def keep(): return [float]\n@staticmethod\ndef other(x, y): return x is not y": False,
    "def keep(): return [float]\nclass Other:\n    def same(self, x): return self is x": False,
    "def keep(): return [float]\ndef other(x): return x is None or x is not None": True,
    "@known(float)\ndef other(x): return x": True,
    "TEXT = '''\ndef other(kind): return kind is float\n'''": True,
    "def keep(): return '''\ndef other(: float\n''', [float]": True,
    'def keep(): return """\nclass Other:\n""", [float]\ndef other(x, y): return x is y': False,
}


@pytest.mark.parametrize(("others", "expected"), ELSEWHERE.items(), ids=ELSEWHERE)
def test_what_other_functions_of_the_module_do(
    others: str, expected: bool, load: Callable[[str], ModuleType]
) -> None:
    known = "def known(kind): return lambda function: function\n"
    module = load(
        f"import numpy as np\n{known}{others}\ndef loss(x): return float(x) ** 2\n{others}\n"
    )
    check_conversion(module.loss, 3.0, expected)


def test_modules_that_do_not_call_it_have_no_other(load: Callable[[str], ModuleType]) -> None:
    module = load(
        "import numpy as np\ndef f(x): return isinstance(x, float), 'float(x)', globals()\n"
    )

    def loss(x: Any) -> Any:
        assert "float" not in module.f(x)[2]
        return x

    assert sd.grad(loss)(1.0) == 1.0


def test_own_float_of_a_module_stays(load: Callable[[str], ModuleType]) -> None:
    module = load("import numpy as np\ndef float(x): return 3 * x\ndef f(x): return float(x)\n")
    assert sd.grad(module.f)(1.0) == 3.0


SESSION = """
import numpy as np
import steepest as sd

def f(x):
    if {question}:
        return x
    return float(np.sum(x**2))
"""


@pytest.mark.parametrize(
    ("question", "expected"),
    [("x.dtype == 3", True), ("x is x.T", True), ("kind is float", False), ("float is 2", False)],
)
@pytest.mark.filterwarnings("ignore:.is. with.*literal:SyntaxWarning")
def test_session_without_source(question: str, expected: bool) -> None:
    session: Any = ModuleType(f"session_{question}")
    sys.modules[session.__name__] = session
    exec(compile(SESSION.format(question=question), "<a session>", "exec"), vars(session))
    session.kind = None
    if expected:
        assert np.array_equal(sd.grad(session.f)(X), 2 * X)
        exec("gradient = sd.grad(lambda x: float(x) ** 2)(3.0)", vars(session))
        assert session.gradient == 6.0
    else:
        with pytest.raises(TracedConversionError):
            sd.grad(session.f)(X)
    assert "float" not in vars(session)


PIECE = """
import numpy as np
from numpy import zeros

def helper(x):
    return float(np.sum(x**2))

def loss(x):
    out = zeros(2)
    out[0] = helper(x)
    return float(out[0])

class Base:
    def __call__(self, x):
        return helper(x)

class Model(Base):
    loss = lambda self, x: helper(x)
"""


@pytest.mark.parametrize(
    "get", ["loss", "Model()", "Model().loss", "__import__('functools').partial(loss)"]
)
def test_code_that_is_in_no_module(get: str) -> None:
    names: dict[str, Any] = {}
    exec(PIECE, names)
    before = set(names)
    loss = eval(get, names)
    for _ in range(2):
        np.testing.assert_array_equal(sd.grad(loss)(X), 2 * X)
    np.testing.assert_array_equal(sd.compile(sd.grad(loss))(X), 2 * X)
    np.testing.assert_array_equal(sd.jvp(sd.grad(loss), (X,), (X,))[1], 2 * X)
    assert sd.check_gradient(loss, X).ok
    assert set(names) == before
    assert names["zeros"] is np.zeros


def test_code_that_is_in_no_module_and_could_tell() -> None:
    names: dict[str, Any] = {}
    exec(f"{PIECE}\ndef other(kind): return kind is float", names)
    with pytest.raises(TracedConversionError):
        sd.grad(names["loss"])(X)


# Nothing stays


def test_other_threads_get_real_floats() -> None:
    kinds = []

    def loss(x: Any) -> Any:
        thread = threading.Thread(target=lambda: kinds.append(float(np.float64(2)).__class__))
        thread.start()
        thread.join()
        return float(x)

    assert sd.grad(loss)(1.0) == 1.0
    assert kinds == [builtins.float]


def test_the_names_are_restored_after_errors() -> None:
    def loss(x: Any) -> Any:
        assert globals()["float"] == builtins.float
        raise RuntimeError(float(x))

    with pytest.raises(RuntimeError):
        sd.grad(loss)(1.0)
    assert not {"float", "complex"} & set(globals())


def test_value_kept_is_a_number_afterwards() -> None:
    kept = []

    def loss(x: Any) -> Any:
        kept.append(float(x[0]))
        return float(np.sum(x))

    sd.grad(loss)(X)
    assert (float(kept[0]), kept[0] + 1.0, str(kept[0])) == (1.25, 2.25, "1.25")
    np.testing.assert_array_equal(np.array(kept), [1.25])


def test_what_stands_for_them_is_no_base() -> None:
    derived: Any = type("Derived", (Float,), {})
    assert isinstance(derived(2.0), derived)
    assert not isinstance(2.0, derived)
    assert issubclass(derived, builtins.float)
    assert derived not in (Float, Complex)
