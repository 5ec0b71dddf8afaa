"""Slices that are hard to cut: in the plane, in space and on a segment, of a plain chain and of any network."""

import little
import numpy as np
import pytest
import torch
from torch import nn

from deepatoms.theory import partition

WAYS = ("chain", "any")
NORMAL = torch.tensor([0.3, 0.7, 0.2], dtype=torch.float64)
SLICES = {"plane": (2, lambda model, low, high: len(partition.slice_plane(model, little.box(low, high)))),
          "space": (3, lambda model, low, high: len(partition.slice_space(model, little.cube(low, high)))),
          "segment": (2, lambda model, low, high: 1 + len(partition.slice_segment(
              model, torch.full((2,), low).double(), torch.full((2,), high).double())))}


@pytest.fixture(params=[(name, way) for name in SLICES for way in WAYS], ids="-".join)
def cut(request):
    """Return the number of inputs, and what counts the regions of affine layers with rectifiers between them."""
    (dimension, count), way = SLICES[request.param[0]], request.param[1]

    def regions(*layers, low=-1.0, high=1.0):
        model = little.dense(dimension, *(len(bias) for _, bias in layers)).double()
        linear = [each for each in model if isinstance(each, nn.Linear)]
        with torch.no_grad():
            for each, (weight, bias) in zip(linear, layers, strict=True):
                each.weight.copy_(torch.as_tensor(weight)[:, :each.in_features])
                each.bias.copy_(torch.as_tensor(bias))
        model = nn.Sequential(model, nn.ReLU())
        return count(model if way == "chain" else lambda x: model(x), low, high)
    return regions


def parallel(*offsets):
    """Return an affine layer with parallel walls."""
    return NORMAL.repeat(len(offsets), 1), torch.tensor(offsets, dtype=torch.float64)


def test_parallel_walls_make_layers(cut):
    assert cut(parallel(-0.6, -0.2, 0.1, 0.5)) == 5


@pytest.mark.parametrize("gap", [0.0, 1e-16, -1e-16, 1e-15])
def test_walls_that_coincide_to_rounding_are_one(cut, gap):
    weight, bias = parallel(0.1, 0.1 + gap, 0.1)
    assert cut((weight * torch.tensor([[1.0], [3.0], [-7.0]]), bias * torch.tensor([1.0, 3.0, -7.0]))) == 2


def test_walls_farther_apart_than_rounding_are_two(cut):
    assert cut(parallel(0.1, 0.1 + 3e-9)) == 3


@pytest.mark.parametrize("layer", [
    (torch.zeros(4, 3), torch.zeros(4)), (torch.zeros(4, 3), torch.ones(4)), (torch.zeros(4, 3), -torch.ones(4)),
    (torch.ones(2, 3), torch.full((2,), 50.0)), (-torch.ones(2, 3), torch.full((2,), -50.0))])
def test_a_network_that_is_constant_or_affine_on_the_slice_has_one_region(cut, layer):
    assert cut(layer, (torch.ones(2, len(layer[1])), torch.tensor([1.0, -1.0]))) == 1


def test_a_unit_that_cancels_to_rounding_cuts_nothing(cut):
    """Two equal units, one taken from the other: what is left is the rounding of 0."""
    twice = torch.tensor([[0.3, 0.7, 0.2], [0.1, 0.7 / 3, 0.2 / 3]], dtype=torch.float64)
    away = torch.tensor([[1.0, -3.0], [1.0, 1.0]], dtype=torch.float64)
    assert cut((twice, torch.tensor([0.1, 0.1 / 3], dtype=torch.float64)), (away, torch.zeros(2))) == 2


def test_a_wall_that_a_later_layer_repeats_is_one(cut):
    assert cut(parallel(0.1), (torch.ones(1, 1), torch.zeros(1)), (torch.ones(1, 1), torch.full((1,), -1e-15))) == 2


@pytest.mark.parametrize("limit", [1, 4])
def test_more_regions_than_the_limit_are_refused_with_their_number(limit):
    flat, deep = little.seeded(lambda: little.dense(2, 8, 8, 2)), little.seeded(lambda: little.dense(3, 8, 8, 2))
    for call in (lambda: partition.slice_plane(flat, little.box(-3, 3), limit=limit),
                 lambda: partition.slice_plane(lambda x: flat(x), little.box(-3, 3), limit=limit),
                 lambda: partition.slice_space(deep, little.cube(-3, 3), limit=limit),
                 lambda: partition.slice_space(lambda x: deep(x), little.cube(-3, 3), limit=limit),
                 lambda: partition.slice_segment(flat, *little.box(-3, 3)[:2], limit=limit)):
        with pytest.raises(ValueError, match=rf"limit = {limit} is less than the \d+ (regions|pieces).*pass a larger limit"):
            call()


@pytest.mark.parametrize("call", [
    lambda: partition.slice_plane(nn.ReLU(), torch.zeros(3, 2).double()),
    lambda: partition.slice_plane(nn.ReLU(), little.box()[[0, 1, 1]]),
    lambda: partition.slice_plane(nn.ReLU(), 1e9 + little.box()),
    lambda: partition.slice_space(nn.ReLU(), torch.zeros(4, 3).double()),
    lambda: partition.slice_space(nn.ReLU(), little.cube()[[0, 1, 2, 2]]),
    lambda: partition.slice_space(nn.ReLU(), 1e9 + little.cube()),
    lambda: partition.slice_segment(nn.ReLU(), little.box()[0], little.box()[0]),
    lambda: partition.slice_segment(nn.ReLU(), *(1e9 + little.box()[:2]))])
def test_degenerate_slices_are_refused(call):
    with pytest.raises(ValueError, match="corners = |end = "):
        call()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("dimension", [2, 3])
def test_walls_through_common_corners_cut_the_same_regions_both_ways(dimension, seed):
    """Weights of -1, 0 and 1: dead units, equal units, walls through corners and edges of the regions before."""
    random = np.random.default_rng(seed)
    model = little.seeded(lambda: little.dense(dimension, *random.integers(2, 8, 3), 2))
    with torch.no_grad():
        for each in model.parameters():
            each.copy_(torch.from_numpy(random.integers(-1, 2, each.shape) / each.ndim))
    slicing, corners = ((partition.slice_plane, little.box()) if dimension == 2 else (partition.slice_space, little.cube()))
    found, again = (slicing(each, corners).cells.sizes for each in (model, lambda x: model(x)))
    assert len(found) == len(again) and np.allclose(np.sort(found), np.sort(again), atol=1e-12)
