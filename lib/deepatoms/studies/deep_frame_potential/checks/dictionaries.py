"""Equations 6 and 9, Figures 1 to 3: the structure of induced dictionaries and of their Gram matrices."""

import functools
from dataclasses import replace

import numpy as np
import torch

from deepatoms.claims.checking import EXHAUSTIVE, Measurement, check, instances
from deepatoms.studies.deep_frame_potential.checks import draws
from deepatoms.studies.deep_frame_potential.checks.forward_pass import assemble, printed_pattern
from deepatoms.theory import dictionaries, frame_potential, induced
from deepatoms.theory.induced import interactions

# ---- objectives ----


@check("dfp.eq6/objectives", instances(1000, of="networks"))
def objectives(setting):
    """Compare the layered with the stacked objective at random points; control: +I below the diagonal."""
    def instance(draw):
        sizes, blocks, _ = draws.chain(draw)
        B, rows, columns = draws.stacked(blocks)
        x, w = draw.normal(size=sizes[0]), np.abs(draw.normal(size=B.shape[1]))
        parts = [x, *(w[part] for part in columns)]
        layered = sum(((block @ parts[j + 1] - parts[j]) ** 2).sum() + 0.1 * parts[j + 1].sum() for j, block in enumerate(blocks))
        plus = B.copy()
        for j in range(len(blocks) - 1):
            plus[rows[j + 1], columns[j]] *= -1
        return tuple(abs((induced.constraints(D, w, x) ** 2).sum() + 0.1 * w.sum() - layered) / layered for D in (B, plus))
    return draws.largest(setting.numpy("eq6"), 1000, instance)


@check("dfp.fig1/objectives", instances(600, of="networks"))
def families(setting):
    """Compare layerwise and stacked objectives in three families; control: the printed residual pattern."""
    def instance(draw):
        found, W = [], None
        for family in draws.PRINTED_FAMILIES:
            net, weights = draws.network(draw, family, [8] * 6, draws.UNIT)
            x, w = draw.normal(size=8), np.abs(draw.normal(size=net.atoms))
            layered = (_constraints_by_layer(net, weights, w, x) ** 2).sum()
            found.append(abs((induced.constraints(net.dictionary(weights), w, x) ** 2).sum() / layered - 1))
            if family == "residual":
                W = assemble(printed_pattern(weights), 8)
                control = abs((induced.constraints(W, w, x) ** 2).sum() / layered - 1)
        return max(found), control
    return draws.largest(setting.numpy("fig1"), 200, instance, each=len(draws.PRINTED_FAMILIES))


def _constraints_by_layer(net, weights, stacked, x):
    """What each family's equations tie together, written for weights (out, in)."""
    w = np.split(stacked, net.depth)
    if net.form == "synthesis":
        return np.concatenate([W.T @ own - before for W, own, before in zip(weights, w, [x, *w], strict=False)])
    found = [x - weights[0].T @ w[0]]
    for j in range(1, net.depth):
        seen = np.concatenate(w[:j]) if net.family == "dense" else w[j - 1]
        skip = w[j - 2] if net.family == "residual" and j % 2 == 0 else 0
        found.append(w[j] - weights[j] @ seen - skip)
    return np.concatenate(found)


def _density(build, depth):
    return (build([4] * (depth + 1)).pattern() > 0).mean()


@check("dfp.fig1/density", EXHAUSTIVE)
def density(setting):
    """Count nonzero blocks of the induced dictionaries of 4 to 7 layers."""
    found = np.array([[_density(build, depth) for build in (induced.chain, induced.residual, induced.dense)]
                      for depth in (4, 5, 6, 7)])
    return Measurement(np.diff(found).min(), np.diff(found[:, ::-1]).min())


@check("dfp.eq9/parameters", EXHAUSTIVE)
def parameters(setting):
    """Count the parameters of torch modules, residual against chain; control: convolutions on the shortcuts."""
    found = []
    for width in (4, 8, 16, 32):
        for blocks in range(1, 11):
            chain, skips, convolutions = (_cifar_module(blocks, width, shortcut) for shortcut in (None, "pooled", "convolution"))
            found.append((abs(skips - chain), abs(convolutions - chain)))
            own = induced.cifar("chain", blocks, width).parameter_count
            draws.demand("the modules are the networks of the chapter", chain == own)
    return Measurement(*np.max(found, axis=0))


def _cifar_module(blocks, width, shortcut):
    """Build the network of Section 5 in torch and return its number of parameters; run it where it has one block a group."""
    device, inputs = "cpu" if blocks == 1 else "meta", width
    layers = [torch.nn.Conv2d(3, width, 3, padding=1, bias=False, device=device)]
    for level in range(3):
        for block in range(blocks):
            layers.append(_Block((inputs, width << level), 2 if level and not block else 1, shortcut, device))
            inputs = width << level
    module = torch.nn.Sequential(*layers)
    if blocks == 1:
        output = module(torch.zeros(1, 3, 32, 32))
        draws.demand("the module maps images to its last group", output.shape == (1, 4 * width, 8, 8))
    return sum(parameter.numel() for parameter in module.parameters())


