"""Small networks of the kinds that torchvision holds, in plain torch, and torchvision's own where it is installed."""

import functools

import torch
from torch import nn
from torch.nn import functional


def convolved(before, after, size=3, stride=1, groups=1, act=nn.ReLU):
    """Convolution, batch norm, activation: the step of all of them."""
    return nn.Sequential(nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(after),
                         *([act(inplace=True)] if act else []))


class Residual(nn.Module):
    """ResNet's basic block: the shortcut is a convolution of its own where the grid changes, a ReLU follows the sum."""

    def __init__(self, before, after, stride=1):
        super().__init__()
        self.branch = nn.Sequential(convolved(before, after, 3, stride), convolved(after, after, act=None))
        self.shortcut = nn.Sequential() if stride == 1 else convolved(before, after, 1, stride, act=None)

    def forward(self, x):
        return functional.relu(self.branch(x) + self.shortcut(x), inplace=True)


class Concatenating(nn.Module):
    """DenseNet's layer: norm and ReLU first, and what comes out beside what went in."""

    def __init__(self, before, growth):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(before), nn.Conv2d(before, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv(functional.relu(self.norm(x)))], 1)


class Inception(nn.Module):
    """GoogLeNet's branches: 1 x 1, 3 x 3, and a pooled one, side by side."""

    def __init__(self, before, after):
        super().__init__()
        self.one, self.three = convolved(before, after, 1), nn.Sequential(convolved(before, after, 1), convolved(after, after))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), convolved(before, after, 1))

    def forward(self, x):
        return torch.cat([self.one(x), self.three(x), self.pooled(x)], 1)


class Inverted(nn.Module):
    """MobileNetV2's block: wide inside, a convolution of each channel by itself, ReLU6, a linear end and a shortcut."""

    def __init__(self, width, wide):
        super().__init__()
        self.branch = nn.Sequential(convolved(width, wide, 1, act=nn.ReLU6), convolved(wide, wide, groups=wide, act=nn.ReLU6),
                                    convolved(wide, width, 1, act=None))

    def forward(self, x):
        return x + self.branch(x)


def _end(width, classes=3):
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(width, classes)


KINDS = {
    "residual": lambda: nn.Sequential(convolved(3, 4, 7, 2), nn.MaxPool2d(3, 2, 1), Residual(4, 4), Residual(4, 6, 2), *_end(6)),
    "plain": lambda: nn.Sequential(convolved(3, 4), nn.MaxPool2d(2), convolved(4, 6), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2),
                                   nn.Flatten(), nn.Linear(24, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 3)),
    "dense": lambda: nn.Sequential(convolved(3, 4), Concatenating(4, 2), Concatenating(6, 2), nn.BatchNorm2d(8), nn.ReLU(),
                                   nn.Conv2d(8, 4, 1, bias=False), nn.AvgPool2d(2), Concatenating(4, 2), *_end(6)),
    "inception": lambda: nn.Sequential(convolved(3, 4, 5, 2), nn.MaxPool2d(3, 2, ceil_mode=True), Inception(4, 3),
                                       Inception(9, 2), *_end(6)),
    "inverted": lambda: nn.Sequential(convolved(3, 4, 3, 2, act=nn.ReLU6), Inverted(4, 8), Inverted(4, 8), *_end(4)),
}


def ready(model, seed=0):
    """Give a network statistics of batch norm that are not 0 and 1, float64 and evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for each in (module.weight.data, module.running_var):
                each.copy_(0.5 + torch.rand(each.shape, generator=generator))
            for each in (module.bias.data, module.running_mean):
                each.copy_(torch.randn(each.shape, generator=generator) / 4)
    return model.double().eval()


def build(kind):
    """Return a small network of a kind."""
    torch.manual_seed(0)
    return ready(KINDS[kind]())


def images(count=4, size=16, seed=1):
    """Return noise in the shape of images."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


ORIGINALS = ("resnet18", "vgg11_bn", "densenet121", "googlenet", "mobilenet_v2")


@functools.lru_cache(maxsize=1)
def torchvision():
    """Return torchvision's networks, or None where it is not installed.

    Its package is compiled for CUDA: beside a torch for the processor alone its two operators on boxes are missing, on which the
    import fails though no network needs them. They are declared here.
    """
    try:
        from torchvision import models
    except ImportError:
        return None
    except RuntimeError:
        torchvision.declared = library = torch.library.Library("torchvision", "DEF")  # kept: declared as long as it lives
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision import models
    return models


def original(name, seed=0):
    """Return one of torchvision's networks with random weights and ten classes."""
    torch.manual_seed(seed)
    more = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return ready(getattr(torchvision(), name)(num_classes=10, **more))
