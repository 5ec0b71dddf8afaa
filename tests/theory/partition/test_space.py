"""Exact partitions of space: theorems as tests."""

import itertools

import little
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, HalfspaceIntersection
from torch import nn

from deepatoms.theory import partition
from deepatoms.theory.partition.polyhedra import Polyhedra
from deepatoms.theory.piecewise import NotPiecewiseAffineError

CASES = {"dense": (lambda: little.dense(3, 9, 9, 3), little.cube(-2, 2)),
         "pooled": (little.pooled, 0.1 * little.images(1) + 0.02 * little.images(4)),
         "residual": (little.Residual, 0.3 * little.images(1, 1) + 0.08 * little.images(4, 2))}


@pytest.fixture(scope="module", params=list(CASES))
def case(request):
    build, corners = CASES[request.param]
    model = little.settled(build, corners)
    return model, partition.slice_space(model, corners)


def layer(normals, offsets):
    linear = nn.Linear(3, len(normals)).double()
    with torch.no_grad():
        linear.weight.copy_(torch.as_tensor(normals))
        linear.bias.copy_(torch.as_tensor(np.asarray(offsets)))
    return nn.Sequential(linear, nn.ReLU())


def test_the_volumes_fill_the_slice(case):
    _, found = case
    assert abs(found.volumes.sum() - 1) <= 1e-10 and (found.volumes > 0).all()


def test_every_region_has_a_code_of_its_own(case):
    model, found = case
    codes = little.all_codes(model, found.points(found.centres))
    assert len(np.unique(codes, axis=0)) == len(found) > 100
    assert np.array_equal(codes, np.concatenate([np.asarray(layer) for layer in found.codes()], 1))


def test_a_region_is_one_code_and_one_affine_map(case):
    model, found = case
    inside = found.cells.inside(np.random.default_rng(0))
    large = found.volumes > 1e-12
    there = found.points(inside)
    assert np.array_equal(little.all_codes(model, there[large]), little.all_codes(model, found.points(found.centres)[large]))
    slopes, offsets = found.affine_maps()
    with torch.no_grad():
        values = model(there).numpy()
    assert abs(values - np.einsum("rod,rd->ro", slopes, inside) - offsets).max() <= 1e-10


def test_no_random_point_has_a_code_that_is_not_there(case):
    model, found = case
    codes = {bytes(row) for row in little.all_codes(model, found.points(found.centres))}
    points = found.points(np.random.default_rng(0).uniform(size=(20_000, 3)))
    assert {bytes(row) for row in little.all_codes(model, points)} <= codes


def test_every_region_is_a_polyhedron(case):
    """Euler's formula, faces of three corners or more, all of them flat, with all other corners behind them."""
    _, found = case
    assert found.cells.is_sound.all()
    for faces in found.polyhedra()[:200]:
        corners = np.concatenate(faces)
        normals = np.array([np.cross(face[1:-1] - face[0], face[2:] - face[0]).sum(0) for face in faces])
        apart = np.einsum("fd,fnd->fn", normals, corners - np.array([face[0] for face in faces])[:, None])
        assert apart.max() <= 1e-12 * (1 + np.linalg.norm(normals, axis=1).max())
        used = np.unique(corners, axis=0)
        assert len(used) - len(corners) / 2 + len(faces) == 2


