"""What an offset, a larger neighbour, distance or the caller's mode would hide of a wrong answer: found, or refused."""

import math
import threading

import pytest
import torch
from tests.residual import Block, Residual
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from deepatoms.theory import max_affine, partition, splines
from deepatoms.theory.piecewise import NotPiecewiseAffineError, distant
from deepatoms.theory.untouched import as_given, untouched

SINGLE, DOUBLE = torch.float32, torch.float64


class Lying(torch.autograd.Function):
    """The identity, with a derivative of -1."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return -slope


def inputs(dtype, count=5, dimension=3, seed=0):
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def cut(body):
    def model(x):
        with torch.no_grad():
            return body(x)
    return model


WRONG = {
    "everything cut, beside an offset": lambda x: cut(lambda x: (x @ x.new_ones(3, 2)).relu() * 0.2)(x) + 2000.0 + 0 * x[:, :2],
    "a large neighbour": lambda x: 1e4 * x[:, :1] + 2 * x[:, 1:2].detach(),
    "a derivative that lies beside a larger one": lambda x: 1e5 * x[:, :1] + Lying.apply(x[:, 1:2]),
    "an input of another scale": lambda x: 2e-5 * x[:, :1].detach() + x[:, 1:2],
    "the mean of the batch, beside an offset": lambda x: x - x.mean(0) + 3e4}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_large_hides_no_wrong_slope(name):
    x = inputs(SINGLE)
    if "scale" in name:
        x = x * torch.tensor([1e6, 1.0, 1.0])
    with pytest.raises(ValueError, match="follow its map|influence each other"):
        splines.affine_map(WRONG[name], x)


def test_what_is_large_and_right_is_answered():
    x = inputs(SINGLE)
    A, _ = splines.affine_map(lambda x: 1e4 * x[:, :1] + 2 * x[:, 1:2] + 3e4, x)
    assert torch.equal(A, torch.tensor([[[1e4, 2.0, 0.0]]]).expand(5, 1, 3))
    body = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
    maps = [splines.affine_map(lambda x, more=more: body(x) + more, x)[0] for more in (0.0, 2000.0)]
    assert torch.equal(*maps)


def elsewhere(x):
    """x - relu(x - 50), which is concave, computed by another thread, where torch is not watched."""
    found = []
    thread = threading.Thread(target=lambda: found.append((x.detach() - (x.detach() - 50).relu()).sum(1, keepdim=True)))
    thread.start()
    thread.join()
    return found[0] + 0 * x[:, :1]


@pytest.mark.parametrize("call", [splines.concavities, partition.region_codes, partition.in_radius,
                                  lambda model, x: partition.slice_segment(model, x[0], x[1])])
def test_a_kink_far_away_that_torch_does_not_show_is_seen(call):
    with pytest.raises(NotPiecewiseAffineError, match="not affine"):
        call(elsewhere, inputs(DOUBLE))


def asking(x):
    return -x.relu() if torch.is_grad_enabled() else x.abs()


@pytest.mark.parametrize("call", [splines.concavities, partition.region_codes, partition.in_radius, splines.affine_map,
                                  lambda model, x: partition.slice_segment(model, x[0], x[1])])
def test_a_model_that_asks_whether_gradients_are_on_is_refused(call):
    with pytest.raises(ValueError, match=r"gradients are on|influence each other|other operations"):
        call(asking, inputs(DOUBLE))


@pytest.mark.parametrize("size", [1e-200, 1e-163, 1e-160, 1.0, 1e160])
def test_a_radius_does_not_depend_on_the_size_of_the_weights(size):
    def model(x):
        return ((x[:, :1] - 1) * size).relu() / size

    x = torch.tensor([[0.0, 5.0], [2.0, -3.0]], dtype=DOUBLE)
    assert partition.in_radius(model, x).tolist() == pytest.approx([1.0, 1.0], rel=1e-12)
    assert float(partition.nearest_walls(model, x).step[0, 0]) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("output", [lambda x: x.argmax(1), lambda x: x > 0, lambda x: x[:, :0]])
@pytest.mark.parametrize("call", [partition.in_radius, lambda model, x: partition.slice_segment(model, x[0], x[1]),
                                  lambda model, x: partition.slice_plane(model, x[:3])])
def test_what_is_no_number_is_refused_by_what_it_is(call, output):
    with pytest.raises(ValueError, match="no real numbers|jump|is empty|not one output"):
        call(output, inputs(DOUBLE))


@pytest.mark.parametrize("model", [lambda x: x.max(1, keepdim=True).indices, lambda x: x.max(1), lambda x: (x, x),
                                   lambda x: None])
def test_nothing_is_called_convex_that_is_no_tensor_of_numbers(model):
    with pytest.raises(ValueError, match=r"no tensor of real numbers|seen|output"):
        splines.concavities(model, inputs(DOUBLE))


@pytest.mark.parametrize("low, high", [(0.4, -0.4), (torch.tensor([0.5, -1.0, 2.0], dtype=DOUBLE), 0.0),
                                       (0.3, torch.tensor([0.5, -1.0, 0.0], dtype=DOUBLE))])
def test_bounds_that_cross_give_the_upper_one(low, high):
    x, ends = inputs(DOUBLE), [torch.as_tensor(end, dtype=DOUBLE) for end in (low, high)]
    A, b = splines.affine_map(lambda x: x.clamp(*ends), x)
    assert torch.allclose(torch.einsum("ncd,nd->nc", A, x) + b, x.clamp(*ends))


def test_inputs_that_do_little_are_moved_farther_and_all_stay_finite():
    x = torch.ones(2, 3)
    step = (distant(x, slopes=torch.tensor([[1.0, 0.1, 0.0]]).expand(2, 3)) - x).abs() / (distant(x) - x).abs()
    assert torch.allclose(step, torch.tensor([[1.0, 10.0, 64.0]]).expand(2, 3), rtol=1e-3)
    for size in (1e-30, 1.0, 1e18):
        assert bool((distant(size * x).isfinite()).all()) and float(distant(size * x).abs().max()) < math.sqrt(3e38) * 10


@pytest.mark.parametrize("call", [splines.concavities, partition.region_codes, splines.affine_map, partition.in_radius])
def test_weights_that_the_caller_caches_keep_their_derivative(call):
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 4)), nn.ReLU(), nn.Linear(4, 1)).double()
    with parametrize.cached():
        call(model, inputs(DOUBLE))
        model(inputs(DOUBLE)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


class SetsItselfUp(nn.Module):
    """Subtracts and divides by what its first batch says (ActNorm); says so in a buffer or in an attribute."""

    def __init__(self, noted):
        super().__init__()
        self.noted, self.ready = noted, False
        self.register_buffer("mean", torch.zeros(3, dtype=DOUBLE))
        self.register_buffer("done", torch.zeros((), dtype=DOUBLE))

    def forward(self, x):
        if not (self.ready if self.noted == "attribute" else bool(self.done)):
            self.mean.copy_(x.detach().mean(0))
            self.ready = True
            self.done.fill_(1.0)
        return (x - self.mean).relu()


@pytest.mark.parametrize("noted", ["attribute", "buffer"])
@pytest.mark.parametrize("call", [splines.affine_map, splines.concavities, partition.region_codes, partition.in_radius,
                                  lambda model, x: partition.slice_segment(model, x[0], x[1])])
def test_a_model_that_its_first_batch_sets_up_is_refused_before_and_answered_after(call, noted):
    with pytest.raises(ValueError):
        call(SetsItselfUp(noted), inputs(DOUBLE))
    model = SetsItselfUp(noted)
    model(inputs(DOUBLE, seed=1))
    call(model, inputs(DOUBLE))


def test_one_thread_does_not_put_back_what_another_wrote():
    counter, seen = torch.zeros(1), []

    def other():
        as_given()
        seen.append(counter.item())

    with untouched(None):
        counter.add_(1)
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        seen.append(counter.item())
    assert seen == [1, 1] and counter.item() == 0


NET = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).double().requires_grad_(False)
X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("size", [1e-12, 255.0, 1e6, 1e9, 1e16, 1e100])
def test_radii_and_breaks_are_as_exact_at_any_size_of_the_inputs(size):
    """Beside large inputs a step of 1 is rounded; the steps taken are as long as the inputs."""
    nearest = X.abs().amin(1)
    radius = partition.in_radius(nn.ReLU(), size * X) / size
    far = splines.distance_to_break(nn.ReLU(), size * X, -X.sign(), 1e300) / size
    assert torch.allclose(radius, nearest, rtol=1e-12) and torch.allclose(far, nearest, rtol=1e-12)
    both = partition.in_radius(nn.ReLU(), torch.cat([size * X, X]))
    assert torch.allclose(both, torch.cat([size * nearest, nearest]), rtol=1e-12)


def test_a_direction_of_length_zero_meets_nothing():
    assert splines.distance_to_break(nn.ReLU(), X, torch.zeros_like(X), 7.0).tolist() == [7.0] * 5


def residual(first):
    head = nn.Sequential(first, nn.Linear(4, 2).double())
    return Residual([Block(nn.Linear(4, 4).double())], nn.Linear(4, 4).double(), head).requires_grad_(False)


def test_a_head_may_overwrite_what_it_is_given():
    torch.manual_seed(0)
    net = residual(nn.ReLU(inplace=True))
    assert torch.allclose(splines.block_templates(net, X).sum(1), splines.affine_map(net, X)[0])


@pytest.mark.parametrize("call", [splines.affine_map, partition.region_codes, splines.concavities, partition.in_radius])
@pytest.mark.parametrize("model, x, said", [
    (lambda x: torch.cat([x.relu(), torch.full_like(x, -math.inf)], 1), X, "infinite or no numbers; |differs by up to"),
    (lambda x: torch.cond(torch.tensor(True), torch.relu, torch.abs, (x,)), X, "choose with torch.where"),
    (nn.ReLU(), nn.UninitializedParameter(), "x = 'an uninitialised parameter' has no numbers yet; pass")])
def test_what_cannot_be_answered_is_refused_by_what_it_is(call, model, x, said):
    with pytest.raises((ValueError, TypeError), match=said):
        call(model, x)


def test_calls_inside_transforms_of_functions_are_refused_by_name():
    for transform in (torch.func.vmap, lambda f: torch.func.grad(lambda v: f(v).sum())):
        with pytest.raises(TypeError, match="x = 'a tensor of torch.func' has no numbers of its own; call this outside of vmap"):
            transform(lambda v: splines.affine_map(NET, v[None])[0])(X[0] if transform is not torch.func.vmap else X)


def test_a_segment_of_numbers_without_axes_is_refused_by_name():
    with pytest.raises(ValueError, match=r"start = tensor of shape \(\), float64 has no axes; pass a tensor of the shape"):
        partition.slice_segment(nn.ReLU(), X[0, 0], X[0, 1])


@pytest.mark.parametrize("weight", [lambda: X[:, :4].contiguous().to_sparse_csr(), lambda: torch.complex(X, X).conj().imag])
@pytest.mark.filterwarnings("ignore:Sparse")
def test_weights_in_another_form_have_the_slices_of_their_numbers(weight):
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).double().requires_grad_(False)
    net[0].weight = nn.Parameter(weight(), requires_grad=False)
    plain = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).double().requires_grad_(False)
    plain.load_state_dict({name: each.to_dense().resolve_neg().clone() for name, each in net.state_dict().items()})
    assert len(partition.slice_plane(net, X[:3])) == len(partition.slice_plane(plain, X[:3])) > 1
    assert torch.equal(max_affine.operators([net[0]], (4,))[0].slopes, plain[0].weight[:, None])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_operator_is_that_of_every_slope_also_beside_one_of_a_hundred_thousand(dtype):
    def layer(hooked):
        found = nn.Linear(3, 2).to(dtype).requires_grad_(False)
        found.weight[:] = torch.tensor([[1e5, 1e-2, 1.0], [1.0, 1e5, 1e-2]])
        if hooked:
            small = torch.tensor([1e-2, 0.0]).to(dtype)
            found.register_forward_hook(lambda layer, given, output: output + given[0][:, 1:] * small)
        return found
    assert len(max_affine.operators([layer(False)], (3,))) == 1
    with pytest.raises(ValueError, match="computes something else than its operator"):
        max_affine.operators([layer(True)], (3,))


@pytest.mark.parametrize("shape", [(), (0,), (3, -1, 2), (2.0,)])
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match="shape = .* is not the shape of an input; pass positive integers"):
        max_affine.operators([nn.ReLU()], shape)
