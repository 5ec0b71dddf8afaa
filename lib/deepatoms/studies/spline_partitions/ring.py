"""A classifier in space: points inside a thick ring against those outside."""

from functools import lru_cache

import torch

from deepatoms.learning import networks
from deepatoms.learning.training import Recipe, seeded, train_one
from deepatoms.theory import partition

BOX = torch.tensor([[-1.0, -1, -1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
WIDTHS = (3, 12, 12, 2)
POINTS, STEPS = 2000, 600


@lru_cache(maxsize=4)
def points(seed=0):
    """Return points of the cube [-1, 1]^3, float64, and whether each lies inside a ring of radius 0.6 and thickness 0.3."""
    drawn = 2 * torch.rand(POINTS, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1
    from_axis = drawn[:, :2].norm(dim=1)
    return drawn, (((from_axis - 0.6).square() + drawn[:, 2].square()).sqrt() < 0.3).long()


@lru_cache(maxsize=4)
def trained(seed=0):
    """Return a network of two layers of twelve units, trained on the ring with full-batch Adam, and its exact partition."""
    inputs, labels = points(seed)
    model = train_one(seeded(networks.relu_network, seed, widths=WIDTHS), inputs, labels, Recipe(STEPS, 0.01, POINTS))
    return model, partition.slice_space(model, BOX)
