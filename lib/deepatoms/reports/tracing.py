"""One pass of any network, seen below its modules: which weights meet the input, in which order, and what activates them.

Functional calls, reused layers, in-place operations and scripted modules are all seen, because it is torch's operations that are
watched and not the modules. Unlike :func:`deepatoms.theory.piecewise.trace` nothing is refused: what is not understood makes
a tensor of mixed origin, and a lens that needs to know says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deepatoms.theory.untouched import storage_name, untouched

THRESHOLDING = ("relu", "threshold", "clamp_min")  # what sets to zero all that lies below an end
ACTIVATIONS = (*THRESHOLDING, "leaky_relu", "hardtanh", "clamp", "rrelu_with_noise", "_prelu_kernel", "abs", "hardsigmoid",
               "hardswish", "gelu", "silu", "elu", "celu", "selu", "mish", "softplus", "tanh", "sigmoid", "softshrink",
               "hardshrink", "log_sigmoid_forward", "sin", "exp", "erf")
SHAPES = ("view", "_unsafe_view", "reshape", "clone", "contiguous", "_to_copy", "detach", "unsqueeze", "squeeze", "alias",
          "expand", "lift_fresh", "flatten", "dropout", "native_dropout", "copy")
POOLING = ("max_pool2d_with_indices", "avg_pool2d", "avg_pool1d", "mean", "_adaptive_avg_pool2d", "max_pool3d_with_indices",
           "avg_pool3d", "adaptive_max_pool2d", "upsample_nearest2d")
VIEWS = ("slice", "select", "transpose", "permute", "t", "split", "split_with_sizes", "unbind")
NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "_batch_norm_with_update")


@dataclass(frozen=True)
class Flow:
    """Where a tensor comes from.

    Attributes:
        origin: "input", "layer" (what a weight puts out), "code" (the same, activated) or "mixed".
        layer: Which layer, or -1.
        via: What it passed since: pooling, or the operation that mixed it.
        added: What was added to it: shortcuts.
    """

    origin: str
    layer: int = -1
    via: tuple[str, ...] = ()
    added: tuple[Flow, ...] = ()


@dataclass
class Layer:
    """A weight that meets the input.

    Attributes:
        name: The parameter's name without ``.weight``; a second use is marked.
        weight: Shape (out, in) or (out, in, \\*kernel), as it is used; not copied.
        kind: "linear", "columns" (a matrix from the left, features on the first axis) or "convolution".
        reads: Where its input comes from.
        options: For a convolution stride, padding, dilation, transposed, groups.
        grid: Sizes of the input's grid, and of the output's.
        scale: The factors of the batch norm that follows, or None.
        activation: What activates it, or None.
        summed: What had been added to it before it was activated.
    """

    name: str
    weight: torch.Tensor
    kind: str
    reads: Flow
    options: dict[str, Any]
    grid: tuple[tuple[int, ...], tuple[int, ...]]
    scale: torch.Tensor | None = None
    activation: str | None = None
    summed: tuple[Flow, ...] = ()

    @property
    def effective(self) -> torch.Tensor:
        """The weight times the factors of the batch norm that follows."""
        weight = self.weight.detach()
        return weight if self.scale is None else weight * self.scale.reshape(-1, *[1] * (weight.ndim - 1))

    @property
    def plain(self) -> str:
        """Why the layer is no dictionary of the theory, or "": a matrix, or a convolution of stride 1."""
        if self.kind != "convolution":
            return "" if self.kind == "linear" else "it multiplies from the left, with its features on the first axis"
        odd = [f"{name} {value}" for name, value in self.options.items() if value != USUAL.get(name, value)]
        return f"it is a convolution with {', '.join(odd)}" if odd else (
            "" if self.weight.ndim < 5 else "it is a convolution of three axes")


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
    return Passage(tuple(watcher.layers), tuple(watcher.sums), output, watcher.bytes)


@contextmanager
def places(model: torch.nn.Module) -> Iterator[list[str]]:
    """Keep the names of the modules being called; on an error the last stays where it happened."""
    stack: list[str] = []
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # it takes no hooks written in Python
            enter = module.register_forward_pre_hook(lambda _, __, name=name: stack.append(name), prepend=True)
            leave = module.register_forward_hook(lambda *_: stack.pop() and None)
            hooks.callback(enter.remove)
            hooks.callback(leave.remove)
        yield stack


class _Watcher(TorchDispatchMode):
    def __init__(self, model, x, stack, on_code):
        super().__init__()
        self.stack, self.on_code, self.batch = stack, on_code, len(x)
        self.flows, self.alive, self.bytes = {}, [], 0
        self.layers, self.sums = [], []
        self.names = {storage_name(each): name for name, each in model.named_parameters()}
        self._set(x, Flow("input"))

    def _set(self, value, flow, written=False):
        """Note a tensor's flow by its storage and its place in it: a view has a flow of its own, what is written has one again."""
        for each in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(each, torch.Tensor):
                key = storage_name(each)
                if key not in self.flows:  # kept alive, because identities are used again
                    self.alive.append(each.untyped_storage() if each.layout == torch.strided else each)
                    self.bytes += each.nbytes
                elif written:
                    self.flows[key].clear()
                self.flows.setdefault(key, {})[_place(each)] = flow

    def _flow(self, value):
        if isinstance(value, (tuple, list)):
            found = [flow for flow in map(self._flow, value) if flow]
            return None if not found else found[0] if len(value) == 1 else Flow("mixed", via=("cat",))
        flows = self.flows.get(storage_name(value)) if isinstance(value, torch.Tensor) else None
        return flows and flows.get(_place(value), next(iter(flows.values())))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::").removesuffix("_")
        flows = [self._flow(arg) for arg in args]
        output = func(*args, **(kwargs or {}))
        if any(flows) and name != "_local_scalar_dense":
            self._set(output, self._passed(name, args, flows, output), func._schema.is_mutable)
        return output

    def _passed(self, name, args, flows, output):
        first = next(flow for flow in flows if flow)
        if name in PRODUCTS and sum(flow is not None for flow in flows) == 1:
            return self._weigh(name, args, flows, output)
        if name in ("add", "sub") and len(flows) > 1 and flows[0] and flows[1]:
            return self._add(flows[0], flows[1])
        if name in ACTIVATIONS and flows[0]:
            return self._activate(name, args, flows[0], output)
        if name in NORMS:
            return self._norm(args, first)
        if name in SHAPES or name in ("add", "sub"):  # what is added here is fixed: a bias
            return first
        if name == "constant_pad_nd":
            return replace(first, via=(*first.via, f"{name} {tuple(args[1])}"))
        return replace(first, via=(*first.via, name)) if name in (*POOLING, *VIEWS) else Flow("mixed", via=(name,))

    def _weigh(self, name, args, flows, output):
        weight, kind, reads, options = PRODUCTS[name](args, flows)
        inner = 2 if kind == "convolution" else 1
        x = next(arg for arg, flow in zip(args, flows, strict=True) if flow)
        grid = tuple(x.shape[inner:]) if kind == "convolution" else (), tuple(output.shape[inner:]) if kind == "convolution" else ()
        self.layers.append(Layer(self._name(weight), weight, kind, reads, options, grid))
        return Flow("layer", len(self.layers) - 1)

    def _name(self, weight):
        known = self.names.get(storage_name(weight))
        where = self.stack[-1] if self.stack else ""
        name = known.removesuffix(".weight") if known else f"{where or 'the model'} (weight computed)"
        uses = sum(layer.name.split(" (use ")[0] == name for layer in self.layers)
        return f"{name} (use {uses + 1})" if uses else name

    def _add(self, one, other):
        self.sums.append(Sum(self.stack[-1] if self.stack else "", one, other))
        late, early = (one, other) if one.layer >= other.layer else (other, one)
        return replace(late, added=(*late.added, early))

    def _activate(self, name, args, flow, output):
        if name == "clamp_min" and args[1] != 0 or name == "threshold" and tuple(args[1:3]) != (0, 0):
            name += " at another number than 0"
        if flow.origin != "layer" or flow.via:
            return Flow("mixed", via=(*flow.via, name))
        layer = self.layers[flow.layer]
        layer.activation, layer.summed = name, flow.added
        if self.on_code is not None:
            self.on_code(flow.layer, output)
        return Flow("code", flow.layer)

    def _norm(self, args, flow):
        if flow.origin != "layer" or flow.added or flow.via or self.layers[flow.layer].scale is not None or args[4] is None:
            return Flow("mixed", via=("batch norm",))
        scale = (args[4] + args[7]).rsqrt()
        self.layers[flow.layer].scale = scale if args[1] is None else scale * args[1]
        return flow


def _place(tensor):
    return (tensor.storage_offset(), tensor.shape, tensor.stride()) if tensor.layout == torch.strided else ()


def _right(args, flows):
    """A product x B, with x and B at the last two places; or B x."""
    left, right = args[-2:] if len(args) == 2 else args[1:3]
    read = flows[-2:] if len(args) == 2 else flows[1:3]
    return (right.mT, "linear", read[0], {}) if read[0] else (left, "columns", read[1], {})


def _convolution(args, flows):
    values = dict(zip(("stride", "padding", "dilation", "transposed", "", "groups"), args[3:9], strict=True))
    values.pop("")
    options = {name: value[0] if isinstance(value, (list, tuple)) and len(set(value)) == 1 else value
               for name, value in values.items()}
    return args[1], "convolution", flows[0], options


PRODUCTS = {"mm": _right, "addmm": _right, "bmm": _right, "baddbmm": _right, "mv": _right, "convolution": _convolution}