@pytest.mark.parametrize("height", [0.31, 0.64])
def test_a_plane_through_space_is_the_slice_of_the_plane(case, height):
    """The faces that a plane cuts out of the polyhedra have the areas of the polygons of that plane."""
    model, found = case
    base = found.points([[0, 0, height], [1, 0, height], [0, 1, height]])
    plane = partition.slice_plane(model, base)
    halves = found.cells.cut(found.cells.points[:, 2] - height)
    caps = halves[0][0]
    faces = np.cumsum(caps.face_counts) - 1  # the cut is the last face
    areas = np.linalg.norm(caps.face_vectors[faces], axis=1)
    assert len(areas) == len(plane)
    assert np.allclose(np.sort(areas), np.sort(plane.areas), atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_planes_in_general_position(n):
    random = np.random.default_rng(n)
    normals = random.normal(size=(n, 3))
    offsets = random.normal(size=n)
    triples = [list(each) for each in itertools.combinations(range(n), 3)]
    corners = np.linalg.solve(normals[triples], -offsets[triples][..., None]) if triples else np.ones(1)
    half = 2 * abs(corners).max()  # all crossings lie inside
    found = partition.slice_space(layer(normals, offsets), little.cube(-half, half))
    assert len(found) == partition.most_regions(n, 3)


def brute(normals, offsets):
    """Return the sign patterns of some planes that have a point in [-1, 1]^3 off all of them, and the volume of each."""
    found = {}
    for signs in itertools.product((-1.0, 1.0), repeat=len(offsets)):
        rows, right = -np.array(signs)[:, None] * normals, np.array(signs) * offsets
        lengths = np.linalg.norm(rows, axis=1)
        walls, limits = np.vstack([rows, np.eye(3), -np.eye(3)]), np.concatenate([right, np.ones(6)])
        ball = linprog([0, 0, 0, -1], np.c_[walls, [*lengths, *np.ones(6)]], limits, bounds=[(None, None)] * 4)
        if ball.x[3] > 1e-9:
            corners = HalfspaceIntersection(np.c_[walls, -limits], ball.x[:3]).intersections
            found[tuple(int(sign > 0) for sign in signs)] = ConvexHull(corners).volume / 8
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_regions_are_those_of_linear_programmes(seed):
    random = np.random.default_rng(seed)
    normals, offsets = random.normal(size=(7, 3)), random.normal(size=7) / 2
    found = partition.slice_space(layer(normals, offsets), little.cube())
    ours = dict(zip(map(tuple, np.asarray(found.codes()[0]).tolist()), found.volumes, strict=True))
    expected = brute(normals, offsets)
    assert ours.keys() == expected.keys()
    assert max(abs(ours[code] - volume) for code, volume in expected.items()) <= 1e-9


def test_layers_refine(case):
    model, found = case
    counts = [len(partition.slice_space(model, found.corners, layers)) for layers in range(3)]
    assert counts[0] == 1 and counts == sorted(counts) and counts[-1] <= len(found)


def test_the_decision_surface_is_where_the_two_highest_tie(case):
    model, found = case
    mesh = found.decision_surface()
    with torch.no_grad():
        top = model(found.points(mesh.points[mesh.triangles].mean(1))).topk(2).values
    assert len(mesh.triangles) > 10 and float((top[:, 0] - top[:, 1]).abs().max()) <= 1e-9


def test_the_decision_surface_of_two_classes_ends_only_at_the_frame():
    model = little.seeded(lambda: little.dense(3, 9, 9, 2))
    with torch.no_grad():
        model[-1].bias -= model(torch.zeros(1, 3).double())[0]  # the surface goes through the centre
    mesh = partition.slice_space(model, little.cube(-2, 2)).decision_surface()
    edges = np.sort(mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1)
    edges, counts = np.unique(edges, axis=0, return_counts=True)
    ends = mesh.points[edges[counts == 1]]
    assert counts.max() == 2 and ((abs(ends) < 1e-9) | (abs(ends - 1) < 1e-9)).all(1).any(1).all()


FACES = {
    "a third score that is never largest": lambda x: torch.stack([x, -x, 0 * x], 1),
    "a touch at a wall": lambda x: torch.stack([x.abs(), 0 * x], 1),
    "a wall, and a third": lambda x: torch.stack([x.relu(), (-x).relu(), -x.abs()], 1),
    "beside a tie everywhere": lambda x: torch.stack([x.relu(), 2 * x.relu(), 3 * x.relu()], 1)}


@pytest.mark.parametrize("name", FACES)
def test_a_face_of_the_surface_is_there_once_and_seen_from_the_higher_class(name):
    outputs = FACES[name](torch.zeros(1)).shape[1]
    for order in itertools.permutations(range(outputs)):
        mesh = partition.slice_space(lambda x: FACES[name](x[:, 0])[:, order], little.cube()).decision_surface()  # noqa: B023
        assert mesh.area == pytest.approx(1) and np.allclose(mesh.points[:, 0], 0.5)
        a, b, c = mesh.points[mesh.triangles].swapaxes(0, 1)
        turns = np.sign(np.cross(b - a, c - a)[:, 0])
        assert len(set(turns)) == 1
        sides = FACES[name](torch.tensor([-1.0, 1.0]))[:, order].argmax(1)
        if "never" in name or "wall, and" in name:
            assert turns[0] == (1 if sides[1] > sides[0] else -1)


def test_a_mesh_is_written_with_its_points_and_triangles():
    mesh = partition.slice_space(little.seeded(lambda: little.dense(3, 5, 2)), little.cube(-2, 2)).decision_surface()
    body = mesh.ply().split("end_header\n")[1].splitlines()
    assert np.array_equal(np.array([line.split() for line in body[:len(mesh.points)]], float), mesh.points)
    assert [list(map(int, line.split()))[1:] for line in body[len(mesh.points):]] == mesh.triangles.tolist()
    lines = mesh.obj().splitlines()
    assert sum(line[0] == "v" for line in lines) == len(mesh.points)
    assert max(int(each) for line in lines if line[0] == "f" for each in line.split()[1:]) == len(mesh.points)


# ---- walls that are hard to tell apart ----

def test_parallel_walls_make_layers():
    found = partition.slice_space(layer(np.tile([[1.0, 2.0, 3.0]], (4, 1)), [-1.0, 0.0, 1.0, 2.0]), little.cube())
    assert len(found) == 5


@pytest.mark.parametrize("gap", [0.0, 1e-16, 1e-14])
def test_walls_that_rounding_cannot_tell_apart_are_one(gap):
    normals = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])
    assert len(partition.slice_space(layer(normals, [0.3, 0.3 + gap, 0.6 - gap]), little.cube())) == 2


