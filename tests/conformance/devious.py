"""Modules written to deceive: each looks piecewise affine to one kind of guard, and most are not what they look like.

``RIGHT`` are piecewise affine, however oddly written; but for ``REFUSED``, whose refusal names a remedy, they have a map.
``WRONG`` are not functions of one sample that torch follows: every call refuses them, or is right about the function.
"""

import copy
import pickle

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

D = torch.float64
WIDTH = 4


def dense(*widths):
    layers = [part for pair in zip(widths[:-1], widths[1:], strict=True) for part in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).double().eval()


class Module(nn.Module):
    """A small network with a devious forward of its own."""

    def __init__(self, *, width=WIDTH, out=3):
        super().__init__()
        self.first, self.last = nn.Linear(WIDTH, 6, dtype=D), nn.Linear(6, out, dtype=D)


def _small(middle):
    """A module whose hidden layer does something."""
    class Small(Module):
        def forward(self, x):
            return self.last(middle(self, self.first(x)))
    return Small


# ---- right, however oddly written ----

class ShapeCache(Module):
    """Keeps a mask for each shape that it meets."""

    def __init__(self):
        super().__init__()
        self.masks = {}

    def forward(self, x):
        z = self.first(x)
        if z.shape not in self.masks:
            self.masks[z.shape] = torch.linspace(-1, 1, z.shape[1], dtype=z.dtype).expand_as(z)
        return self.last(torch.relu(z) * self.masks[z.shape])


class Counter(Module):
    """Counts its calls in a Python number, a list, a buffer and a numpy array, and does nothing with them."""

    def __init__(self):
        super().__init__()
        self.calls, self.log, self.array = 0, [], np.zeros(1)
        self.register_buffer("seen", torch.zeros(1, dtype=D))

    def forward(self, x):
        self.calls += 1
        self.log.append(len(x))
        self.array += 1
        self.seen.add_(1)
        self.seen.numpy()[0] += 1
        return self.last(self.first(x).relu())


class Spectral(Module):
    """Spectral norm in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.first = parametrizations.spectral_norm(self.first)
        self.eval()

    def forward(self, x):
        return self.last(self.first(x).relu())


class WeightNorm(Module):
    """Weight norm and an orthogonal matrix as parametrisations."""

    def __init__(self):
        super().__init__()
        self.first = parametrizations.weight_norm(self.first)
        self.last = parametrizations.orthogonal(self.last)

    def forward(self, x):
        return self.last(self.first(x).relu())


class Tied(Module):
    """The second layer is the first, transposed."""

    def forward(self, x):
        return F.linear(self.first(x).relu(), self.first.weight.T)


class InPlaceOnInput(Module):
    """Writes into its argument through a view, and swaps two of its columns."""

    def forward(self, x):
        x[:, :2].clamp_(min=-0.5)
        x[:, [0, 1]] = x[:, [1, 0]].clone()
        return self.last(self.first(x).relu_())


class Complex(Module):
    """Multiplies by a complex matrix and takes the parts apart."""

    def forward(self, x):
        turn = torch.polar(torch.ones(6, dtype=D), torch.linspace(0, 3, 6, dtype=D))
        z = torch.complex(self.first(x), self.first(x.flip(1))) * turn
        return self.last(z.real.relu() - z.imag.relu())


class Fourier(Module):
    """Filters in Fourier space."""

    def forward(self, x):
        z = torch.fft.rfft(self.first(x))
        z = z * torch.linspace(1, 0, z.shape[1], dtype=D)
        return self.last(torch.fft.irfft(z, n=6).relu())


class BackwardHook(Module):
    """A full backward hook that looks and changes nothing."""

    def __init__(self):
        super().__init__()
        self.register_full_backward_hook(lambda module, below, above: None)

    def forward(self, x):
        return self.last(self.first(x).relu())


class Doubling(Module):
    """A forward hook that doubles."""

    def __init__(self):
        super().__init__()
        self.first.register_forward_hook(lambda module, args, output: 2 * output)
        self.last.register_forward_pre_hook(lambda module, args: (args[0].relu(),))

    def forward(self, x):
        return self.last(self.first(x))


def _boolean(self, z):
    out = torch.zeros_like(z)
    out[z > 0] = z[z > 0]
    return out


def _assigned(self, z):
    z = z.clone()
    z[z < -0.1] *= 0.5
    return z


class Compiled(Module):
    """Its layers behind torch.compile without a compiler."""

    def __init__(self):
        super().__init__()
        self.compiled = torch.compile(nn.Sequential(self.first, nn.ReLU(), self.last), backend="eager")

    def forward(self, x):
        return self.compiled(x)


class Functional(Module):
    """Called through functional_call with other weights."""

    def forward(self, x):
        weights = {"weight": -self.first.weight, "bias": self.first.bias}
        return self.last(torch.func.functional_call(self.first, weights, (x,)).relu())


class Mapped(Module):
    """One sample at a time, through vmap."""

    def forward(self, x):
        return torch.func.vmap(lambda one: self.last.weight @ (self.first.weight @ one).relu())(x)


class Rows(Module):
    """One sample at a time, in a Python loop."""

    def forward(self, x):
        return torch.stack([self.last(self.first(one).relu()) for one in x])


class Checkpointed(Module):
    """Recomputes its middle in the backward pass."""

    def forward(self, x):
        from torch.utils.checkpoint import checkpoint
        return self.last(checkpoint(lambda z: self.first(z).relu(), x, use_reentrant=False))


class Honest(torch.autograd.Function):
    """A ReLU with a right backward of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, slope):
        return slope * (ctx.saved_tensors[0] > 0)


