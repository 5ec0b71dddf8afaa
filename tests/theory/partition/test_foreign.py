"""The numbers of regions that foreign programs find, beside ours.

``edge_subdivision.json`` holds, for a hundred networks, the widths and the count of Berzins' edge subdivision (ICML 2023,
github.com/arturs-berzins/relu_edge_subdivision, float32), run beside on 2026-11-28: network i is
``seeded(networks.relu_network, i, widths=widths)`` with its weights in float32, and the count is that of the sign vectors
around the vertices of ``skeletal_subdivision(net, bbox=(-3, 3), device="cpu")``. That program counts the output's sign as well.
"""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from deepatoms.learning import networks
from deepatoms.learning.training import seeded
from deepatoms.theory import partition

COUNTED = list(enumerate(json.loads((Path(__file__).parent / "edge_subdivision.json").read_text())))


def box(dimension, half):
    return half * torch.cat([-torch.ones(1, dimension), 2 * torch.eye(dimension) - 1]).double()


def count(model, half):
    inputs = next(model.parameters()).shape[1]
    return len((partition.slice_plane if inputs == 2 else partition.slice_space)(model, box(inputs, half)))


@pytest.mark.parametrize("part", range(10))
def test_edge_subdivision_counts_the_same(part):
    for number, (widths, regions) in COUNTED[part::10]:
        model = seeded(networks.relu_network, number, widths=widths).float().double()
        assert count(nn.Sequential(model, nn.ReLU()), 3) == regions, widths


# relucent 1.0.0, whole space, complete and verified: ``Complex(convert(model)).bfs(nworkers=1)``, then its length.
RELUCENT = (((2, 8, 1), 37), ((2, 6, 4, 1), 54), ((2, 8, 5, 1), 83), ((2, 5, 5, 5, 1), 107), ((2, 10, 5, 1), 101),
            ((3, 5, 1), 26), ((3, 4, 4, 1), 74), ((3, 6, 3, 1), 115))


@pytest.mark.parametrize(("number", "case"), list(enumerate(RELUCENT)))
def test_relucent_counts_the_same(number, case):
    widths, regions = case
    assert count(seeded(networks.relu_network, number, widths=widths), 1e6) == regions
