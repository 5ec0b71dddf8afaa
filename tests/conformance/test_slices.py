"""Random modules: segments, slices and radii against plain forward passes and autograd, piece by piece.

``DEEPATOMS_CONFORMANCE=N`` tries N modules (40 if it is not set), ``DEEPATOMS_CONFORMANCE_SEED`` tries others than those of 0.
"""

import os
from functools import partial

import numpy as np
import pytest
import torch
from random_modules import Calls
from torch import nn
from torch.nn import functional as F

from deepatoms.theory import partition
from deepatoms.theory.partition import polygons
from deepatoms.theory.piecewise import NotPiecewiseAffineError

MODULES = int(os.environ.get("DEEPATOMS_CONFORMANCE", 40))
FIRST = 10**6 * int(os.environ.get("DEEPATOMS_CONFORMANCE_SEED", 0))


def uniform(rng, low, high):
    return float(rng.uniform(low, high))


def bounds(rng):
    low = uniform(rng, -1, 0.5)
    return low, low + uniform(rng, 0, 1.5)


def one_sided(x, ends, which):
    low, high = ends
    return (x.clamp(min=low), x.clamp(max=high), x.clamp(low, high), torch.clamp_min(x, low), torch.clamp_max(x, high))[which]


def tensor_bounds(x, ends):
    ends = torch.linspace(*ends, x.shape[1], dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 2))
    return x.clamp(min=ends, max=ends + 0.5)


def masked(x, at, way):
    compare = (torch.gt, torch.ge, torch.lt, torch.le)[way]
    return (x * compare(x, at), torch.where(compare(x, x.flip(1)), x, 0.5 * x), x.masked_fill(compare(x, at), 0.25))[way % 3]


def reduced(x, way):
    return (x.amax(1, keepdim=True), x.amin(1, keepdim=True), x.max(1, keepdim=True).values, x.min(1, keepdim=True)[0])[way] + x


def ranked(x, way):
    fill = [0, 0] * (x.ndim - 2) + [0, x.shape[1] - 2]
    return (lambda: x.sort(1, descending=True).values, lambda: F.pad(x.topk(2, 1).values, fill),
            lambda: x - x.median(1, keepdim=True).values, lambda: x + x.kthvalue(2, 1, keepdim=True).values,
            lambda: x.cummax(1).values, lambda: x.gather(1, x.argsort(1).flip(1)),
            lambda: x + torch.linalg.vector_norm(x, 1, 1, True))[way]()


ACTIVATIONS = {
    "relu": lambda rng: F.relu, "leaky": lambda rng: nn.LeakyReLU(uniform(rng, -0.5, 1.5)), "abs": lambda rng: torch.abs,
    "prelu": lambda rng: nn.PReLU(init=uniform(rng, -0.5, 0.5)), "relu6": lambda rng: lambda x: F.relu6(4 * x),
    "hardtanh": lambda rng: nn.Hardtanh(*np.add(bounds(rng), (0, 0.1))),
    "hardsigmoid": lambda rng: lambda x: F.hardsigmoid(3 * x),
    "softshrink": lambda rng: nn.Softshrink(uniform(rng, 0, 0.8)), "rrelu": lambda rng: nn.RReLU(0.1, 0.6),
    "clamp": lambda rng: partial(one_sided, ends=bounds(rng), which=int(rng.integers(5))),
    "clamp tensor": lambda rng: partial(tensor_bounds, ends=bounds(rng)),
    "threshold": lambda rng: nn.Threshold(uniform(rng, -0.5, 0.5), uniform(rng, -0.5, 0.5)),
    "maximum": lambda rng: lambda x: torch.maximum(x, x.flip(1) - 0.1),
    "minimum": lambda rng: lambda x: torch.minimum(0.3 - x, x),
    "mask": lambda rng: partial(masked, at=uniform(rng, -0.5, 0.5), way=int(rng.integers(4))),
    "reduced": lambda rng: partial(reduced, way=int(rng.integers(4))),
    "ranked": lambda rng: partial(ranked, way=int(rng.integers(7)))}
