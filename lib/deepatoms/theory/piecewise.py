r"""What a network does to one batch, seen operation by operation: is it piecewise affine, and on which pieces?

A network of affine operations, ReLU-like activations and pooling is affine on every region of its input space, and a
region is named by the piece that each nonlinearity selected. :func:`trace` runs a model once and watches the tensor
operations below autograd, so that functional calls, reused modules, skips and recurrences are all seen. Anything that
is not piecewise affine is refused by name. What the operations are known to do stands in one table,
:mod:`deepatoms.theory.operations`.

What is returned holds for the function that the model computes, and this is checked at run time: :class:`Seen` runs the model
a second time, at other inputs and with the pieces of the first time, where it must be affine.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from deepatoms.theory.arguments import real_array, refuse
from deepatoms.theory.operations import AFFINE, BLANK, NAMED_DIMENSION, PIECES, REMEDIES, TRAINING_FLAG
from deepatoms.theory.signatures import named
from deepatoms.theory.untouched import as_given, storage_name, untouched

# A torch.nn.Module or any function of a batch.
Model = Callable[..., torch.Tensor]

# How a tensor depends on the input: not at all, constant on each region, affine, or piecewise affine.
FIXED, CONSTANT, AFFINELY, CURVED = range(4)


class NotPiecewiseAffineError(ValueError):
    """An operation of the model is not piecewise affine in the input; the message names it, its place and a remedy."""


@dataclass(frozen=True)
class Nonlinearity:
    """What one nonlinear operation did to a batch.

    Attributes:
        operation: Name of the tensor operation, such as ``relu`` or ``max_pool2d_with_indices``.
        where: Dotted path of the module that called it (empty for the model itself or a plain function).
        codes: Selected piece of each unit, integers of shape (batch, units): 0 or 1 for ReLU-like ones, the
            position in the window (row-major) for max-pooling, the position along the dimension for sorting.
        shape: Shape of one sample's codes, before they were flattened.
        ties: Units on a kink where autograd's slope belongs to no piece (``abs``, ``maximum``, ``amax``).
        convex, monotone: Whether the operation is convex, and non-decreasing, in its input.
        inputs: The operation's tensor inputs, if they were asked for.
        options: Its other arguments (a slope, a kernel size, ...), as aten orders them.
        pieces: How many pieces a unit selects from.
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
    pieces: int = 2


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
    and ``max(dim)`` take the first of equal entries; of equal entries in sorting, ``topk``, ``kthvalue`` and running maxima the
    code is the position that torch returns. Comparisons, ``sign``, ``argmax``, masks and ``where`` are accepted (the
    pieces may then fail to join); comparisons for equality and rounding are not, nor is a mask that decides a shape. Nothing of
    the caller's is changed: not x, nor parameters, buffers, modes and random states.

    Where codes are kept, inputs are run again in other company and by themselves: their codes and outputs must be the same, and
    with these codes held fixed the model must be affine.

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
        ValueError: When a layer does not accept x, or samples influence each other; the layer is named.
        TypeError: When the model cannot be called, or x is no torch tensor.

    Source:
        Ours; the networks are those of Theorem 1 of the spline paper, :eq:`spl-thm-1`, and the codes those of
        Eq. 14.

    >>> found = trace(torch.nn.ReLU(), torch.tensor([[-1.0, 2.0]]))
    >>> found.nonlinearities[0].operation, found.codes.tolist()
    ('relu', [[0, 1]])
    """
    demand_model(model)
    demand_batch(x)
    with untouched(model):
        seen = watch(model, x, Wish(codes=codes, inputs=inputs))
        if codes:
            _demand_apart(model, x, seen)
    return seen.trace


def demand_model(model: Model) -> None:
    """Refuse what cannot be called, and modules whose shapes or numbers are not known yet.

    Raises:
        TypeError: If the model cannot be called.
        ValueError: If it is a module with parameters or buffers that its first batch will shape, or parameters without numbers.

    Source:
        Standard.

    >>> demand_model(torch.relu)
    """
    if not callable(model):
        refuse("model", model, "cannot be called", "pass a torch.nn.Module or a function of a tensor", TypeError)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()] if isinstance(model, torch.nn.Module) else ():
        kind = "parameter" if isinstance(tensor, torch.nn.Parameter) else "buffer"
        if torch.nn.parameter.is_lazy(tensor):
            refuse("model", type(model).__name__, f"has a {kind} {name!r} that the first batch has yet to shape",
                   "run it once, model(x), before")
        if tensor.is_meta and kind == "parameter":
            refuse("model", type(model).__name__, f"has a parameter {name!r} on the device 'meta', without numbers",
                   "load its weights before")


def demand_batch(x: Any) -> torch.Tensor:
    """Return x if it is a batch of finite real inputs, a tensor with the batch on its first axis.

    Raises:
        TypeError: If x is no torch tensor of real floating point, or has 16 bits only.
        ValueError: If it has fewer than two axes, is empty, or is not finite.

    Source:
        Standard.

    >>> demand_batch(torch.ones(1, 2)).shape
    torch.Size([1, 2])
    """
    if not isinstance(x, torch.Tensor):
        refuse("x", x, "is not a torch tensor", "convert it with torch.as_tensor, in the model's type", TypeError)
    if torch._C._functorch.is_functorch_wrapped_tensor(x):
        refuse("x", "a tensor of torch.func", "has no numbers of its own", "call this outside of vmap and grad", TypeError)
    if torch.nn.parameter.is_lazy(x):
        refuse("x", "an uninitialised parameter", "has no numbers yet", "pass a tensor")
    if x.is_nested:
        refuse("x", "a nested tensor", "has inputs of several sizes", "pass those of one size at a time", TypeError)
    if x.layout != torch.strided:
        refuse("x", x, f"is stored as {x.layout}", "pass x.to_dense()", TypeError)
    if x.is_meta:
        refuse("x", x, "is on the device 'meta', without numbers", "pass a tensor on the processor, or on the model's device")
    real_array("x", x)
    if x.itemsize < 4:
        refuse("x", x, "has so few digits that a wrong map could not be told from rounding",
               "pass x.float() and the model as model.float(), which keep every number", TypeError)
    if x.ndim < 2:
        refuse("x", x, "is not a batch of inputs", "pass a tensor of shape (batch, ...), for one input x[None]")
    return x


@dataclass(frozen=True)
class Wish:
    """What to keep of a pass (codes, inputs of nonlinearities, pieces, signs of factors), pieces to hold to, roundings to make.

    Attributes:
        shaken: A seed: every number that depends on the input is moved by some roundings; None for none.
    """

    codes: bool = False
    inputs: bool = False
    pieces: bool = False
    signs: bool = True
    held: tuple | None = None
    shaken: int | None = None


@dataclass(frozen=True, eq=False)
class Seen:
    """One pass of a model over a batch.

    Attributes:
        model, x: What was run on what.
        trace: What was found.
        pieces: What each nonlinearity selected, in their order, if it was asked for.
        unseen: Places where torch was told not to follow (``no_grad``, ``detach``).
        leading: The first axis of each nonlinearity's codes.
        epsilon: The spacing of x's type at 1.
    """

    model: Model
    x: torch.Tensor
    trace: Trace
    pieces: tuple
    unseen: tuple[str, ...]
    leading: tuple[int, ...]
    epsilon: float

    @property
    def tolerance(self) -> float:
        """Return the relative error that rounding may leave."""
        return min(0.1, max(1e-9, 1e3 * _rounding(self.x)))

    def held(self, x: torch.Tensor) -> torch.Tensor:
        """Return the model's output at other inputs, as many, with every piece as it was."""
        with torch.no_grad():
            return watch(self.model, x, Wish(signs=False, held=self.pieces)).trace.output

    def roundings(self, x: torch.Tensor, held: bool) -> torch.Tensor:
        """Return how far each output at x moves where every number on the way to it does, with or without the pieces held."""
        pieces = self.pieces if held else None
        with torch.no_grad():
            shaken = (watch(self.model, x, Wish(signs=False, held=pieces, shaken=seed)) for seed in range(5))
            outputs = torch.stack([each.trace.output for each in shaken])
        return outputs.amax(0) - outputs.amin(0)

    def kinks(self, layer: int) -> torch.Tensor:
        """Return which units of a nonlinearity lie so near a kink that some roundings turn them, shape (batch, units)."""
        with torch.no_grad():
            shaken = (watch(self.model, self.x, Wish(codes=True, signs=False, shaken=seed)) for seed in range(16))
            codes = torch.stack([found for each in shaken if (found := each.trace.nonlinearities[layer].codes) is not None])
        return (codes != codes[:1]).any(0)


