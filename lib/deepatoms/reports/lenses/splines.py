"""What the theory of max-affine splines says of a network: templates, regions, neighbours, radii."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from deepatoms.reports.entries import LENSES, Entry
from deepatoms.reports.subject import Found, Subject, TooLongError, View, Yardstick
from deepatoms.theory import partition, splines
from deepatoms.theory.partition import graph

LENS = LENSES[3]
LIMIT = 20_000  # regions of a plane
NEIGHBOURS = 5
DIRECTIONS = 8
REGIONS = Entry(
    LENS, "regions that the inputs lie in", None, unit="regions",
    meaning="How many different activation codes the inputs have.",
    theorem="Max-affine spline paper, Equation 14. The number cannot exceed that of the inputs.")
RADIUS = Entry(
    LENS, "in-radius", None, unit="distance in the input", direction="higher is better",
    meaning="How far the nearest wall of an input's region is, in any direction: the median over some inputs.",
    theorem="The network is one affine map within that radius (Lee, Alvarez-Melis and Jaakkola, 2019); nothing is "
            "said beyond it.")
COSINE = Entry(
    LENS, "template cosine", None, unit="cosine", direction="higher is better",
    meaning="Mean absolute cosine between an input and the template of its class.",
    theorem="Max-affine spline paper, Section 5.2 and Proposition 5: the best templates under a budget have cosine 1.")
AUC = Entry(
    LENS, "template AUC", None, unit="probability", direction="higher is better",
    meaning="Probability that the inner product with the template of the own class exceeds one with another class's.",
    theorem="Max-affine spline paper, Section 5.2 and Figure 2: products without the biases; by chance 0.5.", threshold=0.5)
NEAR = Entry(
    LENS, "neighbours of one class by code", None, unit="of the neighbours", direction="higher is better",
    meaning=f"Share of the {NEIGHBOURS} nearest codes at the last nonlinearity that have the class of the query, one "
            f"half of the inputs "
            "looked up in the other. The threshold is the same share by distance of the inputs themselves.",
    theorem="Max-affine spline paper, Section 7.3 and Equation 15.")
PLANE = Entry(
    LENS, "regions on a plane through three inputs", None, unit="regions",
    meaning="Exact number of activation regions of the parallelogram that the first three different inputs span.",
    theorem="Max-affine spline paper, Section 7.1. A region is an activation code; neighbours may share an affine map.")
DEGREE = Entry(
    LENS, "average degree of the regions on a plane", None, unit="neighbours",
    meaning="Average number of regions with which a region of that plane shares a side.",
    theorem="Gaines and Bi (ICLR 2026): at most twice the dimension for fully connected ReLU networks, here 4.", threshold=4.0)


def lens(subject: Subject) -> Iterator[Entry]:
    """Yield the entries of the theory of max-affine splines."""
    own = subject.own
    yield from subject.measure({REGIONS.name: (REGIONS, Yardstick())}, lambda view: regions(view, subject.count(3)),
                               lambda: 3 * own.work * subject.count(3))
    yield from subject.measure({COSINE.name: (COSINE, Yardstick()), AUC.name: (AUC, Yardstick())},
                               lambda view: templates(view, of_maps(subject)), lambda: cost_of_maps(subject))
    yield from subject.measure({NEAR.name: (NEAR, Yardstick("above"))}, lambda view: near(view, subject.count(3)),
                               lambda: 3 * own.work * subject.count(3))
    exact = own.x is not None and _exactness(subject)[1]  # a bound has no null: it would be one on each network
    yield from subject.measure({RADIUS.name: (RADIUS, Yardstick(nulls=exact))}, lambda view: radius(view, *_exactness(subject)),
                               lambda: _exactness(subject)[2])
    yield from subject.measure({PLANE.name: (PLANE, Yardstick()), DEGREE.name: (DEGREE, Yardstick("below"))},
                               lambda view: plane(view, subject), lambda: 500 * own.work)


def regions(view: View, count: int) -> dict[str, Found]:
    """Return how many different codes the first inputs have, by :func:`deepatoms.theory.partition.region_codes`."""
    if not view.codes(count):
        raise ValueError("the network has no nonlinearity: it is one affine map, with a single region")
    found = len(np.unique(np.concatenate([layer.bits for layer in view.codes(count)], 1), axis=0))
    inputs = len(np.unique(view.inputs(count).flatten(1).cpu().numpy(), axis=0))
    full = f"each of the {inputs} inputs has a region of its own: the count says nothing" if found == inputs > 1 else ""
    return {REGIONS.name: Found(found, saturated=full)}


def of_maps(subject: Subject) -> int:
    """Return of how many inputs the affine maps are taken: each output costs a pass back."""
    return subject.count(4 + 2 * subject.own.outputs, most=64)


def cost_of_maps(subject: Subject) -> float:
    """Return the multiply-adds of the affine maps."""
    return (4 + 2 * subject.own.outputs) * subject.own.work * of_maps(subject)


def templates(view: View, count: int) -> dict[str, Found]:
    """Return how the inputs agree with their templates, the rows of :func:`deepatoms.theory.splines.affine_map`.

    Raises:
        ValueError: If the network has a single output.
    """
    A, b = view.maps(count)
    if A.shape[1] < 2:
        raise ValueError("the network has a single output, and templates are compared between classes")
    x = view.inputs(count).flatten(1)
    products = torch.einsum("ncd,nd->nc", A, x)
    classes, said = _classes(view, count, products + b)
    cosines = torch.cosine_similarity(A[torch.arange(len(x)), classes], x, 1).abs()
    own = torch.zeros_like(products, dtype=torch.bool).scatter_(1, classes[:, None], True)
    area = splines.area_under_roc(products[own], products[~own])
    said = f"{said}, {len(x)} inputs"
    return {COSINE.name: Found(float(cosines.double().mean()), reason=said), AUC.name: Found(area, reason=said)}


def _classes(view, count, scores):
    if view.y is not None and not view.y.is_floating_point() and int(view.y.max()) < scores.shape[1] and int(view.y.min()) >= 0:
        return view.y[:count], "classes as labelled"
    return scores.argmax(1), "classes as predicted"


def near(view: View, count: int) -> dict[str, Found]:
    """Return whether neighbours by code share a class, by :func:`deepatoms.theory.partition.neighbours`.

    Raises:
        ValueError: If the labels are no classes, or there are too few inputs.
    """
    y = view.labels(count)
    if y.is_floating_point():
        raise ValueError("the labels are real numbers, not classes")
    if len(y) < 4 * NEIGHBOURS:
        raise ValueError(f"there are {len(y)} inputs, and {NEIGHBOURS} neighbours of one half among the other need "
                         f"{4 * NEIGHBOURS}")
    if not view.codes(count):
        raise ValueError("the network has no nonlinearity, so all inputs have one code")
    half, last = len(y) // 2, view.codes(count)[-1]
    found = partition.neighbours(last[:half], last[half:], NEIGHBOURS)
    same = (y[half:, None] == y[None, :half]).cpu().numpy()
    share = float(found.average(np.take_along_axis(same, found.indices, 1)).mean())
    x = view.inputs(count).flatten(1).double().cpu()
    pixels = torch.cdist(x[half:], x[:half]).topk(NEIGHBOURS, largest=False).indices.numpy()
    alone = (last.bits == last.bits[0]).all()
    full = "all inputs have the same code there, and all are neighbours of all" if alone else ""
    return {NEAR.name: Found(share, float(np.take_along_axis(same, pixels, 1).mean()), full)}


def _exactness(subject):
    """Return how many inputs' radii are taken, whether exactly, and the cost: one pass for each dimension, in float64."""
    passes = 2.0 * (1 + subject.own.inputs()[0].numel())
    count = subject.count(passes, most=16, fewest=1)
    if count * passes * subject.own.work <= 3e10:
        return count, True, count * passes * subject.own.work
    count = subject.count(16.0 * DIRECTIONS, most=16, fewest=4)
    return count, False, count * 16.0 * DIRECTIONS * subject.own.work


