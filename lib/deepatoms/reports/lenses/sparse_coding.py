"""What the theory of multi-layer sparse coding says of a network: coherence, sparse enough codes, certified noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from deepatoms.reports import tracing
from deepatoms.reports.entries import LENSES, Entry
from deepatoms.reports.subject import MOST, Found, Subject, View, Yardstick, too_long
from deepatoms.reports.tracing import THRESHOLDING, Flow, Layer
from deepatoms.theory import convolutional, dictionaries, stability

LENS = LENSES[1]
EXACT = 1e-6  # relative: a code that reproduces what it codes so well is a representation of it
COHERENCE = Entry(
    LENS, "coherence", None, unit="cosine", direction="lower is better",
    meaning="Largest absolute cosine between two atoms of the layer's dictionary, whose atoms are its filters "
            "(shifted copies "
            "included); filters that are zero are left out. The threshold is the Welch bound, the least there can be.",
    theorem="Mutual coherence, Donoho and Elad (2003); Welch (1974).")
SPARSE = Entry(
    LENS, "inputs with a code sparse enough to be unique", None, unit="of the inputs", direction="higher is better",
    meaning="Share of inputs whose active units (in the fullest stripe, for a convolution) are fewer than (1 + "
            "1/coherence)/2.",
    theorem="Uniqueness theorem of ML-CSC (Papyan, Romano and Elad, 2017): such a code is the only sparsest one. It "
            "counts wrapped "
            "stripes, which can only make the share smaller.", threshold=1.0)
NOISE = Entry(
    LENS, "certified noise", None, unit="norm of the noise on a patch", direction="higher is better",
    meaning="Largest noise for which layered soft thresholding is certain to keep the supports of the network's own "
            "codes: the median "
            "over the inputs. Not positive: nothing is certified, however small the noise.",
    theorem="ML-CSC paper, Theorem 2; in closed form, ours. Its hypothesis is that each code represents what it codes "
            "exactly.",
    threshold=0.0)
MODEL = Entry(
    LENS, "distance from the sparse model", None, unit="of the input's norm", direction="lower is better",
    meaning="How far the input is from its nearest multiple of what the first layer's code represents, D times the "
            "code: the median.",
    theorem="ML-CSC paper, Definition 1: the model asks for 0.", threshold=EXACT)


def lens(subject: Subject) -> Iterator[Entry]:
    """Yield the entries of the theory of multi-layer sparse coding, layer by layer, then those of the first layers as a chain."""
    layers = _layers(subject.own)
    for number, layer in enumerate(layers):
        yield from _coherence(subject, number, layer, len(layers))
    entries = {f"{SPARSE.name}, {layer.name}": layer for layer in _layers(subject.own)}
    yield from subject.measure(
        {name: (replace(SPARSE, name=name), Yardstick("share")) for name in entries or (SPARSE.name,)},
        lambda view: sparse_enough(view, subject.count(2)),
        lambda: min(MOST, subject.own.work * subject.count(2) * 2 + _cost_of_coherences(subject.own)))
    yield from subject.measure({NOISE.name: (NOISE, Yardstick("margin")), MODEL.name: (MODEL, Yardstick("representation"))},
                               lambda view: certified(view, subject.count(4, most=64)),
                               lambda: subject.own.work * subject.count(4, most=64) * 4)


def _coherence(subject, number, layer, layers):
    name = f"{COHERENCE.name}, {layer.name}"
    yield from subject.measure({name: (replace(COHERENCE, name=name), Yardstick())},
                               lambda view: {name: _kept_coherence(view, _layers(view)[number])}, lambda: _cost(layer), layers)


def _kept_coherence(view, layer):
    return view.kept(f"coherence, {layer.name}", 0, lambda: coherence(layer))


def _cost_of_coherences(view):
    """Return what the limits of a null's layers take; those of the network itself are known by then."""
    return sum(_cost(layer) for layer in _layers(view) if uncounted(layer) is None)


def _layers(view: View) -> tuple[Layer, ...]:
    return tuple(layer for layer in view.layers if " (use " not in layer.name)


def _cost(layer):
    filters = layer.weight
    lags = np.prod([2 * side - 1 for side in filters.shape[2:]], initial=1.0)
    return float(filters.shape[0]) ** 2 * filters[0].numel() / max(1, filters[0, 0].numel()) * lags


def coherence(layer: Layer) -> Found:
    """Return the coherence of a layer, by ``mutual_coherence`` of a matrix or ``filter_coherence`` of filters.

    Raises:
        ValueError: If the layer is no dictionary of the theory, or has fewer than two atoms.
    """
    atoms, left_out = filters(layer)
    if len(atoms) < 2:
        raise ValueError(f"{layer.name!r} has {len(atoms)} atoms, and a coherence needs two")
    if atoms.ndim == 2:
        value = float(dictionaries.mutual_coherence(atoms.mT))
        least = dictionaries.welch_bound(atoms.shape[1], len(atoms))
    else:
        value = float(convolutional.filter_coherence(atoms))
        least = convolutional.filter_welch_bound(atoms.shape[0], atoms.shape[1], tuple(atoms.shape[2:]))
    full = "two atoms are parallel: no code but that of a single atom can be told to be unique" if value > 1 - 1e-9 else ""
    return Found(value, least, full, f"{left_out} zero atoms left out" if left_out else "")


