"""The gradient check of functions and modules of PyTorch; skipped where it is not installed."""

import sys
from typing import Any

import numpy as np
import pytest

import steepest as sd
from steepest import errors

torch: Any = pytest.importorskip("torch")
nn: Any = torch.nn
functional: Any = torch.nn.functional


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)


class Block(nn.Module):
    """A transformer block with normalisation first."""

    def __init__(self):
        super().__init__()
        self.normalised = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.feed_forward = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU())
        self.out = nn.Linear(16, 8)

    def forward(self, tokens):
        x = self.normalised(tokens)
        tokens = tokens + self.attention(x, x, x, need_weights=False)[0]
        return tokens + self.out(self.feed_forward(tokens))


class Swish(torch.autograd.Function):
    """Right, in both modes."""

    @staticmethod
    def forward(x, scale):
        return x * torch.sigmoid(scale * x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        x, scale = ctx.saved_tensors
        s = torch.sigmoid(scale * x)
        return g * (s + scale * x * s * (1 - s)), (g * x * x * s * (1 - s)).sum()

    @staticmethod
    def jvp(ctx, x_tangent, scale_tangent):
        x, scale = ctx.saved_tensors
        s = torch.sigmoid(scale * x)
        return x_tangent * (s + scale * x * s * (1 - s)) + scale_tangent * x * x * s * (1 - s)


class PlantedError(Swish):
    """One of the two gradients lacks a term."""

    @staticmethod
    def backward(ctx, g):
        x, scale = ctx.saved_tensors
        s = torch.sigmoid(scale * x)
        return g * s, (g * x * x * s * (1 - s)).sum()


class PlantedTangent(Swish):
    """Right in reverse mode, wrong in forward mode."""

    @staticmethod
    def jvp(ctx, x_tangent, scale_tangent):
        x, scale = ctx.saved_tensors
        return x_tangent * torch.sigmoid(scale * x)


class WrongSecond(torch.autograd.Function):
    """A right gradient that hides what it depends on from the second derivative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * (x * x).detach()


MODELS = [
    ("perceptron", lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), (5, 6)),
    (
        "convolution",
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()
        ),
        (3, 2, 6, 6),
    ),
    ("recurrent", lambda: nn.LSTM(3, 4), (4, 2, 3)),
    ("attention", Block, (2, 3, 8)),
]


@pytest.mark.parametrize(
    ("make", "shape"), [case[1:] for case in MODELS], ids=[case[0] for case in MODELS]
)
def test_models_are_right_and_are_left_as_they_were(make, shape):
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    owners = {name: id(value) for name, value in model.named_parameters()}
    inputs = torch.randn(shape)
    random_state = torch.get_rng_state()
    report = sd.check_torch(model, inputs)
    assert report.verdict == "correct", str(report)
    assert set(owners) < set(report.parameters)
    assert len(report.parameters) == len(owners) + 1
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name]), name
    assert owners == {name: id(value) for name, value in model.named_parameters()}
    assert all(each.grad is None and each.requires_grad for each in model.parameters())
    assert torch.equal(random_state, torch.get_rng_state())
    assert not inputs.requires_grad


@pytest.mark.parametrize("mode", ["reverse", "forward"])
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)
def test_dtypes(dtype, mode):
    if dtype == torch.bfloat16:
        pytest.importorskip("ml_dtypes")
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).to(dtype)
    report = sd.check_torch(model, torch.randn(2, 4, dtype=dtype), mode=mode)
    assert report.verdict == "correct", str(report)
    assert {check.dtype for check in report.parameters.values()} == {str(dtype).split(".")[1]}


LOW = {
    "softmax": (lambda x: (torch.softmax(x, 0) ** 2).sum(), "correct"),
    "norm": (lambda x: x.norm(), "correct"),
    "cross entropy": (
        lambda x: nn.functional.cross_entropy(x.reshape(3, 4), torch.tensor([0, 2, 1])),
        "correct",
    ),
    "times a constant": (lambda x: (x * torch.ones(12, dtype=x.dtype)).tanh().sum(), "correct"),
    "detached": (lambda x: (x * x.detach()).sum(), "wrong"),
    "planted": (lambda x: PlantedError.apply(x, x.new_tensor(0.7)).sum(), "wrong"),
}


@pytest.mark.parametrize("given", [torch.float32, None], ids=["single given", "low given"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", LOW)
def test_functions_that_cast_to_a_low_precision(name, dtype, given):
    pytest.importorskip("ml_dtypes")
    f, verdict = LOW[name]
    report = sd.check_torch(lambda x: f(x.to(dtype)), torch.randn(12, dtype=given or dtype))
    assert report.verdict == verdict, str(report)
    assert "computes in a lower precision" in report.notes[0]


FUNCTIONS = [
    ("right", Swish, {}, "correct"),
    ("apply", Swish.apply, {}, "correct"),
    ("forward mode", Swish, {"mode": "forward"}, "correct"),
    ("a term is missing", PlantedError, {}, "wrong"),
    ("wrong tangent, reverse", PlantedTangent, {}, "correct"),
    ("wrong tangent, forward", PlantedTangent, {"mode": "forward"}, "wrong"),
]


@pytest.mark.parametrize(
    ("function", "options", "verdict"),
    [case[1:] for case in FUNCTIONS],
    ids=[case[0] for case in FUNCTIONS],
)
def test_autograd_functions(function, options, verdict):
    inputs = (torch.randn(4, 3), torch.tensor(0.7))
    report = sd.check_torch(function, inputs, **options)
    assert report.verdict == verdict, str(report)
    assert {name.split(" ")[0] for name in report.parameters} == {"x", "scale"}


def test_a_planted_error_is_of_the_right_argument():
    report = sd.check_torch(PlantedError, (torch.randn(4, 3), torch.tensor(0.7)))
    assert report.parameters["x"].verdict == "wrong"
    assert report.parameters["scale"].verdict == "correct"


def test_second_derivatives():
    x = torch.randn(3, dtype=torch.float64)
    assert sd.check_torch(torch.tanh, x, order=2).verdict == "correct"
    assert sd.check_torch(lambda x: x.sum(), x, order=2).verdict == "correct"
    assert sd.check_torch(WrongSecond, x).verdict == "correct"
    assert sd.check_torch(WrongSecond, x, order=2).verdict == "wrong"
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    assert sd.check_torch(model, torch.randn(2, 3), order=2).verdict == "correct"


class ConjugateForgotten(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z**2

    @staticmethod
    def backward(ctx, g):
        return g * 2 * ctx.saved_tensors[0]


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"mode": "forward"}, {"order": 2}], ids=["reverse", "forward", "second"]
)
def test_complex(dtype, options):
    z = torch.randn(3, dtype=dtype)
    assert sd.check_torch(lambda z: z * z.conj().exp(), z, **options).verdict == "correct"
    assert sd.check_torch(lambda z: z.abs() ** 2, z, **options).verdict == "correct"


def test_the_conjugate_of_pytorch_is_understood():
    z = torch.randn(3, dtype=torch.complex64)
    assert sd.check_torch(ConjugateForgotten, z).verdict == "wrong"


def test_batch_normalisation_learns_nothing_from_a_check():
    model = nn.BatchNorm1d(3)
    model(torch.randn(10, 3))
    before = [buffer.clone() for buffer in model.buffers()]
    assert sd.check_torch(model, torch.randn(5, 3)).verdict == "correct"
    assert all(map(torch.equal, before, model.buffers()))
    assert sd.check_torch(model.eval(), torch.randn(5, 3)).verdict == "correct"


def test_dropout_is_noise_unless_its_random_numbers_are_repeated():
    model = nn.Sequential(nn.Linear(3, 20), nn.Dropout(0.5), nn.Linear(20, 2))
    x = torch.randn(4, 3)
    report = sd.check_torch(model, x)
    assert report.verdict == "noisy"
    assert any("dropout is active in 1: call .eval()" in note for note in report.notes)
    assert sd.check_torch(model, x, repeat_random_numbers=True).verdict == "correct"
    assert sd.check_torch(model.eval(), x).verdict == "correct"


def test_another_function_in_double_precision_is_checked_there():
    # The same seed draws other numbers in double precision.
    report = sd.check_torch(
        lambda x: x * torch.rand_like(x), torch.randn(5), repeat_random_numbers=True
    )
    assert report.verdict == "correct"
    assert any("in double precision alone" in note for note in report.notes)


def test_a_loss_of_a_model_in_its_closure():
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Linear(4, 3))

    def loss(x, target):
        return functional.cross_entropy(model(x), target)

    inputs = (torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0]))
    report = sd.check_torch(loss, inputs, parameters=model)
    assert report.verdict == "correct", str(report)
    assert set(report.parameters) == {"x", *(name for name, _ in model.named_parameters())}
    assert report.notes == ()

    alone = sd.check_torch(loss, inputs)
    assert set(alone.parameters) == {"x"}
    assert any("5 tensors that f uses besides its inputs" in note for note in alone.notes)
    some = sd.check_torch(loss, inputs, parameters={"last": model[2].weight})
    assert set(some.parameters) == {"x", "last"}
    report = sd.check_torch(lambda: loss(*inputs), parameters=model)
    assert "x" not in report.parameters
    assert report.verdict in ("correct", "undecided")  # x stays in single precision


def test_what_requires_no_gradient_is_left_out():
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    report = sd.check_torch(model, torch.randn(4, 3))
    assert set(report.parameters) == {"weight", "input"}
    assert report.notes == ("not checked, because no gradient is required: bias",)
    assert not model.bias.requires_grad
    x, y = torch.randn(3, requires_grad=True), torch.randn(3)
    report = sd.check_torch(lambda a, b: a * b, (x, y))
    assert set(report.parameters) == {"a"}
    assert set(sd.check_torch(lambda a, b: a * b, (y, y.clone())).parameters) == {"a", "b"}


class NeedsItsStrides(torch.autograd.Function):
    """Right for contiguous tensors only, as kernels are that forget strides."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * torch.as_strided(x, x.shape, torch.empty(x.shape).stride()).cos()


def test_strides_are_kept():
    x = torch.randn(4, 3)
    assert sd.check_torch(NeedsItsStrides, x).verdict == "correct"
    assert sd.check_torch(NeedsItsStrides, torch.randn(3, 4).t()).verdict == "wrong"
    for view in (x.t(), x[::2], x[:, 1:], x.t().expand(2, 3, 4), x.unfold(0, 2, 1), x[1:1]):
        assert sd.check_torch(lambda x: x**3, view).verdict == "correct"


def test_an_expanded_tensor_is_what_it_has_in_memory():
    report = sd.check_torch(lambda x: x**2, torch.randn(1, 3).expand(4, 3))
    assert report.verdict == "correct"
    assert report.parameters["x"].shape == (1, 3)


def test_the_same_tensor_twice_is_one_variable():
    x = torch.randn(3)
    seen = []

    def product(a, b):
        seen.append(a is b)
        return a * b.sin()

    report = sd.check_torch(product, (x, x))
    assert report.verdict == "correct"
    assert set(report.parameters) == {"a"}
    assert all(seen)


@pytest.mark.parametrize("write", ["in place", "behind autograd"])
def test_a_function_that_writes_into_its_input_is_named(write):
    def doubled(x):
        if write == "in place":
            return x.mul_(2).sin()
        with torch.no_grad():
            x.mul_(1)
            result = x.clone()
            x.zero_()
        return x * 0 + result

    report = sd.check_torch(doubled, torch.randn(3))
    assert report.verdict == ("correct" if write == "in place" else "wrong")
    assert any("writes into x in place" in note for note in report.notes)


def test_structures_of_tensors():
    def f(batch, *rest):
        return {"a": batch["x"] * rest[0][0], "b": [batch["n"] * 2, rest[0][1].sum()], "c": 3}

    batch = {"x": torch.randn(2), "n": torch.tensor([1, 2])}
    report = sd.check_torch(f, (batch, [torch.randn(2), torch.randn(3)]))
    assert report.verdict == "correct"
    assert set(report.parameters) == {"batch.x", "inputs[1][0]", "inputs[1][1]"}


def test_detached_results_beside_others_are_left_out_but_not_alone():
    x = torch.randn(3)
    assert sd.check_torch(lambda x: (x.sin(), x.detach()), x).verdict == "correct"
    assert sd.check_torch(lambda x: x.detach().sin(), x).verdict == "wrong"
    assert sd.check_torch(lambda x: x.max(0), x).verdict == "correct"


def test_sparse_gradients():
    model = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Tanh())
    report = sd.check_torch(model, torch.tensor([0, 1, 1]))
    assert report.verdict == "correct"


