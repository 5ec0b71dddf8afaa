"""One pass of any network, seen below its modules: which weights meet the input, in which order, and what activates them.

Functional calls, reused layers, in-place operations and scripted modules are all seen, because it is torch's operations that are
watched and not the modules. Unlike :func:`deepatoms.theory.piecewise.trace` nothing is refused: what is not understood makes
a tensor of mixed origin, and a lens that needs to know says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deepatoms.theory.signatures import named
from deepatoms.theory.untouched import storage_name, untouched

THRESHOLDING = ("relu", "threshold", "clamp_min")  # what sets to zero all that lies below an end
# The largest slope of each activation; None where an argument decides.
SLOPES = {"relu": 1.0, "threshold": 1.0, "clamp_min": 1.0, "clamp": 1.0, "hardtanh": 1.0, "abs": 1.0, "hardsigmoid": 1 / 6,
          "hardswish": 1.5, "gelu": 1.13, "silu": 1.1, "mish": 1.09, "softplus": 1.0, "tanh": 1.0, "sigmoid": 0.25,
          "softshrink": 1.0, "log_sigmoid_forward": 1.0, "sin": 1.0, "leaky_relu": None, "rrelu_with_noise": None,
          "_prelu_kernel": None, "elu": None, "celu": None, "selu": None, "hardshrink": None, "exp": None, "erf": 1.13}
# What only reshapes, or rearranges a part: a slope of 1.
SHAPES = ("view", "_unsafe_view", "reshape", "clone", "contiguous", "_to_copy", "detach", "unsqueeze", "squeeze", "alias",
          "lift_fresh", "flatten", "dropout", "native_dropout", "copy")
VIEWS = ("slice", "select", "transpose", "permute", "t", "split", "split_with_sizes", "unbind", "flip", "roll")
POOLING = ("max_pool2d_with_indices", "max_pool1d", "avg_pool2d", "avg_pool1d", "mean", "_adaptive_avg_pool2d")
NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "_batch_norm_no_update")


@dataclass(frozen=True)
class Flow:
    r"""Where a tensor comes from.

    Attributes:
        origin: "input", "layer" (what a weight puts out), "code" (the same, activated) or "mixed".
        layer: Which layer, or -1.
        via: What it passed since: pooling, or the operation that mixed it.
        added: What was added to it: shortcuts.
        parts: Of which tensors its channels are the concatenation, in order; empty where it is none.
        gain: Of what its gain over the input is composed, see :func:`deepatoms.reports.lenses.skip_dictionaries.gain`.
    """

    origin: str
    layer: int = -1
    via: tuple[str, ...] = ()
    added: tuple[Flow, ...] = ()
    parts: tuple[Flow, ...] = ()
    gain: tuple = field(default=("input",), compare=False, repr=False)


@dataclass
class Layer:
    r"""A weight that meets the input.

    Attributes:
        name: The parameter's name without ``.weight``; a second use is marked.
        weight: Shape (out, in) or (out, in, \*kernel), as it is used; not copied.
        kind: "linear", "columns" (a matrix from the left, features on the first axis) or "convolution".
        reads: Where its input comes from; None where no input was there to follow.
        options: For a convolution stride, padding, dilation, transposed, groups.
        grid: Sizes of the input's grid, and of the output's.
        scale: The factors of the batch norm that follows, or None.
        activation: What activates it, or None.
        summed: What had been added to it before it was activated.
    """

    name: str
    weight: torch.Tensor
    kind: str
    reads: Flow | None
    options: dict[str, Any]
    grid: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    scale: torch.Tensor | None = None
    activation: str | None = None
    summed: tuple[Flow, ...] = ()

    @property
    def effective(self) -> torch.Tensor:
        """The weight times the factors of the batch norm that follows."""
        weight = self.weight.detach()
        return weight if self.scale is None else weight * self.scale.reshape(-1, *[1] * (weight.ndim - 1))

    @property
    def odd(self) -> str:
        """Why the layer is no dictionary of the theory, or "": it is a matrix, or a convolution of stride 1."""
        if self.kind != "convolution":
            return "" if self.kind == "linear" else "multiplies from the left, with its features on the first axis"
        found = [f"{name} {self.options[name]}" for name, usual in USUAL.items() if self.options[name] != usual]
        if found:
            return f"is a convolution with {', '.join(found)}"
        return "" if self.weight.ndim < 5 else "is a convolution of three axes"

    @property
    def strided(self) -> bool:
        """Whether a stride is all that is odd about it: its dictionary is one of stride 1, of larger pixels."""
        return self.kind == "convolution" and self.weight.ndim < 5 and self.options["stride"] != 1 and all(
            self.options[name] == usual for name, usual in USUAL.items() if name != "stride")

    @property
    def positions(self) -> int:
        """On how many positions the weight is applied to one input."""
        return math.prod(self.grid[0] if self.options.get("transposed") else self.grid[1])


USUAL = {"stride": 1, "dilation": 1, "transposed": False, "groups": 1}


@dataclass(frozen=True)
class Sum:
    """Two tensors that depend on the input, added: in which module, and where they come from."""

    module: str
    one: Flow
    other: Flow


@dataclass(frozen=True)
class Passage:
    """What one pass met: layers and sums in the order of execution, the output, and the bytes that activations took."""

    layers: tuple[Layer, ...]
    sums: tuple[Sum, ...]
    output: Any
    flow: Flow | None
    bytes: int


OnCode = Callable[[int, torch.Tensor], object]


def passage(model: torch.nn.Module, x: torch.Tensor, on_code: OnCode | None = None) -> Passage:
    """Run a network once on x and return what it met; nothing of the caller's changes.

    Args:
        model: Any module.
        x: Inputs, shape (batch, ...).
        on_code: Called with a layer's number and what its activation puts out.

    >>> found = passage(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1)), torch.zeros(1, 2))
    >>> [(layer.name, layer.activation, layer.reads.origin) for layer in found.layers]
    [('0', 'relu', 'input'), ('2', None, 'code')]
    """
    with untouched(model), torch.no_grad(), places(model) as stack:
        given = x.clone()
        watcher = _Watcher(model, given, stack, on_code)
        with watcher:
            output = model(given)
    return Passage(tuple(watcher.layers), tuple(watcher.sums), output, watcher.flow(output), watcher.bytes)


def registered(model: torch.nn.Module) -> tuple[Layer, ...]:
    """Return the weights of a network's linear and convolutional modules, where there is no input to follow.

    >>> [layer.name for layer in registered(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(2, 1)))]
    ['1']
    """
    return tuple(_registered(model))


def _registered(model):
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            yield Layer(name, module.weight, "linear", None, {})
        elif isinstance(module, torch.nn.modules.conv._ConvNd):
            values = {key: getattr(module, key) for key in ("stride", "padding", "dilation", "transposed", "groups")}
            yield Layer(name, module.weight, "convolution", None, _short(values))


@contextmanager
def places(model: torch.nn.Module) -> Iterator[list[str]]:
    """Keep the names of the modules being called; on an error the last stays where it happened."""
    stack: list[str] = []
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # it takes no hooks written in Python
            enter = module.register_forward_pre_hook(lambda _, __, name=name: stack.append(name), prepend=True)
            leave = module.register_forward_hook(lambda *_: (stack.pop(), None)[1])
            hooks.callback(enter.remove)
            hooks.callback(leave.remove)
        yield stack


class _Watcher(TorchDispatchMode):
    def __init__(self, model, x, stack, on_code):
        super().__init__()
        self.stack, self.on_code = stack, on_code
        self.flows, self.alive, self.bytes = {}, [], 0
        self.layers, self.sums = [], []
        self.names = {storage_name(each): name.removeprefix("_orig_mod.") for name, each in model.named_parameters()}
        self._set(x, Flow("input"))

    def _set(self, value, flow, written=False):
        """Note a tensor's flow by its storage and its place in it: a view has one of its own, what is written has one again."""
        for each in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(each, torch.Tensor):
                key = storage_name(each)
                if key not in self.flows:  # kept alive, because identities are used again
                    self.alive.append(each.untyped_storage() if each.layout == torch.strided else each)
                    self.bytes += each.numel() * each.element_size()  # a sparse tensor has no nbytes
                elif written:
                    self.flows[key].clear()
                self.flows.setdefault(key, {})[_place(each)] = flow

    def flow(self, value):
        """Return where a tensor, or one of several, comes from; None where it does not depend on the input."""
        if isinstance(value, (tuple, list)):
            found = [flow for flow in map(self.flow, value) if flow]
            return None if not found else found[0] if len(value) == 1 else _mixed("cat", ("stack", *(one.gain for one in found)))
        flows = self.flows.get(storage_name(value)) if isinstance(value, torch.Tensor) else None
        return flows and flows.get(_place(value), next(iter(flows.values())))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::").removesuffix("_")
        flows = [self.flow(arg) for arg in args]
        output = func(*args, **(kwargs or {}))
        if any(flows) and name != "_local_scalar_dense":
            self._set(output, self._passed(name, args, flows, output), func._schema.is_mutable)
        return output

    def _passed(self, name, args, flows, output):
        first, many = next(flow for flow in flows if flow), sum(flow is not None for flow in flows) > 1
        if name in ("cat", "stack"):
            return self._side_by_side(name, args, first)
        if name in PRODUCTS and not many:
            return self._weigh(name, args, flows, output)
        if name in ("add", "sub") and many:
            return self._add(flows[0], flows[1])
        if name in SLOPES and flows[0] and not many:
            return self._activate(name, args, flows[0], output)
        if name in NORMS and not many:
            return self._norm(args, first)
        if name in ("mul", "div") and not many:
            return self._scaled(name, args, first)
        if name in SHAPES or name in ("add", "sub", "rsub"):  # what is added here is fixed: a bias
            return first
        return _moved(name, args, first) if not many else _mixed(name, ("unknown", name))

    def _side_by_side(self, name, args, first):
        """A concatenation of channels remembers what stands beside what; one of one tensor is that tensor."""
        parts = [self.flow(arg) for arg in args[0]]
        if len(parts) == 1:
            return first if name == "cat" else replace(first, via=(*first.via, name))
        whole = name == "cat" and all(parts) and (args[1] if len(args) > 1 else 0) in (1, 1 - args[0][0].ndim)
        return replace(first, parts=sum((_channels(part) for part in parts), ()) if whole else ())

    def _weigh(self, name, args, flows, output):
        weight, kind, reads, options = PRODUCTS[name](args, flows)
        x = next(arg for arg, flow in zip(args, flows, strict=True) if flow)
        grid = (tuple(x.shape[2:]), tuple(output.shape[2:])) if kind == "convolution" else ((), ())
        self.layers.append(Layer(self._name(weight), weight, kind, reads, options, grid))
        number = len(self.layers) - 1
        return Flow("layer", number, gain=("weight", number, reads.gain))

    def _name(self, weight):
        known = self.names.get(storage_name(weight))
        where = self.stack[-1] if self.stack else ""
        name = known.removesuffix(".weight") if known else f"{where or 'the model'} (weight computed)"
        uses = sum(layer.name.split(" (use ")[0] == name for layer in self.layers)
        return f"{name} (use {uses + 1})" if uses else name

    def _add(self, one, other):
        self.sums.append(Sum(self.stack[-1] if self.stack else "", one, other))
        late, early = (one, other) if one.layer >= other.layer else (other, one)
        return replace(late, added=(*late.added, early), gain=("plus", one.gain, other.gain))

    def _activate(self, name, args, flow, output):
        gain = ("times", slope, flow.gain) if (slope := _slope(name, args)) is not None else ("unknown", name)
        if name == "clamp_min" and args[1] != 0 or name == "threshold" and tuple(args[1:3]) != (0, 0):
            name += " at another number than 0"
        if flow.origin != "layer" or flow.via:
            return _mixed(name, gain, flow)
        layer = self.layers[flow.layer]
        layer.activation, layer.summed = name, flow.added
        if self.on_code is not None:
            self.on_code(flow.layer, output)
        return Flow("code", flow.layer, gain=gain)

    def _norm(self, args, flow):
        if args[4] is None:
            return _mixed("batch norm", ("unknown", "batch norm"), flow)
        scale = (args[4] + args[7]).rsqrt()
        scale = scale if args[1] is None else scale * args[1]
        if flow.origin != "layer" or flow.added or flow.via or self.layers[flow.layer].scale is not None:
            return _mixed("batch norm", ("times", float(scale.abs().max()), flow.gain), flow)
        self.layers[flow.layer].scale = scale
        return flow  # its gain is that of the layer with these factors in

    def _scaled(self, name, args, flow):
        other = args[1] if self.flow(args[0]) else args[0]
        size = float(other.abs().max() if isinstance(other, torch.Tensor) and other.numel() else abs(float(other)))
        if name == "div" and self.flow(args[1]):
            return _mixed(name, ("unknown", name), flow)
        if name == "div":
            small = float(other.abs().min()) if isinstance(other, torch.Tensor) else abs(float(other))
            size = 1 / small if small else math.inf
        return flow if size == 1 and not isinstance(other, torch.Tensor) else _mixed(name, ("times", size, flow.gain), flow)


