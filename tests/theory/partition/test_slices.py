"""Exact partitions of planes and segments: theorems as tests."""

import little
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from deepatoms.theory import partition
from deepatoms.theory.partition import polygons
from deepatoms.theory.piecewise import NotPiecewiseAffineError
from deepatoms.theory.splines import pieces_along

CASES = {"dense": (lambda: little.dense(2, 12, 12, 3), little.box(-3, 3)),
         "pooled": (little.pooled, little.images(3)), "residual": (little.Residual, 0.3 * little.images(3, 1))}


@pytest.fixture(scope="module", params=list(CASES))
def case(request):
    build, corners = CASES[request.param]
    model = little.seeded(build)
    with torch.no_grad():  # no class wins everywhere
        list(model.modules())[-1].bias -= model(corners).mean(0)
    return model, partition.slice_plane(model, corners)


def all_codes(model, x):
    return np.concatenate([np.asarray(codes) for codes in partition.region_codes(model, x)], 1)


def interior(found, seed=0):
    """Return one random point inside each region: a mixture of its corners."""
    inside = polygons.valid(found.vertices, found.counts)
    weights = np.random.default_rng(seed).uniform(0.05, 1, inside.shape) * inside
    return np.einsum("rv,rvd->rd", weights / weights.sum(1, keepdims=True), found.vertices)


def test_the_areas_fill_the_slice(case):
    _, found = case
    assert abs(found.areas.sum() - 1) <= 1e-12 and (found.areas > 0).all() and (found.counts >= 3).all()


def test_every_region_has_a_code_of_its_own(case):
    model, found = case
    codes = all_codes(model, found.points(found.centres))
    assert len(np.unique(codes, axis=0)) == len(found) > 50


def test_a_region_is_one_code_and_one_affine_map(case):
    model, found = case
    inside = interior(found)
    large = found.areas > 1e-9
    there = found.points(inside)
    assert np.array_equal(all_codes(model, there[large]), all_codes(model, found.points(found.centres)[large]))
    slopes, offsets = found.affine_maps()
    with torch.no_grad():
        values = model(there).numpy()
    assert abs(values - np.einsum("rod,rd->ro", slopes, inside) - offsets).max() <= 1e-10


def test_no_grid_point_has_a_code_that_is_not_there(case):
    model, found = case
    grid = np.random.default_rng(1).uniform(0, 1, (4000, 2))
    seen = {row.tobytes() for row in all_codes(model, found.points(grid))}
    assert seen <= {row.tobytes() for row in all_codes(model, found.points(found.centres))}


def test_a_segment_of_the_plane_meets_the_regions_of_the_plane(case):
    """Its walls are where codes change; bisection, which knows nothing of walls, finds the same ones."""
    model, found = case
    start, end = found.points(np.array([[0.03, 0.11], [0.92, 0.83]]))
    walls = partition.slice_segment(model, start, end)
    searched = pieces_along(model, start, end, tolerance=1e-10).numpy()
    assert len(walls) == len(searched) > 5 and abs(walls - searched).max() <= 1e-8


@pytest.mark.parametrize("n", [1, 10, 50])
def test_lines_in_general_position(n):
    """1 + n + n (n - 1) / 2 regions once the box holds every crossing; fewer lines cross a small box."""
    rng = np.random.default_rng(n)
    angles = (np.arange(n) + rng.uniform(0.25, 0.75, n)) * np.pi / n
    layer = nn.Linear(2, n).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(np.stack([np.cos(angles), np.sin(angles)], 1)))
        layer.bias.copy_(torch.tensor(rng.normal(size=n)))
    found = partition.slice_plane(nn.Sequential(layer, nn.ReLU()), little.box(-1e4, 1e4))
    assert len(found) == partition.planar_regions(n)


def test_crossings_below_the_maximum_are_no_walls():
    """Three cells of which the second never wins: two regions, although three lines cross."""
    class Three(nn.Module):
        def forward(self, x):
            u = x[:, :1]
            return torch.max_pool2d(torch.stack([u, -1 - 0 * u, -u], 2)[:, None], (1, 3)).flatten(1)

    assert len(partition.slice_plane(Three(), little.box())) == 2


def test_layers_refine(case):
    model, found = case
    corners = found.corners
    sizes = [len(partition.slice_plane(model, corners, layers)) for layers in range(3)]
    assert sizes[0] == 1 and sizes == sorted(sizes) and sizes[-1] <= len(found)


def test_the_decision_boundary_is_where_the_two_highest_tie(case):
    model, found = case
    segments = found.decision_boundary()
    with torch.no_grad():
        top = model(found.points(segments.mean(1))).topk(2).values
    assert len(segments) and float((top[:, 0] - top[:, 1]).abs().max()) <= 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_a_cut_keeps_the_area(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, (5, 7)), 1)
    vertices, counts = np.stack([np.cos(angles), np.sin(angles)], 2), np.full(5, 7)
    values = vertices @ rng.normal(size=2) + rng.normal() / 2
    parts = [polygons.areas(*part) for part in polygons.cut(vertices, counts, values)]
    assert np.allclose(sum(parts), polygons.areas(vertices, counts), atol=1e-14)


def test_bad_input_is_refused():
    model = little.seeded(lambda: little.dense(2, 3, 2))
    with pytest.raises(ValueError, match="one line"):
        partition.slice_plane(model, torch.tensor([[0.0, 0], [1, 1], [2, 2]], dtype=torch.float64))
    with pytest.raises(ValueError, match="three inputs"):
        partition.slice_plane(model, little.box()[:2])
    with pytest.raises(ValueError, match="float64"):
        partition.slice_plane(model.float(), little.box().float())
    with pytest.raises(ValueError, match="exceeds the 1 nonlinearities"):
        partition.slice_plane(model.double(), little.box(), layers=2)
    with pytest.raises(ValueError, match="start itself"):
        partition.slice_segment(model, little.box()[0], little.box()[0])
    with pytest.raises(NotPiecewiseAffineError, match="sigmoid"):
        partition.slice_plane(nn.Sequential(nn.Linear(2, 2), nn.Sigmoid()).double(), little.box())
    with pytest.raises(NotPiecewiseAffineError, match="they know"):
        partition.slice_plane(lambda x: torch.maximum(x, -x), little.box())
