"""More modules written to deceive, as a sceptic with a day would write them; read :mod:`devious` first."""

import contextlib
import functools
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import devious
import numpy as np
import torch
from devious import D, _small
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode


def image(z):
    """Six numbers as an image of one channel."""
    return z.reshape(-1, 1, 2, 3)


def _imaged(layer):
    """A module whose hidden layer goes through something for images."""
    def middle(self, z):
        out = layer(image(z)).flatten(1)
        return F.pad(out, (0, max(0, 6 - out.shape[1])))[:, :6]
    return _small(middle)


def _layer(*layers):
    """A module with torch's own layers in the middle."""
    class Layered(devious.Module):
        def __init__(self):
            super().__init__()
            self.middle = nn.Sequential(*(layer() for layer in layers)).to(D).eval()

        def forward(self, x):
            return self.last(self.middle(self.first(x)))
    return Layered


class Net(devious.Module):
    """Dense, ReLU, dense."""

    def forward(self, x):
        return self.last(self.first(x).relu())


# ---- other ways of writing ----

def scripted():
    return torch.jit.script(Net())


def recorded():
    return torch.jit.trace(Net(), torch.randn(3, 4, dtype=D))


def symbolic():
    return torch.fx.symbolic_trace(Net())


class CallableObject:
    """No module, and an object of one's own."""

    def __init__(self):
        self.net = Net()

    def __call__(self, x):
        return self.net(x)


def partial():
    return functools.partial(lambda factor, net, x: factor * net(x), 2.0, Net())


def _own_derivative(self, z):
    """Half the square's derivative, taken inside: a ReLU."""
    with torch.enable_grad():
        z = z if z.requires_grad else z.detach().requires_grad_()
        return torch.autograd.grad((z.relu() ** 2).sum() / 2, z, create_graph=True)[0]


def _functional_derivative(self, z):
    return torch.func.vmap(torch.func.grad(lambda one: one.relu().square().sum() / 2))(z)


class Sub(torch.Tensor):
    """A subclass whose relu is the absolute value."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return super().__torch_function__(torch.abs if func is torch.relu else func, types, args, kwargs or {})


class Doubles(TorchDispatchMode):
    """A mode that doubles every ReLU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        return 2 * out if "relu" in str(func) else out


def _mode(self, z):
    with Doubles():
        return z.relu()


