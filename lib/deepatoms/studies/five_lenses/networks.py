"""The residual networks that the five theories look at: digits in, two weights a block, no biases."""

import copy
import math

import torch
from torch import nn

from deepatoms import data
from deepatoms.learning import training
from deepatoms.theory import resnests

PIXELS, CLASSES, TRAINING = 64, 10, 600
RECIPE = {"learning_rate": 2e-3, "batch_size": 50}


class Block(nn.Module):
    r"""The residual block :math:`h \mapsto h + B\,\mathrm{relu}(A h)`."""

    def __init__(self, width, units):
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(width, units, bias=False), nn.ReLU(), nn.Linear(units, width, bias=False))
        self.shortcut = nn.Identity()

    def forward(self, h):
        """Return the block's output, shape (samples, width)."""
        return self.shortcut(h) + self.branch(h)


class Residual(nn.Module):
    """A linear stem, residual blocks and a linear head: a ResNEst whose block functions are ReLU layers."""

    def __init__(self, width, units, depth):
        super().__init__()
        self.stem = nn.Linear(PIXELS, width, bias=False)
        self.blocks = nn.Sequential(*(Block(width, units) for _ in range(depth)))
        self.head = nn.Linear(width, CLASSES, bias=False)

    def forward(self, x):
        """Return class scores, shape (samples, 10), of pixels, shape (samples, 64)."""
        return self.head(self.blocks(self.stem(x)))


def start(width, units, depth, seed):
    """Return an untrained network in float64: every entry N(0, 2 / inputs), the blocks' second weights scaled by 1 / depth.

    All entries of a weight are drawn alike, so that permuting them gives a network of the same distribution.
    """
    model, generator = Residual(width, units, depth).double().eval(), torch.Generator().manual_seed(seed)
    last = {id(block.branch[2].weight) for block in model.blocks}
    with torch.no_grad():
        for weight in model.parameters():
            scale = math.sqrt(2 / weight.shape[1]) / (depth if id(weight) in last else 1)
            weight.copy_(scale * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return model


def permuted(model, seed):
    """Return a copy of a network whose weights' entries are permuted within each matrix."""
    found, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in found.parameters():
            weight.copy_(weight.flatten()[torch.randperm(weight.numel(), generator=generator)].view_as(weight))
    return found


def digits(split, seed):
    """Return a split of the digits that a seed draws: pixels, shape (samples, 64), float64, and labels."""
    found = data.load("digits", split, seed, training=TRAINING)
    return found.images.flatten(1).double(), found.labels


def trained(model, epochs, labels, seed):
    """Return a copy of a network trained on 600 digits with their own labels (``"true"``) or with permuted ones."""
    x, y = digits("train", seed)
    if labels == "shuffled":
        y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]
    return training.train_one(model, x, y, training.Recipe(epochs, **RECIPE), seed)


def resnest(model):
    """Return the same network as a ResNEst: stem and second weights are W_0 ... W_L, the ReLU layers its blocks."""
    weights = [model.stem.weight, *(block.branch[2].weight for block in model.blocks)]
    return resnests.ResNEst(weights, model.head.weight, [block.branch[:2] for block in model.blocks])