POOLS = {
    "max": lambda rng: nn.MaxPool2d((2, int(rng.integers(1, 4))), stride=int(rng.integers(1, 3)), padding=(1, 0),
                                    ceil_mode=bool(rng.integers(2))),
    "dilated": lambda rng: nn.MaxPool2d(2, stride=1, dilation=int(rng.integers(1, 3))),
    "adaptive": lambda rng: nn.AdaptiveMaxPool2d((2, 3)), "average": lambda rng: nn.AvgPool2d(2, 1, 1, count_include_pad=False),
    "adaptive average": lambda rng: nn.AdaptiveAvgPool2d(2), "amax": lambda rng: lambda x: x.amax((2, 3), keepdim=True)}


def drawn(rng, kind):
    name = list(kind)[rng.integers(len(kind))]
    return Calls(kind[name](rng), name)


def random_module(seed):
    """Return a dense or a convolutional module in float64, and the shape of one input."""
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if rng.integers(2):
            layers, shape = [nn.Linear(4, 6), drawn(rng, ACTIVATIONS), nn.Linear(6, 5), drawn(rng, ACTIVATIONS)], (4,)
            layers.append(nn.Linear(5, 2))
        else:
            layers = [nn.Conv2d(1, 3, 3, padding=1), drawn(rng, ACTIVATIONS), drawn(rng, POOLS), nn.Conv2d(3, 2, 1),
                      drawn(rng, ACTIVATIONS), nn.Flatten(), nn.LazyLinear(2)]
            shape = (1, 5, 4)
        model = nn.Sequential(*layers).double().eval()
        model(torch.randn(2, *shape, dtype=torch.float64))
        inputs = 2 * torch.randn(3, *shape, dtype=torch.float64)
    return model, inputs


@pytest.fixture(scope="module", params=range(MODULES))
def drawn_case(request):
    return random_module(FIRST + request.param)


def slopes_by_autograd(model, x):
    """Return the slopes at each point, one sample at a time: shape (points, outputs, inputs)."""
    return torch.stack([torch.autograd.functional.jacobian(lambda one: model(one[None])[0], each).flatten(1) for each in x])


def autograd_s(model):
    """Return how far autograd's slope is the function's: torch's hardsigmoid has a sixth of single precision forward only."""
    return 1e-7 if any(getattr(layer, "name", "") == "hardsigmoid" for layer in model) else 1e-9


def exact_or_refused(call):
    """Only what the trace does not know may be refused, by name."""
    try:
        return call()
    except NotPiecewiseAffineError as error:
        assert "threshold" in str(error)
        return pytest.skip("refused by name")


def test_segments(drawn_case):
    model, x = drawn_case
    walls = exact_or_refused(lambda: partition.slice_segment(model, x[0], x[1]))
    edges = np.concatenate([[0.0], walls, [1.0]])
    low, high = (edges[:-1], edges[1:])
    low, high = low[high - low > 1e-6], high[high - low > 1e-6]
    at = [torch.from_numpy(each).reshape(-1, *[1] * (x.ndim - 1)) for each in (low + 1e-9, (low + high) / 2, high - 1e-9)]
    with torch.no_grad():
        first, middle, last = (model(x[0] + each * (x[1] - x[0])) for each in at)
    assert float((first + last - 2 * middle).abs().max()) <= 1e-10 * float(middle.abs().max() + 1)
    slopes = slopes_by_autograd(model, x[0] + at[1] * (x[1] - x[0])) @ (x[1] - x[0]).flatten()
    width = torch.from_numpy(high - low - 2e-9)[:, None]
    assert float((last - first - width * slopes).abs().max()) <= autograd_s(model) * float(slopes.abs().max() + 1)


