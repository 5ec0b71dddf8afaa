"""The convolutional networks of the spline paper, after the authors' code, and their digits-sized stand-ins."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn.functional import batch_norm as normalised
from torch.nn.functional import conv2d, pad

from deepatoms.theory.arguments import integer, number, refuse
from deepatoms.theory.signatures import named

Shape = tuple[int, int, int]  # channels, rows, columns


def small_cnn(shape: Shape = (3, 32, 32), classes: int = 10, batch_norm: bool = True) -> "Chain":
    """Return the authors' small CNN: 32, 64 (3 x 3, unpadded) and 128 (1 x 1) filters, each with ReLU and 2 x 2 pooling.

    Batch norm replaces the convolutions' biases; the classifier has none, as in the authors' code.

    Args:
        shape: of an image: channels, rows, columns.
        classes: number of scores.
        batch_norm: whether each convolution is followed by batch norm.

    Raises:
        ValueError: an image too small for the layers, fewer than two classes.

    >>> sum(parameter.numel() for parameter in small_cnn().parameters())
    39456
    """
    return _stack(shape, [(32, 3, 0), "pool", (64, 3, 0), "pool", (128, 1, 0), "pool"], classes, batch_norm)


def large_cnn(shape: Shape = (3, 32, 32), classes: int = 10, batch_norm: bool = True) -> "Chain":
    """Return the authors' large CNN: eight convolutions of 96 and 192 filters, padded ``same``, ``full`` or not.

    The last convolution (1 x 1) has a bias in place of batch norm, as in the authors' code. The arguments are those of
    :func:`small_cnn`.

    Raises:
        ValueError: an image too small for the layers, fewer than two classes.

    >>> sum(parameter.numel() for parameter in large_cnn().parameters())
    1386144
    """
    layers = [(96, 3, 1), (96, 3, 2), (96, 3, 2), "pool", (192, 3, 0), (192, 3, 2), (192, 3, 0), "pool",
              (192, 3, 0), (192, 1, 0, "bias"), "pool"]
    return _stack(shape, layers, classes, batch_norm)


def digits_cnn(shape: Shape = (1, 8, 8), classes: int = 10, batch_norm: bool = True,
               widths: Sequence[int] = (16, 32, 64), xavier: bool = False) -> "Chain":
    """Return our stand-in for 8 x 8 digits, which the small CNN does not fit: 16, 32, 64 filters, 3 x 3, padding 1.

    Where Fig. 1 and 2 are at stake ask for the authors' initialisation: the chapter on templates shows that the signs of
    Fig. 2 depend on it.

    Args:
        shape: of an image: channels, rows, columns.
        classes: number of scores.
        batch_norm: whether each convolution is followed by batch norm.
        widths: filters of each convolution.
        xavier: whether weights are drawn as by the authors (Xavier, biases zero), or by torch.

    Raises:
        ValueError: an image too small for the layers, fewer than two classes.

    >>> sum(parameter.numel() for parameter in digits_cnn(batch_norm=False).parameters())
    23936
    """
    layers = [layer for width in widths for layer in ((width, 3, 1), "pool")]
    return _stack(shape, layers, classes, batch_norm, xavier)


class Chain(nn.Sequential):
    """Layers in a row, of which an ensemble's members can run side by side as the channel groups of one wide network."""

    def together(self, values: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Return the outputs of many networks at once from their stacked values.

        Args:
            values: parameters and buffers by name, each with the members first.
            x: shape (members, batch, channels, rows, columns).

        Returns:
            Tensor of shape (members, batch, classes).
        """
        h = x.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)  # twice as fast, forth and back
        for name, layer in self.named_children():
            own = {key.removeprefix(name + "."): value for key, value in values.items() if key.startswith(name + ".")}
            h = _side_by_side(layer, own, h, len(x))
        return h.transpose(0, 1)


def _side_by_side(layer, values, h, members):
    """Apply one layer, with each member's values, to the features of all members, (batch, members * channels, ...)."""
    if isinstance(layer, nn.Conv2d):
        bias, padding = values["bias"].flatten() if "bias" in values else None, layer.padding
        if layer.padding_mode != "zeros":
            h, padding = pad(h, [side for side in reversed(padding) for _ in range(2)], layer.padding_mode), 0
        return conv2d(h, values["weight"].flatten(0, 1), bias, layer.stride, padding, layer.dilation, members)
    if isinstance(layer, nn.BatchNorm2d):
        mean, variance = (values[name].view(-1) for name in ("running_mean", "running_var"))
        return normalised(h, mean, variance, values["weight"].flatten(), values["bias"].flatten(), layer.training,
                          layer.momentum, layer.eps)
    if isinstance(layer, nn.Flatten):
        return h.unflatten(1, (members, -1)).flatten(2)
    if isinstance(layer, nn.Linear):
        return torch.einsum("bmi,moi->bmo", h, values["weight"]) + values.get("bias", 0)
    return layer(h)


def _stack(shape, layers, classes, batch_norm, xavier=True):
    channels, height, width = shape
    modules = []
    for layer in layers:
        if layer == "pool":
            modules.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        else:
            wide, kernel, padding = layer[:3]
            modules += _convolution(channels, wide, kernel, padding, batch_norm and "bias" not in layer)
            channels, height, width = wide, height + 2 * padding - kernel + 1, width + 2 * padding - kernel + 1
        if min(height, width) < 1:
            refuse("shape", shape, "is too small for this network", "use digits_cnn for 8 x 8 images")
    classifier = nn.Linear(channels * height * width, integer("classes", classes, 2), bias=False)
    model = Chain(*modules, nn.Flatten(), classifier)
    return _xavier(model) if xavier else model


def _convolution(inputs, outputs, kernel, padding, batch_norm):
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=not batch_norm)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()] if batch_norm else [convolution, nn.ReLU()]