class EvalDropout(Module):
    """Dropout in evaluation mode, also the kinds for channels and alpha."""

    def __init__(self):
        super().__init__()
        self.drops = nn.Sequential(nn.Dropout(0.9), nn.AlphaDropout(0.9), nn.FeatureAlphaDropout(0.5)).eval()

    def forward(self, x):
        return self.last(self.drops(self.first(x)).relu())


class Norms(Module):
    """Batch norm in evaluation mode between the layers."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6, dtype=D)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        self.eval()

    def forward(self, x):
        return self.last(self.norm(self.first(x)).relu())


class Quantised(Module):
    """Multiplies by weights that were rounded, which is fixed."""

    def forward(self, x):
        return F.linear(x, (10 * self.first.weight).round().int().double() / 10).relu() @ self.last.weight.T


class Item(Module):
    """Takes a number out of its own weights."""

    def forward(self, x):
        return self.last(self.first(x).relu()) * self.first.weight.norm().item()


class Rolled(Module):
    """A recurrence of four steps with one matrix."""

    def forward(self, x):
        z = torch.zeros(len(x), 6, dtype=x.dtype)
        for step in range(WIDTH):
            z = (self.first(x * (torch.arange(WIDTH) == step)) + 0.5 * z).relu()
        return self.last(z)


RIGHT = {
    "shape cache": ShapeCache, "counter": Counter, "spectral norm": Spectral, "weight norm": WeightNorm, "tied": Tied,
    "in place on input": InPlaceOnInput, "complex": Complex, "fourier": Fourier, "backward hook": BackwardHook,
    "doubling hooks": Doubling, "boolean index": _small(_boolean), "masked in place": _small(_assigned), "compiled": Compiled,
    "functional call": Functional, "vmap": Mapped, "rows": Rows, "checkpoint": Checkpointed,
    "honest function": _small(lambda self, z: Honest.apply(z)), "dropout": EvalDropout, "batch norm": Norms,
    "rounded weights": Quantised, "item of weights": Item, "recurrence": Rolled,
    "where": _small(lambda self, z: torch.where(z > z.flip(1), z, 0.1 * z.flip(1))),
    "maximum": _small(lambda self, z: torch.maximum(z, torch.minimum(z.flip(1), 0.5 * z))),
    "cumsum": _small(lambda self, z: z.relu().cumsum(1)), "cummax": _small(lambda self, z: z.cummax(1).values),
    "einsum": _small(lambda self, z: torch.einsum("nk,kj->nj", z.relu(), self.first.weight @ self.first.weight.T)),
    "logcumsumexp of weights": _small(lambda self, z: z.relu() * torch.logcumsumexp(self.first.weight[:, 0], 0)),
    "tensor split": _small(lambda self, z: torch.cat([part.relu() for part in z.tensor_split(3, 1)], 1)),
    "unfold": _small(lambda self, z: z.unfold(1, 2, 1).amax(2) @ self.first.weight[:5] @ self.first.weight.T),
    "stacked max": _small(lambda self, z: torch.stack([z, -z, 0.3 * z + 0.1]).amax(0)),
    "relu of difference": _small(lambda self, z: z - (z - z.flip(1)).relu()),
    "trapezium": _small(lambda self, z: z.clamp(-0.2, 0.3) + F.hardtanh(2 * z, -0.1, 0.1)),
    "sorted": _small(lambda self, z: z.sort(1).values), "topk": _small(lambda self, z: z.topk(6, 1).values),
    "searched": _small(lambda self, z: z.gather(1, z.argsort(1))),
    "logical": _small(lambda self, z: z * ((z > 0) & (z < 0.5)) + z * ~(z > 0.2)),
    "float mask": _small(lambda self, z: z * (z > 0).float()),
    "half scale": _small(lambda self, z: z * 2.0 ** -700 * 2.0 ** 700 + z.relu()),
}

REFUSED = ("boolean index", "masked in place")


# ---- wrong: what torch shows is not the function, or there is no function of one sample ----

class Growing(Module):
    """Its weights grow at every call."""

    def forward(self, x):
        with torch.no_grad():
            self.last.weight.mul_(1.01)
        return self.last(self.first(x).relu())


class PythonCounter(Module):
    """Scales by a count of its calls."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.last(self.first(x).relu()) * self.calls


