"""The families of the deep frame potential paper: residual networks, the same without their skips, and dense networks.

As in the code that the paper cites: pre-activation blocks in three groups, shortcuts without parameters (average pooling, and
channels of zeros on both sides), transitions of dense networks by a 1 x 1 convolution and average pooling.
"""

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, pad, relu

from deepatoms.theory.arguments import integer, number, one_of
from deepatoms.theory.signatures import named

FAMILIES = ("resnet", "chain")
MOST = 1000  # blocks, layers or filters: a network beyond would take minutes to build
DENSE_STEM = 16  # filters of a dense network's first layer


def grouped(family: str, blocks: int, width: int, classes: int = 10) -> nn.Module:
    """Return a residual network, or the chain that is left without its skips: the same layers in the same order.

    Args:
        family: ``"resnet"`` or ``"chain"``.
        blocks: of two convolutions each, in each of the three groups.
        width: filters of the first group; each later group has twice as many.
        classes: number of scores.

    Raises:
        ValueError: an unknown family, no block, no filter, fewer than two classes.

    >>> grouped("chain", 1, 4)(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 10])
    """
    one_of("family", family, FAMILIES)
    number("blocks", integer("blocks", blocks), 1, MOST)
    number("width", integer("width", width), 1, MOST)
    outs = [width * 2**group for group in range(3) for _ in range(blocks)]
    layers = [Block(before, after, skips=family == "resnet", opens=number > 0)
              for number, (before, after) in enumerate(zip([width, *outs], outs, strict=False))]
    return _started(nn.Sequential(_convolution(3, width), Rectified(width), *layers, _head(outs[-1], classes)))


def dense(layers: int, growth: int, classes: int = 10) -> nn.Module:
    """Return a dense network: three groups of layers, each of which sees all that came before it in its group.

    Args:
        layers: in each group.
        growth: filters of each layer.
        classes: number of scores.

    Raises:
        ValueError: no layer, no filter, fewer than two classes.

    >>> dense(2, 4)(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 10])
    """
    number("layers", integer("layers", layers), 1, MOST)
    number("growth", integer("growth", growth), 1, MOST)
    parts: list[nn.Module] = [_convolution(3, DENSE_STEM)]
    channels = DENSE_STEM
    for group in range(3):
        parts += [Concatenated(channels + growth * layer, growth) for layer in range(layers)]
        channels += growth * layers
        if group < 2:
            parts += [Rectified(channels), nn.Conv2d(channels, channels, 1, bias=False), nn.AvgPool2d(2)]
    return _started(nn.Sequential(*parts, _head(channels, classes)))


class Block(nn.Module):
    """Two pre-activation convolutions, with a shortcut around them or without.

    Args:
        inputs: channels that come in.
        outputs: channels that go out; where they are more, the first convolution has stride 2.
        skips: whether the shortcut is there.
        opens: whether the block begins with batch norm and ReLU.
    """

    def __init__(self, inputs: int, outputs: int, skips: bool, opens: bool):
        super().__init__()
        self.opening = Rectified(inputs) if opens else nn.Identity()
        self.branch = nn.Sequential(_convolution(inputs, outputs, 1 + (outputs > inputs)), Rectified(outputs),
                                    _convolution(outputs, outputs))
        self.skips, self.added = skips, outputs - inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the next representation, shape (samples, channels, rows, columns)."""
        found = self.branch(self.opening(x))
        return found + self.shortcut(x) if self.skips else found

    def shortcut(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input as it is, or pooled and between channels of zeros where the block has more of them."""
        if not self.added:
            return x
        before = self.added // 2
        return pad(avg_pool2d(x, 2), (0, 0, 0, 0, before, self.added - before))


class Concatenated(nn.Module):
    """A layer of a dense network: what came in, and behind it the maps of one more convolution.

    Args:
        inputs: channels that come in.
        growth: channels that are added.
    """

    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.layer = nn.Sequential(Rectified(inputs), _convolution(inputs, growth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (samples, inputs + growth, rows, columns)."""
        return torch.cat([x, self.layer(x)], 1)


class Rectified(nn.BatchNorm2d):
    """Batch norm and ReLU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return maps of the shape that came in."""
        return relu(super().forward(x))



def _convolution(inputs, outputs, stride=1):
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)


def _head(channels, classes):
    scores = nn.Linear(channels, integer("classes", classes, 2))
    return nn.Sequential(Rectified(channels), nn.AdaptiveAvgPool2d(1), nn.Flatten(), scores)


def _started(net):
    """Draw the convolutions' weights as He et al. do, by what goes out, as the code that the paper cites."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return net


named(__name__)