def radius(view: View, count: int, exact: bool, cost: float = 0.0) -> dict[str, Found]:
    """Return the in-radius, by ``in_radius``, or a bound on it, by ``distance_to_break`` along some directions."""
    x = view.inputs(count).double()
    if exact:
        found, said = partition.in_radius(view.double, x), f"exact, {len(x)} inputs"
    else:
        found, said = _bound(view.double, x), (f"an upper bound: the nearest wall along {DIRECTIONS} random "
                                               f"directions, {len(x)} "
                                               f"inputs; exact takes {1 + x[0].numel()} passes an input")
    value = float(found.median())
    if math.isinf(value):
        raise ValueError("the regions have no wall: the network is affine there")
    return {RADIUS.name: Found(value, reason=said)}


def _bound(model, x):
    generator, best = torch.Generator().manual_seed(0), []
    for _ in range(DIRECTIONS):
        way = torch.randn(x.shape, generator=generator, dtype=torch.float64, device="cpu").to(x.device)
        way /= way.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.ndim - 1))
        best.append(splines.distance_to_break(model, x, way))
    return torch.stack(best).amin(0)


def plane(view: View, subject: Subject) -> dict[str, Found]:
    """Return the regions of a plane and their average degree, by ``partition.slice_plane`` and ``graph.average_degree``."""
    found = sliced(view, subject)
    result = {PLANE.name: Found(len(found), saturated="" if len(found) > 1 else "the three inputs share one region")}
    return result | {DEGREE.name: Found(graph.average_degree(found))} if len(found) > 1 else result


def sliced(view: View, subject: Subject) -> partition.PlanarSlice:
    """Return the exact partition of the plane through the first three different inputs."""
    def cut():
        try:
            return partition.slice_plane(view.double, _three(view), limit=LIMIT, progress=lambda text: subject.say(f"  {text}"))
        except ValueError as error:
            if str(error).startswith("limit = "):
                raise TooLongError(f"the plane has more than {LIMIT:,} regions; call deepatoms.slice_plane yourself "
                                   f"with a larger limit, "
                                   "or pass three inputs that are nearer to each other") from error
            raise
    return view.kept("plane", 3, cut)


def _three(view):
    chosen: list[torch.Tensor] = []
    for one in view.inputs().double():
        if all(not torch.equal(one, other) for other in chosen):
            chosen.append(one)
        if len(chosen) == 3:
            return torch.stack(chosen)
    raise ValueError(f"a plane takes three different inputs, and there are {len(chosen)}")
