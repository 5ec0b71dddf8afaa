"""Exact partitions of planes and segments: theorems as tests."""

import itertools

import little
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from deepatoms.theory import partition
from deepatoms.theory.partition import cells, polygons, segment
from deepatoms.theory.piecewise import NotPiecewiseAffineError
from deepatoms.theory.splines import distance_to_break

CASES = {"dense": (lambda: little.dense(2, 12, 12, 3), little.box(-3, 3)),
         "pooled": (little.pooled, little.images(3)), "residual": (little.Residual, 0.3 * little.images(3, 1))}


@pytest.fixture(scope="module", params=list(CASES))
def case(request):
    build, corners = CASES[request.param]
    model = little.settled(build, corners)
    return model, partition.slice_plane(model, corners)


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
    codes = little.all_codes(model, found.points(found.centres))
    assert len(np.unique(codes, axis=0)) == len(found) > 50


def test_a_region_is_one_code_and_one_affine_map(case):
    model, found = case
    inside = interior(found)
    large = found.areas > 1e-9
    there = found.points(inside)
    assert np.array_equal(little.all_codes(model, there[large]), little.all_codes(model, found.points(found.centres)[large]))
    slopes, offsets = found.affine_maps()
    with torch.no_grad():
        values = model(there).numpy()
    assert abs(values - np.einsum("rod,rd->ro", slopes, inside) - offsets).max() <= 1e-10


def test_no_grid_point_has_a_code_that_is_not_there(case):
    model, found = case
    grid = np.random.default_rng(1).uniform(0, 1, (4000, 2))
    seen = {row.tobytes() for row in little.all_codes(model, found.points(grid))}
    assert seen <= {row.tobytes() for row in little.all_codes(model, found.points(found.centres))}


def searched_walls(model, start, end, width=1e-10):
    """The reference, which knows nothing of walls: halve every gap between different codes until it is narrow."""
    def codes(at):
        return little.all_codes(model, start + torch.from_numpy(at).reshape(-1, *[1] * start.ndim) * (end - start))
    at = np.linspace(0, 1, 65)
    while True:
        found = codes(at)
        differ = (found[1:] != found[:-1]).any(1)
        gaps = differ & (np.diff(at) > width)
        if not gaps.any():
            return ((at[1:] + at[:-1]) / 2)[differ]
        at = np.sort(np.concatenate([at, (at[1:] + at[:-1])[gaps] / 2]))


def searched_break(model, x, direction, farthest):
    """The reference for one step: regions are convex, so halving finds where the code changes first."""
    here, near, far = little.all_codes(model, x[None]), 0.0, farthest
    while far - near > 1e-12 * farthest:
        middle = (near + far) / 2
        same = (little.all_codes(model, x[None] + middle * direction) == here).all()
        near, far = (middle, far) if same else (near, middle)
    return far


NETWORKS = {"dense": (lambda: little.dense(4, 9, 9, 3), (4,)), "pooled": (little.pooled, (1, 6, 6)),
            "residual": (little.Residual, (1, 6, 6))}


@pytest.mark.parametrize("name", list(NETWORKS))
@given(st.integers(0, 2**31))
@settings(max_examples=6, deadline=None)
def test_the_exact_walk_is_the_search_along_segments_and_to_the_first_break(name, seed):
    build, shape = NETWORKS[name]
    model, generator = little.seeded(build, seed % 100), torch.Generator().manual_seed(seed)
    x, direction = torch.randn(2, 1, *shape, generator=generator, dtype=torch.float64)
    walls, searched = partition.slice_segment(model, x[0], (x + direction)[0]), searched_walls(model, x[0], (x + direction)[0])
    assert all(abs(walls - wall).min() <= 1e-8 for wall in searched)  # the search may miss two walls between two samples
    exact, found = float(distance_to_break(model, x, direction, 5.0)), searched_break(model, x[0], direction, 5.0)
    assert abs(exact - found) <= 1e-9
    if exact < 1:
        assert abs(walls[0] - exact) <= 1e-9