def _channels(part):
    return part.parts if part.parts and part.via == ("cat",) and not part.added else (part,)


def _mixed(name, gain, flow=None):
    return Flow("mixed", via=(*(flow.via if flow else ()), name), gain=gain)


def _moved(name, args, flow):
    """Pooling and views: what they do is kept in words, so that a lens may ask for just this one."""
    if name == "constant_pad_nd":
        return replace(flow, via=(*flow.via, f"{name} {tuple(args[1])}"))
    if name in VIEWS:
        return replace(flow, via=(*flow.via, name))
    if name not in POOLING:
        return _mixed(name, ("unknown", name), flow)
    sizes = _pool_sizes(args) if "pool" in name and "adaptive" not in name else ()
    overlap = math.prod(math.ceil(size / stride) for size, stride in sizes) ** 0.5  # in how many windows a cell can win
    return replace(flow, via=(*flow.via, " ".join([name, *(f"{size}/{stride}" for size, stride in sizes)])),
                   gain=("times", max(1.0, overlap), flow.gain))


def _pool_sizes(args):
    kernel, stride = list(args[1]), list(args[2]) if len(args) > 2 and args[2] else list(args[1])
    return [(size, step) for size, step in zip(kernel, stride * len(kernel), strict=False)]


def _slope(name, args):
    """Return the largest slope of an activation, or None where it is not known."""
    if SLOPES[name] is not None:
        return SLOPES[name]
    if name == "leaky_relu":
        return max(1.0, abs(float(args[1]))) if len(args) > 1 else 1.0
    if name == "celu":
        return 1.0 if len(args) < 2 or float(args[1]) > 0 else None  # exp(x / alpha) where x is negative
    if name == "_prelu_kernel":
        return max(1.0, float(args[1].abs().max()))
    return max(1.0, abs(float(args[1]))) * (abs(float(args[2])) if len(args) > 2 else 1.0) if name == "elu" and len(args) > 1 \
        else 1.0 if name == "elu" else None


def _place(tensor):
    return (tensor.storage_offset(), tensor.shape, tensor.stride()) if tensor.layout == torch.strided else ()


def _product(args, flows):
    """A product x B, with x and B at the last two places; or B x."""
    first = 0 if len(args) == 2 else 1
    (left, right), reads = args[first:first + 2], flows[first:first + 2]
    return (right.mT, "linear", reads[0], {}) if reads[0] else (left, "columns", reads[1], {})


def _convolution(args, flows):
    names = ("stride", "padding", "dilation", "transposed", "", "groups")
    values = {name: value for name, value in zip(names, args[3:9], strict=True) if name}
    return args[1], "convolution", flows[0], _short(values)


def _short(values):
    """Write (1, 1) as 1."""
    return {name: value[0] if isinstance(value, (list, tuple)) and len(set(value)) == 1 else value
            for name, value in values.items()}


PRODUCTS = {"mm": _product, "addmm": _product, "bmm": _product, "baddbmm": _product, "convolution": _convolution}


named(__name__)