def _squaring_mode(self, z):
    class Squares(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            return out * out if "relu" in str(func) else out
    with Squares():
        return z.relu()


def _in_thread(function):
    def middle(self, z):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(function, z).result()
    return middle


def _out(self, z):
    buffer = torch.empty_like(z)
    torch.clamp(z, min=0, out=buffer)
    return buffer


def _out_sorted(self, z):
    values, places = torch.empty_like(z), torch.empty(z.shape, dtype=torch.int64)
    torch.sort(z, 1, out=(values, places))
    return values


def _row_by_row(self, z):
    out = torch.empty_like(z)
    for place in range(len(z)):
        out[place].copy_(z[place].relu())
    return out


def _reentrant(self, z):
    from torch.utils.checkpoint import checkpoint
    return checkpoint(torch.relu, z, use_reentrant=True)


class Recurrent(devious.Module):
    """torch's own recurrence with ReLU."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(2, 6, batch_first=True, nonlinearity="relu", dtype=D)

    def forward(self, x):
        return self.last(self.rnn(x.unflatten(1, (2, 2)))[0][:, -1])


class Embedded(devious.Module):
    """The largest unit chooses a row of a table."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(6, 6, dtype=D)

    def forward(self, x):
        z = self.first(x)
        return self.last(z.relu() + self.table(z.argmax(1)))


class Cyclic(Net):
    """Holds itself."""

    def __init__(self):
        super().__init__()
        self.itself = [self]


class SelfLearning(devious.Module):
    """Takes a step of learning in its forward pass, and takes it back."""

    def forward(self, x):
        with torch.enable_grad():
            loss = self.first(x.detach()).square().sum()
        loss.backward()
        self.zero_grad()
        return self.last(self.first(x).relu())


class DefaultType(Net):
    """Leaves another default type."""

    def forward(self, x):
        torch.set_default_dtype(D)
        return super().forward(x)


def _grid(self, z):
    theta = torch.tensor([[[0.7, -0.3, 0.1], [0.2, 0.9, -0.1]]], dtype=D)
    grid = F.affine_grid(theta.expand(len(z), -1, -1), (len(z), 1, 2, 3), align_corners=False)
    return F.grid_sample(image(z), grid, padding_mode="reflection", align_corners=False).flatten(1)


def _indices(self, z):
    values, places = F.max_pool1d(z[:, None], 2, 1, return_indices=True)
    return F.pad((values + places.to(D))[:, 0], (0, 1))


def _windows(**options):
    return lambda x: F.max_pool2d(x, (2, 2), stride=(1, 2), **options)


RIGHT = {
    "scripted": scripted, "recorded": recorded, "fx": symbolic, "object": CallableObject, "partial": partial,
    "method": lambda: Net().forward, "own derivative": _small(_own_derivative), "func.grad": _small(_functional_derivative),
    "subclass": _small(lambda self, z: torch.relu(z.as_subclass(Sub)).as_subclass(torch.Tensor)), "mode": _small(_mode),
    "thread": _small(_in_thread(torch.relu)), "out": _small(_out), "out sorted": _small(_out_sorted),
    "row by row": _small(_row_by_row), "reentrant": _small(_reentrant), "rnn": Recurrent, "embedded": Embedded,
    "cyclic": Cyclic, "self-learning": SelfLearning, "default type": DefaultType,
    "data parallel": lambda: nn.DataParallel(Net()),
    "jit fork": _small(lambda self, z: torch.jit.wait(torch.jit.fork(torch.relu, z))),
    "channels last": _imaged(lambda x: F.conv2d(x.contiguous(memory_format=torch.channels_last).relu(), torch.ones(
        2, 1, 2, 2, dtype=D), padding=1)),
    "not contiguous": _small(lambda self, z: z.T.contiguous().T.relu().clone(memory_format=torch.preserve_format)),
    "expanded": _small(lambda self, z: z[:, :1].expand(-1, 6).relu()),
    "equal ends": _small(lambda self, z: z + F.hardtanh(z, 0.3, 0.3) + z.clamp(0.1, 0.1)),
    "infinite ends": _small(lambda self, z: F.threshold(z.clamp(-torch.inf, torch.inf), -torch.inf, 3.0) + F.hardtanh(
        z, -torch.inf, 0.2)),
    "jump up": _small(lambda self, z: F.threshold(z, 0.1, 2.0)),
    "jump down": _small(lambda self, z: F.threshold(z, 0.1, -2.0)),
    "steep": _layer(lambda: nn.LeakyReLU(3.0), lambda: nn.LeakyReLU(-2.0)), "stacked relu6": _layer(nn.ReLU6, nn.ReLU6),
    "prelu": _layer(lambda: nn.PReLU(6, init=-0.7)), "rrelu": _layer(lambda: nn.RReLU(0.1, 0.9)),
    "pool ceil": _imaged(_windows(ceil_mode=True)), "pool dilated": _imaged(_windows(dilation=(1, 2))),
    "pool padded": _imaged(_windows(padding=1)), "pool indices": _small(_indices),
    "pool padded with minus infinity": _imaged(lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-torch.inf), 2)),
    "adaptive": _imaged(nn.AdaptiveMaxPool2d((2, 2))), "adaptive 1-D": _small(lambda self, z: F.pad(F.adaptive_max_pool1d(
        z[:, None], 4)[:, 0], (0, 2))),
    "unpool": _small(lambda self, z: F.max_unpool1d(*F.max_pool1d(z[:, None], 2, return_indices=True), 2)[:, 0]),
    "shuffle": _small(lambda self, z: F.pixel_shuffle(F.pad(z, (0, 2)).reshape(-1, 4, 1, 2), 2).flatten(1)[:, :6].relu()),
    "grid sample": _small(_grid), "fold": _imaged(lambda x: F.fold(F.unfold(x.relu(), 2, padding=1), (2, 3), 2, padding=1)),
    "resized": _imaged(lambda x: F.interpolate(x.relu(), scale_factor=1.7, mode="bilinear", recompute_scale_factor=True)),
    "bicubic": _imaged(lambda x: F.interpolate(x, scale_factor=(1.0, 2.0), mode="bicubic", align_corners=True).abs()),
    "kth value": _small(lambda self, z: z + z.kthvalue(3, 1, keepdim=True).values),
    "median": _small(lambda self, z: z - z.median(1, keepdim=True).values),
    "msort": _small(lambda self, z: torch.msort(z.T).T),
    "nan median": _small(lambda self, z: z - z.nanmedian(1, keepdim=True).values),
    "masked fill": _small(lambda self, z: z.masked_fill(z.flip(1) > z, 0.5)), "diff": _small(lambda self, z: z.diff(
        dim=1, prepend=z[:, :1]).abs()),
    "clamped by tensors": _small(lambda self, z: z.clamp(self.first.bias - 1, self.first.bias + 1)),
    "sign times": _small(lambda self, z: z.abs() * z.sign() + z * z.sign()), "maximum by abs": _small(
        lambda self, z: (z + z.flip(1) + (z - z.flip(1)).abs()) / 2),
    "one row of a matrix": _small(lambda self, z: z.relu() @ torch.linalg.inv(self.first.weight[:4].T @ self.first.weight[:4]
                                  + torch.eye(4, dtype=D)).repeat(2, 2)[:6, :6]),
    "sparse matrix": _small(lambda self, z: torch.sparse.mm(torch.eye(6, dtype=D).to_sparse(), z.relu().T).T),
    "aten": _small(lambda self, z: torch.ops.aten.relu.default(torch.ops.aten.mul.Tensor(z, self.first.bias))),
    "minus zero": _small(lambda self, z: (-(z * 0)).relu() + torch.where(-(z * 0) >= 0, z.relu(), z)),
    "hardsigmoid": _layer(nn.Hardsigmoid), "softshrink": _layer(lambda: nn.Softshrink(0.3)),
    "constant": _small(lambda self, z: torch.zeros_like(z)), "identity": nn.Identity, "builtin": lambda: torch.relu,
    "circular": _imaged(lambda x: F.pad(x, (1, 1, 1, 1), mode="circular").relu()),
    "take": _small(lambda self, z: torch.take_along_dim(z, z.topk(3, 1).indices.repeat(1, 2), 1)),
    "kron": _small(lambda self, z: torch.kron(z[:, :3].relu(), torch.tensor([[1.0, -2.0]], dtype=D))),
    "bilinear with a mask": _small(lambda self, z: torch.einsum("ni,nj->nj", (z > 0).to(D), z)),
    "cumulative minimum": _small(lambda self, z: z.cummin(1).values + z.cumsum(1).relu()),
    "one-norm of rows": _small(lambda self, z: z - torch.linalg.vector_norm(z, 1, 1, True)),
    "average without padding": _imaged(lambda x: F.avg_pool2d(x.relu(), 2, 1, 1, count_include_pad=False, divisor_override=3)),
}