def test_a_segment_of_the_plane_meets_the_regions_of_the_plane(case):
    """Its walls are where codes change; bisection, which knows nothing of walls, finds the same ones."""
    model, found = case
    start, end = found.points(np.array([[0.03, 0.11], [0.92, 0.83]]))
    walls = partition.slice_segment(model, start, end)
    searched = searched_walls(model, start, end)
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


def test_a_scripted_network_has_the_regions_of_what_was_scripted():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.ReLU(), torch.nn.Linear(6, 5), torch.nn.ReLU()).double().eval()
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    assert len(partition.slice_plane(torch.jit.script(model), corners)) == len(partition.slice_plane(model, corners)) > 4


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
    cells = polygons.Polygons.of(np.stack([np.cos(angles), np.sin(angles)], 2), np.full(5, 7))
    (upper, rows), (lower, _) = cells.cut(cells.points @ rng.normal(size=2) + rng.normal() / 2)
    assert np.allclose(upper.sizes + lower.sizes, cells.sizes[rows], atol=1e-14)


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
    with pytest.raises(NotPiecewiseAffineError, match="sort"):
        partition.slice_plane(lambda x: x.sort(0).values, little.box())


@pytest.mark.parametrize("side", [1.0, 10.0])
def test_a_segment_is_refused_exactly_where_rounding_blurs_a_billionth_of_it(side):
    limit = 1e-9 * side / np.finfo(float).eps
    for far, refused in ((0.99 * limit, False), (1.01 * limit, True)):
        start = torch.full((2,), far, dtype=torch.float64)
        if refused:
            with pytest.raises(ValueError, match="end = .*so near"):
                segment.demand_apart("end", start, torch.full((1, 2), side, dtype=torch.float64), start)
        else:
            segment.demand_apart("end", start, torch.full((1, 2), side, dtype=torch.float64), start)


def scores(*rows):
    """Return a linear map of the plane to scores."""
    model = nn.Linear(2, len(rows)).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor(rows))
        model.bias.zero_()
    return model


HALF, LONG = 0.5**0.5, (0.25**2 + 0.5**2) ** 0.5


@pytest.mark.parametrize(("rows", "length"), [
    (((1.0, 0.0), (0.0, 1.0), (-1.0, -1.0)), HALF + 2 * LONG),  # three rays from the middle
    (((1.0, 0.0), (1.0, 0.0), (-1.0, 0.0)), 1.0), (((-1.0, 0.0), (1.0, 0.0), (1.0, 0.0)), 1.0),  # a tie on a whole side is none
    (((1.0, 1.0), (-1.0, -1.0)), 2 * HALF), (((0.0, 0.0), (0.0, 0.0)), 0.0)])
@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_the_boundary_of_linear_scores_has_the_length_worked_out_and_each_piece_once(rows, length, scale):
    for order in (slice(None), slice(None, None, -1)):
        found = partition.slice_plane(scores(*(tuple(scale * each for each in row) for row in rows[order])), little.box())
        segments = found.decision_boundary()
        assert np.linalg.norm(segments[:, 0] - segments[:, 1], axis=1).sum() == pytest.approx(length)


EDGES = {
    "a third score that is never largest": lambda x: torch.stack([x, -x, 0 * x], 1),
    "a fourth": lambda x: torch.stack([x, -x, 0 * x, x / 2], 1), "a touch at a wall": lambda x: torch.stack([x.abs(), 0 * x], 1),
    "a wall, and a third": lambda x: torch.stack([x.relu(), (-x).relu(), 0 * x - x.abs()], 1),
    "beside a tie everywhere": lambda x: torch.stack([x.relu(), 2 * x.relu(), 3 * x.relu()], 1)}


@pytest.mark.parametrize("name", EDGES)
def test_an_edge_of_the_boundary_is_there_once_whatever_the_order_of_the_scores(name):
    outputs = EDGES[name](torch.zeros(1)).shape[1]
    for order in itertools.permutations(range(outputs)):
        segments = partition.slice_plane(lambda x: EDGES[name](x[:, 0])[:, order], little.box()).decision_boundary()  # noqa: B023
        assert np.linalg.norm(segments[:, 0] - segments[:, 1], axis=1).sum() == pytest.approx(1)
        assert np.allclose(segments[..., 0], 0.5)


