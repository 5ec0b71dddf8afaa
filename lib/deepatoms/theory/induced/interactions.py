r"""Gram matrices by local filter interactions: what two layers' filters have in common, at every relative offset.

On one grid a block of the dictionary is a kernel :math:`a[r, n, u]` (row channel, column channel, offset :math:`u = y - x`),
and :math:`G[n, n', \delta] = \sum_{r,u} a[r,n,u]\, a'[r,n',u+\delta]` with :math:`\delta = x - x'` does not depend on the
position. Strides and pooling stay inside this picture by space-to-depth: on the next coarser grid, a fine channel is four
phase channels (``lift``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
import torch.nn.functional as nn

from deepatoms.theory import arguments
from deepatoms.theory.induced.architecture import Block, Net
from deepatoms.theory.signatures import named


@dataclass
class Kernel:
    """A translation-invariant block on the grid of a level; offsets run from ``start``; axes (rows, columns, y, x)."""

    values: torch.Tensor
    start: int
    level: int


@dataclass
class Part:
    """A block of one row: the cluster and first channel of its columns, and its kernel, or None for a signed identity."""

    cluster: int
    offset: int
    channels: int
    kernel: Kernel | None
    sign: int = 1


def lift(kernel: Kernel, rows: tuple[int, ...] = (0, 1), columns: tuple[int, ...] = (0, 1)) -> Kernel:
    """Return the kernel on the next coarser grid; ``rows`` and ``columns`` are the phases that exist on either side.

    Source: Gram matrices by local filter interactions, derived for this book (standard: correlation of filters).

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    values, start, size = kernel.values, kernel.start, kernel.values.shape[-1]
    index, low, high = _offsets(start, size, rows, columns, values.device)
    padded = nn.pad(values, (0, 1, 0, 1))
    split = padded[:, :, index[..., None, None, None], index]
    split = split.permute(0, 2, 5, 1, 3, 6, 4, 7)
    height, width = values.shape[0] * len(rows) ** 2, values.shape[1] * len(columns) ** 2
    return Kernel(split.reshape(height, width, high - low + 1, high - low + 1), low, kernel.level + 1)