def filters(layer: Layer) -> tuple[torch.Tensor, int]:
    """Return a layer's atoms in float64, one a row, and how many of norm 0 were left out; those of a stride as of stride 1.

    Raises:
        ValueError: If the layer is no dictionary of the theory.
    """
    if layer.odd and not layer.strided:
        raise ValueError(f"{layer.name!r} {layer.odd}, which the theory's dictionaries are not")
    atoms = layer.weight.detach().double()
    there = atoms.flatten(1).abs().sum(1) > 0
    kept = atoms[there]
    return convolutional.unstrided(kept, layer.options["stride"]) if layer.strided and len(kept) else kept, int((~there).sum())


def sparse_enough(view: View, count: int) -> dict[str, Found | ValueError]:
    """Return for each layer the share of inputs whose stripes hold fewer nonzeros than the uniqueness threshold.

    Where a layer's output is no code of the theory, or its coherence takes too long, that layer has the reason instead.
    """
    found: dict[str, Found | ValueError] = {}
    stripes = counts(view, count)
    for number, layer in enumerate(view.layers):
        if " (use " not in layer.name:
            why = uncounted(layer)
            found[f"{SPARSE.name}, {layer.name}"] = why or _share(layer, _kept_coherence(view, layer).value, stripes[number])
    if not found:
        raise ValueError("the network has no layer of weights")
    return found


def _share(layer, mu, stripes):
    limit = dictionaries.uniqueness_threshold(mu) if mu else np.inf
    full = "no unit is active on any input" if not stripes.any() else ""
    return Found(float((stripes < limit).mean()), saturated=full,
                 reason=f"median of {np.median(stripes):.0f} active in {_stripe(layer)}, threshold {limit:.3g}, "
                        f"{len(stripes)} inputs")


def uncounted(layer: Layer) -> ValueError | None:
    """Return why the active units of a layer are not counted, or None where they are: names the operation, and what helps.

    >>> print(uncounted(Layer("0", torch.ones(2, 2), "linear", None, {}, activation="hardtanh")))
    what follows the layer is hardtanh (nn.ReLU6 runs it), which is no one-sided threshold; train with nn.ReLU for this number
    """
    if layer.summed:
        return ValueError("something else is added before the output is activated, so the code is not of this dictionary alone")
    if layer.activation is None:
        return ValueError("no activation follows the layer at once, so its output is no thresholded code")
    if layer.activation not in THRESHOLDING:
        return ValueError(f"what follows the layer is {_said(layer.activation)}, which is no one-sided threshold; train with "
                          "nn.ReLU for this number")
    if layer.odd:
        return ValueError(f"the layer {layer.odd}, whose stripes are not counted")
    if _cost(layer) > MOST:
        return too_long("the layer's coherence", _cost(layer))
    if len(filters(layer)[0]) < 2:
        return ValueError("the layer has fewer than two atoms that are not zero, and a coherence needs two")
    return None


def _said(activation):
    """Return the operation, with the module that runs it where the names differ."""
    return "hardtanh (nn.ReLU6 runs it)" if activation == "hardtanh" else activation


def _stripe(layer):
    return "a stripe" if layer.kind == "convolution" else "the layer"


def counts(view: View, count: int) -> dict[int, np.ndarray]:
    """Return for each layer that a ReLU follows the stripe counts of its code, one an input.

    The layers are those that are dictionaries of the theory, used once, and not added to a shortcut before the ReLU.
    """
    return view.kept("counts", count, lambda: _counts(view, count))


def _counts(view, count):
    found: dict[int, list] = {}
    kept = {number for number, layer in enumerate(view.layers) if " (use " not in layer.name and uncounted(layer) is None}
    for part in view.inputs(count).split(view.chunk()):
        def on_code(number, code, part=part):
            if number in kept:
                layer = view.layers[number]
                stripes = convolutional.stripe_count(codes_of(layer, code, len(part)), kernel(layer))
                found.setdefault(number, []).append(np.atleast_1d(np.asarray(torch.as_tensor(stripes).cpu())))
        tracing.passage(view.model, part, on_code)
    return {number: np.concatenate(parts) for number, parts in sorted(found.items())}


def kernel(layer: Layer) -> tuple[int, ...]:
    """Return the sizes of the filters' support; 1 for a matrix."""
    return tuple(layer.weight.shape[2:]) or (1,)