def test_walls_farther_apart_than_rounding_are_two():
    assert len(partition.slice_space(layer(np.tile([[1.0, 2.0, 3.0]], (2, 1)), [0.3, 0.3 + 1e-9]), little.cube())) == 3


def test_walls_through_corners_and_edges_cut_no_slivers():
    """The diagonal planes of a cube: x = y, y = z, z = x meet in one line, and with x = -y and so on in its centre."""
    normals = np.array([[1.0, -1, 0], [0, 1, -1], [1, 0, -1], [1, 1, 0], [0, 1, 1], [1, 0, 1]])
    found = partition.slice_space(layer(normals, np.zeros(6)), little.cube())
    assert len(found) == 24 and np.allclose(found.volumes, 1 / 24, atol=1e-14)


def test_a_network_that_is_constant_on_the_slice_has_one_region():
    found = partition.slice_space(layer(np.random.default_rng(0).normal(size=(4, 3)), np.full(4, 50.0)), little.cube())
    assert len(found) == 1 and abs(found.volumes[0] - 1) <= 1e-14
    dead = layer(np.zeros((4, 3)), np.zeros(4))
    found = partition.slice_space(dead, little.cube())
    assert len(found) == 1 and len(found.decision_surface().triangles) == 0  # classes that tie everywhere have no surface


# ---- cuts ----

@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_a_cut_keeps_the_volume(seed):
    random = np.random.default_rng(seed)
    cells = Polyhedra.cube()
    for _ in range(4):
        values = np.repeat(random.normal(size=len(cells)) / 2, cells.counts)
        values += ((cells.points - np.repeat(cells.centres, cells.counts, 0)) @ random.normal(size=3))
        parts = cells.cut(values)
        cut = parts[0][1]
        assert np.allclose(parts[0][0].sizes + parts[1][0].sizes, cells.sizes[cut], atol=1e-14)
        whole = np.setdiff1d(np.arange(len(cells)), cut)
        cells = Polyhedra.join([cells.take(whole), *(part for part, _ in parts)])
        assert cells.is_sound.all() and abs(cells.sizes.sum() - 1) <= 1e-14


def test_values_that_are_no_planes_by_rounding_still_cut_polyhedra():
    """A corner of which rounding lost the sign: two opposite corners of a face above, two below, all of them by a hair."""
    cube = Polyhedra.cube()
    values = cube.points[:, 2] - 1.0
    top = np.flatnonzero(values == 0)
    values[top] = 5e-13 * np.where(cube.points[top, 0] == cube.points[top, 1], 1, -1)
    halves = cube.cut(values)
    assert abs(sum(part.sizes.sum() for part, _ in halves) - 1) <= 1e-12 and all(part.is_sound.all() for part, _ in halves)


# ---- bad input ----

def test_bad_input_is_refused():
    model, cube = little.seeded(lambda: little.dense(3, 12, 3)), little.cube()
    with pytest.raises(ValueError, match="are not four inputs"):
        partition.slice_space(model, cube[:3])
    with pytest.raises(ValueError, match="not float64"):
        partition.slice_space(model.float(), cube.float())
    model.double()
    flat = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=torch.float64)
    for corners in (flat, torch.zeros(4, 3).double(), flat + torch.tensor([0, 0, 0, 1e-9])[:, None] * torch.eye(3)[2].double()):
        with pytest.raises(ValueError, match="lie in one plane, so they span no box"):
            partition.slice_space(model, corners)
    with pytest.raises(ValueError, match="lie in one plane"):
        partition.slice_space(little.seeded(lambda: little.dense(2, 3, 2)), torch.rand(4, 2).double())
    with pytest.raises(ValueError, match="blurs the slice"):
        partition.slice_space(model, 1e9 + cube)
    with pytest.raises(ValueError, match="exceeds the 1 nonlinearities"):
        partition.slice_space(model, cube, layers=2)
    with pytest.raises(ValueError, match=r"limit = 20 is less than the \d+ regions so far, in nonlin.* 1 of 1.*smaller slice"):
        partition.slice_space(model, cube, limit=20)
    with pytest.raises(NotPiecewiseAffineError, match="sigmoid"):
        partition.slice_space(nn.Sequential(nn.Linear(3, 2), nn.Sigmoid()).double(), cube)
    with pytest.raises(ValueError, match="no two of them can tie"):
        partition.slice_space(little.seeded(lambda: little.dense(3, 3, 1)), cube).decision_surface()
