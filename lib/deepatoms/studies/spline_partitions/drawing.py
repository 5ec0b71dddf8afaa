"""What the chapter on partitions and orthogonal templates draws."""

import copy
import functools

import numpy as np
import torch
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from PIL import Image, ImageDraw

from deepatoms import data
from deepatoms.claims.intervals import mean_and_interval
from deepatoms.learning import networks
from deepatoms.learning.training import seeded
from deepatoms.pages import figures
from deepatoms.pages.figures import COLOURS
from deepatoms.pages.tables import Table
from deepatoms.studies.spline_partitions import moons, neighbourhoods, penalised, penalties, ring
from deepatoms.studies.spline_partitions.checks import codes as occupancy_checks
from deepatoms.studies.spline_partitions.checks import neighbours as neighbour_checks
from deepatoms.studies.spline_partitions.checks import regions
from deepatoms.studies.spline_partitions.checks.trained import digits_nets
from deepatoms.theory import partition
from deepatoms.theory.partition.codes import unequal
from deepatoms.theory.partition.graph import affine_pieces, inner_regions, region_graph

LAYERS = ("ReLU 1", "pool 1", "ReLU 2", "pool 2", "ReLU 3", "pool 3")
DIGITS = (0, 3, 7, 8)
DEPTH = 3  # layers of the planar networks
RADII = (0.99, 1.01, 10.0, 1000.0, 10_000.0, 30_000.0)


# ---- planar networks ----

def _segments(axes, segments, **style):
    """Draw segments, shape (segments, 2, 2), as one path: a quarter of the time and weight of one path each."""
    path = Path(segments.reshape(-1, 2), [Path.MOVETO, Path.LINETO] * len(segments))
    path.should_simplify = False
    axes.add_artist(PathPatch(path, fill=False, **style))


def _edges(axes, found, low, high, **style):
    """Draw the outlines of all regions, each shared side once, in the coordinates of the box."""
    size = np.array(high) - low
    sides = [np.stack([polygon, np.roll(polygon, -1, axis=0)], 1) for polygon in found.polygons()]
    sides = np.round(low + np.concatenate(sides) * size, 2)
    turned = (sides[:, 0] > sides[:, 1])[:, 0] | ((sides[:, 0] == sides[:, 1])[:, 0] & (sides[:, 0] > sides[:, 1])[:, 1])
    sides[turned] = sides[turned][:, ::-1]
    _segments(axes, np.unique(sides, axis=0), **style)


def _box(found):
    corners = found.corners.numpy()
    return corners[0], np.array([corners[1, 0], corners[2, 1]])


@functools.lru_cache(maxsize=32)
def _sliced(model, layers):
    return partition.slice_plane(model, moons.BOX, layers)


def _plane(axes, model, layers, points=None, labels=None, boundary=False):
    found = _sliced(model, layers)
    low, high = _box(found)
    _edges(axes, found, low, high, color=COLOURS["grey"], linewidth=0.5)
    if points is not None:
        for label, name in enumerate(("blue", "orange")):
            axes.plot(*points[labels == label][::2].T, ".", color=COLOURS[name], markersize=3)
    if boundary:
        segments = _sliced(model, DEPTH).decision_boundary()
        _segments(axes, np.round(low + segments * (high - low), 2), color="black", linewidth=2, capstyle="round")
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xticks=[], yticks=[])
    return len(found)


def layer_by_layer(seed):
    """The partition of one trained planar network after its first, second and third layer."""
    figure, axes = figures.subplots(1, 3, size=(7, 2.3))
    model = moons.snapshots(seed)[-1]
    counts = []
    for depth, panel in enumerate(axes, 1):
        counts.append(_plane(panel, model, depth, boundary=depth == DEPTH))
        panel.set_title(f"{depth} layer{'s' * (depth > 1)}: {counts[-1]} regions")
    return figures.describe(
        figure, "Each layer cuts the regions of the layers before; the thick decision boundary bends at walls. Trained planar "
        "network with three layers of ten units; exact partition.",
        f"Three panels with the same square. The first is cut by ten straight lines into {counts[0]} regions; the second adds "
        f"lines that bend at those of the first, {counts[1]} regions; the third adds more, {counts[2]} regions, and a thick "
        "curve of straight pieces, the decision boundary, which bends where it crosses the thin lines.",
        {"each layer adds regions": counts == sorted(set(counts))})


