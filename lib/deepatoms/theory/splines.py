r"""Networks as affine splines: max-affine operators, the map :math:`A[x]x+b[x]` of any network, its templates.

The equations are those of Balestriero and Baraniuk, *A Spline Theory of Deep Networks* (ICML 2018), under the paper's
numbers. A network of affine operations, ReLU-like activations and pooling computes

.. math:: f(x) = A[x]\,x + b[x],

with :math:`A[x]` and :math:`b[x]` constant on each region of a partition of the input space. Row c of :math:`A[x]` is the
*template* of output c. Since :math:`b[x] := f(x)-A[x]x` makes this true at x itself for any differentiable network, it
means something only together with :func:`deepatoms.theory.piecewise.trace`, which refuses every network that is not
piecewise affine, or at another point of the same region.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from deepatoms.theory.arguments import integer, number, one_of, real_array, refuse
from deepatoms.theory.arrays import Descended
from deepatoms.theory.partition.extension import demand_double, demand_pieces, observe, rehearse
from deepatoms.theory.partition.guards import memory
from deepatoms.theory.partition.segment import demand_clear, first_change
from deepatoms.theory.piecewise import (
    Model,
    NotPiecewiseAffineError,
    Wish,
    beyond_rounding,
    called,
    demand_affine,
    demand_alone,
    demand_any_company,
    demand_batch,
    demand_model,
    displaced,
    distant,
    watch,
)
from deepatoms.theory.pullback import Pullback
from deepatoms.theory.signatures import named
from deepatoms.theory.untouched import untouched

__all__ = [
    "NotPiecewiseAffineError",
    "affine_map",
    "area_under_roc",
    "block_templates",
    "concavities",
    "distance_to_break",
    "global_matching",
    "greedy_matching",
    "optimal_templates",
    "optimise_templates",
]

STEPS, STEP = 3000, 10.0  # of the projected gradient


def affine_map(model: Model, x: torch.Tensor, chunk: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Return the affine map that a network applies to each input: its templates and its biases.

    .. math:: f(x) = A[x]\,x + b[x] \qquad\text{(Theorem 1, and Eq. 7 for a CNN)}

    One forward pass builds the graph, and one backward pass for each output reads the rows of all A at once; this needs
    neither a ``vmap`` over samples nor memory for batch x outputs copies of the activations. At a kink the slope is that
    of the piece which :func:`deepatoms.theory.piecewise.trace` names. One more forward pass checks the map where it was not
    made: at a second point, with the same pieces, ``f(x') = A x' + b``. Nothing of the caller's is changed.

    Args:
        model: A ``torch.nn.Module`` in evaluation mode, or a function of a tensor, with outputs of shape (batch, outputs).
        x: Inputs, shape (batch, ...), of the model's type and on its device.
        chunk: Number of samples whose activations are held at once: how large the batches are that the model is given.

    Returns:
        A, shape (batch, outputs, inputs), inputs in the order of ``x.flatten(1)``; and b, shape (batch, outputs).

    Raises:
        NotPiecewiseAffineError: If an operation is not piecewise affine in x.
        ValueError: If x does not fit, samples influence each other, or the map does not hold: torch's derivative is not
            the function's (``no_grad``, ``detach``, a backward of one's own), or x sits on a kink.
        TypeError: If x is no torch tensor.
        MemoryError: If A would not fit in memory.

    Source:
        Theorem 1 and Section 5.2, :eq:`spl-thm-1` and :eq:`spl-template`.

    >>> A, b = affine_map(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.LeakyReLU(0.5)), torch.tensor([[-1.0, 2.0]]))
    >>> A.tolist(), b.tolist()
    ([[[0.0, 0.0], [0.0, 1.0]]], [[0.0, 0.0]])
    """
    demand_model(model)
    demand_batch(x)
    with untouched(model):
        parts = [_affine_part(model, part, len(x)) for part in _several(x.detach(), integer("chunk", chunk))]
        maps, values = (torch.cat(column) for column in zip(*parts, strict=True))
        return maps, values - torch.einsum("ncd,nd->nc", maps, x.detach().flatten(1))