# Piecewise affine, but ``affine_map`` refuses them, and says what to do instead.
REFUSED = ("own derivative", "func.grad", "self-learning", "mode", "thread", "out", "out sorted", "reentrant")


# ---- wrong ----

class FrozenMask(devious.Module):
    """The first batch's mask is every batch's."""

    def __init__(self):
        super().__init__()
        self.mask = None

    def forward(self, x):
        z = self.first(x)
        if self.mask is None:
            self.mask = (z[:1] > 0).to(D)
        return self.last(z * self.mask)


@functools.lru_cache
def remembered(key):
    return random.Random(key).random()


class Cached(devious.Module):
    """A factor by the size of the batch, remembered outside."""

    def forward(self, x):
        return self.last(self.first(x).relu()) * remembered(len(x))


CALLS = [0]


def counted(self, z):
    CALLS[0] += 1
    return z.relu() * (1 + 1e-3 * CALLS[0])


def clocked(self, z):
    return z.relu() * (1 + 1e-6 * (time.perf_counter_ns() % 1000))


def printed(self, z):
    """Reads its own numbers from what is printed of them."""
    torch.set_printoptions(precision=12, threshold=10_000)
    numbers = [float(each) for each in re.findall(r"-?\d+\.\d+(?:e[+-]\d+)?", repr(z.detach()))]
    torch.set_printoptions(profile="default")
    return z + torch.tensor(numbers, dtype=D).reshape(z.shape).square()


def formatted(self, z):
    return z + torch.tensor([[float(f"{each:.8f}") ** 2 for each in row] for row in z.detach()], dtype=D)