def _rounding(x):
    """Return the relative error of one rounding; a GPU multiplies single precision in ten bits unless told not to."""
    epsilon = torch.finfo(x.dtype).eps
    return max(1e-5, epsilon) if x.is_cuda and epsilon >= torch.finfo(torch.float32).eps else epsilon


def some_roundings(x: torch.Tensor) -> float:
    """Return the relative size of a hundred roundings, by which numbers are moved to find what rounding may do.

    Source:
        Standard.

    >>> some_roundings(torch.ones(1, dtype=torch.float64)) == 100 * 2**-52
    True
    """
    return ROUNDINGS * _rounding(x)


def watch(model: Model, x: torch.Tensor, wish: Wish) -> Seen:
    """Run a model once and return what was seen; the model gets a copy of x.

    Raises:
        NotPiecewiseAffineError: If an operation is not piecewise affine in x.
        ValueError: If a layer does not accept x.

    Source:
        Ours; what it serves is Theorem 1 of the spline paper, :eq:`spl-thm-1`.

    >>> seen = watch(torch.nn.ReLU(), torch.tensor([[-1.0, 2.0]]), Wish(pieces=True))
    >>> seen.held(torch.tensor([[5.0, -7.0]])).tolist()
    [[0.0, -7.0]]
    """
    as_given()
    with _places(model) as stack:
        given = x.clone()  # alone is marked as input: x may share its memory with the model's own numbers
        watcher = _Watcher(given, stack, wish)
        with _explained(stack), watcher, watcher.exits():
            output = model(given.clone())
    output = _own(output)
    if wish.held is not None and watcher.next != len(wish.held):
        watcher.changed_course()
    return Seen(model, x, Trace(output, tuple(watcher.found), tuple(watcher.concavities)), tuple(watcher.kept),
                tuple(dict.fromkeys(watcher.unseen)), tuple(watcher.leading), watcher.epsilon)


def _own(output):
    """Return a copy of an output: a model that writes its answers into one buffer overwrites this one with the next."""
    return output.clone() if isinstance(output, torch.Tensor) else output


# What layers raise where they are given another shape, type or device.
UNFIT = (RuntimeError, IndexError, ValueError, TypeError, AttributeError, AssertionError, KeyError)