def _several(x, chunk):
    """Split a batch; none of its parts is a single sample, in which the influence of the others could not be seen."""
    sizes = [chunk] * (len(x) // chunk) + [len(x) % chunk] * (len(x) % chunk > 0)
    if chunk > 1 and len(sizes) > 1 and sizes[-1] == 1:
        sizes[-2:] = [sizes[-2] + 1]
    return x.split(sizes)


def _affine_part(model, x, total):
    x = (x.clone() if x.is_inference() else x.detach()).requires_grad_()
    with torch.enable_grad(), Pullback():
        seen = watch(model, x, Wish(pieces=True, signs=False))
        output = _demand_vector(seen.trace.output, x)
        _demand_memory(output, x, total)
        maps = x.new_empty(*output.shape, x[0].numel())
        for c, one in enumerate(torch.eye(maps.shape[1], dtype=output.dtype, device=maps.device)):
            maps[:, c] = _gradient(output, x, one.expand_as(output), keep=True).flatten(1)
    _demand_map(seen, maps)
    return maps, output.detach()


def _gradient(value, at, weights=None, keep=False):
    if not value.requires_grad:
        return torch.zeros_like(at)
    try:
        (gradient,) = torch.autograd.grad(value, at, weights, retain_graph=keep, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"the model has no derivative in torch: {str(error).splitlines()[0]}; do not overwrite a result that a "
                         "derivative needs, and give functions of your own a backward") from error
    return torch.zeros_like(at) if gradient is None else gradient


def _demand_vector(z, x):
    if not isinstance(z, torch.Tensor) or z.ndim != 2 or z.shape[0] != x.shape[0] or 0 in z.shape:
        shape = tuple(z.shape) if isinstance(z, torch.Tensor) else type(z).__name__
        raise ValueError(f"model(x) = {shape} is not one vector of outputs for each of the {x.shape[0]} samples; "
                         "flatten it to (batch, outputs), or choose one output of those the model returns")
    if not z.is_floating_point():
        raise TypeError(f"model(x) holds {str(z.dtype).removeprefix('torch.')}, no real numbers; return the scores before they "
                        "are rounded, compared or made complex")
    return z


def _demand_memory(z, x, total):
    """Refuse a map larger than the machine's memory (the device's, on a GPU)."""
    one = z.shape[1] * x[0].numel() * x.element_size()
    there = torch.cuda.get_device_properties(x.device).total_memory if x.is_cuda else \
        memory()
    if 2 * total * one > there:
        fit = max(1, int(there // (8 * one)))
        refuse("x", x, f"needs {2 * total * one / 2**30:,.1f} GiB for its maps of {z.shape[1]} x {x[0].numel()} entries; "
               f"there are {there / 2**30:,.1f} GiB", f"pass it in chunks, such as 'for part in x.split({fit})'",
               MemoryError)


def _demand_map(seen, maps):
    """Demand f(x') = A x' + b at other inputs x' with the same pieces, and f(x) of every sample in other company.

    Each sample moves its own way, so that one which moves another's output is seen as well; and far, so that no offset and no
    larger neighbour hides an error.
    """
    # Here and below output by output: all magnitudes at once would take as much memory as the maps.
    largest = functools.reduce(torch.maximum, (row.abs() for row in maps.unbind(1)))
    other = distant(seen.x, slopes=largest.reshape(seen.x.shape))
    before, after, step = seen.trace.output.detach(), seen.held(other), (other - seen.x).detach().flatten(1)
    predicted = before + torch.einsum("ncd,nd->nc", maps, step)
    reach, here = (torch.stack([(row.abs() * each.abs()).sum(1) for row in maps.unbind(1)], 1)
                   for each in (step, seen.x.detach().flatten(1)))
    same = after.shape == before.shape
    error = (after - predicted).abs() if same else torch.full_like(before, torch.inf)
    if not same or bool(beyond_rounding(seen, error, before.abs() + after.abs() + reach, other, held=True).any()):
        _explain(seen, other, float(error.max()), before.abs() + here)
    demand_any_company(seen, before.abs() + here)


def _explain(seen, other, error, size):
    """Say why the map does not hold: others' influence, a kink, or a derivative that is not the function's."""
    demand_any_company(seen, size)
    for still in (0, 1) if len(seen.x) > 1 else ():
        rows = torch.arange(still, len(seen.x), 2, device="cpu")
        moved = other.clone()
        moved[rows] = seen.x.detach()[rows]
        demand_alone(seen, seen.held(moved)[rows], rows, size)
    for each in seen.trace.nonlinearities:
        if each.ties:
            raise ValueError(f"{each.operation} in layer {each.where!r} sits on its kink in {each.ties} units, where "
                             "autograd's slope belongs to no piece (0 for abs, a mixture for maximum and amax); move x off "
                             "the kink by a little noise, or use max_pool or max(dim), which take the first of equal entries")
    reasons = [*seen.unseen, *_own_functions(seen.trace.output), *_hooks(seen.model)]
    said = "torch's derivative of the model is not the function's: " + (
        f"look at {', '.join(reasons[:4])}" if reasons else "a part of it works outside torch's operations, or is not affine")
    refuse("model", called(seen.model), "does not follow its map A x + b at a second point with the same pieces (off by "
           f"{error:.3g}); {said}",
           "let torch see the whole model: no no_grad, inference_mode, detach, numpy, or backward of your own in it")


def _own_functions(output):
    """Return the names of the functions with a backward of their own in a graph."""
    found, seen, waiting = {}, set(), [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "_forward_cls"):
            found[f"the backward of {node._forward_cls.__name__}"] = True
        waiting.extend(below for below, _ in node.next_functions)
    return list(found)


def _hooks(model):
    modules = model.named_modules() if isinstance(model, torch.nn.Module) else ()
    return [f"the backward hooks of layer {name!r}" for name, module in modules
            if getattr(module, "_backward_hooks", None) or getattr(module, "_backward_pre_hooks", None)]


def block_templates(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    r"""Split the map of a residual network exactly into one template for each block.

    With :math:`x_\ell = S_\ell x_{\ell-1} + v_\ell(x_{\ell-1})`, affine shortcuts S and a head with slopes H,

    .. math:: A[x] = \sum_\ell H\,S_L\cdots S_{\ell+1}\,\frac{\partial v_\ell(x_{\ell-1})}{\partial x},

    where the stem counts as block 0. A head with its own ReLU is fine: its slopes at x enter H. That the sum is the map of
    the model, at x and at a second point with the same pieces, is checked, and so is the slope of every part.

    Args:
        model: A module with ``stem``, ``blocks`` (each with ``branch`` and ``shortcut``) and ``head``, such as
            the residual network of the chapters, in evaluation mode.
        x: Inputs, shape (batch, ...).

    Returns:
        Templates, shape (batch, blocks + 1, outputs, inputs); their sum over blocks is :func:`affine_map`'s A.

    Raises:
        NotPiecewiseAffineError: If an operation is not piecewise affine in x.
        ValueError: If the model is not of that form, a shortcut is not affine, or the model does something else between
            its blocks (a ReLU after the sum, say).

    Source:
        Ours, from :eq:`spl-thm-1`; stated as :eq:`spl-blocks`.

    No example: it needs a whole residual network; the tests hold the sum against :func:`affine_map`.
    """
    net: Any = model  # torch types the attributes of a module as tensors or modules
    demand_model(model)
    _demand_residual(net)
    demand_batch(x)
    with untouched(model):
        x = (x.clone() if x.is_inference() else x.detach()).requires_grad_()
        with torch.no_grad():
            seen = watch(model, x, Wish(pieces=True, signs=False))
        _demand_vector(seen.trace.output, x)
        parts: dict = {}
        with torch.enable_grad():
            z = watch(lambda batch: _by_blocks(net, batch, parts), x, Wish(signs=False)).trace.output
            if not isinstance(z, torch.Tensor) or z.shape != seen.trace.output.shape:
                _refuse_split(model, "its head gives another shape")
            rows = [_block_rows(z[:, c].sum(), parts, x) for c in range(z.shape[1])]
        templates = torch.stack(rows, 2)
        _demand_split(seen, z.detach(), templates.sum(1))
        _demand_parts(net, parts)
        return templates


def _by_blocks(net, x, parts):
    """Run a residual network by its parts, and keep what each block reads, its shortcut's result and its branch's."""
    values, shortcuts, stream = [net.stem(x)], [], []
    current = values[0]
    for block in net.blocks:
        stream.append(current)
        shortcuts.append(block.shortcut(current))
        version = current._version
        values.append(block.branch(current))
        if current._version != version:
            _refuse_split(net, "a branch writes into its input, which the shortcut passes on")
        current = shortcuts[-1] + values[-1]
    parts.update(values=values, shortcuts=shortcuts, stream=stream, last=current)
    return net.head(current.clone())  # which may overwrite it


def _block_rows(score, parts, x):
    """Pull one output's slope back along the shortcuts; at each block, down its own branch to the input."""
    values, shortcuts, stream = parts["values"], parts["shortcuts"], parts["stream"]
    slope, rows = _gradient(score, parts["last"], keep=True), []
    for level in range(len(stream), 0, -1):
        rows.append(_gradient(values[level], x, slope, keep=True).flatten(1))
        slope = _gradient(shortcuts[level - 1], stream[level - 1], slope, keep=True)
    rows.append(_gradient(values[0], x, slope, keep=True).flatten(1))
    return torch.stack(rows[::-1], 1)


def _demand_split(seen, z, total):
    """The templates must sum to the map of the model itself, at x and elsewhere on its pieces."""
    whole = seen.trace.output
    error, size = (whole - z).abs(), whole.abs() + 0.01 * whole.abs().amax(0)
    if bool(beyond_rounding(seen, error, size, seen.x.detach(), held=False).any()):
        _refuse_split(seen.model, f"its output differs by {float(error.max()):.3g} from that of stem, blocks and head")
    try:
        _demand_map(seen, total)
    except ValueError as error:
        _refuse_split(seen.model, f"their sum is not its map: {error}")


def _demand_parts(net, parts):
    """Each part's slope must be its own: two that are wrong may make up for each other in the sum."""
    for block, stream in zip(net.blocks, parts["stream"], strict=True):
        for part in (block.shortcut, block.branch):
            _demand_slope(net, part, stream.detach().requires_grad_())
    _demand_slope(net, net.head, parts["last"].detach().requires_grad_())


def _demand_slope(net, part, x):
    """Pulled back along any slope of its outputs, each in its own unit, a part must change as its derivative says."""
    with torch.enable_grad():
        seen = watch(part, x, Wish(pieces=True, signs=False))
        before = seen.trace.output
        size = before.detach().abs().amax(0)
        weights = displaced(torch.zeros_like(before), 3).detach() / size.clamp(min=0.01 * float(size.max()) or 1.0)
        slope = _gradient(before, x, weights)
    other = distant(x, slopes=slope.abs())
    terms = torch.cat([(weights * seen.held(other)).flatten(1), -(weights * before.detach()).flatten(1),
                       -(slope * (other - x).detach()).flatten(1)], 1)
    if not bool((terms.sum(1).abs() <= seen.tolerance * terms.abs().sum(1)).all()):
        _refuse_split(net, f"the derivative of its part {type(part).__name__} is not the function's")


def _refuse_split(model, why):
    refuse("model", type(model).__name__, f"is not divided by its blocks: {why}",
           "let each block's forward be shortcut(x) + branch(x), with nothing after the sum but the next block or the head")


def _demand_residual(model):
    blocks = list(getattr(model, "blocks", ()))
    whole = all(hasattr(model, part) for part in ("stem", "head")) and blocks
    if not whole or not all(hasattr(block, part) for block in blocks for part in ("branch", "shortcut")):
        refuse("model", type(model).__name__, "is not a residual network with stem, blocks (branch, shortcut) and head",
               "give your network these attributes, or use affine_map for the undivided map")
    for block in blocks:
        for part in block.shortcut.modules() if isinstance(block.shortcut, torch.nn.Module) else ():
            if isinstance(part, (torch.nn.ReLU, torch.nn.LeakyReLU, torch.nn.MaxPool2d)):
                refuse("model", type(model).__name__, f"has a shortcut with a {type(part).__name__}",
                       "only affine shortcuts split the map into blocks")


def concavities(model: Model, x: torch.Tensor) -> tuple[str, ...]:
    r"""Return what keeps a network from being convex in its input: the violated conditions of Theorem 2.

    From the second layer on every factor must be nonnegative and every activation non-decreasing; all must be convex. An
    empty answer proves convexity in each output; the conditions are sufficient only.

    Args:
        model: A module in evaluation mode.
        x: Any batch of inputs, shape (batch, ...); only the operations count, not the values.

    Returns:
        A tuple of sentences, each naming an operation and its layer.

    Raises:
        NotPiecewiseAffineError: If an operation is not piecewise affine in x, or with every piece held at x the model is not
            affine: what torch does not see proves nothing.
        ValueError: If x does not fit, or samples influence each other.

    Source:
        Theorem 2, :eq:`spl-thm-2`.

    >>> model = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(1, 1, bias=False)).requires_grad_(False)
    >>> _ = model[1].weight.fill_(-2.0)
    >>> concavities(model, torch.ones(1, 1))
    ("mm in layer '1' (Linear) has a negative factor, -2",)
    """
    demand_model(model)
    demand_batch(x)
    with untouched(model), torch.no_grad():
        seen = watch(model, x, Wish(pieces=True))
        _demand_one_output(model, seen.trace.output)
        demand_affine(seen)
        demand_any_company(seen)
    return seen.trace.concavities


def _demand_one_output(model, output):
    """What is no single tensor of real numbers is not looked at, and positions jump: neither proves anything convex."""
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        kind = str(output.dtype) if isinstance(output, torch.Tensor) else type(output).__name__
        refuse("model", called(model), f"returns {kind}, no tensor of real numbers", "choose one of its outputs, before argmax")


def distance_to_break(model: Model, x: torch.Tensor, direction: torch.Tensor, farthest: float = 1e3) -> torch.Tensor:
    r"""Return how far each input can go in its direction before the network's code changes.

    Up to there every value that a nonlinearity reads is affine, :math:`z_k + t\,\dot z_k`, so the first change is at

    .. math:: \min_k\ -z_k / \dot z_k \quad\text{over units that move towards their kink},

    and under max-pooling where a cell overtakes its window's winner. One forward pass; nothing is searched for.

    Args:
        model: A module in evaluation mode and float64, of affine operations, ReLU-like activations and max-pooling.
        x: Inputs, shape (batch, ...), float64; on a kink a unit counts as off.
        direction: Directions, same shape as x.
        farthest: Where to stop looking; returned if the code never changes before.

    Returns:
        Distances, shape (batch,), in units of each direction's own length.

    Raises:
        NotPiecewiseAffineError: If an operation is not piecewise affine in x, or its walls are not known.
        ValueError: If x or direction is not float64 or of the other's shape, ``farthest`` is negative, or there may be a break
            before of a unit that is so small that it may be the rounding of 0.

    Source:
        Ours: the radius of :eq:`spl-in-radius` along one direction.

    >>> x = torch.tensor([[-2.0]], dtype=torch.float64)
    >>> distance_to_break(torch.nn.ReLU(), x, torch.ones_like(x)).item()
    2.0
    """
    demand_model(model)
    demand_double("x", demand_batch(x))
    if not isinstance(direction, torch.Tensor) or real_array("direction", direction).shape != x.shape:
        refuse("direction", direction, f"is not a tensor of the shape {tuple(x.shape)} of x", "pass one direction for each input")
    demand_double("direction", direction)
    farthest = number("farthest", farthest, minimum=0)
    with untouched(model):
        noise = rehearse(model, x).noise
        nearest = torch.full((len(x),), farthest, dtype=x.dtype, device=x.device)
        stretch = _stretch(x.detach(), direction.detach())
        found, output = observe(model, x.detach(), (stretch * direction.detach())[None], noise=noise)
        for pieces in found:
            nearest = torch.minimum(nearest, stretch.flatten() * first_change(pieces))
        demand_clear(model, found, np.zeros(len(x)), (nearest / stretch.flatten()).cpu().numpy())
        output[1] /= stretch.reshape(-1, 1)
        _demand_straight(model, x, direction, nearest, output)
    return nearest


def _stretch(x, direction):
    """Return powers of two by which directions are as large as their inputs: beside these a short step is rounded."""
    ratio = x.flatten(1).abs().amax(1) / direction.flatten(1).abs().amax(1)
    exponent = torch.frexp(torch.nan_to_num(ratio, 0.0, 0.0)).exponent.clamp_min(0)
    return torch.ldexp(torch.ones_like(ratio), exponent).reshape(-1, *[1] * (x.ndim - 1))


def _demand_straight(model, x, direction, nearest, output):
    """Up to the first break the function is the affine one that was followed to find it."""
    times = (0.99 * nearest).reshape(-1, *[1] * (x.ndim - 1))
    points, change = (x + times * direction).detach(), times.reshape(-1, 1) * output[1]
    with torch.no_grad():
        watch(model, points, Wish(signs=False))
    try:
        demand_pieces(model, points, output[0] + change, output[0].abs() + change.abs() + 1e-3)
    except NotPiecewiseAffineError as error:
        refuse("model", called(model), f"is not affine up to the break that was found ({error})",
               "let torch see the whole model, and keep one row for each sample")


def area_under_roc(own: torch.Tensor, others: torch.Tensor) -> float:
    """Return the probability that a product with the own class's template exceeds one with another's, ties counted half.

    Args:
        own: Products of inputs with the templates of their classes, any shape.
        others: Products with the templates of other classes, any shape.

    Raises:
        ValueError: If either is empty or not finite.

    Source:
        Mann and Whitney (1947); of the products in Figure 2 of the paper.

    >>> area_under_roc(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0]))
    0.625
    """
    ordered = real_array("others", others).flatten().sort().values
    own = real_array("own", own).flatten()
    below, up_to = torch.searchsorted(ordered, own), torch.searchsorted(ordered, own, right=True)
    return float((below + up_to).double().mean() / 2 / len(ordered))


def optimal_templates(x: torch.Tensor, label: int, classes: int, budget: float) -> torch.Tensor:
    r"""Return the optimal templates of Prop. 5 for one input of norm 1.

    .. math:: A_y = \sqrt{\tfrac{(C-1)\alpha}{C}}\,x, \qquad A_c = -\sqrt{\tfrac{\alpha}{C(C-1)}}\,x \quad (c\ne y),

    the minimisers of the cross-entropy over :math:`\sum_c\|A_c\|_2^2\le\alpha` (the paper prints the norms unsquared), with
    biases that are equal over the wrong classes.

    Args:
        x: Input of norm 1, shape (inputs,).
        label: The true class y.
        classes: Number of classes C.
        budget: :math:`\alpha`.

    Returns:
        Templates, shape (classes, inputs).

    Raises:
        ValueError: If x is not a finite vector of norm 1, there are fewer than two classes, or the label is none of them.

    Source:
        Proposition 5, :eq:`spl-eq-12`.

    >>> optimal_templates(torch.tensor([1.0]), 0, 3, 2.0).flatten().numpy().round(4)
    array([ 1.1547, -0.5774, -0.5774], dtype=float32)
    """
    _demand_unit(x)
    _demand_label(label, classes)
    number("budget", budget, 0)
    scale = torch.full((integer("classes", classes, 2),), -((budget / (classes * (classes - 1))) ** 0.5), dtype=x.dtype)
    scale[label] = ((classes - 1) * budget / classes) ** 0.5
    return scale[:, None].to(x.device) * x


def _demand_label(label, classes):
    if integer("label", label, 0) >= integer("classes", classes, 2):
        refuse("label", label, f"is none of the {classes} classes", f"pass a number from 0 to {classes - 1}")


def _demand_unit(x):
    if not isinstance(x, torch.Tensor):
        refuse("x", x, "is not a torch tensor", "convert it with torch.as_tensor", TypeError)
    real_array("x", x, rank=1)
    if abs(float(torch.linalg.vector_norm(x)) - 1) > 1e-5:
        refuse("x", x, f"has norm {float(torch.linalg.vector_norm(x)):.6g}", "divide it by its norm")


def optimise_templates(x: torch.Tensor, label: int, classes: int, budget: float, norms: str = "squared",
                       bias: torch.Tensor | None = None,
                       generator: torch.Generator | None = None) -> Descended[torch.Tensor]:
    r"""Minimise the cross-entropy of one input over free templates under a budget, by projected gradient.

    Args:
        x: Input of norm 1, shape (inputs,).
        label: The true class.
        classes: Number of classes.
        budget: :math:`\alpha`.
        norms: ``"squared"`` for :math:`\sum_c\|A_c\|^2\le\alpha`, ``"plain"`` for the printed :math:`\sum_c\|A_c\|\le\alpha`.
        bias: Fixed biases, shape (classes,); zero if left out.
        generator: Draws the start, normal of scale 0.1.

    Returns:
        The templates of least cross-entropy that were met, shape (classes, inputs), and whether a further step would move
        them by no more than a millionth of the budget's radius.

    Raises:
        ValueError: If x is not a finite vector of norm 1, or ``norms`` is unknown.

    Source:
        Proposition 5 as printed and as corrected, :eq:`spl-prop-5`.

    >>> templates, converged = optimise_templates(torch.ones(1, dtype=torch.float64), 0, 3, 2.0)
    >>> templates.flatten().numpy().round(3).tolist(), converged
    ([1.155, -0.577, -0.577], True)
    """
    _demand_unit(x)
    _demand_label(label, classes)
    number("budget", budget, 0)
    project = {"squared": _project_frobenius, "plain": _project_norms}[one_of("norms", norms, ["squared", "plain"])]
    bias = torch.zeros(classes, dtype=x.dtype) if bias is None else bias
    templates = 0.1 * torch.randn(classes, len(x), generator=generator, dtype=torch.float64).to(x.dtype)
    best, least = templates, math.inf
    for _ in range(STEPS):
        before, templates = templates, project(templates - STEP * _slope(templates, x, bias, label), budget)
        loss = float(torch.logsumexp(scores := templates @ x + bias, 0) - scores[label])
        best, least = (templates, loss) if loss <= least else (best, least)
        if torch.equal(before, templates):
            break
    moved = project(best - STEP * _slope(best, x, bias, label), budget) - best
    return Descended(best, bool(torch.linalg.vector_norm(moved) <= 1e-6 * budget**0.5))


def _slope(templates, x, bias, label):
    """Return the gradient of the cross-entropy in the templates."""
    surplus = torch.softmax(templates @ x + bias, 0)
    surplus[label] -= 1
    return surplus[:, None] * x


def _project_frobenius(templates, budget):
    return templates * min(1.0, budget**0.5 / float(torch.linalg.matrix_norm(templates)))


def _project_norms(templates, budget):
    """Project onto the ball of the sum of row norms: soft-threshold the norms."""
    norms = torch.linalg.vector_norm(templates, dim=1)
    if float(norms.sum()) <= budget:
        return templates
    ordered = norms.sort(descending=True).values
    excess = (ordered.cumsum(0) - budget) / torch.arange(1, len(ordered) + 1)
    threshold = excess[(ordered > excess).nonzero()[-1, 0]]
    return templates * ((norms - threshold).clamp_min(0) / norms.clamp_min(1e-300))[:, None]


def greedy_matching(weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    r"""Return the output of a ReLU network as its cascade of maximisations, unit by unit (Eq. 10).

    Args:
        weights: List of matrices, shape (units, inputs) each.
        biases: List of vectors, shape (units,) each.
        x: One input, shape (inputs,).

    Returns:
        Outputs, shape (outputs,).

    Raises:
        ValueError: If a number is NaN or infinite, which a maximum would hide.

    Source:
        Eq. 10, :eq:`spl-eq-10`.

    >>> one = torch.eye(1)
    >>> greedy_matching([one, -one], [torch.zeros(1), torch.ones(1)], torch.tensor([3.0])).item()
    -2.0
    """
    _demand_finite(weights, biases, x)
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        pieces = torch.stack([torch.zeros_like(bias), weight @ x + bias])  # slope 0 and slope e_k of Prop. 2
        x = pieces.max(0).values
    return weights[-1] @ x + biases[-1]


def _demand_finite(weights, biases, x):
    for name, arrays in (("weights", weights), ("biases", biases), ("x", [x])):
        for each in arrays:
            real_array(name, each)


def global_matching(weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    r"""Return, for each output, the largest value over all choices of active units at once (Eq. 11).

    Args:
        weights, biases, x: As in :func:`greedy_matching`; at most 20 hidden units.

    Returns:
        Outputs, shape (outputs,).

    Raises:
        ValueError: If there are more than 20 hidden units, or a number is NaN or infinite.

    Source:
        Corollary 1, Eq. 11, :eq:`spl-eq-11`; its left side should read :math:`z^{(L)}`.

    >>> one = torch.eye(1)
    >>> global_matching([one, -one], [torch.zeros(1), torch.ones(1)], torch.tensor([3.0])).item()
    1.0
    """
    _demand_finite(weights, biases, x)
    hidden = [len(bias) for bias in biases[:-1]]
    if sum(hidden) > 20:
        refuse("weights", hidden, f"have 2^{sum(hidden)} choices of active units", "use at most 20 hidden units")
    choices = torch.tensor(list(itertools.product((0.0, 1.0), repeat=sum(hidden))), dtype=x.dtype)
    values = x.expand(len(choices), -1)
    for weight, bias, chosen in zip(weights[:-1], biases[:-1], choices.split(hidden, 1), strict=True):
        values = chosen * (values @ weight.T + bias)
    return (values @ weights[-1].T + biases[-1]).max(0).values

named(__name__)
