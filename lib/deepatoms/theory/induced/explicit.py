"""The induced dictionary written out, by index arithmetic: the slow and certain way, which the fast one is tested against."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sparse
import torch

from deepatoms.theory import arguments
from deepatoms.theory.induced import interactions
from deepatoms.theory.induced.architecture import Net
from deepatoms.theory.signatures import named

LARGEST_DICTIONARY = 40_000_000


def dictionary(net: Net, weights: Sequence, boundary: str) -> Any:
    """Return the dense dictionary, refusing one of more than 40 million entries (differentiable when fully connected).

    Source: the paper, Section 3.

    Raises:
        ValueError: on a dictionary of more than 40 million entries, or an unknown boundary.

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    if net.rows * net.atoms > LARGEST_DICTIONARY:
        gigabytes = net.rows * net.atoms * 8 / 2**30
        arguments.refuse("net", f"{net.family}: {net.rows:,} rows x {net.atoms:,} atoms",
                         f"makes a dictionary of {gigabytes:,.1f} GiB", "use frame_potential.energy, which never forms it")
    if net.image == 1:
        return _connected(net, weights)
    found = sparse_dictionary(net, weights, boundary).toarray()
    return torch.as_tensor(found).to(weights[0]) if isinstance(weights[0], torch.Tensor) else found


def _connected(net, weights):
    torch_in = isinstance(weights[0], torch.Tensor)
    zeros, eye = (torch.zeros, torch.eye) if torch_in else (np.zeros, np.eye)
    options = {"dtype": weights[0].dtype, **({"device": weights[0].device} if torch_in else {})}
    found = zeros((net.rows, net.atoms), **options)
    rows = np.cumsum([0, *(net.layers[j].channels for j in net.row_layers)])
    columns = np.cumsum([0, *(layer.channels for layer in net.layers[1:])])
    for block in net.blocks:
        value = eye(rows[block.row + 1] - rows[block.row], **options) if block.kind == "identity" else weights[block.weight]
        found[rows[block.row]:rows[block.row + 1], columns[block.first - 1]:columns[block.last]] = (
            block.sign * (value.T if block.transposed else value))
    return found


def sparse_dictionary(net: Net, weights: Sequence, boundary: str = "circular") -> sparse.csr_matrix:
    """Return the dictionary as a sparse float64 matrix, one block after the other.

    Source: the paper, Section 3.

    Raises:
        ValueError: on an unknown boundary.

    No example: part of the evaluation that :func:`deepatoms.theory.frame_potential.energy` shows.
    """
    arguments.one_of("boundary", boundary, ("circular", "zero"))
    grid = [[None] * len(net.clusters) for _ in net.row_layers]
    for row, layer in enumerate(net.row_layers):
        for column, cluster in enumerate(net.clusters):
            grid[row][column] = _band(net, weights, boundary, row, layer, cluster)
    return sparse.csr_matrix(sparse.bmat(grid))


def _band(net, weights, boundary, row, layer, cluster):
    height = net.layers[layer].channels * net.positions(layer)
    widths = {j: net.layers[j].channels * net.positions(j) for j in range(cluster[0], cluster[1] + 1)}
    found = []
    j = cluster[0]
    while j <= cluster[1]:
        blocks = [block for block in net.blocks if block.row == row and block.first == j]
        parts = [_block(net, weights, boundary, block) for block in blocks] or [sparse.csr_matrix((height, widths[j]))]
        found.append(sum(parts[1:], parts[0]))
        j = blocks[0].last + 1 if blocks else j + 1
    return sparse.hstack(found)


def _block(net, weights, boundary, block):
    fine = net.image >> net.layers[block.first].level
    if block.kind == "identity":
        return block.sign * sparse.identity(net.layers[block.first].channels * fine**2, format="csr")
    if block.kind == "pool":
        k, wide = net.layers[block.first].channels, net.layers[net.row_layers[block.row]].channels
        return block.sign * sparse.kron(sparse.eye(wide, k, k=-((wide - k) // 2)), _pooling(fine))
    if block.kind == "average":
        eye = np.eye(net.layers[block.first].channels)[:, :, None, None] / block.size**2
        return block.sign * _convolution(np.tile(eye, (block.size, block.size)), fine, 1, boundary)
    weight = _numpy(weights[block.weight])
    if block.kind == "separable weight":
        each, mixed = (torch.as_tensor(weights[number]) for number in block.parameters)
        weight = _numpy(interactions.separable(each, mixed, block.dilation))
    if block.kind == "pooled weight":
        return block.sign * sparse.kron(weight[:, :, 0, 0], _pooling(fine))
    # a transposed block is the forward map of its own weight, which starts on the grid of the layer before
    size = net.image >> net.layers[block.first - 1 if block.transposed else block.first].level
    forward = _convolution(weight, size, net.weights[block.weight].stride, boundary)
    return block.sign * (forward.T if block.transposed else forward)


def _numpy(weight):
    return weight.detach().cpu().numpy().astype(np.float64) if isinstance(weight, torch.Tensor) else weight.astype(np.float64)


def _convolution(weight, size, stride, boundary):
    if weight.ndim == 2:
        return sparse.csr_matrix(weight)
    reach = weight.shape[2] // 2
    shifts = [_shift(size, stride, v - reach, boundary) for v in range(weight.shape[2])]
    return sum(sparse.kron(weight[:, :, v, w], sparse.kron(shifts[v], shifts[w]))
               for v in range(weight.shape[2]) for w in range(weight.shape[3])).tocsr()


def _shift(size, stride, offset, boundary):
    rows = np.arange(size // stride)
    columns = stride * rows + offset
    inside = (columns >= 0) & (columns < size) if boundary == "zero" else np.ones(len(rows), dtype=bool)
    return sparse.csr_matrix((np.ones(inside.sum()), (rows[inside], columns[inside] % size)), shape=(len(rows), size))


def _pooling(size):
    half = sparse.kron(sparse.identity(size // 2), np.full((1, 2), 0.5))
    return sparse.kron(half, half)

named(__name__)
