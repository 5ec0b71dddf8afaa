"""Random piecewise affine modules of every accepted operation, and their near misses, each from a seed.

A module is a chain of layers, drawn one by one and kept where it fits; around parts of the chain stand residual sums, second
uses, scripts and frozen weights. A near miss is the same with one part that looks harmless and is not.
"""

import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

D = torch.float64
START = (2, 4, 4)


class Calls(nn.Module):
    """A function as a module."""

    def __init__(self, function, name):
        super().__init__()
        self.function, self.name = function, name

    def forward(self, x):
        return self.function(x)

    def extra_repr(self):
        return self.name


class Sum(nn.Module):
    """A residual sum, in one of its ways of writing."""

    def __init__(self, branch, way):
        super().__init__()
        self.branch, self.way = branch, way

    def forward(self, x):
        if self.way == "in place":
            y = x * 1.0
            y += self.branch(x)
            return y
        return torch.add(x, self.branch(x), alpha=-0.5) if self.way == "alpha" else self.branch(x) + x


class Twice(nn.Module):
    """One module used two times."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        return self.part(self.part(x))


class Shared(nn.Module):
    """Two layers with one matrix, the second one transposed."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width, dtype=D) / width**0.5)

    def forward(self, x):
        return torch.relu(x @ self.weight) @ self.weight.T


def _conv(draw, shape):
    return nn.Conv2d(shape[0], draw.randint(1, 3), draw.randint(1, 3), draw.randint(1, 2), draw.randint(0, 1),
                     padding_mode=draw.choice(["zeros", "circular", "reflect", "replicate"]), bias=draw.random() < 0.8)


def _batch_norm(draw, shape):
    layer = nn.BatchNorm2d(shape[0], affine=draw.random() < 0.7)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    return layer


def _masked(x):
    x = x.clone()
    x[x < 0] = 0.3
    return x


def _unpooled(x):
    return F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=x.shape[-2:])


def _written(x):
    y = torch.zeros_like(x)
    y[..., 0] = x[..., -1].relu()
    return y + x


def _fixed_grid(draw, shape):
    grid = torch.rand(1, 3, 3, 2, dtype=D, generator=torch.Generator().manual_seed(draw.randint(0, 99))) * 2 - 1
    return lambda x: F.grid_sample(x, grid.expand(len(x), -1, -1, -1), align_corners=True)


def _indexed(draw, shape):
    place = torch.tensor([draw.randrange(shape[0]) for _ in range(shape[0])])
    return draw.choice([lambda x: torch.index_add(x, 1, place, x, alpha=-2), lambda x: x[:, place],
                        lambda x: torch.zeros_like(x).index_copy(1, torch.arange(len(place)), x.relu()),
                        lambda x: x.scatter_add(1, place.reshape(1, -1, 1, 1).expand_as(x), x)])


# Of images: a name, and what draws the layer for a shape.
IMAGES = {
    "conv": _conv, "batch norm": _batch_norm, "transposed": lambda d, s: nn.ConvTranspose2d(s[0], 2, 2),
    "max pool": lambda d, s: nn.MaxPool2d(2, d.randint(1, 2), d.randint(0, 1)), "avg pool": lambda d, s: nn.AvgPool2d(2, 1, 1),
    "adaptive max": lambda d, s: nn.AdaptiveMaxPool2d(d.randint(1, 3)), "adaptive": lambda d, s: nn.AdaptiveAvgPool2d(2),
    "pool 3-D": lambda d, s: lambda x: F.max_pool3d(x[:, None], (1, 2, 2), 1)[:, 0], "unpool": lambda d, s: _unpooled,
    "replicate 3-D": lambda d, s: lambda x: F.pad(x[:, None], (1, 0, 0, 1, 1, 0), mode="replicate")[:, 0],
    "reflect 3-D": lambda d, s: lambda x: F.pad(x[:, None], (1, 0, 0, 1, 0, 0), mode="reflect")[:, 0],
    "resize": lambda d, s: nn.Upsample(size=(3, 3), mode=d.choice(["nearest", "nearest-exact", "bilinear", "bicubic", "area"])),
    "trilinear": lambda d, s: lambda x: F.interpolate(x[:, None], size=(2, 3, 3), mode="trilinear")[:, 0],
    "grid": _fixed_grid, "index": _indexed, "channels max": lambda d, s: lambda x: x.max(1, keepdim=True).values,
    "global max": lambda d, s: lambda x: x.relu().amax((2, 3), keepdim=True),
    "rotate": lambda d, s: lambda x: x.rot90(1, (2, 3)), "fold": lambda d, s: lambda x: F.fold(F.unfold(x, 2), x.shape[2:], 2)}