def playground():
    """Return the still picture and the data of the figure in which a reader trains a planar network on points of her own."""
    figure, axes = figures.subplots(1, 2, size=(7, 3.1))
    points, labels = (each.numpy() for each in moons.moons())
    before, *_, after = moons.snapshots()
    counts = [_plane(panel, model, DEPTH, points, labels, boundary=True)
              for panel, model in zip(axes, (after, before), strict=True)]
    for panel, name, count in zip(axes, (f"{moons.STEPS[-1]} steps", "untrained"), counts, strict=True):
        panel.set_title(f"{name}: {count} regions")
    figures.describe(
        figure, "A planar network cuts the plane into regions, each with an affine map of its own; the thick line is where it "
        "changes its mind. On the page it is trained on your own points, and every region is computed exactly.",
        f"Two squares cut by thin lines, {counts[0]} regions after training and {counts[1]} before, with the points of two "
        "half-moons in two colours and the decision boundary as a thick line.")
    data = [[*map(float, point.round(3)), int(label)] for point, label in zip(points, labels, strict=True)]
    low, high = _box(_sliced(after, DEPTH))
    return figure, {"points": data, "window": [low[0], high[0], low[1], high[1]], "layers": 2, "units": 10, "steps": 100}


def training_frame(step, layers):
    """Regions and decision boundary at one moment of training, a network trained on shuffled classes beside it."""
    seed = 0
    figure, axes = figures.subplots(1, 2, size=(7, 3.1))
    counts = []
    for panel, shuffled, title in zip(axes, (False, True), ("two moons", "shuffled classes"), strict=True):
        model = moons.snapshots(seed, shuffled=shuffled)[moons.STEPS.index(step)]
        counts.append(_plane(panel, model, layers, *(each.numpy() for each in moons.moons(seed, shuffled)), boundary=True))
        panel.set_title(f"{title}: {counts[-1]} regions")
    return figures.describe(
        figure, f"After {step} steps, {layers} layer{'s' * (layers > 1)}: {counts[0]} regions on the left; trained on shuffled "
        f"classes, {counts[1]} on the right. Ten units a layer; exact partition.",
        f"Two squares cut into regions by thin lines, {counts[0]} and {counts[1]}, with the points of the two half-moons in two "
        "colours, mixed on the right, and the decision boundary as a thick line.")


# ---- a network in space ----

TILT = np.deg2rad(28)
LIGHT = np.array([0.4, -0.7, 0.6]) / np.linalg.norm([0.4, -0.7, 0.6])


def _turned(points, angle):
    """Return points of the cube [0, 1]^3 turned about its vertical axis and tilted: right, up, towards the eye."""
    x, y, z = np.moveaxis(np.asarray(points) - 0.5, -1, 0)
    turn = np.deg2rad(angle)
    x, y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    return np.stack([x, np.cos(TILT) * z + np.sin(TILT) * y, np.sin(TILT) * z - np.cos(TILT) * y], -1)


@functools.lru_cache(maxsize=4)
def _facets(seed):
    """Return the flat facets of the decision surface of the ring's network, each a polygon in [0, 1]^3."""
    mesh = ring.trained(seed)[1].decision_surface()
    starts = np.flatnonzero(np.diff(mesh.facets, prepend=-1))
    # A facet is a fan of triangles around its first corner.
    return [mesh.points[[fan[0, 0], fan[0, 1], *fan[:, 2]]] for fan in np.split(mesh.triangles, starts[1:])]


def _back_walls(found, angle):
    """Return the sides of the regions on those faces of the box that look away from the eye, shape (sides, 2, 3)."""
    cells = found.cells
    ends, sides = cells.points[cells.edges], []
    for axis in range(3):
        for level in (0.0, 1.0):
            outward = np.full(3, 0.5)
            outward[axis] = level
            if _turned(outward, angle)[2] < 0:
                sides.append(ends[(ends[:, :, axis] == level).all(1)])
    return np.concatenate(sides)


def ring_frame(angle):
    """The decision surface of a network trained on a ring, and the cells on the walls behind it, seen from one side."""
    seed = 0
    _, found = ring.trained(seed)
    facets = _facets(seed)
    figure, axes = figures.subplots(size=(7, 3.6))
    walls = np.unique(np.round(_turned(_back_walls(found, angle), angle)[..., :2], 3), axis=0)
    _segments(axes, walls, color=COLOURS["grey"], linewidth=0.5)
    seen = [facet for facet in sorted((_turned(facet, angle) for facet in facets), key=lambda facet: facet[:, 2].mean())
            if _normal(facet)[2] < 0]  # the class of the higher number, from which facets run counterclockwise, is inside
    axes.add_collection(PolyCollection([np.round(facet[:, :2], 3) for facet in seen], facecolors=[*map(_shade, seen)],
                                       edgecolors="black", linewidths=0.5))
    axes.set(xlim=(-0.75, 0.75), ylim=(-0.8, 0.8), aspect="equal")
    axes.axis("off")
    crossed = _crossed(found)
    return figures.describe(
        figure, f"Seen from {angle}°: the decision surface of a network trained to tell the inside of a ring from the outside. "
        f"It is made of {len(facets)} flat facets, one in each region that it crosses, and bends only at walls; the grey lines "
        f"are the {len(found):,} regions where they meet the box behind. Two layers of twelve units; exact.",
        "A blue ring made of flat facets with dark edges, in front of three faces of a box that thin grey lines cut into "
        "polygons.",
        {"the surface has one facet in each region that it crosses": len(facets) == crossed})


