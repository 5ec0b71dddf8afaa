"""ResNet-18 in plain torch, and the pieces of it along a line between two images: ``python -m benchmarks partition``."""

import numpy as np
import torch
from torch import nn

from deepatoms.theory import partition


class BasicBlock(nn.Module):
    """Two convolutions of 3 x 3 with batch norm, and a skip that fits (He et al., 2016)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu, self.downsample = nn.ReLU(inplace=True), None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        """Add the skip before the last rectifier."""
        skip = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + skip)


def resnet18(width=64, classes=10, seed=0):
    """Return an untrained ResNet-18 in evaluation mode and float64; its batch norms have statistics that are not trivial."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers, inputs = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
                          nn.MaxPool2d(3, 2, 1)], width
        for stage in range(4):
            outputs = width << stage
            layers += [BasicBlock(inputs, outputs, 1 if stage == 0 else 2), BasicBlock(outputs, outputs, 1)]
            inputs = outputs
        model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)).double().eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.3)
    return model.requires_grad_(False)


def images(size, seed=0):
    """Return two random smooth images, float64, shape (2, 3, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(2, 3, size // 4, size // 4, generator=generator, dtype=torch.float64)
    return nn.functional.interpolate(coarse, size=size, mode="bilinear")


def faults(model, start, end, walls, reach=1e-9):
    """Return the walls at which no code changes within reach, and the pieces inside which one does.

    A region is convex, so a piece lies in one where its codes near both ends are equal: nothing is missed in between.
    """
    ends = np.concatenate([[0.0], walls, [1.0]])
    step = np.minimum(reach, np.diff(ends) / 4)

    def codes(at):
        points = start + torch.from_numpy(at).reshape(-1, *[1] * start.ndim) * (end - start)
        return np.concatenate([each.bits for each in partition.region_codes(model, points)], 1)
    changes = [(codes(low), codes(high)) for low, high in zip(*(np.array_split(each, max(1, len(each) // 64)) for each in (
        ends[:-1] + step, ends[1:] - step)), strict=True)]
    first, last = (np.concatenate(each) for each in zip(*changes, strict=True))
    return np.flatnonzero((last[:-1] == first[1:]).all(1)), np.flatnonzero((first != last).any(1))
