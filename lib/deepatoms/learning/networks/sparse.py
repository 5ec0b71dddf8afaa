"""Dense networks of equal layers, with and without a skip connection: the five kinds that the comparison names."""

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn.functional import batch_norm, relu

from deepatoms.theory import arguments
from deepatoms.theory.signatures import named

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

    Raises:
        ValueError: an unknown kind; a sparse layer that is to keep more entries than there are.
    """

    def __init__(self, kind: str, width: int, scale: float, kept: int = KEPT, generator: torch.Generator | None = None):
        super().__init__()
        self.kind, self.kept = arguments.one_of("kind", kind, KINDS), arguments.integer("kept", kept)
        if kind == "sparse" and kept > width:
            arguments.refuse("kept", kept, f"exceeds the width {width}", "keep at most all entries")
        self.linear = nn.Linear(width, width, bias=kind != "resnet_bn")
        self.norm = nn.BatchNorm1d(width) if kind == "resnet_bn" else nn.Identity()
        with torch.no_grad():
            self.linear.weight.copy_(scale / math.sqrt(width) * torch.randn(width, width, generator=generator))
            if self.linear.bias is not None:
                self.linear.bias.zero_()

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Return the layer's output of features h, both of shape (batch, width)."""
        return self._output(h, self.norm(self.linear(h)))

    def together(self, values: Mapping[str, torch.Tensor], prefix: str, h: torch.Tensor) -> torch.Tensor:
        """Return the outputs of many layers at once from their stacked values.

        Args:
            values: the networks' parameters and buffers by name, each with the members first.
            prefix: of this layer's names.
            h: shape (members, batch, width).

        Returns:
            Tensor of the shape of h.
        """
        a = affine(values, prefix + "linear", h)
        if self.kind == "sparse":
            return keep_largest_of_many(h + relu(a), self.kept)
        return self._output(h, a if self.kind != "resnet_bn" else self._normalised(values, prefix + "norm.", a))

    def _normalised(self, values, prefix, a):
        """Normalise each member's batch: the features of all members side by side are one wide batch normalisation."""
        side_by_side = a.transpose(0, 1).flatten(1)
        mean, variance = (values[prefix + name].view(-1) for name in ("running_mean", "running_var"))
        weight, bias = (values[prefix + name].flatten() for name in ("weight", "bias"))
        done = batch_norm(side_by_side, mean, variance, weight, bias, self.training, self.norm.momentum, self.norm.eps)
        return done.unflatten(1, (len(a), -1)).transpose(0, 1)

    def _output(self, h, a):
        if self.kind == "linear":
            return a
        if self.kind == "plain":
            return relu(a)
        return keep_largest(h + relu(a), self.kept) if self.kind == "sparse" else h + relu(a)


def affine(values: Mapping[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    """Return the members' linear maps of their own inputs from stacked weights and biases.

    Args:
        values: the networks' parameters by name, each with the members first.
        name: of the map.
        x: shape (members, batch, inputs).

    Returns:
        Tensor of shape (members, batch, outputs).
    """
    weight = values[name + ".weight"].mT
    return torch.baddbmm(values[name + ".bias"][:, None], x, weight) if name + ".bias" in values else torch.bmm(x, weight)


def keep_largest(h: torch.Tensor, kept: int) -> torch.Tensor:
    """Return h with all but the ``kept`` entries largest in magnitude set to 0; its gradient is that of h.

    Args:
        h: shape (..., width).
        kept: number of entries of each vector that stay, at most the width.

    >>> keep_largest(torch.tensor([[1.0, -3.0, 2.0]]), 2)
    tensor([[ 0., -3.,  2.]])
    """
    magnitude = h.detach().abs()
    return _cut(h, magnitude, magnitude.topk(kept, dim=-1).values[..., -1:])


def keep_largest_of_many(h: torch.Tensor, kept: int) -> torch.Tensor:
    """Return the same where nothing is vectorised over: numpy sorts rows ten times as quick as torch selects from them."""
    magnitude = h.detach().abs()
    ordered = np.sort(magnitude.cpu().numpy(), axis=-1)
    return _cut(h, magnitude, torch.from_numpy(ordered[..., -kept, None]).to(h.device))


def _cut(h, magnitude, threshold):
    return h - torch.where(magnitude < threshold, h, 0.0).detach()


class SkipNetwork(nn.Module):
    """Equal layers between an optional linear map from the pixels and a linear readout (started as torch does).

    Args:
        kind: one of ``KINDS``.
        depth: number of layers.
        scale: standard deviation of the layers' entries, times the square root of the width.
        width: features of each layer.
        classes: outputs.
        pixels: inputs; when given, a trained linear map takes them to ``width`` features, else they are the features.
        seed: of all starting values.

    Raises:
        ValueError: an unknown kind; a sparse net narrower than the entries it keeps.
    """

    def __init__(self, kind: str, depth: int, scale: float, width: int = 64, classes: int = 10, pixels: int | None = None,
                 seed: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.enter = nn.Identity() if pixels is None else started(nn.Linear(pixels, width), generator)
        self.layers = nn.ModuleList([Layer(kind, width, scale, generator=generator) for _ in range(depth)])
        self.readout = started(nn.Linear(width, classes), generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return class scores, shape (batch, classes), of inputs, shape (batch, pixels or width)."""
        return self.readout(self.features(x)[-1])

    def together(self, values: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Return the class scores of many networks at once from their stacked values.

        Args:
            values: parameters and buffers by name, each with the members first.
            x: shape (members, batch, pixels or width).

        Returns:
            Tensor of shape (members, batch, classes).
        """
        h = affine(values, "enter", x) if "enter.weight" in values else x
        for number, layer in enumerate(self.layers):
            h = cast(Layer, layer).together(values, f"layers.{number}.", h)
        return affine(values, "readout", h)

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the input of the first layer and the output of every layer, each of shape (batch, width)."""
        features = [self.enter(x)]
        for layer in self.layers:
            features.append(layer(features[-1]))
        return features


def started(linear: nn.Linear, generator: torch.Generator) -> nn.Linear:
    """Give a linear map the starting values that torch.nn.Linear has by default, drawn from the generator."""
    bound = 1 / math.sqrt(linear.in_features)
    with torch.no_grad():
        for parameter in (linear.weight, linear.bias):
            parameter.uniform_(-bound, bound, generator=generator)
    return linear


named(__name__)
