"""One small planar network and what each of the five theories computes of it: the numbers behind the page that draws them."""

import numpy as np
import torch
from torch import nn

from deepatoms.learning.training import Recipe, seeded, train_one
from deepatoms.studies.five_lenses.networks import Block
from deepatoms.theory import induced, pursuit, resnests, splines

WIDTH, UNITS, BLOCKS, STEPS = 6, 8, 3, 300


class Net(nn.Module):
    """Two coordinates in, a linear stem, three blocks, two class scores out."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(2, WIDTH)
        self.blocks = nn.Sequential(*(Block(WIDTH, UNITS) for _ in range(BLOCKS)))
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x):
        """Return class scores, shape (samples, 2)."""
        return self.head(self.blocks(self.stem(x)))


def trained(points, labels, seed=0):
    """Return the network after full-batch training on points of the plane, shape (points, 2), in evaluation mode."""
    start = seeded(Net, seed).double()
    return train_one(start, points, labels, Recipe(STEPS, 0.01, len(points)), seed).eval()


def dictionary(model):
    """Return the induced dictionary, shape (rows, atoms): columns of learned and of fixed blocks."""
    weights = [model.stem.weight, *(part.weight for block in model.blocks for part in block.branch[::2])]
    net = induced.residual([2, *(len(weight) for weight in weights)])
    return np.asarray(net.dictionary([weight.detach().numpy() for weight in weights]))


def codes(model, x):
    """Return each block's sparse code of an input by layered thresholding, shape (blocks, units)."""
    h, found = model.stem(x[None]), []
    with torch.no_grad():
        for block in model.blocks:
            D = block.branch[0].weight.detach().T
            found += pursuit.layered_thresholding(h, [D], [torch.zeros(UNITS, dtype=h.dtype)], kind="nonnegative")
            h = block(h)
    return torch.cat(found).numpy()


def matrices(model, x):
    """Return what each block multiplies an input by: the term beside the identity, B S(h) A, shape (blocks, width, width)."""
    on = codes(model, x) > 0
    return np.array([second.weight.detach().numpy() * active @ first.weight.detach().numpy()
                     for active, (first, _, second) in zip(on, (block.branch for block in model.blocks), strict=True)])


def template(model, x):
    """Return the template of the region of an input: what the difference of both scores multiplies it by, shape (2,)."""
    A, _ = splines.affine_map(model, x[None])
    return (A[0, 1] - A[0, 0]).numpy()


def risks(model, points, labels):
    """Return the least training risk of a linear predictor on the input and after each block."""
    return [found.training for found in resnests.block_risks(model, (points, labels))]
