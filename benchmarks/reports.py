"""What a report costs: CPU seconds of a three-layer network, of residual ones of 20 and of 18 layers, and peak memory."""

import torch
from torch import nn

from benchmarks.costs import fresh, peak, timed
from deepatoms.learning import networks
from deepatoms.reports import report


def convolved(before, after, size=3, stride=1):
    """Return a convolution that keeps the grid but for its stride, and batch norm."""
    return nn.Sequential(nn.Conv2d(before, after, size, stride, size // 2, bias=False), nn.BatchNorm2d(after))


class Block(nn.Module):
    """The block of an 18-layer residual network for photographs: the shortcut is a convolution where the grid changes."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.branch = nn.Sequential(convolved(before, after, 3, stride), nn.ReLU(), convolved(after, after))
        self.shortcut = convolved(before, after, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        """Return the block's output."""
        return torch.relu(self.branch(x) + self.shortcut(x))


def resnet18(classes=1000):
    """Return the architecture of torchvision's resnet18, which is not among the packages that are locked."""
    widths = (64, 64, 128, 256, 512)
    blocks = [Block(before if first else after, after, 1 + (first and after > 64))
              for before, after in zip(widths, widths[1:], strict=False) for first in (True, False)]
    return nn.Sequential(convolved(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), *blocks, nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(512, classes))


NETWORKS = {
    "three layers, 200 inputs of 64": (lambda: networks.relu_network([64, 48, 32, 10]).float(), (200, 64)),
    "ResNet-20, 256 inputs of 3 x 32 x 32": (lambda: networks.residual_cnn((3, 32, 32), 10, (16, 32, 64), 3), (256, 3, 32, 32)),
    "ResNet-18, 8 inputs of 3 x 224 x 224": (resnet18, (8, 3, 224, 224)),
}


def main(name=None):
    """Print the table; given a network's name, return its CPU seconds and MiB."""
    if name is None:
        for each in NETWORKS:
            seconds, size = fresh("reports", each)
            print(f"{each:40} {seconds:7.1f} CPU s {size:7.0f} MiB")
        return None
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    model, x = build().eval(), torch.randn(shape)
    report(torch.nn.Linear(2, 2).eval(), torch.randn(4, 2), nulls=0)  # imports
    return timed(lambda: report(model, x, torch.arange(len(x)) % 10))[1], peak()