def test_the_mode_of_the_caller_does_not_matter():
    model = nn.Linear(3, 2)
    x = torch.randn(4, 3)
    with torch.no_grad():
        assert sd.check_torch(model, x).verdict == "correct"
        assert not torch.is_grad_enabled()


def test_the_module_is_put_back_after_an_error():
    class Fails(nn.Linear):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls > 5:
                raise KeyboardInterrupt
            return super().forward(x)

    model = Fails(3, 2)
    weight = model.weight.detach().clone()
    with pytest.raises(KeyboardInterrupt):
        sd.check_torch(model, torch.randn(4, 3))
    assert model.weight.dtype == torch.float32
    assert torch.equal(model.weight, weight)
    assert model.weight.requires_grad


def test_steepest_agrees_with_pytorch():
    weights = np.random.default_rng(0).standard_normal((3, 2))

    def gradient(w):
        tensor = torch.tensor(w, requires_grad=True)
        torch.tanh(tensor).square().sum().backward()
        return tensor.grad.numpy()

    assert sd.check_gradient(lambda w: np.sum(np.tanh(w) ** 2), weights, gradient).ok


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((torch.sin, torch.arange(3)), errors.NotDifferentiableError, "parameters=module"),
        ((torch.argmax, torch.ones(3)), errors.BadInputError, "nothing that is floating point"),
        ((torch.sin, torch.ones(3).to_sparse()), errors.UnsupportedError, "to_dense"),
        ((torch.sin, torch.ones(3).to(torch.float8_e4m3fn)), errors.UnsupportedError, "float8"),
    ],
    ids=["integers", "no result", "sparse", "float8"],
)
def test_what_cannot_be_checked_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        sd.check_torch(*arguments)


@pytest.mark.parametrize("options", [{"mode": "sideways"}, {"order": 3}], ids=str)
def test_there_are_two_modes_and_two_orders(options):
    with pytest.raises(errors.BadInputError):
        sd.check_torch(torch.sin, torch.ones(3), **options)
    with pytest.raises(errors.BadInputError):
        sd.check_torch(torch.sin, torch.ones(3), mode="forward", order=2)


def test_without_pytorch_the_error_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(errors.UnsupportedError, match="pip install torch"):
        sd.check_torch(abs, 1.0)


def test_what_keeps_a_function_in_single_precision_is_said():
    def single_only(x):
        if x.dtype != torch.float32:
            raise TypeError("single precision only")
        return x.sin()

    report = sd.check_torch(single_only, torch.randn(2, 3), evaluations=5)
    assert report.verdict == "undecided"
    assert any("could not be evaluated in double precision" in note for note in report.notes)


def test_tensors_that_a_function_uses_besides_are_raised_too():
    matrix, x = torch.randn(3, 3), torch.randn(2, 3)
    assert sd.check_torch(lambda x: (x @ matrix).sin(), x).verdict == "correct"
