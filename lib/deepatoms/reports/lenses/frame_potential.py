"""What the theory of deep frame potentials says of a network: F of its induced dictionary, beside the floor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from deepatoms.reports.entries import LENSES, Entry
from deepatoms.reports.subject import Found, Subject, View, Yardstick
from deepatoms.reports.tracing import Flow, Layer
from deepatoms.theory import frame_potential, induced
from deepatoms.theory.induced import Block, architecture

LENS = LENSES[0]
F = Entry(
    LENS, "deep frame potential F", None, unit="cosine", direction="lower is better",
    meaning="Root mean square cosine between atoms of the induced dictionary that share a row, with every filter "
            "scaled to norm 1 "
            "(unit magnitudes), circular boundary; the classifier does not count.",
    theorem="Deep frame potential paper, Equation 12; the floor is Benedetto and Fickus (2003). No theorem says that "
            "a network of "
            "lower F is better: the paper ranks architectures by the least F, and a low F does not imply a stable pursuit.")


def lens(subject: Subject) -> Iterator[Entry]:
    """Yield F of the network, with the universal floor of its architecture as threshold."""
    yield from subject.measure({F.name: (F, Yardstick("null"))}, potential)


def potential(view: View) -> dict[str, Found]:
    """Return F of the dictionary that a network induces, by :func:`deepatoms.theory.frame_potential.potential`.

    Raises:
        ValueError: Where the network is none of the architectures that the paper maps.
    """
    net, weights = dictionary(view)
    return {F.name: Found(float(frame_potential.potential(net, net.unit(weights))), frame_potential.floor(net))}


def dictionary(view: View) -> tuple[architecture.Net, list[torch.Tensor]]:
    """Return the architecture and the weights of the induced dictionary: all layers but the classifier, batch norm folded in.

    Raises:
        ValueError: Naming the layer at which the network leaves the families of the paper, and how.
    """
    layers = view.passage.layers
    kept = [layer for layer in layers if layer.activation] or list(layers[:1])
    if not kept:
        raise ValueError("the network has no layer of weights")
    starts = [_start(layer, kept[:number], layers) for number, layer in enumerate(kept)]
    _demand_activated(kept, layers)
    if starts != [max(0, number - 1) for number in range(len(kept))]:
        net = _concatenated(kept, starts)
    else:
        net = _residual(kept, layers) if any(layer.summed for layer in kept) else _chain(kept)
    return net, [layer.effective.double() for layer in kept]


def _start(layer: Layer, before: list[Layer], layers: tuple[Layer, ...]) -> int:
    """Return the first of the layers before whose codes this one reads side by side, the last of them where it reads one."""
    if layer.kind == "columns":
        raise ValueError(f"{layer.name!r} {layer.odd}")
    codes = tuple(Flow("code", layers.index(each)) for each in before)
    wanted = codes[-1] if codes else Flow("input")
    beside, flow = 0, layer.reads
    if flow is not None and flow.via == ("cat",) and not flow.added and flow.parts == codes[-len(flow.parts):]:
        beside = len(flow.parts)
    if not beside and flow != wanted:
        raise ValueError(f"{layer.name!r} reads {said(flow, layers)}, where the induced dictionary of a chain, a residual or a "
                         f"dense network needs {said(wanted, layers)}{', alone or beside earlier codes' if before else ''}")
    if before and before[-1].kind != layer.kind:
        raise ValueError(f"{layer.name!r} is a matrix after a convolution, and the induced dictionary keeps the grid")
    return max(0, len(before) - max(1, beside))


def _demand_activated(kept, layers):
    """Refuse to leave out what the dictionary has no place for: only the classifier at the end goes without a ReLU."""
    for layer in layers[:-1]:
        if not any(layer is each for each in kept):
            raise ValueError(f"{layer.name!r} is followed by no activation at once, and the induced dictionary has one after "
                             "every layer but the classifier")


def said(flow: Flow | None, layers: tuple[Layer, ...]) -> str:
    """Say in words where a tensor comes from.

    >>> said(Flow("input", via=("mean",)), ())
    'the input after mean'
    """
    if flow is None:
        return "nothing that depends on the input"
    if flow.parts and flow.via[:1] == ("cat",):
        return _beside(flow.parts, layers) + (f" after {', '.join(flow.via[1:])}" if flow.via[1:] else "")
    what = {"input": "the input", "mixed": "a mixture"}.get(flow.origin) or (
        f"the {'code' if flow.origin == 'code' else 'output'} of {layers[flow.layer].name!r}")
    added = "".join(f" plus {said(each, layers)}" for each in flow.added)
    return what + added + (f" after {', '.join(flow.via)}" if flow.via else "")


def _beside(parts, layers):
    """Name at most three of the tensors that stand side by side."""
    names = [said(part, layers) for part in parts[:3]] + ([f"{len(parts) - 3} more"] if len(parts) > 3 else [])
    return " beside ".join(names)


def _concatenated(kept, starts):
    """Return the dictionary of Equation 11, in which a layer's weights meet the codes of several layers before."""
    if any(layer.summed for layer in kept):
        raise ValueError("the network concatenates in one place and adds in another, and the paper's families do one of them")
    net, clusters = _chain(kept), [[1, 1]]
    blocks = [net.blocks[0]]
    for number, start in enumerate(starts[1:], 1):
        blocks += [Block(number, start + 1, number, "weight", number), Block(number, number + 1, number + 1, "identity", sign=1)]
        clusters.append([number + 1, number + 1])
        while clusters[-2][0] > start + 1:  # what stands side by side is one group of columns
            clusters[-3:-1] = [[clusters[-3][0], clusters[-2][1]]]
    rules = tuple(replace(rule, shape=tuple(layer.weight.shape)) for rule, layer in zip(net.weights, kept, strict=True))
    return replace(net, family="dense", blocks=tuple(blocks), clusters=tuple(map(tuple, clusters)), weights=rules)


