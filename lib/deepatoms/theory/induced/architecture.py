"""Architectures as values: layers, blocks of the induced dictionary, and the fully connected families."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from deepatoms.theory import arguments
from deepatoms.theory.signatures import named

FORMS = ("synthesis", "analysis")


@dataclass(frozen=True)
class Layer:
    """A layer of units: its channels, on a grid of (image / 2**level) squared positions."""

    channels: int
    level: int = 0


@dataclass(frozen=True)
class Weight:
    """A weight tensor in torch layout, (out, in) or (out, in, height, width), and how unit magnitude normalises it."""

    shape: tuple[int, ...]
    stride: int = 1
    per_output: bool = False
    norm: float = 1.0


@dataclass(frozen=True)
class Block:
    """A block of the induced dictionary: row block, the columns of layers first..last, and what stands there.

    Kinds: ``weight``, ``identity``, ``pool`` (average pooling, then zero channels), ``pooled weight`` (1 x 1
    convolution, then average pooling), ``average`` (over ``size`` x ``size`` positions, grid and channels kept) and
    ``separable weight`` (each channel filtered for itself by ``weight``, its taps ``dilation`` positions apart, then
    mixed by the 1 x 1 convolution that follows in the list). A transposed block maps backwards (synthesis form).
    """

    row: int
    first: int
    last: int
    kind: str
    weight: int | None = None
    transposed: bool = False
    sign: int = -1
    size: int = 1
    dilation: int = 1

    @property
    def parameters(self) -> tuple[int, ...]:
        """The numbers of the weights that stand in the block: none, one, or the two of a separable weight."""
        if self.weight is None:
            return ()
        return (self.weight, self.weight + 1) if self.kind == "separable weight" else (self.weight,)


@dataclass(frozen=True)
class Net:
    """An architecture: layer 0 is the input; ``row_layers`` names the layer on whose grid each row block lives.

    ``clusters`` groups the columns of consecutive layers that concatenate to one input (dense groups).
    """

    family: str
    form: str
    layers: tuple[Layer, ...]
    row_layers: tuple[int, ...]
    weights: tuple[Weight, ...]
    blocks: tuple[Block, ...]
    clusters: tuple[tuple[int, int], ...]
    image: int = 1

    @property
    def depth(self) -> int:
        """Number of weight layers."""
        return len(self.layers) - 1

    def positions(self, layer: int) -> int:
        """Return the number of positions of a layer's grid."""
        return (self.image >> self.layers[layer].level) ** 2

    @property
    def atoms(self) -> int:
        """Number of columns K of the induced dictionary, one for each unit."""
        return sum(self.layers[j].channels * self.positions(j) for j in range(1, len(self.layers)))

    @property
    def rows(self) -> int:
        """Number of rows R of the induced dictionary."""
        return sum(self.layers[j].channels * self.positions(j) for j in self.row_layers)

    @property
    def parameter_count(self) -> int:
        """Number of weights, without classifier, biases and normalisation layers."""
        return sum(math.prod(weight.shape) for weight in self.weights)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one forward pass (weights times the positions of their output)."""
        return sum(math.prod(self.weights[number].shape) * self._outputs(block) for block in self.blocks
                   for number in block.parameters)

    def _outputs(self, block):
        """Positions at which a weight block's filters are evaluated: before the pooling, if one follows."""
        own = block.transposed or block.kind == "pooled weight"
        return self.positions(block.first if own else self.row_layers[block.row])

    @cached_property
    def structural_count(self) -> int:
        """N(G): ordered pairs of atoms that share a row where both are structurally nonzero."""
        from deepatoms.theory.induced import interactions
        return interactions.structural_count(self)

    def resized(self, image: int) -> 'Net':
        """Return the same convolutional architecture for another image size.

        >>> chain([2, 3]).resized(1).image
        1
        """
        return replace(self, image=check_image(image, max(layer.level for layer in self.layers), self.image > 1))

    def init(self, seed: int = 0, gain: float = 2.0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
        """Return random weights: normal, variance gain / fan-in (He's rule for gain 2), from a seed.

        >>> [tuple(weight.shape) for weight in chain([4, 6, 3]).init(0)]
        [(6, 4), (3, 6)]
        """
        generator = torch.Generator().manual_seed(arguments.integer("seed", seed, minimum=0))
        scale = math.sqrt(arguments.number("gain", gain, 0))
        drawn = (torch.randn(weight.shape, generator=generator, dtype=dtype, device="cpu") for weight in self.weights)
        return [each * (scale / math.sqrt(math.prod(each.shape[1:]))) for each in drawn]

    def unit(self, weights: Sequence) -> list:
        """Return the weights with unit magnitudes, the convention in which the minimum is well posed.

        First layer, and every layer of the synthesis form: each output filter has norm 1. Other layers: the weights
        that leave one input channel have norm 1, shared by the four phases of a strided block or a transition.

        >>> torch.linalg.norm(chain([4, 2]).unit(chain([4, 2]).init(0))[0], dim=1).round(decimals=9)
        tensor([1., 1.], dtype=torch.float64)
        """
        return [weight * (rule.norm / norms(weight, rule)) for weight, rule in zip(weights, self.weights, strict=True)]

    def check_filters(self, weights: Sequence) -> Sequence:
        """Return the weights if no filter that unit magnitudes would divide by is zero; refuse them otherwise."""
        for index, (weight, rule) in enumerate(zip(self.checked(weights), self.weights, strict=True)):
            if bool((norms(weight, rule) == 0).any()):
                arguments.refuse(f"weights[{index}]", weight, "holds a zero filter", "give every unit a nonzero weight")
        return weights

    def dictionary(self, weights: Sequence, boundary: str = "circular") -> Any:
        """Return the explicit induced dictionary, shape (rows, atoms), in the weights' kind (numpy or torch).

        >>> chain([2, 3, 1]).dictionary([np.ones((3, 2)), np.ones((1, 3))]) + 0
        array([[ 1.,  1.,  1.,  0.],
               [ 1.,  1.,  1.,  0.],
               [-1.,  0.,  0.,  1.],
               [ 0., -1.,  0.,  1.],
               [ 0.,  0., -1.,  1.]])
        """
        from deepatoms.theory.induced import explicit
        return explicit.dictionary(self, self.checked(weights), boundary)

    def checked(self, weights: Sequence) -> list:
        """Return the weights if their number, shapes and entries fit the architecture; refuse them otherwise."""
        if len(weights) != len(self.weights):
            arguments.refuse("weights", len(weights), "is the wrong number of tensors", f"pass {len(self.weights)}, one a layer")
        for index, (weight, rule) in enumerate(zip(weights, self.weights, strict=True)):
            arguments.real_array(f"weights[{index}]", weight.detach() if isinstance(weight, torch.Tensor) else weight)
            if tuple(weight.shape) != rule.shape:
                arguments.refuse(f"weights[{index}]", weight, "does not fit the architecture", f"pass shape {rule.shape}")
        return list(weights)

    def pattern(self) -> np.ndarray:
        """Return the block pattern of **B**: 0 for nothing, 1 for identity or pooling, 2 for parameters; shape (rows, layers).

        >>> residual([4, 4, 4, 4]).pattern()
        array([[2, 0, 0],
               [2, 1, 0],
               [1, 2, 1]])
        """
        found = np.zeros((len(self.row_layers), self.depth), dtype=int)
        for block in self.blocks:
            part = found[block.row, block.first - 1:block.last]
            np.maximum(part, 2 if "weight" in block.kind else 1, out=part)
        return found

    def gram_pattern(self) -> np.ndarray:
        """Return which blocks of the Gram matrix are structurally nonzero: boolean array (layers, layers).

        >>> chain([4, 4, 4, 4]).gram_pattern().astype(int)
        array([[1, 1, 0],
               [1, 1, 1],
               [0, 1, 1]])
        """
        filled = self.pattern() > 0
        return (filled.T.astype(int) @ filled.astype(int)) > 0


def norms(weight: Any, rule: Weight) -> Any:
    """Return the norms that unit magnitudes divide by: one for each output filter, or one for each input channel.

    Source: the paper, Section 4, unit magnitudes.

    No example: the public functions that call it show one.
    """
    axes = tuple(axis for axis in range(weight.ndim) if axis != (0 if rule.per_output else 1))
    return (weight**2).sum(axes, keepdims=True) ** 0.5


def check_image(image: int, levels: int, convolutional: bool = True) -> int:
    """Return the image size if every stride divides it and the coarsest grid holds the filters.

    Source: standard.

    Raises:
        ValueError: on a size that is too small.

    No example: the public functions that call it show one.
    """
    image = arguments.integer("image", image)
    if convolutional and (image % 2**levels or image >> levels < 3):
        arguments.refuse("image", image, "is smaller than the filters or not divisible by the strides",
                         f"pass a multiple of {2**levels} of at least {3 * 2**levels}")
    return image


def check_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """Return the widths as a tuple of positive integers, input first.

    Source: standard.

    Raises:
        ValueError: on widths that are not positive integers, or name no layer.

    No example: the public functions that call it show one.
    """
    widths = tuple(arguments.integer(f"widths[{j}]", width) for j, width in enumerate(widths))
    if len(widths) < 2:
        arguments.refuse("widths", widths, "names no layer", "pass the input's width and at least one layer's")
    return widths


def chain(widths: Sequence[int], form: str = "synthesis") -> Net:
    r"""Return the fully connected chain, in the synthesis form of :eq:`dfp-eq-6` or the analysis form of :eq:`dfp-eq-10`.

    Synthesis reconstructs each layer's input, :math:`B_j w_j - w_{j-1}`; analysis its output,
    :math:`w_j - B_j^\mathsf{T} w_{j-1}` (first layer: as in synthesis).

    Args:
        widths: input width first, then one positive integer for each layer.
        form: "synthesis" or "analysis".

    Raises:
        ValueError: on widths that are not positive integers, or name no layer.

    >>> chain([3, 4, 2]).atoms, chain([3, 4, 2]).rows, chain([3, 4, 2], form="analysis").rows
    (6, 7, 5)
    """
    widths = check_widths(widths)
    return chain_of("chain", form, [Layer(width) for width in widths],
                    [Weight((b, a)) for a, b in zip(widths, widths[1:], strict=False)])


def residual(widths: Sequence[int]) -> Net:
    r"""Return the fully connected residual network of Equations :eq:`dfp-eq-9` and :eq:`dfp-eq-10` (analysis form).

    Layer 3, 5, 7 ... adds the activations of two layers before.

    Raises:
        ValueError: when a skip joins layers of different width.

    >>> residual([8, 4, 4, 4, 4, 4]).parameter_count == chain([8, 4, 4, 4, 4, 4]).parameter_count
    True
    """
    widths = check_widths(widths)
    for j in range(3, len(widths), 2):
        if widths[j] != widths[j - 2]:
            arguments.refuse("widths", widths, f"joins layers {j - 2} and {j} of different width by a skip",
                             "give both the same width")
    return residual_of(chain(widths, "analysis"))


def dense(widths: Sequence[int]) -> Net:
    r"""Return the fully connected dense network of Equation :eq:`dfp-eq-11`: every layer sees all layers before it.

    Raises:
        ValueError: on widths that are not positive integers, or name no layer.

    >>> dense([4, 3, 2]).pattern()
    array([[2, 0],
           [2, 1]])
    """
    widths = check_widths(widths)
    layers = tuple(map(Layer, widths))
    inputs = [widths[0], *(sum(widths[1:j]) for j in range(2, len(widths)))]
    weights = tuple(Weight((width, fan_in), per_output=j == 0) for j, (width, fan_in)
                    in enumerate(zip(widths[1:], inputs, strict=True)))
    blocks = [Block(0, 1, 1, "weight", 0, transposed=True, sign=1)]
    for j in range(2, len(widths)):
        blocks += [Block(j - 1, 1, j - 1, "weight", j - 1), Block(j - 1, j, j, "identity", sign=1)]
    rows = (0, *range(2, len(widths)))
    return Net("dense", "analysis", layers, rows, weights, tuple(blocks), ((1, len(widths) - 1),))


def chain_of(family: str, form: str, layers: Sequence[Layer], weights: Sequence[Weight], image: int = 1) -> Net:
    """Return the chain of given layers and weights in either form, with the unit rule that belongs to the form.

    Source: Equations :eq:`dfp-eq-6` and :eq:`dfp-eq-10`.

    Raises:
        ValueError: on an unknown form.

    No example: the public functions that call it show one.
    """
    arguments.one_of("form", form, FORMS)
    synthesis, depth = form == "synthesis", len(layers) - 1
    weights = tuple(replace(weight, per_output=synthesis or j == 0) for j, weight in enumerate(weights))
    blocks = [Block(0, 1, 1, "weight", 0, transposed=True, sign=1)]
    for j in range(2, depth + 1):
        blocks += ([Block(j - 1, j - 1, j - 1, "identity"), Block(j - 1, j, j, "weight", j - 1, transposed=True, sign=1)]
                   if synthesis else [Block(j - 1, j - 1, j - 1, "weight", j - 1), Block(j - 1, j, j, "identity", sign=1)])
    rows = tuple(range(depth)) if synthesis else (0, *range(2, depth + 1))
    clusters = tuple((j, j) for j in range(1, depth + 1))
    return Net(family, form, tuple(layers), rows, weights, tuple(blocks), clusters, image)


def residual_of(net: Net) -> Net:
    """Return the analysis chain with the skips of Equation 9 added: identities, or pooling where the grid changes.

    No example: the public functions that call it show one.
    """
    skips = [Block(j - 1, j - 2, j - 2, "identity" if net.layers[j] == net.layers[j - 2] else "pool")
             for j in range(3, net.depth + 1, 2)]
    return replace(net, family="residual", blocks=net.blocks + tuple(skips))

named(__name__)
