r"""What a network does to one batch, seen operation by operation: is it piecewise affine, and on which pieces?

A network of affine operations, ReLU-like activations and pooling is affine on every region of its input space, and a
region is named by the piece that each nonlinearity selected. :func:`trace` runs a model once and watches the tensor
operations below autograd, so that functional calls, reused modules, skips and recurrences are all seen. Anything that
is not piecewise affine is refused by name.
"""

import math
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deepatoms.theory.arguments import real_array, refuse

# A torch.nn.Module or any function of a batch.
Model = Callable[..., torch.Tensor]


def _names(text):
    return frozenset(text.split())


# How a tensor depends on the input: not at all, constant on each region, affine, or piecewise affine.
FIXED, CONSTANT, AFFINE, CURVED = range(4)

LINEAR = _names("""
    view _unsafe_view reshape _reshape_alias t transpose permute expand squeeze unsqueeze select slice split unsafe_split
    split_with_sizes chunk unbind flatten clone copy copy_ _to_copy contiguous detach alias as_strided lift_fresh
    add sub rsub neg cat stack repeat flip roll tril triu diagonal unfold im2col col2im index_select index gather
    sum mean cumsum constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d
    avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d pixel_shuffle
    pixel_unshuffle channel_shuffle upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d
    upsample_linear1d select_scatter slice_scatter fill zero where masked_fill movedim narrow""")
FACTORS = {"mul": (0, 1), "mm": (0, 1), "bmm": (0, 1), "mv": (0, 1), "dot": (0, 1), "linear": (0, 1), "matmul": (0, 1),
           "addmm": (1, 2), "addmv": (1, 2), "baddbmm": (1, 2), "addbmm": (1, 2), "addcmul": (1, 2),
           "convolution": (0, 1), "convolution_overrideable": (0, 1), "cudnn_convolution": (0, 1), "div": (0, 1)}
TRAINING_FLAG = {"native_batch_norm": 5, "cudnn_batch_norm": 5, "miopen_batch_norm": 5, "_native_batch_norm_legit": 5,
                 "_batch_norm_with_update": None, "_batch_norm_no_update": False,
                 "_native_batch_norm_legit_no_training": False}
COMPARISONS = _names("gt ge lt le sign")
LOGIC = _names("logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not")
BLANK = _names("empty_like zeros_like ones_like full_like new_zeros new_ones new_empty new_full")
RANDOM = _names("bernoulli native_dropout rand_like randn_like normal uniform randn rand randint")

REMEDIES = {
    "_softmax": "drop the softmax: the map is that of the scores before it", "_log_softmax": "drop the log-softmax",
    "sigmoid": "use Hardsigmoid if a piecewise affine stand-in will do",
    "tanh": "use Hardtanh if a piecewise affine stand-in will do",
    "hardshrink": "it is discontinuous; use Softshrink", "hardswish": "use ReLU or LeakyReLU",
    "native_layer_norm": "use batch norm in evaluation mode", "native_group_norm": "use batch norm in evaluation mode",
    "_local_scalar_dense": "do not branch in Python on a number that depends on the input; use torch.where",
    **dict.fromkeys(("gelu", "silu", "elu", "softplus", "mish", "log_sigmoid_forward"), "use ReLU or LeakyReLU")}


class NotPiecewiseAffineError(ValueError):
    """An operation of the model is not piecewise affine in the input; the message names it, its place and a remedy."""


@dataclass(frozen=True)
class Nonlinearity:
    """What one nonlinear operation did to a batch.

    Attributes:
        operation: Name of the tensor operation, such as ``relu`` or ``max_pool2d_with_indices``.
        where: Dotted path of the module that called it (empty for the model itself or a plain function).
        codes: Selected piece of each unit, integers of shape (batch, units): 0 or 1 for ReLU-like ones, the
            position in the window (row-major) for two-dimensional max-pooling.
        shape: Shape of one sample's codes, before they were flattened.
        ties: Units on a kink where autograd's slope belongs to no piece (``abs``, ``maximum``, ``amax``).
        convex, monotone: Whether the operation is convex, and non-decreasing, in its input.
        inputs: The operation's tensor inputs, if they were asked for.
        options: Its other arguments (a slope, a kernel size, ...), as aten orders them.
    """

    operation: str
    where: str
    codes: torch.Tensor | None
    shape: tuple[int, ...]
    ties: int
    convex: bool
    monotone: bool
    inputs: tuple = field(default=(), repr=False)
    options: tuple = field(default=(), repr=False)


