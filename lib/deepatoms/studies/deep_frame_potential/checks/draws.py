"""Random fully connected networks for the checks, and their blocks taken straight from the weights."""

import numpy as np

from deepatoms.claims.checking import Measurement
from deepatoms.theory import induced

PRINTED_FAMILIES = ("chain", "residual", "dense")


def largest(draw, count, instance, each=1):
    """Return the largest measured and control value over random instances; ``instance(draw)`` returns both.

    ``each`` is the number of networks (or of whatever the evidence counts) in one instance.
    """
    return _extreme(np.max, draw, count, instance, each)


def smallest(draw, count, instance, each=1):
    """Return the smallest measured and control value over random instances."""
    return _extreme(np.min, draw, count, instance, each)


def _extreme(choose, draw, count, instance, each):
    found = [instance(draw) for _ in range(count)]
    return Measurement(*choose(found, axis=0), count=each * len(found))


def demand(premise, held):
    """Raise ValueError unless a premise of what a check measures is met."""
    if not held:
        raise ValueError(f"premise not met: {premise}; what was built is not what the claim is about")


def widths(draw, layers=(2, 5), units=(3, 9)):
    """Draw a chain's widths, input first, both ranges inclusive."""
    depth = int(draw.integers(layers[0], layers[1] + 1))
    return [int(width) for width in draw.integers(units[0], units[1] + 1, depth + 1)]


def network(draw, family, sizes, norms=None, form="synthesis"):
    """Draw a network of a family: normal weights, each output filter (column of B_j) with norm 1 or in a range."""
    sizes = [sizes[0], *[sizes[1]] * (len(sizes) - 1)] if family == "residual" else sizes
    net = induced.chain(sizes, form) if family == "chain" else getattr(induced, family)(sizes)
    return net, [filters(draw, weight.shape, norms) for weight in net.weights]


def filters(draw, shape, norms=None):
    """Draw normal weights (out, in); with a range of norms, each output filter has one drawn uniformly from it."""
    weight = draw.normal(size=shape)
    if norms is None:
        return weight
    return weight / np.linalg.norm(weight, axis=1, keepdims=True) * draw.uniform(*norms, (shape[0], 1))


UNIT, SCALED = (1.0, 1.0), (0.5, 2.0)


def chain(draw, layers=(2, 5), units=(3, 9), norms=SCALED):
    """Draw a synthesis chain; return its widths, the blocks B_j (columns are atoms) and their column norms c_j."""
    sizes = widths(draw, layers, units)
    blocks = [weight.T for weight in network(draw, "chain", sizes, norms)[1]]
    return sizes, blocks, [np.linalg.norm(block, axis=0) for block in blocks]


def stacked(blocks):
    """Return the synthesis dictionary of Equation 6 from its blocks, and the slices of its rows and columns."""
    rows, columns = slices([block.shape[0] for block in blocks]), slices([block.shape[1] for block in blocks])
    found = np.zeros((rows[-1].stop, columns[-1].stop))
    for j, block in enumerate(blocks):
        found[rows[j], columns[j]] = block
        if j + 1 < len(blocks):
            found[rows[j + 1], columns[j]] = -np.eye(block.shape[1])
    return found, rows, columns


def slices(sizes):
    """Return consecutive slices of the given sizes."""
    ends = np.cumsum([0, *sizes])
    return [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]


def block_matrices(net, weights):
    """Return {(row, column): block} of a fully connected network, straight from the weights."""
    sizes, found = [layer.channels for layer in net.layers], {}
    for block in net.blocks:
        parts = slices(sizes[block.first:block.last + 1])
        for j, part in zip(range(block.first, block.last + 1), parts, strict=True):
            if block.kind == "identity":
                value = np.eye(sizes[j])
            else:
                value = weights[block.weight].T if block.transposed else weights[block.weight][:, part]
            found[block.row, j - 1] = block.sign * value
    return found


def layer_slices(net):
    """Return the slices of a fully connected network's rows and columns."""
    return (slices([net.layers[j].channels for j in net.row_layers]), slices([layer.channels for layer in net.layers[1:]]))
