"""What the theory of skip dictionaries says of a network: I + S(h)W block by block, and the map from end to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from deepatoms.reports.entries import LENSES, Entry
from deepatoms.reports.lenses.splines import cost_of_maps, of_maps
from deepatoms.reports.subject import FAILURES, MOST, Found, Subject, TooLongError, View, Yardstick, too_long
from deepatoms.reports.tracing import Layer
from deepatoms.theory import convolutional, partition, skip_dictionaries, splines
from deepatoms.theory.piecewise import NotPiecewiseAffineError
from deepatoms.theory.untouched import untouched

LENS = LENSES[2]
WIDEST = 512  # of a block whose dictionary is written out
FEW = 4  # inputs at which it is
PAIR = 2  # inputs at which a wider one is multiplied with vectors
PRODUCTS, STEPS = 1e10, (20, 300)  # multiply-adds for these, and the fewest and most of them
CONDITION = Entry(
    LENS, "condition number of I + S(h)W", None, unit="ratio", direction="lower is better",
    meaning="Largest over some inputs of the condition number of the block's dictionary, the affine map that the "
            "block is at that input.",
    theorem="Skip-dictionary paper: at most (1 + ||S(h)W||) / (1 - ||S(h)W||) where that norm is below 1; else no "
            "theorem bounds it.")
SPREAD = Entry(
    LENS, "k90 of I + S(h)W", None, unit="singular values", direction="higher is better",
    meaning="How many singular values carry nine tenths of the energy of the block's dictionary: the median over some "
            "inputs.",
    theorem="Skip-dictionary paper, Section on spectra: the identity spreads the energy; no threshold is proved.")
END_CONDITION = Entry(
    LENS, "condition number of the end-to-end Jacobian", None, unit="ratio", direction="lower is better",
    meaning="Largest over smallest singular value of the derivative of all outputs in the input: the median over some "
            "inputs.",
    theorem="Skip-dictionary paper, the product of the layers' maps; no threshold is proved.")
END_SPREAD = Entry(
    LENS, "k90 of the end-to-end Jacobian", None, unit="singular values", direction="higher is better",
    meaning="How many singular values carry nine tenths of the energy of that derivative: the median.",
    theorem="Skip-dictionary paper, as for a block.")
END_RANK = Entry(
    LENS, "effective rank of the end-to-end Jacobian", None, unit="directions", direction="higher is better",
    meaning="Exponential of the entropy of that derivative's energy over its singular values: the median.",
    theorem="Roy and Vetterli (2007); no threshold is proved.")
GAIN = Entry(
    LENS, "measured gain", None, unit="output per input", direction="lower is better",
    meaning="Largest norm of the derivative over some inputs: how much a small change of the input can grow there. "
            "The threshold is the "
            "Lipschitz product, which no change anywhere can exceed.",
    theorem="Skip-dictionary paper, perturbation bound: the product of the layers' norms, 1 + norm for a residual block.")
PRODUCT = Entry(
    LENS, "Lipschitz product", None, unit="output per input", direction="lower is better",
    meaning="Product of the layers' norms along the network, summed where it adds: no change grows by more.",
    theorem="Standard; for a ReLU residual network the residual bound of the skip-dictionary chapter. Convolutions "
            "count with the norm of "
            "a circular one on a grid large enough to hold theirs.")


def lens(subject: Subject) -> Iterator[Entry]:
    """Yield the entries of the theory of skip dictionaries: each block, then the whole."""
    names = blocks(subject.own) if subject.own.x is not None else []
    for block in names:
        entries = {f"{entry.name}, {block}": (replace(entry, name=f"{entry.name}, {block}"), Yardstick(rule))
                   for entry, rule in ((CONDITION, "below"), (SPREAD, "null"))}
        yield from _block(subject, entries, block)
    if not names:
        yield from subject.measure({entry.name: (entry, Yardstick()) for entry in (CONDITION, SPREAD)}, no_blocks)
    yield from subject.measure({entry.name: (entry, Yardstick()) for entry in (END_CONDITION, END_SPREAD, END_RANK)},
                               lambda view: end_to_end(view, of_maps(subject)), lambda: cost_of_maps(subject))
    yield from subject.measure({PRODUCT.name: (PRODUCT, Yardstick())}, lambda view: {PRODUCT.name: Found(product(view))},
                               lambda: sum(map(_norm_cost, subject.own.layers)))
    yield from subject.measure({GAIN.name: (GAIN, Yardstick("below"))}, lambda view: gain(view, of_maps(subject)),
                               lambda: cost_of_maps(subject) + _affordable(sum(map(_norm_cost, subject.own.layers))))


def _affordable(cost):
    """What norms cost, or nothing where they cost so much that the number does without them."""
    return cost if cost <= MOST else 0.0


def _block(subject, entries, block):
    if not _wide(subject.own, block):
        yield from subject.measure(entries, lambda view: spectrum(view, block), lambda: 8 * FEW * subject.own.work)
        return
    share = 6 * PAIR * subject.own.work / len(blocks(subject.own))  # of one step: two products, of three passes each
    steps = int(min(STEPS[1], max(STEPS[0], PRODUCTS / share)))
    for name, given in entries.items():
        ends = name.startswith(CONDITION.name)
        yield from subject.measure({name: given if ends else (given[0], Yardstick(nulls=False))},
                                   lambda view, ends=ends: extremes(view, block, steps) if ends else _whole(view, block),
                                   lambda ends=ends: share * steps if ends else 0.0, len(blocks(subject.own)))


def _wide(view, block):
    try:
        return _arriving(view, view.double.get_submodule(block))[0].numel() > WIDEST
    except FAILURES:
        return False  # the reason is told where the numbers would be


def _whole(view, block):
    width = _arriving(view, view.double.get_submodule(block))[0].numel()
    raise TooLongError(f"it needs every singular value, and block {block!r} is {width:,} wide: a dictionary of that many squared "
                       f"entries is written out up to {WIDEST}")


def blocks(view: View) -> list[str]:
    """Return the names of the modules that add a shortcut: inside of them two tensors that depend on the input are added."""
    modules = dict(view.model.named_modules())
    found = dict.fromkeys(each.module for each in view.passage.sums if each.module)
    return [name for name in found if name in modules and not isinstance(modules[name], torch.nn.Sequential)]


def no_blocks(view: View) -> dict[str, Found]:
    """Say why there is no block."""
    view.inputs()
    raise ValueError("the network adds its shortcuts in its own forward; give each block a module of its own" if view.passage.sums
                     else "the network has no shortcut: no module adds two tensors that depend on the input")


def spectrum(view: View, block: str) -> dict[str, Found]:
    """Return condition number and k90 of a block's dictionary at some inputs: the affine map of the block, written out.

    Raises:
        ValueError: If the block is not one tensor in and one of the same shape out, or not piecewise affine.
    """
    D = dictionaries(view, block)
    kappa = skip_dictionaries.condition_number(D)
    norm = float(torch.linalg.matrix_norm(D - torch.eye(D.shape[-1], dtype=D.dtype, device=D.device), 2).max())
    bound = skip_dictionaries.condition_bound(norm) if norm < 1 else None
    said = f"{len(D)} inputs, largest ||S(h)W|| {norm:.3g}"
    return {f"{CONDITION.name}, {block}": Found(float(kappa.max()), bound, reason=said, rule="" if bound else "null"),
            f"{SPREAD.name}, {block}": Found(float(torch.as_tensor(skip_dictionaries.energy_dimensions(D)).double().median()),
                                             reason=f"of {D.shape[-1]}")}


def extremes(view: View, block: str, steps: int) -> dict[str, Found]:
    """Return the condition number of a wide block's dictionary from products with vectors, none of its entries written out.

    By :func:`deepatoms.theory.skip_dictionaries.extreme_singular_values`; where that has not converged, a lower bound.

    Raises:
        ValueError: If the block is not one tensor in and one of the same shape out, or not piecewise affine.
    """
    module = view.double.get_submodule(block)
    h = _arriving(view, module)[:PAIR]
    vectors = _Vectors(module, tuple(h.shape[1:]))
    partition.region_codes(vectors, h.flatten(1))  # refuses what is not piecewise affine
    generator = torch.Generator().manual_seed(0)
    found = []
    for one in h.flatten(1):
        start = torch.randn(len(one), generator=generator, dtype=torch.float64, device="cpu").to(one.device)
        with products(vectors, one[None]) as (forward, adjoint):
            found.append(skip_dictionaries.extreme_singular_values(forward, adjoint, start, steps))
    worst = max(found, key=lambda ends: ends.condition)
    how = ("a row of it is 0: units that are off at the block's end" if not worst.smallest else
           "converged" if worst.converged else f"at least: the smallest singular value has not converged in {steps} steps")
    return {f"{CONDITION.name}, {block}": Found(worst.condition, rule="null", reason=f"{len(found)} inputs, of {h[0].numel():,} "
                                                f"dimensions by Lanczos; {how}")}


@contextmanager
def products(block: torch.nn.Module, h: torch.Tensor) -> Iterator[tuple[Callable, Callable]]:
    """Return what multiplies a vector with the derivative of a block at one input, and with its transpose.

    Args:
        block: Maps shape (1, width) to the same.
        h: Shape (1, width).
    """
    with untouched(block), torch.enable_grad():
        x = h.detach().clone().requires_grad_()
        output = block(x.clone())
        dummy = torch.zeros_like(output, requires_grad=True)
        pulled = torch.autograd.grad(output, x, dummy, create_graph=True)[0]  # linear in the dummy: its derivative pushes forward
        yield (lambda v: torch.autograd.grad(pulled, dummy, v[None], retain_graph=True)[0][0],
               lambda u: torch.autograd.grad(output, x, u[None], retain_graph=True)[0][0])


def dictionaries(view: View, block: str) -> torch.Tensor:
    """Return I + S(h)W of a block at some inputs, shape (inputs, width, width), in float64."""
    module = view.double.get_submodule(block)
    h = _arriving(view, module)
    return splines.affine_map(_Vectors(module, tuple(h.shape[1:])), h.flatten(1))[0]


def _arriving(view, module):
    found: list[Any] = []
    hook = module.register_forward_hook(lambda _, given, output: found.append((given, output)))
    try:
        with untouched(view.double), torch.no_grad():
            view.double(view.inputs(FEW).double())
    finally:
        hook.remove()
    given, output = found[0]
    if len(given) != 1 or not isinstance(output, torch.Tensor) or given[0].shape != output.shape:
        raise ValueError("the block does not take one tensor to another of the same shape, so it is no identity plus "
                         "something")
    return given[0].detach()


class _Vectors(torch.nn.Module):
    """A block as a map of vectors."""

    def __init__(self, block, shape):
        super().__init__()
        self.block, self.shape = block, shape
        self.eval()

    def forward(self, h):
        return self.block(h.reshape(-1, *self.shape)).flatten(1)


def jacobians(view: View, count: int) -> torch.Tensor:
    """Return the derivative of all outputs in each input, shape (inputs, outputs, inputs' entries), in float64.

    Where the network is piecewise affine it is the map of :func:`deepatoms.theory.splines.affine_map`, else autograd's.
    """
    try:
        return view.maps(count)[0].double()
    except NotPiecewiseAffineError:
        return view.kept("jacobians", count, lambda: _autograd(view, count))


def _autograd(view, count):
    with untouched(view.model), torch.enable_grad():
        x = view.inputs(count).detach().clone().requires_grad_()
        output = view.model(x)
        rows = [torch.autograd.grad(output[:, c].sum(), x, retain_graph=True)[0].flatten(1) for c in range(output.shape[1])]
    return torch.stack(rows, 1).double()


def end_to_end(view: View, count: int) -> dict[str, Found]:
    """Return the spectrum of the network's derivative: medians over the inputs."""
    if view.outputs < 2:
        raise ValueError("the network has a single output, whose derivative has one singular value")
    J = jacobians(view, count)
    there = J.flatten(1).abs().amax(1) > 0
    if not there.any():
        raise ValueError("the derivative is 0 at every input")
    left, J = f", {int((~there).sum())} where it is 0 left out" if not there.all() else "", J[there]
    values = (skip_dictionaries.condition_number(J), skip_dictionaries.energy_dimensions(J), skip_dictionaries.effective_rank(J))
    most = f", at most {min(J.shape[1:])}"
    spectrum = tuple(torch.as_tensor(skip_dictionaries.singular_values(J)).double().median(0).values.tolist())
    return {entry.name: Found(float(torch.as_tensor(value).double().median()),
                              reason=f"{len(J)} inputs{left}{most if entry is not END_CONDITION else ''}",
                              curve=spectrum if entry is END_SPREAD else ())
            for entry, value in zip((END_CONDITION, END_SPREAD, END_RANK), values, strict=True)}


def gain(view: View, count: int) -> dict[str, Found]:
    """Return the largest norm of the derivative over the inputs, with the Lipschitz product as threshold where there is one."""
    J = jacobians(view, count)
    try:
        bound, said = product(view), ""
    except ValueError as error:
        bound, said = None, f"; no Lipschitz product: {error}"
    return {GAIN.name: Found(float(skip_dictionaries.singular_values(J)[:, 0].max()), bound, reason=f"{len(J)} inputs{said}",
                             rule="" if bound is not None else "null")}


def product(view: View) -> float:
    """Return the product of the layers' norms along the network, summed where it adds.

    Raises:
        ValueError: If an operation on the way has no bound that is known, or the output is not what was followed.
    """
    view.inputs()
    needed, flow = sum(map(_norm_cost, view.layers)), view.passage.flow
    if needed > MOST:
        raise too_long("the layers' norms", needed)
    if flow is None:
        raise ValueError("the output does not depend on the input, or not by operations of torch")
    return _Gains(view.layers).of(flow.gain)


class _Gains:
    """Bounds on the gain of tensors over the input, each computed once."""

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self.layers, self.found = layers, {}  # type: ignore[var-annotated]

    def of(self, gain: tuple) -> float:
        """Return the bound of what the tracing noted."""
        if id(gain) not in self.found:
            self.found[id(gain)] = self._of(*gain)
        return self.found[id(gain)]

    def _of(self, kind, *rest):
        if kind == "input":
            return 1.0
        if kind == "weight":
            return norm(self.layers[rest[0]]) * self.of(rest[1])
        if kind == "times":
            return rest[0] * self.of(rest[1])
        if kind == "plus":
            return self.of(rest[0]) + self.of(rest[1])
        if kind == "stack":
            return sum(self.of(each) ** 2 for each in rest) ** 0.5
        raise ValueError(f"the gain of {rest[0]} has no bound that is known here")


def norm(layer: Layer) -> float:
    """Return the norm of a layer's map, batch norm folded in; for a zero-padded convolution a bound on it."""
    weight = layer.effective.double()
    if layer.kind != "convolution":
        return float(torch.linalg.matrix_norm(weight, 2).max())
    if weight.ndim > 4:
        raise ValueError(f"{layer.name!r} is a convolution of three axes")
    grid = layer.grid[1 if layer.options["transposed"] else 0]
    return max(convolutional.padded_norm(part, grid, layer.options["dilation"]) for part in weight.chunk(layer.options["groups"]))


def _norm_cost(layer):
    if layer.kind != "convolution":
        return 4.0 * layer.weight.numel() * min(layer.weight.shape[-2:])
    out, channels = layer.weight.shape[:2]
    return 10.0 * layer.positions * out * channels * min(out, channels) / layer.options["groups"]