class Every(Module):
    """Scales at every third call only."""

    def __init__(self):
        super().__init__()
        self.calls = [0]

    def forward(self, x):
        self.calls[0] += 1
        return self.last(self.first(x).relu()) * (2 if self.calls[0] % 3 == 0 else 1)


class FirstAnswer(Module):
    """Remembers its first answer for each shape, and gives it again."""

    def __init__(self):
        super().__init__()
        self.answers = {}

    def forward(self, x):
        if x.shape not in self.answers:
            self.answers[x.shape] = self.last(self.first(x).relu())
        return self.answers[x.shape]


class Lies(torch.autograd.Function):
    """Squares in a forward pass, of which the backward says that it is the identity."""

    @staticmethod
    def forward(ctx, x):
        return x * x

    @staticmethod
    def backward(ctx, slope):
        return slope


class HiddenNumpy(torch.autograd.Function):
    """Works in numpy inside a function of its own."""

    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(np.maximum(x.detach().cpu().numpy(), 0) ** 2)

    @staticmethod
    def backward(ctx, slope):
        return slope


def _tiny_state():
    state = {"n": 0}

    def model(x):
        state["n"] += 1
        return torch.relu(x) * (1 + state["n"] // 2)
    return model


def _batch_over(most):
    """Influence that appears in batches of more than some samples only."""
    return _small(lambda self, z: z.relu() + (z.relu().mean(0) if len(z) > most else 0))


def _rare(self, z):
    """The largest sample is seen by all others, when it is very large."""
    return z.relu() + 1e-3 * z.amax()


def _middle(self, z):
    """One sample in the middle is shown to its right neighbour; neither is first nor last."""
    z = z.relu()
    if len(z) > 6:
        z = torch.cat([z[:4], z[4:5] + z[3:4], z[5:]])
    return z


def _pairs(self, z):
    """Every sample sees its partner in the batch's other half."""
    z = z.relu()
    return z + z.roll(len(z) // 2, 0) if len(z) > 8 else z


def _scaled_by_size(self, z):
    return z.relu() * (1 + 0.1 * (len(z) > 12))


def _partner_mask(self, z):
    """One sample's mask is another's: with the pieces held nothing moves."""
    z = z.relu()
    return torch.cat([z[:6], z[6:7] * (z[9:10] > 0), z[7:]]) if len(z) > 10 else z


def _one_row(self, z):
    """One sample in the batch is scaled by its size."""
    return torch.cat([z[:6], z[6:7] * len(z), z[7:]]).relu() if len(z) > 10 else z.relu()


def _parity(self, z):
    return z.relu() * torch.arange(len(z), dtype=z.dtype).remainder(2)[:, None].add(1)


def _position(self, z):
    return z.relu() + 0.1 * torch.arange(len(z), dtype=z.dtype)[:, None]


def _item_branch(self, z):
    return z.relu() if z.abs().max().item() < 1e9 else z


def _bool_branch(self, z):
    return z.relu() if bool((z[:, 0] > -1e9).all()) else -z


def _nonzero(self, z):
    rows, columns = torch.nonzero(z > 0, as_tuple=True)
    return torch.zeros_like(z).index_put((rows, columns), z[rows, columns] ** 2)


WRONG = {
    "growing": Growing, "python counter": PythonCounter, "every third": Every, "first answer": FirstAnswer,
    "lying function": _small(lambda self, z: Lies.apply(z)), "numpy function": _small(lambda self, z: HiddenNumpy.apply(z)),
    "closure counter": _tiny_state, "mean in batches over 8": _batch_over(8), "mean in batches over 20": _batch_over(20),
    "mask of the partner": _small(_partner_mask), "one row by the size": _small(_one_row), "largest of the batch": _small(_rare),
    "middle neighbour": _small(_middle),
    "partners": _small(_pairs), "size over 12": _small(_scaled_by_size),
    "size over 4": _small(lambda self, z: z.relu() * (1 + 0.1 * (len(z) > 4))),
    "parity of the row": _small(_parity), "number of the row": _small(_position), "item": _small(_item_branch),
    "bool": _small(_bool_branch), "nonzero": _small(_nonzero),
    "numpy round trip": _small(lambda self, z: z + torch.from_numpy(np.abs(z.detach().numpy()))),
    "python numbers": _small(lambda self, z: z * torch.tensor([[max(v, 0.0) for v in row] for row in z.tolist()], dtype=D)),
    "integers": _small(lambda self, z: z + (100 * z).to(torch.int32).to(D)),
    "tiny square": _small(lambda self, z: z.relu() + 1e-3 * z * z), "sine": _small(lambda self, z: z + 1e-4 * torch.sin(z)),
    "softmax": _small(lambda self, z: z.softmax(1)), "attention": _small(lambda self, z: (z[:, :, None] @ z[:, None])[:, 0]),
    "rounded": _small(lambda self, z: (1e4 * z).round() / 1e4), "modulo": _small(lambda self, z: z % 1.0),
    "frac": _small(lambda self, z: z.frac()), "complex abs": _small(lambda self, z: torch.complex(z, z.flip(1)).abs()),
    "complex square": _small(lambda self, z: (torch.complex(z, z.flip(1)) ** 2).real),
    "spectrum": _small(lambda self, z: torch.fft.fft(z).abs()), "noise": _small(lambda self, z: z + 1e-6 * torch.randn_like(z)),
    "numpy noise": _small(lambda self, z: z + 1e-3 * float(np.random.rand())),
    "dropout": _small(lambda self, z: F.dropout(z, 0.3, training=True)),
    "straight through": _small(lambda self, z: z + (z.sign() - z).detach()),
    "ratio": _small(lambda self, z: z / (1 + z.abs().sum(1, keepdim=True))),
    "norm": _small(lambda self, z: z - z.norm(dim=1, keepdim=True)),
    "exp of mask": _small(lambda self, z: torch.exp(z * (z > 0))),
    "deep copy": _small(lambda self, z: z - 0.1 * copy.deepcopy(z.detach()).square()),
    "pickle": _small(lambda self, z: z - 0.1 * pickle.loads(pickle.dumps(z.detach())).square()),
    "storage": _small(lambda self, z: z - 0.1 * torch.tensor(list(z.detach().storage())).reshape(z.shape).square()),
    "apply_": _small(lambda self, z: z + z.detach().clone().apply_(lambda value: -0.1 * value * value)),
    "standardised": _small(lambda self, z: F.layer_norm(z, (6,))), "cumprod": _small(lambda self, z: z.cumprod(1)),
    "logsumexp": _small(lambda self, z: 0.01 * torch.logsumexp(100 * z, 1, keepdim=True) + z),
    "erf": _small(lambda self, z: torch.special.erf(z)), "product of branches": _small(lambda self, z: z.relu() * (1 - z).relu()),
}
