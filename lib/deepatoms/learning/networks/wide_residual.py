"""The ResNEst authors' convolutional networks: pre-activation ResNets and wide ResNets in four variants."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d, relu

from deepatoms.theory.arguments import integer, one_of, refuse
from deepatoms.theory.signatures import named

VARIANTS = ("standard", "resnest", "bn-resnest", "a-resnest")
# Widths and blocks of the stages. The wide nets start at their first stage's width, not at 16.
SIZES = {"wrn-16-8": ((128, 256, 512), (2, 2, 2)), "wrn-40-4": ((64, 128, 256), (6, 6, 6)),
         "resnet-110": ((16, 32, 64), (18, 18, 18)), "resnet-20": ((16, 32, 64), (3, 3, 3))}


def authors_network(name: str, variant: str, classes: int = 10) -> "WideResidual":
    """Return one of the authors' CIFAR networks.

    Args:
        name: ``"wrn-16-8"``, ``"wrn-40-4"``, ``"resnet-110"`` or ``"resnet-20"``.
        variant: ``"standard"``, ``"resnest"``, ``"bn-resnest"`` or ``"a-resnest"``.
        classes: number of classes.

    Raises:
        ValueError: an unknown name or variant, fewer than two classes.

    >>> sum(parameter.numel() for parameter in authors_network("resnet-20", "a-resnest").parameters())
    238130
    """
    widths, blocks = SIZES[one_of("name", name, tuple(SIZES))]
    return WideResidual(widths, blocks, variant, classes)


REGISTER = 16  # numbers of single precision in the widest register of a processor


class Strided(nn.Conv2d):
    """A 1 x 1 convolution with a stride, whose derivative by the weights is right under AVX2 too.

    With AVX2, channels last and fewer channels than a register holds, oneDNN's writes beyond its memory: wrong numbers, other
    ones each time, or a crash (its issue 6035). Such a convolution runs on every stride-th row and column, which is the same.

    >>> Strided(4, 2, 1, 2, bias=False)(torch.ones(1, 4, 6, 6)).shape
    torch.Size([1, 2, 3, 3])
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the result, shape (samples, channels, rows, columns)."""
        step = self.stride[0]
        return super().forward(x) if self.in_channels >= REGISTER else conv2d(x[..., ::step, ::step], self.weight)


class Block(nn.Module):
    """A pre-activation basic block: batch norm, ReLU, convolution, twice; a 1 x 1 convolution where the size changes.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: of the first convolution.
        expands: whether the second convolution is there; the last block of an A-ResNEst has none.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, expands: bool = True):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False) if expands else None
        changes = expands and (stride != 1 or inputs != outputs)
        self.shortcut = Strided(inputs, outputs, 1, stride, bias=False) if changes else None

    def forward(self, x: torch.Tensor) -> torch.Tensor | None:
        """Return the next representation, shape (samples, channels, rows, columns)."""
        return self.step(x)[1]

    def step(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the feature v (after the second ReLU) and the next representation (None without second convolution).

        All three have the shape (samples, channels, rows, columns).
        """
        opened = relu(self.norm1(x))
        feature = relu(self.norm2(self.conv1(opened)))
        if self.conv2 is None:
            return feature, None
        return feature, (x if self.shortcut is None else self.shortcut(opened)) + self.conv2(feature)


class WideResidual(nn.Module):
    """A residual network of several stages in one of four variants, which differ at their ends.

    Standard: batch norm, ReLU, average, linear. BN-ResNEst: no ReLU. ResNEst: neither batch norm nor ReLU. A-ResNEst: the sum
    of one linear map of each block's averaged feature and one of the averaged input; no last expansion.

    Args:
        widths: channels of each stage.
        blocks: blocks of each stage.
        variant: one of ``VARIANTS``.
        classes: number of classes.
        channels: of the images.

    Raises:
        ValueError: not as many widths as block counts, an unknown variant, fewer than two classes.
    """

    def __init__(self, widths: Sequence[int], blocks: Sequence[int], variant: str = "standard", classes: int = 10,
                 channels: int = 3):
        super().__init__()
        if len(widths) != len(blocks):
            refuse("widths", widths, f"are not one for each of the {len(blocks)} stages", "pass as many widths as block counts")
        self.variant, classes = one_of("variant", variant, VARIANTS), integer("classes", classes, 2)
        self.expand = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        outs = [width for width, count in zip(widths, blocks, strict=True) for _ in range(count)]
        ins, augmented = [widths[0], *outs[:-1]], variant == "a-resnest"
        firsts = {sum(blocks[:stage]) for stage in range(1, len(blocks))}
        self.blocks = nn.ModuleList([
            Block(inputs, outputs, 2 if i in firsts else 1, not (augmented and i == len(outs) - 1))
            for i, (inputs, outputs) in enumerate(zip(ins, outs, strict=True))])
        self.norm = nn.BatchNorm2d(outs[-1]) if variant in ("standard", "bn-resnest") else None
        self.heads = nn.ModuleList([nn.Linear(size, classes) for size in ([channels, *outs] if augmented else outs[-1:])])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores, shape (samples, classes), of images, shape (samples, channels, rows, columns)."""
        if self.variant == "a-resnest":
            return sum(head(v) for head, v in zip(self.heads, self.features(x), strict=True))
        state = self.expand(x)
        for block in self.blocks:
            state = block(state)
        if self.norm is not None:
            state = self.norm(state)
        return self.heads[0](_average(relu(state) if self.variant == "standard" else state))

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the averaged features v_0 (the input), v_1, ..., v_L, each of shape (samples, channels)."""
        features, state = [_average(x)], self.expand(x)
        for block in self.blocks:
            feature, state = cast(Block, block).step(state)
            features.append(_average(feature))
        return features


def _average(x):
    return torch.flatten(adaptive_avg_pool2d(x, 1), 1)


named(__name__)