@dataclass(frozen=True)
class Trace:
    """A model's output, its nonlinearities in the order of execution, and what keeps it from being convex (Theorem 2)."""

    output: torch.Tensor
    nonlinearities: tuple[Nonlinearity, ...]
    concavities: tuple[str, ...]

    @property
    def codes(self) -> torch.Tensor:
        """Return all codes side by side, shape (batch, units of all nonlinearities)."""
        batch = self.output.shape[0]
        codes = [each.codes.to(torch.int64) for each in self.nonlinearities if each.codes is not None]
        return torch.cat(codes, 1) if codes else torch.zeros(batch, 0, dtype=torch.int64)


def trace(model: Model, x: torch.Tensor, codes: bool = True, inputs: bool = False) -> Trace:
    r"""Run ``model(x)`` once and return its output with every nonlinearity it met.

    Kinks count to a side: ReLU and its kind are *on* only above zero, ``clamp`` belongs to its middle piece, pooling
    and ``max(dim)`` take the first of equal entries. Comparisons, ``sign`` and ``where`` are accepted (the pieces may then
    fail to join); sorting, medians and comparisons for equality are not.

    Args:
        model: A ``torch.nn.Module`` or any function of a tensor.
        x: Batch of inputs, shape (batch, ...).
        codes: Whether to keep the codes (they cost memory; :func:`deepatoms.theory.splines.affine_map` does without).
        inputs: Whether to keep the inputs of each nonlinearity.

    Returns:
        A :class:`Trace`.

    Raises:
        NotPiecewiseAffineError: Naming the first operation that is not piecewise affine in x, where it stands and, where
            there is one, the remedy.
        ValueError: When a layer does not accept x; the layer is named.

    Source:
        Ours; the networks are those of Theorem 1 of the spline paper, :eq:`spl-thm-1`, and the codes those of
        Eq. 14.

    >>> found = trace(torch.nn.ReLU(), torch.tensor([[-1.0, 2.0]]))
    >>> found.nonlinearities[0].operation, found.codes.tolist()
    ('relu', [[0, 1]])
    """
    if not callable(model):
        refuse("model", model, "cannot be called", "pass a torch.nn.Module or a function of a tensor", TypeError)
    real_array("x", x)
    if not isinstance(x, torch.Tensor) or x.ndim < 2:
        refuse("x", x, "is not a batch of torch inputs", "pass a tensor of shape (batch, ...)")
    with _places(model) as stack:
        output, watcher = _watch(model, x, stack, codes, inputs)
        if codes and x.shape[0] > 1:
            _demand_batch_first(watcher, _watch(model, x[-1:], stack, codes, inputs, signs=False)[1], x.shape[0])
    return Trace(output, tuple(watcher.found), tuple(watcher.concavities))


def _watch(model, x, stack, codes, inputs, signs=True):
    watcher = _Watcher(x, stack, codes, inputs, signs)
    try:
        with watcher:
            return model(x), watcher
    except NotPiecewiseAffineError:
        raise
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if "allocate memory" in str(error):
            raise
        refuse("x", x, f"does not fit {_place(stack)}: {str(error).splitlines()[0]}",
               "give x the shape, type and device that this layer expects")


def _demand_batch_first(whole, single, batch):
    """A tensor whose first axis is not the batch (time, say) does not grow with it: its codes would be mixed up."""
    for found, many, one in zip(whole.found, whole.leading, single.leading, strict=True):
        if many != batch * one:
            raise NotPiecewiseAffineError(f"{found.operation} in layer {found.where!r} does not keep the batch on the first "
                                          "axis, so its codes cannot be told apart; put the batch first")