def _crossed(found):
    """Return the number of regions on which the lead of one class over the other takes both signs."""
    slopes, offsets = found.affine_maps()
    lead = _extremes(found.cells, slopes[:, 1] - slopes[:, 0], offsets[:, 1] - offsets[:, 0])
    return int(((lead[0] < -1e-9) & (lead[1] > 1e-9)).sum())


def _extremes(cells, slopes, offsets):
    """Return the lowest and the highest value of one affine function a region."""
    owner = np.repeat(np.arange(len(cells)), cells.counts)
    values = offsets[owner] + (slopes[owner] * cells.points).sum(1)
    return cells.extremes(np.arange(len(cells)), values)


def _normal(facet):
    normal = np.cross(facet[1:-1] - facet[0], facet[2:] - facet[0]).sum(0)
    return normal / max(np.linalg.norm(normal), 1e-12)


def _shade(facet):
    """Return the colour of a facet, darker away from the light."""
    return tuple(np.clip(np.array(to_rgb(COLOURS["sky"])) * (0.5 + 0.6 * abs(_normal(facet) @ LIGHT)), 0, 1).round(2))


def pieces_table(setting):
    """Return the table of how many regions (codes) and how many maximal affine pieces some networks have."""
    narrow = seeded(networks.relu_network, setting.seed, widths=(2, 16, 3, 2))
    shown = {"two moons, trained": partition.slice_plane(moons.snapshots(setting.seed)[-1], moons.BOX),
             "ring in space, trained": ring.trained(setting.seed)[1],
             "2-16-3-2, untrained": partition.slice_plane(narrow, regions.BOX)}
    rows = [(name, f"{len(found):,}", f"{affine_pieces(found).max() + 1:,}") for name, found in shown.items()]
    return Table(("network", "codes", "maximal affine pieces"), rows, "Two counts of the same regions.")


def degree_table(setting):
    """Return the table of average degrees in space, of all regions and of those that do not touch the frame."""
    kinds = {"ReLU, 8-8": (networks.relu_network, {"widths": (3, 8, 8, 3)}), "ReLU with skips": (regions.Skipped, {"inputs": 3}),
             "maxima of four": (regions.pooled, {"inputs": 3}), "one maximum of 60": (regions.one_maximum, {"dimension": 3})}
    rows = []
    for name, (build, options) in kinds.items():
        found = partition.slice_space(seeded(build, 100 * setting.seed, **options), regions.SPACE)
        degrees = np.bincount(region_graph(found).ravel(), minlength=len(found))
        inner = degrees[inner_regions(found)]
        rows.append((name, f"{len(found):,}", f"{degrees.mean():.2f}", f"{inner.mean():.2f}", str(inner.max())))
    return Table(("network in space", "regions", "neighbours, on average", "of inner regions", "at most"), rows,
                 "How many neighbours a region has in space.")