# Of anything.
ANY = {
    "relu": lambda d, s: nn.ReLU(inplace=False), "leaky": lambda d, s: nn.LeakyReLU(d.uniform(-0.5, 1.5)),
    "prelu": lambda d, s: nn.PReLU(), "rrelu": lambda d, s: nn.RReLU(), "relu6": lambda d, s: nn.ReLU6(),
    "hardtanh": lambda d, s: nn.Hardtanh(-0.3, 0.6), "hardsigmoid": lambda d, s: nn.Hardsigmoid(),
    "softshrink": lambda d, s: nn.Softshrink(0.2), "threshold": lambda d, s: nn.Threshold(0.1, d.uniform(-1, 1)),
    "abs": lambda d, s: torch.abs, "in place": lambda d, s: lambda x: F.relu_(x * 2.0),
    "clamp": lambda d, s: lambda x: (x * 1.0).clamp_(-0.4, 0.5), "clamp min": lambda d, s: lambda x: x.clamp(min=-0.2),
    "clamp max": lambda d, s: lambda x: torch.clamp_max(x, 0.3), "maximum": lambda d, s: lambda x: torch.maximum(x, -0.3 * x),
    "fmin": lambda d, s: lambda x: torch.fmin(x, 0.4 - x), "where": lambda d, s: lambda x: torch.where(x > 0.1, x, 2 * x),
    "mask": lambda d, s: lambda x: x * (x > 0), "masked": lambda d, s: _masked, "sign": lambda d, s: lambda x: x * x.sign(),
    "sort": lambda d, s: lambda x: x.sort(-1, descending=d_bool(x)).values, "topk": lambda d, s: lambda x: x.topk(1, -1).values,
    "median": lambda d, s: lambda x: x.median(-1, keepdim=True).values, "cummax": lambda d, s: lambda x: x.cummax(-1).values,
    "norm": lambda d, s: lambda x: torch.linalg.vector_norm(x, 1, dim=-1, keepdim=True), "written": lambda d, s: _written,
    "lerp": lambda d, s: lambda x: torch.lerp(x, x.relu(), 0.3), "flip": lambda d, s: lambda x: x.flip(-1) - 0.5 * x,
    "cumsum": lambda d, s: lambda x: x.cumsum(-1), "fft": lambda d, s: lambda x: torch.fft.rfft(x).real,
    "dropout": lambda d, s: nn.Dropout(), "off and off": lambda d, s: _tied,
    "argmax": lambda d, s: lambda x: torch.take_along_dim(x, x.argmax(-1, keepdim=True), -1) + x}
VECTORS = {"linear": lambda d, s: nn.Linear(s[0], d.randint(2, 6)), "shared": lambda d, s: Shared(s[0]),
           "diag": lambda d, s: lambda x: torch.diag_embed(x).sum(1), "amin": lambda d, s: lambda x: x - x.amin(-1, keepdim=True)}


def d_bool(x):
    """Sort downwards where there is an even number of entries."""
    return x.shape[-1] % 2 == 0


def _tied(x):
    """Units that are off tie at zero."""
    return torch.maximum(x.relu(), (-x - 1).relu()) + (x.relu()).abs()


class Liar(torch.autograd.Function):
    """A ReLU whose backward is another function's."""

    @staticmethod
    def forward(ctx, x):
        return x.relu()

    @staticmethod
    def backward(ctx, slope):
        return 0.9 * slope


def _no_grad(x):
    with torch.no_grad():
        y = x.relu()
    return x + y


def _inference(x):
    with torch.inference_mode():
        y = F.max_pool1d(x.flatten(1)[:, None], 1)[:, 0].reshape(x.shape).relu()
    return x + y.clone()


def _noisy(x):
    return x + torch.rand_like(x)


