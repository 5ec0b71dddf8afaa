"""The networks of NAS-Bench-201 built in torch, and two scores of them that rival F: SynFlow and NASWOT.

SynFlow: Tanaka et al. (2020); NASWOT: Mellor et al. (2021). Both as the benchmark's published scores are defined: SynFlow
without batch normalisation on an image of ones, NASWOT on a batch of 32 images with batch normalisation in training mode.
"""

import math

import torch
from torch import nn

from deepatoms import data
from deepatoms.learning.training import seeded
from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential.benchmarks import benchmarks, cell, connected

NAME = "nas201-rivals"
CLAIMS = ("dfp.nas201_rivals",)
CONFIGURATION = {"table": benchmarks.SOURCES["nas201"].table[:16], "every": 12, "count": 60, "data": "cifar10", "images": 32,
                 "seeds": [0, 1, 2]}
CHANNELS, COPIES, CLASSES = (16, 32, 64), 5, 10


def unit(inputs, outputs, size, stride=1, norm=True):
    """Return ReLU, convolution and batch normalisation (or none)."""
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(outputs) if norm else nn.Identity())


class Cell(nn.Module):
    """Four nodes; each sums what its edges bring."""

    def __init__(self, edges, channels, norm):
        super().__init__()
        self.ends = [(start, end) for start, end, operation in edges if operation != "none"]
        self.edges = nn.ModuleList(self._edge(operation, channels, norm) for *_, operation in edges if operation != "none")

    @staticmethod
    def _edge(operation, channels, norm):
        if operation == "skip":
            return nn.Identity()
        if operation.startswith("pool"):
            return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        return unit(channels, channels, int(operation[-1]), norm=norm)

    def forward(self, x):
        """Return the last node's value."""
        nodes = [x, *[torch.zeros_like(x)] * 3]
        for (start, end), edge in zip(self.ends, self.edges, strict=True):
            nodes[end] = nodes[end] + edge(nodes[start])
        return nodes[3]


class Reduction(nn.Module):
    """A residual block that halves the grid and doubles the channels."""

    def __init__(self, inputs, norm):
        super().__init__()
        self.main = nn.Sequential(unit(inputs, 2 * inputs, 3, 2, norm), unit(2 * inputs, 2 * inputs, 3, norm=norm))
        self.skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, 2 * inputs, 1, bias=False))

    def forward(self, x):
        """Return main path plus skip."""
        return self.main(x) + self.skip(x)


def network(edges, norm=True):
    """Return the benchmark's network of a cell: three stages of five cells, 16, 32 and 64 channels.

    >>> sum(each.numel() for each in network(cell("(0, 2, 3, 2, 3, 1)")).parameters())
    615386
    """
    def normalise(channels):
        return nn.BatchNorm2d(channels) if norm else nn.Identity()
    parts = [nn.Conv2d(3, CHANNELS[0], 3, padding=1, bias=False), normalise(CHANNELS[0])]
    for stage, channels in enumerate(CHANNELS):
        parts += [Reduction(channels // 2, norm)] if stage else []
        parts += [Cell(edges, channels, norm) for _ in range(COPIES)]
    return nn.Sequential(*parts, normalise(CHANNELS[-1]), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(CHANNELS[-1], CLASSES))


def parameters(edges):
    """Return the number of parameters of the benchmark's network, by the formula of its layers.

    >>> parameters(cell("(0, 2, 3, 2, 3, 1)"))
    615386
    """
    sizes = [int(operation[-1]) for *_, operation in edges if operation.startswith("conv")]
    cells = sum(COPIES * (size**2 * c**2 + 2 * c) for c in CHANNELS for size in sizes)
    reductions = sum(18 * c**2 + 36 * c**2 + 2 * c**2 + 8 * c for c in CHANNELS[:-1])
    return cells + reductions + 27 * CHANNELS[0] + 2 * CHANNELS[0] + 2 * CHANNELS[-1] + (CHANNELS[-1] + 1) * CLASSES


def synflow(edges, seed):
    """Return the logarithm of SynFlow: the sum over weights of their saliency when all parameters are made positive."""
    net = seeded(network, seed, edges=edges, norm=False).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.abs_()
    net(torch.ones(1, 3, 32, 32, dtype=torch.float64)).sum().backward()
    weights = [part.weight for part in net.modules() if isinstance(part, (nn.Conv2d, nn.Linear))]
    return math.log(sum(float((weight.detach() * weight.grad).abs().sum()) for weight in weights if weight.grad is not None))


@torch.no_grad()
def naswot(edges, images, seed):
    """Return NASWOT: the log-determinant of how many of the network's ReLUs treat two images alike.

    ReLUs from which no path leads to the output do not count.
    """
    net, alike = seeded(network, seed, edges=edges), torch.zeros(len(images), len(images), dtype=torch.float64)

    def count(_, given, __):
        active = (given[0] > 0).flatten(1).double()
        alike.add_(active @ active.T + (1 - active) @ (1 - active).T)
    for part in net.modules():
        if isinstance(part, nn.ReLU):
            part.register_forward_hook(count)
    net(images)
    return float(torch.linalg.slogdet(alike).logabsdet)


def leading(edges):
    """Return the edges from whose end a path leads to the output."""
    needed = {3}
    for start, end, operation in reversed(sorted(edges)):
        needed |= {start} if end in needed and operation != "none" else set()
    return [edge for edge in edges if edge[1] in needed]


def exchanged(edges):
    """Return the cell read in the other order in use: the operations of edges 1-4 and 2-3 exchanged."""
    operations = [operation for *_, operation in edges]
    operations[2], operations[3] = operations[3], operations[2]
    return [(*edge[:2], operation) for edge, operation in zip(edges, operations, strict=True)]


def sample(configuration=CONFIGURATION):
    """Return the indices of the cells that are built: every twelfth, those that lead nowhere left out in either order."""
    names = benchmarks.load("nas201").architectures
    return [index for index in range(0, len(names), configuration["every"]) if connected(cell(names[index]))
            and connected(exchanged(cell(names[index])))][:configuration["count"]]


def measure(configuration, device):
    """Return parameters, SynFlow and NASWOT (means over seeds) of a sample of networks; of one seed in the other order."""
    training = data.load(configuration["data"], "train")
    images, found = training.subset(slice(0, configuration["images"])).images, []
    mean, deviation = (getattr(images, name)((0, 2, 3), keepdim=True) for name in ("mean", "std"))
    images = (images - mean) / deviation
    for index in sample(configuration):
        edges = cell(benchmarks.load("nas201").architectures[index])
        scores = {"index": index, "parameters": sum(each.numel() for each in network(edges).parameters())}
        seeds = configuration["seeds"]
        for order, own, drawn in (("", leading(edges), seeds), (" exchanged", leading(exchanged(edges)), seeds[:1])):
            scores["synflow" + order] = _mean(synflow(own, seed) for seed in drawn)
            scores["naswot" + order] = _mean(naswot(own, images, seed) for seed in drawn)
        found.append(scores)
    return {"cells": found}


def _mean(values):
    values = list(values)
    return float(f"{sum(values) / len(values):.6g}")


measured = results.experiment(NAME, [CONFIGURATION], minutes=10, claims=CLAIMS,
                              title="SynFlow and NASWOT of 60 networks of NAS-Bench-201, built anew")(measure)
