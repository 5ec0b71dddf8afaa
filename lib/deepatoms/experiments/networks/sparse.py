"""Dense networks of equal layers, with and without a skip connection: the five kinds that the comparison names."""

import math

import torch
from torch import nn
from torch.nn.functional import relu

from deepatoms.theory import arguments

KINDS = ("resnet", "resnet_bn", "linear", "plain", "sparse")
KEPT = 16


class Layer(nn.Module):
    r"""One layer of width n.

    ``resnet``: :math:`h + \mathrm{relu}(W h + b)`; ``resnet_bn``: the same with batch normalisation of :math:`W h`;
    ``linear``: :math:`W h + b`; ``plain``: :math:`\mathrm{relu}(W h + b)`; ``sparse``: ``resnet`` of which the ``kept`` entries
    largest in magnitude stay (the gradient passes straight through to all entries).

    Args:
        kind: one of ``KINDS``.
        width: n.
        scale: the entries of W start as :math:`N(0, s^2 / n)`.
        kept: number of entries that ``sparse`` keeps.
        generator: torch generator of the start.
    """

    def __init__(self, kind, width, scale, kept=KEPT, generator=None):
        super().__init__()
        self.kind, self.kept = arguments.one_of("kind", kind, KINDS), arguments.integer("kept", kept)
        if kept > width:
            arguments.refuse("kept", kept, f"exceeds the width {width}", "keep at most all entries")
        self.linear = nn.Linear(width, width, bias=kind != "resnet_bn")
        self.norm = nn.BatchNorm1d(width) if kind == "resnet_bn" else nn.Identity()
        with torch.no_grad():
            self.linear.weight.copy_(scale / math.sqrt(width) * torch.randn(width, width, generator=generator))
            if self.linear.bias is not None:
                self.linear.bias.zero_()

    def forward(self, h):
        """Return the layer's output, shape (batch, width)."""
        if self.kind == "linear":
            return self.linear(h)
        branch = relu(self.norm(self.linear(h)))
        if self.kind == "plain":
            return branch
        return keep_largest(h + branch, self.kept) if self.kind == "sparse" else h + branch


def keep_largest(h, kept):
    """Return h with all but the ``kept`` entries largest in magnitude set to 0; its gradient is that of h.

    >>> keep_largest(torch.tensor([[1.0, -3.0, 2.0]]), 2)
    tensor([[ 0., -3.,  2.]])
    """
    magnitude = h.detach().abs()
    threshold = magnitude.topk(kept, dim=-1).values[..., -1:]
    return h - torch.where(magnitude < threshold, h, 0.0).detach()


class Network(nn.Module):
    """Equal layers between an optional linear map from the pixels and a linear readout (started as torch does).

    Args:
        kind: one of ``KINDS``.
        depth: number of layers.
        scale: standard deviation of the layers' entries, times the square root of the width.
        width: features of each layer.
        classes: outputs.
        pixels: inputs; when given, a trained linear map takes them to ``width`` features, else they are the features.
        seed: of all starting values.
    """

    def __init__(self, kind, depth, scale, width=64, classes=10, pixels=None, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.enter = nn.Identity() if pixels is None else started(nn.Linear(pixels, width), generator)
        self.layers = nn.ModuleList([Layer(kind, width, scale, generator=generator) for _ in range(depth)])
        self.readout = started(nn.Linear(width, classes), generator)

    def forward(self, x):
        """Return class scores, shape (batch, classes)."""
        return self.readout(self.features(x)[-1])

    def features(self, x):
        """Return the list of the input of the first layer and the output of every layer."""
        features = [self.enter(x)]
        for layer in self.layers:
            features.append(layer(features[-1]))
        return features


def started(linear, generator):
    """Give a linear map the starting values that torch.nn.Linear has by default, drawn from the generator."""
    bound = 1 / math.sqrt(linear.in_features)
    with torch.no_grad():
        for parameter in (linear.weight, linear.bias):
            parameter.uniform_(-bound, bound, generator=generator)
    return linear