class Remembers(nn.Module):
    """A layer with a memory: a counter, and the last input it saw."""

    def __init__(self, harmless):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1, dtype=D))
        self.harmless = harmless

    def forward(self, x):
        self.calls += 1
        self.last = x
        return x if self.harmless else x * self.calls


def _hooked(x):
    if x.requires_grad:
        x = x * 1.0
        x.register_hook(lambda slope: 2 * slope)
    return x


MISSES = {
    "no_grad": _no_grad, "inference": _inference, "detach": lambda x: x + x.detach().relu(), "data": lambda x: x + x.data,
    "liar": Liar.apply, "hook": _hooked, "numpy": lambda x: x + torch.from_numpy(np.abs(x.detach().numpy())),
    "asarray": lambda x: x + torch.as_tensor(np.maximum(np.asarray(x.detach()), 0)), "tolist": lambda x: x + torch.tensor(
        x.tolist(), dtype=D), "int": lambda x: x + x.int(), "long": lambda x: x * (3 * x).long().sign(),
    "floor": lambda x: x.div(0.5, rounding_mode="floor"), "round": lambda x: x + x.round(), "bits": lambda x: x.view(
        torch.int64).sign() * x, "batch mean": lambda x: x - x.mean(0), "neighbour": lambda x: x + x.roll(1, 0),
    "size": lambda x: x / len(x), "over the batch": lambda x: x.sort(0).values, "softmax": lambda x: x.softmax(-1),
    "tanh": torch.tanh, "square": lambda x: x * x, "gate": lambda x: x * torch.relu(x), "norm": lambda x: x / x.abs().sum(),
    "random": _noisy, "dropout": lambda x: F.dropout(x, 0.5, True), "branch": lambda x: x if x.sum() > 0 else -x,
    "equal": lambda x: x * (x == x.flatten()[0]), "whole": lambda x: x - x.max(), "var": lambda x: x / x.var(-1, keepdim=True),
    "memory": Remembers(False), "counter": Remembers(True), "prelu": lambda x: F.prelu(x, x.mean().reshape(1)),
    "spectrum": lambda x: torch.fft.fft(x).abs(), "first row": lambda x: x + x[:1].relu(), "single": lambda x: x - x[-1:]}


def _drawn(draw, shape):
    """Return a layer that fits inputs of a shape, its name, and the shape of its outputs."""
    pool = ANY | (IMAGES if len(shape) == 3 else VECTORS)
    while True:
        name = draw.choice(sorted(pool))
        layer = pool[name](draw, shape)
        module = (layer if isinstance(layer, nn.Module) else Calls(layer, name)).to(D).eval()
        try:
            out = tuple(module(torch.zeros(3, *shape, dtype=D)).shape[1:])
        except (RuntimeError, IndexError, ValueError):
            continue
        if 0 < torch.Size(out).numel() <= 120:
            return module, out


def _wrapped(draw, module, same):
    """Put a layer into one of the ways in which networks are written."""
    way = draw.choice(["plain", "plain", "sum", "twice", "script", "frozen"])
    if way == "sum" and same:
        return Sum(module, draw.choice(["plain", "in place", "alpha"]))
    if way == "twice" and same:
        return Twice(module)
    if way == "script" and not isinstance(module, (Calls, Shared, nn.RReLU)):
        return torch.jit.script(module)
    return module.requires_grad_(way != "frozen")


def module(seed, miss=None):
    """Return a random module for inputs of the shape ``START``, with a near miss in the middle if one is named."""
    draw = random.Random(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers, shape, length = [], START, draw.randint(2, 6)
        for place in range(length):
            if len(shape) == 3 and draw.random() < 0.2:
                layers.append(nn.Flatten())
                shape = (torch.Size(shape).numel(),)
            if miss is not None and place == length // 2:
                part = MISSES[miss]
                layers.append(part if isinstance(part, nn.Module) else Calls(part, miss))
            layer, out = _drawn(draw, shape)
            layers.append(_wrapped(draw, layer, out == shape))
            shape = out
        layers += [nn.Flatten(), nn.Linear(torch.Size(shape).numel(), 3)]
        return nn.Sequential(*layers).to(D).eval()