def _place(stack):
    if not stack:
        return "the model"
    name, module = stack[-1]
    return f"layer {name!r} ({type(module).__name__})" if name else f"the model ({type(module).__name__})"


@contextmanager
def _places(model):
    """Keep a stack of the modules being called; on an error its top stays where it happened."""
    stack = []
    with ExitStack() as hooks:
        for name, module in model.named_modules() if isinstance(model, torch.nn.Module) else ():
            enter = module.register_forward_pre_hook(lambda module, _, name=name: stack.append((name, module)))
            leave = module.register_forward_hook(lambda *_: stack.pop() and None)
            hooks.callback(enter.remove)
            hooks.callback(leave.remove)
        yield stack


class _Watcher(TorchDispatchMode):
    """Follow which storages depend on the input and how; record nonlinearities, refuse what is not piecewise affine."""

    def __init__(self, x, stack, codes, inputs, signs):
        super().__init__()
        self.batch, self.stack, self.keep_codes, self.keep_inputs, self.signs = x.shape[0], stack, codes, inputs, signs
        self.kinds, self.alive = {}, []  # storages by identity; kept alive, because identities are used again
        self.found, self.concavities, self.leading = [], [], []
        self._mark(x, AFFINE)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::").removesuffix("_")
        kinds = [self._kind(arg) for arg in args]
        highest = max([*kinds, *(self._kind(value) for value in kwargs.values())], default=FIXED)
        self._demand_certain(name, args)
        if highest == FIXED or name in BLANK:
            return func(*args, **kwargs)
        rule = self._rule(name, func, args, kwargs, kinds)
        overwritten = rule and func._schema.name.endswith("_") and self._reads_input(name)
        before = (args[0].clone(), *args[1:]) if overwritten else args
        output = func(*args, **kwargs)
        if rule:
            self._record(name, rule, before, kwargs, output, kinds)
        self._mark(output, CURVED if rule and name not in COMPARISONS else self._result(name, kinds, highest))
        return output

    def _reads_input(self, name):
        return self.keep_inputs or name == "abs" or self.keep_codes and name != "relu"

    def _kind(self, value):
        if isinstance(value, torch.Tensor):
            return self.kinds.get(value.untyped_storage()._cdata, FIXED)
        return max(map(self._kind, value), default=FIXED) if isinstance(value, (list, tuple)) else FIXED

    def _mark(self, value, kind):
        if isinstance(value, torch.Tensor):
            key = value.untyped_storage()._cdata
            self.alive.append(value.untyped_storage())
            self.kinds[key] = max(kind, self.kinds.get(key, FIXED))
        elif isinstance(value, (list, tuple)):
            for each in value:
                self._mark(each, kind)

    def _result(self, name, kinds, highest):
        if name in COMPARISONS or name in LOGIC:
            return CONSTANT
        return CURVED if CONSTANT in kinds and highest > CONSTANT else highest

    def _rule(self, name, func, args, kwargs, kinds):
        """Return the rule of a nonlinearity, None for an affine operation; refuse everything else."""
        if name in RULES and (name not in ("max", "min") or func._overloadname == "dim"):
            if kinds[0] == CONSTANT and name not in COMPARISONS:
                self._refuse(name, "is applied to a piecewise constant tensor")
            return RULES[name]
        if name in FACTORS:
            self._demand_one_factor(name, args, kinds)
        elif name in TRAINING_FLAG:
            self._demand_evaluation(name, args, kinds)
        elif name == "rrelu_with_noise":
            return _rrelu
        elif name not in LINEAR and name not in LOGIC:
            self._refuse(name, "is not piecewise affine, or not known to be", REMEDIES.get(name))
        elif name in ("sub", "rsub", "neg"):
            self._note_sign(name, kinds[1 if name == "sub" else 0] if len(kinds) > 1 or name != "sub" else FIXED, -1)
        return None

    def _demand_certain(self, name, args):
        if name in RANDOM or (name == "rrelu_with_noise" and args[4:5] == (True,)):
            self._refuse(name, "draws random numbers (active dropout or noise)", "call .eval() on the model")

    def _demand_one_factor(self, name, args, kinds):
        left, right = FACTORS[name]
        if name == "div" and kinds[1] >= AFFINE:
            self._refuse(name, "divides by a tensor that depends on the input")
        if min(kinds[left], kinds[right]) >= AFFINE:
            self._refuse(name, "multiplies two tensors that both depend on the input (as in attention or gating)")
        for dependent, other in ((left, right), (right, left)):
            self._note_sign(name, kinds[dependent], args[other])

    def _demand_evaluation(self, name, args, kinds):
        flag = TRAINING_FLAG[name]
        if flag is None or (flag is not False and args[flag]):
            module = self.stack[-1][1] if self.stack else None
            batch_norm = isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
            self._refuse(name, "takes its statistics from the batch or the sample", "call .eval() on the model"
                         if batch_norm else "use batch norm with running statistics, in evaluation mode")
        if args[1] is not None:
            self._note_sign(name, kinds[0], args[1])

    def _note_sign(self, name, kind, factor):
        """A negative factor after a nonlinearity turns convex into concave (Theorem 2)."""
        if kind != CURVED or not self.signs:
            return
        smallest = float(factor.detach().min()) if isinstance(factor, torch.Tensor) else float(factor)
        if smallest < 0:
            self.concavities.append(f"{name} in {_place(self.stack)} has a negative factor, {smallest:.3g}")

    def _record(self, name, rule, args, kwargs, output, kinds):
        said = rule(*args, output=output, **kwargs)
        said["codes"] = self._per_sample(name, said["codes"]()) if self.keep_codes else None
        where = self.stack[-1][0] if self.stack else ""
        tensors = tuple(arg.detach() for arg in args if isinstance(arg, torch.Tensor)) if self.keep_inputs else ()
        options = tuple(arg for arg in args if not isinstance(arg, torch.Tensor)) + tuple(kwargs.values())
        shape = tuple(output[0].shape if isinstance(output, (tuple, list)) else output.shape)[1:]
        ties = int(said.pop("ties", 0))
        self.found.append(Nonlinearity(name, where, shape=shape, ties=ties, inputs=tensors, options=options, **said))
        if not said["convex"]:
            self.concavities.append(f"{name} in {_place(self.stack)} is not convex")
        elif not said["monotone"] and kinds[0] == CURVED:
            self.concavities.append(f"{name} in {_place(self.stack)} is not non-decreasing")

    def _per_sample(self, name, codes):
        if codes.ndim == 0 or codes.shape[0] % self.batch:
            self._refuse(name, f"yields a result of shape {tuple(codes.shape)} in which the {self.batch} samples of the "
                         "batch cannot be told apart", "keep the batch on the first axis")
        self.leading.append(codes.shape[0])
        return (codes.view(torch.int8) if codes.dtype == torch.bool else codes).reshape(self.batch, -1)

    def _refuse(self, name, problem, remedy=None):
        raise NotPiecewiseAffineError(f"{name} in {_place(self.stack)} {problem}" + (f"; {remedy}" if remedy else ""))


