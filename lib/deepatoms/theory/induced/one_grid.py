r"""The energy of a network on one grid at a stroke: its dictionary is one kernel, its Gram matrix block diagonal in frequency.

Rows and columns of the kernel are the channels of all row blocks and all layers; an edge's parameters are scattered into
it. (:mod:`~deepatoms.theory.induced.interactions` goes block by block, and through strides; here zero blocks are
multiplied too, which for small cells costs less than one call for each block.)
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch

from deepatoms.theory.induced import interactions
from deepatoms.theory.induced.architecture import Net
from deepatoms.theory.signatures import named


def kernel(net: Net, weights: Sequence) -> torch.Tensor:
    """Return the whole dictionary as one kernel, shape (row channels, column channels, size, size).

    Source: Equation :eq:`dfp-eq-11`, one kernel for each block.

    >>> from deepatoms.theory import induced
    >>> net = induced.graph([(0, 1, "conv 3")], channels=4)
    >>> kernel(net, net.init(0)).shape
    torch.Size([7, 8, 3, 3])
    """
    base, targets, sources, signs = _layout(net, weights[0].dtype, weights[0].device)
    entries = torch.cat([weight.reshape(-1) for weight in weights])
    return base.reshape(-1).index_add(0, targets, signs * entries[sources]).reshape(base.shape)


@lru_cache(maxsize=256)
def _layout(net, dtype, device):
    """The fixed entries of the kernel, and for each parameter where it goes, which it is, and its sign."""
    size = max([block.size for block in net.blocks] + [weight.shape[-1] for weight in net.weights])
    rows, columns = _starts(net)
    base = torch.zeros(rows[-1], columns[-1], size, size, dtype=torch.float64)
    places, found = torch.arange(base.numel()).reshape(base.shape), []
    numbered = _numbered(net)
    for block in net.blocks:
        part = (slice(rows[block.row], rows[block.row + 1]), slice(columns[block.first - 1], columns[block.last]))
        values = interactions.natural(net, block, numbered).values
        margin = (size - values.shape[-1]) // 2
        part += (slice(margin, size - margin),) * 2
        if block.kind == "weight":
            found.append((places[part].reshape(-1), values.abs().long().reshape(-1) - 1, block.sign))
        else:
            base[part] += values
    signs = torch.cat([torch.full((len(target),), sign, dtype=dtype) for target, _, sign in found])
    targets, sources = (torch.cat([each[which] for each in found]) for which in (0, 1))
    return base.to(device, dtype), targets.to(device), sources.to(device), signs.to(device)


def _starts(net):
    """The first channel of every row block and of every layer's columns, and their ends."""
    rows, columns = [0], [0]
    for layer in net.row_layers:
        rows.append(rows[-1] + net.layers[layer].channels)
    for layer in net.layers[1:]:
        columns.append(columns[-1] + layer.channels)
    return rows, columns


def _numbered(net):
    """Weights whose entries are their numbers, from 1: where they end up tells where every parameter goes."""
    found, start = [], 1
    for weight in net.weights:
        count = torch.Size(weight.shape).numel()
        found.append(torch.arange(start, start + count, dtype=torch.float64).reshape(weight.shape))
        start += count
    return found


@lru_cache(maxsize=16)
def _waves(size, dtype, device):
    """Cosines and sines of the smallest grid on which filters of a size do not meet, and the weight of each frequency.

    Of two opposite frequencies, whose matrices are conjugate, one is kept and counts twice.
    """
    side = 2 * size - 1
    ahead = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    opposite = (-ahead % side) @ torch.tensor([side, 1])
    kept = torch.arange(side**2) <= opposite
    weights = torch.where(torch.arange(side**2) == opposite, 1.0, 2.0)[kept].double() / side**2
    offsets = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    angles = 2 * math.pi / side * (ahead[kept] @ offsets.T).double()
    waves = torch.cat([torch.cos(angles), torch.sin(angles)]).T
    return waves.to(device, dtype), weights.to(device, dtype)


def energy_on_one_grid(net: Net, weights: Sequence) -> torch.Tensor:
    r"""Return the energy of Equation :eq:`dfp-eq-12`, frequency by frequency: a circular Gram matrix is block diagonal there.

    .. math:: \lVert G \rVert_F^2 = p^2 \cdot \frac{1}{q^2} \sum_f \lVert \hat{B}_f^* \hat{B}_f \rVert_F^2

    on :math:`p^2` positions, with the normalised dictionary's matrices :math:`\hat{B}_f` at the :math:`q^2` frequencies of
    the smallest grid that holds all interactions, :math:`q = 2 \cdot \text{size} - 1`.

    Raises:
        ValueError: on an image so small that filters meet around the edge.

    >>> from deepatoms.theory import induced
    >>> net = induced.graph([(0, 1, "skip")], channels=1)
    >>> centre = torch.nn.functional.pad(torch.ones(1, 3, 1, 1), (1, 1, 1, 1))
    >>> energy_on_one_grid(net, [centre]).round(decimals=3)  # two atoms a position, at cosine -1/2
    tensor(512.)
    """
    whole = kernel(net, weights)
    size = whole.shape[-1]
    interactions.demand_room(net, 2 * size - 1, 0)
    whole = whole / (whole**2).sum((0, 2, 3), keepdim=True).sqrt()
    waves, shares = _waves(size, whole.dtype, whole.device)
    real, imaginary = (whole.flatten(2) @ waves).permute(2, 0, 1).chunk(2)
    left, right = torch.cat([real, imaginary], 1), torch.cat([imaginary, -real], 1)
    squares = sum(((left.transpose(1, 2) @ other) ** 2).sum((1, 2)) for other in (left, right))
    return net.positions(1) * (squares @ shares - whole.shape[1])

named(__name__)
