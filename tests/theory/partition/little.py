"""Little networks for the tests of the partition."""

import numpy as np
import torch
from torch import nn

from deepatoms.theory import partition


def seeded(build, seed=0):
    """Return a module in float64 and evaluation mode, drawn from a seed; batch norm gets statistics of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build().double().eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                nn.init.normal_(module.weight)
    return model


def settled(build, corners):
    """Return such a module whose last biases let no class win everywhere around these inputs."""
    model = seeded(build)
    with torch.no_grad():
        list(model.modules())[-1].bias -= model(corners).mean(0)
    return model


def all_codes(model, x):
    """Return the codes of all nonlinearities side by side, shape (inputs, units)."""
    return np.concatenate([np.asarray(codes) for codes in partition.region_codes(model, x)], 1)


def dense(*widths):
    """Return a ReLU network with these widths, input and output included."""
    layers = [layer for pair in zip(widths[:-1], widths[1:], strict=True) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class Residual(nn.Module):
    """Convolutions with a skip, batch norm, an in-place ReLU, a leaky one, overlapping padded pooling and a clip."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True))
        self.branch = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(3, 3, 3, padding=1))
        self.head = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Hardtanh(-0.5, 0.8), nn.Flatten(), nn.Linear(27, 3))

    def forward(self, x):
        """Return three scores of images of 6 x 6."""
        x = self.stem(x)
        return self.head(x + self.branch(x))


def pooled():
    """Return a small convolutional network with max-pooling after ReLU, for images of 6 x 6."""
    return nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 2), nn.MaxPool2d(2),
                         nn.ReLU(), nn.Flatten(), nn.Linear(6, 4))


def box(low=-1.0, high=1.0):
    """Return the corners of a square of the plane."""
    return torch.tensor([[low, low], [high, low], [low, high]], dtype=torch.float64)


def cube(low=-1.0, high=1.0):
    """Return the corners of a cube of space."""
    return low + (high - low) * torch.cat([torch.zeros(1, 3), torch.eye(3)]).double()


def images(count, seed=0, size=6):
    """Return normal images of one channel, float64."""
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