class _Block(torch.nn.Module):
    """Two convolutions, and a shortcut: none, identity or average pooling with zero channels, or a 1 x 1 convolution."""

    def __init__(self, channels, stride, shortcut, device):
        super().__init__()
        inputs, outputs = channels
        convolution = functools.partial(torch.nn.Conv2d, bias=False, device=device)
        self.main = torch.nn.Sequential(convolution(inputs, outputs, 3, stride, 1), torch.nn.ReLU(),
                                        convolution(outputs, outputs, 3, 1, 1))
        self.shortcut = None if shortcut is None else torch.nn.Identity()
        if shortcut == "pooled" and inputs != outputs:
            half = (outputs - inputs) // 2
            self.shortcut = torch.nn.Sequential(torch.nn.AvgPool2d(2), torch.nn.ConstantPad3d((0, 0, 0, 0, half, half), 0.0))
        elif shortcut == "convolution" and inputs != outputs:
            self.shortcut = convolution(inputs, outputs, 1, stride)

    def forward(self, x):
        return torch.relu(self.main(x) + (0 if self.shortcut is None else self.shortcut(x)))


# ---- Figures 2 and 3 ----

def _fill(net, near=False):
    """N(G) / K^2 counted on the explicit pattern, all blocks below the first subdiagonal removed if ``near``."""
    rows, columns = draws.layer_slices(net)
    B = np.abs(net.dictionary([np.ones(weight.shape) for weight in net.weights])) > 0
    if near:
        for i in range(len(rows)):
            for j in range(i - 1):
                B[rows[i], columns[j]] = False
    overlaps = (B.T.astype(int) @ B) > 0
    return (overlaps.sum() - net.atoms) / net.atoms**2


def _least_increase(chain_form, near=False):
    found = []
    for depth in range(3, 8):
        sizes = [8] * (depth + 1)
        fills = [_fill(induced.chain(sizes, chain_form)), _fill(induced.residual(sizes), near), _fill(induced.dense(sizes), near)]
        found.append(min(np.diff(fills)))
    return min(found)


@check("dfp.fig2abc/fill", EXHAUSTIVE)
def fill(setting):
    """Compare the filling of Gram matrices, analysis chain to residual to dense, 3 to 7 layers of width 8."""
    return Measurement(_least_increase("analysis"), _least_increase("analysis", near=True))


@check("dfp.fig2abc/fill_synthesis", EXHAUSTIVE)
def fill_synthesis(setting):
    """The same with the chain of Equation 6."""
    return Measurement(_least_increase("synthesis"), _least_increase("analysis"))


@check("dfp.fig3b/toeplitz", instances(1, of="dictionaries"))
def toeplitz(setting):
    """Permute Figure 3's dictionary to position-major order and measure how far blocks vary along diagonals."""
    D = induced.filter_dictionary(setting.numpy("fig3").normal(size=(2, 5, 3)), 8)
    permuted = D[induced.toeplitz_order(2, 8)][:, induced.toeplitz_order(5, 8)]
    return Measurement(_toeplitz_error(permuted), _toeplitz_error(D), count=1)


def _toeplitz_error(D):
    blocks = D.reshape(8, 2, 8, 5).transpose(0, 2, 1, 3)
    return np.abs(blocks[1:, 1:] - blocks[:-1, :-1]).max()


@check("dfp.fig3d/local", instances(4, of="networks"))
def local(setting):
    """Compare Gram matrix, energy and N(G) from local interactions with the explicit dictionary, two groups of layers."""
    nets = [induced.cifar("chain", 1, 2, groups=2, form=form, image=10) for form in ("analysis", "synthesis")]
    nets += [induced.cifar("resnet", 1, 2, groups=2, image=10),
             induced.densenet(layers=2, growth=2, first=2, groups=2, image=10)]
    return Measurement(*np.max([_local_errors(net, net.init(setting.seed)) for net in nets], axis=0), count=len(nets))


def _local_errors(net, weights):
    G = dictionaries.gram(net.dictionary(weights))
    energy = float(((G - torch.diag(G.diagonal())) ** 2).sum())
    positive = replace(net, blocks=tuple(replace(block, sign=1) for block in net.blocks))
    ones = dictionaries.gram(positive.dictionary([torch.ones_like(weight) for weight in weights]))
    count = int((ones != 0).sum()) - net.atoms
    mirrored = [weights[0], weights[1].flip(-1), *weights[2:]]
    return (max(float(abs(interactions.interaction_gram(net, weights) - G).max()),
                abs(float(frame_potential.energy(net, weights)) / energy - 1), abs(net.structural_count / count - 1)),
            float(abs(interactions.interaction_gram(net, mirrored) - G).max()))