def _said(codes, convex, monotone, ties=0):
    """Gather what a rule found; ``codes`` is a function, called only by those who keep codes."""
    return {"codes": codes, "convex": bool(convex), "monotone": bool(monotone), "ties": ties}


def _relu(x, output):
    return _said(lambda: output > 0, True, True)


def _leaky(x, *slopes, output, **_):
    slope = slopes[0] if slopes else 0.01
    low, high = (float(slope.min()), float(slope.max())) if isinstance(slope, torch.Tensor) else (slope, slope)
    return _said(lambda: x > 0, high <= 1, low >= 0)


def _rrelu(x, noise, lower=1 / 8, upper=1 / 3, *_, output):
    return _leaky(x, (lower + upper) / 2, output=output)


def _abs(x, output):
    return _said(lambda: x > 0, True, False, ties=(x == 0).sum())


def _between(lower, upper, inclusive):
    """Codes 0, 1, 2 below, between and above two kinks; the kinks belong to the middle if ``inclusive``."""
    def rule(x, *ends, output, **named):
        low, high = _ends(lower, upper, ends, named)
        return _said(lambda: _above(x, low, inclusive) + _above(x, high, not inclusive), _infinite(high), True)
    return rule


def _above(x, end, inclusive):
    return (x >= end if inclusive else x > end).to(torch.int8)


