"""The graph of a planar partition, against counts by hand and Euler's formula."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from deepatoms.learning import networks
from deepatoms.learning.training import seeded
from deepatoms.theory import partition
from deepatoms.theory.partition import graph

BOX = torch.tensor([[-3.0, -3.0], [3.0, -3.0], [-3.0, 3.0]], dtype=torch.float64)


def net(seed, *widths):
    return seeded(networks.relu_network, seed, widths=widths)


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_differ_in_one_unit_that_both_see(seed):
    """One layer: two regions share a side exactly if their codes differ in one unit."""
    found = partition.slice_plane(net(seed, 2, 7, 2), BOX)
    bits = np.asarray(found.codes()[0])
    apart = (bits[:, None] != bits).sum(2)
    assert {tuple(pair) for pair in graph.region_graph(found)} == {tuple(pair) for pair in np.argwhere(np.triu(apart == 1))}


@pytest.mark.parametrize("widths", [(2, 9, 2), (2, 8, 8, 8, 3)])
def test_the_count_is_eulers(widths):
    """Interior walls cross in vertices of four sides: 2 E = 4 V + b, F = V + b / 2 + 1 with b walls' ends on the frame."""
    found = partition.slice_plane(net(1, *widths), BOX)
    corners = np.unique(np.concatenate(found.polygons()).round(9), axis=0)
    frame = ((corners == 0) | (corners == 1)).any(1)
    ends = int(frame.sum()) - 4
    edges = (4 * int((~frame).sum()) + ends) / 2
    assert len(graph.region_graph(found)) == edges
    assert len(found) == (~frame).sum() + ends / 2 + 1
    assert graph.average_degree(found) == 2 * edges / len(found) < 4


def test_a_side_without_its_neighbour_is_refused():
    found = partition.slice_plane(nn.ReLU(), BOX)
    alone = dataclasses.replace(found, vertices=found.vertices[1:], counts=found.counts[1:])
    with pytest.raises(ValueError, match="not between two regions"):
        graph.region_graph(alone)


# ---- in space ----

CUBE = torch.tensor([[-2.0, -2, -2], [2, -2, -2], [-2, 2, -2], [-2, -2, 2]], dtype=torch.float64)


@pytest.mark.parametrize("seed", range(2))
def test_neighbours_in_space_differ_in_one_unit(seed):
    found = partition.slice_space(net(seed, 3, 7, 2), CUBE)
    bits = np.asarray(found.codes()[0])
    apart = (bits[:, None] != bits).sum(2)
    assert {tuple(pair) for pair in graph.region_graph(found)} == {tuple(pair) for pair in np.argwhere(np.triu(apart == 1))}


def test_neighbours_in_space_are_the_faces_counted_twice():
    """Each inner face belongs to two regions, each face on the frame to one."""
    found = partition.slice_space(net(2, 3, 7, 7, 2), CUBE)
    framed = sum(((face == 0) | (face == 1)).all(0).any() for region in found.polyhedra() for face in region)
    faces = sum(map(len, found.polyhedra()))
    assert len(graph.region_graph(found)) == (faces - framed) / 2


def test_the_inner_regions_are_those_without_a_corner_on_the_frame():
    for found in (partition.slice_plane(net(1, 2, 12, 12, 2), BOX), partition.slice_space(net(1, 3, 9, 9, 2), CUBE)):
        owner = np.repeat(np.arange(len(found)), found.cells.counts)
        touching = np.unique(owner[((found.cells.points == 0) | (found.cells.points == 1)).any(1)])
        inner = graph.inner_regions(found)
        assert 0 < inner.sum() < len(found) and not inner[touching].all()
        assert set(np.flatnonzero(~inner)) <= set(touching)


def test_walls_between_regions_of_one_layer_are_the_units_that_differ():
    """Hyperplanes: the shortest way between two regions crosses each plane that parts them once."""
    found = partition.slice_space(net(0, 3, 8, 2), CUBE)
    bits = np.asarray(found.codes()[0])
    assert np.array_equal(graph.walls_between(found, 5), (bits != bits[5]).sum(1))
    with pytest.raises(ValueError, match="is not one of the"):
        graph.walls_between(found, len(found))


class Half(nn.Module):
    """The output sees one unit of two."""

    def forward(self, x):
        return torch.relu(x[:, :2])[:, :1]


@pytest.mark.parametrize(("slicing", "box"), [(partition.slice_plane, BOX), (partition.slice_space, CUBE)])
def test_a_wall_that_no_output_sees_parts_codes_and_not_pieces(slicing, box):
    found = slicing(Half(), box)
    pieces = graph.affine_pieces(found)
    assert len(found) == 4 and pieces.max() + 1 == 2
    assert np.array_equal(np.unique(pieces, return_counts=True)[1], [2, 2])


def test_pieces_are_never_more_than_regions_and_have_one_map_each():
    found = partition.slice_plane(net(0, 2, 16, 3, 2), BOX)
    pieces, (slopes, _) = graph.affine_pieces(found), found.affine_maps()
    assert 1 < pieces.max() + 1 < len(found)
    for piece in range(pieces.max() + 1):
        assert np.ptp(slopes[pieces == piece], axis=0).max() <= 1e-8


def test_a_face_without_its_neighbour_is_refused():
    found = partition.slice_space(nn.ReLU(), CUBE)
    with pytest.raises(ValueError, match="not between two regions"):
        graph.region_graph(dataclasses.replace(found, polyhedral=found.cells.take(np.arange(1, 8))))
