"""The CIFAR families of the paper's Section 5, and the one-dimensional convolutional dictionary of its Figure 3."""

import numpy as np

from deepatoms.theory import arguments
from deepatoms.theory.induced.architecture import Block, Layer, Net, Weight, chain_of, check_image, residual_of
from deepatoms.theory.signatures import named

FAMILIES = ("resnet", "chain")
DEEPEST = 1000


def cifar(family: str, blocks: int, width: int, *, groups: int = 3, form: str = "analysis", image: int = 32) -> Net:
    r"""Return a chain or a residual network of the paper's Section 5, for square images of three channels.

    "resnet" is one convolution and three groups of ``blocks`` residual blocks of two 3 x 3 convolutions; the first
    convolution of groups 2 and 3 has stride 2 and doubles the filters, its skip is average pooling and zero channels.
    "chain" is the same network without the skips.

    Args:
        family: "resnet" or "chain"; the dense networks are :func:`densenet`.
        blocks: residual blocks in each group.
        width: filters of the first convolution and group.
        groups: groups of equal resolution, three in the paper.
        form: "analysis", or for a chain also "synthesis".
        image: height and width of the image, divisible by 4 (by 2**(groups - 1)).

    Raises:
        ValueError: on an unknown family, sizes that are no positive integers, or an image that does not fit.

    >>> cifar("resnet", blocks=5, width=16).atoms
    303104
    """
    arguments.one_of("family", family, FAMILIES)
    _demand_fewer("blocks", blocks)
    image = check_image(image, arguments.integer("groups", groups) - 1)
    net = _groups(arguments.integer("blocks", blocks), arguments.integer("width", width), groups, form, image)
    if family == "chain":
        return net
    if form != "analysis":
        arguments.refuse("form", form, "has no skips", "write a residual network in the analysis form")
    return residual_of(net)


def densenet(layers: int, growth: int, *, first: int = 16, groups: int = 3, image: int = 32) -> Net:
    r"""Return a dense network of the paper's Section 5, for square images of three channels.

    One convolution of ``first`` filters and three groups of ``layers`` convolutions of ``growth`` filters, joined by
    1 x 1 convolutions and average pooling.

    Args:
        layers: layers in each group.
        growth: filters of each layer.
        first: filters of the first convolution.
        groups: groups of equal resolution, three in the paper.
        image: height and width of the image, divisible by 4 (by 2**(groups - 1)).

    Raises:
        ValueError: on sizes that are no positive integers, or an image that does not fit.

    >>> densenet(layers=2, growth=2).parameter_count
    3676
    """
    _demand_fewer("layers", layers)
    image = check_image(image, arguments.integer("groups", groups) - 1)
    return _densenet(arguments.integer("layers", layers), arguments.integer("growth", growth),
                     arguments.integer("first", first), groups, image)


def _demand_fewer(name, value):
    if isinstance(value, int) and value > DEEPEST:
        arguments.refuse(name, value, f"is more than {DEEPEST:,} a group", "nobody could compute it; pass fewer")


def _groups(blocks, width, groups, form, image):
    layers, weights = [Layer(3), Layer(width)], [Weight((width, 3, 3, 3))]
    for level in range(groups):
        for convolution in range(2 * blocks):
            filters = width << level
            weights.append(Weight((filters, layers[-1].channels, 3, 3), stride=2 if level and not convolution else 1))
            layers.append(Layer(filters, level))
    return chain_of("chain", form, layers, weights, image)


def _densenet(per_group, growth, first, groups, image):
    layers, weights = [Layer(3), Layer(first)], [Weight((first, 3, 3, 3), per_output=True)]
    blocks, clusters = [Block(0, 1, 1, "weight", 0, transposed=True, sign=1)], []
    for level in range(groups):
        start, channels = len(layers) - 1, layers[-1].channels
        for _ in range(per_group):
            _append(layers, weights, blocks, start, Layer(growth, level), Weight((growth, channels, 3, 3)), "weight")
            channels += growth
        clusters.append((start, len(layers) - 1))
        if level < groups - 1:
            _append(layers, weights, blocks, start, Layer(channels, level + 1), Weight((channels, channels, 1, 1), norm=2.0),
                    "pooled weight")
    rows = (0, *range(2, len(layers)))
    return Net("densenet", "analysis", tuple(layers), rows, tuple(weights), tuple(blocks), tuple(clusters), image)


def _append(layers, weights, blocks, start, layer, weight, kind):
    blocks += [Block(len(weights), start, len(layers) - 1, kind, len(weights)),
               Block(len(weights), len(layers), len(layers), "identity", sign=1)]
    weights.append(weight)
    layers.append(layer)


def filter_dictionary(filters: np.ndarray, positions: int, boundary: str = "circular") -> np.ndarray:
    r"""Return the one-dimensional convolutional dictionary of Figure 3: filters repeated over the positions.

    Args:
        filters: array of shape (channels, atoms, size): one filter for each input channel and atom.
        positions: number of positions, at least the filter size.
        boundary: "circular" or "zero".

    Returns:
        Matrix of shape (channels x positions, atoms x positions), channel by channel.

    Raises:
        ValueError: on a zero atom, an entry that is not finite, or a shape that does not fit.

    >>> filter_dictionary(np.ones((1, 1, 2)), 3)
    array([[1., 0., 1.],
           [1., 1., 0.],
           [0., 1., 1.]])
    """
    arguments.real_array("filters", filters, rank=3)
    channels, atoms, size = filters.shape
    arguments.integer("positions", positions, minimum=size)
    arguments.one_of("boundary", boundary, ("circular", "zero"))
    found = np.zeros((channels, positions, atoms, positions))
    for offset in range(size):
        for position in range(positions if boundary == "circular" else positions - offset):
            found[:, (position + offset) % positions, :, position] = filters[:, :, offset]
    return found.reshape(channels * positions, atoms * positions)


def toeplitz_order(channels: int, positions: int) -> np.ndarray:
    """Return the permutation from channel-major to position-major order, which shows the block-Toeplitz structure.

    Raises:
        ValueError: if a number is below 1.

    Source: standard.

    >>> toeplitz_order(2, 3)
    array([0, 3, 1, 4, 2, 5])
    """
    arguments.integer("channels", channels)
    arguments.integer("positions", positions)
    return np.arange(channels * positions).reshape(channels, positions).T.ravel()

named(__name__)