def _chain(kept):
    if kept[0].kind == "linear":
        return induced.chain([kept[0].weight.shape[1], *(layer.weight.shape[0] for layer in kept)], form="analysis")
    return _convolutional(kept)


def _convolutional(kept):
    layers, level = [architecture.Layer(kept[0].weight.shape[1])], 0
    weights = []
    for layer in kept:
        stride = layer.options["stride"]
        _demand_filters(layer, stride)
        level += stride == 2
        layers.append(architecture.Layer(layer.weight.shape[0], level))
        weights.append(architecture.Weight(tuple(layer.weight.shape), stride=stride))
    image = architecture.check_image(kept[0].grid[0][0], level)
    return architecture.chain_of("chain", "analysis", layers, weights, image)


def _demand_filters(layer, stride):
    kernel = layer.weight.shape[2:]
    fits = len(kernel) == 2 and kernel[0] == kernel[1] and kernel[0] % 2 == 1
    square = len(layer.grid[0]) == 2 and layer.grid[0][0] == layer.grid[0][1]
    options = {name: layer.options[name] for name in ("dilation", "transposed", "groups")}
    if not (fits and square and stride in (1, 2) and options == {"dilation": 1, "transposed": False, "groups": 1}
            and layer.options["padding"] == kernel[0] // 2):
        raise ValueError(f"{layer.name!r} is a convolution of {tuple(layer.weight.shape)} on {layer.grid[0]} with "
                         f"{layer.options}; "
                         "the paper's have square images, odd filters, padding that keeps the grid, and stride 1 or 2")


def _residual(kept, layers):
    net = architecture.residual_of(_chain(kept))
    for j, layer in enumerate(kept, 1):
        wanted = [_skip(net, layers.index(kept[j - 3]), j)] if j >= 3 and j % 2 else []
        if list(layer.summed) != wanted:
            raise ValueError(f"{layer.name!r} adds {_listed(layer.summed, layers)} before it is activated, where the "
                             f"residual network "
                             f"of the paper adds {_listed(wanted, layers)}")
    return net


def _skip(net, layer, j):
    """Return the shortcut of Equation 9: the code of two layers before, pooled and with zero channels where the grid changes."""
    two, here = net.layers[j - 2], net.layers[j]
    if two == here:
        return Flow("code", layer)
    front = (here.channels - two.channels) // 2
    pad = (0, 0, 0, 0, front, here.channels - two.channels - front)
    return Flow("code", layer, via=("avg_pool2d 2/2 2/2", f"constant_pad_nd {pad}"))


def _listed(flows, layers):
    return " and ".join(said(flow, layers) for flow in flows) or "nothing"
