"""What one pass is seen to do: each operation on the smallest network that has it."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from deepatoms.reports import tracing
from deepatoms.reports.lenses.skip_dictionaries import _Gains, norm
from deepatoms.reports.tracing import Layer

W = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
X = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))


class Run(nn.Module):
    """A network that is one function of its input and a weight."""

    def __init__(self, function):
        super().__init__()
        self.function, self.weight = function, nn.Parameter(W.clone())
        self.eval()

    def forward(self, x):
        return self.function(x, self.weight)


def seen(function, x=X):
    return tracing.passage(Run(function), x)


def gain(function, x=X):
    found = seen(function, x)
    return _Gains(found.layers).of(found.flow.gain)


ACTIVATIONS = [nn.ReLU(), nn.Threshold(0, 0), nn.Hardtanh(-2, 2), nn.ReLU6(), nn.Hardsigmoid(), nn.Hardswish(), nn.GELU(),
    nn.SiLU(),
               nn.Mish(), nn.Softplus(), nn.Tanh(), nn.Sigmoid(), nn.Softshrink(), nn.LogSigmoid(), nn.LeakyReLU(0.1),
               nn.LeakyReLU(3.0), nn.LeakyReLU(-2.0), nn.ELU(), nn.ELU(2.0), nn.ELU(0.5), nn.SELU(), nn.CELU(2.0)]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_the_slope_of_an_activation_is_its_largest(activation):
    x = torch.linspace(-20, 20, 80_001, dtype=torch.float64)[:, None]
    y = activation(x)
    steepest = float((y.diff(dim=0) / x.diff(dim=0)).abs().max())
    assert steepest - 1e-6 <= gain(lambda x, _: activation(x)) <= 1.01 * steepest


@pytest.mark.parametrize(("slope", "most"), [(0.25, 1.0), (2.5, 2.5), (-3.0, 3.0)])
def test_a_learned_slope_counts_where_it_is_steeper_than_one(slope, most):
    assert gain(lambda x, _: functional.prelu(x, torch.tensor([slope]))) == most


@pytest.mark.parametrize(("function", "most"), [
    (lambda x, _: 3 * x, 3.0), (lambda x, _: x * -0.5, 0.5), (lambda x, _: x / 4, 0.25), (lambda x, _: x / 0, math.inf),
    (lambda x, _: x * torch.tensor([1.0, -5.0, 2.0, 0.0]), 5.0), (lambda x, _: x / torch.tensor([1.0, -0.5, 2.0, 4.0]), 2.0),
    (lambda x, _: x + x, 2.0), (lambda x, _: x - 3 * x, 4.0), (lambda x, _: x + 7, 1.0), (lambda x, _: 7 - x, 1.0),
    (lambda x, _: torch.stack([3 * x, 4 * x]), 5.0), (lambda x, _: torch.cat([3 * x, 4 * x]), 5.0),
    (lambda x, _: torch.cat([x]), 1.0)])
def test_the_gain_of_arithmetic_is_what_it_does_to_a_difference(function, most):
    assert gain(function) == most


@pytest.mark.parametrize("function", [lambda x, _: 1 / x, lambda x, _: torch.exp(x), lambda x, _: x * x, lambda x,
    _: torch.softmax(x, 1),
                                      lambda x, _: functional.celu(x, -1.0)])
def test_what_has_no_known_gain_says_so(function):
    with pytest.raises(ValueError, match="has no bound that is known here"):
        gain(function)


@pytest.mark.parametrize(("function", "weight", "kind"), [
    (lambda x, w: x @ w.T, W, "linear"), (lambda x, w: functional.linear(x, w, torch.ones(4)), W, "linear"),
    (lambda x, w: torch.addmm(torch.ones(4), x, w), W.T, "linear"), (lambda x, w: w @ x.T, W, "columns"),
    (lambda x, w: torch.bmm(x[None], w.T[None]), W[None], "linear"),
    (lambda x, w: torch.baddbmm(torch.ones(1), x[None], w.T[None]), W[None], "linear")])
def test_a_product_s_weight_is_the_matrix_that_meets_the_input_and_its_rows_are_the_outputs(function, weight, kind):
    layer, = seen(function).layers
    assert torch.equal(layer.weight, weight) and (layer.kind, layer.reads.origin) == (kind, "input")
    assert norm(layer) == pytest.approx(float(torch.linalg.matrix_norm(W, 2)), rel=1e-6)


@pytest.mark.parametrize(("pool", "most"), [(nn.MaxPool2d(2), 1), (nn.MaxPool2d(3, 1), 3), (nn.MaxPool2d(3, 2), 2),
                                            (nn.AvgPool2d(2), 1), (nn.MaxPool2d((3, 1), 1), 3**0.5),
                                            (nn.AdaptiveAvgPool2d(1), 1)])
def test_a_cell_counts_once_for_each_window_that_it_can_win(pool, most):
    assert gain(lambda x, _: pool(x), torch.zeros(1, 1, 8, 8)) == pytest.approx(most)


def handmade(shape, kind="convolution", activation=None, **options):
    return Layer("a", torch.ones(shape), kind, None, {"stride": 1, "padding": 0, "dilation": 1, "transposed": False,
        "groups": 1} | options,
                 ((8, 9), (4, 5)), activation=activation)


@pytest.mark.parametrize(("layer", "odd", "strided"), [
    (handmade((2, 3, 3, 3)), "", False), (handmade((2, 3), "linear"), "", False),
    (handmade((2, 3), "columns"), "from the left", False),
    (handmade((2, 3, 3, 3), stride=2), "stride 2", True),
    (handmade((2, 3, 3, 3), stride=2, groups=3), "stride 2, groups 3", False),
    (handmade((2, 3, 3, 3), dilation=2), "dilation 2", False),
    (handmade((2, 3, 3, 3), transposed=True), "transposed True", False),
    (handmade((2, 3, 3, 3, 3)), "three axes", False), (handmade((2, 3, 3, 3, 3), stride=2), "stride 2", False)])
def test_a_layer_says_what_keeps_it_from_being_a_dictionary(layer, odd, strided):
    assert (odd in layer.odd if odd else layer.odd == "") and layer.strided == strided


def test_a_weight_is_used_once_for_each_output_and_a_transposed_one_for_each_input():
    assert (handmade((2, 3, 3, 3)).positions, handmade((2, 3, 3, 3), transposed=True).positions) == (20, 72)


@pytest.mark.parametrize(("given", "short"), [((1, 1), 1), ([2, 2, 2], 2), ((1, 2), (1, 2)), (3, 3), (False, False),
    ("same", "same")])
def test_equal_numbers_are_written_as_one(given, short):
    assert tracing._short({"a": given}) == {"a": short}


def test_scripted_modules_take_no_hooks_and_the_others_lose_theirs():
    inner = torch.jit.script(nn.Linear(2, 2))
    model = nn.Sequential(nn.Linear(2, 2), inner)
    with tracing.places(model) as stack:
        assert len(model[0]._forward_hooks) == len(model[0]._forward_pre_hooks) == 1
        model(torch.zeros(1, 2))
        assert stack == []
        with pytest.raises(RuntimeError):
            model[0](torch.zeros(1, 3))
        assert stack == ["0"]
    assert not model[0]._forward_hooks and not model[0]._forward_pre_hooks


def test_only_what_a_weight_puts_out_is_a_code_and_a_code_is_told_to_whoever_asks():
    told = []
    layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Sigmoid(), nn.Linear(4, 4), nn.AvgPool1d(2), nn.ReLU()).eval()
    found = tracing.passage(layers, X, lambda number, code: told.append((number, tuple(code.shape))))
    assert [layer.activation for layer in found.layers] == ["relu", None] and told == [(0, (3, 4))]
    assert found.layers[1].reads.origin == "mixed" and found.flow.origin == "mixed"


@pytest.mark.parametrize(("low", "name"), [(0.0, "clamp_min"), (0.5, "clamp_min at another number than 0")])
def test_only_a_threshold_at_zero_is_a_relu(low, name):
    assert seen(lambda x, w: (x @ w.T).clamp_min(low)).layers[0].activation == name


def test_batch_norm_is_folded_into_the_layer_before_it_once():
    first, second = (nn.BatchNorm1d(4).eval() for _ in range(2))
    for each in (first, second):
        each.weight.data[:], each.running_var[:] = torch.tensor([1.0, 2.0, 3.0, -4.0]), 4.0
    found = seen(lambda x, w: second(first(x @ w.T)))
    factors = first.weight.detach() / (4 + first.eps) ** 0.5
    assert torch.allclose(found.layers[0].effective, factors[:, None] * W) and found.flow.via == ("batch norm",)
    expected = float(torch.linalg.matrix_norm(factors[:, None] * W, 2)) * float(factors.abs().max())
    assert _Gains(found.layers).of(found.flow.gain) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("function", "parts"), [
    (lambda x, w: torch.cat([x @ w, x @ w], 1), 2), (lambda x, w: torch.cat([x @ w, x @ w], -1), 2),
    (lambda x, w: torch.cat([x @ w, x @ w], 0), 0), (lambda x, w: torch.cat([torch.zeros(3, 1), x @ w], 1), 0)])
def test_a_concatenation_of_channels_remembers_its_parts(function, parts):
    assert len(seen(function).flow.parts) == parts


def test_a_sparse_tensor_on_the_way_is_followed():
    found = seen(lambda x, w: torch.sparse.mm(x.to_sparse(), w))
    assert found.flow is not None and found.output.shape == (3, 4)
