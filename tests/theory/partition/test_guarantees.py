"""Slices and radii hold for the function that the model computes, or are refused; and nothing of the caller's changes."""

import copy
import importlib.util
import math
import os
import sys
import types

import little
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deepatoms.theory import partition
from deepatoms.theory.partition import extension, graph, guards
from deepatoms.theory.partition.refine import demand_corners
from deepatoms.theory.piecewise import NotPiecewiseAffineError

generator = torch.Generator().manual_seed(0)
W, V = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((8, 2), (3, 8)))
BOX = little.box()


class Counting:
    """A function with a state: its second call is another function."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        """Drift a little with every call."""
        self.calls += 1
        return torch.relu(x) * (1 + 1e-3 * self.calls)


def half(x):
    return torch.relu(x).to(torch.float32).to(torch.float64)


MIXED = {
    "columns": lambda x: V @ torch.relu(W @ x.T), "columns turned back": lambda x: (V @ torch.relu(W @ x.T)).T,
    "batch mean": lambda x: torch.relu(x - x.mean(0)), "last sample": lambda x: torch.relu(x - x[-1:]),
    "a maximum over the batch": lambda x: torch.relu(x) - x.amax(0),
    "time first": lambda x: F.relu(x.T.reshape(-1, 1)).reshape(2, -1).T,
    "mixed after the last nonlinearity": lambda x: torch.relu(x).cumsum(0)}
ELSEWHERE = {
    "numpy": lambda x: torch.relu(x) + torch.from_numpy(np.sin(x.numpy())),
    "numpy of a detached tensor": lambda x: torch.relu(x) + torch.from_numpy(np.asarray(x.detach()) ** 2),
    "a list": lambda x: torch.relu(x) + torch.tensor(x.tolist()), "random numbers": lambda x: torch.relu(x) + np.random.randn(),
    "a state": Counting(), "single precision": half, "integers": lambda x: torch.relu(x).int().double(),
    "a floor": lambda x: torch.relu(torch.div(x, 0.3, rounding_mode="floor"))}
EVERY = {**MIXED, **ELSEWHERE}


@pytest.mark.parametrize("name", list(EVERY))
def test_what_is_no_function_of_rows_is_refused_at_any_batch_size(name):
    for call in (lambda model: partition.slice_plane(model, BOX), lambda model: partition.slice_segment(model, BOX[0], BOX[1]),
                 lambda model: partition.in_radius(model, BOX[:1]), lambda model: partition.in_radius(model, BOX)):
        with pytest.raises(NotPiecewiseAffineError):
            call(EVERY[name])


def test_rows_in_any_order_of_a_sample_s_own_are_right():
    """The same function by rows, by patches, with a rectified weight, under no_grad: as many regions."""
    rows = len(partition.slice_plane(lambda x: torch.relu(x @ W.T) @ V.T, BOX))
    assert rows == len(partition.slice_plane(lambda x: torch.relu((x @ W.T).reshape(-1, 4)).reshape(-1, 8) @ V.T, BOX)) > 10
    assert rows == len(partition.slice_plane(lambda x: torch.relu(x @ W.T) @ V.clamp(min=0).T, BOX))
    with torch.inference_mode():
        assert rows == len(partition.slice_plane(lambda x: torch.relu((x @ W.T).detach()) @ V.T, BOX))


class Untidy(nn.Module):
    """A module that writes to its input, a buffer and itself; ``bad`` draws random numbers and ends in a refusal."""

    def __init__(self, bad):
        super().__init__()
        self.layer, self.norm, self.bad, self.calls = nn.Linear(2, 3), nn.BatchNorm1d(3), bad, 0
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        """Leave traces everywhere."""
        self.calls += 1
        self.seen.add_(len(x))
        self.last = x.clamp_(min=-0.5)
        self.train(not self.training).train(not self.training)
        if self.bad:
            torch.randperm(3)
        x = F.relu(self.layer(x), inplace=True)
        return torch.sigmoid(x) if self.bad else self.norm(x)


@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_nothing_of_the_caller_s_changes_also_when_it_refuses(bad, training):
    model, x = Untidy(bad).double().train(training), BOX.clone().requires_grad_()
    model.layer.weight.grad = torch.ones(3, 2, dtype=torch.float64)
    before, attributes, state = copy.deepcopy(model.state_dict()), dict(vars(model)), torch.get_rng_state()
    for call in (lambda: partition.slice_plane(model, x), lambda: partition.slice_segment(model, x[0], x[1]),
                 lambda: partition.in_radius(model, x)):
        try:
            call()
            assert not bad and not training
        except ValueError:
            assert bad or training
        assert torch.equal(x, BOX) and x.grad is None and torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert vars(model) == attributes and model.training == training and not model._forward_hooks
        assert bool((model.layer.weight.grad == 1).all())


def test_more_regions_than_the_limit_are_refused_with_their_number():
    model = little.seeded(lambda: little.dense(2, 12, 12, 3))
    whole = partition.slice_plane(model, little.box(-3, 3))
    with pytest.raises(ValueError, match=r"limit = 20 is less than the \d+ regions so far, in nonlinearity \d of 2.*limit"):
        partition.slice_plane(model, little.box(-3, 3), limit=20)
    assert len(partition.slice_plane(model, little.box(-3, 3), limit=len(whole))) == len(whole)
    with pytest.raises(ValueError, match="limit = 2 is less than the"):
        partition.slice_segment(model, *little.box(-3, 3)[:2], limit=2)


def test_progress_is_told(monkeypatch):
    from deepatoms.theory.partition import refine
    clock = iter(range(0, 10**6, 2))
    monkeypatch.setattr(refine.time, "monotonic", lambda: next(clock))
    told = []
    partition.slice_plane(little.seeded(lambda: little.dense(2, 12, 3)), little.box(-3, 3), progress=told.append)
    assert told and all("regions so far, in nonlinearity 1 of 1" in each for each in told)


def test_memory_is_refused_before_it_is_taken(monkeypatch):
    model, x = little.seeded(little.pooled), little.images(9)
    usual = partition.in_radius(model, x)
    assert torch.allclose(partition.in_radius(model, x, chunk=2), usual, rtol=1e-12)
    monkeypatch.setattr(guards, "memory", lambda: 2**20)
    monkeypatch.setattr("deepatoms.theory.partition.walls.memory", lambda: 2**20)
    with pytest.raises(MemoryError, match=r"chunk = 5000 needs about .* GiB at once; there are .* GiB; pass chunk=\d"):
        partition.in_radius(model, x, chunk=5000)
    monkeypatch.setattr(guards, "memory", lambda: 2**10)
    with pytest.raises(MemoryError, match="distance_to_break"):
        partition.in_radius(model, x)


def test_degenerate_planes_and_segments_are_refused():
    model = nn.ReLU()
    for corners in (torch.zeros(3, 2), torch.tensor([[0.0, 0], [1, 1], [1, 1]]), torch.tensor([[0.0, 0], [0, 0], [1, 1]])):
        with pytest.raises(ValueError, match="one line"):
            partition.slice_plane(model, corners.double())
    with pytest.raises(ValueError, match="blurs the slice"):
        partition.slice_plane(model, 1e9 + BOX)
    with pytest.raises(ValueError, match="blurs the slice"):
        partition.slice_segment(model, *(1e9 + BOX[:2]))
    with pytest.raises(ValueError, match="farther away"):
        partition.slice_plane(model, torch.tensor([[-1.7e308, 0], [1.7e308, 0], [0, 1]], dtype=torch.float64))
    with pytest.raises(NotPiecewiseAffineError, match="infinite"):
        partition.slice_plane(lambda x: torch.relu(1e300 * x), 1e10 * BOX)
    for scale in (1e-150, 1e-9, 1e9, 1e150):  # of any other size they are what they are
        assert len(partition.slice_plane(model, scale * BOX)) == 4


def test_a_network_that_is_constant_on_the_slice_has_one_region():
    for model in (lambda x: torch.relu(x @ W.T - x @ W.T), lambda x: torch.relu(0 * x), lambda x: (0 * x).amax(1),
                  lambda x: torch.relu(x[:, :1] * 0 + 1)):
        assert len(partition.slice_plane(model, BOX)) == 1
        assert partition.slice_segment(model, BOX[0], BOX[1]).size == 0
        assert partition.in_radius(model, BOX[:1]).item() == np.inf


@pytest.mark.parametrize("shift", [0.0, 1e-16, -1e-16])
def test_walls_that_coincide_to_rounding_are_one_and_parallel_walls_are_two(shift):
    def model(x, apart=shift):
        u = x @ torch.tensor([0.3, 0.7], dtype=x.dtype)
        return torch.relu(torch.stack([u - 0.1, 3 * u - 0.3 + apart, -7 * u + 0.7], 1))
    assert len(partition.slice_plane(model, BOX)) == 2
    assert partition.slice_segment(model, BOX[0], -BOX[0]).size == 1
    assert len(partition.slice_plane(lambda x: model(x, 3e-9), BOX)) == 3
    assert partition.slice_segment(lambda x: model(x, 3e-9), BOX[0], -BOX[0]).size == 2


@pytest.mark.parametrize(("weight", "nearest"), [(1e-11, True), (1e-13, False), (0.0, True)])
def test_a_wall_that_may_be_rounding_is_refused_where_it_would_be_the_nearest(weight, nearest):
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU()).double().requires_grad_(False)
    net[0].weight.copy_(torch.diag(torch.tensor([1.0, weight], dtype=torch.float64)))
    x = torch.tensor([[5.0, 0.1]], dtype=torch.float64)
    if nearest:
        assert float(partition.in_radius(net, x)) == pytest.approx(0.1 if weight else 5)
    else:
        with pytest.raises(ValueError, match="a unit 1 of nonlinearity 0 that would be the nearest wall.*prune it"):
            partition.in_radius(net, x)
        assert float(partition.in_radius(net, x / torch.tensor([100, 0.01]))) == pytest.approx(0.05)


def small_unit(size, bias, dimension=2):
    net = nn.Sequential(nn.Linear(dimension, 3), nn.ReLU(), nn.Linear(3, 1)).double().requires_grad_(False)
    net[0].weight.copy_(torch.eye(3, dimension)).index_fill_(0, torch.tensor(2), size)
    net[0].bias.copy_(torch.tensor([0.0, 0.1, bias * size], dtype=torch.float64))
    return net


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(("size", "bias", "cuts"), [
    (1e-11, -0.105, True), (1e-13, -0.105, None), (1e-14, -0.105, None), (2e-15, -0.105, None), (1e-16, -0.105, False),
    (1e-13, 9.0, False)])
def test_a_wall_of_a_slice_that_rounding_would_move_is_refused(size, bias, cuts, plain):
    """At 1e-14 two regions had other areas, and at 2e-15 three were missing."""
    box = torch.tensor([[-1.0, -1.0, -1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]).double()
    for dimension, slices in ((2, partition.slice_plane), (3, partition.slice_space)):
        net = small_unit(size, bias, dimension)
        model, corners = net if plain else lambda x, net=net: net(x), box[:dimension + 1, :dimension]
        if cuts is None:
            with pytest.raises(ValueError, match="has a unit 2 of nonlinearity 0 that cuts the slice, and .* prune it"):
                slices(model, corners)
        else:
            assert slices(model, corners).cells.sizes == pytest.approx(
                slices(small_unit(1.0 if cuts else 0.0, bias, dimension), corners).cells.sizes, abs=1e-9)
    start, end = torch.tensor([[-1.0, -0.001], [1.0, 0.0]]).double()
    net = small_unit(size, bias)
    if cuts is None:
        with pytest.raises(ValueError, match="has a unit 2 of nonlinearity 0 that makes a wall of the slice, and .* prune it"):
            partition.slice_segment(net, start, end)
    else:
        assert len(partition.slice_segment(net, start, end)) == 1 + cuts


def test_a_point_on_a_wall_has_radius_and_step_zero():
    wall = partition.nearest_walls(nn.ReLU(), torch.tensor([[0.0, 2.0]]).double())
    assert wall.radius.item() == 0 and wall.step.abs().max() == 0 and wall.unit.item() == 0


def test_units_are_counted_not_walls():
    x = torch.tensor([[0.5, 0.7, 0.95, 0.2], [-0.3, -0.99, 0.1, 0.0]]).double()
    for clip in (nn.Hardtanh(), lambda x: x.clamp(-1, 1), lambda x: F.relu6(3 * x + 3) / 3 - 1, lambda x: F.softshrink(2 * x, 2)):
        assert partition.nearest_walls(clip, x).unit.tolist() == [2, 1]


CUT = partition.slice_plane(nn.ReLU(), little.box())
CODES = partition.region_codes(nn.ReLU(), torch.eye(2))[0]


@pytest.mark.parametrize(("call", "said"), [
    (lambda: partition.slice_plane(nn.ReLU(), little.box().numpy()), "corners = .* are not three inputs"),
    (lambda: partition.slice_plane(nn.ReLU(), torch.ones(3).double()), "corners = .* are not three inputs"),
    (lambda: partition.slice_plane(nn.ReLU(), little.box() * torch.nan), "corners = .*NaN"),
    (lambda: partition.slice_plane(nn.ReLU(), little.box()[[0, 0, 1]]), "corners = "),
    (lambda: partition.slice_plane(nn.ReLU(), little.box()[[0, 1, 1]]), "corners = "),
    (lambda: partition.slice_space(nn.ReLU(), little.cube()[[0, 1, 2, 2]]), "corners = "),
    (lambda: partition.slice_plane(nn.ReLU(), little.box(), layers=-1), "layers = -1"),
    (lambda: partition.slice_plane(nn.ReLU(), little.box(), layers=1.5), "layers = 1.5"),
    (lambda: partition.slice_plane(nn.ReLU(), little.box(), limit=0), "limit = 0"),
    (lambda: partition.slice_plane(nn.ReLU(), little.box(), limit=3), "limit = 3 is less than the 4 regions"),
    (lambda: graph.walls_between(CUT, 4), "start = 4 is not one of the 4 regions"),
    (lambda: graph.walls_between(CUT, -1), "start = -1"), (lambda: partition.planar_regions(-1), "units = -1"),
    (lambda: partition.most_regions(-1, 2), "units = -1"), (lambda: partition.most_regions(2, -1), "dimension = -1"),
    (lambda: partition.neighbours(CODES, CODES, 0), "k = 0"),
    (lambda: partition.neighbours(CODES, CODES, 3), "k = 3 exceeds the 2"),
    (lambda: partition.neighbours(CODES, CODES[:0], 1), "queries = .* has no neighbours"),
    (lambda: partition.slice_segment(nn.ReLU(), little.box()[0], little.box()[:2]), "end = .* of another shape"),
])
def test_what_no_slice_can_mean_is_refused_by_name(call, said):
    with pytest.raises((ValueError, TypeError), match=said):
        call()


@pytest.mark.parametrize(("angle", "refused"), [(3e-8, False), (3e-9, True)])
def test_sides_that_are_nearly_parallel_are_cut_and_those_that_rounding_blurs_are_not(angle, refused):
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, angle]], dtype=torch.float64)
    if refused:
        with pytest.raises(ValueError, match="one line"):
            demand_corners(corners, 2)
    else:
        assert demand_corners(corners, 2) is not corners


def test_a_limit_just_met_is_kept():
    assert len(partition.slice_plane(nn.ReLU(), little.box(), limit=4)) == 4
    assert len(partition.slice_plane(nn.ReLU(), little.box(), layers=0)) == 1
    assert graph.walls_between(CUT, 3).max() == 2 and partition.neighbours(CODES, CODES, 2).indices.shape == (2, 2)


@pytest.mark.parametrize(("share", "refused"), [(0.0, False), (0.9, False), (-0.9, False), (1.1, True), (-1.1, True)])
@pytest.mark.parametrize(("scale", "size"), [(0.0, 4.001), (5000.0, 5000.005)])
def test_pieces_may_differ_from_forward_passes_by_rounding_of_their_own_numbers(share, refused, scale, size):
    """Of what makes them up, or of what comes out, and by a millionth of that of the largest: outputs of 1000 and of 4."""
    x, weight = torch.ones(2, 1, dtype=torch.float64), torch.tensor([[1000.0, 4.0]], dtype=torch.float64)

    def model(x):
        return x @ weight
    values = model(x)
    values[1, 1] += share * float(extension._tolerance(values)) * size
    if refused:
        with pytest.raises(NotPiecewiseAffineError, match="is not affine on 1 of 2 regions looked at"):
            extension.demand_pieces(model, x, values, torch.full((2, 2), scale, dtype=torch.float64))
    else:
        extension.demand_pieces(model, x, values, torch.full((2, 2), scale, dtype=torch.float64))


def test_memory_is_told_on_windows_and_unknown_where_no_system_says(monkeypatch):
    """Windows has no module ``resource`` and no ``sysconf``: the module is imported without, and asks the kernel."""
    class Kernel:
        def GlobalMemoryStatusEx(self, status):
            assert status._obj.length == 64
            status._obj.physical = 3 * 2**30
            return 1
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.delattr(os, "sysconf")
    found = importlib.util.module_from_spec(importlib.util.find_spec(guards.__name__))
    monkeypatch.setitem(sys.modules, guards.__name__, found)
    found.__spec__.loader.exec_module(found)
    assert found.resource is None and found.memory() == math.inf
    found.demand_memory("chunk", 1, 1e30, "pass fewer")  # nothing can be refused beforehand
    monkeypatch.setattr(found.ctypes, "windll", types.SimpleNamespace(kernel32=Kernel()), raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert found.memory() == 3 * 2**30
    with pytest.raises(MemoryError, match="there are 3.0 GiB"):
        found.demand_memory("chunk", 1, 2.0**40, "pass fewer")