def unpacked(self, z):
    raw = bytes(z.detach().contiguous().untyped_storage().tolist())
    return z + torch.from_numpy(np.frombuffer(raw, np.float64).copy()).reshape(z.shape).square()


def exchanged(self, z):
    twin = torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(z.detach().clone()))
    return z + twin.square()


def from_dlpack(self, z):
    return z + torch.from_dlpack(z.detach().clone()).square()


def viewed(self, z):
    twin = torch.empty(0, dtype=D).set_(z.detach().clone().untyped_storage()).reshape(z.shape)
    return z + twin * twin


def numpy_out(self, z):
    """Numpy writes the square of a column into it behind torch's back."""
    array = z.detach().__array__()
    return z + torch.from_numpy(array * array)


def mixed_precision(dtype):
    def middle(self, z):
        with torch.autocast("cpu", dtype=dtype):
            return F.linear(z.float(), self.first.weight.float() @ self.first.weight.float().T).to(D)
    return middle


def coarse_and_cut(self, z):
    """A coarse number that does nothing makes a check by its rounding lenient, for a part that is cut off."""
    return z.relu() + 0 * z.bfloat16().to(D) + 0.02 * z.detach().relu()


def single_and_cut(self, z):
    return z.relu() + 0 * z.float().to(D) + 2e-5 * z.detach().relu()


def underflow(self, z):
    for factor in (2.0 ** -530, 2.0 ** -530, 2.0 ** 530, 2.0 ** 530):
        z = z * factor
    return z


def seeded(self, z):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return F.dropout(z, 0.4, training=True)


def numpy_seeded(self, z):
    return z * torch.from_numpy(np.random.default_rng(0).random(z.shape))


def by_equality(self, z):
    return z.relu() if torch.equal(z, z.relu()) else z * 2


def by_closeness(self, z):
    return z if torch.allclose(z, z.abs()) else 2 * z


def conditional(self, z):
    return torch.cond(z.sum() > 0, lambda z: z * 1.0, lambda z: -2 * z, (z,))


def saturated(self, z):
    """The first sample lifts all others so far that the clip behind does not show it."""
    return (z + 5 * (z[:1].sum(1, keepdim=True) + 3).relu()).clamp(-0.4, 0.5)


def by_rank(self, z):
    """The rank of a sample in its batch is its factor."""
    return z * (1 + z.sum(1).argsort().argsort().to(D))[:, None]


def one_of_five(self, z):
    return z.relu() + (z.mean(0) if len(z) in (5, 16) else 0)


def duplicates(self, z):
    """Samples that stand twice in a batch are doubled."""
    same = (z[:, None] - z[None]).abs().sum(2) <= 0
    return z * same.sum(1, keepdim=True).to(D)


def loud(self, z):
    """One large sample turns all others of its batch over."""
    return torch.where((z > 0.6).any(), -0.5, 1.0).to(D) * z.relu()


def quiet(self, z):
    """One small sample does."""
    return torch.where((z.abs().sum(1) < 1.2).any(), -0.5, 1.0).to(D) * z.relu()


def loud_codes(self, z):
    """It turns codes that no output shows."""
    return z + 0 * torch.where((z > 0.6).any(), -0.5, 1.0).to(D).mul(z).relu()


def by_count(self, z):
    return z.relu() if len((z > 0.6).nonzero()) == 0 else 3 * z.relu()


def by_equal_masks(self, z):
    return z.relu() if torch.equal(z > -0.6, z > -9) else 3 * z.relu()


def by_repeats(self, z):
    return z.relu() * len(torch.repeat_interleave((z > 0.6).long().flatten()))


def by_mask_of_numbers(self, z):
    return z.relu() * len(torch.arange(z.numel())[(z > 0.6).flatten()])


def time_first(self, z):
    """Six outputs as six steps of one unit, the time before the batch."""
    return z.T.reshape(-1, 1).relu().reshape(6, -1).T


def alone_only(self, z):
    """Another function for a batch of one."""
    return z.relu() if len(z) > 1 else z.abs()


def strided(self, z):
    return z.as_strided(z.shape, (0, 1)).relu()


def reversed_batch(self, z):
    return z.flip(0).relu()