@contextmanager
def _explained(stack: list) -> Iterator[None]:
    """Say at which layer an error came up."""
    try:
        yield
    except (NotPiecewiseAffineError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever a model raises is told with the layer that raised it
        said = told(error)
        if "allocate memory" in said:
            raise
        if "HigherOrderOperator" in said:
            raise NotPiecewiseAffineError(f"{_place(stack)} calls an operation with functions of its own, such as torch.cond, "
                                          "which cannot be followed; choose with torch.where") from error
        if "out=..." in said:
            refuse("model", _place(stack), f"has no derivative in torch: {said}", "leave out=... away")
        if "nference tensor" in said:
            refuse("model", _place(stack), f"holds tensors made in inference mode: {said}",
                   "build it outside torch.inference_mode, or clone them")
        if not isinstance(error, UNFIT):
            refuse("model", _place(stack), f"fails with {type(error).__name__} ({said})", "mend it there; model(x) must work")
        raise ValueError(f"x does not fit {_place(stack)}: {said}; give x the shape, type and device that this layer "
                         "expects") from error


def told(error: BaseException) -> str:
    """Return the first line of what an error says, or its name.

    Source:
        Standard.

    >>> told(ValueError()), told(ValueError("first\\nsecond"))
    ('ValueError', 'first')
    """
    return (str(error).splitlines() or [type(error).__name__])[0]


def displaced(x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Return other inputs than x, each moved its own way, at the scale of x: the same at each call.

    Source:
        Ours; what it serves is Theorem 1 of the spline paper, :eq:`spl-thm-1`.

    >>> displaced(torch.zeros(1, 2)).shape
    torch.Size([1, 2])
    """
    dtype = x.dtype if x.is_cpu else torch.float32
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=dtype, device="cpu")
    return x + float(x.detach().abs().mean() or 1) * noise.to(x)


FAR = 2**10  # with the pieces held a step may be long, and beside a long one neither an offset nor a kink nearby hides anything
PARTS = 4  # of a batch, which are run apart
LONGEST = 2**6  # how much longer an input that does little is moved than the one that does most


def distant(x: torch.Tensor, seed: int = 0, slopes: torch.Tensor | None = None) -> torch.Tensor:
    """Return inputs far from x, each moved its own way by a thousand times the scale of x.

    Args:
        x: Inputs, shape (batch, ...).
        seed: Of the ways.
        slopes: How much each input is said to do, of the shape of x: one that does less is moved the farther, up to 64 times, so
            that what is wrong of it is not small beside the others.

    Source:
        Ours; what it serves is Theorem 1 of the spline paper, :eq:`spl-thm-1`.

    >>> float((distant(torch.ones(1, 2)) - 1).abs().min()) > 100
    True
    """
    x = x.detach()
    step = displaced(x, seed) - x
    if slopes is not None:
        most = slopes.flatten(1).amax(1).reshape(-1, *[1] * (x.ndim - 1))
        step = step * torch.nan_to_num(most / slopes, nan=LONGEST, posinf=LONGEST).clamp(max=LONGEST)
    room = torch.finfo(x.dtype).max ** 0.5 / max(float(step.abs().max()), 1.0)  # what a network multiplies must stay finite
    return x + min(FAR, max(1.0, room)) * step


def company(x: torch.Tensor, rows: torch.Tensor, sign: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return some of a batch's inputs, in another order, between others that are not of it; and which they are.

    Args:
        x: Inputs, shape (batch, ...).
        rows: Which of them are taken.
        sign: Of the others; -1 for such as lie on the other side of the origin.

    Returns:
        A batch that begins and ends with others, of a size that is odd where that of x is even, and the positions in x of what
        stands between. The others lie near the inputs taken, so that small inputs have small company.

    Source:
        Ours; what it serves is Theorem 1 of the spline paper, :eq:`spl-thm-1`.

    >>> some, rows = company(torch.zeros(3, 2), torch.tensor([0, 2]))
    >>> some.shape, sorted(rows.tolist())
    (torch.Size([4, 2]), [0, 2])
    """
    rows = rows.cpu()[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0), device="cpu")]
    taken = x[rows.to(x.device)].detach()
    after = 1 + (len(rows) - len(x) + 1) % 2
    others = [sign * displaced(taken[(0 if seed == 1 else -1),][None], seed) for seed in range(1, 2 + after)]
    return torch.cat([others[0], taken, *others[1:]]), rows


def extremes(x: torch.Tensor) -> list[int]:
    """Return which inputs lie farthest out, four at most: the smallest, those of the lowest and highest mean, the largest.

    What one input does to all others of its batch it does to three of these.

    Source:
        Ours; what it serves is Theorem 1 of the spline paper, :eq:`spl-thm-1`.

    >>> extremes(torch.tensor([[1.0], [-2.0], [0.5], [3.0], [0.7]]))
    [2, 1, 3, 0]
    """
    flat = x.detach().flatten(1)
    size, mean = flat.abs().mean(1), flat.mean(1)
    farthest = (int(each) for each in (size.argmin(), mean.argmin(), mean.argmax(), size.argmax()))
    return [*dict.fromkeys([*farthest, *range(min(4, len(x)))])][:4]