def codes_of(layer: Layer, code: torch.Tensor, batch: int) -> torch.Tensor:
    r"""Return a layer's code with its atoms on the second axis, shape (batch, atoms, \*grid); one vector has the grid (1,)."""
    if layer.kind == "convolution":
        return code
    return code.reshape(batch, -1, layer.weight.shape[0]).mT


def certified(view: View, count: int) -> dict[str, Found]:
    """Return the largest certified noise of the first layers as a chain, and how far the inputs are from the model.

    By :func:`deepatoms.theory.stability.largest_certified_noise` of what :func:`deepatoms.theory.stability.layers` measures.

    Raises:
        ValueError: If the first layer is no dictionary whose output a ReLU thresholds, or codes are all zero.
    """
    chain, D, codes, x = representation(view, count)
    there = torch.stack([code.flatten(1).abs().sum(1) > 0 for code in codes]).all(0)
    if not there.any():
        raise ValueError("every input has a code that is zero everywhere")
    codes, x = [code[there] for code in codes], x[there]
    noise = np.atleast_1d(stability.largest_certified_noise(stability.layers(D, codes)))
    distance = float(np.median(_distances(D[0], codes[0], x, chain[0])))
    names = ", ".join(layer.name for layer in chain)
    broken = "" if distance <= EXACT else "its hypothesis does not hold, see the distance from the sparse model; "
    left = f", {int((~there).sum())} inputs with a zero code left out" if not there.all() else ""
    return {NOISE.name: Found(float(np.median(noise)), reason=f"{broken}layers {names}; at best {noise.max():.3g}{left}",
                              rule="unmet" if broken else ""), MODEL.name: Found(distance)}


def representation(view: View, count: int) -> tuple[list[Layer], list, list[torch.Tensor], torch.Tensor]:
    r"""Return the first layers that make a chain, their dictionaries, their codes and the inputs, all in float64.

    The scale of each atom is moved into the next layer, which a ReLU lets pass: the dictionaries have unit atoms.

    Raises:
        ValueError: If not even the first layer belongs to the chain.
    """
    numbers = _prefix(view)
    x, chain = view.inputs(count), [view.layers[number] for number in numbers]
    codes = _collected(view, x, numbers)
    D: list[torch.Tensor] = []
    scaled: list[torch.Tensor] = []
    norms = None
    for number, layer in zip(numbers, chain, strict=True):
        atoms = layer.effective.double().reshape(*layer.weight.shape[:2], *kernel(layer))
        atoms = atoms if norms is None else atoms * norms.reshape(1, -1, *[1] * (atoms.ndim - 2))
        norms = atoms.flatten(1).norm(dim=1)
        code = codes[number]
        scaled.append(code / norms.reshape(1, -1, *[1] * (code.ndim - 2)))
        D.append(convolutional.normalize_filters(atoms))
    return chain, D, scaled, x.double()


def _collected(view, x, numbers):
    """Return the codes of some layers on all inputs."""
    codes: dict[int, list] = {number: [] for number in numbers}
    for part in x.split(view.chunk()):
        def on_code(number, code, part=part):
            if number in codes:
                codes[number].append(codes_of(view.layers[number], code, len(part)).double())
        tracing.passage(view.model, part, on_code)
    return {number: torch.cat(parts) for number, parts in codes.items()}


def _prefix(view):
    numbers: list[int] = []
    for number, layer in enumerate(view.layers):
        wanted = Flow("code", numbers[-1]) if numbers else Flow("input")
        fits = layer.activation in THRESHOLDING and not layer.summed and not layer.odd and layer.reads == wanted
        if not fits or numbers and layer.kind != view.layers[numbers[-1]].kind:
            break
        numbers.append(number)
    if not numbers:
        first = view.layers[0] if view.layers else None
        why = first and uncounted(first)
        raise ValueError(f"of the first layer, {first.name!r}: {why}" if first and why else
                         "no layer reads the input itself, as the first of a chain does")
    return numbers


def _distances(D, code, x, layer):
    """How much of each input is left by its projection on what its code represents."""
    placed: Any = convolutional.synthesize(D, code)
    if layer.kind == "convolution":
        pads = layer.options["padding"]
        pads = (pads,) * (x.ndim - 2) if isinstance(pads, int) else tuple(pads)
        placed = placed.roll([-pad for pad in pads], tuple(range(2, x.ndim)))
        placed = placed[(..., *(slice(0, side) for side in x.shape[2:]))]
        if placed.shape != x.shape:
            raise ValueError(f"{layer.name!r} does not keep the grid of the input, on which its dictionary would "
                             f"represent it")
    else:
        x = x.reshape(len(x), -1, layer.weight.shape[1]).mT
    placed, x = placed.flatten(1), x.flatten(1)
    along = (placed * x).sum(1) / (placed**2).sum(1).clamp_min(1e-300)
    return ((x - along[:, None] * placed).norm(dim=1) / x.norm(dim=1).clamp_min(1e-300)).cpu().numpy()
