"""Any directed graph of convolutions, poolings and skips on one grid as an induced dictionary, repeated cell after cell."""

import re
from collections.abc import Sequence

from deepatoms.theory import arguments
from deepatoms.theory.induced.architecture import Block, Layer, Net, Weight, check_image
from deepatoms.theory.signatures import named

COLOURS = 3
FIXED = {"skip": "identity", "pool": "average"}


def graph(edges: Sequence[tuple[int, int, str]], channels: int, cells: int = 1, image: int = 32) -> Net:
    r"""Return the network of a directed graph: one 3 x 3 convolution of the image, then ``cells`` copies of the graph.

    Each node sums what its edges bring from earlier nodes; it is a layer of units, and its row block ties it to them as in
    Equation :eq:`dfp-eq-11` (analysis form):

    .. math:: \mathbf{w}_j = \phi\Big(\sum_{i \to j} \mathbf{A}_{ij} \mathbf{w}_i\Big), \qquad
        \mathbf{B}_{jj} = \mathbf{I}, \quad \mathbf{B}_{ji} = -\mathbf{A}_{ij},

    with :math:`\mathbf{A}_{ij}` a convolution (parameters), average pooling, or the identity (both fixed). Several edges
    between two nodes add. Nodes on no path from the first to the last compute nothing that is used: they are left out.

    Args:
        edges: triples (from, to, operation), nodes numbered from 0 with from < to; node 0 is the input, the last the
            output. Operations: "conv k", "separable k" (each channel filtered for itself, then mixed by a 1 x 1
            convolution), "dilated k" (separable, with every second position left out), "pool k" (average), all of stride
            1 with an odd k; "skip" and "none".
        channels: channels of every node.
        cells: copies, the output of one the input of the next.
        image: height and width of the image, of three channels.

    Returns:
        A ``Net`` of family "graph"; on one grid its F does not depend on the image size.

    Raises:
        ValueError: on an unknown operation, an edge that leads back, or an output that no path from the input reaches.

    >>> net = graph([(0, 1, "conv 3"), (1, 2, "skip"), (0, 2, "pool 3")], channels=2)
    >>> net.pattern()
    array([[2, 0, 0],
           [2, 1, 0],
           [1, 1, 1]])
    >>> net.parameter_count
    90
    """
    channels, cells = arguments.integer("channels", channels), arguments.integer("cells", cells)
    kept = used(edges)
    nodes = sorted({0} | {end for _, end, _ in kept})
    layers = [Layer(COLOURS), *[Layer(channels)] * (1 + cells * (len(nodes) - 1))]
    weights = [Weight((channels, COLOURS, 3, 3), per_output=True)]
    blocks = [Block(0, 1, 1, "weight", 0, transposed=True, sign=1)]
    blocks += [Block(j - 1, j, j, "identity", sign=1) for j in range(2, len(layers))]
    for cell in range(cells):
        for start, end, operation in kept:
            first, row = (1 + cell * (len(nodes) - 1) + nodes.index(node) for node in (start, end))
            blocks.append(_edge(first, row - 1, operation, channels, weights))
    clusters = tuple((j, j) for j in range(1, len(layers)))
    return Net("graph", "analysis", tuple(layers), (0, *range(2, len(layers))), tuple(weights), tuple(blocks), clusters,
               check_image(image, 0))


def _edge(first, row, operation, channels, weights):
    """Return the block of an edge, after adding its weight, if it has one, to the list."""
    kind, size = _parsed(operation)
    if kind in FIXED:
        return Block(row, first, first, FIXED[kind], size=size)
    number = len(weights)
    if kind == "conv":
        weights.append(Weight((channels, channels, size, size)))
        return Block(row, first, first, "weight", number)
    # Unit magnitudes divide what leaves a channel: its own filter, and its column of the mixture.
    weights += [Weight((channels, 1, size, size), per_output=True), Weight((channels, channels, 1, 1))]
    return Block(row, first, first, "separable weight", number, dilation=2 if kind == "dilated" else 1)


def _parsed(operation):
    """Return kind and size of an operation."""
    found = re.fullmatch(r"(conv|separable|dilated|pool) ([1-9][0-9]*)", operation) if isinstance(operation, str) else None
    if operation in ("skip", "none"):
        return operation, 1
    if found is None or int(found[2]) % 2 == 0:
        arguments.refuse("operation", operation, "is unknown",
                         "choose 'conv k', 'separable k', 'dilated k' or 'pool k' with an odd k, 'skip' or 'none'")
    return found[1], int(found[2])


def used(edges: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Return the edges that lie on a path from node 0 to the last node.

    Args:
        edges: triples (from, to, operation), as for :func:`graph`.

    Source: standard.

    Raises:
        ValueError: on an unknown operation, an edge that leads back, or an output that no path from the input reaches.

    >>> used([(0, 1, "skip"), (0, 2, "conv 1"), (1, 2, "none")])
    [(0, 2, 'conv 1')]
    """
    for start, end, operation in edges:
        _parsed(operation)
        if not 0 <= start < end:
            arguments.refuse("edges", (start, end, operation), "leads back", "number the nodes so that edges lead upwards")
    there = sorted(edge for edge in edges if edge[2] != "none")
    last, reached = max((end for _, end, _ in edges), default=0), {0}
    for start, end, _ in there:
        reached |= {end} if start in reached else set()
    needed = {last}
    for start, end, _ in reversed(there):
        needed |= {start} if end in needed else set()
    kept = [edge for edge in there if edge[0] in reached and edge[1] in needed]
    if last not in reached or not kept:
        arguments.refuse("edges", list(edges), "has no path from input to output", "connect node 0 with the last node")
    return kept

named(__name__)