def _ends(lower, upper, ends, named):
    ends = [*ends, None, None][:2]
    low = next((end for end in (named.get("min", named.get("min_val")), ends[0], lower) if end is not None), -math.inf)
    high = next((end for end in (named.get("max", named.get("max_val")), ends[1], upper) if end is not None), math.inf)
    return low, high


def _infinite(value):
    return bool((value == math.inf).all()) if isinstance(value, torch.Tensor) else value == math.inf


def _clamp_max(x, high, output):
    return _said(lambda: _above(x, high, False) + 1, _infinite(high), True)


def _softshrink(x, threshold=0.5, output=None):
    return _said(lambda: _above(x, -threshold, True) + _above(x, threshold, False), False, True)


def _larger(convex):
    def rule(a, b, output):
        return _said(lambda: b > a if convex else b < a, convex, True, ties=(a == b).sum())
    return rule


def _first_along(convex):
    def rule(x, *_, output, **__):
        return _said(lambda: output[1], convex, True)
    return rule


def _extreme(convex):
    def rule(x, dims=(), keepdim=False, output=None, **named):
        dims = named.get("dim", dims)
        dims = tuple(sorted(dim % x.ndim for dim in (dims if isinstance(dims, (list, tuple)) else [dims]))) or \
            tuple(range(x.ndim))
        moved = x.movedim(dims, tuple(range(-len(dims), 0))).flatten(-len(dims))
        best = moved.max(-1) if convex else moved.min(-1)
        return _said(lambda: best.indices, convex, True, ties=((moved == best.values[..., None]).sum(-1) > 1).sum())
    return rule


def _pair(value):
    return tuple(value) * 2 if len(value) == 1 else tuple(value)


def _max_pool2d(x, *window, output):
    return _said(lambda: _in_the_window(output[1], x.shape[-1], *window), True, True)


def _in_the_window(position, plane, kernel, stride=(), padding=(0,), dilation=(1,), ceil_mode=False):
    """Turn torch's positions in a plane of that width into positions in the window, the codes of Eq. 14, by a table."""
    (height, width), (up, left), (gap_y, gap_x) = _pair(kernel), _pair(padding), _pair(dilation)
    step_y, step_x = _pair(stride) if len(stride) else (height, width)
    row, column = (torch.arange(size, device=position.device) for size in (height * gap_y, max(plane, width * gap_x)))
    wide = len(column)
    if wide > plane:  # windows wider than the plane: positions in a plane of their width, so that none is meant twice
        position = position // plane * wide + position % plane
    table = (row[:, None] // gap_y * width + column // gap_x).flatten()
    table = table.to(torch.uint8 if height * width <= 256 else torch.int64)
    rows = torch.arange(position.shape[-2], device=position.device)[:, None] * step_y - up
    first = rows * wide + torch.arange(position.shape[-1], device=position.device) * step_x - left
    return table.index_select(0, (position - first).flatten()).reshape(position.shape)


def _comparison(*_, output):
    return _said(lambda: output.to(torch.int8), False, False)


RULES = {
    "relu": _relu, "leaky_relu": _leaky, "_prelu_kernel": _leaky, "abs": _abs,
    "hardtanh": _between(-1, 1, inclusive=False), "hardsigmoid": _between(-3, 3, inclusive=False),
    "clamp": _between(None, None, inclusive=True), "clamp_min": _between(None, None, inclusive=True),
    "clamp_max": _clamp_max, "softshrink": _softshrink, "maximum": _larger(True), "minimum": _larger(False),
    "max": _first_along(True), "min": _first_along(False), "amax": _extreme(True), "amin": _extreme(False),
    "max_pool2d_with_indices": _max_pool2d, "max_pool3d_with_indices": _first_along(True),
    "adaptive_max_pool2d": _first_along(True), "adaptive_max_pool3d": _first_along(True),
    **dict.fromkeys(COMPARISONS, _comparison)}
