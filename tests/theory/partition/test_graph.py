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
