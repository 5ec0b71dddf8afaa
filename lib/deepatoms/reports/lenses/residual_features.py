"""What the theory of ResNEsts says of a network: the risk after each block, and whether its features can be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from deepatoms.reports.entries import LENSES, Entry
from deepatoms.reports.lenses.skip_dictionaries import blocks
from deepatoms.reports.subject import Found, Subject, View, Yardstick
from deepatoms.theory import resnests
from deepatoms.theory.resnests import assumptions
from deepatoms.theory.untouched import untouched

LENS = LENSES[4]
RISK = Entry(
    LENS, "risk", None, unit="mean squared error", direction="lower is better",
    meaning="Least squares risk of the best linear map from this representation (averaged over positions) to the "
            "targets, on the data "
            "given. The threshold is the risk from the input.",
    theorem="ResNEst paper: at its optimum a ResNEst is no worse than the best linear predictor. Averaging over "
            "positions and a "
            "stream that is rectified are outside of it.")
RANK = Entry(
    LENS, "rank margin of Assumption 4", None, unit="ratio of singular values", direction="higher is better",
    meaning="Smallest needed over largest singular value of [W_0 ... W_{L-1}], the maps by which features enter the "
            "residual stream.",
    theorem="ResNEst paper, Assumption 4: full column rank; with it the augmented problem's guarantees reach the network.",
    threshold=assumptions.ROUNDING)


def lens(subject: Subject) -> Iterator[Entry]:
    """Yield the entries of the theory of ResNEsts."""
    names = _names(subject.own)
    found = {f"{RISK.name}, {name}": (replace(RISK, name=f"{RISK.name}, {name}"), Yardstick("below")) for name in names}
    yield from subject.measure(found or {RISK.name: (RISK, Yardstick("below"))}, lambda view: risks(view, subject.count(1)),
                               lambda: subject.own.work * subject.count(1))
    yield from subject.measure({RANK.name: (RANK, Yardstick("assumption"))}, rank)


def _names(view):
    if view.x is None or view.y is None:
        return []
    if hasattr(view.model, "representations"):
        return [f"x_{i}" for i in range(len(view.model.representations(view.inputs(1))))]
    return blocks(view)


def risks(view: View, count: int) -> dict[str, Found]:
    """Return the risk after each block, by :func:`deepatoms.theory.resnests.block_risks`.

    Raises:
        ValueError: If no module adds a shortcut, or there are no labels.
    """
    y = view.labels(count)
    names = None if hasattr(view.model, "representations") else blocks(view)
    if names == []:
        raise ValueError("the network has no residual block: no module of its own adds two tensors that depend on the input")
    with untouched(view.model):
        found = resnests.block_risks(view.model, (view.inputs(count), y), blocks=names)
    before = found[0].training
    return {f"{RISK.name}, {risk.name}": Found(
        risk.training, before, saturated="least squares fits every input: pass more inputs than the block has features"
        if risk.training <= 1e-12 else "", reason=f"{len(y)} inputs") for risk in found[1:]}


def rank(view: View) -> dict[str, Found]:
    """Return the margin of Assumption 4, by :func:`deepatoms.theory.resnests.assumption_4`.

    Raises:
        ValueError: If the network has no residual stream that is linear.
    """
    view.inputs()
    weights = entering(view)
    if any(weight.ndim > 2 for weight in weights):
        return {RANK.name: _by_count(weights)}
    found = resnests.assumption_4([weight.double() for weight in weights])
    return {RANK.name: Found(found.margin, reason=f"rank {found.rank} of {found.needed} needed")}


def _by_count(weights):
    """Convolutions: with more features than channels, at each position, the rank cannot be full."""
    needed, there = sum(weight.shape[1] for weight in weights), weights[0].shape[0]
    if needed <= there:
        raise ValueError("the features enter the stream by convolutions, whose rank on a grid is not computed")
    return Found(0.0, reason=f"at each position {needed} features enter a stream of {there} channels, so the rank "
                             f"cannot be full")


def entering(view: View) -> list[torch.Tensor]:
    """Return the maps by which features enter the residual stream, all but the last block's.

    Raises:
        ValueError: If there is no residual stream, or something nonlinear happens on it.
    """
    sums = view.passage.sums
    if not sums:
        raise ValueError("the network has no residual stream: nothing adds two tensors that depend on the input")
    flow = max((one for each in sums for one in (_total(each),)), key=lambda total: len(_terms(total)))
    terms = _terms(flow)
    if len(terms) < len(sums) + 1:
        raise ValueError("the residual stream is not linear: what comes after one sum is activated, normalised or "
                         "pooled before the "
                         "next, so its features are no longer a sum")
    maps = [_map(view, term) for term in terms]
    if len({len(weight) for weight in maps}) > 1:
        raise ValueError("the residual stream changes its width")
    return maps[:-1] if len(maps) > 1 else maps


def _total(each):
    late, early = (each.one, each.other) if each.one.layer >= each.other.layer else (each.other, each.one)
    return replace(late, added=(*late.added, early))


def _terms(flow):
    """Return what a sum is made of, in the order of execution."""
    own = replace(flow, added=())
    return [term for each in flow.added for term in _terms(each)] + [own]


def _map(view, term):
    if term.via or term.origin == "mixed":
        raise ValueError(f"what enters the residual stream passes {', '.join(term.via)}")
    if term.origin == "layer":
        return view.layers[term.layer].effective
    width = view.layers[term.layer].weight.shape[0] if term.origin == "code" else view.inputs()[0].numel()
    return torch.eye(width, dtype=torch.float64, device=view.inputs().device)