def by_itself(run: Callable[[torch.Tensor], torch.Tensor], one: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Return the output for an input that is alone; of two copies of it, where a model admits no batch of one.

    Args:
        run: From a batch to its outputs.
        one: The input, shape (1, ...).
        outputs: Those of a batch, which say what shape is right.

    Returns:
        The output, shape (1, ...).

    Source:
        Ours; what it serves is Theorem 1 of the spline paper, :eq:`spl-thm-1`.

    >>> by_itself(torch.squeeze, torch.ones(1, 2), torch.ones(3, 2)).shape
    torch.Size([1, 2])
    """
    shape = (1, *outputs.shape[1:])
    with suppress(*UNFIT):
        output = run(one.clone())  # a model may write into what it is given
        if output.shape == shape:
            return output
    return run(torch.cat([one, one]))[:1]


def demand_any_company(seen: Seen, size: torch.Tensor | None = None) -> None:
    """Refuse a model whose output for a sample changes with its place, its neighbours or the size of the batch.

    Plain passes: over four parts among others, over the eight smallest, which the large ones then leave alone, and over some
    by themselves. The parts are dealt in the order of the means, so that samples that are alike are parted. With the smallest
    the others lie on the other side of the origin: what a clip hides of their influence at one of its ends is seen at the other;
    and gradients are on there, off elsewhere: a model that asks is refused.

    Args:
        seen: What was seen of the model.
        size: Of the numbers that each output is made of, of its shape; told from the outputs if left out.

    Raises:
        ValueError: If the outputs of a sample differ by more than rounding.

    Source:
        Standard.

    >>> demand_any_company(watch(torch.nn.ReLU(), torch.tensor([[-1.0, 2.0]]), Wish()))
    """
    x, output = seen.x.detach(), seen.trace.output
    _demand_numbers(seen)
    smallest, order = (each.mean(1).argsort() for each in (x.flatten(1).abs(), x.flatten(1)))
    parts = [order[first::PARTS] for first in range(min(PARTS, len(x)))]
    for few, sign in ((smallest[:8], -1), *((part, 1) for part in parts)):
        some, rows = company(x, few, sign)
        found = _with_gradients(seen, some) if sign < 0 else _in_company(seen, some)
        demand_alone(seen, found[1:1 + len(rows)], rows, size)
    for row in extremes(x) if len(x) > 1 and isinstance(output, torch.Tensor) else ():
        alone = by_itself(lambda batch: _in_company(seen, batch), x[row:row + 1], output)
        demand_alone(seen, alone, torch.tensor([row], device="cpu"), size)


def _demand_numbers(seen):
    output = seen.trace.output
    if isinstance(output, torch.Tensor) and output.is_floating_point() and not bool(output.detach().isfinite().all()):
        refuse("model", called(seen.model), "gives outputs that are infinite or no numbers",
               "scale the input or the weights down; for scores that are to lose, use a large negative number")


def _in_company(seen, some):
    # What earlier passes wrote stays: a model that counts its calls is to be found out.
    try:
        with torch.no_grad(), _places(seen.model) as stack, _explained(stack):
            return _own(seen.model(some))
    except ValueError as error:
        refuse("model", called(seen.model), f"takes a batch of {len(seen.x)} samples, but not one of {len(some)} ({error})",
               "make it a function of batches of any size")


def demand_affine_in_any_mode(model: Model, x: torch.Tensor) -> None:
    """Refuse a model that is not affine with the pieces held, or another function where gradients are on.

    Raises:
        NotPiecewiseAffineError: If it is not affine, or not the same.

    Source:
        Standard.

    >>> demand_affine_in_any_mode(torch.nn.ReLU(), torch.ones(1, 2))
    """
    with torch.no_grad():
        seen = watch(model, x, Wish(pieces=True, signs=False))
        demand_affine(seen)
    try:
        demand_alone(seen, _with_gradients(seen, x), torch.arange(len(x), device="cpu"))
    except ValueError as error:
        raise NotPiecewiseAffineError(f"{called(model)} gives other outputs where gradients are on ({error}); make it a function "
                                      "of its input alone") from error


def _with_gradients(seen, some):
    """Run the model as one does who will ask for its derivative; where it cannot run so, without."""
    as_given()
    with suppress(Exception), torch.enable_grad():
        return _own(seen.model(some.clone().requires_grad_().clone())).detach()
    return _in_company(seen, some)


def _demand_apart(model, x, seen):
    """A sample's codes and output are its own: all are run again, and some of them watched and moved with their codes held."""
    demand_any_company(seen)
    some, rows = company(x, torch.linspace(0, len(x) - 1, min(4, len(x)), device="cpu").long())
    again = _again(model, some)
    _demand_same(seen, again, rows, 1)
    demand_affine(again)
    for row in extremes(x)[:2] if len(x) > 1 else ():
        _demand_same(seen, _again_alone(seen, x[row:row + 1]), torch.tensor([row], device="cpu"), 0)


def _again(model, batch):
    with torch.no_grad():
        return watch(model, batch, Wish(codes=True, pieces=True, signs=False))


def _again_alone(seen, one):
    """What :func:`by_itself` does, watched."""
    with suppress(*UNFIT):
        again = _again(seen.model, one)
        if not isinstance(again.trace.output, torch.Tensor) or again.trace.output.shape[1:] == seen.trace.output.shape[1:]:
            return again
    return _again(seen.model, torch.cat([one, one]))


def _demand_same(seen, again, rows, first):
    """Compare the operations, outputs and codes of some samples with those in other company, where they begin at ``first``."""
    if [each.operation for each in seen.trace.nonlinearities] != [each.operation for each in again.trace.nonlinearities]:
        raise NotPiecewiseAffineError(f"{called(seen.model)} does other operations when it is called again; make it a function "
                                      "of its input alone, without a memory and without branches on values")
    for found, many, few in zip(seen.trace.nonlinearities, seen.leading, again.leading, strict=True):
        if many * len(again.x) != len(seen.x) * few:
            raise NotPiecewiseAffineError(f"{found.operation} in layer {found.where!r} does not keep the batch on the first "
                                          "axis, so its codes cannot be told apart; put the batch first")
    among = slice(first, first + len(rows))
    if isinstance(again.trace.output, torch.Tensor):
        demand_alone(seen, again.trace.output[among], rows)
    for layer, found in enumerate(seen.trace.nonlinearities):
        _demand_same_codes(again, layer, found.codes[rows.to(seen.x.device)], among)


def demand_alone(seen: Seen, alone: torch.Tensor, rows: torch.Tensor, size: torch.Tensor | None = None) -> None:
    """Refuse a model whose output for one sample depends on what stands beside it.

    Args:
        seen: What was seen of the model in a batch.
        alone: Its outputs for some inputs of the batch, in other company.
        rows: Which of the batch they are.
        size: Of the numbers that the batch's outputs are made of, of their shape; told from the outputs if left out.

    Raises:
        ValueError: If an output of a sample differs by more than rounding.

    Source:
        Standard.

    >>> demand_alone(watch(torch.relu, torch.ones(1, 2), Wish()), torch.ones(1, 2), torch.tensor([0]))
    """
    together, rows = seen.trace.output, rows.to(seen.x.device)
    if not isinstance(together, torch.Tensor) or not together.numel():
        return
    if not together.ndim or not alone.ndim or together.shape[1:] != alone.shape[1:] or len(together) <= int(rows.max()):
        refuse("model", called(seen.model), "gives outputs whose shape depends on the batch",
               "keep the batch on the first axis of the output")
    if len(alone) != len(rows) or not together.is_floating_point():
        return
    largest, together, alone = together.detach().abs().amax(0), together.detach()[rows], alone.detach()
    # A hundredth of an output's largest value spares those near 0, which are small by chance, the measure of rounding.
    size = together.abs() + alone.abs() + 0.01 * largest if size is None else size[rows]
    error = (alone - together).abs()
    wrong = beyond_rounding(seen, error, size, seen.x.detach()[rows], held=False)
    if bool(wrong.any()):
        refuse("model", called(seen.model), f"lets the samples of a batch influence each other (an output moves by "
               f"{float(error[wrong].max()):.3g} when its sample comes in other company)",
               "make each output depend on its own sample only; batch norm wants .eval()")


def beyond_rounding(seen: Seen, error: torch.Tensor, size: torch.Tensor, x: torch.Tensor, held: bool,
                    tolerance: float | None = None) -> torch.Tensor:
    """Tell which errors are more than rounding, each output by itself: a large one forgives a small one nothing.

    Where an error is large beside its own numbers, these may have cancelled: then it is measured what rounding does to that
    output. Beside the largest numbers of its sample an error is refused in any case.

    Args:
        seen: What was seen of the model.
        error: Shape (batch, ...).
        size: Of the numbers that each output is made of, same shape.
        x: Inputs at which rounding is measured, shape (batch, ...).
        held: Whether the model's pieces are held there.
        tolerance: Relative error that is rounding; that of what was seen if left out.

    Source:
        Ours; what it serves is Theorem 1 of the spline paper, :eq:`spl-thm-1`.

    >>> seen = watch(torch.relu, torch.ones(1, 2), Wish())
    >>> beyond_rounding(seen, torch.tensor([[1e-3, 1e-9]]), torch.ones(1, 2), seen.x, held=False).tolist()
    [[True, False]]
    """
    tolerance = tolerance or seen.tolerance
    wrong = ~(error <= tolerance * size)
    if not bool(wrong.any()):
        return wrong
    whole = tolerance * (1 + size.flatten(1).amax(1).reshape(-1, *[1] * (size.ndim - 1)))
    if not bool((error <= whole).all()):
        return ~(error <= whole)
    return ~(error <= torch.minimum(whole, tolerance * size + seen.roundings(x, held)))


def _demand_same_codes(again, layer, together, among):
    """A unit's code may turn where it lies on its kink, so that some roundings turn it; elsewhere the company did it."""
    found = again.trace.nonlinearities[layer]
    if together.shape != found.codes[among].shape:
        refuse("model", called(again.model), f"has {found.operation} in layer {found.where!r} over a number of units that "
               "depends on the batch, so its codes cannot be told apart", "make each output depend on its own sample only")
    turned = together != found.codes[among]
    if bool(turned.any()):
        turned &= ~again.kinks(layer)[among]
    if bool(turned.any()):
        refuse("model", called(again.model), f"lets the samples of a batch influence each other ({int(turned.sum())} units of "
               f"{found.operation} in layer {found.where!r} change their code when their sample comes in other company)",
               "make each output depend on its own sample only")


def demand_affine(seen: Seen) -> None:
    """Refuse a model that is not affine along a long line with the pieces held: an affine function has no second difference.

    Raises:
        NotPiecewiseAffineError: If it has one, or does other operations.

    Source:
        Standard.

    >>> demand_affine(watch(torch.nn.ReLU(), torch.tensor([[-1.0, 2.0]]), Wish(pieces=True)))
    """
    _demand_numbers(seen)
    step = distant(seen.x, 7) - seen.x.detach()
    one, (two, three) = seen.trace.output, (seen.held(seen.x + times * step) for times in (1, 2))
    if not isinstance(one, torch.Tensor) or not one.is_floating_point() or not one.numel():
        return
    error, size = (one - 2 * two + three).abs(), torch.stack([one, two, three]).abs().amax(0)
    wrong = beyond_rounding(seen, error, size, seen.x + 2 * step, held=True)
    if bool(wrong.any()):
        raise NotPiecewiseAffineError(f"{called(seen.model)} is not affine although every nonlinearity that torch shows keeps "
                                      f"its piece (second difference {float(error[wrong].max()):.3g} of "
                                      f"{float(size[wrong].max()):.3g}): a part of it works outside torch's operations; "
                                      "compute it with torch")


def called(model: Model) -> str:
    """Return how messages speak of a model.

    Source:
        Standard.

    >>> called(torch.nn.ReLU()), called(torch.relu)
    ('the model (ReLU)', 'the function')
    """
    return f"the model ({type(model).__name__})" if isinstance(model, torch.nn.Module) else "the function"


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
            if isinstance(module, torch.jit.ScriptModule):
                continue  # it calls its parts itself, and takes no hooks written in Python
            enter = module.register_forward_pre_hook(lambda module, _, name=name: stack.append((name, module)), prepend=True)
            leave = module.register_forward_hook(lambda *_: stack.pop() and None)
            hooks.callback(enter.remove)
            hooks.callback(leave.remove)
        yield stack


# Calls by which a tensor's numbers leave torch, or come back to it unseen, or its derivative is cut.
EXITS = {getattr(torch.Tensor, name): name for name in (
    "numpy", "tolist", "__array__", "data_ptr", "__dlpack__", "storage", "share_memory_", "__deepcopy__", "__reduce_ex__",
    "apply_", "map_", "map2_")}
CUTS = {torch.Tensor.detach: "detach", torch.detach: "detach", torch.Tensor.detach_: "detach_",
        torch.Tensor.data.__get__: "data"}  # type: ignore[attr-defined]


class Exits(TorchFunctionMode):
    """Refuse calls that take numbers out of torch, where nothing is seen of what becomes of them; tell of those that cut.

    Args:
        depends: Tells whether a tensor depends on the input.
        refuse: Called with an operation's name, what is wrong, and the remedy.
        cut: Called with the name of what cuts the derivative.
    """

    def __init__(self, depends: Callable[[torch.Tensor], bool], refuse: Callable, cut: Callable[[str], Any]) -> None:
        super().__init__()
        self.depends, self.refuse, self.cut = depends, refuse, cut

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at a call before it is made."""
        if func in EXITS and self.depends(args[0]):
            self.refuse(EXITS[func], "takes numbers that depend on the input out of torch, where nothing is seen of what becomes "
                        "of them", "compute this part with torch")
        if func in CUTS and self.depends(args[0]):
            self.cut(CUTS[func])
        return func(*args, **(kwargs or {}))


COMPOSITE: dict = {}
# By how many roundings numbers are moved to find what rounding may do: the sums of a network make more than one.
ROUNDINGS = 100


def shake(func: Any, output: Any, amount: float, draw: torch.Generator) -> Any:
    """Move what an operation has returned by some roundings; a view shares the numbers of what was moved before.

    Args:
        func: The operation.
        output: Its result, which is changed and returned.
        amount: Relative size of the moves.
        draw: Draws them.

    Source:
        Standard: arithmetic that is random in its last digits.

    >>> x = shake(torch.ops.aten.relu.default, torch.ones(2), 1e-3, torch.Generator().manual_seed(0))
    >>> bool(((x - 1).abs() > 1e-6).all() and ((x - 1).abs() < 1e-2).all())
    True
    """
    outputs = output if isinstance(output, (tuple, list)) else (output,)
    for each, declared in zip(outputs, func._schema.returns, strict=False):
        own = declared.alias_info is None or declared.alias_info.is_write
        if own and isinstance(each, torch.Tensor) and each.is_floating_point() and each.layout == torch.strided:
            noise = torch.randn(each.shape, generator=draw, dtype=torch.float64, device="cpu")
            each.mul_(1 + (amount * noise).to(each))
    return output


def _is_composite(func):
    """Tell whether an operation is made of others, which are seen in its place (in inference mode it comes whole)."""
    if func not in COMPOSITE:
        COMPOSITE[func] = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    return COMPOSITE[func]


class _Watcher(TorchDispatchMode):
    """Follow which storages depend on the input and how; record nonlinearities, refuse what is not piecewise affine."""

    def __init__(self, x, stack, wish):
        super().__init__()
        self.batch, self.stack, self.wish, self.next = x.shape[0], stack, wish, 0
        self.kinds, self.alive = {}, []  # storages by identity; kept alive, because identities are used again
        self.found, self.concavities, self.leading, self.kept, self.unseen = [], [], [], [], []
        self.dtype, self.epsilon, self.amount = x.dtype, torch.finfo(x.dtype).eps, some_roundings(x)
        self.draw = None if wish.shaken is None else torch.Generator().manual_seed(wish.shaken)
        self._mark(x, AFFINELY)

    def exits(self):
        """Return what watches for work that leaves torch; made when asked for: it refers to this, and would keep it alive."""
        return Exits(lambda value: self.kind(value) > FIXED, self.refuse,
                     lambda name: self.unseen.append(f"{name} in {_place(self.stack)}"))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if _is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        name = func._schema.name.removeprefix("aten::").removesuffix("_")
        kinds = [self.kind(arg) for arg in args]
        highest = max([*kinds, *(self.kind(value) for value in kwargs.values())], default=FIXED)
        self._demand_certain(name, func, args)
        if highest == FIXED or name in BLANK:
            return func(*args, **kwargs)
        if not torch.is_grad_enabled():
            self.unseen.append(f"no_grad in {_place(self.stack)}")
        if highest == CONSTANT:
            self._demand_fixed_shape(name, func, args)
            output = self._mark(func(*args, **kwargs), CONSTANT)
            self._note_jumps(name, output, args, kwargs)
            return output
        rule = self._rule(name, func, args, kwargs, kinds)
        if rule:
            output = self._shake(func, self._select(name, rule, func, args, kwargs))
            return self._mark(output, CONSTANT if rule.constant else CURVED)
        output = self._mark(self._shake(func, func(*args, **kwargs)), CURVED if CONSTANT in kinds else highest)
        self._demand_digits(name, output)
        self._note_jumps(name, output, args, kwargs)
        return output

    def kind(self, value):
        """Return how a tensor, or any of several, depends on the input."""
        if isinstance(value, torch.Tensor):
            return self.kinds.get(storage_name(value), FIXED)
        return max(map(self.kind, value), default=FIXED) if isinstance(value, (list, tuple)) else FIXED

    def _mark(self, value, kind):
        if isinstance(value, torch.Tensor):
            self.alive.append(value.untyped_storage() if value.layout == torch.strided else value)
            key = storage_name(value)
            if not (value.is_floating_point() or value.is_complex()):
                kind = min(kind, CONSTANT)
            self.kinds[key] = max(kind, self.kinds.get(key, FIXED))
        elif isinstance(value, (list, tuple)):
            for each in value:
                self._mark(each, kind)
        return value

    def _rule(self, name, func, args, kwargs, kinds):
        """Return the rule of a nonlinearity, None for an affine operation; refuse everything else."""
        whole = name in NAMED_DIMENSION and func._overloadname not in ("dim", "out")
        if name in PIECES and not whole:
            rule = PIECES[name]
            self._demand_settled(name, rule.settled, kinds)
            if isinstance(args[0], torch.Tensor) and args[0].is_complex():
                self.refuse(name, "is applied to complex numbers, where it is not piecewise affine")
            return rule
        if name not in AFFINE:
            self.refuse(name, "is not piecewise affine, or not known to be", REMEDIES.get(name))
        if name in TRAINING_FLAG:
            self._demand_evaluation(name, args)
        self._demand_one_factor(name, func, args, kwargs, kinds)
        self._note_signs(name, func, args, kwargs, kinds)
        return None

    def _demand_certain(self, name, func, args):
        if "attention" in name:
            return  # no dropout in evaluation; it is refused as what it is
        if torch.Tag.nondeterministic_seeded in func.tags and not (name == "rrelu_with_noise" and args[4:5] != (True,)):
            self.refuse(name, "draws random numbers (active dropout or noise)", "call .eval() on the model")

    def _demand_settled(self, name, positions, kinds):
        for position in positions:
            if position < len(kinds) and kinds[position] > CONSTANT:
                words = ("divides by a tensor" if name in ("div", "addcdiv") else
                         "takes as a factor, an index or a statistic a tensor")
                self.refuse(name, f"{words} that depends on the input")

    def _demand_one_factor(self, name, func, args, kwargs, kinds):
        if kwargs.get("rounding_mode") is not None or func._overloadname == "dtype":
            self.refuse(name, "rounds, or reads a number's bits as another type", "keep to floating point")
        for left, right in AFFINE[name].products:
            if min(kinds[left], kinds[right]) > CONSTANT:
                self.refuse(name, "multiplies two tensors that both depend on the input (as in attention or gating)")
        self._demand_settled(name, AFFINE[name].settled, kinds)
        self._demand_no_mask(name, args)
        if name in ("scatter", "index_put") and {"reduce", "accumulate"} & kwargs.keys() and kwargs.get("reduce") == "multiply":
            self.refuse(name, "multiplies entries that may depend on the input")

    def _demand_no_mask(self, name, args):
        if name in ("index", "_unsafe_index") and self.kind(args[1]) == CONSTANT and any(
                each is not None and each.dtype == torch.bool for each in args[1]):
            self.refuse(name, "selects a number of entries that depends on the input",
                        "use torch.where, or assign through the mask")

    def _demand_fixed_shape(self, name, func, args):
        """A shape, and a number of Python's, is out of sight: a model may go another way by it, and its other way is not seen."""
        self._demand_no_mask(name, args)
        counts = torch.Tag.dynamic_output_shape in func.tags and name not in ("index", "_unsafe_index")
        if counts or name.startswith("_to_sparse") or torch.Tag.data_dependent_output in func.tags:
            self.refuse(name, "returns a Python number, or as many entries, as the input decides",
                        REMEDIES.get(name, "decide with torch.where, or assign through a mask"))

    def _shake(self, func, output):
        return shake(func, output, self.amount, self.draw) if self.draw else output

    def _demand_evaluation(self, name, args):
        flag = TRAINING_FLAG[name]
        if flag is None or (flag is not False and args[flag]):
            module = self.stack[-1][1] if self.stack else None
            batch_norm = isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
            self.refuse(name, "takes its statistics from the batch or the sample", "call .eval() on the model"
                        if batch_norm else "use batch norm with running statistics, in evaluation mode")

    def _demand_digits(self, name, output):
        """A conversion jumps where no nonlinearity is seen: to integers, and to fewer digits than x has."""
        for each in output if isinstance(output, (tuple, list)) else (output,):
            if not isinstance(each, torch.Tensor) or each.dtype == self.dtype or not each.numel():
                continue
            if not (each.is_floating_point() or each.is_complex()):
                self.refuse(name, "converts to integers, which jump where no nonlinearity is seen",
                            "stay with floating point; for a mask, compare: x > 0")
            if torch.finfo(each.dtype).eps > self.epsilon:
                self.refuse(name, f"converts to {str(each.dtype).removeprefix('torch.')}, so it rounds",
                            "keep the model to the type of x, without autocast, or pass x in the coarser type")

    def _note_signs(self, name, func, args, kwargs, kinds):
        """A negative factor after a nonlinearity turns convex into concave (Theorem 2)."""
        signs = AFFINE[name].signs
        if signs is None or not self.wish.signs or CURVED not in kinds:
            return
        for position, factor in signs(*args, **_without_targets(func, kwargs)[0]):
            if position < len(kinds) and kinds[position] == CURVED:
                smallest = _smallest(factor)
                if smallest < 0:
                    self.concavities.append(f"{name} in {_place(self.stack)} has a negative factor, {smallest:.3g}")

    def _note_jumps(self, name, output, args, kwargs):
        """Numbers chosen by a position or a mask jump where that changes, also where it comes with a maximum, which is convex."""
        numbers = any(isinstance(each, torch.Tensor) and each.is_floating_point()
                      for each in (output if isinstance(output, (tuple, list)) else (output,)))
        if numbers and any(self._positions(each) for each in (*args, *kwargs.values())):
            self.concavities.append(f"{name} in {_place(self.stack)} uses positions or masks, which jump between regions")

    def _positions(self, value):
        if isinstance(value, (list, tuple)):
            return any(map(self._positions, value))
        return isinstance(value, torch.Tensor) and not value.is_floating_point() and self.kind(value) == CONSTANT

    def _select(self, name, rule, func, args, kwargs):
        """Run a nonlinearity, or apply to its input the pieces that were selected before."""
        overwritten = func._schema.name.endswith("_")
        plain, targets = _without_targets(func, kwargs)
        covered = overwritten or storage_name(args[0]) in map(storage_name, targets)
        if self.wish.held is not None:
            return _write([args[0]] if overwritten else targets, rule.apply(self._held(name), *args, **plain))
        before = (args[0].clone(), *args[1:]) if covered and (name != "relu" or self.wish.inputs) else args
        output = func(*args, **kwargs)
        problem = rule.ask("unless", *before, output=output, **plain)
        if problem:
            self.refuse(name, problem, "use the norm of order 1; for the largest entry, x.abs().amax(1)")
        if self.wish.pieces:
            self.kept.append((name, (rule.kept or rule.code)(*before, output=output, **plain)))
        self._record(name, rule, before, plain, output)
        return output

    def _held(self, name):
        if self.next >= len(self.wish.held) or self.wish.held[self.next][0] != name:
            self.changed_course()
        self.next += 1
        return self.wish.held[self.next - 1][1]

    def changed_course(self):
        """Refuse a model that does other operations the second time."""
        raise NotPiecewiseAffineError(f"{_place(self.stack)} does other operations when it is called again; make the model a "
                                      "function of its input alone, without a memory and without branches on values")

    def _record(self, name, rule, args, kwargs, output):
        ask = {key: rule.ask(key, *args, output=output, **kwargs) for key in ("convex", "monotone", "pieces", "ties")}
        codes = self._per_sample(name, rule.code(*args, output=output, **kwargs)) if self.wish.codes else None
        tensors = tuple(arg.detach() for arg in args if isinstance(arg, torch.Tensor)) if self.wish.inputs else ()
        options = tuple(arg for arg in args if not isinstance(arg, torch.Tensor)) + tuple(kwargs.values())
        shape = tuple(output[0].shape if isinstance(output, (tuple, list)) else output.shape)[1:]
        self.found.append(Nonlinearity(name, self.stack[-1][0] if self.stack else "", codes, shape, int(ask["ties"] or 0),
                                       bool(ask["convex"]), bool(ask["monotone"]), tensors, options, int(ask["pieces"])))
        if not ask["convex"]:
            self.concavities.append(f"{name} in {_place(self.stack)} is not convex")
        elif not ask["monotone"] and self.kind(args[0]) == CURVED:
            self.concavities.append(f"{name} in {_place(self.stack)} is not non-decreasing")

    def _per_sample(self, name, codes):
        if codes.ndim == 0 or codes.shape[0] % self.batch:
            self.refuse(name, f"yields a result of shape {tuple(codes.shape)} in which the {self.batch} samples of the "
                        "batch cannot be told apart", "keep the batch on the first axis")
        self.leading.append(codes.shape[0])
        return (codes.view(torch.int8) if codes.dtype == torch.bool else codes).reshape(self.batch, -1)

    def refuse(self, name, problem, remedy=None):
        """Raise, naming the operation and where it stands."""
        raise NotPiecewiseAffineError(f"{name} in {_place(self.stack)} {problem}; "
                                      f"{remedy or 'use affine operations, ReLU-like activations and pooling in its place'}")


def _without_targets(func, kwargs):
    """Return the named arguments that are read, and the tensors that the results are written to (``out=``)."""
    if not any(isinstance(value, torch.Tensor) for value in kwargs.values()):
        return kwargs, []
    names = [argument.name for argument in func._schema.arguments if argument.is_out]
    return {key: value for key, value in kwargs.items() if key not in names}, [kwargs[name] for name in names]


def _write(targets, output):
    """Write a result where the operation would have written it, if anywhere."""
    for target, value in zip(targets, output if isinstance(output, tuple) else (output,), strict=False):
        target.resize_(value.shape).copy_(value)
    return output if not targets else targets[0] if len(targets) == 1 else tuple(targets)


def _smallest(factor):
    if not isinstance(factor, torch.Tensor):
        return float(factor)
    factor = factor.detach() if factor.layout == torch.strided else factor.detach().to_dense()
    return -float(factor.abs().max()) if factor.is_complex() else float(factor.min())

named(__name__)