@lru_cache(maxsize=256)
def _offsets(start, size, rows, columns, device):
    """The fine offset (or ``size`` where there is none) of each row phase, column phase and coarse offset low..high."""
    spread = [p - q for p in rows for q in columns]
    low, high = -((max(spread) - start) // 2), (start + size - 1 - min(spread)) // 2
    index = torch.tensor([[[2 * u + p - q - start for u in range(low, high + 1)] for q in columns] for p in rows], device=device)
    return torch.where((index >= 0) & (index < size), index, size), low, high


def natural(net: Net, block: Block, weights: Sequence) -> Kernel:
    """Return the block as a kernel on the finer of its two grids, before phases are taken.

    Source: the paper, Section 3, block by block.

    Raises:
        ValueError: on a block of no known kind.

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    layer = net.layers[net.row_layers[block.row]]
    columns = net.layers[block.first]
    level = min(layer.level, columns.level)
    if block.kind in ("identity", "average"):
        return Kernel(block.sign * _averaging(columns.channels, block.size, weights[0]), -(block.size // 2), level)
    if block.kind == "pool":
        wide, k = layer.channels, columns.channels
        values = weights[0].new_zeros(wide, k, 2, 2)
        shift = (wide - k) // 2
        values[range(shift, shift + k), range(k)] = 0.25
        return Kernel(block.sign * values, -1, level)
    if block.weight is None:
        arguments.refuse("block.kind", block.kind, "is unknown", "see the kinds of induced.Block")
    weight = weights[block.weight]
    weight = weight[:, :, None, None] if weight.ndim == 2 else weight
    if block.kind == "separable weight":
        weight = separable(weight, weights[block.weight + 1], block.dilation)
    if block.kind == "pooled weight":
        return Kernel((block.sign / 4) * weight.expand(-1, -1, 2, 2), -1, level)
    weight = weight.transpose(0, 1) if block.transposed else weight.flip(-1, -2)
    return Kernel(block.sign * weight, -(weight.shape[-1] // 2), level)


def separable(each: torch.Tensor, mixed: torch.Tensor, dilation: int = 1) -> torch.Tensor:
    r"""Return the convolution that a depthwise separable one amounts to, :math:`W[o, i, u] = m[o, i]\, d[i, u]`.

    Args:
        each: one filter a channel, :math:`d`, shape (channels, 1, size, size).
        mixed: the 1 x 1 convolution :math:`m` after it, shape (outputs, channels, 1, 1).
        dilation: distance between the taps of ``each``.

    Returns:
        Tensor of shape (outputs, channels, width, width), width = dilation (size - 1) + 1.

    Source: Liu, Simonyan and Yang (2019), whose networks take nothing between the two.

    >>> separable(torch.ones(1, 1, 3, 3), torch.full((1, 1, 1, 1), 2.0), 2)[0, 0, 0]
    tensor([2., 0., 2., 0., 2.])
    """
    size = each.shape[-1]
    place = torch.arange(dilation * (size - 1) + 1, device=each.device)
    index = torch.where(place % dilation == 0, place // dilation, size)  # where there is no tap, the zero beside the filter
    return mixed * nn.pad(each, (0, 1, 0, 1))[..., index[:, None], index].transpose(0, 1)


def _averaging(channels, size, like):
    """Average pooling as a kernel; of size 1, the identity."""
    eye = torch.eye(channels, dtype=like.dtype, device=like.device)
    return (eye / size**2)[:, :, None, None].expand(-1, -1, size, size)


def row_parts(net: Net, weights: Sequence) -> list[tuple[int, list[Part]]]:
    """Return the parts of every row block, each row's kernels on one common grid.

    Source: Gram matrices by local filter interactions, derived for this book (standard: correlation of filters).

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    clusters = {j: c for c, (first, last) in enumerate(net.clusters) for j in range(first, last + 1)}
    offsets = {j: sum(net.layers[i].channels for i in range(net.clusters[clusters[j]][0], j)) for j in clusters}
    rows = []
    for row in range(len(net.row_layers)):
        blocks = [block for block in net.blocks if block.row == row]
        own = net.layers[net.row_layers[row]].level
        level = max(own, *(net.layers[block.first].level for block in blocks))
        rows.append((level, [_part(net, block, weights, clusters, offsets, own, level) for block in blocks]))
    return rows


def _part(net, block, weights, clusters, offsets, own, level):
    channels = sum(net.layers[j].channels for j in range(block.first, block.last + 1))
    placed = Part(clusters[block.first], offsets[block.first], channels, None, block.sign)
    if block.kind == "identity":
        return placed
    kernel, column = natural(net, block, weights), net.layers[block.first].level
    while kernel.level < level:
        kernel = lift(kernel, (0, 1) if kernel.level >= own else (0,), (0, 1) if kernel.level >= column else (0,))
    return replace(placed, kernel=kernel)


def correlate(a: Kernel, b: Kernel) -> Kernel:
    """Return the interactions of the columns of two kernels that share their rows: shape (columns a, columns b, y, x).

    Source: Gram matrices by local filter interactions, derived for this book (standard: correlation of filters).

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    pad = a.values.shape[-1] - 1
    if pad == 0 and b.values.shape[-1] == 1:
        return Kernel((a.values[:, :, 0, 0].T @ b.values[:, :, 0, 0])[:, :, None, None], b.start - a.start, a.level)
    found = nn.conv2d(b.values.transpose(0, 1), a.values.transpose(0, 1), padding=pad)
    return Kernel(found.transpose(0, 1), b.start - a.start - pad, a.level)


def mirror(kernel: Kernel) -> Kernel:
    """Return the interactions with the two layers exchanged.

    Source: Gram matrices by local filter interactions, derived for this book (standard: correlation of filters).

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    values = kernel.values.transpose(0, 1).flip(-1, -2)
    return Kernel(values, -(kernel.start + kernel.values.shape[-1] - 1), kernel.level)


def _identities(a, b, level, like):
    k = a.channels * 4 ** (level[0] - level[1])
    return Kernel(_eye(k, a.sign * b.sign, like.dtype, like.device), 0, level[0])


@lru_cache(maxsize=64)
def _eye(k, sign, dtype, device):
    return sign * torch.eye(k, dtype=dtype, device=device)[:, :, None, None]


def _interact(a, b, level, like):
    if a.kernel is not None and b.kernel is not None:
        return correlate(a.kernel, b.kernel)
    if a.kernel is None and b.kernel is None:
        return _identities(a, b, level, like)
    if a.kernel is None:
        return replace(b.kernel, values=a.sign * b.kernel.values)
    return mirror(replace(a.kernel, values=b.sign * a.kernel.values))


class Interactions:
    """All Gram blocks of a net, cluster by cluster, not yet normalised, and the squared column norms."""

    def __init__(self, net: Net, weights: Sequence) -> None:
        self.net, self.like = net, weights[0]
        self.levels = [net.layers[first].level for first, _ in net.clusters]
        self.channels = [sum(net.layers[j].channels for j in range(first, last + 1)) for first, last in net.clusters]
        self.sums: dict[tuple[int, int, int], Kernel] = {}
        self.finest = list(self.levels)
        for level, parts in row_parts(net, weights):
            self._add_row(level, parts)
        self.squares = self._squared_norms()

    def _add_row(self, level, parts):
        parts = sorted(parts, key=lambda part: (part.cluster, part.offset))
        for part in parts:
            self.finest[part.cluster] = max(self.finest[part.cluster], level)
        for i, a in enumerate(parts):
            for b in parts[i:]:
                found = _interact(a, b, (level, self.levels[a.cluster]), self.like)
                self._place(found, a, b)
                if a.cluster == b.cluster and a is not b:
                    self._place(mirror(found), b, a)

    def _place(self, found, a, b):
        ends = []
        for part in (b, a):
            phases = 4 ** (found.level - self.levels[part.cluster])
            before = part.offset * phases
            ends += [before, (self.channels[part.cluster] - part.channels - part.offset) * phases]
        if any(ends):
            found = replace(found, values=nn.pad(found.values, (0, 0, 0, 0, *ends)))
        key = (a.cluster, b.cluster, found.level)
        self.sums[key] = add(self.sums[key], found) if key in self.sums else found

    def _squared_norms(self):
        squares = []
        for cluster, level in enumerate(self.levels):
            total, found = level, 0
            while total <= self.finest[cluster]:
                found = found[:, None].expand(-1, 4).reshape(-1) if torch.is_tensor(found) else found
                if (cluster, cluster, total) in self.sums:
                    kernel = self.sums[cluster, cluster, total]
                    found = found + kernel.values[:, :, -kernel.start, -kernel.start].diagonal()
                total += 1
            squares.append(found)
        return squares

    def weights_of(self, cluster: int, level: int) -> torch.Tensor:
        """Return one over the squared norm of a cluster's columns, for each channel and phase, on the grid of a level."""
        return 1 / self.squares[cluster][:, None].expand(-1, 4 ** (level - self.finest[cluster])).reshape(-1)

    def blocks(self) -> Iterator:
        """Yield (cluster, other cluster, interactions on their common grid) for every nonzero block, c <= c'."""
        for a, b in sorted({key[:2] for key in self.sums}):
            level = max(self.finest[a], self.finest[b])
            total = None
            for own in range(min(self.levels[a], self.levels[b]), level + 1):
                total = lift(total) if total is not None else None
                found = self.sums.get((a, b, own))
                if found is not None:
                    total = found if total is None else add(total, found)
            yield a, b, total


def add(a: Kernel, b: Kernel) -> Kernel:
    """Return the sum of two kernels on one grid, whatever their offsets.

    Source: Gram matrices by local filter interactions, derived for this book (standard: correlation of filters).

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    start = min(a.start, b.start)
    size = max(a.start + a.values.shape[-1], b.start + b.values.shape[-1]) - start
    return Kernel(_widen(a, start, size) + _widen(b, start, size), start, a.level)


def _widen(kernel, start, size):
    before = kernel.start - start
    after = size - before - kernel.values.shape[-1]
    return nn.pad(kernel.values, (before, after, before, after)) if before or after else kernel.values


def off_diagonal(a: int, b: int, kernel: Kernel) -> torch.Tensor:
    """Return the interactions without those of an atom with itself.

    Source: Gram matrices by local filter interactions, derived for this book (standard: correlation of filters).

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    if a != b:
        return kernel.values
    return kernel.values * _others(len(kernel.values), kernel.values.shape[-1], -kernel.start, kernel.values.dtype,
                                   kernel.values.device)


@lru_cache(maxsize=64)
def _others(atoms, size, centre, dtype, device):
    """One everywhere but between an atom and itself."""
    mask = torch.ones(atoms, atoms, size, size, dtype=dtype, device=device)
    mask[range(atoms), range(atoms), centre, centre] = 0
    return mask


def block_terms(net: Net, weights: Sequence) -> Iterator:
    """Yield (cluster, other cluster, sum of squared cosines over both triangles) for every block of the Gram matrix.

    Source: Gram matrices by local filter interactions, derived for this book (standard: correlation of filters).

    Raises:
        ValueError: on an image so small that filters meet around the edge.

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    found = Interactions(net, weights)
    for a, b, kernel in found.blocks():
        demand_room(net, kernel.values.shape[-1], kernel.level)
        squares = (off_diagonal(a, b, kernel) ** 2).sum((2, 3))
        cosines = found.weights_of(a, kernel.level) @ squares @ found.weights_of(b, kernel.level)
        yield a, b, (1 if a == b else 2) * (net.image >> kernel.level) ** 2 * cosines


def interaction_gram(net: Net, weights: Sequence) -> torch.Tensor:
    """Return the explicit Gram matrix by repeating the local interactions over all positions (for small networks).

    Source: Gram matrices by local filter interactions, derived for this book (standard: correlation of filters).

    >>> from deepatoms.theory import induced
    >>> interaction_gram(induced.chain([2, 1, 1]), [torch.ones(1, 2), torch.ones(1, 1)])[0, 1].round(decimals=3)
    tensor(-0.5770)
    """
    found, net_gram = Interactions(net, weights), weights[0].new_zeros(net.atoms, net.atoms)
    for a, b, kernel in found.blocks():
        scale = (found.weights_of(a, kernel.level)[:, None] * found.weights_of(b, kernel.level)) ** 0.5
        rows, columns = (_atoms(net, found, cluster, kernel.level) for cluster in (a, b))
        size = kernel.values.shape[-1]
        for y in range(size):
            for x in range(size):
                shifted = torch.roll(columns, (y + kernel.start, x + kernel.start), (1, 2)).flatten(1)
                value = (kernel.values[:, :, y, x] * scale)[:, :, None].expand(-1, -1, shifted.shape[1])
                net_gram[rows.flatten(1)[:, None], shifted[None]] = value
                net_gram[shifted[None], rows.flatten(1)[:, None]] = value
    return net_gram


def _atoms(net, found, cluster, level):
    """The indices of a cluster's atoms, as (channel and phase, y, x) on the grid of a level."""
    start = sum(net.layers[j].channels * net.positions(j) for j in range(1, net.clusters[cluster][0]))
    side = net.image >> found.levels[cluster]
    index = start + torch.arange(found.channels[cluster] * side**2).reshape(-1, side, side)
    for _ in range(level - found.levels[cluster]):
        channels, height, width = index.shape
        index = index.reshape(channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3)
        index = index.reshape(-1, height // 2, width // 2)
    return index


def demand_room(net: Net, size: int, level: int) -> None:
    """Refuse an image on whose grid interactions of a size meet around the edge.

    Source: standard.

    Raises:
        ValueError: on such an image.

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    grid = net.image >> level
    if net.image > 1 and grid < size:
        arguments.refuse("net.image", net.image, f"leaves a grid of {grid} positions, on which filters meet around the edge",
                         f"use at least {size << level} pixels a side")


def structural_count(net: Net) -> int:
    """Return N(G), by evaluating the interactions with every parameter and identity positive.

    Source: Gram matrices by local filter interactions, derived for this book (standard: correlation of filters).

    Raises:
        ValueError: on an image so small that filters meet around the edge.

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    positive = replace(net, blocks=tuple(replace(block, sign=1) for block in net.blocks))
    ones = [torch.ones(weight.shape) for weight in net.weights]
    count = 0
    for a, b, kernel in Interactions(positive, ones).blocks():
        demand_room(net, kernel.values.shape[-1], kernel.level)
        places = (net.image >> kernel.level) ** 2
        count += (1 if a == b else 2) * places * int((off_diagonal(a, b, kernel) != 0).sum())
    return count

named(__name__)