def _xavier(model):
    """Draw weights uniformly after Xavier and set biases to zero, as the authors do."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


class ResidualBlock(nn.Module):
    """Add a branch to an affine shortcut: conv-BN-ReLU-conv-BN plus identity, or 1 x 1 conv and average pooling of both.

    Attributes ``branch`` and ``shortcut`` are what :func:`deepatoms.theory.splines.block_templates` asks for.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.branch: nn.Module
        self.shortcut: nn.Module
        branch = [*_convolution(inputs, outputs, 3, 1, batch_norm=True),
                  *_convolution(outputs, outputs, 3, 1, batch_norm=True)[:-1]]
        if inputs == outputs:
            self.branch, self.shortcut = nn.Sequential(*branch), nn.Identity()
        else:  # pooling the sum is pooling both terms
            self.branch = nn.Sequential(*branch, nn.AvgPool2d(2))
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.AvgPool2d(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return shortcut plus branch, shape (batch, channels, rows, columns), with no activation after the sum."""
        return self.shortcut(x) + self.branch(x)


class ResidualNetwork(nn.Module):
    """A stem, blocks with affine shortcuts, and a head."""

    def __init__(self, stem: nn.Module, blocks: Sequence[nn.Module], head: nn.Module):
        super().__init__()
        self.stem, self.blocks, self.head = stem, nn.ModuleList(blocks), head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores, shape (batch, classes), of images, shape (batch, channels, rows, columns)."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def residual_cnn(shape: Shape = (3, 32, 32), classes: int = 10, widths: Sequence[int] = (64, 128, 256), blocks: int = 4
                 ) -> ResidualNetwork:
    """Return the residual variant (four blocks a stage and these widths: the paper's ResNet4-4, as far as its code tells).

    The first block of each later stage widens with a 1 x 1 convolution and pools the sum.

    Args:
        shape: of an image: channels, rows, columns.
        classes: number of scores.
        widths: channels of each stage.
        blocks: number of blocks of a stage.

    Raises:
        ValueError: fewer than one block a stage, or more than a thousand.

    >>> network = residual_cnn((1, 8, 8), widths=(8, 16), blocks=2)
    >>> [type(block.shortcut).__name__ for block in network.blocks]
    ['Identity', 'Identity', 'Sequential', 'Identity']
    """
    channels, height, width = shape
    stem = nn.Sequential(*_convolution(channels, widths[0], 3, 1, batch_norm=True))
    stages = zip((widths[0], *widths), widths, strict=False)
    number("blocks", integer("blocks", blocks), 1, 1000)
    chain = [ResidualBlock(before if first == 0 else wide, wide) for before, wide in stages for first in range(blocks)]
    shrink = 2 ** (len(widths) - 1)
    head = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1] * (height // shrink) * (width // shrink), classes, bias=False))
    return _xavier(ResidualNetwork(stem, chain, head))


named(__name__)