def test_polygons_are_the_corners_that_count(case):
    _, found = case
    for corners, count, area in list(zip(found.polygons(), found.counts, found.areas, strict=True))[:50]:
        x, y = corners.T
        assert corners.shape == (count, 2)
        assert abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2) == pytest.approx(area)  # the shoelace formula


def rings(count=6, corners=7, seed=0):
    """Return convex polygons with three to seven corners, as arrays and as cells."""
    rng = np.random.default_rng(seed)
    each = [np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, corners + 1))) for _ in range(count)]
    each = [rng.normal(size=2) + np.stack([np.cos(angles), np.sin(angles)], 1) for angles in each]
    return each, polygons.Polygons(np.concatenate(each), np.array([len(one) for one in each]))


def shoelace(corners):
    return abs(sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(corners, np.roll(corners, -1, 0), strict=True))) / 2


@pytest.mark.parametrize("seed", range(3))
def test_cells_are_measured_taken_joined_and_evaluated_one_by_one(seed):
    each, found = rings(seed=seed)
    rng = np.random.default_rng(seed)
    np.testing.assert_allclose(found.sizes, [shoelace(one) for one in each])
    np.testing.assert_allclose(found.centres, [one.mean(0) for one in each])
    np.testing.assert_allclose(found.reach(found.centres), [abs(one - one.mean(0)).max(0) for one in each])
    again = polygons.Polygons.of(found.padded(), found.counts)
    assert np.array_equal(again.points, found.points) and found.padded().shape == (6, max(map(len, each)), 2)
    rows = np.array([4, 0, 3])
    taken = polygons.Polygons.join([found.take(rows), found.take(rows[:1])])
    assert np.array_equal(taken.points, np.concatenate([each[row] for row in (4, 0, 3, 4)]))
    slopes, at = rng.normal(size=(2, 3)), rng.normal(size=3)
    function = cells.AffineFunctions.about(at, slopes, found.centres[rows])
    values = found.evaluate(rows, function)
    wanted = [at[i] + (each[row] - each[row].mean(0)) @ slopes[:, i] for i, row in enumerate(rows)]
    np.testing.assert_allclose(values, np.concatenate(wanted))
    low, high = found.extremes(rows, values)
    np.testing.assert_allclose([low, high], [[one.min() for one in wanted], [one.max() for one in wanted]])
    assert found.spread(rows, np.array([1, 2, 3])).tolist() == [i + 1 for i, row in enumerate(rows) for _ in each[row]]
    for corners, point in zip(each, found.inside(rng), strict=True):
        edges = np.roll(corners, -1, 0) - corners
        assert (edges[:, 0] * (point - corners)[:, 1] - edges[:, 1] * (point - corners)[:, 0] > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_cut_leaves_each_part_on_its_side_and_cells_on_one_side_alone(seed):
    each, found = rings(seed=seed)
    rng = np.random.default_rng(seed)
    values = (found.points - found.centres[0]) @ rng.normal(size=2)  # the line through one cell's centre
    by_cell = np.split(values, np.cumsum(found.counts)[:-1])
    both = [i for i, one in enumerate(by_cell) if one.min() < 0 < one.max()]
    plane = np.linalg.lstsq(np.c_[found.points, np.ones(len(values))], values, rcond=None)[0]
    halves = found.cut(values)
    for side, (part, rows) in zip((1, -1), halves, strict=True):
        assert rows.tolist() == both
        assert (side * (part.points @ plane[:2] + plane[2]) >= -1e-12).all()
    assert 0 < len(both) <= 6
    np.testing.assert_allclose(halves[0][0].sizes + halves[1][0].sizes, [shoelace(each[i]) for i in both])


def test_runs_and_rounding():
    assert cells.ragged(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert cells.ragged(np.array([], int), np.array([], int)).tolist() == []
    assert cells.settle(np.array([9e-14, -9e-14, 2e-13, -2e-13]), 1.0).tolist() == [0.0, 0.0, 2e-13, -2e-13]
    assert cells.settle(np.array([9e-14, 9e-13]), np.array([0.1, 10.0])).tolist() == [9e-14, 0.0]
