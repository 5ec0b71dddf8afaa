"""Networks that strangers bring: plain torch modules that know nothing of this package."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def mlp(widths=(6, 8, 7, 3), seed=0):
    torch.manual_seed(seed)
    layers = [part for a, b in zip(widths, widths[1:], strict=False) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).double().eval()


def of_sklearn(seed=0):
    """An MLP from the coefficients of scikit-learn, as its users carry them over, and the model they come from."""
    from sklearn.neural_network import MLPClassifier

    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(90, 5)), np.arange(90) % 3
    fitted = MLPClassifier((8, 6), max_iter=30, random_state=0).fit(x, y)
    layers = []
    for weight, bias in zip(fitted.coefs_, fitted.intercepts_, strict=True):
        linear = nn.Linear(*weight.shape)
        linear.weight.data, linear.bias.data = torch.as_tensor(weight.T), torch.as_tensor(bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double().eval(), fitted, x, y


class Functional(nn.Module):
    """No modules inside: parameters of its own, functional calls, works in place."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.A, self.b = nn.Parameter(torch.randn(8, 6) / 3), nn.Parameter(torch.randn(8) / 3)
        self.B = nn.Parameter(torch.randn(3, 8) / 3)

    def forward(self, x):
        h = functional.linear(x, self.A, self.b)
        h.relu_()
        return h @ self.B.T


class Reused(nn.Module):
    """One layer, used three times."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.inner, self.outer, self.act = nn.Linear(6, 6), nn.Linear(6, 3), nn.ReLU()

    def forward(self, x):
        for _ in range(3):
            x = self.act(self.inner(x))
        return self.outer(x)


class Residual(nn.Module):
    """h + relu(W h + b), as a module of its own."""

    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, h):
        return h + functional.relu(self.inner(h))


def residual(width=6, depth=3, classes=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(*(Residual(width) for _ in range(depth)), nn.Linear(width, classes)).double().eval()


class Block(nn.Module):
    """The basic block of a CIFAR residual network: pooled shortcut with zero channels where the grid changes."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.more, self.stride = after - before, stride

    def forward(self, x):
        h = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)), inplace=True)))
        if self.stride == 2:
            x = functional.pad(functional.avg_pool2d(x, 2), (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return functional.relu(h + x)


class CifarResidual(nn.Module):
    """The residual network of three groups; 3 blocks of width 16 are ResNet-20."""

    def __init__(self, blocks=3, width=16, classes=10, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.bn = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        parts, before = [], width
        for level in range(3):
            for block in range(blocks):
                parts.append(Block(before, width << level, 2 if level and not block else 1))
                before = width << level
        self.blocks, self.head = nn.Sequential(*parts), nn.Linear(before, classes)

    def forward(self, x):
        return self.head(self.blocks(functional.relu(self.bn(self.conv(x)))).mean((2, 3)))


class Smooth(nn.Module):
    """Layer norm, GELU and a gate: not piecewise affine."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.one, self.norm, self.two, self.gate = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3), nn.Linear(6, 8)

    def forward(self, x):
        return self.two(functional.gelu(self.norm(self.one(x))) * torch.sigmoid(self.gate(x)))


class Branching(nn.Module):
    """Its way depends on the values it meets."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        h = self.one(x)
        if float(h.mean()) > 0:
            h = torch.relu(h)
        return self.two(h)


def data(count=40, size=6, classes=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=generator, dtype=dtype), torch.arange(count) % classes