def test_dense_sampling_of_the_segment_finds_no_other_wall(drawn_case):
    model, x = drawn_case
    walls = exact_or_refused(lambda: partition.slice_segment(model, x[0], x[2]))
    t = np.sort(np.random.default_rng(0).uniform(0, 1, 3000))
    piece = np.searchsorted(walls, t)
    edges = np.concatenate([[0.0], walls, [1.0]])
    low, high = edges[piece], edges[piece + 1]
    with torch.no_grad():
        value, one, two = (model(x[0] + torch.from_numpy(each).reshape(-1, *[1] * (x.ndim - 1)) * (x[2] - x[0]))
                           for each in (t, low + (high - low) / 4, low + 3 * (high - low) / 4))
    share = torch.from_numpy(np.divide(t - low, high - low) * 2 - 0.5)[:, None]
    assert float((value - one - share * (two - one)).abs().max()) <= 1e-10 * float(value.abs().max() + 1)


def test_planes(drawn_case):
    """The maps of the regions are autograd's and the function's; the regions fill the plane; points keep their region's map."""
    model, x = drawn_case
    found = exact_or_refused(lambda: partition.slice_plane(model, x))
    assert abs(found.areas.sum() - 1) <= 1e-12
    slopes, offsets = found.affine_maps()
    large = np.flatnonzero(found.areas > 1e-9)
    corner = np.random.default_rng(1).uniform(0.05, 1, found.vertices.shape[:2]) * polygons.valid(found.vertices, found.counts)
    inside = np.einsum("rv,rvd->rd", corner / corner.sum(1, keepdims=True), found.vertices)[large]
    with torch.no_grad():
        there = model(found.points(inside)).numpy()
    scale = 1 + abs(slopes).max()
    assert abs(there - offsets[large] - np.einsum("rod,rd->ro", slopes[large], inside)).max() <= 1e-9 * scale
    some = large[:: max(1, len(large) // 20)]
    sides = torch.stack([(x[1] - x[0]).flatten(), (x[2] - x[0]).flatten()], 1)
    expected = slopes_by_autograd(model, found.points(found.centres[some])) @ sides
    assert abs(expected.numpy() - slopes[some]).max() <= autograd_s(model) * scale


def test_radii(drawn_case):
    """Inside the ball the slopes stay those of its centre; beyond the nearest wall the code has changed."""
    model, x = drawn_case
    wall = exact_or_refused(lambda: partition.nearest_walls(model, x))
    slopes = slopes_by_autograd(model, x)
    for seed in range(5):
        step = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=x.dtype).flatten(1)
        step *= (0.999 * wall.radius.clamp(max=1e3) / torch.linalg.vector_norm(step, dim=1))[:, None]
        there = x + step.reshape(x.shape)
        assert float((slopes_by_autograd(model, there) - slopes).abs().max()) <= 1e-9 * float(1 + slopes.abs().max())
        with torch.no_grad():
            gain = model(there) - model(x)
        error = float((gain - torch.einsum("nod,nd->no", slopes, step)).abs().max())
        assert error <= autograd_s(model) * float(1 + gain.abs().max())
    beyond = x + (1 + 1e-6) * wall.step
    before, after = (np.concatenate(list(map(np.asarray, partition.region_codes(model, each))), 1) for each in (x, beyond))
    assert (before != after).any(1)[wall.radius.isfinite().numpy()].all()


def test_a_wall_that_is_kept_silent_is_seen():
    """The guard bites: a rule without the upper wall of a clip is found out by the function itself."""
    from deepatoms.theory.partition import rules
    usual = rules.WALLS["hardtanh"]
    def broken(hold, self, min_val, max_val):
        return rules._clamp_min(hold, self, min_val)
    rules.WALLS["hardtanh"] = rules.WallRule(broken)
    try:
        with pytest.raises(NotPiecewiseAffineError, match="is not affine on"):
            partition.slice_segment(nn.Hardtanh(), *torch.tensor([[-3.0, -4.0], [3.0, 5.0]]).double())
    finally:
        rules.WALLS["hardtanh"] = usual