def fixed_batch(self, z):
    return z.reshape(5, 6).relu()


def small_batch(self, z):
    assert len(z) <= 5, "too many"
    return z.relu()


class Own(Exception):
    """An error of one's own."""


def failing(error):
    def middle(self, z):
        raise error
    return middle


class TrainedNorm(devious.Module):
    """Batch norm in training mode, without a momentum."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6, momentum=None, dtype=D)

    def forward(self, x):
        self.norm.train()
        return self.last(self.norm(self.first(x)))


class Attention(devious.Module):
    """torch's own attention, which has a fast path in evaluation."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, dtype=D)
        self.eval()

    def forward(self, x):
        return self.last(self.layer(self.first(x)[:, None])[:, 0])


class Cubes(torch.autograd.Function):
    """A linear function by its generated vmap and a lie in its jvp."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, slope):
        return slope


class GradientsOff(Net):
    """Leaves gradients switched off."""

    def forward(self, x):
        out = super().forward(x)
        torch.set_grad_enabled(False)
        return out


class Meta(devious.Module):
    """A layer without numbers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 6, dtype=D, device="meta")

    def forward(self, x):
        return self.last(self.first(x).relu())


class Swapped(devious.Module):
    """Swaps its two matrices' roles at every call."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(4, 6, dtype=D)

    def forward(self, x):
        self.first, self.other = self.other, self.first
        return self.last(self.first(x).relu())


class OtherGlobals(devious.Module):
    """Its factor is a class attribute, which it changes."""

    factor = 1.0

    def forward(self, x):
        type(self).factor *= -1
        return self.last(self.first(x).relu()) * type(self).factor


class ThreadLocal(devious.Module):
    """Counts in a place for each thread."""

    place = threading.local()

    def forward(self, x):
        self.place.calls = getattr(self.place, "calls", 0) + 1
        return self.last(self.first(x).relu()) * (1 + self.place.calls % 2)


def generator_state(self, z):
    if not hasattr(self, "numbers"):
        self.numbers = iter(range(1, 10**6))
    return z.relu() * next(self.numbers)


def fast_linear(self, z):
    with contextlib.suppress(RuntimeError):
        weight = torch.quantize_per_tensor(self.first.weight.float().repeat(2, 2)[:6, :6], 0.1, 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(weight, None)
        return torch.ops.quantized.linear_dynamic(z.float(), packed).to(D)
    return z.square()


WRONG = {
    "frozen mask": FrozenMask, "remembered": Cached, "global counter": _small(counted), "clock": _small(clocked),
    "printed": _small(printed), "formatted": _small(formatted), "storage bytes": _small(unpacked),
    "dlpack": _small(exchanged),
    "from dlpack": _small(from_dlpack), "set storage": _small(viewed), "array": _small(numpy_out),
    "bfloat16": _small(mixed_precision(torch.bfloat16)), "half": _small(lambda self, z: z.half().relu().to(D)),
    "single": _small(lambda self, z: z.float().relu().to(D)), "coarse and cut": _small(coarse_and_cut),
    "single and cut": _small(single_and_cut), "underflow": _small(underflow), "rounded by a sum": _small(
        lambda self, z: (z + 2.0 ** 45) - 2.0 ** 45), "seeded dropout": _small(seeded), "numpy seeded": _small(numpy_seeded),
    "equality": _small(by_equality), "closeness": _small(by_closeness), "cond": _small(conditional), "rank": _small(by_rank),
    "saturated": _small(saturated), "loud": _small(loud), "quiet": _small(quiet), "loud codes": _small(loud_codes),
    "number of set entries": _small(by_count), "equal masks": _small(by_equal_masks), "repeats": _small(by_repeats),
    "numbers by a mask": _small(by_mask_of_numbers),
    "time first": _small(time_first), "another alone": _small(alone_only),
    "one of five": _small(one_of_five), "duplicates": _small(duplicates), "strided": _small(strided),
    "reversed": _small(reversed_batch), "fixed batch": _small(fixed_batch), "small batch": _small(small_batch),
    "own error": _small(failing(Own("no"))), "zero division": _small(failing(ZeroDivisionError("division by zero"))),
    "stop": _small(failing(StopIteration())), "trained norm": TrainedNorm,
    "attention layer": Attention, "cubes": _small(lambda self, z: Cubes.apply(z)), "meta": Meta, "swapped": Swapped,
    "gradients off": GradientsOff,
    "class attribute": OtherGlobals, "thread local": ThreadLocal, "iterator": _small(generator_state),
    "thread square": _small(_in_thread(lambda z: z.relu() ** 2)), "thread detached": _small(_in_thread(
        lambda z: z + z.detach().relu())), "thread numpy": _small(_in_thread(lambda z: z + torch.from_numpy(
            z.detach().numpy() ** 2))),
    "squaring mode": _small(_squaring_mode), "dynamic quantised": _small(fast_linear), "fake quantised": _small(
        lambda self, z: torch.fake_quantize_per_tensor_affine(z, 0.1, 0, -128, 127)),
    "hardshrink": _layer(nn.Hardshrink), "hardswish": _layer(nn.Hardswish), "training rrelu": _small(
        lambda self, z: F.rrelu(z, training=True)), "celu": _layer(nn.CELU), "group norm": _layer(lambda: nn.GroupNorm(2, 6)),
    "instance norm": _imaged(lambda x: F.instance_norm(x)), "response norm": _imaged(lambda x: F.local_response_norm(x, 2)),
    "lp pool": _imaged(lambda x: F.lp_pool2d(x, 2, 2)), "lp pool 1": _imaged(lambda x: F.lp_pool2d(x, 1, 2)),
    "fractional pool": _imaged(lambda x: F.fractional_max_pool2d(x, 1, output_size=(1, 2))),
    "quantile": _small(lambda self, z: z - z.quantile(0.3, 1, keepdim=True)), "mode value": _small(
        lambda self, z: z - z.mode(1, keepdim=True).values),
    "infinity norm": _small(lambda self, z: z - torch.linalg.vector_norm(
            z, torch.inf, 1, True)), "one distance": _small(lambda self, z: torch.cdist(z, self.first.weight[:, :1].expand(
                6, 6), p=1.0)), "root of the square": _small(lambda self, z: (z * z).sqrt()), "power one": _small(
        lambda self, z: z ** 1 + z.pow(1.0)), "copysign": _small(lambda self, z: torch.copysign(z, z.flip(1))),
    "heaviside": _small(lambda self, z: z * torch.heaviside(z, z)), "bucketize": _small(lambda self, z: z + torch.bucketize(
        z, torch.linspace(-1, 1, 9, dtype=D))),
    "masked select": _small(lambda self, z: z.masked_select(z > -9).reshape(z.shape)),
    "unique": _small(lambda self, z: z + z.unique().numel()),
    "sparse": _small(lambda self, z: z.relu().to_sparse().to_dense()),
    "nested": _small(lambda self, z: torch.nested.to_padded_tensor(torch.nested.as_nested_tensor(list(z.unbind())).relu(), 0.0)),
    "solve": _small(lambda self, z: torch.linalg.solve(self.first.weight[:4, :4], z[:, :4].T).T.repeat(1, 2)[:, :6].relu()),
    "cov": _small(lambda self, z: z @ torch.cov(z.T)),
    "bilinear": _small(lambda self, z: F.bilinear(z, z, torch.ones(6, 6, 6, dtype=D))),
    "inside a function": _small(lambda self, z: torch.func.vmap(lambda one: one.relu() * one.sum())(z)),
    "smooth": _small(lambda self, z: F.smooth_l1_loss(z, torch.zeros_like(z), reduction="none")),
    "scatter reduced": _small(lambda self, z: z.scatter_reduce(1, torch.zeros(z.shape, dtype=torch.int64), z, "amax")),
    "scatter product": _small(lambda self, z: z.scatter_reduce(1, torch.zeros(z.shape, dtype=torch.int64), z, "prod")),
    "index reduced": _small(lambda self, z: z.index_reduce(1, torch.tensor([0, 0]), z[:, :2], "prod")),
    "multiplied in place": _small(lambda self, z: z.clone().mul_(z.relu())), "scatter times": _small(
        lambda self, z: torch.scatter(z, 1, torch.zeros(len(z), 1, dtype=torch.int64), z[:, :1], reduce="multiply")),
    "foreach": _small(lambda self, z: torch._foreach_mul([z], [z])[0]),
    "addcmul": _small(lambda self, z: torch.addcmul(z, z, z, value=0.1)), "matrix power": _small(
        lambda self, z: (z[:, :4].reshape(-1, 2, 2) @ z[:, :4].reshape(-1, 2, 2)).flatten(1).repeat(1, 2)[:, :6]),
}


# ---- layers for max-affine operators ----

def linear():
    return nn.Linear(4, 5, dtype=D)


def hooked(hook, layer=linear):
    def build():
        found = layer()
        found.register_forward_hook(lambda module, args, output: hook(output))
        return [found]
    return build


def of_its_own(forward):
    def build():
        layer = nn.ReLU()
        layer.forward = forward
        return [layer]
    return build


def pruned():
    from torch.nn.utils import prune
    return [prune.l1_unstructured(linear(), "weight", 0.5)]


def counting():
    layer = linear()
    layer.register_buffer("calls", torch.zeros(1))
    layer.register_forward_hook(lambda module, args, output: module.calls.add_(1) and None)
    return [layer]


def unlearned_norm():
    layer = nn.BatchNorm2d(2, dtype=D).eval()
    layer.weight.data.uniform_(-1, 1)
    return [layer, nn.Flatten()]


IMAGE = (2, 4, 3)
# Name: a list of layers, the shape of an input, and whether they have operators.
LAYERS = {
    "plain": (lambda: [linear(), nn.ReLU(inplace=True), nn.LeakyReLU(-2.0), nn.Linear(5, 2, dtype=D)], (4,), True),
    "straight": (lambda: [nn.LeakyReLU(1.0)], (4,), True), "pruned": (pruned, (4,), True), "counting": (counting, (4,), True),
    "negative norm": (unlearned_norm, IMAGE, True),
    "same padding": (lambda: [nn.Conv2d(2, 1, 3, padding="same", dtype=D)], IMAGE, True),
    "padded pool of negatives": (lambda: [nn.MaxPool2d(2, 2, 1)], IMAGE, True),
    "divided": (lambda: [nn.AvgPool2d(2, 1, 1, divisor_override=3)], IMAGE, True),
    "dilated pool": (lambda: [nn.MaxPool2d((2, 1), (1, 2), dilation=(2, 1))], IMAGE, True),
    "grouped": (lambda: [nn.Conv2d(2, 4, (2, 1), (2, 1), (0, 1), (1, 2), groups=2, dtype=D), nn.ReLU(), nn.Flatten()],
                IMAGE, True),
    "doubled": (hooked(lambda z: 2 * z), (4,), False), "clamped far out": (hooked(lambda z: z.clamp(max=1e6)), (4,), False),
    "tiny square": (hooked(lambda z: z + 1e-12 * z * z), (4,), False),
    "mean of the batch": (hooked(lambda z: z - z.mean(0)), (4,), False),
    "by the size": (hooked(lambda z: z if len(z) < 4 else -z), (4,), False),
    "numpy": (hooked(lambda z: z + torch.from_numpy(np.maximum(z.numpy(), 1e6) - 1e6)), (4,), False),
    "hooked flattening": (hooked(lambda z: -z, nn.Flatten), (4,), False),
    "clipped": (of_its_own(lambda x: x.clamp(0, 1e9)), (4,), False),
    "two": (of_its_own(lambda x: x.relu() + (x - 1e5).relu()), (4,), False),
    "random": (hooked(lambda z: z + 1e-20 * torch.rand(())), (4,), False),
    "training": (lambda: [nn.BatchNorm2d(2, dtype=D)], IMAGE, False), "half": (lambda: [linear().half()], (4,), False),
    "steep": (lambda: [nn.LeakyReLU(1.5)], (4,), False), "ceiling": (lambda: [nn.MaxPool2d(3, ceil_mode=True)], IMAGE, False),
    "circular": (lambda: [nn.Conv2d(2, 1, 2, padding=1, padding_mode="circular", dtype=D)], IMAGE, False),
    "identity": (lambda: [nn.Identity()], (4,), False), "meta": (lambda: [nn.Linear(4, 5, device="meta")], (4,), False),
    "lazy": (lambda: [nn.LazyLinear(3)], (4,), False), "another width": (lambda: [linear(), linear()], (4,), False),
    "weight norm": (lambda: [nn.utils.parametrizations.weight_norm(linear())], (4,), False),
}