def counts(setting):
    """Regions of lines in the plane against the formula, and the share of a network's regions that a grid finds."""
    figure, (lines, grid) = figures.subplots(1, 2, size=(7, 2.7))
    n = np.arange(1, 151)
    lines.plot(n, 1 + n + n * (n - 1) / 2, color=COLOURS["grey"], label="1 + n + n(n−1)/2")
    counted = [len(regions.lines_in_the_plane(setting, count)) for count in regions.LINES]
    lines.plot(regions.LINES, counted, "o", color=COLOURS["blue"], label="exact count")
    lines.plot(n[:12], 2.0 ** n[:12], "--", color=COLOURS["red"], label="2ⁿ")
    lines.set(xscale="log", yscale="log", xlabel="units n", ylabel="regions of the plane")
    lines.legend(loc="upper left")
    sides, shares, total = _found_by_grids(setting)
    grid.plot(sides, shares, "o-", color=COLOURS["blue"])
    grid.axhline(1, color=COLOURS["grey"], linewidth=0.8)
    grid.set(xscale="log", xlabel="points along each side of the grid", ylabel="share of the regions found", ylim=(0, 1.05))
    grid.set_xticks(sides, labels=map(str, sides))
    grid.minorticks_off()
    return figures.describe(
        figure, "Left: n units cut the plane into as many regions as the formula says, far fewer than $2^n$ as soon as there are "
        f"more units than dimensions. Right: of the {total:,} regions of a network with three layers of 32 units a grid "
        "misses the small ones. Untrained networks, torch's default weights; exact counts.",
        "Left, on logarithmic axes, three dots lie on a grey curve that rises like n squared; a dashed curve, two to the n, "
        f"leaves it steeply at once. Right, the share of regions found rises from {shares[0]:.2f} to {shares[-1]:.2f} as "
        "the grid is refined.",
        {"the exact counts are those of the formula": counted == [1 + k + k * (k - 1) // 2 for k in regions.LINES],
         "no grid finds all regions": max(shares) < 1})


@functools.lru_cache(maxsize=2)
def _found_by_grids(setting):
    sides = (25, 50, 100, 200, 400)
    model = seeded(networks.relu_network, setting.seed, widths=(2, 32, 32, 32, 3))
    found = partition.slice_plane(model, regions.BOX)
    return sides, [float(regions.seen_by_a_grid(model, found, side).mean()) for side in sides], len(found)


# ---- digits ----

def digits_slice(setting):
    """The exact partition of the plane through three digits: walls as pixels, the decision boundary as a line."""
    side = 460
    held_out, model = data.load("digits", "test", setting.seed), moons.little_digits_net(setting.seed)
    chosen = [int((held_out.labels == label).nonzero()[0]) for label in (0, 1, 7)]
    a, b, c = held_out.images[chosen].double()
    corner = a - 0.1 * (b - a) - 0.1 * (c - a)
    corners = torch.stack([corner, corner + 1.2 * (b - a), corner + 1.2 * (c - a)])
    found = partition.slice_plane(model, corners)
    segments = found.decision_boundary()
    figure = figures.Figure(figsize=(7, 3.8))
    grid = figure.add_gridspec(3, 2, width_ratios=[4, 1])
    axes = figure.add_subplot(grid[:, 0])
    axes.imshow(_wall_pixels(found, side), extent=(0, 1, 0, 1), aspect="equal")
    _segments(axes, np.round(segments, 3), color=COLOURS["red"], linewidth=1.2, capstyle="round")
    for row, (image, label) in enumerate(zip((a, b, c), "017", strict=True)):
        u, v = _coordinates(found.corners, image)
        axes.plot(u, v, "o", color=COLOURS["orange"], markersize=10, markeredgecolor="black")
        axes.annotate(label, (u, v), (8, 8), textcoords="offset points", fontsize=16, weight="bold")
        beside = figure.add_subplot(grid[row, 1])
        beside.imshow(image.reshape(8, 8), cmap=figures.INK, vmin=0)
        beside.set(xticks=[], yticks=[], title=label)
    axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
    return figures.describe(
        figure, f"The plane through a 0, a 1 and a 7 is cut into {len(found):,} regions; the decision boundary (red) runs across "
        "them. CNN of few filters with batch norm and max-pooling, trained on digits; every wall is exact.",
        "A square of fine grey lines, straight within and bent at each other. Three orange "
        "dots mark the digits 0, 1 and 7, whose pictures stand beside it; a red line of short straight pieces separates them.")


def _double(model):
    return copy.deepcopy(model).double().eval()


def _coordinates(corners, image):
    basis = (corners[1:] - corners[:1]).flatten(1).T
    return torch.linalg.lstsq(basis, (image - corners[0]).flatten()[:, None]).solution[:, 0].tolist()


def _wall_pixels(found, side):
    """Draw all outlines into one small picture, grey on nothing: thousands of polygons would weigh megabytes as lines."""
    scale = 3
    picture = Image.new("L", (scale * side, scale * side), 255)
    pen = ImageDraw.Draw(picture)
    for polygon in found.polygons():
        corners = [(scale * side * u, scale * side * (1 - v)) for u, v in polygon]
        pen.line([*corners, corners[0]], fill=0)
    small = picture.resize((side, side), Image.Resampling.BOX)
    drawn = np.full((side, side, 4), 0.5)
    drawn[..., 3] = 1 - np.asarray(small) // 16 / 15  # sixteen shades
    return drawn


def occupancy(setting):
    """How many of the occupied regions hold a single training image: layers of few dense units, and the trained network."""
    units = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    few = np.array([occupancy_checks.dense(setting, number) for number in units])
    shares = np.array([[occupancy_checks.alone(counts) for counts in layers] for layers in
                       occupancy_checks.occupancies(setting)])
    figure, axes = figures.subplots(size=(7, 2.8))
    axes.plot(units, few, ".", color=COLOURS["sky"], markersize=5)
    axes.plot(units, few.mean(1), "o-", color=COLOURS["blue"], label="one layer of n dense units")
    axes.axhline(shares.min(), color=COLOURS["orange"], label="trained CNN, least of six layers and ten nets")
    axes.set(xscale="log", xlabel="units n", ylabel="occupied regions\nwith one image", ylim=(-0.03, 1.08))
    axes.set_xticks(units, labels=map(str, units))
    axes.minorticks_off()
    axes.legend(loc="lower right", fontsize=9)
    half = units[int((few.mean(1) < 0.5).sum())]
    return figures.describe(
        figure, f"As a vector quantiser the partition of a network is almost useless: in every layer of every trained net "
        f"{_share(shares.min())} of the occupied regions hold one training image each; of random dense units {half} "
        f"are enough for half. Digits, 1,000 training images, {len(shares)} seeds (light) and their mean.",
        f"A curve that rises from {few.mean(1)[0]:.2f} at one unit to {few.mean(1)[-1]:.2f} at {units[-1]} units, and a straight "
        f"line at {shares.min():.3f}.",
        {"nine in ten occupied regions hold a single image, in every layer and net": bool(shares.min() > 0.9),
         "a layer of few units is a quantiser that groups images": bool(few.mean(1)[0] < 0.1)})


def _share(least):
    """Return a least share in words, rounded down."""
    return "all" if least == 1 else f"{int(1000 * least) / 10} % or more"


def neighbours_by_layer(setting, records):
    """Same-class fraction of neighbours layer by layer: digits in the page, recorded CIFAR-10 and MNIST beside it."""
    sets = {f"digits, {neighbour_checks.SEEDS} seeds": neighbour_checks.digits_profiles(setting)}
    for name, title in (("mnist", "MNIST"), ("cifar10", "CIFAR-10")):
        if recorded := neighbour_checks.of(records, name):
            sets[f"{title}, {len(recorded)} seeds"] = recorded
    figure, axes = figures.subplots(1, len(sets), size=(7, 2.7), squeeze=False)
    curves = {title: {state: np.mean([profile[state]["same_class"] for profile in profiles], 0)
                      for state in ("trained", "untrained")} for title, profiles in sets.items()}
    first = [curve["trained"][0] - curve["untrained"][0] for curve in curves.values()]
    gained = round(100 * max(first))
    poolings = [np.diff(curve["trained"])[[0, 2]] for curve in curves.values()]
    for panel, (title, profiles) in zip(axes[0], sets.items(), strict=True):
        _neighbour_panel(panel, title, profiles)
    axes[0][0].set_ylabel(f"same class among {neighbourhoods.NEIGHBOURS}")
    axes[0][0].legend(fontsize=9)
    return figures.describe(
        figure, "Neighbours in code come from the same class more often in the last layer of a trained network than in the "
        "first, and from one ReLU layer to the next, but not from layer to layer: after each of the first two poolings the "
        f"fraction is lower than before. At the first layer training gains {gained} point{'s' * (gained != 1)} at most. "
        "Ties averaged; queries and base held out. Digits with batch norm, computed here; the others recorded.",
        "One panel for each data set, the fraction against the layer, trained and untrained (dashed), and a grey line for pixel "
        "neighbours. Trained, from the first layer to the last: " + "; ".join(
            f"{title} {curve['trained'][0]:.2f} to {curve['trained'][-1]:.2f}" for title, curve in curves.items()) + ".",
        {"the last layer has more neighbours of the class than the first, trained":
             all(bool(curve["trained"][-1] > curve["trained"][0]) for curve in curves.values()),
         "it has more than the untrained network's":
             all(bool(curve["trained"][-1] > curve["untrained"][-1]) for curve in curves.values()),
         "each of the first two poolings loses some": all(bool((steps < 0).all()) for steps in poolings),
         "each ReLU layer has more than the one before":
             all(bool((np.diff(curve["trained"][::2]) > 0).all()) for curve in curves.values())} | _of_colour(curves))


def _of_colour(curves):
    """Return what is said of CIFAR-10, where it is recorded."""
    shares = [max(curve["trained"]) for title, curve in curves.items() if title.startswith("CIFAR-10")]
    return {"on CIFAR-10 most neighbours are of another class in every layer": bool(max(shares) < 0.5)} if shares else {}


def distance_table(setting):
    """Return the table, layer by layer, of Eq. 15's distance within a class, and to the nearest, over that of all pairs."""
    base, queries = _halves(setting)
    same = (queries.labels[:, None] == base.labels).numpy()
    rows = []
    for number, layer in enumerate(LAYERS):
        found = [_distance_ratios(*_codes_of_halves(setting)[state], number, same) for state in ("trained", "untrained")]
        rows.append((layer, *(f"{value:.2f}" for pair in zip(*found, strict=True) for value in pair)))
    return Table(("layer", "same class, trained", "untrained", "15 nearest, trained", "untrained"), rows,
                 "Mean distance of codes within a class, and to the 15 nearest, over that of all pairs.")


def _distance_ratios(base, queries, number, same):
    """Return the mean distance within classes, and to the fifteen nearest, each over the mean of all pairs."""
    base, queries = base[number], queries[number]
    apart = np.stack([unequal(base, queries[row]) for row in range(len(queries))]) / base.units
    nearest = np.sort(apart, 1)[:, :neighbourhoods.NEIGHBOURS]
    return apart[same].mean() / apart.mean(), nearest.mean() / apart.mean()


def _neighbour_panel(panel, title, profiles):
    x = np.arange(1, 7)
    for state, style in (("trained", "o-"), ("untrained", "s--")):
        rows = np.array([profile[state]["same_class"] for profile in profiles])
        colour = COLOURS["blue" if state == "trained" else "orange"]
        panel.fill_between(x, rows.min(0), rows.max(0), color=colour, alpha=0.2, linewidth=0)
        panel.plot(x, rows.mean(0), style, color=colour, label=state, markersize=4)
    panel.axhline(np.mean([profile["pixels"]["same_class"] for profile in profiles]), color=COLOURS["grey"], label="pixels")
    panel.set(title=title, xlabel="layer", xticks=x, ylim=(0, 1))


def _halves(setting):
    held_out = digits_nets(setting).held_out[0]
    return held_out.subset(slice(500, None)), held_out.subset(slice(0, 500))


@functools.lru_cache(maxsize=2)
def _codes_of_halves(setting):
    nets = digits_nets(setting)
    return {name: [partition.region_codes(model, part.images) for part in _halves(setting)]
            for name, model in (("trained", nets.plain[0]), ("untrained", nets.untrained[0]))}


def neighbours_frame(layer, digit, setting):
    """A held-out digit and its fifteen neighbours at one layer, trained and untrained."""
    base, queries = _halves(setting)
    row = int((queries.labels == digit).nonzero()[0])
    figure, axes = figures.subplots(1, 2, size=(7, 2.9))
    shares = []
    for panel, name in zip(axes, ("trained", "untrained"), strict=True):
        of_base, of_queries = (codes[layer - 1] for codes in _codes_of_halves(setting)[name])
        nearest = partition.neighbours(of_base, of_queries[row], 15).indices[0, :15]
        shares.append(float((base.labels[nearest] == digit).double().mean()))
        mosaic = torch.cat([queries.pixels[row:row + 1], base.pixels[torch.as_tensor(nearest)]])[:, 0].reshape(4, 4, 8, 8)
        panel.imshow(np.pad(mosaic.numpy(), ((0, 0), (0, 0), (0, 1), (0, 1))).transpose(0, 2, 1, 3).reshape(36, 36), cmap="gray",
                     vmin=0, vmax=16)
        panel.plot([-0.5, 7.5, 7.5, -0.5, -0.5], [-0.5, -0.5, 7.5, 7.5, -0.5], color=COLOURS["orange"])
        panel.set(title=f"{name}: {round(15 * shares[-1])} of 15", xticks=[], yticks=[])
    return figures.describe(
        figure, f"At {LAYERS[layer - 1]} the fifteen neighbours of this {digit} hold {round(15 * shares[0])} of its class in the "
        f"trained network, {round(15 * shares[1])} in the untrained one. Digits, one seed.",
        f"Two mosaics of sixteen small digits. Top left, framed, the query, a {digit}; the others are its nearest neighbours in "
        "code.")


# ---- Fig. 3 and the certificate ----

def penalties_paired(records):
    """Differences of test accuracy and of the generalisation gap to the same seed without a penalty."""
    figure, axes = figures.subplots(1, 2, size=(7, 4.4), sharey=True)
    largest = []
    measures = (("test accuracy, points", lambda net: net["test"]),
                ("train − test, points", lambda net: net["train"] - net["test"]))
    for panel, (title, measure) in zip(axes, measures, strict=True):
        arms = penalties.paired(records, measure)
        names = [f"{name}\nλ = {strength:g}".replace("^2", "²") if strength else name.replace(" ", "\n")
                 for name, strength, _ in arms]
        for row, (_, _, differences) in enumerate(arms):
            panel.plot(differences, [row] * len(differences), ".", color=COLOURS["sky"])
            middle, (low, _) = mean_and_interval(differences)
            panel.errorbar(middle, row, xerr=middle - low, fmt="o", color=COLOURS["blue"], capsize=3)
            largest += [abs(middle)] * (panel is axes[0])
        panel.axvline(0, color=COLOURS["grey"], linewidth=0.8)
        panel.tick_params("y", pad=9, length=0)
        panel.set(yticks=range(len(names)), yticklabels=names, xticks=[-0.5, 0, 0.5], xlabel=title)
    return figures.describe(
        figure, f"Paired with the same seed without penalty, no penalty moves the mean test accuracy by more than "
        f"{max(largest):.2f} points. All training images are learnt in {_learnt(records)} nets, with penalty "
        f"or without. Digits, {penalties.TRAINING} training images, batch norm, {penalties.SEEDS} seeds; bars: 95 % "
        "intervals. (Recorded.)",
        "Two panels with one row for each penalty: light dots for the seeds, a dark one with a bar for their mean, scattered on "
        "both sides of a vertical line at zero.",
        {"no penalty moves the mean test accuracy by half a point": max(largest) < 0.5})


def penalised_curves(records):
    """Recorded trainings on CIFAR-100: test accuracy after each epoch, and what each weight gains in the end."""
    figure, (left, right) = figures.subplots(1, 2, size=(7, 3.2), sharey=False)
    (without, own), said = penalised.curves(records, 0.0), []
    _curve(left, without, 0.0, "grey")
    for place, (strength, colour) in enumerate(zip(penalised.STRENGTHS, ("sky", "blue", "orange"), strict=True)):
        under, learnt = penalised.curves(records, strength)
        _curve(left, under, strength, colour)
        differences = under[:, -1] - without[:, -1]
        mean, (low, high) = mean_and_interval(differences)
        right.plot(differences, [place] * len(differences), ".", color=COLOURS[colour], alpha=0.6)
        right.errorbar(mean, place, xerr=mean - low, fmt="o", color=COLOURS[colour], capsize=3)
        said.append(f"λ = {strength:g}: {mean:+.2f} [{low:+.2f}, {high:+.2f}]")
    left.set(xlabel="epoch", ylabel="test accuracy, %")
    left.legend(loc="lower right")
    right.axvline(0, color=COLOURS["grey"], linewidth=0.8)
    right.set(yticks=range(len(said)), yticklabels=[f"λ = {each:g}" for each in penalised.STRENGTHS],
              ylim=(-0.5, len(said) - 0.5), xlabel="gain in the end, points")
    return figures.describe(
        figure, f"What Eq. 13 gains in test accuracy after {without.shape[1]} epochs, in points, with 95 % intervals over "
        f"{len(without)} seeds: {'; '.join(said)}. Small CNN, batch norm, {penalised.RECIPE['images']:,} images of CIFAR-100; "
        f"{without[:, -1].mean():.1f} % without a penalty. Of its own images it then knows {own.mean():.1f} %, under "
        f"λ = {strength:g} {learnt.mean():.1f} %. (Recorded.)",
        "Left, one line for each weight: test accuracy over the epochs. Right, one row for each weight: a dot for each seed, a "
        "larger one with a bar for their mean, beside a vertical line at zero.")


def _curve(axes, found, strength, colour):
    axes.plot(range(1, found.shape[1] + 1), found.mean(0), "-o", markersize=3, color=COLOURS[colour], label=f"λ = {strength:g}")


def _learnt(records):
    """Return how many of the recorded nets classify every training image right, in words."""
    nets = [net["train"] for record in records for net in record["result"]]
    return f"{sum(share == 1 for share in nets)} of {len(nets)}"


def ladder(found):
    """Certified noise, in-radius and breaks of many instances, all divided by the in-radius."""
    shown = 250
    figure, axes = figures.subplots(size=(7, 2.7))
    rungs = {"random break": found["random"] / found["radius"], "break along the normal": found["adversarial"] / found["radius"],
             "certificate": found["certified"] / found["local"]}
    order = np.argsort(rungs["certificate"])
    every = -(-len(order) // shown)
    for (name, values), colour in zip(rungs.items(), ("orange", "green", "blue"), strict=True):
        axes.plot(np.arange(len(order))[::every], values[order][::every], ".", markersize=3, color=COLOURS[colour], label=name)
    axes.axhline(1, color=COLOURS["grey"], linewidth=0.8)
    axes.set(yscale="log", xlabel="instances, ordered", ylabel="in units of the in-radius")
    axes.legend(loc="lower right", markerscale=3)
    random, smallest, certified = rungs.values()
    euclidean = found["certified"] / found["radius"]
    return figures.describe(
        figure, f"In none of the {len(order):,} instances does the certificate exceed the in-radius, in "
        f"{np.mean(certified > 1 - 1e-6):.0%} it equals it (both in the local norm; in the Euclidean norm in "
        f"{np.mean(euclidean > 1 - 1e-6):.0%}, median {np.median(euclidean):.2f}). Along the nearest wall's normal the code "
        f"changes at the in-radius; along random directions at {random.min():.1f} times that or later. Random two-layer "
        f"convolutional signals, nonnegative codes{f'; one instance in {every} is drawn' if every > 1 else ''}.",
        f"Dots ordered along the horizontal axis. The lowest rise from {certified.min():.2g} to the line at one and stay on it; "
        f"the middle ones run from {smallest.min():.4f} to {smallest.max():.4f}; the highest lie between {random.min():.2g} and "
        f"{random.max():.2g}.",
        {"the certificate never exceeds the in-radius": bool((certified <= 1 + 1e-9).all()),
         "along the nearest wall's normal the code changes at the in-radius": bool((abs(smallest - 1) < 0.01).all()),
         "random noise is longer than the in-radius": bool((random > 1).all())})


@functools.lru_cache(maxsize=2)
def _breaks(setting):
    """For each shown digit: the image, its nearest wall, a short adversarial step and the smallest of twenty random breaks.

    A little noise takes the images off the walls on which their constant background puts them (pooling windows tie there).
    """
    nets = digits_nets(setting)
    model, held_out = _double(nets.plain[0]), nets.held_out[0]
    with torch.no_grad():
        right = model(held_out.images.double()).argmax(1) == held_out.labels
    x = torch.stack([held_out.images[((held_out.labels == digit) & right).nonzero()[0, 0]] for digit in DIGITS]).double()
    generator = torch.Generator().manual_seed(setting.seed)
    x = x + 0.01 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    noise = torch.randn(20, *x.shape, generator=generator, dtype=torch.float64)
    noise /= noise.flatten(2).norm(dim=2)[..., None, None, None]
    random = torch.stack([moons.class_breaks(model, x, each, 20.0) for each in noise]).amin(0)
    return model, x, partition.nearest_walls(model, x), moons.adversarial_steps(model, x), random, noise[0]


def breaks_table(setting):
    """Return the table of the rungs of each shown digit: in-radius, adversarial break, random-noise break."""
    _, _, wall, step, random, _ = _breaks(setting)
    rows = [(f"digit {digit}", *(f"{float(value):.2g}" for value in values)) for digit, *values in
            zip(DIGITS, wall.radius, step.flatten(1).norm(dim=1), random, strict=True)]
    return Table(("image", "in-radius", "adversarial step", "random step"), rows,
                 "How far each image can move: to the next region, and to another class on the way there and at random.")


def radius_frame(digit, radius, setting):
    """A digit moved by a multiple of its in-radius: towards another class, across the nearest wall, and at random."""
    model, x, wall, adversarial, _, noise = _breaks(setting)
    row = DIGITS.index(digit)
    here, length = x[row:row + 1], radius * float(wall.radius[row])
    moved = {"nearest wall": wall.step[row:row + 1], "other class": adversarial[row:row + 1], "random": noise[row:row + 1]}
    there = torch.cat([here + length * step / step.norm() for step in moved.values()])
    changes = sum(unequal(codes[:1], codes[1:]) for codes in partition.region_codes(model, torch.cat([here, there])))
    classes, said = model(there).argmax(1).tolist(), []
    figure, axes = figures.subplots(1, 3, size=(7, 2.6))
    for panel, name, image, changed, label in zip(axes, moved, there, changes.tolist(), classes, strict=True):
        said.append(f"{name}: {changed} unit{'s' * (changed != 1)} changed, class {label}")
        panel.imshow(image[0].numpy(), cmap="gray", vmin=-0.1, vmax=1.1)
        panel.set(title=f"{name}\n{changed} unit{'s' * (changed != 1)}, class {label}", xticks=[], yticks=[])
    return figures.describe(
        figure, f"At {radius:g} in-radii (length {length:.2g}) from this {digit}; " + "; ".join(said) + ". Trained "
        "digits net.",
        "Three small images of the digit, moved by the same length in three directions, with the number of units whose code "
        "changed and the class the network gives. " + ". ".join(said) + ".")
